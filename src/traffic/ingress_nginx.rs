//! ingress-nginx: a second Ingress with canary annotations.

use serde_json::Value;

use super::{Router, Split, number, share, texts};
use crate::object::{Objects, Selection, kinds};

pub static ROUTER: Router = Router { key: "nginx", selections, canary_share };

/// Key under which an engine names the canary Ingresses themselves.
pub const NAMED: &str = "rolltop/canaryIngresses";

/// Longest name of an object; Argo cuts generated names there.
const LONGEST_NAME: usize = 253;

/// Ingresses of the stable side as the Rollout names them.
pub fn stable_ingresses(config: &Value) -> Vec<String> {
    let mut names = texts(config.get("stableIngress"));
    names.extend(texts(config.get("stableIngresses")));
    names.retain(|n| !n.is_empty());
    names
}

/// The Ingress that Argo generates next to each stable one.
pub fn canary_ingress(rollout: &str, stable: &str) -> String {
    format!("{rollout}-{stable}-canary").chars().take(LONGEST_NAME).collect()
}

/// All canary Ingresses of a release: those named outright (Flagger's rule is another one), or Argo's names.
fn canary_ingresses(split: &Split<'_>) -> Vec<String> {
    let named = texts(split.config.get(NAMED));
    if !named.is_empty() {
        return named;
    }
    stable_ingresses(split.config).iter().map(|stable| canary_ingress(split.rollout, stable)).collect()
}

fn selections(split: &Split<'_>) -> Vec<Selection> {
    let one = |name: String| Selection {
        resource: &kinds::INGRESS,
        namespace: split.namespace.into(),
        labels: None,
        fields: Some(format!("metadata.name={name}")),
        optional: true,
    };
    canary_ingresses(split).into_iter().map(one).collect()
}

fn canary_share(split: &Split<'_>, objects: &Objects) -> Option<f64> {
    let prefix = split.config.get("annotationPrefix").and_then(Value::as_str).unwrap_or("nginx.ingress.kubernetes.io");
    canary_ingresses(split)
        .iter()
        .filter_map(|name| {
            let ingress = objects.named(&kinds::INGRESS, split.namespace, name)?;
            share_of(&ingress.value(), prefix)
        })
        .reduce(f64::max)
}

/// A canary Ingress without `canary: "true"`, or without a weight, gets no weighted request.
fn share_of(ingress: &Value, prefix: &str) -> Option<f64> {
    let annotations = ingress.pointer("/metadata/annotations");
    let read = |key: &str| annotations.and_then(|a| a.get(format!("{prefix}/{key}")));
    if read("canary").and_then(Value::as_str) != Some("true") {
        return Some(0.0);
    }
    let Some(weight) = read("canary-weight") else { return Some(0.0) };
    // The balancer honours a total above 100 only.
    let total = read("canary-weight-total").and_then(number).unwrap_or(100.0).max(100.0);
    share(number(weight)?, total)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ingress(annotations: Value) -> Value {
        json!({"metadata": {"annotations": annotations}})
    }

    #[test]
    fn weights_are_text_and_relative_to_a_total() {
        let cases = [
            (json!({"p/canary": "true", "p/canary-weight": "25"}), Some(0.25)),
            (json!({"p/canary": "true", "p/canary-weight": "250", "p/canary-weight-total": "1000"}), Some(0.25)),
            (json!({"p/canary": "true", "p/canary-weight": "25", "p/canary-weight-total": "50"}), Some(0.25)),
            (json!({"p/canary": "false", "p/canary-weight": "25"}), Some(0.0)),
            (json!({"p/canary": "true"}), Some(0.0)),
            (json!({"p/canary": "true", "p/canary-weight": "much"}), None),
            (json!({"q/canary": "true", "q/canary-weight": "25"}), Some(0.0)),
        ];
        for (annotations, wanted) in cases {
            assert_eq!(share_of(&ingress(annotations.clone()), "p"), wanted, "{annotations}");
        }
    }
}
