//! A thousand Rollouts and ten thousand pods as they look in a real cluster, and changes to them.

use std::time::Duration;

use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::cluster::{Api, Identity, Rig};

/// A rollout that waits longest, so that it stands in the first row.
pub const MARKED: &str = "marked";

/// Which rollouts change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Any,
    /// Those that move and so stand in the list.
    Moving,
}

const RECORDED: [&str; 2] =
    [include_str!("../fixtures/argo/canary-healthy.json"), include_str!("../fixtures/argo/canary-router-paused-at-step.json")];
const NAMESPACES: usize = 20;
/// Of so many rollouts one moves.
const ONE_MOVES: usize = 20;
const AT_ONCE: usize = 16;
const ROLLOUTS: &str = "/apis/argoproj.io/v1alpha1/namespaces";

pub struct Fleet {
    api: Api,
}

impl Fleet {
    pub fn new(rig: &Rig) -> Self {
        Self { api: rig.api(Identity::Controllers) }
    }

    /// Creates all objects; the mean size of a rollout as the API server writes it is the answer.
    pub async fn fill(&self, rollouts: usize, pods: usize, alone: &str, quiet: &str) -> usize {
        let names: Vec<String> = (0..NAMESPACES).map(namespace).chain([alone, quiet, "front"].map(str::to_owned)).collect();
        let namespaces = names.iter().map(|n| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}}));
        self.all(namespaces.map(|o| async move { self.api.apply(&o).await.map(drop) })).await;
        let spread = (0..rollouts - 5).map(|n| (namespace(n % NAMESPACES), format!("r{n:04}"), n % ONE_MOVES == 0));
        let special = [("front", MARKED, true), (alone, "r0", true), (quiet, "r1", false), (quiet, "r2", false), (quiet, "r3", false)];
        let special = special.map(|(ns, name, moves)| (ns.to_owned(), name.to_owned(), moves));
        self.all(spread.chain(special).map(|(ns, name, moves)| self.rollout(ns, name, moves))).await;
        self.all((0..pods).map(|n| self.pod(n))).await;
        let list = self.api.text(&format!("{ROLLOUTS}/{}/rollouts", namespace(0))).await.unwrap();
        list.len() / (rollouts / NAMESPACES)
    }

    async fn all<F: Future<Output = Result<(), kube::Error>>>(&self, work: impl Iterator<Item = F>) {
        let mut work = stream::iter(work).buffer_unordered(AT_ONCE);
        while let Some(done) = work.next().await {
            done.expect("filling the cluster");
        }
    }

    async fn rollout(&self, namespace: String, name: String, moves: bool) -> Result<(), kube::Error> {
        let (object, status) = rollout(&namespace, &name, moves);
        self.api.apply(&object).await?;
        self.api.merge(&format!("{ROLLOUTS}/{namespace}/rollouts/{name}/status"), &json!({"status": status})).await.map(drop)
    }

    /// Deployments that roll nothing and that nobody asked about, in the same namespaces.
    pub async fn crowd(&self, deployments: usize) {
        self.all((0..deployments).map(|n| self.deployment(n))).await;
    }

    async fn deployment(&self, n: usize) -> Result<(), kube::Error> {
        let (object, status) = deployment(n);
        self.api.apply(&object).await?;
        let metadata = &object["metadata"];
        let (namespace, name) = (metadata["namespace"].as_str().unwrap(), metadata["name"].as_str().unwrap());
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}/status");
        self.api.merge(&path, &json!({"status": status})).await.map(drop)
    }

    async fn pod(&self, n: usize) -> Result<(), kube::Error> {
        self.api.apply(&pod(n)).await.map(drop)
    }

    /// Moves the rollout in front to a step; the answer is its new version.
    pub async fn step(&self, name: &str, step: usize) -> String {
        let patch = json!({"status": {"currentStepIndex": step}});
        let object = self.api.merge(&format!("{ROLLOUTS}/front/rollouts/{name}/status"), &patch).await.unwrap();
        object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
    }

    /// Changes rollouts at this rate, one after the other, as a controller does; says how many.
    pub async fn change(&self, rate: u32, time: Duration, which: Which) -> usize {
        let end = tokio::time::Instant::now() + time;
        let mut clock = tokio::time::interval(Duration::from_secs(1) / rate);
        let mut work = tokio::task::JoinSet::new();
        let mut sent = 0;
        while tokio::time::Instant::now() < end {
            clock.tick().await;
            while work.len() >= AT_ONCE {
                work.join_next().await;
            }
            let n = match which {
                Which::Any => fastrand::usize(..900),
                Which::Moving => fastrand::usize(..900 / ONE_MOVES) * ONE_MOVES,
            };
            let (path, ready) = (format!("{ROLLOUTS}/{}/rollouts/r{n:04}/status", namespace(n % NAMESPACES)), fastrand::u8(1..10));
            let api = self.api.clone();
            work.spawn(async move {
                api.merge(&path, &json!({"status": {"readyReplicas": ready, "availableReplicas": ready}})).await.expect("a change");
            });
            sent += 1;
        }
        work.join_all().await;
        sent
    }
}

fn namespace(n: usize) -> String {
    format!("team-{n:02}")
}

/// A recorded rollout under this name, with a pod template as people write them.
fn rollout(namespace: &str, name: &str, moves: bool) -> (Value, Value) {
    let recorded: Value = serde_json::from_str(RECORDED[usize::from(moves)]).unwrap();
    let mut object = recorded["items"][0].clone();
    let mut status = object["status"].take();
    object.as_object_mut().unwrap().remove("status");
    object["metadata"] = json!({
        "name": name, "namespace": namespace,
        "annotations": {"rollout.argoproj.io/revision": "2", "argocd.argoproj.io/tracking-id": format!("{name}:argoproj.io/Rollout:{namespace}/{name}")},
        "labels": {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": namespace},
    });
    object["spec"]["strategy"]["canary"] = json!({
        "canaryService": format!("{name}-canary"), "stableService": format!("{name}-stable"),
        "steps": [{"setWeight": 25}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}],
        "trafficRouting": {"nginx": {"stableIngress": name}},
    });
    object["spec"]["template"]["spec"]["containers"] = json!([container(name), container("proxy")]);
    status["observedGeneration"] = "1".into();
    if name == MARKED {
        status["pauseConditions"][0]["startTime"] = "2020-01-01T00:00:00Z".into();
    }
    (object, status)
}

fn container(name: &str) -> Value {
    let env: Vec<Value> =
        (0..16).map(|n| json!({"name": format!("SETTING_{n}"), "value": format!("value-{n}-of-{name}.svc.cluster.local:8080")})).collect();
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": "http"}, "periodSeconds": 10, "timeoutSeconds": 3});
    json!({
        "name": name, "image": format!("registry.example.com/team/{name}:v2.14.3"),
        "args": ["--listen=:8080", "--log-format=json"], "env": env,
        "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        "livenessProbe": probe("/live"), "readinessProbe": probe("/ready"),
        "volumeMounts": [{"name": "config", "mountPath": "/etc/config"}],
    })
}

/// A Deployment at rest, with a pod template as people write them.
fn deployment(n: usize) -> (Value, Value) {
    let (namespace, name) = (namespace(n % NAMESPACES), format!("d{n:04}"));
    let labels = json!({"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": namespace});
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": name, "namespace": namespace, "labels": labels,
            "annotations": {"deployment.kubernetes.io/revision": "7", "argocd.argoproj.io/tracking-id": format!("{name}:apps/Deployment:{namespace}/{name}")},
        },
        "spec": {
            "replicas": 3, "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "template": {"metadata": {"labels": labels}, "spec": {
                "containers": [container(&name), container("proxy")], "volumes": [{"name": "config", "emptyDir": {}}],
            }},
        },
    });
    let condition = |kind: &str, reason: &str| json!({"type": kind, "status": "True", "reason": reason, "message": "fine", "lastTransitionTime": "2026-01-01T00:00:00Z", "lastUpdateTime": "2026-01-01T00:00:00Z"});
    let status = json!({
        "observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3,
        "conditions": [condition("Available", "MinimumReplicasAvailable"), condition("Progressing", "NewReplicaSetAvailable")],
    });
    (object, status)
}

/// A pod that only is there.
fn pod(n: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("r{:04}-7cc4dbf955-{n:05}", n % 1_000), "namespace": namespace(n % NAMESPACES),
            "labels": {"app.kubernetes.io/name": format!("r{:04}", n % 1_000), "rollouts-pod-template-hash": "7cc4dbf955"},
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "app", "image": "registry.example.com/team/app:v2.14.3"}]},
    })
}
