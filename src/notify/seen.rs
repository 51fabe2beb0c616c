//! From two looks at a release to what is to be told. Pure.

use crate::{
    guard,
    model::{Phase, Role, Rollout, Text, Time, WaitFor},
    notify::event::{Event, Kind, Slot, Topic, release},
    state::Known,
    verdict::Advice,
};

/// Our own name as a writer.
const SELF: &str = "rolltop";

/// What was seen last of one release: little, as it is kept for every rollout of a fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    release: Text,
    /// The release that was on its way last, though only the old version may be left of it.
    flight: Text,
    phase: Phase,
    in_flight: bool,
    generation: i64,
    step: Option<usize>,
    waits_since: Option<Time>,
    /// The last advice that was one: no data and stale readings leave it as it was.
    advice: Advice,
    written: Option<Time>,
}

/// What follows from a look.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub slot: Slot,
    pub value: String,
    /// What to tell; nothing where it is only to be remembered.
    pub event: Option<Event>,
    /// News only to somebody who remembers this beginning of a value: the end of a release that was seen on its way.
    pub after: Option<String>,
}

impl From<Event> for Change {
    fn from(event: Event) -> Self {
        Self { slot: event.slot(), value: event.value(), event: Some(event), after: None }
    }
}

/// What is remembered of a release on its way.
pub const MOVING: &str = "moving";

impl Seen {
    pub fn of(known: &Known) -> Self {
        let r = &known.rollout;
        Self {
            release: release(r),
            flight: release(r),
            phase: r.phase,
            in_flight: r.in_flight(),
            generation: r.generation,
            step: r.steps.current,
            waits_since: r.wait.as_ref().filter(|w| w.who == WaitFor::Human).and_then(|w| w.since),
            advice: decisive(known).unwrap_or_default(),
            written: r.writers.first().and_then(|w| w.at),
        }
    }

    pub fn flight(&self) -> &Text {
        &self.flight
    }

    /// Whether another look says the same: most of them do.
    pub fn is_still(&self, known: &Known) -> bool {
        let r = &known.rollout;
        self.phase == r.phase
            && self.generation == r.generation
            && self.in_flight == r.in_flight()
            && self.step == r.steps.current
            && self.written == r.writers.first().and_then(|w| w.at)
            && decisive(known).is_none_or(|advice| advice == self.advice)
            && self.waits_since == r.wait.as_ref().filter(|w| w.who == WaitFor::Human).and_then(|w| w.since)
            && self.release == release(r)
    }
}

/// An advice on a release in flight, made of fresh readings.
fn decisive(known: &Known) -> Option<Advice> {
    let is_one = matches!(known.verdict.is, Advice::Go | Advice::Hold | Advice::Abort);
    (is_one && known.rollout.in_flight() && !known.verdict.stale).then_some(known.verdict.is)
}

/// What is to be told after another look; `mine` when this session has just acted on it itself.
pub fn changes(before: Option<&Seen>, known: &Known, mine: bool, now: Time) -> (Seen, Vec<Change>) {
    let mut seen = Seen::of(known);
    if seen.advice == Advice::None
        && let Some(before) = before.filter(|b| b.release == seen.release)
    {
        seen.advice = before.advice;
    }
    if let Some(before) = before.filter(|_| !seen.in_flight) {
        seen.flight = before.flight.clone();
    }
    let look = Look { before, seen: &seen, known, now };
    let changes = [look.wait(), look.advice(), look.outcome(), (!mine).then(|| look.acted()).flatten()];
    (seen.clone(), changes.into_iter().flatten().collect())
}

struct Look<'a> {
    before: Option<&'a Seen>,
    seen: &'a Seen,
    known: &'a Known,
    now: Time,
}

impl Look<'_> {
    fn rollout(&self) -> &Rollout {
        &self.known.rollout
    }

    fn event(&self, kind: Kind, text: impl Into<Text>) -> Event {
        Event::about(self.known, kind, text, self.now)
    }

    fn wait(&self) -> Option<Change> {
        let (r, seen) = (self.rollout(), self.seen);
        let waits = |s: &Seen| s.phase == Phase::Waiting;
        let same = |b: &&Seen| waits(b) && b.release == seen.release && b.step == seen.step && b.waits_since == seen.waits_since;
        if waits(seen) {
            if self.before.filter(same).is_some() {
                return None;
            }
            let reason = r.wait.as_ref().map_or(&r.phase_detail, |w| &w.reason);
            let next = if r.next.what.is_empty() { String::new() } else { format!("; then: {}", r.next.what) };
            let mark = seen.waits_since.map_or_else(|| format!("step {:?}", seen.step), |since| since.timestamp().to_string());
            return Some(self.event(Kind::Waits, format!("waits for a human: {reason}{next}")).marked(mark).into());
        }
        let goes_on = matches!(seen.phase, Phase::Progressing | Phase::Paused | Phase::Healthy);
        let mark = self.now.timestamp().to_string();
        let waited = self.before.is_some_and(|b| waits(b) && b.release == seen.release);
        (waited && goes_on).then(|| self.event(Kind::GoesOn, "goes on").marked(mark).into())
    }

    fn advice(&self) -> Option<Change> {
        let advice = decisive(self.known)?;
        if self.before.is_some_and(|b| b.advice == advice && b.release == self.seen.release) {
            return None;
        }
        let kind = match advice {
            Advice::Abort => Kind::AbortAdvised,
            Advice::Hold => Kind::HoldAdvised,
            _ => Kind::GoAdvised,
        };
        let verdict = &self.known.verdict;
        Some(self.event(kind, format!("{}: {}", verdict.is.words(), verdict.because)).into())
    }

    fn outcome(&self) -> Option<Change> {
        let (r, seen) = (self.rollout(), self.seen);
        let slot = Slot::of(&r.id, Topic::Outcome);
        let moving = |release: &Text| format!("{MOVING} {release} ");
        let begun = self.before.filter(|b| is_moving(b) && b.release == seen.release).is_some();
        if is_moving(seen) {
            return (!begun).then(|| Change { slot, value: moving(&seen.release), event: None, after: None });
        }
        if self.before.is_some_and(|b| b.phase == seen.phase && b.in_flight == seen.in_flight) {
            return None;
        }
        let was = seen.flight.clone();
        let (kind, text) = match seen.phase {
            Phase::Aborted => (Kind::Aborted, format!("aborted: {}", r.phase_detail)),
            Phase::Failing => (Kind::Failed, format!("fails: {}", r.phase_detail)),
            Phase::Stuck => (Kind::Failed, format!("is stuck: {}", r.phase_detail)),
            Phase::Healthy if !seen.in_flight => match self.before {
                // An abort was told as one; that its remains are gone is no news.
                Some(b) if b.phase == Phase::Aborted && b.release != stable(r) => return None,
                Some(b) if b.in_flight && b.release != stable(r) => (Kind::Aborted, "taken back: the old version serves alone".to_owned()),
                _ => (Kind::Completed, format!("is released: {}", images(r))),
            },
            _ => return None,
        };
        // Met for the first time it is no news, unless an earlier session saw it on its way.
        let after = self.before.is_none().then(|| match seen.phase {
            Phase::Healthy => moving(&was),
            _ => MOVING.to_owned(),
        });
        // Healthy all the time, with nothing in flight before either, is no end.
        let ended = self.before.is_none_or(|b| b.in_flight || seen.phase != Phase::Healthy);
        let event = self.event(kind, text).of_release(was);
        ended.then(|| Change { after, ..event.into() })
    }

    fn acted(&self) -> Option<Change> {
        let before = self.before?;
        // The release itself going on is no news.
        let newest = guard::people(self.rollout()).next()?;
        let at = newest.at.filter(|at| before.written.is_none_or(|last| *at > last))?;
        let who = if *newest.manager == *SELF { "another rolltop" } else { &newest.manager };
        Some(self.event(Kind::Acted, format!("was changed by {who}")).marked(at.timestamp().to_string()).into())
    }
}

fn is_moving(seen: &Seen) -> bool {
    seen.in_flight && matches!(seen.phase, Phase::Progressing | Phase::Waiting | Phase::Paused)
}

fn stable(r: &Rollout) -> Text {
    r.old_side().or_else(|| r.track(Role::Primary)).map(|t| t.hash.clone()).filter(|h| !h.is_empty()).unwrap_or_else(|| release(r))
}

fn images(r: &Rollout) -> String {
    let track = r.old_side().or_else(|| r.tracks.first());
    let images: Vec<&str> = track.map(|t| t.images.iter().map(|i| &**i).collect()).unwrap_or_default();
    images.join(", ")
}
