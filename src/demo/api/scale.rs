//! The `/scale` subresource: how many, in the same words for every kind.

use serde_json::{Value, json};

use super::{Answer, Call, patch};
use crate::demo::{
    kinds::{self, Scale},
    refusal::{Problem, Refusal},
    registry::{self, Write, normal, types},
    sim::Sim,
    store::{Key, Store},
    world::World,
};

pub fn get(world: &World, call: &Call) -> Answer {
    answer(world, call, |store, target| target.scale(&target.find(store)?))
}

pub fn update(world: &World, call: &Call) -> Answer {
    answer(world, call, |store, target| {
        let before = target.find(store)?;
        let wanted = serde_json::from_slice(&call.body).map_err(|error| Refusal::bad_request(patch::json_error(&call.body, &error)))?;
        target.write(store, before, wanted)
    })
}

pub fn patch(world: &World, call: &Call) -> Answer {
    answer(world, call, |store, target| {
        let before = target.find(store)?;
        // A number may be added where there was none.
        let shown = target.scale(&before).unwrap_or_else(|_| target.show(&before, &Value::Null));
        let wanted = match call.content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => patch::json(&shown, &call.body)?,
            "application/merge-patch+json" => patch::merge(&shown, &call.body)?,
            "application/strategic-merge-patch+json" if call.target.kind.custom.is_none() => {
                patch::strategic(types::named("Scale"), &shown, &call.body)?
            }
            _ => {
                let accepted = ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];
                return Err(Refusal::unsupported_media_type(&accepted));
            }
        };
        target.write(store, before, wanted)
    })
}

fn answer(world: &World, call: &Call, act: impl FnOnce(&mut Store, &Scaled<'_>) -> Result<Value, Refusal>) -> Answer {
    let Some(scale) = &call.target.kind.scale else {
        return Refusal::new(404, "NotFound", "the server could not find the requested resource").into();
    };
    let scaled = world.with(|sim: &mut Sim| {
        let target = Scaled { call, scale, now: sim.now() };
        act(&mut sim.store, &target)
    });
    scaled.map_or_else(Answer::from, |scale| Answer::Json(200, scale))
}

/// What is to be scaled, and where its numbers are.
struct Scaled<'c> {
    call: &'c Call,
    scale: &'c Scale,
    now: crate::model::Time,
}

impl Scaled<'_> {
    fn name(&self) -> &str {
        self.call.target.name.as_deref().unwrap_or_default()
    }

    fn find(&self, store: &Store) -> Result<Value, Refusal> {
        let target = &self.call.target;
        let key = Key::new(&target.kind.id(), target.namespace.as_deref().unwrap_or_default(), self.name());
        store.get(&key).map(|found| found.value()).ok_or_else(|| Refusal::not_found(&key.kind, &key.name))
    }

    fn scale(&self, object: &Value) -> Result<Value, Refusal> {
        match object.pointer(&self.scale.spec) {
            Some(replicas) => Ok(self.show(object, replicas)),
            None => {
                let why = format!("the spec replicas field {:?} does not exist", self.scale.spec.replace('/', "."));
                let details = json!({"causes": [{"message": why}]});
                Err(Refusal { details, ..Refusal::new(500, "InternalError", format!("Internal error occurred: {why}")) })
            }
        }
    }

    fn show(&self, object: &Value, replicas: &Value) -> Value {
        let mut status = json!({"replicas": object.pointer(&self.scale.status).and_then(Value::as_i64).unwrap_or_default()});
        if let Some(selector) = self.selector(object) {
            status["selector"] = selector.into();
        }
        let mut metadata = json!({});
        for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            if let Some(value) = object["metadata"].get(field) {
                metadata[field] = value.clone();
            }
        }
        let spec = if replicas.is_null() { json!({}) } else { json!({"replicas": replicas}) };
        json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status})
    }

    /// Custom kinds keep the selector as text in their status, built-in ones as an object in their spec.
    fn selector(&self, object: &Value) -> Option<String> {
        let pointer = self.scale.selector.as_deref()?;
        if self.call.target.kind.custom.is_some() {
            return object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        }
        Some(selector_text(&object["spec"]["selector"])).filter(|text| !text.is_empty())
    }

    fn write(&self, store: &mut Store, before: Value, wanted: Value) -> Result<Value, Refusal> {
        let sent = wanted.to_string();
        let mut wanted = wanted;
        let scale = types::named("Scale").map_or(Ok(Vec::new()), |known| normal::read(known, &mut wanted));
        if let Err(normal::Mismatch(why)) = scale {
            return Err(Refusal::invalid_options("", "", "", &[Problem::invalid("patch", &json!(sent), why)]));
        }
        let kind = &self.call.target.kind;
        let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or_default();
        if replicas < 0 {
            return Err(self.negative(replicas));
        }
        let mut object = before;
        let version = &wanted["metadata"]["resourceVersion"];
        if version.as_str().is_some_and(|version| !version.is_empty() && object["metadata"]["resourceVersion"] != version) {
            return Err(registry::stale(kind, self.name()));
        }
        let path = self.scale.spec.trim_start_matches('/').split('/');
        *path.fold(&mut object, |below, field| &mut below[field]) = replicas.into();
        let agent = self.call.user_agent.split('/').next().unwrap_or_default();
        let manager = self.call.asks("fieldManager").filter(|manager| !manager.is_empty()).unwrap_or(agent);
        let api_version = kinds::api_version(&kind.group, &self.call.target.version);
        let write = Write {
            dry_run: self.call.is_dry_run(),
            client: true,
            api_version: &api_version,
            subresource: "scale",
            ..Write::new(self.now, manager)
        };
        let written = registry::update(store, &kind.id(), object, write)?;
        self.scale(&written)
    }

    fn negative(&self, replicas: i64) -> Refusal {
        let kind = &self.call.target.kind;
        if kind.custom.is_some() {
            let problem = Problem::invalid(self.scale.spec.replace('/', "."), &json!(replicas), "should be a non-negative integer");
            return Refusal::invalid(kind, self.name(), &[problem]);
        }
        let problem = Problem::invalid("spec.replicas", &json!(replicas), "must be greater than or equal to 0");
        Refusal::invalid_options("Scale", "autoscaling", self.name(), &[problem])
    }
}

/// A label selector as text: `app=web,tier in (a,b)`.
fn selector_text(selector: &Value) -> String {
    let labels = selector.get("matchLabels").unwrap_or(selector);
    let same = labels.as_object().into_iter().flatten().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    let rules = selector["matchExpressions"].as_array().into_iter().flatten().map(|rule| {
        let key = rule["key"].as_str().unwrap_or_default();
        let mut values: Vec<&str> = rule["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        values.sort_unstable();
        match rule["operator"].as_str() {
            Some("In") => format!("{key} in ({})", values.join(",")),
            Some("NotIn") => format!("{key} notin ({})", values.join(",")),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key.to_owned(),
        }
    });
    let mut parts: Vec<String> = same.chain(rules).collect();
    parts.sort();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_written_as_the_real_server_writes_them() {
        let selector = json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["b", "a"]}, {"key": "gone", "operator": "DoesNotExist"}],
        });
        assert_eq!(selector_text(&selector), "!gone,app=web,tier in (a,b)");
        assert_eq!(selector_text(&json!({"app": "old"})), "app=old");
    }
}
