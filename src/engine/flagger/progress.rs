//! How far a plan has come, in Flagger's own words.

use super::facts::Facts;
use crate::{
    engine::{Goal, Progress},
    model::Time,
};

pub fn progress(f: &Facts<'_>, goal: &Goal) -> Progress {
    let spec_says = |holds: bool| if holds { Progress::Done } else { Progress::Nothing };
    match goal {
        Goal::Paused => spec_says(f.ca.spec.suspend),
        Goal::Resumed => spec_says(!f.ca.spec.suspend),
        Goal::Analysed => spec_says(!f.ca.spec.skip_analysis),
        Goal::PauseOver { hash, index, started } => passed(f, hash, *index, *started),
        Goal::Stable(hash) => promoted(f, hash),
        Goal::Aborted => aborted(f),
        Goal::Template { not, .. } => template(f, not.as_deref()),
        // No verb of this engine asks for the others.
        _ => Progress::Nothing,
    }
}

fn diverted(words: impl Into<String>) -> Progress {
    Progress::Diverted(words.into().into())
}

/// Whether a gate has let it pass. At confirm-rollout the status names the version before; at confirm-traffic-increase
/// it does not move at all, and at confirm-promotion all of it but the phase does.
fn passed(f: &Facts<'_>, hash: &str, gate: Option<i64>, since: Option<Time>) -> Progress {
    match (gate, f.phase()) {
        (_, "Failed") => diverted("it was rolled back"),
        (Some(0), "Waiting") | (Some(2), "WaitingPromotion") => Progress::Nothing,
        (Some(0), _) => Progress::Done,
        _ if f.ca.status.last_applied_spec != hash => diverted("another version is being released now"),
        (Some(1), "Progressing") if f.ca.status.last_transition_time.0 == since => Progress::Nothing,
        _ => Progress::Done,
    }
}

fn promoted(f: &Facts<'_>, hash: &str) -> Progress {
    let status = &f.ca.status;
    match f.phase() {
        "Succeeded" if status.last_promoted_spec == hash => Progress::Done,
        _ if status.last_applied_spec != hash => diverted("another version is being released now"),
        "Failed" => diverted("it was rolled back"),
        "Promoting" | "Finalising" => Progress::Observed,
        _ => Progress::Nothing,
    }
}

/// Done when it has failed and nobody is sent to the canary any more.
fn aborted(f: &Facts<'_>) -> Progress {
    match f.phase() {
        "Failed" if f.routed_share().is_some_and(|share| share > 0.0) => Progress::Observed,
        "Failed" => Progress::Done,
        "Promoting" | "Finalising" | "Succeeded" => diverted("it was promoted before the abort was seen"),
        _ => Progress::Nothing,
    }
}

/// With a gate in front of the release the status names the version before until the gate opens.
fn template(f: &Facts<'_>, not: Option<&str>) -> Progress {
    match Some(f.ca.status.last_applied_spec.as_str()) == not {
        false => Progress::Done,
        true if f.phase() == "Waiting" => Progress::Done,
        true => Progress::Nothing,
    }
}
