//! The DaemonSet engine against objects recorded from the real controller.

// Helpers outside a `#[test]` may fail loudly too.
#![allow(clippy::unwrap_used)]

#[path = "daemonset/picture.rs"]
mod picture;
#[path = "daemonset/plans.rs"]
mod plans;
#[path = "daemonset/scenes.rs"]
mod scenes;
