//! The analyses of an Experiment: they begin when it is available, and decide over it.

use chrono::{SecondsFormat, TimeDelta};
use serde_json::{Value, json};

use super::{Pass, status::Analysis, templates::HASH};
use crate::demo::{
    controllers::{
        analysis::{self, ANALYSIS_RUNS, is_final, list, parse_duration, resolve},
        events,
    },
    registry::controlled_by,
    sim::Cx,
    store::Key,
};

impl Pass<'_> {
    pub fn analysis(&mut self, cx: &mut Cx<'_>, analysis: &Value) {
        let name = analysis["name"].as_str().unwrap_or_default();
        let before = self.experiment.status.analysis(name).cloned();
        let before = before.unwrap_or_else(|| Analysis { name: name.into(), ..Analysis::default() });
        let mut after = before.clone();
        if let Err(message) = self.follow(cx, analysis, &mut after) {
            after.phase = "Error".into();
            after.message = message;
        }
        if before.phase != after.phase && !after.phase.is_empty() {
            self.announce_analysis(cx, &before, &after);
        }
        self.status.set_analysis(after);
    }

    fn follow(&mut self, cx: &mut Cx<'_>, analysis: &Value, status: &mut Analysis) -> Result<(), String> {
        let namespace = self.experiment.namespace().to_owned();
        if self.experiment.status.available_at.is_none() {
            return verify(cx, &namespace, analysis);
        }
        if status.analysis_run.is_empty() {
            if !self.terminating {
                let failed = |why| format!("Failed to create AnalysisRun for analysis '{}': {why}", status.name);
                status.analysis_run = self.create_run(cx, analysis).map_err(failed)?;
                status.phase = "Pending".into();
            }
            return Ok(());
        }
        if is_final(&status.phase) {
            return Ok(());
        }
        let key = Key::new(ANALYSIS_RUNS, &namespace, &status.analysis_run);
        let run = cx.store.get(&key).ok_or_else(|| format!("{ANALYSIS_RUNS} \"{}\" not found", key.name))?.value();
        if !self.terminating {
            status.phase = run["status"]["phase"].as_str().unwrap_or_default().into();
            status.message = run["status"]["message"].as_str().unwrap_or_default().into();
            return Ok(());
        }
        if is_final(run["status"]["phase"].as_str().unwrap_or_default()) || run["spec"]["terminate"] == true {
            return Ok(());
        }
        let message = format!("Terminating {} ({})", status.name, key.name);
        events::record(cx, &self.experiment.object, "Normal", "AnalysisRunTerminating", &message);
        cx.patch(&key, &json!({"spec": {"terminate": true}})).map(drop).map_err(|refusal| refusal.message)
    }

    fn announce_analysis(&self, cx: &mut Cx<'_>, before: &Analysis, after: &Analysis) {
        let mut message = format!("AnalysisRun '{}' transitioned from {} -> {}", after.name, before.phase, after.phase);
        if !after.message.is_empty() {
            message += &format!(": {}", after.message);
        }
        let reason = format!("AnalysisRun{}", after.phase);
        let kind = if ["Failed", "Error", "Inconclusive"].contains(&&*after.phase) { "Warning" } else { "Normal" };
        events::record(cx, &self.experiment.object, kind, &reason, &message);
        let owner = list(&self.experiment.object["metadata"]["ownerReferences"]).iter().find(|owner| owner["kind"] == "Rollout");
        let rollout = owner.and_then(|owner| cx.get("rollouts.argoproj.io", self.experiment.namespace(), owner["name"].as_str()?));
        if let Some(rollout) = rollout {
            // The Rollout is warned whatever the phase is.
            events::record(cx, &rollout, "Warning", &reason, &message);
        }
    }

    /// Creates the AnalysisRun and returns its name.
    fn create_run(&self, cx: &mut Cx<'_>, analysis: &Value) -> Result<String, String> {
        let experiment = &self.experiment.object;
        let args = self.args(list(&analysis["args"]))?;
        let mut reference = analysis.clone();
        reference["name"].take();
        let templates = analysis::templates(cx.store, self.experiment.namespace(), &[reference])?;
        let spec = analysis::run_from_templates(&templates, &args, &experiment["spec"])?;
        let name = format!("{}-{}", self.experiment.name(), analysis["name"].as_str().unwrap_or_default());
        let mut metadata = json!({
            "name": name, "namespace": experiment["metadata"]["namespace"], "ownerReferences": [controlled_by(experiment)],
        });
        for field in ["labels", "annotations"] {
            let extra = &experiment["spec"]["analysisRunMetadata"][field];
            if extra.as_object().is_some_and(|extra| !extra.is_empty()) {
                metadata[field] = extra.clone();
            }
        }
        let run = analysis::create(cx, json!({"metadata": metadata, "spec": spec})).map_err(|refusal| refusal.message)?;
        Ok(run["metadata"]["name"].as_str().unwrap_or_default().to_owned())
    }

    /// Arguments with what is known of the experiment filled in. Those without a value are left to the templates.
    fn args(&self, args: &[Value]) -> Result<Vec<(String, String)>, String> {
        let known = self.known()?;
        let lookup = |tag: &str| known.iter().find(|(name, _)| name == tag).map(|(_, value)| value.as_str());
        let valued = args.iter().filter_map(|arg| Some((arg["name"].as_str()?, arg["value"].as_str()?)));
        valued.map(|(name, value)| Ok((name.to_owned(), resolve(value, lookup)?))).collect()
    }

    /// What arguments may name.
    fn known(&self) -> Result<Vec<(String, String)>, String> {
        let mut known = Vec::new();
        if let Some(at) = self.experiment.status.available_at {
            let text = |at: crate::model::Time| at.to_rfc3339_opts(SecondsFormat::Secs, true);
            known.push(("experiment.availableAt".into(), text(at)));
            let duration = self.experiment.object["spec"]["duration"].as_str().filter(|duration| !duration.is_empty());
            let duration: Option<TimeDelta> = duration.map(parse_duration).transpose()?;
            known.extend(duration.map(|duration| ("experiment.finishedAt".to_owned(), text(at + duration))));
        }
        for (template, set) in &self.sets {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            known.push((format!("templates.{template}.podTemplateHash"), text(&set["metadata"]["labels"][HASH])));
            known.push((format!("templates.{template}.replicaset.name"), text(&set["metadata"]["name"])));
        }
        Ok(known)
    }
}

/// Before the experiment is available, its templates need only exist.
fn verify(cx: &Cx<'_>, namespace: &str, analysis: &Value) -> Result<(), String> {
    let cluster = analysis["clusterScope"].as_bool().unwrap_or_default();
    let name = analysis["templateName"].as_str().unwrap_or_default();
    let kind = if cluster { "ClusterAnalysisTemplate" } else { "AnalysisTemplate" };
    let of = analysis["name"].as_str().unwrap_or_default();
    analysis::template(cx.store, namespace, name, cluster)
        .map(drop)
        .map_err(|why| format!("{kind} verification failed for analysis '{of}': {why}"))
}
