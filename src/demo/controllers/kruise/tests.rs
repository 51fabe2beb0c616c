//! The controller in virtual time, in the words of the real one: what it wrote, in its order, as recorded on a real cluster.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use serde_json::{Value, json};

use super::names::{CANARY_OF, DEPLOYMENTS, HASH, IN_PROGRESS, INGRESSES, ORIGINAL, ROLLOUTS, SERVICES};
use crate::demo::{
    api::crd,
    controllers::{
        harness::{self, create, get, list, patch},
        objects::condition,
    },
    registry::{self, Write},
    sim::Sim,
    workloads::Pods,
};

struct Play {
    sim: Sim,
    seen: Vec<String>,
    /// What the status said last.
    last: String,
}

fn steps() -> Value {
    json!([{"traffic": "20%", "replicas": 1, "pause": {}}, {"traffic": "40%", "replicas": 2, "pause": {}},
        {"traffic": "60%", "replicas": 3, "pause": {}}, {"traffic": "100%", "replicas": "100%", "pause": {}}])
}

impl Play {
    /// A Deployment `x` of four pods, at rest, and the Rollout that is for it.
    fn new(strategy: &Value) -> Self {
        let mut sim = harness::sim();
        crd::install_others(&mut sim, &[ROLLOUTS.into()], harness::epoch());
        let quick = Pods { start_up: Duration::from_millis(300), spread: Duration::ZERO, ..Pods::default() };
        ["v1", "v2", "v3"].iter().for_each(|tag| sim.workloads.set_pods("shop/x", tag, quick));
        let mut deployment = harness::deployment("x", 4);
        (deployment["apiVersion"], deployment["kind"]) = ("apps/v1".into(), "Deployment".into());
        create(&mut sim, DEPLOYMENTS, deployment);
        let service = json!({"metadata": {"name": "x", "namespace": "shop"}, "spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]}});
        create(&mut sim, SERVICES, service);
        let path = json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "x", "port": {"number": 80}}}});
        let rules = json!([{"host": "x.example.test", "http": {"paths": [path]}}]);
        create(&mut sim, INGRESSES, json!({"metadata": {"name": "x", "namespace": "shop"}, "spec": {"rules": rules}}));
        harness::run(&mut sim, 5.0);
        let spec = json!({"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}, "strategy": strategy});
        create(&mut sim, ROLLOUTS, json!({"metadata": {"name": "x", "namespace": "shop"}, "spec": spec}));
        let mut play = Self { sim, seen: Vec::new(), last: String::new() };
        play.run(5.0);
        assert_eq!(play.last, format!("Healthy - {} Completed", play.steps()));
        play.seen.clear();
        play
    }

    fn canary() -> Self {
        let routing = json!([{"service": "x", "ingress": {"classType": "nginx", "name": "x"}}]);
        Self::new(&json!({"canary": {"steps": steps(), "trafficRoutings": routing, "enableExtraWorkloadForCanary": true}}))
    }

    fn batches() -> Self {
        let steps =
            json!([{"replicas": 1, "pause": {}}, {"replicas": "50%", "pause": {"duration": 20}}, {"replicas": "100%", "pause": {}}]);
        Self::new(&json!({"canary": {"steps": steps}}))
    }

    fn blue_green() -> Self {
        let steps = json!([{"replicas": "100%", "traffic": "0%", "pause": {}}, {"replicas": "100%", "traffic": "100%", "pause": {}}]);
        let routing = json!([{"service": "x", "ingress": {"classType": "nginx", "name": "x"}}]);
        Self::new(&json!({"blueGreen": {"steps": steps, "trafficRoutings": routing}}))
    }

    fn rollout(&self) -> Value {
        get(&self.sim, ROLLOUTS, "x")
    }

    fn steps(&self) -> usize {
        let strategy = &self.rollout()["spec"]["strategy"];
        ["canary", "blueGreen"].iter().find_map(|kind| strategy[*kind]["steps"].as_array()).unwrap().len()
    }

    fn part(&self) -> Value {
        let status = &self.rollout()["status"];
        ["canaryStatus", "blueGreenStatus"].into_iter().map(|part| status[part].clone()).find(Value::is_object).unwrap_or_default()
    }

    /// Lets time pass and notes what the status says each time it says something else.
    fn run(&mut self, seconds: f64) -> &mut Self {
        let until = self.sim.now() + Duration::from_secs_f64(seconds);
        // Between the beats of the controllers, so that each state is seen.
        harness::run(&mut self.sim, 0.005);
        self.note();
        while self.sim.now() < until {
            harness::run(&mut self.sim, 0.01);
            self.note();
        }
        self
    }

    fn note(&mut self) {
        let (status, part) = (self.rollout()["status"].clone(), self.part());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let reason = condition(&status["conditions"], "Progressing").map_or("-".into(), |c| text(&c["reason"]));
        let mut now = format!("{} {reason} {} {}", text(&status["phase"]), part["currentStepIndex"], text(&part["currentStepState"]));
        let cleaning = text(&part["finalisingStep"]);
        if !cleaning.is_empty() {
            now = format!("{now} {cleaning}");
        }
        if self.last != now {
            self.last.clone_from(&now);
            self.seen.push(now);
        }
    }

    fn release(&mut self, tag: &str) -> &mut Self {
        let mut deployment = get(&self.sim, DEPLOYMENTS, "x");
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = format!("app:{tag}").into();
        let write = Write::new(self.sim.now(), "test");
        registry::update(&mut self.sim.store, DEPLOYMENTS, deployment, write).unwrap();
        self
    }

    fn write_status(&mut self, fields: &Value) -> &mut Self {
        let part = if self.rollout()["status"]["blueGreenStatus"].is_object() { "blueGreenStatus" } else { "canaryStatus" };
        let mut rollout = self.rollout();
        json_patch::merge(&mut rollout, &json!({"status": {part: fields}}));
        let write = Write::new(self.sim.now(), "test").status();
        registry::update(&mut self.sim.store, ROLLOUTS, rollout, write).unwrap();
        self
    }

    fn approve(&mut self) -> &mut Self {
        self.write_status(&json!({"currentStepState": "StepReady"}))
    }

    fn pause(&mut self, paused: bool) -> &mut Self {
        patch(&mut self.sim, ROLLOUTS, "x", &json!({"spec": {"strategy": {"paused": paused}}}));
        self
    }

    /// Versions of all pods, sorted.
    fn versions(&self) -> String {
        let mut all: Vec<String> = harness::pods(&self.sim)
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .map(|pod| pod["spec"]["containers"][0]["image"].as_str().unwrap().rsplit(':').next().unwrap().to_owned())
            .collect();
        all.sort();
        all.join(" ")
    }

    fn weight(&self) -> Value {
        get(&self.sim, INGRESSES, "x-canary")["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"].clone()
    }

    fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.seen)
    }
}

fn lines(prefix: &str, rest: &[&str]) -> Vec<String> {
    rest.iter().map(|rest| format!("{prefix} {rest}")).collect()
}

#[test]
fn a_canary_takes_the_recorded_steps() {
    let mut play = Play::canary();
    play.release("v2");
    let deployment = get(&play.sim, DEPLOYMENTS, "x");
    assert_eq!(
        (&deployment["spec"]["paused"], deployment["metadata"]["annotations"][IN_PROGRESS].as_str()),
        (&json!(true), Some(r#"{"rolloutName":"x"}"#))
    );
    play.run(30.0);
    let begun = lines("Progressing", &["Initializing 4 Completed", "Initializing 1 BeforeStepUpgrade", "InRolling 1 BeforeStepUpgrade"]);
    let step = |n: u32| {
        let states = ["StepUpgrade", "StepTrafficRouting", "StepMetricsAnalysis", "StepPaused"];
        states.map(|state| format!("Progressing InRolling {n} {state}"))
    };
    assert_eq!(play.take(), [begun, step(1).to_vec()].concat());
    assert_eq!((play.versions().as_str(), play.weight()), ("v1 v1 v1 v1 v2", json!("20")));
    let part = play.part();
    assert_eq!((&part["nextStepIndex"], &part["canaryReplicas"], &part["canaryReadyReplicas"]), (&json!(2), &json!(1), &json!(1)));
    let canary = list(&play.sim, DEPLOYMENTS).into_iter().find(|d| d["metadata"]["labels"][CANARY_OF] == "x").unwrap();
    assert_eq!(canary["spec"]["replicas"], 1);
    // Each side has a Service of its own.
    let selected = |name: &str| get(&play.sim, SERVICES, name)["spec"]["selector"][HASH].clone();
    assert_eq!((selected("x"), selected("x-canary")), (part["stableRevision"].clone(), part["podTemplateHash"].clone()));

    play.approve().run(20.0);
    let left = lines("Progressing InRolling", &["1 StepReady", "2 BeforeStepUpgrade"]);
    assert_eq!(play.take()[..2], left);
    assert_eq!((play.versions().as_str(), play.weight()), ("v1 v1 v1 v1 v2 v2", json!("40")));

    play.write_status(&json!({"nextStepIndex": 4})).run(60.0);
    let last = [
        "InRolling 4 BeforeStepUpgrade",
        "InRolling 4 StepUpgrade",
        "InRolling 4 StepTrafficRouting",
        "InRolling 4 StepMetricsAnalysis",
        "InRolling 4 StepPaused",
        "InRolling 4 StepReady",
        "InRolling 4 Completed",
        "Finalising 4 Completed",
        "Finalising 4 Completed RestoreStableService",
        "Finalising 4 Completed FinalisingStepRouteTrafficToStable",
        "Finalising 4 Completed RemoveCanaryService",
        "Finalising 4 Completed ResumeWorkload",
        "Finalising 4 Completed ReleaseWorkloadControl",
        "Completed 4 Completed END",
    ];
    let ended = [lines("Progressing", &last), vec!["Healthy Completed 4 Completed END".into()]].concat();
    assert_eq!(play.take(), ended);
    assert_eq!((play.versions().as_str(), play.weight()), ("v2 v2 v2 v2", Value::Null));
    let (rollout, deployment) = (play.rollout(), get(&play.sim, DEPLOYMENTS, "x"));
    assert_eq!(condition(&rollout["status"]["conditions"], "Succeeded").unwrap()["status"], "True");
    assert_ne!(play.part()["stableRevision"], play.part()["podTemplateHash"], "what was the stable one is left there");
    assert_eq!(deployment["metadata"]["annotations"][IN_PROGRESS], Value::Null);
    assert_eq!(get(&play.sim, SERVICES, "x")["spec"]["selector"], json!({"app": "x"}));
}

#[test]
fn a_rollback_takes_the_route_back_first_and_waits_for_nothing_else() {
    let mut play = Play::canary();
    play.release("v2").run(30.0).take();
    play.release("v1").run(30.0);
    let back = [
        "Cancelling 1 StepPaused",
        "Cancelling 1 StepPaused FinalisingStepRouteTrafficToStable",
        "Cancelling 1 StepPaused ResumeWorkload",
        "Cancelling 1 StepPaused ReleaseWorkloadControl",
        "Cancelling 1 StepPaused RestoreStableService",
        "Cancelling 1 StepPaused RemoveCanaryService",
        "Completed 1 StepPaused END",
    ];
    let seen = play.take();
    // It passes from one to the other without a moment in between.
    assert_eq!(seen, [lines("Progressing", &back), vec!["Healthy Completed 1 StepPaused END".into()]].concat());
    assert_eq!((play.versions().as_str(), play.weight()), ("v1 v1 v1 v1", Value::Null));
    assert_eq!(condition(&play.rollout()["status"]["conditions"], "Succeeded").unwrap()["status"], "False");
}

/// Recorded was a template put back while the Rollout was paused: nothing happened until somebody resumed.
#[test]
fn what_is_paused_looks_at_nothing_not_even_at_a_rollback() {
    let mut play = Play::canary();
    play.release("v2").run(30.0);
    play.pause(true).run(1.0);
    assert_eq!(play.last, "Progressing Paused 1 StepPaused");
    play.release("v1").run(60.0);
    assert_eq!(play.last, "Progressing Paused 1 StepPaused");
    assert_eq!(play.versions(), "v1 v1 v1 v1 v2");
    play.pause(false).run(30.0);
    assert_eq!(play.last, "Healthy Completed 1 StepPaused END");
}

#[test]
fn batches_take_places_and_a_clock_ends_a_step() {
    let mut play = Play::batches();
    play.release("v2").run(15.0);
    assert_eq!((play.versions().as_str(), play.last.as_str()), ("v1 v1 v1 v2", "Progressing InRolling 1 StepPaused"));
    play.approve().run(12.0);
    assert_eq!((play.versions().as_str(), play.last.as_str()), ("v1 v1 v2 v2", "Progressing InRolling 2 StepPaused"));
    assert!(play.rollout()["status"]["message"].as_str().unwrap().contains("wait duration(20 seconds)"));
    // The native controller stands still: its Deployment is paused, and would recreate.
    let deployment = get(&play.sim, DEPLOYMENTS, "x");
    assert_eq!((&deployment["spec"]["paused"], &deployment["spec"]["strategy"]["type"]), (&json!(true), &json!("Recreate")));
    play.run(60.0);
    assert_eq!((play.versions().as_str(), play.last.as_str()), ("v2 v2 v2 v2", "Healthy Completed 3 Completed END"));
    let strategy = get(&play.sim, DEPLOYMENTS, "x")["spec"]["strategy"].clone();
    assert_eq!(strategy["type"], "RollingUpdate");

    play.release("v3").run(15.0);
    play.approve().run(12.0);
    assert_eq!(play.versions(), "v2 v2 v3 v3");
    play.release("v2").run(40.0);
    assert_eq!((play.versions().as_str(), play.last.as_str()), ("v2 v2 v2 v2", "Healthy Completed 2 StepPaused END"));
}

#[test]
fn blue_green_has_all_pods_twice_and_gives_the_strategy_back() {
    let mut play = Play::blue_green();
    let before = get(&play.sim, DEPLOYMENTS, "x")["spec"].clone();
    play.release("v2").run(40.0);
    assert_eq!(play.last, "Progressing InRolling 1 StepPaused");
    assert_eq!((play.versions().as_str(), play.weight()), ("v1 v1 v1 v1 v2 v2 v2 v2", Value::Null));
    // A third version is told that there is no place for it.
    play.release("v3").run(5.0);
    assert!(play.rollout()["status"]["message"].as_str().unwrap().contains("please rollback first"));
    play.release("v2").run(5.0);
    play.approve().run(40.0);
    assert_eq!((play.last.as_str(), play.weight()), ("Progressing InRolling 2 StepPaused", json!("100")));
    play.approve().run(60.0);
    assert_eq!((play.last.as_str(), play.versions().as_str()), ("Healthy Completed 2 Completed END", "v2 v2 v2 v2"));
    let after = get(&play.sim, DEPLOYMENTS, "x");
    assert_eq!(after["spec"]["strategy"], before["strategy"]);
    assert_eq!(after["spec"]["minReadySeconds"], before["minReadySeconds"]);
    assert_eq!(after["metadata"]["annotations"][ORIGINAL], Value::Null);
}

#[test]
fn another_version_on_the_way_begins_anew() {
    let mut play = Play::canary();
    play.release("v2").run(30.0).take();
    play.release("v3").run(60.0);
    let seen = play.take();
    assert!(seen.iter().any(|line| line.starts_with("Progressing Initializing")), "{seen:?}");
    assert_eq!((seen.last().unwrap().as_str(), play.versions().as_str()), ("Progressing InRolling 1 StepPaused", "v1 v1 v1 v1 v3"));
}

#[test]
fn what_is_disabled_lets_the_deployment_roll() {
    let mut play = Play::canary();
    patch(&mut play.sim, ROLLOUTS, "x", &json!({"spec": {"disabled": true}}));
    play.run(3.0);
    assert_eq!(play.rollout()["status"]["phase"], "Disabled");
    play.release("v2").run(20.0);
    assert_eq!(play.versions(), "v2 v2 v2 v2");
}
