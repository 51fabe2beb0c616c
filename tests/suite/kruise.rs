//! Rollouts of OpenKruise: begun, approved, held, jumped through and taken back with the keys of everybody else.
//!
//! A step with a router takes ten seconds, so that each test walks one release through as much as it can.

use serde_json::{Value, json};

use crate::{
    cluster::{
        Fixtures, Identity, Rig,
        audit::Entry,
        manifests::{KruiseRollout, Pods},
    },
    suite::app::{App, PATIENCE, Start},
};

/// The rig with OpenKruise's controller on it, and a namespace of one's own. `None`: nothing to test here.
async fn stage(name: &str) -> Option<(&'static Rig, String, Fixtures)> {
    let rig = Rig::shared().await?;
    if !rig.kruise().await {
        return None;
    }
    let ns = rig.namespace(name).await;
    let fx = rig.fixtures(&ns);
    Some((rig, ns, fx))
}

/// Where a release stands; both strategies have the same there.
fn at(rollout: &Value) -> (i64, &str) {
    let status = &rollout["status"];
    let of = [&status["canaryStatus"], &status["blueGreenStatus"]].into_iter().find(|s| s.is_object()).unwrap_or(status);
    (of["currentStepIndex"].as_i64().unwrap_or(0), of["currentStepState"].as_str().unwrap_or_default())
}

fn waits_at(step: i64) -> impl Fn(&Value) -> bool {
    move |rollout| at(rollout) == (step, "StepPaused") && progressing(rollout) == "InRolling"
}

fn condition<'a>(rollout: &'a Value, kind: &str, field: &str) -> &'a str {
    let all = rollout["status"]["conditions"].as_array();
    all.into_iter().flatten().find(|c| c["type"] == kind).and_then(|c| c[field].as_str()).unwrap_or_default()
}

fn progressing(rollout: &Value) -> &str {
    condition(rollout, "Progressing", "reason")
}

/// At rest, with the last release completed (`True`) or taken back (`False`).
fn ended(succeeded: &'static str) -> impl Fn(&Value) -> bool {
    move |rollout| rollout["status"]["phase"] == "Healthy" && condition(rollout, "Succeeded", "status") == succeeded
}

/// The versions of all pods there are, sorted.
async fn versions(fx: &Fixtures) -> Vec<String> {
    let pods = fx.pods("web").await;
    let there = pods.iter().filter(|p| p["metadata"]["deletionTimestamp"].is_null());
    let image = |p: &Value| p["spec"]["containers"][0]["image"].as_str().and_then(|i| i.rsplit(':').next()).unwrap_or_default().to_owned();
    let mut all: Vec<String> = there.map(image).collect();
    all.sort();
    all
}

/// Waits for these pods and no other: what was given up still has to go.
async fn wait_versions<const N: usize>(fx: &Fixtures, wanted: [&str; N]) {
    let begin = std::time::Instant::now();
    while versions(fx).await != wanted {
        assert!(begin.elapsed() < PATIENCE, "{:?} instead of {wanted:?}", versions(fx).await);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

async fn weight(fx: &Fixtures) -> Option<u32> {
    let ingress = fx.get("networking.k8s.io/v1", "ingresses", "web-canary").await;
    ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"].as_str()?.parse().ok()
}

/// rolltop on the only rollout of the namespace.
fn open(rig: &Rig, ns: &str) -> App {
    let app = Start::new(rig, ns).who(Identity::Oncall).run();
    app.shows(&["1 steady", "kruise"]);
    app.press("\r");
    app.shows(&["kruise", "Traffic"]);
    app
}

/// Presses, confirms, waits until it is seen: the requests it took, as resource and subresource.
async fn act(rig: &Rig, fx: &Fixtures, app: &App, key: &str, words: &[&str], seen: impl Fn(&Value) -> bool) -> Vec<(String, String)> {
    let mark = rig.audit().mark();
    app.press(key);
    if app.shows(words).contains("o to override") {
        std::thread::sleep(std::time::Duration::from_millis(700));
        app.press("o");
        app.loses(&["o to override"]);
    }
    app.confirm();
    fx.wait_kruise("web", seen).await;
    app.done();
    let writes = rig.audit().since(mark).by("oncall").writes().namespace(fx.namespace());
    let good: Vec<&Entry> = writes.0.iter().filter(|w| w.code == 200).collect();
    assert_eq!(good.len(), writes.len(), "{writes:?}");
    good.into_iter().map(|w| (w.resource.clone(), w.subresource.clone())).collect()
}

fn one(resource: &str, part: &str) -> Vec<(String, String)> {
    vec![(resource.into(), part.into())]
}

/// Asks for what makes no sense here: the answer says why, and nothing is sent.
fn refused(rig: &Rig, ns: &str, app: &App, key: &str, words: &[&str]) {
    let mark = rig.audit().mark();
    app.press(key);
    app.shows(&[words, &["nothing was sent"]].concat());
    app.escape();
    assert!(rig.audit().since(mark).by("oncall").writes().namespace(ns).is_empty());
}

#[tokio::test]
async fn a_canary_is_begun_approved_held_and_promoted_all_the_way() {
    let Some((rig, ns, fx)) = stage("krs-steps").await else { return };
    fx.kruise("web", KruiseRollout::canary()).await;
    let app = open(rig, &ns);
    app.shows(&["HEALTHY", "app:v1"]);
    refused(rig, &ns, &app, "p", &["nothing is in flight"]);

    app.press("i");
    app.shows(&["v1"]);
    let begun = act(rig, &fx, &app, "\x7f2\r", &["v2", "4 steps", "accepted"], |r| r["status"]["phase"] == "Progressing").await;
    assert_eq!(begun, one("deployments", ""));
    fx.wait_kruise("web", waits_at(1)).await;
    app.shows(&["WAITING", "step 1/4 waits for approval", "20%"]);
    assert_eq!(weight(&fx).await, Some(20));
    assert_eq!(versions(&fx).await, ["v1", "v1", "v1", "v1", "v2"]);

    assert_eq!(act(rig, &fx, &app, "p", &["Promote", "step 1 of 4", "accepted"], |r| at(r).0 == 2).await, one("rollouts", "status"));
    refused(rig, &ns, &app, "p", &["the step is still in progress"]);
    fx.wait_kruise("web", waits_at(2)).await;
    app.shows(&["step 2/4 waits for approval", "40%"]);
    assert_eq!(weight(&fx).await, Some(40));

    let paused = act(rig, &fx, &app, " ", &["Pause", "accepted"], |r| progressing(r) == "Paused").await;
    assert_eq!(paused, one("rollouts", ""));
    app.shows(&["PAUSED", "paused at step 2/4"]);
    refused(rig, &ns, &app, "p", &["the controller looks at no step"]);
    let stood = fx.kruise_object("web").await["status"].clone();
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    assert_eq!(fx.kruise_object("web").await["status"], stood, "what is paused stands still");
    assert_eq!(act(rig, &fx, &app, " ", &["Resume", "accepted"], waits_at(2)).await, one("rollouts", ""));

    app.shows(&["WAITING", "step 2/4"]);
    // The third step is left out; the last one has all pods and asks nobody.
    let all = act(rig, &fx, &app, "P", &["Promote all the way", "step 4 of 4", "accepted"], |r| at(r).0 == 4).await;
    assert_eq!(all, one("rollouts", "status"));
    fx.wait_kruise("web", ended("True")).await;
    app.shows(&["HEALTHY", "app:v2"]);
    assert_eq!(weight(&fx).await, None);
    wait_versions(&fx, ["v2"; 4]).await;
}

/// OpenKruise looks at the workload only while the Rollout is not paused: the pause must end, and after the template.
#[tokio::test]
async fn an_abort_puts_the_old_version_back_even_while_it_is_paused() {
    let Some((rig, ns, fx)) = stage("krs-abort").await else { return };
    fx.kruise("web", KruiseRollout::canary()).await;
    let app = open(rig, &ns);
    fx.release_deployment("web", "v2", Pods::Fast).await;
    fx.wait_kruise("web", waits_at(1)).await;
    app.shows(&["WAITING", "step 1/4"]);
    let words = ["Abort", "app:v1", "rollback", "accepted"];
    let writes = act(rig, &fx, &app, "a", &words, ended("False")).await;
    assert_eq!(writes, one("deployments", ""));
    app.shows(&["HEALTHY", "rolled back", "app:v1"]);
    assert_eq!(weight(&fx).await, None);
    wait_versions(&fx, ["v1"; 4]).await;

    fx.release_deployment("web", "v3", Pods::Fast).await;
    fx.wait_kruise("web", waits_at(1)).await;
    fx.patch_kruise("web", "", &json!({"spec": {"strategy": {"paused": true}}})).await;
    app.shows(&["PAUSED"]);
    let writes = act(rig, &fx, &app, "a", &["Abort", "strategy.paused", "the pause ends", "accepted"], ended("False")).await;
    let both = [one("deployments", ""), one("rollouts", "")].concat();
    assert_eq!(writes, both, "the pause goes last");
    wait_versions(&fx, ["v1"; 4]).await;
}

/// Users see nothing of the new version until the last step; a release of blue-green takes no other in between.
#[tokio::test]
async fn a_blue_green_release_has_all_pods_before_any_user() {
    let Some((rig, ns, fx)) = stage("krs-blue").await else { return };
    fx.kruise("web", KruiseRollout::blue_green()).await;
    let app = open(rig, &ns);
    fx.release_deployment("web", "v2", Pods::Fast).await;
    fx.wait_kruise("web", waits_at(1)).await;
    app.shows(&["WAITING", "step 1/2 waits for approval", "0%"]);
    assert_eq!(versions(&fx).await, ["v1", "v1", "v2", "v2"]);
    app.press("i");
    app.shows(&["v2"]);
    refused(rig, &ns, &app, "\x7f3\r", &["takes no other version", "abort first"]);
    assert_eq!(act(rig, &fx, &app, "p", &["Promote", "step 1 of 2", "accepted"], |r| at(r).0 == 2).await, one("rollouts", "status"));
    fx.wait_kruise("web", waits_at(2)).await;
    app.shows(&["step 2/2 waits for approval", "100%"]);
    assert_eq!(weight(&fx).await, Some(100));
    act(rig, &fx, &app, "p", &["Promote", "becomes the stable one", "accepted"], ended("True")).await;
    app.shows(&["HEALTHY", "app:v2"]);
    wait_versions(&fx, ["v2", "v2"]).await;
}

/// Without a router: new pods take the places of old ones, a step may end by itself, and a person may be faster.
#[tokio::test]
async fn batches_go_on_by_the_clock_or_by_a_person() {
    let Some((rig, ns, fx)) = stage("krs-batches").await else { return };
    fx.kruise("web", KruiseRollout::batches()).await;
    let app = open(rig, &ns);
    fx.release_deployment("web", "v2", Pods::Fast).await;
    fx.wait_kruise("web", waits_at(1)).await;
    app.shows(&["WAITING", "step 1/3 waits for approval"]);
    assert_eq!(versions(&fx).await, ["v1", "v1", "v1", "v2"]);
    act(rig, &fx, &app, "p", &["Promote", "accepted"], waits_at(2)).await;
    app.shows(&["PAUSED", "step 2/3 pauses"]);
    assert_eq!(versions(&fx).await, ["v1", "v1", "v2", "v2"]);
    act(rig, &fx, &app, "p", &["Promote", "before its time", "accepted"], |r| at(r).0 == 3).await;
    fx.wait_kruise("web", ended("True")).await;
    app.shows(&["HEALTHY", "app:v2"]);
    wait_versions(&fx, ["v2"; 4]).await;

    // The other way: begun anew, and taken back with two new pods among the old ones.
    fx.release_deployment("web", "v3", Pods::Fast).await;
    fx.wait_kruise("web", waits_at(1)).await;
    app.shows(&["v2 → v3", "step 1/3 waits for approval"]);
    act(rig, &fx, &app, "p", &["Promote", "accepted"], waits_at(2)).await;
    app.shows(&["step 2/3 pauses"]);
    assert_eq!(act(rig, &fx, &app, "a", &["Abort", "app:v2", "accepted"], ended("False")).await, one("deployments", ""));
    wait_versions(&fx, ["v2"; 4]).await;
}

/// The trap is real: the plain patch of OpenKruise's own kubectl plugin, sent a moment later by a second person, leaves the
/// next step before it has begun. rolltop's holds for the step that was looked at.
#[tokio::test]
async fn two_people_on_one_step_leave_one_step() {
    let Some((rig, ns, fx)) = stage("krs-two").await else { return };
    fx.kruise("web", KruiseRollout::canary()).await;
    fx.release_deployment("web", "v2", Pods::Fast).await;
    fx.wait_kruise("web", waits_at(1)).await;
    let start = || Start::new(rig, &ns).args(["-n", &ns, "web"]).run();
    let (ana, bob) = (start(), start());
    let mark = rig.audit().mark();
    for app in [&ana, &bob] {
        app.shows(&["step 1/4 waits for approval"]);
        app.press("p");
    }
    for app in [&ana, &bob] {
        app.shows(&["Promote", "accepted"]);
    }
    std::thread::sleep(std::time::Duration::from_millis(700));
    ana.press("y");
    bob.press("y");
    fx.wait_kruise("web", |r| at(r).0 > 1).await;
    let rollout = fx.wait_kruise("web", |r| at(r).1 == "StepPaused").await;
    assert_eq!(at(&rollout).0, 2, "one step left, not two");
    let good = rig.audit().since(mark).namespace(&ns).by("oncall").writes().only(|e| e.code == 200);
    assert_eq!(good.len(), 1, "{good:?}");
    drop((ana, bob));

    let plain = json!({"status": {"canaryStatus": {"currentStepState": "StepReady"}}});
    fx.patch_kruise("web", "/status", &plain).await;
    fx.wait_kruise("web", |r| at(r).0 == 3 && at(r).1 == "StepUpgrade").await;
    fx.patch_kruise("web", "/status", &plain).await;
    fx.wait_kruise("web", |r| at(r).0 == 4).await;
}
