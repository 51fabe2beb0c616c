//! Canaries of Flagger's: seen through to the end, steered by hand, and let through where a gate holds them.
//!
//! A tick takes ten seconds, so that each test walks one Canary through as much as it can.

use serde_json::{Value, json};

use crate::{
    cluster::{
        Fixtures, Identity, Pods, Profile, Rig,
        audit::{Entry, Mark},
        manifests::FlaggerCanary,
    },
    suite::app::{App, PATIENCE, Start},
};

/// The rig with Flagger on it, and a namespace of one's own. `None`: nothing to test here.
async fn stage(name: &str) -> Option<(&'static Rig, String, Fixtures)> {
    let rig = Rig::shared().await?;
    if !rig.flagger().await {
        return None;
    }
    let ns = rig.namespace(name).await;
    let fx = rig.fixtures(&ns);
    Some((rig, ns, fx))
}

async fn initialized(fx: &Fixtures, name: &str, options: FlaggerCanary) {
    fx.flagger_canary(name, options).await;
    fx.wait_canary_phase(name, "Initialized").await;
}

/// Weight on the canary Ingress that Flagger makes.
async fn weight(fx: &Fixtures, name: &str) -> Option<u32> {
    let ingress = fx.get("networking.k8s.io/v1", "ingresses", &format!("{name}-canary")).await;
    ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"].as_str()?.parse().ok()
}

async fn primary_image(fx: &Fixtures, name: &str) -> String {
    let primary = fx.get("apps/v1", "deployments", &format!("{name}-primary")).await;
    primary["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned()
}

/// What `act` makes the on-call write: exactly one request, which it returns.
async fn one_write(rig: &Rig, ns: &str, act: impl AsyncFnOnce()) -> Entry {
    let mark = rig.audit().mark();
    act().await;
    let writes = rig.audit().since(mark).by("oncall").writes().namespace(ns);
    assert_eq!(writes.len(), 1, "one action, one write: {writes:?}");
    writes.0[0].clone()
}

/// Gates this user has opened since. Their server lies elsewhere, and its log names no Canary.
fn opened(rig: &Rig, mark: Mark, who: Identity) -> Vec<Entry> {
    let gate = |entry: &Entry| entry.subresource == "proxy" && entry.uri.ends_with("/gate/open") && entry.code == 202;
    rig.audit().since(mark).by(who.user()).writes().only(gate).0
}

/// What failed is not begun again by a mere yes.
fn override_it(app: &App) {
    std::thread::sleep(std::time::Duration::from_millis(700));
    app.press("o");
    app.loses(&["o to override"]);
}

/// rolltop on the only rollout of the namespace.
fn open(rig: &Rig, ns: &str, who: Identity) -> App {
    let app = Start::new(rig, ns).who(who).run();
    // The Deployments come first, and are taken for rollouts until their Canary is known.
    app.shows(&["1 steady", "flagger"]);
    app.press("\r");
    app.shows(&["flagger", "Traffic", "Analysis"]);
    app
}

fn phase(canary: &Value) -> &str {
    canary["status"]["phase"].as_str().unwrap_or_default()
}

fn suspended(canary: &Value) -> bool {
    canary["spec"]["suspend"] == true
}

#[tokio::test]
async fn a_canary_steps_through_its_weights_and_is_promoted() {
    let Some((rig, ns, fx)) = stage("flg-steps").await else { return };
    initialized(&fx, "web", FlaggerCanary::nginx()).await;
    let app = open(rig, &ns, Identity::Oncall);
    app.shows(&["HEALTHY"]);
    fx.release_deployment("web", "v2", Pods::Fast).await;
    app.shows(&["PROGRESSING", "weight 20 %", "weight 40 %"]);
    fx.wait_canary("web", |c| c["status"]["canaryWeight"] == 20).await;
    app.shows(&["20%"]);
    fx.wait_canary("web", |c| c["status"]["canaryWeight"] == 40 || phase(c) == "Promoting").await;
    fx.wait_canary_phase("web", "Succeeded").await;
    app.shows(&["HEALTHY"]);
    assert!(primary_image(&fx, "web").await.ends_with(":v2"));
    assert_eq!(weight(&fx, "web").await, Some(0));
}

#[tokio::test]
async fn failed_checks_roll_back_and_a_retry_is_analysed_again() {
    let Some((rig, ns, fx)) = stage("flg-fails").await else { return };
    let nobody = rig.namespace("flg-idle").await;
    let idle = rig.fixtures(&nobody);
    let strict = json!({"threshold": 2});
    rig.traffic().set(&format!("{ns}/web"), "v2", Profile::failing(0.5));
    rig.traffic().rps(&format!("{nobody}/idle"), 0.0);
    idle.flagger_canary("idle", FlaggerCanary::nginx().analysis(&strict)).await;
    initialized(&fx, "web", FlaggerCanary::nginx().analysis(&strict)).await;
    idle.wait_canary_phase("idle", "Initialized").await;
    let app = open(rig, &ns, Identity::Oncall);
    let unseen = open(rig, &nobody, Identity::Viewer);
    idle.release_deployment("idle", "v2", Pods::Fast).await;
    fx.release_deployment("web", "v2", Pods::Fast).await;

    fx.wait_canary_phase("web", "Failed").await;
    app.shows(&["ABORTED", "ABORT advised", "failed checks threshold reached"]);
    assert_eq!(weight(&fx, "web").await, Some(0));
    // Without a single request there is nothing to check: counted as failed, and told apart.
    idle.wait_canary_phase("idle", "Failed").await;
    unseen.shows(&["ABORTED", "Halt advancement no values"]);
    drop(unseen);

    // What failed can be analysed again, and passes when it has been repaired elsewhere.
    rig.traffic().set(&format!("{ns}/web"), "v2", Profile::default());
    let write = one_write(rig, &ns, async || {
        app.press("r");
        app.shows(&["Retry", "accepted", "o to override"]);
        override_it(&app);
        app.confirm();
        fx.wait_canary_phase("web", "Progressing").await;
    });
    assert_eq!(write.await.resource, "deployments");
    app.done();
    fx.wait_canary_phase("web", "Succeeded").await;
    app.shows(&["HEALTHY"]);
}

/// Presses what lets it pass, and confirms.
async fn promote(rig: &Rig, ns: &str, app: &App) {
    let mark = rig.audit().mark();
    app.press("p");
    app.shows(&["Promote", "Opens gate", "accepted", "create services/proxy"]);
    app.confirm();
    app.done();
    let opened = opened(rig, mark, Identity::Oncall);
    assert_eq!(opened.len(), 1, "one action, one request: {opened:?}");
    assert!(opened[0].uri.ends_with("/namespaces/test/services/http:flagger-loadtester:80/proxy/gate/open"), "{opened:?}");
    assert!(rig.audit().since(mark).by("oncall").writes().namespace(ns).is_empty());
}

#[tokio::test]
async fn gates_are_opened_through_the_api_server() {
    let Some((rig, ns, fx)) = stage("flg-gates").await else { return };
    let options = FlaggerCanary::nginx().gates(["confirm-rollout", "confirm-promotion"]).analysis(&json!({"maxWeight": 20}));
    initialized(&fx, "web", options).await;
    let viewer = open(rig, &ns, Identity::Viewer);
    let app = open(rig, &ns, Identity::Oncall);
    fx.release_deployment("web", "v2", Pods::Fast).await;
    fx.wait_canary_phase("web", "Waiting").await;

    // Who may only look is told what is missing.
    viewer.shows(&["WAITING"]);
    viewer.press("p");
    viewer.shows(&["create services/proxy in test"]);
    drop(viewer);
    assert!(!fx.gate_is_open("web").await);

    app.shows(&["WAITING", "gate confirm-rollout is closed"]);
    promote(rig, &ns, &app).await;
    // Both hooks ask the same gate.
    fx.gate("web", "close").await;
    fx.wait_canary_phase("web", "WaitingPromotion").await;
    app.shows(&["gate confirm-promotion is closed"]);
    // The status says 0 now; the route still sends users there.
    assert_eq!((fx.canary_object("web").await["status"]["canaryWeight"].as_u64(), weight(&fx, "web").await), (Some(0), Some(20)));
    app.shows(&["20%"]);
    assert!(primary_image(&fx, "web").await.ends_with(":v1"));
    promote(rig, &ns, &app).await;
    fx.wait_canary_phase("web", "Succeeded").await;
    assert!(primary_image(&fx, "web").await.ends_with(":v2"));
    let attempts = app.journaled("attempt");
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0]["writes"][0]["call"]["path"], "gate/open");
    assert_eq!(attempts[0]["writes"][0]["call"]["body"], json!({"name": "web", "namespace": ns}));
}

/// Waits until Flagger has found the traffic gate closed once more; its next look is ten seconds away.
async fn after_a_tick(fx: &Fixtures) {
    let looks = async || {
        let events = fx.list("v1", "events").await;
        let halts = events.iter().filter(|e| e["message"].as_str().is_some_and(|m| m.contains("traffic increase approval")));
        halts.map(|e| e["count"].as_u64().unwrap_or(1)).sum::<u64>()
    };
    let (before, until) = (looks().await, std::time::Instant::now() + PATIENCE);
    while looks().await == before {
        assert!(std::time::Instant::now() < until, "Flagger looks no more");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_closed_traffic_gate_is_known_by_its_event_alone() {
    let Some((rig, ns, fx)) = stage("flg-traffic").await else { return };
    initialized(&fx, "web", FlaggerCanary::nginx().gates(["confirm-traffic-increase"])).await;
    // Nobody else opens gates as this user, once the test itself has.
    let app = open(rig, &ns, Identity::Admin);
    fx.release_deployment("web", "v2", Pods::Fast).await;
    app.shows(&["WAITING", "gate confirm-traffic-increase is closed"]);
    assert_eq!((phase(&fx.canary_object("web").await), weight(&fx, "web").await), ("Progressing", Some(0)));
    // Opened by somebody else while the card is up: there is nothing left to do. Flagger must not look meanwhile.
    after_a_tick(&fx).await;
    app.press("p");
    app.shows(&["Promote", "Opens gate", "accepted"]);
    fx.gate("web", "open").await;
    let mark = rig.audit().mark();
    std::thread::sleep(std::time::Duration::from_millis(700));
    app.press("y");
    app.shows(&["Nothing was changed", "open already"]);
    assert!(opened(rig, mark, Identity::Admin).is_empty());
    fx.wait_canary("web", |c| c["status"]["canaryWeight"] == 20).await;
    fx.patch_canary("web", &json!({"spec": {"suspend": true}})).await;
}

#[tokio::test]
async fn pause_resume_abort_retry_and_promote_full_are_one_write_each() {
    let Some((rig, ns, fx)) = stage("flg-hand").await else { return };
    // Long enough to be interrupted.
    initialized(&fx, "web", FlaggerCanary::blue_green().analysis(&json!({"iterations": 20}))).await;
    let app = open(rig, &ns, Identity::Oncall);
    app.shows(&["HEALTHY"]);
    let act = async |key: &str, words: &[&str], seen: &dyn Fn(&Value) -> bool| {
        let write = one_write(rig, &ns, async || {
            app.press(key);
            if app.shows(words).contains("o to override") {
                override_it(&app);
            }
            app.confirm();
            fx.wait_canary("web", seen).await;
        });
        let write = write.await;
        app.done();
        (write.resource, write.subresource)
    };
    let canary = ("canaries".to_owned(), String::new());

    // The prompt holds the present image: change its tag. It asks for what has been read by then.
    app.shows(&["app:v1"]);
    app.press("i");
    app.shows(&["v1"]);
    let begun = act("\x7f2\r", &["v2", "accepted"], &|c| phase(c) == "Progressing").await;
    assert_eq!(begun, ("deployments".to_owned(), String::new()));

    assert_eq!(act(" ", &["Pause", "accepted"], &suspended).await, canary);
    app.shows(&["PAUSED", "suspended"]);
    let stood = fx.canary_object("web").await["status"].clone();
    tokio::time::sleep(std::time::Duration::from_secs(12)).await;
    assert_eq!(fx.canary_object("web").await["status"], stood, "a suspended canary stands still");
    assert_eq!(act(" ", &["Resume", "accepted"], &|c| !suspended(c)).await, canary);

    fx.wait_canary("web", |c| c["status"]["iterations"].as_i64() >= Some(1)).await;
    let aborted = act("a", &["Abort", "accepted"], &|c| phase(c) == "Failed").await;
    assert_eq!(aborted, ("canaries".to_owned(), "status".to_owned()));
    app.shows(&["ABORTED"]);
    assert!(primary_image(&fx, "web").await.ends_with(":v1"));

    act("r", &["Retry", "accepted"], &|c| phase(c) == "Progressing").await;
    fx.wait_canary("web", |c| c["status"]["iterations"].as_i64() >= Some(1)).await;
    assert_eq!(act("P", &["Promote all the way", "accepted"], &|c| phase(c) == "Succeeded").await, canary);
    assert!(primary_image(&fx, "web").await.ends_with(":v2"));
    // What it leaves behind is seen, and taken back.
    app.shows(&["skipAnalysis is on"]);
    assert_eq!(act(" ", &["skipAnalysis back", "accepted"], &|c| c["spec"]["skipAnalysis"] == false).await, canary);
}

/// Flagger looks at the checks only when the new pods are ready, and at nothing while it is suspended.
#[tokio::test]
async fn an_abort_takes_the_way_that_flagger_sees() {
    let Some((rig, ns, fx)) = stage("flg-stuck").await else { return };
    let beside = rig.namespace("flg-held").await;
    let held = rig.fixtures(&beside);
    let long = json!({"iterations": 20});
    held.flagger_canary("web", FlaggerCanary::blue_green().analysis(&long)).await;
    initialized(&fx, "web", FlaggerCanary::blue_green().analysis(&long)).await;
    held.wait_canary_phase("web", "Initialized").await;
    let (app, other) = (open(rig, &ns, Identity::Oncall), open(rig, &beside, Identity::Oncall));
    held.release_deployment("web", "v2", Pods::Fast).await;
    fx.release_deployment("web", "v2", Pods::Never).await;

    fx.wait_canary_phase("web", "Progressing").await;
    app.shows(&["PROGRESSING", "waits for pods"]);
    let write = one_write(rig, &ns, async || {
        app.press("a");
        app.shows(&["Abort", "deadline of 1 s", "accepted"]);
        app.confirm();
        fx.wait_canary_phase("web", "Failed").await;
    });
    assert_eq!(write.await.subresource, "");
    // What must be set back is said until it is.
    app.shows(&["ABORTED", "progressDeadlineSeconds is 1"]);

    held.wait_canary("web", |c| c["status"]["iterations"].as_i64() >= Some(1)).await;
    held.patch_canary("web", &json!({"spec": {"suspend": true}})).await;
    other.shows(&["PAUSED"]);
    let mark = rig.audit().mark();
    other.press("a");
    other.shows(&["Abort", "spec.suspend", "accepted"]);
    other.confirm();
    held.wait_canary("web", |c| phase(c) == "Failed" && !suspended(c)).await;
    let writes = rig.audit().since(mark).by("oncall").writes().namespace(&beside);
    let parts: Vec<&str> = writes.iter().map(|w| w.subresource.as_str()).collect();
    assert_eq!(parts, ["status", ""], "the suspension goes last: {writes:?}");
}

#[tokio::test]
async fn an_http_route_and_an_iteration_are_shown_as_they_are_and_refusals_say_what_to_do() {
    let Some((rig, ns, fx)) = stage("flg-routes").await else { return };
    rig.install("gateway-api").await;
    let beside = rig.namespace("flg-blue").await;
    let blue = rig.fixtures(&beside);
    blue.flagger_canary("blue", FlaggerCanary::blue_green().analysis(&json!({"iterations": 20}))).await;
    initialized(&fx, "route", FlaggerCanary::gateway().analysis(&json!({"maxWeight": 80}))).await;
    blue.wait_canary_phase("blue", "Initialized").await;
    let app = open(rig, &ns, Identity::Oncall);
    let iterating = open(rig, &beside, Identity::Viewer);
    blue.release_deployment("blue", "v2", Pods::Fast).await;
    fx.release_deployment("route", "v2", Pods::Fast).await;
    fx.wait_canary("route", |c| c["status"]["canaryWeight"] == 20).await;
    let route = fx.get("gateway.networking.k8s.io/v1", "httproutes", "route").await;
    let weights: Vec<i64> =
        route["spec"]["rules"][0]["backendRefs"].as_array().unwrap().iter().filter_map(|b| b["weight"].as_i64()).collect();
    assert_eq!(weights, [80, 20]);
    app.shows(&["20% gatewayapi"]);

    // No gate is closed: nothing to promote by hand, and no weight to set.
    let mark = rig.audit().mark();
    for (key, words) in [("p", "Flagger steps by itself"), ("u", "still runs the old version"), ("r", "nothing has failed")] {
        app.press(key);
        app.shows(&[words, "nothing was sent"]);
        app.escape();
    }
    assert!(rig.audit().since(mark).namespace(&ns).by("oncall").writes().is_empty());

    blue.wait_canary("blue", |c| c["status"]["iterations"].as_i64() >= Some(2)).await;
    iterating.shows(&["iteration 2/20"]);
    for (place, name) in [(&blue, "blue"), (&fx, "route")] {
        place.patch_canary(name, &json!({"spec": {"suspend": true}})).await;
    }
}
