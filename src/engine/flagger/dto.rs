//! The fields of Flagger's objects, and of what it drives, that this engine reads.

use serde_json::Value;

pub use crate::engine::workload::dto::*;

dto! {
    Canary { metadata: Metadata, spec: Spec, status: Status, }
    Spec {
        target_ref: Reference,
        provider: String,
        ingress_ref: Option<Reference>,
        service: Service,
        analysis: Option<Analysis>,
        /// The old name of the same.
        canary_analysis: Option<Analysis>,
        skip_analysis: bool,
        suspend: bool,
        progress_deadline_seconds: Option<Int>,
    }
    Reference { api_version: String, kind: String, name: String, }
    Service { name: String, }
    Analysis {
        interval: String,
        threshold: Int,
        max_weight: Int,
        step_weight: Int,
        step_weights: Vec<Int>,
        iterations: Int,
        #[serde(rename = "match")]
        matches: Vec<Value>,
        metrics: Vec<Metric>,
        webhooks: Vec<Webhook>,
        canary_ready_threshold: Option<Int>,
        session_affinity: Option<Value>,
    }
    Metric {
        name: String,
        interval: String,
        threshold_range: Option<Range>,
        query: String,
        template_ref: Option<Reference>,
    }
    Range { min: Option<f64>, max: Option<f64>, }
    Webhook {
        #[serde(rename = "type")]
        kind: String,
        name: String,
        url: String,
    }
    Status {
        phase: String,
        canary_weight: Int,
        failed_checks: Int,
        /// −1 for a weighted canary that waits for its promotion.
        iterations: Int,
        last_applied_spec: String,
        last_promoted_spec: String,
        last_transition_time: Stamp,
        conditions: Vec<Condition>,
    }
    Deployment { metadata: Metadata, spec: DeploymentSpec, status: DeploymentStatus, }
    DeploymentSpec { replicas: Option<Int>, selector: Selector, template: Template, }
    DeploymentStatus {
        observed_generation: Int,
        replicas: Int,
        updated_replicas: Int,
        ready_replicas: Int,
        available_replicas: Int,
        conditions: Vec<Condition>,
    }
    Event { #[serde(rename = "type")] kind: String, message: String, last_timestamp: Stamp, involved_object: Involved, }
    Involved { uid: String, }
}
