//! How the embedded API server says no: the same `Status` objects, in the same words, as the real one.

use serde_json::{Map, Value, json};

use super::kinds::Kind;

/// A refused request.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// HTTP status.
    pub code: u16,
    /// `NotFound`, `Conflict`, `Invalid`, ...
    pub reason: &'static str,
    pub message: String,
    /// `details` of the Status; null for none.
    pub details: Value,
}

impl Refusal {
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Value::Null }
    }

    /// `plural` is qualified by its group: `rollouts.argoproj.io`.
    pub fn not_found(plural: &str, name: &str) -> Self {
        Self { details: about(plural, name), ..Self::new(404, "NotFound", format!("{plural} \"{name}\" not found")) }
    }

    pub fn already_exists(plural: &str, name: &str) -> Self {
        Self { details: about(plural, name), ..Self::new(409, "AlreadyExists", format!("{plural} \"{name}\" already exists")) }
    }

    pub fn conflict(plural: &str, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {plural} \"{name}\": {why}");
        Self { details: about(plural, name), ..Self::new(409, "Conflict", message) }
    }

    pub fn forbidden(plural: &str, name: &str, why: &str) -> Self {
        let subject = if name.is_empty() { plural.to_owned() } else { format!("{plural} {name:?}") };
        Self { details: about(plural, name), ..Self::new(403, "Forbidden", format!("{subject} is forbidden: {why}")) }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// A well-formed object that its kind cannot have.
    pub fn invalid(kind: &Kind, name: &str, problems: &[Problem]) -> Self {
        Self::invalid_options(&kind.kind, &kind.group, name, problems)
    }

    /// The same for things that are no objects, such as `CreateOptions`.
    pub fn invalid_options(kind: &str, group: &str, name: &str, problems: &[Problem]) -> Self {
        let mut said: Vec<String> = Vec::new();
        for problem in problems.iter().map(Problem::sentence) {
            if !said.contains(&problem) {
                said.push(problem);
            }
        }
        let said = if said.len() == 1 { said.remove(0) } else { format!("[{}]", said.join(", ")) };
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let causes: Vec<Value> = problems.iter().map(Problem::cause).collect();
        let mut details = named(kind, group, name);
        details.insert("causes".into(), causes.into());
        Self { details: details.into(), ..Self::new(422, "Invalid", format!("{qualified} {name:?} is invalid: {said}")) }
    }

    /// A patch that could not be carried out; the real server does not say why either.
    pub fn unprocessable() -> Self {
        Self { details: json!({}), ..Self::new(422, "Invalid", "the server rejected our request due to an error in our request") }
    }

    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let accepted = accepted.join(", ");
        let message = format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// The object as answered over HTTP.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}

fn about(plural: &str, name: &str) -> Value {
    let (kind, group) = plural.split_once('.').unwrap_or((plural, ""));
    named(kind, group, name).into()
}

fn named(kind: &str, group: &str, name: &str) -> Map<String, Value> {
    let fields = [("name", name), ("group", group), ("kind", kind)];
    fields.iter().filter(|(_, text)| !text.is_empty()).map(|(field, text)| ((*field).to_owned(), (*text).into())).collect()
}

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `spec.template.spec.containers[0].name`.
    pub field: String,
    /// `FieldValueInvalid`, ...
    pub reason: &'static str,
    pub message: String,
}

impl Problem {
    pub fn new(field: impl Into<String>, reason: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.into(), reason, message: message.into() }
    }

    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() { "Required value".into() } else { format!("Required value: {detail}") };
        Self::new(field, "FieldValueRequired", message)
    }

    pub fn invalid(field: impl Into<String>, value: &Value, detail: impl AsRef<str>) -> Self {
        Self::new(field, "FieldValueInvalid", format!("Invalid value: {value}: {}", detail.as_ref()))
    }

    /// `value` is the type that came.
    pub fn type_invalid(field: impl Into<String>, value: &str, detail: impl AsRef<str>) -> Self {
        Self::new(field, "FieldValueTypeInvalid", format!("Invalid value: {value:?}: {}", detail.as_ref()))
    }

    pub fn unsupported<'a>(field: impl Into<String>, value: &Value, supported: impl IntoIterator<Item = &'a str>) -> Self {
        let supported: Vec<String> = supported.into_iter().map(|choice| format!("{choice:?}")).collect();
        Self::new(field, "FieldValueNotSupported", format!("Unsupported value: {value}: supported values: {}", supported.join(", ")))
    }

    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new(field, "FieldValueForbidden", format!("Forbidden: {detail}"))
    }

    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self::new(field, "FieldValueDuplicate", format!("Duplicate value: {value}"))
    }

    pub fn not_found(field: impl Into<String>, value: &Value) -> Self {
        Self::new(field, "FieldValueNotFound", format!("Not found: {value}"))
    }

    fn sentence(&self) -> String {
        format!("{}: {}", self.field, self.message)
    }

    fn cause(&self) -> Value {
        json!({"reason": self.reason, "message": self.message, "field": self.field})
    }
}
