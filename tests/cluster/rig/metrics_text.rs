//! Counters in Prometheus' text format, under the names of Istio, of ingress-nginx and of a plain application.

use std::collections::BTreeMap;
use std::fmt::Write;

use rolltop::demo::traffic::{BOUNDS_MS, BOUNDS_S, Histogram, Model, Role, TrackId};

use super::observe::{Proxy, Route};

/// All series of all routes.
pub fn render<'a>(model: &Model, routes: impl Iterator<Item = &'a Route>) -> String {
    let mut families = Families::default();
    for route in routes {
        let workload = route.workload();
        for (track, counters) in model.counters(&workload) {
            counters.iter().for_each(|(code, histogram)| families.add(route, track, *code, histogram));
        }
    }
    families.text()
}

#[derive(Default)]
struct Families {
    istio: Series,
    nginx: Series,
    plain: Series,
}

impl Families {
    fn add(&mut self, route: &Route, track: &TrackId, code: u16, histogram: &Histogram) {
        match &route.proxy {
            Proxy::Nginx { ingress, service } => {
                self.nginx.add(nginx_labels(route, ingress, service, track, code), histogram);
            }
            // Both ends of a call report it: whoever does not choose one counts twice.
            Proxy::Mesh => {
                ["source", "destination"].iter().for_each(|reporter| self.istio.add(istio_labels(route, reporter, track, code), histogram))
            }
        }
        self.plain.add(plain_labels(route, track, code), histogram);
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.istio.write("istio_requests_total", "istio_request_duration_milliseconds", Unit::Milliseconds, &mut text);
        let duration = "nginx_ingress_controller_request_duration_seconds";
        self.nginx.write("nginx_ingress_controller_requests", duration, Unit::Seconds, &mut text);
        self.plain.write("http_requests_total", "http_request_duration_seconds", Unit::Seconds, &mut text);
        text
    }
}

/// Counters by label text. Tracks that differ in nothing the labels show are one series, as in a real proxy.
#[derive(Default)]
struct Series(BTreeMap<String, Histogram>);

#[derive(Clone, Copy)]
enum Unit {
    Milliseconds,
    Seconds,
}

impl Series {
    fn add(&mut self, labels: String, histogram: &Histogram) {
        self.0.entry(labels).or_default().merge(histogram);
    }

    fn write(&self, requests: &str, duration: &str, unit: Unit, text: &mut String) {
        let _ = writeln!(text, "# TYPE {requests} counter");
        for (labels, histogram) in &self.0 {
            let _ = writeln!(text, "{requests}{{{labels}}} {}", histogram.count());
        }
        let _ = writeln!(text, "# TYPE {duration} histogram");
        for (labels, histogram) in &self.0 {
            write_histogram(duration, labels, histogram, unit, text);
        }
    }
}

fn write_histogram(name: &str, labels: &str, histogram: &Histogram, unit: Unit, text: &mut String) {
    let (bounds, in_ms): (&[f64], f64) = match unit {
        Unit::Milliseconds => (&BOUNDS_MS, 1.0),
        Unit::Seconds => (&BOUNDS_S, 1_000.0),
    };
    for bound in bounds {
        // Seconds do not convert exactly.
        let below = histogram.at_most(bound * in_ms + 1e-6);
        let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
    }
    let count = histogram.count();
    let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
    let _ = writeln!(text, "{name}_sum{{{labels}}} {}", histogram.sum_ms() / in_ms);
    let _ = writeln!(text, "{name}_count{{{labels}}} {count}");
}

fn istio_labels(route: &Route, reporter: &str, track: &TrackId, code: u16) -> String {
    let (namespace, service) = (&route.namespace, &track.service);
    labels(&[
        ("reporter", reporter),
        ("destination_service", &format!("{service}.{namespace}.svc.cluster.local")),
        ("destination_service_name", service),
        ("destination_service_namespace", namespace),
        ("destination_workload", &route.rollout),
        ("destination_workload_namespace", namespace),
        ("destination_version", &track.tag),
        ("request_protocol", "http"),
        ("response_code", &code.to_string()),
    ])
}

fn nginx_labels(route: &Route, ingress: &str, service: &str, track: &TrackId, code: u16) -> String {
    let canary = match track.role {
        Role::Canary => format!("{}-{}-80", route.namespace, track.service),
        Role::Stable => String::new(),
    };
    labels(&[
        ("canary", &canary),
        ("host", &format!("{}.example.test", route.rollout)),
        ("ingress", ingress),
        ("method", "GET"),
        ("namespace", &route.namespace),
        ("path", "/"),
        ("service", service),
        ("status", &code.to_string()),
    ])
}

/// One made-up pod stands for all of a version.
fn plain_labels(route: &Route, track: &TrackId, code: u16) -> String {
    labels(&[
        ("namespace", &route.namespace),
        ("pod", &format!("{}-{}-all", route.rollout, track.hash)),
        ("rollouts_pod_template_hash", &track.hash),
        ("code", &code.to_string()),
    ])
}

/// Names and tags of Kubernetes need no escaping.
fn labels(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    pairs.join(",")
}
