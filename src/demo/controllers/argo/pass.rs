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
    replica_set::{self, ReplicaSet},
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
    /// How often the canary Service went back and forth since the rollout was aborted, and when it last did.
    pub flaps: Option<(u32, Time)>,
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

    /// Whether nobody may change replica counts or switch Services: paused by hand, or an analysis that could not tell.
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
    fn patch(&mut self, status: &Status) -> Outcome<bool> {
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

    fn observe(&self, status: &mut Status) {
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

    // The next status.

    /// The fields that both strategies have alike.
    pub fn base_status(&mut self) -> Status {
        let mut conditions = self.status.conditions.clone();
        if conditions::find(&conditions, conditions::INVALID_SPEC).is_some() && self.validation_error().is_none() {
            conditions::remove(&mut conditions, conditions::INVALID_SPEC);
        }
        let current = self.new_set().map_or_else(|| self.wanted.to_string(), |set| set.hash().to_owned());
        let promote_full = self.status.promote_full;
        Status {
            promote_full,
            current_pod_hash: current,
            replicas: replica_set::existing(&self.sets),
            updated_replicas: replica_set::existing(self.new_set()),
            ready_replicas: replica_set::ready(&self.sets),
            collision_count: self.status.collision_count,
            conditions,
            ..self.draft.clone()
        }
    }

    /// A new update begins: nothing of the last one counts any more.
    pub fn reset(&mut self, status: &mut Status) {
        self.pauses.clear();
        self.pauses.unabort();
        status.promote_full = false;
        status.blue_green.pre_promotion_analysis_run_status = None;
        status.blue_green.post_promotion_analysis_run_status = None;
        status.blue_green.scale_up_preview_check_point = false;
        status.canary.current_step_analysis_run_status = None;
        status.canary.current_background_analysis_run_status = None;
        status.current_step_index = (!self.spec.steps().is_empty()).then_some(0);
    }

    /// The new version becomes the stable one.
    pub fn promote(&mut self, status: &mut Status, why: &str) -> Outcome {
        self.pauses.clear();
        self.pauses.unabort();
        status.promote_full = false;
        status.blue_green.scale_up_preview_check_point = false;
        if self.spec.canary().is_some() {
            let steps = self.spec.steps().len() as i64;
            status.current_step_index = (steps > 0).then_some(steps);
        }
        let revision = self.meta.revision();
        if status.stable_rs != status.current_pod_hash {
            if self.spec.canary().is_some_and(|canary| canary.ping_pong.is_some()) {
                let next = if self.status.canary.stable_ping_pong == "ping" { "pong" } else { "ping" };
                status.canary.stable_ping_pong = next.into();
            }
            status.stable_rs = status.current_pod_hash.clone();
            let message = format!("Rollout completed update to revision {revision} ({}): {why}", status.current_pod_hash);
            self.event("RolloutCompleted", &message);
        }
        self.scale_workload_on_success(revision)
    }

    /// Writes the status, if anything in it is different, and says what became of pauses. Otherwise looks again when
    /// progress is due.
    pub fn persist(&mut self, mut status: Status) -> Outcome {
        let now = self.now();
        status.observed_generation = self.meta.generation.to_string();
        self.observe_workload(&mut status);
        self.abort_after_deadline(&status);
        self.pauses.apply(&self.status, &mut status, now);
        self.settle_conditions(&mut status, now);
        self.observe(&mut status);
        let was_paused = !self.status.pause_conditions.is_empty();
        if !self.patch(&status)? {
            self.look_again_for_progress(&status);
            return Ok(());
        }
        match status.pause_conditions.first() {
            Some(pause) if !was_paused => self.event("RolloutPaused", &format!("Rollout is paused ({})", pause.reason.name())),
            // An abort clears the pauses, too.
            None if was_paused && status.aborted_at.is_none() => self.event("RolloutResumed", "Rollout is resumed"),
            _ => {}
        }
        Ok(())
    }

    fn abort_after_deadline(&mut self, status: &Status) {
        let is_due = self.spec.progress_deadline_abort
            && !self.is_aborted()
            && !status.is_completed()
            && !conditions::made_progress(&self.spec, &self.status, status)
            && self.progress_is_expected()
            && conditions::timed_out(&self.spec, &self.status, self.cx.now);
        if is_due {
            let message = self.named("has timed out progressing.");
            self.warn(conditions::ABORTED, &message);
            self.pauses.abort(message);
        }
    }

    /// No progress is expected while a step may take any time, a pause is on, or an old version waits for its deadline.
    fn progress_is_expected(&self) -> bool {
        !self.is_open_ended() && !self.others().iter().any(|set| set.has_deadline())
    }

    fn is_open_ended(&self) -> bool {
        let step = super::replicas::current_step(&self.spec, &self.status).0;
        step.is_some_and(|step| step.is_open_ended()) || conditions::is_true(&self.status, conditions::PAUSED)
    }

    fn named(&self, what: &str) -> String {
        match self.new_set() {
            Some(set) => format!("ReplicaSet \"{}\" {what}", set.name()),
            None => format!("Rollout \"{}\" {what}", self.meta.name),
        }
    }

    fn settle_conditions(&mut self, status: &mut Status, now: Time) {
        let became_unhealthy = self.settle_healthy(status, now);
        if self.is_aborted() {
            self.settle_aborted(status, now);
        } else {
            self.settle_progressing(status, now, became_unhealthy);
        }
        self.settle_available(status, now);
        self.settle_failures(status);
        self.settle_completed(status, now);
    }

    /// Whether the rollout was healthy and no longer is.
    fn settle_healthy(&self, status: &mut Status, now: Time) -> bool {
        let is_paused = self.spec.paused || !status.pause_conditions.is_empty();
        let (value, message) = match !is_paused && conditions::is_healthy(&self.spec, self.is_observed(), status) {
            true => ("True", "Rollout is healthy"),
            false => ("False", "Rollout is not healthy"),
        };
        // Unhealthy is said only of what was healthy once.
        let is_said = value == "True" || conditions::find(&self.status.conditions, conditions::HEALTHY).is_some();
        let condition = Condition::new(conditions::HEALTHY, value, "RolloutHealthy", message, now);
        is_said && conditions::set(&mut status.conditions, condition) && value == "False"
    }

    fn settle_aborted(&mut self, status: &mut Status, now: Time) {
        let mut message = format!("Rollout aborted update to revision {}", self.meta.revision());
        if let Some(why) = self.pauses.abort_reason() {
            message = format!("{message}: {why}");
        }
        let condition = Condition::new(conditions::PROGRESSING, "False", conditions::ABORTED, message.clone(), now);
        if conditions::set(&mut status.conditions, condition) {
            self.warn(conditions::ABORTED, &message);
        }
    }

    fn settle_progressing(&self, status: &mut Status, now: Time, became_unhealthy: bool) {
        let progressing = |value: &str, reason: &str, message: String| Condition::new(conditions::PROGRESSING, value, reason, message, now);
        if conditions::is_healthy(&self.spec, self.is_observed(), status) {
            let name = self.new_set().map_or("", ReplicaSet::name);
            let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
            conditions::set(&mut status.conditions, progressing("True", "NewReplicaSetAvailable", message));
        } else if conditions::made_progress(&self.spec, &self.status, status) || became_unhealthy {
            let mut condition = match became_unhealthy && status.is_fully_promoted() {
                true => progressing("True", "ReplicaSetNotAvailable", NOT_AVAILABLE.into()),
                false => progressing("True", "ReplicaSetUpdated", self.named("is progressing.")),
            };
            // Progress renews the condition even if it says the same as before: the deadline counts from its last update.
            if let Some(known) = conditions::find(&self.status.conditions, conditions::PROGRESSING) {
                if known.status == "True" {
                    condition.last_transition_time = known.last_transition_time;
                }
                conditions::remove(&mut status.conditions, conditions::PROGRESSING);
            }
            conditions::set(&mut status.conditions, condition);
        } else if self.progress_is_expected() && conditions::timed_out(&self.spec, status, self.cx.now) {
            let message = self.named("has timed out progressing.");
            conditions::set(&mut status.conditions, progressing("False", conditions::TIMED_OUT, message));
        }
    }

    fn settle_available(&self, status: &mut Status, now: Time) {
        let is_available = match self.spec.blue_green() {
            Some(_) => self.set_of(&status.blue_green.active_selector).is_some_and(|set| set.is_saturated(&self.spec)),
            None => self.spec.canary().is_some() && replica_set::available(&self.sets) >= self.spec.replicas(),
        };
        let (value, message) = if is_available { ("True", "Rollout has minimum availability") } else { ("False", NOT_AVAILABLE) };
        conditions::set(&mut status.conditions, Condition::new(conditions::AVAILABLE, value, "AvailableReason", message, now));
    }

    /// Repeats that pods could not be created, the new version's trouble before that of others.
    fn settle_failures(&self, status: &mut Status) {
        let all = self.new_set().into_iter().chain(&self.sets);
        match all.flat_map(|set| &set.status.conditions).find(|trouble| trouble.kind == conditions::REPLICA_FAILURE) {
            Some(trouble) => {
                let since = trouble.last_transition_time.unwrap_or(self.now());
                let (value, reason) = (&trouble.status, &trouble.reason);
                let condition = Condition::new(conditions::REPLICA_FAILURE, value, reason, trouble.message.clone(), since);
                conditions::set(&mut status.conditions, condition);
            }
            None => conditions::remove(&mut status.conditions, conditions::REPLICA_FAILURE),
        }
    }

    fn settle_completed(&mut self, status: &mut Status, now: Time) {
        let value = if status.is_completed() { "True" } else { "False" };
        let condition = Condition::new(conditions::COMPLETED, value, "RolloutCompleted", "RolloutCompleted", now);
        if conditions::set(&mut status.conditions, condition) && value == "False" {
            let (revision, hash) = (self.meta.revision(), &status.current_pod_hash);
            let message = format!("Rollout not completed, started update to revision {revision} ({hash})");
            self.event("RolloutNotCompleted", &message);
        }
    }

    /// Nothing happened: looks again when the deadline for progress is over.
    fn look_again_for_progress(&mut self, status: &Status) {
        let Some(condition) = conditions::find(&self.status.conditions, conditions::PROGRESSING) else { return };
        let is_paused = self.spec.paused || !self.status.pause_conditions.is_empty();
        let is_idle = conditions::is_healthy(&self.spec, self.is_observed(), status)
            || condition.reason == conditions::TIMED_OUT
            || is_paused
            || self.status.abort
            || self.is_open_ended();
        if !is_idle {
            let due = condition.last_update_time + self.spec.progress_deadline();
            // A second more makes up for times without fractions. The real controller spins through the last second and
            // for as long as the deadline is over without being told; this one does not.
            let second = Duration::from_secs(1);
            let left = (due - self.cx.now).to_std().unwrap_or(second);
            self.look_again(if left > second { left + second } else { left });
        }
    }
}

const NOT_AVAILABLE: &str = "Rollout does not have minimum availability";
