//! Services whose latency is a native histogram, read from a real Prometheus by rolltop itself: the embedded one has none.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use rolltop::{
    demo::{
        exposition::Exposition,
        routes::Route,
        traffic::{Latency, Load, Model, Profile as Behaviour},
    },
    model::{
        Id, Time,
        metrics::{Block, RolloutMetrics, Side},
    },
    msg::{Body, Msg},
    prometheus::{Client, ProfileChoice, Settings, Target, run},
    verdict::Trial,
};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::{
    IDLE,
    data::{self, sample},
    now, product,
    real::{Native, Real, free_port, program},
    time,
};

const STEP: i64 = 5_000;
const STEPS: i64 = 50;

/// rolltop's own reading of a server: all rollouts' metrics, refresh by refresh, and what they cost.
struct Reader {
    client: Client,
    rx: mpsc::Receiver<Msg>,
    _inputs: (watch::Sender<Arc<Vec<Target>>>, watch::Sender<Option<rolltop::prometheus::Focus>>),
}

impl Reader {
    fn start(url: &str, profile: ProfileChoice, interval: Duration, targets: Vec<Target>) -> Self {
        let settings = Settings { interval, profile, ..Settings::new(url.parse().unwrap()) };
        let client = Client::new(&settings, None).unwrap();
        let (tx, rx) = mpsc::channel(64);
        let (targets, whom) = watch::channel(Arc::new(targets));
        let (focus, open) = watch::channel(None);
        tokio::spawn(run(client.clone(), settings, whom, open, tx));
        Self { client, rx, _inputs: (targets, focus) }
    }

    /// The next refresh, and the number of queries since the one before.
    async fn next(&mut self) -> (BTreeMap<String, RolloutMetrics>, u64) {
        let before = self.client.stats().queries;
        loop {
            let message = tokio::time::timeout(Duration::from_secs(30), self.rx.recv()).await.unwrap().unwrap();
            if let Body::Metrics(all) = message.body {
                let named = all.into_iter().map(|(id, m): (Id, _)| (id.name.to_string(), m)).collect();
                return (named, self.client.stats().queries - before);
            }
        }
    }
}

/// One pod: what it answers in each step, and what it has counted since it began.
struct Pod {
    service: &'static str,
    name: &'static str,
    /// Buckets of a power of two; `None` counts in classic buckets.
    schema: Option<i32>,
    median: f64,
    steps: std::ops::Range<i64>,
    /// It begins anew in this step.
    restarts: Option<i64>,
    /// Latencies of its requests since it began, in milliseconds.
    seen: Vec<f64>,
}

const CLASSIC: [f64; 4] = [100.0, 250.0, 500.0, 1_000.0];

impl Pod {
    fn new(service: &'static str, name: &'static str, schema: Option<i32>, median: f64) -> Self {
        Self { service, name, schema, median, steps: 0..STEPS, restarts: None, seen: Vec::new() }
    }

    /// Requests of one step; the growth that counts, if any does: all of them in milliseconds.
    fn play(&mut self, step: i64, rng: &mut fastrand::Rng) -> Vec<f64> {
        if self.restarts == Some(step) {
            self.seen.clear();
        }
        // The first scrape of a pod finds an empty histogram.
        let count = if step == self.steps.start { 0 } else { rng.usize(20..40) };
        let normal = |rng: &mut fastrand::Rng| (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
        let fresh: Vec<f64> = (0..count).map(|_| self.median * (0.5 * normal(rng)).exp()).collect();
        self.seen.extend(&fresh);
        if self.restarts == Some(step) { Vec::new() } else { fresh }
    }

    fn labels(&self) -> Vec<(&str, &str)> {
        vec![
            ("reporter", "destination"),
            ("destination_service_namespace", "shop"),
            ("destination_service_name", self.service),
            ("destination_workload", self.service),
            ("pod", self.name),
            ("response_code", "200"),
        ]
    }

    fn counter(&self) -> super::Sample {
        sample("istio_requests_total", &self.labels(), self.seen.len() as f64)
    }

    fn buckets(&self) -> Vec<super::Sample> {
        let of = |le: &str, bound: f64| {
            let labels = [self.labels(), vec![("le", le)]].concat();
            sample("istio_request_duration_milliseconds_bucket", &labels, self.seen.iter().filter(|ms| **ms <= bound).count() as f64)
        };
        CLASSIC.iter().map(|bound| of(&bound.to_string(), *bound)).chain([of("+Inf", f64::INFINITY)]).collect()
    }

    fn native(&self, schema: i32) -> Native {
        let name = sample("istio_request_duration_milliseconds", &self.labels(), 0.0).labels;
        let mut counts = BTreeMap::new();
        self.seen.iter().for_each(|ms| *counts.entry(bucket(*ms, schema)).or_insert(0) += 1);
        Native { labels: name, schema, counts, sum: self.seen.iter().sum() }
    }
}

/// The bucket `i` holds what lies above `2^((i-1)/2^schema)` and not above `2^(i/2^schema)`.
fn bucket(value: f64, schema: i32) -> i32 {
    (value.log2() * 2_f64.powi(schema)).ceil() as i32
}

/// What really happened: latencies by service and step.
type Truth = BTreeMap<(&'static str, i64), Vec<f64>>;

/// Requests, and those slower than `limit` milliseconds, between two moments.
fn told(truth: &Truth, service: &'static str, first: i64, block: &Block, limit: f64) -> (f64, f64) {
    let step = (block.to.timestamp_millis() - first) / STEP;
    let all = truth.get(&(service, step)).map_or(&[][..], Vec::as_slice);
    (all.len() as f64, all.iter().filter(|ms| **ms > limit).count() as f64)
}

fn in_flight(name: &str) -> Target {
    product::target("shop", name, false, true)
}

/// Writes the play step by step; the last moment is now. Returns its first moment and what happened.
async fn written(real: &Real) -> (i64, Truth) {
    let mut pods = [
        Pod::new("cart", "a", Some(3), 120.0),
        Pod { restarts: Some(20), ..Pod::new("cart", "b", Some(3), 120.0) },
        Pod { steps: 10..STEPS, ..Pod::new("cart", "late", Some(3), 120.0) },
        Pod::new("cart-canary", "c", Some(3), 260.0),
        Pod::new("search", "d", Some(3), 120.0),
        Pod::new("search-canary", "e", Some(0), 120.0),
        Pod::new("page", "f", None, 120.0),
        Pod::new("page-canary", "g", None, 260.0),
        Pod::new("moved", "h", None, 120.0),
        Pod::new("moved-canary", "i", Some(3), 260.0),
    ];
    let (mut rng, mut truth) = (fastrand::Rng::with_seed(11), Truth::new());
    let first = now() / STEP * STEP - (STEPS - 1) * STEP;
    for step in 0..STEPS {
        let (mut samples, mut natives) = (Vec::new(), Vec::new());
        for pod in pods.iter_mut().filter(|pod| pod.steps.contains(&step)) {
            truth.entry((pod.service, step)).or_default().extend(pod.play(step, &mut rng));
            samples.push(pod.counter());
            match pod.schema {
                Some(schema) => natives.push(pod.native(schema)),
                None => samples.extend(pod.buckets()),
            }
        }
        real.write_all(first + step * STEP, &samples, &natives).await;
    }
    (first, truth)
}

/// The blocks of which everything is known: from the second scrape on.
fn known(metrics: &RolloutMetrics, first: i64) -> impl Iterator<Item = &Block> {
    metrics.blocks.iter().filter(move |b| b.from.timestamp_millis() >= first)
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_requests_of_native_histograms_are_counted_exactly() {
    let Some(program) = program() else { return };
    let real = Real::start(&program, IDLE).await;
    let (first, truth) = written(&real).await;
    let targets = ["cart", "search", "page", "moved"].map(in_flight).to_vec();
    let mut reader = Reader::start(&real.url, ProfileChoice::Istio, Duration::from_millis(STEP as u64), targets);
    let (all, queries) = reader.next().await;
    assert_eq!(queries, 7, "five series, one count, and once the bounds of the releases that began");

    let exact = |name: &str, sides: [&'static str; 2]| {
        let m = &all[name];
        let limit = m.limit.unwrap() * 1e3;
        let mut blocks = 0;
        for block in known(m, first) {
            for (counts, service) in [block.new, block.old].into_iter().zip(sides) {
                let (timed, slow) = told(&truth, service, first, block, limit);
                let seen = counts.unwrap().timed.unwrap_or_else(|| panic!("{name} {block:?}"));
                assert_eq!((seen.0, seen.1.round()), (timed, slow), "{name} {service} {block:?} over {limit}");
                assert!((seen.1 - slow).abs() < 0.01);
            }
            blocks += 1;
        }
        assert!(blocks > 40, "{name}: {blocks}");
        limit
    };
    let limit = exact("cart", ["cart-canary", "cart"]);
    assert!(all["cart"].native && limit == 256.0, "a bound of its own, and of every resolution: {limit}");
    // Another resolution on the new side.
    assert_eq!(exact("search", ["search-canary", "search"]), 256.0);
    assert!(CLASSIC.contains(&exact("page", ["page-canary", "page"])));
    assert!(!all["page"].native);

    // The new version came with native histograms, the old one has buckets: cut at a bucket's bound.
    let moved = &all["moved"];
    let limit = moved.limit.unwrap() * 1e3;
    assert!(moved.native && CLASSIC.contains(&limit));
    let (mut seen, mut least, mut most) = (0.0, 0.0, 0.0);
    for block in known(moved, first) {
        let (timed, slow) = block.new.unwrap().timed.unwrap();
        let told = |limit: f64| told(&truth, "moved-canary", first, block, limit);
        assert_eq!(timed, told(limit).0);
        (seen, least, most) = (seen + slow, least + told(limit * 1.1).1, most + told(limit / 1.1).1);
    }
    assert!(least <= seen && seen <= most, "{seen} of {least} to {most} over {limit}");

    // Quantiles: within a bucket.
    let old = &all["cart"].old;
    for (got, q) in [(old.p50, 0.5), (old.p95, 0.95), (old.p99, 0.99)] {
        let mut lately: Vec<f64> = (STEPS - 24..STEPS).flat_map(|step| truth[&("cart", step)].clone()).collect();
        lately.sort_by(f64::total_cmp);
        let want = lately[(q * lately.len() as f64) as usize] / 1e3;
        let got = got.value().unwrap();
        assert!((got / want).ln().abs() < 0.12, "p{q}: {got}, in truth {want}");
    }

    // The verdict hears of it.
    let mut trial = Trial::new("new", "old", Some(time(first)));
    trial.limit = all["cart"].limit;
    known(&all["cart"], first).for_each(|block| trial.take(block, Some(0.3)));
    assert!(trial.slow.is_worse() && !trial.failing.is_worse(), "{:?}", trial.slow.shares());
    let mut same = Trial::new("new", "old", Some(time(first)));
    known(&all["search"], first).for_each(|block| same.take(block, Some(0.3)));
    assert!(!same.slow.is_worse(), "{:?}", same.slow.shares());

    let (mut later, mut most) = (0, 0);
    while later < 2 {
        let (all, queries) = reader.next().await;
        // The clock may not have passed a step yet.
        later += usize::from(!all["cart"].blocks.is_empty());
        most = most.max(queries);
    }
    assert_eq!(most, 6, "the bounds are asked for once");
}

/// Classic histograms that Prometheus itself makes native while it scrapes.
struct Scraped {
    real: Real,
    playing: tokio::task::JoinHandle<()>,
}

impl Scraped {
    async fn start(program: &Path, how: &str) -> Self {
        let shown: Arc<std::sync::Mutex<String>> = Arc::default();
        let text = shown.clone();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", free_port())).await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route("/metrics", get(move || async move { text.lock().unwrap().clone() }));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n\
             - job_name: traffic\n  {how}\n  static_configs: [{{targets: [\"{address}\"]}}]\n"
        );
        let playing = tokio::spawn(async move {
            let routes = [data::route(0, "cart"), data::route(2, "search")];
            let mut model = playing_model(&routes);
            loop {
                model.advance(Duration::from_millis(250));
                *shown.lock().unwrap() = Exposition::of(&model, &routes).text();
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        });
        Self { real: Real::start(program, &config).await, playing }
    }

    /// Requests and slow ones that one side of a native histogram has counted at a moment, from its buckets as stored.
    async fn stored(&self, selector: &str, limit: f64, at: Time) -> Option<(f64, f64)> {
        let data = self.real.query(selector, at.timestamp_millis()).await;
        let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
        let (mut all, mut slow) = (0.0, 0.0);
        for row in data["result"].as_array()? {
            let histogram = &row["histogram"][1];
            all += number(&histogram["count"]);
            let above = |bucket: &&Value| number(&bucket[1]) >= limit;
            slow += histogram["buckets"].as_array()?.iter().filter(above).map(|bucket| number(&bucket[3])).sum::<f64>();
        }
        (all > 0.0).then_some((all, slow))
    }
}

impl Drop for Scraped {
    fn drop(&mut self) {
        self.playing.abort();
    }
}

fn playing_model(routes: &[Route]) -> Model {
    let mut model = Model::new(5);
    for route in routes {
        let workload = route.workload();
        model.set_load(&workload, Load { rps: 200.0, ..Load::default() });
        model.set_profile(&workload, "v2", Behaviour { latency: Latency { median: 300.0, p99: 900.0 }, ..Behaviour::default() });
        model.route(&workload, route.tracks.clone());
    }
    model
}

fn scraped_targets() -> Vec<Target> {
    vec![product::target("shop", "cart", true, true), product::target("shop", "search", false, true)]
}

fn selector(name: &str, side: Side) -> String {
    match (name, side) {
        ("cart", Side::Old) => "nginx_ingress_controller_request_duration_seconds{ingress=\"cart-web\",canary=\"\"}".into(),
        ("cart", Side::New) => "nginx_ingress_controller_request_duration_seconds{ingress=\"cart-web\",canary!=\"\"}".into(),
        (_, side) => {
            let service = if side == Side::New { "search-canary" } else { "search" };
            format!("istio_request_duration_milliseconds{{reporter=\"destination\",destination_service_name=\"{service}\"}}")
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn histograms_that_prometheus_converts_are_counted_at_their_own_bounds() {
    let Some(program) = program() else { return };
    let scraped = Scraped::start(&program, "convert_classic_histograms_to_nhcb: true").await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    let mut reader = Reader::start(&scraped.real.url, ProfileChoice::Auto, Duration::from_secs(1), scraped_targets());
    let mut compared = 0;
    for round in 0..6 {
        let (all, queries) = reader.next().await;
        assert!(queries <= if round == 0 { 7 } else { 6 }, "{queries} queries");
        for (name, scale) in [("cart", 1.0), ("search", 1e3)] {
            let m = &all[name];
            assert!(m.native && m.old.p95.value().is_some() && m.new.p50.value().is_some(), "{name}: {m:?}");
            let limit = m.limit.unwrap() * scale;
            for block in &m.blocks {
                for (side, counts) in [(Side::New, block.new), (Side::Old, block.old)] {
                    let (selected, above) = (selector(name, side), limit * (1.0 - 1e-9));
                    let from = scraped.stored(&selected, above, block.from).await;
                    let to = scraped.stored(&selected, above, block.to).await;
                    let (Some(from), Some(to)) = (from, to) else { continue };
                    let (timed, slow) = counts.unwrap().timed.unwrap();
                    assert_eq!((timed, slow.round()), (to.0 - from.0, to.1 - from.1), "{name} {side:?} {block:?} over {limit}");
                    compared += usize::from(slow > 0.0);
                }
            }
        }
    }
    assert!(compared > 20, "{compared} blocks with slow requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_both_kinds_are_scraped_nothing_counts_twice() {
    let Some(program) = program() else { return };
    let how = "convert_classic_histograms_to_nhcb: true\n  always_scrape_classic_histograms: true";
    let scraped = Scraped::start(&program, how).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    let mut reader = Reader::start(&scraped.real.url, ProfileChoice::Auto, Duration::from_secs(1), scraped_targets());
    let mut counted = 0;
    for _ in 0..4 {
        let (all, queries) = reader.next().await;
        assert!(queries <= 6, "{queries} queries: classic buckets cost no more than before");
        for m in all.values() {
            assert!(!m.native && m.old.p95.value().is_some(), "{m:?}");
            for counts in m.blocks.iter().filter_map(|b| b.new) {
                let (timed, slow) = counts.timed.unwrap();
                // A status that was first answered with counts as a request, and only then has a histogram.
                assert!(slow <= timed && timed <= counts.all && timed >= 0.8 * counts.all, "{counts:?}");
                counted += usize::from(timed > 0.0);
            }
        }
    }
    assert!(counted > 10, "{counted}");
}
