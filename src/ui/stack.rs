//! Small screens: a rollout as lines, the most important ones where not all fit.

use ratatui::{buffer::Buffer, layout::Rect, style::Modifier};

use super::{
    Ctx, fleet, format, glyphs, layout,
    line::{self, Words, Writer},
    panes, rollout, side_names,
};
use crate::{
    model::metrics::{RolloutMetrics, Series, Side},
    state::{Known, Pane, Screen},
};

/// A line, how soon it must give way (small stays), and the pane it belongs to.
struct Row {
    rank: u8,
    pane: Option<Pane>,
    line: Words,
    /// Whether it goes on from the line above.
    goes_on: bool,
}

pub fn draw(ctx: &Ctx<'_>, known: &Known, buf: &mut Buffer, area: Rect) {
    let width = usize::from(area.width);
    let rows = fitted(rows(ctx, known, width, area.height), area.height.into(), width);
    for (row, spot) in rows.into_iter().zip(area.rows()) {
        let focused = row.pane.is_some() && row.pane == ctx.view.pane;
        line::draw(buf, spot, row.line);
        if focused {
            // The label is what shows where the keys go.
            line::select(buf, Rect { width: spot.width.min(LABEL as u16), ..spot });
        }
    }
}

/// Keeps the lines of least rank, in their order; a text that loses its end says so.
fn fitted(rows: Vec<Row>, height: usize, width: usize) -> Vec<Row> {
    let mut ranks: Vec<(u8, usize)> = rows.iter().enumerate().map(|(i, r)| (r.rank, i)).collect();
    ranks.sort_unstable();
    ranks.truncate(height);
    let mut out: Vec<Row> = Vec::with_capacity(ranks.len());
    let mut above = false;
    for (i, row) in rows.into_iter().enumerate() {
        let stays = ranks.contains(&(row.rank, i));
        if !stays
            && above
            && row.goes_on
            && let Some(last) = out.last_mut()
        {
            last.line = line::broken_off(std::mem::take(&mut last.line), width);
        }
        above = stays;
        if stays {
            out.push(row);
        }
    }
    out
}

/// Columns of the label at the left.
const LABEL: usize = 9;

/// Everything worth a line, top to bottom.
fn rows(ctx: &Ctx<'_>, known: &Known, width: usize, height: u16) -> Vec<Row> {
    let mut out = Vec::new();
    let mut add = |rank: u8, pane: Option<Pane>, line: Words| out.push(Row { rank, pane, line, goes_on: false });
    let narrow = width < 60;
    let head = rollout::headlines(ctx, known, width);
    for (i, line) in head.into_iter().enumerate() {
        // What it is can be missed; where it stands and the way back cannot.
        add([5, 0, 4, 6].get(i).copied().unwrap_or(7), None, line);
    }
    if height > 18 {
        add(30, None, line::words(glyphs::RULE.repeat(width), ctx.ink.border));
    }
    let best = best_share(known);
    for (i, line) in panes::traffic::shares(ctx, known, width.min(70)).into_iter().enumerate() {
        add(if i == best { 1 } else { [12, 11, 16, 8].get(i).copied().unwrap_or(17) }, Some(Pane::Traffic), line);
    }
    add(9, Some(Pane::Steps), labelled(ctx, "steps", panes::steps::one_line(ctx, known, width.saturating_sub(LABEL))));
    for (i, line) in panes::pods::tracks(ctx, known, width).into_iter().enumerate() {
        add([3, 10, 20].get(i).copied().unwrap_or(21), Some(Pane::Pods), line);
    }
    for (i, (pane, label, series, show)) in SPARKS.iter().enumerate() {
        let lines = sparks(ctx, known, label, *series, *show, width);
        for (j, line) in lines.into_iter().enumerate() {
            let rank = if narrow { [[2, 22], [11, 23]] } else { [[2, 9], [11, 13]] };
            add(rank[i.min(1)][j.min(1)], Some(*pane), line);
        }
    }
    for (i, line) in panes::verdict::sentence(ctx, known, width).into_iter().enumerate() {
        let rank = if narrow { [1, 6, 18] } else { [1, 14, 18] }.get(i).copied().unwrap_or(24);
        out.push(Row { rank, pane: Some(Pane::Verdict), line, goes_on: i > 0 });
    }
    let mut add = |rank: u8, pane: Option<Pane>, line: Words| out.push(Row { rank, pane, line, goes_on: false });
    for line in panes::analysis::lines(ctx, known, width).into_iter().take(3) {
        add(19, Some(Pane::Analysis), labelled(ctx, "analysis", line));
    }
    if height > 18 {
        add(31, None, line::words(glyphs::RULE.repeat(width), ctx.ink.border));
    }
    for (i, line) in panes::timeline::lines(ctx, width).into_iter().take(usize::from(height)).enumerate() {
        add([13, 15, 25].get(i).copied().unwrap_or(26), Some(Pane::Timeline), line);
    }
    out
}

/// Which of the four numbers to keep where there is room for one: applied, else by pods, else asked.
fn best_share(known: &Known) -> usize {
    let Some(traffic) = known.rollout.new_side().map(|t| &t.traffic) else { return 0 };
    match (traffic.applied, traffic.replica_share) {
        (Some(_), _) => 1,
        (None, Some(_)) => 2,
        (None, None) => 0,
    }
}

fn labelled(ctx: &Ctx<'_>, label: &str, line: Words) -> Words {
    Writer::new().put(format!("{label:<LABEL$}"), ctx.ink.dim).append(line).line()
}

type Show = fn(f64) -> String;
const SPARKS: [(Pane, &str, Series, Show); 2] =
    [(Pane::Errors, "errors", Series::Errors, format::ratio), (Pane::Latency, "p99", Series::P99, format::latency)];

/// One series of both sides: now, and its history as small columns.
fn sparks(ctx: &Ctx<'_>, known: &Known, label: &str, series: Series, show: Show, width: usize) -> Vec<Words> {
    let (new, old) = side_names(known);
    let metrics = ctx.metrics(known);
    let Some(metrics) = metrics else {
        return vec![labelled(ctx, label, line::words(super::links::no_readings(ctx), ctx.ink.dim))];
    };
    let (window, _) = panes::chart::window(ctx, known);
    // Too narrow a screen needs the columns for the history itself.
    let window = if width < 60 { String::new() } else { format!(" {window}") };
    let room = width.saturating_sub(LABEL + 9 + 8 + 1 + line::columns(&window)).min(90);
    let histories = [Side::New, Side::Old].map(|side| panes::chart::columns(ctx, known, metrics, side, series, room));
    let top = histories.iter().flatten().flatten().copied().fold(floor(series), f64::max);
    let lone = !known.rollout.in_flight();
    let side = |side: Side, name: &str, style, index: usize| {
        let now = panes::reading_words(ctx, metrics, side, series, show, style);
        let head = Writer::new().put(format!("{name:<9}"), ctx.ink.dim).append(now).pad(9 + 8);
        let history = &histories[index];
        let label = if side == Side::New || lone { label } else { "" };
        match history.iter().any(Option::is_some) && head.width() <= 9 + 8 {
            true => {
                let window = if label.is_empty() { "" } else { &window };
                labelled(ctx, label, head.append(line::spark(history, top, style)).put(window, ctx.ink.dim).line())
            }
            false => labelled(ctx, label, head.line()),
        }
    };
    let mut lines = Vec::new();
    if !lone {
        lines.push(side(Side::New, new, ctx.ink.new, 0));
    }
    lines.push(side(Side::Old, old, ctx.ink.old, 1));
    lines
}

/// The least a full column stands for, so that noise does not look like a mountain.
fn floor(series: Series) -> f64 {
    if series == Series::Errors { 0.01 } else { 0.0 }
}

/// One to four rows: one line a rollout, the open one or those that need a person first.
pub fn lines_only(ctx: &Ctx<'_>, buf: &mut Buffer, area: Rect) {
    let rows = usize::from(area.height);
    let shown: Vec<&Known> = match (&ctx.view.screen, ctx.open()) {
        (Screen::Rollout(_), Some(known)) => vec![known],
        _ => ctx.state.order.iter().skip(fleet::offset(ctx, rows)).take(rows).filter_map(|uid| ctx.state.get(uid)).collect(),
    };
    if shown.is_empty() {
        let link = ctx.state.links.get(crate::model::Source::Fleet);
        let said = super::links::trouble(crate::model::Source::Fleet, &link).map_or_else(|| "no rollouts to show".into(), |t| t.title);
        return line::draw(buf, area, line::words(format!("rolltop {}: {said}", ctx.state.context), ctx.ink.strong));
    }
    let open = ctx.open().is_some();
    for (known, row) in shown.into_iter().zip(area.rows()) {
        line::draw(buf, row, one_line(ctx, known));
        let selected = !open && rows > 1 && ctx.selected().is_some_and(|s| s.rollout.id == known.rollout.id);
        if selected {
            line::select(buf, row);
        }
    }
    if let Some(known) = ctx.open() {
        let mut rest = area;
        layout::top(&mut rest, 1);
        let width = usize::from(area.width);
        let more = [rollout::verdict_words(ctx, known), rollout::next_words(ctx, known, width), rollout::stands(ctx, known)];
        line::draw_all(buf, rest, more.into());
    }
}

/// Name, phase, traffic, ready pods, errors and verdict in one line.
fn one_line(ctx: &Ctx<'_>, known: &Known) -> Words {
    let (sign, style) = fleet::sign(ctx, known);
    let r = &known.rollout;
    let stale = super::links::stale(ctx);
    let pods = r.ready_to_watch().map(|(ready, wanted)| format!(" {ready}/{wanted}")).unwrap_or_default();
    let share = fleet::new_share(known).filter(|_| r.in_flight()).map(|s| format!(" {}", format::share(s))).unwrap_or_default();
    let mut out = Writer::new()
        .put(format!("{}{sign} ", if stale { "~" } else { "" }), style)
        .put(r.id.path(), ctx.ink.strong)
        .put(format!(" {}{share}{pods}", r.phase.name()), ctx.ink.plain);
    if let Some(metrics) = ctx.metrics(known) {
        out = out.put(" err ", ctx.ink.dim).append(error_words(ctx, metrics, fleet::main_side(known)));
    }
    let line = out.put(format!(" {}", known.verdict.is.words()), rollout::phase_style(ctx, r.phase)).line();
    if stale { line::all(line, Modifier::DIM) } else { line }
}

fn error_words(ctx: &Ctx<'_>, metrics: &RolloutMetrics, side: Side) -> Words {
    panes::reading_words(ctx, metrics, side, Series::Errors, format::ratio, ctx.ink.plain)
}
