//! What a CustomResourceDefinition's schema does to objects: drops what it does not know, fills in defaults, and refuses
//! what it does not allow. Messages are those of the real server.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    fields::element_step,
    normal,
    schema::{Form, Schema},
    types::{self, Field, Presence, Shape, Type},
};
use crate::demo::{kinds::Kind, refusal::Problem};

/// Added where a kind has rules of its own that could not be looked at.
const UNCHECKED: &str = "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing \
                         errors to complete validation";

/// Problems that make rules senseless.
const BLOCKING: [&str; 4] = ["FieldValueRequired", "FieldValueTypeInvalid", "FieldValueNotSupported", "FieldValueTooLong"];

/// Reads an object into its schema; metadata is read as everywhere. Returns the paths of fields that were dropped.
pub fn read(schema: &Value, object: &mut Value) -> Result<Vec<String>, normal::Mismatch> {
    let mut unknown = Vec::new();
    if let Some(metadata) = types::named("ObjectMeta")
        && object["metadata"].is_object()
    {
        let dropped = normal::read(metadata, &mut object["metadata"])?;
        unknown.extend(dropped.into_iter().map(|field| format!("metadata.{field}")));
    }
    let Some(fields) = object.as_object_mut() else { return Ok(unknown) };
    let identity = ["apiVersion", "kind", "metadata"].map(|field| (field, fields.remove(field)));
    prune(schema, object, "", &mut unknown);
    for (field, value) in identity {
        if let Some(value) = value {
            object[field] = value;
        }
    }
    unknown.sort();
    Ok(unknown)
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn prune(schema: &Value, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    if let Some(known) = built_in(schema) {
        return prune_built(known, value, path, unknown);
    }
    let open = schema["x-kubernetes-preserve-unknown-fields"] == true || schema["x-kubernetes-int-or-string"] == true;
    match value {
        Value::Object(fields) => {
            let keys: Vec<String> = fields.keys().cloned().collect();
            for key in keys {
                let property =
                    schema["properties"].get(&key).or_else(|| schema.get("additionalProperties").filter(|more| more.is_object()));
                let free = open || schema["additionalProperties"] == true;
                match (property, fields.get_mut(&key)) {
                    (Some(_), Some(Value::Null)) => drop(fields.remove(&key)),
                    (Some(property), Some(value)) => prune(property, value, &below(path, &key), unknown),
                    _ if free => (),
                    _ => {
                        fields.remove(&key);
                        unknown.push(below(path, &key));
                    }
                }
            }
            defaults(schema, fields);
        }
        Value::Array(items) => {
            let elements = items.iter_mut().enumerate();
            elements.for_each(|(index, element)| prune(&schema["items"], element, &format!("{path}[{index}]"), unknown));
        }
        _ => (),
    }
}

fn defaults(schema: &Value, fields: &mut Map<String, Value>) {
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(default) = property.get("default")
            && !fields.contains_key(key)
        {
            fields.insert(key.clone(), default.clone());
        }
    }
}

/// A reference to a built-in type, which only the definitions that come with the embedded cluster have.
fn built_in(schema: &Value) -> Option<&'static Type> {
    schema.get("$ref").and_then(Value::as_str).and_then(types::named)
}

fn prune_built(known: &'static Type, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    let Value::Object(fields) = value else { return };
    let keys: Vec<String> = fields.keys().cloned().collect();
    for key in keys {
        match (known.field(&key), fields.get_mut(&key)) {
            (Some(_), Some(Value::Null)) => drop(fields.remove(&key)),
            (Some(field), Some(value)) => prune_shape(&field.shape, value, &below(path, &key), unknown),
            _ => {
                fields.remove(&key);
                unknown.push(below(path, &key));
            }
        }
    }
    if known.name == "ContainerPort" {
        fields.entry("protocol").or_insert_with(|| "TCP".into());
    }
}

fn prune_shape(shape: &'static Shape, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    match (shape, value) {
        (Shape::Object(name), value) => types::named(name).into_iter().for_each(|known| prune_built(known, value, path, unknown)),
        (Shape::List(item, _), Value::Array(items)) => {
            let elements = items.iter_mut().enumerate();
            elements.for_each(|(index, element)| prune_shape(item, element, &format!("{path}[{index}]"), unknown));
        }
        (Shape::Map(item), Value::Object(fields)) => {
            fields.retain(|_, value| !value.is_null());
            fields.iter_mut().for_each(|(key, value)| prune_shape(item, value, &below(path, key), unknown));
        }
        _ => (),
    }
}

/// What is wrong with an object, or with its status alone. `before`: the object it replaces; `so_far`: what is wrong with
/// its metadata.
pub fn validate(
    kind: &Kind,
    schema: &Value,
    object: &Value,
    before: Option<&Value>,
    status_only: bool,
    so_far: Vec<Problem>,
) -> Vec<Problem> {
    let mut check = Check { problems: so_far, ..Check::default() };
    if status_only {
        if let Some(status) = object.get("status") {
            check.prefix = "status";
            check.value(&schema["properties"]["status"], status, "");
        }
    } else {
        check.value(schema, object, "");
    }
    let has_rules = mentions_rules(schema);
    let is_blocked = check.problems.iter().any(|problem| BLOCKING.contains(&problem.reason));
    if let Some(before) = before.filter(|_| has_rules && !is_blocked) {
        check.rules(schema, before, object, "");
    }
    check.scale(kind, object);
    if has_rules && is_blocked {
        check.problems.push(Problem::new("<nil>", "FieldValueInvalid", UNCHECKED));
    }
    check.problems
}

fn mentions_rules(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => fields.contains_key("x-kubernetes-validations") || fields.values().any(mentions_rules),
        Value::Array(items) => items.iter().any(mentions_rules),
        _ => false,
    }
}

#[derive(Default)]
struct Check {
    /// Where the validated part is in the object.
    prefix: &'static str,
    problems: Vec<Problem>,
}

impl Check {
    /// A path as causes name it; messages start at the validated part.
    fn field(&self, path: &str) -> String {
        match (self.prefix, path) {
            ("", path) => path.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}.{path}"),
        }
    }

    fn value(&mut self, schema: &Value, value: &Value, path: &str) {
        if let Some(known) = built_in(schema) {
            return self.object(known, value, path);
        }
        if schema["x-kubernetes-int-or-string"] == true {
            return self.int_or_string(value, path);
        }
        if let Some(wanted) = schema["type"].as_str()
            && !is_of_type(value, wanted)
        {
            return self.wrong_type(value, path, wanted);
        }
        self.limits(schema, value, path);
        match value {
            Value::Object(fields) => {
                let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
                required.filter(|key| !fields.contains_key(*key)).for_each(|key| self.missing(&below(path, key)));
                for (key, value) in fields {
                    if let Some(property) = schema["properties"].get(key).or_else(|| schema.get("additionalProperties")) {
                        self.value(property, value, &below(path, key));
                    }
                }
            }
            Value::Array(items) => {
                let elements = items.iter().enumerate();
                elements.for_each(|(index, element)| self.value(&schema["items"], element, &format!("{path}[{index}]")));
                self.unique(Schema::Custom(schema), value, items, path);
            }
            _ => (),
        }
    }

    fn object(&mut self, known: &'static Type, value: &Value, path: &str) {
        let Value::Object(fields) = value else { return self.wrong_type(value, path, "object") };
        for (key, field) in known.fields() {
            match fields.get(key) {
                Some(value) => self.shape(&field.shape, value, &below(path, key)),
                None if is_required(field) => self.missing(&below(path, key)),
                None => (),
            }
        }
    }

    fn shape(&mut self, shape: &'static Shape, value: &Value, path: &str) {
        let wanted = match shape {
            Shape::Object(name) => return types::named(name).into_iter().for_each(|known| self.object(known, value, path)),
            Shape::IntOrString => return self.int_or_string(value, path),
            Shape::Any | Shape::Quantity => return,
            Shape::List(..) => "array",
            Shape::Map(_) => "object",
            Shape::Bool => "boolean",
            Shape::Int32 | Shape::Int64 => "integer",
            Shape::Float => "number",
            _ => "string",
        };
        if !is_of_type(value, wanted) {
            return self.wrong_type(value, path, wanted);
        }
        match (shape, value) {
            (Shape::List(item, _), Value::Array(items)) => {
                items.iter().enumerate().for_each(|(index, element)| self.shape(item, element, &format!("{path}[{index}]")));
                self.unique(Schema::Shape(shape), value, items, path);
            }
            (Shape::Map(item), Value::Object(fields)) => fields.iter().for_each(|(key, value)| self.shape(item, value, &below(path, key))),
            _ => (),
        }
    }

    fn missing(&mut self, path: &str) {
        let field = self.field(path);
        self.problems.push(Problem::required(field, ""));
    }

    fn wrong_type(&mut self, value: &Value, path: &str, wanted: &str) {
        let got = type_name(value);
        self.problems.push(Problem::type_invalid(self.field(path), got, format!("{path} in body must be of type {wanted}: {got:?}")));
        if (wanted, got) == ("integer", "number") {
            let why = format!("Invalid value: \"\": Checked value must be of type integer (default format) in {path}");
            self.problems.push(Problem::new("<nil>", "FieldValueInvalid", why));
        }
    }

    fn int_or_string(&mut self, value: &Value, path: &str) {
        if is_of_type(value, "integer") || value.is_string() {
            return;
        }
        self.wrong_type(value, path, "integer,string");
        let any = format!("Invalid value: \"\": \"{path}\" must validate at least one schema (anyOf)");
        self.problems.push(Problem::new("<nil>", "FieldValueInvalid", any));
        self.wrong_type(value, path, "integer");
    }

    fn limits(&mut self, schema: &Value, value: &Value, path: &str) {
        let field = self.field(path);
        if let Some(choices) = schema["enum"].as_array()
            && !choices.contains(value)
        {
            self.problems.push(Problem::unsupported(&field, value, choices.iter().filter_map(Value::as_str)));
        }
        if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
            && number < least
        {
            let detail = format!("{path} in body should be greater than or equal to {least}");
            self.problems.push(Problem::invalid(&field, value, detail));
        }
        if let (Some(most), Some(number)) = (schema["maximum"].as_f64(), value.as_f64())
            && number > most
        {
            let detail = format!("{path} in body should be less than or equal to {most}");
            self.problems.push(Problem::invalid(&field, value, detail));
        }
        if let (Some(least), Some(text)) = (schema["minLength"].as_u64(), value.as_str())
            && (text.chars().count() as u64) < least
        {
            let detail = format!("{path} in body should be at least {least} chars long");
            self.problems.push(Problem::invalid(&field, value, detail));
        }
        if let (Some(least), Some(items)) = (schema["minItems"].as_u64(), value.as_array())
            && (items.len() as u64) < least
        {
            let detail = format!("{path} in body should have at least {least} items");
            self.problems.push(Problem::invalid(&field, &json!(items.len()), detail));
        }
        if let (Some("date-time"), Some(text)) = (schema["format"].as_str(), value.as_str())
            && chrono::DateTime::parse_from_rfc3339(text).is_err()
        {
            let detail = format!("{path} in body must be of type date-time: {text:?}");
            self.problems.push(Problem::type_invalid(field, text, detail));
        }
    }

    /// Elements of sets and of lists with keys occur once.
    fn unique(&mut self, schema: Schema<'_>, list: &Value, items: &[Value], path: &str) {
        let Form::List(_, same) = schema.form(list) else { return };
        let mut seen = BTreeSet::new();
        for (index, element) in items.iter().enumerate() {
            let step = element_step(element, &same);
            if !seen.insert(step.clone()) {
                let shown: Value = serde_json::from_str(&step[2..]).unwrap_or_default();
                self.problems.push(Problem::duplicate(self.field(&format!("{path}[{index}]")), &shown));
            }
        }
    }

    /// The one kind of rule that is understood: a value that stays as it is.
    fn rules(&mut self, schema: &Value, before: &Value, after: &Value, path: &str) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            if rule["rule"] == "self == oldSelf" && before != after {
                let message = format!("Invalid value: {}", rule["message"].as_str().unwrap_or("failed rule: self == oldSelf"));
                self.problems.push(Problem::new(path, "FieldValueInvalid", message));
            }
        }
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            if let (Some(before), Some(after)) = (before.get(key), after.get(key)) {
                self.rules(property, before, after, &below(path, key));
            }
        }
    }

    /// What `/scale` would show must be there in the right form.
    fn scale(&mut self, kind: &Kind, object: &Value) {
        let Some(scale) = &kind.scale else { return };
        let shown = [(&scale.spec, json!(0)), (&scale.status, json!(0))];
        for (pointer, zero) in shown.into_iter().chain(scale.selector.as_ref().map(|selector| (selector, json!("")))) {
            let parent = pointer.rsplit_once('/').and_then(|(parent, _)| object.pointer(parent));
            if let Some(parent) = parent.filter(|parent| !parent.is_object() && !parent.is_null()) {
                let path = pointer.replace('/', ".");
                let (text, kind) = (shown_in_go(parent), go_name(parent));
                let detail = format!("{path} accessor error: {text} is of the type {kind}, expected map[string]interface{{}}");
                self.problems.push(Problem::invalid(&path, &zero, detail));
            }
        }
        let path = scale.spec.replace('/', ".");
        match object.pointer(&scale.spec) {
            Some(Value::Number(number)) if number.as_i64().is_some_and(|replicas| replicas < 0) => {
                self.problems.push(Problem::invalid(&path, &json!(number), "should be a non-negative integer"));
            }
            None | Some(Value::Null) => (),
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => (),
            Some(other) => {
                let shown = shown_in_go(other);
                let detail = format!("{path} accessor error: {shown} is of the type {}, expected int64", go_name(other));
                self.problems.push(Problem::invalid(&path, &json!(0), detail));
            }
        }
    }
}

/// Whether a type cannot be without this field.
fn is_required(field: &Field) -> bool {
    let scalar_or_list = !matches!(field.shape, Shape::Object(_) | Shape::Time | Shape::MicroTime);
    field.presence == Presence::Always && scalar_or_list
}

fn is_of_type(value: &Value, wanted: &str) -> bool {
    match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        _ => true,
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_of_type(value, "integer") => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn shown_in_go(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn go_name(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        _ => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::demo::{
        api::crd,
        kinds,
        refusal::Refusal,
        registry::{self, Write},
        store::Store,
    };
    use crate::model::Time;

    fn kind(id: &str) -> std::sync::Arc<Kind> {
        let mut store = Store::new(kinds::built_in());
        let mut sim_less = |definition| registry::create(&mut store, crd::KIND, "", definition, Write::new(Time::UNIX_EPOCH, ""));
        crd::built_in().into_iter().for_each(|definition| drop(sim_less(definition).unwrap()));
        store.kind(id).unwrap().clone()
    }

    /// What the server says to a new spec, or to a new status.
    fn said(id: &str, field: &str, value: Value) -> String {
        let kind = kind(id);
        let schema = kind.custom.as_ref().unwrap().schema.clone();
        let mut object = json!({"metadata": {"name": "x"}, "spec": {}});
        object[field] = value;
        read(&schema, &mut object).unwrap();
        let problems = validate(&kind, &schema, &object, None, field == "status", Vec::new());
        if problems.is_empty() { String::new() } else { Refusal::invalid(&kind, "x", &problems).message }
    }

    const ROLLOUTS: &str = "rollouts.argoproj.io";
    const NOT_CHECKED: &str = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the \
                               existing errors to complete validation";

    #[test]
    fn values_of_the_wrong_type_are_refused_in_the_words_of_the_real_server() {
        let wrong = |what: &str| format!("Rollout.argoproj.io \"x\" is invalid: [{what}, {NOT_CHECKED}]");
        assert_eq!(
            said(ROLLOUTS, "status", json!({"abort": "yes"})),
            wrong("status.abort: Invalid value: \"string\": abort in body must be of type boolean: \"string\"")
        );
        assert_eq!(
            said(ROLLOUTS, "spec", json!({"strategy": {"canary": {"steps": [{"setWeight": "a"}]}}})),
            wrong(
                "spec.strategy.canary.steps[0].setWeight: Invalid value: \"string\": spec.strategy.canary.steps[0].setWeight in body must be of \
                 type integer: \"string\""
            )
        );
        assert_eq!(
            said(ROLLOUTS, "status", json!({"pauseConditions": [{"reason": "x"}]})),
            wrong("status.pauseConditions[0].startTime: Required value")
        );
        assert_eq!(
            said(ROLLOUTS, "spec", json!({"restartAt": "foo"})),
            wrong("spec.restartAt: Invalid value: \"foo\": spec.restartAt in body must be of type date-time: \"foo\"")
        );
        assert_eq!(
            said(ROLLOUTS, "spec", json!({"template": {"spec": {"containers": [{"image": "b"}]}}})),
            wrong("spec.template.spec.containers[0].name: Required value")
        );
        assert!(
            said(ROLLOUTS, "spec", json!({"strategy": {"canary": {"maxSurge": true}}}))
                .contains("must be of type integer,string: \"boolean\"")
        );
        let negative = "Rollout.argoproj.io \"x\" is invalid: .spec.replicas: Invalid value: -1: should be a non-negative integer";
        assert_eq!(said(ROLLOUTS, "spec", json!({"replicas": -1})), negative);
        let twice = json!({"template": {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}});
        let duplicate = "Rollout.argoproj.io \"x\" is invalid: spec.template.spec.containers[1]: Duplicate value: {\"name\":\"a\"}";
        assert_eq!(said(ROLLOUTS, "spec", twice), duplicate);
        assert_eq!(
            said("analysisruns.argoproj.io", "spec", json!({})),
            "AnalysisRun.argoproj.io \"x\" is invalid: spec.metrics: Required value"
        );
        assert_eq!(said(ROLLOUTS, "spec", json!({"strategy": {"canary": {"maxSurge": "25%", "steps": [{"pause": {"duration": 5}}]}}})), "");
    }

    #[test]
    fn what_the_schema_does_not_know_is_dropped_and_named() {
        let kind = kind(ROLLOUTS);
        let schema = &kind.custom.as_ref().unwrap().schema;
        let routing = json!({"gatewayAPI": {"x": 1}, "plugins": {"a/b": {"x": 1}}});
        let container = json!({"name": "a", "foo": 1, "ports": [{"containerPort": 80}]});
        let mut object = json!({
            "metadata": {"name": "x", "foo": 1}, "extra": 1,
            "spec": {"replicas": null, "strategy": {"canary": {"trafficRouting": routing}}, "template": {"spec": {"containers": [container]}}},
        });
        let unknown = read(schema, &mut object).unwrap();
        assert_eq!(
            unknown,
            ["extra", "metadata.foo", "spec.strategy.canary.trafficRouting.gatewayAPI", "spec.template.spec.containers[0].foo"]
        );
        let container = json!({"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP"}]});
        let spec = json!({
            "strategy": {"canary": {"trafficRouting": {"plugins": {"a/b": {"x": 1}}}}}, "template": {"spec": {"containers": [container]}},
        });
        assert_eq!(object, json!({"metadata": {"name": "x"}, "spec": spec}));
    }

    #[test]
    fn the_selector_stays_as_it_is() {
        let kind = kind(ROLLOUTS);
        let schema = &kind.custom.as_ref().unwrap().schema;
        let object = |app: &str| json!({"metadata": {"name": "x"}, "spec": {"selector": {"matchLabels": {"app": app}}}});
        let problems = validate(&kind, schema, &object("y"), Some(&object("x")), false, Vec::new());
        let said = Refusal::invalid(&kind, "x", &problems).message;
        assert_eq!(said, "Rollout.argoproj.io \"x\" is invalid: spec.selector: Invalid value: .spec.selector is immutable");
        assert!(validate(&kind, schema, &object("x"), Some(&object("x")), false, Vec::new()).is_empty());
    }
}
