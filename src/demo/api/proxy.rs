//! `services/proxy` and `pods/proxy`: requests through the API server to what runs in the cluster, which here is the
//! embedded Prometheus, Flagger's load tester where a Service leads to one, and pods that say whether they are ready.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use tower::Service;

use super::{Call, router};
use crate::demo::{controllers::flagger::hooks::is_load_tester, refusal::Refusal, store::Key, world::World};

const NAMESPACE: &str = "monitoring";
const NAME: &str = "prometheus";

/// The answer of whom the call is for.
pub async fn forward(world: &World, call: &Call) -> Response {
    if let Some(answer) = load_tester(world, call).or_else(|| pod(world, call)) {
        return answer;
    }
    match request(world, call) {
        // A router is always ready and never fails.
        Ok((mut prometheus, request)) => prometheus.call(request).await.unwrap_or_else(|never| match never {}),
        Err(refusal) => router::finish(refusal.into()),
    }
}

fn request(world: &World, call: &Call) -> Result<(axum::Router, Request<Body>), Refusal> {
    let target = &call.target;
    let asked = target.name.as_deref().unwrap_or_default();
    let name = bare(asked);
    let known = target.namespace.as_deref() == Some(NAMESPACE) && (name == NAME || name.starts_with("prometheus-"));
    let prometheus = world.prometheus.get().filter(|_| known).cloned();
    let missing = || Refusal::new(503, "ServiceUnavailable", format!("no endpoints available for service \"{asked}\""));
    let prometheus = prometheus.ok_or_else(missing)?;
    let (path, query) = path(call);
    let uri = format!("{path}?{query}");
    let request = Request::builder().method(call.method.clone()).uri(uri).header(header::CONTENT_TYPE, &call.content_type);
    let request = request.body(Body::from(call.body.clone())).map_err(|error| Refusal::bad_request(error.to_string()))?;
    Ok((prometheus, request))
}

/// The name in `name`, `name:port` or `scheme:name:port`.
fn bare(asked: &str) -> &str {
    let parts: Vec<&str> = asked.split(':').collect();
    if let [_, name, _] = parts[..] { name } else { parts[0] }
}

/// All that follows `/api/v1/namespaces/NAMESPACE/services/NAME/proxy`, as it was sent; and the query.
fn path(call: &Call) -> (String, &str) {
    let (path, query) = call.uri.split_once('?').unwrap_or((&call.uri, ""));
    (format!("/{}", path.splitn(9, '/').nth(8).unwrap_or_default()), query)
}

/// The load tester's answer, if its Service is what is asked for.
fn load_tester(world: &World, call: &Call) -> Option<Response> {
    let target = &call.target;
    let (namespace, name) = (target.namespace.as_deref()?, bare(target.name.as_deref()?));
    let service = Key::new("services", namespace, name);
    if target.kind.id() != "services" || !is_load_tester(name) {
        return None;
    }
    let answer = world.with(|sim| {
        sim.store.get(&service)?;
        let now = sim.now();
        Some(sim.workloads.loadtester.answer(&path(call).0, &call.body, now))
    });
    answer.map(IntoResponse::into_response)
}

/// A pod's answer, at whatever port and path: it is as well as its kubelet found it.
fn pod(world: &World, call: &Call) -> Option<Response> {
    let target = &call.target;
    if target.kind.id() != "pods" {
        return None;
    }
    let (namespace, name) = (target.namespace.as_deref()?, bare(target.name.as_deref()?));
    let pod = world.with(|sim| Some(sim.store.get(&Key::new("pods", namespace, name))?.value()))?;
    let conditions = pod["status"]["conditions"].as_array();
    let ready = conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"));
    let (code, words) = if ready { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
    Some((code, words).into_response())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::body::to_bytes;
    use serde_json::json;

    use super::{
        super::tests::{put, world},
        *,
    };

    #[tokio::test]
    async fn a_pod_answers_as_its_kubelet_found_it() {
        let world = world();
        let asks = async || {
            let request = Request::get("/api/v1/namespaces/test/pods/web-1:8080/proxy/ready").header(header::AUTHORIZATION, "Bearer admin");
            router::router(world.clone()).call(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
        };
        let with = |ready: &str| {
            json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "app", "image": "a"}]},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}})
        };
        assert_eq!(asks().await, 503, "there is none yet");
        put(&world, "pods", "test", "web-1", with("True"));
        assert_eq!(asks().await, 200);
    }

    #[tokio::test]
    async fn the_gates_of_a_load_tester_are_behind_its_service() {
        let world = world();
        let asks = async |service: &str, path: &str| {
            let uri = format!("/api/v1/namespaces/test/services/{service}/proxy{path}");
            let request = Request::post(uri).header(header::AUTHORIZATION, "Bearer admin").header(header::CONTENT_TYPE, "application/json");
            let request = request.body(Body::from(r#"{"name":"cart","namespace":"shop"}"#)).unwrap();
            let response = router::router(world.clone()).call(request).await.unwrap();
            let code = response.status().as_u16();
            (code, String::from_utf8(to_bytes(response.into_body(), 10_000).await.unwrap().to_vec()).unwrap())
        };
        let tester = "http:flagger-loadtester:80";
        assert_eq!(asks(tester, "/gate/check").await.0, 503, "there is none yet");
        put(&world, "services", "test", "flagger-loadtester", json!({"apiVersion": "v1", "kind": "Service", "spec": {}}));
        assert_eq!(asks(tester, "/gate/check").await, (403, "Forbidden".into()));
        assert_eq!(asks(tester, "/gate/open").await, (202, String::new()));
        assert_eq!(asks("flagger-loadtester", "/gate/check").await, (200, "Approved".into()));
        assert_eq!(asks(tester, "/rollback/check").await.0, 403);
        assert_eq!(asks("other", "/gate/check").await.0, 503);
    }
}
