//! From an HTTP request to a [`Call`] and from an [`Answer`] to an HTTP response.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request},
    middleware,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::json;

use super::{Answer, Call, Target, User, audit, discovery, faults, rights, room, tokens};
use crate::demo::{kinds::Kind, refusal::Refusal, store::Store, world::World};

/// Larger bodies are refused, as the real server does.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// The API server of a world.
pub fn router(world: Arc<World>) -> Router {
    Router::new()
        .fallback(answer)
        .layer(middleware::from_fn_with_state(world.clone(), faults::intercept))
        .layer(middleware::map_response_with_state(world.clone(), date))
        .with_state(world)
}

/// Clients measure from this header how far their clock is off.
async fn date(State(world): State<Arc<World>>, mut response: Response) -> Response {
    let text = world.clock.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(header::DATE, value);
    }
    response
}

async fn answer(State(world): State<Arc<World>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let segments = segments(parts.uri.path());
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    if let Some(answer) = discovery::open(&world, &segments) {
        return finish(answer);
    }
    let user = match tokens::user(&world, &parts.headers) {
        Ok(user) => user,
        Err(refusal) => return finish(refusal.into()),
    };
    let accept = text(&parts.headers, header::ACCEPT);
    if let Some(answer) = discovery::answer(&world, &segments, &accept) {
        return finish(answer);
    }
    let Some(address) = Address::parse(&segments) else { return unknown_path() };
    let Some(target) = world.look(|sim| address.resolve(&sim.store)) else {
        return finish(unknown_resource().into());
    };
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else { return finish(too_large().into()) };
    let call = call(parts, user, target, address.watch, body);
    let answer = respond(&world, &call);
    let response = finish(answer);
    audit::record(&world, &call, response.status().as_u16());
    response
}

fn respond(world: &Arc<World>, call: &Call) -> Answer {
    if let Err(refusal) = rights::allows(world, call) {
        return refusal.into();
    }
    match room(call) {
        Some(room) => room(world, call),
        None => Refusal {
            details: json!({}),
            ..Refusal::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        }
        .into(),
    }
}

fn call(parts: request::Parts, user: User, target: Target, watch: bool, body: Bytes) -> Call {
    let query = Query::<BTreeMap<String, String>>::try_from_uri(&parts.uri).map(|query| query.0).unwrap_or_default();
    let watch = watch || query.get("watch").is_some_and(|value| ["1", "true"].contains(&value.as_str()));
    Call {
        verb: verb(&parts.method, target.name.is_some(), watch),
        uri: parts.uri.to_string(),
        user,
        target,
        query,
        accept: text(&parts.headers, header::ACCEPT),
        content_type: text(&parts.headers, header::CONTENT_TYPE),
        user_agent: text(&parts.headers, header::USER_AGENT),
        method: parts.method,
        body,
    }
}

fn verb(method: &Method, named: bool, watch: bool) -> &'static str {
    match (method.as_str(), named) {
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ if watch => "watch",
        (_, true) => "get",
        (_, false) => "list",
    }
}

/// What a path says before anybody knows whether it is served.
#[derive(Debug, Default, PartialEq)]
struct Address<'a> {
    group: &'a str,
    version: &'a str,
    namespace: Option<&'a str>,
    plural: &'a str,
    name: Option<&'a str>,
    subresource: String,
    /// The old style of asking for a watch, by path.
    watch: bool,
}

impl<'a> Address<'a> {
    fn parse(segments: &[&'a str]) -> Option<Self> {
        let (group, version, rest) = match segments {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (watch, rest) = match rest {
            ["watch", rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let (namespace, rest) = match rest {
            // The namespace itself and its subresources.
            ["namespaces", name] => (Some(*name), rest),
            ["namespaces", name, "status" | "finalize"] => (Some(*name), rest),
            ["namespaces", namespace, rest @ ..] => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let [plural, rest @ ..] = rest else { return None };
        let name = rest.first().copied();
        let subresource = rest.get(1..).unwrap_or_default().join("/");
        Some(Self { group, version, namespace, plural, name, subresource, watch })
    }

    fn resolve(&self, store: &Store) -> Option<Target> {
        let served =
            |kind: &&Arc<Kind>| kind.plural == self.plural && kind.group == self.group && kind.versions.iter().any(|v| v == self.version);
        let kind = store.kinds().find(served).or_else(|| discovery::reviews().iter().find(served))?.clone();
        if !kind.namespaced && self.namespace.is_some() && self.plural != "namespaces" {
            return None;
        }
        if !discovery::has_subresource(&kind, &self.subresource) {
            return None;
        }
        Some(Target {
            version: self.version.into(),
            namespace: self.namespace.filter(|_| kind.namespaced).map(str::to_owned),
            name: self.name.map(str::to_owned),
            subresource: self.subresource.clone(),
            kind,
        })
    }
}

/// The parts of a path, decoded.
fn segments(path: &str) -> Vec<String> {
    path.split('/').filter(|part| !part.is_empty()).map(decode).collect()
}

/// Resolves `%2F` and the like; what is no escape stays.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(escape.unwrap_or(bytes[at]));
        at += if escape.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> String {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

fn finish(answer: Answer) -> Response {
    let respond = |code: u16, kind: &'static str, body: Body| {
        let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (code, [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache, private")], body).into_response()
    };
    match answer {
        Answer::Json(code, value) => respond(code, "application/json", Body::from(format!("{value}\n"))),
        Answer::Text(code, text) => respond(code, "text/plain; charset=utf-8", Body::from(text)),
        Answer::Stream(body) => respond(200, "application/json", body),
    }
}

fn unknown_path() -> Response {
    finish(Answer::Text(404, "404 page not found\n".into()))
}

fn unknown_resource() -> Refusal {
    Refusal { details: json!({}), ..Refusal::new(404, "NotFound", "the server could not find the requested resource") }
}

fn too_large() -> Refusal {
    Refusal::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {BODY_LIMIT}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_name_objects_and_collections() {
        let parse = |path: &str| {
            let segments = segments(path);
            let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
            Address::parse(&segments)
                .map(|a| format!("{}|{}|{:?}|{}|{:?}|{}|{}", a.group, a.version, a.namespace, a.plural, a.name, a.subresource, a.watch))
        };
        assert_eq!(parse("/api/v1/pods").unwrap(), "|v1|None|pods|None||false");
        assert_eq!(parse("/api/v1/namespaces").unwrap(), "|v1|None|namespaces|None||false");
        assert_eq!(parse("/api/v1/namespaces/shop").unwrap(), r#"|v1|Some("shop")|namespaces|Some("shop")||false"#);
        assert_eq!(parse("/api/v1/namespaces/shop/status").unwrap(), r#"|v1|Some("shop")|namespaces|Some("shop")|status|false"#);
        assert_eq!(parse("/api/v1/namespaces/shop/pods").unwrap(), r#"|v1|Some("shop")|pods|None||false"#);
        assert_eq!(parse("/api/v1/watch/namespaces/shop/pods").unwrap(), r#"|v1|Some("shop")|pods|None||true"#);
        let proxied = r#"|v1|Some("m")|services|Some("p:9090")|proxy/api/v1/query|false"#;
        assert_eq!(parse("/api/v1/namespaces/m/services/p:9090/proxy/api/v1/query").unwrap(), proxied);
        let status = r#"argoproj.io|v1alpha1|Some("shop")|rollouts|Some("a b")|status|false"#;
        assert_eq!(parse("/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/a%20b/status").unwrap(), status);
        assert_eq!(parse("/apis/apps/v1"), None);
        assert_eq!(parse("/metrics"), None);
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!([decode("a%2Fb%"), decode("%zz"), decode("%C3%BC")], ["a/b%", "%zz", "ü"]);
    }
}
