//! What a real Prometheus makes of scrapes: an exporter whose series come and go, and that itself fails for a while.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use rolltop::demo::{
    exposition::{Exposition, Gauge},
    prometheus::{Sample, Tsdb, labels::Labels},
    routes::{Proxy, Route},
    traffic::{Load, Model, Role, Track, TrackId},
};

use super::{
    compare::{Ask, Both},
    real::{Real, free_port},
    serve_tsdb, time,
};

const SCRAPE: Duration = Duration::from_millis(500);

/// Scrapes of the whole play.
const LENGTH: usize = 28;

/// What the exporter shows now, or that it fails.
type Shown = Arc<Mutex<Option<String>>>;

async fn metrics(State(shown): State<Shown>) -> Result<String, StatusCode> {
    shown.lock().unwrap().clone().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The exposition of the traffic, without what ends and with what begins.
struct Play {
    model: Model,
    routes: [Route; 2],
}

impl Play {
    fn new() -> Self {
        let routes = [route("front", Proxy::Nginx { ingress: "web".into(), service: "front".into() }), route("back", Proxy::Mesh)];
        let mut model = Model::new(9);
        for route in &routes {
            model.set_load(&route.workload(), Load { rps: 300.0, ..Load::default() });
            model.route(&route.workload(), route.tracks.clone());
        }
        Self { model, routes }
    }

    fn text(&mut self, turn: usize) -> Option<String> {
        self.model.advance(SCRAPE);
        // One workload is gone for a while, and one scrape in the middle of that fails.
        let gone = (8..14).contains(&turn);
        let mut shown = Exposition::of(&self.model, self.routes.iter().skip(usize::from(gone)));
        if !turn.is_multiple_of(5) {
            shown.gauge(&Gauge { name: "flickers".into(), labels: vec![("turn".into(), (turn % 2).to_string())], value: turn as f64 });
        }
        (!(11..13).contains(&turn) && turn != 20).then(|| shown.text())
    }
}

fn route(name: &str, proxy: Proxy) -> Route {
    let track = |role, tag: &str, weight| {
        let id = TrackId { role, hash: format!("{name}{tag}"), service: name.into(), tag: tag.into() };
        Track { id, weight, ready_pods: 4 }
    };
    let tracks = vec![track(Role::Stable, "v1", 0.7), track(Role::Canary, "v2", 0.3)];
    Route { namespace: "shop".into(), rollout: name.into(), proxy, tracks }
}

/// Lets a real Prometheus scrape the play, takes over what it has, and says what to ask.
pub async fn scenario(program: &Path) -> (Both, Vec<Ask>) {
    let shown: Shown = Arc::default();
    let port = free_port();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let app = Router::new().route("/metrics", get(metrics)).with_state(shown.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let config = format!(
        "global: {{scrape_interval: {0}ms, scrape_timeout: {0}ms}}\n\
         scrape_configs:\n- job_name: traffic\n  static_configs: [{{targets: [\"127.0.0.1:{port}\"]}}]\n",
        SCRAPE.as_millis()
    );
    let mut play = Play::new();
    *shown.lock().unwrap() = play.text(0);
    let real = Real::start(program, &config).await;
    for turn in 1..LENGTH {
        tokio::time::sleep(SCRAPE).await;
        *shown.lock().unwrap() = play.text(turn);
    }
    // Nothing more may be scraped while both are compared, so the questions end before now.
    let last = super::now() - 2 * SCRAPE.as_millis() as i64;
    let tsdb = copied(&real, last).await;
    (Both::new(real, serve_tsdb(Arc::new(tsdb)).await), asks(last))
}

/// Takes over all samples up to `last` scrape by scrape; who ends when must follow from that.
async fn copied(real: &Real, last: i64) -> Tsdb {
    let data = real.query("{__name__=~\".+\"}[10m]", last).await;
    let mut scrapes: BTreeMap<i64, Vec<Sample>> = BTreeMap::new();
    for series in data["result"].as_array().unwrap() {
        let metric = series["metric"].as_object().unwrap();
        let labels = Labels::from_pairs(metric.iter().map(|(name, value)| (name, value.as_str().unwrap())));
        for point in series["values"].as_array().unwrap() {
            let at = (point[0].as_f64().unwrap() * 1e3).round() as i64;
            let value = point[1].as_str().unwrap().parse().unwrap();
            scrapes.entry(at).or_default().push(Sample { labels: labels.clone(), value });
        }
    }
    assert!(scrapes.len() > LENGTH / 2, "only {} scrapes", scrapes.len());
    let tsdb = Tsdb::new(Duration::from_secs(3_600));
    scrapes.into_iter().for_each(|(at, samples)| tsdb.scrape(time(at), samples));
    tsdb
}

const QUERIES: [&str; 18] = [
    "up",
    "count({__name__=~\".+\"})",
    "count by (__name__) ({__name__=~\".+\"})",
    "flickers",
    "sum by (turn) (flickers)",
    "absent(flickers)",
    "changes(flickers[5s])",
    "count_over_time(flickers[5s])",
    "present_over_time(up[2s])",
    "rate(http_requests_total[3s])",
    "sum by (pod) (rate(http_requests_total[5s]))",
    "increase(istio_requests_total[8s])",
    "sum by (destination_version) (irate(istio_requests_total{reporter=\"source\"}[5s]))",
    "histogram_quantile(0.9, sum by (le, destination_version) (rate(istio_request_duration_milliseconds_bucket[4s])))",
    "sum(rate(nginx_ingress_controller_requests{status=~\"5..\"}[5s])) / sum(rate(nginx_ingress_controller_requests[5s]))",
    "scrape_samples_scraped - scrape_samples_post_metric_relabeling",
    "timestamp(up) - time()",
    "count(http_requests_total) or vector(0)",
];

fn asks(last: i64) -> Vec<Ask> {
    let begin = last - LENGTH as i64 * SCRAPE.as_millis() as i64;
    let mut asks = Vec::new();
    for query in QUERIES {
        asks.extend((0..8).map(|part| Ask::instant(query, begin + (last - begin) * part / 7)));
        // Both finer and coarser than scrapes come.
        asks.extend([(130, begin), (700, begin + 1), (2_000, begin - 3_000)].map(|(step, start)| Ask::range(query, start, last, step)));
    }
    asks
}
