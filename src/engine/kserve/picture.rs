//! Tracks and notices of an InferenceService.

use super::{
    facts::Facts,
    status::{Situation, situation},
};
use crate::{
    engine::knative::facts::counts,
    model::{Notice, Role, Severity, Text, Track, Traffic},
};

/// The new revision first.
pub fn tracks(f: &Facts<'_>) -> Vec<Track> {
    if !f.splits() {
        return plain(f).into_iter().collect();
    }
    let mut tracks = Vec::new();
    let coming = f.created() != f.ready() && !f.created().is_empty();
    if coming {
        tracks.push(track(f, f.created(), Role::Canary));
    }
    if f.in_flight() {
        tracks.push(track(f, f.ready(), if coming { Role::Old } else { Role::Canary }));
    }
    let stable = if f.rolled_out().is_empty() { f.ready() } else { f.rolled_out() };
    if !stable.is_empty() {
        tracks.push(track(f, stable, Role::Stable));
    }
    tracks
}

/// Without Knative one Deployment has all pods, whatever their version.
fn plain(f: &Facts<'_>) -> Option<Track> {
    let (deployment, pods) = f.deployment()?;
    let (desired, current, ready) = counts(&deployment);
    let containers = &deployment.spec.template.spec.containers;
    Some(Track {
        roles: vec![Role::Stable],
        is_new: false,
        revision: None,
        hash: f.deployment_name().into(),
        images: containers.iter().map(|c| Text::from(&c.image)).collect(),
        desired,
        current,
        ready,
        available: deployment.status.available_replicas.count(),
        traffic: Traffic { desired: Some(1.0), applied: Some(1.0), applied_by: "service".into(), replica_share: None },
        scale_down_at: None,
        created: deployment.metadata.creation_timestamp.0,
        pods,
    })
}

fn track(f: &Facts<'_>, name: &str, role: Role) -> Track {
    let part = |percent: i64| f64::from(i32::try_from(percent.clamp(0, 100)).unwrap_or(0)) / 100.0;
    let wanted = f.percent().filter(|_| f.in_flight()).unwrap_or(100);
    let desired = match role {
        Role::Canary if name == f.ready() => Some(part(wanted)),
        Role::Stable if f.in_flight() => Some(part(100 - wanted.clamp(0, 100))),
        Role::Stable => Some(1.0),
        _ => None,
    };
    let (pods_wanted, current, ready, pods) = f.pods(name);
    let known = f.revision(name);
    Track {
        roles: vec![role],
        is_new: role == Role::Canary,
        revision: None,
        hash: name.into(),
        images: known.iter().flat_map(|r| &r.images).map(Text::from).collect(),
        desired: pods_wanted,
        current,
        ready,
        available: ready,
        traffic: Traffic { desired, applied: Some(part(f.share(name))), applied_by: "knative".into(), replica_share: None },
        scale_down_at: None,
        created: known.and_then(|r| r.created),
        pods,
    }
}

type Row = fn(&Facts<'_>) -> Option<(Severity, String)>;

const ROWS: &[Row] = &[failed, sick, copies, no_split, held];

/// All that hold, loudest first.
pub fn notices(f: &Facts<'_>) -> Vec<Notice> {
    let mut found: Vec<Notice> =
        ROWS.iter().filter_map(|row| row(f)).map(|(severity, text)| Notice { severity, text: text.into() }).collect();
    found.sort_by_key(|n| std::cmp::Reverse(n.severity));
    found
}

fn failed(f: &Facts<'_>) -> Option<(Severity, String)> {
    let text = || format!("the model cannot be loaded, users of the revision before are not touched: {}", f.failure());
    (situation(f) == Situation::Failed).then(|| (Severity::Warning, text()))
}

fn sick(f: &Facts<'_>) -> Option<(Severity, String)> {
    let text = || format!("the model of {} fails, and {} % of the users are on it: {}", f.ready(), f.share(f.ready()), f.failure());
    f.fails_users().then(|| (Severity::Danger, text()))
}

fn copies(f: &Facts<'_>) -> Option<(Severity, String)> {
    let copies = &f.isvc.status.model_status.copies;
    let (failed, total) = (copies.failed_copies.count(), copies.total_copies.count());
    (failed > 0).then(|| (Severity::Warning, format!("{failed} of {total} copies of the model failed to load")))
}

fn no_split(f: &Facts<'_>) -> Option<(Severity, String)> {
    let text = format!("deployment mode {}: a new version rolls pod by pod, canaryTrafficPercent is not looked at", f.mode());
    (!f.splits() && !f.mode().is_empty()).then_some((Severity::Note, text))
}

fn held(f: &Facts<'_>) -> Option<(Severity, String)> {
    let percent = f.percent().filter(|p| *p < 100 && situation(f) == Situation::Complete)?;
    Some((Severity::Note, format!("canaryTrafficPercent {percent}: the next revision starts as a canary")))
}
