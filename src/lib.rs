//! rolltop: `top` for rollouts.

pub mod act;
pub mod demo;
pub mod engine;
pub mod guard;
pub mod intent;
pub mod model;
pub mod msg;
pub mod object;
pub mod settings;
pub mod state;
pub mod timeline;
pub mod verdict;
