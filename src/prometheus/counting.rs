//! Counted requests for the verdict: one range query a refresh for all releases in flight, none without them.
//!
//! Counters are subtracted from what they were a step before. Unlike `rate()` that invents nothing, neighbouring blocks
//! never share a request, and a step in which nothing was scraped is a step without requests. A counter that fell is left
//! out for that step, as is one that was not there before; but where others of the same target were, it is the first failure
//! of its kind, and counts ([`Profile::counts`]).
//!
//! Slow requests are those above a bucket's bound. A classic histogram's bounds are known by its router; a native one is asked
//! once a release which it has. Where it still must be cut within a bucket, as when the new version came with another
//! resolution, Prometheus interpolates: then a request counts as slow in part, which costs the verdict's test power but not
//! its validity, as that holds for weights between zero and one as well.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use chrono::TimeDelta;

use super::{
    Client, Fault, Target,
    mapping::{shapes, tally},
    profile::{Profile, Scope},
};
use crate::model::{
    Id, Text, Time,
    metrics::{Block, Counts, Reading, RolloutMetrics, Side, TrackReadings},
};

/// Steps that are asked about at most, when a release is first seen or after a gap.
const STEPS: i64 = 60;
/// So old a moment must be before it is counted up to: a sample bears the time at which its scrape began, and one that comes
/// in after its step was asked about would be in neither that step nor the next.
const SETTLED: TimeDelta = TimeDelta::seconds(2);
/// A window of four scrapes may have seen three quarters of what `rate()` makes of it.
const STRETCH: f64 = 4.0 / 3.0;

/// What was asked of each release in flight.
#[derive(Debug, Default)]
pub struct Counting(HashMap<Id, Kept>);

#[derive(Debug, Clone)]
struct Kept {
    hash: Option<Text>,
    /// The last moment that was counted up to.
    upto: Option<Time>,
    /// Bound of the bucket that divides slow from quick, in the histogram's own unit; settled once for a release.
    bound: Option<f64>,
    /// A side has a native histogram and no buckets. Once seen, it is not forgotten in a quiet minute.
    native: bool,
}

impl Kept {
    fn new(target: &Target, upto: Option<Time>) -> Self {
        Self { hash: target.new_hash.clone(), upto, bound: None, native: false }
    }
}

/// What is asked for one target.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Whose {
    /// After when.
    upto: Option<Time>,
    bound: Option<f64>,
    native: bool,
    /// The old side's latency to which a native histogram's nearest bound is still wanted.
    near: Option<f64>,
}

/// One question: the steps of time it is about, and for whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    pub targets: Vec<Target>,
    whose: Vec<Whose>,
    from: Time,
    to: Time,
    step: Duration,
}

impl Counting {
    /// What to ask now; nothing when nothing is in flight, or no step has passed.
    pub fn next(
        &mut self,
        profile: &Profile,
        targets: &[Target],
        metrics: &[(Id, RolloutMetrics)],
        now: Time,
        step: Duration,
    ) -> Option<Ask> {
        let targets: Vec<Target> = targets.iter().filter(|t| t.in_flight).cloned().collect();
        self.0.retain(|id, _| targets.iter().any(|t| t.id == *id));
        let readings: HashMap<&Id, &RolloutMetrics> = metrics.iter().map(|(id, m)| (id, m)).collect();
        let millis = i64::try_from(step.as_millis()).ok()?.max(1_000);
        let last = (now - SETTLED).timestamp_millis().div_euclid(millis);
        let earliest = Time::from_timestamp_millis((last - STEPS) * millis)?;
        let to = Time::from_timestamp_millis(last * millis)?;
        let whose: Vec<Whose> = targets
            .iter()
            .map(|t| {
                let kept = self.0.entry(t.id.clone()).or_insert_with(|| Kept::new(t, None));
                if kept.hash != t.new_hash {
                    *kept = Kept::new(t, kept.upto);
                }
                let read = readings.get(&t.id);
                kept.native |= read.is_some_and(|m| m.native);
                let near = read.and_then(|m| m.old.p95.value()).filter(|_| kept.bound.is_none());
                if !kept.native {
                    kept.bound = kept.bound.or_else(|| profile.bound(t, near?, &[]));
                }
                Whose { upto: kept.upto, bound: kept.bound, native: kept.native, near: near.filter(|_| kept.native) }
            })
            .collect();
        let after = whose.iter().map(|w| w.upto.unwrap_or(earliest)).min()?.max(earliest);
        let from = after + TimeDelta::milliseconds(millis);
        (from <= to).then(|| Ask { targets, whose, from, to, step: Duration::from_millis(millis.unsigned_abs()) })
    }

    /// Those steps are done.
    pub fn done(&mut self, ask: &Ask) {
        for (target, whose) in ask.targets.iter().zip(&ask.whose) {
            if let Some(kept) = self.0.get_mut(&target.id) {
                (kept.upto, kept.bound) = (Some(ask.to), whose.bound);
            }
        }
    }

    /// Blocks of a profile whose counters are unknown: one a window, from its rates.
    pub fn from_rates(&mut self, targets: &[Target], metrics: &mut [(Id, RolloutMetrics)], window: Duration) {
        let Ok(window) = TimeDelta::from_std(window) else { return };
        for (id, m) in metrics {
            let Some((at, target)) = m.at.zip(targets.iter().find(|t| t.id == *id && t.in_flight)) else { continue };
            let kept = self.0.entry(id.clone()).or_insert_with(|| Kept::new(target, None));
            let from = at - window;
            if kept.upto.is_some_and(|upto| from < upto) {
                continue;
            }
            let (new, old) = (of_rates(&m.new, window), of_rates(&m.old, window));
            if new.is_some() || old.is_some() {
                kept.upto = Some(at);
                m.blocks.push(Block { from, to: at, new, old, stretch: STRETCH });
            }
        }
    }
}

fn of_rates(side: &TrackReadings, window: TimeDelta) -> Option<Counts> {
    let all = side.rate.value()? * window.as_seconds_f64();
    match side.errors {
        Reading::Value(share) => Some(Counts { all, bad: all * share, timed: None }),
        Reading::NoTraffic => Some(Counts::default()),
        _ => None,
    }
}

impl Ask {
    /// Asks, and hangs the blocks on the readings.
    ///
    /// # Errors
    /// Why nobody counted.
    pub async fn run(&mut self, client: &Client, profile: &Profile, metrics: &mut [(Id, RolloutMetrics)]) -> Result<(), Fault> {
        self.settle(client, profile).await;
        let Some(promql) = self.question(profile) else { return Ok(()) };
        let answer = client.query_range(&promql, self.from, self.to, self.step).await?;
        let bounds: Vec<Option<f64>> = self.whose.iter().map(|w| w.bound).collect();
        let sides = tally(profile, &self.targets, &bounds, &answer);
        let mut places: HashMap<Id, usize> = metrics.iter().enumerate().map(|(i, (id, _))| (id.clone(), i)).collect();
        for ((target, sides), whose) in self.targets.iter().zip(sides).zip(&self.whose) {
            let Some((_, m)) = places.remove(&target.id).and_then(|i| metrics.get_mut(i)) else { continue };
            m.limit = whose.bound.map(|b| b * profile.of_target(target).scale());
            m.blocks = self.blocks(&sides, whose.upto);
        }
        Ok(())
    }

    /// Bounds for releases whose histograms are native: one question when such a release begins, none after that.
    async fn settle(&mut self, client: &Client, profile: &Profile) {
        let open: Vec<usize> = (0..self.whose.len()).filter(|i| self.whose[*i].near.is_some()).collect();
        let targets: Vec<Target> = open.iter().map(|i| self.targets[*i].clone()).collect();
        let Some(promql) = profile.shapes(Scope::Fleet(&targets)).filter(|_| !open.is_empty()) else { return };
        // Without an answer the bounds of the router's classic buckets do: a bound within a native bucket is less exact, not wrong.
        let answer = client.query(&promql, self.to).await.unwrap_or_default();
        for (i, own) in open.into_iter().zip(shapes(profile, &targets, &answer)) {
            let whose = &mut self.whose[i];
            whose.bound = whose.near.and_then(|p95| profile.bound(&self.targets[i], p95, &own));
        }
    }

    pub fn question(&self, profile: &Profile) -> Option<String> {
        let bounds = |native: bool| {
            let mut bounds: Vec<f64> = self.whose.iter().filter(|w| w.native || !native).filter_map(|w| w.bound).collect();
            bounds.sort_by(f64::total_cmp);
            bounds.dedup();
            bounds
        };
        profile.counts(Scope::Fleet(&self.targets), self.step, &bounds(false), &bounds(true))
    }

    /// A block for every step, also one in which nobody was counted: that is a gap, and it shows.
    fn blocks(&self, sides: &[BTreeMap<Time, Counts>; 2], upto: Option<Time>) -> Vec<Block> {
        let step = TimeDelta::from_std(self.step).unwrap_or_default();
        let steps = std::iter::successors(Some(self.from), |at| Some(*at + step)).take_while(|at| *at <= self.to);
        let of = |side: Side, at: &Time| sides[side as usize].get(at).copied();
        steps
            .filter(|at| upto.is_none_or(|upto| *at - step >= upto))
            .map(|at| Block { from: at - step, to: at, new: of(Side::New, &at), old: of(Side::Old, &at), stretch: 1.0 })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            answer::{Answer, Row},
            mapping::tests::target,
        },
        *,
    };

    const STEP: Duration = Duration::from_secs(5);

    fn at(seconds: i64) -> Time {
        Time::from_timestamp(seconds, 0).unwrap()
    }

    fn measured(target: &Target, p95: f64) -> (Id, RolloutMetrics) {
        let mut m = RolloutMetrics { at: Some(at(1_000)), ..RolloutMetrics::default() };
        m.old.p95 = Reading::Value(p95);
        (target.id.clone(), m)
    }

    #[test]
    fn neighbouring_questions_share_no_step() {
        let (mut counting, t) = (Counting::default(), target("shop", "cart"));
        let metrics = [measured(&t, 0.23)];
        let mut ask = |now| counting.next(&Profile::Istio, std::slice::from_ref(&t), &metrics, at(now), STEP);
        let first = ask(1_003).unwrap();
        assert_eq!((first.from, first.to), (at(705), at(1_000)), "five minutes back, and no unfinished step");
        assert_eq!(first.whose, [Whose { bound: Some(250.0), ..Whose::default() }]);
        counting.done(&first);
        let mut ask = |now| counting.next(&Profile::Istio, std::slice::from_ref(&t), &[], at(now), STEP);
        assert_eq!(ask(1_004), None);
        assert_eq!(ask(1_006), None, "a scrape that began in time may still be on its way");
        let next = ask(1_012).unwrap();
        let kept = Whose { upto: Some(at(1_000)), bound: Some(250.0), ..Whose::default() };
        assert_eq!((next.from, next.to, &next.whose[..]), (at(1_005), at(1_010), &[kept][..]));
        // Not done: asked again, with what came since. The bound stays what it was.
        assert_eq!(ask(1_020).unwrap().from, at(1_005));
        assert_eq!(ask(9_002).unwrap().from, at(8_705), "nobody asks for hours");
    }

    #[test]
    fn another_version_begins_anew_and_what_stands_still_is_not_asked_about() {
        let (mut counting, mut t) = (Counting::default(), target("shop", "cart"));
        let metrics = [measured(&t, 0.23)];
        let first = counting.next(&Profile::Istio, std::slice::from_ref(&t), &metrics, at(1_002), STEP).unwrap();
        counting.done(&first);
        t.new_hash = Some("newer".into());
        let next = counting.next(&Profile::Istio, std::slice::from_ref(&t), &[measured(&t, 0.9)], at(1_010), STEP).unwrap();
        assert_eq!(next.whose, [Whose { upto: Some(at(1_000)), bound: Some(1_000.0), ..Whose::default() }]);
        t.in_flight = false;
        assert_eq!(counting.next(&Profile::Istio, &[t], &[], at(1_020), STEP), None);
        assert!(counting.0.is_empty());
    }

    #[test]
    fn one_question_counts_requests_failures_and_slow_ones() {
        let (mut counting, t) = (Counting::default(), target("shop", "cart"));
        let metrics = [measured(&t, 0.23)];
        let ask = counting.next(&Profile::Mixed, std::slice::from_ref(&t), &metrics, at(1_002), STEP).unwrap();
        let q = ask.question(&Profile::Istio).unwrap();
        let by = "destination_service_namespace, destination_service_name, destination_workload";
        let selected = r#"istio_requests_total{reporter="destination",destination_service_namespace=~"shop"}"#;
        let grown = format!("((({selected}) - ({selected} offset 5s)) >= 0)");
        let known = format!("on ({by}, job, instance, pod) (({selected}) and ({selected} offset 5s))");
        let first = format!("((({selected}) unless (last_over_time({selected}[5m] offset 5s))) and {known})");
        let all = format!("label_replace(sum by ({by}) ({grown} or {first}), \"rolltop_count\", \"all\", \"\", \"\")");
        assert!(q.starts_with(&all), "{q}\n{all}");
        assert!(q.contains(r#"response_code=~"5.."} or istio_requests_total{"#) && q.contains(r#""rolltop_count", "bad""#), "{q}");
        assert!(q.contains(r#"le=~"\\+Inf|250(\\.0)?"} offset 5s"#) && q.contains("sum by (le, destination"), "{q}");
        assert!(ask.question(&Profile::Mixed).unwrap().contains("nginx_ingress_controller_requests{"));
    }

    #[test]
    fn blocks_keep_what_is_missing_apart_from_zero() {
        let (mut counting, t) = (Counting::default(), target("shop", "cart"));
        let metrics = [measured(&t, 0.23)];
        let mut ask = counting.next(&Profile::Istio, std::slice::from_ref(&t), &metrics, at(1_002), STEP).unwrap();
        ask.from = at(995);
        let row = |service: &str, label: (&str, &str), points: &[(i64, f64)]| Row {
            labels: [("destination_service_namespace", "shop"), ("destination_service_name", service), label]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            points: points.iter().map(|(s, v)| (at(*s), *v)).collect(),
            bounds: Vec::new(),
        };
        let rows = vec![
            row("cart-canary", ("rolltop_count", "all"), &[(995, 10.0), (1_000, 0.0)]),
            row("cart-canary", ("rolltop_count", "bad"), &[(995, 4.0)]),
            row("cart-canary", ("le", "+Inf"), &[(995, 10.0)]),
            row("cart-canary", ("le", "250.0"), &[(995, 7.0)]),
            row("cart-canary", ("le", "500"), &[(995, 9.0)]),
            row("cart-stable", ("rolltop_count", "all"), &[(1_000, 90.0)]),
            row("other", ("rolltop_count", "all"), &[(995, 1.0), (1_000, 1.0)]),
        ];
        let sides = tally(&Profile::Istio, std::slice::from_ref(&t), &[Some(250.0)], &Answer { rows, warnings: Vec::new() });
        let blocks = ask.blocks(&sides[0], None);
        let new = Counts { all: 10.0, bad: 4.0, timed: Some((10.0, 3.0)) };
        let old = Counts { all: 90.0, bad: 0.0, timed: None };
        let shown: Vec<_> = blocks.iter().map(|b| (b.from, b.to, b.new, b.old)).collect();
        assert_eq!(shown, [(at(990), at(995), Some(new), None), (at(995), at(1_000), Some(Counts::default()), Some(old))]);
        assert_eq!(ask.blocks(&sides[0], Some(at(995))).len(), 1, "what was counted is not counted again");
    }

    fn counted(labels: &[(&str, &str)], value: f64) -> Row {
        let place = [("destination_service_namespace", "shop"), ("destination_service_name", "cart-canary")];
        let labels = place.iter().chain(labels).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Row { labels, points: vec![(at(1_000), value)], bounds: Vec::new() }
    }

    #[test]
    fn native_histograms_are_asked_about_where_they_were_seen() {
        let (mut counting, t) = (Counting::default(), target("shop", "cart"));
        let (id, mut m) = measured(&t, 0.23);
        m.native = true;
        let ask = counting.next(&Profile::Istio, std::slice::from_ref(&t), &[(id, m)], at(1_002), STEP).unwrap();
        let unsettled = Whose { native: true, near: Some(0.23), ..Whose::default() };
        assert_eq!(ask.whose, [unsettled], "its bounds are its own, so they are asked for");
        assert!(!ask.question(&Profile::Istio).unwrap().contains("histogram_"));
        let settled = Whose { native: true, bound: Some(256.0), ..Whose::default() };
        let ask = Ask { whose: vec![settled], ..ask };
        counting.done(&ask);
        let q = ask.question(&Profile::Istio).unwrap();
        let one = "istio_request_duration_milliseconds{reporter=\"destination\",destination_service_namespace=~\"shop\"}";
        for part in [
            format!("(histogram_count({one})) - (histogram_count({one} offset 5s))"),
            format!("histogram_fraction(0, 256, {one} offset 5s), 0.001) >= 0 or histogram_count({one} offset 5s))"),
            "\"rolltop_count\", \"native\", \"\", \"\"), \"le\", \"256\", \"\", \"\")".into(),
        ] {
            assert!(q.contains(&part), "{part}\n{q}");
        }
        // A quiet minute shows no quantile: it stays what it was.
        let next = counting.next(&Profile::Istio, &[t], &[], at(1_012), STEP).unwrap();
        assert_eq!(next.whose, [Whose { upto: Some(at(1_000)), ..settled }]);
    }

    #[test]
    fn of_two_histograms_of_the_same_requests_one_counts() {
        let native = |le, n| counted(&[("rolltop_count", "native"), ("le", le)], n);
        let classic = |le, n| counted(&[("le", le)], n);
        let timed = |rows: Vec<Row>| {
            let rows = [vec![counted(&[("rolltop_count", "all")], 10.0)], rows].concat();
            let sides = tally(&Profile::Istio, &[target("shop", "cart")], &[Some(250.0)], &Answer { rows, warnings: Vec::new() });
            sides[0][Side::New as usize][&at(1_000)].timed
        };
        assert_eq!(timed(vec![native("+Inf", 10.0), native("250", 6.5)]), Some((10.0, 3.5)));
        let both = vec![native("+Inf", 10.0), native("250", 6.5), classic("+Inf", 10.0), classic("250.0", 7.0)];
        assert_eq!(timed(both), Some((10.0, 3.0)));
        // Buckets without that bound say nothing about it.
        assert_eq!(timed(vec![native("+Inf", 10.0), native("250", 6.5), classic("+Inf", 10.0)]), Some((10.0, 3.5)));
        assert_eq!(timed(vec![native("+Inf", 10.0)]), None);
    }

    #[test]
    fn rates_make_a_block_a_window() {
        let (mut counting, t) = (Counting::default(), target("shop", "cart"));
        let mut read = |seconds: i64, errors: Reading| {
            let mut m = RolloutMetrics { at: Some(at(seconds)), ..RolloutMetrics::default() };
            (m.new.rate, m.new.errors, m.old.rate, m.old.errors) =
                (Reading::Value(2.0), errors, Reading::Value(20.0), Reading::Value(0.01));
            let mut all = [(t.id.clone(), m)];
            counting.from_rates(std::slice::from_ref(&t), &mut all, Duration::from_secs(60));
            let [(_, m)] = all;
            m.blocks
        };
        let first = read(1_000, Reading::Value(0.5));
        assert_eq!((first[0].from, first[0].new.unwrap().all, first[0].new.unwrap().bad), (at(940), 120.0, 60.0));
        assert!(first[0].stretch > 1.3);
        assert!(read(1_055, Reading::Value(0.5)).is_empty(), "windows that overlap would count twice");
        assert_eq!(read(1_060, Reading::NotANumber)[0].new, None);
    }
}
