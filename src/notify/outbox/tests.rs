use super::*;
use crate::notify::{
    channel::{Way, terminal},
    event::{Kind, Topic},
    kit,
    seen::MOVING,
};

fn at(seconds: i64) -> Time {
    chrono::DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn event(kind: Kind, release: &str, seconds: i64) -> Event {
    Event { at: at(seconds), release: release.into(), ..kit::event(kind, "x") }
}

fn channel(name: &str) -> Channel {
    kit::channel(name, Way::Telegram { token: kit::secret("X"), chat: "1".into(), api: String::new() })
}

struct Desk {
    outbox: Outbox,
    channels: Vec<Channel>,
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { outbox: Outbox::open(&folder.path().join("notify")).unwrap(), channels: vec![channel("a"), channel("b")], folder }
    }

    fn tell(&self, change: impl Into<Change>) -> usize {
        let change = change.into();
        let now = change.event.as_ref().map_or(at(0), |e| e.at);
        self.outbox.note(&[change], &self.channels, now).unwrap()
    }

    /// Another process, or this one after a restart.
    fn other(&self) -> Outbox {
        Outbox::open(&self.folder.path().join("notify")).unwrap()
    }
}

#[test]
fn the_same_is_told_once_whoever_sees_it_and_however_often_it_starts() {
    let desk = Desk::new();
    assert_eq!(desk.tell(event(Kind::Waits, "1", 0)), 2, "once for each channel");
    assert_eq!(desk.tell(event(Kind::Waits, "1", 60)), 0);
    let change: Change = event(Kind::Waits, "1", 120).into();
    assert_eq!(desk.other().note(&[change], &desk.channels, at(120)).unwrap(), 0, "nor by another rolltop");
    assert_eq!(desk.tell(event(Kind::Waits, "2", 180)), 2, "another release");
    assert_eq!(desk.tell(event(Kind::Waits, "2", 190).marked("later")), 2, "or another wait of it");
    assert_eq!(desk.outbox.waiting(&desk.channels[0], at(200)).len(), 3);
}

#[test]
fn what_was_put_is_there_after_a_restart_until_it_is_taken_away() {
    let desk = Desk::new();
    desk.tell(event(Kind::Waits, "1", 0));
    let other = desk.other();
    let waiting = other.waiting(&desk.channels[0], at(1));
    assert_eq!((waiting.len(), waiting[0].due, waiting[0].unclear), (1, at(5), false));
    other.remove(&desk.channels[0], &waiting[0]).unwrap();
    assert!(desk.outbox.waiting(&desk.channels[0], at(1)).is_empty());
    assert_eq!(desk.outbox.waiting(&desk.channels[1], at(1)).len(), 1, "the other channel has its own");
    other.remove(&desk.channels[0], &waiting[0]).unwrap();
}

/// A crash after the entries and before the memory: the same entries come again, in the place of the first ones.
#[test]
fn a_crash_between_entry_and_memory_doubles_nothing() {
    let desk = Desk::new();
    let entry = Entry::new(&event(Kind::Waits, "1", 0), &desk.channels[0], at(0));
    desk.outbox.put(&desk.channels[0], &entry).unwrap();
    assert_eq!(desk.tell(event(Kind::Waits, "1", 3)), 2);
    assert_eq!(desk.outbox.waiting(&desk.channels[0], at(4)).len(), 1);
}

#[test]
fn an_advice_that_comes_and_goes_is_told_once_in_ten_minutes() {
    let desk = Desk::new();
    assert_eq!(desk.tell(event(Kind::AbortAdvised, "1", 0)), 2);
    assert_eq!(desk.tell(event(Kind::HoldAdvised, "1", 10)), 2);
    assert_eq!(desk.tell(event(Kind::AbortAdvised, "1", 20)), 0);
    assert_eq!(desk.tell(event(Kind::HoldAdvised, "1", 30)), 0);
    assert_eq!(desk.tell(event(Kind::AbortAdvised, "2", 40)), 2, "of another release");
    assert_eq!(desk.tell(event(Kind::GoAdvised, "1", 650)), 2);
    assert_eq!(desk.tell(event(Kind::AbortAdvised, "1", 660)), 2, "and again when it was otherwise for long");
}

#[test]
fn a_second_roll_back_of_a_release_is_told_and_what_two_sessions_see_of_one_is_not() {
    let desk = Desk::new();
    assert_eq!(desk.tell(event(Kind::Recovered, "1", 0)), 2);
    assert_eq!(desk.tell(event(Kind::Recovered, "1", 20)), 0, "another session says it, too");
    assert_eq!(desk.tell(event(Kind::Recovered, "1", 1_800)), 2, "half an hour later it is another one");
    assert_eq!(desk.outbox.waiting(&desk.channels[0], at(1_900)).len(), 2);
}

#[test]
fn the_end_of_a_release_met_for_the_first_time_is_news_only_if_it_was_seen_on_its_way() {
    let end = || Change { after: Some(format!("{MOVING} 1 ")), ..event(Kind::Completed, "1", 9).into() };
    let desk = Desk::new();
    assert_eq!(desk.tell(end()), 0, "it may have been so for weeks");
    let moving = Change { slot: Slot::of(&kit::id("checkout"), Topic::Outcome), value: format!("{MOVING} 1 "), event: None, after: None };
    assert_eq!(desk.tell(moving), 0, "that it moves is remembered, not told");
    assert_eq!(desk.tell(end()), 2, "an earlier session saw it begin");
    assert_eq!(desk.tell(end()), 0);
}

#[test]
fn one_sends_and_the_others_wait_for_the_lock() {
    let desk = Desk::new();
    let held = desk.outbox.lock(&desk.channels[0]).unwrap();
    assert!(desk.other().lock(&desk.channels[0]).is_none());
    assert!(desk.other().lock(&desk.channels[1]).is_some(), "each channel has a lock of its own");
    drop(held);
    assert!(desk.other().lock(&desk.channels[0]).is_some());
}

#[test]
fn the_old_the_broken_and_the_surplus_go() {
    let desk = Desk::new();
    let a = &desk.channels[0];
    for i in 0..(MOST + 3) {
        let entry = Entry { id: format!("{i:08}"), ..Entry::new(&event(Kind::Waits, "1", i as i64), a, at(0)) };
        // Past `put`, whose every write waits for the disk.
        folder(&desk.outbox.folder(a)).unwrap();
        std::fs::write(desk.outbox.folder(a).join(&entry.id).with_extension("json"), serde_json::to_vec(&entry).unwrap()).unwrap();
    }
    std::fs::write(desk.outbox.folder(a).join("broken.json"), "{").unwrap();
    let waiting = desk.outbox.waiting(a, at(2_000));
    assert_eq!((waiting.len(), waiting[0].id.as_str()), (MOST, "00000003"));
    assert_eq!(desk.outbox.count(a), MOST, "taken away on the disk, too");
    assert!(desk.outbox.waiting(a, at(86_400 * 2)).is_empty(), "what is a day old is no news");
}

#[cfg(unix)]
#[test]
fn nobody_else_can_look_into_it() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::new();
    desk.tell(event(Kind::Waits, "1", 0));
    let mut folders = vec![desk.folder.path().join("notify")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        for file in std::fs::read_dir(&folder).unwrap().flatten() {
            if file.path().is_dir() {
                folders.push(file.path());
            } else {
                assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
                seen += 1;
            }
        }
    }
    assert!(seen >= 3, "{seen}");
}

#[test]
fn the_terminal_keeps_nothing_on_disk() {
    let desk = Desk::new();
    let here = Channel { way: Way::Terminal(terminal::How::Bell), ..channel("here") };
    assert_eq!(desk.outbox.note(&[event(Kind::Waits, "1", 0).into()], &[here], at(0)).unwrap(), 0);
}
