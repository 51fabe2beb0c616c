//! Istio: weights in the routes of a VirtualService, between hosts or between subsets of one host.

use serde_json::Value;

use super::{
    Form, Router, Split, Target, Weights,
    form::{never_unread, no_complaints},
    items,
    lists::{Absent, Lists, Place, no_mirror},
    number, share, text, texts,
};
use crate::object::{Objects, Selection, kinds};

pub static ROUTER: Router = Router { key: "istio", selections, canary_share };

pub static FORM: Form = Form {
    router: "istio",
    kind: &kinds::VIRTUAL_SERVICE,
    weights: Weights::Listed(Lists {
        places: &[Place::Each("/spec/http"), Place::Each("/spec/tls"), Place::Each("/spec/tcp")],
        backends: "route",
        absent: Absent::Zero,
        target,
        audience,
        mirrors: no_mirror,
    }),
    complaints: no_complaints,
    unread: never_unread,
};

/// `reviews`, `reviews.shop` and `reviews.shop.svc.cluster.local` are one host.
fn target(route: &Value, namespace: &str) -> Target {
    let destination = route.get("destination").unwrap_or(&Value::Null);
    let host = text(destination, "host").unwrap_or("");
    let (service, rest) = host.split_once('.').unwrap_or((host, namespace));
    let of = rest.split('.').next().unwrap_or("");
    let is_service = rest == of || rest[of.len()..].starts_with(".svc");
    let subset = text(destination, "subset").map(str::to_owned);
    match (is_service, of == namespace) {
        (true, true) => Target { service: service.into(), subset, elsewhere: None },
        (true, false) => Target { service: service.into(), subset, elsewhere: Some(format!("namespace {of}")) },
        _ => Target { service: host.into(), subset, elsewhere: Some("outside the mesh".into()) },
    }
}

/// A route is for chosen requests when each of its matches asks for a header or a query parameter.
fn audience(route: &Value) -> Option<String> {
    let said: Option<Vec<String>> = items(route, "match").map(said).collect();
    said.filter(|s| !s.is_empty()).map(|s| s.join(" or "))
}

fn said(condition: &Value) -> Option<String> {
    let of = |key: &str, word: &str| -> Vec<String> {
        let members = condition.get(key).and_then(Value::as_object).into_iter().flatten();
        let value =
            |v: &Value| ["exact", "prefix", "regex"].iter().find_map(|k| text(v, k).map(str::to_owned)).unwrap_or_else(|| "present".into());
        members.map(|(name, v)| format!("{word} {name}: {}", value(v))).collect()
    };
    let all = [of("headers", "header"), of("queryParams", "query")].concat();
    (!all.is_empty()).then(|| all.join(" and "))
}

/// A VirtualService by name, and which of its routes count (all when none is named).
struct Named {
    namespace: String,
    name: String,
    routes: Vec<String>,
}

fn targets(split: &Split<'_>) -> Vec<Named> {
    let one = split.config.get("virtualService").into_iter();
    let many = split.config.get("virtualServices").and_then(Value::as_array).into_iter().flatten();
    one.chain(many)
        .filter_map(|vs| {
            let full = vs.get("name")?.as_str()?;
            let (namespace, name) = full.split_once('/').unwrap_or((split.namespace, full));
            Some(Named { namespace: namespace.into(), name: name.into(), routes: texts(vs.get("routes")) })
        })
        .collect()
}

fn selections(split: &Split<'_>) -> Vec<Selection> {
    targets(split).into_iter().map(|t| Selection::named(&kinds::VIRTUAL_SERVICE, t.namespace, &t.name)).collect()
}

fn canary_share(split: &Split<'_>, objects: &Objects) -> Option<f64> {
    targets(split)
        .iter()
        .filter_map(|t| {
            let object = objects.named(&kinds::VIRTUAL_SERVICE, &t.namespace, &t.name)?;
            share_of(&object.value(), t, split)
        })
        .reduce(f64::max)
}

fn share_of(service: &Value, target: &Named, split: &Split<'_>) -> Option<f64> {
    ["http", "tls", "tcp"]
        .iter()
        .filter_map(|protocol| service.pointer(&format!("/spec/{protocol}"))?.as_array())
        .flatten()
        .filter(|route| counts(route, target, split))
        .filter_map(|route| route_share(route, split))
        .reduce(f64::max)
}

/// Header and mirror routes are A/B routes for chosen users, never part of the split.
fn counts(route: &Value, target: &Named, split: &Split<'_>) -> bool {
    let name = route.get("name").and_then(Value::as_str).unwrap_or("");
    !split.managed_routes.iter().any(|m| m == name)
        && (target.routes.is_empty() || name.is_empty() || target.routes.iter().any(|r| r == name))
}

/// The canary's part of one route; `None` when the route does not name both sides.
fn route_share(route: &Value, split: &Split<'_>) -> Option<f64> {
    let destinations = route.get("route")?.as_array()?;
    let weight = |d: &Value| d.get("weight").and_then(number).unwrap_or(0.0).max(0.0);
    let sum_of = |is: &dyn Fn(&Value) -> bool| {
        let found: Vec<f64> = destinations.iter().filter(|d| is(d)).map(weight).collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>())
    };
    let canary = sum_of(&|d| is_side(d, split, Side::Canary))?;
    sum_of(&|d| is_side(d, split, Side::Stable))?;
    // Relative to the sum, as Istio reads it since 1.15.
    share(canary, destinations.iter().map(weight).sum())
}

#[derive(Clone, Copy)]
enum Side {
    Canary,
    Stable,
}

fn is_side(destination: &Value, split: &Split<'_>, side: Side) -> bool {
    let rule = split.config.get("destinationRule");
    let (key, service) = match side {
        Side::Canary => ("canarySubsetName", split.canary_service),
        Side::Stable => ("stableSubsetName", split.stable_service),
    };
    let inner = destination.get("destination");
    let read = |field: &str| inner.and_then(|d| d.get(field)).and_then(Value::as_str).unwrap_or("");
    match rule.and_then(|r| r.get(key)).and_then(Value::as_str).filter(|s| !s.is_empty()) {
        Some(subset) => read("subset") == subset,
        // `reviews` and `reviews.shop.svc.cluster.local` are one host.
        None => {
            !service.is_empty()
                && (read("host") == service
                    || read("host").starts_with(&format!("{service}.{}.", split.namespace))
                    || read("host") == format!("{service}.{}", split.namespace))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn share_in(service: Value, config: &Value, routes: &[&str]) -> Option<f64> {
        let managed = ["by-header".to_owned()];
        let split =
            Split { namespace: "shop", rollout: "web", config, canary_service: "web-c", stable_service: "web-s", managed_routes: &managed };
        let target = Named { namespace: "shop".into(), name: "web".into(), routes: routes.iter().map(|r| (*r).to_owned()).collect() };
        share_of(&service, &target, &split)
    }

    fn to(host: &str, weight: i64) -> Value {
        json!({"destination": {"host": host}, "weight": weight})
    }

    #[test]
    fn hosts_short_and_long_by_their_part_of_the_sum() {
        let service = json!({"spec": {"http": [
            {"name": "by-header", "route": [to("web-c", 100), to("web-s", 0)]},
            {"name": "main", "route": [to("web-s.shop.svc.cluster.local", 3), to("web-c", 1)]}]}});
        assert_eq!(share_in(service, &json!({}), &[]), Some(0.25));
    }

    #[test]
    fn subsets_of_one_host() {
        let config = json!({"destinationRule": {"canarySubsetName": "new", "stableSubsetName": "old"}});
        let side = |subset: &str, weight: i64| json!({"destination": {"host": "web", "subset": subset}, "weight": weight});
        assert_eq!(share_in(json!({"spec": {"http": [{"route": [side("old", 90), side("new", 10)]}]}}), &config, &[]), Some(0.1));
    }

    #[test]
    fn the_worst_of_several_routes_and_only_the_named_ones() {
        let service = json!({"spec": {"http": [
            {"name": "a", "route": [to("web-s", 50), to("web-c", 50)]},
            {"name": "b", "route": [to("web-s", 90), to("web-c", 10)]}]}});
        assert_eq!(share_in(service.clone(), &json!({}), &[]), Some(0.5));
        assert_eq!(share_in(service, &json!({}), &["b"]), Some(0.1));
    }

    #[test]
    fn a_route_without_both_sides_says_nothing() {
        assert_eq!(share_in(json!({"spec": {"http": [{"route": [to("web-s", 100)]}, {"redirect": {}}]}}), &json!({}), &[]), None);
    }
}
