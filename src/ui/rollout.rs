//! The open rollout: what moves, is it worse, what comes next, and the way back.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use super::{
    Ctx, footer, format, glyphs, header,
    layout::{self, Tier},
    line::{self, Words, Writer},
    links, panes, stack,
};
use crate::{
    model::{Phase, Severity, WaitFor},
    state::{Known, Pane},
    verdict::Advice,
};

/// The controller gets this long to notice a change before it is said aloud.
const UNOBSERVED: std::time::Duration = std::time::Duration::from_secs(30);

pub fn draw(ctx: &Ctx<'_>, buf: &mut Buffer, mut area: Rect) {
    let whole = area;
    header::draw(ctx, buf, &mut area);
    let keys = layout::bottom(&mut area, 1);
    line::draw(buf, keys, footer::line(ctx, usize::from(keys.width)));
    let Some(known) = ctx.open() else {
        return layout::message(
            buf,
            area,
            ("This rollout is not there", ctx.ink.strong),
            &[("it was deleted, or its list is not complete yet; Esc goes back to the fleet".into(), ctx.ink.plain)],
        );
    };
    match (ctx.view.zoom, layout::tier(whole)) {
        (Some(pane), _) => zoomed(ctx, known, pane, buf, area),
        (None, Tier::Lines) => stack::draw(ctx, known, buf, area),
        (None, tier) => {
            head(ctx, known, buf, &mut area);
            split(ctx, known, buf, area, tier);
        }
    }
}

/// The lines above the panes, at most a third of the room.
fn head(ctx: &Ctx<'_>, known: &Known, buf: &mut Buffer, area: &mut Rect) {
    let lines = headlines(ctx, known, usize::from(area.width));
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(area.height / 3);
    line::draw_all(buf, layout::top(area, rows), lines);
}

fn zoomed(ctx: &Ctx<'_>, known: &Known, pane: Pane, buf: &mut Buffer, mut area: Rect) {
    if area.height > 12 {
        head(ctx, known, buf, &mut area);
    }
    boxed(ctx, known, pane, buf, area, Joint::Alone);
}

/// How far the zoomed or focused pane can be scrolled at this size.
pub fn scroll_limit(ctx: &Ctx<'_>, mut area: Rect) -> usize {
    let (Some(known), Some(pane)) = (ctx.open(), ctx.view.zoom.or(ctx.view.pane)) else { return 0 };
    header::take(ctx, &mut area);
    layout::bottom(&mut area, 1);
    if pane == Pane::Logs {
        return ctx.state.pod_logs.matching(&ctx.view.log_filter).count().saturating_sub(1);
    }
    let visible = match ctx.view.zoom {
        Some(_) => usize::from(area.height.saturating_sub(6)),
        // Focused among others: a pane shows a handful of lines, the rest is scrolled to.
        None => 3,
    };
    panes::lines(ctx, known, pane, area.width.into(), usize::MAX).map_or(0, |all| all.len().saturating_sub(visible))
}

/// How a pane's box meets the one above and the one below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joint {
    Alone,
    First,
    Middle,
    Last,
}

fn boxed(ctx: &Ctx<'_>, known: &Known, pane: Pane, buf: &mut Buffer, area: Rect, joint: Joint) {
    let focused = ctx.view.pane == Some(pane);
    let style = if focused { ctx.ink.focus } else { ctx.ink.border };
    let title = panes::title(ctx, known, pane, focused);
    let joined = matches!(joint, Joint::Middle | Joint::Last);
    let closed = matches!(joint, Joint::Alone | Joint::Last);
    let inner = layout::framed(buf, area, title, style, joined, closed);
    let hidden = panes::draw(ctx, known, pane, buf, Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner });
    if closed && ctx.view.zoom == Some(pane) {
        scroll_sign(ctx, buf, area, hidden);
    }
}

/// On the floor of a zoomed pane: how many lines there are above and below.
fn scroll_sign(ctx: &Ctx<'_>, buf: &mut Buffer, area: Rect, (above, below): (usize, usize)) {
    let text = match (above, below) {
        (0, 0) => return,
        (0, below) => format!(" ↓ {below} more "),
        (above, 0) => format!(" ↑ {above} more "),
        (above, below) => format!(" ↑ {above} ↓ {below} more "),
    };
    let width = u16::try_from(line::columns(&text)).unwrap_or(u16::MAX).min(area.width.saturating_sub(4));
    let spot = Rect { x: area.right().saturating_sub(width + 2), y: area.bottom().saturating_sub(1), width, height: 1 };
    line::draw(buf, spot, line::words(text, ctx.ink.strong));
}

/// Three columns of panes above, the sentences below.
fn split(ctx: &Ctx<'_>, known: &Known, buf: &mut Buffer, mut area: Rect, tier: Tier) {
    let wall = tier == Tier::Wall;
    let metrics = known.rollout.analyses.iter().filter(|a| a.current).map(|a| a.metrics.len().max(1)).sum::<usize>();
    let metrics = metrics + ctx.metrics(known).map_or(0, |m| m.own.len());
    let analysis = 1 + u16::try_from(metrics.clamp(1, if wall { 5 } else { 2 })).unwrap_or(1);
    let timeline = if wall { 9 } else { 6 };
    let below = layout::bottom(&mut area, 4 + analysis + timeline);
    sentences(ctx, known, buf, below, analysis);
    let mut columns = area;
    let left = layout::left(&mut columns, area.width * 37 / 100);
    let mid = layout::left(&mut columns, area.width * 24 / 100);
    let upper = if wall { area.height / 2 } else { 8 };
    pair(ctx, known, buf, left, upper.min(9), [Pane::Traffic, Pane::Errors]);
    match wall {
        true => pair(ctx, known, buf, mid, upper, [Pane::Steps, Pane::Rate]),
        false => boxed(ctx, known, Pane::Steps, buf, mid, Joint::Alone),
    }
    pair(ctx, known, buf, columns, upper, [Pane::Pods, Pane::Latency]);
}

fn pair(ctx: &Ctx<'_>, known: &Known, buf: &mut Buffer, mut area: Rect, upper: u16, [first, second]: [Pane; 2]) {
    boxed(ctx, known, first, buf, layout::top(&mut area, upper), Joint::Alone);
    boxed(ctx, known, second, buf, area, Joint::Alone);
}

fn sentences(ctx: &Ctx<'_>, known: &Known, buf: &mut Buffer, mut area: Rect, analysis: u16) {
    boxed(ctx, known, Pane::Verdict, buf, layout::top(&mut area, 4), Joint::First);
    boxed(ctx, known, Pane::Analysis, buf, layout::top(&mut area, analysis), Joint::Middle);
    boxed(ctx, known, Pane::Timeline, buf, area, Joint::Last);
}

/// From so many rows on, the panes below the fleet stand in two rows.
pub const TWO_ROWS: u16 = 20;

/// Panes of the selected rollout beside the fleet.
pub fn beside(ctx: &Ctx<'_>, known: &Known, buf: &mut Buffer, mut area: Rect) {
    layout::left(&mut area, 1);
    let lines = headlines(ctx, known, usize::from(area.width));
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(area.height / 3);
    line::draw_all(buf, layout::top(&mut area, rows), lines);
    let verdict = layout::bottom(&mut area, 5);
    boxed(ctx, known, Pane::Verdict, buf, verdict, Joint::Alone);
    let mut upper = layout::top(&mut area, 9);
    let traffic = layout::left(&mut upper, area.width * 55 / 100);
    boxed(ctx, known, Pane::Traffic, buf, traffic, Joint::Alone);
    boxed(ctx, known, Pane::Steps, buf, upper, Joint::Alone);
    let half = area.height / 2;
    pair(ctx, known, buf, area, half, [Pane::Errors, Pane::Latency]);
}

/// Panes of the selected rollout below the fleet; in two rows where there is room.
pub fn below(ctx: &Ctx<'_>, known: &Known, buf: &mut Buffer, mut area: Rect) {
    if area.height >= TWO_ROWS {
        let height = area.height / 2;
        let mut lower = layout::bottom(&mut area, height);
        let verdict = layout::left(&mut lower, area.width * 60 / 100);
        boxed(ctx, known, Pane::Verdict, buf, verdict, Joint::Alone);
        boxed(ctx, known, Pane::Latency, buf, lower, Joint::Alone);
    }
    for (pane, percent) in [(Pane::Traffic, 36), (Pane::Steps, 38), (Pane::Errors, 100)] {
        let columns = (u32::from(area.width) * percent / 100) as u16;
        boxed(ctx, known, pane, buf, layout::left(&mut area, columns), Joint::Alone);
    }
}

/// What it is; where it stands and what comes next; what must be known before touching it.
pub fn headlines(ctx: &Ctx<'_>, known: &Known, width: usize) -> Vec<Words> {
    let mut lines = vec![what(ctx, known, width)];
    let (stands, next) = (stands(ctx, known), next_words(ctx, known, width));
    if stands.width() + 2 + next.width() <= width {
        lines.push(Writer::new().append(stands).put("  ", ctx.ink.plain).append(next).line());
    } else if width < 60 {
        lines.extend([stands, coming(ctx, known, true), back_words(ctx, known)]);
    } else {
        lines.extend([stands, next]);
    }
    lines.retain(|l| l.width() > 0);
    lines.extend(alarms(ctx, known, width));
    lines
}

/// Engine, strategy, revisions, images, start and owner.
fn what(ctx: &Ctx<'_>, known: &Known, width: usize) -> Words {
    let r = &known.rollout;
    let (new, old) = (r.new_side(), r.old_side());
    let revision = |t: Option<&crate::model::Track>| t.and_then(|t| t.revision.clone()).map(|r| r.to_string());
    let image = |t: Option<&crate::model::Track>| t.and_then(|t| t.images.first()).map(|i| format::image(i));
    let (was, will) = shorter(image(old), image(new));
    let mut parts = vec![(format!("{} {}", r.engine.name(), r.strategy.name()), ctx.ink.plain)];
    parts.extend(from_to("rev ", revision(old), revision(new)).map(|t| (t, ctx.ink.plain)));
    parts.extend(from_to("", was, will).map(|t| (t, ctx.ink.strong)));
    if let Some(started) = r.started.filter(|_| r.in_flight()) {
        let age = ctx.clock.age(started);
        let ago = if age == "now" { "just now".into() } else { format!("{age} ago") };
        parts.push((if width < 100 { ago } else { format!("started {ago}") }, ctx.ink.plain));
    }
    if let Some(owner) = &r.owner {
        parts.push((format!("owner {} {}", owner.kind, owner.name), ctx.ink.warn));
    }
    let joined = parts.into_iter().fold(Writer::new(), |out, (text, style)| {
        let joint = if out.is_empty() { String::new() } else { format!(" {} ", glyphs::DOT) };
        out.put(joint, ctx.ink.dim).put(text, style)
    });
    line::fit(joined.line(), width)
}

/// `api v2.8.1` and `v2.9.0` of `api:v2.8.1` and `api:v2.9.0`.
fn shorter(from: Option<String>, to: Option<String>) -> (Option<String>, Option<String>) {
    let cut = |image: &Option<String>| image.as_deref().and_then(|i| i.split_once(':')).map(|(n, t)| (n.to_owned(), t.to_owned()));
    match (cut(&from), cut(&to)) {
        (Some((a, was)), Some((b, will))) if a == b && was != will => (Some(format!("{a} {was}")), Some(will)),
        _ => (from, to),
    }
}

fn from_to(label: &str, from: Option<String>, to: Option<String>) -> Option<String> {
    Some(match (from, to) {
        (Some(from), Some(to)) if from == to => format!("{label}{to}"),
        (Some(from), Some(to)) => format!("{label}{from} {} {to}", glyphs::ARROW),
        (Some(one), None) | (None, Some(one)) => format!("{label}{one}"),
        (None, None) => return None,
    })
}

pub fn phase_style(ctx: &Ctx<'_>, phase: Phase) -> Style {
    match phase {
        Phase::Healthy => ctx.ink.good,
        Phase::Progressing => ctx.ink.new,
        Phase::Waiting | Phase::Paused | Phase::Unknown => ctx.ink.warn,
        Phase::Failing | Phase::Aborted | Phase::Stuck => ctx.ink.bad,
    }
}

/// `WAITING at step 4/8, for a human since 4m10s (Paused: CanaryPauseStep)`.
pub fn stands(ctx: &Ctx<'_>, known: &Known) -> Words {
    let r = &known.rollout;
    let mut out = Writer::new();
    if let Some(at) = known.deleted {
        out.push(format!("DELETED {} ago", ctx.clock.since(at)), ctx.ink.loud);
        let again = ctx.state.rollouts.values().any(|k| {
            k.deleted.is_none() && k.rollout.id.uid != r.id.uid && k.rollout.id.path() == r.id.path() && k.rollout.id.kind == r.id.kind
        });
        out.push(if again { "  a new one has its name: Esc, then open that  last picture: " } else { "  last picture: " }, ctx.ink.plain);
    }
    let style = phase_style(ctx, r.phase).add_modifier(ratatui::style::Modifier::BOLD);
    out.push(r.phase.name().to_uppercase(), style);
    if let (Some(i), n @ 1..) = (r.steps.current.filter(|_| !r.steps.done()), r.steps.items.len()) {
        out.push(format!(" at step {}/{n}", i + 1), ctx.ink.plain);
    }
    if let Some(wait) = &r.wait {
        let since = wait.since.map(|s| format!(" since {}", ctx.clock.since(s))).unwrap_or_default();
        let style = if wait.who == WaitFor::Human { ctx.ink.warn } else { ctx.ink.plain };
        let verb = if matches!(r.phase, Phase::Waiting | Phase::Paused) { "" } else { ", waits" };
        out.push(format!("{verb} for {}{since}", waits_for(wait.who)), style);
    }
    if !r.phase_detail.is_empty() {
        out.push(format!("  ({})", r.phase_detail), ctx.ink.dim);
    }
    out.line()
}

pub fn waits_for(who: WaitFor) -> &'static str {
    match who {
        WaitFor::Human => "a human",
        WaitFor::Timer => "a set time",
        WaitFor::Analysis => "its analysis",
        WaitFor::Experiment => "an experiment",
        WaitFor::Pods => "pods",
        WaitFor::Controller => "the controller",
    }
}

/// `Next: set weight 50 %, in 4m10s  Way back: abort, ≈ 3 s`.
pub fn next_words(ctx: &Ctx<'_>, known: &Known, width: usize) -> Words {
    let back = back_words(ctx, known);
    let whole = coming(ctx, known, false);
    let next = if whole.width() + 2 + back.width() > width { coming(ctx, known, true) } else { whole };
    if next.width() == 0 || back.width() == 0 {
        return line::fit(if next.width() == 0 { back } else { next }, width);
    }
    // Where both do not fit, the way back keeps up to half of the line.
    let back = line::fit(back, width.saturating_sub(next.width() + 2).max(width / 2));
    let next = line::fit(next, width.saturating_sub(back.width() + 2));
    Writer::new().append(next).put("  ", ctx.ink.plain).append(back).line()
}

/// That nothing happens without a person is said by the line above already: on a narrow screen only what
/// would follow is left.
fn shortened(what: &str) -> String {
    match what.split_once("; then ") {
        Some(("nothing until someone promotes", then)) => format!("on promote: {then}"),
        _ => what.to_owned(),
    }
}

pub fn coming(ctx: &Ctx<'_>, known: &Known, short: bool) -> Words {
    let r = &known.rollout;
    let mut next = Writer::new();
    if !r.next.what.is_empty() {
        next.push("Next: ", ctx.ink.dim);
        // The time first: a cut then loses the end of the phrase only.
        match r.next.at {
            Some(at) if ctx.clock.ahead(at) => next.push(format!("in {}: ", ctx.clock.until(at)), ctx.ink.strong),
            Some(_) => next.push("now: ", ctx.ink.strong),
            None => {}
        }
        next.push(if short { shortened(&r.next.what) } else { r.next.what.to_string() }, ctx.ink.strong);
    }
    faded(ctx, known, next.line())
}

pub fn back_words(ctx: &Ctx<'_>, known: &Known) -> Words {
    let back = &known.rollout.way_back;
    if back.what.is_empty() {
        return Words::default();
    }
    let out = Writer::new().put("Way back: ", ctx.ink.dim).put(back.what.to_string(), ctx.ink.good);
    let out = match back.until {
        Some(until) if ctx.clock.ahead(until) => out.put(format!(", for {} more", ctx.clock.until(until)), ctx.ink.warn),
        Some(_) => out.put(", no longer fast", ctx.ink.warn),
        None => out,
    };
    faded(ctx, known, out.line())
}

/// What no longer holds, as its rollout is deleted.
pub fn faded(ctx: &Ctx<'_>, known: &Known, mut line: Words) -> Words {
    if known.deleted.is_some() {
        line.spans.iter_mut().for_each(|s| s.style = ctx.ink.dim);
    }
    line
}

/// Notices, the gravest first; danger is loud. The controller's silence is one of them.
pub fn alarms(ctx: &Ctx<'_>, known: &Known, width: usize) -> Vec<Words> {
    let mut notices: Vec<_> = known.rollout.notices.iter().collect();
    notices.sort_by_key(|n| std::cmp::Reverse(n.severity));
    let mut lines: Vec<Words> = unobserved(ctx, known).into_iter().collect();
    for notice in notices {
        let style = match notice.severity {
            Severity::Danger => ctx.ink.loud,
            Severity::Warning => ctx.ink.warn,
            Severity::Note => ctx.ink.dim,
        };
        let sign = if notice.severity == Severity::Note { glyphs::DOT } else { glyphs::ALERT };
        lines.push(line::fit(line::words(format!(" {sign} {} ", notice.text), style), width));
    }
    lines
}

fn unobserved(ctx: &Ctx<'_>, known: &Known) -> Option<Words> {
    let since = known.unobserved_since?;
    if !ctx.clock.older(since, UNOBSERVED) {
        return None;
    }
    let text = format!(
        " {} the controller has not looked at generation {} for {}: is it running? ",
        glyphs::ALERT,
        known.rollout.generation,
        ctx.clock.since(since)
    );
    Some(line::words(text, ctx.ink.loud))
}

/// The advice in capitals and its reason.
pub fn verdict_words(ctx: &Ctx<'_>, known: &Known) -> Words {
    let verdict = &known.verdict;
    let style = match verdict.is {
        Advice::Abort => ctx.ink.bad,
        Advice::Hold => ctx.ink.warn,
        Advice::Go => ctx.ink.good,
        Advice::NotEnoughData | Advice::None => ctx.ink.dim,
    };
    let mut out = Writer::new().put(verdict.is.words(), style);
    match (verdict.because.is_empty(), known.rollout.in_flight()) {
        (false, _) => out.push(format!(": {}", verdict.because), ctx.ink.plain),
        (true, false) => out.push(": no release in flight", ctx.ink.dim),
        (true, true) => out.push(format!(": {}", links::no_readings(ctx)), ctx.ink.dim),
    }
    out.line()
}
