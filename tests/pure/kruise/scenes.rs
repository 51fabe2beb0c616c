//! Every state a Rollout of OpenKruise can be in.

use rolltop::engine::{Engine, kruise::KRUISE};
use serde_json::{Value, json};

use crate::kit::{Scene, changed};

pub const ENGINE: &dyn Engine = &KRUISE;

pub const NAMES: [&str; 13] = [
    "approval",
    "timed",
    "last-step",
    "moving",
    "paused",
    "idle",
    "rolled-back",
    "rolling-back",
    "finalising",
    "disabled",
    "no-workload",
    "unobserved",
    "deleting",
];

pub fn scene(name: &str) -> Scene {
    Scene::of(ENGINE, &items(name))
}

pub fn with(items: Vec<Value>, change: impl FnOnce(&mut Value)) -> Vec<Value> {
    changed(ENGINE, items, change)
}

/// The field in which a status says where it stands.
pub fn step(root: &mut Value, index: u32, state: &str) {
    let last = root["spec"]["strategy"]["canary"]["steps"].as_array().unwrap().len();
    let status = &mut root["status"]["canaryStatus"];
    status["currentStepIndex"] = index.into();
    status["nextStepIndex"] = if index as usize == last { json!(-1) } else { json!(index + 1) };
    status["currentStepState"] = state.into();
}

fn reason(root: &mut Value, reason: &str) {
    root["status"]["conditions"][0]["reason"] = reason.into();
}

pub fn items(name: &str) -> Vec<Value> {
    let base = vec![rollout(), deployment(), replica_set("old", "app:v1", 4), replica_set("new", "app:v2", 1)];
    let idle = |root: &mut Value| {
        root["status"]["phase"] = "Healthy".into();
        reason(root, "Completed");
        step(root, 3, "Completed");
    };
    match name {
        "approval" => base,
        "timed" => with(base, |r| step(r, 2, "StepPaused")),
        "last-step" => with(base, |r| step(r, 3, "StepPaused")),
        "moving" => with(base, |r| step(r, 2, "StepUpgrade")),
        "paused" => with(base, |r| {
            r["spec"]["strategy"]["paused"] = true.into();
            reason(r, "Paused");
        }),
        "idle" => with(base, idle),
        "rolled-back" => with(base, |r| {
            idle(r);
            let condition = json!({"type": "Succeeded", "status": "False", "reason": "Completed"});
            r["status"]["conditions"].as_array_mut().unwrap().push(condition);
        }),
        "rolling-back" => with(base, |r| reason(r, "Cancelling")),
        "finalising" => with(base, |r| reason(r, "Finalising")),
        "disabled" => with(base, |r| {
            r["spec"]["disabled"] = true.into();
            r["status"]["phase"] = "Disabled".into();
        }),
        "no-workload" => with(vec![rollout()], |r| {
            r["status"] = json!({"observedGeneration": 3, "phase": "Initial", "message": "Workload Not Found"});
        }),
        "unobserved" => with(base, |r| r["metadata"]["generation"] = 4.into()),
        "deleting" => with(base, |r| r["metadata"]["deletionTimestamp"] = "2026-11-21T03:22:31Z".into()),
        _ => unreachable!("no scene {name}"),
    }
}

fn rollout() -> Value {
    json!({
        "apiVersion": "rollouts.kruise.io/v1beta1", "kind": "Rollout",
        "metadata": {"namespace": "shop", "name": "web", "uid": "r1", "generation": 3},
        "spec": {
            "disabled": false,
            "workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "strategy": {"canary": {
                "enableExtraWorkloadForCanary": false,
                "steps": [
                    {"traffic": "20%", "replicas": "20%", "pause": {}},
                    {"traffic": "60%", "replicas": "60%", "pause": {"duration": 600}},
                    {"replicas": "100%", "pause": {"duration": 60}},
                ],
                "trafficRoutings": [{"service": "web", "ingress": {"classType": "nginx", "name": "web"}}],
            }},
        },
        "status": {
            "observedGeneration": 3, "phase": "Progressing", "message": "Rollout is in step(1/3)",
            "currentStepIndex": 1, "currentStepState": "StepPaused",
            "canaryStatus": {
                "observedWorkloadGeneration": 5, "stableRevision": "old", "podTemplateHash": "new", "canaryRevision": "f0f0",
                "currentStepIndex": 1, "nextStepIndex": 2, "currentStepState": "StepPaused", "finalisingStep": "",
                "lastUpdateTime": "2026-11-21T03:20:00Z", "canaryReplicas": 1, "canaryReadyReplicas": 1,
            },
            "conditions": [{"type": "Progressing", "status": "True", "reason": "InRolling", "message": ""}],
        },
    })
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": image}]}})
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"namespace": "shop", "name": "web", "uid": "d1", "generation": 5},
        "spec": {"replicas": 5, "paused": true, "selector": {"matchLabels": {"app": "web"}}, "template": template("app:v2")},
        "status": {"observedGeneration": 5, "replicas": 5, "readyReplicas": 5, "availableReplicas": 5, "updatedReplicas": 1},
    })
}

fn replica_set(hash: &str, image: &str, replicas: u32) -> Value {
    let mut template = template(image);
    template["metadata"]["labels"]["pod-template-hash"] = hash.into();
    let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d1", "controller": true}]);
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"namespace": "shop", "name": format!("web-{hash}"), "uid": format!("rs-{hash}"), "generation": 1,
            "labels": {"app": "web", "pod-template-hash": hash}, "ownerReferences": owner},
        "spec": {"replicas": replicas, "template": template},
        "status": {"replicas": replicas, "readyReplicas": replicas},
    })
}

/// The same release as a blue-green one, and of v1alpha1's canary: with pods beside the old ones.
pub fn blue_green() -> Vec<Value> {
    with(items("approval"), |r| {
        let canary = r["spec"]["strategy"]["canary"].take();
        r["spec"]["strategy"] = json!({"blueGreen": canary});
        let mut status = r["status"]["canaryStatus"].take();
        let fields = status.as_object_mut().unwrap();
        for (old, new) in
            [("canaryRevision", "updatedRevision"), ("canaryReplicas", "updatedReplicas"), ("canaryReadyReplicas", "updatedReadyReplicas")]
        {
            let value = fields.remove(old).unwrap();
            fields.insert(new.into(), value);
        }
        r["status"].as_object_mut().unwrap().remove("canaryStatus");
        r["status"]["blueGreenStatus"] = status;
    })
}
