//! The kinds the embedded API server serves: a table of built-in ones; CustomResourceDefinitions add theirs.

use std::sync::Arc;

use serde_json::Value;

/// A served kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Kind {
    /// Empty for the core group.
    pub group: String,
    /// Served versions; the first is preferred and is the one objects are stored in.
    pub versions: Vec<String>,
    pub kind: String,
    pub plural: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    /// Whether `/status` is a subresource: then the main resource ignores status, and `/status` all else.
    pub status: bool,
    pub scale: Option<Scale>,
    /// Of kinds that a CustomResourceDefinition brought.
    pub custom: Option<Custom>,
}

/// Where `/scale` finds its numbers, as JSON pointers.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    pub spec: String,
    pub status: String,
    pub selector: Option<String>,
}

/// What a CustomResourceDefinition says beyond names.
#[derive(Debug, Clone, PartialEq)]
pub struct Custom {
    /// `openAPIV3Schema` of the stored version.
    pub schema: Arc<Value>,
    /// `additionalPrinterColumns` of the stored version.
    pub columns: Arc<Value>,
}

impl Kind {
    /// `rollouts.argoproj.io`; core kinds are just `pods`. The key of everything in the store.
    pub fn id(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `apiVersion` of the preferred version.
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.versions[0])
    }
}

pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.into() } else { format!("{group}/{version}") }
}

/// Kinds every cluster has, as far as anything here needs them.
pub fn built_in() -> Vec<Kind> {
    TABLE.iter().map(Row::kind).collect()
}

struct Row(&'static str, &'static str, &'static str, &'static str, &'static str, Has);

/// What a row has beside names.
#[derive(Clone, Copy, PartialEq)]
enum Has {
    /// Namespaced, no subresource.
    Plain,
    Status,
    StatusAndScale,
    /// Not namespaced, no subresource.
    Cluster,
    ClusterStatus,
}

impl Row {
    fn kind(&self) -> Kind {
        let Self(group, versions, kind, plural, short, has) = self;
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let scale = Scale { spec: "/spec/replicas".into(), status: "/status/replicas".into(), selector: Some("/status/selector".into()) };
        Kind {
            group: (*group).into(),
            versions: list(versions),
            kind: (*kind).into(),
            plural: (*plural).into(),
            singular: kind.to_lowercase(),
            short_names: list(short),
            categories: if ALL.contains(plural) { vec!["all".into()] } else { Vec::new() },
            namespaced: !matches!(has, Has::Cluster | Has::ClusterStatus),
            status: !matches!(has, Has::Plain | Has::Cluster),
            scale: (*has == Has::StatusAndScale).then_some(scale),
            custom: None,
        }
    }
}

/// What `kubectl get all` shows.
const ALL: [&str; 10] = [
    "pods",
    "replicationcontrollers",
    "services",
    "daemonsets",
    "deployments",
    "replicasets",
    "statefulsets",
    "horizontalpodautoscalers",
    "jobs",
    "cronjobs",
];

/// group, versions, kind, plural, short names, what it has.
const TABLE: &[Row] = &[
    Row("", "v1", "Namespace", "namespaces", "ns", Has::ClusterStatus),
    Row("", "v1", "Node", "nodes", "no", Has::ClusterStatus),
    Row("", "v1", "Pod", "pods", "po", Has::Status),
    Row("", "v1", "Service", "services", "svc", Has::Status),
    Row("", "v1", "Endpoints", "endpoints", "ep", Has::Plain),
    Row("", "v1", "Event", "events", "ev", Has::Plain),
    Row("", "v1", "ConfigMap", "configmaps", "cm", Has::Plain),
    Row("", "v1", "Secret", "secrets", "", Has::Plain),
    Row("", "v1", "ServiceAccount", "serviceaccounts", "sa", Has::Plain),
    Row("", "v1", "PodTemplate", "podtemplates", "", Has::Plain),
    Row("", "v1", "ReplicationController", "replicationcontrollers", "rc", Has::StatusAndScale),
    Row("apps", "v1", "Deployment", "deployments", "deploy", Has::StatusAndScale),
    Row("apps", "v1", "ReplicaSet", "replicasets", "rs", Has::StatusAndScale),
    Row("apps", "v1", "StatefulSet", "statefulsets", "sts", Has::StatusAndScale),
    Row("apps", "v1", "DaemonSet", "daemonsets", "ds", Has::Status),
    Row("apps", "v1", "ControllerRevision", "controllerrevisions", "", Has::Plain),
    Row("batch", "v1", "Job", "jobs", "", Has::Status),
    Row("batch", "v1", "CronJob", "cronjobs", "cj", Has::Status),
    Row("autoscaling", "v2 v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", Has::Status),
    Row("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", Has::Status),
    Row("networking.k8s.io", "v1", "Ingress", "ingresses", "ing", Has::Status),
    Row("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "", Has::Plain),
    Row("events.k8s.io", "v1", "Event", "events", "ev", Has::Plain),
    Row("coordination.k8s.io", "v1", "Lease", "leases", "", Has::Plain),
    Row("rbac.authorization.k8s.io", "v1", "Role", "roles", "", Has::Plain),
    Row("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", "", Has::Plain),
    Row("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "", Has::Cluster),
    Row("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", "", Has::Cluster),
    Row("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", "crd crds", Has::ClusterStatus),
];
