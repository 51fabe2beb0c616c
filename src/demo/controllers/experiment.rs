//! The Experiment controller: ReplicaSets next to the ones in use, for a while or until analyses have decided.

use std::{collections::BTreeMap, time::Duration};

use chrono::{SubsecRound, TimeDelta};
use serde_json::{Value, json};

use super::{
    analysis::{self, ANALYSIS_RUNS, is_final, list, parse_duration},
    events,
    objects::{between, controller_of, set_condition},
};
use crate::{
    demo::{
        sim::{Controller, Cx},
        store::{Change, Key, Store, Stored},
    },
    model::Time,
};

mod analyses;
mod conditions;
mod status;
mod templates;

use status::Status;

pub const EXPERIMENTS: &str = "experiments.argoproj.io";

/// Without a word of the experiment: how long a template may take to get on, and how long its pods outlive it.
const PROGRESS_DEADLINE: i64 = 600;
const SCALE_DOWN_DELAY: i64 = 30;

/// The Experiment controller.
pub struct Experiments;

impl Controller for Experiments {
    fn name(&self) -> &'static str {
        "rollouts-controller"
    }

    fn wakes(&self, change: &Change, store: &Store, wake: &mut Vec<Key>) {
        let Some(object) = change.object() else { return };
        match &*object.key.kind {
            EXPERIMENTS if change.after.is_some() => wake.push(object.key.clone()),
            "replicasets.apps" => wake.extend(owner(store, object)),
            ANALYSIS_RUNS => wake.extend(owner(store, object).filter(|_| has_ended(object))),
            _ => (),
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        let experiment = Experiment::read(cx.store.get(key)?.value());
        if experiment.object["metadata"]["deletionTimestamp"].is_string() {
            return None;
        }
        if let Some(condition) = conditions::invalid(&experiment) {
            let mut status = experiment.status.clone();
            if super::objects::condition(&status.conditions, conditions::INVALID).is_some_and(|old| old["message"] != condition["message"])
            {
                super::objects::remove_condition(&mut status.conditions, conditions::INVALID);
            }
            set_condition(&mut status.conditions, condition, cx.now);
            experiment.write(cx, &status);
            return None;
        }
        let mut pass = Pass::begin(cx, &experiment);
        list(&experiment.object["spec"]["templates"]).iter().for_each(|template| pass.template(cx, template));
        list(&experiment.object["spec"]["analyses"]).iter().for_each(|analysis| pass.analysis(cx, analysis));
        pass.conclude(cx.now);
        let (status, wake) = (pass.status, pass.wake);
        experiment.write(cx, &status);
        let again = Experiment { status, ..experiment }.next(cx.now);
        [wake, again].into_iter().flatten().min().map(|at| between(cx.now, at))
    }
}

/// The experiment that controls this object. There are few, and most objects have other owners.
fn owner(store: &Store, object: &Stored) -> Option<Key> {
    let uid = object.owner.as_deref()?;
    store.list(EXPERIMENTS, Some(&object.key.namespace)).find(|experiment| *experiment.uid == *uid).map(|experiment| experiment.key.clone())
}

fn has_ended(run: &Stored) -> bool {
    is_final(run.value()["status"]["phase"].as_str().unwrap_or_default())
}

/// What an experiment controls of a kind, by the template that an annotation names.
fn annotated(cx: &Cx<'_>, kind: &str, experiment: &Experiment, annotation: &str) -> BTreeMap<String, Value> {
    let uid = experiment.object["metadata"]["uid"].as_str().unwrap_or_default();
    let named = |object: Value| Some((object["metadata"]["annotations"][annotation].as_str()?.to_owned(), object));
    cx.owned(kind, uid).into_iter().filter_map(named).collect()
}

/// An experiment as it was when the pass began.
struct Experiment {
    object: Value,
    status: Status,
}

impl Experiment {
    fn read(object: Value) -> Self {
        let status = serde_json::from_value(object["status"].clone()).unwrap_or_default();
        Self { object, status }
    }

    fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.object["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    fn owns(&self, object: &Value) -> bool {
        controller_of(object).is_some_and(|owner| owner["uid"] == self.object["metadata"]["uid"])
    }

    fn progress_deadline(&self) -> i64 {
        self.object["spec"]["progressDeadlineSeconds"].as_i64().unwrap_or(PROGRESS_DEADLINE)
    }

    fn scale_down_delay(&self) -> i64 {
        self.object["spec"]["scaleDownDelaySeconds"].as_i64().unwrap_or(SCALE_DOWN_DELAY)
    }

    /// When its time is over. `None`: it has not begun, or runs without end.
    fn end(&self) -> Option<Time> {
        let duration = self.object["spec"]["duration"].as_str().filter(|duration| !duration.is_empty())?;
        Some(self.status.available_at? + parse_duration(duration).ok()?)
    }

    fn has_passed(&self, now: Time) -> bool {
        self.end().is_some_and(|end| now >= end)
    }

    fn required(&self) -> impl Iterator<Item = &Value> {
        list(&self.object["spec"]["analyses"]).iter().filter(|analysis| analysis["requiredForCompletion"] == true)
    }

    /// Whether analyses are required and, by this status, all of them have succeeded.
    fn is_satisfied(&self, status: &Status) -> bool {
        let succeeded =
            |analysis: &Value| status.analysis(analysis["name"].as_str().unwrap_or_default()).is_some_and(|a| a.phase == "Successful");
        self.required().next().is_some() && self.required().all(succeeded)
    }

    /// Whether it is on its way out: nothing new begins, pods go, analyses end.
    fn is_terminating(&self) -> bool {
        let status = &self.status;
        self.object["spec"]["terminate"] == true
            || conditions::has_finished(status)
            || status.template_statuses.iter().any(|template| ["Failed", "Error"].contains(&&*template.status))
            || status.analysis_runs.iter().any(|run| ["Failed", "Error", "Inconclusive"].contains(&&*run.phase))
            || self.is_satisfied(status)
    }

    /// How many pods a template is to have.
    fn desired(&self, template: &Value) -> i64 {
        let status = self.status.template(template["name"].as_str().unwrap_or_default());
        if self.is_terminating() || status.is_some_and(|status| status::is_final(&status.status)) {
            return 0;
        }
        template["replicas"].as_i64().unwrap_or(1)
    }

    /// When something will be over: its duration, or the patience with a template.
    fn next(&self, now: Time) -> Option<Time> {
        if self.is_terminating() {
            return None;
        }
        let end = self.end().filter(|end| *end > now);
        let patience = TimeDelta::seconds(self.progress_deadline());
        let waits = |template: &Value| {
            let status = self.status.template(template["name"].as_str()?)?;
            let moves = ["Progressing", "Running"].contains(&&*status.status);
            let short = status.counts.available_replicas != self.desired(template);
            Some(status.last_transition_time.filter(|_| moves && short)? + patience)
        };
        list(&self.object["spec"]["templates"]).iter().filter_map(waits).chain(end).min()
    }

    /// Writes the status if it is new, and says so if the phase is. What was refused (it is gone) needs no further look.
    fn write(&self, cx: &mut Cx<'_>, status: &Status) {
        if *status == self.status {
            return;
        }
        let mut object = self.object.clone();
        object["status"] = json!(status);
        let Ok(written) = cx.update(EXPERIMENTS, object) else { return };
        if status.phase != self.status.phase {
            let kind = if ["Error", "Failed", "Inconclusive"].contains(&&*status.phase) { "Warning" } else { "Normal" };
            let message = format!("Experiment transitioned from {} -> {}", self.status.phase, status.phase);
            events::record(cx, &written, kind, &format!("Experiment{}", status.phase), &message);
        }
    }
}

/// One pass over an experiment.
struct Pass<'a> {
    experiment: &'a Experiment,
    /// The status as it will be.
    status: Status,
    terminating: bool,
    /// The ReplicaSets by template.
    sets: BTreeMap<String, Value>,
    wake: Option<Time>,
}

impl<'a> Pass<'a> {
    fn begin(cx: &Cx<'_>, experiment: &'a Experiment) -> Self {
        let sets = annotated(cx, "replicasets.apps", experiment, templates::TEMPLATE);
        Self { experiment, status: experiment.status.clone(), terminating: experiment.is_terminating(), sets, wake: None }
    }

    fn wake_at(&mut self, at: Time) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// The phase of the whole, from templates and analyses.
    fn conclude(&mut self, now: Time) {
        match &*self.status.phase {
            "" => self.status.phase = "Pending".into(),
            "Pending" | "Running" => {
                let (phase, message) = self.phase(now);
                self.status.phase = phase;
                self.status.message = message;
            }
            _ => (),
        }
        conditions::update(self.experiment, &mut self.status, now);
    }

    fn phase(&mut self, now: Time) -> (String, String) {
        let templates = self.assess_templates();
        let analyses = self.assess_analyses();
        if templates.0 == "Running" && self.status.available_at.is_none() {
            self.status.available_at = Some(now.trunc_subsecs(0));
        }
        let decided = is_final(&analyses.0);
        let by_analyses = if is_final(&templates.0) {
            templates.0 == "Successful" && (decided || self.experiment.required().next().is_some())
        } else {
            (decided && analyses.0 != "Successful") || self.experiment.is_satisfied(&self.status)
        };
        if by_analyses { analyses } else { templates }
    }

    fn assess_templates(&self) -> (String, String) {
        let (mut worst, mut message) = ("Successful", "");
        for template in list(&self.experiment.object["spec"]["templates"]) {
            let Some(template) = self.status.template(template["name"].as_str().unwrap_or_default()) else { continue };
            if status::is_worse(worst, &template.status) {
                (worst, message) = (&template.status, &template.message);
            }
        }
        (if worst == "Progressing" { "Pending" } else { worst }.into(), message.into())
    }

    fn assess_analyses(&self) -> (String, String) {
        let (mut worst, mut message) = ("Successful", "");
        for analysis in list(&self.experiment.object["spec"]["analyses"]) {
            let Some(run) = self.status.analysis(analysis["name"].as_str().unwrap_or_default()) else { continue };
            if analysis::is_worse(worst, &run.phase) {
                (worst, message) = (&run.phase, &run.message);
            }
        }
        if self.experiment.is_satisfied(&self.status) && analysis::is_worse(worst, "Running") {
            return ("Successful".into(), "Required AnalysisRuns completed".into());
        }
        (if worst == "Pending" { "Running" } else { worst }.into(), message.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::demo::{
        controllers::{
            analysis::{
                AnalysisRuns,
                tests::{Script, epoch, events, kind, statuses},
            },
            bootstrap,
        },
        registry::{self, Write},
        sim::Sim,
    };

    fn sim() -> Sim {
        let mut controllers = crate::demo::controllers::all();
        controllers.push(Box::<AnalysisRuns>::default());
        controllers.push(Box::new(Experiments));
        let mut sim = Sim::new(epoch(), 7, controllers, Box::<Script>::default());
        for names in ["AnalysisRun analysisruns", "Experiment experiments", "AnalysisTemplate analysistemplates", "Rollout rollouts"] {
            sim.store.add_kind(kind(names));
        }
        sim.store.add_kind(kind("ClusterAnalysisTemplate clusteranalysistemplates"));
        bootstrap(&mut sim.store, epoch());
        sim
    }

    fn create(sim: &mut Sim, kind: &str, name: &str, spec: &Value) {
        let object = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
        let write = Write::new(sim.now(), "test");
        registry::create(&mut sim.store, kind, "shop", object, write).unwrap();
    }

    fn patch(sim: &mut Sim, name: &str, patch: &Value) {
        let mut object = get(sim, EXPERIMENTS, name);
        json_patch::merge(&mut object, patch);
        let write = Write::new(sim.now(), "test");
        registry::update(&mut sim.store, EXPERIMENTS, object, write).unwrap();
    }

    fn get(sim: &Sim, kind: &str, name: &str) -> Value {
        sim.store.get(&Key::new(kind, "shop", name)).map(|object| object.value()).unwrap_or_default()
    }

    fn run(sim: &mut Sim, seconds: f64) {
        sim.run_until(sim.now() + Duration::from_secs_f64(seconds));
    }

    fn begin(name: &str, play: &Value) -> Sim {
        let mut sim = sim();
        for (template, spec) in play["templates"].as_object().unwrap() {
            create(&mut sim, "analysistemplates.argoproj.io", template, spec);
        }
        create(&mut sim, EXPERIMENTS, name, &play["spec"]);
        sim
    }

    /// What a status says but for how many pods there were at the moment, which is a matter of how quick nodes are.
    fn told(statuses: Vec<Value>) -> Vec<Value> {
        let mut statuses = statuses;
        for status in &mut statuses {
            for template in status.get_mut("templateStatuses").and_then(Value::as_array_mut).into_iter().flatten() {
                template.as_object_mut().unwrap().retain(|name, _| !name.ends_with("eplicas") && name != "podTemplateHash");
            }
        }
        statuses.dedup();
        statuses
    }

    /// How many replicas each ReplicaSet was to have, and whether it had a deadline.
    fn replica_sets(sim: &Sim) -> Value {
        let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for change in sim.store.changes_after("replicasets.apps", 1).unwrap() {
            let Some(set) = change.after.as_ref().map(|object| object.value()) else { continue };
            let deadline = set["metadata"]["annotations"]["scale-down-deadline"].is_string();
            let states = all.entry(set["metadata"]["name"].as_str().unwrap().into()).or_default();
            states.push(json!([set["spec"]["replicas"], deadline]));
            states.dedup();
        }
        json!(all)
    }

    fn services(sim: &Sim) -> Value {
        let seen = |change: &Change| {
            let service = change.object().unwrap().value();
            let what = if change.after.is_none() { "DELETED" } else { "ADDED" };
            let ports: Vec<Value> = list(&service["spec"]["ports"]).iter().map(|port| json!([port["name"], port["port"]])).collect();
            json!([what, service["metadata"]["name"], service["spec"]["selector"]["app"], ports])
        };
        sim.store.changes_after("services", 1).unwrap().map(seen).collect()
    }

    /// What the runs were created with, and whether they were told to end.
    fn runs(sim: &Sim) -> Value {
        let mut all = json!({});
        for run in sim.store.list(ANALYSIS_RUNS, None).map(|run| run.value()) {
            let (metadata, spec) = (&run["metadata"], &run["spec"]);
            let mut told = json!({
                "labels": metadata["labels"], "annotations": metadata["annotations"],
                "args": spec["args"], "dryRun": spec["dryRun"], "terminate": spec["terminate"],
            });
            told.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            all[metadata["name"].as_str().unwrap()] = told;
        }
        all
    }

    /// Plays as the real controller (Argo Rollouts 1.10.1) went through them.
    const RECORDED: &str = include_str!("experiment/recorded.json");

    #[test]
    fn experiments_go_through_the_same_statuses_as_the_real_ones() {
        let plays: Value = serde_json::from_str(RECORDED).unwrap();
        for (name, play) in plays.as_object().unwrap() {
            let mut sim = begin(name, play);
            for act in list(&play["acts"]) {
                run(&mut sim, 4.0);
                patch(&mut sim, name, &act[1]);
            }
            let delay = play["spec"]["scaleDownDelaySeconds"].as_f64().unwrap_or(30.0);
            run(&mut sim, delay + 10.0);
            let seen = told(statuses(&sim, EXPERIMENTS, name));
            for (index, status) in list(&play["statuses"]).iter().enumerate() {
                assert_eq!(seen.get(index).unwrap_or(&Value::Null), status, "{name}, status {index}");
            }
            assert_eq!(seen.len(), list(&play["statuses"]).len(), "{name}");
            assert_eq!(json!(events(&sim, name)), play["events"], "{name}");
            assert_eq!(replica_sets(&sim), play["replicaSets"], "{name}");
            assert_eq!(services(&sim), play["services"], "{name}");
            assert_eq!(runs(&sim), play["runs"], "{name}");
        }
    }

    fn one_template(extra: &Value) -> Value {
        let pods = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "app", "image": "app:v1"}]}});
        let template = json!({"name": "c", "replicas": 1, "selector": {"matchLabels": {"app": "a"}}, "template": pods});
        let mut spec = json!({"templates": [template]});
        json_patch::merge(&mut spec, extra);
        spec
    }

    #[test]
    fn a_missing_template_of_the_cluster_is_told_apart() {
        let mut sim = sim();
        let analyses = json!({"analyses": [{"name": "a", "templateName": "nowhere", "clusterScope": true}]});
        create(&mut sim, EXPERIMENTS, "e", &one_template(&analyses));
        run(&mut sim, 1.0);
        let expected =
            "ClusterAnalysisTemplate verification failed for analysis 'a': clusteranalysistemplate.argoproj.io \"nowhere\" not found";
        assert_eq!(get(&sim, EXPERIMENTS, "e")["status"]["message"], expected);
    }

    #[test]
    fn pods_of_an_experiment_are_not_those_of_the_version_it_is_made_of() {
        let mut sim = sim();
        let hash = crate::demo::controllers::objects::pod_template_hash(&one_template(&json!({}))["templates"][0]["template"]);
        let mut spec = one_template(&json!({}));
        spec["templates"][0]["template"]["metadata"]["labels"][templates::HASH] = hash.clone().into();
        create(&mut sim, EXPERIMENTS, "e", &spec);
        run(&mut sim, 2.0);
        let set = get(&sim, "replicasets.apps", "e-c");
        let own = &set["metadata"]["labels"][templates::HASH];
        assert!(own.is_string() && *own != hash);
        assert_eq!(set["spec"]["selector"]["matchLabels"], json!({"app": "a", templates::HASH: own}));
        assert_eq!(set["spec"]["template"]["metadata"]["labels"], set["metadata"]["labels"]);
        assert_eq!(set["status"]["availableReplicas"], 1);
    }

    #[test]
    fn the_rollout_behind_an_experiment_is_warned_of_its_analyses() {
        let mut sim = sim();
        create(&mut sim, "rollouts.argoproj.io", "web", &json!({}));
        create(
            &mut sim,
            "analysistemplates.argoproj.io",
            "t",
            &json!({"metrics": [{"name": "m", "provider": {"prometheus": {"query": "m: 1"}}}]}),
        );
        let rollout = get(&sim, "rollouts.argoproj.io", "web");
        let owners = json!([registry::controlled_by(&rollout)]);
        let spec = one_template(&json!({"duration": "2s", "analyses": [{"name": "a", "templateName": "t"}]}));
        let object = json!({"metadata": {"name": "e", "namespace": "shop", "ownerReferences": owners}, "spec": spec});
        registry::create(&mut sim.store, EXPERIMENTS, "shop", object, Write::new(epoch(), "test")).unwrap();
        run(&mut sim, 5.0);
        let said = events(&sim, "web");
        // The Rollouts controller has its own words before.
        let pending = "Warning AnalysisRunPending: AnalysisRun 'a' transitioned from  -> Pending";
        assert!(said.iter().any(|said| said == pending), "{said:?}");
        assert_eq!(get(&sim, EXPERIMENTS, "e")["status"]["phase"], "Successful");
    }

    #[test]
    fn a_service_of_somebody_else_is_not_taken() {
        let mut sim = sim();
        create(&mut sim, "services", "mine", &json!({"ports": []}));
        let mut spec = one_template(&json!({}));
        spec["templates"][0]["service"] = json!({"name": "mine"});
        spec["templates"][0]["template"]["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80}]);
        create(&mut sim, EXPERIMENTS, "e", &spec);
        run(&mut sim, 2.0);
        let status = get(&sim, EXPERIMENTS, "e")["status"].take();
        let expected =
            "Failed to create Service mine for template 'c': service mine already exists and is not owned by experiment template c";
        assert_eq!((&status["phase"], &status["message"]), (&json!("Error"), &json!(expected)));
    }
}
