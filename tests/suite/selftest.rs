//! The rig judges the product; these judge the rig.

use std::time::Duration;

use serde_json::json;

use crate::cluster::*;

#[tokio::test]
async fn a_canary_pauses_and_its_traffic_is_really_scraped() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("self").await;
    let fx = rig.fixtures(&ns);
    fx.canary("app", Canary::nginx()).await;
    fx.wait_phase("app", "Healthy").await;
    fx.set_image("app", "v2").await;
    fx.wait_phase("app", "Paused").await;
    assert_eq!(fx.ingress_weight("app").await, Some(25));
    rig.traffic().rps(&format!("{ns}/app"), 400.0);
    tokio::time::sleep(Duration::from_secs(12)).await;
    let rate = |canary: &str| format!("sum(rate(nginx_ingress_controller_requests{{namespace=\"{ns}\",canary{canary}\"\"}}[8s]))");
    let share = rig.query(&format!("{} / ({} + {})", rate("!="), rate("!="), rate("="))).await.unwrap();
    let share: f64 = share[0]["value"][1].as_str().unwrap().parse().unwrap();
    assert!((share - 0.25).abs() < 0.08, "{share}");
}

#[tokio::test]
async fn rights_and_audit_tell_identities_apart() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("rights").await;
    let fx = rig.fixtures(&ns);
    fx.canary("app", Canary::default()).await;
    fx.wait_phase("app", "Healthy").await;
    let mark = rig.audit().mark();
    let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{ns}/rollouts/app");
    let refused = rig.api(Identity::Viewer).merge(&path, &json!({"spec": {"paused": true}})).await;
    assert!(api::is_forbidden(&refused));
    assert!(api::is_forbidden(&rig.api(Identity::Nobody).get(&path).await));
    assert!(api::is_forbidden(&rig.api(Identity::Namespaced).get("/apis/argoproj.io/v1alpha1/rollouts").await));
    rig.api(Identity::Oncall).merge(&path, &json!({"spec": {"paused": false}})).await.unwrap();
    let entries = rig.audit().since(mark).namespace(&ns);
    assert_eq!(entries.clone().by("viewer").writes().iter().map(|e| e.code).collect::<Vec<_>>(), [403]);
    assert_eq!(entries.by("oncall").writes().len(), 1);
}

#[test]
fn the_terminal_is_one() {
    let script = "stty size; read x; stty size; echo got $x; exit 3";
    let mut term = term::Program::new("/bin/bash").args(["-c", script]).size(80, 24).start().unwrap();
    term.wait_for(|s| s.contains("24 80"), Duration::from_secs(5)).unwrap();
    term.resize(100, 30);
    term.send("abc\n");
    term.wait_for(|s| s.contains("30 100") && s.contains("got abc"), Duration::from_secs(5)).unwrap();
    assert_eq!(term.exit_code(Duration::from_secs(5)), Some(3));
}
