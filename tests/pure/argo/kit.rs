//! Fixtures as objects, and the API server's idea of a JSON Patch.

use std::{fs, path::Path};

use rolltop::{
    cluster::decode,
    engine::{Engine, Patch, Plan, Refusal, argo::ARGO},
    intent::Intent,
    model::{Rollout, Time},
    object::{Object, Objects, Resource, kinds},
};
use serde_json::Value;

pub static KINDS: [&Resource; 10] = [
    &kinds::ROLLOUT,
    &kinds::ANALYSIS_RUN,
    &kinds::EXPERIMENT,
    &kinds::REPLICA_SET,
    &kinds::DEPLOYMENT,
    &kinds::POD,
    &kinds::SERVICE,
    &kinds::EVENT,
    &kinds::INGRESS,
    &kinds::POD_TEMPLATE,
];

/// A recorded scene: the root and everything that was read with it.
#[derive(Clone)]
pub struct Scene {
    pub root: Object,
    pub objects: Objects,
}

pub fn names() -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/argo");
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

pub fn list(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/argo/{name}.json"));
    let list: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    list["items"].as_array().unwrap().clone()
}

pub fn scene(name: &str) -> Scene {
    Scene::of(&list(name))
}

/// The recorded scene with its Rollout changed.
pub fn changed(name: &str, change: impl FnOnce(&mut Value)) -> Scene {
    let mut items = list(name);
    change(items.iter_mut().find(|i| i["kind"] == "Rollout").unwrap());
    Scene::of(&items)
}

impl Scene {
    pub fn of(items: &[Value]) -> Self {
        let mut objects = Objects::default();
        let mut root = None;
        for item in items {
            let Some(object) = object(item) else { continue };
            if object.resource == &kinds::ROLLOUT {
                root = Some(object.clone());
            }
            objects.put(object);
        }
        Self { root: root.unwrap(), objects }
    }

    /// As the fleet sees it: the Rollout alone.
    pub fn alone(&self) -> Self {
        let mut objects = Objects::default();
        objects.put(self.root.clone());
        Self { root: self.root.clone(), objects }
    }

    pub fn model(&self) -> Rollout {
        ARGO.normalise("test", &self.root, &self.objects)
    }

    pub fn plan(&self, intent: &Intent) -> Result<Plan, Refusal> {
        ARGO.plan(&self.model(), &self.root, &self.objects, intent, now())
    }
}

pub fn now() -> Time {
    "2026-11-21T03:40:00Z".parse().unwrap()
}

pub fn object(value: &Value) -> Option<Object> {
    let resource = KINDS.iter().find(|k| value["kind"] == k.kind)?;
    decode::object(resource, value.to_string().as_bytes()).ok()
}

/// Applies a plan's writes to the objects they name, as the API server would: `test null` passes for an
/// absent member, and a status write changes nothing but the status.
pub fn apply(items: &[Value], plan: &Plan) -> Result<Vec<Value>, String> {
    let mut items = items.to_vec();
    for write in &plan.writes {
        let target = items.iter_mut().find(|i| i["kind"] == write.resource.kind && i["metadata"]["name"] == write.name.as_str()).unwrap();
        let before = target.clone();
        let Patch::Json(ops) = &write.patch;
        let ops: Vec<Value> = ops.iter().filter(|op| !absent_null(&before, op)).cloned().collect();
        let patch: json_patch::Patch = serde_json::from_value(Value::Array(ops)).unwrap();
        json_patch::patch(target, &patch).map_err(|e| e.to_string())?;
        match write.subresource {
            Some(_) => assert_eq!(target["spec"], before["spec"], "a status write must leave the spec alone"),
            None => assert_eq!(target["status"], before["status"], "a spec write must leave the status alone"),
        }
    }
    Ok(items)
}

fn absent_null(target: &Value, op: &Value) -> bool {
    op["op"] == "test" && op["value"].is_null() && target.pointer(op["path"].as_str().unwrap()).is_none()
}
