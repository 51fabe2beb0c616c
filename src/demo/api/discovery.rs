//! What is served: health, version, groups and kinds, live.

use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};

use super::Answer;
use crate::demo::{kinds::Kind, refusal::Refusal, world::World};

/// The Kubernetes whose behaviour is imitated.
pub const VERSION: &str = "v1.35.4";

/// Kinds that are only asked, never kept.
pub fn reviews() -> &'static [Arc<Kind>] {
    static REVIEWS: LazyLock<Vec<Arc<Kind>>> = LazyLock::new(|| {
        let review = |group: &str, kind: &str, namespaced| {
            let singular = kind.to_lowercase();
            let plural = format!("{singular}s");
            Arc::new(Kind {
                group: group.into(),
                versions: vec!["v1".into()],
                kind: kind.into(),
                plural,
                singular,
                namespaced,
                ..Kind::default()
            })
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

/// Whether a path may go on with this after an object of the kind.
pub fn has_subresource(kind: &Kind, subresource: &str) -> bool {
    match subresource.split('/').next().unwrap_or_default() {
        "" => true,
        "status" => kind.status,
        "scale" => kind.scale.is_some(),
        "log" => kind.id() == "pods",
        "proxy" => ["pods", "services"].contains(&kind.id().as_str()),
        _ => false,
    }
}

/// What anybody may ask.
pub fn open(_world: &World, path: &[&str]) -> Option<Answer> {
    match path {
        ["healthz" | "livez" | "readyz", ..] => Some(Answer::Text(200, "ok".into())),
        ["version"] => Some(Answer::Json(200, version())),
        _ => None,
    }
}

/// What everybody with a token may ask.
pub fn answer(world: &World, path: &[&str], _accept: &str) -> Option<Answer> {
    let kinds: Vec<Arc<Kind>> = world.look(|sim| sim.store.kinds().chain(reviews()).cloned().collect());
    match path {
        ["api"] => Some(Answer::Json(200, json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}))),
        ["apis"] => Some(Answer::Json(200, groups(&kinds))),
        ["api", version] => Some(resources(&kinds, "", version)),
        ["apis", group] => group_named(&kinds, group).map(|group| Answer::Json(200, group)),
        ["apis", group, version] => Some(resources(&kinds, group, version)),
        _ => None,
    }
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "35", "gitVersion": VERSION, "gitCommit": "", "gitTreeState": "", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "", "platform": "linux/amd64",
    })
}

fn groups(kinds: &[Arc<Kind>]) -> Value {
    let mut names: Vec<&str> = kinds.iter().map(|kind| kind.group.as_str()).filter(|group| !group.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    let groups: Vec<Value> = names.into_iter().filter_map(|name| group_named(kinds, name)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn group_named(kinds: &[Arc<Kind>], group: &str) -> Option<Value> {
    let mut versions: Vec<&str> = Vec::new();
    for version in kinds.iter().filter(|kind| kind.group == group).flat_map(|kind| &kind.versions) {
        if !versions.contains(&version.as_str()) {
            versions.push(version);
        }
    }
    let entry = |version: &&str| json!({"groupVersion": format!("{group}/{version}"), "version": version});
    let preferred = entry(versions.first()?);
    let versions: Vec<Value> = versions.iter().map(entry).collect();
    Some(json!({"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": versions, "preferredVersion": preferred}))
}

fn resources(kinds: &[Arc<Kind>], group: &str, version: &str) -> Answer {
    let served: Vec<&Arc<Kind>> = kinds.iter().filter(|kind| kind.group == group && kind.versions.iter().any(|v| v == version)).collect();
    if served.is_empty() {
        let refusal = Refusal::new(404, "NotFound", "the server could not find the requested resource");
        return Refusal { details: json!({}), ..refusal }.into();
    }
    let resources: Vec<Value> = served.into_iter().map(|kind| resource(kind)).collect();
    let group_version = crate::demo::kinds::api_version(group, version);
    Answer::Json(200, json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}))
}

fn resource(kind: &Kind) -> Value {
    let verbs = if is_review(kind) {
        json!(["create"])
    } else {
        json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"])
    };
    json!({
        "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind,
        "shortNames": kind.short_names, "categories": kind.categories, "verbs": verbs,
    })
}
