//! What the evidence says: the sentence, and the numbers behind it.

use super::super::{
    Ctx, format, line,
    line::{Words, Writer},
    rollout,
};
use crate::state::Known;

pub fn lines(ctx: &Ctx<'_>, known: &Known, width: usize) -> Vec<Words> {
    let mut lines = sentence(ctx, known, width);
    lines.extend(armed(ctx, known).into_iter().flat_map(|text| format::wrap(&text, width)).map(|l| line::words(l, ctx.ink.bad)));
    let more = known.verdict.more.iter().flat_map(|text| format::wrap(text, width));
    lines.extend(more.map(|l| line::words(l, ctx.ink.dim)));
    lines
}

/// Who may abort it without another word.
fn armed(ctx: &Ctx<'_>, known: &Known) -> Option<String> {
    let lease = ctx.armed.armed(&known.rollout.id, ctx.live.moment())?;
    let until = lease.until.map(|at| ctx.clock.minute(at)).unwrap_or_default();
    Some(format!("ARMED until {until} by {}: on this verdict the guard aborts it once, by itself ({})", lease.by, lease.holder))
}

/// Advice and reason alone.
pub fn sentence(ctx: &Ctx<'_>, known: &Known, width: usize) -> Vec<Words> {
    let whole = rollout::verdict_words(ctx, known);
    if whole.width() <= width {
        return vec![whole];
    }
    let mut spans = whole.spans.into_iter();
    let advice = spans.next().unwrap_or_default();
    let reason: String = spans.map(|s| s.content.into_owned()).collect();
    // The first line starts behind the advice; wrapping with a stand-in of its width keeps the words together.
    let stand_in = "x".repeat(advice.width());
    let mut wrapped = format::wrap(&format!("{stand_in}{reason}"), width).into_iter();
    let first = wrapped.next().unwrap_or_default();
    let head = Writer::new()
        .put(advice.content.into_owned(), advice.style)
        .put(first.get(stand_in.len()..).unwrap_or_default().to_owned(), ctx.ink.plain);
    std::iter::once(head.line()).chain(wrapped.map(|l| line::words(l, ctx.ink.plain))).collect()
}
