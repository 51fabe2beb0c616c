//! What is known of one release: the test for failures and the test for slowness, block by block.

use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{
    rules::{Ground, Rule, Standing},
    sequential::{Odds, RATIOS, Sample, TOLERATED, per_request_as_good, per_request_worse},
};
use crate::model::{
    Rollout, Time,
    metrics::{Block, Counts, RolloutMetrics, Series},
};

/// False alarms that are accepted over a whole release, both tests together.
pub const ALPHA: f64 = 0.01;
/// Odds from which the new side counts as worse: half of [`ALPHA`] for each of the two tests.
pub const WORSE: f64 = 2.0 / ALPHA;
/// Once found worse, it stays so until the odds fall below this: advice that flickers helps nobody.
const NO_LONGER: f64 = 10.0;
/// What was found worse counts as over when the odds have fallen by so much since, and so long ago; the time is doubled by
/// each relapse.
const OVER: f64 = 100.0;
const CALM_AFTER: f64 = 120.0;
/// Odds from which the new side counts as good. To go on wrongly can be taken back; so this is less than for an alarm.
pub const AS_GOOD: f64 = 20.0;
/// A block longer than this mixes hours, and weights, that have nothing to do with each other.
const LONGEST: TimeDelta = TimeDelta::minutes(2);
/// In this time half of what the old side did is forgotten, where it is used to expect what it does next.
const HALF_LIFE: f64 = 300.0;
/// Requests that a prior belief is worth.
const PRIOR: f64 = 10.0;

/// One release, new version against old. About a kilobyte; can be put away and taken up again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Hashes of the two versions: with others it is another trial.
    versions: [Box<str>; 2],
    /// Requests before this do not count.
    begins: Option<Time>,
    upto: Option<Time>,
    /// The new side's share of users, in per cent, that the last block was seen under.
    weight: Option<i64>,
    pub failing: Strand,
    pub slow: Strand,
    /// Slowness of the new side does not count for so many seconds from its first request on; failures always do.
    warm_up: f64,
    /// The end of that.
    warm: Option<Time>,
    /// Seconds above which a request is slow.
    pub limit: Option<f64>,
    /// When both sides were last counted.
    pub heard: Option<Time>,
    /// The old side's readings when the release began, by series.
    start: [Option<f64>; Series::ALL.len()],
    /// In the order of the session's rules.
    pub rules: Vec<Standing>,
}

impl Trial {
    /// A trial of these versions. Without `begins` it begins with the first block it is given, which does not count.
    pub fn new(new: &str, old: &str, begins: Option<Time>) -> Self {
        Self {
            versions: [new.into(), old.into()],
            begins,
            upto: None,
            weight: None,
            failing: Strand::expecting(0.01),
            slow: Strand::expecting(0.05),
            warm_up: 0.0,
            warm: None,
            limit: None,
            heard: None,
            start: [None; Series::ALL.len()],
            rules: Vec::new(),
        }
    }

    /// Fresh pods answer slowly until their caches are filled: that says little about the version.
    pub fn warming_up(mut self, length: Duration) -> Self {
        self.warm_up = length.as_secs_f64();
        self
    }

    /// Whether all that was seen of the new side so far was seen while it got warm.
    pub fn is_cold(&self) -> bool {
        self.warm_up > 0.0 && self.warm.zip(self.upto).is_none_or(|(warm, upto)| upto <= warm)
    }

    pub fn is_of(&self, new: &str, old: &str) -> bool {
        *self.versions[0] == *new && *self.versions[1] == *old
    }

    /// Takes a block in, unless it may not count: seen before, from before the release, too long, or cut by a new weight.
    pub fn take(&mut self, block: &Block, weight: Option<f64>) {
        if self.upto.is_some_and(|upto| block.from < upto) || block.to <= block.from {
            return;
        }
        self.upto = Some(block.to);
        let weight = weight.filter(|w| w.is_finite()).map(|w| (w * 1000.0).round() as i64);
        let steady = self.weight.zip(weight).is_none_or(|(before, now)| before == now);
        self.weight = weight.or(self.weight);
        let begun = *self.begins.get_or_insert(block.to) <= block.from;
        if block.to - block.from > LONGEST {
            return;
        }
        // A block from before the release, or under two weights, still tells what to expect of the old side.
        let (new, old) = (block.new.filter(|_| steady && begun), block.old);
        let seconds = (block.to - block.from).as_seconds_f64();
        let stretch = if block.stretch.is_finite() { block.stretch.max(1.0) } else { 1.0 };
        let comparable = new.is_some() && old.is_some();
        if comparable {
            self.heard = Some(block.to);
        }
        self.failing.take(sample(new, old, |c| Some((c.all, c.bad))), comparable, seconds, stretch);
        if new.is_some_and(|c| c.all > 0.0) {
            self.warm.get_or_insert(block.from + TimeDelta::milliseconds((self.warm_up * 1000.0) as i64));
        }
        let warm = self.warm.is_none_or(|warm| block.from >= warm);
        self.slow.take(sample(new.filter(|_| warm), old, |c| c.timed), comparable && warm, seconds, stretch);
    }

    /// Checks the rules against new readings.
    pub fn watch(&mut self, rules: &[Rule], rollout: &Rollout, metrics: &RolloutMetrics) {
        let Some(at) = metrics.at else { return };
        for series in Series::ALL {
            let now = metrics.old.get(series).value();
            self.start[series as usize] = self.start[series as usize].or(now);
        }
        let (start, began, requests) = (self.start, self.begins, self.failing.seen.new);
        self.rules.resize_with(rules.len(), Standing::default);
        for (rule, standing) in rules.iter().zip(&mut self.rules).filter(|(rule, _)| rule.concerns(rollout)) {
            rule.check(standing, &Ground { rollout, metrics, start: &start, began, requests, at });
        }
    }
}

/// The block of one question: a side that nobody counted is a side without requests, which is no evidence.
fn sample(new: Option<Counts>, old: Option<Counts>, of: impl Fn(Counts) -> Option<(f64, f64)>) -> Sample {
    let (new, new_bad) = new.and_then(&of).unwrap_or_default();
    let (old, old_bad) = old.and_then(&of).unwrap_or_default();
    Sample { new, new_bad, old, old_bad }
}

/// One question asked of every request: did it fail, was it slow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Strand {
    odds: Odds,
    /// All requests of the trial.
    pub seen: Sample,
    old: Past,
    new: Past,
    worse: bool,
    seconds: f64,
    /// The most that [`Strand::excess`] ever was: users that were hit stay hit.
    hit: f64,
    turn: Turn,
    lately: Lately,
    waiting: Waiting,
}

/// The newest requests: those of the span before this one, and those of this one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Lately {
    before: Sample,
    now: Sample,
    seconds: [f64; 2],
}

impl Lately {
    const SPAN: f64 = 60.0;

    fn take(&mut self, sample: &Sample, seconds: f64) {
        if self.seconds[1] >= Self::SPAN {
            *self = Self { before: self.now, now: Sample::default(), seconds: [self.seconds[1], 0.0] };
        }
        self.now.add(sample);
        self.seconds[1] += seconds;
    }
}

/// Which way the odds go. They add up all that happened, so they stay high long after it is over: whether it is over is told
/// by how far they have fallen since they were highest (Page's test).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Turn {
    /// They have fallen since by [`OVER`].
    falling: bool,
    /// Their logarithm where they were highest, or when falling lowest since.
    edge: f64,
    /// Since they were highest.
    seconds: f64,
    relapses: i32,
}

impl Turn {
    fn take(&mut self, odds: f64, seconds: f64) {
        self.seconds += seconds;
        if self.falling {
            self.edge = self.edge.min(odds);
            // As much as was needed to find it in the first place.
            if odds >= self.edge + WORSE.ln() {
                let relapses = self.relapses + i32::from(self.is_over());
                *self = Self { falling: false, edge: odds, seconds: 0.0, relapses };
            }
        } else if odds >= self.edge {
            (self.edge, self.seconds) = (odds, 0.0);
        } else if odds <= self.edge - OVER.ln() {
            (self.falling, self.edge) = (true, odds);
        }
    }

    fn is_over(&self) -> bool {
        self.falling && self.seconds >= CALM_AFTER * 2.0_f64.powi(self.relapses.min(6))
    }
}

/// Blocks that are not weighed yet.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Waiting {
    sample: Sample,
    seconds: f64,
    stretch: f64,
}

impl Strand {
    fn expecting(share: f64) -> Self {
        let past = || Past { prior: share, ..Past::default() };
        Self {
            odds: Odds::default(),
            seen: Sample::default(),
            old: past(),
            new: past(),
            worse: false,
            seconds: 0.0,
            hit: 0.0,
            turn: Turn::default(),
            lately: Lately::default(),
            waiting: Waiting::default(),
        }
    }

    /// Pods are scraped at moments of their own, so a block may show one side only: it waits for the other.
    fn take(&mut self, block: Sample, comparable: bool, seconds: f64, stretch: f64) {
        if !block.is_sane() {
            return;
        }
        if !comparable {
            self.learn();
        }
        let Waiting { sample, seconds: waited, stretch: most } = &mut self.waiting;
        sample.add(&block);
        (*waited, *most) = (*waited + seconds, most.max(stretch));
        let both = sample.new > 0.0 && sample.old > 0.0;
        if both && comparable {
            self.weigh();
        } else if !comparable || *waited >= LONGEST.as_seconds_f64() {
            // One side alone is no comparison, and no proof of being good either.
            self.learn();
        }
    }

    fn weigh(&mut self) {
        let Waiting { sample, seconds, stretch } = self.waiting.clone();
        // What is expected of a block is settled before it is looked at: that order makes the test honest.
        self.odds.take(&sample, self.old.expected(), self.dispersion() * stretch);
        self.seen.add(&sample);
        self.seconds += seconds;
        self.hit = self.hit.max(self.excess().map_or(0.0, |(hit, _)| hit));
        self.turn.take(self.odds.worse(), seconds);
        self.lately.take(&sample, seconds);
        self.worse = self.odds.worse() >= if self.worse { NO_LONGER.ln() } else { WORSE.ln() };
        self.learn();
    }

    /// What each side did becomes what is expected of it.
    fn learn(&mut self) {
        let Waiting { sample, seconds, .. } = std::mem::take(&mut self.waiting);
        self.old.take(sample.old, sample.old_bad, seconds);
        self.new.take(sample.new, sample.new_bad, seconds);
    }

    /// By how much counts spread more than chance: whichever side's do more.
    pub fn dispersion(&self) -> f64 {
        self.old.dispersion().max(self.new.dispersion())
    }

    /// Whether the new side was found worse, and still is.
    pub fn is_worse(&self) -> bool {
        self.worse
    }

    /// For how many seconds there was no sign of what it was found worse for, when that is sure enough to be said.
    pub fn calm(&self) -> Option<f64> {
        (self.turn.is_over() && self.recovering().is_some()).then_some(self.turn.seconds)
    }

    /// The last minute or two, where they look as good, which is no proof yet: seconds, and the share of bad requests.
    pub fn recovering(&self) -> Option<(f64, f64)> {
        let Lately { before, now, seconds } = &self.lately;
        let mut sample = *before;
        sample.add(now);
        let (new, old) = (sample.new_bad / sample.new, sample.old_bad / sample.old);
        let enough = seconds[0] > 0.0 && sample.new >= 3.0 * PRIOR && sample.old > 0.0;
        (enough && new <= TOLERATED.times * old + TOLERATED.plus).then_some((seconds.iter().sum(), new))
    }

    pub fn is_as_good(&self) -> bool {
        !self.worse && self.odds.as_good() >= AS_GOOD.ln()
    }

    /// Odds that the new side is worse, as x : 1.
    pub fn odds(&self) -> f64 {
        self.odds.worse().exp()
    }

    pub fn odds_as_good(&self) -> f64 {
        self.odds.as_good().exp()
    }

    pub fn is_seen(&self) -> bool {
        self.seen.new > 0.0 && self.seen.old > 0.0
    }

    /// What the old side fails lately.
    pub fn old_lately(&self) -> f64 {
        self.old.expected()
    }

    /// Shares of bad requests, new and old.
    pub fn shares(&self) -> Option<(f64, f64)> {
        self.is_seen().then(|| (self.seen.new_bad / self.seen.new, self.seen.old_bad / self.seen.old))
    }

    /// Bad requests of the new side that the old one would not have had, as an estimate: all in all, which only grows, and a
    /// second.
    pub fn excess(&self) -> Option<(f64, f64)> {
        let (new, old) = self.shares()?;
        let all = ((new - old) * self.seen.new).max(self.hit);
        let rate = if self.seconds > 0.0 { self.seen.new / self.seconds } else { 0.0 };
        Some((all, (new - old).max(0.0) * rate))
    }

    /// Seconds of the traffic seen so far until twice the old side's share would show, from now; zero when it would have by now.
    pub fn until_double(&self) -> Option<f64> {
        let b = self.old.expected();
        let goal = WORSE.ln() + (RATIOS.len() as f64).ln();
        self.until(goal, 0.0, |part| per_request_worse(2.0 * b, b, part))
    }

    /// Seconds until "as good" would be found, if it is.
    pub fn until_as_good(&self) -> Option<f64> {
        let b = self.old.expected();
        self.until(AS_GOOD.ln(), self.odds.as_good(), |part| per_request_as_good(b, part))
    }

    fn until(&self, goal: f64, so_far: f64, per_request: impl Fn(f64) -> f64) -> Option<f64> {
        let all = self.seen.new + self.seen.old;
        if !self.is_seen() || self.seconds <= 0.0 {
            return None;
        }
        let gain = per_request(self.seen.new / all) / self.dispersion();
        let needed = (goal - so_far) / gain;
        let done = if so_far == 0.0 { all } else { 0.0 };
        (gain > 0.0).then(|| ((needed - done) / (all / self.seconds)).max(0.0)).filter(|s| s.is_finite())
    }
}

/// What one side did lately, and how unevenly.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Past {
    prior: f64,
    /// Requests, fading.
    all: f64,
    bad: f64,
    /// A run of blocks being gathered until one bad request is due in it.
    run: (f64, f64),
    /// The share of the run before.
    before: Option<(f64, f64)>,
    /// Squared distance of neighbouring runs over what chance would make of it: sum, number.
    spread: (f64, f64),
}

impl Past {
    /// The share of bad requests to expect of the next block.
    fn expected(&self) -> f64 {
        (self.bad + self.prior * PRIOR) / (self.all + PRIOR)
    }

    /// At least one; few runs say little.
    fn dispersion(&self) -> f64 {
        const DOUBT: f64 = 8.0;
        ((DOUBT + self.spread.0) / (DOUBT + self.spread.1)).clamp(1.0, 100.0)
    }

    fn take(&mut self, all: f64, bad: f64, seconds: f64) {
        self.gather(all, bad);
        let keep = 0.5_f64.powf(seconds / HALF_LIFE);
        self.all = self.all * keep + all;
        self.bad = self.bad * keep + bad;
    }

    /// Compares neighbouring runs, not each with the mean: a slow tide is no unevenness.
    fn gather(&mut self, all: f64, bad: f64) {
        let p = self.expected().min(0.99);
        self.run.0 += all;
        self.run.1 += bad;
        if self.run.0 * p < 1.0 {
            return;
        }
        let (n, k) = std::mem::take(&mut self.run);
        if let Some((m, j)) = self.before.replace((n, k)) {
            let both = ((k + j + p) / (n + m + 1.0)).clamp(1e-9, 0.99);
            let chance = both * (1.0 - both) * (1.0 / n + 1.0 / m);
            let far = (k / n - j / m).powi(2) / chance;
            if far.is_finite() {
                self.spread.0 += far.min(100.0);
                self.spread.1 += 1.0;
            }
        }
    }
}
