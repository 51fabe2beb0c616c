use super::*;
use crate::notify::{
    event::{Event, Kind},
    kit,
};

fn at(seconds: i64) -> Time {
    chrono::DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn entry(name: &str, kind: Kind, due: i64) -> Entry {
    let event = Event { at: at(due - 5), id: kit::id(name), ..kit::event(kind, "x") };
    let id = format!("{name}-{}", kind.row().name);
    Entry { id, event, due: at(due), sent_as: None, unclear: false, raised: false, instead: Vec::new() }
}

fn names(next: Next) -> Vec<String> {
    match next {
        Next::Send(entries) => entries.into_iter().map(|e| e.id).collect(),
        other => vec![format!("{other:?}")],
    }
}

#[test]
fn waiting_doubles_up_to_five_minutes_and_is_never_shorter_than_asked() {
    let seconds: Vec<u64> = (1..=10).map(|n| back_off(n, None, 0.5).as_secs()).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
    assert_eq!(back_off(1, Some(Duration::from_secs(30)), 0.0), Duration::from_secs(30));
    assert_eq!(back_off(u32::MAX, Some(Duration::from_secs(30)), 0.5).as_secs(), 300);
    assert_eq!(back_off(1, Some(Duration::from_secs(999_999)), 0.5).as_secs(), 3_600);
    assert!(back_off(3, None, 0.0) < back_off(3, None, 1.0));
}

#[test]
fn events_of_one_release_within_its_time_are_one_message() {
    let waiting = [entry("a", Kind::AbortAdvised, 5), entry("a", Kind::Waits, 7), entry("b", Kind::Waits, 6)];
    let (mut bucket, mut throttled) = (Bucket::new((6, Duration::from_secs(60)), at(0)), false);
    assert_eq!(next(&waiting, &mut bucket, &mut throttled, at(4)), Next::Wait(Duration::from_secs(1)));
    assert_eq!(names(next(&waiting, &mut bucket, &mut throttled, at(5))), ["a-abort-advised", "a-waits"]);
    assert_eq!(names(next(&waiting[2..], &mut bucket, &mut throttled, at(6))), ["b-waits"]);
    assert_eq!(next(&[], &mut bucket, &mut throttled, at(6)), Next::Idle);
}

#[test]
fn beyond_the_rate_everything_due_is_one_message() {
    let (mut bucket, mut throttled) = (Bucket::new((2, Duration::from_secs(60)), at(0)), false);
    let mut waiting: Vec<Entry> = (0..9).map(|i| entry(&format!("r{i}"), Kind::Waits, 0)).collect();
    let mut sent = Vec::new();
    for second in 0..120 {
        if let Next::Send(entries) = next(&waiting, &mut bucket, &mut throttled, at(second)) {
            waiting.retain(|e| !entries.contains(e));
            sent.push((second, entries));
        }
    }
    let counts: Vec<(i64, usize)> = sent.iter().map(|(second, entries)| (*second, entries.len())).collect();
    assert_eq!(counts, [(0, 1), (1, 1), (30, 7)]);
    let message = message(sent.pop().unwrap().1);
    assert_eq!(message.folded, 7);
    assert!(
        message.text().contains("7 messages in one") && message.title().contains("and 6 more"),
        "{} {}",
        message.title(),
        message.text()
    );
}

#[test]
fn the_loudest_goes_first() {
    let (mut bucket, mut throttled) = (Bucket::new((6, Duration::from_secs(60)), at(0)), false);
    let waiting = [entry("a", Kind::Completed, 0), entry("b", Kind::NotRecovered, 1)];
    assert_eq!(names(next(&waiting, &mut bucket, &mut throttled, at(2))), ["b-not-recovered"]);
}

#[test]
fn another_attempt_is_the_same_message_and_says_if_it_may_be_a_repeat() {
    let first = message(vec![entry("a", Kind::Waits, 0)]);
    assert!(!first.again && !first.text().contains("before"));
    let again = Entry { sent_as: Some(first.id.clone()), unclear: true, ..entry("a", Kind::Waits, 0) };
    let more = message(vec![entry("a", Kind::AbortAdvised, 3), again]);
    assert_eq!(more.id, first.id);
    assert!(more.again && more.text().contains("you may have had this before"));
    assert_eq!(more.events.first().map(|e| e.kind), Some(Kind::Waits), "oldest first");
}

#[test]
fn what_is_urgent_waits_for_nothing_else() {
    assert_eq!(due(false, Duration::from_secs(5), at(0)), at(5));
    assert_eq!(due(true, Duration::from_secs(5), at(0)), at(1));
}
