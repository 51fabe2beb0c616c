//! Containers of a pod template, by name.

use serde_json::Value;

use crate::model::Text;

const LISTS: [&str; 2] = ["containers", "initContainers"];

/// Path and image of a container, init containers included.
pub fn find(object: &Value, template: &str, name: &str) -> Option<(String, String)> {
    LISTS.iter().find_map(|list| {
        let path = format!("{template}/spec/{list}");
        let all = object.pointer(&path)?.as_array()?;
        let at = all.iter().position(|c| c.get("name").and_then(Value::as_str) == Some(name))?;
        let image = all[at].get("image").and_then(Value::as_str)?;
        Some((format!("{path}/{at}"), image.to_owned()))
    })
}

/// Names and images, init containers last.
pub fn all(template: &Value) -> Vec<(Text, Text)> {
    let text = |c: &Value, key: &str| Text::from(c.get(key).and_then(Value::as_str).unwrap_or(""));
    let lists = LISTS.iter().filter_map(|list| template.pointer(&format!("/spec/{list}"))?.as_array());
    lists.flatten().map(|c| (text(c, "name"), text(c, "image"))).collect()
}
