//! `metadata.managedFields`: who last wrote which field, kept as the real API server keeps it.

use serde_json::{Map, Value, json};

use super::{
    fields::{Difference, FieldSet},
    schema::Schema,
    stamp,
};
use crate::demo::refusal::Refusal;
use crate::model::Time;

/// More updaters than this are not told apart: the oldest become one.
const MOST_UPDATERS: usize = 10;
const ANCIENT: &str = "ancient-changes";
/// Who had what is there when the first one applies.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Who writes, and how.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    pub manager: &'a str,
    /// Of the request.
    pub api_version: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    pub now: Time,
}

/// All owners of an object's fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Managed(Vec<Entry>);

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    manager: String,
    applied: bool,
    api_version: String,
    subresource: String,
    time: Option<String>,
    set: FieldSet,
}

impl Entry {
    fn new(who: &Who<'_>, applied: bool, set: FieldSet) -> Self {
        let Who { manager, api_version, subresource, now } = who;
        Self {
            manager: (*manager).into(),
            applied,
            api_version: (*api_version).into(),
            subresource: (*subresource).into(),
            time: Some(stamp(*now)),
            set,
        }
    }

    fn read(entry: &Value) -> Self {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        Self {
            manager: text("manager"),
            applied: entry["operation"] == "Apply",
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: entry["time"].as_str().map(str::to_owned),
            set: FieldSet::parse(&entry["fieldsV1"]),
        }
    }

    fn value(&self) -> Value {
        let operation = if self.applied { "Apply" } else { "Update" };
        let mut entry = Map::new();
        entry.insert("manager".into(), self.manager.clone().into());
        entry.insert("operation".into(), operation.into());
        entry.insert("apiVersion".into(), self.api_version.clone().into());
        entry.extend(self.time.clone().map(|time| ("time".into(), time.into())));
        entry.insert("fieldsType".into(), "FieldsV1".into());
        entry.insert("fieldsV1".into(), self.set.value());
        if !self.subresource.is_empty() {
            entry.insert("subresource".into(), self.subresource.clone().into());
        }
        entry.into()
    }

    fn is_of(&self, who: &Who<'_>, applied: bool) -> bool {
        let same = (self.manager.as_str(), self.subresource.as_str()) == (who.manager, who.subresource);
        // What is applied in another version is still the same configuration.
        same && self.applied == applied && (applied || self.api_version == who.api_version)
    }

    /// In the words of a conflict.
    fn named(&self) -> String {
        let mut name = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            name += &format!(" with subresource {:?}", self.subresource);
        }
        if !self.applied {
            name += &format!(" using {}", self.api_version);
        }
        name
    }

    fn order(&self) -> (bool, &str, &str, &str, &str) {
        (!self.applied, self.time.as_deref().unwrap_or_default(), &self.manager, &self.api_version, &self.subresource)
    }
}

impl Managed {
    pub fn read(object: &Value) -> Self {
        let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
        Self(entries.map(Entry::read).collect())
    }

    pub fn write(mut self, object: &mut Value) {
        self.0.retain(|entry| !entry.set.is_empty());
        self.0.sort_by(|a, b| a.order().cmp(&b.order()));
        let entries: Vec<Value> = self.0.iter().map(Entry::value).collect();
        object["metadata"]["managedFields"] = if entries.is_empty() { Value::Null } else { entries.into() };
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether anybody owns the field at this path.
    pub fn is_owned(&self, path: &[&str]) -> bool {
        self.0.iter().any(|entry| entry.set.contains(path))
    }

    /// After an ordinary write: the writer owns what it changed, and nobody what is gone.
    pub fn update(&mut self, schema: Schema<'_>, before: &Value, after: &Value, who: &Who<'_>) {
        let difference = Difference::between(schema, before, after);
        let written = difference.written();
        for entry in &mut self.0 {
            entry.set = entry.set.minus(&written).minus(&difference.removed);
        }
        let written = written.minus(&never_owned());
        if !written.is_empty() {
            self.take(who, false, written);
        }
        self.0.retain(|entry| !entry.set.is_empty());
        self.merge_ancient();
    }

    /// After `config` was merged into `before`, and what its manager no longer names was taken away: `after`. The manager
    /// owns what it names; that others own it with another value is a conflict, unless it is forced.
    pub fn apply(
        &mut self,
        schema: Schema<'_>,
        before: &Value,
        after: &Value,
        named: FieldSet,
        who: &Who<'_>,
        force: bool,
    ) -> Result<(), Refusal> {
        let difference = Difference::between(schema, before, after);
        let written = difference.written();
        let others = || self.0.iter().filter(|entry| !entry.is_of(who, true));
        let conflicts = others().flat_map(|entry| entry.set.common(&written).paths().into_iter().map(|path| (entry.named(), path)));
        let conflicts: Vec<(String, String)> = conflicts.collect();
        if !force && !conflicts.is_empty() && !self.is_left_over(schema, before, who, &written) {
            return Err(conflict(conflicts));
        }
        for entry in self.0.iter_mut().filter(|entry| !entry.is_of(who, true)) {
            entry.set = entry.set.minus(&written).minus(&difference.removed);
        }
        let time = self.0.iter().find(|entry| entry.is_of(who, true)).and_then(|entry| entry.time.clone());
        self.0.retain(|entry| !entry.is_of(who, true) && !entry.set.is_empty());
        let mut entry = Entry::new(who, true, named.minus(&never_owned()));
        // Who only says what is so already has no time, as far as the real server is concerned.
        if before == after {
            entry.time = time;
        }
        self.0.push(entry);
        Ok(())
    }

    /// Whether all conflicts are about what kubectl itself wrote when it still applied on its own side.
    fn is_left_over(&self, schema: Schema<'_>, object: &Value, who: &Who<'_>, written: &FieldSet) -> bool {
        let annotation = &object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
        let last: Option<Value> = annotation.as_str().and_then(|text| serde_json::from_str(text).ok());
        let Some(last) = last.filter(|last| who.manager == "kubectl" && last["apiVersion"] == who.api_version) else { return false };
        let since = Difference::between(schema, &last, object);
        let own = FieldSet::of(schema, &last).minus(&since.written()).minus(&since.removed);
        self.0.iter().filter(|entry| !entry.is_of(who, true)).all(|entry| entry.set.common(written).minus(&own).is_empty())
    }

    /// Starts the books of an object nobody kept them for.
    pub fn begin(&mut self, schema: Schema<'_>, zero: &Value, object: &Value, who: &Who<'_>) {
        if self.is_empty() {
            self.update(schema, zero, object, &Who { manager: BEFORE_FIRST_APPLY, subresource: "", ..*who });
        }
    }

    /// What this manager named when it last applied.
    pub fn applied(&self, who: &Who<'_>) -> FieldSet {
        self.0.iter().find(|entry| entry.is_of(who, true)).map(|entry| entry.set.clone()).unwrap_or_default()
    }

    /// What anybody else owns.
    pub fn owned_by_others(&self, who: &Who<'_>) -> FieldSet {
        self.0.iter().filter(|entry| !entry.is_of(who, true)).fold(FieldSet::default(), |all, entry| all.union(&entry.set))
    }

    fn take(&mut self, who: &Who<'_>, applied: bool, set: FieldSet) {
        match self.0.iter_mut().find(|entry| entry.is_of(who, applied)) {
            Some(entry) => {
                entry.set = std::mem::take(&mut entry.set).union(&set);
                entry.time = Some(stamp(who.now));
            }
            None => self.0.push(Entry::new(who, applied, set)),
        }
    }

    fn merge_ancient(&mut self) {
        let mut spare = self.0.iter().filter(|entry| !entry.applied).count().saturating_sub(MOST_UPDATERS);
        if spare == 0 {
            return;
        }
        self.0.sort_by(|a, b| a.order().cmp(&b.order()));
        let mut at = self.0.iter().take_while(|entry| entry.applied).count();
        while spare > 0 && at + 1 < self.0.len() {
            let Some(next) = (at + 1..self.0.len()).find(|next| self.0[*next].api_version == self.0[at].api_version) else {
                at += 1;
                continue;
            };
            let merged = self.0.remove(next);
            let bucket = &mut self.0[at];
            bucket.set = std::mem::take(&mut bucket.set).union(&merged.set);
            (bucket.manager, bucket.subresource, bucket.time) = (ANCIENT.into(), String::new(), merged.time);
            spare -= 1;
        }
    }
}

/// What is nobody's: identity, and what the server writes itself.
fn never_owned() -> FieldSet {
    let metadata = ["name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields", "resourceVersion"];
    let mut below: Map<String, Value> = metadata.iter().map(|field| (format!("f:{field}"), json!({}))).collect();
    below.insert(".".into(), json!({}));
    FieldSet::parse(&json!({"f:apiVersion": {}, "f:kind": {}, "f:metadata": below}))
}

/// Says who owns what was to be applied.
fn conflict(mut conflicts: Vec<(String, String)>) -> Refusal {
    conflicts.sort();
    let cause = |(manager, path): &(String, String)| json!({"reason": "FieldManagerConflict", "message": format!("conflict with {manager}"), "field": path});
    let message = match conflicts.as_slice() {
        [(manager, path)] => format!("Apply failed with 1 conflict: conflict with {manager}: {path}"),
        all => {
            let mut lines = Vec::new();
            for (at, (manager, path)) in all.iter().enumerate() {
                if at == 0 || all[at - 1].0 != *manager {
                    lines.push(format!("conflicts with {manager}:"));
                }
                lines.push(format!("- {path}"));
            }
            format!("Apply failed with {} conflicts: {}", all.len(), lines.join("\n"))
        }
    };
    let causes: Vec<Value> = conflicts.iter().map(cause).collect();
    Refusal { details: json!({"causes": causes}), ..Refusal::new(409, "Conflict", message) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn who(manager: &str) -> Who<'_> {
        Who { manager, api_version: "apps/v1", subresource: "", now: Time::UNIX_EPOCH }
    }

    fn owners(of: &[(&str, bool, Value)]) -> Managed {
        Managed(of.iter().map(|(manager, applied, fields)| Entry::new(&who(manager), *applied, FieldSet::parse(fields))).collect())
    }

    fn apply(managed: &mut Managed, before: &Value, after: &Value, manager: &str, force: bool) -> Result<(), Refusal> {
        let named = FieldSet::of(Schema::Any, after);
        managed.apply(Schema::Any, before, after, named, &who(manager), force)
    }

    #[test]
    fn conflicts_name_who_owns_what() {
        let (before, after) = (json!({"a": 1, "b": 1}), json!({"a": 2, "b": 2}));
        let mut one = owners(&[("creator", false, json!({"f:a": {}}))]);
        let refused = apply(&mut one.clone(), &before, &after, "me", false).unwrap_err();
        assert_eq!(
            (refused.code, refused.message.as_str()),
            (409, "Apply failed with 1 conflict: conflict with \"creator\" using apps/v1: .a")
        );
        assert_eq!(
            refused.details["causes"],
            json!([{"reason": "FieldManagerConflict", "message": "conflict with \"creator\" using apps/v1", "field": ".a"}])
        );
        let mut two = owners(&[("creator", false, json!({"f:a": {}})), ("other", true, json!({"f:b": {}}))]);
        let refused = apply(&mut two, &before, &after, "me", false).unwrap_err();
        let message = "Apply failed with 2 conflicts: conflicts with \"creator\" using apps/v1:\n- .a\nconflicts with \"other\":\n- .b";
        assert_eq!(refused.message, message);
        apply(&mut one, &before, &after, "me", true).unwrap();
        assert_eq!(one.0.len(), 1, "a forced apply takes over");
    }

    #[test]
    fn agreeing_is_no_conflict_and_both_own() {
        let mut managed = owners(&[("one", true, json!({"f:a": {}}))]);
        apply(&mut managed, &json!({"a": 1}), &json!({"a": 1}), "two", false).unwrap();
        assert_eq!(managed.0.len(), 2);
    }

    #[test]
    fn what_was_there_before_the_first_apply_belongs_to_somebody() {
        let mut managed = Managed::default();
        managed.begin(Schema::Any, &json!({}), &json!({"a": 1}), &who("me"));
        assert_eq!(managed.0[0].manager, "before-first-apply");
    }
}
