//! The test: evidence that one side fails more often than the other, valid at every look.
//!
//! Requests are taken in blocks. Before a block is seen, `b` is what the old side is expected to fail in it. For each
//! alternative of the table the likelihood of the block under it is divided by that under the nearest point where the new
//! side is no worse. With true shares that are no worse, the expectation of that factor is at most one, whatever the shares
//! are in this block and however they change from block to block; so the product over blocks is a non-negative
//! supermartingale and exceeds 1/α ever with a probability of at most α (Ville). Such products are known as e-processes or
//! safe tests (Turner, Ly, Grünwald). Looking at it any number of times, and stopping when one likes, costs nothing.

use serde::{Deserialize, Serialize};

/// How many times as often the new side might fail: the alternatives, of equal weight.
pub const RATIOS: [f64; 6] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0];

/// What a side that is "as good" may not exceed: half as many again, and one in a thousand more.
pub const TOLERATED: Line = Line { times: 1.5, plus: 0.001 };

/// One block is worth at most a factor of e³: a single scrape convicts nobody, however bad it looks.
/// To make a factor smaller keeps its expectation at most one.
const MOST_PER_BLOCK: f64 = 3.0;

/// Shares below this are taken for this.
const LEAST: f64 = 1e-7;

/// Requests of both sides in a block, and those of them that were bad. Not whole numbers: what counts them extrapolates.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Sample {
    pub new: f64,
    pub new_bad: f64,
    pub old: f64,
    pub old_bad: f64,
}

impl Sample {
    /// Finite, not negative, and not more bad requests than requests.
    pub fn is_sane(&self) -> bool {
        let side = |all: f64, bad: f64| all.is_finite() && bad.is_finite() && all >= 0.0 && (0.0..=all).contains(&bad);
        side(self.new, self.new_bad) && side(self.old, self.old_bad)
    }

    pub fn add(&mut self, more: &Self) {
        self.new += more.new;
        self.new_bad += more.new_bad;
        self.old += more.old;
        self.old_bad += more.old_bad;
    }
}

/// A border between shares: new = times × old + plus.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    pub times: f64,
    pub plus: f64,
}

/// The evidence so far.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Odds {
    /// Logarithm of the product for each of [`RATIOS`].
    worse: [f64; RATIOS.len()],
    as_good: f64,
}

impl Odds {
    /// Takes a block in. `b` is the old side's share as it was expected **before** this block was seen, `dispersion` (at least
    /// one) by how much counts spread more than chance alone would make them.
    pub fn take(&mut self, block: &Sample, b: f64, dispersion: f64) {
        if !block.is_sane() || !b.is_finite() || !dispersion.is_finite() {
            return;
        }
        let (b, power) = (b.clamp(LEAST, 0.9), dispersion.max(1.0).recip());
        for (sum, ratio) in self.worse.iter_mut().zip(RATIOS) {
            *sum += (factor_worse(block, (ratio * b).min(0.95), b) * power).min(MOST_PER_BLOCK);
        }
        self.as_good += (factor_as_good(block, b, TOLERATED) * power).min(MOST_PER_BLOCK);
    }

    /// Logarithm of the odds that the new side is worse.
    pub fn worse(&self) -> f64 {
        let most = self.worse.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + (self.worse.iter().map(|l| (l - most).exp()).sum::<f64>() / RATIOS.len() as f64).ln()
    }

    /// Logarithm of the odds that the new side is as good, within [`TOLERATED`].
    pub fn as_good(&self) -> f64 {
        self.as_good
    }
}

/// k·ln(p/q) + (n−k)·ln((1−p)/(1−q)).
fn likelihood(n: f64, k: f64, p: f64, q: f64) -> f64 {
    k * (p / q).ln() + (n - k) * ((1.0 - p) / (1.0 - q)).ln()
}

/// Against "fails no more often": alternative (a, b), nearest null the share of both together.
fn factor_worse(s: &Sample, a: f64, b: f64) -> f64 {
    let all = s.new + s.old;
    if all <= 0.0 || a <= b {
        return 0.0;
    }
    let t = (s.new * a + s.old * b) / all;
    likelihood(s.new, s.new_bad, a, t) + likelihood(s.old, s.old_bad, b, t)
}

/// Against "fails more than is tolerated": alternative (b, b), nearest null on the line.
fn factor_as_good(s: &Sample, b: f64, line: Line) -> f64 {
    let Some(x) = nearest(s.new, s.old, b, line) else { return 0.0 };
    likelihood(s.new, s.new_bad, b, line.times * x + line.plus) + likelihood(s.old, s.old_bad, b, x)
}

/// The old side's share at the point of the line that is nearest to (b, b) in information: where the derivative vanishes.
/// The worse shares make a convex set, so the factor against its nearest point has an expectation of at most one on all of it.
fn nearest(new: f64, old: f64, b: f64, line: Line) -> Option<f64> {
    if new <= 0.0 {
        return None;
    }
    let slope = |x: f64| {
        let y = line.times * x + line.plus;
        new * line.times * (y - b) / (y * (1.0 - y)) + old * (x - b) / (x * (1.0 - x))
    };
    let (mut low, mut high) = (LEAST * LEAST, b.min((1.0 - line.plus) / line.times - LEAST));
    if high <= low {
        return None;
    }
    for _ in 0..60 {
        let mid = 0.5 * (low + high);
        if slope(mid) < 0.0 { low = mid } else { high = mid }
    }
    Some(0.5 * (low + high))
}

/// Evidence that a request brings on average, as a logarithm: new side at `a`, old side at `b`, `part` of all requests new.
pub fn per_request_worse(a: f64, b: f64, part: f64) -> f64 {
    let (a, b) = (a.clamp(LEAST, 0.95), b.clamp(LEAST, 0.9));
    let t = part * a + (1.0 - part) * b;
    part * likelihood(1.0, a, a, t) + (1.0 - part) * likelihood(1.0, b, b, t)
}

/// The same for "as good" where both sides fail `b`.
pub fn per_request_as_good(b: f64, part: f64) -> f64 {
    let b = b.clamp(LEAST, 0.9);
    factor_as_good(&Sample { new: part, new_bad: part * b, old: 1.0 - part, old_bad: (1.0 - part) * b }, b, TOLERATED)
}

/// Wilson's interval for a share of `n` requests, `z` standard errors wide.
pub fn interval(n: f64, k: f64, z: f64) -> (f64, f64) {
    if n.is_nan() || n <= 0.0 || !k.is_finite() {
        return (0.0, 1.0);
    }
    let (p, zz) = ((k / n).clamp(0.0, 1.0), z * z);
    let mid = (p + zz / (2.0 * n)) / (1.0 + zz / n);
    let half = z / (1.0 + zz / n) * (p * (1.0 - p) / n + zz / (4.0 * n * n)).sqrt();
    ((mid - half).max(0.0), (mid + half).min(1.0))
}
