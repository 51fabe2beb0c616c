//! Tracks and notices of a Knative Service.

use super::{
    facts::Facts,
    status::{Situation, situation},
};
use crate::{
    engine::workload::pods::reason,
    model::{Notice, PodHealth, Role, Severity, Text, Track, Traffic},
};

/// The new revision first, then the others with users, the most first.
pub fn tracks(f: &Facts<'_>) -> Vec<Track> {
    let live = f.live();
    let settled = matches!(situation(f), Situation::Complete) || live.len() < 2 && f.share(f.latest()) == 100;
    let coming = f.created() != f.latest() && !f.created().is_empty();
    let mut names: Vec<&str> = live.keys().copied().filter(|n| *n != f.latest()).collect();
    names.sort_by_key(|n| std::cmp::Reverse(live.get(n).copied()));
    let mut tracks = Vec::new();
    if coming {
        tracks.push(track(f, f.created(), Role::Canary));
    }
    if !f.latest().is_empty() {
        tracks.push(track(f, f.latest(), if settled || coming { Role::Stable } else { Role::Canary }));
    }
    let mut stable = settled || coming;
    for name in names {
        let role = if stable || f.share(name) == 0 { Role::Old } else { Role::Stable };
        stable |= role == Role::Stable;
        tracks.push(track(f, name, role));
    }
    tracks
}

fn track(f: &Facts<'_>, name: &str, role: Role) -> Track {
    let (desired, current, ready, pods) = f.pods(name);
    let percent = |n: Option<i64>| n.map(|n| f64::from(i32::try_from(n).unwrap_or(0)) / 100.0);
    let known = f.revision(name);
    let newest = name == f.created();
    let images: Vec<Text> = match known {
        Some(revision) => revision.images.iter().map(Text::from).collect(),
        None if newest => f.svc.spec.template.spec.containers.iter().map(|c| Text::from(&c.image)).collect(),
        None => Vec::new(),
    };
    Track {
        roles: vec![role],
        is_new: role == Role::Canary,
        revision: None,
        hash: name.into(),
        images,
        desired,
        current,
        ready,
        available: ready,
        traffic: Traffic {
            desired: percent(Some(f.wanted().get(name).copied().unwrap_or(0))),
            applied: percent(Some(f.share(name))),
            applied_by: "knative".into(),
            replica_share: None,
        },
        scale_down_at: None,
        created: known.and_then(|r| r.created),
        pods,
    }
}

type Row = fn(&Facts<'_>) -> Option<(Severity, String)>;

const ROWS: &[Row] = &[failed, broken, pods_fail, sum, pinned, gradual];

/// All that hold, loudest first.
pub fn notices(f: &Facts<'_>) -> Vec<Notice> {
    let mut found: Vec<Notice> =
        ROWS.iter().filter_map(|row| row(f)).map(|(severity, text)| Notice { severity, text: text.into() }).collect();
    found.sort_by_key(|n| std::cmp::Reverse(n.severity));
    found
}

fn failed(f: &Facts<'_>) -> Option<(Severity, String)> {
    let c = f.failed("ConfigurationsReady").filter(|_| situation(f) == Situation::Failed)?;
    Some((Severity::Warning, format!("{} does not get ready, users never met it: {}", f.created(), c.message)))
}

fn broken(f: &Facts<'_>) -> Option<(Severity, String)> {
    let c = f.failed("RoutesReady")?;
    Some((Severity::Warning, format!("the route is not ready: {}", c.message)))
}

fn pods_fail(f: &Facts<'_>) -> Option<(Severity, String)> {
    let (.., pods) = f.pods(f.created());
    let pod = pods.iter().find(|p| p.health == PodHealth::Failing)?;
    Some((Severity::Warning, format!("pod {} of {} fails: {}", pod.name, f.created(), reason(pod))))
}

/// Knative's own webhook refuses it; where that is not installed, nobody does.
fn sum(f: &Facts<'_>) -> Option<(Severity, String)> {
    let sum: i64 = f.wanted().values().sum();
    (sum != 100).then(|| (Severity::Warning, format!("the weights asked for add up to {sum} %, not to 100 %")))
}

fn pinned(f: &Facts<'_>) -> Option<(Severity, String)> {
    let holds = !f.follows() && situation(f) == Situation::Complete;
    holds.then(|| (Severity::Note, "users are pinned by name: the next revision gets none until someone promotes it".to_owned()))
}

fn gradual(f: &Facts<'_>) -> Option<(Severity, String)> {
    let duration = f.gradual();
    (!duration.is_empty() && f.follows()).then(|| (Severity::Note, format!("users move to the latest revision over {duration}")))
}
