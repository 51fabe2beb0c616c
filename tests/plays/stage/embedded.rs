//! The embedded cluster without its servers: plays in no time at all.

use std::time::Duration;

use rolltop::{
    demo::{
        controllers,
        kinds::{self, Kind},
        refusal::Refusal,
        registry::{self, Write},
        sim::{Metrics, Samples, Sim},
        store::Key,
        workloads::Pods,
    },
    model::Time,
};
use serde_json::Value;

use super::{Body, KINDS, Refused, Request, Stage};
use crate::{
    record::{Log, Seen},
    script::APP,
};

const NAMESPACE: &str = "shop";
const PROMETHEUS: &str = "http://prometheus.example.test:9090";
const START: &str = "2026-11-21T08:00:00Z";

/// What a round trip takes, in proportion: on the rig as here, controllers make one pass meanwhile and not two.
const ROUND_TRIP: Duration = Duration::from_millis(15);

/// From a change to somebody's reaction to it, in the same proportion: the passes that follow at once are over.
const REACTION: Duration = Duration::from_millis(35);

pub struct Embedded {
    sim: Sim,
    begin: Time,
    /// Changes up to this revision are in the log.
    read: u64,
    log: Log,
}

impl Embedded {
    pub fn new(seed: u64) -> Self {
        let begin: Time = START.parse().unwrap();
        let mut sim = Sim::new(begin, seed, controllers::all(), Box::new(Constants));
        custom().into_iter().for_each(|kind| sim.store.add_kind(kind));
        controllers::bootstrap(&mut sim.store, begin);
        // The rig's nodes are fake: pods are ready as soon as they are seen.
        let quick = Pods { start_up: Duration::from_millis(30), spread: Duration::from_millis(40), ..Pods::default() };
        (1..10).for_each(|version| sim.workloads.set_pods(&format!("{NAMESPACE}/{APP}"), &format!("v{version}"), quick));
        let read = sim.store.revision();
        Self { sim, begin, read, log: Log::default() }
    }

    fn note(&mut self) -> bool {
        let at = self.now();
        let mut fresh = Vec::new();
        for (kind, ..) in KINDS.iter().filter(|(.., recorded)| *recorded) {
            let Ok(changes) = self.sim.store.changes_after(kind, self.read) else { continue };
            for change in changes {
                let object = change.object().map(|stored| stored.value()).unwrap_or_default();
                fresh.push(Seen { kind, revision: change.revision, at, deleted: change.after.is_none(), object });
            }
        }
        fresh.sort_by_key(|seen| seen.revision);
        self.read = self.sim.store.revision();
        let any = !fresh.is_empty();
        self.log.seen.append(&mut fresh);
        any
    }

    fn write(&mut self, request: &Request) -> Result<Value, Refusal> {
        let write = Write::new(self.sim.now(), "plays");
        let key = Key::new(request.kind, NAMESPACE, &request.name);
        match &request.body {
            Body::Create(object) => return registry::create(&mut self.sim.store, request.kind, NAMESPACE, object.clone(), write),
            Body::Delete => return registry::delete(&mut self.sim.store, &key, write),
            _ => {}
        }
        let mut object = self.sim.store.get(&key).ok_or_else(|| Refusal::not_found(request.kind, &request.name))?.value();
        match &request.body {
            Body::Json(operations) => apply(&mut object, operations)?,
            Body::Merge(patch) => json_patch::merge(&mut object, patch),
            _ => {}
        }
        let write = if request.subresource == Some("status") { write.status() } else { write };
        registry::update(&mut self.sim.store, request.kind, object, write)
    }
}

/// `test null` passes for what is absent.
fn apply(object: &mut Value, operations: &Value) -> Result<(), Refusal> {
    let absent = |op: &Value| op["op"] == "test" && op["value"].is_null() && object.pointer(op["path"].as_str().unwrap_or("")).is_none();
    let operations: Vec<&Value> = operations.as_array().into_iter().flatten().filter(|op| !absent(op)).collect();
    let patch: json_patch::Patch = serde_json::from_value(serde_json::json!(operations)).unwrap();
    let refused = |_| Refusal::new(422, "Invalid", "the server rejected our request due to an error in our request");
    json_patch::patch(object, &patch).map_err(refused)
}

fn custom() -> Vec<Kind> {
    let known: Vec<String> = kinds::built_in().iter().map(Kind::id).collect();
    let missing = KINDS.iter().filter(|(id, ..)| !known.iter().any(|known| known == id));
    missing
        .map(|(id, version, kind, _)| {
            let (plural, group) = id.split_once('.').unwrap();
            Kind {
                group: group.into(),
                versions: vec![version.rsplit('/').next().unwrap().into()],
                kind: (*kind).into(),
                plural: plural.into(),
                singular: kind.to_lowercase(),
                namespaced: true,
                status: *kind == "Rollout",
                custom: Some(rolltop::demo::kinds::Custom { schema: Value::Null.into(), columns: Value::Null.into() }),
                ..Kind::default()
            }
        })
        .collect()
}

impl Stage for Embedded {
    async fn send(&mut self, request: &Request) -> Result<Value, Refused> {
        let answer = self.write(request).map_err(|refusal| Refused { code: refusal.code, message: refusal.message });
        self.sim.run_until(self.sim.now() + ROUND_TRIP);
        self.note();
        answer
    }

    async fn list(&mut self, kind: &str) -> Vec<Value> {
        self.sim.store.list(kind, Some(NAMESPACE)).map(|object| object.value()).collect()
    }

    async fn advance(&mut self, most: Duration) {
        let end = self.sim.now() + most;
        while self.sim.now() < end {
            let next = self.sim.next().filter(|due| *due < end).unwrap_or(end);
            self.sim.run_until(next);
            if self.note() {
                return;
            }
        }
    }

    fn now(&self) -> Duration {
        (self.sim.now() - self.begin).to_std().unwrap_or_default()
    }

    fn reaction(&self) -> Duration {
        REACTION
    }

    fn clock(&self) -> String {
        registry::stamp(self.sim.now())
    }

    fn log(&self) -> &Log {
        &self.log
    }

    fn namespace(&self) -> &str {
        NAMESPACE
    }

    fn prometheus(&self) -> String {
        PROMETHEUS.into()
    }
}

/// A Prometheus without series: the plays ask for `vector(1)` and the like.
struct Constants;

impl Metrics for Constants {
    fn query(&self, _: &str, query: &str, _: Time) -> Result<Samples, String> {
        let inner = query.strip_prefix("vector(").and_then(|rest| rest.strip_suffix(')'));
        match inner.and_then(|number| number.parse().ok()) {
            Some(number) => Ok(Samples::Vector(vec![number])),
            None => Err(format!("plays know no {query}")),
        }
    }
}
