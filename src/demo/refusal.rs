//! How the embedded API server says no: the same `Status` objects, in the same words, as the real one.

use serde_json::{Value, json};

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

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// The object as answered over HTTP.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}

fn about(plural: &str, name: &str) -> Value {
    match plural.split_once('.') {
        Some((kind, group)) => json!({"name": name, "group": group, "kind": kind}),
        None => json!({"name": name, "kind": plural}),
    }
}
