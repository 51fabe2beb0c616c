//! Pod templates: which one to go back to, what the controller put into it, and what differs between two.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::facts::{EPHEMERAL_METADATA, Facts, HASH_LABEL, Set};
use crate::{
    engine::{Change, Refusal},
    intent::Verb,
    model::Text,
};

/// The template of a ReplicaSet as its author wrote it: without the hash label and without ephemeral metadata.
/// Left in, they would change the hash: a brand-new ReplicaSet and all steps again, for the same image.
pub fn original(set: &Set<'_>) -> Option<Value> {
    let mut template = set.object.value().pointer("/spec/template")?.clone();
    let injected: Value = serde_json::from_str(set.dto.metadata.annotation(EPHEMERAL_METADATA)).unwrap_or(Value::Null);
    let metadata = template.get_mut("metadata").and_then(Value::as_object_mut);
    if let Some(metadata) = metadata {
        strip(metadata, "labels", &injected, Some(HASH_LABEL));
        strip(metadata, "annotations", &injected, None);
    }
    Some(template)
}

fn strip(metadata: &mut Map<String, Value>, field: &str, injected: &Value, also: Option<&str>) {
    let Some(map) = metadata.get_mut(field).and_then(Value::as_object_mut) else { return };
    let keys = injected.get(field).and_then(Value::as_object);
    // A value that differs from what was injected is somebody's own.
    map.retain(|key, value| Some(key.as_str()) != also && keys.and_then(|k| k.get(key)) != Some(&*value));
    if map.is_empty() {
        metadata.remove(field);
    }
}

/// The ReplicaSet to go back to: by hash; else the stable one, or with nothing in flight the revision before.
/// Not "the previous revision": after two bad ones that would deploy the first of them again.
///
/// # Errors
/// When it is not at hand, or already wanted.
pub fn undo_target<'a, 'b>(f: &'b Facts<'a>, to: Option<&str>) -> Result<&'b Set<'a>, Refusal> {
    if f.sets.is_empty() {
        return Err(Refusal::because("the earlier versions of this rollout are not loaded yet").instead("open the rollout first", None));
    }
    let target = match to {
        Some(hash) => f.set(hash).ok_or_else(|| gone(hash))?,
        None if f.in_flight() => f.set(f.stable()).ok_or_else(|| gone(f.stable()))?,
        None => {
            f.sets.iter().find(|s| s.hash != f.current()).ok_or_else(|| Refusal::because("there is no earlier version to go back to"))?
        }
    };
    if target.hash == f.current() {
        let better = f.ro.status.abort.then_some(Verb::Retry);
        return Err(Refusal::because(format!("revision {} is the wanted version already", target.revision))
            .instead("choose another revision", better));
    }
    Ok(target)
}

/// What an undo can go back to: every version kept besides the wanted one, the stable one first, then the newest.
pub fn revisions(f: &Facts<'_>) -> Vec<(Text, Text)> {
    let mut sets: Vec<&Set<'_>> = f.sets.iter().filter(|s| s.hash != f.current()).collect();
    sets.sort_by_key(|s| s.hash != f.stable());
    sets.into_iter().map(|s| (called(f, s), Text::from(&s.hash))).collect()
}

fn called(f: &Facts<'_>, set: &Set<'_>) -> Text {
    let role = if set.hash == f.stable() { "stable" } else { "old" };
    let template = original(set).unwrap_or_default();
    let images = template.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    let images: Vec<&str> = images.filter_map(|c| c["image"].as_str()).map(|i| i.rsplit('/').next().unwrap_or(i)).collect();
    format!("revision {} · {role} · {} · {}", set.revision, images.join(", "), set.hash).into()
}

fn gone(hash: &str) -> Refusal {
    Refusal::because(format!("the ReplicaSet with hash {hash} is gone"))
        .instead("choose another revision, or set an image", Some(Verb::SetImage))
}

// ── differences ─────────────────────────────────────────────────────────────────────────────────

/// Longest value on a diff line, characters.
const LONGEST: usize = 80;

/// Parts of names whose values nobody should read over a shoulder.
const SECRET_WORDS: [&str; 11] =
    ["pass", "secret", "token", "apikey", "api_key", "api-key", "credential", "private", "auth", "cert", "dsn"];

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
    out.retain(|path, _| !path.ends_with("creationTimestamp") && !path.ends_with(HASH_LABEL));
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
