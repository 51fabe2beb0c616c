//! Counted requests for the verdict: one range query a refresh for all releases in flight, none without them.
//!
//! Counters are subtracted from what they were a step before. Unlike `rate()` that invents nothing, neighbouring blocks
//! never share a request, and a step in which nothing was scraped is a step without requests. A counter that fell is left
//! out for that step, as is one that was not there before.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use chrono::TimeDelta;

use super::{
    Client, Fault, Target,
    mapping::tally,
    profile::{Profile, Scope},
};
use crate::model::{
    Id, Text, Time,
    metrics::{Block, Counts, Reading, RolloutMetrics, Side, TrackReadings},
};

/// Steps that are asked about at most, when a release is first seen or after a gap.
const STEPS: i64 = 60;
/// A window of four scrapes may have seen three quarters of what `rate()` makes of it.
const STRETCH: f64 = 4.0 / 3.0;

/// What was asked of each release in flight.
#[derive(Debug, Default)]
pub struct Counting(HashMap<Id, Kept>);

#[derive(Debug, Clone)]
struct Kept {
    hash: Option<Text>,
    /// The last moment that was counted up to.
    upto: Option<Time>,
    /// Bound of the bucket that divides slow from quick, in the histogram's own unit; settled once for a release.
    bound: Option<f64>,
}

/// One question: the steps of time it is about, and for whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    pub targets: Vec<Target>,
    /// For each target: after when, and the bound.
    whose: Vec<(Option<Time>, Option<f64>)>,
    from: Time,
    to: Time,
    step: Duration,
}

impl Counting {
    /// What to ask now; nothing when nothing is in flight, or no step has passed.
    pub fn next(
        &mut self,
        profile: &Profile,
        targets: &[Target],
        metrics: &[(Id, RolloutMetrics)],
        now: Time,
        step: Duration,
    ) -> Option<Ask> {
        let targets: Vec<Target> = targets.iter().filter(|t| t.in_flight).cloned().collect();
        self.0.retain(|id, _| targets.iter().any(|t| t.id == *id));
        let readings: HashMap<&Id, &RolloutMetrics> = metrics.iter().map(|(id, m)| (id, m)).collect();
        let millis = i64::try_from(step.as_millis()).ok()?.max(1_000);
        let last = now.timestamp_millis().div_euclid(millis);
        let earliest = Time::from_timestamp_millis((last - STEPS) * millis)?;
        let to = Time::from_timestamp_millis(last * millis)?;
        let whose: Vec<(Option<Time>, Option<f64>)> = targets
            .iter()
            .map(|t| {
                let kept = self.0.entry(t.id.clone()).or_insert(Kept { hash: t.new_hash.clone(), upto: None, bound: None });
                if kept.hash != t.new_hash {
                    *kept = Kept { hash: t.new_hash.clone(), upto: kept.upto, bound: None };
                }
                let p95 = readings.get(&t.id).and_then(|m| m.old.p95.value());
                kept.bound = kept.bound.or_else(|| profile.bound(t, p95?));
                (kept.upto, kept.bound)
            })
            .collect();
        let after = whose.iter().map(|(upto, _)| upto.unwrap_or(earliest)).min()?.max(earliest);
        let from = after + TimeDelta::milliseconds(millis);
        (from <= to).then(|| Ask { targets, whose, from, to, step: Duration::from_millis(millis.unsigned_abs()) })
    }

    /// Those steps are done.
    pub fn done(&mut self, ask: &Ask) {
        for target in &ask.targets {
            if let Some(kept) = self.0.get_mut(&target.id) {
                kept.upto = Some(ask.to);
            }
        }
    }

    /// Blocks of a profile whose counters are unknown: one a window, from its rates.
    pub fn from_rates(&mut self, targets: &[Target], metrics: &mut [(Id, RolloutMetrics)], window: Duration) {
        let Ok(window) = TimeDelta::from_std(window) else { return };
        for (id, m) in metrics {
            let Some((at, target)) = m.at.zip(targets.iter().find(|t| t.id == *id && t.in_flight)) else { continue };
            let kept = self.0.entry(id.clone()).or_insert(Kept { hash: target.new_hash.clone(), upto: None, bound: None });
            let from = at - window;
            if kept.upto.is_some_and(|upto| from < upto) {
                continue;
            }
            let (new, old) = (of_rates(&m.new, window), of_rates(&m.old, window));
            if new.is_some() || old.is_some() {
                kept.upto = Some(at);
                m.blocks.push(Block { from, to: at, new, old, stretch: STRETCH });
            }
        }
    }
}

fn of_rates(side: &TrackReadings, window: TimeDelta) -> Option<Counts> {
    let all = side.rate.value()? * window.as_seconds_f64();
    match side.errors {
        Reading::Value(share) => Some(Counts { all, bad: all * share, timed: None }),
        Reading::NoTraffic => Some(Counts::default()),
        _ => None,
    }
}

impl Ask {
    /// Asks, and hangs the blocks on the readings.
    ///
    /// # Errors
    /// Why nobody counted.
    pub async fn run(&self, client: &Client, profile: &Profile, metrics: &mut [(Id, RolloutMetrics)]) -> Result<(), Fault> {
        let Some(promql) = self.question(profile) else { return Ok(()) };
        let answer = client.query_range(&promql, self.from, self.to, self.step).await?;
        let bounds: Vec<Option<f64>> = self.whose.iter().map(|(_, bound)| *bound).collect();
        let sides = tally(profile, &self.targets, &bounds, &answer);
        let mut places: HashMap<Id, usize> = metrics.iter().enumerate().map(|(i, (id, _))| (id.clone(), i)).collect();
        for ((target, sides), (upto, bound)) in self.targets.iter().zip(sides).zip(&self.whose) {
            let Some((_, m)) = places.remove(&target.id).and_then(|i| metrics.get_mut(i)) else { continue };
            m.limit = bound.map(|b| b * profile.of_target(target).scale());
            m.blocks = self.blocks(&sides, *upto);
        }
        Ok(())
    }

    pub fn question(&self, profile: &Profile) -> Option<String> {
        let mut bounds: Vec<f64> = self.whose.iter().filter_map(|(_, b)| *b).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        profile.counts(Scope::Fleet(&self.targets), self.step, &bounds)
    }

    /// A block for every step, also one in which nobody was counted: that is a gap, and it shows.
    fn blocks(&self, sides: &[BTreeMap<Time, Counts>; 2], upto: Option<Time>) -> Vec<Block> {
        let step = TimeDelta::from_std(self.step).unwrap_or_default();
        let steps = std::iter::successors(Some(self.from), |at| Some(*at + step)).take_while(|at| *at <= self.to);
        let of = |side: Side, at: &Time| sides[side as usize].get(at).copied();
        steps
            .filter(|at| upto.is_none_or(|upto| *at - step >= upto))
            .map(|at| Block { from: at - step, to: at, new: of(Side::New, &at), old: of(Side::Old, &at), stretch: 1.0 })
            .collect()
    }
}
