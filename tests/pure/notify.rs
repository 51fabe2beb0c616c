//! What is told between two looks at a release, and what is not.

use rolltop::{
    config::{Config, Sources},
    model::{Phase, Role, Rollout, Source, Text, Time, Writer},
    notify::{
        Notifier,
        event::{Kind, Topic},
        seen::{Change, MOVING, Seen, changes},
    },
    state::{Known, Mode},
    verdict::{Advice, Verdict},
};

use super::sample;

fn known(rollout: Rollout, is: Advice) -> Known {
    let verdict = Verdict { is, because: "canary fails 4.1 %".into(), ..Verdict::default() };
    Known { rollout, verdict, unobserved_since: None, deleted: None, haystack: "".into(), offers: None, finished: None, stalled: false }
}

fn moving(phase: Phase) -> Rollout {
    Rollout { phase, ..sample::canary() }
}

/// The old version alone.
fn back() -> Rollout {
    let mut rollout = moving(Phase::Healthy);
    rollout.tracks.retain(|track| !track.is_new);
    rollout
}

/// The new version alone.
fn released() -> Rollout {
    let mut rollout = moving(Phase::Healthy);
    rollout.tracks.retain(|track| track.is_new);
    rollout.tracks[0].is_new = false;
    rollout.tracks[0].roles = vec![Role::Stable];
    rollout.steps.current = None;
    rollout
}

/// What looks one after the other tell.
fn told(looks: &[Known]) -> Vec<Kind> {
    all(looks).into_iter().filter_map(|change| change.event.map(|event| event.kind)).collect()
}

fn all(looks: &[Known]) -> Vec<Change> {
    let mut before: Option<Seen> = None;
    let mut out = Vec::new();
    for (look, second) in looks.iter().zip(0..) {
        if before.as_ref().is_some_and(|before| before.is_still(look)) {
            continue;
        }
        let (seen, found) = changes(before.as_ref(), look, false, sample::ahead(second));
        before = Some(seen);
        out.extend(found);
    }
    out
}

#[test]
fn a_release_tells_its_story_once() {
    use Advice as A;
    use Phase as P;
    let step = |phase, advice| known(moving(phase), advice);
    let cases = [
        (vec![step(P::Progressing, A::None), step(P::Waiting, A::None), step(P::Waiting, A::None)], vec![Kind::Waits]),
        (vec![step(P::Waiting, A::None), step(P::Progressing, A::None)], vec![Kind::Waits, Kind::GoesOn]),
        // The end of a wait that is an abort is told as that.
        (vec![step(P::Waiting, A::None), step(P::Aborted, A::None)], vec![Kind::Waits, Kind::Aborted]),
        (vec![step(P::Progressing, A::NotEnoughData), step(P::Progressing, A::Abort)], vec![Kind::AbortAdvised]),
        // No data in between is no change of mind.
        (
            vec![step(P::Progressing, A::Abort), step(P::Progressing, A::NotEnoughData), step(P::Progressing, A::Abort)],
            vec![Kind::AbortAdvised],
        ),
        (vec![step(P::Progressing, A::Hold), step(P::Progressing, A::Go)], vec![Kind::HoldAdvised, Kind::GoAdvised]),
        (vec![step(P::Progressing, A::None), step(P::Failing, A::None), step(P::Failing, A::None)], vec![Kind::Failed]),
        (vec![step(P::Progressing, A::None), step(P::Stuck, A::None)], vec![Kind::Failed]),
        (vec![step(P::Progressing, A::None), known(released(), A::None)], vec![Kind::Completed]),
        // Healthy again with the old version alone is no release.
        (vec![step(P::Progressing, A::None), known(back(), A::None)], vec![Kind::Aborted]),
        // Aborted, then tidied up: that is told already.
        (vec![step(P::Progressing, A::None), step(P::Aborted, A::None), known(back(), A::None)], vec![Kind::Aborted]),
        (vec![known(released(), A::None), known(released(), A::None)], vec![Kind::Completed]),
    ];
    for (looks, wanted) in cases {
        let phases: Vec<Phase> = looks.iter().map(|k| k.rollout.phase).collect();
        assert_eq!(told(&looks), wanted, "{phases:?}");
    }
}

/// What is met in its end has a condition: it is news only where an earlier session saw the release on its way.
#[test]
fn the_first_look_announces_what_waits_and_is_advised_and_no_old_ends() {
    let first = all(&[known(moving(Phase::Waiting), Advice::Abort)]);
    assert!(first.iter().all(|change| change.after.is_none()));
    let begun: Vec<&Change> = first.iter().filter(|change| change.event.is_none()).collect();
    assert!(begun.len() == 1 && begun[0].value.starts_with(MOVING), "that it is on its way is remembered");
    for rollout in [released(), moving(Phase::Aborted), moving(Phase::Failing)] {
        let first = all(&[known(rollout, Advice::None)]);
        assert!(first.len() == 1 && first[0].after.as_ref().is_some_and(|after| after.starts_with(MOVING)), "{first:?}");
    }
    let (begun, end) = (begun[0].clone(), all(&[known(released(), Advice::None)]).remove(0));
    assert!(
        begun.slot == end.slot && begun.value.starts_with(end.after.unwrap().trim_end()),
        "the one is remembered where the other looks"
    );
    assert_eq!(begun.slot, rolltop::notify::event::Slot::of(&sample::canary().id, Topic::Outcome));
}

#[test]
fn an_advice_made_of_old_readings_is_none() {
    let mut stale = known(moving(Phase::Progressing), Advice::Hold);
    stale.verdict.stale = true;
    assert!(told(&[known(moving(Phase::Progressing), Advice::None), stale]).is_empty());
    assert!(told(&[known(back(), Advice::Abort)]).iter().all(|kind| *kind != Kind::AbortAdvised), "nothing is in flight");
}

#[test]
fn another_wait_of_the_same_release_is_told_again() {
    let mut later = moving(Phase::Waiting);
    later.steps.current = Some(5);
    let mut again = moving(Phase::Waiting);
    again.wait.as_mut().unwrap().since = Some(sample::now());
    let first = known(moving(Phase::Waiting), Advice::None);
    for other in [later, again] {
        let all = all(&[first.clone(), known(other, Advice::None)]);
        let waits: Vec<_> = all.iter().filter(|c| c.event.as_ref().is_some_and(|e| e.kind == Kind::Waits)).collect();
        assert_eq!(waits.len(), 2);
    }
}

#[test]
fn somebody_who_acted_is_named_and_a_controller_is_nobody() {
    let wrote = |manager: &str, at: Time| {
        let mut rollout = moving(Phase::Progressing);
        rollout.writers = vec![Writer { manager: manager.into(), at: Some(at), subresource: None, books: false }];
        known(rollout, Advice::None)
    };
    let before = wrote("kubectl", sample::ago(60));
    let text = |manager: &str| {
        let all = all(&[before.clone(), wrote(manager, sample::now())]);
        all.into_iter().find_map(|c| c.event.filter(|e| e.kind == Kind::Acted)).map(|e| e.text.to_string())
    };
    assert_eq!(text("kubectl-argo-rollouts").as_deref(), Some("was changed by kubectl-argo-rollouts"));
    assert_eq!(text("rolltop").as_deref(), Some("was changed by another rolltop"));
    assert_eq!((text("rollouts-controller"), text("kube-controller-manager"), text("flagger")), (None, None, None));
    let (seen, _) = changes(None, &before, false, sample::now());
    let mine = changes(Some(&seen), &wrote("rolltop", sample::now()), true, sample::now()).1;
    assert!(mine.iter().all(|change| change.event.is_none()), "one's own hand is no news: {mine:?}");
    assert!(told(&[before]).is_empty(), "nor is what was done before");
}

fn terminal(settings: &str) -> Notifier {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, format!("[[notify]]\nkind = \"terminal\"\n{settings}")).unwrap();
    let config = Config::load(&Sources { file: Some(path), named: true, ..Sources::default() }, |_| None).unwrap();
    Notifier::start(config.channels.clone(), None, None)
}

#[test]
fn the_terminal_rings_for_what_happens_and_not_for_what_was_so_at_the_start() {
    let mut notifier = terminal("how = \"osc777\"\n");
    let mut state = sample::session();
    state.mode = Mode::Watch;
    sample::add(&mut state, moving(Phase::Progressing), Verdict::default(), None);
    let mut waiting = moving(Phase::Waiting);
    waiting.id.name = "other".into();
    waiting.id.uid = "other".into();
    sample::add(&mut state, waiting, Verdict::default(), None);
    assert_eq!(notifier.observe(&state, sample::now()), None);
    let uid = sample::uid("shop", "checkout");
    state.rollouts.get_mut(&uid).unwrap().rollout.phase = Phase::Waiting;
    let rung = notifier.observe(&state, sample::ahead(1)).unwrap();
    assert!(rung.starts_with("\x1b]777;notify;shop/checkout waits for a human"), "{rung:?}");
    assert_eq!(notifier.observe(&state, sample::ahead(2)), None, "once");
    state.rollouts.get_mut(&uid).unwrap().rollout.phase = Phase::Aborted;
    assert_eq!(notifier.observe(&state, sample::ahead(3)), None, "not again within three seconds");
}

/// What the guard does is told from what the journal is told, under the release it is about.
#[test]
fn what_the_guard_did_is_told() {
    use rolltop::{guard::arming::Ended, journal::Event as J, state::Effect};
    let mut state = sample::session();
    sample::add(&mut state, moving(Phase::Progressing), Verdict::default(), None);
    let tell = |event: J| {
        let mut notifier = terminal("how = \"osc9\"\nevents = [\"all\"]\n");
        notifier.observe(&state, sample::now());
        let effect = Effect::Journal { card: None, rollout: Some(sample::canary().id), event: Box::new(event) };
        notifier.effect(&state, &effect, sample::now())
    };
    let by: Text = "ana@corp".into();
    let why = |text: &str| Text::from(text);
    for (event, title) in [
        (J::Armed { release: "x".into(), until: sample::ahead(60), by }, "the guard is armed"),
        (J::Disarmed { why: why("its time is over"), how: Ended::Unasked }, "the guard is disarmed"),
        (
            J::Disarmed { why: why("THE ABORT DID NOT WORK, act yourself: 504"), how: Ended::Failed },
            "URGENT: shop/checkout THE ABORT DID NOT WORK",
        ),
        (J::GuardActs { because: why("4.1 %") }, "the guard acted"),
        (J::GuardPromotes { step: "step 2/4".into(), because: why("as good as before") }, "the guard promotes it"),
        (J::Recovered { after_seconds: 38 }, "recovered"),
        (J::NotRecovered { after_seconds: 150, why: why("4 %") }, "URGENT: shop/checkout THE ROLL-BACK DID NOT HELP"),
    ] {
        let rung = tell(event).unwrap();
        assert!(rung.contains(title), "{title}: {rung:?}");
    }
    assert_eq!(tell(J::SessionStarted { version: "1", mode: "watch" }), None);
}

#[test]
fn nothing_is_told_before_all_lists_are_there() {
    let mut notifier = terminal("");
    let mut state = sample::session();
    state.links.entry(Source::Fleet).synced = None;
    sample::add(&mut state, moving(Phase::Progressing), Verdict::default(), None);
    assert_eq!(notifier.observe(&state, sample::now()), None);
    let uid: Text = sample::uid("shop", "checkout");
    state.rollouts.get_mut(&uid).unwrap().rollout.phase = Phase::Waiting;
    assert_eq!(notifier.observe(&state, sample::ahead(5)), None, "it may only seem so");
    sample::live(&mut state, Source::Fleet, 0);
    assert_eq!(notifier.observe(&state, sample::ahead(6)), None, "this is the first look");
    state.rollouts.get_mut(&uid).unwrap().rollout.phase = Phase::Aborted;
    assert!(notifier.observe(&state, sample::ahead(7)).is_some());
}

#[test]
fn a_guard_tells_about_its_release_alone() {
    let mut notifier = terminal("").about("shop/other");
    let mut state = sample::session();
    sample::add(&mut state, moving(Phase::Progressing), Verdict::default(), None);
    notifier.observe(&state, sample::now());
    state.rollouts.get_mut(&sample::uid("shop", "checkout")).unwrap().rollout.phase = Phase::Waiting;
    assert_eq!(notifier.observe(&state, sample::ahead(1)), None);
}
