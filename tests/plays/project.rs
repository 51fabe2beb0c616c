//! From versions of objects to what people see: one track of states for each object.
//!
//! What two clusters can never share is replaced (names of versions, of the namespace), what depends on how fast pods
//! start is left to the end (replica counts), and a state equal to the one before is no new state.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use crate::record::{Recording, Seen};

/// The states of one object, or one of the lists a play leaves behind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Track {
    pub name: String,
    pub states: Vec<State>,
}

/// The fields that are there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State(pub BTreeMap<String, String>);

impl State {
    fn of<const N: usize>(fields: [(&str, String); N]) -> Self {
        let mut state = Self::default();
        fields.into_iter().for_each(|(name, value)| state.put(name, value));
        state
    }

    /// Leaves out what is empty: absent, null, false, `[]` and `""` mean the same in a status.
    fn put(&mut self, field: impl Into<String>, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.0.insert(field.into(), value);
        }
    }

    fn flag(&mut self, field: &str, value: &Value) {
        if *value == true {
            self.put(field, "yes");
        }
    }
}

/// Tells changes that keep a play from its rest from those that do not.
#[derive(Default)]
pub struct Unrest(HashMap<(&'static str, String), Vec<State>>);

impl Unrest {
    /// Whether this version shows something new that counts. A state that goes to and fro for ever is not new.
    pub fn notices(&mut self, seen: &Seen) -> bool {
        // A Service flaps for seconds after some aborts, runs measure and events come late; none of it is a move.
        let raw = Canon::default();
        let state = match seen.kind {
            _ if seen.deleted => State::default(),
            "rollouts.argoproj.io" => rollout(&seen.object, &raw),
            "replicasets.apps" => replica_set(&seen.object),
            "deployments.apps" => deployment(&seen.object, &raw),
            "analysisruns.argoproj.io" | "experiments.argoproj.io" => State::of([("phase", text(&seen.object["status"]["phase"]))]),
            _ => return false,
        };
        let past = self.0.entry((seen.kind, seen.name().to_owned())).or_default();
        let new = match past.as_slice() {
            [.., last] if *last == state => return false,
            [.., a, b, c] => !(*b == state && a == c),
            _ => true,
        };
        past.push(state);
        new
    }
}

/// All tracks of a recording.
pub fn tracks(recording: &Recording) -> Vec<Track> {
    let canon = Canon::of(recording);
    let mut tracks: Vec<Track> = Vec::new();
    let mut add = |name: String, state: State| match tracks.iter_mut().find(|track| track.name == name) {
        Some(track) => track.push(state),
        None => tracks.push(Track { name, states: vec![state] }),
    };
    for answer in &recording.answers {
        add("answers".into(), State::of([("act", answer.act.clone()), ("said", canon.text(&answer.said))]));
    }
    let mut motion = BTreeSet::new();
    for seen in &recording.seen {
        let Some((name, mut state)) = project(seen, &canon) else { continue };
        if name == ROLLOUT {
            motion.extend(take_motion(&mut state));
        }
        add(name, state);
    }
    motion.into_iter().for_each(|on_the_way| add(MOTION.into(), State::of([("shows", on_the_way)])));
    for (name, state) in rest(recording, &canon) {
        add(name, state);
    }
    tracks.sort_by_key(|track| order(&track.name));
    tracks
}

const ROLLOUT: &str = "rollout";

/// The set of messages seen while pods come and go, by version and step. Their order and number depend on how fast.
const MOTION: &str = "rollout in motion";

const ON_THE_WAY: [&str; 4] = [
    "more replicas need to be updated",
    "updated replicas are still becoming available",
    "old replicas are pending termination",
    "waiting for all steps to complete",
];

/// Takes out what tells only how many pods are ready just now.
fn take_motion(state: &mut State) -> Option<String> {
    if state.0.get("phase").is_some_and(|phase| phase == "Progressing") {
        state.0.remove("Available");
    }
    let message = state.0.get("message").filter(|message| ON_THE_WAY.contains(&message.as_str()))?.clone();
    state.put("message", "(pods on their way)");
    let part = |name: &str| state.0.get(name).map_or("-", String::as_str);
    Some(format!("{} at step {}: {message}", part("current"), part("step")))
}

/// Where a track stands in a file.
pub fn order(name: &str) -> (usize, String) {
    let kinds = [
        "answers",
        ROLLOUT,
        "replicaset",
        "deployment",
        "service",
        "ingress",
        "virtualservice",
        "analysisrun",
        "experiment",
        "events",
        "rest",
    ];
    (kinds.iter().position(|kind| name.starts_with(kind)).unwrap_or(kinds.len()), name.into())
}

/// Whether the states of a track are entries on their own, not an object's becoming.
pub fn is_list(track: &str) -> bool {
    track == "answers" || track == MOTION || track.starts_with("events")
}

impl Track {
    fn push(&mut self, state: State) {
        if is_list(&self.name) {
            self.states.push(state);
            return;
        }
        if self.states.last() == Some(&state) {
            return;
        }
        self.states.push(state);
        self.unflap();
    }

    /// A field that goes to and fro was seen once each way; how often is a matter of time.
    fn unflap(&mut self) {
        if let [.., a, b, c, d] = self.states.as_slice()
            && a == c
            && b == d
        {
            self.states.truncate(self.states.len() - 2);
        }
    }
}

fn project(seen: &Seen, canon: &Canon) -> Option<(String, State)> {
    let object = &seen.object;
    let (track, state) = match seen.kind {
        "rollouts.argoproj.io" => (ROLLOUT.into(), rollout(object, canon)),
        "replicasets.apps" => (format!("replicaset {}", canon.text(seen.name())), replica_set(object)),
        "deployments.apps" => (format!("deployment {}", seen.name()), deployment(object, canon)),
        "services" => (format!("service {}", seen.name()), service(object, canon)),
        "ingresses.networking.k8s.io" => (format!("ingress {}", seen.name()), ingress(object)),
        "virtualservices.networking.istio.io" => (format!("virtualservice {}", seen.name()), virtual_service(object)),
        "analysisruns.argoproj.io" => (format!("analysisrun {}", canon.text(seen.name())), analysis_run(object, canon)),
        "experiments.argoproj.io" => (format!("experiment {}", canon.text(seen.name())), experiment(object, canon)),
        "events" => return event(seen, canon),
        _ => return None,
    };
    Some((track, if seen.deleted { State::of([("deleted", "yes".into())]) } else { state }))
}

/// The words of one play in place of those of one cluster.
#[derive(Debug, Default)]
pub struct Canon(Vec<(String, String)>);

impl Canon {
    fn of(recording: &Recording) -> Self {
        let of = |kind: &'static str| recording.seen.iter().filter(move |seen| seen.kind == kind).map(|seen| &seen.object);
        let sets = |label: &'static str| of("replicasets.apps").map(move |set| &set["metadata"]["labels"][label]);
        let hashes = of("rollouts.argoproj.io").map(|rollout| &rollout["status"]["currentPodHash"]);
        let mut words = numbered("h", hashes.chain(sets("rollouts-pod-template-hash")));
        words.extend(numbered("d", sets("pod-template-hash")));
        words.push((recording.namespace.clone(), "NAMESPACE".into()));
        words.push((recording.prometheus.clone(), "PROMETHEUS".into()));
        Self(words)
    }

    pub fn text(&self, text: &str) -> String {
        let text = self.0.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from.as_str(), to));
        text.replace('\n', " ")
    }

    fn value(&self, value: &Value) -> String {
        self.text(&text(value))
    }
}

/// Each value once, with its number by first appearance.
fn numbered<'a>(letter: &str, values: impl Iterator<Item = &'a Value>) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for value in values.filter_map(Value::as_str).filter(|value| !value.is_empty()) {
        if !found.iter().any(|(known, _)| known == value) {
            found.push((value.into(), format!("{letter}{}", found.len() + 1)));
        }
    }
    found
}

/// A scalar as people write it; empty for what is not there.
fn text(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(false) => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn there(value: &Value) -> &'static str {
    if value.is_null() { "" } else { "yes" }
}

fn rollout(object: &Value, canon: &Canon) -> State {
    let (spec, status) = (&object["spec"], &object["status"]);
    let (canary, blue_green) = (&status["canary"], &status["blueGreen"]);
    let mut state = State::default();
    state.put("phase", text(&status["phase"]));
    state.put("message", canon.value(&status["message"]));
    if !crate::script::observed(object) {
        state.put("unobserved", "yes");
    }
    state.put("replicas", text(&spec["replicas"]));
    state.flag("paused", &spec["paused"]);
    state.put("step", text(&status["currentStepIndex"]));
    let reasons = status["pauseConditions"].as_array().into_iter().flatten().map(|pause| text(&pause["reason"]));
    state.put("waits", reasons.collect::<Vec<_>>().join("+"));
    state.flag("controllerPause", &status["controllerPause"]);
    state.flag("abort", &status["abort"]);
    state.put("abortedAt", there(&status["abortedAt"]));
    state.flag("promoteFull", &status["promoteFull"]);
    state.put("current", canon.value(&status["currentPodHash"]));
    state.put("stable", canon.value(&status["stableRS"]));
    state.put("weights", weights(&canary["weights"], canon));
    state.put("active", canon.value(&blue_green["activeSelector"]));
    state.put("preview", canon.value(&blue_green["previewSelector"]));
    state.flag("scaleUpPreview", &blue_green["scaleUpPreviewCheckPoint"]);
    state.put("stepRun", run(&canary["currentStepAnalysisRunStatus"], canon));
    state.put("backgroundRun", run(&canary["currentBackgroundAnalysisRunStatus"], canon));
    state.put("preRun", run(&blue_green["prePromotionAnalysisRunStatus"], canon));
    state.put("postRun", run(&blue_green["postPromotionAnalysisRunStatus"], canon));
    state.put("experiment", canon.value(&canary["currentExperiment"]));
    if !spec["restartAt"].is_null() {
        state.put("restart", if spec["restartAt"] == status["restartedAt"] { "done" } else { "wanted" });
    }
    conditions(&mut state, &status["conditions"], canon);
    state.put("revision", text(&object["metadata"]["annotations"]["rollout.argoproj.io/revision"]));
    state
}

fn weights(weights: &Value, canon: &Canon) -> String {
    let one = |side: &str| {
        let at = &weights[side];
        let (weight, hash) = (text(&at["weight"]), canon.value(&at["podTemplateHash"]));
        (!at.is_null()).then(|| format!("{side} {weight} {} {hash}", text(&at["serviceName"])).trim_end().to_owned())
    };
    ["canary", "stable"].into_iter().filter_map(one).collect::<Vec<_>>().join(", ")
}

fn run(run: &Value, canon: &Canon) -> String {
    let fields = ["name", "status", "message"].map(|field| canon.value(&run[field]));
    fields.join(" ").trim().to_owned()
}

fn conditions(state: &mut State, conditions: &Value, canon: &Canon) {
    let all = conditions.as_array().into_iter().flatten();
    let sorted: BTreeMap<String, &Value> = all.map(|one| (text(&one["type"]), one)).collect();
    for (name, one) in sorted {
        let (status, reason, message) = (text(&one["status"]), text(&one["reason"]), canon.value(&one["message"]));
        state.put(name, format!("{status} {reason}: {message}"));
    }
}

fn replica_set(object: &Value) -> State {
    let mut state = State::default();
    let annotations = &object["metadata"]["annotations"];
    state.put("revision", text(&annotations["rollout.argoproj.io/revision"]));
    state.put("desired", text(&annotations["rollout.argoproj.io/desired-replicas"]));
    state.put("replicas", text(&object["spec"]["replicas"]));
    state.put("deadline", there_text(&annotations["scale-down-deadline"]));
    state
}

/// An annotation set to nothing is as good as none.
fn there_text(value: &Value) -> &'static str {
    if value.as_str().unwrap_or_default().is_empty() { "" } else { "yes" }
}

fn deployment(object: &Value, canon: &Canon) -> State {
    let mut state = State::default();
    state.put("replicas", text(&object["spec"]["replicas"]));
    let annotations = object["metadata"]["annotations"].as_object().into_iter().flatten();
    for (name, value) in annotations.filter(|(name, _)| name.contains("rollout.argoproj.io")) {
        state.put(name, canon.value(value));
    }
    state
}

fn service(object: &Value, canon: &Canon) -> State {
    let mut state = State::default();
    state.put("selects", canon.value(&object["spec"]["selector"]["rollouts-pod-template-hash"]));
    state.put("managedBy", text(&object["metadata"]["annotations"]["argo-rollouts.argoproj.io/managed-by-rollouts"]));
    state
}

fn ingress(object: &Value) -> State {
    let mut state = State::default();
    let annotations = object["metadata"]["annotations"].as_object().into_iter().flatten();
    for (name, value) in annotations.filter(|(name, _)| name.starts_with("nginx.ingress.kubernetes.io/canary")) {
        state.put(name.trim_start_matches("nginx.ingress.kubernetes.io/"), text(value));
    }
    let backends = object["spec"]["rules"].as_array().into_iter().flatten();
    let backends = backends.flat_map(|rule| rule["http"]["paths"].as_array().into_iter().flatten());
    state.put("backends", backends.map(|path| text(&path["backend"]["service"]["name"])).collect::<Vec<_>>().join(", "));
    state
}

fn virtual_service(object: &Value) -> State {
    let mut state = State::default();
    for route in object["spec"]["http"].as_array().into_iter().flatten() {
        let to = route["route"].as_array().into_iter().flatten();
        let to = to.map(|to| format!("{} {}", text(&to["destination"]["host"]), text(&to["weight"])));
        state.put(text(&route["name"]), to.collect::<Vec<_>>().join(", "));
    }
    state
}

fn analysis_run(object: &Value, canon: &Canon) -> State {
    let mut state = State::default();
    let status = &object["status"];
    state.put("kind", text(&object["metadata"]["labels"]["rollout-type"]));
    state.put("phase", text(&status["phase"]));
    state.put("message", canon.value(&status["message"]));
    state.flag("terminate", &object["spec"]["terminate"]);
    for result in status["metricResults"].as_array().into_iter().flatten() {
        state.put(
            format!("metric {}", text(&result["name"])),
            format!("{} {}", text(&result["phase"]), canon.value(&result["message"])).trim().to_owned(),
        );
    }
    state
}

fn experiment(object: &Value, canon: &Canon) -> State {
    let mut state = State::default();
    let status = &object["status"];
    state.put("phase", text(&status["phase"]));
    state.put("message", canon.value(&status["message"]));
    state.flag("terminate", &object["spec"]["terminate"]);
    for template in status["templateStatuses"].as_array().into_iter().flatten() {
        state.put(
            format!("template {}", text(&template["name"])),
            run(&serde_json::json!({"status": template["status"], "message": template["message"]}), canon),
        );
    }
    for one in status["analysisRuns"].as_array().into_iter().flatten() {
        let (name, phase, message) = (canon.value(&one["analysisRun"]), text(&one["phase"]), canon.value(&one["message"]));
        state.put(format!("run {}", text(&one["name"])), format!("{name} {phase} {message}").trim().to_owned());
    }
    conditions(&mut state, &status["conditions"], canon);
    state
}

/// Events of the Rollout and its helpers; pods, ReplicaSets and nodes have their own stories.
fn event(seen: &Seen, canon: &Canon) -> Option<(String, State)> {
    let object = &seen.object;
    let about = &object["involvedObject"];
    if about["apiVersion"] != "argoproj.io/v1alpha1" || seen.deleted {
        return None;
    }
    let mut state = State::default();
    state.put("type", text(&object["type"]));
    state.put("reason", text(&object["reason"]));
    state.put("message", canon.value(&object["message"]));
    Some((format!("events of {} {}", text(&about["kind"]), canon.value(&about["name"])), state))
}

/// How everything is in the end, counts included.
fn rest(recording: &Recording, canon: &Canon) -> Vec<(String, State)> {
    let mut last: BTreeMap<(&str, &str), &Seen> = BTreeMap::new();
    last.extend(recording.seen.iter().map(|seen| ((seen.kind, seen.name()), seen)));
    let mut rest = Vec::new();
    for seen in last.values().filter(|seen| !seen.deleted) {
        let Some((name, mut state)) = project(seen, canon).filter(|_| seen.kind != "events") else { continue };
        counts(&mut state, seen, canon);
        rest.push((format!("rest of {name}"), state));
    }
    let mut pods: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for pod in &recording.pods {
        let ready = pod["status"]["conditions"].as_array().into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True");
        let (all, good) = pods.entry(canon.value(&pod["metadata"]["labels"]["rollouts-pod-template-hash"])).or_default();
        *all += 1;
        *good += u32::from(ready);
    }
    let mut state = State::default();
    pods.into_iter().for_each(|(version, (all, ready))| state.put(version, format!("{all} pods, {ready} ready")));
    rest.push(("rest of pods".into(), state));
    rest
}

fn counts(state: &mut State, seen: &Seen, canon: &Canon) {
    let status = &seen.object["status"];
    let fields: &[&str] = match seen.kind {
        "rollouts.argoproj.io" => &["replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "HPAReplicas", "selector"],
        "replicasets.apps" | "deployments.apps" => &["replicas", "readyReplicas", "availableReplicas"],
        _ => &[],
    };
    for field in fields {
        // A count of zero and none are the same.
        let value = canon.value(&status[*field]);
        state.put(format!("status.{field}"), if value == "0" { String::new() } else { value });
    }
    for result in status["metricResults"].as_array().into_iter().flatten().filter(|_| seen.object["spec"]["terminate"] != true) {
        let tally = ["count", "successful", "failed", "inconclusive", "error"].map(|field| (field, text(&result[field])));
        let tally: Vec<String> = tally.into_iter().filter(|(_, n)| !n.is_empty()).map(|(field, n)| format!("{n} {field}")).collect();
        state.put(format!("tally {}", text(&result["name"])), tally.join(", "));
    }
}
