//! One pair of sides, and the questions every part of the engine asks.

use std::{cmp::Ordering, time::Duration};

use super::{
    detect::{self, Pair, Side},
    version::{self, Because},
};
use crate::{
    engine::workload::{
        autoscaler::{self, Autoscaler},
        dto::{Condition, Int, ReplicaSet},
        pods,
        template::{fingerprint, original},
    },
    model::{Pod, Text, Time},
    object::{Object, Objects, kinds},
};

/// Long enough for what only shows under load and after a while.
const SOAK: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub struct Facts<'a> {
    pub root: &'a Object,
    pub objects: &'a Objects,
    pub pair: Pair<'a>,
    /// How the side without users compares with the one that has them; none when they hold the same.
    pub idle_is: Option<(Ordering, Because)>,
}

impl<'a> Facts<'a> {
    /// # Errors
    /// Why there are no two sides here.
    pub fn read(root: &'a Object, objects: &'a Objects) -> Result<Self, String> {
        let pair = detect::pair(root, objects).ok_or("its selector does not decide between two Deployments here")?;
        let idle_is = version::compare(&pair.idle, &pair.live);
        Ok(Self { root, objects, pair, idle_is })
    }

    pub fn live(&self) -> &Side<'a> {
        &self.pair.live
    }

    pub fn idle(&self) -> &Side<'a> {
        &self.pair.idle
    }

    /// The version users do not have yet stands on the side without users.
    pub fn new_is_idle(&self) -> bool {
        self.idle_is.is_some_and(|(order, _)| order == Ordering::Greater)
    }

    /// Users are on the newer one; the other is what they came from.
    pub fn old_is_idle(&self) -> bool {
        self.idle_is.is_some_and(|(order, _)| order == Ordering::Less)
    }

    /// Something waits to be flipped to.
    pub fn in_flight(&self) -> bool {
        self.new_is_idle() && self.idle().wanted() > 0
    }

    /// How long the side users have left is kept before it may go without a second thought.
    pub fn soak(&self) -> Duration {
        let told = detect::told(&self.pair.service, detect::SOAK).and_then(|text| humantime::parse_duration(text).ok());
        told.unwrap_or(SOAK)
    }

    /// Until when it is kept. The flip was the last write of the Service, or one before: never too early.
    pub fn soaked(&self) -> Option<Time> {
        let writers = self.root.meta.writers.iter().filter(|w| w.subresource.is_none());
        writers.filter_map(|w| w.at).max()?.checked_add_signed(chrono::TimeDelta::from_std(self.soak()).ok()?)
    }

    pub fn autoscaler(&self, side: &Side<'_>) -> Option<Autoscaler> {
        autoscaler::find(self.objects, side.object)
    }

    /// The side of this Deployment.
    pub fn named(&self, deployment: &str) -> Option<&Side<'a>> {
        [self.live(), self.idle()].into_iter().find(|side| **side.name() == *deployment)
    }

    /// Other Services that users come through as well, and that a flip of this one leaves where they are.
    pub fn companions(&self) -> Vec<Text> {
        self.other_services_on(self.live())
    }

    /// Other Services that send users to the side this one has none on.
    pub fn companions_on_idle(&self) -> Vec<Text> {
        self.other_services_on(self.idle())
    }

    /// A preview's own Service sends nobody who counts as a user.
    fn other_services_on(&self, side: &Side<'_>) -> Vec<Text> {
        let all = detect::siblings(self.root, &self.pair, self.objects);
        let same = all.filter(|(object, other)| other.live.value == side.value && !detect::is_aside(object, &self.pair));
        same.map(|(object, _)| object.meta.name.clone()).collect()
    }
}

impl Side<'_> {
    /// Absent means 1.
    pub fn wanted(&self) -> u32 {
        self.dto.spec.replicas.map_or(1, Int::count)
    }

    pub fn existing(&self) -> u32 {
        self.dto.status.replicas.count()
    }

    pub fn ready(&self) -> u32 {
        self.dto.status.ready_replicas.count().min(self.existing())
    }

    pub fn name(&self) -> &Text {
        &self.object.meta.name
    }

    /// What its wanted template is known by.
    pub fn template(&self) -> Text {
        self.object.value().pointer("/spec/template").map(|t| fingerprint(&original(t.clone()))).unwrap_or_default()
    }

    pub fn unobserved(&self) -> bool {
        self.object.meta.generation > self.dto.status.observed_generation.0
    }

    /// All pods are of the newest template, ready, and no others are left.
    pub fn complete(&self) -> bool {
        let s = &self.dto.status;
        let wanted = self.wanted();
        let all = [s.updated_replicas, s.replicas, s.available_replicas].iter().all(|n| n.count() == wanted);
        !self.unobserved() && all && self.ready() == wanted
    }

    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.dto.status.conditions.iter().find(|c| c.kind == kind)
    }

    pub fn overdue(&self) -> bool {
        self.condition("Progressing").is_some_and(|c| c.status == "False")
    }

    /// When its template was last brought out in full.
    pub fn ready_since(&self) -> Option<Time> {
        self.condition("Progressing").filter(|c| c.reason == "NewReplicaSetAvailable")?.last_update_time.0
    }

    pub fn images(&self) -> String {
        version::images(self).iter().map(|i| i.rsplit('/').next().unwrap_or(i)).collect::<Vec<_>>().join(", ")
    }

    fn sets<'o>(&'o self, objects: &'o Objects) -> impl Iterator<Item = (&'o Object, ReplicaSet)> {
        objects.owned_by(&kinds::REPLICA_SET, &self.object.meta.uid).filter_map(|o| Some((&**o, o.read().ok()?)))
    }

    /// Hash of the newest template, when its ReplicaSet is at hand; the value of the label tells the sides apart as well.
    pub fn hash(&self, objects: &Objects) -> Text {
        let revision = version::revision(self);
        let of = |set: &ReplicaSet| set.metadata.annotation("deployment.kubernetes.io/revision").parse().ok();
        let newest = self.sets(objects).find(|(_, set)| revision.is_some() && of(set) == revision);
        let hash = newest.map(|(_, set)| set.metadata.label("pod-template-hash").to_owned()).filter(|h| !h.is_empty());
        hash.unwrap_or_else(|| self.value.clone()).into()
    }

    pub fn pods(&self, objects: &Objects) -> Vec<Pod> {
        let mut all: Vec<Pod> = self.sets(objects).flat_map(|(set, _)| pods::pods(objects, &set.meta.uid)).collect();
        all.sort_by(|a, b| b.health.cmp(&a.health).then_with(|| a.name.cmp(&b.name)));
        all
    }
}
