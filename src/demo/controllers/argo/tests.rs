//! The controller in virtual time: what a watch would see, after actions of people.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod analysis;
mod blue_green;
mod canary;
mod play;
