//! What Prometheus measured, per track; empty is not zero.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::{Role, Text, Time};

/// The built-in series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Series {
    /// Requests a second.
    Rate,
    /// Share of requests that failed, 0 to 1.
    Errors,
    /// Latency quantiles, seconds.
    P50,
    P95,
    P99,
}

impl Series {
    pub const ALL: [Self; 5] = [Self::Rate, Self::Errors, Self::P50, Self::P95, Self::P99];
}

/// One look at one series of one track.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Reading {
    /// Nobody has asked yet.
    #[default]
    Unasked,
    /// The source knows no such series.
    NoData,
    /// The series is there, but nobody sent a request: a share or a quantile does not exist.
    NoTraffic,
    /// The source answered NaN or infinity where traffic was seen.
    NotANumber,
    Value(f64),
}

impl Reading {
    pub fn value(self) -> Option<f64> {
        match self {
            Self::Value(v) => Some(v),
            _ => None,
        }
    }

    /// The word shown where no number can be.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unasked => "…",
            Self::NoData => "no data",
            Self::NoTraffic => "no traffic",
            Self::NotANumber => "NaN",
            Self::Value(_) => "",
        }
    }
}

/// The latest readings of one track, all from one refresh.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrackReadings {
    pub rate: Reading,
    pub errors: Reading,
    pub p50: Reading,
    pub p95: Reading,
    pub p99: Reading,
}

impl TrackReadings {
    pub fn get(&self, series: Series) -> Reading {
        match series {
            Series::Rate => self.rate,
            Series::Errors => self.errors,
            Series::P50 => self.p50,
            Series::P95 => self.p95,
            Series::P99 => self.p99,
        }
    }

    pub fn set(&mut self, series: Series, reading: Reading) {
        *match series {
            Series::Rate => &mut self.rate,
            Series::Errors => &mut self.errors,
            Series::P50 => &mut self.p50,
            Series::P95 => &mut self.p95,
            Series::P99 => &mut self.p99,
        } = reading;
    }
}

/// Which of the two compared sides a series belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    New,
    Old,
}

/// A chart's line: time and value, `None` where there was nothing to draw.
pub type Points = VecDeque<(Time, Option<f64>)>;

/// Requests that one side answered in a block of time.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, serde::Deserialize)]
pub struct Counts {
    pub all: f64,
    pub bad: f64,
    /// Requests whose time was taken, and those of them that took longer than the limit.
    pub timed: Option<(f64, f64)>,
}

/// What both sides answered between two moments; blocks of one rollout never overlap. `None`: nobody counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, serde::Deserialize)]
pub struct Block {
    pub from: Time,
    pub to: Time,
    pub new: Option<Counts>,
    pub old: Option<Counts>,
    /// By how much the counts may exceed what was seen: `rate()` stretches to its whole window. One for true counts.
    pub stretch: f64,
}

/// Metrics of one rollout.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RolloutMetrics {
    /// When the latest readings were taken, by the source's clock.
    pub at: Option<Time>,
    pub new: TrackReadings,
    pub old: TrackReadings,
    /// The new side's part of all requests, 0 to 1.
    pub measured_share: Option<f64>,
    /// A side's latency comes from a native histogram, without classic buckets beside it.
    pub native: bool,
    pub history: BTreeMap<(Side, Series), Points>,
    /// Back-filled range that `history` covers, once the chart was opened.
    pub filled_from: Option<Time>,
    /// The rollout's own analysis queries, by metric name.
    pub own: BTreeMap<Text, Points>,
    /// What was counted since the last refresh, for the verdict; not kept.
    pub blocks: Vec<Block>,
    /// Seconds above which a request counted as slow in these blocks.
    pub limit: Option<f64>,
}

impl RolloutMetrics {
    pub fn side(&self, side: Side) -> &TrackReadings {
        match side {
            Side::New => &self.new,
            Side::Old => &self.old,
        }
    }

    /// Readings for a role: the new side's or the old one's.
    pub fn of(&self, is_new: bool, _role: Role) -> &TrackReadings {
        if is_new { &self.new } else { &self.old }
    }
}
