//! Objects as rows: what `kubectl get` prints is made here, as in the real server, with ages by the cluster's clock.

mod cells;
mod path;
pub mod text;

use serde_json::{Value, json};

use self::path::Path;
use crate::{demo::kinds::Kind, model::Time};

/// The columns of a kind and how to fill them.
pub struct Table {
    columns: Vec<Column>,
    cells: Cells,
}

struct Column {
    name: String,
    /// `string`, `integer`, `number`, `boolean`, `date`.
    kind: String,
    format: String,
    description: String,
    /// Above 0 only wide output shows it.
    priority: i64,
}

enum Cells {
    BuiltIn(cells::Cells),
    /// `additionalPrinterColumns`, behind the name.
    Custom(Vec<Path>),
}

impl Table {
    pub fn of(kind: &Kind) -> Self {
        match &kind.custom {
            Some(custom) => Self::custom(&custom.columns),
            None => {
                let (columns, cells) = cells::of(&kind.id());
                Self { columns: columns.split('|').map(Column::parse).collect(), cells: Cells::BuiltIn(cells) }
            }
        }
    }

    fn custom(columns: &Value) -> Self {
        let age = json!([{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]);
        let described = columns.as_array().filter(|columns| !columns.is_empty()).or(age.as_array());
        let mut table = Self { columns: vec![Column::parse("Name")], cells: Cells::Custom(Vec::new()) };
        let mut paths = Vec::new();
        for column in described.into_iter().flatten() {
            let jsonpath = column["jsonPath"].as_str().unwrap_or_default();
            paths.push(Path::parse(jsonpath));
            table.columns.push(Column::custom(column, jsonpath));
        }
        table.cells = Cells::Custom(paths);
        table
    }

    /// `columnDefinitions`.
    pub fn definitions(&self) -> Value {
        self.columns.iter().map(Column::definition).collect()
    }

    pub fn cells(&self, object: &Value, now: Time) -> Vec<Value> {
        match &self.cells {
            Cells::BuiltIn(cells) => cells(object, now),
            Cells::Custom(paths) => {
                let name = std::iter::once(object["metadata"]["name"].clone());
                let kinds = self.columns.iter().skip(1).map(|column| column.kind.as_str());
                name.chain(paths.iter().zip(kinds).map(|(path, kind)| cell(kind, path.find(object), now))).collect()
            }
        }
    }

    /// The cells of a row about no object, as bookmarks have it.
    pub fn blank(&self) -> Vec<Value> {
        self.cells(&json!({"metadata": {"name": ""}}), Time::UNIX_EPOCH)
    }
}

/// `conditions` of a row, by which clients know that an object is done.
pub fn conditions(kind: &Kind, object: &Value) -> Option<Value> {
    let (reason, message) = match object["status"]["phase"].as_str() {
        Some("Succeeded") => ("Succeeded", "The pod has completed successfully."),
        Some("Failed") => ("Failed", "The pod failed."),
        _ => return None,
    };
    (kind.id() == "pods").then(|| json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

impl Column {
    /// `Name`, `Desired:integer`; an exclamation mark at the end: only when wide.
    fn parse(text: &str) -> Self {
        let (text, priority) = text.strip_suffix('!').map_or((text, 0), |text| (text, 1));
        let (name, kind) = text.split_once(':').unwrap_or((text, "string"));
        let format = if name == "Name" { "name" } else { "" };
        Self { name: name.into(), kind: kind.into(), format: format.into(), description: String::new(), priority }
    }

    fn custom(column: &Value, jsonpath: &str) -> Self {
        let text = |field: &str| column[field].as_str().unwrap_or_default().to_owned();
        let described = text("description");
        let default = || format!("Custom resource definition column (in JSONPath format): {jsonpath}");
        let description = if described.is_empty() { default() } else { described };
        let priority = column["priority"].as_i64().unwrap_or_default();
        Self { name: text("name"), kind: text("type"), format: text("format"), description, priority }
    }

    fn definition(&self) -> Value {
        json!({
            "name": self.name, "type": self.kind, "format": self.format, "description": self.description, "priority": self.priority,
        })
    }
}

/// What a value looks like in a column of this type; null when it is not of the type.
fn cell(kind: &str, value: Option<&Value>, now: Time) -> Value {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Value::Null };
    match (kind, value) {
        ("string", Value::String(text)) => text.clone().into(),
        ("string", other) => other.to_string().into(),
        #[expect(clippy::cast_possible_truncation, reason = "as the real server does")]
        ("integer", Value::Number(number)) => number.as_i64().or(number.as_f64().map(|number| number as i64)).into(),
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(text)) => text::parse_time(text).map_or("<invalid>".into(), |time| text::since(Some(time), now)).into(),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::kinds::{self, Custom};

    fn custom(columns: Value) -> Table {
        Table::of(&Kind { custom: Some(Custom { schema: Value::Null.into(), columns: columns.into() }), ..Kind::default() })
    }

    #[test]
    fn every_built_in_kind_fills_its_columns() {
        for kind in kinds::built_in() {
            let table = Table::of(&kind);
            assert_eq!(table.cells(&json!({"metadata": {"name": "x"}}), Time::UNIX_EPOCH).len(), table.columns.len(), "{}", kind.id());
        }
    }

    #[test]
    fn columns_of_a_definition() {
        let column = |name: &str, kind: &str, path: &str| json!({"name": name, "type": kind, "jsonPath": path});
        let table = custom(json!([
            column("Desired", "integer", ".spec.replicas"),
            column("Phase", "string", ".status.phase"),
            column("Wrong", "integer", ".status.phase"),
            column("List", "string", ".spec.list"),
            column("Since", "date", ".status.since"),
            column("Bad", "date", ".status.phase"),
            column("Gone", "string", ".spec.gone"),
        ]));
        let object = json!({
            "metadata": {"name": "x"}, "spec": {"replicas": 3.0, "list": [1, "a"]},
            "status": {"phase": "Paused", "since": "1970-01-01T00:00:00Z"},
        });
        let now = Time::UNIX_EPOCH + std::time::Duration::from_secs(150);
        assert_eq!(Value::from(table.cells(&object, now)), json!(["x", 3, "Paused", null, "[1,\"a\"]", "2m30s", "<invalid>", null]));
    }

    #[test]
    fn a_definition_without_columns_has_an_age() {
        let table = custom(Value::Null);
        assert_eq!(table.definitions()[1]["name"], "Age");
        assert_eq!(table.columns.len(), 2);
    }
}
