//! The objects of a scenario, as a person's manifests would have them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Kind, Owner, Router, Scenario, Template, Workload, build::template_names};

const ARGO: &str = "argoproj.io/v1alpha1";

/// Name of the router's route and of the container, everywhere.
const ROUTE: &str = "primary";
pub const CONTAINER: &str = "app";

/// The label by which a Service picks one of two Deployments, and its values.
pub const COLOUR: &str = "color";
pub const COLOURS: [&str; 2] = ["blue", "green"];

/// The canary's or preview's Service.
pub fn other_service(workload: &Workload) -> String {
    let end = if matches!(workload.kind, Kind::BlueGreen | Kind::Service) { "preview" } else { "canary" };
    format!("{}-{end}", workload.name)
}

/// Namespaces in which anything is.
pub fn namespaces(scenario: &Scenario) -> BTreeSet<&str> {
    let named = scenario.manifests.iter().filter_map(|object| object["metadata"]["namespace"].as_str());
    scenario.workloads.iter().map(|workload| workload.namespace.as_str()).chain(named).collect()
}

/// AnalysisTemplates of the namespaces whose workloads refer to them.
pub fn templates(scenario: &Scenario, prometheus: &str) -> Vec<Value> {
    let mut wanted: BTreeSet<(&str, String)> = BTreeSet::new();
    for workload in &scenario.workloads {
        let named = template_names(&workload.steps).into_iter().chain(template_names(&workload.spec));
        wanted.extend(named.map(|name| (workload.namespace.as_str(), name)));
    }
    let found = |(namespace, name): (&str, String)| {
        let template = scenario.templates.iter().find(|template| template.name == name)?;
        Some(analysis_template(namespace, template, prometheus))
    };
    wanted.into_iter().filter_map(found).collect()
}

fn analysis_template(namespace: &str, template: &Template, prometheus: &str) -> Value {
    let metric = |metric: &Value| {
        let mut metric = metric.clone();
        let asked = &mut metric["provider"]["prometheus"];
        if asked.is_object() && asked["address"].is_null() {
            asked["address"] = prometheus.into();
        }
        metric
    };
    let args: Vec<Value> = template.args.iter().map(|name| json!({"name": name})).collect();
    let mut object = object(ARGO, "AnalysisTemplate", namespace, &template.name);
    object["spec"] = json!({"metrics": template.metrics.iter().map(metric).collect::<Vec<_>>()});
    if !args.is_empty() {
        object["spec"]["args"] = args.into();
    }
    object
}

/// Services, routes and the workload itself, in the version that was first.
pub fn workload(workload: &Workload) -> Vec<Value> {
    let mut objects = match workload.kind {
        Kind::Canary => canary(workload),
        Kind::BlueGreen => blue_green(workload),
        Kind::Deployment => vec![service(workload, &workload.name), deployment(workload)],
        Kind::StatefulSet => stateful_set(workload),
        Kind::DaemonSet => daemon_set(workload),
        Kind::Service => two_colours(workload),
        Kind::Split => split(workload),
        Kind::Manifest => Vec::new(),
    };
    objects.iter_mut().for_each(|object| own(object, workload));
    objects
}

fn deployment(workload: &Workload) -> Value {
    finished(workload, object("apps/v1", "Deployment", &workload.namespace, &workload.name), json!({}))
}

fn stateful_set(workload: &Workload) -> Vec<Value> {
    let mut set = finished(workload, object("apps/v1", "StatefulSet", &workload.namespace, &workload.name), json!({}));
    set["spec"]["serviceName"] = workload.name.as_str().into();
    vec![service(workload, &workload.name), set]
}

fn daemon_set(workload: &Workload) -> Vec<Value> {
    let mut set = finished(workload, object("apps/v1", "DaemonSet", &workload.namespace, &workload.name), json!({}));
    set["spec"].as_object_mut().map(|spec| spec.remove("replicas"));
    vec![service(workload, &workload.name), set]
}

/// One of the two Deployments of a workload: told from the other by a label, and with so many pods.
fn side(workload: &Workload, name: &str, label: (&str, &str), replicas: u32) -> Value {
    let mut side = deployment(workload);
    side["metadata"]["name"] = name.into();
    side["spec"]["replicas"] = replicas.into();
    let (key, value) = label;
    side["spec"]["selector"]["matchLabels"][key] = value.into();
    side["spec"]["template"]["metadata"]["labels"][key] = value.into();
    side
}

/// A Service for the pods with one more label.
fn selecting(workload: &Workload, name: &str, (key, value): (&str, &str)) -> Value {
    let mut service = service(workload, name);
    service["spec"]["selector"][key] = value.into();
    service
}

/// Blue serves, green is idle.
fn two_colours(workload: &Workload) -> Vec<Value> {
    let name = &workload.name;
    let [blue, green] = COLOURS.map(|colour| (COLOUR, colour));
    vec![
        selecting(workload, name, blue),
        selecting(workload, &other_service(workload), green),
        probed(side(workload, &format!("{name}-{}", blue.1), blue, workload.replicas)),
        probed(side(workload, &format!("{name}-{}", green.1), green, 0)),
    ]
}

/// With a path at which its pods say how they are.
fn probed(mut side: Value) -> Value {
    side["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = json!({"httpGet": {"path": "/ready", "port": 8080}});
    side
}

/// The stable side serves, the new one has no pods yet.
fn split(workload: &Workload) -> Vec<Value> {
    let name = &workload.name;
    let other = other_service(workload);
    let [stable, canary] = ["stable", "canary"].map(|track| ("track", track));
    let mut objects = vec![side(workload, name, stable, workload.replicas), side(workload, &other, canary, 0)];
    match workload.router {
        Router::None | Router::Subsets => objects.push(service(workload, name)),
        _ => objects.extend([selecting(workload, name, stable), selecting(workload, &other, canary)]),
    }
    objects.extend(match workload.router {
        Router::None => Vec::new(),
        Router::Istio => vec![virtual_service(workload, &other)],
        Router::Subsets => subsets(workload),
        Router::Gateway => vec![http_route(workload, &other)],
        Router::Nginx => vec![ingress(workload), canary_ingress(workload, &other)],
    });
    objects
}

fn subsets(workload: &Workload) -> Vec<Value> {
    let name = &workload.name;
    let (mut route, mut rule) =
        (virtual_service(workload, name), object("networking.istio.io/v1", "DestinationRule", &workload.namespace, name));
    let names = ["stable", "canary"];
    rule["spec"] = json!({"host": name, "subsets": names.map(|name| json!({"name": name, "labels": {"track": name}}))});
    for (at, subset) in names.iter().enumerate() {
        route["spec"]["http"][0]["route"][at]["destination"]["subset"] = (*subset).into();
    }
    vec![rule, route]
}

fn http_route(workload: &Workload, other: &str) -> Value {
    let name = &workload.name;
    let to = |service: &str, weight: u32| json!({"name": service, "port": 80, "weight": weight});
    let mut route = object("gateway.networking.k8s.io/v1", "HTTPRoute", &workload.namespace, name);
    route["spec"] = json!({
        "parentRefs": [{"name": "public", "namespace": "gateways"}], "hostnames": [format!("{name}.example.com")],
        "rules": [{"backendRefs": [to(name, 100), to(other, 0)]}],
    });
    route
}

fn canary_ingress(workload: &Workload, other: &str) -> Value {
    let mut canary = ingress(workload);
    canary["metadata"]["name"] = other.into();
    canary["metadata"]["annotations"] =
        json!({"nginx.ingress.kubernetes.io/canary": "true", "nginx.ingress.kubernetes.io/canary-weight": "0"});
    canary["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = other.into();
    canary
}

fn canary(workload: &Workload) -> Vec<Value> {
    let name = &workload.name;
    let other = other_service(workload);
    let mut strategy = json!({"steps": workload.steps});
    if workload.steps.as_array().is_none_or(Vec::is_empty) {
        strategy = json!({});
    }
    let mut objects = vec![service(workload, name)];
    let routing = match workload.router {
        Router::None => None,
        Router::Istio => Some((virtual_service(workload, &other), json!({"istio": {"virtualService": {"name": name, "routes": [ROUTE]}}}))),
        Router::Nginx => Some((ingress(workload), json!({"nginx": {"stableIngress": name}}))),
        // For splits only.
        Router::Subsets | Router::Gateway => None,
    };
    if let Some((route, routing)) = routing {
        objects.extend([service(workload, &other), route]);
        json_patch::merge(&mut strategy, &json!({"stableService": name, "canaryService": other, "trafficRouting": routing}));
    }
    objects.push(rollout(workload, json!({"canary": strategy})));
    objects
}

fn blue_green(workload: &Workload) -> Vec<Value> {
    let other = other_service(workload);
    let strategy = json!({"activeService": workload.name, "previewService": other, "autoPromotionEnabled": false});
    vec![service(workload, &workload.name), service(workload, &other), rollout(workload, json!({"blueGreen": strategy}))]
}

fn rollout(workload: &Workload, strategy: Value) -> Value {
    finished(workload, object(ARGO, "Rollout", &workload.namespace, &workload.name), strategy)
}

/// Replicas, selector and template of the first version; then what the file adds.
fn finished(workload: &Workload, mut object: Value, strategy: Value) -> Value {
    let tag = workload.history.first().map(|past| past.version.as_str()).unwrap_or_default();
    object["spec"] = json!({
        "replicas": workload.replicas,
        "revisionHistoryLimit": 5,
        "selector": {"matchLabels": {"app": workload.name}},
        "template": {
            "metadata": {"labels": {"app": workload.name}},
            "spec": {"containers": [{
                "name": CONTAINER, "image": workload.image_of(tag), "ports": [{"containerPort": 8080}],
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
            }]},
        },
    });
    if strategy != json!({}) {
        object["spec"]["strategy"] = strategy;
    }
    json_patch::merge(&mut object["spec"], &workload.spec);
    if workload.annotations != json!({}) {
        object["metadata"]["annotations"] = workload.annotations.clone();
    }
    object
}

fn service(workload: &Workload, name: &str) -> Value {
    let mut service = object("v1", "Service", &workload.namespace, name);
    let ports = json!([{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]);
    service["spec"] = json!({"type": "ClusterIP", "selector": {"app": workload.name}, "ports": ports});
    service
}

fn virtual_service(workload: &Workload, other: &str) -> Value {
    let name = &workload.name;
    let to = |host: &str, weight: u32| json!({"destination": {"host": host}, "weight": weight});
    let mut object = object("networking.istio.io/v1", "VirtualService", &workload.namespace, name);
    object["spec"] = json!({"hosts": [name], "http": [{"name": ROUTE, "route": [to(name, 100), to(other, 0)]}]});
    object
}

fn ingress(workload: &Workload) -> Value {
    let name = &workload.name;
    let backend = json!({"service": {"name": name, "port": {"number": 80}}});
    let mut ingress = object("networking.k8s.io/v1", "Ingress", &workload.namespace, name);
    ingress["spec"] = json!({
        "ingressClassName": "nginx",
        "rules": [{"host": format!("{name}.example.com"), "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
    });
    ingress
}

fn object(api_version: &str, kind: &str, namespace: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}})
}

/// The marks of the GitOps tool.
fn own(object: &mut Value, workload: &Workload) {
    let Some(owner) = workload.owner else { return };
    let marks = match owner {
        Owner::ArgoCd => {
            let (group, _) = object["apiVersion"].as_str().and_then(|version| version.split_once('/')).unwrap_or_default();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
            let id = format!("{}:{group}/{kind}:{}/{name}", workload.namespace, workload.namespace);
            json!({"annotations": {"argocd.argoproj.io/tracking-id": id}})
        }
        Owner::Flux => json!({"labels": {
            "kustomize.toolkit.fluxcd.io/name": workload.namespace, "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
        }}),
    };
    json_patch::merge(&mut object["metadata"], &marks);
}

/// The field manager that applied the workload's objects.
pub fn applied_by(workload: &Workload) -> &'static str {
    match workload.owner {
        Some(Owner::ArgoCd) => "argocd-controller",
        Some(Owner::Flux) => "kustomize-controller",
        None => "kubectl-client-side-apply",
    }
}
