//! The fields of a Deployment that the engine reads.

use crate::engine::workload::dto::dto;
pub use crate::engine::workload::dto::{Condition, Int, IntOrText, Metadata, ReplicaSet, Selector, Template};

dto! {
    Deployment { metadata: Metadata, spec: Spec, status: Status, }
    Spec {
        replicas: Option<Int>,
        selector: Selector,
        template: Template,
        strategy: Strategy,
        min_ready_seconds: Int,
        progress_deadline_seconds: Option<Int>,
        paused: bool,
    }
    Strategy {
        #[serde(rename = "type")]
        kind: String,
        rolling_update: RollingUpdate,
    }
    RollingUpdate { max_surge: Option<IntOrText>, max_unavailable: Option<IntOrText>, }
    Status {
        observed_generation: Int,
        replicas: Int,
        updated_replicas: Int,
        ready_replicas: Int,
        available_replicas: Int,
        conditions: Vec<Condition>,
    }
}
