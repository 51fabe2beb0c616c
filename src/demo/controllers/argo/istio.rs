//! Weights for Istio: destinations of a VirtualService's routes, told apart by host or by a DestinationRule's subsets,
//! and the routes that steps put before all others.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    names,
    pass::{Outcome, Pass, Trouble},
    spec::{DestinationRule, Istio, ManagedRoute, VirtualService},
    status::Destination,
};
use crate::demo::refusal::Refusal;

const EVENT: &str = "Updated VirtualService";

/// Names by which a destination is known as the canary or the stable one.
struct Ends {
    canary_service: String,
    stable_service: String,
    rule: DestinationRule,
}

impl Ends {
    fn of(pass: &Pass<'_, '_>) -> Self {
        let canary = pass.spec.canary().cloned().unwrap_or_default();
        let rule = istio(pass).destination_rule.unwrap_or_default();
        let (mut canary_service, mut stable_service) = (canary.canary_service, canary.stable_service);
        if let Some(services) = canary.ping_pong.filter(|_| canary_service.is_empty() && stable_service.is_empty()) {
            (canary_service, stable_service) = match pass.status.canary.stable_ping_pong == "ping" {
                true => (services.pong_service, services.ping_service),
                false => (services.ping_service, services.pong_service),
            };
        }
        Self { canary_service, stable_service, rule }
    }

    fn is_canary(&self, destination: &Value) -> bool {
        is_one(destination, &self.canary_service, &self.rule.canary_subset_name)
    }

    fn is_stable(&self, destination: &Value) -> bool {
        is_one(destination, &self.stable_service, &self.rule.stable_subset_name)
    }
}

fn is_one(destination: &Value, service: &str, subset: &str) -> bool {
    let named = destination["destination"]["subset"].as_str().unwrap_or_default();
    host(destination) == service || (!named.is_empty() && named == subset)
}

/// The Service a destination leads to, without its domain.
fn host(destination: &Value) -> &str {
    let host = destination["destination"]["host"].as_str().unwrap_or_default();
    host.split_once('.').map_or(host, |(name, _)| name)
}

fn istio(pass: &Pass<'_, '_>) -> Istio {
    pass.spec.router().and_then(|routing| routing.istio.clone()).unwrap_or_default()
}

pub fn set_weight(pass: &mut Pass<'_, '_>, weight: i64, additional: &[Destination]) -> Outcome {
    let ends = Ends::of(pass);
    for service in istio(pass).all() {
        let before = virtual_service(pass, service)?;
        let mut object = before.clone();
        for index in weighted_routes(pass, service, &object)? {
            weigh(&mut object["spec"]["http"][index]["route"], &ends, weight, additional);
        }
        for list in ["tls", "tcp"] {
            if object["spec"][list][0].is_object() {
                weigh(&mut object["spec"][list][0]["route"], &ends, weight, additional);
            }
        }
        if object != before {
            order_routes(pass, &mut object);
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            pass.cx.update(names::VIRTUAL_SERVICES, object)?;
            pass.event(EVENT, &format!("VirtualService `{name}` set to desiredWeight '{weight}'"));
        }
    }
    Ok(())
}

fn virtual_service(pass: &mut Pass<'_, '_>, service: &VirtualService) -> Outcome<Value> {
    let (namespace, name) = service.place(&pass.meta.namespace);
    let (namespace, name) = (namespace.to_owned(), name.to_owned());
    if let Some(object) = pass.cx.get(names::VIRTUAL_SERVICES, &namespace, &name) {
        return Ok(object);
    }
    pass.warn("VirtualServiceNotFound", &format!("VirtualService `{name}` not found"));
    Err(Refusal::not_found("virtualservice.networking.istio.io", &name).into())
}

/// Routes that carry the weights: those the rollout names and mirrors it manages, or the only one, or the first unnamed.
fn weighted_routes(pass: &Pass<'_, '_>, service: &VirtualService, object: &Value) -> Outcome<Vec<usize>> {
    let routes = object["spec"]["http"].as_array().cloned().unwrap_or_default();
    let managed = managed_names(pass);
    let mirrors = routes.iter().filter(|route| !route["mirror"].is_null()).filter_map(|route| route["name"].as_str());
    let mirrors = mirrors.filter(|name| managed.iter().any(|managed| managed == name));
    let wanted: Vec<&str> = service.routes.iter().map(String::as_str).chain(mirrors).collect();
    if wanted.is_empty() {
        let unnamed = || routes.iter().position(|route| route["name"].as_str().unwrap_or_default().is_empty());
        let index = if routes.len() == 1 { Some(0) } else { unnamed() };
        return Ok(index.into_iter().collect());
    }
    let find = |name: &&str| {
        let index = routes.iter().position(|route| route["name"] == **name);
        index.ok_or_else(|| Trouble::Failed(format!("HTTP Route '{name}' is not found in the defined Virtual Service.")))
    };
    wanted.iter().map(find).collect()
}

fn managed_names(pass: &Pass<'_, '_>) -> Vec<String> {
    let routes = pass.spec.router().and_then(|routing| routing.managed_routes.clone());
    routes.unwrap_or_default().into_iter().map(|route| route.name).collect()
}

/// Sets the weights of one route. Destinations of Experiments come and go with them.
fn weigh(destinations: &mut Value, ends: &Ends, weight: i64, additional: &[Destination]) {
    let Some(destinations) = destinations.as_array_mut() else { return };
    let mut left: BTreeMap<&str, i64> = additional.iter().map(|d| (d.service_name.as_str(), d.weight)).collect();
    let stable = (100 - weight - left.values().sum::<i64>()).max(0);
    destinations.retain_mut(|destination| {
        let current = destination["weight"].as_i64().unwrap_or(0);
        let next = match () {
            () if ends.is_canary(destination) => weight,
            () if ends.is_stable(destination) => stable,
            () => match left.remove(host(destination)) {
                Some(weight) => weight,
                None => return current == 0,
            },
        };
        if current != next {
            destination["weight"] = next.into();
        }
        true
    });
    destinations.extend(left.into_iter().map(|(service, weight)| json!({"destination": {"host": service}, "weight": weight})));
}

/// Managed routes first, in the order in which the rollout names them.
fn order_routes(pass: &Pass<'_, '_>, object: &mut Value) {
    let managed = managed_names(pass);
    if let Some(routes) = object["spec"]["http"].as_array_mut().filter(|_| !managed.is_empty()) {
        let place = |route: &Value| managed.iter().position(|name| route["name"] == name.as_str()).unwrap_or(managed.len());
        routes.sort_by_key(place);
    }
}

/// Tells the subsets which versions they are.
pub fn update_hashes(pass: &mut Pass<'_, '_>, canary: &str, stable: &str, additional: &[Destination]) -> Outcome {
    if let Some(name) = waits_for(pass, canary, stable) {
        return Err(Trouble::Failed(format!("delaying destination rule switch: ReplicaSet {name} not fully available")));
    }
    let Some(rule) = istio(pass).destination_rule else { return Ok(()) };
    let Some(before) = pass.cx.get(names::DESTINATION_RULES, &pass.meta.namespace, &rule.name) else {
        pass.warn("DestinationRuleNotFound", &format!("DestinationRule `{}` not found", rule.name));
        return Err(Refusal::not_found("destinationrule.networking.istio.io", &rule.name).into());
    };
    let mut object = before.clone();
    object["metadata"]["annotations"][names::MANAGED_BY] = pass.meta.name.clone().into();
    let mut left: BTreeMap<&str, &str> = additional.iter().map(|d| (d.service_name.as_str(), d.pod_template_hash.as_str())).collect();
    if let Some(subsets) = object["spec"]["subsets"].as_array_mut() {
        // Subsets nobody knows are taken away.
        subsets.retain_mut(|subset| {
            let hash = match subset["name"].as_str().unwrap_or_default() {
                name if name == rule.canary_subset_name => canary,
                name if name == rule.stable_subset_name => stable,
                name => match left.remove(name) {
                    Some(hash) => hash,
                    None => return false,
                },
            };
            set_label(subset, hash);
            true
        });
        subsets.extend(left.into_iter().map(|(name, hash)| json!({"name": name, "labels": {names::HASH: hash}})));
    }
    if object != before {
        pass.cx.update(names::DESTINATION_RULES, object)?;
        let DestinationRule { name, canary_subset_name, stable_subset_name } = rule;
        let message = format!("DestinationRule {name} subset updated ({canary_subset_name}: {canary}, {stable_subset_name}: {stable})");
        pass.event("UpdatedDestinationRule", &message);
    }
    Ok(())
}

fn set_label(subset: &mut Value, hash: &str) {
    if !hash.is_empty() {
        subset["labels"][names::HASH] = hash.into();
    } else if let Some(labels) = subset["labels"].as_object_mut() {
        labels.remove(names::HASH);
    }
}

/// Where only subsets tell the versions apart, a version must be complete before a subset leads to it.
fn waits_for(pass: &Pass<'_, '_>, canary: &str, stable: &str) -> Option<String> {
    let spec = pass.spec.canary()?;
    if !spec.canary_service.is_empty() || !spec.stable_service.is_empty() {
        return None;
    }
    let goes_back = pass.status.abort || pass.is_rolling_back_dynamically().is_some();
    let serves = |hash: &str| !hash.is_empty() && (hash == stable || (hash == canary && !goes_back));
    let lacking = pass.sets.iter().find(|set| set.spec.replicas != 0 && serves(set.hash()) && !set.is_available());
    lacking.map(|set| set.name().to_owned())
}

/// Whether a subset still leads to this version.
pub fn refers_to(pass: &Pass<'_, '_>, hash: &str) -> bool {
    let Some(rule) = pass.spec.router().and_then(|routing| routing.istio.as_ref()?.destination_rule.as_ref()) else { return false };
    let object = pass.cx.get(names::DESTINATION_RULES, &pass.meta.namespace, &rule.name).unwrap_or_default();
    object["spec"]["subsets"].as_array().into_iter().flatten().any(|subset| subset["labels"][names::HASH] == hash)
}

/// Sends requests with certain headers to the canary.
pub fn set_header_route(pass: &mut Pass<'_, '_>, route: &ManagedRoute) -> Outcome {
    put_route(pass, route, "headerRoute", |pass, service, object| {
        let mut destination = canary_destination(pass, service, object);
        destination = json!({"weight": 100, "destination": destination});
        let matches: Vec<Value> =
            route.matches.iter().map(|m| json!({"headers": {text(&m["headerName"]): filled(&m["headerValue"])}})).collect();
        json!({"name": route.name, "match": matches, "route": [destination]})
    })
}

/// Sends a copy of some requests to the canary.
pub fn set_mirror_route(pass: &mut Pass<'_, '_>, route: &ManagedRoute) -> Outcome {
    put_route(pass, route, "mirrorRoute", |pass, service, object| {
        let matches: Vec<Value> = route.matches.iter().map(mirror_match).collect();
        let weighted = weighted_routes(pass, service, object).ok().and_then(|routes| routes.first().copied());
        let usual = weighted.map_or(Value::Null, |index| object["spec"]["http"][index]["route"].clone());
        json!({
            "name": route.name, "match": matches, "route": usual, "mirror": canary_destination(pass, service, object),
            "mirrorPercentage": {"value": route.percentage.unwrap_or(100)},
        })
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A string match without its empty ways.
fn filled(value: &Value) -> Value {
    let ways = value.as_object().into_iter().flatten().filter(|(_, text)| text.as_str().is_some_and(|text| !text.is_empty()));
    Value::Object(ways.map(|(way, text)| (way.clone(), text.clone())).collect())
}

fn mirror_match(asked: &Value) -> Value {
    let fields = [("method", &asked["method"]), ("uri", &asked["path"]), ("headers", &asked["headers"])];
    Value::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value.clone())).collect())
}

/// Where the canary is, by the port of the route that carries the weights.
fn canary_destination(pass: &Pass<'_, '_>, service: &VirtualService, object: &Value) -> Value {
    let ends = Ends::of(pass);
    let rule = pass.cx.get(names::DESTINATION_RULES, &pass.meta.namespace, &ends.rule.name).unwrap_or_default();
    let host = rule["spec"]["host"].as_str().filter(|host| !host.is_empty()).unwrap_or(&ends.canary_service);
    let mut destination = json!({"host": host});
    let index = weighted_routes(pass, service, object).ok().and_then(|routes| routes.first().copied());
    let port = index.map_or(Value::Null, |index| object["spec"]["http"][index]["route"][0]["destination"]["port"].clone());
    if !port.is_null() {
        destination["port"] = port;
    }
    if !ends.rule.canary_subset_name.is_empty() {
        destination["subset"] = ends.rule.canary_subset_name.into();
    }
    destination
}

/// Puts a route in place of one of its name; without anything to match the route is taken away.
fn put_route(
    pass: &mut Pass<'_, '_>,
    route: &ManagedRoute,
    what: &str,
    make: impl Fn(&Pass<'_, '_>, &VirtualService, &Value) -> Value,
) -> Outcome {
    for service in istio(pass).all() {
        let mut object = virtual_service(pass, service)?;
        take_route(&mut object, &route.name);
        if !route.matches.is_empty() {
            let made = make(pass, service, &object);
            object["spec"]["http"].as_array_mut().into_iter().for_each(|routes| routes.insert(0, made.clone()));
        }
        order_routes(pass, &mut object);
        let name = text(&object["metadata"]["name"]);
        pass.cx.update(names::VIRTUAL_SERVICES, object)?;
        pass.event(EVENT, &format!("VirtualService `{name}` set {what} '{}'", route.name));
    }
    Ok(())
}

fn take_route(object: &mut Value, name: &str) {
    if let Some(routes) = object["spec"]["http"].as_array_mut() {
        routes.retain(|route| route["name"] != name);
    }
}

/// Takes away the routes of steps and all other managed ones. Says so whenever there are such steps.
pub fn remove_managed_routes(pass: &mut Pass<'_, '_>) -> Outcome {
    let steps = pass.spec.steps().iter().filter_map(|step| step.set_header_route.as_ref().or(step.set_mirror_route.as_ref()));
    let of_steps: Vec<String> = steps.map(|route| route.name.clone()).collect();
    let managed = managed_names(pass);
    if of_steps.is_empty() && managed.is_empty() {
        return Ok(());
    }
    for service in istio(pass).all() {
        let (namespace, name) = service.place(&pass.meta.namespace);
        let Some(before) = pass.cx.get(names::VIRTUAL_SERVICES, namespace, name) else { continue };
        if !before["spec"]["http"].is_array() {
            return Ok(());
        }
        let mut object = before.clone();
        of_steps.iter().chain(&managed).for_each(|name| take_route(&mut object, name));
        if object != before || !of_steps.is_empty() {
            let name = text(&object["metadata"]["name"]);
            pass.cx.update(names::VIRTUAL_SERVICES, object)?;
            pass.event(EVENT, &format!("VirtualService `{name}` removed all managed routes."));
        }
    }
    Ok(())
}

/// Why a VirtualService cannot carry the weights, if so.
pub fn invalid(pass: &Pass<'_, '_>) -> Option<String> {
    const FIELD: &str = "spec.strategy.canary.trafficRouting.istio";
    let istio = pass.spec.router()?.istio.as_ref()?;
    if istio.virtual_service.is_some() != istio.virtual_services.is_empty() {
        return Some(format!("{FIELD}: Internal error: either VirtualService or VirtualServices must be configured"));
    }
    let field = if istio.virtual_services.is_empty() { "virtualService" } else { "virtualServices" };
    for service in istio.all() {
        let (namespace, name) = service.place(&pass.meta.namespace);
        let refused = |why: String| Some(format!("{FIELD}.{field}.name: Invalid value: \"{name}\": {why}"));
        let Some(object) = pass.cx.get(names::VIRTUAL_SERVICES, namespace, name) else {
            return refused(format!("virtualservices.networking.istio.io \"{name}\" not found"));
        };
        if !["http", "tls", "tcp"].iter().any(|list| object["spec"][list].is_array()) {
            return refused("Unable to get any of the HTTP, TCP or TLS routes for the Istio VirtualService".into());
        }
        if let Some(why) = invalid_routes(pass, service, &object) {
            return refused(format!("Istio VirtualService has invalid HTTP routes. Error: {why}"));
        }
    }
    None
}

fn invalid_routes(pass: &Pass<'_, '_>, service: &VirtualService, object: &Value) -> Option<String> {
    let routes = object["spec"]["http"].as_array()?;
    let indices = match weighted_routes(pass, service, object) {
        Ok(indices) => indices,
        Err(trouble) => return Some(trouble.to_string()),
    };
    let ends = Ends::of(pass);
    for index in indices {
        let destinations = routes[index]["route"].as_array().cloned().unwrap_or_default();
        let missing = |is_end: &dyn Fn(&Value) -> bool| !destinations.iter().any(is_end);
        let (what, canary, stable) = match istio(pass).destination_rule {
            Some(rule) => ("DestinationRule subset", rule.canary_subset_name, rule.stable_subset_name),
            None => ("Service", ends.canary_service.clone(), ends.stable_service.clone()),
        };
        if missing(&|destination| ends.is_canary(destination)) {
            return Some(format!("Canary {what} '{canary}' not found in route"));
        }
        if missing(&|destination| ends.is_stable(destination)) {
            return Some(format!("Stable {what} '{stable}' not found in route"));
        }
    }
    let managed = managed_names(pass);
    let own = routes.iter().filter(|route| !managed.iter().any(|name| route["name"] == name.as_str())).count();
    let rule = "spec.http[] should be set in VirtualService and it must have exactly one route when omitting \
                spec.strategy.canary.trafficRouting.istio.virtualService.routes";
    (service.routes.is_empty() && own > 1).then(|| rule.into())
}
