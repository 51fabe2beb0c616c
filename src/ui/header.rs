//! The first lines: what this is, how old each source is, and what stands above everything else.

use ratatui::{buffer::Buffer, layout::Rect};

use super::{Ctx, glyphs, layout, line, line::Writer, links};
use crate::{
    guard::arming::{LEASE, Lease},
    intent::Intent,
    model::Source,
    state::Mode,
};

/// Title and banners with the rows they take from the top of an area.
pub fn take(ctx: &Ctx<'_>, area: &mut Rect) -> Vec<(Rect, line::Words)> {
    let row = layout::top(area, 1);
    let mut lines = vec![(row, title(ctx, usize::from(row.width)))];
    for banner in banners(ctx) {
        // A banner must never be all that is left.
        if area.height > 3 {
            lines.push((layout::top(area, 1), banner));
        }
    }
    lines
}

/// Draws what [`take`] lays out.
pub fn draw(ctx: &Ctx<'_>, buf: &mut Buffer, area: &mut Rect) {
    for (row, line) in take(ctx, area) {
        line::draw(buf, row, line);
    }
}

/// As wide as what stands between two parts.
const JOINT: [u8; 3] = *b" . ";

/// Left what is looked at, right the ages; the right side loses its last parts first.
fn title(ctx: &Ctx<'_>, width: usize) -> line::Words {
    let mut left = Writer::new().put("rolltop ", ctx.ink.dim).put(ctx.state.context.to_string(), ctx.ink.strong);
    match ctx.open() {
        Some(known) => left.push(format!("  {}", known.rollout.id.path()), ctx.ink.strong),
        None => left.push(format!(" {} {}", glyphs::DOT, ctx.state.scope), ctx.ink.plain),
    }
    let left = left.line();
    let mut room = width.saturating_sub(left.width() + 2);
    // In the order in which they are given room; the number is their place.
    let parts = [
        (0, links::badge(ctx, Source::Fleet)),
        (1, links::badge(ctx, Source::Prometheus)),
        (4, Some(line::words(ctx.clock.wall(), ctx.ink.dim))),
        (2, links::badge(ctx, Source::Events)),
        (3, identity(ctx)),
    ];
    let mut kept: Vec<(u8, line::Words)> = Vec::new();
    for (place, part) in parts.into_iter().filter_map(|(place, part)| Some((place, part?))) {
        if part.width() + JOINT.len() <= room {
            room -= part.width() + JOINT.len();
            kept.push((place, part));
        }
    }
    kept.sort_by_key(|(place, _)| *place);
    let right = kept.into_iter().fold(Writer::new(), |out, (_, part)| {
        let joint = if out.is_empty() { String::new() } else { format!(" {} ", glyphs::DOT) };
        out.put(joint, ctx.ink.dim).append(part)
    });
    line::both(left, right.line(), width)
}

fn identity(ctx: &Ctx<'_>) -> Option<line::Words> {
    match &ctx.state.identity {
        Some(Ok(identity)) if !identity.user.is_empty() => Some(line::words(identity.user.to_string(), ctx.ink.plain)),
        _ => None,
    }
}

/// Lines that change what everything below them means, the gravest first.
fn banners(ctx: &Ctx<'_>) -> Vec<line::Words> {
    let mut found = Vec::new();
    if ctx.frozen() {
        let at = ctx.clock.minute(ctx.clock.moment());
        found.push(line::words(format!(" FROZEN at {at}: the cluster goes on, this picture does not. z lets it run. "), ctx.ink.loud));
    }
    found.extend(armed(ctx));
    if ctx.state.mode == Mode::Watch {
        found.push(line::words(" WATCH — cannot write ", ctx.ink.select));
    }
    found.extend(links::banner(ctx));
    if let Some(untold) = &ctx.state.untold {
        found.push(line::words(format!(" NOT TOLD {untold} (rolltop notify) "), ctx.ink.loud));
    }
    found
}

/// What may be acted on without a person: here first, then by other rolltops.
fn armed(ctx: &Ctx<'_>) -> Option<line::Words> {
    let until = |at| ctx.clock.minute(at);
    let own = ctx.armed.arms.values().map(|armed| {
        let flag = if let Intent::Kill { flag } = &armed.arming.act { format!(" (flag {flag} off)") } else { String::new() };
        format!("{}{flag} until {}", armed.arming.target.path(), until(armed.arming.until))
    });
    let now = ctx.live.moment();
    let others = ctx.armed.objects.iter(&LEASE).filter_map(|object| {
        let lease = Lease::read(object).filter(|lease| lease.is_live(now))?;
        let here = ctx.armed.arms.values().any(|armed| armed.arming.holder == lease.holder);
        (!here).then(|| format!("{} by {} until {}", lease.rollout(object), lease.by, lease.until.map(until).unwrap_or_default()))
    });
    let all: Vec<String> = own.chain(others).collect();
    // A number that says how many stays when the names are cut.
    let many = if all.len() > 1 { format!("{} ", all.len()) } else { String::new() };
    (!all.is_empty()).then(|| line::words(format!(" {many}ARMED, the guard may act by itself: {} ", all.join(", ")), ctx.ink.loud))
}
