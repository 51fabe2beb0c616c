//! Writing: placeholder while the rooms around it are built.

use crate::model::Text;

/// How an approved plan fares, step by step.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The request is on its way; the journal has it already.
    Sent,
    /// The server took all writes; generation of the root object in its last answer.
    Accepted { generation: i64 },
    /// A precondition no longer held (409 or 422): nothing of this write was stored.
    Conflict { said: Text, done: usize },
    /// The server refused for another reason: nothing of this write was stored.
    Refused { said: Text, done: usize },
    /// No answer came: the watch decides what happened.
    Unknown { said: Text },
    /// It was not sent: the journal could not be written.
    NotSent { said: Text },
}
