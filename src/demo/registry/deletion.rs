//! How objects end: at once, or marked until those who must let go of them have.

use std::time::Duration;

use serde_json::Value;

use super::{Write, drop_nulls, has_generation, served, stamp};
use crate::demo::{
    api::crd,
    kinds::Kind,
    refusal::Refusal,
    store::{Key, Store},
};
use crate::model::Time;

/// What becomes of dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Propagation {
    #[default]
    Background,
    /// They go first.
    Foreground,
    /// They stay, without an owner.
    Orphan,
}

/// How an object is to be deleted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deletion<'a> {
    pub propagation: Propagation,
    /// Only this very object.
    pub uid: Option<&'a str>,
    /// Only as it was then.
    pub resource_version: Option<&'a str>,
    /// For pods, in seconds; `None`: what the pod says.
    pub grace: Option<u64>,
}

/// What is left of a deleted object.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Gone(Value),
    /// Marked; somebody must let go of it first.
    Marked(Value),
}

impl Outcome {
    pub fn object(self) -> Value {
        match self {
            Self::Gone(object) | Self::Marked(object) => object,
        }
    }
}

/// Deletes an object in the background. Returns it as it was, or marked if something must happen first.
pub fn delete(store: &mut Store, key: &Key, write: Write<'_>) -> Result<Value, Refusal> {
    delete_with(store, key, Deletion::default(), write).map(Outcome::object)
}

/// Deletes an object, or marks it if something must happen first: by finalizers, by the garbage collector for what it
/// owns, by the namespace controller for what is in it, by the kubelet for a pod.
pub fn delete_with(store: &mut Store, key: &Key, deletion: Deletion<'_>, write: Write<'_>) -> Result<Outcome, Refusal> {
    let kind = served(store, &key.kind)?;
    let object = store.get(key).ok_or_else(|| Refusal::not_found(&key.kind, &key.name))?.value();
    still_the_one(&kind, &key.name, &object, deletion)?;
    let finalizers = wanted_finalizers(&object, deletion.propagation);
    let is_pod = key.kind.as_ref() == "pods";
    let grace = if is_pod { grace(&object, deletion.grace) } else { 0 };
    let is_namespace = key.kind.as_ref() == "namespaces";
    if finalizers.is_empty() && grace == 0 && !is_namespace {
        if !write.dry_run {
            remove(store, key);
        }
        return Ok(Outcome::Gone(if is_pod { marked(&kind, &object, finalizers, grace, write.now) } else { object }));
    }
    let marked = marked(&kind, &object, finalizers, grace, write.now);
    if write.dry_run || marked == object {
        return Ok(Outcome::Marked(marked));
    }
    Ok(Outcome::Marked(store.put(key.clone(), marked).map_or(object, |stored| stored.value())))
}

/// Seconds until a pod is gone. One that runs nowhere goes at once.
fn grace(pod: &Value, asked: Option<u64>) -> u64 {
    let is_over = ["Succeeded", "Failed"].iter().any(|phase| pod["status"]["phase"] == *phase);
    if is_over || pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
        return 0;
    }
    asked.or_else(|| pod["spec"]["terminationGracePeriodSeconds"].as_u64()).unwrap_or(30)
}

fn wanted_finalizers(object: &Value, propagation: Propagation) -> Vec<String> {
    let mut all = finalizers(object);
    let wanted = match propagation {
        Propagation::Background => None,
        Propagation::Foreground => Some("foregroundDeletion"),
        Propagation::Orphan => Some("orphan"),
    };
    all.extend(wanted.filter(|wanted| !all.iter().any(|name| name == wanted)).map(str::to_owned));
    all
}

fn still_the_one(kind: &Kind, name: &str, object: &Value, deletion: Deletion<'_>) -> Result<(), Refusal> {
    let is = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let qualified = if kind.group.is_empty() { kind.kind.clone() } else { format!("{}.{}", kind.kind, kind.group) };
    if let Some(uid) = deletion.uid.filter(|uid| *uid != is("uid")) {
        let found = is("uid");
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({found}). The object might have been deleted and then \
             recreated"
        );
        return Err(Refusal::conflict(&qualified, name, &why));
    }
    if let Some(version) = deletion.resource_version.filter(|version| *version != is("resourceVersion")) {
        let found = is("resourceVersion");
        let why = format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({found}). The object might \
             have been modified"
        );
        return Err(Refusal::conflict(&qualified, name, &why));
    }
    Ok(())
}

/// Who must let go before an object can end.
pub fn finalizers(object: &Value) -> Vec<String> {
    let names = object["metadata"]["finalizers"].as_array().into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn marked(kind: &Kind, object: &Value, finalizers: Vec<String>, grace: u64, now: Time) -> Value {
    let mut marked = object.clone();
    let metadata = &mut marked["metadata"];
    let shorter = metadata["deletionGracePeriodSeconds"].as_u64().is_some_and(|before| grace < before);
    let first = metadata["deletionTimestamp"].is_null();
    if first || shorter {
        metadata["deletionTimestamp"] = stamp(now + Duration::from_secs(grace)).into();
        metadata["deletionGracePeriodSeconds"] = if kind.id() == "namespaces" { Value::Null } else { grace.into() };
    }
    if first && has_generation(kind) {
        metadata["generation"] = (metadata["generation"].as_i64().unwrap_or_default() + 1).into();
    }
    if !finalizers.is_empty() {
        metadata["finalizers"] = finalizers.into();
    }
    if kind.id() == "namespaces" {
        marked["status"]["phase"] = "Terminating".into();
    }
    drop_nulls(&mut marked);
    marked
}

/// Whether a write takes the last finalizer off an object that is marked. Pods and namespaces wait for more than those.
pub fn is_let_go(kind: &Kind, before: &Value, after: &Value) -> bool {
    let metadata = &before["metadata"];
    let is_marked =
        !metadata["deletionTimestamp"].is_null() && metadata["deletionGracePeriodSeconds"].as_u64().is_none_or(|grace| grace == 0);
    is_marked && kind.id() != "namespaces" && !finalizers(before).is_empty() && finalizers(after).is_empty()
}

/// Ends an object. A definition takes its kind along.
pub fn remove(store: &mut Store, key: &Key) {
    if let Some(gone) = store.remove(key)
        && *key.kind == *crd::KIND
    {
        crd::withdraw(store, &gone.value());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::demo::{
        kinds,
        registry::{self, fixtures::now},
    };

    fn store() -> Store {
        Store::new(kinds::built_in())
    }

    fn create(store: &mut Store, kind: &str, object: Value) -> Key {
        let made = registry::create(store, kind, "shop", object, Write::new(now(), "")).unwrap();
        Key::new(kind, "shop", made["metadata"]["name"].as_str().unwrap())
    }

    fn with(propagation: Propagation) -> Deletion<'static> {
        Deletion { propagation, ..Deletion::default() }
    }

    #[test]
    fn finalizers_hold_an_object_until_the_last_lets_go() {
        let mut store = store();
        let deployment = json!({"metadata": {"name": "d", "finalizers": ["a/b"]}, "spec": {"template": {}}});
        let key = create(&mut store, "deployments.apps", deployment);
        let Outcome::Marked(marked) = delete_with(&mut store, &key, Deletion::default(), Write::new(now(), "")).unwrap() else {
            panic!("gone")
        };
        assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-11-21T08:00:00Z");
        assert_eq!((&marked["metadata"]["generation"], &marked["metadata"]["deletionGracePeriodSeconds"]), (&json!(2), &json!(0)));
        let again = delete(&mut store, &key, Write::new(now(), "")).unwrap();
        assert_eq!(again, marked, "asking twice is no change");
        let mut free = marked;
        free["metadata"]["finalizers"] = Value::Null;
        registry::update(&mut store, "deployments.apps", free, Write::new(now(), "")).unwrap();
        assert!(store.get(&key).is_none());
    }

    #[test]
    fn dependents_are_left_to_the_garbage_collector() {
        let mut store = store();
        for (propagation, finalizer) in [(Propagation::Foreground, "foregroundDeletion"), (Propagation::Orphan, "orphan")] {
            let key =
                create(&mut store, "deployments.apps", json!({"metadata": {"name": finalizer.to_lowercase()}, "spec": {"template": {}}}));
            let outcome = delete_with(&mut store, &key, with(propagation), Write::new(now(), "")).unwrap();
            assert_eq!(outcome.object()["metadata"]["finalizers"], json!([finalizer]));
        }
        let key = create(&mut store, "deployments.apps", json!({"metadata": {"name": "plain"}, "spec": {"template": {}}}));
        assert!(matches!(delete_with(&mut store, &key, Deletion::default(), Write::new(now(), "")), Ok(Outcome::Gone(_))));
    }

    #[test]
    fn a_pod_that_runs_gets_its_grace() {
        let mut store = store();
        let pod = |name: &str, node: &str| json!({"metadata": {"name": name}, "spec": {"nodeName": node, "containers": [{"name": "a", "image": "a"}]}});
        let nowhere = create(&mut store, "pods", pod("nowhere", ""));
        delete(&mut store, &nowhere, Write::new(now(), "")).unwrap();
        assert!(store.get(&nowhere).is_none());
        let running = create(&mut store, "pods", pod("running", "node-1"));
        let marked = delete(&mut store, &running, Write::new(now(), "")).unwrap();
        assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-11-21T08:00:30Z");
        assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
        registry::update(&mut store, "pods", marked, Write::new(now(), "")).unwrap();
        assert!(store.get(&running).is_some(), "a write does not end it");
        let at_once = Deletion { grace: Some(0), ..Deletion::default() };
        delete_with(&mut store, &running, at_once, Write::new(now(), "")).unwrap();
        assert!(store.get(&running).is_none());
    }

    #[test]
    fn only_the_object_that_was_meant_is_deleted() {
        let mut store = store();
        let key = create(&mut store, "configmaps", json!({"metadata": {"name": "c"}}));
        let other = Deletion { uid: Some("aaa"), ..Deletion::default() };
        let refused = delete_with(&mut store, &key, other, Write::new(now(), "")).unwrap_err();
        assert!(
            refused
                .message
                .starts_with("Operation cannot be fulfilled on ConfigMap \"c\": the UID in the precondition (aaa) does not match")
        );
        let stale = Deletion { resource_version: Some("1"), ..Deletion::default() };
        assert_eq!(delete_with(&mut store, &key, stale, Write::new(now(), "")).unwrap_err().code, 409);
        let dry = Write { dry_run: true, ..Write::new(now(), "") };
        delete(&mut store, &key, dry).unwrap();
        assert!(store.get(&key).is_some());
    }
}
