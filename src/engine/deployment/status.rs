//! Where a Deployment stands: what `kubectl rollout status` would say, and who must act.

use super::facts::Facts;
use crate::{
    intent::Verb,
    model::{Next, Phase, Text, Wait, WaitFor, WayBack},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Situation {
    Deleting,
    /// The controller has not seen the wanted template.
    Unobserved,
    /// Paused with two versions in play, or with changes that wait.
    PausedMidway,
    /// Paused, and nothing to do anyway.
    PausedIdle,
    /// No progress for longer than the deadline; the controller keeps trying.
    DeadlineExceeded,
    /// The controller cannot make the pods.
    CannotCreate,
    Rolling,
    /// Rolled out, but pods have failed since or are being scaled.
    Short,
    Complete,
}

impl Situation {
    /// Two versions are in play, or one is about to be.
    pub fn midway(self) -> bool {
        matches!(self, Self::PausedMidway | Self::DeadlineExceeded | Self::CannotCreate | Self::Rolling)
    }
}

pub fn situation(f: &Facts<'_>) -> Situation {
    use Situation as S;
    let table = [
        (f.root.meta.deleting.is_some(), S::Deleting),
        (!f.recognised(), S::Unobserved),
        (f.dep.spec.paused && (f.in_flight() || f.not_updated() > 0), S::PausedMidway),
        (f.dep.spec.paused, S::PausedIdle),
        (f.complete(), S::Complete),
        (f.deadline_exceeded(), S::DeadlineExceeded),
        (f.replica_failure().is_some(), S::CannotCreate),
        (!f.in_flight() && f.progressing_reason() == "NewReplicaSetAvailable", S::Short),
    ];
    table.into_iter().find(|(holds, _)| *holds).map_or(S::Rolling, |(_, s)| s)
}

pub fn phase(f: &Facts<'_>) -> Phase {
    use Situation as S;
    match situation(f) {
        S::Deleting | S::Unobserved | S::Rolling => Phase::Progressing,
        S::PausedMidway | S::PausedIdle => Phase::Paused,
        S::DeadlineExceeded => Phase::Failing,
        // A quota or an admission rule stands in the way: neither the controller nor time will move it.
        S::CannotCreate => Phase::Stuck,
        S::Short if f.condition("Available").is_some_and(|c| c.status == "False") => Phase::Failing,
        S::Short => Phase::Progressing,
        S::Complete => Phase::Healthy,
    }
}

/// kubectl's sentence, shorter.
pub fn detail(f: &Facts<'_>) -> Text {
    use Situation as S;
    let told = match situation(f) {
        S::Deleting => "being deleted".to_owned(),
        S::Unobserved => "waiting for the spec to be observed".to_owned(),
        S::PausedMidway if f.changes_wait() => "paused: changes wait".to_owned(),
        S::PausedMidway => format!("paused: {}", counts(f)),
        S::PausedIdle => "paused: nothing to roll out".to_owned(),
        S::DeadlineExceeded => format!("no progress for {} s: {}", f.deadline_seconds(), counts(f)),
        S::CannotCreate => format!("pods cannot be created: {}", counts(f)),
        S::Rolling => counts(f),
        S::Short => format!("{} of {} pods available", f.dep.status.available_replicas.count(), f.replicas()),
        S::Complete => "rolled out".to_owned(),
    };
    told.into()
}

fn counts(f: &Facts<'_>) -> String {
    let s = &f.dep.status;
    let (updated, available) = (s.updated_replicas.count(), s.available_replicas.count());
    match f.old_pods() {
        _ if f.not_updated() > 0 => format!("{updated} of {} pods are new, {} old", f.replicas(), f.old_pods()),
        0 => format!("{available} of {updated} new pods available"),
        old => format!("{old} old pods to go"),
    }
}

pub fn wait(f: &Facts<'_>) -> Option<Wait> {
    use Situation as S;
    let since = f.condition("Progressing").and_then(|c| c.last_transition_time.0);
    let wait = |who, reason: Text, since| Some(Wait { who, reason, since, until: None });
    match situation(f) {
        S::Complete => None,
        S::Deleting | S::Unobserved => wait(WaitFor::Controller, detail(f), None),
        S::PausedMidway | S::PausedIdle => {
            let paused_since = since.filter(|_| f.progressing_reason() == "DeploymentPaused");
            wait(WaitFor::Human, "paused".into(), paused_since)
        }
        S::DeadlineExceeded => wait(WaitFor::Human, "new pods do not get ready".into(), since),
        S::CannotCreate => {
            wait(WaitFor::Human, "pods cannot be created".into(), f.replica_failure().and_then(|c| c.last_transition_time.0))
        }
        S::Rolling | S::Short => wait(WaitFor::Pods, detail(f), f.condition("Progressing").and_then(|c| c.last_update_time.0)),
    }
}

pub fn next(f: &Facts<'_>) -> Next {
    use Situation as S;
    let say = |what: &str| Next { at: None, what: what.into() };
    match situation(f) {
        S::Complete | S::PausedIdle => say("nothing"),
        S::Deleting => say("it is removed"),
        S::Unobserved => say("the controller looks at the newest change"),
        S::PausedMidway if f.changes_wait() => say("nothing until someone resumes; then the changes roll out"),
        S::PausedMidway => say("nothing until someone resumes; then the remaining pods are replaced"),
        S::DeadlineExceeded => say("the controller keeps trying; nothing rolls back by itself"),
        S::CannotCreate => say("nothing until what forbids the pods is changed; the controller keeps trying"),
        S::Short => say("missing pods come back when they get ready"),
        S::Rolling => Next { at: f.deadline(), what: "marked as failed unless pods make progress; nothing rolls back by itself".into() },
    }
}

/// There is no switch to throw: going back is a roll in the other direction, at the same pace.
pub fn way_back(f: &Facts<'_>) -> WayBack {
    let here = situation(f);
    let Some(previous) = f.previous().filter(|_| !matches!(here, Situation::Deleting)) else { return WayBack::default() };
    let new = f.dep.status.updated_replicas.count();
    let back = |action, what: String| WayBack { action: Some(action), seconds: None, until: None, what: what.into() };
    match here {
        _ if f.changes_wait() => back(Verb::Abort, "abort: drops the changes that wait".to_owned()),
        _ if here.midway() && f.in_flight() => {
            back(Verb::Abort, format!("abort: undo to revision {}, rolls {new} new {} back", previous.revision, pods(new)))
        }
        Situation::Complete | Situation::Short => back(Verb::Undo, format!("undo to revision {}: a full roll", previous.revision)),
        _ => WayBack::default(),
    }
}

pub fn pods(n: u32) -> &'static str {
    if n == 1 { "pod" } else { "pods" }
}
