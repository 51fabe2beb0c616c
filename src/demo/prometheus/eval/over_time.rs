//! Functions over the samples of one series within a window.

use super::{
    super::Point,
    math::{self, Mean, Sum},
};

/// The samples after `from` and up to `to`, at least one. Milliseconds since 1970.
pub struct Window<'a> {
    pub points: &'a [Point],
    pub from: i64,
    pub to: i64,
    /// The step's own time; offsets do not move it.
    pub at: i64,
    /// The function's number, where it takes one.
    pub param: f64,
}

impl Window<'_> {
    fn values(&self) -> impl Iterator<Item = f64> {
        self.points.iter().map(|(_, value)| *value)
    }

    fn pairs(&self) -> impl Iterator<Item = (f64, f64)> {
        self.points.windows(2).map(|pair| (pair[0].1, pair[1].1))
    }

    fn ends(&self) -> (Point, Point) {
        let end = |point: Option<&Point>| point.copied().unwrap_or((0, f64::NAN));
        (end(self.points.first()), end(self.points.last()))
    }
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1_000.0
}

pub fn rate(window: &Window<'_>) -> Option<f64> {
    extrapolated(window, true, seconds(window.to - window.from))
}

pub fn increase(window: &Window<'_>) -> Option<f64> {
    extrapolated(window, true, 1.0)
}

pub fn delta(window: &Window<'_>) -> Option<f64> {
    extrapolated(window, false, 1.0)
}

/// The change between the samples, drawn out to the window's ends where they are near them: by half the usual distance
/// at most, and for counters not below zero. Divided by `per`.
fn extrapolated(window: &Window<'_>, counter: bool, per: f64) -> Option<f64> {
    let steps = window.points.len().checked_sub(1).filter(|steps| *steps > 0)?;
    let ((first_at, first), (last_at, last)) = window.ends();
    let mut change = last - first;
    if counter {
        window.pairs().filter(|(before, after)| after < before).for_each(|(before, _)| change += before);
    }
    let sampled = seconds(last_at - first_at);
    let distance = sampled / steps as f64;
    let near = |gap: f64| if gap >= distance * 1.1 { distance / 2.0 } else { gap };
    let mut before = near(seconds(first_at - window.from));
    if counter && change > 0.0 && first >= 0.0 {
        before = before.min(sampled * (first / change));
    }
    let after = near(seconds(window.to - last_at));
    let factor = if sampled == 0.0 { 1.0 } else { (sampled + before + after) / sampled };
    // Two constant rates must not differ, even by rounding, where Prometheus' do not: the order of operations is its own.
    Some(change * (factor / per))
}

pub fn irate(window: &Window<'_>) -> Option<f64> {
    let ((before_at, before), (at, value)) = last_two(window)?;
    let change = if value < before { value } else { value - before };
    Some(change / seconds(at - before_at))
}

pub fn idelta(window: &Window<'_>) -> Option<f64> {
    let ((_, before), (_, value)) = last_two(window)?;
    Some(value - before)
}

fn last_two(window: &Window<'_>) -> Option<(Point, Point)> {
    match window.points {
        [.., before, last] if before.0 < last.0 => Some((*before, *last)),
        _ => None,
    }
}

pub fn deriv(window: &Window<'_>) -> Option<f64> {
    let (first, _) = window.ends();
    (window.points.len() > 1).then(|| math::regression(window.points, first.0).0)
}

pub fn predict_linear(window: &Window<'_>) -> Option<f64> {
    let (slope, now) = (window.points.len() > 1).then(|| math::regression(window.points, window.at))?;
    Some(slope * window.param + now)
}

pub fn changes(window: &Window<'_>) -> Option<f64> {
    Some(window.pairs().filter(|(a, b)| a != b && !(a.is_nan() && b.is_nan())).count() as f64)
}

pub fn resets(window: &Window<'_>) -> Option<f64> {
    Some(window.pairs().filter(|(before, after)| after < before).count() as f64)
}

pub fn avg(window: &Window<'_>) -> Option<f64> {
    let mut values = window.values();
    let mut mean = Mean::new(values.next()?);
    values.for_each(|value| mean.add(value));
    Some(mean.mean())
}

pub fn sum(window: &Window<'_>) -> Option<f64> {
    let mut sum = Sum::default();
    window.values().for_each(|value| sum.add(value));
    Some(sum.total())
}

pub fn min(window: &Window<'_>) -> Option<f64> {
    window.values().reduce(|least, value| if value < least || least.is_nan() { value } else { least })
}

pub fn max(window: &Window<'_>) -> Option<f64> {
    window.values().reduce(|most, value| if value > most || most.is_nan() { value } else { most })
}

pub fn count(window: &Window<'_>) -> Option<f64> {
    Some(window.points.len() as f64)
}

pub fn first(window: &Window<'_>) -> Option<f64> {
    window.values().next()
}

pub fn last(window: &Window<'_>) -> Option<f64> {
    window.values().last()
}

pub fn stdvar(window: &Window<'_>) -> Option<f64> {
    let (mut mean, mut squares) = (Sum::default(), Sum::default());
    for (index, value) in window.values().enumerate() {
        let off = value - mean.exact();
        mean.add(off / (index + 1) as f64);
        squares.add(off * (value - mean.exact()));
    }
    Some(squares.exact() / window.points.len() as f64)
}

pub fn stddev(window: &Window<'_>) -> Option<f64> {
    stdvar(window).map(f64::sqrt)
}

pub fn quantile(window: &Window<'_>) -> Option<f64> {
    let mut values: Vec<f64> = window.values().collect();
    Some(math::quantile(window.param, &mut values))
}

pub fn present(_: &Window<'_>) -> Option<f64> {
    Some(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples every ten seconds from the tenth on, in a window from 0 to `to` seconds.
    fn window(values: &[f64], to: i64, of: fn(&Window<'_>) -> Option<f64>) -> Option<f64> {
        let points: Vec<Point> = values.iter().enumerate().map(|(i, value)| ((i as i64 + 1) * 10_000, *value)).collect();
        of(&Window { points: &points, from: 0, to: to * 1_000, at: to * 1_000, param: 0.5 })
    }

    #[test]
    fn rates_reach_to_the_ends_of_the_window() {
        // 10 s to the first sample is within 1.1 steps, so all 60 s count.
        let steady = [100.0, 110.0, 120.0, 130.0, 140.0, 150.0];
        assert_eq!(window(&steady, 60, rate), Some(1.0));
        assert_eq!(window(&steady, 60, increase), Some(60.0));
        // The last sample is 20 s old: half a step is added.
        assert_eq!(window(&steady, 80, increase), Some(50.0 * (50.0 + 10.0 + 5.0) / 50.0));
        // A counter that was 5 at first cannot have been counting for longer than 5 s.
        assert_eq!(window(&[5.0, 15.0, 25.0], 30, increase), Some(20.0 * (20.0 + 5.0) / 20.0));
        assert_eq!(window(&[5.0, 15.0, 25.0], 30, delta), Some(20.0 * 30.0 / 20.0));
        // A reset: 10 up to 30, then from 0 to 20.
        assert_eq!(window(&[100.0, 110.0, 0.0, 20.0], 40, increase), Some((20.0 - 100.0 + 110.0) * 40.0 / 30.0));
        assert_eq!(window(&[1.0], 10, rate), None);
    }

    #[test]
    fn the_last_two_samples_make_an_instant_rate() {
        assert_eq!(window(&[0.0, 3.0, 8.0], 30, irate), Some(0.5));
        assert_eq!(window(&[0.0, 8.0, 3.0], 30, irate), Some(0.3));
        assert_eq!(window(&[0.0, 8.0, 3.0], 30, idelta), Some(-5.0));
        assert_eq!(window(&[8.0], 30, idelta), None);
    }

    #[test]
    fn lines_are_found_and_drawn_on() {
        assert_eq!(window(&[1.0, 3.0, 5.0], 30, deriv), Some(0.2));
        let drawn = window(&[1.0, 3.0, 5.0], 30, predict_linear);
        assert!(drawn.is_some_and(|value| (value - 5.1).abs() < 1e-12), "{drawn:?}");
    }

    #[test]
    fn plain_statistics() {
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        let of = |function| window(&values, 80, function);
        assert_eq!([of(avg), of(sum), of(min), of(max)], [Some(5.0), Some(40.0), Some(2.0), Some(9.0)]);
        assert_eq!([of(count), of(first), of(last), of(present)], [Some(8.0), Some(2.0), Some(9.0), Some(1.0)]);
        assert_eq!([of(stddev), of(stdvar), of(quantile)], [Some(2.0), Some(4.0), Some(4.5)]);
        assert_eq!([of(changes), of(resets)], [Some(4.0), Some(0.0)]);
        assert_eq!(window(&[f64::NAN, 1.0, 0.0, f64::NAN, f64::NAN], 50, changes), Some(3.0));
        assert_eq!(window(&[f64::NAN, 1.0, 3.0], 50, max), Some(3.0));
        assert_eq!(window(&[2.0, 1.0, 3.0], 50, resets), Some(1.0));
    }
}
