//! Server-side apply: a client says what it wants of an object, and the server keeps book of who wants what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::demo::refusal::Refusal;
use crate::demo::registry::{
    fields::{FieldSet, element_step},
    managed::{Managed, Who},
    schema::{Form, Same, Schema},
};

/// What comes out of applying.
pub struct Applied {
    pub object: Value,
    pub managed: Managed,
}

/// Applies `config` to what is there. `status_door`: only the status of it counts; `status_apart`: its status does not.
pub fn apply(
    schema: Schema<'_>,
    zero: &Value,
    live: &Value,
    config: &Value,
    who: &Who<'_>,
    (status_door, status_apart): (bool, bool),
    force: bool,
) -> Result<Applied, Refusal> {
    let wanted = through_door(config, status_door, status_apart);
    let named = FieldSet::of(schema, &wanted);
    let mut managed = Managed::read(live);
    let before = without_books(live);
    managed.begin(schema, zero, &before, who);
    let merged = merge(schema, Some(&before), Some(&wanted)).unwrap_or_default();
    let owned = managed.owned_by_others(who).union(&named);
    let after = managed.applied(who).prune(schema, &merged, &owned);
    managed.apply(schema, &before, &after, named, who, force)?;
    Ok(Applied { object: after, managed })
}

fn through_door(config: &Value, status_door: bool, status_apart: bool) -> Value {
    let fields = config.as_object().cloned().unwrap_or_default();
    let counts = |key: &str| match key {
        "status" => status_door || !status_apart,
        "apiVersion" | "kind" => true,
        _ => !status_door,
    };
    Value::Object(fields.into_iter().filter(|(key, _)| counts(key)).collect())
}

fn without_books(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    object
}

/// What is there with what is wanted laid over it.
fn merge(schema: Schema<'_>, live: Option<&Value>, config: Option<&Value>) -> Option<Value> {
    let (live, config) = match (live, config) {
        (live, None) => return live.cloned(),
        (None, Some(config)) => return Some(config.clone()),
        (Some(live), Some(config)) => (live, config),
    };
    match (schema.form(config), live, config) {
        (Form::Object, Value::Object(old), Value::Object(new)) => Some(merge_fields(schema, old, new)),
        (Form::List(item, same), Value::Array(old), Value::Array(new)) => Some(merge_elements(item, &same, old, new)),
        _ => Some(config.clone()),
    }
}

fn merge_fields(schema: Schema<'_>, old: &Map<String, Value>, new: &Map<String, Value>) -> Value {
    let mut merged = old.clone();
    for (key, value) in new {
        if let Some(value) = merge(schema.child(key).0, old.get(key), Some(value)) {
            merged.insert(key.clone(), value);
        }
    }
    merged.into()
}

/// Elements that both have come in the order of the wanted; others stay where they are between them. Which of several
/// orders that fit comes out is a matter of the real server's steps, and these are they.
fn merge_elements(item: Schema<'_>, same: &Same<'_>, old: &[Value], new: &[Value]) -> Value {
    let old: Vec<_> = old.iter().map(|element| (element_step(element, same), element)).collect();
    let new: Vec<_> = new.iter().map(|element| (element_step(element, same), element)).collect();
    let there: BTreeMap<_, _> = old.iter().map(|(step, element)| (step, *element)).collect();
    let wanted: BTreeSet<_> = new.iter().map(|(step, _)| step).collect();
    let mut shared = new.iter().map(|(step, _)| step).filter(|step| there.contains_key(step)).peekable();
    let mut merged = Vec::with_capacity(old.len() + new.len());
    let mut done = BTreeSet::new();
    let (mut left, mut right) = (old.iter().peekable(), new.iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (None, None) => return merged.into(),
            (Some((step, element)), _) if !wanted.contains(step) => {
                merged.push((*element).clone());
                left.next();
            }
            (Some((step, _)), Some((next, _)))
                if step != next && (done.contains(step) || shared.peek().is_some_and(|shared| *shared != step)) =>
            {
                left.next();
            }
            (mine, Some((step, element))) => {
                if mine.is_some_and(|(mine, _)| mine == step) {
                    left.next();
                }
                merged.extend(merge(item, there.get(step).copied(), Some(element)));
                done.insert(step);
                shared.next_if(|shared| *shared == step);
                right.next();
            }
            (Some(_), None) => drop(left.next()),
        }
    }
}

/// What in a configuration does not fit the schema, in the words of the real server.
pub fn misfits(schema: Schema<'_>, config: &Value) -> Option<String> {
    let mut found = Vec::new();
    check(schema, config, "", &mut found);
    match found.len() {
        0 => None,
        1 => found.pop(),
        _ => Some(format!("errors:\n  {}", found.join("\n  "))),
    }
}

fn check(schema: Schema<'_>, value: &Value, path: &str, found: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    let fits = match schema.expected() {
        None => true,
        Some("map") => value.is_object(),
        Some("list") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some(_) => value.is_number(),
    };
    if !fits {
        return found.push(format!("{path}: {}", unexpected(schema.expected().unwrap_or_default(), value)));
    }
    match value {
        Value::Object(fields) => {
            for (key, below) in fields {
                let path = format!("{path}.{key}");
                if schema.declares(key) {
                    check(schema.child(key).0, below, &path, found)
                } else {
                    found.push(format!("{path}: field not declared in schema"))
                }
            }
        }
        Value::Array(items) => {
            if let Form::List(_, same) = schema.form(value) {
                let steps: Vec<_> = items.iter().map(|element| element_step(element, &same)).collect();
                let twice = steps.iter().enumerate().find(|(index, step)| steps[..*index].contains(step));
                if let Some((_, step)) = twice {
                    let mut key = FieldSet::default();
                    key.insert(std::slice::from_ref(step));
                    return found.push(format!("{path}: duplicate entries for key {}", key.paths().join("")));
                }
            }
            items.iter().enumerate().for_each(|(index, element)| check(schema.item(), element, &format!("{path}[{index}]"), found));
        }
        _ => (),
    }
}

fn unexpected(expected: &str, value: &Value) -> String {
    let go_type = match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match expected {
        "string" => format!("expected string, got &value.valueUnstructured{{Value:{shown}}}"),
        "boolean" | "list" | "map" => format!("expected {expected}, got &{{{shown}}}"),
        expected => format!("expected {expected}, got {go_type}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::{demo::registry::types, model::Time};

    fn schema() -> Schema<'static> {
        Schema::Built(types::named("Deployment").unwrap())
    }

    fn containers(containers: Value) -> Value {
        json!({"apiVersion": "apps/v1", "spec": {"template": {"spec": {"containers": containers}}}})
    }

    fn apply_as(manager: &str, live: &Value, config: &Value, force: bool) -> Result<Value, Refusal> {
        let who = Who { manager, api_version: "apps/v1", subresource: "", now: Time::UNIX_EPOCH };
        let Applied { mut object, managed } = apply(schema(), &json!({}), live, config, &who, (false, true), force)?;
        managed.write(&mut object);
        Ok(object)
    }

    #[test]
    fn what_a_manager_no_longer_names_goes_and_what_others_own_stays() {
        let both = containers(json!([{"name": "a", "image": "a:1", "env": [{"name": "A", "value": "1"}]}, {"name": "b", "image": "b:1"}]));
        let live = apply_as("one", &json!({}), &both, false).unwrap();
        let live = apply_as("two", &live, &containers(json!([{"name": "a", "imagePullPolicy": "Never"}])), false).unwrap();
        let live = apply_as("one", &live, &containers(json!([{"name": "b", "image": "b:2"}])), false).unwrap();
        let left = json!([{"name": "a", "imagePullPolicy": "Never"}, {"name": "b", "image": "b:2"}]);
        assert_eq!(live["spec"]["template"]["spec"]["containers"], left);
    }

    #[test]
    fn another_value_for_what_somebody_applied_is_a_conflict_until_forced() {
        let live = apply_as("one", &json!({}), &json!({"spec": {"replicas": 1}}), false).unwrap();
        let refused = apply_as("two", &live, &json!({"spec": {"replicas": 2}}), false).unwrap_err();
        assert_eq!(refused.message, "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas");
        let live = apply_as("two", &live, &json!({"spec": {"replicas": 2}}), true).unwrap();
        assert_eq!(live["spec"]["replicas"], 2);
        assert_eq!(live["metadata"]["managedFields"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn elements_come_in_the_order_of_who_applies() {
        let live = containers(json!([{"name": "x"}, {"name": "a"}, {"name": "b"}]));
        let config = containers(json!([{"name": "b"}, {"name": "new"}, {"name": "a"}]));
        let merged = merge(schema(), Some(&live), Some(&config)).unwrap();
        let names: Vec<&Value> = merged["spec"]["template"]["spec"]["containers"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
        assert_eq!(names, ["x", "b", "new", "a"]);
    }

    #[test]
    fn misfits_are_named() {
        let said = |config: Value| misfits(schema(), &config).unwrap();
        assert_eq!(said(json!({"spec": {"foo": 1}})), ".spec.foo: field not declared in schema");
        assert_eq!(said(json!({"spec": {"replicas": "x"}})), ".spec.replicas: expected numeric (int or float), got string");
        assert_eq!(said(json!({"spec": {"paused": "yes"}})), ".spec.paused: expected boolean, got &{yes}");
        let twice = containers(json!([{"name": "a"}, {"name": "a"}]));
        assert_eq!(said(twice), ".spec.template.spec.containers: duplicate entries for key [name=\"a\"]");
        assert_eq!(misfits(schema(), &containers(json!([{"name": "a"}]))), None);
    }
}
