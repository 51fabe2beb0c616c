//! A cluster with one rollout, `x`, and what became of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::demo::{
    controllers::harness,
    kinds::{Custom, Kind},
    registry::{self, Write},
    sim::Sim,
    store::Key,
    workloads,
};

const KINDS: &str = "Rollout rollouts, AnalysisRun analysisruns, AnalysisTemplate analysistemplates, \
                     ClusterAnalysisTemplate clusteranalysistemplates, Experiment experiments";

pub struct Play {
    pub sim: Sim,
    /// Where the next [`Play::seen`] begins.
    from: u64,
}

/// Steps of most tests.
pub fn steps() -> Value {
    json!([{"setWeight": 25}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}])
}

pub fn template(tag: &str) -> Value {
    json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "app", "image": format!("app:{tag}")}]}})
}

pub fn rollout(strategy: Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "x", "namespace": "shop"},
        "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "x"}}, "template": template("v1"), "strategy": strategy},
    })
}

pub fn service(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]}})
}

fn custom(kind: &str, plural: &str, group: &str) -> Kind {
    Kind {
        group: group.into(),
        versions: vec!["v1alpha1".into()],
        kind: kind.into(),
        plural: plural.into(),
        singular: kind.to_lowercase(),
        namespaced: !kind.starts_with("Cluster"),
        status: kind == "Rollout",
        custom: Some(Custom { schema: Default::default(), columns: Default::default() }),
        ..Kind::default()
    }
}

impl Play {
    /// Nothing but what the controller needs.
    pub fn empty() -> Self {
        let mut sim = harness::sim();
        for (kind, plural) in KINDS.split(", ").filter_map(|names| names.split_once(' ')) {
            sim.store.add_kind(custom(kind, plural, "argoproj.io"));
        }
        for (kind, plural) in [("VirtualService", "virtualservices"), ("DestinationRule", "destinationrules")] {
            sim.store.add_kind(custom(kind, plural, "networking.istio.io"));
        }
        let quick = workloads::Pods { start_up: Duration::from_millis(30), spread: Duration::ZERO, ..Default::default() };
        ["v1", "v2", "v3", "v4"].iter().for_each(|tag| sim.workloads.set_pods("shop/x", tag, quick));
        let from = sim.store.revision();
        Self { sim, from }
    }

    /// Templates by what becomes of their runs. Queries find nothing here, and the conditions know it.
    pub fn empty_with_templates() -> Self {
        let mut play = Self::empty();
        let (yes, no) = ("len(result) == 0", "len(result) > 0");
        let all = [
            ("good", json!({"successCondition": yes})),
            ("bad", json!({"successCondition": no})),
            ("vague", json!({"successCondition": no, "failureCondition": no})),
            ("slow", json!({"successCondition": yes, "count": 4, "interval": "10s"})),
            ("endless", json!({"successCondition": yes, "interval": "10s"})),
            ("late-bad", json!({"successCondition": no, "initialDelay": "8s"})),
            ("args", json!({"successCondition": yes})),
        ];
        for (name, mut metric) in all {
            metric["name"] = "m".into();
            metric["provider"] = json!({"prometheus": {"address": "http://prometheus", "query": "up"}});
            let mut spec = json!({"metrics": [metric]});
            if name == "args" {
                spec["args"] = ["new", "old", "app", "plain"].iter().map(|name| json!({ "name": name })).collect();
            }
            play.create("analysistemplates.argoproj.io", json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec}));
        }
        play
    }

    /// A canary without a router, its first version deployed. `more` is merged into the rollout.
    pub fn canary(steps: Value, more: Value) -> Self {
        Self::deployed(json!({"canary": {"steps": steps}}), more, &[])
    }

    /// A canary behind ingress-nginx.
    pub fn nginx(steps: Value, more: Value) -> Self {
        let canary = json!({
            "steps": steps, "canaryService": "x-c", "stableService": "x-s", "trafficRouting": {"nginx": {"stableIngress": "x"}},
        });
        Self::deployed(json!({"canary": canary}), more, &["x-c", "x-s"])
    }

    pub fn blue_green(settings: Value, more: Value) -> Self {
        let mut strategy = json!({"activeService": "x-a", "previewService": "x-p", "autoPromotionEnabled": false});
        json_patch::merge(&mut strategy, &settings);
        Self::deployed(json!({"blueGreen": strategy}), more, &["x-a", "x-p"])
    }

    fn deployed(strategy: Value, more: Value, services: &[&str]) -> Self {
        let mut play = Self::empty();
        services.iter().for_each(|name| drop(play.create("services", service(name))));
        if services.contains(&"x-s") {
            play.create("ingresses.networking.k8s.io", ingress());
        }
        let mut object = rollout(strategy);
        json_patch::merge(&mut object, &more);
        play.create("rollouts.argoproj.io", object);
        // Versions made within one second have no order.
        play.wait(3.0);
        play.seen();
        play
    }

    pub fn create(&mut self, kind: &str, object: Value) -> Value {
        harness::create(&mut self.sim, kind, object)
    }

    pub fn wait(&mut self, seconds: f64) -> &mut Self {
        harness::run(&mut self.sim, seconds);
        self
    }

    pub fn patch(&mut self, patch: Value) -> &mut Self {
        harness::patch(&mut self.sim, "rollouts.argoproj.io", "x", &patch);
        self
    }

    pub fn patch_status(&mut self, status: Value) -> &mut Self {
        let mut object = self.rollout();
        json_patch::merge(&mut object, &json!({ "status": status }));
        let write = Write::new(self.sim.now(), "test").status();
        registry::update(&mut self.sim.store, "rollouts.argoproj.io", object, write).unwrap();
        self
    }

    pub fn image(&mut self, tag: &str) -> &mut Self {
        self.patch(json!({"spec": {"template": template(tag)}}))
    }

    /// An image whose pods never get ready.
    pub fn broken_image(&mut self, tag: &str) -> &mut Self {
        let mut template = template(tag);
        template["metadata"]["labels"][workloads::FATE_LABEL] = "never".into();
        self.patch(json!({"spec": {"template": template}}))
    }

    pub fn promote(&mut self) -> &mut Self {
        self.patch_status(json!({"pauseConditions": null}))
    }

    pub fn abort(&mut self) -> &mut Self {
        self.patch_status(json!({"abort": true}))
    }

    pub fn retry(&mut self) -> &mut Self {
        self.patch_status(json!({"abort": false}))
    }

    pub fn promote_fully(&mut self) -> &mut Self {
        self.patch_status(json!({"promoteFull": true}))
    }

    pub fn pause(&mut self, paused: bool) -> &mut Self {
        self.patch(json!({"spec": {"paused": paused}}))
    }

    pub fn get(&self, kind: &str, name: &str) -> Value {
        harness::get(&self.sim, kind, name)
    }

    pub fn rollout(&self) -> Value {
        self.get("rollouts.argoproj.io", "x")
    }

    pub fn status(&self) -> Value {
        self.rollout()["status"].clone()
    }

    /// `phase message`.
    pub fn phase(&self) -> String {
        phase(&self.rollout())
    }

    /// The version with this image tag.
    pub fn set(&self, tag: &str) -> Value {
        let image = format!("app:{tag}");
        let mut sets = harness::list(&self.sim, "replicasets.apps").into_iter();
        sets.find(|set| set["spec"]["template"]["spec"]["containers"][0]["image"] == image.as_str()).unwrap_or_default()
    }

    /// Pods the version should have.
    pub fn size(&self, tag: &str) -> i64 {
        self.set(tag)["spec"]["replicas"].as_i64().unwrap_or(-1)
    }

    pub fn hash(&self, tag: &str) -> String {
        self.set(tag)["metadata"]["labels"]["rollouts-pod-template-hash"].as_str().unwrap_or_default().to_owned()
    }

    pub fn annotation(&self, tag: &str, name: &str) -> String {
        self.set(tag)["metadata"]["annotations"][name].as_str().unwrap_or_default().to_owned()
    }

    /// The image tag of the version a Service stands for.
    pub fn behind(&self, service: &str) -> String {
        self.tag(self.get("services", service)["spec"]["selector"]["rollouts-pod-template-hash"].as_str().unwrap_or_default())
    }

    /// The image tag of the version with this hash.
    pub fn tag(&self, hash: &str) -> String {
        let tags = ["v1", "v2", "v3", "v4"].into_iter();
        tags.filter(|tag| !hash.is_empty() && self.hash(tag) == hash).collect()
    }

    /// The canary's weight: in the status, and where the router reads it.
    pub fn weight(&self) -> (i64, String) {
        let ingress = self.get("ingresses.networking.k8s.io", "x-x-canary");
        let told = ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"].as_str().unwrap_or_default().to_owned();
        (self.status()["canary"]["weights"]["canary"]["weight"].as_i64().unwrap_or(-1), told)
    }

    /// `phase message @step` of each update of the rollout since the last call, repeats left out.
    pub fn seen(&mut self) -> Vec<String> {
        let changes = self.sim.store.changes_after("rollouts.argoproj.io", self.from).unwrap();
        let objects = changes.filter_map(|change| change.after.as_ref()).map(|after| after.value());
        let mut lines: Vec<String> = objects.map(|object| line(&object)).collect();
        lines.dedup();
        self.from = self.sim.store.revision();
        lines
    }

    /// Reasons of events about the rollout, in order, without their counts.
    pub fn reasons(&self) -> Vec<String> {
        let of = |event: String| event.split_once(':').map(|(reason, _)| reason.to_owned());
        harness::events(&self.sim, "x").into_iter().filter_map(of).collect()
    }

    pub fn events(&self) -> Vec<String> {
        harness::events(&self.sim, "x")
    }

    /// `status/reason` of a condition.
    pub fn condition(&self, kind: &str) -> String {
        let status = self.status();
        let all = status["conditions"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let found = all.iter().find(|condition| condition["type"] == kind);
        found.map(|condition| format!("{}/{}", text(&condition["status"]), text(&condition["reason"]))).unwrap_or_default()
    }

    /// Names of all AnalysisRuns.
    pub fn runs(&self) -> Vec<String> {
        let runs = harness::list(&self.sim, "analysisruns.argoproj.io");
        runs.iter().filter_map(|run| run["metadata"]["name"].as_str().map(str::to_owned)).collect()
    }

    /// Pods of this version die, and new ones do not get ready.
    pub fn break_pods(&mut self, tag: &str) {
        let never = workloads::Pods { fate: workloads::Fate::Never, ..Default::default() };
        self.sim.workloads.set_pods("shop/x", tag, never);
        let hash = self.hash(tag);
        let mut pods = harness::pods(&self.sim);
        pods.retain(|pod| pod["metadata"]["labels"]["rollouts-pod-template-hash"] == hash.as_str());
        pods.iter().for_each(|pod| self.delete("pods", pod["metadata"]["name"].as_str().unwrap()));
    }

    pub fn delete(&mut self, kind: &str, name: &str) {
        let write = Write::new(self.sim.now(), "test");
        registry::delete(&mut self.sim.store, &Key::new(kind, "shop", name), write).unwrap();
    }
}

pub fn ingress() -> Value {
    let backend = json!({"service": {"name": "x-s", "port": {"number": 80}}});
    json!({
        "metadata": {"name": "x", "namespace": "shop"},
        "spec": {"ingressClassName": "nginx", "rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]},
    })
}

fn phase(object: &Value) -> String {
    let status = &object["status"];
    let text = |field: &str| status[field].as_str().unwrap_or("-").to_owned();
    let message = status["message"].as_str().map(|message| format!(" {message}")).unwrap_or_default();
    format!("{}{message}", text("phase"))
}

fn line(object: &Value) -> String {
    let is_observed = object["status"]["observedGeneration"].as_str() == Some(&*object["metadata"]["generation"].to_string());
    let status = &object["status"];
    let is_unpausing = status["controllerPause"] == true && status["pauseConditions"].as_array().is_none_or(Vec::is_empty);
    let step = status["currentStepIndex"].as_i64().map(|index| format!(" @{index}")).unwrap_or_default();
    let marks = [(!is_observed, " unobserved"), (is_unpausing, " unpausing"), (status["abort"] == true, " abort")];
    let marks: String = marks.into_iter().filter(|(is_set, _)| *is_set).map(|(_, mark)| mark).collect();
    format!("{}{step}{marks}", phase(object))
}
