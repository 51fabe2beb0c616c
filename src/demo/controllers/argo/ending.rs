//! The status a pass ends with, and what is told of it.

use std::time::Duration;

use super::{
    conditions::{self, Condition},
    pass::{Outcome, Pass},
    replica_set::{self, ReplicaSet},
    replicas,
    status::Status,
};
use crate::model::Time;

const NOT_AVAILABLE: &str = "Rollout does not have minimum availability";

impl Pass<'_, '_> {
    /// The fields that both strategies have alike.
    pub fn base_status(&mut self) -> Status {
        let mut conditions = self.status.conditions.clone();
        if conditions::find(&conditions, conditions::INVALID_SPEC).is_some() && self.validation_error().is_none() {
            conditions::remove(&mut conditions, conditions::INVALID_SPEC);
        }
        let current = self.new_set().map_or_else(|| self.wanted.to_string(), |set| set.hash().to_owned());
        let promote_full = self.status.promote_full;
        Status {
            promote_full,
            current_pod_hash: current,
            replicas: replica_set::existing(&self.sets),
            updated_replicas: replica_set::existing(self.new_set()),
            ready_replicas: replica_set::ready(&self.sets),
            collision_count: self.status.collision_count,
            conditions,
            ..self.draft.clone()
        }
    }

    /// A new update begins: nothing of the last one counts any more.
    pub fn reset(&mut self, status: &mut Status) {
        self.pauses.clear();
        self.pauses.unabort();
        status.promote_full = false;
        status.blue_green.pre_promotion_analysis_run_status = None;
        status.blue_green.post_promotion_analysis_run_status = None;
        status.blue_green.scale_up_preview_check_point = false;
        status.canary.current_step_analysis_run_status = None;
        status.canary.current_background_analysis_run_status = None;
        status.current_step_index = (!self.spec.steps().is_empty()).then_some(0);
    }

    /// The new version becomes the stable one.
    pub fn promote(&mut self, status: &mut Status, why: &str) -> Outcome {
        self.pauses.clear();
        self.pauses.unabort();
        status.promote_full = false;
        status.blue_green.scale_up_preview_check_point = false;
        if self.spec.canary().is_some() {
            let steps = self.spec.steps().len() as i64;
            status.current_step_index = (steps > 0).then_some(steps);
        }
        let revision = self.meta.revision();
        if status.stable_rs != status.current_pod_hash {
            if self.spec.canary().is_some_and(|canary| canary.ping_pong.is_some()) {
                let next = if self.status.canary.stable_ping_pong == "ping" { "pong" } else { "ping" };
                status.canary.stable_ping_pong = next.into();
            }
            status.stable_rs = status.current_pod_hash.clone();
            let message = format!("Rollout completed update to revision {revision} ({}): {why}", status.current_pod_hash);
            self.event("RolloutCompleted", &message);
        }
        self.scale_workload_on_success(revision)
    }

    /// Writes the status, if anything in it is different, and says what became of pauses. Otherwise looks again when
    /// progress is due.
    pub fn persist(&mut self, mut status: Status) -> Outcome {
        let now = self.now();
        status.observed_generation = self.meta.generation.to_string();
        self.observe_workload(&mut status);
        self.abort_after_deadline(&status);
        self.pauses.apply(&self.status, &mut status, now);
        self.settle_conditions(&mut status, now);
        self.observe(&mut status);
        let was_paused = !self.status.pause_conditions.is_empty();
        if !self.patch(&status)? {
            self.look_again_for_progress(&status);
            return Ok(());
        }
        match status.pause_conditions.first() {
            Some(pause) if !was_paused => self.event("RolloutPaused", &format!("Rollout is paused ({})", pause.reason.name())),
            // An abort clears the pauses, too.
            None if was_paused && status.aborted_at.is_none() => self.event("RolloutResumed", "Rollout is resumed"),
            _ => {}
        }
        Ok(())
    }

    fn abort_after_deadline(&mut self, status: &Status) {
        let is_due = self.spec.progress_deadline_abort
            && !self.is_aborted()
            && !status.is_completed()
            && !conditions::made_progress(&self.spec, &self.status, status)
            && self.progress_is_expected()
            && conditions::timed_out(&self.spec, &self.status, self.cx.now);
        if is_due {
            let message = self.named("has timed out progressing.");
            self.warn(conditions::ABORTED, &message);
            self.pauses.abort(message);
        }
    }

    /// No progress is expected while a step may take any time, a pause is on, or an old version waits for its deadline.
    fn progress_is_expected(&self) -> bool {
        !self.is_open_ended() && !self.others().iter().any(|set| set.has_deadline())
    }

    fn is_open_ended(&self) -> bool {
        let step = replicas::current_step(&self.spec, &self.status).0;
        step.is_some_and(|step| step.is_open_ended()) || conditions::is_true(&self.status, conditions::PAUSED)
    }

    fn named(&self, what: &str) -> String {
        match self.new_set() {
            Some(set) => format!("ReplicaSet \"{}\" {what}", set.name()),
            None => format!("Rollout \"{}\" {what}", self.meta.name),
        }
    }

    fn settle_conditions(&mut self, status: &mut Status, now: Time) {
        let became_unhealthy = self.settle_healthy(status, now);
        if self.is_aborted() {
            self.settle_aborted(status, now);
        } else {
            self.settle_progressing(status, now, became_unhealthy);
        }
        self.settle_available(status, now);
        self.settle_failures(status);
        self.settle_completed(status, now);
    }

    /// Whether the rollout was healthy and no longer is.
    fn settle_healthy(&self, status: &mut Status, now: Time) -> bool {
        let is_paused = self.spec.paused || !status.pause_conditions.is_empty();
        let (value, message) = match !is_paused && conditions::is_healthy(&self.spec, self.is_observed(), status) {
            true => ("True", "Rollout is healthy"),
            false => ("False", "Rollout is not healthy"),
        };
        // Unhealthy is said only of what was healthy once.
        let is_said = value == "True" || conditions::find(&self.status.conditions, conditions::HEALTHY).is_some();
        let condition = Condition::new(conditions::HEALTHY, value, "RolloutHealthy", message, now);
        is_said && conditions::set(&mut status.conditions, condition) && value == "False"
    }

    fn settle_aborted(&mut self, status: &mut Status, now: Time) {
        let mut message = format!("Rollout aborted update to revision {}", self.meta.revision());
        if let Some(why) = self.pauses.abort_reason() {
            message = format!("{message}: {why}");
        }
        let condition = Condition::new(conditions::PROGRESSING, "False", conditions::ABORTED, message.clone(), now);
        if conditions::set(&mut status.conditions, condition) {
            self.warn(conditions::ABORTED, &message);
        }
    }

    fn settle_progressing(&self, status: &mut Status, now: Time, became_unhealthy: bool) {
        let progressing = |value: &str, reason: &str, message: String| Condition::new(conditions::PROGRESSING, value, reason, message, now);
        if conditions::is_healthy(&self.spec, self.is_observed(), status) {
            let name = self.new_set().map_or("", ReplicaSet::name);
            let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
            conditions::set(&mut status.conditions, progressing("True", "NewReplicaSetAvailable", message));
        } else if conditions::made_progress(&self.spec, &self.status, status) || became_unhealthy {
            let mut condition = match became_unhealthy && status.is_fully_promoted() {
                true => progressing("True", "ReplicaSetNotAvailable", NOT_AVAILABLE.into()),
                false => progressing("True", "ReplicaSetUpdated", self.named("is progressing.")),
            };
            // Progress renews the condition even if it says the same as before: the deadline counts from its last update.
            if let Some(known) = conditions::find(&self.status.conditions, conditions::PROGRESSING) {
                if known.status == "True" {
                    condition.last_transition_time = known.last_transition_time;
                }
                conditions::remove(&mut status.conditions, conditions::PROGRESSING);
            }
            conditions::set(&mut status.conditions, condition);
        } else if self.progress_is_expected() && conditions::timed_out(&self.spec, status, self.cx.now) {
            let message = self.named("has timed out progressing.");
            conditions::set(&mut status.conditions, progressing("False", conditions::TIMED_OUT, message));
        }
    }

    fn settle_available(&self, status: &mut Status, now: Time) {
        let is_available = match self.spec.blue_green() {
            Some(_) => self.set_of(&status.blue_green.active_selector).is_some_and(|set| set.is_saturated(&self.spec)),
            None => self.spec.canary().is_some() && replica_set::available(&self.sets) >= self.spec.replicas(),
        };
        let (value, message) = if is_available { ("True", "Rollout has minimum availability") } else { ("False", NOT_AVAILABLE) };
        conditions::set(&mut status.conditions, Condition::new(conditions::AVAILABLE, value, "AvailableReason", message, now));
    }

    /// Repeats that pods could not be created, the new version's trouble before that of others.
    fn settle_failures(&self, status: &mut Status) {
        let all = self.new_set().into_iter().chain(&self.sets);
        match all.flat_map(|set| &set.status.conditions).find(|trouble| trouble.kind == conditions::REPLICA_FAILURE) {
            Some(trouble) => {
                let since = trouble.last_transition_time.unwrap_or(self.now());
                let (value, reason) = (&trouble.status, &trouble.reason);
                let condition = Condition::new(conditions::REPLICA_FAILURE, value, reason, trouble.message.clone(), since);
                conditions::set(&mut status.conditions, condition);
            }
            None => conditions::remove(&mut status.conditions, conditions::REPLICA_FAILURE),
        }
    }

    fn settle_completed(&mut self, status: &mut Status, now: Time) {
        let value = if status.is_completed() { "True" } else { "False" };
        let condition = Condition::new(conditions::COMPLETED, value, "RolloutCompleted", "RolloutCompleted", now);
        if conditions::set(&mut status.conditions, condition) && value == "False" {
            let (revision, hash) = (self.meta.revision(), &status.current_pod_hash);
            let message = format!("Rollout not completed, started update to revision {revision} ({hash})");
            self.event("RolloutNotCompleted", &message);
        }
    }

    /// Nothing happened: looks again when the deadline for progress is over.
    fn look_again_for_progress(&mut self, status: &Status) {
        let Some(condition) = conditions::find(&self.status.conditions, conditions::PROGRESSING) else { return };
        let is_paused = self.spec.paused || !self.status.pause_conditions.is_empty();
        let is_idle = conditions::is_healthy(&self.spec, self.is_observed(), status)
            || condition.reason == conditions::TIMED_OUT
            || is_paused
            || self.status.abort
            || self.is_open_ended();
        if !is_idle {
            let due = condition.last_update_time + self.spec.progress_deadline();
            // A second more makes up for times without fractions. The real controller spins through the last second and
            // for as long as the deadline is over without being told; this one does not.
            let second = Duration::from_secs(1);
            let left = (due - self.cx.now).to_std().unwrap_or(second);
            self.look_again(if left > second { left + second } else { left });
        }
    }
}
