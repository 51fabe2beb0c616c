//! Where a StatefulSet stands: what moves, what holds it, and who must act.

use super::facts::Facts;
use crate::{
    engine::workload::{draft::pods, pods::reason},
    intent::Verb,
    model::{Next, Phase, Text, Wait, WaitFor, WayBack},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Situation {
    Deleting,
    /// The controller has not seen the newest spec.
    Unobserved,
    /// A broken pod of another version holds everything up until somebody deletes it.
    Blocked,
    /// OnDelete: pods get the new version when somebody deletes them.
    ByHand,
    /// In flight, and pods cannot start.
    Broken,
    /// All pods from the partition up have the new version: a person decides about the rest.
    Held,
    Rolling,
    /// The template was put back, and pods of the version before are still being replaced.
    TakingBack,
    /// Nothing in flight; pods are missing or not ready.
    Short,
    Complete,
}

pub fn situation(f: &Facts<'_>) -> Situation {
    use Situation as S;
    let all_ready = f.ready() >= f.replicas();
    let table = [
        (f.root.meta.deleting.is_some(), S::Deleting),
        (!f.observed(), S::Unobserved),
        (f.blocker().is_some(), S::Blocked),
        (f.on_delete() && (f.in_flight() || f.strays().next().is_some()), S::ByHand),
        (f.in_flight() && f.failing().is_some(), S::Broken),
        (f.in_flight() && f.target() < f.replicas() && f.updated() >= f.target() && all_ready, S::Held),
        (f.in_flight(), S::Rolling),
        (f.strays().next().is_some(), S::TakingBack),
        (!all_ready || f.available() < f.replicas() || f.set.status.replicas.count() != f.replicas(), S::Short),
    ];
    table.into_iter().find(|(holds, _)| *holds).map_or(S::Complete, |(_, s)| s)
}

pub fn phase(f: &Facts<'_>) -> Phase {
    use Situation as S;
    match situation(f) {
        S::Deleting | S::Unobserved | S::Rolling | S::TakingBack => Phase::Progressing,
        S::Blocked => Phase::Stuck,
        S::ByHand | S::Held => Phase::Waiting,
        S::Broken => Phase::Failing,
        S::Short if f.failing().is_some() => Phase::Failing,
        S::Short => Phase::Progressing,
        S::Complete => Phase::Healthy,
    }
}

pub fn detail(f: &Facts<'_>) -> Text {
    use Situation as S;
    let told = match situation(f) {
        S::Deleting => "being deleted".to_owned(),
        S::Unobserved => "waiting for the spec to be observed".to_owned(),
        S::Blocked => f.blocker().map(|p| format!("blocked by pod {}: {}", p.name, reason(p))).unwrap_or_default(),
        S::ByHand => format!("OnDelete: {} of {} pods are new", f.updated(), f.replicas()),
        S::Broken => f.failing().map(|p| format!("{}: pod {} {}", counts(f), p.name, reason(p))).unwrap_or_default(),
        S::Held => format!("partition {}: {} of {} pods are new", f.partition(), f.updated(), f.replicas()),
        S::Rolling => counts(f),
        S::TakingBack => format!("taking back: {} of {} pods have the old version again", f.updated(), f.replicas()),
        S::Short => format!("{} of {} pods ready", f.ready(), f.replicas()),
        S::Complete => "rolled out".to_owned(),
    };
    told.into()
}

fn counts(f: &Facts<'_>) -> String {
    match f.target() {
        target if f.updated() >= target => format!("{} of {} pods ready", f.ready(), f.replicas()),
        target if target < f.replicas() => format!("{} of {target} pods are new (partition {})", f.updated(), f.partition()),
        target => format!("{} of {target} pods are new", f.updated()),
    }
}

pub fn wait(f: &Facts<'_>) -> Option<Wait> {
    use Situation as S;
    let wait = |who, reason: Text| Some(Wait { who, reason, since: None, until: None });
    match situation(f) {
        S::Complete => None,
        S::Deleting | S::Unobserved => wait(WaitFor::Controller, detail(f)),
        S::Blocked => wait(WaitFor::Human, f.blocker().map(|p| format!("pod {} must be deleted", p.name)).unwrap_or_default().into()),
        S::ByHand => wait(WaitFor::Human, format!("pod {} must be deleted", f.next_to_delete()).into()),
        // The partition is as old as the last change of the spec, at the most.
        S::Held => wait(WaitFor::Human, format!("partition {}", f.partition()).into()).map(|w| Wait { since: f.root.meta.written(), ..w }),
        S::Broken => wait(WaitFor::Human, "pods do not get ready".into()),
        S::Rolling | S::TakingBack | S::Short => wait(WaitFor::Pods, detail(f)),
    }
}

pub fn next(f: &Facts<'_>) -> Next {
    use Situation as S;
    let say = |what: String| Next { at: None, what: what.into() };
    match situation(f) {
        S::Complete => say("nothing".into()),
        S::Deleting => say("it is removed".into()),
        S::Unobserved => say("the controller looks at the newest change".into()),
        S::Blocked => say(f.blocker().map(|p| format!("nothing until someone runs: {}", f.delete(&p.name))).unwrap_or_default()),
        S::ByHand => say(format!("nothing until someone runs: {}", f.delete(&f.next_to_delete()))),
        S::Held => say(format!("nothing until someone promotes: next is {}", next_pods(f))),
        S::Broken => say("the controller waits for the pod; nothing rolls back by itself".into()),
        S::Rolling if f.updated() >= f.target() => say("the controller waits until the pods are ready".into()),
        S::Rolling if f.partition() > 0 => say(format!("pods down to {} are replaced, then it waits", f.pod(f.partition_for(f.target())))),
        S::Rolling => say("the controller goes on with the next lower pod".into()),
        S::TakingBack => say("the remaining pods are replaced".into()),
        S::Short => say("missing pods come back when they get ready".into()),
    }
}

/// The pods that the next step brings.
pub fn next_pods(f: &Facts<'_>) -> String {
    f.names(f.partition_for(next_target(f)), f.partition_for(f.target()))
}

/// New pods after the next step: the stride's next multiple.
pub fn next_target(f: &Facts<'_>) -> u32 {
    let stride = f.stride();
    (f.target() / stride).saturating_add(1).saturating_mul(stride).min(f.replicas())
}

/// There is no switch to throw: going back is a roll in the other direction, pod after pod.
pub fn way_back(f: &Facts<'_>) -> WayBack {
    use Situation as S;
    let back = |action, what: String| WayBack { action: Some(action), seconds: None, until: None, what: what.into() };
    let Some(previous) = f.previous() else { return WayBack::default() };
    match situation(f) {
        S::Deleting | S::Blocked | S::TakingBack | S::Unobserved => WayBack::default(),
        S::ByHand => {
            back(Verb::Abort, format!("abort: template of revision {}, then delete the {} new", previous.number, pods(f.updated())))
        }
        S::Broken if f.ordered() => back(Verb::Abort, format!("abort: revision {}, then delete the broken pod by hand", previous.number)),
        S::Broken | S::Held | S::Rolling => {
            back(Verb::Abort, format!("abort: undo to revision {}, rolls {} back", previous.number, pods(f.updated())))
        }
        S::Short | S::Complete => back(Verb::Undo, format!("undo to revision {}: a full roll", previous.number)),
    }
}
