//! A cluster with Flagger, its load tester, and a metrics server that says what it is told to.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    demo::{
        api::crd,
        controllers::{self, flagger::names, harness},
        registry::{self, Write},
        sim::{Metrics, Samples, Sim},
        store::Key,
        workloads::{Fate, Pods},
    },
    model::Time,
};

/// What the metrics server answers: to whether it is there, and to all else.
type Said = Arc<Mutex<Result<(f64, f64), String>>>;

struct Puppet {
    said: Said,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Metrics for Puppet {
    fn query(&self, _: &str, query: &str, _: Time) -> Result<Samples, String> {
        self.asked.lock().unwrap().push(query.to_owned());
        let (online, value) = self.said.lock().unwrap().clone()?;
        Ok(Samples::Vector(vec![if query == "vector(1)" { online } else { value }]))
    }
}

pub struct Play {
    pub sim: Sim,
    pub said: Said,
    pub asked: Arc<Mutex<Vec<String>>>,
}

/// Of the load tester, as hooks name it.
pub const TESTER: &str = "http://flagger-loadtester.test";

impl Play {
    pub fn new() -> Self {
        let (said, asked) = (Said::new(Mutex::new(Ok((1.0, 100.0)))), Arc::default());
        let metrics = Puppet { said: said.clone(), asked: Arc::clone(&asked) };
        let mut sim = Sim::new(harness::epoch(), 7, controllers::all(), Box::new(metrics));
        controllers::bootstrap(&mut sim.store, harness::epoch());
        crd::install(&mut sim, harness::epoch());
        let mut play = Self { sim, said, asked };
        play.create(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "flagger-loadtester", "namespace": "test"},
            "spec": {"selector": {"app": "flagger-loadtester"}, "ports": [{"port": 80}]},
        }));
        play
    }

    /// With a target `x` and its Canary.
    pub fn with(canary: Value) -> Self {
        let mut play = Self::new();
        play.pods("x", "v1", Fate::Ready);
        let mut target = harness::deployment("x", 2);
        target["apiVersion"] = "apps/v1".into();
        target["kind"] = "Deployment".into();
        play.create(target);
        play.create(canary_of(canary));
        play
    }

    /// The same, with its first version up and a second one seen.
    pub fn progressing(canary: Value) -> Self {
        let mut play = Self::with(canary);
        play.initialize();
        play.release("v2");
        play.ticks(1);
        play
    }

    pub fn initialize(&mut self) {
        self.ticks(2);
        assert_eq!(self.phase(), "Initialized", "{:?}", self.events("x"));
    }

    pub fn create(&mut self, object: Value) -> Value {
        let kinds: Vec<_> = self.sim.store.kinds().filter(|kind| object["kind"] == kind.kind.as_str()).map(|kind| kind.id()).collect();
        harness::create(&mut self.sim, &kinds[0], object)
    }

    /// Pods of the image with this tag fare so, and quickly.
    pub fn pods(&mut self, workload: &str, tag: &str, fate: Fate) {
        let pods = Pods { start_up: Duration::from_millis(300), spread: Duration::ZERO, fate, ..Pods::default() };
        self.sim.workloads.set_pods(&format!("shop/{workload}"), tag, pods);
    }

    /// So many ticks, the moments just after them included.
    pub fn ticks(&mut self, ticks: u32) -> &mut Self {
        // Off the beat: what is read is what a tick left.
        if self.sim.now() == harness::epoch() {
            self.sim.run_until(harness::epoch() + Duration::from_secs(3));
        }
        self.sim.run_until(self.sim.now() + Duration::from_secs(10) * ticks);
        self
    }

    pub fn release(&mut self, tag: &str) {
        self.image("x", tag);
    }

    pub fn image(&mut self, target: &str, tag: &str) {
        let mut target = self.get(names::DEPLOYMENTS, target);
        target["spec"]["template"]["spec"]["containers"][0]["image"] = format!("app:{tag}").into();
        let write = Write::new(self.sim.now(), "test");
        registry::update(&mut self.sim.store, names::DEPLOYMENTS, target, write).unwrap();
    }

    pub fn get(&self, kind: &str, name: &str) -> Value {
        harness::get(&self.sim, kind, name)
    }

    pub fn canary(&self) -> Value {
        self.get(names::CANARIES, "x")
    }

    pub fn status(&self) -> Value {
        self.canary()["status"].clone()
    }

    pub fn phase(&self) -> String {
        self.status()["phase"].as_str().unwrap_or_default().to_owned()
    }

    pub fn patch(&mut self, kind: &str, name: &str, patch: &Value) {
        harness::patch(&mut self.sim, kind, name, patch);
    }

    pub fn patch_canary(&mut self, patch: &Value) {
        self.patch(names::CANARIES, "x", patch);
    }

    pub fn patch_status(&mut self, name: &str, patch: &Value) {
        let mut object = self.get(names::CANARIES, name);
        json_patch::merge(&mut object["status"], patch);
        let write = Write::new(self.sim.now(), "test").status();
        registry::update(&mut self.sim.store, names::CANARIES, object, write).unwrap();
    }

    pub fn gate(&mut self, gate: &str, is_open: bool) {
        self.sim.workloads.loadtester.set(gate, is_open);
    }

    pub fn replicas(&self, deployment: &str) -> i64 {
        self.get(names::DEPLOYMENTS, deployment)["spec"]["replicas"].as_i64().unwrap_or(-1)
    }

    pub fn tag(&self, deployment: &str) -> String {
        let object = self.get(names::DEPLOYMENTS, deployment);
        object["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default().replace("app:", "")
    }

    pub fn exists(&self, kind: &str, name: &str) -> bool {
        self.sim.store.get(&Key::new(kind, "shop", name)).is_some()
    }

    /// Type, number and message of what was said about a Canary, in order.
    pub fn events(&self, name: &str) -> Vec<String> {
        let mut events = harness::list(&self.sim, "events");
        events.retain(|event| event["involvedObject"]["kind"] == "Canary" && event["involvedObject"]["name"] == name);
        said(events)
    }

    /// Whether this was said last.
    #[track_caller]
    pub fn said(&self, message: &str) {
        let events = self.events("x");
        let newest: Vec<&String> = events.iter().rev().take(3).collect();
        assert!(newest.iter().any(|event| event.contains(message)), "{message}: {events:#?}");
    }
}

/// As [`Play::events`] shows them.
pub fn said(mut events: Vec<Value>) -> Vec<String> {
    let order = |event: &Value| event["metadata"]["name"].as_str().and_then(|name| name.rsplit_once('.')).map(|(_, time)| time.to_owned());
    events.sort_by_key(order);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    events.iter().map(|event| format!("{} {} {}", text(&event["type"]), event["count"], text(&event["message"]))).collect()
}

/// A Canary `x` of the Deployment `x`: this is merged into its spec.
pub fn canary_of(more: Value) -> Value {
    let mut canary = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": "x", "namespace": "shop"},
        "spec": {
            "provider": "kubernetes", "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"},
            "service": {"port": 80, "targetPort": 8080},
            "analysis": {"interval": "10s", "threshold": 2},
        },
    });
    json_patch::merge(&mut canary["spec"], &more);
    canary
}

pub fn ingress(name: &str) -> Value {
    let backend = json!({"service": {"name": name, "port": {"number": 80}}});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": "x.local", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]},
    })
}

pub fn hook(kind: &str, path: &str) -> Value {
    json!({"name": kind, "type": kind, "url": format!("{TESTER}{path}")})
}
