//! What an object of a built-in kind must be, beyond its types. Not all that the real server checks, but what people get
//! wrong, in its words.

use serde_json::{Value, json};

use crate::demo::{kinds::Kind, refusal::Problem};

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an \
                     alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end \
                         with an alphanumeric character (e.g. 'example.com', regex used for validation is \
                         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end \
                        with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is \
                        '[a-z]([-a-z0-9]*[a-z0-9])?')";
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
                         character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                         '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end \
                           with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
                           '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or \
                          'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for \
                       validation is '[0-9]+%')";
const POD_UPDATES: &str = "pod updates may not change fields other than \
                           `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only \
                           additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
                           previously negative)";
const IMMUTABLE: &str = "field is immutable";
const NEGATIVE: &str = "must be greater than or equal to 0";

type Problems = Vec<Problem>;

/// What is wrong with a new object.
pub fn new_object(kind: &Kind, object: &Value) -> Problems {
    let mut problems = metadata(kind, &object["metadata"]);
    if kind.custom.is_none() {
        problems.extend(body(kind, object));
    }
    problems
}

/// What is wrong with an object that is to replace another.
pub fn replacement(kind: &Kind, before: &Value, object: &Value) -> Problems {
    let mut problems = metadata(kind, &object["metadata"]);
    problems.extend(kept_metadata(&before["metadata"], &object["metadata"]));
    if kind.custom.is_none() {
        problems.extend(body(kind, object));
        problems.extend(kept(kind, before, object));
    }
    problems
}

fn metadata(kind: &Kind, metadata: &Value) -> Problems {
    let mut problems = Problems::new();
    let name = metadata["name"].as_str().unwrap_or_default();
    let base = metadata["generateName"].as_str().unwrap_or_default();
    let check: fn(&str) -> Option<String> = name_rule(kind);
    if let Some(problem) = Some(base.trim_end_matches('-')).filter(|base| !base.is_empty()).and_then(check) {
        problems.push(Problem::invalid("metadata.generateName", &json!(base), problem));
    }
    if name.is_empty() {
        problems.push(Problem::required("metadata.name", "name or generateName is required"));
    } else if let Some(problem) = check(name) {
        problems.push(Problem::invalid("metadata.name", &json!(name), problem));
    }
    problems.extend(labels("metadata.labels", &metadata["labels"]));
    let keys = metadata["annotations"].as_object().into_iter().flat_map(|all| all.keys());
    problems.extend(keys.filter_map(|key| Some(Problem::invalid("metadata.annotations", &json!(key), qualified(key)?))));
    let size: usize =
        metadata["annotations"].as_object().into_iter().flatten().map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if size > 256 * 1024 {
        problems.push(Problem::new("metadata.annotations", "FieldValueTooLong", "Too long: may not be more than 262144 bytes"));
    }
    problems.extend(owners(&metadata["ownerReferences"]));
    for (index, name) in array(&metadata["finalizers"]).enumerate() {
        let standard = ["orphan", "foregroundDeletion", "kubernetes"];
        let text = name.as_str().unwrap_or_default();
        if !standard.contains(&text) && !text.contains('/') {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            problems.push(Problem::invalid(format!("metadata.finalizers[{index}]"), name, detail));
        }
    }
    problems
}

fn owners(references: &Value) -> Problems {
    let mut problems = Problems::new();
    for reference in array(references) {
        for (field, detail) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if reference[field].as_str().is_none_or(str::is_empty) {
                problems.push(Problem::invalid(format!("metadata.ownerReferences.{field}"), &json!(""), detail));
            }
        }
    }
    let controllers = array(references).filter(|reference| reference["controller"] == true).count();
    if controllers > 1 {
        let detail = "Only one reference can have Controller set to true";
        problems.push(Problem::invalid("metadata.ownerReferences", references, detail));
    }
    problems
}

fn kept_metadata(before: &Value, after: &Value) -> Problems {
    let mut problems = Problems::new();
    for field in ["name", "namespace", "uid"] {
        if !after[field].is_null() && before[field] != after[field] {
            // The real server checks twice and says so twice.
            let problem = Problem::invalid(format!("metadata.{field}"), &after[field], IMMUTABLE);
            problems.extend([problem.clone(), problem]);
        }
    }
    let had: Vec<&Value> = array(&before["finalizers"]).collect();
    let new: Vec<String> = array(&after["finalizers"]).filter(|name| !had.contains(name)).map(Value::to_string).collect();
    if !before["deletionTimestamp"].is_null() && !new.is_empty() {
        let new = new.join(", ");
        let detail = format!("no new finalizers can be added if the object is being deleted, found new finalizers []string{{{new}}}");
        let problem = Problem::forbidden("metadata.finalizers", &detail);
        problems.extend([problem.clone(), problem]);
    }
    problems
}

fn name_rule(kind: &Kind) -> fn(&str) -> Option<String> {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Service") => dns_1035,
        ("", "Namespace") => label,
        ("rbac.authorization.k8s.io", _) => path_segment,
        _ => subdomain,
    }
}

fn path_segment(name: &str) -> Option<String> {
    if [".", ".."].contains(&name) {
        return Some(format!("may not be '{name}'"));
    }
    ['/', '%'].into_iter().find(|c| name.contains(*c)).map(|c| format!("may not contain '{c}'"))
}

fn is_label(text: &str) -> bool {
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    end(text.chars().next()) && end(text.chars().last()) && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn label(name: &str) -> Option<String> {
    if name.len() > 63 {
        return Some("must be no more than 63 characters".into());
    }
    (!is_label(name)).then(|| LABEL.into())
}

fn dns_1035(name: &str) -> Option<String> {
    if name.len() > 63 {
        return Some("must be no more than 63 characters".into());
    }
    (!is_label(name) || name.starts_with(|c: char| c.is_ascii_digit())).then(|| DNS_1035.into())
}

fn subdomain(name: &str) -> Option<String> {
    if name.len() > 253 {
        return Some("must be no more than 253 characters".into());
    }
    (!name.split('.').all(is_label)).then(|| SUBDOMAIN.into())
}

fn is_name_part(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    end(text.chars().next()) && end(text.chars().last()) && text.chars().all(inner)
}

/// `app`, `example.com/app`.
fn qualified(key: &str) -> Option<String> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            return Some("prefix part must be non-empty".into());
        }
        if let Some(problem) = subdomain(prefix) {
            return Some(format!("prefix part {problem}"));
        }
    }
    match name {
        "" => Some("name part must be non-empty".into()),
        name if name.len() > 63 => Some("name part must be no more than 63 bytes".into()),
        name => (!is_name_part(name)).then(|| NAME_PART.into()),
    }
}

fn labels(field: &str, labels: &Value) -> Problems {
    let mut problems = Problems::new();
    for (key, value) in labels.as_object().into_iter().flatten() {
        if let Some(problem) = qualified(key) {
            problems.push(Problem::invalid(field, &json!(key), problem));
        }
        let text = value.as_str().unwrap_or_default();
        if text.len() > 63 {
            problems.push(Problem::invalid(field, value, "must be no more than 63 bytes"));
        } else if !text.is_empty() && !is_name_part(text) {
            problems.push(Problem::invalid(field, value, LABEL_VALUE));
        }
    }
    problems
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Absent is as good as empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn body(kind: &Kind, object: &Value) -> Problems {
    let spec = &object["spec"];
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => pod_spec("spec", spec, &["Always", "OnFailure", "Never"]),
        ("", "Service") => service(spec),
        ("", "ConfigMap" | "Secret") => config_keys(object),
        ("", "Event") => event(object),
        ("events.k8s.io", "Event") if is_empty(&object["eventTime"]) => vec![Problem::required("eventTime", "")],
        ("policy", "PodDisruptionBudget") if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() => {
            let shown = format!(
                "{{\"MinAvailable\":{},\"Selector\":{},\"MaxUnavailable\":{},\"UnhealthyPodEvictionPolicy\":{}}}",
                spec["minAvailable"], spec["selector"], spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]
            );
            let message = format!("Invalid value: {shown}: minAvailable and maxUnavailable cannot be both set");
            vec![Problem::new("spec", "FieldValueInvalid", message)]
        }
        ("apps", "Deployment") => [counts(spec, &["replicas", "minReadySeconds", "revisionHistoryLimit"]), deployment(spec)].concat(),
        ("apps", "ReplicaSet") => [counts(spec, &["replicas", "minReadySeconds"]), workload(spec, "replica set")].concat(),
        ("apps", "StatefulSet") => [counts(spec, &["replicas", "minReadySeconds"]), workload(spec, "statefulset")].concat(),
        ("apps", "DaemonSet") => [counts(spec, &["minReadySeconds"]), workload(spec, "daemonset")].concat(),
        ("autoscaling", _) => autoscaler(spec),
        ("networking.k8s.io", "Ingress") => ingress(spec),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => rules(&object["rules"]),
        ("rbac.authorization.k8s.io", name) => binding(name, object),
        _ => Problems::new(),
    }
}

fn counts(spec: &Value, fields: &[&str]) -> Problems {
    let negative = |field: &&&str| spec[**field].as_i64().is_some_and(|count| count < 0);
    fields.iter().filter(negative).map(|field| Problem::invalid(format!("spec.{field}"), &spec[*field], NEGATIVE)).collect()
}

fn deployment(spec: &Value) -> Problems {
    let mut problems = workload(spec, "deployment");
    let strategy = &spec["strategy"];
    let rolling = &strategy["rollingUpdate"];
    match strategy["type"].as_str() {
        Some("RollingUpdate") => problems.extend(rolling_update(rolling)),
        Some("Recreate") if !rolling.is_null() => {
            problems.push(Problem::forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'"));
        }
        Some("Recreate") => (),
        other => {
            let shown = format!("{{\"Type\":{:?},\"RollingUpdate\":{}}}", other.unwrap_or_default(), rolling);
            let message = format!("Unsupported value: {shown}: supported values: \"Recreate\", \"RollingUpdate\"");
            problems.push(Problem::new("spec.strategy", "FieldValueNotSupported", message));
        }
    }
    let deadline = spec["progressDeadlineSeconds"].as_i64();
    let ready = spec["minReadySeconds"].as_i64().unwrap_or_default();
    if deadline.is_some_and(|deadline| deadline <= ready) {
        problems.push(Problem::invalid("spec.progressDeadlineSeconds", &json!(deadline), "must be greater than minReadySeconds"));
    }
    problems
}

fn rolling_update(rolling: &Value) -> Problems {
    let mut problems = Problems::new();
    for field in ["maxUnavailable", "maxSurge"] {
        let path = format!("spec.strategy.rollingUpdate.{field}");
        match &rolling[field] {
            Value::Number(number) if number.as_i64().is_some_and(|number| number < 0) => {
                problems.push(Problem::invalid(path, &rolling[field], NEGATIVE));
            }
            Value::String(text) if text.strip_suffix('%').is_none_or(|digits| digits.parse::<u32>().is_err()) => {
                problems.push(Problem::invalid(path, &rolling[field], PERCENT));
            }
            _ => (),
        }
    }
    let zero = |value: &Value| *value == 0 || value == "0%";
    if zero(&rolling["maxUnavailable"]) && zero(&rolling["maxSurge"]) {
        let path = "spec.strategy.rollingUpdate.maxUnavailable";
        problems.push(Problem::invalid(path, &rolling["maxUnavailable"], "may not be 0 when `maxSurge` is 0"));
    }
    problems
}

/// Selector and template of whatever makes pods.
fn workload(spec: &Value, what: &str) -> Problems {
    let mut problems = Problems::new();
    let selector = &spec["selector"];
    let fits = match selector {
        Value::Null => {
            problems.push(Problem::required("spec.selector", ""));
            false
        }
        Value::Object(fields) if fields.values().all(is_empty) => {
            problems.push(Problem::invalid("spec.selector", selector, format!("empty selector is invalid for {what}")));
            true
        }
        selector => {
            let odd = odd_operators(selector);
            problems.extend(odd.iter().cloned());
            if !odd.is_empty() {
                problems.push(Problem::invalid("spec.selector", selector, "invalid label selector"));
            }
            !odd.is_empty() || selects(selector, &spec["template"]["metadata"]["labels"])
        }
    };
    if !fits {
        let labels = &spec["template"]["metadata"]["labels"];
        let detail = "`selector` does not match template `labels`";
        problems.push(Problem::invalid("spec.template.metadata.labels", labels, detail));
    }
    problems.extend(labels("spec.template.labels", &spec["template"]["metadata"]["labels"]));
    problems.extend(pod_spec("spec.template.spec", &spec["template"]["spec"], &["Always"]));
    problems
}

fn odd_operators(selector: &Value) -> Problems {
    let known = ["In", "NotIn", "Exists", "DoesNotExist"];
    let odd = array(&selector["matchExpressions"]).enumerate().filter(|(_, rule)| !known.iter().any(|known| rule["operator"] == *known));
    odd.map(|(index, rule)| {
        let path = format!("spec.selector.matchExpressions[{index}].operator");
        Problem::invalid(path, &rule["operator"], "not a valid selector operator")
    })
    .collect()
}

/// Whether a label selector fits a set of labels.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    let has = |key: &str| labels.get(key);
    let same = selector["matchLabels"].as_object().into_iter().flatten().all(|(key, value)| has(key) == Some(value));
    let fits = |rule: &Value| {
        let found = has(rule["key"].as_str().unwrap_or_default());
        let listed = found.is_some_and(|found| array(&rule["values"]).any(|value| value == found));
        match rule["operator"].as_str() {
            Some("In") => listed,
            Some("NotIn") => !listed,
            Some("Exists") => found.is_some(),
            Some("DoesNotExist") => found.is_none(),
            _ => false,
        }
    };
    same && array(&selector["matchExpressions"]).all(fits)
}

fn pod_spec(path: &str, spec: &Value, policies: &[&str]) -> Problems {
    let mut problems = Problems::new();
    if is_empty(&spec["containers"]) {
        problems.push(Problem::required(format!("{path}.containers"), ""));
    }
    let volumes: Vec<&Value> = array(&spec["volumes"]).map(|volume| &volume["name"]).collect();
    let mut names: Vec<&Value> = Vec::new();
    for list in ["initContainers", "containers"] {
        for (index, container) in array(&spec[list]).enumerate() {
            let path = format!("{path}.{list}[{index}]");
            let name = &container["name"];
            match name.as_str().unwrap_or_default() {
                "" => problems.push(Problem::required(format!("{path}.name"), "")),
                _ if names.contains(&name) => problems.push(Problem::duplicate(format!("{path}.name"), name)),
                text => problems.extend(label(text).map(|problem| Problem::invalid(format!("{path}.name"), name, problem))),
            }
            names.push(name);
            problems.extend(self::container(&path, container, &volumes));
        }
    }
    for (field, choices) in [("restartPolicy", policies), ("dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"])] {
        let value = &spec[field];
        if value.as_str().is_some_and(|value| !choices.contains(&value)) && !is_empty(&spec["containers"]) {
            problems.push(Problem::unsupported(format!("{path}.{field}"), value, choices.iter().copied()));
        }
    }
    problems
}

fn container(path: &str, container: &Value, volumes: &[&Value]) -> Problems {
    let mut problems = Problems::new();
    let image = container["image"].as_str().unwrap_or_default();
    if image.is_empty() {
        problems.push(Problem::required(format!("{path}.image"), ""));
    } else if image.trim() != image {
        problems.push(Problem::invalid(format!("{path}.image"), &container["image"], "must not have leading or trailing whitespace"));
    }
    for (index, port) in array(&container["ports"]).enumerate() {
        let path = format!("{path}.ports[{index}]");
        problems.extend(port_name(&format!("{path}.name"), &port["name"]));
        problems.extend(port_number(&format!("{path}.containerPort"), &port["containerPort"]));
        problems.extend(protocol(&path, port));
    }
    for (index, variable) in array(&container["env"]).enumerate() {
        let path = format!("{path}.env[{index}].name");
        match variable["name"].as_str().unwrap_or_default() {
            "" => problems.push(Problem::required(path, "")),
            name if name.contains('=') || !name.chars().all(|c| c.is_ascii_graphic() || c == ' ') => {
                let detail = "a valid environment variable name must consist only of printable ASCII characters other than '='";
                problems.push(Problem::invalid(path, &variable["name"], detail));
            }
            _ => (),
        }
    }
    problems.extend(resources(path, &container["resources"]));
    for (index, mount) in array(&container["volumeMounts"]).enumerate() {
        let path = format!("{path}.volumeMounts[{index}]");
        if !volumes.contains(&&mount["name"]) {
            problems.push(Problem::not_found(format!("{path}.name"), &mount["name"]));
        }
        if is_empty(&mount["mountPath"]) {
            problems.push(Problem::required(format!("{path}.mountPath"), ""));
        }
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    if container["imagePullPolicy"].as_str().is_some_and(|policy| !policies.contains(&policy)) {
        problems.push(Problem::unsupported(format!("{path}.imagePullPolicy"), &container["imagePullPolicy"], policies));
    }
    problems
}

fn port_name(path: &str, name: &Value) -> Problems {
    let Some(text) = name.as_str().filter(|text| !text.is_empty()) else { return Problems::new() };
    let rules = [
        (text.len() > 15, "must be no more than 15 characters"),
        (!text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), {
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
        }),
        (!text.contains(|c: char| c.is_ascii_lowercase()), "must contain at least one letter (a-z)"),
        (text.contains("--"), "must not contain consecutive hyphens"),
        (text.starts_with('-') || text.ends_with('-'), "must not begin or end with a hyphen"),
    ];
    rules.into_iter().filter(|(broken, _)| *broken).map(|(_, rule)| Problem::invalid(path, name, rule)).collect()
}

fn resources(path: &str, resources: &Value) -> Problems {
    let mut problems = Problems::new();
    for (what, request) in resources["requests"].as_object().into_iter().flatten() {
        let limit = &resources["limits"][what];
        if let (Some(wanted), Some(most)) = (quantity(request), quantity(limit))
            && wanted > most
        {
            let detail = format!("must be less than or equal to {what} limit of {}", limit.as_str().unwrap_or_default());
            problems.push(Problem::invalid(format!("{path}.resources.requests"), request, detail));
        }
    }
    problems
}

/// `100m`, `1Gi`, `2`.
fn quantity(value: &Value) -> Option<f64> {
    let text = value.as_str()?;
    let digits = text.find(|c: char| !(c.is_ascii_digit() || ['.', '-', '+'].contains(&c))).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let power =
        |unit: &str, units: &str, base: f64| units.find(unit.chars().next()?).map(|at| base.powi(i32::try_from(at + 1).unwrap_or(1)));
    let factor = match unit {
        "" => 1.0,
        "m" => 1e-3,
        "u" => 1e-6,
        "n" => 1e-9,
        "k" => 1e3,
        unit if unit.ends_with('i') => power(unit, "KMGTPE", 1024.0)?,
        unit => power(unit, "KMGTPE", 1000.0)?,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

fn port_number(path: &str, port: &Value) -> Option<Problem> {
    match port.as_i64() {
        None | Some(0) if path.ends_with("containerPort") => Some(Problem::required(path, "")),
        Some(1..=65535) => None,
        _ => Some(Problem::invalid(path, port, "must be between 1 and 65535, inclusive")),
    }
}

fn protocol(path: &str, port: &Value) -> Option<Problem> {
    let choices = ["SCTP", "TCP", "UDP"];
    let odd = port["protocol"].as_str().is_some_and(|protocol| !choices.contains(&protocol));
    odd.then(|| Problem::unsupported(format!("{path}.protocol"), &port["protocol"], choices))
}

fn service(spec: &Value) -> Problems {
    let mut problems = Problems::new();
    let address = spec["clusterIP"].as_str().filter(|address| !["", "None"].contains(address));
    if address.is_some_and(|address| address.parse::<std::net::IpAddr>().is_err()) {
        let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        return vec![Problem::invalid("spec.clusterIPs[0]", &spec["clusterIP"], detail)];
    }
    let headless = spec["clusterIP"] == "None" || spec["type"] == "ExternalName";
    let ports: Vec<&Value> = array(&spec["ports"]).collect();
    if ports.is_empty() && !headless {
        problems.push(Problem::required("spec.ports", ""));
    }
    let mut names: Vec<&Value> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        let same = |other: &&&Value| (&other["port"], &other["protocol"]) == (&port["port"], &port["protocol"]);
        if ports[..index].iter().any(|other| same(&other)) {
            let shown = format!(
                "{{\"Name\":\"\",\"Protocol\":{},\"AppProtocol\":null,\"Port\":{},\"TargetPort\":0,\"NodePort\":0}}",
                port["protocol"], port["port"]
            );
            problems.push(Problem::new(&path, "FieldValueDuplicate", format!("Duplicate value: {shown}")));
        }
        if is_empty(&port["name"]) {
            problems.extend((ports.len() > 1).then(|| Problem::required(format!("{path}.name"), "")));
        } else if names.contains(&&port["name"]) {
            problems.push(Problem::duplicate(format!("{path}.name"), &port["name"]));
        }
        names.push(&port["name"]);
        problems.extend(port_number(&format!("{path}.port"), &port["port"]));
        problems.extend(protocol(&path, port));
        if port["targetPort"].is_number() {
            problems.extend(port_number(&format!("{path}.targetPort"), &port["targetPort"]));
        }
    }
    problems.extend(labels("spec.selector", &spec["selector"]));
    for (field, choices) in
        [("type", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"][..]), ("sessionAffinity", &["ClientIP", "None"])]
    {
        if spec[field].as_str().is_some_and(|value| !choices.contains(&value)) {
            problems.push(Problem::unsupported(format!("spec.{field}"), &spec[field], choices.iter().copied()));
        }
    }
    problems
}

fn config_keys(object: &Value) -> Problems {
    let mut problems = Problems::new();
    for field in ["data", "binaryData"] {
        for key in object[field].as_object().into_iter().flat_map(|data| data.keys()) {
            if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c)) {
                problems.push(Problem::invalid(format!("{field}[{key}]"), &json!(key), CONFIG_KEY));
            }
        }
    }
    problems
}

fn event(event: &Value) -> Problems {
    let (of, at) = (&event["involvedObject"]["namespace"], &event["metadata"]["namespace"]);
    let elsewhere = of.as_str().map_or(at != "default", |of| *at != of);
    let problem =
        || Problem::invalid("involvedObject.namespace", &json!(of.as_str().unwrap_or_default()), "does not match event.namespace");
    elsewhere.then(problem).into_iter().collect()
}

fn autoscaler(spec: &Value) -> Problems {
    let mut problems = Problems::new();
    let version = spec["scaleTargetRef"]["apiVersion"].as_str().unwrap_or_default();
    if !version.contains('/') && spec["scaleTargetRef"]["kind"] != "ReplicationController" {
        let detail = "apiVersion must specify API group";
        problems.push(Problem::invalid("spec.scaleTargetRef.apiVersion", &json!(version), detail));
    }
    let most = spec["maxReplicas"].as_i64().unwrap_or_default();
    if most < 1 {
        problems.push(Problem::invalid("spec.maxReplicas", &json!(most), "must be greater than 0"));
    }
    if spec["minReplicas"].as_i64().is_some_and(|least| most < least) {
        problems.push(Problem::invalid("spec.maxReplicas", &json!(most), "must be greater than or equal to `minReplicas`"));
    }
    problems
}

fn ingress(spec: &Value) -> Problems {
    let mut problems = Problems::new();
    for (rule, paths) in array(&spec["rules"]).map(|rule| &rule["http"]["paths"]).enumerate() {
        for (index, path) in array(paths).enumerate() {
            if is_empty(&path["pathType"]) {
                let field = format!("spec.rules[{rule}].http.paths[{index}].pathType");
                problems.push(Problem::required(field, "pathType must be specified"));
            }
        }
    }
    problems
}

fn rules(rules: &Value) -> Problems {
    let mut problems = Problems::new();
    for (index, rule) in array(rules).enumerate() {
        let path = format!("rules[{index}]");
        let mut need = |field: &str, detail: &str| {
            problems.extend(is_empty(&rule[field]).then(|| Problem::required(format!("{path}.{field}"), detail)))
        };
        need("verbs", "verbs must contain at least one value");
        if is_empty(&rule["nonResourceURLs"]) {
            need("apiGroups", "resource rules must supply at least one api group");
            need("resources", "resource rules must supply at least one resource");
        }
    }
    problems
}

fn binding(kind: &str, object: &Value) -> Problems {
    let mut problems = Problems::new();
    let choices: &[&str] = if kind == "ClusterRoleBinding" { &["ClusterRole"] } else { &["Role", "ClusterRole"] };
    let role = &object["roleRef"];
    if !choices.contains(&role["kind"].as_str().unwrap_or_default()) {
        problems.push(Problem::unsupported("roleRef.kind", &json!(role["kind"].as_str().unwrap_or_default()), choices.iter().copied()));
    }
    if is_empty(&role["name"]) {
        problems.push(Problem::required("roleRef.name", ""));
    }
    for (index, subject) in array(&object["subjects"]).enumerate() {
        let path = format!("subjects[{index}]");
        let choices = ["ServiceAccount", "User", "Group"];
        if !choices.contains(&subject["kind"].as_str().unwrap_or_default()) {
            problems.push(Problem::unsupported(format!("{path}.kind"), &subject["kind"], choices));
        }
        if subject["kind"] == "ServiceAccount" && is_empty(&subject["namespace"]) {
            problems.push(Problem::required(format!("{path}.namespace"), ""));
        }
        if is_empty(&subject["name"]) {
            problems.push(Problem::required(format!("{path}.name"), ""));
        }
    }
    problems
}

/// What may not change.
fn kept(kind: &Kind, before: &Value, after: &Value) -> Problems {
    let same = |pointer: &str| before.pointer(pointer) == after.pointer(pointer);
    let changed = |field: &str, detail: &str| {
        Problem::invalid(field, after.pointer(&format!("/{}", field.replace('.', "/"))).unwrap_or(&Value::Null), detail)
    };
    let mut problems = Problems::new();
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet") if !same("/spec/selector") => {
            problems.push(changed("spec.selector", IMMUTABLE))
        }
        ("apps", "StatefulSet") if !(same("/spec/selector") && same("/spec/serviceName") && same("/spec/volumeClaimTemplates")) => {
            let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
                          'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
            problems.push(Problem::forbidden("spec", detail));
        }
        ("batch", "Job") if !same("/spec/template") => problems.push(changed("spec.template", IMMUTABLE)),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") if !same("/roleRef") => {
            problems.push(changed("roleRef", "cannot change roleRef"));
        }
        ("", "Service") if !same("/spec/clusterIP") && [before, after].iter().all(|service| service["spec"]["type"] != "ExternalName") => {
            let wanted = json!([after["spec"]["clusterIP"]]);
            problems.push(Problem::invalid("spec.clusterIPs[0]", &wanted, "may not change once set"));
        }
        ("", "ConfigMap" | "Secret") if before["immutable"] == true && before["data"] != after["data"] => {
            problems.push(Problem::forbidden("data", "field is immutable when `immutable` is set"));
        }
        ("", "Secret") if !same("/type") => problems.push(changed("type", IMMUTABLE)),
        ("", "Pod") if fixed_pod_fields(before) != fixed_pod_fields(after) => problems.push(Problem::forbidden("spec", POD_UPDATES)),
        _ => (),
    }
    problems
}

/// A pod's spec without what may change.
fn fixed_pod_fields(pod: &Value) -> Value {
    let mut spec = pod["spec"].clone();
    for list in ["containers", "initContainers"] {
        spec[list].as_array_mut().into_iter().flatten().for_each(|container| container["image"] = Value::Null);
    }
    for field in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"] {
        spec[field] = Value::Null;
    }
    spec
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::demo::{kinds, refusal::Refusal, registry::defaults};

    fn kind(name: &str) -> Kind {
        kinds::built_in().into_iter().find(|kind| kind.kind == name).unwrap()
    }

    fn said(name: &str, mut object: Value) -> String {
        let kind = kind(name);
        defaults::fill(&kind, &mut object);
        let problems = new_object(&kind, &object);
        if problems.is_empty() {
            String::new()
        } else {
            Refusal::invalid(&kind, object["metadata"]["name"].as_str().unwrap(), &problems).message
        }
    }

    fn deployment(spec: Value) -> Value {
        let mut all = json!({
            "selector": {"matchLabels": {"app": "d"}},
            "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}},
        });
        json_patch::merge(&mut all, &spec);
        json!({"metadata": {"name": "d", "namespace": "shop"}, "spec": all})
    }

    #[test]
    fn what_people_get_wrong_is_told_in_the_words_of_the_real_server() {
        let of = |spec: Value| said("Deployment", deployment(spec)).replace("Deployment.apps \"d\" is invalid: ", "");
        assert_eq!(of(json!({})), "");
        assert_eq!(of(json!({"replicas": -1})), "spec.replicas: Invalid value: -1: must be greater than or equal to 0");
        assert_eq!(
            of(json!({"selector": {"matchLabels": {"app": "other"}}})),
            "spec.template.metadata.labels: Invalid value: {\"app\":\"d\"}: `selector` does not match template `labels`"
        );
        assert_eq!(
            of(json!({"selector": {"matchLabels": null}})),
            "spec.selector: Invalid value: {}: empty selector is invalid for deployment"
        );
        assert_eq!(
            of(json!({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}})),
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"
        );
        assert_eq!(
            of(json!({"minReadySeconds": 700})),
            "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"
        );
        let service = json!({"metadata": {"name": "s"}, "spec": {"ports": []}});
        assert_eq!(said("Service", service), "Service \"s\" is invalid: spec.ports: Required value");
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{}]}});
        let needed = "Pod \"p\" is invalid: [spec.containers[0].name: Required value, spec.containers[0].image: Required value]";
        assert_eq!(said("Pod", pod), needed);
        assert!(said("ConfigMap", json!({"metadata": {"name": "X_y"}})).contains("a lowercase RFC 1123 subdomain must consist of"));
        assert!(said("ConfigMap", json!({"metadata": {"name": "x", "labels": {"a b": "c d"}}})).matches("metadata.labels").count() == 2);
    }

    #[test]
    fn what_may_not_change_is_said_so() {
        let said = |name: &str, before: Value, after: Value| {
            Refusal::invalid(&kind(name), "d", &replacement(&kind(name), &before, &after)).message
        };
        let moved = json!({"selector": {"matchLabels": {"app": "d2"}}, "template": {"metadata": {"labels": {"app": "d2"}}}});
        let immutable =
            "Deployment.apps \"d\" is invalid: spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"d2\"}}: field is immutable";
        let (mut before, mut after) = (deployment(json!({})), deployment(moved));
        [&mut before, &mut after].into_iter().for_each(|object| defaults::fill(&kind("Deployment"), object));
        assert_eq!(said("Deployment", before, after), immutable);
        let pod = |image: &str, node: &str| json!({"metadata": {"name": "d"}, "spec": {"nodeName": node, "containers": [{"name": "a", "image": image}]}});
        assert!(said("Pod", pod("a", ""), pod("a", "n")).contains("pod updates may not change fields other than"));
        assert!(replacement(&kind("Pod"), &pod("a", "n"), &pod("b", "n")).is_empty());
    }
}
