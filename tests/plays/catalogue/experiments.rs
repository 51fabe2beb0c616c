//! Experiments as steps of a canary.

use serde_json::{Value, json};

use super::*;
use crate::{
    plugin::Command::*,
    script::{Act::*, Until::*},
};

fn experiment(more: &Value) -> Value {
    let mut experiment =
        json!({"templates": [{"name": "a", "specRef": "canary", "replicas": 1}, {"name": "b", "specRef": "stable", "replicas": 1}]});
    json_patch::merge(&mut experiment, more);
    json!([{"setWeight": 25}, {"experiment": experiment}, {"pause": {}}])
}

fn judged(name: &str) -> Value {
    json!({"analyses": [{"name": name, "templateName": name, "requiredForCompletion": true}]})
}

pub fn experiment_of_some_seconds() -> Play {
    canary(nginx().steps(experiment(&json!({"duration": "2s"})))).update().when(PausedAt(2), [])
}

pub fn experiment_judged_good() -> Play {
    canary(nginx().steps(experiment(&judged("good")))).with(vec![good("good")]).update().when(PausedAt(2), [])
}

pub fn experiment_judged_bad() -> Play {
    canary(nginx().steps(experiment(&judged("bad")))).with(vec![bad("bad")]).update().when(Phase("Degraded"), [])
}

pub fn experiment_aborted() -> Play {
    canary(nginx().steps(experiment(&json!({"duration": "10m"})))).update().rest([Plugin(Abort)])
}

pub fn experiment_terminated_by_hand() -> Play {
    canary(nginx().steps(experiment(&json!({"duration": "10m"})))).update().rest([Plugin(TerminateExperiment)]).when(PausedAt(2), [])
}
