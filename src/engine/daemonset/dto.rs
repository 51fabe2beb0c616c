//! The fields of a DaemonSet that the engine reads.

use crate::engine::workload::dto::dto;
pub use crate::engine::workload::dto::{Int, IntOrText, Metadata, Selector, Template};

dto! {
    DaemonSet { metadata: Metadata, spec: Spec, status: Status, }
    Spec { selector: Selector, template: Template, update_strategy: UpdateStrategy, }
    UpdateStrategy {
        #[serde(rename = "type")]
        kind: String,
        rolling_update: RollingUpdate,
    }
    RollingUpdate { max_unavailable: Option<IntOrText>, max_surge: Option<IntOrText>, }
    Status {
        observed_generation: Int,
        desired_number_scheduled: Int,
        current_number_scheduled: Int,
        updated_number_scheduled: Int,
        number_ready: Int,
        number_available: Int,
        number_misscheduled: Int,
    }
}
