//! KServe 0.15: the predictors of InferenceServices, over Knative or as plain Deployments, with what the real controller writes.
//!
//! Over Knative one Service `NAME-predictor` has the model; its traffic is `canaryTrafficPercent` for the latest revision and
//! the rest for the one that had all users last, as the component's status remembers it. A share that is lowered after that
//! makes the controller go back to the revision before.
//!
//! Not as the real one: there are no transformers, explainers or serving runtimes (a model is served by an image of its
//! format's name), no storage initializer, and the ingress is ready as soon as the predictor is.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    knative::{self, Conditions, write_status},
    objects::{condition, controller_of, same},
};
use crate::demo::{
    sim::{Controller, Cx},
    store::{Change, Key, Store},
};

mod model;
mod predictor;
#[cfg(test)]
mod tests;

pub const INFERENCE_SERVICES: &str = "inferenceservices.serving.kserve.io";
const DEPLOYMENTS: &str = "deployments.apps";
const PODS: &str = "pods";
const SERVICES: &str = "services";
const INGRESSES: &str = "ingresses.networking.k8s.io";

const OF: &str = "serving.kserve.io/inferenceservice";
const MODE: &str = "serving.kserve.io/deploymentMode";
const STOP: &str = "serving.kserve.io/stop";

/// What `Ready` stands on.
const UNDER: &[&str] = &[PREDICTOR, INGRESS];
const PREDICTOR: &str = "PredictorReady";
const INGRESS: &str = "IngressReady";

/// The KServe controller.
#[derive(Debug, Clone, Copy, Default)]
pub struct InferenceServices;

impl Controller for InferenceServices {
    fn name(&self) -> &'static str {
        "manager"
    }

    fn wakes(&self, change: &Change, _: &Store, wake: &mut Vec<Key>) {
        let Some(object) = change.object() else { return };
        match &*object.key.kind {
            INFERENCE_SERVICES => wake.push(object.key.clone()),
            knative::SERVICES | DEPLOYMENTS | PODS => {
                wake.extend(object.label(OF).map(|name| Key::new(INFERENCE_SERVICES, &object.key.namespace, name)))
            }
            _ => (),
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        let service = cx.store.get(key).map(|object| object.value())?;
        let mode = mode(&service);
        if !service["metadata"]["deletionTimestamp"].is_null() || mode == "ModelMesh" {
            return None;
        }
        let status = match mode.as_str() {
            "RawDeployment" => raw(cx, &service),
            _ if service["metadata"]["annotations"][STOP] == "true" => Some(stop(cx, &service)),
            _ => serverless(cx, &service),
        };
        if let Some(mut status) = status {
            status["deploymentMode"] = mode.into();
            write_status(cx, INFERENCE_SERVICES, service, status);
        }
        None
    }
}

/// What was once decided stays.
fn mode(service: &Value) -> String {
    let told = service["status"]["deploymentMode"].as_str();
    let asked = service["metadata"]["annotations"][MODE].as_str();
    told.or(asked.filter(|mode| ["RawDeployment", "Serverless", "ModelMesh"].contains(mode))).unwrap_or("Serverless").to_owned()
}

fn name(service: &Value) -> &str {
    service["metadata"]["name"].as_str().unwrap_or_default()
}

fn serverless(cx: &mut Cx<'_>, service: &Value) -> Option<Value> {
    let under = ensure(cx, knative::SERVICES, predictor::over_knative(service))?;
    let mut conditions = Conditions::read(service, UNDER, cx.now);
    let told = |kind: &str| condition(&under["status"]["conditions"], kind).cloned().unwrap_or_default();
    conditions.copy(PREDICTOR, &told("Ready"));
    conditions.copy("PredictorRouteReady", &told("RoutesReady"));
    conditions.copy("PredictorConfigurationReady", &told("ConfigurationsReady"));
    conditions.no("Stopped", "", "");
    for (sum, of) in [("RoutesReady", "PredictorRouteReady"), ("LatestDeploymentReady", "PredictorConfigurationReady")] {
        let status = Some(conditions.status(of)).filter(|status| !status.is_empty()).unwrap_or("Unknown").to_owned();
        let reason = if status == "True" { String::new() } else { format!("{of} not ready") };
        conditions.mark(sum, &status, &reason, "");
    }
    let component = predictor::remembered(&service["status"]["components"]["predictor"], &under["status"]);
    let pods = model::pods(cx, service, "serving.knative.dev/revision", component["latestCreatedRevision"].as_str().unwrap_or_default());
    let is_loaded = conditions.holds("Ready") && component["latestCreatedRevision"] == component["latestReadyRevision"];
    let has_failed = under["status"]["conditions"].as_array().into_iter().flatten().any(|condition| condition["status"] == "False");
    let model = model::status(&service["status"]["modelStatus"], &pods, is_loaded, has_failed);
    ingress(&mut conditions);
    Some(finished(service, &under["status"]["observedGeneration"], component, model, conditions))
}

fn ingress(conditions: &mut Conditions) {
    match conditions.status(PREDICTOR).to_owned().as_str() {
        "True" => conditions.yes(INGRESS),
        status => conditions.mark(INGRESS, status, "Predictor ingress not created", ""),
    }
}

fn finished(service: &Value, observed: &Value, component: Value, model: Value, conditions: Conditions) -> Value {
    let host = format!("{}.{}", name(service), service["metadata"]["namespace"].as_str().unwrap_or_default());
    json!({
        "observedGeneration": observed, "components": {"predictor": component}, "modelStatus": model,
        "url": format!("http://{host}.example.com"), "address": {"url": format!("http://{host}.svc.cluster.local")},
        "conditions": conditions.list(),
    })
}

/// Nothing of it runs, and nothing is remembered.
fn stop(cx: &mut Cx<'_>, service: &Value) -> Value {
    let wanted = predictor::over_knative(service);
    let key = super::objects::key_of(knative::SERVICES, &wanted);
    if cx.store.get(&key).is_some() {
        let _ = cx.delete(&key);
    }
    let mut conditions = Conditions::read(service, &["Ready"], cx.now);
    for kind in [PREDICTOR, "Ready"] {
        conditions.no(kind, "", "");
    }
    conditions.yes("Stopped");
    json!({"conditions": conditions.list()})
}

fn raw(cx: &mut Cx<'_>, service: &Value) -> Option<Value> {
    let deployment = ensure(cx, DEPLOYMENTS, predictor::raw(service))?;
    let _ = ensure(cx, SERVICES, predictor::raw_service(service));
    let _ = ensure(cx, INGRESSES, predictor::raw_ingress(service));
    let mut conditions = Conditions::read(service, UNDER, cx.now);
    if let Some(available) = condition(&deployment["status"]["conditions"], "Available") {
        conditions.copy(PREDICTOR, available);
    }
    let pods = model::pods(cx, service, OF, name(service));
    let model = model::status(&service["status"]["modelStatus"], &pods, conditions.holds("Ready"), false);
    ingress(&mut conditions);
    Some(finished(service, &deployment["status"]["observedGeneration"], json!({}), model, conditions))
}

/// Creates what is missing, and puts right the spec of what is there and is its own.
fn ensure(cx: &mut Cx<'_>, kind: &str, wanted: Value) -> Option<Value> {
    let Some(mut found) = cx.store.get(&super::objects::key_of(kind, &wanted)).map(|found| found.value()) else {
        return cx.create(kind, wanted).ok();
    };
    if controller_of(&found)?["uid"] != wanted["metadata"]["ownerReferences"][0]["uid"] {
        return None;
    }
    let before = found["spec"].clone();
    json_patch::merge(&mut found["spec"], &wanted["spec"]);
    if same(&before, &found["spec"]) {
        return Some(found);
    }
    cx.update(kind, found).ok()
}
