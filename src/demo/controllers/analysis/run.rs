//! An AnalysisRun as its controller reads and writes it.

use chrono::{SubsecRound, TimeDelta};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{duration::parse_duration, is_final};
use crate::model::Time;

/// A number, or a text with one in it; a text without is zero.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Number {
    Int(i64),
    Text(String),
}

impl Number {
    pub fn value(&self) -> i64 {
        match self {
            Self::Int(number) => *number,
            Self::Text(text) => text.parse().unwrap_or_default(),
        }
    }
}

/// One metric of the spec, its arguments filled in.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metric {
    pub name: String,
    pub interval: String,
    pub initial_delay: String,
    pub count: Option<Number>,
    pub success_condition: String,
    pub failure_condition: String,
    pub failure_limit: Option<Number>,
    pub inconclusive_limit: Option<Number>,
    pub consecutive_error_limit: Option<Number>,
    pub consecutive_success_limit: Option<Number>,
    pub provider: Map<String, Value>,
}

/// Errors in a row that a metric survives if nobody says otherwise.
const ERROR_LIMIT: i64 = 4;
/// From a measurement that ended in an error to the next, whatever the interval.
const ERROR_RETRY: TimeDelta = TimeDelta::seconds(10);

fn or(limit: &Option<Number>, default: i64) -> i64 {
    limit.as_ref().map_or(default, Number::value)
}

impl Metric {
    /// How often to measure; `None` is without end.
    pub fn effective_count(&self) -> Option<i64> {
        match or(&self.count, 0) {
            0 if self.interval.is_empty() => Some(1),
            0 => None,
            count => Some(count),
        }
    }

    pub fn failure_limit(&self) -> i64 {
        or(&self.failure_limit, 0)
    }

    pub fn inconclusive_limit(&self) -> i64 {
        or(&self.inconclusive_limit, 0)
    }

    pub fn consecutive_error_limit(&self) -> i64 {
        or(&self.consecutive_error_limit, ERROR_LIMIT)
    }

    pub fn consecutive_success_limit(&self) -> i64 {
        or(&self.consecutive_success_limit, 0)
    }

    /// The pause after a measurement. `None`: an interval nobody can read.
    pub fn pause_after(&self, last: &Measurement) -> Option<TimeDelta> {
        if last.phase == "Error" || self.interval.is_empty() {
            return Some(ERROR_RETRY);
        }
        parse_duration(&self.interval).ok()
    }

    /// What is wrong with it, in the controller's words.
    fn check(&self) -> Result<(), String> {
        let count = or(&self.count, 0);
        let (failures, successes, inconclusive) = (self.failure_limit(), self.consecutive_success_limit(), self.inconclusive_limit());
        let both = || format!("count ({count}) must be >= failureLimit + consecutiveSuccessLimit ({failures} + {successes}) if both >= 0");
        let rules: [(bool, &dyn Fn() -> String); 9] = [
            (successes < 0, &|| "consecutiveSuccessLimit must be >= 0".into()),
            (failures < -1, &|| "failureLimit must be >= 0, or -1 to be disabled".into()),
            (successes == 0 && failures == -1, &|| "failureLimit and consecutiveSuccessLimit cannot both be disabled".into()),
            (inconclusive < 0, &|| "inconclusiveLimit must be >= 0".into()),
            (self.consecutive_error_limit() < 0, &|| "consecutiveErrorLimit must be >= 0".into()),
            (count > 0 && failures >= 0 && count < failures + successes, &both),
            (count > 0 && failures < 0 && count < successes, &|| "count must be >= consecutiveSuccessLimit".into()),
            (count > 0 && count < inconclusive, &|| "count must be >= inconclusiveLimit".into()),
            (count > 1 && self.interval.is_empty(), &|| "interval must be specified when count > 1".into()),
        ];
        if let Some((_, why)) = rules.iter().find(|(broken, _)| *broken) {
            return Err(why());
        }
        let readable = |text: &str, what: &str| {
            if text.is_empty() { Ok(()) } else { parse_duration(text).map(drop).map_err(|why| format!("{what}: {why}")) }
        };
        readable(&self.interval, "invalid interval string")?;
        readable(&self.initial_delay, "invalid startDelay string")?;
        match self.providers() {
            0 => Err("no provider specified".into()),
            1 => Ok(()),
            _ => Err("multiple providers specified".into()),
        }
    }

    fn providers(&self) -> usize {
        let plugins = self.provider.get("plugin").and_then(Value::as_object).map_or(0, Map::len);
        self.provider.iter().filter(|(name, value)| *name != "plugin" && !value.is_null()).count() + plugins
    }
}

/// What is wrong with these metrics.
pub fn check(metrics: &[Metric]) -> Result<(), String> {
    if metrics.is_empty() {
        return Err("no metrics specified".into());
    }
    for (index, metric) in metrics.iter().enumerate() {
        if metrics[..index].iter().any(|known| known.name == metric.name) {
            return Err(format!("metrics[{index}]: duplicate name '{}'", metric.name));
        }
        metric.check().map_err(|why| format!("metrics[{index}]: {why}"))?;
    }
    Ok(())
}

fn none<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    pub phase: String,
    #[serde(skip_serializing_if = "none")]
    pub message: String,
    #[serde(skip_serializing_if = "none")]
    pub metric_results: Vec<MetricResult>,
    #[serde(skip_serializing_if = "none")]
    pub started_at: Option<Time>,
    #[serde(skip_serializing_if = "none")]
    pub run_summary: Summary,
    #[serde(skip_serializing_if = "none")]
    pub dry_run_summary: Option<Summary>,
    #[serde(skip_serializing_if = "none")]
    pub completed_at: Option<Time>,
}

/// Counts metrics, not measurements.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Summary {
    #[serde(skip_serializing_if = "none")]
    pub count: i64,
    #[serde(skip_serializing_if = "none")]
    pub successful: i64,
    #[serde(skip_serializing_if = "none")]
    pub failed: i64,
    #[serde(skip_serializing_if = "none")]
    pub inconclusive: i64,
    #[serde(skip_serializing_if = "none")]
    pub error: i64,
}

impl Summary {
    pub fn add(&mut self, phase: &str) {
        *match phase {
            "Error" => &mut self.error,
            "Failed" => &mut self.failed,
            "Inconclusive" => &mut self.inconclusive,
            _ => &mut self.successful,
        } += 1;
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricResult {
    pub name: String,
    pub phase: String,
    #[serde(skip_serializing_if = "none")]
    pub measurements: Vec<Measurement>,
    #[serde(skip_serializing_if = "none")]
    pub message: String,
    /// Without errors.
    #[serde(skip_serializing_if = "none")]
    pub count: i64,
    #[serde(skip_serializing_if = "none")]
    pub successful: i64,
    #[serde(skip_serializing_if = "none")]
    pub failed: i64,
    #[serde(skip_serializing_if = "none")]
    pub inconclusive: i64,
    #[serde(skip_serializing_if = "none")]
    pub error: i64,
    #[serde(skip_serializing_if = "none")]
    pub consecutive_error: i64,
    #[serde(skip_serializing_if = "none")]
    pub dry_run: bool,
    #[serde(skip_serializing_if = "none")]
    pub metadata: Map<String, Value>,
    #[serde(skip_serializing_if = "none")]
    pub consecutive_success: i64,
}

impl MetricResult {
    /// Counts a measurement that has ended, and keeps it.
    pub fn take(&mut self, measurement: Measurement) {
        match &*measurement.phase {
            "Error" => self.error += 1,
            phase => {
                *match phase {
                    "Successful" => &mut self.successful,
                    "Failed" => &mut self.failed,
                    _ => &mut self.inconclusive,
                } += 1;
                self.count += 1;
            }
        }
        self.consecutive_error = if measurement.phase == "Error" { self.consecutive_error + 1 } else { 0 };
        self.consecutive_success = if measurement.phase == "Successful" { self.consecutive_success + 1 } else { 0 };
        self.measurements.push(measurement);
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Measurement {
    pub phase: String,
    #[serde(skip_serializing_if = "none")]
    pub message: String,
    #[serde(skip_serializing_if = "none")]
    pub started_at: Option<Time>,
    #[serde(skip_serializing_if = "none")]
    pub finished_at: Option<Time>,
    #[serde(skip_serializing_if = "none")]
    pub value: String,
    #[serde(skip_serializing_if = "none")]
    pub metadata: Map<String, Value>,
    #[serde(skip_serializing_if = "none")]
    pub resume_at: Option<Time>,
}

impl Measurement {
    /// Times in objects have whole seconds.
    pub fn ended(phase: &str, value: String, message: String, now: Time) -> Self {
        let now = Some(now.trunc_subsecs(0));
        Self { phase: phase.into(), value, message, started_at: now, finished_at: now, ..Self::default() }
    }
}

impl Status {
    pub fn result(&self, metric: &str) -> Option<&MetricResult> {
        self.metric_results.iter().find(|result| result.name == metric)
    }

    pub fn last(&self, metric: &str) -> Option<&Measurement> {
        self.result(metric)?.measurements.last()
    }

    pub fn is_completed(&self, metric: &str) -> bool {
        self.result(metric).is_some_and(|result| is_final(&result.phase))
    }

    /// Whether nothing new is to be measured: somebody said so, or a metric has failed already.
    pub fn is_terminating(&self, terminate: bool) -> bool {
        let ends = |result: &MetricResult| !result.dry_run && ["Failed", "Error", "Inconclusive"].contains(&&*result.phase);
        terminate || self.metric_results.iter().any(ends)
    }
}
