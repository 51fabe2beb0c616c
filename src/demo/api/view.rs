//! How a client wants to see objects: whole, their metadata only, or as rows of a table; and in which version.
//!
//! Whole objects go out as the bytes they are kept as, where nothing about them has to change.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use serde_json::{Value, json, value::RawValue};

use super::{
    Call,
    table::{self, Table},
};
use crate::{
    demo::{
        kinds::{self, Kind},
        refusal::Refusal,
        store::Stored,
    },
    model::Time,
};

/// Marks the bookmark that ends the initial events of a watch.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// One client's way to see objects of one kind.
pub struct View {
    kind: Arc<Kind>,
    version: String,
    form: Form,
}

enum Form {
    Whole,
    Partial,
    Table(Box<Table>, Include),
}

/// What the rows of a table carry beside cells.
#[derive(Clone, Copy)]
enum Include {
    Nothing,
    Metadata,
    Object,
}

/// What a client says it accepts, as far as it is understood here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Whole,
    Partial,
    PartialList,
    Table,
}

impl View {
    /// As a call wants it. `many`: the answer is a list.
    ///
    /// # Errors
    /// 406 when the client accepts nothing that is to be had.
    pub fn of(call: &Call, many: bool) -> Result<Self, Refusal> {
        let kind = call.target.kind.clone();
        let form = match wish(&call.accept)? {
            Wish::Whole => Form::Whole,
            Wish::Table => Form::Table(Box::new(Table::of(&kind)), include(call.asks("includeObject"))?),
            Wish::Partial if many => return Err(not_that("PartialObjectMetadata", &kind, "a list", "List")),
            Wish::PartialList if !many => return Err(not_that("PartialObjectMetadataList", &kind, "not a list", "")),
            Wish::Partial | Wish::PartialList => Form::Partial,
        };
        Ok(Self { kind, version: call.target.version.clone(), form })
    }

    /// The whole object in the version asked for, standing alone.
    fn whole(&self, object: &Stored) -> Bytes {
        if is_new_event(&self.kind) {
            return new_event(object.value()).to_string().into();
        }
        if self.version == self.kind.versions[0] {
            return object.json.clone();
        }
        let api_version = RawValue::from_string(format!("\"{}\"", kinds::api_version(&self.kind.group, &self.version))).unwrap_or_default();
        with_fields(&object.json, |fields| {
            fields.insert("apiVersion".into(), &api_version);
        })
    }

    /// One object as an answer, or as the object of an event. `header`: a table names its columns.
    pub fn object(&self, object: &Stored, now: Time, header: bool) -> Bytes {
        match &self.form {
            Form::Whole => self.whole(object),
            Form::Partial => partial(&object.json),
            Form::Table(table, _) => {
                let rows = self.entry(object, now);
                let columns = if header { table.definitions() } else { Value::Null };
                let start = format!(
                    "{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{{\"resourceVersion\":\"{}\"}},\"columnDefinitions\":{columns},\"rows\":[",
                    object.revision
                );
                [start.as_bytes(), &rows, b"]}"].concat().into()
            }
        }
    }

    /// One object within a list.
    pub fn entry(&self, object: &Stored, now: Time) -> Bytes {
        match &self.form {
            // Lists of built-in kinds do not repeat what they are lists of.
            Form::Whole if self.kind.custom.is_none() => with_fields(&self.whole(object), |fields| {
                fields.remove("kind");
                fields.remove("apiVersion");
            }),
            Form::Whole => self.whole(object),
            Form::Partial => partial(&object.json),
            Form::Table(table, include) => {
                let value = object.value();
                let mut row = json!({"cells": table.cells(&value, now)});
                if let Some(conditions) = table::conditions(&self.kind, &value) {
                    row["conditions"] = conditions;
                }
                let carried = match include {
                    Include::Nothing => Bytes::from_static(b"null"),
                    Include::Metadata => partial(&object.json),
                    Include::Object => self.whole(object),
                };
                let start = row.to_string();
                [start.trim_end_matches('}').as_bytes(), b",\"object\":", &carried, b"}"].concat().into()
            }
        }
    }

    /// What comes before and after the entries of a list.
    pub fn list(&self, metadata: &Value) -> (String, &'static str) {
        let start = match &self.form {
            Form::Whole => {
                let api_version = kinds::api_version(&self.kind.group, &self.version);
                format!("{{\"kind\":\"{}List\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata},\"items\":[", self.kind.kind)
            }
            Form::Partial => {
                format!("{{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{metadata},\"items\":[")
            }
            Form::Table(table, _) => format!(
                "{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{metadata},\"columnDefinitions\":{},\"rows\":[",
                table.definitions()
            ),
        };
        (start, "]}\n")
    }

    /// The object of a bookmark.
    pub fn bookmark(&self, revision: u64, ends_initial_events: bool) -> Value {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if ends_initial_events {
            metadata["annotations"] = json!({INITIAL_EVENTS_END: "true"});
        }
        let partial = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
        match &self.form {
            Form::Whole => {
                let api_version = kinds::api_version(&self.kind.group, &self.version);
                json!({"kind": self.kind.kind, "apiVersion": api_version, "metadata": metadata})
            }
            Form::Partial => partial,
            Form::Table(table, _) => json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": revision.to_string()},
                "columnDefinitions": null, "rows": [{"cells": table.blank(), "object": partial}],
            }),
        }
    }
}

/// The id under which objects of a kind are kept. Events have two groups and are the same objects in both.
pub fn storage(kind: &Kind) -> String {
    if is_new_event(kind) { "events".into() } else { kind.id() }
}

fn is_new_event(kind: &Kind) -> bool {
    kind.group == "events.k8s.io" && kind.plural == "events"
}

/// An event under the names of its own group.
fn new_event(mut event: Value) -> Value {
    let renamed = [
        ("involvedObject", "regarding"),
        ("message", "note"),
        ("source", "deprecatedSource"),
        ("count", "deprecatedCount"),
        ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("lastTimestamp", "deprecatedLastTimestamp"),
        ("reportingComponent", "reportingController"),
    ];
    if let Some(fields) = event.as_object_mut() {
        for (old, new) in renamed {
            if let Some(value) = fields.remove(old) {
                fields.insert(new.into(), value);
            }
        }
        fields.insert("apiVersion".into(), "events.k8s.io/v1".into());
        fields.retain(|name, value| name != "reportingInstance" || *value != "");
    }
    event
}

/// The same object as of another revision: what a watch says of objects that are gone.
pub fn at_revision(object: &Stored, revision: u64) -> Stored {
    let mut value = object.value();
    value["metadata"]["resourceVersion"] = revision.to_string().into();
    Stored { revision, json: value.to_string().into(), ..object.clone() }
}

fn partial(json: &[u8]) -> Bytes {
    let metadata = fields(json).remove("metadata").map_or("{}", RawValue::get);
    format!("{{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{metadata}}}").into()
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// The top fields of an object, unread.
fn fields(json: &[u8]) -> Fields<'_> {
    serde_json::from_slice(json).unwrap_or_default()
}

/// An object with other top fields.
fn with_fields<'a>(json: &'a [u8], change: impl FnOnce(&mut Fields<'a>)) -> Bytes {
    let mut fields = fields(json);
    change(&mut fields);
    serde_json::to_vec(&fields).unwrap_or_default().into()
}

fn include(asked: Option<&str>) -> Result<Include, Refusal> {
    match asked {
        None | Some("" | "Metadata") => Ok(Include::Metadata),
        Some("None") => Ok(Include::Nothing),
        Some("Object") => Ok(Include::Object),
        Some(other) => Err(Refusal::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: \"{other}\": must be 'Metadata', 'Object', 'None', or empty"
        ))),
    }
}

fn not_that(asked: &str, kind: &Kind, is: &str, suffix: &str) -> Refusal {
    let kind = &kind.kind;
    not_acceptable(format!("you requested {asked}, but the requested object is {is} (*core.{kind}{suffix})"))
}

fn not_acceptable(message: impl Into<String>) -> Refusal {
    Refusal::new(406, "NotAcceptable", message)
}

/// The first thing a client accepts that is to be had: everything, as JSON only.
fn wish(accept: &str) -> Result<Wish, Refusal> {
    if accept.trim().is_empty() {
        return Ok(Wish::Whole);
    }
    let mut clauses: Vec<(f64, Option<Wish>)> = accept.split(',').map(clause).collect();
    clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
    let refused = || not_acceptable("only the following media types are accepted: application/json");
    clauses.into_iter().find_map(|(_, wish)| wish).ok_or_else(refused)
}

/// One clause of an `Accept` header: how much it is wanted, and what it means here.
fn clause(text: &str) -> (f64, Option<Wish>) {
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
    let parameter = |name: &str| parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let weight = parameter("q").and_then(|q| q.parse().ok()).unwrap_or(1.0);
    let meta = parameter("g") == Some("meta.k8s.io") && parameter("v").is_some_and(|version| ["v1", "v1beta1"].contains(&version));
    let wish = match parameter("as") {
        None => Some(Wish::Whole),
        Some("Table") if meta => Some(Wish::Table),
        Some("PartialObjectMetadata") if meta => Some(Wish::Partial),
        Some("PartialObjectMetadataList") if meta => Some(Wish::PartialList),
        Some(_) => None,
    };
    (weight, wish.filter(|_| ["application/json", "application/*", "*/*"].contains(&media)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_acceptable_clause_counts() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        for (accept, expected) in [
            ("", Wish::Whole),
            ("*/*", Wish::Whole),
            ("application/json;stream=watch", Wish::Whole),
            ("application/vnd.kubernetes.protobuf,application/json", Wish::Whole),
            (&format!("{table},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"), Wish::Table),
            ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Wish::Whole),
            ("application/json;q=0.5, application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", Wish::Partial),
            ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Wish::PartialList),
        ] {
            assert_eq!(wish(accept).unwrap(), expected, "{accept}");
        }
        assert_eq!(wish("application/vnd.kubernetes.protobuf").unwrap_err().code, 406);
        assert_eq!(wish("application/json;as=Foo;g=meta.k8s.io;v=v1").unwrap_err().code, 406);
    }
}
