//! The sides of a release: from ReplicaSets when they are at hand, from the Rollout's counts alone otherwise.

use super::{
    dto,
    facts::{Facts, Set},
    status::{Word, word},
};
use crate::engine::workload::pods;
use crate::model::{Role, Text, Track, Traffic};

/// All sides, the new one first, then the old one, then what is left of earlier ones.
pub fn tracks(f: &Facts<'_>) -> Vec<Track> {
    let hashes = hashes(f);
    let mut tracks: Vec<Track> = hashes.iter().map(|hash| track(f, hash)).collect();
    share_out(f, &hashes, &mut tracks);
    tracks
}

/// Hashes worth a line: the two in play always, older ones while they have pods.
fn hashes(f: &Facts<'_>) -> Vec<String> {
    let mut hashes: Vec<String> = Vec::new();
    let in_play = [f.current(), f.stable(), f.active()];
    let left = f.sets.iter().filter(|s| s.wanted() > 0 || s.dto.status.replicas.0 > 0).map(|s| s.hash.as_str());
    for hash in in_play.into_iter().chain(left) {
        if !hash.is_empty() && !hashes.iter().any(|h| h == hash) {
            hashes.push(hash.to_owned());
        }
    }
    if hashes.is_empty() {
        // Never reconciled, or refused: there is still a version somebody asked for.
        hashes.push(String::new());
    }
    hashes
}

fn track(f: &Facts<'_>, hash: &str) -> Track {
    let set = f.set(hash);
    let (desired, current, ready, available) = set.map_or_else(|| told_counts(f, hash), set_counts);
    Track {
        roles: roles(f, hash),
        is_new: f.in_flight() && hash == f.current(),
        revision: revision(f, hash, set),
        hash: hash.into(),
        images: images(f, hash, set),
        desired,
        current,
        ready,
        available,
        traffic: Traffic::default(),
        scale_down_at: set.and_then(Set::deadline),
        created: set.and_then(|s| s.object.meta.created),
        pods: set.map(|s| pods::pods(f.objects, &s.object.meta.uid)).unwrap_or_default(),
    }
}

/// Stable wins over canary; active wins over preview, and both may be stable at once.
fn roles(f: &Facts<'_>, hash: &str) -> Vec<Role> {
    let only = hash.is_empty() || f.stable().is_empty() && hash == f.current();
    let stable = only || hash == f.stable();
    let new = hash == f.current();
    if f.is_blue_green() {
        let active = hash == f.active() && !hash.is_empty();
        let preview = new && !active && !stable;
        return roles_of(&[(active, Role::Active), (stable, Role::Stable), (preview, Role::Preview)]);
    }
    roles_of(&[(stable, Role::Stable), (new && !stable, Role::Canary)])
}

fn roles_of(table: &[(bool, Role)]) -> Vec<Role> {
    let found: Vec<Role> = table.iter().filter(|(holds, _)| *holds).map(|(_, r)| *r).collect();
    if found.is_empty() { vec![Role::Old] } else { found }
}

fn revision(f: &Facts<'_>, hash: &str, set: Option<&Set<'_>>) -> Option<Text> {
    let of_root = f.ro.metadata.annotation(super::facts::REVISION);
    match set {
        Some(set) if set.revision > 0 => Some(set.revision.to_string().into()),
        None if hash == f.current() && !of_root.is_empty() => Some(of_root.into()),
        _ => None,
    }
}

/// Images of the side's own ReplicaSet; of the wanted template only for the wanted hash, once it was observed.
fn images(f: &Facts<'_>, hash: &str, set: Option<&Set<'_>>) -> Vec<Text> {
    let list = |t: &dto::Template| t.spec.containers.iter().map(|c| Text::from(&c.image)).collect();
    match set {
        Some(set) => list(&set.dto.spec.template),
        None if hash != f.current() || word(f).unobserved => Vec::new(),
        None if f.ro.spec.workload_ref.is_none() => list(&f.ro.spec.template),
        None => f.wanted_template().and_then(|t| serde_json::from_value(t).ok()).as_ref().map(list).unwrap_or_default(),
    }
}

type Counts = (u32, u32, u32, u32);

/// Ready and wanted pods of the wanted version; from the Rollout's own counts while its ReplicaSets are not at hand.
pub fn ready_of_new(f: &Facts<'_>) -> (u32, u32) {
    let (wanted, _, ready, _) = match f.set(f.current()) {
        Some(set) => set_counts(set),
        None if f.sets.is_empty() && f.in_flight() => told_counts(f, f.current()),
        None => Default::default(),
    };
    (ready, wanted)
}

fn set_counts(set: &Set<'_>) -> Counts {
    let s = &set.dto.status;
    (set.wanted(), s.replicas.count(), s.ready_replicas.count(), s.available_replicas.count())
}

/// What the Rollout's own counts say about one side. Where they are sums over sides, the new side is
/// assumed to own the pods that are not ready: too dark a picture is checked, too bright a one believed.
fn told_counts(f: &Facts<'_>, hash: &str) -> Counts {
    let s = &f.ro.status;
    let (all, new) = (s.replicas.count(), s.updated_replicas.count());
    let others = all.saturating_sub(new);
    if f.is_blue_green() {
        return blue_green_counts(f, hash, others);
    }
    let is_new = hash == f.current();
    if !f.in_flight() {
        let of_new = |sum: u32| sum.saturating_sub(others).min(new);
        return if is_new || hash.is_empty() {
            (f.replicas(), new, of_new(s.ready_replicas.count()), of_new(s.available_replicas.count()))
        } else {
            (0, 0, 0, 0)
        };
    }
    let split = |sum: u32| {
        let new_part = sum.saturating_sub(others).min(new);
        if is_new { new_part } else { sum.saturating_sub(new_part).min(others) }
    };
    match (is_new, hash == f.stable()) {
        (true, _) => (new, new, split(s.ready_replicas.count()), split(s.available_replicas.count())),
        (_, true) => (others, others, split(s.ready_replicas.count()), split(s.available_replicas.count())),
        _ => (0, 0, 0, 0),
    }
}

/// Blue-green: ready and available count only the side behind the active Service.
fn blue_green_counts(f: &Facts<'_>, hash: &str, others: u32) -> Counts {
    let s = &f.ro.status;
    let new = s.updated_replicas.count();
    let is_new = hash == f.current();
    let current = if is_new { new } else { others };
    if hash == f.active() || f.active().is_empty() {
        return (f.replicas(), current, s.ready_replicas.count().min(current), s.available_replicas.count().min(current));
    }
    // The other side: the controller pauses only once the preview is complete; an old side was complete when it served.
    let complete = !is_new || !s.pause_conditions.is_empty();
    let ready = if complete { current } else { 0 };
    let wanted = f.blue_green().and_then(|b| b.preview_replica_count).map_or(f.replicas(), dto::Int::count);
    let desired = match (is_new, s.abort) {
        (true, true) => current,
        (true, false) => wanted,
        (false, _) if hash == f.stable() => f.replicas(),
        _ => current,
    };
    (desired, current, ready, ready)
}

// ── traffic ─────────────────────────────────────────────────────────────────────────────────────

/// Sets the shares so that each of the three numbers, where known, sums to one over all sides.
fn share_out(f: &Facts<'_>, hashes: &[String], tracks: &mut [Track]) {
    // Without a side that could hold all users nobody's share is known.
    let known = f.in_flight() || hashes.iter().any(|h| h == sole(f));
    let applied = applied(f).filter(|_| known);
    let desired = desired(f).filter(|_| known);
    let total: f64 = tracks.iter().map(|t| f64::from(t.ready)).sum();
    for (hash, track) in hashes.iter().zip(tracks) {
        let part = |new: f64| side_part(f, hash, new);
        track.traffic.desired = desired.map(part);
        if let Some((share, by)) = &applied {
            track.traffic.applied = Some(part(*share));
            track.traffic.applied_by = by.clone();
        }
        // Preview pods stand behind another Service, so blue-green has no such share.
        track.traffic.replica_share = (total > 0.0 && !f.is_blue_green()).then(|| f64::from(track.ready) / total);
    }
}

/// One side's part when the new one has `new`: what is left belongs to the stable side.
/// With nothing in flight all belongs to the only version, whatever the weights read (0 and 100 with one hash).
fn side_part(f: &Facts<'_>, hash: &str, new: f64) -> f64 {
    match f.in_flight() {
        false if hash == sole(f) => 1.0,
        false => 0.0,
        true if hash == f.current() => new,
        true if hash == f.stable() => 1.0 - new,
        true => 0.0,
    }
}

/// The only version, with nothing in flight.
fn sole<'f>(f: &'f Facts<'_>) -> &'f str {
    if f.stable().is_empty() { f.current() } else { f.stable() }
}

/// The new side's share that the plan asks for now.
fn desired(f: &Facts<'_>) -> Option<f64> {
    if !f.is_blue_green() {
        return f.canary().map(|_| f.asked_share());
    }
    let flipped = f.after_cutover() && !f.ro.status.abort;
    Some(if flipped { 1.0 } else { 0.0 })
}

/// The new side's share and who says so: the routing object before the controller.
fn applied(f: &Facts<'_>) -> Option<(f64, Text)> {
    if let Some(b) = f.blue_green() {
        let hashes = f.service_hashes();
        let of_service = hashes.get(&b.active_service).filter(|h| !h.is_empty());
        let (hash, by) = of_service.map_or((f.active(), "controller"), |h| (h.as_str(), "service"));
        let known = [f.current(), f.stable()].contains(&hash) && !hash.is_empty();
        return known.then(|| (if hash == f.current() { 1.0 } else { 0.0 }, by.into()));
    }
    let router = f.router()?;
    let by_object = f.routed_share().map(|s| (s, router.into()));
    by_object.or_else(|| f.reported_share().map(|s| (s, "controller".into())))
}

/// Whether the phase of the fleet alone was computed, without ReplicaSets.
pub fn detailed(f: &Facts<'_>) -> bool {
    !f.sets.is_empty()
}

/// For a Rollout that could not be read: the error is the detail.
pub fn unreadable(error: &str) -> Word {
    Word { phase: "Unknown".into(), message: error.into(), unobserved: false }
}
