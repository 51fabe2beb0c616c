//! Logs of pods that run nothing: the rig's fake nodes have none, the embedded cluster's do.

use crate::{
    cluster::{Canary, Fixtures, Identity, Pods, Rig},
    suite::{
        app::{PATIENCE, Start},
        armed::waiting_canary,
        clients::{Person, contains_all},
    },
};

#[tokio::test]
async fn kubectl_logs() {
    if Rig::programs().is_none() {
        return;
    }
    let Some(rig) = Rig::shared().await else { return };
    let me = Person::new(rig, "logs", Identity::Admin).await;
    let fx = me.fixtures();
    fx.canary("checkout", Canary::nginx()).await;
    fx.wait_phase("checkout", "Healthy").await;
    rig.traffic().rps(&format!("{}/checkout", me.namespace), 100.0);
    let pod = me.run("kubectl get pods -o jsonpath={.items[0].metadata.name}");
    assert!(!me.run(&format!("kubectl logs {pod}")).is_empty());
    assert_eq!(me.run(&format!("kubectl logs {pod} --tail=1")).lines().count(), 1);
    contains_all(&me.run("kubectl logs -l app=checkout --prefix --tail=1"), &["[pod/checkout-"]);
    contains_all(&me.run(&format!("kubectl logs {pod} --timestamps --tail=1")), &["Z "]);
    let follows = me.follow(&format!("kubectl logs -f {pod} --tail=0"));
    follows.shows(&[]);
    contains_all(&me.fails("kubectl logs nobody", &[]), &["pods \"nobody\" not found"]);
    contains_all(&me.fails(&format!("kubectl logs {pod} -c other"), &[]), &["container other is not valid for pod"]);

    // What a container said before it fell.
    fx.release("checkout", "v2", Pods::CrashLoop).await;
    let fallen = fallen(&fx).await;
    assert!(!me.run(&format!("kubectl logs {fallen} --previous")).is_empty());
}

async fn fallen(fx: &Fixtures) -> String {
    let restarted = |pods: &[serde_json::Value]| {
        let fallen = pods.iter().find(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_i64().unwrap_or_default() > 0);
        fallen.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
    };
    let begin = std::time::Instant::now();
    loop {
        if let Some(name) = restarted(&fx.pods("checkout").await) {
            return name;
        }
        assert!(begin.elapsed() < PATIENCE, "no pod fell");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn the_screen_shows_what_both_sides_write_and_what_one_wrote_before_it_fell() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("reads").await;
    let fx = waiting_canary(rig, &ns).await;
    let app = Start::new(rig, &ns).who(Identity::Viewer).args(["-n", &ns, "checkout"]).run();
    app.shows(&["Traffic", "Steps"]);
    app.press("l");
    // Lines of either side begin with its name.
    app.shows(&["Logs", "canary pods and 2 of", "stable  ", "canary  ", "GET /"]);
    // Only errors, then everything again.
    app.press("/no-such-word\r");
    app.shows(&["/no-such-word"]);
    assert!(!app.shows(&["/no-such-word"]).contains("GET /"));
    app.press("\u{1b}");
    app.shows(&["GET /"]);
    app.press("\u{1b}");
    app.shows(&["Traffic", "Steps"]);

    fx.release("checkout", "v3", Pods::CrashLoop).await;
    fallen(&fx).await;
    app.press("l");
    app.shows(&["before its restart:"]);
}
