//! What is shown of a pair.

use rolltop::{
    engine::{Engine, bluegreen::BLUE_GREEN},
    intent::Verb,
    model::{EngineKind, Phase, Role, Severity, Strategy},
    object::Objects,
};
use serde_json::json;

use super::kit::{Scene, flipped, scene, waiting};

fn sides(scene: &Scene) -> Vec<(Role, bool, String, Option<f64>)> {
    let tracks = scene.model().tracks;
    tracks.iter().map(|t| (t.role(), t.is_new, t.hash.to_string(), t.traffic.applied)).collect()
}

#[test]
fn a_ready_new_side_waits_for_a_person() {
    let model = waiting().model();
    assert_eq!((model.engine, model.strategy, model.phase), (EngineKind::BlueGreen, Strategy::BlueGreen, Phase::Waiting));
    assert_eq!(&*model.phase_detail, "green is ready, users are on blue");
    let expected = [(Role::Preview, true, "green".to_owned(), Some(0.0)), (Role::Active, false, "blue".into(), Some(1.0))];
    assert_eq!(sides(&waiting()), expected);
    assert_eq!(model.steps.current, Some(1));
    assert_eq!(model.way_back.action, None);
    assert_eq!(model.wait.map(|w| w.reason.to_string()).as_deref(), Some("someone flips to green"));
}

#[test]
fn after_the_flip_the_old_side_is_the_way_back() {
    let model = flipped().model();
    assert_eq!((model.phase, model.in_flight(), model.steps.current), (Phase::Healthy, false, Some(2)));
    assert_eq!(model.way_back.action, Some(Verb::Flip));
    let gone = flipped().pods("app-blue", 0, 0).model();
    assert_eq!((gone.steps.done(), gone.way_back.action), (true, None));
    assert_eq!(&*gone.way_back.what, "blue has no ready pods: scale it up first, then flip");
}

#[test]
fn the_same_images_are_no_release() {
    let model = scene("before-flip").model();
    assert_eq!((model.phase, model.in_flight(), model.steps.items.len()), (Phase::Healthy, false, 0));
}

#[test]
fn which_side_is_new_and_why() {
    let why = |scene: Scene| {
        let model = scene.model();
        let note = model.notices.iter().find(|n| n.text.contains("counts as the new side")).map(|n| n.text.to_string());
        (model.in_flight(), note.unwrap_or_default())
    };
    let rolled = |at: &str| {
        scene("before-flip")
            .image("app-green", "app:4f2a")
            .with("app-green", |d| d["status"]["conditions"][1]["lastUpdateTime"] = at.into())
    };
    let note = |side: &str, why: &str| format!("{side} counts as the new side: {why}");
    assert_eq!(why(waiting()), (true, note("green", "its image has the higher version")));
    let tenth = scene("before-flip").image("app-blue", "app:v1.9").image("app-green", "app:v1.10");
    assert_eq!(why(tenth), (true, note("green", "its image has the higher version")));
    assert_eq!(why(scene("after-flip").image("app-blue", "app:v2")), (true, note("blue", "its image has the higher version")));
    assert_eq!(why(rolled("2026-11-21T04:00:00Z")), (true, note("green", "its pods were rolled out last")));
    assert_eq!(why(rolled("2026-11-21T03:00:00Z")), (false, note("blue", "its pods were rolled out last")));
    let created = rolled("2026-11-21T03:23:07Z").with("app-green", |d| d["metadata"]["creationTimestamp"] = "2026-11-21T04:00:00Z".into());
    assert_eq!(why(created), (true, note("green", "it was created last")));
    let revision = rolled("2026-11-21T03:23:07Z")
        .with("app-green", |d| d["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "2".into());
    assert_eq!(why(revision), (true, note("green", "it has the higher revision")));
}

#[test]
fn phases() {
    for (scene, phase, words) in [
        (waiting().pods("app-green", 2, 1), Phase::Progressing, "green 1/2 ready"),
        (waiting().pods("app-blue", 2, 0), Phase::Failing, "users are on blue, which has no ready pod"),
        (waiting().pods("app-blue", 2, 1).pods("app-green", 0, 0), Phase::Progressing, "blue 1/2 ready"),
        (waiting().pods("app-green", 0, 0), Phase::Healthy, "users are on blue"),
        (
            waiting().pods("app-green", 2, 1).with("app-green", |d| d["status"]["conditions"][1]["status"] = "False".into()),
            Phase::Failing,
            "green 1/2 ready, past its deadline",
        ),
        (waiting().with("app-green", |d| d["metadata"]["generation"] = 2.into()), Phase::Progressing, "green 2/2 ready"),
    ] {
        let model = scene.model();
        assert_eq!((model.phase, &*model.phase_detail), (phase, words));
    }
    let outage = waiting().pods("app-blue", 2, 0).model();
    assert_eq!(outage.alarm().map(|n| n.severity), Some(Severity::Danger));
}

#[test]
fn pods_of_each_side_stand_under_it_once_open() {
    let set = json!({"kind": "ReplicaSet", "metadata": {"namespace": "shop", "name": "app-green-f577d4c95", "uid": "set",
        "labels": {"app": "app", "color": "green", "pod-template-hash": "f577d4c95"}, "annotations": {"deployment.kubernetes.io/revision": "1"},
        "ownerReferences": [{"kind": "Deployment", "name": "app-green", "uid": "e964f4f3-dd6b-44ba-8827-33fcf625dedc", "controller": true}]}});
    let pod = json!({"kind": "Pod", "metadata": {"namespace": "shop", "name": "app-green-f577d4c95-89fnk", "uid": "pod",
        "ownerReferences": [{"kind": "ReplicaSet", "name": "app-green-f577d4c95", "uid": "set", "controller": true}]},
        "spec": {"containers": [{"name": "app"}]}, "status": {"phase": "Running"}});
    let model = waiting().plus(set).plus(pod).model();
    assert!(model.detailed);
    assert_eq!(model.tracks.iter().map(|t| (&*t.hash, t.pods.len())).collect::<Vec<_>>(), [("f577d4c95", 1), ("blue", 0)]);
    let scene = waiting();
    let labels: Vec<_> = BLUE_GREEN.selections(&scene.root(), &scene.objects()).into_iter().map(|s| s.labels).collect();
    assert_eq!(labels[0].as_deref(), Some("app=app,color in (blue,green)"));
}

#[test]
fn a_side_that_is_gone_is_said_so() {
    let model = BLUE_GREEN.normalise("test", &waiting().root(), &Objects::default());
    assert_eq!((model.phase, model.tracks.len()), (Phase::Unknown, 0));
}

#[test]
fn what_differs_goes_from_old_to_new() {
    for scene in [waiting(), flipped()] {
        let lines = BLUE_GREEN.diff(&scene.model(), &scene.root(), &scene.objects());
        let images: Vec<_> = lines.iter().filter(|c| c.field.ends_with("image")).map(|c| (c.from.to_string(), c.to.to_string())).collect();
        assert_eq!(images, [("app:v1".to_owned(), "app:v2".to_owned())]);
    }
}
