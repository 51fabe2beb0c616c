//! Blue-green: before the switch, after it, and the ways back.

use serde_json::json;

use super::play::*;

/// A new version that waits for its promotion.
fn waiting(settings: serde_json::Value) -> Play {
    let mut play = Play::blue_green(settings, json!({}));
    play.image("v2").wait(2.0);
    assert_eq!(play.phase(), "Paused BlueGreenPause");
    play.seen();
    play
}

fn behind(play: &Play) -> (String, String) {
    (play.behind("x-a"), play.behind("x-p"))
}

fn services(active: &str, preview: &str) -> (String, String) {
    (active.into(), preview.into())
}

#[test]
fn a_first_version_is_active_at_once() {
    let play = Play::blue_green(json!({}), json!({}));
    assert_eq!((play.phase().as_str(), behind(&play)), ("Healthy", services("v1", "v1")));
    let service = play.get("services", "x-a");
    assert_eq!(service["metadata"]["annotations"]["argo-rollouts.argoproj.io/managed-by-rollouts"], "x");
    assert_eq!(play.status()["selector"], format!("app=x,rollouts-pod-template-hash={}", play.hash("v1")));
}

#[test]
fn a_person_promotes_and_the_old_version_waits() {
    let mut play = Play::blue_green(json!({}), json!({}));
    play.image("v2").wait(2.0);
    let expected = [
        "Healthy unobserved",
        "Progressing more replicas need to be updated",
        "Progressing active service cutover pending",
        "Paused BlueGreenPause",
    ];
    assert_eq!((play.seen(), behind(&play)), (expected.map(str::to_owned).to_vec(), services("v1", "v2")));
    // Counts are of the version that serves.
    let status = play.status();
    let counts = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "HPAReplicas"].map(|field| status[field].as_i64());
    assert_eq!(counts, [Some(8), Some(4), Some(4), Some(4), Some(4)]);
    play.promote().wait(1.0);
    assert_eq!((play.phase().as_str(), behind(&play), play.size("v1")), ("Healthy", services("v2", "v2"), 4));
    play.wait(40.0);
    assert_eq!(play.size("v1"), 0);
}

#[test]
fn time_promotes_if_it_may() {
    let mut play = Play::blue_green(json!({"autoPromotionEnabled": true, "autoPromotionSeconds": 10}), json!({}));
    play.image("v2").wait(9.0);
    assert_eq!((play.phase().as_str(), play.behind("x-a").as_str()), ("Paused BlueGreenPause", "v1"));
    play.wait(4.0);
    assert_eq!((play.phase().as_str(), play.behind("x-a").as_str()), ("Healthy", "v2"));
    let mut play = Play::blue_green(json!({"autoPromotionEnabled": true}), json!({}));
    play.image("v2").wait(2.0);
    assert!(play.phase() == "Healthy" && !play.reasons().contains(&"RolloutPaused".into()));
}

#[test]
fn a_small_preview_grows_before_the_switch() {
    let mut play = waiting(json!({"previewReplicaCount": 1}));
    assert_eq!((play.size("v2"), play.size("v1")), (1, 4));
    let from = play.sim.store.revision();
    play.promote().wait(2.0);
    let mut changes = play.sim.store.changes_after("rollouts.argoproj.io", from).unwrap();
    assert!(changes.any(|change| change.after.as_ref().unwrap().value()["status"]["blueGreen"]["scaleUpPreviewCheckPoint"] == true));
    assert_eq!((play.phase().as_str(), play.behind("x-a").as_str(), play.size("v2")), ("Healthy", "v2", 4));
    assert!(play.status()["blueGreen"]["scaleUpPreviewCheckPoint"].is_null());
}

#[test]
fn an_abort_before_the_switch_only_sets_a_deadline() {
    let mut play = waiting(json!({"abortScaleDownDelaySeconds": 5}));
    play.abort().wait(1.0);
    assert_eq!(play.phase(), "Degraded RolloutAborted: Rollout aborted update to revision 2");
    assert_eq!((behind(&play), play.size("v2")), (services("v1", "v2"), 4));
    assert!(play.status()["currentStepIndex"].is_null());
    play.wait(6.0);
    assert_eq!((behind(&play), play.size("v2")), (services("v1", "v2"), 0));
    play.retry().wait(2.0);
    assert_eq!((play.phase().as_str(), play.size("v2")), ("Paused BlueGreenPause", 4));
}

#[test]
fn a_deadline_of_zero_is_none() {
    let mut play = waiting(json!({"abortScaleDownDelaySeconds": 0}));
    play.abort().wait(90.0);
    assert_eq!((play.size("v2"), play.annotation("v2", "scale-down-deadline").as_str()), (4, ""));
}

/// After the switch, with an analysis that takes its time.
fn cut_over(more: serde_json::Value) -> Play {
    let mut play = Play::empty_with_templates();
    let mut settings = json!({
        "activeService": "x-a", "previewService": "x-p", "postPromotionAnalysis": {"templates": [{"templateName": "slow"}]},
        "abortScaleDownDelaySeconds": 5,
    });
    json_patch::merge(&mut settings, &more);
    ["x-a", "x-p"].iter().for_each(|name| drop(play.create("services", service(name))));
    play.create("rollouts.argoproj.io", rollout(json!({ "blueGreen": settings })));
    play.wait(3.0).image("v2").wait(2.0);
    assert_eq!((play.phase().as_str(), behind(&play)), ("Progressing waiting for analysis to complete", services("v2", "v2")));
    assert_eq!(play.tag(play.status()["stableRS"].as_str().unwrap()), "v1");
    play.seen();
    play
}

#[test]
fn an_abort_after_the_switch_switches_back() {
    let mut play = cut_over(json!({}));
    play.abort().wait(1.0);
    assert_eq!((behind(&play), play.size("v1")), (services("v1", "v2"), 4));
    assert_eq!(play.phase(), "Degraded RolloutAborted: Rollout aborted update to revision 2");
    let run = play.get("analysisruns.argoproj.io", &format!("x-{}-2-post", play.hash("v2")));
    assert_eq!((&run["spec"]["terminate"], &run["status"]["phase"]), (&json!(true), &json!("Successful")));
    play.wait(10.0);
    assert_eq!(play.size("v2"), 0);
    // The run that was ended counts as a good one.
    play.retry().wait(3.0);
    assert_eq!((play.phase().as_str(), play.runs().len(), behind(&play)), ("Healthy", 1, services("v2", "v2")));
}

#[test]
fn an_abort_after_the_switch_is_an_outage_if_the_new_version_is_not_ready() {
    let mut play = cut_over(json!({}));
    // Its pods go, and do not come back.
    play.break_pods("v2");
    play.wait(2.0).abort().wait(2.0);
    assert_eq!((play.behind("x-a").as_str(), play.size("v2")), ("v2", 4), "no way back");
    play.wait(6.0);
    assert_eq!((play.behind("x-a").as_str(), play.size("v2")), ("v2", 0), "nobody serves");
    assert_eq!(play.phase(), "Degraded RolloutAborted: Rollout aborted update to revision 2");
    // The way out is the stable template.
    play.image("v1").wait(1.0);
    assert_eq!((play.behind("x-a").as_str(), play.phase().as_str()), ("v1", "Healthy"));
}

#[test]
fn an_abort_after_the_switch_is_an_outage_during_a_manual_pause() {
    let mut play = cut_over(json!({}));
    play.pause(true).wait(1.0).abort().wait(10.0);
    assert_eq!((play.behind("x-a").as_str(), play.size("v2")), ("v2", 0));
    play.pause(false).wait(5.0);
    assert_eq!((play.behind("x-a").as_str(), play.size("v2")), ("v2", 0), "resuming comes too late");
}

#[test]
fn a_good_post_analysis_ends_the_update() {
    let mut play = cut_over(json!({}));
    play.wait(40.0);
    assert_eq!(
        (play.phase().as_str(), &play.status()["blueGreen"]["postPromotionAnalysisRunStatus"]["status"]),
        ("Healthy", &json!("Successful"))
    );
    let told = format!(
        "AnalysisRunSuccessful: PostPromotion Analysis Run 'x-{}-2-post' Status New: 'Successful' Previous: 'Running'",
        play.hash("v2")
    );
    assert!(play.events().contains(&told));
}

#[test]
fn the_way_back_is_short_while_the_old_version_has_pods() {
    let mut play = waiting(json!({"scaleDownDelaySeconds": 20}));
    play.promote().wait(3.0).image("v1").wait(0.5);
    assert_eq!((play.phase().as_str(), behind(&play)), ("Healthy", services("v1", "v1")));
    assert!(play.annotation("v1", "scale-down-deadline").is_empty() && !play.annotation("v2", "scale-down-deadline").is_empty());
    play.wait(25.0).image("v2").wait(3.0);
    assert_eq!(play.phase(), "Paused BlueGreenPause", "no pods, no shortcut");
}

#[test]
fn versions_of_one_second_have_no_order() {
    let mut play = Play::blue_green(json!({"autoPromotionEnabled": true, "scaleDownDelaySeconds": 20}), json!({}));
    // Both are made within one second, so going back from the second to the first is no rollback.
    play.image("v2").wait(0.5).image("v3").wait(0.4);
    play.wait(2.0).patch(json!({"spec": {"strategy": {"blueGreen": {"autoPromotionEnabled": false}}}}));
    play.wait(1.0).image("v2").wait(2.0);
    assert_eq!((play.phase().as_str(), play.behind("x-a").as_str()), ("Paused BlueGreenPause", "v3"));
}

#[test]
fn a_manual_pause_stops_switches_but_not_scaling() {
    let mut play = waiting(json!({}));
    play.pause(true).wait(1.0).patch(json!({"spec": {"replicas": 5}})).wait(2.0);
    assert_eq!((play.size("v1"), play.size("v2"), play.phase().as_str()), (5, 5, "Paused manually paused"));
    play.promote().wait(2.0);
    assert_eq!(play.behind("x-a"), "v1");
    play.promote_fully().wait(1.0);
    assert_eq!(play.behind("x-a"), "v1");
    play.pause(false).wait(1.0);
    assert_eq!((play.behind("x-a").as_str(), play.phase().as_str()), ("v2", "Healthy"));
}

#[test]
fn too_many_waiting_versions_go_down_at_once() {
    let settings = json!({"autoPromotionEnabled": true, "scaleDownDelaySeconds": 60, "scaleDownDelayRevisionLimit": 1});
    let mut play = Play::blue_green(settings, json!({}));
    for tag in ["v2", "v3", "v4"] {
        play.image(tag).wait(3.0);
    }
    assert_eq!(["v1", "v2", "v3", "v4"].map(|tag| play.size(tag)), [0, 0, 4, 4]);
}
