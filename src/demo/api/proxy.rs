//! `services/proxy` and `pods/proxy`: requests through the API server to what runs in the cluster, which here is the
//! embedded Prometheus and nothing else.

use axum::{
    body::Body,
    http::{Request, header},
    response::Response,
};
use tower::Service;

use super::{Call, router};
use crate::demo::{refusal::Refusal, world::World};

const NAMESPACE: &str = "monitoring";
const NAME: &str = "prometheus";

/// The answer of whom the call is for.
pub async fn forward(world: &World, call: &Call) -> Response {
    match request(world, call) {
        // A router is always ready and never fails.
        Ok((mut prometheus, request)) => prometheus.call(request).await.unwrap_or_else(|never| match never {}),
        Err(refusal) => router::finish(refusal.into()),
    }
}

fn request(world: &World, call: &Call) -> Result<(axum::Router, Request<Body>), Refusal> {
    let target = &call.target;
    let asked = target.name.as_deref().unwrap_or_default();
    // `name`, `name:port` or `scheme:name:port`.
    let parts: Vec<&str> = asked.split(':').collect();
    let name = if let [_, name, _] = parts[..] { name } else { parts[0] };
    let known = target.namespace.as_deref() == Some(NAMESPACE) && (name == NAME || name.starts_with("prometheus-"));
    let prometheus = world.prometheus.get().filter(|_| known).cloned();
    let missing = || Refusal::new(503, "ServiceUnavailable", format!("no endpoints available for service \"{asked}\""));
    let prometheus = prometheus.ok_or_else(missing)?;
    // All that follows `/api/v1/namespaces/NAMESPACE/services/NAME/proxy`, as it was sent.
    let (path, query) = call.uri.split_once('?').unwrap_or((&call.uri, ""));
    let uri = format!("/{}?{query}", path.splitn(9, '/').nth(8).unwrap_or_default());
    let request = Request::builder().method(call.method.clone()).uri(uri).header(header::CONTENT_TYPE, &call.content_type);
    let request = request.body(Body::from(call.body.clone())).map_err(|error| Refusal::bad_request(error.to_string()))?;
    Ok((prometheus, request))
}
