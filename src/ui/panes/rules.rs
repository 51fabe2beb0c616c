//! The guard's rules: value, limit, for how long, and what would happen.

use super::super::{Ctx, format, glyphs, line, line::Words, line::Writer};
use crate::{
    state::Known,
    verdict::{Mark, rules::Effect, trial},
};

pub fn lines(ctx: &Ctx<'_>, known: &Known, width: usize) -> Vec<Words> {
    let verdict = &known.verdict;
    let mut lines = super::verdict::sentence(ctx, known, width);
    let chance = trial::ALPHA * 100.0;
    let test = if ctx.state.settings.rules_alone {
        "the test is switched off: the rules below decide alone".to_owned()
    } else {
        format!(
            "the test advises to abort from odds {:.0} : 1 on: {chance:.0} false alarm in 100 releases at most, however often one looks",
            trial::WORSE
        )
    };
    lines.extend(format::wrap(&test, width).into_iter().map(|l| line::words(l, ctx.ink.dim)));
    lines.extend(verdict.more.iter().flat_map(|text| format::wrap(text, width)).map(|l| line::words(l, ctx.ink.dim)));
    if ctx.state.settings.rules.is_empty() {
        lines.push(line::words("no guard rules are configured: see [[rules]] in config.example.toml", ctx.ink.dim));
    } else if verdict.rules.is_empty() {
        lines.push(line::words("no guard rule concerns this release, or none was checked yet", ctx.ink.dim));
    }
    for (mark, text) in &verdict.rules {
        let (sign, style) = match mark {
            Mark::Fine => (glyphs::DONE, ctx.ink.good),
            Mark::Pending => (glyphs::ALERT, ctx.ink.warn),
            Mark::Tripped(Effect::Abort) => (glyphs::FAILED, ctx.ink.bad),
            Mark::Tripped(_) => (glyphs::ALERT, ctx.ink.warn),
            Mark::Silent => (glyphs::DASH, ctx.ink.dim),
        };
        for (i, part) in format::wrap(text, width.saturating_sub(2)).into_iter().enumerate() {
            let sign = if i == 0 { sign } else { " " };
            lines.push(Writer::new().put(format!("{sign} "), style).put(part, ctx.ink.plain).line());
        }
    }
    lines
}
