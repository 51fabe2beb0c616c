//! A Deployment as the Rollout for it sees it: which version is stable, which is wanted, whether it is going back.

use serde_json::{Value, json};

use super::{
    names::{CANARY_OF, DEPLOYMENTS, HASH, IN_PROGRESS, REPLICA_SETS, STABLE},
    spec::Style,
};
use crate::demo::{
    controllers::objects::{pod_template_hash, same},
    store::{Key, Store},
};

/// What there is to know of a workload.
#[derive(Debug)]
pub struct Workload {
    pub key: Key,
    pub object: Value,
    pub stable: String,
    /// Of the wanted template.
    pub wanted: String,
    /// The `pod-template-hash` of the wanted version's pods, once there are any.
    pub hash: String,
    pub replicas: i64,
    pub in_progress: bool,
    pub in_rollback: bool,
}

/// What was looked for.
#[derive(Debug)]
pub enum Found {
    Nothing,
    /// Its own controller has not seen the newest spec.
    Behind,
    Workload(Box<Workload>),
}

pub fn find(store: &Store, namespace: &str, name: &str, style: Style) -> Found {
    let key = Key::new(DEPLOYMENTS, namespace, name);
    let Some(object) = store.get(&key).map(|stored| stored.value()) else { return Found::Nothing };
    if object["metadata"]["generation"] != object["status"]["observedGeneration"] {
        return Found::Behind;
    }
    let active = active_sets(store, &object);
    let template = &object["spec"]["template"];
    let in_progress = object["metadata"]["annotations"][IN_PROGRESS].is_string();
    let mut workload = Workload {
        stable: text(&object["metadata"]["labels"][STABLE]),
        wanted: pod_template_hash(template),
        hash: String::new(),
        replicas: object["spec"]["replicas"].as_i64().unwrap_or(1),
        in_progress,
        in_rollback: false,
        key,
        object: Value::Null,
    };
    if style == Style::Canary {
        let Some(stable) = active.first() else { return Found::Behind };
        workload.stable = hash_of(stable);
        workload.in_rollback = in_progress && is_of(stable, template);
        if in_progress && !workload.in_rollback {
            let sets = canary(store, &workload.key).map(|canary| active_sets(store, &canary));
            workload.hash = sets.and_then(|sets| sets.first().map(hash_of)).unwrap_or_default();
        }
    } else if in_progress {
        workload.hash = active.iter().find(|set| is_of(set, template)).map(hash_of).unwrap_or_default();
        workload.in_rollback = !workload.stable.is_empty() && workload.stable == workload.hash;
    }
    workload.object = object;
    Found::Workload(Box::new(workload))
}

/// ReplicaSets of a Deployment that ask for pods, oldest first.
pub fn active_sets(store: &Store, deployment: &Value) -> Vec<Value> {
    let mut sets = sets(store, deployment);
    sets.retain(|set| set["spec"]["replicas"] != 0);
    sets
}

/// All its ReplicaSets, oldest first.
pub fn sets(store: &Store, deployment: &Value) -> Vec<Value> {
    let uid = deployment["metadata"]["uid"].as_str().unwrap_or_default();
    let mut sets: Vec<Value> = store.owned(REPLICA_SETS, uid).map(|set| set.value()).collect();
    sets.sort_by_key(|set| text(&set["metadata"]["creationTimestamp"]));
    sets
}

/// The newest Deployment that was made for canaries of this one.
pub fn canary(store: &Store, stable: &Key) -> Option<Value> {
    canaries(store, stable).pop()
}

/// Oldest first.
pub fn canaries(store: &Store, stable: &Key) -> Vec<Value> {
    let all = store.list(DEPLOYMENTS, Some(&stable.namespace)).filter(|found| found.label(CANARY_OF) == Some(&*stable.name));
    let mut all: Vec<Value> = all.map(|found| found.value()).collect();
    all.retain(|found| found["metadata"]["deletionTimestamp"].is_null());
    all.sort_by_key(|found| text(&found["metadata"]["creationTimestamp"]));
    all
}

pub fn hash_of(set: &Value) -> String {
    text(&set["metadata"]["labels"][HASH])
}

/// Whether a ReplicaSet has this template, but for the label that tells templates apart.
pub fn is_of(set: &Value, template: &Value) -> bool {
    are_same(&set["spec"]["template"], template)
}

pub fn are_same(one: &Value, other: &Value) -> bool {
    let bare = |template: &Value| {
        let mut template = template.clone();
        json_patch::merge(&mut template, &json!({"metadata": {"labels": {HASH: null}}}));
        template
    };
    same(&bare(one), &bare(other))
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
