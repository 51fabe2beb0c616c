//! What the API server makes of an object of a built-in kind before anything else: it reads it into its types. Fields
//! they do not have are dropped, zeros come and go as the types say, and a value of a wrong type is refused.

use serde_json::{Map, Value, json};

use super::types::{self, Presence, Shape, Type};

/// A value that its field cannot hold, in the words of Go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch(pub String);

/// An object of this type of which nothing is given.
pub fn zero(known: &Type) -> Value {
    let fields = known.fields().filter(|(_, field)| field.presence == Presence::Always);
    Value::Object(fields.map(|(name, field)| (name.to_owned(), zero_of(&field.shape))).collect())
}

fn zero_of(shape: &Shape) -> Value {
    match shape {
        Shape::Object(name) => types::named(name).map_or_else(|| json!({}), zero),
        Shape::String => "".into(),
        Shape::Int32 | Shape::Int64 | Shape::Float | Shape::IntOrString => 0.into(),
        Shape::Bool => false.into(),
        Shape::Quantity => "0".into(),
        _ => Value::Null,
    }
}

/// Reads an object into its type. Returns the paths of fields that were dropped because the type has none such.
pub fn read(known: &Type, object: &mut Value) -> Result<Vec<String>, Mismatch> {
    let mut unknown = Vec::new();
    object_of(known, object, &Place { name: known.go_name(), path: String::new(), at: String::new() }, &mut unknown)?;
    unknown.sort();
    Ok(unknown)
}

/// Where in an object, for messages.
struct Place {
    /// The type whose field this is.
    name: &'static str,
    /// Field names from the root; elements of lists have none.
    path: String,
    /// The same with the elements of lists.
    at: String,
}

impl Place {
    fn field(&self, name: &'static str, key: &str) -> Self {
        let below = |above: &str| if above.is_empty() { key.to_owned() } else { format!("{above}.{key}") };
        Self { name, path: below(&self.path), at: below(&self.at) }
    }

    fn element(&self, index: usize) -> Self {
        Self { name: self.name, path: self.path.clone(), at: format!("{}[{index}]", self.at) }
    }

    fn mismatch(&self, value: &Value, wanted: &str) -> Mismatch {
        let got = match value {
            Value::Bool(_) => "bool".into(),
            // Whether a number as such or this number is wrong is a difference.
            Value::Number(number) if wanted.starts_with("int") => format!("number {number}"),
            Value::Number(_) => "number".into(),
            Value::String(_) => "string".into(),
            Value::Array(_) => "array".into(),
            _ => "object".to_owned(),
        };
        let place = if self.path.is_empty() { "value".into() } else { format!("struct field {}.{}", self.name, self.path) };
        Mismatch(format!("json: cannot unmarshal {got} into Go {place} of type {wanted}"))
    }
}

fn object_of(known: &Type, value: &mut Value, place: &Place, unknown: &mut Vec<String>) -> Result<(), Mismatch> {
    let Value::Object(fields) = value else {
        return Err(place.mismatch(value, &format!("v1.{}", known.go_name())));
    };
    let mut read = Map::new();
    for (key, mut below) in std::mem::take(fields) {
        let inner = place.field(known.go_name(), &key);
        let Some(field) = known.field(&key) else {
            unknown.push(inner.at);
            continue;
        };
        if !below.is_null() {
            value_of(&field.shape, &mut below, &inner, unknown)?;
        }
        if keeps(field.presence, &below) {
            read.insert(key, below);
        }
    }
    for (name, field) in known.fields().filter(|(_, field)| field.presence == Presence::Always) {
        let slot = read.entry(name).or_insert(Value::Null);
        if slot.is_null() {
            *slot = zero_of(&field.shape);
        }
    }
    *fields = read;
    Ok(())
}

fn keeps(presence: Presence, value: &Value) -> bool {
    match (presence, value) {
        (Presence::Always, _) => true,
        (_, Value::Null) => false,
        (Presence::Optional, _) => true,
        (Presence::OmitZero, Value::Bool(value)) => *value,
        (Presence::OmitZero, Value::Number(number)) => number.as_f64() != Some(0.0),
        (Presence::OmitZero, Value::String(text)) => !text.is_empty(),
        (Presence::OmitZero, Value::Array(items)) => !items.is_empty(),
        (Presence::OmitZero, Value::Object(fields)) => !fields.is_empty(),
    }
}

fn value_of(shape: &Shape, value: &mut Value, place: &Place, unknown: &mut Vec<String>) -> Result<(), Mismatch> {
    let fits = match (shape, &*value) {
        (Shape::Any, _) => true,
        (Shape::Bytes, Value::String(text)) => {
            if let Some(at) = text.trim_end_matches('=').find(|c: char| !(c.is_ascii_alphanumeric() || ['+', '/'].contains(&c))) {
                return Err(Mismatch(format!("illegal base64 data at input byte {at}")));
            }
            true
        }
        (Shape::String, Value::String(_)) | (Shape::Bool, Value::Bool(_)) | (Shape::Float, Value::Number(_)) => true,
        (Shape::Int32, Value::Number(number)) => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        (Shape::Int64, Value::Number(number)) => number.as_i64().is_some(),
        (Shape::IntOrString, Value::Number(_) | Value::String(_)) => true,
        (Shape::Quantity, Value::Number(_)) => {
            *value = value.to_string().into();
            true
        }
        (Shape::Quantity, Value::String(text)) => {
            if !is_quantity(text) {
                return Err(Mismatch("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".into()));
            }
            true
        }
        (Shape::Time | Shape::MicroTime, Value::String(text)) => {
            if chrono::DateTime::parse_from_rfc3339(text).is_err() {
                return Err(Mismatch(format!(r#"parsing time {text:?} as "2006-01-02T15:04:05Z07:00": cannot parse {text:?} as "2006""#)));
            }
            true
        }
        (Shape::Object(name), _) => return types::named(name).map_or(Ok(()), |known| object_of(known, value, place, unknown)),
        (Shape::List(..), Value::Array(_)) | (Shape::Map(_), Value::Object(_)) => return parts_of(shape, value, place, unknown),
        _ => false,
    };
    if fits { Ok(()) } else { Err(place.mismatch(value, &go_type(shape))) }
}

fn parts_of(shape: &Shape, value: &mut Value, place: &Place, unknown: &mut Vec<String>) -> Result<(), Mismatch> {
    match (shape, value) {
        (Shape::List(item, _), Value::Array(items)) => items.iter_mut().enumerate().try_for_each(|(index, element)| match element {
            Value::Null => {
                *element = zero_of(item);
                Ok(())
            }
            element => value_of(item, element, &place.element(index), unknown),
        }),
        (Shape::Map(item), Value::Object(fields)) => fields.iter_mut().try_for_each(|(key, below)| match below {
            Value::Null => {
                *below = zero_of(item);
                Ok(())
            }
            below => {
                let at = format!("{}.{key}", place.at);
                value_of(item, below, &Place { name: place.name, path: place.path.clone(), at }, unknown)
            }
        }),
        _ => Ok(()),
    }
}

fn go_type(shape: &Shape) -> String {
    match shape {
        Shape::String => "string".into(),
        Shape::Int32 | Shape::IntOrString => "int32".into(),
        Shape::Int64 => "int64".into(),
        Shape::Float => "float64".into(),
        Shape::Bool => "bool".into(),
        Shape::Quantity => "resource.Quantity".into(),
        Shape::Time | Shape::MicroTime => "string".into(),
        Shape::Bytes => "[]uint8".into(),
        Shape::Any => "interface {}".into(),
        Shape::Object(name) => format!("v1.{}", types::named(name).map_or(*name, Type::go_name)),
        Shape::List(item, _) => format!("[]{}", go_type(item)),
        Shape::Map(item) => format!("map[string]{}", go_type(item)),
    }
}

fn is_quantity(text: &str) -> bool {
    let number = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
    let suffixes = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let (number, suffix) = number.split_at(digits);
    let exponent = suffix.strip_prefix(['e', 'E']).is_some_and(|power| power.parse::<i32>().is_ok());
    number.parse::<f64>().is_ok() && (suffixes.contains(&suffix) || exponent)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn deployment(mut spec: Value) -> Result<(Value, Vec<String>), String> {
        spec = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec});
        let unknown = read(types::named("Deployment").unwrap(), &mut spec).map_err(|Mismatch(text)| text)?;
        Ok((spec["spec"].clone(), unknown))
    }

    #[test]
    fn zeros_come_and_go_as_in_go() {
        let (spec, unknown) = deployment(json!({
            "replicas": 0, "minReadySeconds": 0, "paused": false, "bar": 1, "selector": null,
            "template": {"metadata": {"labels": {}}, "spec": {"containers": [{"name": "a", "foo": 1, "env": []}], "hostNetwork": false}},
        }))
        .unwrap();
        let container = json!({"name": "a", "resources": {}});
        assert_eq!(spec, json!({"replicas": 0, "strategy": {}, "template": {"metadata": {}, "spec": {"containers": [container]}}}));
        assert_eq!(unknown, ["spec.bar", "spec.template.spec.containers[0].foo"]);
    }

    #[test]
    fn what_does_not_fit_is_refused_in_the_words_of_the_real_server() {
        let refused = |spec| deployment(spec).unwrap_err();
        let wrong = |what| format!("json: cannot unmarshal {what}");
        assert_eq!(refused(json!({"replicas": "x"})), wrong("string into Go struct field DeploymentSpec.spec.replicas of type int32"));
        assert_eq!(
            refused(json!({"template": []})),
            wrong("array into Go struct field DeploymentSpec.spec.template of type v1.PodTemplateSpec")
        );
        let container = json!({"template": {"spec": {"containers": [{"name": 1}]}}});
        assert_eq!(refused(container), wrong("number into Go struct field Container.spec.template.spec.containers.name of type string"));
    }

    #[test]
    fn quantities_are_checked_and_numbers_become_text() {
        let limits = |value: Value| {
            let container = json!({"name": "a", "resources": {"limits": {"cpu": value}}});
            deployment(json!({"template": {"spec": {"containers": [container]}}}))
                .map(|(spec, _)| spec["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"].clone())
        };
        assert_eq!(limits(json!(2)).unwrap(), "2");
        assert_eq!(limits(json!("100m")).unwrap(), "100m");
        assert!(limits(json!("1x")).unwrap_err().starts_with("quantities must match"));
    }
}
