//! One Deployment with everything of it that is at hand, and the questions every part of the engine asks.

use serde_json::Value;

use super::dto;
use crate::{
    engine::workload::{
        autoscaler::{self, Autoscaler},
        pods::{self, Stuck},
        template::{fingerprint, original},
    },
    model::{Pod, PodHealth, Surge, Text, Time},
    object::{Object, Objects, kinds},
};

pub const HASH_LABEL: &str = "pod-template-hash";
pub const REVISION: &str = "deployment.kubernetes.io/revision";
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

/// What the server fills in when `progressDeadlineSeconds` is not set.
const DEFAULT_DEADLINE: i64 = 600;

/// A ReplicaSet the Deployment owns.
#[derive(Debug)]
pub struct Set<'a> {
    pub object: &'a Object,
    pub dto: dto::ReplicaSet,
    pub hash: String,
    /// 0 when unknown. Undo rewrites it, so it names no version for long.
    pub revision: u64,
}

impl Set<'_> {
    pub fn wanted(&self) -> u32 {
        self.dto.spec.replicas.map_or(1, dto::Int::count)
    }

    /// Whether any of its pods may still run.
    pub fn lives(&self) -> bool {
        self.wanted() > 0 || self.dto.status.replicas.count() > 0
    }

    pub fn change_cause(&self) -> &str {
        self.dto.metadata.annotation(CHANGE_CAUSE)
    }

    /// Its pod template as the Deployment had it: without the hash label.
    pub fn template(&self) -> Option<Value> {
        Some(original(self.object.value().pointer("/spec/template")?.clone()))
    }
}

#[derive(Debug)]
pub struct Facts<'a> {
    pub root: &'a Object,
    pub objects: &'a Objects,
    pub dep: dto::Deployment,
    /// Newest revision first.
    pub sets: Vec<Set<'a>>,
    /// Index of the set with the wanted template.
    current: Option<usize>,
}

impl<'a> Facts<'a> {
    /// # Errors
    /// The path of the field that does not fit.
    pub fn read(root: &'a Object, objects: &'a Objects) -> Result<Self, String> {
        let dep = root.read()?;
        let mut sets: Vec<Set<'a>> = objects.owned_by(&kinds::REPLICA_SET, &root.meta.uid).filter_map(|o| read_set(o)).collect();
        sets.sort_by(|a, b| b.revision.cmp(&a.revision).then_with(|| a.hash.cmp(&b.hash)));
        let current = newest(root, &sets);
        Ok(Self { root, objects, dep, sets, current })
    }

    /// The ReplicaSet of the wanted template; none before the controller made it, which it does not while paused.
    pub fn current(&self) -> Option<&Set<'a>> {
        self.sets.get(self.current?)
    }

    pub fn hash(&self) -> &str {
        self.current().map_or("", |s| s.hash.as_str())
    }

    pub fn set(&self, hash: &str) -> Option<&Set<'a>> {
        self.sets.iter().find(|s| s.hash == hash)
    }

    /// Every other ReplicaSet, newest revision first.
    pub fn others(&self) -> impl Iterator<Item = &Set<'a>> {
        self.sets.iter().enumerate().filter(|(i, _)| Some(*i) != self.current).map(|(_, s)| s)
    }

    /// The version users fall back to: the one that serves most of them beside the wanted one, be there broken ones in
    /// between; else the revision before.
    pub fn previous(&self) -> Option<&Set<'a>> {
        let serving = self.others().filter(|s| s.lives());
        serving.max_by_key(|s| (s.dto.status.ready_replicas, s.revision)).or_else(|| self.others().next())
    }

    pub fn replicas(&self) -> u32 {
        self.dep.spec.replicas.map_or(1, dto::Int::count)
    }

    pub fn observed(&self) -> bool {
        self.dep.status.observed_generation.0 >= self.root.meta.generation
    }

    /// The controller knows the wanted template, be its other numbers a moment old: an autoscaler changes the spec as well,
    /// and must not take every action away for as long as the controller needs to look.
    pub fn recognised(&self) -> bool {
        let known = |set: &Set<'_>| set.revision > 0 && set.dto.metadata.annotation(REVISION) == self.dep.metadata.annotation(REVISION);
        self.observed() || self.current().is_some_and(known)
    }

    /// Pods of earlier versions, by the Deployment's own counts.
    pub fn old_pods(&self) -> u32 {
        self.dep.status.replicas.count().saturating_sub(self.dep.status.updated_replicas.count())
    }

    /// New pods that are missing.
    pub fn not_updated(&self) -> u32 {
        self.replicas().saturating_sub(self.dep.status.updated_replicas.count())
    }

    /// Two versions are in play: old pods are left, or the new one has no pod yet.
    pub fn in_flight(&self) -> bool {
        self.old_pods() > 0
    }

    /// Changes of the template wait for the end of a pause: no ReplicaSet has it yet.
    pub fn changes_wait(&self) -> bool {
        let unmade = if self.sets.is_empty() { self.dep.status.updated_replicas.count() == 0 } else { self.current.is_none() };
        self.dep.spec.paused && self.replicas() > 0 && unmade
    }

    pub fn condition(&self, kind: &str) -> Option<&dto::Condition> {
        self.dep.status.conditions.iter().find(|c| c.kind == kind)
    }

    pub fn progressing_reason(&self) -> &str {
        self.condition("Progressing").map_or("", |c| c.reason.as_str())
    }

    pub fn deadline_exceeded(&self) -> bool {
        self.progressing_reason() == "ProgressDeadlineExceeded"
    }

    /// Why the controller cannot make pods, in its own words.
    pub fn replica_failure(&self) -> Option<&dto::Condition> {
        let failing = self.condition("ReplicaFailure").filter(|c| c.status == "True");
        failing.or_else(|| self.condition("Progressing").filter(|c| c.reason == "ReplicaSetCreateError"))
    }

    /// `kubectl rollout status` would say "successfully rolled out".
    pub fn complete(&self) -> bool {
        let s = &self.dep.status;
        self.observed()
            && s.updated_replicas.count() >= self.replicas()
            && s.replicas.count() <= s.updated_replicas.count()
            && s.available_replicas.count() >= s.updated_replicas.count()
    }

    /// Seconds without progress after which the controller says so.
    pub fn deadline_seconds(&self) -> i64 {
        self.dep.spec.progress_deadline_seconds.map_or(DEFAULT_DEADLINE, |n| n.0)
    }

    /// When the controller says that nothing moves, unless something does.
    pub fn deadline(&self) -> Option<Time> {
        let c = self.condition("Progressing").filter(|_| !self.dep.spec.paused)?;
        c.last_update_time.0?.checked_add_signed(chrono::Duration::try_seconds(self.deadline_seconds())?)
    }

    pub fn recreates(&self) -> bool {
        self.dep.spec.strategy.kind == "Recreate"
    }

    /// Pods more and pods fewer than wanted while it rolls, as the controller resolves them: of percentages the surge is
    /// rounded up, the rest down, and one of the two is never 0.
    pub fn surge(&self) -> Surge {
        let rolling = &self.dep.spec.strategy.rolling_update;
        let of = self.replicas();
        let more = resolve(rolling.max_surge.as_ref(), of, true);
        let fewer = resolve(rolling.max_unavailable.as_ref(), of, false);
        Surge { more, fewer: if more == 0 { fewer.max(1) } else { fewer }, of }
    }

    /// Pods that the controller leaves serving at any moment of a roll.
    pub fn least(&self) -> u32 {
        if self.recreates() { 0 } else { self.replicas().saturating_sub(self.surge().fewer) }
    }

    /// What the wanted template is known by while nobody has made a ReplicaSet of it.
    pub fn template(&self) -> Text {
        wanted(self.root).as_ref().map(fingerprint).unwrap_or_default()
    }

    pub fn autoscaler(&self) -> Option<Autoscaler> {
        autoscaler::find(self.objects, self.root)
    }

    pub fn pods(&self, set: &Set<'_>) -> Vec<Pod> {
        pods::pods(self.objects, &set.object.meta.uid)
    }

    /// A pod of the wanted version that is up and still not ready, and why.
    pub fn unready(&self) -> Option<(Text, Text)> {
        let pods = self.pods(self.current()?).into_iter();
        pods.filter(|p| p.health != PodHealth::Ending).find_map(|p| Some((p.name, p.trouble?)))
    }

    /// The first pod of the wanted version that cannot start.
    pub fn stuck(&self) -> Option<Stuck> {
        pods::stuck(&self.pods(self.current()?))
    }
}

/// The wanted template.
fn wanted(root: &Object) -> Option<Value> {
    Some(original(root.value().pointer("/spec/template")?.clone()))
}

fn read_set(object: &Object) -> Option<Set<'_>> {
    let dto: dto::ReplicaSet = object.read().ok()?;
    let hash = dto.metadata.label(HASH_LABEL).to_owned();
    let revision = dto.metadata.annotation(REVISION).parse().unwrap_or(0);
    (!hash.is_empty()).then_some(Set { object, dto, hash, revision })
}

/// As the controller finds it: the oldest whose template is the wanted one. Revisions do not tell: while paused
/// the Deployment's own stays behind its template.
fn newest(root: &Object, sets: &[Set<'_>]) -> Option<usize> {
    if sets.is_empty() {
        return None;
    }
    let wanted = wanted(root)?;
    let same = sets.iter().enumerate().filter(|(_, s)| s.template().as_ref() == Some(&wanted));
    same.min_by_key(|(_, s)| s.object.meta.created).map(|(i, _)| i)
}

/// A count, or a percentage of all; absent is 25 %.
fn resolve(value: Option<&dto::IntOrText>, all: u32, up: bool) -> u32 {
    let text = value.map_or("25%", |v| v.0.trim());
    let Some(percent) = text.strip_suffix('%') else { return text.parse().unwrap_or(0) };
    let parts = percent.parse::<u64>().unwrap_or(0).saturating_mul(u64::from(all));
    u32::try_from(if up { parts.div_ceil(100) } else { parts / 100 }).unwrap_or(u32::MAX)
}
