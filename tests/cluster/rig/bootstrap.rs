//! What an empty cluster needs before anybody can work in it.

use std::time::Duration;

use color_eyre::eyre::Result;
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::api::Api;
use super::identity::Identity;
use super::layout::Layout;
use super::manifests::object;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const RBAC: &str = "rbac.authorization.k8s.io/v1";

pub async fn run(api: &Api, layout: &Layout) -> Result<()> {
    let mut objects = vec![object("v1", "Namespace", "argo-rollouts"), role("viewer", viewer()), role("oncall", oncall())];
    objects.extend([Identity::Viewer, Identity::Oncall].map(|id| bind(id.user(), None, &[id])));
    objects.extend((1..=3).map(|n| node(&format!("node-{n}"))));
    tokio::try_join!(create_crds(api, layout), apply_all(api, &objects), node_status(api))?;
    served(api).await;
    Ok(())
}

/// Creates the namespace and binds those who work in it.
pub async fn namespace(api: &Api, name: &str) -> Result<()> {
    api.apply(&object("v1", "Namespace", name)).await?;
    let bindings = [bind("viewer", Some(name), &[Identity::Viewer]), bind("oncall", Some(name), &[Identity::Oncall, Identity::Namespaced])];
    apply_all(api, &bindings).await
}

async fn apply_all(api: &Api, objects: &[Value]) -> Result<()> {
    try_join_all(objects.iter().map(|object| api.apply(object))).await?;
    Ok(())
}

async fn create_crds(api: &Api, layout: &Layout) -> Result<()> {
    let files = layout.crds()?.into_iter().map(std::fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
    let documents = files.iter().flat_map(|file| file.split("\n---")).filter(|document| document.contains("kind:"));
    try_join_all(documents.map(|document| api.create_yaml(CRDS, document))).await?;
    Ok(())
}

/// Waits until the new kinds are served; the Rollouts controller would give up without them.
async fn served(api: &Api) {
    let kinds = [
        "argoproj.io/v1alpha1/rollouts",
        "argoproj.io/v1alpha1/analysisruns",
        "argoproj.io/v1alpha1/experiments",
        "argoproj.io/v1alpha1/clusteranalysistemplates",
        "networking.istio.io/v1/virtualservices",
    ];
    for kind in kinds {
        while api.get(&format!("/apis/{kind}?limit=1")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn node(name: &str) -> Value {
    let mut node = object("v1", "Node", name);
    node["metadata"]["labels"] = json!({"type": "kwok"});
    node["metadata"]["annotations"] = json!({"kwok.x-k8s.io/node": "fake"});
    node
}

/// Big nodes: no test is about scheduling unless it asks for more than this.
async fn node_status(api: &Api) -> Result<()> {
    let size = json!({"cpu": "1000", "memory": "1000Gi", "pods": "10000"});
    let patch = json!({"status": {"allocatable": size, "capacity": size}});
    for n in 1..=3 {
        let path = format!("/api/v1/nodes/node-{n}/status");
        while api.merge(&path, &patch).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
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
