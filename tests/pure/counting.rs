//! What the question for counted requests makes of scraped counters: asked of the embedded Prometheus, which answers as the
//! real one does.

use std::{collections::BTreeMap, time::Duration};

use rolltop::{
    demo::prometheus::{Sample, Tsdb, labels::Labels},
    model::{Id, Text, Time},
    prometheus::{
        Target,
        profile::{Profile, Scope},
    },
};

const STEP: u32 = 5;

fn at(seconds: u32) -> Time {
    Time::from_timestamp(1_800_000_000 + i64::from(seconds), 0).unwrap()
}

fn target() -> Target {
    let text = Text::clean;
    Target {
        id: Id { context: "c".into(), namespace: "shop".into(), kind: "Rollout".into(), name: "cart".into(), uid: "1".into() },
        namespace: text("shop"),
        name: text("cart"),
        stable_service: Some(text("cart-stable")),
        canary_service: Some(text("cart-canary")),
        stable_workload: None,
        canary_workload: None,
        ingresses: Vec::new(),
        new_hash: Some(text("b")),
        old_hash: Some(text("a")),
        in_flight: true,
    }
}

/// A pod's counter of requests with this status, and its histogram's, at a scrape.
fn counter<'a>(pod: &'a str, code: &'a str, more: &[(&'a str, &'a str)], value: f64) -> Vec<Sample> {
    let labels = |name: &'static str, le: Option<&'static str>| {
        let own = [
            ("__name__", name),
            ("reporter", "destination"),
            ("destination_service_namespace", "shop"),
            ("destination_service_name", "cart-canary"),
            ("destination_workload", "cart"),
            ("job", "mesh"),
            ("instance", pod),
            ("pod", pod),
            ("response_code", code),
        ];
        Labels::from_pairs(own.into_iter().chain(more.iter().copied()).chain(le.map(|le| ("le", le))))
    };
    let duration = "istio_request_duration_milliseconds_bucket";
    vec![
        Sample { labels: labels("istio_requests_total", None), value },
        Sample { labels: labels(duration, Some("250")), value },
        Sample { labels: labels(duration, Some("+Inf")), value },
    ]
}

/// What was counted in each step: all, failed, timed.
fn counted(scrapes: &[(u32, Vec<Vec<Sample>>)]) -> BTreeMap<u32, [f64; 3]> {
    let tsdb = Tsdb::new(Duration::from_secs(3_600));
    for (seconds, samples) in scrapes {
        tsdb.scrape(at(*seconds), samples.concat());
    }
    let last = scrapes.last().unwrap().0;
    let question = Profile::Istio.counts(Scope::Fleet(&[target()]), Duration::from_secs(STEP.into()), &[250.0], &[]).unwrap();
    let lines = tsdb.range(&question, at(STEP), at(last + STEP), Duration::from_secs(STEP.into())).unwrap();
    let mut counted: BTreeMap<u32, [f64; 3]> = BTreeMap::new();
    for line in lines {
        let shown = line.labels.to_string();
        let place = [r#""all""#, r#""bad""#, r#"le="+Inf""#].iter().position(|word| shown.contains(word));
        for (millis, value) in line.points {
            let seconds = (millis - at(0).timestamp_millis()) / 1_000;
            if let Some(place) = place {
                counted.entry(seconds as u32).or_default()[place] = value;
            }
        }
    }
    counted
}

#[test]
fn the_first_failure_of_a_pod_counts_though_its_counter_is_new() {
    let ok = |n: f64| counter("p", "200", &[], n);
    let failed = |n: f64| counter("p", "500", &[], n);
    let seen = counted(&[
        (2, vec![ok(50.0)]),
        (7, vec![ok(100.0)]),
        (12, vec![ok(148.0), failed(2.0)]),
        (17, vec![ok(197.0), failed(3.0)]),
        (22, vec![ok(247.0), failed(3.0)]),
    ]);
    assert_eq!(seen[&10], [50.0, 0.0, 50.0]);
    assert_eq!(seen[&15], [50.0, 2.0, 48.0], "of fifty requests two failed, and no counter said so before");
    assert_eq!(seen[&20], [50.0, 1.0, 50.0]);
    assert!(!seen.contains_key(&5), "nobody knows since when a pod counts that is seen for the first time");
}

#[test]
fn what_was_counted_before_anybody_looked_is_not_counted_now() {
    let steady = |n: f64| counter("p", "200", &[], n);
    let old = |ok: f64, failed: f64| [counter("q", "200", &[], ok), counter("q", "500", &[], failed)].concat();
    // A pod that works since yesterday, and that Prometheus only found now.
    let seen = counted(&[
        (2, vec![steady(10.0)]),
        (7, vec![steady(20.0)]),
        (12, vec![steady(30.0), old(9_000.0, 70.0)]),
        (17, vec![steady(40.0), old(9_050.0, 70.0)]),
    ]);
    assert_eq!((seen[&15], seen[&20]), ([10.0, 0.0, 10.0], [60.0, 0.0, 60.0]));
    // One that could not be scraped for a while, alone or with all that it was asked.
    let seen = counted(&[
        (2, vec![steady(10.0), old(9_000.0, 70.0)]),
        (7, vec![steady(20.0), old(9_050.0, 70.0)]),
        (12, vec![steady(30.0)]),
        (17, vec![steady(40.0), old(9_150.0, 71.0)]),
        (22, vec![steady(50.0), counter("q", "200", &[], 9_200.0)]),
        (27, vec![steady(60.0), old(9_250.0, 72.0)]),
    ]);
    let failed: Vec<f64> = seen.values().map(|[_, failed, _]| *failed).collect();
    assert_eq!(failed, [0.0; 5], "{seen:?}");
    assert_eq!(seen[&30], [60.0, 0.0, 60.0]);
}

#[test]
fn a_pod_under_other_labels_has_not_failed_all_at_once() {
    let pod = |role: &'static str, ok: f64, failed: f64| {
        [counter("p", "200", &[("role", role)], ok), counter("p", "500", &[("role", role)], failed)].concat()
    };
    // Controllers relabel the pods of a canary when it becomes stable.
    let seen = counted(&[
        (2, vec![pod("canary", 900.0, 20.0)]),
        (7, vec![pod("canary", 950.0, 21.0)]),
        (12, vec![pod("stable", 1_000.0, 22.0)]),
        (17, vec![pod("stable", 1_050.0, 23.0)]),
    ]);
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [(10, [51.0, 1.0, 51.0]), (20, [51.0, 1.0, 51.0])]);
}
