//! Conditions of a rollout, and the phase and message that follow from them.

use serde::{Deserialize, Serialize};

use super::{
    spec::Spec,
    status::{Pause, Status},
};
use crate::{demo::controllers::analysis, model::Time};

#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub last_update_time: Time,
    pub last_transition_time: Time,
    pub reason: String,
    pub message: String,
}

pub const AVAILABLE: &str = "Available";
pub const COMPLETED: &str = "Completed";
pub const HEALTHY: &str = "Healthy";
pub const INVALID_SPEC: &str = "InvalidSpec";
pub const PAUSED: &str = "Paused";
pub const PROGRESSING: &str = "Progressing";
pub const REPLICA_FAILURE: &str = "ReplicaFailure";

/// Reasons of `Progressing` that decisions hang on; the first two make a rollout Degraded.
pub const ABORTED: &str = "RolloutAborted";
pub const TIMED_OUT: &str = "ProgressDeadlineExceeded";
pub const ROLLOUT_PAUSED: &str = "RolloutPaused";

impl Condition {
    /// Times have whole seconds.
    pub fn new(kind: &str, status: &str, reason: &str, message: impl Into<String>, now: Time) -> Self {
        Self {
            kind: kind.into(),
            status: status.into(),
            last_update_time: now,
            last_transition_time: now,
            reason: reason.into(),
            message: message.into(),
        }
    }
}

pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// Puts a condition at the end of the list. One that has this status and reason already stays as it is, message and
/// all; whether there was something to change.
pub fn set(conditions: &mut Vec<Condition>, mut condition: Condition) -> bool {
    if let Some(known) = find(conditions, &condition.kind)
        && known.status == condition.status
    {
        if known.reason == condition.reason {
            return false;
        }
        condition.last_transition_time = known.last_transition_time;
    }
    remove(conditions, &condition.kind);
    conditions.push(condition);
    true
}

pub fn remove(conditions: &mut Vec<Condition>, kind: &str) {
    conditions.retain(|condition| condition.kind != kind);
}

/// Whether the reason the rollout makes progress or not is this.
pub fn progresses_for(status: &Status, reason: &str) -> bool {
    find(&status.conditions, PROGRESSING).is_some_and(|condition| condition.reason == reason)
}

pub fn is_true(status: &Status, kind: &str) -> bool {
    find(&status.conditions, kind).is_some_and(|condition| condition.status == "True")
}

/// Whether something moved forward from the status `before` to `after`.
pub fn made_progress(spec: &Spec, before: &Status, after: &Status) -> bool {
    let strategy = match (spec.blue_green(), spec.canary()) {
        (Some(_), _) => {
            before.blue_green.active_selector != after.blue_green.active_selector
                || before.blue_green.preview_selector != after.blue_green.preview_selector
        }
        (_, Some(_)) => {
            let steps = before.current_step_index.zip(after.current_step_index);
            before.stable_rs != after.stable_rs
                || steps.is_some_and(|(before, after)| before != after)
                || before.current_step_hash != after.current_step_hash
        }
        _ => false,
    };
    strategy
        || after.updated_replicas != before.updated_replicas
        || after.replicas - after.updated_replicas < before.replicas - before.updated_replicas
        || after.ready_replicas > before.ready_replicas
        || after.available_replicas > before.available_replicas
}

/// Whether the newest version has all the pods, gets all the traffic, and no other has any. Not the same as the phase
/// `Healthy`. `observed`: the generation of the status read is that of the spec.
pub fn is_healthy(spec: &Spec, observed: bool, status: &Status) -> bool {
    let replicas = spec.replicas();
    let strategy = match (spec.blue_green(), spec.canary()) {
        (Some(blue_green), _) => {
            status.blue_green.active_selector == status.current_pod_hash
                && (blue_green.preview_service.is_empty() || status.blue_green.preview_selector == status.current_pod_hash)
        }
        (_, Some(canary)) => {
            let steps = canary.steps.len() as i64;
            let all_steps = steps == 0 || status.current_step_index.is_none_or(|index| index == steps);
            all_steps && status.is_completed() && status.replicas == replicas
        }
        _ => true,
    };
    strategy && observed && status.updated_replicas == replicas && status.available_replicas == replicas
}

/// Whether the last progress is longer ago than the deadline allows.
pub fn timed_out(spec: &Spec, status: &Status, now: Time) -> bool {
    let Some(condition) = find(&status.conditions, PROGRESSING) else { return false };
    match condition.reason.as_str() {
        ABORTED | ROLLOUT_PAUSED => false,
        TIMED_OUT => true,
        _ => condition.last_update_time + spec.progress_deadline() < now,
    }
}

/// `status.phase` and `status.message`; the first rule that applies.
pub fn phase(spec: &Spec, status: &Status) -> (&'static str, String) {
    for condition in &status.conditions {
        if condition.kind == INVALID_SPEC {
            return ("Degraded", format!("InvalidSpec: {}", condition.message));
        }
        if [ABORTED, TIMED_OUT].contains(&condition.reason.as_str()) {
            return ("Degraded", format!("{}: {}", condition.reason, condition.message));
        }
    }
    if spec.paused {
        return ("Paused", "manually paused".into());
    }
    if let Some(pause) = status.pause_conditions.first() {
        return ("Paused", pause.reason.name().into());
    }
    match waits_for(spec, status) {
        Some(message) => ("Progressing", message.into()),
        None => ("Healthy", String::new()),
    }
}

fn waits_for(spec: &Spec, status: &Status) -> Option<&'static str> {
    if spec.restart_at.is_some() && spec.restart_at != status.restarted_at {
        return Some("rollout is restarting");
    }
    if status.updated_replicas < spec.replicas() {
        return Some("more replicas need to be updated");
    }
    if status.available_replicas < status.updated_replicas {
        return Some("updated replicas are still becoming available");
    }
    match (spec.blue_green(), spec.canary()) {
        (Some(_), _) => blue_green_waits_for(spec, status),
        (_, Some(canary)) if canary.traffic_routing.is_none() && status.replicas > status.updated_replicas => {
            Some("old replicas are pending termination")
        }
        (_, Some(_)) if !status.is_completed() => Some("waiting for all steps to complete"),
        _ => None,
    }
}

fn blue_green_waits_for(spec: &Spec, status: &Status) -> Option<&'static str> {
    let active = &status.blue_green.active_selector;
    if active.is_empty() || *active != status.current_pod_hash {
        return Some("active service cutover pending");
    }
    if status.is_completed() {
        return None;
    }
    let analysis = spec.blue_green().is_some_and(|blue_green| blue_green.post_promotion_analysis.is_some());
    let run = status.blue_green.post_promotion_analysis_run_status.as_ref();
    match analysis && run.is_none_or(|run| !analysis::is_final(&run.status)) {
        true => Some("waiting for analysis to complete"),
        false => Some("waiting for post-promotion verification to complete"),
    }
}

/// Whether nobody may change replica counts or switch Services: paused by hand, or an analysis that could not tell.
pub fn is_halted(spec: &Spec, status: &Status) -> bool {
    spec.paused || status.paused_for(&Pause::ANALYSIS).is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, from_value, json};

    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_condition_changes_place_only_when_it_changes() {
        let mut list = Vec::new();
        assert!(set(&mut list, Condition::new(PROGRESSING, "True", "A", "first", at(0))));
        assert!(set(&mut list, Condition::new(PAUSED, "False", "P", "", at(0))));
        assert!(!set(&mut list, Condition::new(PROGRESSING, "True", "A", "second", at(1))));
        assert_eq!((list[0].message.as_str(), list[0].last_update_time), ("first", at(0)));
        assert!(set(&mut list, Condition::new(PROGRESSING, "True", "B", "third", at(2))));
        assert_eq!((list[1].reason.as_str(), list[1].last_transition_time, list[1].last_update_time), ("B", at(0), at(2)));
        assert!(set(&mut list, Condition::new(PROGRESSING, "False", "B", "fourth", at(3))));
        assert_eq!((list.len(), list[1].last_transition_time), (2, at(3)));
    }

    fn condition(kind: &str, reason: &str) -> Value {
        json!({"type": kind, "status": "False", "reason": reason, "message": "why", "lastUpdateTime": at(0), "lastTransitionTime": at(0)})
    }

    #[test]
    fn the_first_rule_that_applies_names_the_phase() {
        let canary = || json!({"replicas": 2, "strategy": {"canary": {"steps": [{"setWeight": 50}]}}});
        let routed = json!({"replicas": 2, "strategy": {"canary": {"trafficRouting": {"nginx": {}}}}});
        let blue_green =
            |post: Value| json!({"replicas": 2, "strategy": {"blueGreen": {"activeService": "a", "postPromotionAnalysis": post}}});
        let with = |mut spec: Value, field: &str, value: Value| {
            spec[field] = value;
            spec
        };
        let done = || json!({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "stableRS": "b", "currentPodHash": "b"});
        let pause = json!([{"reason": "BlueGreenPause", "startTime": at(0)}]);
        let run = |phase: &str| json!({"name": "r", "status": phase});
        let rows: Vec<(Value, Value, &str)> = vec![
            (canary(), with(done(), "conditions", json!([condition(INVALID_SPEC, "InvalidSpec")])), "Degraded InvalidSpec: why"),
            (canary(), with(done(), "conditions", json!([condition(PROGRESSING, ABORTED)])), "Degraded RolloutAborted: why"),
            (canary(), with(done(), "conditions", json!([condition(PROGRESSING, TIMED_OUT)])), "Degraded ProgressDeadlineExceeded: why"),
            (with(canary(), "paused", true.into()), with(done(), "pauseConditions", pause.clone()), "Paused manually paused"),
            (canary(), with(done(), "pauseConditions", pause), "Paused BlueGreenPause"),
            (with(canary(), "restartAt", json!(at(9))), done(), "Progressing rollout is restarting"),
            (with(canary(), "restartAt", json!(at(9))), with(done(), "restartedAt", json!(at(9))), "Healthy "),
            (canary(), with(done(), "updatedReplicas", 1.into()), "Progressing more replicas need to be updated"),
            (canary(), with(done(), "availableReplicas", 1.into()), "Progressing updated replicas are still becoming available"),
            (canary(), with(done(), "replicas", 3.into()), "Progressing old replicas are pending termination"),
            (routed.clone(), with(done(), "replicas", 3.into()), "Healthy "),
            (routed, with(done(), "stableRS", "a".into()), "Progressing waiting for all steps to complete"),
            (blue_green(Value::Null), done(), "Progressing active service cutover pending"),
            (blue_green(Value::Null), with(done(), "blueGreen", json!({"activeSelector": "b"})), "Healthy "),
            (
                blue_green(Value::Null),
                with(with(done(), "stableRS", "a".into()), "blueGreen", json!({"activeSelector": "b"})),
                "Progressing waiting for post-promotion verification to complete",
            ),
            (
                blue_green(json!({})),
                with(
                    with(done(), "stableRS", "a".into()),
                    "blueGreen",
                    json!({"activeSelector": "b", "postPromotionAnalysisRunStatus": run("Running")}),
                ),
                "Progressing waiting for analysis to complete",
            ),
            (
                blue_green(json!({})),
                with(
                    with(done(), "stableRS", "a".into()),
                    "blueGreen",
                    json!({"activeSelector": "b", "postPromotionAnalysisRunStatus": run("Successful")}),
                ),
                "Progressing waiting for post-promotion verification to complete",
            ),
        ];
        for (spec, status, expected) in rows {
            let (phase, message) = phase(&from_value(spec.clone()).unwrap(), &from_value(status).unwrap());
            assert_eq!(format!("{phase} {message}"), expected, "{spec}");
        }
    }

    #[test]
    fn a_deadline_counts_from_the_last_progress_and_not_while_paused() {
        let spec: Spec = from_value(json!({"progressDeadlineSeconds": 10})).unwrap();
        let status = |reason: &str| from_value::<Status>(json!({"conditions": [condition(PROGRESSING, reason)]})).unwrap();
        assert!(!timed_out(&spec, &status("ReplicaSetUpdated"), at(10)));
        assert!(timed_out(&spec, &status("ReplicaSetUpdated"), at(11)));
        assert!(!timed_out(&spec, &status(ROLLOUT_PAUSED), at(99)) && !timed_out(&spec, &status(ABORTED), at(99)));
        assert!(timed_out(&spec, &status(TIMED_OUT), at(0)));
        assert!(!timed_out(&spec, &Status::default(), at(99)));
    }
}
