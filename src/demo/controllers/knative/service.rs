//! Services: a Configuration and a Route of the same name, and what both of them say.

use serde_json::{Value, json};

use super::{
    APPLIED, CONFIGURATIONS, Conditions, GRADUAL, OF_SERVICE, OF_SERVICE_UID, ROUTED_BY, ROUTES, SERVICES, condition, configuration,
    ensure, is_observed, name, namespace, owner, write_status,
};
use crate::demo::{controllers::objects::same, sim::Cx};

const CONFIGURED: &str = "ConfigurationsReady";
const ROUTED: &str = "RoutesReady";

pub fn reconcile(cx: &mut Cx<'_>, service: Value) {
    let mut conditions = Conditions::read(&service, &[CONFIGURED, ROUTED], cx.now);
    let Some(config) = ensure(cx, CONFIGURATIONS, configuration_of(&service)) else { return };
    let mut status = json!({"observedGeneration": service["metadata"]["generation"]});
    for field in ["latestCreatedRevisionName", "latestReadyRevisionName"] {
        status[field] = config["status"][field].clone();
    }
    if is_observed(&config) {
        conditions.copy(CONFIGURED, condition(&config, "Ready"));
    } else {
        conditions.unknown(CONFIGURED, "OutOfDate", "The Configuration is still working to reflect the latest desired specification.");
    }
    for field in ["traffic", "url", "address"] {
        status[field] = service["status"][field].clone();
    }
    let named = config["spec"]["template"]["metadata"]["name"].as_str();
    if named.is_none() || is_observed(&config) {
        route(cx, &service, &config, &mut status, &mut conditions);
    }
    status["conditions"] = conditions.list();
    write_status(cx, SERVICES, service, status);
}

fn route(cx: &mut Cx<'_>, service: &Value, config: &Value, status: &mut Value, conditions: &mut Conditions) {
    if let Some(taken) = configuration::taken_name(cx, config) {
        let message = format!("The revision name {taken:?} is taken by a conflicting Revision, so traffic will not be migrated");
        return conditions.no(ROUTED, "RevisionNameTaken", &message);
    }
    let Some(route) = ensure(cx, ROUTES, route_of(service)) else { return };
    if !is_observed(&route) {
        return conditions.unknown(ROUTED, "OutOfDate", "The Route is still working to reflect the latest desired specification.");
    }
    for field in ["traffic", "url", "address"] {
        status[field] = route["status"][field].clone();
    }
    conditions.copy(ROUTED, condition(&route, "Ready"));
    if conditions.holds(ROUTED) && !does_as_asked(&route, config) {
        conditions.unknown(ROUTED, "TrafficNotMigrated", "Traffic is not yet migrated to the latest revision.");
    }
}

fn does_as_asked(route: &Value, config: &Value) -> bool {
    let target = |target: &Value| json!([target["revisionName"], target["percent"], target["tag"]]);
    let wanted = route["spec"]["traffic"].as_array().into_iter().flatten().map(|asked| {
        let mut asked = asked.clone();
        if asked["configurationName"] == config["metadata"]["name"] {
            asked["revisionName"] = config["status"]["latestReadyRevisionName"].clone();
        }
        if asked["percent"].is_null() {
            asked["percent"] = 0.into();
        }
        target(&asked)
    });
    let done = route["status"]["traffic"].as_array().into_iter().flatten().map(target);
    same(&wanted.collect(), &done.collect())
}

fn labels(service: &Value, more: &Value) -> Value {
    let mut labels = service["metadata"]["labels"].clone();
    json_patch::merge(&mut labels, more);
    labels
}

fn annotations(service: &Value, without: &[&str]) -> Value {
    let mut annotations = json!({});
    for (key, value) in service["metadata"]["annotations"].as_object().into_iter().flatten() {
        if !without.contains(&key.as_str()) {
            annotations[key] = value.clone();
        }
    }
    annotations
}

fn configuration_of(service: &Value) -> Value {
    let mut annotations = annotations(service, &[APPLIED, GRADUAL]);
    annotations[ROUTED_BY] = name(service).into();
    json!({
        "metadata": {
            "name": name(service), "namespace": namespace(service), "ownerReferences": [owner(service)], "annotations": annotations,
            "labels": labels(service, &json!({OF_SERVICE: name(service), OF_SERVICE_UID: service["metadata"]["uid"]})),
        },
        "spec": {"template": service["spec"]["template"]},
    })
}

fn route_of(service: &Value) -> Value {
    let everything = json!([{"latestRevision": true, "percent": 100}]);
    let asked = Some(&service["spec"]["traffic"]).filter(|traffic| traffic.as_array().is_some_and(|all| !all.is_empty()));
    let mut traffic = asked.unwrap_or(&everything).clone();
    for target in traffic.as_array_mut().into_iter().flatten().filter(|target| target["revisionName"].as_str().is_none_or(str::is_empty)) {
        target["configurationName"] = name(service).into();
    }
    json!({
        "metadata": {
            "name": name(service), "namespace": namespace(service), "ownerReferences": [owner(service)],
            "annotations": annotations(service, &[APPLIED]), "labels": labels(service, &json!({OF_SERVICE: name(service)})),
        },
        "spec": {"traffic": traffic},
    })
}
