//! What Argo Rollouts and Kubernetes call things.

pub const ROLLOUTS: &str = "rollouts.argoproj.io";
pub const ANALYSIS_RUNS: &str = "analysisruns.argoproj.io";
pub const EXPERIMENTS: &str = "experiments.argoproj.io";
pub const REPLICA_SETS: &str = "replicasets.apps";
pub const DEPLOYMENTS: &str = "deployments.apps";
pub const POD_TEMPLATES: &str = "podtemplates";
pub const PODS: &str = "pods";
pub const SERVICES: &str = "services";
pub const INGRESSES: &str = "ingresses.networking.k8s.io";
pub const VIRTUAL_SERVICES: &str = "virtualservices.networking.istio.io";
pub const DESTINATION_RULES: &str = "destinationrules.networking.istio.io";
pub const TRAEFIK_SERVICES: &str = "traefikservices.traefik.io";
pub const HTTP_ROUTES: &str = "httproutes.gateway.networking.k8s.io";

/// Label of ReplicaSets, pods, runs and Experiments; key in the selectors of Services and the labels of Istio subsets.
pub const HASH: &str = "rollouts-pod-template-hash";
/// Annotations of ReplicaSets (and, the first, of Rollouts, AnalysisRuns and Experiments).
pub const REVISION: &str = "rollout.argoproj.io/revision";
pub const REVISION_HISTORY: &str = "rollout.argoproj.io/revision-history";
pub const DESIRED_REPLICAS: &str = "rollout.argoproj.io/desired-replicas";
pub const EPHEMERAL_METADATA: &str = "rollout.argoproj.io/ephemeral-metadata";
pub const SCALE_DOWN_DEADLINE: &str = "scale-down-deadline";
/// Annotation of Rollouts that refer to a workload.
pub const WORKLOAD_GENERATION: &str = "rollout.argoproj.io/workload-generation";
/// Annotation of Services and DestinationRules.
pub const MANAGED_BY: &str = "argo-rollouts.argoproj.io/managed-by-rollouts";
/// Labels of AnalysisRuns.
pub const ROLLOUT_TYPE: &str = "rollout-type";
pub const STEP_INDEX: &str = "step-index";
pub const INSTANCE_ID: &str = "argo-rollouts.argoproj.io/controller-instance-id";
