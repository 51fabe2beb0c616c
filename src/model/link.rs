//! The state of each connection, so that no two ways of knowing nothing look alike.

use std::{collections::BTreeMap, time::Duration};

use super::{Source, Text, Time};

#[derive(Debug, Clone, PartialEq, Default)]
pub enum LinkState {
    /// Not asked for: no rollout open, or no Prometheus configured.
    #[default]
    Off,
    Connecting,
    Live,
    /// Rights are missing. `role` is what to ask an administrator for.
    Forbidden {
        verb: Text,
        resource: Text,
        namespace: Option<Text>,
        role: Text,
    },
    /// Credentials were refused. `hint` is the command to run.
    Expired {
        hint: Text,
    },
    /// Nobody listens.
    Refused,
    /// It listens but does not answer in time.
    TimedOut,
    /// The connection ended, or its answers stopped in the middle.
    Cut,
    /// The server has no such kind (yet).
    CrdMissing {
        kind: Text,
    },
    /// The certificate is not one we trust.
    BadCertificate,
    /// The way there: proxy or name lookup.
    NoRoute,
    /// It answers something that is not its language.
    Garbage,
    /// It asks us to come back later.
    Throttled,
    /// It answers with an error of its own.
    ServerError {
        code: u16,
    },
}

impl LinkState {
    /// Which right is missing, and who can give it; nothing in any other state.
    pub fn withheld(&self) -> Option<String> {
        let Self::Forbidden { verb, resource, namespace, role } = self else { return None };
        let place = namespace.as_ref().map(|n| format!(" in {n}")).unwrap_or_default();
        Some(format!("no right to {verb} {resource}{place}; an administrator can run: {role}"))
    }
}

/// One connection as the header shows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Link {
    pub state: LinkState,
    /// When this state began.
    pub since: Option<Time>,
    /// The last sign of life: data, bookmark or probe.
    pub heard: Option<Time>,
    /// When the next attempt is due.
    pub retry_at: Option<Time>,
    /// The error as it was given, cleaned.
    pub detail: Text,
    /// When it last held a full picture.
    pub synced: Option<Time>,
}

impl Link {
    pub fn is_live(&self) -> bool {
        self.state == LinkState::Live
    }

    pub fn age(&self, now: Time) -> Option<Duration> {
        self.heard.map(|at| (now - at).to_std().unwrap_or_default())
    }
}

/// All links, and what counts as too old.
#[derive(Debug, Clone, Default)]
pub struct Links(BTreeMap<Source, Link>);

impl Links {
    pub fn get(&self, source: Source) -> Link {
        self.0.get(&source).cloned().unwrap_or_default()
    }

    pub fn entry(&mut self, source: Source) -> &mut Link {
        self.0.entry(source).or_default()
    }

    /// Whether what this source said can still be called the present.
    pub fn fresh(&self, source: Source, now: Time, limit: Duration) -> bool {
        self.0.get(&source).is_some_and(|l| l.is_live() && l.age(now).is_some_and(|a| a <= limit))
    }
}
