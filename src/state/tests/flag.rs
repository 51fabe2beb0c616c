//! A feature flag's card: when it is there, what it waits for, and what the flag itself says at last.

use super::*;
use crate::engine::flag::Reading;

pub fn flags(names: &[&str]) -> Arc<Vec<crate::engine::flag::Flag>> {
    let one = |name: &&str| {
        format!(
            "[[flags]]\nname = \"{name}\"\nrollouts = \"*\"\n[flags.off]\nurl = \"https://flags.internal/{name}/off\"\n\
             [flags.read]\nurl = \"https://flags.internal/{name}\"\npointer = \"/enabled\"\noff = false\n"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, names.iter().map(one).collect::<String>()).unwrap();
    let sources = crate::config::Sources { file: Some(path), named: true, ..Default::default() };
    crate::config::Config::load(&sources, |_| None).unwrap().settings("prod", "", |_| None).flags
}

fn with_flags(names: &[&str], mode: Mode) -> State {
    let mut state = state(ROUTER_PAUSED, mode);
    state.settings.flags = flags(names);
    state
}

fn number(state: &State) -> u64 {
    state.card.as_ref().unwrap().number
}

/// The flag's server has answered before the card is.
fn read(state: &mut State, reading: Reading, check: Check) {
    let (card, plan) = open_plan(state);
    send(state, Body::FlagRead { card, reading });
    let findings = Findings { root: None, dry_run: check, rights: Check::Yes, health: None, plan };
    send(state, Body::Rehearsed { card, findings: Box::new(findings) });
}

fn on(state: &mut State) {
    read(state, Reading::On("true".into()), Check::Yes);
}

#[test]
fn a_rollout_without_a_flag_says_where_one_would_be() {
    let mut state = with_flags(&[], Mode::Interactive);
    press(&mut state, "K", at(0));
    let Stage::Refused(refusal) = stage(&state) else { panic!("{:?}", stage(&state)) };
    assert_eq!(refusal.reason, "no flag in config belongs to this rollout: see [[flags]]");
}

#[test]
fn one_flag_is_one_card_and_several_are_a_choice() {
    let mut state = with_flags(&["new-checkout"], Mode::Interactive);
    assert_eq!(rehearsals(&press(&mut state, "K", at(0))), 1);
    let (_, plan) = open_plan(&state);
    assert_eq!(plan.sentence, "Switches flag new-checkout off at flags.internal");
    let mut state = with_flags(&["new-checkout", "new-mail"], Mode::Interactive);
    press(&mut state, "K", at(0));
    assert!(state.card.is_none() && matches!(state.view.overlay, Some(Overlay::Prompt(_))));
    press(&mut state, "j", at(1));
    press(&mut state, "enter", at(2));
    assert_eq!(open_plan(&state).1.sentence, "Switches flag new-mail off at flags.internal");
}

#[test]
fn one_consent_is_one_request_and_only_the_flag_says_that_it_is_off() {
    let mut state = with_flags(&["new-checkout"], Mode::Interactive);
    press(&mut state, "K", at(0));
    assert_eq!(acts(&press(&mut state, "y", at(5))), 0, "it has not been read yet");
    on(&mut state);
    assert_eq!(acts(&press(&mut state, "y", later(0.5))), 1);
    for key in ["y", "K", "y"] {
        assert_eq!(acts(&press(&mut state, key, later(1.0))), 0);
    }
    let card = number(&state);
    send(&mut state, Body::Acted { card, outcome: Outcome::Accepted { generation: 0 } });
    send(&mut state, Body::FlagRead { card, reading: Reading::On("true".into()) });
    send(&mut state, Body::FlagRead { card, reading: Reading::Unknown("503".into()) });
    assert!(matches!(stage(&state), Stage::Accepted { .. }), "its server took it: that is not the same as off");
    send(&mut state, Body::FlagRead { card, reading: Reading::Off("false".into()) });
    assert!(matches!(stage(&state), Stage::Done { .. }));
}

#[test]
fn accepted_without_effect_is_a_state_of_its_own_and_late_is_not_never() {
    let mut state = with_flags(&["new-checkout"], Mode::Interactive);
    press(&mut state, "K", at(0));
    on(&mut state);
    press(&mut state, "y", later(0.5));
    let card = number(&state);
    send(&mut state, Body::Acted { card, outcome: Outcome::Accepted { generation: 0 } });
    update(&mut state, Event::Tick, at(29));
    assert!(matches!(stage(&state), Stage::Accepted { .. }));
    update(&mut state, Event::Tick, at(31));
    assert!(matches!(stage(&state), Stage::Silent { .. }));
    send(&mut state, Body::FlagRead { card, reading: Reading::Off("false".into()) });
    assert!(matches!(stage(&state), Stage::Done { .. }));
}

#[test]
fn an_unknown_outcome_is_told_by_the_flag() {
    let mut state = with_flags(&["new-checkout"], Mode::Interactive);
    press(&mut state, "K", at(0));
    on(&mut state);
    press(&mut state, "y", later(0.5));
    let card = number(&state);
    send(&mut state, Body::Acted { card, outcome: Outcome::Unknown { said: "504".into(), done: 0 } });
    send(&mut state, Body::FlagRead { card, reading: Reading::On("true".into()) });
    assert!(matches!(stage(&state), Stage::Unknown { .. }));
    send(&mut state, Body::FlagRead { card, reading: Reading::Off("false".into()) });
    assert!(matches!(stage(&state), Stage::Done { .. }));
}

#[test]
fn a_flag_that_is_off_or_cannot_be_read_is_not_switched_by_y_alone() {
    let mut state = with_flags(&["new-checkout"], Mode::Interactive);
    press(&mut state, "K", at(0));
    read(&mut state, Reading::Off("false".into()), Check::No("it is off already".into()));
    for key in ["y", "o", "y"] {
        assert_eq!(acts(&press(&mut state, key, later(2.0))), 0, "there is nothing to do");
    }
    let mut state = with_flags(&["new-checkout"], Mode::Interactive);
    press(&mut state, "K", at(0));
    read(&mut state, Reading::Unknown("401".into()), Check::Unknown("401".into()));
    assert_eq!(acts(&press(&mut state, "y", later(2.0))), 0);
    press(&mut state, "o", later(3.0));
    assert_eq!(acts(&press(&mut state, "y", later(4.0))), 1, "in an incident a person may know better");
}

/// It takes users away from what fails, so nothing that is old or moving holds it up.
#[test]
fn neither_stale_metrics_nor_an_unseen_change_nor_a_protected_context_holds_it_up() {
    let mut state = with_flags(&["new-checkout"], Mode::Interactive);
    state.settings.prometheus = true;
    state.settings.protected = true;
    let moving = changed(ROUTER_PAUSED, |root| root["metadata"]["generation"] = json!(99));
    send(&mut state, Body::Applied { source: Source::Fleet, scope: 0, object: Box::new(moving) });
    assert!(state.subject().unwrap().rollout.unobserved);
    press(&mut state, "K", at(0));
    on(&mut state);
    assert_eq!(acts(&press(&mut state, "y", at(5_000))), 1);
}

#[test]
fn a_watch_session_has_no_such_card() {
    let mut state = with_flags(&["new-checkout"], Mode::Watch);
    let effects = press(&mut state, "K", at(0));
    assert!(matches!(stage(&state), Stage::Refused(r) if r.reason.contains("watch session")), "{:?}", stage(&state));
    assert_eq!((rehearsals(&effects), acts(&effects)), (0, 0), "it is not even read");
}
