//! The fields of an OpenKruise Rollout that the engine reads.

use serde_json::Value;

use crate::engine::workload::dto::dto;
pub use crate::engine::workload::dto::{Condition, Int, IntOrText, Metadata, Selector, Stamp, Template};

dto! {
    Rollout { metadata: Metadata, spec: Spec, status: Status, }
    Spec { workload_ref: Reference, strategy: Strategy, disabled: bool, }
    Reference { api_version: String, kind: String, name: String, }
    Strategy { paused: bool, canary: Option<Plan>, blue_green: Option<Plan>, }
    Plan {
        steps: Vec<Step>,
        traffic_routings: Vec<Routing>,
        enable_extra_workload_for_canary: bool,
        disable_generate_canary_service: bool,
    }
    Step { traffic: Option<IntOrText>, replicas: Option<IntOrText>, matches: Vec<Value>, pause: Pause, }
    Pause { duration: Option<Int>, }
    Routing { service: String, ingress: Option<Ingress>, gateway: Option<Value>, custom_network_refs: Vec<Reference>, }
    Ingress { class_type: String, name: String, }
    Status {
        observed_generation: Int,
        phase: String,
        message: String,
        conditions: Vec<Condition>,
        canary_status: Option<Progress>,
        blue_green_status: Option<Progress>,
    }
    /// Both strategies have the same; three fields are called differently.
    Progress {
        stable_revision: String,
        pod_template_hash: String,
        current_step_index: Int,
        next_step_index: Int,
        current_step_state: String,
        finalising_step: String,
        last_update_time: Stamp,
        #[serde(alias = "updatedRevision")]
        canary_revision: String,
        #[serde(alias = "updatedReplicas")]
        canary_replicas: Int,
        #[serde(alias = "updatedReadyReplicas")]
        canary_ready_replicas: Int,
    }

    /// What every workload it can steer has.
    Workload { spec: WorkloadSpec, status: WorkloadStatus, }
    WorkloadSpec { replicas: Option<Int>, selector: Selector, template: Template, }
    WorkloadStatus { replicas: Int, ready_replicas: Int, available_replicas: Int, }
}
