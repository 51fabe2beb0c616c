//! Models behind KServe: the one number that divides their users, moved, taken back and removed, each with one write.
//!
//! On the rig the kinds are the real ones and nobody acts on them: there the tests write the status that KServe's controller
//! would, from what Knative would make of the spec. On the embedded cluster both of them act.

use std::time::{Duration, Instant};

use rolltop::{
    engine::{Progress, knative::SERVICE, kserve::KSERVE},
    intent::Intent,
};
use serde_json::{Value, json};

use crate::{
    cluster::{api::collection, manifests::object},
    suite::{
        app::{App, PATIENCE, Start},
        knative::{API as KNATIVE_API, Stage},
        split::writes,
        workloads::{Desk, carry_out, lost},
    },
};

const API: &str = "serving.kserve.io/v1beta1";
const PERCENT: &str = "/spec/predictor/canaryTrafficPercent";

struct Models(Stage);

impl Models {
    async fn new(name: &str) -> Option<Self> {
        Stage::new(name).await.map(Self)
    }

    fn path(&self, end: &str) -> String {
        format!("{}/fraud{end}", collection(API, Some(&self.0.ns), "inferenceservices"))
    }

    async fn model(&self) -> Value {
        self.0.fx.get(API, "inferenceservices", "fraud").await
    }

    async fn edit(&self, predictor: &Value) {
        self.0.fx.api().merge(&self.path(""), &json!({"spec": {"predictor": predictor}})).await.unwrap();
        self.settle().await;
    }

    /// `fraud` of v1, up.
    async fn made(&self, annotations: &Value) {
        let mut service = object(API, "InferenceService", "fraud");
        service["metadata"]["annotations"] = annotations.clone();
        service["spec"] = json!({"predictor": {"containers": containers("v1")}});
        self.0.fx.apply(service).await;
        self.settle().await;
    }

    /// v2 with ten percent of the users.
    async fn canary(&self) {
        self.edit(&json!({"containers": containers("v2"), "canaryTrafficPercent": 10})).await;
    }

    /// Until what is asked for is done.
    async fn settle(&self) {
        if !self.0.acts {
            // What it remembers follows from what it did: once more is enough.
            for _ in 0..2 {
                self.play().await;
            }
            return;
        }
        let begin = Instant::now();
        let mut calm = 0;
        let mut before = Value::Null;
        while calm < 8 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let model = self.model().await;
            let is_ready = model["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
            calm = if is_ready && before == model { calm + 1 } else { 0 };
            before = model;
            assert!(begin.elapsed() < PATIENCE, "it does not settle:\n{:#}", before["status"]);
        }
    }

    async fn play(&self) {
        let model = self.model().await;
        let raw = model["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "RawDeployment";
        let mut component = model["status"]["components"]["predictor"].clone();
        if !raw {
            follow(&mut component, &model["spec"]["predictor"]);
        }
        let conditions = ["IngressReady", "PredictorReady", "Ready"].map(|kind| json!({"type": kind, "status": "True"}));
        let status = json!({
            "observedGeneration": 1, "deploymentMode": if raw { "RawDeployment" } else { "Serverless" }, "conditions": conditions,
            "components": {"predictor": if component.is_object() { component } else { json!({}) }},
            "modelStatus": {"transitionStatus": "UpToDate", "states": {"activeModelState": "Loaded", "targetModelState": "Loaded"}},
        });
        self.0.fx.api().merge(&self.path("/status"), &json!({"status": status})).await.unwrap();
    }

    fn open(&self) -> App {
        Start::new(self.0.rig, &self.0.ns).args(["-n", &self.0.ns, "fraud"]).run()
    }

    /// The person acts, the cluster follows, and the screen has seen it.
    async fn act(&self, app: &App, keys: &str, words: &[&str]) {
        let before = writes(self.0.rig, &self.0.ns).len();
        app.press(keys);
        app.shows(words);
        app.confirm();
        let begin = Instant::now();
        while writes(self.0.rig, &self.0.ns).len() == before {
            assert!(begin.elapsed() < PATIENCE, "nothing was written");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.settle().await;
        app.done();
    }

    /// Live shares of the revisions by their numbers.
    async fn shares(&self) -> Vec<(String, i64)> {
        let model = self.model().await;
        let all = model["status"]["components"]["predictor"]["traffic"].as_array().cloned().unwrap_or_default();
        let number =
            |target: &Value| target["revisionName"].as_str().unwrap().rsplit('-').next().unwrap().trim_start_matches('0').to_owned();
        all.iter().map(|target| (number(target), target["percent"].as_i64().unwrap_or(0))).filter(|(_, percent)| *percent > 0).collect()
    }
}

fn containers(tag: &str) -> Value {
    json!([{"name": "kserve-container", "image": format!("registry.example/fraud:{tag}")}])
}

fn share(number: &str, percent: i64) -> (String, i64) {
    (number.to_owned(), percent)
}

/// The component's status as KServe keeps it: all to the latest revision until another had all users before.
fn follow(component: &mut Value, predictor: &Value) {
    if !component.is_object() {
        *component = json!({});
    }
    let tag = predictor["containers"][0]["image"].as_str().unwrap().rsplit_once(":v").unwrap().1;
    let latest: Value = format!("fraud-predictor-0000{tag}").into();
    component["latestCreatedRevision"] = latest.clone();
    component["latestReadyRevision"] = latest.clone();
    let rolled_out = component["latestRolledoutRevision"].clone();
    let asked = predictor["canaryTrafficPercent"].as_i64().filter(|_| rolled_out.is_string());
    let percent = asked.unwrap_or(100);
    let mut traffic = vec![json!({"revisionName": latest, "latestRevision": true, "percent": percent})];
    if percent < 100 {
        traffic.push(json!({"revisionName": rolled_out, "latestRevision": false, "percent": 100 - percent, "tag": "prev"}));
    }
    component["traffic"] = traffic.into();
    if rolled_out != latest && percent == 100 {
        component["previousRolledoutRevision"] = rolled_out;
        component["latestRolledoutRevision"] = latest;
    } else if rolled_out == latest && percent < 100 && component["previousRolledoutRevision"].is_string() {
        component["latestRolledoutRevision"] = component["previousRolledoutRevision"].clone();
    }
}

#[tokio::test]
async fn a_canary_is_divided_taken_back_promoted_and_undone() {
    let Some(models) = Models::new("ks").await else { return };
    models.made(&Value::Null).await;
    let app = models.open();
    app.shows(&["HEALTHY", "all users are on fraud-predictor-00001"]);
    models.canary().await;
    app.shows(&["WAITING", "10 % of the users are on fraud-predictor-00002"]);
    models.act(&app, "w\x7f\x7f\x7f40\r", &["Sends 40 % of the users to fraud-predictor-00002 and 60 %", "accepted"]).await;
    assert_eq!(models.shares().await, [share("2", 40), share("1", 60)]);
    models.act(&app, "a", &["Sends all users to fraud-predictor-00001", "accepted"]).await;
    assert_eq!((models.shares().await, models.model().await.pointer(PERCENT)), (vec![share("1", 100)], Some(&json!(0))));
    models.act(&app, "p", &["Removes the canary share", "accepted"]).await;
    assert_eq!((models.shares().await, models.model().await.pointer(PERCENT)), (vec![share("2", 100)], None));
    app.shows(&["HEALTHY", "all users are on fraud-predictor-00002"]);
    models.act(&app, "u", &["KServe takes fraud-predictor-00002 back", "accepted"]).await;
    assert_eq!(models.shares().await, [share("1", 100)]);
    assert_eq!(writes(models.0.rig, &models.0.ns), [200, 200, 200, 200]);
}

#[tokio::test]
async fn each_write_holds_once() {
    let Some(models) = Models::new("ks-once").await else { return };
    models.made(&Value::Null).await;
    models.canary().await;
    for intent in
        [Intent::SetWeight { percent: 50 }, Intent::Abort, Intent::SetWeight { percent: 100 }, Intent::Undo { to: None }, Intent::Promote]
    {
        let before = Desk::read(&models.0.fx, &KSERVE, "fraud").await;
        let plan = before.plan(&intent).unwrap_or_else(|refusal| panic!("{intent:?}: {refusal:?}"));
        assert_eq!(plan.writes.len(), 1, "{intent:?}");
        carry_out(&models.0.fx, &plan).await.unwrap_or_else(|error| panic!("{intent:?}: {error}"));
        lost(carry_out(&models.0.fx, &plan).await);
        assert_ne!(before.progress(&plan), Progress::Done, "{intent:?}");
        models.settle().await;
        assert_eq!(Desk::read(&models.0.fx, &KSERVE, "fraud").await.progress(&plan), Progress::Done, "{intent:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_refused() {
    let Some(models) = Models::new("ks-no").await else { return };
    models.made(&Value::Null).await;
    let desk = Desk::read(&models.0.fx, &KSERVE, "fraud").await;
    let words = |intent: &Intent| desk.plan(intent).unwrap_err().reason.to_string();
    assert!(words(&Intent::SetWeight { percent: 20 }).contains("nothing is in flight"));
    assert!(words(&Intent::Abort).contains("nothing is in flight"));
    assert!(words(&Intent::Undo { to: None }).contains("remembers no revision"));
}

#[tokio::test]
async fn without_knative_there_is_no_share_to_set() {
    let Some(models) = Models::new("ks-raw").await else { return };
    models.made(&json!({"serving.kserve.io/deploymentMode": "RawDeployment"})).await;
    models.canary().await;
    let app = models.open();
    app.shows(&["HEALTHY", "RawDeployment", "rolls pod by pod"]);
    for keys in ["P", "a"] {
        app.press(keys);
        app.shows(&["its deployment mode knows no share of users"]);
        app.escape();
    }
    assert!(writes(models.0.rig, &models.0.ns).is_empty());
}

/// The Knative Service under a model is the model's to steer.
#[tokio::test]
async fn what_is_under_a_model_is_no_row_of_its_own() {
    let Some(models) = Models::new("ks-under").await else { return };
    models.made(&Value::Null).await;
    if !models.0.acts {
        let model = models.model().await;
        let owner = json!({
            "apiVersion": API, "kind": "InferenceService", "name": "fraud", "uid": model["metadata"]["uid"], "controller": true,
        });
        let mut under = object(KNATIVE_API, "Service", "fraud-predictor");
        under["metadata"]["ownerReferences"] = json!([owner]);
        under["spec"] = json!({"template": {"spec": {"containers": containers("v1")}}});
        models.0.fx.apply(under).await;
        models.0.settle("fraud-predictor").await;
    }
    assert_eq!(models.0.fx.list(KNATIVE_API, SERVICE.plural).await.len(), 1);
    let app = Start::new(models.0.rig, &models.0.ns).run();
    app.press("s");
    app.shows(&["kserve", "fraud"]);
    app.loses(&["knative", "fraud-predictor"]);
}
