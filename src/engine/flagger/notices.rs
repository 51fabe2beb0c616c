//! What a person should know before touching a Canary, as one table.

use super::{facts::Facts, picture};
use crate::model::{Notice, Severity, Strategy};

type Row = fn(&Facts<'_>) -> Option<(Severity, String)>;

const ROWS: &[Row] = &[
    promotion_failed,
    suspended,
    skips_analysis,
    short_deadline,
    failed_since,
    failing_checks,
    cannot_start,
    gate,
    not_promoted,
    unread_share,
];

/// All that hold, loudest first.
pub fn notices(f: &Facts<'_>) -> Vec<Notice> {
    let mut found: Vec<Notice> =
        ROWS.iter().filter_map(|row| row(f)).map(|(severity, text)| Notice { severity, text: text.into() }).collect();
    found.sort_by_key(|n| std::cmp::Reverse(n.severity));
    found
}

fn promotion_failed(f: &Facts<'_>) -> Option<(Severity, String)> {
    let text = "promotion failed: the primary did not become healthy, and users are left on the canary";
    f.canary_serves_after_failure().then(|| (Severity::Danger, text.into()))
}

fn suspended(f: &Facts<'_>) -> Option<(Severity, String)> {
    let text = match f.in_flight() {
        true => "suspended: no checks run, a broken new version keeps its share of users",
        false => "suspended: a new version will not be released",
    };
    f.ca.spec.suspend.then(|| (Severity::Warning, text.into()))
}

fn skips_analysis(f: &Facts<'_>) -> Option<(Severity, String)> {
    let text = "skipAnalysis is on: every release is promoted without a check until it is set back (resume does that)";
    f.ca.spec.skip_analysis.then(|| (Severity::Warning, text.into()))
}

/// What an abort of pods that never got ready leaves behind.
fn short_deadline(f: &Facts<'_>) -> Option<(Severity, String)> {
    let seconds = f.ca.spec.progress_deadline_seconds.filter(|n| n.0 <= 1)?.0;
    Some((
        Severity::Warning,
        format!("progressDeadlineSeconds is {seconds}: every new version is rolled back before it can start; set it back"),
    ))
}

/// The status is rewritten at every tick while failed; only the condition keeps the moment.
fn failed_since(f: &Facts<'_>) -> Option<(Severity, String)> {
    let condition = f.condition().filter(|_| f.failed())?;
    let at = condition.last_transition_time.0?;
    Some((Severity::Warning, format!("failed since {}: {}", at.format("%Y-%m-%d %H:%M:%S UTC"), condition.message)))
}

fn failing_checks(f: &Facts<'_>) -> Option<(Severity, String)> {
    let failed = f.ca.status.failed_checks.0;
    let holds = f.in_flight() && failed > 0;
    holds.then(|| (Severity::Warning, format!("{failed} of {} failed checks, then it is rolled back", f.threshold())))
}

fn cannot_start(f: &Facts<'_>) -> Option<(Severity, String)> {
    let stuck = picture::stuck(f)?;
    let message = if stuck.message.is_empty() { String::new() } else { format!(": {}", stuck.message) };
    Some((Severity::Warning, format!("new pods cannot start: {}{message} (pod {})", stuck.reason, stuck.pod)))
}

fn gate(f: &Facts<'_>) -> Option<(Severity, String)> {
    picture::gate_advice(f).map(|advice| (Severity::Note, advice))
}

fn not_promoted(f: &Facts<'_>) -> Option<(Severity, String)> {
    let status = &f.ca.status;
    let idle = matches!(f.phase(), "Initialized" | "Succeeded");
    let differs = idle && status.last_applied_spec != status.last_promoted_spec;
    differs.then(|| (Severity::Note, "the last revision was not promoted".into()))
}

fn unread_share(f: &Facts<'_>) -> Option<(Severity, String)> {
    if f.share_is_readable() || !f.in_flight() {
        return None;
    }
    let who = if f.strategy() == Strategy::AbTest { "users that match the headers or cookies" } else { "users by sticky sessions" };
    Some((Severity::Note, format!("the canary gets {who}: no share of all users is declared")))
}
