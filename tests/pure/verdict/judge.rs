//! From blocks to a sentence, and what may never become of missing ones.

use chrono::TimeDelta;
use proptest::prelude::*;
use rolltop::{
    model::{
        Rollout, Strategy as Way, Time,
        metrics::{Block, Counts, Reading, RolloutMetrics},
    },
    settings::Settings,
    verdict::{Advice, Case, Trial, Verdict, judge},
};

use super::release::{Play, SAME, TICKS, block, counts, start};
use crate::sample;

fn rollout() -> Rollout {
    let mut rollout = sample::canary();
    rollout.analyses.clear();
    rollout
}

fn metrics(at: Time) -> RolloutMetrics {
    let mut m = RolloutMetrics { at: Some(at), ..Default::default() };
    (m.new.rate, m.old.rate) = (Reading::Value(10.0), Reading::Value(90.0));
    m
}

fn say(trial: &Trial, age: i64) -> Verdict {
    let (rollout, now) = (rollout(), start() + TimeDelta::seconds(age));
    let m = metrics(start());
    judge(&Case { metrics: Some(&m), trial: Some(trial), ..Case::under(&Settings::default(), &rollout, now) })
}

fn trial_of(blocks: &[Block]) -> Trial {
    let mut trial = Trial::new("new", "old", Some(start()));
    blocks.iter().for_each(|block| trial.take(block, Some(0.1)));
    trial
}

#[test]
fn one_sentence_says_what_how_much_and_how_sure() {
    let worse = trial_of(&Play { base: 0.002, times: 20.0, ..SAME }.blocks(1)[..24]);
    let said = say(&worse, 0);
    assert_eq!(said.is, Advice::Abort);
    for words in ["canary fails 3.5 % of 1 213 requests", "stable 0.", "odds ", " : 1", "users hit so far"] {
        assert!(said.because.contains(words), "{}", said.because);
    }
    let early = say(&trial_of(&SAME.blocks(1)[..6]), 0);
    assert!(early.is == Advice::NotEnoughData && early.because.contains("at this traffic"), "{}", early.because);
    let good = say(&trial_of(&SAME.blocks(1)), 0);
    assert!(good.is == Advice::Go && good.because.contains("as good as before"), "{}", good.because);
    let sick = say(&trial_of(&Play { base: 0.2, ..SAME }.blocks(1)[..100]), 0);
    assert!(sick.is == Advice::Hold && sick.because.contains("an abort will not help"), "{}", sick.because);
}

/// Thirty bad seconds, then the same as before; another thirty much later where `again` says so.
fn spell(seed: u64, upto: usize, again: bool) -> Trial {
    let mut rng = fastrand::Rng::with_seed(seed);
    let blocks: Vec<Block> = (0..upto)
        .map(|i| {
            let bad = i < 6 || again && (200..206).contains(&i);
            let share = if bad { 0.2 } else { 0.01 };
            let mut side = |n: f64, p: f64| counts(n, super::release::binomial(n, p, &mut rng));
            block(i, side(50.0, share), side(450.0, 0.01))
        })
        .collect();
    trial_of(&blocks)
}

#[test]
fn what_is_over_is_said_to_be_over_and_holds() {
    let mut held = 0;
    for seed in 0..20 {
        let fresh = say(&spell(seed, 12, false), 0);
        assert!(fresh.is == Advice::Abort && !fresh.because.contains("as before"), "{}", fresh.because);
        let later: Vec<(usize, Verdict)> = (30..240).step_by(6).map(|n| (n, say(&spell(seed, n, false), 0))).collect();
        let soon = later.iter().find(|(_, said)| said.is != Advice::Abort || said.because.contains("(the last 2 min: "));
        assert!(soon.is_some_and(|(n, _)| *n <= 48), "seed {seed}: minutes after it was over nothing says so");
        let (n, over) = later.iter().find(|(_, said)| said.is != Advice::Abort).expect("no longer an abort");
        if over.is == Advice::Hold {
            held += 1;
            assert!(over.because.starts_with("it was worse, and has been as before for "), "{}", over.because);
            assert!(
                over.because.contains("users hit so far") && !over.more.iter().any(|l| l.contains("cost of waiting")),
                "{:?}",
                over.more
            );
            // Nobody can tell that it is over from readings that are too old.
            assert_eq!(say(&spell(seed, *n, false), 60).is, Advice::Abort);
        }
        assert_eq!(say(&spell(seed, 204, true), 0).is, Advice::Abort, "seed {seed}: it came back twenty seconds ago");
    }
    assert!(held >= 15, "{held} of 20");
}

/// What goes on is not taken for over: a rare mistake where the difference is small, and none where it is not.
#[test]
fn what_goes_on_stays_an_abort() {
    for (times, most) in [(1.5, 0.05), (2.0, 0.02), (5.0, 0.0)] {
        let (mut worse, mut calm) = (0.0, 0.0);
        for seed in 0..100 {
            let mut trial = Trial::new("new", "old", Some(start()));
            for block in (Play { times, ..SAME }).blocks(seed) {
                trial.take(&block, Some(0.1));
                if trial.failing.is_worse() {
                    (worse, calm) = (worse + 1.0, calm + f64::from(trial.failing.calm().is_some()));
                }
            }
        }
        assert!(worse > 1_000.0 && calm <= most * worse, "{times}×: {calm} of {worse} looks");
    }
}

#[test]
fn users_that_were_hit_stay_hit() {
    let hit = |trial: &Trial| trial.failing.excess().map_or(0.0, |(hit, _)| hit);
    let mut most = 0.0;
    for upto in 1..200 {
        let now = hit(&spell(3, upto, false));
        assert!(now >= most, "{now} after {most}");
        most = now;
    }
    assert!(most > 30.0, "{most}");
}

#[test]
fn a_go_costs_nothing() {
    let good = (0..60).map(|seed| trial_of(&SAME.blocks(seed))).map(|trial| say(&trial, 0)).filter(|said| said.is == Advice::Go);
    let goes = good.inspect(|said| assert!(said.more.iter().all(|l| !l.contains("cost of waiting")), "{:?}", said.more)).count();
    assert!(goes > 30);
}

#[test]
fn old_evidence_holds_and_never_goes() {
    let good = trial_of(&SAME.blocks(1));
    assert_eq!(say(&good, 29).is, Advice::Go);
    let held = say(&good, 31);
    assert!(held.is == Advice::Hold && held.because.contains("40 s old"), "{}", held.because);
    // What was found stays found.
    let worse = trial_of(&Play { times: 5.0, ..SAME }.blocks(1)[..40]);
    assert_eq!(say(&worse, 600).is, Advice::Abort);
}

#[test]
fn requests_from_before_the_release_do_not_count() {
    let bad = Play { times: 50.0, ..SAME }.blocks(1);
    let mut trial = Trial::new("new", "old", Some(bad[50].from));
    bad[..50].iter().for_each(|block| trial.take(block, None));
    assert_eq!((trial.failing.is_worse(), trial.failing.seen.new, trial.heard), (false, 0.0, None));
    trial.take(&bad[50], None);
    assert_eq!(trial.heard, Some(bad[50].to));
}

#[test]
fn a_block_counts_once_and_only_when_it_is_one_block() {
    let blocks = SAME.blocks(3);
    let mut trial = trial_of(&blocks[..10]);
    let before = trial.clone();
    // Seen before, overlapping, turned round.
    blocks[..10].iter().for_each(|block| trial.take(block, Some(0.1)));
    trial.take(&Block { from: blocks[9].from, to: blocks[12].to, ..blocks[9] }, Some(0.1));
    trial.take(&Block { from: blocks[20].to, to: blocks[20].from, ..blocks[20] }, Some(0.1));
    assert_eq!(trial, before);
    // Too long: hours and weights that have nothing to do with each other.
    trial.take(&Block { from: blocks[10].from, to: blocks[10].from + TimeDelta::minutes(10), ..blocks[10] }, Some(0.1));
    assert_eq!(trial.failing.seen, before.failing.seen);
    // A new weight in the middle of it.
    trial.take(&blocks[200], Some(0.5));
    assert_eq!(trial.failing.seen, before.failing.seen);
    trial.take(&blocks[201], Some(0.5));
    assert!(trial.failing.seen.new > before.failing.seen.new);
}

#[test]
fn a_single_scrape_convicts_nobody() {
    let mut trial = trial_of(&SAME.blocks(5)[..20]);
    trial.take(&block(20, counts(50.0, 50.0), counts(450.0, 4.0)), Some(0.1));
    assert!(!trial.failing.is_worse());
    trial.take(&block(21, counts(50.0, 50.0), counts(450.0, 4.0)), Some(0.1));
    trial.take(&block(22, counts(50.0, 50.0), counts(450.0, 4.0)), Some(0.1));
    assert!(trial.failing.is_worse());
}

#[test]
fn sides_that_are_scraped_at_different_moments_are_compared_all_the_same() {
    let lumps = |bad: f64| {
        let one = |i: usize| match i % 6 {
            1 => block(i, counts(300.0, bad), counts(0.0, 0.0)),
            4 => block(i, counts(0.0, 0.0), counts(2_700.0, 27.0)),
            _ => block(i, counts(0.0, 0.0), counts(0.0, 0.0)),
        };
        trial_of(&(0..120).map(one).collect::<Vec<_>>())
    };
    assert!(lumps(15.0).failing.is_worse() && !lumps(3.0).failing.is_worse());
    assert_eq!(lumps(3.0).failing.seen.new, 6_000.0);
}

/// Who took the users back has done what the advice is for; what a preview answers is no user's, and still counts.
#[test]
fn a_canary_without_users_needs_no_abort() {
    let trial = trial_of(&(0..30).map(|i| block(i, counts(50.0, 20.0), counts(450.0, 4.0))).collect::<Vec<_>>());
    let said = |strategy, share| {
        let mut rollout = rollout();
        rollout.strategy = strategy;
        rollout.tracks.iter_mut().filter(|track| track.is_new).for_each(|track| track.traffic.applied = Some(share));
        let metrics = metrics(start());
        judge(&Case { metrics: Some(&metrics), trial: Some(&trial), ..Case::under(&Settings::default(), &rollout, start()) })
    };
    assert_eq!(said(Way::Canary, 0.1).is, Advice::Abort);
    let left = said(Way::Canary, 0.0);
    assert!(left.is == Advice::None && left.because.starts_with("no user is on it now; before: canary fails"), "{}", left.because);
    assert_eq!(said(Way::BlueGreen, 0.0).is, Advice::Abort);
}

#[test]
fn slowness_is_the_same_test() {
    let timed = |all: f64, slow: f64| Some(Counts { all, bad: 0.0, timed: Some((all, slow)) });
    let run = |slow: f64, n: usize| {
        let blocks: Vec<Block> = (0..n).map(|i| block(i, timed(50.0, slow), timed(450.0, 18.0))).collect();
        let mut trial = trial_of(&blocks);
        trial.limit = Some(0.25);
        say(&trial, 0)
    };
    let much = run(15.0, 40);
    assert!(much.is == Advice::Abort && much.because.contains("slow in 30 % of 2 000 requests (over 250 ms)"), "{}", much.because);
    let some = run(3.8, 360);
    assert!(some.is == Advice::Hold && some.because.contains("is slow in"), "{}", some.because);
    assert_eq!(run(2.0, 360).is, Advice::Go);
}

#[test]
fn slowness_of_the_first_seconds_does_not_count_and_failures_always_do() {
    let counted = |bad: f64, slow: f64| Some(Counts { all: 50.0, bad, timed: Some((50.0, slow)) });
    let old = Some(Counts { all: 450.0, bad: 4.0, timed: Some((450.0, 18.0)) });
    let run = |warm_up: u64, new: &dyn Fn(usize) -> Option<Counts>, n: usize| {
        let mut trial = Trial::new("new", "old", Some(start())).warming_up(std::time::Duration::from_secs(warm_up));
        (0..n).for_each(|i| trial.take(&block(i, new(i), old), Some(0.1)));
        trial
    };
    // Nobody is on it for the first half minute: the warm-up begins with the first request.
    let cold = |i: usize| if i < 6 { None } else { counted(0.4, if i < 12 { 30.0 } else { 2.0 }) };
    assert!(run(0, &cold, 12).slow.is_worse() && !run(30, &cold, 200).slow.is_worse());
    let still_slow = |i: usize| if i < 6 { None } else { counted(0.4, 30.0) };
    assert!(!run(30, &still_slow, 12).slow.is_worse() && run(30, &still_slow, 20).slow.is_worse());
    let fails = |_: usize| counted(20.0, 2.0);
    assert_eq!(say(&run(30, &fails, 5), 0).is, Advice::Abort);
    // Without a word about its speed there is no go.
    let mut cold = run(3_600, &|_| counted(0.4, 2.0), 360);
    assert!(cold.failing.is_as_good() && cold.is_cold());
    assert_eq!(say(&cold, 0).is, Advice::NotEnoughData);
    cold = run(30, &|_| counted(0.4, 2.0), 360);
    assert_eq!((say(&cold, 0).is, cold.is_cold()), (Advice::Go, false));
}

#[test]
fn a_trial_is_small_and_survives_being_put_away() {
    let trial = trial_of(&SAME.blocks(1)[..50]);
    let text = serde_json::to_string(&trial).unwrap();
    let back: Trial = serde_json::from_str(&text).unwrap();
    assert!(back.is_of("new", "old") && !back.is_of("newer", "old"));
    assert!((back.failing.odds() - trial.failing.odds()).abs() < 1e-9);
    assert!(std::mem::size_of::<Trial>() < 1_200, "{}", std::mem::size_of::<Trial>());
}

fn any_counts() -> impl Strategy<Value = Option<Counts>> {
    let number = prop_oneof![0.0..1e3, Just(0.0), Just(f64::NAN), Just(f64::INFINITY), Just(-5.0), Just(1e300)];
    let timed = proptest::option::of((number.clone(), number.clone()));
    proptest::option::of((number.clone(), number, timed).prop_map(|(all, bad, timed)| Counts { all, bad, timed }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn never_a_nan(sides in proptest::collection::vec((any_counts(), any_counts(), 0.5_f64..3.0), 1..80)) {
        let blocks: Vec<Block> = sides.iter().enumerate().map(|(i, (n, o, stretch))| Block { stretch: *stretch, ..block(i, *n, *o) }).collect();
        let trial = trial_of(&blocks);
        for strand in [&trial.failing, &trial.slow] {
            prop_assert!(!strand.odds().is_nan() && !strand.odds_as_good().is_nan() && strand.dispersion() >= 1.0);
        }
        let said = say(&trial, 0);
        prop_assert!(!said.because.contains("NaN") && !said.because.contains('?'), "{}", said.because);
    }

    #[test]
    fn what_is_missing_on_one_side_says_nothing(sides in proptest::collection::vec((any_counts(), any::<bool>()), 1..TICKS)) {
        let blocks: Vec<Block> = sides.iter().enumerate().map(|(i, (c, new))| if *new { block(i, *c, None) } else { block(i, None, *c) }).collect();
        let trial = trial_of(&blocks);
        prop_assert!(!trial.failing.is_worse() && !trial.slow.is_worse());
        let said = say(&trial, 0).is;
        prop_assert!(!matches!(said, Advice::Abort | Advice::Go), "{said:?}");
    }
}
