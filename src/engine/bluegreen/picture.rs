//! What is shown of a pair: sides, steps, phase, what comes next and the way back.

use super::{
    detect::Side,
    facts::Facts,
    plan::{self, plural},
    version,
};
use crate::{
    engine::workload::pods,
    intent::Verb,
    model::{Next, Notice, Phase, Role, Severity, Step, StepKind, Steps, Text, Track, Traffic, Wait, WaitFor, WayBack},
};

/// The new side first.
pub fn tracks(f: &Facts<'_>) -> Vec<Track> {
    let idle_role = if f.in_flight() { Role::Preview } else { Role::Old };
    let live = track(f, f.live(), vec![Role::Active, Role::Stable], 1.0);
    let idle = track(f, f.idle(), vec![idle_role], 0.0);
    if f.in_flight() { vec![Track { is_new: true, ..idle }, live] } else { vec![live, idle] }
}

fn track(f: &Facts<'_>, side: &Side<'_>, roles: Vec<Role>, share: f64) -> Track {
    let status = &side.dto.status;
    Track {
        roles,
        is_new: false,
        revision: Some(side.value.as_str().into()),
        hash: side.hash(f.objects),
        images: version::images(side).into_iter().map(Text::from).collect(),
        desired: side.wanted(),
        current: side.existing(),
        ready: side.ready(),
        available: status.available_replicas.count(),
        traffic: Traffic { desired: Some(share), applied: Some(share), applied_by: "service".into(), replica_share: None },
        scale_down_at: None,
        created: side.object.meta.created,
        pods: side.pods(f.objects),
    }
}

/// Bring the new side up, flip, take the old one away.
pub fn steps(f: &Facts<'_>) -> Steps {
    let (new, old) = if f.old_is_idle() { (f.live(), f.idle()) } else { (f.idle(), f.live()) };
    let step = |kind, label: String| Step { kind, label: label.into(), started: None, ended: None };
    let items = vec![
        step(StepKind::Preview, format!("{} ready", new.value)),
        step(StepKind::Flip, format!("flip to {}", new.value)),
        step(StepKind::ScaleDownOld, format!("scale {} to 0", old.value)),
    ];
    let current = match f.idle_is {
        None => return Steps::default(),
        Some(_) if f.new_is_idle() => usize::from(f.idle().wanted() > 0 && f.idle().complete()),
        Some(_) if f.idle().wanted() > 0 => 2,
        Some(_) => items.len(),
    };
    Steps { items, current: Some(current) }
}

/// Phase and the words for it.
pub fn phase(f: &Facts<'_>) -> (Phase, String) {
    let (live, idle) = (f.live(), f.idle());
    let at = |side: &Side<'_>| format!("{} {}/{} ready", side.value, side.ready(), side.wanted());
    if live.ready() == 0 {
        return (Phase::Failing, format!("users are on {}, which has no ready pod", live.value));
    }
    if live.overdue() || f.in_flight() && idle.overdue() {
        let side = if live.overdue() { live } else { idle };
        return (Phase::Failing, format!("{}, past its deadline", at(side)));
    }
    if f.in_flight() {
        if let Some(stuck) = pods::stuck(&idle.pods(f.objects)) {
            return (Phase::Failing, format!("{}: {}", at(idle), stuck.reason));
        }
        let paused = idle.dto.spec.paused;
        return match (idle.complete(), paused) {
            (true, _) => (Phase::Waiting, format!("{} is ready, users are on {}", idle.value, live.value)),
            (_, true) => (Phase::Paused, format!("Deployment {} is paused, {}", idle.name(), at(idle))),
            _ => (Phase::Progressing, at(idle)),
        };
    }
    if !live.complete() {
        return (Phase::Progressing, at(live));
    }
    (Phase::Healthy, format!("users are on {}", live.value))
}

pub fn wait(f: &Facts<'_>, phase: Phase) -> Option<Wait> {
    let idle = f.idle();
    let (who, reason, since) = match phase {
        Phase::Waiting => (WaitFor::Human, format!("someone flips to {}", idle.value), idle.ready_since()),
        Phase::Progressing if f.in_flight() => (WaitFor::Pods, format!("pods of {} become ready", idle.value), None),
        Phase::Progressing => (WaitFor::Pods, format!("pods of {} become ready", f.live().value), None),
        _ => return None,
    };
    Some(Wait { who, reason: reason.into(), since, until: None })
}

pub fn next(f: &Facts<'_>) -> Next {
    let idle = f.idle();
    if f.old_is_idle() && idle.wanted() > 0 {
        let what = format!("{} has been kept for {}, someone may scale it down (x)", idle.value, spoken(f.soak()));
        return Next { at: f.soaked(), what: what.into() };
    }
    let what = match () {
        () if f.in_flight() && idle.complete() => format!("nothing by itself: flip (f) sends all users to {}", idle.value),
        () if f.in_flight() => format!("{} becomes ready, then someone flips", idle.value),
        () if f.new_is_idle() => format!("{} holds {} without pods: scale it up to release it", idle.value, idle.images()),
        () => String::from("nothing: both sides stay as they are"),
    };
    Next { at: None, what: what.into() }
}

/// `10m`, without the spaces of a sentence.
pub fn spoken(soak: std::time::Duration) -> String {
    humantime::format_duration(soak).to_string().replace(' ', "")
}

pub fn way_back(f: &Facts<'_>) -> WayBack {
    let idle = f.idle();
    let (action, what) = match () {
        () if f.new_is_idle() => (None, format!("none needed: users are still on {}", f.live().value)),
        () if idle.ready() > 0 => {
            (Some(Verb::Flip), format!("flip back to {}, {} {} ready, at once", idle.value, idle.ready(), plural(idle.ready())))
        }
        () => (None, format!("{} has no ready pods: scale it up first, then flip", idle.value)),
    };
    let seconds = action.map(|_| 1);
    WayBack { action, seconds, until: None, what: what.into() }
}

pub fn notices(f: &Facts<'_>) -> Vec<Notice> {
    let (live, idle) = (f.live(), f.idle());
    let name = &f.root.meta.name;
    let mut found = Vec::new();
    let mut add = |severity, when: bool, text: String| {
        if when {
            found.push(Notice { severity, text: text.into() });
        }
    };
    add(Severity::Danger, live.ready() == 0, format!("outage: Service {name} selects {}, which has no ready pod", live.value));
    let ports = plan::missing_ports(live, &f.pair.service);
    add(Severity::Danger, !ports.is_empty(), format!("Service {name} names port {}, which {} does not have", ports.join(", "), live.value));
    let companions = f.companions();
    add(
        Severity::Warning,
        !companions.is_empty(),
        format!("Service {} selects {} as well and is not flipped with this one", companions.join(", "), live.value),
    );
    let stuck = f.in_flight().then(|| pods::stuck(&idle.pods(f.objects))).flatten();
    if let Some(stuck) = stuck {
        let message = if stuck.message.is_empty() { String::new() } else { format!(": {}", stuck.message) };
        add(Severity::Warning, true, format!("pods of {} cannot start: {}{message} (pod {})", idle.value, stuck.reason, stuck.pod));
    }
    if let Some((_, why)) = f.idle_is {
        let new = if f.new_is_idle() { idle } else { live };
        add(Severity::Note, true, format!("{} counts as the new side: {}", new.value, why.words()));
    } else if version::images(live) == version::images(idle) {
        add(Severity::Note, true, format!("both sides hold {}: nothing is being released", live.images()));
    } else {
        // Brought out within one second, and no tags to compare.
        add(
            Severity::Warning,
            true,
            format!("nothing tells which is newer: {} on {}, {} on {}", live.images(), live.value, idle.images(), idle.value),
        );
    }
    for side in [live, idle] {
        add(Severity::Note, side.unobserved(), format!("the newest spec of Deployment {} has not been acted on", side.name()));
        let auto = f.autoscaler(side);
        add(
            Severity::Note,
            auto.is_some(),
            auto.map(|a| format!("{} sets the number of pods of {}", a.range(), side.value)).unwrap_or_default(),
        );
    }
    found.sort_by_key(|n| std::cmp::Reverse(n.severity));
    found
}
