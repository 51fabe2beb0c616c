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

/// All pods that are to have the wanted version have it and are ready.
fn rolled(f: &Facts<'_>) -> Progress {
    let there = f.set.status.replicas.count() == f.replicas() && f.ready() >= f.replicas();
    if there && !f.unfinished() {
        return Progress::Done;
    }
    match (situation(f), f.blocker().or_else(|| f.failing())) {
        (Situation::Blocked, Some(pod)) => Progress::Diverted(format!("pod {} blocks it: {}", pod.name, f.delete(&pod.name)).into()),
        (Situation::Broken, Some(pod)) => Progress::Diverted(format!("pod {} does not get ready: {}", pod.name, reason(pod)).into()),
        _ => Progress::Observed,
    }
}
