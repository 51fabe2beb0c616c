//! The OpenKruise engine against Rollouts as controller 0.6.1 writes them.

// Helpers outside a `#[test]` may fail loudly too.
#![allow(clippy::unwrap_used)]

#[path = "kruise/picture.rs"]
mod picture;
#[path = "kruise/plans.rs"]
mod plans;
#[path = "kruise/recorded.rs"]
mod recorded;
#[path = "kruise/scenes.rs"]
mod scenes;
