//! Gateway API: an HTTPRoute with both Services behind one rule. Header filters and rewrites are not carried over.

use serde_json::{Value, json};

use super::{
    names::HTTP_ROUTES,
    router::{Weights, merged, unweighted},
    services::{self, hands_off},
    spec::Service,
    tick::Tick,
};
use crate::demo::controllers::objects::{condition, same};

/// Istio's words for how something is matched, and Gateway API's for a path and for all else.
const WAYS: [(&str, &str, &str); 3] =
    [("regex", "RegularExpression", "RegularExpression"), ("exact", "Exact", "Exact"), ("prefix", "PathPrefix", "")];

pub fn reconcile(tick: &mut Tick<'_, '_>) -> Result<(), String> {
    let service = tick.spec.service.clone();
    if service.gateway_refs.is_empty() {
        return Err("GatewayRefs must be specified when using Gateway API as a provider.".into());
    }
    let [name, ..] = tick.spec.services();
    let namespace = tick.key.namespace.clone();
    let spec = spec(tick, Weights::HOME)?;
    let (labels, mut annotations) = (services::labels(&service.apex.labels), hands_off(&service.apex.annotations));
    let Some(mut route) = tick.get(HTTP_ROUTES, &name) else {
        let object = json!({
            "metadata": {
                "name": name, "namespace": *namespace, "labels": labels, "annotations": annotations, "ownerReferences": [tick.owner()],
            },
            "spec": spec,
        });
        let told = |why: String| format!("HTTPRoute {name}.{namespace} create error: {why}");
        return tick.cx.create(HTTP_ROUTES, object).map(drop).map_err(|refusal| told(refusal.message));
    };
    // Other controllers leave notes on routes.
    for (key, value) in route["metadata"]["annotations"].as_object().into_iter().flatten() {
        annotations.entry(key.clone()).or_insert_with(|| value.clone());
    }
    let annotations = Value::from(annotations);
    let metadata = &route["metadata"];
    let is_right = same(&unweighted(&with_defaults(&route["spec"])), &unweighted(&with_defaults(&spec)));
    if is_right && same(&metadata["labels"], &labels) && same(&metadata["annotations"], &annotations) {
        return Ok(());
    }
    route["spec"] = spec;
    route["metadata"]["labels"] = labels;
    route["metadata"]["annotations"] = annotations;
    let told = |why: String| format!("HTTPRoute {name}.{namespace} update error: {why} while reconciling");
    tick.cx.update(HTTP_ROUTES, route).map(drop).map_err(|refusal| told(refusal.message))
}

/// Where the Canary leaves open what the route's schema fills in.
fn with_defaults(spec: &Value) -> Value {
    let mut spec = spec.clone();
    for parent in spec["parentRefs"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        parent.entry("group").or_insert_with(|| "gateway.networking.k8s.io".into());
        parent.entry("kind").or_insert_with(|| "Gateway".into());
    }
    for rule in spec["rules"].as_array_mut().into_iter().flatten() {
        for matched in rule["matches"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            matched.entry("path").or_insert_with(|| json!({"type": "PathPrefix", "value": "/"}));
        }
    }
    spec
}

fn spec(tick: &Tick<'_, '_>, weights: Weights) -> Result<Value, String> {
    let service = &tick.spec.service;
    let [_, primary, canary] = tick.spec.services();
    let mut matches = matches(&service.matches)?;
    if matches.is_empty() {
        matches.push(json!({"path": {"type": "PathPrefix", "value": "/"}}));
    }
    let backend = |name: &str, weight: i64| json!({"group": "", "kind": "Service", "name": name, "port": service.port, "weight": weight});
    let rule = |matches: &[Value], backends: Vec<Value>| timed(service, json!({"matches": matches, "backendRefs": backends}));
    let both = vec![backend(&primary, weights.primary), backend(&canary, weights.canary)];
    let rules = if tick.analysis.matches.is_empty() {
        vec![rule(&matches, both)]
    } else {
        let chosen = self::matches(&tick.analysis.matches).unwrap_or_default();
        let rest = rule(&matches, vec![backend(&primary, Weights::HOME.primary)]);
        vec![rule(&merged(&chosen, &matches, ["headers", "queryParams"]), both), rest]
    };
    let mut spec = json!({"parentRefs": service.gateway_refs, "rules": rules});
    if !service.hosts.is_empty() {
        spec["hostnames"] = service.hosts.clone().into();
    }
    Ok(spec)
}

fn timed(service: &Service, mut rule: Value) -> Value {
    if !service.timeout.is_empty() {
        rule["timeouts"] = json!({"request": service.timeout});
    }
    rule
}

/// Conditions in Istio's words, in Gateway API's.
fn matches(istio: &[Value]) -> Result<Vec<Value>, String> {
    let mut all = Vec::new();
    for asked in istio {
        let mut found = json!({});
        if let Some(uri) = asked.get("uri").filter(|uri| uri.is_object()) {
            let unknown =
                || format!("Invalid request matching selectors: Gateway API doesn't support the specified path matching selector: {uri}");
            let (kind, _, value) = way(uri).ok_or_else(unknown)?;
            found["path"] = json!({"type": kind, "value": value});
        }
        if let Some(method) = asked["method"]["exact"].as_str() {
            found["method"] = method.into();
        }
        for (from, to) in [("headers", "headers"), ("queryParams", "queryParams")] {
            let Some(asked) = asked[from].as_object().filter(|asked| !asked.is_empty()) else { continue };
            let by = |(name, is): (&String, &Value)| way(is).map(|(_, kind, value)| json!({"name": name, "type": kind, "value": value}));
            found[to] = asked.iter().filter_map(by).collect();
        }
        if found != json!({}) {
            all.push(found);
        }
    }
    Ok(all)
}

fn way(is: &Value) -> Option<(&'static str, &'static str, &str)> {
    WAYS.iter().find_map(|(word, path, other)| Some((*path, *other, is[*word].as_str().filter(|value| !value.is_empty())?)))
}

pub fn weights(tick: &Tick<'_, '_>) -> Result<Weights, String> {
    let [name, primary, canary] = tick.spec.services();
    let namespace = &tick.key.namespace;
    let missing = || format!("HTTPRoute {name}.{namespace} get error: {HTTP_ROUTES} {name:?} not found");
    let route = tick.get(HTTP_ROUTES, &name).ok_or_else(missing)?;
    is_accepted(&route, &format!("HTTPRoute {name}.{namespace}"))?;
    let mut weights = Weights { primary: 0, canary: 0 };
    let rules = route["spec"]["rules"].as_array().into_iter().flatten();
    for backends in rules.filter_map(|rule| rule["backendRefs"].as_array()).filter(|backends| backends.len() == 2) {
        for backend in backends {
            let weight = backend["weight"].as_i64().unwrap_or(1);
            if backend["name"] == primary.as_str() {
                weights.primary = weight;
            } else if backend["name"] == canary.as_str() {
                weights.canary = weight;
            }
        }
    }
    Ok(weights)
}

/// What a gateway says about the route; where none says anything, it is taken for granted.
fn is_accepted(route: &Value, what: &str) -> Result<(), String> {
    let generation = route["metadata"]["generation"].as_i64().unwrap_or_default();
    for parent in route["spec"]["parentRefs"].as_array().into_iter().flatten() {
        let statuses = route["status"]["parents"].as_array().into_iter().flatten();
        for status in statuses.filter(|status| same(&status["parentRef"], parent)) {
            let Some(accepted) = condition(&status["conditions"], "Accepted") else { continue };
            let observed = accepted["observedGeneration"].as_i64().unwrap_or_default();
            let status = accepted["status"].as_str().unwrap_or_default();
            if status != "True" || observed < generation {
                let parent = parent["name"].as_str().unwrap_or_default();
                return Err(format!(
                    "{what} parent {parent} is not ready (status: {status}, observed generation: {observed}, current generation: {generation})"
                ));
            }
        }
    }
    Ok(())
}

pub fn set_weights(tick: &mut Tick<'_, '_>, weights: Weights) -> Result<(), String> {
    let [name, ..] = tick.spec.services();
    let namespace = tick.key.namespace.clone();
    let missing = || format!("HTTPRoute {name}.{namespace} get error: {HTTP_ROUTES} {name:?} not found");
    let mut route = tick.get(HTTP_ROUTES, &name).ok_or_else(missing)?;
    route["spec"] = spec(tick, weights)?;
    let told = |why: String| format!("HTTPRoute {name}.{namespace} update error: {why} while setting weights");
    tick.cx.update(HTTP_ROUTES, route).map(drop).map_err(|refusal| told(refusal.message))
}
