//! What can go wrong, as a table: which events make it happen, and what the best answer is.

use std::time::Duration;

use chrono::TimeDelta;

use crate::demo::{
    scenario::{Act, Event, Is, Verb, Version, When},
    traffic::{Latency, Profile},
    workloads::{Fate, Pods},
};

/// What is counted as harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Harm {
    /// Requests answered with 5xx.
    Failed,
    /// Requests answered well, but slower than [`SLOW`](crate::demo::ledger::SLOW).
    Slow,
}

/// The best answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Best {
    Abort,
    /// The old version's image again: the way back after a flip.
    Back,
    /// The same after a canary was promoted, where the steps would take their time.
    BackAtOnce,
    /// Whatever one does to the rollout does not help.
    Wait,
}

impl Best {
    pub fn words(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Back => "flip back",
            Self::BackAtOnce => "undo, and promote that all the way",
            Self::Wait => "leave the rollout alone: the new version is not the cause",
        }
    }
}

impl Best {
    /// This answer, so long after the opening.
    pub fn events(self, case: &Case, at: TimeDelta) -> Vec<Event> {
        let act = |at: TimeDelta, act: Act| Event { when: When::At(at), every: None, by: "best".into(), act };
        let back = || act(at, Act::Release { workload: case.workload.clone(), versions: vec![case.old.clone()] });
        match self {
            Self::Abort => vec![act(at, does(case, Verb::Abort))],
            Self::Back => vec![back()],
            Self::BackAtOnce => vec![back(), act(at + SEEN, does(case, Verb::PromoteFull))],
            Self::Wait => Vec::new(),
        }
    }
}

/// From a new template to the moment the controller has seen it.
const SEEN: TimeDelta = TimeDelta::seconds(1);

/// One kind of incident.
pub struct Incident {
    pub name: &'static str,
    pub says: &'static str,
    pub harm: Harm,
    pub best: Best,
    /// Workloads it can happen to: path, version that runs, version that comes.
    pub victims: &'static [(&'static str, &'static str, &'static str)],
    make: fn(&Case, &mut fastrand::Rng) -> Vec<Event>,
}

/// One incident at one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    pub workload: String,
    pub old: String,
    pub new: String,
    /// When the release begins, after the opening.
    pub begins: TimeDelta,
    /// When harm begins: at a time after the opening, or when this holds for that long.
    pub harms: When,
}

const CANARIES: &[(&str, &str, &str)] = &[("shop/checkout", "v2.8.1", "v2.9.0"), ("pay/payments", "v4.1.2", "v4.2.0")];

pub const INCIDENTS: &[Incident] = &[
    Incident {
        name: "error regression",
        says: "the new version fails some of its requests",
        harm: Harm::Failed,
        best: Best::Abort,
        victims: CANARIES,
        make: |case, rng| {
            let bad = Profile { errors: between(rng, 0.03, 0.12), ..Profile::default() };
            vec![release(case), turns(case, profile(bad))]
        },
    },
    Incident {
        name: "latency regression",
        says: "the new version is slow; no request fails",
        harm: Harm::Slow,
        best: Best::Abort,
        victims: CANARIES,
        make: |case, rng| {
            let median = between(rng, 90.0, 200.0);
            let bad = Profile { latency: Latency { median, p99: median * 10.0 }, ..Profile::default() };
            vec![release(case), turns(case, profile(bad))]
        },
    },
    Incident {
        name: "crash loop after promotion",
        says: "all users are on the new version when its pods begin to crash; the old pods are gone",
        harm: Harm::Failed,
        best: Best::BackAtOnce,
        victims: CANARIES,
        make: |case, rng| {
            let promoted = When::At(case.begins + SEEN);
            let crash = When::At(case.begins + TimeDelta::seconds(rng.i64(70..120)));
            let pods = Pods { fate: Fate::CrashLoop, ..Version::default().pods };
            let promote = Event { when: promoted, every: None, by: "release-bot".into(), act: does(case, Verb::PromoteFull) };
            vec![release(case), promote, behaves(case, &case.new, crash, Version { pods, ..Version::default() })]
        },
    },
    Incident {
        name: "canary too small",
        says: "one pod has to carry more than it can: it is slow, and refuses the excess",
        harm: Harm::Failed,
        best: Best::Abort,
        victims: &[("web/search", "v3.4.0", "v3.5.0")],
        make: |case, rng| {
            let capacity = between(rng, 18.0, 26.0);
            vec![release(case), turns(case, profile(Profile { capacity, ..Profile::default() }))]
        },
    },
    Incident {
        name: "bad flip",
        says: "somebody flipped to a version that fails some of its requests",
        harm: Harm::Failed,
        best: Best::Back,
        victims: &[("pay/fx", "v1.31.0", "v1.32.0")],
        make: |case, rng| {
            let bad = Profile { errors: between(rng, 0.04, 0.15), ..Profile::default() };
            let promote = Event { when: case.harms.clone(), every: None, by: "release-bot".into(), act: does(case, Verb::Promote) };
            let behaves = behaves(case, &case.new, When::At(case.begins), profile(bad));
            vec![behaves, release(case), promote]
        },
    },
    Incident {
        name: "sick below",
        says: "something below both versions is broken for some minutes: old and new fail alike",
        harm: Harm::Failed,
        best: Best::Wait,
        victims: CANARIES,
        make: |case, rng| {
            let sick = profile(Profile { errors: between(rng, 0.04, 0.1), ..Profile::default() });
            let from = case.begins + TimeDelta::seconds(rng.i64(50..80));
            let until = from + TimeDelta::seconds(rng.i64(150..240));
            let both = [&case.old, &case.new];
            let sick = both.map(|tag| behaves(case, tag, When::At(from), sick.clone()));
            let well = both.map(|tag| behaves(case, tag, When::At(until), Version::default()));
            std::iter::once(release(case)).chain(sick).chain(well).collect()
        },
    },
];

impl Incident {
    /// One of its kind: whom it hits and when.
    pub fn case(&self, rng: &mut fastrand::Rng) -> Case {
        let (workload, old, new) = self.victims[rng.usize(..self.victims.len())];
        let begins = TimeDelta::seconds(rng.i64(20..90));
        let soon = Duration::from_secs(rng.u64(8..25));
        let is = match self.best {
            Best::Back => Is::Waits,
            // After its first weights, and before the pause that waits for a person is long over.
            _ => Is::AtWeight([10, 25][rng.usize(..2)]),
        };
        let harms = When::Once { workload: workload.into(), is, after: soon };
        Case { workload: workload.into(), old: old.into(), new: new.into(), begins, harms }
    }

    pub fn events(&self, case: &Case, rng: &mut fastrand::Rng) -> Vec<Event> {
        (self.make)(case, rng)
    }
}

fn between(rng: &mut fastrand::Rng, low: f64, high: f64) -> f64 {
    low + rng.f64() * (high - low)
}

fn profile(profile: Profile) -> Version {
    Version { profile, ..Version::default() }
}

fn does(case: &Case, verb: Verb) -> Act {
    Act::Do { workload: case.workload.clone(), verb }
}

fn release(case: &Case) -> Event {
    let act = Act::Release { workload: case.workload.clone(), versions: vec![case.new.clone()] };
    Event { when: When::At(case.begins), every: None, by: "ci".into(), act }
}

/// The new version behaves like this from the moment of harm on.
fn turns(case: &Case, version: Version) -> Event {
    behaves(case, &case.new, case.harms.clone(), version)
}

fn behaves(case: &Case, tag: &str, when: When, version: Version) -> Event {
    let act = Act::Behave { workload: case.workload.clone(), tag: tag.into(), version: Box::new(version) };
    Event { when, every: None, by: "nobody".into(), act }
}
