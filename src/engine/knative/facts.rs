//! One Knative Service with its Revisions, and the questions every part of the engine asks.

use std::collections::{BTreeMap, BTreeSet};

use super::{REVISION, dto};
use crate::{
    engine::{
        deployment::dto::Deployment,
        workload::{dto::ReplicaSet, pods},
    },
    model::{Pod, Time},
    object::{Object, Objects, kinds},
};

const SERVICE_LABEL: &str = "serving.knative.dev/service";
const REVISION_LABEL: &str = "serving.knative.dev/revision";
const ROLLOUT_DURATION: &str = "serving.knative.dev/rollout-duration";

#[derive(Debug)]
pub struct Revision {
    pub name: String,
    pub images: Vec<String>,
    /// `True`, `False`, `Unknown`.
    pub ready: String,
    pub why: String,
    pub created: Option<Time>,
}

#[derive(Debug)]
pub struct Facts<'a> {
    pub root: &'a Object,
    pub svc: dto::Service,
    /// Newest first; none while the rollout is not open.
    pub revisions: Vec<Revision>,
    objects: &'a Objects,
}

impl<'a> Facts<'a> {
    /// # Errors
    /// The path of the field that does not fit.
    pub fn read(root: &'a Object, objects: &'a Objects) -> Result<Self, String> {
        let svc = root.read()?;
        let mut revisions: Vec<Revision> =
            objects.within(&REVISION, &root.meta.namespace).filter_map(|o| revision(o, &root.meta.name)).collect();
        revisions.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| b.name.cmp(&a.name)));
        Ok(Self { root, svc, revisions, objects })
    }

    pub fn observed(&self) -> bool {
        self.svc.status.observed_generation.0 >= self.root.meta.generation
    }

    /// The newest revision that can serve: the new side.
    pub fn latest(&self) -> &str {
        &self.svc.status.latest_ready_revision_name
    }

    pub fn created(&self) -> &str {
        &self.svc.status.latest_created_revision_name
    }

    pub fn condition(&self, kind: &str) -> Option<&dto::Condition> {
        self.svc.status.conditions.iter().find(|c| c.kind == kind)
    }

    pub fn failed(&self, kind: &str) -> Option<&dto::Condition> {
        self.condition(kind).filter(|c| c.status == "False")
    }

    /// The live truth: which revision gets how much, in percent.
    pub fn live(&self) -> BTreeMap<&str, i64> {
        shares(self.svc.status.traffic.iter().map(|t| (t.revision_name.as_str(), t.percent.0)))
    }

    /// What the spec asks for; without any, all is for the latest.
    pub fn wanted(&self) -> BTreeMap<&str, i64> {
        if self.svc.spec.traffic.is_empty() {
            return [(self.latest(), 100)].into();
        }
        shares(self.svc.spec.traffic.iter().map(|t| (self.resolve(t), t.percent.0)))
    }

    pub fn resolve<'t>(&'t self, target: &'t dto::Target) -> &'t str {
        if target.revision_name.is_empty() { self.latest() } else { &target.revision_name }
    }

    /// Whether a revision that gets ready has all users at once.
    pub fn follows(&self) -> bool {
        let traffic = &self.svc.spec.traffic;
        traffic.is_empty() || traffic.iter().any(|t| t.revision_name.is_empty() && t.percent.0 == 100)
    }

    pub fn share(&self, revision: &str) -> i64 {
        self.live().get(revision).copied().unwrap_or(0)
    }

    /// The side users fall back to: the largest of the others.
    pub fn old(&self) -> Option<String> {
        let live = self.live();
        let others = live.into_iter().filter(|(name, percent)| *name != self.latest() && *percent > 0);
        others.max_by_key(|(_, percent)| *percent).map(|(name, _)| name.to_owned())
    }

    pub fn revision(&self, name: &str) -> Option<&Revision> {
        self.revisions.iter().find(|r| r.name == name)
    }

    pub fn gradual(&self) -> &str {
        self.svc.metadata.annotation(ROLLOUT_DURATION)
    }

    /// Wanted, existing and ready pods of a revision.
    pub fn pods(&self, revision: &str) -> (u32, u32, u32, Vec<Pod>) {
        pods_of(self.objects, &self.root.meta.namespace, revision)
    }

    pub fn is_counted(&self, revision: &str) -> bool {
        is_counted(self.objects, &self.root.meta.namespace, revision)
    }

    /// Every revision that its status names.
    pub fn named(&self) -> BTreeSet<&str> {
        let all = self.live().into_keys().chain([self.latest(), self.created()]);
        all.filter(|name| !name.is_empty()).collect()
    }
}

/// The name of what runs a revision's pods, seen over the whole fleet. Of a name that would be too long Knative makes
/// another; then only an open rollout counts its pods.
pub fn deployment_name(revision: &str) -> String {
    format!("{revision}-deployment")
}

fn deployment_of(objects: &Objects, namespace: &str, revision: &str) -> Option<Deployment> {
    let object = objects.named(&kinds::DEPLOYMENT, namespace, &deployment_name(revision))?;
    object.read::<Deployment>().ok().filter(|d| d.metadata.label(REVISION_LABEL) == revision)
}

pub fn is_counted(objects: &Objects, namespace: &str, revision: &str) -> bool {
    deployment_of(objects, namespace, revision).is_some()
}

/// What a Deployment counts: wanted, existing and ready pods.
pub fn counts(deployment: &Deployment) -> (u32, u32, u32) {
    let (spec, status) = (&deployment.spec, &deployment.status);
    (spec.replicas.map_or(1, dto::Int::count), status.replicas.count(), status.ready_replicas.count())
}

/// Wanted, existing and ready pods of a revision: none is normal, it is scaled to zero while nobody asks.
pub fn pods_of(objects: &Objects, namespace: &str, revision: &str) -> (u32, u32, u32, Vec<Pod>) {
    let (mut all, mut seen) = ((0, 0, 0, Vec::new()), false);
    for object in objects.within(&kinds::REPLICA_SET, namespace) {
        let Ok(set) = object.read::<ReplicaSet>() else { continue };
        if set.metadata.label(REVISION_LABEL) != revision {
            continue;
        }
        all.0 += set.spec.replicas.map_or(0, dto::Int::count);
        all.1 += set.status.replicas.count();
        all.2 += set.status.ready_replicas.count();
        all.3.extend(pods::pods(objects, &object.meta.uid));
        seen = true;
    }
    // Replica sets are those of the open rollout.
    if !seen && let Some(deployment) = deployment_of(objects, namespace, revision) {
        (all.0, all.1, all.2) = counts(&deployment);
    }
    all
}

/// One revision, of whichever Service.
pub fn revision_of(objects: &Objects, namespace: &str, name: &str) -> Option<Revision> {
    let object = objects.named(&REVISION, namespace, name)?;
    revision(object, object.read::<dto::Revision>().ok()?.metadata.label(SERVICE_LABEL))
}

/// The label all objects of a Service carry.
pub fn label(root: &Object) -> String {
    format!("{SERVICE_LABEL}={}", root.meta.name)
}

fn shares<'t>(targets: impl Iterator<Item = (&'t str, i64)>) -> BTreeMap<&'t str, i64> {
    let mut all = BTreeMap::new();
    for (name, percent) in targets {
        let share: &mut i64 = all.entry(name).or_default();
        *share = share.saturating_add(percent.clamp(0, 100));
    }
    all
}

fn revision(object: &Object, service: &str) -> Option<Revision> {
    let read: dto::Revision = object.read().ok()?;
    if read.metadata.label(SERVICE_LABEL) != service {
        return None;
    }
    let ready = read.status.conditions.iter().find(|c| c.kind == "Ready");
    Some(Revision {
        name: object.meta.name.to_string(),
        images: read.spec.containers.into_iter().map(|c| c.image).collect(),
        ready: ready.map(|c| c.status.clone()).unwrap_or_default(),
        why: ready.map(|c| c.message.clone()).unwrap_or_default(),
        created: object.meta.created,
    })
}
