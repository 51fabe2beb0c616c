//! Views: from `&State` to a picture, and nothing else.
//!
//! A view owns no clock and does no I/O; all it knows of the time it asks of `clock::Clock`, which notes
//! when the answer would change. So [`draw`] can say until when its picture stays true, and the loop sleeps.

mod card;
mod clock;
mod fleet;
mod footer;
pub mod format;
mod glyphs;
mod header;
mod hint;
mod layout;
mod line;
mod links;
mod overlay;
mod panes;
mod rollout;
mod stack;
pub mod theme;

use ratatui::{buffer::Buffer, layout::Rect};

use crate::{
    model::{Role, Text, Time, metrics::RolloutMetrics},
    state::{Card, Known, Screen, Stage, State, View},
};
use clock::Clock;
pub use links::{Trouble, trouble};
use theme::Ink;

/// What every view is given.
pub(crate) struct Ctx<'a> {
    /// The data shown: the frozen picture's, while there is one.
    state: &'a State,
    /// Where the reader is; goes on moving over a frozen picture.
    view: &'a View,
    card: Option<&'a Card>,
    /// The state as it is: whose guard is armed does not stand still over a frozen picture.
    armed: &'a State,
    note: Option<&'a (Time, Text)>,
    hint: Option<&'a Text>,
    /// The time of the picture; stands still while it is frozen.
    clock: Clock,
    /// The real time, for what lies over a frozen picture.
    live: Clock,
    ink: Ink,
}

impl<'a> Ctx<'a> {
    fn new(state: &'a State, now: Time) -> Self {
        let zone = state.settings.look.zone;
        let live = Clock::new(now, zone);
        let (shown, now) = match (&state.frozen, state.frozen_at) {
            (Some(frozen), Some(at)) => (&**frozen, at),
            _ => (state, now),
        };
        Self {
            state: shown,
            view: &state.view,
            card: state.card.as_ref().or_else(|| acting(state)),
            armed: state,
            note: state.note.as_ref(),
            hint: state.hint.as_ref(),
            clock: Clock::new(now, zone),
            live,
            ink: Ink::new(&state.settings.look),
        }
    }

    fn frozen(&self) -> bool {
        !std::ptr::eq(self.view, &self.state.view)
    }

    /// When the picture or what lies over it would be another.
    fn next_change(&self) -> Option<Time> {
        let picture = self.clock.next_change().filter(|_| !self.frozen());
        [picture, self.live.next_change()].into_iter().flatten().min()
    }

    /// The rollout that is open.
    fn open(&self) -> Option<&'a Known> {
        match &self.view.screen {
            Screen::Rollout(uid) => self.state.get(uid),
            Screen::Fleet => None,
        }
    }

    /// The row the selection stands on.
    fn selected(&self) -> Option<&'a Known> {
        if self.lost_selection() {
            return None;
        }
        self.state.get(self.state.order.get(selected_row(self))?)
    }

    fn lost_selection(&self) -> bool {
        !self.frozen() && self.state.lost_selection()
    }

    /// The rollout the keys act on.
    fn subject(&self) -> Option<&'a Known> {
        self.open().or_else(|| self.selected())
    }

    fn metrics(&self, known: &Known) -> Option<&'a RolloutMetrics> {
        self.state.metrics_of(&known.rollout.id)
    }
}

/// What the guard does by itself, as soon as it does.
fn acting(state: &State) -> Option<&Card> {
    state.arms.values().find_map(|armed| armed.card.as_ref().filter(|card| card.stage != Stage::Asking))
}

/// Draws the whole picture. The answer is until when it stays true if nothing else happens.
pub fn draw(frame: &mut ratatui::Frame, state: &State, now: Time) -> Option<Time> {
    let area = frame.area();
    paint(frame.buffer_mut(), area, state, now)
}

/// The next moment at which the picture would change by time alone.
pub fn next_change(state: &State, now: Time) -> Option<Time> {
    let area = whole(state);
    paint(&mut Buffer::empty(area), area, state, now)
}

/// Rows of the fleet that are visible at once: a page.
pub fn fleet_rows(state: &State) -> usize {
    let ctx = Ctx::new(state, Time::default());
    usize::from(fleet::plan(&ctx, screen(&ctx)).rows.height)
}

/// Screen line of the first fleet row, for a click.
pub fn first_fleet_row(state: &State) -> u16 {
    let ctx = Ctx::new(state, Time::default());
    fleet::plan(&ctx, screen(&ctx)).rows.y
}

/// First row drawn: `view.offset`, moved as little as keeps the selection inside.
pub fn fleet_offset(state: &State) -> usize {
    let ctx = Ctx::new(state, Time::default());
    let rows = fleet::plan(&ctx, screen(&ctx)).rows.height;
    fleet::offset(&ctx, usize::from(rows))
}

/// How far the zoomed or focused pane can be scrolled.
pub fn scroll_limit(state: &State) -> usize {
    let ctx = Ctx::new(state, Time::default());
    rollout::scroll_limit(&ctx, screen(&ctx))
}

fn whole(state: &State) -> Rect {
    Rect::new(0, 0, state.view.size.0, state.view.size.1)
}

/// What the screens have for themselves.
fn screen(ctx: &Ctx<'_>) -> Rect {
    hint::split(ctx, Rect::new(0, 0, ctx.view.size.0, ctx.view.size.1)).0
}

fn paint(buf: &mut Buffer, area: Rect, state: &State, now: Time) -> Option<Time> {
    if area.is_empty() {
        return None;
    }
    let ctx = Ctx::new(state, now);
    let (room, below) = hint::split(&ctx, area);
    match &ctx.view.screen {
        _ if room.height <= layout::LINES_ONLY => stack::lines_only(&ctx, buf, room),
        Screen::Fleet => fleet::draw(&ctx, buf, room),
        Screen::Rollout(_) => rollout::draw(&ctx, buf, room),
    }
    hint::draw(&ctx, buf, below);
    card::draw(&ctx, buf, area);
    overlay::draw(&ctx, buf, area);
    if state.settings.look.ascii {
        to_ascii(buf, area);
    }
    ctx.next_change()
}

/// The last pass of ASCII mode: whatever was drawn, none but ASCII leaves.
fn to_ascii(buf: &mut Buffer, area: Rect) {
    for position in area.positions() {
        let Some(cell) = buf.cell_mut(position).filter(|c| !c.symbol().is_ascii()) else { continue };
        let plain = glyphs::ascii(cell.symbol()).to_owned();
        cell.set_symbol(&plain);
    }
}

fn selected_row(ctx: &Ctx<'_>) -> usize {
    ctx.view.selected.min(ctx.state.order.len().saturating_sub(1))
}

/// What to call the two sides of a rollout.
fn side_names(known: &Known) -> (&'static str, &'static str) {
    let r = &known.rollout;
    let name = |track: Option<&crate::model::Track>, other: Role| track.map_or(other, crate::model::Track::role).name();
    let (new, old) = (name(r.new_side(), Role::Canary), name(r.old_side(), Role::Stable));
    if new == old { ("new", old) } else { (new, old) }
}
