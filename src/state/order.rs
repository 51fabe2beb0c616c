//! The fleet's order: who needs a human comes first.

use std::cmp::Reverse;

use super::{Finished, Known, Screen, State};
use crate::{
    model::{Phase, Rollout, Text, Time, WaitFor},
    verdict::Advice,
};

/// For so many minutes a release that came to its end keeps its row among those that move.
const FINISHED_STAYS: i64 = 10;

/// Seconds in which a pod is usually ready, or has made some progress.
const PODS_NEED: i64 = 60;

/// Sorts and filters the fleet, and keeps the selection on its rollout.
pub fn sort(state: &mut State, now: Time) {
    let open = match &state.view.screen {
        Screen::Rollout(uid) => Some(uid.clone()),
        Screen::Fleet => None,
    };
    let filter = &state.view.filter;
    let unfold = state.view.steady || !filter.is_empty() || !state.rollouts.values().any(|known| is_shown(known));
    let mut rows: Vec<(&Text, &Known)> = state
        .rollouts
        .iter()
        .map(|(uid, known)| (uid, &**known))
        .filter(|(uid, k)| k.deleted.is_none() || open.as_ref() == Some(*uid))
        .filter(|(uid, k)| unfold || is_shown(k) || state.view.selected_uid.as_ref() == Some(*uid))
        .filter(|(_, k)| filter.matches(&k.rollout, &k.haystack))
        .collect();
    rows.sort_by_cached_key(|(_, known)| rank(known, now));
    state.order = rows.into_iter().map(|(uid, _)| uid.clone()).collect();
    keep_selection(state);
}

pub fn moves(rollout: &Rollout) -> bool {
    rollout.phase != Phase::Healthy
}

/// Whether it has a row while the steady ones are folded.
fn is_shown(known: &Known) -> bool {
    moves(&known.rollout) || known.finished.is_some()
}

/// Whether a release came to its end so long ago that it is folded. One that fails more than the version before stays longer.
pub fn is_past(finished: &Finished, now: Time) -> bool {
    let stays = if finished.errors.is_some() { 6 * FINISHED_STAYS } else { FINISHED_STAYS };
    (now - finished.at).num_minutes() >= stays
}

/// Whether pods are missing that have made no progress for a minute, or for half of the time they are given.
pub fn stalls(rollout: &Rollout, now: Time) -> bool {
    let missing = rollout.new_side().is_some_and(|new| new.ready < new.desired);
    let wait = rollout.wait.as_ref().filter(|wait| missing && rollout.phase == Phase::Progressing && wait.who == WaitFor::Pods);
    let Some(since) = wait.and_then(|wait| wait.since) else { return false };
    let given = rollout.next.at.map_or(i64::MAX, |end| (end - since).num_seconds());
    (now - since).num_seconds() >= PODS_NEED.min(given / 2)
}

/// Verdict says abort, or it fails since it was released; then it says hold; then waits for a human (longest first), then failed or without progress,
/// then moving, then just finished, then steady.
fn rank(known: &Known, now: Time) -> (u8, u8, bool, Reverse<i64>, Text) {
    let r = &known.rollout;
    let waited = r.wait.as_ref().and_then(|w| w.since).map_or(0, |since| (now - since).num_seconds());
    let advised = match known.verdict.is {
        Advice::Abort => 0,
        _ if known.relapsed() => 0,
        // Nobody's fault if nothing is heard: it would hold all of them.
        Advice::Hold if !known.verdict.stale => 1,
        _ => 2,
    };
    let urgency = if known.stalled { Phase::Stuck.urgency() } else { r.phase.urgency() };
    (advised, urgency, known.finished.is_none(), Reverse(waited), r.id.path().into())
}

fn keep_selection(state: &mut State) {
    let followed = state.view.selected_uid.as_ref().and_then(|uid| state.order.iter().position(|o| o == uid));
    let last = state.order.len().saturating_sub(1);
    state.view.selected = followed.unwrap_or(state.view.selected).min(last);
}
