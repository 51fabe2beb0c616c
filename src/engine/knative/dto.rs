//! The fields of a Knative Service and its Revisions that the engine reads.

use crate::engine::workload::dto::dto;
pub use crate::engine::workload::dto::{Condition, Int, Metadata, Template};

dto! {
    Service { metadata: Metadata, spec: Spec, status: Status, }
    Spec { template: Template, traffic: Vec<Target>, }
    Target { revision_name: String, latest_revision: bool, percent: Int, tag: String, }
    Status {
        observed_generation: Int,
        latest_ready_revision_name: String,
        latest_created_revision_name: String,
        traffic: Vec<Target>,
        conditions: Vec<Condition>,
    }
    Revision { metadata: Metadata, spec: PodSpec, status: RevisionStatus, }
    PodSpec { containers: Vec<crate::engine::workload::dto::Container>, }
    RevisionStatus { conditions: Vec<Condition>, }
}
