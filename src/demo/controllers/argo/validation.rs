//! Specs that cannot be acted on, and what the condition says about them: the first error, in the controller's words.
//!
//! Not all of what Kubernetes demands of a pod is looked at, only what people get wrong.

use serde_json::{Value, json};

use super::{
    istio, names,
    pass::{Outcome, Pass, Trouble},
    references,
    spec::{Analysis, BlueGreen, Canary, IntOrString, ManagedRoute, Step, TrafficRouting},
};
use crate::demo::{controllers::analysis, store::Key};

const CANARY: &str = "spec.strategy.canary";
const BLUE_GREEN: &str = "spec.strategy.blueGreen";

fn invalid(field: &str, value: impl Into<Value>, why: &str) -> Option<String> {
    Some(format!("{field}: Invalid value: {}: {why}", value.into()))
}

fn required(field: &str, why: &str) -> Option<String> {
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    Some(format!("{field}: Required value{why}"))
}

fn non_negative(field: &str, value: i64) -> Option<String> {
    if value < 0 { invalid(field, value, "must be greater than or equal to 0") } else { None }
}

impl Pass<'_, '_> {
    /// What was found good is not looked at again until it, or something it refers to, changes.
    pub fn validate(&mut self) -> Outcome {
        let judged = self.judged();
        if judged.is_some() && self.memory.valid == judged {
            return Ok(());
        }
        if let Some(why) = self.validation_error() {
            return Err(Trouble::Invalid(why));
        }
        self.memory.valid = judged;
        Ok(())
    }

    /// What the judgement rests on: the generation, and the revisions of what the spec refers to. Workloads and analysis
    /// templates are judged every time.
    fn judged(&self) -> Option<Vec<u64>> {
        let is_simple = self.spec.workload_ref.is_none() && self.analyses().is_empty();
        let revision = |to: &Key| self.cx.store.get(to).map_or(0, |stored| stored.revision);
        let all =
            || std::iter::once(self.meta.generation.unsigned_abs()).chain(references(&self.key, &self.spec).iter().map(revision)).collect();
        is_simple.then(all)
    }

    pub fn validation_error(&self) -> Option<String> {
        self.bad_template()
            .or_else(|| self.bad_times())
            .or_else(|| self.bad_strategy())
            .or_else(|| self.missing_service())
            .or_else(|| self.analyses().into_iter().find_map(|(field, asked, _)| self.missing_template(&field, asked)))
            .or_else(|| self.missing_ingress())
            .or_else(|| self.spec.services().into_iter().find_map(|(field, name)| self.foreign_service(field, name)))
            .or_else(|| self.analyses().into_iter().find_map(|(field, asked, ends)| self.bad_analysis(&field, asked, ends)))
            .or_else(|| self.unused_ingress())
            .or_else(|| istio::invalid(self))
    }

    fn bad_template(&self) -> Option<String> {
        if let Some(error) = non_negative("spec.replicas", self.spec.replicas()) {
            return Some(error);
        }
        let selector = match &self.spec.selector {
            None if self.spec.workload_ref.is_none() => return required("spec.selector", "Rollout has missing field '.spec.selector'"),
            None => return None,
            Some(selector) if selector.is_empty() && self.spec.workload_ref.is_none() => {
                return invalid("spec.selector", json!(selector), "empty selector is invalid for deployment");
            }
            Some(selector) => selector,
        };
        let template = self.template();
        let labels = serde_json::from_value(template["metadata"]["labels"].clone()).unwrap_or_default();
        if !selector.matches(&labels) {
            return invalid("spec.template.metadata.labels", json!(labels), "`selector` does not match template `labels`");
        }
        let containers = template["spec"]["containers"].as_array().map_or(&[][..], Vec::as_slice);
        if containers.is_empty() {
            return required("spec.template.spec.containers", "");
        }
        let lacks = |(index, container): (usize, &Value)| {
            let field = ["name", "image"].into_iter().find(|field| container[field].as_str().unwrap_or_default().is_empty())?;
            required(&format!("spec.template.spec.containers[{index}].{field}"), "")
        };
        containers.iter().enumerate().find_map(lacks)
    }

    fn bad_times(&self) -> Option<String> {
        let spec = &self.spec;
        let deadline = spec.progress_deadline_seconds.unwrap_or(600);
        non_negative("spec.minReadySeconds", spec.min_ready_seconds)
            .or_else(|| non_negative("spec.revisionHistoryLimit", spec.revision_history_limit.unwrap_or(10)))
            .or_else(|| non_negative("spec.progressDeadlineSeconds", deadline))
            .or_else(|| match deadline <= spec.min_ready_seconds {
                true => invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"),
                false => None,
            })
    }

    fn bad_strategy(&self) -> Option<String> {
        match (self.spec.blue_green(), self.spec.canary()) {
            (None, None) => {
                required("spec.strategy.strategy", "Rollout has missing field '.spec.strategy.canary or .spec.strategy.blueGreen'")
            }
            (Some(_), Some(_)) => {
                invalid("spec.strategy.strategy", "blueGreen: true canary: true", "Multiple Strategies can not be listed")
            }
            (Some(blue_green), None) => self.bad_blue_green(blue_green),
            (None, Some(canary)) => self.bad_canary(canary),
        }
    }

    fn bad_blue_green(&self, blue_green: &BlueGreen) -> Option<String> {
        if blue_green.active_service == blue_green.preview_service {
            let why = "This rollout uses the same service for the active and preview services, but two different services are required.";
            return invalid("spec.strategy.activeService", blue_green.active_service.as_str(), why);
        }
        let limit = blue_green.scale_down_delay_revision_limit?;
        let why = "This rollout's revision history limit can not be smaller than the rollout's scale down limit";
        let is_small = self.spec.revision_history_limit.unwrap_or(10) < limit;
        if is_small { invalid("spec.strategy.scaleDownDelayRevisionLimit", limit, why) } else { None }
    }

    fn bad_canary(&self, canary: &Canary) -> Option<String> {
        bad_moves(canary)
            .or_else(|| bad_services(canary))
            .or_else(|| bad_routing(canary))
            .or_else(|| canary.steps.iter().enumerate().find_map(|(index, step)| self.bad_step(canary, index, step)))
    }

    fn bad_step(&self, canary: &Canary, index: usize, step: &Step) -> Option<String> {
        let field = format!("spec.strategy.steps[{index}]");
        if let Some(error) = bad_kind(&field, step) {
            return Some(error);
        }
        let max = self.spec.max_weight();
        if let Some(weight) = step.set_weight.filter(|weight| !(0..=max).contains(weight)) {
            return invalid(&format!("{field}.setWeight"), weight, &format!("SetWeight needs to be between 0 and {max}"));
        }
        if let Some(pause) = step.pause.as_ref().filter(|pause| pause.seconds() < 0) {
            return invalid(&format!("{field}.pause.duration"), pause.seconds(), "Duration needs to be greater than 0");
        }
        if step.set_canary_scale.is_some() && canary.traffic_routing.is_none() {
            return required("spec.strategy.trafficRouting", "SetCanaryScale requires TrafficRouting to be set");
        }
        if let Some(plugin) = &step.plugin {
            return invalid(&format!("{field}.plugin"), plugin.name.as_str(), "step plugins cannot run in the embedded cluster");
        }
        bad_routes(canary, &field, step)
    }

    fn missing_service(&self) -> Option<String> {
        let missing = |(field, name): &(&str, &str)| match self.service(name) {
            Some(_) => None,
            None => invalid(&format!("spec.strategy.{field}"), *name, &format!("service \"{name}\" not found")),
        };
        self.spec.services().iter().find_map(missing)
    }

    fn foreign_service(&self, field: &str, name: &str) -> Option<String> {
        let (field, service) = (format!("spec.strategy.{field}"), self.service(name)?);
        let labels: Value = self.template()["metadata"]["labels"].clone();
        let unmatched = service.spec.selector.iter().find(|(key, value)| *key != names::HASH && labels[key.as_str()] != value.as_str());
        if let Some((key, _)) = unmatched {
            return invalid(&field, name, &format!("Service \"{name}\" has unmatch label \"{key}\" in rollout"));
        }
        let manager = service.metadata.annotations.get(names::MANAGED_BY);
        match manager.is_some_and(|manager| *manager != self.meta.name) {
            true => invalid(&field, name, &format!("Service \"{name}\" is managed by another Rollout")),
            false => None,
        }
    }

    /// Analyses that the strategy asks for, with the field that does, and whether they must end by themselves.
    fn analyses(&self) -> Vec<(String, &Analysis, bool)> {
        let mut all = Vec::new();
        if let Some(blue_green) = self.spec.blue_green() {
            let named = [
                ("prePromotionAnalysis", &blue_green.pre_promotion_analysis),
                ("postPromotionAnalysis", &blue_green.post_promotion_analysis),
            ];
            all.extend(
                named.into_iter().filter_map(|(name, asked)| Some((format!("{BLUE_GREEN}.{name}.templates"), asked.as_ref()?, true))),
            );
        } else if let Some(canary) = self.spec.canary() {
            let steps = canary.steps.iter().enumerate();
            all.extend(
                steps.filter_map(|(index, step)| {
                    Some((format!("{CANARY}.steps[{index}].analysis.templates"), step.analysis.as_ref()?, true))
                }),
            );
            all.extend(canary.analysis.as_ref().map(|asked| (format!("{CANARY}.analysis.templates"), &asked.analysis, false)));
        }
        all
    }

    fn missing_template(&self, field: &str, asked: &Analysis) -> Option<String> {
        let error = analysis::templates(self.cx.store, &self.meta.namespace, &asked.templates).err()?;
        let Some(name) = error.split('"').nth(1) else { return invalid(field, "", &error) };
        let kind = if error.starts_with("cluster") { "ClusterAnalysisTemplate" } else { "AnalysisTemplate" };
        invalid(field, name, &format!("{kind} '{name}' not found"))
    }

    fn bad_analysis(&self, field: &str, asked: &Analysis, ends: bool) -> Option<String> {
        let templates = analysis::templates(self.cx.store, &self.meta.namespace, &asked.templates).ok()?;
        // Versions are not known yet; any text does.
        let args: Vec<(String, String)> = asked.args.iter().map(|arg| (arg.name.clone(), arg.value.clone())).collect();
        let rules = json!({"dryRun": asked.dry_run, "measurementRetention": asked.measurement_retention});
        if let Err(why) = analysis::run_from_templates(&templates, &args, &rules) {
            let names: Vec<&str> = templates.iter().filter_map(|template| template["metadata"]["name"].as_str()).collect();
            return invalid(field, format!("templateNames: [{}]", names.join(" ")), &why);
        }
        templates.iter().filter(|_| ends).find_map(|template| endless_metric(field, template))
    }

    fn missing_ingress(&self) -> Option<String> {
        let nginx = self.spec.router()?.nginx.as_ref()?;
        let field = format!("{CANARY}.trafficRouting.nginx");
        let (one, several) = (!nginx.stable_ingress.is_empty(), !nginx.stable_ingresses.is_empty());
        if one == several {
            let which = if one { "Both" } else { "Neither" };
            let why = format!("Either StableIngress or StableIngresses must be configured. {which} are configured.");
            return Some(format!("{field}: Internal error: {why}"));
        }
        let (field, value) = match several {
            true => (format!("{field}.StableIngresses"), json!(nginx.stable_ingresses)),
            false => (format!("{field}.stableIngress"), json!(nginx.stable_ingress)),
        };
        let is_missing = |name: &&String| self.cx.store.get(&self.key_of(names::INGRESSES, name)).is_none();
        let name = nginx.ingresses().iter().find(is_missing)?;
        invalid(&field, value, &format!("ingress.networking.k8s.io \"{name}\" not found"))
    }

    fn unused_ingress(&self) -> Option<String> {
        let nginx = self.spec.router()?.nginx.as_ref()?;
        let stable = self.spec.canary().map_or("", |canary| &canary.stable_service);
        let field = if nginx.stable_ingresses.is_empty() { "stableIngress" } else { "stableIngresses" };
        let leads_there = |name: &String| {
            let ingress = self.cx.get(names::INGRESSES, &self.meta.namespace, name).unwrap_or_default();
            let rules = ingress["spec"]["rules"].as_array().cloned().unwrap_or_default();
            let paths = rules.iter().flat_map(|rule| rule["http"]["paths"].as_array().into_iter().flatten());
            paths.into_iter().any(|path| path["backend"]["service"]["name"] == stable)
        };
        let name = nginx.ingresses().iter().find(|name| !leads_there(name))?;
        let why = format!("ingress `{name}` has no rules using service {stable} backend");
        invalid(&format!("{CANARY}.trafficRouting.nginx.{field}"), name.as_str(), &why)
    }
}

fn bad_moves(canary: &Canary) -> Option<String> {
    let number = |value: &Option<IntOrString>| value.as_ref().map_or(25, IntOrString::number);
    match (&canary.max_surge, number(&canary.max_surge), number(&canary.max_unavailable)) {
        (Some(surge), 0, 0) => invalid("spec.strategy.maxSurge", json!(surge), "MaxSurge and MaxUnavailable both can not be zero"),
        _ => None,
    }
}

fn bad_services(canary: &Canary) -> Option<String> {
    let (stable, new) = (canary.stable_service.as_str(), canary.canary_service.as_str());
    if !stable.is_empty() && stable == new {
        let why = "This rollout uses the same service for the stable and canary services, but two different services are required.";
        return invalid("spec.strategy.stableService", stable, why);
    }
    if let Some(services) = &canary.ping_pong {
        let (ping, pong) = (services.ping_service.as_str(), services.pong_service.as_str());
        let both = "Ping service and Pong service must to be set to use Ping-Pong feature";
        let same = "This rollout uses the same service for the ping and pong services, but two different services are required.";
        let bad = [
            (ping.is_empty(), "pingService", ping, both),
            (pong.is_empty(), "pongService", pong, both),
            (ping == pong, "pingService", ping, same),
        ];
        if let Some((_, field, value, why)) = bad.into_iter().find(|(is_bad, ..)| *is_bad) {
            return invalid(&format!("spec.strategy.pingPong.{field}"), value, why);
        }
    }
    let why = "Canary service and Stable service must to be set to use Traffic Routing";
    let missing = [("stableService", stable), ("canaryService", new)].into_iter().find(|(_, name)| name.is_empty());
    match (needs_services(canary), missing) {
        (true, Some((field, name))) => invalid(&format!("spec.strategy.{field}"), name, why),
        _ => None,
    }
}

fn needs_services(canary: &Canary) -> bool {
    let Some(routing) = &canary.traffic_routing else { return false };
    let is_plain_istio = routing.istio.as_ref().is_some_and(|istio| istio.destination_rule.is_none()) && canary.ping_pong.is_none();
    let always = [&routing.smi, &routing.apisix, &routing.ambassador, &routing.app_mesh];
    is_plain_istio
        || (routing.alb.is_some() && canary.ping_pong.is_none())
        || routing.nginx.is_some()
        || routing.traefik.is_some()
        || always.into_iter().any(Option::is_some)
}

fn bad_routing(canary: &Canary) -> Option<String> {
    let (delay, is_dynamic) = (canary.scale_down_delay_seconds, canary.dynamic_stable_scale);
    let Some(routing) = &canary.traffic_routing else {
        let field = "spec.strategy.scaleDownDelaySeconds";
        return match (delay, is_dynamic) {
            (Some(delay), _) => invalid(field, delay, "Canary scaleDownDelaySeconds can only be used with traffic routing"),
            (_, true) => {
                invalid("spec.strategy.dynamicStableScale", true, "Canary dynamicStableScale can only be used with traffic routing")
            }
            _ => None,
        };
    };
    if delay.is_some() && is_dynamic {
        let why = "Canary dynamicStableScale cannot be used with scaleDownDelaySeconds";
        return invalid("spec.strategy.dynamicStableScale", true, why);
    }
    match routing.max_traffic_weight {
        Some(weight) if routing.nginx.is_none() && routing.plugins.is_empty() => {
            let why = "Canary maxTrafficWeight in traffic routing only supported in Nginx and Plugins";
            invalid("spec.strategy.trafficRouting.maxTrafficWeight", weight, why)
        }
        _ => None,
    }
}

/// A step must ask for one thing.
fn bad_kind(field: &str, step: &Step) -> Option<String> {
    let why = "Step must have one of the following set: experiment, setWeight, setCanaryScale, plugin or pause";
    let main = [step.experiment.is_some(), step.pause.is_some(), step.set_weight.is_some(), step.analysis.is_some()];
    let [experiment, pause, weight, analysis] = main;
    if main.into_iter().filter(|is_set| *is_set).count() > 1 {
        let value = format!("step.Experiment: {experiment} step.Pause: {pause} step.SetWeight: {weight} step.Analysis: {analysis}");
        return invalid(field, value, why);
    }
    let others = [step.set_canary_scale.is_some(), step.set_header_route.is_some(), step.set_mirror_route.is_some(), step.plugin.is_some()];
    if main.into_iter().chain(others).any(|is_set| is_set) {
        return None;
    }
    // The real message names what is missing, all of it.
    let value = "step.Experiment: true step.Pause: true step.SetWeight: true step.Analysis: true step.SetCanaryScale: true \
                 step.SetHeaderRoute: true step.SetMirrorRoute: true step.Plugin: true";
    invalid(field, value, why)
}

/// Header and mirror routes need a router that has them, and leave to be managed.
fn bad_routes(canary: &Canary, field: &str, step: &Step) -> Option<String> {
    let routing = canary.traffic_routing.as_ref();
    let has = |can: fn(&TrafficRouting) -> bool| routing.is_some_and(|routing| can(routing) || !routing.plugins.is_empty());
    let headers = has(|routing| routing.istio.is_some() || routing.alb.is_some() || routing.apisix.is_some());
    let mirrors = has(|routing| routing.istio.is_some());
    let rows: [(&Option<ManagedRoute>, &str, bool, &str); 2] = [
        (&step.set_header_route, "setHeaderRoute", headers, "SetHeaderRoute requires TrafficRouting, supports Istio and ALB and Apisix"),
        (&step.set_mirror_route, "setMirrorRoute", mirrors, "SetMirrorRoute requires TrafficRouting, supports Istio and Plugins"),
    ];
    for (route, name, can, why) in rows {
        let Some(route) = route else { continue };
        let field = format!("{field}.{name}");
        if !can {
            return invalid(&field, json!(route), why);
        }
        let Some(managed) = routing.and_then(|routing| routing.managed_routes.as_ref()) else {
            let why = "Rollout has missing field 'spec.strategy.canary.trafficRouting.managedRoutes'";
            return required("spec.strategy.trafficRouting.managedRoutes", why);
        };
        if !managed.iter().any(|managed| managed.name == route.name) {
            let why = "Steps define a route that does not exist in spec.strategy.canary.trafficRouting.managedRoutes";
            return invalid(&field, route.name.as_str(), why);
        }
    }
    None
}

/// A metric that measures for ever may only run in the background.
fn endless_metric(field: &str, template: &Value) -> Option<String> {
    let name = template["metadata"]["name"].as_str().unwrap_or_default();
    let is_endless = |metric: &&Value| {
        let is_unlimited = metric["count"].is_null() || metric["count"] == 0 || metric["count"] == "0";
        is_unlimited && metric["interval"].as_str().is_some_and(|interval| !interval.is_empty())
    };
    let metric = template["spec"]["metrics"].as_array()?.iter().find(is_endless)?;
    let count = match &metric["count"] {
        Value::Null => "<nil>".to_owned(),
        Value::String(count) => count.clone(),
        count => count.to_string(),
    };
    let metric = metric["name"].as_str().unwrap_or_default();
    let why = format!("AnalysisTemplate {name} has metric {metric} which runs indefinitely. Invalid value for count: {count}");
    invalid(field, name, &why)
}
