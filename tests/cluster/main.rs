//! `tests/cluster/up`: the rig started by hand, with releases in progress to look at.

// Its standard output is for people and scripts.
#![allow(clippy::print_stdout)]

mod rig;

use std::time::Duration;

use color_eyre::eyre::Result;
use rig::manifests::{FlaggerCanary, KruiseRollout};
use rig::{BlueGreen, Canary, Identity, Options, Pods, Profile, Rig};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// After this long checkout's new version begins to fail.
const TURNS_BAD: Duration = Duration::from_secs(180);

/// The controller tells a rollback by creation times, which have whole seconds: the versions must not share one.
const A_SECOND_LATER: Duration = Duration::from_millis(1100);

#[tokio::main]
async fn main() -> Result<()> {
    let asked = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    tokio::select! {
        result = run(asked("--bad"), asked("--flagger"), asked("--kruise")) => result,
        () = asked_to_end() => Ok(()),
    }
}

/// Serves until it is dropped, and the rig with it.
async fn run(bad: bool, flagger: bool, kruise: bool) -> Result<()> {
    let rig = Rig::start(Options::default()).await?;
    releases(&rig).await;
    if flagger {
        canaries(&rig).await;
    }
    if kruise {
        kruise_rollout(&rig).await;
    }
    hints(&rig);
    if flagger {
        println!("# web/front: a Canary of Flagger's on ingress-nginx, whose promotion waits at a gate; web/api: blue-green");
    }
    if kruise {
        println!(
            "# paint/brush: a Rollout of OpenKruise, to be released: kubectl set image deploy/brush -n paint app=registry.example.test/app:v2"
        );
    }
    if !bad {
        tokio::time::sleep(TURNS_BAD).await;
    }
    rig.traffic().set("shop/checkout", "v2", Profile { errors: 0.08, ..Profile::slow(60.0, 900.0) });
    std::future::pending().await
}

/// One of each: a routed canary at a step, a basic one on a timer, blue-green before promotion, one at rest.
async fn releases(rig: &Rig) {
    rig.create_namespace("shop").await;
    rig.create_namespace("pay").await;
    let (shop, pay) = (rig.fixtures("shop"), rig.fixtures("pay"));
    let timed = json!([{"setWeight": 20}, {"pause": {"duration": "10m"}}, {"setWeight": 60}, {"pause": {"duration": "10m"}}]);
    shop.canary("checkout", Canary::nginx()).await;
    shop.canary("cart", Canary { replicas: 5, ..Canary::default().steps(timed) }).await;
    shop.canary("search", Canary::default()).await;
    pay.blue_green("ledger", BlueGreen::default()).await;
    for (place, name) in [(&shop, "checkout"), (&shop, "cart"), (&shop, "search"), (&pay, "ledger")] {
        place.wait_phase(name, "Healthy").await;
    }
    tokio::time::sleep(A_SECOND_LATER).await;
    for (place, name) in [(&shop, "checkout"), (&shop, "cart"), (&pay, "ledger")] {
        place.set_image(name, "v2").await;
        place.wait_phase(name, "Paused").await;
    }
}

/// Flagger's: one that will wait for its promotion, one that goes all the way.
async fn canaries(rig: &Rig) {
    rig.flagger().await;
    rig.create_namespace("web").await;
    let web = rig.fixtures("web");
    web.flagger_canary("front", FlaggerCanary::nginx().gates(["confirm-promotion"])).await;
    web.flagger_canary("api", FlaggerCanary::blue_green().analysis(&json!({"iterations": 20}))).await;
    for name in ["front", "api"] {
        web.wait_canary_phase(name, "Initialized").await;
        web.release_deployment(name, "v2", Pods::Fast).await;
    }
}

/// OpenKruise's: one at rest, with steps to approve.
async fn kruise_rollout(rig: &Rig) {
    rig.kruise().await;
    rig.create_namespace("paint").await;
    let paint = rig.fixtures("paint");
    paint.kruise("brush", KruiseRollout::canary()).await;
}

fn hints(rig: &Rig) {
    println!("KUBECONFIG={}", rig.kubeconfig(Identity::Admin, "shop").display());
    println!("PROMETHEUS_URL={}", rig.prometheus_url());
    println!("ONCALL_KUBECONFIG={}", rig.kubeconfig(Identity::Oncall, "shop").display());
    println!("VIEWER_KUBECONFIG={}", rig.kubeconfig(Identity::Viewer, "shop").display());
    println!("# shop/checkout: canary by ingress-nginx, paused at 25 %; v2 turns bad after a while");
    println!("# shop/cart: canary by pods, on a timer; shop/search: at rest; pay/ledger: blue-green before promotion");
    println!("# target/rig/bin has kubectl and kubectl-argo-rollouts. Ctrl-C ends everything.");
}

async fn asked_to_end() {
    let wait = |kind| async move {
        match signal(kind) {
            Ok(mut signals) => drop(signals.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => (),
        () = wait(SignalKind::terminate()) => (),
        () = wait(SignalKind::hangup()) => (),
    }
}
