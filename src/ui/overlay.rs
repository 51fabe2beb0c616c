//! What lies over the screen and takes the keys: help, palette, questions.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use super::{
    Ctx, footer, format, glyphs, layout,
    line::{self, Words, Writer},
};
use crate::{
    intent::{COMMANDS, Danger, Row, palette_rows},
    model::Text,
    state::{Overlay, Prompt, PromptKind, available::availability},
};

pub fn draw(ctx: &Ctx<'_>, buf: &mut Buffer, area: Rect) {
    match &ctx.view.overlay {
        Some(Overlay::Help { scroll }) => help(ctx, buf, area, *scroll),
        Some(Overlay::Palette { input, selected }) => palette(ctx, buf, area, input, *selected),
        Some(Overlay::Prompt(asked)) => prompt(ctx, buf, area, asked),
        Some(Overlay::QuitAnyway) => quit(ctx, buf, area),
        None => {}
    }
}

/// A box over the screen; the answer is the room inside. Tiny screens are taken whole.
fn window(ctx: &Ctx<'_>, buf: &mut Buffer, area: Rect, width: u16, rows: usize, title: &str) -> Rect {
    let height = u16::try_from(rows + 2).unwrap_or(u16::MAX);
    let spot = layout::centre(area, width, height);
    layout::clear(buf, spot);
    if area.height < 5 {
        return spot;
    }
    let inner = layout::framed(buf, spot, line::words(title.to_owned(), ctx.ink.strong), ctx.ink.focus, false, true);
    Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }
}

/// A command's keys, its help, and why it is off.
fn entry(ctx: &Ctx<'_>, row: &Row, keys: usize, width: usize) -> Words {
    let off = availability(ctx.state, row.command, ctx.live.moment());
    let key = footer::keys_of(ctx, row.command);
    let (text, note): (Style, Option<Text>) = match off {
        Ok(()) => (ctx.ink.plain, None),
        Err(why) => (ctx.ink.dim, Some(why)),
    };
    let danger = if row.danger == Danger::Grave { format!("{} ", glyphs::ALERT) } else { String::new() };
    let mut out = Writer::new()
        .put(format!("{key:>keys$}  "), if note.is_some() { ctx.ink.dim } else { ctx.ink.key })
        .put(danger, ctx.ink.warn)
        .put(row.help, text);
    if let Some(why) = note {
        out.push(format!("  off: {why}"), ctx.ink.warn);
    }
    line::fit(out.line(), width)
}

fn help(ctx: &Ctx<'_>, buf: &mut Buffer, area: Rect, scroll: usize) {
    let mut rows: Vec<&Row> = COMMANDS.iter().filter(|r| footer::key_of(ctx, r.command).is_some()).collect();
    // What works here comes first, and of that what changes the cluster.
    rows.sort_by_key(|r| (availability(ctx.state, r.command, ctx.live.moment()).is_err(), r.danger == Danger::None));
    let inner = window(ctx, buf, area, 100, rows.len() + 1, "Keys that work here; `:` has every command");
    let room = usize::from(inner.height).saturating_sub(1);
    let scroll = scroll.min(rows.len().saturating_sub(room));
    let mut lines: Vec<Words> = rows.iter().skip(scroll).take(room).map(|r| entry(ctx, r, 11, inner.width.into())).collect();
    let more = rows.len().saturating_sub(scroll + room);
    let foot = if more > 0 { format!("{} {more} more, j", glyphs::ELLIPSIS) } else { String::new() };
    lines.push(line::both(line::words(foot, ctx.ink.dim), line::words(" Esc close ", ctx.ink.select), inner.width.into()));
    line::draw_all(buf, inner, lines);
}

fn palette(ctx: &Ctx<'_>, buf: &mut Buffer, area: Rect, input: &str, selected: usize) {
    let rows = palette_rows(input);
    let inner = window(ctx, buf, area, 100, 16, "Command");
    let room = usize::from(inner.height).saturating_sub(1);
    let mut lines = vec![Writer::new().put(format!(":{input}"), ctx.ink.strong).put(" ", ctx.ink.select).line()];
    let selected = selected.min(rows.len().saturating_sub(1));
    let first = (selected + 1).saturating_sub(room);
    for row in rows.iter().skip(first).take(room) {
        lines.push(
            Writer::new()
                .put(format!("{:<15}", row.name), ctx.ink.plain)
                .append(entry(ctx, row, 11, usize::from(inner.width).saturating_sub(15)))
                .line(),
        );
    }
    if rows.is_empty() {
        lines.push(line::words("no command has these words in its name or help", ctx.ink.dim));
    }
    line::draw_all(buf, inner, lines);
    if !rows.is_empty() {
        mark(buf, inner, 1 + selected - first);
    }
}

/// Reverses one line of a list.
fn mark(buf: &mut Buffer, inner: Rect, row: usize) {
    if let Some(spot) = inner.rows().nth(row) {
        line::select(buf, spot);
    }
}

fn prompt(ctx: &Ctx<'_>, buf: &mut Buffer, area: Rect, asked: &Prompt) {
    let title = match &asked.kind {
        PromptKind::Undo => "Undo: back to which revision?".to_owned(),
        PromptKind::Container => "Set image: of which container?".to_owned(),
        PromptKind::Image { container } => format!("Set image of {container}: to what?"),
        PromptKind::Weight => "Set weight: how many percent of the users on the new side?".to_owned(),
        PromptKind::Flag => "Switch off which feature flag?".to_owned(),
        PromptKind::Replicas => "Scale: to how many pods?".to_owned(),
        PromptKind::Deed => "Arm the guard: what may it do by itself, once?".to_owned(),
        PromptKind::Minutes { flag: None } => "Arm the guard: for how many minutes?".to_owned(),
        PromptKind::Minutes { flag: Some(flag) } => format!("Arm the guard to switch {flag} off: for how many minutes?"),
    };
    let inner = window(ctx, buf, area, 76, asked.choices.len().max(1) + 1, &title);
    let width = usize::from(inner.width);
    let room = usize::from(inner.height).saturating_sub(1).max(1);
    let first = (asked.selected + 1).saturating_sub(room);
    let mut lines: Vec<Words> = match asked.choices.is_empty() {
        true => vec![Writer::new().put(input_end(&asked.input, width.saturating_sub(1)), ctx.ink.strong).put(" ", ctx.ink.select).line()],
        false => asked.choices.iter().skip(first).take(room).map(|(shown, _)| line::words(shown.to_string(), ctx.ink.plain)).collect(),
    };
    let go = Writer::new().put("⏎", ctx.ink.key).put(" shows what it would do; nothing is sent yet", ctx.ink.dim);
    lines.push(line::both(go.line(), line::words(" Esc cancel ", ctx.ink.select), width));
    line::draw_all(buf, inner, lines);
    if !asked.choices.is_empty() {
        mark(buf, inner, asked.selected - first.min(asked.selected));
    }
}

/// The end of what is typed: where the cursor is.
fn input_end(input: &str, width: usize) -> String {
    let reversed: String = input.chars().rev().collect();
    format::end(&reversed, width).chars().rev().collect()
}

fn quit(ctx: &Ctx<'_>, buf: &mut Buffer, area: Rect) {
    let inner = window(ctx, buf, area, 64, 3, "Quit?");
    let width = usize::from(inner.width);
    let flying = ctx.card.is_some_and(crate::state::Card::in_flight);
    let (what, then) = match flying || ctx.armed.arms.is_empty() {
        true => ("An action is still on its way; leaving does not stop it.", "Its outcome would not be seen here."),
        false => ("The guard is armed: it acts only while this runs.", "Leaving disarms it."),
    };
    let lines = vec![
        line::words(what, ctx.ink.warn),
        line::words(then, ctx.ink.plain),
        line::both(
            Writer::new().put("y", ctx.ink.key).put(" quit all the same", ctx.ink.plain).line(),
            line::words(" Esc stay ", ctx.ink.select),
            width,
        ),
    ];
    line::draw_all(buf, inner, lines);
}
