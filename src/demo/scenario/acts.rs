//! What people and pipelines do to a cluster, written as their tools would write it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Is, Verb,
    manifests::{COLOUR, COLOURS},
};
use crate::{
    demo::{
        controllers::{knative::SERVICES as KNATIVE, kserve::INFERENCE_SERVICES as KSERVE, revisions},
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
const STATEFUL_SETS: &str = "statefulsets.apps";
const DAEMON_SETS: &str = "daemonsets.apps";

/// Kinds of which a workload of a scenario may be, in the order in which they are looked for.
pub const WORKLOADS: [&str; 6] = [ROLLOUTS, DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, KNATIVE, KSERVE];

/// The template's number, on a Deployment and its ReplicaSets.
const REVISION: &str = "deployment.kubernetes.io/revision";
const CAUSE: &str = "kubernetes.io/change-cause";
const CANARY_WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";

/// Somebody with the cluster in hand.
pub struct Hand<'a> {
    pub store: &'a mut Store,
    pub now: Time,
    /// Field manager.
    pub by: &'a str,
}

/// The Rollout or other workload of that name.
pub fn find(store: &Store, path: &str) -> Option<Value> {
    let (namespace, name) = path.split_once('/')?;
    WORKLOADS.iter().find_map(|kind| store.get(&Key::new(kind, namespace, name))).map(|object| object.value())
}

/// Whether a workload is in this state.
pub fn holds(object: &Value, is: Is) -> bool {
    match object["kind"].as_str() {
        Some("Deployment") => deployment_is(object, is),
        Some("StatefulSet") => stateful_set_is(object, is),
        Some("DaemonSet") => daemon_set_is(object, is),
        Some("Service") => revisions_are(object, &object["status"], ["latestCreatedRevisionName", "latestReadyRevisionName"], is),
        Some("InferenceService") => {
            revisions_are(object, &object["status"]["components"]["predictor"], ["latestCreatedRevision", "latestReadyRevision"], is)
        }
        _ => rollout_is(object, is),
    }
}

/// Whether all these counts are `wanted`, and of the newest spec.
fn all_are(object: &Value, fields: &[&str], wanted: &Value) -> bool {
    let status = &object["status"];
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    count(&status["observedGeneration"]) >= count(&object["metadata"]["generation"])
        && fields.iter().all(|field| count(&status[*field]) == count(wanted))
}

fn deployment_is(object: &Value, is: Is) -> bool {
    let paused = object["spec"]["paused"] == true;
    let done = all_are(object, &["replicas", "updatedReplicas", "availableReplicas"], &object["spec"]["replicas"]);
    let conditions = object["status"]["conditions"].as_array();
    match is {
        Is::Waits | Is::Pauses => paused,
        Is::Steady => done && !paused,
        Is::Moves => !done && !paused,
        Is::Fails => conditions.into_iter().flatten().any(|condition| condition["reason"] == "ProgressDeadlineExceeded"),
        Is::Aborted | Is::AtStep(_) | Is::AtWeight(_) => false,
    }
}

fn stateful_set_is(object: &Value, is: Is) -> bool {
    let (spec, status) = (&object["spec"], &object["status"]);
    let done = all_are(object, &["replicas", "readyReplicas"], &spec["replicas"]) && status["currentRevision"] == status["updateRevision"];
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    let reached = count(&spec["replicas"]).saturating_sub(count(&spec["updateStrategy"]["rollingUpdate"]["partition"]));
    let held = !done && all_are(object, &["readyReplicas"], &spec["replicas"]) && count(&status["updatedReplicas"]) >= reached;
    match is {
        Is::Waits | Is::Pauses => held,
        Is::Steady => done,
        Is::Moves => !done && !held,
        _ => false,
    }
}

fn daemon_set_is(object: &Value, is: Is) -> bool {
    let done = all_are(object, &["updatedNumberScheduled", "numberAvailable"], &object["status"]["desiredNumberScheduled"]);
    let held = !done && object["spec"]["updateStrategy"]["type"] == "OnDelete";
    match is {
        Is::Waits | Is::Pauses => held,
        Is::Steady => done,
        Is::Moves => !done && !held,
        _ => false,
    }
}

/// Of Knative's revisions: the newest has all users, or some.
fn revisions_are(object: &Value, status: &Value, [created, ready]: [&str; 2], is: Is) -> bool {
    let targets = status["traffic"].as_array().into_iter().flatten();
    let of_latest = targets.filter(|target| target["revisionName"] == status[ready]);
    let share: u64 = of_latest.filter_map(|target| target["percent"].as_u64()).sum();
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let is_ready = |status: &str| conditions.clone().any(|condition| condition["type"] == "Ready" && condition["status"] == status);
    let moving = status[created] != status[ready] || is_ready("Unknown");
    match is {
        Is::Waits | Is::Pauses => !moving && share < 100,
        Is::Moves => moving && !is_ready("False"),
        Is::Steady => is_ready("True") && share == 100,
        Is::Fails => is_ready("False"),
        Is::AtWeight(weight) => share >= u64::from(weight) && share < 100,
        Is::Aborted | Is::AtStep(_) => false,
    }
}

fn rollout_is(rollout: &Value, is: Is) -> bool {
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
    /// The Rollout, or what else there is of that name; with its kind.
    fn read(&self, path: &str) -> Result<(&'static str, Value), Refusal> {
        let (namespace, name) = path.split_once('/').unwrap_or(("", path));
        let found = WORKLOADS.into_iter().find_map(|kind| Some((kind, self.get(kind, namespace, name)?)));
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
        let at = if kind == KSERVE { "/spec/predictor/containers/0" } else { "/spec/template/spec/containers/0" };
        let Some(container) = object.pointer_mut(at).map(|container| &mut container["image"]) else {
            return Err(Refusal::bad_request(format!("{path} has no container")));
        };
        *container = image(container.as_str().unwrap_or_default()).into();
        self.write(kind, object)
    }

    pub fn change(&mut self, path: &str, edit: impl FnOnce(&mut Value)) -> Result<(), Refusal> {
        let (kind, mut object) = self.read(path)?;
        edit(&mut object["spec"]);
        self.write(kind, object)
    }

    /// A pipeline's release of a workload without a Rollout: it says why, and brings pods up where there are none.
    pub fn release(&mut self, path: &str, image: impl FnOnce(&str) -> String, least: u32) -> Result<(), Refusal> {
        let (kind, mut object) = self.read(path)?;
        let container = &mut object["spec"]["template"]["spec"]["containers"][0]["image"];
        let image = image(container.as_str().unwrap_or_default());
        *container = image.as_str().into();
        let tag = image.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        object["metadata"]["annotations"][CAUSE] = format!("release {tag}").into();
        if object["spec"]["replicas"] == 0 {
            object["spec"]["replicas"] = least.into();
        }
        self.write(kind, object)
    }

    /// The Deployment beside the one that the Service of this name picks.
    pub fn idle(&self, path: &str) -> Option<String> {
        let (namespace, name) = path.split_once('/')?;
        let live = self.get("services", namespace, name)?["spec"]["selector"][COLOUR].clone();
        COLOURS.iter().find(|colour| live != **colour).map(|colour| format!("{path}-{colour}"))
    }

    /// The Service picks the other Deployment, and the preview the one that served.
    fn flip(&mut self, path: &str) -> Result<(), Refusal> {
        let (namespace, name) = path.split_once('/').unwrap_or(("", path));
        let missing = || Refusal::not_found("services", name);
        let live = self.get("services", namespace, name).ok_or_else(missing)?["spec"]["selector"][COLOUR].clone();
        for service in [name.to_owned(), format!("{name}-preview")] {
            let Some(mut object) = self.get("services", namespace, &service) else { continue };
            let colour = &mut object["spec"]["selector"][COLOUR];
            let other = COLOURS.iter().find(|other| *colour != **other).copied().unwrap_or_default();
            *colour = if service == name { other.into() } else { live.clone() };
            self.write("services", object)?;
        }
        Ok(())
    }

    /// The route of a split sends this share to the new side; without a route, pods share it out.
    pub fn weigh(&mut self, path: &str, percent: u32) -> Result<(), Refusal> {
        const ROUTES: [(&str, &str); 2] = [
            ("virtualservices.networking.istio.io", "/spec/http/0/route"),
            ("httproutes.gateway.networking.k8s.io", "/spec/rules/0/backendRefs"),
        ];
        let (namespace, name) = path.split_once('/').unwrap_or(("", path));
        if self.get(KSERVE, namespace, name).is_some() {
            return self.change(path, |spec| spec["predictor"]["canaryTrafficPercent"] = percent.into());
        }
        if let Some(mut object) = self.get(KNATIVE, namespace, name) {
            object["spec"]["traffic"] = targets(&object["status"], percent);
            return self.write(KNATIVE, object);
        }
        for (kind, backends) in ROUTES {
            let Some(mut object) = self.get(kind, namespace, name) else { continue };
            for (at, weight) in [100 - percent.min(100), percent].into_iter().enumerate() {
                if let Some(backend) = object.pointer_mut(&format!("{backends}/{at}")) {
                    backend["weight"] = weight.into();
                }
            }
            return self.write(kind, object);
        }
        let other = format!("{name}-canary");
        if let Some(mut object) = self.get("ingresses.networking.k8s.io", namespace, &other) {
            object["metadata"]["annotations"][CANARY_WEIGHT] = percent.to_string().into();
            return self.write("ingresses.networking.k8s.io", object);
        }
        let count = |hand: &Self, name: &str| hand.get(DEPLOYMENTS, namespace, name).and_then(|found| found["spec"]["replicas"].as_u64());
        let all = count(self, name).unwrap_or_default() + count(self, &other).unwrap_or_default();
        let new = (all * u64::from(percent) + 50) / 100;
        self.change(&format!("{path}-canary"), |spec| spec["replicas"] = new.into())?;
        self.change(path, |spec| spec["replicas"] = (all - new).into())
    }

    /// Does it as the usual tool would: the plugin of Argo Rollouts, kubectl, or a script of their own.
    pub fn act(&mut self, path: &str, verb: Verb) -> Result<(), Refusal> {
        if verb == Verb::Flip {
            return self.flip(path);
        }
        if let (kind, object) = self.read(path)?
            && kind != ROLLOUTS
        {
            return self.act_plainly(path, kind, object, verb);
        }
        match verb {
            Verb::Pause => return self.change(path, |spec| spec["paused"] = true.into()),
            Verb::Resume => return self.change(path, |spec| spec["paused"] = false.into()),
            Verb::Restart => {
                let now = stamp(self.now);
                return self.change(path, |spec| spec["restartAt"] = now.into());
            }
            Verb::Undo => return self.undo(path),
            Verb::Promote | Verb::PromoteFull | Verb::Abort | Verb::Retry | Verb::Flip => {}
        }
        let (kind, mut object) = self.read(path)?;
        let paused = object["spec"]["paused"] == true;
        let patch = status_patch(&object, verb);
        json_patch::merge(&mut object, &patch);
        registry::update(self.store, kind, object, Write::new(self.now, self.by).status())?;
        // An abort, too, is only carried out when nothing holds the rollout by hand.
        if paused && verb != Verb::Retry { self.change(path, |spec| spec["paused"] = false.into()) } else { Ok(()) }
    }

    /// What kubectl writes for workloads that are no Rollouts.
    fn act_plainly(&mut self, path: &str, kind: &'static str, mut object: Value, verb: Verb) -> Result<(), Refusal> {
        match verb {
            Verb::Restart => {
                object["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = stamp(self.now).into()
            }
            Verb::Undo => {
                let missing = || Refusal::bad_request(format!("{path} has no earlier revision"));
                object["spec"]["template"] = self.previous(kind, &object).ok_or_else(missing)?;
            }
            Verb::Pause if kind == DEPLOYMENTS => object["spec"]["paused"] = true.into(),
            Verb::Resume if kind == DEPLOYMENTS => object["spec"]["paused"] = false.into(),
            _ => return Err(Refusal::bad_request(format!("{path} is no Rollout"))),
        }
        self.write(kind, object)
    }

    /// The template before the present one.
    fn previous(&self, kind: &str, object: &Value) -> Option<Value> {
        let uid = object["metadata"]["uid"].as_str()?;
        if kind != DEPLOYMENTS {
            let all = revisions::of(self.store, uid);
            return all.iter().rev().nth(1).map(|revision| revision.applied(object)["spec"]["template"].clone());
        }
        let number = |set: &Value| set["metadata"]["annotations"][REVISION].as_str().and_then(|number| number.parse::<u64>().ok());
        let mut sets: Vec<Value> = self.store.owned(REPLICA_SETS, uid).map(|set| set.value()).collect();
        sets.sort_by_key(number);
        let mut template = sets.iter().rev().nth(1)?["spec"]["template"].clone();
        json_patch::merge(&mut template, &json!({"metadata": {"labels": {"pod-template-hash": null}}}));
        Some(template)
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

/// What `kn service update --traffic` writes: the latest ready revision, and the one that serves most of the others.
fn targets(status: &Value, percent: u32) -> Value {
    let new = &status["latestReadyRevisionName"];
    let others = status["traffic"].as_array().into_iter().flatten().filter(|target| target["revisionName"] != *new);
    let old = others.max_by_key(|target| target["percent"].as_u64()).map(|target| target["revisionName"].clone());
    let of = |name: &Value, percent: u32| json!({"revisionName": name, "latestRevision": false, "percent": percent});
    match old.filter(|_| percent < 100) {
        Some(old) => json!([of(&old, 100 - percent), of(new, percent)]),
        None => json!([of(new, 100)]),
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
