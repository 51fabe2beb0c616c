//! What people and pipelines do to a cluster, written as their tools would write it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Is, Verb};
use crate::{
    demo::{
        kinds::Kind,
        refusal::Refusal,
        registry::{self, Write, stamp},
        store::{Key, Store},
    },
    model::Time,
};

pub const ROLLOUTS: &str = "rollouts.argoproj.io";
pub const DEPLOYMENTS: &str = "deployments.apps";
pub const REPLICA_SETS: &str = "replicasets.apps";

/// Somebody with the cluster in hand.
pub struct Hand<'a> {
    pub store: &'a mut Store,
    pub now: Time,
    /// Field manager.
    pub by: &'a str,
}

pub fn rollout(store: &Store, path: &str) -> Option<Value> {
    let (namespace, name) = path.split_once('/')?;
    store.get(&Key::new(ROLLOUTS, namespace, name)).map(|object| object.value())
}

/// Whether a Rollout is in this state.
pub fn holds(rollout: &Value, is: Is) -> bool {
    let (spec, status) = (&rollout["spec"], &rollout["status"]);
    let phase = |word: &str| status["phase"] == word;
    let step = status["currentStepIndex"].as_u64();
    let moving = status["currentPodHash"] != status["stableRS"];
    match is {
        Is::Waits => {
            let pause = step.and_then(|step| spec["strategy"]["canary"]["steps"].get(usize::try_from(step).ok()?));
            phase("Paused") && pause.is_none_or(|step| step["pause"]["duration"].is_null())
        }
        Is::Pauses => phase("Paused"),
        Is::Moves => phase("Progressing"),
        Is::Steady => phase("Healthy"),
        Is::Fails => phase("Degraded"),
        Is::Aborted => status["abort"] == true,
        Is::AtStep(number) => moving && step.is_some_and(|step| step + 1 >= u64::from(number)),
        Is::AtWeight(weight) => moving && status["canary"]["weights"]["canary"]["weight"].as_u64() >= Some(u64::from(weight)),
    }
}

impl Hand<'_> {
    /// The Rollout, or the Deployment where there is no Rollout of that name; with its kind.
    fn read(&self, path: &str) -> Result<(&'static str, Value), Refusal> {
        let (namespace, name) = path.split_once('/').unwrap_or(("", path));
        let found = [ROLLOUTS, DEPLOYMENTS].into_iter().find_map(|kind| Some((kind, self.get(kind, namespace, name)?)));
        found.ok_or_else(|| Refusal::not_found(ROLLOUTS, name))
    }

    fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        self.store.get(&Key::new(kind, namespace, name)).map(|object| object.value())
    }

    fn write(&mut self, kind: &str, object: Value) -> Result<(), Refusal> {
        registry::update(self.store, kind, object, Write::new(self.now, self.by)).map(drop)
    }

    /// Another image for the first container, where the template is.
    pub fn set_image(&mut self, path: &str, image: impl FnOnce(&str) -> String) -> Result<(), Refusal> {
        let (mut kind, mut object) = self.read(path)?;
        if let Some(referred) = object["spec"]["workloadRef"]["name"].as_str() {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
            let found = self.get(DEPLOYMENTS, namespace, referred).ok_or_else(|| Refusal::not_found(DEPLOYMENTS, referred))?;
            (kind, object) = (DEPLOYMENTS, found);
        }
        let container = &mut object["spec"]["template"]["spec"]["containers"][0]["image"];
        *container = image(container.as_str().unwrap_or_default()).into();
        self.write(kind, object)
    }

    pub fn change(&mut self, path: &str, edit: impl FnOnce(&mut Value)) -> Result<(), Refusal> {
        let (kind, mut object) = self.read(path)?;
        edit(&mut object["spec"]);
        self.write(kind, object)
    }

    /// What the plugin of Argo Rollouts would write.
    pub fn act(&mut self, path: &str, verb: Verb) -> Result<(), Refusal> {
        match verb {
            Verb::Pause => return self.change(path, |spec| spec["paused"] = true.into()),
            Verb::Resume => return self.change(path, |spec| spec["paused"] = false.into()),
            Verb::Restart => {
                let now = stamp(self.now);
                return self.change(path, |spec| spec["restartAt"] = now.into());
            }
            Verb::Undo => return self.undo(path),
            Verb::Promote | Verb::PromoteFull | Verb::Abort | Verb::Retry => {}
        }
        let (kind, mut object) = self.read(path)?;
        let paused = object["spec"]["paused"] == true;
        let patch = status_patch(&object, verb);
        json_patch::merge(&mut object, &patch);
        registry::update(self.store, kind, object, Write::new(self.now, self.by).status())?;
        // An abort, too, is only carried out when nothing holds the rollout by hand.
        if paused && verb != Verb::Retry { self.change(path, |spec| spec["paused"] = false.into()) } else { Ok(()) }
    }

    /// Back to the template of the stable ReplicaSet.
    fn undo(&mut self, path: &str) -> Result<(), Refusal> {
        let (kind, mut object) = self.read(path)?;
        let stable = object["status"]["stableRS"].as_str().unwrap_or_default();
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        let set = self.store.owned(REPLICA_SETS, uid).find(|set| set.label("rollouts-pod-template-hash") == Some(stable));
        let Some(mut set) = set.map(|set| set.value()) else {
            return Err(Refusal::bad_request(format!("{path} has no stable ReplicaSet")));
        };
        let mut template = set["spec"]["template"].take();
        json_patch::merge(&mut template, &json!({"metadata": {"labels": {"rollouts-pod-template-hash": null}}}));
        object["spec"]["template"] = template;
        self.write(kind, object)
    }

    /// An event on the workload that says something.
    pub fn note(&mut self, path: &str, text: &str) -> Result<(), Refusal> {
        let (_, object) = self.read(path)?;
        let about = &object["metadata"];
        let namespace = about["namespace"].as_str().unwrap_or_default();
        let event = json!({
            "metadata": {"generateName": format!("{}.", about["name"].as_str().unwrap_or_default())},
            "involvedObject": {
                "apiVersion": object["apiVersion"], "kind": object["kind"], "namespace": namespace, "name": about["name"], "uid": about["uid"],
            },
            "reason": "Note", "message": text, "type": "Normal", "source": {"component": self.by}, "count": 1,
            "firstTimestamp": stamp(self.now), "lastTimestamp": stamp(self.now),
        });
        registry::create(self.store, "events", namespace, event, Write::new(self.now, "")).map(drop)
    }

    /// Creates an object as its manifest has it, status included.
    pub fn create(&mut self, object: &Value) -> Result<(), Refusal> {
        let kind = served(self.store, object)?;
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
        let mut created = registry::create(self.store, &kind, &namespace, object.clone(), Write::new(self.now, self.by))?;
        if object["status"].is_null() || created["status"] == object["status"] {
            return Ok(());
        }
        created["status"] = object["status"].clone();
        registry::update(self.store, &kind, created, Write::new(self.now, self.by).status()).map(drop)
    }

    pub fn delete(&mut self, kind: &str, namespace: &str, name: &str) -> Result<(), Refusal> {
        registry::delete(self.store, &Key::new(kind, namespace, name), Write::new(self.now, self.by)).map(drop)
    }
}

fn status_patch(object: &Value, verb: Verb) -> Value {
    let status = &object["status"];
    match verb {
        Verb::Abort => json!({"status": {"abort": true}}),
        Verb::Retry => json!({"status": {"abort": false}}),
        Verb::PromoteFull if status["currentPodHash"] != status["stableRS"] => json!({"status": {"promoteFull": true}}),
        Verb::Promote if status["pauseConditions"].as_array().is_some_and(|all| !all.is_empty()) => {
            json!({"status": {"pauseConditions": null}})
        }
        Verb::Promote => {
            let steps = object["spec"]["strategy"]["canary"]["steps"].as_array().map_or(0, Vec::len);
            let next = status["currentStepIndex"].as_u64().map(|step| (step + 1).min(steps as u64));
            next.map_or(json!({}), |next| json!({"status": {"currentStepIndex": next}}))
        }
        _ => json!({}),
    }
}

/// Id of the kind that an object says it is.
fn served(store: &Store, object: &Value) -> Result<String, Refusal> {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let is = |kind: &&Arc<Kind>| {
        kind.group == group && object["kind"] == kind.kind.as_str() && kind.versions.iter().any(|known| known == version)
    };
    let found = store.kinds().find(is).map(|kind| kind.id());
    found.ok_or_else(|| Refusal::new(404, "NotFound", "the server could not find the requested resource"))
}
