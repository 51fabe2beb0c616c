//! Who one is in a demo, and what one may do there: what `assets/rbac` gives to whoever is on call, and no more.

use serde_json::{Value, json};

use crate::demo::{
    refusal::Refusal,
    registry::{self, Write},
    sim::Sim,
};

/// The user's name, as `SelfSubjectReview` tells it.
pub const NAME: &str = "you";
pub const GROUP: &str = "oncall";

const API: &str = "rbac.authorization.k8s.io";
const ROLES: &str = "clusterroles.rbac.authorization.k8s.io";
const BINDINGS: &str = "clusterrolebindings.rbac.authorization.k8s.io";

/// API group, resources, verbs.
type Rule = (&'static str, &'static [&'static str], &'static [&'static str]);

/// `assets/rbac/viewer.yaml` and `assets/rbac/oncall.yaml`.
const ROLE_RULES: &[(&str, &[Rule])] = &[
    (
        "rolltop-viewer",
        &[
            ("argoproj.io", &["rollouts", "analysisruns", "experiments"], READ),
            ("apps", &["replicasets", "deployments"], READ),
            ("", &["pods", "services", "events", "podtemplates"], READ),
            ("networking.k8s.io", &["ingresses"], READ),
            ("networking.istio.io", &["virtualservices", "destinationrules"], READ),
        ],
    ),
    ("rolltop-oncall", &[("argoproj.io", &["rollouts", "rollouts/status"], &["patch"]), ("apps", &["deployments"], &["patch"])]),
];
const READ: &[&str] = &["get", "list", "watch"];

/// What whoever joins with kubectl wants beside it: the names of things, and their logs.
const BESIDE: &str = "view";

/// Gives the person these roles.
pub fn install(sim: &mut Sim) {
    for (name, rules) in ROLE_RULES {
        put(sim, ROLES, role(name, rules));
    }
    let names = ROLE_RULES.iter().map(|(name, _)| *name).chain([BESIDE]);
    for name in names {
        let subjects = json!([{"kind": "User", "apiGroup": API, "name": NAME}]);
        let refers = json!({"kind": "ClusterRole", "apiGroup": API, "name": name});
        put(sim, BINDINGS, json!({"metadata": {"name": format!("demo-{name}")}, "subjects": subjects, "roleRef": refers}));
    }
}

fn role(name: &str, rules: &[Rule]) -> Value {
    let rule = |(group, resources, verbs): &Rule| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    json!({"metadata": {"name": name}, "rules": rules.iter().map(rule).collect::<Vec<_>>()})
}

fn put(sim: &mut Sim, kind: &str, object: Value) {
    let now = sim.now();
    let done: Result<Value, Refusal> = registry::create(&mut sim.store, kind, "", object, Write::new(now, "kubectl-client-side-apply"));
    if let Err(refusal) = done {
        tracing::warn!(%refusal.message, "a role of the demo was refused");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_roles_are_those_of_the_manifests() {
        let manifests = [include_str!("../../../assets/rbac/viewer.yaml"), include_str!("../../../assets/rbac/oncall.yaml")];
        for (text, (name, rules)) in manifests.iter().zip(ROLE_RULES) {
            let shipped: Value = serde_saphyr::from_str(text).unwrap();
            let ours = role(name, rules);
            assert_eq!((&shipped["metadata"]["name"], &shipped["rules"]), (&ours["metadata"]["name"], &ours["rules"]));
        }
    }
}
