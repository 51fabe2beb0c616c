//! What the tests of the writing half stand on: a cluster in which nothing happens by itself.

use std::sync::Arc;

use crate::{
    clock::Clock,
    demo::{
        sim::{Metrics, Samples, Sim},
        world::World,
    },
    model::Time,
};

struct Mute;

impl Metrics for Mute {
    fn query(&self, _: &str, _: &str, _: Time) -> Result<Samples, String> {
        Ok(Samples::Vector(Vec::new()))
    }
}

pub fn now() -> Time {
    "2026-11-21T08:00:00Z".parse().unwrap_or_default()
}

pub fn sim() -> Sim {
    Sim::new(now(), 1, Vec::new(), Box::new(Mute))
}

/// Serves from now on, by a clock that runs.
pub fn world(sim: Sim) -> Arc<World> {
    World::new(sim, Clock::new(now(), 1.0))
}
