//! After a roll-back: whether the old side really serves, and whether the errors are gone.
//!
//! Somebody who was woken wants to hear "recovered after 38 s", or that it did not help. What is not measured is not called
//! recovered by its errors: then only the cluster's own word counts, and it says so.

use chrono::TimeDelta;

use super::words;
use crate::model::{
    Rollout, Time,
    metrics::{Reading, RolloutMetrics},
};

/// For so long everything must look well before it counts.
const SETTLED: TimeDelta = TimeDelta::seconds(10);
/// A roll-back that has not helped by then has not helped.
const URGENT: TimeDelta = TimeDelta::seconds(150);
/// Nobody waits for longer than this.
const GIVEN_UP: TimeDelta = TimeDelta::minutes(30);
/// Within twice what was normal, or so much above it.
const SLACK: f64 = 0.005;
/// The old side takes all users again: so many times as slow as it was is no alarm yet.
const SLOWER: f64 = 1.5;

/// A rollout that was sent back.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovery {
    since: Time,
    /// Share of failed requests that is usual for the old side, where it was measured.
    normal: Option<f64>,
    /// Its p95 before, seconds.
    quick: Option<f64>,
    well_since: Option<Time>,
    /// It was said that it has not helped.
    alarmed: bool,
}

/// What there is to say.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    Recovered {
        after: TimeDelta,
        /// `errors back to 0.2 %`.
        how: String,
    },
    /// Said once; it goes on being watched.
    NotYet { after: TimeDelta, why: String },
    /// Nobody looks any more.
    GivenUp,
}

impl Recovery {
    pub fn begun(normal: Option<f64>, quick: Option<f64>, now: Time) -> Self {
        Self { since: now, normal, quick, well_since: None, alarmed: false }
    }

    /// Whether it still may help: neither recovered nor said to have failed.
    pub fn is_open(&self) -> bool {
        !self.alarmed
    }

    /// Whether there is something new to say.
    pub fn look(&mut self, rollout: &Rollout, metrics: Option<&RolloutMetrics>, now: Time) -> Option<Finding> {
        let after = now - self.since;
        let how = match self.is_well(rollout, metrics) {
            Ok(how) => how,
            Err(why) => {
                self.well_since = None;
                return self.unwell(why, after);
            }
        };
        let since = *self.well_since.get_or_insert(now);
        (now - since >= SETTLED).then(|| Finding::Recovered { after: since - self.since, how })
    }

    fn unwell(&mut self, why: String, after: TimeDelta) -> Option<Finding> {
        if after >= GIVEN_UP {
            return Some(Finding::GivenUp);
        }
        (after >= URGENT && !std::mem::replace(&mut self.alarmed, true)).then_some(Finding::NotYet { after, why })
    }

    /// What speaks for it, or what is still wrong.
    fn is_well(&self, rollout: &Rollout, metrics: Option<&RolloutMetrics>) -> Result<String, String> {
        let share = rollout.new_side().and_then(|new| new.traffic.applied).filter(|share| *share > 0.0);
        if let Some(share) = share {
            return Err(format!("{} of the users are still on the new version", words::percent(share)));
        }
        let Some(old) = rollout.old_side() else { return Err("no old side is to be seen".into()) };
        let (ready, wanted) = (old.ready, old.desired.max(1));
        if ready < wanted {
            return Err(format!("{ready} of {wanted} pods of the old version are ready"));
        }
        self.errors(metrics)
    }

    fn errors(&self, metrics: Option<&RolloutMetrics>) -> Result<String, String> {
        let Some(metrics) = metrics else { return Ok("errors are not measured".into()) };
        if metrics.at.is_none_or(|at| at <= self.since) {
            return Err("there are no readings since".into());
        }
        let sides = [&metrics.new, &metrics.old].map(|side| match (side.rate, side.errors) {
            (Reading::Value(rate), Reading::Value(errors)) if rate > 0.0 => Some((rate, errors)),
            _ => None,
        });
        let (all, bad) = sides.into_iter().flatten().fold((0.0, 0.0), |(all, bad), (rate, errors)| (all + rate, bad + rate * errors));
        if all <= 0.0 {
            return Ok("nobody sends requests".into());
        }
        let now: f64 = bad / all;
        match self.normal {
            Some(normal) if now > (2.0 * normal).max(normal + SLACK) => {
                Err(format!("{} of all requests fail, {} were normal", words::percent(now), words::percent(normal)))
            }
            _ => self.speed(metrics).map(|speed| format!("{} of all requests fail{speed}", words::percent(now))),
        }
    }

    /// Whoever was sent back for being slow must be quick again.
    fn speed(&self, metrics: &RolloutMetrics) -> Result<String, String> {
        let Some(now) = metrics.old.p95.value() else { return Ok(String::new()) };
        match self.quick {
            Some(quick) if now > SLOWER * quick => Err(format!("its p95 is {}, {} was normal", words::latency(now), words::latency(quick))),
            _ => Ok(format!(", p95 {}", words::latency(now))),
        }
    }
}
