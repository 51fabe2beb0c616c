//! The action card: what would be done, what speaks for and against it, and how far it came.

use crate::{
    engine::flag::Reading,
    engine::{Plan, Refusal},
    guard::arming::Arming,
    intent::Intent,
    model::{Id, Notice, Text, Time},
    msg::{Check, Health},
};

/// An action from its key press to its effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    pub number: u64,
    pub intent: Intent,
    pub target: Id,
    /// What a person agreed to beforehand, where the guard acts by itself.
    pub arming: Option<Arming>,
    pub opened: Time,
    /// When a person said yes to it.
    pub confirmed: Option<Time>,
    pub stage: Stage,
    /// The plan, from the moment the guard let it through.
    pub plan: Option<Plan>,
    pub dry_run: Check,
    pub rights: Check,
    pub health: Option<Health>,
    /// What the flag reads, where the card is about one.
    pub flag: Option<Reading>,
    /// What must be overridden with `o`, in words; empty when nothing must.
    pub objections: Vec<Notice>,
    /// `o` was pressed.
    pub overridden: bool,
    /// The name to be typed in a protected context, and what was typed so far.
    pub typed: Option<String>,
    /// What changed since the card was opened; the plan was made anew.
    pub moved: Option<Text>,
    /// Age of the evidence and the verdict, as lines of the card.
    pub evidence: Text,
    pub verdict: Text,
    pub others: Text,
    /// Set when the card's checks came in; a key sooner than a person can read is no answer.
    pub ready_at: Option<Time>,
    /// Out of the way: tracked on, drawn as one line.
    pub folded: bool,
    /// What came after its effect, where that is more than the effect: an armed guard has acted, or may act no longer.
    pub since: Option<Text>,
    /// Generation the server answered with.
    pub generation: Option<i64>,
}

/// What the card asks of the person before `y` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirm {
    /// The checks are not in yet.
    Checking,
    /// The server or the rights say no: only `esc` is left.
    Impossible,
    /// `o` first.
    Override,
    /// The rollout's name must be typed.
    TypeName,
    /// `y`.
    Ready,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// Not allowed, with what to do instead.
    Refused(Refusal),
    /// Waiting for the checks or for the person.
    Asking,
    /// Handed to the writer.
    Sent { at: Time },
    /// The server has taken it.
    Accepted { at: Time },
    /// The controller has seen it.
    Observed { at: Time },
    /// The effect is there.
    Done { at: Time },
    /// Accepted, but nothing happened in time.
    Silent { at: Time },
    /// A precondition no longer held; nothing was changed.
    Conflict { said: Text },
    /// The server said no.
    Failed { said: Text },
    /// No answer: the watch will tell.
    Unknown { said: Text, at: Time },
    /// Something else happened instead.
    Diverted { said: Text },
}

impl Card {
    /// About to ask: nothing is planned, checked or answered yet.
    pub fn asking(number: u64, intent: Intent, target: Id, opened: Time) -> Self {
        Self {
            number,
            intent,
            target,
            arming: None,
            opened,
            confirmed: None,
            stage: Stage::Asking,
            plan: None,
            dry_run: Check::Pending,
            rights: Check::Pending,
            health: None,
            flag: None,
            objections: Vec::new(),
            overridden: false,
            typed: None,
            moved: None,
            evidence: Text::default(),
            verdict: Text::default(),
            others: Text::default(),
            ready_at: None,
            folded: false,
            since: None,
            generation: None,
        }
    }

    /// Whether a request may still be on its way or its effect still outstanding.
    pub fn in_flight(&self) -> bool {
        matches!(self.stage, Stage::Sent { .. } | Stage::Accepted { .. } | Stage::Observed { .. } | Stage::Unknown { .. })
    }

    /// Whether it still takes the keys.
    pub fn asks(&self) -> bool {
        matches!(self.stage, Stage::Refused(_) | Stage::Asking)
    }

    /// Whether a screen of this size (columns, rows) can show what is consented to. The way back is never
    /// refused for that.
    pub fn readable(&self, size: (u16, u16)) -> bool {
        (size.0 >= 40 && size.1 >= 12) || self.intent.verb().is_way_out()
    }

    /// What is still to be done before `y` counts.
    pub fn confirm(&self) -> Confirm {
        if matches!(self.dry_run, Check::No(_)) || matches!(self.rights, Check::No(_)) {
            return Confirm::Impossible;
        }
        if self.dry_run == Check::Pending || self.rights == Check::Pending {
            return Confirm::Checking;
        }
        if !self.objections.is_empty() && !self.overridden {
            return Confirm::Override;
        }
        match &self.typed {
            Some(typed) if *typed != *self.target.name => Confirm::TypeName,
            _ => Confirm::Ready,
        }
    }
}
