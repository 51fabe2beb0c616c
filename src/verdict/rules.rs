//! Guard rules besides the test: what people know and ask for. A rule compares one metric of the new side with a number, with
//! the old side, or with what the old side did when the release began. What has no value trips nothing, and lets nothing go.

use std::time::Duration;

use chrono::{Datelike, TimeDelta, Timelike};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{mann_whitney, words};
use crate::{
    model::{
        Rollout, Text, Time,
        metrics::{Reading, RolloutMetrics, Series, Side},
    },
    settings::wildcard,
};

/// A check that brought no value is made again so soon, as Argo Rollouts does it.
const RETRY: TimeDelta = TimeDelta::seconds(10);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Metric {
    Of(Series),
    /// Ready pods of those wanted, on the new side.
    Ready,
    /// A custom series by its name.
    Own(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Above,
    AtLeast,
    Below,
    AtMost,
    /// By Mann and Whitney's test on the readings of both sides since the release began.
    Unlike,
}

impl Operator {
    pub fn sign(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Unlike => "unlike",
        }
    }

    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Above | Self::Unlike => value > limit,
            Self::AtLeast => value >= limit,
            Self::Below => value < limit,
            Self::AtMost => value <= limit,
        }
    }
}

/// What a value is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    Number(f64),
    /// So many times the old side's value now.
    Stable(f64),
    /// So many times the old side's value when the release began.
    Start(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Info,
    Warning,
    Critical,
}

/// What a rule asks for once it has tripped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    Note,
    Hold,
    Abort,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// As it was written, or the name it was given.
    pub name: String,
    pub metric: Metric,
    pub operator: Operator,
    pub limit: Limit,
    /// How long it must be so without a break.
    pub lasting: Duration,
    /// Requests of the new side from which it counts.
    pub requests: f64,
    /// Time between two checks; zero checks every reading.
    pub every: Duration,
    /// Checks that must fail in all.
    pub times: u32,
    /// What a good value is, where that is more than not to trip: a value that does neither is inconclusive.
    pub passes: Option<(Operator, Limit)>,
    /// So many inconclusive checks are accepted in all; one more holds.
    pub inconclusive: Option<u32>,
    /// So many checks in succession may bring no value; one more holds. What is missing aborts nothing.
    pub errors: Option<u32>,
    pub level: Level,
    pub effect: Effect,
    /// Patterns of `namespace/name`; empty for all.
    pub only: Vec<String>,
    /// All must fit the labels of the rollout.
    pub labels: Vec<Label>,
    /// Minutes of the day in its zone; the second may be smaller: over midnight.
    pub hours: Option<(u32, u32)>,
    /// Days it works on, Monday first; none set for all.
    pub days: [bool; 7],
    pub zone: Tz,
}

/// What a label must be, or must not be; without a value, whether it is there at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub key: String,
    pub value: Option<String>,
    pub holds: bool,
}

/// How one rule stands on one release.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    pub value: Option<f64>,
    pub limit: Option<f64>,
    /// Since when it is so.
    pub since: Option<Time>,
    checked: Option<Time>,
    failures: u32,
    inconclusive: u32,
    /// Checks without a value since the last that had one, and when the last of them was.
    errors: u32,
    erred: Option<Time>,
    pub tripped: bool,
    /// Out of its hours, or too few requests: it says nothing.
    pub asleep: bool,
}

/// What rules look at.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    pub rollout: &'a Rollout,
    pub metrics: &'a RolloutMetrics,
    /// The old side's readings when the release began, by series.
    pub start: &'a [Option<f64>; Series::ALL.len()],
    pub began: Option<Time>,
    /// Requests that the new side has answered.
    pub requests: f64,
    pub at: Time,
}

impl Label {
    pub fn fits(&self, labels: &std::collections::BTreeMap<Text, Text>) -> bool {
        let found = labels.get(self.key.as_str());
        let is_so = match &self.value {
            Some(value) => found.is_some_and(|v| **v == **value),
            None => found.is_some(),
        };
        is_so == self.holds
    }
}

impl Rule {
    /// Whether it is about this release at all.
    pub fn concerns(&self, rollout: &Rollout) -> bool {
        let named = self.only.is_empty() || {
            let path = rollout.id.path();
            self.only.iter().any(|pattern| wildcard(pattern, &path))
        };
        named && self.labels.iter().all(|label| label.fits(&rollout.labels))
    }

    fn awake(&self, at: Time) -> bool {
        let at = at.with_timezone(&self.zone);
        let minute = at.hour() * 60 + at.minute();
        let in_hours =
            self.hours.is_none_or(|(from, to)| if from <= to { (from..to).contains(&minute) } else { minute >= from || minute < to });
        let day = self.days.get(at.weekday().num_days_from_monday() as usize).copied().unwrap_or(true);
        in_hours && (day || self.days == [false; 7])
    }

    /// Takes new readings in.
    pub fn check(&self, standing: &mut Standing, ground: &Ground<'_>) {
        let every = TimeDelta::from_std(self.every).unwrap_or_default();
        if standing.checked.is_some_and(|last| ground.at - last < every) {
            return;
        }
        standing.asleep = !self.awake(ground.at) || ground.requests < self.requests;
        (standing.value, standing.limit) = self.compare(self.limit, ground);
        let so = standing.value.zip(standing.limit).map(|(value, limit)| self.operator.holds(value, limit));
        let Some(so) = so.filter(|_| !standing.asleep) else {
            // Nobody knows: it neither trips nor goes on to count.
            standing.since = None;
            return self.missed(standing, ground);
        };
        standing.checked = Some(ground.at);
        (standing.errors, standing.erred) = (0, None);
        standing.inconclusive = standing.inconclusive.saturating_add(u32::from(!so && !self.passes(ground)));
        standing.since = if so { standing.since.or(Some(ground.at)) } else { None };
        standing.failures = standing.failures.saturating_add(u32::from(so));
        let lasted = standing.since.is_some_and(|since| (ground.at - since).to_std().is_ok_and(|d| d >= self.lasting));
        standing.tripped = match self.times {
            0 | 1 => lasted,
            // So many in all: what has failed stays failed.
            times => standing.failures >= times,
        };
    }

    fn passes(&self, ground: &Ground<'_>) -> bool {
        self.passes.is_none_or(|(operator, limit)| match self.compare(limit, ground) {
            (Some(value), Some(limit)) => operator.holds(value, limit),
            _ => false,
        })
    }

    /// A check without a value: no number where there were requests is a measurement that says nothing, no answer is an error,
    /// and where nobody came there was nothing to measure.
    fn missed(&self, standing: &mut Standing, ground: &Ground<'_>) {
        let reading = match &self.metric {
            Metric::Of(series) => Some(ground.metrics.new.get(*series)),
            Metric::Ready | Metric::Own(_) => None,
        };
        match reading {
            _ if standing.asleep => {}
            Some(Reading::NoTraffic) => {}
            Some(Reading::NotANumber) if self.passes.is_some() => {
                standing.checked = Some(ground.at);
                standing.inconclusive = standing.inconclusive.saturating_add(1);
            }
            _ if standing.erred.is_some_and(|last| ground.at - last < RETRY) => {}
            _ => (standing.errors, standing.erred) = (standing.errors.saturating_add(1), Some(ground.at)),
        }
    }

    /// What it asks for now; more than a hold only for what was measured.
    pub fn asks(&self, standing: &Standing) -> Option<Effect> {
        let held = self.unclear(standing) || self.unmeasured(standing);
        if standing.tripped { Some(self.effect) } else { held.then(|| self.effect.min(Effect::Hold)) }
    }

    fn unclear(&self, standing: &Standing) -> bool {
        self.inconclusive.is_some_and(|limit| standing.inconclusive > limit)
    }

    fn unmeasured(&self, standing: &Standing) -> bool {
        self.errors.is_some_and(|limit| standing.errors > limit)
    }

    fn compare(&self, limit: Limit, ground: &Ground<'_>) -> (Option<f64>, Option<f64>) {
        if self.operator == Operator::Unlike {
            return (self.unlike(ground), Some(0.0));
        }
        let (value, old, start) = match &self.metric {
            Metric::Of(series) => {
                let of = |side: Side| ground.metrics.side(side).get(*series).value();
                (of(Side::New), of(Side::Old), ground.start[*series as usize])
            }
            Metric::Ready => {
                let share = |t: &crate::model::Track| (t.desired > 0).then(|| f64::from(t.ready) / f64::from(t.desired));
                (ground.rollout.new_side().and_then(share), ground.rollout.old_side().and_then(share), None)
            }
            Metric::Own(name) => {
                let points = ground.metrics.own.iter().find(|(own, _)| ***own == **name).map(|(_, points)| points);
                let since = |at: &Time| ground.began.is_none_or(|began| *at >= began);
                let first = points.and_then(|p| p.iter().filter(|(at, _)| since(at)).find_map(|(_, v)| *v));
                (points.and_then(|p| p.back()).and_then(|(_, v)| *v), None, first)
            }
        };
        let limit = match limit {
            Limit::Number(n) => Some(n),
            Limit::Stable(times) => old.map(|v| v * times),
            Limit::Start(times) => start.map(|v| v * times),
        };
        (value.filter(|v| v.is_finite()), limit.filter(|v| v.is_finite()))
    }

    /// One when the new side's readings lie higher, zero when not; nothing with too few of them.
    fn unlike(&self, ground: &Ground<'_>) -> Option<f64> {
        let Metric::Of(series) = self.metric else { return None };
        let line = |side| {
            let points = ground.metrics.history.get(&(side, series))?;
            let since = |at: &Time| ground.began.is_none_or(|began| *at >= began);
            Some(points.iter().filter(|(at, _)| since(at)).filter_map(|(_, v)| *v).collect::<Vec<f64>>())
        };
        mann_whitney::is_higher(&line(Side::New)?, &line(Side::Old)?).map(f64::from)
    }

    /// A value of its metric in words.
    pub fn shown(&self, value: f64) -> String {
        match &self.metric {
            _ if self.operator == Operator::Unlike => if value > 0.0 { "higher" } else { "alike" }.into(),
            Metric::Of(Series::Errors) | Metric::Ready => words::percent(value),
            Metric::Of(Series::Rate) => format!("{value:.1}/s"),
            Metric::Of(_) => words::latency(value),
            Metric::Own(_) => format!("{}", (value * 1000.0).round() / 1000.0),
        }
    }

    /// `errors > 3x start: now 4.1 %, limit 0.6 %, for 2 min; would advise to abort`.
    pub fn words(&self, standing: &Standing, now: Time) -> Text {
        let value = match (standing.value, standing.limit) {
            _ if standing.asleep => "sleeps: not its hours, or too few requests".into(),
            (Some(value), Some(_)) if self.operator == Operator::Unlike => {
                format!("{} than stable", self.shown(value)).replace("alike than", "like")
            }
            (Some(value), Some(limit)) => format!("now {}, limit {}", self.shown(value), self.shown(limit)),
            (Some(value), None) => format!("now {}, nothing to compare with", self.shown(value)),
            (None, _) => "no value: says nothing".into(),
        };
        let since = standing.since.map(|since| (now - since).as_seconds_f64()).filter(|seconds| *seconds >= 1.0);
        let since = since.map(|seconds| format!(", for {}", words::so_long(seconds))).unwrap_or_default();
        let count = match self.times {
            0 | 1 => String::new(),
            times => format!(", failed checks: {}, {times} are too many", standing.failures),
        };
        let limits = [
            (self.unclear(standing), standing.inconclusive, self.inconclusive, "inconclusive checks"),
            (self.unmeasured(standing), standing.errors, self.errors, "checks without a value in a row"),
        ];
        let over = limits.into_iter().filter(|(over, ..)| *over && !standing.tripped);
        let over: String = over.map(|(_, n, limit, what)| format!(", {what}: {n}, accepted {}", limit.unwrap_or(0))).collect();
        let asks = self.asks(standing);
        let does = match (asks.unwrap_or(self.effect), asks.is_some()) {
            (Effect::Note, true) => "noted",
            (Effect::Note, false) => "would only be noted",
            (Effect::Hold, true) => "holds",
            (Effect::Hold, false) => "would hold",
            (Effect::Abort, true) => "advises to abort",
            (Effect::Abort, false) => "would advise to abort",
        };
        format!("{}: {value}{since}{count}{over}; {does}", self.name).into()
    }
}
