//! Where a Knative Service stands, and who must act.

use super::facts::Facts;
use crate::{
    intent::Verb,
    model::{Next, Phase, Text, Wait, WaitFor, WayBack},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Situation {
    Deleting,
    /// The controller has not seen the newest spec.
    Unobserved,
    /// The newest revision cannot serve; users are where they were.
    Failed,
    /// The newest revision is coming up.
    Starting,
    /// The route cannot do what is asked.
    Broken,
    /// Users are being moved to what is asked.
    Shifting,
    /// Users are divided between revisions.
    Split,
    /// Users are on an earlier revision, by name.
    Pinned,
    Complete,
}

pub fn situation(f: &Facts<'_>) -> Situation {
    use Situation as S;
    let share = f.share(f.latest());
    let table = [
        (f.root.meta.deleting.is_some(), S::Deleting),
        (!f.observed(), S::Unobserved),
        (f.created() != f.latest() && f.failed("ConfigurationsReady").is_some(), S::Failed),
        (f.created() != f.latest() || f.latest().is_empty(), S::Starting),
        (f.failed("RoutesReady").is_some(), S::Broken),
        // The shares are written before the ingress has them.
        (f.live() != f.wanted() && !same_shares(f) || f.condition("RoutesReady").is_some_and(|c| c.status == "Unknown"), S::Shifting),
        (share > 0 && share < 100, S::Split),
        (share == 0, S::Pinned),
    ];
    table.into_iter().find(|(holds, _)| *holds).map_or(S::Complete, |(_, s)| s)
}

/// Tags without users are in one list and may be missing in the other.
fn same_shares(f: &Facts<'_>) -> bool {
    let (live, wanted) = (f.live(), f.wanted());
    let with_users = |shares: std::collections::BTreeMap<&str, i64>| -> Vec<(String, i64)> {
        shares.into_iter().filter(|(_, percent)| *percent > 0).map(|(name, percent)| (name.to_owned(), percent)).collect()
    };
    with_users(live) == with_users(wanted)
}

pub fn phase(f: &Facts<'_>) -> Phase {
    use Situation as S;
    match situation(f) {
        S::Deleting | S::Unobserved | S::Starting | S::Shifting => Phase::Progressing,
        S::Failed | S::Broken => Phase::Failing,
        S::Split => Phase::Waiting,
        S::Pinned => Phase::Paused,
        S::Complete => Phase::Healthy,
    }
}

pub fn detail(f: &Facts<'_>) -> Text {
    use Situation as S;
    let share = f.share(f.latest());
    let told = match situation(f) {
        S::Deleting => "being deleted".to_owned(),
        S::Unobserved => "waiting for the spec to be observed".to_owned(),
        S::Failed => format!("{} does not get ready", f.created()),
        S::Starting => format!("{} is starting", f.created()),
        S::Broken => "the route is not ready".to_owned(),
        S::Shifting => "users are being moved".to_owned(),
        S::Split => format!("{share} % of the users are on {}", f.latest()),
        S::Pinned => format!("{} has no users", f.latest()),
        S::Complete => format!("all users are on {}", f.latest()),
    };
    told.into()
}

pub fn wait(f: &Facts<'_>) -> Option<Wait> {
    use Situation as S;
    let since = f.condition("Ready").and_then(|c| c.last_transition_time.0);
    let wait = |who, reason: Text, since| Some(Wait { who, reason, since, until: None });
    match situation(f) {
        S::Complete => None,
        S::Split | S::Pinned => wait(WaitFor::Human, detail(f), None),
        S::Failed | S::Broken => wait(WaitFor::Human, detail(f), since),
        S::Starting => wait(WaitFor::Pods, detail(f), since),
        S::Deleting | S::Unobserved | S::Shifting => wait(WaitFor::Controller, detail(f), None),
    }
}

pub fn next(f: &Facts<'_>) -> Next {
    use Situation as S;
    let what = match situation(f) {
        S::Complete if f.follows() => "the next revision gets all users when it is ready",
        S::Complete => "the next revision gets no users until someone promotes it",
        S::Deleting => "it is removed",
        S::Unobserved => "the controller looks at the newest change",
        S::Failed => "nothing: users stay where they are until a revision is ready",
        S::Starting if f.follows() => "all users go to the new revision when it is ready",
        S::Starting => "nothing moves: users are pinned to their revision",
        S::Broken => "the controller keeps trying",
        S::Shifting => "the route follows what is asked",
        S::Split | S::Pinned => "nothing until someone sets a weight or promotes",
    };
    Next { at: None, what: what.into() }
}

/// A switch of the route: earlier revisions start again within seconds when they were scaled to zero.
pub fn way_back(f: &Facts<'_>) -> WayBack {
    use Situation as S;
    let back = |action, what: String| WayBack { action: Some(action), seconds: None, until: None, what: what.into() };
    match (situation(f), f.old()) {
        (S::Split | S::Shifting | S::Broken, Some(old)) => back(Verb::Abort, format!("abort: all users to {old}, at once")),
        (S::Complete, _) if f.revisions.len() > 1 => back(Verb::Undo, "undo: all users to an earlier revision, at once".to_owned()),
        _ => WayBack::default(),
    }
}
