//! Tracks, steps and notices of a Rollout.

use super::{
    dto,
    facts::Facts,
    status::{Situation, situation},
};
use crate::{
    engine::workload::draft::pods,
    model::{Notice, PodHealth, Role, Severity, Step, StepKind, Steps, Subject, Text, Track, Traffic},
};

/// The new version first.
pub fn tracks(f: &Facts<'_>) -> Vec<Track> {
    let Some((_, workload)) = &f.workload else { return Vec::new() };
    let all = f.replicas();
    let (total, ready) = (workload.status.replicas.count(), workload.status.ready_replicas.count());
    let goes_back = situation(f) == Situation::RollingBack;
    let in_flight = f.progressing() && !goes_back;
    let mut tracks = Vec::new();
    let (mut new_pods, mut new_ready) = (0, 0);
    // What goes back of a blue-green is in flight as long as it has pods.
    let still_there = |p: &dto::Progress| goes_back && f.is_blue_green() && p.canary_replicas.count() > 0;
    if let Some((p, _)) = f.status().filter(|(p, _)| in_flight || f.progressing() && still_there(p)) {
        (new_pods, new_ready) = (p.canary_replicas.count(), p.canary_ready_replicas.count());
        tracks.push(Track {
            desired: match f.step().and_then(|s| s.replicas.as_ref()) {
                _ if goes_back => 0,
                Some(r) => scaled(&r.0, all),
                None => new_pods,
            },
            current: new_pods,
            ready: new_ready,
            available: new_ready,
            images: match f.set(f.hash()).filter(|_| goes_back) {
                // The workload has the old template again.
                Some(set) => images(&set.dto.spec.template),
                None => images(&workload.spec.template),
            },
            ..track(f, if f.is_blue_green() { Role::Preview } else { Role::Canary }, f.hash())
        });
    }
    // Pods of a Deployment beside it are not among the workload's own.
    let (theirs, theirs_ready) = if f.beside() && !f.is_blue_green() { (0, 0) } else { (new_pods, new_ready) };
    let stable = Track {
        desired: if f.beside() { all } else { all.saturating_sub(new_pods) },
        current: total.saturating_sub(theirs),
        ready: ready.saturating_sub(theirs_ready),
        available: ready.saturating_sub(theirs_ready),
        ..track(f, Role::Stable, if f.progressing() { f.stable() } else { f.serving() })
    };
    let images = if in_flight || !stable.images.is_empty() { stable.images.clone() } else { images(&workload.spec.template) };
    tracks.push(Track { images, ..stable });
    let total: f64 = tracks.iter().map(|t| f64::from(t.ready)).sum();
    for t in &mut tracks {
        t.traffic = traffic(f, t.is_new);
        t.traffic.replica_share = (total > 0.0).then(|| f64::from(t.ready) / total);
    }
    tracks
}

fn track(f: &Facts<'_>, role: Role, hash: &str) -> Track {
    let set = f.set(hash);
    Track {
        roles: vec![role],
        is_new: role != Role::Stable,
        revision: None,
        hash: hash.into(),
        images: set.map(|s| images(&s.dto.spec.template)).unwrap_or_default(),
        desired: 0,
        current: 0,
        ready: 0,
        available: 0,
        traffic: Traffic::default(),
        scale_down_at: None,
        created: set.and_then(|s| s.object.meta.created),
        pods: if hash.is_empty() { Vec::new() } else { f.pods(hash) },
    }
}

fn images(template: &dto::Template) -> Vec<Text> {
    template.spec.containers.iter().map(|c| Text::from(&c.image)).collect()
}

/// A count, or a percentage of all, rounded up as the controller does.
fn scaled(text: &str, all: u32) -> u32 {
    let Some(percent) = text.strip_suffix('%') else { return text.parse().unwrap_or(0) };
    let parts = percent.parse::<u64>().unwrap_or(0).saturating_mul(u64::from(all)).div_ceil(100);
    u32::try_from(parts).unwrap_or(u32::MAX)
}

fn share(text: &str) -> Option<f64> {
    let percent: f64 = text.trim_end_matches('%').parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

/// What the controller has set on the route, by the state of the step: the step's own once that is behind it.
fn traffic(f: &Facts<'_>, is_new: bool) -> Traffic {
    let routed = f.plan().is_some_and(|p| !p.traffic_routings.is_empty());
    if !routed || !f.progressing() {
        return Traffic::default();
    }
    let of = |i: usize| f.steps().get(i).and_then(|s| s.traffic.as_ref()).and_then(|t| share(&t.0));
    let set = matches!(f.state(), "StepMetricsAnalysis" | "StepPaused" | "StepReady" | "Completed");
    let at = f.at();
    let applied = if set { at.and_then(of) } else { at.and_then(|i| i.checked_sub(1)).map_or(Some(0.0), of) };
    let side = |share: f64| if is_new { share } else { 1.0 - share };
    let (desired, applied) = match (situation(f), is_route_restored(f)) {
        // Cleaning up begins and ends with the route as it was: all users where the pods of the Service are.
        (Situation::RollingBack, true) => (Some(0.0), Some(0.0)),
        (Situation::RollingBack, false) => (Some(0.0), applied),
        (Situation::Finalising, true) => return Traffic::default(),
        _ => (at.and_then(of), applied),
    };
    Traffic { desired: desired.map(side), applied: applied.map(side), applied_by: "controller".into(), replica_share: None }
}

/// The steps of cleaning up in which the route has no weight anymore. A release that is done gives the Service back first.
fn is_route_restored(f: &Facts<'_>) -> bool {
    let step = f.status().map_or("", |(p, _)| p.finalising_step.as_str());
    let last = matches!(step, "RemoveCanaryService" | "ReleaseWorkloadControl" | "END");
    match situation(f) {
        Situation::RollingBack => last || matches!(step, "ResumeWorkload" | "RestoreStableService"),
        _ => last || step == "ResumeWorkload" && !f.is_blue_green(),
    }
}

/// `weight 20 %, 1 pod`.
pub fn called(step: &dto::Step) -> String {
    let weight = match &step.traffic {
        _ if !step.matches.is_empty() => Some("by header".to_owned()),
        Some(t) => Some(format!("weight {} %", t.0.trim_end_matches('%'))),
        None => None,
    };
    let replicas = step.replicas.as_ref().map(|r| match r.0.strip_suffix('%') {
        Some(percent) => format!("{percent} % of the pods"),
        None => r.0.parse().map_or_else(|_| r.0.clone(), pods),
    });
    let words: Vec<String> = weight.into_iter().chain(replicas).collect();
    if words.is_empty() { "a step that changes nothing".into() } else { words.join(", ") }
}

/// Counted as the controller does: each step is what it sets and the pause behind it.
pub fn steps(f: &Facts<'_>) -> Steps {
    let mut items = Vec::new();
    let mut current = None;
    for (i, step) in f.steps().iter().enumerate() {
        let here = f.progressing() && f.at() == Some(i);
        let weight = step.traffic.as_ref().or(step.replicas.as_ref()).and_then(|t| share(&t.0));
        let kind = match weight {
            _ if !step.matches.is_empty() => StepKind::HeaderRoute,
            Some(weight) if step.traffic.is_some() || step.replicas.as_ref().is_some_and(|r| r.0.ends_with('%')) => {
                StepKind::SetWeight(weight)
            }
            _ => StepKind::SetCanaryScale,
        };
        current = current.or(here.then_some(items.len()));
        let last_of_all = i + 1 == f.steps().len() && step.replicas.as_ref().is_some_and(|r| r.0 == "100%") && !f.is_blue_green();
        let pause = match step.pause.duration.and_then(|d| u64::try_from(d.0).ok()) {
            _ if last_of_all => String::new(),
            Some(seconds) => format!(", pause {seconds} s"),
            None => ", then approval".to_owned(),
        };
        items.push(item(kind, called(step) + &pause));
    }
    if f.progressing() && f.state() == "Completed" {
        current = Some(items.len());
    }
    Steps { items, current }
}

fn item(kind: StepKind, label: String) -> Step {
    Step { kind, label: label.into(), started: None, ended: None }
}

/// What splits the users.
pub fn router(f: &Facts<'_>) -> Option<Text> {
    let routing = f.plan()?.traffic_routings.first()?;
    Some(match (&routing.ingress, &routing.gateway, routing.custom_network_refs.first()) {
        (Some(ingress), ..) if ingress.class_type.is_empty() => "nginx".into(),
        (Some(ingress), ..) => ingress.class_type.as_str().into(),
        (_, Some(_), _) => "gatewayapi".into(),
        (.., Some(custom)) if custom.kind == "VirtualService" => "istio".into(),
        (.., Some(custom)) => custom.kind.as_str().into(),
        _ => return None,
    })
}

pub fn subject(f: &Facts<'_>) -> Subject {
    let Some(routing) = f.plan().and_then(|p| p.traffic_routings.first()) else { return Subject::default() };
    let one_service = f.plan().is_some_and(|p| p.disable_generate_canary_service);
    Subject {
        stable_service: Some(routing.service.as_str().into()),
        canary_service: (!one_service).then(|| format!("{}-canary", routing.service).into()),
        ingresses: routing.ingress.iter().map(|i| Text::from(&i.name)).collect(),
        ..Subject::default()
    }
}

type Row = fn(&Facts<'_>) -> Option<(Severity, String)>;

const ROWS: &[Row] = &[no_workload, failing, continuous, disabled, foreign, in_batches];

/// All that hold, loudest first.
pub fn notices(f: &Facts<'_>) -> Vec<Notice> {
    let mut found: Vec<Notice> =
        ROWS.iter().filter_map(|row| row(f)).map(|(severity, text)| Notice { severity, text: text.into() }).collect();
    found.sort_by_key(|n| std::cmp::Reverse(n.severity));
    found
}

fn no_workload(f: &Facts<'_>) -> Option<(Severity, String)> {
    let target = &f.ro.spec.workload_ref;
    let holds = situation(f) == Situation::NoWorkload;
    holds.then(|| (Severity::Warning, format!("{} {} does not exist: there is nothing to release", target.kind, target.name)))
}

fn failing(f: &Facts<'_>) -> Option<(Severity, String)> {
    let pods = f.pods(f.hash());
    let pod = pods.iter().find(|p| p.health == PodHealth::Failing).filter(|_| f.progressing())?;
    Some((Severity::Warning, format!("pod {} of the new version fails: {}", pod.name, crate::engine::workload::pods::reason(pod))))
}

/// The controller says so in a message and does nothing.
fn continuous(f: &Facts<'_>) -> Option<(Severity, String)> {
    let message = &f.ro.status.message;
    message.contains("please rollback first").then(|| (Severity::Warning, message.clone()))
}

fn disabled(f: &Facts<'_>) -> Option<(Severity, String)> {
    let text = "disabled: the workload rolls by its own strategy, without steps and without weights";
    (situation(f) == Situation::Disabled).then(|| (Severity::Note, text.to_owned()))
}

fn foreign(f: &Facts<'_>) -> Option<(Severity, String)> {
    let target = &f.ro.spec.workload_ref;
    let unknown = super::facts::kind_of(target).is_none();
    unknown.then(|| (Severity::Note, format!("a {} is not watched: its pods and images are not shown", target.kind)))
}

fn in_batches(f: &Facts<'_>) -> Option<(Severity, String)> {
    f.rolls_back_in_batches().then(|| (Severity::Note, "rollback-in-batch: going back takes all the steps again".to_owned()))
}
