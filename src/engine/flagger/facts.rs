//! One Canary with everything of it that is at hand, and the questions every part of the engine asks.

use serde_json::{Value, json};

use super::dto;
use crate::{
    model::{Strategy, Time},
    object::{Object, Objects, kinds},
    traffic::{self, Split, ingress_nginx},
};

/// A Deployment of the release, and the object it was read from.
#[derive(Debug)]
pub struct Workload<'a> {
    pub object: &'a Object,
    pub dto: dto::Deployment,
}

impl Workload<'_> {
    pub fn wanted(&self) -> u32 {
        self.dto.spec.replicas.map_or(1, dto::Int::count)
    }

    pub fn condition(&self, kind: &str) -> Option<&dto::Condition> {
        self.dto.status.conditions.iter().find(|c| c.kind == kind)
    }
}

#[derive(Debug)]
pub struct Facts<'a> {
    pub root: &'a Object,
    pub objects: &'a Objects,
    pub ca: dto::Canary,
    /// The workload people edit; it carries the new version.
    pub target: Option<Workload<'a>>,
    /// The generated copy that serves users.
    pub primary: Option<Workload<'a>>,
    /// Flagger's own words about this Canary, oldest first.
    pub events: Vec<(Option<Time>, String)>,
}

/// What the API server folds similar events into; only the newest message is left.
const FOLDED: &str = "(combined from similar events): ";

/// What Flagger does when an interval or a deadline is not set, and the shortest interval it keeps.
const DEFAULT_INTERVAL: f64 = 60.0;
const SHORTEST_INTERVAL: f64 = 10.0;

/// `kubernetes` needs iterations; Flagger takes this many when none are given.
const FORCED_ITERATIONS: u32 = 10;

impl<'a> Facts<'a> {
    /// # Errors
    /// The path of the field that does not fit.
    pub fn read(root: &'a Object, objects: &'a Objects) -> Result<Self, String> {
        let ca: dto::Canary = root.read()?;
        let workload = |name: &str| {
            let object = objects.named(&kinds::DEPLOYMENT, &root.meta.namespace, name)?;
            Some(Workload { object, dto: object.read().ok()? })
        };
        let target = &ca.spec.target_ref.name;
        let (target, primary) = if is_deployment(&ca) { (workload(target), workload(&format!("{target}-primary"))) } else { (None, None) };
        let mut events: Vec<(Option<Time>, String)> = objects
            .within(&kinds::EVENT, &root.meta.namespace)
            .filter_map(|o| o.read::<dto::Event>().ok())
            .filter(|e| e.involved_object.uid == *root.meta.uid)
            .map(|e| (e.last_timestamp.0, e.message.strip_prefix(FOLDED).unwrap_or(&e.message).to_owned()))
            .collect();
        events.sort();
        Ok(Self { root, objects, target, primary, events, ca })
    }

    pub fn phase(&self) -> &str {
        &self.ca.status.phase
    }

    pub fn analysis(&self) -> Option<&dto::Analysis> {
        self.ca.spec.analysis.as_ref().or(self.ca.spec.canary_analysis.as_ref())
    }

    pub fn target_name(&self) -> &str {
        &self.ca.spec.target_ref.name
    }

    pub fn is_deployment(&self) -> bool {
        is_deployment(&self.ca)
    }

    /// Apex, primary and canary Service.
    pub fn services(&self) -> [String; 3] {
        let apex = match self.ca.spec.service.name.as_str() {
            "" => self.target_name(),
            name => name,
        };
        [apex.to_owned(), format!("{apex}-primary"), format!("{apex}-canary")]
    }

    /// A new version is on its way, or waits to be.
    pub fn in_flight(&self) -> bool {
        matches!(self.phase(), "Waiting" | "Progressing" | "WaitingPromotion" | "Promoting" | "Finalising")
    }

    pub fn failed(&self) -> bool {
        self.phase() == "Failed"
    }

    /// Failed while promoting: the primary never became healthy, and Flagger leaves users on the canary.
    pub fn canary_serves_after_failure(&self) -> bool {
        self.failed() && self.routed_share().map_or(self.ca.status.canary_weight.0 > 0, |share| share > 0.0)
    }

    pub fn strategy(&self) -> Strategy {
        let Some(analysis) = self.analysis() else { return Strategy::Canary };
        let iterated = analysis.iterations.0 > 0 || self.ca.spec.provider == "kubernetes";
        match (iterated, analysis.matches.is_empty()) {
            (true, false) => Strategy::AbTest,
            (true, true) => Strategy::BlueGreen,
            _ => Strategy::Canary,
        }
    }

    pub fn iterations(&self) -> u32 {
        match self.analysis().map_or(0, |a| a.iterations.count()) {
            0 if self.ca.spec.provider == "kubernetes" => FORCED_ITERATIONS,
            n => n,
        }
    }

    /// Signed, and past the end while a blue-green waits: as people count, never more than there are.
    pub fn iterations_done(&self) -> u32 {
        self.ca.status.iterations.count().min(self.iterations())
    }

    /// Failed checks that end the release; Flagger takes 0 and less for 1.
    pub fn threshold(&self) -> i64 {
        self.analysis().map_or(0, |a| a.threshold.0).max(1)
    }

    /// Seconds between two ticks.
    pub fn interval(&self) -> f64 {
        let told = self.analysis().and_then(|a| seconds(&a.interval)).unwrap_or(DEFAULT_INTERVAL);
        told.max(SHORTEST_INTERVAL)
    }

    /// Weights in percent, in the order they are taken.
    pub fn weights(&self) -> Vec<u32> {
        let Some(a) = self.analysis().filter(|_| self.strategy() == Strategy::Canary) else { return Vec::new() };
        if a.step_weight.0 <= 0 {
            return a.step_weights.iter().map(|w| w.count().min(100)).collect();
        }
        let max = if a.max_weight.0 <= 0 { 100 } else { a.max_weight.count().min(100) };
        // The last step may overshoot the maximum.
        let (step, mut weights) = (a.step_weight.count().min(100), Vec::new());
        while weights.last().is_none_or(|w| *w < max) {
            weights.push((weights.last().copied().unwrap_or(0) + step).min(100));
        }
        weights
    }

    pub fn condition(&self) -> Option<&dto::Condition> {
        self.ca.status.conditions.iter().find(|c| c.kind == "Promoted")
    }

    // ── traffic ─────────────────────────────────────────────────────────────────────────────────

    /// What splits the traffic, where the Canary says so or its objects betray it.
    pub fn provider(&self) -> Option<&str> {
        let provider = self.ca.spec.provider.as_str();
        let at_hand = |kind| self.objects.named(kind, &self.root.meta.namespace, &self.services()[0]).is_some();
        match provider {
            "" if self.ca.spec.ingress_ref.is_some() => Some("nginx"),
            "" if at_hand(&kinds::VIRTUAL_SERVICE) => Some("istio"),
            "" if at_hand(&kinds::HTTP_ROUTE) => Some("gatewayapi"),
            "" => None,
            known => Some(known),
        }
    }

    /// Asks the router's own objects, for each router that may hold the weights of this Canary.
    pub fn with_splits<T>(&self, ask: impl Fn(&'static traffic::Router, &Split<'_>) -> T) -> Vec<T> {
        let [apex, primary, canary] = self.services();
        let ingress = self.ca.spec.ingress_ref.as_ref().map(|i| format!("{}-canary", i.name));
        let of_provider: &[&str] = match self.ca.spec.provider.as_str() {
            "" if ingress.is_some() => &["nginx"],
            "" => &["istio", "httproute"],
            "nginx" => &["nginx"],
            "istio" => &["istio"],
            provider if provider.starts_with("gatewayapi") => &["httproute"],
            _ => &[],
        };
        let config = |key: &str| match key {
            "nginx" => json!({ ingress_nginx::NAMED: ingress.as_deref().unwrap_or("") }),
            "istio" => json!({"virtualService": {"name": apex}}),
            _ => json!({ "httpRoute": apex }),
        };
        let split = |key: &&str| {
            let (router, config): (_, Value) = (traffic::router(key)?, config(key));
            Some(ask(
                router,
                &Split {
                    namespace: &self.root.meta.namespace,
                    rollout: &self.root.meta.name,
                    config: &config,
                    canary_service: &canary,
                    stable_service: &primary,
                    managed_routes: &[],
                },
            ))
        };
        of_provider.iter().filter_map(split).collect()
    }

    /// Sticky sessions put routes of their own in front, which say nothing of all users' share; so does a match.
    pub fn share_is_readable(&self) -> bool {
        self.strategy() != Strategy::AbTest && self.analysis().is_none_or(|a| a.session_affinity.is_none())
    }

    /// The canary's share as the routing object says it. The status is zeroed long before the route is.
    pub fn routed_share(&self) -> Option<f64> {
        if !self.share_is_readable() {
            return None;
        }
        if self.ca.spec.provider == "kubernetes" {
            return self.apex_share();
        }
        self.with_splits(|router, split| (router.canary_share)(split, self.objects)).into_iter().flatten().reduce(f64::max)
    }

    /// Without a router the apex Service decides; it always selects the primary, unless somebody changed it.
    fn apex_share(&self) -> Option<f64> {
        let apex = self.objects.named(&kinds::SERVICE, &self.root.meta.namespace, &self.services()[0])?;
        let service: crate::engine::workload::dto::Service = apex.read().ok()?;
        let labels = &self.primary.as_ref()?.dto.spec.template.metadata.labels;
        let primary = service.spec.selector.0.iter().all(|(key, value)| labels.get(key) == value);
        primary.then_some(0.0)
    }

    // ── readiness and gates ─────────────────────────────────────────────────────────────────────

    /// Whether Flagger takes the new pods for ready; unknown without the target.
    pub fn canary_ready(&self) -> Option<bool> {
        let target = self.target.as_ref()?;
        let (wanted, status) = (target.wanted(), &target.dto.status);
        let percent = self.analysis().and_then(|a| a.canary_ready_threshold).map_or(100, dto::Int::count).min(100);
        let observed = status.observed_generation.0 >= target.object.meta.generation && status.updated_replicas.count() >= wanted;
        let enough = u64::from(status.available_replicas.count()) * 100 >= u64::from(wanted) * u64::from(percent);
        Some(observed && enough && wanted > 0)
    }

    pub fn hooks<'f>(&'f self, kind: &'f str) -> impl Iterator<Item = &'f dto::Webhook> {
        self.analysis().into_iter().flat_map(|a| &a.webhooks).filter(move |hook| hook.kind == kind)
    }

    /// The last reason for standing still that Flagger gave since its status last moved.
    pub fn halt(&self) -> Option<&str> {
        let moved = self.ca.status.last_transition_time.0;
        let (at, message) = self.events.iter().rev().find(|(_, m)| m.starts_with("Halt ") || m.starts_with("Advance "))?;
        let told = message.strip_prefix("Halt ").filter(|_| *at >= moved)?;
        Some(told.split_once(" advancement ").map_or(told, |(_, why)| why))
    }

    /// The hook whose gate holds it. A closed confirm-traffic-increase leaves no trace but an event.
    pub fn closed_gate(&self) -> Option<(&'static str, Option<&dto::Webhook>)> {
        let hook = |kind: &'static str| {
            let named = |h: &&dto::Webhook| self.halt().is_some_and(|why| why.ends_with(&format!(" {}", h.name)));
            (kind, self.hooks(kind).find(named).or_else(|| self.hooks(kind).next()))
        };
        match self.phase() {
            "Waiting" => Some(hook("confirm-rollout")),
            "WaitingPromotion" => Some(hook("confirm-promotion")),
            "Progressing" if self.halt().is_some_and(|why| why.starts_with("waiting for traffic increase approval")) => {
                Some(hook("confirm-traffic-increase"))
            }
            _ => None,
        }
    }
}

fn is_deployment(ca: &dto::Canary) -> bool {
    matches!(ca.spec.target_ref.kind.as_str(), "Deployment" | "")
}

/// Go's durations: `90s`, `1m30s`, `1.5h`.
fn seconds(text: &str) -> Option<f64> {
    let (mut total, mut rest) = (0.0, text.trim());
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let scale = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)].iter().find(|(u, _)| *u == unit)?.1;
        total += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    (total > 0.0).then_some(total)
}
