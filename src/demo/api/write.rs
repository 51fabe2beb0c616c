//! Requests that change something.

use super::{Answer, Call};
use crate::demo::{refusal::Refusal, world::World};

pub fn create(_world: &World, _call: &Call) -> Answer {
    Refusal::new(501, "NotImplemented", "not yet").into()
}

pub fn update(_world: &World, _call: &Call) -> Answer {
    Refusal::new(501, "NotImplemented", "not yet").into()
}

pub fn patch(_world: &World, _call: &Call) -> Answer {
    Refusal::new(501, "NotImplemented", "not yet").into()
}

pub fn delete(_world: &World, _call: &Call) -> Answer {
    Refusal::new(501, "NotImplemented", "not yet").into()
}

pub fn delete_collection(_world: &World, _call: &Call) -> Answer {
    Refusal::new(501, "NotImplemented", "not yet").into()
}
