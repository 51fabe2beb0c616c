//! What OpenKruise and Kubernetes call things.

pub const ROLLOUTS: &str = "rollouts.rollouts.kruise.io";
pub const DEPLOYMENTS: &str = "deployments.apps";
pub const REPLICA_SETS: &str = "replicasets.apps";
pub const SERVICES: &str = "services";
pub const INGRESSES: &str = "ingresses.networking.k8s.io";

pub const HASH: &str = "pod-template-hash";

/// On a workload: which webhook looks at it.
pub const WORKLOAD_TYPE: &str = "rollouts.kruise.io/workload-type";
/// On a workload that is being released.
pub const IN_PROGRESS: &str = "rollouts.kruise.io/in-progressing";
pub const STABLE: &str = "rollouts.kruise.io/stable-revision";
/// On the Deployment that has a canary's pods.
pub const CANARY_OF: &str = "rollouts.kruise.io/canary-deployment";
/// On a workload in batches: how it would roll otherwise, and how far it may.
pub const STRATEGY: &str = "rollouts.kruise.io/deployment-strategy";
pub const ADVANCED: &str = "rollouts.kruise.io/controlled-by-advanced-deployment-controller";
/// On a workload of a blue-green release: what it is to be given back.
pub const ORIGINAL: &str = "rollouts.kruise.io/original-deployment-strategy";
pub const CONTROL: &str = "batchrelease.rollouts.kruise.io/control-info";

/// In place of "never".
pub const MAX_PROGRESS_SECONDS: i64 = i32::MAX as i64;
pub const MAX_READY_SECONDS: i64 = MAX_PROGRESS_SECONDS - 1;
