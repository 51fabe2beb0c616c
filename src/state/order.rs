//! The fleet's order: who needs a human comes first.

use std::cmp::Reverse;

use super::{Known, Screen, State};
use crate::{
    model::{Phase, Text, Time},
    verdict::Advice,
};

/// Sorts and filters the fleet, and keeps the selection on its rollout.
pub fn sort(state: &mut State, now: Time) {
    let open = match &state.view.screen {
        Screen::Rollout(uid) => Some(uid.clone()),
        Screen::Fleet => None,
    };
    let filter = &state.view.filter;
    let unfold = state.view.steady || !filter.is_empty() || !state.rollouts.values().any(|known| moves(known));
    let mut rows: Vec<(&Text, &Known)> = state
        .rollouts
        .iter()
        .map(|(uid, known)| (uid, &**known))
        .filter(|(uid, k)| k.deleted.is_none() || open.as_ref() == Some(*uid))
        .filter(|(uid, k)| unfold || moves(k) || state.view.selected_uid.as_ref() == Some(*uid))
        .filter(|(_, k)| filter.matches(&k.rollout, &k.haystack))
        .collect();
    rows.sort_by_cached_key(|(_, known)| rank(known, now));
    state.order = rows.into_iter().map(|(uid, _)| uid.clone()).collect();
    keep_selection(state);
}

fn moves(known: &Known) -> bool {
    known.rollout.phase != Phase::Healthy
}

/// Verdict says abort, then waits for a human (longest first), then failed, then moving, then steady.
fn rank(known: &Known, now: Time) -> (bool, u8, Reverse<i64>, Text) {
    let r = &known.rollout;
    let waited = r.wait.as_ref().and_then(|w| w.since).map_or(0, |since| (now - since).num_seconds());
    (known.verdict.is != Advice::Abort, r.phase.urgency(), Reverse(waited), r.id.path().into())
}

fn keep_selection(state: &mut State) {
    let followed = state.view.selected_uid.as_ref().and_then(|uid| state.order.iter().position(|o| o == uid));
    let last = state.order.len().saturating_sub(1);
    state.view.selected = followed.unwrap_or(state.view.selected).min(last);
}
