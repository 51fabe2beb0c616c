//! What is written: each plan accepted by the state it was made for, refused by the state after.

use rolltop::{
    engine::{Engine, Goal, Patch, Plan, Progress, flagger::FLAGGER},
    intent::{Intent, Verb},
    model::Severity,
};
use serde_json::Value;

use super::kit::{Scene, apply, canary, changed, list, names, scene};

fn ops(plan: &Plan, write: usize) -> Vec<String> {
    let Patch::Json(ops) = &plan.writes[write].patch;
    ops.iter()
        .filter(|o| o["op"] != "test")
        .map(|o| format!("{} {} {}", o["op"].as_str().unwrap(), o["path"].as_str().unwrap(), o["value"]))
        .collect()
}

fn image(image: &str) -> Intent {
    Intent::SetImage { container: "app".into(), image: image.into() }
}

/// Scene, intent, and for each write its kind, subresource and what it changes.
type Case = (&'static str, Intent, Vec<(&'static str, Option<&'static str>, &'static str)>);

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let st = Some("status");
    vec![
        ("progressing-canary-nginx", Intent::Pause, vec![("Canary", None, "add /spec/suspend true")]),
        ("succeeded", Intent::Pause, vec![("Canary", None, "add /spec/suspend true")]),
        ("suspended-in-progress", Intent::Resume, vec![("Canary", None, "add /spec/suspend false")]),
        ("progressing-canary-nginx", Intent::PromoteFull, vec![("Canary", None, "add /spec/skipAnalysis true")]),
        ("waiting-promotion-nginx", Intent::PromoteFull, vec![("Canary", None, "add /spec/skipAnalysis true")]),
        ("progressing-canary-nginx", Intent::Abort, vec![("Canary", st, "add /status/failedChecks 3")]),
        ("waiting-promotion", Intent::Abort, vec![("Canary", st, "add /status/failedChecks 3")]),
        ("progressing-traffic-gate-closed", Intent::Abort, vec![("Canary", st, "add /status/failedChecks 3")]),
        ("progressing-canary-not-ready", Intent::Abort, vec![("Canary", None, "add /spec/progressDeadlineSeconds 1")]),
        ("suspended-in-progress", Intent::Abort, vec![("Canary", st, "add /status/failedChecks 3"), ("Canary", None, "add /spec/suspend false")]),
        ("failed-metric-threshold", Intent::Retry, vec![("Deployment", None, "add /spec/template/metadata/annotations {\"rolltop/retried-at\":\"2026-11-21T03:40:00Z\"}")]),
        ("succeeded", image("app:v9"), vec![("Deployment", None, "add /spec/template/spec/containers/0/image \"app:v9\"")]),
    ]
}

#[test]
fn every_write_is_exactly_this() {
    for (name, intent, wanted) in cases() {
        let plan = scene(name).plan(&intent).unwrap_or_else(|r| panic!("{name} {intent:?}: {r:?}"));
        let found: Vec<_> =
            (0..plan.writes.len()).map(|i| (plan.writes[i].resource.kind, plan.writes[i].subresource, ops(&plan, i))).collect();
        let wanted: Vec<_> = wanted.into_iter().map(|(kind, sub, op)| (kind, sub, vec![op.to_owned()])).collect();
        assert_eq!(found, wanted, "{name} {intent:?}");
        assert!(
            !plan.sentence.is_empty() && !plan.only_if.is_empty() && !plan.changes.is_empty() && !plan.back.is_empty(),
            "{name} {intent:?}"
        );
    }
}

#[test]
fn every_write_holds_once_and_for_one_object() {
    for (name, intent, _) in cases() {
        let items = list(name);
        let plan = scene(name).plan(&intent).unwrap();
        let after = apply(&items, &plan).unwrap_or_else(|e| panic!("{name} {intent:?}: {e}"));
        assert!(apply(&after, &plan).is_err(), "{name} {intent:?} can be sent twice");
        let mut other = items.clone();
        other.iter_mut().for_each(|i| i["metadata"]["uid"] = "recreated".into());
        assert!(apply(&other, &plan).is_err(), "{name} {intent:?} hits a namesake");
    }
}

/// What was aborted or promoted must still be what was looked at.
#[test]
fn a_state_that_moved_on_refuses_the_write() {
    for (name, intent, _) in cases().into_iter().filter(|(_, _, writes)| writes[0].0 == "Canary") {
        let plan = scene(name).plan(&intent).unwrap();
        for (path, value) in [("phase", Value::from("Promoting")), ("lastAppliedSpec", "another".into())] {
            let mut items = list(name);
            canary(&mut items)["status"][path] = value;
            assert!(apply(&items, &plan).is_err(), "{name} {intent:?} after another {path}");
        }
    }
}

/// A phase set by hand leaves route and pods as they are: no plan may ever do that.
#[test]
fn the_phase_and_the_weight_are_never_written() {
    for name in names() {
        for verb in Verb::ALL {
            let Some(intent) = plain(verb) else { continue };
            let Ok(plan) = scene(&name).plan(&intent) else { continue };
            for i in 0..plan.writes.len() {
                assert!(ops(&plan, i).iter().all(|op| !op.contains("/status/phase") && !op.contains("eight")), "{name} {verb:?}");
                let write = &plan.writes[i];
                assert!(["Canary", "Deployment"].contains(&write.resource.kind) || write.call.is_some(), "{name} {verb:?}");
            }
        }
    }
}

pub fn plain(verb: Verb) -> Option<Intent> {
    rolltop::state::available::plain(verb)
}

/// The recorded scenes whose release a gate holds, and what opening it lets happen.
const GATED: [(&str, &str, &str); 4] = [
    ("waiting-confirm-rollout", "confirm-rollout", "starts the new version"),
    ("progressing-traffic-gate-closed", "confirm-traffic-increase", "raises the weight"),
    ("waiting-promotion", "confirm-promotion", "promotes the new version"),
    ("waiting-promotion-nginx", "confirm-promotion", "promotes the new version"),
];

/// The scene with all of its hooks at this address.
fn hooked(name: &str, url: &str) -> Scene {
    changed(name, |c| {
        for hook in c["spec"]["analysis"]["webhooks"].as_array_mut().unwrap() {
            hook["url"] = url.into();
        }
    })
}

#[test]
fn a_closed_gate_is_opened_at_its_service() {
    for (name, gate, then) in GATED {
        let s = hooked(name, "http://flagger-loadtester.test/gate/check");
        let plan = s.plan(&Intent::Promote).unwrap_or_else(|r| panic!("{name}: {r:?}"));
        assert!(plan.sentence.contains(gate) && plan.sentence.contains(then), "{name}: {}", plan.sentence);
        let [write] = &plan.writes[..] else { panic!("{name}: {:?}", plan.writes) };
        assert_eq!((write.verb(), write.resource.plural, write.subresource), ("create", "services", Some("proxy")));
        assert_eq!((write.namespace.as_str(), write.name.as_str()), ("test", "http:flagger-loadtester:80"));
        let call = write.call.as_ref().unwrap();
        assert_eq!((call.path.as_str(), call.check.as_str()), ("gate/open", "gate/check"));
        // A nameless body would open a gate that belongs to nobody.
        assert_eq!(call.body, serde_json::json!({"name": s.root.meta.name, "namespace": "shop"}));
        assert!(ops(&plan, 0).is_empty(), "conditions only");
        assert!(plan.warnings.iter().any(|w| w.text.contains("/proxy/gate/close")), "{:?}", plan.warnings);
    }
}

#[test]
fn a_gate_stays_closed_when_its_release_moved_on() {
    for (name, ..) in GATED {
        let plan = hooked(name, "http://flagger-loadtester.test/gate/check").plan(&Intent::Promote).unwrap();
        let now = |change: fn(&mut Value)| {
            let mut items = list(name);
            change(canary(&mut items));
            apply(&items, &plan)
        };
        assert!(now(|_| ()).is_ok(), "{name}");
        let changes: [fn(&mut Value); 5] = [
            |c| c["metadata"]["uid"] = "recreated".into(),
            |c| c["status"]["phase"] = "Promoting".into(),
            |c| c["status"]["lastAppliedSpec"] = "another".into(),
            |c| c["spec"]["suspend"] = true.into(),
            |c| c["spec"]["skipAnalysis"] = true.into(),
        ];
        assert!(changes.into_iter().all(|change| now(change).is_err()), "{name}");
    }
}

/// One gate for all hooks of a Canary: whoever opens it for one must know that it is open for the next.
#[test]
fn gates_that_open_together_are_named() {
    let url = "http://flagger-loadtester.test/gate/check";
    let s = changed("waiting-confirm-rollout", |c| {
        let hook = |kind: &str, url: &str| serde_json::json!({"name": kind, "type": kind, "url": url});
        c["spec"]["analysis"]["webhooks"] = serde_json::json!([
            hook("confirm-rollout", url),
            hook("confirm-traffic-increase", "http://other.test/gate/check"),
            hook("confirm-promotion", url),
        ]);
    });
    let plan = s.plan(&Intent::Promote).unwrap();
    let said = plan.warnings.iter().find(|w| w.text.contains("the same gate")).unwrap();
    assert!(said.text.contains("confirm-promotion") && !said.text.contains("confirm-traffic-increase"), "{}", said.text);
}

#[test]
fn only_a_service_of_this_cluster_is_called() {
    let good = [
        ("http://lt.test/gate/check", "test", "http:lt:80"),
        ("http://lt.test:8080/gate/check", "test", "http:lt:8080"),
        ("http://lt.test.svc/gate/check", "test", "http:lt:80"),
        ("https://lt.test.svc.cluster.local/gate/check", "test", "https:lt:443"),
    ];
    for (url, namespace, service) in good {
        let plan = hooked("waiting-promotion-nginx", url).plan(&Intent::Promote).unwrap();
        assert_eq!((plan.writes[0].namespace.as_str(), plan.writes[0].name.as_str()), (namespace, service), "{url}");
    }
    let bad = [
        // In Flagger's own namespace, wherever that is.
        "http://lt/gate/check",
        "http://gates.example.com/gate/check",
        "http://127.0.0.1:8080/gate/check",
        "http://[::1]/gate/check",
        "http://lt.test/other/gate/check",
        "http://lt.test/gate/approve",
        "http://me@lt.test/gate/check",
        "http://lt.test:port/gate/check",
        "http://lt..test/gate/check",
        "http://lt.test%2f/gate/check",
        "http://lt.test/gate/check?x",
        "ftp://lt.test/gate/check",
    ];
    for url in bad {
        let refusal = hooked("waiting-promotion-nginx", url).plan(&Intent::Promote).expect_err(url);
        assert!(refusal.reason.contains("only where it is answered"), "{url}: {}", refusal.reason);
    }
}

#[test]
fn a_gate_elsewhere_is_opened_where_it_stands() {
    for (name, ..) in GATED {
        let s = hooked(name, "http://gates.example.com/gate/check");
        let instead = s.plan(&Intent::Promote).unwrap_err().instead.unwrap();
        let wanted = format!(r#"curl -d '{{"name":"{}","namespace":"shop"}}' http://gates.example.com/gate/open"#, s.root.meta.name);
        assert!(instead.contains(&wanted), "{name}: {instead}");
    }
    // The URL is somebody's text: nothing of it may reach a shell that is no URL.
    for url in ["http://x/'; rm -rf ~;'/gate/check", "http://x/$(id)/gate/check", "http://own.example/approve"] {
        let instead = hooked("waiting-promotion-nginx", url).plan(&Intent::Promote).unwrap_err().instead.unwrap();
        assert!(!instead.contains("curl") && !instead.contains("kubectl"), "{instead}");
    }
}

#[test]
fn a_suspended_canary_is_not_let_through_a_gate() {
    let s = changed("waiting-promotion-nginx", |c| c["spec"]["suspend"] = true.into());
    let refusal = s.plan(&Intent::Promote).unwrap_err();
    assert_eq!(refusal.try_verb, Some(Verb::Resume), "{refusal:?}");
}

/// An annotation is added below others without naming them: only the generation tells that the template is another.
#[test]
fn a_retry_holds_for_the_template_that_was_read() {
    let annotated = || {
        let mut items = list("failed-metric-threshold");
        let target = canary(&mut items)["spec"]["targetRef"]["name"].clone();
        let deployment = items.iter_mut().find(|i| i["kind"] == "Deployment" && i["metadata"]["name"] == target).unwrap();
        deployment["spec"]["template"]["metadata"]["annotations"] = serde_json::json!({"team": "shop"});
        (items, target)
    };
    let (mut items, target) = annotated();
    let plan = Scene::of(&items).plan(&Intent::Retry).unwrap();
    assert_eq!(ops(&plan, 0), ["add /spec/template/metadata/annotations/rolltop~1retried-at \"2026-11-21T03:40:00Z\""]);
    let after = apply(&items, &plan).unwrap();
    let kept = after.iter().find(|i| i["kind"] == "Deployment" && i["metadata"]["name"] == target).unwrap();
    assert_eq!(kept["spec"]["template"]["metadata"]["annotations"]["team"], "shop");
    let deployment = items.iter_mut().find(|i| i["kind"] == "Deployment" && i["metadata"]["name"] == target).unwrap();
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "app:v9".into();
    deployment["metadata"]["generation"] = (deployment["metadata"]["generation"].as_i64().unwrap() + 1).into();
    assert!(apply(&items, &plan).is_err(), "a template changed in between is not retried");
}

#[test]
fn refusals_say_what_to_do() {
    let cases = [
        ("waiting-confirm-rollout", Intent::PromoteFull, "confirm-rollout"),
        ("waiting-confirm-rollout", Intent::Abort, "no user is on it"),
        ("promoting", Intent::Abort, "no longer looks"),
        ("succeeded", Intent::Abort, "nothing is in flight"),
        ("succeeded", Intent::Retry, "nothing has failed"),
        ("succeeded", Intent::PromoteFull, "nothing to promote"),
        ("suspended-in-progress", Intent::PromoteFull, "suspended"),
        ("suspended-in-progress", Intent::Pause, "already suspended"),
        ("progressing-canary-nginx", Intent::Resume, "not suspended"),
        ("progressing-canary-nginx", Intent::Skip, "jumps to 100 %"),
        ("progressing-canary-nginx", Intent::Undo { to: None }, "primary still runs"),
    ];
    for (name, intent, words) in cases {
        let refusal = scene(name).plan(&intent).expect_err(name);
        assert!(refusal.reason.contains(words), "{name} {intent:?}: {}", refusal.reason);
    }
}

#[test]
fn what_must_be_set_back_is_said_before() {
    let full = scene("progressing-canary-nginx").plan(&Intent::PromoteFull).unwrap();
    assert!(
        full.warnings.iter().any(|w| w.severity >= Severity::Warning && w.text.contains("until it is set back")),
        "{:?}",
        full.warnings
    );
    let abort = scene("progressing-canary-not-ready").plan(&Intent::Abort).unwrap();
    assert!(abort.warnings.iter().any(|w| w.text.contains(r#"{"spec":{"progressDeadlineSeconds":60}}"#)), "{:?}", abort.warnings);
    let back = changed("succeeded", |c| c["spec"]["skipAnalysis"] = true.into()).plan(&Intent::Resume).unwrap();
    assert_eq!(ops(&back, 0), ["add /spec/skipAnalysis false"]);
}

#[test]
fn an_effect_counts_when_the_controller_shows_it() {
    let see = |goal: &Goal, s: &Scene| FLAGGER.progress(goal, &s.model(), &s.root, &s.objects);
    let abort = scene("progressing-canary-nginx").plan(&Intent::Abort).unwrap().expect.goal;
    assert_eq!(see(&abort, &scene("progressing-canary-nginx")), Progress::Nothing);
    assert_eq!(see(&abort, &scene("failed-by-status-failedchecks")), Progress::Done);
    assert!(matches!(see(&abort, &scene("promoting-nginx")), Progress::Diverted(_)));
    let full = scene("progressing-bluegreen").plan(&Intent::PromoteFull).unwrap().expect.goal;
    assert_eq!(see(&full, &scene("progressing-bluegreen")), Progress::Nothing);
    assert_eq!(see(&full, &scene("promoting")), Progress::Observed);
    assert_eq!(see(&full, &scene("succeeded")), Progress::Done);
    for (name, ..) in GATED {
        let s = hooked(name, "http://flagger-loadtester.test/gate/check");
        let open = s.plan(&Intent::Promote).unwrap().expect.goal;
        assert_eq!(see(&open, &s), Progress::Nothing, "{name}");
        // The status of a release whose weight rose, or that is being promoted.
        let moved = |phase: &str| {
            changed(name, |c| {
                c["status"]["phase"] = phase.into();
                c["status"]["lastTransitionTime"] = "2026-11-21T03:39:00Z".into();
            })
        };
        assert_eq!(
            see(&open, &moved(if name.starts_with("waiting-promotion") { "Promoting" } else { "Progressing" })),
            Progress::Done,
            "{name}"
        );
        assert!(matches!(see(&open, &moved("Failed")), Progress::Diverted(_)), "{name}");
    }
    let pause = scene("progressing-canary-nginx").plan(&Intent::Pause).unwrap().expect.goal;
    assert_eq!(see(&pause, &scene("suspended-in-progress")), Progress::Done);
    assert_eq!(see(&pause, &scene("progressing-canary-nginx")), Progress::Nothing);
}
