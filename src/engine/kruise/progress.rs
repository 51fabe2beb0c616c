//! How far a plan has come, in the controller's own words: never from the fact that it was sent.

use super::{
    facts::Facts,
    status::{Situation, situation},
};
use crate::engine::{Goal, Progress};

pub fn progress(f: &Facts<'_>, goal: &Goal) -> Progress {
    match goal {
        Goal::StepPast { hash, index } => past(f, hash, *index),
        Goal::Paused => Progress::of_spec(f.ro.spec.strategy.paused, f.observed()),
        Goal::Resumed => Progress::of_spec(!f.ro.spec.strategy.paused, f.observed()),
        Goal::Aborted => aborted(f),
        Goal::Template { hash: Some(image), .. } => match f.images().any(|i| i == &**image) {
            true => Progress::Done,
            false => Progress::Nothing,
        },
        Goal::Template { not: Some(not), .. } => match f.revision() {
            now if now != &**not => Progress::Done,
            _ => Progress::Nothing,
        },
        _ => Progress::Nothing,
    }
}

/// Index of the step, 1-based, that must be behind it.
fn past(f: &Facts<'_>, hash: &str, index: i64) -> Progress {
    if f.revision() != hash {
        return Progress::Diverted("another version is being released".into());
    }
    let now = f.status().map_or(0, |(p, _)| p.current_step_index.0);
    match situation(f) {
        Situation::RollingBack => Progress::Diverted("it is being rolled back".into()),
        Situation::Idle | Situation::Finalising => Progress::Done,
        _ if now > index || f.state() == "Completed" => Progress::Done,
        _ if now == index && f.state() == "StepReady" => Progress::Observed,
        _ => Progress::Nothing,
    }
}

fn aborted(f: &Facts<'_>) -> Progress {
    let cancelled = f.condition("Succeeded").is_some_and(|c| c.status == "False");
    match situation(f) {
        Situation::RollingBack => Progress::Observed,
        Situation::Idle if cancelled => Progress::Done,
        Situation::Idle => Progress::Diverted("the release was completed instead".into()),
        _ => Progress::Nothing,
    }
}
