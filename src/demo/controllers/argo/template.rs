//! Pod templates: what they look like once everything that goes without saying is said, and the hash that names a
//! version.

use serde_json::{Map, Value, json};

use super::spec::{PodMetadata, Step};

/// A template as a ReplicaSet holds it.
pub fn defaulted(mut template: Value) -> Value {
    let spec = &mut template["spec"];
    fill(
        spec,
        &json!({
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "securityContext": {},
            "schedulerName": "default-scheduler",
        }),
    );
    each(spec, "initContainers", complete_container);
    each(spec, "containers", complete_container);
    each(spec, "volumes", complete_volume);
    template
}

/// Adds to a template what Go cannot leave out when it writes one back. Changes the generation of a rollout whose
/// author left it out.
pub fn written_back(template: &mut Value) {
    for list in ["initContainers", "containers"] {
        each(&mut template["spec"], list, |container| fill(container, &json!({"resources": {}})));
    }
}

fn complete_container(container: &mut Value) {
    let image = container["image"].as_str().unwrap_or_default();
    let tag = image.rsplit_once('/').map_or(image, |(_, name)| name).split_once(':').map_or("latest", |(_, tag)| tag);
    let pull = if tag == "latest" && !image.contains('@') { "Always" } else { "IfNotPresent" };
    let defaults = json!({
        "resources": {}, "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": pull,
    });
    fill(container, &defaults);
    each(container, "ports", |port| fill(port, &json!({"protocol": "TCP"})));
    each(container, "env", |variable| {
        if variable["valueFrom"]["fieldRef"].is_object() {
            fill(&mut variable["valueFrom"]["fieldRef"], &json!({"apiVersion": "v1"}));
        }
    });
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if container[probe].is_object() {
            complete_probe(&mut container[probe]);
        }
    }
}

fn complete_probe(probe: &mut Value) {
    fill(probe, &json!({"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}));
    if probe["httpGet"].is_object() {
        fill(&mut probe["httpGet"], &json!({"path": "/", "scheme": "HTTP"}));
    }
}

fn complete_volume(volume: &mut Value) {
    for source in ["configMap", "secret", "downwardAPI", "projected"] {
        if volume[source].is_object() {
            fill(&mut volume[source], &json!({"defaultMode": 420}));
        }
    }
    if volume.as_object().is_some_and(|fields| fields.values().filter(|value| value.is_object()).count() == 0) {
        volume["emptyDir"] = json!({});
    }
}

fn each(value: &mut Value, list: &str, act: impl Fn(&mut Value)) {
    value.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().for_each(act);
}

/// Sets fields that are missing.
fn fill(value: &mut Value, defaults: &Value) {
    let (Some(fields), Some(defaults)) = (value.as_object_mut(), defaults.as_object()) else { return };
    for (name, default) in defaults {
        let field = fields.entry(name.clone()).or_insert(Value::Null);
        if field.is_null() {
            *field = default.clone();
        }
    }
}

/// The hash of a template: in the alphabet of the real ones and as stable, but another value, as the real one hashes what
/// Go prints. Defaults do not count, so a template read back from a ReplicaSet names the same version; the real
/// controller gets there by comparing. `collisions`: how often another template had the same hash.
pub fn hash(template: &Value, collisions: Option<i64>) -> String {
    let mut canonical = defaulted(template.clone());
    if let Some(labels) = canonical["metadata"]["labels"].as_object_mut() {
        labels.remove(super::names::HASH);
    }
    drop_empty(&mut canonical);
    let text = collisions.map_or_else(|| canonical.to_string(), |count| format!("{canonical}{count}"));
    encode(&text)
}

/// `status.currentStepHash`. Says nothing but whether the steps are the same.
pub fn steps_hash(steps: &[Step]) -> String {
    encode(&serde_json::to_string(steps).unwrap_or_default())
}

/// FNV-1a with 32 bits, its decimal digits in letters that make no words.
fn encode(text: &str) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.to_string().bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()])).collect()
}

/// Nothing and an empty something are the same.
fn drop_empty(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(drop_empty);
            fields.retain(|_, value| !is_empty(value));
        }
        Value::Array(items) => items.iter_mut().for_each(drop_empty),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Gives `metadata` what a role asks pods to wear, and takes away what was given for another role. Whether anything
/// changed.
pub fn dress(metadata: &mut Value, before: Option<&PodMetadata>, wanted: Option<&PodMetadata>) -> bool {
    let none = PodMetadata::default();
    let (before, wanted) = (before.unwrap_or(&none), wanted.unwrap_or(&none));
    let mut changed = false;
    for (field, before, wanted) in [("annotations", &before.annotations, &wanted.annotations), ("labels", &before.labels, &wanted.labels)] {
        let mut worn: Map<String, Value> = metadata[field].as_object().cloned().unwrap_or_default();
        let had = worn.clone();
        worn.extend(wanted.iter().map(|(key, value)| (key.clone(), value.clone().into())));
        before.keys().filter(|key| !wanted.contains_key(*key)).for_each(|key| drop(worn.remove(key)));
        if worn != had {
            metadata[field] = worn.into();
            changed = true;
        }
    }
    changed
}

/// The affinity of a new version's pods: the template's, and to stay away from nodes of the stable version if the
/// strategy says so.
pub fn affinity(template: &Value, strategy: Option<&Value>, namespace: &str, stable: &str) -> Option<Value> {
    let own = template["spec"].get("affinity").filter(|affinity| !affinity.is_null()).cloned();
    let preferred = strategy.map(|strategy| &strategy["preferredDuringSchedulingIgnoredDuringExecution"]).filter(|rule| !rule.is_null());
    let required = strategy.is_some_and(|strategy| !strategy["requiredDuringSchedulingIgnoredDuringExecution"].is_null());
    if stable.is_empty() || (preferred.is_none() && !required) {
        return own;
    }
    let term = json!({
        "labelSelector": {"matchExpressions": [{"key": super::names::HASH, "operator": "In", "values": [stable]}]},
        "namespaces": [namespace], "topologyKey": "kubernetes.io/hostname",
    });
    let (list, rule) = match preferred {
        Some(preferred) => {
            ("preferredDuringSchedulingIgnoredDuringExecution", json!({"weight": preferred["weight"], "podAffinityTerm": term}))
        }
        None => ("requiredDuringSchedulingIgnoredDuringExecution", term),
    };
    let mut affinity = own.unwrap_or_else(|| json!({}));
    let rules = &mut affinity["podAntiAffinity"][list];
    match rules.as_array_mut() {
        Some(rules) => rules.push(rule),
        None => *rules = json!([rule]),
    }
    Some(affinity)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(image: &str) -> Value {
        json!({
            "metadata": {"labels": {"app": "a"}},
            "spec": {
                "containers": [{"name": "app", "image": image, "ports": [{"containerPort": 1}], "readinessProbe": {"httpGet": {"port": 1}}}],
                "volumes": [{"name": "tmp"}, {"name": "conf", "configMap": {"name": "c"}}],
            },
        })
    }

    #[test]
    fn a_template_read_back_from_a_replica_set_names_the_same_version() {
        let own = template("app:v1");
        let mut back = defaulted(own.clone());
        assert_ne!(own, back);
        back["metadata"]["labels"][super::super::names::HASH] = "abc".into();
        back["metadata"]["creationTimestamp"] = Value::Null;
        let mut written = own.clone();
        written_back(&mut written);
        assert_eq!(written["spec"]["containers"][0]["resources"], json!({}));
        let hash_of = |template: &Value| hash(template, None);
        assert_eq!(hash_of(&own), hash_of(&back));
        assert_eq!(hash_of(&own), hash_of(&written));
        assert_ne!(hash_of(&own), hash_of(&template("app:v2")));
        assert_ne!(hash_of(&own), hash(&own, Some(1)));
    }

    #[test]
    fn hashes_have_the_alphabet_of_the_real_ones() {
        for image in ["a", "b", "c", "d"] {
            let hash = hash(&template(image), None);
            assert!((8..=10).contains(&hash.len()) && hash.chars().all(|c| "456789bcdf".contains(c)), "{hash}");
        }
    }

    #[test]
    fn images_are_pulled_as_their_tags_say() {
        for (image, pull) in [("app", "Always"), ("app:latest", "Always"), ("app:v1", "IfNotPresent"), ("host:5000/app", "Always")] {
            assert_eq!(defaulted(template(image))["spec"]["containers"][0]["imagePullPolicy"], pull, "{image}");
        }
        assert_eq!(defaulted(template("a"))["spec"]["volumes"][0], json!({"name": "tmp", "emptyDir": {}}));
    }

    #[test]
    fn pods_change_their_clothes_with_the_role() {
        let metadata = |key: &str| PodMetadata { labels: [(key.to_owned(), "x".to_owned())].into(), ..PodMetadata::default() };
        let mut pod = json!({"labels": {"app": "a"}});
        assert!(dress(&mut pod, None, Some(&metadata("canary"))));
        assert!(!dress(&mut pod, None, Some(&metadata("canary"))));
        assert!(dress(&mut pod, Some(&metadata("canary")), Some(&metadata("stable"))));
        assert_eq!(pod, json!({"labels": {"app": "a", "stable": "x"}}));
        assert!(dress(&mut pod, Some(&metadata("stable")), None));
        assert_eq!(pod, json!({"labels": {"app": "a"}}));
    }

    #[test]
    fn pods_avoid_the_stable_version_if_asked_to() {
        let strategy = json!({"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 7}});
        assert_eq!(affinity(&template("a"), Some(&strategy), "shop", ""), None);
        assert_eq!(affinity(&template("a"), None, "shop", "abc"), None);
        let affinity = affinity(&template("a"), Some(&strategy), "shop", "abc").unwrap_or_default();
        let rule = &affinity["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0];
        assert_eq!((&rule["weight"], &rule["podAffinityTerm"]["namespaces"]), (&json!(7), &json!(["shop"])));
    }
}
