//! `guard` and `wait`: what ends a watch, and how.

use std::time::Duration;

use rolltop::{
    config::{Config, Sources},
    headless::{
        is_blind, namesakes,
        watchman::{End, Goal, Watchman},
    },
    model::{LinkState, Phase, Rollout, Source},
    state::{Known, State},
    verdict::{Advice, Verdict},
};

use super::sample;

const SPAN: Duration = Duration::from_secs(600);

fn known(rollout: Rollout, is: Advice) -> Known {
    let verdict = Verdict { is, ..Verdict::default() };
    Known { rollout, verdict, unobserved_since: None, deleted: None, haystack: "".into(), offers: None, finished: None, stalled: false }
}

fn moving(phase: Phase, is: Advice) -> Known {
    known(Rollout { phase, ..sample::canary() }, is)
}

/// Nothing in flight.
fn at_rest(phase: Phase) -> Known {
    let mut rollout = sample::canary();
    rollout.tracks.retain(|track| !track.is_new);
    known(Rollout { phase, ..rollout }, Advice::None)
}

/// How it ends when it looks like this, a second after the other, and then stays so until the last second.
fn ended(goal: Goal, looks: &[Known], last: i64) -> Option<End> {
    let mut watchman = Watchman::new(goal, SPAN, sample::now());
    let mut ends = looks.iter().zip(0..).map(|(known, second)| watchman.look(Some(known), sample::ahead(second)).1);
    let early = ends.by_ref().find_map(|end| end);
    drop(ends);
    early.or_else(|| watchman.look(looks.last(), sample::ahead(last)).1)
}

#[test]
fn a_release_ends_in_one_of_these_ways() {
    use Advice as A;
    use Phase as P;
    let cases = [
        (vec![moving(P::Progressing, A::Go), at_rest(P::Healthy)], 2, Some(End::Done)),
        (vec![moving(P::Waiting, A::NotEnoughData)], 599, None),
        (vec![moving(P::Waiting, A::NotEnoughData)], 600, Some(End::TimedOut)),
        (vec![moving(P::Waiting, A::Hold)], 599, None),
        (vec![moving(P::Waiting, A::Hold), moving(P::Waiting, A::Abort)], 2, Some(End::Advised)),
        // The finding is told even when the time is over.
        (vec![moving(P::Waiting, A::NotEnoughData), moving(P::Waiting, A::Abort)], 600, Some(End::Advised)),
        (vec![moving(P::Progressing, A::None), moving(P::Aborted, A::None)], 2, Some(End::Failed)),
        (vec![moving(P::Progressing, A::None), at_rest(P::Failing)], 2, Some(End::Failed)),
        // The command that starts it may be a moment ahead of the controller.
        (vec![at_rest(P::Healthy)], 59, None),
        (vec![at_rest(P::Healthy)], 60, Some(End::Idle)),
        (vec![moving(P::Aborted, A::None)], 59, None),
        (vec![moving(P::Aborted, A::None)], 60, Some(End::Failed)),
        (vec![moving(P::Aborted, A::None), moving(P::Progressing, A::None), at_rest(P::Healthy)], 3, Some(End::Done)),
        (vec![moving(P::Aborted, A::None), moving(P::Progressing, A::None), moving(P::Aborted, A::None)], 3, Some(End::Failed)),
    ];
    for (n, (looks, last, end)) in cases.into_iter().enumerate() {
        assert_eq!(ended(Goal::Guard, &looks, last), end, "case {n}");
    }
    assert_eq!(ended(Goal::Guard, &[], 0), Some(End::Gone));
    let mut gone = moving(P::Progressing, A::Go);
    gone.deleted = Some(sample::now());
    assert_eq!(ended(Goal::Guard, &[gone], 1), Some(End::Gone));
}

#[test]
fn what_is_waited_for_is_met_or_something_else_has_happened() {
    use Advice as A;
    use Phase as P;
    let at = |step: usize| {
        let mut known = moving(P::Progressing, A::None);
        known.rollout.steps.current = Some(step);
        known
    };
    let mut unobserved = at_rest(P::Healthy);
    unobserved.rollout.unobserved = true;
    let cases = [
        (Goal::Healthy, vec![at_rest(P::Healthy)], 1, Some(End::Met)),
        (Goal::Healthy, vec![unobserved], 1, None),
        (Goal::Healthy, vec![moving(P::Waiting, A::Abort)], 599, None),
        (Goal::Healthy, vec![moving(P::Waiting, A::Abort)], 600, Some(End::TimedOut)),
        (Goal::Healthy, vec![moving(P::Progressing, A::None), moving(P::Aborted, A::None)], 2, Some(End::Failed)),
        (Goal::Paused, vec![moving(P::Progressing, A::None), moving(P::Waiting, A::None)], 2, Some(End::Met)),
        (Goal::Paused, vec![moving(P::Paused, A::None)], 1, Some(End::Met)),
        (Goal::Step(3), vec![at(1)], 1, None),
        (Goal::Step(3), vec![at(2)], 1, Some(End::Met)),
        (Goal::Step(3), vec![at(5)], 1, Some(End::Met)),
        (Goal::Step(99), vec![at(1)], 1, Some(End::NoSuchStep)),
        (Goal::Aborted, vec![moving(P::Aborted, A::None)], 1, Some(End::Met)),
        (Goal::Aborted, vec![moving(P::Progressing, A::None)], 599, None),
    ];
    for (n, (goal, looks, last, end)) in cases.into_iter().enumerate() {
        assert_eq!(ended(goal, &looks, last), end, "case {n}");
    }
    let mut patient = Watchman::new(Goal::Healthy, Duration::from_secs(u64::MAX / 4), sample::now());
    assert_eq!(patient.look(Some(&at(1)), sample::ahead(86_400)).1, None, "no span is too long");
    let read = |text: &str| text.parse::<Goal>();
    assert_eq!((read("healthy"), read("step=4")), (Ok(Goal::Healthy), Ok(Goal::Step(4))));
    for odd in ["", "step", "step=0", "step=-1", "done", "healthy=1"] {
        assert!(read(odd).is_err(), "{odd:?}");
    }
}

#[test]
fn what_has_failed_already_is_told_at_once_and_is_no_matter_of_time() {
    use Advice as A;
    use Phase as P;
    let short = |goal, looks: &[Known], second| {
        let mut watchman = Watchman::new(goal, Duration::from_secs(5), sample::now());
        watchman.look(looks.first(), sample::now());
        watchman.look(looks.last(), sample::ahead(second)).1
    };
    let aborted = || moving(P::Aborted, A::None);
    for goal in [Goal::Guard, Goal::Healthy, Goal::Paused] {
        assert_eq!(short(goal, &[aborted()], 4), None, "a new release may begin");
        assert_eq!(short(goal, &[aborted()], 5), Some(End::Failed), "{goal:?}");
        assert_eq!(short(goal, &[aborted(), moving(P::Progressing, A::None)], 5), Some(End::TimedOut), "{goal:?}");
    }
    let awaits = |goal, span, looks: &[Known]| {
        let mut watchman = Watchman::new(goal, Duration::from_secs(span), sample::now());
        looks.iter().for_each(|known| _ = watchman.look(Some(known), sample::now()));
        watchman.awaits(&looks.last().unwrap().rollout)
    };
    let at = |seconds| sample::ahead(seconds).format("%H:%M:%SZ").to_string();
    let said = awaits(Goal::Healthy, 600, &[aborted()]).unwrap();
    assert!(said.starts_with("it is aborted already") && said.contains(&at(60)), "{said}");
    let said = awaits(Goal::Guard, 5, &[aborted()]).unwrap();
    assert!(said.contains(&at(5)), "never longer than it was told to: {said}");
    assert!(awaits(Goal::Guard, 600, &[at_rest(P::Healthy)]).unwrap().starts_with("no release is in flight"));
    assert_eq!(awaits(Goal::Aborted, 600, &[aborted()]), None);
    assert_eq!(awaits(Goal::Guard, 600, &[moving(P::Progressing, A::None)]), None);
    assert_eq!(awaits(Goal::Guard, 600, &[moving(P::Progressing, A::None), aborted()]), None, "that is an end");
}

#[test]
fn only_what_is_new_is_told() {
    let mut watchman = Watchman::new(Goal::Guard, SPAN, sample::now());
    let mut told = |known: &Known| watchman.look(Some(known), sample::now()).0;
    assert!(told(&moving(Phase::Progressing, Advice::None)));
    assert!(!told(&moving(Phase::Progressing, Advice::None)));
    assert!(told(&moving(Phase::Progressing, Advice::Go)));
    assert!(told(&moving(Phase::Waiting, Advice::Go)));
    let mut next = moving(Phase::Waiting, Advice::Go);
    next.rollout.steps.current = next.rollout.steps.current.map(|step| step + 1);
    assert!(told(&next) && !told(&next));
}

#[test]
fn who_saw_nothing_lately_does_not_say_that_nothing_happened() {
    let state = sample::open();
    let known = state.open().unwrap();
    let (soon, late) = (sample::now(), sample::ahead(600));
    let blind = |state: &State, judges, now| is_blind(state, known, judges, now);
    assert!(!blind(&state, true, soon) && blind(&state, true, late));
    let mut gone = state.clone();
    gone.links.entry(Source::Prometheus).state = LinkState::NoRoute;
    assert!(blind(&gone, true, soon) && !blind(&gone, false, soon), "its requests only matter to whoever judges them");
    let mut gone = state.clone();
    gone.links.entry(Source::Fleet).state = LinkState::NoRoute;
    assert!(blind(&gone, false, soon));
    let mut without = state.clone();
    without.settings.prometheus = false;
    assert!(!blind(&without, true, soon));
}

#[test]
fn a_bare_name_is_looked_for_everywhere_when_asked_to() {
    let scope = |flags: Vec<(&'static str, &'static str, String)>, rollout| {
        let config = Config::load(&Sources { flags, ..Sources::default() }, |_| None).unwrap();
        rolltop::session::wanted(&config, "mine", rollout).label
    };
    let all = || vec![("cluster.all-namespaces", "-A", "true".to_owned()), ("cluster.namespace", "-A", String::new())];
    assert_eq!(scope(Vec::new(), Some("checkout")), "mine");
    assert_eq!(scope(Vec::new(), None), "all namespaces");
    assert_eq!(scope(all(), Some("checkout")), "all namespaces");
    assert_eq!(scope(all(), Some("shop/checkout")), "shop");
    let mut state = sample::fleet();
    assert_eq!(namesakes(&state, "checkout"), ["shop/checkout"]);
    let mut twin = sample::canary();
    (twin.id.namespace, twin.id.uid) = ("other".into(), "twin".into());
    sample::add(&mut state, twin, Verdict::default(), None);
    assert_eq!(namesakes(&state, "checkout"), ["other/checkout", "shop/checkout"]);
    assert_eq!(namesakes(&state, "shop/checkout"), ["shop/checkout"]);
}

#[test]
fn who_finds_nothing_is_told_where_to_look() {
    use rolltop::cli::{Cli, missing, mistyped};
    assert!(missing("checkout", "default").ends_with("give NAMESPACE/NAME, or -A to look in all namespaces"));
    assert_eq!(missing("checkout", "all namespaces"), "no rollout checkout in all namespaces");
    assert_eq!(missing("shop/checkout", "shop"), "no rollout shop/checkout in shop");
    for (word, says) in
        [("journal", "see rolltop --help"), ("doctor", "see rolltop --help"), ("stauts", "did you mean status?"), ("gard", "mean guard?")]
    {
        assert!(mistyped(word).is_some_and(|said| said.contains(says)), "{word}");
        assert!(missing(word, "default").contains("there is no command"), "{word}");
    }
    for rollout in ["checkout", "cart", "web", "api", "shop/journal"] {
        assert_eq!(mistyped(rollout), None, "{rollout}");
    }
    // The documented commands must be there, and each says what its argument is.
    use clap::CommandFactory;
    for command in Cli::command().get_subcommands() {
        for argument in command.get_positionals() {
            assert!(argument.get_help().is_some() || argument.get_id() == "shell", "{} {}", command.get_name(), argument.get_id());
        }
    }
}

#[test]
fn every_end_has_a_documented_code() {
    let all = [End::NoSuchStep, End::Met, End::Done, End::Idle, End::Advised, End::Failed, End::TimedOut, End::Blind, End::Gone];
    assert_eq!(all.map(End::code), [2, 0, 0, 0, 12, 12, 14, 13, 13]);
    let readme = include_str!("../../README.md");
    for code in [12, 13, 14] {
        assert!(readme.contains(&format!("\n| {code} |")), "{code}");
    }
}
