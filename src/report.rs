//! What machines and prompts read: the JSON contract, the table, the line, and the exit code.

use serde::Serialize;

use crate::{
    model::{
        Owner, Phase, Rollout, Source, Text, Time, Track, Wait,
        metrics::{Reading, TrackReadings},
    },
    state::{Known, State},
    verdict::{Advice, Verdict},
};

/// One rollout as `status --json` and `watch --json` print it. Unknown is `null`, never a made-up zero.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    context: &'a str,
    namespace: &'a str,
    name: &'a str,
    kind: &'a str,
    engine: &'static str,
    uid: &'a str,
    phase: Phase,
    phase_detail: &'a Text,
    step: Option<StepReport<'a>>,
    wait: Option<&'a Wait>,
    tracks: Vec<TrackReport<'a>>,
    next: &'a Text,
    next_at: Option<Time>,
    way_back: BackReport,
    verdict: &'a Verdict,
    /// Whose guard may abort it by itself, and until when.
    armed: Option<ArmedReport>,
    owner: Option<&'a Owner>,
    evidence: Ages,
}

#[derive(Debug, Serialize)]
struct StepReport<'a> {
    /// Counted from 1, as people and the screen do.
    index: usize,
    of: usize,
    label: Option<&'a Text>,
}

#[derive(Debug, Serialize)]
struct TrackReport<'a> {
    role: crate::model::Role,
    revision: Option<&'a Text>,
    hash: &'a Text,
    images: &'a [Text],
    desired: u32,
    ready: u32,
    traffic: TrafficReport,
    requests_per_second: Option<f64>,
    error_ratio: Option<f64>,
    latency_seconds: Quantiles,
}

#[derive(Debug, Serialize)]
struct TrafficReport {
    desired: Option<f64>,
    applied: Option<f64>,
    replica_share: Option<f64>,
    measured: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Quantiles {
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

#[derive(Debug, Serialize)]
struct BackReport {
    action: Option<&'static str>,
    seconds: Option<u32>,
    until: Option<Time>,
}

#[derive(Debug, Serialize)]
struct ArmedReport {
    by: Text,
    until: Option<Time>,
}

/// Seconds since each source was last heard.
#[derive(Debug, Serialize)]
struct Ages {
    kubernetes_age_seconds: Option<f64>,
    prometheus_age_seconds: Option<f64>,
}

/// Makes the report of one rollout.
pub fn report<'a>(state: &'a State, known: &'a Known, now: Time) -> Report<'a> {
    let r = &known.rollout;
    Report {
        context: &r.id.context,
        namespace: &r.id.namespace,
        name: &r.id.name,
        kind: &r.id.kind,
        engine: r.engine.name(),
        uid: &r.id.uid,
        phase: r.phase,
        phase_detail: &r.phase_detail,
        step: r.steps.current.map(|index| StepReport {
            index: (index + 1).min(r.steps.items.len()),
            of: r.steps.items.len(),
            label: r.steps.items.get(index).map(|s| &s.label),
        }),
        wait: r.wait.as_ref(),
        tracks: r.tracks.iter().map(|t| track(state, r, t)).collect(),
        next: &r.next.what,
        next_at: r.next.at,
        way_back: BackReport { action: r.way_back.action.map(|v| v.name()), seconds: r.way_back.seconds, until: r.way_back.until },
        verdict: &known.verdict,
        armed: state.armed(&r.id, now).map(|lease| ArmedReport { by: lease.by, until: lease.until }),
        owner: r.owner.as_ref(),
        evidence: Ages {
            kubernetes_age_seconds: age(state, Source::Fleet, now),
            prometheus_age_seconds: age(state, Source::Prometheus, now),
        },
    }
}

fn age(state: &State, source: Source, now: Time) -> Option<f64> {
    state.links.get(source).age(now).map(|d| (d.as_secs_f64() * 10.0).round() / 10.0)
}

fn track<'a>(state: &'a State, rollout: &Rollout, t: &'a Track) -> TrackReport<'a> {
    let metrics = state.metrics_of(&rollout.id);
    let serves = t.is_new || t.is(crate::model::Role::Stable) || t.is(crate::model::Role::Active);
    let readings: TrackReadings = metrics.filter(|_| serves).map(|m| m.of(t.is_new, t.role()).clone()).unwrap_or_default();
    let share = metrics.and_then(|m| m.measured_share);
    let value = Reading::value;
    TrackReport {
        role: t.role(),
        revision: t.revision.as_ref(),
        hash: &t.hash,
        images: &t.images,
        desired: t.desired,
        ready: t.ready,
        traffic: TrafficReport {
            desired: t.traffic.desired,
            applied: t.traffic.applied,
            replica_share: t.traffic.replica_share,
            measured: share.filter(|_| serves).map(|s| if t.is_new { s } else { 1.0 - s }),
        },
        requests_per_second: value(readings.rate),
        error_ratio: value(readings.errors),
        latency_seconds: Quantiles { p50: value(readings.p50), p95: value(readings.p95), p99: value(readings.p99) },
    }
}

/// `status` as people read it.
pub fn table(state: &State, shown: &[&Known]) -> String {
    let mut rows = vec![["ROLLOUT", "ENGINE", "PHASE", "STEP", "TRAFFIC", "READY", "ERR", "VERDICT", "DETAIL"].map(str::to_owned)];
    rows.extend(shown.iter().map(|k| row(state, k)));
    let mut widths = [0; 9];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(unicode_width::UnicodeWidthStr::width(cell.as_str()));
        }
    }
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let pad = width - unicode_width::UnicodeWidthStr::width(cell.as_str());
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', pad + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn row(state: &State, known: &Known) -> [String; 9] {
    let r = &known.rollout;
    let ready = r.ready_to_watch().map_or("-".into(), |(ready, wanted)| format!("{ready}/{wanted}"));
    let step = step(r).unwrap_or("-".into());
    let traffic = share(r).map_or("-".into(), |w| format!("{:.0}%", w * 100.0));
    let errors = state.metrics_of(&r.id).map(|m| if r.in_flight() { m.new.errors } else { m.old.errors });
    let errors = match errors {
        Some(Reading::Value(v)) => format!("{:.1}%", v * 100.0),
        Some(other) => other.word().to_owned(),
        None => "-".into(),
    };
    [
        r.id.path(),
        format!("{} {}", r.engine.name(), r.strategy.name()),
        r.phase.name().into(),
        step,
        traffic,
        ready,
        errors,
        warning(known).unwrap_or("-").into(),
        r.phase_detail.to_string(),
    ]
}

/// What the verdict has against the release, in two words.
fn warning(known: &Known) -> Option<&'static str> {
    let advice = known.verdict.is;
    matches!(advice, Advice::Abort | Advice::Hold).then(|| advice.words())
}

/// `4/8`, where there are steps.
fn step(rollout: &Rollout) -> Option<String> {
    let (at, all) = (rollout.steps.current?, rollout.steps.items.len());
    (all > 0).then(|| format!("{}/{all}", (at + 1).min(all)))
}

/// The new side's part of the users: what the router says, or where none splits, its part of the pods.
fn share(rollout: &Rollout) -> Option<f64> {
    let traffic = &rollout.new_side()?.traffic;
    traffic.applied.or(traffic.replica_share)
}

/// A line of `guard`: where the release stands, and the verdict in its whole sentence.
pub fn spoken(known: &Known, now: Time) -> String {
    let r = &known.rollout;
    let step = step(r).map(|step| format!(" step {step}")).unwrap_or_default();
    let traffic = share(r).map(|w| format!(" {:.0} %", w * 100.0)).unwrap_or_default();
    let (advice, because) = (known.verdict.is.words(), &known.verdict.because);
    let because = if because.is_empty() { String::new() } else { format!(": {because}") };
    format!("{} {} {}{step}{traffic} · {advice}{because}", now.format("%H:%M:%SZ"), r.id.path(), r.phase.name())
}

/// `status --line`: for a prompt or tmux.
pub fn line(state: &State, shown: &[&Known]) -> String {
    match shown {
        [one] => {
            let r = &one.rollout;
            let traffic = share(r).map(|w| format!(" {:.0}%", w * 100.0)).unwrap_or_default();
            let warning = warning(one).map(|words| format!(" · {words}")).unwrap_or_default();
            format!("{} {}{traffic}{warning}", r.id.path(), r.phase.name())
        }
        _ => {
            let t = state.tally();
            let paused = if t.paused > 0 { format!(" · {} paused", t.paused) } else { String::new() };
            let count = |advice| shown.iter().filter(|known| known.verdict.is == advice).count();
            let warned = [Advice::Abort, Advice::Hold].map(|advice| (count(advice), advice.words()));
            let warnings: String = warned.iter().filter(|(n, _)| *n > 0).map(|(n, words)| format!(" · {n} {words}")).collect();
            format!("{} wait · {} failing · {} moving{paused} · {} steady{warnings}", t.waiting, t.failing, t.moving, t.steady)
        }
    }
}

/// The documented exit codes of `status`: the phase alone. What the verdict advises is `guard`'s to end with.
pub fn exit_code(shown: &[&Known]) -> u8 {
    shown.iter().map(|k| code(k.rollout.phase)).max().unwrap_or(0)
}

fn code(phase: Phase) -> u8 {
    match phase {
        Phase::Healthy => 0,
        Phase::Progressing | Phase::Paused => 10,
        Phase::Waiting => 11,
        Phase::Failing | Phase::Aborted | Phase::Stuck => 12,
        Phase::Unknown => 13,
    }
}
