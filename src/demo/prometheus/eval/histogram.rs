//! Quantiles and fractions of classic histograms.

use std::collections::HashMap;

use super::{
    super::{
        labels::{BUCKET, Labels},
        parse::Expr,
    },
    ABSENT, Eval, Line, Out, Result, functions, is_stale, merged,
};

/// Counts nearer to each other than this part of their sum are the same but for rounding.
const TOLERANCE: f64 = 1e-12;

/// Requests that took at most `bound`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    bound: f64,
    count: f64,
}

/// Lines of one histogram, with their bounds.
struct Histogram {
    labels: Labels,
    buckets: Vec<(f64, Line)>,
}

/// `histogram_quantile(q, vector)`.
pub fn quantile(eval: Eval<'_>, arguments: &[Expr]) -> Result<Out> {
    let q = functions::number_of(eval, arguments, 0, f64::NAN)?;
    q.iter().for_each(|q| functions::check_quantile(eval, *q));
    of_histograms(eval, arguments.get(1), |step, buckets| {
        let (value, fixed) = bucket_quantile(q[step], buckets);
        if fixed {
            eval.inform(
                "input to histogram_quantile needed to be fixed for monotonicity \
                 (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)",
            );
        }
        value
    })
}

/// `histogram_fraction(lower, upper, vector)`.
pub fn fraction(eval: Eval<'_>, arguments: &[Expr]) -> Result<Out> {
    let lower = functions::number_of(eval, arguments, 0, f64::NAN)?;
    let upper = functions::number_of(eval, arguments, 1, f64::NAN)?;
    of_histograms(eval, arguments.get(2), |step, buckets| bucket_fraction(lower[step], upper[step], buckets))
}

/// Puts each histogram's buckets together and asks `value` at each step that has some.
fn of_histograms(eval: Eval<'_>, vector: Option<&Expr>, value: impl Fn(usize, Vec<Bucket>) -> f64) -> Result<Out> {
    let lines = vector.map_or(Ok(Vec::new()), |vector| eval.vector(vector))?;
    let mut lines_out = Vec::new();
    for histogram in histograms(eval, lines) {
        let mut at = |step: usize| {
            let present = histogram.buckets.iter().map(|(bound, line)| Bucket { bound: *bound, count: line.values[step] });
            let mut buckets: Vec<Bucket> = present.filter(|bucket| !is_stale(bucket.count)).collect();
            buckets.sort_by(|a, b| a.bound.total_cmp(&b.bound));
            if buckets.is_empty() { ABSENT } else { value(step, buckets) }
        };
        let values = (0..eval.grid.steps).map(&mut at).collect();
        lines_out.push(Line { labels: histogram.labels, values });
    }
    merged(lines_out).map(Out::Vector)
}

fn histograms(eval: Eval<'_>, lines: Vec<Line>) -> Vec<Histogram> {
    let mut places: HashMap<Labels, usize> = HashMap::new();
    let mut histograms: Vec<Histogram> = Vec::new();
    for line in lines {
        let written = line.labels.get(BUCKET);
        let Ok(bound) = written.parse::<f64>() else {
            eval.warn(format!("bucket label \"le\" is missing or has a malformed value of {written:?}"));
            continue;
        };
        // Histograms of different names are different, although their results will have the same labels.
        let place = *places.entry(line.labels.without_bucket()).or_insert_with(|| {
            histograms.push(Histogram { labels: line.labels.without_bucket().without_name(), buckets: Vec::new() });
            histograms.len() - 1
        });
        histograms[place].buckets.push((bound, line));
    }
    histograms
}

/// The quantile, and whether counts that fell had to be lifted. Buckets are sorted.
fn bucket_quantile(q: f64, buckets: Vec<Bucket>) -> (f64, bool) {
    if !(0.0..=1.0).contains(&q) {
        let beyond = if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
        return (if q.is_nan() { q } else { beyond }, false);
    }
    if !ends_open(&buckets) {
        return (f64::NAN, false);
    }
    let mut buckets = coalesced(buckets);
    let fixed = lift(&mut buckets);
    let last = buckets.len() - 1;
    let all = buckets[last].count;
    if last == 0 || all == 0.0 {
        return (f64::NAN, fixed);
    }
    let rank = q * all;
    // Not by partition: a NaN among the counts must lead where Go's binary search goes.
    let found = search(last, |index| buckets[index].count >= rank);
    let value = match found {
        _ if found == last => buckets[last - 1].bound,
        0 if buckets[0].bound <= 0.0 => buckets[0].bound,
        0 => buckets[0].bound * (rank / buckets[0].count),
        _ => {
            let (before, bucket) = (buckets[found - 1], buckets[found]);
            before.bound + (bucket.bound - before.bound) * ((rank - before.count) / (bucket.count - before.count))
        }
    };
    (value, fixed)
}

/// The first index below `end` for which `holds`, if it holds for all after one for which it does.
fn search(end: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, end);
    while low < high {
        let middle = usize::midpoint(low, high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// The share of requests between two values. Buckets are sorted.
fn bucket_fraction(lower: f64, upper: f64, buckets: Vec<Bucket>) -> f64 {
    if !ends_open(&buckets) {
        return f64::NAN;
    }
    let buckets = coalesced(buckets);
    let all = buckets.last().map_or(0.0, |bucket| bucket.count);
    if all == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, &buckets, all) - rank_of(lower, &buckets, all)) / all
}

/// How many requests took less than `value`.
fn rank_of(value: f64, buckets: &[Bucket], all: f64) -> f64 {
    let first = buckets.first().map_or(0.0, |bucket| bucket.bound);
    // Without a bound at or below zero there are no negative values.
    let mut lower = Bucket { bound: if first <= 0.0 { f64::NEG_INFINITY } else { 0.0 }, count: 0.0 };
    for bucket in buckets {
        let within = if lower.bound >= value {
            Some(lower.count)
        } else if bucket.bound <= value {
            None
        } else if lower.bound == f64::NEG_INFINITY {
            Some(bucket.count)
        } else {
            Some(lower.count + (bucket.count - lower.count) * (value - lower.bound) / (bucket.bound - lower.bound))
        };
        if let Some(rank) = within {
            return if rank > all { all } else { rank };
        }
        lower = *bucket;
    }
    all
}

fn ends_open(buckets: &[Bucket]) -> bool {
    buckets.last().is_some_and(|bucket| bucket.bound == f64::INFINITY)
}

/// One bucket for each bound.
fn coalesced(buckets: Vec<Bucket>) -> Vec<Bucket> {
    let mut all: Vec<Bucket> = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        match all.last_mut() {
            Some(last) if last.bound == bucket.bound => last.count += bucket.count,
            _ => all.push(bucket),
        }
    }
    all
}

/// Makes counts never fall; says whether one fell by more than rounding does.
fn lift(buckets: &mut [Bucket]) -> bool {
    let mut fixed = false;
    let mut before = buckets.first().map_or(0.0, |bucket| bucket.count);
    for bucket in buckets.iter_mut().skip(1) {
        let rounding = almost(before, bucket.count);
        if rounding || bucket.count < before {
            fixed |= !rounding;
            bucket.count = before;
        } else {
            before = bucket.count;
        }
    }
    fixed
}

fn almost(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f64 = f64::INFINITY;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs.iter().map(|(bound, count)| Bucket { bound: *bound, count: *count }).collect()
    }

    #[test]
    fn quantiles_lie_evenly_within_a_bucket() {
        let latency = || buckets(&[(1.0, 10.0), (2.0, 30.0), (4.0, 40.0), (INF, 50.0)]);
        let at = |q| bucket_quantile(q, latency()).0;
        assert_eq!([at(0.1), at(0.4), at(0.7), at(0.99), at(0.0), at(1.0)], [0.5, 1.5, 3.0, 4.0, 0.0, 4.0]);
        assert_eq!([at(-1.0), at(2.0)], [f64::NEG_INFINITY, INF]);
        assert!(at(f64::NAN).is_nan());
    }

    #[test]
    fn broken_histograms_have_no_quantile_or_are_mended() {
        assert!(bucket_quantile(0.5, buckets(&[(1.0, 10.0), (2.0, 30.0)])).0.is_nan());
        assert!(bucket_quantile(0.5, buckets(&[(INF, 30.0)])).0.is_nan());
        assert!(bucket_quantile(0.5, buckets(&[(1.0, 0.0), (INF, 0.0)])).0.is_nan());
        let fell = buckets(&[(1.0, 10.0), (2.0, 5.0), (4.0, 20.0), (INF, 20.0)]);
        assert_eq!(bucket_quantile(0.75, fell), (3.0, true));
        let rounded = buckets(&[(1.0, 10.0), (2.0, 10.0 - 1e-14), (4.0, 20.0), (INF, 20.0)]);
        assert_eq!(bucket_quantile(0.75, rounded), (3.0, false));
        assert_eq!(bucket_quantile(0.25, buckets(&[(-2.0, 10.0), (INF, 20.0)])).0, -2.0);
    }

    #[test]
    fn fractions_count_parts_of_buckets() {
        let latency = || buckets(&[(1.0, 10.0), (2.0, 30.0), (4.0, 40.0), (INF, 50.0)]);
        let of = |lower, upper| bucket_fraction(lower, upper, latency());
        assert_eq!([of(0.0, 1.0), of(0.5, 1.5), of(4.0, INF), of(-INF, INF), of(3.0, 1.0)], [0.2, 0.3, 0.2, 1.0, 0.0]);
        assert!(of(f64::NAN, 1.0).is_nan());
    }
}
