//! AWS load balancer controller: a forward action, written as JSON text into an annotation of an Ingress.

use serde_json::Value;

use super::{
    Form, Put, Route, Rule, Target, Weights,
    form::{Backend, never_unread, no_complaints, step},
    number,
};
use crate::object::kinds;

pub static FORM: Form =
    Form { router: "alb", kind: &kinds::INGRESS, weights: Weights::Own { rules, puts }, complaints: no_complaints, unread: never_unread };

const ACTIONS: &str = "alb.ingress.kubernetes.io/actions.";
const CONDITIONS: &str = "alb.ingress.kubernetes.io/conditions.";

fn rules(route: &Route<'_>) -> Vec<Rule> {
    let annotations = route.read.pointer("/metadata/annotations").and_then(Value::as_object);
    let all = annotations.into_iter().flatten().filter_map(|(key, value)| Some((key.strip_prefix(ACTIONS)?, value.as_str()?)));
    all.filter_map(|(name, text)| rule(route, name, &serde_json::from_str(text).ok()?)).collect()
}

fn rule(route: &Route<'_>, name: &str, action: &Value) -> Option<Rule> {
    let at = format!("/metadata/annotations/{}", step(&format!("{ACTIONS}{name}")));
    let groups = member(member(action, "forwardConfig")?, "targetGroups")?.as_array()?;
    let backends = groups.iter().map(|group| Backend { target: target(group), weight: weight(group), at: at.clone() }).collect();
    Some(Rule { name: name.into(), audience: audience(route, name), backends, guard: vec![at] })
}

/// Both spellings are in use: the controller's (`targetGroups`) and the AWS API's (`TargetGroups`).
fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    value.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v)
}

fn weight(group: &Value) -> f64 {
    member(group, "weight").and_then(number).unwrap_or(0.0).max(0.0)
}

fn target(group: &Value) -> Target {
    let named = |key: &str| member(group, key).and_then(Value::as_str).filter(|name| !name.is_empty());
    match named("serviceName") {
        Some(service) => Target::service(service),
        None => {
            let group = named("targetGroupARN").or_else(|| named("targetGroupName")).unwrap_or("");
            Target { service: group.into(), subset: None, elsewhere: Some("target group".into()) }
        }
    }
}

/// Conditions beside the path, in a second annotation.
fn audience(route: &Route<'_>, name: &str) -> Option<String> {
    let conditions: Value = serde_json::from_str(route.annotation(&format!("{CONDITIONS}{name}"))?).ok()?;
    let header = |condition: &Value| {
        let config = member(condition, "httpHeaderConfig")?;
        let values = super::texts(member(config, "values"));
        Some(format!("header {}: {}", member(config, "httpHeaderName")?.as_str()?, values.join(", ")))
    };
    let said: Vec<String> = conditions.as_array()?.iter().filter_map(header).collect();
    (!said.is_empty()).then(|| said.join(" and "))
}

/// The whole text is written anew: no pointer leads into it.
fn puts(route: &Route<'_>, rules: &[&Rule], new: &Target, percent: u8) -> Result<Vec<Put>, String> {
    rules.iter().map(|rule| put(route, rule, new, percent)).collect()
}

fn put(route: &Route<'_>, rule: &Rule, new: &Target, percent: u8) -> Result<Put, String> {
    let unreadable = || format!("the action {} is not understood", rule.name);
    let text = route.annotation(&format!("{ACTIONS}{}", rule.name)).ok_or_else(unreadable)?;
    let mut action: Value = serde_json::from_str(text).map_err(|_| unreadable())?;
    let config = member_mut(&mut action, "forwardConfig").ok_or_else(unreadable)?;
    let groups = member_mut(config, "targetGroups").and_then(Value::as_array_mut).ok_or_else(unreadable)?;
    for group in groups {
        let share = if target(group) == *new { percent } else { 100 - percent.min(100) };
        *member_mut(group, "weight").ok_or_else(|| format!("the action {} has a target group without a weight", rule.name))? = share.into();
    }
    let path = rule.guard.first().cloned().unwrap_or_default();
    Ok(Put { path, value: Value::String(action.to_string()) })
}

fn member_mut<'v>(value: &'v mut Value, name: &str) -> Option<&'v mut Value> {
    value.as_object_mut()?.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v)
}
