//! rolltop: `top` for rollouts.

pub mod act;
pub mod engine;
pub mod intent;
pub mod model;
pub mod msg;
pub mod object;
