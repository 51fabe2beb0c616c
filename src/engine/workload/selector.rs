//! Label selectors as the API server's query parameter says them.

use super::dto::{Requirement, Selector};

/// One term for each label and each expression that is known.
pub fn terms(selector: &Selector) -> Vec<String> {
    let labels = selector.match_labels.0.iter().map(|(k, v)| format!("{k}={v}"));
    labels.chain(selector.match_expressions.iter().filter_map(expression)).collect()
}

fn expression(r: &Requirement) -> Option<String> {
    match r.operator.as_str() {
        "In" => Some(format!("{} in ({})", r.key, r.values.join(","))),
        "NotIn" => Some(format!("{} notin ({})", r.key, r.values.join(","))),
        "Exists" => Some(r.key.clone()),
        "DoesNotExist" => Some(format!("!{}", r.key)),
        _ => None,
    }
}
