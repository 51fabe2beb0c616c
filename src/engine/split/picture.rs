//! What is shown of a route: sides, phases, where the release stands, what comes next and the way back.

use super::{
    facts::{Facts, Pair, Shape},
    sides::Side,
    stepper,
};
use crate::{
    engine::workload::{draft::percent, pods},
    intent::Verb,
    model::{Next, Phase, Role, Step, StepKind, Steps, Text, Track, Traffic, Wait, WaitFor, WayBack},
};

/// The new side first.
pub fn tracks(f: &Facts<'_>) -> Vec<Track> {
    let pods: u32 = f.sides().map(Side::ready).sum();
    let by_pods = |side: &Side<'_>| (pods > 0 && f.sides().all(Side::is_seen)).then(|| f64::from(side.ready()) / f64::from(pods));
    match &f.shape {
        Shape::Pair(pair) => {
            let share = f.new_share();
            let (new, old) = roles(f);
            vec![
                Track { is_new: f.in_flight(), ..track(f, &pair.new, new, share, by_pods(&pair.new)) },
                track(f, &pair.old, old, share.map(|s| 1.0 - s), by_pods(&pair.old)),
            ]
        }
        // Rules that divide between others have no common whole.
        Shape::Crowd(all, _) => {
            let one_rule = f.weighted().count() == 1;
            let share = |side: &Side<'_>| f.share(&side.target).filter(|_| one_rule);
            all.iter().map(|side| track(f, side, Role::Active, share(side), by_pods(side))).collect()
        }
    }
}

fn roles(f: &Facts<'_>) -> (Role, Role) {
    match f.new_share() {
        _ if f.in_flight() => (Role::Canary, Role::Stable),
        Some(share) if share >= 1.0 => (Role::Stable, Role::Old),
        _ => (Role::Old, Role::Stable),
    }
}

fn track(f: &Facts<'_>, side: &Side<'_>, role: Role, share: Option<f64>, replica_share: Option<f64>) -> Track {
    Track {
        roles: vec![role],
        is_new: false,
        revision: Some(side.name().into()),
        hash: side.hash(f.objects),
        images: side.images().into_iter().map(Text::from).collect(),
        desired: side.wanted(),
        current: side.existing(),
        ready: side.ready(),
        available: side.available(),
        traffic: Traffic { desired: asked(f, side), applied: share, applied_by: f.form.router.into(), replica_share },
        scale_down_at: None,
        created: side.workloads.iter().filter_map(|w| w.object().meta.created).max(),
        pods: side.pods(f.objects),
    }
}

/// What the annotation says was set, also when somebody has set another weight since.
fn asked(f: &Facts<'_>, side: &Side<'_>) -> Option<f64> {
    let (stepper::Standing::Good(mark) | stepper::Standing::Stale(mark)) = &f.standing else { return None };
    let share = f64::from(mark.weight.min(100)) / 100.0;
    let pair = f.pair().filter(|pair| pair.new.name() == mark.new)?;
    Some(if pair.new.name() == side.name() { share } else { 1.0 - share })
}

/// The new side comes up; then each weight, and how long it should stand.
pub fn steps(f: &Facts<'_>) -> Steps {
    let Some(pair) = f.pair().filter(|_| !f.stages().is_empty()) else { return Steps::default() };
    let step = |kind, label: String| Step { kind, label: label.into(), started: None, ended: None };
    let mut items = vec![step(StepKind::Preview, format!("{} ready", pair.new.name()))];
    let (mut current, percent) = (0, f.percent());
    for stage in f.stages() {
        items.push(step(StepKind::SetWeight(f64::from(stage.percent) / 100.0), format!("weight {} %", stage.percent)));
        if stage.percent < 100 {
            let label = stage.hold.map_or_else(|| "pause".to_owned(), |hold| format!("pause {}", stepper::spoken(hold)));
            items.push(step(StepKind::Pause(stage.hold), label));
        }
        if stage.percent <= percent && percent > 0 {
            current = items.len() - 1;
        }
    }
    if f.new_share().is_some_and(|s| s >= 1.0) {
        current = items.len();
    } else if let (Some(item), Some(mark)) = (items.get_mut(current), f.mark()) {
        item.started = mark.since.filter(|_| mark.phase > 0);
    }
    let begun = f.in_flight() || current > 0;
    Steps { current: begun.then_some(current), items }
}

/// Phase and the words for it.
pub fn phase(f: &Facts<'_>) -> (Phase, String) {
    let pair = match &f.shape {
        Shape::Pair(pair) => pair,
        Shape::Crowd(_, why) => return (Phase::Unknown, why.clone()),
    };
    let Some(share) = f.new_share() else {
        return (Phase::Failing, "all weights are 0: no request is served".into());
    };
    if let Some(words) = out_of_service(pair, share) {
        return (Phase::Failing, words);
    }
    if f.aborted() {
        return (Phase::Aborted, format!("all users are back on {}", pair.old.name()));
    }
    if !f.in_flight() {
        let on = if share >= 1.0 { &pair.new } else { &pair.old };
        return (Phase::Healthy, format!("all users are on {}", on.name()));
    }
    if let Some(words) = failing(f, pair) {
        return (Phase::Failing, words);
    }
    let at =
        if share > 0.0 { format!("{} on {}", percent(share), pair.new.name()) } else { format!("{} has no users yet", pair.new.name()) };
    if f.mark().is_some_and(|m| m.paused.is_some()) {
        return (Phase::Paused, format!("paused, {at}"));
    }
    if pair.new.is_seen() && !pair.new.complete() {
        return (Phase::Progressing, format!("{at}, {}/{} ready", pair.new.ready(), pair.new.wanted()));
    }
    (Phase::Waiting, at)
}

/// A side that has users and nobody who serves them.
fn out_of_service(pair: &Pair<'_>, share: f64) -> Option<String> {
    let down = |side: &Side<'_>, share: f64| {
        let empty = side.is_seen() && side.ready() == 0 || side.lack().is_some();
        (empty && share > 0.0).then(|| format!("{} of the requests go to {}, which has no ready pod", percent(share), side.name()))
    };
    down(&pair.new, share).or_else(|| down(&pair.old, 1.0 - share))
}

fn failing(f: &Facts<'_>, pair: &Pair<'_>) -> Option<String> {
    let at = format!("{} {}/{} ready", pair.new.name(), pair.new.ready(), pair.new.wanted());
    if pair.new.overdue() {
        return Some(format!("{at}, past its deadline"));
    }
    pods::stuck(&pair.new.pods(f.objects)).map(|stuck| format!("{at}: {}", stuck.reason))
}

pub fn wait(f: &Facts<'_>, phase: Phase) -> Option<Wait> {
    let pair = f.pair()?;
    let (who, reason) = match phase {
        Phase::Waiting | Phase::Paused => (WaitFor::Human, going_on(f)),
        Phase::Progressing => (WaitFor::Pods, format!("pods of {} become ready", pair.new.name())),
        _ => return None,
    };
    // Without a mark it stands like this since the route was last written, at the longest.
    let since = f.mark().and_then(|m| m.paused.or(m.since)).or_else(|| f.root.meta.written());
    Some(Wait { who, reason: reason.into(), since, until: None })
}

fn going_on(f: &Facts<'_>) -> String {
    match stepper::next(f.stages(), f.percent()) {
        _ if f.mark().is_some_and(|m| m.paused.is_some()) => "someone resumes".into(),
        Some(stage) => format!("someone promotes to {} %", stage.percent),
        None => "someone sets the weight".into(),
    }
}

/// Nothing happens by itself; the time is that from which the next phase may begin.
pub fn next(f: &Facts<'_>) -> Next {
    let Some(pair) = f.pair() else { return Next { at: None, what: "nothing: set the weights in the route's own file".into() } };
    let paused = f.mark().is_some_and(|m| m.paused.is_some());
    let due = f.mark().filter(|m| m.paused.is_none() && m.phase > 0).and_then(|m| stepper::due(f.stages(), m));
    let what = match stepper::next(f.stages(), f.percent()) {
        _ if !f.in_flight() => "nothing: the weights stay as they are".into(),
        _ if paused => "nothing, until someone resumes".into(),
        Some(stage) if due.is_some() => format!("may go on to {} %, by promote (p) alone", stage.percent),
        Some(stage) => format!("nothing by itself: promote (p) sets {} % on {}", stage.percent, pair.new.name()),
        None => format!("nothing by itself: set the weight of {} (w)", pair.new.name()),
    };
    Next { at: due.filter(|_| f.in_flight()), what: what.into() }
}

pub fn way_back(f: &Facts<'_>) -> WayBack {
    let Some(pair) = f.pair() else { return WayBack::default() };
    let old = &pair.old;
    let (action, what) = match f.new_share() {
        Some(0.0) => (None, format!("none needed: all users are on {}", old.name())),
        _ if old.is_seen() && old.ready() == 0 => (None, format!("{} has no ready pods: scale it up first, then abort", old.name())),
        _ => (Some(Verb::Abort), format!("abort: all users back to {}, {} ready", old.name(), old.ready())),
    };
    WayBack { action, seconds: action.map(|_| 1), until: None, what: what.into() }
}
