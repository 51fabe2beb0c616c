//! Sets of fields, as `managedFields` keep them: who owns what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::schema::{Form, Same, Schema};

/// One step to a field, as `fieldsV1` writes it: `f:spec`, `k:{"name":"app"}`, `v:"finalizer"`.
type Step = Box<str>;

/// A set of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet(BTreeMap<Step, Node>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Node {
    /// Whether the path that ends here is in the set.
    member: bool,
    below: FieldSet,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl FieldSet {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn insert(&mut self, path: &[Step]) {
        let Some((first, rest)) = path.split_first() else { return };
        let node = self.0.entry(first.clone()).or_default();
        if rest.is_empty() { node.member = true } else { node.below.insert(rest) }
    }

    pub fn contains(&self, path: &[&str]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        self.0.get(*first).is_some_and(|node| if rest.is_empty() { node.member } else { node.below.contains(rest) })
    }

    pub fn union(mut self, other: &Self) -> Self {
        for (step, node) in &other.0 {
            let mine = self.0.entry(step.clone()).or_default();
            mine.member |= node.member;
            mine.below = std::mem::take(&mut mine.below).union(&node.below);
        }
        self
    }

    pub fn minus(&self, other: &Self) -> Self {
        self.combine(other, |mine, theirs| mine && !theirs)
    }

    pub fn common(&self, other: &Self) -> Self {
        self.combine(other, |mine, theirs| mine && theirs)
    }

    fn combine(&self, other: &Self, keep: fn(bool, bool) -> bool) -> Self {
        let none = Node::default();
        let combined = self.0.iter().map(|(step, node)| {
            let theirs = other.0.get(step).unwrap_or(&none);
            let node = Node { member: keep(node.member, theirs.member), below: node.below.combine(&theirs.below, keep) };
            (step.clone(), node)
        });
        Self(combined.filter(|(_, node)| !node.is_empty()).collect())
    }

    /// From `fieldsV1`.
    pub fn parse(value: &Value) -> Self {
        let fields = value.as_object().into_iter().flatten().filter(|(step, _)| *step != ".");
        let nodes = fields.map(|(step, below)| {
            let leaf = below.as_object().is_none_or(Map::is_empty);
            (step.as_str().into(), Node { member: leaf || below.get(".").is_some(), below: Self::parse(below) })
        });
        Self(nodes.collect())
    }

    /// As `fieldsV1`.
    pub fn value(&self) -> Value {
        let fields = self.0.iter().map(|(step, node)| {
            let mut below = node.below.value();
            if node.member && !node.below.is_empty() {
                below["."] = Map::new().into();
            }
            (step.to_string(), below)
        });
        Value::Object(fields.collect())
    }

    /// All paths, as conflicts name them: `.spec.replicas`, `.spec.containers[name="app"].image`.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.walk("", &mut paths);
        paths
    }

    fn walk(&self, above: &str, paths: &mut Vec<String>) {
        for (step, node) in &self.0 {
            let path = format!("{above}{}", readable(step));
            if node.member {
                paths.push(path.clone());
            }
            node.below.walk(&path, paths);
        }
    }

    /// Everything that is set in a configuration.
    pub fn of(schema: Schema<'_>, value: &Value) -> Self {
        let mut set = Self::default();
        set.gather(schema, value, &mut Vec::new());
        set
    }

    fn gather(&mut self, schema: Schema<'_>, value: &Value, path: &mut Vec<Step>) {
        match (schema.form(value), value) {
            (Form::Object, Value::Object(fields)) => {
                for (key, below) in fields {
                    let (schema, named) = schema.child(key);
                    path.push(field_step(key));
                    self.gather(schema, below, path);
                    if !named || below.is_null() || below.as_object().is_some_and(Map::is_empty) {
                        self.insert(path);
                    }
                    path.pop();
                }
            }
            (Form::List(item, same), Value::Array(items)) => {
                let twice = repeated(items, &same);
                for element in items {
                    path.push(element_step(element, &same));
                    if !twice.contains(&path[path.len() - 1]) {
                        self.gather(item, element, path);
                    }
                    self.insert(path);
                    path.pop();
                }
            }
            (Form::Leaf, _) => self.insert(path),
            _ => (),
        }
    }

    /// What is left of `value` when its manager no longer names what is in this set, its last: what is in `owned`, or was
    /// never this manager's, stays. The steps are those of the real server, and so is what comes of empty objects and
    /// lists on the way.
    pub fn prune(&self, schema: Schema<'_>, value: &Value, owned: &Self) -> Value {
        let last = self.with_named(schema);
        let all = Self::of(schema, value).with_named(schema);
        let kept = Self::of(schema, &last.removed_from(schema, value)).with_named(schema);
        let unowned = all.minus(&kept.union(&owned.with_named(schema)));
        let kept = Self::of(schema, &unowned.removed_from(schema, value)).with_named(schema);
        all.minus(&kept).common(&last).removed_from(schema, value)
    }

    /// With all named fields that something below them is in the set of.
    fn with_named(&self, schema: Schema<'_>) -> Self {
        let nodes = self.0.iter().map(|(step, node)| {
            let (schema, named) = step.strip_prefix("f:").map_or_else(|| (schema.item(), false), |name| schema.child(name));
            let member = node.member || (named && !node.below.is_empty());
            (step.clone(), Node { member, below: node.below.with_named(schema) })
        });
        Self(nodes.collect())
    }

    fn removed_from(&self, schema: Schema<'_>, value: &Value) -> Value {
        let mut value = value.clone();
        self.remove(schema, &mut value);
        value
    }

    fn remove(&self, schema: Schema<'_>, value: &mut Value) {
        let keeps = |step: &Step, schema: Schema<'_>, value: &mut Value| match self.0.get(step) {
            Some(node) if node.member => false,
            Some(node) => {
                node.below.remove(schema, value);
                true
            }
            None => true,
        };
        match (schema.form(value), value) {
            (Form::Object, Value::Object(fields)) => fields.retain(|key, value| keeps(&field_step(key), schema.child(key).0, value)),
            (Form::List(item, same), Value::Array(items)) => {
                items.retain_mut(|element| keeps(&element_step(element, &same), item, element))
            }
            _ => (),
        }
    }
}

/// What differs between two objects.
#[derive(Debug, Default)]
pub struct Difference {
    pub removed: FieldSet,
    pub modified: FieldSet,
    pub added: FieldSet,
}

impl Difference {
    pub fn between(schema: Schema<'_>, before: &Value, after: &Value) -> Self {
        let mut difference = Self::default();
        difference.compare(schema, Some(before), Some(after), &mut Vec::new());
        difference
    }

    /// What the later object has that the earlier had not, or not so.
    pub fn written(&self) -> FieldSet {
        self.modified.clone().union(&self.added)
    }

    fn compare(&mut self, schema: Schema<'_>, before: Option<&Value>, after: Option<&Value>, path: &mut Vec<Step>) {
        if before == after {
            return;
        }
        let Some(shown) = after.or(before) else { return };
        let descended = self.descend(schema, shown, before, after, path);
        if descended && let (Some(_), Some(_)) = (before, after) {
            return;
        }
        match (before, after) {
            (None, _) => self.added.insert(path),
            (_, None) => self.removed.insert(path),
            _ => self.modified.insert(path),
        }
    }

    /// Compares part by part; `false`: this is one piece. Objects and lists without content are, too.
    fn descend(&mut self, schema: Schema<'_>, shown: &Value, before: Option<&Value>, after: Option<&Value>, path: &mut Vec<Step>) -> bool {
        match schema.form(shown) {
            Form::Leaf => false,
            Form::Object => {
                let (old, new) = (before.and_then(Value::as_object), after.and_then(Value::as_object));
                let keys: BTreeSet<&String> = old.into_iter().chain(new).flat_map(Map::keys).collect();
                for key in &keys {
                    path.push(field_step(key));
                    self.compare(schema.child(key).0, old.and_then(|old| old.get(*key)), new.and_then(|new| new.get(*key)), path);
                    path.pop();
                }
                !keys.is_empty()
            }
            Form::List(item, same) => {
                let old = index(before, &same);
                let new = index(after, &same);
                let steps: BTreeSet<&Step> = old.keys().chain(new.keys()).collect();
                for step in &steps {
                    path.push((*step).clone());
                    self.compare_elements(item, old.get(*step), new.get(*step), path);
                    path.pop();
                }
                !steps.is_empty()
            }
        }
    }

    /// Elements that occur once are compared; repeated ones are one piece together.
    fn compare_elements(&mut self, item: Schema<'_>, old: Option<&Vec<&Value>>, new: Option<&Vec<&Value>>, path: &mut Vec<Step>) {
        let many = |found: Option<&Vec<&Value>>| found.is_some_and(|found| found.len() > 1);
        let (before, after) = (old.and_then(|old| old.first().copied()), new.and_then(|new| new.first().copied()));
        match (many(old), many(new)) {
            (false, false) => self.compare(item, before, after, path),
            (true, true) if old == new => (),
            (true, true) => self.modified.insert(path),
            (true, false) => {
                self.compare(item, None, after, path);
                self.removed.insert(path);
            }
            (false, true) => {
                self.compare(item, before, None, path);
                self.added.insert(path);
            }
        }
    }
}

fn index<'a>(list: Option<&'a Value>, same: &Same<'_>) -> BTreeMap<Step, Vec<&'a Value>> {
    let mut found: BTreeMap<Step, Vec<&Value>> = BTreeMap::new();
    for element in list.and_then(Value::as_array).into_iter().flatten() {
        found.entry(element_step(element, same)).or_default().push(element);
    }
    found
}

fn repeated(items: &[Value], same: &Same<'_>) -> BTreeSet<Step> {
    let mut seen = BTreeSet::new();
    items.iter().map(|item| element_step(item, same)).filter(|step| !seen.insert(step.clone())).collect()
}

fn field_step(key: &str) -> Step {
    format!("f:{key}").into()
}

/// What tells an element of a list from the others.
pub fn element_step(element: &Value, same: &Same<'_>) -> Step {
    match same {
        Same::Value => format!("v:{element}").into(),
        Same::Fields(keys) => {
            let fields = keys.iter().filter_map(|key| Some(((*key).to_owned(), key_of(element, key)?)));
            format!("k:{}", Value::Object(fields.collect())).into()
        }
    }
}

/// Keys have defaults too; this is the only one in sight.
fn key_of(element: &Value, key: &str) -> Option<Value> {
    element.get(key).cloned().or_else(|| (key == "protocol").then(|| "TCP".into()))
}

fn readable(step: &str) -> String {
    match step.split_at(2) {
        ("f:", name) => format!(".{name}"),
        ("k:", keys) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            format!("[{}]", keys.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","))
        }
        ("v:", value) => format!("[={value}]"),
        (_, index) => format!("[{index}]"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::demo::registry::types;

    fn deployment() -> Schema<'static> {
        types::named("Deployment").map_or(Schema::Any, Schema::Built)
    }

    fn config(image: &str) -> Value {
        json!({"metadata": {"name": "d", "labels": {"app": "d"}, "finalizers": ["a/b"]}, "spec": {"template": {"spec": {"containers": [
            {"name": "a", "image": image, "ports": [{"containerPort": 80}]},
        ]}}}})
    }

    #[test]
    fn a_configuration_owns_its_leaves_and_the_elements_of_its_lists() {
        let set = FieldSet::of(deployment(), &config("a:1"));
        let port = "k:{\"containerPort\":80,\"protocol\":\"TCP\"}";
        let container = json!({".": {}, "f:name": {}, "f:image": {}, "f:ports": {port: {".": {}, "f:containerPort": {}}}});
        let expected = json!({
            "f:metadata": {"f:name": {}, "f:labels": {"f:app": {}}, "f:finalizers": {"v:\"a/b\"": {}}},
            "f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": container}}}},
        });
        assert_eq!(set.value(), expected);
        assert_eq!(FieldSet::parse(&expected), set);
        assert!(set.contains(&["f:metadata", "f:labels", "f:app"]) && !set.contains(&["f:metadata", "f:labels"]));
        assert!(set.paths().contains(&".spec.template.spec.containers[name=\"a\"].image".to_owned()));
    }

    #[test]
    fn differences_are_told_by_the_field() {
        let mut after = config("a:2");
        after["metadata"]["labels"] = json!({"new": "x"});
        let difference = Difference::between(deployment(), &config("a:1"), &after);
        assert_eq!(difference.modified.paths(), [".spec.template.spec.containers[name=\"a\"].image"]);
        assert_eq!(
            (difference.added.paths(), difference.removed.paths()),
            (vec![".metadata.labels.new".into()], vec![".metadata.labels.app".into()])
        );
    }

    #[test]
    fn what_nobody_else_owns_is_pruned() {
        let mine = FieldSet::parse(&json!({"f:spec": {"f:replicas": {}, "f:strategy": {"f:type": {}}, "f:paused": {}}}));
        let owned = FieldSet::parse(&json!({"f:spec": {"f:paused": {}}}));
        let value = json!({"spec": {"replicas": 1, "paused": true, "minReadySeconds": 5, "strategy": {"type": "Recreate", "unowned": 1}}});
        assert_eq!(mine.prune(deployment(), &value, &owned), json!({"spec": {"paused": true, "minReadySeconds": 5}}));
    }
}
