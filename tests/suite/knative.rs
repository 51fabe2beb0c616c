//! Knative Services: users moved between revisions, taken back, pinned and let go again, each with one write.
//!
//! On the rig the kinds are the real ones and nobody acts on them: there the tests write what Knative's controllers would,
//! the revision of each new template and the status that follows from the spec. On the embedded cluster its controllers do.

use std::time::Instant;

use rolltop::{
    engine::{Progress, knative::KNATIVE},
    intent::Intent,
};
use serde_json::{Value, json};

use crate::{
    cluster::{Fixtures, Rig, api::collection, manifests::object},
    suite::{
        app::{App, PATIENCE, Start},
        split::writes,
        workloads::{Desk, carry_out, lost},
    },
};

pub const API: &str = "serving.knative.dev/v1";

/// A namespace on a cluster that knows Knative, with or without its controllers.
pub struct Stage {
    pub rig: &'static Rig,
    pub ns: String,
    pub fx: Fixtures,
    pub acts: bool,
}

impl Stage {
    pub async fn new(name: &str) -> Option<Self> {
        let rig = Rig::shared().await?;
        let acts = rig.knative().await;
        let ns = rig.namespace(name).await;
        let fx = rig.fixtures(&ns);
        Some(Self { rig, ns, fx, acts })
    }

    fn path(&self, plural: &str, name: &str) -> String {
        format!("{}/{name}", collection(API, Some(&self.ns), plural))
    }

    /// Merge patch, as somebody else than the person at the screen.
    pub async fn edit(&self, name: &str, change: &Value) -> Value {
        self.fx.api().merge(&self.path("services", name), change).await.unwrap()
    }

    pub async fn service(&self, name: &str) -> Value {
        self.fx.get(API, "services", name).await
    }

    /// `web` of v1, up.
    async fn made(&self, traffic: &Value) {
        let mut service = object(API, "Service", "web");
        service["spec"] = json!({"template": template("v1"), "traffic": traffic});
        self.fx.apply(service).await;
        self.settle("web").await;
    }

    /// The template `tag`, and its revision ready.
    async fn release(&self, tag: &str) {
        self.edit("web", &json!({"spec": {"template": template(tag)}})).await;
        self.settle("web").await;
    }

    async fn traffic(&self, targets: &Value) {
        self.edit("web", &json!({"spec": {"traffic": targets}})).await;
        self.settle("web").await;
    }

    /// Until what is asked for is done.
    pub async fn settle(&self, name: &str) -> Value {
        if !self.acts {
            return self.play(name).await;
        }
        let begin = Instant::now();
        loop {
            let service = self.service(name).await;
            let observed = service["status"]["observedGeneration"] == service["metadata"]["generation"];
            let conditions = service["status"]["conditions"].as_array().into_iter().flatten();
            let ready = conditions.clone().count() == 3 && conditions.clone().all(|condition| condition["status"] == "True");
            if observed && ready {
                return service;
            }
            assert!(begin.elapsed() < PATIENCE, "{name} does not settle:\n{:#}", service["status"]);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// As the controllers of Configurations, Revisions and Routes would together.
    async fn play(&self, name: &str) -> Value {
        let service = self.service(name).await;
        let newest = self.revision(&service).await;
        let asked = service["spec"]["traffic"].as_array().filter(|all| !all.is_empty()).cloned();
        let asked = asked.unwrap_or_else(|| vec![json!({"latestRevision": true, "percent": 100})]);
        let traffic: Vec<Value> = asked.into_iter().map(|target| resolved(target, &newest)).collect();
        let conditions = ["ConfigurationsReady", "Ready", "RoutesReady"].map(|kind| json!({"type": kind, "status": "True"}));
        let status = json!({
            "observedGeneration": service["metadata"]["generation"], "latestCreatedRevisionName": newest, "latestReadyRevisionName": newest,
            "traffic": traffic, "conditions": conditions,
        });
        self.fx.api().merge(&format!("{}/status", self.path("services", name)), &json!({"status": status})).await.unwrap()
    }

    /// The revision of the present template, made if there is none.
    async fn revision(&self, service: &Value) -> String {
        let of = |object: &Value| object["metadata"]["labels"]["serving.knative.dev/service"].clone();
        let mut all = self.fx.list(API, "revisions").await;
        all.retain(|revision| of(revision) == service["metadata"]["name"]);
        let image = |spec: &Value| spec["containers"][0]["image"].clone();
        let wanted = &service["spec"]["template"]["spec"];
        if let Some(found) = all.iter().find(|revision| image(&revision["spec"]) == image(wanted)) {
            return found["metadata"]["name"].as_str().unwrap().to_owned();
        }
        let name = format!("{}-{:05}", service["metadata"]["name"].as_str().unwrap(), all.len() + 1);
        let mut revision = object(API, "Revision", &name);
        revision["metadata"]["labels"] = json!({"serving.knative.dev/service": service["metadata"]["name"]});
        revision["spec"] = wanted.clone();
        self.fx.apply(revision).await;
        let status = json!({"status": {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}});
        self.fx.api().merge(&format!("{}/status", self.path("revisions", &name)), &status).await.unwrap();
        name
    }

    fn open(&self, name: &str) -> App {
        Start::new(self.rig, &self.ns).args(["-n", &self.ns, name]).run()
    }

    /// The person acts, the cluster follows, and the screen has seen it.
    async fn act(&self, app: &App, keys: &str, words: &[&str]) {
        app.press(keys);
        app.shows(words);
        app.confirm();
        let begin = Instant::now();
        let mut before = Vec::new();
        // The write comes a moment after the key.
        while before.is_empty() || begin.elapsed() < std::time::Duration::from_millis(300) {
            before = writes(self.rig, &self.ns);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            assert!(begin.elapsed() < PATIENCE, "nothing was written");
        }
        self.settle("web").await;
        app.done();
    }
}

fn template(tag: &str) -> Value {
    json!({"spec": {"containers": [{"name": "user-container", "image": format!("registry.example/web:{tag}")}]}})
}

fn resolved(mut target: Value, newest: &str) -> Value {
    let latest = target["revisionName"].as_str().is_none_or(str::is_empty);
    if latest {
        target["revisionName"] = newest.into();
    }
    target["latestRevision"] = latest.into();
    target
}

fn by_name(name: &str, percent: u32) -> Value {
    json!({"revisionName": name, "latestRevision": false, "percent": percent})
}

/// Both the spec's and the status', as names with shares.
fn shares(service: &Value) -> [Vec<(String, i64)>; 2] {
    ["spec", "status"].map(|part| {
        let all = service[part]["traffic"].as_array().into_iter().flatten();
        let named =
            all.map(|target| (target["revisionName"].as_str().unwrap_or("latest").to_owned(), target["percent"].as_i64().unwrap_or(0)));
        named.filter(|(_, percent)| *percent > 0).collect()
    })
}

fn both(all: &[(&str, i64)]) -> [Vec<(String, i64)>; 2] {
    let all: Vec<(String, i64)> = all.iter().map(|(name, percent)| ((*name).to_owned(), *percent)).collect();
    [all.clone(), all]
}

#[tokio::test]
async fn users_are_moved_taken_back_and_sent_all_the_way() {
    let Some(stage) = Stage::new("kn").await else { return };
    stage.made(&json!([by_name("web-00001", 100)])).await;
    let app = stage.open("web");
    app.shows(&["HEALTHY", "all users are on web-00001"]);
    stage.release("v2").await;
    app.shows(&["PAUSED", "web-00002 has no users"]);
    stage.act(&app, "w\x7f\x7f\x7f20\r", &["Sends 20 % of the users to web-00002 and 80 % to web-00001", "accepted"]).await;
    assert_eq!(shares(&stage.service("web").await), both(&[("web-00002", 20), ("web-00001", 80)]));
    app.shows(&["WAITING", "20 % of the users are on web-00002"]);
    stage.act(&app, "a", &["Sends all users to web-00001", "accepted"]).await;
    assert_eq!(shares(&stage.service("web").await), both(&[("web-00001", 100)]));
    app.shows(&["PAUSED", "web-00002 has no users"]);
    stage.act(&app, "p", &["Sends 100 % of the users to web-00002", "accepted"]).await;
    assert_eq!(shares(&stage.service("web").await), both(&[("web-00002", 100)]));
    app.shows(&["HEALTHY", "all users are on web-00002"]);
    assert_eq!(writes(stage.rig, &stage.ns), [200, 200, 200]);
}

#[tokio::test]
async fn users_are_pinned_let_go_and_brought_back() {
    let Some(stage) = Stage::new("kn-pin").await else { return };
    stage.made(&json!([{"latestRevision": true, "percent": 100}])).await;
    let app = stage.open("web");
    app.shows(&["HEALTHY", "the next revision gets all users"]);
    stage.act(&app, " ", &["Pins all users to web-00001", "accepted"]).await;
    stage.release("v2").await;
    app.shows(&["PAUSED", "web-00002 has no users"]);
    assert_eq!(shares(&stage.service("web").await), both(&[("web-00001", 100)]));
    stage.act(&app, "P", &["Sends 100 % of the users to web-00002", "accepted"]).await;
    app.shows(&["HEALTHY", "the next revision gets no users"]);
    stage.act(&app, " ", &["follow the latest revision", "accepted"]).await;
    assert_eq!(shares(&stage.service("web").await)[0], [("latest".to_owned(), 100)]);
    // Which one to go back to is asked.
    app.press("u");
    app.shows(&["web-00001", "ready"]);
    stage.act(&app, "\r", &["Sends all users to web-00001 (registry.example/web:v1)", "accepted"]).await;
    assert_eq!(shares(&stage.service("web").await), both(&[("web-00001", 100)]));
    assert_eq!(writes(stage.rig, &stage.ns), [200, 200, 200, 200]);
}

#[tokio::test]
async fn each_write_holds_once_and_tags_keep_their_addresses() {
    let Some(stage) = Stage::new("kn-once").await else { return };
    stage.made(&json!([by_name("web-00001", 100)])).await;
    stage.release("v2").await;
    let tagged = json!({"revisionName": "web-00001", "latestRevision": false, "percent": 0, "tag": "before"});
    let image = Intent::SetImage { container: "user-container".into(), image: "registry.example/web:v3".into() };
    for intent in [Intent::SetWeight { percent: 20 }, Intent::Abort, Intent::Promote, Intent::Undo { to: None }, image] {
        stage.traffic(&json!([by_name("web-00001", 70), by_name("web-00002", 30), tagged])).await;
        let before = Desk::read(&stage.fx, &KNATIVE, "web").await;
        let plan = before.plan(&intent).unwrap_or_else(|refusal| panic!("{intent:?}: {refusal:?}"));
        assert_eq!(plan.writes.len(), 1, "{intent:?}");
        carry_out(&stage.fx, &plan).await.unwrap_or_else(|error| panic!("{intent:?}: {error}"));
        lost(carry_out(&stage.fx, &plan).await);
        assert_eq!(before.progress(&plan), Progress::Nothing, "{intent:?}");
        let service = stage.settle("web").await;
        let after = Desk::read(&stage.fx, &KNATIVE, "web").await;
        assert_eq!(after.progress(&plan), Progress::Done, "{intent:?}");
        let tags: Vec<&Value> = service["spec"]["traffic"].as_array().unwrap().iter().filter(|target| target["tag"] == "before").collect();
        assert!(tags.len() == 1 && tags[0]["revisionName"] == "web-00001", "{intent:?}: {service:#}");
    }
}

#[tokio::test]
async fn a_new_revision_while_the_card_is_read_is_not_sent_users() {
    let Some(stage) = Stage::new("kn-race").await else { return };
    stage.made(&json!([by_name("web-00001", 100)])).await;
    stage.release("v2").await;
    let app = stage.open("web");
    app.shows(&["PAUSED", "web-00002 has no users"]);
    app.press("P");
    app.shows(&["Sends 100 % of the users to web-00002", "accepted"]);
    stage.release("v3").await;
    app.loses(&["of the users to web-00002"]);
    app.escape();
    assert_eq!(shares(&stage.service("web").await), both(&[("web-00001", 100)]));
    assert!(writes(stage.rig, &stage.ns).is_empty(), "{:?}", writes(stage.rig, &stage.ns));
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_a_better_way() {
    let Some(stage) = Stage::new("kn-no").await else { return };
    stage.made(&json!([{"latestRevision": true, "percent": 100}])).await;
    let desk = Desk::read(&stage.fx, &KNATIVE, "web").await;
    let words = |intent: &Intent| desk.plan(intent).unwrap_err();
    assert!(words(&Intent::SetWeight { percent: 20 }).reason.contains("all users are on the latest revision"));
    assert!(words(&Intent::Abort).reason.contains("one revision serves everybody"));
    assert!(words(&Intent::Undo { to: None }).reason.contains("no earlier revision"));
    assert!(words(&Intent::Undo { to: Some("web-00009".into()) }).reason.contains("is gone"));
    let app = stage.open("web");
    app.shows(&["HEALTHY"]);
    app.press("a");
    app.shows(&["one revision serves everybody"]);
    assert!(writes(stage.rig, &stage.ns).is_empty());
}

#[tokio::test]
async fn one_that_flagger_or_kserve_drives_is_no_row_of_its_own() {
    let Some(stage) = Stage::new("kn-owned").await else { return };
    stage.made(&json!([{"latestRevision": true, "percent": 100}])).await;
    let mut canary = object("flagger.app/v1beta1", "Canary", "web");
    let target = json!({"apiVersion": API, "kind": "Service", "name": "web"});
    canary["spec"] = json!({"provider": "knative", "targetRef": target, "analysis": {"interval": "1m", "threshold": 5, "iterations": 2}});
    stage.fx.apply(canary).await;
    let app = Start::new(stage.rig, &stage.ns).run();
    app.press("s");
    app.shows(&["flagger"]);
    app.loses(&["knative"]);
}
