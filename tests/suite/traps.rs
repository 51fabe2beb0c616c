//! States in which the obvious action makes it worse: refused, with the better way offered.

use serde_json::json;

use crate::{
    cluster::{BlueGreen, Canary, Pods, Rig},
    suite::app::{PATIENCE, Start},
};

/// Abort after the cutover with an unready new side would end in an active Service without endpoints.
#[tokio::test]
async fn blue_green_abort_after_cutover_with_broken_pods_is_refused_and_undo_works() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("trapbg").await;
    let fx = rig.fixtures(&ns);
    let query = "vector(1)";
    fx.prometheus_template("slow", query, &json!({"interval": "5s", "count": 100, "successCondition": "result[0] > 0"})).await;
    let post = json!({"autoPromotionEnabled": true, "scaleDownDelaySeconds": 600, "postPromotionAnalysis": {"templates": [{"templateName": "slow"}]}});
    fx.blue_green("ledger", BlueGreen { strategy: post, ..BlueGreen::default() }).await;
    fx.wait_phase("ledger", "Healthy").await;
    let blue = fx.selected_hash("ledger").await.unwrap();
    fx.set_image("ledger", "v2").await;
    let green = fx.wait_for("ledger", |r| r["status"]["blueGreen"]["activeSelector"] != blue.as_str(), PATIENCE).await;
    let green = green["status"]["blueGreen"]["activeSelector"].as_str().unwrap().to_owned();
    // The new pods break after users are on them.
    for pod in fx.pods("ledger").await.iter().filter(|p| p["metadata"]["labels"]["rollouts-pod-template-hash"] == green.as_str()) {
        let path = format!("/api/v1/namespaces/{ns}/pods/{}", pod["metadata"]["name"].as_str().unwrap());
        fx.api()
            .merge(&format!("{path}/status"), &json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}))
            .await
            .unwrap();
    }
    fx.wait_for("ledger", |r| r["status"]["availableReplicas"].as_i64().unwrap_or(0) < 3, PATIENCE).await;

    let app = Start::new(rig, &ns).args(["-n", &ns, "ledger"]).run();
    app.shows(&["blue-green"]);
    let mark = rig.audit().mark();
    app.press("a");
    app.shows(&["nothing was sent", "ndo"]);
    app.escape();
    app.loses(&["nothing was sent"]);
    assert!(rig.audit().since(mark).namespace(&ns).by("oncall").writes().is_empty());
    app.press("u");
    app.shows(&["accepted"]);
    app.confirm();
    fx.wait_for("ledger", |r| r["status"]["blueGreen"]["activeSelector"] == blue.as_str(), PATIENCE).await;
    assert_eq!(fx.selected_hash("ledger").await, Some(blue));
}

/// An abort during a manual pause must also end the pause, or the weight may stay.
#[tokio::test]
async fn abort_while_manually_paused_really_takes_the_traffic_back() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("trappause").await;
    let fx = rig.fixtures(&ns);
    fx.canary("checkout", Canary::nginx()).await;
    fx.wait_phase("checkout", "Healthy").await;
    fx.set_image("checkout", "v2").await;
    fx.wait_phase("checkout", "Paused").await;
    fx.patch_rollout("checkout", &json!({"spec": {"paused": true, "replicas": 6}})).await;
    fx.wait_for("checkout", |r| r["status"]["message"] == "manually paused", PATIENCE).await;
    let app = Start::new(rig, &ns).args(["-n", &ns, "checkout"]).run();
    app.shows(&["Traffic", "25"]);
    app.press("a");
    app.shows(&["Abort", "accepted"]);
    app.confirm();
    fx.wait_phase("checkout", "Degraded").await;
    fx.wait_for("checkout", |r| r["spec"]["paused"] != true && r["status"]["canary"]["weights"]["canary"]["weight"] == 0, PATIENCE).await;
    assert_eq!(fx.ingress_weight("checkout").await, Some(0));
}

/// A plain abort is swallowed while a full promotion runs: both fields must go in one write.
#[tokio::test]
async fn abort_during_a_full_promotion_is_not_swallowed() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("trapfull").await;
    let fx = rig.fixtures(&ns);
    fx.canary("checkout", Canary::nginx()).await;
    fx.wait_phase("checkout", "Healthy").await;
    fx.release("checkout", "v2", Pods::Never).await;
    fx.wait_for("checkout", |r| r["status"]["updatedReplicas"].as_i64().unwrap_or(0) > 0, PATIENCE).await;
    fx.patch_status("checkout", &json!({"status": {"promoteFull": true}})).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let app = Start::new(rig, &ns).args(["-n", &ns, "checkout"]).run();
    app.shows(&["Traffic", "checkout"]);
    app.press("a");
    app.shows(&["Abort", "accepted"]);
    app.confirm();
    fx.wait_phase("checkout", "Degraded").await;
    assert_ne!(fx.status("checkout").await["promoteFull"], true);
}

/// Ending this pause only makes the controller start the experiment anew, for ever.
#[tokio::test]
async fn an_inconclusive_experiment_is_skipped_not_promoted() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("trapexp").await;
    let fx = rig.fixtures(&ns);
    fx.prometheus_template(
        "vague",
        "vector(1)",
        &json!({"interval": "1s", "count": 1, "successCondition": "result[0] > 2", "failureCondition": "result[0] < 0"}),
    )
    .await;
    let experiment = json!({"templates": [{"name": "a", "specRef": "canary", "replicas": 1}], "analyses": [{"name": "vague", "templateName": "vague", "requiredForCompletion": true}]});
    fx.canary("checkout", Canary::nginx().steps(json!([{"setWeight": 25}, {"experiment": experiment}, {"pause": {}}]))).await;
    fx.wait_phase("checkout", "Healthy").await;
    fx.set_image("checkout", "v2").await;
    fx.wait_for("checkout", |r| r["status"]["pauseConditions"][0]["reason"] == "InconclusiveExperiment", PATIENCE).await;
    let app = Start::new(rig, &ns).args(["-n", &ns, "checkout"]).run();
    app.shows(&["Traffic", "25"]);
    app.press("p");
    app.shows(&["nothing was sent", "kip"]);
    app.escape();
    app.press(":skip\r");
    app.shows(&["Skip", "accepted"]);
    app.confirm();
    fx.wait_for(
        "checkout",
        |r| r["status"]["currentStepIndex"] == 2 && r["status"]["pauseConditions"][0]["reason"] == "CanaryPauseStep",
        PATIENCE,
    )
    .await;
}
