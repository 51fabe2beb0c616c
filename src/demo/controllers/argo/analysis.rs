//! The AnalysisRuns of a rollout: which ones count, when a new one begins, what their outcome does, which ones go.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    names,
    pass::{Outcome, Pass, Trouble, read},
    replica_set::ReplicaSet,
    replicas,
    spec::{Analysis, Arg, Meta},
    status::{Pause, RunStatus},
};
use crate::{demo::controllers::analysis, model::Time};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Run {
    pub metadata: Meta,
    pub spec: Ending,
    pub status: Verdict,
}

/// What can be asked of a run or an Experiment that goes on.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Ending {
    pub terminate: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Verdict {
    pub phase: String,
    pub message: String,
}

impl Verdict {
    pub fn is_final(&self) -> bool {
        analysis::is_final(&self.phase)
    }

    pub fn is_bad(&self) -> bool {
        ["Failed", "Error"].contains(&self.phase.as_str())
    }
}

/// The runs that the status names, and all others.
#[derive(Debug, Default)]
pub struct Runs {
    pub step: Option<Run>,
    pub background: Option<Run>,
    pub pre: Option<Run>,
    pub post: Option<Run>,
    pub others: Vec<Run>,
}

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Step(i64),
    Background,
    Pre,
    Post,
}

impl Role {
    /// Value of the run's `rollout-type` label.
    fn name(self) -> &'static str {
        match self {
            Self::Step(_) => "Step",
            Self::Background => "Background",
            Self::Pre => "PrePromotion",
            Self::Post => "PostPromotion",
        }
    }

    /// End of the run's name.
    fn suffix(self) -> String {
        match self {
            Self::Step(index) => format!("-{index}"),
            Self::Background => String::new(),
            Self::Pre => "-pre".into(),
            Self::Post => "-post".into(),
        }
    }

    /// Beginning of the reason for an abort.
    fn failure(self) -> &'static str {
        match self {
            Self::Step(_) => "Step-based analysis phase error/failed",
            Self::Background => "Background analysis phase error/failed",
            Self::Pre => "Blue/green pre-promotion analysis phase error/failed",
            Self::Post => "Blue/green post-promotion analysis phase error/failed",
        }
    }
}

impl Pass<'_, '_> {
    pub fn find_runs(&mut self) {
        let mut runs = Runs::default();
        let (canary, blue_green) = (&self.status.canary, &self.status.blue_green);
        for run in self.cx.store.owned(names::ANALYSIS_RUNS, &self.meta.uid).filter_map(|stored| read::<Run>(stored)) {
            let is_named = |status: &Option<RunStatus>| status.as_ref().is_some_and(|status| status.name == run.metadata.name);
            match () {
                () if is_named(&canary.current_step_analysis_run_status) => runs.step = Some(run),
                () if is_named(&canary.current_background_analysis_run_status) => runs.background = Some(run),
                () if is_named(&blue_green.pre_promotion_analysis_run_status) => runs.pre = Some(run),
                () if is_named(&blue_green.post_promotion_analysis_run_status) => runs.post = Some(run),
                () => runs.others.push(run),
            }
        }
        self.runs = runs;
    }

    pub fn run_analyses(&mut self) -> Outcome {
        let is_over = self.status.is_fully_promoted()
            || self.is_aborted()
            || self.status.promote_full
            || self.is_fast_rollback()
            || self.status.stable_rs.is_empty();
        let next = if is_over { self.end_runs()? } else { self.next_runs()? };
        self.repeat_runs(&next);
        let current: Vec<&str> = next.current().into_iter().map(|(_, run)| run.metadata.name.as_str()).collect();
        let others = self.runs.others.iter().filter(|run| !current.contains(&run.metadata.name.as_str()));
        let others: Vec<Run> = others.cloned().collect();
        self.cancel_runs(&others)?;
        self.delete_old_runs(&others)?;
        self.tell_changes(&next);
        self.runs = Runs { others, ..next };
        Ok(())
    }

    /// Nothing is analysed any more. Blue-green keeps showing its runs, canary does not.
    fn end_runs(&mut self) -> Outcome<Runs> {
        let current: Vec<Run> = self.runs.current().into_iter().map(|(_, run)| run.clone()).collect();
        self.cancel_runs(&current)?;
        Ok(Runs { pre: self.runs.pre.clone(), post: self.runs.post.clone(), ..Runs::default() })
    }

    fn next_runs(&mut self) -> Outcome<Runs> {
        if self.spec.blue_green().is_none() {
            let step = self.step_run()?;
            return Ok(Runs { step, background: self.background_run()?, ..Runs::default() });
        }
        let pre = self.pre_promotion_run()?;
        self.judge(Role::Pre, pre.as_ref());
        let post = self.post_promotion_run()?;
        self.judge(Role::Post, post.as_ref());
        Ok(Runs { pre, post, ..Runs::default() })
    }

    fn step_run(&mut self) -> Outcome<Option<Run>> {
        let current = self.runs.step.clone();
        if !self.status.pause_conditions.is_empty() || self.status.abort {
            return Ok(current);
        }
        let (step, index) = replicas::current_step(&self.spec, &self.status);
        let asked = step.and_then(|step| step.analysis.clone()).filter(|analysis| !analysis.templates.is_empty()).zip(index);
        let is_of = |run: &Run, index: i64| run.metadata.label(names::STEP_INDEX) == index.to_string();
        let Some((asked, index)) = asked.filter(|(_, index)| current.as_ref().is_none_or(|run| is_of(run, *index))) else {
            return self.cancel_runs(current.as_slice()).map(|()| None);
        };
        self.keep_or_begin(Role::Step(index), &asked, current)
    }

    fn background_run(&mut self) -> Outcome<Option<Run>> {
        let current = self.runs.background.clone();
        let asked = self.spec.canary().and_then(|canary| canary.analysis.clone()).filter(|asked| !asked.analysis.templates.is_empty());
        let Some(asked) = asked else {
            return self.cancel_runs(current.as_slice()).map(|()| None);
        };
        let index = replicas::current_step(&self.spec, &self.status).1;
        let is_early = asked.starting_step.zip(index).is_some_and(|(start, index)| index < start);
        match () {
            () if is_early || self.status.current_pod_hash.is_empty() => Ok(None),
            () if self.is_inconclusive() => Ok(current),
            () => self.keep_or_begin(Role::Background, &asked.analysis, current),
        }
    }

    fn pre_promotion_run(&mut self) -> Outcome<Option<Run>> {
        let asked = self.spec.blue_green().and_then(|blue_green| blue_green.pre_promotion_analysis.clone());
        let is_skipped = self.skips_pre_promotion();
        self.promotion_run(Role::Pre, asked, self.runs.pre.clone(), is_skipped)
    }

    fn post_promotion_run(&mut self) -> Outcome<Option<Run>> {
        let asked = self.spec.blue_green().and_then(|blue_green| blue_green.post_promotion_analysis.clone());
        let is_skipped = self.skips_post_promotion();
        self.promotion_run(Role::Post, asked, self.runs.post.clone(), is_skipped)
    }

    fn promotion_run(&mut self, role: Role, asked: Option<Analysis>, current: Option<Run>, is_skipped: bool) -> Outcome<Option<Run>> {
        let Some(asked) = asked.filter(|asked| !asked.templates.is_empty()) else {
            return self.cancel_runs(current.as_slice()).map(|()| None);
        };
        if is_skipped {
            return self.cancel_runs(current.as_slice()).map(|()| current);
        }
        if self.is_inconclusive() || !self.needs_new_run(current.as_ref()) {
            return Ok(current);
        }
        self.begin_run(role, &asked).map(Some)
    }

    /// The run that goes on, whose outcome is looked at, or a new one.
    fn keep_or_begin(&mut self, role: Role, asked: &Analysis, current: Option<Run>) -> Outcome<Option<Run>> {
        if self.needs_new_run(current.as_ref()) {
            return self.begin_run(role, asked).map(Some);
        }
        self.judge(role, current.as_ref());
        Ok(current)
    }

    /// What a run's outcome does to the rollout.
    fn judge(&mut self, role: Role, run: Option<&Run>) {
        let Some(verdict) = run.map(|run| &run.status) else { return };
        if verdict.phase == "Inconclusive" {
            self.pauses.add(Pause::ANALYSIS);
        }
        if verdict.is_bad() {
            let why = if verdict.message.is_empty() { String::new() } else { format!(": {}", verdict.message) };
            self.pauses.abort(format!("{}{why}", role.failure()));
        }
    }

    fn is_inconclusive(&self) -> bool {
        self.status.paused_for(&Pause::ANALYSIS).is_some()
    }

    /// Whether to measure again: after a retry, or when somebody ended the pause for a run that could not tell.
    fn needs_new_run(&self, current: Option<&Run>) -> bool {
        let Some(current) = current else { return true };
        let steps = [Pause::STEP, Pause::PROMOTION];
        let is_step_paused = steps.iter().any(|reason| self.status.paused_for(reason).is_some());
        if self.status.controller_pause && !is_step_paused {
            return current.status.phase == "Inconclusive";
        }
        self.status.aborted_at.is_some()
    }

    /// Whether there is nothing to analyse before the switch: it is done, or the preview is not complete. A run that has
    /// begun is not given up because a pod goes away.
    fn skips_pre_promotion(&self) -> bool {
        let hash = Self::hash_of(self.new_set());
        let active = &self.status.blue_green.active_selector;
        if self.status.stable_rs == hash || active.is_empty() || active == hash || hash.is_empty() {
            return true;
        }
        let preview = self.spec.blue_green().and_then(|blue_green| blue_green.preview_replica_count);
        let is_complete = |new: &ReplicaSet| match preview {
            Some(count) => new.spec.replicas == count && new.available() == count,
            None => new.is_saturated(&self.spec),
        };
        self.runs.pre.is_none() && !self.new_set().is_some_and(is_complete)
    }

    /// The same after the switch.
    pub fn skips_post_promotion(&self) -> bool {
        let hash = Self::hash_of(self.new_set());
        if self.status.stable_rs == hash || self.status.blue_green.active_selector != hash || hash.is_empty() {
            return true;
        }
        self.runs.post.is_none() && !self.new_set().is_some_and(|new| new.is_saturated(&self.spec))
    }

    fn begin_run(&mut self, role: Role, asked: &Analysis) -> Outcome<Run> {
        let args = self.arguments(&asked.args)?;
        let templates = analysis::templates(self.cx.store, &self.meta.namespace, &asked.templates).map_err(Trouble::Failed)?;
        let rules = json!({"dryRun": asked.dry_run, "measurementRetention": asked.measurement_retention});
        let spec = analysis::run_from_templates(&templates, &args, &rules).map_err(Trouble::Failed)?;
        let hash = Self::hash_of(self.new_set()).to_owned();
        let revision = self.meta.annotation(names::REVISION).to_owned();
        let extra = asked.analysis_run_metadata.clone().unwrap_or_default();
        let mut labels: BTreeMap<String, String> =
            [(names::HASH.into(), hash.clone()), (names::ROLLOUT_TYPE.into(), role.name().into())].into();
        if let Role::Step(index) = role {
            labels.insert(names::STEP_INDEX.into(), index.to_string());
        }
        let instance = self.meta.label(names::INSTANCE_ID);
        labels.extend((!instance.is_empty()).then(|| (names::INSTANCE_ID.into(), instance.into())));
        labels.extend(extra.labels);
        labels.extend(self.spec.selector.clone().unwrap_or_default().match_labels);
        let mut annotations: BTreeMap<String, String> = [(names::REVISION.into(), revision.clone())].into();
        annotations.extend(extra.annotations);
        let run = json!({
            "metadata": {
                "name": format!("{}-{hash}-{revision}{}", self.meta.name, role.suffix()), "namespace": self.meta.namespace,
                "labels": labels, "annotations": annotations, "ownerReferences": [self.owner()],
            },
            "spec": spec,
            // Written by Go, these two are there from the start.
            "status": {"phase": "", "runSummary": {}},
        });
        let run = analysis::create(self.cx, run)?;
        Ok(serde_json::from_value(run).unwrap_or_default())
    }

    /// Names and values of arguments: plain, the hash of a version, or a field of the rollout.
    pub fn arguments(&self, args: &[Arg]) -> Outcome<Vec<(String, String)>> {
        args.iter().map(|arg| Ok((arg.name.clone(), self.argument(arg)?))).collect()
    }

    fn argument(&self, arg: &Arg) -> Outcome<String> {
        let Some(source) = &arg.value_from else { return Ok(arg.value.clone()) };
        if let Some(which) = &source.pod_template_hash_value {
            return Ok(match which.as_str() {
                "Latest" => Self::hash_of(self.new_set()).into(),
                "Stable" => Self::hash_of(self.stable_set()).into(),
                _ => arg.value.clone(),
            });
        }
        let Some(field) = &source.field_ref else { return Ok(arg.value.clone()) };
        let object = self.cx.store.get(&self.key).map(|stored| stored.value()).unwrap_or_default();
        field_of(&object, &field.field_path).map_err(Trouble::Failed)
    }

    /// Repeats the current runs in the next status.
    fn repeat_runs(&mut self, runs: &Runs) {
        let repeat = |run: &Option<Run>| {
            let of = |run: &Run| RunStatus {
                name: run.metadata.name.clone(),
                status: run.status.phase.clone(),
                message: run.status.message.clone(),
            };
            run.as_ref().map(of)
        };
        let (canary, blue_green) = (&mut self.draft.canary, &mut self.draft.blue_green);
        canary.current_background_analysis_run_status = repeat(&runs.background);
        canary.current_step_analysis_run_status = repeat(&runs.step);
        blue_green.pre_promotion_analysis_run_status = repeat(&runs.pre);
        blue_green.post_promotion_analysis_run_status = repeat(&runs.post);
    }

    /// Tells that a current run's phase changed.
    fn tell_changes(&mut self, runs: &Runs) {
        let (canary, blue_green) = (self.status.canary.clone(), self.status.blue_green.clone());
        for (role, run) in runs.current() {
            let before = match role {
                Role::Step(_) => &canary.current_step_analysis_run_status,
                Role::Background => &canary.current_background_analysis_run_status,
                Role::Pre => &blue_green.pre_promotion_analysis_run_status,
                Role::Post => &blue_green.post_promotion_analysis_run_status,
            };
            let (name, phase) = (&run.metadata.name, &run.status.phase);
            let is_news = before.as_ref().is_none_or(|before| before.name == *name && before.status != *phase);
            if !is_news || phase.is_empty() {
                continue;
            }
            let before = before.as_ref().map_or("NoPreviousStatus", |before| &before.status);
            let message = format!("{} Analysis Run '{name}' Status New: '{phase}' Previous: '{before}'", role.name());
            let reason = format!("AnalysisRun{phase}");
            if run.status.is_bad() { self.warn(&reason, &message) } else { self.event(&reason, &message) }
        }
    }

    fn cancel_runs(&mut self, runs: &[Run]) -> Outcome {
        for run in runs.iter().filter(|run| !run.spec.terminate && !run.status.is_final()) {
            let key = self.key_of(names::ANALYSIS_RUNS, &run.metadata.name);
            if self.cx.store.get(&key).is_some() {
                self.cx.patch(&key, &json!({"spec": {"terminate": true}}))?;
            }
        }
        Ok(())
    }

    /// Deletes runs of versions that are gone, and finished ones beyond the limits.
    fn delete_old_runs(&mut self, runs: &[Run]) -> Outcome {
        let history: Vec<Finished<'_>> = runs.iter().map(|run| Finished::new(&run.metadata, &run.status)).collect();
        for name in self.beyond_limits(history) {
            self.delete_if_there(names::ANALYSIS_RUNS, &name)?;
        }
        Ok(())
    }

    pub fn delete_runs_of(&mut self, hash: &str) -> Outcome {
        let names: Vec<String> =
            self.runs.others.iter().map(|run| &run.metadata).filter(|m| m.label(names::HASH) == hash).map(|m| m.name.clone()).collect();
        names.iter().try_for_each(|name| self.delete_if_there(names::ANALYSIS_RUNS, name))
    }

    pub fn delete_if_there(&mut self, kind: &str, name: &str) -> Outcome {
        let key = self.key_of(kind, name);
        if self.cx.store.get(&key).is_some() {
            self.cx.delete(&key)?;
        }
        Ok(())
    }

    /// Names of runs (or Experiments) that nobody needs any more: their version is gone, or enough newer ones of the same
    /// outcome are kept.
    pub fn beyond_limits(&self, mut history: Vec<Finished<'_>>) -> Vec<String> {
        // Of those made within one second, later ones have longer or higher names.
        history.sort_by_key(|entry| Reverse((entry.created, entry.name.len(), entry.name)));
        let (limit_good, limit_bad) = self.spec.run_limits();
        let (mut good, mut bad) = (0, 0);
        let mut excess = Vec::new();
        for entry in history {
            let is_orphan = self.set_of(entry.hash).is_none_or(|set| set.metadata.deletion_timestamp.is_some());
            let (count, limit) = match entry.phase {
                "Successful" => (&mut good, limit_good),
                "Failed" | "Error" | "Inconclusive" => (&mut bad, limit_bad),
                _ => (&mut 0, usize::MAX),
            };
            *count += usize::from(!is_orphan);
            if is_orphan || *count > limit {
                excess.push(entry.name.to_owned());
            }
        }
        excess
    }
}

/// A run or an Experiment, as far as its deletion goes.
pub struct Finished<'a> {
    name: &'a str,
    hash: &'a str,
    phase: &'a str,
    created: Option<Time>,
}

impl<'a> Finished<'a> {
    pub fn new(metadata: &'a Meta, status: &'a Verdict) -> Self {
        Self { name: &metadata.name, hash: metadata.label(names::HASH), phase: &status.phase, created: metadata.creation_timestamp }
    }
}

impl Runs {
    /// Current runs in the order in which their changes are told.
    fn current(&self) -> Vec<(Role, &Run)> {
        let all = [(Role::Post, &self.post), (Role::Pre, &self.pre), (Role::Step(0), &self.step), (Role::Background, &self.background)];
        all.into_iter().filter_map(|(role, run)| Some((role, run.as_ref()?))).collect()
    }
}

/// A field of the rollout as text: `metadata.labels['app']`, `spec.replicas`, `status.conditions[0].type`.
fn field_of(object: &Value, path: &str) -> Result<String, String> {
    let bracket = path.strip_prefix("metadata.").and_then(|rest| rest.strip_suffix("']")).and_then(|rest| rest.split_once("['"));
    if let Some((map, key)) = bracket {
        return Ok(object["metadata"][map][key].as_str().unwrap_or_default().into());
    }
    let unknown = || format!("invalid path {path} in rollout");
    let mut value = object;
    for section in path.split(['.', '[', ']']).filter(|section| !section.is_empty()) {
        value = match value {
            Value::Array(items) => {
                let index: usize = section.parse().map_err(|_| format!("invalid index '{section}'"))?;
                items.get(index).ok_or_else(|| format!("index {index} out of range"))?
            }
            Value::Object(fields) => fields.get(section).unwrap_or(&Value::Null),
            _ => return Err(unknown()),
        };
    }
    match value {
        Value::Null => Err(unknown()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(_) | Value::Object(_) => Err(format!("path {path} in rollout must terminate in a primitive value")),
        other => Ok(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_come_from_fields_of_the_rollout() {
        let rollout = json!({
            "metadata": {"name": "app", "labels": {"app.kubernetes.io/name": "x"}},
            "spec": {"replicas": 3, "strategy": {"canary": {"steps": [{"setWeight": 20}]}}, "paused": true},
        });
        for (path, value) in [
            ("metadata.name", Ok("app")),
            ("metadata.labels['app.kubernetes.io/name']", Ok("x")),
            ("metadata.annotations['none']", Ok("")),
            ("spec.replicas", Ok("3")),
            ("spec.paused", Ok("true")),
            ("spec.strategy.canary.steps[0].setWeight", Ok("20")),
            ("spec.strategy.canary.steps[1].setWeight", Err("index 1 out of range")),
            ("spec.strategy.canary.steps.x", Err("invalid index 'x'")),
            ("spec.none", Err("invalid path spec.none in rollout")),
            ("spec.replicas.none", Err("invalid path spec.replicas.none in rollout")),
            ("spec.strategy", Err("path spec.strategy in rollout must terminate in a primitive value")),
        ] {
            assert_eq!(field_of(&rollout, path), value.map(str::to_owned).map_err(str::to_owned), "{path}");
        }
    }
}
