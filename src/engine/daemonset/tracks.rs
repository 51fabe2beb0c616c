//! The versions in play: by the pods' labels when they are at hand, else by the counts alone.

use super::facts::Facts;
use crate::{
    engine::workload::revision::{Revision, Versioned},
    model::{PodHealth, Role, Text, Time, Track, Traffic},
};

/// The new version first, then the one before, then what is left of earlier ones.
pub fn tracks(f: &Facts<'_>) -> Vec<Track> {
    let mut tracks = if f.pods.is_empty() || f.current().is_none() { by_counts(f) } else { by_pods(f) };
    let total: f64 = tracks.iter().map(|t| f64::from(t.ready)).sum();
    for track in &mut tracks {
        track.traffic.replica_share = (total > 0.0).then(|| f64::from(track.ready) / total);
    }
    tracks
}

/// A version, before its pods are counted.
fn version(f: &Facts<'_>, kept: Option<&Revision<'_>>, hash: &str, role: Role, desired: u32) -> Track {
    let wanted = hash == f.hash();
    let images = kept.map(Revision::images).or_else(|| wanted.then(|| template_images(f))).unwrap_or_default();
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
        traffic: Traffic::default(),
        scale_down_at: None,
        created: kept.and_then(|r| r.object.meta.created),
        pods: Vec::new(),
    }
}

fn template_images(f: &Facts<'_>) -> Vec<Text> {
    f.set.spec.template.spec.containers.iter().map(|c| Text::from(&c.image)).collect()
}

fn by_pods(f: &Facts<'_>) -> Vec<Track> {
    let (new, old) = (f.updated(), f.nodes().saturating_sub(f.updated()));
    let mut tracks = Vec::new();
    if f.in_flight() {
        tracks.push(version(f, f.current(), f.hash(), Role::New, new));
        tracks.extend(f.previous().map(|r| version(f, Some(r), &r.hash, Role::Stable, old)));
    } else {
        tracks.push(version(f, f.current(), f.hash(), Role::Stable, f.nodes()));
    }
    for Versioned { hash, pod } in &f.pods {
        let at = tracks.iter().position(|t| *t.hash == **hash).unwrap_or_else(|| {
            tracks.push(version(f, f.kept(hash), hash, Role::Old, 0));
            tracks.len() - 1
        });
        let track = &mut tracks[at];
        track.current += 1;
        track.ready += u32::from(pod.health == PodHealth::Ready);
        track.available = track.ready;
        track.pods.push(pod.clone());
    }
    tracks
}

/// Ready and available are sums over versions; the new one is assumed to own the pods that are not: too dark a picture
/// is checked, too bright a one believed.
fn by_counts(f: &Facts<'_>) -> Vec<Track> {
    let all = f.set.status.current_number_scheduled.count();
    let (ready, available) = (f.ready().min(all), f.available().min(all));
    if !f.in_flight() {
        let mut only = version(f, f.current(), f.hash(), Role::Stable, f.nodes());
        (only.current, only.ready, only.available) = (all, ready, available);
        return vec![only];
    }
    let updated = f.updated().min(all);
    let mut new = version(f, f.current(), f.hash(), Role::New, f.updated());
    // Which version the other nodes have stands in their revision only.
    let mut old = Track { images: Vec::new(), ..version(f, None, "", Role::Stable, f.nodes() - f.updated()) };
    old.current = all - updated;
    (old.ready, old.available) = (ready.min(old.current), available.min(old.current));
    (new.current, new.ready, new.available) = (updated, ready - old.ready, available - old.available);
    vec![new, old]
}

/// A revision that came back is older than the update that brought it back; then its creation says nothing.
pub fn started(f: &Facts<'_>) -> Option<Time> {
    let wanted = f.current()?.object.meta.created?;
    let newest = f.kept.iter().filter_map(|r| r.object.meta.created).max()?;
    (wanted == newest).then_some(wanted)
}

/// What an undo can go back to, the one that still serves first, then the newest.
pub fn revisions(f: &Facts<'_>) -> Vec<(Text, Text)> {
    let first = f.previous().map_or("", |r| r.hash.as_str());
    let mut others: Vec<_> = f.others().collect();
    others.sort_by_key(|r| r.hash != first);
    let runs = |hash: &str| f.pods.iter().any(|p| p.hash == hash);
    others.into_iter().map(|r| (r.called(if runs(&r.hash) { "running" } else { "kept" }), Text::from(&r.hash))).collect()
}
