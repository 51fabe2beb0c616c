//! The Flagger engine against objects recorded from the real controller.

// Helpers outside a `#[test]` may fail loudly too.
#![allow(clippy::unwrap_used)]

#[path = "flagger/kit.rs"]
mod kit;
#[path = "flagger/picture.rs"]
mod picture;
#[path = "flagger/plans.rs"]
mod plans;
#[path = "flagger/properties.rs"]
mod properties;
