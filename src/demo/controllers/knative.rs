//! Knative Serving 1.19 (`knative.dev/serving` 0.47): Services, Configurations, Revisions and Routes, with the objects, conditions and
//! events of the real controllers.
//!
//! A [`service`] makes a [`configuration`] and a [`route`] of its name; each new template of the Configuration becomes a
//! [`revision`], each Revision a Deployment; the Route resolves its targets and tells who gets how much. What is asked for
//! and what is done meet in the status only: each of the four has its own pass, and sees of the others what they wrote.
//!
//! Not as the real one: there is no webhook, so nothing is refused for its sense, and a Service without `traffic` is taken
//! as the webhook would write it; the ingress is a moment's delay; pods have no queue proxy, and their number follows
//! min-scale, max-scale and whether anybody calls, not concurrency; `rollout-duration` moves users evenly; nothing is
//! collected for its age.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};

use super::objects::{key_of, same};
use crate::{
    demo::{
        sim::{Controller, Cx},
        store::{Change, Key, Store, Stored},
    },
    model::Time,
};

mod conditions;
mod configuration;
mod revision;
mod route;
mod service;
#[cfg(test)]
mod tests;

pub use conditions::Conditions;

pub const SERVICES: &str = "services.serving.knative.dev";
const CONFIGURATIONS: &str = "configurations.serving.knative.dev";
const ROUTES: &str = "routes.serving.knative.dev";
const REVISIONS: &str = "revisions.serving.knative.dev";
const DEPLOYMENTS: &str = "deployments.apps";
const PODS: &str = "pods";
const PLAIN_SERVICES: &str = "services";

const OF_SERVICE: &str = "serving.knative.dev/service";
const OF_SERVICE_UID: &str = "serving.knative.dev/serviceUID";
const OF_CONFIGURATION: &str = "serving.knative.dev/configuration";
const OF_CONFIGURATION_UID: &str = "serving.knative.dev/configurationUID";
const OF_GENERATION: &str = "serving.knative.dev/configurationGeneration";
pub const OF_REVISION: &str = "serving.knative.dev/revision";
const OF_REVISION_UID: &str = "serving.knative.dev/revisionUID";
const OF_ROUTE: &str = "serving.knative.dev/route";
const ROUTED_BY: &str = "serving.knative.dev/routes";
const ROUTING: &str = "serving.knative.dev/routingState";
const ROUTED_SINCE: &str = "serving.knative.dev/routingStateModified";
const GRADUAL: &str = "serving.knative.dev/rollout-duration";
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The Knative Serving controller, with its autoscaler and an ingress.
#[derive(Default)]
pub struct Knative {
    /// What each Route's ingress does, or will soon.
    ingresses: HashMap<Key, route::Ingress>,
    /// Since when nobody calls a Revision.
    idle: HashMap<Key, Time>,
}

impl Controller for Knative {
    fn name(&self) -> &'static str {
        "controller"
    }

    fn wakes(&self, change: &Change, _: &Store, wake: &mut Vec<Key>) {
        let Some(object) = change.object() else { return };
        let namesake = |kind: &str| Key { kind: kind.into(), ..object.key.clone() };
        let labelled = |kind: &str, label: &str| Some(Key::new(kind, &object.key.namespace, object.label(label)?));
        match &*object.key.kind {
            SERVICES => wake.push(object.key.clone()),
            CONFIGURATIONS => wake.extend([object.key.clone(), namesake(SERVICES), namesake(ROUTES)]),
            ROUTES => {
                wake.extend([object.key.clone(), namesake(SERVICES)]);
                wake.extend(routed(object));
            }
            REVISIONS => {
                wake.push(object.key.clone());
                wake.extend(labelled(CONFIGURATIONS, OF_CONFIGURATION));
                wake.extend(labelled(ROUTES, OF_SERVICE));
            }
            DEPLOYMENTS | PODS => wake.extend(labelled(REVISIONS, OF_REVISION)),
            _ => (),
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        let Some(object) = cx.store.get(key).map(|object| object.value()) else {
            self.ingresses.remove(key);
            self.idle.remove(key);
            return None;
        };
        if !object["metadata"]["deletionTimestamp"].is_null() {
            return None;
        }
        match &*key.kind {
            SERVICES => service::reconcile(cx, object),
            CONFIGURATIONS => configuration::reconcile(cx, object),
            ROUTES => return route::reconcile(cx, object, self.ingresses.entry(key.clone()).or_default()),
            _ => return revision::reconcile(cx, object, key, &mut self.idle),
        }
        None
    }
}

/// Revisions that a Route names: whether they are called decides about their pods.
fn routed(route: &Stored) -> Vec<Key> {
    let route_of = route.value();
    let targets = route_of["status"]["traffic"].as_array().into_iter().flatten();
    targets.filter_map(|target| Some(Key::new(REVISIONS, &route.key.namespace, target["revisionName"].as_str()?))).collect()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

fn is_observed(object: &Value) -> bool {
    object["metadata"]["generation"] == object["status"]["observedGeneration"]
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    super::objects::condition(&object["status"]["conditions"], kind).unwrap_or(&Value::Null)
}

fn is_ready(object: &Value) -> bool {
    is_observed(object) && condition(object, "Ready")["status"] == "True"
}

/// A reference to the owner that controls.
fn owner(of: &Value) -> Value {
    json!({
        "apiVersion": of["apiVersion"], "kind": of["kind"], "name": of["metadata"]["name"], "uid": of["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// Creates what is missing; puts right spec, labels and annotations of what is there. What is refused is tried again after the
/// next change.
fn ensure(cx: &mut Cx<'_>, kind: &str, wanted: Value) -> Option<Value> {
    let Some(mut found) = cx.store.get(&key_of(kind, &wanted)).map(|found| found.value()) else {
        return cx.create(kind, wanted).ok();
    };
    let marks = |field: &str| same(&found["metadata"][field], &wanted["metadata"][field]);
    if same(&found["spec"], &wanted["spec"]) && marks("labels") && marks("annotations") {
        return Some(found);
    }
    found["spec"] = wanted["spec"].clone();
    found["metadata"]["labels"] = wanted["metadata"]["labels"].clone();
    found["metadata"]["annotations"] = wanted["metadata"]["annotations"].clone();
    cx.update(kind, found).ok()
}

/// Writes a status that has changed.
pub fn write_status(cx: &mut Cx<'_>, kind: &str, mut object: Value, status: Value) {
    if !same(&object["status"], &status) {
        object["status"] = status;
        // Whatever is refused is tried again after the next change.
        let _ = cx.update_status(kind, object);
    }
}
