//! Where a DaemonSet stands: what `kubectl rollout status` would say, and who must act.

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
    /// OnDelete: nodes get the new version when somebody deletes their pod.
    ByHand,
    /// In flight, and new pods cannot start.
    Broken,
    Rolling,
    /// Rolled out, but pods are not ready.
    Short,
    Complete,
}

pub fn situation(f: &Facts<'_>) -> Situation {
    use Situation as S;
    let table = [
        (f.root.meta.deleting.is_some(), S::Deleting),
        (!f.observed(), S::Unobserved),
        (f.in_flight() && f.on_delete(), S::ByHand),
        (f.in_flight() && f.failing().is_some(), S::Broken),
        (f.in_flight(), S::Rolling),
        (f.available() < f.nodes(), S::Short),
    ];
    table.into_iter().find(|(holds, _)| *holds).map_or(S::Complete, |(_, s)| s)
}

pub fn phase(f: &Facts<'_>) -> Phase {
    use Situation as S;
    match situation(f) {
        S::Deleting | S::Unobserved | S::Rolling => Phase::Progressing,
        S::ByHand => Phase::Paused,
        S::Broken => Phase::Failing,
        S::Short if f.failing().is_some() => Phase::Failing,
        S::Short => Phase::Progressing,
        S::Complete => Phase::Healthy,
    }
}

pub fn detail(f: &Facts<'_>) -> Text {
    use Situation as S;
    let counts = || format!("{} of {} nodes have the new version", f.updated(), f.nodes());
    let told = match situation(f) {
        S::Deleting => "being deleted".to_owned(),
        S::Unobserved => "waiting for the spec to be observed".to_owned(),
        S::ByHand => format!("OnDelete: {}", counts()),
        S::Broken => f.failing().map(|p| format!("{}: pod {} {}", counts(), p.name, reason(p))).unwrap_or_default(),
        S::Rolling => counts(),
        S::Short => format!("{} of {} pods available", f.available(), f.nodes()),
        S::Complete if f.nodes() == 0 => "no node wants it".to_owned(),
        S::Complete => "rolled out".to_owned(),
    };
    told.into()
}

pub fn wait(f: &Facts<'_>) -> Option<Wait> {
    use Situation as S;
    let wait = |who, reason: Text| Some(Wait { who, reason, since: None, until: None });
    match situation(f) {
        S::Complete => None,
        S::Deleting | S::Unobserved => wait(WaitFor::Controller, detail(f)),
        S::ByHand => wait(WaitFor::Human, "OnDelete".into()),
        S::Broken => wait(WaitFor::Human, "new pods do not get ready".into()),
        S::Rolling | S::Short => wait(WaitFor::Pods, detail(f)),
    }
}

pub fn next(f: &Facts<'_>) -> Next {
    use Situation as S;
    let what = match situation(f) {
        S::Complete => "nothing".to_owned(),
        S::Deleting => "it is removed".to_owned(),
        S::Unobserved => "the controller looks at the newest change".to_owned(),
        S::ByHand => format!("nothing until someone resumes, or runs: {}", f.delete()),
        S::Broken => "the controller waits for the pods; nothing rolls back by itself".to_owned(),
        S::Rolling => "the controller goes on with the next node".to_owned(),
        S::Short => "missing pods come back when they get ready".to_owned(),
    };
    Next { at: None, what: what.into() }
}

/// There is no switch to throw: going back is a roll in the other direction, node after node.
pub fn way_back(f: &Facts<'_>) -> WayBack {
    use Situation as S;
    let back = |action, what: String| WayBack { action: Some(action), seconds: None, until: None, what: what.into() };
    let Some(previous) = f.previous() else { return WayBack::default() };
    match situation(f) {
        S::Deleting | S::Unobserved => WayBack::default(),
        S::ByHand => back(Verb::Abort, format!("abort: revision {}, then delete the {} new by hand", previous.number, pods(f.updated()))),
        S::Broken | S::Rolling => {
            back(Verb::Abort, format!("abort: undo to revision {}, rolls {} back", previous.number, pods(f.updated())))
        }
        S::Short | S::Complete => back(Verb::Undo, format!("undo to revision {}: a full roll", previous.number)),
    }
}
