//! Routes that somebody else moves: a controller's, by owner, by name, or by who wrote them.
//!
//! A weight set by hand under a controller is at best undone, at worst taken for progress.

use serde_json::Value;

use super::facts::Facts;
use crate::{
    model::Time,
    object::{Object, kinds},
};

/// How far to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// The route's own namespace: cheap enough for every route of a fleet.
    Namespace,
    /// A Rollout may name a route of another namespace.
    Everywhere,
}

/// Who moves the weights of this route, in words.
pub fn claim(f: &Facts<'_>, place: Where) -> Option<String> {
    let owner = f.root.meta.owner.as_ref().map(|o| format!("{} {}", o.kind, o.name));
    owner.or_else(|| argo(f, place)).or_else(|| flagger(f))
}

fn argo(f: &Facts<'_>, place: Where) -> Option<String> {
    let own = &f.root.meta.namespace;
    let near = f.objects.within(&kinds::ROLLOUT, own);
    let far = f.objects.iter(&kinds::ROLLOUT).filter(|r| place == Where::Everywhere && r.meta.namespace != *own);
    let found = near.chain(far).find(|rollout| names(f, rollout))?;
    Some(format!("Argo Rollout {}/{}", found.meta.namespace, found.meta.name))
}

/// Whether a Rollout names the route as its router, or one of the backends as its Service.
fn names(f: &Facts<'_>, rollout: &Object) -> bool {
    let mentions = |name: &str| !name.is_empty() && rollout.text().contains(name);
    let own = rollout.meta.namespace == f.root.meta.namespace;
    let likely = mentions(&f.root.meta.name) || own && f.sides().any(|s| mentions(&s.target.service));
    if !likely {
        return false;
    }
    let read = rollout.value();
    let Some(canary) = read.pointer("/spec/strategy/canary") else { return false };
    let full = format!("{}/{}", f.root.meta.namespace, f.root.meta.name);
    let routed = canary.get("trafficRouting").is_some_and(|routing| has_text(routing, &|t| t == full || own && t == &*f.root.meta.name));
    let service =
        |path: &str| canary.pointer(path).and_then(Value::as_str).is_some_and(|name| own && f.sides().any(|s| s.target.service == name));
    routed || ["/canaryService", "/stableService", "/pingPong/pingService", "/pingPong/pongService"].iter().any(|path| service(path))
}

fn has_text(value: &Value, is: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => is(text),
        Value::Array(items) => items.iter().any(|v| has_text(v, is)),
        Value::Object(members) => members.values().any(|v| has_text(v, is)),
        _ => false,
    }
}

/// Flagger's own names: the apex, `-primary` and `-canary`.
fn flagger(f: &Facts<'_>) -> Option<String> {
    let claims = |canary: &Object| {
        let read = canary.value();
        let text = |path: &str| read.pointer(path).and_then(Value::as_str).filter(|t| !t.is_empty());
        let apex = text("/spec/service/name").or_else(|| text("/spec/targetRef/name")).unwrap_or("");
        let services = [apex.to_owned(), format!("{apex}-primary"), format!("{apex}-canary")];
        let ingress = text("/spec/ingressRef/name")
            .is_some_and(|name| [name.to_owned(), format!("{name}-canary")].contains(&f.root.meta.name.to_string()));
        ingress || f.sides().any(|s| s.target.elsewhere.is_none() && services.contains(&s.target.service))
    };
    let found = f.objects.within(&kinds::CANARY, &f.root.meta.namespace).find(|canary| claims(canary))?;
    Some(format!("Flagger Canary {}", found.meta.name))
}

/// Field managers of controllers that move weights, and what they are called.
const CONTROLLERS: [(&str, &str); 4] = [
    ("rollouts-controller", "Argo Rollouts"),
    ("argo-rollouts", "Argo Rollouts"),
    ("flagger", "Flagger"),
    ("kruise-rollout", "OpenKruise"),
];

/// A controller that has written this route and of which nothing else is seen: it may be in another cluster, or gone.
pub fn writer(object: &Object) -> Option<(&'static str, Option<Time>)> {
    object.meta.writers.iter().find_map(|w| {
        let (_, name) = CONTROLLERS.iter().find(|(manager, _)| w.manager.starts_with(manager))?;
        Some((*name, w.at))
    })
}
