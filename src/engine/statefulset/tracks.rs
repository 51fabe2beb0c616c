//! The versions in play and the steps between them: by the pods' labels when they are at hand, else by the counts alone.

use super::facts::Facts;
use crate::{
    engine::workload::revision::Versioned,
    model::{PodHealth, Role, Step, StepKind, Steps, Text, Time, Track, Traffic},
};

/// The new version first, then the one before, then what is left of earlier ones.
pub fn tracks(f: &Facts<'_>) -> Vec<Track> {
    let mut tracks = if f.pods.is_empty() { by_counts(f) } else { by_pods(f) };
    let total: f64 = tracks.iter().map(|t| f64::from(t.ready)).sum();
    for track in &mut tracks {
        track.traffic.replica_share = (total > 0.0).then(|| f64::from(track.ready) / total);
    }
    tracks
}

/// A version, before its pods are counted.
fn version(f: &Facts<'_>, hash: &str, role: Role, desired: u32) -> Track {
    let kept = f.kept(hash);
    let wanted = hash == f.update_revision();
    let images = kept.map(super::Revision::images).or_else(|| wanted.then(|| template_images(f))).unwrap_or_default();
    let share = (f.replicas() > 0).then(|| f64::from(desired) / f64::from(f.replicas()));
    Track {
        roles: vec![role],
        is_new: role == Role::New,
        revision: kept.map(|r| r.number.to_string().into()),
        hash: hash.into(),
        images,
        desired,
        current: 0,
        ready: 0,
        available: 0,
        traffic: Traffic { desired: share.filter(|_| role != Role::Old), ..Traffic::default() },
        scale_down_at: None,
        created: kept.and_then(|r| r.object.meta.created),
        pods: Vec::new(),
    }
}

fn template_images(f: &Facts<'_>) -> Vec<Text> {
    f.set.spec.template.spec.containers.iter().map(|c| Text::from(&c.image)).collect()
}

/// Versions that the status names: the wanted one, and in flight the one it replaces.
fn named(f: &Facts<'_>) -> Vec<Track> {
    if !f.in_flight() {
        return vec![version(f, f.update_revision(), Role::Stable, f.replicas())];
    }
    let target = f.target();
    vec![version(f, f.update_revision(), Role::New, target), version(f, f.current_revision(), Role::Stable, f.replicas() - target)]
}

fn by_pods(f: &Facts<'_>) -> Vec<Track> {
    let mut tracks = named(f);
    for Versioned { hash, pod } in &f.pods {
        let at = tracks.iter().position(|t| *t.hash == **hash);
        let at = at.unwrap_or_else(|| {
            tracks.push(version(f, hash, Role::Old, 0));
            tracks.len() - 1
        });
        let track = &mut tracks[at];
        track.current += 1;
        track.ready += u32::from(pod.health == PodHealth::Ready);
        track.pods.push(pod.clone());
    }
    for track in &mut tracks {
        track.available = track.ready;
    }
    tracks
}

/// Ready and available are sums over versions; the new one is assumed to own the pods that are not: too dark a picture
/// is checked, too bright a one believed.
fn by_counts(f: &Facts<'_>) -> Vec<Track> {
    let mut tracks = named(f);
    let all = f.set.status.replicas.count();
    let (ready, available) = (f.ready().min(all), f.available().min(all));
    match tracks.as_mut_slice() {
        [new, old] => {
            new.current = f.updated().min(all);
            old.current = all - new.current;
            (old.ready, old.available) = (ready.min(old.current), available.min(old.current));
            (new.ready, new.available) = (ready - old.ready, available - old.available);
        }
        [only, ..] => (only.current, only.ready, only.available) = (all, ready, available),
        [] => {}
    }
    tracks
}

/// One step for each pod, or for a tenth of many, from the highest ordinal down.
pub fn steps(f: &Facts<'_>) -> Steps {
    if !f.in_flight() {
        return Steps::default();
    }
    let (stride, all) = (f.stride(), f.replicas());
    let ends: Vec<u32> = (1..=all.div_ceil(stride)).map(|i| i.saturating_mul(stride).min(all)).collect();
    let step = |end: &u32| {
        let begin = (end - 1) / stride * stride;
        let share = f64::from(*end) / f64::from(all);
        let label = f.names(all - end, all - begin);
        Step { kind: StepKind::SetWeight(share), label: label.into(), started: None, ended: None }
    };
    // Where the pods from the partition up are done, it stands at their step and not at the next one.
    let held = f.target() < all && f.updated() >= f.target();
    let done = ends.iter().filter(|end| **end <= f.updated()).count();
    let current = if held { done.checked_sub(1) } else { Some(done.min(ends.len().saturating_sub(1))) };
    Steps { items: ends.iter().map(step).collect(), current }
}

/// A revision that came back is older than the update that brought it back; then its creation says nothing.
pub fn started(f: &Facts<'_>) -> Option<Time> {
    let wanted = f.kept(f.update_revision())?.object.meta.created?;
    let newest = f.kept.iter().filter_map(|r| r.object.meta.created).max()?;
    (wanted == newest).then_some(wanted)
}

/// What an undo can go back to, the one that still serves first, then the newest.
pub fn revisions(f: &Facts<'_>) -> Vec<(Text, Text)> {
    let first = f.previous().map_or("", |r| r.hash.as_str());
    let mut others: Vec<_> = f.kept.iter().filter(|r| r.hash != f.update_revision()).collect();
    others.sort_by_key(|r| r.hash != first);
    let runs = |hash: &str| hash == f.current_revision() || f.pods_of(hash).next().is_some();
    others.into_iter().map(|r| (r.called(if runs(&r.hash) { "running" } else { "kept" }), Text::from(&r.hash))).collect()
}
