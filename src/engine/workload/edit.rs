//! JSON Patches whose `test` operations quote what was read.

use serde_json::{Value, json};

use crate::{
    engine::{Patch, Write},
    object::Object,
};

/// A JSON Patch over one object, quoting what was read from it.
pub struct Edit<'a> {
    object: &'a Object,
    read: Value,
    subresource: Option<&'static str>,
    ops: Vec<Value>,
}

impl<'a> Edit<'a> {
    /// Identity first: a namesake with another uid is another object. (In a merge patch a uid does not protect.)
    fn of(object: &'a Object, subresource: Option<&'static str>) -> Self {
        Self { object, read: object.value(), subresource, ops: Vec::new() }.same("/metadata/uid")
    }

    pub fn status(object: &'a Object) -> Self {
        Self::of(object, Some("status"))
    }

    pub fn main(object: &'a Object) -> Self {
        Self::of(object, None)
    }

    /// Only if this is still as it was read. The server lets `null` pass for an absent member.
    pub fn same(self, path: &str) -> Self {
        let value = self.read.pointer(path).cloned().unwrap_or(Value::Null);
        self.test(path, value)
    }

    /// Only if all of these are still as they were read: what tells one state of a release from another.
    pub fn all_same(self, paths: &[&str]) -> Self {
        paths.iter().fold(self, |edit, path| edit.same(path))
    }

    pub fn test(mut self, path: &str, value: Value) -> Self {
        self.ops.push(json!({"op": "test", "path": path, "value": value}));
        self
    }

    /// Sets a member, present or not.
    pub fn set(mut self, path: &str, value: Value) -> Self {
        self.ops.push(json!({"op": "add", "path": path, "value": value}));
        self
    }

    pub fn remove_if_there(mut self, path: &str) -> Self {
        if self.read.pointer(path).is_some_and(|v| !v.is_null()) {
            self.ops.push(json!({"op": "remove", "path": path}));
        }
        self
    }

    /// Only if the pod template is the one that was read. The number of pods is an autoscaler's to change meanwhile.
    pub fn same_template(self) -> Self {
        self.same("/spec/template")
    }

    /// Only if the spec of the object is the one that was read.
    pub fn pinned(self) -> Self {
        // A PodTemplate has no generation.
        let by_generation = self.read.pointer("/metadata/generation").is_some();
        self.same(if by_generation { "/metadata/generation" } else { "/metadata/resourceVersion" })
    }

    pub fn write(self) -> Write {
        Write {
            resource: self.object.resource,
            namespace: self.object.meta.namespace.clone(),
            name: self.object.meta.name.clone(),
            subresource: self.subresource,
            patch: Patch::Json(self.ops),
            call: None,
            create: None,
        }
    }
}
