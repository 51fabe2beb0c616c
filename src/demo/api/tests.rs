//! The reading half of the API server, asked over HTTP. Words, codes and shapes are those of a kube-apiserver 1.35.4
//! that was asked the same.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clients;
mod discovery;
mod logs;
mod reading;
mod watching;

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, header},
};
use futures::StreamExt;
use serde_json::{Value, json};
use tower::Service;

use crate::{
    clock::Clock,
    demo::{
        api::{self, tokens::MASTERS},
        kinds::{Custom, Kind, Scale},
        sim::{Metrics, Samples, Sim},
        store::Key,
        world::World,
    },
    model::Time,
};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const PARTIAL_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

struct Mute;

impl Metrics for Mute {
    fn query(&self, _: &str, _: &str, _: Time) -> Result<Samples, String> {
        Ok(Samples::Vector(Vec::new()))
    }
}

fn rollouts() -> Kind {
    let columns = json!([{"name": "Desired", "type": "integer", "jsonPath": ".spec.replicas"}]);
    Kind {
        group: "argoproj.io".into(),
        versions: vec!["v1alpha1".into(), "v1".into()],
        kind: "Rollout".into(),
        plural: "rollouts".into(),
        singular: "rollout".into(),
        short_names: vec!["ro".into()],
        namespaced: true,
        status: true,
        scale: Some(Scale { spec: "/spec/replicas".into(), status: "/status/HPAReplicas".into(), selector: None }),
        custom: Some(Custom { schema: json!({"type": "object"}).into(), columns: columns.into() }),
        ..Kind::default()
    }
}

/// The end of 2026-11-21's first minute: all tests happen then.
fn now() -> Time {
    "2026-11-21T00:01:00Z".parse().unwrap()
}

/// A cluster with some pods, and a kind that came with a definition. Its clock stands still.
pub(super) fn world() -> Arc<World> {
    let mut sim = Sim::new(now(), 1, Vec::new(), Box::new(Mute));
    sim.store.add_kind(rollouts());
    let world = World::new(sim, Clock::new(now(), 0.0));
    world.tokens.add("admin", "admin", &[MASTERS]);
    for (namespace, name, app) in [("pay", "ledger", "ledger"), ("shop", "a", "web"), ("shop", "b", "web"), ("shop", "c", "db")] {
        put(&world, "pods", namespace, name, pod(name, app, "Running"));
    }
    put(
        &world,
        "rollouts.argoproj.io",
        "shop",
        "web",
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "spec": {"replicas": 4}}),
    );
    world
}

fn pod(name: &str, app: &str, phase: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": app}, "creationTimestamp": "2026-11-21T00:00:00Z", "uid": format!("uid-{name}")},
        "spec": {"nodeName": "n1", "containers": [{"name": "app", "image": "registry:5000/app:v2"}]}, "status": {"phase": phase},
    })
}

/// Stores an object and returns its revision.
pub(super) fn put(world: &World, kind: &str, namespace: &str, name: &str, mut object: Value) -> u64 {
    object["metadata"]["name"] = name.into();
    object["metadata"]["namespace"] = namespace.into();
    world.with(|sim| sim.store.put(Key::new(kind, namespace, name), object).unwrap().revision)
}

fn remove(world: &World, kind: &str, namespace: &str, name: &str) {
    world.with(|sim| sim.store.remove(&Key::new(kind, namespace, name)).unwrap());
}

/// An answer, read to its end.
struct Heard {
    code: u16,
    headers: HeaderMap,
    text: String,
}

impl Heard {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }

    fn names(&self) -> Vec<String> {
        let items = self.json()["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }
}

fn request(method: &str, path: &str, accept: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header(header::ACCEPT, accept).header(header::HOST, "127.0.0.1:1");
    request.header(header::AUTHORIZATION, "Bearer admin").body(Body::empty()).unwrap()
}

async fn send(world: &Arc<World>, request: Request<Body>) -> Heard {
    let response = api::router(world.clone()).call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Heard { code: parts.status.as_u16(), headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

async fn get_as(world: &Arc<World>, path: &str, accept: &str) -> Heard {
    send(world, request("GET", path, accept)).await
}

async fn get(world: &Arc<World>, path: &str) -> Heard {
    get_as(world, path, "application/json").await
}

/// A watch that is being read.
struct Stream {
    body: axum::body::BodyDataStream,
    read: String,
}

impl Stream {
    async fn open(world: &Arc<World>, path: &str, accept: &str) -> Self {
        let response = api::router(world.clone()).call(request("GET", path, accept)).await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        Self { body: response.into_body().into_data_stream(), read: String::new() }
    }

    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((line, rest)) = self.read.split_once('\n') {
                let event = serde_json::from_str(line).unwrap();
                self.read = rest.to_owned();
                return Some(event);
            }
            let piece = tokio::time::timeout(Duration::from_secs(5), self.body.next()).await.expect("the stream says nothing")?;
            self.read += std::str::from_utf8(&piece.unwrap()).unwrap();
        }
    }

    /// `ADDED web 5`: the next event in short.
    async fn said(&mut self) -> String {
        let Some(event) = self.next().await else { return "end".into() };
        let metadata = &event["object"]["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", text(&event["type"]), text(&metadata["name"]), text(&metadata["resourceVersion"]))
    }

    /// Nothing comes for a while.
    async fn is_quiet(&mut self) -> bool {
        self.read.is_empty() && tokio::time::timeout(Duration::from_millis(50), self.body.next()).await.is_err()
    }
}
