//! OpenAPI documents: enough for `kubectl apply` and `diff` to trust the server with validation, and for
//! `kubectl explain` of kinds that came with a schema. Built-in kinds have paths and no schema: clients know those.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::{Answer, discovery, router};
use crate::demo::{
    kinds::{Kind, api_version},
    world::World,
};

/// The documents at `path`, if that is where they are.
pub fn answer(world: &World, path: &[&str], headers: &HeaderMap) -> Option<Response> {
    let kinds = || -> Vec<Arc<Kind>> { world.look(|sim| sim.store.kinds().cloned().collect()) };
    match path {
        ["openapi", "v2"] => Some(version_2(headers)),
        ["openapi", "v3"] => Some(router::finish(Answer::Json(200, index(&kinds())))),
        ["openapi", "v3", "api", version] => Some(document(&kinds(), "", version)),
        ["openapi", "v3", "apis", group, version] => Some(document(&kinds(), group, version)),
        _ => None,
    }
}

/// Clients that insist on protocol buffers fall back to what they know themselves when refused.
fn version_2(headers: &HeaderMap) -> Response {
    let accept = router::text(headers, header::ACCEPT);
    let json = accept.is_empty() || ["application/json", "*/*", "application/*"].iter().any(|media| accept.contains(media));
    if !json {
        return StatusCode::NOT_ACCEPTABLE.into_response();
    }
    let info = json!({"title": "Kubernetes", "version": discovery::VERSION});
    router::finish(Answer::Json(200, json!({"swagger": "2.0", "info": info, "paths": {}, "definitions": {}})))
}

/// Each group version and where its document is.
fn index(kinds: &[Arc<Kind>]) -> Value {
    let versions = kinds.iter().flat_map(|kind| kind.versions.iter().map(|version| root(&kind.group, version)));
    let paths: Map<String, Value> =
        versions.map(|root| (root.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{root}")}))).collect();
    json!({"paths": paths})
}

/// `api/v1`, `apis/apps/v1`.
fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{}", api_version(group, version)) }
}

fn document(kinds: &[Arc<Kind>], group: &str, version: &str) -> Response {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for kind in kinds.iter().filter(|kind| kind.group == group && kind.versions.iter().any(|served| served == version)) {
        add_paths(&mut paths, kind, version);
        if let Some(custom) = &kind.custom {
            schemas.insert(schema_name(kind, version), schema(kind, version, &custom.schema));
        }
    }
    if paths.is_empty() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let info = json!({"title": "Kubernetes", "version": discovery::VERSION});
    router::finish(Answer::Json(200, json!({"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}})))
}

fn add_paths(paths: &mut Map<String, Value>, kind: &Kind, version: &str) {
    let root = root(&kind.group, version);
    let place = if kind.namespaced { "namespaces/{namespace}/" } else { "" };
    let collection = format!("/{root}/{place}{}", kind.plural);
    if kind.namespaced {
        paths.insert(format!("/{root}/{}", kind.plural), json!({"get": operation(kind, version, "list")}));
    }
    let many = json!({"get": operation(kind, version, "list"), "post": operation(kind, version, "post")});
    let one = json!({
        "get": operation(kind, version, "get"), "put": operation(kind, version, "put"), "patch": operation(kind, version, "patch"),
        "delete": operation(kind, version, "delete"),
    });
    paths.insert(format!("{collection}/{{name}}"), one);
    paths.insert(collection, many);
}

fn operation(kind: &Kind, version: &str, action: &str) -> Value {
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let parameters: &[&str] = match action {
        "patch" => &["dryRun", "fieldManager", "fieldValidation", "force"],
        "post" | "put" => &["dryRun", "fieldManager", "fieldValidation"],
        "delete" => &["dryRun", "gracePeriodSeconds", "propagationPolicy"],
        _ => &[],
    };
    let mut operation = json!({
        "parameters": parameters.iter().map(|name| parameter(name)).collect::<Vec<_>>(), "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": action, "x-kubernetes-group-version-kind": identity(kind, version),
    });
    if action == "patch" {
        let mut formats = vec!["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"];
        if kind.custom.is_none() {
            formats.push("application/strategic-merge-patch+json");
        }
        let content: Map<String, Value> =
            formats.into_iter().map(|format| (format.to_owned(), json!({"schema": {"type": "object"}}))).collect();
        operation["requestBody"] = json!({"content": content, "required": true});
    }
    operation
}

fn identity(kind: &Kind, version: &str) -> Value {
    json!({"group": kind.group, "version": version, "kind": kind.kind})
}

/// `io.argoproj.v1alpha1.Rollout`.
fn schema_name(kind: &Kind, version: &str) -> String {
    let reversed: Vec<&str> = kind.group.split('.').rev().collect();
    format!("{}.{version}.{}", reversed.join("."), kind.kind)
}

/// The schema of a definition, with the fields every object has.
fn schema(kind: &Kind, version: &str, given: &Value) -> Value {
    let mut schema = if given.is_object() { given.clone() } else { json!({"type": "object"}) };
    for (field, shape) in [("apiVersion", "string"), ("kind", "string"), ("metadata", "object")] {
        schema["properties"][field]["type"] = shape.into();
    }
    schema["x-kubernetes-group-version-kind"] = json!([identity(kind, version)]);
    schema
}
