//! How much of the users is on the new side: asked, applied, by pods, and measured. Never mixed.

use super::super::{
    Ctx, footer, format, glyphs,
    line::{self, Words, Writer},
    links,
};
use super::chart;
use crate::{
    model::{Source, Strategy, Surge, Time, metrics::Reading},
    state::Known,
};

const LABEL: usize = 9;

pub fn lines(ctx: &Ctx<'_>, known: &Known, width: usize) -> Vec<Words> {
    let mut lines = shares(ctx, known, width);
    lines.extend(history(ctx, known, width));
    lines
}

/// One line for each of the four numbers.
pub fn shares(ctx: &Ctx<'_>, known: &Known, width: usize) -> Vec<Words> {
    let Some(new) = known.rollout.new_side() else {
        let name = known.rollout.old_side().map_or("the only version", |t| t.role().name());
        return vec![line::words(format!("all users on {name}: no release in flight"), ctx.ink.dim)];
    };
    let heard = ctx.state.links.get(if known.rollout.detailed { Source::Detail } else { Source::Fleet }).heard.or(ctx
        .state
        .links
        .get(Source::Fleet)
        .heard);
    let metrics = ctx.metrics(known);
    let measured = metrics.and_then(|m| m.measured_share);
    let why = match metrics {
        _ if measured.is_none() && links::prometheus_is_off(ctx) => links::no_readings(ctx),
        Some(m) if m.new.rate == Reading::Unasked => "not read yet".to_owned(),
        Some(m) if measured.is_none() => m.new.rate.word().to_owned(),
        _ => links::no_readings(ctx),
    };
    let applied_by = if new.traffic.applied.is_some() { new.traffic.applied_by.as_str() } else { "" };
    let why = if why.is_empty() { "not known" } else { &why };
    let by_pods = known.rollout.router.is_none() && matches!(known.rollout.strategy, Strategy::Canary | Strategy::Rolling);
    let not_applied = match known.rollout.surge {
        Some(Surge { more, fewer, of }) if by_pods => format!("pods, +{more} -{fewer} of {of} at once"),
        _ if by_pods => "no router: pods decide".into(),
        _ => "not known".into(),
    };
    let rows = [
        Share { label: "asked", share: new.traffic.desired, by: "", otherwise: "no weight is asked", at: heard },
        Share { label: "applied", share: new.traffic.applied, by: applied_by, otherwise: &not_applied, at: heard },
        Share { label: "pods", share: new.traffic.replica_share, by: "", otherwise: "not known", at: heard },
        Share { label: "measured", share: measured, by: "prom", otherwise: why, at: metrics.and_then(|m| m.at) },
    ];
    rows.iter().map(|row| share_line(ctx, row, width)).collect()
}

/// One of the four numbers, who says so and when, and what to say where it is not known.
struct Share<'a> {
    label: &'static str,
    share: Option<f64>,
    by: &'a str,
    otherwise: &'a str,
    at: Option<Time>,
}

fn share_line(ctx: &Ctx<'_>, row: &Share<'_>, width: usize) -> Words {
    let Share { label, by, otherwise, at, .. } = *row;
    let out = Writer::new().put(format!("{label:<LABEL$}"), ctx.ink.dim);
    let Some(share) = row.share.filter(|s| s.is_finite()) else {
        return line::fit(out.put(format!("{} {otherwise}", glyphs::DASH), ctx.ink.dim).line(), width);
    };
    let room = width.saturating_sub(LABEL + 6 + 13).clamp(4, 40);
    let age = at.map(|at| ctx.clock.age(at)).filter(|a| a != "now").map(|a| format!(" {a} ago")).unwrap_or_default();
    line::fit(
        out.append(line::bar(Some(share), room, ctx.ink.new, ctx.ink.dim))
            .put(format!("{:>6}", format::share(share)), ctx.ink.strong)
            .put(format!(" {by}{age}"), ctx.ink.dim)
            .line(),
        width,
    )
}

/// The measured share over the window, and what the next step would make of it.
fn history(ctx: &Ctx<'_>, known: &Known, width: usize) -> Vec<Words> {
    let Some(metrics) = ctx.metrics(known).filter(|_| known.rollout.in_flight()) else { return Vec::new() };
    let (label, _) = chart::window(ctx, known);
    let room = width.saturating_sub(LABEL + 4).min(40 + 13);
    let shares = chart::share_columns(ctx, known, metrics, room);
    if shares.iter().all(Option::is_none) {
        return Vec::new();
    }
    let mut lines = vec![
        Writer::new()
            .put(format!("{label:<LABEL$}"), ctx.ink.dim)
            .append(line::spark(&shares, 1.0, ctx.ink.new))
            .put(" now", ctx.ink.dim)
            .line(),
    ];
    if let Some(weight) = footer::next_weight(&known.rollout) {
        lines.push(line::words(format!("{:<LABEL$}weight {}", "then", format::share(weight)), ctx.ink.dim));
    }
    lines
}
