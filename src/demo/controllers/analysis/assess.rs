//! From measurements to the phases of metrics and of the run.

use super::{
    is_final,
    run::{Metric, MetricResult, Status, Summary},
};

/// From best to worst.
const ORDER: [&str; 6] = ["Successful", "Running", "Pending", "Inconclusive", "Error", "Failed"];

/// Whether the second phase is worse than the first.
pub fn is_worse(current: &str, new: &str) -> bool {
    let rank = |phase: &str| ORDER.iter().position(|known| *known == phase).unwrap_or_default();
    rank(new) > rank(current)
}

/// A limit that is exceeded: the phase it leads to and which it was. Of several the last one counts.
fn exceeded(metric: &Metric, result: &MetricResult) -> Option<(&'static str, String)> {
    let (failures, inconclusive, errors) = (metric.failure_limit(), metric.inconclusive_limit(), metric.consecutive_error_limit());
    let mut found = None;
    if failures >= 0 && result.failed > failures {
        found = Some(("Failed", format!("failed ({}) > failureLimit ({failures})", result.failed)));
    }
    if result.inconclusive > inconclusive {
        found = Some(("Inconclusive", format!("inconclusive ({}) > inconclusiveLimit ({inconclusive})", result.inconclusive)));
    }
    if result.consecutive_error > errors {
        found = Some(("Error", format!("consecutiveErrors ({}) > consecutiveErrorLimit ({errors})", result.consecutive_error)));
    }
    found
}

fn metric_phase(metric: &Metric, result: &MetricResult, terminating: bool) -> &'static str {
    if let Some(phase) = ORDER.iter().find(|phase| is_final(phase) && **phase == result.phase) {
        return phase;
    }
    let Some(last) = result.measurements.last() else {
        return if terminating { "Successful" } else { "Pending" };
    };
    if !is_final(&last.phase) {
        return "Running";
    }
    if let Some((phase, _)) = exceeded(metric, result) {
        return phase;
    }
    let wanted = metric.consecutive_success_limit();
    if wanted > 0 && result.consecutive_success >= wanted {
        return "Successful";
    }
    if metric.effective_count().is_some_and(|count| result.count >= count) {
        return match (metric.failure_limit() >= 0, wanted > 0) {
            (true, true) => "Inconclusive",
            (false, true) => "Failed",
            _ => "Successful",
        };
    }
    if terminating { "Successful" } else { "Running" }
}

/// What an assessment found beside the new status: metrics that have ended, with their phases.
pub struct Assessed {
    pub phase: String,
    pub message: String,
    pub ended: Vec<(String, &'static str)>,
}

/// Assesses every metric and the run as a whole, and writes both summaries.
pub fn assess(status: &mut Status, metrics: &[Metric], dry: &[&str], terminate: bool) -> Assessed {
    let terminating = status.is_terminating(terminate);
    let mut run = Overall { message: if terminate { "Run Terminated".into() } else { String::new() }, ..Overall::default() };
    for metric in metrics {
        let dry = dry.contains(&&*metric.name);
        let summary = if dry { &mut run.dry } else { &mut run.real };
        summary.count += 1;
        match status.metric_results.iter_mut().find(|result| result.name == metric.name) {
            Some(result) => run.add(metric, result, dry, terminating),
            None => run.open = true,
        }
    }
    status.run_summary = run.real;
    status.dry_run_summary = Some(run.dry);
    let (phase, message) = match (terminating, run.worst) {
        (true, worst) => (worst.unwrap_or("Successful"), run.message),
        (false, Some(worst)) if !run.open => (worst, run.message),
        _ => ("Running", String::new()),
    };
    Assessed { phase: phase.into(), message: message.trim().into(), ended: run.ended }
}

#[derive(Default)]
struct Overall {
    worst: Option<&'static str>,
    message: String,
    /// A metric is still going on, or has not begun.
    open: bool,
    real: Summary,
    dry: Summary,
    ended: Vec<(String, &'static str)>,
}

impl Overall {
    fn add(&mut self, metric: &Metric, result: &mut MetricResult, dry: bool, terminating: bool) {
        let phase = metric_phase(metric, result, terminating);
        if result.phase != phase {
            if is_final(phase) {
                self.ended.push((metric.name.clone(), phase));
            }
            if let Some(last) = result.measurements.last() {
                result.message = last.message.clone();
            }
            result.phase = phase.into();
        }
        if !is_final(phase) {
            self.open = true;
            return;
        }
        let limit = exceeded(metric, result);
        let summary = if dry { &mut self.dry } else { &mut self.real };
        summary.add(limit.as_ref().map_or("", |(phase, _)| phase));
        if dry {
            self.worst = self.worst.or(Some("Successful"));
            if let Some((_, why)) = limit {
                result.message = format!("Metric assessed {phase} due to {why}");
            }
        } else if self.worst.is_none_or(|worst| is_worse(worst, phase)) {
            self.worst = Some(phase);
            if let Some((_, why)) = limit {
                self.message = format!("Metric \"{}\" assessed {phase} due to {why}", metric.name);
                if !result.message.is_empty() {
                    self.message += &format!(": \"Error Message: {}\"", result.message);
                }
            }
        }
    }
}
