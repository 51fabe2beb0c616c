//! Promotion by policy: while it is armed, the guard may use its one act to go one step on instead of back.
//!
//! Only where the policy says so in words, only at a pause that waits for a person, and only when the requests of this very
//! pause say that the new side is as good as the old one. What a person could override is final here: whatever speaks against
//! it, or is not known, leaves the release where it waits.

use std::time::Duration;

use chrono::TimeDelta;

use super::Ground;
use crate::{
    engine::Plan,
    intent::{Danger, Intent},
    model::{AnalysisPhase, Phase, Rollout, Severity, StepKind, Strategy, Text, Time, WaitFor, metrics::RolloutMetrics},
    state::Known,
    verdict::{self, Advice, Trial, rules},
};

/// The words by which a policy lets it.
pub const WORDS: &str = "when as good as the old side";

/// What the policy lets the guard do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// For so long the new side must have been as good, without a break.
    pub after: Duration,
}

/// One pause of one release. Another step, another version, or a pause that begins anew is another one.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    release: Text,
    step: usize,
    of: usize,
    since: Option<Time>,
}

impl Place {
    /// Where a rollout waits, if that is where a person would promote it by one step and there is nothing else to decide.
    fn of(rollout: &Rollout, now: Time) -> Option<Self> {
        let wait = rollout.wait.as_ref().filter(|wait| wait.who == WaitFor::Human && wait.until.is_none())?;
        let paused = matches!(rollout.steps.now()?.kind, StepKind::Pause(_));
        // A phase that should stand for a while has stood for so long.
        let due = rollout.next.at.is_none_or(|at| now >= at);
        let decided = |phase| matches!(phase, AnalysisPhase::Failed | AnalysisPhase::Error | AnalysisPhase::Inconclusive);
        let undecided = rollout.analyses.iter().any(|analysis| analysis.current && decided(analysis.phase));
        let alarmed = rollout.notices.iter().any(|notice| notice.severity == Severity::Danger);
        let calm = rollout.phase == Phase::Waiting && !rollout.unobserved && !undecided && !alarmed;
        let new = rollout.new_side().filter(|new| !new.hash.is_empty() && new.traffic.applied.is_some_and(|share| share > 0.0))?;
        let here = paused && due && calm && rollout.strategy == Strategy::Canary;
        let step = rollout.steps.current?;
        here.then(|| Self { release: new.hash.clone(), step, of: rollout.steps.items.len(), since: wait.since })
    }
}

/// A pause as it is watched, and what its own requests say: what was found at an earlier step says little of this one.
#[derive(Debug, Clone, PartialEq)]
pub struct Pause {
    place: Place,
    trial: Trial,
    /// Since when nothing speaks against going on, without a break, and how many requests were counted then.
    clear: Option<(Time, f64)>,
    /// Why it was not promoted, when that was tried.
    refused: bool,
}

impl Pause {
    fn begun(place: Place, rollout: &Rollout, now: Time) -> Self {
        let hash = |track: Option<&crate::model::Track>| track.map(|track| track.hash.clone()).unwrap_or_default();
        let trial = Trial::new(&hash(rollout.new_side()), &hash(rollout.old_side()), Some(now));
        Self { place, trial, clear: None, refused: false }
    }

    /// Takes in what was counted since.
    pub fn take(&mut self, fresh: &RolloutMetrics, rollout: &Rollout) {
        self.trial.limit = fresh.limit.or(self.trial.limit);
        let weight = rollout.new_side().and_then(|new| new.traffic.applied);
        fresh.blocks.iter().for_each(|block| self.trial.take(block, weight));
    }

    /// Whether nothing has spoken against it since some time.
    #[cfg(test)]
    pub fn is_clear_so_far(&self) -> bool {
        self.clear.is_some()
    }

    /// It was tried here, and may not be.
    pub fn refuse(&mut self) {
        self.refused = true;
    }

    /// `step 4/6`.
    pub fn step(&self) -> Text {
        format!("step {}/{}", self.place.step + 1, self.place.of).into()
    }

    /// What its own requests say.
    pub fn says(&self, ground: &Ground<'_>, known: &Known) -> verdict::Verdict {
        let case = verdict::Case::under(ground.settings, &known.rollout, ground.now);
        verdict::judge(&verdict::Case { metrics: ground.metrics, trial: Some(&self.trial), rules: &[], ..case })
    }

    /// Whether everything speaks for going on now, and nothing against it.
    fn is_clear(&self, ground: &Ground<'_>, known: &Known) -> bool {
        let read = ground.metrics.is_some_and(|metrics| {
            let users = metrics.new.rate.value().is_some_and(|rate| rate > 0.0);
            users && metrics.new.errors.value().is_some() && metrics.old.errors.value().is_some()
        });
        let good = |verdict: &verdict::Verdict| verdict.is == Advice::Go && !verdict.stale;
        read && super::arming::blind(ground, known).is_none()
            && good(&known.verdict)
            && good(&self.says(ground, known))
            && rules_are_quiet(ground, &known.rollout)
    }
}

/// Whether no rule that could hold a release has tripped, is about to, or cannot see.
fn rules_are_quiet(ground: &Ground<'_>, rollout: &Rollout) -> bool {
    let standing = ground.trial.map(|trial| trial.rules.as_slice()).unwrap_or_default();
    let of_weight = |rule: &rules::Rule| rule.effect > rules::Effect::Note && rule.concerns(rollout);
    ground.settings.rules.iter().enumerate().filter(|(_, rule)| of_weight(rule)).all(|(i, _)| {
        standing.get(i).is_some_and(|s| !s.tripped && (s.asleep || s.since.is_none() && s.value.is_some() && s.limit.is_some()))
    })
}

/// The pause the rollout is at, as it looks now; nothing where none may be ended by the guard.
pub fn look(ground: &Ground<'_>, known: &Known) -> Option<Pause> {
    let arming = ground.arming.filter(|arming| arming.promotes.is_some())?;
    let place = Place::of(&known.rollout, ground.now)?;
    let before = arming.pause.clone().filter(|pause| pause.place == place);
    let mut pause = before.unwrap_or_else(|| Pause::begun(place, &known.rollout, ground.now));
    pause.clear = match pause.is_clear(ground, known) {
        true => pause.clear.or(Some((ground.now, pause.trial.failing.seen.new))),
        false => None,
    };
    Some(pause)
}

/// Whether the policy asks for a promotion now. Asked again at the last moment, of the rollout as it is then.
pub fn calls_for_it(ground: &Ground<'_>, known: &Known) -> bool {
    let Some((policy, pause)) = ground.arming.and_then(|arming| Some((arming.promotes?, arming.pause.as_ref()?))) else { return false };
    let here = Place::of(&known.rollout, ground.now).is_some_and(|place| place == pause.place);
    let after = TimeDelta::from_std(policy.after).unwrap_or(TimeDelta::MAX);
    // Without a request in all that time it would rest on what was seen before.
    let held = pause.clear.is_some_and(|(since, seen)| ground.now - since >= after && pause.trial.failing.seen.new > seen);
    here && held && !pause.refused && pause.is_clear(ground, known)
}

/// What about a plan a person would have to weigh; nothing where it is one step and no more.
pub fn misgiving(plan: &Plan) -> Option<Text> {
    if plan.intent != Intent::Promote || plan.danger > Danger::Reversible {
        return Some("it would be more than one step".into());
    }
    let warned = plan.warnings.iter().find(|warning| warning.severity > Severity::Note);
    warned.map(|warning| warning.text.clone())
}
