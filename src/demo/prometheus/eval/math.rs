//! Calculations that must round as Prometheus' do.

/// A sum that keeps what rounding loses (Kahan's, improved by Neumaier).
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    pub value: f64,
    lost: f64,
}

impl Sum {
    pub fn new(value: f64) -> Self {
        Self { value, lost: 0.0 }
    }

    pub fn add(&mut self, more: f64) {
        let sum = self.value + more;
        if sum.is_infinite() {
            self.lost = 0.0;
        } else if self.value.abs() >= more.abs() {
            self.lost += (self.value - sum) + more;
        } else {
            self.lost += (more - sum) + self.value;
        }
        self.value = sum;
    }

    /// The sum with what was lost.
    pub fn exact(self) -> f64 {
        self.value + self.lost
    }

    /// The same, but infinite if the sum has become so.
    pub fn total(self) -> f64 {
        if self.value.is_infinite() { self.value } else { self.exact() }
    }

    fn scaled(self, factor: f64) -> Self {
        Self { value: self.value * factor, lost: self.lost * factor }
    }
}

/// A mean by the sum of all, or by steps once that sum would be infinite.
#[derive(Debug, Clone, Copy)]
pub struct Mean {
    sum: Sum,
    count: f64,
    by_steps: bool,
}

impl Mean {
    pub fn new(first: f64) -> Self {
        Self { sum: Sum::new(first), count: 1.0, by_steps: false }
    }

    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.by_steps {
            let mut sum = self.sum;
            sum.add(value);
            if !sum.value.is_infinite() {
                self.sum = sum;
                return;
            }
            self.by_steps = true;
            let before = self.count - 1.0;
            self.sum = Sum { value: self.sum.value / before, lost: self.sum.lost / before };
        }
        self.sum = self.sum.scaled((self.count - 1.0) / self.count);
        self.sum.add(value / self.count);
    }

    pub fn mean(self) -> f64 {
        let Sum { value, lost } = self.sum;
        if self.by_steps { self.sum.exact() } else { value / self.count + lost / self.count }
    }
}

/// The quantile of unsorted values, between two of them by distance.
pub fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&q) {
        return if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    // NaN counts as less than anything.
    values.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b)));
    let last = (values.len() - 1) as f64;
    let rank = q * last;
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(last);
    let weight = rank - rank.floor();
    values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
}

/// The greater of two, where NaN yields to nothing but infinity.
pub fn max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// The lesser of two, where NaN yields to nothing but minus infinity.
pub fn min(a: f64, b: f64) -> f64 {
    -max(-a, -b)
}

/// Slope and value at `origin` of the line through the points, by least squares. Seconds.
pub fn regression(points: &[(i64, f64)], origin: i64) -> (f64, f64) {
    let first = points.first().map_or(f64::NAN, |(_, value)| *value);
    if points.iter().all(|(_, value)| *value == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let n = points.len() as f64;
    let [mut xs, mut ys, mut xys, mut x2s] = [Sum::default(); 4];
    for (time, value) in points {
        let x = (time - origin) as f64 / 1e3;
        xs.add(x);
        ys.add(*value);
        xys.add(x * value);
        x2s.add(x * x);
    }
    let (x, y) = (xs.exact(), ys.exact());
    let covariance = xys.exact() - x * y / n;
    let variance = x2s.exact() - x * x / n;
    let slope = covariance / variance;
    (slope, y / n - slope * x / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_lose_nothing() {
        let mut sum = Sum::default();
        [1e100, 1.0, -1e100].iter().for_each(|value| sum.add(*value));
        assert_eq!(sum.total(), 1.0);
        let mut mean = Mean::new(f64::MAX);
        mean.add(f64::MAX);
        assert_eq!(mean.mean(), f64::MAX);
    }

    #[test]
    fn quantiles_lie_between() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0]), 2.0);
        assert_eq!(quantile(0.9, &mut [0.0, 10.0]), 9.0);
        assert_eq!(quantile(1.5, &mut [0.0]), f64::INFINITY);
        assert_eq!(quantile(-0.5, &mut [0.0]), f64::NEG_INFINITY);
        assert_eq!(quantile(1.0, &mut [f64::NAN, 7.0]), 7.0);
        assert!(quantile(f64::NAN, &mut [1.0]).is_nan() && quantile(0.0, &mut [f64::NAN, 1.0]).is_nan());
    }

    #[test]
    fn extremes_of_nan_are_nan() {
        assert!(max(f64::NAN, 1.0).is_nan() && min(1.0, f64::NAN).is_nan());
        assert_eq!((max(f64::NAN, f64::INFINITY), min(2.0, 1.0)), (f64::INFINITY, 1.0));
    }

    #[test]
    fn a_line_is_found_again() {
        let points: Vec<(i64, f64)> = (0..10).map(|i| (i * 1_000, 3.0 * i as f64 + 1.0)).collect();
        assert_eq!(regression(&points, 0), (3.0, 1.0));
        assert_eq!(regression(&[(0, 5.0), (9, 5.0)], 0), (0.0, 5.0));
    }
}
