//! What the admission webhook does to a Deployment that a Rollout is for: a new template stops it, and while its release
//! goes on nobody else lets it run.

use serde_json::{Value, json};

use super::{
    names::{IN_PROGRESS, ORIGINAL, ROLLOUTS, STABLE, STRATEGY, WORKLOAD_TYPE},
    spec::Spec,
    workload::{active_sets, are_same, hash_of, is_of},
};
use crate::demo::store::Store;

/// Changes `after`, which is about to take the place of `before`.
pub fn admit(store: &Store, before: &Value, after: &mut Value) {
    if !after["metadata"]["labels"][WORKLOAD_TYPE].is_string() {
        return;
    }
    let is_new = !are_same(&before["spec"]["template"], &after["spec"]["template"]);
    if after["metadata"]["annotations"][IN_PROGRESS].is_string() {
        hold(before, after, is_new);
    } else if is_new && after["spec"]["replicas"] != 0 {
        begin(store, after);
    }
}

fn hold(before: &Value, after: &mut Value, is_new: bool) {
    let annotations = &after["metadata"]["annotations"];
    if annotations[STRATEGY].is_string() {
        let rolling = after["spec"]["strategy"]["rollingUpdate"].take();
        if !rolling.is_null() {
            let mut kept: Value = annotations_json(after, STRATEGY);
            kept["rollingUpdate"] = rolling;
            after["metadata"]["annotations"][STRATEGY] = kept.to_string().into();
        }
        after["spec"]["paused"] = true.into();
        after["spec"]["strategy"] = json!({"type": "Recreate"});
    } else if annotations[ORIGINAL].is_string() {
        if is_new {
            after["spec"]["paused"] = true.into();
        }
    } else {
        after["spec"]["paused"] = true.into();
        if after["spec"]["strategy"]["type"] == "Recreate" {
            after["spec"]["strategy"] = before["spec"]["strategy"].clone();
        }
    }
}

/// An annotation that holds JSON.
pub fn annotations_json(object: &Value, name: &str) -> Value {
    let text = object["metadata"]["annotations"][name].as_str();
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| json!({}))
}

fn begin(store: &Store, after: &mut Value) {
    let Some((rollout, spec)) = matching(store, after) else { return };
    let sets = active_sets(store, after);
    if sets.is_empty() || spec.routing().is_some() && sets.len() != 1 {
        return;
    }
    if let Some(stable) = sets.iter().find(|set| !is_of(set, &after["spec"]["template"])) {
        after["metadata"]["labels"][STABLE] = hash_of(stable).into();
    }
    after["spec"]["paused"] = true.into();
    after["metadata"]["annotations"][IN_PROGRESS] = json!({"rolloutName": rollout}).to_string().into();
}

/// The Rollout that is for this Deployment, and at work.
fn matching(store: &Store, deployment: &Value) -> Option<(String, Spec)> {
    let namespace = deployment["metadata"]["namespace"].as_str()?;
    store.list(ROLLOUTS, Some(namespace)).find_map(|stored| {
        let rollout = stored.value();
        let is_gone = !rollout["metadata"]["deletionTimestamp"].is_null() || rollout["status"]["phase"] == "Disabled";
        let spec = Spec::read(&rollout).filter(|spec| !is_gone && deployment["metadata"]["name"] == *spec.workload_ref.name)?;
        Some((stored.key.name.to_string(), spec))
    })
}
