//! What the identities may do, and where.

use color_eyre::eyre::Result;
use futures::future::try_join_all;
use rolltop::engine::rights::{self, Role, Rule};
use serde_json::{Value, json};

use super::api::Api;
use super::identity::Identity;
use super::manifests::object;

const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// Roles, and their bindings for the whole cluster.
pub fn cluster_wide() -> Vec<Value> {
    let bound = [bind("rolltop-viewer", None, &[Identity::Viewer, Identity::Oncall]), bind("rolltop-oncall", None, &[Identity::Oncall])];
    [rights::viewer(), rights::oncall()].iter().map(role).chain(bound).collect()
}

/// Creates the namespace and binds those who work in it.
pub async fn namespace(api: &Api, name: &str) -> Result<()> {
    api.apply(&object("v1", "Namespace", name)).await?;
    let (reads, acts) = ([Identity::Viewer, Identity::Oncall, Identity::Namespaced], [Identity::Oncall, Identity::Namespaced]);
    let bindings = [bind("rolltop-viewer", Some(name), &reads), bind("rolltop-oncall", Some(name), &acts)];
    apply_all(api, &bindings).await
}

pub async fn apply_all(api: &Api, objects: &[Value]) -> Result<()> {
    try_join_all(objects.iter().map(|object| api.apply(object))).await?;
    Ok(())
}

/// What is shipped in `assets/rbac`, exactly.
fn role(shipped: &Role) -> Value {
    let rule = |rule: &Rule| json!({"apiGroups": [rule.group], "resources": rule.resources, "verbs": rule.verbs});
    let mut role = object(RBAC, "ClusterRole", shipped.name);
    role["rules"] = shipped.rules().map(rule).collect();
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
