//! The garbage collector: what is owned by something gone goes as well.
//!
//! It knows owners with `controller: true`; nothing here owns anything otherwise.

use std::time::Duration;

use serde_json::Value;

use super::objects::key_of;
use crate::demo::{
    kinds::api_version,
    registry::stamp,
    sim::{Controller, Cx},
    store::{Change, Key, Store},
};

/// Finalizers by which an API server asks for more than the usual: owned objects first, or owned objects not at all.
const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// The garbage collector.
pub struct Garbage;

impl Controller for Garbage {
    fn name(&self) -> &'static str {
        "kube-controller-manager"
    }

    fn wakes(&self, change: &Change, store: &Store, wake: &mut Vec<Key>) {
        match (&change.before, &change.after) {
            (Some(gone), None) => {
                wake.extend(store.owned_by(&gone.uid).map(|owned| owned.key.clone()));
                // Its owner may be waiting for it.
                wake.extend(gone.owner.as_deref().and_then(|_| waiting_owner(store, &gone.value())));
            }
            (Some(_), Some(object)) if !is_childless(&object.key.kind) && is_held(&object.json) => wake.push(object.key.clone()),
            _ => (),
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        let object = cx.store.get(key)?.value();
        if object["metadata"]["deletionTimestamp"].is_null() {
            collect(cx, key, object);
        } else {
            finalize(cx, key, object);
        }
        None
    }
}

/// Deletes an object without owners left, or takes off it those that are gone.
fn collect(cx: &mut Cx<'_>, key: &Key, mut object: Value) {
    let Some(owners) = object["metadata"]["ownerReferences"].as_array_mut() else { return };
    let before = owners.len();
    owners.retain(|owner| exists(cx.store, &key.namespace, owner));
    if owners.is_empty() && before > 0 {
        // Gone already is as good.
        let _ = cx.delete(key);
    } else if owners.len() < before {
        let _ = cx.update(&key.kind, object);
    }
}

/// Does what the finalizers of a deleted object ask for, and takes them off.
fn finalize(cx: &mut Cx<'_>, key: &Key, mut object: Value) {
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let owned: Vec<Value> = cx.store.owned_by(&uid).map(|owned| owned.value()).collect();
    let has = |finalizer: &str| object["metadata"]["finalizers"].as_array().into_iter().flatten().any(|found| *found == finalizer);
    if has(ORPHAN) {
        for owned in owned {
            let kind = locate(cx.store, &owned).map(|key| key.kind.to_string());
            super::orphans::release(cx, &kind.unwrap_or_default(), owned, &uid);
        }
    } else if has(FOREGROUND) && !owned.is_empty() {
        owned.into_iter().filter(|owned| owned["metadata"]["deletionTimestamp"].is_null()).for_each(|owned| condemn(cx, owned));
        return;
    } else if !has(FOREGROUND) {
        return;
    }
    if let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() {
        finalizers.retain(|finalizer| *finalizer != FOREGROUND && *finalizer != ORPHAN);
    }
    // The last finalizer that goes takes the object along.
    let _ = cx.update(&key.kind, object);
}

/// Deletes what is owned by something that goes in the foreground: the same way, if it owns something itself.
fn condemn(cx: &mut Cx<'_>, mut object: Value) {
    let Some(key) = locate(cx.store, &object) else { return };
    if cx.store.owned_by(object["metadata"]["uid"].as_str().unwrap_or_default()).next().is_none() {
        let _ = cx.delete(&key);
        return;
    }
    object["metadata"]["deletionTimestamp"] = stamp(cx.now).into();
    let mut finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    finalizers.push(FOREGROUND.into());
    object["metadata"]["finalizers"] = finalizers.into();
    cx.store.put(key, object);
}

/// The owner that a foreground deletion makes wait for this object.
fn waiting_owner(store: &Store, object: &Value) -> Option<Key> {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let owner = super::objects::controller_of(object)?;
    find(store, namespace, owner).filter(|key| store.get(key).is_some_and(|owner| is_held(&owner.json)))
}

fn exists(store: &Store, namespace: &str, owner: &Value) -> bool {
    find(store, namespace, owner).is_some()
}

/// Where an owner reference points, if that is still the same object.
fn find(store: &Store, namespace: &str, owner: &Value) -> Option<Key> {
    let name = owner["name"].as_str()?;
    let group = owner["apiVersion"].as_str()?.rsplit_once('/').map_or("", |(group, _)| group);
    let kind = store.kinds().find(|kind| kind.kind == owner["kind"] && kind.group == group)?;
    let key = Key::new(&kind.id(), if kind.namespaced { namespace } else { "" }, name);
    store.get(&key).filter(|found| owner["uid"] == *found.uid).map(|_| key)
}

fn locate(store: &Store, object: &Value) -> Option<Key> {
    let is_it = |kind: &str, version: &str| object["kind"] == kind && object["apiVersion"] == version;
    let kind = store.kinds().find(|kind| kind.versions.iter().any(|version| is_it(&kind.kind, &api_version(&kind.group, version))))?;
    Some(key_of(&kind.id(), object))
}

/// Kinds that own nothing and change often.
fn is_childless(kind: &str) -> bool {
    ["events", "endpoints", "endpointslices.discovery.k8s.io", "leases.coordination.k8s.io"].contains(&kind)
}

/// Whether an object is being deleted and held by a finalizer of this controller. Told by its text, as every change is
/// asked.
fn is_held(json: &[u8]) -> bool {
    let text = std::str::from_utf8(json).unwrap_or_default();
    text.contains("\"deletionTimestamp\"") && (text.contains(FOREGROUND) || text.contains("\"orphan\""))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::{super::harness::*, *};
    use crate::demo::sim::Sim;

    const DEPLOYMENTS: &str = "deployments.apps";
    const REPLICA_SETS: &str = "replicasets.apps";

    fn made() -> Sim {
        let mut sim = sim();
        create(&mut sim, DEPLOYMENTS, deployment("web", 3));
        run(&mut sim, 3.0);
        sim
    }

    /// Deletes as an API server does for a propagation policy that needs this finalizer.
    fn delete(sim: &mut Sim, finalizer: &str) {
        let mut object = get(sim, DEPLOYMENTS, "web");
        object["metadata"]["deletionTimestamp"] = "2026-11-21T08:00:03Z".into();
        object["metadata"]["finalizers"] = json!([finalizer]);
        sim.store.put(Key::new(DEPLOYMENTS, "shop", "web"), object);
    }

    fn left(sim: &Sim) -> [usize; 3] {
        [DEPLOYMENTS, REPLICA_SETS, "pods"].map(|kind| list(sim, kind).len())
    }

    #[test]
    fn what_is_owned_goes_with_its_owner() {
        let mut sim = made();
        sim.store.remove(&Key::new(DEPLOYMENTS, "shop", "web"));
        run(&mut sim, 3.0);
        assert_eq!(left(&sim), [0, 0, 0]);
    }

    #[test]
    fn in_the_foreground_the_owner_goes_last() {
        let mut sim = made();
        delete(&mut sim, FOREGROUND);
        let mut seen = vec![left(&sim)];
        for _ in 0..400 {
            run(&mut sim, 0.005);
            if *seen.last().unwrap() != left(&sim) {
                seen.push(left(&sim));
            }
        }
        assert_eq!(seen.last().unwrap(), &[0, 0, 0]);
        assert_eq!(seen, [[1, 1, 3], [1, 1, 0], [1, 0, 0], [0, 0, 0]]);
    }

    #[test]
    fn orphans_are_left_behind() {
        let mut sim = made();
        delete(&mut sim, ORPHAN);
        run(&mut sim, 3.0);
        assert_eq!(left(&sim), [0, 1, 3]);
        assert!(list(&sim, REPLICA_SETS)[0]["metadata"]["ownerReferences"].as_array().is_none_or(Vec::is_empty));
    }
}
