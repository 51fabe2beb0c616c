//! What a person should know before touching a Rollout, as one table: when it holds, how loud, in which words.

use super::{
    analysis, dto,
    facts::Facts,
    status::{self, Situation, situation},
};
use crate::{
    engine::workload::draft::percent,
    model::{AnalysisPhase, Notice, Severity},
    object::kinds,
};

type Row = fn(&Facts<'_>) -> Option<(Severity, String)>;

const ROWS: &[Row] = &[
    outage,
    abort_blocked,
    abort_not_done,
    frozen,
    failed_unseen,
    experiments_without_end,
    promoting_full,
    waits_after_cutover_paused,
    disagreement,
    unverified,
    replica_failure,
    cannot_start,
    unknown_router,
    stable_too_small,
    service_elsewhere,
    restart,
    experiment_share,
];

/// All that hold, loudest first.
pub fn notices(f: &Facts<'_>) -> Vec<Notice> {
    let mut found: Vec<Notice> =
        ROWS.iter().filter_map(|row| row(f)).map(|(severity, text)| Notice { severity, text: text.into() }).collect();
    found.sort_by_key(|n| std::cmp::Reverse(n.severity));
    found
}

fn danger(text: impl Into<String>) -> Option<(Severity, String)> {
    Some((Severity::Danger, text.into()))
}

fn warning(text: impl Into<String>) -> Option<(Severity, String)> {
    Some((Severity::Warning, text.into()))
}

fn outage(f: &Facts<'_>) -> Option<(Severity, String)> {
    let service = &f.blue_green()?.active_service;
    let gone = f.set(f.active()).is_some_and(|s| s.wanted() == 0);
    let why = if gone { "its pods were scaled to 0" } else { "none of its pods is ready" };
    status::active_is_empty(f).then(|| (Severity::Danger, format!("outage: active Service {service} has no endpoints, {why}")))
}

fn abort_blocked(f: &Facts<'_>) -> Option<(Severity, String)> {
    if situation(f) != Situation::AbortBlocked {
        return None;
    }
    danger("says aborted, but the active Service is not back on the stable version and will not go back: undo to the stable version")
}

fn abort_not_done(f: &Facts<'_>) -> Option<(Severity, String)> {
    if !status::abort_not_done(f) {
        return None;
    }
    let share = percent(f.exposed_share());
    if f.ro.spec.paused {
        return danger(format!(
            "says aborted, but {share} of the users are still on the new version: the manual pause keeps the abort from being carried out"
        ));
    }
    danger(format!("says aborted, but {share} of the users are still sent to the new version"))
}

/// While a canary is manually paused, a changed replica count makes every pass of the controller end early.
fn frozen(f: &Facts<'_>) -> Option<(Severity, String)> {
    let holds = f.ro.spec.paused && !f.is_blue_green() && f.in_flight() && f.scaling_pending();
    if !holds {
        return None;
    }
    danger("manually paused with a changed replica count: nothing reacts, not even automatic aborts")
}

/// The status may go on saying Running after a run has failed.
fn failed_unseen(f: &Facts<'_>) -> Option<(Severity, String)> {
    let s = &f.ro.status.canary;
    let told = [&s.current_background_analysis_run_status, &s.current_step_analysis_run_status];
    let run = told.into_iter().flatten().find(|r| matches!(r.status.as_str(), "Running" | "Pending"))?;
    let object = f.objects.named(&kinds::ANALYSIS_RUN, &f.root.meta.namespace, &run.name)?;
    let real = AnalysisPhase::parse(&object.read::<dto::AnalysisRun>().ok()?.status.phase);
    let lost = f.ro.spec.paused && matches!(real, AnalysisPhase::Failed | AnalysisPhase::Error);
    if lost { danger(format!("analysis {} {}, and the paused rollout does not react", run.name, real.name())) } else { None }
}

fn experiments_without_end(f: &Facts<'_>) -> Option<(Severity, String)> {
    if !f.has_pause("InconclusiveExperiment") || f.ro.status.abort {
        return None;
    }
    danger("the controller keeps creating Experiments (pods included) until someone aborts or skips this step")
}

fn promoting_full(f: &Facts<'_>) -> Option<(Severity, String)> {
    if !(f.ro.status.promote_full && f.in_flight()) {
        return None;
    }
    warning("full promotion in progress: steps and analyses are skipped, and a plain abort would be ignored")
}

fn waits_after_cutover_paused(f: &Facts<'_>) -> Option<(Severity, String)> {
    if !(f.after_cutover() && f.ro.spec.paused && !f.ro.status.abort) {
        return None;
    }
    warning("manually paused after the switch: an abort would not switch back, only undo would")
}

fn disagreement(f: &Facts<'_>) -> Option<(Severity, String)> {
    let (routed, reported) = (f.routed_share()?, f.reported_share()?);
    if (routed - reported).abs() < 0.005 || !f.in_flight() {
        return None;
    }
    warning(format!("{} sends {} to the canary, the controller says {}", f.router()?, percent(routed), percent(reported)))
}

fn unverified(f: &Facts<'_>) -> Option<(Severity, String)> {
    let weights = f.ro.status.canary.weights.as_ref()?;
    if weights.verified != Some(false) { None } else { warning("the router has not confirmed the weights yet") }
}

fn replica_failure(f: &Facts<'_>) -> Option<(Severity, String)> {
    let c = f.condition("ReplicaFailure").filter(|c| c.status == "True")?;
    warning(format!("pods cannot be created: {}", c.message))
}

/// Argo knows no key `gatewayAPI`; the API server drops it and the rollout goes by replica counts.
/// Not the controller's word: it goes on waiting until its deadline.
fn cannot_start(f: &Facts<'_>) -> Option<(Severity, String)> {
    let stuck = f.stuck()?;
    let new = if f.in_flight() { "new pods" } else { "pods" };
    let message = if stuck.message.is_empty() { String::new() } else { format!(": {}", stuck.message) };
    warning(format!("{new} cannot start: {}{message} (pod {})", stuck.reason, stuck.pod))
}

fn unknown_router(f: &Facts<'_>) -> Option<(Severity, String)> {
    let canary = f.canary()?;
    let empty = canary.traffic_routing.is_some() && f.router().is_none();
    if !empty {
        None
    } else {
        warning("traffic routing is asked for, but no router in it is known: pods alone decide who gets the new version")
    }
}

fn stable_too_small(f: &Facts<'_>) -> Option<(Severity, String)> {
    let dynamic = f.canary().is_some_and(|c| c.dynamic_stable_scale);
    let stable = f.set(f.stable())?;
    let small = dynamic && f.in_flight() && stable.ready() < f.replicas();
    if !small {
        None
    } else {
        warning(format!("the stable side keeps {} of {} pods: an abort goes back gradually", stable.ready(), f.replicas()))
    }
}

/// Right after a finished release weight 0/100 proves nothing: look where the stable Service points.
fn service_elsewhere(f: &Facts<'_>) -> Option<(Severity, String)> {
    let (_, stable_service) = f.services();
    let hashes = f.service_hashes();
    let hash = hashes.get(&stable_service).filter(|h| !h.is_empty())?;
    let off = !f.in_flight() && !f.stable().is_empty() && hash != f.stable();
    if !off { None } else { warning(format!("Service {stable_service} still selects {hash}, not the stable version")) }
}

fn restart(f: &Facts<'_>) -> Option<(Severity, String)> {
    let at = f.ro.spec.restart_at.0?;
    let pending = f.ro.status.restarted_at.0 != Some(at);
    pending.then(|| (Severity::Note, format!("pods created before {} are being restarted", at.format("%Y-%m-%d %H:%M:%S UTC"))))
}

fn experiment_share(f: &Facts<'_>) -> Option<(Severity, String)> {
    let weights = f.ro.status.canary.weights.as_ref()?;
    let extra: f64 = weights.additional.iter().map(|w| f.share(w.weight)).sum();
    let experiment = analysis::experiments(f).into_iter().find(|e| e.current).map(|e| e.name.to_string()).unwrap_or_default();
    (extra > 0.0).then(|| (Severity::Note, format!("experiment {experiment} takes {} of the stable side's share", percent(extra))))
}
