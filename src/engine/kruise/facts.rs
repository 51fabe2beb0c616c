//! One OpenKruise Rollout with its workload, and the questions every part of the engine asks.

use serde_json::Value;

use super::dto;
use crate::{
    engine::workload::{dto::ReplicaSet, pods, revision, rewrite::TEMPLATE},
    model::{Pod, Time},
    object::{Object, Objects, Resource, kinds},
};

pub const HASH_LABEL: &str = "pod-template-hash";
const CANARY_OF: &str = "rollouts.kruise.io/canary-deployment";
const ROLLBACK_IN_BATCH: &str = "rollouts.kruise.io/rollback-in-batch";

/// A ReplicaSet of the workload, or of the Deployment made beside it for the canary.
#[derive(Debug)]
pub struct Set<'a> {
    pub object: &'a Object,
    pub hash: String,
    pub dto: ReplicaSet,
}

#[derive(Debug)]
pub struct Facts<'a> {
    pub root: &'a Object,
    pub ro: dto::Rollout,
    /// The workload, when it is of a kind that is watched and there.
    pub workload: Option<(&'a Object, dto::Workload)>,
    pub sets: Vec<Set<'a>>,
    objects: &'a Objects,
}

impl<'a> Facts<'a> {
    /// # Errors
    /// The path of the field that does not fit.
    pub fn read(root: &'a Object, objects: &'a Objects) -> Result<Self, String> {
        let ro: dto::Rollout = root.read()?;
        let found = kind_of(&ro.spec.workload_ref).and_then(|kind| objects.named(kind, &root.meta.namespace, &ro.spec.workload_ref.name));
        let workload = found.and_then(|o| Some((&**o, o.read::<dto::Workload>().ok()?)));
        let sets = workload.as_ref().map(|(object, _)| sets(object, objects)).unwrap_or_default();
        Ok(Self { root, ro, workload, sets, objects })
    }

    pub fn plan(&self) -> Option<&dto::Plan> {
        self.ro.spec.strategy.blue_green.as_ref().or(self.ro.spec.strategy.canary.as_ref())
    }

    pub fn is_blue_green(&self) -> bool {
        self.ro.spec.strategy.blue_green.is_some()
    }

    /// Whether new pods come beside the old ones; else they take their places.
    pub fn beside(&self) -> bool {
        self.is_blue_green() || self.plan().is_some_and(|p| p.enable_extra_workload_for_canary) && self.is_deployment()
    }

    pub fn is_deployment(&self) -> bool {
        kind_of(&self.ro.spec.workload_ref) == Some(&kinds::DEPLOYMENT)
    }

    pub fn steps(&self) -> &[dto::Step] {
        self.plan().map_or(&[], |p| p.steps.as_slice())
    }

    /// The part of the status that belongs to the strategy, and where it stands.
    pub fn status(&self) -> Option<(&dto::Progress, &'static str)> {
        let s = &self.ro.status;
        let canary = s.canary_status.as_ref().map(|p| (p, "/status/canaryStatus"));
        canary.or_else(|| s.blue_green_status.as_ref().map(|p| (p, "/status/blueGreenStatus")))
    }

    /// The step in progress, 0-based.
    pub fn at(&self) -> Option<usize> {
        let index = usize::try_from(self.status()?.0.current_step_index.0).ok()?.checked_sub(1)?;
        (index < self.steps().len()).then_some(index)
    }

    pub fn step(&self) -> Option<&dto::Step> {
        self.steps().get(self.at()?)
    }

    pub fn state(&self) -> &str {
        self.status().map_or("", |(p, _)| p.current_step_state.as_str())
    }

    pub fn condition(&self, kind: &str) -> Option<&dto::Condition> {
        self.ro.status.conditions.iter().find(|c| c.kind == kind)
    }

    pub fn reason(&self) -> &str {
        self.condition("Progressing").map_or("", |c| c.reason.as_str())
    }

    pub fn observed(&self) -> bool {
        self.ro.status.observed_generation.0 >= self.root.meta.generation
    }

    pub fn progressing(&self) -> bool {
        self.ro.status.phase == "Progressing"
    }

    pub fn hash(&self) -> &str {
        self.status().map_or("", |(p, _)| p.pod_template_hash.as_str())
    }

    /// How the controller itself tells versions apart.
    pub fn revision(&self) -> &str {
        self.status().map_or("", |(p, _)| p.canary_revision.as_str())
    }

    pub fn stable(&self) -> &str {
        self.status().map_or("", |(p, _)| p.stable_revision.as_str())
    }

    /// The version that has all users when nothing is in flight. The status names the one before the last release, or none.
    pub fn serving(&self) -> &str {
        let own =
            |s: &&Set<'_>| self.workload.as_ref().is_some_and(|(w, _)| s.object.meta.owner.as_ref().is_some_and(|o| o.uid == w.meta.uid));
        let most = self.sets.iter().filter(own).max_by_key(|s| s.dto.status.replicas.count());
        match (most, self.condition("Succeeded").is_some_and(|c| c.status == "True")) {
            (Some(set), _) => &set.hash,
            (None, true) => self.hash(),
            (None, false) => self.stable(),
        }
    }

    /// What the workload is to run.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        self.workload.iter().flat_map(|(_, w)| w.spec.template.spec.containers.iter().map(|c| c.image.as_str()))
    }

    pub fn replicas(&self) -> u32 {
        self.workload.as_ref().map_or(0, |(_, w)| w.spec.replicas.map_or(1, dto::Int::count))
    }

    /// When the pause of the step in progress is over by itself.
    pub fn pause_ends(&self) -> Option<Time> {
        let seconds = self.step()?.pause.duration?.0;
        self.status()?.0.last_update_time.0?.checked_add_signed(chrono::Duration::try_seconds(seconds)?)
    }

    /// A Deployment goes back at once whatever the annotation says, and so does what has a route.
    pub fn rolls_back_in_batches(&self) -> bool {
        let asked = self.ro.metadata.annotation(ROLLBACK_IN_BATCH) == "true";
        asked && !self.is_deployment() && self.plan().is_some_and(|p| p.traffic_routings.is_empty())
    }

    pub fn set(&self, hash: &str) -> Option<&Set<'a>> {
        self.sets.iter().find(|s| s.hash == hash)
    }

    /// A StatefulSet's pods are its own, and have the version in a label.
    pub fn pods(&self, hash: &str) -> Vec<Pod> {
        let of = self.sets.iter().filter(|s| s.hash == hash);
        let own = self.workload.iter().filter(|_| !self.is_deployment()).flat_map(|(w, _)| revision::pods(self.objects, &w.meta.uid));
        let own = own.filter(|p| p.hash == hash).map(|p| p.pod);
        of.flat_map(|s| pods::pods(self.objects, &s.object.meta.uid)).chain(own).collect()
    }

    /// Whether more than the Rollout and its workload is at hand.
    pub fn is_detailed(&self) -> bool {
        let has_pods = |w: &Object| self.objects.owned_by(&kinds::POD, &w.meta.uid).next().is_some();
        !self.sets.is_empty() || self.workload.as_ref().is_some_and(|(w, _)| has_pods(w))
    }
}

impl Set<'_> {
    /// Its pod template as the workload had it: without the hash label.
    pub fn template(&self) -> Option<Value> {
        let mut template = self.object.value().pointer(TEMPLATE)?.clone();
        if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.remove(HASH_LABEL);
        }
        if let Some(metadata) = template.pointer_mut("/metadata").and_then(Value::as_object_mut) {
            metadata.remove("creationTimestamp");
        }
        Some(template)
    }
}

/// Workloads that others would show as well; the kinds of OpenKruise itself nobody else knows.
pub fn kind_of(reference: &dto::Reference) -> Option<&'static Resource> {
    let known = [&kinds::DEPLOYMENT, &kinds::STATEFUL_SET];
    known.into_iter().find(|k| k.kind == reference.kind && k.api_version() == reference.api_version)
}

fn sets<'a>(workload: &Object, objects: &'a Objects) -> Vec<Set<'a>> {
    let beside = objects.within(&kinds::DEPLOYMENT, &workload.meta.namespace).filter(|d| canary_of(d) == *workload.meta.name);
    let owners: Vec<&str> = beside.map(|d| &*d.meta.uid).chain([&*workload.meta.uid]).collect();
    let owned = objects.within(&kinds::REPLICA_SET, &workload.meta.namespace);
    let ours = owned.filter(|o| o.meta.owner.as_ref().is_some_and(|r| owners.contains(&&*r.uid)));
    ours.filter_map(|o| {
        let dto: ReplicaSet = o.read().ok()?;
        Some(Set { object: o, hash: dto.metadata.label(HASH_LABEL).to_owned(), dto })
    })
    .collect()
}

fn canary_of(deployment: &Object) -> String {
    #[derive(serde::Deserialize)]
    struct Named {
        metadata: dto::Metadata,
    }
    deployment.read::<Named>().map(|n| n.metadata.label(CANARY_OF).to_owned()).unwrap_or_default()
}
