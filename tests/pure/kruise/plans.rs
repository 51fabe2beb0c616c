//! What is written: accepted by the state it was made for, refused by the state after.

use rolltop::{
    engine::{Patch, Progress},
    intent::{Intent, Verb as V},
};

use super::scenes::{ENGINE, NAMES, blue_green, items, scene, step, with};
use crate::kit::{Scene, allowed, allows, apply, holds_once, ops};

fn image(image: &str) -> Intent {
    Intent::SetImage { container: "app".into(), image: image.into() }
}

#[test]
fn every_write_of_the_rollout_is_exactly_this_and_holds_once() {
    let state = "add /status/canaryStatus/currentStepState \"StepReady\"";
    let cases = [
        ("approval", Intent::Promote, state, Some("status")),
        ("timed", Intent::Promote, state, Some("status")),
        ("approval", Intent::PromoteFull, "add /status/canaryStatus/nextStepIndex 3", Some("status")),
        ("approval", Intent::Skip, "add /status/canaryStatus/nextStepIndex 3", Some("status")),
        ("approval", Intent::Pause, "add /spec/strategy/paused true", None),
        ("idle", Intent::Pause, "add /spec/strategy/paused true", None),
        ("paused", Intent::Resume, "add /spec/strategy/paused false", None),
    ];
    for (name, intent, wanted, subresource) in cases {
        // A write of the status makes no new generation, so only the values can tell that it was made.
        let (plan, _) = holds_once(ENGINE, &items(name), &intent);
        assert_eq!((ops(&plan), plan.writes[0].subresource), (vec![wanted.to_owned()], subresource), "{name} {intent:?}");
    }
    let first = with(items("approval"), |r| step(r, 1, "StepUpgrade"));
    let (plan, _) = holds_once(ENGINE, &first, &Intent::PromoteFull);
    assert!(plan.sentence.contains("the rest of this one and 1 between are left out"), "{}", plan.sentence);
    let (plan, _) = holds_once(ENGINE, &blue_green(), &Intent::Promote);
    assert_eq!(ops(&plan), ["add /status/blueGreenStatus/currentStepState \"StepReady\""]);
}

#[test]
fn a_promotion_is_for_the_step_that_was_looked_at() {
    let (plan, _) = holds_once(ENGINE, &items("approval"), &Intent::Promote);
    for (index, state) in [(2, "StepPaused"), (1, "StepUpgrade")] {
        let other = with(items("approval"), |r| step(r, index, state));
        assert!(apply(ENGINE, &other, &plan).is_err(), "step {index} {state}");
    }
    let other = with(items("approval"), |r| r["status"]["canaryStatus"]["podTemplateHash"] = "newer".into());
    assert!(apply(ENGINE, &other, &plan).is_err(), "another version at the same step");
}

/// The workload's own patch: the root of the scene stays as it is.
#[test]
fn going_back_and_releasing_are_writes_of_the_workload() {
    let plan = scene("approval").plan(&Intent::Abort).unwrap();
    let write = &plan.writes[0];
    assert_eq!((write.resource.kind, &*write.name, plan.writes.len()), ("Deployment", "web", 1));
    let Patch::Json(patch) = &write.patch;
    let tests: Vec<&str> = patch.iter().filter(|o| o["op"] == "test").map(|o| o["path"].as_str().unwrap()).collect();
    assert_eq!(tests, ["/metadata/uid", "/metadata/generation"]);
    let template = &patch.last().unwrap()["value"];
    assert_eq!(template["spec"]["containers"][0]["image"], "app:v1");
    assert!(template["metadata"]["labels"].get("pod-template-hash").is_none(), "the controller compares without it");
    let plan = scene("idle").plan(&image("app:v9")).unwrap();
    assert_eq!(ops(&plan), ["add /spec/template/spec/containers/0/image \"app:v9\""]);
    assert_eq!(plan.writes[0].resource.kind, "Deployment");
}

#[test]
fn how_far_it_came_is_what_the_controller_says() {
    let promote = scene("approval").plan(&Intent::Promote).unwrap();
    let at = |index, state: &str| Scene::of(ENGINE, &with(items("approval"), |r| step(r, index, state))).progress(&promote);
    assert_eq!(at(1, "StepPaused"), Progress::Nothing);
    assert_eq!(at(1, "StepReady"), Progress::Observed);
    assert_eq!(at(2, "BeforeStepUpgrade"), Progress::Done);
    assert_eq!(scene("idle").progress(&promote), Progress::Done);
    let other = with(items("approval"), |r| r["status"]["canaryStatus"]["canaryRevision"] = "other".into());
    assert!(matches!(Scene::of(ENGINE, &other).progress(&promote), Progress::Diverted(_)));
    let full = scene("approval").plan(&Intent::PromoteFull).unwrap();
    let jumped = |index| Scene::of(ENGINE, &with(items("approval"), |r| step(r, index, "StepUpgrade"))).progress(&full);
    assert_eq!([jumped(2), jumped(3)], [Progress::Nothing, Progress::Done]);
    let abort = scene("approval").plan(&Intent::Abort).unwrap();
    let after = ["approval", "rolling-back", "rolled-back"].map(|name| scene(name).progress(&abort));
    assert_eq!(after, [Progress::Nothing, Progress::Observed, Progress::Done]);
    assert!(matches!(scene("idle").progress(&abort), Progress::Diverted(_)));
}

#[test]
fn what_is_allowed_when() {
    let waits: &[V] = &[V::Promote, V::PromoteFull, V::Skip, V::Pause, V::Abort, V::SetImage];
    let cases: [(&str, &[V]); 13] = [
        ("approval", waits),
        // The next step is the last: there is nothing to leave out.
        ("timed", &[V::Promote, V::Pause, V::Abort, V::SetImage]),
        ("last-step", &[V::Pause, V::Abort, V::SetImage]),
        ("moving", &[V::Pause, V::Abort, V::SetImage]),
        ("paused", &[V::Resume, V::Abort, V::SetImage]),
        ("idle", &[V::Pause, V::SetImage]),
        ("rolled-back", &[V::Pause, V::SetImage]),
        ("rolling-back", &[]),
        ("finalising", &[]),
        ("disabled", &[V::SetImage]),
        ("no-workload", &[]),
        ("unobserved", &[]),
        ("deleting", &[]),
    ];
    allows(scene, &NAMES, &cases);
    assert!(!allowed(&Scene::of(ENGINE, &blue_green())).contains(&V::SetImage), "blue-green takes no third version");
}

#[test]
fn without_the_stable_template_there_is_no_way_back_from_here() {
    let unloaded: Vec<_> = items("approval").into_iter().filter(|i| i["kind"] != "ReplicaSet").collect();
    let refusal = Scene::of(ENGINE, &unloaded).plan(&Intent::Abort).unwrap_err();
    assert!(refusal.reason.contains("not loaded"), "{refusal:?}");
    let set = with(items("approval"), |r| r["spec"]["workloadRef"]["kind"] = "StatefulSet".into());
    assert!(Scene::of(ENGINE, &set).plan(&Intent::Abort).is_err());
}
