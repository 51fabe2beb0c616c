//! Simulated releases: requests of both sides in ticks of five seconds, from a seed.

use chrono::TimeDelta;
use rolltop::{
    model::{
        Time,
        metrics::{Block, Counts},
    },
    verdict::Trial,
};

pub const TICK: f64 = 5.0;
/// Half an hour.
pub const TICKS: usize = 360;

pub fn start() -> Time {
    Time::from_timestamp(1_700_000_000, 0).unwrap()
}

/// A release to be played.
#[derive(Debug, Clone, Copy)]
pub struct Play {
    /// Requests a second, both sides.
    pub rate: f64,
    /// The new side's part of them.
    pub part: f64,
    /// Share of bad requests of the old side, and how many times as many the new side has.
    pub base: f64,
    pub times: f64,
    /// What both shares are multiplied by at a tick.
    pub tide: fn(usize, &mut fastrand::Rng) -> f64,
}

pub const SAME: Play = Play { rate: 100.0, part: 0.1, base: 0.01, times: 1.0, tide: |_, _| 1.0 };

pub fn block(i: usize, new: Option<Counts>, old: Option<Counts>) -> Block {
    let at = |i: usize| start() + TimeDelta::seconds(i as i64 * 5);
    Block { from: at(i), to: at(i + 1), new, old, stretch: 1.0 }
}

pub fn counts(all: f64, bad: f64) -> Option<Counts> {
    Some(Counts { all, bad, timed: None })
}

impl Play {
    pub fn blocks(self, seed: u64) -> Vec<Block> {
        let mut rng = fastrand::Rng::with_seed(seed);
        (0..TICKS)
            .map(|i| {
                let tide = (self.tide)(i, &mut rng);
                let mut side = |rate: f64, share: f64| {
                    let all = poisson(rate * TICK, &mut rng);
                    counts(all, binomial(all, (share * tide).min(1.0), &mut rng))
                };
                let new = side(self.rate * self.part, self.base * self.times);
                let old = side(self.rate * (1.0 - self.part), self.base);
                block(i, new, old)
            })
            .collect()
    }

    /// Seconds until the new side was called worse, if it ever was.
    pub fn worse(self, seed: u64) -> Option<f64> {
        let mut trial = Trial::new("new", "old", Some(start()));
        self.blocks(seed).iter().enumerate().find_map(|(i, block)| {
            trial.take(block, None);
            trial.failing.is_worse().then_some((i + 1) as f64 * TICK)
        })
    }

    /// Share of runs that called it worse, and the median seconds of those.
    pub fn alarms(self, runs: u64) -> (f64, f64) {
        let mut times: Vec<f64> = (0..runs).filter_map(|seed| self.worse(seed)).collect();
        times.sort_by(f64::total_cmp);
        (times.len() as f64 / runs as f64, times.get(times.len() / 2).copied().unwrap_or(f64::INFINITY))
    }
}

/// Knuth's product for small means, a rounded normal for large ones.
pub fn poisson(mean: f64, rng: &mut fastrand::Rng) -> f64 {
    if mean > 60.0 {
        return (mean + mean.sqrt() * normal(rng)).round().max(0.0);
    }
    let (limit, mut product, mut n) = ((-mean).exp(), rng.f64(), 0.0);
    while product > limit {
        product *= rng.f64();
        n += 1.0;
    }
    n
}

/// By the gaps between hits, which are geometric.
pub fn binomial(n: f64, p: f64, rng: &mut fastrand::Rng) -> f64 {
    if p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return n;
    }
    let (mut at, mut hits) = (0.0, 0.0);
    loop {
        at += (rng.f64().max(1e-300).ln() / (1.0 - p).ln()).floor() + 1.0;
        if at > n {
            return hits;
        }
        hits += 1.0;
    }
}

pub fn normal(rng: &mut fastrand::Rng) -> f64 {
    (-2.0 * rng.f64().max(1e-300).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}
