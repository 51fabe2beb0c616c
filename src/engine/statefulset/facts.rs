//! One StatefulSet with everything of it that is at hand, and the questions every part of the engine asks.

use super::dto;
use crate::{
    engine::workload::{
        pods::{self, Stuck},
        revision::{self, Revision, Versioned},
    },
    model::{Pod, PodHealth},
    object::{Object, Objects},
};

#[derive(Debug)]
pub struct Facts<'a> {
    pub root: &'a Object,
    pub objects: &'a Objects,
    pub set: dto::StatefulSet,
    /// Newest first; none while the rollout is not open.
    pub kept: Vec<Revision<'a>>,
    pub pods: Vec<Versioned>,
}

impl<'a> Facts<'a> {
    /// # Errors
    /// The path of the field that does not fit.
    pub fn read(root: &'a Object, objects: &'a Objects) -> Result<Self, String> {
        let set = root.read()?;
        let kept = revision::kept(objects, &root.meta.uid);
        let pods = revision::pods(objects, &root.meta.uid);
        Ok(Self { root, objects, set, kept, pods })
    }

    pub fn replicas(&self) -> u32 {
        self.set.spec.replicas.map_or(1, dto::Int::count)
    }

    pub fn ready(&self) -> u32 {
        self.set.status.ready_replicas.count()
    }

    /// Older servers do not count it; then ready is all there is.
    pub fn available(&self) -> u32 {
        self.set.status.available_replicas.map_or_else(|| self.ready(), dto::Int::count)
    }

    pub fn updated(&self) -> u32 {
        self.set.status.updated_replicas.count().min(self.replicas())
    }

    pub fn on_delete(&self) -> bool {
        self.set.spec.update_strategy.kind == "OnDelete"
    }

    /// One pod after the other, each when the one before is ready. Parallel is the only other policy.
    pub fn ordered(&self) -> bool {
        self.set.spec.pod_management_policy != "Parallel"
    }

    /// As it is written; it may be larger than the number of pods.
    pub fn partition(&self) -> u32 {
        self.set.spec.update_strategy.rolling_update.partition.map_or(0, dto::Int::count)
    }

    /// Pods that are to have the wanted version: those from the partition up. It counts pods, wherever ordinals start.
    pub fn target(&self) -> u32 {
        if self.on_delete() { self.replicas() } else { self.replicas().saturating_sub(self.partition()) }
    }

    /// The partition under which this many pods get the wanted version.
    pub fn partition_for(&self, pods: u32) -> u32 {
        self.replicas().saturating_sub(pods)
    }

    /// Pods that one step adds: one, or a tenth of many.
    pub fn stride(&self) -> u32 {
        self.replicas().div_ceil(10).max(1)
    }

    pub fn observed(&self) -> bool {
        self.set.status.observed_generation.0 >= self.root.meta.generation
    }

    pub fn update_revision(&self) -> &str {
        &self.set.status.update_revision
    }

    pub fn current_revision(&self) -> &str {
        &self.set.status.current_revision
    }

    /// Two versions are in play: the controller calls the wanted one current only when every pod has it.
    pub fn in_flight(&self) -> bool {
        self.replicas() > 0 && self.update_revision() != self.current_revision()
    }

    pub fn kept(&self, hash: &str) -> Option<&Revision<'a>> {
        self.kept.iter().find(|r| r.hash == hash)
    }

    /// What an undo goes back to: the version that the other pods still have, or the one before.
    pub fn previous(&self) -> Option<&Revision<'a>> {
        if self.in_flight() {
            return self.kept(self.current_revision());
        }
        self.kept.iter().find(|r| r.hash != self.update_revision())
    }

    pub fn pods_of<'p>(&'p self, hash: &'p str) -> impl Iterator<Item = &'p Pod> {
        self.pods.iter().filter(move |p| p.hash == hash).map(|p| &p.pod)
    }

    /// Pods left of a version that was taken back: the status calls them nothing.
    pub fn strays(&self) -> impl Iterator<Item = &Pod> {
        let known = [self.update_revision(), self.current_revision()];
        let stray = move |p: &&Versioned| !p.hash.is_empty() && !known.contains(&p.hash.as_str()) && p.pod.health != PodHealth::Ending;
        self.pods.iter().filter(stray).map(|p| &p.pod)
    }

    /// Something is left to replace.
    pub fn unfinished(&self) -> bool {
        (self.in_flight() && self.updated() < self.target()) || self.strays().next().is_some()
    }

    /// The pod of another version that holds everything up: in order, the controller waits for it to get ready before it
    /// replaces anything, that pod included.
    pub fn blocker(&self) -> Option<&Pod> {
        let holds = self.ordered() && !self.on_delete() && self.unfinished();
        let broken = |p: &&Versioned| p.hash != self.update_revision() && p.pod.health == PodHealth::Failing;
        self.pods.iter().filter(|_| holds).find(broken).map(|p| &p.pod)
    }

    /// The first pod of the wanted version that cannot start.
    pub fn stuck(&self) -> Option<Stuck> {
        let wanted: Vec<Pod> = self.pods_of(self.update_revision()).cloned().collect();
        pods::stuck(&wanted)
    }

    pub fn failing(&self) -> Option<&Pod> {
        self.pods.iter().map(|p| &p.pod).find(|p| p.health == PodHealth::Failing)
    }

    /// Pods that may be away at once while it rolls, as the controller resolves it: at least one.
    pub fn away(&self) -> u32 {
        let text = self.set.spec.update_strategy.rolling_update.max_unavailable.as_ref().map_or("1", |v| v.0.trim());
        let count = match text.strip_suffix('%') {
            Some(percent) => percent.parse::<u64>().unwrap_or(0).saturating_mul(u64::from(self.replicas())) / 100,
            None => text.parse().unwrap_or(1),
        };
        u32::try_from(count).unwrap_or(u32::MAX).max(1)
    }

    /// The pod at this place, 0 being the lowest ordinal.
    pub fn pod(&self, index: u32) -> String {
        format!("{}-{}", self.root.meta.name, self.set.spec.ordinals.start.0.max(0).saturating_add(i64::from(index)))
    }

    /// Names of the pods from one place up to, not including, another; the highest first, as they are replaced.
    pub fn names(&self, from: u32, to: u32) -> String {
        match to.saturating_sub(from) {
            0 => "no pod".into(),
            n if n <= 3 => (from..to).rev().map(|i| self.pod(i)).collect::<Vec<_>>().join(", "),
            _ => format!("{} … {}", self.pod(to - 1), self.pod(from)),
        }
    }

    /// Under OnDelete the next one that a person is to delete: the highest that has not the wanted version.
    pub fn next_to_delete(&self) -> String {
        let old = |i: &u32| {
            let name = self.pod(*i);
            self.pods.iter().any(|p| *p.pod.name == *name && p.hash != self.update_revision())
        };
        let counted = self.replicas().saturating_sub(self.updated().saturating_add(1));
        self.pod((0..self.replicas().min(MANY)).rev().find(old).unwrap_or(counted))
    }

    /// What a person must type, as only a person deletes pods.
    pub fn delete(&self, pod: &str) -> String {
        format!("kubectl -n {} delete pod {pod}", self.root.meta.namespace)
    }
}

/// No count of pods in a cluster is larger; a number from outside must not keep us busy.
const MANY: u32 = 100_000;
