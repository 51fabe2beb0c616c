//! One cluster with every way to release at once, and kinds that come and go while rolltop looks.

use rolltop::engine::ENGINES;
use serde_json::{Value, json};

use crate::{
    cluster::{Canary, Identity, Options, Pods, Rig, fixtures::Fixtures, manifests},
    suite::{
        app::{App, Start},
        workloads::deployment,
    },
};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// Kinds that a rig does not bring from the start.
const LATER: [&str; 4] = ["gateway-api", "knative", "kserve", "kruise"];

fn labelled(name: &str, labels: &Value) -> Value {
    let mut side = deployment(name, 1, "v1", Pods::Fast);
    side["spec"]["selector"] = json!({"matchLabels": labels});
    json_patch::merge(&mut side["spec"]["template"]["metadata"]["labels"], labels);
    side
}

fn service(name: &str, selector: &Value) -> Value {
    let mut service = manifests::service(name, name);
    service["spec"]["selector"] = selector.clone();
    service
}

fn of_kind(api_version: &str, kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// What needs no kind of another project.
fn plain() -> Vec<Value> {
    let pods = |name: &str| {
        let template = deployment(name, 1, "v1", Pods::Fast)["spec"]["template"].clone();
        json!({"selector": {"matchLabels": {"app": name}}, "serviceName": name, "template": template})
    };
    let mut daemons = of_kind("apps/v1", "DaemonSet", "a-daemonset", &pods("a-daemonset"));
    daemons["spec"].as_object_mut().unwrap().remove("serviceName");
    vec![
        deployment("a-deployment", 1, "v1", Pods::Fast),
        of_kind("apps/v1", "StatefulSet", "a-statefulset", &pods("a-statefulset")),
        daemons,
        labelled("colours-blue", &json!({"app": "colours", "color": "blue"})),
        labelled("colours-green", &json!({"app": "colours", "color": "green"})),
        service("a-bluegreen", &json!({"app": "colours", "color": "blue"})),
        labelled("shared-stable", &json!({"app": "shared", "track": "stable"})),
        labelled("shared-canary", &json!({"app": "shared", "track": "canary"})),
        service("a-ratio", &json!({"app": "shared"})),
    ]
}

fn canary() -> Value {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "under-flagger"});
    let analysis = json!({"interval": "1m", "threshold": 5, "iterations": 2});
    of_kind("flagger.app/v1beta1", "Canary", "a-flagger", &json!({"targetRef": target, "service": {"port": 80}, "analysis": analysis}))
}

/// The objects of the kinds in [`LATER`].
fn later() -> Vec<Value> {
    let backend = |name: &str, weight: u8| json!({"name": name, "port": 80, "weight": weight});
    let route = json!({"rules": [{"backendRefs": [backend("weighed-stable", 90), backend("weighed-canary", 10)]}]});
    let container = json!({"containers": [{"name": "app", "image": "app:v1"}]});
    let predictor =
        json!({"predictor": {"canaryTrafficPercent": 10, "model": {"modelFormat": {"name": "sklearn"}, "storageUri": "gs://m"}}});
    let workload = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "under-kruise"});
    vec![
        of_kind("gateway.networking.k8s.io/v1", "HTTPRoute", "a-split", &route),
        of_kind("serving.knative.dev/v1", "Service", "a-knative", &json!({"template": {"spec": container}})),
        of_kind("serving.kserve.io/v1beta1", "InferenceService", "a-kserve", &predictor),
        of_kind(
            "rollouts.kruise.io/v1beta1",
            "Rollout",
            "a-kruise",
            &json!({"workloadRef": workload, "strategy": {"canary": {"steps": [{"traffic": "10%", "replicas": 1}]}}}),
        ),
    ]
}

/// Both sides of the route, and what other projects' objects stand on.
fn beneath() -> Vec<Value> {
    let mut all: Vec<Value> = ["under-flagger", "under-kruise"].map(|name| deployment(name, 1, "v1", Pods::Fast)).into();
    for side in ["stable", "canary"] {
        let labels = json!({"app": "weighed", "side": side});
        all.push(labelled(&format!("weighed-{side}"), &labels));
        all.push(service(&format!("weighed-{side}"), &labels));
    }
    all
}

async fn apply(fx: &Fixtures, objects: Vec<Value>) {
    for object in objects {
        fx.apply(object).await;
    }
}

/// Rows of the list as they stand there: names, each with what drives it.
fn rows(app: &App) -> String {
    app.term.screen().lines().filter(|line| line.contains("/a-") || line.contains("under-")).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn row(app: &App, engine: &str) {
    app.shows(&[&format!("a-{engine} ")]);
    let screen = app.term.screen();
    let line = screen.lines().find(|line| line.contains(&format!("a-{engine} "))).unwrap();
    assert!(line.replacen(&format!("a-{engine} "), "", 1).contains(engine), "{line}");
}

#[tokio::test]
async fn every_engine_at_once_and_kinds_that_come_and_go() {
    if !Rig::built() {
        return;
    }
    let rig = Rig::start(Options::api_only()).await.unwrap();
    let ns = rig.namespace("mixed").await;
    let fx = rig.fixtures(&ns);
    apply(&fx, plain()).await;
    apply(&fx, beneath()).await;
    fx.canary("a-argo", Canary::nginx()).await;
    apply(&fx, vec![canary()]).await;
    let app = Start::new(&rig, &ns).size(120, 50).run();
    app.press("s");
    for engine in ["argo", "flagger", "bluegreen", "ratio", "statefulset", "daemonset", "deployment"] {
        row(&app, engine);
    }
    // Nothing holds these yet.
    app.shows(&["under-kruise", "weighed-stable"]);
    assert!(!rows(&app).contains("under-flagger"), "what a Canary holds is no row of its own:\n{}", rows(&app));

    for name in LATER {
        rig.install(name).await;
    }
    apply(&fx, later()).await;
    for engine in ["split", "knative", "kserve", "kruise"] {
        row(&app, engine);
    }
    app.loses(&["under-kruise", "weighed-stable"]);
    let shown = ENGINES.iter().filter(|engine| rows(&app).contains(&format!("a-{} ", engine.kind().name()))).count();
    assert_eq!(shown, ENGINES.len(), "{}", rows(&app));

    // Taken away: its rows go, what they held stands for itself again, and the rest is as fresh as ever.
    fx.api().delete(&format!("{CRDS}/canaries.flagger.app")).await.unwrap();
    app.loses(&["a-flagger "]);
    app.shows(&["under-flagger", "a-argo ", "a-split "]);
    assert!(!app.term.screen().contains("stale") && !app.term.screen().contains("no CRD"), "{}", app.term.screen());
}

#[tokio::test]
async fn what_may_not_be_read_is_named_and_hides_nothing_else() {
    if !Rig::built() {
        return;
    }
    let rig = Rig::start(Options::api_only()).await.unwrap();
    let ns = rig.namespace("some").await;
    let fx = rig.fixtures(&ns);
    apply(&fx, plain()).await;
    fx.canary("a-argo", Canary::nginx()).await;
    let rule = json!({"apiGroups": ["argoproj.io"], "resources": ["rollouts"], "verbs": ["get", "list", "watch"]});
    let admin = rig.api(Identity::Admin);
    let role = json!({"metadata": {"name": "some"}, "rules": [rule]});
    admin.create(&format!("{RBAC}/namespaces/{ns}/roles"), &role).await.unwrap();
    let subject = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": Identity::Nobody.user()});
    let refers = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "some"});
    let binding = json!({"metadata": {"name": "some"}, "roleRef": refers, "subjects": [subject]});
    admin.create(&format!("{RBAC}/namespaces/{ns}/rolebindings"), &binding).await.unwrap();
    let app = Start::new(&rig, &ns).who(Identity::Nobody).run();
    app.press("s");
    app.shows(&["a-argo ", "no right to read"]);
    let screen = app.term.screen();
    assert!(!screen.contains("a-deployment") && !screen.contains("stale"), "{screen}");
}
