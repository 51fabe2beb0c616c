//! Paths nobody recorded, as the source of the real one goes them.

use serde_json::{Value, json};

use super::kit::{Play, hook, ingress};
use crate::demo::{
    controllers::{flagger::names, harness},
    registry::{self, Write},
    store::Key,
    workloads::Fate,
};

const CANARY: &str = "nginx.ingress.kubernetes.io/canary-weight";

fn nginx(analysis: Value) -> Value {
    json!({"provider": "nginx", "ingressRef": {"name": "x"}, "analysis": analysis})
}

fn with_ingress(canary: Value) -> Play {
    let mut play = Play::with(canary);
    play.create(ingress("x"));
    play.initialize();
    play.release("v2");
    play.ticks(1);
    play
}

fn weight(play: &Play) -> String {
    play.get(names::INGRESSES, "x-canary")["metadata"]["annotations"][CANARY].as_str().unwrap_or_default().to_owned()
}

/// Weights of the primary and of the canary at the HTTPRoute.
fn shares(play: &Play) -> [i64; 2] {
    let backends = &play.get(names::HTTP_ROUTES, "x")["spec"]["rules"][0]["backendRefs"];
    [0, 1].map(|at| backends[at]["weight"].as_i64().unwrap())
}

#[test]
fn weights_follow_a_list_to_its_end() {
    let mut play = with_ingress(nginx(json!({"stepWeights": [5, 10, 50]})));
    let course: Vec<String> = (0..6)
        .map(|_| {
            play.ticks(1);
            format!("{} {} {}", play.phase(), play.status()["canaryWeight"], weight(&play))
        })
        .collect();
    let wanted = ["Progressing 5 5", "Progressing 10 10", "Progressing 50 50", "Promoting 50 50", "Finalising 0 0", "Succeeded 0 0"];
    assert_eq!(course, wanted);
    assert_eq!((play.tag("x-primary"), play.replicas("x")), ("v2".into(), 0));
    let status = play.status();
    assert_eq!(status["lastAppliedSpec"], status["lastPromotedSpec"]);
    play.ticks(3);
    assert_eq!(play.status(), status, "at rest nothing is written");
}

#[test]
fn a_weight_set_by_hand_off_the_list_leads_to_all() {
    let mut play = with_ingress(nginx(json!({"stepWeights": [5, 10, 50]})));
    play.ticks(1);
    play.patch(names::INGRESSES, "x-canary", &json!({"metadata": {"annotations": {CANARY: "7"}}}));
    play.ticks(1);
    assert_eq!(weight(&play), "100");
    play.ticks(1);
    assert_eq!(play.phase(), "Promoting");
}

#[test]
fn the_way_home_may_have_steps_too() {
    let mut play = with_ingress(nginx(json!({"stepWeight": 50, "maxWeight": 50, "stepWeightPromotion": 20})));
    play.ticks(2);
    assert_eq!(play.phase(), "Promoting");
    let course: Vec<String> = (0..4)
        .map(|_| {
            play.ticks(1);
            format!("{} {} {}", play.phase(), play.status()["canaryWeight"], weight(&play))
        })
        .collect();
    assert_eq!(course, ["Promoting 30 30", "Promoting 10 10", "Finalising 0 0", "Succeeded 0 0"]);
    assert!(play.events("x").iter().any(|event| event.ends_with("Advance x.shop primary weight 100")));
}

#[test]
fn an_ingress_without_the_service_is_an_error_that_is_told() {
    let mut play = Play::with(nginx(json!({"stepWeight": 50})));
    play.create(ingress("other"));
    play.ticks(2);
    play.said("ingress x.shop get query error: ingresses.networking.k8s.io \"x\" not found");
    play.patch_canary(&json!({"spec": {"ingressRef": {"name": "other"}}}));
    play.ticks(1);
    play.said("backend x not found in ingress other");
    assert_eq!(play.phase(), "Initializing");
}

#[test]
fn a_gateway_gets_a_route_with_both_sides() {
    let mut play = Play::with(json!({
        "provider": "gatewayapi:v1", "service": {"hosts": ["x.example.com"], "gatewayRefs": [{"name": "web", "namespace": "infra"}]},
        "analysis": {"stepWeight": 30, "maxWeight": 50},
    }));
    play.initialize();
    assert_eq!(shares(&play), [100, 0]);
    let before = play.get(names::HTTP_ROUTES, "x");
    assert_eq!(before["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/reconcile"], "disabled");
    play.ticks(2);
    assert_eq!(play.get(names::HTTP_ROUTES, "x"), before, "a right route is left alone");
    play.release("v2");
    play.ticks(2);
    assert_eq!(shares(&play), [70, 30]);
    // A weight beyond the highest one is reached, not cut.
    play.ticks(1);
    assert_eq!((shares(&play), play.status()["canaryWeight"].clone()), ([40, 60], json!(60)));
    // Anything but a weight brings the route back to its beginning.
    play.patch(names::HTTP_ROUTES, "x", &json!({"metadata": {"labels": {"mine": "yes"}}}));
    play.ticks(1);
    assert_eq!((shares(&play), play.phase()), ([70, 30], "Progressing".into()));
}

#[test]
fn a_route_that_its_gateway_has_not_taken_up_holds_the_release() {
    let mut play = Play::with(json!({
        "provider": "gatewayapi:v1", "service": {"gatewayRefs": [{"name": "web"}]}, "analysis": {"stepWeight": 30, "maxWeight": 50},
    }));
    play.initialize();
    let mut route = play.get(names::HTTP_ROUTES, "x");
    let accepted = json!({
        "type": "Accepted", "status": "False", "reason": "NoMatchingParent", "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2026-11-21T08:00:00Z",
    });
    route["status"] =
        json!({"parents": [{"controllerName": "e.x/y", "parentRef": route["spec"]["parentRefs"][0], "conditions": [accepted]}]});
    let write = Write::new(play.sim.now(), "gateway").status();
    registry::update(&mut play.sim.store, names::HTTP_ROUTES, route, write).unwrap();
    play.release("v2");
    play.ticks(1);
    play.said("HTTPRoute x.shop parent web is not ready (status: False, observed generation: 1, current generation: 1)");
}

#[test]
fn istio_gets_destinations_and_keeps_what_was_there_before() {
    let mut play = Play::with(json!({
        "provider": "istio", "service": {"timeout": "5s"}, "analysis": {"stepWeight": 40, "maxWeight": 40, "interval": "10s"},
    }));
    let spec = json!({"hosts": ["x"], "http": [{"route": [{"destination": {"host": "x"}}]}]});
    play.create(json!({"kind": "VirtualService", "metadata": {"name": "x", "namespace": "shop"}, "spec": spec}));
    play.initialize();
    let service = play.get(names::VIRTUAL_SERVICES, "x");
    let original = service["metadata"]["annotations"]["flagger.kubernetes.io/original-configuration"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(original).unwrap(), spec);
    assert_eq!((&service["spec"]["gateways"], &service["spec"]["http"][0]["timeout"]), (&json!(["mesh"]), &json!("5s")));
    assert_eq!(play.get(names::DESTINATION_RULES, "x-canary")["spec"], json!({"host": "x-canary"}));
    play.release("v2");
    play.ticks(2);
    let to = |host: &str, weight: i64| json!({"destination": {"host": host}, "weight": weight});
    let route = |play: &Play| play.get(names::VIRTUAL_SERVICES, "x")["spec"]["http"][0]["route"].clone();
    assert_eq!(route(&play), json!([to("x-primary", 60), to("x-canary", 40)]));
    play.ticks(3);
    assert_eq!((route(&play), play.phase()), (json!([to("x-primary", 100), to("x-canary", 0)]), "Succeeded".into()));
}

#[test]
fn requests_may_be_chosen_by_what_they_carry() {
    let matches = json!([{"headers": {"x-canary": {"exact": "insider"}}}]);
    let mut play = with_ingress(nginx(json!({"iterations": 2, "match": matches})));
    play.ticks(1);
    let annotations = play.get(names::INGRESSES, "x-canary")["metadata"]["annotations"].clone();
    assert_eq!(annotations["nginx.ingress.kubernetes.io/canary-by-header-value"], "insider");
    play.said("Advance x.shop canary iteration 1/2");
    play.ticks(4);
    assert_eq!(play.phase(), "Succeeded");
    let annotations = play.get(names::INGRESSES, "x-canary")["metadata"]["annotations"].clone();
    assert!(annotations["nginx.ingress.kubernetes.io/canary-by-header"].is_null() && annotations[CANARY] == "0");

    let mut play = Play::with(json!({
        "provider": "gatewayapi:v1", "service": {"gatewayRefs": [{"name": "web"}]}, "analysis": {"iterations": 1, "match": matches},
    }));
    play.initialize();
    let rules = play.get(names::HTTP_ROUTES, "x")["spec"]["rules"].clone();
    assert_eq!(rules[0]["matches"][0]["headers"], json!([{"name": "x-canary", "type": "Exact", "value": "insider"}]));
    assert_eq!((rules[0]["backendRefs"].as_array().unwrap().len(), rules[1]["backendRefs"].as_array().unwrap().len()), (2, 1));
}

#[test]
fn blue_green_with_a_router_sends_all_to_the_canary_before_it_promotes() {
    let mut play = with_ingress(nginx(json!({"iterations": 1})));
    let course: Vec<String> = (0..5)
        .map(|_| {
            play.ticks(1);
            format!("{} {} {}", play.phase(), play.status()["iterations"], weight(&play))
        })
        .collect();
    assert_eq!(course, ["Progressing 1 0", "Progressing 2 100", "Promoting 2 100", "Finalising 0 0", "Succeeded 0 0"]);
}

#[test]
fn kubernetes_alone_knows_only_blue_green() {
    let mut play = Play::progressing(json!({"analysis": {"stepWeight": 20, "match": [{}]}}));
    play.ticks(1);
    let events = play.events("x");
    for message in [
        "A/B testing is not supported when using the kubernetes provider",
        "Progressive traffic is not supported when using the kubernetes provider",
        "Setting canaryAnalysis.iterations: 10",
        "Advance x.shop canary iteration 1/10",
    ] {
        assert!(events.iter().any(|event| event.contains(message)), "{message}: {events:#?}");
    }
}

#[test]
fn another_revision_begins_anew_and_the_promoted_one_is_no_news() {
    let mut play = with_ingress(nginx(json!({"stepWeight": 20, "maxWeight": 60})));
    play.ticks(2);
    assert_eq!(weight(&play), "40");
    play.release("v3");
    play.ticks(1);
    play.said("New revision detected! Restarting analysis for x.shop");
    assert_eq!((weight(&play), play.status()["canaryWeight"].clone(), play.phase()), ("0".into(), json!(0), "Progressing".into()));
    // Back to what the primary runs: that is no release, and the one under way goes on without a difference.
    play.ticks(10);
    assert_eq!((play.phase(), play.tag("x-primary")), ("Succeeded".into(), "v3".into()));
    let status = play.status();
    play.release("v3");
    play.ticks(2);
    assert_eq!(play.status(), status);
    play.release("v1");
    play.ticks(1);
    assert_eq!(play.phase(), "Progressing");
}

#[test]
fn a_skipped_analysis_promotes_at_once() {
    let mut play = with_ingress(nginx(json!({"stepWeight": 20, "maxWeight": 60})));
    play.ticks(1);
    play.patch_canary(&json!({"spec": {"skipAnalysis": true}}));
    play.ticks(1);
    assert_eq!((play.phase(), play.tag("x-primary"), play.replicas("x"), weight(&play)), ("Succeeded".into(), "v2".into(), 0, "0".into()));
    play.said("Promotion completed! Canary analysis was skipped for x.shop");
    // It stays on: the next release is not asked either.
    play.release("v3");
    play.ticks(2);
    assert_eq!((play.phase(), play.tag("x-primary")), ("Succeeded".into(), "v3".into()));
}

#[test]
fn an_unready_canary_is_given_up_at_its_deadline() {
    let mut play = Play::with(json!({"analysis": {"iterations": 1}, "progressDeadlineSeconds": 25}));
    play.pods("x", "v2", Fate::Never);
    play.initialize();
    play.release("v2");
    play.ticks(3);
    assert_eq!(play.phase(), "Progressing");
    play.said(
        "canary deployment x.shop not ready: waiting for rollout to finish: 0 of 2 (readyThreshold 100%) updated replicas are available",
    );
    play.ticks(2);
    assert_eq!((play.phase(), play.replicas("x"), play.tag("x-primary")), ("Failed".into(), 0, "v1".into()));
    play.said("Canary failed! Scaling down x.shop");
    assert_eq!(play.status()["conditions"][0]["message"], "Canary analysis failed, Deployment scaled to zero.");
}

#[test]
fn a_failed_one_is_written_again_and_again_and_tried_when_it_changes() {
    let mut play = Play::progressing(json!({"analysis": {"iterations": 5, "threshold": 1}}));
    play.patch_status("x", &json!({"failedChecks": 1}));
    play.ticks(1);
    assert_eq!(play.phase(), "Failed");
    let before = play.status();
    play.ticks(1);
    let after = play.status();
    assert_ne!(before["lastTransitionTime"], after["lastTransitionTime"]);
    assert_eq!(before["conditions"], after["conditions"]);
    let again = json!({"spec": {"template": {"metadata": {"annotations": {"again": "1"}}}}});
    play.patch(names::DEPLOYMENTS, "x", &again);
    play.ticks(1);
    assert_eq!((play.phase(), play.replicas("x"), play.status()["failedChecks"].clone()), ("Progressing".into(), 2, json!(0)));
}

#[test]
fn every_hook_has_its_moment() {
    let hooks: Vec<Value> = [
        ("confirm-rollout", "/gate/approve"),
        ("pre-rollout", "/gate/approve"),
        ("rollout", "/gate/check"),
        ("confirm-traffic-increase", "/gate/approve"),
        ("confirm-promotion", "/gate/approve"),
        ("post-rollout", "/gate/halt"),
        ("rollback", "/gate/halt"),
    ]
    .iter()
    .map(|(kind, path)| hook(kind, path))
    .collect();
    let mut play = with_ingress(nginx(json!({"stepWeight": 50, "maxWeight": 50, "threshold": 3, "webhooks": hooks})));
    play.said("New revision detected! Scaling up x.shop");
    play.ticks(1);
    play.said("Advance x.shop canary weight 50");
    play.ticks(1);
    play.said("Halt x.shop advancement external check rollout failed Forbidden");
    assert_eq!(play.status()["failedChecks"], 1);
    play.gate("x.shop", true);
    play.ticks(3);
    assert_eq!(play.phase(), "Succeeded");
    let events = play.events("x").join("\n");
    for message in [
        "Confirm-rollout check confirm-rollout passed",
        "Pre-rollout check pre-rollout passed",
        "Confirm-traffic-increase check confirm-traffic-increase passed",
        "Rollback hook rollback not signaling a rollback",
    ] {
        assert!(events.contains(message), "{message}: {events}");
    }
}

#[test]
fn a_failing_check_before_the_start_counts() {
    let mut play =
        Play::progressing(json!({"analysis": {"iterations": 2, "threshold": 2, "webhooks": [hook("pre-rollout", "/gate/halt")]}}));
    play.ticks(1);
    play.said("Halt x.shop advancement pre-rollout check pre-rollout failed Forbidden");
    play.ticks(1);
    assert_eq!((play.status()["failedChecks"].clone(), play.phase()), (json!(2), "Progressing".into()));
    play.ticks(1);
    assert_eq!(play.phase(), "Failed");
}

#[test]
fn hooks_at_unknown_places_fail_with_a_reason() {
    let mut elsewhere = hook("pre-rollout", "/");
    elsewhere["url"] = "http://nowhere.test/check".into();
    let mut play = Play::progressing(json!({"analysis": {"iterations": 2, "webhooks": [elsewhere]}}));
    play.ticks(1);
    play.said("failed POST http://nowhere.test/check giving up after 1 attempt(s): Post \"http://nowhere.test/check\": dial tcp: lookup nowhere.test: no such host");
}

#[test]
fn built_in_metrics_ask_what_the_provider_counts_and_judge_it() {
    let range = |name: &str, range: Value| json!({"name": name, "interval": "30s", "thresholdRange": range});
    let metrics = [range("request-success-rate", json!({"min": 99})), range("request-duration", json!({"max": 500}))];
    let mut play = with_ingress(nginx(json!({"stepWeight": 20, "maxWeight": 60, "threshold": 5, "metrics": metrics})));
    *play.said.lock().unwrap() = Ok((1.0, 1_250.7));
    play.ticks(2);
    play.said("Halt x.shop advancement request duration 1.25s > 500ms");
    let asked = play.asked.lock().unwrap().join("\n");
    for part in ["ingress=\"x\"", "namespace=\"shop\"", "[30s]", "nginx_ingress_controller_response_duration_seconds_sum"] {
        assert!(asked.contains(part), "{part}: {asked}");
    }
    *play.said.lock().unwrap() = Ok((1.0, 97.5));
    play.ticks(1);
    play.said("Halt x.shop advancement success rate 97.50% < 99%");
    *play.said.lock().unwrap() = Ok((1.0, f64::NAN));
    play.ticks(1);
    play.said("Halt advancement no values found for nginx metric request-success-rate probably x.shop is not receiving traffic: running query failed: no values found");
    assert_eq!((play.status()["failedChecks"].clone(), weight(&play)), (json!(3), "20".into()));
    *play.said.lock().unwrap() = Ok((1.0, 100.0));
    play.ticks(1);
    assert_eq!(weight(&play), "40");
}

#[test]
fn templates_and_queries_of_ones_own_are_filled_in() {
    let template = json!({
        "kind": "MetricTemplate", "metadata": {"name": "lag", "namespace": "metrics"},
        "spec": {"provider": {"type": "prometheus", "address": "http://p"}, "query": "lag{t=\"{{ target }}\",v=\"{{ variables.v }}\"}[{{ interval }}]"},
    });
    let metrics = json!([
        {"name": "queue", "query": "queue{c=\"{{ name }}.{{namespace}}\"}", "thresholdRange": {"max": 10}},
        {"name": "lag", "interval": "2m", "templateRef": {"name": "lag", "namespace": "metrics"}, "templateVariables": {"v": "7"}, "thresholdRange": {"max": 5}},
    ]);
    let mut play = Play::with(json!({"analysis": {"iterations": 5, "threshold": 9, "metrics": metrics}}));
    play.ticks(1);
    play.said("metric template lag.metrics error: metrictemplate.flagger.app \"lag\" not found");
    play.create(template);
    play.ticks(1);
    *play.said.lock().unwrap() = Ok((1.0, 7.0));
    play.release("v2");
    play.ticks(3);
    play.said("Halt x.shop advancement lag 7.00 > 5");
    let asked = play.asked.lock().unwrap().clone();
    assert!(asked.contains(&"queue{c=\"x.shop\"}".to_owned()) && asked.contains(&"lag{t=\"x\",v=\"7\"}[2m]".to_owned()), "{asked:?}");
    *play.said.lock().unwrap() = Ok((1.0, 12.0));
    play.ticks(1);
    play.said("Halt x.shop advancement queue 12.00 > 10");
}

#[test]
fn a_change_of_a_config_map_is_a_release() {
    let mut play = Play::new();
    play.create(json!({"kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"}, "data": {"a": "1"}}));
    let mut target = harness::deployment("x", 2);
    target["kind"] = "Deployment".into();
    target["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "settings"}}]);
    play.create(target);
    play.create(super::kit::canary_of(json!({"analysis": {"iterations": 1}})));
    play.pods("x", "v1", Fate::Ready);
    play.initialize();
    let primary = play.get(names::DEPLOYMENTS, "x-primary");
    assert_eq!(primary["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"], "settings-primary");
    assert_eq!(play.get(names::CONFIG_MAPS, "settings-primary")["data"], json!({"a": "1"}));
    assert_eq!(play.status()["trackedConfigs"].as_object().unwrap().keys().collect::<Vec<_>>(), ["configmap/settings"]);
    play.patch(names::CONFIG_MAPS, "settings", &json!({"data": {"a": "2"}}));
    play.ticks(1);
    assert_eq!(play.phase(), "Progressing");
    play.ticks(5);
    assert_eq!((play.phase(), play.get(names::CONFIG_MAPS, "settings-primary")["data"].clone()), ("Succeeded".into(), json!({"a": "2"})));
}

#[test]
fn what_is_generated_is_put_right_and_goes_with_the_canary() {
    let mut play = Play::with(json!({"analysis": {"iterations": 1}}));
    play.initialize();
    play.patch(names::SERVICES, "x", &json!({"spec": {"selector": {"app": "x"}}}));
    play.ticks(1);
    assert_eq!(play.get(names::SERVICES, "x")["spec"]["selector"], json!({"app": "x-primary"}));
    let key = Key::new(names::CANARIES, "shop", "x");
    let write = Write::new(play.sim.now(), "test");
    registry::delete(&mut play.sim.store, &key, write).unwrap();
    play.ticks(2);
    assert!(!play.exists(names::DEPLOYMENTS, "x-primary") && !play.exists(names::SERVICES, "x-canary"));
    assert_eq!(play.replicas("x"), 0, "the target is left as it was");
}

#[test]
fn a_canary_may_ask_that_its_target_serves_again() {
    let mut play = Play::with(json!({"analysis": {"iterations": 1}, "revertOnDeletion": true}));
    play.initialize();
    let key = Key::new(names::CANARIES, "shop", "x");
    let write = Write::new(play.sim.now(), "test");
    registry::delete(&mut play.sim.store, &key, write).unwrap();
    play.ticks(1);
    assert_eq!((play.exists(names::CANARIES, "x"), play.replicas("x")), (false, 2));
    let events = play.events("x").join("\n");
    assert!(events.contains("Terminating canary x.shop") && events.contains("Terminated canary x.shop"), "{events}");
}

#[test]
fn ticks_keep_their_beat_and_take_over_another_interval() {
    let mut play = Play::with(json!({"analysis": {"iterations": 9, "interval": "30s"}}));
    play.ticks(1);
    assert_eq!(play.events("x").len(), 2);
    play.ticks(2);
    assert_eq!(play.phase(), "Initializing", "the second tick is half a minute after the first");
    play.ticks(1);
    assert_eq!(play.phase(), "Initialized");
    play.patch_canary(&json!({"spec": {"analysis": {"interval": "10s"}}}));
    play.release("v2");
    play.ticks(1);
    assert_eq!(play.phase(), "Progressing");
}

#[test]
fn a_target_without_a_usable_label_or_none_at_all() {
    let mut play = Play::new();
    play.create(super::kit::canary_of(json!({})));
    play.ticks(1);
    play.said("deployment x.shop get query error: deployments.apps \"x\" not found");
    let mut target = harness::deployment("x", 1);
    target["kind"] = "Deployment".into();
    target["spec"]["selector"] = json!({"matchLabels": {"role": "x"}});
    target["spec"]["template"]["metadata"]["labels"] = json!({"role": "x"});
    play.create(target);
    play.ticks(1);
    play.said("deployment x.shop spec.selector.matchLabels must contain one of [app name app.kubernetes.io/name]");
}
