//! What is shown of a pair: sides by their pods, phases, what comes next and the way back.

use super::{
    counts,
    detect::{self, Pair},
};
use crate::{
    engine::{
        split::{
            sides::Side,
            stepper::{self, ANNOTATION, Standing},
        },
        workload::{autoscaler, draft::percent, pods},
    },
    intent::Verb,
    model::{Next, Notice, Phase, Role, Severity, Step, StepKind, Steps, Text, Track, Traffic, Wait, WaitFor, WayBack},
    object::{Object, Objects},
    settings::Stage,
};

/// Who says what is applied.
const PODS: &str = "pods";

/// The new side first.
pub fn tracks(pair: &Pair<'_>, objects: &Objects) -> Vec<Track> {
    let all = pair.wanted();
    let asked = (all > 0).then(|| f64::from(pair.new.wanted()) / f64::from(all));
    let (new, old) = match (pair.new.wanted(), pair.old.wanted()) {
        (_, 0) if pair.new.wanted() > 0 => (Role::Stable, Role::Old),
        (0, _) => (Role::Old, Role::Stable),
        _ => (Role::Canary, Role::Stable),
    };
    vec![
        Track { is_new: pair.in_flight(), ..track(&pair.new, new, asked, pair.share(), objects) },
        track(&pair.old, old, asked.map(|s| 1.0 - s), pair.share().map(|s| 1.0 - s), objects),
    ]
}

fn track(side: &Side<'_>, role: Role, asked: Option<f64>, share: Option<f64>, objects: &Objects) -> Track {
    Track {
        roles: vec![role],
        is_new: false,
        revision: Some(side.name().into()),
        hash: side.hash(objects),
        images: side.images().into_iter().map(Text::from).collect(),
        desired: side.wanted(),
        current: side.existing(),
        ready: side.ready(),
        available: side.available(),
        traffic: Traffic { desired: asked, applied: share, applied_by: PODS.into(), replica_share: share },
        scale_down_at: None,
        created: side.workloads.iter().filter_map(|w| w.object().meta.created).max(),
        pods: side.pods(objects),
    }
}

pub fn steps(pair: &Pair<'_>, stages: &[Stage]) -> Steps {
    let mut items = Vec::new();
    let (mut current, reached) = (None, pair.new.wanted());
    for stage in stages {
        let count = counts::nearest(stage.percent, pair.wanted());
        let label = format!("weight {} % ({count} of {} pods)", stage.percent, pair.wanted());
        items.push(Step { kind: StepKind::SetWeight(f64::from(stage.percent) / 100.0), label: label.into(), started: None, ended: None });
        if reached > 0 && count <= reached {
            current = Some(items.len() - 1);
        }
    }
    if reached > 0 && pair.old.wanted() == 0 {
        current = Some(items.len());
    } else if let (Some(item), Some(mark)) = (current.and_then(|i| items.get_mut(i)), pair.mark()) {
        item.started = mark.since;
    }
    Steps { items, current }
}

pub fn phase(pair: &Pair<'_>) -> (Phase, String) {
    let (new, old) = (&pair.new, &pair.old);
    let at = format!("{} {}/{} ready, {} {}/{}", new.name(), new.ready(), new.wanted(), old.name(), old.ready(), old.wanted());
    match () {
        () if pair.wanted() == 0 => (Phase::Healthy, "scaled to 0".into()),
        () if pair.ready() == 0 => (Phase::Failing, format!("no pod is ready: {at}")),
        () if new.overdue() || old.overdue() => (Phase::Failing, format!("past its deadline: {at}")),
        () if new.ready() < new.wanted() || old.existing() != old.wanted() => (Phase::Progressing, at),
        () if pair.aborted() => (Phase::Aborted, format!("all pods are of {}", old.name())),
        () if pair.in_flight() && pair.mark().is_some_and(|m| m.paused.is_some()) => (Phase::Paused, format!("paused, {at}")),
        () if pair.in_flight() && !pair.alike() => {
            (Phase::Waiting, format!("{} of the pods are of {}", pair.share().map_or("none".into(), percent), new.name()))
        }
        () => (Phase::Healthy, at),
    }
}

pub fn wait(pair: &Pair<'_>, phase: Phase) -> Option<Wait> {
    let (who, reason) = match phase {
        Phase::Waiting => (WaitFor::Human, "someone promotes"),
        Phase::Paused => (WaitFor::Human, "someone resumes"),
        Phase::Progressing => (WaitFor::Pods, "pods start and end"),
        _ => return None,
    };
    let since = pair.mark().and_then(|m| m.paused.or(m.since));
    Some(Wait { who, reason: reason.into(), since, until: None })
}

/// The first phase that changes the counts.
pub fn further<'s>(pair: &Pair<'_>, stages: &'s [Stage]) -> Option<&'s Stage> {
    stages.iter().find(|s| counts::nearest(s.percent, pair.wanted()) > pair.new.wanted())
}

pub fn next(pair: &Pair<'_>, stages: &[Stage]) -> Next {
    let paused = pair.mark().is_some_and(|m| m.paused.is_some());
    let due = pair.mark().filter(|m| m.paused.is_none() && m.phase > 0).and_then(|m| stepper::due(stages, m));
    let what = match further(pair, stages) {
        _ if paused => "nothing, until someone resumes".into(),
        Some(stage) if !pair.alike() => {
            let count = counts::nearest(stage.percent, pair.wanted());
            format!("nothing by itself: promote (p) makes {count} of {} pods {}", pair.wanted(), pair.new.name())
        }
        _ => "nothing: the counts stay as they are".into(),
    };
    Next { at: due.filter(|_| pair.in_flight()), what: what.into() }
}

pub fn way_back(pair: &Pair<'_>) -> WayBack {
    let old = &pair.old;
    let (action, what) = match pair.new.wanted() {
        0 => (None, format!("none needed: all pods are of {}", old.name())),
        n => (Some(Verb::Abort), format!("abort: {n} more pods of {}, which must start first", old.name())),
    };
    WayBack { action, seconds: None, until: None, what: what.into() }
}

pub fn notices(root: &Object, objects: &Objects, pair: &Pair<'_>) -> Vec<Notice> {
    let mut found = Vec::new();
    let mut add = |severity, text: String| found.push(Notice { severity, text: text.into() });
    if pair.ready() == 0 && pair.wanted() > 0 {
        add(Severity::Danger, format!("outage: Service {} has no ready pod", root.meta.name));
    }
    for side in pair.sides() {
        for auto in side.workloads.iter().filter_map(|w| autoscaler::of_root(objects, w.object())) {
            add(Severity::Warning, format!("{auto} sets the number of pods of {}: it moves the share", side.name()));
        }
    }
    for other in detect::siblings(root, pair, objects) {
        add(Severity::Note, format!("Service {} leads to the same pods", other.meta.name));
    }
    if pair.sticky {
        add(Severity::Warning, "clients stay with one pod: the share of requests is not that of the pods".into());
    }
    match &pair.standing {
        Standing::Unreadable => {
            add(Severity::Warning, format!("the annotation {ANNOTATION} cannot be read: the next promote writes it anew"))
        }
        Standing::Stale(mark) if pair.in_flight() => {
            add(Severity::Warning, format!("{} % of {} was asked for, somebody has changed the counts since", mark.weight, mark.new));
        }
        _ => {}
    }
    if let Some(stuck) = pods::stuck(&pair.new.pods(objects)) {
        add(Severity::Warning, format!("pods of {} cannot start: {} (pod {})", pair.new.name(), stuck.reason, stuck.pod));
    }
    add(Severity::Note, format!("{} counts as the new side: {}", pair.new.name(), pair.because.words()));
    add(Severity::Note, format!("with {} pods these shares can be had: {}", pair.wanted(), counts::reachable(pair.wanted())));
    found.sort_by_key(|n| std::cmp::Reverse(n.severity));
    found
}
