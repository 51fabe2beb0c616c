//! A value with its source and its time: a number without an age does not reach the screen.

use std::time::Duration;

use super::Time;

/// Where evidence comes from. Each has its own age in the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The watch of the fleet's main objects.
    Fleet,
    /// The watches of the open rollout.
    Detail,
    /// Events of the open rollout.
    Events,
    Prometheus,
}

impl Source {
    pub const ALL: [Self; 4] = [Self::Fleet, Self::Detail, Self::Events, Self::Prometheus];

    /// The header's short name.
    pub fn label(self) -> &'static str {
        match self {
            Self::Fleet => "api",
            Self::Detail => "detail",
            Self::Events => "events",
            Self::Prometheus => "prom",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence<T> {
    pub value: T,
    pub source: Source,
    pub at: Time,
}

impl<T> Evidence<T> {
    pub fn new(value: T, source: Source, at: Time) -> Self {
        Self { value, source, at }
    }

    pub fn age(&self, now: Time) -> Duration {
        (now - self.at).to_std().unwrap_or_default()
    }
}
