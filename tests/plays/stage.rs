//! Where plays are performed: against the real components, or in the embedded cluster.

#[path = "stage/embedded.rs"]
pub mod embedded;
#[path = "stage/perform.rs"]
pub mod perform;
#[path = "stage/rig.rs"]
pub mod rig;

use std::time::Duration;

use serde_json::Value;

use crate::record::Log;

/// A cluster with one namespace for one play.
pub trait Stage {
    /// Sends a request; answers with the object, or how it was refused.
    async fn send(&mut self, request: &Request) -> Result<Value, Refused>;

    /// All objects of a kind, by [`kind id`](KINDS).
    async fn list(&mut self, kind: &str) -> Vec<Value>;

    /// Lets time pass until something is new in the log, but no longer than this.
    async fn advance(&mut self, most: Duration);

    /// The play is over: controllers must not go on with it.
    async fn close(self);

    /// Time since the play began.
    fn now(&self) -> Duration;

    /// How long to wait before an act that follows at once, where that does not take time by itself.
    fn reaction(&self) -> Duration;

    /// The clock objects are stamped by: RFC 3339, UTC, whole seconds.
    fn clock(&self) -> String;

    /// Everything seen so far.
    fn log(&self) -> &Log;

    fn namespace(&self) -> &str;

    /// Address of the Prometheus analyses ask.
    fn prometheus(&self) -> String;
}

#[derive(Debug, Clone)]
pub struct Request {
    /// One of [`KINDS`].
    pub kind: &'static str,
    pub name: String,
    pub subresource: Option<&'static str>,
    pub body: Body,
}

#[derive(Debug, Clone)]
pub enum Body {
    Create(Value),
    Merge(Value),
    Json(Value),
    Delete,
}

impl Request {
    pub fn new(kind: &'static str, name: impl Into<String>, body: Body) -> Self {
        Self { kind, name: name.into(), subresource: None, body }
    }

    pub fn sub(self, name: &'static str) -> Self {
        Self { subresource: Some(name), ..self }
    }
}

/// HTTP status and message.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    pub code: u16,
    pub message: String,
}

/// What plays are made of: plural kind with its group, apiVersion, kind, and whether each version is recorded.
pub const KINDS: &[(&str, &str, &str, bool)] = &[
    ("rollouts.argoproj.io", "argoproj.io/v1alpha1", "Rollout", true),
    ("replicasets.apps", "apps/v1", "ReplicaSet", true),
    ("services", "v1", "Service", true),
    ("ingresses.networking.k8s.io", "networking.k8s.io/v1", "Ingress", true),
    ("virtualservices.networking.istio.io", "networking.istio.io/v1", "VirtualService", true),
    ("analysisruns.argoproj.io", "argoproj.io/v1alpha1", "AnalysisRun", true),
    ("experiments.argoproj.io", "argoproj.io/v1alpha1", "Experiment", true),
    ("deployments.apps", "apps/v1", "Deployment", true),
    ("events", "v1", "Event", true),
    ("pods", "v1", "Pod", false),
    ("analysistemplates.argoproj.io", "argoproj.io/v1alpha1", "AnalysisTemplate", false),
];

/// The kind id of a manifest.
pub fn kind_of(manifest: &Value) -> &'static str {
    let known = KINDS.iter().find(|(_, version, kind, _)| manifest["apiVersion"] == *version && manifest["kind"] == *kind);
    known.unwrap_or_else(|| panic!("plays know no {}", manifest["kind"])).0
}

/// apiVersion of a kind id.
pub fn version_of(id: &str) -> &'static str {
    KINDS.iter().find(|(known, ..)| *known == id).unwrap_or_else(|| panic!("plays know no {id}")).1
}
