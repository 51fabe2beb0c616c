//! A StatefulSet: the partition as the step, the way back, the broken pod that holds everything up, OnDelete.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    cluster::{Fixtures, Pods, Rig, manifests},
    suite::app::{App, PATIENCE, Start},
};

const APPS: &str = "apps/v1";

/// Three pods of `v1`, all ready; `spec` is merged in.
async fn stateful(fx: &Fixtures, name: &str, spec: &Value) {
    let mut set = manifests::object(APPS, "StatefulSet", name);
    set["spec"] = json!({
        "replicas": 3,
        "serviceName": name,
        "selector": {"matchLabels": {"app": name}},
        "template": manifests::pod_template(name, "v1", Pods::Fast),
    });
    json_patch::merge(&mut set["spec"], spec);
    fx.apply(set).await;
    wait(fx, name, |s| s["status"]["readyReplicas"] == 3 && s["status"]["currentRevision"].is_string()).await;
}

fn path(fx: &Fixtures, name: &str) -> String {
    format!("/apis/apps/v1/namespaces/{}/statefulsets/{name}", fx.namespace())
}

async fn release(fx: &Fixtures, name: &str, tag: &str, pods: Pods) {
    fx.api().merge(&path(fx, name), &manifests::release(tag, pods)).await.unwrap();
}

/// Waits for a state of the newest spec.
async fn wait(fx: &Fixtures, name: &str, wish: impl Fn(&Value) -> bool) -> Value {
    let begin = Instant::now();
    loop {
        let set = fx.get(APPS, "statefulsets", name).await;
        if set["status"]["observedGeneration"] == set["metadata"]["generation"] && wish(&set) {
            return set;
        }
        assert!(begin.elapsed() < PATIENCE * 2, "{name} is not as wished:\n{:#}\n{:#}", set["spec"]["updateStrategy"], set["status"]);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The versions of the pods, lowest ordinal first.
async fn versions(fx: &Fixtures, name: &str) -> Vec<String> {
    let mut pods = fx.pods(name).await;
    pods.sort_by_key(|p| p["metadata"]["name"].to_string());
    pods.iter().map(|p| p["metadata"]["labels"]["version"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn wait_versions(fx: &Fixtures, name: &str, wanted: [&str; 3]) {
    let begin = Instant::now();
    while versions(fx, name).await != wanted {
        assert!(begin.elapsed() < PATIENCE * 2, "{name}: {:?} instead of {wanted:?}", versions(fx, name).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn updated(n: u32) -> impl Fn(&Value) -> bool {
    move |s| s["status"]["updatedReplicas"].as_u64().unwrap_or(0) == u64::from(n) && s["status"]["readyReplicas"] == 3
}

/// What was written, by the person at the screen, since a mark.
async fn one_write(rig: &Rig, ns: &str, app: &App, act: impl FnOnce(&App)) {
    let mark = rig.audit().mark();
    act(app);
    app.confirm();
    app.done();
    let writes = rig.audit().since(mark).namespace(ns).by("oncall").writes();
    assert_eq!(writes.len(), 1, "one action, one write: {writes:?}");
}

fn press(key: &'static str, words: &'static [&'static str]) -> impl FnOnce(&App) {
    move |app| {
        app.press(key);
        app.shows(words);
    }
}

#[tokio::test]
async fn the_partition_is_the_step() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("sts").await;
    let fx = rig.fixtures(&ns);
    stateful(&fx, "ledger", &json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}})).await;
    release(&fx, "ledger", "v2", Pods::Fast).await;
    wait(&fx, "ledger", updated(1)).await;
    assert_eq!(versions(&fx, "ledger").await, ["v1", "v1", "v2"]);

    let app = Start::new(rig, &ns).args(["-n", &ns, "ledger"]).run();
    app.shows(&["WAITING", "partition 2: 1 of 3", "ledger-1"]);
    one_write(rig, &ns, &app, press("p", &["Promote", "partition", "ledger-1", "accepted"])).await;
    wait(&fx, "ledger", updated(2)).await;
    assert_eq!(versions(&fx, "ledger").await, ["v1", "v2", "v2"]);
    app.shows(&["partition 1: 2 of 3"]);

    one_write(rig, &ns, &app, press("P", &["Promote", "no pod keeps the old version", "accepted"])).await;
    wait(&fx, "ledger", |s| updated(3)(s) && s["status"]["currentRevision"] == s["status"]["updateRevision"]).await;
    app.shows(&["HEALTHY"]);
}

/// The way back at a partition, and that what was taken back is whole again.
#[tokio::test]
async fn an_abort_brings_every_new_pod_back() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("sts-abort").await;
    let fx = rig.fixtures(&ns);
    // Ordinals start elsewhere: a partition counts pods all the same.
    let spec = json!({"ordinals": {"start": 5}, "updateStrategy": {"rollingUpdate": {"partition": 1}}});
    stateful(&fx, "ledger", &spec).await;
    release(&fx, "ledger", "v2", Pods::Fast).await;
    wait(&fx, "ledger", updated(2)).await;
    // Held higher than what is updated: a template alone would leave the pod between as it is.
    fx.api().merge(&path(&fx, "ledger"), &json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 3}}}})).await.unwrap();
    wait(&fx, "ledger", updated(2)).await;

    let app = Start::new(rig, &ns).args(["-n", &ns, "ledger"]).run();
    // The way back is known once the revisions are.
    app.shows(&["WAITING", "partition 3: 2 of 3", "rev 1 → 2"]);
    one_write(rig, &ns, &app, press("a", &["Abort", "partition", "app:v1", "accepted"])).await;
    wait_versions(&fx, "ledger", ["v1", "v1", "v1"]).await;
    let set = wait(&fx, "ledger", |s| s["status"]["readyReplicas"] == 3).await;
    assert_eq!(set["spec"]["updateStrategy"]["rollingUpdate"]["partition"], 1);
    app.shows(&["HEALTHY"]);
}

#[tokio::test]
async fn undo_goes_to_the_revision_that_was_chosen() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("sts-undo").await;
    let fx = rig.fixtures(&ns);
    stateful(&fx, "ledger", &json!({})).await;
    for tag in ["v2", "v3"] {
        release(&fx, "ledger", tag, Pods::Fast).await;
        wait(&fx, "ledger", |s| updated(3)(s) && s["status"]["currentRevision"] == s["status"]["updateRevision"]).await;
    }
    let app = Start::new(rig, &ns).args(["-n", &ns, "ledger"]).run();
    app.shows(&["HEALTHY", "app:v3", "rev 3"]);
    app.press("u");
    app.shows(&["revision 2", "app:v2", "revision 1", "app:v1"]);
    one_write(rig, &ns, &app, press("\x1b[B\r", &["Undo", "app:v1", "accepted"])).await;
    wait_versions(&fx, "ledger", ["v1", "v1", "v1"]).await;
    // The controller knows its old revision again: undo made no new one.
    let revisions = fx.list(APPS, "controllerrevisions").await;
    assert_eq!(revisions.len(), 3, "{revisions:#?}");
    app.shows(&["HEALTHY", "app:v1"]);
}

/// Kubernetes issue 67250: the abort is not enough, and rolltop says so before, during and after.
#[tokio::test]
async fn a_broken_template_is_told_and_the_command_given() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("sts-stuck").await;
    let fx = rig.fixtures(&ns);
    stateful(&fx, "ledger", &json!({})).await;
    release(&fx, "ledger", "bad", Pods::ImagePull).await;
    let delete = format!("kubectl -n {ns} delete pod ledger-2");

    let app = Start::new(rig, &ns).args(["-n", &ns, "ledger"]).size(200, 50).run();
    app.shows(&["FAILING", "ledger-2", "going back takes two things", &delete, "rev 1 → 2"]);
    app.press("a");
    app.shows(&["Abort", "accepted", "nothing moves until the broken pod is deleted as well"]);
    app.confirm();
    wait(&fx, "ledger", |s| s["status"]["updateRevision"] == s["status"]["currentRevision"]).await;
    app.shows(&["STUCK", "blocked by pod ledger-2", &delete]);
    // It is as stuck as rolltop says: the real controller has had its time.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(versions(&fx, "ledger").await, ["v1", "v1", "bad"]);
    app.press("p");
    app.shows(&["a broken pod holds everything up", &delete]);
    app.escape();

    fx.api().delete(&format!("/api/v1/namespaces/{ns}/pods/ledger-2")).await.unwrap();
    wait_versions(&fx, "ledger", ["v1", "v1", "v1"]).await;
    app.shows(&["HEALTHY"]);
}

#[tokio::test]
async fn with_on_delete_a_promotion_names_the_pod_to_delete() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("sts-ondelete").await;
    let fx = rig.fixtures(&ns);
    stateful(&fx, "ledger", &json!({"updateStrategy": {"type": "OnDelete"}})).await;
    release(&fx, "ledger", "v2", Pods::Fast).await;
    wait(&fx, "ledger", |s| s["status"]["updateRevision"] != s["status"]["currentRevision"]).await;
    let app = Start::new(rig, &ns).args(["-n", &ns, "ledger"]).size(160, 45).run();
    app.shows(&["WAITING", "OnDelete: 0 of 3 pods are new"]);
    let mark = rig.audit().mark();
    app.press("p");
    app.shows(&["someone deletes them", &format!("kubectl -n {ns} delete pod ledger-2")]);
    app.escape();
    assert!(rig.audit().since(mark).namespace(&ns).by("oncall").writes().is_empty());

    // What it says is what helps, and the next is named.
    fx.api().delete(&format!("/api/v1/namespaces/{ns}/pods/ledger-2")).await.unwrap();
    wait(&fx, "ledger", updated(1)).await;
    app.shows(&["OnDelete: 1 of 3 pods are new", "delete pod ledger-1"]);
}

/// The roll is held by the number that is updated, and goes on from there.
#[tokio::test]
async fn pause_holds_what_is_updated_and_resume_lets_the_rest_through() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("sts-pause").await;
    let fx = rig.fixtures(&ns);
    stateful(&fx, "ledger", &json!({"updateStrategy": {"rollingUpdate": {"partition": 3}}})).await;
    release(&fx, "ledger", "v2", Pods::Never).await;
    wait(&fx, "ledger", |s| s["status"]["updateRevision"] != s["status"]["currentRevision"]).await;
    fx.api().merge(&path(&fx, "ledger"), &json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}})).await.unwrap();
    // The first one never gets ready: there is time to press a key.
    wait(&fx, "ledger", |s| s["status"]["updatedReplicas"] == 1).await;
    let app = Start::new(rig, &ns).args(["-n", &ns, "ledger"]).run();
    app.shows(&["PROGRESSING", "1 of 3 pods are new"]);
    one_write(rig, &ns, &app, press(" ", &["Pause", "partition", "accepted"])).await;
    let set = wait(&fx, "ledger", |_| true).await;
    assert_eq!(set["spec"]["updateStrategy"]["rollingUpdate"]["partition"], 2);
}
