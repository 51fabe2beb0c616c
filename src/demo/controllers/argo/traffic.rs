//! How much traffic the canary gets, and who is told.

use serde_json::{Value, json};

use super::{
    istio, names, nginx,
    pass::{Outcome, Pass},
    replica_set::ReplicaSet,
    replicas,
    spec::{Step, TrafficRouting},
    status::{Destination, Weights},
};

/// The plugin that moves the weights of a Gateway API route.
const GATEWAY_API: &str = "argoproj-labs/gatewayAPI";

/// Something that splits the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Router {
    Istio,
    Nginx,
    Traefik,
    GatewayApi,
    /// A router whose objects nobody looks at here: its weights are only in the status.
    Other,
}

impl Router {
    fn all(routing: &TrafficRouting) -> Vec<Self> {
        let others = [&routing.alb, &routing.smi, &routing.ambassador, &routing.app_mesh, &routing.apisix];
        let mut routers = Vec::new();
        routers.extend(routing.istio.as_ref().map(|_| Self::Istio));
        routers.extend(routing.nginx.as_ref().map(|_| Self::Nginx));
        routers.extend(others.into_iter().flatten().map(|_| Self::Other));
        routers.extend(routing.traefik.as_ref().map(|_| Self::Traefik));
        routers.extend(routing.plugins.keys().map(|name| if name == GATEWAY_API { Self::GatewayApi } else { Self::Other }));
        routers
    }

    fn set_weight(self, pass: &mut Pass<'_, '_>, weight: i64, additional: &[Destination]) -> Outcome {
        match self {
            Self::Istio => istio::set_weight(pass, weight, additional),
            Self::Nginx => nginx::set_weight(pass, weight),
            Self::Traefik => set_traefik_weight(pass, weight),
            Self::GatewayApi => set_gateway_weight(pass, weight),
            Self::Other => Ok(()),
        }
    }
}

/// Which versions share the traffic, and how.
struct Split {
    weight: i64,
    canary_hash: String,
    additional: Vec<Destination>,
}

impl Pass<'_, '_> {
    /// Brings the weights where they should be. A raise waits for the canary's pods, and all waits for the stable ones.
    pub fn route(&mut self) -> Outcome {
        let routers = self.spec.router().map(Router::all).unwrap_or_default();
        if routers.is_empty() {
            self.draft.canary.weights = None;
        }
        for router in routers {
            let split = self.split(router)?;
            if !self.stable_can_take(self.spec.max_weight() - split.weight) {
                return Ok(());
            }
            if router == Router::Istio && self.meta.revision() > 1 {
                self.set_managed_route()?;
            }
            self.tell(router, &split)?;
            self.note_weights(split);
        }
        Ok(())
    }

    /// The weight for the state the rollout is in.
    fn split(&mut self, router: Router) -> Outcome<Split> {
        let mut split = Split { weight: 0, canary_hash: Self::hash_of(self.new_set()).to_owned(), additional: Vec::new() };
        let mut ends_routes = false;
        let has_pods = self.new_set().is_some_and(|new| new.available() > 0);
        if let Some(before) = self.is_rolling_back_dynamically() {
            split.weight = self.weight_on_the_way_back();
            split.canary_hash = before;
        } else if self.status.is_fully_promoted() {
            ends_routes = true;
        } else if self.is_aborted() {
            split.weight = self.weight_on_the_way_back();
            if !self.spec.is_dynamic() || split.weight == 0 {
                let service = self.spec.canary().map_or_else(String::new, |canary| canary.canary_service.clone());
                self.point_service(&service, self.stable_set().cloned(), false)?;
            }
            ends_routes = true;
        } else if !has_pods {
            split.additional = self.experiment_weights();
            ends_routes = true;
        } else if self.status.promote_full {
            split.weight = self.weight_of_full_promotion();
            ends_routes = true;
        } else if let (step, Some(index)) = replicas::current_step(&self.spec, &self.status) {
            (split.weight, split.additional) = self.weight_of_step(step, index);
        }
        if ends_routes && router == Router::Istio {
            istio::remove_managed_routes(self)?;
        }
        Ok(split)
    }

    fn weight_of_step(&self, step: Option<&Step>, index: i64) -> (i64, Vec<Destination>) {
        if !self.count(|counting| counting.is_at_desired(None)) {
            // Not enough pods for a new weight yet: the one before stays.
            let before = self.spec.steps().iter().take(usize::try_from(index).unwrap_or_default()).rev();
            return (before.filter_map(|step| step.set_weight).next().unwrap_or(0), self.experiment_weights());
        }
        match step {
            Some(_) => (replicas::set_weight(&self.spec, &self.status), self.experiment_weights()),
            None => (self.spec.max_weight(), Vec::new()),
        }
    }

    /// A full promotion raises the weight as pods become available, if the stable version shrinks with it.
    fn weight_of_full_promotion(&self) -> i64 {
        match (&self.status.canary.weights, self.spec.is_dynamic()) {
            (_, true) => self.spec.max_weight() * self.new_set().map_or(0, ReplicaSet::available) / self.spec.replicas().max(1),
            (Some(weights), false) => weights.canary.weight,
            (None, false) => 0,
        }
    }

    /// None at once, unless the stable version was scaled down and must grow first.
    fn weight_on_the_way_back(&self) -> i64 {
        let replicas = self.spec.replicas();
        let (true, Some(stable), Some(_), true) = (self.spec.is_dynamic(), self.stable_set(), self.new_set(), replicas > 0) else {
            return 0;
        };
        let max = self.spec.max_weight();
        let wanted = self.count(|counting| counting.desired_weight());
        let carried = max * stable.available() / replicas;
        let left = (max - carried).max(0);
        let Some(weights) = &self.status.canary.weights else { return left.max(wanted) };
        let current = weights.canary.weight;
        match wanted {
            // A stable version that flaps must not raise the weight again.
            ..=0 => left.min(current),
            _ if carried < max - wanted => current,
            _ => wanted.min(current),
        }
    }

    /// The version that had the canary's share, when the rollout goes back to a stable version that was scaled down and
    /// is not complete yet.
    pub fn is_rolling_back_dynamically(&self) -> Option<String> {
        let weights = self.status.canary.weights.as_ref()?;
        let new = self.new_set()?;
        let before = &weights.canary.pod_template_hash;
        let is_under_way = self.spec.router().is_some() && self.spec.is_dynamic() && self.status.is_fully_promoted();
        (is_under_way && before != new.hash() && new.available() < self.spec.replicas()).then(|| before.clone())
    }

    fn stable_can_take(&self, weight: i64) -> bool {
        let Some(stable) = self.stable_set() else { return false };
        let needed = weight * self.spec.replicas() / self.spec.max_weight();
        let threshold = self.spec.canary().and_then(|canary| canary.replica_progress_threshold.as_ref());
        stable.available() >= needed || replicas::threshold_met(threshold, Some(stable), needed)
    }

    fn set_managed_route(&mut self) -> Outcome {
        let Some(step) = replicas::current_step(&self.spec, &self.status).0.cloned() else { return Ok(()) };
        match (&step.set_header_route, &step.set_mirror_route) {
            (Some(route), _) => istio::set_header_route(self, route),
            (_, Some(route)) => istio::set_mirror_route(self, route),
            _ => Ok(()),
        }
    }

    fn tell(&mut self, router: Router, split: &Split) -> Outcome {
        let stable_hash = Self::hash_of(self.stable_set()).to_owned();
        let had_weight = self.status.canary.weights.as_ref().is_some_and(|weights| weights.canary.weight > 0);
        if had_weight && self.new_set().is_none_or(|new| new.available() == 0) {
            // Before the canary's share goes to a version without pods.
            self.tell_weight(router, split)?;
        }
        if router == Router::Istio {
            istio::update_hashes(self, &split.canary_hash, &stable_hash, &split.additional)?;
        }
        self.tell_weight(router, split)
    }

    fn tell_weight(&mut self, router: Router, split: &Split) -> Outcome {
        let outcome = router.set_weight(self, split.weight, &split.additional);
        if let Err(trouble) = &outcome {
            self.warn("TrafficRoutingError", &trouble.to_string());
        }
        outcome
    }

    /// Notes the weights in the next status, and tells if they are other than before.
    fn note_weights(&mut self, split: Split) {
        let canary = self.spec.canary();
        let service = |name: Option<&String>| name.cloned().unwrap_or_default();
        let additional: i64 = split.additional.iter().map(|destination| destination.weight).sum();
        let weights = Weights {
            canary: Destination {
                weight: split.weight,
                service_name: service(canary.map(|canary| &canary.canary_service)),
                pod_template_hash: split.canary_hash,
            },
            stable: Destination {
                weight: self.spec.max_weight() - split.weight - additional,
                service_name: service(canary.map(|canary| &canary.stable_service)),
                pod_template_hash: Self::hash_of(self.stable_set()).into(),
            },
            additional: split.additional,
        };
        let before = self.status.canary.weights.clone();
        if before.as_ref() != Some(&weights) {
            let message = format!("Traffic weight updated {}", difference(before.as_ref(), &weights));
            self.event("TrafficWeightUpdated", &message);
        }
        self.draft.canary.weights = Some(weights);
    }
}

/// `from 20 to 40`; only hashes may have changed, then there is nothing to say.
fn difference(before: Option<&Weights>, now: &Weights) -> String {
    let Some(before) = before else { return format!("to {}", now.canary.weight) };
    let mut parts = Vec::new();
    if before.canary.weight != now.canary.weight {
        parts.push(format!("from {} to {}", before.canary.weight, now.canary.weight));
    }
    if before.additional != now.additional {
        let all = now.additional.iter().map(|d| format!("{{{} {} {}}}", d.weight, d.service_name, d.pod_template_hash));
        parts.push(format!("additional: [{}]", all.collect::<Vec<_>>().join(" ")));
    }
    parts.join(", ")
}

fn set_traefik_weight(pass: &mut Pass<'_, '_>, weight: i64) -> Outcome {
    let name = pass.spec.router().and_then(|routing| routing.traefik.as_ref()).map(|traefik| traefik.weighted_traefik_service_name.clone());
    let weights = shares(pass, weight);
    rewrite(pass, names::TRAEFIK_SERVICES, &name.unwrap_or_default(), |object| {
        set_shares(&mut object["spec"]["weighted"]["services"], &weights);
    })
}

fn set_gateway_weight(pass: &mut Pass<'_, '_>, weight: i64) -> Outcome {
    let config = pass.spec.router().and_then(|routing| routing.plugins.get(GATEWAY_API)).cloned().unwrap_or_default();
    let own = config["httpRoute"].as_str().map(str::to_owned);
    let several = config["httpRoutes"].as_array().into_iter().flatten().filter_map(|route| route["name"].as_str().map(str::to_owned));
    let weights = shares(pass, weight);
    for name in own.into_iter().chain(several).collect::<Vec<_>>() {
        rewrite(pass, names::HTTP_ROUTES, &name, |object| {
            for rule in object["spec"]["rules"].as_array_mut().into_iter().flatten() {
                set_shares(&mut rule["backendRefs"], &weights);
            }
        })?;
    }
    Ok(())
}

/// Both Services with their weights.
fn shares(pass: &Pass<'_, '_>, weight: i64) -> [(String, i64); 2] {
    let (canary, stable) = pass.spec.canary().map_or(("", ""), |canary| (&canary.canary_service, &canary.stable_service));
    [(canary.into(), weight), (stable.into(), pass.spec.max_weight() - weight)]
}

fn set_shares(backends: &mut Value, weights: &[(String, i64)]) {
    for backend in backends.as_array_mut().into_iter().flatten() {
        if let Some((_, weight)) = weights.iter().find(|(name, _)| backend["name"] == name.as_str()) {
            backend["weight"] = json!(weight);
        }
    }
}

fn rewrite(pass: &mut Pass<'_, '_>, kind: &str, name: &str, change: impl FnOnce(&mut Value)) -> Outcome {
    let Some(mut object) = pass.cx.get(kind, &pass.meta.namespace, name) else {
        return Err(crate::demo::refusal::Refusal::not_found(kind, name).into());
    };
    change(&mut object);
    pass.cx.update(kind, object)?;
    Ok(())
}
