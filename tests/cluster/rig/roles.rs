//! What the identities may do, and where.

use color_eyre::eyre::Result;
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::api::Api;
use super::identity::Identity;
use super::manifests::object;

const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// Roles, and their bindings for the whole cluster.
pub fn cluster_wide() -> Vec<Value> {
    let bound = [Identity::Viewer, Identity::Oncall].map(|id| bind(id.user(), None, &[id]));
    [role("viewer", viewer()), role("oncall", oncall())].into_iter().chain(bound).collect()
}

/// Creates the namespace and binds those who work in it.
pub async fn namespace(api: &Api, name: &str) -> Result<()> {
    api.apply(&object("v1", "Namespace", name)).await?;
    let bindings = [bind("viewer", Some(name), &[Identity::Viewer]), bind("oncall", Some(name), &[Identity::Oncall, Identity::Namespaced])];
    apply_all(api, &bindings).await
}

pub async fn apply_all(api: &Api, objects: &[Value]) -> Result<()> {
    try_join_all(objects.iter().map(|object| api.apply(object))).await?;
    Ok(())
}

fn role(name: &str, rules: Vec<Value>) -> Value {
    let mut role = object(RBAC, "ClusterRole", name);
    role["rules"] = rules.into();
    role
}

/// Binds the ClusterRole `role`, in one namespace or everywhere.
fn bind(role: &str, namespace: Option<&str>, identities: &[Identity]) -> Value {
    let kind = if namespace.is_some() { "RoleBinding" } else { "ClusterRoleBinding" };
    let mut binding = object(RBAC, kind, role);
    binding["metadata"]["namespace"] = namespace.into();
    binding["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role});
    let subject = |id: &Identity| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": id.user()});
    binding["subjects"] = identities.iter().map(subject).collect();
    binding
}

fn viewer() -> Vec<Value> {
    let readable = [
        ("", "pods services events namespaces nodes replicationcontrollers"),
        ("events.k8s.io", "events"),
        ("apps", "deployments replicasets statefulsets daemonsets controllerrevisions"),
        ("discovery.k8s.io", "endpointslices"),
        ("autoscaling", "horizontalpodautoscalers"),
        ("policy", "poddisruptionbudgets"),
        ("networking.k8s.io", "ingresses"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("flagger.app", "canaries metrictemplates alertproviders"),
        ("argoproj.io", "rollouts analysisruns analysistemplates clusteranalysistemplates experiments applications"),
        ("networking.istio.io", "virtualservices destinationrules gateways"),
        ("gateway.networking.k8s.io", "httproutes grpcroutes gateways"),
    ];
    let read = |(group, resources): (&str, &str)| allow(group, resources, &["get", "list", "watch"]);
    readable.into_iter().map(read).chain([allow("", "pods/log", &["get"])]).collect()
}

fn oncall() -> Vec<Value> {
    let steer = allow("argoproj.io", "rollouts rollouts/status analysisruns experiments", &["patch"]);
    viewer().into_iter().chain([steer]).collect()
}

fn allow(group: &str, resources: &str, verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources.split(' ').collect::<Vec<_>>(), "verbs": verbs})
}
