//! What the pods write, of both sides in the order of time, newest at the bottom.

use chrono::TimeDelta;
use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use super::super::{
    Ctx, format, glyphs,
    line::{self, Words, Writer},
};
use crate::{
    model::{
        log::{Following, Line},
        moment,
    },
    state::{Known, podlogs},
};

/// Rows of one line at most: what is longer is cut, and says so.
const ROWS: usize = 6;
/// Troubles named above the lines.
const TROUBLES: usize = 3;

/// Draws the pane; the answer is how many lines lie above and below.
pub fn draw(ctx: &Ctx<'_>, known: &Known, buf: &mut Buffer, area: Rect) -> (usize, usize) {
    let width = usize::from(area.width);
    let mut head = head(ctx, known, width);
    head.truncate(usize::from(area.height / 2).max(1));
    let room = usize::from(area.height).saturating_sub(head.len());
    let lines: Vec<&Line> = ctx.state.pod_logs.matching(&ctx.view.log_filter).collect();
    let scroll = ctx.view.scroll.min(lines.len().saturating_sub(1));
    let mut rows: Vec<Words> = Vec::new();
    let mut shown = 0;
    for entry in lines.iter().skip(scroll) {
        let mut own = wrapped(ctx, known, entry, width);
        let fits = room.saturating_sub(rows.len());
        if fits == 0 {
            break;
        }
        // Of a line that does not fit whole, its end.
        own.drain(..own.len().saturating_sub(fits));
        rows.extend(own.into_iter().rev());
        shown += 1;
    }
    let above = lines.len().saturating_sub(scroll + shown);
    line::draw_all(buf, area, head.into_iter().chain(rows.into_iter().rev()).collect());
    (above, scroll)
}

/// Whose logs these are, and what of them cannot be had.
fn head(ctx: &Ctx<'_>, known: &Known, width: usize) -> Vec<Words> {
    let chosen = podlogs::chosen(&known.rollout);
    let logs = &ctx.state.pod_logs;
    if chosen.is_empty() {
        let why = if known.rollout.detailed { "this rollout has no pods" } else { "its pods are not known yet" };
        return vec![line::words(why, ctx.ink.dim)];
    }
    let mut sides = Vec::new();
    for track in &known.rollout.tracks {
        let of = chosen.iter().filter(|(side, _)| std::ptr::eq(*side, track)).count();
        if of > 0 {
            sides.push(format!("{of} of {} {} pods", track.pods.len(), track.role().name()));
        }
    }
    let skipped = if logs.skipped > 0 {
        format!(", {} left out: too fast", format::plural(logs.skipped.try_into().unwrap_or(usize::MAX), "line"))
    } else {
        String::new()
    };
    let quiet = if logs.lines.is_empty() { ": nothing yet" } else { "" };
    let whose = line::words(format!("{}{skipped}{quiet}", sides.join(" and ")), ctx.ink.dim);
    let filter = filter(ctx);
    let room = width.saturating_sub(filter.width() + 2);
    let mut lines = vec![line::both(line::fit(whose, room), filter, width)];
    let trouble = |(pod, following): (&_, &Following)| match following {
        Following::Not { state, detail } => Some(format!("{pod}: {}", state.withheld().unwrap_or_else(|| detail.to_string()))),
        Following::Live | Following::Over => None,
    };
    let troubles = logs.following.iter().filter(|(name, _)| chosen.iter().any(|(_, pod)| pod.name == **name)).filter_map(trouble);
    let troubles = troubles.take(TROUBLES).flat_map(|text| format::wrap(&format!("{} {text}", glyphs::ALERT), width));
    lines.extend(troubles.map(|text| line::words(text, ctx.ink.warn)));
    lines
}

/// What is typed, or was.
fn filter(ctx: &Ctx<'_>) -> Words {
    if !ctx.view.filtering && ctx.view.log_filter.is_empty() {
        return Words::default();
    }
    let out = Writer::new().put(format!("/{}", ctx.view.log_filter), ctx.ink.strong);
    if ctx.view.filtering { out.put(" ", ctx.ink.select).line() } else { out.line() }
}

/// Time, side and pod before the text; further rows stand below the text.
fn wrapped(ctx: &Ctx<'_>, known: &Known, entry: &Line, width: usize) -> Vec<Words> {
    let side = known.rollout.tracks.iter().find(|track| track.pods.iter().any(|pod| pod.name == entry.pod));
    let own = match side {
        Some(track) if track.is_new => ctx.ink.new,
        Some(_) => ctx.ink.old,
        None => ctx.ink.dim,
    };
    let stamp = entry.at.map(|at| ctx.clock.stamp(at)).unwrap_or_default();
    let name = side.map_or("gone", |track| track.role().name());
    let tail = entry.pod.rsplit('-').next().unwrap_or_default();
    let label = format!("{name:<7} {tail:<5} ");
    let before = if entry.before { "before its restart: " } else { "" };
    let text_style = loudness(ctx, &entry.text, entry.before);
    let indent = line::columns(&stamp) + 1 + line::columns(&label);
    let narrow = width < indent + 30;
    let indent = if narrow { 2 } else { indent };
    let text = format!("{before}{}", unstamped(entry));
    let mut rows = if narrow { format::wrap(&format!("{tail} {text}"), width) } else { format::wrap(&text, width - indent) };
    let cut = rows.len() > ROWS;
    rows.truncate(ROWS);
    if rows.is_empty() {
        rows.push(String::new());
    }
    let mut lines: Vec<Words> = rows
        .into_iter()
        .enumerate()
        .map(|(row, text)| match (row, narrow) {
            (0, false) => Writer::new().put(format!("{stamp} "), ctx.ink.dim).put(label.clone(), own).put(text, text_style).line(),
            (0, true) => line::words(text, text_style),
            _ => Writer::new().pad(indent).put(text, text_style).line(),
        })
        .collect();
    if let Some(last) = lines.pop() {
        lines.push(if cut { line::broken_off(last, width) } else { line::fit(last, width) });
    }
    lines
}

/// Without the time that many programs begin their lines with, where it says no more than the runtime's own.
fn unstamped(entry: &Line) -> &str {
    let Some((first, rest)) = entry.text.split_once(' ') else { return &entry.text };
    match (moment(first), entry.at) {
        (Some(own), Some(at)) if (own - at).abs() < TimeDelta::seconds(1) => rest,
        _ => &entry.text,
    }
}

/// What a reader looks for: lines that call themselves errors or warnings, in any of the usual forms.
fn loudness(ctx: &Ctx<'_>, text: &str, before: bool) -> Style {
    const BAD: [&str; 6] = ["error", "err", "fatal", "panic", "critical", "exception"];
    const ODD: [&str; 2] = ["warn", "warning"];
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let is = |word: &str, of: &[&str]| of.iter().any(|one| word.eq_ignore_ascii_case(one));
    let found = words.by_ref().take(24).find_map(|word| match () {
        () if is(word, &BAD) => Some(ctx.ink.bad),
        () if is(word, &ODD) => Some(ctx.ink.warn),
        () => None,
    });
    found.unwrap_or(if before { ctx.ink.dim } else { ctx.ink.plain })
}
