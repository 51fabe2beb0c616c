//! The KServe engine against InferenceServices as KServe writes them.

// Helpers outside a `#[test]` may fail loudly too.
#![allow(clippy::unwrap_used)]

use rolltop::{
    engine::{Engine, Progress, knative::SERVICE, kserve::KSERVE},
    intent::{Intent, Verb as V},
    model::{Phase as P, Severity, WaitFor as W},
    object::kinds,
};
use serde_json::{Value, json};

use crate::kit::{Scene, allows, apply, changed, holds_once, never_panics, ops, reads_like};

const ENGINE: &dyn Engine = &KSERVE;
const PERCENT: &str = "/spec/predictor/canaryTrafficPercent";

const NAMES: [&str; 13] = [
    "canary",
    "aborted",
    "complete",
    "first",
    "starting",
    "failed",
    "sick",
    "shifting",
    "programming",
    "not-ready",
    "raw",
    "stopped",
    "deleting",
];

fn with(items: Vec<Value>, change: impl FnOnce(&mut Value)) -> Vec<Value> {
    changed(ENGINE, items, change)
}

fn live(root: &mut Value, shares: &[(&str, u32)]) {
    let all: Vec<Value> = shares.iter().map(|(name, percent)| json!({"revisionName": name, "percent": percent})).collect();
    root["status"]["components"]["predictor"]["traffic"] = all.into();
}

/// The predictor's revisions: newest made, newest ready, last with all users, the one before.
fn revisions(root: &mut Value, [created, ready, rolled_out, previous]: [&str; 4]) {
    let predictor = &mut root["status"]["components"]["predictor"];
    predictor["latestCreatedRevision"] = created.into();
    predictor["latestReadyRevision"] = ready.into();
    predictor["latestRolledoutRevision"] = rolled_out.into();
    predictor["previousRolledoutRevision"] = previous.into();
}

fn base() -> Vec<Value> {
    let conditions = ["Ready", "PredictorReady"].map(|kind| json!({"type": kind, "status": "True"}));
    let mut root = json!({
        "apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService",
        "metadata": {"namespace": "shop", "name": "model", "uid": "i1", "generation": 7},
        "spec": {"predictor": {"canaryTrafficPercent": 20, "model": {"modelFormat": {"name": "sklearn"}, "storageUri": "pvc://models/v2"}}},
        "status": {"deploymentMode": "Serverless", "observedGeneration": 2, "components": {"predictor": {}}, "conditions": conditions,
            "modelStatus": {"transitionStatus": "UpToDate", "states": {"activeModelState": "Loaded", "targetModelState": "Loaded"}}},
    });
    revisions(&mut root, ["m-2", "m-2", "m-1", "m-0"]);
    live(&mut root, &[("m-2", 20), ("m-1", 80)]);
    vec![root]
}

fn is(root: &mut Value, kind: &str, status: &str) {
    let all = root["status"]["conditions"].as_array_mut().unwrap();
    all.iter_mut().find(|c| c["type"] == kind).unwrap()["status"] = status.into();
}

fn items(name: &str) -> Vec<Value> {
    let remove_percent = |s: &mut Value| _ = s["spec"]["predictor"].as_object_mut().unwrap().remove("canaryTrafficPercent");
    match name {
        "canary" => base(),
        "aborted" => with(base(), |s| {
            s["spec"]["predictor"]["canaryTrafficPercent"] = 0.into();
            live(s, &[("m-2", 0), ("m-1", 100)]);
        }),
        "complete" => with(base(), |s| {
            remove_percent(s);
            revisions(s, ["m-2", "m-2", "m-2", "m-1"]);
            live(s, &[("m-2", 100)]);
        }),
        "first" => with(base(), |s| {
            remove_percent(s);
            revisions(s, ["m-1", "m-1", "m-1", ""]);
            live(s, &[("m-1", 100)]);
        }),
        "starting" => with(base(), |s| {
            revisions(s, ["m-3", "m-2", "m-2", "m-1"]);
            live(s, &[("m-2", 100)]);
        }),
        "failed" => with(items("starting"), |s| {
            s["status"]["modelStatus"] = json!({"transitionStatus": "BlockedByFailedLoad", "states": {"targetModelState": "FailedToLoad"},
                "copies": {"failedCopies": 1, "totalCopies": 2}, "lastFailureInfo": {"reason": "ModelLoadFailed", "message": "no such file"}});
        }),
        "sick" => with(base(), |s| {
            s["status"]["modelStatus"] = json!({"transitionStatus": "BlockedByFailedLoad", "states": {"targetModelState": "FailedToLoad"},
                "lastFailureInfo": {"reason": "ModelLoadFailed", "message": "out of memory"}});
            is(s, "PredictorReady", "False");
            s["status"]["conditions"].as_array_mut().unwrap().push(json!({"type": "PredictorConfigurationReady", "status": "False"}));
        }),
        "programming" => with(base(), |s| is(s, "PredictorReady", "Unknown")),
        "not-ready" => with(items("complete"), |s| is(s, "Ready", "False")),
        "shifting" => with(base(), |s| s["spec"]["predictor"]["canaryTrafficPercent"] = 50.into()),
        "raw" => with(base(), |s| {
            s["status"]["deploymentMode"] = "RawDeployment".into();
            s["status"]["components"]["predictor"] = json!({});
        }),
        "stopped" => with(base(), |s| s["status"]["conditions"].as_array_mut().unwrap().push(json!({"type": "Stopped", "status": "True"}))),
        "deleting" => with(base(), |s| s["metadata"]["deletionTimestamp"] = "2026-11-21T03:22:31Z".into()),
        _ => unreachable!("no scene {name}"),
    }
}

/// A crash loop between two crashes: the server says for a moment that it loads.
#[test]
fn a_crash_loop_fails_until_its_pods_were_ready() {
    let loading = |items: Vec<Value>| {
        with(items, |s| {
            s["status"]["modelStatus"]["transitionStatus"] = "InProgress".into();
            s["status"]["modelStatus"]["states"]["targetModelState"] = "Pending".into();
            s["status"]["modelStatus"]["copies"] = Value::Null;
        })
    };
    let phase = |items: &[Value]| Scene::of(ENGINE, items).model().phase;
    let restarted = with(loading(items("failed")), |s| is(s, "PredictorReady", "False"));
    assert_eq!((phase(&items("failed")), phase(&restarted)), (P::Failing, P::Failing));
    // Another model after one that failed has all before it.
    let anew = with(loading(items("failed")), |s| is(s, "PredictorReady", "Unknown"));
    assert_eq!(phase(&anew), P::Progressing);
    assert_eq!((phase(&items("sick")), phase(&loading(items("sick")))), (P::Failing, P::Failing));
}

fn scene(name: &str) -> Scene {
    Scene::of(ENGINE, &items(name))
}

/// Scene; phase; who is waited for; part of the detail; the way back; what happens next; the new side's share.
type Case = (&'static str, P, Option<W>, &'static str, Option<V>, &'static str, Option<f64>);

const CASES: &[Case] = &[
    ("canary", P::Waiting, Some(W::Human), "20 % of the users are on m-2", Some(V::Abort), "until someone sets a weight", Some(0.2)),
    ("aborted", P::Waiting, Some(W::Human), "0 % of the users are on m-2", None, "until someone", Some(0.0)),
    ("complete", P::Healthy, None, "all users are on m-2", Some(V::Undo), "gets all users when it is ready", None),
    ("first", P::Healthy, None, "all users are on m-1", None, "gets all users", None),
    ("starting", P::Progressing, Some(W::Pods), "m-3 loads its model", None, "20 % of the users go to it", Some(0.0)),
    ("failed", P::Failing, Some(W::Human), "ModelLoadFailed: no such file", None, "users stay where they are", Some(0.0)),
    ("sick", P::Failing, Some(W::Human), "20 % of the users are on m-2", Some(V::Abort), "until someone", Some(0.2)),
    ("shifting", P::Progressing, Some(W::Controller), "being moved", Some(V::Abort), "follows what is asked", Some(0.2)),
    ("programming", P::Progressing, Some(W::Controller), "being moved", Some(V::Abort), "follows what is asked", Some(0.2)),
    ("not-ready", P::Failing, Some(W::Pods), "not ready", Some(V::Undo), "keeps trying", None),
    ("raw", P::Healthy, None, "ready", None, "nothing", None),
    ("stopped", P::Paused, Some(W::Human), "stopped", None, "until someone starts it", Some(0.2)),
    ("deleting", P::Progressing, Some(W::Controller), "being deleted", None, "removed", Some(0.2)),
];

#[test]
fn every_scene_reads_like_this() {
    for (name, phase, wait, detail, back, next, share) in CASES {
        let ro = scene(name).model();
        reads_like(name, &ro, (*phase, *wait, detail, *back, next));
        assert_eq!(ro.new_side().and_then(|t| t.traffic.applied), *share, "{name}");
        let sum: f64 = ro.tracks.iter().filter_map(|t| t.traffic.applied).sum();
        assert!(ro.tracks.is_empty() || (sum - 1.0).abs() < 1e-9, "{name}: {:?}", ro.tracks);
    }
    assert_eq!(CASES.iter().map(|c| c.0).collect::<Vec<_>>(), NAMES);
}

#[test]
fn every_write_is_the_one_number_and_holds_once() {
    let cases = [
        ("canary", Intent::Promote, format!("remove {PERCENT}")),
        ("canary", Intent::PromoteFull, format!("remove {PERCENT}")),
        ("canary", Intent::SetWeight { percent: 50 }, format!("add {PERCENT} 50")),
        ("canary", Intent::Abort, format!("add {PERCENT} 0")),
        ("shifting", Intent::Abort, format!("add {PERCENT} 0")),
        ("aborted", Intent::Promote, format!("remove {PERCENT}")),
        ("complete", Intent::Undo { to: None }, format!("add {PERCENT} 0")),
    ];
    for (name, intent, wanted) in cases {
        let (plan, after) = holds_once(ENGINE, &items(name), &intent);
        assert_eq!(ops(&plan), [wanted], "{name} {intent:?}");
        assert_ne!(Scene::of(ENGINE, &after).progress(&plan), Progress::Done, "{name} {intent:?}: written is not done");
        let newer = with(items(name), |s| s["status"]["components"]["predictor"]["latestReadyRevision"] = "m-9".into());
        assert!(apply(ENGINE, &newer, &plan).is_err(), "{name} {intent:?} ignores another revision");
    }
    let other = with(items("complete"), |s| s["status"]["components"]["predictor"]["previousRolledoutRevision"] = "m-9".into());
    let (undo, _) = holds_once(ENGINE, &items("complete"), &Intent::Undo { to: None });
    assert!(apply(ENGINE, &other, &undo).is_err(), "it goes back to what KServe remembers, so that must be the same");
}

#[test]
fn what_is_allowed_when() {
    let cases: [(&str, &[V]); 13] = [
        ("canary", &[V::Promote, V::PromoteFull, V::Abort, V::SetWeight]),
        ("aborted", &[V::Promote, V::PromoteFull, V::SetWeight]),
        ("complete", &[V::Undo]),
        ("first", &[]),
        ("starting", &[]),
        ("failed", &[]),
        ("sick", &[V::Promote, V::PromoteFull, V::Abort, V::SetWeight]),
        ("shifting", &[V::Abort]),
        ("programming", &[V::Abort]),
        ("not-ready", &[V::Undo]),
        ("raw", &[]),
        ("stopped", &[]),
        ("deleting", &[]),
    ];
    allows(scene, &NAMES, &cases);
    // A lowered share after a finished release would take users back to the revision before.
    assert!(scene("complete").plan(&Intent::Pause).unwrap_err().reason.contains("would take it back"));
    assert!(scene("raw").plan(&Intent::SetWeight { percent: 10 }).unwrap_err().reason.contains("knows no share"));
}

#[test]
fn how_far_it_came_is_what_the_route_does() {
    let at = |plan: &rolltop::engine::Plan, shares: &[(&str, u32)]| Scene::of(ENGINE, &with(base(), |s| live(s, shares))).progress(plan);
    let weight = scene("canary").plan(&Intent::SetWeight { percent: 50 }).unwrap();
    assert_eq!([at(&weight, &[("m-2", 20), ("m-1", 80)]), at(&weight, &[("m-2", 50), ("m-1", 50)])], [Progress::Nothing, Progress::Done]);
    let promote = scene("canary").plan(&Intent::Promote).unwrap();
    assert_eq!([at(&promote, &[("m-2", 50)]), at(&promote, &[("m-2", 100)])], [Progress::Nothing, Progress::Done]);
    let abort = scene("canary").plan(&Intent::Abort).unwrap();
    assert_eq!([at(&abort, &[("m-1", 80)]), at(&abort, &[("m-1", 100)])], [Progress::Nothing, Progress::Done]);
    assert!(matches!(scene("failed").progress(&promote), Progress::Diverted(_)));
}

#[test]
fn a_model_that_does_not_load_is_told() {
    let says = |name: &str, words: &str| {
        let notices = scene(name).model().notices;
        assert!(notices.iter().any(|n| n.text.contains(words)), "{name}: {notices:?}");
    };
    says("failed", "1 of 2 copies");
    says("failed", "users of the revision before are not touched");
    says("sick", "the model of m-2 fails, and 20 % of the users are on it: ModelLoadFailed: out of memory");
    let warnings = scene("sick").plan(&Intent::Abort).unwrap().warnings;
    assert!(warnings.iter().any(|w| w.severity == Severity::Danger && w.text.contains("m-2 is not ready")), "{warnings:?}");
    says("raw", "RawDeployment: a new version rolls pod by pod");
}

#[test]
fn the_knative_services_under_it_are_parts() {
    let here = scene("canary");
    let parts = ENGINE.parts(&here.root, &here.objects).unwrap();
    let of = |kind| parts.iter().filter(|p| p.resource == kind).map(|p| p.name.to_string()).collect::<Vec<_>>();
    assert_eq!(of(&SERVICE), ["model-predictor", "model-transformer", "model-explainer"]);
    assert_eq!(of(&kinds::DEPLOYMENT), ["model-predictor", "m-1-deployment", "m-2-deployment"]);
    assert_eq!(parts.len(), 6);
}

/// A Deployment as the fleet's list has it.
fn deployment(name: &str, revision: &str, replicas: u32, ready: u32) -> Value {
    let labels = json!({"serving.knative.dev/revision": revision});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "shop", "name": name, "uid": format!("uid {name}"), "labels": labels},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": "m", "image": "server:v1"}]}}},
        "status": {"replicas": replicas, "readyReplicas": ready}})
}

#[test]
fn ready_pods_are_counted_without_opening_it() {
    let ready = |name: &str, more: &[Value]| Scene::of(ENGINE, &[items(name), more.to_vec()].concat()).model().ready_to_watch();
    assert_eq!(ready("canary", &[]), None, "nobody counted");
    let sides = [deployment("m-1-deployment", "m-1", 4, 4), deployment("m-2-deployment", "m-2", 2, 1)];
    assert_eq!(ready("canary", &sides), Some((1, 2)), "of the new side");
    assert_eq!(ready("complete", &sides[1..]), Some((1, 2)));
    assert_eq!(ready("canary", &[deployment("m-2-deployment", "m-7", 2, 1)]), None, "that is another's");

    assert_eq!(ready("raw", &[]), None);
    assert_eq!(ready("raw", &[deployment("model-predictor", "", 3, 2)]), Some((2, 3)));
    let mut other = deployment("model-predictor", "", 3, 2);
    other["metadata"]["ownerReferences"] = json!([{"kind": "Rollout", "name": "x", "uid": "x", "controller": true}]);
    assert_eq!(ready("raw", &[other]), None, "of the same name, but not its own");
    let raw = Scene::of(ENGINE, &[items("raw"), vec![deployment("model-predictor", "", 3, 2)]].concat()).model();
    assert_eq!((raw.subject.stable_workload.as_deref(), raw.in_flight()), (Some("model-predictor"), false));

    let zero = [deployment("m-2-deployment", "m-2", 0, 0)];
    let resting = Scene::of(ENGINE, &[items("complete"), zero.to_vec()].concat()).model();
    assert!(resting.is_scaled_to_zero(&resting.tracks[0]), "{:?}", resting.tracks);
}

#[test]
fn no_object_is_too_odd() {
    never_panics(ENGINE, &items("canary"));
    never_panics(ENGINE, &items("failed"));
}
