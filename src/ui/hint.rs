//! The line for somebody new: which keys to try. It lies below everything else, where there is room, until the first
//! action or until it is sent away.

use ratatui::{buffer::Buffer, layout::Rect};

use super::{Ctx, footer, format, layout, line, line::Writer};
use crate::{
    intent::{COMMANDS, Command, Place},
    state::Screen,
};

/// Below this height every row is needed for what is supervised.
const ENOUGH: u16 = 20;

/// A longer hint is no hint.
const MOST: usize = 3;

/// The area without the hint's rows, and these.
pub fn split(ctx: &Ctx<'_>, mut area: Rect) -> (Rect, Rect) {
    let rows = lines(ctx, area).len();
    let hint = if rows <= MOST { layout::bottom(&mut area, rows as u16) } else { Rect::default() };
    (area, hint)
}

pub fn draw(ctx: &Ctx<'_>, buf: &mut Buffer, area: Rect) {
    let lines = lines(ctx, Rect { height: ENOUGH, ..area });
    for (text, row) in lines.into_iter().zip(area.rows()) {
        line::draw(buf, row, Writer::new().put(format!(" {text}"), ctx.ink.key).line());
    }
}

fn lines(ctx: &Ctx<'_>, area: Rect) -> Vec<String> {
    match ctx.hint.filter(|_| area.height >= ENOUGH).and_then(|hint| told(ctx, hint)) {
        Some(hint) => format::wrap(&resolved(ctx, &hint), usize::from(area.width).saturating_sub(2)),
        None => Vec::new(),
    }
}

/// Without what is of the fleet alone, while a rollout is open.
fn told(ctx: &Ctx<'_>, hint: &str) -> Option<String> {
    let elsewhere = |clause: &str| COMMANDS.iter().any(|row| row.place == Place::Fleet && clause.contains(&format!("{{{}}}", row.name)));
    let open = matches!(ctx.view.screen, Screen::Rollout(_));
    let kept: Vec<String> = hint
        .split("; ")
        .map(|part| part.split(", ").filter(|clause| !(open && elsewhere(clause))).collect::<Vec<_>>().join(", "))
        .filter(|part| !part.is_empty())
        .collect();
    Some(kept.join("; ")).filter(|hint| !hint.is_empty())
}

/// `{promote}` becomes the key of that command, wherever the settings have put it.
fn resolved(ctx: &Ctx<'_>, hint: &str) -> String {
    let text = COMMANDS.iter().fold(format!("try: {hint}"), |text, row| {
        let place = format!("{{{}}}", row.name);
        if !text.contains(&place) {
            return text;
        }
        let key = footer::key_of(ctx, row.command).unwrap_or_else(|| format!(":{}", row.name));
        text.replace(&place, &key)
    });
    match footer::key_of(ctx, Command::Back) {
        Some(key) => format!("{text} ({key} hides this)"),
        None => text,
    }
}
