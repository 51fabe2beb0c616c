//! A small Prometheus: samples of the last hour or so in memory, PromQL with Prometheus' own semantics, its HTTP API.
//!
//! [`Tsdb`] holds the samples and answers queries. They are read with the grammar of the `promql-parser` crate; what a
//! Prometheus without feature flags refuses is refused; and the rest is evaluated as Prometheus 3.15 does. [`router`] is
//! the API of that version as far as clients of a cluster use it.
//!
//! There are no native histograms, exemplars, rules or alerts.

mod chunk;
mod error;
mod eval;
mod format;
mod http;
pub mod labels;
mod parse;
mod storage;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

pub use chunk::{STALE, is_stale};
pub use error::Error;
pub use http::router;
use labels::Labels;
use storage::Storage;

use crate::model::Time;

/// One value of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// With the metric's name as `__name__`.
    pub labels: Labels,
    pub value: f64,
}

/// What a metric family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    /// As metadata and the text format write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Milliseconds since 1970 and a value.
pub type Point = (i64, f64);

/// One series of a range query's answer. Times ascend.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub labels: Labels,
    pub points: Vec<Point>,
}

/// Sorted by labels.
pub type Matrix = Vec<Series>;

/// The answer to a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Scalar(f64),
    String(String),
    /// In the order of evaluation, which only `sort`, `topk` and the like promise.
    Vector(Vec<Sample>),
    Matrix(Matrix),
}

/// A value and what the evaluation remarked on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub value: Value,
    pub notes: Notes,
}

/// Prometheus' annotations, without the places in the query that its own have at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    pub warnings: std::collections::BTreeSet<String>,
    pub infos: std::collections::BTreeSet<String>,
}

/// When a query is evaluated: once, or at every step from start to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: i64,
    pub end: i64,
    /// Milliseconds; `None` for an instant query.
    pub step: Option<i64>,
    /// How long a sample counts after its scrape, in milliseconds.
    pub lookback: i64,
}

/// How long a sample counts after its scrape unless a stale marker follows: five minutes, Prometheus' default.
const LOOKBACK: i64 = 300_000;

/// The samples and their index. Share it in an `Arc`: all its methods take `&self`.
#[derive(Debug)]
pub struct Tsdb {
    storage: RwLock<Storage>,
    kinds: RwLock<BTreeMap<String, Kind>>,
}

impl Tsdb {
    /// Empty; samples older than `retention` are dropped, a block of scrapes at a time.
    pub fn new(retention: Duration) -> Self {
        Self { storage: RwLock::new(Storage::new(millis(retention))), kinds: RwLock::default() }
    }

    /// One scrape of everything exposed: a series that was in the last scrape and is not in this one gets a stale
    /// marker. A scrape that is not later than the last one is dropped, as is the second of two equal series.
    pub fn scrape(&self, at: Time, samples: Vec<Sample>) {
        self.write().scrape(at.timestamp_millis(), samples);
    }

    /// Samples of this moment, which must not be before the last one's. No stale markers but those among the values.
    pub fn append(&self, at: Time, samples: Vec<Sample>) {
        self.write().append(at.timestamp_millis(), samples);
    }

    /// What the family's metadata says.
    pub fn describe(&self, family: &str, kind: Kind) {
        self.kinds.write().unwrap_or_else(PoisonError::into_inner).insert(family.to_owned(), kind);
    }

    /// Evaluates a query at one moment.
    ///
    /// # Errors
    /// As Prometheus has them, in its words as far as they are the evaluation's.
    pub fn instant(&self, query: &str, at: Time) -> Result<Value, Error> {
        let at = at.timestamp_millis();
        Ok(self.answer(query, Span { start: at, end: at, step: None, lookback: LOOKBACK })?.value)
    }

    /// Evaluates a query at `start`, `start + step` and so on, not after `end`.
    ///
    /// # Errors
    /// As [`Tsdb::instant`]; and if the query's value is a range or a string.
    pub fn range(&self, query: &str, start: Time, end: Time, step: Duration) -> Result<Matrix, Error> {
        let (start, end) = (start.timestamp_millis(), end.timestamp_millis());
        match self.answer(query, Span { start, end, step: Some(millis(step).max(1)), lookback: LOOKBACK })?.value {
            Value::Matrix(matrix) => Ok(matrix),
            _ => Ok(Matrix::new()),
        }
    }

    /// Bytes of samples, series and scrapes held, for those who watch its size.
    pub fn stats(&self) -> Stats {
        self.read().stats()
    }

    pub(crate) fn answer(&self, query: &str, span: Span) -> Result<Answer, Error> {
        let expr = parse::query(query, span.step.is_some())?;
        eval::evaluate(&self.read(), &expr, span)
    }

    fn kinds(&self) -> BTreeMap<String, Kind> {
        self.kinds.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Storage> {
        self.storage.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Storage> {
        self.storage.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    pub series: usize,
    /// Scrapes that can still be asked about.
    pub scrapes: usize,
    /// Encoded samples, in bytes.
    pub bytes: usize,
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
