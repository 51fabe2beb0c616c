//! `guard` and `wait`: one release watched without a screen, for a pipeline. Both only read; what they find is their exit code.

use std::{str::FromStr, time::Duration};

use chrono::TimeDelta;

use crate::{
    model::{Phase, Rollout, Time},
    state::Known,
    verdict::Advice,
};

/// So long may a release take to begin after the command that started it.
const BEGINS: Duration = Duration::from_secs(60);

/// What is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// The end of the release, or the advice to abort it.
    Guard,
    Healthy,
    /// Waits for a human, or was paused.
    Paused,
    /// This step has begun, counted from 1, or a later one.
    Step(usize),
    Aborted,
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "healthy" => Ok(Self::Healthy),
            None if text == "paused" => Ok(Self::Paused),
            None if text == "aborted" => Ok(Self::Aborted),
            Some(("step", n)) => n.parse().ok().filter(|n| *n > 0).map(Self::Step).ok_or("write step=1 or a later one".to_owned()),
            _ => Err("write healthy, paused, step=N or aborted".into()),
        }
    }
}

impl Goal {
    fn is_met(self, rollout: &Rollout) -> bool {
        let settled = !rollout.unobserved;
        match self {
            Self::Guard => false,
            Self::Healthy => settled && rollout.phase == Phase::Healthy && !rollout.in_flight(),
            Self::Paused => settled && matches!(rollout.phase, Phase::Waiting | Phase::Paused),
            Self::Step(n) => settled && rollout.in_flight() && rollout.steps.current.is_some_and(|at| at + 1 >= n),
            Self::Aborted => settled && rollout.phase == Phase::Aborted,
        }
    }

    /// A step that will never come.
    fn is_beyond(self, rollout: &Rollout) -> bool {
        matches!(self, Self::Step(n) if !rollout.unobserved && n > rollout.steps.items.len() && !rollout.steps.items.is_empty())
    }
}

/// How the watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// What was waited for is so.
    Met,
    /// The release is done, or there was none.
    Done,
    Idle,
    /// The verdict is to abort: nobody did it yet.
    Advised,
    /// Aborted by somebody, or failed by itself.
    Failed,
    /// The time is over and none of it has happened.
    TimedOut,
    /// The time is over, and nobody can say how it does.
    Blind,
    Gone,
    NoSuchStep,
    /// By this guard.
    Aborted,
    /// This guard has switched the release's flag off.
    Switched,
    /// This guard could not be armed.
    NotArmed,
    /// The time is over; until then this guard has promoted.
    OutOfTime,
    /// This guard has promoted, and could not be armed again.
    NotArmedAgain,
    /// This guard acted, and it is not known to have worked.
    DidNotWork,
}

impl End {
    /// The documented exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Met | Self::Done | Self::Idle => 0,
            Self::NoSuchStep => 2,
            Self::Advised | Self::Failed | Self::Aborted | Self::Switched => 12,
            Self::Gone | Self::Blind => 13,
            Self::TimedOut | Self::OutOfTime => 14,
            Self::NotArmed | Self::NotArmedAgain => 15,
            Self::DidNotWork => 17,
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Met => "it is so",
            Self::Done => "the release is done",
            Self::Idle => "no release is in flight",
            Self::Advised => "an abort is advised; nothing was written",
            Self::Failed => "the release has failed",
            Self::TimedOut => "the time is over; nothing was written",
            Self::Blind => "the time is over, and what was last heard is too old to say how it does; nothing was written",
            Self::Gone => "it does not exist any more",
            Self::NoSuchStep => "it has fewer steps",
            Self::Aborted => "this guard has aborted the release",
            Self::Switched => "this guard has switched the flag off; the release goes on",
            Self::NotArmed => "this guard cannot be armed; nothing was written",
            Self::OutOfTime => "the time is over; until then this guard has promoted it",
            Self::NotArmedAgain => "this guard has promoted it, and cannot be armed again",
            Self::DidNotWork => "this guard acted, but what it did is not known to have worked",
        }
    }
}

/// What was seen of one release.
#[derive(Debug)]
pub struct Watchman {
    goal: Goal,
    began: Time,
    until: Time,
    /// A release was in flight.
    moved: bool,
    /// It had failed when this began: that may be the release before this one.
    failed_before: bool,
    /// What was told last.
    last: Option<(Phase, Option<usize>, Advice)>,
}

impl Watchman {
    pub fn new(goal: Goal, span: Duration, now: Time) -> Self {
        let until = TimeDelta::from_std(span).ok().and_then(|span| now.checked_add_signed(span)).unwrap_or(Time::MAX_UTC);
        Self { goal, began: now, until, moved: false, failed_before: true, last: None }
    }

    /// Whether it is there to judge the release by its requests.
    pub fn judges(&self) -> bool {
        self.goal == Goal::Guard
    }

    /// Whether there is something to tell, and whether that was the end.
    pub fn look(&mut self, known: Option<&Known>, now: Time) -> (bool, Option<End>) {
        let Some(known) = known.filter(|k| k.deleted.is_none()) else { return (false, Some(End::Gone)) };
        let rollout = &known.rollout;
        self.moved |= rollout.in_flight();
        self.failed_before &= has_failed(rollout);
        let seen = (rollout.phase, rollout.steps.current, known.verdict.is);
        let new = self.last.replace(seen) != Some(seen);
        (new, self.end(rollout, known.verdict.is, now))
    }

    /// What it waits for before it takes what it sees for its release: a command that starts one may be ahead of its controller.
    pub fn awaits(&self, rollout: &Rollout) -> Option<String> {
        let begins = TimeDelta::from_std(BEGINS).ok().and_then(|grace| self.began.checked_add_signed(grace));
        let until = begins.unwrap_or(self.until).min(self.until).format("%H:%M:%SZ");
        if self.goal.is_met(rollout) {
            return None;
        }
        if self.failed_before && has_failed(rollout) {
            return Some(format!("it is {} already: waiting until {until} for a new release to begin", rollout.phase.name()));
        }
        let idle = rollout.phase == Phase::Healthy && !rollout.in_flight() && !self.moved;
        (idle && self.goal == Goal::Guard).then(|| format!("no release is in flight: waiting until {until} for one to begin"))
    }

    fn end(&self, rollout: &Rollout, advice: Advice, now: Time) -> Option<End> {
        let waited = (now - self.began).to_std().unwrap_or_default();
        match rollout.phase {
            _ if self.goal.is_met(rollout) => Some(End::Met),
            _ if has_failed(rollout) && (!self.failed_before || waited >= BEGINS || now >= self.until) => Some(End::Failed),
            _ if self.goal.is_beyond(rollout) => Some(End::NoSuchStep),
            _ if self.goal == Goal::Guard && rollout.in_flight() && advice == Advice::Abort => Some(End::Advised),
            _ if now >= self.until => Some(End::TimedOut),
            _ if self.goal != Goal::Guard => None,
            Phase::Healthy if !rollout.in_flight() && self.moved => Some(End::Done),
            Phase::Healthy if !rollout.in_flight() && waited >= BEGINS => Some(End::Idle),
            _ => None,
        }
    }
}

fn has_failed(rollout: &Rollout) -> bool {
    matches!(rollout.phase, Phase::Aborted | Phase::Failing)
}
