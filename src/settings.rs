//! What the reducer and the views need to know of the configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which clock the screen shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Zone {
    #[default]
    Local,
    Utc,
}

/// How many colours a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Colours {
    None,
    Sixteen,
    True,
}

/// How the screen looks.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    pub theme: String,
    pub colours: Colours,
    /// Only ASCII glyphs.
    pub ascii: bool,
    pub zone: Zone,
}

impl Default for Look {
    fn default() -> Self {
        Self { theme: "default".into(), colours: Colours::Sixteen, ascii: false, zone: Zone::Local }
    }
}

/// When evidence is too old to act on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Freshness {
    /// Age from which what Kubernetes said counts as stale.
    pub kubernetes: Duration,
    /// Age from which what Prometheus said counts as stale.
    pub prometheus: Duration,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { kubernetes: Duration::from_secs(30), prometheus: Duration::from_secs(30) }
    }
}

/// Settings of one session; they do not change while it runs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings {
    pub look: Look,
    pub fresh: Freshness,
    /// The context asks for the rollout's name before it is written to.
    pub protected: bool,
    pub mouse: bool,
    /// Whether a Prometheus is configured at all.
    pub prometheus: bool,
}
