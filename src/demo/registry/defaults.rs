//! Values that the API server fills in for those who gave none.

use serde_json::{Map, Value, json};

use crate::demo::kinds::Kind;

/// Fills in what an object of a built-in kind leaves open. What is there stays.
pub fn fill(kind: &Kind, object: &mut Value) {
    if kind.custom.is_some() {
        return;
    }
    let fill: fn(&mut Value) = match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => pod,
        ("", "Service") => service,
        ("", "Namespace") => namespace,
        ("", "Secret") => |secret| set(secret, "type", "Opaque"),
        ("", "PodTemplate") => |object| template(&mut object["template"]),
        ("", "ReplicationController") => replication_controller,
        ("", "Endpoints") => endpoints,
        ("apps", "Deployment") => deployment,
        ("apps", "ReplicaSet") => replica_set,
        ("apps", "StatefulSet") => stateful_set,
        ("apps", "DaemonSet") => daemon_set,
        ("batch", "Job") => job,
        ("batch", "CronJob") => cron_job,
        ("autoscaling", _) => autoscaler,
        ("discovery.k8s.io", _) => |slice| {
            each(slice, "ports", |port| {
                set(port, "name", "");
                set(port, "protocol", "TCP");
            });
        },
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => binding,
        _ => return,
    };
    fill(object);
}

/// What creating adds that is nobody's: the server gives it once, and it is kept.
pub fn on_create(kind: &Kind, object: &mut Value) {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => new_pod(object),
        ("", "Service") => new_service(object),
        ("", "Namespace") => {
            set(&mut object["spec"], "finalizers", json!(["kubernetes"]));
            object["status"] = json!({"phase": "Active"});
        }
        ("batch", "Job") => new_job(object),
        _ => (),
    }
}

/// DaemonSets count the templates they had, in an annotation that nobody else can write.
pub fn count_templates(kind: &Kind, before: Option<&Value>, object: &mut Value) {
    const COUNT: &str = "deprecated.daemonset.template.generation";
    if (kind.group.as_str(), kind.kind.as_str()) != ("apps", "DaemonSet") {
        return;
    }
    let count = |before: &Value| before["metadata"]["annotations"][COUNT].as_str().and_then(|count| count.parse::<i64>().ok());
    let count = match before {
        None => 1,
        Some(before) => count(before).unwrap_or(1) + i64::from(before["spec"]["template"] != object["spec"]["template"]),
    };
    object["metadata"]["annotations"][COUNT] = count.to_string().into();
}

fn new_pod(pod: &mut Value) {
    let spec = &mut pod["spec"];
    set(spec, "priority", 0);
    set(spec, "preemptionPolicy", "PreemptLowerPriority");
    if spec["tolerations"].is_null() {
        let tolerate = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
        spec["tolerations"] = json!([tolerate("node.kubernetes.io/not-ready"), tolerate("node.kubernetes.io/unreachable")]);
    }
    let class = qos_class(spec);
    set(&mut pod["status"], "phase", "Pending");
    set(&mut pod["status"], "qosClass", class);
}

fn new_service(service: &mut Value) {
    let spec = &mut service["spec"];
    if spec["type"] != "ExternalName" {
        set(spec, "ipFamilies", json!(["IPv4"]));
        set(spec, "ipFamilyPolicy", "SingleStack");
    }
}

/// A Job finds its pods by its uid, unless somebody has other plans.
fn new_job(job: &mut Value) {
    if job["spec"]["manualSelector"] == true || !job["spec"]["selector"].is_null() {
        return;
    }
    let (uid, name) = (job["metadata"]["uid"].clone(), job["metadata"]["name"].clone());
    job["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    for path in ["/metadata", "/spec/template/metadata"] {
        let Some(metadata) = job.pointer_mut(path) else { continue };
        for (key, value) in [("controller-uid", &uid), ("job-name", &name)] {
            set(&mut metadata["labels"], key, value.clone());
            set(&mut metadata["labels"], &format!("batch.kubernetes.io/{key}"), value.clone());
        }
    }
}

fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    if object.is_null() {
        *object = Map::new().into();
    }
    if let Some(fields) = object.as_object_mut() {
        let slot = fields.entry(field).or_insert(Value::Null);
        if slot.is_null() || slot == "" {
            *slot = value.into();
        }
    }
}

fn each(object: &mut Value, field: &str, mut fill: impl FnMut(&mut Value)) {
    if let Some(items) = object.get_mut(field).and_then(Value::as_array_mut) {
        items.iter_mut().for_each(&mut fill);
    }
}

fn pod(pod: &mut Value) {
    pod_spec(&mut pod["spec"]);
    let spec = &mut pod["spec"];
    set(spec, "enableServiceLinks", true);
}

fn template(template: &mut Value) {
    if template["spec"].is_object() {
        pod_spec(&mut template["spec"]);
    }
}

fn pod_spec(spec: &mut Value) {
    set(spec, "restartPolicy", "Always");
    set(spec, "terminationGracePeriodSeconds", 30);
    set(spec, "dnsPolicy", "ClusterFirst");
    set(spec, "securityContext", json!({}));
    set(spec, "schedulerName", "default-scheduler");
    for containers in ["initContainers", "containers", "ephemeralContainers"] {
        each(spec, containers, container);
    }
    each(spec, "volumes", volume);
}

fn container(container: &mut Value) {
    let image = container["image"].as_str().unwrap_or_default();
    let name = image.rsplit('/').next().unwrap_or_default();
    let latest = !image.contains('@') && (name.ends_with(":latest") || !name.contains(':'));
    let policy = if latest { "Always" } else { "IfNotPresent" };
    set(container, "imagePullPolicy", policy);
    set(container, "terminationMessagePath", "/dev/termination-log");
    set(container, "terminationMessagePolicy", "File");
    set(container, "resources", json!({}));
    each(container, "ports", |port| set(port, "protocol", "TCP"));
    each(container, "env", |env| {
        if env["valueFrom"]["fieldRef"].is_object() {
            set(&mut env["valueFrom"]["fieldRef"], "apiVersion", "v1");
        }
    });
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if container[field].is_object() {
            probe(&mut container[field]);
        }
    }
    if let Some(fields) = container.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
}

fn probe(probe: &mut Value) {
    for (field, value) in [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)] {
        set(probe, field, value);
    }
    if probe["httpGet"].is_object() {
        set(&mut probe["httpGet"], "path", "/");
        set(&mut probe["httpGet"], "scheme", "HTTP");
    }
    if let Some(fields) = probe.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
}

fn volume(volume: &mut Value) {
    for source in ["configMap", "secret", "projected", "downwardAPI"] {
        if volume.get(source).is_some_and(Value::is_object) {
            set(&mut volume[source], "defaultMode", 0o644);
        }
    }
    if volume.as_object().is_some_and(|fields| fields.len() == 1 && fields.contains_key("name")) {
        volume["emptyDir"] = json!({});
    }
}

fn qos_class(spec: &Value) -> &'static str {
    let containers = || ["containers", "initContainers"].into_iter().flat_map(|list| spec[list].as_array().into_iter().flatten());
    let amount = |container: &Value, of: &str, what: &str| container["resources"][of].get(what).cloned();
    let any = containers()
        .any(|container| ["limits", "requests"].iter().any(|of| container["resources"][of].as_object().is_some_and(|r| !r.is_empty())));
    let sure = |container: &Value| {
        ["cpu", "memory"].iter().all(|what| {
            let limit = amount(container, "limits", what);
            limit.is_some() && amount(container, "requests", what).is_none_or(|request| Some(request) == limit)
        })
    };
    match (any, containers().all(sure)) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

fn service(service: &mut Value) {
    let spec = &mut service["spec"];
    set(spec, "type", "ClusterIP");
    set(spec, "sessionAffinity", "None");
    each(spec, "ports", |port| {
        set(port, "protocol", "TCP");
        let number = port["port"].clone();
        if port["targetPort"].is_null() || port["targetPort"] == 0 || port["targetPort"] == "" {
            port["targetPort"] = number;
        }
    });
    if spec["type"] != "ExternalName" {
        set(spec, "internalTrafficPolicy", "Cluster");
    }
    if spec["type"] == "LoadBalancer" || spec["type"] == "NodePort" {
        set(spec, "externalTrafficPolicy", "Cluster");
    }
    set(service, "status", json!({"loadBalancer": {}}));
}

fn namespace(namespace: &mut Value) {
    let name = namespace["metadata"]["name"].clone();
    if name.is_string() {
        set(&mut namespace["metadata"]["labels"], "kubernetes.io/metadata.name", name);
    }
}

fn endpoints(endpoints: &mut Value) {
    each(endpoints, "subsets", |subset| each(subset, "ports", |port| set(port, "protocol", "TCP")));
}

fn replication_controller(object: &mut Value) {
    set(&mut object["spec"], "replicas", 1);
    template(&mut object["spec"]["template"]);
}

fn deployment(deployment: &mut Value) {
    let spec = &mut deployment["spec"];
    set(spec, "replicas", 1);
    set(spec, "revisionHistoryLimit", 10);
    set(spec, "progressDeadlineSeconds", 600);
    set(&mut spec["strategy"], "type", "RollingUpdate");
    if spec["strategy"]["type"] == "RollingUpdate" {
        let rolling = &mut spec["strategy"]["rollingUpdate"];
        set(rolling, "maxUnavailable", "25%");
        set(rolling, "maxSurge", "25%");
    }
    template(&mut spec["template"]);
}

fn replica_set(set_: &mut Value) {
    set(&mut set_["spec"], "replicas", 1);
    template(&mut set_["spec"]["template"]);
}

fn stateful_set(object: &mut Value) {
    let spec = &mut object["spec"];
    set(spec, "replicas", 1);
    set(spec, "revisionHistoryLimit", 10);
    set(spec, "podManagementPolicy", "OrderedReady");
    set(&mut spec["updateStrategy"], "type", "RollingUpdate");
    if spec["updateStrategy"]["type"] == "RollingUpdate" {
        set(&mut spec["updateStrategy"]["rollingUpdate"], "partition", 0);
    }
    set(spec, "persistentVolumeClaimRetentionPolicy", json!({"whenDeleted": "Retain", "whenScaled": "Retain"}));
    template(&mut spec["template"]);
}

fn daemon_set(object: &mut Value) {
    let spec = &mut object["spec"];
    set(spec, "revisionHistoryLimit", 10);
    set(&mut spec["updateStrategy"], "type", "RollingUpdate");
    if spec["updateStrategy"]["type"] == "RollingUpdate" {
        let rolling = &mut spec["updateStrategy"]["rollingUpdate"];
        set(rolling, "maxUnavailable", 1);
        set(rolling, "maxSurge", 0);
    }
    template(&mut spec["template"]);
}

fn autoscaler(object: &mut Value) {
    set(&mut object["spec"], "minReplicas", 1);
    let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}});
    set(&mut object["spec"], "metrics", json!([cpu]));
}

fn job(job: &mut Value) {
    let spec = &mut job["spec"];
    job_spec(spec);
}

fn job_spec(spec: &mut Value) {
    set(spec, "backoffLimit", 6);
    set(spec, "completionMode", "NonIndexed");
    set(spec, "completions", 1);
    set(spec, "parallelism", 1);
    set(spec, "suspend", false);
    set(spec, "manualSelector", false);
    set(spec, "podReplacementPolicy", "TerminatingOrFailed");
    template(&mut spec["template"]);
}

fn cron_job(object: &mut Value) {
    let spec = &mut object["spec"];
    set(spec, "concurrencyPolicy", "Allow");
    set(spec, "suspend", false);
    set(spec, "successfulJobsHistoryLimit", 3);
    set(spec, "failedJobsHistoryLimit", 1);
    template(&mut spec["jobTemplate"]["spec"]["template"]);
}

fn binding(binding: &mut Value) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    set(&mut binding["roleRef"], "apiGroup", GROUP);
    each(binding, "subjects", |subject| {
        if subject["kind"] == "User" || subject["kind"] == "Group" {
            set(subject, "apiGroup", GROUP);
        }
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::demo::kinds;

    fn filled(kind: &str, mut object: Value) -> Value {
        let kind = kinds::built_in().into_iter().find(|known| known.kind == kind).unwrap();
        fill(&kind, &mut object);
        object
    }

    #[test]
    fn a_deployment_gets_what_the_real_server_gives_it() {
        let container = json!({"name": "a", "image": "a:1", "ports": [{"containerPort": 80}]});
        let spec = json!({"selector": {"matchLabels": {"app": "d"}}, "template": {"metadata": {}, "spec": {"containers": [container]}}});
        let spec = filled("Deployment", json!({"spec": spec}))["spec"].clone();
        assert_eq!(
            spec,
            json!({
                "progressDeadlineSeconds": 600, "replicas": 1, "revisionHistoryLimit": 10, "selector": {"matchLabels": {"app": "d"}},
                "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}, "type": "RollingUpdate"},
                "template": {"metadata": {}, "spec": {
                    "containers": [{
                        "image": "a:1", "imagePullPolicy": "IfNotPresent", "name": "a", "ports": [{"containerPort": 80, "protocol": "TCP"}],
                        "resources": {}, "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                    }],
                    "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler", "securityContext": {},
                    "terminationGracePeriodSeconds": 30,
                }},
            })
        );
    }

    #[test]
    fn images_without_a_tag_are_always_pulled() {
        let policy = |image: &str| {
            let pod = filled("Pod", json!({"spec": {"containers": [{"name": "a", "image": image}]}}));
            pod["spec"]["containers"][0]["imagePullPolicy"].as_str().unwrap().to_owned()
        };
        assert_eq!(policy("nginx"), "Always");
        assert_eq!(policy("reg:5000/nginx:latest"), "Always");
        assert_eq!(policy("reg:5000/nginx"), "Always");
        assert_eq!(policy("reg:5000/nginx:1"), "IfNotPresent");
        assert_eq!(policy("nginx@sha256:00"), "IfNotPresent");
    }

    #[test]
    fn services_answer_on_the_port_they_name() {
        let ports = json!([{"port": 80}, {"port": 81, "targetPort": "http"}]);
        let spec = filled("Service", json!({"spec": {"ports": ports}}))["spec"].clone();
        assert_eq!(
            spec["ports"],
            json!([{"port": 80, "targetPort": 80, "protocol": "TCP"}, {"port": 81, "targetPort": "http", "protocol": "TCP"}])
        );
        assert_eq!((&spec["type"], &spec["sessionAffinity"]), (&json!("ClusterIP"), &json!("None")));
    }
}
