//! Gateway API: weights of the `backendRefs` of an HTTPRoute.

use serde_json::Value;

use super::{Router, Split, number, share};
use crate::object::{Objects, Selection, kinds};

pub static ROUTER: Router = Router { key: "httproute", selections, canary_share };

fn name<'a>(split: &Split<'a>) -> Option<&'a str> {
    split.config.get("httpRoute").and_then(Value::as_str).filter(|name| !name.is_empty())
}

fn selections(split: &Split<'_>) -> Vec<Selection> {
    let one = |name: &str| Selection {
        resource: &kinds::HTTP_ROUTE,
        namespace: split.namespace.into(),
        labels: None,
        fields: Some(format!("metadata.name={name}")),
        optional: true,
    };
    name(split).into_iter().map(one).collect()
}

fn canary_share(split: &Split<'_>, objects: &Objects) -> Option<f64> {
    let route = objects.named(&kinds::HTTP_ROUTE, split.namespace, name(split)?)?.value();
    let rules = route.pointer("/spec/rules")?.as_array()?;
    rules.iter().filter_map(|rule| rule_share(rule, split)).reduce(f64::max)
}

/// Only rules that know both sides split anything; an absent weight is 1.
fn rule_share(rule: &Value, split: &Split<'_>) -> Option<f64> {
    let refs = rule.get("backendRefs")?.as_array()?;
    let weight = |backend: &Value| backend.get("weight").map_or(Some(1.0), number).unwrap_or(0.0).max(0.0);
    let of = |service: &str| {
        let found: Vec<f64> = refs.iter().filter(|b| b.get("name").and_then(Value::as_str) == Some(service)).map(weight).collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>())
    };
    let canary = of(split.canary_service)?;
    of(split.stable_service)?;
    share(canary, refs.iter().map(weight).sum())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn weights_are_relative_and_default_to_one() {
        let config = Value::Null;
        let split =
            Split { namespace: "shop", rollout: "web", config: &config, canary_service: "c", stable_service: "s", managed_routes: &[] };
        let cases = [
            (json!({"backendRefs": [{"name": "s", "weight": 3}, {"name": "c", "weight": 1}]}), Some(0.25)),
            (json!({"backendRefs": [{"name": "s"}, {"name": "c"}]}), Some(0.5)),
            (json!({"backendRefs": [{"name": "s", "weight": 0}, {"name": "c", "weight": 0}]}), None),
            (json!({"backendRefs": [{"name": "s"}]}), None),
        ];
        for (rule, wanted) in cases {
            assert_eq!(rule_share(&rule, &split), wanted, "{rule}");
        }
    }
}
