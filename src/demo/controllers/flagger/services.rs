//! The three Services: apex for users, one for the primary and one for the canary.

use serde_json::{Map, Value, json};

use super::{
    names::{HANDS_OFF, SERVICES},
    spec::Metadata,
    target::Selector,
    tick::Tick,
};
use crate::demo::controllers::objects::{controller_of, same};

impl Tick<'_, '_> {
    /// The Services of the two sides.
    pub fn initialize_services(&mut self, selector: &Selector) -> Result<(), String> {
        let [_, primary, canary] = self.spec.services();
        let service = self.spec.service.clone();
        self.reconcile_service(&canary, selector, &selector.value, &service.canary)?;
        self.reconcile_service(&primary, selector, &selector.primary_value(), &service.primary)
    }

    /// The Service for users leads to the primary, always.
    pub fn reconcile_apex(&mut self, selector: &Selector) -> Result<(), String> {
        let [apex, ..] = self.spec.services();
        let metadata = self.spec.service.apex.clone();
        self.reconcile_service(&apex, selector, &selector.primary_value(), &metadata)
    }

    fn reconcile_service(&mut self, name: &str, selector: &Selector, pods: &str, metadata: &Metadata) -> Result<(), String> {
        let failed = |why: String| format!("reconcileService failed: {why}");
        let mut labels = texts(&metadata.labels);
        labels.insert(selector.label.clone(), name.into());
        let annotations = hands_off(&metadata.annotations);
        let wanted = json!({"type": "ClusterIP", "selector": {&selector.label: pods}, "ports": [self.port()]});
        let Some(mut service) = self.cx.get(SERVICES, &self.key.namespace, name) else {
            let service = json!({
                "metadata": {
                    "name": name, "namespace": *self.key.namespace, "labels": labels, "annotations": annotations,
                    "ownerReferences": [self.owner()],
                },
                "spec": wanted,
            });
            let told = |why: String| failed(format!("service {name}.{} create error: {why}", self.key.namespace));
            return self.cx.create(SERVICES, service).map(drop).map_err(|refusal| told(refusal.message));
        };
        let before = service.clone();
        if !same_ports(&service["spec"]["ports"], &wanted["ports"]) || service["spec"]["selector"] != wanted["selector"] {
            service["spec"]["ports"] = wanted["ports"].clone();
            service["spec"]["selector"] = wanted["selector"].clone();
        }
        // Labels and annotations of a Service that somebody else made are theirs.
        let is_ours = controller_of(&service).is_some_and(|owner| owner["kind"] == "Canary" && owner["name"] == *self.key.name);
        if is_ours {
            service["metadata"]["labels"] = labels.into();
            service["metadata"]["annotations"] = annotations.into();
        }
        if same(&service, &before) {
            return Ok(());
        }
        let mut kept = service["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        kept.extend(marks());
        service["metadata"]["annotations"] = kept.into();
        self.cx.update(SERVICES, service).map(drop).map_err(|refusal| failed(format!("service {name} update error: {}", refusal.message)))
    }

    fn port(&self) -> Value {
        let service = &self.spec.service;
        let name = if service.port_name.is_empty() { "http" } else { &service.port_name };
        let target = if service.target_port.is_null() || service.target_port == 0 { &json!(service.port) } else { &service.target_port };
        let mut port = json!({"name": name, "protocol": "TCP", "port": service.port, "targetPort": target});
        if !service.app_protocol.is_empty() {
            port["appProtocol"] = service.app_protocol.as_str().into();
        }
        port
    }
}

fn same_ports(one: &Value, other: &Value) -> bool {
    let bare = |port: &Value| {
        let mut port = port.clone();
        if let Some(fields) = port.as_object_mut() {
            fields.remove("nodePort");
        }
        port
    };
    let bare = |ports: &Value| ports.as_array().into_iter().flatten().map(bare).collect::<Value>();
    same(&bare(one), &bare(other))
}

fn texts(map: &std::collections::BTreeMap<String, String>) -> Map<String, Value> {
    map.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect()
}

/// Labels of an object that has none of its own; none at all are no field.
pub fn labels(map: &std::collections::BTreeMap<String, String>) -> Value {
    if map.is_empty() { Value::Null } else { texts(map).into() }
}

fn marks() -> impl Iterator<Item = (String, Value)> {
    HANDS_OFF.into_iter().map(|(key, value)| (key.to_owned(), value.into()))
}

/// Annotations with those that tell Flux to leave the object alone.
pub fn hands_off(annotations: &std::collections::BTreeMap<String, String>) -> Map<String, Value> {
    let mut all = texts(annotations);
    all.extend(marks());
    all
}
