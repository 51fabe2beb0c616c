//! The end of a Canary that is to leave things as they were: its target serves again before it goes.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    names::{FINALIZER, SERVICES},
    status::Phase,
    tick::{Kind::Normal, Tick},
};
use crate::demo::{
    controllers::objects::controller_of,
    sim::Cx,
    store::{Key, Stored},
};

/// Nothing, unless the Canary asked for it.
pub fn finalize(cx: &mut Cx<'_>, stored: &Arc<Stored>) {
    let object = stored.value();
    let finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        return;
    }
    let Some(mut tick) = Tick::new(cx, stored) else { return };
    if tick.spec.revert_on_deletion && tick.revert().is_err() {
        return;
    }
    let message = format!("Terminated canary {}", tick.path());
    tick.event(Normal, &message);
    let rest: Vec<Value> = finalizers.into_iter().filter(|finalizer| finalizer != FINALIZER).collect();
    let _ = cx.patch(&stored.key, &json!({"metadata": {"finalizers": rest}}));
}

impl Tick<'_, '_> {
    /// As many pods for the target as the primary has, and users back to it.
    fn revert(&mut self) -> Result<(), String> {
        if self.status.phase != Phase::Terminating {
            self.set_phase(Phase::Terminating)?;
            let message = format!("Terminating canary {}", self.path());
            self.event(Normal, &message);
        }
        self.scale_as_primary()?;
        let selector = self.selector()?;
        let [apex, ..] = self.spec.services();
        let service = self.get(SERVICES, &apex).ok_or_else(|| self.missing("service", SERVICES, &apex))?;
        // One that Flagger made goes with the Canary.
        if controller_of(&service).is_some_and(|owner| owner["kind"] == "Canary") {
            return Ok(());
        }
        let key = Key::new(SERVICES, &self.key.namespace, &apex);
        let patch = json!({"spec": {"selector": {&selector.label: selector.value}}});
        self.cx.patch(&key, &patch).map(drop).map_err(|refusal| refusal.message)
    }
}
