//! The recorded pair as objects, with changes, and the API server's idea of a JSON Patch.

use std::{fs, path::Path};

use rolltop::{
    cluster::decode,
    engine::{Engine, Patch, Plan, Progress, Refusal, bluegreen::BLUE_GREEN},
    intent::Intent,
    model::Rollout,
    object::{Object, Objects, Resource, kinds},
};
use serde_json::{Value, json};

static KINDS: [&Resource; 7] =
    [&kinds::SERVICE, &kinds::DEPLOYMENT, &kinds::REPLICA_SET, &kinds::POD, &kinds::AUTOSCALER, &kinds::CANARY, &kinds::ROLLOUT];

#[derive(Clone)]
pub struct Scene {
    pub items: Vec<Value>,
}

pub fn scene(name: &str) -> Scene {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/bluegreen/{name}.json"));
    let list: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    Scene { items: list["items"].as_array().unwrap().clone() }
}

/// Users on blue with v1, green holds v2 and is ready.
pub fn waiting() -> Scene {
    scene("before-flip").image("app-green", "app:v2")
}

/// Users on green with v2, blue still has its pods.
pub fn flipped() -> Scene {
    scene("after-flip").image("app-green", "app:v2")
}

impl Scene {
    pub fn with(mut self, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        change(self.items.iter_mut().find(|i| i["metadata"]["name"] == name).unwrap());
        self
    }

    pub fn plus(mut self, item: Value) -> Self {
        self.items.push(item);
        self
    }

    pub fn image(self, name: &str, image: &str) -> Self {
        self.with(name, |d| d["spec"]["template"]["spec"]["containers"][0]["image"] = image.into())
    }

    /// Wanted and ready pods of a Deployment.
    pub fn pods(self, name: &str, wanted: u32, ready: u32) -> Self {
        self.with(name, |d| {
            d["spec"]["replicas"] = wanted.into();
            d["status"]["replicas"] = wanted.into();
            d["status"]["updatedReplicas"] = wanted.into();
            d["status"]["readyReplicas"] = ready.into();
            d["status"]["availableReplicas"] = ready.into();
        })
    }

    /// Another Service beside the recorded one.
    pub fn service(self, name: &str, selector: Value) -> Self {
        let metadata =
            json!({"namespace": "shop", "name": name, "uid": format!("uid of {name}"), "creationTimestamp": "2026-11-21T04:00:00Z"});
        self.plus(json!({"kind": "Service", "metadata": metadata, "spec": {"selector": selector}}))
    }

    pub fn objects(&self) -> Objects {
        let mut objects = Objects::default();
        for item in &self.items {
            let Some(resource) = KINDS.iter().find(|k| item["kind"] == k.kind) else { continue };
            objects.put(decode::object(resource, item.to_string().as_bytes()).unwrap());
        }
        objects
    }

    pub fn root(&self) -> Object {
        (**self.objects().named(&kinds::SERVICE, "shop", "app").unwrap()).clone()
    }

    pub fn parts(&self, service: &str) -> Option<Vec<String>> {
        let objects = self.objects();
        let root = objects.named(&kinds::SERVICE, "shop", service).unwrap();
        Some(BLUE_GREEN.parts(root, &objects)?.into_iter().map(|p| p.name.to_string()).collect())
    }

    pub fn model(&self) -> Rollout {
        BLUE_GREEN.normalise("test", &self.root(), &self.objects())
    }

    pub fn plan(&self, intent: &Intent) -> Result<Plan, Refusal> {
        BLUE_GREEN.plan(&self.model(), &self.root(), &self.objects(), intent, "2026-11-21T05:00:00Z".parse().unwrap())
    }

    pub fn progress(&self, plan: &Plan) -> Progress {
        BLUE_GREEN.progress(&plan.expect.goal, &self.model(), &self.root(), &self.objects())
    }

    /// The scene after a plan's writes, in order; the first refused one ends it.
    pub fn apply(&self, plan: &Plan) -> Result<Self, String> {
        let mut after = self.clone();
        for write in &plan.writes {
            let named = |i: &&mut Value| i["kind"] == write.resource.kind && i["metadata"]["name"] == write.name.as_str();
            let target = after.items.iter_mut().find(named).unwrap();
            let Patch::Json(ops) = &write.patch;
            // The server lets a test for `null` pass where there is no such member.
            let absent =
                |op: &&Value| op["op"] == "test" && op["value"].is_null() && target.pointer(op["path"].as_str().unwrap()).is_none();
            let ops: Vec<Value> = ops.iter().filter(|op| !absent(op)).cloned().collect();
            let patch: json_patch::Patch = serde_json::from_value(Value::Array(ops)).unwrap();
            json_patch::patch(target, &patch).map_err(|e| e.to_string())?;
        }
        Ok(after)
    }
}
