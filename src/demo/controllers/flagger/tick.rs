//! One look at one Canary, in the order of the real controller: what is generated is put right, then one thing happens.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    router::{Router, Weights},
    spec::{Analysis, Spec, Strategy, TOTAL},
    status::{Phase, Status},
    target::NotReady,
};
use crate::demo::{
    controllers::events::{self, Source},
    sim::Cx,
    store::{Key, Stored},
};

/// Who reports.
const COMPONENT: &str = "flagger";
/// The reason of all that Flagger reports.
const REASON: &str = "Synced";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Normal,
    Warning,
}
use Kind::{Normal, Warning};

/// A Canary as it was when the tick began. What the tick writes is not read back before the next one.
pub struct Tick<'a, 'c> {
    pub cx: &'a mut Cx<'c>,
    pub key: Key,
    pub spec: Spec,
    pub analysis: Analysis,
    pub status: Status,
    pub router: Router,
    object: Value,
}

impl<'a, 'c> Tick<'a, 'c> {
    /// Nothing if the object makes no sense.
    pub fn new(cx: &'a mut Cx<'c>, stored: &Arc<Stored>) -> Option<Self> {
        let object = stored.value();
        let spec = Spec::deserialize(&object["spec"]).ok()?;
        let status = Status::deserialize(&object["status"]).unwrap_or_default();
        let (analysis, router) = (spec.analysis(), Router::of(spec.provider()));
        Some(Self { cx, key: stored.key.clone(), spec, analysis, status, router, object })
    }

    pub fn get(&self, kind: &str, name: &str) -> Option<Value> {
        self.cx.get(kind, &self.key.namespace, name)
    }

    /// `kind` as people call it, `id` as the API does.
    pub fn missing(&self, kind: &str, id: &str, name: &str) -> String {
        format!("{kind} {name}.{} get query error: {id} {name:?} not found", self.key.namespace)
    }

    /// `NAME.NAMESPACE` of the Canary.
    pub fn path(&self) -> String {
        format!("{}.{}", self.key.name, self.key.namespace)
    }

    /// The same of its target.
    fn target_path(&self) -> String {
        format!("{}.{}", self.spec.target_ref.name, self.key.namespace)
    }

    /// The reference of all that is generated.
    pub fn owner(&self) -> Value {
        json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": *self.key.name, "uid": self.object["metadata"]["uid"],
            "controller": true, "blockOwnerDeletion": true,
        })
    }

    pub fn event(&mut self, kind: Kind, message: &str) {
        let kind = if kind == Normal { "Normal" } else { "Warning" };
        let source = Source { component: COMPONENT, ..Source::default() };
        events::record_by(self.cx, source, &self.object, kind, REASON, message);
    }

    /// Whatever goes wrong ends the tick and is told.
    pub fn run(&mut self) {
        if let Err(why) = self.advance() {
            self.event(Warning, &why);
        }
    }

    fn advance(&mut self) -> Result<(), String> {
        if self.spec.suspend {
            self.event(Normal, "skipping canary run as object is suspended");
            return Ok(());
        }
        if !self.bootstrap()? || !self.should_advance()? {
            return Ok(());
        }
        if !self.spec.skips_analysis()
            && let Err(not) = self.is_primary_ready()
        {
            return self.give_up(not);
        }
        let weights = self.weights()?;
        if !matches!(self.status.phase, Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting | Phase::Finalising) {
            return self.begin();
        }
        if matches!(self.status.phase, Phase::Progressing | Phase::WaitingPromotion) && self.has_target_changed()? {
            return self.restart();
        }
        if let Err(not) = self.is_canary_ready() {
            return self.give_up(not);
        }
        if self.spec.skips_analysis() {
            return self.skip();
        }
        if matches!(self.status.phase, Phase::Progressing | Phase::WaitingPromotion) && self.is_called_back() {
            let what = self.path();
            self.event(Warning, &format!("Rolling back {what} manual webhook invoked"));
            return self.roll_back();
        }
        match self.status.phase {
            Phase::Promoting => self.bring_home(weights),
            Phase::Finalising => self.finish(),
            _ if self.status.failed_checks >= self.analysis.threshold() => self.roll_back(),
            _ => self.analyse(weights),
        }
    }

    /// Everything that is generated is there and right. False: not yet, and that was said.
    fn bootstrap(&mut self) -> Result<bool, String> {
        let selector = self.selector()?;
        self.initialize_services(&selector)?;
        let is_new = self.status.phase.is_new();
        if is_new && !self.spec.skips_analysis() {
            match self.check_providers() {
                Ok(()) => self.event(Normal, "all the metrics providers are available!"),
                Err(why) => self.event(Warning, &format!("Error checking metric providers: {why}")),
            }
        }
        if let Err(not) = self.initialize_target() {
            self.give_up(not)?;
            return Ok(false);
        }
        self.reconcile_apex(&selector)?;
        if is_new {
            let what = format!("{} {}", self.spec.target_ref.kind, self.target_path());
            self.scale_to_zero().map_err(|why| format!("scaling down canary {what} failed: {why}"))?;
        }
        self.reconcile_route()?;
        if is_new {
            self.sync_phase(Phase::Initialized).map_err(|why| format!("failed to sync canary {} status: {why}", self.path()))?;
            self.status.phase = Phase::Initialized;
            (self.status.last_applied_spec, self.status.tracked_configs) = (self.target_hash()?, Some(self.tracked_configs()?));
            let message = format!("Initialization done! {}", self.path());
            self.event(Normal, &message);
        }
        Ok(true)
    }

    /// Pods that are not ready end the tick; those that will not become ready end the release.
    fn give_up(&mut self, not: NotReady) -> Result<(), String> {
        self.event(Warning, &not.why);
        if not.retriable { Ok(()) } else { self.roll_back() }
    }

    /// A new revision: let in by its gate, it is scaled up.
    fn begin(&mut self) -> Result<(), String> {
        if !self.confirm_rollout()? {
            return Ok(());
        }
        let message = format!("New revision detected! Scaling up {}", self.target_path());
        self.event(Normal, &message);
        self.scale_from_zero()?;
        self.sync_phase(Phase::Progressing)
    }

    /// Yet another revision while one is analysed.
    fn restart(&mut self) -> Result<(), String> {
        let message = format!("New revision detected! Restarting analysis for {}", self.target_path());
        self.event(Normal, &message);
        self.set_weights(Weights::HOME)?;
        self.sync_phase(Phase::Progressing)
    }

    /// Straight to the primary, without a question.
    fn skip(&mut self) -> Result<(), String> {
        self.set_weights(Weights::HOME)?;
        self.copy()?;
        self.scale_to_zero()?;
        self.set_phase(Phase::Succeeded)?;
        let message = format!("Promotion completed! Canary analysis was skipped for {}", self.target_path());
        self.event(Normal, &message);
        Ok(())
    }

    fn copy(&mut self) -> Result<(), String> {
        let message = format!("Copying {} template spec to {}.{}", self.target_path(), self.spec.primary(), self.key.namespace);
        self.event(Normal, &message);
        self.promote()
    }

    /// The primary has the new version: users go back to it, at once or step by step.
    fn bring_home(&mut self, weights: Weights) -> Result<(), String> {
        if self.router == Router::Kubernetes {
            return self.set_phase(Phase::Finalising);
        }
        let step = self.analysis.step_weight_promotion;
        if step == 0 {
            self.event(Normal, "Routing all traffic to primary");
            self.set_weights(Weights::HOME)?;
            return self.set_phase(Phase::Finalising);
        }
        if weights.canary > 0 {
            let next = Weights { primary: (weights.primary + step).min(TOTAL), canary: (weights.canary - step).max(0) };
            self.set_weights(next)?;
            let message = format!("Advance {} primary weight {}", self.path(), next.primary);
            self.event(Normal, &message);
            return if next.primary == TOTAL { self.set_phase(Phase::Finalising) } else { self.set_weight(next.canary) };
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), String> {
        self.scale_to_zero()?;
        self.set_phase(Phase::Succeeded)?;
        self.after_rollout(Phase::Succeeded);
        let message = format!("Promotion completed! Scaling down {}", self.target_path());
        self.event(Normal, &message);
        Ok(())
    }

    fn roll_back(&mut self) -> Result<(), String> {
        let (what, failed) = (self.path(), self.status.failed_checks);
        if failed >= self.analysis.threshold() {
            self.event(Warning, &format!("Rolling back {what} failed checks threshold reached {failed}"));
        }
        self.set_weights(Weights::HOME)?;
        self.event(Warning, &format!("Canary failed! Scaling down {what}"));
        self.scale_to_zero()?;
        self.sync_phase(Phase::Failed)?;
        self.after_rollout(Phase::Failed);
        Ok(())
    }

    /// Checks, and if they pass one step forward.
    fn analyse(&mut self, weights: Weights) -> Result<(), String> {
        let is_good = if weights.canary == 0 && self.status.iterations == 0 {
            let message = format!("Starting canary analysis for {}", self.target_path());
            self.event(Normal, &message);
            self.before_rollout()
        } else {
            self.during_rollout() && self.are_metrics_good()
        };
        if !is_good {
            return self.set_failed_checks(self.status.failed_checks + 1);
        }
        if self.router == Router::Kubernetes {
            self.fit_to_kubernetes();
        }
        match self.analysis.strategy() {
            Strategy::AbTesting => self.step_ab(),
            Strategy::BlueGreen => self.step_blue_green(),
            Strategy::Canary => self.step_canary(weights),
        }
    }

    /// Without anything that splits users there is only blue-green.
    fn fit_to_kubernetes(&mut self) {
        if !self.analysis.matches.is_empty() {
            self.event(Warning, "A/B testing is not supported when using the kubernetes provider");
            self.analysis.matches.clear();
        }
        if self.analysis.iterations < 1 {
            self.event(Warning, "Progressive traffic is not supported when using the kubernetes provider");
            self.event(Warning, "Setting canaryAnalysis.iterations: 10");
            self.analysis.iterations = 10;
        }
    }

    fn step_canary(&mut self, weights: Weights) -> Result<(), String> {
        let step = self.analysis.next_step(weights.canary);
        if step <= 0 {
            return Ok(());
        }
        // In Promoting and Finalising nothing comes here.
        if self.status.phase != Phase::WaitingPromotion && !self.confirm_traffic_increase() {
            return Ok(());
        }
        if weights.canary >= self.analysis.max_weight() {
            return if self.confirm_promotion()? { self.hand_over() } else { Ok(()) };
        }
        let next = Weights { primary: (weights.primary - step).max(0), canary: (weights.canary + step).min(TOTAL) };
        self.set_weights(next)?;
        self.set_weight(next.canary)?;
        let message = format!("Advance {} canary weight {}", self.path(), next.canary);
        self.event(Normal, &message);
        Ok(())
    }

    /// The primary begins to roll to the new version.
    fn hand_over(&mut self) -> Result<(), String> {
        self.copy()?;
        self.set_phase(Phase::Promoting)
    }

    fn iterate(&mut self) -> Result<(), String> {
        let (next, all) = (self.status.iterations + 1, self.analysis.iterations);
        self.set_iterations(next)?;
        let message = format!("Advance {} canary iteration {next}/{all}", self.path());
        self.event(Normal, &message);
        Ok(())
    }

    fn step_ab(&mut self) -> Result<(), String> {
        if self.analysis.iterations > self.status.iterations {
            self.set_weights(Weights::AWAY)?;
            return self.iterate();
        }
        if self.confirm_promotion()? && self.analysis.iterations == self.status.iterations { self.hand_over() } else { Ok(()) }
    }

    fn step_blue_green(&mut self) -> Result<(), String> {
        let (done, all) = (self.status.iterations, self.analysis.iterations);
        if all > done {
            return self.iterate();
        }
        if !self.confirm_promotion()? {
            return Ok(());
        }
        if all < done {
            return self.hand_over();
        }
        if self.router != Router::Kubernetes {
            self.event(Normal, "Routing all traffic to canary");
            self.set_weights(Weights::AWAY)?;
        }
        self.set_iterations(done + 1)
    }
}
