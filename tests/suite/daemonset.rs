//! A DaemonSet: a roll by node, held by OnDelete, let go again, taken back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    cluster::{Fixtures, Pods, Rig, manifests},
    suite::app::{App, PATIENCE, Start},
};

const APPS: &str = "apps/v1";

/// One pod of `v1` on each node of the rig, all ready; the strategy is merged in.
async fn daemons(fx: &Fixtures, name: &str, strategy: &Value) -> u64 {
    let mut set = manifests::object(APPS, "DaemonSet", name);
    set["spec"] = json!({
        "selector": {"matchLabels": {"app": name}},
        "template": manifests::pod_template(name, "v1", Pods::Fast),
        "updateStrategy": strategy,
    });
    fx.apply(set).await;
    let set = wait(fx, name, |s| s["status"]["numberAvailable"].as_u64().is_some_and(|n| n > 1)).await;
    let nodes = set["status"]["desiredNumberScheduled"].as_u64().unwrap();
    wait(fx, name, |s| s["status"]["numberAvailable"] == nodes).await;
    nodes
}

fn path(fx: &Fixtures, name: &str) -> String {
    format!("/apis/apps/v1/namespaces/{}/daemonsets/{name}", fx.namespace())
}

async fn release(fx: &Fixtures, name: &str, tag: &str, pods: Pods) {
    fx.api().merge(&path(fx, name), &manifests::release(tag, pods)).await.unwrap();
}

/// Waits for a state of the newest spec.
async fn wait(fx: &Fixtures, name: &str, wish: impl Fn(&Value) -> bool) -> Value {
    let begin = Instant::now();
    loop {
        let set = fx.get(APPS, "daemonsets", name).await;
        if set["status"]["observedGeneration"] == set["metadata"]["generation"] && wish(&set) {
            return set;
        }
        assert!(begin.elapsed() < PATIENCE * 2, "{name} is not as wished:\n{:#}\n{:#}", set["spec"]["updateStrategy"], set["status"]);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn count(fx: &Fixtures, name: &str, tag: &str) -> u64 {
    let pods = fx.pods(name).await;
    let of_tag = pods.iter().filter(|p| p["metadata"]["labels"]["version"] == tag && p["metadata"]["deletionTimestamp"].is_null());
    of_tag.count() as u64
}

/// What was written, by the person at the screen.
async fn one_write(rig: &Rig, ns: &str, app: &App, key: &str, words: &[&str]) {
    let mark = rig.audit().mark();
    app.press(key);
    app.shows(words);
    app.confirm();
    app.done();
    let writes = rig.audit().since(mark).namespace(ns).by("oncall").writes();
    assert_eq!(writes.len(), 1, "one action, one write: {writes:?}");
}

#[tokio::test]
async fn a_roll_is_held_let_go_and_undone() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("ds").await;
    let fx = rig.fixtures(&ns);
    let nodes = daemons(&fx, "agent", &json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}})).await;
    release(&fx, "agent", "v2", Pods::Never).await;
    // The first node never gets ready: there is time to press a key.
    wait(&fx, "agent", |s| s["status"]["updatedNumberScheduled"] == 1).await;

    let app = Start::new(rig, &ns).args(["-n", &ns, "agent"]).size(160, 45).run();
    app.shows(&["PROGRESSING", &format!("1 of {nodes} nodes"), "app:v2"]);
    one_write(rig, &ns, &app, " ", &["Pause", "OnDelete", "accepted"]).await;
    let held = wait(&fx, "agent", |s| s["spec"]["updateStrategy"]["type"] == "OnDelete").await;
    assert_eq!(held["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"], 1, "the numbers survive");
    app.shows(&["PAUSED"]);

    // A promotion is no action here, and the refusal says what is.
    let mark = rig.audit().mark();
    app.press("p");
    app.shows(&["someone deletes its pod", &format!("kubectl -n {ns} delete pod agent-")]);
    app.escape();
    assert!(rig.audit().since(mark).namespace(&ns).by("oncall").writes().is_empty());

    one_write(rig, &ns, &app, "a", &["Abort", "app:v1", "accepted"]).await;
    wait(&fx, "agent", |s| s["spec"]["template"]["metadata"]["labels"]["version"] == "v1").await;
    app.shows(&["OnDelete"]);
    one_write(rig, &ns, &app, " ", &["Resume", "RollingUpdate", "accepted"]).await;
    wait(&fx, "agent", |s| s["status"]["updatedNumberScheduled"] == nodes && s["status"]["numberAvailable"] == nodes).await;
    assert_eq!(count(&fx, "agent", "v1").await, nodes);
    let revisions = fx.list(APPS, "controllerrevisions").await;
    assert_eq!(revisions.len(), 2, "the old revision was found again: {revisions:#?}");
    app.shows(&["HEALTHY"]);
}

#[tokio::test]
async fn broken_pods_are_told_and_an_abort_brings_every_node_back() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("ds-broken").await;
    let fx = rig.fixtures(&ns);
    let nodes = daemons(&fx, "agent", &json!({"type": "RollingUpdate"})).await;
    release(&fx, "agent", "bad", Pods::ImagePull).await;
    let app = Start::new(rig, &ns).args(["-n", &ns, "agent"]).size(160, 45).run();
    app.shows(&["FAILING", "cannot start", "ImagePullBackOff"]);
    one_write(rig, &ns, &app, "a", &["Abort", "app:v1", "accepted"]).await;
    wait(&fx, "agent", |s| s["status"]["updatedNumberScheduled"] == nodes && s["status"]["numberAvailable"] == nodes).await;
    assert_eq!((count(&fx, "agent", "v1").await, count(&fx, "agent", "bad").await), (nodes, 0));
    app.shows(&["HEALTHY"]);
}
