//! Lists as OpenKruise Rollouts 0.6.1 left them on a real API server.

use rolltop::{
    engine::Patch,
    intent::Intent,
    model::{Phase as P, Track},
};
use serde_json::Value;

use super::scenes::ENGINE;
use crate::kit::{Scene, list as recorded, ops};

fn list(name: &str) -> Vec<Value> {
    recorded(&format!("kruise/{name}"))
}

fn scene(name: &str) -> Scene {
    Scene::of(ENGINE, &list(name))
}

/// `v2 1/1, pods 1`.
fn side(t: &Track) -> String {
    let version = t.images.first().and_then(|i| i.rsplit_once(':')).map_or("?", |(_, tag)| tag);
    format!("{version} {}/{}, pods {}", t.ready, t.desired, t.pods.len())
}

#[test]
fn what_was_recorded_reads_like_this() {
    let rows: [(&str, P, &str, &[&str]); 9] = [
        ("canary-approval", P::Waiting, "step 2/4 waits for approval", &["v2 2/2, pods 2", "v1 4/4, pods 4"]),
        // The status still names the version before as the stable one.
        ("canary-completed", P::Healthy, "nothing to release", &["v2 4/4, pods 4"]),
        ("canary-rolled-back", P::Healthy, "the last release was rolled back", &["v1 4/4, pods 4"]),
        ("blue-green-approval", P::Waiting, "step 1/2 waits for approval", &["v2 2/2, pods 2", "v1 2/2, pods 2"]),
        ("blue-green-rolled-back", P::Healthy, "the last release was rolled back", &["v1 2/2, pods 2"]),
        ("batches-approval", P::Waiting, "step 1/3 waits for approval", &["v2 1/1, pods 1", "v1 3/3, pods 3"]),
        ("batches-completed", P::Healthy, "nothing to release", &["v2 4/4, pods 4"]),
        ("statefulset-approval", P::Waiting, "step 1/3 waits for approval", &["v2 1/1, pods 1", "? 2/2, pods 2"]),
        ("statefulset-paused", P::Paused, "paused at step 1/3", &["v2 1/1, pods 1", "? 2/2, pods 2"]),
    ];
    for (name, phase, detail, sides) in rows {
        let ro = scene(name).model();
        let seen: Vec<String> = ro.tracks.iter().map(side).collect();
        assert_eq!((ro.phase, &*ro.phase_detail, seen), (phase, detail, sides.iter().map(|s| (*s).to_owned()).collect()), "{name}");
    }
}

/// What its status says of a step is what the plan is for.
#[test]
fn a_promotion_quotes_the_recorded_step() {
    let plan = scene("canary-approval").plan(&Intent::Promote).unwrap();
    let Patch::Json(patch) = &plan.writes[0].patch;
    let quoted = |path: &str| patch.iter().find(|op| op["op"] == "test" && op["path"] == path).map(|op| op["value"].clone());
    assert_eq!(quoted("/status/canaryStatus/currentStepIndex"), Some(2.into()));
    assert_eq!(quoted("/status/canaryStatus/podTemplateHash"), Some("b9fcb9746".into()));
    assert_eq!(ops(&plan), ["add /status/canaryStatus/currentStepState \"StepReady\""]);
}

/// While it is paused its controller looks at no workload: recorded was a template put back, and nothing happening.
#[test]
fn an_abort_ends_the_pause_after_the_template() {
    let mut items = list("canary-approval");
    items[0]["spec"]["strategy"]["paused"] = true.into();
    let plan = Scene::of(ENGINE, &items).plan(&Intent::Abort).unwrap();
    let kinds: Vec<&str> = plan.writes.iter().map(|w| w.resource.kind).collect();
    assert_eq!(kinds, ["Deployment", "Rollout"]);
    let Patch::Json(resume) = &plan.writes[1].patch;
    let tests: Vec<&str> = resume.iter().filter(|o| o["op"] == "test").filter_map(|o| o["path"].as_str()).collect();
    assert_eq!(tests, ["/metadata/uid", "/metadata/generation", "/spec/strategy/paused"]);
    assert_eq!(resume.last().unwrap()["value"], false);
    assert_eq!(scene("canary-approval").plan(&Intent::Abort).unwrap().writes.len(), 1);
}

/// Recorded was a Deployment with the annotation that went back at once all the same.
#[test]
fn only_what_goes_back_in_batches_is_said_to() {
    let said = |name: &str| {
        let mut items = list(name);
        items[0]["metadata"]["annotations"]["rollouts.kruise.io/rollback-in-batch"] = "true".into();
        Scene::of(ENGINE, &items).model().notices.iter().any(|n| n.text.contains("all the steps again"))
    };
    assert_eq!(["statefulset-approval", "batches-approval", "canary-approval"].map(said), [true, false, false]);
}

/// Whoever opens it before its workload was read sees its pods all the same.
#[test]
fn pods_are_watched_with_or_without_the_workload_at_hand() {
    let watched = |items: &[Value]| {
        let scene = Scene::of(ENGINE, items);
        let all = ENGINE.selections(&scene.root, &scene.objects);
        all.iter().map(|s| (s.resource.kind, s.labels.clone())).collect::<Vec<_>>()
    };
    let (items, labels) = (list("canary-approval"), Some("app=brush".to_owned()));
    assert_eq!(watched(&items), [("Event", None), ("ReplicaSet", labels.clone()), ("Pod", labels)]);
    assert_eq!(watched(&items[..1]), [("Event", None), ("ReplicaSet", None), ("Pod", None)]);
}

/// The route is the first thing a rollback takes back: until then users are where the step had put them.
#[test]
fn users_are_where_the_route_still_sends_them() {
    let share = |step: &str| {
        let mut items = list("canary-approval");
        items[0]["status"]["conditions"][0]["reason"] = "Cancelling".into();
        items[0]["status"]["canaryStatus"]["finalisingStep"] = step.into();
        let ro = Scene::of(ENGINE, &items).model();
        (ro.tracks[0].traffic.desired, ro.tracks[0].traffic.applied)
    };
    assert_eq!(share("FinalisingStepRouteTrafficToStable"), (Some(1.0), Some(0.6)));
    assert_eq!(share("ResumeWorkload"), (Some(1.0), Some(1.0)));
}
