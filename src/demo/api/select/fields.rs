//! `status.phase=Running,metadata.name!=x`: the few fields of each kind that lists can be narrowed by.

use serde_json::Value;

use crate::demo::{kinds::Kind, store::Stored};

/// One condition upon a field.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    place: Place,
    /// Whether the value must be this one or must not.
    equal: bool,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Name,
    Namespace,
    /// JSON pointers, the first that is there counts; and what it is when none is.
    Pointer(&'static [&'static str], &'static str),
}

/// Beside name and namespace, which every kind has.
type Row = (&'static str, Place);

const fn at(pointer: &'static [&'static str]) -> Place {
    Place::Pointer(pointer, "")
}

const POD: &[Row] = &[
    ("spec.nodeName", at(&["/spec/nodeName"])),
    ("spec.host", at(&["/spec/nodeName"])),
    ("spec.restartPolicy", at(&["/spec/restartPolicy"])),
    ("spec.schedulerName", at(&["/spec/schedulerName"])),
    ("spec.serviceAccountName", at(&["/spec/serviceAccountName"])),
    ("spec.hostNetwork", Place::Pointer(&["/spec/hostNetwork"], "false")),
    ("status.phase", at(&["/status/phase"])),
    ("status.podIP", at(&["/status/podIP"])),
    ("status.podIPs", at(&["/status/podIP"])),
    ("status.nominatedNodeName", at(&["/status/nominatedNodeName"])),
];
const NODE: &[Row] = &[("spec.unschedulable", Place::Pointer(&["/spec/unschedulable"], "false"))];
const NAMESPACE: &[Row] = &[("status.phase", at(&["/status/phase"]))];
const SECRET: &[Row] = &[("type", at(&["/type"]))];
const SERVICE: &[Row] = &[("spec.clusterIP", at(&["/spec/clusterIP"])), ("spec.type", at(&["/spec/type"]))];
const CONTROLLER: &[Row] = &[("status.replicas", Place::Pointer(&["/status/replicas"], "0"))];
const JOB: &[Row] = &[("status.successful", Place::Pointer(&["/status/succeeded"], "0"))];
const EVENT: &[Row] = &[
    ("involvedObject.kind", at(&["/involvedObject/kind"])),
    ("involvedObject.namespace", at(&["/involvedObject/namespace"])),
    ("involvedObject.name", at(&["/involvedObject/name"])),
    ("involvedObject.uid", at(&["/involvedObject/uid"])),
    ("involvedObject.apiVersion", at(&["/involvedObject/apiVersion"])),
    ("involvedObject.resourceVersion", at(&["/involvedObject/resourceVersion"])),
    ("involvedObject.fieldPath", at(&["/involvedObject/fieldPath"])),
    ("reason", at(&["/reason"])),
    ("reportingComponent", at(&["/reportingComponent"])),
    ("source", at(&["/source/component", "/reportingComponent"])),
    ("type", at(&["/type"])),
];
/// The same events under the names of their own group.
const NEW_EVENT: &[Row] = &[
    ("regarding.kind", at(&["/involvedObject/kind"])),
    ("regarding.namespace", at(&["/involvedObject/namespace"])),
    ("regarding.name", at(&["/involvedObject/name"])),
    ("regarding.uid", at(&["/involvedObject/uid"])),
    ("regarding.apiVersion", at(&["/involvedObject/apiVersion"])),
    ("regarding.resourceVersion", at(&["/involvedObject/resourceVersion"])),
    ("regarding.fieldPath", at(&["/involvedObject/fieldPath"])),
    ("reason", at(&["/reason"])),
    ("reportingController", at(&["/reportingComponent"])),
    ("type", at(&["/type"])),
];

fn rows(kind: &str) -> &'static [Row] {
    match kind {
        "pods" => POD,
        "nodes" => NODE,
        "namespaces" => NAMESPACE,
        "secrets" => SECRET,
        "services" => SERVICE,
        "replicationcontrollers" => CONTROLLER,
        "jobs.batch" => JOB,
        "events" => EVENT,
        "events.events.k8s.io" => NEW_EVENT,
        _ => &[],
    }
}

/// Built-in kinds without fields of their own name what there is.
fn unsupported(kind: &Kind, label: &str) -> String {
    let id = kind.id();
    if id == "jobs.batch" {
        return format!("field label \"{label}\" not supported for Job");
    }
    if rows(&id).is_empty() && kind.custom.is_none() {
        return format!("\"{label}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"");
    }
    format!("field label not supported: {label}")
}

/// Reads a selector for a kind. The error is what the real server says.
pub fn parse(kind: &Kind, text: &str) -> Result<Vec<Field>, String> {
    terms(text).into_iter().filter(|term| !term.is_empty()).map(|term| field(kind, text, term)).collect()
}

fn field(kind: &Kind, whole: &str, term: &str) -> Result<Field, String> {
    let (label, operator, value) = split(term).ok_or_else(|| format!("invalid selector: '{whole}'; can't understand '{term}'"))?;
    let place = match label {
        "metadata.name" => Place::Name,
        "metadata.namespace" => Place::Namespace,
        _ => rows(&kind.id()).iter().find(|(name, _)| *name == label).map(|(_, place)| *place).ok_or_else(|| unsupported(kind, label))?,
    };
    Ok(Field { place, equal: operator != "!=", value: unescape(value)? })
}

/// At the first operator of the term.
fn split(term: &str) -> Option<(&str, &str, &str)> {
    term.char_indices().find_map(|(at, _)| {
        let operator = ["!=", "==", "="].into_iter().find(|operator| term[at..].starts_with(operator))?;
        Some((&term[..at], operator, &term[at + operator.len()..]))
    })
}

/// Splits at commas that no backslash escapes.
fn terms(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        if c == ',' && !escaped {
            terms.push(&text[start..at]);
            start = at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    terms.push(&text[start..]);
    terms
}

fn unescape(value: &str) -> Result<String, String> {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => text.push(c),
                other => {
                    let sequence = format!("\\{}", other.map(String::from).unwrap_or_default());
                    return Err(format!("invalid field selector: invalid escape sequence: {sequence}"));
                }
            },
            '=' => return Err(format!("invalid field selector: unescaped character in value: {}", u32::from(c))),
            c => text.push(c),
        }
    }
    Ok(text)
}

/// Whether an object fulfils all of them. The object is taken apart only for those its key does not answer.
pub fn all(fields: &[Field], object: &Stored) -> bool {
    let (keyed, others): (Vec<&Field>, Vec<&Field>) = fields.iter().partition(|field| !matches!(field.place, Place::Pointer(..)));
    if !keyed.into_iter().all(|field| field.accepts(if field.place == Place::Name { &object.key.name } else { &object.key.namespace })) {
        return false;
    }
    if others.is_empty() {
        return true;
    }
    let value = object.value();
    others.into_iter().all(|field| field.accepts(&field.read(&value)))
}

impl Field {
    pub fn name(name: &str) -> Self {
        Self { place: Place::Name, equal: true, value: name.into() }
    }

    fn accepts(&self, value: &str) -> bool {
        (self.value == value) == self.equal
    }

    fn read(&self, object: &Value) -> String {
        let Place::Pointer(pointers, missing) = self.place else { return String::new() };
        let found = pointers.iter().filter_map(|pointer| object.pointer(pointer)).find(|value| !value.is_null() && **value != "");
        match found {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => missing.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::demo::{
        kinds::{self, Custom},
        store::{Key, Store},
    };

    fn kind(id: &str) -> Kind {
        let custom = Custom { schema: Value::Null.into(), columns: Value::Null.into() };
        let rollouts = Kind { group: "argoproj.io".into(), plural: "rollouts".into(), custom: Some(custom), ..Kind::default() };
        kinds::built_in().into_iter().chain([rollouts]).find(|kind| kind.id() == id).unwrap()
    }

    fn matches(id: &str, selector: &str, object: Value) -> bool {
        let mut store = Store::new(kinds::built_in());
        let stored = store.put(Key::new(id, "shop", "x"), object).unwrap();
        all(&parse(&kind(id), selector).unwrap(), &stored)
    }

    #[test]
    fn values_of_all_types_and_their_absence() {
        let pod = || json!({"metadata": {}, "spec": {"nodeName": "n1"}, "status": {"phase": "Running"}});
        for yes in ["", "metadata.name=x", "spec.nodeName=n1,status.phase!=Failed", "status.podIP=", "spec.hostNetwork=false"] {
            assert!(matches("pods", yes, pod()), "{yes}");
        }
        for no in ["metadata.name=y", "metadata.namespace!=shop", "spec.nodeName==n2", "spec.hostNetwork=true"] {
            assert!(!matches("pods", no, pod()), "{no}");
        }
        assert!(matches("replicationcontrollers", "status.replicas=0", json!({"metadata": {}})));
        assert!(matches("replicationcontrollers", "status.replicas=3", json!({"metadata": {}, "status": {"replicas": 3}})));
        let event = json!({"metadata": {}, "reportingComponent": "kubelet", "reason": "a,b=c"});
        assert!(matches("events", r"source=kubelet,reason=a\,b\=c", event));
    }

    /// The answers of a kube-apiserver 1.35.4.
    #[test]
    fn complaints_are_the_real_ones() {
        let only = "is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
        for (id, selector, complaint) in [
            ("pods", "spec.foo=x", "field label not supported: spec.foo".into()),
            ("pods", "foo", "invalid selector: 'foo'; can't understand 'foo'".into()),
            ("rollouts.argoproj.io", "spec.foo=x", "field label not supported: spec.foo".into()),
            ("replicasets.apps", "status.foo=x", format!("\"status.foo\" {only}")),
            ("configmaps", "a=b", format!("\"a\" {only}")),
            ("leases.coordination.k8s.io", "a=b", format!("\"a\" {only}")),
            ("nodes", "a=b", "field label not supported: a".into()),
            ("pods", "metadata.name=a=b", "invalid field selector: unescaped character in value: 61".into()),
            ("pods", r"metadata.name=a\x", r"invalid field selector: invalid escape sequence: \x".into()),
            ("jobs.batch", "a=b", "field label \"a\" not supported for Job".into()),
        ] {
            assert_eq!(parse(&kind(id), selector), Err(complaint));
        }
    }
}
