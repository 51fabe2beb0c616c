//! Every state a StatefulSet can be in: two recorded, the others one change away from them.

use rolltop::engine::{Engine, statefulset::STATEFUL_SET};
use serde_json::{Value, json};

use crate::kit::{Scene, changed, list};

pub const ENGINE: &dyn Engine = &STATEFUL_SET;

pub const NEW: &str = "s1-7b8bb57bf";
pub const OLD: &str = "s1-6c798f85fd";

pub const NAMES: [&str; 12] = [
    "partitioned",
    "broken",
    "blocked",
    "fix-blocked",
    "rolling",
    "step",
    "by-hand",
    "complete",
    "held-idle",
    "short",
    "unobserved",
    "deleting",
];

pub fn scene(name: &str) -> Scene {
    Scene::of(ENGINE, &items(name))
}

pub fn items(name: &str) -> Vec<Value> {
    let partitioned = || list("statefulset/partitioned");
    let broken = || list("statefulset/stuck-broken-template");
    match name {
        "partitioned" => partitioned(),
        "broken" => broken(),
        "blocked" => blocked(broken()),
        "fix-blocked" => fix_blocked(broken()),
        // The lower two are still to come.
        "rolling" => with(partitioned(), |s| set_partition(s, 0)),
        // One more was let through, and is being replaced.
        "step" => with(partitioned(), |s| set_partition(s, 1)),
        "by-hand" => with(partitioned(), |s| s["spec"]["updateStrategy"] = json!({"type": "OnDelete"})),
        "complete" => complete(partitioned(), 0),
        "held-idle" => complete(partitioned(), 3),
        "short" => with(complete(partitioned(), 0), |s| s["status"]["readyReplicas"] = 2.into()),
        "unobserved" => with(partitioned(), |s| s["metadata"]["generation"] = 5.into()),
        "deleting" => with(partitioned(), |s| s["metadata"]["deletionTimestamp"] = "2026-11-21T03:22:31Z".into()),
        _ => unreachable!("no scene {name}"),
    }
}

pub fn with(items: Vec<Value>, change: impl FnOnce(&mut Value)) -> Vec<Value> {
    changed(ENGINE, items, change)
}

pub fn set_partition(set: &mut Value, to: u32) {
    set["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = to.into();
}

pub fn pod<'a>(items: &'a mut [Value], name: &str) -> &'a mut Value {
    items.iter_mut().find(|i| i["kind"] == "Pod" && i["metadata"]["name"] == name).unwrap()
}

/// The template was put back, and the controller calls it both current and updated; the broken pod is of neither.
fn blocked(items: Vec<Value>) -> Vec<Value> {
    let old = items.iter().find(|i| i["metadata"]["name"] == NEW).unwrap()["data"]["spec"]["template"].clone();
    let mut items = with(items, |s| {
        s["spec"]["template"] = old;
        s["spec"]["template"].as_object_mut().unwrap().remove("$patch");
        s["metadata"]["generation"] = 7.into();
        s["status"]["observedGeneration"] = 7.into();
        s["status"]["updateRevision"] = NEW.into();
        s["status"]["updatedReplicas"] = 2.into();
    });
    items.iter_mut().find(|i| i["metadata"]["name"] == NEW).unwrap()["revision"] = 4.into();
    items
}

/// A pod of the version that serves has failed, and the version that mends it waits behind that pod.
fn fix_blocked(items: Vec<Value>) -> Vec<Value> {
    let mut items = with(items, |s| s["status"]["updatedReplicas"] = 0.into());
    pod(&mut items, "s1-2")["metadata"]["labels"]["controller-revision-hash"] = NEW.into();
    items
}

fn complete(items: Vec<Value>, partition: u32) -> Vec<Value> {
    let mut items = with(items, |s| {
        set_partition(s, partition);
        s["status"]["currentRevision"] = NEW.into();
        s["status"]["updatedReplicas"] = 3.into();
        s["status"]["currentReplicas"] = 3.into();
    });
    for name in ["s1-0", "s1-1"] {
        pod(&mut items, name)["metadata"]["labels"]["controller-revision-hash"] = NEW.into();
    }
    items
}

/// Of this StatefulSet, between two and nine pods.
pub fn autoscaler() -> Value {
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"namespace": "shop", "name": "by-load", "uid": "h"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s1"}, "minReplicas": 2, "maxReplicas": 9}})
}
