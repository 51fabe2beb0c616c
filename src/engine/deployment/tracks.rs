//! The versions in play: from ReplicaSets when they are at hand, from the Deployment's counts alone otherwise.

use super::facts::{CHANGE_CAUSE, Facts, REVISION, REVISION_HISTORY, Set};
use crate::{
    engine::workload::dto::Template,
    model::{Role, Text, Time, Track, Traffic},
};

/// The new version first, then the one before, then what is left of earlier ones.
pub fn tracks(f: &Facts<'_>) -> Vec<Track> {
    let mut tracks = if f.sets.is_empty() { by_counts(f) } else { by_sets(f) };
    let total: f64 = tracks.iter().map(|t| f64::from(t.ready)).sum();
    for track in &mut tracks {
        track.traffic.replica_share = (total > 0.0).then(|| f64::from(track.ready) / total);
    }
    tracks
}

fn images(template: &Template) -> Vec<Text> {
    template.spec.containers.iter().map(|c| Text::from(&c.image)).collect()
}

fn by_sets(f: &Facts<'_>) -> Vec<Track> {
    let mut old: Vec<&Set<'_>> = f.others().filter(|s| s.lives()).collect();
    let back = f.previous().map_or("", |s| s.hash.as_str());
    old.sort_by_key(|s| s.hash != back);
    let mut tracks = Vec::new();
    if let Some(set) = f.current() {
        let role = if old.is_empty() { Role::Stable } else { Role::New };
        tracks.push(of_set(f, set, role));
    }
    tracks.extend(old.iter().enumerate().map(|(i, set)| of_set(f, set, if i == 0 { Role::Stable } else { Role::Old })));
    if tracks.is_empty() {
        return by_counts(f);
    }
    tracks
}

fn of_set(f: &Facts<'_>, set: &Set<'_>, role: Role) -> Track {
    let s = &set.dto.status;
    Track {
        roles: vec![role],
        is_new: role == Role::New,
        revision: (set.revision > 0).then(|| set.revision.to_string().into()),
        hash: set.hash.as_str().into(),
        images: images(&set.dto.spec.template),
        desired: set.wanted(),
        current: s.replicas.count(),
        ready: s.ready_replicas.count(),
        available: s.available_replicas.count(),
        traffic: Traffic::default(),
        scale_down_at: None,
        created: set.object.meta.created,
        pods: f.pods(set),
    }
}

/// Ready and available are sums over versions; the new one is assumed to own the pods that are not: too dark a picture
/// is checked, too bright a one believed.
fn by_counts(f: &Facts<'_>) -> Vec<Track> {
    let s = &f.dep.status;
    let (new, old) = (s.updated_replicas.count(), f.old_pods());
    let of_new = |sum: u32| sum.saturating_sub(old).min(new);
    let (ready, available) = (s.ready_replicas.count(), s.available_replicas.count());
    let count = |role, images, desired, current, ready, available| Track {
        roles: vec![role],
        is_new: role == Role::New,
        revision: None,
        hash: Text::default(),
        images,
        desired,
        current,
        ready,
        available,
        traffic: Traffic::default(),
        scale_down_at: None,
        created: None,
        pods: Vec::new(),
    };
    let wanted = images(&f.dep.spec.template);
    if old == 0 {
        let mut only = count(Role::Stable, wanted, f.replicas(), new, of_new(ready), of_new(available));
        only.revision = revision(f);
        return vec![only];
    }
    // Which images the old pods have stands in their ReplicaSets only.
    let stable = count(Role::Stable, Vec::new(), old, old, (ready - of_new(ready)).min(old), (available - of_new(available)).min(old));
    if f.changes_wait() {
        return vec![stable];
    }
    let mut fresh = count(Role::New, wanted, new, new, of_new(ready), of_new(available));
    fresh.revision = revision(f);
    vec![fresh, stable]
}

fn revision(f: &Facts<'_>) -> Option<Text> {
    let told = f.dep.metadata.annotation(REVISION);
    (!told.is_empty()).then(|| told.into())
}

/// A reused ReplicaSet is older than the update that brought it back; then its creation says nothing.
pub fn started(f: &Facts<'_>) -> Option<Time> {
    let set = f.current()?;
    let reused = !set.dto.metadata.annotation(REVISION_HISTORY).is_empty();
    set.object.meta.created.filter(|_| !reused)
}

/// What an undo can go back to, the one that still serves first, then the newest.
pub fn revisions(f: &Facts<'_>) -> Vec<(Text, Text)> {
    let first = f.previous().map_or("", |s| s.hash.as_str());
    let mut sets: Vec<&Set<'_>> = f.others().collect();
    sets.sort_by_key(|s| s.hash != first);
    sets.into_iter().map(|s| (called(s), Text::from(&s.hash))).collect()
}

fn called(set: &Set<'_>) -> Text {
    let short: Vec<String> =
        set.dto.spec.template.spec.containers.iter().map(|c| c.image.rsplit('/').next().unwrap_or("").to_owned()).collect();
    let cause = set.dto.metadata.annotation(CHANGE_CAUSE);
    let cause = if cause.is_empty() { String::new() } else { format!(" · {cause}") };
    let lives = if set.lives() { "running" } else { "kept" };
    format!("revision {} · {lives} · {} · {}{cause}", set.revision, short.join(", "), set.hash).into()
}
