//! The suite against the embedded cluster of `rolltop demo`: needs nothing installed.

// A test that cannot go on should say where.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "embedded/rig.rs"]
mod cluster;
mod suite;

#[path = "embedded/armed.rs"]
mod armed;
#[path = "embedded/logs.rs"]
mod logs;
