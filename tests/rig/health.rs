//! Pods are asked how they are before users are sent to them: through the real API server, at what plays their port.

use std::sync::{
    Arc,
    atomic::{AtomicU16, AtomicUsize, Ordering},
};

use axum::{Router, http::StatusCode, routing::get};
use serde_json::json;

use crate::{
    cluster::{Pods, Rig, manifests},
    suite::{
        app::Start,
        workloads::{deployment, rolled_out},
    },
};

/// Answers `/ready` with a code that can be changed, and counts.
struct Pod {
    port: u16,
    code: Arc<AtomicU16>,
    asked: Arc<AtomicUsize>,
}

impl Pod {
    async fn listen() -> Self {
        let (code, asked) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicUsize::new(0)));
        let (answer, count) = (code.clone(), asked.clone());
        let ready = get(move || {
            count.fetch_add(1, Ordering::SeqCst);
            let code = StatusCode::from_u16(answer.load(Ordering::SeqCst)).unwrap();
            async move { (code, "as you see") }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/ready", ready)).await });
        Self { port, code, asked }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_idle_side_is_asked_several_times_and_a_sick_one_needs_an_override() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("health").await;
    let fx = rig.fixtures(&ns);
    let pod = Pod::listen().await;
    for (colour, tag) in [("blue", "v1"), ("green", "v2")] {
        let mut side = deployment(&format!("shop-{colour}"), 2, tag, Pods::Fast);
        let labels = json!({"app": "shop", "color": colour});
        side["spec"]["selector"] = json!({"matchLabels": labels});
        json_patch::merge(&mut side["spec"]["template"]["metadata"]["labels"], &labels);
        // kwok makes pods ready whatever stands here; who is asked through the API server is the port below.
        side["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = json!({"httpGet": {"path": "/ready", "port": pod.port}});
        fx.apply(side).await;
    }
    let mut service = manifests::service("shop", "shop");
    service["spec"]["selector"]["color"] = "blue".into();
    fx.apply(service).await;
    rolled_out(&fx, "shop-green").await;

    let app = Start::new(rig, &ns).args(["-n", &ns, "shop"]).run();
    app.shows(&["green is ready, users are on blue"]);
    app.press("f");
    app.shows(&["Flip", "health", "2 pods answered 3 times in a row to /ready", "accepted"]);
    assert_eq!(pod.asked.load(Ordering::SeqCst) % 6, 0, "three times each of two");
    app.escape();

    pod.code.store(500, Ordering::SeqCst);
    app.press("f");
    app.shows(&["unhealthy", "500", "override"]);
    let writes = rig.audit().all().namespace(&ns).by("oncall").writes();
    assert!(writes.is_empty(), "{writes:?}");
}
