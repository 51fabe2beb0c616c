//! The reducer with the real engine on recorded objects: what keys may do, and what they may never do.

mod armed;
mod promotion;

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    cluster::decode,
    config::keys,
    engine::{ENGINES, Plan},
    guard::Grant,
    intent::Verb,
    model::{
        Link, LinkState, Source, log,
        metrics::{Block, Counts, Reading},
    },
    msg::{Body, Check, Findings, Msg, Outcome},
    object::{Object, Resource, kinds},
};

const ROUTER_PAUSED: &str = include_str!("../../tests/fixtures/argo/canary-router-paused-at-step.json");
const ABORTED: &str = include_str!("../../tests/fixtures/argo/canary-router-aborted.json");

const FLIPPED: &str = include_str!("../../tests/fixtures/argo/bluegreen-promoted-scale-down-delay.json");

fn at(seconds: i64) -> Time {
    Time::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn later(seconds: f64) -> Time {
    at(0) + chrono::TimeDelta::milliseconds((seconds * 1000.0) as i64)
}

const READ: [&Resource; 6] = [&kinds::ROLLOUT, &kinds::REPLICA_SET, &kinds::POD, &kinds::SERVICE, &kinds::INGRESS, &kinds::EVENT];

fn object(value: &Value) -> Option<Object> {
    let resource = READ.into_iter().find(|r| value["kind"] == r.kind)?;
    decode::object(resource, value.to_string().as_bytes()).ok()
}

fn items(list: &str) -> Vec<Value> {
    serde_json::from_str::<Value>(list).unwrap()["items"].as_array().unwrap().clone()
}

/// A state that has seen these objects, the rollout open, everything live.
fn state(list: &str, mode: Mode) -> State {
    let keys = keys::bind(&Default::default(), &mut Vec::new());
    let mut state = State::new(mode, "prod", "all namespaces", Settings::default(), keys);
    if mode == Mode::Interactive {
        state.grant = Some(Arc::new(Grant::for_test()));
    }
    state.view.size = (120, 40);
    live(&mut state, Source::Fleet, at(0));
    for value in items(list) {
        if let Some(object) = object(&value) {
            send(&mut state, Body::Applied { source: Source::Fleet, scope: 0, object: Box::new(object) });
        }
    }
    update::settle(&mut state, at(0));
    press(&mut state, "enter", at(0));
    for value in items(list) {
        if let Some(object) = object(&value) {
            send(&mut state, Body::Applied { source: Source::Detail, scope: 0, object: Box::new(object) });
        }
    }
    state
}

fn live(state: &mut State, source: Source, now: Time) {
    let link = Link { state: LinkState::Live, heard: Some(now), synced: Some(now), ..Link::default() };
    send(state, Body::Link(source, link));
}

fn send(state: &mut State, body: Body) -> Vec<Effect> {
    update(state, Event::Msg(Msg { at: at(0), epoch: 0, body }), at(0))
}

fn press(state: &mut State, name: &str, now: Time) -> Vec<Effect> {
    let mut chars = name.chars();
    let text = match (name, chars.next(), chars.next()) {
        ("space", ..) => Some(' '),
        (_, Some(c), None) => Some(c),
        _ => None,
    };
    update(state, Event::Key(Key { name: name.into(), text }), now)
}

fn acts(effects: &[Effect]) -> usize {
    effects.iter().filter(|e| matches!(e, Effect::Act { .. })).count()
}

fn rehearsals(effects: &[Effect]) -> usize {
    effects.iter().filter(|e| matches!(e, Effect::Rehearse { .. })).count()
}

/// The server answers an open card: everything is fine.
fn approve_of(state: &mut State) {
    let (number, plan) = open_plan(state);
    let findings = Findings { root: None, dry_run: Check::Yes, rights: Check::Yes, health: None, plan };
    send(state, Body::Rehearsed { card: number, findings: Box::new(findings) });
}

fn open_plan(state: &State) -> (u64, Plan) {
    let card = state.card.as_ref().expect("a card");
    (card.number, card.plan.clone().unwrap_or_else(|| panic!("{:?}", card.stage)))
}

fn stage(state: &State) -> &Stage {
    &state.card.as_ref().expect("a card").stage
}

/// The root object with something changed.
fn changed(list: &str, change: impl Fn(&mut Value)) -> Object {
    let mut root = items(list).into_iter().find(|v| v["kind"] == "Rollout").unwrap();
    change(&mut root);
    object(&root).unwrap()
}

#[test]
fn one_consent_is_one_write() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    assert_eq!(rehearsals(&press(&mut state, "p", at(0))), 1);
    assert_eq!(acts(&press(&mut state, "y", at(5))), 0, "the server has not spoken yet");
    approve_of(&mut state);
    assert_eq!(acts(&press(&mut state, "y", later(0.1))), 0, "nobody reads that fast");
    assert_eq!(acts(&press(&mut state, "y", later(0.5))), 1);
    for key in ["y", "y", "p", "y", "enter"] {
        assert_eq!(acts(&press(&mut state, key, later(0.6))), 0, "{key}");
    }
}

#[test]
fn a_hint_goes_with_the_first_action_or_when_sent_away() {
    let mut acted = state(ROUTER_PAUSED, Mode::Interactive);
    acted.hint = Some("{promote} it".into());
    press(&mut acted, "p", at(0));
    approve_of(&mut acted);
    assert!(acted.hint.is_some(), "nothing was done yet");
    press(&mut acted, "y", later(0.5));
    assert!(acted.hint.is_none());
    let mut away = state(ROUTER_PAUSED, Mode::Watch);
    away.hint = Some("{promote} it".into());
    press(&mut away, "esc", at(0));
    assert!(away.hint.is_some(), "that closed the rollout");
    press(&mut away, "esc", at(0));
    assert!(away.hint.is_none());
}

#[test]
fn a_watch_session_refuses_and_could_not_act_if_it_wanted() {
    for verb in Verb::ALL {
        let mut state = state(ROUTER_PAUSED, Mode::Watch);
        let mut effects = Vec::new();
        action::begin(&mut state, verb, at(1), &mut effects);
        if let Some(card) = &state.card {
            assert!(matches!(card.stage, Stage::Refused(_)), "{verb:?}: {:?}", card.stage);
        }
        assert_eq!(rehearsals(&effects) + acts(&effects), 0);
    }
    // Even a card that says yes to everything comes to nothing without a grant.
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    state.grant = None;
    press(&mut state, "p", at(0));
    approve_of(&mut state);
    assert_eq!(acts(&press(&mut state, "y", at(5))), 0);
}

#[test]
fn what_speaks_against_it_must_be_overridden() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    // Prometheus is configured but says nothing.
    state.settings.prometheus = true;
    press(&mut state, "p", at(0));
    approve_of(&mut state);
    assert!(!state.card.as_ref().unwrap().objections.is_empty());
    assert_eq!(acts(&press(&mut state, "y", at(5))), 0);
    press(&mut state, "o", at(6));
    assert_eq!(acts(&press(&mut state, "y", at(7))), 1);
}

#[test]
fn stale_evidence_never_blocks_an_abort() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    state.settings.prometheus = true;
    state.settings.protected = true;
    let link = Link { state: LinkState::TimedOut, heard: Some(at(-500)), ..Link::default() };
    send(&mut state, Body::Link(Source::Prometheus, link.clone()));
    send(&mut state, Body::Link(Source::Fleet, link));
    press(&mut state, "a", at(0));
    approve_of(&mut state);
    assert_eq!(acts(&press(&mut state, "y", at(5))), 1);
}

#[test]
fn fresh_good_metrics_need_no_override() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    state.settings.prometheus = true;
    live(&mut state, Source::Prometheus, at(0));
    let id = state.open().unwrap().rollout.id.clone();
    let mut metrics = RolloutMetrics { at: Some(at(0)), measured_share: Some(0.25), ..Default::default() };
    metrics.new.errors = Reading::Value(0.001);
    metrics.old.errors = Reading::Value(0.001);
    send(&mut state, Body::Metrics(vec![(id, metrics)]));
    press(&mut state, "p", at(0));
    assert_eq!(state.card.as_ref().unwrap().objections, []);
}

#[test]
fn a_protected_context_wants_the_name() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    state.settings.protected = true;
    press(&mut state, "p", at(0));
    approve_of(&mut state);
    assert_eq!(acts(&press(&mut state, "y", at(5))), 0);
    press(&mut state, "backspace", at(5));
    for c in state.open().unwrap().rollout.id.name.to_string().chars() {
        press(&mut state, &c.to_string(), at(6));
    }
    assert_eq!(acts(&press(&mut state, "y", at(7))), 1);
}

#[test]
fn when_the_ground_moves_the_card_says_so_and_the_old_answer_is_void() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    press(&mut state, "p", at(0));
    let (number, old) = open_plan(&state);
    approve_of(&mut state);
    // The pause that was read about ended, and the next one began.
    let moved = changed(ROUTER_PAUSED, |r| {
        r["metadata"]["resourceVersion"] = "9999".into();
        r["status"]["currentStepIndex"] = json!(3);
        r["status"]["pauseConditions"][0]["startTime"] = "2026-11-21T04:00:00Z".into();
    });
    let effects = send(&mut state, Body::Applied { source: Source::Fleet, scope: 0, object: Box::new(moved) });
    assert_eq!(rehearsals(&effects), 1);
    assert!(state.card.as_ref().unwrap().moved.is_some());
    assert_eq!(acts(&press(&mut state, "y", at(5))), 0);
    // A late answer about the old plan does not count for the new one.
    let findings = Findings { root: None, dry_run: Check::Yes, rights: Check::Yes, health: None, plan: old };
    send(&mut state, Body::Rehearsed { card: number, findings: Box::new(findings) });
    assert_eq!(acts(&press(&mut state, "y", at(6))), 0);
    approve_of(&mut state);
    assert_eq!(acts(&press(&mut state, "y", at(9))), 1);
}

#[test]
fn a_pause_that_ended_turns_the_card_into_a_refusal() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    press(&mut state, "p", at(0));
    approve_of(&mut state);
    let moved = changed(ROUTER_PAUSED, |r| {
        r["metadata"]["resourceVersion"] = "9999".into();
        r["status"]["currentStepIndex"] = json!(2);
        r["status"]["pauseConditions"] = Value::Null;
        r["status"]["controllerPause"] = json!(false);
        r["status"]["phase"] = "Progressing".into();
        r["status"]["message"] = "more replicas need to be updated".into();
    });
    send(&mut state, Body::Applied { source: Source::Fleet, scope: 0, object: Box::new(moved) });
    assert!(matches!(stage(&state), Stage::Refused(_)), "{:?}", stage(&state));
    assert_eq!(acts(&press(&mut state, "y", at(5))), 0);
}

#[test]
fn a_dry_run_that_fails_or_missing_rights_leave_only_cancel() {
    for no in [
        Findings { root: None, dry_run: Check::No("422".into()), rights: Check::Yes, health: None, plan: dummy() },
        Findings { root: None, dry_run: Check::Yes, rights: Check::No("patch".into()), health: None, plan: dummy() },
    ] {
        let mut state = state(ROUTER_PAUSED, Mode::Interactive);
        press(&mut state, "p", at(0));
        let (number, plan) = open_plan(&state);
        send(&mut state, Body::Rehearsed { card: number, findings: Box::new(Findings { plan, ..no }) });
        for key in ["o", "y", "enter", "y"] {
            assert_eq!(acts(&press(&mut state, key, at(5))), 0, "{key}");
        }
        press(&mut state, "esc", at(6));
        assert!(state.card.is_none());
    }
}

fn dummy() -> Plan {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    press(&mut state, "p", at(0));
    open_plan(&state).1
}

#[test]
fn frozen_and_unobserved_pictures_are_no_ground_to_act_on() {
    let mut frozen = state(ROUTER_PAUSED, Mode::Interactive);
    press(&mut frozen, "z", at(0));
    press(&mut frozen, "p", at(1));
    assert!(matches!(stage(&frozen), Stage::Refused(_)));

    let mut unseen = state(ROUTER_PAUSED, Mode::Interactive);
    let newer = changed(ROUTER_PAUSED, |r| {
        r["metadata"]["generation"] = json!(99);
        r["metadata"]["resourceVersion"] = "9999".into();
    });
    send(&mut unseen, Body::Applied { source: Source::Fleet, scope: 0, object: Box::new(newer) });
    press(&mut unseen, "p", at(1));
    assert!(matches!(stage(&unseen), Stage::Refused(_)));
    // Half a minute later this is a controller that is not there.
    update(&mut unseen, Event::Tick, at(40));
    assert_eq!(unseen.open().unwrap().rollout.phase, crate::model::Phase::Stuck);
}

#[test]
fn the_writers_reports_become_stages() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    press(&mut state, "p", at(0));
    approve_of(&mut state);
    press(&mut state, "y", at(5));
    let number = state.card.as_ref().unwrap().number;
    let mut report = |outcome| {
        send(&mut state, Body::Acted { card: number, outcome });
        stage(&state).clone()
    };
    assert!(matches!(report(Outcome::Unknown { said: "504".into(), done: 0 }), Stage::Unknown { .. }));
    assert!(matches!(report(Outcome::Accepted { generation: 4 }), Stage::Accepted { .. }));
    // Accepted, and then nothing: a state of its own.
    update(&mut state, Event::Tick, at(600));
    assert!(matches!(stage(&state), Stage::Silent { .. }), "{:?}", stage(&state));
    assert!(matches!(
        {
            send(&mut state, Body::Acted { card: number, outcome: Outcome::Conflict { said: "x".into(), done: 0 } });
            stage(&state)
        },
        Stage::Conflict { .. }
    ));
    send(&mut state, Body::Acted { card: number, outcome: Outcome::NotSent { said: "x".into() } });
    assert_eq!(*stage(&state), Stage::NotSent { said: "x".into() });
}

#[test]
fn an_unknown_outcome_is_settled_by_the_watch() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    press(&mut state, "p", at(0));
    approve_of(&mut state);
    press(&mut state, "y", at(5));
    let number = state.card.as_ref().unwrap().number;
    send(&mut state, Body::Acted { card: number, outcome: Outcome::Unknown { said: "504".into(), done: 0 } });
    let done = changed(ROUTER_PAUSED, |r| {
        r["metadata"]["resourceVersion"] = "9999".into();
        r["status"]["currentStepIndex"] = json!(3);
        r["status"]["pauseConditions"][0]["startTime"] = "2026-11-21T04:00:00Z".into();
        r["status"]["canary"]["weights"]["canary"]["weight"] = json!(50);
    });
    send(&mut state, Body::Applied { source: Source::Fleet, scope: 0, object: Box::new(done) });
    assert!(matches!(stage(&state), Stage::Done { .. }), "{:?}", stage(&state));
}

#[test]
fn a_rollout_deleted_while_open_stays_readable_and_cannot_be_acted_on() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    let uid = Text::from(&*state.open().unwrap().rollout.id.uid);
    send(&mut state, Body::Deleted { source: Source::Fleet, resource: &kinds::ROLLOUT, uid });
    assert!(state.open().unwrap().deleted.is_some());
    press(&mut state, "a", at(1));
    assert!(matches!(stage(&state), Stage::Refused(_)));
    press(&mut state, "esc", at(2));
    press(&mut state, "esc", at(2));
    assert!(state.rollouts.is_empty());
}

#[test]
fn a_new_list_of_one_stream_leaves_the_others_objects_alone() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    assert_eq!(state.rollouts.len(), 1);
    let other = changed(ABORTED, |r| r["metadata"]["uid"] = "other".into());
    send(&mut state, Body::Snapshot { source: Source::Fleet, resource: &kinds::ROLLOUT, scope: 1, objects: vec![other] });
    assert_eq!(state.rollouts.len(), 2);
    send(&mut state, Body::Snapshot { source: Source::Fleet, resource: &kinds::ROLLOUT, scope: 1, objects: vec![] });
    assert_eq!(state.rollouts.len(), 1);
}

#[test]
fn messages_of_a_closed_rollout_are_dropped() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    let old = state.epoch;
    press(&mut state, "esc", at(1));
    let pods = state.objects.count(&kinds::POD);
    let pod = object(&json!({"kind": "Pod", "metadata": {"name": "late", "namespace": "shop", "uid": "late"}})).unwrap();
    update(
        &mut state,
        Event::Msg(Msg { at: at(2), epoch: old, body: Body::Applied { source: Source::Detail, scope: 0, object: Box::new(pod) } }),
        at(2),
    );
    assert_eq!(state.objects.count(&kinds::POD), pods);
}

#[test]
fn a_filter_takes_letters_that_are_keys_elsewhere() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    press(&mut state, "esc", at(1));
    for key in ["/", "p", "a", "y", "j"] {
        press(&mut state, key, at(1));
    }
    assert_eq!(state.view.filter.text, "payj");
    assert!(state.card.is_none());
    update::settle(&mut state, at(1));
    assert!(state.order.is_empty());
}

#[test]
fn every_engine_is_found_by_its_kind_and_its_roots_are_watched() {
    for engine in ENGINES {
        assert!(crate::engine::of(engine.kind()).is_some_and(|found| found.descriptor().roots == engine.descriptor().roots));
        assert!(engine.descriptor().roots.iter().all(|root| crate::engine::fleet_kinds().contains(root)));
    }
}

#[test]
fn one_burst_cannot_override_and_confirm() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    state.settings.prometheus = true;
    press(&mut state, "p", at(0));
    approve_of(&mut state);
    for key in ["s", "o", "space", "t", "o", "d", "a", "y", "y", "y"] {
        assert_eq!(acts(&press(&mut state, key, at(5))), 0, "{key}");
    }
    // A held key is a burst without end.
    for i in 0..100 {
        assert_eq!(acts(&press(&mut state, "y", later(5.03 + f64::from(i) * 0.03))), 0);
    }
    assert_eq!(acts(&press(&mut state, "y", later(12.0))), 1);
}

#[test]
fn the_name_of_another_rollout_that_begins_alike_is_not_this_ones() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    state.settings.protected = true;
    press(&mut state, "p", at(0));
    approve_of(&mut state);
    let other = format!("{}-gateway", state.open().unwrap().rollout.id.name);
    for c in other.chars() {
        assert_eq!(acts(&press(&mut state, &c.to_string(), at(6))), 0, "{c}");
    }
    assert_eq!(acts(&press(&mut state, "y", at(7))), 0);
}

#[test]
fn evidence_that_goes_stale_under_an_open_card_counts() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    press(&mut state, "p", at(0));
    approve_of(&mut state);
    assert!(state.card.as_ref().unwrap().objections.is_empty());
    update(&mut state, Event::Tick, at(120));
    assert!(!state.card.as_ref().unwrap().objections.is_empty(), "the fleet was last heard two minutes ago");
    assert_eq!(acts(&press(&mut state, "y", at(125))), 0);
    press(&mut state, "o", at(126));
    assert_eq!(acts(&press(&mut state, "y", at(127))), 1);
}

/// Readings with these steps of five seconds counted: of 50 requests of the new side and 450 of the old one so many failed.
fn counted(begin: Time, steps: std::ops::Range<i64>, new_bad: f64, old_bad: f64) -> RolloutMetrics {
    let counts = |all, bad| Some(Counts { all, bad, timed: None });
    let block = |i: i64| Block {
        from: begin + TimeDelta::seconds(5 * i),
        to: begin + TimeDelta::seconds(5 * i + 5),
        new: counts(50.0, new_bad),
        old: counts(450.0, old_bad),
        stretch: 1.0,
    };
    let mut metrics = RolloutMetrics { at: Some(at(0)), blocks: steps.map(block).collect(), ..Default::default() };
    (metrics.new.rate, metrics.old.rate) = (Reading::Value(10.0), Reading::Value(90.0));
    metrics
}

#[test]
fn a_canary_that_is_found_worse_needs_an_override() {
    for (bad, blocked) in [(12.0, true), (1.0, false)] {
        let mut state = state(ROUTER_PAUSED, Mode::Interactive);
        let (id, created) = {
            let rollout = &state.open().unwrap().rollout;
            (rollout.id.clone(), rollout.new_side().unwrap().created)
        };
        let begin = created.unwrap_or(at(-600));
        send(&mut state, Body::Metrics(vec![(id, counted(begin, 0..24, bad, 9.0))]));
        press(&mut state, "p", at(0));
        let objections = &state.card.as_ref().unwrap().objections;
        assert_eq!(objections.iter().any(|o| o.text.contains("ABORT is advised")), blocked, "{bad} {objections:?}");
    }
}

/// When an abort was first advised is part of the story, and told once.
#[test]
fn the_timeline_tells_when_an_abort_was_advised() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    let (id, begin) = {
        let rollout = &state.open().unwrap().rollout;
        (rollout.id.clone(), rollout.new_side().unwrap().created.unwrap_or(at(-600)))
    };
    for round in 0..3 {
        send(&mut state, Body::Metrics(vec![(id.clone(), counted(begin, round * 24..(round + 1) * 24, 12.0, 1.0))]));
    }
    let told: Vec<&str> = state.timeline.iter().filter(|e| &*e.reason == "verdict").map(|e| &*e.message).collect();
    assert!(told.len() == 1 && told[0].starts_with("ABORT advised: canary fails"), "{told:?}");
}

/// Whoever has scrolled back reads on undisturbed; at the end one sees what comes.
#[test]
fn logs_stay_where_one_reads_them() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    press(&mut state, "l", at(0));
    let news = |n: usize| {
        let line = |i: usize| log::Line { at: Some(at(i as i64)), pod: "web-1".into(), text: format!("line {i}").into(), before: false };
        Body::Log(Box::new(log::News { pod: "web-1".into(), lines: (0..n).map(line).collect(), skipped: 0, following: None }))
    };
    send(&mut state, news(20));
    assert_eq!(state.view.scroll, 0);
    press(&mut state, "k", at(0));
    press(&mut state, "k", at(0));
    assert_eq!(state.view.scroll, 2, "up is back in time");
    send(&mut state, news(5));
    assert_eq!(state.view.scroll, 7);
    press(&mut state, "G", at(0));
    assert_eq!(state.view.scroll, 0);
    // Esc takes the filter away first, then the pane; closing forgets what was written.
    for (key, shown) in [("/", "l"), ("x", "l"), ("enter", "l"), ("esc", "l"), ("esc", "")] {
        let text = (key.len() == 1).then(|| key.chars().next()).flatten();
        update(&mut state, Event::Key(Key { name: key.into(), text }), at(0));
        assert_eq!(state.view.reads_logs(), shown == "l", "{key}");
    }
    assert!(state.view.log_filter.is_empty() && state.view.filter.is_empty());
    press(&mut state, "esc", at(0));
    assert!(state.pod_logs.lines.is_empty());
}

#[test]
fn a_slow_dry_run_does_not_bring_an_older_picture_back() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    press(&mut state, "a", at(0));
    let (number, plan) = open_plan(&state);
    let old = changed(ROUTER_PAUSED, |_| {});
    let newer = changed(ROUTER_PAUSED, |r| {
        r["metadata"]["resourceVersion"] = "9999999".into();
        r["status"]["currentStepIndex"] = json!(3);
    });
    send(&mut state, Body::Applied { source: Source::Fleet, scope: 0, object: Box::new(newer) });
    let findings = Findings { root: Some(old), dry_run: Check::Yes, rights: Check::Yes, health: None, plan };
    send(&mut state, Body::Rehearsed { card: number, findings: Box::new(findings) });
    assert_eq!(state.open().unwrap().rollout.steps.current, Some(3));
}

#[test]
fn a_card_that_does_not_fit_cannot_be_confirmed_but_an_abort_can() {
    for (key, acted) in [("p", 0), ("a", 1)] {
        let mut state = state(ROUTER_PAUSED, Mode::Interactive);
        state.view.size = (100, 1);
        press(&mut state, key, at(0));
        approve_of(&mut state);
        assert_eq!(acts(&press(&mut state, "y", at(5))), acted, "{key}");
    }
}

#[test]
fn what_could_not_be_asked_is_asked_again_when_the_server_is_back() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    press(&mut state, "p", at(0));
    let (number, plan) = open_plan(&state);
    let findings = Findings { root: None, dry_run: Check::Unknown("no answer".into()), rights: Check::Yes, health: None, plan };
    send(&mut state, Body::Rehearsed { card: number, findings: Box::new(findings) });
    assert_eq!(rehearsals(&update(&mut state, Event::Tick, at(2))), 0, "not over and over");
    assert_eq!(rehearsals(&update(&mut state, Event::Tick, at(8))), 1);
    assert_eq!(state.card.as_ref().unwrap().dry_run, Check::Pending);
}

#[test]
fn half_a_plan_is_not_reported_as_nothing() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    press(&mut state, "a", at(0));
    approve_of(&mut state);
    press(&mut state, "y", at(5));
    let number = state.card.as_ref().unwrap().number;
    send(&mut state, Body::Acted { card: number, outcome: Outcome::Conflict { said: "422".into(), done: 1 } });
    assert!(matches!(stage(&state), Stage::Unknown { .. }), "{:?}", stage(&state));
}

#[test]
fn an_image_typed_for_one_rollout_never_opens_a_card_for_another() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    press(&mut state, "i", at(0));
    assert!(matches!(state.view.overlay, Some(Overlay::Prompt(_))), "{:?}", state.view.overlay);
    state.view.asked_about = Some("another".into());
    press(&mut state, "enter", at(1));
    assert!(state.card.is_none());
}

#[test]
fn what_was_seen_and_done_outlives_leaving_the_rollout() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    press(&mut state, "p", at(0));
    press(&mut state, "esc", at(1));
    let lines = state.timeline.iter().filter(|e| e.origin == crate::timeline::Origin::You).count();
    assert_eq!(lines, 1);
    press(&mut state, "esc", at(2));
    update::settle(&mut state, at(2));
    press(&mut state, "enter", at(3));
    assert_eq!(state.timeline.iter().filter(|e| e.origin == crate::timeline::Origin::You).count(), 1);
}

#[test]
fn what_was_done_is_dated_by_the_key_press_not_by_its_card() {
    for leave in [|state: &mut State| drop(press(state, "esc", at(200))), |state: &mut State| drop(press(state, "a", at(200)))] {
        let mut state = state(ROUTER_PAUSED, Mode::Interactive);
        press(&mut state, "p", at(0));
        approve_of(&mut state);
        press(&mut state, "y", at(145));
        let number = state.card.as_ref().unwrap().number;
        send(&mut state, Body::Acted { card: number, outcome: Outcome::Refused { said: "no".into(), done: 0 } });
        leave(&mut state);
        let done = state.timeline.iter().find(|e| e.origin == crate::timeline::Origin::You).expect("a line");
        assert_eq!(done.at, at(145), "{done:?}");
        assert_eq!(state.note.as_ref().map(|(said, _)| *said), Some(at(200)), "said when the card went");
    }
}

#[test]
fn the_bottom_line_offers_what_would_not_be_refused() {
    let bottom = |state: &mut State| {
        update::settle(state, at(1));
        let mut terminal = ratatui::Terminal::new(ratatui::backend::TestBackend::new(120, 40)).unwrap();
        terminal.draw(|frame| _ = crate::ui::draw(frame, state, at(1))).unwrap();
        let cells = &terminal.backend().buffer().content;
        cells[39 * 120..].iter().map(ratatui::buffer::Cell::symbol).collect::<String>()
    };
    let mut paused = state(ROUTER_PAUSED, Mode::Interactive);
    let said = bottom(&mut paused);
    assert!(["promote", "pause", "abort"].iter().all(|word| said.contains(word)), "{said}");
    // Argo acts on none of them before the controller has seen the last change.
    let root = changed(ROUTER_PAUSED, |root| root["metadata"]["generation"] = 99.into());
    send(&mut paused, Body::Applied { source: Source::Fleet, scope: 0, object: Box::new(root) });
    let said = bottom(&mut paused);
    assert!(said.contains("undo") && !["promote", "pause", "abort"].iter().any(|word| said.contains(word)), "{said}");
}

fn any_event() -> impl Strategy<Value = Event> {
    let keys = prop::sample::select(vec![
        "p",
        "P",
        "a",
        "f",
        "r",
        "u",
        "R",
        "i",
        "space",
        "o",
        "enter",
        "esc",
        "tab",
        "1",
        "/",
        ":",
        "?",
        "j",
        "k",
        "z",
        "d",
        "t",
        "backspace",
        "x",
        "q",
        "ctrl-c",
    ]);
    prop_oneof![
        8 => keys.prop_map(|k: &str| Event::Key(Key { name: k.into(), text: (k.len() == 1).then(|| k.chars().next().unwrap()) })),
        1 => Just(Event::Paste("poy\npy".into())),
        1 => (0u16..40).prop_map(|row| Event::Click { row }),
        1 => Just(Event::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever else is pressed, pasted or clicked: without the one confirming key nothing is ever sent.
    #[test]
    fn nothing_but_y_acts(events in prop::collection::vec(any_event(), 1..60)) {
        let mut state = state(ROUTER_PAUSED, Mode::Interactive);
        for (i, event) in events.into_iter().enumerate() {
            let now = at(i as i64 * 2);
            let effects = update(&mut state, event, now);
            prop_assert_eq!(acts(&effects), 0);
            if state.card.as_ref().is_some_and(|c| c.plan.is_some() && c.stage == Stage::Asking) {
                approve_of(&mut state);
            }
            update::settle(&mut state, now);
        }
    }
}

#[test]
fn the_property_above_can_fail() {
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    press(&mut state, "p", at(0));
    approve_of(&mut state);
    assert_eq!(acts(&press(&mut state, "y", at(2))), 1);
    assert!(Duration::from_secs(2) > crate::guard::READING_TIME);
}

#[test]
fn a_flip_back_from_the_fleet_looks_for_the_old_pods_before_it_answers() {
    let mut state = state(FLIPPED, Mode::Interactive);
    press(&mut state, "esc", at(1));
    press(&mut state, "s", at(1));
    update::settle(&mut state, at(1));
    assert!(state.view.screen == Screen::Fleet && state.subject().is_some_and(|k| !k.rollout.detailed));
    press(&mut state, "f", at(2));
    assert!(state.card.is_none(), "answered without having looked");
    assert!(state.view.screen != Screen::Fleet);
    for value in items(FLIPPED) {
        if let Some(object) = object(&value) {
            send(&mut state, Body::Applied { source: Source::Detail, scope: 0, object: Box::new(object) });
        }
    }
    let card = state.card.as_ref().unwrap();
    assert_eq!(card.intent, crate::intent::Intent::Flip);
    assert!(card.plan.is_some(), "{:?}", card.stage);
}

#[test]
fn a_key_that_comes_before_the_details_waits_for_them_but_not_for_what_may_not_be_read() {
    let mut state = state(FLIPPED, Mode::Interactive);
    press(&mut state, "esc", at(1));
    press(&mut state, "s", at(1));
    update::settle(&mut state, at(1));
    press(&mut state, "enter", at(2));
    assert!(state.open().is_some_and(|k| !k.rollout.detailed));
    press(&mut state, "f", at(2));
    assert!(state.card.is_none(), "answered without having looked");
    let link = Link { state: LinkState::Live, ..Link::default() };
    send(&mut state, Body::Link(Source::Detail, link));
    assert!(state.card.is_some(), "nothing more will come");
}

mod flag;

/// The fleet screen over these, one for each name: the first recorded object under another name and uid.
fn fleet_of(list: &str, names: &[&str]) -> State {
    let mut state = state(list, Mode::Interactive);
    press(&mut state, "esc", at(0));
    let uid = state.rollouts.keys().next().cloned().unwrap();
    send(&mut state, Body::Deleted { source: Source::Fleet, resource: &kinds::ROLLOUT, uid });
    for name in names {
        let root = named(list, name, |_| {});
        send(&mut state, Body::Applied { source: Source::Fleet, scope: 0, object: Box::new(root) });
    }
    state.view.selected_uid = None;
    state.view.selected = 0;
    update::settle(&mut state, at(0));
    state
}

fn named(list: &str, name: &str, change: impl Fn(&mut Value)) -> Object {
    changed(list, |root| {
        root["metadata"]["uid"] = name.into();
        root["metadata"]["name"] = name.into();
        change(root);
    })
}

fn subject(state: &State) -> Option<String> {
    state.subject().map(|known| known.rollout.id.name.to_string())
}

/// It is stable now: nothing of it moves any more.
fn completed(root: &mut Value) {
    root["metadata"]["resourceVersion"] = "9999".into();
    root["status"]["stableRS"] = root["status"]["currentPodHash"].clone();
    root["status"]["currentStepIndex"] = root["spec"]["strategy"]["canary"]["steps"].as_array().unwrap().len().into();
    root["status"]["pauseConditions"] = Value::Null;
    root["status"]["controllerPause"] = json!(false);
    root["status"]["phase"] = "Healthy".into();
    root["status"]["message"] = Value::Null;
}

fn apply(state: &mut State, object: Object, now: Time) {
    let body = Body::Applied { source: Source::Fleet, scope: 0, object: Box::new(object) };
    update(state, Event::Msg(Msg { at: now, epoch: 0, body }), now);
    update::settle(state, now);
}

#[test]
fn after_an_act_the_same_key_means_the_same_rollout() {
    let mut state = fleet_of(ROUTER_PAUSED, &["alpha", "beta"]);
    assert_eq!((subject(&state).as_deref(), state.view.selected_uid.as_deref()), (Some("alpha"), None));
    press(&mut state, "P", at(1));
    press(&mut state, "esc", at(2));
    apply(&mut state, named(ROUTER_PAUSED, "alpha", completed), at(3));
    assert_eq!(subject(&state).as_deref(), Some("alpha"), "{:?}", state.order);
    press(&mut state, "P", at(4));
    assert_eq!(state.card.as_ref().map(|card| &*card.target.name), Some("alpha"));
}

#[test]
fn what_has_just_ended_is_not_folded_away() {
    let mut state = fleet_of(ROUTER_PAUSED, &["alpha", "beta", "gamma"]);
    apply(&mut state, named(ROUTER_PAUSED, "gamma", completed), at(3));
    let rows = |state: &State| state.order.iter().map(|uid| uid.to_string()).collect::<Vec<_>>();
    assert_eq!(rows(&state), ["alpha", "beta", "gamma"]);
    update(&mut state, Event::Tick, at(3 + 599));
    update::settle(&mut state, at(3 + 599));
    assert_eq!(rows(&state).len(), 3);
    update(&mut state, Event::Tick, at(3 + 600));
    update::settle(&mut state, at(3 + 600));
    assert_eq!(rows(&state), ["alpha", "beta"], "ten minutes later it is one of many");
}

#[test]
fn a_row_that_vanishes_leaves_the_keys_with_nobody() {
    for key in ["p", "P", "a", "f", "space", "A", "u", "R", "i", "enter"] {
        let mut state = fleet_of(ROUTER_PAUSED, &["alpha", "beta", "gamma"]);
        press(&mut state, "j", at(1));
        assert_eq!(subject(&state).as_deref(), Some("beta"));
        send(&mut state, Body::Deleted { source: Source::Fleet, resource: &kinds::ROLLOUT, uid: "beta".into() });
        update::settle(&mut state, at(2));
        assert_eq!(subject(&state), None);
        press(&mut state, key, at(3));
        assert!(state.card.is_none() && state.view.overlay.is_none() && state.view.screen == Screen::Fleet, "{key}");
        assert!(state.note.as_ref().is_some_and(|(_, note)| note.contains("choose a row")), "{key} {:?}", state.note);
        // The next one has come up into its place.
        press(&mut state, "j", at(4));
        assert_eq!(subject(&state).as_deref(), Some("gamma"), "{key}");
    }
}

#[test]
fn a_release_that_fails_once_it_is_finished_is_loud() {
    let mut state = fleet_of(ROUTER_PAUSED, &["alpha", "beta"]);
    let id = |state: &State| state.get("beta").unwrap().rollout.id.clone();
    let measure = |state: &mut State, errors: f64, rate: f64| {
        let mut metrics = RolloutMetrics { at: Some(at(4)), ..Default::default() };
        metrics.old.errors = Reading::Value(errors);
        metrics.old.rate = Reading::Value(rate);
        let readings = vec![(id(state), metrics)];
        send(state, Body::Metrics(readings));
        update::settle(state, at(4));
        (state.order[0] == *"beta", state.tally().failing)
    };
    measure(&mut state, 0.002, 10.0);
    apply(&mut state, named(ROUTER_PAUSED, "beta", completed), at(3));
    assert_eq!(measure(&mut state, 0.003, 10.0), (false, 0), "as before");
    assert_eq!(measure(&mut state, 0.4, 0.1), (false, 0), "two requests a minute say nothing");
    assert_eq!(measure(&mut state, 0.4, 10.0), (true, 1));
    assert_eq!(measure(&mut state, 0.003, 10.0), (false, 0), "it is over");
}

#[test]
fn a_key_that_needs_an_open_rollout_says_so() {
    for key in ["v", "1", "d", "t", "tab"] {
        let mut state = fleet_of(ROUTER_PAUSED, &["alpha"]);
        press(&mut state, key, at(1));
        assert!(state.note.as_ref().is_some_and(|(_, note)| note.contains("open a rollout first")), "{key} {:?}", state.note);
        press(&mut state, "enter", at(2));
        press(&mut state, key, at(3));
        assert!(state.note.is_none(), "{key} {:?}", state.note);
    }
}

#[test]
fn a_hold_stands_above_what_waits_without_harm() {
    let mut state = fleet_of(ROUTER_PAUSED, &["alpha", "beta"]);
    let known = state.rollouts.get_mut("beta").unwrap();
    known.verdict.is = crate::verdict::Advice::Hold;
    order::sort(&mut state, at(1));
    assert_eq!(state.order[0], *"beta");
    // Nothing is heard of any: that is no reason to look at this one.
    state.rollouts.get_mut("beta").unwrap().verdict.stale = true;
    order::sort(&mut state, at(1));
    assert_eq!(state.order[0], *"alpha");
}

#[test]
fn pods_without_progress_come_to_the_top_in_time() {
    let begun = items(ROUTER_PAUSED).iter().find(|v| v["kind"] == "Rollout").unwrap()["metadata"]["creationTimestamp"].clone();
    let begun = crate::model::moment(begun.as_str().unwrap()).unwrap();
    let moving = |updated: Time| {
        move |root: &mut Value| {
            root["metadata"]["resourceVersion"] = "9999".into();
            root["status"]["phase"] = "Progressing".into();
            root["status"]["message"] = "more replicas need to be updated".into();
            root["status"]["pauseConditions"] = Value::Null;
            root["status"]["controllerPause"] = json!(false);
            root["status"]["currentStepIndex"] = json!(0);
            let new = root["status"]["updatedReplicas"].as_i64().unwrap();
            let all = root["status"]["replicas"].as_i64().unwrap();
            root["status"]["readyReplicas"] = json!(all - new);
            root["status"]["conditions"] = json!([{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated",
                "lastUpdateTime": updated.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)}]);
            root["spec"]["progressDeadlineSeconds"] = json!(600);
            root["metadata"].as_object_mut().unwrap().remove("managedFields");
        }
    };
    let mut state = fleet_of(ROUTER_PAUSED, &["beta"]);
    let since = begun + TimeDelta::seconds(3_600);
    for name in ["alpha", "gamma"] {
        // One makes progress, the other does not.
        let updated = if name == "gamma" { since } else { since + TimeDelta::seconds(50) };
        apply(&mut state, named(ROUTER_PAUSED, name, moving(updated)), since);
    }
    let known = state.get("gamma").unwrap();
    assert_eq!(known.rollout.phase, crate::model::Phase::Progressing);
    assert_eq!(known.rollout.next.at, Some(since + TimeDelta::seconds(600)), "{:?}", known.rollout.next);
    assert!(known.rollout.wait.as_ref().is_some_and(|w| w.reason.contains("0 of")), "{:?}", known.rollout.wait);
    let order = |state: &mut State, seconds: i64| {
        update(state, Event::Tick, since + TimeDelta::seconds(seconds));
        update::settle(state, since + TimeDelta::seconds(seconds));
        state.order.iter().map(|uid| uid.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(order(&mut state, 59), ["beta", "gamma", "alpha"]);
    assert!(!state.get("gamma").unwrap().stalled);
    order(&mut state, 60);
    assert!(state.get("gamma").unwrap().stalled && !state.get("alpha").unwrap().stalled);
}
