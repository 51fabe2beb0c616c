//! Flagger in virtual time: what was recorded of the real one, and the paths nobody recorded.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kit;
mod paths;
mod recorded;
