//! False alarms over a whole release, and what is found how soon.

use super::release::{Play, SAME};
use rolltop::verdict::trial::ALPHA;

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
