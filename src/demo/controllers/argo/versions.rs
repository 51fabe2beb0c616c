//! The versions of a rollout: which ReplicaSets there are, making a new one, and its revision.

use std::cmp::Reverse;

use serde_json::{Value, json};

use super::{
    conditions::{self, Condition},
    names,
    pass::{Outcome, Pass, read},
    replica_set::ReplicaSet,
    spec::PodMetadata,
    template,
};
use crate::demo::store::Key;

/// Annotations of a rollout that its versions do not inherit.
const NOT_INHERITED: [&str; 5] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    names::REVISION,
    names::REVISION_HISTORY,
    names::DESIRED_REPLICAS,
    "notified.notifications.argoproj.io",
];

impl Pass<'_, '_> {
    pub fn find_versions(&mut self) {
        self.sets = self.cx.store.owned(names::REPLICA_SETS, &self.meta.uid).filter_map(|stored| read(stored)).collect();
        self.find_roles();
    }

    /// Which version is asked for, and which is the stable one.
    fn find_roles(&mut self) {
        let oldest = |hash: &str| {
            let same = self.sets.iter().enumerate().filter(|(_, set)| !hash.is_empty() && set.hash() == hash);
            same.min_by_key(|(_, set)| set.metadata.creation_timestamp).map(|(index, _)| index)
        };
        (self.new, self.stable) = (oldest(&self.wanted), oldest(&self.status.stable_rs));
    }

    /// The number for a version that is newer than all but itself.
    fn next_revision(&self) -> i64 {
        let old = self.sets.iter().enumerate().filter(|(index, _)| Some(*index) != self.new);
        old.map(|(_, set)| set.metadata.revision()).max().unwrap_or(0) + 1
    }

    /// Makes the version that is asked for, without pods.
    pub fn create_version(&mut self) -> Outcome {
        let revision = self.next_revision();
        let set = self.new_version(revision);
        let name = set["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if self.cx.store.get(&self.key_of(names::REPLICA_SETS, &name)).is_some() {
            return self.collide();
        }
        let set = match self.cx.create(names::REPLICA_SETS, set) {
            Ok(set) => set,
            Err(refusal) => {
                let message = format!("Failed to create new replica set \"{name}\": {}", refusal.message);
                self.warn("ReplicaSetCreateError", &message);
                self.declare_uncreated(message)?;
                return Err(refusal.into());
            }
        };
        self.sets.extend(serde_json::from_value::<ReplicaSet>(set).ok());
        self.find_roles();
        self.set_revision(&revision.to_string())?;
        self.event("NewReplicaSetCreated", &format!("Created ReplicaSet {name} (revision {revision})"));
        let message = format!("Created new replica set \"{name}\"");
        let condition = Condition::new(conditions::PROGRESSING, "True", "NewReplicaSetCreated", message, self.now());
        conditions::set(&mut self.status.conditions, condition);
        self.update_status()
    }

    /// A foreign ReplicaSet has this name: the next pass finds another one.
    fn collide(&mut self) -> Outcome {
        self.status.collision_count = Some(self.status.collision_count.unwrap_or(0) + 1);
        self.update_status()
    }

    fn new_version(&self, revision: i64) -> Value {
        let own = self.template();
        let mut pods = template::defaulted(own.clone());
        if let Some(affinity) = template::affinity(&own, self.anti_affinity(), &self.meta.namespace, &self.status.stable_rs) {
            pods["spec"]["affinity"] = affinity;
        }
        if let Some(metadata) = pods["metadata"].as_object_mut() {
            metadata.retain(|_, value| !value.is_null());
        }
        pods["metadata"]["labels"][names::HASH] = json!(*self.wanted);
        let labels = pods["metadata"]["labels"].clone();
        let mut selector = self.spec.selector.clone().unwrap_or_default();
        selector.match_labels.insert(names::HASH.into(), self.wanted.to_string());
        let mut annotations = self.inherited();
        annotations.insert(names::REVISION.into(), revision.to_string());
        annotations.insert(names::DESIRED_REPLICAS.into(), self.spec.replicas().to_string());
        if let Some(worn) = self.first_clothes()
            && template::dress(&mut pods["metadata"], None, Some(worn))
        {
            annotations.insert(names::EPHEMERAL_METADATA.into(), json!(worn).to_string());
        }
        let mut spec = json!({"replicas": 0, "selector": selector, "template": pods});
        if self.spec.min_ready_seconds != 0 {
            spec["minReadySeconds"] = self.spec.min_ready_seconds.into();
        }
        json!({
            "metadata": {
                "name": format!("{}-{}", self.meta.name, self.wanted), "namespace": self.meta.namespace, "labels": labels,
                "annotations": annotations, "ownerReferences": [self.owner()],
            },
            "spec": spec,
        })
    }

    fn anti_affinity(&self) -> Option<&Value> {
        let canary = self.spec.canary().and_then(|canary| canary.anti_affinity.as_ref());
        canary.or_else(|| self.spec.blue_green().and_then(|blue_green| blue_green.anti_affinity.as_ref()))
    }

    /// What pods of a new version wear: it is the stable one if there is no other.
    fn first_clothes(&self) -> Option<&PodMetadata> {
        let (new, stable) = self.clothes();
        if self.stable.is_some() { new } else { stable }
    }

    fn inherited(&self) -> std::collections::BTreeMap<String, String> {
        let own = self.meta.annotations.iter().filter(|(key, _)| !NOT_INHERITED.contains(&key.as_str()));
        own.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Gives the version that is asked for the highest revision, and the rollout the same. A version that comes back
    /// remembers its old numbers.
    pub fn sync_revision(&mut self) -> Outcome {
        let Some(index) = self.new else { return Ok(()) };
        let mut annotations = self.sets[index].metadata.annotations.clone();
        let before = annotations.clone();
        annotations.extend(self.inherited());
        let (old, next) = (self.sets[index].metadata.revision(), self.next_revision());
        if old < next {
            annotations.insert(names::REVISION.into(), next.to_string());
        }
        if annotations != before
            && let Some(old) = before.get(names::REVISION)
        {
            let history = annotations.entry(names::REVISION_HISTORY.into()).or_default();
            *history = if history.is_empty() { old.clone() } else { format!("{history},{old}") };
        }
        if annotations != before || self.sets[index].spec.min_ready_seconds != self.spec.min_ready_seconds {
            let seconds = Some(self.spec.min_ready_seconds).filter(|seconds| *seconds != 0);
            let patch = json!({"metadata": {"annotations": annotations}, "spec": {"minReadySeconds": seconds}});
            return self.patch_set(index, &patch);
        }
        let revision = before.get(names::REVISION).cloned().unwrap_or_default();
        self.set_revision(&revision)?;
        if conditions::find(&self.status.conditions, conditions::PROGRESSING).is_none() {
            let message = format!("Found new replica set \"{}\"", self.sets[index].name());
            let condition = Condition::new(conditions::PROGRESSING, "True", "FoundNewReplicaSet", message, self.now());
            conditions::set(&mut self.status.conditions, condition);
            self.update_status()?;
        }
        Ok(())
    }

    fn set_revision(&mut self, revision: &str) -> Outcome {
        if self.meta.annotation(names::REVISION) == revision {
            return Ok(());
        }
        self.meta.annotations.insert(names::REVISION.into(), revision.into());
        self.update_rollout(|_| ())?;
        self.event("RolloutUpdated", &format!("Rollout updated to revision {revision}"));
        Ok(())
    }

    /// Merges something into a version and remembers what came of it.
    pub fn patch_set(&mut self, index: usize, patch: &Value) -> Outcome {
        let updated = self.write_set(self.sets[index].name().to_owned(), patch)?;
        self.sets[index] = updated;
        Ok(())
    }

    /// Merges something into a version, of which this pass goes on to think as it was.
    pub fn write_set(&mut self, name: String, patch: &Value) -> Outcome<ReplicaSet> {
        let key = Key { kind: names::REPLICA_SETS.into(), namespace: self.key.namespace.clone(), name: name.into() };
        let updated = self.cx.patch(&key, patch)?;
        Ok(serde_json::from_value(updated).unwrap_or_default())
    }

    /// Deletes the oldest versions beyond the limit, with their runs and Experiments. Those that still have pods stay.
    pub fn clean_up_history(&mut self) -> Outcome {
        let mut old: Vec<ReplicaSet> = self.others().into_iter().filter(|set| set.metadata.deletion_timestamp.is_none()).cloned().collect();
        let Some(excess) = old.len().checked_sub(self.spec.revision_history_limit()).filter(|excess| *excess > 0) else {
            return Ok(());
        };
        old.sort_by_key(|set| (set.metadata.creation_timestamp, set.metadata.name.clone()));
        for set in old.into_iter().take(excess) {
            let is_idle = set.spec.replicas == 0 && set.status.replicas == 0;
            if is_idle && set.metadata.generation <= set.status.observed_generation {
                self.cx.delete(&self.key_of(names::REPLICA_SETS, set.name()))?;
                self.delete_runs_of(set.hash())?;
                self.delete_experiments_of(set.hash())?;
            }
        }
        Ok(())
    }

    /// Versions by revision, the latest first.
    pub fn by_revision(mut sets: Vec<ReplicaSet>) -> Vec<ReplicaSet> {
        sets.sort_by_key(|set| Reverse((set.metadata.revision(), set.metadata.creation_timestamp)));
        sets
    }
}
