//! CustomResourceDefinitions: kinds that come and go.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::demo::{
    kinds::{Custom, Kind, Scale},
    refusal::Problem,
    registry::{self, Write, stamp},
    sim::Sim,
    store::{Key, Store},
};
use crate::model::Time;

/// [`Kind::id`] of the definitions themselves.
pub const KIND: &str = "customresourcedefinitions.apiextensions.k8s.io";

const BUILT_IN: [&str; 10] = [
    include_str!("../../../assets/demo/crds/rollouts.json"),
    include_str!("../../../assets/demo/crds/analysisruns.json"),
    include_str!("../../../assets/demo/crds/analysistemplates.json"),
    include_str!("../../../assets/demo/crds/clusteranalysistemplates.json"),
    include_str!("../../../assets/demo/crds/experiments.json"),
    include_str!("../../../assets/demo/crds/virtualservices.json"),
    include_str!("../../../assets/demo/crds/destinationrules.json"),
    include_str!("../../../assets/demo/crds/canaries.json"),
    include_str!("../../../assets/demo/crds/metrictemplates.json"),
    include_str!("../../../assets/demo/crds/httproutes.json"),
];

/// What many clusters have beside it: other routers, and what else releases. Of their schemas only what weights need.
const OTHERS: &[&str] = &[
    include_str!("../../../assets/demo/crds/grpcroutes.json"),
    include_str!("../../../assets/demo/crds/traefikservices.json"),
    include_str!("../../../assets/demo/crds/ingressroutes.json"),
    include_str!("../../../assets/demo/crds/trafficsplits.json"),
    include_str!("../../../assets/demo/crds/httpproxies.json"),
    include_str!("../../../assets/demo/crds/knative-services.json"),
    include_str!("../../../assets/demo/crds/knative-configurations.json"),
    include_str!("../../../assets/demo/crds/knative-revisions.json"),
    include_str!("../../../assets/demo/crds/knative-routes.json"),
    include_str!("../../../assets/demo/crds/inferenceservices.json"),
    include_str!("../../../assets/demo/crds/kruise-rollouts.json"),
];

/// The definitions that come with the embedded cluster: Argo Rollouts, Flagger, and what they move of Istio and Gateway API. Where a schema says
/// `$ref`, it means a type that all clusters know.
pub fn built_in() -> Vec<Value> {
    BUILT_IN.iter().filter_map(|text| serde_json::from_str(text).ok()).collect()
}

/// The definitions that a scenario can ask for beside those.
pub fn others() -> Vec<Value> {
    OTHERS.iter().filter_map(|text| serde_json::from_str(text).ok()).collect()
}

/// A definition by its name.
pub fn known(name: &str) -> Option<Value> {
    built_in().into_iter().chain(others()).find(|definition| definition["metadata"]["name"] == name)
}

/// Serves the kinds that come with the embedded cluster.
pub fn install(sim: &mut Sim, now: Time) {
    built_in().into_iter().for_each(|definition| put(sim, definition, now));
}

/// Serves these kinds as well, by the names of their definitions.
pub fn install_others(sim: &mut Sim, names: &[String], now: Time) {
    names.iter().filter_map(|name| known(name)).for_each(|definition| put(sim, definition, now));
}

fn put(sim: &mut Sim, definition: Value, now: Time) {
    // One that is there already stays as it is.
    drop(registry::create(&mut sim.store, KIND, "", definition, Write::new(now, "")));
}

/// A definition as it is kept and as clients see it: they know no references.
pub fn without_references(value: &Value) -> Value {
    match value {
        Value::Object(fields) if fields.contains_key("$ref") => {
            let mut open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
            if let Some(rules) = fields.get("x-kubernetes-validations") {
                open["x-kubernetes-validations"] = rules.clone();
            }
            open
        }
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), without_references(value))).collect(),
        Value::Array(items) => items.iter().map(without_references).collect(),
        other => other.clone(),
    }
}

/// What is wrong with a definition.
pub fn problems(definition: &Value) -> Vec<Problem> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (name, plural, group) = (text(&definition["metadata"]["name"]), text(&spec["names"]["plural"]), text(&spec["group"]));
    let mut problems = Vec::new();
    if name != format!("{plural}.{group}") {
        problems.push(Problem::invalid("metadata.name", &json!(name), "must be spec.names.plural+\".\"+spec.group"));
    }
    for (field, value) in
        [("spec.group", &spec["group"]), ("spec.names.plural", &spec["names"]["plural"]), ("spec.names.kind", &spec["names"]["kind"])]
    {
        if text(value).is_empty() {
            problems.push(Problem::required(field, ""));
        }
    }
    let scopes = ["Cluster", "Namespaced"];
    if !scopes.contains(&text(&spec["scope"]).as_str()) {
        problems.push(Problem::unsupported("spec.scope", &json!(text(&spec["scope"])), scopes));
    }
    let stored = spec["versions"].as_array().into_iter().flatten().filter(|version| version["storage"] == true).count();
    if stored != 1 {
        let detail = "must have exactly one version marked as storage version";
        problems.push(Problem::invalid("spec.versions", &spec["versions"], detail));
    }
    for (index, version) in spec["versions"].as_array().into_iter().flatten().enumerate() {
        if !version["schema"]["openAPIV3Schema"].is_object() {
            problems.push(Problem::required(format!("spec.versions[{index}].schema.openAPIV3Schema"), "schemas are required"));
        }
    }
    problems
}

/// Fills in what a definition leaves open.
pub fn defaults(definition: &mut Value) {
    let names = &mut definition["spec"]["names"];
    let kind = names["kind"].as_str().unwrap_or_default().to_owned();
    if names["singular"].as_str().is_none_or(str::is_empty) {
        names["singular"] = kind.to_lowercase().into();
    }
    if names["listKind"].as_str().is_none_or(str::is_empty) {
        names["listKind"] = format!("{kind}List").into();
    }
    if definition["spec"]["conversion"].is_null() {
        definition["spec"]["conversion"] = json!({"strategy": "None"});
    }
}

/// Serves what a stored definition defines, and says so in its status.
pub fn accept(store: &mut Store, key: &Key, now: Time) {
    let Some(mut definition) = store.get(key).map(|found| found.value()) else { return };
    let Some(kind) = kind(&definition) else { return };
    let accepted = json!({"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts found"});
    let established = json!({"type": "Established", "status": "True", "reason": "InitialNamesAccepted", "message": "the initial names have been accepted"});
    let before = definition["status"].clone();
    let conditions = [accepted, established].map(|mut condition| {
        let old = before["conditions"].as_array().into_iter().flatten().find(|old| old["type"] == condition["type"]);
        condition["lastTransitionTime"] = old.map_or_else(|| stamp(now).into(), |old| old["lastTransitionTime"].clone());
        condition
    });
    let stored = definition["spec"]["versions"].as_array().into_iter().flatten().find(|version| version["storage"] == true);
    let stored = stored.map_or(Value::Null, |version| version["name"].clone());
    definition["status"] = json!({"acceptedNames": definition["spec"]["names"], "conditions": conditions, "storedVersions": [stored]});
    store.add_kind(kind);
    if definition["status"] != before {
        store.put(key.clone(), definition);
    }
}

/// Serves no longer what a deleted definition defined.
pub fn withdraw(store: &mut Store, definition: &Value) {
    if let Some(kind) = kind(definition) {
        store.remove_kind(&kind.id());
    }
}

/// The kind a definition defines.
fn kind(definition: &Value) -> Option<Kind> {
    let spec = &definition["spec"];
    let names = &spec["names"];
    let mut versions: Vec<&Value> = spec["versions"].as_array()?.iter().filter(|version| version["served"] == true).collect();
    versions.sort_by_key(|version| std::cmp::Reverse(rank(version["name"].as_str().unwrap_or_default())));
    let first = *versions.first()?;
    let list = |value: &Value| value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let pointer = |path: &Value| text(path).map(|path| path.replace('.', "/"));
    let scale = &first["subresources"]["scale"];
    let scale = pointer(&scale["specReplicasPath"]).zip(pointer(&scale["statusReplicasPath"])).map(|(spec, status)| Scale {
        spec,
        status,
        selector: pointer(&scale["labelSelectorPath"]),
    });
    Some(Kind {
        group: text(&spec["group"])?,
        versions: versions.iter().filter_map(|version| text(&version["name"])).collect(),
        kind: text(&names["kind"])?,
        plural: text(&names["plural"])?,
        singular: text(&names["singular"]).unwrap_or_default(),
        short_names: list(&names["shortNames"]),
        categories: list(&names["categories"]),
        namespaced: spec["scope"] == "Namespaced",
        status: first["subresources"]["status"].is_object(),
        scale,
        custom: Some(Custom { schema: Arc::new(schema(definition, first)), columns: Arc::new(first["additionalPrinterColumns"].clone()) }),
    })
}

/// The schema of a version; with its references if it is one of ours.
fn schema(definition: &Value, version: &Value) -> Value {
    let shown = &version["schema"]["openAPIV3Schema"];
    let name = &definition["metadata"]["name"];
    let ours = built_in().into_iter().find(|ours| ours["metadata"]["name"] == *name);
    let own = ours.as_ref().map(|ours| &ours["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
    own.filter(|own| without_references(own) == *shown).unwrap_or(shown).clone()
}

/// Versions in the order of preference: `v2`, `v1`, `v1beta2`, `v1beta1`, `v1alpha1`, others.
fn rank(version: &str) -> (u8, u64, u64) {
    let parts = || {
        let rest = version.strip_prefix('v')?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (major, rest) = rest.split_at(end);
        let (stage, minor) = match rest {
            "" => (3, "0"),
            rest => rest.strip_prefix("beta").map(|minor| (2, minor)).or_else(|| rest.strip_prefix("alpha").map(|minor| (1, minor)))?,
        };
        Some((stage, major.parse().ok()?, minor.parse().ok()?))
    };
    parts().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::demo::kinds;

    fn store() -> Store {
        let mut store = Store::new(kinds::built_in());
        for definition in built_in() {
            registry::create(&mut store, KIND, "", definition, Write::new(Time::UNIX_EPOCH, "")).unwrap();
        }
        store
    }

    #[test]
    fn the_kinds_of_the_embedded_cluster_are_served_under_their_names() {
        let store = store();
        let ids = ["rollouts", "analysisruns", "analysistemplates", "clusteranalysistemplates", "experiments"]
            .map(|name| format!("{name}.argoproj.io"));
        let kinds: Vec<_> = ids.iter().map(|id| store.kind(id).unwrap()).collect();
        let short: Vec<_> = kinds.iter().map(|kind| kind.short_names[0].as_str()).collect();
        assert_eq!(short, ["ro", "ar", "at", "cat", "exp"]);
        assert_eq!(kinds.iter().map(|kind| kind.status).collect::<Vec<_>>(), [true, false, false, false, false]);
        assert_eq!(kinds.iter().map(|kind| kind.namespaced).collect::<Vec<_>>(), [true, true, true, false, true]);
        let scale =
            Scale { spec: "/spec/replicas".into(), status: "/status/HPAReplicas".into(), selector: Some("/status/selector".into()) };
        assert_eq!(kinds[0].scale, Some(scale));
        assert_eq!(store.kind("virtualservices.networking.istio.io").unwrap().versions, ["v1", "v1beta1", "v1alpha3"]);
        let columns = &kinds[0].custom.as_ref().unwrap().columns;
        let names: Vec<_> = columns.as_array().unwrap().iter().map(|column| column["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["Desired", "Current", "Up-to-date", "Available", "Age"]);
    }

    #[test]
    fn every_other_kind_can_be_had_by_its_name_and_stored() {
        let mut store = store();
        for definition in others() {
            assert_eq!(problems(&definition).len(), 0, "{definition}");
            let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
            assert_eq!(known(&name).as_ref(), Some(&definition));
            registry::create(&mut store, KIND, "", definition, Write::new(Time::UNIX_EPOCH, "")).unwrap();
            let object = json!({"metadata": {"name": "x"}, "spec": {}});
            registry::create(&mut store, &name, "shop", object, Write::new(Time::UNIX_EPOCH, "")).unwrap();
        }
        let versions = |name: &str| store.kind(name).unwrap().versions.clone();
        assert_eq!(versions("services.serving.knative.dev"), ["v1"]);
        assert_eq!(versions("rollouts.rollouts.kruise.io"), ["v1beta1", "v1alpha1"]);
        assert_eq!(versions("trafficsplits.split.smi-spec.io")[0], "v1alpha4");
    }

    #[test]
    fn clients_see_no_references_and_the_server_keeps_them() {
        let store = store();
        let shown = store.get(&Key::new(KIND, "", "rollouts.argoproj.io")).unwrap().value();
        assert!(!shown.to_string().contains("$ref"));
        assert_eq!(shown["status"]["conditions"][1]["type"], "Established");
        let schema = &store.kind("rollouts.argoproj.io").unwrap().custom.as_ref().unwrap().schema;
        assert_eq!(schema["properties"]["spec"]["properties"]["template"]["$ref"], "PodTemplateSpec");
    }

    #[test]
    fn a_deleted_definition_takes_its_objects_along() {
        let mut store = store();
        let kind = "experiments.argoproj.io";
        let object = json!({"metadata": {"name": "x"}, "spec": {"templates": []}});
        registry::create(&mut store, kind, "shop", object, Write::new(Time::UNIX_EPOCH, "")).unwrap();
        registry::delete(&mut store, &Key::new(KIND, "", kind), Write::new(Time::UNIX_EPOCH, "")).unwrap();
        assert!(store.kind(kind).is_none());
    }

    #[test]
    fn stable_versions_are_preferred() {
        let mut versions = ["v1alpha3", "foo", "v1beta1", "v10", "v2", "v1beta2"];
        versions.sort_by_key(|version| std::cmp::Reverse(rank(version)));
        assert_eq!(versions, ["v10", "v2", "v1beta2", "v1beta1", "v1alpha3", "foo"]);
    }
}
