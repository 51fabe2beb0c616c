//! What the embedded cluster holds: objects by kind, one revision counter, and the recent changes that watches read.
//!
//! The store knows nothing of the rules of an API server ([`super::registry`] does); it keeps what it is given. Objects
//! are kept as JSON text: ten thousand pods as trees would be ten times as large, and a watch sends the text as it is.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use super::kinds::Kind;

/// Changes of a kind that a watch can still be given. Older ones are "too old" (410), as after etcd's compaction.
const WINDOW: usize = 2_000;

/// Where an object is. The namespace is empty for kinds without one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// [`Kind::id`].
    pub kind: Arc<str>,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl Key {
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }
}

/// One object at one revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub key: Key,
    pub revision: u64,
    /// The whole object as JSON, with its `resourceVersion`, in the stored version of its kind.
    pub json: Bytes,
    pub labels: Box<[(Box<str>, Box<str>)]>,
    pub uid: Box<str>,
    /// `uid` of the owner with `controller: true`.
    pub owner: Option<Box<str>>,
}

impl Stored {
    /// The object as a tree.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.json).unwrap_or_default()
    }

    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(key, _)| **key == *name).map(|(_, value)| &**value)
    }
}

/// One change. `before` is missing for new objects, `after` for deleted ones.
#[derive(Debug, Clone)]
pub struct Change {
    pub revision: u64,
    pub before: Option<Arc<Stored>>,
    pub after: Option<Arc<Stored>>,
}

impl Change {
    /// The object this is about, as it is or was.
    pub fn object(&self) -> Option<&Arc<Stored>> {
        self.after.as_ref().or(self.before.as_ref())
    }
}

/// The revision asked for has left the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

struct Table {
    kind: Arc<Kind>,
    objects: BTreeMap<(Arc<str>, Arc<str>), Arc<Stored>>,
    history: VecDeque<Change>,
    /// Changes up to this revision are no longer all in `history`.
    floor: u64,
    /// Tells watches that there is something to read.
    latest: watch::Sender<u64>,
}

/// All objects.
pub struct Store {
    revision: u64,
    tables: BTreeMap<Arc<str>, Table>,
    owned: HashMap<Box<str>, BTreeSet<Key>>,
    /// Changes since the controllers last looked.
    fresh: Vec<Change>,
    /// Grows when the set of kinds changes.
    generation: u64,
}

impl Store {
    pub fn new(kinds: Vec<Kind>) -> Self {
        let mut store = Self { revision: 1, tables: BTreeMap::new(), owned: HashMap::new(), fresh: Vec::new(), generation: 0 };
        kinds.into_iter().for_each(|kind| store.add_kind(kind));
        store
    }

    /// Serves a kind from now on, or serves it as now described.
    pub fn add_kind(&mut self, kind: Kind) {
        self.generation += 1;
        let id: Arc<str> = kind.id().into();
        let kind = Arc::new(kind);
        if let Some(table) = self.tables.get_mut(&id) {
            table.kind = kind;
            return;
        }
        let (latest, _) = watch::channel(self.revision);
        let table = Table { kind, objects: BTreeMap::new(), history: VecDeque::new(), floor: self.revision, latest };
        self.tables.insert(id, table);
    }

    /// Forgets a kind and all objects of it; their watches end.
    pub fn remove_kind(&mut self, id: &str) {
        self.generation += 1;
        let keys: Vec<Key> = self.list(id, None).map(|object| object.key.clone()).collect();
        keys.iter().for_each(|key| drop(self.remove(key)));
        self.tables.remove(id);
    }

    pub fn kind(&self, id: &str) -> Option<&Arc<Kind>> {
        self.tables.get(id).map(|table| &table.kind)
    }

    pub fn kinds(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.tables.values().map(|table| &table.kind)
    }

    /// Grows whenever a kind is added or removed.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The newest revision of all kinds.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn get(&self, key: &Key) -> Option<&Arc<Stored>> {
        self.tables.get(&key.kind)?.objects.get(&(key.namespace.clone(), key.name.clone()))
    }

    /// Objects of a kind, by namespace and name.
    pub fn list<'a>(&'a self, kind: &str, namespace: Option<&str>) -> impl Iterator<Item = &'a Arc<Stored>> + use<'a> {
        let objects = self.tables.get(kind).map(|table| &table.objects);
        let of: Option<Arc<str>> = namespace.map(Into::into);
        let from = (of.clone().unwrap_or_else(|| "".into()), Arc::from(""));
        let in_order = objects.into_iter().flat_map(move |objects| objects.range(from.clone()..));
        in_order.take_while(move |((namespace, _), _)| of.as_ref().is_none_or(|of| of == namespace)).map(|(_, object)| object)
    }

    /// Objects of a kind that this owner controls.
    pub fn owned(&self, kind: &str, owner: &str) -> impl Iterator<Item = &Arc<Stored>> {
        self.owned.get(owner).into_iter().flatten().filter(move |key| *key.kind == *kind).filter_map(|key| self.get(key))
    }

    /// All objects that this owner controls.
    pub fn owned_by(&self, owner: &str) -> impl Iterator<Item = &Arc<Stored>> {
        self.owned.get(owner).into_iter().flatten().filter_map(|key| self.get(key))
    }

    /// Keeps the object as it is but for its `resourceVersion`, which is the new revision. `None`: no such kind.
    pub fn put(&mut self, key: Key, mut object: Value) -> Option<Arc<Stored>> {
        let table = self.tables.get_mut(&key.kind)?;
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let stored = Arc::new(stored(key.clone(), self.revision, &object));
        let before = table.objects.insert((key.namespace.clone(), key.name.clone()), stored.clone());
        self.reown(&key, before.as_deref(), Some(&stored));
        self.record(&key.kind, before, Some(stored.clone()));
        Some(stored)
    }

    pub fn remove(&mut self, key: &Key) -> Option<Arc<Stored>> {
        let before = self.tables.get_mut(&key.kind)?.objects.remove(&(key.namespace.clone(), key.name.clone()))?;
        self.revision += 1;
        self.reown(key, Some(&before), None);
        self.record(&key.kind, Some(before.clone()), None);
        Some(before)
    }

    /// Told whenever a kind changes: the newest revision of that kind. Closed when the kind goes.
    pub fn subscribe(&self, kind: &str) -> Option<watch::Receiver<u64>> {
        self.tables.get(kind).map(|table| table.latest.subscribe())
    }

    /// All changes of a kind after a revision, oldest first.
    pub fn changes_after(&self, kind: &str, revision: u64) -> Result<impl Iterator<Item = &Change>, Gone> {
        let table = self.tables.get(kind).ok_or(Gone)?;
        if revision < table.floor {
            return Err(Gone);
        }
        let from = table.history.partition_point(|change| change.revision <= revision);
        Ok(table.history.range(from..))
    }

    /// Changes nobody has taken yet: what the controllers react to.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.fresh)
    }

    /// Forgets all past changes, as a compaction does: no watch can start before now.
    pub fn compact(&mut self) {
        for table in self.tables.values_mut() {
            table.history.clear();
            table.floor = self.revision;
        }
    }

    fn record(&mut self, kind: &Arc<str>, before: Option<Arc<Stored>>, after: Option<Arc<Stored>>) {
        let change = Change { revision: self.revision, before, after };
        self.fresh.push(change.clone());
        let Some(table) = self.tables.get_mut(kind) else { return };
        table.history.push_back(change);
        if table.history.len() > WINDOW {
            table.floor = table.history.pop_front().map_or(table.floor, |old| old.revision);
        }
        table.latest.send_replace(self.revision);
    }

    fn reown(&mut self, key: &Key, before: Option<&Stored>, after: Option<&Stored>) {
        let (old, new) = (before.and_then(|b| b.owner.clone()), after.and_then(|a| a.owner.clone()));
        if old == new {
            return;
        }
        if let Some(old) = old
            && let Some(keys) = self.owned.get_mut(&old)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.owned.remove(&old);
            }
        }
        if let Some(new) = new {
            self.owned.entry(new).or_default().insert(key.clone());
        }
    }
}

fn stored(key: Key, revision: u64, object: &Value) -> Stored {
    let metadata = &object["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().into();
    let labels = metadata["labels"].as_object();
    let owners = metadata["ownerReferences"].as_array();
    Stored {
        key,
        revision,
        json: object.to_string().into(),
        labels: labels.into_iter().flatten().map(|(name, value)| (name.as_str().into(), text(value))).collect(),
        uid: text(&metadata["uid"]),
        owner: owners.into_iter().flatten().find(|owner| owner["controller"] == true).map(|owner| text(&owner["uid"])),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn store() -> Store {
        Store::new(super::super::kinds::built_in())
    }

    fn put(store: &mut Store, name: &str, owner: Option<&str>) -> Arc<Stored> {
        let owners = owner.map(|uid| json!([{"uid": uid, "controller": true}])).unwrap_or_default();
        let object = json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "labels": {"a": name}, "ownerReferences": owners}});
        store.put(Key::new("pods", "shop", name), object).unwrap()
    }

    #[test]
    fn every_change_has_a_revision_of_its_own_and_watches_see_all() {
        let mut store = store();
        let start = store.revision();
        let first = put(&mut store, "a", None);
        let second = put(&mut store, "a", None);
        store.remove(&first.key).unwrap();
        assert_eq!((first.revision, second.revision, store.revision()), (start + 1, start + 2, start + 3));
        let seen: Vec<_> = store.changes_after("pods", start + 1).unwrap().map(|c| (c.before.is_some(), c.after.is_some())).collect();
        assert_eq!(seen, [(true, true), (true, false)]);
        assert_eq!(store.take_changes().len(), 3);
        assert!(store.take_changes().is_empty());
    }

    #[test]
    fn what_left_the_window_is_gone() {
        let mut store = store();
        let start = store.revision();
        (0..=WINDOW).for_each(|_| drop(put(&mut store, "a", None)));
        assert!(store.changes_after("pods", start).is_err());
        assert!(store.changes_after("pods", start + 1).is_ok());
        store.compact();
        assert!(store.changes_after("pods", store.revision() - 1).is_err());
        assert!(store.changes_after("pods", store.revision()).is_ok());
    }

    #[test]
    fn owners_find_their_objects_and_namespaces_theirs() {
        let mut store = store();
        put(&mut store, "a", Some("x"));
        put(&mut store, "b", Some("x"));
        put(&mut store, "b", None);
        assert_eq!(store.owned("pods", "x").count(), 1);
        store.put(Key::new("pods", "shop2", "c"), json!({"metadata": {}})).unwrap();
        assert_eq!(store.list("pods", Some("shop")).count(), 2);
        assert_eq!(store.list("pods", None).count(), 3);
        assert_eq!(store.list("pods", Some("sho")).count(), 0);
    }
}
