//! The engine of blue-green by Service selector against objects recorded from a real API server.

// Helpers outside a `#[test]` may fail loudly too.
#![allow(clippy::unwrap_used)]

#[path = "bluegreen/detect.rs"]
mod detect;
#[path = "bluegreen/kit.rs"]
mod kit;
#[path = "bluegreen/picture.rs"]
mod picture;
#[path = "bluegreen/plans.rs"]
mod plans;
#[path = "bluegreen/properties.rs"]
mod properties;
