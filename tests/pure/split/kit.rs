//! A route with the two workloads behind it, with changes, and the API server's idea of a JSON Patch.

use std::{fmt, fs, path::Path, sync::Arc};

use rolltop::{
    cluster::decode,
    engine::{Engine, Patch, Plan, Progress, Refusal, split::SPLIT},
    intent::Intent,
    model::{Notice, Rollout, Severity, Time},
    object::{Object, Objects, Resource, kinds},
    settings::Conventions,
};
use serde_json::{Value, json};

static KINDS: [&Resource; 16] = [
    &kinds::HTTP_ROUTE,
    &kinds::GRPC_ROUTE,
    &kinds::VIRTUAL_SERVICE,
    &kinds::DESTINATION_RULE,
    &kinds::INGRESS,
    &kinds::TRAEFIK_SERVICE,
    &kinds::INGRESS_ROUTE,
    &kinds::TRAFFIC_SPLIT,
    &kinds::HTTP_PROXY,
    &kinds::SERVICE,
    &kinds::DEPLOYMENT,
    &kinds::STATEFUL_SET,
    &kinds::REPLICA_SET,
    &kinds::POD,
    &kinds::CANARY,
    &kinds::ROLLOUT,
];

/// Every recorded route: its file, and the new side's percentage in it.
pub const ROUTES: [(&str, f64); 10] = [
    ("httproute", 10.0),
    ("grpcroute", 25.0),
    ("virtualservice-hosts", 10.0),
    ("virtualservice-subsets", 25.0),
    ("nginx", 10.0),
    ("traefikservice", 10.0),
    ("ingressroute", 10.0),
    ("trafficsplit", 10.0),
    ("httpproxy", 10.0),
    ("alb", 10.0),
];

pub const NOW: &str = "2026-11-21T05:00:00Z";

pub fn at(time: &str) -> Time {
    time.parse().unwrap()
}

#[derive(Clone)]
pub struct Scene {
    pub items: Vec<Value>,
    /// Kind and name of the route.
    pub root: (String, String),
    pub conventions: Conventions,
}

/// One object a line.
impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.items.iter().try_for_each(|item| writeln!(f, "{item}"))
    }
}

fn list(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/split/{name}.json"));
    let list: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    list["items"].as_array().unwrap().clone()
}

/// A route and its workloads: `web-stable` with v1, `web-canary` with v2, two ready pods each.
pub fn scene(name: &str) -> Scene {
    let routes = list(name);
    // Of two Ingresses the canary's is the route.
    let root =
        routes.iter().find(|i| i["kind"] != "DestinationRule" && (name != "nginx" || i["metadata"]["name"] == "web-canary")).unwrap();
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let root = (text(&root["kind"]), text(&root["metadata"]["name"]));
    Scene { items: [routes, list("workloads")].concat(), root, conventions: Conventions::default() }
}

impl Scene {
    pub fn with(mut self, kind: &str, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        change(self.items.iter_mut().find(|i| i["kind"] == kind && i["metadata"]["name"] == name).unwrap());
        self
    }

    pub fn route(self, change: impl FnOnce(&mut Value)) -> Self {
        let (kind, name) = self.root.clone();
        self.with(&kind, &name, change)
    }

    pub fn plus(mut self, item: Value) -> Self {
        self.items.push(item);
        self
    }

    pub fn without(mut self, kind: &str, name: &str) -> Self {
        self.items.retain(|i| i["kind"] != kind || i["metadata"]["name"] != name);
        self
    }

    /// Weights of the HTTPRoute's weighted rule.
    pub fn weights(self, stable: i64, canary: i64) -> Self {
        self.route(|r| {
            r["spec"]["rules"][1]["backendRefs"][0]["weight"] = stable.into();
            r["spec"]["rules"][1]["backendRefs"][1]["weight"] = canary.into();
        })
    }

    pub fn image(self, name: &str, image: &str) -> Self {
        self.with("Deployment", name, |d| d["spec"]["template"]["spec"]["containers"][0]["image"] = image.into())
    }

    /// Wanted and ready pods of a Deployment.
    pub fn pods(self, name: &str, wanted: u32, ready: u32) -> Self {
        self.with("Deployment", name, |d| {
            d["spec"]["replicas"] = wanted.into();
            d["status"]["replicas"] = wanted.into();
            d["status"]["updatedReplicas"] = wanted.into();
            d["status"]["readyReplicas"] = ready.into();
            d["status"]["availableReplicas"] = ready.into();
        })
    }

    /// When a Deployment was last brought out.
    pub fn rolled(self, name: &str, time: &str) -> Self {
        self.with("Deployment", name, |d| {
            for condition in d["status"]["conditions"].as_array_mut().unwrap() {
                condition["lastUpdateTime"] = time.into();
            }
        })
    }

    pub fn mark(self, text: &str) -> Self {
        self.route(|r| r["metadata"]["annotations"] = json!({"rolltop/phase": text}))
    }

    pub fn objects(&self) -> Objects {
        let mut objects = Objects::under(Arc::new(self.conventions.clone()));
        for item in &self.items {
            let Some(resource) = KINDS.iter().find(|k| item["kind"] == k.kind) else { continue };
            objects.put(decode::object(resource, item.to_string().as_bytes()).unwrap());
        }
        objects
    }

    pub fn root(&self) -> Object {
        let resource = KINDS.iter().find(|k| k.kind == self.root.0).unwrap();
        (**self.objects().named(resource, "shop", &self.root.1).unwrap()).clone()
    }

    /// Kind and name of each part.
    pub fn parts(&self) -> Option<Vec<String>> {
        let parts = SPLIT.parts(&self.root(), &self.objects())?;
        let mut parts: Vec<String> = parts.iter().map(|p| format!("{} {}", p.resource.kind, p.name)).collect();
        parts.sort();
        parts.dedup();
        Some(parts)
    }

    pub fn model(&self) -> Rollout {
        SPLIT.normalise("test", &self.root(), &self.objects())
    }

    pub fn plan(&self, intent: &Intent) -> Result<Plan, Refusal> {
        self.plan_at(intent, NOW)
    }

    pub fn plan_at(&self, intent: &Intent, now: &str) -> Result<Plan, Refusal> {
        SPLIT.plan(&self.model(), &self.root(), &self.objects(), intent, at(now))
    }

    pub fn refused(&self, intent: &Intent) -> String {
        match self.plan(intent) {
            Err(refusal) => refusal.reason.to_string(),
            Ok(plan) => panic!("{intent:?} was planned: {}", plan.sentence),
        }
    }

    pub fn progress(&self, plan: &Plan) -> Progress {
        SPLIT.progress(&plan.expect.goal, &self.model(), &self.root(), &self.objects())
    }

    /// The scene after a plan's one write.
    pub fn apply(&self, plan: &Plan) -> Result<Self, String> {
        let [write] = plan.writes.as_slice() else { panic!("{} writes", plan.writes.len()) };
        let mut after = self.clone();
        let target = after.items.iter_mut().find(|i| i["kind"] == write.resource.kind && i["metadata"]["name"] == write.name.as_str());
        let target = target.unwrap();
        *target = patched(target, &ops(plan)).ok_or("422")?;
        Ok(after)
    }
}

/// As a real server does it: a `test` for null passes where nothing is.
fn patched(target: &Value, ops: &[Value]) -> Option<Value> {
    let mut target = target.clone();
    for op in ops {
        let path = op["path"].as_str().unwrap();
        let parent = path.rsplit_once('/').map(|(parent, _)| parent).unwrap_or("");
        if op["op"] == "test" && op["value"].is_null() && target.pointer(path).is_none() && target.pointer(parent).is_some() {
            continue;
        }
        let patch: json_patch::Patch = serde_json::from_value(json!([op])).unwrap();
        json_patch::patch(&mut target, &patch).ok()?;
    }
    Some(target)
}

pub fn ops(plan: &Plan) -> Vec<Value> {
    let Patch::Json(ops) = &plan.writes[0].patch;
    ops.clone()
}

/// What a plan sets, without its conditions: `path value`.
pub fn sets(plan: &Plan) -> Vec<(String, Value)> {
    let sets = ops(plan).into_iter().filter(|op| op["op"] != "test");
    sets.map(|op| (op["path"].as_str().unwrap().to_owned(), op["value"].clone())).collect()
}

pub fn weight(percent: u8) -> Intent {
    Intent::SetWeight { percent }
}

pub fn said(notices: &[Notice], severity: Severity) -> Vec<String> {
    notices.iter().filter(|n| n.severity == severity).map(|n| n.text.to_string()).collect()
}
