//! An Experiment's status as its controller reads and writes it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::Time;

fn none<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    #[serde(skip_serializing_if = "none")]
    pub phase: String,
    #[serde(skip_serializing_if = "none")]
    pub message: String,
    #[serde(skip_serializing_if = "none")]
    pub template_statuses: Vec<Template>,
    #[serde(skip_serializing_if = "none")]
    pub available_at: Option<Time>,
    #[serde(skip_serializing_if = "none")]
    pub conditions: Value,
    #[serde(skip_serializing_if = "none")]
    pub analysis_runs: Vec<Analysis>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Template {
    pub name: String,
    #[serde(flatten)]
    pub counts: Counts,
    #[serde(skip_serializing_if = "none")]
    pub collision_count: Option<i64>,
    #[serde(skip_serializing_if = "none")]
    pub status: String,
    #[serde(skip_serializing_if = "none")]
    pub message: String,
    #[serde(skip_serializing_if = "none")]
    pub last_transition_time: Option<Time>,
    #[serde(skip_serializing_if = "none")]
    pub service_name: String,
    #[serde(skip_serializing_if = "none")]
    pub pod_template_hash: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counts {
    pub replicas: i64,
    pub updated_replicas: i64,
    pub ready_replicas: i64,
    pub available_replicas: i64,
}

impl Counts {
    /// From the status of a ReplicaSet.
    pub fn of(status: &Value) -> Self {
        let count = |name: &str| status[name].as_i64().unwrap_or_default();
        let replicas = count("replicas");
        Self {
            replicas,
            updated_replicas: replicas,
            ready_replicas: count("readyReplicas"),
            available_replicas: count("availableReplicas"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Analysis {
    pub name: String,
    pub analysis_run: String,
    pub phase: String,
    #[serde(skip_serializing_if = "none")]
    pub message: String,
}

impl Status {
    pub fn template(&self, name: &str) -> Option<&Template> {
        self.template_statuses.iter().find(|template| template.name == name)
    }

    pub fn analysis(&self, name: &str) -> Option<&Analysis> {
        self.analysis_runs.iter().find(|analysis| analysis.name == name)
    }

    pub fn set_template(&mut self, new: Template) {
        match self.template_statuses.iter_mut().find(|template| template.name == new.name) {
            Some(old) => *old = new,
            None => self.template_statuses.push(new),
        }
    }

    pub fn set_analysis(&mut self, new: Analysis) {
        match self.analysis_runs.iter_mut().find(|analysis| analysis.name == new.name) {
            Some(old) => *old = new,
            None => self.analysis_runs.push(new),
        }
    }
}

/// Whether the status of a template is its last.
pub fn is_final(status: &str) -> bool {
    ["Successful", "Failed", "Error"].contains(&status)
}

/// The worse of two template statuses.
pub fn is_worse(current: &str, new: &str) -> bool {
    const ORDER: [&str; 5] = ["Successful", "Running", "Progressing", "Error", "Failed"];
    let rank = |status: &str| ORDER.iter().position(|known| *known == status).unwrap_or_default();
    rank(new) > rank(current)
}
