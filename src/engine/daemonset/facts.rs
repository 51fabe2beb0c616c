//! One DaemonSet with everything of it that is at hand, and the questions every part of the engine asks.

use serde_json::Value;

use super::dto;
use crate::{
    engine::workload::{
        pods::{self, Stuck},
        revision::{self, Revision, Versioned},
        rewrite::TEMPLATE,
    },
    model::{Pod, PodHealth, Surge},
    object::{Object, Objects},
};

#[derive(Debug)]
pub struct Facts<'a> {
    pub root: &'a Object,
    pub objects: &'a Objects,
    pub set: dto::DaemonSet,
    /// Newest first; none while the rollout is not open.
    pub kept: Vec<Revision<'a>>,
    pub pods: Vec<Versioned>,
    /// Index of the revision with the wanted template.
    wanted: Option<usize>,
}

impl<'a> Facts<'a> {
    /// # Errors
    /// The path of the field that does not fit.
    pub fn read(root: &'a Object, objects: &'a Objects) -> Result<Self, String> {
        let set = root.read()?;
        let kept = revision::kept(objects, &root.meta.uid);
        let pods = revision::pods(objects, &root.meta.uid);
        let wanted = wanted(root, &kept);
        Ok(Self { root, objects, set, kept, pods, wanted })
    }

    /// Nodes that are to run a pod.
    pub fn nodes(&self) -> u32 {
        self.set.status.desired_number_scheduled.count()
    }

    pub fn ready(&self) -> u32 {
        self.set.status.number_ready.count()
    }

    pub fn available(&self) -> u32 {
        self.set.status.number_available.count()
    }

    pub fn updated(&self) -> u32 {
        self.set.status.updated_number_scheduled.count().min(self.nodes())
    }

    pub fn on_delete(&self) -> bool {
        self.set.spec.update_strategy.kind == "OnDelete"
    }

    pub fn observed(&self) -> bool {
        self.set.status.observed_generation.0 >= self.root.meta.generation
    }

    /// Nodes are left that run an earlier version, or nothing yet.
    pub fn in_flight(&self) -> bool {
        self.updated() < self.nodes() && self.set.status.current_number_scheduled.count() > 0
    }

    /// The version of the wanted template; none before the controller kept it.
    pub fn current(&self) -> Option<&Revision<'a>> {
        self.kept.get(self.wanted?)
    }

    pub fn hash(&self) -> &str {
        self.current().map_or("", |r| r.hash.as_str())
    }

    pub fn kept(&self, hash: &str) -> Option<&Revision<'a>> {
        self.kept.iter().find(|r| r.hash == hash)
    }

    pub fn others(&self) -> impl Iterator<Item = &Revision<'a>> {
        self.kept.iter().enumerate().filter(|(i, _)| Some(*i) != self.wanted).map(|(_, r)| r)
    }

    /// What an undo goes back to: the newest that still has pods, or the one before.
    pub fn previous(&self) -> Option<&Revision<'a>> {
        self.others().find(|r| self.pods.iter().any(|p| p.hash == r.hash)).or_else(|| self.others().next())
    }

    /// The first pod of the wanted version that cannot start.
    pub fn stuck(&self) -> Option<Stuck> {
        let wanted: Vec<Pod> = self.pods.iter().filter(|p| p.hash == self.hash()).map(|p| p.pod.clone()).collect();
        pods::stuck(&wanted)
    }

    /// A pod of the wanted version that fails; of any version where nothing is known of versions.
    pub fn failing(&self) -> Option<&Pod> {
        let wanted = |p: &&Versioned| self.hash().is_empty() || p.hash == self.hash();
        self.pods.iter().filter(wanted).map(|p| &p.pod).find(|p| p.health == PodHealth::Failing)
    }

    /// The first pod of an earlier version, to be deleted by hand.
    pub fn next_old(&self) -> Option<&Pod> {
        let old = |p: &&Versioned| !self.hash().is_empty() && p.hash != self.hash() && p.pod.health != PodHealth::Ending;
        let mut old: Vec<&Pod> = self.pods.iter().filter(old).map(|p| &p.pod).collect();
        old.sort_by(|a, b| a.name.cmp(&b.name));
        old.first().copied()
    }

    /// Pods more and pods fewer than wanted while it rolls, as the controller resolves them: both rounded up, and one of
    /// the two is never 0.
    pub fn surge(&self) -> Surge {
        let rolling = &self.set.spec.update_strategy.rolling_update;
        let of = self.nodes();
        let more = resolve(rolling.max_surge.as_ref(), "0", of);
        let fewer = resolve(rolling.max_unavailable.as_ref(), "1", of);
        Surge { more, fewer: if more == 0 { fewer.max(1) } else { fewer }, of }
    }

    /// What a person must type, as only a person deletes pods.
    pub fn delete(&self) -> String {
        let namespace = &self.root.meta.namespace;
        match self.next_old() {
            Some(pod) => format!("kubectl -n {namespace} delete pod {}", pod.name),
            None => format!("kubectl -n {namespace} delete pod, one of its pods at a time"),
        }
    }
}

/// The newest whose template is the wanted one: the controller gives a revision that came back the highest number.
fn wanted(root: &Object, kept: &[Revision<'_>]) -> Option<usize> {
    if kept.is_empty() {
        return None;
    }
    let wanted = plain(root.value().pointer(TEMPLATE)?.clone());
    kept.iter().position(|r| r.template().map(plain).as_ref() == Some(&wanted))
}

/// A template without what old servers put into it.
fn plain(mut template: Value) -> Value {
    if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("creationTimestamp");
    }
    template
}

fn resolve(value: Option<&dto::IntOrText>, default: &str, all: u32) -> u32 {
    let text = value.map_or(default, |v| v.0.trim());
    let Some(percent) = text.strip_suffix('%') else { return text.parse().unwrap_or(0) };
    let parts = percent.parse::<u64>().unwrap_or(0).saturating_mul(u64::from(all));
    u32::try_from(parts.div_ceil(100)).unwrap_or(u32::MAX)
}
