//! Istio: a VirtualService with both Services as destinations, and a DestinationRule for each of them.

use serde_json::{Value, json};

use super::{
    names::{DESTINATION_RULES, VIRTUAL_SERVICES},
    router::{Weights, merged, unweighted},
    services::{self, hands_off},
    tick::Tick,
};
use crate::demo::controllers::objects::same;

/// Where the spec of a VirtualService is kept that somebody made before.
const ORIGINAL: &str = "flagger.kubernetes.io/original-configuration";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

pub fn reconcile(tick: &mut Tick<'_, '_>) -> Result<(), String> {
    let [_, primary, canary] = tick.spec.services();
    for host in [canary, primary] {
        reconcile_rule(tick, &host).map_err(|why| format!("reconcileDestinationRule failed: {why}"))?;
    }
    reconcile_service(tick).map_err(|why| format!("reconcileVirtualService failed: {why}"))
}

fn reconcile_rule(tick: &mut Tick<'_, '_>, host: &str) -> Result<(), String> {
    let namespace = tick.key.namespace.clone();
    let mut spec = json!({"host": host});
    if !tick.spec.service.traffic_policy.is_null() {
        spec["trafficPolicy"] = tick.spec.service.traffic_policy.clone();
    }
    let told = |what: &str, why: String| format!("DestinationRule {host}.{namespace} {what} error: {why}");
    let Some(mut rule) = tick.get(DESTINATION_RULES, host) else {
        let object = json!({"metadata": {"name": host, "namespace": *namespace, "ownerReferences": [tick.owner()]}, "spec": spec});
        return tick.cx.create(DESTINATION_RULES, object).map(drop).map_err(|refusal| told("create", refusal.message));
    };
    if same(&rule["spec"], &spec) {
        return Ok(());
    }
    rule["spec"] = spec;
    tick.cx.update(DESTINATION_RULES, rule).map(drop).map_err(|refusal| told("update", refusal.message))
}

fn reconcile_service(tick: &mut Tick<'_, '_>) -> Result<(), String> {
    let [name, ..] = tick.spec.services();
    let namespace = tick.key.namespace.clone();
    let service = tick.spec.service.clone();
    let spec = spec(tick, Weights::HOME);
    let (labels, mut annotations) = (services::labels(&service.apex.labels), hands_off(&service.apex.annotations));
    let Some(mut known) = tick.get(VIRTUAL_SERVICES, &name) else {
        let object = json!({
            "metadata": {
                "name": name, "namespace": *namespace, "labels": labels, "annotations": annotations, "ownerReferences": [tick.owner()],
            },
            "spec": spec,
        });
        let told = |why: String| format!("VirtualService {name}.{namespace} create error: {why}");
        return tick.cx.create(VIRTUAL_SERVICES, object).map(drop).map_err(|refusal| told(refusal.message));
    };
    let before = known["metadata"]["annotations"].clone();
    for key in [LAST_APPLIED, ORIGINAL].into_iter().filter(|key| before[*key].is_string()) {
        annotations.insert(key.into(), before[key].clone());
    }
    let is_right = same(&unweighted(&known["spec"]), &unweighted(&spec));
    if is_right && same(&known["metadata"]["labels"], &labels) && same(&before, &Value::from(annotations.clone())) {
        return Ok(());
    }
    if !is_right && !annotations.contains_key(LAST_APPLIED) {
        annotations.insert(ORIGINAL.into(), known["spec"].to_string().into());
    }
    known["spec"] = spec;
    known["metadata"]["labels"] = labels;
    known["metadata"]["annotations"] = annotations.into();
    let told = |why: String| format!("VirtualService {name}.{namespace} update error: {why}");
    tick.cx.update(VIRTUAL_SERVICES, known).map(drop).map_err(|refusal| told(refusal.message))
}

fn is_tcp(tick: &Tick<'_, '_>) -> bool {
    tick.spec.service.app_protocol.eq_ignore_ascii_case("tcp")
}

fn spec(tick: &Tick<'_, '_>, weights: Weights) -> Value {
    let [apex, ..] = tick.spec.services();
    let service = &tick.spec.service;
    let mut hosts = service.hosts.clone();
    if !hosts.iter().any(|host| *host == apex || host == "*") {
        hosts.push(apex);
    }
    let gateways = if service.gateways.is_empty() { vec!["mesh".to_owned()] } else { service.gateways.clone() };
    let mut spec = json!({"hosts": hosts, "gateways": gateways});
    let (field, routes) = routes(tick, weights);
    spec[field] = routes;
    spec
}

/// The lists of routes, and the field they belong to.
fn routes(tick: &Tick<'_, '_>, weights: Weights) -> (&'static str, Value) {
    let [_, primary, canary] = tick.spec.services();
    let service = &tick.spec.service;
    let to = |host: &str, weight: i64| json!({"destination": {"host": host}, "weight": weight});
    let both = json!([to(&primary, weights.primary), to(&canary, weights.canary)]);
    if is_tcp(tick) {
        let matches: Vec<Value> = service.matches.iter().map(|found| json!({"port": found["port"]})).collect();
        return ("tcp", json!([some(&[("match", &matches.into()), ("route", &both)])]));
    }
    let route = |matches: &[Value], to: &Value| {
        some(&[
            ("match", &matches.into()),
            ("rewrite", &service.rewrite),
            ("timeout", &service.timeout.as_str().into()),
            ("retries", &service.retries),
            ("corsPolicy", &service.cors_policy),
            ("headers", &service.headers),
            ("route", to),
        ])
    };
    if tick.analysis.matches.is_empty() {
        return ("http", json!([route(&service.matches, &both)]));
    }
    let chosen = merged(&tick.analysis.matches, &service.matches, ["headers", "sourceLabels"]);
    ("http", json!([route(&chosen, &both), route(&service.matches, &json!([to(&primary, weights.primary)]))]))
}

/// The fields that say something.
fn some(fields: &[(&str, &Value)]) -> Value {
    fields.iter().filter(|(_, value)| !same(value, &Value::Null)).map(|(name, value)| ((*name).to_owned(), (*value).clone())).collect()
}

fn service(tick: &Tick<'_, '_>) -> Result<Value, String> {
    let [name, ..] = tick.spec.services();
    let missing = || format!("VirtualService {name}.{} get query error {VIRTUAL_SERVICES} {name:?} not found", tick.key.namespace);
    tick.get(VIRTUAL_SERVICES, &name).ok_or_else(missing)
}

pub fn weights(tick: &Tick<'_, '_>) -> Result<Weights, String> {
    let service = service(tick)?;
    let [apex, primary, canary] = tick.spec.services();
    let mut lists = service["spec"][if is_tcp(tick) { "tcp" } else { "http" }].as_array().into_iter().flatten();
    let leads_there =
        |route: &&Value| route["route"].as_array().into_iter().flatten().any(|to| to["destination"]["host"] == canary.as_str());
    let found = lists.rfind(leads_there);
    let to = |host: &str| {
        let mut all = found.and_then(|route| route["route"].as_array()).into_iter().flatten();
        all.find(|to| to["destination"]["host"] == host).and_then(|to| to["weight"].as_i64()).unwrap_or_default()
    };
    let weights = Weights { primary: to(&primary), canary: to(&canary) };
    if weights.primary == 0 && weights.canary == 0 {
        let namespace = &tick.key.namespace;
        return Err(format!("VirtualService {apex}.{namespace} does not contain routes for {apex}-primary and {apex}-canary"));
    }
    Ok(weights)
}

pub fn set_weights(tick: &mut Tick<'_, '_>, weights: Weights) -> Result<(), String> {
    let mut known = service(tick)?;
    let (field, routes) = routes(tick, weights);
    known["spec"][field] = routes;
    let [name, ..] = tick.spec.services();
    let done = tick.cx.update(VIRTUAL_SERVICES, known).map(drop);
    let told = |why: String| format!("VirtualService {name}.{} update failed: {why}", tick.key.namespace);
    done.map_err(|refusal| told(refusal.message))
}
