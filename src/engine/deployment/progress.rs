//! How far a plan has come, in the cluster's own words: never from the fact that it was sent.

use super::facts::Facts;
use crate::engine::{Goal, Progress};

pub fn progress(f: &Facts<'_>, goal: &Goal) -> Progress {
    match goal {
        Goal::Paused => seen(f, f.dep.spec.paused),
        Goal::Resumed => seen(f, !f.dep.spec.paused),
        Goal::Seen { after } => seen(f, f.root.meta.generation > *after),
        Goal::Rolled { after } => match seen(f, f.root.meta.generation > *after) {
            Progress::Done => rolled(f),
            before => before,
        },
        _ => Progress::Nothing,
    }
}

/// A field of the spec counts when the controller has seen the generation that holds it.
fn seen(f: &Facts<'_>, holds: bool) -> Progress {
    match (holds, f.observed()) {
        (false, _) => Progress::Nothing,
        (true, false) => Progress::Observed,
        (true, true) => Progress::Done,
    }
}

fn rolled(f: &Facts<'_>) -> Progress {
    match f.complete() {
        true => Progress::Done,
        _ if f.dep.spec.paused => Progress::Diverted("it was paused again".into()),
        _ if f.deadline_exceeded() => Progress::Diverted("pods of that version do not get ready either".into()),
        _ => Progress::Observed,
    }
}
