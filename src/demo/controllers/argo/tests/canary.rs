//! Canaries, with a router and without: from the first version to the last step, and every way out.

use serde_json::{Value, json};

use super::play::*;

/// A router canary that waits at its first pause.
fn waiting() -> Play {
    at_first_pause(Play::nginx(steps(), json!({})))
}

fn at_first_pause(mut play: Play) -> Play {
    play.image("v2").wait(3.0);
    assert_eq!(play.phase(), "Paused CanaryPauseStep");
    play.seen();
    play
}

fn timed() -> Value {
    json!([{"setWeight": 25}, {"pause": {"duration": "5s"}}, {"setWeight": 50}, {"pause": {}}])
}

#[test]
fn a_first_version_is_stable_at_once() {
    let mut play = Play::empty();
    play.create(
        "rollouts.argoproj.io",
        json!({
            "metadata": {"name": "x", "namespace": "shop"},
            "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template("v1"), "strategy": {"canary": {"steps": steps()}}},
        }),
    );
    play.wait(3.0);
    let expected = [
        "- unobserved",
        "Progressing more replicas need to be updated @0",
        "Progressing more replicas need to be updated @4",
        "Progressing updated replicas are still becoming available @4",
        "Healthy @4",
    ];
    assert_eq!(play.seen(), expected);
    let status = play.status();
    let read = |field: &str| status[field].to_string();
    assert_eq!((read("replicas"), read("HPAReplicas"), read("selector")), ("1".into(), "1".into(), "\"app=x\"".into()));
    assert_eq!(status["stableRS"], status["currentPodHash"]);
    // The controller wrote what Go cannot leave out, and the size.
    let rollout = play.rollout();
    assert_eq!((&rollout["metadata"]["generation"], &status["observedGeneration"]), (&json!(3), &json!("3")));
    assert_eq!((&rollout["spec"]["replicas"], &rollout["spec"]["template"]["spec"]["containers"][0]["resources"]), (&json!(1), &json!({})));
    let conditions: Vec<&str> = status["conditions"].as_array().unwrap().iter().map(|c| c["type"].as_str().unwrap()).collect();
    assert_eq!(conditions, ["Completed", "Healthy", "Progressing", "Available"]);
}

#[test]
fn without_a_router_pods_are_the_weight() {
    let mut play = Play::canary(steps(), json!({}));
    play.image("v2").wait(3.0);
    let expected = [
        "Healthy @4 unobserved",
        "Progressing more replicas need to be updated @0",
        "Progressing more replicas need to be updated @1",
        "Paused CanaryPauseStep @1",
    ];
    assert_eq!(play.seen(), expected);
    assert_eq!((play.size("v1"), play.size("v2")), (3, 1));
    assert_eq!(
        (play.condition("Progressing").as_str(), play.condition("Paused").as_str()),
        ("Unknown/RolloutPaused", "True/RolloutPaused")
    );
    play.promote().wait(3.0);
    let expected = [
        "Paused CanaryPauseStep @1 unpausing",
        "Progressing more replicas need to be updated @1 unpausing",
        "Progressing more replicas need to be updated @2",
        "Progressing more replicas need to be updated @3",
        "Paused CanaryPauseStep @3",
    ];
    assert_eq!(play.seen(), expected);
    assert_eq!((play.size("v1"), play.size("v2")), (2, 2));
    play.promote().wait(3.0);
    let seen = play.seen();
    assert!(seen.contains(&"Progressing old replicas are pending termination @4".into()), "{seen:?}");
    assert_eq!((seen.last().unwrap().as_str(), play.size("v1"), play.size("v2")), ("Healthy @4", 0, 4));
    let reasons = play.reasons();
    let of_update = reasons.iter().skip_while(|reason| *reason != "RolloutCompleted").skip(1);
    let expected = "RolloutUpdated NewReplicaSetCreated RolloutNotCompleted ScalingReplicaSet ScalingReplicaSet RolloutStepCompleted \
                    RolloutPaused RolloutStepCompleted ScalingReplicaSet ScalingReplicaSet RolloutStepCompleted RolloutStepCompleted \
                    ScalingReplicaSet ScalingReplicaSet ScalingReplicaSet RolloutCompleted";
    assert_eq!(of_update.cloned().collect::<Vec<_>>().join(" "), expected.split_whitespace().collect::<Vec<_>>().join(" "));
    let completed = format!("RolloutCompleted: Rollout completed update to revision 2 ({}): Completed all 4 canary steps", play.hash("v2"));
    assert!(play.events().contains(&completed));
}

#[test]
fn a_router_is_told_when_pods_are_there() {
    let mut play = waiting();
    assert_eq!((play.weight(), play.size("v1"), play.size("v2")), ((25, "25".into()), 4, 1));
    assert_eq!((play.behind("x-s"), play.behind("x-c")), ("v1".into(), "v2".into()));
    let ingress = play.get("ingresses.networking.k8s.io", "x-x-canary");
    assert_eq!(ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"], "x-c");
    assert_eq!(ingress["metadata"]["ownerReferences"][0]["uid"], play.rollout()["metadata"]["uid"]);
    let events = play.events();
    for event in ["Creating canary ingress `x-x-canary` with weight `0`", "Updating Ingress `x-x-canary` to desiredWeight '25'"] {
        assert!(events.iter().any(|told| told.ends_with(event)), "{events:?}");
    }
    play.promote().wait(2.0).promote().wait(2.0);
    assert_eq!((play.phase(), play.weight()), ("Healthy".into(), (0, "0".into())));
    assert_eq!((play.behind("x-s"), play.behind("x-c")), ("v2".into(), "v2".into()));
    let weights = play.status()["canary"]["weights"].clone();
    assert_eq!((&weights["stable"]["weight"], &weights["stable"]["podTemplateHash"]), (&json!(100), &json!(play.hash("v2"))));
    // The old version waits for its deadline, and loses it with its pods.
    assert_eq!((play.size("v1"), play.annotation("v1", "scale-down-deadline").is_empty()), (4, false));
    play.wait(30.0);
    assert_eq!((play.size("v1"), play.annotation("v1", "scale-down-deadline").as_str()), (0, ""));
    assert_eq!(play.condition("Healthy"), "True/RolloutHealthy");
}

#[test]
fn no_weight_goes_to_pods_that_are_not_ready() {
    let mut play = Play::nginx(steps(), json!({}));
    play.broken_image("v2").wait(5.0);
    assert_eq!((play.weight(), play.size("v2")), ((0, "0".into()), 1));
    assert_eq!((play.phase().as_str(), play.behind("x-c").as_str()), ("Progressing more replicas need to be updated", "v1"));
}

#[test]
fn a_second_promotion_before_the_first_is_seen_passes_two_pauses() {
    let two = json!([{"setWeight": 25}, {"pause": {}}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]);
    let mut play = at_first_pause(Play::nginx(two.clone(), json!({})));
    let skip = |play: &mut Play| {
        play.patch_status(json!({"pauseConditions": null, "currentStepIndex": 2}));
    };
    play.promote().wait(0.002);
    skip(&mut play);
    play.wait(2.0);
    assert_eq!((play.phase().as_str(), play.status()["currentStepIndex"].as_i64()), ("Paused CanaryPauseStep", Some(4)));
    // Two bare promotions within that time are one.
    let mut play = at_first_pause(Play::nginx(two, json!({})));
    play.promote().wait(0.002).promote().wait(2.0);
    assert_eq!(play.status()["currentStepIndex"], 2);
}

#[test]
fn a_step_in_progress_can_be_skipped_and_so_can_all() {
    let mut play = Play::nginx(steps(), json!({}));
    play.broken_image("v2").wait(3.0);
    play.patch_status(json!({"pauseConditions": null, "currentStepIndex": 1})).wait(2.0);
    assert_eq!((play.phase().as_str(), play.weight().0), ("Paused CanaryPauseStep", 0));
    let mut play = waiting();
    play.patch_status(json!({"currentStepIndex": 4})).wait(2.0);
    assert_eq!((play.phase().as_str(), play.behind("x-s").as_str()), ("Healthy", "v2"));
}

#[test]
fn an_abort_takes_the_traffic_at_once_and_the_pods_later() {
    let mut play = waiting();
    play.abort().wait(0.5);
    assert_eq!(play.seen(), ["Paused CanaryPauseStep @1 abort", "Degraded RolloutAborted: Rollout aborted update to revision 2 @0 abort"]);
    assert_eq!((play.weight(), play.size("v2")), ((0, "0".into()), 1));
    // What was paused still says so.
    assert_eq!((play.condition("Paused").as_str(), play.condition("Progressing").as_str()), ("True/RolloutPaused", "False/RolloutAborted"));
    assert!(!play.annotation("v2", "scale-down-deadline").is_empty());
    // The canary Service goes back and forth until the canary is gone.
    let before = play.sim.store.revision();
    play.wait(25.0);
    let flaps = play.sim.store.changes_after("services", before).unwrap().count();
    assert!(flaps > 200, "{flaps}");
    play.wait(12.0);
    let before = play.sim.store.revision();
    play.wait(60.0);
    assert_eq!(play.sim.store.changes_after("services", before).unwrap().count(), 0);
    assert_eq!((play.size("v2"), play.behind("x-c")), (0, "v1".into()));
    // An aborted version keeps its deadline.
    assert!(!play.annotation("v2", "scale-down-deadline").is_empty());
    assert!(play.status()["abortedAt"].is_string());

    play.seen();
    play.retry().wait(3.0);
    let expected = [
        "Degraded RolloutAborted: Rollout aborted update to revision 2 @0",
        "Progressing more replicas need to be updated @0",
        "Progressing more replicas need to be updated @1",
        "Paused CanaryPauseStep @1",
    ];
    assert_eq!((play.seen(), play.weight().0, play.size("v2")), (expected.map(str::to_owned).to_vec(), 25, 1));
    assert!(play.status()["abortedAt"].is_null() && play.annotation("v2", "scale-down-deadline").is_empty());
}

#[test]
fn an_abort_without_a_router_takes_the_pods() {
    let mut play = at_first_pause(Play::canary(steps(), json!({})));
    play.abort().wait(2.0);
    assert_eq!((play.size("v1"), play.size("v2")), (4, 0));
    assert_eq!(play.phase(), "Degraded RolloutAborted: Rollout aborted update to revision 2");
    play.patch_status(json!({"currentStepIndex": 1})).wait(1.0);
    assert_eq!((play.status()["currentStepIndex"].as_i64(), play.size("v2")), (Some(0), 0));
}

#[test]
fn a_manual_pause_holds_everything() {
    let mut play = at_first_pause(Play::nginx(timed(), json!({})));
    play.pause(true).wait(20.0);
    assert_eq!(play.seen(), ["Paused CanaryPauseStep @1 unobserved", "Paused manually paused @1"]);
    play.pause(false).wait(0.5);
    assert_eq!(play.seen().last().unwrap(), "Paused CanaryPauseStep @3", "the timed pause was over long ago");
}

#[test]
fn a_timed_pause_ends_by_itself() {
    let mut play = at_first_pause(Play::nginx(timed(), json!({})));
    play.wait(1.0);
    assert_eq!(play.seen(), Vec::<String>::new());
    play.wait(2.0);
    assert_eq!(play.seen().last().unwrap(), "Paused CanaryPauseStep @3");
    assert!(play.reasons().contains(&"RolloutResumed".into()), "the controller took the condition away");
}

#[test]
fn a_new_size_during_a_manual_pause_stops_all_but_the_message() {
    let mut play = waiting();
    play.pause(true).wait(1.0).patch(json!({"spec": {"replicas": 6}})).wait(1.0);
    assert_eq!((play.size("v1"), play.size("v2")), (4, 1));
    play.abort().wait(2.0);
    assert_eq!(play.phase(), "Degraded RolloutAborted: Rollout aborted update to revision 2");
    let status = play.status();
    assert_eq!((play.weight().0, status["currentStepIndex"].as_i64(), play.behind("x-c")), (25, Some(1), "v2".into()));
    assert!(status["abortedAt"].is_string() && status["pauseConditions"].is_array());
    play.pause(false).wait(2.0);
    assert_eq!((play.weight().0, play.size("v1"), play.status()["currentStepIndex"].as_i64()), (0, 6, Some(0)));
}

#[test]
fn an_abort_during_a_manual_pause_moves_traffic_but_no_pods() {
    let mut play = waiting();
    play.pause(true).wait(1.0).abort().wait(1.0);
    assert_eq!((play.weight().0, play.size("v2"), play.annotation("v2", "scale-down-deadline").as_str()), (0, 1, ""));
    play.wait(60.0);
    assert_eq!(play.size("v2"), 1);
    play.pause(false).wait(40.0);
    assert_eq!(play.size("v2"), 0);
}

#[test]
fn a_rollout_that_keeps_itself_busy_slows_down_but_listens() {
    let mut play = waiting();
    play.pause(true).wait(1.0).abort().wait(1.0);
    let changes = |play: &Play, from: u64| play.sim.store.changes_after("services", from).map_or(usize::MAX, Iterator::count);
    let from = play.sim.store.revision();
    play.wait(600.0);
    let from = (changes(&play, from), play.sim.store.revision());
    play.wait(600.0);
    let busy = (from.0, changes(&play, from.1));
    assert!(busy.0 < 1500 && (10..200).contains(&busy.1), "{busy:?}");
    play.patch_status(json!({"abort": false})).wait(0.05);
    assert!(play.phase().starts_with("Paused"), "{}", play.phase());
}

#[test]
fn a_new_size_is_followed_at_a_pause() {
    let mut play = waiting();
    play.patch(json!({"spec": {"replicas": 8}})).wait(2.0);
    assert_eq!((play.size("v1"), play.size("v2"), play.weight().0), (8, 2, 25));
    assert_eq!(
        (play.annotation("v1", "rollout.argoproj.io/desired-replicas"), play.phase()),
        ("8".into(), "Paused CanaryPauseStep".into())
    );
}

#[test]
fn a_full_promotion_goes_to_the_end_and_swallows_an_abort() {
    let mut play = waiting();
    play.promote_fully().wait(2.0);
    assert_eq!((play.phase().as_str(), play.behind("x-s").as_str(), play.size("v2")), ("Healthy", "v2", 4));
    assert!(play.status()["promoteFull"].is_null());
    let why = format!("RolloutCompleted: Rollout completed update to revision 2 ({}): Full promotion requested", play.hash("v2"));
    assert!(play.events().contains(&why));

    let mut play = Play::nginx(steps(), json!({}));
    play.broken_image("v2").wait(2.0).promote_fully().wait(1.0).abort().wait(1.0);
    let status = play.status();
    assert_eq!((&status["promoteFull"], status["abort"].is_null(), play.size("v2")), (&json!(true), true, 4));
    // Both in one write is the emergency stop.
    play.patch_status(json!({"promoteFull": false, "abort": true})).wait(1.0);
    assert_eq!(play.phase(), "Degraded RolloutAborted: Rollout aborted update to revision 2");
}

#[test]
fn a_full_promotion_ships_an_aborted_version() {
    let mut play = waiting();
    play.abort().wait(2.0).promote_fully().wait(2.0);
    assert_eq!((play.phase().as_str(), play.behind("x-s").as_str()), ("Healthy", "v2"));
}

#[test]
fn a_finished_rollout_shrugs_off_actions() {
    let mut play = Play::nginx(steps(), json!({}));
    play.abort().wait(1.0);
    assert_eq!(play.seen(), ["Healthy @4 abort", "Healthy @4"]);
    play.promote_fully().wait(1.0);
    assert_eq!((play.phase().as_str(), play.status()["promoteFull"].is_null()), ("Healthy", true));
}

#[test]
fn back_to_the_stable_version_skips_steps_and_any_other_way_back_does_not() {
    let mut play = waiting();
    play.image("v1").wait(3.0);
    assert_eq!((play.phase().as_str(), play.weight().0, play.size("v2")), ("Healthy", 0, 4 - 3));
    assert!(play.events().contains(&"SkipSteps: Rollback to stable ReplicaSets".into()));
    assert_eq!(play.annotation("v1", "rollout.argoproj.io/revision"), "3");
    assert_eq!(play.annotation("v1", "rollout.argoproj.io/revision-history"), "1");
    assert_eq!(play.rollout()["metadata"]["annotations"]["rollout.argoproj.io/revision"], "3");
    play.image("v2").wait(3.0);
    assert_eq!(
        (play.phase().as_str(), play.annotation("v2", "rollout.argoproj.io/revision-history").as_str()),
        ("Paused CanaryPauseStep", "2")
    );
}

#[test]
fn a_template_read_from_a_replica_set_brings_that_version_back() {
    let mut play = waiting();
    let mut template = play.set("v1")["spec"]["template"].clone();
    template["metadata"]["labels"].as_object_mut().unwrap().remove("rollouts-pod-template-hash");
    play.patch(json!({"spec": {"template": template}})).wait(3.0);
    assert_eq!((play.phase().as_str(), play.tag(play.status()["currentPodHash"].as_str().unwrap()).as_str()), ("Healthy", "v1"));
}

#[test]
fn a_version_in_between_loses_its_pods() {
    let mut play = waiting();
    play.image("v3").wait(3.0);
    assert_eq!((play.size("v1"), play.size("v2"), play.size("v3")), (4, 0, 1));
    assert_eq!((play.behind("x-c").as_str(), play.phase().as_str()), ("v3", "Paused CanaryPauseStep"));
    let first = play.seen();
    assert!(
        first.contains(&"Paused CanaryPauseStep @1 unobserved".into())
            && first.contains(&"Progressing more replicas need to be updated @0".into())
    );
}

#[test]
fn other_steps_begin_at_the_first() {
    let mut play = waiting();
    let other = json!([{"setWeight": 10}, {"setWeight": 60}, {"pause": {}}]);
    play.patch(json!({"spec": {"strategy": {"canary": {"steps": other}}}})).wait(2.0);
    assert_eq!(
        (play.weight().0, play.status()["currentStepIndex"].as_i64(), play.phase().as_str()),
        (60, Some(2), "Paused CanaryPauseStep")
    );
}

#[test]
fn two_bad_versions_leave_the_stable_one_untouched() {
    let mut play = waiting();
    play.abort().wait(2.0).image("v3").wait(2.0).abort().wait(2.0).image("v2").wait(2.0);
    assert_eq!((play.phase().as_str(), play.annotation("v2", "rollout.argoproj.io/revision").as_str()), ("Paused CanaryPauseStep", "4"));
    play.image("v1").wait(2.0);
    assert_eq!((play.phase().as_str(), play.size("v1")), ("Healthy", 4));
}

#[test]
fn no_progress_until_the_deadline_is_degraded_and_aborts_if_asked_to() {
    let deadline = json!({"spec": {"progressDeadlineSeconds": 5}});
    let mut play = Play::nginx(steps(), deadline.clone());
    play.broken_image("v2").wait(4.0);
    assert_eq!(play.phase(), "Progressing more replicas need to be updated");
    play.wait(4.0);
    let message = format!("ReplicaSet \"x-{}\" has timed out progressing.", play.hash("v2"));
    assert_eq!(play.phase(), format!("Degraded ProgressDeadlineExceeded: {message}"));
    // Skipping works even so.
    play.patch_status(json!({"pauseConditions": null, "currentStepIndex": 1})).wait(1.0);
    assert_eq!(play.phase(), "Paused CanaryPauseStep");

    let mut abort = deadline;
    abort["spec"]["progressDeadlineAbort"] = true.into();
    let mut play = Play::nginx(steps(), abort);
    play.broken_image("v2").wait(9.0);
    let message = format!("ReplicaSet \"x-{}\" has timed out progressing.", play.hash("v2"));
    assert_eq!(play.phase(), format!("Degraded RolloutAborted: Rollout aborted update to revision 2: {message}"));
    assert!(play.events().contains(&format!("RolloutAborted: {message}")));
}

#[test]
fn a_pause_is_no_lack_of_progress() {
    let mut play = at_first_pause(Play::nginx(steps(), json!({"spec": {"progressDeadlineSeconds": 5}})));
    play.wait(60.0);
    assert_eq!(play.phase(), "Paused CanaryPauseStep");
}

#[test]
fn within_the_rollback_window_steps_are_skipped() {
    let window = json!({"spec": {"rollbackWindow": {"revisions": 3}}});
    let mut play = at_first_pause(Play::nginx(steps(), window.clone()));
    play.promote_fully().wait(2.0).seen();
    play.image("v1").wait(3.0);
    let seen = play.seen();
    assert!(seen.iter().all(|line| line.contains("@4")), "{seen:?}");
    assert_eq!((play.phase().as_str(), play.behind("x-s").as_str()), ("Healthy", "v1"));
    // So they are without a router, though the old version has to get its pods back first.
    let mut play = at_first_pause(Play::canary(steps(), window));
    play.promote_fully().wait(2.0).seen();
    play.image("v1").wait(3.0);
    assert_eq!((play.phase().as_str(), play.seen().iter().any(|line| line.contains("Paused"))), ("Healthy", false));
}

#[test]
fn a_stable_version_that_shrinks_grows_back_before_its_traffic_does() {
    let dynamic = json!({"spec": {"strategy": {"canary": {"dynamicStableScale": true}}}});
    let shrinking = json!([{"setWeight": 25}, {"pause": {}}, {"setWeight": 75}, {"pause": {}}]);
    let mut play = at_first_pause(Play::nginx(shrinking, dynamic));
    assert_eq!((play.size("v1"), play.size("v2")), (3, 1));
    play.promote().wait(3.0);
    assert_eq!((play.size("v1"), play.size("v2"), play.weight().0), (1, 3, 75));
    let from = play.sim.store.revision();
    play.abort().wait(5.0);
    let weight = |object: &Value| object["status"]["canary"]["weights"]["canary"]["weight"].as_i64();
    let changes = play.sim.store.changes_after("rollouts.argoproj.io", from).unwrap();
    let mut weights: Vec<i64> = changes.filter_map(|change| weight(&change.after.as_ref()?.value())).collect();
    weights.dedup();
    assert_eq!(weights, [75, 25, 0]);
    assert_eq!((play.size("v1"), play.size("v2"), play.behind("x-c").as_str()), (4, 0, "v1"));
}

#[test]
fn a_canary_can_have_other_pods_than_its_weight_needs() {
    let scaled = json!([{"setCanaryScale": {"replicas": 3}}, {"setWeight": 25}, {"pause": {}}, {"setCanaryScale": {"matchTrafficWeight": true}}, {"pause": {}}]);
    let mut play = at_first_pause(Play::nginx(scaled, json!({})));
    assert_eq!((play.size("v2"), play.weight().0), (3, 25));
    play.promote().wait(3.0);
    assert_eq!((play.size("v2"), play.status()["currentStepIndex"].as_i64()), (1, Some(4)));
    assert!(play.events().contains(&"RolloutStepCompleted: Rollout step 1/5 completed (setCanaryScale{replicas: 3})".into()));
}

#[test]
fn enough_pods_are_enough_with_a_threshold() {
    let threshold = json!({"spec": {"strategy": {"canary": {"replicaProgressThreshold": {"type": "Pods", "value": 0}}}}});
    let mut play = Play::nginx(steps(), threshold);
    play.broken_image("v2").wait(3.0);
    assert_eq!((play.phase().as_str(), play.weight().0), ("Paused CanaryPauseStep", 0));
}

#[test]
fn pods_restart_few_at_a_time() {
    let mut play = Play::canary(steps(), json!({"spec": {"strategy": {"canary": {"maxUnavailable": 1}}}}));
    let names = |play: &Play| -> Vec<String> {
        crate::demo::controllers::harness::pods(&play.sim).iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    let before = names(&play);
    let at = crate::demo::registry::stamp(play.sim.now() + std::time::Duration::from_secs(5));
    play.patch(json!({"spec": {"restartAt": at}})).wait(1.0);
    assert_eq!(play.phase(), "Progressing rollout is restarting", "even before anything happens");
    play.wait(3.0);
    assert_eq!(names(&play), before);
    let mut fewest = 4;
    for _ in 0..200 {
        play.wait(0.05);
        fewest = fewest.min(play.status()["availableReplicas"].as_i64().unwrap_or(0));
    }
    play.wait(60.0);
    assert!(before.iter().all(|name| !names(&play).contains(name)) && fewest >= 3, "{fewest}");
    assert_eq!((play.phase().as_str(), &play.status()["restartedAt"]), ("Healthy", &json!(at)));
}

#[test]
fn old_versions_are_deleted_beyond_the_limit() {
    let mut play = Play::canary(json!([]), json!({"spec": {"revisionHistoryLimit": 1}}));
    for tag in ["v2", "v3", "v4"] {
        play.image(tag).wait(3.0);
    }
    assert_eq!((play.set("v1"), play.set("v2")), (Value::Null, Value::Null));
    assert_eq!((play.size("v3"), play.size("v4"), play.phase().as_str()), (0, 4, "Healthy"));
    assert!(play.status()["currentStepIndex"].is_null());
}

#[test]
fn new_pods_must_stay_ready_for_a_while() {
    let mut play = Play::canary(json!([{"setWeight": 50}]), json!({"spec": {"minReadySeconds": 4}}));
    play.wait(5.0).image("v2").wait(3.0);
    assert_eq!(play.phase(), "Progressing more replicas need to be updated");
    assert_eq!(play.set("v2")["spec"]["minReadySeconds"], 4);
    play.wait(12.0);
    assert_eq!(play.phase(), "Healthy");
}

#[test]
fn what_is_missing_is_named_and_waited_for() {
    let mut play = Play::empty();
    let canary = json!({
        "steps": steps(), "canaryService": "x-c", "stableService": "x-s", "trafficRouting": {"nginx": {"stableIngress": "x"}},
    });
    play.create("rollouts.argoproj.io", rollout(json!({ "canary": canary })));
    play.wait(2.0);
    let invalid = |what: &str| format!("Degraded InvalidSpec: The Rollout \"x\" is invalid: spec.strategy.canary.{what}");
    assert_eq!(play.phase(), invalid("stableService: Invalid value: \"x-s\": service \"x-s\" not found"));
    assert_eq!(play.status()["observedGeneration"], "1");
    play.create("services", service("x-s"));
    play.create("services", service("x-c"));
    play.wait(12.0);
    let missing = "trafficRouting.nginx.stableIngress: Invalid value: \"x\": ingress.networking.k8s.io \"x\" not found";
    assert_eq!(play.phase(), invalid(missing));
    play.create("ingresses.networking.k8s.io", ingress());
    play.wait(12.0);
    assert_eq!((play.phase().as_str(), play.condition("InvalidSpec").as_str()), ("Healthy", ""));
}

#[test]
fn a_deleted_rollout_lets_its_services_go() {
    let mut play = waiting();
    play.delete("rollouts.argoproj.io", "x");
    play.wait(2.0);
    assert_eq!((play.behind("x-s").as_str(), play.get("services", "x-s")["spec"]["selector"].clone()), ("", json!({"app": "x"})));
    assert!(play.reasons().contains(&"RolloutDeleted".into()));
}

#[test]
fn pods_wear_what_their_role_asks_for() {
    let clothes = json!({"spec": {"strategy": {"canary": {
        "canaryMetadata": {"labels": {"role": "canary"}}, "stableMetadata": {"labels": {"role": "stable"}},
    }}}});
    let mut play = at_first_pause(Play::nginx(steps(), clothes));
    let roles = |play: &Play, tag: &str| -> Vec<String> {
        let hash = play.hash(tag);
        let mut pods = crate::demo::controllers::harness::pods(&play.sim);
        pods.retain(|pod| pod["metadata"]["labels"]["rollouts-pod-template-hash"] == hash.as_str());
        let mut roles: Vec<String> =
            pods.iter().map(|pod| pod["metadata"]["labels"]["role"].as_str().unwrap_or("none").to_owned()).collect();
        roles.dedup();
        roles
    };
    assert_eq!((roles(&play, "v1"), roles(&play, "v2")), (vec!["stable".into()], vec!["canary".into()]));
    assert_eq!(play.annotation("v2", "rollout.argoproj.io/ephemeral-metadata"), r#"{"labels":{"role":"canary"}}"#);
    play.promote_fully().wait(3.0);
    assert_eq!((roles(&play, "v1"), roles(&play, "v2")), (vec!["none".into()], vec!["stable".into()]));
}

#[test]
fn a_workload_gives_the_template_and_can_lose_its_pods() {
    let mut play = Play::empty();
    let deployment = json!({
        "metadata": {"name": "x", "namespace": "shop"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "x"}}, "template": template("v1")},
    });
    play.create("deployments.apps", deployment);
    play.wait(2.0);
    let mut object = rollout(json!({"canary": {"steps": steps()}}));
    let spec = object["spec"].as_object_mut().unwrap();
    ["selector", "template"].iter().for_each(|field| drop(spec.remove(*field)));
    spec.insert("workloadRef".into(), json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "scaleDown": "onsuccess"}));
    play.create("rollouts.argoproj.io", object);
    play.wait(3.0);
    assert_eq!((play.phase().as_str(), &play.get("deployments.apps", "x")["spec"]["replicas"]), ("Healthy", &json!(0)));
    let observed = |play: &Play| {
        let noted = play.rollout()["metadata"]["annotations"]["rollout.argoproj.io/workload-generation"].clone();
        (noted, play.status()["workloadObservedGeneration"].clone())
    };
    let generation = play.get("deployments.apps", "x")["metadata"]["generation"].to_string();
    assert_eq!(observed(&play), (json!(generation), json!(generation)));
    assert!(play.rollout()["spec"]["template"].is_null() && play.rollout()["spec"]["selector"].is_null());
    let patch = json!({"spec": {"template": template("v2")}});
    crate::demo::controllers::harness::patch(&mut play.sim, "deployments.apps", "x", &patch);
    play.seen();
    play.wait(0.015);
    assert_eq!((play.phase().as_str(), observed(&play).0 == observed(&play).1), ("Healthy", false), "noted before it is acted on");
    play.wait(3.0);
    assert_eq!((play.phase().as_str(), play.status()["updatedReplicas"].as_i64()), ("Paused CanaryPauseStep", Some(1)));
}
