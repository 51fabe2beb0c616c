//! The engine of routes that people move, against objects as the routers' own tools write them.

// Helpers outside a `#[test]` may fail loudly too.
#![allow(clippy::unwrap_used)]

#[path = "split/claims.rs"]
mod claims;
#[path = "split/hostile.rs"]
mod hostile;
#[path = "split/kit.rs"]
mod kit;
#[path = "split/phases.rs"]
mod phases;
#[path = "split/picture.rs"]
mod picture;
#[path = "split/plans.rs"]
mod plans;
#[path = "split/settings.rs"]
mod settings;
