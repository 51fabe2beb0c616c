//! What a person should know before touching a StatefulSet, as one table: when it holds, how loud, in which words.

use super::{
    facts::Facts,
    status::{Situation, situation},
};
use crate::{
    engine::workload::{autoscaler, draft::pods, pods::reason},
    model::{Notice, Severity},
};

type Row = fn(&Facts<'_>) -> Option<(Severity, String)>;

const ROWS: &[Row] = &[blocked, cannot_start, trap, fails, by_hand, held, next_release, pace, parallel, scaled];

/// All that hold, loudest first.
pub fn notices(f: &Facts<'_>) -> Vec<Notice> {
    let mut found: Vec<Notice> =
        ROWS.iter().filter_map(|row| row(f)).map(|(severity, text)| Notice { severity, text: text.into() }).collect();
    found.sort_by_key(|n| std::cmp::Reverse(n.severity));
    found
}

fn is(f: &Facts<'_>, here: Situation) -> bool {
    situation(f) == here
}

/// Kubernetes issue 67250: the template is right again, and nothing moves.
fn blocked(f: &Facts<'_>) -> Option<(Severity, String)> {
    let pod = f.blocker()?;
    let text = format!(
        "blocked: pods go in order, and the controller waits for pod {} ({}) to get ready before it replaces anything, that pod included; \
         no change of the template helps until someone deletes it: {}",
        pod.name,
        reason(pod),
        f.delete(&pod.name)
    );
    Some((Severity::Warning, text))
}

fn cannot_start(f: &Facts<'_>) -> Option<(Severity, String)> {
    let stuck = f.stuck()?;
    let new = if f.in_flight() { "new pods" } else { "pods" };
    let message = if stuck.message.is_empty() { String::new() } else { format!(": {}", stuck.message) };
    Some((Severity::Warning, format!("{new} cannot start: {}{message} (pod {})", stuck.reason, stuck.pod)))
}

/// Said before the abort, as the abort alone will look as if it had failed.
fn trap(f: &Facts<'_>) -> Option<(Severity, String)> {
    let pod = f.failing().filter(|_| is(f, Situation::Broken) && f.ordered())?;
    let text = format!(
        "going back takes two things: abort puts the template back, and then the broken pod must be deleted: {}",
        f.delete(&pod.name)
    );
    Some((Severity::Warning, text))
}

/// Counts may read complete while a pod keeps failing.
fn fails(f: &Facts<'_>) -> Option<(Severity, String)> {
    let pod = f.failing().filter(|_| f.stuck().is_none() && f.blocker().is_none())?;
    Some((Severity::Warning, format!("pod {} fails: {}", pod.name, reason(pod))))
}

fn by_hand(f: &Facts<'_>) -> Option<(Severity, String)> {
    if !f.on_delete() {
        return None;
    }
    let text = if is(f, Situation::ByHand) {
        format!("OnDelete: a pod gets the new version when someone deletes it; the next is {}", f.delete(&f.next_to_delete()))
    } else {
        "OnDelete: a new version reaches a pod only when someone deletes the pod".to_owned()
    };
    Some((Severity::Note, text))
}

fn held(f: &Facts<'_>) -> Option<(Severity, String)> {
    let old = f.replicas().saturating_sub(f.target());
    let text = || format!("partition {}: {} stay on the old version, also when they are recreated", f.partition(), pods(old));
    (f.in_flight() && !f.on_delete() && old > 0 && f.updated() <= f.target()).then(|| (Severity::Note, text()))
}

fn next_release(f: &Facts<'_>) -> Option<(Severity, String)> {
    let holds = !f.in_flight() && !f.on_delete() && f.replicas() > 0 && f.partition() > 0;
    let reach = if f.target() == 0 { "no pod".to_owned() } else { format!("{} of {}", f.target(), pods(f.replicas())) };
    holds.then(|| (Severity::Note, format!("partition {}: the next version reaches {reach} until someone promotes", f.partition())))
}

fn pace(f: &Facts<'_>) -> Option<(Severity, String)> {
    let rolls = matches!(situation(f), Situation::Rolling | Situation::Held | Situation::TakingBack) && f.replicas() > 0;
    rolls.then(|| (Severity::Note, format!("at once: up to {} of {} away, from the highest ordinal down", pods(f.away()), f.replicas())))
}

fn parallel(f: &Facts<'_>) -> Option<(Severity, String)> {
    let holds = !f.ordered() && is(f, Situation::Broken);
    holds.then(|| (Severity::Note, "policy Parallel: broken pods hold nothing up, an abort replaces them".to_owned()))
}

fn scaled(f: &Facts<'_>) -> Option<(Severity, String)> {
    let by = autoscaler::of_root(f.objects, f.root)?;
    let text = if f.in_flight() && f.target() < f.replicas() {
        "sets the number of pods: the partition does not move with it, so another number is another share"
    } else {
        "sets the number of pods: it may change during a roll"
    };
    Some((Severity::Note, format!("{by} {text}")))
}
