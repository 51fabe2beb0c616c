//! What people without rights see, and that nothing of it writes.

use crate::{
    cluster::{Canary, Identity, Rig, fixtures::Fixtures},
    suite::app::{Start, headless},
};

async fn paused(fx: &Fixtures) {
    fx.canary("checkout", Canary::nginx()).await;
    fx.wait_phase("checkout", "Healthy").await;
    fx.set_image("checkout", "v2").await;
    fx.wait_phase("checkout", "Paused").await;
}

#[tokio::test]
async fn a_viewer_sees_all_and_is_told_what_is_missing() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("viewer").await;
    let fx = rig.fixtures(&ns);
    paused(&fx).await;
    let mark = rig.audit().mark();
    let app = Start::new(rig, &ns).who(Identity::Viewer).args(["-n", &ns, "checkout"]).run();
    app.shows(&["Traffic", "25"]);
    app.press("p");
    app.shows(&["patch rollouts", "status in"]);
    std::thread::sleep(std::time::Duration::from_millis(700));
    app.press("oy");
    std::thread::sleep(std::time::Duration::from_millis(300));
    app.press("\x1b");
    let writes = rig.audit().since(mark).namespace(&ns).by("viewer").writes();
    assert!(writes.is_empty(), "{writes:?}");
    assert_eq!(fx.status("checkout").await["currentStepIndex"], 1);
}

#[tokio::test]
async fn nobody_is_told_which_right_to_ask_for() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("nobody").await;
    let mark = rig.audit().mark();
    let app = Start::new(rig, &ns).who(Identity::Nobody).run();
    app.shows(&["Not allowed to", "rollouts.argoproj.io", "rolltop-viewer"]);
    let out = headless(rig, Identity::Nobody, &ns, &["status", "-n", &ns]);
    assert_eq!(out.status.code(), Some(4), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(rig.audit().since(mark).namespace(&ns).by("nobody").writes().is_empty());
}

#[tokio::test]
async fn without_cluster_wide_rights_the_own_namespaces_are_shown() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("own").await;
    let fx = rig.fixtures(&ns);
    paused(&fx).await;
    let app = Start::new(rig, &ns).who(Identity::Namespaced).args(["-A"]).run();
    app.shows(&["checkout", "25%"]);
}
