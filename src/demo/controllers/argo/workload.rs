//! Rollouts that take their template from a Deployment, a ReplicaSet or a PodTemplate.

use serde_json::{Value, json, value::to_raw_value};

use super::{
    names,
    pass::{Outcome, Pass, Trouble},
    status::Status,
};
use crate::demo::store::Key;

impl Pass<'_, '_> {
    /// Takes template and selector from the workload. False: all the pass does is to note that the workload changed.
    pub fn resolve_workload(&mut self) -> Outcome<bool> {
        let Some(workload) = self.spec.workload_ref.clone() else {
            self.meta.annotations.remove(names::WORKLOAD_GENERATION);
            return Ok(true);
        };
        let own = self.template();
        if ["labels", "annotations"].iter().any(|field| own["metadata"][field].as_object().is_some_and(|map| !map.is_empty())) {
            return Err(Trouble::NoWorkload("template must be empty for workload reference rollout".into()));
        }
        let Some(kind) = self.spec.workload_kind() else {
            let group = workload.api_version.split_once('/').map_or("", |(group, _)| group);
            return Err(Trouble::NoWorkload(format!("workload of type {group}/{} is not supported", workload.kind)));
        };
        let Some(object) = self.cx.get(kind, &self.meta.namespace, &workload.name) else {
            return Err(Trouble::NoWorkload(format!("{kind} \"{}/{}\" not found", self.meta.namespace, workload.name)));
        };
        let template = if kind == names::POD_TEMPLATES { &object["template"] } else { &object["spec"]["template"] };
        self.spec.template = to_raw_value(template).ok();
        if self.spec.selector.is_none() {
            self.spec.selector = serde_json::from_value(object["spec"]["selector"].clone()).ok();
        }
        let generation = object["metadata"]["generation"].as_i64().unwrap_or_default().to_string();
        let is_new = self.meta.annotation(names::WORKLOAD_GENERATION) != generation;
        self.meta.annotations.insert(names::WORKLOAD_GENERATION.into(), generation.clone());
        if !is_new || self.status.current_pod_hash.is_empty() {
            return Ok(true);
        }
        // A change of the workload is noted on the rollout first; that wakes the controller for the work.
        let patch = json!({"metadata": {"annotations": {names::WORKLOAD_GENERATION: generation}}});
        self.cx.patch(&self.key.clone(), &patch)?;
        Ok(false)
    }

    /// Says which generation of the workload the status is about.
    pub fn observe_workload(&self, status: &mut Status) {
        let known: i64 = status.workload_observed_generation.parse().unwrap_or_default();
        let seen: i64 = self.meta.annotation(names::WORKLOAD_GENERATION).parse().unwrap_or_default();
        match &self.spec.workload_ref {
            Some(_) if seen != known => status.workload_observed_generation = seen.to_string(),
            Some(_) => {}
            None => status.workload_observed_generation.clear(),
        }
    }

    /// The first version is healthy: the Deployment it came from gives up its pods, if it is to.
    pub fn scale_workload_on_success(&mut self, revision: i64) -> Outcome {
        let is_asked = self.spec.workload_ref.as_ref().is_some_and(|workload| workload.scale_down == "onsuccess");
        if revision == 1 && is_asked && self.status.phase == "Healthy" { self.scale_workload(0) } else { Ok(()) }
    }

    /// The Deployment that the first version came from gives up as many pods as that version has ready, if it is to.
    /// Trouble with it does not keep the rollout from going on.
    pub fn scale_workload_progressively(&mut self, index: usize, count: i64) {
        let is_asked = self.spec.workload_ref.as_ref().is_some_and(|workload| workload.scale_down == "progressively");
        let set = &self.sets[index];
        if set.metadata.revision() != 1 || !is_asked {
            return;
        }
        let ready = self.status.ready_replicas;
        let _ = match () {
            () if self.status.phase == "Healthy" => self.scale_workload(0),
            () if ready > 0 || set.spec.replicas > count => self.scale_workload((self.spec.replicas() - ready).max(0)),
            () => Ok(()),
        };
    }

    fn scale_workload(&mut self, count: i64) -> Outcome {
        let name = self.spec.workload_ref.as_ref().map_or("", |workload| &workload.name);
        let key: Key = self.key_of(names::DEPLOYMENTS, name);
        let now = self.cx.store.get(&key).map(|deployment| deployment.value()["spec"]["replicas"].clone());
        if now != Some(Value::from(count)) {
            self.cx.patch(&key, &json!({"spec": {"replicas": count}}))?;
        }
        Ok(())
    }
}
