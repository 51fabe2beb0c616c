//! Pod templates: which one to go back to, and what the controller put into it.

use serde_json::{Map, Value};

use super::facts::{EPHEMERAL_METADATA, Facts, HASH_LABEL, Set};
use crate::{
    engine::{Refusal, workload::template::images},
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
    format!("revision {} · {role} · {} · {}", set.revision, images(&template).join(", "), set.hash).into()
}

fn gone(hash: &str) -> Refusal {
    Refusal::because(format!("the ReplicaSet with hash {hash} is gone"))
        .instead("choose another revision, or set an image", Some(Verb::SetImage))
}
