//! Is the new version worse, in one sentence, and how sure is that.
//!
//! Pure. [`trial`] takes the counted requests of both sides block by block, [`sequential`] weighs them: its odds are honest
//! at every look, so a person may stare at them and stop whenever. What cannot be known holds a release, it never waves it on:
//! "go" is a finding of its own, and missing counts are no zeros.

pub mod mann_whitney;
pub mod recovery;
pub mod rules;
pub mod sequential;
pub mod trial;
pub mod words;

use std::time::Duration;

use chrono::TimeDelta;
use serde::Serialize;

use crate::model::{
    AnalysisPhase, Phase, Rollout, Strategy, Text, Time,
    metrics::{Reading, RolloutMetrics},
};
use crate::settings::Settings;
pub use recovery::Recovery;
use rules::{Effect, Rule, Standing};
pub use trial::{Strand, Trial};

/// From this share of failed requests on, the old side is sick itself.
const SICK: f64 = 0.03;
/// Slower is a reason to abort when so many times as many requests are slow; less is a reason to look.
const MUCH_SLOWER: f64 = 2.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    Go,
    Hold,
    Abort,
    NotEnoughData,
    #[default]
    None,
}

impl Advice {
    pub fn words(self) -> &'static str {
        match self {
            Self::Go => "GO",
            Self::Hold => "HOLD advised",
            Self::Abort => "ABORT advised",
            Self::NotEnoughData => "not enough data",
            Self::None => "not judged",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Verdict {
    pub is: Advice,
    pub because: Text,
    /// What else the verdict's pane says, a line each.
    #[serde(skip)]
    pub more: Vec<Text>,
    /// Every rule that concerns this release, in words, and how it stands.
    #[serde(skip)]
    pub rules: Vec<(Mark, Text)>,
    /// It was made from readings that were too old to go on.
    #[serde(skip)]
    pub stale: bool,
}

impl Verdict {
    fn new(is: Advice, because: impl Into<Text>) -> Self {
        Self { is, because: because.into(), ..Self::default() }
    }
}

/// How a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Fine,
    /// It is so, but not for long enough yet.
    Pending,
    Tripped(Effect),
    /// No value, or not its hours.
    Silent,
}

/// All that a verdict is made of.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    pub rollout: &'a Rollout,
    pub metrics: Option<&'a RolloutMetrics>,
    pub trial: Option<&'a Trial>,
    /// Guard rules of this session.
    pub rules: &'a [Rule],
    /// Whether the test has a say, or the rules alone.
    pub test: bool,
    /// Age from which readings are too old to go on.
    pub fresh: Duration,
    pub now: Time,
}

impl<'a> Case<'a> {
    /// Nothing measured yet, under the settings of this session.
    pub fn under(settings: &'a Settings, rollout: &'a Rollout, now: Time) -> Self {
        let (rules, test) = (&settings.rules[..], !settings.rules_alone);
        Self { rollout, metrics: None, trial: None, rules, test, fresh: settings.fresh.prometheus, now }
    }

    /// How old the readings are, in seconds, when they are too old.
    fn stale(&self) -> Option<f64> {
        let limit = TimeDelta::from_std(self.fresh).unwrap_or(TimeDelta::MAX);
        let age = self.now - self.metrics?.at?;
        (age > limit).then(|| age.as_seconds_f64())
    }

    pub fn is_stale(&self) -> bool {
        self.stale().is_some()
    }
}

/// The verdict on a release.
pub fn judge(case: &Case<'_>) -> Verdict {
    let failed = case.rollout.analyses.iter().find(|a| a.current && a.phase == AnalysisPhase::Failed);
    if let Some(failed) = failed {
        return Verdict::new(Advice::Abort, format!("its own {} analysis failed: {}", failed.kind.name(), failed.message));
    }
    let Some(metrics) = case.metrics.filter(|_| case.rollout.in_flight()) else { return Verdict::default() };
    let sides = Sides::of(case.rollout);
    let mut verdict = match case.trial.filter(|t| t.heard.is_some()) {
        _ if !case.test => ruled(case),
        Some(trial) => tried(case, trial, &sides),
        None => untried(metrics, &sides),
    };
    by_rules(case, &mut verdict);
    if (case.rollout.phase == Phase::Aborted || users_have_left(case.rollout)) && verdict.is == Advice::Abort {
        (verdict.is, verdict.because) = (Advice::None, format!("no user is on it now; before: {}", verdict.because).into());
    }
    verdict.stale = case.is_stale();
    verdict.more.extend(case.trial.into_iter().flat_map(|trial| details(trial, &sides, verdict.is)));
    verdict
}

/// Nobody is on the new version of a canary any more, or not yet. What answers a preview is no user, and says something.
fn users_have_left(rollout: &Rollout) -> bool {
    rollout.strategy == Strategy::Canary && rollout.new_side().is_some_and(|new| new.traffic.applied == Some(0.0))
}

/// Where the test has no say: nothing found is no go.
fn ruled(case: &Case<'_>) -> Verdict {
    match case.stale() {
        Some(age) => Verdict::new(Advice::Hold, format!("the last readings are {} old: no rule can say anything", words::about(age))),
        None if case.rules.is_empty() => Verdict::new(Advice::None, "the test is switched off, and there are no rules"),
        None => Verdict::new(Advice::NotEnoughData, "no rule speaks against it; that is no proof that it is good"),
    }
}

/// What the rules add: they can hold and abort, never go.
fn by_rules(case: &Case<'_>, verdict: &mut Verdict) {
    let Some(trial) = case.trial else { return };
    let standing = || case.rules.iter().zip(&trial.rules).filter(|(rule, _)| rule.concerns(case.rollout));
    verdict.rules = standing().map(|(rule, standing)| (mark(rule, standing), rule.words(standing, case.now))).collect();
    let asking = standing().filter_map(|(rule, standing)| Some((rule.asks(standing)?, rule, standing)));
    match asking.max_by_key(|(asks, rule, _)| (*asks, rule.level)) {
        Some((Effect::Abort, rule, standing)) if verdict.is != Advice::Abort => {
            (verdict.is, verdict.because) = (Advice::Abort, format!("rule {}", rule.words(standing, case.now)).into());
        }
        Some((Effect::Hold, rule, standing)) if verdict.is != Advice::Abort => {
            (verdict.is, verdict.because) = (Advice::Hold, format!("rule {}", rule.words(standing, case.now)).into());
        }
        _ => {}
    }
    // A rule that cannot see is no rule that was kept.
    let blind = standing().find(|(rule, standing)| rule.effect > Effect::Note && standing.value.is_none() && !standing.asleep);
    if let Some((rule, _)) = blind.filter(|_| verdict.is == Advice::Go || (!case.test && verdict.is == Advice::NotEnoughData)) {
        (verdict.is, verdict.because) =
            (Advice::Hold, format!("rule {} has no value to look at; else {}", rule.name, verdict.because).into());
    }
}

fn mark(rule: &Rule, standing: &Standing) -> Mark {
    match standing {
        _ if let Some(asks) = rule.asks(standing) => Mark::Tripped(asks),
        Standing { asleep: true, .. } | Standing { value: None, .. } | Standing { limit: None, .. } => Mark::Silent,
        Standing { since: Some(_), .. } => Mark::Pending,
        _ => Mark::Fine,
    }
}

/// What the two sides are called.
struct Sides {
    new: &'static str,
    old: &'static str,
}

impl Sides {
    fn of(rollout: &Rollout) -> Self {
        let name = |track: Option<&crate::model::Track>, or| track.and_then(|t| t.roles.first()).map_or(or, |role| role.name());
        Self { new: name(rollout.new_side(), "new"), old: name(rollout.old_side(), "old") }
    }
}

/// Nothing was counted on both sides yet.
fn untried(metrics: &RolloutMetrics, sides: &Sides) -> Verdict {
    match (metrics.new.rate, metrics.old.rate) {
        (Reading::Value(n), _) if n <= 0.0 => Verdict::new(Advice::NotEnoughData, format!("no request reached the {} side yet", sides.new)),
        (Reading::Value(_), Reading::Value(o)) if o <= 0.0 => {
            Verdict::new(Advice::NotEnoughData, format!("nothing to compare with: the {} side gets no requests", sides.old))
        }
        (Reading::Value(_), Reading::Value(_)) => {
            Verdict::new(Advice::NotEnoughData, format!("{} in use, its requests are being counted", sides.new))
        }
        (Reading::Value(_), other) => Verdict::new(Advice::None, format!("requests of the {} side: {}", sides.old, other.word())),
        (other, _) => Verdict::new(Advice::None, format!("requests of the {} side: {}", sides.new, other.word())),
    }
}

fn tried(case: &Case<'_>, trial: &Trial, sides: &Sides) -> Verdict {
    let (failing, slow) = (&trial.failing, &trial.slow);
    // That it is over must be seen: readings too old to go on tell nothing of it.
    let goes_on = |strand: &Strand| strand.is_worse() && (strand.calm().is_none() || case.is_stale());
    if goes_on(failing) {
        return Verdict::new(Advice::Abort, said(failing, sides, "fails", ""));
    }
    if goes_on(slow) {
        let much = slow.shares().is_some_and(|(new, old)| new >= MUCH_SLOWER * old);
        return Verdict::new(if much { Advice::Abort } else { Advice::Hold }, said(slow, sides, "is slow in", &over(trial)));
    }
    if let Some(age) = case.stale() {
        return Verdict::new(
            Advice::Hold,
            format!("the last readings are {} old: nothing says how the {} side does now", words::about(age), sides.new),
        );
    }
    for (strand, does, limit) in [(failing, "fails", String::new()), (slow, "is slow in", over(trial))] {
        if let Some(calm) = strand.calm().filter(|_| strand.is_worse()) {
            let text = format!(
                "it was worse, and has been as before for {}: an abort would help nobody now. In all {}",
                words::so_long(calm),
                said(strand, sides, does, &limit)
            );
            return Verdict::new(Advice::Hold, text);
        }
    }
    if let Some((new, old)) = failing.shares().filter(|_| failing.old_lately() >= SICK) {
        let text = format!(
            "the {} side fails as well: {}, {} {} of {} requests; not the new version's fault, an abort will not help",
            sides.old,
            words::percent(old),
            sides.new,
            words::percent(new),
            words::count(failing.seen.new)
        );
        return Verdict::new(Advice::Hold, text);
    }
    // Without latencies its failures must do; while it gets warm they are still to come.
    if failing.is_as_good() && (slow.is_as_good() || !slow.is_seen() && !trial.is_cold()) {
        return Verdict::new(Advice::Go, as_good(failing, slow, sides));
    }
    Verdict::new(Advice::NotEnoughData, undecided(trial, sides))
}

fn over(trial: &Trial) -> String {
    trial.limit.map(|l| format!(" (over {})", words::latency(l))).unwrap_or_default()
}

/// `canary fails 4.1 % of 1 204 requests, stable 0.2 %; odds 240 : 1; 49 users hit so far`.
fn said(strand: &Strand, sides: &Sides, does: &str, limit: &str) -> String {
    let Some((new, old)) = strand.shares() else { return String::new() };
    let lately = strand.recovering().filter(|_| strand.calm().is_none());
    let lately =
        lately.map(|(for_so_long, share)| format!(" (the last {}: {}, as before)", words::so_long(for_so_long), words::percent(share)));
    let mut out = format!(
        "{} {does} {} of {} requests{limit}{}, {} {}; odds {}",
        sides.new,
        words::percent(new),
        words::count(strand.seen.new),
        lately.unwrap_or_default(),
        sides.old,
        words::percent(old),
        words::odds(strand.odds())
    );
    if let Some((hit, _)) = strand.excess().filter(|(hit, _)| *hit >= 1.0) {
        out.push_str(&format!("; {} users hit so far", words::count(hit)));
    }
    out
}

fn compared(strand: &Strand, sides: &Sides) -> String {
    let Some((new, old)) = strand.shares() else { return format!("no request reached the {} side yet", sides.new) };
    let seen = words::count(strand.seen.new);
    format!("{} fails {} of {seen} requests, {} {}", sides.new, words::percent(new), sides.old, words::percent(old))
}

fn as_good(failing: &Strand, slow: &Strand, sides: &Sides) -> String {
    let speed = if slow.is_seen() { "no slower" } else { "speed not measured" };
    format!(
        "as good as before: {}; odds {} that it is not half as bad again; {speed}",
        compared(failing, sides),
        words::odds(failing.odds_as_good())
    )
}

/// What is missing, and how long that takes at this traffic.
fn undecided(trial: &Trial, sides: &Sides) -> String {
    let (failing, slow) = (&trial.failing, &trial.slow);
    let waits = match (failing.until_double(), failing.until_as_good()) {
        (Some(s), _) if s > 0.0 => format!("twice as many would show in ≈ {} at this traffic", words::about(s)),
        (_, Some(s)) if s > 0.0 && !failing.is_as_good() => {
            format!("twice as many would show by now; to call it as good takes ≈ {} more", words::about(s))
        }
        _ if trial.is_cold() => "as few failures as before; its speed counts once it is warm".into(),
        _ if slow.is_seen() && !slow.is_as_good() => "as few failures as before; its speed is still being compared".into(),
        _ => "no difference found so far".into(),
    };
    format!("{}; {waits}", compared(failing, sides))
}

/// The numbers behind the sentence.
fn details(trial: &Trial, sides: &Sides, is: Advice) -> Vec<Text> {
    let mut lines = Vec::new();
    for (strand, what) in [(&trial.failing, "failed".to_owned()), (&trial.slow, format!("slow{}", over(trial)))] {
        let Some((new, old)) = strand.shares() else { continue };
        let s = &strand.seen;
        let ratio = words::times(new, old).map(|t| format!(", {t}")).unwrap_or_default();
        let odds = words::odds(strand.odds());
        let spread = strand.dispersion();
        lines.push(format!(
            "{what}: {} {}, {} {}{ratio}; odds of worse {odds}",
            sides.new,
            range(s.new, s.new_bad, spread),
            sides.old,
            range(s.old, s.old_bad, spread)
        ));
    }
    // Beside a go it would be a contradiction: what the evidence does not call worse costs nothing.
    let costs = is != Advice::Go && trial.failing.odds() > 1.0 && trial.failing.calm().is_none();
    if let Some((so_far, a_second)) = trial.failing.excess().filter(|(so_far, _)| costs && *so_far >= 1.0) {
        lines.push(format!(
            "cost of waiting: ≈ {} failed requests a minute more than before, {} so far",
            words::count(a_second * 60.0),
            words::count(so_far)
        ));
    }
    let spread = trial.failing.dispersion();
    if spread >= 1.3 {
        lines.push(format!("failures come in bursts, {spread:.1}× as uneven as chance: the test takes that into account"));
    }
    lines.into_iter().map(Text::from).collect()
}

/// `4.1 % (3.1–5.4) of 1 204`: 95 of 100 such intervals hold the true share, each for one look.
fn range(n: f64, k: f64, spread: f64) -> String {
    let (low, high) = sequential::interval(n / spread, k / spread, 1.96);
    let bare = |share| words::percent(share).trim_end_matches(" %").to_owned();
    format!("{} ({}–{}) of {}", words::percent(k / n), bare(low), bare(high), words::count(n))
}
