//! The Deployment engine against objects recorded from the real controller.

// Helpers outside a `#[test]` may fail loudly too.
#![allow(clippy::unwrap_used)]

#[path = "deployment/kit.rs"]
mod kit;
#[path = "deployment/picture.rs"]
mod picture;
#[path = "deployment/plans.rs"]
mod plans;
#[path = "deployment/properties.rs"]
pub mod properties;
