//! What differs between the old and the new pod template.

use super::super::{
    Ctx, format, glyphs,
    line::{self, Words, Writer},
};
use crate::engine::Change;

pub fn lines(ctx: &Ctx<'_>, width: usize) -> Vec<Words> {
    if ctx.view.diff.is_empty() {
        return vec![line::words("the two pod templates do not differ, or one of them is not known", ctx.ink.dim)];
    }
    ctx.view.diff.iter().flat_map(|change| change_lines(ctx, change, width)).collect()
}

/// One line where it fits, else three: values must be readable to their end.
pub fn change_lines(ctx: &Ctx<'_>, change: &Change, width: usize) -> Vec<Words> {
    let from = if change.from.is_empty() { "nothing" } else { &change.from };
    let to = if change.to.is_empty() { "nothing" } else { &change.to };
    let one = Writer::new()
        .put(format!("{}  ", change.field), ctx.ink.dim)
        .put(from.to_owned(), ctx.ink.old)
        .put(format!(" {} ", glyphs::ARROW), ctx.ink.dim)
        .put(to.to_owned(), ctx.ink.new)
        .line();
    if one.width() <= width {
        return vec![one];
    }
    let mut lines = vec![line::words(change.field.to_string(), ctx.ink.dim)];
    for (sign, text, style) in [("- ", from, ctx.ink.old), ("+ ", to, ctx.ink.new)] {
        let wrapped = format::wrap(text, width.saturating_sub(4));
        lines.extend(
            wrapped
                .into_iter()
                .enumerate()
                .map(|(i, l)| Writer::new().put(format!("  {}", if i == 0 { sign } else { "  " }), style).put(l, style).line()),
        );
    }
    lines
}
