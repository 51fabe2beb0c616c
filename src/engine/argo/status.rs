//! Where a Rollout stands: the controller's phase with what a client must add to believe it,
//! and the one word ([`Situation`]) on which the law of actions hangs.

use super::{dto::Int, facts::Facts};
use crate::model::{Phase, Text};

const SPEC_UNOBSERVED: &str = "waiting for rollout spec update to be observed";
const UNPAUSING: &str = "waiting for rollout to unpause";
const WORKLOAD_UNOBSERVED: &str = "waiting for rollout spec update to be observed for the reference workload";

/// The controller's phase and reason, after the corrections a client has to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    pub phase: String,
    pub message: String,
    /// The newest spec, or the newest resume, has not been acted on.
    pub unobserved: bool,
}

impl Word {
    fn new(phase: &str, message: impl Into<String>) -> Self {
        Self { phase: phase.into(), message: message.into(), unobserved: false }
    }

    fn unseen(message: &str) -> Self {
        Self { unobserved: true, ..Self::new("Progressing", message) }
    }

    /// `Paused: CanaryPauseStep`.
    pub fn detail(&self) -> Text {
        if self.message.is_empty() { self.phase.as_str().into() } else { format!("{}: {}", self.phase, self.message).into() }
    }
}

/// The phase in the order every client must compute it (observed, unpausing, workload, own word, arithmetic).
pub fn word(f: &Facts<'_>) -> Word {
    let status = &f.ro.status;
    if !generation_seen(f) {
        return Word::unseen(SPEC_UNOBSERVED);
    }
    if unpausing(f) {
        return Word::unseen(UNPAUSING);
    }
    if !workload_seen(f) {
        return Word::unseen(WORKLOAD_UNOBSERVED);
    }
    if status.phase.is_empty() { computed(f) } else { Word::new(&status.phase, status.message.clone()) }
}

/// Anything but a number, or a number from the future, counts as seen (controllers before 0.10 stored a hash);
/// a Rollout no controller has ever touched does not.
fn generation_seen(f: &Facts<'_>) -> bool {
    let told = &f.ro.status.observed_generation.0;
    if told.is_empty() && f.ro.status.phase.is_empty() {
        return false;
    }
    told.parse::<i64>().map_or(true, |n| n >= f.root.meta.generation)
}

/// Somebody ended the pause and the controller has not noticed: a second promote now would skip a step.
fn unpausing(f: &Facts<'_>) -> bool {
    f.ro.status.controller_pause && f.ro.status.pause_conditions.is_empty()
}

fn workload_seen(f: &Facts<'_>) -> bool {
    let Some((_, workload)) = f.workload() else { return true };
    let noted = f.ro.metadata.annotation(super::facts::WORKLOAD_GENERATION);
    let told = &f.ro.status.workload_observed_generation.0;
    // Before the annotation is bumped only the workload's own generation tells.
    let own = workload.map(|w| w.meta.generation).filter(|g| *g > 0);
    let own_seen = match (own, noted.parse::<i64>()) {
        (Some(own), Ok(noted)) => noted >= own,
        _ => true,
    };
    own_seen && (noted.is_empty() || told.is_empty() || noted == told)
}

/// What controllers before 1.0 leave to the client, first match wins.
fn computed(f: &Facts<'_>) -> Word {
    let status = &f.ro.status;
    for c in &status.conditions {
        if c.kind == "InvalidSpec" {
            return Word::new("Degraded", format!("InvalidSpec: {}", c.message));
        }
        if matches!(c.reason.as_str(), "RolloutAborted" | "ProgressDeadlineExceeded") {
            return Word::new("Degraded", format!("{}: {}", c.reason, c.message));
        }
    }
    if f.ro.spec.paused {
        return Word::new("Paused", "manually paused");
    }
    if let Some(p) = status.pause_conditions.first() {
        return Word::new("Paused", p.reason.clone());
    }
    let restart = f.ro.spec.restart_at.0;
    let canary = !f.is_blue_green();
    let old_left = canary && f.router().is_none() && status.replicas > status.updated_replicas;
    let waits: [(bool, &str); 7] = [
        (restart.is_some() && restart != status.restarted_at.0, "rollout is restarting"),
        (status.updated_replicas < f.ro.spec.replicas.unwrap_or(Int(1)), "more replicas need to be updated"),
        (status.available_replicas < status.updated_replicas, "updated replicas are still becoming available"),
        (f.is_blue_green() && f.active() != f.current(), "active service cutover pending"),
        (f.is_blue_green() && f.stable() != f.current(), "waiting for post-promotion verification to complete"),
        (old_left, "old replicas are pending termination"),
        (canary && f.stable() != f.current(), "waiting for all steps to complete"),
    ];
    waits.iter().find(|(holds, _)| *holds).map_or_else(|| Word::new("Healthy", ""), |(_, why)| Word::new("Progressing", *why))
}

/// Where a Rollout stands, as far as it decides which action makes sense. One row of the law each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Situation {
    /// `metadata.deletionTimestamp` is set.
    Deleting,
    /// The controller has not seen the newest spec.
    Unobserved,
    /// A pause was ended and the controller has not seen it.
    Unpausing,
    /// The controller refuses the spec.
    Invalid,
    /// `status.abort` is written, the controller has not acted.
    AbortPending,
    /// `status.abort` is taken back, the controller has not acted.
    RetryPending,
    Aborted,
    /// Aborted, but the active Service is not on the stable version (blue-green).
    AbortBlocked,
    /// Aborted on top of a manual pause: the canary is not taken back (canary).
    AbortFrozen,
    /// No version has ever become stable.
    FirstDeploy,
    /// One version, nothing in flight.
    Idle,
    /// One version, and `spec.paused`.
    IdlePaused,
    /// `status.promoteFull`.
    PromotingFull,
    /// `spec.paused` with a release in flight, whatever else waits below it.
    ManualPause,
    InconclusiveExperiment,
    /// The analysis of the step in progress could not decide.
    InconclusiveStep,
    InconclusiveBackground,
    /// A pre- or post-promotion analysis could not decide.
    InconclusiveBlueGreen,
    /// A pause step of a canary.
    PauseStep,
    /// Before the switch of a blue-green.
    PauseBlueGreen,
    DeadlineExceeded,
    /// Blue-green: users are on the new version, which is being verified.
    AfterCutover,
    /// A canary at one of its steps.
    RunningStep,
    /// All steps done, the last pods are being replaced.
    Finishing,
    /// Moving without steps: blue-green before the switch, or a canary that has none.
    Running,
}

/// The first row that fits; the order is part of the law (an abort outranks a pause, a manual pause the rest).
pub fn situation(f: &Facts<'_>) -> Situation {
    use Situation as S;
    let status = &f.ro.status;
    let word = word(f);
    let said = |reason: &str| word.message.starts_with(reason);
    let rows: [(bool, S); 24] = [
        (f.root.meta.deleting.is_some() || f.ro.metadata.deletion_timestamp.0.is_some(), S::Deleting),
        (word.unobserved && !unpausing(f), S::Unobserved),
        (unpausing(f), S::Unpausing),
        (word.phase == "Degraded" && said("InvalidSpec"), S::Invalid),
        (status.abort && status.aborted_at.0.is_none() && word.phase != "Degraded", S::AbortPending),
        (!status.abort && status.aborted_at.0.is_some() && f.in_flight(), S::RetryPending),
        (status.abort && f.active_is_not_stable(), S::AbortBlocked),
        (status.abort && f.in_flight() && f.ro.spec.paused && !f.is_blue_green(), S::AbortFrozen),
        (status.abort && f.in_flight(), S::Aborted),
        (f.stable().is_empty(), S::FirstDeploy),
        (!f.in_flight() && f.ro.spec.paused, S::IdlePaused),
        (!f.in_flight(), S::Idle),
        (status.promote_full, S::PromotingFull),
        (f.ro.spec.paused, S::ManualPause),
        (f.has_pause("InconclusiveExperiment"), S::InconclusiveExperiment),
        (f.has_pause("InconclusiveAnalysisRun") && f.is_blue_green(), S::InconclusiveBlueGreen),
        (f.has_pause("InconclusiveAnalysisRun") && step_inconclusive(f), S::InconclusiveStep),
        (f.has_pause("InconclusiveAnalysisRun"), S::InconclusiveBackground),
        (!status.pause_conditions.is_empty() && f.is_blue_green(), S::PauseBlueGreen),
        (!status.pause_conditions.is_empty(), S::PauseStep),
        (word.phase == "Degraded", S::DeadlineExceeded),
        (f.after_cutover(), S::AfterCutover),
        (f.step_index().is_some_and(|i| i < f.steps().len()), S::RunningStep),
        (f.step_index().is_some(), S::Finishing),
    ];
    rows.iter().find(|(holds, _)| *holds).map_or(S::Running, |(_, s)| *s)
}

pub fn step_inconclusive(f: &Facts<'_>) -> bool {
    f.ro.status.canary.current_step_analysis_run_status.as_ref().is_some_and(|r| r.status == "Inconclusive")
}

/// The one word for the fleet.
pub fn phase(f: &Facts<'_>) -> Phase {
    use Situation as S;
    let word = word(f);
    let danger = active_is_empty(f) || matches!(situation(f), S::AbortBlocked) || abort_not_done(f);
    match (situation(f), word.phase.as_str()) {
        (S::Unobserved | S::Unpausing | S::RetryPending | S::AbortPending, _) => Phase::Progressing,
        _ if danger => Phase::Failing,
        (S::Aborted | S::AbortFrozen, _) => Phase::Aborted,
        (_, "Degraded") => Phase::Failing,
        (_, "Healthy") => Phase::Healthy,
        (_, "Progressing") => Phase::Progressing,
        (_, "Paused") if f.ro.spec.paused => Phase::Paused,
        (_, "Paused") if waits_for_human(f) => Phase::Waiting,
        (_, "Paused") => Phase::Paused,
        _ => Phase::Unknown,
    }
}

/// Whether any pause of the controller ends only by a person.
pub fn waits_for_human(f: &Facts<'_>) -> bool {
    f.ro.status.pause_conditions.iter().any(|p| match p.reason.as_str() {
        "CanaryPauseStep" => super::steps::pause_seconds(f).is_none(),
        "BlueGreenPause" => super::steps::auto_promotion_seconds(f).is_none(),
        _ => true,
    })
}

/// Says aborted while users are still sent to the new version.
pub fn abort_not_done(f: &Facts<'_>) -> bool {
    let routed = f.router().is_some() || f.ro.spec.paused;
    f.ro.status.abort && f.in_flight() && !f.is_blue_green() && routed && f.exposed_share() > 0.0
}

/// Blue-green: nobody stands behind the active Service. The status counts are scoped to it,
/// so this holds with the Rollout alone; ReplicaSets, when at hand, speak for themselves.
pub fn active_is_empty(f: &Facts<'_>) -> bool {
    let told = f.is_blue_green() && !f.active().is_empty() && !f.stable().is_empty() && f.replicas() > 0;
    told && f.set(f.active()).map_or(f.ro.status.ready_replicas.0 <= 0, |s| s.ready() == 0)
}
