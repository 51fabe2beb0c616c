//! The exact writes of each verb: one JSON Patch each, whose `test` operations quote what was read.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    facts::{CHANGE_CAUSE, Facts, REVISION, Set},
    law,
    status::{Situation, pods},
};
use crate::{
    engine::{
        Change, Expectation, Goal, Plan, Refusal, Write,
        workload::{bare, containers, edit::Edit, image, owner},
    },
    intent::{Command, Danger, Intent, Verb, describe},
    model::{Notice, Rollout, Severity, Text, Time},
};

/// The annotation kubectl writes; another key would be another tool's restart.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
const TEMPLATE: &str = "/spec/template";

/// Until an effect the controller shows in its next pass must be seen.
const SOON: Duration = Duration::from_secs(30);

/// # Errors
/// The law's refusal, or one that depends on the target.
pub fn plan(f: &Facts<'_>, rollout: &Rollout, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
    let here = law::check(f, intent.verb())?;
    let ask = Ask { f, rollout, here };
    let draft = match intent {
        Intent::Pause => ask.pause(),
        Intent::Resume => ask.resume(),
        Intent::Abort => ask.abort()?,
        Intent::Undo { to } => ask.undo(to.as_deref())?,
        Intent::Restart => ask.restart(now),
        Intent::SetImage { container, image } => ask.set_image(container, image)?,
        // The law lets none of these through.
        _ => return Err(Refusal::because("a Deployment knows no such action")),
    };
    Ok(ask.finish(draft, intent))
}

struct Draft {
    sentence: String,
    write: Write,
    changes: Vec<Change>,
    goal: Goal,
    what: String,
    within: Duration,
    back: String,
    warnings: Vec<Notice>,
}

impl Draft {
    fn new(sentence: impl Into<String>, write: Write, goal: Goal, what: impl Into<String>, back: impl Into<String>) -> Self {
        let (sentence, what, back) = (sentence.into(), what.into(), back.into());
        Self { sentence, write, changes: Vec::new(), goal, what, within: SOON, back, warnings: Vec::new() }
    }

    fn change(mut self, field: &str, from: impl Into<Text>, to: impl Into<Text>) -> Self {
        self.changes.push(Change { field: field.into(), from: from.into(), to: to.into() });
        self
    }

    fn warn(mut self, severity: Severity, when: bool, text: impl Into<Text>) -> Self {
        if when {
            self.warnings.push(Notice { severity, text: text.into() });
        }
        self
    }
}

struct Ask<'f, 'a> {
    f: &'f Facts<'a>,
    rollout: &'f Rollout,
    here: Situation,
}

impl Ask<'_, '_> {
    /// Holds only for the spec and the release that were looked at: the revision is the controller's own mark.
    fn edit(&self) -> Edit<'_> {
        let edit = Edit::main(self.f.root).pinned().same("/spec/paused");
        let marked = !self.f.dep.metadata.annotation(REVISION).is_empty();
        if marked { edit.same(&format!("/metadata/annotations/{}", escaped(REVISION))) } else { edit }
    }

    fn seen(&self) -> Goal {
        Goal::Seen { after: self.f.root.meta.generation }
    }

    fn rolling(&self) -> bool {
        self.f.in_flight() && self.here != Situation::PausedIdle
    }

    fn pause(&self) -> Draft {
        let (new, old) = (self.f.dep.status.updated_replicas.count(), self.f.old_pods());
        let sentence = if self.rolling() {
            format!("Pauses the roll: {new} new and {old} old {} go on serving side by side.", pods(old))
        } else {
            "Pauses it: changes of the template wait until someone resumes.".to_owned()
        };
        let write = self.edit().set("/spec/paused", Value::Bool(true)).write();
        Draft::new(sentence, write, Goal::Paused, "the Deployment is paused", "resume").change("spec.paused", "false", "true").warn(
            Severity::Note,
            self.rolling(),
            "pods that are starting already still come up",
        )
    }

    fn resume(&self) -> Draft {
        let left = self.f.not_updated().max(self.f.old_pods());
        let sentence = match self.here {
            Situation::PausedMidway if self.f.changes_wait() => "Resumes: the waiting changes roll out at once, to all pods.".to_owned(),
            Situation::PausedMidway => format!("Resumes the roll: {left} more {} are replaced.", pods(left)),
            _ => "Resumes: the next change of the template rolls out at once.".to_owned(),
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
        let new = self.f.dep.status.updated_replicas.count();
        let sentence = format!(
            "Undoes to revision {} ({}): {new} new {} are rolled back one after the other. Kubernetes has no abort, this is a roll of its own.{}",
            target.revision,
            images(target),
            pods(new),
            self.pause_ends(),
        );
        let mut draft = self.undo_to(target, sentence)?;
        draft.goal = Goal::Rolled { after: self.f.root.meta.generation };
        draft.what = format!("revision {} serves everybody again", target.revision);
        let seconds = u64::try_from(self.f.deadline_seconds()).unwrap_or(0).clamp(60, 3_600);
        draft.within = Duration::from_secs(seconds);
        Ok(draft)
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
        let mut edit = self.edit().set(TEMPLATE, template);
        if self.f.dep.spec.paused {
            edit = edit.remove_if_there("/spec/paused");
        }
        let was_cause = self.f.dep.metadata.annotation(CHANGE_CAUSE);
        let cause = target.change_cause();
        if cause != was_cause {
            // The controller copies it to the ReplicaSet: the cause of another change must not stay there.
            edit = change_cause(edit, cause, !self.f.dep.metadata.annotations.0.is_empty());
        }
        let now = self.f.current().map_or_else(|| self.wanted_images(), images);
        let back = self.f.current().map_or_else(
            || "none: the changes that waited are in no ReplicaSet, so they must be written again".to_owned(),
            |s| format!("undo to {}", s.hash),
        );
        let mut draft = Draft::new(sentence, edit.write(), self.seen(), format!("{} is the wanted version", target.hash), back)
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

    fn wanted_images(&self) -> String {
        let all: Vec<&str> = self.f.dep.spec.template.spec.containers.iter().map(|c| c.image.as_str()).collect();
        all.join(", ")
    }

    fn restart(&self, now: Time) -> Draft {
        let at = now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let was = self.f.dep.spec.template.metadata.annotation(RESTARTED_AT);
        let write = annotate(self.edit(), &format!("{TEMPLATE}/metadata"), RESTARTED_AT, &at, &self.f.root.value()).write();
        let (surge, missing) = self.f.surge();
        let all = self.f.replicas();
        let pace = if self.f.recreates() { "all at once".to_owned() } else { format!("up to {surge} more and {missing} fewer at a time") };
        let sentence = format!("Replaces all {all} {}, {pace}: a new revision with the same images.", pods(all));
        let draft =
            Draft::new(sentence, write, self.seen(), "a restart is rolling", "none: replaced pods do not come back; abort stops the rest");
        let draft = draft.change("restartedAt", if was.is_empty() { "none" } else { was }, at);
        let draft = draft.warn(Severity::Warning, self.rolling(), "a roll is in progress: its pods are replaced once more");
        self.downtime(draft, Severity::Danger, true)
    }

    fn set_image(&self, container: &str, image: &str) -> Result<Draft, Refusal> {
        if let Err(wrong) = image::check(image) {
            let sample = "such as registry.example:5000/team/app:v2";
            return Err(Refusal::because(format!("{image:?} is no image name: {wrong}")).instead(sample, None));
        }
        let (at, old) = containers::find(&self.f.root.value(), TEMPLATE, container).ok_or_else(|| self.no_container(container))?;
        if old == image {
            let already = format!("container {container} already has image {image}");
            return Err(Refusal::because(already).instead("name another tag or digest", None));
        }
        let path = format!("{at}/image");
        let write = self.edit().same(&format!("{at}/name")).same(&path).set(&path, image.into()).write();
        let begins = if self.rolling() { " The version in flight is replaced by it." } else { "" };
        let sentence = format!("Rolls out {image} in container {container}, pod after pod, without steps or analysis.{begins}");
        let draft = Draft::new(sentence, write, self.seen(), "a new version is being rolled out", format!("undo, or set {old} again"))
            .change(&format!("image of {container}"), old.as_str(), image)
            .warn(Severity::Warning, self.f.dep.spec.paused, "it is paused: the new version waits until someone resumes");
        Ok(self.downtime(draft, Severity::Danger, !self.f.dep.spec.paused))
    }

    fn no_container(&self, name: &str) -> Refusal {
        let template = self.f.root.value().pointer(TEMPLATE).cloned().unwrap_or_default();
        let known: Vec<String> = containers::all(&template).into_iter().map(|(n, _)| n.to_string()).collect();
        Refusal::because(format!("there is no container {name}")).instead(format!("containers: {}", known.join(", ")), None)
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

    fn finish(&self, draft: Draft, intent: &Intent) -> Plan {
        let mut warnings = draft.warnings;
        warnings.extend(self.gitops(intent.verb()));
        warnings.sort_by_key(|n| std::cmp::Reverse(n.severity));
        Plan {
            intent: intent.clone(),
            target: bare::id(&self.rollout.id.context, self.f.root),
            danger: describe(Command::Act(intent.verb())).map_or(Danger::Reversible, |row| row.danger),
            sentence: draft.sentence.into(),
            writes: vec![draft.write],
            changes: draft.changes,
            only_if: vec![format!("nobody changed Deployment {} since", self.f.root.meta.name).into()],
            expect: Expectation { goal: draft.goal, what: draft.what.into(), within: draft.within },
            back: draft.back.into(),
            warnings,
            capacity: None,
        }
    }

    /// A template is what Git holds, so it is put back; other fields are mostly not in Git.
    fn gitops(&self, verb: Verb) -> Option<Notice> {
        let owner = owner::spoken(self.rollout.owner.as_ref()?);
        let (severity, text) = match verb {
            Verb::Undo | Verb::Abort | Verb::SetImage => {
                (Severity::Warning, format!("{owner} owns it: this will be reverted to what Git says"))
            }
            _ => (Severity::Note, format!("{owner} owns it and may revert this if the field is in Git")),
        };
        Some(Notice { severity, text: text.into() })
    }
}

fn images(set: &Set<'_>) -> String {
    let all: Vec<&str> = set.dto.spec.template.spec.containers.iter().map(|c| c.image.as_str()).collect();
    all.join(", ")
}

/// A key as a part of a JSON pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Sets an annotation, also where there are none yet: the server refuses a path whose parent is absent.
fn annotate<'a>(edit: Edit<'a>, metadata: &str, key: &str, value: &str, read: &Value) -> Edit<'a> {
    let all = format!("{metadata}/annotations");
    if read.pointer(&all).is_some_and(Value::is_object) {
        let path = format!("{all}/{}", escaped(key));
        return edit.same(&path).set(&path, value.into());
    }
    if read.pointer(metadata).is_some_and(Value::is_object) {
        return edit.same(&all).set(&all, json!({ key: value }));
    }
    edit.same(metadata).set(metadata, json!({"annotations": { key: value }}))
}

fn change_cause<'a>(edit: Edit<'a>, cause: &str, annotated: bool) -> Edit<'a> {
    let path = format!("/metadata/annotations/{}", escaped(CHANGE_CAUSE));
    match (cause, annotated) {
        ("", _) => edit.same(&path).remove_if_there(&path),
        (cause, true) => edit.same(&path).set(&path, cause.into()),
        (cause, false) => edit.same("/metadata/annotations").set("/metadata/annotations", json!({ CHANGE_CAUSE: cause })),
    }
}
