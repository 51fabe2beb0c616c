//! Reading objects.

use serde_json::{Value, json};

use super::{Answer, Call};
use crate::demo::{kinds, refusal::Refusal, store::Key, world::World};

pub fn get(world: &World, call: &Call) -> Answer {
    let target = &call.target;
    let (kind, name) = (target.kind.id(), target.name.clone().unwrap_or_default());
    let key = Key::new(&kind, target.namespace.as_deref().unwrap_or_default(), &name);
    match world.with(|sim| sim.store.get(&key).cloned()) {
        Some(object) => Answer::Json(200, object.value()),
        None => Refusal::not_found(&kind, &name).into(),
    }
}

pub fn list(world: &World, call: &Call) -> Answer {
    let target = &call.target;
    let kind = &target.kind;
    let (revision, items) = world.with(|sim| {
        let items: Vec<Value> = sim.store.list(&kind.id(), target.namespace.as_deref()).map(|object| object.value()).collect();
        (sim.store.revision(), items)
    });
    let api_version = kinds::api_version(&kind.group, &target.version);
    let list = json!({
        "kind": format!("{}List", kind.kind), "apiVersion": api_version,
        "metadata": {"resourceVersion": revision.to_string()}, "items": items,
    });
    Answer::Json(200, list)
}
