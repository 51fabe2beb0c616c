//! Phases for those without a controller: which one a release is in, since when, and what comes next.
//!
//! The place is kept in an annotation on the route, beside the weight it belongs to, so that the two are written and
//! tested in one patch. A weight that somebody else has set since makes it stale; what comes next always follows from
//! the weight that is there.

use std::time::Duration;

use chrono::SubsecRound;
use serde::{Deserialize, Serialize};

use crate::{model::Time, settings::Stage};

/// Where a release stands, as JSON.
pub const ANNOTATION: &str = "rolltop/phase";

/// The text of the annotation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// How many phases have begun; 0 before the first and after an abort.
    pub phase: usize,
    /// When the weight was set, or as much later as the countdown stood still.
    pub since: Option<Time>,
    /// The new side's share when this was written, percent.
    pub weight: u8,
    /// What wrote it.
    #[serde(default)]
    pub by: String,
    /// The new side's Service or subset.
    #[serde(default)]
    pub new: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Time>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub aborted: bool,
}

/// What an annotation is worth.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    Nothing,
    /// No JSON of ours.
    Unreadable,
    Good(Mark),
    /// Written for another weight, or another side.
    Stale(Mark),
}

impl Standing {
    pub fn good(&self) -> Option<&Mark> {
        match self {
            Self::Good(mark) => Some(mark),
            _ => None,
        }
    }
}

/// Reads the annotation; `percent` is what the new side has now.
pub fn standing(text: Option<&str>, new: &str, percent: Option<u8>) -> Standing {
    let Some(text) = text else { return Standing::Nothing };
    match serde_json::from_str::<Mark>(text) {
        Err(_) => Standing::Unreadable,
        Ok(mark) if Some(mark.weight) == percent && mark.new == new => Standing::Good(mark),
        Ok(mark) => Standing::Stale(mark),
    }
}

impl Mark {
    /// A weight set now.
    pub fn set(stages: &[Stage], new: &str, percent: u8, now: Time) -> Self {
        let phase = begun(stages, percent);
        let by = String::from("rolltop");
        Self { phase, since: Some(now.trunc_subsecs(0)), weight: percent, by, new: new.into(), paused: None, aborted: false }
    }

    pub fn aborted(new: &str, now: Time) -> Self {
        Self { phase: 0, aborted: true, ..Self::set(&[], new, 0, now) }
    }

    pub fn paused(self, now: Time) -> Self {
        Self { paused: Some(now.trunc_subsecs(0)), ..self }
    }

    /// The countdown goes on where it stood.
    pub fn resumed(self, now: Time) -> Self {
        let stood = self.paused.map_or(chrono::Duration::zero(), |at| (now.trunc_subsecs(0) - at).max(chrono::Duration::zero()));
        Self { since: self.since.and_then(|s| s.checked_add_signed(stood)), paused: None, ..self }
    }

    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// How many phases a share has begun.
pub fn begun(stages: &[Stage], percent: u8) -> usize {
    stages.iter().take_while(|s| s.percent <= percent).count()
}

/// The first phase that brings more users than this.
pub fn next(stages: &[Stage], percent: u8) -> Option<&Stage> {
    stages.iter().find(|s| s.percent > percent)
}

/// From when the next phase may begin: the time of the one in progress has passed.
pub fn due(stages: &[Stage], mark: &Mark) -> Option<Time> {
    let hold = stages.get(mark.phase.checked_sub(1)?)?.hold?;
    mark.since?.checked_add_signed(chrono::Duration::from_std(hold).ok()?)
}

/// `10m`, `1h 30m`.
pub fn spoken(hold: Duration) -> String {
    humantime::format_duration(hold).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::settings::Conventions;

    fn at(minute: u32) -> Time {
        format!("2026-11-21T05:{minute:02}:00Z").parse().unwrap()
    }

    #[test]
    fn the_next_phase_follows_from_the_weight_that_is_there() {
        let stages = &Conventions::USUAL.phases;
        let of = |percent: u8| (begun(stages, percent), next(stages, percent).map(|s| s.percent));
        assert_eq!(of(0), (0, Some(5)));
        assert_eq!(of(5), (1, Some(25)));
        assert_eq!(of(30), (2, Some(50)));
        assert_eq!(of(99), (3, Some(100)));
        assert_eq!(of(100), (4, None));
    }

    #[test]
    fn a_pause_stops_the_countdown_and_no_more() {
        let stages = &Conventions::USUAL.phases;
        let mark = Mark::set(stages, "web-canary", 25, at(0));
        assert_eq!(due(stages, &mark), Some(at(10)));
        let resumed = mark.paused(at(4)).resumed(at(9));
        assert_eq!(due(stages, &resumed), Some(at(15)));
        assert_eq!(due(stages, &resumed.clone().resumed(at(20))), Some(at(15)), "resumed twice");
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let mark = Mark::set(&Conventions::USUAL.phases, "web-canary", 25, "2026-11-21T05:00:00.123Z".parse().unwrap());
        assert_eq!(mark.text(), r#"{"phase":2,"since":"2026-11-21T05:00:00Z","weight":25,"by":"rolltop","new":"web-canary"}"#);
        let read = |text: &str, percent| standing(Some(text), "web-canary", percent);
        assert_eq!(read(&mark.text(), Some(25)), Standing::Good(mark.clone()));
        assert_eq!(read(&mark.text(), Some(30)), Standing::Stale(mark.clone()));
        assert_eq!(read(&mark.text(), None), Standing::Stale(mark));
        assert_eq!(read("{}", Some(25)), Standing::Unreadable);
        assert_eq!(read("[1", Some(25)), Standing::Unreadable);
    }
}
