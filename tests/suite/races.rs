//! Two presses, two people, a moving rollout: exactly one step each time, the loser told why.

use std::time::Duration;

use serde_json::json;

use crate::{
    cluster::{Canary, Rig, fixtures::Fixtures},
    suite::app::{PATIENCE, Start},
};

/// Pauses in a row: whoever acts twice skips one.
async fn paused(fx: &Fixtures) {
    let steps = json!([{"setWeight": 25}, {"pause": {}}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]);
    fx.canary("checkout", Canary::nginx().steps(steps)).await;
    fx.wait_phase("checkout", "Healthy").await;
    fx.set_image("checkout", "v2").await;
    fx.wait_phase("checkout", "Paused").await;
}

/// Waits until nothing moves any more, then says where it stands.
async fn settled(fx: &Fixtures) -> i64 {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let rollout = fx.wait_phase("checkout", "Paused").await;
    rollout["status"]["currentStepIndex"].as_i64().unwrap()
}

/// The trap is real: the plain patch of the kubectl plugin ends whatever pause it meets. Two people who promote
/// the same pause, one a moment later, end two. Without this the tests below could not fail.
#[tokio::test]
async fn the_plugins_own_patch_sent_twice_for_one_pause_ends_two() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("plain").await;
    let fx = rig.fixtures(&ns);
    paused(&fx).await;
    let plain = json!({"status": {"pauseConditions": null}});
    fx.patch_status("checkout", &plain).await;
    fx.wait_for("checkout", |r| r["status"]["currentStepIndex"] == 2 && r["status"]["phase"] == "Paused", PATIENCE).await;
    fx.patch_status("checkout", &plain).await;
    assert!(settled(&fx).await > 2, "the second pause should be gone, too");
}

#[tokio::test]
async fn promote_pressed_twice_fast_is_one_step() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("twice").await;
    let fx = rig.fixtures(&ns);
    paused(&fx).await;
    let app = Start::new(rig, &ns).args(["-n", &ns, "checkout"]).run();
    app.shows(&["Traffic", "25"]);
    let mark = rig.audit().mark();
    app.press("pp");
    app.shows(&["Promote", "accepted"]);
    std::thread::sleep(Duration::from_millis(700));
    app.press("yyyppy");
    fx.wait_for("checkout", |r| r["status"]["currentStepIndex"] == 2, PATIENCE).await;
    assert_eq!(settled(&fx).await, 2);
    assert_eq!(rig.audit().since(mark).namespace(&ns).by("oncall").writes().len(), 1);
}

#[tokio::test]
async fn a_paste_or_a_burst_of_keys_never_acts() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("burst").await;
    let fx = rig.fixtures(&ns);
    paused(&fx).await;
    let app = Start::new(rig, &ns).args(["-n", &ns, "checkout"]).run();
    app.shows(&["Traffic", "25"]);
    let mark = rig.audit().mark();
    // Without bracketed paste the letters come as keys, all at once; with it, as one block.
    for burst in ["poy\r\n", "py\r", "\x1b[200~poy\r\x1b[201~", "a\ry", "P\r\r\ro\ry"] {
        app.press(burst);
        std::thread::sleep(Duration::from_millis(150));
        app.press("\x1b");
        std::thread::sleep(Duration::from_millis(150));
    }
    assert!(rig.audit().since(mark).namespace(&ns).by("oncall").writes().is_empty());
    assert_eq!(settled(&fx).await, 1);
}

#[tokio::test]
async fn two_people_on_one_pause_make_one_step() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("two").await;
    let fx = rig.fixtures(&ns);
    paused(&fx).await;
    let start = || Start::new(rig, &ns).args(["-n", &ns, "checkout"]).run();
    let (ana, bob) = (start(), start());
    let mark = rig.audit().mark();
    for app in [&ana, &bob] {
        app.shows(&["Traffic", "25"]);
        app.press("p");
    }
    for app in [&ana, &bob] {
        app.shows(&["Promote", "accepted"]);
    }
    std::thread::sleep(Duration::from_millis(700));
    ana.press("y");
    bob.press("y");
    assert_eq!(settled(&fx).await, 2, "one pause ended, not two");
    let good = rig.audit().since(mark).namespace(&ns).by("oncall").writes().only(|e| e.code == 200);
    assert_eq!(good.len(), 1, "{good:?}");
}

#[tokio::test]
async fn a_card_whose_ground_moves_says_so_and_asks_again() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("moved").await;
    let fx = rig.fixtures(&ns);
    paused(&fx).await;
    let app = Start::new(rig, &ns).args(["-n", &ns, "checkout"]).run();
    app.shows(&["Traffic", "25"]);
    app.press("p");
    app.shows(&["Promote", "accepted"]);
    // Somebody else ends the pause while the card is being read.
    fx.patch_status("checkout", &json!({"status": {"pauseConditions": null}})).await;
    fx.wait_for("checkout", |r| r["status"]["currentStepIndex"] == 2, PATIENCE).await;
    app.shows(&["moved"]);
    assert_eq!(settled(&fx).await, 2);
}
