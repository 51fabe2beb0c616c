//! The StatefulSet engine against objects recorded from the real controller.

// Helpers outside a `#[test]` may fail loudly too.
#![allow(clippy::unwrap_used)]

#[path = "statefulset/picture.rs"]
mod picture;
#[path = "statefulset/plans.rs"]
mod plans;
#[path = "statefulset/scenes.rs"]
mod scenes;
