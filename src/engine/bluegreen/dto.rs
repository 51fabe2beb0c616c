//! The fields of Services and Deployments that this engine reads.

use crate::engine::workload::dto::{Condition, Int, IntOrText, Metadata, Template, Words, dto};

dto! {
    Service { metadata: Metadata, spec: ServiceSpec, }
    ServiceSpec {
        selector: Words,
        ports: Vec<ServicePort>,
        #[serde(rename = "type")]
        kind: String,
        #[serde(rename = "clusterIP")]
        cluster_ip: String,
    }
    ServicePort { target_port: IntOrText, }
    Deployment { metadata: Metadata, spec: DeploymentSpec, status: DeploymentStatus, }
    DeploymentSpec { replicas: Option<Int>, template: Template, paused: bool, }
    DeploymentStatus {
        observed_generation: Int,
        replicas: Int,
        updated_replicas: Int,
        ready_replicas: Int,
        available_replicas: Int,
        conditions: Vec<Condition>,
    }
    /// Container ports, read once more for the flip: a Service may name them.
    Ported { spec: PortedSpec, }
    PortedSpec { template: PortedTemplate, }
    PortedTemplate { spec: PortedPods, }
    PortedPods { containers: Vec<PortedContainer>, }
    PortedContainer { ports: Vec<Port>, }
    Port { name: String, }
}
