//! What to watch while a Rollout is open.

use super::facts::{Facts, HASH_LABEL};
use crate::{
    engine::{Part, workload::selector},
    object::{Resource, Selection, kinds},
};

pub fn selections(f: &Facts<'_>) -> Vec<Selection> {
    let mut all = vec![
        by_labels(f, &kinds::REPLICA_SET),
        by_labels(f, &kinds::POD),
        // Runs and Experiments need not carry the Rollout's labels: owners sort them out.
        Selection::all(&kinds::ANALYSIS_RUN, namespace(f)),
        Selection::all(&kinds::EXPERIMENT, namespace(f)),
        Selection::events(f.root),
    ];
    all.extend(services(f).into_iter().map(|name| Selection::named(&kinds::SERVICE, namespace(f), &name)));
    all.extend(f.with_split(|router, split| (router.selections)(split)).unwrap_or_default());
    if let (Some((kind, _)), Some(reference)) = (f.workload(), &f.ro.spec.workload_ref) {
        all.push(Selection::named(kind, namespace(f), &reference.name));
    }
    all
}

/// What belongs to the Rollout by name: its Services, its routes, and the workload that holds its template.
pub fn parts(f: &Facts<'_>) -> Vec<Part> {
    let named = |s: Selection| Some(Part { resource: s.resource, name: s.name()?.into() });
    selections(f).into_iter().filter(|s| *s.namespace == *f.root.meta.namespace).filter_map(named).collect()
}

fn namespace<'a>(f: &Facts<'a>) -> &'a str {
    &f.root.meta.namespace
}

/// ReplicaSets and pods of the Rollout; the hash label keeps those of a workloadRef's Deployment out.
fn by_labels(f: &Facts<'_>, resource: &'static Resource) -> Selection {
    let mut terms = selector_terms(f);
    terms.push(HASH_LABEL.into());
    Selection::labelled(resource, namespace(f), terms.join(","))
}

/// A workloadRef Rollout may have no selector of its own; the status has one, with a hash for blue-green.
fn selector_terms(f: &Facts<'_>) -> Vec<String> {
    let mut terms = selector::terms(&f.ro.spec.selector);
    if terms.is_empty() {
        let told = f.ro.status.selector.split(',').filter(|t| !t.is_empty() && !t.starts_with(HASH_LABEL));
        terms.extend(told.map(str::to_owned));
    }
    terms
}

fn services(f: &Facts<'_>) -> Vec<String> {
    let (canary, stable) = f.services();
    let blue_green = f.blue_green().map(|b| [b.active_service.clone(), b.preview_service.clone()]).unwrap_or_default();
    [canary, stable].into_iter().chain(blue_green).filter(|n| !n.is_empty()).collect()
}
