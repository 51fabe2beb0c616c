//! Where a rollout stands, and what it waits for.

use serde::Serialize;

use super::{Text, Time};

/// The one word for a rollout's state. Its names are part of the JSON contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Finished, and as many pods as wanted.
    Healthy,
    /// Moving by itself.
    Progressing,
    /// Nothing happens until a human acts.
    Waiting,
    /// Paused by someone, or for a set time.
    Paused,
    /// The new version does not come up, or its analysis fails.
    Failing,
    /// Taken back; the old version serves.
    Aborted,
    /// Nothing moves and nobody will move it: controller absent or blocked.
    Stuck,
    /// The object could not be understood.
    Unknown,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Progressing => "progressing",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Failing => "failing",
            Self::Aborted => "aborted",
            Self::Stuck => "stuck",
            Self::Unknown => "unknown",
        }
    }

    /// Place in the fleet: who needs a human comes first. Smaller is more urgent.
    pub fn urgency(self) -> u8 {
        match self {
            Self::Waiting => 0,
            Self::Failing => 1,
            Self::Stuck => 2,
            Self::Aborted => 3,
            Self::Unknown => 4,
            Self::Paused => 5,
            Self::Progressing => 6,
            Self::Healthy => 7,
        }
    }
}

/// Who must act before it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WaitFor {
    Human,
    Timer,
    Analysis,
    Experiment,
    Pods,
    Controller,
}

/// Why it stands still, and since when.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Wait {
    #[serde(rename = "for")]
    pub who: WaitFor,
    pub reason: Text,
    pub since: Option<Time>,
    /// When the wait ends by itself.
    pub until: Option<Time>,
}
