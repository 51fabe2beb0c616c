//! Role based access control: who may do what, by the Roles and bindings in the store.

use serde_json::{Value, json};

use super::{Call, User, tokens::MASTERS};
use crate::{
    demo::{
        refusal::Refusal,
        registry::{self, Write, valid::selects},
        sim::Sim,
        store::{Key, Store, Stored},
        world::World,
    },
    model::Time,
};

const GROUP: &str = "rbac.authorization.k8s.io";
const ROLES: &str = "roles.rbac.authorization.k8s.io";
const CLUSTER_ROLES: &str = "clusterroles.rbac.authorization.k8s.io";
const BINDINGS: &str = "rolebindings.rbac.authorization.k8s.io";
const CLUSTER_BINDINGS: &str = "clusterrolebindings.rbac.authorization.k8s.io";

/// Something somebody wants to do: to a resource, or to a path that is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish<'a> {
    pub verb: &'a str,
    pub group: &'a str,
    /// Plural; empty: `path` counts.
    pub resource: &'a str,
    pub subresource: &'a str,
    /// Empty: all.
    pub name: &'a str,
    /// `None`: all namespaces, or a kind without.
    pub namespace: Option<&'a str>,
    pub path: &'a str,
}

/// Whether a call may go on.
///
/// # Errors
/// 403 in the words of the real server.
pub fn allows(world: &World, call: &Call) -> Result<(), Refusal> {
    let target = &call.target;
    let named = single_name(call);
    let is_namespace = target.kind.id() == "namespaces";
    let wish = Wish {
        verb: call.verb,
        group: &target.kind.group,
        resource: &target.kind.plural,
        subresource: target.subresource.split('/').next().unwrap_or_default(),
        name: target.name.as_deref().or(named.as_deref()).unwrap_or_default(),
        namespace: if is_namespace { target.name.as_deref() } else { target.namespace.as_deref() },
        path: "",
    };
    world.look(|sim| may(&sim.store, &call.user, &wish))
}

/// Lists and watches of one name by field selector are asked for that name.
fn single_name(call: &Call) -> Option<String> {
    if !["list", "watch", "deletecollection"].contains(&call.verb) {
        return None;
    }
    let selector = call.asks("fieldSelector")?;
    selector.split(',').find_map(|part| part.trim().strip_prefix("metadata.name=")).map(|name| name.trim_start_matches('=').to_owned())
}

/// Whether `user` may do this.
///
/// # Errors
/// 403 in the words of the real server.
pub fn may(store: &Store, user: &User, wish: &Wish<'_>) -> Result<(), Refusal> {
    let verdict = judge(store, user, wish);
    if verdict.allowed { Ok(()) } else { Err(refusal(user, wish, &verdict.reason)) }
}

/// What the roles say to a wish.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    pub allowed: bool,
    /// Which binding allows it; or what is wrong with those that might have.
    pub reason: String,
}

/// Judges a wish by the roles. [`MASTERS`] may everything.
pub fn judge(store: &Store, user: &User, wish: &Wish<'_>) -> Verdict {
    if user.groups.iter().any(|group| group == MASTERS) {
        return Verdict { allowed: true, reason: String::new() };
    }
    let mut missing = Vec::new();
    for grant in grants(store, user, wish.namespace) {
        match grant.rules {
            Some(rules) if rules.iter().any(|rule| covers(rule, wish)) => return Verdict { allowed: true, reason: grant.reason },
            Some(_) => (),
            None => missing.push(grant.reason),
        }
    }
    let reason = if missing.is_empty() { String::new() } else { format!("RBAC: {}", missing.join(", ")) };
    Verdict { allowed: false, reason }
}

/// What one binding gives somebody.
struct Grant {
    /// `None`: the role is not there, and the reason says so.
    rules: Option<Vec<Value>>,
    reason: String,
}

/// All bindings of a user, those of the cluster first.
fn grants<'a>(store: &'a Store, user: &'a User, namespace: Option<&'a str>) -> impl Iterator<Item = Grant> + 'a {
    let cluster = store.list(CLUSTER_BINDINGS, None);
    let local = namespace.into_iter().flat_map(|namespace| store.list(BINDINGS, Some(namespace)));
    cluster.chain(local).filter_map(|binding| grant(store, user, binding))
}

fn grant(store: &Store, user: &User, stored: &Stored) -> Option<Grant> {
    let binding = stored.value();
    let namespace = &*stored.key.namespace;
    let subject = binding["subjects"].as_array()?.iter().find_map(|subject| subject_of(subject, user, namespace))?;
    let role = &binding["roleRef"];
    let (kind, name) = (role["kind"].as_str()?, role["name"].as_str()?);
    let (of, shown) = if namespace.is_empty() {
        ("ClusterRoleBinding", stored.key.name.to_string())
    } else {
        ("RoleBinding", format!("{}/{namespace}", stored.key.name))
    };
    let key = if kind == "Role" { Key::new(ROLES, namespace, name) } else { Key::new(CLUSTER_ROLES, "", name) };
    Some(match store.get(&key) {
        Some(found) => Grant {
            rules: Some(rules(store, &found.value())),
            reason: format!("RBAC: allowed by {of} {shown:?} of {kind} {name:?} to {subject}"),
        },
        None => Grant { rules: None, reason: format!("{}.{GROUP} {name:?} not found", kind.to_lowercase()) },
    })
}

/// Whether a binding's subject is this user, and how to call it.
fn subject_of(subject: &Value, user: &User, namespace: &str) -> Option<String> {
    let name = subject["name"].as_str()?;
    match subject["kind"].as_str()? {
        "User" if name == user.name => Some(format!("User {name:?}")),
        "Group" if user.groups.iter().any(|group| group == name) => Some(format!("Group {name:?}")),
        "ServiceAccount" => {
            let namespace = subject["namespace"].as_str().unwrap_or(namespace);
            let full = format!("system:serviceaccount:{namespace}:{name}");
            (user.name == full).then(|| format!("ServiceAccount \"{name}/{namespace}\""))
        }
        _ => None,
    }
}

/// The rules of a role, and of those it gathers by their labels.
fn rules(store: &Store, role: &Value) -> Vec<Value> {
    gathered(store, role, &mut Vec::new())
}

fn gathered(store: &Store, role: &Value, seen: &mut Vec<String>) -> Vec<Value> {
    let mut rules = role["rules"].as_array().cloned().unwrap_or_default();
    let selectors = role["aggregationRule"]["clusterRoleSelectors"].as_array().cloned().unwrap_or_default();
    if selectors.is_empty() {
        return rules;
    }
    for other in store.list(CLUSTER_ROLES, None) {
        let name = other.key.name.to_string();
        if seen.contains(&name) {
            continue;
        }
        let other = other.value();
        if selectors.iter().any(|selector| selects(selector, &other["metadata"]["labels"])) {
            seen.push(name);
            rules.extend(gathered(store, &other, seen));
        }
    }
    rules
}

fn covers(rule: &Value, wish: &Wish<'_>) -> bool {
    let has = |field: &str, wanted: &str| list(rule, field).any(|value| value == "*" || value == wanted);
    if !has("verbs", wish.verb) {
        return false;
    }
    if wish.resource.is_empty() {
        return list(rule, "nonResourceURLs")
            .any(|path| path.strip_suffix('*').map_or(path == wish.path, |start| wish.path.starts_with(start)));
    }
    let resource = list(rule, "resources").any(|resource| match (resource, resource.split_once('/')) {
        ("*", _) => true,
        (_, None) => wish.subresource.is_empty() && resource == wish.resource,
        (_, Some(("*", subresource))) => subresource == wish.subresource,
        (_, Some((resource, subresource))) => resource == wish.resource && subresource == wish.subresource,
    });
    let names = rule["resourceNames"].as_array().is_none_or(Vec::is_empty) || list(rule, "resourceNames").any(|name| name == wish.name);
    resource && names && has("apiGroups", wish.group)
}

fn list<'a>(rule: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    rule[field].as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn refusal(user: &User, wish: &Wish<'_>, reason: &str) -> Refusal {
    let (name, verb) = (&user.name, wish.verb);
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    if wish.resource.is_empty() {
        let message = format!("forbidden: User {name:?} cannot {verb} path {:?}{because}", wish.path);
        return Refusal { details: json!({}), ..Refusal::new(403, "Forbidden", message) };
    }
    let qualified = if wish.group.is_empty() { wish.resource.to_owned() } else { format!("{}.{}", wish.resource, wish.group) };
    let resource = if wish.subresource.is_empty() { wish.resource.to_owned() } else { format!("{}/{}", wish.resource, wish.subresource) };
    let place = wish.namespace.map_or_else(|| "at the cluster scope".to_owned(), |namespace| format!("in the namespace {namespace:?}"));
    let why = format!("User {name:?} cannot {verb} resource {resource:?} in API group {:?} {place}{because}", wish.group);
    Refusal::forbidden(&qualified, wish.name, &why)
}

/// The rules that hold for a user in a namespace: of resources, and of other paths.
pub fn all_rules(store: &Store, user: &User, namespace: &str) -> (Vec<Value>, Vec<Value>) {
    let granted = grants(store, user, Some(namespace)).filter_map(|grant| grant.rules).flatten();
    granted.partition(|rule| rule["nonResourceURLs"].as_array().is_none_or(Vec::is_empty))
}

/// Gives a cluster the roles that all clusters have, and those that Argo Rollouts adds to them.
pub fn install(sim: &mut Sim, now: Time) {
    for (name, labels, rules) in FIRST_ROLES {
        let labels: serde_json::Map<String, Value> =
            labels.iter().map(|label| (format!("{GROUP}/aggregate-to-{label}"), "true".into())).collect();
        let role = json!({"metadata": {"name": name, "labels": labels}, "rules": rules.iter().map(rule).collect::<Vec<_>>()});
        store_object(sim, CLUSTER_ROLES, role, now);
    }
    for (name, gathers, label) in [("view", "view", Some("edit")), ("edit", "edit", Some("admin")), ("admin", "admin", None)] {
        let labels: serde_json::Map<String, Value> =
            label.into_iter().map(|to| (format!("{GROUP}/aggregate-to-{to}"), "true".into())).collect();
        let selector = json!({"matchLabels": {format!("{GROUP}/aggregate-to-{gathers}"): "true"}});
        let role =
            json!({"metadata": {"name": name, "labels": labels}, "aggregationRule": {"clusterRoleSelectors": [selector]}, "rules": []});
        store_object(sim, CLUSTER_ROLES, role, now);
    }
    let everybody = ["system:authenticated"].as_slice();
    for (role, groups) in [
        ("cluster-admin", [MASTERS].as_slice()),
        ("system:basic-user", everybody),
        ("system:discovery", everybody),
        ("system:public-info-viewer", &["system:authenticated", "system:unauthenticated"]),
    ] {
        let subjects: Vec<Value> = groups.iter().map(|name| json!({"kind": "Group", "name": name, "apiGroup": GROUP})).collect();
        let binding = json!({
            "metadata": {"name": role}, "subjects": subjects, "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        });
        store_object(sim, CLUSTER_BINDINGS, binding, now);
    }
}

fn store_object(sim: &mut Sim, kind: &str, mut object: Value, now: Time) {
    object["metadata"]["labels"]["kubernetes.io/bootstrapping"] = "rbac-defaults".into();
    // One that is there already stays as it is.
    drop(registry::create(&mut sim.store, kind, "", object, Write::new(now, "")));
}

type RuleRow = (&'static str, &'static str, &'static str);

/// API groups, resources or paths, verbs. `core` is the group without a name.
fn rule((groups, resources, verbs): &RuleRow) -> Value {
    let words = |text: &str| text.split(' ').map(|word| if word == "core" { "" } else { word }.to_owned()).collect::<Vec<_>>();
    if groups.is_empty() {
        return json!({"nonResourceURLs": words(resources), "verbs": words(verbs)});
    }
    json!({"apiGroups": words(groups), "resources": words(resources), "verbs": words(verbs)})
}

const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const ALL: &str = "create delete deletecollection get list patch update watch";

/// Name, which of `view`, `edit` and `admin` gather it, rules.
const FIRST_ROLES: &[(&str, &[&str], &[RuleRow])] = &[
    ("cluster-admin", &[], &[("*", "*", "*"), ("", "*", "*")]),
    (
        "system:basic-user",
        &[],
        &[
            ("authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews", "create"),
            ("authentication.k8s.io", "selfsubjectreviews", "create"),
        ],
    ),
    ("system:discovery", &[], &[("", "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/", "get")]),
    ("system:public-info-viewer", &[], &[("", "/healthz /livez /readyz /version /version/", "get")]),
    (
        "system:aggregate-to-view",
        &["view"],
        &[
            (
                "core",
                "configmaps endpoints events namespaces pods pods/log pods/status replicationcontrollers replicationcontrollers/scale \
                 replicationcontrollers/status serviceaccounts services services/status",
                READ,
            ),
            ("discovery.k8s.io", "endpointslices", READ),
            (
                "apps",
                "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets \
                 replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
                READ,
            ),
            ("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", READ),
            ("batch", "cronjobs cronjobs/status jobs jobs/status", READ),
            ("policy", "poddisruptionbudgets poddisruptionbudgets/status", READ),
            ("networking.k8s.io", "ingresses ingresses/status", READ),
            ("events.k8s.io", "events", READ),
        ],
    ),
    (
        "system:aggregate-to-edit",
        &["edit"],
        &[
            ("core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy", READ),
            ("core", "serviceaccounts", "impersonate"),
            ("core", "pods pods/attach pods/exec pods/portforward pods/proxy", WRITE),
            ("core", "pods/eviction serviceaccounts/token", "create"),
            (
                "core",
                "configmaps events replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy",
                WRITE,
            ),
            (
                "apps",
                "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale",
                WRITE,
            ),
            ("autoscaling", "horizontalpodautoscalers", WRITE),
            ("batch", "cronjobs jobs", WRITE),
            ("policy", "poddisruptionbudgets", WRITE),
            ("networking.k8s.io", "ingresses", WRITE),
            ("coordination.k8s.io", "leases", ALL),
        ],
    ),
    (
        "system:aggregate-to-admin",
        &["admin"],
        &[("authorization.k8s.io", "localsubjectaccessreviews", "create"), (GROUP, "rolebindings roles", ALL)],
    ),
    (
        "argo-rollouts-aggregate-to-view",
        &["view"],
        &[("argoproj.io", "rollouts rollouts/scale experiments analysistemplates clusteranalysistemplates analysisruns", READ)],
    ),
    (
        "argo-rollouts-aggregate-to-edit",
        &["edit"],
        &[(
            "argoproj.io",
            "rollouts rollouts/scale rollouts/status experiments analysistemplates clusteranalysistemplates analysisruns",
            ALL,
        )],
    ),
    (
        "argo-rollouts-aggregate-to-admin",
        &["admin"],
        &[(
            "argoproj.io",
            "rollouts rollouts/scale rollouts/status experiments analysistemplates clusteranalysistemplates analysisruns",
            ALL,
        )],
    ),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::demo::{kinds, registry::fixtures};

    fn sim() -> Sim {
        let mut sim = fixtures::sim();
        install(&mut sim, Time::UNIX_EPOCH);
        assert_eq!(sim.store.list(CLUSTER_ROLES, None).count(), FIRST_ROLES.len() + 3);
        assert!(kinds::built_in().iter().any(|kind| kind.id() == CLUSTER_BINDINGS));
        sim
    }

    fn bind(sim: &mut Sim, namespace: &str, role: &str, user: &str) {
        let kind = if namespace.is_empty() { CLUSTER_BINDINGS } else { BINDINGS };
        let subjects = json!([{"kind": "User", "name": user, "apiGroup": GROUP}]);
        let role_ref = json!({"kind": "ClusterRole", "name": role, "apiGroup": GROUP});
        let binding = json!({"metadata": {"name": user}, "subjects": subjects, "roleRef": role_ref});
        registry::create(&mut sim.store, kind, namespace, binding, Write::new(Time::UNIX_EPOCH, "")).unwrap();
    }

    fn role(sim: &mut Sim, name: &str, rules: Value) {
        let role = json!({"metadata": {"name": name}, "rules": rules});
        registry::create(&mut sim.store, CLUSTER_ROLES, "", role, Write::new(Time::UNIX_EPOCH, "")).unwrap();
    }

    fn user(name: &str) -> User {
        User { name: name.into(), groups: vec!["system:authenticated".into()] }
    }

    fn on_rollouts<'a>(verb: &'a str, subresource: &'a str) -> Wish<'a> {
        Wish { verb, group: "argoproj.io", resource: "rollouts", subresource, name: "x", namespace: Some("shop"), ..Wish::default() }
    }

    #[test]
    fn refusals_are_worded_as_by_the_real_server() {
        let sim = sim();
        let said = |wish: Wish<'_>| may(&sim.store, &user("nobody"), &wish).unwrap_err().message;
        assert_eq!(
            said(on_rollouts("patch", "status")),
            "rollouts.argoproj.io \"x\" is forbidden: User \"nobody\" cannot patch resource \"rollouts/status\" in API group \"argoproj.io\" \
             in the namespace \"shop\""
        );
        assert_eq!(
            said(Wish { verb: "list", resource: "nodes", ..Wish::default() }),
            "nodes is forbidden: User \"nobody\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"
        );
        assert_eq!(
            said(Wish { verb: "get", path: "/metrics", ..Wish::default() }),
            "forbidden: User \"nobody\" cannot get path \"/metrics\""
        );
    }

    #[test]
    fn view_and_edit_gather_what_argo_adds() {
        let mut sim = sim();
        bind(&mut sim, "", "view", "viewer");
        bind(&mut sim, "shop", "edit", "editor");
        let can = |name: &str, wish: Wish<'_>| judge(&sim.store, &user(name), &wish).allowed;
        assert!(can("viewer", on_rollouts("watch", "")));
        assert!(!can("viewer", on_rollouts("get", "status")));
        assert!(!can("viewer", on_rollouts("patch", "")));
        assert!(can("editor", on_rollouts("patch", "status")));
        assert!(can("editor", on_rollouts("get", "")), "edit gathers view");
        assert!(!can("editor", Wish { namespace: Some("other"), ..on_rollouts("patch", "") }));
        assert!(can(
            "nobody",
            Wish { verb: "create", group: "authorization.k8s.io", resource: "selfsubjectaccessreviews", ..Wish::default() }
        ));
    }

    #[test]
    fn names_subresources_and_stars() {
        let mut sim = sim();
        role(
            &mut sim,
            "oncall",
            json!([
                {"apiGroups": ["argoproj.io"], "resources": ["rollouts/status", "*/scale"], "verbs": ["patch"]},
                {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a"], "verbs": ["get"]},
                {"nonResourceURLs": ["/foo*"], "verbs": ["get"]},
            ]),
        );
        bind(&mut sim, "", "oncall", "oncall");
        bind(&mut sim, "", "gone", "lost");
        let verdict = |name: &str, wish: Wish<'_>| judge(&sim.store, &user(name), &wish);
        assert!(verdict("oncall", on_rollouts("patch", "status")).allowed);
        assert!(verdict("oncall", on_rollouts("patch", "scale")).allowed);
        assert!(!verdict("oncall", on_rollouts("patch", "")).allowed);
        let config = |name| Wish { verb: "get", resource: "configmaps", name, namespace: Some("shop"), ..Wish::default() };
        assert!(
            verdict("oncall", config("a")).allowed && !verdict("oncall", config("b")).allowed && !verdict("oncall", config("")).allowed
        );
        assert!(verdict("oncall", Wish { verb: "get", path: "/foo/bar", ..Wish::default() }).allowed);
        assert_eq!(
            verdict("oncall", on_rollouts("patch", "status")).reason,
            "RBAC: allowed by ClusterRoleBinding \"oncall\" of ClusterRole \"oncall\" to User \"oncall\""
        );
        assert_eq!(verdict("lost", config("a")).reason, "RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found");
    }

    #[test]
    fn masters_need_no_role() {
        let master = User { name: "admin".into(), groups: vec![MASTERS.into()] };
        let verdict = judge(&Store::new(Vec::new()), &master, &on_rollouts("delete", ""));
        assert_eq!(verdict, Verdict { allowed: true, reason: String::new() });
    }
}
