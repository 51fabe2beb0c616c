//! The pods of a step, and what becomes of the workload afterwards: in a Deployment of their own, in place of old ones, or
//! all beside the old ones.

use serde_json::{Value, json};

use super::{
    names::{
        ADVANCED, CANARY_OF, CONTROL, DEPLOYMENTS, IN_PROGRESS, MAX_PROGRESS_SECONDS, MAX_READY_SECONDS, ORIGINAL, REPLICA_SETS, STABLE,
        STRATEGY,
    },
    pass::Pass,
    spec::{Step, Style},
    webhook::annotations_json,
    workload::{Workload, active_sets, canaries, canary, is_of, sets},
};
use crate::demo::{
    controllers::{
        deployment::replica_set,
        objects::{key_of, scaled},
    },
    registry::controlled_by,
};

/// Pods of the new version, and how many of them are ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub pods: i64,
    pub ready: i64,
}

fn count(object: &Value, field: &str) -> i64 {
    object["status"][field].as_i64().unwrap_or_default()
}

fn is_observed(object: &Value) -> bool {
    object["metadata"]["generation"] == object["status"]["observedGeneration"]
}

impl Pass<'_, '_> {
    fn control(&self) -> String {
        json!({"apiVersion": "rollouts.kruise.io/v1beta1", "kind": "BatchRelease", "name": *self.key.name, "controller": true}).to_string()
    }

    pub fn counts(&self, workload: &Workload) -> Counts {
        let object = &workload.object;
        match self.spec.style() {
            Style::Canary => canary(self.cx.store, &workload.key).map_or_else(Counts::default, |canary| Counts {
                pods: count(&canary, "replicas"),
                ready: count(&canary, "availableReplicas"),
            }),
            _ => sets(self.cx.store, object)
                .iter()
                .find(|set| is_of(set, &object["spec"]["template"]))
                .map_or_else(Counts::default, |set| Counts { pods: count(set, "replicas"), ready: count(set, "readyReplicas") }),
        }
    }

    /// Asks for the pods of a step. Whether they are there and ready.
    pub fn upgrade(&mut self, workload: &Workload, step: &Step) -> bool {
        let wanted = scaled(&step.replicas, workload.replicas, true).unwrap_or_default().clamp(0, workload.replicas);
        match self.spec.style() {
            Style::Canary => self.grow_canary(workload, wanted),
            Style::Partition => self.replace(workload, step, wanted),
            Style::BlueGreen => self.surge(workload, step),
        }
        let now = self.counts(workload);
        now.pods >= wanted && now.ready >= wanted
    }

    fn grow_canary(&mut self, workload: &Workload, wanted: i64) {
        if !workload.object["metadata"]["annotations"][CONTROL].is_string() {
            let control = self.control();
            let _ = self.cx.patch(&workload.key, &json!({"metadata": {"annotations": {CONTROL: control}}}));
        }
        let fitting = canary(self.cx.store, &workload.key)
            .filter(|canary| is_of(&json!({"spec": canary["spec"]}), &workload.object["spec"]["template"]));
        match fitting {
            None => self.create_canary(workload),
            Some(canary) if canary["spec"]["replicas"].as_i64().unwrap_or_default() < wanted => {
                let _ = self.cx.patch(&key_of(DEPLOYMENTS, &canary), &json!({"spec": {"replicas": wanted}}));
            }
            Some(_) => {}
        }
    }

    fn create_canary(&mut self, workload: &Workload) {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let suffix: String = (0..5).map(|_| char::from(ALPHABET[self.cx.rng.usize(..ALPHABET.len())])).collect();
        let mut spec = workload.object["spec"].clone();
        json_patch::merge(&mut spec, &json!({"replicas": 0, "paused": null}));
        let object = json!({
            "metadata": {
                "name": format!("{}-{suffix}", workload.key.name), "namespace": *workload.key.namespace,
                "labels": {CANARY_OF: *workload.key.name}, "annotations": {CONTROL: self.control()},
                "ownerReferences": [controlled_by(&self.rollout)],
            },
            "spec": spec,
        });
        let _ = self.cx.create(DEPLOYMENTS, object);
    }

    /// Its own controller stands still meanwhile: new pods first, then as many old ones go.
    fn replace(&mut self, workload: &Workload, step: &Step, wanted: i64) {
        let object = &workload.object;
        let mut strategy = annotations_json(object, STRATEGY);
        if object["metadata"]["labels"][ADVANCED] != "true" || strategy["partition"] != step.replicas {
            let rolling = Some(&object["spec"]["strategy"]["rollingUpdate"]).filter(|rolling| rolling.is_object());
            let rolling = rolling.cloned().unwrap_or_else(|| strategy["rollingUpdate"].clone());
            json_patch::merge(&mut strategy, &json!({"rollingStyle": "Partition", "rollingUpdate": rolling, "partition": step.replicas}));
            let patch = json!({
                "metadata": {"labels": {ADVANCED: "true"}, "annotations": {STRATEGY: strategy.to_string(), CONTROL: self.control()}},
                "spec": {"paused": true, "strategy": {"type": "Recreate", "rollingUpdate": null}},
            });
            let _ = self.cx.patch(&workload.key, &patch);
            return;
        }
        let all = sets(self.cx.store, object);
        let template = &object["spec"]["template"];
        let Some(new) = all.iter().find(|set| is_of(set, template)) else {
            if let Some(stored) = self.cx.store.get(&workload.key).cloned() {
                let _ = self.cx.create(REPLICA_SETS, replica_set(&stored, wanted));
            }
            return;
        };
        let size = |set: &Value| set["spec"]["replicas"].as_i64().unwrap_or_default();
        if size(new) < wanted {
            self.resize(new, wanted);
        }
        // What is there of other versions, oldest last: the stable one stays longest.
        let old: Vec<&Value> = all.iter().rev().filter(|set| !is_of(set, template)).collect();
        let keep = workload.replicas - count(new, "readyReplicas").min(wanted);
        let mut surplus = old.iter().map(|set| size(set)).sum::<i64>() - keep;
        for set in old {
            let gone = surplus.clamp(0, size(set));
            surplus -= gone;
            if gone > 0 {
                self.resize(set, size(set) - gone);
            }
        }
    }

    fn resize(&mut self, set: &Value, replicas: i64) {
        let _ = self.cx.patch(&key_of(REPLICA_SETS, set), &json!({"spec": {"replicas": replicas}}));
    }

    /// Its own controller brings the new pods, and as they never count as available no old one goes.
    fn surge(&mut self, workload: &Workload, step: &Step) {
        let object = &workload.object;
        if !object["metadata"]["annotations"][ORIGINAL].is_string() {
            for set in active_sets(self.cx.store, object).iter().take(1) {
                let _ = self.cx.patch(&key_of(REPLICA_SETS, set), &json!({"spec": {"minReadySeconds": MAX_READY_SECONDS}}));
            }
            let spec = &object["spec"];
            let original = json!({
                "maxUnavailable": spec["strategy"]["rollingUpdate"]["maxUnavailable"], "maxSurge": spec["strategy"]["rollingUpdate"]["maxSurge"],
                "minReadySeconds": spec["minReadySeconds"], "progressDeadlineSeconds": spec["progressDeadlineSeconds"],
            });
            let patch = json!({
                "metadata": {"annotations": {ORIGINAL: original.to_string(), CONTROL: self.control()}},
                "spec": {
                    "minReadySeconds": MAX_READY_SECONDS, "progressDeadlineSeconds": MAX_PROGRESS_SECONDS,
                    "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                },
            });
            let _ = self.cx.patch(&workload.key, &patch);
            return;
        }
        let rolling = json!({"maxSurge": step.replicas, "maxUnavailable": 0});
        if object["spec"]["paused"] == true || object["spec"]["strategy"]["rollingUpdate"] != rolling {
            let patch = json!({"spec": {"paused": false, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}});
            let _ = self.cx.patch(&workload.key, &patch);
        }
    }

    /// The mark that a release is going on comes off before all else.
    pub fn unmark(&mut self, workload: &Workload) {
        if workload.object["metadata"]["annotations"][IN_PROGRESS].is_string() {
            let _ = self.cx.patch(&workload.key, &json!({"metadata": {"annotations": {IN_PROGRESS: null}}}));
        }
    }

    /// The workload rolls by itself again. Whether that needs no more waiting for.
    pub fn resume(&mut self, workload: &Workload, wait: bool) -> bool {
        let object = &workload.object;
        let annotations = &object["metadata"]["annotations"];
        let is_held = annotations[CONTROL].is_string();
        let patch = match self.spec.style() {
            _ if !is_held => Value::Null,
            Style::Canary => json!({"metadata": {"annotations": {CONTROL: null}}, "spec": {"paused": false}}),
            Style::Partition => json!({
                "metadata": {"annotations": {CONTROL: null, STRATEGY: null}, "labels": {STABLE: null, ADVANCED: null}},
                "spec": {"paused": false, "strategy": {
                    "type": "RollingUpdate", "rollingUpdate": annotations_json(object, STRATEGY)["rollingUpdate"],
                }},
            }),
            Style::BlueGreen => {
                let original = annotations_json(object, ORIGINAL);
                let rolling = json!({"maxSurge": original["maxSurge"], "maxUnavailable": original["maxUnavailable"]});
                json!({
                    "metadata": {"annotations": {CONTROL: null, ORIGINAL: null}, "labels": {STABLE: null}},
                    "spec": {
                        "paused": false, "minReadySeconds": original["minReadySeconds"],
                        "progressDeadlineSeconds": original["progressDeadlineSeconds"],
                        "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
                    },
                })
            }
        };
        if is_held {
            let _ = self.cx.patch(&workload.key, &patch);
            return self.spec.style() == Style::Partition || self.spec.style() == Style::Canary && !wait;
        }
        let waits = wait || self.spec.style() == Style::BlueGreen;
        !waits || is_observed(object) && is_whole(object)
    }

    /// What was made for the release goes. Whether it is gone.
    pub fn release(&mut self, workload: &Workload) -> bool {
        let made = canaries(self.cx.store, &workload.key);
        for canary in &made {
            let _ = self.cx.delete(&key_of(DEPLOYMENTS, canary));
        }
        made.is_empty()
    }
}

/// All its pods are of its template, and ready.
fn is_whole(deployment: &Value) -> bool {
    let all = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|field| count(deployment, field) == all)
}
