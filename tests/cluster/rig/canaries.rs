//! Flagger's Canaries as the exporter plays them: who gets which share, and the counters that its built-in checks ask for.

use std::fmt::Write;

use rolltop::demo::routes::{Proxy, Route};
use rolltop::demo::traffic::{BOUNDS_S, Histogram, Model, Role, Track, TrackId};
use serde_json::Value;

use super::observe::Snapshot;

/// What a canary gets without a router: somebody's load test of it.
const LOAD_TEST: f64 = 0.1;

/// One route for each Canary, under the name of its target.
pub fn routes(snapshot: &Snapshot) -> Vec<Route> {
    snapshot.canaries.iter().filter_map(|canary| route(snapshot, canary)).collect()
}

fn route(snapshot: &Snapshot, canary: &Value) -> Option<Route> {
    let namespace = canary["metadata"]["namespace"].as_str()?;
    let target = canary["spec"]["targetRef"]["name"].as_str()?;
    let apex = canary["spec"]["service"]["name"].as_str().unwrap_or(target);
    let ingress = canary["spec"]["ingressRef"]["name"].as_str();
    let find = |list: &'static str, name: &str| find(snapshot, list, namespace, name);
    let weight = match ingress {
        Some(name) => nginx_weight(find("ingresses", &format!("{name}-canary"))),
        None => find("http_routes", apex).map_or(LOAD_TEST, |route| route_weight(route, &format!("{apex}-canary"))),
    };
    let side = |role, name: &str, service: String| {
        let deployment = find("deployments", name)?;
        let image = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str()?;
        let tag = image.rsplit_once(':').map_or("latest", |(_, tag)| tag).to_owned();
        let ready_pods = deployment["status"]["readyReplicas"].as_u64().and_then(|n| n.try_into().ok()).unwrap_or(0);
        let weight = if role == Role::Canary { weight } else { 1.0 - weight };
        Some(Track { id: TrackId { role, hash: hash(&tag), service, tag }, weight, ready_pods })
    };
    let mut tracks: Vec<Track> =
        side(Role::Canary, target, format!("{apex}-canary")).filter(|track| track.ready_pods > 0).into_iter().collect();
    tracks.extend(side(Role::Stable, &format!("{target}-primary"), format!("{apex}-primary")));
    let proxy = match ingress {
        Some(ingress) => Proxy::Nginx { ingress: ingress.into(), service: apex.into() },
        None => Proxy::Mesh,
    };
    Some(Route { namespace: namespace.into(), rollout: target.into(), proxy, tracks })
}

fn find<'a>(snapshot: &'a Snapshot, list: &str, namespace: &str, name: &str) -> Option<&'a Value> {
    let list = match list {
        "ingresses" => &snapshot.ingresses,
        "http_routes" => &snapshot.http_routes,
        _ => &snapshot.deployments,
    };
    list.iter().find(|object| object["metadata"]["namespace"] == namespace && object["metadata"]["name"] == name)
}

/// Letters and digits, as the pods' names that Flagger looks for.
fn hash(tag: &str) -> String {
    tag.chars().filter(char::is_ascii_alphanumeric).collect()
}

fn nginx_weight(ingress: Option<&Value>) -> f64 {
    let weight =
        ingress.and_then(|i| i["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"].as_str()?.parse::<f64>().ok());
    weight.unwrap_or_default() / 100.0
}

fn route_weight(route: &Value, service: &str) -> f64 {
    let refs = route["spec"]["rules"][0]["backendRefs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let weight = |backend: &Value| backend["weight"].as_f64().unwrap_or(1.0);
    let all: f64 = refs.iter().map(weight).sum();
    refs.iter().filter(|backend| backend["name"] == service).map(weight).sum::<f64>() / all.max(1.0)
}

/// Counters under the labels that Flagger's checks of the providers `kubernetes`, `gatewayapi` and `nginx` name; a
/// scrape by its own manifests brings them.
pub fn text(model: &Model, routes: &[Route]) -> String {
    let mut text = String::new();
    for route in routes {
        for (track, counters) in model.counters(&route.workload()) {
            for (code, histogram) in counters {
                application(&mut text, route, track, *code, histogram);
                if let Proxy::Nginx { ingress, .. } = &route.proxy {
                    upstream(&mut text, route, ingress, track, *code, histogram);
                }
            }
        }
    }
    text
}

fn application(text: &mut String, route: &Route, track: &TrackId, code: u16, histogram: &Histogram) {
    let side = if track.role == Role::Stable { "-primary" } else { "" };
    let pod = format!("{}{side}-{}-all", route.rollout, track.hash);
    let labels = format!("kubernetes_namespace=\"{}\",kubernetes_pod_name=\"{pod}\",status=\"{code}\"", route.namespace);
    for bound in BOUNDS_S {
        let count = histogram.at_most(bound * 1_000.0 + 1e-6);
        let _ = writeln!(text, "http_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {count}");
    }
    let (count, seconds) = (histogram.count(), histogram.sum_ms() / 1_000.0);
    let _ = writeln!(text, "http_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} {count}");
    let _ = writeln!(text, "http_request_duration_seconds_sum{{{labels}}} {seconds:.3}");
    let _ = writeln!(text, "http_request_duration_seconds_count{{{labels}}} {count}");
}

/// The time of the upstream's answer, which the exposition of ingress-nginx does not have.
fn upstream(text: &mut String, route: &Route, ingress: &str, track: &TrackId, code: u16, histogram: &Histogram) {
    let canary = if track.role == Role::Canary { format!("{}-{}-80", route.namespace, track.service) } else { String::new() };
    let labels = format!("namespace=\"{}\",ingress=\"{ingress}\",canary=\"{canary}\",status=\"{code}\"", route.namespace);
    let _ = writeln!(text, "nginx_ingress_controller_response_duration_seconds_sum{{{labels}}} {:.3}", histogram.sum_ms() / 1_000.0);
    let _ = writeln!(text, "nginx_ingress_controller_response_duration_seconds_count{{{labels}}} {}", histogram.count());
}
