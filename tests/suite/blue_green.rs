//! Blue-green: preview, flip, the old pods' countdown, abort before and after the cutover.

use serde_json::json;

use crate::{
    cluster::{BlueGreen, Rig},
    suite::app::{PATIENCE, Start},
};

#[tokio::test]
async fn preview_flip_and_flip_back_while_the_old_pods_live() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("flip").await;
    let fx = rig.fixtures(&ns);
    fx.blue_green("ledger", BlueGreen { strategy: json!({"scaleDownDelaySeconds": 300}), ..BlueGreen::default() }).await;
    fx.wait_phase("ledger", "Healthy").await;
    let blue = fx.selected_hash("ledger").await.unwrap();
    // The controller knows a way back by the ReplicaSets' creation times, which have whole seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    fx.set_image("ledger", "v2").await;
    fx.wait_phase("ledger", "Paused").await;
    let green = fx.selected_hash("ledger-preview").await.unwrap();
    assert_ne!(blue, green);

    let app = Start::new(rig, &ns).args(["-n", &ns, "ledger"]).run();
    app.shows(&["blue-green", "preview"]);
    let mark = rig.audit().mark();
    app.press("f");
    app.shows(&["Flip", "accepted"]);
    app.confirm();
    fx.wait_phase("ledger", "Healthy").await;
    assert_eq!(fx.selected_hash("ledger").await.as_deref(), Some(&*green));
    assert_eq!(rig.audit().since(mark).namespace(&ns).by("oncall").writes().len(), 1);

    // The old pods are kept for five minutes, and the screen counts it down.
    app.shows(&["HEALTHY"]);
    app.done();
    app.shows(&["flip back"]);
    app.press("f");
    app.shows(&["back", "accepted"]);
    app.confirm();
    fx.wait_for("ledger", |r| r["status"]["blueGreen"]["activeSelector"] == blue.as_str(), PATIENCE).await;
}

/// Nobody has moved the selection, and the flipped row is steady now: the same key still means the same rollout.
#[tokio::test]
async fn the_key_that_flipped_in_the_fleet_flips_back_and_not_the_next_row() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("sameflip").await;
    let fx = rig.fixtures(&ns);
    for name in ["ledger", "fx"] {
        fx.blue_green(name, BlueGreen { strategy: json!({"scaleDownDelaySeconds": 300}), ..BlueGreen::default() }).await;
        fx.wait_phase(name, "Healthy").await;
    }
    let (blue, untouched) = (fx.selected_hash("ledger").await.unwrap(), fx.selected_hash("fx").await);
    // Who waits longest stands on top.
    for name in ["ledger", "fx"] {
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        fx.set_image(name, "v2").await;
        fx.wait_phase(name, "Paused").await;
    }
    let app = Start::new(rig, &ns).run();
    app.shows(&["2 wait for you"]);
    app.press("f");
    app.shows(&["Flip", "/ledger", "accepted"]);
    app.confirm();
    fx.wait_phase("ledger", "Healthy").await;
    app.done();
    app.shows(&["1 waits for you", "/ledger", "done", "flip back while the old pods live"]);
    app.press("f");
    app.shows(&["back", "accepted"]);
    app.confirm();
    fx.wait_for("ledger", |r| r["status"]["blueGreen"]["activeSelector"] == blue.as_str(), PATIENCE).await;
    assert_eq!(fx.selected_hash("fx").await, untouched);
}

#[tokio::test]
async fn abort_before_the_cutover_leaves_users_where_they_are() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("bgabort").await;
    let fx = rig.fixtures(&ns);
    fx.blue_green("ledger", BlueGreen::default()).await;
    fx.wait_phase("ledger", "Healthy").await;
    let blue = fx.selected_hash("ledger").await.unwrap();
    fx.set_image("ledger", "v2").await;
    fx.wait_phase("ledger", "Paused").await;
    let app = Start::new(rig, &ns).args(["-n", &ns, "ledger"]).run();
    app.shows(&["blue-green", "preview"]);
    app.press("a");
    app.shows(&["Abort", "accepted"]);
    app.confirm();
    fx.wait_phase("ledger", "Degraded").await;
    assert_eq!(fx.selected_hash("ledger").await, Some(blue));
}

/// With healthy pods an abort after the cutover takes users back at once.
#[tokio::test]
async fn abort_after_the_cutover_with_healthy_pods_switches_back() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("bgback").await;
    let fx = rig.fixtures(&ns);
    fx.prometheus_template("slow", "vector(1)", &json!({"interval": "5s", "count": 100, "successCondition": "result[0] > 0"})).await;
    let post = json!({"autoPromotionEnabled": true, "scaleDownDelaySeconds": 600, "postPromotionAnalysis": {"templates": [{"templateName": "slow"}]}});
    fx.blue_green("ledger", BlueGreen { strategy: post, ..BlueGreen::default() }).await;
    fx.wait_phase("ledger", "Healthy").await;
    let blue = fx.selected_hash("ledger").await.unwrap();
    fx.set_image("ledger", "v2").await;
    fx.wait_for(
        "ledger",
        |r| r["status"]["blueGreen"]["activeSelector"] != blue.as_str() && r["status"]["availableReplicas"] == 3,
        PATIENCE,
    )
    .await;
    let app = Start::new(rig, &ns).args(["-n", &ns, "ledger"]).run();
    app.shows(&["blue-green", "post-promotion"]);
    app.press("a");
    app.shows(&["Abort", "accepted"]);
    app.confirm();
    fx.wait_for("ledger", |r| r["status"]["blueGreen"]["activeSelector"] == blue.as_str(), PATIENCE).await;
    assert_eq!(fx.selected_hash("ledger").await, Some(blue));
}
