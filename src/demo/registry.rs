//! The rules of an API server, whoever writes: HTTP requests and the embedded controllers go through here.
//!
//! Identity, generation and resourceVersion, the wall between an object and its status, conflicts, deletion.

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::{
    kinds::Kind,
    refusal::Refusal,
    store::{Key, Store},
};
use crate::model::Time;

/// Which door a write comes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Part {
    #[default]
    Main,
    Status,
}

/// A write about to happen.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    pub now: Time,
    /// `fieldManager`: who `managedFields` will name. Empty leaves them alone, which the controllers of mass-produced kinds use.
    pub manager: &'a str,
    pub dry_run: bool,
    pub part: Part,
}

impl<'a> Write<'a> {
    pub fn new(now: Time, manager: &'a str) -> Self {
        Self { now, manager, dry_run: false, part: Part::Main }
    }

    pub fn status(self) -> Self {
        Self { part: Part::Status, ..self }
    }
}

/// `2026-11-21T08:00:00Z`, as Kubernetes writes times.
pub fn stamp(now: Time) -> String {
    now.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// `2026-11-21T08:00:00.000000Z`, as events and leases have them.
pub fn stamp_micro(now: Time) -> String {
    now.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Stores a new object and returns it as stored.
pub fn create(store: &mut Store, kind: &str, namespace: &str, mut object: Value, write: Write<'_>) -> Result<Value, Refusal> {
    let kind = served(store, kind)?;
    let uid = uid(store);
    let metadata = &mut object["metadata"];
    if metadata["name"].as_str().is_none_or(str::is_empty) {
        let base = metadata["generateName"].as_str().filter(|base| !base.is_empty());
        let base = base.ok_or_else(|| Refusal::bad_request("name or generateName is required"))?;
        metadata["name"] = format!("{base}{}", suffix(&uid)).into();
    }
    let name = metadata["name"].as_str().unwrap_or_default().to_owned();
    if kind.namespaced {
        metadata["namespace"] = namespace.into();
    }
    let key = Key::new(&kind.id(), if kind.namespaced { namespace } else { "" }, &name);
    if store.get(&key).is_some() {
        return Err(Refusal::already_exists(&kind.id(), &name));
    }
    metadata["uid"] = uid.into();
    metadata["creationTimestamp"] = stamp(write.now).into();
    if has_generation(&kind) {
        metadata["generation"] = 1.into();
    }
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.clone().into();
    // Custom kinds with the subresource start without a status, whatever was sent.
    if kind.status && kind.custom.is_some() {
        take(&mut object, "status");
    }
    commit(store, key, object, write)
}

/// Replaces the part of an object that `write` opens with that of `object`, and returns the whole as stored.
/// An unchanged object keeps its resourceVersion. A `resourceVersion` in `object` must be the present one.
pub fn update(store: &mut Store, kind: &str, mut object: Value, write: Write<'_>) -> Result<Value, Refusal> {
    let kind = served(store, kind)?;
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let namespace = object["metadata"]["namespace"].as_str().filter(|_| kind.namespaced).unwrap_or_default();
    let key = Key::new(&kind.id(), namespace, &name);
    let before = store.get(&key).ok_or_else(|| Refusal::not_found(&kind.id(), &name))?.value();
    let sent = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if !sent.is_empty() && before["metadata"]["resourceVersion"] != sent {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Refusal::conflict(&kind.id(), &name, why));
    }
    if write.part == Part::Status {
        let mut after = before.clone();
        after["status"] = object["status"].take();
        object = after;
    } else if kind.status {
        object["status"] = before["status"].clone();
    }
    for field in ["uid", "creationTimestamp", "generation", "resourceVersion", "deletionTimestamp"] {
        object["metadata"][field] = before["metadata"][field].clone();
    }
    drop_nulls(&mut object);
    if object == before {
        return Ok(before);
    }
    if has_generation(&kind) && write.part == Part::Main && changes_spec(&before, &object) {
        object["metadata"]["generation"] = (before["metadata"]["generation"].as_i64().unwrap_or_default() + 1).into();
    }
    commit(store, key, object, write)
}

/// Deletes an object; what it owns is the garbage collector's work. Returns it as it was.
pub fn delete(store: &mut Store, key: &Key, write: Write<'_>) -> Result<Value, Refusal> {
    let found = store.get(key).ok_or_else(|| Refusal::not_found(&key.kind, &key.name))?.value();
    if !write.dry_run {
        store.remove(key);
    }
    Ok(found)
}

fn commit(store: &mut Store, key: Key, mut object: Value, write: Write<'_>) -> Result<Value, Refusal> {
    drop_nulls(&mut object);
    if write.dry_run {
        return Ok(object);
    }
    let kind = key.kind.clone();
    store.put(key, object).map(|stored| stored.value()).ok_or_else(|| unserved(&kind))
}

fn served(store: &Store, kind: &str) -> Result<std::sync::Arc<Kind>, Refusal> {
    store.kind(kind).cloned().ok_or_else(|| unserved(kind))
}

fn unserved(_kind: &str) -> Refusal {
    Refusal::new(404, "NotFound", "the server could not find the requested resource")
}

/// Kinds whose spec is a wish that something acts on.
fn has_generation(kind: &Kind) -> bool {
    kind.custom.is_some() || (kind.status && !["", "coordination.k8s.io"].contains(&kind.group.as_str()))
}

/// Everything but metadata and status counts; so do labels and annotations not.
fn changes_spec(before: &Value, after: &Value) -> bool {
    let rest = |object: &Value| {
        let mut fields = object.as_object().cloned().unwrap_or_default();
        ["metadata", "status"].iter().for_each(|field| drop(fields.remove(*field)));
        fields
    };
    rest(before) != rest(after)
}

/// Absent and null are the same in stored metadata and at the top.
fn drop_nulls(object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    if let Some(fields) = object["metadata"].as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
}

fn take(object: &mut Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
}

/// A uid in the shape of a version 4 UUID, from the revision: the same play gives the same uids.
fn uid(store: &Store) -> String {
    let mut rng = fastrand::Rng::with_seed(store.revision().wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (high, low) = (rng.u64(..), rng.u64(..));
    let node = low & 0xffff_ffff_ffff;
    format!("{:08x}-{:04x}-4{:03x}-{:04x}-{node:012x}", high >> 32, (high >> 16) & 0xffff, high & 0xfff, 0x8000 | ((low >> 48) & 0x3fff))
}

/// Five characters of the alphabet Kubernetes makes names of: no vowels, nothing that looks like another.
pub fn suffix(uid: &str) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let hash = uid.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mut rng = fastrand::Rng::with_seed(hash);
    (0..5).map(|_| char::from(ALPHABET[rng.usize(..ALPHABET.len())])).collect()
}

/// An `ownerReferences` entry that says: this one controls me.
pub fn controlled_by(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    })
}
