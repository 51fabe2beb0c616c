//! Weights that people move: a VirtualService, a canary Ingress, and the pods of two Deployments behind one Service;
//! nobody but a person behind them.

use serde_json::{Value, json};

use crate::{
    cluster::{
        Pods, Rig,
        fixtures::Fixtures,
        manifests::{object, service},
    },
    suite::{
        app::{App, Start},
        workloads::{deployment, patch, rolled_out},
    },
};

const ISTIO: &str = "networking.istio.io/v1";
const INGRESS: &str = "networking.k8s.io/v1";
const WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";

/// `web-stable` with v1 and `web-canary` with v2, each behind its Service and ready.
pub async fn two_sides(fx: &Fixtures) {
    for (name, tag) in [("web-stable", "v1"), ("web-canary", "v2")] {
        fx.apply(service(name, name)).await;
        let mut deployment = deployment(name, 2, tag, Pods::Fast);
        // Both hold the same program.
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = format!("registry.example/web:{tag}").into();
        fx.apply(deployment).await;
    }
    for name in ["web-stable", "web-canary"] {
        rolled_out(fx, name).await;
    }
}

async fn virtual_service(fx: &Fixtures, canary: i64) {
    two_sides(fx).await;
    let to = |host: &str, weight: i64| json!({"destination": {"host": host}, "weight": weight});
    let mut route = object(ISTIO, "VirtualService", "web");
    route["spec"] =
        json!({"hosts": ["web"], "http": [{"name": "main", "route": [to("web-stable", 100 - canary), to("web-canary", canary)]}]});
    fx.apply(route).await;
}

async fn canary_ingress(fx: &Fixtures) {
    two_sides(fx).await;
    for (name, service) in [("shop", "web-stable"), ("shop-canary", "web-canary")] {
        let mut ingress = object(INGRESS, "Ingress", name);
        let backend = json!({"service": {"name": service, "port": {"number": 80}}});
        let http = json!({"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]});
        ingress["spec"] = json!({"ingressClassName": "nginx", "rules": [{"host": format!("{}.example", fx.namespace()), "http": http}]});
        if name == "shop-canary" {
            ingress["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/canary": "true", WEIGHT: "10"});
        }
        fx.apply(ingress).await;
    }
}

/// Weights of the two destinations.
async fn weights(fx: &Fixtures) -> [Value; 2] {
    let route = fx.get(ISTIO, "virtualservices", "web").await;
    [0, 1].map(|i| route["spec"]["http"][0]["route"][i]["weight"].clone())
}

pub fn open(rig: &Rig, ns: &str, name: &str) -> App {
    Start::new(rig, ns).args(["-n", ns, name]).run()
}

/// Codes of the writes of the person in front of the screen.
pub fn writes(rig: &Rig, ns: &str) -> Vec<u64> {
    rig.audit().all().namespace(ns).by("oncall").writes().iter().map(|e| e.code).collect()
}

#[tokio::test]
async fn a_weight_is_set_and_taken_back_with_one_write_each() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("weight").await;
    let fx = rig.fixtures(&ns);
    virtual_service(&fx, 10).await;
    let app = open(rig, &ns, "web");
    app.shows(&["WAITING", "10 %", "web-canary"]);
    app.press("w");
    app.shows(&["how many percent"]);
    app.press("\x7f\x7f40\r");
    app.shows(&["Sends 40 % of the requests to web-canary", "accepted"]);
    app.confirm();
    app.shows(&["40 %"]);
    app.done();
    assert_eq!(weights(&fx).await, [json!(60), json!(40)]);
    assert_eq!(writes(rig, &ns), [200]);
    app.press("a");
    app.shows(&["Sends all requests to web-stable", "accepted"]);
    app.confirm();
    app.shows(&["ABORTED"]);
    app.done();
    assert_eq!(weights(&fx).await, [json!(100), json!(0)]);
    assert_eq!(writes(rig, &ns), [200, 200]);
}

#[tokio::test]
async fn a_second_writer_in_between_wins() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("between").await;
    let fx = rig.fixtures(&ns);
    virtual_service(&fx, 10).await;
    let app = open(rig, &ns, "web");
    app.shows(&["WAITING", "web-canary"]);
    app.press("P");
    app.shows(&["Sends all requests to web-canary", "accepted"]);
    // While the card is being read.
    let to = |host: &str, weight: i64| json!({"destination": {"host": host}, "weight": weight});
    let other = json!({"spec": {"http": [{"name": "main", "route": [to("web-stable", 70), to("web-canary", 30)]}]}});
    patch(&fx, ISTIO, "virtualservices", "web", &other).await;
    app.shows(&["moved"]);
    app.escape();
    assert_eq!(weights(&fx).await, [json!(70), json!(30)]);
    assert!(writes(rig, &ns).iter().all(|code| *code != 200), "{:?}", writes(rig, &ns));
}

#[tokio::test]
async fn a_canary_ingress_goes_through_its_phases() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("phases").await;
    let fx = rig.fixtures(&ns);
    canary_ingress(&fx).await;
    let app = open(rig, &ns, "shop-canary");
    app.shows(&["WAITING", "weight 25 %"]);
    app.press("p");
    app.shows(&["Sends 25 % of the requests to web-canary", "accepted"]);
    app.confirm();
    app.done();
    let annotations = fx.get(INGRESS, "ingresses", "shop-canary").await["metadata"]["annotations"].clone();
    assert_eq!(annotations[WEIGHT], "25");
    let phase: Value = serde_json::from_str(annotations["rolltop/phase"].as_str().unwrap()).unwrap();
    assert_eq!((phase["phase"].clone(), phase["weight"].clone()), (json!(2), json!(25)));
    // Another session goes on where this one stood.
    drop(app);
    let other = open(rig, &ns, "shop-canary");
    other.shows(&["pause 10m", "may go on to 50 %"]);
    other.press(" ");
    other.shows(&["Stops the countdown", "accepted"]);
    other.confirm();
    other.shows(&["PAUSED"]);
    other.done();
    assert_eq!(writes(rig, &ns), [200, 200]);
}

#[tokio::test]
async fn two_deployments_share_the_pods_of_one_service() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("ratio").await;
    let fx = rig.fixtures(&ns);
    fx.apply(service("web", "web")).await;
    for (track, replicas, tag) in [("stable", 3, "v1"), ("canary", 1, "v2")] {
        let mut side = deployment(&format!("web-{track}"), replicas, tag, Pods::Fast);
        let labels = json!({"app": "web", "track": track});
        side["spec"]["selector"] = json!({"matchLabels": labels});
        json_patch::merge(&mut side["spec"]["template"]["metadata"]["labels"], &labels);
        side["spec"]["template"]["spec"]["containers"][0]["image"] = format!("registry.example/web:{tag}").into();
        fx.apply(side).await;
    }
    for name in ["web-stable", "web-canary"] {
        rolled_out(&fx, name).await;
    }
    let app = open(rig, &ns, "web");
    app.shows(&["WAITING", "25 %", "web-canary"]);
    app.press("w");
    app.shows(&["how many percent"]);
    app.press("\x7f\x7f50\r");
    app.shows(&["Makes 2 of 4 pods web-canary", "accepted"]);
    app.confirm();
    app.done();
    let replicas = async |name: &str| rolled_out(&fx, name).await["spec"]["replicas"].clone();
    assert_eq!((replicas("web-stable").await, replicas("web-canary").await), (json!(2), json!(2)));
    assert_eq!(writes(rig, &ns), [200, 200, 200]);
}
