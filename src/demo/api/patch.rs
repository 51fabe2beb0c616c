//! What the kinds of patches make of an object.

use serde_json::{Map, Value};

use crate::demo::{
    refusal::Refusal,
    registry::types::{self, Field, Shape, Type},
};

/// More operations than this are refused.
const MOST_OPERATIONS: usize = 10_000;

/// A patch that is no JSON, or not of the shape it should have; 400.
fn undecodable(why: impl std::fmt::Display) -> Refusal {
    Refusal::bad_request(format!("error decoding patch: {why}"))
}

/// In the words of Go, as far as people meet them.
pub fn json_error(body: &[u8], error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".into();
    }
    let at = body.split(|byte| *byte == b'\n').take(error.line().saturating_sub(1)).map(|line| line.len() + 1).sum::<usize>();
    match body.get((at + error.column()).saturating_sub(1)) {
        Some(byte) => format!("invalid character {:?} looking for beginning of value", char::from(*byte)),
        None => "unexpected end of JSON input".into(),
    }
}

fn decode(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|error| undecodable(json_error(body, &error)))
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn decode_object(body: &[u8]) -> Result<Value, Refusal> {
    match decode(body)? {
        Value::Null => Ok(Map::new().into()),
        patch @ Value::Object(_) => Ok(patch),
        other => Err(undecodable(format!("json: cannot unmarshal {} into Go value of type map[string]interface {{}}", go_kind(&other)))),
    }
}

/// `application/json-patch+json`, all or nothing. That it does not fit is a 422 without a word of why; a `test` for null
/// passes where nothing is, as long as there is something around it.
pub fn json(object: &Value, body: &[u8]) -> Result<Value, Refusal> {
    let operations = match decode(body)? {
        Value::Array(operations) => operations,
        other => {
            return Err(undecodable(format!("json: cannot unmarshal {} into Go value of type []handlers.jsonPatchOp", go_kind(&other))));
        }
    };
    if operations.len() > MOST_OPERATIONS {
        let message = format!("The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {}", operations.len());
        return Err(Refusal::new(413, "RequestEntityTooLarge", message));
    }
    let mut patched = object.clone();
    operations.iter().try_for_each(|operation| operate(&mut patched, operation)).ok_or_else(Refusal::unprocessable)?;
    Ok(patched)
}

fn operate(object: &mut Value, operation: &Value) -> Option<()> {
    let path = operation["path"].as_str()?;
    let value = || operation.get("value").cloned().unwrap_or_default();
    match operation["op"].as_str()? {
        "add" => add(object, path, value()),
        "remove" => remove(object, path).map(drop),
        "replace" => replace(object, path, value()),
        "test" => (found(object, path)?.unwrap_or(&Value::Null) == &value()).then_some(()),
        "copy" => {
            let copied = found(object, operation["from"].as_str()?)??.clone();
            add(object, path, copied)
        }
        "move" => {
            let moved = remove(object, operation["from"].as_str()?)?;
            add(object, path, moved)
        }
        _ => None,
    }
}

/// The parent a path leads to, and the last step.
fn parent<'a>(object: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let (above, last) = path.rsplit_once('/')?;
    let parent = if above.is_empty() { object } else { above.strip_prefix('/')?.split('/').try_fold(object, step)? };
    Some((parent, unescaped(last)))
}

fn step<'a>(value: &'a mut Value, step: &str) -> Option<&'a mut Value> {
    match value {
        Value::Object(fields) => fields.get_mut(&unescaped(step)),
        Value::Array(items) => index(step, items.len()).and_then(|index| items.get_mut(index)),
        _ => None,
    }
}

fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// Negative ones count from the end.
fn index(text: &str, length: usize) -> Option<usize> {
    let index: i64 = text.parse().ok()?;
    usize::try_from(if index < 0 { index + i64::try_from(length).ok()? } else { index }).ok()
}

/// `None`: the path leads nowhere. `Some(None)`: there could be something but is not.
fn found<'a>(object: &'a Value, path: &str) -> Option<Option<&'a Value>> {
    if path.is_empty() {
        return Some(Some(object));
    }
    let (above, last) = path.rsplit_once('/')?;
    match (object.pointer(above)?, unescaped(last)) {
        (Value::Object(fields), key) => Some(fields.get(&key)),
        (Value::Array(items), at) => Some(Some(items.get(index(&at, items.len())?)?)),
        _ => None,
    }
}

fn add(object: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *object = value;
        return Some(());
    }
    match parent(object, path)? {
        (Value::Object(fields), key) => drop(fields.insert(key, value)),
        (Value::Array(items), at) if at == "-" => items.push(value),
        (Value::Array(items), at) => {
            let at = index(&at, items.len() + 1).filter(|at| *at <= items.len())?;
            items.insert(at, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(object: &mut Value, path: &str) -> Option<Value> {
    match parent(object, path)? {
        (Value::Object(fields), key) => fields.remove(&key),
        (Value::Array(items), at) => {
            let at = index(&at, items.len()).filter(|at| *at < items.len())?;
            Some(items.remove(at))
        }
        _ => None,
    }
}

fn replace(object: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *object = value;
        return Some(());
    }
    match parent(object, path)? {
        // The real server does not ask whether there was a member to replace.
        (Value::Object(fields), key) => drop(fields.insert(key, value)),
        (Value::Array(items), at) => {
            let at = index(&at, items.len())?;
            *items.get_mut(at)? = value;
        }
        _ => return None,
    }
    Some(())
}

/// `application/merge-patch+json`.
pub fn merge(object: &Value, body: &[u8]) -> Result<Value, Refusal> {
    let patch = decode_object(body)?;
    let mut patched = object.clone();
    json_patch::merge(&mut patched, &patch);
    Ok(patched)
}

/// `application/strategic-merge-patch+json`: lists are merged as the types say.
pub fn strategic(known: Option<&'static Type>, object: &Value, body: &[u8]) -> Result<Value, Refusal> {
    let patch = decode_object(body)?;
    let mut patched = object.clone();
    let fields = patched.as_object_mut().ok_or_else(Refusal::unprocessable)?;
    merge_object(known, fields, patch.as_object().unwrap_or(&Map::new())).map_err(|why| Refusal::new(500, "", why))?;
    Ok(patched)
}

/// A patch as the real server shows it in messages.
pub fn go_text(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key}:{}", go_text(value))).collect();
            format!("map[{}]", fields.join(" "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".into(),
        other => other.to_string(),
    }
}

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";

type Merged = Result<(), String>;

fn directive(patch: &Map<String, Value>) -> Result<Option<&str>, String> {
    match patch.get(DIRECTIVE).map(|directive| directive.as_str().unwrap_or_default()) {
        None | Some("merge") => Ok(None),
        Some(known @ ("replace" | "delete")) => Ok(Some(known)),
        Some(other) => Err(format!("unknown patch type: {other} in map: {}", go_text(&patch.clone().into()))),
    }
}

fn merge_object(known: Option<&'static Type>, object: &mut Map<String, Value>, patch: &Map<String, Value>) -> Merged {
    match directive(patch)? {
        Some("delete") => {
            object.clear();
            return Ok(());
        }
        Some(_) => {
            *object = plain(patch);
            return Ok(());
        }
        None => (),
    }
    if let Some(retained) = patch.get(RETAIN).and_then(Value::as_array) {
        object.retain(|key, _| retained.iter().any(|name| name == key));
    }
    for (key, value) in patch {
        if let Some(list) = key.strip_prefix(DELETE) {
            delete_values(object, list, value);
        } else if let Some(list) = key.strip_prefix(ORDER) {
            // Without changes in the list itself there is only its order to see to.
            if !patch.contains_key(list) {
                merge_field(field(known, list), object, list, &Value::Array(Vec::new()), value.as_array())?;
            }
        } else if !key.starts_with('$') {
            let order = patch.get(&format!("{ORDER}{key}")).and_then(Value::as_array);
            merge_field(field(known, key), object, key, value, order)?;
        }
    }
    Ok(())
}

fn field(known: Option<&'static Type>, key: &str) -> Option<&'static Field> {
    known.and_then(|known| known.field(key))
}

/// The type of what a field holds, or of the elements of its list or map.
fn type_within(shape: &'static Shape) -> Option<&'static Type> {
    match shape {
        Shape::Object(name) => types::named(name),
        Shape::List(inner, _) | Shape::Map(inner) => type_within(inner),
        _ => None,
    }
}

fn merge_field(
    field: Option<&'static Field>,
    object: &mut Map<String, Value>,
    key: &str,
    patch: &Value,
    order: Option<&Vec<Value>>,
) -> Merged {
    if patch.is_null() {
        object.remove(key);
        return Ok(());
    }
    let known = field.and_then(|field| type_within(&field.shape));
    match (object.get_mut(key), patch) {
        (Some(Value::Object(old)), Value::Object(new)) => merge_object(known, old, new),
        (Some(Value::Array(old)), Value::Array(new)) => match field.and_then(|field| field.merge_key) {
            Some("") => {
                merge_values(old, new, order);
                Ok(())
            }
            Some(merge_key) => merge_list(known, merge_key, old, new, order),
            None => {
                *old = new.clone();
                Ok(())
            }
        },
        (None, Value::Array(new)) if order.is_some() && new.is_empty() => Ok(()),
        (_, new) => {
            object.insert(key.into(), undirected(new));
            Ok(())
        }
    }
}

/// What a patch says where there was nothing: without directives and nulls.
fn undirected(patch: &Value) -> Value {
    match patch {
        Value::Object(fields) if fields.get(DIRECTIVE).is_some_and(|directive| directive == "delete") => Map::new().into(),
        Value::Object(fields) => plain(fields).into(),
        Value::Array(items) => {
            let items = items.iter().filter(|item| item[DIRECTIVE] != "delete" && !is_only_directive(item));
            items.map(undirected).collect()
        }
        other => other.clone(),
    }
}

fn plain(fields: &Map<String, Value>) -> Map<String, Value> {
    let fields = fields.iter().filter(|(key, value)| !key.starts_with('$') && !value.is_null());
    fields.map(|(key, value)| (key.clone(), undirected(value))).collect()
}

fn is_only_directive(item: &Value) -> bool {
    item.as_object().is_some_and(|fields| fields.len() == 1 && fields.contains_key(DIRECTIVE))
}

fn delete_values(object: &mut Map<String, Value>, list: &str, gone: &Value) {
    let gone = gone.as_array().cloned().unwrap_or_default();
    if let Some(Value::Array(items)) = object.get_mut(list) {
        items.retain(|item| !gone.contains(item));
    }
}

fn merge_values(old: &mut Vec<Value>, new: &[Value], order: Option<&Vec<Value>>) {
    let server: Vec<Value> = old.clone();
    let mut all = old.clone();
    new.iter().for_each(|value| {
        if !all.contains(value) {
            all.push(value.clone());
        }
    });
    *old = ordered(all, order.map_or(new, Vec::as_slice), &server, |value| value);
}

fn merge_list(known: Option<&'static Type>, key: &str, old: &mut Vec<Value>, new: &[Value], order: Option<&Vec<Value>>) -> Merged {
    if new.iter().any(|item| item[DIRECTIVE] == "replace" && is_only_directive(item)) {
        *old = new.iter().filter(|item| !is_only_directive(item)).map(undirected).collect();
        return Ok(());
    }
    let server = old.clone();
    for item in new {
        let Some(fields) = item.as_object() else { return Err(format!("expected type map, got {item}")) };
        let Some(value) = fields.get(key) else {
            return Err(format!("map: {} does not contain declared merge key: {key}", go_text(item)));
        };
        let at = old.iter().position(|element| element.get(key) == Some(value));
        match (directive(fields)?, at) {
            (Some("delete"), _) => old.retain(|element| element.get(key) != Some(value)),
            (Some(_), Some(at)) => old[at] = plain(fields).into(),
            (None, Some(at)) => {
                if let Some(element) = old[at].as_object_mut() {
                    merge_object(known, element, fields)?;
                }
            }
            (_, None) => old.push(undirected(item)),
        }
    }
    let wanted = order.map_or(new, Vec::as_slice);
    *old = ordered(std::mem::take(old), wanted, &server, |item| &item[key]);
    Ok(())
}

/// What the patch names in its order, the rest where it was before.
fn ordered(all: Vec<Value>, wanted: &[Value], server: &[Value], name: impl Fn(&Value) -> &Value) -> Vec<Value> {
    let place = |list: &[Value], item: &Value| list.iter().position(|other| name(other) == name(item));
    let (mut named, rest): (Vec<Value>, Vec<Value>) = all.into_iter().partition(|item| place(wanted, item).is_some());
    named.sort_by_key(|item| place(wanted, item));
    let mut merged = Vec::with_capacity(named.len() + rest.len());
    let (mut named, mut rest) = (named.into_iter().peekable(), rest.into_iter().peekable());
    while let (Some(left), Some(right)) = (rest.peek(), named.peek()) {
        let first = matches!((place(server, left), place(server, right)), (Some(left), Some(right)) if left < right);
        merged.extend(if first { rest.next() } else { named.next() });
    }
    merged.extend(rest);
    merged.extend(named);
    merged
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn patched(object: Value, patch: Value) -> Option<Value> {
        json(&object, patch.to_string().as_bytes()).ok()
    }

    #[test]
    fn json_patches_fail_as_a_whole_and_without_a_word() {
        let object = json!({"status": {"abort": false, "pauseConditions": [{"reason": "x"}]}});
        let test = |path: &str, value: Value| patched(object.clone(), json!([{"op": "test", "path": path, "value": value}])).is_some();
        assert!(test("/status/abort", json!(false)));
        assert!(!test("/status/abort", json!(null)));
        assert!(test("/status/phase", json!(null)), "null passes on an absent member");
        assert!(!test("/status/phase", json!(false)));
        assert!(!test("/status/foo/bar", json!(null)), "but not below an absent one");
        assert!(test("/status/pauseConditions", json!([{"reason": "x"}])));
        assert!(test("/status/pauseConditions/0/reason", json!("x")));
        let half = json!([{"op": "remove", "path": "/status/abort"}, {"op": "test", "path": "/status/abort", "value": false}]);
        let refused = json(&object, half.to_string().as_bytes()).unwrap_err();
        assert_eq!((refused.code, refused.reason), (422, "Invalid"));
        assert_eq!(refused.message, "the server rejected our request due to an error in our request");
        assert_eq!(refused.details, json!({}));
    }

    #[test]
    fn json_patches_do_what_the_real_server_does_to_members_that_are_not_there() {
        let object = json!({"status": {}});
        assert_eq!(patched(object.clone(), json!([{"op": "replace", "path": "/status/a", "value": 1}])), Some(json!({"status": {"a": 1}})));
        assert_eq!(patched(object.clone(), json!([{"op": "remove", "path": "/status/a"}])), None);
        assert_eq!(patched(object.clone(), json!([{"op": "add", "path": "/status/a/b", "value": 1}])), None);
        assert_eq!(patched(object.clone(), json!([{"op": "frob", "path": "/status/a"}])), None);
        let lists = json!([
            {"op": "add", "path": "/status/l", "value": [1]}, {"op": "add", "path": "/status/l/-", "value": 3},
            {"op": "add", "path": "/status/l/1", "value": 2}, {"op": "remove", "path": "/status/l/0"},
            {"op": "copy", "from": "/status/l/0", "path": "/status/first"}, {"op": "move", "from": "/status/l", "path": "/status/a~1b"},
        ]);
        assert_eq!(patched(object, lists), Some(json!({"status": {"first": 2, "a/b": [2, 3]}})));
    }

    #[test]
    fn what_is_no_patch_is_a_bad_request() {
        let message = |refused: Result<Value, Refusal>| refused.unwrap_err().message;
        let object = json!({});
        assert_eq!(message(json(&object, b"{")), "error decoding patch: unexpected end of JSON input");
        let wanted = "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp";
        assert_eq!(message(json(&object, b"{}")), wanted);
        assert_eq!(message(merge(&object, b"{")), "error decoding patch: unexpected end of JSON input");
        assert!(message(merge(&object, b"[]")).ends_with("cannot unmarshal array into Go value of type map[string]interface {}"));
    }

    fn smp(kind: &str, object: Value, patch: Value) -> Value {
        strategic(types::named(kind), &object, patch.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn lists_are_merged_by_their_keys_and_what_the_patch_names_comes_in_its_order() {
        let env = |list: Value| json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "a:1", "env": list}]}}}});
        let patch = |list: Value| json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "env": list}]}}}});
        let a = json!({"name": "A", "value": "1"});
        let b = json!({"name": "B", "value": "2"});
        assert_eq!(smp("Deployment", env(json!([a])), patch(json!([b]))), env(json!([b, a])));
        assert_eq!(smp("Deployment", env(json!([b, a])), patch(json!([{"name": "B", "$patch": "delete"}]))), env(json!([a])));
        assert_eq!(smp("Deployment", env(json!([b, a])), patch(json!([{"$patch": "replace"}, a]))), env(json!([a])));
        let ports = |list: Value| json!({"spec": {"ports": list}});
        let (one, two) = (json!({"port": 81, "name": "y"}), json!({"port": 82, "name": "x"}));
        let order = json!({"spec": {"$setElementOrder/ports": [{"port": 81}, {"port": 82}], "ports": [{"port": 82, "name": "xx"}]}});
        assert_eq!(smp("Service", ports(json!([two, one])), order), ports(json!([one, {"port": 82, "name": "xx"}])));
    }

    #[test]
    fn directives_replace_delete_and_retain() {
        let selector = |value: Value| json!({"spec": {"selector": value}});
        let old = selector(json!({"a": "b"}));
        assert_eq!(smp("Service", old.clone(), selector(json!({"$patch": "replace", "z": "z"}))), selector(json!({"z": "z"})));
        assert_eq!(smp("Service", old.clone(), selector(json!({"$patch": "delete"}))), selector(json!({})));
        assert_eq!(smp("Service", old, selector(json!({"a": null, "c": "d"}))), selector(json!({"c": "d"})));
        let strategy = |value: Value| json!({"spec": {"strategy": value}});
        let rolling = strategy(json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}));
        let patch = strategy(json!({"$retainKeys": ["type"], "type": "Recreate"}));
        assert_eq!(smp("Deployment", rolling, patch), strategy(json!({"type": "Recreate"})));
        let finalizers = |value: Value| json!({"metadata": {"finalizers": value}});
        assert_eq!(smp("Pod", finalizers(json!(["a/b"])), finalizers(json!(["a/c"]))), finalizers(json!(["a/c", "a/b"])));
        let gone = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/c"]}});
        assert_eq!(smp("Pod", finalizers(json!(["a/c", "a/b"])), gone), finalizers(json!(["a/b"])));
    }

    #[test]
    fn senseless_strategic_patches_say_what_the_real_server_says() {
        let refused = |patch: Value| {
            strategic(
                types::named("Deployment"),
                &json!({"spec": {"template": {"spec": {"containers": []}}}}),
                patch.to_string().as_bytes(),
            )
        };
        let unnamed = json!({"spec": {"template": {"spec": {"containers": [{"image": "b"}]}}}});
        let refusal = refused(unnamed).unwrap_err();
        assert_eq!((refusal.code, refusal.message.as_str()), (500, "map: map[image:b] does not contain declared merge key: name"));
        let unknown = refused(json!({"spec": {"$patch": "foo"}})).unwrap_err();
        assert_eq!((unknown.code, unknown.message.as_str()), (500, "unknown patch type: foo in map: map[$patch:foo]"));
    }
}
