//! Time as the screen shows it: coarse, so that a quiet screen stays quiet.
//!
//! Whatever depends on the time is asked here, and each answer notes when it would be another. The
//! earliest of these moments is when the loop must draw again; until then it may sleep.

use std::{cell::Cell, time::Duration};

use chrono::{DateTime, Local, TimeDelta, Timelike, Utc};

use super::format;
use crate::{model::Time, settings::Zone};

#[derive(Debug)]
pub struct Clock {
    now: Time,
    zone: Zone,
    next: Cell<Option<Time>>,
}

/// Up to this many seconds, a passed time is rounded down to a multiple of that many.
const PASSED: &[(i64, i64)] = &[(600, 10), (3_600, 60), (86_400, 600), (i64::MAX, 3_600)];
/// The same for a time to come, rounded up.
const TO_COME: &[(i64, i64)] = &[(120, 1), (600, 10), (86_400, 60), (i64::MAX, 3_600)];
/// Ages of evidence: below the first is `now`. A quiet link is probed every 15 s, so one that lives stays there.
const AGES: &[i64] = &[20, 40, 60];

impl Clock {
    pub fn new(now: Time, zone: Zone) -> Self {
        Self { now, zone, next: Cell::new(None) }
    }

    /// The next moment at which an answer given so far would be another.
    pub fn next_change(&self) -> Option<Time> {
        self.next.get()
    }

    /// The moment itself, for asking others; whoever draws with it must not let it show.
    pub fn moment(&self) -> Time {
        self.now
    }

    fn note(&self, at: Option<Time>) {
        if let Some(at) = at.filter(|at| *at > self.now) {
            self.next.set(Some(self.next.get().map_or(at, |n| n.min(at))));
        }
    }

    fn passed(&self, since: Time) -> i64 {
        (self.now - since).num_seconds().max(0)
    }

    /// Age of evidence: `now`, `20s`, `40s`, `1m`, then by minutes, hours, days.
    pub fn age(&self, at: Time) -> String {
        let passed = self.passed(at);
        let unit = match passed {
            3_600.. => 3_600,
            _ => 60,
        };
        let shown = AGES.iter().rev().copied().find(|a| *a <= passed).unwrap_or(0).max(passed / unit * unit);
        let next = AGES.iter().copied().find(|a| *a > passed).unwrap_or(passed / unit * unit + unit);
        self.note(later(at, next));
        if shown == 0 { "now".into() } else { format::short(seconds(shown)) }
    }

    /// How long nothing was heard: by seconds up to two minutes, as this must not sound shorter than it is.
    pub fn silence(&self, at: Time) -> String {
        let passed = self.passed(at);
        if passed >= 120 {
            return self.since(at);
        }
        self.note(later(at, passed + 1));
        format::duration(seconds(passed))
    }

    /// How long something has lasted: `4m10s`, `31m`, `2h10m`.
    pub fn since(&self, at: Time) -> String {
        let passed = self.passed(at);
        let grain = grain(PASSED, passed);
        let shown = passed / grain * grain;
        self.note(later(at, shown + grain));
        if shown == 0 { "<10s".into() } else { format::duration(seconds(shown)) }
    }

    /// How long until something happens: `1:48`, `4m10s`, `31m`; `now` when it is due.
    pub fn until(&self, at: Time) -> String {
        let left = at - self.now;
        if left <= TimeDelta::zero() {
            return "now".into();
        }
        let left = left.num_seconds() + i64::from(left.subsec_nanos() > 0);
        let grain = grain(TO_COME, left - 1);
        let shown = left.div_euclid(grain) * grain + if left % grain == 0 { 0 } else { grain };
        self.note(later(at, grain - shown));
        if grain == 1 { format::stopwatch(seconds(shown)) } else { format::duration(seconds(shown)) }
    }

    /// Whether this moment lies further back than that.
    pub fn older(&self, at: Time, than: Duration) -> bool {
        let limit = TimeDelta::from_std(than).ok().and_then(|d| at.checked_add_signed(d));
        self.note(limit);
        limit.is_some_and(|l| l <= self.now)
    }

    /// Whether this moment is still to come.
    pub fn ahead(&self, at: Time) -> bool {
        self.note(Some(at));
        at > self.now
    }

    /// Time since a moment, rounded up to minutes, and to tens of them after an hour.
    pub fn whole_minutes(&self, since: Time) -> Duration {
        let passed = self.passed(since);
        let grain = if passed < 3_600 { 60 } else { 600 };
        let shown = passed / grain * grain + grain;
        self.note(later(since, shown));
        seconds(shown)
    }

    /// Hours and minutes, without seconds: the header may change once a minute, not oftener.
    pub fn wall(&self) -> String {
        let into = i64::from(self.now.second());
        let whole = self.now.with_nanosecond(0).unwrap_or(self.now);
        self.note(later(whole, 60 - into));
        self.local(self.now, "%H:%M")
    }

    /// The time of day of a past moment, or its date when it is another day's.
    pub fn stamp(&self, at: Time) -> String {
        // Days begin on a quarter of an hour of UTC in every zone there is.
        let quarter = self.now.timestamp().div_euclid(900) * 900 + 900;
        self.note(DateTime::from_timestamp(quarter, 0));
        let same_day = self.local(at, "%F") == self.local(self.now, "%F");
        self.local(at, if same_day { "%H:%M:%S" } else { "%d %b %H:%M" })
    }

    /// Hours and minutes of any moment.
    pub fn minute(&self, at: Time) -> String {
        self.local(at, "%H:%M")
    }

    /// The right end of a chart whose columns are this long: columns begin at multiples, so that a point stays in its column.
    pub fn edge(&self, column: Duration) -> Time {
        let step = i64::try_from(column.as_millis()).unwrap_or(i64::MAX).max(1);
        let end = (self.now.timestamp_millis().div_euclid(step)).saturating_add(1).saturating_mul(step);
        let edge = DateTime::from_timestamp_millis(end).unwrap_or(self.now);
        self.note(Some(edge));
        edge
    }

    fn local(&self, at: Time, form: &str) -> String {
        match self.zone {
            Zone::Utc => at.with_timezone(&Utc).format(form).to_string(),
            Zone::Local => at.with_timezone(&Local).format(form).to_string(),
        }
    }
}

fn later(at: Time, by: i64) -> Option<Time> {
    at.checked_add_signed(TimeDelta::try_seconds(by)?)
}

fn seconds(s: i64) -> Duration {
    Duration::from_secs(s.unsigned_abs())
}

fn grain(table: &[(i64, i64)], length: i64) -> i64 {
    table.iter().find(|(up_to, _)| length < *up_to).map_or(1, |(_, grain)| *grain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Time {
        DateTime::from_timestamp(1_800_000_000 + s, 0).unwrap()
    }

    fn clock(s: i64) -> Clock {
        Clock::new(at(s), Zone::Utc)
    }

    #[test]
    fn ages_are_coarse() {
        for (s, said) in
            [(0, "now"), (19, "now"), (20, "20s"), (39, "20s"), (45, "40s"), (61, "1m"), (179, "2m"), (7_300, "2h"), (200_000, "2d")]
        {
            assert_eq!(clock(s).age(at(0)), said, "{s}");
        }
    }

    #[test]
    fn countdowns_tick_by_seconds_only_at_the_end() {
        for (s, said) in [
            (5, "0:05"),
            (108, "1:48"),
            (120, "2:00"),
            (121, "2m10s"),
            (599, "10m"),
            (601, "11m"),
            (7_260, "2h01m"),
            (0, "now"),
            (-5, "now"),
        ] {
            assert_eq!(clock(0).until(at(s)), said, "{s}");
        }
    }

    #[test]
    fn every_answer_knows_when_it_ends() {
        let questions: [fn(&Clock, Time) -> String; 6] = [
            Clock::age,
            Clock::since,
            Clock::silence,
            Clock::until,
            |c, _| c.wall(),
            |c, t| c.older(t, Duration::from_secs(33)).to_string(),
        ];
        for ask in questions {
            for from in [-90_000, -4_000, -700, -61, -9, 0, 3, 119, 121, 605, 3_700, 90_000] {
                let now = clock(0);
                let said = ask(&now, at(from));
                let Some(end) = now.next_change() else { continue };
                let last = Clock::new(end - TimeDelta::nanoseconds(1), Zone::Utc);
                assert_eq!(ask(&last, at(from)), said, "{from} changed before {end}");
            }
        }
    }
}
