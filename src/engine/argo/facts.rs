//! One Rollout with everything of it that is at hand, and the questions every part of the engine asks.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::dto;
use crate::{
    engine::workload::pods::{self, Stuck},
    model::{Time, moment},
    object::{Object, Objects, Resource, kinds},
    traffic::{self, Split},
};

pub const HASH_LABEL: &str = "rollouts-pod-template-hash";
pub const REVISION: &str = "rollout.argoproj.io/revision";
pub const DESIRED_REPLICAS: &str = "rollout.argoproj.io/desired-replicas";
pub const WORKLOAD_GENERATION: &str = "rollout.argoproj.io/workload-generation";
pub const EPHEMERAL_METADATA: &str = "rollout.argoproj.io/ephemeral-metadata";
/// The one annotation without a domain.
pub const SCALE_DOWN_DEADLINE: &str = "scale-down-deadline";

/// What the controller does when `progressDeadlineSeconds` is not set.
const DEFAULT_DEADLINE: i64 = 600;

/// A ReplicaSet owned by the Rollout itself; those of Experiments and of a workloadRef's Deployment are not.
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

    pub fn ready(&self) -> u32 {
        self.dto.status.ready_replicas.count()
    }

    /// When its pods are taken away. A set that has none any more may keep an old date.
    pub fn deadline(&self) -> Option<Time> {
        let text = self.dto.metadata.annotation(SCALE_DOWN_DEADLINE);
        (self.wanted() > 0).then(|| moment(text)).flatten()
    }
}

#[derive(Debug)]
pub struct Facts<'a> {
    pub root: &'a Object,
    pub objects: &'a Objects,
    pub ro: dto::Rollout,
    /// Newest revision first.
    pub sets: Vec<Set<'a>>,
    /// AnalysisRuns owned by the Rollout itself.
    pub runs: Vec<dto::AnalysisRun>,
    pub experiments: Vec<(&'a Object, dto::Experiment)>,
}

impl<'a> Facts<'a> {
    /// # Errors
    /// The path of the field that does not fit.
    pub fn read(root: &'a Object, objects: &'a Objects) -> Result<Self, String> {
        let ro = root.read()?;
        let mut sets: Vec<Set<'a>> = objects.owned_by(&kinds::REPLICA_SET, &root.meta.uid).filter_map(|o| read_set(o)).collect();
        sets.sort_by(|a, b| b.revision.cmp(&a.revision).then_with(|| a.hash.cmp(&b.hash)));
        let runs = objects.owned_by(&kinds::ANALYSIS_RUN, &root.meta.uid).filter_map(|o| o.read().ok()).collect();
        let experiments = objects.owned_by(&kinds::EXPERIMENT, &root.meta.uid).filter_map(|o| Some((&**o, o.read().ok()?))).collect();
        Ok(Self { root, objects, ro, sets, runs, experiments })
    }

    pub fn canary(&self) -> Option<&dto::Canary> {
        self.ro.spec.strategy.canary.as_ref().filter(|_| !self.is_blue_green())
    }

    pub fn blue_green(&self) -> Option<&dto::BlueGreen> {
        self.ro.spec.strategy.blue_green.as_ref()
    }

    pub fn is_blue_green(&self) -> bool {
        self.ro.spec.strategy.blue_green.is_some()
    }

    pub fn current(&self) -> &str {
        &self.ro.status.current_pod_hash
    }

    pub fn stable(&self) -> &str {
        &self.ro.status.stable_rs
    }

    /// Hash users get through the active Service: the controller's word.
    pub fn active(&self) -> &str {
        &self.ro.status.blue_green.active_selector
    }

    /// Whether two versions are in play. Before the first deploy there is no stable one.
    pub fn in_flight(&self) -> bool {
        !self.stable().is_empty() && !self.current().is_empty() && self.stable() != self.current()
    }

    /// Blue-green: users are on the new version, which is not stable yet.
    pub fn after_cutover(&self) -> bool {
        self.is_blue_green() && self.in_flight() && self.active() == self.current()
    }

    /// Blue-green: users are somewhere else than on the stable version.
    pub fn active_is_not_stable(&self) -> bool {
        self.is_blue_green() && self.in_flight() && !self.active().is_empty() && self.active() != self.stable()
    }

    /// The first pod of the wanted version that cannot start.
    pub fn stuck(&self) -> Option<Stuck> {
        pods::stuck(&pods::pods(self.objects, &self.set(self.current())?.object.meta.uid))
    }

    pub fn set(&self, hash: &str) -> Option<&Set<'a>> {
        self.sets.iter().find(|s| !hash.is_empty() && s.hash == hash)
    }

    /// Replicas of the whole workload; absent means 1.
    pub fn replicas(&self) -> u32 {
        self.ro.spec.replicas.map_or(1, dto::Int::count)
    }

    pub fn steps(&self) -> &[dto::Step] {
        self.canary().map_or(&[], |c| &c.steps)
    }

    /// Index of the step in progress, never negative, at most the number of steps; `None` without steps.
    pub fn step_index(&self) -> Option<usize> {
        let count = self.steps().len();
        let index = self.ro.status.current_step_index?.count() as usize;
        (count > 0).then(|| index.min(count))
    }

    pub fn condition(&self, kind: &str) -> Option<&dto::Condition> {
        self.ro.status.conditions.iter().find(|c| c.kind == kind)
    }

    pub fn has_pause(&self, reason: &str) -> bool {
        self.pause(reason).is_some()
    }

    pub fn pause(&self, reason: &str) -> Option<&dto::PauseCondition> {
        self.ro.status.pause_conditions.iter().find(|p| p.reason == reason)
    }

    /// Seconds without progress after which the controller gives up.
    pub fn progress_deadline(&self) -> i64 {
        self.ro.spec.progress_deadline_seconds.map_or(DEFAULT_DEADLINE, |n| n.0)
    }

    /// Key of the router in `trafficRouting`, or the name of its plugin.
    pub fn router(&self) -> Option<&str> {
        let routing = self.canary()?.traffic_routing.as_ref()?;
        let key = routing.iter().find(|(k, v)| !matches!(k.as_str(), "managedRoutes" | "maxTrafficWeight") && !v.is_null())?.0;
        if key != "plugins" {
            return Some(key);
        }
        routing.get("plugins").and_then(Value::as_object).and_then(|p| p.keys().next()).map(String::as_str).or(Some(key))
    }

    /// What all weights are parts of.
    pub fn max_weight(&self) -> f64 {
        let routing = self.canary().and_then(|c| c.traffic_routing.as_ref());
        routing.and_then(|r| r.get("maxTrafficWeight")).and_then(traffic::number).filter(|n| *n >= 1.0).unwrap_or(100.0)
    }

    /// A weight as a share of all requests, 0 to 1.
    pub fn share(&self, weight: dto::Int) -> f64 {
        (f64::from(weight.count()) / self.max_weight()).clamp(0.0, 1.0)
    }

    /// Names of the Services of the canary and the stable side; with ping-pong they swap at each release.
    pub fn services(&self) -> (String, String) {
        let Some(canary) = self.canary() else { return Default::default() };
        match &canary.ping_pong {
            None => (canary.canary_service.clone(), canary.stable_service.clone()),
            Some(p) if self.ro.status.canary.stable_ping_pong == "ping" => (p.pong_service.clone(), p.ping_service.clone()),
            Some(p) => (p.ping_service.clone(), p.pong_service.clone()),
        }
    }

    /// Asks the router's own objects; `None` for a router we cannot read or without its objects.
    pub fn with_split<T>(&self, ask: impl FnOnce(&'static traffic::Router, &Split<'_>) -> T) -> Option<T> {
        let routing = self.canary()?.traffic_routing.as_ref()?;
        let router = traffic::router(self.router()?)?;
        let (canary_service, stable_service) = self.services();
        let managed = routing.get("managedRoutes").and_then(Value::as_array);
        let managed_routes: Vec<String> =
            managed.into_iter().flatten().filter_map(|r| r.get("name")?.as_str().map(str::to_owned)).collect();
        let split = Split {
            namespace: &self.root.meta.namespace,
            rollout: &self.root.meta.name,
            config: routing.get(router.key)?,
            canary_service: &canary_service,
            stable_service: &stable_service,
            managed_routes: &managed_routes,
        };
        Some(ask(router, &split))
    }

    /// The canary's share as the routing object says it.
    pub fn routed_share(&self) -> Option<f64> {
        self.with_split(|router, split| (router.canary_share)(split, self.objects)).flatten()
    }

    /// The canary's share as the controller says it.
    pub fn reported_share(&self) -> Option<f64> {
        self.router()?;
        self.ro.status.canary.weights.as_ref().map(|w| self.share(w.canary.weight))
    }

    /// The canary's share that the newest completed or running `setWeight` asks for.
    pub fn asked_share(&self) -> f64 {
        if self.ro.status.abort {
            return 0.0;
        }
        match self.step_index() {
            Some(i) if i < self.steps().len() && !self.ro.status.promote_full => self.weight_at(i).unwrap_or(0.0),
            _ => 1.0,
        }
    }

    /// The nearest weight at or before a step.
    pub fn weight_at(&self, index: usize) -> Option<f64> {
        let upto = self.steps().get(..=index)?;
        upto.iter().rev().find_map(|s| s.set_weight).map(|w| self.share(w))
    }

    /// The largest share of users that anyone says is on the new version; replica counts when nobody routes.
    pub fn exposed_share(&self) -> f64 {
        if self.is_blue_green() {
            return if self.after_cutover() { 1.0 } else { 0.0 };
        }
        let told = [self.routed_share(), self.reported_share()].into_iter().flatten().reduce(f64::max);
        told.unwrap_or_else(|| self.ready_share())
    }

    /// The new version's part of all ready pods; 0 when unknown.
    fn ready_share(&self) -> f64 {
        let total: u32 = self.sets.iter().map(Set::ready).sum();
        let new = self.set(self.current()).map_or(0, Set::ready);
        if !self.in_flight() || total == 0 { 0.0 } else { f64::from(new) / f64::from(total) }
    }

    /// The object named by `workloadRef` and its kind, when it is one Argo knows.
    pub fn workload(&self) -> Option<(&'static Resource, Option<&'a Arc<Object>>)> {
        let reference = self.ro.spec.workload_ref.as_ref()?;
        let kind = match reference.kind.as_str() {
            "ReplicaSet" => &kinds::REPLICA_SET,
            "PodTemplate" => &kinds::POD_TEMPLATE,
            _ => &kinds::DEPLOYMENT,
        };
        Some((kind, self.objects.named(kind, &self.root.meta.namespace, &reference.name)))
    }

    /// The object that holds the wanted pod template and the path to it inside.
    pub fn template_home(&self) -> Option<(&'a Object, &'static str)> {
        match self.workload() {
            None => Some((self.root, "/spec/template")),
            Some((kind, object)) => {
                let path = if kind.kind == kinds::POD_TEMPLATE.kind { "/template" } else { "/spec/template" };
                Some((object?, path))
            }
        }
    }

    /// The wanted pod template as written.
    pub fn wanted_template(&self) -> Option<Value> {
        let (home, path) = self.template_home()?;
        home.value().pointer(path).cloned()
    }

    /// Whether a ReplicaSet still carries another replica count than the Rollout asks for: the scaling branch
    /// of a paused canary then swallows every other reaction.
    pub fn scaling_pending(&self) -> bool {
        let wanted = self.replicas().to_string();
        self.sets.iter().any(|s| {
            let noted = s.dto.metadata.annotation(DESIRED_REPLICAS);
            s.wanted() > 0 && !noted.is_empty() && noted != wanted
        })
    }

    /// Hashes that Services select, by Service name, for those at hand.
    pub fn service_hashes(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for service in self.objects.iter(&kinds::SERVICE).filter(|s| s.meta.namespace == self.root.meta.namespace) {
            if let Ok(dto) = service.read::<dto::Service>() {
                found.insert(service.meta.name.to_string(), dto.spec.selector.get(HASH_LABEL).to_owned());
            }
        }
        found
    }
}

fn read_set(object: &Object) -> Option<Set<'_>> {
    let dto: dto::ReplicaSet = object.read().ok()?;
    let hash = dto.metadata.label(HASH_LABEL).to_owned();
    let revision = dto.metadata.annotation(REVISION).parse().unwrap_or(0);
    (!hash.is_empty()).then_some(Set { object, dto, hash, revision })
}
