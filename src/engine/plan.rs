//! What would be written, on which condition, and what should be seen afterwards.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    engine::flag::Switch,
    intent::{Danger, Intent, Verb},
    model::{Id, Notice, Text, Time},
    object::Resource,
};

/// A patch body and its content type.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Patch {
    /// RFC 6902: conditions are `test` operations inside the write itself.
    Json(Vec<Value>),
}

/// A POST to a Service through the API server's proxy: what it changes is in no object of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Call {
    /// Kind of the rollout's own object. The patch beside this has conditions only, on that object.
    #[serde(skip)]
    pub root: &'static Resource,
    /// `gate/open`.
    pub path: Text,
    /// Asks the same server how it stands and changes nothing: 200 says that there is nothing to do, 403 that there is.
    pub check: Text,
    pub body: Value,
}

/// A question to one pod, before users are sent to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    pub namespace: Text,
    pub pod: Text,
    pub https: bool,
    pub port: u16,
    /// With its slash: `/ready`.
    pub path: Text,
}

/// One PATCH request, one POST to a Service, or one new object.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    pub resource: &'static Resource,
    pub namespace: Text,
    pub name: Text,
    /// `status`, `proxy`, or none for the object itself.
    pub subresource: Option<&'static str>,
    pub patch: Patch,
    pub call: Option<Call>,
    /// A new object instead, which must not be there yet; then the patch is empty.
    pub create: Option<Value>,
}

impl Write {
    /// The right it takes.
    pub fn verb(&self) -> &'static str {
        if self.call.is_some() || self.create.is_some() { "create" } else { "patch" }
    }
}

/// One field of the card: old and new value in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub field: Text,
    pub from: Text,
    pub to: Text,
}

/// The effect to look for, as data, so that the tracker needs no closure.
#[derive(Debug, Clone, PartialEq)]
pub enum Goal {
    /// The pause of this version that began at this time is over.
    PauseOver {
        hash: Text,
        index: Option<i64>,
        started: Option<Time>,
    },
    /// The step index of this version has passed this one, or all steps are done.
    StepPast {
        hash: Text,
        index: i64,
    },
    /// The hash is the stable one.
    Stable(Text),
    Paused,
    Resumed,
    Aborted,
    /// The abort of this time is taken back; one of another time is a new abort.
    Retried {
        aborted_at: Option<Time>,
    },
    /// The desired template is the one with this hash (or any other than `not`).
    Template {
        hash: Option<Text>,
        not: Option<Text>,
    },
    Restarting,
    /// The controller checks releases again.
    Analysed,
    /// Users are on this hash; `from` was the wanted one when the plan was made.
    Active {
        hash: Text,
        from: Text,
    },
    /// The controller works on a spec newer than this generation.
    Seen {
        after: i64,
    },
    /// A spec newer than this generation is rolled out to the last pod.
    Rolled {
        after: i64,
    },
    /// This side has so many percent of the users; it had `from` when the plan was made.
    Share {
        side: Text,
        percent: u8,
        from: Option<u8>,
    },
    /// No pods are left on this side, which has no users.
    Empty {
        side: Text,
    },
    /// This workload has as many pods as asked for.
    Scaled {
        name: Text,
        from: u32,
        to: u32,
    },
    /// The guard's lease is this session's.
    Armed {
        holder: Text,
        /// Hash of the version that may be aborted.
        release: Text,
    },
    /// It is nobody's.
    Disarmed,
    /// The flag reads off: no object tells that, the flag's own server does.
    FlagOff,
}

/// What should be seen afterwards, and how long that may take.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    pub goal: Goal,
    /// `weight 50 % applied`.
    pub what: Text,
    pub within: Duration,
}

/// How far it has come.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    Nothing,
    /// The controller has seen the write.
    Observed,
    Done,
    /// Something else happened instead.
    Diverted(Text),
}

impl Progress {
    /// A field of the spec counts when the controller has seen the generation that holds it.
    pub fn of_spec(holds: bool, observed: bool) -> Self {
        match (holds, observed) {
            (false, _) => Self::Nothing,
            (true, false) => Self::Observed,
            (true, true) => Self::Done,
        }
    }

    /// What must follow once this is done.
    pub fn then(self, next: impl FnOnce() -> Self) -> Self {
        if self == Self::Done { next() } else { self }
    }
}

/// The writes of one intent. Only `guard` can turn it into an `Approved<Plan>`.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub intent: Intent,
    pub target: Id,
    pub danger: Danger,
    /// What it does, one human sentence.
    pub sentence: Text,
    /// In order; the next is sent only when the one before was accepted.
    pub writes: Vec<Write>,
    /// A feature flag to be switched off; then there are no writes.
    pub switch: Option<Box<Switch>>,
    pub changes: Vec<Change>,
    /// The conditions inside the writes, in words.
    pub only_if: Vec<Text>,
    pub expect: Expectation,
    /// How to undo it.
    pub back: Text,
    /// What the person must know; `Danger` ones need an explicit override.
    pub warnings: Vec<Notice>,
    /// How many pods would carry what load, when that can be said.
    pub capacity: Option<Text>,
}

/// Why an intent makes no sense now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    pub reason: Text,
    /// What to do instead, in words.
    pub instead: Option<Text>,
    /// The command that does it.
    pub try_verb: Option<Verb>,
}

impl Refusal {
    pub fn because(reason: impl Into<Text>) -> Self {
        Self { reason: reason.into(), instead: None, try_verb: None }
    }

    /// Of an object whose JSON does not fit.
    pub fn misread(error: impl std::fmt::Display) -> Self {
        Self::because(format!("the object could not be understood: {error}"))
    }

    pub fn instead(mut self, words: impl Into<Text>, verb: Option<Verb>) -> Self {
        self.instead = Some(words.into());
        self.try_verb = verb;
        self
    }
}
