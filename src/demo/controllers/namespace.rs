//! Namespaces: those of a new cluster, and what becomes of the objects in one that is deleted.

use std::time::Duration;

use serde_json::json;

use super::objects::all_keys;
use crate::{
    demo::{
        registry::{self, Write},
        sim::{Controller, Cx},
        store::{Change, Key, Store},
    },
    model::Time,
};

/// Those every cluster has.
const FIRST: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

/// A namespace that is not empty yet is looked at again after this.
const AGAIN: Duration = Duration::from_millis(500);

/// The namespace controller.
pub struct Namespaces;

impl Controller for Namespaces {
    fn name(&self) -> &'static str {
        "kube-controller-manager"
    }

    fn wakes(&self, change: &Change, _: &Store, wake: &mut Vec<Key>) {
        wake.extend(change.object().map(|object| &object.key).filter(|key| *key.kind == *"namespaces").cloned());
    }

    /// Empties a namespace that is going or gone, and then lets it go.
    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        let namespace = cx.store.get(key).map(|namespace| namespace.value());
        if namespace.as_ref().is_some_and(|namespace| namespace["metadata"]["deletionTimestamp"].is_null()) {
            return None;
        }
        let content = all_keys(cx.store, &key.name);
        content.iter().for_each(|key| drop(cx.delete(key)));
        if !all_keys(cx.store, &key.name).is_empty() {
            return Some(AGAIN);
        }
        if namespace.is_some_and(|namespace| registry::deletion::finalizers(&namespace).is_empty()) {
            cx.store.remove(key);
        }
        None
    }
}

/// Adds the namespaces of a new cluster.
pub fn create_namespaces(store: &mut Store, now: Time) {
    FIRST.iter().for_each(|name| create_namespace(store, name, now));
}

/// Adds a namespace, unless it is there.
pub fn create_namespace(store: &mut Store, name: &str, now: Time) {
    let namespace = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
    });
    let _ = registry::create(store, "namespaces", "", namespace, Write::new(now, "kube-apiserver"));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{super::harness::*, *};

    #[test]
    fn a_deleted_namespace_is_emptied_first() {
        let mut sim = sim();
        let now = sim.now();
        create_namespace(&mut sim.store, "shop", now);
        create(&mut sim, "deployments.apps", deployment("web", 3));
        run(&mut sim, 3.0);
        let key = Key::new("namespaces", "", "shop");
        let mut namespace = sim.store.get(&key).unwrap().value();
        namespace["metadata"]["deletionTimestamp"] = "2026-11-21T08:00:03Z".into();
        namespace["status"]["phase"] = "Terminating".into();
        sim.store.put(key.clone(), namespace);
        run(&mut sim, 5.0);
        assert!(sim.store.get(&key).is_none());
        assert!(all_keys(&sim.store, "shop").is_empty());
        assert_eq!(sim.store.list("namespaces", None).count(), FIRST.len());
    }
}
