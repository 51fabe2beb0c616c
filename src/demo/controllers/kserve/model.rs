//! Whether the model is loaded, as its newest pods tell.

use serde_json::{Value, json};

use super::PODS;
use crate::demo::sim::Cx;

/// Pods with this label in the namespace of an InferenceService.
pub fn pods(cx: &Cx<'_>, service: &Value, label: &str, value: &str) -> Vec<Value> {
    let namespace = service["metadata"]["namespace"].as_str().unwrap_or_default();
    let all = cx.store.list(PODS, Some(namespace));
    all.filter(|pod| pod.label(label) == Some(value)).map(|pod| pod.value()).collect()
}

/// `modelStatus`, from what it was.
pub fn status(before: &Value, pods: &[Value], is_loaded: bool, has_failed: bool) -> Value {
    let mut status = if before.is_object() { before.clone() } else { json!({"transitionStatus": "InProgress"}) };
    let (state, failure) = match pods.first() {
        None if has_failed => ("FailedToLoad", None),
        None => ("Pending", None),
        Some(_) if is_loaded => ("Loaded", None),
        Some(pod) => match failure(pod) {
            Some(failure) => ("FailedToLoad", Some(failure)),
            None => ("Pending", None),
        },
    };
    status["states"]["targetModelState"] = state.into();
    status["transitionStatus"] = match state {
        "Loaded" => "UpToDate",
        "FailedToLoad" => "BlockedByFailedLoad",
        _ => "InProgress",
    }
    .into();
    if state == "Loaded" {
        status["states"]["activeModelState"] = state.into();
        status["copies"] = json!({"failedCopies": 0, "totalCopies": pods.len()});
    }
    if let Some(failure) = failure {
        status["lastFailureInfo"] = failure;
    }
    status
}

fn failure(pod: &Value) -> Option<Value> {
    pod["status"]["containerStatuses"].as_array().into_iter().flatten().find_map(|container| {
        let ended = &container["state"]["terminated"];
        let waiting = container["state"]["waiting"]["reason"] == "CrashLoopBackOff";
        let last = if waiting { &container["lastState"]["terminated"] } else { ended };
        let failed = waiting || ended["reason"] == "Error";
        failed.then(|| json!({"reason": "ModelLoadFailed", "message": last["message"], "exitCode": last["exitCode"]}))
    })
}
