//! False alarms over a whole release, and what is found how soon.

use super::release::{Play, SAME, block, counts, start};
use rolltop::verdict::{Strand, Trial, trial::ALPHA};

const RUNS: u64 = 400;

/// Half the test's alarms belong to failures; what is left above that is the luck of four hundred runs.
fn calm(name: &str, play: Play) {
    let (alarms, _) = play.alarms(RUNS);
    assert!(alarms <= ALPHA, "{name}: {alarms} of the releases were called worse");
}

#[test]
fn releases_that_are_no_worse_are_left_alone() {
    calm("same, 1 %", SAME);
    calm("same, 0.2 %", Play { base: 0.002, ..SAME });
    calm("same, 1 request/s", Play { rate: 10.0, base: 0.002, ..SAME });
    calm("half of the users", Play { part: 0.5, ..SAME });
    calm("nine in ten users", Play { part: 0.9, ..SAME });
    calm("better", Play { times: 0.5, ..SAME });
}

#[test]
fn what_both_sides_share_cancels_out() {
    calm("day curve", Play { tide: |i, _| 1.0 + 0.8 * (i as f64 / 60.0).sin(), ..SAME });
    calm("shared bursts", Play { tide: |i, _| if i % 24 < 3 { 8.0 } else { 1.0 }, ..SAME });
    calm("shared noise", Play { tide: |_, rng| if rng.f64() < 0.2 { 8.0 } else { 0.3 }, ..SAME });
    calm("sick stable", Play { base: 0.3, ..SAME });
    calm("all fail", Play { base: 1.0, ..SAME });
    calm("an outage of both", Play { tide: |i, _| if (100..160).contains(&i) { 60.0 } else { 1.0 }, ..SAME });
}

#[test]
fn what_is_worse_is_found() {
    for (name, play, share, seconds) in [
        ("2× of 1 %", Play { times: 2.0, ..SAME }, 0.99, 240.0),
        ("5× of 1 %", Play { times: 5.0, ..SAME }, 1.0, 30.0),
        ("20× of 0.2 %", Play { base: 0.002, times: 20.0, ..SAME }, 1.0, 30.0),
        ("2× of 0.2 %", Play { base: 0.002, times: 2.0, ..SAME }, 0.8, 1_000.0),
        ("5× of 0.2 % at 1 request/s", Play { rate: 10.0, base: 0.002, times: 5.0, ..SAME }, 0.65, 1_000.0),
        ("all of it", Play { times: 100.0, ..SAME }, 1.0, 20.0),
    ] {
        let (found, median) = play.alarms(RUNS / 2);
        assert!(found >= share && median <= seconds, "{name}: {found} found, after {median} s");
    }
}

/// The expectation of what one block makes of the odds, over everything that can happen in it.
fn expected(before: &Trial, sizes: (u32, u32), shares: (f64, f64), odds: fn(&Strand) -> f64) -> f64 {
    let chance = |n: u32, p: f64, k: u32| {
        let ways: f64 = (0..k).map(|i| f64::from(n - i) / f64::from(i + 1)).product();
        ways * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32)
    };
    let (new, old) = sizes;
    let outcomes = (0..=new).flat_map(|i| (0..=old).map(move |j| (i, j)));
    let after = |(i, j): (u32, u32)| {
        let mut trial = before.clone();
        trial.take(&block(200, counts(new.into(), i.into()), counts(old.into(), j.into())), None);
        chance(new, shares.0, i) * chance(old, shares.1, j) * odds(&trial.failing)
    };
    outcomes.map(after).sum::<f64>() / odds(&before.failing)
}

/// What the honesty of every look rests on, exactly: with shares that are no worse, no block raises the odds on average.
#[test]
fn on_average_no_block_raises_the_odds() {
    let fresh = Trial::new("new", "old", Some(start()));
    let mut seasoned = fresh.clone();
    SAME.blocks(1)[..60].iter().for_each(|block| seasoned.take(block, None));
    for trial in [&fresh, &seasoned] {
        for sizes in [(1, 1), (3, 9), (9, 3), (6, 20)] {
            for share in [0.001, 0.01, 0.05, 0.2, 0.5, 0.9, 0.999] {
                for new in [share, share / 2.0] {
                    let e = expected(trial, sizes, (new, share), Strand::odds);
                    assert!(e <= 1.0 + 1e-9, "worse: {e} at {new}, {share} of {sizes:?}");
                }
                for new in [share * 1.5 + 0.001, share * 2.0 + 0.01].into_iter().filter(|p| *p < 1.0) {
                    let e = expected(trial, sizes, (new, share), Strand::odds_as_good);
                    assert!(e <= 1.0 + 1e-9, "as good: {e} at {new}, {share} of {sizes:?}");
                }
            }
        }
    }
}

#[test]
fn as_good_is_a_finding_and_a_rare_mistake() {
    let called = |play: Play| {
        let good = |seed| {
            let mut trial = rolltop::verdict::Trial::new("new", "old", Some(super::release::start()));
            play.blocks(seed).iter().any(|block| {
                trial.take(block, None);
                trial.failing.is_as_good()
            })
        };
        (0..RUNS / 2).filter(|seed| good(*seed)).count() as f64 / (RUNS / 2) as f64
    };
    assert!(called(SAME) > 0.9, "ten minutes of the same are enough");
    assert!(called(Play { base: 0.0, ..SAME }) > 0.9, "no failures at all, too");
    // Exactly what is no longer tolerated: half as many again and one in a thousand.
    assert!(called(Play { times: 1.6, ..SAME }) <= 0.05);
    assert!(called(Play { times: 2.0, ..SAME }) <= 0.01);
}
