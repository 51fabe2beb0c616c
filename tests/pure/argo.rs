//! The Argo engine against objects recorded from the real controller.

// Helpers outside a `#[test]` may fail loudly too.
#![allow(clippy::unwrap_used)]

#[path = "argo/kit.rs"]
pub mod kit;
#[path = "argo/law.rs"]
mod law;
#[path = "argo/picture.rs"]
mod picture;
#[path = "argo/plans.rs"]
mod plans;
#[path = "argo/properties.rs"]
pub mod properties;
