//! The one reducer: an event changes the state, and says what must be done outside.

use super::{State, action, armed, available, ingest, input, order};
use crate::{
    engine::{Plan, Probe},
    guard::Approved,
    journal,
    model::{Id, Text, Time},
    msg::Msg,
    object::{Resource, Selection},
};

/// A key press, free of any terminal library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Notation of the config: `ctrl-d`, `space`, `G`.
    pub name: String,
    /// What it types, if it types.
    pub text: Option<char>,
}

#[derive(Debug, Clone)]
pub enum Event {
    Msg(Msg),
    Key(Key),
    /// Bracketed paste. Only text fields take it; it can never act.
    Paste(String),
    /// A row was clicked, counted from the top of the screen. Selects, never acts.
    Click {
        row: u16,
    },
    Scroll(i8),
    Resize(u16, u16),
    /// Time passed.
    Tick,
}

/// What must be done outside.
#[derive(Debug)]
pub enum Effect {
    /// Watch these for the open rollout; replaces what was watched before.
    Watch {
        epoch: u64,
        selections: Vec<Selection>,
    },
    Unwatch,
    /// The set of rollouts to measure may have changed.
    Measure,
    /// The chart in view, its window or its rollout changed.
    Focus,
    Rehearse {
        card: u64,
        plan: Box<Plan>,
        root: &'static Resource,
        probes: Vec<Probe>,
    },
    Act {
        card: u64,
        approved: Box<Approved<Plan>>,
    },
    /// The lease of an armed rollout is given back.
    LetGo {
        rollout: Id,
    },
    Journal {
        card: Option<u64>,
        rollout: Option<Id>,
        event: Box<journal::Event>,
    },
    Copy(Text),
    Bell,
    Redraw,
    Suspend,
    Quit,
}

/// Folds one event into the state.
pub fn update(state: &mut State, event: Event, now: Time) -> Vec<Effect> {
    let mut effects = Vec::new();
    match event {
        Event::Msg(msg) => ingest::message(state, msg, &mut effects),
        Event::Key(key) => input::key(state, &key, now, &mut effects),
        Event::Paste(text) => input::paste(state, &text),
        Event::Click { row } => input::click(state, row),
        Event::Scroll(lines) => input::scroll(state, lines),
        Event::Resize(columns, rows) => state.view.size = (columns, rows),
        Event::Tick => ingest::tick(state, now),
    }
    action::follow(state, now, &mut effects);
    armed::follow(state, now, &mut effects);
    effects
}

/// Brings what is derived up to date; called once before a picture is drawn, however many events came.
pub fn settle(state: &mut State, now: Time) {
    if state.unsorted {
        order::sort(state, now);
        state.unsorted = false;
    }
    available::offer(state, now);
    state.view.offset = crate::ui::fleet_offset(state);
}
