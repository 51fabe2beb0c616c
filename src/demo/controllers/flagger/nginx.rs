//! ingress-nginx: a second Ingress beside the one the Canary names, with annotations that say who goes to the canary.

use serde_json::{Map, Value, json};

use super::{
    names::{HANDS_OFF, INGRESSES},
    router::Weights,
    spec::TOTAL,
    tick::Tick,
};
use crate::demo::controllers::objects::same;

const PREFIX: &str = "nginx.ingress.kubernetes.io";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn annotation(name: &str) -> String {
    format!("{PREFIX}/{name}")
}

fn stable(tick: &Tick<'_, '_>) -> String {
    tick.spec.ingress_ref.as_ref().map(|ingress| ingress.name.clone()).unwrap_or_default()
}

fn canary(tick: &Tick<'_, '_>) -> Result<Value, String> {
    let name = format!("{}-canary", stable(tick));
    tick.get(INGRESSES, &name).ok_or_else(|| tick.missing("ingress", INGRESSES, &name))
}

pub fn reconcile(tick: &mut Tick<'_, '_>) -> Result<(), String> {
    let name = stable(tick);
    if name.is_empty() {
        return Err("ingress selector is empty".into());
    }
    let namespace = tick.key.namespace.clone();
    let mut ingress = tick.get(INGRESSES, &name).ok_or_else(|| tick.missing("ingress", INGRESSES, &name))?;
    let [apex, _, other] = tick.spec.services();
    if !redirect(&mut ingress["spec"], &apex, &other) {
        return Err(format!("backend {apex} not found in ingress {name}"));
    }
    let generated = format!("{name}-canary");
    let Some(mut known) = tick.get(INGRESSES, &generated) else {
        let object = json!({
            "metadata": {
                "name": generated, "namespace": *namespace, "labels": ingress["metadata"]["labels"],
                "annotations": idle(&ingress["metadata"]["annotations"]), "ownerReferences": [tick.owner()],
            },
            "spec": ingress["spec"],
        });
        let told = |why: String| format!("ingress {generated}.{namespace} create error: {why}");
        return tick.cx.create(INGRESSES, object).map(drop).map_err(|refusal| told(refusal.message));
    };
    if same(&known["spec"], &ingress["spec"]) {
        return Ok(());
    }
    known["spec"] = ingress["spec"].clone();
    let told = |why: String| format!("ingress {generated}.{namespace} update error: {why}");
    tick.cx.update(INGRESSES, known).map(drop).map_err(|refusal| told(refusal.message))
}

/// What leads to one Service leads to the other; whether there was any.
fn redirect(spec: &mut Value, from: &str, to: &str) -> bool {
    let mut found = false;
    for rule in spec["rules"].as_array_mut().into_iter().flatten() {
        for path in rule.pointer_mut("/http/paths").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(name) = path.pointer_mut("/backend/service/name").filter(|name| **name == *from) {
                *name = to.into();
                found = true;
            }
        }
    }
    found
}

/// Annotations of an Ingress to which nobody is sent.
fn idle(annotations: &Value) -> Map<String, Value> {
    let mut kept = annotations.as_object().cloned().unwrap_or_default();
    kept.retain(|key, _| !key.contains(&annotation("canary")) && !key.contains(LAST_APPLIED));
    kept.extend(HANDS_OFF.map(|(key, value)| (key.to_owned(), value.into())));
    kept.insert(annotation("canary"), "true".into());
    kept.insert(annotation("canary-weight"), "0".into());
    kept
}

pub fn weights(tick: &Tick<'_, '_>) -> Result<Weights, String> {
    let ingress = canary(tick)?;
    let annotations = &ingress["metadata"]["annotations"];
    let by_request = ["canary-by-cookie", "canary-by-header"].iter().any(|name| !annotations[annotation(name)].is_null());
    if !tick.analysis.matches.is_empty() && by_request {
        return Ok(Weights::AWAY);
    }
    let text = annotations[annotation("canary-weight")].as_str().unwrap_or("0");
    let wrong = |_| format!("failed to convert {text} to int: strconv.Atoi: parsing {text:?}: invalid syntax");
    let canary: i64 = text.parse().map_err(wrong)?;
    Ok(Weights { primary: TOTAL - canary, canary })
}

pub fn set_weights(tick: &mut Tick<'_, '_>, weights: Weights) -> Result<(), String> {
    let mut ingress = canary(tick)?;
    let mut annotations = ingress["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    if tick.analysis.matches.is_empty() {
        annotations.insert(annotation("canary-weight"), weights.canary.to_string().into());
    } else {
        annotations.extend(by_request(&tick.analysis.matches));
    }
    let annotations = if weights.canary > 0 {
        annotations.insert(annotation("canary"), "true".into());
        annotations
    } else {
        idle(&annotations.into())
    };
    ingress["metadata"]["annotations"] = annotations.into();
    let done = tick.cx.update(INGRESSES, ingress).map(drop);
    let told = |why: String| format!("ingress {}-canary.{} update error {why}", stable(tick), tick.key.namespace);
    done.map_err(|refusal| told(refusal.message))
}

/// Who is sent by what the request carries: of several conditions the last one counts.
fn by_request(matches: &[Value]) -> Map<String, Value> {
    let mut all = Map::new();
    for (header, is) in matches.iter().filter_map(|found| found["headers"].as_object()).flatten() {
        let mut put = |name: &str, value: &Value| {
            if value.as_str().is_some_and(|value| !value.is_empty()) {
                all.insert(annotation(name), value.clone());
            }
        };
        if header == "cookie" {
            put("canary-by-cookie", &is["exact"]);
        } else {
            put("canary-by-header", &header.as_str().into());
            put("canary-by-header-value", &is["exact"]);
            put("canary-by-header-pattern", &is["regex"]);
        }
    }
    all
}
