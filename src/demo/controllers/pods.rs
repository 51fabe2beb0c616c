//! What controllers read off pods. They read many and often, so this parses only what it needs.

use std::borrow::Cow;

use serde::Deserialize;

use super::objects::parse_time;
use crate::{demo::store::Stored, model::Time};

/// A pod at a glance.
#[derive(Debug, Clone, PartialEq)]
pub struct Pod {
    pub name: Box<str>,
    pub uid: Box<str>,
    pub created: Time,
    /// `deletionTimestamp` is set.
    pub deleting: bool,
    /// Annotation `controller.kubernetes.io/pod-deletion-cost`.
    pub deletion_cost: i64,
    /// Empty until it is scheduled.
    pub node: Box<str>,
    pub phase: Phase,
    /// Since when it has been ready; `None`: it is not.
    pub ready_since: Option<Time>,
    /// Of the container with the most.
    pub restarts: u64,
    /// Empty until it has one.
    pub ip: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Pending,
    Unknown,
    Running,
    Succeeded,
    Failed,
}

impl Pod {
    /// `None` only for what is no pod at all.
    pub fn read(stored: &Stored) -> Option<Self> {
        let raw: Raw<'_> = serde_json::from_slice(&stored.json).ok()?;
        let status = raw.status.unwrap_or_default();
        let ready = status.conditions.iter().flatten().find(|c| c.kind == "Ready" && c.status == "True");
        Some(Self {
            name: (*stored.key.name).into(),
            uid: stored.uid.clone(),
            created: raw.metadata.creation_timestamp.as_deref().and_then(parse_time).unwrap_or_default(),
            deleting: raw.metadata.deletion_timestamp.is_some(),
            deletion_cost: raw.metadata.annotations.and_then(|a| a.deletion_cost?.parse().ok()).unwrap_or_default(),
            node: raw.spec.and_then(|spec| spec.node_name).unwrap_or_default().into(),
            phase: phase(status.phase.as_deref()),
            ready_since: ready.map(|ready| ready.last_transition_time.as_deref().and_then(parse_time).unwrap_or_default()),
            restarts: status.container_statuses.iter().flatten().filter_map(|c| c.restart_count).max().unwrap_or_default(),
            ip: status.pod_ip.unwrap_or_default().into(),
        })
    }

    pub fn is_ready(&self) -> bool {
        self.ready_since.is_some()
    }

    /// Neither ended nor on its way out.
    pub fn is_active(&self) -> bool {
        !self.deleting && !self.is_over()
    }

    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Ready for at least that many seconds.
    pub fn is_available(&self, min_ready: i64, now: Time) -> bool {
        self.ready_since.is_some_and(|since| min_ready == 0 || (now - since).num_seconds() >= min_ready)
    }
}

fn phase(text: Option<&str>) -> Phase {
    match text {
        Some("Running") => Phase::Running,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        Some("Unknown") => Phase::Unknown,
        _ => Phase::Pending,
    }
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    spec: Option<Spec<'a>>,
    status: Option<Status<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    creation_timestamp: Option<Cow<'a, str>>,
    deletion_timestamp: Option<Cow<'a, str>>,
    annotations: Option<Annotations<'a>>,
}

#[derive(Deserialize)]
struct Annotations<'a> {
    #[serde(borrow, rename = "controller.kubernetes.io/pod-deletion-cost")]
    deletion_cost: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow)]
    node_name: Option<Cow<'a, str>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    #[serde(borrow)]
    phase: Option<Cow<'a, str>>,
    #[serde(rename = "podIP")]
    pod_ip: Option<Cow<'a, str>>,
    conditions: Option<Vec<Condition<'a>>>,
    container_statuses: Option<Vec<Container>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    status: Cow<'a, str>,
    last_transition_time: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    restart_count: Option<u64>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::demo::{
        kinds,
        store::{Key, Store},
    };

    #[test]
    fn a_pod_is_read_as_far_as_it_goes() {
        let mut store = Store::new(kinds::built_in());
        let mut read = |object| Pod::read(&store.put(Key::new("pods", "shop", "a"), object).unwrap()).unwrap();
        let fresh = read(json!({"metadata": {"name": "a", "uid": "u"}, "spec": {}}));
        assert!(fresh.is_active() && !fresh.is_ready() && fresh.phase == Phase::Pending && fresh.node.is_empty());
        let full = read(json!({
            "metadata": {"name": "a", "uid": "u", "creationTimestamp": "2026-11-21T08:00:00Z",
                "annotations": {"controller.kubernetes.io/pod-deletion-cost": "-7", "other": "\"quoted\""}},
            "spec": {"nodeName": "node-1", "containers": []},
            "status": {"phase": "Running", "podIP": "10.1.0.1", "containerStatuses": [{"restartCount": 2}, {"restartCount": 5}],
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-21T08:00:10Z"}]},
        }));
        assert_eq!((full.deletion_cost, full.restarts, &*full.ip, full.phase), (-7, 5, "10.1.0.1", Phase::Running));
        let since = full.ready_since.unwrap();
        assert!(full.is_available(0, since) && !full.is_available(5, since) && full.is_available(5, since + chrono::TimeDelta::seconds(5)));
    }
}
