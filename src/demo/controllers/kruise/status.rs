//! The status of a Rollout: its own part, that of its strategy, and its conditions.

use serde_json::{Value, json};

use super::spec::Style;
use crate::{
    demo::{
        controllers::objects::{condition, time},
        registry::stamp,
    },
    model::Time,
};

/// A status in the making.
#[derive(Debug, Clone)]
pub struct Status {
    pub value: Value,
    style: Style,
    now: Time,
}

/// States of a step.
pub mod step {
    pub const INIT: &str = "BeforeStepUpgrade";
    pub const UPGRADE: &str = "StepUpgrade";
    pub const ROUTING: &str = "StepTrafficRouting";
    pub const ANALYSIS: &str = "StepMetricsAnalysis";
    pub const PAUSED: &str = "StepPaused";
    pub const READY: &str = "StepReady";
    pub const COMPLETED: &str = "Completed";
}

impl Status {
    pub fn new(value: &Value, style: Style, now: Time) -> Self {
        let value = if value.is_object() { value.clone() } else { json!({}) };
        Self { value, style, now }
    }

    fn part(&self) -> &'static str {
        if self.style == Style::BlueGreen { "blueGreenStatus" } else { "canaryStatus" }
    }

    /// The strategies call three fields differently.
    fn name(&self, field: &'static str) -> &'static str {
        match (self.style, field) {
            (Style::BlueGreen, "canaryRevision") => "updatedRevision",
            (Style::BlueGreen, "canaryReplicas") => "updatedReplicas",
            (Style::BlueGreen, "canaryReadyReplicas") => "updatedReadyReplicas",
            _ => field,
        }
    }

    pub fn has_part(&self) -> bool {
        self.value[self.part()].is_object()
    }

    /// A field of the strategy's part, by its name for canaries.
    pub fn get(&self, field: &'static str) -> &Value {
        &self.value[self.part()][self.name(field)]
    }

    pub fn text(&self, field: &'static str) -> &str {
        self.get(field).as_str().unwrap_or_default()
    }

    pub fn put(&mut self, field: &'static str, value: impl Into<Value>) {
        let (part, name) = (self.part(), self.name(field));
        self.value[part][name] = value.into();
    }

    /// The strategy's part as a release begins with it, or as it is when there was none.
    pub fn begin(&mut self, fields: Value) {
        self.value.as_object_mut().map(|status| ["canaryStatus", "blueGreenStatus"].map(|part| status.remove(part)));
        let fixed = json!({"podTemplateHash": "", "finalisingStep": "", "canaryReplicas": 0, "canaryReadyReplicas": 0});
        for fields in [fixed, fields] {
            for (name, value) in fields.as_object().into_iter().flatten() {
                let part = self.part();
                let name = ["canaryRevision", "canaryReplicas", "canaryReadyReplicas"]
                    .into_iter()
                    .find(|known| known == name)
                    .map_or(name.clone(), |known| self.name(known).to_owned());
                self.value[part][name] = value.clone();
            }
        }
    }

    pub fn forget(&mut self) {
        let part = self.part();
        self.value[part].take();
    }

    /// The step in progress, 1-based.
    pub fn index(&self) -> usize {
        self.get("currentStepIndex").as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or_default()
    }

    /// Goes to a state of the step.
    pub fn state(&mut self, state: &str) {
        self.put("currentStepState", state);
    }

    pub fn touch(&mut self) {
        let now = stamp(self.now);
        self.put("lastUpdateTime", now);
    }

    pub fn touched(&self) -> Option<Time> {
        time(self.get("lastUpdateTime"))
    }

    pub fn phase(&self) -> &str {
        self.value["phase"].as_str().unwrap_or_default()
    }

    /// Of the condition that says how far a release is.
    pub fn reason(&self) -> &str {
        condition(&self.value["conditions"], "Progressing").and_then(|found| found["reason"].as_str()).unwrap_or_default()
    }

    pub fn progressing_since(&self) -> Option<Time> {
        time(&condition(&self.value["conditions"], "Progressing")?["lastUpdateTime"])
    }

    pub fn message(&mut self, message: &str) {
        self.value["message"] = message.into();
        let reason = self.reason().to_owned();
        self.put_condition("Progressing", "True", &reason, message);
    }

    /// How far a release is, from now on.
    pub fn progress(&mut self, status: &str, reason: &str, message: &str) {
        self.value["message"] = message.into();
        self.put_condition("Progressing", status, reason, message);
    }

    pub fn put_condition(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let now = stamp(self.now);
        let mut new = json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now});
        new["lastUpdateTime"] = now.into();
        if let Some(old) = condition(&self.value["conditions"], kind) {
            if ["status", "reason", "message"].iter().all(|field| old[*field] == new[*field]) {
                return;
            }
            // The real one takes over what it found and changes words only.
            new["lastUpdateTime"] = old["lastUpdateTime"].clone();
            if old["status"] == new["status"] {
                new["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
        }
        self.drop_condition(kind);
        if let Some(all) = self.value["conditions"].as_array_mut() {
            all.push(new);
        }
    }

    pub fn drop_condition(&mut self, kind: &str) {
        if !self.value["conditions"].is_array() {
            self.value["conditions"] = json!([]);
        }
        if let Some(all) = self.value["conditions"].as_array_mut() {
            all.retain(|found| found["type"] != kind);
        }
    }
}
