//! Pod statuses, as kubelets write them.

use serde_json::{Value, json};

use super::{
    super::objects::{condition, hash},
    steps::names,
};
use crate::{demo::registry::stamp, model::Time};

/// Where a node and a pod on it are found.
pub struct Addresses {
    pub host: String,
    pub pod: String,
}

/// On its node, containers being made.
pub fn bind(pod: &mut Value, node: &str, addresses: &Addresses, now: Time) {
    let has_init = pod["spec"]["initContainers"].as_array().is_some_and(|init| !init.is_empty());
    let reason = if has_init { "PodInitializing" } else { "ContainerCreating" };
    settle_in(pod, node, addresses, now, |container| {
        json!({
            "name": container["name"], "image": container["image"], "imageID": "", "ready": false, "started": false,
            "restartCount": 0, "state": {"waiting": {"reason": reason}},
        })
    });
    let unready = unready(pod);
    let status = &mut pod["status"];
    status["phase"] = "Pending".into();
    set(status, "PodReadyToStartContainers", false, None, now);
    set(status, "Initialized", !has_init, has_init.then_some(("ContainersNotInitialized", "containers with incomplete status")), now);
    set(status, "Ready", false, Some(("ContainersNotReady", &unready)), now);
    set(status, "ContainersReady", false, Some(("ContainersNotReady", &unready)), now);
    set(status, "PodScheduled", true, None, now);
}

/// On its node and ready, all at once.
pub fn appear(pod: &mut Value, node: &str, addresses: &Addresses, now: Time) {
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let stamp = stamp(now);
    settle_in(pod, node, addresses, now, |container| {
        let mut entry = json!({
            "name": container["name"], "image": container["image"], "ready": true, "started": true,
            "restartCount": 0, "state": {"running": {"startedAt": stamp}},
        });
        identify(&mut entry, &uid, 0);
        entry
    });
    let status = &mut pod["status"];
    finish_init(status, &uid, now);
    status["phase"] = "Running".into();
    let is = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": stamp});
    status["conditions"] = CONDITIONS.map(is).into_iter().collect();
}

const CONDITIONS: [&str; 5] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// Node, addresses and an entry for each container.
fn settle_in(pod: &mut Value, node: &str, addresses: &Addresses, now: Time, entry: impl Fn(&Value) -> Value) {
    pod["spec"]["nodeName"] = node.into();
    let entries = |list: &str| pod["spec"].get(list).and_then(Value::as_array).map(|list| list.iter().map(&entry).collect::<Value>());
    let (containers, init) = (entries("containers"), entries("initContainers"));
    let status = &mut pod["status"];
    status["hostIP"] = addresses.host.as_str().into();
    status["hostIPs"] = json!([{"ip": addresses.host}]);
    status["podIP"] = addresses.pod.as_str().into();
    status["podIPs"] = json!([{"ip": addresses.pod}]);
    status["startTime"] = stamp(now).into();
    status["containerStatuses"] = containers.unwrap_or_else(|| json!([]));
    if let Some(init) = init {
        status["initContainerStatuses"] = init;
    }
}

/// No node will have it. False: that was known.
pub fn refuse(pod: &mut Value, why: &str, now: Time) -> bool {
    let status = &mut pod["status"];
    let known = condition(&status["conditions"], "PodScheduled").is_some_and(|c| c["message"] == why);
    if !known {
        status["phase"] = "Pending".into();
        status["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "lastTransitionTime": stamp(now), "reason": "Unschedulable", "message": why,
        }]);
    }
    !known
}

/// All containers run, none is ready yet.
pub fn run(pod: &mut Value, now: Time, again: bool) {
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let status = &mut pod["status"];
    for container in entries(status, "containerStatuses") {
        let restarts = container["restartCount"].as_u64().unwrap_or_default() + u64::from(again);
        identify(container, &uid, restarts);
        if again && !container["state"]["terminated"].is_null() {
            container["lastState"] = container["state"].clone();
        }
        container["restartCount"] = restarts.into();
        container["started"] = true.into();
        container["state"] = json!({"running": {"startedAt": stamp(now)}});
    }
    if !again {
        finish_init(status, &uid, now);
    }
    status["phase"] = "Running".into();
    set(status, "PodReadyToStartContainers", true, None, now);
    set(status, "Initialized", true, None, now);
}

/// Init containers simply have done their work.
fn finish_init(status: &mut Value, uid: &str, now: Time) {
    for container in entries(status, "initContainerStatuses") {
        identify(container, uid, 0);
        container["ready"] = true.into();
        let (times, id) = (stamp(now), &container["containerID"]);
        let done = json!({"exitCode": 0, "reason": "Completed", "startedAt": times, "finishedAt": times, "containerID": id});
        container["state"] = json!({"terminated": done});
    }
}

pub fn set_ready(pod: &mut Value, ready: bool, now: Time) {
    let unready = unready(pod);
    let status = &mut pod["status"];
    for container in entries(status, "containerStatuses") {
        container["ready"] = ready.into();
    }
    let reason = (!ready).then_some(("ContainersNotReady", unready.as_str()));
    set(status, "Ready", ready, reason, now);
    set(status, "ContainersReady", ready, reason, now);
}

/// The containers have ended with an error.
pub fn exit(pod: &mut Value, code: i64, reason: &str, started: Time, now: Time) {
    set_ready(pod, false, now);
    for container in entries(&mut pod["status"], "containerStatuses") {
        container["started"] = false.into();
        container["state"] = json!({"terminated": {
            "exitCode": code, "reason": reason, "startedAt": stamp(started), "finishedAt": stamp(now), "containerID": container["containerID"],
        }});
    }
}

/// The restart of the containers has to wait.
pub fn back_off(pod: &mut Value, pause: &str, place: &str) {
    for container in entries(&mut pod["status"], "containerStatuses") {
        container["lastState"] = container["state"].clone();
        let name = container["name"].as_str().unwrap_or_default();
        let message = format!("back-off {pause} restarting failed container={name} pod={place}");
        container["state"] = json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}});
    }
}

/// The image is not to be had. `reason` is `ErrImagePull` or `ImagePullBackOff`.
pub fn fail_pull(pod: &mut Value, reason: &str) {
    for container in entries(&mut pod["status"], "containerStatuses") {
        let image = container["image"].as_str().unwrap_or_default();
        let why = pull_error(image);
        let message = if reason == "ErrImagePull" { why } else { format!("Back-off pulling image \"{image}\": ErrImagePull: {why}") };
        container["state"] = json!({"waiting": {"reason": reason, "message": message}});
    }
}

/// What containerd says of an image that does not exist.
pub fn pull_error(image: &str) -> String {
    let full = if image.contains('/') { image.to_owned() } else { format!("docker.io/library/{image}") };
    format!(
        "rpc error: code = NotFound desc = failed to pull and unpack image \"{full}\": failed to resolve reference \"{full}\": {full}: not found"
    )
}

/// The entries of a list that may be missing.
fn entries<'a>(status: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    status.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
}

fn identify(container: &mut Value, uid: &str, restarts: u64) {
    let image = container["image"].as_str().unwrap_or_default();
    let name = image.split('@').next().unwrap_or_default();
    let name = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(name, |(name, _)| name);
    let full = if name.contains('/') { name.to_owned() } else { format!("docker.io/library/{name}") };
    let (image_id, name) = (format!("{full}@sha256:{}", digest(&[image])), container["name"].as_str().unwrap_or_default());
    container["containerID"] = format!("containerd://{}", digest(&[uid, name, &restarts.to_string()])).into();
    container["imageID"] = image_id.into();
}

/// 64 hexadecimal digits that belong to these texts.
fn digest(parts: &[&str]) -> String {
    let mut rng = fastrand::Rng::with_seed(hash(parts));
    (0..4).map(|_| format!("{:016x}", rng.u64(..))).collect()
}

/// Sets a condition, with reason and message if it does not hold; its transition time stays while its status does.
fn set(status: &mut Value, kind: &str, is: bool, why: Option<(&str, &str)>, now: Time) {
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    let value = if is { "True" } else { "False" };
    let mut new = json!({"type": kind, "status": value, "lastTransitionTime": stamp(now)});
    if let Some((reason, message)) = why {
        new["reason"] = reason.into();
        new["message"] = message.into();
    }
    match conditions.iter_mut().find(|condition| condition["type"] == kind) {
        Some(old) if old["status"] == value => (),
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}

fn unready(pod: &Value) -> String {
    format!("containers with unready status: [{}]", names(pod).join(" "))
}
