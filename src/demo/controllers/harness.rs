//! What the tests of the controllers stand on: a cluster in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    demo::{
        registry::{self, Write},
        sim::{Metrics, Samples, Sim},
        store::Key,
    },
    model::Time,
};

pub struct NoMetrics;

impl Metrics for NoMetrics {
    fn query(&self, _: &str, _: &str, _: Time) -> Result<Samples, String> {
        Ok(Samples::Vector(Vec::new()))
    }
}

pub fn epoch() -> Time {
    "2026-11-21T08:00:00Z".parse().unwrap()
}

pub fn sim() -> Sim {
    let mut sim = Sim::new(epoch(), 7, super::all(), Box::new(NoMetrics));
    super::bootstrap(&mut sim.store, epoch());
    sim
}

pub fn run(sim: &mut Sim, seconds: f64) {
    sim.run_until(sim.now() + Duration::from_secs_f64(seconds));
}

pub fn create(sim: &mut Sim, kind: &str, object: Value) -> Value {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    let write = Write::new(sim.now(), "test");
    registry::create(&mut sim.store, kind, &namespace, object, write).unwrap()
}

pub fn get(sim: &Sim, kind: &str, name: &str) -> Value {
    sim.store.get(&Key::new(kind, "shop", name)).map(|object| object.value()).unwrap_or_default()
}

/// Merge patch of all but the status.
pub fn patch(sim: &mut Sim, kind: &str, name: &str, patch: &Value) {
    let mut object = get(sim, kind, name);
    json_patch::merge(&mut object, patch);
    let write = Write::new(sim.now(), "test");
    registry::update(&mut sim.store, kind, object, write).unwrap();
}

pub fn list(sim: &Sim, kind: &str) -> Vec<Value> {
    sim.store.list(kind, Some("shop")).map(|object| object.value()).collect()
}

pub fn pods(sim: &Sim) -> Vec<Value> {
    list(sim, "pods")
}

/// `Reason: message` of the events about one object, in order.
pub fn events(sim: &Sim, name: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut events = list(sim, "events");
    events.retain(|event| event["involvedObject"]["name"] == name);
    events.sort_by_key(|event| event["metadata"]["name"].as_str().unwrap().rsplit_once('.').unwrap().1.to_owned());
    events.iter().map(|event| format!("{}: {}", text(&event["reason"]), text(&event["message"]))).collect()
}

pub fn pod_template(app: &str, tag: &str) -> Value {
    json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "app", "image": format!("app:{tag}")}]}})
}

pub fn replica_set(name: &str, replicas: u32) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pod_template(name, "v1")},
    })
}

pub fn deployment(name: &str, replicas: u32) -> Value {
    replica_set(name, replicas)
}
