//! One look at one Rollout: where its release stands, and the next thing to be done for it.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};

use super::{
    names::{DEPLOYMENTS, ROLLOUTS, WORKLOAD_TYPE},
    spec::{Spec, Style},
    status::{Status, step},
    workload::{Found, Workload, find},
};
use crate::{
    demo::{
        controllers::{
            events::{self, Source},
            objects::between,
        },
        registry::stamp,
        sim::Cx,
        store::Key,
    },
    model::Time,
};

/// Between two looks where nothing tells that something has changed.
const RECHECK: Duration = Duration::from_secs(3);
/// Between two looks at pods, and how long those who count them take to begin.
const BATCH: Duration = Duration::from_secs(2);

/// Why what a release has changed is put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Success,
    Rollback,
    Disabled,
}

pub struct Pass<'a, 'b> {
    pub cx: &'a mut Cx<'b>,
    pub key: Key,
    pub rollout: Value,
    pub spec: Spec,
    pub status: Status,
    pub graces: &'a mut HashMap<Key, Time>,
    again: Option<Duration>,
}

impl<'a, 'b> Pass<'a, 'b> {
    pub fn new(cx: &'a mut Cx<'b>, key: &Key, rollout: Value, spec: Spec, graces: &'a mut HashMap<Key, Time>) -> Self {
        let status = Status::new(&rollout["status"], spec.style(), cx.now);
        Self { cx, key: key.clone(), rollout, spec, status, graces, again: None }
    }

    /// The sooner of what was asked for and this.
    pub fn look_again(&mut self, after: Duration) {
        self.again = Some(self.again.map_or(after, |again| again.min(after)));
    }

    fn event(&mut self, message: &str) {
        let source = Source { component: "rollout-controller", ..Source::default() };
        events::record_by(self.cx, source, &self.rollout, "Normal", "Progressing", message);
    }

    pub fn run(mut self) -> Option<Duration> {
        if !self.rollout["metadata"]["deletionTimestamp"].is_null() {
            return None;
        }
        let found = find(self.cx.store, &self.key.namespace, &self.spec.workload_ref.name, self.spec.style());
        self.label_workload();
        let was = self.status.clone();
        self.status.value["observedGeneration"] = self.rollout["metadata"]["generation"].clone();
        match found {
            Found::Behind => return Some(RECHECK),
            Found::Nothing => self.nothing_there(),
            Found::Workload(workload) => {
                self.judge(&workload);
                match was.phase() {
                    "Progressing" => self.progressing(&was, &workload),
                    "Disabling" if self.finalise(&workload, End::Disabled) => {
                        self.status.value["phase"] = "Disabled".into();
                        self.status.value["message"] = "Rollout is disabled".into();
                    }
                    _ => {}
                }
            }
        }
        self.write();
        self.again
    }

    /// Only workloads with this label are looked at by the webhook.
    fn label_workload(&mut self) {
        let key = Key::new(DEPLOYMENTS, &self.key.namespace, &self.spec.workload_ref.name);
        if self.cx.store.get(&key).is_some_and(|stored| stored.label(WORKLOAD_TYPE).is_none()) {
            let _ = self.cx.patch(&key, &json!({"metadata": {"labels": {WORKLOAD_TYPE: "deployment"}}}));
        }
    }

    fn write(&mut self) {
        if self.status.has_part() {
            for field in ["currentStepIndex", "currentStepState"] {
                self.status.value[field] = self.status.get(field).clone();
            }
        }
        if self.status.value != self.rollout["status"] {
            let mut object = self.rollout.clone();
            object["status"] = self.status.value.clone();
            // As the real one: what somebody wrote meanwhile is written over.
            object["metadata"]["resourceVersion"].take();
            let _ = self.cx.update_status(ROLLOUTS, object);
        }
    }

    fn nothing_there(&mut self) {
        if !self.spec.disabled {
            let generation = &self.rollout["metadata"]["generation"];
            self.status.value = json!({"observedGeneration": generation, "phase": "Initial", "message": "Workload Not Found"});
        }
    }

    /// Which phase it is in by now.
    fn judge(&mut self, workload: &Workload) {
        let phase = self.status.phase().to_owned();
        if self.spec.disabled && !phase.starts_with("Disabl") {
            let (next, message) = match phase.as_str() {
                "Progressing" => ("Disabling", "Disabling rollout, release resources"),
                _ => ("Disabled", "Rollout is disabled"),
            };
            (self.status.value["phase"], self.status.value["message"]) = (next.into(), message.into());
            return;
        }
        if self.status.has_part() && self.status.text("canaryRevision") == workload.wanted {
            self.status.put("observedWorkloadGeneration", workload.object["metadata"]["generation"].clone());
            self.status.put("observedRolloutID", rollout_id(workload));
        }
        match phase.as_str() {
            "" | "Initial" => self.healthy(),
            "Disabled" if !self.spec.disabled => self.healthy(),
            "Healthy" if workload.in_progress => {
                self.status.value["phase"] = "Progressing".into();
                self.status.drop_condition("Progressing");
                self.status.put_condition("Progressing", "True", "Initializing", "Rollout is in Progressing");
                self.status.drop_condition("Succeeded");
            }
            "Healthy" if !self.status.has_part() => self.at_rest(workload),
            _ => {}
        }
    }

    fn healthy(&mut self) {
        self.status.value["phase"] = "Healthy".into();
        self.status.value["message"] = "rollout is healthy".into();
    }

    /// As if what is there had just been released.
    fn at_rest(&mut self, workload: &Workload) {
        let last = self.spec.steps().len();
        self.status.begin(json!({
            "observedRolloutID": rollout_id(workload), "observedWorkloadGeneration": workload.object["metadata"]["generation"],
            "podTemplateHash": workload.hash, "stableRevision": workload.stable, "canaryRevision": workload.wanted,
            "currentStepIndex": last, "nextStepIndex": self.after(last), "currentStepState": step::COMPLETED,
        }));
        self.status.value["message"] = "workload deployment is completed".into();
    }

    /// The step behind this one; -1: none.
    fn after(&self, index: usize) -> i64 {
        if index >= self.spec.steps().len() { -1 } else { i64::try_from(index + 1).unwrap_or(-1) }
    }

    fn progressing(&mut self, was: &Status, workload: &Workload) {
        match was.reason() {
            "Initializing" => self.initialize(was, workload),
            "InRolling" => self.roll(workload),
            "Paused" if !self.spec.strategy.paused => {
                self.status.progress("True", "InRolling", "Rollout has been paused, you can resume it by kube-cli")
            }
            "Finalising" if self.finalise(workload, End::Success) => {
                self.status.progress("False", "Completed", "Rollout progressing has been completed");
                self.status.put_condition("Succeeded", "True", "", "");
            }
            "Cancelling" if self.finalise(workload, End::Rollback) => {
                self.status.progress("False", "Completed", "Rollout progressing has been cancelled");
                self.status.put_condition("Succeeded", "False", "", "");
            }
            "Completed" => self.status.value["phase"] = "Healthy".into(),
            _ => {}
        }
    }

    fn initialize(&mut self, was: &Status, workload: &Workload) {
        self.status.begin(json!({
            "observedWorkloadGeneration": workload.object["metadata"]["generation"], "observedRolloutID": rollout_id(workload),
            "stableRevision": workload.stable, "canaryRevision": workload.wanted, "currentStepIndex": 1, "nextStepIndex": self.after(1),
            "currentStepState": step::INIT, "lastUpdateTime": stamp(self.cx.now),
        }));
        // The Rollout may change together with its workload, and a little later.
        let begins = was.progressing_since().map(|at| at + RECHECK).filter(|begins| *begins > self.cx.now);
        match begins {
            Some(begins) => self.look_again(between(self.cx.now, begins)),
            None => self.status.progress("True", "InRolling", "Rollout is in Progressing"),
        }
    }

    fn roll(&mut self, workload: &Workload) {
        let is_news = workload.wanted != self.status.text("canaryRevision");
        if workload.in_rollback && is_news {
            self.status.put("canaryRevision", workload.wanted.as_str());
            self.event("workload has been rollback, then rollout is canceled");
            let message = "The workload has been rolled back and the rollout process will be cancelled";
            return self.status.progress("True", "Cancelling", message);
        }
        if self.spec.strategy.paused {
            return self.status.progress("True", "Paused", "Rollout has been paused, you can resume it by kube-cli");
        }
        if is_news && !self.status.text("canaryRevision").is_empty() {
            return self.another(workload);
        }
        if self.status.text("currentStepState") == step::COMPLETED {
            return self.status.progress("True", "Finalising", "Rollout has been completed and some closing work is being done");
        }
        self.step(workload);
    }

    /// One more version while another is on its way.
    fn another(&mut self, workload: &Workload) {
        self.event("workload continuous publishing canaryRevision, then restart publishing");
        if self.spec.style() == Style::BlueGreen {
            return self.status.message("new version releasing detected in the progress of blue-green release, please rollback first");
        }
        if self.restore_gateway() && self.release(workload) && self.remove_canary_service() {
            self.status.forget();
            self.status.drop_condition("Progressing");
            self.status.progress("True", "Initializing", "Workload is continuous release");
        }
    }

    fn step(&mut self, workload: &Workload) {
        let counts = self.counts(workload);
        self.status.put("canaryReplicas", counts.pods);
        self.status.put("canaryReadyReplicas", counts.ready);
        if self.status.text("podTemplateHash").is_empty() {
            self.status.put("podTemplateHash", workload.hash.as_str());
        }
        let index = self.status.index();
        let Some(at) = self.spec.steps().get(index.wrapping_sub(1)).cloned() else { return };
        if self.jump(index) || !at.moves_users() && !self.end_routing() {
            return;
        }
        let all = self.spec.steps().len();
        let state = self.status.text("currentStepState").to_owned();
        match state.as_str() {
            step::INIT => {
                if at.moves_users() && index == 1 && !self.hold_service() {
                    return;
                }
                self.status.state(step::UPGRADE);
                self.status.touch();
            }
            step::UPGRADE => {
                self.status.message(&format!("Rollout is in step({index}/{all}), and upgrade workload to new version"));
                self.look_again(BATCH);
                let begun = self.status.touched().is_none_or(|at| between(at, self.cx.now) >= BATCH);
                if self.upgrade(workload, &at) && begun && !workload.hash.is_empty() {
                    self.event(&format!("upgrade step({index}) canary pods with new versions done"));
                    self.status.put("podTemplateHash", workload.hash.as_str());
                    let counts = self.counts(workload);
                    self.status.put("canaryReplicas", counts.pods);
                    self.status.put("canaryReadyReplicas", counts.ready);
                    self.status.state(step::ROUTING);
                    self.status.touch();
                }
            }
            step::ROUTING if self.do_routing(&at) => {
                self.status.touch();
                self.status.state(step::ANALYSIS);
            }
            step::ANALYSIS => self.status.state(step::PAUSED),
            step::PAUSED => {
                let last = index == all && at.has_all_pods() && self.spec.style() != Style::BlueGreen;
                if last || self.is_pause_over(index, at.pause.duration) {
                    self.status.touch();
                    self.status.state(step::READY);
                }
            }
            step::READY => {
                self.status.touch();
                if index < all {
                    self.status.put("currentStepIndex", index + 1);
                    let after = self.after(index + 1);
                    self.status.put("nextStepIndex", after);
                    self.status.state(step::INIT);
                } else {
                    self.status.state(step::COMPLETED);
                }
            }
            _ => {}
        }
    }

    fn is_pause_over(&mut self, index: usize, duration: Option<u32>) -> bool {
        let all = self.spec.steps().len();
        let Some(seconds) = duration else {
            self.status.message(&format!("Rollout is in step({index}/{all}), and you need manually confirm to enter the next step"));
            return false;
        };
        self.status.message(&format!("Rollout is in step({index}/{all}), and wait duration({seconds} seconds) to enter the next step"));
        let ends = self.status.touched().map(|at| at + Duration::from_secs(seconds.into()));
        match ends.filter(|ends| *ends > self.cx.now) {
            Some(ends) => {
                self.look_again(between(self.cx.now, ends));
                false
            }
            None => true,
        }
    }

    /// To the step that somebody has named as the next one. Whether there was one.
    fn jump(&mut self, index: usize) -> bool {
        let named = self.status.get("nextStepIndex").as_i64().unwrap_or_default();
        let to = usize::try_from(named).ok().filter(|to| named != self.after(index) && (1..=self.spec.steps().len()).contains(to));
        let Some(to) = to else { return false };
        let replicas = |index: usize| self.spec.steps().get(index - 1).map(|step| step.replicas.clone());
        let state = if replicas(to) == replicas(index) { step::ROUTING } else { step::INIT };
        let after = self.after(to);
        self.status.put("currentStepIndex", to);
        self.status.put("nextStepIndex", after);
        self.status.state(state);
        self.status.touch();
        true
    }

    /// Puts back what a release has changed, one task after the other. Whether all is done.
    fn finalise(&mut self, workload: &Workload, end: End) -> bool {
        if !self.status.has_part() {
            return true;
        }
        self.unmark(workload);
        let tasks = tasks(self.spec.style(), end);
        let at = self.status.text("finalisingStep").to_owned();
        if at == "END" {
            return true;
        }
        let Some(place) = tasks.iter().position(|task| *task == at) else {
            self.status.put("finalisingStep", tasks[0]);
            self.status.touch();
            return false;
        };
        self.look_again(RECHECK);
        if !self.task(tasks[place], workload, end) {
            return false;
        }
        let next = tasks.get(place + 1).copied().unwrap_or("END");
        self.status.touch();
        self.status.put("finalisingStep", next);
        next == "END"
    }

    fn task(&mut self, task: &str, workload: &Workload, end: End) -> bool {
        match task {
            TO_STABLE => self.restore_gateway(),
            TO_NEW => self.route_all_to_new(),
            RESTORE => self.restore_service(),
            REMOVE => self.remove_canary_service(),
            RESUME => self.resume(workload, end == End::Success),
            _ => self.release(workload),
        }
    }
}

const TO_STABLE: &str = "FinalisingStepRouteTrafficToStable";
const TO_NEW: &str = "FinalisingStepRouteTrafficToNew";
const RESTORE: &str = "RestoreStableService";
const REMOVE: &str = "RemoveCanaryService";
const RESUME: &str = "ResumeWorkload";
const RELEASE: &str = "ReleaseWorkloadControl";

fn tasks(style: Style, end: End) -> &'static [&'static str] {
    match (style, end) {
        (Style::BlueGreen, End::Success) => &[TO_NEW, RESTORE, RESUME, TO_STABLE, REMOVE, RELEASE],
        (Style::BlueGreen, End::Rollback) => &[TO_STABLE, RESUME, RESTORE, REMOVE, RELEASE],
        (_, End::Rollback) => &[TO_STABLE, RESUME, RELEASE, RESTORE, REMOVE],
        _ => &[RESTORE, TO_STABLE, REMOVE, RESUME, RELEASE],
    }
}

fn rollout_id(workload: &Workload) -> String {
    if workload.in_rollback { format!("rollback-{}", workload.wanted) } else { workload.wanted.clone() }
}
