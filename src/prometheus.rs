//! What users feel, from Prometheus: request rate, failed share and latency of both sides.
//!
//! [`Settings`] say where it is and how it is asked, [`Client`] asks, a [`profile`] says which
//! questions a kind of traffic router needs, [`mapping`] hangs the answers on rollouts, and
//! [`run`] does all of it at regular times. The number of questions does not depend on the number
//! of rollouts. A missing answer, no traffic, a slow server and no server stay four different things.

pub mod answer;
pub mod client;
pub mod counting;
pub mod fault;
pub mod mapping;
pub mod profile;
pub mod sampler;
pub mod settings;

pub use client::{Client, Stats};
pub use fault::Fault;
pub use mapping::Target;
pub use sampler::{Focus, run};
pub use settings::{Address, Problem, ProfileChoice, Settings};
