//! ingress-nginx: a second Ingress with canary annotations.

use serde_json::Value;

use super::{
    Form, Put, Route, Router, Rule, Split, Target, Weights,
    form::{Backend, never_unread, no_complaints, step},
    items, number, share, text, texts,
};
use crate::object::{Object, Objects, Selection, kinds};

pub static ROUTER: Router = Router { key: "nginx", selections, canary_share };

/// The canary Ingress: the other side is whatever Ingress has the same host and path.
pub static FORM: Form =
    Form { router: "nginx", kind: &kinds::INGRESS, weights: Weights::Own { rules, puts }, complaints: no_complaints, unread: never_unread };

/// What annotations start with unless the controller was told another word.
const PREFIX: &str = "nginx.ingress.kubernetes.io";

fn own(key: &str) -> String {
    format!("{PREFIX}/{key}")
}

fn at(key: &str) -> String {
    format!("/metadata/annotations/{}", step(&own(key)))
}

fn is_canary(ingress: &Value) -> bool {
    ingress.pointer(&at("canary")).and_then(Value::as_str) == Some("true")
}

/// The balancer honours a total above 100 only.
fn total(route: &Route<'_>) -> f64 {
    route
        .annotation(&own("canary-weight-total"))
        .and_then(|t| t.trim().parse().ok())
        .filter(|t: &f64| t.is_finite())
        .unwrap_or(0.0)
        .max(100.0)
}

fn rules(route: &Route<'_>) -> Vec<Rule> {
    if !is_canary(&route.read) {
        return Vec::new();
    }
    let mut rules: Vec<Rule> = paths(&route.read).into_iter().map(|path| weighted(route, &path)).collect();
    rules.extend(chosen(route));
    rules
}

/// Host, path and Service of each path of an Ingress.
#[derive(PartialEq)]
struct Path<'v> {
    host: &'v str,
    path: &'v str,
    service: &'v str,
}

fn paths(ingress: &Value) -> Vec<Path<'_>> {
    let rules = ingress.get("spec").into_iter().flat_map(|spec| items(spec, "rules"));
    let of = |rule| {
        let http: &Value = Value::get(rule, "http").unwrap_or(&Value::Null);
        items(http, "paths").map(move |p| Path {
            host: text(rule, "host").unwrap_or(""),
            path: text(p, "path").unwrap_or("/"),
            service: p.pointer("/backend/service/name").and_then(Value::as_str).unwrap_or(""),
        })
    };
    rules.flat_map(of).collect()
}

fn weighted(route: &Route<'_>, path: &Path<'_>) -> Rule {
    let total = total(route);
    let weight = route.annotation(&own("canary-weight")).and_then(|w| w.trim().parse().ok()).filter(|w: &f64| w.is_finite()).unwrap_or(0.0);
    let weight = weight.clamp(0.0, total);
    let backend = |service: &str, weight| Backend { target: Target::service(service), weight, at: at("canary-weight") };
    let mut backends = vec![backend(path.service, weight)];
    backends.extend(main(route, path).map(|(_, stable)| backend(&stable, total - weight)));
    let guard = ["canary", "canary-weight", "canary-weight-total"].map(at).into_iter().chain(["/spec".to_owned()]);
    Rule { name: format!("{}{}", path.host, path.path), audience: None, backends, guard: guard.collect() }
}

/// The Ingress that the canary stands beside, and its Service.
fn main<'o>(route: &Route<'o>, path: &Path<'_>) -> Option<(&'o Object, String)> {
    route.objects.within(&kinds::INGRESS, &route.object.meta.namespace).filter(|i| i.meta.uid != route.object.meta.uid).find_map(
        |ingress| {
            // Text first: a namespace may hold hundreds.
            let read = ingress.text().contains(path.path).then(|| ingress.value()).filter(|read| !is_canary(read))?;
            let same = paths(&read).into_iter().find(|p| p.host == path.host && p.path == path.path)?;
            Some((&**ingress, same.service.to_owned()))
        },
    )
}

/// Names of the Ingresses that a canary Ingress stands beside.
pub fn mains(route: &Route<'_>) -> Vec<crate::model::Text> {
    let found = paths(&route.read).into_iter().filter_map(|path| main(route, &path)).map(|(ingress, _)| ingress.meta.name.clone());
    found.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// Header and cookie come before the weight.
fn chosen(route: &Route<'_>) -> Vec<Rule> {
    let get = |key: &str| route.annotation(&own(key)).filter(|v| !v.is_empty());
    let header = get("canary-by-header").map(|name| {
        let value = get("canary-by-header-value").or_else(|| get("canary-by-header-pattern")).unwrap_or("always");
        format!("header {name}: {value}")
    });
    let cookie = get("canary-by-cookie").map(|name| format!("cookie {name}: always"));
    let service = paths(&route.read).first().map(|p| p.service.to_owned()).unwrap_or_default();
    let rule = |audience: String| Rule {
        name: audience.clone(),
        audience: Some(audience),
        backends: vec![Backend { target: Target::service(&service), weight: 1.0, at: String::new() }],
        guard: Vec::new(),
    };
    [header, cookie].into_iter().flatten().map(rule).collect()
}

/// One annotation for all paths, a text, and relative to the total.
fn puts(route: &Route<'_>, rules: &[&Rule], new: &Target, percent: u8) -> Result<Vec<Put>, String> {
    let canary = paths(&route.read).first().map(|p| p.service.to_owned()).unwrap_or_default();
    if rules.iter().any(|rule| rule.backends.first().is_none_or(|b| b.target.service != canary)) {
        return Err("its paths lead to several Services, and one weight counts for all".into());
    }
    let share = if new.service == canary { percent } else { 100 - percent.min(100) };
    let total = total(route);
    let weight = total * f64::from(share) / 100.0;
    if weight.fract() != 0.0 {
        return Err(format!("{percent} % of the weight total {total} is no whole number"));
    }
    Ok(vec![Put { path: at("canary-weight"), value: Value::String(format!("{weight:.0}")) }])
}

/// Key under which an engine names the canary Ingresses themselves.
pub const NAMED: &str = "rolltop/canaryIngresses";

/// Longest name of an object; Argo cuts generated names there.
const LONGEST_NAME: usize = 253;

/// Ingresses of the stable side as the Rollout names them.
pub fn stable_ingresses(config: &Value) -> Vec<String> {
    let mut names = texts(config.get("stableIngress"));
    names.extend(texts(config.get("stableIngresses")));
    names.retain(|n| !n.is_empty());
    names
}

/// The Ingress that Argo generates next to each stable one.
pub fn canary_ingress(rollout: &str, stable: &str) -> String {
    format!("{rollout}-{stable}-canary").chars().take(LONGEST_NAME).collect()
}

/// All canary Ingresses of a release: those named outright (Flagger's rule is another one), or Argo's names.
fn canary_ingresses(split: &Split<'_>) -> Vec<String> {
    let named = texts(split.config.get(NAMED));
    if !named.is_empty() {
        return named;
    }
    stable_ingresses(split.config).iter().map(|stable| canary_ingress(split.rollout, stable)).collect()
}

fn selections(split: &Split<'_>) -> Vec<Selection> {
    canary_ingresses(split).iter().map(|name| Selection::named(&kinds::INGRESS, split.namespace, name)).collect()
}

fn canary_share(split: &Split<'_>, objects: &Objects) -> Option<f64> {
    let prefix = split.config.get("annotationPrefix").and_then(Value::as_str).unwrap_or(PREFIX);
    canary_ingresses(split)
        .iter()
        .filter_map(|name| {
            let ingress = objects.named(&kinds::INGRESS, split.namespace, name)?;
            share_of(&ingress.value(), prefix)
        })
        .reduce(f64::max)
}

/// A canary Ingress without `canary: "true"`, or without a weight, gets no weighted request.
fn share_of(ingress: &Value, prefix: &str) -> Option<f64> {
    let annotations = ingress.pointer("/metadata/annotations");
    let read = |key: &str| annotations.and_then(|a| a.get(format!("{prefix}/{key}")));
    if read("canary").and_then(Value::as_str) != Some("true") {
        return Some(0.0);
    }
    let Some(weight) = read("canary-weight") else { return Some(0.0) };
    // The balancer honours a total above 100 only.
    let total = read("canary-weight-total").and_then(number).unwrap_or(100.0).max(100.0);
    share(number(weight)?, total)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ingress(annotations: Value) -> Value {
        json!({"metadata": {"annotations": annotations}})
    }

    #[test]
    fn weights_are_text_and_relative_to_a_total() {
        let cases = [
            (json!({"p/canary": "true", "p/canary-weight": "25"}), Some(0.25)),
            (json!({"p/canary": "true", "p/canary-weight": "250", "p/canary-weight-total": "1000"}), Some(0.25)),
            (json!({"p/canary": "true", "p/canary-weight": "25", "p/canary-weight-total": "50"}), Some(0.25)),
            (json!({"p/canary": "false", "p/canary-weight": "25"}), Some(0.0)),
            (json!({"p/canary": "true"}), Some(0.0)),
            (json!({"p/canary": "true", "p/canary-weight": "much"}), None),
            (json!({"q/canary": "true", "q/canary-weight": "25"}), Some(0.0)),
        ];
        for (annotations, wanted) in cases {
            assert_eq!(share_of(&ingress(annotations.clone()), "p"), wanted, "{annotations}");
        }
    }
}
