//! Marks that GitOps tools leave on what they own.

use super::dto::Metadata;
use crate::{
    model::Owner,
    object::{Meta, Object},
};

const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";

/// Labels that name an owner, and the kind of owner they name.
const LABELS: [(&str, &str); 3] = [
    ("argocd.argoproj.io/instance", "argocd"),
    ("kustomize.toolkit.fluxcd.io/name", "flux-kustomize"),
    ("helm.toolkit.fluxcd.io/name", "flux-helm"),
];

/// Helm sets it as well: it names an Argo CD application only if Argo CD has written the object.
const AMBIGUOUS: &str = "app.kubernetes.io/instance";

pub fn owner(object: &Object, metadata: &Metadata) -> Option<Owner> {
    if let Some(app) = tracked(object, metadata.annotation(TRACKING_ID)) {
        return Some(Owner { kind: "argocd", name: app.into(), namespace: None });
    }
    let by_label = LABELS.iter().find(|(key, _)| !metadata.label(key).is_empty());
    if let Some((key, kind)) = by_label {
        let namespace = key.strip_suffix("/name").map(|group| metadata.label(&format!("{group}/namespace")));
        let namespace = namespace.filter(|name| !name.is_empty()).map(Into::into);
        return Some(Owner { kind, name: metadata.label(key).into(), namespace });
    }
    let app = metadata.label(AMBIGUOUS);
    (!app.is_empty() && written_by_argocd(&object.meta)).then(|| Owner { kind: "argocd", name: app.into(), namespace: None })
}

/// `<app>:<group>/<Kind>:<namespace>/<name>`; one that names another object came along with a copy.
fn tracked<'a>(object: &Object, id: &'a str) -> Option<&'a str> {
    let (app, rest) = id.split_once(':')?;
    let own = format!("{}/{}:{}/{}", object.resource.group, object.resource.kind, object.meta.namespace, object.meta.name);
    (rest == own && !app.is_empty()).then_some(app)
}

fn written_by_argocd(meta: &Meta) -> bool {
    meta.writers.iter().any(|w| w.manager.starts_with("argocd"))
}

/// How people call it: `Argo CD app "shop"`.
pub fn spoken(owner: &Owner) -> String {
    match owner.kind {
        "argocd" => format!("Argo CD app \"{}\"", owner.name),
        "flux-kustomize" => format!("Flux Kustomization \"{}\"", owner.name),
        _ => format!("Flux HelmRelease \"{}\"", owner.name),
    }
}
