//! The plan of the release, with "you are here".

use ratatui::style::Style;

use super::super::{
    Ctx, format, glyphs,
    line::{self, Words, Writer},
    rollout,
};
use crate::{
    model::{Phase, Step, StepKind, WaitFor},
    state::Known,
};

/// Where a step lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Past,
    Here,
    Ahead,
}

fn at(known: &Known, index: usize) -> At {
    match known.rollout.steps.current {
        Some(current) if index < current => At::Past,
        Some(current) if index == current => At::Here,
        _ => At::Ahead,
    }
}

fn sign(ctx: &Ctx<'_>, known: &Known, at: At) -> (&'static str, Style) {
    match at {
        At::Past => (glyphs::DONE, ctx.ink.good),
        At::Here if matches!(known.rollout.phase, Phase::Aborted | Phase::Failing) => (glyphs::FAILED, ctx.ink.bad),
        At::Here => (glyphs::HERE, ctx.ink.new),
        At::Ahead => (" ", ctx.ink.plain),
    }
}

/// One line a step. Where not all fit, the step in progress stays in sight.
pub fn lines(ctx: &Ctx<'_>, known: &Known, width: usize, height: usize) -> Vec<Words> {
    let steps = &known.rollout.steps;
    if steps.items.is_empty() {
        return none(ctx, known, width);
    }
    let first = steps.current.unwrap_or(0).saturating_sub(height / 3).min(steps.items.len().saturating_sub(height));
    steps.items.iter().enumerate().skip(first).map(|(i, step)| entry(ctx, known, i, step, width)).collect()
}

fn none(ctx: &Ctx<'_>, known: &Known, width: usize) -> Vec<Words> {
    let steps = known.rollout.steps.items.len();
    if steps > 0 {
        return vec![line::fit(line::words(not_begun(known, steps), ctx.ink.dim), width)];
    }
    let kind = if known.rollout.in_flight() { "new pods" } else { "pods" };
    let r = &known.rollout;
    let pods = match r.new_side().or(r.tracks.first()) {
        Some(side) if r.is_scaled_to_zero(side) => "; scaled to zero".into(),
        _ => r.ready_to_watch().map(|(ready, wanted)| format!("; {ready} of {wanted} {kind} are ready")).unwrap_or_default(),
    };
    let text = format!("{} has no steps{pods}", known.rollout.strategy.name());
    format::wrap(&text, width).into_iter().map(|l| line::words(l, ctx.ink.dim)).collect()
}

fn not_begun(known: &Known, steps: usize) -> String {
    let steps = format::plural(steps, "step");
    match known.rollout.phase {
        Phase::Aborted => format!("aborted: {steps}, back at the start"),
        _ => format!("{steps}, none begun"),
    }
}

fn entry(ctx: &Ctx<'_>, known: &Known, index: usize, step: &Step, width: usize) -> Words {
    let at = at(known, index);
    let (sign, style) = sign(ctx, known, at);
    let text = match at {
        At::Here => ctx.ink.strong,
        At::Past => ctx.ink.dim,
        At::Ahead => ctx.ink.plain,
    };
    let who = if at == At::Here { waits_for(known) } else { plain_pause(step) };
    let left = Writer::new().put(format!("{sign} "), style).put(format!("{}{who}", step.label), text).line();
    rollout::faded(ctx, known, line::both(left, line::words(took(ctx, known, step, at), ctx.ink.dim), width))
}

fn waits_for(known: &Known) -> &'static str {
    match known.rollout.wait.as_ref().map(|w| w.who) {
        Some(WaitFor::Human) if known.rollout.phase != Phase::Aborted => " (you)",
        _ => "",
    }
}

fn plain_pause(step: &Step) -> &'static str {
    if step.kind == StepKind::Pause(None) { " (you)" } else { "" }
}

/// How long a step took, has taken, or still has to go.
fn took(ctx: &Ctx<'_>, known: &Known, step: &Step, at: At) -> String {
    let until = known.rollout.wait.as_ref().and_then(|w| w.until).filter(|u| ctx.clock.ahead(*u));
    match (at, step.started, step.ended, until) {
        (At::Here, _, None, Some(until)) => format!("{} left", ctx.clock.until(until)),
        (At::Here, Some(started), None, None) => format!("{} {}", ctx.clock.since(started), glyphs::ELLIPSIS),
        (At::Past, Some(started), Some(ended), _) => format::duration((ended - started).to_std().unwrap_or_default()),
        _ => String::new(),
    }
}

/// All steps in one line: `✔✔✔▶pause (you) 4m10s → weight 50 % → …`.
pub fn one_line(ctx: &Ctx<'_>, known: &Known, width: usize) -> Words {
    let steps = &known.rollout.steps;
    let restarted = |current: &usize| *current == 0 && known.rollout.phase == Phase::Aborted;
    let Some(current) = steps.current.filter(|c| !steps.items.is_empty() && !restarted(c)) else {
        return none(ctx, known, width).into_iter().next().unwrap_or_default();
    };
    let mut out = Writer::new().put(glyphs::DONE.repeat(current.min(steps.items.len())), ctx.ink.good);
    if let Some(step) = steps.now() {
        let (sign, style) = sign(ctx, known, At::Here);
        out.push(format!("{sign} "), style);
        out.push(format!("{}{} {}", step.label, waits_for(known), took(ctx, known, step, At::Here)), ctx.ink.strong);
    } else {
        out.push(" all steps done", ctx.ink.dim);
    }
    for step in steps.items.iter().skip(current + 1) {
        out.push(format!(" {} {}", glyphs::ARROW, step.label), ctx.ink.dim);
    }
    rollout::faded(ctx, known, line::fit(out.line(), width))
}
