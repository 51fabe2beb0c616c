//! The templates of an Experiment: a ReplicaSet each, and a Service where one is wanted.

use chrono::{SubsecRound, TimeDelta};
use serde_json::{Map, Value, json};

use super::{
    Pass, annotated,
    status::{Counts, Template, is_final},
};
use crate::demo::{
    controllers::{
        analysis::list,
        events,
        objects::{key_of, parse_time, pod_template_hash},
    },
    registry::{controlled_by, stamp},
    sim::Cx,
};

const REPLICA_SETS: &str = "replicasets.apps";
pub const HASH: &str = "rollouts-pod-template-hash";
const DEADLINE: &str = "scale-down-deadline";
const NAME: &str = "experiment.argoproj.io/name";
pub const TEMPLATE: &str = "experiment.argoproj.io/template-name";

impl Pass<'_> {
    pub fn template(&mut self, cx: &mut Cx<'_>, template: &Value) {
        let name = template["name"].as_str().unwrap_or_default();
        let before = self.experiment.status.template(name).cloned();
        let before = before.unwrap_or_else(|| Template { name: name.into(), ..Template::default() });
        let mut after = before.clone();
        let desired = self.experiment.desired(template);
        let now = cx.now.trunc_subsecs(0);
        match self.sets.get(name).cloned() {
            None => self.create_set(cx, template, &mut after),
            Some(set) => {
                self.service(cx, template, &set, desired, &mut after);
                let set = if desired == 0 { self.delay_scale_down(cx, set) } else { set };
                if set["spec"]["replicas"] != desired {
                    self.scale(cx, &set, desired, template, &mut after);
                    after.last_transition_time = Some(now);
                }
                self.sets.insert(name.into(), set);
            }
        }
        after.counts = self.sets.get(name).map_or_else(Counts::default, |set| Counts::of(&set["status"]));
        if after.counts != before.counts {
            after.last_transition_time = Some(now);
        }
        self.judge(cx, &mut after, desired);
        self.announce_template(cx, &before, &after);
        self.status.set_template(after);
    }

    /// What has ended stays as it is.
    fn judge(&self, cx: &Cx<'_>, template: &mut Template, desired: i64) {
        if is_final(&template.status) {
            return;
        }
        let deadline = self.experiment.progress_deadline();
        let since = template.last_transition_time.unwrap_or(cx.now);
        let there = desired == template.counts.available_replicas;
        let late = !there && cx.now > since + TimeDelta::seconds(deadline);
        if late {
            template.message = format!("Template '{}' exceeded its progressDeadlineSeconds ({deadline})", template.name);
        }
        let over = there && self.experiment.has_passed(cx.now);
        template.status = match (late, over || self.terminating, there) {
            (true, ..) => "Failed",
            (_, true, _) => "Successful",
            (.., true) => "Running",
            _ => "Progressing",
        }
        .into();
    }

    fn announce_template(&self, cx: &mut Cx<'_>, before: &Template, after: &Template) {
        if before.status == after.status {
            return;
        }
        let mut message = format!("Template '{}' transitioned from {} -> {}", after.name, before.status, after.status);
        if !after.message.is_empty() {
            message += &format!(": {}", after.message);
        }
        let kind = if ["Failed", "Error"].contains(&&*after.status) { "Warning" } else { "Normal" };
        events::record(cx, &self.experiment.object, kind, &format!("Template{}", after.status), &message);
    }

    /// A new ReplicaSet has no replicas yet: the next pass scales it.
    fn create_set(&mut self, cx: &mut Cx<'_>, template: &Value, status: &mut Template) {
        let name = template["name"].as_str().unwrap_or_default();
        match cx.create(REPLICA_SETS, self.new_set(template)) {
            Ok(set) => {
                self.sets.insert(name.into(), set);
                status.last_transition_time = Some(cx.now.trunc_subsecs(0));
            }
            // One of that name that is somebody else's is waited out.
            Err(refusal) if refusal.reason == "AlreadyExists" => (),
            Err(refusal) => {
                let full = format!("{}-{name}", self.experiment.name());
                let message = format!("Failed to create new replica set \"{full}\": {}", refusal.message);
                events::record(cx, &self.experiment.object, "Normal", "ReplicaSetCreateError", &message);
                status.status = "Error".into();
                status.message = format!("Failed to create ReplicaSet for template '{name}': {}", refusal.message);
            }
        }
    }

    fn new_set(&self, template: &Value) -> Value {
        let experiment = &self.experiment.object;
        let name = template["name"].as_str().unwrap_or_default();
        let mut pods = template["template"].clone();
        if let Some(labels) = pods["metadata"]["labels"].as_object_mut() {
            labels.remove(HASH);
        }
        // With the defaults an API server fills in, a template of a Rollout has another hash here than there.
        let hash = pod_template_hash(&json!({"template": pods, "defaulted": true}));
        pods["metadata"]["labels"][HASH] = hash.clone().into();
        let mut selector = template["selector"].clone();
        selector["matchLabels"][HASH] = hash.into();
        let mut set = json!({
            "metadata": {
                "name": format!("{}-{name}", self.experiment.name()), "namespace": experiment["metadata"]["namespace"],
                "labels": pods["metadata"]["labels"], "annotations": {NAME: experiment["metadata"]["name"], TEMPLATE: name},
                "ownerReferences": [controlled_by(experiment)],
            },
            "spec": {"replicas": 0, "selector": selector, "template": pods},
        });
        if let Some(seconds) = template["minReadySeconds"].as_i64().filter(|seconds| *seconds > 0) {
            set["spec"]["minReadySeconds"] = seconds.into();
        }
        set
    }

    /// Gives the ReplicaSet a moment before which it is not scaled down, or takes that away if there is to be none.
    fn delay_scale_down(&self, cx: &mut Cx<'_>, set: Value) -> Value {
        let seconds = self.experiment.scale_down_delay();
        let has = deadline(&set).is_some();
        let annotation = match (seconds, has) {
            (0, true) => Value::Null,
            (0, false) | (_, true) => return set,
            _ => stamp(cx.now + TimeDelta::seconds(seconds)).into(),
        };
        let patch = json!({"metadata": {"annotations": {DEADLINE: annotation}}});
        cx.patch(&key_of(REPLICA_SETS, &set), &patch).unwrap_or(set)
    }

    fn scale(&mut self, cx: &mut Cx<'_>, set: &Value, mut desired: i64, template: &Value, status: &mut Template) {
        if desired == 0
            && let Some(deadline) = deadline(set).and_then(parse_time).filter(|deadline| *deadline > cx.now)
        {
            self.wake_at(deadline);
            desired = template["replicas"].as_i64().unwrap_or(1);
        }
        let present = set["spec"]["replicas"].as_i64().unwrap_or(1);
        if present == desired {
            return;
        }
        let name = set["metadata"]["name"].as_str().unwrap_or_default();
        let direction = if present < desired { "up" } else { "down" };
        match cx.patch(&key_of(REPLICA_SETS, set), &json!({"spec": {"replicas": desired}})) {
            Ok(_) => {
                let message = format!("Scaled {direction} ReplicaSet {name} from {present} to {desired}");
                events::record(cx, &self.experiment.object, "Normal", "ScalingReplicaSet", &message);
            }
            Err(refusal) => {
                let message = format!("Failed to scale {name} {direction}: {}", refusal.message);
                events::record(cx, &self.experiment.object, "Warning", "ReplicaSetUpdateError", &message);
                status.status = "Error".into();
                let template = &status.name;
                let why = format!("Unable to scale ReplicaSet for template '{template}' to desired replica count '{desired}'");
                status.message = format!("{why}: {}", refusal.message);
            }
        }
    }

    /// A Service lives as long as its template's pods are wanted or there.
    fn service(&mut self, cx: &mut Cx<'_>, template: &Value, set: &Value, desired: i64, status: &mut Template) {
        let name = template["name"].as_str().unwrap_or_default();
        let found = annotated(cx, "services", self.experiment, TEMPLATE).remove(name);
        let wanted = !template["service"].is_null();
        if wanted && desired != 0 {
            self.create_service(cx, template, set, found.as_ref(), status);
        } else if let Some(service) = found
            && (!wanted || set["status"]["availableReplicas"].as_i64().unwrap_or_default() == 0)
        {
            let _ = cx.delete(&key_of("services", &service));
            status.service_name.clear();
            status.pod_template_hash.clear();
        }
    }

    fn create_service(&self, cx: &mut Cx<'_>, template: &Value, set: &Value, found: Option<&Value>, status: &mut Template) {
        let ports = ports(&set["spec"]["template"]["spec"]);
        if found.is_some_and(|service| service["metadata"]["name"] == set["metadata"]["name"]) || ports.is_empty() {
            return;
        }
        let own = template["service"]["name"].as_str().filter(|name| !name.is_empty());
        let name = own.or(set["metadata"]["name"].as_str()).unwrap_or_default();
        match self.service_named(cx, name, template, set, ports) {
            Ok(()) => {
                status.service_name = name.into();
                status.pod_template_hash = set["metadata"]["labels"][HASH].as_str().unwrap_or_default().into();
            }
            Err(why) => {
                status.status = "Error".into();
                status.message = format!("Failed to create Service {name} for template '{}': {why}", status.name);
            }
        }
    }

    fn service_named(&self, cx: &mut Cx<'_>, name: &str, template: &Value, set: &Value, ports: Vec<Value>) -> Result<(), String> {
        let experiment = &self.experiment.object;
        let template = template["name"].as_str().unwrap_or_default();
        let namespace = experiment["metadata"]["namespace"].as_str().unwrap_or_default();
        if let Some(service) = cx.get("services", namespace, name) {
            let ours = self.experiment.owns(&service) && service["metadata"]["annotations"][TEMPLATE] == template;
            let foreign = || format!("service {name} already exists and is not owned by experiment template {template}");
            return if ours { Ok(()) } else { Err(foreign()) };
        }
        let service = json!({
            "metadata": {
                "name": name, "namespace": namespace, "ownerReferences": [controlled_by(experiment)],
                "annotations": {NAME: experiment["metadata"]["name"], TEMPLATE: template},
            },
            "spec": {"selector": set["metadata"]["labels"], "ports": ports},
        });
        cx.create("services", service).map(drop).map_err(|refusal| format!("cannot create service: {}", refusal.message))
    }
}

fn deadline(set: &Value) -> Option<&str> {
    set["metadata"]["annotations"][DEADLINE].as_str().filter(|deadline| !deadline.is_empty())
}

/// A Service's ports for all ports of the containers.
fn ports(pods: &Value) -> Vec<Value> {
    let port = |port: &Value| {
        let mut all = Map::new();
        all.insert("protocol".into(), port["protocol"].as_str().unwrap_or("TCP").into());
        all.insert("port".into(), port["containerPort"].clone());
        all.insert("targetPort".into(), port["containerPort"].clone());
        if let Some(name) = port["name"].as_str() {
            all.insert("name".into(), name.into());
        }
        Value::Object(all)
    };
    list(&pods["containers"]).iter().flat_map(|container| list(&container["ports"])).map(port).collect()
}
