//! Deployments: from one ReplicaSet to the next, by the real controller's rules.

use std::{cmp::Reverse, time::Duration};

use serde_json::{Value, json};

use super::{
    events,
    objects::{between, condition, key_of, owner_by_name, pod_template_hash, remove_condition, same, scaled, selects, set_condition, time},
    orphans::{self, Orphans},
    pods::Pod,
};
use crate::{
    demo::{
        refusal::Refusal,
        registry::{controlled_by, stamp},
        sim::{Controller, Cx},
        store::{Change, Key, Store, Stored},
    },
    model::Time,
};

mod history;
mod scaling;
mod status;
#[cfg(test)]
mod tests;

const DEPLOYMENTS: &str = "deployments.apps";
const REPLICA_SETS: &str = "replicasets.apps";
const HASH_LABEL: &str = "pod-template-hash";

/// "Never", in fields that are a number of seconds or revisions.
const NEVER: i64 = i32::MAX as i64;

/// A ReplicaSet for the template of a Deployment that is not looked after here, with so many pods.
pub fn replica_set(deployment: &Stored, replicas: i64) -> Value {
    history::new_set(&Deployment::read(deployment), replicas)
}

/// The Deployment controller.
#[derive(Default)]
pub struct Deployments {
    orphans: Orphans,
    /// Revisions written in this pass, which are no news.
    own: Vec<u64>,
}

impl Controller for Deployments {
    fn name(&self) -> &'static str {
        "kube-controller-manager"
    }

    fn wakes(&self, change: &Change, store: &Store, wake: &mut Vec<Key>) {
        let Some(object) = change.object() else { return };
        match &*object.key.kind {
            DEPLOYMENTS if !self.own.contains(&change.revision) => wake.push(object.key.clone()),
            REPLICA_SETS if !self.own.contains(&change.revision) => {
                self.orphans.note(change);
                let (before, after) = (change.before.as_deref(), change.after.as_deref());
                let both = [before, after.filter(|after| before.is_none_or(|before| before.owner != after.owner))];
                wake.extend(both.into_iter().flatten().filter_map(|set| owner_by_name(store, set, DEPLOYMENTS)));
                if after.is_some_and(|set| set.owner.is_none()) {
                    wake.extend(store.list(DEPLOYMENTS, Some(&object.key.namespace)).map(|deployment| deployment.key.clone()));
                }
            }
            _ => (),
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        let deployment = Deployment::read(cx.store.get(key)?);
        self.orphans.adopt(cx, REPLICA_SETS, &deployment.object);
        let sets = release(cx, &deployment);
        let mut pass = Pass { cx, deployment, sets, own: Vec::new() };
        let again = pass.run().unwrap_or(Some(RETRY));
        self.own = pass.own;
        again
    }
}

/// After a refused write.
const RETRY: Duration = Duration::from_millis(50);

/// A Deployment in hand.
struct Deployment {
    object: Value,
    uid: Box<str>,
    name: String,
    replicas: i64,
    is_rolling: bool,
    /// Pods above and below `replicas` while rolling.
    surge: i64,
    unavailable: i64,
    min_ready: i64,
    /// `None`: progress is nobody's concern.
    deadline: Option<i64>,
    history: Option<i64>,
    is_paused: bool,
}

impl Deployment {
    fn read(stored: &Stored) -> Self {
        let object = stored.value();
        let spec = &object["spec"];
        // Absent fields mean what the API server would have put there.
        let replicas = spec["replicas"].as_i64().unwrap_or(1);
        let is_rolling = spec["strategy"]["type"] != "Recreate";
        let (surge, unavailable) = if is_rolling { fenceposts(&spec["strategy"]["rollingUpdate"], replicas) } else { (0, 0) };
        let limit = |field: &str, usual: i64| Some(spec[field].as_i64().unwrap_or(usual)).filter(|limit| *limit < NEVER);
        Self {
            uid: stored.uid.clone(),
            name: stored.key.name.to_string(),
            replicas,
            is_rolling,
            surge,
            unavailable: unavailable.min(replicas),
            min_ready: spec["minReadySeconds"].as_i64().unwrap_or_default(),
            deadline: limit("progressDeadlineSeconds", 600),
            history: limit("revisionHistoryLimit", 10),
            is_paused: spec["paused"] == true,
            object,
        }
    }

    fn status(&self, field: &str) -> i64 {
        self.object["status"][field].as_i64().unwrap_or_default()
    }

    fn progressing(&self) -> Option<&Value> {
        condition(&self.object["status"]["conditions"], "Progressing")
    }

    fn max_pods(&self) -> i64 {
        self.replicas + self.surge
    }
}

/// `maxSurge` and `maxUnavailable` as numbers. Never both zero: nothing would move.
fn fenceposts(strategy: &Value, replicas: i64) -> (i64, i64) {
    let number = |field: &str, up: bool| {
        let value = &strategy[field];
        let value = if value.is_null() { &json!("25%") } else { value };
        scaled(value, replicas, up).unwrap_or_default()
    };
    match (number("maxSurge", true), number("maxUnavailable", false)) {
        (0, 0) => (0, 1),
        both => both,
    }
}

/// One of its ReplicaSets, as it was when the pass began.
#[derive(Clone)]
struct Set {
    object: Value,
    uid: Box<str>,
    name: String,
    /// Asked for.
    replicas: i64,
    created: Time,
}

impl Set {
    fn new(object: Value) -> Self {
        let metadata = &object["metadata"];
        Self {
            uid: metadata["uid"].as_str().unwrap_or_default().into(),
            name: metadata["name"].as_str().unwrap_or_default().into(),
            replicas: object["spec"]["replicas"].as_i64().unwrap_or(1),
            created: time(&metadata["creationTimestamp"]).unwrap_or_default(),
            object,
        }
    }

    fn status(&self, field: &str) -> i64 {
        self.object["status"][field].as_i64().unwrap_or_default()
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.object["metadata"]["annotations"][name].as_str()
    }

    fn count(&self, name: &str) -> Option<i64> {
        self.annotation(name)?.parse().ok().filter(|count| *count >= 0)
    }

    fn age_order(&self) -> (Time, &str) {
        (self.created, &self.name)
    }
}

/// Its ReplicaSets, oldest first, without those that no longer match.
fn release(cx: &mut Cx<'_>, deployment: &Deployment) -> Vec<Set> {
    let owned: Vec<_> = cx.store.owned(REPLICA_SETS, &deployment.uid).cloned().collect();
    let (mine, strangers): (Vec<_>, Vec<_>) = owned.into_iter().partition(|set| selects(&deployment.object["spec"]["selector"], &**set));
    for stranger in strangers {
        orphans::release(cx, REPLICA_SETS, stranger.value(), &deployment.uid);
    }
    let mut sets: Vec<Set> = mine.iter().map(|set| Set::new(set.value())).collect();
    sets.sort_by(|a, b| a.age_order().cmp(&b.age_order()));
    sets
}

/// One pass over one Deployment. `sets` stays as it was found, so that the status tells of what was seen.
struct Pass<'a, 'b> {
    cx: &'a mut Cx<'b>,
    deployment: Deployment,
    sets: Vec<Set>,
    /// Revisions written so far that are no news.
    own: Vec<u64>,
}

/// When to look again, if not after the next change.
type Outcome = Result<Option<Duration>, Refusal>;

impl Pass<'_, '_> {
    fn run(&mut self) -> Outcome {
        if !self.deployment.object["metadata"]["deletionTimestamp"].is_null() {
            let new = self.find_new();
            return self.write_plain_status(new);
        }
        self.mark_paused()?;
        let new = self.sync_new()?;
        if self.deployment.is_paused || self.is_scaled() {
            return self.scale(new);
        }
        if self.deployment.is_rolling { self.roll(new) } else { self.recreate(new) }
    }

    /// The oldest ReplicaSet with the wanted template.
    fn find_new(&self) -> Option<usize> {
        self.sets.iter().position(|set| is_of(&set.object["spec"]["template"], &self.deployment.object["spec"]["template"]))
    }

    fn old(&self, new: Option<usize>) -> Vec<&Set> {
        self.sets.iter().enumerate().filter(|(index, _)| Some(*index) != new).map(|(_, set)| set).collect()
    }

    /// Pausing and resuming are conditions of their own, so that nobody counts the time in between as lack of progress.
    fn mark_paused(&mut self) -> Result<(), Refusal> {
        let reason = self.deployment.progressing().and_then(|progressing| progressing["reason"].as_str());
        if self.deployment.deadline.is_none() || reason == Some("ProgressDeadlineExceeded") {
            return Ok(());
        }
        let was_paused = reason == Some("DeploymentPaused");
        match (self.deployment.is_paused, was_paused) {
            (true, false) => self.progress("Unknown", "DeploymentPaused", "Deployment is paused"),
            (false, true) => self.progress("Unknown", "DeploymentResumed", "Deployment is resumed"),
            _ => Ok(()),
        }
    }

    /// Writes the Progressing condition at once.
    fn progress(&mut self, status: &str, reason: &str, message: &str) -> Result<(), Refusal> {
        if self.set_progress(status, reason, message) { self.store_status() } else { Ok(()) }
    }

    fn set_progress(&mut self, status: &str, reason: &str, message: &str) -> bool {
        let new = json!({"type": "Progressing", "status": status, "reason": reason, "message": message});
        set_condition(&mut self.deployment.object["status"]["conditions"], new, self.cx.now)
    }

    fn store_status(&mut self) -> Result<(), Refusal> {
        if self.cx.workloads.is_prehistory(self.cx.now) {
            self.store_whole();
            return Ok(());
        }
        let written = self.cx.update_status(DEPLOYMENTS, self.deployment.object.clone())?;
        self.deployment.object["metadata"] = written["metadata"].clone();
        self.own.push(self.cx.store.revision());
        Ok(())
    }

    /// Writes status and annotations. The status door of Deployments lets annotations through, which that of the registry
    /// does for clients only; and nobody asks who wrote what in prehistory.
    fn store_whole(&mut self) {
        let key = key_of(DEPLOYMENTS, &self.deployment.object);
        self.cx.store.put(key, self.deployment.object.clone());
        self.own.push(self.cx.store.revision());
        self.deployment.object["metadata"]["resourceVersion"].take();
    }

    /// Whether somebody has changed `replicas`: ReplicaSets remember what was asked for.
    fn is_scaled(&self) -> bool {
        let desired = |set: &&Set| set.count(history::DESIRED).is_some_and(|desired| desired != self.deployment.replicas);
        self.sets.iter().filter(|set| set.replicas > 0).any(|set| desired(&set))
    }

    fn roll(&mut self, new: Option<usize>) -> Outcome {
        let new = self.ensure_new(new)?;
        if self.grow_new(new)? || self.shrink_old(new)? {
            return self.write_status(new);
        }
        if self.is_complete() {
            self.clean_up(new)?;
        }
        self.write_status(new)
    }

    fn recreate(&mut self, new: Option<usize>) -> Outcome {
        let mut scaled = false;
        for index in (0..self.sets.len()).filter(|index| Some(*index) != new) {
            scaled |= self.resize(index, 0)?;
        }
        if scaled || self.has_old_pods(new) {
            return match new {
                Some(new) => self.write_status(new),
                None => self.write_status_of(None),
            };
        }
        let new = self.ensure_new(new)?;
        self.resize(new, self.deployment.replicas)?;
        if self.is_complete() {
            self.clean_up(new)?;
        }
        self.write_status(new)
    }

    /// Whether pods of other templates still run, if only to end.
    fn has_old_pods(&self, new: Option<usize>) -> bool {
        let is_running = |set: &&Set| {
            set.status("replicas") > 0 || self.cx.store.owned("pods", &set.uid).filter_map(|pod| Pod::read(pod)).any(|pod| !pod.is_over())
        };
        self.old(new).iter().any(is_running)
    }

    /// As the last status says.
    fn is_complete(&self) -> bool {
        let wanted = self.deployment.replicas;
        ["updatedReplicas", "replicas", "availableReplicas"].iter().all(|field| self.deployment.status(field) == wanted)
            && self.deployment.status("observedGeneration") >= self.deployment.object["metadata"]["generation"].as_i64().unwrap_or_default()
    }
}

/// Whether a ReplicaSet's template is this one, but for the label that tells templates apart.
fn is_of(of_set: &Value, template: &Value) -> bool {
    let mut bare = of_set.clone();
    if let Some(labels) = bare["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH_LABEL);
    }
    same(&bare, template)
}
