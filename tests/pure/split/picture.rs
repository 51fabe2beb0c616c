//! What is shown of a route.

use rolltop::{
    engine::{Engine, split::SPLIT},
    intent::Verb,
    model::{EngineKind, Phase, Role, Severity, Strategy},
    object::Objects,
};
use serde_json::json;

use super::kit::{ROUTES, Scene, said, scene};

#[test]
fn every_router_divides_between_the_same_two() {
    for (name, percent) in ROUTES {
        let scene = scene(name);
        let model = scene.model();
        assert_eq!(
            (model.engine, model.strategy, model.phase),
            (EngineKind::Split, Strategy::Canary, Phase::Waiting),
            "{name}: {model:#?}"
        );
        let sides: Vec<_> = model.tracks.iter().map(|t| (t.role(), t.is_new, t.images[0].to_string(), t.ready)).collect();
        let wanted =
            [(Role::Canary, true, "registry.example/web:v2".to_owned(), 2), (Role::Stable, false, "registry.example/web:v1".into(), 2)];
        assert_eq!(sides, wanted, "{name}");
        let shares: Vec<f64> = model.tracks.iter().map(|t| t.traffic.applied.unwrap() * 100.0).collect();
        assert!((shares[0] - percent).abs() < 1e-9 && (shares[0] + shares[1] - 100.0).abs() < 1e-9, "{name}: {shares:?}");
        assert_eq!(said(&model.notices, Severity::Danger), Vec::<String>::new(), "{name}");
        assert_eq!(said(&model.notices, Severity::Warning), Vec::<String>::new(), "{name}");
        assert_eq!(model.way_back.action, Some(Verb::Abort), "{name}");
        let parts = scene.parts().unwrap();
        for part in ["Deployment web-canary", "Deployment web-stable"] {
            assert!(parts.contains(&part.to_owned()), "{name}: {parts:?}");
        }
    }
}

#[test]
fn what_belongs_to_a_route_is_shown_with_it() {
    let plain = ["Deployment web-canary", "Deployment web-stable", "Service web-canary", "Service web-stable"];
    assert_eq!(scene("httproute").parts().unwrap(), plain);
    let subsets = ["Deployment web-canary", "Deployment web-stable", "DestinationRule web", "Service web"];
    assert_eq!(scene("virtualservice-subsets").parts().unwrap(), subsets);
    assert!(scene("nginx").parts().unwrap().contains(&"Ingress web".to_owned()), "the Ingress the canary stands beside");
    let scene = scene("nginx");
    let main = Scene { root: ("Ingress".into(), "web".into()), ..scene };
    assert_eq!(main.parts(), None, "which divides nothing itself");
}

#[test]
fn rules_for_chosen_requests_are_shown_and_not_summed() {
    let note = |name: &str| said(&scene(name).model().notices, Severity::Note);
    let one = |who: &str| format!("chosen requests ({who}): all to web-canary");
    assert!(note("httproute").contains(&one("header x-canary: always")), "{:?}", note("httproute"));
    assert!(note("virtualservice-hosts").contains(&one("header x-canary: always")));
    assert!(note("nginx").contains(&one("header X-Canary: always")));
    assert!(note("nginx").contains(&one("cookie beta: always")));
    assert!(note("ingressroute").contains(&one("Host(`web.example`) && Header(`X-Canary`, `always`)")));
    assert!(note("grpcroute").contains(&"all: the weights add up to 4, not 100; shares are parts of that".to_owned()));
}

#[test]
fn routes_that_divide_nothing_are_no_rollout() {
    let alone = scene("httproute").route(|r| r["spec"]["rules"][1]["backendRefs"].as_array_mut().unwrap().truncate(1));
    assert_eq!(alone.parts(), None);
    let off = scene("nginx").route(|r| r["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary"] = "false".into());
    assert_eq!(off.parts(), None);
    assert_eq!(scene("nginx").without("Ingress", "web").parts(), None, "a canary beside nothing");
    let redirect = scene("alb").route(|r| {
        r["metadata"]["annotations"]["alb.ingress.kubernetes.io/actions.web-split"] = r#"{"type":"redirect","redirectConfig":{}}"#.into();
    });
    assert_eq!(redirect.parts(), None);
    let text = scene("alb").route(|r| r["metadata"]["annotations"]["alb.ingress.kubernetes.io/actions.web-split"] = "{".into());
    assert_eq!(text.parts(), None);
    assert_eq!(alone.model().phase, Phase::Unknown, "a line until the next survey");
    assert_eq!(SPLIT.normalise("test", &scene("httproute").root(), &Objects::default()).tracks.len(), 2);
}

#[test]
fn more_than_two_is_shown_as_what_it_is() {
    let three = scene("httproute").route(|r| {
        let refs = r["spec"]["rules"][1]["backendRefs"].as_array_mut().unwrap();
        refs.push(json!({"name": "web", "port": 80, "weight": 100}));
    });
    let model = three.model();
    assert_eq!((model.phase, model.in_flight(), model.tracks.len()), (Phase::Unknown, false, 3));
    let shares: Vec<_> = model.tracks.iter().map(|t| t.traffic.applied).collect();
    assert_eq!(shares, [Some(0.45), Some(0.05), Some(0.5)]);
    let why = "rules[1] divides between 3 backends (web-stable, web-canary, web)";
    assert_eq!(&*model.phase_detail, why);
    assert!(said(&model.notices, Severity::Warning).contains(&format!("{why}: rolltop moves weights between two only")));
    let other = scene("httproute").route(|r| {
        let rule = json!({"matches": [{"path": {"type": "PathPrefix", "value": "/api"}}], "backendRefs": [
            {"name": "web-stable", "weight": 50}, {"name": "web", "weight": 50}]});
        r["spec"]["rules"].as_array_mut().unwrap().push(rule);
    });
    let model = other.model();
    assert_eq!((model.phase, model.tracks.len()), (Phase::Unknown, 3));
    assert!(model.tracks.iter().all(|t| t.traffic.applied.is_none()), "two rules have no common whole");
    let twice = scene("httproute").route(|r| r["spec"]["rules"][1]["backendRefs"][1]["name"] = "web-stable".into());
    assert_eq!(twice.model().phase, Phase::Unknown, "one backend named twice");
}

#[test]
fn rules_that_disagree_are_named_and_the_largest_counts() {
    let uneven = scene("httproute").route(|r| {
        let mut rule = r["spec"]["rules"][1].clone();
        rule["matches"][0]["path"]["value"] = "/api".into();
        rule["backendRefs"][0]["weight"] = 60.into();
        rule["backendRefs"][1]["weight"] = 40.into();
        r["spec"]["rules"].as_array_mut().unwrap().push(rule);
    });
    let model = uneven.model();
    assert_eq!(model.tracks.iter().map(|t| t.traffic.applied).collect::<Vec<_>>(), [Some(0.4), Some(0.6)]);
    assert_eq!(said(&model.notices, Severity::Warning), ["the rules disagree on web-canary: rules[1] 10 %, rules[2] 40 %"]);
}

#[test]
fn which_side_is_new_and_why() {
    let base = || scene("httproute").image("web-stable", "web:4f2a").image("web-canary", "web:91cc");
    let renamed = |a: &str, b: &str| {
        let scene = base();
        let text = serde_json::to_string(&scene.items).unwrap().replace("web-stable", a).replace("web-canary", b);
        let time = "2026-11-21T03:23:07Z";
        Scene { items: serde_json::from_str(&text).unwrap(), ..scene }.rolled(a, time).rolled(b, time)
    };
    let created =
        |scene: Scene, name: &str| scene.with("Deployment", name, |d| d["metadata"]["creationTimestamp"] = "2026-11-21T03:23:07Z".into());
    let why = |scene: Scene| {
        let notices = said(&scene.model().notices, Severity::Note);
        notices.into_iter().find_map(|n| n.split_once(" counts as the new side: ").map(|(a, b)| (a.to_owned(), b.to_owned()))).unwrap()
    };
    let is = |side: &str, why: &str| (side.to_owned(), why.to_owned());
    assert_eq!(why(scene("httproute")), is("web-canary", "its image has the higher version"));
    let hotfix = scene("httproute").image("web-stable", "registry.example/web:v3");
    assert_eq!(why(hotfix), is("web-stable", "its image has the higher version"));
    // A restart of the stable side makes its pods the youngest; an abort must not send users to the canary.
    assert_eq!(why(base().rolled("web-stable", "2026-11-21T04:59:00Z")), is("web-canary", "of its name"));
    let colours = || renamed("web-blue", "web-green");
    assert_eq!(why(colours().rolled("web-blue", "2026-11-21T04:59:00Z")), is("web-blue", "its pods were rolled out last"));
    assert_eq!(
        why(colours().with("Deployment", "web-blue", |d| d["metadata"]["creationTimestamp"] = "2026-11-21T04:59:00Z".into())),
        is("web-blue", "it was created last")
    );
    // Both at once: some seconds between them tell nothing.
    let together = || created(colours().rolled("web-blue", "2026-11-21T03:23:30Z"), "web-green");
    assert_eq!(why(together()), is("web-green", "of the order of their names"));
    let numbers = created(renamed("web-v9", "web-v10"), "web-v10");
    assert_eq!(why(numbers), is("web-v10", "of the order of their names"));
    let nothing = || created(renamed("web-red", "web-amber"), "web-amber");
    assert_eq!(why(nothing()), is("web-amber", "it has the smaller weight"));
    assert_eq!(why(nothing().weights(50, 50)), is("web-amber", "it stands last in the route"));
    let told = nothing().route(|r| r["metadata"]["annotations"] = json!({"rolltop.dev/new": "web-red"}));
    assert_eq!(why(told), is("web-red", "the route names it"));
}

#[test]
fn phases() {
    let base = || scene("httproute");
    for (scene, phase, words) in [
        (base(), Phase::Waiting, "10 % on web-canary"),
        (base().weights(2, 1), Phase::Waiting, "33.3 % on web-canary"),
        (base().weights(100, 0), Phase::Waiting, "web-canary has no users yet"),
        (base().weights(0, 100), Phase::Healthy, "all users are on web-canary"),
        (base().weights(100, 0).pods("web-canary", 0, 0), Phase::Healthy, "all users are on web-stable"),
        (base().weights(100, 0).image("web-canary", "registry.example/web:v1"), Phase::Healthy, "all users are on web-stable"),
        (base().weights(0, 0), Phase::Failing, "all weights are 0: no request is served"),
        (base().pods("web-canary", 2, 1), Phase::Progressing, "10 % on web-canary, 1/2 ready"),
        (base().pods("web-canary", 2, 0), Phase::Failing, "10 % of the requests go to web-canary, which has no ready pod"),
        (base().pods("web-stable", 2, 0), Phase::Failing, "90 % of the requests go to web-stable, which has no ready pod"),
        (base().without("Service", "web-canary"), Phase::Failing, "10 % of the requests go to web-canary, which has no ready pod"),
    ] {
        let model = scene.model();
        assert_eq!((model.phase, &*model.phase_detail), (phase, words));
    }
    let over = base().weights(0, 100).model();
    assert_eq!((over.in_flight(), over.tracks[0].role(), over.tracks[1].role()), (false, Role::Stable, Role::Old));
}

#[test]
fn what_makes_the_weights_mean_something_else_is_said() {
    let warnings = |scene: Scene| said(&scene.model().notices, Severity::Warning);
    let wide = scene("httproute").with("Service", "web-stable", |s| s["spec"]["selector"] = json!({"app": "web"}));
    let words = "one Service selects pods of both web-stable and web-canary: the weights are not the shares";
    assert_eq!(warnings(wide.clone()), [words]);
    assert_eq!(wide.model().tracks.iter().map(|t| t.ready).collect::<Vec<_>>(), [2, 2], "no pod counts twice");
    let undefined = scene("virtualservice-subsets").with("DestinationRule", "web", |d| d["spec"]["subsets"][1]["name"] = "v3".into());
    let lost = "no DestinationRule here defines the subset v2 of web: its requests fail";
    assert_eq!(said(&undefined.model().notices, Severity::Danger), [lost]);
    let refused = scene("httproute").route(|r| {
        r["status"]["parents"][0]["conditions"][1]["status"] = "False".into();
        r["status"]["parents"][0]["conditions"][1]["message"] = "Service shop/web-canary not found".into();
    });
    assert_eq!(warnings(refused), ["public says not ResolvedRefs: Service shop/web-canary not found"]);
    let unread = scene("httproute").route(|r| r["metadata"]["generation"] = 4.into());
    assert!(unread.model().unobserved && !scene("httproute").model().unobserved);
    let invalid = scene("httpproxy").route(|r| r["status"] = json!({"currentStatus": "invalid", "description": "At least one error"}));
    assert_eq!(warnings(invalid), ["Contour calls it invalid: At least one error"]);
    let elsewhere = scene("httproute").route(|r| r["spec"]["rules"][1]["backendRefs"][1]["namespace"] = "other".into());
    assert!(said(&elsewhere.model().notices, Severity::Note).contains(&"what stands behind web-canary is not seen from here".to_owned()));
    assert_eq!(elsewhere.parts().unwrap(), ["Deployment web-stable", "Service web-stable"]);
}

#[test]
fn a_second_route_of_the_same_two_is_a_part_and_named() {
    let mut second = scene("httproute").items[0].clone();
    second["metadata"]["name"] = "web-internal".into();
    second["metadata"]["uid"] = "uid of web-internal".into();
    let both = scene("httproute").plus(second);
    assert!(both.parts().unwrap().contains(&"HTTPRoute web-internal".to_owned()));
    assert_eq!(
        said(&both.model().notices, Severity::Warning),
        ["HTTPRoute web-internal leads to the same two and is not moved with this one"]
    );
}

#[test]
fn absent_weights_mean_what_the_router_says() {
    let share = |name: &str, change: fn(&mut serde_json::Value)| {
        let model = scene(name).route(change).model();
        model.tracks.iter().find(|t| t.revision.as_deref().is_some_and(|r| r == "web-canary")).and_then(|t| t.traffic.applied)
    };
    assert_eq!(share("httpproxy", |r| drop(r["spec"]["routes"][0]["services"][1].as_object_mut().unwrap().remove("weight"))), Some(0.0));
    let none = share("httpproxy", |r| {
        for i in [0, 1] {
            r["spec"]["routes"][0]["services"][i].as_object_mut().unwrap().remove("weight");
        }
    });
    assert_eq!(none, Some(0.5), "all absent: even");
    assert_eq!(
        share("traefikservice", |r| drop(r["spec"]["weighted"]["services"][1].as_object_mut().unwrap().remove("weight"))),
        Some(1.0 / 91.0)
    );
    assert_eq!(
        share("virtualservice-hosts", |r| drop(r["spec"]["http"][1]["route"][1].as_object_mut().unwrap().remove("weight"))),
        Some(0.0)
    );
}
