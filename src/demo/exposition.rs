//! What a metrics endpoint would show of the traffic: counters under the names of Istio, of ingress-nginx and of a plain
//! application, and gauges of the owner's choice.
//!
//! The same [`Exposition`] is read as [`samples`](Exposition::samples) by the embedded Prometheus and as
//! [`text`](Exposition::text) by a real one.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use super::{
    prometheus::{
        Kind, Sample,
        labels::{LabelSet, Labels},
    },
    routes::{Proxy, Route},
    traffic::{BOUNDS_MS, BOUNDS_S, Histogram, Model, Role, TrackId},
};

/// A value of the moment, such as a queue's depth.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauge {
    /// Metric name, such as `llm_queue_depth`.
    pub name: String,
    /// Label names and values.
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

/// Whom Prometheus scraped; it puts both labels on every series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub job: String,
    pub instance: String,
}

/// Counters of one kind of proxy or application.
struct Names {
    requests: &'static str,
    duration: &'static str,
    unit: Unit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Milliseconds,
    Seconds,
}

const ISTIO: Names = Names { requests: "istio_requests_total", duration: "istio_request_duration_milliseconds", unit: Unit::Milliseconds };
const NGINX: Names = Names {
    requests: "nginx_ingress_controller_requests",
    duration: "nginx_ingress_controller_request_duration_seconds",
    unit: Unit::Seconds,
};
/// The part of a request's duration that the backend takes, which is all of it here. It has no counter of its own.
const NGINX_RESPONSE: Names = Names { requests: "", duration: "nginx_ingress_controller_response_duration_seconds", unit: Unit::Seconds };
const PLAIN: Names = Names { requests: "http_requests_total", duration: "http_request_duration_seconds", unit: Unit::Seconds };

/// Everything one scrape shows.
pub struct Exposition {
    families: [(Names, Family); 4],
    gauges: BTreeMap<String, BTreeMap<Labels, f64>>,
}

/// Counters by labels. Tracks that differ in nothing the labels show are one series, as in a real proxy.
type Family = BTreeMap<Pairs, Histogram>;
type Pairs = Vec<(&'static str, String)>;

impl Exposition {
    /// All counters of these routes.
    pub fn of<'a>(model: &Model, routes: impl IntoIterator<Item = &'a Route>) -> Self {
        let families = [ISTIO, NGINX, PLAIN, NGINX_RESPONSE].map(|names| (names, Family::new()));
        let mut all = Self { families, gauges: BTreeMap::new() };
        for route in routes {
            for (track, counters) in model.counters(&route.workload()) {
                counters.iter().for_each(|(code, histogram)| all.count(route, track, *code, histogram));
            }
        }
        all
    }

    /// Shows this gauge too; of gauges with the same name and labels the last counts.
    pub fn gauge(&mut self, gauge: &Gauge) {
        // Of the same name and labels only one can be scraped.
        let labels = Labels::from_pairs(gauge.labels.iter().map(|(name, value)| (name, value)));
        self.gauges.entry(gauge.name.clone()).or_default().insert(labels, gauge.value);
    }

    fn count(&mut self, route: &Route, track: &TrackId, code: u16, histogram: &Histogram) {
        let [(_, istio), (_, nginx), (_, plain), _] = &mut self.families;
        let add = |family: &mut Family, labels| family.entry(labels).or_default().merge(histogram);
        match &route.proxy {
            Proxy::Nginx { ingress, service } => add(nginx, nginx_labels(route, ingress, service, track, code)),
            // Both ends of a call report it: whoever does not choose one counts twice.
            Proxy::Mesh => ["source", "destination"].iter().for_each(|end| add(istio, istio_labels(route, end, track, code))),
        }
        add(plain, plain_labels(route, track, code));
    }

    /// Adds the counters of a Flagger Canary's route: each side is a workload of its own, and the labels are those that
    /// Flagger's own checks ask for.
    pub fn add_canary(&mut self, model: &Model, route: &Route) {
        for (track, counters) in model.counters(&route.workload()) {
            for (code, histogram) in counters {
                let [(_, istio), (_, nginx), (_, plain), (_, response)] = &mut self.families;
                let add = |family: &mut Family, labels| family.entry(labels).or_default().merge(histogram);
                let side = Route { rollout: side(route, track), ..route.clone() };
                match &route.proxy {
                    Proxy::Nginx { ingress, service } => {
                        let labels = nginx_labels(route, ingress, service, track, *code);
                        add(nginx, labels.clone());
                        add(response, labels);
                    }
                    Proxy::Mesh => ["source", "destination"].iter().for_each(|end| add(istio, istio_labels(&side, end, track, *code))),
                }
                add(plain, annotated_labels(&side, track, *code));
            }
        }
    }

    /// What one scrape of `target` brings into Prometheus, with what it notes about the scrape itself.
    pub fn samples(&self, target: &Target) -> Vec<Sample> {
        let own = [("job", target.job.as_str()), ("instance", target.instance.as_str())];
        let mut samples = Vec::new();
        for (names, family) in &self.families {
            let writer = Writer::new(names);
            for (labels, histogram) in family {
                let labels = set(pairs(labels).chain(own));
                writer.each(histogram, |name, bound, value| {
                    let labels = match bound {
                        Some(bound) => Labels::bucket(name.clone(), bound.clone(), labels.clone()),
                        None => Labels::new(name.clone(), labels.clone()),
                    };
                    samples.push(Sample { labels, value });
                });
            }
        }
        for (name, series) in &self.gauges {
            let name: Arc<str> = name.as_str().into();
            let sample = |(labels, value): (&Labels, &f64)| Sample {
                labels: own.iter().fold(labels.with("__name__", &name), |labels, (name, value)| labels.with(name, value)),
                value: *value,
            };
            samples.extend(series.iter().map(sample));
        }
        let about = set(own);
        let scraped = samples.len() as f64;
        let meta = [("up", 1.0), ("scrape_samples_scraped", scraped), ("scrape_samples_post_metric_relabeling", scraped)];
        samples.extend(meta.map(|(name, value)| Sample { labels: Labels::new(name.into(), about.clone()), value }));
        samples
    }

    /// Names of all families with what they are.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, Kind)> {
        let counters = self.families.iter().filter(|(_, family)| !family.is_empty());
        let counters = counters.flat_map(|(names, _)| [(names.requests, Kind::Counter), (names.duration, Kind::Histogram)]);
        let counters = counters.filter(|(name, _)| !name.is_empty());
        counters.chain(self.gauges.keys().map(|name| (name.as_str(), Kind::Gauge)))
    }

    /// Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (names, family) in &self.families {
            let writer = Writer::new(names);
            if names.requests.is_empty() && family.is_empty() {
                continue;
            }
            if !names.requests.is_empty() {
                let _ = writeln!(text, "# TYPE {} counter", names.requests);
                for (labels, histogram) in family {
                    let _ = writeln!(text, "{}{{{}}} {}", names.requests, written(pairs(labels)), histogram.count());
                }
            }
            let _ = writeln!(text, "# TYPE {} histogram", names.duration);
            for (labels, histogram) in family {
                let labels = written(pairs(labels));
                writer.durations(histogram, |name, bound, value| {
                    let bound = bound.map(|bound| format!(",le=\"{bound}\"")).unwrap_or_default();
                    let _ = writeln!(text, "{name}{{{labels}{bound}}} {value}");
                });
            }
        }
        for (name, series) in &self.gauges {
            let _ = writeln!(text, "# TYPE {name} gauge");
            for (labels, value) in series {
                let _ = writeln!(text, "{name}{{{}}} {value}", written(labels.pairs()));
            }
        }
        text
    }
}

/// The series of one histogram and its counter of requests, their names made once.
struct Writer {
    unit: Unit,
    requests: Arc<str>,
    bucket: Arc<str>,
    sum: Arc<str>,
    count: Arc<str>,
    /// Upper bounds in milliseconds and as written.
    bounds: Vec<(f64, Arc<str>)>,
    infinity: Arc<str>,
}

impl Writer {
    fn new(names: &Names) -> Self {
        let (bounds, in_ms): (&[f64], f64) = match names.unit {
            Unit::Milliseconds => (&BOUNDS_MS, 1.0),
            Unit::Seconds => (&BOUNDS_S, 1_000.0),
        };
        let name = |end: &str| format!("{}{end}", names.duration).into();
        Self {
            unit: names.unit,
            requests: names.requests.into(),
            bucket: name("_bucket"),
            sum: name("_sum"),
            count: name("_count"),
            // Seconds do not convert exactly.
            bounds: bounds.iter().map(|bound| (bound * in_ms + 1e-6, bound.to_string().into())).collect(),
            infinity: "+Inf".into(),
        }
    }

    /// Calls `series` with name, bound and value of each.
    fn each(&self, histogram: &Histogram, mut series: impl FnMut(&Arc<str>, Option<&Arc<str>>, f64)) {
        if !self.requests.is_empty() {
            series(&self.requests, None, histogram.count() as f64);
        }
        self.durations(histogram, series);
    }

    fn durations(&self, histogram: &Histogram, mut series: impl FnMut(&Arc<str>, Option<&Arc<str>>, f64)) {
        for (bound, written) in &self.bounds {
            series(&self.bucket, Some(written), histogram.at_most(*bound) as f64);
        }
        let count = histogram.count() as f64;
        series(&self.bucket, Some(&self.infinity), count);
        // Proxies measure whole units of a thousandth; and such numbers are small to keep.
        let in_unit = if self.unit == Unit::Seconds { histogram.sum_ms() / 1_000.0 } else { histogram.sum_ms() };
        series(&self.sum, None, (in_unit * 1_000.0).round() / 1_000.0);
        series(&self.count, None, count);
    }
}

fn istio_labels(route: &Route, reporter: &str, track: &TrackId, code: u16) -> Pairs {
    let (namespace, service) = (&route.namespace, &track.service);
    vec![
        ("reporter", reporter.to_owned()),
        ("destination_service", format!("{service}.{namespace}.svc.cluster.local")),
        ("destination_service_name", service.clone()),
        ("destination_service_namespace", namespace.clone()),
        ("destination_workload", workload(route, track).into()),
        ("destination_workload_namespace", namespace.clone()),
        ("destination_version", track.tag.clone()),
        ("request_protocol", "http".into()),
        ("response_code", code.to_string()),
    ]
}

fn nginx_labels(route: &Route, ingress: &str, service: &str, track: &TrackId, code: u16) -> Pairs {
    let canary = match track.role {
        Role::Canary => format!("{}-{}-80", route.namespace, track.service),
        Role::Stable => String::new(),
    };
    vec![
        ("canary", canary),
        ("host", format!("{}.example.test", route.rollout)),
        ("ingress", ingress.to_owned()),
        ("method", "GET".into()),
        ("namespace", route.namespace.clone()),
        ("path", "/".into()),
        ("service", service.to_owned()),
        ("status", code.to_string()),
    ]
}

/// One made-up pod stands for all of a version.
fn plain_labels(route: &Route, track: &TrackId, code: u16) -> Pairs {
    let mut labels = vec![("namespace", route.namespace.clone()), ("code", code.to_string())];
    match track.hash.contains('-') {
        true => labels.push(("pod", format!("{}-all", track.hash))),
        false => {
            labels.push(("pod", format!("{}-{}-all", route.rollout, track.hash)));
            labels.push(("rollouts_pod_template_hash", track.hash.clone()));
        }
    }
    labels
}

/// The workload behind a track: where it is no Rollout, the hash has its name.
fn workload<'a>(route: &'a Route, track: &'a TrackId) -> &'a str {
    track.hash.rsplit_once('-').map_or(&route.rollout, |(workload, _)| workload)
}

/// The workload that a track of a Canary's route belongs to.
fn side(route: &Route, track: &TrackId) -> String {
    match track.role {
        Role::Canary => route.rollout.clone(),
        Role::Stable => format!("{}-primary", route.rollout),
    }
}

/// The same with the labels that the usual scrape by annotations puts on pods. Two parts after the workload's name, as
/// pods of Deployments have.
fn annotated_labels(side: &Route, track: &TrackId, code: u16) -> Pairs {
    vec![
        ("kubernetes_namespace", side.namespace.clone()),
        ("kubernetes_pod_name", format!("{}-{}-all", side.rollout, track.hash)),
        ("status", code.to_string()),
    ]
}

fn pairs(labels: &Pairs) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|(name, value)| (*name, value.as_str()))
}

fn set<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Arc<LabelSet> {
    Arc::new(LabelSet::new(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect()))
}

/// Label pairs as the text format has them.
fn written<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (index, (name, value)) in pairs.enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{comma}{name}=\"{value}\"");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::demo::traffic::{Load, Track};

    fn route(proxy: Proxy) -> Route {
        let id = TrackId { role: Role::Canary, hash: "abc".into(), service: "cart-canary".into(), tag: "v2".into() };
        let tracks = vec![Track { id, weight: 1.0, ready_pods: 1 }];
        Route { namespace: "shop".into(), rollout: "cart".into(), proxy, tracks }
    }

    fn exposed(proxy: Proxy) -> Exposition {
        let route = route(proxy);
        let mut model = Model::new(1);
        model.set_load("shop/cart", Load { rps: 50.0, ..Load::default() });
        model.route("shop/cart", route.tracks.clone());
        model.advance(Duration::from_secs(20));
        let mut all = Exposition::of(&model, [&route]);
        all.gauge(&Gauge { name: "llm_queue_depth".into(), labels: vec![("version".into(), "v\"2".into())], value: 3.5 });
        all
    }

    fn target() -> Target {
        Target { job: "traffic".into(), instance: "127.0.0.1:1".into() }
    }

    /// Value of each series by its text, the target's labels removed.
    fn table(all: &Exposition) -> BTreeMap<String, f64> {
        let bare = |labels: &Labels| labels.with("job", "").with("instance", "");
        all.samples(&target()).into_iter().map(|sample| (bare(&sample.labels).to_string(), sample.value)).collect()
    }

    #[test]
    fn a_mesh_reports_every_request_twice_and_the_application_once() {
        let table = table(&exposed(Proxy::Mesh));
        let of = |start: &str, part: &str| -> f64 {
            table
                .iter()
                .filter(|(labels, _)| labels.starts_with(&format!("{{__name__=\"{start}\"")) && labels.contains(part))
                .map(|(_, v)| v)
                .sum()
        };
        let app = of("http_requests_total", "shop");
        assert!(app > 800.0);
        assert_eq!(of("istio_requests_total", "reporter=\"source\""), app);
        assert_eq!(of("istio_requests_total", "reporter=\"destination\""), app);
        assert_eq!(of("istio_request_duration_milliseconds_bucket", "le=\"+Inf\""), 2.0 * app);
        assert_eq!(of("istio_request_duration_milliseconds_bucket", "le=\"3600000\""), 2.0 * app);
        assert_eq!(of("nginx_ingress_controller_requests", ""), 0.0);
        assert_eq!((of("llm_queue_depth", ""), of("up", "")), (3.5, 1.0));
        assert_eq!(of("scrape_samples_scraped", ""), table.len() as f64 - 3.0);
    }

    #[test]
    fn nginx_names_the_stable_service_and_marks_the_canary() {
        let all = exposed(Proxy::Nginx { ingress: "web".into(), service: "cart".into() });
        let table = table(&all);
        let wanted = "{__name__=\"nginx_ingress_controller_requests\", canary=\"shop-cart-canary-80\", host=\"cart.example.test\", \
                      ingress=\"web\", method=\"GET\", namespace=\"shop\", path=\"/\", service=\"cart\", status=\"200\"}";
        assert!(table[wanted] > 800.0, "{table:#?}");
        let kinds: Vec<(&str, Kind)> = all.kinds().collect();
        assert!(kinds.contains(&("nginx_ingress_controller_requests", Kind::Counter)) && kinds.contains(&("llm_queue_depth", Kind::Gauge)));
    }

    #[test]
    fn a_canary_counts_under_the_names_that_flagger_asks_for() {
        let shown = |proxy: Proxy| {
            let mut all = Exposition::of(&Model::new(1), []);
            let mut model = Model::new(1);
            let route = route(proxy);
            model.set_load("shop/cart", Load { rps: 50.0, ..Load::default() });
            model.route("shop/cart", route.tracks.clone());
            model.advance(Duration::from_secs(20));
            all.add_canary(&model, &route);
            (table(&all), all.text())
        };
        let (nginx, text) = shown(Proxy::Nginx { ingress: "web".into(), service: "cart".into() });
        let has = |table: &BTreeMap<String, f64>, name: &str, label: &str| {
            table.keys().any(|labels| labels.starts_with(&format!("{{__name__=\"{name}\"")) && labels.contains(label))
        };
        assert!(has(&nginx, "nginx_ingress_controller_response_duration_seconds_sum", "canary=\"shop-cart-canary-80\""), "{nginx:#?}");
        assert!(has(&nginx, "http_request_duration_seconds_count", "kubernetes_pod_name=\"cart-abc-all\""));
        assert!(!nginx.keys().any(|labels| labels.contains("__name__=\"\"")) && !text.contains("# TYPE  counter"));
        let (mesh, _) = shown(Proxy::Mesh);
        assert!(has(&mesh, "istio_requests_total", "destination_workload=\"cart\""));
    }

    #[test]
    fn the_text_says_what_the_samples_say() {
        let all = exposed(Proxy::Mesh);
        let text = all.text();
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(series + 3, all.samples(&target()).len());
        assert!(text.contains("llm_queue_depth{version=\"v\\\"2\"} 3.5\n"), "{text}");
        assert!(text.contains("# TYPE istio_request_duration_milliseconds histogram\n"));
        // Every sum is a multiple of a thousandth, exactly as written.
        for line in text.lines().filter(|line| line.contains("_sum{")) {
            let digits = line.rsplit(' ').next().and_then(|value| value.split_once('.')).map_or(0, |(_, digits)| digits.len());
            assert!(digits <= 3, "{line}");
        }
    }
}
