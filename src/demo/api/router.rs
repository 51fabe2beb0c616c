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
use serde_json::{Value, json};

use super::{
    Answer, Call, Target, User, audit, discovery, faults, openapi, proxy,
    rights::{self, Wish},
    room, tokens,
};
use crate::demo::{kinds::Kind, refusal::Refusal, store::Store, world::World};

/// Larger bodies are refused, as the real server does.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// The API server of a world.
pub fn router(world: Arc<World>) -> Router {
    Router::new()
        .fallback(answer)
        .layer(middleware::from_fn_with_state(world.clone(), faults::intercept))
        .layer(middleware::map_response_with_state(world.clone(), date))
        .layer(middleware::map_request(token_from_path))
        .with_state(world)
}

/// Kubernetes' own clients keep tokens to themselves where there is no TLS. For their sake `/t/TOKEN/api/v1/pods` is
/// `/api/v1/pods` asked with that token, and a server address that ends in `/t/TOKEN` does for a login.
async fn token_from_path(mut request: Request) -> Request {
    let Some((token, rest)) = request.uri().path().strip_prefix("/t/").map(|rest| rest.split_once('/').unwrap_or((rest, ""))) else {
        return request;
    };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let (uri, header) = (format!("/{rest}{query}").parse(), HeaderValue::try_from(format!("Bearer {token}")));
    if let (Ok(uri), Ok(header)) = (uri, header) {
        *request.uri_mut() = uri;
        request.headers_mut().entry(header::AUTHORIZATION).or_insert(header);
    }
    request
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
    let reads = [Method::GET, Method::HEAD].contains(&parts.method);
    if let Some(answer) = discovery::open(&segments, parts.uri.query().unwrap_or_default()).filter(|_| reads) {
        return finish(answer);
    }
    let user = match tokens::user(&world, &parts.headers) {
        Ok(user) => user,
        Err(refusal) => return finish(refusal.into()),
    };
    let path = format!("/{}", segments.join("/"));
    let Some(address) = Address::parse(&segments) else {
        let wish = Wish { verb: &parts.method.as_str().to_lowercase(), path: &path, ..Wish::default() };
        if let Err(refusal) = world.look(|sim| rights::may(&sim.store, &user, &wish)) {
            return finish(refusal.into());
        }
        let described =
            || discovery::answer(&world, &segments, &parts.headers).or_else(|| openapi::answer(&world, &segments, &parts.headers));
        return reads.then(described).flatten().unwrap_or_else(|| finish(unserved(false)));
    };
    let target =
        match world.look(|sim| address.resolve(&sim.store).map_err(|answer| address.denied(&sim.store, &parts, &user).unwrap_or(answer))) {
            Ok(target) => target,
            Err(answer) => return finish(answer),
        };
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else { return finish(too_large().into()) };
    let call = call(parts, user, target, address.watch, body);
    let response = respond(&world, &call).await;
    audit::record(&world, &call, response.status().as_u16());
    response
}

async fn respond(world: &Arc<World>, call: &Call) -> Response {
    if let Err(refusal) = rights::allows(world, call) {
        return finish(refusal.into());
    }
    if call.target.subresource.split('/').next() == Some("proxy") {
        return proxy::forward(world, call).await;
    }
    let Some(room) = room(call) else {
        let message = "the server does not allow this method on the requested resource";
        return finish(Refusal { details: json!({}), ..Refusal::new(405, "MethodNotAllowed", message) }.into());
    };
    let mut response = finish(room(world, call));
    if call.target.subresource == "log" && response.status() == StatusCode::OK {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }
    response
}

fn call(parts: request::Parts, user: User, target: Target, watch: bool, body: Bytes) -> Call {
    let query = Query::<BTreeMap<String, String>>::try_from_uri(&parts.uri).map(|query| query.0).unwrap_or_default();
    // Asking for one object with `watch` is asking for one object.
    let watch = watch || (target.name.is_none() && query.get("watch").is_some_and(|value| ["1", "true"].contains(&value.as_str())));
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

    /// What those are told who may not ask for this, whether it exists or not.
    fn denied(&self, store: &Store, parts: &request::Parts, user: &User) -> Option<Answer> {
        let wish = Wish {
            verb: verb(&parts.method, self.name.is_some(), self.watch),
            group: self.group,
            resource: self.plural,
            subresource: self.subresource.split('/').next().unwrap_or_default(),
            name: self.name.unwrap_or_default(),
            namespace: self.namespace,
            path: "",
        };
        rights::may(store, user, &wish).err().map(Answer::from)
    }

    fn resolve(&self, store: &Store) -> Result<Target, Answer> {
        let kinds = || store.kinds().chain(discovery::reviews()).filter(|kind| kind.group == self.group);
        let served = |kind: &&Arc<Kind>| kind.plural == self.plural && kind.versions.iter().any(|version| version == self.version);
        let kind = kinds().find(served).filter(|kind| kind.namespaced || self.namespace.is_none() || self.plural == "namespaces");
        let built_in = kinds().any(|kind| kind.custom.is_none());
        let kind = kind.ok_or_else(|| unserved(built_in))?.clone();
        if !discovery::has_subresource(&kind, &self.subresource) {
            let name = self.name.unwrap_or_default();
            return Err(if built_in { unserved(true) } else { Refusal::not_found(&kind.id(), name).into() });
        }
        Ok(Target {
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

pub fn text(headers: &HeaderMap, name: header::HeaderName) -> String {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

/// Puts an answer on the wire.
pub fn finish(answer: Answer) -> Response {
    let respond = |code: u16, kind: &'static str, body: Body| {
        let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (code, [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache, private")], body).into_response()
    };
    match answer {
        Answer::Json(code, value) => respond(code, "application/json", Body::from(format!("{value}\n"))),
        Answer::Warned(code, value, warnings) => {
            let mut response = finish(Answer::Json(code, value));
            let header = |warning: &String| HeaderValue::try_from(format!("299 - {}", Value::from(warning.as_str()))).ok();
            let values: Vec<HeaderValue> = warnings.iter().filter_map(header).collect();
            for value in values {
                response.headers_mut().append(header::WARNING, value);
            }
            response
        }
        Answer::Text(code, text) => respond(code, "text/plain; charset=utf-8", Body::from(text)),
        Answer::Stream(body) => respond(200, "application/json", body),
    }
}

/// Nobody is there. In groups that are built in this is said properly.
pub fn unserved(built_in: bool) -> Answer {
    if !built_in {
        return Answer::Text(404, "404 page not found\n".into());
    }
    Refusal { details: json!({}), ..Refusal::new(404, "NotFound", "the server could not find the requested resource") }.into()
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
    fn warnings_are_headers() {
        let warnings = ["unknown field \"spec.foo\"", "second"].map(String::from).into();
        let response = finish(Answer::Warned(201, json!({}), warnings));
        let sent: Vec<_> = response.headers().get_all(header::WARNING).iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!((response.status().as_u16(), sent), (201, vec![r#"299 - "unknown field \"spec.foo\"""#, r#"299 - "second""#]));
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!([decode("a%2Fb%"), decode("%zz"), decode("%C3%BC")], ["a/b%", "%zz", "ü"]);
    }
}
