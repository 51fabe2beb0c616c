//! An armed guard acts once, on clear and fresh evidence, and gives its leave back at anything else.

use super::*;
use crate::{
    engine::Patch,
    guard::arming::{LASTS, LEASE},
    journal,
};

/// A release that is measured now, and so many of fifty requests of each block fail on its new side.
fn measured(state: &mut State, bad: f64, now: Time) -> Vec<Effect> {
    measured_at(state, bad, 0.05, now)
}

fn measured_at(state: &mut State, bad: f64, p95: f64, now: Time) -> Vec<Effect> {
    let (id, created) = {
        let rollout = &state.open().unwrap().rollout;
        (rollout.id.clone(), rollout.new_side().and_then(|t| t.created).unwrap_or(at(-600)))
    };
    let counts = |all, bad| Some(Counts { all, bad, timed: None });
    // Each call goes on where the last one ended.
    let done = state.trials.get(&*id.uid).map_or(0, |trial| (trial.failing.seen.new / 50.0).round() as i64 + 1);
    let block = |i: i64| Block {
        from: created + TimeDelta::seconds(5 * i),
        to: created + TimeDelta::seconds(5 * i + 5),
        new: counts(50.0, bad),
        old: counts(450.0, 1.0),
        stretch: 1.0,
    };
    let mut metrics = RolloutMetrics { at: Some(now), blocks: (done..done + 24).map(block).collect(), ..Default::default() };
    (metrics.new.rate, metrics.old.rate) = (Reading::Value(10.0), Reading::Value(90.0));
    (metrics.new.errors, metrics.old.errors) = (Reading::Value(bad / 50.0), Reading::Value(0.002));
    metrics.old.p95 = Reading::Value(p95);
    heard(state, now);
    update(state, Event::Msg(Msg { at: now, epoch: 0, body: Body::Metrics(vec![(id, metrics)]) }), now)
}

/// Both servers answered just now, and so did the lease's.
pub fn heard(state: &mut State, now: Time) {
    for source in [Source::Fleet, Source::Prometheus] {
        live(state, source, now);
    }
    if let Some(armed) = state.arms.values_mut().next() {
        armed.arming.held = now;
    }
}

pub fn ready(mode: Mode) -> State {
    let mut state = state(ROUTER_PAUSED, mode);
    state.settings.prometheus = true;
    measured(&mut state, 0.0, at(0));
    state
}

fn uid(state: &State) -> Text {
    Text::from(&*state.open().unwrap().rollout.id.uid)
}

pub fn accept(state: &mut State, card: u64) -> Vec<Effect> {
    send(state, Body::Acted { card, outcome: Outcome::Accepted { generation: 1 } })
}

/// Armed as a person does it, for half an hour.
fn armed() -> State {
    State { card: None, ..armed_with_its_card() }
}

fn armed_with_its_card() -> State {
    armed_from(ready(Mode::Interactive))
}

/// By the keys a person presses.
pub fn armed_from(mut state: State) -> State {
    press(&mut state, "A", at(0));
    press(&mut state, "enter", at(0));
    approve_of(&mut state);
    let effects = press(&mut state, "y", at(5));
    let Some(Effect::Act { card, approved }) = effects.iter().find(|e| matches!(e, Effect::Act { .. })) else { panic!("{effects:?}") };
    let [write] = approved.plan().writes.as_slice() else { panic!() };
    assert_eq!((write.resource, write.verb()), (&LEASE, "create"));
    assert!(state.arms.is_empty(), "the server has not said yes yet");
    accept(&mut state, *card);
    assert_eq!(state.arms.len(), 1);
    state
}

/// The guard's own card is answered by the server.
pub fn guards_card_is_approved(state: &mut State) -> Vec<Effect> {
    let armed = state.arms.values().next().expect("armed");
    let card = armed.card.as_ref().expect("a card of the guard's");
    let findings =
        Findings { root: None, dry_run: Check::Yes, rights: Check::Yes, health: None, plan: card.plan.clone().expect("its plan") };
    let number = card.number;
    send(state, Body::Rehearsed { card: number, findings: Box::new(findings) })
}

fn given_back(effects: &[Effect]) -> Option<String> {
    assert!(effects.iter().any(|e| matches!(e, Effect::LetGo { .. })) == journaled(effects).is_some());
    journaled(effects)
}

pub fn journaled(effects: &[Effect]) -> Option<String> {
    effects.iter().find_map(|e| match e {
        Effect::Journal { event, .. } => match &**event {
            journal::Event::Disarmed { why, .. } => Some(why.to_string()),
            _ => None,
        },
        _ => None,
    })
}

#[test]
fn it_aborts_once_and_spends_its_lease_before_anything_else() {
    let mut state = armed();
    assert_eq!(rehearsals(&measured(&mut state, 0.0, at(6))), 0, "nothing is wrong");
    let effects = measured(&mut state, 20.0, at(7));
    assert_eq!((rehearsals(&effects), acts(&effects)), (1, 0), "it asks the server first, as a person would");
    let effects = guards_card_is_approved(&mut state);
    let approved: Vec<_> =
        effects.iter().filter_map(|e| if let Effect::Act { card, approved } = e { Some((*card, approved)) } else { None }).collect();
    let [(card, approved)] = approved.as_slice() else { panic!("{effects:?}") };
    assert_eq!(approved.armed().map(|a| &*a.by), Some("somebody"));
    let [lease, abort] = approved.plan().writes.as_slice() else { panic!("{:?}", approved.plan().writes) };
    assert_eq!(lease.resource, &LEASE);
    let Patch::Json(operations) = &lease.patch;
    let holder = state.grant.as_ref().unwrap().holder().to_string();
    assert!(operations.iter().any(|o| o["op"] == "test" && o["path"] == "/spec/holderIdentity" && o["value"] == *holder), "{operations:?}");
    assert!(operations.iter().any(|o| o["op"] == "test" && o["value"] == "armed") && operations.iter().any(|o| o["value"] == "spent"));
    assert_eq!(abort.resource, &kinds::ROLLOUT);

    let card = *card;
    for second in 8..20 {
        assert_eq!(acts(&measured(&mut state, 20.0, at(second))), 0, "once");
    }
    accept(&mut state, card);
    let aborted = items(ABORTED).iter().filter_map(object).find(|o| o.resource == &kinds::ROLLOUT).unwrap();
    let object = Box::new(moved_on(&state, &aborted));
    let effects = send(&mut state, Body::Applied { source: Source::Fleet, scope: 0, object });
    assert_eq!(given_back(&effects).as_deref(), Some("the guard has aborted it"));
    assert!(state.arms.is_empty() && state.recoveries.len() == 1);
}

/// A rollout that was sent back by a person's own key.
fn sent_back() -> State {
    let mut state = ready(Mode::Interactive);
    press(&mut state, "a", at(1));
    approve_of(&mut state);
    let effects = press(&mut state, "y", at(5));
    let Some(Effect::Act { card, .. }) = effects.iter().find(|e| matches!(e, Effect::Act { .. })) else { panic!("{effects:?}") };
    accept(&mut state, *card);
    let aborted = |r: &mut Value| {
        let recorded = items(ABORTED).into_iter().find(|v| v["kind"] == "Rollout").unwrap();
        for field in ["abort", "abortedAt", "phase", "message", "conditions", "currentStepIndex", "controllerPause", "pauseConditions"] {
            r["status"][field] = recorded["status"][field].clone();
        }
        let weights = &mut r["status"]["canary"]["weights"];
        (weights["canary"]["weight"], weights["stable"]["weight"]) = (json!(0), json!(100));
    };
    // What the router says counts, not what the controller says of it.
    let weight = "nginx.ingress.kubernetes.io/canary-weight";
    for mut ingress in items(ROUTER_PAUSED).into_iter().filter(|v| v["kind"] == "Ingress" && v["metadata"]["annotations"][weight] == "25") {
        ingress["metadata"]["annotations"][weight] = "0".into();
        ingress["metadata"]["resourceVersion"] = "9999".into();
        let object = Box::new(object(&ingress).unwrap());
        send(&mut state, Body::Applied { source: Source::Fleet, scope: 0, object });
    }
    applied(&mut state, aborted, at(6));
    assert_eq!(state.recoveries.len(), 1, "{:?}", state.card.as_ref().map(|c| &c.stage));
    state
}

fn after(state: &mut State, bad: f64, p95: f64, now: Time) -> Vec<String> {
    let word = |e: &Effect| match e {
        Effect::Journal { event, .. } => match &**event {
            journal::Event::Recovered { after_seconds } => Some(format!("recovered {after_seconds}")),
            journal::Event::NotRecovered { why, .. } => Some(format!("not: {why}")),
            _ => None,
        },
        _ => None,
    };
    measured_at(state, bad, p95, now).iter().filter_map(word).collect()
}

#[test]
fn a_roll_back_is_followed_until_it_has_helped() {
    let mut state = sent_back();
    for second in [10, 20, 30, 37] {
        assert_eq!(after(&mut state, 20.0, 0.05, at(second)), [""; 0], "it still fails");
    }
    assert_eq!(after(&mut state, 0.0, 0.05, at(38)), [""; 0], "one good reading is none");
    assert_eq!(after(&mut state, 20.0, 0.05, at(42)), [""; 0]);
    for second in [46, 50] {
        assert_eq!(after(&mut state, 0.0, 0.05, at(second)), [""; 0]);
    }
    assert_eq!(after(&mut state, 0.0, 0.05, at(56)), ["recovered 40"]);
    assert!(state.recoveries.is_empty());
}

#[test]
fn a_roll_back_that_does_not_help_is_urgent_once() {
    for (bad, p95, why) in [(20.0, 0.05, "of all requests fail"), (0.0, 0.5, "p95 is")] {
        let mut state = sent_back();
        let said: Vec<String> = (10..300).step_by(5).flat_map(|second| after(&mut state, bad, p95, at(second))).collect();
        assert!(said.len() == 1 && said[0].contains(why), "{said:?}");
        assert!(state.note.as_ref().is_none_or(|(_, text)| text.contains("DID NOT HELP")), "{:?}", state.note);
        // It may still come right, and then that is said as well.
        let said: Vec<String> = (300..330).step_by(5).flat_map(|second| after(&mut state, 0.0, 0.05, at(second))).collect();
        assert!(said.len() == 1 && said[0].starts_with("recovered"), "{said:?}");
    }
}

/// Nobody answered: it is not sent again, and what the watch shows decides what is said.
#[test]
fn an_act_without_an_answer_is_followed_until_it_is_seen_or_given_up() {
    for seen in [true, false] {
        let mut state = armed();
        measured(&mut state, 20.0, at(6));
        let effects = guards_card_is_approved(&mut state);
        let card = effects.iter().find_map(|e| if let Effect::Act { card, .. } = e { Some(*card) } else { None }).expect("an act");
        let outcome = Outcome::Unknown { said: "504".into(), done: 1 };
        update(&mut state, Event::Msg(Msg { at: at(7), epoch: 0, body: Body::Acted { card, outcome } }), at(7));
        let effects = measured(&mut state, 20.0, at(20));
        assert_eq!((acts(&effects), state.arms.len()), (0, 1), "it may still come");
        if seen {
            let aborted = items(ABORTED).iter().filter_map(object).find(|o| o.resource == &kinds::ROLLOUT).unwrap();
            let object = Box::new(moved_on(&state, &aborted));
            let effects = send(&mut state, Body::Applied { source: Source::Fleet, scope: 0, object });
            assert_eq!(given_back(&effects).as_deref(), Some("the guard has aborted it"));
        } else {
            tick(&mut state, at(68));
            let note = state.note.clone().map(|(_, text)| text.to_string()).unwrap_or_default();
            assert!(note.contains("THE ABORT DID NOT WORK, act yourself") && state.arms.is_empty(), "{note}");
            assert_eq!(acts(&measured(&mut state, 20.0, at(70))), 0);
        }
    }
}

/// The recorded object as the next version of the one at hand.
fn moved_on(state: &State, recorded: &Object) -> Object {
    let root = state.open().unwrap().rollout.id.clone();
    let mut value = recorded.value();
    value["metadata"]["uid"] = json!(&*root.uid);
    value["metadata"]["name"] = json!(&*root.name);
    value["metadata"]["namespace"] = json!(&*root.namespace);
    value["metadata"]["resourceVersion"] = "99999999".into();
    object(&value).unwrap()
}

type Event2 = fn(&mut State, Time) -> Vec<Effect>;

pub fn tick(state: &mut State, now: Time) -> Vec<Effect> {
    update(state, Event::Tick, now)
}

pub fn applied(state: &mut State, change: impl Fn(&mut Value), now: Time) -> Vec<Effect> {
    let root = changed(ROUTER_PAUSED, |r| {
        r["metadata"]["resourceVersion"] = "9999".into();
        change(r);
    });
    let body = Body::Applied { source: Source::Fleet, scope: 0, object: Box::new(root) };
    update(state, Event::Msg(Msg { at: now, epoch: 0, body }), now)
}

/// What ends it, and in which words. Each has its row, so that a missing rule is a red test.
const ENDINGS: &[(&str, Event2)] = &[
    ("its time is over", |state, _| {
        heard(state, at(5 + 30 * 60));
        state.metrics.values_mut().for_each(|m| m.at = Some(at(5 + 30 * 60)));
        tick(state, at(5 + 30 * 60))
    }),
    ("the release is over", |state, now| {
        let done = |r: &mut Value| {
            r["status"]["stableRS"] = r["status"]["currentPodHash"].clone();
            r["status"]["currentStepIndex"] = json!(r["spec"]["strategy"]["canary"]["steps"].as_array().map_or(0, Vec::len));
            r["status"]["pauseConditions"] = Value::Null;
            r["status"]["controllerPause"] = json!(false);
            r["status"]["phase"] = "Healthy".into();
        };
        applied(state, done, now)
    }),
    ("another version is on its way", |state, now| applied(state, |r| r["status"]["currentPodHash"] = "aaaa".into(), now)),
    ("somebody else acted on it (kubectl-argo-rollouts)", |state, now| {
        let entry = json!({"manager": "kubectl-argo-rollouts", "operation": "Update", "time": "2026-11-21T04:00:00Z", "apiVersion": "v1", "fieldsV1": {}});
        let written = |r: &mut Value| match r["metadata"]["managedFields"].as_array_mut() {
            Some(entries) => entries.push(entry.clone()),
            None => r["metadata"]["managedFields"] = json!([entry]),
        };
        applied(state, written, now)
    }),
    ("somebody else acted on it (it waited for a human, and goes on)", |state, now| {
        let ended = |r: &mut Value| {
            r["status"]["pauseConditions"] = Value::Null;
            r["status"]["controllerPause"] = json!(false);
            r["status"]["phase"] = "Progressing".into();
        };
        applied(state, ended, now)
    }),
    ("Prometheus does not answer", |state, now| {
        let link = Link { state: LinkState::TimedOut, heard: Some(now - TimeDelta::seconds(31)), ..Link::default() };
        send(state, Body::Link(Source::Prometheus, link))
    }),
    ("the API server does not answer", |state, now| {
        let link = Link { state: LinkState::TimedOut, heard: Some(now - TimeDelta::seconds(31)), ..Link::default() };
        send(state, Body::Link(Source::Fleet, link))
    }),
    ("the readings of this rollout are stale", |state, _| {
        heard(state, at(60));
        tick(state, at(60))
    }),
    ("its lease could not be renewed", |state, now| {
        state.arms.values_mut().for_each(|armed| armed.arming.held = now - TimeDelta::from_std(LASTS).unwrap());
        tick(state, now)
    }),
    ("its lease is lost: it is another's", |state, _| {
        let uid = uid(state);
        send(state, Body::Held { uid, renewed: Err("it is another's".into()) })
    }),
    ("the rollout is gone", |state, now| {
        let uid = uid(state);
        let body = Body::Deleted { source: Source::Fleet, resource: &kinds::ROLLOUT, uid };
        update(state, Event::Msg(Msg { at: now, epoch: 0, body }), now)
    }),
    ("you took it into your own hands", |state, now| {
        press(state, "p", now);
        approve_of(state);
        press(state, "o", now + TimeDelta::seconds(3));
        press(state, "y", now + TimeDelta::seconds(6))
    }),
];

#[test]
fn anything_but_its_act_ends_it_and_says_so() {
    for (why, event) in ENDINGS {
        let mut state = armed();
        measured(&mut state, 0.0, at(6));
        assert_eq!(state.arms.len(), 1);
        let effects = event(&mut state, at(6));
        assert_eq!(given_back(&effects).as_deref(), Some(*why), "{:?}", state.note);
        assert!(state.arms.is_empty(), "{why}");
        // However bad it gets now, that was it.
        let effects = measured(&mut state, 30.0, at(7));
        assert_eq!(acts(&effects) + rehearsals(&effects), 0, "{why}");
    }
}

/// The same while its card is already being asked about: consent of a minute ago is none.
#[test]
fn what_ends_it_also_stops_an_act_that_has_not_left_yet() {
    for (why, event) in ENDINGS.iter().filter(|(why, _)| !why.starts_with("you took")) {
        let mut state = armed();
        assert_eq!(rehearsals(&measured(&mut state, 20.0, at(6))), 1);
        let asked = state.arms.values().next().and_then(|armed| armed.card.clone()).unwrap();
        event(&mut state, at(6));
        let findings = Findings { root: None, dry_run: Check::Yes, rights: Check::Yes, health: None, plan: asked.plan.unwrap() };
        let effects = send(&mut state, Body::Rehearsed { card: asked.number, findings: Box::new(findings) });
        assert_eq!(acts(&effects), 0, "{why}");
        assert!(state.arms.is_empty(), "{why}");
    }
}

#[test]
fn it_does_not_act_when_the_verdict_has_changed_its_mind_or_the_server_says_no() {
    let mut state = armed();
    assert_eq!(rehearsals(&measured(&mut state, 20.0, at(6))), 1);
    let uid = uid(&state);
    state.rollouts.get_mut(&uid).unwrap().verdict.is = crate::verdict::Advice::Hold;
    let effects = tick(&mut state, at(6));
    assert!(acts(&effects) == 0 && state.arms.len() == 1 && state.arms.values().all(|a| a.card.is_none()), "it stays armed");

    let mut state = armed();
    measured(&mut state, 20.0, at(6));
    let card = state.arms.values().next().and_then(|armed| armed.card.clone()).unwrap();
    let findings =
        Findings { root: None, dry_run: Check::Yes, rights: Check::No("patch rollouts".into()), health: None, plan: card.plan.unwrap() };
    let effects = send(&mut state, Body::Rehearsed { card: card.number, findings: Box::new(findings) });
    assert_eq!(acts(&effects), 0);
    assert_eq!(given_back(&effects).as_deref(), Some("THE ABORT DID NOT WORK, act yourself: the server would refuse it"));
}

/// The card is the guard's: no key reaches it, and a person's own card stays where it is.
#[test]
fn keys_do_not_reach_the_guards_card() {
    let mut state = armed();
    measured(&mut state, 20.0, at(6));
    for key in ["y", "o", "y", "esc"] {
        assert_eq!(acts(&press(&mut state, key, at(9))), 0, "{key}");
    }
    assert_eq!(state.arms.len(), 1);
}

#[test]
fn there_are_things_that_cannot_be_armed() {
    let refused = |state: &mut State| {
        press(state, "A", at(1));
        match &state.card {
            Some(Card { stage: Stage::Refused(refusal), .. }) => refusal.reason.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert!(refused(&mut ready(Mode::Watch)).contains("watch session"));
    let mut blind = ready(Mode::Interactive);
    blind.settings.prometheus = false;
    assert!(refused(&mut blind).contains("no Prometheus is configured"));
    let mut forbidden = ready(Mode::Interactive);
    forbidden.settings.arming = false;
    assert!(refused(&mut forbidden).contains("safety.arming"));
    let mut over = state(ABORTED, Mode::Interactive);
    over.settings.prometheus = true;
    assert!(refused(&mut over).contains("could not be aborted"));
}

/// Another rolltop's lease, as it stands in the cluster.
fn lease(state: &State, word: &str, until: i64, renewed: i64) -> Object {
    let id = &state.open().unwrap().rollout.id;
    let time = |s: i64| at(s).to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let value = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": format!("rolltop-guard-rollout-{}", id.name), "namespace": &*id.namespace, "uid": "lease-1", "resourceVersion": "77",
            "labels": {"rolltop.dev/guard": word},
            "annotations": {"rolltop.dev/by": "bob\u{1b}[2J", "rolltop.dev/release": "x", "rolltop.dev/until": time(until), "rolltop.dev/rollout": format!("Rollout/{}", id.name)},
        },
        "spec": {"holderIdentity": "there/2", "leaseDurationSeconds": 30, "renewTime": time(renewed)},
    });
    decode::object(&LEASE, value.to_string().as_bytes()).unwrap()
}

#[test]
fn what_another_has_armed_is_not_armed_twice_unless_they_are_gone() {
    for (word, until, renewed, taken) in [
        ("armed", 600, -5, false),
        ("armed", 600, -40, true),
        ("armed", -1, -5, true),
        ("spent", 600, -5, true),
        ("disarmed", 600, -5, true),
    ] {
        let mut state = ready(Mode::Interactive);
        let lease = lease(&state, word, until, renewed);
        send(&mut state, Body::Applied { source: Source::Fleet, scope: 0, object: Box::new(lease) });
        let report = serde_json::to_value(crate::report::report(&state, state.open().unwrap(), at(0))).unwrap();
        assert_eq!(report["armed"]["by"].as_str().is_some(), !taken, "{word}: {report}");
        press(&mut state, "A", at(0));
        if state.view.overlay.is_some() {
            press(&mut state, "enter", at(0));
        }
        let card = state.card.as_ref().unwrap();
        match &card.stage {
            Stage::Refused(refusal) => {
                assert!(!taken, "{word}");
                assert!(refusal.reason.starts_with("it is armed already, by bob"), "{}", refusal.reason);
                assert!(!refusal.reason.contains('\u{1b}'), "{}", refusal.reason);
            }
            _ => {
                assert!(taken, "{word}");
                // Taken over only as it was read, and a person reads whose it was.
                let plan = card.plan.as_ref().unwrap();
                let said: Vec<&str> = plan.warnings.iter().map(|w| &*w.text).filter(|text| text.contains("takes over")).collect();
                let why = if until < 0 { "its time was over at" } else { "not heard of since" };
                assert_eq!(said.len(), usize::from(word == "armed"), "{word}: {said:?}");
                assert!(said.iter().all(|text| text.contains("by bob") && text.contains("(there/2)") && text.contains(why)), "{said:?}");
                let Patch::Json(operations) = &plan.writes[0].patch;
                assert_eq!(operations[0], json!({"op": "test", "path": "/metadata/resourceVersion", "value": "77"}));
            }
        }
    }
}

#[test]
fn the_same_key_disarms() {
    let mut state = armed();
    press(&mut state, "A", at(10));
    approve_of(&mut state);
    let effects = press(&mut state, "y", at(15));
    let Some(Effect::Act { card, .. }) = effects.iter().find(|e| matches!(e, Effect::Act { .. })) else { panic!("{effects:?}") };
    let effects = accept(&mut state, *card);
    assert_eq!(given_back(&effects).as_deref(), Some("a person disarmed it"));
    assert!(state.arms.is_empty());
}

#[test]
fn leaving_while_armed_is_asked_about() {
    let mut state = armed();
    let effects = press(&mut state, "q", at(10));
    assert!(!effects.iter().any(|e| matches!(e, Effect::Quit)) && state.view.overlay == Some(Overlay::QuitAnyway));
}

/// Argo Rollouts, but for an abort that a person must override.
struct Risky;

impl crate::engine::Engine for Risky {
    fn descriptor(&self) -> &'static crate::engine::Descriptor {
        argo().descriptor()
    }
    fn selections(&self, root: &Object, objects: &Objects) -> Vec<crate::object::Selection> {
        argo().selections(root, objects)
    }
    fn normalise(&self, context: &str, root: &Object, objects: &Objects) -> Rollout {
        argo().normalise(context, root, objects)
    }
    fn draw_up(
        &self,
        rollout: &Rollout,
        root: &Object,
        objects: &Objects,
        intent: &crate::intent::Intent,
        now: Time,
    ) -> Result<Plan, crate::engine::Refusal> {
        let mut plan = argo().draw_up(rollout, root, objects, intent, now)?;
        plan.warnings.push(crate::model::Notice { severity: crate::model::Severity::Danger, text: "nobody is left there".into() });
        Ok(plan)
    }
    fn progress(&self, goal: &crate::engine::Goal, rollout: &Rollout, root: &Object, objects: &Objects) -> crate::engine::Progress {
        argo().progress(goal, rollout, root, objects)
    }
    fn containers(&self, rollout: &Rollout, root: &Object, objects: &Objects) -> Vec<(Text, Text)> {
        argo().containers(rollout, root, objects)
    }
    fn diff(&self, rollout: &Rollout, root: &Object, objects: &Objects) -> Vec<crate::engine::Change> {
        argo().diff(rollout, root, objects)
    }
}

fn argo() -> &'static dyn crate::engine::Engine {
    crate::engine::of(crate::model::EngineKind::Argo).unwrap()
}

#[test]
fn an_abort_that_asks_for_a_person_is_nothing_to_arm() {
    let state = ready(Mode::Interactive);
    let known = state.open().unwrap();
    let root = crate::engine::root(argo(), &state.objects, &known.rollout.id.uid).unwrap();
    let arm = |engine| crate::guard::arming::arm(&state.ground(known, at(0)), engine, known, (root, &state.objects), 30, None);
    assert!(arm(argo()).is_ok());
    assert_eq!(arm(&Risky).unwrap_err().reason, "what it would do asks for a person: nobody is left there");
}

/// Consent was for the version on the card, whatever has come until the server took the lease.
#[test]
fn another_version_that_comes_with_the_lease_is_not_armed() {
    let mut state = ready(Mode::Interactive);
    press(&mut state, "A", at(0));
    press(&mut state, "enter", at(0));
    approve_of(&mut state);
    let effects = press(&mut state, "y", at(5));
    let Some(Effect::Act { card, .. }) = effects.iter().find(|e| matches!(e, Effect::Act { .. })) else { panic!("{effects:?}") };
    applied(&mut state, |r| r["status"]["currentPodHash"] = "aaaa".into(), at(5));
    let effects = accept(&mut state, *card);
    assert_eq!(given_back(&effects).as_deref(), Some("another version is on its way"));
}

/// The picture stands still, the cluster and the guard do not.
#[test]
fn a_frozen_picture_stops_no_guard_and_can_be_disarmed_over() {
    let mut state = armed();
    press(&mut state, "z", at(6));
    assert!(state.frozen.is_some());
    measured(&mut state, 20.0, at(7));
    assert_eq!(acts(&guards_card_is_approved(&mut state)), 1);

    let mut state = armed();
    press(&mut state, "z", at(6));
    press(&mut state, "A", at(7));
    approve_of(&mut state);
    assert_eq!(acts(&press(&mut state, "y", at(12))), 1, "{:?}", state.card.as_ref().map(|c| &c.stage));
}

#[test]
fn a_person_reads_on_the_card_that_the_guard_goes_and_cannot_stop_it_asleep() {
    let mut state = armed();
    press(&mut state, "p", at(6));
    let plan = open_plan(&state).1;
    assert!(plan.warnings.iter().any(|w| w.text.contains("this disarms it")), "{:?}", plan.warnings);
    press(&mut state, "esc", at(7));
    let effects = press(&mut state, "ctrl-z", at(8));
    assert!(!effects.iter().any(|e| matches!(e, Effect::Suspend)) && state.note.is_some());
}

/// What the canary's Service answered for an earlier version is nothing against this one, whoever looks first.
#[test]
fn requests_of_an_earlier_release_do_not_count() {
    let released = at(0);
    let mut state = state(ROUTER_PAUSED, Mode::Interactive);
    state.settings.prometheus = true;
    // The spec was written now; its ReplicaSet is an old one, released again.
    let entry =
        json!({"manager": "kubectl-edit", "operation": "Update", "time": released.to_rfc3339(), "apiVersion": "v1", "fieldsV1": {}});
    applied(
        &mut state,
        |r| match r["metadata"]["managedFields"].as_array_mut() {
            Some(entries) => entries.push(entry.clone()),
            None => r["metadata"]["managedFields"] = json!([entry.clone()]),
        },
        released,
    );
    let id = state.open().unwrap().rollout.id.clone();
    let counts = |all, bad| Some(Counts { all, bad, timed: None });
    let block = |i: i64, bad| Block {
        from: released + TimeDelta::seconds(5 * i),
        to: released + TimeDelta::seconds(5 * i + 5),
        new: counts(50.0, bad),
        old: counts(450.0, 1.0),
        stretch: 1.0,
    };
    let blocks = (-60..0).map(|i| block(i, 20.0)).chain((0..6).map(|i| block(i, 0.0))).collect();
    let now = released + TimeDelta::seconds(30);
    let mut metrics = RolloutMetrics { at: Some(now), blocks, ..Default::default() };
    (metrics.new.rate, metrics.old.rate) = (Reading::Value(10.0), Reading::Value(90.0));
    heard(&mut state, now);
    update(&mut state, Event::Msg(Msg { at: now, epoch: 0, body: Body::Metrics(vec![(id.clone(), metrics)]) }), now);
    let seen = &state.trials[&*id.uid].failing.seen;
    assert_eq!((seen.new, seen.new_bad), (300.0, 0.0), "{:?}", state.open().unwrap().verdict.because);
}

/// A lease is found by its name alone: two rollouts never share one, however long they are called.
#[test]
fn long_names_that_are_alike_have_leases_of_their_own() {
    let lease = |name: &str| {
        let id =
            crate::model::Id { context: "c".into(), namespace: "shop".into(), kind: "Rollout".into(), name: name.into(), uid: "u".into() };
        crate::guard::arming::renewal(&id, "here/1", at(0)).name.to_string()
    };
    assert_eq!(lease("checkout"), "rolltop-guard-rollout-checkout");
    let long = "a".repeat(252);
    let (one, other) = (lease(&format!("{long}b")), lease(&format!("{long}c")));
    assert_ne!(one, other);
    // Cut off in the midst of a dotted name, it is still a name.
    let dotted = lease(&"a.".repeat(126));
    for name in [one, other, dotted] {
        let parts: Vec<&str> = name.split('.').collect();
        let good = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && !part.ends_with('-');
        assert!(name.len() <= 253 && parts.iter().all(good), "{name}");
    }
}

/// The release has flags: what the guard may do is asked first, and the card says which.
#[test]
fn what_it_may_do_is_chosen_where_the_release_has_a_flag() {
    let asked = |state: &State| match &state.view.overlay {
        Some(Overlay::Prompt(prompt)) => prompt.clone(),
        other => panic!("{other:?}"),
    };
    let mut state = ready(Mode::Interactive);
    press(&mut state, "A", at(0));
    assert_eq!(asked(&state).kind, PromptKind::Minutes { flag: None }, "nothing to choose from");

    for (downs, words) in [(0, "may abort this release once"), (2, "may switch the flag new-mail off once")] {
        let mut state = ready(Mode::Interactive);
        state.settings.flags = super::flag::flags(&["new-checkout", "new-mail"]);
        press(&mut state, "A", at(0));
        let prompt = asked(&state);
        assert_eq!((&prompt.kind, prompt.choices.len()), (&PromptKind::Deed, 3));
        (0..downs).for_each(|_| drop(press(&mut state, "down", at(0))));
        press(&mut state, "enter", at(0));
        assert!(matches!(asked(&state).kind, PromptKind::Minutes { .. }));
        press(&mut state, "enter", at(0));
        let plan = open_plan(&state).1;
        assert!(plan.sentence.starts_with("For 30 min the guard") && plan.sentence.contains(words), "{}", plan.sentence);
        approve_of(&mut state);
        let effects = press(&mut state, "y", at(5));
        let Some(Effect::Act { card, .. }) = effects.iter().find(|e| matches!(e, Effect::Act { .. })) else { panic!("{effects:?}") };
        accept(&mut state, *card);
        measured(&mut state, 20.0, at(6));
        let card = state.arms.values().find_map(|armed| armed.card.clone()).expect("it is about to act");
        assert_eq!(card.plan.unwrap().switch.is_some(), downs > 0, "its act is what was agreed to");
    }
}

/// The card that armed it is still on the screen when the guard acts: "done" alone would be half the story.
#[test]
fn the_card_that_armed_it_says_what_became_of_it() {
    let mut state = armed_with_its_card();
    measured(&mut state, 20.0, at(6));
    let effects = guards_card_is_approved(&mut state);
    let act = effects.iter().find_map(|e| if let Effect::Act { card, .. } = e { Some(*card) } else { None }).expect("an act");
    accept(&mut state, act);
    assert_eq!(state.card.as_ref().and_then(|card| card.since.clone()), None, "it has not come to anything yet");
    let aborted = items(ABORTED).iter().filter_map(object).find(|o| o.resource == &kinds::ROLLOUT).unwrap();
    let object = Box::new(moved_on(&state, &aborted));
    send(&mut state, Body::Applied { source: Source::Fleet, scope: 0, object });
    let said = |state: &State| state.card.as_ref().and_then(|card| card.since.clone()).map(|text| text.to_string());
    assert_eq!(said(&state).as_deref(), Some("the guard has aborted it"));
    tick(&mut state, at(60));
    let note = state.note.as_ref().map(|(_, text)| text.to_string()).unwrap_or_default();
    assert!(state.card.is_none() && !note.contains("arm "), "its going says nothing else: {note}");

    let mut state = armed_with_its_card();
    measured(&mut state, 0.0, at(6));
    applied(&mut state, |r| r["status"]["currentPodHash"] = "aaaa".into(), at(7));
    assert_eq!(said(&state).as_deref(), Some("another version is on its way"));
}
