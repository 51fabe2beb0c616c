//! What a workload's requests came to, second by second: kept inside the simulation, where nothing is rounded by scrapes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    sim::{Controller, Cx},
    store::{Change, Key, Store},
    traffic::{Counters, Histogram, Model, of_class},
};
use crate::model::Time;

const EVERY: Duration = Duration::from_secs(1);

/// From here on an answer counts as slow, in milliseconds. One of the model's bounds.
pub const SLOW: f64 = 500.0;

/// Requests so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub all: u64,
    /// Answered with 5xx.
    pub failed: u64,
    /// Answered well, but slower than [`SLOW`].
    pub slow: u64,
}

impl Counts {
    pub fn of(counters: &Counters) -> Self {
        let good = counters.iter().filter(|(code, _)| **code < 500).map(|(_, answers)| answers);
        Self {
            all: counters.values().map(Histogram::count).sum(),
            failed: of_class(counters, 5),
            slow: good.map(|answers| answers.count() - answers.at_most(SLOW)).sum(),
        }
    }

    pub fn plus(self, other: Self) -> Self {
        Self { all: self.all + other.all, failed: self.failed + other.failed, slow: self.slow + other.slow }
    }

    pub fn since(self, before: Self) -> Self {
        Self { all: self.all - before.all, failed: self.failed - before.failed, slow: self.slow - before.slow }
    }
}

/// One moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub at: Time,
    /// By image tag, since the beginning.
    pub versions: BTreeMap<String, Counts>,
}

impl Line {
    pub fn all(&self) -> Counts {
        self.versions.values().fold(Counts::default(), |sum, counts| sum.plus(*counts))
    }
}

/// The lines of one workload, from `since` on.
#[derive(Debug)]
pub struct Ledger {
    workload: String,
    since: Time,
    lines: Mutex<Vec<Line>>,
}

impl Ledger {
    pub fn new(workload: &str, since: Time) -> Arc<Self> {
        Arc::new(Self { workload: workload.into(), since, lines: Mutex::default() })
    }

    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, at: Time, model: &Model) {
        let mut versions: BTreeMap<String, Counts> = BTreeMap::new();
        for (track, counters) in model.counters(&self.workload) {
            let counts = versions.entry(track.tag.clone()).or_default();
            *counts = counts.plus(Counts::of(counters));
        }
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(Line { at, versions });
    }
}

/// Keeps a ledger.
pub struct Clerk(pub Arc<Ledger>);

impl Controller for Clerk {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn wakes(&self, change: &Change, _: &Store, wake: &mut Vec<Key>) {
        // The first changes of all are namespaces; that is enough to get going.
        if change.object().is_some_and(|object| &*object.key.kind == "namespaces") {
            wake.push(Key::new("ledger", "", ""));
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, _: &Key) -> Option<Duration> {
        if let Ok(wait) = (self.0.since - cx.now).to_std()
            && !wait.is_zero()
        {
            return Some(wait);
        }
        self.0.note(cx.now, &cx.workloads.traffic);
        Some(EVERY)
    }
}
