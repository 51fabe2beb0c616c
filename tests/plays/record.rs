//! What was seen: every version of every object, in the order it was stored.

use std::time::Duration;

use serde_json::Value;

/// One version of one object.
#[derive(Debug, Clone)]
pub struct Seen {
    /// One of [`KINDS`](crate::stage::KINDS).
    pub kind: &'static str,
    /// resourceVersion; of a deletion that of the deletion.
    pub revision: u64,
    /// When it was seen, since the play began.
    pub at: Duration,
    pub deleted: bool,
    pub object: Value,
}

impl Seen {
    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }
}

/// An act, and how it was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub act: String,
    pub said: String,
}

/// All versions by arrival. Kinds are watched each on its own: only revisions put them in order.
#[derive(Debug, Clone, Default)]
pub struct Log {
    pub seen: Vec<Seen>,
}

/// A play as it went.
#[derive(Debug, Clone)]
pub struct Recording {
    pub namespace: String,
    pub prometheus: String,
    /// By revision.
    pub seen: Vec<Seen>,
    pub answers: Vec<Answer>,
    /// Pods at the end.
    pub pods: Vec<Value>,
    /// What was waited for in vain, with the Rollout's status at that time.
    pub stuck: Option<String>,
}
