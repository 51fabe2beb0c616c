//! What a person should know before touching a DaemonSet, as one table: when it holds, how loud, in which words.

use super::{
    facts::Facts,
    status::{Situation, situation},
};
use crate::{
    engine::workload::{draft::pods, pods::reason},
    model::{Notice, Severity},
};

type Row = fn(&Facts<'_>) -> Option<(Severity, String)>;

const ROWS: &[Row] = &[cannot_start, fails, by_hand, misplaced];

/// All that hold, loudest first.
pub fn notices(f: &Facts<'_>) -> Vec<Notice> {
    let mut found: Vec<Notice> =
        ROWS.iter().filter_map(|row| row(f)).map(|(severity, text)| Notice { severity, text: text.into() }).collect();
    found.sort_by_key(|n| std::cmp::Reverse(n.severity));
    found
}

fn cannot_start(f: &Facts<'_>) -> Option<(Severity, String)> {
    let stuck = f.stuck()?;
    let new = if f.in_flight() { "new pods" } else { "pods" };
    let message = if stuck.message.is_empty() { String::new() } else { format!(": {}", stuck.message) };
    Some((Severity::Warning, format!("{new} cannot start: {}{message} (pod {})", stuck.reason, stuck.pod)))
}

/// Counts may read complete while a pod keeps failing.
fn fails(f: &Facts<'_>) -> Option<(Severity, String)> {
    let pod = f.failing().filter(|_| f.stuck().is_none())?;
    Some((Severity::Warning, format!("pod {} fails: {}", pod.name, reason(pod))))
}

fn by_hand(f: &Facts<'_>) -> Option<(Severity, String)> {
    let text = if situation(f) == Situation::ByHand {
        format!("OnDelete holds it: resume rolls the other nodes, or delete a pod by hand: {}", f.delete())
    } else {
        "OnDelete: a new version reaches a node only when someone deletes its pod".to_owned()
    };
    f.on_delete().then_some((Severity::Note, text))
}

fn misplaced(f: &Facts<'_>) -> Option<(Severity, String)> {
    let n = f.set.status.number_misscheduled.count();
    (n > 0).then(|| (Severity::Warning, format!("{} on nodes that should have none", pods(n))))
}
