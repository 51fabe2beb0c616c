//! Everything that can change the picture, as data with a source and a time.

use crate::{
    engine::{Plan, flag::Reading},
    model::{Id, Link, Source, Text, Time, log, metrics::RolloutMetrics},
    object::{Object, Resource},
};

/// A message from a task to the reducer.
#[derive(Debug, Clone)]
pub struct Msg {
    pub at: Time,
    /// Messages of a stream opened for a rollout that has since been closed are dropped by this.
    pub epoch: u64,
    pub body: Body,
}

impl Msg {
    pub fn now(body: Body) -> Self {
        Self { at: crate::clock::now(), epoch: 0, body }
    }

    pub fn of_epoch(epoch: u64, body: Body) -> Self {
        Self { at: crate::clock::now(), epoch, body }
    }
}

#[derive(Debug, Clone)]
pub enum Body {
    /// The state of a connection.
    Link(Source, Link),
    /// A list is complete: what is not in it no longer exists. `scope` tells one selection of a kind from another.
    Snapshot {
        source: Source,
        resource: &'static Resource,
        scope: u32,
        objects: Vec<Object>,
    },
    /// An object appeared or changed.
    Applied {
        source: Source,
        scope: u32,
        object: Box<Object>,
    },
    Deleted {
        source: Source,
        resource: &'static Resource,
        uid: Text,
    },
    /// Who the API server says we are.
    Identity(Result<Identity, Text>),
    /// Readings of one refresh, all rollouts.
    Metrics(Vec<(Id, RolloutMetrics)>),
    /// A chart's past, for the open rollout.
    Backfill(Id, Box<RolloutMetrics>),
    /// What the server says to a plan before it is carried out.
    Rehearsed {
        card: u64,
        findings: Box<Findings>,
    },
    /// How a plan fares.
    Acted {
        card: u64,
        outcome: Outcome,
    },
    /// The lease of an armed rollout was renewed, or is lost, and why.
    Held {
        uid: Text,
        renewed: Result<(), Text>,
    },
    /// What the flag of a card reads now.
    FlagRead {
        card: u64,
        reading: Reading,
    },
    /// What a pod of the open rollout has written.
    Log(Box<log::News>),
    /// Something the person should read once, on the status line.
    Note(Text),
    /// Somebody could not be told; nothing when all can be again.
    Untold(Option<Text>),
    /// What somebody new could try; takes the place of the hint before.
    Hint(Text),
}

/// Result of asking `SelfSubjectReview`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    pub user: Text,
    pub groups: Vec<Text>,
}

/// An answer that may also be missing.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Check {
    /// On its way.
    #[default]
    Pending,
    Yes,
    No(Text),
    /// Could not be asked.
    Unknown(Text),
}

impl Check {
    /// What speaks against it.
    pub fn said(&self) -> Option<&Text> {
        match self {
            Self::No(said) | Self::Unknown(said) => Some(said),
            Self::Pending | Self::Yes => None,
        }
    }
}

/// What the pods say that users would be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    Good(Text),
    Bad(Text),
    NotAsked(Text),
}

/// What was learned about a plan without carrying it out.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// The root object as it is on the server now, read for this card.
    pub root: Option<Object>,
    /// The server's answer to the same patches with `dryRun=All`.
    pub dry_run: Check,
    /// `SelfSubjectAccessReview` for every write.
    pub rights: Check,
    /// None when nobody had to be asked.
    pub health: Option<Health>,
    pub plan: Plan,
}

/// How an approved plan fares, step by step.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The request is on its way; the journal has it already.
    Sent,
    /// The server took all writes; generation of the root object in its last answer.
    Accepted { generation: i64 },
    /// A precondition no longer held (409 or 422): this write stored nothing; `done` writes before it did.
    Conflict { said: Text, done: usize },
    /// The server refused for another reason: this write stored nothing.
    Refused { said: Text, done: usize },
    /// No clear answer came: the watch decides what happened.
    Unknown { said: Text, done: usize },
    /// It was not sent: the journal could not be written, or nobody could be reached.
    NotSent { said: Text },
}

impl Outcome {
    /// One word, for the journal.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Accepted { .. } => "accepted",
            Self::Conflict { .. } => "conflict",
            Self::Refused { .. } => "refused",
            Self::Unknown { .. } => "unknown",
            Self::NotSent { .. } => "not sent",
        }
    }

    /// What the server or the disk said.
    pub fn said(&self) -> Option<Text> {
        match self {
            Self::Conflict { said, .. } | Self::Refused { said, .. } | Self::Unknown { said, .. } | Self::NotSent { said } => {
                Some(said.clone())
            }
            Self::Sent | Self::Accepted { .. } => None,
        }
    }

    /// How many writes were taken before it ended.
    pub fn done(&self) -> usize {
        match self {
            Self::Conflict { done, .. } | Self::Refused { done, .. } | Self::Unknown { done, .. } => *done,
            _ => 0,
        }
    }
}
