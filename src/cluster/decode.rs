//! From the server's JSON to [`Object`]s, whatever shape it has.
//!
//! Nothing here insists on a shape: a field of the wrong type reads as absent, and ballast is left out
//! while the rest is copied as it was written, number for number, since plans quote it.

use std::{borrow::Cow, fmt, str};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    model::{Text, Time, Writer, moment},
    object::{Meta, Object, OwnerRef, Resource, packed::Packed},
};

/// What OpenKruise's controller notes on its Rollouts: a digest of the steps.
const STAMP: &str = "f:rollouts.kruise.io/hash";

/// Metadata that is ballast; `managedFields` is reduced to [`Meta::writers`] first.
const METADATA: [&str; 2] = ["managedFields", "selfLink"];
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Parts of a pod's spec that no view and no engine reads.
const POD_SPEC: [&str; 8] =
    ["volumes", "tolerations", "affinity", "topologySpreadConstraints", "imagePullSecrets", "securityContext", "dnsConfig", "hostAliases"];
const CONTAINER: [&str; 9] =
    ["env", "envFrom", "volumeMounts", "volumeDevices", "livenessProbe", "readinessProbe", "startupProbe", "securityContext", "lifecycle"];
/// Bytes of a template from which it is kept apart.
const LARGE: usize = 1_024;
/// What the outline of a template leaves out of a container.
const OF_TEMPLATE: [&str; 13] = both(CONTAINER, ["args", "command", "terminationMessagePath", "terminationMessagePolicy"]);
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

const fn both(some: [&'static str; 9], more: [&'static str; 4]) -> [&'static str; 13] {
    let mut all = [""; 13];
    let mut i = 0;
    while i < all.len() {
        all[i] = if i < some.len() { some[i] } else { more[i - some.len()] };
        i += 1;
    }
    all
}

/// Why something is not an object at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    #[error("not JSON: {0}")]
    NotJson(String),
    #[error("not an object")]
    NotAnObject,
    #[error("{0} has no uid")]
    NoUid(String),
}

/// Reads one object and leaves the ballast out. Fields of an unexpected type read as absent.
///
/// # Errors
/// When it is no JSON object, or has no uid to be known by.
pub fn object(resource: &'static Resource, bytes: &[u8]) -> Result<Object, Undecodable> {
    let text = str::from_utf8(bytes).map_err(|e| Undecodable::NotJson(e.to_string()))?;
    let raw: &RawValue = serde_json::from_str(text).map_err(|e| Undecodable::NotJson(e.to_string()))?;
    raw_object(resource, raw)
}

/// As [`object`], for JSON that has been seen to be well-formed.
///
/// # Errors
/// As [`object`].
pub(super) fn raw_object(resource: &'static Resource, raw: &RawValue) -> Result<Object, Undecodable> {
    let fields = fields(raw).ok_or(Undecodable::NotAnObject)?;
    let metadata = find(&fields, "metadata").and_then(|raw| Some((raw, self::fields(raw)?)));
    let meta = metadata.as_ref().map(|(_, members)| meta(members)).unwrap_or_default();
    if meta.uid.is_empty() {
        let name = if meta.name.is_empty() { "an object without a name".into() } else { format!("{}/{}", meta.namespace, meta.name) };
        return Err(Undecodable::NoUid(name));
    }
    let pod = resource.kind == "Pod" && resource.group.is_empty();
    let mut template = Template::default();
    let mut json = String::with_capacity(raw.get().len() / 2);
    write_object(&mut json, &fields, |out, key, value| match key {
        "metadata" => match &metadata {
            Some((raw, members)) if std::ptr::eq(*raw, value) => write_metadata(out, members),
            _ => copy(out, value),
        },
        "spec" if pod => write_pod_spec(out, value, &CONTAINER),
        "spec" => write_spec(out, value, &mut template),
        _ => copy(out, value),
    });
    Ok(Object::new(resource, meta, json, template.whole, template.labels))
}

/// The resource version of an object, be the rest what it may.
pub(super) fn resource_version(raw: &RawValue) -> Option<String> {
    let fields = fields(raw)?;
    let metadata = self::fields(find(&fields, "metadata")?)?;
    find(&metadata, "resourceVersion").and_then(string).map(Cow::into_owned).filter(|v| !v.is_empty())
}

/// Whether a bookmark says that the initial events are complete.
pub(super) fn ends_initial_events(raw: &RawValue) -> bool {
    let path = ["metadata", "annotations", "k8s.io/initial-events-end"];
    let mut at = raw;
    for key in path {
        let Some(next) = fields(at).and_then(|f| find(&f, key)) else { return false };
        at = next;
    }
    string(at).is_some_and(|s| s == "true")
}

/// One page of a list: its items untouched, for decoding one by one.
#[derive(Debug, Default)]
pub(super) struct Page<'a> {
    pub items: Vec<&'a RawValue>,
    pub resource_version: String,
    pub next: String,
}

/// Reads a list's envelope.
pub(super) fn page(bytes: &[u8]) -> Result<Page<'_>, Undecodable> {
    let text = str::from_utf8(bytes).map_err(|e| Undecodable::NotJson(e.to_string()))?;
    let raw: &RawValue = serde_json::from_str(text).map_err(|e| Undecodable::NotJson(e.to_string()))?;
    let top = fields(raw).ok_or(Undecodable::NotAnObject)?;
    let metadata = find(&top, "metadata").and_then(fields).ok_or(Undecodable::NotAnObject)?;
    let text = |key| find(&metadata, key).and_then(string).map(Cow::into_owned).unwrap_or_default();
    Ok(Page {
        items: find(&top, "items").and_then(items).unwrap_or_default(),
        resource_version: text("resourceVersion"),
        next: text("continue"),
    })
}

/// One line of a watch.
#[derive(Debug, Deserialize)]
pub(super) struct Frame<'a> {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(borrow)]
    pub object: &'a RawValue,
}

type Fields<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

fn find<'a>(fields: &Fields<'a>, key: &str) -> Option<&'a RawValue> {
    fields.iter().rev().find(|(k, _)| k == key).map(|(_, v)| *v)
}

/// The members of an object in their order; `None` for anything else.
pub(super) fn fields(raw: &RawValue) -> Option<Fields<'_>> {
    serde_json::from_str::<Members<'_>>(raw.get()).ok().map(|m| m.0)
}

fn items(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str::<Elements<'_>>(raw.get()).ok().map(|e| e.0)
}

fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Key<'_>>(raw.get()).ok().map(|k| k.0)
}

struct Members<'a>(Fields<'a>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    fields.push((key.0, value));
                }
                Ok(Members(fields))
            }
        }
        d.deserialize_map(V)
    }
}

struct Elements<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Elements<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element::<&'de RawValue>()? {
                    items.push(item);
                }
                Ok(Elements(items))
            }
        }
        d.deserialize_seq(V)
    }
}

/// A string that is borrowed when it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(v.to_owned())))
            }
        }
        d.deserialize_str(V)
    }
}

fn copy(out: &mut String, raw: &RawValue) -> bool {
    out.push_str(raw.get());
    true
}

/// Writes an object; `write` puts a value, or returns false having put nothing to leave the member out.
fn write_object<'a>(out: &mut String, fields: &Fields<'a>, mut write: impl FnMut(&mut String, &str, &'a RawValue) -> bool) {
    out.push('{');
    let mut first = true;
    for (key, value) in fields {
        let start = out.len();
        if !first {
            out.push(',');
        }
        out.push_str(&serde_json::Value::from(&**key).to_string());
        out.push(':');
        if write(out, key, value) {
            first = false;
        } else {
            out.truncate(start);
        }
    }
    out.push('}');
}

/// Copies an object less some members; what is no object is copied whole.
fn write_without(out: &mut String, raw: &RawValue, ballast: &[&str]) -> bool {
    let Some(fields) = fields(raw) else { return copy(out, raw) };
    write_object(out, &fields, |out, key, value| !ballast.contains(&key) && copy(out, value));
    true
}

fn write_metadata(out: &mut String, members: &Fields<'_>) -> bool {
    write_object(out, members, |out, key, value| match key {
        key if METADATA.contains(&key) => false,
        "annotations" => write_without(out, value, &[LAST_APPLIED]),
        _ => copy(out, value),
    });
    true
}

/// What is kept of a template beside its outline.
#[derive(Default)]
struct Template<'a> {
    whole: Option<Packed>,
    labels: &'a str,
}

/// A spec; of a large template only the outline, and the whole of it apart.
fn write_spec<'a>(out: &mut String, raw: &'a RawValue, kept: &mut Template<'a>) -> bool {
    let Some(members) = fields(raw) else { return copy(out, raw) };
    write_object(out, &members, |out, key, value| match fields(value).filter(|_| key == "template") {
        Some(template) => {
            let metadata = find(&template, "metadata").and_then(fields);
            kept.labels = metadata.and_then(|members| find(&members, "labels")).map_or("", RawValue::get);
            kept.whole = (value.get().len() > LARGE).then(|| Packed::of(value.get()));
            if kept.whole.is_some() { write_outline(out, &template) } else { copy(out, value) }
        }
        None => copy(out, value),
    });
    true
}

fn write_outline(out: &mut String, template: &Fields<'_>) -> bool {
    write_object(out, template, |out, key, value| if key == "spec" { write_pod_spec(out, value, &OF_TEMPLATE) } else { copy(out, value) });
    true
}

fn write_pod_spec(out: &mut String, raw: &RawValue, ballast: &[&str]) -> bool {
    let Some(fields) = fields(raw) else { return copy(out, raw) };
    write_object(out, &fields, |out, key, value| match key {
        key if POD_SPEC.contains(&key) => false,
        key if CONTAINERS.contains(&key) => write_containers(out, value, ballast),
        _ => copy(out, value),
    });
    true
}

fn write_containers(out: &mut String, raw: &RawValue, ballast: &[&str]) -> bool {
    let Some(items) = items(raw) else { return copy(out, raw) };
    out.push('[');
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        write_without(out, item, ballast);
    }
    out.push(']');
    true
}

fn meta(members: &Fields<'_>) -> Meta {
    let mut meta = Meta::default();
    for (key, value) in members {
        match &**key {
            "namespace" => meta.namespace = text(value),
            "name" => meta.name = text(value),
            "uid" => meta.uid = text(value),
            "resourceVersion" => meta.resource_version = text(value),
            "generation" => meta.generation = serde_json::from_str(value.get()).unwrap_or_default(),
            "creationTimestamp" => meta.created = time(value),
            "deletionTimestamp" => meta.deleting = time(value),
            "ownerReferences" => meta.owner = items(value).unwrap_or_default().into_iter().find_map(owner),
            "managedFields" => meta.writers = writers(items(value).unwrap_or_default()),
            _ => {}
        }
    }
    meta
}

fn text(raw: &RawValue) -> Text {
    string(raw).map(|s| Text::clean(&s)).unwrap_or_default()
}

fn time(raw: &RawValue) -> Option<Time> {
    moment(&string(raw)?)
}

fn owner(raw: &RawValue) -> Option<OwnerRef> {
    let fields = fields(raw)?;
    let controls = find(&fields, "controller").is_some_and(|v| v.get() == "true");
    let part = |key| find(&fields, key).map(text).unwrap_or_default();
    controls.then(|| OwnerRef { kind: part("kind"), name: part("name"), uid: part("uid") })
}

/// Who wrote, newest first, each manager and subresource once with its last time.
fn writers(entries: Vec<&RawValue>) -> Vec<Writer> {
    let mut writers: Vec<Writer> = Vec::new();
    for writer in entries.into_iter().filter_map(writer) {
        match writers.iter_mut().find(|w| w.manager == writer.manager && w.subresource == writer.subresource) {
            Some(known) => (known.at, known.books) = (known.at.max(writer.at), known.books && writer.books),
            None => writers.push(writer),
        }
    }
    writers.sort_by_key(|w| std::cmp::Reverse(w.at));
    writers
}

fn writer(raw: &RawValue) -> Option<Writer> {
    let fields = fields(raw)?;
    let subresource = find(&fields, "subresource").map(text).filter(|s| !s.is_empty());
    let manager = find(&fields, "manager").map(text).filter(|m| !m.is_empty())?;
    let books = subresource.as_deref() == Some("status") || find(&fields, "fieldsV1").is_some_and(books);
    Some(Writer { manager, at: find(&fields, "time").and_then(time), subresource, books })
}

/// Whether these managed fields are the status and finalizers, and nothing else.
fn books(raw: &RawValue) -> bool {
    // Nearly all hold other things; this is asked of every object there is.
    if !["f:finalizers", "f:status", STAMP].iter().any(|kept| raw.get().contains(kept)) {
        return false;
    }
    let all = |raw: &RawValue, fits: &dyn Fn(&str, &RawValue) -> bool| fields(raw).is_some_and(|f| f.iter().all(|(k, v)| fits(k, v)));
    all(raw, &|key, value| match key {
        "f:status" => true,
        "f:metadata" => all(value, &|key, value| match key {
            "f:annotations" => all(value, &|key, _| key == "." || key == STAMP),
            key => matches!(key, "." | "f:finalizers"),
        }),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::object::kinds;

    fn decode(resource: &'static Resource, value: &Value) -> Object {
        object(resource, value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn books_are_what_no_person_writes() {
        let writer = |entry: Value| {
            let text = entry.to_string();
            super::writer(serde_json::from_str::<&RawValue>(&text).unwrap()).unwrap().books
        };
        let of = |fields: Value| writer(json!({"manager": "manager", "fieldsV1": fields}));
        let finalizers = json!({".": {}, "v:\"inferenceservice.finalizers\"": {}});
        assert!(of(json!({"f:metadata": {"f:finalizers": finalizers}})));
        assert!(of(
            json!({"f:metadata": {"f:finalizers": finalizers, "f:annotations": {".": {}, STAMP: {}}}, "f:status": {"f:phase": {}}})
        ));
        assert!(of(json!({"f:metadata": {"f:annotations": {STAMP: {}}}})));
        assert!(writer(json!({"manager": "controller", "subresource": "status", "fieldsV1": {"f:status": {}}})));
        for fields in [
            json!({"f:metadata": {"f:finalizers": finalizers}, "f:spec": {"f:traffic": {}}}),
            json!({"f:metadata": {"f:finalizers": finalizers, "f:labels": {}}}),
            json!({"f:metadata": {"f:annotations": {STAMP: {}, "f:mine": {}}}}),
            json!({"f:spec": {"f:finalizers": {}}}),
            json!({"f:metadata": 5, "f:status": {}}),
            json!("f:status"),
            Value::Null,
        ] {
            assert!(!of(fields.clone()), "{fields}");
        }
        assert!(!writer(json!({"manager": "manager"})));
        let entries = [json!({"manager": "m", "fieldsV1": {"f:status": {}}}), json!({"manager": "m", "fieldsV1": {"f:spec": {}}})];
        for both in [json!(entries), json!([entries[1], entries[0]])] {
            let text = both.to_string();
            let merged = writers(serde_json::from_str::<Vec<&RawValue>>(&text).unwrap());
            assert!(merged.len() == 1 && !merged[0].books, "what was once a person's stays so");
        }
    }

    #[test]
    fn a_pod_loses_its_ballast_and_nothing_else() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "p", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 3, "selfLink": "/x",
                "creationTimestamp": "2026-01-02T03:04:05Z", "deletionTimestamp": null,
                "labels": {"a": "b"},
                "annotations": {"keep": "me", LAST_APPLIED: "{}"},
                "ownerReferences": [{"kind": "Node", "name": "x", "uid": "1"}, {"kind": "ReplicaSet", "name": "rs", "uid": "2", "controller": true}],
                "managedFields": [
                    {"manager": "kubectl", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:a": {}}},
                    {"manager": "kubelet", "time": "2026-01-03T00:00:00Z", "subresource": "status"},
                    {"manager": "kubectl", "time": "2026-01-02T00:00:00Z", "operation": "Update"},
                    "nonsense", {"manager": 5},
                ],
            },
            "spec": {
                "nodeName": "node", "volumes": [1], "tolerations": [], "affinity": {},
                "containers": [{"name": "c", "image": "i", "env": [{"name": "SECRET"}], "volumeMounts": [], "readinessProbe": {}, "resources": {"limits": {"cpu": "1"}}}],
            },
            "status": {"phase": "Running"},
        });
        let o = decode(&kinds::POD, &pod);
        let left = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "p", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 3,
                "creationTimestamp": "2026-01-02T03:04:05Z", "deletionTimestamp": null,
                "labels": {"a": "b"}, "annotations": {"keep": "me"},
                "ownerReferences": [{"kind": "Node", "name": "x", "uid": "1"}, {"kind": "ReplicaSet", "name": "rs", "uid": "2", "controller": true}],
            },
            "spec": {"nodeName": "node", "containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}]},
            "status": {"phase": "Running"},
        });
        assert_eq!(o.value(), left);
        assert_eq!(o.meta.owner.unwrap().name, "rs");
        assert_eq!((o.meta.generation, &*o.meta.resource_version), (3, "7"));
        let writers: Vec<_> = o.meta.writers.iter().map(|w| (&*w.manager, w.at.unwrap().to_rfc3339())).collect();
        assert_eq!(writers, [("kubelet", "2026-01-03T00:00:00+00:00".into()), ("kubectl", "2026-01-02T00:00:00+00:00".into())]);
    }

    #[test]
    fn a_template_is_kept_to_the_letter() {
        let text = r#"{"metadata":{"uid":"u"},"spec":{"template":{"spec":{"volumes":[ {"x":1.10} ],"containers":[{"env":[],"livenessProbe":{}}]}}}}"#;
        let o = object(&kinds::REPLICA_SET, text.as_bytes()).unwrap();
        assert!(o.text().contains(r#"{"volumes":[ {"x":1.10} ],"containers":[{"env":[],"livenessProbe":{}}]}"#), "{}", o.text());
    }

    #[test]
    fn of_a_large_template_the_outline_is_at_hand_and_the_whole_is_kept_to_the_letter() {
        let whole = json!({
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "volumes": [{"name": "v"}], "serviceAccountName": "web",
                "containers": [{
                    "name": "c", "image": "i:v1", "ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "x".repeat(LARGE)}],
                    "readinessProbe": {"httpGet": {"port": 80}}, "args": ["-v"],
                }],
            },
        });
        let text = json!({"metadata": {"uid": "u"}, "spec": {"replicas": 2, "template": whole, "paused": true}});
        let o = decode(&kinds::DEPLOYMENT, &text);
        assert_eq!(o.value(), text);
        let outline: Value = serde_json::from_str(&o.text()).unwrap();
        assert_eq!(
            outline["spec"],
            json!({"replicas": 2, "paused": true, "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"serviceAccountName": "web", "containers": [{"name": "c", "image": "i:v1", "ports": [{"containerPort": 80}]}]},
            }})
        );
        let odd = json!({"metadata": {"uid": "u"}, "spec": {"template": "x".repeat(2 * LARGE)}});
        assert_eq!(decode(&kinds::DEPLOYMENT, &odd).value(), odd);
    }

    #[test]
    fn odd_shapes_still_give_what_can_be_read() {
        let o = decode(
            &kinds::POD,
            &json!({"metadata": {"uid": "u", "name": 5, "generation": "x", "annotations": [], "ownerReferences": {}, "managedFields": "no"}, "spec": "hello", "status": 3}),
        );
        assert_eq!((&*o.meta.uid, &*o.meta.name, o.meta.generation), ("u", "", 0));
        assert_eq!(o.value()["spec"], "hello");
        let o = decode(&kinds::POD, &json!({"metadata": {"uid": "u"}, "spec": {"containers": {"a": 1}, "initContainers": [7, null]}}));
        assert_eq!(o.value()["spec"], json!({"containers": {"a": 1}, "initContainers": [7, null]}));
    }

    #[test]
    fn what_cannot_be_known_by_a_uid_is_refused() {
        for (text, error) in [
            ("[]", Undecodable::NotAnObject),
            ("{}", Undecodable::NoUid("an object without a name".into())),
            (r#"{"metadata":{"name":"x","namespace":"n"}}"#, Undecodable::NoUid("n/x".into())),
            (r#"{"metadata":[]}"#, Undecodable::NoUid("an object without a name".into())),
        ] {
            assert_eq!(object(&kinds::POD, text.as_bytes()), Err(error), "{text}");
        }
        assert!(matches!(object(&kinds::POD, b"<html>"), Err(Undecodable::NotJson(_))));
        assert!(matches!(object(&kinds::POD, b"\xff"), Err(Undecodable::NotJson(_))));
    }

    #[test]
    fn lists_of_all_shapes() {
        let page = page(br#"{"metadata":{"resourceVersion":"9","continue":"more"},"items":[{"a":1},null,3]}"#).unwrap();
        assert_eq!((page.items.len(), &*page.resource_version, &*page.next), (3, "9", "more"));
        assert!(super::page(br#"{"metadata":{"resourceVersion":"9"},"items":null}"#).unwrap().items.is_empty());
        assert!(super::page(b"{\"metadata\":{},").is_err());
        assert!(super::page(b"[]").is_err());
    }

    #[test]
    fn only_the_right_bookmark_ends_the_beginning() {
        let raw = |text: &str| RawValue::from_string(text.into()).unwrap();
        assert!(ends_initial_events(&raw(r#"{"metadata":{"annotations":{"k8s.io/initial-events-end":"true"}}}"#)));
        assert!(!ends_initial_events(&raw(r#"{"metadata":{"annotations":{"k8s.io/initial-events-end":"false"}}}"#)));
        assert!(!ends_initial_events(&raw(r#"{"metadata":{"annotations":null}}"#)));
        assert_eq!(resource_version(&raw(r#"{"metadata":{"resourceVersion":"5"},"spec":3}"#)).as_deref(), Some("5"));
        assert_eq!(resource_version(&raw(r#"{"metadata":7}"#)), None);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z\"\\\\\u{1}é]{0,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            let key = prop_oneof![
                Just("metadata".to_owned()),
                Just("spec".to_owned()),
                Just("containers".to_owned()),
                Just("env".to_owned()),
                Just("managedFields".to_owned()),
                Just("annotations".to_owned()),
                Just("uid".to_owned()),
                "[a-z\"\\\\\u{1}é]{0,4}",
            ];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map(key, inner, 0..5).prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Whatever comes, the text kept is JSON, and outside of the ballast it is the same JSON.
        #[test]
        fn any_shape_stays_json(mut value in any_json()) {
            let wrapped = json!({"metadata": {"uid": "u", "extra": value.clone()}, "spec": value.clone(), "status": value.clone()});
            let kept = decode(&kinds::POD, &wrapped);
            let back: Value = serde_json::from_str(&kept.text()).unwrap();
            prop_assert_eq!(&back["status"], &wrapped["status"]);
            prop_assert_eq!(&back["metadata"]["extra"], &wrapped["metadata"]["extra"]);
            if value.is_object() {
                value["metadata"] = json!({"uid": "u"});
                decode(&kinds::REPLICA_SET, &value);
            } else {
                let _ = object(&kinds::POD, value.to_string().as_bytes());
            }
        }
    }
}
