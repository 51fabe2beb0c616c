//! Every state a DaemonSet can be in: one recorded, the others one change away from it.

use rolltop::engine::{Engine, daemonset::DAEMON_SET};
use serde_json::{Value, json};

use crate::kit::{Scene, changed, list};

pub const ENGINE: &dyn Engine = &DAEMON_SET;

pub const NEW: &str = "8454f98f5d";
pub const OLD: &str = "55b5c4f4dc";

pub const NAMES: [&str; 8] = ["frozen", "rolling", "broken", "complete", "idle-frozen", "short", "unobserved", "deleting"];

pub fn scene(name: &str) -> Scene {
    Scene::of(ENGINE, &items(name))
}

pub fn items(name: &str) -> Vec<Value> {
    let frozen = list("daemonset/frozen-ondelete-mid-roll");
    let rolling = || with(frozen.clone(), |d| d["spec"]["updateStrategy"]["type"] = "RollingUpdate".into());
    match name {
        "frozen" => frozen,
        "rolling" => rolling(),
        "broken" => broken(rolling()),
        "complete" => complete(rolling()),
        "idle-frozen" => complete(frozen),
        "short" => with(complete(rolling()), |d| d["status"]["numberAvailable"] = 2.into()),
        "unobserved" => with(frozen, |d| d["metadata"]["generation"] = 4.into()),
        "deleting" => with(frozen, |d| d["metadata"]["deletionTimestamp"] = "2026-11-21T03:22:31Z".into()),
        _ => unreachable!("no scene {name}"),
    }
}

pub fn with(items: Vec<Value>, change: impl FnOnce(&mut Value)) -> Vec<Value> {
    changed(ENGINE, items, change)
}

fn pods<'a>(items: &'a mut [Value], hash: &'static str) -> impl Iterator<Item = &'a mut Value> {
    items.iter_mut().filter(move |i| i["kind"] == "Pod" && i["metadata"]["labels"]["controller-revision-hash"] == hash)
}

fn broken(items: Vec<Value>) -> Vec<Value> {
    let mut items = with(items, |d| {
        d["status"]["numberReady"] = 2.into();
        d["status"]["numberAvailable"] = 2.into();
    });
    let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
    for pod in pods(&mut items, NEW) {
        pod["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
        pod["status"]["containerStatuses"] = json!([{"name": "app", "ready": false, "restartCount": 0, "state": waiting}]);
    }
    items
}

fn complete(items: Vec<Value>) -> Vec<Value> {
    let mut items = with(items, |d| d["status"]["updatedNumberScheduled"] = 3.into());
    for pod in pods(&mut items, OLD) {
        pod["metadata"]["labels"]["controller-revision-hash"] = NEW.into();
    }
    items
}
