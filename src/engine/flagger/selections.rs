//! What to watch while a Canary is open.

use super::facts::Facts;
use crate::object::{Resource, Selection, kinds};

/// Label keys that Flagger looks for in the target's selector, in its order; the primary's value gets a suffix.
const LABELS: [&str; 3] = ["app", "name", "app.kubernetes.io/name"];

pub fn selections(f: &Facts<'_>) -> Vec<Selection> {
    let mut all = vec![plain(f, &kinds::EVENT, Some(format!("involvedObject.uid={}", f.root.meta.uid)))];
    if f.is_deployment() && !f.target_name().is_empty() {
        let target = f.target_name();
        all.extend([target.to_owned(), format!("{target}-primary")].iter().map(|name| named(f, &kinds::DEPLOYMENT, name)));
        all.extend([&kinds::REPLICA_SET, &kinds::POD].map(|kind| Selection { labels: Some(labels(f)), ..plain(f, kind, None) }));
    }
    all.extend(f.services().iter().map(|name| named(f, &kinds::SERVICE, name)));
    all.extend(f.with_splits(|router, split| (router.selections)(split)).into_iter().flatten());
    all
}

/// Pods of both sides. Without the target at hand its usual label must do.
fn labels(f: &Facts<'_>) -> String {
    let selector = f.target.as_ref().map(|t| &t.dto.spec.selector.match_labels);
    let told = selector.and_then(|s| LABELS.iter().find_map(|key| Some((*key, s.0.get(*key)?.as_str()))));
    let (key, value) = told.unwrap_or((LABELS[0], f.target_name()));
    format!("{key} in ({value},{value}-primary)")
}

fn plain(f: &Facts<'_>, resource: &'static Resource, fields: Option<String>) -> Selection {
    Selection { resource, namespace: f.root.meta.namespace.to_string(), labels: None, fields, optional: true }
}

fn named(f: &Facts<'_>, resource: &'static Resource, name: &str) -> Selection {
    plain(f, resource, Some(format!("metadata.name={name}")))
}
