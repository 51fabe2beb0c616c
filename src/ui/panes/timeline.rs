//! What happened, newest first.

use super::super::{
    Ctx, glyphs,
    line::{self, Words, Writer},
};
use crate::{
    model::{LinkState, Source},
    timeline::{Entry, Origin},
};

pub fn lines(ctx: &Ctx<'_>, width: usize) -> Vec<Words> {
    let lines: Vec<Words> = ctx.state.timeline.iter().rev().map(|e| line::fit(entry(ctx, e), width)).collect();
    if !lines.is_empty() {
        return lines;
    }
    let said = match ctx.state.links.get(Source::Events).state {
        LinkState::Live => "nothing has happened that left an event",
        LinkState::Forbidden { .. } => "events may not be read: the right to list events is missing",
        _ => "no events yet",
    };
    vec![line::words(said, ctx.ink.dim)]
}

fn entry(ctx: &Ctx<'_>, entry: &Entry) -> Words {
    let style = match (entry.warning, entry.origin) {
        (true, _) => ctx.ink.warn,
        (false, Origin::You | Origin::Guard) => ctx.ink.strong,
        (false, _) => ctx.ink.plain,
    };
    let mut out = Writer::new().put(format!("{} ", ctx.clock.stamp(entry.at)), ctx.ink.dim);
    if entry.warning {
        out.push(format!("{} ", glyphs::ALERT), style);
    }
    match entry.origin {
        Origin::You => out.push("you: ", style),
        Origin::Guard => out.push("guard: ", style),
        Origin::Event | Origin::Seen => {}
    }
    let object = entry.object.as_ref().map(|o| format!("{o}: ")).unwrap_or_default();
    let reason = if entry.reason.is_empty() || entry.message.is_empty() { entry.reason.to_string() } else { format!("{} ", entry.reason) };
    out = out.put(object, ctx.ink.dim).put(reason, style).put(entry.message.to_string(), style);
    if entry.count > 1 {
        out.push(format!(" ×{}", entry.count), ctx.ink.dim);
    }
    out.line()
}
