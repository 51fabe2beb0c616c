//! Role based access control.

use super::Call;
use crate::demo::{refusal::Refusal, world::World};

pub fn allows(_world: &World, _call: &Call) -> Result<(), Refusal> {
    Ok(())
}
