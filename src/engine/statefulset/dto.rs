//! The fields of a StatefulSet that the engine reads.

use crate::engine::workload::dto::dto;
pub use crate::engine::workload::dto::{Int, IntOrText, Metadata, Selector, Template};

dto! {
    StatefulSet { metadata: Metadata, spec: Spec, status: Status, }
    Spec {
        replicas: Option<Int>,
        selector: Selector,
        template: Template,
        update_strategy: UpdateStrategy,
        pod_management_policy: String,
        ordinals: Ordinals,
    }
    UpdateStrategy {
        #[serde(rename = "type")]
        kind: String,
        rolling_update: RollingUpdate,
    }
    RollingUpdate { partition: Option<Int>, max_unavailable: Option<IntOrText>, }
    Ordinals { start: Int, }
    Status {
        observed_generation: Int,
        replicas: Int,
        ready_replicas: Int,
        available_replicas: Option<Int>,
        updated_replicas: Int,
        current_revision: String,
        update_revision: String,
    }
}
