//! The embedded cluster's machinery: a store, controllers that react to its changes, and a clock of its own.
//!
//! Time passes only when [`Sim::run_until`] says so. The same seed, the same writes at the same moments give the same
//! cluster; a day can pass in a moment before anybody looks, and an hour in a minute while somebody does.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

use serde_json::Value;

use super::{
    kinds,
    refusal::Refusal,
    registry::{self, Write},
    store::{Change, Key, Store},
    workloads::Workloads,
};
use crate::model::Time;

/// From a change to the pass that reacts to it. Real controllers take about as long, and what is visible in between
/// (such as a resume that was written and not yet seen) is what clients must cope with.
const LATENCY: Duration = Duration::from_millis(10);

/// One kind of reaction. Level-triggered, like the real ones: a pass looks at what is there and not at what happened.
pub trait Controller: Send {
    /// Who writes, in `managedFields` and as the source of events.
    fn name(&self) -> &'static str;

    /// Which objects this controller must look at after a change. Called for every change of every kind: be quick.
    fn wakes(&self, change: &Change, store: &Store, wake: &mut Vec<Key>);

    /// One pass over one object, which may be gone. `Some`: look again after that time even if nothing changes.
    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration>;
}

/// The metrics server that analyses ask.
pub trait Metrics: Send {
    /// Evaluates an instant query. `address` is what the analysis names, possibly empty. The error is what the
    /// controller would report.
    fn query(&self, address: &str, query: &str, at: Time) -> Result<Samples, String>;
}

/// The answer to an instant query, as far as analyses care.
#[derive(Debug, Clone, PartialEq)]
pub enum Samples {
    Scalar(f64),
    Vector(Vec<f64>),
}

/// What a pass can see and do.
pub struct Cx<'a> {
    pub store: &'a mut Store,
    pub now: Time,
    pub rng: &'a mut fastrand::Rng,
    /// How the versions behave.
    pub workloads: &'a mut Workloads,
    pub metrics: &'a dyn Metrics,
    manager: &'static str,
}

impl Cx<'_> {
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        self.store.get(&Key::new(kind, namespace, name)).map(|object| object.value())
    }

    /// Objects of a kind that `owner` (a uid) controls.
    pub fn owned(&self, kind: &str, owner: &str) -> Vec<Value> {
        self.store.owned(kind, owner).map(|object| object.value()).collect()
    }

    /// Creates in the namespace the object names.
    pub fn create(&mut self, kind: &str, object: Value) -> Result<Value, Refusal> {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        registry::create(self.store, kind, &namespace, object, Write::new(self.now, self.manager))
    }

    /// Replaces all but the status.
    pub fn update(&mut self, kind: &str, object: Value) -> Result<Value, Refusal> {
        registry::update(self.store, kind, object, Write::new(self.now, self.manager))
    }

    /// Replaces the status.
    pub fn update_status(&mut self, kind: &str, object: Value) -> Result<Value, Refusal> {
        registry::update(self.store, kind, object, Write::new(self.now, self.manager).status())
    }

    /// Merge patch of all but the status.
    pub fn patch(&mut self, key: &Key, patch: &Value) -> Result<Value, Refusal> {
        let mut object = self.read(key)?;
        json_patch::merge(&mut object, patch);
        self.update(&key.kind, object)
    }

    /// Merge patch of the status: `patch` is `{"status": …}`.
    pub fn patch_status(&mut self, key: &Key, patch: &Value) -> Result<Value, Refusal> {
        let mut object = self.read(key)?;
        json_patch::merge(&mut object, patch);
        self.update_status(&key.kind, object)
    }

    pub fn delete(&mut self, key: &Key) -> Result<Value, Refusal> {
        registry::delete(self.store, key, Write::new(self.now, self.manager))
    }

    fn read(&self, key: &Key) -> Result<Value, Refusal> {
        self.store.get(key).map(|object| object.value()).ok_or_else(|| Refusal::not_found(&key.kind, &key.name))
    }
}

/// Which controller has to look at what.
type Work = (usize, Key);

/// The cluster without its servers.
pub struct Sim {
    pub store: Store,
    pub workloads: Workloads,
    controllers: Vec<Box<dyn Controller>>,
    metrics: Box<dyn Metrics>,
    queue: BinaryHeap<Reverse<(Time, u64, Work)>>,
    /// When each piece of work is due next; entries of the queue that disagree are out of date.
    due: HashMap<Work, Time>,
    order: u64,
    now: Time,
    rng: fastrand::Rng,
}

impl Sim {
    pub fn new(start: Time, seed: u64, controllers: Vec<Box<dyn Controller>>, metrics: Box<dyn Metrics>) -> Self {
        Self {
            store: Store::new(kinds::built_in()),
            workloads: Workloads::new(seed),
            controllers,
            metrics,
            queue: BinaryHeap::new(),
            due: HashMap::new(),
            order: 0,
            now: start,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// The moment up to which everything has happened.
    pub fn now(&self) -> Time {
        self.now
    }

    /// When the next pass is due, after the changes so far.
    pub fn next(&mut self) -> Option<Time> {
        self.notice();
        self.queue.peek().map(|Reverse((due, ..))| *due)
    }

    /// Lets everything happen that is due until then. Time does not run backwards.
    pub fn run_until(&mut self, until: Time) {
        while let Some(due) = self.next().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.pass();
        }
        self.now = self.now.max(until);
    }

    /// Runs on until nothing is due within `calm`, or until `limit`.
    pub fn settle(&mut self, calm: Duration, limit: Time) {
        while let Some(due) = self.next().filter(|due| *due <= self.now + calm && *due <= limit) {
            self.run_until(due);
        }
    }

    fn pass(&mut self) {
        let Some(Reverse((due, _, work))) = self.queue.pop() else { return };
        if self.due.get(&work) != Some(&due) {
            return;
        }
        self.due.remove(&work);
        let (index, key) = &work;
        let controller = &mut self.controllers[*index];
        let mut cx = Cx {
            store: &mut self.store,
            now: self.now,
            rng: &mut self.rng,
            workloads: &mut self.workloads,
            metrics: &*self.metrics,
            manager: controller.name(),
        };
        let again = controller.reconcile(&mut cx, key);
        self.notice();
        if let Some(again) = again {
            self.plan(work, self.now + again.max(LATENCY));
        }
    }

    /// Turns changes into work.
    fn notice(&mut self) {
        let soon = self.now + LATENCY;
        let mut wake = Vec::new();
        for change in self.store.take_changes() {
            for index in 0..self.controllers.len() {
                self.controllers[index].wakes(&change, &self.store, &mut wake);
                wake.drain(..).collect::<Vec<_>>().into_iter().for_each(|key| self.plan((index, key), soon));
            }
        }
    }

    /// The earlier of what was planned and this.
    fn plan(&mut self, work: Work, at: Time) {
        if self.due.get(&work).is_some_and(|due| *due <= at) {
            return;
        }
        self.due.insert(work.clone(), at);
        self.order += 1;
        self.queue.push(Reverse((at, self.order, work)));
    }
}
