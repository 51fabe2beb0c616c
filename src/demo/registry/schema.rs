//! One view of what is known of a value, whether its kind is built in or came with a CustomResourceDefinition.

use serde_json::Value;

use super::types::{self, Field, Shape, Topology, Type};
use crate::demo::kinds::Kind;

/// What is known of a value.
#[derive(Debug, Clone, Copy)]
pub enum Schema<'a> {
    /// Nothing.
    Any,
    /// A whole object of a built-in kind, or a part of one.
    Built(&'static Type),
    Field(&'static Field),
    Shape(&'static Shape),
    /// An object of a custom kind: `openAPIV3Schema`, and metadata as everywhere.
    Root(&'a Value),
    /// A part of one.
    Custom(&'a Value),
}

/// How a value is merged and owned.
pub enum Form<'a> {
    /// As one piece.
    Leaf,
    /// By key. `Schema::child` tells of the values.
    Object,
    /// By element.
    List(Schema<'a>, Same<'a>),
}

/// What makes two elements of a list the same.
pub enum Same<'a> {
    Value,
    Fields(Vec<&'a str>),
}

impl<'a> Schema<'a> {
    /// Of whole objects of this kind.
    pub fn of(kind: &'a Kind) -> Self {
        match (&kind.custom, types::of(kind)) {
            (Some(custom), _) => Self::Root(&custom.schema),
            (None, Some(known)) => Self::Built(known),
            (None, None) => Self::Any,
        }
    }

    /// Of what is under this key, and whether the key is a field of its own right rather than any key of a map.
    pub fn child(self, key: &str) -> (Self, bool) {
        match self {
            Self::Any => (Self::Any, false),
            Self::Built(known) => known.field(key).map_or((Self::Any, false), |field| (Self::Field(field), true)),
            Self::Field(field) => Self::Shape(&field.shape).child(key),
            Self::Shape(Shape::Object(name)) => types::named(name).map_or((Self::Any, false), |known| Self::Built(known).child(key)),
            Self::Shape(Shape::Map(value)) => (Self::Shape(value), false),
            Self::Shape(_) => (Self::Any, false),
            Self::Root(schema) if key == "metadata" => {
                types::named("ObjectMeta").map_or((Self::custom(schema, key), true), |known| (Self::Built(known), true))
            }
            Self::Root(schema) | Self::Custom(schema) => match schema["properties"].get(key) {
                Some(property) => (Self::referred(property), true),
                None => (Self::custom(schema, "additionalProperties"), false),
            },
        }
    }

    /// Whether an object of this schema may have this field.
    pub fn declares(self, key: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Built(known) => known.field(key).is_some(),
            Self::Field(field) => Self::Shape(&field.shape).declares(key),
            Self::Shape(Shape::Object(name)) => types::named(name).is_none_or(|known| known.field(key).is_some()),
            Self::Shape(_) => true,
            Self::Root(_) if ["apiVersion", "kind", "metadata"].contains(&key) => true,
            Self::Root(schema) | Self::Custom(schema) => {
                let open = schema["x-kubernetes-preserve-unknown-fields"] == true || schema.get("properties").is_none();
                open || schema["properties"].get(key).is_some() || schema.get("additionalProperties").is_some_and(|more| *more != false)
            }
        }
    }

    /// What a scalar of this schema is, in the words of a merge: `numeric (int or float)`, `string`, `boolean`, and for
    /// others `list` and `map`. `None`: anything.
    pub fn expected(self) -> Option<&'static str> {
        match self {
            Self::Any | Self::Root(_) => None,
            Self::Built(_) => Some("map"),
            Self::Field(field) => Self::Shape(&field.shape).expected(),
            Self::Shape(shape) => match shape {
                Shape::String | Shape::Time | Shape::MicroTime | Shape::Bytes => Some("string"),
                Shape::Int32 | Shape::Int64 | Shape::Float => Some("numeric (int or float)"),
                Shape::Bool => Some("boolean"),
                Shape::List(..) => Some("list"),
                Shape::Object(_) | Shape::Map(_) => Some("map"),
                Shape::Quantity | Shape::IntOrString | Shape::Any => None,
            },
            Self::Custom(schema) if schema["x-kubernetes-int-or-string"] == true => None,
            Self::Custom(schema) => match schema["type"].as_str()? {
                "string" => Some("string"),
                "integer" | "number" => Some("numeric (int or float)"),
                "boolean" => Some("boolean"),
                "array" => Some("list"),
                "object" => Some("map"),
                _ => None,
            },
        }
    }

    fn custom(schema: &'a Value, key: &str) -> Self {
        schema.get(key).filter(|below| below.is_object()).map_or(Self::Any, Self::referred)
    }

    /// A custom schema may refer to a built-in type: a pod template is one wherever it stands.
    fn referred(schema: &'a Value) -> Self {
        let known = schema.get("$ref").and_then(Value::as_str).and_then(types::named);
        known.map_or(Self::Custom(schema), Self::Built)
    }

    /// How a value of this schema is merged and owned. What is not described is seen by what it is.
    pub fn form(self, value: &Value) -> Form<'a> {
        match self {
            Self::Any if value.is_object() => Form::Object,
            Self::Any => Form::Leaf,
            Self::Built(known) if known.atomic => Form::Leaf,
            Self::Built(_) | Self::Root(_) => Form::Object,
            Self::Field(field) if field.atomic => Form::Leaf,
            Self::Field(field) => Self::Shape(&field.shape).form(value),
            Self::Shape(Shape::Object(name)) => types::named(name).map_or(Form::Leaf, |known| Self::Built(known).form(value)),
            Self::Shape(Shape::Map(_)) => Form::Object,
            Self::Shape(Shape::List(item, topology)) => match topology {
                Topology::Atomic => Form::Leaf,
                Topology::Set => Form::List(Self::Shape(item), Same::Value),
                Topology::Keys(keys) => Form::List(Self::Shape(item), Same::Fields(keys.clone())),
            },
            Self::Shape(_) => Form::Leaf,
            Self::Custom(schema) => custom_form(schema, value),
        }
    }

    /// Of the elements of a list.
    pub fn item(self) -> Self {
        match self {
            Self::Field(field) => Self::Shape(&field.shape).item(),
            Self::Shape(Shape::List(item, _)) => Self::Shape(item),
            Self::Custom(schema) => Self::custom(schema, "items"),
            _ => Self::Any,
        }
    }
}

fn custom_form<'a>(schema: &'a Value, value: &Value) -> Form<'a> {
    match schema["type"].as_str() {
        Some("object") if schema["x-kubernetes-map-type"] == "atomic" => Form::Leaf,
        Some("object") => Form::Object,
        Some("array") => match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => Form::List(Schema::Custom(schema).item(), Same::Value),
            Some("map") => {
                let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
                Form::List(Schema::Custom(schema).item(), Same::Fields(keys.filter_map(Value::as_str).collect()))
            }
            _ => Form::Leaf,
        },
        Some(_) => Form::Leaf,
        None => Schema::Any.form(value),
    }
}
