//! The columns of the built-in kinds, in the order and words of the real server's printers.

use serde_json::Value;

use super::text::{cut, human, labels, none_if_empty, selector, since, time};
use crate::model::Time;

/// Fills a row.
pub type Cells = fn(&Value, Time) -> Vec<Value>;

/// The columns of a kind ([`super::Column::parse`]), and who fills them.
pub fn of(kind: &str) -> (&'static str, Cells) {
    let found = TABLE.iter().find(|(id, ..)| *id == kind);
    found.map_or(("Name|Created At:date", unknown), |(_, columns, cells)| (*columns, *cells))
}

const REPLICAS: &str = "Name|Desired:integer|Current:integer|Ready:integer|Age|Containers!|Images!|Selector!";
const EVENT: &str = "Last Seen|Type|Reason|Object|Subobject!|Source!|Message|First Seen!|Count!|Name!";
const BINDING: &str = "Name|Role|Age|Users!|Groups!|ServiceAccounts!";

const TABLE: &[(&str, &str, Cells)] = &[
    ("pods", "Name|Ready|Status|Restarts|Age|IP!|Node!|Nominated Node!|Readiness Gates!", pod),
    ("replicasets.apps", REPLICAS, replica_set),
    ("replicationcontrollers", REPLICAS, replica_set),
    ("deployments.apps", "Name|Ready|Up-to-date|Available|Age|Containers!|Images!|Selector!", deployment),
    ("statefulsets.apps", "Name|Ready|Age|Containers!|Images!", stateful_set),
    (
        "daemonsets.apps",
        "Name|Desired:integer|Current:integer|Ready:integer|Up-to-date:integer|Available:integer|Node Selector|Age|Containers!|Images!|Selector!",
        daemon_set,
    ),
    ("controllerrevisions.apps", "Name|Controller|Revision|Age", controller_revision),
    ("services", "Name|Type|Cluster-IP|External-IP|Port(s)|Age|Selector!", service),
    ("endpoints", "Name|Endpoints|Age", endpoints),
    ("endpointslices.discovery.k8s.io", "Name|AddressType|Ports|Endpoints|Age", endpoint_slice),
    ("ingresses.networking.k8s.io", "Name|Class|Hosts|Address|Ports|Age", ingress),
    ("namespaces", "Name|Status|Age", namespace),
    ("nodes", "Name|Status|Roles|Age|Version|Internal-IP!|External-IP!|OS-Image!|Kernel-Version!|Container-Runtime!", node),
    ("events", EVENT, event),
    ("events.events.k8s.io", EVENT, event),
    ("configmaps", "Name|Data|Age", |o, now| vec![name(o), (size(o, "/data") + size(o, "/binaryData")).into(), age(o, now)]),
    ("secrets", "Name|Type|Data|Age", |o, now| vec![name(o), text(o, "/type").into(), size(o, "/data").into(), age(o, now)]),
    ("serviceaccounts", "Name|Age", |o, now| vec![name(o), age(o, now)]),
    ("podtemplates", "Name|Containers|Images|Pod Labels", pod_template),
    ("jobs.batch", "Name|Status|Completions|Duration|Age|Containers!|Images!|Selector!", job),
    ("cronjobs.batch", "Name|Schedule|Timezone|Suspend:boolean|Active:integer|Last Schedule|Age|Containers!|Images!|Selector!", cron_job),
    ("horizontalpodautoscalers.autoscaling", "Name|Reference|Targets|MinPods|MaxPods|Replicas|Age", autoscaler),
    ("poddisruptionbudgets.policy", "Name|Min Available|Max Unavailable|Allowed Disruptions:integer|Age", disruption_budget),
    ("leases.coordination.k8s.io", "Name|Holder|Age", |o, now| vec![name(o), text(o, "/spec/holderIdentity").into(), age(o, now)]),
    ("rolebindings.rbac.authorization.k8s.io", BINDING, role_binding),
    ("clusterrolebindings.rbac.authorization.k8s.io", BINDING, role_binding),
];

fn unknown(object: &Value, _now: Time) -> Vec<Value> {
    vec![name(object), text(object, "/metadata/creationTimestamp").into()]
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn int(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

fn all<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn size(object: &Value, pointer: &str) -> usize {
    object.pointer(pointer).and_then(Value::as_object).map_or(0, serde_json::Map::len)
}

fn or_none(text: &str) -> Value {
    none_if_empty(text.to_owned()).into()
}

fn name(object: &Value) -> Value {
    text(object, "/metadata/name").into()
}

fn age(object: &Value, now: Time) -> Value {
    since(time(&object["metadata"]["creationTimestamp"]), now).into()
}

/// Numbers and percentages alike.
fn either(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Names and images of a pod's containers.
fn containers(object: &Value, pointer: &str) -> [Value; 2] {
    let join = |field: &str| all(object, pointer).iter().map(|c| c[field].as_str().unwrap_or_default()).collect::<Vec<_>>().join(",");
    [join("name").into(), join("image").into()]
}

fn row<const N: usize, const M: usize>(narrow: [Value; N], wide: [Value; M]) -> Vec<Value> {
    narrow.into_iter().chain(wide).collect()
}

const TEMPLATE: &str = "/spec/template/spec/containers";

fn replica_set(object: &Value, now: Time) -> Vec<Value> {
    let [names, images] = containers(object, TEMPLATE);
    let wanted = &object["spec"]["selector"];
    // Replication controllers know only plain labels.
    let selects = if object["kind"] == "ReplicationController" { labels(wanted) } else { none_if_empty(selector(wanted)) };
    let count = |pointer| int(object, pointer).into();
    row(
        [name(object), count("/spec/replicas"), count("/status/replicas"), count("/status/readyReplicas"), age(object, now)],
        [names, images, selects.into()],
    )
}

fn deployment(object: &Value, now: Time) -> Vec<Value> {
    let [names, images] = containers(object, TEMPLATE);
    let count = |pointer| int(object, pointer).into();
    row(
        [name(object), ready(object), count("/status/updatedReplicas"), count("/status/availableReplicas"), age(object, now)],
        [names, images, selector(&object["spec"]["selector"]).into()],
    )
}

fn ready(object: &Value) -> Value {
    format!("{}/{}", int(object, "/status/readyReplicas"), int(object, "/spec/replicas")).into()
}

fn stateful_set(object: &Value, now: Time) -> Vec<Value> {
    row([name(object), ready(object), age(object, now)], containers(object, TEMPLATE))
}

fn daemon_set(object: &Value, now: Time) -> Vec<Value> {
    let fields = ["desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable"];
    let counts = fields.into_iter().map(|field| int(&object["status"], &format!("/{field}")).into());
    let [names, images] = containers(object, TEMPLATE);
    let mut cells = vec![name(object)];
    cells.extend(counts);
    cells.extend([labels(&object["spec"]["template"]["spec"]["nodeSelector"]).into(), age(object, now)]);
    cells.extend([names, images, none_if_empty(selector(&object["spec"]["selector"])).into()]);
    cells
}

fn controller_revision(object: &Value, now: Time) -> Vec<Value> {
    let owner = all(object, "/metadata/ownerReferences").iter().find(|owner| owner["controller"] == true);
    let controller = owner.map(|owner| {
        let kind = text(owner, "/kind").to_lowercase();
        let group = text(owner, "/apiVersion").split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
        format!("{kind}{group}/{}", text(owner, "/name"))
    });
    vec![name(object), or_none(&controller.unwrap_or_default()), int(object, "/revision").into(), age(object, now)]
}

fn service(object: &Value, now: Time) -> Vec<Value> {
    let ip = text(object, "/spec/clusterIPs/0");
    row(
        [name(object), text(object, "/spec/type").into(), or_none(ip), external_ip(object).into(), service_ports(object), age(object, now)],
        [labels(&object["spec"]["selector"]).into()],
    )
}

fn external_ip(object: &Value) -> String {
    let given: Vec<&str> = all(object, "/spec/externalIPs").iter().filter_map(Value::as_str).collect();
    match text(object, "/spec/type") {
        "ClusterIP" | "NodePort" => none_if_empty(given.join(",")),
        "LoadBalancer" => {
            let balancer = addresses(object);
            let both: Vec<&str> = balancer.iter().map(String::as_str).chain(given).collect();
            if both.is_empty() { "<pending>".into() } else { both.join(",") }
        }
        "ExternalName" => text(object, "/spec/externalName").into(),
        _ => "<unknown>".into(),
    }
}

/// What a load balancer is reached by.
fn addresses(object: &Value) -> Vec<String> {
    let address = |ingress: &Value| {
        let ip = text(ingress, "/ip");
        if ip.is_empty() { text(ingress, "/hostname").to_owned() } else { ip.to_owned() }
    };
    let mut addresses: Vec<String> = all(object, "/status/loadBalancer/ingress").iter().map(address).filter(|a| !a.is_empty()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn service_ports(object: &Value) -> Value {
    let port = |port: &Value| {
        let (number, protocol) = (int(port, "/port"), text(port, "/protocol"));
        match int(port, "/nodePort") {
            0 => format!("{number}/{protocol}"),
            node => format!("{number}:{node}/{protocol}"),
        }
    };
    or_none(&all(object, "/spec/ports").iter().map(port).collect::<Vec<_>>().join(","))
}

fn endpoints(object: &Value, now: Time) -> Vec<Value> {
    let mut list = Vec::new();
    for subset in all(object, "/subsets") {
        let ips = || all(subset, "/addresses").iter().map(|address| text(address, "/ip"));
        match all(subset, "/ports") {
            [] => list.extend(ips().map(str::to_owned)),
            ports => list.extend(ports.iter().flat_map(|port| ips().map(move |ip| format!("{ip}:{}", int(port, "/port"))))),
        }
    }
    let shown = if all(object, "/subsets").is_empty() { "<none>".into() } else { cut(&list, 3, ",") };
    vec![name(object), shown.into(), age(object, now)]
}

fn endpoint_slice(object: &Value, now: Time) -> Vec<Value> {
    let port = |port: &Value| either(&port["port"]).or_else(|| either(&port["name"])).unwrap_or_else(|| "*".into());
    let ports: Vec<String> = all(object, "/ports").iter().map(port).collect();
    let addresses = all(object, "/endpoints").iter().flat_map(|endpoint| all(endpoint, "/addresses"));
    let addresses: Vec<String> = addresses.filter_map(Value::as_str).map(str::to_owned).collect();
    let shown = |list: &[String]| Value::from(if list.is_empty() { "<unset>".into() } else { cut(list, 3, ",") });
    vec![name(object), text(object, "/addressType").into(), shown(&ports), shown(&addresses), age(object, now)]
}

fn ingress(object: &Value, now: Time) -> Vec<Value> {
    let rules = all(object, "/spec/rules");
    let hosts: Vec<&str> = rules.iter().take(3).map(|rule| text(rule, "/host")).filter(|host| !host.is_empty()).collect();
    let hosts = match hosts.join(",") {
        none if none.is_empty() => "*".into(),
        some if rules.len() > 3 => format!("{some} + {} more...", rules.len() - 3),
        some => some,
    };
    let ports = if all(object, "/spec/tls").is_empty() { "80" } else { "80, 443" };
    let class = or_none(text(object, "/spec/ingressClassName"));
    vec![name(object), class, hosts.into(), addresses(object).join(",").into(), ports.into(), age(object, now)]
}

fn namespace(object: &Value, now: Time) -> Vec<Value> {
    vec![name(object), text(object, "/status/phase").into(), age(object, now)]
}

fn node(object: &Value, now: Time) -> Vec<Value> {
    let ready = all(object, "/status/conditions").iter().find(|condition| condition["type"] == "Ready");
    let ready = ready.map_or("Unknown", |condition| if condition["status"] == "True" { "Ready" } else { "NotReady" });
    let status = if object["spec"]["unschedulable"] == true { format!("{ready},SchedulingDisabled") } else { ready.into() };
    let address = |kind: &str| {
        let found = all(object, "/status/addresses").iter().find(|address| address["type"] == kind);
        or_none(found.map_or("", |address| text(address, "/address")))
    };
    let info = |field: &str| text(object, &format!("/status/nodeInfo/{field}"));
    let known = |field: &str| Value::from(if info(field).is_empty() { "<unknown>" } else { info(field) });
    row(
        [name(object), status.into(), or_none(&roles(object)), age(object, now), info("kubeletVersion").into()],
        [address("InternalIP"), address("ExternalIP"), known("osImage"), known("kernelVersion"), known("containerRuntimeVersion")],
    )
}

fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object();
    let role = |(key, value): (&String, &Value)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some(role) => Some(role.to_owned()),
        None => value.as_str().filter(|_| key == "kubernetes.io/role").map(str::to_owned),
    };
    let mut roles: Vec<String> = labels.into_iter().flatten().filter_map(role).filter(|role| !role.is_empty()).collect();
    roles.sort_unstable();
    roles.dedup();
    roles.join(",")
}

fn event(object: &Value, now: Time) -> Vec<Value> {
    let moment = |pointer: &str| object.pointer(pointer).and_then(time);
    let first = since(moment("/firstTimestamp").or_else(|| moment("/eventTime")), now);
    let last = match (moment("/series/lastObservedTime"), moment("/lastTimestamp")) {
        (Some(last), _) | (None, Some(last)) => since(Some(last), now),
        (None, None) => first.clone(),
    };
    let count = if object["series"].is_object() { int(object, "/series/count") } else { int(object, "/count").max(1) };
    let (kind, about) = (text(object, "/involvedObject/kind").to_lowercase(), text(object, "/involvedObject/name"));
    let target = if about.is_empty() { kind } else { format!("{kind}/{about}") };
    let first_of = |pointers: [&str; 2]| pointers.map(|pointer| text(object, pointer)).into_iter().find(|text| !text.is_empty());
    let component = first_of(["/source/component", "/reportingComponent"]).unwrap_or_default();
    let source = match first_of(["/source/host", "/reportingInstance"]) {
        Some(host) => format!("{component}, {host}"),
        None => component.into(),
    };
    vec![
        last.into(),
        text(object, "/type").into(),
        text(object, "/reason").into(),
        target.into(),
        text(object, "/involvedObject/fieldPath").into(),
        source.into(),
        text(object, "/message").trim().into(),
        first.into(),
        count.into(),
        name(object),
    ]
}

fn pod_template(object: &Value, _now: Time) -> Vec<Value> {
    let [names, images] = containers(object, "/template/spec/containers");
    vec![name(object), names, images, labels(&object["template"]["metadata"]["labels"]).into()]
}

fn job(object: &Value, now: Time) -> Vec<Value> {
    let done = int(object, "/status/succeeded");
    let completions = match (object["spec"]["completions"].as_i64(), int(object, "/spec/parallelism")) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, parallel @ 2..) => format!("{done}/1 of {parallel}"),
        (None, _) => format!("{done}/1"),
    };
    let begun = time(&object["status"]["startTime"]);
    let ended = time(&object["status"]["completionTime"]).unwrap_or(now);
    let duration = begun.map(|begun| human((ended - begun).as_seconds_f64())).unwrap_or_default();
    let [names, images] = containers(object, TEMPLATE);
    row(
        [name(object), job_status(object).into(), completions.into(), duration.into(), age(object, now)],
        [names, images, none_if_empty(selector(&object["spec"]["selector"])).into()],
    )
}

fn job_status(object: &Value) -> &'static str {
    let holds = |kind: &str| all(object, "/status/conditions").iter().any(|c| c["type"] == kind && c["status"] == "True");
    match () {
        () if holds("Complete") => "Complete",
        () if holds("Failed") => "Failed",
        () if object["metadata"]["deletionTimestamp"].is_string() => "Terminating",
        () if holds("Suspended") => "Suspended",
        () if holds("FailureTarget") => "FailureTarget",
        () if holds("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn cron_job(object: &Value, now: Time) -> Vec<Value> {
    let last = time(&object["status"]["lastScheduleTime"]).map_or("<none>".into(), |last| since(Some(last), now));
    let suspend = match object["spec"]["suspend"].as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let job = &object["spec"]["jobTemplate"];
    let [names, images] = containers(job, TEMPLATE);
    vec![
        name(object),
        text(object, "/spec/schedule").into(),
        or_none(text(object, "/spec/timeZone")),
        suspend.into(),
        all(object, "/status/active").len().into(),
        last.into(),
        age(object, now),
        names,
        images,
        none_if_empty(selector(&job["spec"]["selector"])).into(),
    ]
}

fn autoscaler(object: &Value, now: Time) -> Vec<Value> {
    let target = &object["spec"]["scaleTargetRef"];
    let reference = format!("{}/{}", text(target, "/kind"), text(target, "/name"));
    let current = all(object, "/status/currentMetrics");
    let metrics = all(object, "/spec/metrics").iter().enumerate();
    let targets: Vec<String> = metrics.map(|(at, spec)| autoscaler_target(spec, current.get(at).unwrap_or(&Value::Null))).collect();
    let least = object["spec"]["minReplicas"].as_i64().map_or("<unset>".into(), |least| least.to_string());
    vec![
        name(object),
        reference.into(),
        none_if_empty(cut(&targets, 2, ", ")).into(),
        least.into(),
        int(object, "/spec/maxReplicas").into(),
        int(object, "/status/currentReplicas").into(),
        age(object, now),
    ]
}

/// `cpu: 30%/80%`, `12/100 (avg)`.
fn autoscaler_target(spec: &Value, status: &Value) -> String {
    let (source, resource) = match text(spec, "/type") {
        "External" => ("external", false),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        _ => return "<unknown type>".into(),
    };
    let (wanted, is) = (&spec[source]["target"], &status[source]["current"]);
    let shown = |value: &Value| either(value).unwrap_or_else(|| "<unknown>".into());
    let percent = |value: &Value, missing: &str| value.as_i64().map_or(missing.to_owned(), |percent| format!("{percent}%"));
    let average = either(&wanted["averageValue"]);
    match (resource, average) {
        (true, Some(average)) => format!("{}: {}/{average}", text(&spec[source], "/name"), shown(&is["averageValue"])),
        (true, None) => {
            let (is, wanted) = (percent(&is["averageUtilization"], "<unknown>"), percent(&wanted["averageUtilization"], "<auto>"));
            format!("{}: {is}/{wanted}", text(&spec[source], "/name"))
        }
        (false, Some(average)) if source == "pods" => format!("{}/{average}", shown(&is["averageValue"])),
        (false, Some(average)) => format!("{}/{average} (avg)", shown(&is["averageValue"])),
        (false, None) => format!("{}/{}", shown(&is["value"]), shown(&wanted["value"])),
    }
}

fn disruption_budget(object: &Value, now: Time) -> Vec<Value> {
    let bound = |field: &str| Value::from(either(&object["spec"][field]).unwrap_or_else(|| "N/A".into()));
    let allowed = int(object, "/status/disruptionsAllowed").into();
    vec![name(object), bound("minAvailable"), bound("maxUnavailable"), allowed, age(object, now)]
}

fn role_binding(object: &Value, now: Time) -> Vec<Value> {
    let role = format!("{}/{}", text(object, "/roleRef/kind"), text(object, "/roleRef/name"));
    let subjects = |kind: &str| {
        let named = |subject: &Value| match text(subject, "/namespace") {
            "" => text(subject, "/name").to_owned(),
            namespace => format!("{namespace}/{}", text(subject, "/name")),
        };
        let found = all(object, "/subjects").iter().filter(|subject| subject["kind"] == kind).map(named);
        Value::from(found.collect::<Vec<_>>().join(", "))
    };
    row([name(object), role.into(), age(object, now)], [subjects("User"), subjects("Group"), subjects("ServiceAccount")])
}

fn pod(object: &Value, now: Time) -> Vec<Value> {
    let state = PodState::of(object);
    let restarts = match state.last_restart {
        Some(last) if state.restarts > 0 => format!("{} ({} ago)", state.restarts, since(Some(last), now)),
        _ => state.restarts.to_string(),
    };
    row(
        [name(object), format!("{}/{}", state.ready, state.containers).into(), state.reason.into(), restarts.into(), age(object, now)],
        [
            or_none(text(object, "/status/podIPs/0/ip")),
            or_none(text(object, "/spec/nodeName")),
            or_none(text(object, "/status/nominatedNodeName")),
            readiness_gates(object),
        ],
    )
}

fn readiness_gates(object: &Value) -> Value {
    let gates = all(object, "/spec/readinessGates");
    if gates.is_empty() {
        return "<none>".into();
    }
    let holds = |gate: &&Value| condition(object, text(gate, "/conditionType")) == Some("True");
    format!("{}/{}", gates.iter().filter(holds).count(), gates.len()).into()
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    all(object, "/status/conditions").iter().find(|condition| condition["type"] == kind)?["status"].as_str()
}

/// What the containers of a pod amount to.
struct PodState {
    containers: usize,
    ready: usize,
    restarts: i64,
    last_restart: Option<Time>,
    reason: String,
}

impl PodState {
    fn of(pod: &Value) -> Self {
        let sidecars = all(pod, "/spec/initContainers").iter().filter(|container| container["restartPolicy"] == "Always").count();
        let phase = text(pod, "/status/phase");
        let given = text(pod, "/status/reason");
        let gated = all(pod, "/status/conditions").iter().any(|c| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated");
        let reason = match () {
            () if gated => "SchedulingGated",
            () if !given.is_empty() => given,
            () => phase,
        };
        let containers = all(pod, "/spec/containers").len() + sidecars;
        let mut state = Self { containers, ready: 0, restarts: 0, last_restart: None, reason: reason.into() };
        let initializing = state.read_init_containers(pod);
        if !initializing || condition(pod, "Initialized") == Some("True") {
            state.read_containers(pod);
        }
        if text(pod, "/metadata/deletionTimestamp").is_empty() {
            return state;
        }
        if given == "NodeLost" {
            state.reason = "Unknown".into();
        } else if !["Failed", "Succeeded"].contains(&phase) {
            state.reason = "Terminating".into();
        }
        state
    }

    fn count_restarts(&mut self, container: &Value) {
        self.restarts += int(container, "/restartCount");
        self.last_restart = self.last_restart.max(time(&container["lastState"]["terminated"]["finishedAt"]));
    }

    /// Whether the pod has not got past its init containers. Only restarts of sidecars count later on.
    fn read_init_containers(&mut self, pod: &Value) -> bool {
        let wanted = all(pod, "/spec/initContainers");
        let is_sidecar = |status: &Value| wanted.iter().any(|c| c["name"] == status["name"] && c["restartPolicy"] == "Always");
        let mut sidecars = (0, None);
        for (at, container) in all(pod, "/status/initContainerStatuses").iter().enumerate() {
            self.count_restarts(container);
            let sidecar = is_sidecar(container);
            if sidecar {
                sidecars.0 += int(container, "/restartCount");
                sidecars.1 = sidecars.1.max(time(&container["lastState"]["terminated"]["finishedAt"]));
            }
            let terminated = &container["state"]["terminated"];
            if terminated.is_object() && int(terminated, "/exitCode") == 0 {
                continue;
            }
            if sidecar && container["started"] == true {
                self.ready += usize::from(container["ready"] == true);
                continue;
            }
            let waiting = text(container, "/state/waiting/reason");
            self.reason = match () {
                () if terminated.is_object() => format!("Init:{}", end(terminated)),
                () if !["", "PodInitializing"].contains(&waiting) => format!("Init:{waiting}"),
                () => format!("Init:{at}/{}", wanted.len()),
            };
            return true;
        }
        (self.restarts, self.last_restart) = sidecars;
        false
    }

    fn read_containers(&mut self, pod: &Value) {
        let (mut running, mut failed) = (false, None);
        for container in all(pod, "/status/containerStatuses").iter().rev() {
            self.count_restarts(container);
            let (waiting, terminated) = (text(container, "/state/waiting/reason"), &container["state"]["terminated"]);
            if !waiting.is_empty() {
                self.reason = waiting.into();
            } else if terminated.is_object() {
                self.reason = end(terminated);
                if int(terminated, "/exitCode") != 0 {
                    failed = Some(self.reason.clone());
                }
            } else if container["ready"] == true && container["state"]["running"].is_object() {
                running = true;
                self.ready += 1;
            }
        }
        // One container ended well: the others decide.
        if self.reason == "Completed" {
            if running && condition(pod, "Ready") == Some("True") {
                self.reason = "Running".into();
            } else if let Some(failed) = failed {
                self.reason = failed;
            } else if running {
                self.reason = "NotReady".into();
            }
        }
    }
}

/// How a container ended.
fn end(terminated: &Value) -> String {
    match (text(terminated, "/reason"), int(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", int(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: u64) -> Time {
        Time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)
    }

    /// Ready, status and restarts of a pod in this state.
    fn pod_cells(status: Value) -> [Value; 3] {
        let pod = json!({
            "metadata": {"name": "x", "creationTimestamp": "1970-01-01T00:00:00Z"},
            "spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}, "status": status,
        });
        let cells = pod_of(&pod);
        [cells[1].clone(), cells[2].clone(), cells[3].clone()]
    }

    fn pod_of(object: &Value) -> Vec<Value> {
        pod(object, at(600))
    }

    #[test]
    fn the_status_of_a_pod() {
        let waiting = |reason: &str| json!({"state": {"waiting": {"reason": reason}}});
        let running = json!({"ready": true, "state": {"running": {}}});
        let ended = |code: i64, reason: &str| json!({"state": {"terminated": {"exitCode": code, "reason": reason}}});
        let last = json!({"terminated": {"finishedAt": "1970-01-01T00:09:00Z"}});
        let looping = json!({"restartCount": 4, "lastState": last, "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
        for (status, expected) in [
            (json!({"phase": "Pending"}), ["0/2", "Pending", "0"]),
            (
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}),
                ["0/2", "SchedulingGated", "0"],
            ),
            (json!({"phase": "Failed", "reason": "Evicted"}), ["0/2", "Evicted", "0"]),
            (json!({"phase": "Pending", "initContainerStatuses": [waiting("PodInitializing")]}), ["0/2", "Init:0/1", "0"]),
            (json!({"phase": "Pending", "initContainerStatuses": [waiting("ImagePullBackOff")]}), ["0/2", "Init:ImagePullBackOff", "0"]),
            (json!({"phase": "Pending", "initContainerStatuses": [ended(3, "")]}), ["0/2", "Init:ExitCode:3", "0"]),
            (
                json!({"phase": "Running", "initContainerStatuses": [ended(0, "Completed")], "containerStatuses": [running, looping]}),
                ["1/2", "CrashLoopBackOff", "4 (60s ago)"],
            ),
            (json!({"phase": "Running", "containerStatuses": [ended(0, "Completed"), running]}), ["1/2", "NotReady", "0"]),
            (
                json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [ended(0, "Completed"), running]}),
                ["1/2", "Running", "0"],
            ),
            (json!({"phase": "Running", "containerStatuses": [ended(0, "Completed"), ended(1, "Error")]}), ["0/2", "Error", "0"]),
        ] {
            assert_eq!(pod_cells(status.clone()), expected.map(Value::from), "{status}");
        }
    }

    #[test]
    fn a_pod_that_goes() {
        let pod = |phase: &str, reason: &str| {
            let metadata = json!({"name": "x", "deletionTimestamp": "1970-01-01T00:09:00Z"});
            pod_of(&json!({"metadata": metadata, "status": {"phase": phase, "reason": reason}}))[2].clone()
        };
        assert_eq!([pod("Running", ""), pod("Failed", ""), pod("Running", "NodeLost")], ["Terminating", "Failed", "Unknown"]);
    }

    #[test]
    fn what_an_event_shows() {
        let event_of = |event: Value| super::event(&event, at(600));
        let about = json!({"kind": "Pod", "name": "x"});
        let old = event_of(json!({
            "metadata": {"name": "e"}, "involvedObject": about, "count": 3, "message": " m\n", "source": {"component": "kubelet", "host": "n"},
            "firstTimestamp": "1970-01-01T00:00:00Z", "lastTimestamp": "1970-01-01T00:09:00Z",
        }));
        assert_eq!(Value::from(old), json!(["60s", "", "", "pod/x", "", "kubelet, n", "m", "10m", 3, "e"]));
        let new = event_of(json!({
            "metadata": {"name": "e"}, "involvedObject": about, "reportingComponent": "c", "eventTime": "1970-01-01T00:05:00.000000Z",
        }));
        assert_eq!(Value::from(new), json!(["5m", "", "", "pod/x", "", "c", "", "5m", 1, "e"]));
    }

    #[test]
    fn services_and_their_endpoints() {
        let port = |port: i64, node: i64| json!({"port": port, "protocol": "TCP", "nodePort": node});
        let spec = json!({"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"], "ports": [port(80, 0), port(443, 30_000)]});
        let cells = service(&json!({"metadata": {"name": "s"}, "spec": spec}), at(0));
        assert_eq!(
            Value::from(cells),
            json!(["s", "LoadBalancer", "10.0.0.1", "<pending>", "80/TCP,443:30000/TCP", "<unknown>", "<none>"])
        );
        let ip = |last: u8| json!({"ip": format!("10.0.0.{last}")});
        let subset = json!({"addresses": [ip(1), ip(2)], "ports": [{"port": 80}, {"port": 81}]});
        let cells = endpoints(&json!({"metadata": {"name": "s"}, "subsets": [subset]}), at(0));
        assert_eq!(cells[1], "10.0.0.1:80,10.0.0.2:80,10.0.0.1:81 + 1 more...");
    }

    #[test]
    fn targets_of_an_autoscaler() {
        let utilization = |percent: i64| json!({"averageUtilization": percent});
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": utilization(80)}});
        let is = json!({"resource": {"current": utilization(30)}});
        assert_eq!(autoscaler_target(&cpu, &is), "cpu: 30%/80%");
        assert_eq!(autoscaler_target(&cpu, &Value::Null), "cpu: <unknown>/80%");
        let external = json!({"type": "External", "external": {"target": {"averageValue": "100"}}});
        assert_eq!(autoscaler_target(&external, &json!({"external": {"current": {"averageValue": "12"}}})), "12/100 (avg)");
    }
}
