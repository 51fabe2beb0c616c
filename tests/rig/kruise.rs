//! What only the real controller of OpenKruise's Rollouts does: batches of a StatefulSet, and a Rollout that is switched off.

use serde_json::{Value, json};

use crate::{
    cluster::{Fixtures, Rig, manifests::KruiseRollout, manifests::Pods, manifests::release},
    suite::app::Start,
};

fn waits_at(step: i64) -> impl Fn(&Value) -> bool {
    move |r| {
        let status = &r["status"]["canaryStatus"];
        status["currentStepIndex"] == step && status["currentStepState"] == "StepPaused" && r["status"]["phase"] == "Progressing"
    }
}

async fn release_set(fx: &Fixtures, tag: &str) {
    let path = format!("/apis/apps/v1/namespaces/{}/statefulsets/web", fx.namespace());
    fx.api().merge(&path, &release(tag, Pods::Fast)).await.unwrap();
}

/// Its template is in no ReplicaSet: the way back is named and not taken. With the annotation it takes the steps again, which
/// a Deployment does not.
#[tokio::test]
async fn a_stateful_set_is_promoted_by_batches_and_goes_back_by_them() {
    let Some(rig) = Rig::shared().await else { return };
    rig.kruise().await;
    let ns = rig.namespace("krs-sets").await;
    let fx = rig.fixtures(&ns);
    let steps = json!([{"replicas": 1, "pause": {}}, {"replicas": 2, "pause": {}}, {"replicas": "100%", "pause": {}}]);
    let options = KruiseRollout { kind: "StatefulSet", replicas: 3, steps, ..KruiseRollout::batches() };
    fx.kruise("web", options).await;
    let note = json!({"metadata": {"annotations": {"rollouts.kruise.io/rollback-in-batch": "true"}}});
    fx.patch_kruise("web", "", &note).await;
    let app = Start::new(rig, &ns).args(["-n", &ns, "web"]).run();
    app.shows(&["kruise", "HEALTHY"]);
    release_set(&fx, "v2").await;
    fx.wait_kruise("web", waits_at(1)).await;
    // The highest ordinal goes first.
    app.shows(&["step 1/3 waits for approval", "web-2", "all the steps again"]);
    app.press("a");
    app.shows(&["kubectl rollout undo statefulset/web", "nothing was sent"]);
    app.escape();
    let mark = rig.audit().mark();
    app.press("p");
    app.shows(&["Promote", "accepted"]);
    app.confirm();
    fx.wait_kruise("web", waits_at(2)).await;
    app.done();
    assert_eq!(rig.audit().since(mark).by("oncall").writes().namespace(&ns).len(), 1);
    app.shows(&["step 2/3 waits for approval"]);

    release_set(&fx, "v1").await;
    fx.wait_kruise("web", waits_at(1)).await;
    app.shows(&["step 1/3 waits for approval"]);
}

#[tokio::test]
async fn what_is_disabled_is_said_to_be_and_rolls_without_steps() {
    let Some(rig) = Rig::shared().await else { return };
    rig.kruise().await;
    let ns = rig.namespace("krs-off").await;
    let fx = rig.fixtures(&ns);
    fx.kruise("web", KruiseRollout::batches()).await;
    fx.patch_kruise("web", "", &json!({"spec": {"disabled": true}})).await;
    fx.wait_kruise("web", |r| r["status"]["phase"] == "Disabled").await;
    let app = Start::new(rig, &ns).args(["-n", &ns, "web"]).run();
    app.shows(&["disabled: releases roll without steps"]);
    app.press("p");
    app.shows(&["it is disabled", "nothing was sent"]);
    app.escape();
    app.press("i");
    app.shows(&["v1"]);
    app.press("\x7f2\r");
    app.shows(&["own strategy", "accepted"]);
    app.confirm();
    app.done();
    let begin = std::time::Instant::now();
    while fx.get("apps/v1", "deployments", "web").await["status"]["updatedReplicas"] != 4 {
        assert!(begin.elapsed().as_secs() < 60, "it does not roll");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
