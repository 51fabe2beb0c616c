//! Fixtures as objects, and the API server's idea of a JSON Patch.

use std::{fs, path::Path};

use rolltop::{
    cluster::decode,
    engine::{Engine, Patch, Plan, Refusal, flagger::FLAGGER},
    intent::Intent,
    model::{Rollout, Time},
    object::{Object, Objects, Resource, kinds},
};
use serde_json::Value;

static KINDS: [&Resource; 9] = [
    &kinds::CANARY,
    &kinds::DEPLOYMENT,
    &kinds::REPLICA_SET,
    &kinds::POD,
    &kinds::SERVICE,
    &kinds::EVENT,
    &kinds::INGRESS,
    &kinds::VIRTUAL_SERVICE,
    &kinds::HTTP_ROUTE,
];

#[derive(Clone)]
pub struct Scene {
    pub root: Object,
    pub objects: Objects,
}

fn dir() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/flagger")
}

pub fn names() -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir()).unwrap().map(|e| e.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

pub fn list(name: &str) -> Vec<Value> {
    let list: Value = serde_json::from_str(&fs::read_to_string(dir().join(format!("{name}.json"))).unwrap()).unwrap();
    list["items"].as_array().unwrap().clone()
}

pub fn scene(name: &str) -> Scene {
    Scene::of(&list(name))
}

pub fn canary(items: &mut [Value]) -> &mut Value {
    items.iter_mut().find(|i| i["kind"] == "Canary").unwrap()
}

/// The recorded scene with its Canary changed.
pub fn changed(name: &str, change: impl FnOnce(&mut Value)) -> Scene {
    let mut items = list(name);
    change(canary(&mut items));
    Scene::of(&items)
}

impl Scene {
    pub fn of(items: &[Value]) -> Self {
        let mut objects = Objects::default();
        for item in items {
            if let Some(kind) = KINDS.iter().find(|k| item["kind"] == k.kind) {
                objects.put(decode::object(kind, item.to_string().as_bytes()).unwrap());
            }
        }
        let root = (**objects.iter(&kinds::CANARY).next().unwrap()).clone();
        Self { root, objects }
    }

    /// As the fleet may see it: the Canary alone.
    pub fn alone(&self) -> Self {
        let mut objects = Objects::default();
        objects.put(self.root.clone());
        Self { root: self.root.clone(), objects }
    }

    pub fn model(&self) -> Rollout {
        FLAGGER.normalise("test", &self.root, &self.objects)
    }

    pub fn plan(&self, intent: &Intent) -> Result<Plan, Refusal> {
        FLAGGER.plan(&self.model(), &self.root, &self.objects, intent, now())
    }
}

pub fn now() -> Time {
    "2026-11-21T03:40:00Z".parse().unwrap()
}

/// Applies a plan's writes as the API server would: `test null` passes for an absent member, a status write changes
/// nothing but the status, and any other change of the spec counts the generation up.
pub fn apply(items: &[Value], plan: &Plan) -> Result<Vec<Value>, String> {
    let mut items = items.to_vec();
    for write in &plan.writes {
        // A call has conditions only, and they are the Canary's.
        let (kind, name) = match &write.call {
            Some(call) => (call.root.kind, &*plan.target.name),
            None => (write.resource.kind, &*write.name),
        };
        let target = items.iter_mut().find(|i| i["kind"] == kind && i["metadata"]["name"] == name).unwrap();
        let before = target.clone();
        let Patch::Json(ops) = &write.patch;
        let absent_null =
            |op: &Value| op["op"] == "test" && op["value"].is_null() && before.pointer(op["path"].as_str().unwrap()).is_none();
        let ops: Vec<Value> = ops.iter().filter(|op| !absent_null(op)).cloned().collect();
        let patch: json_patch::Patch = serde_json::from_value(Value::Array(ops)).unwrap();
        json_patch::patch(target, &patch).map_err(|e| e.to_string())?;
        match write.subresource {
            Some(_) => assert_eq!(target["spec"], before["spec"], "a status write must leave the spec alone"),
            None => assert_eq!(target["status"], before["status"], "a spec write must leave the status alone"),
        }
        if target["spec"] != before["spec"] {
            target["metadata"]["generation"] = (before["metadata"]["generation"].as_i64().unwrap() + 1).into();
        }
    }
    Ok(items)
}
