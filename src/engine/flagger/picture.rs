//! From a Canary to the model: phase, wait, sides, steps, analysis and what comes next.

use super::{
    dto,
    facts::{Facts, Workload},
    gates,
};
use crate::{
    engine::workload::pods,
    intent::Verb,
    model::{
        Analysis, AnalysisKind, AnalysisMetric, AnalysisPhase, Next, Phase, Pod, Role, Step, StepKind, Steps, Strategy, Text, Threshold,
        Track, Traffic, Wait, WaitFor, WayBack,
    },
    object::kinds,
};

pub fn phase(f: &Facts<'_>) -> Phase {
    match f.phase() {
        "Failed" if f.canary_serves_after_failure() => Phase::Failing,
        "Failed" => Phase::Aborted,
        "Initialized" | "Succeeded" => Phase::Healthy,
        _ if f.in_flight() && f.ca.spec.suspend => Phase::Paused,
        "Waiting" | "WaitingPromotion" => Phase::Waiting,
        "Progressing" if f.closed_gate().is_some() => Phase::Waiting,
        "Progressing" if stuck(f).is_some() => Phase::Failing,
        "" | "Initializing" | "Progressing" | "Promoting" | "Finalising" | "Terminating" | "Terminated" => Phase::Progressing,
        _ => Phase::Unknown,
    }
}

/// Flagger's own words.
pub fn detail(f: &Facts<'_>) -> Text {
    let phase = if f.phase().is_empty() { "Initializing" } else { f.phase() };
    match f.condition().map(|c| c.message.as_str()).filter(|m| !m.is_empty()) {
        Some(message) => format!("{phase}: {message}").into(),
        None => phase.into(),
    }
}

pub fn stuck(f: &Facts<'_>) -> Option<pods::Stuck> {
    pods::stuck(&pods_of(f, f.target.as_ref()?))
}

// ── wait and next ───────────────────────────────────────────────────────────────────────────────

pub fn wait(f: &Facts<'_>) -> Option<Wait> {
    let since = f.ca.status.last_transition_time.0;
    let wait = |who, reason: String| Some(Wait { who, reason: reason.into(), since, until: None });
    if !f.in_flight() {
        return None;
    }
    if f.ca.spec.suspend {
        return wait(WaitFor::Human, "suspended: no checks run, and the new version keeps its share".into());
    }
    if let Some((kind, hook)) = f.closed_gate() {
        let hook = hook.map_or_else(String::new, |h| format!(" ({})", h.name));
        return wait(WaitFor::Human, format!("gate {kind} is closed{hook}"));
    }
    match (f.phase(), f.canary_ready()) {
        ("Progressing", Some(false)) => {
            let (ready, wanted) = f.target.as_ref().map_or((0, 0), |t| (t.dto.status.available_replicas.count(), t.wanted()));
            wait(WaitFor::Pods, format!("{ready} of {wanted} new pods are available"))
        }
        ("Progressing", _) => wait(WaitFor::Analysis, format!("analysis, every {:.0} s", f.interval())),
        _ => wait(WaitFor::Controller, "the primary takes over the new version".into()),
    }
}

/// A time only while ticks write the status: at a closed gate, suspended or failing they do not.
pub fn next(f: &Facts<'_>) -> Next {
    let steps = steps(f);
    // Without events a closed traffic gate cannot be told from a pass that is about to come.
    let gate_unseen = f.events.is_empty() && f.hooks("confirm-traffic-increase").next().is_some();
    let ticking =
        !gate_unseen && f.phase() == "Progressing" && f.canary_ready() == Some(true) && f.closed_gate().is_none() && f.halt().is_none();
    #[allow(clippy::cast_possible_truncation)]
    let tick = chrono::Duration::milliseconds((f.interval() * 1000.0) as i64);
    let at = f.ca.status.last_transition_time.0.filter(|_| ticking && !f.ca.spec.suspend).and_then(|t| t.checked_add_signed(tick));
    let following = steps.current.and_then(|i| steps.items.get(i + 1));
    let what: Text = match f.phase() {
        _ if f.ca.spec.suspend => "nothing, until someone resumes".into(),
        "Waiting" => "the new version starts when the gate opens".into(),
        "WaitingPromotion" => "the primary takes the new version when the gate opens; failed checks still roll back".into(),
        "Progressing" if f.ca.spec.skip_analysis => "promote without analysis".into(),
        "Progressing" => following.map_or_else(|| "promote".into(), |s| format!("if the checks pass: {}", s.label).into()),
        "Promoting" => "traffic back to the primary".into(),
        "Finalising" => "the canary is scaled to 0".into(),
        _ => Text::default(),
    };
    Next { at, what }
}

pub fn way_back(f: &Facts<'_>) -> WayBack {
    match f.phase() {
        "Progressing" | "WaitingPromotion" => WayBack {
            action: Some(Verb::Abort),
            // A rollback waits for the next tick at most.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            seconds: Some(f.interval().min(1e6) as u32),
            until: None,
            what: "abort: traffic back to the primary at the next tick".into(),
        },
        _ => WayBack::default(),
    }
}

// ── sides ───────────────────────────────────────────────────────────────────────────────────────

pub fn tracks(f: &Facts<'_>) -> Vec<Track> {
    let status = &f.ca.status;
    let new = f.in_flight() || f.failed();
    let parked = f.target.as_ref().is_none_or(|t| t.wanted() == 0 && t.dto.status.replicas.0 <= 0);
    let mut tracks = Vec::new();
    if new || !parked {
        // While a rollout waits to begin, the status still names the version before.
        let hash = if status.last_applied_spec == status.last_promoted_spec { "" } else { &status.last_applied_spec };
        tracks.push(track(f, f.target.as_ref(), Role::Canary, new, hash));
    }
    tracks.push(track(f, f.primary.as_ref(), Role::Primary, false, &status.last_promoted_spec));
    share_out(f, &mut tracks);
    tracks
}

fn track(f: &Facts<'_>, workload: Option<&Workload<'_>>, role: Role, is_new: bool, hash: &str) -> Track {
    let count = |of: fn(&dto::DeploymentStatus) -> dto::Int| workload.map_or(0, |w| of(&w.dto.status).count());
    Track {
        roles: vec![role],
        is_new,
        revision: workload
            .map(|w| w.dto.metadata.annotation("deployment.kubernetes.io/revision"))
            .filter(|r| !r.is_empty())
            .map(Text::from),
        hash: hash.into(),
        images: workload.map(|w| w.dto.spec.template.spec.containers.iter().map(|c| Text::from(&c.image)).collect()).unwrap_or_default(),
        desired: workload.map_or(0, Workload::wanted),
        current: count(|s| s.replicas),
        ready: count(|s| s.ready_replicas),
        available: count(|s| s.available_replicas),
        traffic: Traffic::default(),
        scale_down_at: None,
        created: workload.and_then(|w| w.object.meta.created),
        pods: workload.map(|w| pods_of(f, w)).unwrap_or_default(),
    }
}

fn pods_of(f: &Facts<'_>, workload: &Workload<'_>) -> Vec<Pod> {
    f.objects.owned_by(&kinds::REPLICA_SET, &workload.object.meta.uid).flat_map(|set| pods::pods(f.objects, &set.meta.uid)).collect()
}

fn share_out(f: &Facts<'_>, tracks: &mut [Track]) {
    let applied = f.routed_share();
    let desired = desired(f);
    let part = |track: &Track, share: f64| if track.is(Role::Canary) { share } else { 1.0 - share };
    for track in tracks {
        track.traffic.desired = desired.map(|share| part(track, share));
        if let Some(share) = applied {
            track.traffic.applied = Some(part(track, share));
            track.traffic.applied_by = if f.ca.spec.provider == "kubernetes" { "service" } else { f.provider().unwrap_or("route") }.into();
        }
    }
}

/// What the analysis asks for; the status tells it in this phase only.
fn desired(f: &Facts<'_>) -> Option<f64> {
    let weighted = f.strategy() == Strategy::Canary;
    (weighted && f.phase() == "Progressing").then(|| f64::from(f.ca.status.canary_weight.count().min(100)) / 100.0)
}

// ── steps ───────────────────────────────────────────────────────────────────────────────────────

/// Most iterations listed one by one; more is a number, not a plan.
const LISTED: u32 = 100;

pub fn steps(f: &Facts<'_>) -> Steps {
    let step = |kind, label: String| Step { kind, label: label.into(), started: None, ended: None };
    let gate = |kind: &str| f.hooks(kind).next().map(|_| step(StepKind::Pause(None), format!("gate {kind}")));
    let mut items: Vec<Step> = gate("confirm-rollout").into_iter().collect();
    let first = items.len();
    items.extend(f.weights().into_iter().map(|w| step(StepKind::SetWeight(f64::from(w) / 100.0), format!("weight {w} %"))));
    let all = f.iterations();
    if f.strategy() != Strategy::Canary {
        items.extend((1..=all.min(LISTED)).map(|i| step(StepKind::Analysis, format!("iteration {i}/{all}"))));
    }
    let last = items.len();
    items.extend(gate("confirm-promotion"));
    let promote = items.len();
    items.push(step(StepKind::Flip, "promote to the primary".into()));
    let current = match f.phase() {
        "Waiting" => Some(0),
        "Progressing" => Some(first + progressed(f).min(last.saturating_sub(first + 1))),
        "WaitingPromotion" => Some(last),
        "Promoting" | "Finalising" => Some(promote),
        "Succeeded" => Some(items.len()),
        _ => None,
    };
    Steps { items, current }
}

/// How many of the weights or iterations lie behind, the one in progress not counted.
fn progressed(f: &Facts<'_>) -> usize {
    if f.strategy() != Strategy::Canary {
        return f.iterations_done().saturating_sub(1).min(LISTED) as usize;
    }
    let live = f.routed_share().unwrap_or_else(|| f64::from(f.ca.status.canary_weight.count()) / 100.0);
    f.weights().iter().filter(|w| f64::from(**w) / 100.0 <= live + 0.001).count().saturating_sub(1)
}

// ── analysis ────────────────────────────────────────────────────────────────────────────────────

pub fn analyses(f: &Facts<'_>) -> Vec<Analysis> {
    let Some(analysis) = f.analysis() else { return Vec::new() };
    let phase = match f.phase() {
        "Progressing" | "WaitingPromotion" => AnalysisPhase::Running,
        "Promoting" | "Finalising" | "Succeeded" => AnalysisPhase::Successful,
        "Failed" => AnalysisPhase::Failed,
        _ => AnalysisPhase::Pending,
    };
    vec![Analysis {
        name: "analysis".into(),
        kind: AnalysisKind::Background,
        phase,
        message: message(f, phase).into(),
        started: f.condition().and_then(|c| c.last_transition_time.0).filter(|_| f.in_flight()),
        ended: f.condition().and_then(|c| c.last_transition_time.0).filter(|_| phase.ended() && !f.in_flight()),
        current: f.in_flight() || f.failed(),
        metrics: std::iter::once(checks(f, phase)).chain(analysis.metrics.iter().map(|m| metric(m, phase))).collect(),
    }]
}

fn message(f: &Facts<'_>, phase: AnalysisPhase) -> String {
    let why = match f.failed() {
        true => f.events.iter().rev().find_map(|(_, m)| m.strip_prefix("Rolling back ")).map(str::to_owned),
        false => f.halt().map(str::to_owned),
    };
    let counted = format!("{} of {} failed checks", f.ca.status.failed_checks.0, f.threshold());
    match (phase.ended(), why) {
        (true, why) => why.unwrap_or_default(),
        (false, Some(why)) => format!("{counted}: {why}"),
        (false, None) => counted,
    }
}

/// Flagger keeps one count for all checks and hooks together.
fn checks(f: &Facts<'_>, phase: AnalysisPhase) -> AnalysisMetric {
    let failed = f.ca.status.failed_checks.count();
    AnalysisMetric {
        failed,
        failure_limit: u32::try_from(f.threshold() - 1).ok(),
        condition: format!("failed checks < {}", f.threshold()).into(),
        ..blank("failed checks".into(), "flagger".into(), phase)
    }
}

fn metric(m: &dto::Metric, phase: AnalysisPhase) -> AnalysisMetric {
    let range = m.threshold_range.clone().unwrap_or_default();
    let (condition, threshold) = match (range.min, range.max) {
        (Some(min), Some(max)) => (format!("{min} ≤ {} ≤ {max}", m.name), None),
        (Some(min), None) => (format!("{} ≥ {min}", m.name), Some(Threshold { op: ">=".into(), limit: min })),
        (None, Some(max)) => (format!("{} ≤ {max}", m.name), Some(Threshold { op: "<=".into(), limit: max })),
        (None, None) => (String::new(), None),
    };
    let provider = m.template_ref.as_ref().map_or_else(|| "prometheus".into(), |t| Text::from(format!("template {}", t.name)));
    // Nothing tells how one metric alone stands.
    let phase = if phase == AnalysisPhase::Failed { AnalysisPhase::Inconclusive } else { phase };
    AnalysisMetric { condition: condition.into(), threshold, ..blank((&m.name).into(), provider, phase) }
}

fn blank(name: Text, provider: Text, phase: AnalysisPhase) -> AnalysisMetric {
    AnalysisMetric {
        name,
        provider,
        phase,
        message: Text::default(),
        successful: 0,
        failed: 0,
        inconclusive: 0,
        error: 0,
        count: None,
        failure_limit: None,
        dry_run: false,
        condition: Text::default(),
        threshold: None,
        query: None,
        measurements: Vec::new(),
    }
}

/// How the gate that holds it is opened, if one does.
pub fn gate_advice(f: &Facts<'_>) -> Option<String> {
    let (kind, hook) = f.closed_gate()?;
    Some(format!("gate {kind} is closed: {}", gates::advice(f, hook)))
}
