//! Where an InferenceService stands, and who must act.
//!
//! Its observed generation is that of the Knative Service under it, so nothing is read from it.

use super::facts::Facts;
use crate::{
    intent::Verb,
    model::{Next, Phase, Text, Wait, WaitFor, WayBack},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Situation {
    Deleting,
    Stopped,
    /// The new model cannot be loaded; users are where they were.
    Failed,
    /// A new revision loads its model.
    Starting,
    /// Users are being moved to what is asked.
    Shifting,
    /// Users are divided, or none is on the new revision yet.
    Canary,
    NotReady,
    Complete,
}

pub fn situation(f: &Facts<'_>) -> Situation {
    use Situation as S;
    let wanted = f.percent().unwrap_or(100);
    let coming = f.created() != f.ready();
    let unknown = f.is("PredictorReady", "Unknown");
    let table = [
        (f.root.meta.deleting.is_some(), S::Deleting),
        (f.is("Stopped", "True"), S::Stopped),
        (f.failed() && (coming || !f.splits()) || f.keeps_failing(), S::Failed),
        (coming || unknown && f.ready().is_empty(), S::Starting),
        // The shares are written before the ingress has them.
        (f.in_flight() && (f.share(f.ready()) != wanted || unknown), S::Shifting),
        (f.in_flight(), S::Canary),
        (!f.is("Ready", "True"), S::NotReady),
    ];
    table.into_iter().find(|(holds, _)| *holds).map_or(S::Complete, |(_, s)| s)
}

pub fn phase(f: &Facts<'_>) -> Phase {
    use Situation as S;
    match situation(f) {
        S::Shifting | S::Canary | S::Complete if f.fails_users() => Phase::Failing,
        S::Deleting | S::Starting | S::Shifting => Phase::Progressing,
        S::Stopped => Phase::Paused,
        S::Failed => Phase::Failing,
        S::NotReady if f.is("Ready", "False") => Phase::Failing,
        S::NotReady => Phase::Progressing,
        S::Canary => Phase::Waiting,
        S::Complete => Phase::Healthy,
    }
}

pub fn detail(f: &Facts<'_>) -> Text {
    use Situation as S;
    let told = match situation(f) {
        S::Deleting => "being deleted".to_owned(),
        S::Stopped => "stopped".to_owned(),
        S::Failed => format!("the model cannot be loaded: {}", f.failure()),
        S::Starting => format!("{} loads its model", f.created()),
        S::Shifting => "users are being moved".to_owned(),
        S::Canary => format!("{} % of the users are on {}", f.share(f.ready()), f.ready()),
        S::NotReady => f.condition("Ready").map(|c| c.message.clone()).filter(|m| !m.is_empty()).unwrap_or_else(|| "not ready".to_owned()),
        S::Complete if f.splits() => format!("all users are on {}", f.rolled_out()),
        S::Complete => "ready".to_owned(),
    };
    told.into()
}

pub fn wait(f: &Facts<'_>) -> Option<Wait> {
    use Situation as S;
    let since = f.condition("Ready").and_then(|c| c.last_transition_time.0);
    let wait = |who, since| Some(Wait { who, reason: detail(f), since, until: None });
    match situation(f) {
        S::Complete => None,
        S::Stopped | S::Canary => wait(WaitFor::Human, None),
        S::Failed => wait(WaitFor::Human, since),
        S::Starting | S::NotReady => wait(WaitFor::Pods, since),
        S::Deleting | S::Shifting => wait(WaitFor::Controller, None),
    }
}

pub fn next(f: &Facts<'_>) -> Next {
    use Situation as S;
    let what = match situation(f) {
        S::Complete if f.splits() && f.percent().is_some_and(|p| p < 100) => {
            format!("the next revision gets {} % of the users when it is ready", f.percent().unwrap_or_default())
        }
        S::Complete if f.splits() => "the next revision gets all users when it is ready".to_owned(),
        S::Complete => "nothing".to_owned(),
        S::Deleting => "it is removed".to_owned(),
        S::Stopped => "nothing until someone starts it".to_owned(),
        S::Failed => "nothing: users stay where they are until a model is loaded".to_owned(),
        S::Starting => format!("{} % of the users go to it when it is ready", f.percent().unwrap_or(100)),
        S::Shifting => "the route follows what is asked".to_owned(),
        S::Canary => "nothing until someone sets a weight or promotes".to_owned(),
        S::NotReady => "the controller keeps trying".to_owned(),
    };
    Next { at: None, what: what.into() }
}

/// A switch of the route. Once a revision has had all users, the one before is remembered, and is as near.
pub fn way_back(f: &Facts<'_>) -> WayBack {
    use Situation as S;
    let back = |action, what: String| WayBack { action: Some(action), seconds: None, until: None, what: what.into() };
    match situation(f) {
        S::Canary | S::Shifting if f.share(f.ready()) > 0 => back(Verb::Abort, format!("abort: all users to {}, at once", f.rolled_out())),
        S::Complete | S::NotReady if f.splits() && !f.previous().is_empty() => {
            back(Verb::Undo, format!("undo: all users to {}, at once", f.previous()))
        }
        _ => WayBack::default(),
    }
}
