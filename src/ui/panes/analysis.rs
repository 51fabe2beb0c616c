//! What the engine measures by itself, and how close each metric is to its limit.

use ratatui::style::Style;

use super::super::{
    Ctx, format, glyphs,
    line::{self, Words, Writer},
};
use super::chart;
use crate::{
    model::{Analysis, AnalysisMetric, AnalysisPhase, metrics::Points},
    state::Known,
};

pub fn lines(ctx: &Ctx<'_>, known: &Known, width: usize) -> Vec<Words> {
    let mut runs: Vec<&Analysis> = known.rollout.analyses.iter().collect();
    runs.sort_by_key(|a| (!a.current, std::cmp::Reverse(a.started)));
    let running = runs.iter().any(|a| a.current);
    let mut lines = Vec::new();
    if !running {
        lines.push(line::words("no analysis runs for this release", ctx.ink.dim));
    }
    lines.extend(own(ctx, known, width));
    // History only after what counts now; small panes never reach it.
    let (current, earlier): (Vec<_>, Vec<_>) = runs.into_iter().partition(|a| a.current);
    lines.splice(0..0, current.into_iter().flat_map(|run| run_lines(ctx, run, width)));
    lines.extend(earlier.into_iter().flat_map(|run| run_lines(ctx, run, width)));
    for experiment in known.rollout.experiments.iter().filter(|e| e.current) {
        let (sign, style) = sign(ctx, experiment.phase);
        let parts: Vec<String> = experiment.templates.iter().map(|(name, ready, wanted)| format!("{name} {ready}/{wanted}")).collect();
        lines.push(Writer::new().put(format!("experiment {} {sign} ", experiment.name), style).put(parts.join(", "), ctx.ink.plain).line());
    }
    lines
}

/// The rollout's own series: the last value and the window before it.
fn own(ctx: &Ctx<'_>, known: &Known, width: usize) -> Vec<Words> {
    let Some(metrics) = ctx.metrics(known) else { return Vec::new() };
    let one = |(name, points): (&crate::model::Text, &Points)| {
        let last = points.iter().rev().find_map(|(_, v)| v.filter(|v| v.is_finite()));
        let values = chart::own_columns(ctx, known, points, width.saturating_sub(36).min(60));
        let top = values.iter().flatten().copied().fold(0.0, f64::max);
        let said = last.map_or_else(|| "no data".to_owned(), format::number);
        Writer::new()
            .put(format!("{} ", format::middle(name, 24)), ctx.ink.plain)
            .pad(25)
            .put(said, ctx.ink.strong)
            .pad(34)
            .append(line::spark(&values, top, ctx.ink.new))
            .line()
    };
    metrics.own.iter().map(one).map(|l| line::fit(l, width)).collect()
}

fn run_lines(ctx: &Ctx<'_>, run: &Analysis, width: usize) -> Vec<Words> {
    let kind = if run.current { run.kind.name().to_owned() } else { format!("earlier {}", run.kind.name()) };
    if run.metrics.is_empty() {
        let (sign, style) = sign(ctx, run.phase);
        let text = format!("{kind} {sign} {} {}", run.phase.name(), run.message);
        return vec![line::fit(line::words(text.trim_end().to_owned(), style), width)];
    }
    run.metrics.iter().map(|m| line::fit(metric(ctx, &kind, run, m), width)).collect()
}

fn sign(ctx: &Ctx<'_>, phase: AnalysisPhase) -> (&'static str, Style) {
    match phase {
        AnalysisPhase::Successful => (glyphs::DONE, ctx.ink.good),
        AnalysisPhase::Failed | AnalysisPhase::Error => (glyphs::FAILED, ctx.ink.bad),
        AnalysisPhase::Inconclusive => (glyphs::UNKNOWN, ctx.ink.warn),
        AnalysisPhase::Running => (glyphs::HERE, ctx.ink.new),
        AnalysisPhase::Pending => (glyphs::STARTING, ctx.ink.dim),
    }
}

/// `success-rate ✖ 3 of 5 failed (limit 3) · last 0.959 · want >= 0.99 · 40s ago`.
fn metric(ctx: &Ctx<'_>, kind: &str, run: &Analysis, metric: &AnalysisMetric) -> Words {
    let (sign, style) = sign(ctx, metric.phase);
    let style = match metric.failure_limit {
        Some(limit) if metric.failed > 0 && metric.failed >= limit => ctx.ink.bad,
        _ if metric.failed > 0 && !metric.phase.ended() => ctx.ink.warn,
        _ => style,
    };
    let mut out = Writer::new().put(format!("{} ", metric.name), ctx.ink.strong).put(format!("{sign} {}", tally(metric)), style);
    let last = metric.measurements.last();
    let want = metric.threshold.as_ref().map(|t| format!("want {} {}", t.op, t.limit));
    let want = want.or_else(|| (!metric.condition.is_empty()).then(|| format!("want {}", metric.condition)));
    let parts = [
        last.filter(|m| !m.value.is_empty()).map(|m| format!("last {}", m.number().map_or_else(|| m.value.to_string(), |n| n.to_string()))),
        want,
        last.and_then(|m| m.at).or(run.ended).map(|at| ctx.clock.age(at)).map(|a| if a == "now" { a } else { format!("{a} ago") }),
        (!metric.message.is_empty()).then(|| metric.message.to_string()),
        Some(if metric.dry_run { format!("{kind}, dry run") } else { kind.to_owned() }),
    ];
    for part in parts.into_iter().flatten() {
        out.push(format!(" {} {part}", glyphs::DOT), ctx.ink.dim);
    }
    out.line()
}

/// How many measurements said what, against how many may.
fn tally(m: &AnalysisMetric) -> String {
    let taken = m.successful + m.failed + m.inconclusive + m.error;
    let of = m.count.unwrap_or(taken).max(taken);
    let limit = m.failure_limit.map(|l| format!(" (limit {l})")).unwrap_or_default();
    let mut text = match (m.failed, taken) {
        (_, 0) => "nothing measured yet".into(),
        (0, _) => format!("{}/{of}", m.successful),
        (failed, _) => format!("{failed} of {taken} failed{limit}"),
    };
    if m.error > 0 {
        text += &format!(", {} errors", m.error);
    }
    if m.inconclusive > 0 {
        text += &format!(", {} inconclusive", m.inconclusive);
    }
    text
}
