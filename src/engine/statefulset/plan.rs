//! The exact writes of each verb: one JSON Patch each, whose `test` operations quote what was read.
//!
//! There is no pause and no step in the object: all of promote, set weight, pause and resume are one number, the
//! partition, and what they say for themselves is which pods that number lets through.

use serde_json::{Value, json};

use super::{
    facts::Facts,
    law,
    status::{Situation, next_target},
};
use crate::{
    engine::{
        Goal, Plan, Refusal,
        workload::{
            autoscaler,
            draft::{Draft, images, pods},
            edit::Edit,
            revision::{self, Revision},
            rewrite,
        },
    },
    intent::{Intent, Verb},
    model::{Rollout, Severity, Time},
};

const ROLLING_UPDATE: &str = "/spec/updateStrategy/rollingUpdate";
const PARTITION: &str = "/spec/updateStrategy/rollingUpdate/partition";

/// # Errors
/// The law's refusal, or one that depends on the target.
pub fn plan(f: &Facts<'_>, rollout: &Rollout, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
    let here = law::check(f, intent.verb())?;
    let ask = Ask { f, here };
    let draft = match intent {
        Intent::Promote => ask.promote(next_target(f)),
        Intent::PromoteFull => ask.promote_full()?,
        Intent::SetWeight { percent } => ask.set_weight(*percent)?,
        Intent::Pause => ask.pause()?,
        Intent::Resume => ask.resume()?,
        Intent::Abort => ask.abort()?,
        Intent::Undo { to } => ask.undo(to.as_deref())?,
        Intent::Restart => ask.restart(now)?,
        Intent::SetImage { container, image } => ask.set_image(container, image)?,
        Intent::Scale { replicas } => ask.scale(*replicas)?,
        // The law lets none of these through.
        _ => return Err(Refusal::because("a StatefulSet knows no such action")),
    };
    Ok(draft.finish(rollout, f.root, intent))
}

struct Ask<'f, 'a> {
    f: &'f Facts<'a>,
    here: Situation,
}

impl<'a> Ask<'_, 'a> {
    /// Holds only for the spec and the release that were looked at: the update revision is the controller's own mark.
    fn edit(&self) -> Edit<'a> {
        Edit::main(self.f.root).pinned().same("/status/updateRevision")
    }

    fn generation(&self) -> i64 {
        self.f.root.meta.generation
    }

    fn seen(&self) -> Goal {
        Goal::Seen { after: self.generation() }
    }

    fn rolled(&self) -> Goal {
        Goal::Rolled { after: self.generation() }
    }

    fn partition<'e>(&self, edit: Edit<'e>, to: u32) -> Edit<'e> {
        if self.f.root.value().pointer(ROLLING_UPDATE).is_some_and(Value::is_object) {
            return edit.same(PARTITION).set(PARTITION, to.into());
        }
        edit.same("/spec/updateStrategy").set(ROLLING_UPDATE, json!({ "partition": to }))
    }

    /// The images of the version that comes.
    fn new_images(&self) -> String {
        images(self.f.root)
    }

    // ── the partition ───────────────────────────────────────────────────────────────────────────

    /// Lets this many pods have the new version.
    fn promote(&self, target: u32) -> Draft {
        let f = self.f;
        let (from, to) = (f.partition(), f.partition_for(target));
        let added = target.saturating_sub(f.updated());
        let names = f.names(to, f.partition_for(f.updated()));
        let rest = if to == 0 { "no pod keeps the old version".to_owned() } else { format!("{} keep the old one", pods(to)) };
        let sentence = format!("Lowers the partition from {from} to {to}: {names} get the new version ({}); {rest}.", self.new_images());
        let write = self.partition(self.edit(), to).write();
        let what = format!("{target} of {} pods have the new version and are ready", f.replicas());
        let back = "abort: undo of the template; a raised partition brings no pod back";
        let draft =
            Draft::new(sentence, write, self.rolled(), what, back).pods(added).change("partition", from.to_string(), to.to_string());
        self.downtime(draft, Severity::Warning).capacity(format!("{} of {} at a time", pods(f.away()), f.replicas()))
    }

    fn promote_full(&self) -> Result<Draft, Refusal> {
        if self.f.partition() == 0 {
            return Err(
                Refusal::because("no partition holds it: the controller replaces all pods already").instead("it goes on by itself", None)
            );
        }
        Ok(self.promote(self.f.replicas()))
    }

    fn set_weight(&self, percent: u8) -> Result<Draft, Refusal> {
        let f = self.f;
        let target = pods_for(percent, f.replicas()).ok_or_else(|| self.unreachable())?;
        if target < f.updated() {
            let reason = format!("{} have the new version already, and a partition brings none back", pods(f.updated()));
            return Err(Refusal::because(reason).instead("abort goes back to the version before", Some(Verb::Abort)));
        }
        if target == f.target() {
            return Err(Refusal::because(format!("the partition already lets {} of {} through", target, pods(f.replicas())))
                .instead(self.reachable(), None));
        }
        Ok(self.promote(target))
    }

    fn unreachable(&self) -> Refusal {
        Refusal::because(format!("{} cannot be split like that", pods(self.f.replicas()))).instead(self.reachable(), None)
    }

    /// `with 3 pods: 0 %, 33 %, 67 %, 100 %`.
    fn reachable(&self) -> String {
        let all = self.f.replicas();
        if all > 10 {
            return format!("with {} each pod is {:.1} %", pods(all), 100.0 / f64::from(all));
        }
        let shares: Vec<String> = (0..=all).map(|n| format!("{} %", share(n, all))).collect();
        format!("with {}: {}", pods(all), shares.join(", "))
    }

    /// Raised to the number that is updated, not to all: what lies below comes back in the old version when it is recreated.
    fn pause(&self) -> Result<Draft, Refusal> {
        let f = self.f;
        let to = if f.in_flight() { f.partition_for(f.updated()) } else { f.replicas() };
        if f.on_delete() {
            return Err(
                Refusal::because("OnDelete: nothing is replaced by itself").instead("a new version waits until pods are deleted", None)
            );
        }
        if f.partition() >= to {
            let reason = format!("partition {} holds it already", f.partition());
            return Err(Refusal::because(reason).instead("resume lets all pods through", Some(Verb::Resume)));
        }
        let sentence = if f.in_flight() {
            format!("Raises the partition to {to}: {} keep the new version, {} keep or get back the old one.", pods(f.updated()), pods(to))
        } else {
            format!("Raises the partition to {to}: no pod gets the next version until someone promotes.")
        };
        let write = self.partition(self.edit(), to).write();
        let draft = Draft::new(sentence, write, self.seen(), format!("partition {to} holds it"), "promote, or resume").change(
            "partition",
            f.partition().to_string(),
            to.to_string(),
        );
        let note = "a StatefulSet has no pause: this stops further pods only, and one that is just being replaced comes back old";
        Ok(draft.warn(Severity::Note, f.in_flight(), note))
    }

    fn resume(&self) -> Result<Draft, Refusal> {
        let f = self.f;
        if f.partition() == 0 || f.on_delete() {
            return Err(Refusal::because("no partition holds it").instead("it goes on by itself", None));
        }
        if f.in_flight() {
            return Ok(self.promote(f.replicas()));
        }
        let from = f.partition();
        let sentence = format!(
            "Lowers the partition from {from} to 0: the next version rolls out to all {} at once, pod after pod.",
            pods(f.replicas())
        );
        let write = self.partition(self.edit(), 0).write();
        Ok(Draft::new(sentence, write, self.seen(), "no partition holds the next version", "pause").change(
            "partition",
            from.to_string(),
            "0",
        ))
    }

    // ── the template ────────────────────────────────────────────────────────────────────────────

    fn abort(&self) -> Result<Draft, Refusal> {
        let f = self.f;
        if !f.in_flight() {
            return Err(Refusal::because("the template was put back already: old pods wait to be deleted")
                .instead(f.delete(&f.next_to_delete()), None));
        }
        let target = self.target(None)?;
        let how = if f.on_delete() {
            format!("pods keep the new version until someone deletes them, {} so far", f.updated())
        } else {
            format!("{} rolled back, the highest first", pods(f.updated()))
        };
        let sentence = format!(
            "Puts revision {} ({}) back: {how}. Kubernetes has no abort, this is a roll of its own.",
            target.number,
            target.all_images()
        );
        let mut draft = self.put_back(target, sentence, f.updated() > 0)?;
        if !f.on_delete() {
            draft = draft.pods(f.updated()).goal(self.rolled(), format!("revision {} serves everybody again", target.number));
        }
        Ok(draft)
    }

    fn undo(&self, to: Option<&str>) -> Result<Draft, Refusal> {
        let target = self.target(to)?;
        let f = self.f;
        let reach = match f.target() {
            _ if f.on_delete() => "pods get it when someone deletes them".to_owned(),
            all if all == f.replicas() => "all pods are replaced, the highest first".to_owned(),
            0 => format!("partition {} lets no pod through", f.partition()),
            some => format!("partition {} lets {some} of {} through", f.partition(), pods(f.replicas())),
        };
        let sentence = format!("Puts revision {} ({}) back as the wanted version: {reach}.", target.number, target.all_images());
        self.put_back(target, sentence, f.in_flight() && target.hash == f.current_revision())
    }

    fn target(&self, to: Option<&str>) -> Result<&Revision<'a>, Refusal> {
        let f = self.f;
        if f.kept.is_empty() {
            return Err(Refusal::because("the earlier versions of this StatefulSet are not loaded yet").instead("open it first", None));
        }
        let target = match to {
            Some(hash) => f.kept(hash).ok_or_else(|| {
                Refusal::because(format!("the revision {hash} is gone"))
                    .instead("choose another revision, or set an image", Some(Verb::SetImage))
            })?,
            None => f.previous().ok_or_else(|| Refusal::because("there is no earlier revision kept to go back to"))?,
        };
        if target.hash == f.update_revision() {
            return Err(Refusal::because(format!("revision {} is the wanted version already", target.number))
                .instead("choose another revision", None));
        }
        Ok(target)
    }

    /// `all`: pods below the partition that have the version in flight must come back as well, which only those above do.
    fn put_back(&self, target: &Revision<'_>, sentence: String, all: bool) -> Result<Draft, Refusal> {
        let f = self.f;
        let mut edit = revision::put_back(self.edit(), f.root, target)?;
        let reach = f.partition_for(f.updated());
        let lower = all && !f.on_delete() && f.partition() > reach;
        if lower {
            edit = self.partition(edit, reach);
        }
        let was = f.kept(f.update_revision());
        let back = was.map_or_else(|| "set the image again".to_owned(), |r| format!("undo to {}", r.hash));
        let mut draft = Draft::new(sentence, edit.write(), self.seen(), format!("revision {} is the wanted version", target.number), back)
            .change("pod template", self.new_images(), target.all_images())
            .change("revision", was.map(|r| r.number.to_string()).unwrap_or_default(), format!("{} (renumbered)", target.number));
        if lower {
            draft = draft.change("partition", f.partition().to_string(), reach.to_string());
        }
        if let Some(pod) = f.failing().filter(|_| f.ordered() && matches!(self.here, Situation::Broken | Situation::Blocked)) {
            let text = format!("nothing moves until the broken pod is deleted as well: {}", f.delete(&pod.name));
            draft = draft.warn(Severity::Warning, true, text);
        }
        Ok(self.downtime(draft, Severity::Warning))
    }

    fn restart(&self, now: Time) -> Result<Draft, Refusal> {
        let f = self.f;
        self.lets_through()?;
        let (edit, at) = rewrite::restart(self.edit(), f.root, now);
        let was = f.set.spec.template.metadata.annotation(rewrite::RESTARTED_AT);
        let target = f.target();
        let sentence =
            format!("Replaces {}, the highest first, {} at a time: a new revision with the same images.", pods(target), f.away());
        let draft = Draft::new(
            sentence,
            edit.write(),
            self.seen(),
            "a restart is rolling",
            "none: replaced pods do not come back; abort stops the rest",
        )
        .change("restartedAt", if was.is_empty() { "none" } else { was }, at)
        .warn(Severity::Warning, target < f.replicas(), format!("partition {}: the lower pods are not restarted", f.partition()));
        Ok(self.downtime(draft, Severity::Danger))
    }

    fn set_image(&self, container: &str, image: &str) -> Result<Draft, Refusal> {
        let f = self.f;
        let (edit, old) = rewrite::image(self.edit(), f.root, rewrite::TEMPLATE, container, image)?;
        let reach = match f.target() {
            _ if f.on_delete() => "pods get it when someone deletes them".to_owned(),
            0 => format!("partition {} lets no pod through until someone promotes", f.partition()),
            some if some < f.replicas() => format!("partition {} lets {} through, then it waits", f.partition(), pods(some)),
            all => format!("all {} are replaced, the highest first", pods(all)),
        };
        let begins = if f.in_flight() { " The version in flight is replaced by it." } else { "" };
        let sentence = format!("Makes {image} the wanted image of container {container}: {reach}.{begins}");
        let mut draft =
            Draft::new(sentence, edit.write(), self.seen(), "a new version is being rolled out", format!("undo, or set {old} again"))
                .change(&format!("image of {container}"), old.as_str(), image);
        if let Some(pod) = f.failing().filter(|_| f.ordered() && matches!(self.here, Situation::Broken | Situation::Blocked)) {
            let text = format!("nothing moves until the broken pod is deleted as well: {}", f.delete(&pod.name));
            draft = draft.warn(Severity::Warning, true, text);
        }
        Ok(if f.on_delete() || f.target() == 0 { draft } else { self.downtime(draft, Severity::Danger) })
    }

    /// A restart that no pod would see is none.
    fn lets_through(&self) -> Result<(), Refusal> {
        let f = self.f;
        if f.on_delete() {
            let instead = f.delete(&f.pod(f.replicas().saturating_sub(1)));
            return Err(Refusal::because("OnDelete: pods are replaced when someone deletes them").instead(instead, None));
        }
        if f.target() == 0 && f.replicas() > 0 {
            return Err(Refusal::because(format!("partition {} lets no pod through: nothing would restart", f.partition()))
                .instead("resume first", Some(Verb::Resume)));
        }
        Ok(())
    }

    // ── the number of pods ──────────────────────────────────────────────────────────────────────

    fn scale(&self, to: u32) -> Result<Draft, Refusal> {
        let f = self.f;
        let from = f.replicas();
        if to == from {
            return Err(Refusal::because(format!("it has {} already", pods(to))).instead("name another number", None));
        }
        let Ok(number) = i32::try_from(to) else { return Err(Refusal::because("no cluster has that many pods")) };
        let which = if to < from { format!("{} go, the highest first", f.names(to, from)) } else { format!("{} come", f.names(from, to)) };
        let sentence = format!("Scales from {from} to {to}: {which}.");
        let write = self.edit().same("/spec/replicas").set("/spec/replicas", number.into()).write();
        let mut draft = Draft::new(sentence, write, self.rolled(), format!("{} ready", pods(to)), format!("scale to {from} again"))
            .pods(to.abs_diff(from))
            .change("replicas", from.to_string(), to.to_string())
            .warn(Severity::Danger, to == 0, "no pod is left: users get nothing")
            .warn(Severity::Warning, to < from && f.in_flight(), "the pods with the new version go first: they are the highest")
            .warn(Severity::Note, to > from && f.in_flight() && to > f.partition(), "added pods get the new version")
            .warn(Severity::Note, to < from, "their volumes stay unless the StatefulSet says otherwise");
        if let Some(by) = autoscaler::of_root(f.objects, f.root) {
            draft = draft.warn(Severity::Warning, true, format!("{by} sets this number and will set it back"));
        }
        Ok(draft)
    }

    /// A roll that takes every pod away before one is back.
    fn downtime(&self, draft: Draft, severity: Severity) -> Draft {
        let f = self.f;
        let bare = f.replicas() > 0 && f.away() >= f.replicas() && !f.on_delete();
        let text = if f.replicas() == 1 {
            "its only pod goes before the new one comes: users get nothing meanwhile"
        } else {
            "maxUnavailable lets all pods be away at once: users may get nothing meanwhile"
        };
        draft.warn(severity, bare, text)
    }
}

/// The number of pods that is this share of all, to the percent.
fn pods_for(percent: u8, all: u32) -> Option<u32> {
    let exact = u64::from(percent) * u64::from(all);
    let near = u32::try_from((exact + 50) / 100).ok()?;
    // Of many pods every percent is near enough to one of them.
    (share(near, all) == u32::from(percent) || all > 100).then_some(near)
}

fn share(pods: u32, all: u32) -> u32 {
    let all = u64::from(all.max(1));
    u32::try_from((u64::from(pods) * 200 + all) / (2 * all)).unwrap_or(100)
}
