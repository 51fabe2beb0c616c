//! Routes that somebody else moves are none of ours: not shown as such, and never written.

use rolltop::{
    engine::{ENGINES, survey},
    intent::Intent,
    model::{EngineKind, Severity},
};
use serde_json::{Value, json};

use super::kit::{Scene, said, scene, weight};

fn argo(namespace: &str, routing: &Value, services: bool) -> Value {
    let mut canary = json!({"trafficRouting": routing, "steps": [{"setWeight": 10}]});
    if services {
        canary["canaryService"] = "web-canary".into();
        canary["stableService"] = "web-stable".into();
    }
    json!({"kind": "Rollout", "metadata": {"namespace": namespace, "name": "shop-web", "uid": "uid of a rollout", "generation": 1},
        "spec": {"strategy": {"canary": canary}}})
}

fn kinds(scene: &Scene) -> Vec<EngineKind> {
    survey::survey(ENGINES, "shop", &scene.objects()).rollouts.into_values().collect()
}

#[test]
fn one_release_is_one_row() {
    assert_eq!(kinds(&scene("httproute")), [EngineKind::Split], "neither a Deployment nor a Service beside it");
    assert_eq!(kinds(&scene("virtualservice-subsets")), [EngineKind::Split]);
    assert_eq!(kinds(&scene("nginx")), [EngineKind::Split]);
}

#[test]
fn a_route_of_an_argo_rollout_is_argos() {
    let by_name = json!({"istio": {"virtualService": {"name": "web"}}});
    let by_plugin = json!({"plugins": {"argoproj-labs/gatewayAPI": {"httpRoute": "web", "namespace": "shop"}}});
    for (route, rollout) in [
        ("virtualservice-hosts", argo("shop", &by_name, false)),
        ("httproute", argo("shop", &by_plugin, false)),
        ("traefikservice", argo("shop", &json!({"traefik": {"weightedTraefikServiceName": "web"}}), false)),
        ("trafficsplit", argo("shop", &json!({"smi": {}}), true)),
        ("alb", argo("shop", &json!({"alb": {"ingress": "web", "servicePort": 80}}), false)),
    ] {
        let scene = scene(route).plus(rollout);
        assert_eq!(scene.parts(), None, "{route}");
        assert_eq!(scene.refused(&weight(20)), "Argo Rollout shop/shop-web moves the weights of this route", "{route}");
        assert!(!kinds(&scene).contains(&EngineKind::Split), "{route}");
    }
    // From another namespace only the name with its namespace counts; the survey of this one does not look that far.
    let far = scene("virtualservice-hosts").plus(argo("elsewhere", &json!({"istio": {"virtualService": {"name": "shop/web"}}}), true));
    assert_eq!(far.refused(&Intent::Abort), "Argo Rollout elsewhere/shop-web moves the weights of this route");
    let unrelated = scene("virtualservice-hosts").plus(argo("elsewhere", &by_name, true));
    assert!(unrelated.plan(&Intent::Abort).is_ok() && unrelated.parts().is_some());
}

#[test]
fn a_route_of_a_flagger_canary_is_flaggers() {
    let canary = |spec: Value| json!({"kind": "Canary", "metadata": {"namespace": "shop", "name": "release", "uid": "uid of a canary", "generation": 1}, "spec": spec});
    let target = |name: &str| canary(json!({"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}}));
    let claimed = |scene: Scene| (scene.parts(), scene.refused(&weight(20)));
    let refused = (None, "Flagger Canary release moves the weights of this route".to_owned());
    assert_eq!(claimed(scene("httproute").plus(target("web"))), refused);
    let ingress = canary(json!({"targetRef": {"kind": "Deployment", "name": "other"}, "ingressRef": {"kind": "Ingress", "name": "web"}}));
    assert_eq!(claimed(scene("nginx").plus(ingress)), refused);
    assert!(scene("httproute").plus(target("other")).parts().is_some());
}

#[test]
fn what_a_controller_owns_or_has_written() {
    let owned = scene("httproute").route(|r| {
        r["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "name": "llm", "uid": "u", "controller": true}]);
    });
    assert_eq!(owned.parts(), None);
    assert_eq!(owned.refused(&Intent::Abort), "InferenceService llm moves the weights of this route");
    let written = scene("virtualservice-hosts").route(|r| {
        r["metadata"]["managedFields"] = json!([{"manager": "rollouts-controller", "operation": "Update", "time": "2026-11-21T04:10:00Z"}]);
    });
    let plan = written.plan(&weight(20)).unwrap();
    let words = "Argo Rollouts wrote this route at 2026-11-21 04:10:00 UTC: if it still runs, it undoes this or takes it for progress";
    assert_eq!(said(&plan.warnings, Severity::Danger), [words], "a person must override it");
}

/// A VirtualService may be listed before the Rollout that moves it: what stands behind it is no workload of ours.
#[test]
fn a_route_that_comes_before_what_drives_it_is_not_taken_for_ours() {
    let early = scene("virtualservice-hosts").without("Deployment", "web-stable").without("Deployment", "web-canary");
    assert_eq!(early.parts(), None);
}
