//! An armed guard promotes by one step where a policy says so, on the evidence of that step alone, and in no other case.

use super::{
    armed::{applied, armed_from, heard, journaled, ready, tick},
    *,
};
use crate::{
    engine::Patch,
    guard::{
        arming::{Ended, LEASE},
        promotion::{self, Policy},
    },
    intent::Intent,
    journal,
};

const AFTER: i64 = 60;

/// A release that waits for a person, measured for so long that it is as good as the old side.
fn as_good_so_far(policy: bool) -> State {
    let mut state = ready(Mode::Interactive);
    state.settings.promote = policy.then_some(Policy { after: Duration::from_secs(AFTER as u64) });
    for second in (-200..0).step_by(5) {
        read(&mut state, 0.002, second);
    }
    assert_eq!(verdict(&state), crate::verdict::Advice::Go, "{}", state.open().unwrap().verdict.because);
    state
}

fn armed(policy: bool) -> State {
    State { card: None, ..armed_from(as_good_so_far(policy)) }
}

fn verdict(state: &State) -> crate::verdict::Advice {
    state.open().unwrap().verdict.is
}

/// Readings of the five seconds before this one: so many of a hundred requests a second fail on the new side.
fn read(state: &mut State, failing: f64, second: i64) -> Vec<Effect> {
    count(state, (500.0, failing), second)
}

fn count(state: &mut State, counted: (f64, f64), second: i64) -> Vec<Effect> {
    count_and_read(state, counted, Reading::Value(counted.1), second)
}

fn count_and_read(state: &mut State, (requests, failing): (f64, f64), errors: Reading, second: i64) -> Vec<Effect> {
    let id = state.open().unwrap().rollout.id.clone();
    let counts = |all: f64, bad: f64| Some(Counts { all, bad, timed: None });
    let (new, old) = (counts(requests, requests * failing), counts(1500.0, 3.0));
    let block = Block { from: at(second - 5), to: at(second), new, old, stretch: 1.0 };
    let mut metrics = RolloutMetrics { at: Some(at(second)), blocks: vec![block], ..Default::default() };
    (metrics.new.rate, metrics.old.rate) = (Reading::Value(requests / 5.0), Reading::Value(300.0));
    (metrics.new.errors, metrics.old.errors) = (errors, Reading::Value(0.002));
    heard(state, at(second));
    update(state, Event::Msg(Msg { at: at(second), epoch: 0, body: Body::Metrics(vec![(id, metrics)]) }), at(second))
}

/// Reads on as before; the second at which the guard asked the server about its act, if it did.
fn reads_on(state: &mut State, failing: f64, seconds: std::ops::Range<i64>) -> Option<i64> {
    seconds.step_by(5).find(|second| rehearsals(&read(state, failing, *second)) > 0)
}

fn hear(state: &mut State, body: Body, second: i64) -> Vec<Effect> {
    update(state, Event::Msg(Msg { at: at(second), epoch: 0, body }), at(second))
}

/// The server's answer to what the guard is about to do.
fn approved(state: &mut State, rights: Check, second: i64) -> Vec<Effect> {
    let card = state.arms.values().find_map(|armed| armed.card.clone()).expect("a card of the guard's");
    let findings = Findings { root: None, dry_run: Check::Yes, rights, health: None, plan: card.plan.expect("its plan") };
    hear(state, Body::Rehearsed { card: card.number, findings: Box::new(findings) }, second)
}

fn guards_intent(state: &State) -> Option<Intent> {
    state.arms.values().find_map(|armed| armed.card.as_ref()).map(|card| card.intent.clone())
}

/// The controller goes on to the next step.
fn goes_on(r: &mut Value) {
    let next = r["status"]["currentStepIndex"].as_i64().unwrap() + 1;
    r["status"]["currentStepIndex"] = json!(next);
    r["status"]["pauseConditions"] = Value::Null;
    r["status"]["controllerPause"] = json!(false);
    r["status"]["phase"] = "Progressing".into();
}

#[test]
fn it_promotes_one_step_by_its_one_act_when_this_pause_was_as_good_for_long_enough() {
    let mut state = armed(true);
    assert!(state.arms.values().all(|armed| armed.arming.promotes.is_some()));
    let asked = reads_on(&mut state, 0.002, 10..900).expect("it is as good for long enough");
    // Its own requests have to show it first, and then it has to last.
    let own = (asked - 10) as f64 * 100.0;
    assert!(asked - AFTER > 10 && own > 6_000.0 && asked < 400, "{asked}");
    assert_eq!(guards_intent(&state), Some(Intent::Promote));
    let effects = approved(&mut state, Check::Yes, asked);
    let acts: Vec<_> =
        effects.iter().filter_map(|e| if let Effect::Act { card, approved } = e { Some((*card, approved)) } else { None }).collect();
    let [(card, approved)] = acts.as_slice() else { panic!("{effects:?}") };
    assert_eq!(approved.armed().map(|arming| &*arming.by), Some("somebody"));
    let [lease, promote] = approved.plan().writes.as_slice() else { panic!("{:?}", approved.plan().writes) };
    assert_eq!((lease.resource, promote.resource), (&LEASE, &kinds::ROLLOUT), "the lease is spent first");
    let Patch::Json(operations) = &promote.patch;
    let tested = |path: &str| operations.iter().any(|o| o["op"] == "test" && o["path"] == path);
    for path in ["/status/currentPodHash", "/status/currentStepIndex", "/status/pauseConditions"] {
        assert!(tested(path), "{path}: {operations:?}");
    }
    let card = *card;
    for second in (asked + 5..asked + 30).step_by(5) {
        assert_eq!(self::acts(&read(&mut state, 0.002, second)), 0, "once");
    }
    hear(&mut state, Body::Acted { card, outcome: Outcome::Accepted { generation: 1 } }, asked + 30);
    let effects = applied(&mut state, goes_on, at(asked + 30));
    let why = journaled(&effects).expect("it is disarmed");
    assert!(why.starts_with("the guard has promoted step ") && why.contains("as good as before"), "{why}");
    assert_eq!((state.arms.len(), state.ended.values().next()), (0, Some(&Ended::Promoted)));
    assert_eq!(reads_on(&mut state, 0.002, asked + 35..asked + 600), None, "one lease, one act");
}

#[test]
fn it_says_what_it_is_about_to_do() {
    let mut state = armed(true);
    let told = (10..900).step_by(5).find_map(|second| {
        read(&mut state, 0.002, second).into_iter().find_map(|effect| match effect {
            Effect::Journal { event, .. } => match *event {
                journal::Event::GuardPromotes { step, because } => Some((step, because)),
                _ => None,
            },
            _ => None,
        })
    });
    let (step, because) = told.expect("it says so");
    assert!(step.starts_with("step ") && because.contains("requests"), "{step}: {because}");
}

#[test]
fn without_the_words_of_a_policy_it_never_does() {
    let mut state = armed(false);
    assert_eq!(reads_on(&mut state, 0.002, 10..1_500), None);
    assert_eq!(state.arms.len(), 1, "it goes on guarding: {:?}", state.note);
}

/// What was found before the pause says nothing of it: all of the release is as good, and this pause has hardly been used.
#[test]
fn what_an_earlier_step_has_shown_does_not_count() {
    let mut state = armed(true);
    let few = (10..400).step_by(5).find(|second| rehearsals(&count(&mut state, (20.0, 0.0), *second)) > 0);
    assert_eq!((few, verdict(&state)), (None, crate::verdict::Advice::Go));
}

/// It has been as good for long enough, but nobody has looked since, or no request came since.
#[test]
fn silence_is_no_evidence() {
    let until_clear = |state: &mut State| {
        let clear =
            |state: &State| state.arms.values().any(|armed| armed.arming.pause.as_ref().is_some_and(promotion::Pause::is_clear_so_far));
        (10..900).step_by(5).find(|second| rehearsals(&read(state, 0.002, *second)) == 0 && clear(state)).expect("as good")
    };
    // Prometheus answers, and counts nobody on the new side.
    let mut state = armed(true);
    let from = until_clear(&mut state);
    let asked = (from + 5..from + 300).step_by(5).find(|second| rehearsals(&count(&mut state, (0.0, 0.0), *second)) > 0);
    assert_eq!((asked, state.arms.len()), (None, 1), "{:?}", state.note);
    // It counts, and what it reads of the new side says nothing.
    let mut state = armed(true);
    let silent = |state: &mut State, second| rehearsals(&count_and_read(state, (500.0, 0.002), Reading::NoData, second)) > 0;
    assert_eq!((10..600).step_by(5).find(|second| silent(&mut state, *second)), None);
    // It answers no more: first nothing, then the leave is given back.
    let mut state = armed(true);
    state.arms.values_mut().for_each(|armed| armed.arming.promotes = Some(Policy { after: Duration::from_secs(20) }));
    let from = until_clear(&mut state);
    let asked = (from + 1..from + 120).find(|second| {
        live(&mut state, Source::Fleet, at(*second));
        state.arms.values_mut().for_each(|armed| armed.arming.held = at(*second));
        rehearsals(&tick(&mut state, at(*second))) > 0
    });
    assert_eq!((asked, state.arms.len()), (None, 0));
}

#[test]
fn what_is_not_as_good_waits_for_a_person_and_what_is_worse_is_aborted() {
    // A few more failures than before: neither is found.
    let mut state = armed(true);
    reads_on(&mut state, 0.004, 10..180);
    assert_eq!(guards_intent(&state), None, "{}", state.open().unwrap().verdict.because);
    let mut state = armed(true);
    assert!(reads_on(&mut state, 0.1, 10..400).is_some());
    assert_eq!(guards_intent(&state), Some(Intent::Abort));
}

/// The server is still being asked about the promotion when it turns bad.
#[test]
fn a_release_that_turns_bad_is_not_promoted_first() {
    let mut state = armed(true);
    let asked = reads_on(&mut state, 0.002, 10..900).unwrap();
    assert_eq!(guards_intent(&state), Some(Intent::Promote));
    let stale = state.arms.values().find_map(|armed| armed.card.clone()).unwrap();
    reads_on(&mut state, 0.3, asked + 5..asked + 200);
    assert_eq!(guards_intent(&state), Some(Intent::Abort), "{:?}", state.note);
    let findings = Findings { root: None, dry_run: Check::Yes, rights: Check::Yes, health: None, plan: stale.plan.unwrap() };
    let body = Body::Rehearsed { card: stale.number, findings: Box::new(findings) };
    assert_eq!(acts(&hear(&mut state, body, asked + 200)), 0);

    // From one moment to the next, as when its own analysis fails.
    let mut state = armed(true);
    let asked = reads_on(&mut state, 0.002, 10..900).unwrap();
    let uid = Text::from(&*state.open().unwrap().rollout.id.uid);
    state.rollouts.get_mut(&uid).unwrap().verdict.is = crate::verdict::Advice::Abort;
    tick(&mut state, at(asked + 1));
    assert_eq!(guards_intent(&state), Some(Intent::Abort));
}

/// A break begins the time anew.
#[test]
fn it_must_last_without_a_break() {
    let mut state = armed(true);
    let undisturbed = reads_on(&mut state.clone(), 0.002, 10..900).unwrap();
    assert_eq!(reads_on(&mut state, 0.002, 10..undisturbed - 10), None);
    let uid = Text::from(&*state.open().unwrap().rollout.id.uid);
    state.rollouts.get_mut(&uid).unwrap().verdict.is = crate::verdict::Advice::Hold;
    tick(&mut state, at(undisturbed - 9));
    let asked = reads_on(&mut state, 0.002, undisturbed - 5..undisturbed + 600).expect("it is as good again");
    assert!(asked >= undisturbed - 9 + AFTER, "{asked}, undisturbed {undisturbed}");
}

/// Pauses of another kind: somebody's own hand, an analysis that could not decide, one that ends by itself.
#[test]
fn only_a_pause_that_waits_for_a_person_is_one_to_end() {
    let paused_by_hand = |r: &mut Value| r["spec"]["paused"] = json!(true);
    let undecided = |r: &mut Value| {
        let mut other = r["status"]["pauseConditions"][0].clone();
        other["reason"] = "InconclusiveAnalysisRun".into();
        r["status"]["pauseConditions"].as_array_mut().unwrap().push(other);
    };
    let timed = |r: &mut Value| {
        let index = r["status"]["currentStepIndex"].as_u64().unwrap() as usize;
        r["spec"]["strategy"]["canary"]["steps"][index] = json!({"pause": {"duration": "1h"}});
    };
    for (what, change) in [("by hand", &paused_by_hand as &dyn Fn(&mut Value)), ("undecided", &undecided), ("timed", &timed)] {
        let mut state = as_good_so_far(true);
        applied(&mut state, change, at(0));
        let mut state = State { card: None, ..armed_from(state) };
        assert_eq!(reads_on(&mut state, 0.002, 10..900), None, "{what}");
    }
}

#[test]
fn a_rule_that_may_hold_keeps_it_where_it_is() {
    let rule = |text: &str| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, text).unwrap();
        let sources = crate::config::Sources { file: Some(file), named: true, ..Default::default() };
        crate::config::Config::load(&sources, |_| None).unwrap().settings("prod", "", |_| None).rules
    };
    for (when, effect, promotes) in [
        ("errors > 0.1 %", "hold", false),
        // It is so, and will not have been for long enough for hours.
        ("errors > 0.1 %\"\nfor = \"5h", "hold", false),
        ("errors > 0.1 %\"\nfor = \"5h", "abort", false),
        // It cannot see.
        ("p99 > 1s", "hold", false),
        ("p99 > 1s", "note", true),
        ("errors > 0.1 %", "note", true),
        ("errors > 2 %", "abort", true),
    ] {
        let mut state = as_good_so_far(true);
        state.settings.rules = rule(&format!("[[rules]]\nwhen = \"{when}\"\neffect = \"{effect}\"\n"));
        let mut state = State { card: None, ..armed_from(state) };
        assert_eq!(reads_on(&mut state, 0.002, 10..900).is_some(), promotes, "{when} {effect}: {:?}", state.note);
    }
}

/// What a person would have to weigh is not for a machine, and it asks once.
#[test]
fn what_the_server_refuses_is_said_once_and_it_stays_armed() {
    let mut state = armed(true);
    let asked = reads_on(&mut state, 0.002, 10..900).unwrap();
    let plan = state.arms.values().find_map(|armed| armed.card.clone()).and_then(|card| card.plan).unwrap();
    let effects = approved(&mut state, Check::No("patch rollouts".into()), asked);
    assert_eq!((acts(&effects), journaled(&effects), state.arms.len()), (0, None, 1));
    let note = state.note.as_ref().map(|(_, text)| text.to_string()).unwrap_or_default();
    assert!(note.contains("not promoted: it waits on at step") && note.contains("the server would refuse it"), "{note}");
    assert_eq!(reads_on(&mut state, 0.002, asked + 5..asked + 600), None);
    assert!(reads_on(&mut state, 0.3, asked + 605..asked + 800).is_some(), "it still pulls the brake");

    assert_eq!(promotion::misgiving(&plan), None);
    let warned = |severity| {
        let mut plan = plan.clone();
        plan.warnings.push(crate::model::Notice { severity, text: "argocd takes it back".into() });
        promotion::misgiving(&plan).is_some()
    };
    use crate::model::Severity as S;
    assert_eq!([S::Note, S::Warning, S::Danger].map(warned), [false, true, true]);
    assert!(promotion::misgiving(&Plan { intent: Intent::PromoteFull, ..plan }).is_some());
}

/// Another was faster, or the server is silent: nothing is sent a second time, and nobody is woken for a brake that was not pulled.
#[test]
fn a_lease_that_is_gone_is_no_leave_to_try_again() {
    for outcome in [Outcome::Conflict { said: "the lease is spent".into(), done: 0 }, Outcome::Unknown { said: "504".into(), done: 1 }] {
        let mut state = armed(true);
        let asked = reads_on(&mut state, 0.002, 10..900).unwrap();
        let effects = approved(&mut state, Check::Yes, asked);
        let card = effects.iter().find_map(|e| if let Effect::Act { card, .. } = e { Some(*card) } else { None }).expect("an act");
        hear(&mut state, Body::Acted { card, outcome }, asked);
        assert_eq!(reads_on(&mut state, 0.002, asked + 5..asked + 300), None);
        assert_eq!((state.arms.len(), state.ended.values().next()), (0, Some(&Ended::Unpromoted)));
        assert!(!Ended::Unpromoted.is_urgent());
    }
}

/// The name was typed for the lease; for one act more nobody is asked.
#[test]
fn in_a_protected_context_the_name_was_typed_when_it_was_armed() {
    let mut state = armed(true);
    state.settings.protected = true;
    let asked = reads_on(&mut state, 0.002, 10..900).unwrap();
    assert_eq!(acts(&approved(&mut state, Check::Yes, asked)), 1);
}

/// The same step, but somebody has sent it back there, or the pause was ended and came again: what it showed before is over.
#[test]
fn a_pause_that_begins_anew_is_watched_anew() {
    let mut state = armed(true);
    let undisturbed = reads_on(&mut state.clone(), 0.002, 10..900).unwrap();
    assert_eq!(reads_on(&mut state, 0.002, 10..undisturbed - 10), None);
    let anew = |r: &mut Value| r["status"]["pauseConditions"][0]["startTime"] = "2026-11-21T04:00:00Z".into();
    applied(&mut state, anew, at(undisturbed - 9));
    assert_eq!(state.arms.len(), 1, "{:?}", state.note);
    let asked = reads_on(&mut state, 0.002, undisturbed - 5..undisturbed + 900).expect("it is as good there, too");
    assert!(asked - undisturbed >= undisturbed - 10 - 15, "{asked}, undisturbed {undisturbed}");
}
