//! Objects that nobody controls.

use std::{cell::RefCell, collections::BTreeSet, sync::Arc};

use serde_json::Value;

use super::objects::selects;
use crate::demo::{
    registry::controlled_by,
    sim::Cx,
    store::{Change, Key, Store, Stored},
};

/// The objects of a kind that have no controller. There are few: searching all objects for them in each pass would be
/// dear. Changes are noticed where a controller is only looked at, hence the cell.
#[derive(Default)]
pub struct Orphans {
    keys: RefCell<BTreeSet<Key>>,
}

impl Orphans {
    pub fn note(&self, change: &Change) {
        let mut keys = self.keys.borrow_mut();
        match (&change.before, &change.after) {
            (_, Some(object)) if object.owner.is_none() => drop(keys.insert(object.key.clone())),
            (Some(object), _) if object.owner.is_none() => drop(keys.remove(&object.key)),
            _ => (),
        }
    }

    /// Those that the selector of `owner`, an object in hand, picks.
    fn matching(&self, store: &Store, kind: &str, owner: &Value) -> Vec<Value> {
        let namespace = owner["metadata"]["namespace"].as_str().unwrap_or_default();
        let keys = self.keys.borrow();
        let near = keys.range(Key::new(kind, namespace, "")..).take_while(|key| *key.kind == *kind && *key.namespace == *namespace);
        let matches = |object: &&Arc<Stored>| selects(&owner["spec"]["selector"], &***object);
        near.filter_map(|key| store.get(key)).filter(matches).map(|object| object.value()).collect()
    }

    /// Gives those that match, and are neither over nor on their way out, to `owner`.
    pub fn adopt(&self, cx: &mut Cx<'_>, kind: &str, owner: &Value) {
        self.adopt_named(cx, kind, owner, |_| true);
    }

    /// The same for those with a fitting name.
    pub fn adopt_named(&self, cx: &mut Cx<'_>, kind: &str, owner: &Value, fits: impl Fn(&str) -> bool) {
        if !owner["metadata"]["deletionTimestamp"].is_null() {
            return;
        }
        let is_over = |object: &Value| {
            !object["metadata"]["deletionTimestamp"].is_null() || matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
        };
        let fits = |orphan: &Value| orphan["metadata"]["name"].as_str().is_some_and(&fits);
        for mut orphan in self.matching(cx.store, kind, owner).into_iter().filter(|orphan| !is_over(orphan) && fits(orphan)) {
            let mut owners = orphan["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
            owners.push(controlled_by(owner));
            orphan["metadata"]["ownerReferences"] = owners.into();
            // Whoever changed it meanwhile has made it a new occasion.
            let _ = cx.update(kind, orphan);
        }
    }
}

/// Takes the reference to `owner` (a uid) off an object.
pub fn release(cx: &mut Cx<'_>, kind: &str, mut object: Value, owner: &str) {
    if let Some(owners) = object["metadata"]["ownerReferences"].as_array_mut() {
        owners.retain(|reference| reference["uid"] != owner);
    }
    let _ = cx.update(kind, object);
}
