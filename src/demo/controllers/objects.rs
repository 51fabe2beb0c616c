//! Readings of objects that several controllers share.

use std::time::Duration;

use chrono::DateTime;
use serde_json::{Map, Value};

use crate::demo::{
    registry,
    store::{Key, Store, Stored},
};
use crate::model::Time;

/// Labels, wherever they are kept.
pub trait Labels {
    fn label(&self, name: &str) -> Option<&str>;
}

impl Labels for Stored {
    fn label(&self, name: &str) -> Option<&str> {
        Stored::label(self, name)
    }
}

/// `metadata.labels` of a tree, or any other map of texts.
impl Labels for Value {
    fn label(&self, name: &str) -> Option<&str> {
        self[name].as_str()
    }
}

/// Whether a LabelSelector picks these labels. One without any requirement picks nothing, as controllers take it.
pub fn selects(selector: &Value, labels: &impl Labels) -> bool {
    let exact = selector["matchLabels"].as_object();
    let expressions = selector["matchExpressions"].as_array();
    let some = exact.is_some_and(|exact| !exact.is_empty()) || expressions.is_some_and(|expressions| !expressions.is_empty());
    some && exact.is_none_or(|exact| all_equal(exact, labels))
        && expressions.into_iter().flatten().all(|expression| meets(expression, labels))
}

/// Whether the labels have all of these; none is trivially true.
pub fn all_equal(wanted: &Map<String, Value>, labels: &impl Labels) -> bool {
    wanted.iter().all(|(name, value)| labels.label(name).is_some_and(|label| *value == *label))
}

fn meets(expression: &Value, labels: &impl Labels) -> bool {
    let label = expression["key"].as_str().and_then(|key| labels.label(key));
    let listed = || label.is_some_and(|label| expression["values"].as_array().into_iter().flatten().any(|value| *value == *label));
    match expression["operator"].as_str() {
        Some("In") => listed(),
        Some("NotIn") => !listed(),
        Some("Exists") => label.is_some(),
        Some("DoesNotExist") => label.is_none(),
        _ => false,
    }
}

/// An `IntOrString` of a whole: `3` is three, `"25%"` a share of `total`, rounded up or down.
pub fn scaled(value: &Value, total: i64, up: bool) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    let percent: i64 = value.as_str()?.strip_suffix('%')?.parse().ok()?;
    let parts = percent * total;
    Some(if up { (parts + 99).div_euclid(100) } else { parts.div_euclid(100) })
}

/// A time as objects have it.
pub fn time(value: &Value) -> Option<Time> {
    parse_time(value.as_str()?)
}

pub fn parse_time(text: &str) -> Option<Time> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

/// From `from` to `to`; nothing if that has passed.
pub fn between(from: Time, to: Time) -> Duration {
    (to - from).to_std().unwrap_or_default()
}

/// The entry of `status.conditions` (or another list of conditions) with this type.
pub fn condition<'a>(conditions: &'a Value, kind: &str) -> Option<&'a Value> {
    conditions.as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// The reference to the owner that controls this object.
pub fn controller_of(object: &Value) -> Option<&Value> {
    object["metadata"]["ownerReferences"].as_array()?.iter().find(|owner| owner["controller"] == true)
}

/// Where the owner that controls `object` would be, told by the names that controllers give: the owner's name, a dash
/// and something short. Saves parsing the object for each of its changes.
pub fn owner_by_name(store: &Store, object: &Stored, kind: &str) -> Option<Key> {
    let owner = object.owner.as_deref()?;
    let is_it = |key: &Key| store.get(key).is_some_and(|found| *found.uid == *owner);
    let base = object.key.name.rsplit_once('-').map_or("", |(base, _)| base);
    let key = Key { kind: kind.into(), namespace: object.key.namespace.clone(), name: base.into() };
    if is_it(&key) {
        return Some(key);
    }
    // Shortened or foreign names.
    let object = object.value();
    let reference = controller_of(&object)?;
    let key = Key { name: reference["name"].as_str()?.into(), ..key };
    is_it(&key).then_some(key)
}

/// The key of an object in hand. `kind` is [`Kind::id`](crate::demo::kinds::Kind::id).
pub fn key_of(kind: &str, object: &Value) -> Key {
    let metadata = &object["metadata"];
    Key::new(kind, metadata["namespace"].as_str().unwrap_or_default(), metadata["name"].as_str().unwrap_or_default())
}

/// Everything in a namespace.
pub fn all_keys(store: &Store, namespace: &str) -> Vec<Key> {
    let kinds = store.kinds().filter(|kind| kind.namespaced);
    kinds.flat_map(|kind| store.list(&kind.id(), Some(namespace))).map(|object| object.key.clone()).collect()
}

/// FNV-1a with 64 bits.
pub fn hash(parts: &[&str]) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    parts.iter().fold(0xcbf2_9ce4_8422_2325, |hash, part| mix(part.bytes().fold(hash, mix), 0xff))
}

/// Whether two values say the same. Nothing, null and empty are one, as for Kubernetes' own comparison.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(one), Value::Object(other)) => {
            one.iter().all(|(name, value)| same(value, other.get(name).unwrap_or(&Value::Null)))
                && other.iter().all(|(name, value)| one.contains_key(name) || is_nothing(value))
        }
        (Value::Array(one), Value::Array(other)) => one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b)),
        _ => a == b || (is_nothing(a) && is_nothing(b)),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_nothing),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// The `pod-template-hash` of a template: the same for the same template, and in the alphabet of the real ones. Their
/// value cannot be had: it is the hash of how Go prints its structures.
pub fn pod_template_hash(template: &Value) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    // Maps of serde_json are sorted by key, so equal templates make equal texts.
    let hash = template.to_string().bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.to_string().bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()])).collect()
}

/// Sets a condition as controllers of Deployments and the like do: nothing happens while status and reason stay, and
/// `lastTransitionTime` stays while the status stays. Returns whether something changed.
pub fn set_condition(conditions: &mut Value, mut new: Value, now: Time) -> bool {
    let stamp: Value = registry::stamp(now).into();
    new["lastTransitionTime"] = stamp.clone();
    new["lastUpdateTime"] = stamp;
    put_condition(conditions, new)
}

fn put_condition(conditions: &mut Value, mut new: Value) -> bool {
    if !conditions.is_array() {
        *conditions = Value::Array(Vec::new());
    }
    let Some(list) = conditions.as_array_mut() else { return false };
    if let Some(at) = list.iter().position(|old| old["type"] == new["type"]) {
        if list[at]["status"] == new["status"] && list[at]["reason"] == new["reason"] {
            return false;
        }
        let old = list.remove(at);
        if old["status"] == new["status"] {
            new["lastTransitionTime"] = old["lastTransitionTime"].clone();
        }
    }
    list.push(new);
    true
}

/// Takes a condition away.
pub fn remove_condition(conditions: &mut Value, kind: &str) {
    if let Some(list) = conditions.as_array_mut() {
        list.retain(|condition| condition["type"] != kind);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_pick_as_the_real_ones_do() {
        let labels = json!({"app": "a", "tier": "web"});
        let yes = [
            json!({"matchLabels": {"app": "a"}}),
            json!({"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["web", "x"]}]}),
            json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}),
            json!({"matchExpressions": [{"key": "no", "operator": "DoesNotExist"}]}),
            json!({"matchExpressions": [{"key": "no", "operator": "NotIn", "values": ["web"]}]}),
        ];
        let no = [
            json!({}),
            json!({"matchLabels": {}}),
            json!({"matchLabels": {"app": "b"}}),
            json!({"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["web"]}]}),
            json!({"matchExpressions": [{"key": "no", "operator": "In", "values": ["web"]}]}),
            json!({"matchExpressions": [{"key": "tier", "operator": "Gt", "values": ["1"]}]}),
        ];
        assert!(yes.iter().all(|selector| selects(selector, &labels)));
        assert!(!no.iter().any(|selector| selects(selector, &labels)));
    }

    #[test]
    fn nothing_null_and_empty_are_the_same() {
        let (a, b) = (json!({"a": [{"x": 1}], "b": null, "c": {"d": {}}}), json!({"a": [{"x": 1, "y": []}]}));
        assert!(same(&a, &b) && same(&b, &a));
        assert!(!same(&a, &json!({"a": [{"x": 2}]})) && !same(&a, &json!({})) && !same(&json!({}), &json!({"n": 0})));
    }

    #[test]
    fn shares_round_as_asked() {
        assert_eq!(scaled(&json!("25%"), 10, true), Some(3));
        assert_eq!(scaled(&json!("25%"), 10, false), Some(2));
        assert_eq!(scaled(&json!(4), 10, false), Some(4));
        assert_eq!(scaled(&json!("four"), 10, false), None);
    }

    #[test]
    fn the_template_hash_has_its_alphabet_and_tells_templates_apart() {
        let (one, two) = (pod_template_hash(&json!({"a": 1})), pod_template_hash(&json!({"a": 2})));
        assert_ne!(one, two);
        assert_eq!(one, pod_template_hash(&json!({"a": 1})));
        assert!(one.chars().all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c)));
    }

    #[test]
    fn a_condition_keeps_its_transition_time_while_its_status_stays() {
        let at = |second: i64| DateTime::from_timestamp(second, 0).unwrap();
        let mut conditions = Value::Null;
        assert!(set_condition(&mut conditions, json!({"type": "P", "status": "True", "reason": "A"}), at(1)));
        assert!(!set_condition(&mut conditions, json!({"type": "P", "status": "True", "reason": "A"}), at(2)));
        assert!(set_condition(&mut conditions, json!({"type": "P", "status": "True", "reason": "B"}), at(3)));
        let found = condition(&conditions, "P").unwrap();
        assert_eq!((time(&found["lastTransitionTime"]), time(&found["lastUpdateTime"])), (Some(at(1)), Some(at(3))));
    }
}
