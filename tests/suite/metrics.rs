//! A canary turns bad: the screen shows it within two scrapes, with Prometheus' own numbers.

use std::time::{Duration, Instant};

use crate::{
    cluster::{Canary, Identity, Profile, Rig},
    suite::app::{PATIENCE, Start, headless},
};

#[tokio::test]
async fn the_error_rate_of_a_bad_canary_shows_with_the_right_number() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("bad").await;
    let fx = rig.fixtures(&ns);
    let workload = format!("{ns}/checkout");
    fx.canary("checkout", Canary::nginx()).await;
    fx.wait_phase("checkout", "Healthy").await;
    rig.traffic().rps(&workload, 400.0);
    fx.set_image("checkout", "v2").await;
    fx.wait_phase("checkout", "Paused").await;
    let app = Start::new(rig, &ns).measured().args(["-n", &ns, "checkout"]).run();
    app.shows(&["Error rate", "Latency", "measured"]);
    app.term.wait_for(|s| s.contains("canary 0") || s.contains("canary <0.1"), PATIENCE).unwrap_or_else(|s| panic!("{s}"));

    rig.traffic().set(&workload, "v2", Profile::failing(0.4));
    let turned = Instant::now();
    // Two scrapes of a second each, the rate window and a refresh: any two-digit share says it.
    app.term
        .wait_for(
            |s| s.lines().any(|l| l.contains("Error rate") && [" 1", " 2", " 3", " 4"].iter().any(|d| l.contains(&format!("canary{d}")))),
            Duration::from_secs(12),
        )
        .unwrap_or_else(|s| panic!("after {:?}\n{s}", turned.elapsed()));

    // Steady now: the number on the screen is Prometheus' own, give or take a refresh.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let share = |bad: &str| format!("sum(rate(nginx_ingress_controller_requests{{namespace=\"{ns}\",canary!=\"\"{bad}}}[5s]))");
    let query = format!("{} / {}", share(",status=~\"5..\""), share(""));
    let answer = rig.query(&query).await.unwrap();
    let truth: f64 = answer[0]["value"][1].as_str().unwrap().parse().unwrap();
    let out = headless(rig, Identity::Viewer, &ns, &["status", "--json", &format!("{ns}/checkout")]);
    let shown: serde_json::Value =
        serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stdout)));
    let canary = shown[0]["tracks"].as_array().unwrap().iter().find(|t| t["role"] == "canary").unwrap().clone();
    let ratio = canary["error_ratio"].as_f64().unwrap();
    assert!((ratio - truth).abs() < 0.05, "shown {ratio}, Prometheus says {truth}");
    let measured = canary["traffic"]["measured"].as_f64().unwrap();
    assert!((measured - 0.25).abs() < 0.08, "{measured}");
    assert!(shown[0]["evidence"]["prometheus_age_seconds"].as_f64().is_some());
}

/// Weights are read from the VirtualService, requests from Istio's names, in a cluster that has both routers.
#[tokio::test]
async fn an_istio_canary_shows_its_routes_weight_and_its_own_requests() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("mesh").await;
    let fx = rig.fixtures(&ns);
    fx.canary("mesh", Canary::istio()).await;
    fx.wait_phase("mesh", "Healthy").await;
    rig.traffic().rps(&format!("{ns}/mesh"), 400.0);
    fx.set_image("mesh", "v2").await;
    fx.wait_phase("mesh", "Paused").await;
    let app = Start::new(rig, &ns).measured().args(["-n", &ns, "mesh"]).run();
    app.shows(&["applied", "istio"]);
    app.term
        .wait_for(|s| s.lines().any(|l| l.contains("measured") && (l.contains("% prom")) && (l.contains(" 2"))), PATIENCE)
        .unwrap_or_else(|s| panic!("{s}"));
}
