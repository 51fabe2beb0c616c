//! Controllers and people, told apart by what they have written: an armed guard ends when a person acts.
//!
//! The Service was steered by a real Knative controller on a real API server, with kubectl; KServe's writes, as its source
//! makes them, were replayed on that server.

use rolltop::{
    cluster::decode,
    engine::{self, Engine, flagger::FLAGGER, knative::KNATIVE, kruise::KRUISE, kserve::KSERVE},
    guard::people,
    model::{EngineKind, Rollout, Text, Writer},
    object::Objects,
};
use serde_json::Value;

fn rollout(engine: &dyn Engine, name: &str) -> Rollout {
    let all: Value = serde_json::from_str(include_str!("../fixtures/managers/knative-kserve.json")).unwrap();
    let root = decode::object(engine.descriptor().roots[0], all[name].to_string().as_bytes()).unwrap();
    engine.normalise("test", &root, &Objects::default())
}

/// Managers of those who count as people, with the subresource they wrote to.
fn seen(rollout: &Rollout) -> Vec<(&str, Option<&str>)> {
    let mut all: Vec<_> = people(rollout).map(|w| (&*w.manager, w.subresource.as_deref())).collect();
    all.sort_unstable();
    all
}

#[test]
fn a_controller_that_keeps_its_books_is_nobody() {
    let web = rollout(&KNATIVE, "split by a person");
    assert!(web.writers.iter().any(|w| &*w.manager == "controller"), "{:?}", web.writers);
    assert_eq!(seen(&web), [("kubectl-client-side-apply", None), ("kubectl-patch", None)]);
    let iris = rollout(&KSERVE, "kserve's own writes");
    assert_eq!(iris.writers.iter().filter(|w| &*w.manager == "manager").count(), 2, "status and finalizers");
    assert_eq!(seen(&iris), [("kubectl-client-side-apply", None)]);
}

#[test]
fn the_same_name_on_what_people_write_is_a_person() {
    let web = rollout(&KNATIVE, "split by a program called controller");
    assert_eq!(seen(&web), [("controller", None), ("kubectl-client-side-apply", None), ("kubectl-patch", None)]);
    let iris = rollout(&KSERVE, "split by a program called manager");
    assert_eq!(seen(&iris), [("kubectl-client-side-apply", None), ("manager", None)]);
}

fn writer(manager: &str, books: bool) -> Writer {
    Writer { manager: Text::clean(manager), at: None, subresource: None, books }
}

#[test]
fn a_name_any_program_has_counts_for_the_engine_whose_controller_has_it() {
    let is = |engine: &dyn Engine, manager: &str, books| engine::is_controller(engine.kind(), &writer(manager, books));
    assert!(is(&KNATIVE, "controller", true) && is(&KSERVE, "manager", true) && is(&KRUISE, "manager", true));
    assert!(!is(&KNATIVE, "manager", true) && !is(&KSERVE, "controller", true) && !is(&FLAGGER, "manager", true));
    assert!(!is(&KNATIVE, "my-controller", true), "the whole name, not a part of it");
    for name in ["rollouts-controller", "kube-controller-manager", "flagger", "kruise-rollouts"] {
        assert!(is(&KNATIVE, name, false), "{name}: nobody else is called so");
    }
    for name in ["kubectl-argo-rollouts", "kubectl-edit", "rolltop", "argocd-controller", "helm"] {
        assert!(!engine::ENGINES.iter().any(|e| is(*e, name, e.kind() != EngineKind::Split)), "{name}");
    }
    assert!(engine::of(EngineKind::Knative).is_some());
}

/// A gateway's controller says in the status that it has taken the weights over, by whatever name; it decides nothing.
#[test]
fn on_a_route_whoever_writes_the_status_alone_is_nobody() {
    for name in ["istiod", "envoy-gateway", "GatewayController", "manager"] {
        assert!(engine::is_controller(EngineKind::Split, &writer(name, true)), "{name}");
        assert!(!engine::is_controller(EngineKind::Split, &writer(name, false)), "{name} with the weights in its hand");
        assert!(!engine::is_controller(EngineKind::Argo, &writer(name, true)), "an abort is written into the status");
    }
    assert!(!engine::is_controller(EngineKind::Split, &writer("kubectl-edit", true)));
}
