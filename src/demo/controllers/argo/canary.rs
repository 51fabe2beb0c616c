//! The canary strategy: step by step, with a router or without.

use super::{
    pass::{Outcome, Pass},
    pause, replica_set, replicas,
    status::{Pause, Status},
    template,
};

impl Pass<'_, '_> {
    pub fn canary(&mut self) -> Outcome {
        if self.update_changed() {
            self.sync_revision()?;
            return self.sync_canary();
        }
        self.sync_revision()?;
        if self.restart_pods()? > 0 {
            // The counts of available pods are no longer true, so nothing may be scaled by them.
            return Ok(());
        }
        self.dress_pods()?;
        self.clean_up_history()?;
        self.canary_services()?;
        self.route()?;
        self.run_experiments()?;
        let runs = self.run_analyses();
        if self.pauses.is_adding() {
            return self.sync_canary();
        }
        runs?;
        if !self.canary_sets()? {
            self.enter_pause();
        }
        self.sync_canary()
    }

    /// Whether the template or the steps are not those of the status.
    fn update_changed(&self) -> bool {
        self.status.current_step_hash != template::steps_hash(self.spec.steps()) || self.template_changed()
    }

    /// Whether any version's number of pods changed.
    pub fn canary_sets(&mut self) -> Outcome<bool> {
        if self.is_halted() {
            return Ok(false);
        }
        self.remove_deadlines()?;
        Ok(self.scale_stable()? || self.scale_new()? || self.scale_others()?)
    }

    fn scale_stable(&mut self) -> Outcome<bool> {
        if self.stable.is_none() || self.stable == self.new {
            return Ok(false);
        }
        // By the weights as they were: at the end of an update the stable version must not grow for the weight it gets
        // back in this very pass.
        let pods = self.count(|counting| counting.canary_pods(self.status.canary.weights.as_ref()));
        let Some(stable) = self.stable_set().cloned() else { return Ok(false) };
        self.scale(&stable, pods.stable)
    }

    /// Pauses at a pause step, or looks again when its time is up.
    fn enter_pause(&mut self) {
        if self.spec.paused || self.status.promote_full {
            return;
        }
        let Some(step) = replicas::current_step(&self.spec, &self.status).0.and_then(|step| step.pause.clone()) else { return };
        match self.status.paused_for(&Pause::STEP) {
            Some(since) if step.duration.is_some() => self.look_again_at(since + chrono::Duration::seconds(step.seconds())),
            Some(_) => {}
            // A pause of the controller without a condition is one that somebody ended.
            None if !self.status.controller_pause => self.pauses.add(Pause::STEP),
            None => {}
        }
    }

    fn sync_canary(&mut self) -> Outcome {
        let mut status = self.base_status();
        status.available_replicas = replica_set::available(&self.sets);
        status.hpa_replicas = replica_set::existing(&self.sets);
        status.selector = self.spec.selector.clone().unwrap_or_default().to_string();
        status.canary.stable_ping_pong = self.status.canary.stable_ping_pong.clone();
        status.stable_rs = self.status.stable_rs.clone();
        status.current_step_hash = template::steps_hash(self.spec.steps());
        if self.update_changed() {
            self.begin(&mut status);
            return self.persist(status);
        }
        let steps = self.spec.steps().len() as i64;
        let mut index = replicas::current_step(&self.spec, &self.status).1;
        if self.status.promote_full || self.is_within_window() {
            self.pauses.clear();
            self.pauses.unabort();
            index = index.map(|_| steps);
        }
        if let Some(why) = self.canary_may_be_promoted() {
            self.promote(&mut status, &why)?;
            return self.persist(status);
        }
        if self.is_aborted() {
            let back = if status.is_fully_promoted() { steps } else { 0 };
            status.current_step_index = (steps > 0).then_some(back);
            return self.persist(status);
        }
        self.complete_step(&mut status, &mut index);
        status.current_step_index = index;
        self.persist(status)
    }

    /// A new update. Its steps are skipped if it leads back to the stable version, or to one within the rollback window
    /// that still has pods.
    fn begin(&mut self, status: &mut Status) {
        self.reset(status);
        let steps = self.spec.steps().len() as i64;
        let Some(new) = self.new_set().filter(|_| steps > 0) else { return };
        let why = match () {
            () if new.hash() == self.status.stable_rs => "Rollback to stable ReplicaSets",
            () if new.spec.replicas > 0 && self.is_within_window() => "Rollback to active ReplicaSets within RollbackWindow",
            () => return,
        };
        self.event("SkipSteps", why);
        status.current_step_index = Some(steps);
    }

    /// Why the new version becomes the stable one now, if it does.
    fn canary_may_be_promoted(&self) -> Option<String> {
        if self.stable.is_none() {
            return Some("Initial deploy".into());
        }
        let (replicas, steps) = (self.spec.replicas(), self.spec.steps().len() as i64);
        let threshold = self.spec.canary().and_then(|canary| canary.replica_progress_threshold.as_ref());
        let new = self.new_set()?;
        if self.is_aborted() || (new.available() < replicas && !replicas::threshold_met(threshold, Some(new), replicas)) {
            return None;
        }
        match () {
            () if self.status.promote_full => Some("Full promotion requested".into()),
            () if self.is_fast_rollback() && self.is_within_window() => Some("Rollback within window".into()),
            () if self.is_fast_rollback() => Some("Fast rollback".into()),
            () if steps == 0 || replicas::current_step(&self.spec, &self.status).1 == Some(steps) => {
                Some(format!("Completed all {steps} canary steps"))
            }
            () => None,
        }
    }

    fn complete_step(&mut self, status: &mut Status, index: &mut Option<i64>) {
        let (Some(step), Some(at)) = (replicas::current_step(&self.spec, &self.status).0.cloned(), index.as_mut()) else { return };
        if !self.step_is_complete() {
            return;
        }
        *at += 1;
        status.canary.current_step_analysis_run_status = None;
        let message = format!("Rollout step {at}/{} completed ({step})", self.spec.steps().len());
        self.event("RolloutStepCompleted", &message);
        self.pauses.remove(Pause::STEP);
    }

    fn step_is_complete(&self) -> bool {
        let Some(step) = replicas::current_step(&self.spec, &self.status).0.filter(|_| !self.spec.paused) else { return false };
        if let Some(pause) = &step.pause {
            return pause::step_is_over(&self.status, pause.duration.as_ref().map(|_| pause.seconds()), self.cx.now);
        }
        if step.set_canary_scale.is_some() || step.set_weight.is_some() {
            return self.count(|counting| counting.is_at_desired(self.draft.canary.weights.as_ref()));
        }
        if step.experiment.is_some() {
            return self.experiments.current.as_ref().is_some_and(|experiment| experiment.status.verdict.phase == "Successful");
        }
        if step.analysis.is_some() {
            return self.runs.step.as_ref().is_some_and(|run| run.status.phase == "Successful");
        }
        step.set_header_route.is_some() || step.set_mirror_route.is_some()
    }
}
