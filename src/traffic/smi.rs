//! SMI: weights of the backends of a TrafficSplit.

use serde_json::Value;

use super::{
    Form, Target, Weights,
    form::{never_unread, no_complaints},
    lists::{Absent, Lists, Place, no_mirror},
    text,
};
use crate::object::kinds;

pub static FORM: Form = Form {
    router: "smi",
    kind: &kinds::TRAFFIC_SPLIT,
    weights: Weights::Listed(Lists {
        places: &[Place::One("/spec")],
        backends: "backends",
        absent: Absent::Zero,
        target,
        audience,
        mirrors: no_mirror,
    }),
    complaints: no_complaints,
    unread: never_unread,
};

fn target(backend: &Value, _: &str) -> Target {
    Target::service(text(backend, "service").unwrap_or(""))
}

/// `matches` name an HTTPRouteGroup: the split is for what matches there.
fn audience(spec: &Value) -> Option<String> {
    let names: Vec<&str> = super::items(spec, "matches").filter_map(|m| text(m, "name")).collect();
    (!names.is_empty()).then(|| format!("requests of {}", names.join(", ")))
}
