//! Kubernetes' own workloads, as tests make them, and an engine's plans on what a server really holds.

use std::{collections::BTreeSet, time::Instant};

use rolltop::{
    clock,
    cluster::decode,
    engine::{Engine, Patch, Plan, Progress, Refusal, Write},
    intent::Intent,
    model::Rollout,
    object::{Object, Objects, Resource, kinds},
};
use serde_json::{Value, json};

use crate::{
    cluster::{
        Pods,
        api::collection,
        fixtures::Fixtures,
        manifests::{self, object},
    },
    suite::app::PATIENCE,
};

pub const APPS: &str = "apps/v1";

/// What is read for a plan.
static READ: [&Resource; 5] = [&kinds::SERVICE, &kinds::DEPLOYMENT, &kinds::REPLICA_SET, &kinds::POD, &kinds::AUTOSCALER];

/// A Deployment whose pods fare like this.
pub fn deployment(name: &str, replicas: u32, tag: &str, pods: Pods) -> Value {
    let mut deployment = object(APPS, "Deployment", name);
    deployment["spec"] = json!({
        "replicas": replicas,
        "selector": {"matchLabels": {"app": name}},
        "template": manifests::pod_template(name, tag, pods),
    });
    deployment
}

pub fn autoscaler(name: &str, of: &str, min: u32, max: u32) -> Value {
    let mut hpa = object("autoscaling/v2", "HorizontalPodAutoscaler", name);
    let target = json!({"apiVersion": APPS, "kind": "Deployment", "name": of});
    hpa["spec"] = json!({"scaleTargetRef": target, "minReplicas": min, "maxReplicas": max});
    hpa
}

/// Merge patch, as somebody else than the person in front of the screen.
pub async fn patch(fx: &Fixtures, api_version: &str, plural: &str, name: &str, patch: &Value) -> Value {
    let path = format!("{}/{name}", collection(api_version, Some(fx.namespace()), plural));
    fx.api().merge(&path, patch).await.unwrap_or_else(|error| panic!("patching {name}: {error}"))
}

/// Merge patch of a Deployment.
pub async fn edit(fx: &Fixtures, name: &str, change: &Value) -> Value {
    patch(fx, APPS, "deployments", name, change).await
}

/// As autoscalers do it.
pub async fn scale(fx: &Fixtures, name: &str, replicas: u32) {
    edit(fx, &format!("{name}/scale"), &json!({"spec": {"replicas": replicas}})).await;
}

/// Begins to roll out the version `tag`.
pub async fn release(fx: &Fixtures, name: &str, tag: &str, pods: Pods) {
    edit(fx, name, &manifests::release(tag, pods)).await;
}

/// Waits until a Deployment is as wished.
pub async fn until(fx: &Fixtures, name: &str, wish: impl Fn(&Value) -> bool) -> Value {
    let begin = Instant::now();
    loop {
        let found = fx.get(APPS, "deployments", name).await;
        if wish(&found) {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "{name} is not as wished:\n{found:#}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// All pods are of the newest template and available.
pub fn complete(deployment: &Value) -> bool {
    let wanted = &deployment["spec"]["replicas"];
    let counts = ["replicas", "updatedReplicas", "availableReplicas"];
    deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"]
        && counts.iter().all(|count| &deployment["status"][*count] == wanted)
}

pub async fn rolled_out(fx: &Fixtures, name: &str) -> Value {
    until(fx, name, complete).await
}

/// Image of the first container.
pub fn image(deployment: &Value) -> &str {
    deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default()
}

pub fn version(object: &Value) -> &Value {
    &object["metadata"]["resourceVersion"]
}

/// One rollout as a session sees it that has just read everything.
pub struct Desk {
    engine: &'static dyn Engine,
    objects: Objects,
    root: Object,
}

impl Desk {
    pub async fn read(fx: &Fixtures, engine: &'static dyn Engine, name: &str) -> Self {
        let mut objects = Objects::default();
        let its = engine.descriptor();
        let kinds: BTreeSet<_> = READ.iter().chain(its.roots).chain(its.details).copied().collect();
        for kind in kinds {
            for item in fx.list(&kind.api_version(), kind.plural).await {
                objects.put(decode::object(kind, item.to_string().as_bytes()).unwrap());
            }
        }
        let root = engine.descriptor().roots.iter().find_map(|kind| objects.named(kind, fx.namespace(), name)).unwrap();
        let root = Object::clone(root);
        Self { engine, objects, root }
    }

    pub fn model(&self) -> Rollout {
        self.engine.normalise("rig", &self.root, &self.objects)
    }

    pub fn plan(&self, intent: &Intent) -> Result<Plan, Refusal> {
        self.engine.plan(&self.model(), &self.root, &self.objects, intent, clock::now())
    }

    /// How far a plan has got.
    pub fn progress(&self, plan: &Plan) -> Progress {
        self.engine.progress(&plan.expect.goal, &self.model(), &self.root, &self.objects)
    }
}

/// Sends the writes of a plan as they are, each only after the one before was taken.
pub async fn carry_out(fx: &Fixtures, plan: &Plan) -> Result<(), kube::Error> {
    for write in &plan.writes {
        let Patch::Json(ops) = &write.patch;
        fx.api().json_patch(&path(write), &Value::Array(ops.clone())).await?;
    }
    Ok(())
}

fn path(write: &Write) -> String {
    assert!(write.subresource.is_none());
    format!("{}/{}", collection(&write.resource.api_version(), Some(&write.namespace), write.resource.plural), write.name)
}

/// Refused because a condition did not hold.
#[track_caller]
pub fn lost(sent: Result<(), kube::Error>) {
    match sent {
        Err(kube::Error::Api(status)) if status.code == 422 => (),
        other => panic!("a condition was not kept: {other:?}"),
    }
}
