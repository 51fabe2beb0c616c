//! Gateway API: weights of the `backendRefs` of an HTTPRoute or a GRPCRoute.

use serde_json::Value;

use super::{
    Form, Router, Split, Weights, items,
    lists::{Absent, Lists, Place, no_mirror, service},
    number, share, text,
};
use crate::object::{Objects, Resource, Selection, kinds};

pub static ROUTER: Router = Router { key: "httproute", selections, canary_share };

pub static HTTP: Form = form("httproute", &kinds::HTTP_ROUTE);
pub static GRPC: Form = form("grpcroute", &kinds::GRPC_ROUTE);

const fn form(router: &'static str, kind: &'static Resource) -> Form {
    let lists = Lists {
        places: &[Place::Each("/spec/rules")],
        backends: "backendRefs",
        absent: Absent::One,
        target: service,
        audience,
        mirrors: no_mirror,
    };
    Form { router, kind, weights: Weights::Listed(lists), complaints, unread }
}

/// A rule is for chosen requests when each of its matches asks for a header or a query parameter.
fn audience(rule: &Value) -> Option<String> {
    let said: Vec<Option<String>> = items(rule, "matches").map(said).collect();
    let said: Option<Vec<String>> = said.into_iter().collect();
    said.filter(|s| !s.is_empty()).map(|s| s.join(" or "))
}

fn said(condition: &Value) -> Option<String> {
    let of = |list: &'static str, word: &'static str| {
        items(condition, list).map(move |h| format!("{word} {}: {}", text(h, "name").unwrap_or(""), text(h, "value").unwrap_or("present")))
    };
    let all: Vec<String> = of("headers", "header").chain(of("queryParams", "query")).collect();
    (!all.is_empty()).then(|| all.join(" and "))
}

fn parents(read: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let list = read.pointer("/status/parents").and_then(Value::as_array).into_iter().flatten();
    list.flat_map(|parent| {
        let name = parent.pointer("/parentRef/name").and_then(Value::as_str).unwrap_or("");
        items(parent, "conditions").map(move |condition| (name, condition))
    })
}

/// What a gateway says against the route; nothing when none has taken it up.
fn complaints(read: &Value) -> Vec<String> {
    let bad = |condition: &Value| match text(condition, "type") {
        Some("Accepted" | "ResolvedRefs") => text(condition, "status") == Some("False"),
        Some("PartiallyInvalid") => text(condition, "status") == Some("True"),
        _ => false,
    };
    let words = |(parent, condition): (&str, &Value)| {
        let kind = text(condition, "type").unwrap_or("");
        let not = if text(condition, "status") == Some("False") { "not " } else { "" };
        format!("{parent} says {not}{kind}: {}", text(condition, "message").or(text(condition, "reason")).unwrap_or(""))
    };
    parents(read).filter(|(_, c)| bad(c)).map(words).collect()
}

/// A change is live only when the gateway has seen this generation.
fn unread(read: &Value) -> bool {
    let generation = read.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
    parents(read).any(|(_, c)| {
        text(c, "type") == Some("Accepted") && c.get("observedGeneration").and_then(Value::as_i64).is_some_and(|g| g < generation)
    })
}

fn name<'a>(split: &Split<'a>) -> Option<&'a str> {
    split.config.get("httpRoute").and_then(Value::as_str).filter(|name| !name.is_empty())
}

fn selections(split: &Split<'_>) -> Vec<Selection> {
    name(split).into_iter().map(|name| Selection::named(&kinds::HTTP_ROUTE, split.namespace, name)).collect()
}

fn canary_share(split: &Split<'_>, objects: &Objects) -> Option<f64> {
    let route = objects.named(&kinds::HTTP_ROUTE, split.namespace, name(split)?)?.value();
    let rules = route.pointer("/spec/rules")?.as_array()?;
    rules.iter().filter_map(|rule| rule_share(rule, split)).reduce(f64::max)
}

/// Only rules that know both sides split anything; an absent weight is 1.
fn rule_share(rule: &Value, split: &Split<'_>) -> Option<f64> {
    let refs = rule.get("backendRefs")?.as_array()?;
    let weight = |backend: &Value| backend.get("weight").map_or(Some(1.0), number).unwrap_or(0.0).max(0.0);
    let of = |service: &str| {
        let found: Vec<f64> = refs.iter().filter(|b| b.get("name").and_then(Value::as_str) == Some(service)).map(weight).collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>())
    };
    let canary = of(split.canary_service)?;
    of(split.stable_service)?;
    share(canary, refs.iter().map(weight).sum())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn weights_are_relative_and_default_to_one() {
        let config = Value::Null;
        let split =
            Split { namespace: "shop", rollout: "web", config: &config, canary_service: "c", stable_service: "s", managed_routes: &[] };
        let cases = [
            (json!({"backendRefs": [{"name": "s", "weight": 3}, {"name": "c", "weight": 1}]}), Some(0.25)),
            (json!({"backendRefs": [{"name": "s"}, {"name": "c"}]}), Some(0.5)),
            (json!({"backendRefs": [{"name": "s", "weight": 0}, {"name": "c", "weight": 0}]}), None),
            (json!({"backendRefs": [{"name": "s"}]}), None),
        ];
        for (rule, wanted) in cases {
            assert_eq!(rule_share(&rule, &split), wanted, "{rule}");
        }
    }
}
