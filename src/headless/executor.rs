//! `guard --execute`: the consent of the command line, as the keys a person would have pressed.
//!
//! It opens the same card, waits for the same answers and confirms it in the same way; all else is the armed guard's own.

use std::time::Duration;

use chrono::TimeDelta;

use super::watchman::End;
use crate::{
    guard::{
        self,
        arming::{self, Ended},
    },
    intent::Intent,
    model::{Phase, Text, Time},
    state::{Confirm, Effect, Event, Key, Stage, State, action, available, update},
    timeline::{Entry, Origin},
};

#[derive(Debug)]
pub struct Executor {
    span: Duration,
    /// From its first look on, when all of it ends.
    until: Option<Time>,
    flag: Option<Text>,
    stage: Arm,
    /// How often it was armed and has promoted.
    promoted: u32,
    /// Why it is not armed yet, as it was said last.
    said: Option<Text>,
    /// Lines of the guard that were told.
    told: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arm {
    NotYet,
    Armed,
    /// It was, and is no more.
    Over,
    Impossible,
}

impl Executor {
    /// For so long, as far as one may arm at all; to abort, or to switch a flag off.
    pub fn new(span: Duration, flag: Option<&str>) -> Self {
        Self { span, until: None, flag: flag.map(Text::from), stage: Arm::NotYet, promoted: 0, said: None, told: 0 }
    }

    /// Goes one step on. What there is to tell, line by line.
    pub fn step(&mut self, state: &mut State, uid: &str, now: Time, effects: &mut Vec<Effect>) -> Vec<Text> {
        let mut lines = Vec::new();
        let until = *self.until.get_or_insert_with(|| TimeDelta::from_std(self.span).map_or(Time::MAX_UTC, |span| now + span));
        match (self.stage, state.arms.contains_key(uid)) {
            (Arm::NotYet, true) => self.stage = Arm::Armed,
            // What was agreed to on the command line goes on: one lease for one act, and then the next.
            (Arm::Armed, false) if state.ended.get(uid) == Some(&Ended::Promoted) && now < until => {
                self.stage = Arm::NotYet;
                self.promoted += 1;
                self.said = None;
            }
            (Arm::Armed, false) => self.stage = Arm::Over,
            (Arm::NotYet, false) => lines.extend(self.ask(state, uid, now, effects)),
            _ => {}
        }
        let told: Vec<Text> = state.timeline.iter().filter(|entry| entry.origin == Origin::Guard).skip(self.told).map(said).collect();
        self.told += told.len();
        lines.extend(told);
        lines
    }

    fn ask(&mut self, state: &mut State, uid: &str, now: Time, effects: &mut Vec<Effect>) -> Option<Text> {
        let card = state.card.as_ref().map(|card| (card.stage.clone(), card.confirm(), card.ready_at));
        match card {
            None => self.open(state, uid, now, effects),
            Some((Stage::Asking, Confirm::TypeName, ..)) => {
                let name = state.card.as_ref().map(|card| card.target.name.to_string()).unwrap_or_default();
                name.chars().for_each(|c| press(state, c, now, effects));
                None
            }
            Some((Stage::Asking, Confirm::Ready, Some(since))) if (now - since).to_std().is_ok_and(|d| d >= guard::REREADING_TIME) => {
                press(state, 'y', now, effects);
                None
            }
            Some((Stage::Asking, Confirm::Impossible, ..)) => self.impossible(state, "the server would refuse it"),
            Some((Stage::Asking, Confirm::Override, ..)) => {
                self.impossible(state, "something speaks against it that only a person may override")
            }
            Some((Stage::Refused(_), ..)) => {
                state.card = None;
                None
            }
            Some((stage @ (Stage::Conflict { .. } | Stage::Failed { .. } | Stage::Silent { .. } | Stage::Diverted { .. }), ..)) => {
                self.impossible(state, &action::words(&stage))
            }
            _ => None,
        }
    }

    fn impossible(&mut self, state: &State, why: &str) -> Option<Text> {
        self.stage = Arm::Impossible;
        let more = state.card.as_ref().and_then(action::loudest).map(|notice| format!(": {}", notice.text)).unwrap_or_default();
        let asked =
            state.card.as_ref().map(|card| [&card.rights, &card.dry_run].map(crate::msg::Check::said)).into_iter().flatten().flatten();
        let said: Vec<String> = asked.map(|text| format!(": {text}")).collect();
        let again = if self.promoted > 0 { " again" } else { "" };
        Some(format!("cannot be armed{again}: {why}{more}{}", said.concat()).into())
    }

    /// For as long as is left; the first time for all of it, however long the release took to begin.
    fn minutes(&self, now: Time) -> u32 {
        let left = self.until.filter(|_| self.promoted > 0).and_then(|until| (until - now).to_std().ok());
        let minutes = left.unwrap_or(self.span).min(arming::LONGEST).as_secs().div_ceil(60).max(1);
        u32::try_from(minutes).unwrap_or(u32::MAX)
    }

    fn open(&mut self, state: &mut State, uid: &str, now: Time, effects: &mut Vec<Effect>) -> Option<Text> {
        let intent = Intent::Arm { minutes: self.minutes(now), flag: self.flag.clone() };
        let known = state.rollouts.get(uid)?;
        let for_good = !state.settings.prometheus || !state.settings.arming;
        match available::plan(state, known, &intent, now) {
            Err(refusal) if for_good => self.impossible(state, &refusal.reason),
            // Nothing to arm for, and nothing to tell: it has ended, or this guard has promoted it to its end.
            _ if known.rollout.phase == Phase::Aborted || self.promoted > 0 && !known.rollout.in_flight() => None,
            Ok(_) => {
                action::open(state, intent, now, effects);
                None
            }
            Err(refusal) => {
                let new = self.said.replace(refusal.reason.clone()).as_ref() != Some(&refusal.reason);
                new.then(|| format!("not armed {}: {}", if self.promoted > 0 { "again" } else { "yet" }, refusal.reason).into())
            }
        }
    }

    fn done(&self) -> End {
        if self.flag.is_some() { End::Switched } else { End::Aborted }
    }

    /// What an end means when this guard may act: advice is no end, and a roll-back is one only when it is seen what came of it.
    pub fn end(&self, state: &State, uid: &str, end: Option<End>) -> Option<End> {
        let acting = state.arms.get(uid).is_some_and(|armed| armed.card.is_some());
        let ended = state.ended.get(uid);
        let end = match (self.stage, end) {
            (Arm::Impossible, _) | (Arm::NotYet, Some(End::TimedOut | End::Blind)) => Some(End::NotArmed),
            (Arm::Armed | Arm::NotYet, Some(End::Advised)) => None,
            _ if acting => None,
            (Arm::Over, _) if matches!(ended, Some(Ended::Failed | Ended::Unpromoted)) => Some(End::DidNotWork),
            (Arm::Over, _) if ended == Some(&Ended::Acted) => {
                (!state.recoveries.get(uid).is_some_and(|r| r.is_open())).then_some(self.done())
            }
            (_, end) => end,
        };
        match end {
            Some(End::NotArmed) if self.promoted > 0 => Some(End::NotArmedAgain),
            Some(End::TimedOut) if self.promoted > 0 || ended == Some(&Ended::Promoted) => Some(End::OutOfTime),
            end => end,
        }
    }
}

/// Whether this guard has done what it was armed for.
pub fn has_acted(state: &State) -> bool {
    state.ended.values().any(|how| how.has_acted())
}

/// A line of the guard's: `disarmed: its time is over`.
fn said(entry: &Entry) -> Text {
    let reason = if entry.reason.is_empty() { "guard" } else { &*entry.reason };
    format!("{reason}: {}", entry.message).into()
}

fn press(state: &mut State, key: char, now: Time, effects: &mut Vec<Effect>) {
    effects.extend(update(state, Event::Key(Key { name: key.into(), text: Some(key) }), now));
}
