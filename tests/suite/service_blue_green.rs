//! Blue-green by a Service's selector: two Deployments, one label that decides, and nobody but a person who flips it.

use std::time::{Duration, Instant};

use rolltop::{
    engine::bluegreen::BLUE_GREEN,
    intent::Intent,
    model::{Phase, Severity},
};
use serde_json::{Value, json};

use crate::{
    cluster::{Pods, Rig, fixtures::Fixtures, manifests},
    suite::{
        app::{App, PATIENCE, Start},
        workloads::{Desk, autoscaler, carry_out, deployment, edit, image, lost, patch, release, rolled_out, scale, until, version},
    },
};

/// Deployment `shop-COLOUR`.
fn side(colour: &str, replicas: u32, tag: &str, pods: Pods) -> Value {
    let mut side = deployment(&format!("shop-{colour}"), replicas, tag, pods);
    let labels = json!({"app": "shop", "color": colour});
    side["spec"]["selector"] = json!({"matchLabels": labels});
    json_patch::merge(&mut side["spec"]["template"]["metadata"]["labels"], &labels);
    side
}

/// Users on blue with v1, green ready with v2.
async fn waiting(fx: &Fixtures) {
    sides(fx, side("blue", 2, "v1", Pods::Fast), side("green", 2, "v2", Pods::Fast)).await;
    rolled_out(fx, "shop-green").await;
}

async fn sides(fx: &Fixtures, blue: Value, green: Value) {
    let mut service = manifests::service("shop", "shop");
    service["spec"]["selector"]["color"] = "blue".into();
    for object in [service, blue, green] {
        fx.apply(object).await;
    }
    rolled_out(fx, "shop-blue").await;
}

async fn service(fx: &Fixtures) -> Value {
    fx.get("v1", "services", "shop").await
}

async fn users(fx: &Fixtures) -> String {
    service(fx).await["spec"]["selector"]["color"].as_str().unwrap().to_owned()
}

/// Somebody else flips.
async fn flip_to(fx: &Fixtures, colour: &str) {
    patch(fx, "v1", "services", "shop", &json!({"spec": {"selector": {"color": colour}}})).await;
}

async fn until_users_are_on(fx: &Fixtures, colour: &str) {
    let begin = Instant::now();
    while users(fx).await != colour {
        assert!(begin.elapsed() < PATIENCE, "users never came to {colour}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Addresses that the Service's endpoints have, by the Deployment behind them.
async fn endpoints(fx: &Fixtures) -> Vec<String> {
    let slices = fx.list("discovery.k8s.io/v1", "endpointslices").await;
    let all = slices.iter().filter_map(|s| s["endpoints"].as_array()).flatten();
    all.filter(|e| e["conditions"]["ready"] == true).filter_map(|e| e["targetRef"]["name"].as_str().map(str::to_owned)).collect()
}

fn open(rig: &Rig, ns: &str) -> App {
    Start::new(rig, ns).args(["-n", ns, "shop"]).run()
}

/// The writes of the person in front of the screen: object and code, those that only ask a condition as well.
fn writes(rig: &Rig, ns: &str) -> Vec<(String, u64)> {
    rig.audit().all().namespace(ns).by("oncall").writes().iter().map(|e| (e.name.clone(), e.code)).collect()
}

fn wrote(names: &[&str]) -> Vec<(String, u64)> {
    names.iter().map(|name| ((*name).to_owned(), 200)).collect()
}

#[tokio::test]
async fn three_objects_are_one_rollout_and_a_flip_is_one_write_there_and_back() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("sbg").await;
    let fx = rig.fixtures(&ns);
    waiting(&fx).await;
    let fleet = Start::new(rig, &ns).run();
    let screen = fleet.shows(&["shop", "bluegreen"]);
    assert!(!screen.contains("shop-blue") && !screen.contains("shop-green"), "a side is no rollout of its own:\n{screen}");
    drop(fleet);

    let app = open(rig, &ns);
    app.shows(&["WAITING", "green is ready, users are on blue", "preview", "active"]);
    app.press("f");
    app.shows(&["Flip", "Sends all users from blue (app:v1) to green (app:v2)", "2 ready pods of green", "accepted"]);
    app.confirm();
    until_users_are_on(&fx, "green").await;
    assert_eq!(writes(rig, &ns), wrote(&["shop"]));
    let begin = Instant::now();
    while !endpoints(&fx).await.iter().all(|pod| pod.starts_with("shop-green-")) {
        assert!(begin.elapsed() < PATIENCE, "{:?}", endpoints(&fx).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    app.shows(&["HEALTHY", "users are on green", "flip back to blue"]);
    app.done();
    assert_eq!(app.journaled("effect").last().unwrap()["seen"], "done");

    app.press("f");
    app.shows(&["Sends all users back from green", "accepted"]);
    app.confirm();
    until_users_are_on(&fx, "blue").await;
    assert_eq!(writes(rig, &ns), wrote(&["shop", "shop"]));
}

/// After a flip the old side is counted down; before its time it goes only by override, and only while nobody is on it.
#[tokio::test]
async fn the_old_side_goes_after_its_soak_as_an_action_of_its_own() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("sbgdown").await;
    let fx = rig.fixtures(&ns);
    waiting(&fx).await;
    flip_to(&fx, "green").await;
    let app = open(rig, &ns);
    app.shows(&["users are on green", "Next: in 9m", "blue has been kept for 10m"]);
    app.press("x");
    app.shows(&["Scale down", "users are on green for less than 10m", "override"]);
    std::thread::sleep(Duration::from_millis(700));
    app.press("y");
    std::thread::sleep(Duration::from_millis(400));
    assert!(writes(rig, &ns).is_empty(), "y alone is not enough");
    app.escape();

    patch(&fx, "v1", "services", "shop", &json!({"metadata": {"annotations": {"rolltop.dev/soak": "1s"}}})).await;
    app.shows(&["Next: now: "]);
    app.press("x");
    app.shows(&["Scale down", "Takes all 2 pods of blue", "accepted"]);
    let before = service(&fx).await;
    app.confirm();
    until(&fx, "shop-blue", |d| d["spec"]["replicas"] == 0 && d["status"]["replicas"].as_u64().unwrap_or(0) == 0).await;
    assert_eq!(writes(rig, &ns), wrote(&["shop", "shop-blue"]));
    assert_eq!(version(&service(&fx).await), version(&before), "the first of the two only asks whether users are still elsewhere");
    app.shows(&["blue has no ready pods"]);
    app.done();

    // Nothing to flip back to.
    app.press("f");
    app.shows(&["blue is scaled to 0: users would get nothing"]);
    app.escape();
    app.press("x");
    app.shows(&["blue is at 0 already"]);
    app.escape();
    assert_eq!(users(&fx).await, "green");

    // The slow way back: its pods first, then the users.
    app.press(":scale workload\r");
    app.shows(&["to how many pods"]);
    app.press("\x7f2\r");
    app.shows(&["Scales blue, which has no users, from 0 to 2 pods", "accepted"]);
    app.confirm();
    app.shows(&["flip back to blue, 2 pods ready"]);
    app.done();
    app.press("a");
    app.shows(&["Sends all users back from green", "accepted"]);
    app.confirm();
    until_users_are_on(&fx, "blue").await;
}

#[tokio::test]
async fn the_idle_side_is_filled_sized_and_restarted_without_touching_users() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("sbgidle").await;
    let fx = rig.fixtures(&ns);
    waiting(&fx).await;
    let blue = fx.get("apps/v1", "deployments", "shop-blue").await;
    let app = open(rig, &ns);
    app.shows(&["green is ready"]);
    app.press("i");
    app.shows(&["app:v2"]);
    app.press("\x7f3\r");
    app.shows(&["v3 on green, which has no users", "accepted"]);
    app.confirm();
    until(&fx, "shop-green", |d| image(d).ends_with(":v3")).await;
    rolled_out(&fx, "shop-green").await;
    app.done();
    app.press(":scale workload\r");
    app.shows(&["to how many pods"]);
    app.press("\x7f4\r");
    app.shows(&["Scales green, which has no users, from 2 to 4 pods", "accepted"]);
    app.confirm();
    until(&fx, "shop-green", |d| d["status"]["readyReplicas"] == 4).await;
    app.done();
    app.press("R");
    app.shows(&["Replaces all pods of green", "accepted"]);
    app.confirm();
    let restarted = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt";
    until(&fx, "shop-green", |d| d.pointer(restarted).is_some()).await;
    assert_eq!(writes(rig, &ns), wrote(&["shop", "shop-green", "shop", "shop-green", "shop", "shop-green"]));
    let after = fx.get("apps/v1", "deployments", "shop-blue").await;
    assert_eq!(after["spec"], blue["spec"]);
    assert_eq!(users(&fx).await, "blue");
}

/// Each way to send users somewhere wrong, refused or held up.
#[tokio::test]
async fn nobody_is_sent_to_a_side_that_cannot_carry_them() {
    let Some(rig) = Rig::shared().await else { return };
    let blue = || side("blue", 3, "v1", Pods::Fast);
    let mut foreign = side("green", 3, "v2", Pods::Fast);
    foreign["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example.test/billing:v2".into();
    for (prefix, green, told) in [
        ("sbgnone", side("green", 0, "v2", Pods::Fast), "green is scaled to 0: users would get nothing"),
        ("sbgnever", side("green", 3, "v2", Pods::Never), "none of green's 3 pods is ready"),
        ("sbgsmall", side("green", 1, "v2", Pods::Fast), "green is smaller than blue: 1 ready pod for the load of 3"),
        ("sbgother", foreign, "which is no version of what blue holds"),
    ] {
        let ns = rig.namespace(prefix).await;
        let fx = rig.fixtures(&ns);
        let settled = |d: &Value| d["status"]["observedGeneration"] == d["metadata"]["generation"];
        let ready = if prefix == "sbgsmall" { 1 } else { 3 };
        sides(&fx, blue(), green).await;
        let serves = |d: &Value| matches!(prefix, "sbgnone" | "sbgnever") || d["status"]["readyReplicas"] == ready;
        until(&fx, "shop-green", |d| settled(d) && serves(d)).await;
        let desk = Desk::read(&fx, &BLUE_GREEN, "shop").await;
        match desk.plan(&Intent::Flip) {
            Err(refusal) => assert!(refusal.reason.contains(told), "{refusal:?}"),
            Ok(plan) => {
                let dangers: Vec<_> = plan.warnings.iter().filter(|n| n.severity == Severity::Danger).map(|n| &n.text).collect();
                assert!(dangers.iter().any(|text| text.contains(told)), "{prefix}: {dangers:?}");
            }
        }
        let app = open(rig, &ns);
        app.shows(&["bluegreen"]);
        app.press("f");
        app.shows(&["Flip"]);
        std::thread::sleep(Duration::from_millis(900));
        app.press("y");
        std::thread::sleep(Duration::from_millis(400));
        assert!(writes(rig, &ns).is_empty(), "{prefix}: y alone is not enough");
        assert_eq!(users(&fx).await, "blue");
    }
}

/// The image that was looked at is the one that users get: another one makes another card.
#[tokio::test]
async fn an_image_that_changes_under_the_card_is_asked_about_again() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("sbgmoved").await;
    let fx = rig.fixtures(&ns);
    waiting(&fx).await;
    let app = open(rig, &ns);
    app.shows(&["green is ready"]);
    app.press("f");
    app.shows(&["to green (app:v2)", "accepted"]);
    release(&fx, "shop-green", "v3", Pods::Fast).await;
    app.shows(&["to green (app:v3)", "moved"]);
    assert!(writes(rig, &ns).is_empty());
}

/// Every action, on what a server really holds: lost when somebody else was faster, and good for one time only.
#[tokio::test]
async fn every_write_holds_for_what_was_looked_at_and_once() {
    let Some(rig) = Rig::shared().await else { return };
    let image = Intent::SetImage { container: "app".into(), image: "registry.example.test/app:v9".into() };
    for (prefix, flipped, intent) in [
        ("wflip", false, Intent::Flip),
        ("wback", true, Intent::Abort),
        ("wdown", true, Intent::ScaleDown),
        ("wfill", false, image),
        ("wsize", false, Intent::Scale { replicas: 3 }),
        ("wbounce", false, Intent::Restart),
    ] {
        let ns = rig.namespace(prefix).await;
        let fx = rig.fixtures(&ns);
        waiting(&fx).await;
        let (here, there) = if flipped { ("green", "blue") } else { ("blue", "green") };
        flip_to(&fx, here).await;
        let plan = Desk::read(&fx, &BLUE_GREEN, "shop").await.plan(&intent).unwrap_or_else(|r| panic!("{intent:?}: {r:?}"));
        // Somebody else flips while the card is read: what was meant for nobody must not happen to users.
        flip_to(&fx, there).await;
        let idle = format!("shop-{there}");
        let before = fx.get("apps/v1", "deployments", &idle).await;
        lost(carry_out(&fx, &plan).await);
        assert_eq!(users(&fx).await, there, "{intent:?}");
        assert_eq!(fx.get("apps/v1", "deployments", &idle).await["spec"], before["spec"], "{intent:?}");

        flip_to(&fx, here).await;
        let plan = Desk::read(&fx, &BLUE_GREEN, "shop").await.plan(&intent).unwrap_or_else(|r| panic!("{intent:?}: {r:?}"));
        carry_out(&fx, &plan).await.unwrap_or_else(|e| panic!("{intent:?}: {e}"));
        lost(carry_out(&fx, &plan).await);
        if matches!(intent, Intent::Flip | Intent::Abort) {
            assert_eq!(users(&fx).await, there);
        }
    }
}

#[tokio::test]
async fn an_autoscaler_of_the_idle_side_moves_no_ground_and_is_named() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("sbghpa").await;
    let fx = rig.fixtures(&ns);
    waiting(&fx).await;
    fx.apply(autoscaler("green", "shop-green", 1, 9)).await;
    let plan = Desk::read(&fx, &BLUE_GREEN, "shop").await.plan(&Intent::Restart).unwrap();
    scale(&fx, "shop-green", 3).await;
    carry_out(&fx, &plan).await.unwrap();
    rolled_out(&fx, "shop-green").await;
    let app = open(rig, &ns);
    app.shows(&["HPA green (1 to 9 pods) sets the number of pods of green"]);
    app.press("f");
    app.shows(&["Flip", "accepted"]);
    scale(&fx, "shop-green", 4).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(!app.term.screen().contains("it moved"), "{}", app.term.screen());
    app.confirm();
    until_users_are_on(&fx, "green").await;
    assert_eq!(writes(rig, &ns), wrote(&["shop"]));
}

/// An outage on the side users are on: nothing but the broken side stands in the way back.
#[tokio::test]
async fn out_of_an_outage_the_way_back_is_one_key_and_one_yes() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("sbgout").await;
    let fx = rig.fixtures(&ns);
    waiting(&fx).await;
    flip_to(&fx, "green").await;
    let broken = json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}, "template": {"metadata": {"labels": {"rolltop.dev/pod": "never"}}}}});
    edit(&fx, "shop-green", &broken).await;
    until(&fx, "shop-green", |d| d["status"]["readyReplicas"].as_u64().unwrap_or(0) == 0).await;
    let desk = Desk::read(&fx, &BLUE_GREEN, "shop").await;
    assert_eq!(desk.model().phase, Phase::Failing);
    let app = open(rig, &ns);
    app.shows(&["FAILING", "outage: Service shop selects green, which has no ready pod"]);
    app.press("x");
    app.shows(&["blue is the only way back"]);
    app.escape();
    app.press("a");
    let card = app.shows(&["Abort", "Sends all users back from green", "accepted"]);
    assert!(!card.contains("override"), "{card}");
    app.confirm();
    until_users_are_on(&fx, "blue").await;
    assert_eq!(writes(rig, &ns), wrote(&["shop"]));
}
