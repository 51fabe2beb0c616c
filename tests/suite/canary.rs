//! The main job: a canary seen, promoted step by step, aborted, retried, undone.

use std::time::Duration;

use serde_json::json;

use crate::{
    cluster::{Canary, Rig},
    suite::app::{PATIENCE, Start},
};

#[tokio::test]
async fn promote_ends_exactly_one_pause_each_time_until_healthy() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("canary").await;
    let fx = rig.fixtures(&ns);
    fx.canary("checkout", Canary::nginx()).await;
    fx.wait_phase("checkout", "Healthy").await;
    fx.set_image("checkout", "v2").await;
    fx.wait_phase("checkout", "Paused").await;

    let app = Start::new(rig, &ns).run();
    app.shows(&["checkout", "25%"]);
    app.press("\r");
    app.shows(&["Traffic", "Steps", "25"]);
    let mark = rig.audit().mark();
    app.press("p");
    app.shows(&["Promote", "accepted"]);
    app.confirm();
    fx.wait_for("checkout", |r| r["status"]["currentStepIndex"] == 3, PATIENCE).await;
    assert_eq!(fx.ingress_weight("checkout").await, Some(50));
    app.shows(&["50"]);
    let writes = rig.audit().since(mark).namespace(&ns).by("oncall").writes();
    assert_eq!(writes.len(), 1, "one action, one write: {writes:?}");

    // The controller stands at the second pause now; nothing was skipped.
    let status = fx.status("checkout").await;
    assert_eq!(status["pauseConditions"][0]["reason"], "CanaryPauseStep");

    // The tracker says so and goes away.
    app.done();
    app.press("p");
    app.shows(&["Promote", "accepted"]);
    app.confirm();
    fx.wait_phase("checkout", "Healthy").await;
    app.shows(&["HEALTHY"]);

    let attempts = app.journaled("attempt");
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0]["identity"], "oncall");
    assert_eq!(app.journaled("outcome").iter().filter(|o| o["outcome"] == "accepted").count(), 2);
}

#[tokio::test]
async fn the_whole_way_fits_80_by_24() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("small").await;
    let fx = rig.fixtures(&ns);
    fx.canary("checkout", Canary::nginx()).await;
    fx.wait_phase("checkout", "Healthy").await;
    fx.set_image("checkout", "v2").await;
    fx.wait_phase("checkout", "Paused").await;
    let app = Start::new(rig, &ns).size(80, 24).run();
    app.shows(&["checkout", "25%"]);
    app.press("\rp");
    let card = app.shows(&["Promote", "accepted", "esc"]);
    assert_eq!(card.lines().count(), 24);
    app.confirm();
    fx.wait_for("checkout", |r| r["status"]["currentStepIndex"] == 3, PATIENCE).await;
}

#[tokio::test]
async fn abort_retry_and_undo_after_two_bad_revisions() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("undo").await;
    let fx = rig.fixtures(&ns);
    fx.canary("checkout", Canary::nginx()).await;
    fx.wait_phase("checkout", "Healthy").await;
    let stable = fx.status("checkout").await["stableRS"].as_str().unwrap().to_owned();
    fx.set_image("checkout", "bad1").await;
    fx.wait_phase("checkout", "Paused").await;

    let app = Start::new(rig, &ns).args(["-n", &ns, "checkout"]).run();
    app.shows(&["Traffic", "25"]);
    app.press("a");
    app.shows(&["Abort", "accepted"]);
    app.confirm();
    fx.wait_phase("checkout", "Degraded").await;
    assert_eq!(fx.ingress_weight("checkout").await, Some(0));
    app.shows(&["ABORTED"]);
    app.done();

    // Retry starts again at the first step.
    app.press("r");
    app.shows(&["Retry", "accepted"]);
    app.confirm();
    fx.wait_phase("checkout", "Paused").await;
    assert_eq!(fx.ingress_weight("checkout").await, Some(25));

    // A second bad version on top: undo still goes to the stable one, not to the last.
    fx.set_image("checkout", "bad2").await;
    fx.wait_for(
        "checkout",
        |r| r["status"]["phase"] == "Paused" && r["spec"]["template"]["metadata"]["labels"]["version"] == "bad2",
        PATIENCE,
    )
    .await;
    app.shows(&["app:bad2", "WAITING"]);
    app.done();
    app.press("u");
    // More than one revision to go back to: the stable one comes first.
    app.shows(&["· stable ·", "· old ·"]);
    app.press("\r");
    app.shows(&["Undo", "accepted"]);
    app.confirm();
    fx.wait_for("checkout", |r| r["status"]["phase"] == "Healthy" && r["status"]["currentPodHash"] == stable.as_str(), PATIENCE).await;
}

#[tokio::test]
async fn pause_and_resume_are_two_verbs_and_neither_skips() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("pause").await;
    let fx = rig.fixtures(&ns);
    fx.canary("checkout", Canary::nginx()).await;
    fx.wait_phase("checkout", "Healthy").await;
    fx.set_image("checkout", "v2").await;
    fx.wait_phase("checkout", "Paused").await;
    let app = Start::new(rig, &ns).args(["-n", &ns, "checkout"]).run();
    app.shows(&["Traffic", "25"]);
    app.press(" ");
    app.shows(&["Pause", "accepted"]);
    app.confirm();
    fx.wait_for("checkout", |r| r["spec"]["paused"] == true, PATIENCE).await;
    app.done();
    app.press(" ");
    app.shows(&["Resume", "accepted"]);
    app.confirm();
    let after = fx.wait_for("checkout", |r| r["spec"]["paused"] != true, PATIENCE).await;
    assert_eq!(after["status"]["currentStepIndex"], 1);
    assert_eq!(fx.ingress_weight("checkout").await, Some(25));
}

#[tokio::test]
async fn a_timed_pause_counts_down_and_set_image_begins_a_release() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("timed").await;
    let fx = rig.fixtures(&ns);
    let steps = json!([{"setWeight": 25}, {"pause": {"duration": "90s"}}, {"setWeight": 50}, {"pause": {}}]);
    fx.canary("cart", Canary::default().steps(steps)).await;
    fx.wait_phase("cart", "Healthy").await;
    let app = Start::new(rig, &ns).args(["-n", &ns, "cart"]).run();
    app.shows(&["Traffic", "HEALTHY"]);
    app.press("i");
    app.shows(&["v1"]);
    // The prompt holds the present image: change its tag.
    app.press("\x7f2\r");
    app.shows(&["v2", "accepted"]);
    app.confirm();
    let rollout = fx.wait_phase("cart", "Paused").await;
    assert!(rollout["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().ends_with(":v2"));
    app.shows(&["PAUSED", "pause 1m30s"]);
    app.term.wait_for(|s| s.contains("1:2") || s.contains("1:1"), Duration::from_secs(20)).unwrap_or_else(|s| panic!("no countdown\n{s}"));
}

#[tokio::test]
async fn a_full_promotion_of_an_aborted_rollout_asks_harder() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("full").await;
    let fx = rig.fixtures(&ns);
    fx.canary("checkout", Canary::nginx()).await;
    fx.wait_phase("checkout", "Healthy").await;
    fx.set_image("checkout", "v2").await;
    fx.wait_phase("checkout", "Paused").await;
    fx.patch_status("checkout", &json!({"status": {"abort": true}})).await;
    fx.wait_phase("checkout", "Degraded").await;
    let app = Start::new(rig, &ns).args(["-n", &ns, "checkout"]).run();
    app.shows(&["ABORTED"]);
    let mark = rig.audit().mark();
    app.press("P");
    app.shows(&["accepted", "override"]);
    std::thread::sleep(Duration::from_millis(700));
    app.press("y");
    std::thread::sleep(Duration::from_millis(500));
    assert!(rig.audit().since(mark).namespace(&ns).by("oncall").writes().is_empty(), "y alone is not enough");
    app.press("o");
    app.confirm();
    fx.wait_phase("checkout", "Healthy").await;
}
