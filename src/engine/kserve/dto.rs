//! The fields of an InferenceService that the engine reads.

use std::collections::BTreeMap;

use crate::engine::workload::dto::dto;
pub use crate::engine::{
    knative::dto::Target,
    workload::dto::{Condition, Int, Metadata},
};

dto! {
    InferenceService { metadata: Metadata, spec: Spec, status: Status, }
    Spec { predictor: Predictor, }
    Predictor { canary_traffic_percent: Option<Int>, }
    Status { deployment_mode: String, conditions: Vec<Condition>, components: BTreeMap<String, Component>, model_status: ModelStatus, }
    Component {
        latest_ready_revision: String,
        latest_created_revision: String,
        previous_rolledout_revision: String,
        latest_rolledout_revision: String,
        traffic: Vec<Target>,
    }
    ModelStatus { transition_status: String, states: States, copies: Copies, last_failure_info: Option<Failure>, }
    States { active_model_state: String, target_model_state: String, }
    Copies { failed_copies: Int, total_copies: Int, }
    Failure { reason: String, message: String, }
}
