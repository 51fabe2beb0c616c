//! Plain Deployments: a roll seen, held, taken back; images, restarts and numbers of pods.

use std::time::Duration;

use rolltop::{
    engine::deployment::DEPLOYMENT,
    intent::{Intent, Verb},
};
use serde_json::{Value, json};

use crate::{
    cluster::{Pods, Rig, fixtures::Fixtures},
    suite::{
        app::{App, Start},
        workloads::{
            APPS, Desk, autoscaler, carry_out, complete, deployment, edit, image, lost, patch, release, rolled_out, scale, until, version,
        },
    },
};

const CAUSE: &str = "kubernetes.io/change-cause";

/// A Deployment at rest.
async fn web(fx: &Fixtures, replicas: u32) {
    fx.apply(deployment("web", replicas, "v1", Pods::Fast)).await;
    rolled_out(fx, "web").await;
}

/// One whose new version never gets ready.
async fn halfway(fx: &Fixtures) -> Value {
    web(fx, 4).await;
    release(fx, "web", "v2", Pods::Never).await;
    until(fx, "web", |d| d["status"]["updatedReplicas"] == 2 && d["status"]["replicas"] == 5).await
}

fn open(rig: &Rig, ns: &str) -> App {
    Start::new(rig, ns).args(["-n", ns, "web"]).run()
}

/// The writes of the person in front of the screen so far: how many, and what the server said.
fn writes(rig: &Rig, ns: &str) -> Vec<u64> {
    rig.audit().all().namespace(ns).by("oncall").writes().iter().map(|e| e.code).collect()
}

#[tokio::test]
async fn a_roll_is_paused_midway_and_resumed_to_its_end() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("dpause").await;
    let fx = rig.fixtures(&ns);
    halfway(&fx).await;
    let app = open(rig, &ns);
    app.shows(&["deployment rolling", "PROGRESSING", "2 of 4 pods are new", "pods, +1 -1 of 4 at once"]);
    app.press(" ");
    app.shows(&["Pause", "now 2 new and 3 old pods", "accepted"]);
    app.confirm();
    until(&fx, "web", |d| d["spec"]["paused"] == true).await;
    app.shows(&["PAUSED", "2 new and 3 old pods serve"]);
    app.done();
    assert_eq!(writes(rig, &ns), [200], "one action, one write");

    // Paused, a fixed version waits for the end of the pause, and the screen says so.
    release(&fx, "web", "v3", Pods::Fast).await;
    app.shows(&["changes wait", "a resume rolls them out at once"]);
    app.press("p");
    app.shows(&["no steps to promote", "resume"]);
    app.escape();
    app.press("R");
    app.shows(&["a restart would wait"]);
    app.escape();
    app.press("a");
    app.shows(&["Drops the changes that wait", "accepted"]);
    app.escape();
    app.press(" ");
    app.shows(&["Resume", "accepted"]);
    app.confirm();
    let after = rolled_out(&fx, "web").await;
    assert!(after["spec"]["paused"].is_null() && image(&after).ends_with(":v3"));
    app.shows(&["HEALTHY", "rolled out"]);
    assert_eq!(writes(rig, &ns), [200, 200]);
}

/// Kubernetes has no abort: the version before is put back, in one write.
#[tokio::test]
async fn past_the_deadline_the_reason_shows_and_abort_rolls_back() {
    let Some(rig) = Rig::shared().await else { return };
    for (prefix, pods, reason) in [("dnever", Pods::Never, "not ready: app"), ("dpull", Pods::ImagePull, "ImagePull")] {
        let ns = rig.namespace(prefix).await;
        let fx = rig.fixtures(&ns);
        web(&fx, 3).await;
        edit(&fx, "web", &json!({"spec": {"progressDeadlineSeconds": 2}})).await;
        release(&fx, "web", "bad", pods).await;
        let app = open(rig, &ns);
        app.shows(&["FAILING", "no progress for 2 s", "does not roll back by itself", reason]);
        app.press("p");
        app.shows(&["nothing to promote", "abort"]);
        app.escape();
        app.press("a");
        app.shows(&["Abort", "Kubernetes has no abort", "accepted"]);
        app.confirm();
        let after = until(&fx, "web", |d| complete(d) && image(d).ends_with(":v1")).await;
        assert_eq!(after["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3", "an undo is a new revision");
        app.shows(&["HEALTHY"]);
        app.done();
        assert_eq!(app.journaled("effect").last().unwrap()["seen"], "done", "{:?}", app.journaled("effect"));
        assert_eq!(writes(rig, &ns), [200]);
    }
}

/// A broken version on top of a broken one: the way back is to the one that still serves.
#[tokio::test]
async fn abort_after_two_bad_versions_goes_to_the_one_users_have() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("dbad").await;
    let fx = rig.fixtures(&ns);
    halfway(&fx).await;
    // Paused, so that the controller takes no pod of the first broken one away: it has pods, and serves nobody.
    edit(&fx, "web", &json!({"spec": {"paused": true}})).await;
    release(&fx, "web", "v3", Pods::Never).await;
    let app = open(rig, &ns);
    app.shows(&["changes wait", "abort: drops the changes that wait"]);
    app.press("a");
    app.shows(&["Drops the changes that wait: revision 1", "app:v1", "accepted"]);
    app.confirm();
    until(&fx, "web", |d| complete(d) && image(d).ends_with(":v1")).await;
}

#[tokio::test]
async fn undo_offers_every_revision_with_its_images_and_change_cause() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("dundo").await;
    let fx = rig.fixtures(&ns);
    let cause = |text: &str| json!({"metadata": {"annotations": {CAUSE: text, "team": "shop"}}});
    let mut first = deployment("web", 2, "v1", Pods::Fast);
    json_patch::merge(&mut first, &cause("first release"));
    fx.apply(first).await;
    rolled_out(&fx, "web").await;
    for (tag, text) in [("v2", "the second"), ("v3", "the third")] {
        let mut change = crate::cluster::manifests::release(tag, Pods::Fast);
        change["metadata"] = cause(text)["metadata"].clone();
        edit(&fx, "web", &change).await;
        rolled_out(&fx, "web").await;
    }
    let app = open(rig, &ns);
    app.shows(&["HEALTHY", "undo to revision 2"]);
    app.press("u");
    app.shows(&["revision 2", "app:v2", "the second", "revision 1", "app:v1", "first release"]);
    app.press("\x1b[B\r");
    app.shows(&["Undo", "revision 1", "change cause", "accepted"]);
    app.confirm();
    let after = until(&fx, "web", |d| complete(d) && image(d).ends_with(":v1")).await;
    let notes = &after["metadata"]["annotations"];
    assert_eq!((&notes[CAUSE], &notes["team"]), (&json!("first release"), &json!("shop")), "others are left alone");
    assert!(after["spec"]["template"]["metadata"]["labels"]["pod-template-hash"].is_null());
    assert_eq!(fx.list(APPS, "replicasets").await.len(), 3, "the old ReplicaSet was found again");
    app.done();
    assert_eq!(writes(rig, &ns), [200]);
}

#[tokio::test]
async fn an_image_is_set_all_pods_restart_and_their_number_changes() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("dset").await;
    let fx = rig.fixtures(&ns);
    web(&fx, 2).await;
    let app = open(rig, &ns);
    app.shows(&["HEALTHY"]);
    app.press("i");
    app.shows(&["app:v1"]);
    app.press("\x7f2\r");
    app.shows(&["v2", "pod after pod", "accepted"]);
    app.confirm();
    until(&fx, "web", |d| complete(d) && image(d).ends_with(":v2")).await;
    app.done();

    app.press("R");
    app.shows(&["Restart", "a new revision with the same images", "accepted"]);
    app.confirm();
    let restarted = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt";
    until(&fx, "web", |d| complete(d) && d.pointer(restarted).is_some()).await;
    app.done();

    app.press(":scale workload\r");
    app.shows(&["to how many pods"]);
    app.press("\x7f5\r");
    app.shows(&["Scale", "from 2 to 5 pods", "accepted"]);
    app.confirm();
    until(&fx, "web", |d| complete(d) && d["status"]["availableReplicas"] == 5).await;
    app.done();
    assert_eq!(writes(rig, &ns), [200, 200, 200]);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_nothing_is_written() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("dno").await;
    let fx = rig.fixtures(&ns);
    web(&fx, 2).await;
    let before = fx.get(APPS, "deployments", "web").await;
    let app = open(rig, &ns);
    app.shows(&["HEALTHY"]);
    for (key, reason) in [
        ("p", "nothing is in flight"),
        ("P", "nothing is in flight"),
        ("a", "nothing is in flight that could be aborted"),
        ("u", "there is no earlier revision kept to go back to"),
        ("r", "nothing was aborted"),
        ("f", "no switch between two sides"),
        ("x", "there is one side only"),
        ("w", "no router"),
    ] {
        app.press(key);
        app.shows(&[reason]);
        app.escape();
        app.loses(&[reason]);
    }
    assert!(writes(rig, &ns).is_empty());
    assert_eq!(version(&fx.get(APPS, "deployments", "web").await), version(&before));
}

/// Every action, on what a server really holds: lost when somebody else acts first, and good for one time only.
#[tokio::test]
async fn every_write_holds_for_what_was_looked_at_and_once() {
    let Some(rig) = Rig::shared().await else { return };
    let image = |tag: &str| Intent::SetImage { container: "app".into(), image: format!("registry.example.test/app:{tag}").into() };
    let another_template = json!({"spec": {"template": {"metadata": {"annotations": {"by": "somebody else"}}}}});
    let paused = json!({"spec": {"paused": true}});
    let resumed = json!({"spec": {"paused": null}});
    for (prefix, first, intent, meanwhile) in [
        ("wpause", None, Intent::Pause, &another_template),
        ("wresume", Some(&paused), Intent::Resume, &another_template),
        ("wabort", None, Intent::Abort, &paused),
        ("wundo", Some(&paused), Intent::Undo { to: None }, &resumed),
        ("wrestart", None, Intent::Restart, &another_template),
        ("wimage", None, image("v9"), &another_template),
        ("wscale", None, Intent::Scale { replicas: 6 }, &json!({"spec": {"replicas": 3}})),
    ] {
        let ns = rig.namespace(prefix).await;
        let fx = rig.fixtures(&ns);
        halfway(&fx).await;
        if let Some(first) = first {
            edit(&fx, "web", first).await;
            until(&fx, "web", |d| d["status"]["observedGeneration"] == d["metadata"]["generation"]).await;
        }
        let lines = Desk::read(&fx, &DEPLOYMENT, "web").await.plan(&intent).unwrap_or_else(|r| panic!("{intent:?}: {r:?}"));
        assert_eq!(lines.writes.len(), 1, "{intent:?}");
        edit(&fx, "web", meanwhile).await;
        let settled = |d: &Value| d["status"]["observedGeneration"] == d["metadata"]["generation"];
        let before = until(&fx, "web", settled).await;
        lost(carry_out(&fx, &lines).await);
        assert_eq!(fx.get(APPS, "deployments", "web").await["spec"], before["spec"], "{intent:?}");

        // Looked at anew it is possible again, or the engine says why not; and what was sent once is not sent twice.
        let anew = Desk::read(&fx, &DEPLOYMENT, "web").await;
        let plan = anew.plan(&intent).unwrap_or_else(|r| panic!("{intent:?} again: {r:?}"));
        carry_out(&fx, &plan).await.unwrap_or_else(|e| panic!("{intent:?}: {e}"));
        lost(carry_out(&fx, &plan).await);
    }
}

/// The number of pods changes all the time where an autoscaler is at work: it must not take the brake away.
#[tokio::test]
async fn an_autoscaler_does_not_move_the_ground_under_a_card() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("dhpa").await;
    let fx = rig.fixtures(&ns);
    fx.apply(autoscaler("web-hpa", "web", 2, 10)).await;
    halfway(&fx).await;
    for intent in [Intent::Pause, Intent::Abort, Intent::Restart] {
        let plan = Desk::read(&fx, &DEPLOYMENT, "web").await.plan(&intent).unwrap();
        let now = fx.get(APPS, "deployments", "web").await["spec"]["replicas"].as_u64().unwrap();
        scale(&fx, "web", u32::try_from(now).unwrap() + 1).await;
        // As it stands on the server, and at once: the controller may not have looked yet.
        Desk::read(&fx, &DEPLOYMENT, "web").await.plan(&intent).unwrap_or_else(|r| panic!("{intent:?}: {r:?}"));
        if intent.verb() != Verb::Restart {
            continue;
        }
        carry_out(&fx, &plan).await.unwrap_or_else(|e| panic!("{intent:?}: {e}"));
    }

    let app = open(rig, &ns);
    app.shows(&["HPA web-hpa (2 to 10 pods) sets the number of pods"]);
    app.press(" ");
    app.shows(&["Pause", "accepted"]);
    scale(&fx, "web", 9).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(!app.term.screen().contains("it moved"), "{}", app.term.screen());
    app.confirm();
    until(&fx, "web", |d| d["spec"]["paused"] == true && d["spec"]["replicas"] == 9).await;
    app.done();
    app.press(":scale workload\r");
    app.shows(&["to how many pods"]);
    app.press("\x7f12\r");
    app.shows(&["Scale", "it takes this", "back to 10", "accepted"]);
    app.escape();
    assert_eq!(writes(rig, &ns), [200]);
}

/// A quota stands in the way: the controller's own words, and nothing that would end by itself.
#[tokio::test]
async fn pods_that_a_quota_forbids_are_stuck() {
    // The embedded cluster knows no quotas.
    if env!("CARGO_CRATE_NAME") == "embedded" {
        return;
    }
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("dquota").await;
    let fx = rig.fixtures(&ns);
    web(&fx, 2).await;
    let mut quota = crate::cluster::manifests::object("v1", "ResourceQuota", "pods");
    quota["spec"] = json!({"hard": {"pods": "2"}});
    fx.apply(quota).await;
    // No controller counts here: the admission goes by what the status says.
    let counted = json!({"status": {"hard": {"pods": "2"}, "used": {"pods": "2"}}});
    patch(&fx, "v1", "resourcequotas", "pods/status", &counted).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    release(&fx, "web", "v2", Pods::Fast).await;
    let app = open(rig, &ns);
    app.shows(&["STUCK", "pods cannot be created", "exceeded quota"]);
    app.press("a");
    app.shows(&["Abort", "accepted"]);
    app.confirm();
    until(&fx, "web", |d| complete(d) && image(d).ends_with(":v1")).await;
    app.shows(&["HEALTHY"]);
}

/// Two people, one broken roll.
#[tokio::test]
async fn of_two_people_one_aborts() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("dtwo").await;
    let fx = rig.fixtures(&ns);
    halfway(&fx).await;
    let (ana, bob) = (open(rig, &ns), open(rig, &ns));
    for app in [&ana, &bob] {
        app.shows(&["PROGRESSING", "abort: undo to revision 1"]);
        app.press("a");
    }
    for app in [&ana, &bob] {
        app.shows(&["Abort", "accepted"]);
    }
    std::thread::sleep(Duration::from_millis(700));
    ana.press("y");
    bob.press("y");
    let after = until(&fx, "web", |d| complete(d) && image(d).ends_with(":v1")).await;
    assert_eq!(after["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
    assert_eq!(writes(rig, &ns).iter().filter(|code| **code == 200).count(), 1);
}

#[tokio::test]
async fn recreate_says_what_users_get() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("drecreate").await;
    let fx = rig.fixtures(&ns);
    let mut all_at_once = deployment("web", 2, "v1", Pods::Fast);
    all_at_once["spec"]["strategy"] = json!({"type": "Recreate"});
    fx.apply(all_at_once).await;
    rolled_out(&fx, "web").await;
    let app = open(rig, &ns);
    app.shows(&["strategy Recreate", "users get nothing"]);
    app.press("R");
    app.shows(&["users get nothing meanwhile", "override"]);
    std::thread::sleep(Duration::from_millis(700));
    app.press("y");
    std::thread::sleep(Duration::from_millis(500));
    assert!(writes(rig, &ns).is_empty(), "y alone is not enough");
    app.escape();
}
