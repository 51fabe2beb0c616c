//! How far a plan has come, in the cluster's own words: never from the fact that it was sent.

use super::{
    facts::Facts,
    status::{Situation, situation},
};
use crate::engine::{Goal, Progress, workload::pods::reason};

pub fn progress(f: &Facts<'_>, goal: &Goal) -> Progress {
    let seen = |after| Progress::of_spec(f.root.meta.generation > after, f.observed());
    match goal {
        Goal::Seen { after } => seen(*after),
        Goal::Rolled { after } => seen(*after).then(|| rolled(f)),
        _ => Progress::Nothing,
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
