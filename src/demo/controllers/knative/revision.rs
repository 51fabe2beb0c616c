//! Revisions: one Deployment each, with as many pods as somebody calls for, and none while nobody does.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};

use super::{
    Conditions, DEPLOYMENTS, OF_REVISION, OF_REVISION_UID, OF_ROUTE, OF_SERVICE, PLAIN_SERVICES, PODS, REVISIONS, ROUTED_BY, ROUTED_SINCE,
    ROUTES, ROUTING, SERVICES, name, namespace, owner, write_status,
};
use crate::{
    demo::{
        controllers::objects::{between, condition, controller_of, key_of},
        sim::Cx,
        store::Key,
    },
    model::Time,
};

const HEALTHY: &str = "ContainerHealthy";
const AVAILABLE: &str = "ResourcesAvailable";
const ACTIVE: &str = "Active";

const AUTOSCALING: &str = "autoscaling.knative.dev/";

/// The window over which requests are counted, and the grace on top of it.
const IDLE: Duration = Duration::from_secs(90);

/// A new Deployment may take this long.
const DEADLINE: u32 = 600;

pub fn reconcile(cx: &mut Cx<'_>, revision: Value, key: &Key, idle: &mut HashMap<Key, Time>) -> Option<Duration> {
    let mut conditions = Conditions::read(&revision, &[HEALTHY, AVAILABLE], cx.now);
    let calls = Calls::of(cx, &revision);
    if calls.comes {
        idle.remove(key);
    } else {
        idle.entry(key.clone()).or_insert(cx.now);
    }
    let rests = idle.get(key).map(|since| *since + IDLE);
    let was_up = conditions.holds(AVAILABLE);
    let wanted = replicas(&revision, &calls, was_up, rests.is_some_and(|rests| rests <= cx.now));
    services(cx, &revision);
    let deployment = deployment(cx, &revision, wanted)?;
    judge(cx, &deployment, was_up, &mut conditions);
    match (wanted, count(&deployment, "readyReplicas")) {
        (0, _) => conditions.no(ACTIVE, "NoTraffic", "The target is not receiving traffic."),
        (_, 0) => conditions.unknown(ACTIVE, "Queued", "Requests to the target are being buffered as resources are provisioned."),
        _ => conditions.yes(ACTIVE),
    }
    let again = rests.filter(|rests| *rests > cx.now).map(|rests| between(cx.now, rests));
    let status = json!({
        "observedGeneration": revision["metadata"]["generation"], "actualReplicas": count(&deployment, "readyReplicas"),
        "desiredReplicas": wanted, "conditions": conditions.list(),
    });
    write_status(cx, REVISIONS, revision, status);
    again
}

/// Who calls a Revision.
struct Calls {
    /// A Route names it, if only under a tag.
    is_routed: bool,
    comes: bool,
}

impl Calls {
    fn of(cx: &Cx<'_>, revision: &Value) -> Self {
        let service = revision["metadata"]["labels"][OF_SERVICE].as_str().unwrap_or_default();
        let route = cx.get(ROUTES, namespace(revision), service).unwrap_or_default();
        let targets = route["status"]["traffic"].as_array().into_iter().flatten();
        let named: Vec<&Value> = targets.filter(|target| target["revisionName"] == name(revision)).collect();
        let percent: i64 = named.iter().filter_map(|target| target["percent"].as_i64()).sum();
        // Users come to whoever owns the Service, by that name.
        let found = cx.get(SERVICES, namespace(revision), service).unwrap_or_default();
        let entry = controller_of(&found).map_or(service, |above| above["name"].as_str().unwrap_or(service)).to_owned();
        let rps = cx.workloads.traffic.load(&format!("{}/{entry}", namespace(revision))).rps;
        Self { is_routed: !named.is_empty(), comes: percent > 0 && rps > 0.0 }
    }
}

fn scale(revision: &Value, end: &str) -> Option<i64> {
    revision["metadata"]["annotations"][format!("{AUTOSCALING}{end}")].as_str()?.parse().ok()
}

fn replicas(revision: &Value, calls: &Calls, was_up: bool, rests: bool) -> i64 {
    let least = scale(revision, "min-scale").unwrap_or(0);
    let most = scale(revision, "max-scale").filter(|most| *most > 0).unwrap_or(i64::MAX);
    let wanted = match (was_up, calls.is_routed) {
        (false, _) => least.max(scale(revision, "initial-scale").unwrap_or(1)),
        _ if calls.comes || !rests => least.max(1),
        // It keeps the pods it is bound to have only where somebody may call it.
        (true, true) => least,
        (true, false) => 0,
    };
    wanted.min(most)
}

fn count(deployment: &Value, field: &str) -> i64 {
    deployment["status"][field].as_i64().unwrap_or_default()
}

/// Once up, only what its pods tell takes it down: a Revision without pods is as ready as before.
fn judge(cx: &Cx<'_>, deployment: &Value, was_up: bool, conditions: &mut Conditions) {
    let ready = count(deployment, "readyReplicas") > 0;
    let progress = condition(&deployment["status"]["conditions"], "Progressing").cloned().unwrap_or_default();
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let mut available = match progress["status"].as_str() {
        Some("False") => ("False", text(&progress, "reason"), text(&progress, "message")),
        Some("True") if was_up || ready => ("True", String::new(), String::new()),
        _ => ("Unknown", "Deploying".to_owned(), String::new()),
    };
    if conditions.status(HEALTHY).is_empty() || !was_up && !ready && !conditions.fails(HEALTHY) {
        conditions.unknown(HEALTHY, "Deploying", "");
    }
    if deployment["spec"]["replicas"].as_i64() != Some(0) && count(deployment, "availableReplicas") == 0 {
        let timed_out = available.0 == "False";
        match trouble(cx, deployment, timed_out) {
            Some(Trouble::Resources(reason, message)) => available = ("False", reason, message),
            Some(Trouble::Container(reason, message)) => conditions.no(HEALTHY, &reason, &message),
            None => (),
        }
    }
    if ready {
        conditions.yes(HEALTHY);
    }
    conditions.mark(AVAILABLE, available.0, &available.1, &available.2);
}

/// What the first pod tells: reason and message.
enum Trouble {
    Resources(String, String),
    Container(String, String),
}

fn trouble(cx: &Cx<'_>, deployment: &Value, timed_out: bool) -> Option<Trouble> {
    let uid = deployment["metadata"]["labels"][OF_REVISION_UID].as_str()?;
    let pods = cx.store.list(PODS, Some(namespace(deployment)));
    let pod = pods.filter(|pod| pod.label(OF_REVISION_UID) == Some(uid)).map(|pod| pod.value()).next()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(unscheduled) = condition(&pod["status"]["conditions"], "PodScheduled").filter(|found| found["status"] == "False") {
        return Some(Trouble::Resources(text(&unscheduled["reason"]), text(&unscheduled["message"])));
    }
    pod["status"]["containerStatuses"].as_array().into_iter().flatten().find_map(|container| {
        let (ended, waiting) = (&container["lastState"]["terminated"], &container["state"]["waiting"]);
        let exit = ended["exitCode"].as_i64();
        let message = text(&ended["message"]);
        match exit {
            Some(0) if message.is_empty() => Some("container exited with no error".to_owned()),
            Some(_) => Some(message),
            None => None,
        }
        .map(|message| Trouble::Container(format!("ExitCode{}", exit.unwrap_or_default()), format!("Container failed with: {message}")))
        .or_else(|| (timed_out && waiting.is_object()).then(|| Trouble::Resources(text(&waiting["reason"]), text(&waiting["message"]))))
    })
}

/// Labels of what a Revision makes.
fn labels(revision: &Value) -> Value {
    let mut labels = revision["metadata"]["labels"].clone();
    let app = labels["app"].as_str().unwrap_or(name(revision)).to_owned();
    let own = json!({
        OF_REVISION: name(revision), OF_REVISION_UID: revision["metadata"]["uid"], "app": app, ROUTING: null, OF_ROUTE: null,
    });
    json_patch::merge(&mut labels, &own);
    labels
}

fn annotations(revision: &Value) -> Value {
    let mut annotations = revision["metadata"]["annotations"].clone();
    json_patch::merge(&mut annotations, &json!({ROUTED_BY: null, ROUTED_SINCE: null}));
    annotations
}

/// The Deployment; of one that is there only the number of pods is changed.
fn deployment(cx: &mut Cx<'_>, revision: &Value, wanted: i64) -> Option<Value> {
    let name = format!("{}-deployment", name(revision));
    let metadata = json!({
        "name": name, "namespace": namespace(revision), "ownerReferences": [owner(revision)],
        "labels": labels(revision), "annotations": annotations(revision),
    });
    if let Some(mut found) = cx.store.get(&key_of(DEPLOYMENTS, &json!({"metadata": metadata}))).map(|found| found.value()) {
        if found["spec"]["replicas"].as_i64() == Some(wanted) {
            return Some(found);
        }
        found["spec"]["replicas"] = wanted.into();
        return cx.update(DEPLOYMENTS, found).ok();
    }
    let mut containers = revision["spec"]["containers"].clone();
    for container in containers.as_array_mut().into_iter().flatten().filter(|container| container["name"].is_null()) {
        container["name"] = "user-container".into();
    }
    let mut spec = revision["spec"].clone();
    json_patch::merge(&mut spec, &json!({"containers": containers, "containerConcurrency": null, "timeoutSeconds": null}));
    let made = json!({
        "metadata": metadata,
        "spec": {
            "replicas": wanted, "progressDeadlineSeconds": DEADLINE, "revisionHistoryLimit": 0,
            "selector": {"matchLabels": {OF_REVISION_UID: revision["metadata"]["uid"]}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}},
            "template": {"metadata": {"labels": labels(revision), "annotations": annotations(revision)}, "spec": spec},
        },
    });
    cx.create(DEPLOYMENTS, made).ok()
}

/// Where its pods are found.
fn services(cx: &mut Cx<'_>, revision: &Value) {
    for (end, selector) in [("", Value::Null), ("-private", json!({OF_REVISION_UID: revision["metadata"]["uid"]}))] {
        let name = format!("{}{end}", name(revision));
        if cx.store.get(&Key::new(PLAIN_SERVICES, namespace(revision), &name)).is_some() {
            continue;
        }
        let mut service = json!({
            "metadata": {"name": name, "namespace": namespace(revision), "ownerReferences": [owner(revision)], "labels": labels(revision)},
            "spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]},
        });
        if selector.is_object() {
            service["spec"]["selector"] = selector;
        }
        let _ = cx.create(PLAIN_SERVICES, service);
    }
}
