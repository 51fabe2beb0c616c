//! What Flagger writes down about a Canary, and the one condition that tells it to others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{spec::Spec, tick::Tick};
use crate::{
    demo::{refusal::Refusal, registry::stamp, sim::Cx, store::Key},
    model::Time,
};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    #[default]
    #[serde(rename = "")]
    None,
    Initializing,
    Initialized,
    Waiting,
    Progressing,
    WaitingPromotion,
    Promoting,
    Finalising,
    Succeeded,
    Failed,
    Terminating,
    Terminated,
}

impl Phase {
    /// Whether the objects of the Canary are still to be made.
    pub fn is_new(self) -> bool {
        matches!(self, Self::None | Self::Initializing)
    }

    /// Whether a release is under way.
    pub fn is_busy(self) -> bool {
        matches!(self, Self::Progressing | Self::Waiting | Self::WaitingPromotion | Self::Promoting | Self::Finalising)
    }

    /// Status and message of the condition.
    fn condition(self, kind: &str) -> (&'static str, String) {
        let text = |status, text: &str| (status, text.to_owned());
        match self {
            Self::Initialized => ("True", format!("{kind} initialization completed.")),
            Self::Waiting | Self::WaitingPromotion => text("Unknown", "Waiting for approval."),
            Self::Progressing => text("Unknown", "New revision detected, progressing canary analysis."),
            Self::Promoting => text("Unknown", "Canary analysis completed, starting primary rolling update."),
            Self::Finalising => text("Unknown", "Canary analysis completed, routing all traffic to primary."),
            Self::Succeeded => text("True", "Canary analysis completed successfully, promotion finished."),
            Self::Failed => ("False", format!("Canary analysis failed, {kind} scaled to zero.")),
            _ => ("Unknown", format!("New {kind} detected, starting initialization.")),
        }
    }

    fn name(self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    pub phase: Phase,
    pub failed_checks: i64,
    pub canary_weight: i64,
    pub iterations: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracked_configs: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_applied_spec: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_promoted_spec: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    last_transition_time: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Value>,
    /// What others wrote there stays.
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

impl Status {
    /// The condition follows the phase. Its transition time stays while its status does.
    fn set_condition(&mut self, phase: Phase, kind: &str, now: Time) {
        let (status, message) = phase.condition(kind);
        let now = stamp(now);
        let mut new = json!({
            "type": "Promoted", "status": status, "reason": phase.name(), "message": message,
            "lastUpdateTime": now, "lastTransitionTime": now,
        });
        if let Some(old) = self.conditions.iter().find(|condition| condition["type"] == "Promoted") {
            if old["status"] == new["status"] && old["reason"] == new["reason"] {
                return;
            }
            if old["status"] == new["status"] {
                new["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
        }
        self.conditions = vec![new];
    }

    /// Another phase, with what is forgotten at its beginning.
    fn enter(&mut self, phase: Phase, iterations: i64) {
        self.phase = phase;
        if !matches!(phase, Phase::Progressing | Phase::Waiting | Phase::Promoting) {
            self.canary_weight = 0;
            self.iterations = if phase == Phase::WaitingPromotion { iterations - 1 } else { 0 };
        }
        if matches!(phase, Phase::Initialized | Phase::Succeeded) {
            self.last_promoted_spec = self.last_applied_spec.clone();
        }
    }
}

/// Changes the status of a Canary as it is now.
pub fn change(cx: &mut Cx<'_>, key: &Key, edit: impl FnOnce(&mut Status)) -> Result<(), Refusal> {
    let stored = cx.store.get(key).ok_or_else(|| Refusal::not_found(&key.kind, &key.name))?;
    let mut canary = stored.value();
    let mut status: Status = Status::deserialize(&canary["status"]).unwrap_or_default();
    edit(&mut status);
    status.last_transition_time = stamp(cx.now);
    canary["status"] = serde_json::to_value(&status).unwrap_or_default();
    cx.update_status(&key.kind, canary).map(drop)
}

/// The first thing that is ever written to a Canary.
pub fn set_initializing(cx: &mut Cx<'_>, key: &Key, spec: &Spec) -> Result<(), Refusal> {
    let now = cx.now;
    change(cx, key, |status| {
        status.set_condition(Phase::Initializing, &spec.target_ref.kind, now);
        status.phase = Phase::Initializing;
    })
}

impl Tick<'_, '_> {
    fn change_status(&mut self, edit: impl FnOnce(&mut Status)) -> Result<(), String> {
        let told = |refusal: Refusal| {
            let about = format!("updating canary {}.{} status failed", self.key.name, self.key.namespace);
            format!("failed after retries: {about}: {}", refusal.message)
        };
        change(self.cx, &self.key, edit).map_err(told)
    }

    pub fn set_phase(&mut self, phase: Phase) -> Result<(), String> {
        let (now, iterations, kind) = (self.cx.now, self.analysis.iterations, self.spec.target_ref.kind.clone());
        self.change_status(|status| {
            status.enter(phase, iterations);
            status.set_condition(phase, &kind, now);
        })
    }

    pub fn set_weight(&mut self, weight: i64) -> Result<(), String> {
        self.change_status(|status| status.canary_weight = weight)
    }

    pub fn set_iterations(&mut self, iterations: i64) -> Result<(), String> {
        self.change_status(|status| status.iterations = iterations)
    }

    pub fn set_failed_checks(&mut self, failed: i64) -> Result<(), String> {
        self.change_status(|status| status.failed_checks = failed)
    }

    /// Notes the target's template as seen, and what there is to say about it: all counters are those of `next`.
    pub fn sync_status(&mut self, next: &Status) -> Result<(), String> {
        let (hash, tracked) = (self.target_hash()?, self.tracked_configs()?);
        let (now, kind) = (self.cx.now, self.spec.target_ref.kind.clone());
        self.change_status(|status| {
            status.phase = next.phase;
            status.canary_weight = next.canary_weight;
            status.failed_checks = next.failed_checks;
            status.iterations = next.iterations;
            if next.phase == Phase::Initialized {
                status.last_promoted_spec.clone_from(&hash);
            }
            status.last_applied_spec = hash;
            status.tracked_configs = Some(tracked);
            status.set_condition(next.phase, &kind, now);
        })
    }

    /// The same, with all counters at zero.
    pub fn sync_phase(&mut self, phase: Phase) -> Result<(), String> {
        self.sync_status(&Status { phase, ..Status::default() })
    }
}
