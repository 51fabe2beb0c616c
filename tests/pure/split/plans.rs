//! The writes, what they are bound to, and what is refused.

use rolltop::{
    engine::Progress,
    intent::{Intent, Verb},
    model::Severity,
};
use serde_json::{Value, json};

use super::kit::{ROUTES, Scene, ops, said, scene, sets, weight};

/// Where each route keeps its weights, and what they are for a fifth on the new side.
#[rustfmt::skip]
fn fifths() -> Vec<(&'static str, Vec<(&'static str, Value)>)> {
    let list = |a: &'static str, b: &'static str| vec![(a, json!(80)), (b, json!(20))];
    vec![
        ("httproute", list("/spec/rules/1/backendRefs/0/weight", "/spec/rules/1/backendRefs/1/weight")),
        ("grpcroute", list("/spec/rules/0/backendRefs/0/weight", "/spec/rules/0/backendRefs/1/weight")),
        ("virtualservice-hosts", list("/spec/http/1/route/0/weight", "/spec/http/1/route/1/weight")),
        ("virtualservice-subsets", list("/spec/http/0/route/0/weight", "/spec/http/0/route/1/weight")),
        ("nginx", vec![("/metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight", json!("20"))]),
        ("traefikservice", list("/spec/weighted/services/0/weight", "/spec/weighted/services/1/weight")),
        ("ingressroute", list("/spec/routes/1/services/0/weight", "/spec/routes/1/services/1/weight")),
        ("trafficsplit", list("/spec/backends/0/weight", "/spec/backends/1/weight")),
        ("httpproxy", list("/spec/routes/0/services/0/weight", "/spec/routes/0/services/1/weight")),
    ]
}

fn is_mark(path: &str) -> bool {
    path.starts_with("/metadata/annotations/rolltop") || path == "/metadata/annotations"
}

#[test]
fn a_weight_is_one_patch_in_the_place_the_router_reads() {
    for (name, wanted) in fifths() {
        let plan = scene(name).plan(&weight(20)).unwrap();
        let set: Vec<_> = sets(&plan).into_iter().filter(|(path, _)| !is_mark(path)).collect();
        let wanted: Vec<_> = wanted.into_iter().map(|(path, value)| (path.to_owned(), value)).collect();
        assert_eq!(set, wanted, "{name}");
    }
    let plan = scene("alb").plan(&weight(20)).unwrap();
    let (path, value) = sets(&plan).into_iter().find(|(path, _)| path.contains("alb")).unwrap();
    assert_eq!(path, "/metadata/annotations/alb.ingress.kubernetes.io~1actions.web-split");
    let action: Value = serde_json::from_str(value.as_str().unwrap()).unwrap();
    let groups = json!([{"serviceName": "web-stable", "servicePort": "80", "weight": 80}, {"serviceName": "web-canary", "servicePort": "80", "weight": 20}]);
    assert_eq!(action, json!({"type": "forward", "forwardConfig": {"targetGroups": groups}}));
}

#[test]
fn the_exact_patch() {
    let mark = r#"{"phase":1,"since":"2026-11-21T05:00:00Z","weight":20,"by":"rolltop","new":"web-canary"}"#;
    let refs = json!([
        {"group": "", "kind": "Service", "name": "web-stable", "port": 80, "weight": 90},
        {"group": "", "kind": "Service", "name": "web-canary", "port": 80, "weight": 10}]);
    let wanted = vec![
        json!({"op": "test", "path": "/metadata/uid", "value": "7d3a52c0-0000-4000-8000-000000000001"}),
        json!({"op": "test", "path": "/spec/rules/1/backendRefs", "value": refs}),
        json!({"op": "test", "path": "/metadata/annotations", "value": null}),
        json!({"op": "add", "path": "/metadata/annotations", "value": {"rolltop/phase": mark}}),
        json!({"op": "add", "path": "/spec/rules/1/backendRefs/0/weight", "value": 80}),
        json!({"op": "add", "path": "/spec/rules/1/backendRefs/1/weight", "value": 20}),
    ];
    let plan = scene("httproute").plan(&weight(20)).unwrap();
    assert_eq!(ops(&plan), wanted);
    assert_eq!(&*plan.sentence, "Sends 20 % of the requests to web-canary (web:v2), the rest to web-stable (web:v1).");
    assert_eq!(
        plan.changes.iter().map(|c| format!("{} {} {}", c.field, c.from, c.to)).collect::<Vec<_>>(),
        ["rules[1]: web-canary 10 % 20 %"]
    );
    // Annotations that are there already stay as they are.
    let annotated = scene("httproute").route(|r| r["metadata"]["annotations"] = json!({"team": "shop"}));
    let plan = annotated.plan(&weight(20)).unwrap();
    let wanted = [
        json!({"op": "test", "path": "/metadata/annotations/rolltop~1phase", "value": null}),
        json!({"op": "add", "path": "/metadata/annotations/rolltop~1phase", "value": mark}),
    ];
    assert_eq!(ops(&plan)[2..4], wanted);
    let nginx = ops(&scene("nginx").plan(&weight(20)).unwrap());
    let tested: Vec<&str> = nginx.iter().filter(|o| o["op"] == "test").map(|o| o["path"].as_str().unwrap()).collect();
    let own = |key: &str| format!("/metadata/annotations/nginx.ingress.kubernetes.io~1{key}");
    let wanted = [
        "/metadata/uid".into(),
        own("canary"),
        own("canary-weight"),
        own("canary-weight-total"),
        "/spec".into(),
        "/metadata/annotations/rolltop~1phase".into(),
    ];
    assert_eq!(tested, wanted);
}

#[test]
fn every_action_takes_effect_once() {
    for (name, _) in ROUTES {
        for (intent, percent) in
            [(weight(20), 20.0), (Intent::Abort, 0.0), (Intent::PromoteFull, 100.0), (weight(0), 0.0), (weight(100), 100.0)]
        {
            let before = scene(name);
            let plan = before.plan(&intent).unwrap_or_else(|r| panic!("{name} {intent:?}: {r:?}"));
            assert_eq!(before.progress(&plan), Progress::Nothing, "{name} {intent:?}");
            let after = before.apply(&plan).unwrap_or_else(|e| panic!("{name} {intent:?}: {e}"));
            let share = after.model().tracks.iter().find(|t| t.images[0].ends_with("v2")).unwrap().traffic.applied.unwrap();
            assert!((share * 100.0 - percent).abs() < 1e-9, "{name} {intent:?}: {share}");
            assert_eq!(after.progress(&plan), Progress::Done, "{name} {intent:?}");
            assert!(after.apply(&plan).is_err(), "{name} {intent:?} can be sent twice");
            assert!(after.plan(&intent).is_err(), "{name} {intent:?} is planned twice");
            assert!(!plan.only_if.is_empty() && !plan.changes.is_empty() && !plan.back.is_empty() && plan.capacity.is_some(), "{name}");
        }
    }
}

#[test]
fn whoever_was_faster_wins() {
    let plan = scene("httproute").plan(&weight(20)).unwrap();
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 6] = [
        ("another object of the name", |r| r["metadata"]["uid"] = "another".into()),
        ("another weight", |r| r["spec"]["rules"][1]["backendRefs"][1]["weight"] = 11.into()),
        ("another backend", |r| r["spec"]["rules"][1]["backendRefs"][1]["name"] = "web-next".into()),
        ("a third backend", |r| r["spec"]["rules"][1]["backendRefs"].as_array_mut().unwrap().push(json!({"name": "web", "weight": 1}))),
        ("rules in another order", |r| r["spec"]["rules"].as_array_mut().unwrap().reverse()),
        ("another phase", |r| r["metadata"]["annotations"] = json!({"rolltop/phase": "{}"})),
    ];
    for (what, change) in changes {
        assert!(scene("httproute").route(change).apply(&plan).is_err(), "{what}");
    }
    let nginx = scene("nginx").plan(&weight(20)).unwrap();
    let own = |key: &str| format!("nginx.ingress.kubernetes.io/{key}");
    for key in ["canary", "canary-weight", "canary-weight-total"] {
        assert!(scene("nginx").route(|r| r["metadata"]["annotations"][own(key)] = "7".into()).apply(&nginx).is_err(), "{key}");
    }
    let alb = scene("alb").plan(&weight(20)).unwrap();
    let other = scene("alb").route(|r| {
        let text = &mut r["metadata"]["annotations"]["alb.ingress.kubernetes.io/actions.web-split"];
        *text = text.as_str().unwrap().replace("90", "89").into();
    });
    assert!(other.apply(&alb).is_err());
    let after = scene("httproute").weights(70, 30);
    assert_eq!(after.progress(&plan), Progress::Diverted("somebody set web-canary to 30 % meanwhile".into()));
}

#[test]
fn all_rules_of_the_pair_are_moved_together() {
    let two = scene("httproute").route(|r| {
        let mut rule = r["spec"]["rules"][1].clone();
        rule["matches"][0]["path"]["value"] = "/api".into();
        rule["backendRefs"][1]["weight"] = 40.into();
        rule["backendRefs"].as_array_mut().unwrap().reverse();
        r["spec"]["rules"].as_array_mut().unwrap().push(rule);
    });
    let plan = two.plan(&weight(10)).unwrap();
    assert!(said(&plan.warnings, Severity::Note).contains(&"the rules have different weights now; this makes them one".to_owned()));
    let after = two.apply(&plan).unwrap().root().value();
    let weights: Vec<i64> = [(1, 1), (2, 0)].map(|(r, b)| after["spec"]["rules"][r]["backendRefs"][b]["weight"].as_i64().unwrap()).into();
    assert_eq!(weights, [10, 10], "by backend, not by place");
    assert_eq!(two.plan(&Intent::Abort).unwrap().changes.len(), 2);
}

#[test]
fn a_total_of_its_own_is_kept() {
    let own = |total: &str, canary: &str| {
        let (total, canary) = (total.to_owned(), canary.to_owned());
        scene("nginx").route(move |r| {
            r["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight-total"] = total.into();
            r["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"] = canary.into();
        })
    };
    let set =
        |scene: Scene| scene.plan(&weight(25)).map(|plan| sets(&plan).into_iter().find(|(p, _)| p.contains("canary-weight")).unwrap().1);
    assert_eq!(set(own("1000", "100")), Ok(json!("250")));
    assert_eq!(set(own("50", "10")), Ok(json!("25")), "the balancer takes totals below 100 for 100");
    assert_eq!(own("150", "15").refused(&weight(25)), "25 % of the weight total 150 is no whole number");
}

#[test]
fn nobody_is_sent_where_nobody_serves() {
    let base = || scene("httproute");
    assert_eq!(base().pods("web-canary", 2, 0).refused(&weight(20)), "none of web-canary's 2 pods is ready: its requests would fail");
    assert_eq!(base().pods("web-canary", 0, 0).refused(&Intent::PromoteFull), "web-canary is scaled to 0: its requests would fail");
    assert_eq!(base().without("Service", "web-canary").refused(&Intent::Promote), "there is no Service web-canary");
    let dangers = |scene: Scene, intent: Intent| said(&scene.plan(&intent).unwrap().warnings, Severity::Danger);
    assert_eq!(dangers(base(), weight(20)), Vec::<String>::new());
    assert_eq!(
        dangers(base().pods("web-canary", 2, 1), weight(20)),
        ["1 of 2 pods of web-canary are ready, not all of its newest template"]
    );
    let unseen = base().without("Deployment", "web-canary");
    assert_eq!(dangers(unseen, weight(20)), ["what stands behind web-canary is not seen: nobody knows whether it is ready"]);
    // The way back is a person's to judge: the new side may be worse than an empty old one.
    assert_eq!(dangers(base().pods("web-stable", 2, 0), Intent::Abort), ["web-stable has no ready pod: its requests would fail"]);
    assert_eq!(dangers(base().pods("web-canary", 2, 0), Intent::Abort), Vec::<String>::new());
    let warned = |scene: Scene, intent: Intent| said(&scene.plan(&intent).unwrap().warnings, Severity::Warning);
    assert_eq!(warned(base().pods("web-canary", 1, 1), Intent::PromoteFull), ["1 of 3 ready pods would carry 100 % of the requests"]);
    let wide = base().with("Service", "web-stable", |s| s["spec"]["selector"] = json!({"app": "web"}));
    assert_eq!(dangers(wide, weight(20)), ["one Service selects pods of both web-stable and web-canary"]);
}

#[test]
fn all_weights_0_can_be_left() {
    let dead = scene("httproute").weights(0, 0);
    assert!(dead.plan(&weight(5)).is_ok());
    let back = dead.apply(&dead.plan(&Intent::Abort).unwrap()).unwrap();
    assert_eq!(back.model().tracks[1].traffic.applied, Some(1.0));
}

#[test]
fn refusals() {
    let base = || scene("httproute");
    let gone = base().route(|r| r["metadata"]["deletionTimestamp"] = "2026-11-21T05:00:00Z".into());
    let three = base().route(|r| r["spec"]["rules"][1]["backendRefs"].as_array_mut().unwrap().push(json!({"name": "web", "weight": 1})));
    let image = Intent::SetImage { container: "web".into(), image: "web:v3".into() };
    let cases: Vec<(Scene, Intent, &str, Option<Verb>)> = vec![
        (gone, weight(20), "the route is being deleted", None),
        (three, weight(20), "rules[1] divides between 3 backends (web-stable, web-canary, web)", None),
        (base(), weight(10), "web-canary has 10 % already", None),
        (base().weights(100, 0), Intent::Abort, "all users are on web-stable already: there is nothing to go back from", None),
        (base().weights(0, 100), Intent::PromoteFull, "all users are on web-canary already", Some(Verb::Abort)),
        (base().weights(0, 100), Intent::Promote, "all users are on web-canary already", Some(Verb::Abort)),
        (base(), Intent::Retry, "a route keeps no release to begin again", Some(Verb::Promote)),
        (base(), Intent::Skip, "a route runs no steps to skip", Some(Verb::SetWeight)),
        (base(), Intent::Flip, "weights move users part by part", Some(Verb::PromoteFull)),
        (base(), Intent::Undo { to: None }, "a route has no earlier versions", Some(Verb::Abort)),
        (base(), Intent::Restart, "this is done on the workload of the side that is meant", None),
        (base(), Intent::Scale { replicas: 3 }, "this is done on the workload of the side that is meant", None),
        (base(), Intent::ScaleDown, "this is done on the workload of the side that is meant", None),
        (base(), image, "this is done on the workload of the side that is meant", None),
        (
            base().weights(100, 0).image("web-canary", "registry.example/web:v1"),
            Intent::Promote,
            "both sides hold web:v1: nothing is being released",
            Some(Verb::SetWeight),
        ),
    ];
    for (scene, intent, reason, better) in cases {
        let refusal = scene.plan(&intent).expect_err(reason);
        assert_eq!((&*refusal.reason, refusal.try_verb), (reason, better), "{intent:?}");
    }
}
