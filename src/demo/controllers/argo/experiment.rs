//! Experiments that a canary step asks for.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    analysis::{Ending, Finished, Verdict},
    names,
    pass::{Outcome, Pass, Trouble, read},
    replicas,
    spec::{ExperimentStep, ExperimentTemplate, Meta},
    status::{Destination, Pause},
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Experiment {
    pub metadata: Meta,
    pub spec: Ending,
    pub status: State,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct State {
    #[serde(flatten)]
    pub verdict: Verdict,
    pub template_statuses: Vec<Running>,
}

/// One version that an Experiment runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Running {
    pub name: String,
    pub service_name: String,
    pub pod_template_hash: String,
}

/// The Experiment that the status names, and all others.
#[derive(Debug, Default)]
pub struct Experiments {
    pub current: Option<Experiment>,
    pub others: Vec<Experiment>,
}

impl Pass<'_, '_> {
    pub fn find_experiments(&mut self) {
        let all = self.cx.store.owned(names::EXPERIMENTS, &self.meta.uid).filter_map(|stored| read::<Experiment>(stored));
        let (current, others) = all.partition(|experiment| experiment.metadata.name == self.status.canary.current_experiment);
        let mut current: Vec<Experiment> = current;
        self.experiments = Experiments { current: current.pop(), others };
    }

    pub fn run_experiments(&mut self) -> Outcome {
        if self.is_aborted() || self.status.promote_full {
            let all: Vec<Experiment> = self.experiments.others.iter().chain(&self.experiments.current).cloned().collect();
            return self.cancel_experiments(&all);
        }
        if self.status.paused_for(&Pause::ANALYSIS).is_some() {
            return Ok(());
        }
        let asked = replicas::current_step(&self.spec, &self.status).0.and_then(|step| step.experiment.clone());
        if let Some(asked) = &asked {
            let current = match self.experiments.current.clone() {
                Some(current) => current,
                None if self.stable.is_none() => return Ok(()),
                None => self.begin_experiment(asked)?,
            };
            self.judge_experiment(current);
        }
        let ended = self.experiments.current.iter().filter(|_| asked.is_none());
        let others: Vec<Experiment> = self.experiments.others.iter().chain(ended).cloned().collect();
        self.cancel_experiments(&others)?;
        let history: Vec<Finished<'_>> = others.iter().map(|e| Finished::new(&e.metadata, &e.status.verdict)).collect();
        let excess = self.beyond_limits(history);
        excess.iter().try_for_each(|name| self.delete_if_there(names::EXPERIMENTS, name))
    }

    /// What an Experiment's outcome does to the rollout. One that ended is not named in the status any more, so that one
    /// that could not tell is followed by the next at once.
    fn judge_experiment(&mut self, experiment: Experiment) {
        let verdict = &experiment.status.verdict;
        match verdict.phase.as_str() {
            "Inconclusive" => self.pauses.add(Pause::EXPERIMENT),
            "Failed" | "Error" => {
                let why = if verdict.message.is_empty() { String::new() } else { format!(": {}", verdict.message) };
                self.pauses.abort(format!("Experiment analysis phase is error/failed{why}"));
            }
            "Successful" => {}
            _ => {
                self.draft.canary.current_experiment = experiment.metadata.name.clone();
                self.experiments.others.retain(|other| other.metadata.name != experiment.metadata.name);
                self.experiments.current = Some(experiment);
            }
        }
    }

    fn begin_experiment(&mut self, asked: &ExperimentStep) -> Outcome<Experiment> {
        let wanted = self.new_experiment(asked)?;
        let experiment = self.create_experiment(wanted)?;
        self.event("ExperimentCreated", &format!("Created Experiment '{}'", experiment.metadata.name));
        Ok(experiment)
    }

    /// Under its name, or with a number if that is taken. One that goes on and is just the same is the one wanted.
    fn create_experiment(&mut self, mut wanted: Value) -> Outcome<Experiment> {
        let base = wanted["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let mut collisions = 0;
        loop {
            let name = wanted["metadata"]["name"].as_str().unwrap_or_default();
            let Some(found) = self.cx.get(names::EXPERIMENTS, &self.meta.namespace, name) else { break };
            let known: Experiment = serde_json::from_value(found.clone()).unwrap_or_default();
            let is_mine = found["metadata"]["ownerReferences"][0]["uid"] == self.meta.uid.as_str();
            if is_mine && !known.status.verdict.is_final() && found["spec"] == wanted["spec"] {
                return Ok(known);
            }
            collisions += 1;
            wanted["metadata"]["name"] = format!("{base}-{collisions}").into();
        }
        let created = self.cx.create(names::EXPERIMENTS, wanted)?;
        Ok(serde_json::from_value(created).unwrap_or_default())
    }

    fn new_experiment(&self, asked: &ExperimentStep) -> Outcome<Value> {
        let revision = self.meta.annotation(names::REVISION);
        let index = self.status.current_step_index.unwrap_or_default();
        let mut labels = self.meta.labels.clone();
        labels.insert(names::HASH.into(), self.wanted.to_string());
        let mut analyses = Vec::new();
        for analysis in &asked.analyses {
            let mut entry = json!({"name": analysis.name, "templateName": analysis.template_name});
            let args = self.arguments(&analysis.args)?;
            if !args.is_empty() {
                entry["args"] = args.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
            }
            for (field, is_set) in [("clusterScope", analysis.cluster_scope), ("requiredForCompletion", analysis.required_for_completion)] {
                if is_set {
                    entry[field] = true.into();
                }
            }
            analyses.push(entry);
        }
        let templates = asked.templates.iter().map(|template| self.experiment_template(template)).collect::<Outcome<Vec<Value>>>()?;
        let mut spec = json!({"templates": templates});
        for (field, value) in [
            ("duration", asked.duration.clone()),
            ("progressDeadlineSeconds", json!(self.spec.progress_deadline_seconds)),
            ("analyses", json!(analyses)),
            ("dryRun", json!(asked.dry_run)),
            ("analysisRunMetadata", json!(asked.analysis_run_metadata)),
            ("scaleDownDelaySeconds", json!(asked.scale_down_delay_seconds)),
        ] {
            if !value.is_null() && value != json!([]) {
                spec[field] = value;
            }
        }
        Ok(json!({
            "metadata": {
                "name": format!("{}-{}-{revision}-{index}", self.meta.name, self.wanted), "namespace": self.meta.namespace,
                "labels": labels, "annotations": {names::REVISION: revision}, "ownerReferences": [self.owner()],
            },
            "spec": spec,
        }))
    }

    /// One version of an Experiment: the pods of the canary or of the stable version, in other clothes.
    fn experiment_template(&self, asked: &ExperimentTemplate) -> Outcome<Value> {
        let set = match asked.spec_ref.as_str() {
            "canary" => self.new_set(),
            "stable" => self.stable_set(),
            _ => return Err(Trouble::Failed("Invalid template step SpecRef: must be canary or stable".into())),
        };
        let set = set.and_then(|set| self.cx.get(names::REPLICA_SETS, &self.meta.namespace, set.name())).unwrap_or_default();
        let mut template = set["spec"]["template"].clone();
        let mut selector = if asked.selector.is_null() { set["spec"]["selector"].clone() } else { asked.selector.clone() };
        for (key, value) in &asked.metadata.labels {
            template["metadata"]["labels"][key] = value.clone().into();
            selector["matchLabels"][key] = value.clone().into();
        }
        for (key, value) in &asked.metadata.annotations {
            template["metadata"]["annotations"][key] = value.clone().into();
        }
        let mut entry = json!({"name": asked.name, "selector": selector, "template": template});
        if let Some(replicas) = asked.replicas {
            entry["replicas"] = replicas.into();
        }
        if set["spec"]["minReadySeconds"].is_i64() {
            entry["minReadySeconds"] = set["spec"]["minReadySeconds"].clone();
        }
        if asked.weight.is_some() || asked.service.is_some() {
            entry["service"] = json!(asked.service.clone().unwrap_or_default());
        }
        Ok(entry)
    }

    fn cancel_experiments(&mut self, experiments: &[Experiment]) -> Outcome {
        for experiment in experiments.iter().filter(|e| !e.spec.terminate && !e.status.verdict.is_final()) {
            let key = self.key_of(names::EXPERIMENTS, &experiment.metadata.name);
            self.cx.patch(&key, &json!({"spec": {"terminate": true}}))?;
        }
        Ok(())
    }

    pub fn delete_experiments_of(&mut self, hash: &str) -> Outcome {
        let of_hash = self.experiments.others.iter().map(|experiment| &experiment.metadata).filter(|m| m.label(names::HASH) == hash);
        let names: Vec<String> = of_hash.map(|metadata| metadata.name.clone()).collect();
        names.iter().try_for_each(|name| self.delete_if_there(names::EXPERIMENTS, name))
    }

    /// The weights that versions of the running Experiment get.
    pub fn experiment_weights(&self) -> Vec<Destination> {
        let asked = replicas::steps_so_far(&self.spec, &self.status).find_map(|step| step.experiment.as_ref());
        let running = self.experiments.current.as_ref().filter(|current| current.status.verdict.phase == "Running");
        let (Some(asked), Some(running)) = (asked, running) else { return Vec::new() };
        let weight = |name: &str| asked.templates.iter().find(|template| template.name == name)?.weight;
        let destination = |running: &Running| {
            let (service_name, pod_template_hash) = (running.service_name.clone(), running.pod_template_hash.clone());
            weight(&running.name).map(|weight| Destination { weight, service_name, pod_template_hash })
        };
        running.status.template_statuses.iter().filter_map(destination).collect()
    }
}
