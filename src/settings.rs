//! What the reducer, the engines and the views need to know of the configuration.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

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

/// One phase of a release that no controller drives: the new side's share, and how long it should stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    pub percent: u8,
    /// `None`: until somebody goes on.
    pub hold: Option<Duration>,
}

impl Stage {
    const fn minutes(percent: u8, minutes: u64) -> Self {
        Self { percent, hold: Some(Duration::from_secs(60 * minutes)) }
    }
}

/// What people agree on where no controller is told: engines find it beside the objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conventions {
    /// Phases of a release, in order.
    pub phases: Cow<'static, [Stage]>,
    /// Other phases for some: patterns of `namespace/name`, `*` for any run of characters.
    pub rollouts: BTreeMap<String, Vec<Stage>>,
}

impl Conventions {
    /// What holds where nobody said anything else.
    pub const USUAL: Self = Self {
        phases: Cow::Borrowed(&[Stage::minutes(5, 5), Stage::minutes(25, 10), Stage::minutes(50, 10), Stage { percent: 100, hold: None }]),
        rollouts: BTreeMap::new(),
    };

    /// The phases of one rollout: those of the pattern that says most about it, else the common ones.
    pub fn phases(&self, namespace: &str, name: &str) -> &[Stage] {
        let path = format!("{namespace}/{name}");
        let fitting = self.rollouts.iter().filter(|(pattern, _)| wildcard(pattern, &path));
        fitting.max_by_key(|(pattern, _)| pattern.chars().filter(|c| *c != '*').count()).map_or(&self.phases, |(_, own)| own)
    }
}

impl Default for Conventions {
    fn default() -> Self {
        Self::USUAL
    }
}

/// `*` stands for any run of characters.
pub fn wildcard(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text
            .strip_prefix(head)
            .is_some_and(|tail| (0..=tail.len()).filter(|i| tail.is_char_boundary(*i)).any(|i| wildcard(rest, &tail[i..]))),
    }
}

/// Whether a pattern can be meant for rollouts at all.
pub fn names_rollouts(pattern: &str) -> bool {
    pattern.contains('/') || pattern == "*"
}

/// How such a pattern is written.
pub const NAMING: &str = "write namespace/name, with * for any run of characters";

/// Settings of one session; they do not change while it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub look: Look,
    pub fresh: Freshness,
    /// The context asks for the rollout's name before it is written to.
    pub protected: bool,
    pub mouse: bool,
    /// Whether a Prometheus is configured at all.
    pub prometheus: bool,
    /// For the engines.
    pub conventions: Arc<Conventions>,
    /// Guard rules besides the test.
    pub rules: Arc<Vec<crate::verdict::rules::Rule>>,
    /// The test has no say.
    pub rules_alone: bool,
    /// Whether the guard may be armed.
    pub arming: bool,
    /// For how long, unless another time is said.
    pub armed_for: Duration,
    /// Whether an armed guard may also promote by one step: only where a command of its own was told a policy that says so.
    pub promote: Option<crate::guard::promotion::Policy>,
    /// For so long after its first request slowness of the new side does not count.
    pub warm_up: Duration,
    /// Feature flags that can be switched off.
    pub flags: Arc<Vec<crate::engine::flag::Flag>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            look: Look::default(),
            fresh: Freshness::default(),
            protected: false,
            mouse: false,
            prometheus: false,
            conventions: Arc::default(),
            rules: Arc::default(),
            rules_alone: false,
            arming: true,
            armed_for: Duration::from_secs(30 * 60),
            promote: None,
            warm_up: Duration::ZERO,
            flags: Arc::default(),
        }
    }
}
