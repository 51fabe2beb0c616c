//! What serves a model, and what of its revisions is remembered.

use serde_json::{Value, json};

use super::{OF, name};

const CONTAINER: &str = "kserve-container";
const TAGS: &str = "serving.kserve.io/enable-tag-routing";

/// Annotations that are about the InferenceService itself.
const OWN: [&str; 3] = ["kubectl.kubernetes.io/last-applied-configuration", super::STOP, super::MODE];

/// The Knative Service.
pub fn over_knative(service: &Value) -> Value {
    json!({
        "metadata": metadata(service),
        "spec": {"template": {"metadata": {"labels": labels(service), "annotations": annotations(service)}, "spec": pod(service)}, "traffic": traffic(service)},
    })
}

/// The Deployment, where Knative is not asked for.
pub fn raw(service: &Value) -> Value {
    let app = format!("isvc.{}-predictor", name(service));
    let mut labels = labels(service);
    labels["app"] = app.as_str().into();
    json!({
        "metadata": metadata(service),
        "spec": {
            "replicas": service["spec"]["predictor"]["minReplicas"].as_u64().unwrap_or(1),
            "selector": {"matchLabels": {"app": app}},
            "template": {"metadata": {"labels": labels}, "spec": pod(service)},
        },
    })
}

/// In front of its pods.
pub fn raw_service(service: &Value) -> Value {
    let app = format!("isvc.{}-predictor", name(service));
    let port = json!({"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080});
    json!({"metadata": metadata(service), "spec": {"selector": {"app": app}, "ports": [port]}})
}

/// Where users come in.
pub fn raw_ingress(service: &Value) -> Value {
    let mut metadata = metadata(service);
    metadata["name"] = name(service).into();
    let backend = json!({"service": {"name": format!("{}-predictor", name(service)), "port": {"number": 80}}});
    let host = format!("{}.{}.example.com", name(service), service["metadata"]["namespace"].as_str().unwrap_or_default());
    let rule = json!({"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}});
    json!({"metadata": metadata, "spec": {"ingressClassName": "nginx", "rules": [rule]}})
}

fn metadata(service: &Value) -> Value {
    let owner = json!({
        "apiVersion": service["apiVersion"], "kind": service["kind"], "name": name(service), "uid": service["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    });
    json!({
        "name": format!("{}-predictor", name(service)), "namespace": service["metadata"]["namespace"], "labels": labels(service),
        "ownerReferences": [owner],
    })
}

fn labels(service: &Value) -> Value {
    let mut labels = service["metadata"]["labels"].clone();
    let more = &service["spec"]["predictor"]["labels"];
    json_patch::merge(&mut labels, if more.is_object() { more } else { &Value::Null });
    let mut labels = if labels.is_object() { labels } else { json!({}) };
    labels[OF] = name(service).into();
    labels["component"] = "predictor".into();
    labels
}

fn annotations(service: &Value) -> Value {
    let mut annotations = json!({});
    for (key, value) in service["metadata"]["annotations"].as_object().into_iter().flatten() {
        if !OWN.contains(&key.as_str()) {
            annotations[key] = value.clone();
        }
    }
    let predictor = &service["spec"]["predictor"];
    for (field, scale) in [("minReplicas", "min-scale"), ("maxReplicas", "max-scale")] {
        if let Some(count) = predictor[field].as_i64() {
            annotations[format!("autoscaling.knative.dev/{scale}")] = count.to_string().into();
        }
    }
    if let Some(from) = predictor["model"]["storageUri"].as_str() {
        annotations["internal.serving.kserve.io/storage-initializer-sourceuri"] = from.into();
    }
    annotations
}

/// A container of one's own, or the server of the model's format.
fn pod(service: &Value) -> Value {
    let predictor = &service["spec"]["predictor"];
    let mut containers = predictor["containers"].clone();
    if !containers.is_array() {
        let model = &predictor["model"];
        let format = model["modelFormat"]["name"].as_str().unwrap_or("custom");
        let image = format!("kserve/{format}server:{}", model["runtimeVersion"].as_str().unwrap_or("v0.15.2"));
        let args = json!([format!("--model_name={}", name(service)), "--model_dir=/mnt/models", "--http_port=8080"]);
        containers = json!([{"name": CONTAINER, "image": image, "args": args}]);
    }
    if containers[0]["name"].is_null() {
        containers[0]["name"] = CONTAINER.into();
    }
    json!({"containers": containers})
}

/// All to the latest revision, until a share is asked for and there is a revision that had all users before.
fn traffic(service: &Value) -> Value {
    let before = service["status"]["components"]["predictor"]["latestRolledoutRevision"].as_str().filter(|name| !name.is_empty());
    let asked = service["spec"]["predictor"]["canaryTrafficPercent"].as_i64().zip(before);
    let share = asked.map_or(100, |(share, _)| share);
    let mut latest = json!({"latestRevision": true, "percent": share});
    if service["metadata"]["annotations"][TAGS] == "true" {
        latest["tag"] = "latest".into();
    }
    match asked {
        Some((share, before)) if share < 100 => {
            json!([latest, {"revisionName": before, "latestRevision": false, "percent": 100 - share, "tag": "prev"}])
        }
        _ => json!([latest]),
    }
}

/// The component's status, from what it was and from the Knative Service's.
pub fn remembered(before: &Value, under: &Value) -> Value {
    let mut component = if before.is_object() { before.clone() } else { json!({}) };
    let (created, ready) = (&under["latestCreatedRevisionName"], &under["latestReadyRevisionName"]);
    component["latestCreatedRevision"] = created.clone();
    let targets = || under["traffic"].as_array().into_iter().flatten();
    for target in targets().filter(|target| target["revisionName"] == *ready && target["latestRevision"] == true) {
        let share = target["percent"].as_i64().unwrap_or_default();
        if component["latestRolledoutRevision"] != *ready {
            if share == 100 {
                component["previousRolledoutRevision"] = component["latestRolledoutRevision"].take();
                component["latestRolledoutRevision"] = ready.clone();
            }
            continue;
        }
        // All users were on it, and now less is asked for: the one before takes its place.
        let all: i64 = targets().filter(|other| other["revisionName"] == *ready).filter_map(|other| other["percent"].as_i64()).sum();
        let has_before = component["previousRolledoutRevision"].as_str().is_some_and(|name| !name.is_empty());
        if ready == created && share < 100 && all == 100 && has_before {
            component["latestRolledoutRevision"] = component["previousRolledoutRevision"].clone();
        }
    }
    for (field, value) in
        [("latestReadyRevision", ready), ("traffic", &under["traffic"]), ("url", &under["url"]), ("address", &under["address"])]
    {
        component[field] = value.clone();
    }
    component
}
