//! How far a plan has come, in the cluster's own words: never from the fact that it was sent.

use super::{
    facts::Facts,
    status::{Situation, situation},
};
use crate::engine::{Goal, Progress, workload::pods::reason};

pub fn progress(f: &Facts<'_>, goal: &Goal) -> Progress {
    match goal {
        Goal::Seen { after } => seen(f, *after),
        Goal::Rolled { after } => match seen(f, *after) {
            Progress::Done => rolled(f),
            before => before,
        },
        _ => Progress::Nothing,
    }
}

/// A change of the spec counts when the controller has seen the generation that holds it.
fn seen(f: &Facts<'_>, after: i64) -> Progress {
    match (f.root.meta.generation > after, f.observed()) {
        (false, _) => Progress::Nothing,
        (true, false) => Progress::Observed,
        (true, true) => Progress::Done,
    }
}

fn rolled(f: &Facts<'_>) -> Progress {
    match (situation(f), f.failing()) {
        (Situation::Complete, _) => Progress::Done,
        (Situation::ByHand, _) => Progress::Diverted("OnDelete holds it again".into()),
        (Situation::Broken, Some(pod)) => Progress::Diverted(format!("pod {} does not get ready: {}", pod.name, reason(pod)).into()),
        _ => Progress::Observed,
    }
}
