//! A version: one of the rollout's ReplicaSets.

use std::time::Duration;

use serde::Deserialize;

use super::{
    names,
    spec::{Meta, Selector, Spec},
};
use crate::model::Time;

/// A ReplicaSet without its template.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ReplicaSet {
    pub metadata: Meta,
    pub spec: Wish,
    pub status: Count,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Wish {
    pub replicas: i64,
    pub min_ready_seconds: i64,
    pub selector: Selector,
}

impl Default for Wish {
    fn default() -> Self {
        Self { replicas: 1, min_ready_seconds: 0, selector: Selector::default() }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Count {
    pub replicas: i64,
    pub ready_replicas: i64,
    pub available_replicas: i64,
    pub observed_generation: i64,
    pub conditions: Vec<Trouble>,
}

/// A condition of a ReplicaSet.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Trouble {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub message: String,
    pub last_transition_time: Option<Time>,
}

impl ReplicaSet {
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    pub fn hash(&self) -> &str {
        self.metadata.label(names::HASH)
    }

    pub fn available(&self) -> i64 {
        self.status.available_replicas
    }

    /// The rollout's replicas when this version was last scaled.
    pub fn desired_replicas(&self) -> Option<i64> {
        self.metadata.annotation(names::DESIRED_REPLICAS).parse().ok()
    }

    pub fn has_deadline(&self) -> bool {
        !self.metadata.annotation(names::SCALE_DOWN_DEADLINE).is_empty()
    }

    /// When this version is to lose its pods, if its annotation can be read.
    pub fn deadline(&self) -> Option<Time> {
        self.metadata.annotation(names::SCALE_DOWN_DEADLINE).parse().ok()
    }

    /// How long until then; `None` once it has passed.
    pub fn time_left(&self, now: Time) -> Option<Duration> {
        self.deadline().filter(|deadline| *deadline > now).and_then(|deadline| (deadline - now).to_std().ok())
    }

    /// Whether the annotations that go with the rollout's size are out of date.
    pub fn needs_annotations(&self, replicas: i64) -> bool {
        self.metadata.annotation(names::DESIRED_REPLICAS) != replicas.to_string() || (replicas == 0 && self.has_deadline())
    }

    /// All of the rollout's pods are in this version and available, and the version knows the rollout's size.
    pub fn is_saturated(&self, spec: &Spec) -> bool {
        let replicas = spec.replicas();
        self.spec.replicas == replicas && self.desired_replicas() == Some(replicas) && self.available() == replicas
    }

    /// At least one pod is wanted, and as many as are wanted are available.
    pub fn is_available(&self) -> bool {
        self.spec.replicas != 0 && self.available() != 0 && self.spec.replicas <= self.available()
    }
}

pub fn wanted<'a>(sets: impl IntoIterator<Item = &'a ReplicaSet>) -> i64 {
    sets.into_iter().map(|set| set.spec.replicas).sum()
}

pub fn existing<'a>(sets: impl IntoIterator<Item = &'a ReplicaSet>) -> i64 {
    sets.into_iter().map(|set| set.status.replicas).sum()
}

pub fn ready<'a>(sets: impl IntoIterator<Item = &'a ReplicaSet>) -> i64 {
    sets.into_iter().map(|set| set.status.ready_replicas).sum()
}

pub fn available<'a>(sets: impl IntoIterator<Item = &'a ReplicaSet>) -> i64 {
    sets.into_iter().map(|set| set.status.available_replicas).sum()
}
