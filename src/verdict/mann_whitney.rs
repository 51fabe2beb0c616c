//! Spinnaker's judge, for those who trust it: Kayenta's Mann–Whitney classifier on the readings of both sides.
//!
//! As its documentation has it: a confidence interval of 98 % for the shift between the two distributions, by the
//! Hodges–Lehmann estimate; the new side is higher when the whole interval lies above a quarter of the estimate.
//! It takes readings for independent and is meant for one look at the end; asked at every reading it cries wolf.

/// Readings a side must have; Kayenta's own advice.
pub const LEAST: usize = 50;
/// Part of the estimate that the interval must lie above.
const TOLERANCE: f64 = 0.25;
/// Quantile of the normal distribution for an interval of 98 %.
const Z: f64 = 2.326_347_874;
/// Readings looked at on each side: the pairs grow with their square.
const MOST: usize = 120;

/// Whether the new side's readings lie higher; nothing with too few to say.
pub fn is_higher(new: &[f64], old: &[f64]) -> Option<bool> {
    let tail = |values: &[f64]| values.iter().copied().filter(|v| v.is_finite()).rev().take(MOST).collect::<Vec<f64>>();
    let (new, old) = (tail(new), tail(old));
    if new.len() < LEAST || old.len() < LEAST {
        return None;
    }
    let mut shifts: Vec<f64> = new.iter().flat_map(|n| old.iter().map(move |o| n - o)).collect();
    let (n, m) = (new.len() as f64, old.len() as f64);
    let spread = (n * m * (n + m + 1.0) / 12.0 - ties(&new, &old)).max(0.0).sqrt();
    let rank = (n * m / 2.0 - Z * spread).floor().max(0.0) as usize;
    let middle = shifts.len() / 2;
    let mut ranked = |i: usize| *shifts.select_nth_unstable_by(i, f64::total_cmp).1;
    let (estimate, low) = (ranked(middle), ranked(rank.min(middle)));
    Some(low > TOLERANCE * estimate.abs())
}

/// What equal readings take from the variance.
fn ties(new: &[f64], old: &[f64]) -> f64 {
    let mut all: Vec<f64> = new.iter().chain(old).copied().collect();
    all.sort_by(f64::total_cmp);
    let (n, m) = (new.len() as f64, old.len() as f64);
    let runs = all.chunk_by(|a, b| a == b).map(|run| run.len() as f64).map(|t| t.powi(3) - t).sum::<f64>();
    n * m * runs / (12.0 * (n + m) * (n + m - 1.0))
}
