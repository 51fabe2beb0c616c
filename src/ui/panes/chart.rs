//! Lines over time: two sides told apart by pattern and by name at their ends, gaps left as gaps.
//!
//! Drawn here and not by a chart widget, because those join what a gap divides and draw NaN at the top.

use std::time::Duration;

use chrono::TimeDelta;
use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use super::super::{Ctx, format, glyphs, layout, line, line::Words, line::Writer, links, side_names};
use crate::{
    model::{
        Time,
        metrics::{Points, Reading, RolloutMetrics, Series, Side},
    },
    state::{Known, Pane, WINDOWS},
};

/// The time window: what to call it, and how long it is.
pub fn window(ctx: &Ctx<'_>, known: &Known) -> (String, Duration) {
    match WINDOWS.get(ctx.view.window).copied().flatten() {
        Some(length) => (format::short(length), length),
        None => {
            let length = known.rollout.started.map_or(Duration::from_secs(3600), |s| ctx.clock.whole_minutes(s));
            ("start".into(), length.max(Duration::from_secs(60)))
        }
    }
}

/// Values of one series in this many columns of the window; `None` is a gap.
pub fn columns(ctx: &Ctx<'_>, known: &Known, metrics: &RolloutMetrics, side: Side, series: Series, n: usize) -> Vec<Option<f64>> {
    let scale = Scale::new(ctx, known, n, 1);
    metrics.history.get(&(side, series)).map_or_else(|| vec![None; n], |points| scale.sample(points))
}

/// A series of the rollout's own, in this many columns of the window.
pub fn own_columns(ctx: &Ctx<'_>, known: &Known, points: &Points, n: usize) -> Vec<Option<f64>> {
    Scale::new(ctx, known, n, 1).sample(points)
}

/// The new side's measured part of all requests, in this many columns.
pub fn share_columns(ctx: &Ctx<'_>, known: &Known, metrics: &RolloutMetrics, n: usize) -> Vec<Option<f64>> {
    let [new, old] = [Side::New, Side::Old].map(|side| columns(ctx, known, metrics, side, Series::Rate, n));
    let share = |(new, old): (Option<f64>, Option<f64>)| match (new, old) {
        (Some(new), Some(old)) if new + old > 0.0 => Some(new / (new + old)),
        _ => None,
    };
    new.into_iter().zip(old).map(share).collect()
}

/// The window cut into columns, each of so many dots.
struct Scale {
    start: Time,
    dot: TimeDelta,
    dots: usize,
}

impl Scale {
    fn new(ctx: &Ctx<'_>, known: &Known, columns: usize, dots_each: usize) -> Self {
        let (_, window) = window(ctx, known);
        let columns = columns.clamp(1, 10_000) as u32;
        let column = (window / columns).max(Duration::from_millis(100));
        let end = ctx.clock.edge(column);
        let column = TimeDelta::from_std(Duration::from_millis(column.as_millis() as u64)).unwrap_or(TimeDelta::seconds(1));
        let start = column.checked_mul(columns as i32).and_then(|w| end.checked_sub_signed(w)).unwrap_or(end);
        Self { start, dot: column / dots_each as i32, dots: columns as usize * dots_each }
    }

    /// The dot a moment falls on.
    fn place(&self, at: Time) -> Option<usize> {
        let into = (at - self.start).num_milliseconds();
        let dot = self.dot.num_milliseconds().max(1);
        usize::try_from(into.div_euclid(dot)).ok().filter(|i| *i < self.dots)
    }

    /// The mean of each dot's points; a value holds until the next one is overdue.
    fn sample(&self, points: &Points) -> Vec<Option<f64>> {
        let mut sums = vec![(0.0, 0_u32, 0_u32); self.dots];
        for (at, value) in points {
            let Some(slot) = self.place(*at).and_then(|i| sums.get_mut(i)) else { continue };
            match value.filter(|v| v.is_finite()) {
                Some(v) => *slot = (slot.0 + v, slot.1 + 1, slot.2),
                None => slot.2 += 1,
            }
        }
        let patience = self.patience(points);
        let mut held: Option<(f64, usize)> = None;
        let mut out = Vec::with_capacity(self.dots);
        for (i, (sum, values, gaps)) in sums.into_iter().enumerate() {
            held = match (values, gaps) {
                (0, 0) => held.filter(|(_, from)| i - from <= patience),
                (0, _) => None,
                (n, _) => Some((sum / f64::from(n), i)),
            };
            out.push(held.map(|(v, _)| v));
        }
        out
    }

    /// Dots until a missing point is a gap: three times the usual distance of two points.
    fn patience(&self, points: &Points) -> usize {
        let recent = points.iter().rev().take(16).map(|(at, _)| *at);
        let mut steps: Vec<i64> = recent.clone().zip(recent.skip(1)).map(|(b, a)| (b - a).num_milliseconds()).filter(|s| *s > 0).collect();
        steps.sort_unstable();
        let usual = steps.get(steps.len() / 2).copied().unwrap_or(0);
        usize::try_from(3 * usual / self.dot.num_milliseconds().max(1)).unwrap_or(0).min(self.dots)
    }
}

/// What one chart pane shows.
struct Subject {
    series: Series,
    show: fn(f64) -> String,
    /// Least height of the axis, so that noise does not look like a mountain.
    floor: f64,
    /// Words in a metric's name that tell that its limit belongs here.
    limits: &'static [&'static str],
}

fn subject(pane: Pane) -> Subject {
    match pane {
        Pane::Latency => Subject { series: Series::P99, show: format::latency, floor: 0.01, limits: &["latency", "p99", "duration"] },
        Pane::Rate => Subject { series: Series::Rate, show: format::rate, floor: 1.0, limits: &[] },
        _ => Subject { series: Series::Errors, show: format::ratio, floor: 0.01, limits: &["error", "success", "5xx"] },
    }
}

/// The limit of the analysis that measures the same thing.
fn limit(known: &Known, subject: &Subject) -> Option<f64> {
    let metrics = known.rollout.analyses.iter().filter(|a| a.current).flat_map(|a| &a.metrics);
    let (name, threshold) = metrics
        .filter_map(|m| m.threshold.as_ref().map(|t| (m.name.to_lowercase(), t)))
        .find(|(name, _)| subject.limits.iter().any(|word| name.contains(word)))?;
    let limit = if name.contains("success") { 1.0 - threshold.limit } else { threshold.limit };
    // Latency limits are written in seconds or in milliseconds; sixty seconds is no latency.
    let limit = if subject.series == Series::P99 && limit > 60.0 { limit / 1000.0 } else { limit };
    (limit.is_finite() && limit > 0.0).then_some(limit)
}

struct Curve {
    name: &'static str,
    values: Vec<Option<f64>>,
    style: Style,
    solid: bool,
}

pub fn draw(ctx: &Ctx<'_>, known: &Known, pane: Pane, buf: &mut Buffer, mut area: Rect) {
    let subject = subject(pane);
    let Some(metrics) = ctx.metrics(known) else {
        return layout::message(buf, area, (&links::no_readings(ctx), ctx.ink.dim), &[]);
    };
    if pane == Pane::Latency && area.height >= 9 {
        let row = layout::bottom(&mut area, 1);
        line::draw(buf, row, quantiles(ctx, known, metrics));
    }
    let limit = limit(known, &subject);
    let points = |side: Side| metrics.history.get(&(side, subject.series));
    // Width of the labels depends on the highest value, which the labels' width does not change by much:
    // the values of the full width decide.
    let (new, old) = side_names(known);
    let names = line::columns(new).max(line::columns(old)) as u16 + 1;
    let rough = Scale::new(ctx, known, area.width.into(), 1);
    let seen: Vec<f64> = [Side::New, Side::Old].into_iter().filter_map(points).flat_map(|p| rough.sample(p)).flatten().collect();
    if seen.is_empty() {
        return layout::message(buf, area, (&nothing(ctx, known, metrics, subject.series), ctx.ink.dim), &[]);
    }
    let highest = seen.into_iter().fold(subject.floor, f64::max);
    let top = nice(highest.max(limit.unwrap_or(0.0) * 1.1));
    let labels =
        [tick(&subject, top), tick(&subject, top / 2.0)].map(|l| line::columns(&l)).into_iter().max().unwrap_or(0).max(2) as u16 + 1;
    if area.height < 3 || area.width < labels + names + 6 {
        return;
    }
    let plot = Rect { x: area.x + labels, y: area.y, width: area.width - labels - names, height: area.height - 1 };
    let scale = Scale::new(ctx, known, plot.width.into(), 2);
    let curve =
        |side: Side, name, style, solid| Curve { name, values: points(side).map(|p| scale.sample(p)).unwrap_or_default(), style, solid };
    let curves = [curve(Side::Old, old, ctx.ink.old, false), curve(Side::New, new, ctx.ink.new, true)];
    axes(ctx, known, buf, &Frame { plot, labels, top }, &subject, &scale);
    if let Some(limit) = limit {
        limit_line(ctx, buf, plot, limit / top, &tick(&subject, limit));
    }
    let mut taken = None;
    for curve in &curves {
        lay(ctx, buf, plot, curve, top);
        taken = name_end(buf, plot, curve, top, taken);
    }
}

/// Why there is not one value in the window.
fn nothing(ctx: &Ctx<'_>, known: &Known, metrics: &RolloutMetrics, series: Series) -> String {
    let side = if known.rollout.in_flight() { Side::New } else { Side::Old };
    let points = |side: Side| metrics.history.contains_key(&(side, series));
    match (metrics.side(side).get(series), window(ctx, known).0) {
        _ if links::prometheus_is_off(ctx) => links::no_readings(ctx),
        (Reading::Unasked, _) => "not read yet".into(),
        (Reading::Value(_), _) if !points(Side::New) && !points(Side::Old) => "no history yet".into(),
        (Reading::Value(_), window) if window == "start" => "no values since the start".into(),
        (Reading::Value(_), window) => format!("no values in the last {window}"),
        (other, _) => other.word().into(),
    }
}

/// Other quantiles as numbers: three lines a side would not be told apart.
fn quantiles(ctx: &Ctx<'_>, known: &Known, metrics: &RolloutMetrics) -> Words {
    let mut out = Writer::new();
    for (name, series) in [("p50", Series::P50), ("p95", Series::P95)] {
        out.push(format!("{name} "), ctx.ink.dim);
        if known.rollout.in_flight() {
            out = out.append(super::reading_words(ctx, metrics, Side::New, series, format::latency, ctx.ink.new));
            out.push(" was ", ctx.ink.dim);
        }
        out = out.append(super::reading_words(ctx, metrics, Side::Old, series, format::latency, ctx.ink.old)).put("   ", ctx.ink.plain);
    }
    out.line()
}

/// A value on the axis: `5%`, not `5.0%`.
fn tick(subject: &Subject, value: f64) -> String {
    (subject.show)(value).replace(".0%", "%").replace(".0s", "s").replace(".0/", "/")
}

/// The next round number: 1, 2, 2.5 or 5 times a power of ten.
fn nice(x: f64) -> f64 {
    if !x.is_finite() || x <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(x.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|m| m * power).find(|m| *m >= x * 0.999).unwrap_or(x)
}

/// Where the curves go: the cells, the room for labels at their left, and the value of their top.
struct Frame {
    plot: Rect,
    labels: u16,
    top: f64,
}

fn axes(ctx: &Ctx<'_>, known: &Known, buf: &mut Buffer, frame: &Frame, subject: &Subject, scale: &Scale) {
    let Frame { plot, labels, top } = *frame;
    let style = ctx.ink.dim;
    let middle = row_of(plot, 0.5);
    for y in plot.top()..plot.bottom() {
        let label = match y {
            y if y == plot.y => tick(subject, top),
            y if y == middle && plot.height >= 5 => tick(subject, top / 2.0),
            _ => String::new(),
        };
        let text = format!("{label:>width$}{}", if label.is_empty() { "│" } else { "┤" }, width = usize::from(labels) - 1);
        buf.set_stringn(plot.x - labels, y, text, labels.into(), style);
    }
    let floor = plot.bottom();
    buf.set_stringn(
        plot.x - labels,
        floor,
        format!("{:>width$}└{}", "0", glyphs::RULE.repeat(plot.width.into()), width = usize::from(labels) - 1),
        (labels + plot.width).into(),
        style,
    );
    let (window, _) = window(ctx, known);
    let back = if window == "start" { "start".to_owned() } else { format!("-{window}") };
    buf.set_stringn(plot.x, floor, &back, plot.width.into(), style);
    buf.set_stringn(plot.right() + 1, floor, "now", 3, style);
    let mut free = plot.x + line::columns(&back) as u16 + 1;
    for (i, step) in known.rollout.steps.items.iter().enumerate() {
        let Some(x) = step.started.and_then(|at| scale.place(at)).map(|dot| plot.x + (dot / 2) as u16) else { continue };
        let name = format!("┬{}", i + 1);
        if x >= free && x + line::columns(&name) as u16 <= plot.right() {
            buf.set_string(x, floor, &name, style);
            free = x + line::columns(&name) as u16 + 1;
        }
    }
}

/// The row of a part of the axis, 0 at the floor.
fn row_of(plot: Rect, part: f64) -> u16 {
    let dots = f64::from(plot.height) * 4.0 - 1.0;
    plot.y + (((1.0 - part.clamp(0.0, 1.0)) * dots).round() as u16 / 4).min(plot.height.saturating_sub(1))
}

fn limit_line(ctx: &Ctx<'_>, buf: &mut Buffer, plot: Rect, part: f64, said: &str) {
    let y = row_of(plot, part);
    buf.set_stringn(plot.x, y, glyphs::DASHED.repeat(plot.width.into()), plot.width.into(), ctx.ink.warn);
    let label = format!(" limit {said} ");
    if usize::from(plot.width) > line::columns(&label) + 4 {
        buf.set_string(plot.x + 2, y, label, ctx.ink.warn);
    }
}

/// Dots of one curve, four rows and two columns a cell. The old side is dotted, the new one a line.
fn lay(ctx: &Ctx<'_>, buf: &mut Buffer, plot: Rect, curve: &Curve, top: f64) {
    let dots = f64::from(plot.height) * 4.0 - 1.0;
    let level = |v: f64| ((1.0 - (v / top).clamp(0.0, 1.0)) * dots).round() as u16;
    let mut before: Option<u16> = None;
    for (x, value) in curve.values.iter().enumerate() {
        let y = value.map(level);
        let Some(here) = y else {
            before = None;
            continue;
        };
        if curve.solid {
            let from = before.map_or(here, |b| {
                if b < here {
                    b + 1
                } else if b > here {
                    b - 1
                } else {
                    b
                }
            });
            for y in from.min(here)..=from.max(here) {
                dot(ctx, buf, plot, x, y, curve);
            }
        } else if x % 2 == 0 {
            dot(ctx, buf, plot, x, here, curve);
        }
        before = y;
    }
}

const BRAILLE: u32 = 0x2800;
/// Bits of the eight dots: left and right column, top to bottom.
const BITS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

fn dot(ctx: &Ctx<'_>, buf: &mut Buffer, plot: Rect, x: usize, y: u16, curve: &Curve) {
    let spot = (plot.x + (x / 2) as u16, plot.y + y / 4);
    let Some(cell) = buf.cell_mut(spot) else { return };
    if ctx.state.settings.look.ascii {
        cell.set_symbol(if curve.solid { "*" } else { "o" }).set_style(curve.style);
        return;
    }
    let drawn = cell.symbol().chars().next().map(u32::from).filter(|c| (BRAILLE..BRAILLE + 256).contains(c)).unwrap_or(BRAILLE);
    let bit = BITS[x % 2][usize::from(y % 4)];
    if let Some(c) = char::from_u32(drawn | bit) {
        cell.set_char(c).set_style(curve.style);
    }
}

/// The name of a curve beside its last value; the second one gives way by a row.
fn name_end(buf: &mut Buffer, plot: Rect, curve: &Curve, top: f64, taken: Option<u16>) -> Option<u16> {
    let last = curve.values.iter().rev().flatten().next()?;
    let mut y = row_of(plot, last / top);
    if taken == Some(y) {
        y = if y > plot.y { y - 1 } else { y + 1 };
    }
    if y < plot.bottom() {
        buf.set_string(plot.right() + 1, y, curve.name, curve.style);
    }
    Some(y)
}
