//! How far a plan has come, in the cluster's own words: never from the fact that it was sent.

use super::facts::Facts;
use crate::engine::{Goal, Progress};

pub fn progress(f: &Facts<'_>, goal: &Goal) -> Progress {
    let seen = |holds| Progress::of_spec(holds, f.observed());
    match goal {
        Goal::Paused => seen(f.dep.spec.paused),
        Goal::Resumed => seen(!f.dep.spec.paused),
        Goal::Template { hash, not } => {
            let wanted = f.template();
            seen(hash.as_ref().is_none_or(|h| *h == wanted) && not.as_ref().is_none_or(|n| *n != wanted))
        }
        Goal::Stable(template) => seen(*template == f.template()).then(|| rolled(f)),
        Goal::Scaled { from, to, .. } => scaled(f, *from, *to),
        _ => Progress::Nothing,
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

fn scaled(f: &Facts<'_>, from: u32, to: u32) -> Progress {
    let (wanted, status) = (f.replicas(), &f.dep.status);
    match () {
        () if wanted == from => Progress::Nothing,
        () if wanted != to => Progress::Diverted(format!("an autoscaler or somebody else wants {wanted} pods by now").into()),
        () if f.observed() && status.replicas.count() == to && status.available_replicas.count() == to => Progress::Done,
        () => Progress::Observed,
    }
}
