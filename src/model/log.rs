//! What containers write.

use super::{LinkState, Text, Time};

/// One container of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Container {
    pub namespace: Text,
    pub pod: Text,
    pub name: Text,
}

/// A line, without the colours it may have had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When the node's runtime took it.
    pub at: Option<Time>,
    pub pod: Text,
    pub text: Text,
    /// Written by the run before the container's last restart.
    pub before: bool,
}

/// How it stands with the log of one pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Following {
    Live,
    /// There is none, or none any longer, and why.
    Not {
        state: LinkState,
        detail: Text,
    },
    /// The pod is gone.
    Over,
}

/// News of one pod's log.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    pub pod: Text,
    pub lines: Vec<Line>,
    /// Lines that came faster than anybody reads, and were left out before these.
    pub skipped: u64,
    pub following: Option<Following>,
}
