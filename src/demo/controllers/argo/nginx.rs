//! Weights for ingress-nginx: a second Ingress beside the stable one, with annotations that say how much of its traffic
//! goes to the canary Service.

use serde_json::{Map, Value, json};

use super::{
    names,
    pass::{Outcome, Pass, Trouble},
};

const SUFFIX: &str = "-canary";
/// Longest name of an object.
const LONGEST: usize = 253;

pub fn set_weight(pass: &mut Pass<'_, '_>, weight: i64) -> Outcome {
    let ingresses = pass.spec.router().and_then(|routing| routing.nginx.as_ref()).map(|nginx| nginx.ingresses().to_vec());
    ingresses.unwrap_or_default().iter().try_for_each(|stable| set_weight_of(pass, stable, weight))
}

/// The name of the Ingress that belongs to a stable one.
pub fn canary_name(rollout: &str, stable: &str) -> String {
    let mut name = format!("{rollout}-{stable}");
    name.truncate(LONGEST - SUFFIX.len());
    name + SUFFIX
}

/// Does nothing while nothing it is made of has changed.
fn set_weight_of(pass: &mut Pass<'_, '_>, stable: &str, weight: i64) -> Outcome {
    let name = canary_name(&pass.meta.name, stable);
    let before = made_of(pass, stable, &name, weight);
    if pass.memory.ingresses.get(stable) == Some(&before) {
        return Ok(());
    }
    write_canary(pass, stable, &name, weight)?;
    let after = made_of(pass, stable, &name, weight);
    pass.memory.ingresses.insert(stable.into(), after);
    Ok(())
}

fn made_of(pass: &Pass<'_, '_>, stable: &str, canary: &str, weight: i64) -> (i64, i64, u64, u64) {
    let revision = |name: &str| pass.cx.store.get(&pass.key_of(names::INGRESSES, name)).map_or(0, |stored| stored.revision);
    (pass.meta.generation, weight, revision(stable), revision(canary))
}

fn write_canary(pass: &mut Pass<'_, '_>, stable: &str, name: &str, weight: i64) -> Outcome {
    let Some(ingress) = pass.cx.get(names::INGRESSES, &pass.meta.namespace, stable) else {
        let why = format!("error retrieving stableIngress `{stable}` from cache: ingress.networking.k8s.io \"{stable}\" not found");
        return Err(Trouble::Failed(why));
    };
    let wanted = canary_ingress(pass, &ingress, name, weight)?;
    let Some(known) = pass.cx.get(names::INGRESSES, &pass.meta.namespace, name) else {
        pass.event("CreatingCanaryIngress", &format!("Creating canary ingress `{name}` with weight `{weight}`"));
        pass.cx.create(names::INGRESSES, wanted)?;
        return Ok(());
    };
    if known["metadata"]["ownerReferences"][0]["uid"] != pass.meta.uid.as_str() {
        return Err(Trouble::Failed(format!("canary ingress `{name}` controlled by different object")));
    }
    // Annotations of others stay.
    let mut annotations = known["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    annotations.extend(wanted["metadata"]["annotations"].as_object().cloned().unwrap_or_default());
    if known["metadata"]["annotations"] == Value::Object(annotations.clone()) && known["spec"] == wanted["spec"] {
        return Ok(());
    }
    pass.event("PatchingCanaryIngress", &format!("Updating Ingress `{name}` to desiredWeight '{weight}'"));
    let mut next = known;
    next["metadata"]["annotations"] = annotations.into();
    next["spec"] = wanted["spec"].clone();
    pass.cx.update(names::INGRESSES, next)?;
    Ok(())
}

/// The stable Ingress's rules that lead to the stable Service, leading to the canary Service.
fn canary_ingress(pass: &Pass<'_, '_>, stable: &Value, name: &str, weight: i64) -> Outcome<Value> {
    let canary = pass.spec.canary().cloned().unwrap_or_default();
    let mut rules: Vec<Value> = stable["spec"]["rules"].as_array().cloned().unwrap_or_default();
    rules.retain_mut(|rule| redirect(rule, &canary.stable_service, &canary.canary_service));
    if rules.is_empty() {
        let (ingress, service) = (stable["metadata"]["name"].as_str().unwrap_or_default(), &canary.stable_service);
        return Err(Trouble::Failed(format!("ingress `{ingress}` has no rules using service {service} backend")));
    }
    let mut spec = json!({"rules": rules});
    for field in ["tls", "ingressClassName"] {
        if !stable["spec"][field].is_null() {
            spec[field] = stable["spec"][field].clone();
        }
    }
    Ok(json!({
        "metadata": {
            "name": name, "namespace": pass.meta.namespace, "annotations": annotations(pass, stable, weight),
            "ownerReferences": [pass.owner()],
        },
        "spec": spec,
    }))
}

/// Whether the rule leads to one Service, if so now to the other.
fn redirect(rule: &mut Value, from: &str, to: &str) -> bool {
    let mut found = false;
    for path in rule["http"]["paths"].as_array_mut().into_iter().flatten() {
        let service = &mut path["backend"]["service"];
        if service["name"] == from {
            service["name"] = to.into();
            found = true;
        }
    }
    found
}

fn annotations(pass: &Pass<'_, '_>, stable: &Value, weight: i64) -> Map<String, Value> {
    let nginx = pass.spec.router().and_then(|routing| routing.nginx.clone()).unwrap_or_default();
    let prefix = if nginx.annotation_prefix.is_empty() { "nginx.ingress.kubernetes.io" } else { &nginx.annotation_prefix };
    let mut annotations = Map::new();
    let class = &stable["metadata"]["annotations"]["kubernetes.io/ingress.class"];
    if class.is_string() {
        annotations.insert("kubernetes.io/ingress.class".into(), class.clone());
    }
    for (key, value) in nginx.additional_ingress_annotations {
        let key = if key.starts_with(prefix) { key } else { format!("{prefix}/{key}") };
        annotations.insert(key, value.into());
    }
    annotations.extend(nginx.canary_ingress_annotations.into_iter().map(|(key, value)| (key, value.into())));
    annotations.insert(format!("{prefix}/canary"), "true".into());
    annotations.insert(format!("{prefix}/canary-weight"), weight.to_string().into());
    if let Some(total) = pass.spec.router().and_then(|routing| routing.max_traffic_weight) {
        annotations.insert(format!("{prefix}/canary-weight-total"), total.to_string().into());
    }
    annotations
}
