//! What is served: health, version, groups and kinds, as they are at this moment.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Answer, router};
use crate::demo::{
    kinds::{Kind, api_version},
    world::World,
};

/// The Kubernetes whose behaviour is imitated.
pub const VERSION: &str = "v1.35.4";

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Clients that know only a short name take the first group that has it. Groups not named here come later.
const ORDER: [&str; 10] = [
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "apiextensions.k8s.io",
];

/// Kinds that are only asked, never kept.
pub fn reviews() -> &'static [Arc<Kind>] {
    static REVIEWS: LazyLock<Vec<Arc<Kind>>> = LazyLock::new(|| {
        let review = |group: &str, kind: &str, namespaced| {
            let singular = kind.to_lowercase();
            let plural = format!("{singular}s");
            let (group, versions, kind) = (group.into(), vec!["v1".into()], kind.into());
            Arc::new(Kind { group, versions, kind, plural, singular, namespaced, ..Kind::default() })
        };
        vec![
            review("authorization.k8s.io", "SelfSubjectAccessReview", false),
            review("authorization.k8s.io", "SelfSubjectRulesReview", false),
            review("authorization.k8s.io", "SubjectAccessReview", false),
            review("authorization.k8s.io", "LocalSubjectAccessReview", true),
            review("authentication.k8s.io", "SelfSubjectReview", false),
            review("authentication.k8s.io", "TokenReview", false),
        ]
    });
    &REVIEWS
}

pub fn is_review(kind: &Kind) -> bool {
    ["authorization.k8s.io", "authentication.k8s.io"].contains(&kind.group.as_str())
}

/// Something below an object of a kind.
struct Part {
    name: &'static str,
    /// Group and version, where they are not the kind's own.
    of: Option<(&'static str, &'static str)>,
    kind: String,
    verbs: &'static [&'static str],
}

const READ_AND_WRITE: &[&str] = &["get", "patch", "update"];

fn parts(kind: &Kind) -> Vec<Part> {
    let part = |name, kind: &str, verbs| Part { name, of: None, kind: kind.into(), verbs };
    let mut parts = Vec::new();
    let proxied = ["create", "delete", "get", "patch", "update"].as_slice();
    match kind.id().as_str() {
        "pods" => parts.extend([part("log", "Pod", &["get"]), part("proxy", "PodProxyOptions", proxied)]),
        "services" => parts.push(part("proxy", "ServiceProxyOptions", proxied)),
        _ => (),
    }
    if kind.scale.is_some() {
        parts.push(Part { of: Some(("autoscaling", "v1")), ..part("scale", "Scale", READ_AND_WRITE) });
    }
    if kind.status {
        parts.push(part("status", &kind.kind, READ_AND_WRITE));
    }
    parts
}

/// Whether a path may go on with this after an object of the kind.
pub fn has_subresource(kind: &Kind, subresource: &str) -> bool {
    let first = subresource.split('/').next().unwrap_or_default();
    first.is_empty() || parts(kind).iter().any(|part| part.name == first)
}

fn verbs(kind: &Kind) -> &'static [&'static str] {
    match kind.id().as_str() {
        _ if is_review(kind) => &["create"],
        "namespaces" => &["create", "delete", "get", "list", "patch", "update", "watch"],
        _ => &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    }
}

/// Whether a verb can be asked of the kind itself.
pub fn has_verb(kind: &Kind, verb: &str) -> bool {
    verbs(kind).contains(&verb)
}

/// What anybody may ask.
pub fn open(path: &[&str], query: &str) -> Option<Answer> {
    match path {
        [check @ ("healthz" | "livez" | "readyz")] if query.contains("verbose") => {
            Some(Answer::Text(200, format!("[+]ping ok\n{check} check passed\n")))
        }
        ["healthz" | "livez" | "readyz", ..] => Some(Answer::Text(200, "ok".into())),
        ["version"] => Some(Answer::Json(200, version())),
        _ => None,
    }
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "35", "emulationMajor": "1", "emulationMinor": "35", "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "34", "gitVersion": VERSION, "gitCommit": "", "gitTreeState": "", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "", "platform": "",
    })
}

/// What everybody with a token may ask.
pub fn answer(world: &World, path: &[&str], headers: &HeaderMap) -> Option<Response> {
    if !matches!(path, [] | ["api" | "apis"] | ["api", _] | ["apis", _] | ["apis", _, _]) {
        return None;
    }
    let served = Served { kinds: world.look(|sim| sim.store.kinds().chain(reviews()).cloned().collect()) };
    let aggregated = matches!(path, ["api" | "apis"]) && wants_aggregated(headers);
    if aggregated {
        return Some(tagged(headers, &served.aggregated(path == ["api"])));
    }
    let answer = match path {
        [] => Answer::Json(200, json!({"paths": served.paths()})),
        ["api"] => {
            let clients = json!([{"clientCIDR": "0.0.0.0/0", "serverAddress": router::text(headers, header::HOST)}]);
            Answer::Json(200, json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": clients}))
        }
        ["apis"] => {
            let groups: Vec<Value> = served.groups().into_iter().filter_map(|name| served.group(name)).collect();
            Answer::Json(200, json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["api", version] => served.resources("", version),
        ["apis", group] => Answer::Json(200, served.group(group)?),
        ["apis", group, version] => served.resources(group, version),
        _ => return None,
    };
    Some(router::finish(answer))
}

fn wants_aggregated(headers: &HeaderMap) -> bool {
    let accept = router::text(headers, header::ACCEPT);
    let v2 = |clause: &str| {
        ["g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"].iter().all(|p| clause.split(';').any(|part| part.trim() == *p))
    };
    accept.split(',').any(v2)
}

/// With a fingerprint, so that clients that have seen it need not read it again.
fn tagged(headers: &HeaderMap, list: &Value) -> Response {
    let text = list.to_string();
    let tag = format!(
        "\"{:016X}\"",
        text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    );
    let known = router::text(headers, header::IF_NONE_MATCH) == tag;
    let (code, body) = if known { (StatusCode::NOT_MODIFIED, Body::empty()) } else { (StatusCode::OK, Body::from(text)) };
    let fields = [(header::CONTENT_TYPE, AGGREGATED), (header::CACHE_CONTROL, "public"), (header::ETAG, &tag), (header::VARY, "Accept")];
    (code, fields, body).into_response()
}

/// All that is served at one moment.
struct Served {
    kinds: Vec<Arc<Kind>>,
}

impl Served {
    /// Names of groups but the core one.
    fn groups(&self) -> Vec<&str> {
        let all: BTreeSet<&str> = self.kinds.iter().map(|kind| kind.group.as_str()).filter(|group| !group.is_empty()).collect();
        let mut all: Vec<&str> = all.into_iter().collect();
        all.sort_by_key(|group| {
            let custom = self.kinds.iter().any(|kind| kind.group == *group && kind.custom.is_some());
            (custom, ORDER.iter().position(|known| known == group).unwrap_or(ORDER.len()))
        });
        all
    }

    /// Of a group, preferred first.
    fn versions(&self, group: &str) -> Vec<&str> {
        let mut versions: Vec<&str> = Vec::new();
        for version in self.kinds.iter().filter(|kind| kind.group == group).flat_map(|kind| &kind.versions) {
            if !versions.contains(&version.as_str()) {
                versions.push(version);
            }
        }
        versions
    }

    fn of(&self, group: &str, version: &str) -> Vec<&Kind> {
        let serves = |kind: &&Arc<Kind>| kind.group == group && kind.versions.iter().any(|served| served == version);
        let mut kinds: Vec<&Kind> = self.kinds.iter().filter(serves).map(|kind| &**kind).collect();
        kinds.sort_by(|a, b| a.plural.cmp(&b.plural));
        kinds
    }

    fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> =
            ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
                .map(String::from)
                .into();
        for group in self.groups() {
            paths.push(format!("/apis/{group}"));
            paths.extend(self.versions(group).iter().map(|version| format!("/apis/{group}/{version}")));
        }
        paths.sort_unstable();
        paths
    }

    fn group(&self, group: &str) -> Option<Value> {
        let entry = |version: &&str| json!({"groupVersion": format!("{group}/{version}"), "version": version});
        let versions = self.versions(group);
        let preferred = entry(versions.first()?);
        let versions: Vec<Value> = versions.iter().map(entry).collect();
        Some(json!({"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": versions, "preferredVersion": preferred}))
    }

    fn resources(&self, group: &str, version: &str) -> Answer {
        let kinds = self.of(group, version);
        if kinds.is_empty() {
            return router::unserved(self.kinds.iter().any(|kind| kind.group == group && kind.custom.is_none()));
        }
        let resources: Vec<Value> = kinds.into_iter().flat_map(resources).collect();
        let list =
            json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version(group, version), "resources": resources});
        Answer::Json(200, list)
    }

    fn aggregated(&self, core: bool) -> Value {
        let groups = if core { vec![""] } else { self.groups() };
        let items = groups.into_iter().map(|group| {
            let version = |version: &&str| {
                let resources: Vec<Value> = self.of(group, version).into_iter().map(|kind| aggregated(kind, version)).collect();
                json!({"version": version, "resources": resources, "freshness": "Current"})
            };
            let versions: Vec<Value> = self.versions(group).iter().map(version).collect();
            let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
            json!({"metadata": metadata, "versions": versions})
        });
        let items: Vec<Value> = items.collect();
        json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
    }
}

/// A kind and what is below it, as the old style has it: in one row.
fn resources(kind: &Kind) -> Vec<Value> {
    let mut own = json!({
        "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind, "verbs": verbs(kind),
    });
    add_names(&mut own, kind);
    let part = |part: Part| {
        let name = format!("{}/{}", kind.plural, part.name);
        let mut entry = json!({"name": name, "singularName": "", "namespaced": kind.namespaced, "kind": part.kind, "verbs": part.verbs});
        if let Some((group, version)) = part.of {
            entry["group"] = group.into();
            entry["version"] = version.into();
        }
        entry
    };
    std::iter::once(own).chain(parts(kind).into_iter().map(part)).collect()
}

fn aggregated(kind: &Kind, version: &str) -> Value {
    // The real server leaves the group of built-in kinds empty here.
    let own = if kind.custom.is_some() { (kind.group.as_str(), version) } else { ("", "") };
    let response = |(group, version): (&str, &str), kind: &str| json!({"group": group, "version": version, "kind": kind});
    let mut entry = json!({
        "resource": kind.plural, "singularResource": kind.singular, "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "responseKind": response(own, &kind.kind), "verbs": verbs(kind),
    });
    add_names(&mut entry, kind);
    let part = |part: &Part| {
        json!({
            "subresource": part.name, "responseKind": response(part.of.unwrap_or(own), &part.kind), "verbs": part.verbs,
        })
    };
    let parts: Vec<Value> = parts(kind).iter().map(part).collect();
    if !parts.is_empty() {
        entry["subresources"] = parts.into();
    }
    entry
}

fn add_names(entry: &mut Value, kind: &Kind) {
    for (field, names) in [("shortNames", &kind.short_names), ("categories", &kind.categories)] {
        if !names.is_empty() {
            entry[field] = names.clone().into();
        }
    }
}
