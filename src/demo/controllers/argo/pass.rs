//! One look at one rollout: what it finds, what it decides, and the status it writes at the end.
//!
//! Decisions are made on what was read when the pass began, even after the pass has written something: a changed
//! number of pods counts only in the next pass, as it does for the real controller.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::SubsecRound;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    analysis::Runs,
    conditions::{self, Condition},
    experiment::Experiments,
    names,
    pause::Pauses,
    replica_set::ReplicaSet,
    replicas::Counting,
    spec::{Meta, Spec},
    status::Status,
    template,
};
use crate::{
    demo::{
        controllers::events,
        refusal::Refusal,
        sim::Cx,
        store::{Key, Stored},
    },
    model::Time,
};

/// Why a pass ended early.
#[derive(Debug)]
pub enum Trouble {
    /// The spec cannot be acted on. Says so as the condition does, without the rollout's name.
    Invalid(String),
    /// The same of a reference to a workload.
    NoWorkload(String),
    /// The API server did not take something.
    Refused(Refusal),
    /// What was asked for cannot be done now.
    Failed(String),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(refusal) => f.write_str(&refusal.message),
            Self::Invalid(why) | Self::NoWorkload(why) | Self::Failed(why) => f.write_str(why),
        }
    }
}

pub type Outcome<T = ()> = Result<T, Trouble>;

/// A Rollout as read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Rollout {
    pub metadata: Meta,
    pub spec: Spec,
    pub status: Status,
}

/// What the controller remembers of a rollout between passes.
#[derive(Debug, Default)]
pub struct Memory {
    /// The hash of the template at a generation, which is costly to find.
    pub hash: Option<(i64, Option<i64>, Arc<str>)>,
    /// On what the spec was found good.
    pub valid: Option<Vec<u64>>,
    /// What the canary Ingresses were last made of: generation, weight, revisions of the stable and of the canary one.
    pub ingresses: BTreeMap<String, (i64, i64, u64, u64)>,
}

pub struct Pass<'a, 'c> {
    pub cx: &'a mut Cx<'c>,
    pub memory: &'a mut Memory,
    pub key: Key,
    /// `kind`, `apiVersion` and `metadata` for events and references.
    about: Value,
    pub meta: Meta,
    pub spec: Spec,
    pub status: Status,
    /// The hash of the template that is asked for.
    pub wanted: Arc<str>,
    pub sets: Vec<ReplicaSet>,
    /// The version that is asked for.
    pub new: Option<usize>,
    /// The version to go back to; the same as `new` when all is done, none before the first version is deployed.
    pub stable: Option<usize>,
    pub runs: Runs,
    pub experiments: Experiments,
    pub pauses: Pauses,
    /// Parts of the next status that are known before it is put together.
    pub draft: Status,
    /// Whether the new version still waited for its scale-down deadline when the pass began.
    pub was_within_delay: bool,
    /// Whether the pass has written the rollout.
    pub has_written: bool,
    /// When to look again at the latest.
    pub again: Option<Duration>,
}

/// Reads an object into a type. Nulls in places where people rarely write them cost a second attempt.
pub fn read<T: DeserializeOwned>(stored: &Stored) -> Option<T> {
    serde_json::from_slice(&stored.json).ok().or_else(|| serde_json::from_value(without_nulls(stored.value())).ok())
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, without_nulls(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

impl<'a, 'c> Pass<'a, 'c> {
    pub fn new(cx: &'a mut Cx<'c>, memory: &'a mut Memory, key: &Key, rollout: Rollout, revision: u64) -> Self {
        let Rollout { metadata: meta, spec, status } = rollout;
        let about = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
            "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid, "resourceVersion": revision.to_string()},
        });
        let mut draft = Status { restarted_at: status.restarted_at, ..Status::default() };
        draft.canary.weights = status.canary.weights.clone();
        Self {
            cx,
            memory,
            key: key.clone(),
            about,
            meta,
            spec,
            status,
            wanted: "".into(),
            sets: Vec::new(),
            new: None,
            stable: None,
            runs: Runs::default(),
            experiments: Experiments::default(),
            pauses: Pauses::default(),
            draft,
            was_within_delay: false,
            has_written: false,
            again: None,
        }
    }

    /// The whole pass. The spec's `replicas` are written if they were left out, as autoscalers need them.
    pub fn run(&mut self) -> Outcome {
        if !self.resolve_workload()? {
            return Ok(());
        }
        self.wanted = self.template_hash();
        self.find_versions();
        self.find_runs();
        self.find_experiments();
        self.was_within_delay = self.new_set().is_some_and(|set| set.time_left(self.cx.now).is_some());
        self.validate()?;
        if self.new.is_none() {
            self.create_version()?;
        }
        if self.status.is_fully_promoted() && self.pauses.is_aborted(&self.status) {
            self.pauses.unabort();
        }
        if self.has_written {
            return Ok(());
        }
        if self.spec.replicas.is_none() {
            return self.update_rollout(|object| object["spec"]["replicas"] = 1.into());
        }
        self.reconcile()
    }

    fn reconcile(&mut self) -> Outcome {
        self.align_conditions()?;
        if self.has_written {
            return Ok(());
        }
        self.sync_revision()?;
        if self.is_scaling() {
            return self.scale_only();
        }
        if self.spec.blue_green().is_some() { self.blue_green() } else { self.canary() }
    }

    // What there is.

    pub fn now(&self) -> Time {
        self.cx.now.trunc_subsecs(0)
    }

    pub fn new_set(&self) -> Option<&ReplicaSet> {
        self.new.map(|index| &self.sets[index])
    }

    pub fn stable_set(&self) -> Option<&ReplicaSet> {
        self.stable.map(|index| &self.sets[index])
    }

    /// Versions that are neither new nor stable.
    pub fn others(&self) -> Vec<&ReplicaSet> {
        let mine = |index: usize| Some(index) != self.new && Some(index) != self.stable;
        self.sets.iter().enumerate().filter(|(index, _)| mine(*index)).map(|(_, set)| set).collect()
    }

    pub fn set_of(&self, hash: &str) -> Option<&ReplicaSet> {
        self.sets.iter().find(|set| !hash.is_empty() && set.hash() == hash)
    }

    pub fn hash_of(set: Option<&ReplicaSet>) -> &str {
        set.map_or("", ReplicaSet::hash)
    }

    /// Counts pods by what was read.
    pub fn count<T>(&self, count: impl FnOnce(&Counting<'_>) -> T) -> T {
        let others = self.others();
        count(&Counting { spec: &self.spec, status: &self.status, new: self.new_set(), stable: self.stable_set(), others: &others })
    }

    pub fn is_observed(&self) -> bool {
        self.status.observed_generation == self.meta.generation.to_string()
    }

    /// An object of the rollout's namespace, read into a type.
    pub fn find<T: DeserializeOwned>(&self, kind: &str, name: &str) -> Option<T> {
        read(self.cx.store.get(&Key { kind: kind.into(), namespace: self.key.namespace.clone(), name: name.into() })?)
    }

    /// Where an object of the rollout's namespace is.
    pub fn key_of(&self, kind: &str, name: &str) -> Key {
        Key { kind: kind.into(), namespace: self.key.namespace.clone(), name: name.into() }
    }

    /// An owner reference to the rollout.
    pub fn owner(&self) -> Value {
        crate::demo::registry::controlled_by(&self.about)
    }

    /// The template hash is found once per generation. A workload's template has no generation here.
    fn template_hash(&mut self) -> Arc<str> {
        let (generation, collisions) = (self.meta.generation, self.status.collision_count);
        let is_own = self.spec.workload_ref.is_none();
        match &self.memory.hash {
            Some((known, counted, hash)) if is_own && (*known, *counted) == (generation, collisions) => hash.clone(),
            _ => {
                let hash: Arc<str> = template::hash(&self.template(), collisions).into();
                self.memory.hash = is_own.then(|| (generation, collisions, hash.clone()));
                hash
            }
        }
    }

    pub fn template(&self) -> Value {
        self.spec.template.as_ref().and_then(|template| serde_json::from_str(template.get()).ok()).unwrap_or_default()
    }

    // What the pass decides.

    /// Whether the new version is older than the stable one, or is it.
    pub fn is_rollback(&self) -> bool {
        let (Some(new), Some(stable)) = (self.new_set(), self.stable_set()) else { return false };
        new.hash() == self.status.stable_rs || new.metadata.is_older_than(&stable.metadata)
    }

    /// Whether the way back is short: to the stable version, within the rollback window, or to a version that has not
    /// been scaled down yet. A rollout that is done counts as well.
    pub fn is_fast_rollback(&self) -> bool {
        let is_kept = self.was_within_delay && self.spec.blue_green().is_some();
        let is_stable = self.new_set().is_some_and(|new| new.hash() == self.status.stable_rs);
        self.is_rollback() && (self.is_within_window() || is_kept || is_stable)
    }

    /// Whether few enough versions lie between the new and the stable one. Versions of Experiments are not among them.
    pub fn is_within_window(&self) -> bool {
        let (Some(new), Some(stable), Some(window)) = (self.new_set(), self.stable_set(), &self.spec.rollback_window) else {
            return false;
        };
        let between = |set: &&ReplicaSet| set.metadata.is_older_than(&stable.metadata) && new.metadata.is_older_than(&set.metadata);
        let count = self.sets.iter().filter(between).count();
        new.metadata.is_older_than(&stable.metadata) && window.revisions > 0 && (count as i64) < window.revisions
    }

    pub fn is_halted(&self) -> bool {
        conditions::is_halted(&self.spec, &self.status)
    }

    pub fn is_aborted(&self) -> bool {
        self.pauses.is_aborted(&self.status)
    }

    pub fn template_changed(&self) -> bool {
        let hash = self.new_set().map_or(&*self.wanted, ReplicaSet::hash);
        !self.status.current_pod_hash.is_empty() && self.status.current_pod_hash != hash
    }

    // What the pass does.

    pub fn event(&mut self, reason: &str, message: &str) {
        events::record(self.cx, &self.about, "Normal", reason, message);
    }

    pub fn warn(&mut self, reason: &str, message: &str) {
        events::record(self.cx, &self.about, "Warning", reason, message);
    }

    /// Looks again after this long, or earlier if somebody else wants that.
    pub fn look_again(&mut self, after: Duration) {
        self.again = Some(self.again.map_or(after, |again| again.min(after)));
    }

    /// Looks again when this long has passed since then.
    pub fn look_again_at(&mut self, then: Time) {
        if let Ok(after) = (then - self.cx.now).to_std() {
            self.look_again(after);
        }
    }

    /// Writes the rollout back: annotations as they are now, what Go cannot leave out, and a change.
    pub fn update_rollout(&mut self, change: impl FnOnce(&mut Value)) -> Outcome {
        let mut object = self.stored()?;
        object["metadata"]["annotations"] = json!(self.meta.annotations);
        if self.spec.workload_ref.is_none() {
            template::written_back(&mut object["spec"]["template"]);
        }
        change(&mut object);
        let object = self.cx.update(names::ROLLOUTS, object)?;
        let generation = object["metadata"]["generation"].as_i64().unwrap_or(self.meta.generation);
        if let Some((known, ..)) = &mut self.memory.hash {
            *known = generation;
        }
        self.meta.generation = generation;
        self.has_written = true;
        Ok(())
    }

    /// Writes the whole status as it is in memory.
    pub fn update_status(&mut self) -> Outcome {
        let mut object = self.stored()?;
        object["status"] = json!(self.status);
        self.cx.update_status(names::ROLLOUTS, object)?;
        self.has_written = true;
        Ok(())
    }

    fn stored(&self) -> Outcome<Value> {
        let object = self.cx.store.get(&self.key).map(|object| object.value());
        object.ok_or_else(|| Refusal::not_found(&self.key.kind, &self.key.name).into())
    }

    /// Writes what is different from the status read. Whether there was anything.
    pub fn patch(&mut self, status: &Status) -> Outcome<bool> {
        let Some(patch) = status.patch_from(&self.status) else { return Ok(false) };
        self.cx.patch_status(&self.key, &patch)?;
        self.has_written = true;
        Ok(true)
    }

    /// Writes these conditions and what follows from them at once, and nothing else.
    fn patch_conditions(&mut self, mut status: Status, conditions: Vec<Condition>) -> Outcome {
        for condition in conditions {
            conditions::set(&mut status.conditions, condition);
        }
        self.observe(&mut status);
        self.patch(&status).map(drop)
    }

    pub fn observe(&self, status: &mut Status) {
        status.observed_generation = self.meta.generation.to_string();
        let (phase, message) = conditions::phase(&self.spec, status);
        (status.phase, status.message) = (phase.into(), message);
    }

    /// Says in the status that the spec cannot be acted on.
    pub fn declare_invalid(&mut self, why: &str) -> Outcome {
        let message = format!("The Rollout \"{}\" is invalid: {why}", self.meta.name);
        let known = conditions::find(&self.status.conditions, conditions::INVALID_SPEC);
        let is_known = known.is_some_and(|known| known.message == message);
        if is_known && self.is_observed() {
            return Ok(());
        }
        let mut status = self.status.clone();
        if !is_known {
            // A new message is a new condition.
            conditions::remove(&mut status.conditions, conditions::INVALID_SPEC);
        }
        let condition = Condition::new(conditions::INVALID_SPEC, "True", "InvalidSpec", message, self.now());
        self.patch_conditions(status, vec![condition])
    }

    /// Says why there is no new version.
    pub fn declare_uncreated(&mut self, message: String) -> Outcome {
        let condition = Condition::new(conditions::PROGRESSING, "False", "ReplicaSetCreateError", message, self.now());
        self.patch_conditions(self.status.clone(), vec![condition])
    }

    /// Brings `Progressing` and `Paused` in line with pauses and aborts that came or went. What is written here is all
    /// of the pass: its work is done by the next one.
    fn align_conditions(&mut self) -> Outcome {
        let (status, now) = (&self.status, self.now());
        let is_paused = self.spec.paused || !status.pause_conditions.is_empty();
        let was_aborted = conditions::progresses_for(status, conditions::ABORTED);
        let says_paused = conditions::progresses_for(status, conditions::ROLLOUT_PAUSED);
        let mut changes = Vec::new();
        if is_paused != says_paused && !was_aborted && !status.is_completed() {
            let (reason, message) =
                if is_paused { (conditions::ROLLOUT_PAUSED, "Rollout is paused") } else { ("RolloutResumed", "Rollout is resumed") };
            changes.push(Condition::new(conditions::PROGRESSING, "Unknown", reason, message, now));
        }
        if !status.abort && was_aborted {
            changes.push(Condition::new(conditions::PROGRESSING, "Unknown", "RolloutRetry", "Retrying Rollout after abort", now));
        }
        if is_paused != conditions::is_true(status, conditions::PAUSED) && !was_aborted {
            let value = if is_paused { "True" } else { "False" };
            changes.push(Condition::new(conditions::PAUSED, value, conditions::ROLLOUT_PAUSED, "Rollout is paused", now));
        }
        if changes.is_empty() { Ok(()) } else { self.patch_conditions(self.status.clone(), changes) }
    }
}
