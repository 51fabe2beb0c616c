//! Prometheus as it really is: slow, behind gateways, half broken, or not Prometheus at all.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use chrono::Utc;
use rolltop::{
    model::{
        Id, Link, LinkState, Source,
        metrics::{Reading, Series, Side},
    },
    msg::{Body, Msg},
    prometheus::{Client, Fault, Focus, ProfileChoice, Settings, Target, run},
};
use tokio::sync::{mpsc, watch};

#[path = "prometheus_tls.rs"]
mod tls;

/// A request as the fake saw it.
#[derive(Debug, Clone)]
struct Seen {
    method: Method,
    path: String,
    form: BTreeMap<String, String>,
    headers: HeaderMap,
}

impl Seen {
    fn query(&self) -> &str {
        self.form.get("query").map_or("", String::as_str)
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

type Log = Arc<Mutex<Vec<Seen>>>;

/// A server that answers as `answer` says, and its log. It ends with the test's runtime.
async fn fake<F, R>(answer: F) -> (String, Log)
where
    F: Fn(Seen) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    let _ = rustls::crypto::ring::default_provider().install_default();
    let log = Log::default();
    let seen = log.clone();
    let app = Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let body = String::from_utf8(body.to_vec()).unwrap();
        let text = if method == Method::POST { &body } else { uri.query().unwrap_or("") };
        let pairs = reqwest::Url::parse(&format!("http://x/?{text}")).unwrap();
        let form = pairs.query_pairs().into_owned().collect();
        let one = Seen { method, path: uri.path().into(), form, headers };
        seen.lock().unwrap().push(one.clone());
        answer(one)
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, log)
}

async fn always(code: u16, body: &'static str) -> (String, Log) {
    fake(move |_| async move { (StatusCode::from_u16(code).unwrap(), body).into_response() }).await
}

fn settings(url: &str) -> Settings {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (timeout, interval) = (Duration::from_millis(600), Duration::from_secs(1));
    Settings { timeout, interval, ..Settings::new(url.parse().unwrap()) }
}

async fn ask(settings: &Settings) -> Result<Option<f64>, Fault> {
    Client::new(settings, None).unwrap().query("up", Utc::now()).await.map(|a| a.first())
}

async fn state_of(settings: &Settings) -> LinkState {
    ask(settings).await.unwrap_err().state()
}

const ONE: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}"#;
const EMPTY: &str = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;

#[tokio::test]
async fn statuses_become_states() {
    for (code, body, state) in [
        (200, "<html>Sign in</html>", LinkState::Garbage),
        (200, "{\"status\":\"succ", LinkState::Cut),
        (404, "not here", LinkState::Garbage),
        (429, "slow down", LinkState::Throttled),
        (500, "oops", LinkState::ServerError { code: 500 }),
        (502, "<html>", LinkState::ServerError { code: 502 }),
        (503, r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#, LinkState::TimedOut),
        (400, r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#, LinkState::ServerError { code: 400 }),
    ] {
        let (url, _) = always(code, body).await;
        assert_eq!(state_of(&settings(&url)).await, state, "{code} {body}");
    }
    let (url, _) = always(401, "").await;
    assert!(matches!(state_of(&settings(&url)).await, LinkState::Expired { hint } if hint.contains("bearer-token-file")));
    let (url, _) = always(403, "no tenant").await;
    assert!(matches!(state_of(&settings(&url)).await, LinkState::Forbidden { .. }));
    let (url, _) = always(200, EMPTY).await;
    assert_eq!(ask(&settings(&url)).await, Ok(None), "empty is an answer, not a fault");
}

#[tokio::test]
async fn broken_wires_become_states() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(state_of(&settings(&free)).await, LinkState::Refused);

    let (slow, _) = fake(|_| async { std::future::pending().await }).await;
    let begun = std::time::Instant::now();
    assert_eq!(state_of(&settings(&slow)).await, LinkState::TimedOut);
    assert!(begun.elapsed() < Duration::from_secs(3));

    for (reply, state) in [(&b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"status\":"[..], LinkState::Cut), (&b""[..], LinkState::Cut)]
    {
        assert_eq!(state_of(&settings(&raw(reply))).await, state);
    }
    let (url, _) = always(200, ONE).await;
    let secure = url.replace("http:", "https:");
    assert_eq!(state_of(&settings(&secure)).await, LinkState::Garbage, "no TLS spoken there");
    assert_eq!(state_of(&settings("http://no-such-host.invalid:1")).await, LinkState::NoRoute);
}

/// Says just this to whoever connects, and hangs up.
fn raw(reply: &'static [u8]) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().take(4).flatten() {
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let _ = stream.write_all(reply);
        }
    });
    url
}

#[tokio::test]
async fn the_wait_a_server_asks_for_is_kept() {
    let (url, _) = fake(|_| async { (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "7")]).into_response() }).await;
    assert_eq!(ask(&settings(&url)).await.unwrap_err().after(), Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn endless_answers_end() {
    let (url, _) = fake(|_| async { vec![b' '; 100_000].into_response() }).await;
    let small = Settings { body_limit: 50_000, ..settings(&url) };
    assert_eq!(ask(&small).await, Err(Fault::TooLarge { limit: 50_000 }));
}

#[tokio::test]
async fn queries_are_posted_below_the_prefix_with_headers() {
    let (url, log) = always(200, ONE).await;
    let s = Settings { headers: vec![("X-Scope-OrgID".into(), "tenant-7".into())], ..settings(&format!("{url}/mimir/")) };
    assert_eq!(ask(&s).await, Ok(Some(1.0)));
    let seen = log.lock().unwrap()[0].clone();
    assert_eq!((seen.method.as_str(), seen.path.as_str(), seen.query()), ("POST", "/mimir/api/v1/query", "up"));
    assert_eq!(seen.header("x-scope-orgid"), "tenant-7");
    assert_eq!(seen.form["timeout"], "540ms");
    assert!(seen.form.contains_key("time"));
}

#[tokio::test]
async fn where_post_is_not_allowed_get_is_used_from_then_on() {
    let (url, log) = fake(|seen| async move {
        if seen.method == Method::POST { StatusCode::METHOD_NOT_ALLOWED.into_response() } else { ONE.into_response() }
    })
    .await;
    let client = Client::new(&settings(&url), None).unwrap();
    for _ in 0..2 {
        client.query("up", Utc::now()).await.unwrap();
    }
    let methods: Vec<String> = log.lock().unwrap().iter().map(|s| s.method.to_string()).collect();
    assert_eq!(methods, ["POST", "GET", "GET"]);
    assert_eq!(log.lock().unwrap()[2].query(), "up");
    assert_eq!((client.stats().queries, client.stats().requests), (2, 3));
}

#[tokio::test]
async fn logins_are_read_anew_and_never_shown() {
    let (url, log) = always(200, ONE).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let client = Client::new(&Settings { bearer_token_file: Some(file.clone()), ..settings(&url) }, None).unwrap();
    client.query("up", Utc::now()).await.unwrap();
    std::fs::write(&file, "second\n").unwrap();
    client.query("up", Utc::now()).await.unwrap();
    let sent: Vec<String> = log.lock().unwrap().iter().map(|s| s.header("authorization").to_owned()).collect();
    assert_eq!(sent, ["Bearer first", "Bearer second"]);

    std::fs::write(&file, "hunter2\u{1}").unwrap();
    let fault = client.query("up", Utc::now()).await.unwrap_err();
    assert!(matches!(fault.state(), LinkState::Expired { .. }));
    assert!(!format!("{fault} {fault:?}").contains("hunter2"));
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(client.query("up", Utc::now()).await, Err(Fault::Unauthorized { .. })));

    std::fs::write(&file, "secret").unwrap();
    let basic = Settings { basic_user: Some("me".into()), basic_password_file: Some(file), ..settings(&url) };
    ask(&basic).await.unwrap();
    assert_eq!(log.lock().unwrap().last().unwrap().header("authorization"), "Basic bWU6c2VjcmV0");
}

#[tokio::test]
async fn a_secret_header_is_fetched_and_never_shown() {
    use rolltop::secret::{Secret, Source};
    let (url, log) = always(200, ONE).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, "hunter2\n").unwrap();
    let secret = Secret { source: Source::File(file.clone()), prefix: "Key ".into() };
    let keyed = Settings { secret_headers: vec![("X-Api-Key".into(), secret)], ..settings(&url) };
    ask(&keyed).await.unwrap();
    assert_eq!(log.lock().unwrap().last().unwrap().header("x-api-key"), "Key hunter2");
    std::fs::remove_file(&file).unwrap();
    let fault = ask(&keyed).await.unwrap_err();
    assert!(matches!(fault.state(), LinkState::Expired { hint } if hint.contains("X-Api-Key")), "{fault:?}");
    std::fs::write(&file, "hunter2\u{1}").unwrap();
    let fault = ask(&keyed).await.unwrap_err();
    assert!(!format!("{fault} {fault:?} {keyed:?}").contains("hunter2"));
}

#[tokio::test]
async fn no_login_follows_a_redirect_to_another_server() {
    let (elsewhere, stolen) = always(200, ONE).await;
    let to = elsewhere.clone();
    let (url, _) = fake(move |_| {
        let to = to.clone();
        async move { (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response() }
    })
    .await;
    assert_eq!(state_of(&settings(&url)).await, LinkState::Garbage);
    assert!(stolen.lock().unwrap().is_empty());

    let (url, log) = fake(|seen| async move {
        if seen.path.starts_with("/p/") {
            return ONE.into_response();
        }
        (StatusCode::FOUND, [(header::LOCATION, format!("/p{}", seen.path))]).into_response()
    })
    .await;
    assert_eq!(ask(&settings(&url)).await, Ok(Some(1.0)), "within one server it is followed, still as POST");
    assert_eq!(log.lock().unwrap()[1].method, Method::POST);
}

fn cluster(url: &str) -> kube::Client {
    let mut config = kube::Config::new(url.parse().unwrap());
    config.default_retry = false;
    kube::Client::try_from(config).unwrap()
}

#[tokio::test]
async fn the_service_proxy_is_only_read() {
    let (url, log) = always(200, ONE).await;
    let mut s = settings("k8s:monitoring/https:prom:web/prefix");
    s.headers = vec![("X-Scope-OrgID".into(), "t".into())];
    let client = Client::new(&s, Some(cluster(&url))).unwrap();
    assert_eq!(client.query("up{a=\"b c\"}", Utc::now()).await.unwrap().first(), Some(1.0));
    let seen = log.lock().unwrap()[0].clone();
    assert_eq!(seen.path, "/api/v1/namespaces/monitoring/services/https:prom:web/proxy/prefix/api/v1/query");
    assert_eq!((seen.method.as_str(), seen.query(), seen.header("x-scope-orgid")), ("GET", "up{a=\"b c\"}", "t"));
    assert_eq!(Client::new(&s, None).err().unwrap().field, "url");
}

#[tokio::test]
async fn the_api_servers_refusals_are_its_own() {
    for (code, body) in
        [(403, r#"{"kind":"Status","message":"forbidden"}"#), (503, r#"{"kind":"Status","message":"no endpoints available"}"#)]
    {
        let (url, _) = always(code, body).await;
        let client = Client::new(&settings("k8s:mon/prom:9090"), Some(cluster(&url))).unwrap();
        let state = client.query("up", Utc::now()).await.unwrap_err().state();
        match code {
            403 => assert!(matches!(state, LinkState::Forbidden { resource, .. } if resource == "services/proxy")),
            _ => assert_eq!(state, LinkState::NoRoute),
        }
    }
    let (url, _) = fake(|_| async { std::future::pending().await }).await;
    let client = Client::new(&settings("k8s:mon/prom:9090"), Some(cluster(&url))).unwrap();
    assert_eq!(client.query("up", Utc::now()).await.unwrap_err().state(), LinkState::TimedOut);
    let (url, _) = fake(|_| async { vec![b' '; 100_000].into_response() }).await;
    let small = Settings { body_limit: 50_000, ..settings("k8s:mon/prom:9090") };
    let client = Client::new(&small, Some(cluster(&url))).unwrap();
    assert_eq!(client.query("up", Utc::now()).await.unwrap_err(), Fault::TooLarge { limit: 50_000 });
}

#[tokio::test]
async fn a_probe_knows_prometheus() {
    let (url, _) = always(200, r#"{"status":"success","data":{"version":"3.5.0"}}"#).await;
    let probe = async |url: &str| Client::new(&settings(url), None).unwrap().probe().await;
    assert_eq!(probe(&url).await.unwrap().unwrap(), "3.5.0");
    let (url, _) =
        fake(|s| async move { if s.path == "/-/healthy" { "ok".into_response() } else { StatusCode::NOT_FOUND.into_response() } }).await;
    assert_eq!(probe(&url).await, Ok(None));
    let (url, _) = always(200, "<html>").await;
    assert_eq!(probe(&url).await.unwrap_err().state(), LinkState::Garbage);
}

// The task.

fn target(i: usize) -> Target {
    let (namespace, name) = (format!("ns{}", i % 50), format!("app{i}"));
    let id = Id {
        context: "c".into(),
        namespace: namespace.as_str().into(),
        kind: "Rollout".into(),
        name: name.as_str().into(),
        uid: name.as_str().into(),
    };
    Target {
        id,
        namespace: namespace.into(),
        stable_service: Some(format!("{name}-stable").into()),
        canary_service: Some(format!("{name}-canary").into()),
        stable_workload: None,
        canary_workload: None,
        ingresses: Vec::new(),
        new_hash: Some("new1".into()),
        old_hash: Some("old1".into()),
        in_flight: true,
        name: name.into(),
    }
}

/// Traffic of `app0`: nine parts of ten to the stable Service, no errors anywhere.
fn istio(seen: &Seen) -> String {
    let query = seen.query();
    if seen.path.ends_with("buildinfo") {
        return r#"{"status":"success","data":{"version":"3.5.0"}}"#.into();
    }
    let of = |service: &str| format!(r#""destination_service_namespace":"ns0","destination_service_name":"{service}""#);
    let rows = match query {
        q if q.contains("response_code") => vec![],
        q if q.contains("histogram_quantile") => vec![(of("app0-stable"), "250"), (of("app0-canary"), "NaN")],
        _ => vec![(of("app0-stable"), "9"), (of("app0-canary"), "1")],
    };
    match seen.form.get("start") {
        None => vector(&rows),
        Some(start) => matrix(&rows, start, &seen.form["step"]),
    }
}

fn vector(rows: &[(String, &str)]) -> String {
    let rows: Vec<String> = rows.iter().map(|(l, v)| format!(r#"{{"metric":{{{l}}},"value":[1,"{v}"]}}"#)).collect();
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#, rows.join(","))
}

fn matrix(rows: &[(String, &str)], start: &str, step: &str) -> String {
    let (start, step): (f64, f64) = (start.parse().unwrap(), step.parse().unwrap());
    let rows: Vec<String> =
        rows.iter().map(|(l, v)| format!(r#"{{"metric":{{{l}}},"values":[[{start},"{v}"],[{},"{v}"]]}}"#, start + step)).collect();
    format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{}]}}}}"#, rows.join(","))
}

/// A running sampler with its ends in the test's hands.
struct Bench {
    targets: watch::Sender<Arc<Vec<Target>>>,
    focus: watch::Sender<Option<Focus>>,
    rx: mpsc::Receiver<Msg>,
    client: Client,
}

fn bench(settings: Settings, count: usize) -> Bench {
    let (targets, targets_rx) = watch::channel(Arc::new((0..count).map(target).collect::<Vec<_>>()));
    let (focus, focus_rx) = watch::channel(None);
    let (tx, rx) = mpsc::channel(64);
    let client = Client::new(&settings, None).unwrap();
    tokio::spawn(run(client.clone(), settings, targets_rx, focus_rx, tx));
    Bench { targets, focus, rx, client }
}

impl Bench {
    async fn next<T>(&mut self, pick: impl Fn(Body) -> Option<T>) -> T {
        let wait = async {
            loop {
                if let Some(found) = pick(self.rx.recv().await.unwrap().body) {
                    return found;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(8), wait).await.expect("the message comes in time")
    }

    async fn link(&mut self, want: impl Fn(&Link) -> bool) -> Link {
        self.next(|body| match body {
            Body::Link(Source::Prometheus, link) if want(&link) => Some(link),
            _ => None,
        })
        .await
    }
}

fn metrics(body: Body) -> Option<Vec<(Id, rolltop::model::metrics::RolloutMetrics)>> {
    match body {
        Body::Metrics(all) => Some(all),
        _ => None,
    }
}

#[tokio::test]
async fn a_thousand_rollouts_cost_what_one_costs() {
    let mut queries = Vec::new();
    for count in [1, 1000] {
        let (url, _) = fake(|seen| async move { istio(&seen).into_response() }).await;
        let slow = Settings { interval: Duration::from_secs(3600), ..settings(&url) };
        let mut b = bench(slow, count);
        let all = b.next(metrics).await;
        assert_eq!(all.len(), count);
        let m = &all[0].1;
        assert_eq!((m.old.rate, m.new.rate, m.measured_share), (Reading::Value(9.0), Reading::Value(1.0), Some(0.1)));
        assert_eq!((m.old.errors, m.old.p99, m.new.p99), (Reading::Value(0.0), Reading::Value(0.25), Reading::NotANumber));
        if count > 1 {
            assert_eq!(all[7].1.new.rate, Reading::NoData);
        }
        queries.push(b.client.stats().queries);
    }
    assert_eq!(queries, [6, 6], "one a series and one that counts, however many rollouts");
}

#[tokio::test]
async fn without_rollouts_nothing_is_queried() {
    let (url, log) = fake(|seen| async move { istio(&seen).into_response() }).await;
    let mut b = bench(settings(&url), 0);
    assert_eq!(b.link(|_| true).await.state, LinkState::Connecting);
    let live = b.link(Link::is_live).await;
    assert!(live.heard.is_some() && live.detail.is_empty());
    assert_eq!(b.client.stats().queries, 0);
    assert!(log.lock().unwrap().iter().all(|s| s.path.ends_with("/buildinfo")));
    b.targets.send(Arc::new(vec![target(0)])).unwrap();
    b.next(metrics).await;
    assert_eq!(b.client.stats().queries, 6);
}

#[tokio::test]
async fn opening_a_rollout_fills_its_chart_at_once() {
    let (url, log) = fake(|seen| async move { istio(&seen).into_response() }).await;
    let mut b = bench(Settings { interval: Duration::from_secs(2), profile: ProfileChoice::Istio, ..settings(&url) }, 3);
    b.next(metrics).await;
    let own = vec![("latency".into(), "histogram_quantile(0.9, x)".into())];
    let focus = Focus { id: target(0).id, window: Duration::from_secs(600), points: 60, new_since: None, own };
    b.focus.send(Some(focus)).unwrap();
    let past = b.next(|body| if let Body::Backfill(id, past) = body { Some((id, past)) } else { None }).await;
    assert_eq!(past.0, target(0).id);
    let line = &past.1.history[&(Side::Old, Series::Rate)];
    assert_eq!((line.len(), line[0].1, line[1].1, line[2].1), (61, Some(9.0), Some(9.0), None));
    assert_eq!(past.1.history[&(Side::New, Series::P99)][0].1, None);
    assert_eq!((past.1.own["latency"].len(), past.1.filled_from), (61, Some(line[0].0)));
    let past = |s: &&Seen| s.path.ends_with("query_range") && !s.query().contains("rolltop_count");
    let ranges = || log.lock().unwrap().iter().filter(past).count();
    assert_eq!(ranges(), 6, "five series and one own query");
    let all = b.next(metrics).await;
    assert_eq!(all.iter().find(|(id, _)| *id == target(0).id).unwrap().1.own["latency"].len(), 1);
    b.focus.send_modify(|f| f.as_mut().unwrap().window += Duration::from_millis(100));
    b.next(metrics).await;
    assert_eq!(ranges(), 6, "the past is asked for once, even where the chart's span grows with time");
    b.focus.send_modify(|f| f.as_mut().unwrap().window *= 2);
    b.next(|body| matches!(body, Body::Backfill(..)).then_some(())).await;
    assert_eq!(ranges(), 12, "another span is another chart");
}

#[tokio::test]
async fn a_heavy_series_does_not_take_the_others_along() {
    let (url, _) = fake(|seen| async move {
        if seen.query().contains("0.99") {
            std::future::pending::<()>().await
        }
        istio(&seen).into_response()
    })
    .await;
    let mut b = bench(settings(&url), 1);
    let link = b.link(Link::is_live).await;
    assert!(link.detail.contains("p99: no answer within 600ms") && link.detail.contains("slow"), "{}", link.detail);
    let m = b.next(metrics).await.remove(0).1;
    assert_eq!((m.old.p99, m.old.p95, m.old.rate), (Reading::Unasked, Reading::Value(0.25), Reading::Value(9.0)));
}

#[tokio::test]
async fn a_failing_server_is_left_alone_for_a_while_and_then_found_again() {
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let flag = broken.clone();
    let (url, log) = fake(move |seen| {
        let broken = flag.load(std::sync::atomic::Ordering::Relaxed);
        async move { if broken { StatusCode::BAD_GATEWAY.into_response() } else { istio(&seen).into_response() } }
    })
    .await;
    let mut b = bench(settings(&url), 1);
    let link = b.link(|l| l.state == LinkState::ServerError { code: 502 }).await;
    assert!(link.retry_at.unwrap() > Utc::now() && link.heard.is_none(), "{link:?}");
    let asked = log.lock().unwrap().len();
    b.targets.send(Arc::new(vec![target(0), target(1)])).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(log.lock().unwrap().len(), asked, "new rollouts do not shorten the wait");
    broken.store(false, std::sync::atomic::Ordering::Relaxed);
    let live = b.link(Link::is_live).await;
    assert!(live.retry_at.is_none() && live.synced.is_some());
    assert_eq!(b.next(metrics).await.len(), 2);
}

#[tokio::test]
async fn a_server_without_the_series_is_live_and_has_no_data() {
    let (url, log) =
        fake(|seen| async move { if seen.path.ends_with("buildinfo") { istio(&seen).into_response() } else { EMPTY.into_response() } })
            .await;
    let mut b = bench(settings(&url), 2);
    let link = b.link(Link::is_live).await;
    assert!(link.detail.contains("no series"), "{}", link.detail);
    for (_, m) in b.next(metrics).await {
        assert_eq!((m.old.rate, m.new.p99), (Reading::NoData, Reading::NoData));
    }
    b.next(metrics).await;
    assert!(!log.lock().unwrap().is_empty());
}

#[tokio::test]
async fn warnings_of_partial_answers_are_shown_clean() {
    let (url, _) = fake(|seen| async move {
        let body = istio(&seen);
        body.replacen("{\"status\"", "{\"warnings\":[\"store \\u001b[2Jgone\"],\"status\"", 1).into_response()
    })
    .await;
    let detail = bench(settings(&url), 1).link(Link::is_live).await.detail;
    assert!(detail.contains("warning: store") && !detail.contains('\x1b'), "{detail}");
}

#[tokio::test]
async fn a_dead_receiver_ends_the_task() {
    let (url, _) = always(200, EMPTY).await;
    let settings = settings(&url);
    let (_targets, targets_rx) = watch::channel(Arc::new(vec![target(0)]));
    let (_focus, focus_rx) = watch::channel(None);
    let (tx, rx) = mpsc::channel(1);
    let task = tokio::spawn(run(Client::new(&settings, None).unwrap(), settings, targets_rx, focus_rx, tx));
    drop(rx);
    tokio::time::timeout(Duration::from_secs(2), task).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn a_chart_that_cannot_be_filled_does_not_hurt_the_readings() {
    let (url, log) = fake(|seen| async move {
        if seen.path.ends_with("query_range") {
            return StatusCode::BAD_GATEWAY.into_response();
        }
        istio(&seen).into_response()
    })
    .await;
    let mut b = bench(settings(&url), 1);
    let focus = Focus { id: target(0).id, window: Duration::from_secs(60), points: 60, new_since: None, own: Vec::new() };
    b.focus.send(Some(focus)).unwrap();
    let link = b.link(|l| l.detail.contains("chart")).await;
    assert!(link.is_live(), "{link:?}");
    b.next(metrics).await;
    let ranges = log.lock().unwrap().iter().filter(|s| s.path.ends_with("query_range")).count();
    assert!(ranges <= 10, "{ranges}: it is not asked for at every refresh");
}
