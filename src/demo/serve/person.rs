//! Who one is in a demo, and what one may do there: what `assets/rbac` gives to whoever is on call, and no more.

use serde_json::{Value, json};

use crate::{
    demo::{
        refusal::Refusal,
        registry::{self, Write},
        sim::Sim,
    },
    engine::rights::{self, Role, Rule},
};

/// The user's name, as `SelfSubjectReview` tells it.
pub const NAME: &str = "you";
pub const GROUP: &str = "oncall";

const API: &str = "rbac.authorization.k8s.io";
const ROLES: &str = "clusterroles.rbac.authorization.k8s.io";
const BINDINGS: &str = "clusterrolebindings.rbac.authorization.k8s.io";

/// What whoever joins with kubectl wants beside it: the names of things, and their logs.
const BESIDE: &str = "view";

/// Gives the person these roles.
pub fn install(sim: &mut Sim) {
    let roles = [rights::viewer(), rights::oncall()];
    for role in &roles {
        put(sim, ROLES, object(role));
    }
    let names = roles.iter().map(|role| role.name).chain([BESIDE]);
    for name in names {
        let subjects = json!([{"kind": "User", "apiGroup": API, "name": NAME}]);
        let refers = json!({"kind": "ClusterRole", "apiGroup": API, "name": name});
        put(sim, BINDINGS, json!({"metadata": {"name": format!("demo-{name}")}, "subjects": subjects, "roleRef": refers}));
    }
}

fn object(role: &Role) -> Value {
    let rule = |rule: &Rule| json!({"apiGroups": [rule.group], "resources": rule.resources, "verbs": rule.verbs});
    json!({"metadata": {"name": role.name}, "rules": role.rules().map(rule).collect::<Vec<_>>()})
}

fn put(sim: &mut Sim, kind: &str, object: Value) {
    let now = sim.now();
    let done: Result<Value, Refusal> = registry::create(&mut sim.store, kind, "", object, Write::new(now, "kubectl-client-side-apply"));
    if let Err(refusal) = done {
        tracing::warn!(%refusal.message, "a role of the demo was refused");
    }
}
