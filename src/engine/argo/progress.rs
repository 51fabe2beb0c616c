//! How far a plan has come, in the cluster's own words: never from the fact that it was sent.

use super::{
    facts::Facts,
    status::{Situation, abort_not_done, situation, word},
    steps,
};
use crate::{
    engine::{Goal, Progress},
    model::Time,
};

pub fn progress(f: &Facts<'_>, goal: &Goal) -> Progress {
    match goal {
        Goal::PauseOver { hash, index, started } => unless_diverted(f, hash, || pause_over(f, *index, *started)),
        Goal::StepPast { hash, index } => unless_diverted(f, hash, || step_past(f, *index)),
        Goal::Stable(hash) => stable(f, hash),
        Goal::Paused => spec_says(f, f.ro.spec.paused),
        Goal::Resumed => spec_says(f, !f.ro.spec.paused),
        Goal::Aborted => aborted(f),
        Goal::Retried { aborted_at } => retried(f, *aborted_at),
        Goal::Template { hash, not } => template(f, hash.as_deref(), not.as_deref()),
        Goal::Restarting => restarting(f),
        Goal::Active { hash, from } => active(f, hash, from),
        // No verb of this engine asks for it.
        Goal::Analysed => Progress::Nothing,
    }
}

fn diverted(words: impl Into<String>) -> Progress {
    Progress::Diverted(words.into().into())
}

/// The goals of one version are lost when another is wanted, or when it was aborted.
fn unless_diverted(f: &Facts<'_>, hash: &str, then: impl FnOnce() -> Progress) -> Progress {
    match f.current() == hash {
        false => diverted(format!("another version is being released now: {}", f.current())),
        true if f.stable() == hash => Progress::Done,
        true if f.ro.status.abort => diverted("the update was aborted"),
        true => then(),
    }
}

fn pause_over(f: &Facts<'_>, index: Option<i64>, started: Option<Time>) -> Progress {
    let same_step = f.ro.status.current_step_index.map(|n| n.0) == index;
    let same_pause = f.ro.status.pause_conditions.iter().any(|p| p.start_time.0 == started);
    match (same_step && same_pause, situation(f)) {
        (true, _) => Progress::Nothing,
        (_, Situation::Unpausing) => Progress::Observed,
        _ => Progress::Done,
    }
}

fn step_past(f: &Facts<'_>, index: i64) -> Progress {
    let now = f.ro.status.current_step_index.map_or(0, |n| n.0);
    match (now > index, f.ro.status.controller_pause && f.ro.status.pause_conditions.is_empty()) {
        (false, _) => Progress::Nothing,
        // The index is what was written; the controller has moved once it has dropped its own mark.
        (true, true) => Progress::Observed,
        (true, false) => Progress::Done,
    }
}

fn stable(f: &Facts<'_>, hash: &str) -> Progress {
    match f.ro.status.promote_full && !f.ro.status.abort {
        _ if f.stable() == hash => Progress::Done,
        true if f.current() == hash => Progress::Observed,
        _ => unless_diverted(f, hash, || Progress::Nothing),
    }
}

/// A field of the spec counts when the controller has seen the generation that holds it.
fn spec_says(f: &Facts<'_>, holds: bool) -> Progress {
    match (holds, situation(f)) {
        (false, _) => Progress::Nothing,
        (true, Situation::Unobserved) => Progress::Observed,
        (true, _) => Progress::Done,
    }
}

/// Done only when nobody is sent to the new version any more; the phase alone would lie.
fn aborted(f: &Facts<'_>) -> Progress {
    let status = &f.ro.status;
    match situation(f) {
        Situation::AbortBlocked => diverted("aborted, but the active Service stays on the new version: undo to the stable version"),
        _ if !f.in_flight() && !f.stable().is_empty() => diverted("nothing is in flight any more"),
        _ if !status.abort => Progress::Nothing,
        _ if status.aborted_at.0.is_none() || abort_not_done(f) || word(f).phase != "Degraded" => Progress::Observed,
        _ => Progress::Done,
    }
}

fn retried(f: &Facts<'_>, aborted_at: Option<Time>) -> Progress {
    let status = &f.ro.status;
    match (status.abort, status.aborted_at.0) {
        (true, at) if at == aborted_at => Progress::Nothing,
        (true, _) => diverted(format!("it was aborted again: {}", status.message)),
        (false, Some(_)) => Progress::Observed,
        (false, None) => Progress::Done,
    }
}

fn template(f: &Facts<'_>, hash: Option<&str>, not: Option<&str>) -> Progress {
    let now = f.current();
    match (hash, situation(f)) {
        (Some(hash), here) if now == hash && here != Situation::Unobserved => Progress::Done,
        (None, here) if Some(now) != not && here != Situation::Unobserved => Progress::Done,
        (Some(hash), _) if now != hash && Some(now) != not => diverted(format!("a new version {now} came of it, not {hash}")),
        (_, Situation::Unobserved) => Progress::Observed,
        _ => Progress::Nothing,
    }
}

fn restarting(f: &Facts<'_>) -> Progress {
    let asked = f.ro.spec.restart_at.0;
    let running = word(f).message.contains("restarting") || asked == f.ro.status.restarted_at.0;
    match (asked, situation(f)) {
        (None, _) => Progress::Nothing,
        (Some(_), Situation::Unobserved) => Progress::Observed,
        (Some(_), _) if running => Progress::Done,
        // A pause outranks the word for a restart; the eviction itself goes on.
        (Some(_), _) => Progress::Observed,
    }
}

fn active(f: &Facts<'_>, hash: &str, from: &str) -> Progress {
    let now = f.current();
    match (f.active() == hash, situation(f)) {
        (true, _) => Progress::Done,
        (_, Situation::Unobserved | Situation::Unpausing) => Progress::Observed,
        (_, Situation::Aborted | Situation::AbortBlocked) if now == hash => diverted("the update was aborted"),
        _ if now != hash && now != from => diverted(format!("another version is being released now: {now}")),
        // The pause that the write itself ends is no diversion: only one that came with a change of version.
        _ if now == hash && now != from && f.has_pause("BlueGreenPause") => match steps::auto_promotion_seconds(f) {
            Some(_) => Progress::Observed,
            None => diverted("the controller paused before the switch: press f once more"),
        },
        _ => Progress::Nothing,
    }
}
