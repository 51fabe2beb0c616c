//! The embedded Prometheus gives the answers of the real one, to the same questions about the same samples.
//!
//! Samples are written to both, or scraped by the real one and copied from it. Then both are asked over HTTP, and their
//! answers must agree: values within a billionth, labels, empties, errors and remarks.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "promql/compare.rs"]
mod compare;
#[path = "promql/data.rs"]
mod data;
#[path = "promql/generated.rs"]
mod generated;
#[path = "promql/native.rs"]
mod native;
#[path = "promql/product.rs"]
mod product;
#[path = "promql/queries.rs"]
mod queries;
#[path = "promql/real.rs"]
mod real;
#[path = "promql/scraped.rs"]
mod scraped;

use std::{sync::Arc, time::Duration};

use compare::{Ask, Both};
use data::Moments;
use real::Real;
use rolltop::{
    demo::prometheus::{Sample, Tsdb, router},
    model::Time,
};

/// Scrapes nothing: everything is written.
const IDLE: &str = "global: {scrape_interval: 1m}\n";

fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

fn time(millis: i64) -> Time {
    Time::from_timestamp_millis(millis).unwrap()
}

/// Serves an embedded Prometheus with these samples; returns its address.
async fn serve(moments: &Moments) -> String {
    let tsdb = Tsdb::new(Duration::from_secs(7_200));
    moments.iter().for_each(|(at, samples)| tsdb.append(time(*at), samples.clone()));
    serve_tsdb(Arc::new(tsdb)).await
}

async fn serve_tsdb(tsdb: Arc<Tsdb>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = router(tsdb, Arc::new(|| time(now())));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// Both with the same samples, written; and the time of the last.
async fn written() -> Option<(Both, i64)> {
    let program = real::program()?;
    let last = now() / 15_000 * 15_000;
    let moments = data::all(last);
    let real = Real::start(&program, IDLE).await;
    for (at, samples) in &moments {
        real.write(*at, samples).await;
    }
    Some((Both::new(real, serve(&moments).await), last))
}

/// Moments that matter: a scrape, just before and after one, when series have ended or are too old.
fn instants(last: i64) -> [i64; 5] {
    [last, last - 1, last - 450_000 + 7_000, last - 1_200_000, last + 299_999]
}

fn ranges(last: i64) -> [(i64, i64, i64); 3] {
    [(last - 600_000, last, 30_000), (last - 2_400_000, last - 30_000, 300_000), (last - 40_000, last + 400_000, 7_000)]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_has_the_same_answers() {
    let Some((mut both, last)) = written().await else { return };
    for query in queries::QUERIES.iter().chain(queries::INSTANT) {
        for at in instants(last) {
            both.ask(&Ask::instant(query, at)).await;
        }
    }
    for query in queries::QUERIES {
        for (start, end, step) in ranges(last) {
            both.ask(&Ask::range(query, start, end, step)).await;
        }
    }
    for query in queries::REFUSED {
        both.ask_refused(&Ask::instant(query, last)).await;
    }
    for query in queries::INSTANT.iter().filter(|query| !query.contains('(') && !query.contains('@')) {
        both.ask_refused(&Ask::range(query, last - 60_000, last, 15_000)).await;
    }
    both.have_answers(2_000);
    both.finish(3_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn random_queries_have_the_same_answers() {
    let Some((mut both, last)) = written().await else { return };
    let seed = std::env::var("PROMQL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    let count = std::env::var("PROMQL_COUNT").ok().and_then(|count| count.parse().ok()).unwrap_or(600);
    both.note(format!("PROMQL_SEED={seed}"));
    let mut rng = fastrand::Rng::with_seed(seed);
    for index in 0..count {
        let query = generated::query(&mut rng);
        let (start, end, step) = ranges(last)[rng.usize(0..3)];
        let at = instants(last)[rng.usize(0..5)];
        let ask = if index % 3 == 0 { Ask::range(&query, start, end, step) } else { Ask::instant(&query, at) };
        both.ask(&ask).await;
    }
    both.have_answers(count / 3);
    both.finish(count);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_product_has_the_same_answer() {
    let Some((mut both, last)) = written().await else { return };
    let queries = product::queries();
    for query in &queries {
        for at in [last, last - 600_000] {
            both.ask(&Ask::instant(query, at)).await;
        }
        both.ask(&Ask::range(query, last - 1_800_000, last, 30_000)).await;
    }
    both.have_answers(queries.len());
    both.finish(queries.len() * 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_the_api_answers_alike() {
    let Some((mut both, last)) = written().await else { return };
    let seconds = |millis: i64| format!("{}", millis as f64 / 1_000.0);
    let (early, late) = (seconds(last - 60_000), seconds(last));
    for (path, params) in [
        ("series", vec![("match[]", "left")]),
        ("series", vec![("match[]", "left"), ("match[]", "right{a=\"1\"}"), ("match[]", "left{a=\"1\"}")]),
        ("series", vec![("match[]", "{a=\"1\"}"), ("start", early.as_str()), ("end", late.as_str())]),
        ("series", vec![("match[]", "nothing")]),
        ("series", vec![("match[]", "{a=~\".*\"}")]),
        ("series", vec![("match[]", "rate(left[5m])")]),
        ("series", vec![]),
        ("labels", vec![]),
        ("labels", vec![("match[]", "left")]),
        ("labels", vec![("match[]", "left"), ("match[]", "build_info")]),
        ("labels", vec![("start", "nonsense")]),
        ("labels", vec![("limit", "2")]),
        ("labels", vec![("limit", "-2")]),
        ("label/a/values", vec![]),
        ("label/__name__/values", vec![]),
        ("label/__name__/values", vec![("match[]", "{a=\"1\"}")]),
        ("label/case/values", vec![("match[]", "odd_total{zone=\"a\"}"), ("limit", "1")]),
        ("label/nothing/values", vec![]),
        ("query", vec![("query", "left"), ("time", "2026-01-01T00:00:00Z")]),
        ("query", vec![("query", "1"), ("time", "1700000000.123")]),
        ("query", vec![("query", "1"), ("time", "-5.25")]),
        ("query", vec![("query", "1"), ("time", "nonsense")]),
        ("query", vec![("query", "1"), ("timeout", "10s"), ("time", "1")]),
        ("query", vec![("query", "1"), ("timeout", "nonsense"), ("time", "1")]),
        ("query", vec![("query", "1"), ("limit", "x"), ("time", "1")]),
        ("query", vec![("query", "left"), ("time", late.as_str()), ("lookback_delta", "1s")]),
        ("query", vec![("query", "left offset 10s"), ("time", late.as_str()), ("lookback_delta", "6s")]),
        ("query", vec![("query", "left"), ("time", late.as_str()), ("lookback_delta", "x")]),
        ("query", vec![("time", "1")]),
        ("query_range", vec![("query", "left"), ("start", early.as_str()), ("end", late.as_str()), ("step", "15s")]),
        ("query_range", vec![("query", "left"), ("start", early.as_str()), ("end", late.as_str()), ("step", "0.015m")]),
        ("query_range", vec![("query", "left"), ("start", early.as_str()), ("end", late.as_str()), ("step", "1m30s")]),
        ("query_range", vec![("query", "left"), ("start", early.as_str()), ("end", late.as_str()), ("step", "30s1m")]),
        ("query_range", vec![("query", "left"), ("start", early.as_str()), ("end", late.as_str()), ("step", "0")]),
        ("query_range", vec![("query", "left"), ("start", early.as_str()), ("end", late.as_str()), ("step", "-1")]),
        ("query_range", vec![("query", "left"), ("start", early.as_str()), ("end", late.as_str()), ("step", "0.005")]),
        ("query_range", vec![("query", "left"), ("start", late.as_str()), ("end", early.as_str()), ("step", "1")]),
        ("query_range", vec![("query", "left"), ("end", late.as_str()), ("step", "1")]),
        ("query_range", vec![("query", "left"), ("start", early.as_str()), ("end", late.as_str())]),
        ("query_range", vec![("query", "left[5m]"), ("start", early.as_str()), ("end", late.as_str()), ("step", "15")]),
        ("query_range", vec![("query", "left"), ("start", "0"), ("end", late.as_str()), ("step", "15")]),
        ("rules", vec![]),
        ("alerts", vec![]),
    ] {
        both.ask(&Ask::path(&format!("/api/v1/{path}"), &params)).await;
    }
    both.plain("/-/healthy").await;
    both.plain("/-/ready").await;
    both.plain("/api/v1/nonsense").await;
    both.finish(40);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_scraped_ends_and_fails_alike() {
    let Some(program) = real::program() else { return };
    let (mut both, asks) = scraped::scenario(&program).await;
    let count = asks.len();
    for ask in asks {
        both.ask(&ask).await;
    }
    both.finish(count);
}
