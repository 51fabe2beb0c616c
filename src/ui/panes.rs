//! The panes of an open rollout. Text panes are lines; charts draw themselves.

pub mod analysis;
pub mod chart;
pub mod diff;
pub mod logs;
pub mod pods;
pub mod rules;
pub mod steps;
pub mod timeline;
pub mod traffic;
pub mod verdict;

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use super::{
    Ctx, footer, format,
    line::{self, Words, Writer},
    links, side_names,
};
use crate::{
    intent::Command,
    model::metrics::{Reading, RolloutMetrics, Series, Side},
    state::{Known, Pane},
};

/// The lines of a text pane; nothing for those that draw themselves.
pub fn lines(ctx: &Ctx<'_>, known: &Known, pane: Pane, width: usize, height: usize) -> Option<Vec<Words>> {
    Some(match pane {
        Pane::Traffic => traffic::lines(ctx, known, width),
        Pane::Steps => steps::lines(ctx, known, width, height),
        Pane::Pods => pods::lines(ctx, known, width),
        Pane::Verdict => verdict::lines(ctx, known, width),
        Pane::Analysis => analysis::lines(ctx, known, width),
        Pane::Timeline => timeline::lines(ctx, width),
        Pane::Diff => diff::lines(ctx, width),
        Pane::Rules => rules::lines(ctx, known, width),
        Pane::Logs | Pane::Errors | Pane::Latency | Pane::Rate => return None,
    })
}

/// Draws a pane; the answer is how many lines of it lie above and below.
pub fn draw(ctx: &Ctx<'_>, known: &Known, pane: Pane, buf: &mut Buffer, area: Rect) -> (usize, usize) {
    let scroll = if ctx.view.zoom == Some(pane) || ctx.view.pane == Some(pane) { ctx.view.scroll } else { 0 };
    let height = if scroll > 0 { usize::MAX } else { usize::from(area.height) };
    match lines(ctx, known, pane, area.width.into(), height) {
        Some(all) if pane == Pane::Timeline && area.width >= TWO_COLUMNS && ctx.view.zoom.is_none() => {
            in_two(buf, area, all, scroll);
            (0, 0)
        }
        Some(all) => {
            let scroll = scroll.min(all.len().saturating_sub(usize::from(area.height)));
            let hidden = (scroll, all.len().saturating_sub(scroll + usize::from(area.height)));
            let mut shown: Vec<Words> = all.into_iter().skip(scroll).collect();
            // One text in many lines: where it is cut, it says so.
            if pane == Pane::Verdict && shown.len() > usize::from(area.height) {
                shown.truncate(area.height.into());
                let last = shown.pop().unwrap_or_default();
                shown.push(line::broken_off(last, area.width.into()));
            }
            line::draw_all(buf, area, shown);
            hidden
        }
        None if pane == Pane::Logs => logs::draw(ctx, known, buf, area),
        None => {
            chart::draw(ctx, known, pane, buf, area);
            (0, 0)
        }
    }
}

/// From this width on short lines stand in two columns.
const TWO_COLUMNS: u16 = 100;

fn in_two(buf: &mut Buffer, area: Rect, all: Vec<Words>, scroll: usize) {
    let mut left = area;
    let first = super::layout::left(&mut left, area.width / 2);
    let rows = usize::from(area.height);
    let scroll = scroll.min(all.len().saturating_sub(rows * 2));
    let mut rest = all.into_iter().skip(scroll);
    line::draw_all(buf, Rect { width: first.width.saturating_sub(2), ..first }, rest.by_ref().take(rows).collect());
    line::draw_all(buf, left, rest.collect());
}

/// Name of the pane, its key, and for charts the readings of both sides.
pub fn title(ctx: &Ctx<'_>, known: &Known, pane: Pane, focused: bool) -> Words {
    let name = if focused { ctx.ink.focus } else { ctx.ink.strong };
    let key = Pane::ORDER.iter().position(|p| *p == pane).and_then(|i| u8::try_from(i + 1).ok());
    let command = match pane {
        Pane::Timeline => Some(Command::Timeline),
        Pane::Logs => Some(Command::Logs),
        _ => key.map(Command::Zoom),
    };
    let key = command.and_then(|c| footer::key_of(ctx, c)).map(|k| format!("{k} ")).unwrap_or_default();
    let (series, show): (Series, fn(f64) -> String) = match pane {
        Pane::Errors => (Series::Errors, format::ratio),
        Pane::Latency => (Series::P99, format::latency),
        Pane::Rate => (Series::Rate, format::rate),
        _ => return Writer::new().put(key, ctx.ink.dim).put(pane.title(), name).line(),
    };
    let label = if pane == Pane::Latency { "Latency p99" } else { pane.title() };
    let out = Writer::new().put(key, ctx.ink.dim).put(label, name);
    let Some(metrics) = ctx.metrics(known) else { return out.line() };
    let (new, old) = side_names(known);
    // Without a release in flight there is one side only.
    let out = match known.rollout.in_flight() {
        true => out.put(format!("  {new} "), ctx.ink.plain).append(reading_words(ctx, metrics, Side::New, series, show, ctx.ink.new)),
        false => out,
    };
    let out = out.put(format!("  {old} "), ctx.ink.plain).append(reading_words(ctx, metrics, Side::Old, series, show, ctx.ink.old));
    out.line()
}

/// A reading as a number with its age when it is old, or the word for why there is none.
pub fn reading_words(ctx: &Ctx<'_>, metrics: &RolloutMetrics, side: Side, series: Series, show: fn(f64) -> String, style: Style) -> Words {
    match metrics.side(side).get(series) {
        Reading::Value(v) if links::readings_stale(ctx, metrics.at) => {
            let age = metrics.at.map(|at| format!(" {} old", ctx.clock.age(at))).unwrap_or_default();
            Writer::new().put(format!("~{}{age}", show(v)), ctx.ink.dim).line()
        }
        Reading::Value(v) => line::words(show(v), style),
        other => line::words(other.word(), ctx.ink.dim),
    }
}
