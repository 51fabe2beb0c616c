//! One InferenceService, and the questions every part of the engine asks.

use std::collections::BTreeSet;

use super::dto;
use crate::{
    engine::{
        deployment::dto::Deployment,
        knative::facts::{self as knative, Revision},
        workload::pods,
    },
    model::{Pod, PodHealth},
    object::{Object, Objects, kinds},
};

const MODE: &str = "serving.kserve.io/deploymentMode";

#[derive(Debug)]
pub struct Facts<'a> {
    pub root: &'a Object,
    pub isvc: dto::InferenceService,
    pub predictor: dto::Component,
    objects: &'a Objects,
}

impl<'a> Facts<'a> {
    /// # Errors
    /// The path of the field that does not fit.
    pub fn read(root: &'a Object, objects: &'a Objects) -> Result<Self, String> {
        let isvc: dto::InferenceService = root.read()?;
        let predictor = isvc.status.components.get("predictor").cloned().unwrap_or_default();
        Ok(Self { root, isvc, predictor, objects })
    }

    pub fn mode(&self) -> &str {
        let told = &self.isvc.status.deployment_mode;
        if told.is_empty() { self.isvc.metadata.annotation(MODE) } else { told }
    }

    /// Only over Knative is there a share of users to set. Servers that say no mode say so by their revisions.
    pub fn splits(&self) -> bool {
        match self.mode() {
            "Serverless" | "Knative" => true,
            "" => !self.predictor.latest_ready_revision.is_empty(),
            _ => false,
        }
    }

    pub fn percent(&self) -> Option<i64> {
        self.isvc.spec.predictor.canary_traffic_percent.map(|n| n.0)
    }

    pub fn condition(&self, kind: &str) -> Option<&dto::Condition> {
        self.isvc.status.conditions.iter().find(|c| c.kind == kind)
    }

    pub fn is(&self, kind: &str, status: &str) -> bool {
        self.condition(kind).is_some_and(|c| c.status == status)
    }

    pub fn ready(&self) -> &str {
        &self.predictor.latest_ready_revision
    }

    pub fn created(&self) -> &str {
        &self.predictor.latest_created_revision
    }

    /// The revision that had all users last.
    pub fn rolled_out(&self) -> &str {
        &self.predictor.latest_rolledout_revision
    }

    pub fn previous(&self) -> &str {
        &self.predictor.previous_rolledout_revision
    }

    /// A revision is ready that has not had all users yet.
    pub fn in_flight(&self) -> bool {
        !self.rolled_out().is_empty() && self.ready() != self.rolled_out()
    }

    pub fn revision(&self, name: &str) -> Option<Revision> {
        knative::revision_of(self.objects, &self.root.meta.namespace, name)
    }

    /// Wanted, existing and ready pods of a revision.
    pub fn pods(&self, revision: &str) -> (u32, u32, u32, Vec<Pod>) {
        knative::pods_of(self.objects, &self.root.meta.namespace, revision)
    }

    pub fn is_counted(&self, revision: &str) -> bool {
        knative::is_counted(self.objects, &self.root.meta.namespace, revision)
    }

    /// Every revision that its status names.
    pub fn named(&self) -> BTreeSet<&str> {
        let all = self.predictor.traffic.iter().map(|t| t.revision_name.as_str());
        all.chain([self.ready(), self.created(), self.rolled_out()]).filter(|name| !name.is_empty()).collect()
    }

    /// What runs the model where there are no revisions.
    pub fn deployment_name(&self) -> String {
        format!("{}-predictor", self.root.meta.name)
    }

    pub fn deployment(&self) -> Option<(Deployment, Vec<Pod>)> {
        let object = self.objects.named(&kinds::DEPLOYMENT, &self.root.meta.namespace, &self.deployment_name())?;
        let ours = object.meta.owner.as_ref().is_none_or(|owner| owner.uid == self.root.meta.uid);
        let sets = self.objects.owned_by(&kinds::REPLICA_SET, &object.meta.uid);
        let pods = || sets.flat_map(|set| pods::pods(self.objects, &set.meta.uid)).collect();
        object.read().ok().filter(|_| ours).map(|deployment| (deployment, pods()))
    }

    /// Live share of a revision, in percent.
    pub fn share(&self, revision: &str) -> i64 {
        let of = self.predictor.traffic.iter().filter(|t| t.revision_name == revision);
        of.map(|t| t.percent.0.clamp(0, 100)).fold(0, i64::saturating_add).min(100)
    }

    /// The model cannot be loaded.
    pub fn failed(&self) -> bool {
        let model = &self.isvc.status.model_status;
        let says = [model.transition_status.as_str(), model.states.target_model_state.as_str()];
        says.iter().any(|s| matches!(*s, "BlockedByFailedLoad" | "InvalidSpec" | "FailedToLoad"))
    }

    /// The newest revision has not been ready since its model failed: that a pod starts again is no progress.
    pub fn keeps_failing(&self) -> bool {
        let coming = self.splits() && self.created() != self.ready() && !self.created().is_empty();
        let told = || {
            let known = self.isvc.status.model_status.last_failure_info.is_some();
            known && (self.is("PredictorReady", "False") || self.is("PredictorConfigurationReady", "False"))
        };
        coming && (told() || self.crashes(self.created()))
    }

    fn crashes(&self, revision: &str) -> bool {
        let (.., pods) = self.pods(revision);
        pods.iter().any(|pod| pod.restarts > 0) && pods.iter().all(|pod| pod.health != PodHealth::Ready)
    }

    /// Users are on a revision whose model fails.
    pub fn fails_users(&self) -> bool {
        let known = self.isvc.status.model_status.last_failure_info.is_some();
        let fails = self.failed() || known && self.is("PredictorConfigurationReady", "False") || self.crashes(self.ready());
        fails && self.created() == self.ready() && self.share(self.ready()) > 0
    }

    pub fn failure(&self) -> String {
        let model = &self.isvc.status.model_status;
        match &model.last_failure_info {
            Some(f) if f.message.is_empty() => f.reason.clone(),
            Some(f) => format!("{}: {}", f.reason, f.message),
            None if !self.failed() => "its pods crash".to_owned(),
            None => model.transition_status.clone(),
        }
    }
}
