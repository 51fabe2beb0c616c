//! The embedded cluster without its servers: plays in no time at all.

use std::{sync::Arc, time::Duration};

use rolltop::{
    demo::{
        controllers,
        kinds::{self, Kind},
        prometheus::Tsdb,
        refusal::Refusal,
        registry::{self, Write},
        scrape::{Database, RETENTION},
        sim::Sim,
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

/// How fast people, requests and pods are beside controllers, which make a pass in 10 ms. On a real cluster it varies.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    pub round_trip: Duration,
    /// From a change to an act that follows at once.
    pub reaction: Duration,
    /// From scheduled to ready.
    pub start_up: Duration,
    /// Each pod takes up to this much longer.
    pub spread: Duration,
}

impl Timing {
    const fn of_millis(round_trip: u64, reaction: u64, start_up: u64, spread: u64) -> Self {
        let millis = Duration::from_millis;
        Self { round_trip: millis(round_trip), reaction: millis(reaction), start_up: millis(start_up), spread: millis(spread) }
    }

    /// The first is the rig's on an idle machine: controllers make one pass during a round trip, some before somebody
    /// reacts, and the fake pods are ready as soon as they are seen.
    pub const ALL: [Self; 6] = [
        Self::of_millis(15, 35, 30, 40),
        Self::of_millis(15, 35, 5, 0),
        Self::of_millis(4, 20, 30, 40),
        Self::of_millis(45, 60, 30, 10),
        Self::of_millis(90, 60, 100, 300),
        Self::of_millis(25, 120, 60, 20),
    ];
}

pub struct Embedded {
    sim: Sim,
    begin: Time,
    /// Changes up to this revision are in the log.
    read: u64,
    log: Log,
    timing: Timing,
}

impl Embedded {
    pub fn new(seed: u64, timing: Timing) -> Self {
        let begin: Time = START.parse().unwrap();
        let mut sim =
            Sim::new(begin, seed, controllers::all(), Box::new(Database { tsdb: Arc::new(Tsdb::new(RETENTION)), url: PROMETHEUS.into() }));
        custom().into_iter().for_each(|kind| sim.store.add_kind(kind));
        controllers::bootstrap(&mut sim.store, begin);
        let pods = Pods { start_up: timing.start_up, spread: timing.spread, ..Pods::default() };
        (1..10).for_each(|version| sim.workloads.set_pods(&format!("{NAMESPACE}/{APP}"), &format!("v{version}"), pods));
        let read = sim.store.revision();
        Self { sim, begin, read, log: Log::default(), timing }
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
        self.sim.run_until(self.sim.now() + self.timing.round_trip);
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

    async fn close(self) {}

    fn now(&self) -> Duration {
        (self.sim.now() - self.begin).to_std().unwrap_or_default()
    }

    fn reaction(&self) -> Duration {
        self.timing.reaction
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
