//! The rules of an API server, whoever writes: HTTP requests and the embedded controllers go through here.
//!
//! Identity, generation and resourceVersion, the wall between an object and its status, conflicts, deletion, and who owns
//! which field. What only HTTP clients need (types, patches, validation) is in [`super::api::write`], over the rooms below.

pub mod custom;
pub mod defaults;
pub mod deletion;
pub mod fields;
#[cfg(test)]
pub mod fixtures;
pub mod managed;
pub mod normal;
pub mod protobuf;
pub mod schema;
pub mod types;
pub mod valid;

use std::sync::Arc;

use chrono::SecondsFormat;
use serde_json::{Value, json};

pub use self::deletion::{Deletion, Propagation, delete};
use self::{
    managed::{Managed, Who},
    schema::Schema,
};
use super::{
    api::crd,
    controllers::kruise,
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
    /// `fieldManager`: who `managedFields` will name. Empty leaves them alone.
    pub manager: &'a str,
    pub dry_run: bool,
    pub part: Part,
    /// Whether it comes from outside: then every kind tells who wrote. Controllers make some kinds in masses, and
    /// books about those would take more memory than they.
    pub client: bool,
    /// Of the request; empty: the kind's preferred one.
    pub api_version: &'a str,
    /// `scale`; a status is told by `part`.
    pub subresource: &'a str,
}

impl<'a> Write<'a> {
    pub fn new(now: Time, manager: &'a str) -> Self {
        Self { now, manager, dry_run: false, part: Part::Main, client: false, api_version: "", subresource: "" }
    }

    pub fn status(self) -> Self {
        Self { part: Part::Status, ..self }
    }

    /// As `managedFields` will know the writer.
    pub fn who<'b>(&'b self, api_version: &'b str) -> Who<'b> {
        let subresource = if self.part == Part::Status { "status" } else { self.subresource };
        let api_version = if self.api_version.is_empty() { api_version } else { self.api_version };
        Who { manager: self.manager, api_version, subresource, now: self.now }
    }

    fn is_tracked(&self, kind: &Kind) -> bool {
        const MASSES: [&str; 5] = ["pods", "replicasets", "endpointslices", "endpoints", "events"];
        !self.manager.is_empty() && (self.client || !MASSES.contains(&kind.plural.as_str()))
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
pub fn create(store: &mut Store, kind: &str, namespace: &str, object: Value, write: Write<'_>) -> Result<Value, Refusal> {
    let kind = served(store, kind)?;
    create_owned(store, &kind, namespace, object, None, write)
}

/// The same for a server-side apply that found nothing: `managed` are the owners.
pub fn create_applied(
    store: &mut Store,
    kind: &Kind,
    namespace: &str,
    object: Value,
    managed: Managed,
    write: Write<'_>,
) -> Result<Value, Refusal> {
    create_owned(store, kind, namespace, object, Some(managed), write)
}

fn create_owned(
    store: &mut Store,
    kind: &Kind,
    namespace: &str,
    mut object: Value,
    managed: Option<Managed>,
    write: Write<'_>,
) -> Result<Value, Refusal> {
    identify(store, kind, namespace, &mut object, write.now)?;
    let key = key_of(kind, &object);
    if let Some(found) = store.get(&key) {
        return Err(exists(kind, &key.name, &found.value()));
    }
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.clone().into();
    if kind.id() == crd::KIND {
        object = crd::without_references(&object);
    }
    // Custom kinds with the subresource start without a status, whatever was sent.
    if kind.status && kind.custom.is_some() {
        take(&mut object, "status");
    }
    defaults::fill(kind, &mut object);
    drop_nulls(&mut object);
    defaults::count_templates(kind, None, &mut object);
    match managed {
        Some(managed) => managed.write(&mut object),
        None if write.is_tracked(kind) => track_creation(kind, &mut object, write),
        None => (),
    }
    defaults::on_create(kind, &mut object);
    if kind.id() == "services" {
        give_address(&mut object, store.revision());
    }
    commit(store, key, object, write)
}

/// Name, namespace, uid, and everything else that an object gets by its birth.
fn identify(store: &Store, kind: &Kind, namespace: &str, object: &mut Value, now: Time) -> Result<(), Refusal> {
    let uid = uid(store);
    let metadata = &mut object["metadata"];
    if metadata["name"].as_str().is_none_or(str::is_empty) {
        let base = metadata["generateName"].as_str().filter(|base| !base.is_empty());
        let base = base.ok_or_else(|| Refusal::bad_request("name or generateName is required"))?;
        metadata["name"] = format!("{base}{}", suffix(&uid)).into();
    }
    metadata["namespace"] = if kind.namespaced { namespace.into() } else { Value::Null };
    metadata["uid"] = uid.into();
    metadata["creationTimestamp"] = stamp(now).into();
    ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds"].iter().for_each(|field| take(metadata, field));
    metadata["generation"] = if has_generation(kind) { 1.into() } else { Value::Null };
    Ok(())
}

fn track_creation(kind: &Kind, object: &mut Value, write: Write<'_>) {
    let api_version = kind.api_version();
    // The status is not the creator's.
    let status = if kind.status { object["status"].take() } else { Value::Null };
    let mut managed = Managed::default();
    managed.update(Schema::of(kind), &zero(kind), &without_status(object, kind), &write.who(&api_version));
    managed.write(object);
    if kind.status {
        object["status"] = status;
    }
    drop_nulls(object);
}

/// An object of a kind before anybody gave anything.
pub fn zero(kind: &Kind) -> Value {
    let zero = types::of(kind).map_or_else(|| json!({}), normal::zero);
    without_status(&zero, kind)
}

fn without_status(object: &Value, kind: &Kind) -> Value {
    let mut object = object.clone();
    if kind.status {
        take(&mut object, "status");
    }
    object
}

/// Replaces the part of an object that `write` opens with that of `object`, and returns the whole as stored.
/// An unchanged object keeps its resourceVersion. A `resourceVersion` or `uid` in `object` must be the present one.
pub fn update(store: &mut Store, kind: &str, object: Value, write: Write<'_>) -> Result<Value, Refusal> {
    let kind = served(store, kind)?;
    let key = key_of(&kind, &object);
    let before = store.get(&key).ok_or_else(|| Refusal::not_found(&kind.id(), &key.name))?.value();
    still_the_same(&kind, &key, &before, &object)?;
    let mut after = merged(&kind, &before, object, write);
    if write.is_tracked(&kind) && differs(&before, &after) {
        let mut managed = Managed::read(&before);
        // Through `/scale` the books look empty, and are not begun, as long as nobody owns what it shows.
        let is_kept = write.subresource != "scale" || managed.is_owned(&["f:spec", "f:replicas"]);
        if !managed.is_empty() && is_kept {
            let api_version = kind.api_version();
            managed.update(Schema::of(&kind), &before, &after, &write.who(&api_version));
            managed.write(&mut after);
        }
    }
    store_update(store, &kind, key, &before, after, write)
}

/// Puts the outcome of a server-side apply in the place of `before`: `managed` are the owners from now on.
pub fn update_applied(
    store: &mut Store,
    kind: &Kind,
    before: &Value,
    object: Value,
    managed: Managed,
    write: Write<'_>,
) -> Result<Value, Refusal> {
    let mut after = merged(kind, before, object, write);
    managed.write(&mut after);
    store_update(store, kind, key_of(kind, before), before, after, write)
}

fn store_update(store: &mut Store, kind: &Kind, key: Key, before: &Value, mut after: Value, write: Write<'_>) -> Result<Value, Refusal> {
    if kind.plural == "deployments" && kind.group == "apps" && write.part == Part::Main && write.subresource.is_empty() {
        kruise::webhook::admit(store, before, &mut after);
    }
    drop_nulls(&mut after);
    if after == *before {
        return Ok(after);
    }
    if has_generation(kind) && write.part == Part::Main && changes_spec(before, &after) {
        after["metadata"]["generation"] = (before["metadata"]["generation"].as_i64().unwrap_or_default() + 1).into();
    }
    if deletion::is_let_go(kind, before, &after) && !write.dry_run {
        deletion::remove(store, &key);
        return Ok(after);
    }
    commit(store, key, after, write)
}

/// What was read must be what is there, as far as the writer says what it read.
pub fn still_the_same(kind: &Kind, key: &Key, before: &Value, object: &Value) -> Result<(), Refusal> {
    let sent = |field: &str| object["metadata"][field].as_str().filter(|text| !text.is_empty());
    let (was, is) = (sent("uid"), before["metadata"]["uid"].as_str().unwrap_or_default());
    if let Some(was) = was.filter(|was| *was != is) {
        let group = if kind.group.is_empty() || kind.custom.is_none() { String::new() } else { format!("{}/", kind.group) };
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{group}{}/{}/{}, ResourceVersion: 0, AdditionalErrorMsg: Precondition \
             failed: UID in precondition: {was}, UID in object meta: {is}",
            kind.plural, key.namespace, key.name
        );
        return Err(Refusal::conflict(&kind.id(), &key.name, &why));
    }
    if sent("resourceVersion").is_some_and(|sent| before["metadata"]["resourceVersion"] != sent) {
        return Err(stale(kind, &key.name));
    }
    Ok(())
}

/// The writer read an older object.
pub fn stale(kind: &Kind, name: &str) -> Refusal {
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    Refusal::conflict(&kind.id(), name, why)
}

/// The new object behind its walls: a status only through its door, identity never.
fn merged(kind: &Kind, before: &Value, mut object: Value, write: Write<'_>) -> Value {
    if write.part == Part::Status {
        let mut after = before.clone();
        after["status"] = object["status"].take();
        if write.client && kind.custom.is_none() {
            after["metadata"]["annotations"] = object["metadata"]["annotations"].take();
        }
        drop_nulls(&mut after);
        return after;
    }
    if kind.status {
        object["status"] = before["status"].clone();
    }
    let kept =
        ["uid", "creationTimestamp", "generation", "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"];
    kept.iter().for_each(|field| object["metadata"][field] = before["metadata"][field].clone());
    object["apiVersion"] = before["apiVersion"].clone();
    object["kind"] = before["kind"].clone();
    defaults::fill(kind, &mut object);
    keep_address(kind, before, &mut object);
    drop_nulls(&mut object);
    defaults::count_templates(kind, Some(before), &mut object);
    object
}

/// Whether anything differs but the books about it.
fn differs(before: &Value, after: &Value) -> bool {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else { return true };
    before.len() != after.len() || after.iter().any(|(field, value)| before.get(field) != Some(value))
}

/// The key of an object in the store.
pub fn key_of(kind: &Kind, object: &Value) -> Key {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    Key::new(&kind.id(), if kind.namespaced { text("namespace") } else { "" }, text("name"))
}

fn commit(store: &mut Store, key: Key, mut object: Value, write: Write<'_>) -> Result<Value, Refusal> {
    drop_nulls(&mut object);
    if write.dry_run {
        return Ok(object);
    }
    let kind = key.kind.clone();
    let is_definition = *kind == *crd::KIND;
    let stored = store.put(key.clone(), object).map(|stored| stored.value()).ok_or_else(unserved)?;
    if is_definition {
        crd::accept(store, &key, write.now);
    }
    Ok(stored)
}

fn served(store: &Store, kind: &str) -> Result<Arc<Kind>, Refusal> {
    store.kind(kind).cloned().ok_or_else(unserved)
}

fn unserved() -> Refusal {
    Refusal { details: json!({}), ..Refusal::new(404, "NotFound", "the server could not find the requested resource") }
}

/// The name is taken, perhaps by something on its way out.
pub fn exists(kind: &Kind, name: &str, found: &Value) -> Refusal {
    let refusal = Refusal::already_exists(&kind.id(), name);
    if found["metadata"]["deletionTimestamp"].is_null() {
        return refusal;
    }
    Refusal { message: format!("object is being deleted: {}", refusal.message), ..refusal }
}

/// Kinds whose spec is a wish that something acts on.
pub fn has_generation(kind: &Kind) -> bool {
    match kind.group.as_str() {
        _ if kind.custom.is_some() => true,
        "" => ["Pod", "ReplicationController"].contains(&kind.kind.as_str()),
        "apps" => kind.status,
        "batch" | "policy" | "networking.k8s.io" | "discovery.k8s.io" | "apiextensions.k8s.io" => true,
        _ => false,
    }
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

/// A Service gets an address of its own. Revisions are as good as a list of those in use: they do not come twice.
fn give_address(service: &mut Value, revision: u64) {
    let spec = &mut service["spec"];
    if spec["type"] == "ExternalName" {
        return;
    }
    if spec["clusterIP"].as_str().is_none_or(str::is_empty) {
        let host = 10 + revision % 65_000;
        spec["clusterIP"] = format!("10.96.{}.{}", host / 256, host % 256).into();
    }
    spec["clusterIPs"] = json!([spec["clusterIP"]]);
    if spec["type"] == "NodePort" || spec["type"] == "LoadBalancer" {
        for (at, port) in spec["ports"].as_array_mut().into_iter().flatten().enumerate() {
            if port["nodePort"].as_u64().is_none_or(|number| number == 0) {
                port["nodePort"] = (30_000 + (revision + at as u64) % 2_768).into();
            }
        }
    }
}

/// Clients may send a Service without the address it got.
pub fn keep_address(kind: &Kind, before: &Value, after: &mut Value) {
    if kind.id() != "services" || after["spec"]["type"] == "ExternalName" {
        return;
    }
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if after["spec"][field].is_null() || after["spec"][field] == "" {
            after["spec"][field] = before["spec"][field].clone();
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::{fixtures::now, *};
    use crate::demo::kinds;

    const ROLLOUTS: &str = "rollouts.argoproj.io";
    const DEPLOYMENTS: &str = "deployments.apps";

    fn store() -> Store {
        let mut store = Store::new(kinds::built_in());
        for definition in crd::built_in() {
            create(&mut store, crd::KIND, "", definition, Write::new(now(), "")).unwrap();
        }
        store
    }

    fn client(manager: &str) -> Write<'_> {
        Write { client: true, ..Write::new(now(), manager) }
    }

    fn rollout() -> Value {
        json!({"metadata": {"name": "web"}, "spec": {"replicas": 1, "strategy": {"canary": {"steps": [{"pause": {}}]}}}, "status": {"phase": "x"}})
    }

    fn deployment() -> Value {
        let container = json!({"name": "a", "image": "a:1", "ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "1"}]});
        json!({
            "metadata": {"name": "d", "labels": {"app": "d"}},
            "spec": {
                "selector": {"matchLabels": {"app": "d"}},
                "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [container]}},
            },
        })
    }

    /// Managers as `manager operation subresource`.
    fn managers(object: &Value) -> Vec<String> {
        let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or("-").to_owned();
        let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
        entries.map(|entry| ["manager", "operation", "subresource"].map(|field| text(entry, field)).join(" ")).collect()
    }

    #[test]
    fn a_status_goes_through_its_own_door_and_only_a_spec_counts_generations() {
        let mut store = store();
        let made = create(&mut store, ROLLOUTS, "shop", rollout(), client("me")).unwrap();
        assert_eq!((&made["metadata"]["generation"], &made["status"]), (&json!(1), &Value::Null));
        let mut changed = made.clone();
        changed["status"] = json!({"abort": true});
        let same = update(&mut store, ROLLOUTS, changed.clone(), client("me")).unwrap();
        assert_eq!(same, made, "a status sent to the front door changes nothing, not even the resourceVersion");
        changed["spec"]["paused"] = true.into();
        let aborted = update(&mut store, ROLLOUTS, changed.clone(), client("me").status()).unwrap();
        assert_eq!(
            (&aborted["status"], &aborted["spec"], &aborted["metadata"]["generation"]),
            (&json!({"abort": true}), &made["spec"], &json!(1))
        );
        changed["metadata"] = aborted["metadata"].clone();
        assert_eq!(update(&mut store, ROLLOUTS, changed, client("me")).unwrap()["metadata"]["generation"], 2);
    }

    #[test]
    fn who_read_an_older_object_or_another_is_refused() {
        let mut store = store();
        let made = create(&mut store, ROLLOUTS, "shop", rollout(), client("me")).unwrap();
        let mut newer = made.clone();
        newer["spec"]["replicas"] = 2.into();
        update(&mut store, ROLLOUTS, newer, client("me")).unwrap();
        let refused = update(&mut store, ROLLOUTS, made.clone(), client("me")).unwrap_err();
        assert_eq!(
            (refused.code, refused.message.as_str()),
            (
                409,
                "Operation cannot be fulfilled on rollouts.argoproj.io \"web\": the object has been modified; please apply your changes to the \
                 latest version and try again"
            )
        );
        let mut other = made;
        other["metadata"]["resourceVersion"] = Value::Null;
        other["metadata"]["uid"] = "aaa".into();
        let refused = update(&mut store, ROLLOUTS, other, client("me")).unwrap_err();
        assert!(refused.message.contains("Precondition failed: UID in precondition: aaa, UID in object meta: "), "{}", refused.message);
        let twice = create(&mut store, ROLLOUTS, "shop", rollout(), client("me")).unwrap_err();
        assert_eq!((twice.code, twice.message.as_str()), (409, "rollouts.argoproj.io \"web\" already exists"));
    }

    #[test]
    fn a_creator_owns_what_the_real_server_says_it_owns() {
        let mut store = store();
        let made = create(&mut store, DEPLOYMENTS, "shop", deployment(), client("me")).unwrap();
        let container = json!({
            ".": {}, "f:env": {".": {}, "k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}}}, "f:image": {}, "f:imagePullPolicy": {},
            "f:name": {}, "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}, "f:protocol": {}}},
            "f:resources": {}, "f:terminationMessagePath": {}, "f:terminationMessagePolicy": {},
        });
        let template = json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:containers": {"k:{\"name\":\"a\"}": container}, "f:dnsPolicy": {}, "f:restartPolicy": {}, "f:schedulerName": {},
                "f:securityContext": {}, "f:terminationGracePeriodSeconds": {},
            },
        });
        let expected = json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:progressDeadlineSeconds": {}, "f:replicas": {}, "f:revisionHistoryLimit": {}, "f:selector": {},
                "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {}}, "f:template": template,
            },
        });
        let entry = &made["metadata"]["managedFields"][0];
        assert_eq!(entry["fieldsV1"], expected);
        assert_eq!((&entry["apiVersion"], &entry["time"]), (&json!("apps/v1"), &json!("2026-11-21T08:00:00Z")));
    }

    #[test]
    fn who_touched_an_object_is_told_and_masses_are_not_booked() {
        let mut store = store();
        create(&mut store, ROLLOUTS, "shop", rollout(), client("kubectl-create")).unwrap();
        let read = |store: &Store| store.get(&Key::new(ROLLOUTS, "shop", "web")).unwrap().value();
        let mut object = read(&store);
        object["status"] = json!({"abort": true, "phase": "x"});
        update(&mut store, ROLLOUTS, object, Write::new(now(), "rollouts-controller").status()).unwrap();
        let mut object = read(&store);
        object["status"]["abort"] = false.into();
        update(&mut store, ROLLOUTS, object, Write { now: now() + Duration::from_secs(5), ..client("rolltop") }.status()).unwrap();
        let object = read(&store);
        assert_eq!(managers(&object), ["kubectl-create Update -", "rollouts-controller Update status", "rolltop Update status"]);
        assert_eq!(object["metadata"]["managedFields"][1]["fieldsV1"], json!({"f:status": {".": {}, "f:phase": {}}}));
        assert_eq!(object["metadata"]["managedFields"][2]["time"], "2026-11-21T08:00:05Z");
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "a"}]}});
        let pod = create(&mut store, "pods", "shop", pod, Write::new(now(), "kubelet")).unwrap();
        assert_eq!(managers(&pod), [""; 0]);
    }

    #[test]
    fn many_updaters_become_ancient_changes() {
        let mut store = store();
        create(&mut store, ROLLOUTS, "shop", rollout(), client("first")).unwrap();
        for number in 0..12_u32 {
            let mut object = store.get(&Key::new(ROLLOUTS, "shop", "web")).unwrap().value();
            object["metadata"]["labels"][format!("l{number}")] = "x".into();
            let manager = format!("m{number:02}");
            update(&mut store, ROLLOUTS, object, Write { now: now() + Duration::from_secs(number.into()), ..client(&manager) }).unwrap();
        }
        let object = store.get(&Key::new(ROLLOUTS, "shop", "web")).unwrap().value();
        let managers = managers(&object);
        assert_eq!((managers.len(), managers[0].as_str(), managers[9].as_str()), (10, "ancient-changes Update -", "m11 Update -"));
    }

    #[test]
    fn services_keep_their_address_and_jobs_find_their_pods() {
        let mut store = store();
        let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
        let made = create(&mut store, "services", "shop", service.clone(), client("me")).unwrap();
        let address = made["spec"]["clusterIP"].as_str().unwrap().to_owned();
        assert!(address.starts_with("10.96."));
        assert_eq!((&made["spec"]["clusterIPs"], &made["spec"]["ports"][0]["targetPort"]), (&json!([address]), &json!(80)));
        let mut replaced = service;
        replaced["metadata"]["namespace"] = "shop".into();
        assert_eq!(update(&mut store, "services", replaced, client("me")).unwrap()["spec"]["clusterIP"], address);
        let job = json!({"metadata": {"name": "j"}, "spec": {"template": {"metadata": {}, "spec": {"containers": []}}}});
        let job = create(&mut store, "jobs.batch", "shop", job, client("me")).unwrap();
        assert_eq!(job["spec"]["selector"]["matchLabels"], json!({"batch.kubernetes.io/controller-uid": job["metadata"]["uid"]}));
        assert_eq!(job["spec"]["template"]["metadata"]["labels"]["job-name"], "j");
    }

    #[test]
    fn a_dry_run_changes_nothing_and_counts_nothing() {
        let mut store = store();
        let dry = Write { dry_run: true, ..client("me") };
        let revision = store.revision();
        let made = create(&mut store, ROLLOUTS, "shop", rollout(), dry).unwrap();
        assert!(made["metadata"]["resourceVersion"].is_null());
        assert_eq!((store.revision(), store.list(ROLLOUTS, None).count()), (revision, 0));
    }
}
