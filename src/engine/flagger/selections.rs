//! What to watch while a Canary is open.

use super::facts::Facts;
use crate::object::{Selection, kinds};

/// Label keys that Flagger looks for in the target's selector, in its order; the primary's value gets a suffix.
const LABELS: [&str; 3] = ["app", "name", "app.kubernetes.io/name"];

pub fn selections(f: &Facts<'_>) -> Vec<Selection> {
    let namespace = &*f.root.meta.namespace;
    let mut all = vec![Selection::events(f.root)];
    if f.is_deployment() && !f.target_name().is_empty() {
        let target = f.target_name();
        all.extend(
            [target.to_owned(), format!("{target}-primary")].iter().map(|name| Selection::named(&kinds::DEPLOYMENT, namespace, name)),
        );
        all.extend(
            [&kinds::REPLICA_SET, &kinds::POD].map(|kind| Selection { optional: true, ..Selection::labelled(kind, namespace, labels(f)) }),
        );
    }
    all.extend(f.services().iter().map(|name| Selection::named(&kinds::SERVICE, namespace, name)));
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
