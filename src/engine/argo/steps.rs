//! The plan of a release in the reader's words: Argo's steps, or the stages a blue-green goes through.

use std::time::Duration;

use super::{
    dto,
    facts::{Facts, HASH_LABEL},
    status::{Situation, situation},
};
use crate::{
    engine::workload::draft::percent,
    model::{Step, StepKind, Steps, Time},
    object::kinds,
};

/// Steps with "you are here". After an abort nothing is in progress: a retry begins at the first step.
pub fn steps(f: &Facts<'_>) -> Steps {
    if f.is_blue_green() { stages(f) } else { canary_steps(f) }
}

fn canary_steps(f: &Facts<'_>) -> Steps {
    let index = f.step_index();
    let mut items: Vec<Step> = f.steps().iter().map(|s| step(f, s)).collect();
    for (i, item) in items.iter_mut().enumerate() {
        (item.started, item.ended) = run_times(f, i);
    }
    let aborted = matches!(situation(f), Situation::Aborted | Situation::AbortPending);
    if let Some(item) = index.and_then(|i| items.get_mut(i)) {
        item.started = item.started.or_else(|| f.ro.status.pause_conditions.first()?.start_time.0);
    }
    Steps { items, current: index.filter(|_| !aborted) }
}

fn step(f: &Facts<'_>, step: &dto::Step) -> Step {
    let (kind, label) = describe(f, step);
    Step { kind, label: label.into(), started: None, ended: None }
}

fn describe(f: &Facts<'_>, step: &dto::Step) -> (StepKind, String) {
    let named = |kind: StepKind, word: &str, name: &str| (kind, format!("{word} {name}").trim_end().to_owned());
    if let Some(weight) = step.set_weight {
        return (StepKind::SetWeight(f.share(weight)), format!("weight {}", percent(f.share(weight))));
    }
    if let Some(pause) = &step.pause {
        let seconds = pause.duration.as_ref().and_then(|d| seconds(&d.0));
        let text = pause.duration.as_ref().map_or("", |d| &d.0);
        let spelled = seconds.map_or_else(|| text.to_owned(), short);
        return named(StepKind::Pause(seconds.map(to_duration)), "pause", &spelled);
    }
    if let Some(scale) = &step.set_canary_scale {
        return (StepKind::SetCanaryScale, format!("canary scale {}", scale_words(scale)));
    }
    if let Some(analysis) = &step.analysis {
        return named(StepKind::Analysis, "analysis", &template_names(&analysis.templates));
    }
    if let Some(experiment) = &step.experiment {
        let names: Vec<&str> = experiment.templates.iter().map(|t| t.name.as_str()).collect();
        return named(StepKind::Experiment, "experiment", &names.join(", "));
    }
    let others = [
        (&step.set_header_route, StepKind::HeaderRoute, "header route"),
        (&step.set_mirror_route, StepKind::MirrorRoute, "mirror route"),
        (&step.plugin, StepKind::Plugin, "plugin"),
    ];
    let found = others.into_iter().find_map(|(part, kind, word)| part.as_ref().map(|p| named(kind, word, &p.name)));
    found.unwrap_or((StepKind::Plugin, "unknown step".into()))
}

fn scale_words(scale: &dto::CanaryScale) -> String {
    match (scale.replicas, scale.weight) {
        (Some(n), _) => format!("{} pods", n.count()),
        (None, Some(w)) => percent(f64::from(w.count()) / 100.0),
        (None, None) if scale.match_traffic_weight => "as the weight".into(),
        (None, None) => "unset".into(),
    }
}

pub fn template_names(templates: &[dto::TemplateRef]) -> String {
    let names: Vec<&str> = templates.iter().map(|t| if t.template_name.is_empty() { t.name.as_str() } else { &t.template_name }).collect();
    names.join(", ")
}

/// Begin and end of the AnalysisRun of a step, from its label `step-index`.
fn run_times(f: &Facts<'_>, index: usize) -> (Option<Time>, Option<Time>) {
    let wanted = index.to_string();
    let of_step = |run: &&dto::AnalysisRun| run.metadata.label("step-index") == wanted && run.metadata.label(HASH_LABEL) == f.current();
    let last = f.runs.iter().filter(of_step).max_by_key(|run| (run.status.started_at.0, &run.metadata.name));
    last.map_or((None, None), |run| (run.status.started_at.0, run.status.completed_at.0))
}

// ── durations ───────────────────────────────────────────────────────────────────────────────────

/// How long the pause step in progress lasts, seconds; `None` without end, or when it is no pause step.
pub fn pause_seconds(f: &Facts<'_>) -> Option<f64> {
    let pause = f.steps().get(f.step_index()?)?.pause.as_ref()?;
    seconds(&pause.duration.as_ref()?.0)
}

/// After how many seconds a paused blue-green goes on by itself; never, when auto promotion is off.
pub fn auto_promotion_seconds(f: &Facts<'_>) -> Option<f64> {
    let blue_green = f.blue_green()?;
    let after = blue_green.auto_promotion_seconds.0;
    #[allow(clippy::cast_precision_loss)]
    (blue_green.auto_promotion_enabled != Some(false) && after > 0).then_some(after as f64)
}

/// A bare number is seconds, anything else a Go duration (`1h30m`, `1.5s`, `300ms`).
pub fn seconds(text: &str) -> Option<f64> {
    if let Ok(n) = text.trim().parse::<f64>() {
        return (n.is_finite() && n >= 0.0).then_some(n);
    }
    let mut rest = text.trim();
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|n| *n > 0)?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total += number.parse::<f64>().ok()? * factor;
        rest = tail;
    }
    (total.is_finite() && !text.trim().is_empty()).then_some(total)
}

const UNITS: [(&str, f64); 7] = [("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("µs", 1e-6), ("ns", 1e-9)];

/// A year is longer than any pause anybody meant; it also keeps absurd numbers out of date arithmetic.
const LONGEST_PAUSE: f64 = 366.0 * 86_400.0;

pub fn to_duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, LONGEST_PAUSE)).unwrap_or_default()
}

/// A moment so many seconds later, if the calendar has it.
pub fn after(start: Time, seconds: f64) -> Option<Time> {
    start.checked_add_signed(chrono::TimeDelta::from_std(to_duration(seconds)).ok()?)
}

/// `10m`, `1h30m`, `45s`.
pub fn short(seconds: f64) -> String {
    let mut left = to_duration(seconds).as_secs();
    let mut out = String::new();
    for (unit, size) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        if left >= size {
            out += &format!("{}{unit}", left / size);
            left %= size;
        }
    }
    if out.is_empty() { format!("{}ms", to_duration(seconds).as_millis()) } else { out }
}

// ── blue-green ──────────────────────────────────────────────────────────────────────────────────

/// The stages of a blue-green, which Argo does not list: only those its spec asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Preview,
    PreAnalysis,
    Pause,
    Flip,
    PostAnalysis,
    ScaleDown,
}

fn stage_list(f: &Facts<'_>, b: &dto::BlueGreen) -> Vec<(Stage, Step)> {
    let line = |stage, kind, label: String| (stage, Step { kind, label: label.trim_end().into(), started: None, ended: None });
    let timer = auto_promotion_seconds(f);
    let mut list = vec![line(Stage::Preview, StepKind::Preview, "preview up".into())];
    if let Some(a) = &b.pre_promotion_analysis {
        list.push(line(Stage::PreAnalysis, StepKind::Analysis, format!("pre-promotion analysis {}", template_names(&a.templates))));
    }
    if b.auto_promotion_enabled == Some(false) {
        list.push(line(Stage::Pause, StepKind::Pause(None), "wait for a human".into()));
    } else if let Some(s) = timer {
        list.push(line(Stage::Pause, StepKind::Pause(Some(to_duration(s))), format!("auto promotion after {}", short(s))));
    }
    list.push(line(Stage::Flip, StepKind::Flip, "flip the active Service".into()));
    if let Some(a) = &b.post_promotion_analysis {
        list.push(line(Stage::PostAnalysis, StepKind::Analysis, format!("post-promotion analysis {}", template_names(&a.templates))));
    }
    let delay = b.scale_down_delay_seconds.map_or(30, dto::Int::count);
    list.push(line(Stage::ScaleDown, StepKind::ScaleDownOld, format!("scale down old after {}", short(f64::from(delay)))));
    list
}

fn stages(f: &Facts<'_>) -> Steps {
    let Some(b) = f.blue_green() else { return Steps::default() };
    let mut list = stage_list(f, b);
    let here = stage(f, b);
    let current = match here {
        Some(stage) => list.iter().position(|(s, _)| *s == stage),
        None if f.in_flight() || f.current().is_empty() => None,
        None => Some(list.len()),
    };
    for (stage, step) in &mut list {
        (step.started, step.ended) = stage_times(f, *stage);
    }
    Steps { items: list.into_iter().map(|(_, s)| s).collect(), current }
}

fn stage_times(f: &Facts<'_>, stage: Stage) -> (Option<Time>, Option<Time>) {
    let status = &f.ro.status.blue_green;
    let run = match stage {
        Stage::Pause => return (f.pause("BlueGreenPause").and_then(|p| p.start_time.0), None),
        Stage::PreAnalysis => status.pre_promotion_analysis_run_status.as_ref(),
        Stage::PostAnalysis => status.post_promotion_analysis_run_status.as_ref(),
        _ => None,
    };
    let object = run.and_then(|r| f.objects.named(&kinds::ANALYSIS_RUN, &f.root.meta.namespace, &r.name));
    let read = object.and_then(|o| o.read::<dto::AnalysisRun>().ok());
    read.map_or((None, None), |r| (r.status.started_at.0, r.status.completed_at.0))
}

/// `None` after an abort, and when all is done.
fn stage(f: &Facts<'_>, b: &dto::BlueGreen) -> Option<Stage> {
    let status = &f.ro.status.blue_green;
    let unfinished = |run: &Option<dto::RunStatus>| run.as_ref().is_none_or(|r| r.status != "Successful");
    if f.ro.status.abort {
        return None;
    }
    if !f.in_flight() {
        let old_left = f.ro.status.replicas > f.ro.status.updated_replicas && !f.stable().is_empty();
        return old_left.then_some(Stage::ScaleDown);
    }
    if f.after_cutover() {
        let post = b.post_promotion_analysis.is_some() && unfinished(&status.post_promotion_analysis_run_status);
        return Some(if post { Stage::PostAnalysis } else { Stage::Flip });
    }
    if f.has_pause("BlueGreenPause") {
        return Some(Stage::Pause);
    }
    if b.pre_promotion_analysis.is_some()
        && unfinished(&status.pre_promotion_analysis_run_status)
        && status.pre_promotion_analysis_run_status.is_some()
    {
        return Some(Stage::PreAnalysis);
    }
    let wanted = b.preview_replica_count.map_or(f.replicas(), dto::Int::count);
    let ready = f.set(f.current()).map_or(f.ro.status.updated_replicas.count(), super::facts::Set::ready);
    Some(if ready < wanted { Stage::Preview } else { Stage::Flip })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_argo_reads_them() {
        let cases = [
            ("30", Some(30.0)),
            ("10m", Some(600.0)),
            ("1h30m", Some(5400.0)),
            ("1.5s", Some(1.5)),
            ("300ms", Some(0.3)),
            ("", None),
            ("m", None),
            ("5", Some(5.0)),
            ("5 apples", None),
            ("-3", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(seconds(text), wanted, "{text:?}");
        }
        assert_eq!((short(600.0), short(5400.0), short(45.0), short(0.3)), ("10m".into(), "1h30m".into(), "45s".into(), "300ms".into()));
        assert_eq!(to_duration(1e300).as_secs_f64(), LONGEST_PAUSE);
    }
}
