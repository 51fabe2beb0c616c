//! What happened, line by line (the engine room's Events reader joins here).

use crate::model::{Text, Time};

/// Where an entry comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An Event object.
    Event,
    /// Seen by comparing two pictures: a weight or a phase changed.
    Seen,
    /// Something this person did here.
    You,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub at: Time,
    pub origin: Origin,
    pub warning: bool,
    /// The object, when it is not the rollout itself.
    pub object: Option<Text>,
    pub reason: Text,
    pub message: Text,
    /// How often it was repeated.
    pub count: u32,
}
