//! What a person must read from each scene.

use rolltop::{
    engine::survey::survey,
    intent::Verb,
    model::{EngineKind, Phase as P, Role, Strategy, WaitFor as W},
};
use serde_json::json;

use super::scenes::{ENGINE, NAMES, blue_green, items, scene, step, with};
use crate::kit::{Scene, never_panics, reads_like, shares_add_up};

/// Scene; phase; who is waited for; part of the detail; the way back; what happens next; the new side's weight.
type Case = (&'static str, P, Option<W>, &'static str, Option<Verb>, &'static str, Option<f64>);

const CASES: &[Case] = &[
    ("approval", P::Waiting, Some(W::Human), "step 1/3 waits", Some(Verb::Abort), "promotes; then weight 60 %", Some(0.2)),
    ("timed", P::Paused, Some(W::Timer), "step 2/3 pauses", Some(Verb::Abort), "100 % of the pods", Some(0.6)),
    ("last-step", P::Progressing, Some(W::Controller), "step 3/3: done", Some(Verb::Abort), "by itself", None),
    ("moving", P::Progressing, Some(W::Pods), "step 2/3: new pods come", Some(Verb::Abort), "by itself", Some(0.2)),
    ("paused", P::Paused, Some(W::Human), "paused at step 1/3", Some(Verb::Abort), "resumes", Some(0.2)),
    ("idle", P::Healthy, None, "nothing to release", None, "nothing", None),
    ("rolled-back", P::Healthy, None, "was rolled back", None, "nothing", None),
    ("rolling-back", P::Progressing, Some(W::Controller), "rolling back", None, "old version", None),
    ("finalising", P::Progressing, Some(W::Controller), "cleaning up", None, "stable one", Some(0.2)),
    ("disabled", P::Paused, None, "disabled", None, "nothing", None),
    ("no-workload", P::Stuck, Some(W::Human), "not there", None, "until the workload exists", None),
    ("unobserved", P::Progressing, Some(W::Controller), "to be observed", None, "newest change", Some(0.2)),
    ("deleting", P::Progressing, Some(W::Controller), "being deleted", None, "removed", Some(0.2)),
];

#[test]
fn every_scene_reads_like_this() {
    for (name, phase, wait, detail, back, next, weight) in CASES {
        let ro = scene(name).model();
        reads_like(name, &ro, (*phase, *wait, detail, *back, next));
        assert_eq!((ro.strategy, ro.engine), (Strategy::Canary, EngineKind::Kruise), "{name}");
        assert_eq!(ro.new_side().and_then(|t| t.traffic.applied), *weight, "{name}");
        let applied: f64 = ro.tracks.iter().filter_map(|t| t.traffic.applied).sum();
        assert!(weight.is_none() || (applied - 1.0).abs() < 1e-9, "{name}: {:?}", ro.tracks);
        shares_add_up(&ro);
    }
    assert_eq!(CASES.iter().map(|c| c.0).collect::<Vec<_>>(), NAMES);
}

#[test]
fn a_clock_says_when() {
    let ro = scene("timed").model();
    assert_eq!(ro.next.at.map(|t| t.to_rfc3339()), Some("2026-11-21T03:30:00+00:00".into()));
    assert_eq!(ro.wait.and_then(|w| w.until), ro.next.at);
}

#[test]
fn sides_and_services_are_those_of_the_release() {
    let ro = scene("approval").model();
    let (new, old) = (ro.new_side().unwrap(), ro.old_side().unwrap());
    assert_eq!((&*new.hash, new.role(), new.desired, new.ready, &*new.images[0]), ("new", Role::Canary, 1, 1, "app:v2"));
    assert_eq!((&*old.hash, old.role(), old.desired, old.ready, &*old.images[0]), ("old", Role::Stable, 4, 4, "app:v1"));
    assert_eq!(ro.router.as_deref(), Some("nginx"));
    assert_eq!((ro.subject.stable_service.as_deref(), ro.subject.canary_service.as_deref()), (Some("web"), Some("web-canary")));
    let bg = Scene::of(ENGINE, &blue_green()).model();
    assert_eq!((bg.strategy, bg.phase), (Strategy::BlueGreen, P::Waiting), "{}", bg.phase_detail);
    let (new, old) = (bg.new_side().unwrap(), bg.old_side().unwrap());
    assert_eq!((new.role(), new.ready, old.desired), (Role::Preview, 1, 5), "its pods come beside");
}

#[test]
fn what_is_taken_back_is_in_flight_while_its_pods_go() {
    let back = |pods: u32| {
        let items = with(blue_green(), |r| {
            let all = r["status"]["conditions"].as_array_mut().unwrap();
            all.iter_mut().find(|c| c["type"] == "Progressing").unwrap()["reason"] = "Cancelling".into();
            r["status"]["blueGreenStatus"]["updatedReplicas"] = pods.into();
        });
        Scene::of(ENGINE, &items).model()
    };
    let going = back(2);
    assert!(going.in_flight() && going.phase == P::Progressing, "{}", going.phase_detail);
    let new = going.new_side().unwrap();
    assert_eq!((new.role(), new.desired, new.current), (Role::Preview, 0, 2));
    assert!(!back(0).in_flight());
}

#[test]
fn steps_are_what_they_set_and_their_pauses() {
    let at = |name: &str| {
        let steps = scene(name).model().steps;
        (steps.items.iter().map(|s| s.label.to_string()).collect::<Vec<_>>(), steps.current)
    };
    let labels = ["weight 20 %, 20 % of the pods, then approval", "weight 60 %, 60 % of the pods, pause 600 s", "100 % of the pods"];
    assert_eq!(at("approval"), (labels.map(String::from).to_vec(), Some(0)));
    assert_eq!([at("moving").1, at("timed").1, at("last-step").1, at("idle").1], [Some(1), Some(1), Some(2), None]);
    // One count, the controller's own: in words and in the list.
    for name in ["approval", "timed", "moving", "paused"] {
        let ro = scene(name).model();
        let at = format!("step {}/{}", ro.steps.current.unwrap() + 1, ro.steps.items.len());
        assert!(ro.phase_detail.contains(&at), "{}: {at}", ro.phase_detail);
    }
    let done = Scene::of(ENGINE, &with(items("approval"), |r| step(r, 3, "Completed"))).model();
    assert!(done.steps.done());
}

/// The Deployment is the Rollout's, and Argo's kind of the same name is not.
#[test]
fn its_workload_is_shown_once() {
    let all = items("approval");
    let here = Scene::of(ENGINE, &all);
    let parts = ENGINE.parts(&here.root, &here.objects).unwrap();
    assert_eq!(parts.iter().map(|p| (p.resource.kind, &*p.name)).collect::<Vec<_>>(), [("Deployment", "web")]);
    let found = survey(rolltop::engine::ENGINES, "shop", &here.objects);
    assert_eq!(found.rollouts.into_iter().collect::<Vec<_>>(), [("r1".into(), EngineKind::Kruise)]);
    let foreign = Scene::of(
        ENGINE,
        &with(all, |r| {
            r["spec"]["workloadRef"] = json!({"apiVersion": "apps.kruise.io/v1alpha1", "kind": "CloneSet", "name": "web"});
        }),
    );
    assert!(ENGINE.parts(&foreign.root, &foreign.objects).unwrap().is_empty());
    assert!(foreign.model().notices.iter().any(|n| n.text.contains("CloneSet is not watched")));
}

#[test]
fn what_the_controller_complains_of_is_told() {
    let ro = Scene::of(
        ENGINE,
        &with(blue_green(), |r| {
            r["status"]["message"] = "new version releasing detected in the progress of blue-green release, please rollback first".into();
        }),
    )
    .model();
    assert!(ro.notices.iter().any(|n| n.text.contains("please rollback first")), "{:?}", ro.notices);
}

#[test]
fn no_object_is_too_odd() {
    for all in [items("approval"), blue_green()] {
        never_panics(ENGINE, &all);
    }
}
