//! The exact writes of each verb: one JSON Patch each, whose `test` operations quote what was read.

use std::time::Duration;

use serde_json::Value;

use super::{
    facts::{CHANGE_CAUSE, Facts, REVISION, Set},
    law,
    status::{Situation, pods},
};
use crate::{
    engine::{
        Goal, Plan, Refusal,
        workload::{
            autoscaler::Autoscaler,
            draft::{self, Draft},
            edit::Edit,
            revision,
            rewrite::{self, escaped},
            template::fingerprint,
        },
    },
    intent::{Intent, Verb},
    model::{Rollout, Severity, Text, Time},
};

/// Until pods that are asked for must be there.
const FILLED: Duration = Duration::from_secs(120);

/// # Errors
/// The law's refusal, or one that depends on the target.
pub fn plan(f: &Facts<'_>, rollout: &Rollout, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
    let here = law::check(f, intent.verb())?;
    let ask = Ask { f, here };
    let draft = match intent {
        Intent::Pause => ask.pause(),
        Intent::Resume => ask.resume(),
        Intent::Abort => ask.abort()?,
        Intent::Undo { to } => ask.undo(to.as_deref())?,
        Intent::Restart => ask.restart(now),
        Intent::SetImage { container, image } => ask.set_image(container, image)?,
        Intent::Scale { replicas } => ask.scale(*replicas)?,
        // The law lets none of these through.
        _ => return Err(Refusal::because("a Deployment knows no such action")),
    };
    let draft = ask.serving().into_iter().fold(draft.only_if(ask.only_if(intent.verb())), Draft::capacity);
    Ok(draft.finish(rollout, f.root, intent))
}

struct Ask<'f, 'a> {
    f: &'f Facts<'a>,
    here: Situation,
}

impl Ask<'_, '_> {
    /// Holds only for the release that was looked at: its template, and the revision, which is the controller's own mark.
    /// The number of pods may change meanwhile; an autoscaler does so all the time.
    fn edit(&self) -> Edit<'_> {
        let edit = Edit::main(self.f.root).same_template().same("/spec/paused");
        let marked = !self.f.dep.metadata.annotation(REVISION).is_empty();
        if marked { edit.same(&format!("/metadata/annotations/{}", escaped(REVISION))) } else { edit }
    }

    /// Any other template than the one that was looked at: the write allows nobody else's in between.
    fn another(&self) -> Goal {
        Goal::Template { hash: None, not: Some(self.f.template()) }
    }

    fn rolling(&self) -> bool {
        self.f.in_flight() && self.here != Situation::PausedIdle
    }

    fn pause(&self) -> Draft {
        let sentence = if self.rolling() {
            "Pauses the roll: old and new pods go on serving side by side, as many as there are then."
        } else {
            "Pauses it: changes of the template wait until someone resumes."
        };
        let write = self.edit().set("/spec/paused", Value::Bool(true)).write();
        Draft::new(sentence, write, Goal::Paused, "the Deployment is paused", "resume").change("spec.paused", "false", "true").warn(
            Severity::Note,
            self.rolling(),
            "pods that are starting already still come up",
        )
    }

    fn resume(&self) -> Draft {
        let sentence = match self.here {
            Situation::PausedMidway if self.f.changes_wait() => "Resumes: the waiting changes roll out at once, to all pods.",
            Situation::PausedMidway => "Resumes the roll: the remaining old pods are replaced.",
            _ => "Resumes: the next change of the template rolls out at once.",
        };
        // The server drops a stored `false`, so the member goes.
        let write = self.edit().remove_if_there("/spec/paused").write();
        let draft = Draft::new(sentence, write, Goal::Resumed, "the Deployment is resumed", "pause again, or undo");
        self.downtime(draft.change("spec.paused", "true", "false"), Severity::Warning, self.here == Situation::PausedMidway)
    }

    fn abort(&self) -> Result<Draft, Refusal> {
        if !self.f.in_flight() {
            return Err(Refusal::because("no pod of the version before is left: going back is an undo").instead("undo", Some(Verb::Undo)));
        }
        let target = self.target(None)?;
        let to = format!("revision {} ({})", target.revision, images(target));
        let sentence = if self.f.changes_wait() {
            format!("Drops the changes that wait: {to} is the wanted version again.{}", self.pause_ends())
        } else {
            let how = "new pods are rolled back one after the other. Kubernetes has no abort, this is a roll of its own.";
            format!("Undoes to {to}: {how}{}", self.pause_ends())
        };
        let goal = target.template().map_or_else(|| self.another(), |t| Goal::Stable(fingerprint(&t)));
        let seconds = u64::try_from(self.f.deadline_seconds()).unwrap_or(0).clamp(60, 3_600);
        let draft = self.undo_to(target, sentence)?.goal(goal, format!("revision {} serves everybody again", target.revision));
        Ok(draft.within(Duration::from_secs(seconds)))
    }

    fn undo(&self, to: Option<&str>) -> Result<Draft, Refusal> {
        let target = self.target(to)?;
        let sentence = format!(
            "Puts revision {} ({}) back as the wanted version: a full roll to it begins.{}",
            target.revision,
            images(target),
            self.pause_ends()
        );
        self.undo_to(target, sentence)
    }

    fn pause_ends(&self) -> &'static str {
        if self.f.dep.spec.paused { " The pause ends as well." } else { "" }
    }

    /// The ReplicaSet to go back to: by hash; else the newest of the others that still has pods, or the revision before.
    fn target(&self, to: Option<&str>) -> Result<&Set<'_>, Refusal> {
        let f = self.f;
        if f.sets.is_empty() {
            return Err(Refusal::because("the earlier versions of this Deployment are not loaded yet").instead("open it first", None));
        }
        let target = match to {
            Some(hash) => f.set(hash).ok_or_else(|| {
                Refusal::because(format!("the ReplicaSet with hash {hash} is gone"))
                    .instead("choose another revision, or set an image", Some(Verb::SetImage))
            })?,
            None => f.previous().ok_or_else(|| Refusal::because("there is no earlier revision kept to go back to"))?,
        };
        if target.hash == f.hash() {
            return Err(Refusal::because(format!("revision {} is the wanted version already", target.revision))
                .instead("choose another revision", None));
        }
        Ok(target)
    }

    fn undo_to(&self, target: &Set<'_>, sentence: String) -> Result<Draft, Refusal> {
        let template = target.template().ok_or_else(|| Refusal::because("the ReplicaSet has no template to go back to"))?;
        let goal = Goal::Template { hash: Some(fingerprint(&template)), not: None };
        let (was_cause, cause) = (self.f.dep.metadata.annotation(CHANGE_CAUSE), target.change_cause());
        let edit = revision::restore(self.edit(), self.f.root, template, cause);
        let edit = if self.f.dep.spec.paused { edit.remove_if_there("/spec/paused") } else { edit };
        let now = draft::images(self.f.root);
        let back = self.f.current().map_or_else(
            || "none: the changes that waited are in no ReplicaSet, so they must be written again".to_owned(),
            |s| format!("undo to {}", s.hash),
        );
        let mut draft = Draft::new(sentence, edit.write(), goal, format!("{} is the wanted version", target.hash), back)
            .change("pod template", now, images(target))
            .change("revision", self.f.dep.metadata.annotation(REVISION), format!("{} (renumbered)", target.revision));
        if cause != was_cause {
            draft = draft.change("change cause", was_cause, cause);
        }
        if self.f.dep.spec.paused {
            draft = draft.change("spec.paused", "true", "false");
        }
        let lost = self.f.changes_wait();
        let draft = draft.warn(Severity::Warning, lost, "the changes that wait for the end of the pause are lost");
        Ok(self.downtime(draft, Severity::Warning, true))
    }

    fn restart(&self, now: Time) -> Draft {
        let was = self.f.dep.spec.template.metadata.annotation(rewrite::RESTARTED_AT);
        let (edit, at) = rewrite::restart(self.edit(), self.f.root, now);
        let write = edit.write();
        let pace = if self.f.recreates() { "all at once" } else { "a few at a time" };
        let sentence = format!("Replaces all pods, {pace}: a new revision with the same images.");
        let draft = Draft::new(
            sentence,
            write,
            self.another(),
            "a restart is rolling",
            "none: replaced pods do not come back; abort stops the rest",
        );
        let draft = draft.change("restartedAt", if was.is_empty() { "none" } else { was }, at);
        let draft = draft.warn(Severity::Warning, self.rolling(), "a roll is in progress: its pods are replaced once more");
        self.downtime(draft, Severity::Danger, true)
    }

    fn set_image(&self, container: &str, image: &str) -> Result<Draft, Refusal> {
        let (edit, old) = rewrite::image(self.edit(), self.f.root, rewrite::TEMPLATE, container, image)?;
        let write = edit.write();
        let begins = if self.rolling() { " The version in flight is replaced by it." } else { "" };
        let sentence = format!("Rolls out {image} in container {container}, pod after pod, without steps or analysis.{begins}");
        let draft = Draft::new(sentence, write, self.another(), "a new version is being rolled out", format!("undo, or set {old} again"))
            .change(&format!("image of {container}"), old.as_str(), image)
            .warn(Severity::Warning, self.f.dep.spec.paused, "it is paused: the new version waits until someone resumes");
        Ok(self.downtime(draft, Severity::Danger, !self.f.dep.spec.paused))
    }

    fn scale(&self, to: u32) -> Result<Draft, Refusal> {
        let from = self.f.replicas();
        if to == from {
            return Err(Refusal::because(format!("{from} {} are wanted already", pods(from))).instead("name another number", None));
        }
        let does = if to > from { "starts" } else { "takes away" };
        let by = to.abs_diff(from);
        let sentence = format!("Scales from {from} to {to} {}: {does} {by}.", pods(to));
        let name = &self.f.root.meta.name;
        // A number is all it changes, whatever is being rolled out meanwhile.
        let write = Edit::main(self.f.root).same("/spec/replicas").set("/spec/replicas", to.into()).write();
        let goal = Goal::Scaled { name: name.clone(), from, to };
        let draft = Draft::new(sentence, write, goal, format!("{to} {} are there and available", pods(to)), format!("scale to {from}"))
            .change("spec.replicas", from.to_string(), to.to_string())
            .warn(Severity::Danger, to == 0, "no pod is left: users get nothing")
            .warn(Severity::Note, self.here.midway() && to > 0, "a roll is in progress: versions are scaled in proportion");
        let draft = draft.within(FILLED);
        Ok(match self.f.autoscaler() {
            Some(auto) => draft.warn(Severity::Warning, true, fights(&auto, to)),
            None => draft,
        })
    }

    /// A roll that may take every pod away before one is back.
    fn downtime(&self, draft: Draft, severity: Severity, rolls: bool) -> Draft {
        let bare = rolls && self.f.replicas() > 0 && self.f.least() == 0;
        let text = if self.f.recreates() {
            "strategy Recreate: all pods go before new ones come, users get nothing meanwhile"
        } else {
            "maxUnavailable lets all pods be away at once: users may get nothing meanwhile"
        };
        draft.warn(severity, bare, text)
    }

    fn only_if(&self, verb: Verb) -> String {
        let name = &self.f.root.meta.name;
        match verb {
            Verb::Scale => format!("Deployment {name} still wants {} {}", self.f.replicas(), pods(self.f.replicas())),
            _ => format!("nobody changed the template, the pause or the revision of Deployment {name} since"),
        }
    }

    /// How many pods of which version serve now: it changes all the time, so no condition rests on it.
    fn serving(&self) -> Option<Text> {
        let (new, old) = (self.f.dep.status.updated_replicas.count(), self.f.old_pods());
        (old > 0).then(|| format!("now {new} new and {old} old {}", pods(old)).into())
    }
}

fn fights(auto: &Autoscaler, to: u32) -> String {
    match to {
        0 => format!("{} is switched off for as long as there are no pods", auto.called),
        _ if auto.nearest(to) == to => format!("{} sets the number of pods: it may change this again at any time", auto.range()),
        _ => format!("{} sets the number of pods: it takes this back to {}", auto.range(), auto.nearest(to)),
    }
}

fn images(set: &Set<'_>) -> String {
    let all: Vec<&str> = set.dto.spec.template.spec.containers.iter().map(|c| c.image.as_str()).collect();
    all.join(", ")
}
