//! AnalysisRuns and Experiments: what they measured, what they want, and the line on the chart.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    dto,
    facts::{Facts, HASH_LABEL},
};
use crate::{
    model::{Analysis, AnalysisKind, AnalysisMetric, AnalysisPhase, Experiment, Measurement, Text, Threshold, Time},
    object::{Object, kinds},
};

/// Runs of the Rollout and of its Experiments, those of the update in progress first, newest first.
pub fn analyses(f: &Facts<'_>) -> Vec<Analysis> {
    let told = told(f);
    let mut seen = BTreeSet::new();
    let mut found: Vec<Analysis> = Vec::new();
    found.extend(f.runs.iter().map(|run| analysis(run, kind(run), of_this_update(f, run, &told))));
    let now = current_experiment(f);
    for (experiment, _) in &f.experiments {
        let runs = f.objects.owned_by(&kinds::ANALYSIS_RUN, &experiment.meta.uid).filter_map(|o| o.read().ok());
        found.extend(runs.map(|run| analysis(&run, AnalysisKind::Experiment, now == Some(&*experiment.meta.uid))));
    }
    seen.extend(found.iter().map(|a| a.name.to_string()));
    // The status names runs that may not be at hand: the fleet shows them with their word alone.
    found.extend(told.into_iter().filter(|(_, run)| !seen.contains(&run.name)).map(|(kind, run)| from_status(kind, run)));
    found.sort_by(|a, b| b.current.cmp(&a.current).then(b.started.cmp(&a.started)).then(a.name.cmp(&b.name)));
    found
}

type Told<'a> = Vec<(AnalysisKind, &'a dto::RunStatus)>;

/// Runs that the Rollout's status names.
fn told<'a>(f: &'a Facts<'_>) -> Told<'a> {
    let s = &f.ro.status;
    let named = [
        (AnalysisKind::Step, &s.canary.current_step_analysis_run_status),
        (AnalysisKind::Background, &s.canary.current_background_analysis_run_status),
        (AnalysisKind::PrePromotion, &s.blue_green.pre_promotion_analysis_run_status),
        (AnalysisKind::PostPromotion, &s.blue_green.post_promotion_analysis_run_status),
    ];
    named.into_iter().filter_map(|(kind, run)| Some((kind, run.as_ref()?))).filter(|(_, r)| !r.name.is_empty()).collect()
}

/// An abort removes the references from the status, but its cause still belongs to the update in progress.
fn of_this_update(f: &Facts<'_>, run: &dto::AnalysisRun, told: &Told<'_>) -> bool {
    let named = told.iter().any(|(_, r)| r.name == run.metadata.name);
    named || f.in_flight() && run.metadata.label(HASH_LABEL) == f.current()
}

fn from_status(kind: AnalysisKind, run: &dto::RunStatus) -> Analysis {
    Analysis {
        name: (&run.name).into(),
        kind,
        phase: AnalysisPhase::parse(&run.status),
        message: (&run.message).into(),
        started: None,
        ended: None,
        current: true,
        metrics: Vec::new(),
    }
}

fn analysis(run: &dto::AnalysisRun, kind: AnalysisKind, current: bool) -> Analysis {
    Analysis {
        name: (&run.metadata.name).into(),
        kind,
        phase: AnalysisPhase::parse(&run.status.phase),
        message: (&run.status.message).into(),
        started: run.status.started_at.0,
        ended: run.status.completed_at.0,
        current,
        metrics: metrics(run),
    }
}

fn kind(run: &dto::AnalysisRun) -> AnalysisKind {
    match run.metadata.label("rollout-type") {
        "Step" => AnalysisKind::Step,
        "Background" => AnalysisKind::Background,
        "PrePromotion" => AnalysisKind::PrePromotion,
        "PostPromotion" => AnalysisKind::PostPromotion,
        _ => AnalysisKind::Other,
    }
}

fn metrics(run: &dto::AnalysisRun) -> Vec<AnalysisMetric> {
    let empty = dto::MetricResult::default();
    run.spec.metrics.iter().map(|m| metric(run, m, run.status.metric_results.iter().find(|r| r.name == m.name).unwrap_or(&empty))).collect()
}

fn metric(run: &dto::AnalysisRun, spec: &dto::Metric, result: &dto::MetricResult) -> AnalysisMetric {
    let success = fill(&spec.success_condition, run);
    let failure = fill(&spec.failure_condition, run);
    AnalysisMetric {
        name: (&spec.name).into(),
        provider: provider(spec).into(),
        phase: AnalysisPhase::parse(&result.phase),
        message: (&result.message).into(),
        successful: result.successful.count(),
        failed: result.failed.count(),
        inconclusive: result.inconclusive.count(),
        error: result.error.count(),
        count: wanted_count(run, spec),
        failure_limit: failure_limit(run, spec),
        dry_run: result.dry_run,
        condition: condition(&success, &failure).into(),
        threshold: threshold(&success).or_else(|| threshold(&failure).and_then(opposite)),
        query: query(run, spec, result).map(Text::from),
        measurements: result.measurements.iter().map(measurement).collect(),
    }
}

fn measurement(m: &dto::Measurement) -> Measurement {
    Measurement {
        at: m.finished_at.0.or(m.started_at.0),
        phase: AnalysisPhase::parse(&m.phase),
        value: (&m.value.0).into(),
        message: (&m.message).into(),
    }
}

/// The one key of `provider`; a plugin has its own name below.
fn provider(spec: &dto::Metric) -> String {
    let Some((key, value)) = spec.provider.iter().find(|(_, v)| !v.is_null()) else { return String::new() };
    let plugin = value.as_object().filter(|_| key == "plugin").and_then(|p| p.keys().next());
    plugin.unwrap_or(key).clone()
}

fn integer(run: &dto::AnalysisRun, text: &dto::IntOrText) -> Option<i64> {
    fill(&text.0, run).trim().parse().ok()
}

/// `count`, else one without an interval, else endless.
fn wanted_count(run: &dto::AnalysisRun, spec: &dto::Metric) -> Option<u32> {
    let stated = spec.count.as_ref().and_then(|c| integer(run, c)).filter(|n| *n > 0);
    match stated {
        Some(n) => Some(dto::Int(n).count()),
        None => spec.interval.is_empty().then_some(1),
    }
}

/// 0 when not set; -1 is unlimited.
fn failure_limit(run: &dto::AnalysisRun, spec: &dto::Metric) -> Option<u32> {
    let limit = spec.failure_limit.as_ref().map_or(Some(0), |l| integer(run, l))?;
    (limit >= 0).then(|| dto::Int(limit).count())
}

fn condition(success: &str, failure: &str) -> String {
    match (success, failure) {
        (success, "") => success.into(),
        ("", failure) => format!("fails when {failure}"),
        (success, failure) => format!("{success}, fails when {failure}"),
    }
}

// ── arguments ───────────────────────────────────────────────────────────────────────────────────

fn is_secret(arg: &dto::Arg) -> bool {
    arg.value_from.as_ref().is_some_and(|v| v.secret_key_ref.is_some())
}

/// Puts the values of arguments in; those from Secrets have none here and stay as they are written.
fn fill(text: &str, run: &dto::AnalysisRun) -> String {
    let mut out = text.to_owned();
    for arg in run.spec.args.iter().filter(|a| !is_secret(a)) {
        if let Some(value) = &arg.value {
            for form in placeholders(&arg.name) {
                out = out.replace(&form, &value.0);
            }
        }
    }
    out
}

fn placeholders(name: &str) -> [String; 2] {
    [format!("{{{{args.{name}}}}}"), format!("{{{{ args.{name} }}}}")]
}

/// The query as it was sent. When one of its arguments is a secret, none: the resolved text would show it
/// and the written one cannot be run.
fn query(run: &dto::AnalysisRun, spec: &dto::Metric, result: &dto::MetricResult) -> Option<String> {
    let written = spec.provider.get("prometheus").and_then(|p| p.get("query")).and_then(Value::as_str);
    let uses = |arg: &dto::Arg| {
        written.is_none_or(|w| placeholders(&arg.name).iter().any(|p| w.contains(p)) || w.contains(&format!("args.{}", arg.name)))
    };
    if run.spec.args.iter().any(|a| is_secret(a) && uses(a)) {
        return None;
    }
    let resolved = result.metadata.get("ResolvedPrometheusQuery");
    if !resolved.is_empty() {
        return Some(resolved.to_owned());
    }
    Some(fill(written?, run)).filter(|q| !q.contains("{{"))
}

// ── thresholds ──────────────────────────────────────────────────────────────────────────────────

/// Two-character operators first, or `>=` would be read as `>`.
const OPERATORS: [(&str, &str); 6] = [(">=", "<="), ("<=", ">="), ("==", "=="), ("!=", "!="), (">", "<"), ("<", ">")];

/// What a comparison may be about; the helpers change no number.
const SUBJECTS: [&str; 6] = ["result", "result[0]", "asFloat(result)", "asFloat(result[0])", "asInt(result)", "asInt(result[0])"];

/// Parts of a condition that only guard against absent or odd data.
const GUARDS: [&str; 4] = ["isNaN(", "isInf(", "isNil(", "len("];

/// The one simple comparison of a condition, guards aside; `None` for anything else.
pub fn threshold(condition: &str) -> Option<Threshold> {
    let whole = strip(condition);
    let terms: Vec<&str> = whole.split("||").flat_map(|t| t.split("&&")).map(strip).collect();
    let mut plain = terms.into_iter().filter(|t| !t.is_empty() && !GUARDS.iter().any(|g| t.contains(g)) && !t.ends_with("nil"));
    let only = plain.next()?;
    if plain.next().is_some() {
        return None;
    }
    let (at, (op, mirrored)) = OPERATORS.iter().find_map(|o| Some((only.find(o.0)?, *o)))?;
    let (left, right) = (only[..at].trim(), only[at + op.len()..].trim());
    let (number, op) = if SUBJECTS.contains(&left) { (right, op) } else { (left, mirrored) };
    let subject = if SUBJECTS.contains(&left) { left } else { right };
    let limit: f64 = number.parse().ok().filter(|n: &f64| n.is_finite())?;
    SUBJECTS.contains(&subject).then(|| Threshold { op: op.into(), limit })
}

/// Without blanks and one pair of parentheses around the whole.
fn strip(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix('(').and_then(|t| t.strip_suffix(')'));
    match inner {
        Some(inner) if !inner.contains(['(', ')']) => inner.trim(),
        _ => text,
    }
}

/// A failure condition tells what must not hold.
fn opposite(t: Threshold) -> Option<Threshold> {
    let op = match t.op.as_str() {
        ">=" => "<",
        "<=" => ">",
        ">" => "<=",
        "<" => ">=",
        _ => return None,
    };
    Some(Threshold { op: op.into(), ..t })
}

// ── experiments ─────────────────────────────────────────────────────────────────────────────────

/// Experiments of the Rollout, the current one first.
pub fn experiments(f: &Facts<'_>) -> Vec<Experiment> {
    let now = current_experiment(f);
    let mut found: Vec<(Option<Time>, Experiment)> =
        f.experiments.iter().map(|(o, e)| (o.meta.created, experiment(e, now == Some(&*o.meta.uid)))).collect();
    found.sort_by(|(a_at, a), (b_at, b)| b.current.cmp(&a.current).then(b_at.cmp(a_at)).then(a.name.cmp(&b.name)));
    found.into_iter().map(|(_, e)| e).collect()
}

fn experiment(e: &dto::Experiment, current: bool) -> Experiment {
    let ready = |name: &str| e.status.template_statuses.iter().find(|t| t.name == name).map_or(0, |t| t.ready_replicas.count());
    Experiment {
        name: (&e.metadata.name).into(),
        phase: AnalysisPhase::parse(&e.status.phase),
        message: (&e.status.message).into(),
        templates: e.spec.templates.iter().map(|t| ((&t.name).into(), ready(&t.name), t.replicas.map_or(1, dto::Int::count))).collect(),
        current,
    }
}

/// Uid of the one the status names. The name blinks while an inconclusive experiment is started again and
/// again; then it is the newest of this version.
fn current_experiment<'f>(f: &'f Facts<'_>) -> Option<&'f str> {
    let named = &f.ro.status.canary.current_experiment;
    let mut all = f.experiments.iter();
    let found = if named.is_empty() {
        let of_current = |(_, e): &&(&Object, dto::Experiment)| f.in_flight() && e.metadata.label(HASH_LABEL) == f.current();
        all.filter(of_current).max_by_key(|(o, _)| (o.meta.created, &o.meta.name))
    } else {
        all.find(|(o, _)| o.meta.name == named.as_str())
    };
    found.map(|(o, _)| &*o.meta.uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_conditions_become_a_line() {
        let cases = [
            ("result[0] >= 0.95", Some((">=", 0.95))),
            ("result < 0.5", Some(("<", 0.5))),
            ("asFloat(result) <= 1e3", Some(("<=", 1000.0))),
            ("isNaN(result[0]) || result[0] >= 0.95", Some((">=", 0.95))),
            ("len(result) == 0 || (result[0] < 0.05)", Some(("<", 0.05))),
            ("0.95 <= result[0]", Some((">=", 0.95))),
            ("result != nil && result > 3", Some((">", 3.0))),
            ("result[0] > 1 && result[0] < 5", None),
            ("result[0] > result[1]", None),
            ("result.ok == true", None),
            ("", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(threshold(text).map(|t| (t.op.to_string(), t.limit)), wanted.map(|(op, n): (&str, f64)| (op.into(), n)), "{text}");
        }
    }
}
