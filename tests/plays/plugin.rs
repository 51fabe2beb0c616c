//! What `kubectl argo rollouts` writes: its decision tables, restated.

use std::fmt;

use serde_json::{Value, json};

use crate::{
    script::APP,
    stage::{Body, Request},
};

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Command {
    Promote,
    PromoteFull,
    SkipCurrentStep,
    SkipAllSteps,
    Pause,
    Abort,
    Retry,
    Restart,
    Undo,
    UndoTo(i64),
    /// The newest AnalysisRun.
    TerminateAnalysisRun,
    /// The newest Experiment.
    TerminateExperiment,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Promote => write!(f, "promote app"),
            Self::PromoteFull => write!(f, "promote app --full"),
            Self::SkipCurrentStep => write!(f, "promote app --skip-current-step"),
            Self::SkipAllSteps => write!(f, "promote app --skip-all-steps"),
            Self::Pause => write!(f, "pause app"),
            Self::Abort => write!(f, "abort app"),
            Self::Retry => write!(f, "retry rollout app"),
            Self::Restart => write!(f, "restart app"),
            Self::Undo => write!(f, "undo app"),
            Self::UndoTo(revision) => write!(f, "undo app --to-revision={revision}"),
            Self::TerminateAnalysisRun => write!(f, "terminate analysisrun NEWEST"),
            Self::TerminateExperiment => write!(f, "terminate experiment NEWEST"),
        }
    }
}

/// What the plugin reads before it writes.
pub struct Read {
    pub rollout: Value,
    pub replica_sets: Vec<Value>,
    pub analysis_runs: Vec<Value>,
    pub experiments: Vec<Value>,
    /// RFC 3339, UTC, whole seconds.
    pub now: String,
}

/// The writes of a command, in order; none where the plugin prints success and sends nothing.
pub fn requests(command: Command, read: &Read) -> Vec<Request> {
    match command {
        Command::Promote => promote(&read.rollout),
        Command::PromoteFull => promote_full(&read.rollout),
        Command::SkipCurrentStep => vec![status(json!({"currentStepIndex": next(&read.rollout)}))],
        Command::SkipAllSteps => vec![status(json!({"currentStepIndex": steps(&read.rollout)}))],
        Command::Pause => vec![spec(json!({"paused": true}))],
        Command::Abort => vec![status(json!({"abort": true}))],
        Command::Retry => vec![status(json!({"abort": false}))],
        Command::Restart => vec![spec(json!({"restartAt": read.now}))],
        Command::Undo => undo(read, None),
        Command::UndoTo(revision) => undo(read, Some(revision)),
        Command::TerminateAnalysisRun => terminate("analysisruns.argoproj.io", &read.analysis_runs),
        Command::TerminateExperiment => terminate("experiments.argoproj.io", &read.experiments),
    }
}

fn promote(rollout: &Value) -> Vec<Request> {
    let at = &rollout["status"];
    let waits = at["pauseConditions"].as_array().is_some_and(|pauses| !pauses.is_empty());
    let undecided = at["canary"]["currentStepAnalysisRunStatus"]["status"] == "Inconclusive";
    let mut requests = Vec::new();
    if waits && undecided && at["controllerPause"] == true {
        requests.push(status(json!({"pauseConditions": null, "controllerPause": false, "currentStepIndex": next(rollout)})));
    } else if waits {
        requests.push(status(json!({"pauseConditions": null})));
    } else if steps(rollout) > 0 {
        requests.push(status(json!({"pauseConditions": null, "currentStepIndex": next(rollout)})));
    }
    requests.extend(unpause(rollout));
    requests
}

fn promote_full(rollout: &Value) -> Vec<Request> {
    let at = &rollout["status"];
    let full = (at["currentPodHash"] != at["stableRS"]).then(|| status(json!({"promoteFull": true})));
    full.into_iter().chain(unpause(rollout)).collect()
}

fn unpause(rollout: &Value) -> Option<Request> {
    (rollout["spec"]["paused"] == true).then(|| spec(json!({"paused": false})))
}

/// To the template of a revision; without one, of the second highest.
fn undo(read: &Read, to: Option<i64>) -> Vec<Request> {
    let mut sets: Vec<(i64, &Value)> = read.replica_sets.iter().filter_map(|set| Some((revision(set)?, set))).collect();
    sets.sort_by_key(|(revision, _)| -revision);
    let target = match to {
        Some(to) => sets.iter().find(|(revision, _)| *revision == to),
        None => sets.get(1),
    };
    let Some((_, set)) = target else { return Vec::new() };
    let mut template = set["spec"]["template"].clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove("rollouts-pod-template-hash");
    }
    let workload = &read.rollout["spec"]["workloadRef"];
    let kind = if workload.is_null() { "rollouts.argoproj.io" } else { "deployments.apps" };
    vec![Request::new(kind, APP, Body::Json(json!([{"op": "replace", "path": "/spec/template", "value": template}])))]
}

fn revision(set: &Value) -> Option<i64> {
    set["metadata"]["annotations"]["rollout.argoproj.io/revision"].as_str()?.parse().ok()
}

fn terminate(kind: &'static str, runs: &[Value]) -> Vec<Request> {
    let newest = runs.iter().max_by_key(|run| run["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse::<u64>().ok()));
    let name = newest.and_then(|run| run["metadata"]["name"].as_str());
    name.map(|name| Request::new(kind, name, Body::Merge(json!({"spec": {"terminate": true}})))).into_iter().collect()
}

fn steps(rollout: &Value) -> i64 {
    rollout["spec"]["strategy"]["canary"]["steps"].as_array().map_or(0, |steps| steps.len() as i64)
}

fn next(rollout: &Value) -> i64 {
    (rollout["status"]["currentStepIndex"].as_i64().unwrap_or_default() + 1).min(steps(rollout))
}

fn status(fields: Value) -> Request {
    Request::new("rollouts.argoproj.io", APP, Body::Merge(json!({"status": fields}))).sub("status")
}

fn spec(fields: Value) -> Request {
    Request::new("rollouts.argoproj.io", APP, Body::Merge(json!({"spec": fields})))
}
