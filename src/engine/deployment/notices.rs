//! What a person should know before touching a Deployment, as one table: when it holds, how loud, in which words.

use super::{
    facts::Facts,
    status::{Situation, pods, situation},
};
use crate::{
    engine::workload,
    model::{Notice, PodHealth, Severity},
};

type Row = fn(&Facts<'_>) -> Option<(Severity, String)>;

const ROWS: &[Row] =
    &[deadline, replica_failure, cannot_start, not_ready, pods_fail, unavailable, paused_changes, frozen, recreate, scaled];

/// All that hold, loudest first.
pub fn notices(f: &Facts<'_>) -> Vec<Notice> {
    let mut found: Vec<Notice> =
        ROWS.iter().filter_map(|row| row(f)).map(|(severity, text)| Notice { severity, text: text.into() }).collect();
    found.sort_by_key(|n| std::cmp::Reverse(n.severity));
    found
}

fn deadline(f: &Facts<'_>) -> Option<(Severity, String)> {
    let holds = situation(f) == Situation::DeadlineExceeded;
    let text = "progress deadline exceeded: the controller keeps trying and does not roll back by itself";
    holds.then(|| (Severity::Warning, text.to_owned()))
}

fn replica_failure(f: &Facts<'_>) -> Option<(Severity, String)> {
    let c = f.replica_failure()?;
    Some((Severity::Warning, format!("pods cannot be created: {}", c.message)))
}

fn cannot_start(f: &Facts<'_>) -> Option<(Severity, String)> {
    let stuck = f.stuck()?;
    let new = if f.in_flight() { "new pods" } else { "pods" };
    let message = if stuck.message.is_empty() { String::new() } else { format!(": {}", stuck.message) };
    Some((Severity::Warning, format!("{new} cannot start: {}{message} (pod {})", stuck.reason, stuck.pod)))
}

/// Pods that run and never become ready are no failure to anybody but the deadline.
fn not_ready(f: &Facts<'_>) -> Option<(Severity, String)> {
    let holds = situation(f) == Situation::DeadlineExceeded && f.stuck().is_none();
    let (pod, trouble) = f.unready().filter(|_| holds)?;
    Some((Severity::Warning, format!("new pods do not get ready: {trouble} (pod {pod})")))
}

/// Counts may read complete while pods keep failing and being replaced.
fn pods_fail(f: &Facts<'_>) -> Option<(Severity, String)> {
    let failing: Vec<_> = f.pods(f.current()?).into_iter().filter(|p| p.health == PodHealth::Failing).collect();
    let first = failing.first().filter(|_| f.stuck().is_none())?;
    let count = u32::try_from(failing.len()).unwrap_or(u32::MAX);
    Some((
        Severity::Warning,
        format!("{count} {} of the wanted version failed: {} (pod {})", pods(count), workload::pods::reason(first), first.name),
    ))
}

fn unavailable(f: &Facts<'_>) -> Option<(Severity, String)> {
    let c = f.condition("Available").filter(|c| c.status == "False" && f.observed())?;
    let none = f.dep.status.available_replicas.count() == 0 && f.replicas() > 0;
    let severity = if none { Severity::Danger } else { Severity::Warning };
    let told = format!("{} of {} pods available: {}", f.dep.status.available_replicas.count(), f.replicas(), c.message);
    Some((severity, told))
}

fn paused_changes(f: &Facts<'_>) -> Option<(Severity, String)> {
    f.changes_wait().then(|| (Severity::Warning, "paused with changes waiting: a resume rolls them out at once".to_owned()))
}

/// A pause freezes the ratio of old and new pods; scaling keeps it.
fn frozen(f: &Facts<'_>) -> Option<(Severity, String)> {
    let holds = situation(f) == Situation::PausedMidway && f.in_flight() && !f.changes_wait();
    let (new, old) = (f.dep.status.updated_replicas.count(), f.old_pods());
    holds.then(|| (Severity::Note, format!("paused midway: {new} new and {old} old {} serve until someone resumes", pods(old))))
}

fn recreate(f: &Facts<'_>) -> Option<(Severity, String)> {
    let rolls = situation(f).midway();
    let severity = if rolls { Severity::Warning } else { Severity::Note };
    f.recreates().then(|| (severity, "strategy Recreate: all old pods go before new ones come, users get nothing meanwhile".to_owned()))
}

/// Where autoscalers may not be read, their traces tell: they write through the scale subresource.
fn scaled(f: &Facts<'_>) -> Option<(Severity, String)> {
    if let Some(auto) = f.autoscaler() {
        return Some((Severity::Note, format!("{} sets the number of pods, during a roll as well", auto.range())));
    }
    let by = |w: &&crate::model::Writer| w.subresource.as_deref() == Some("scale");
    let writer = f.root.meta.writers.iter().find(by)?;
    let auto = matches!(&*writer.manager, "kube-controller-manager" | "keda");
    auto.then(|| (Severity::Note, "an autoscaler sets the number of pods: it may change during a roll".to_owned()))
}
