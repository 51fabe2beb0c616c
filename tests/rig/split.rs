//! Every kind of route with its project's own CRD: what rolltop would write is taken, once, and reads back as it was meant.

use std::{fs, path::Path};

use rolltop::{
    clock,
    cluster::decode,
    engine::{Engine, Patch, Plan, split::SPLIT},
    intent::Intent,
    object::{Object, Objects, Resource, kinds},
};
use serde_json::{Value, json};

use crate::{
    cluster::{Rig, api::collection, fixtures::Fixtures},
    suite::split::{open, two_sides, writes},
};

/// File of the pure tests' routes, and the kind and name in it that is moved.
static ROUTES: [(&str, &Resource, &str); 9] = [
    ("httproute", &kinds::HTTP_ROUTE, "web"),
    ("grpcroute", &kinds::GRPC_ROUTE, "web"),
    ("virtualservice-hosts", &kinds::VIRTUAL_SERVICE, "web"),
    ("nginx", &kinds::INGRESS, "web-canary"),
    ("traefikservice", &kinds::TRAEFIK_SERVICE, "web"),
    ("ingressroute", &kinds::INGRESS_ROUTE, "web"),
    ("trafficsplit", &kinds::TRAFFIC_SPLIT, "web"),
    ("httpproxy", &kinds::HTTP_PROXY, "web"),
    ("alb", &kinds::INGRESS, "web"),
];

async fn install(rig: &Rig) {
    for name in ["gateway-api", "traefik", "smi", "contour"] {
        rig.install(name).await;
    }
}

/// A recorded route as its author wrote it.
fn recorded(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/split/{file}.json"));
    let list: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let written = |item: &Value| {
        let mut item = item.clone();
        item.as_object_mut().unwrap().remove("status");
        item["metadata"] = json!({"name": item["metadata"]["name"], "annotations": item["metadata"]["annotations"]});
        item
    };
    list["items"].as_array().unwrap().iter().map(written).collect()
}

async fn read(fx: &Fixtures, route: &'static Resource) -> Objects {
    let mut objects = Objects::default();
    for kind in [route, &kinds::SERVICE, &kinds::DEPLOYMENT, &kinds::DESTINATION_RULE] {
        for item in fx.list(&kind.api_version(), kind.plural).await {
            objects.put(decode::object(kind, item.to_string().as_bytes()).unwrap());
        }
    }
    objects
}

async fn send(fx: &Fixtures, plan: &Plan) -> Result<Value, u16> {
    let [write] = plan.writes.as_slice() else { panic!("{} writes", plan.writes.len()) };
    let Patch::Json(ops) = &write.patch;
    let path = format!("{}/{}", collection(&write.resource.api_version(), Some(&write.namespace), write.resource.plural), write.name);
    fx.api().json_patch(&path, &Value::Array(ops.clone())).await.map_err(|error| match error {
        kube::Error::Api(status) => status.code,
        other => panic!("{other}"),
    })
}

#[tokio::test]
async fn the_real_crds_take_every_write_once() {
    let Some(rig) = Rig::shared().await else { return };
    install(rig).await;
    for (file, kind, name) in ROUTES {
        let ns = rig.namespace("routes").await;
        let fx = rig.fixtures(&ns);
        two_sides(&fx).await;
        for route in recorded(file) {
            fx.apply(route).await;
        }
        for (intent, percent) in [(Intent::SetWeight { percent: 20 }, 20), (Intent::PromoteFull, 100), (Intent::Abort, 0)] {
            let objects = read(&fx, kind).await;
            let root: Object = (**objects.named(kind, &ns, name).unwrap()).clone();
            let model = SPLIT.normalise("rig", &root, &objects);
            let plan = SPLIT.plan(&model, &root, &objects, &intent, clock::now()).unwrap_or_else(|r| panic!("{file} {intent:?}: {r:?}"));
            let sent = send(&fx, &plan).await;
            assert!(sent.is_ok(), "{file} {intent:?}: {sent:?} {:#?}", plan.writes);
            assert_eq!(send(&fx, &plan).await.unwrap_err(), 422, "{file} {intent:?} can be sent twice");
            let after = read(&fx, kind).await;
            let root: Object = (**after.named(kind, &ns, name).unwrap()).clone();
            let progress = SPLIT.progress(&plan.expect.goal, &model, &root, &after);
            assert_eq!(progress, rolltop::engine::Progress::Done, "{file}: {percent} %\n{}", root.text());
        }
    }
}

#[tokio::test]
async fn an_http_route_is_moved_from_the_screen() {
    let Some(rig) = Rig::shared().await else { return };
    install(rig).await;
    let ns = rig.namespace("httproute").await;
    let fx = rig.fixtures(&ns);
    two_sides(&fx).await;
    for route in recorded("httproute") {
        fx.apply(route).await;
    }
    let app = open(rig, &ns, "web");
    app.shows(&["WAITING", "10 %", "x-canary"]);
    app.press("w");
    app.shows(&["how many percent"]);
    app.press("\x7f\x7f50\r");
    app.shows(&["Sends 50 % of the requests to web-canary", "accepted"]);
    app.confirm();
    app.done();
    app.press("a");
    app.shows(&["Sends all requests to web-stable", "accepted"]);
    app.confirm();
    app.shows(&["ABORTED"]);
    let route = fx.get("gateway.networking.k8s.io/v1", "httproutes", "web").await;
    let weights: Vec<&Value> = [0, 1].iter().map(|i| &route["spec"]["rules"][1]["backendRefs"][i]["weight"]).collect();
    assert_eq!(weights, [100, 0]);
    assert_eq!(writes(rig, &ns), [200, 200]);
}
