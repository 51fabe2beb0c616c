//! Servers hang, die and come back: the screen says which, keeps the last picture, and recovers by itself.

use crate::{
    cluster::{Canary, Options, Part, Rig},
    suite::app::Start,
};

#[tokio::test]
async fn the_api_server_hangs_dies_and_returns() {
    if !Rig::built() {
        return;
    }
    let rig = Rig::start(Options::default()).await.unwrap();
    rig.create_namespace("shop").await;
    let fx = rig.fixtures("shop");
    fx.canary("checkout", Canary::nginx()).await;
    fx.wait_phase("checkout", "Healthy").await;
    fx.set_image("checkout", "v2").await;
    fx.wait_phase("checkout", "Paused").await;
    let app = Start::new(&rig, "shop").run();
    app.shows(&["checkout", "25%"]);

    rig.freeze(Part::ApiServer);
    let screen = app.shows(&["does not answer"]);
    assert!(screen.contains("checkout") && screen.contains("25%"), "the last picture stays:\n{screen}");
    rig.thaw(Part::ApiServer);
    app.loses(&["does not answer"]);

    rig.kill(Part::ApiServer);
    let screen = app.shows(&["nobody listens"]);
    assert!(screen.contains("checkout"), "{screen}");
    rig.restart(Part::ApiServer).await.unwrap();
    app.loses(&["nobody listens"]);

    // Alive, not just repainted: a change made now arrives.
    fx.patch_status("checkout", &serde_json::json!({"status": {"abort": true}})).await;
    app.shows(&["1 failing"]);
}

#[tokio::test]
async fn prometheus_hangs_dies_and_returns() {
    if !Rig::built() {
        return;
    }
    let rig = Rig::start(Options::default()).await.unwrap();
    rig.create_namespace("shop").await;
    let fx = rig.fixtures("shop");
    fx.canary("checkout", Canary::nginx()).await;
    fx.wait_phase("checkout", "Healthy").await;
    fx.set_image("checkout", "v2").await;
    fx.wait_phase("checkout", "Paused").await;
    let app = Start::new(&rig, "shop").measured().args(["-n", "shop", "checkout"]).run();
    app.shows(&["Error rate", "%"]);

    rig.freeze(Part::Prometheus);
    app.shows(&["prom no answer"]);
    rig.thaw(Part::Prometheus);
    app.loses(&["prom no answer"]);

    rig.kill(Part::Prometheus);
    let screen = app.shows(&["prom unreachable"]);
    assert!(screen.contains("checkout"), "the cluster's picture is whole:\n{screen}");
    rig.restart(Part::Prometheus).await.unwrap();
    app.loses(&["prom unreachable"]);
}
