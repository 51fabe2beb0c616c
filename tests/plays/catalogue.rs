//! The plays. Each is small and about one thing; its name says which.

#[path = "catalogue/analysis.rs"]
pub mod analysis;
#[path = "catalogue/blue_green.rs"]
pub mod blue_green;
#[path = "catalogue/canary.rs"]
pub mod canary;
#[path = "catalogue/experiments.rs"]
pub mod experiments;
#[path = "catalogue/trouble.rs"]
pub mod trouble;
#[path = "catalogue/workload_ref.rs"]
pub mod workload_ref;

use serde_json::{Value, json};

use crate::{
    cluster::{BlueGreen, Canary, Pods, manifests},
    script::{APP, Act, Play},
    stage::perform::PROMETHEUS,
};

/// Deadlines that a play can wait for.
fn brief() -> Value {
    json!({"scaleDownDelaySeconds": 3, "abortScaleDownDelaySeconds": 3})
}

fn nginx() -> Canary {
    Canary { strategy: brief(), ..Canary::nginx() }
}

fn canary(options: Canary) -> Play {
    Play::new(options.objects(APP))
}

/// Merged into the canary strategy of a Rollout routed by nginx.
fn nginx_with(strategy: &Value, steps: Value) -> Play {
    let mut options = nginx().steps(steps);
    json_patch::merge(&mut options.strategy, strategy);
    canary(options)
}

/// Blue-green by hand, with more options.
fn blue_green(strategy: &Value) -> Play {
    let mut all = brief();
    json_patch::merge(&mut all, strategy);
    Play::new(BlueGreen { strategy: all, ..BlueGreen::default() }.objects(APP))
}

/// A release whose pods fare like this.
fn release(tag: &str, pods: Pods) -> Act {
    Act::Release(tag.into(), pods)
}

/// A template that asks Prometheus for a constant; the conditions make what they want of it.
fn template(name: &str, metric: &Value) -> Value {
    manifests::analysis_template(name, PROMETHEUS, "vector(1)", metric)
}

fn good(name: &str) -> Value {
    template(name, &json!({"successCondition": "result[0] > 0"}))
}

fn bad(name: &str) -> Value {
    template(name, &json!({"successCondition": "result[0] > 2"}))
}

fn vague(name: &str) -> Value {
    template(name, &json!({"successCondition": "result[0] > 2", "failureCondition": "result[0] < 0"}))
}

/// Good as long as it runs, and that is longer than any play.
fn long(name: &str) -> Value {
    template(name, &json!({"interval": "60s", "count": 100, "successCondition": "result[0] > 0"}))
}

/// Fails in the third second.
fn souring(name: &str) -> Value {
    template(name, &json!({"initialDelay": "3s", "successCondition": "result[0] > 2"}))
}

fn templates(name: &str) -> Value {
    json!({"templates": [{"templateName": name}]})
}
