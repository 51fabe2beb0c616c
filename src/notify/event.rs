//! What can be told, and how loud it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    model::{Id, Rollout, Text, Time},
    state::Known,
};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Nothing goes on until a person acts.
    Waits,
    /// It waits no more.
    GoesOn,
    AbortAdvised,
    HoldAdvised,
    GoAdvised,
    /// A person let the guard act on its own.
    Armed,
    /// It may act no longer.
    Disarmed,
    /// The guard pulled the brake.
    GuardActed,
    /// The guard went one step on, as its policy says.
    GuardPromoted,
    /// Somebody else wrote to it.
    Acted,
    Aborted,
    Failed,
    Completed,
    /// After a roll-back: the old version really serves.
    Recovered,
    /// After a roll-back: it did not help.
    NotRecovered,
    /// The guard's abort came to nothing.
    AbortFailed,
    /// Sent by `rolltop notify test`.
    Test,
}

/// How loud it is. What is urgent goes to every channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Urgency {
    Info,
    Warning,
    Critical,
    Urgent,
}

pub const URGENCIES: [(&str, Urgency); 4] =
    [("info", Urgency::Info), ("warning", Urgency::Warning), ("critical", Urgency::Critical), ("urgent", Urgency::Urgent)];

impl Urgency {
    pub fn name(self) -> &'static str {
        URGENCIES.iter().find(|(_, urgency)| *urgency == self).map_or("", |(name, _)| name)
    }
}

/// Of several of one topic only the last one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    Wait,
    Advice,
    Outcome,
    Acts,
    Recovery,
    Test,
}

impl Topic {
    /// Whether the same can happen again without anything else in between; several sessions see it within a while.
    pub fn repeats(self) -> bool {
        matches!(self, Self::Acts | Self::Recovery)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Advice => "advice",
            Self::Outcome => "outcome",
            Self::Acts => "acts",
            Self::Recovery => "recovery",
            Self::Test => "test",
        }
    }
}

/// All that is known of a kind.
#[derive(Debug)]
pub struct Row {
    pub kind: Kind,
    /// As it is written in the settings.
    pub name: &'static str,
    /// As a title says it after the rollout's name.
    pub title: &'static str,
    pub urgency: Urgency,
    pub topic: Topic,
    /// Told where a channel names no events.
    pub usual: bool,
}

const fn row(kind: Kind, name: &'static str, title: &'static str, urgency: Urgency, topic: Topic, usual: bool) -> Row {
    Row { kind, name, title, urgency, topic, usual }
}

pub const KINDS: &[Row] = &[
    row(Kind::Waits, "waits", "waits for a human", Urgency::Warning, Topic::Wait, true),
    row(Kind::GoesOn, "goes-on", "goes on", Urgency::Info, Topic::Wait, false),
    row(Kind::AbortAdvised, "abort-advised", "ABORT advised", Urgency::Critical, Topic::Advice, true),
    row(Kind::HoldAdvised, "hold-advised", "HOLD advised", Urgency::Warning, Topic::Advice, false),
    row(Kind::GoAdvised, "go-advised", "as good as before", Urgency::Info, Topic::Advice, false),
    row(Kind::Armed, "armed", "the guard is armed", Urgency::Info, Topic::Acts, false),
    row(Kind::Disarmed, "disarmed", "the guard is disarmed", Urgency::Info, Topic::Acts, false),
    row(Kind::GuardActed, "guard-acted", "the guard acted", Urgency::Critical, Topic::Acts, true),
    row(Kind::GuardPromoted, "guard-promoted", "the guard promotes it", Urgency::Info, Topic::Acts, true),
    row(Kind::Acted, "acted", "somebody acted", Urgency::Info, Topic::Acts, false),
    row(Kind::Aborted, "aborted", "aborted", Urgency::Warning, Topic::Outcome, true),
    row(Kind::Failed, "failed", "fails", Urgency::Critical, Topic::Outcome, true),
    row(Kind::Completed, "completed", "is released", Urgency::Info, Topic::Outcome, true),
    row(Kind::Recovered, "recovered", "recovered", Urgency::Info, Topic::Recovery, true),
    row(Kind::NotRecovered, "not-recovered", "THE ROLL-BACK DID NOT HELP", Urgency::Urgent, Topic::Recovery, true),
    row(Kind::AbortFailed, "abort-failed", "THE ABORT DID NOT WORK", Urgency::Urgent, Topic::Recovery, true),
    row(Kind::Test, "test", "test message of rolltop", Urgency::Info, Topic::Test, false),
];

/// Of a kind nobody listed; there is none, as a test sees to.
const UNLISTED: Row = row(Kind::Test, "", "", Urgency::Info, Topic::Test, false);

impl Kind {
    pub fn row(self) -> &'static Row {
        KINDS.iter().find(|row| row.kind == self).unwrap_or(&UNLISTED)
    }

    /// The kind of this name in the settings.
    pub fn named(name: &str) -> Option<Self> {
        KINDS.iter().find(|row| row.name == name && row.kind != Self::Test).map(|row| row.kind)
    }
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub at: Time,
    pub kind: Kind,
    pub urgency: Urgency,
    pub id: Id,
    /// The new version's hash.
    pub release: Text,
    /// One sentence without the rollout's name.
    pub text: Text,
    /// What tells it from an earlier one of its kind and release.
    pub mark: Text,
    pub phase: Text,
    /// `4/8`, or nothing.
    pub step: Text,
    pub verdict: Text,
    pub images: Vec<Text>,
    /// Labels of the rollout's own object.
    #[serde(default)]
    pub labels: BTreeMap<Text, Text>,
}

impl Event {
    /// An event about this rollout as it is now.
    pub fn about(known: &Known, kind: Kind, text: impl Into<Text>, now: Time) -> Self {
        let r = &known.rollout;
        let of = r.steps.items.len();
        let step = r.steps.current.map(|at| format!("{}/{of}", (at + 1).min(of))).filter(|_| of > 0).unwrap_or_default();
        let verdict = match known.verdict.because.is_empty() {
            true => known.verdict.is.words().to_owned(),
            false => format!("{}: {}", known.verdict.is.words(), known.verdict.because),
        };
        Self {
            at: now,
            kind,
            urgency: kind.row().urgency,
            id: r.id.clone(),
            release: release(r),
            text: text.into(),
            mark: Text::default(),
            phase: r.phase.name().into(),
            step: step.into(),
            verdict: verdict.into(),
            images: r.new_side().or_else(|| r.old_side()).map(|t| t.images.clone()).unwrap_or_default(),
            labels: BTreeMap::new(),
        }
    }

    pub fn marked(self, mark: impl Into<Text>) -> Self {
        Self { mark: mark.into(), ..self }
    }

    /// Of a release other than the one in flight now: it may just have ended.
    pub fn of_release(self, release: Text) -> Self {
        Self { release, ..self }
    }

    /// `shop/checkout waits for a human`.
    pub fn title(&self) -> String {
        match self.kind {
            Kind::Test => self.kind.row().title.to_owned(),
            kind => format!("{} {}", self.id.path(), kind.row().title),
        }
    }

    /// Whom and what it is about.
    pub fn slot(&self) -> Slot {
        Slot::of(&self.id, self.kind.row().topic)
    }

    /// What is remembered of it; the same again is no news.
    pub fn value(&self) -> String {
        format!("{} {} {}", self.kind.row().name, self.release, self.mark)
    }
}

/// A place in the memory of what was told.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub String);

impl Slot {
    pub fn of(id: &Id, topic: Topic) -> Self {
        Self(format!("{} {} {}", id.context, id.uid, topic.name()))
    }
}

/// What names a release: the hash of the new version, or of the only one.
pub fn release(rollout: &Rollout) -> Text {
    let hash = rollout.new_side().or_else(|| rollout.old_side()).map(|t| t.hash.clone()).unwrap_or_default();
    if hash.is_empty() { format!("generation {}", rollout.generation).into() } else { hash }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_listed_once() {
        for (i, row) in KINDS.iter().enumerate() {
            assert!(KINDS.iter().skip(i + 1).all(|other| other.kind != row.kind && other.name != row.name), "{}", row.name);
            assert_eq!(serde_json::to_value(row.kind).unwrap(), row.name);
        }
        // Serde knows all variants: the last one listed here is the last one there is.
        assert_eq!(KINDS.len(), Kind::Test as usize + 1);
    }
}
