//! What is shown: every recorded phase, weights from the route, gates, parts.

use rolltop::{
    cluster::decode,
    engine::{ENGINES, Engine, flagger::FLAGGER, survey},
    model::{EngineKind, Phase, Role, Severity, Strategy, WaitFor},
    object::kinds,
};
use serde_json::{Value, json};

use super::kit::{Scene, canary, changed, list, scene};

/// Scene, phase, strategy, the canary's share by its route in percent, and the step in progress.
type Row = (&'static str, Phase, Strategy, Option<i32>, Option<&'static str>);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("initialized", Phase::Healthy, Strategy::BlueGreen, None, None),
    ("waiting-confirm-rollout", Phase::Waiting, Strategy::BlueGreen, Some(0), Some("gate confirm-rollout")),
    ("progressing-bluegreen", Phase::Progressing, Strategy::BlueGreen, Some(0), Some("iteration 1/2")),
    ("progressing-canary-nginx", Phase::Progressing, Strategy::Canary, Some(20), Some("weight 20 %")),
    ("progressing-canary-not-ready", Phase::Progressing, Strategy::BlueGreen, Some(0), Some("iteration 1/3")),
    ("progressing-traffic-gate-closed", Phase::Waiting, Strategy::Canary, Some(0), Some("weight 50 %")),
    ("suspended-in-progress", Phase::Paused, Strategy::Canary, Some(20), Some("weight 20 %")),
    ("waiting-promotion", Phase::Waiting, Strategy::BlueGreen, Some(0), Some("gate confirm-promotion")),
    // The status says 0 here; the route does not.
    ("waiting-promotion-nginx", Phase::Waiting, Strategy::Canary, Some(60), Some("gate confirm-promotion")),
    ("promoting", Phase::Progressing, Strategy::BlueGreen, Some(0), Some("promote to the primary")),
    ("promoting-nginx", Phase::Progressing, Strategy::Canary, Some(60), Some("promote to the primary")),
    ("succeeded", Phase::Healthy, Strategy::BlueGreen, None, None),
    ("failed-by-status-failedchecks", Phase::Aborted, Strategy::Canary, Some(0), None),
    ("failed-metric-threshold", Phase::Aborted, Strategy::BlueGreen, Some(0), None),
    ("failed-no-prometheus", Phase::Aborted, Strategy::BlueGreen, Some(0), None),
    ("failed-progress-deadline", Phase::Aborted, Strategy::BlueGreen, Some(0), None),
    ("failed-rollback-gate", Phase::Aborted, Strategy::BlueGreen, Some(0), None),
];

#[allow(clippy::cast_possible_truncation)]
fn percent(share: f64) -> i32 {
    (share * 100.0).round() as i32
}

#[test]
fn every_recorded_phase() {
    for (name, phase, strategy, share, step) in ROWS {
        let r = scene(name).model();
        assert_eq!((r.phase, r.strategy), (*phase, *strategy), "{name}");
        if share.is_some() {
            assert_eq!(r.track(Role::Canary).and_then(|t| t.traffic.applied).map(percent), *share, "{name}");
        }
        assert_eq!(r.steps.now().map(|s| s.label.as_str()), *step, "{name}");
        assert_eq!(r.in_flight(), !matches!(phase, Phase::Healthy), "{name}");
        assert_eq!(r.tracks.iter().filter(|t| t.is(Role::Primary)).count(), 1, "{name}");
    }
    assert_eq!(ROWS.len(), super::kit::names().len(), "a fixture without a row");
}

#[test]
fn the_weight_is_never_taken_from_the_status() {
    let r = changed("progressing-canary-nginx", |c| c["status"]["canaryWeight"] = 55.into()).model();
    assert_eq!(r.track(Role::Canary).unwrap().traffic.applied.map(percent), Some(20));
    let alone = scene("progressing-canary-nginx").alone().model();
    assert_eq!(alone.track(Role::Canary).unwrap().traffic.applied, None, "nobody has said it");
}

fn with_route(route: &Value, provider: &str) -> Scene {
    let mut items = list("progressing-canary-nginx");
    let c = canary(&mut items);
    c["spec"]["provider"] = provider.into();
    c["spec"].as_object_mut().unwrap().remove("ingressRef");
    items.push(route.clone());
    Scene::of(&items)
}

#[test]
fn istio_and_gateway_api_routes_are_read_by_host() {
    let meta = json!({"name": "ng", "namespace": "shop", "uid": "route"});
    let to = |host: &str, weight: i32| json!({"destination": {"host": host}, "weight": weight});
    let istio = json!({"kind": "VirtualService", "apiVersion": "networking.istio.io/v1", "metadata": meta,
        "spec": {"http": [{"route": [to("ng-primary", 65), to("ng-canary", 35)]}]}});
    let back = |name: &str, weight: i32| json!({"name": name, "port": 80, "weight": weight});
    let gateway = json!({"kind": "HTTPRoute", "apiVersion": "gateway.networking.k8s.io/v1", "metadata": meta,
        "spec": {"rules": [{"backendRefs": [back("ng-primary", 65), back("ng-canary", 35)]}]}});
    for (route, provider) in [(&istio, "istio"), (&istio, ""), (&gateway, "gatewayapi:v1"), (&gateway, "")] {
        let r = with_route(route, provider).model();
        assert_eq!(r.track(Role::Canary).unwrap().traffic.applied.map(percent), Some(35), "{provider:?}");
    }
    let mut sticky = with_route(&istio, "istio");
    let text = sticky.root.text().replace("\"stepWeight\":20", "\"stepWeight\":20,\"sessionAffinity\":{}");
    sticky.root = decode::object(sticky.root.resource, text.as_bytes()).unwrap();
    assert_eq!(sticky.model().track(Role::Canary).unwrap().traffic.applied, None, "sticky routes declare no share of all users");
}

#[test]
fn signed_and_overrun_iterations_stay_in_bounds() {
    for iterations in [-1_i64, 0, 1, 2, 3, 99] {
        let r = changed("progressing-bluegreen", |c| c["status"]["iterations"] = iterations.into()).model();
        assert!(r.steps.now().is_some_and(|s| s.label.starts_with("iteration ")), "{iterations}: {:?}", r.steps);
    }
}

#[test]
fn the_closed_gate_is_named() {
    for (name, gate) in [
        ("waiting-confirm-rollout", "confirm-rollout"),
        ("waiting-promotion", "confirm-promotion"),
        ("progressing-traffic-gate-closed", "confirm-traffic-increase"),
    ] {
        let wait = scene(name).model().wait.unwrap();
        assert_eq!(wait.who, WaitFor::Human, "{name}");
        assert!(wait.reason.contains(&format!("gate {gate} is closed")), "{name}: {}", wait.reason);
    }
    // Once the status has moved, the event is history.
    let open = changed("progressing-traffic-gate-closed", |c| c["status"]["lastTransitionTime"] = "2026-11-21T03:27:49Z".into()).model();
    assert_eq!(open.phase, Phase::Progressing);
    assert_eq!(open.wait.unwrap().who, WaitFor::Analysis);
}

#[test]
fn a_next_tick_is_named_only_while_ticks_write() {
    let ticking = scene("progressing-bluegreen").model();
    assert_eq!(ticking.next.at.unwrap().to_rfc3339(), "2026-11-21T03:19:49+00:00");
    for name in
        ["suspended-in-progress", "progressing-traffic-gate-closed", "progressing-canary-not-ready", "waiting-promotion", "succeeded"]
    {
        assert_eq!(scene(name).model().next.at, None, "{name}");
    }
}

#[test]
fn a_promotion_that_failed_is_no_rollback() {
    let mut items = list("failed-by-status-failedchecks");
    items.iter_mut().find(|i| i["kind"] == "Ingress" && i["metadata"]["name"] == "ng-canary").unwrap()["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"] =
        "100".into();
    let r = Scene::of(&items).model();
    assert_eq!(r.phase, Phase::Failing);
    assert_eq!(r.alarm().unwrap().severity, Severity::Danger);
}

#[test]
fn what_is_left_on_is_told() {
    let told = |change: fn(&mut Value), words: &str| {
        let r = changed("succeeded", change).model();
        assert!(r.notices.iter().any(|n| n.text.contains(words)), "{words}: {:?}", r.notices);
    };
    told(|c| c["spec"]["skipAnalysis"] = true.into(), "skipAnalysis is on");
    told(|c| c["spec"]["suspend"] = true.into(), "suspended");
    told(|c| c["spec"]["progressDeadlineSeconds"] = 1.into(), "set it back");
    assert!(scene("succeeded").model().notices.is_empty());
    let failed = scene("failed-rollback-gate").model();
    assert!(failed.notices[0].text.contains("failed since 2026-11-21 03:20:49"), "{:?}", failed.notices);
    assert!(failed.analyses[0].message.contains("manual webhook invoked"), "{:?}", failed.analyses[0]);
}

#[test]
fn failed_checks_stand_against_their_threshold() {
    let r = changed("progressing-canary-nginx", |c| c["status"]["failedChecks"] = 2.into()).model();
    let checks = &r.analyses[0].metrics[0];
    assert_eq!((checks.failed, checks.failure_limit, checks.condition.as_str()), (2, Some(2), "failed checks < 3"));
    assert!(r.notices.iter().any(|n| n.text.contains("2 of 3 failed checks")), "{:?}", r.notices);
    let metric = &scene("failed-metric-threshold").model().analyses[0].metrics[1];
    assert_eq!((metric.name.as_str(), metric.threshold.as_ref().unwrap().limit), ("request-success-rate", 99.0));
}

#[test]
fn one_rollout_not_four() {
    let s = scene("progressing-canary-nginx");
    let found = survey::survey(ENGINES, "shop", &s.objects);
    assert_eq!(found.rollouts.values().collect::<Vec<_>>(), [&EngineKind::Flagger]);
    for (kind, names) in [(&kinds::DEPLOYMENT, &["ng", "ng-primary"][..]), (&kinds::SERVICE, &["ng", "ng-primary", "ng-canary"])] {
        for name in names {
            let object = s.objects.named(kind, "shop", name).unwrap();
            assert_eq!(found.owner(object), Some(&s.root.meta.uid), "{name}");
        }
    }
    assert!(FLAGGER.selections(&s.root, &s.objects).iter().any(|x| x.fields.as_deref() == Some("metadata.name=ng-canary")));
}
