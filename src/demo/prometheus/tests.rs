//! Answers worked out by hand, where no real Prometheus is at hand to compare with.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
};
use serde_json::json;
use tower::ServiceExt;

use super::*;

const NAN: f64 = f64::NAN;

/// Metric, labels and a sample each ten seconds from second 0 on.
type Row = (&'static str, &'static [(&'static str, &'static str)], &'static [f64]);

const SERIES: &[Row] = &[
    ("requests_total", &[("svc", "a"), ("code", "200")], &[0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]),
    ("requests_total", &[("svc", "a"), ("code", "500")], &[0.0, 0.0, 0.0, 2.0, 4.0, 6.0, 8.0]),
    ("requests_total", &[("svc", "b"), ("code", "200")], &[100.0, 120.0, 140.0, 0.0, 20.0, 40.0, 60.0]),
    ("temperature", &[("room", "x")], &[1.0, 5.0, 3.0, -4.0, 3.5, NAN, 2.5]),
    ("temperature", &[("room", "y")], &[7.0, 7.0, STALE]),
    ("pods", &[("svc", "a"), ("zone", "1")], &[2.0; 7]),
    ("pods", &[("svc", "b"), ("zone", "2")], &[4.0; 7]),
    ("latency_bucket", &[("le", "0.1")], &[0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]),
    ("latency_bucket", &[("le", "0.5")], &[0.0, 9.0, 18.0, 27.0, 36.0, 45.0, 54.0]),
    ("latency_bucket", &[("le", "+Inf")], &[0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]),
];

fn at(seconds: i64) -> Time {
    Time::from_timestamp(seconds, 0).unwrap()
}

fn tsdb() -> Tsdb {
    let tsdb = Tsdb::new(Duration::from_secs(3_600));
    for index in 0..7 {
        let present = SERIES.iter().filter_map(|(name, labels, values)| {
            let labels = Labels::from_pairs([("__name__", *name)].into_iter().chain(labels.iter().copied()));
            Some(Sample { labels, value: *values.get(index)? })
        });
        tsdb.append(at(index as i64 * 10), present.collect());
    }
    tsdb
}

/// Labels and value of each series, sorted.
fn shown(value: Value) -> Vec<String> {
    let mut lines = match value {
        Value::Scalar(value) => vec![format::sample(value)],
        Value::String(text) => vec![text],
        Value::Vector(samples) => samples.iter().map(|s| format!("{} {}", s.labels, format::sample(s.value))).collect(),
        Value::Matrix(matrix) => {
            let point = |(at, value): &Point| format!("{}@{}", format::sample(*value), format::timestamp(*at));
            matrix.iter().map(|s| format!("{} {}", s.labels, s.points.iter().map(point).collect::<Vec<_>>().join(" "))).collect()
        }
    };
    lines.sort();
    lines
}

fn instant(query: &str, seconds: i64) -> Vec<String> {
    shown(tsdb().instant(query, at(seconds)).unwrap_or_else(|error| panic!("{query}: {error}")))
}

fn error(query: &str) -> String {
    tsdb().instant(query, at(60)).unwrap_err().to_string()
}

#[test]
fn selectors_look_back_five_minutes_or_to_the_end_of_a_series() {
    assert_eq!(instant("temperature", 15), ["{__name__=\"temperature\", room=\"x\"} 5", "{__name__=\"temperature\", room=\"y\"} 7"]);
    assert_eq!(instant("temperature", 20), ["{__name__=\"temperature\", room=\"x\"} 3"]);
    assert_eq!(instant("pods{zone=\"1\"}", 359), ["{__name__=\"pods\", svc=\"a\", zone=\"1\"} 2"]);
    assert_eq!(instant("pods", 360), [""; 0]);
    assert_eq!(instant("pods offset 301s", 361).len(), 2);
    assert_eq!(instant("pods @ 0", 3_600).len(), 2);
    assert_eq!(instant("{svc=~\"a|x\", __name__!~\"req.*\", zone!=\"\"}", 0).len(), 1);
}

#[test]
fn ranges_have_the_samples_after_their_begin_and_up_to_their_end() {
    assert_eq!(instant("temperature{room=\"x\"}[20s]", 40), ["{__name__=\"temperature\", room=\"x\"} -4@30 3.5@40"]);
    assert_eq!(instant("temperature{room=\"y\"}[1m]", 60), ["{__name__=\"temperature\", room=\"y\"} 7@10"]);
    assert_eq!(instant("sum_over_time(pods{svc=\"a\"}[1m])", 60), ["{svc=\"a\", zone=\"1\"} 12"]);
}

#[test]
fn rates_are_drawn_out_to_the_window() {
    // 50 in 50 s, the first sample 10 s into the window: all 60 s count, but a counter begins at zero.
    assert_eq!(instant("increase(requests_total{svc=\"a\", code=\"200\"}[1m])", 60), ["{code=\"200\", svc=\"a\"} 60"]);
    assert_eq!(
        instant("rate(requests_total{svc=\"a\"}[1m])", 60),
        ["{code=\"200\", svc=\"a\"} 1", "{code=\"500\", svc=\"a\"} 0.13333333333333333"]
    );
    // 20 up, 140 lost in the reset and made up for: 140 - 120 + 0 + 60 = 80 in 50 s.
    assert_eq!(instant("increase(requests_total{svc=\"b\"}[1m])", 60), ["{code=\"200\", svc=\"b\"} 96"]);
    assert_eq!(instant("irate(requests_total{svc=\"b\"}[1m])", 30), ["{code=\"200\", svc=\"b\"} 0"]);
    assert_eq!(instant("resets(requests_total{svc=\"b\"}[1m])", 60), ["{code=\"200\", svc=\"b\"} 1"]);
}

#[test]
fn aggregations_group_by_what_is_asked() {
    assert_eq!(instant("sum by (svc) (requests_total)", 60), ["{svc=\"a\"} 68", "{svc=\"b\"} 60"]);
    assert_eq!(instant("max without (code) (requests_total)", 60), ["{svc=\"a\"} 60", "{svc=\"b\"} 60"]);
    assert_eq!(instant("avg(pods) + count(pods) + min(pods) + group(pods)", 0), ["{} 8"]);
    assert_eq!(instant("stddev(pods)", 0), ["{} 1"]);
    assert_eq!(instant("quantile(0.25, pods)", 0), ["{} 2.5"]);
    assert_eq!(instant("topk(1, pods)", 0), ["{__name__=\"pods\", svc=\"b\", zone=\"2\"} 4"]);
    assert_eq!(instant("count_values(\"n\", pods)", 0), ["{n=\"2\"} 1", "{n=\"4\"} 1"]);
    assert_eq!(error("topk(NaN, pods)"), "Parameter value is NaN");
}

#[test]
fn operators_match_series_by_their_labels() {
    assert_eq!(instant("sum by (svc) (requests_total) / on (svc) pods", 60), ["{svc=\"a\"} 34", "{svc=\"b\"} 15"]);
    let grouped = "requests_total{code=\"200\"} * on (svc) group_left (zone) pods";
    assert_eq!(instant(grouped, 60), ["{code=\"200\", svc=\"a\", zone=\"1\"} 120", "{code=\"200\", svc=\"b\", zone=\"2\"} 240"]);
    assert_eq!(instant("pods > 3", 0), ["{__name__=\"pods\", svc=\"b\", zone=\"2\"} 4"]);
    assert_eq!(instant("3 < bool pods", 0), ["{svc=\"a\", zone=\"1\"} 0", "{svc=\"b\", zone=\"2\"} 1"]);
    assert_eq!(instant("pods and on (svc) requests_total{code=\"500\"}", 60), ["{__name__=\"pods\", svc=\"a\", zone=\"1\"} 2"]);
    assert_eq!(instant("sum(nothing) or vector(0)", 0), ["{} 0"]);
    assert_eq!(instant("pods unless pods{svc=\"a\"}", 0).len(), 1);
    assert_eq!(instant("-pods{svc=\"a\"} ^ 2 % 3", 0), ["{svc=\"a\", zone=\"1\"} -1"]);
    assert_eq!(instant("1 / 0 - 0 / 0", 0), ["NaN"]);
    let many = error("pods * on (svc) requests_total");
    assert!(
        many.starts_with("found duplicate series for the match group {svc=\"a\"} on the right hand-side of the operation: ["),
        "{many}"
    );
    assert!(many.ends_with("];many-to-many matching not allowed: matching labels must be unique on one side"), "{many}");
    let left = error("requests_total * on (svc) pods");
    assert_eq!(left, "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)");
}

#[test]
fn names_go_where_the_metric_becomes_another() {
    assert_eq!(instant("last_over_time(pods{svc=\"a\"}[1m])", 0), ["{__name__=\"pods\", svc=\"a\", zone=\"1\"} 2"]);
    assert_eq!(instant("abs(temperature{room=\"x\"})", 30), ["{room=\"x\"} 4"]);
    assert_eq!(
        error(
            "label_replace(pods, \"svc\", \"s\", \"\", \"\") * 0 and label_replace(label_replace(pods, \"svc\", \"\", \"\", \"\"), \"zone\", \"\", \"\", \"\")"
        ),
        "vector cannot contain metrics with the same labelset"
    );
}

#[test]
fn histograms_have_quantiles() {
    // Of 50 in the window 25 are within 0.1 and 45 within 0.5; the 40th lies three quarters between.
    assert_eq!(instant("histogram_quantile(0.8, rate(latency_bucket[1m]))", 60), ["{} 0.4"]);
    assert_eq!(instant("histogram_quantile(0.99, latency_bucket)", 60), ["{} 0.5"]);
    assert_eq!(instant("histogram_quantile(0.9, pods)", 60), [""; 0]);
    assert_eq!(instant("histogram_fraction(0, 0.1, latency_bucket)", 60), ["{} 0.5"]);
}

#[test]
fn what_is_missing_can_be_asked_for() {
    assert_eq!(instant("absent(nothing{svc=\"a\", zone=~\"1\"})", 0), ["{svc=\"a\"} 1"]);
    assert_eq!(instant("absent(pods)", 0), [""; 0]);
    assert_eq!(instant("absent_over_time(temperature{room=\"y\"}[10s])", 30), ["{room=\"y\"} 1"]);
    assert_eq!(instant("scalar(pods{svc=\"a\"}) + scalar(pods)", 0), ["NaN"]);
}

#[test]
fn times_and_dates() {
    assert_eq!(instant("time()", 60), ["60"]);
    assert_eq!(instant("timestamp(pods{svc=\"a\"})", 15), ["{svc=\"a\", zone=\"1\"} 10"]);
    // 31 December 1999, 23:59, a Friday.
    assert_eq!(instant("year() * 1e4 + month() * 100 + day_of_month()", 946_684_740), ["{} 19991231"]);
    assert_eq!(instant("day_of_week() * 1e4 + hour() * 100 + minute()", 946_684_740), ["{} 52359"]);
    assert_eq!(instant("day_of_year() + days_in_month(vector(951696000))", 946_684_740), ["{} 394"]);
}

#[test]
fn subqueries_have_steps_of_their_own() {
    assert_eq!(instant("max_over_time(sum(pods)[30s:10s])", 60), ["{} 6"]);
    assert_eq!(instant("sum(requests_total{svc=\"a\"})[20s:10s]", 65), ["{} 56@50 68@60"]);
    assert_eq!(instant("count_over_time(pods{svc=\"a\"}[2m:])", 60), ["{svc=\"a\", zone=\"1\"} 2"]);
}

#[test]
fn a_range_is_an_instant_at_every_step() {
    let matrix = tsdb().range("sum by (svc) (requests_total{svc=\"a\"}) > 30", at(10), at(65), Duration::from_secs(15)).unwrap();
    assert_eq!(shown(Value::Matrix(matrix)), ["{svc=\"a\"} 44@40 56@55"]);
    let matrix = tsdb().range("pods{svc=\"a\"} @ end() * 0 + time()", at(0), at(20), Duration::from_secs(10)).unwrap();
    assert_eq!(shown(Value::Matrix(matrix)), ["{svc=\"a\", zone=\"1\"} 0@0 10@10 20@20"]);
    let refused = tsdb().range("pods[1m]", at(0), at(20), Duration::from_secs(10)).unwrap_err();
    assert!(matches!(refused, Error::BadData(_)), "{refused}");
}

#[test]
fn a_query_that_would_take_too_much_is_given_up() {
    let many = "sum_over_time(vector(1)[2h:1ms])";
    assert_eq!(error(many), "query processing would load too many samples into memory in query execution");
    let long = "count_over_time(count_over_time(vector(1)[1m:1ms])[1m:1ms])";
    assert_eq!(tsdb().instant(long, at(60)), Err(Error::Timeout));
}

#[test]
fn the_longest_and_deepest_queries_fit_the_stack() {
    let deep = format!("{}pods{}{}", "abs(".repeat(60), ")".repeat(60), " or pods".repeat(100));
    assert_eq!(instant(&deep, 60).len(), 2);
    let right = format!("{}1", "1 - (1 ^ ".repeat(50)) + &")".repeat(50);
    assert_eq!(instant(&right, 60), ["1"]);
}

async fn ask(request: Request<Body>) -> (StatusCode, String) {
    let answer = router(Arc::new(tsdb()), Arc::new(|| at(60))).oneshot(request).await.unwrap();
    let status = answer.status();
    (status, String::from_utf8(to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap())
}

async fn get(path: &str) -> (StatusCode, String) {
    ask(Request::get(path).body(Body::empty()).unwrap()).await
}

async fn post(path: &str, form: &'static str) -> (StatusCode, String) {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    ask(request.body(Body::from(form)).unwrap()).await
}

#[tokio::test]
async fn answers_are_written_as_prometheus_writes_them() {
    let body = |text: &str| (StatusCode::OK, text.to_owned());
    assert_eq!(
        get("/api/v1/query?query=pods%7Bzone%3D%221%22%7D%2F0&time=0.5").await,
        body(r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"svc":"a","zone":"1"},"value":[0.500,"+Inf"]}]}}"#)
    );
    assert_eq!(
        post("/api/v1/query", "query=1e-7").await,
        body(r#"{"status":"success","data":{"resultType":"scalar","result":[60,"1e-07"]}}"#)
    );
    assert_eq!(
        post("/api/v1/query_range?step=30", "query=sum(pods)&start=0&end=60").await,
        body(r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[0,"6"],[30,"6"],[60,"6"]]}]}}"#)
    );
    assert_eq!(
        get("/api/v1/query?query=rate(temperature%7Broom%3D%22x%22%7D%5B1m%5D)").await.1,
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"room":"x"},"value":[60,"0.11"]}]},"infos":["PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"temperature\""]}"#
    );
    assert_eq!(get("/api/v1/label/zone/values").await, body(r#"{"data":["1","2"],"status":"success"}"#));
    assert_eq!(
        get("/api/v1/series?match[]=pods&limit=1").await,
        body(r#"{"data":[{"__name__":"pods","svc":"a","zone":"1"}],"status":"success","warnings":["results truncated due to limit"]}"#)
    );
    let version: serde_json::Value = serde_json::from_str(&get("/api/v1/status/buildinfo").await.1).unwrap();
    assert_eq!(version["data"]["version"], "3.15.0");
    assert_eq!(get("/-/healthy").await, body("Prometheus Server is Healthy.\n"));
}

#[tokio::test]
async fn errors_are_told_as_prometheus_tells_them() {
    for (path, status, kind, text) in [
        ("query?query=pods*on(svc)requests_total", 422, "execution", "found duplicate series"),
        (
            "query?query=mad_over_time(pods[5m])",
            400,
            "bad_data",
            "invalid parameter \"query\": parse error: function \"mad_over_time\" is not enabled",
        ),
        (
            "query?query=1&time=x",
            400,
            "bad_data",
            "invalid parameter \"time\": invalid time value for 'time': cannot parse \"x\" to a valid timestamp",
        ),
        ("query_range?query=1&start=0&end=1&step=0", 400, "bad_data", "invalid parameter \"step\": zero or negative query resolution step"),
        ("query_range?query=1&start=0&end=110010&step=10", 400, "bad_data", "exceeded maximum resolution of 11,000 points per timeseries."),
        (
            "query_range?query=1&start=2&end=1&step=1",
            400,
            "bad_data",
            "invalid parameter \"end\": end timestamp must not be before start time",
        ),
        ("series", 400, "bad_data", "no match[] parameter provided"),
    ] {
        let (code, body) = get(&format!("/api/v1/{path}")).await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((code.as_u16(), &body["status"], &body["errorType"]), (status, &json!("error"), &json!(kind)), "{path}: {body}");
        assert!(body["error"].as_str().unwrap().starts_with(text), "{path}: {body}");
    }
    assert_eq!(get("/api/v1/nonsense").await.0, StatusCode::NOT_FOUND);
}
