//! Pod templates: what differs between two, and what may be shown of it.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde_json::Value;

use crate::{engine::Change, model::Text};

/// Labels that controllers add to tell their versions apart.
pub const HASH_LABELS: [&str; 3] = ["rollouts-pod-template-hash", "pod-template-hash", "controller-revision-hash"];

/// Images of its containers without their registries, for one line.
pub fn images(template: &Value) -> Vec<&str> {
    let containers = template.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    containers.filter_map(|c| c["image"].as_str()).map(|i| i.rsplit('/').next().unwrap_or(i)).collect()
}

/// A template without what controllers and old servers put into it.
pub fn original(mut template: Value) -> Value {
    if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("creationTimestamp");
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            HASH_LABELS.iter().for_each(|label| _ = labels.remove(*label));
        }
    }
    template
}

/// A short name that equal templates share, good for as long as this process lives.
pub fn fingerprint(template: &Value) -> Text {
    let mut hasher = DefaultHasher::new();
    template.to_string().hash(&mut hasher);
    format!("{:016x}", hasher.finish()).into()
}

/// Longest value on a diff line, characters.
const LONGEST: usize = 80;

/// Parts of names whose values nobody should read over a shoulder.
const SECRET_WORDS: [&str; 11] =
    ["pass", "secret", "token", "apikey", "api_key", "api-key", "credential", "private", "auth", "cert", "dsn"];

/// One line per path that differs, once both templates are known.
pub fn between(old: Option<Value>, new: Option<Value>) -> Vec<Change> {
    old.zip(new).map(|(old, new)| differences(&old, &new)).unwrap_or_default()
}

/// One line per path that differs.
pub fn differences(old: &Value, new: &Value) -> Vec<Change> {
    let (old, new) = (flat(old), flat(new));
    let mut paths: Vec<&String> = old.keys().chain(new.keys()).collect();
    paths.sort();
    paths.dedup();
    let defaulted = |p: &str| !new.contains_key(p) && old.get(p).is_some_and(|v| is_default(p, v));
    paths.into_iter().filter(|p| old.get(*p) != new.get(*p) && !defaulted(p)).map(|p| line(p, old.get(p), new.get(p))).collect()
}

/// What the API server fills in and nobody wrote.
const DEFAULTS: [(&str, &str); 12] = [
    ("imagePullPolicy", "IfNotPresent"),
    ("imagePullPolicy", "Always"),
    ("terminationMessagePath", "/dev/termination-log"),
    ("terminationMessagePolicy", "File"),
    ("protocol", "TCP"),
    ("dnsPolicy", "ClusterFirst"),
    ("restartPolicy", "Always"),
    ("schedulerName", "default-scheduler"),
    ("terminationGracePeriodSeconds", "30"),
    ("scheme", "HTTP"),
    ("successThreshold", "1"),
    ("defaultMode", "420"),
];

fn is_default(path: &str, value: &str) -> bool {
    let last = path.rsplit('.').next().unwrap_or(path);
    DEFAULTS.contains(&(last, value))
}

fn line(path: &str, old: Option<&String>, new: Option<&String>) -> Change {
    // One side that looks secret hides both: the other is its predecessor.
    let hide = [old, new].into_iter().flatten().any(|v| is_secret(path, v));
    let show = |value: Option<&String>| value.map_or_else(|| Text::from("—"), |v| if hide { "(hidden)".into() } else { shorten(v) });
    Change { field: shorten(path), from: show(old), to: show(new) }
}

fn shorten(text: &str) -> Text {
    if text.chars().count() <= LONGEST {
        return text.into();
    }
    let head: String = text.chars().take(LONGEST - 1).collect();
    format!("{head}…").into()
}

/// Names a secret, or carries one inside: `--password=…`, `scheme://user:password@host`.
fn is_secret(path: &str, value: &str) -> bool {
    let has_word = |text: &str| SECRET_WORDS.iter().any(|w| text.to_lowercase().contains(w));
    // A reference names its Secret without showing it.
    if path.contains(".valueFrom.") {
        return false;
    }
    let by_name = (path.contains(".env.") || path.contains("annotations.")) && has_word(path);
    let assigned = value.split_once('=').is_some_and(|(key, _)| has_word(key))
        || path.contains(".args") && value.starts_with('-') && has_word(value) && value.contains([' ', ':']);
    let in_url = value.split_once("://").is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|host| host.contains('@')));
    by_name || assigned || in_url
}

/// Leaves by path. Lists of named things go by name, so that an inserted one does not shift the rest.
fn flat(template: &Value) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for part in ["metadata", "spec"] {
        if let Some(value) = template.get(part) {
            walk(part.trim_start_matches("spec"), value, &mut out);
        }
    }
    out.retain(|path, _| !path.ends_with("creationTimestamp") && !HASH_LABELS.iter().any(|label| path.ends_with(label)));
    out
}

/// Deeper than any template is; arbitrary JSON must not exhaust the stack.
const DEEPEST: usize = 64;

fn walk(path: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    if path.split('.').count() > DEEPEST {
        return;
    }
    match value {
        Value::Object(map) => map.iter().for_each(|(key, v)| walk(&join(key), v, out)),
        Value::Array(list) if list.iter().any(|v| v.is_object() || v.is_array()) => {
            for (i, v) in list.iter().enumerate() {
                walk(&join(&item_key(v, i)), v, out);
            }
        }
        Value::Array(list) => list_lines(path, list, out),
        Value::Null => {}
        Value::String(text) => _ = out.insert(path.to_owned(), text.clone()),
        other => _ = out.insert(path.to_owned(), other.to_string()),
    }
}

/// Arguments one a line: a secret in one must not hide the change in another.
fn list_lines(path: &str, list: &[Value], out: &mut BTreeMap<String, String>) {
    for (i, v) in list.iter().enumerate() {
        let text = v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        let before = i.checked_sub(1).and_then(|j| list.get(j)).and_then(Value::as_str).unwrap_or("");
        // `--password` `hunter2`: the value stands in the next argument.
        let follows_secret = before.starts_with('-') && !before.contains('=') && is_secret(".env.", &format!("{before}="));
        let text = if follows_secret { "(hidden)".into() } else { text };
        out.insert(format!("{path}.{i}"), text);
    }
}

fn item_key(value: &Value, index: usize) -> String {
    let named = ["name", "containerPort", "mountPath", "key"].iter().find_map(|k| value.get(k));
    match named {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Number(n)) => n.to_string(),
        _ => index.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_never_show() {
        let old = json!({"spec": {"containers": [{"name": "app", "image": "a:1", "args": ["--verbose", "--db-password", "one"],
            "env": [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "URL", "value": "pg://u:hunter2@db/x"}, {"name": "MODE", "value": "slow"}]}]}});
        let new = json!({"spec": {"containers": [{"name": "app", "image": "a:2", "args": ["--verbose", "--db-password", "hunter2", "--token=hunter2"],
            "env": [{"name": "DB_PASSWORD", "value": "hunter3"}, {"name": "URL", "value": "pg://u:hunter3@db/x"}, {"name": "MODE", "value": "fast"}]}]}});
        let lines: Vec<String> = differences(&old, &new).iter().map(|c| format!("{} {} {}", c.field, c.from, c.to)).collect();
        assert!(lines.iter().all(|l| !l.contains("hunter") && !l.contains("one")), "{lines:#?}");
        assert!(lines.contains(&"containers.app.image a:1 a:2".to_owned()), "{lines:#?}");
        assert!(lines.contains(&"containers.app.env.MODE.value slow fast".to_owned()), "{lines:#?}");
        assert!(lines.contains(&"containers.app.env.DB_PASSWORD.value (hidden) (hidden)".to_owned()), "{lines:#?}");
    }
}
