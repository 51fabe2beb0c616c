//! The embedded cluster's machinery: a store, controllers that react to its changes, and a clock of its own.
//!
//! Time passes only when [`Sim::run_until`] says so. The same seed, the same writes at the same moments give the same
//! cluster; a day can pass in a moment before anybody looks, and an hour in a minute while somebody does.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
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

/// Something that happens at a moment: a scrape, a move of a script. `Some`: again after that time.
pub type Hook = Box<dyn FnMut(&mut Sim) -> Option<Duration> + Send>;

/// The cluster without its servers.
pub struct Sim {
    pub store: Store,
    pub workloads: Workloads,
    controllers: Vec<Box<dyn Controller>>,
    metrics: Box<dyn Metrics>,
    queue: BinaryHeap<Reverse<(Time, u64, Work)>>,
    /// When each piece of work is due next; entries of the queue that disagree are out of date.
    due: HashMap<Work, Time>,
    /// By the moment they are due and the order in which they were planned.
    hooks: BTreeMap<(Time, u64), Hook>,
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
            hooks: BTreeMap::new(),
            order: 0,
            now: start,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// The moment up to which everything has happened.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Calls `hook` at that moment, or as soon as time passes if it is over, after all passes due by then. It is called
    /// again for as long as it names a pause, at exact distances, however fast time runs.
    pub fn at(&mut self, moment: Time, hook: impl FnMut(&mut Self) -> Option<Duration> + Send + 'static) {
        self.order += 1;
        self.hooks.insert((moment.max(self.now), self.order), Box::new(hook));
    }

    /// Calls `hook` every `period` from now on, first in one `period`.
    pub fn every(&mut self, period: Duration, mut hook: impl FnMut(&mut Self) + Send + 'static) {
        self.at(self.now + period, move |sim| {
            hook(sim);
            Some(period)
        });
    }

    /// When the next pass or hook is due, after the changes so far.
    #[expect(clippy::should_implement_trait, reason = "time is no iterator: asking again gives the same answer")]
    pub fn next(&mut self) -> Option<Time> {
        [self.next_pass(), self.next_hook()].into_iter().flatten().min()
    }

    fn next_pass(&mut self) -> Option<Time> {
        self.notice();
        self.queue.peek().map(|Reverse((due, ..))| *due)
    }

    fn next_hook(&self) -> Option<Time> {
        self.hooks.keys().next().map(|(due, _)| *due)
    }

    /// Lets everything happen that is due until then. Time does not run backwards.
    pub fn run_until(&mut self, until: Time) {
        while let Some(due) = self.next().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            if self.next_pass().is_some_and(|pass| pass <= due) { self.pass() } else { self.hook() }
        }
        self.now = self.now.max(until);
    }

    /// Runs on until no pass is due within `calm`, or until `limit`.
    pub fn settle(&mut self, calm: Duration, limit: Time) {
        while let Some(due) = self.next_pass().filter(|due| *due <= self.now + calm && *due <= limit) {
            self.run_until(due);
        }
    }

    fn hook(&mut self) {
        let Some(((due, _), mut hook)) = self.hooks.pop_first() else { return };
        if let Some(pause) = hook(self) {
            self.order += 1;
            // A hook without a pause would stop time.
            self.hooks.insert((due + pause.max(Duration::from_millis(1)), self.order), hook);
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
                wake.drain(..).for_each(|key| self.plan((index, key), soon));
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    struct Mute;

    impl Metrics for Mute {
        fn query(&self, _: &str, _: &str, _: Time) -> Result<Samples, String> {
            Ok(Samples::Vector(Vec::new()))
        }
    }

    #[test]
    fn hooks_fire_at_exact_moments_however_far_time_jumps() {
        let start = Time::UNIX_EPOCH;
        let mut sim = Sim::new(start, 1, Vec::new(), Box::new(Mute));
        let fired = Arc::new(Mutex::new(Vec::new()));
        let (every, once) = (fired.clone(), fired.clone());
        sim.every(Duration::from_secs(2), move |sim| every.lock().unwrap().push(sim.now().timestamp()));
        sim.at(start + Duration::from_secs(3), move |sim| {
            once.lock().unwrap().push(100 + sim.now().timestamp());
            None
        });
        sim.run_until(start + Duration::from_secs(7));
        assert_eq!(*fired.lock().unwrap(), [2, 103, 4, 6]);
        assert_eq!(sim.next(), Some(start + Duration::from_secs(8)));
        assert_eq!(sim.now(), start + Duration::from_secs(7));
    }
}
