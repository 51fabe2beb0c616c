//! What is written: each plan accepted by the state it was made for, refused by the state after.

use rolltop::{
    engine::{Engine, Patch, Plan, Progress, flagger::FLAGGER},
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
                assert!(["Canary", "Deployment"].contains(&plan.writes[i].resource.kind), "{name} {verb:?}");
            }
        }
    }
}

pub fn plain(verb: Verb) -> Option<Intent> {
    rolltop::state::available::plain(verb)
}

#[test]
fn a_gate_is_opened_where_it_stands() {
    for name in ["waiting-confirm-rollout", "waiting-promotion-nginx", "progressing-traffic-gate-closed"] {
        let s = scene(name);
        let refusal = s.plan(&Intent::Promote).unwrap_err();
        let instead = refusal.instead.unwrap();
        let wanted = format!(r#"curl -d '{{"name":"{}","namespace":"shop"}}' http://loadtester.example/gate/open"#, s.root.meta.name);
        assert!(instead.contains(&wanted), "{name}: {instead}");
    }
    // The URL is somebody's text: nothing of it may reach a shell that is no URL.
    for url in ["http://x/'; rm -rf ~;'/gate/check", "http://x/$(id)/gate/check", "http://own.example/approve"] {
        let s = changed("waiting-promotion-nginx", |c| c["spec"]["analysis"]["webhooks"][0]["url"] = url.into());
        let instead = s.plan(&Intent::Promote).unwrap_err().instead.unwrap();
        assert!(!instead.contains("curl"), "{instead}");
    }
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
    let see = |goal, s: &Scene| FLAGGER.progress(goal, &s.model(), &s.root, &s.objects);
    let abort = scene("progressing-canary-nginx").plan(&Intent::Abort).unwrap().expect.goal;
    assert_eq!(see(&abort, &scene("progressing-canary-nginx")), Progress::Nothing);
    assert_eq!(see(&abort, &scene("failed-by-status-failedchecks")), Progress::Done);
    assert!(matches!(see(&abort, &scene("promoting-nginx")), Progress::Diverted(_)));
    let full = scene("progressing-bluegreen").plan(&Intent::PromoteFull).unwrap().expect.goal;
    assert_eq!(see(&full, &scene("progressing-bluegreen")), Progress::Nothing);
    assert_eq!(see(&full, &scene("promoting")), Progress::Observed);
    assert_eq!(see(&full, &scene("succeeded")), Progress::Done);
    let pause = scene("progressing-canary-nginx").plan(&Intent::Pause).unwrap().expect.goal;
    assert_eq!(see(&pause, &scene("suspended-in-progress")), Progress::Done);
    assert_eq!(see(&pause, &scene("progressing-canary-nginx")), Progress::Nothing);
}
