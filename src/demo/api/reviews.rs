//! Questions about one's rights and self.

use super::{Answer, Call};
use crate::demo::{refusal::Refusal, world::World};

pub fn answer(_world: &World, _call: &Call) -> Answer {
    Refusal::new(501, "NotImplemented", "not yet").into()
}
