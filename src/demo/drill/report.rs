//! How a drill went, for people and for machines.

use serde::Serialize;

use super::{Course, Standing, incident::Harm, rule};
use crate::{
    demo::ledger::{Counts, SLOW},
    model::Time,
};

/// Times are seconds after the release began, by the cluster's clock.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub seed: u64,
    pub incident: &'static str,
    pub about: &'static str,
    pub workload: String,
    pub version: String,
    /// When the evidence crossed the rule.
    pub visible_after: Option<f64>,
    pub rule: String,
    /// The person's first write to the workload.
    pub acted_after: Option<f64>,
    /// Nobody was harmed any more.
    pub over_after: Option<f64>,
    /// The end of what was counted.
    pub counted_for: f64,
    pub requests: u64,
    /// What the next two count.
    pub harm: Harm,
    pub harmed: u64,
    pub best_answer: &'static str,
    /// With the best answer at the moment the incident was visible, from the same seed.
    pub harmed_at_best: Option<u64>,
    pub saved_at_best: Option<i64>,
}

impl Report {
    pub(super) fn new(course: &Course, standing: &Standing, acted: Option<Time>, suffered: Counts, best: Option<u64>) -> Self {
        let after = |time: Time| (time - standing.begins).as_seconds_f64().round();
        let harmed = course.harm(suffered);
        let (harmed_signed, best_signed) =
            (i64::try_from(harmed).unwrap_or(i64::MAX), best.map(|best| i64::try_from(best).unwrap_or(i64::MAX)));
        Self {
            seed: course.seed,
            incident: course.incident.name,
            about: course.incident.says,
            workload: course.case.workload.clone(),
            version: course.case.new.clone(),
            visible_after: standing.visible.map(after),
            rule: rule(),
            acted_after: acted.map(after),
            over_after: standing.over.map(after),
            counted_for: after(standing.end).max(0.0),
            requests: suffered.all,
            harm: course.incident.harm,
            harmed,
            best_answer: course.incident.best.words(),
            harmed_at_best: best,
            saved_at_best: best_signed.map(|best| harmed_signed - best),
        }
    }

    /// # Errors
    /// Never in practice: all of it can be written as JSON.
    pub fn json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Lines for a terminal.
    pub fn text(&self) -> String {
        let rows = [
            ("what", self.about.to_owned()),
            ("visible", self.visible()),
            ("", format!("as {}", self.rule)),
            ("you acted", self.acted()),
            ("over", self.over()),
            (self.noun(), format!("{} of {}", self.harmed, self.requests)),
            ("at best", self.best()),
        ];
        let head = format!("Drill {}: {} {}, {}\n", self.seed, self.workload, self.version, self.incident);
        let rows: String = rows.iter().map(|(label, text)| format!("  {label:<10} {text}\n")).collect();
        format!("{head}{rows}  again with `rolltop demo drill --seed {}`\n", self.seed)
    }

    fn noun(&self) -> &'static str {
        if self.harm == Harm::Failed { "failed" } else { "slow" }
    }

    fn visible(&self) -> String {
        match self.visible_after {
            Some(after) => format!("{} after the release began", span(after)),
            None => format!("not yet, {} after the release began", span(self.counted_for)),
        }
    }

    fn acted(&self) -> String {
        match (self.acted_after, self.visible_after) {
            (Some(acted), Some(visible)) if acted >= visible => format!("{} later", span(acted - visible)),
            (Some(acted), _) => format!("{} after the release began, before the rule was crossed", span(acted)),
            (None, _) => "not on this workload".into(),
        }
    }

    fn over(&self) -> String {
        match self.over_after {
            Some(after) => format!("{} after the release began", span(after)),
            None => format!("not when the drill ended, {} after the release began", span(self.counted_for)),
        }
    }

    fn best(&self) -> String {
        let (Some(best), Some(saved)) = (self.harmed_at_best, self.saved_at_best) else {
            return "nothing was visible, so nothing could have been better".into();
        };
        let what = match self.harm {
            Harm::Failed => "failed".to_owned(),
            Harm::Slow => format!("slower than {SLOW:.0} ms"),
        };
        let saved = if saved > 0 { format!("{saved} saved") } else { "you could not have done better".into() };
        format!("{best} {what} with this answer as soon as it was visible: {} — {saved}", self.best_answer)
    }
}

fn span(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    if seconds < 60 { format!("{seconds} s") } else { format!("{}:{:02} min", seconds / 60, seconds % 60) }
}
