//! `status` of a Rollout: every field the controller writes, with Go's idea of what is not worth writing.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::conditions::Condition;
use crate::model::Time;

#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    #[serde(skip_serializing_if = "is_false")]
    pub abort: bool,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub pause_conditions: Vec<PauseCondition>,
    #[serde(skip_serializing_if = "is_false")]
    pub controller_pause: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aborted_at: Option<Time>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub current_pod_hash: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub current_step_hash: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub updated_replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub ready_replicas: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub available_replicas: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_step_index: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub observed_generation: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    pub canary: CanaryStatus,
    pub blue_green: BlueGreenStatus,
    #[serde(rename = "HPAReplicas", skip_serializing_if = "is_zero")]
    pub hpa_replicas: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selector: String,
    #[serde(rename = "stableRS", skip_serializing_if = "String::is_empty")]
    pub stable_rs: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<Time>,
    #[serde(skip_serializing_if = "is_false")]
    pub promote_full: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phase: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub workload_observed_generation: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CanaryStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_step_analysis_run_status: Option<RunStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_background_analysis_run_status: Option<RunStatus>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub current_experiment: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// `ping` or `pong`: which of the two Services stands for the stable version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stable_ping_pong: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BlueGreenStatus {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub preview_selector: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub active_selector: String,
    #[serde(skip_serializing_if = "is_false")]
    pub scale_up_preview_check_point: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_promotion_analysis_run_status: Option<RunStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_promotion_analysis_run_status: Option<RunStatus>,
}

/// What a rollout repeats of an AnalysisRun.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct RunStatus {
    pub name: String,
    pub status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Weights {
    pub canary: Destination,
    pub stable: Destination,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional: Vec<Destination>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Destination {
    pub weight: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod_template_hash: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PauseCondition {
    pub reason: Pause,
    #[serde(default)]
    pub start_time: Time,
}

/// Why a rollout waits for a person. What others wrote there counts as well.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Pause(Cow<'static, str>);

impl Pause {
    pub const STEP: Self = Self(Cow::Borrowed("CanaryPauseStep"));
    pub const PROMOTION: Self = Self(Cow::Borrowed("BlueGreenPause"));
    pub const ANALYSIS: Self = Self(Cow::Borrowed("InconclusiveAnalysisRun"));
    pub const EXPERIMENT: Self = Self(Cow::Borrowed("InconclusiveExperiment"));

    pub fn name(&self) -> &str {
        &self.0
    }
}

impl Status {
    /// Since when the rollout waits for this reason.
    pub fn paused_for(&self, reason: &Pause) -> Option<Time> {
        self.pause_conditions.iter().find(|condition| condition.reason == *reason).map(|condition| condition.start_time)
    }

    /// Before the first version is deployed nothing is promoted either, as far as this looks: both are empty.
    pub fn is_fully_promoted(&self) -> bool {
        self.stable_rs == self.current_pod_hash
    }

    /// Whether the newest version is the stable one.
    pub fn is_completed(&self) -> bool {
        !self.stable_rs.is_empty() && self.is_fully_promoted()
    }

    /// The merge patch that leads here from `before`, if there is anything to change.
    pub fn patch_from(&self, before: &Self) -> Option<Value> {
        if self == before {
            return None;
        }
        let tree = |status: &Self| serde_json::to_value(status).unwrap_or_default();
        let patch = difference(&tree(before), &tree(self));
        (!patch.is_empty()).then(|| serde_json::json!({ "status": patch }))
    }
}

fn difference(before: &Value, after: &Value) -> Map<String, Value> {
    let none = Map::new();
    let (before, after) = (before.as_object().unwrap_or(&none), after.as_object().unwrap_or(&none));
    let mut patch: Map<String, Value> = Map::new();
    for (name, value) in after {
        match before.get(name) {
            Some(old) if old == value => {}
            Some(old @ Value::Object(_)) if value.is_object() => drop(patch.insert(name.clone(), difference(old, value).into())),
            _ => drop(patch.insert(name.clone(), value.clone())),
        }
    }
    patch.extend(before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name.clone(), Value::Null)));
    patch
}

/// People clear lists with `null`.
fn or_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn only_differences_are_written_and_what_is_gone_is_null() {
        let status = |value| serde_json::from_value::<Status>(value).unwrap();
        let pause = json!([{"reason": "CanaryPauseStep", "startTime": "2026-01-01T10:00:00Z"}]);
        let before =
            status(json!({"abort": false, "pauseConditions": pause, "controllerPause": true, "currentStepIndex": 1, "replicas": 2}));
        let mut after = Status { current_step_index: Some(2), replicas: 2, ..Status::default() };
        after.canary.stable_ping_pong = "ping".into();
        let patch = json!({"status": {"pauseConditions": null, "controllerPause": null, "currentStepIndex": 2, "canary": {"stablePingPong": "ping"}}});
        assert_eq!(after.patch_from(&before), Some(patch));
        assert_eq!(after.patch_from(&after), None);
    }

    #[test]
    fn a_fresh_status_holds_what_go_writes() {
        assert_eq!(serde_json::to_value(Status::default()).unwrap(), json!({"canary": {}, "blueGreen": {}}));
        assert_eq!(serde_json::from_value::<Status>(json!({"pauseConditions": null})).unwrap(), Status::default());
    }
}
