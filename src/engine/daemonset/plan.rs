//! The exact writes of each verb: one JSON Patch each, whose `test` operations quote what was read.
//!
//! There is no pause in the object: pause and resume are the update strategy, OnDelete and back; the server keeps the
//! numbers of the rolling update meanwhile.

use super::{facts::Facts, law, status::Situation};
use crate::{
    engine::{
        Goal, Plan, Refusal,
        workload::{
            draft::{Draft, images, pods},
            edit::Edit,
            revision::{self, Revision},
            rewrite,
        },
    },
    intent::{Intent, Verb},
    model::{Rollout, Severity, Surge, Time},
};

const STRATEGY: &str = "/spec/updateStrategy/type";

/// # Errors
/// The law's refusal, or one that depends on the target.
pub fn plan(f: &Facts<'_>, rollout: &Rollout, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
    let here = law::check(f, intent.verb())?;
    let ask = Ask { f, here };
    let draft = match intent {
        Intent::Pause => ask.pause()?,
        Intent::Resume => ask.resume()?,
        Intent::Abort => ask.abort()?,
        Intent::Undo { to } => ask.undo(to.as_deref())?,
        Intent::Restart => ask.restart(now)?,
        Intent::SetImage { container, image } => ask.set_image(container, image)?,
        // The law lets none of these through.
        _ => return Err(Refusal::because("a DaemonSet knows no such action")),
    };
    Ok(draft.finish(rollout, f.root, intent))
}

struct Ask<'f, 'a> {
    f: &'f Facts<'a>,
    here: Situation,
}

impl<'a> Ask<'_, 'a> {
    /// Holds only for the spec that was looked at, template and strategy both.
    fn edit(&self) -> Edit<'a> {
        Edit::main(self.f.root).pinned().same(STRATEGY)
    }

    fn seen(&self) -> Goal {
        Goal::Seen { after: self.f.root.meta.generation }
    }

    fn rolled(&self) -> Goal {
        Goal::Rolled { after: self.f.root.meta.generation }
    }

    fn rolling(&self) -> bool {
        matches!(self.here, Situation::Rolling | Situation::Broken | Situation::ByHand)
    }

    fn pause(&self) -> Result<Draft, Refusal> {
        let f = self.f;
        if f.on_delete() {
            return Err(Refusal::because("OnDelete holds it already").instead("resume lets new versions roll", Some(Verb::Resume)));
        }
        let sentence = if self.rolling() {
            format!("Switches to OnDelete: {} of {} nodes keep the new version, the others keep the old one.", f.updated(), f.nodes())
        } else {
            "Switches to OnDelete: the next version waits until someone resumes, or deletes pods.".to_owned()
        };
        let write = self.edit().set(STRATEGY, "OnDelete".into()).write();
        let note = "a DaemonSet has no pause: a pod that goes for another reason comes back in the new version";
        Ok(Draft::new(sentence, write, self.seen(), "OnDelete holds it", "resume")
            .change("updateStrategy", "RollingUpdate", "OnDelete")
            .warn(Severity::Note, self.rolling(), note))
    }

    fn resume(&self) -> Result<Draft, Refusal> {
        let f = self.f;
        if !f.on_delete() {
            return Err(Refusal::because("it is not held: the strategy is RollingUpdate").instead("it goes on by itself", None));
        }
        let left = f.nodes().saturating_sub(f.updated());
        let sentence = if self.rolling() {
            format!("Switches to RollingUpdate: the pods of {left} more nodes are replaced, {}.", self.pace())
        } else {
            "Switches to RollingUpdate: the next version rolls out at once, node after node.".to_owned()
        };
        let write = self.edit().set(STRATEGY, "RollingUpdate".into()).write();
        let goal = if self.rolling() { self.rolled() } else { self.seen() };
        let what = if self.rolling() { "every node has the new version" } else { "new versions roll again" };
        let draft = Draft::new(sentence, write, goal, what, "pause").change("updateStrategy", "OnDelete", "RollingUpdate");
        let draft = if self.rolling() { draft.pods(left) } else { draft };
        Ok(self.downtime(draft, Severity::Warning, self.rolling()))
    }

    fn pace(&self) -> String {
        match self.f.surge() {
            Surge { more: 0, fewer, .. } => format!("up to {fewer} at a time"),
            Surge { more, .. } => format!("up to {more} at a time, the new pod first"),
        }
    }

    fn abort(&self) -> Result<Draft, Refusal> {
        let f = self.f;
        let target = self.target(None)?;
        let how = if f.on_delete() {
            format!("OnDelete: {} keep the new version until someone deletes them", pods(f.updated()))
        } else {
            format!("{} rolled back, {}", pods(f.updated()), self.pace())
        };
        let sentence = format!(
            "Puts revision {} ({}) back: {how}. Kubernetes has no abort, this is a roll of its own.",
            target.number,
            target.all_images()
        );
        let draft = self.put_back(target, sentence)?;
        if f.on_delete() {
            return Ok(draft);
        }
        Ok(draft.pods(f.updated()).goal(self.rolled(), format!("every node has revision {} again", target.number)))
    }

    fn undo(&self, to: Option<&str>) -> Result<Draft, Refusal> {
        let target = self.target(to)?;
        let how = if self.f.on_delete() {
            "nodes get it when someone deletes their pod".to_owned()
        } else {
            format!("a full roll, {}", self.pace())
        };
        let sentence = format!("Puts revision {} ({}) back as the wanted version: {how}.", target.number, target.all_images());
        self.put_back(target, sentence)
    }

    fn target(&self, to: Option<&str>) -> Result<&Revision<'a>, Refusal> {
        let f = self.f;
        if f.kept.is_empty() {
            return Err(Refusal::because("the earlier versions of this DaemonSet are not loaded yet").instead("open it first", None));
        }
        let target = match to {
            Some(hash) => f.kept(hash).ok_or_else(|| {
                Refusal::because(format!("the revision {hash} is gone"))
                    .instead("choose another revision, or set an image", Some(Verb::SetImage))
            })?,
            None => f.previous().ok_or_else(|| {
                Refusal::because("there is no earlier revision kept to go back to").instead("set an image", Some(Verb::SetImage))
            })?,
        };
        if target.hash == f.hash() {
            let already = format!("revision {} is the wanted version already", target.number);
            return Err(Refusal::because(already).instead("choose another revision", None));
        }
        Ok(target)
    }

    fn put_back(&self, target: &Revision<'_>, sentence: String) -> Result<Draft, Refusal> {
        let f = self.f;
        let edit = revision::put_back(self.edit(), f.root, target)?;
        let was = f.current();
        let back = was.map_or_else(|| "set the image again".to_owned(), |r| format!("undo to {}", r.hash));
        let what = format!("revision {} is the wanted version", target.number);
        let draft = Draft::new(sentence, edit.write(), self.seen(), what, back)
            .change("pod template", images(f.root), target.all_images())
            .change("revision", was.map(|r| r.number.to_string()).unwrap_or_default(), format!("{} (renumbered)", target.number));
        Ok(self.downtime(draft, Severity::Warning, true))
    }

    fn restart(&self, now: Time) -> Result<Draft, Refusal> {
        let f = self.f;
        if f.on_delete() {
            let instead = "resume first, or delete its pods one after the other";
            return Err(Refusal::because("OnDelete: nothing would restart").instead(instead, Some(Verb::Resume)));
        }
        let (edit, at) = rewrite::restart(self.edit(), f.root, now);
        let was = f.set.spec.template.metadata.annotation(rewrite::RESTARTED_AT);
        let sentence = format!("Replaces all {}, {}: a new revision with the same images.", pods(f.nodes()), self.pace());
        let back = "none: replaced pods do not come back; abort stops the rest";
        let draft = Draft::new(sentence, edit.write(), self.seen(), "a restart is rolling", back)
            .change("restartedAt", if was.is_empty() { "none" } else { was }, at)
            .warn(Severity::Warning, self.rolling(), "a roll is in progress: its pods are replaced once more");
        Ok(self.downtime(draft, Severity::Danger, true))
    }

    fn set_image(&self, container: &str, image: &str) -> Result<Draft, Refusal> {
        let f = self.f;
        let (edit, old) = rewrite::image(self.edit(), f.root, rewrite::TEMPLATE, container, image)?;
        let how = if f.on_delete() {
            "nodes get it when someone deletes their pod".to_owned()
        } else {
            format!("node after node, {}", self.pace())
        };
        let begins = if self.rolling() { " The version in flight is replaced by it." } else { "" };
        let sentence = format!("Rolls out {image} in container {container}, {how}, without steps or analysis.{begins}");
        let draft =
            Draft::new(sentence, edit.write(), self.seen(), "a new version is being rolled out", format!("undo, or set {old} again"))
                .change(&format!("image of {container}"), old.as_str(), image);
        Ok(self.downtime(draft, Severity::Danger, true))
    }

    /// A roll that takes the pod of every node away before one is back.
    fn downtime(&self, draft: Draft, severity: Severity, rolls: bool) -> Draft {
        let f = self.f;
        let Surge { more, fewer, of } = f.surge();
        let bare = rolls && !f.on_delete() && more == 0 && of > 0 && fewer >= of;
        draft.warn(severity, bare, "maxUnavailable lets the pods of all nodes be away at once")
    }
}
