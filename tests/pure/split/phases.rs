//! Phases: which comes next, from when, who else has moved, and where it is kept.

use std::time::Duration;

use rolltop::{
    engine::Progress,
    intent::{Intent, Verb},
    model::{Phase, Severity, StepKind},
    settings::{Conventions, Stage},
};
use serde_json::Value;

use super::kit::{Scene, at, said, scene, sets, weight};

fn mark_of(scene: &Scene) -> Value {
    let annotations = &scene.root().value()["metadata"]["annotations"];
    serde_json::from_str(annotations["rolltop/phase"].as_str().unwrap()).unwrap()
}

fn step(scene: &Scene, intent: &Intent, now: &str) -> Scene {
    scene.apply(&scene.plan_at(intent, now).unwrap_or_else(|r| panic!("{r:?}"))).unwrap()
}

#[test]
fn a_release_from_the_first_phase_to_the_last() {
    let mut scene = scene("httproute").weights(100, 0);
    assert_eq!((scene.model().steps.current, scene.model().phase), (Some(0), Phase::Waiting));
    let mut seen = Vec::new();
    for minute in [0, 5, 15, 25] {
        let now = format!("2026-11-21T05:{minute:02}:00Z");
        let plan = scene.plan_at(&Intent::Promote, &now).unwrap();
        assert_eq!(said(&plan.warnings, Severity::Danger), Vec::<String>::new(), "at {minute}: its time has passed");
        assert_eq!(plan.writes.len(), 1);
        scene = scene.apply(&plan).unwrap();
        assert_eq!(scene.progress(&plan), Progress::Done);
        let model = scene.model();
        seen.push((
            mark_of(&scene)["phase"].clone(),
            mark_of(&scene)["weight"].clone(),
            model.steps.now().map(|s| s.label.to_string()),
            model.next.at,
        ));
    }
    let wanted = [
        (1.into(), 5.into(), Some("pause 5m".to_owned()), Some(at("2026-11-21T05:05:00Z"))),
        (2.into(), 25.into(), Some("pause 10m".to_owned()), Some(at("2026-11-21T05:15:00Z"))),
        (3.into(), 50.into(), Some("pause 10m".to_owned()), Some(at("2026-11-21T05:25:00Z"))),
        (4.into(), 100.into(), None, None),
    ];
    assert_eq!(seen, wanted);
    assert!(scene.model().steps.done());
}

#[test]
fn the_steps_are_the_phases() {
    let model = scene("httproute").model();
    let labels: Vec<&str> = model.steps.items.iter().map(|s| &*s.label).collect();
    let wanted = ["web-canary ready", "weight 5 %", "pause 5m", "weight 25 %", "pause 10m", "weight 50 %", "pause 10m", "weight 100 %"];
    assert_eq!(labels, wanted);
    // 10 % is past the first phase, whoever set it.
    assert_eq!(model.steps.now().map(|s| s.kind.clone()), Some(StepKind::Pause(Some(Duration::from_secs(300)))));
    assert_eq!(&*model.next.what, "nothing by itself: promote (p) sets 25 % on web-canary");
    assert_eq!(model.wait.unwrap().reason.to_string(), "someone promotes to 25 %");
}

#[test]
fn going_on_before_the_time_is_over_must_be_overridden() {
    let first = step(&scene("httproute").weights(100, 0), &Intent::Promote, "2026-11-21T05:00:00Z");
    let dangers = |now: &str| said(&first.plan_at(&Intent::Promote, now).unwrap().warnings, Severity::Danger);
    assert_eq!(dangers("2026-11-21T05:03:00Z"), ["this phase should stand for 2m more"]);
    assert_eq!(dangers("2026-11-21T05:05:00Z"), Vec::<String>::new());
    assert!(said(&first.plan_at(&Intent::Abort, "2026-11-21T05:03:00Z").unwrap().warnings, Severity::Danger).is_empty());
}

#[test]
fn a_pause_is_for_everybody() {
    let first = step(&scene("httproute").weights(100, 0), &Intent::Promote, "2026-11-21T05:00:00Z");
    let plan = first.plan_at(&Intent::Pause, "2026-11-21T05:02:00Z").unwrap();
    assert_eq!(sets(&plan).len(), 1, "the weights stay");
    let paused = first.apply(&plan).unwrap();
    assert_eq!(paused.progress(&plan), Progress::Done);
    assert_eq!((paused.model().phase, paused.model().next.at), (Phase::Paused, None));
    let refusal = paused.plan(&Intent::Promote).unwrap_err();
    assert_eq!((&*refusal.reason, refusal.try_verb), ("the release is paused", Some(Verb::Resume)));
    assert_eq!(paused.refused(&Intent::Pause), "it is paused already");
    assert!(paused.plan(&Intent::Abort).is_ok(), "the way back is always open");
    let resumed = step(&paused, &Intent::Resume, "2026-11-21T05:10:00Z");
    assert_eq!(resumed.model().next.at, Some(at("2026-11-21T05:13:00Z")), "three of five minutes are left");
    assert_eq!(resumed.refused(&Intent::Resume), "it is not paused");
    assert_eq!(scene("httproute").weights(100, 0).refused(&Intent::Pause), "no phase is in progress");
    // A weight set by hand can be paused as well: the phase begins with that.
    let by_hand = step(&scene("httproute"), &Intent::Pause, "2026-11-21T05:00:00Z");
    assert_eq!((mark_of(&by_hand)["weight"].clone(), by_hand.model().phase), (10.into(), Phase::Paused));
}

#[test]
fn an_abort_takes_all_back_and_says_so() {
    let first = step(&scene("httproute").weights(100, 0), &Intent::Promote, "2026-11-21T05:00:00Z");
    let back = step(&first, &Intent::Abort, "2026-11-21T05:01:00Z");
    let model = back.model();
    assert_eq!((model.phase, model.tracks[0].traffic.applied, model.steps.current), (Phase::Aborted, Some(0.0), Some(0)));
    assert_eq!(mark_of(&back)["aborted"], true);
    let again = step(&back, &Intent::Promote, "2026-11-21T05:09:00Z");
    assert_eq!((mark_of(&again)["weight"].clone(), mark_of(&again)["aborted"].clone()), (5.into(), Value::Null));
}

#[test]
fn somebody_elses_weight_is_where_it_goes_on_from() {
    let first = step(&scene("httproute").weights(100, 0), &Intent::Promote, "2026-11-21T05:00:00Z");
    let moved = first.weights(70, 30);
    let words = "the weight was set to 5 % for web-canary, somebody has made it 30 % since: promote goes on from there";
    let model = moved.model();
    assert_eq!(said(&model.notices, Severity::Warning), [words]);
    assert_eq!((model.tracks[0].traffic.desired, model.tracks[0].traffic.applied, model.next.at), (Some(0.05), Some(0.3), None));
    let plan = moved.plan(&Intent::Promote).unwrap();
    assert!(said(&plan.warnings, Severity::Danger).is_empty(), "nobody knows since when");
    assert_eq!(mark_of(&moved.apply(&plan).unwrap())["weight"], 50);
    // Nor does a plan of before hold.
    let stale = scene("httproute").plan(&Intent::Promote).unwrap();
    assert!(scene("httproute").mark(r#"{"phase":2,"since":null,"weight":10}"#).apply(&stale).is_err());
    let garbage = scene("httproute").mark("{\"phase\":\"x\"");
    assert_eq!(
        said(&garbage.model().notices, Severity::Warning),
        ["the annotation rolltop/phase cannot be read: the next promote writes it anew"]
    );
    assert_eq!(mark_of(&garbage.apply(&garbage.plan(&Intent::Promote).unwrap()).unwrap())["weight"], 25);
}

/// The side a release is about stays the same while it is under way, whatever is brought out beside it.
#[test]
fn the_new_side_stays_the_new_side() {
    let first = step(&scene("httproute").weights(100, 0), &Intent::Promote, "2026-11-21T05:00:00Z");
    let hotfix = first.image("web-stable", "registry.example/web:v3");
    assert_eq!(&*hotfix.model().tracks[0].images[0], "registry.example/web:v2");
    assert!(hotfix.plan(&Intent::Abort).unwrap().sentence.starts_with("Sends all requests to web-stable"));
}

#[test]
fn phases_by_name_and_none_at_all() {
    let own = |percent: u8| Stage { percent, hold: None };
    let mut scene = scene("httproute");
    scene.conventions.rollouts =
        [("shop/*".to_owned(), vec![own(30)]), ("shop/w*".to_owned(), vec![own(40), own(60)]), ("other/web".to_owned(), vec![own(1)])]
            .into();
    assert_eq!(mark_of(&step(&scene, &Intent::Promote, "2026-11-21T05:00:00Z"))["weight"], 40, "the pattern that says most");
    let past = scene.clone().weights(30, 70);
    let refusal = past.plan(&Intent::Promote).unwrap_err();
    assert_eq!((&*refusal.reason, refusal.try_verb), ("no phase goes further than 70 % on web-canary", Some(Verb::SetWeight)));
    scene.conventions = Conventions { phases: Vec::new().into(), ..Conventions::default() };
    let refusal = scene.plan(&Intent::Promote).unwrap_err();
    assert_eq!((&*refusal.reason, refusal.try_verb), ("no phase goes further than 10 % on web-canary", Some(Verb::SetWeight)));
    assert!(scene.model().steps.items.is_empty() && scene.plan(&weight(20)).is_ok());
}
