//! One release, judged at every reading by the test and by every preset, on the same requests.

use std::{collections::VecDeque, time::Duration};

use chrono::TimeDelta;
use rolltop::{
    config::{
        Config, Sources,
        rules::{PRESETS, preset},
    },
    model::{
        Rollout, Time,
        metrics::{Counts, Reading, RolloutMetrics, Series, Side, TrackReadings},
    },
    settings::Settings,
    verdict::{
        Advice, Case, Trial, judge,
        rules::{Effect, Rule},
    },
};

use crate::{
    cells::{Cell, Moment},
    release::{TICK, TICKS, binomial, block, normal, poisson, start},
    sample,
};

/// The test under its own name, then the presets.
pub const JUDGES: [&str; 9] = ["the test", "relative", "baseline", "absolute", "slo", "alerts", "flagger", "argo", "kayenta"];

/// Ticks of a reading's window: a minute.
const WINDOW: usize = 12;
/// Ticks before the release begins.
const BEFORE: usize = 60;
/// The old side's latencies: median, and the spread of their logarithm.
pub const MEDIAN: f64 = 0.067;
pub const SPREAD: f64 = 0.8;

/// When a judge first called the new side worse: seconds, and its requests until then.
pub struct Outcome {
    pub judge: &'static str,
    pub called: Option<(f64, f64)>,
}

/// What of the new side's first seconds counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarmUp {
    Usual,
    /// Slowness counts from so many seconds on.
    Slowness(u64),
    /// Nothing counts before.
    All(u64),
}

pub struct Contest {
    rules: Vec<Rule>,
    usual: Duration,
    settings: Settings,
    rollout: Rollout,
}

/// Requests of one side in a tick.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ticked {
    pub all: f64,
    pub bad: f64,
    pub slow: f64,
}

impl Ticked {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self { all: self.all + other.all, bad: self.bad + other.bad, slow: self.slow + other.slow }
    }
}

impl Contest {
    pub fn new() -> Self {
        let mut rollout = sample::canary();
        rollout.analyses.clear();
        // Pods are ready in all of these releases.
        rollout.tracks.iter_mut().for_each(|t| t.ready = t.desired);
        let rules = PRESETS.iter().flat_map(|p| preset(p.name).unwrap()).filter(|r| r.effect == Effect::Abort).collect();
        let usual = Config::load(&Sources::default(), |_| None).unwrap().duration("verdict.warm-up");
        Self { rules, usual, settings: Settings::default(), rollout }
    }

    pub fn play(&self, cell: &Cell, seed: u64, warm_up: WarmUp) -> Vec<Outcome> {
        let mut rng = fastrand::Rng::with_seed(seed * 1_000_003 + cell.name.len() as u64);
        let began = start() + TimeDelta::seconds((BEFORE as f64 * TICK) as i64);
        let from = |seconds: u64| Some(began + TimeDelta::seconds(seconds as i64));
        let mut trial = match warm_up {
            WarmUp::Usual => Trial::new("new", "old", Some(began)).warming_up(self.usual),
            WarmUp::Slowness(seconds) => Trial::new("new", "old", Some(began)).warming_up(Duration::from_secs(seconds)),
            WarmUp::All(seconds) => Trial::new("new", "old", from(seconds)),
        };
        let mut lines = Lines::default();
        // Minutes of the old side alone, which rolltop asks for when a release begins: what rules call the start.
        for i in 0..BEFORE {
            let old = tick(cell, &(cell.moment)(0, &mut rng), 1, &mut rng);
            lines.push([Ticked::default(), old]);
            trial.take(&block(i, None, counts(old, 1.0)), None);
        }
        let mut metrics = lines.metrics(cell, began, &mut rng);
        trial.watch(&self.rules, &self.rollout, &metrics);
        let mut outcomes: Vec<Outcome> = JUDGES.iter().map(|judge| Outcome { judge, called: None }).collect();
        let mut requests = 0.0;
        for i in 0..TICKS {
            let moment = (cell.moment)(i, &mut rng);
            let sides = [tick(cell, &moment, 0, &mut rng), tick(cell, &moment, 1, &mut rng)];
            requests += sides[0].all;
            if moment.gap {
                // The next scrape has what this one missed.
                lines.owed(sides);
                continue;
            }
            let sides = lines.with_owed(sides);
            let [new, old] = [0, 1].map(|side| counts(sides[side], moment.counted[side]));
            let mut seen = block(BEFORE + i, new, old);
            seen.from -= TimeDelta::milliseconds((lines.missed as f64 * TICK * 1000.0) as i64);
            lines.missed = 0;
            trial.take(&seen, Some(0.1));
            lines.push(sides);
            let history = std::mem::take(&mut metrics.history);
            metrics = RolloutMetrics { history, ..lines.metrics(cell, seen.to, &mut rng) };
            lines.remember(&mut metrics);
            trial.watch(&self.rules, &self.rollout, &metrics);
            let case = Case { metrics: Some(&metrics), trial: Some(&trial), ..Case::under(&self.settings, &self.rollout, seen.to) };
            let now = Some(((i + 1) as f64 * TICK, requests));
            let worse = (trial.failing.is_worse() || trial.slow.is_worse()) && judge(&case).is == Advice::Abort;
            for outcome in outcomes.iter_mut().filter(|o| o.called.is_none()) {
                let trips = self
                    .rules
                    .iter()
                    .zip(&trial.rules)
                    .any(|(rule, standing)| standing.tripped && rule.name.split(':').next() == Some(outcome.judge));
                if trips || outcome.judge == JUDGES[0] && worse {
                    outcome.called = now;
                }
            }
        }
        outcomes
    }
}

pub fn tick(cell: &Cell, moment: &Moment, side: usize, rng: &mut fastrand::Rng) -> Ticked {
    let part = if side == 0 { 0.1 } else { 0.9 };
    let all = poisson(cell.rate * part * TICK, rng);
    let clumps = binomial((all / cell.clump).floor(), moment.fails[side], rng);
    Ticked { all, bad: (clumps * cell.clump).min(all), slow: binomial(all, moment.slow[side], rng) }
}

pub fn counts(t: Ticked, counted: f64) -> Option<Counts> {
    let keep = |x: f64| x * counted;
    Some(Counts { all: keep(t.all), bad: keep(t.bad), timed: Some((keep(t.all), keep(t.slow))) })
}

/// The last minute of both sides, as `rate()` sees it.
#[derive(Default)]
struct Lines {
    ticks: VecDeque<[Ticked; 2]>,
    owed: [Ticked; 2],
    missed: usize,
}

impl Lines {
    fn push(&mut self, sides: [Ticked; 2]) {
        self.ticks.push_back(sides);
        while self.ticks.len() > WINDOW {
            self.ticks.pop_front();
        }
    }

    fn owed(&mut self, sides: [Ticked; 2]) {
        self.owed = self.with_owed(sides);
        self.missed += 1;
    }

    fn with_owed(&mut self, sides: [Ticked; 2]) -> [Ticked; 2] {
        let before = std::mem::take(&mut self.owed);
        [0, 1].map(|i| Ticked {
            all: sides[i].all + before[i].all,
            bad: sides[i].bad + before[i].bad,
            slow: sides[i].slow + before[i].slow,
        })
    }

    fn metrics(&self, cell: &Cell, at: Time, rng: &mut fastrand::Rng) -> RolloutMetrics {
        let mut side = |i: usize, latency: f64| {
            let all: f64 = self.ticks.iter().map(|t| t[i].all).sum();
            let bad: f64 = self.ticks.iter().map(|t| t[i].bad).sum();
            if all <= 0.0 {
                return TrackReadings { rate: Reading::Value(0.0), errors: Reading::NoTraffic, ..TrackReadings::default() };
            }
            // A quantile of so many requests is off by about as much.
            let mut quantile =
                |z: f64, error: f64| Reading::Value(latency * MEDIAN * (SPREAD * (z + error / all.sqrt() * normal(rng))).exp());
            TrackReadings {
                rate: Reading::Value(all / (WINDOW as f64 * TICK)),
                errors: Reading::Value(bad / all),
                p50: quantile(0.0, 1.25),
                p95: quantile(1.645, 2.11),
                p99: quantile(2.326, 3.73),
            }
        };
        RolloutMetrics { at: Some(at), new: side(0, cell.latency), old: side(1, 1.0), ..RolloutMetrics::default() }
    }

    fn remember(&self, metrics: &mut RolloutMetrics) {
        for side in [Side::New, Side::Old] {
            for series in [Series::Errors, Series::P95] {
                let value = metrics.side(side).get(series).value();
                metrics.history.entry((side, series)).or_default().push_back((metrics.at.unwrap(), value));
            }
        }
    }
}
