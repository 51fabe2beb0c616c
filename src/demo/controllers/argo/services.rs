//! Services whose selectors say which version they stand for.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{
    names,
    pass::{Outcome, Pass, Trouble},
    replica_set::ReplicaSet,
    spec::Meta,
};
use crate::demo::refusal::Refusal;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    pub metadata: Meta,
    pub spec: Selecting,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Selecting {
    pub selector: BTreeMap<String, String>,
}

impl Service {
    /// The version the Service stands for; empty for none.
    pub fn hash(&self) -> &str {
        self.spec.selector.get(names::HASH).map_or("", String::as_str)
    }
}

impl Pass<'_, '_> {
    pub fn service(&self, name: &str) -> Option<Service> {
        self.find(names::SERVICES, name)
    }

    pub fn needed_service(&self, name: &str) -> Outcome<Service> {
        self.service(name).ok_or_else(|| Trouble::Refused(Refusal::not_found("service", name)))
    }

    /// Points a Service to a version.
    pub fn switch_service(&mut self, service: &mut Service, hash: &str) -> Outcome {
        let name = service.metadata.name.clone();
        let is_managed = service.metadata.annotations.contains_key(names::MANAGED_BY);
        let before = service.spec.selector.get(names::HASH);
        if is_managed && before.is_some_and(|before| before == hash) {
            return Ok(());
        }
        let before = before.cloned().unwrap_or_default();
        let mut patch = json!({"spec": {"selector": {names::HASH: hash}}});
        if !is_managed {
            patch["metadata"] = json!({"annotations": {names::MANAGED_BY: self.meta.name}});
        }
        self.cx.patch(&self.key_of(names::SERVICES, &name), &patch)?;
        service.spec.selector.insert(names::HASH.into(), hash.into());
        self.event("SwitchService", &format!("Switched selector for service '{name}' from '{before}' to '{hash}'"));
        Ok(())
    }

    pub fn canary_services(&mut self) -> Outcome {
        let Some(canary) = self.spec.canary() else { return Ok(()) };
        let (stable_service, canary_service) = (canary.stable_service.clone(), canary.canary_service.clone());
        let ping_pong = canary.ping_pong.clone();
        if let Some(services) = ping_pong
            && !self.status.is_fully_promoted()
        {
            let is_stable_ping = self.status.canary.stable_ping_pong == "ping";
            let canary = if is_stable_ping { services.pong_service } else { services.ping_service };
            self.point_service(&canary, self.new_set().cloned(), false)?;
        }
        self.point_service(&stable_service, self.stable_set().cloned(), true)?;
        if self.is_aborted() && self.spec.router().is_none() {
            return self.point_service(&canary_service, self.stable_set().cloned(), true);
        }
        if self.is_rolling_back_dynamically().is_some() {
            return Ok(());
        }
        // Of an aborted rollout this points the Service back to the canary, and the router points it to the stable version
        // again, for as long as the canary has pods. So does the real controller, 110 times a second.
        self.point_service(&canary_service, self.new_set().cloned(), true)
    }

    /// Points a Service to a version that can serve. A Service taken over for the first time waits until all pods are
    /// available; afterwards one is enough.
    pub fn point_service(&mut self, name: &str, set: Option<ReplicaSet>, needs_pods: bool) -> Outcome {
        let Some(set) = set.filter(|_| !name.is_empty()) else { return Ok(()) };
        let mut service = self.needed_service(name)?;
        let is_taken = service.metadata.annotations.contains_key(names::MANAGED_BY);
        let can_serve = !needs_pods || (set.available() > 0 && (is_taken || set.is_available()));
        if service.hash() != set.hash() && can_serve { self.switch_service(&mut service, set.hash()) } else { Ok(()) }
    }
}
