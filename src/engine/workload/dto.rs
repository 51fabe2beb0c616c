//! The fields of Kubernetes' own objects that engines read, and nothing else, and the types that engines declare
//! theirs with.
//!
//! Absent, `null` and empty are the same everywhere: controllers write whichever they like
//! (they patch a field that goes back to its default to `null`, or drop it). Numbers may be strings.
//! What remains a wrong type is an error with the path of the field.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use serde_json::Value;

use crate::model::{Time, moment};

/// Declares structs whose every field may be absent or `null`.
macro_rules! dto {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, serde::Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub struct $name {
            $($(#[$field_meta])* #[serde(deserialize_with = "crate::engine::workload::dto::or_default")] pub $field: $type,)*
        }
    )*};
}
pub(crate) use dto;

dto! {
    Metadata { name: String, uid: String, labels: Words, annotations: Words, creation_timestamp: Stamp, deletion_timestamp: Stamp, }
    Selector { match_labels: Words, match_expressions: Vec<Requirement>, }
    Requirement { key: String, operator: String, values: Vec<String>, }
    Condition {
        #[serde(rename = "type")]
        kind: String,
        status: String,
        reason: String,
        message: String,
        last_update_time: Stamp,
        last_transition_time: Stamp,
    }

    ReplicaSet { metadata: Metadata, spec: ReplicaSetSpec, status: ReplicaSetStatus, }
    ReplicaSetSpec { replicas: Option<Int>, template: Template, }
    ReplicaSetStatus { replicas: Int, ready_replicas: Int, available_replicas: Int, conditions: Vec<Condition>, }
    Template { metadata: Metadata, spec: PodSpec, }
    PodSpec { containers: Vec<Container>, init_containers: Vec<Container>, node_name: String, readiness_gates: Vec<Gate>, }
    Gate { condition_type: String, }
    Container { name: String, image: String, restart_policy: String, }

    Pod { metadata: Metadata, spec: PodSpec, status: PodStatus, }
    PodStatus {
        phase: String,
        reason: String,
        message: String,
        conditions: Vec<Condition>,
        init_container_statuses: Vec<ContainerStatus>,
        container_statuses: Vec<ContainerStatus>,
    }
    ContainerStatus { name: String, ready: bool, started: bool, restart_count: Int, state: ContainerState, last_state: ContainerState, }
    ContainerState { waiting: Option<Waiting>, running: Option<Running>, terminated: Option<Terminated>, }
    Waiting { reason: String, message: String, }
    Running { started_at: Stamp, }
    Terminated { exit_code: Int, signal: Int, reason: String, finished_at: Stamp, }

    Service { spec: ServiceSpec, }
    ServiceSpec { selector: Words, }
}

impl Metadata {
    pub fn label(&self, key: &str) -> &str {
        self.labels.get(key)
    }

    pub fn annotation(&self, key: &str) -> &str {
        self.annotations.get(key)
    }
}

pub fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// A whole number, also when written as text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Int(pub i64);

impl Int {
    /// As a count: never negative, never overflowing.
    pub fn count(self) -> u32 {
        u32::try_from(self.0.max(0)).unwrap_or(u32::MAX)
    }
}

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match from.deserialize_any(Scalar)? {
            Plain::Int(n) => Ok(Self(n)),
            Plain::Text(text) => text.trim().parse().map(Self).map_err(|_| D::Error::custom(format!("{text:?} is not a whole number"))),
        }
    }
}

/// A number or text, kept as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IntOrText(pub String);

impl<'de> Deserialize<'de> for IntOrText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(match from.deserialize_any(Scalar)? {
            Plain::Int(n) => n.to_string(),
            Plain::Text(text) => text,
        }))
    }
}

enum Plain {
    Int(i64),
    Text(String),
}

struct Scalar;

impl Visitor<'_> for Scalar {
    type Value = Plain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or text")
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<Plain, E> {
        Ok(Plain::Int(n))
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<Plain, E> {
        Ok(Plain::Int(i64::try_from(n).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E: Error>(self, n: f64) -> Result<Plain, E> {
        // A whole float such as 25.0 is a number somebody's tool printed; other floats stay text.
        #[allow(clippy::cast_possible_truncation)]
        if n.fract() == 0.0 && n.abs() < 1e15 { Ok(Plain::Int(n as i64)) } else { Ok(Plain::Text(n.to_string())) }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Plain, E> {
        Ok(Plain::Text(text.into()))
    }
}

/// A moment; text that is none counts as absent, as one odd time must not hide a rollout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp(pub Option<Time>);

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Ok(Self(moment(&text)))
    }
}

/// Labels or annotations; values that are not text are passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words(pub BTreeMap<String, String>);

impl Words {
    /// The value, or nothing as empty text: both mean "not set" to every reader here.
    pub fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = BTreeMap::<String, Value>::deserialize(from)?;
        Ok(Self(raw.into_iter().filter_map(|(k, v)| Some((k, v.as_str()?.to_owned()))).collect()))
    }
}
