//! The two Deployments: the target, which is the canary and stands still at zero pods, and the generated primary.

use serde_json::{Map, Value, json};

use super::{
    names::{DEPLOYMENTS, TOOLKIT},
    status::Phase,
    tick::Tick,
};
use crate::demo::{
    controllers::objects::{between, condition, pod_template_hash, time},
    store::Key,
};

/// Labels that may tell the target's pods from others, in the order in which they are looked for.
const SELECTOR_LABELS: [&str; 3] = ["app", "name", "app.kubernetes.io/name"];

/// Makes each promotion a new template, even where nothing else changed.
const ID: &str = "flagger-id";

/// Why pods cannot be relied upon.
#[derive(Debug)]
pub struct NotReady {
    /// Whether waiting may help.
    pub retriable: bool,
    pub why: String,
}

impl NotReady {
    fn for_now(why: String) -> Self {
        Self { retriable: true, why }
    }

    fn about(self, what: &str) -> Self {
        Self { why: format!("{what} not ready: {}", self.why), ..self }
    }
}

/// What the target's selector says.
#[derive(Debug, Clone)]
pub struct Selector {
    pub label: String,
    pub value: String,
}

impl Selector {
    pub fn primary_value(&self) -> String {
        format!("{}-primary", self.value)
    }
}

impl Tick<'_, '_> {
    fn deployment(&self, name: &str) -> Result<Value, String> {
        let found = self.cx.get(DEPLOYMENTS, &self.key.namespace, name);
        found.ok_or_else(|| format!("deployment {name}.{} get query error: {DEPLOYMENTS} {name:?} not found", self.key.namespace))
    }

    pub fn target(&self) -> Result<Value, String> {
        self.deployment(&self.spec.target_ref.name)
    }

    fn primary(&self) -> Result<Value, String> {
        self.deployment(&self.spec.primary())
    }

    /// By which label the target's pods are told from the primary's.
    pub fn selector(&self) -> Result<Selector, String> {
        let target = self.target()?;
        self.selector_of(&target).map_err(|why| format!("getSelectorLabel failed: {why}"))
    }

    fn selector_of(&self, target: &Value) -> Result<Selector, String> {
        let labels = &target["spec"]["selector"]["matchLabels"];
        let found = SELECTOR_LABELS.iter().find_map(|label| Some(((*label).to_owned(), labels[*label].as_str()?.to_owned())));
        found.map(|(label, value)| Selector { label, value }).ok_or_else(|| {
            let (name, namespace) = (&self.spec.target_ref.name, &self.key.namespace);
            format!("deployment {name}.{namespace} spec.selector.matchLabels must contain one of [{}]", SELECTOR_LABELS.join(" "))
        })
    }

    pub fn target_hash(&self) -> Result<String, String> {
        Ok(pod_template_hash(&self.target()?["spec"]["template"]))
    }

    /// Whether the target's template is one that this Canary has not seen. The promoted one is no news.
    pub fn has_target_changed(&self) -> Result<bool, String> {
        let status = &self.status;
        if status.last_applied_spec.is_empty() {
            return Ok(true);
        }
        let hash = self.target_hash()?;
        Ok((status.last_promoted_spec != hash && status.last_applied_spec != hash) || self.have_configs_changed()?)
    }

    /// Makes the primary if it is not there, and at first waits for it.
    pub fn initialize_target(&mut self) -> Result<(), NotReady> {
        self.create_primary().map_err(|why| NotReady::for_now(format!("createPrimaryDeployment failed: {why}")))?;
        if self.status.phase.is_new() && !self.spec.skips_analysis() { self.is_primary_ready() } else { Ok(()) }
    }

    fn create_primary(&mut self) -> Result<(), String> {
        let target = self.target()?;
        let selector = self.selector_of(&target).map_err(|why| format!("getSelectorLabel failed: {why}"))?;
        let name = self.spec.primary();
        if self.primary().is_ok() {
            return Ok(());
        }
        self.create_primary_configs(&target)?;
        let spec = &target["spec"];
        let labels = json!({&selector.label: selector.primary_value()});
        let object = json!({
            "metadata": {
                "name": name, "namespace": *self.key.namespace, "labels": labels,
                "annotations": without_toolkit(&target["metadata"]["annotations"]), "ownerReferences": [self.owner()],
            },
            "spec": {
                "progressDeadlineSeconds": spec["progressDeadlineSeconds"], "minReadySeconds": spec["minReadySeconds"],
                "revisionHistoryLimit": spec["revisionHistoryLimit"], "strategy": spec["strategy"],
                "replicas": spec["replicas"].as_i64().filter(|replicas| *replicas > 0).unwrap_or(1),
                "selector": {"matchLabels": labels},
                "template": self.primary_template(&target, &selector),
            },
        });
        let told = |why: String| format!("creating deployment {name}.{} failed: {why}", self.key.namespace);
        self.cx.create(DEPLOYMENTS, object).map(drop).map_err(|refusal| told(refusal.message))
    }

    /// The target's template for pods of the primary.
    fn primary_template(&mut self, target: &Value, selector: &Selector) -> Value {
        let template = &target["spec"]["template"];
        let mut labels = without_toolkit(&template["metadata"]["labels"]);
        labels.insert(selector.label.clone(), selector.primary_value().into());
        let mut annotations = without_toolkit(&template["metadata"]["annotations"]);
        annotations.insert(ID.into(), self.uuid().into());
        let mut spec = template["spec"].clone();
        self.use_primary_configs(target, &mut spec);
        keep_apart(&mut spec, target["metadata"]["name"].as_str().unwrap_or_default());
        json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": spec})
    }

    fn uuid(&mut self) -> String {
        let bits = self.cx.rng.u128(..) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }

    /// The primary becomes what the target is.
    pub fn promote(&mut self) -> Result<(), String> {
        let name = self.spec.primary();
        let told = |namespace: &str, why: String| format!("updating deployment {name}.{namespace} template spec failed: {why}");
        let namespace = self.key.namespace.clone();
        let outcome = self.copy_to_primary();
        outcome.map_err(|why| told(&namespace, why))
    }

    fn copy_to_primary(&mut self) -> Result<(), String> {
        let target = self.target()?;
        let selector = self.selector_of(&target).map_err(|why| format!("getSelectorLabel failed: {why}"))?;
        let mut primary = self.primary()?;
        self.create_primary_configs(&target)?;
        for field in ["progressDeadlineSeconds", "minReadySeconds", "revisionHistoryLimit", "strategy", "replicas"] {
            primary["spec"][field] = target["spec"][field].clone();
        }
        primary["spec"]["template"] = self.primary_template(&target, &selector);
        primary["metadata"]["annotations"] = json!({});
        primary["metadata"]["labels"] = json!({&selector.label: selector.primary_value()});
        self.cx.update(DEPLOYMENTS, primary).map(drop).map_err(|refusal| refusal.message)
    }

    pub fn scale_to_zero(&mut self) -> Result<(), String> {
        self.target()?;
        self.scale(0).map_err(|why| format!("deployment {}.{} patch query error: {why}", self.spec.target_ref.name, self.key.namespace))
    }

    /// As many pods as the target asks for, else as many as the primary has.
    pub fn scale_from_zero(&mut self) -> Result<(), String> {
        let wanted = |deployment: &Value| deployment["spec"]["replicas"].as_i64().filter(|replicas| *replicas > 0);
        let replicas = match wanted(&self.target()?) {
            Some(replicas) => replicas,
            None => wanted(&self.primary()?).unwrap_or(1),
        };
        self.scale(replicas)
            .map_err(|why| format!("scaling up {}.{} to {replicas} failed: {why}", self.spec.target_ref.name, self.key.namespace))
    }

    /// As many pods as the primary has.
    pub fn scale_as_primary(&mut self) -> Result<(), String> {
        match self.primary() {
            Ok(primary) => self.scale(primary["spec"]["replicas"].as_i64().unwrap_or(1)),
            Err(_) => self.scale_from_zero(),
        }
    }

    fn scale(&mut self, replicas: i64) -> Result<(), String> {
        let key = Key::new(DEPLOYMENTS, &self.key.namespace, &self.spec.target_ref.name);
        self.cx.patch(&key, &json!({"spec": {"replicas": replicas}})).map(drop).map_err(|refusal| refusal.message)
    }

    pub fn is_primary_ready(&self) -> Result<(), NotReady> {
        let primary = self.primary().map_err(NotReady::for_now)?;
        let ready = self.is_ready(&primary, self.analysis.primary_ready_threshold());
        ready.map_err(|not| not.about(&format!("{}.{}", self.spec.primary(), self.key.namespace)))
    }

    pub fn is_canary_ready(&self) -> Result<(), NotReady> {
        let target = self.target().map_err(NotReady::for_now)?;
        let ready = self.is_ready(&target, self.analysis.canary_ready_threshold());
        ready.map_err(|not| not.about(&format!("canary deployment {}.{}", self.spec.target_ref.name, self.key.namespace)))
    }

    /// Whether a Deployment has come to rest with this share of its pods available.
    fn is_ready(&self, deployment: &Value, threshold: i64) -> Result<(), NotReady> {
        let (status, name) = (&deployment["status"], deployment["metadata"]["name"].as_str().unwrap_or_default());
        let count = |field: &str| status[field].as_i64().unwrap_or_default();
        if deployment["metadata"]["generation"].as_i64() > Some(count("observedGeneration")) {
            let why = "waiting for rollout to finish: observed deployment generation less than desired generation";
            return Err(NotReady::for_now(why.into()));
        }
        let progress = condition(&status["conditions"], "Progressing");
        if progress.is_some_and(|progress| progress["reason"] == "ProgressDeadlineExceeded") {
            return Err(NotReady { retriable: false, why: format!("deployment {name:?} exceeded its progress deadline") });
        }
        let (updated, available) = (count("updatedReplicas"), count("availableReplicas"));
        let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
        let enough = updated * threshold / 100;
        let why = if updated < wanted {
            format!("{updated} out of {wanted} new replicas have been updated")
        } else if count("replicas") > updated {
            format!("{} old replicas are pending termination", count("replicas") - updated)
        } else if available < enough {
            format!("{available} of {enough} (readyThreshold {threshold}%) updated replicas are available")
        } else {
            return Ok(());
        };
        let retriable = progress.is_none() || !self.is_overdue(status);
        Err(NotReady { retriable, why: format!("waiting for rollout to finish: {why}") })
    }

    /// Whether too few pods have been available for longer than the Canary's deadline.
    fn is_overdue(&self, status: &Value) -> bool {
        let Some(available) = condition(&status["conditions"], "Available") else { return false };
        if available["status"] != "False" || available["reason"] != "MinimumReplicasUnavailable" {
            return false;
        }
        let since = time(&available["lastUpdateTime"]).map(|since| between(since, self.cx.now));
        since.is_some_and(|since| since.as_secs_f64() > self.spec.deadline() as f64)
    }

    /// Whether a release is to begin or go on.
    pub fn should_advance(&mut self) -> Result<bool, String> {
        if self.status.phase.is_busy() {
            return Ok(true);
        }
        // While nobody looks, a status that says nothing new need not be written again and again.
        let is_noted = self.cx.workloads.is_prehistory(self.cx.now) && self.status.last_applied_spec == self.target_hash()?;
        if self.status.phase == Phase::Failed && !is_noted {
            let status = self.status.clone();
            self.sync_status(&status)?;
        }
        self.has_target_changed()
    }
}

/// Labels or annotations without the marks of Flux.
pub fn without_toolkit(of: &Value) -> Map<String, Value> {
    let mut kept = of.as_object().cloned().unwrap_or_default();
    kept.retain(|key, _| !key.contains(TOOLKIT) && key != ID);
    kept
}

/// What spreads the target's pods spreads the primary's.
fn keep_apart(spec: &mut Value, target: &str) {
    let anti = "/affinity/podAntiAffinity";
    let lists = [
        ("/topologySpreadConstraints".to_owned(), "/labelSelector"),
        (format!("{anti}/preferredDuringSchedulingIgnoredDuringExecution"), "/podAffinityTerm/labelSelector"),
        (format!("{anti}/requiredDuringSchedulingIgnoredDuringExecution"), "/labelSelector"),
    ];
    for (list, selector) in lists {
        for rule in spec.pointer_mut(&list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(selector) = rule.pointer_mut(selector) else { continue };
            for label in SELECTOR_LABELS {
                if selector["matchLabels"][label] == target {
                    selector["matchLabels"][label] = format!("{target}-primary").into();
                }
            }
            for expression in selector["matchExpressions"].as_array_mut().into_iter().flatten() {
                let is_ours = SELECTOR_LABELS.iter().any(|label| expression["key"] == *label);
                let value = expression["values"].as_array_mut().into_iter().flatten().find(|value| is_ours && **value == *target);
                if let Some(value) = value {
                    *value = format!("{target}-primary").into();
                }
            }
        }
    }
}
