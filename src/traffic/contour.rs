//! Contour: weights of the services of an HTTPProxy's routes.

use serde_json::Value;

use super::{
    Form, Weights,
    form::never_unread,
    items,
    lists::{Absent, Lists, Place, service},
    text,
};
use crate::object::kinds;

pub static FORM: Form = Form {
    router: "contour",
    kind: &kinds::HTTP_PROXY,
    weights: Weights::Listed(Lists {
        places: &[Place::Each("/spec/routes")],
        backends: "services",
        absent: Absent::EvenIfAll,
        target: service,
        audience,
        mirrors,
    }),
    complaints,
    unread: never_unread,
};

/// All conditions of a route must hold.
fn audience(route: &Value) -> Option<String> {
    let said = |condition: &Value| {
        let header = condition.get("header")?;
        let name = text(header, "name")?;
        let how = ["exact", "contains", "regex"].iter().find_map(|key| text(header, key)).unwrap_or("present");
        Some(format!("header {name}: {how}"))
    };
    let said: Vec<String> = items(route, "conditions").filter_map(said).collect();
    (!said.is_empty()).then(|| said.join(" and "))
}

fn mirrors(service: &Value) -> bool {
    service.get("mirror") == Some(&Value::Bool(true))
}

fn complaints(read: &Value) -> Vec<String> {
    let status = read.pointer("/status/currentStatus").and_then(Value::as_str).unwrap_or("");
    let words = read.pointer("/status/description").and_then(Value::as_str).unwrap_or("");
    match status {
        "" | "valid" | "NotReconciled" => Vec::new(),
        other => vec![format!("Contour calls it {other}: {words}")],
    }
}
