//! Recorded scenes with a Deployment as their root.

use std::{fs, path::Path};

use rolltop::{
    cluster::decode,
    engine::{Engine, Plan, Refusal, deployment::DEPLOYMENT},
    intent::Intent,
    model::Rollout,
    object::{Object, Objects, kinds},
};
use serde_json::Value;

use crate::{
    argo::kit::{now, object},
    kit,
};

pub const NAMES: [&str; 4] = ["deadline-exceeded", "paused-mid-roll", "pods-failing", "progressing"];

pub struct Scene {
    pub root: Object,
    pub objects: Objects,
}

pub fn list(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/deployment/{name}.json"));
    let list: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    list["items"].as_array().unwrap().clone()
}

pub fn root(items: &mut [Value]) -> &mut Value {
    items.iter_mut().find(|i| i["kind"] == "Deployment").unwrap()
}

pub fn changed(name: &str, change: impl FnOnce(&mut Value)) -> Vec<Value> {
    let mut items = list(name);
    change(root(&mut items));
    items
}

impl Scene {
    pub fn of(items: &[Value]) -> Self {
        let mut objects = Objects::default();
        items.iter().filter_map(|i| object(i).or_else(|| autoscaler(i))).for_each(|o| objects.put(o));
        let root = Object::clone(objects.iter(&kinds::DEPLOYMENT).next().unwrap());
        Self { root, objects }
    }

    /// As the fleet sees it.
    pub fn alone(items: &[Value]) -> Self {
        Self::of(&items.iter().filter(|i| i["kind"] == "Deployment").cloned().collect::<Vec<_>>())
    }

    pub fn model(&self) -> Rollout {
        DEPLOYMENT.normalise("test", &self.root, &self.objects)
    }

    pub fn plan(&self, intent: &Intent) -> Result<Plan, Refusal> {
        DEPLOYMENT.plan(&self.model(), &self.root, &self.objects, intent, now())
    }
}

fn autoscaler(item: &Value) -> Option<Object> {
    decode::object(&kinds::AUTOSCALER, item.to_string().as_bytes()).ok().filter(|_| item["kind"] == kinds::AUTOSCALER.kind)
}

pub fn apply(items: &[Value], plan: &Plan) -> Result<Vec<Value>, String> {
    kit::apply(&DEPLOYMENT, items, plan)
}
