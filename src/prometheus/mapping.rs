//! From answers to readings of rollouts: pure, and the place where empty is kept apart from zero.

use std::collections::{BTreeMap, HashMap};

use super::{
    answer::{Answer, Labels, Row},
    profile::{Attach, COUNT_LABEL, ErrorsAre, NATIVE_LABEL, Profile, SIDE_LABEL},
};
use crate::model::{
    Id, Rollout, Text, Time,
    metrics::{Counts, Points, Reading, RolloutMetrics, Series, Side, TrackReadings},
};

/// What is known of a rollout that lets its requests be found.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    pub id: Id,
    pub namespace: Text,
    pub name: Text,
    pub stable_service: Option<Text>,
    pub canary_service: Option<Text>,
    /// Where the sides are workloads of their own behind whatever Service.
    pub stable_workload: Option<Text>,
    pub canary_workload: Option<Text>,
    pub ingresses: Vec<Text>,
    /// Pod template hashes.
    pub new_hash: Option<Text>,
    pub old_hash: Option<Text>,
    /// Two versions are in play. Without that a canary's Service selects the stable pods, so there
    /// is no new side to measure.
    pub in_flight: bool,
}

impl Target {
    pub fn of(rollout: &Rollout) -> Self {
        Self {
            id: rollout.id.clone(),
            namespace: Text::clean(&rollout.id.namespace),
            name: Text::clean(&rollout.id.name),
            stable_service: rollout.subject.stable_service.clone(),
            canary_service: rollout.subject.canary_service.clone(),
            stable_workload: rollout.subject.stable_workload.clone(),
            canary_workload: rollout.subject.canary_workload.clone(),
            ingresses: rollout.subject.ingresses.clone(),
            new_hash: rollout.new_side().map(|t| t.hash.clone()),
            old_hash: rollout.old_side().map(|t| t.hash.clone()),
            in_flight: rollout.in_flight(),
        }
    }
}

/// What came back for one series: `None` if the question failed.
pub type Answered = (Series, Option<Answer>);

/// Latest readings of every target, in the targets' order; history empty.
pub fn readings(profile: &Profile, targets: &[Target], answers: &[Answered], at: Time) -> Vec<(Id, RolloutMetrics)> {
    if let Profile::Mixed = profile {
        return mixed(targets, answers, at);
    }
    let attach = profile.attach();
    let index = Index::new(&attach, targets);
    let mut table = vec![[blank(answers); 2]; targets.len()];
    let mut native = vec![false; targets.len()];
    for (series, answer) in answers {
        for row in answer.iter().flat_map(|a| &a.rows) {
            let Some((_, value)) = row.points.first() else { continue };
            for (target, side) in index.places(&row.labels) {
                table[target][side as usize][*series as usize].add(*series, *value);
                native[target] |= row.labels.contains_key(NATIVE_LABEL);
            }
        }
    }
    let read = |cells: &Cells| read(cells, profile.errors_are(), profile.scale());
    let metrics = targets.iter().zip(&table).zip(native).map(|((target, sides), native)| {
        let old = read(&sides[Side::Old as usize]);
        let new = if target.in_flight { read(&sides[Side::New as usize]) } else { TrackReadings::default() };
        let measured_share = share(new.rate, old.rate);
        (target.id.clone(), RolloutMetrics { at: Some(at), new, old, measured_share, native, ..RolloutMetrics::default() })
    });
    metrics.collect()
}

/// Each rollout read by its own router's rules; the other router's rows lack the labels to be mistaken for it.
fn mixed(targets: &[Target], answers: &[Answered], at: Time) -> Vec<(Id, RolloutMetrics)> {
    let (behind, meshed): (Vec<Target>, Vec<Target>) = targets.iter().cloned().partition(|t| !t.ingresses.is_empty());
    let mut all = readings(&Profile::IngressNginx, &behind, answers, at);
    all.extend(readings(&Profile::Istio, &meshed, answers, at));
    let places: HashMap<&Id, usize> = targets.iter().enumerate().map(|(i, t)| (&t.id, i)).collect();
    all.sort_by_key(|(id, _)| places.get(id).copied());
    all
}

/// Counted requests of both sides of every target, by moment; `bounds` are the targets' limits of slowness.
pub fn tally(profile: &Profile, targets: &[Target], bounds: &[Option<f64>], answer: &Answer) -> Vec<[BTreeMap<Time, Counts>; 2]> {
    let mut tallies: Vec<[BTreeMap<Time, Tally>; 2]> = targets.iter().map(|_| Default::default()).collect();
    let routers = match profile {
        Profile::Mixed => &[Profile::IngressNginx, Profile::Istio][..],
        one => std::slice::from_ref(one),
    };
    for router in routers {
        // Where both routers are asked, each release is read by its own.
        let of_router = |t: &Target| profile.of_target(t).name() == router.name();
        let own: Vec<usize> = (0..targets.len()).filter(|i| of_router(&targets[*i])).collect();
        let chosen: Vec<Target> = own.iter().map(|i| targets[*i].clone()).collect();
        let attach = router.attach();
        let index = Index::new(&attach, &chosen);
        for row in &answer.rows {
            for (place, side) in index.places(&row.labels) {
                let target = own[place];
                for (at, value) in row.points.iter().filter(|(_, v)| v.is_finite() && *v >= 0.0) {
                    tallies[target][side as usize].entry(*at).or_default().add(&row.labels, bounds[target], *value);
                }
            }
        }
    }
    let counts = |moments: BTreeMap<Time, Tally>| moments.into_iter().filter_map(|(at, t)| Some((at, t.counts()?))).collect();
    tallies.into_iter().map(|sides| sides.map(counts)).collect()
}

/// Bounds of the buckets of each target's old side, where that is a native histogram.
pub fn shapes(profile: &Profile, targets: &[Target], answer: &Answer) -> Vec<Vec<f64>> {
    let mut bounds = vec![Vec::new(); targets.len()];
    for (i, target) in targets.iter().enumerate() {
        let attach = profile.of_target(target).attach();
        let index = Index::new(&attach, std::slice::from_ref(target));
        let old = |row: &&Row| index.places(&row.labels).iter().any(|(_, side)| *side == Side::Old);
        bounds[i].extend(answer.rows.iter().filter(old).flat_map(|row| &row.bounds));
    }
    bounds
}

/// What was counted of one side in one step.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    all: Option<f64>,
    bad: Option<f64>,
    classic: Timed,
    native: Timed,
}

/// Requests whose time one kind of histogram took, and those of them within the limit.
#[derive(Debug, Clone, Copy, Default)]
struct Timed {
    all: Option<f64>,
    quick: Option<f64>,
}

impl Timed {
    fn cell(&mut self, le: &str, bound: Option<f64>) -> Option<&mut Option<f64>> {
        match le {
            "+Inf" => Some(&mut self.all),
            le if bound.is_some() && le.parse().ok() == bound => Some(&mut self.quick),
            _ => None,
        }
    }

    /// All, and those that were slow.
    fn counts(self) -> Option<(f64, f64)> {
        let (all, quick) = self.all.zip(self.quick)?;
        Some((all, (all - quick).clamp(0.0, all)))
    }
}

impl Tally {
    fn add(&mut self, labels: &Labels, bound: Option<f64>, value: f64) {
        let le = labels.get("le").map(String::as_str);
        let cell = match (labels.get(COUNT_LABEL).map(String::as_str), le) {
            (Some("all"), _) => Some(&mut self.all),
            (Some("bad"), _) => Some(&mut self.bad),
            (Some("native"), Some(le)) => self.native.cell(le, bound),
            (None, Some(le)) => self.classic.cell(le, bound),
            _ => None,
        };
        if let Some(cell) = cell {
            *cell = Some(cell.unwrap_or_default() + value);
        }
    }

    /// Requests must have been counted; a counter of failures that is not there has counted none. Both kinds of histogram
    /// may be scraped of the same requests: only one of them counts.
    fn counts(self) -> Option<Counts> {
        let all = self.all?;
        let timed = self.classic.counts().or_else(|| self.native.counts());
        Some(Counts { all, bad: self.bad.unwrap_or_default().min(all), timed })
    }
}

/// Lines of one target over `grid`, with a gap where there was nothing to draw. The new side's
/// lines begin at `new_since`: before that, its Service meant an older version.
pub fn history(
    profile: &Profile,
    target: &Target,
    answers: &[Answered],
    grid: &[Time],
    new_since: Option<Time>,
) -> BTreeMap<(Side, Series), Points> {
    let profile = &profile.of_target(target);
    let attach = profile.attach();
    let index = Index::new(&attach, std::slice::from_ref(target));
    let mut moments: HashMap<(Side, i64), Cells> = HashMap::new();
    for (series, answer) in answers {
        for row in answer.iter().flat_map(|a| &a.rows) {
            for (_, side) in index.places(&row.labels) {
                for (at, value) in &row.points {
                    let cells = moments.entry((side, at.timestamp_millis())).or_insert_with(|| blank(answers));
                    cells[*series as usize].add(*series, *value);
                }
            }
        }
    }
    let sides = [Side::Old, Side::New].into_iter().filter(|s| *s == Side::Old || target.in_flight);
    let mut lines = BTreeMap::<_, Points>::new();
    for side in sides {
        for at in grid {
            let drawn = side == Side::Old || new_since.is_none_or(|since| *at >= since);
            let cells = moments.get(&(side, at.timestamp_millis())).filter(|_| drawn);
            let now = cells.map(|c| read(c, profile.errors_are(), profile.scale())).unwrap_or_default();
            for (series, _) in answers.iter().filter(|(_, a)| a.is_some()) {
                lines.entry((side, *series)).or_default().push_back((*at, now.get(*series).value()));
            }
        }
    }
    lines
}

/// One series of one side before it is read.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cell {
    /// The profile has no such question.
    Undefined,
    /// The question failed.
    Failed,
    /// Answered, without this series.
    Absent,
    Number(f64),
}

type Cells = [Cell; Series::ALL.len()];

impl Cell {
    /// Several rows of one side: rates add up; of quantiles, which do not, the worst is kept.
    /// `f64::max` prefers a number to NaN.
    fn add(&mut self, series: Series, value: f64) {
        *self = Self::Number(match (*self, series) {
            (Self::Number(sum), Series::Rate | Series::Errors) => sum + value,
            (Self::Number(worst), _) => worst.max(value),
            _ => value,
        });
    }
}

fn blank(answers: &[Answered]) -> Cells {
    let mut cells = [Cell::Undefined; Series::ALL.len()];
    for (series, answer) in answers {
        cells[*series as usize] = if answer.is_some() { Cell::Absent } else { Cell::Failed };
    }
    cells
}

/// What is known of the requests that a share or a quantile is about.
#[derive(Clone, Copy, PartialEq)]
enum Requests {
    Some(f64),
    None,
    /// No rate, so nobody can tell; with the word for what depends on it.
    Unknown(Reading),
}

fn read(cells: &Cells, errors_are: ErrorsAre, scale: f64) -> TrackReadings {
    let rate = rate(cells[Series::Rate as usize]);
    let requests = match rate {
        Reading::Value(r) if r > 0.0 => Requests::Some(r),
        Reading::Value(_) => Requests::None,
        word => Requests::Unknown(word),
    };
    let slow = |series: Series| quantile(cells[series as usize], requests, scale);
    TrackReadings {
        rate,
        errors: errors(cells[Series::Errors as usize], requests, errors_are),
        p50: slow(Series::P50),
        p95: slow(Series::P95),
        p99: slow(Series::P99),
    }
}

fn rate(cell: Cell) -> Reading {
    match cell {
        Cell::Failed => Reading::Unasked,
        Cell::Undefined | Cell::Absent => Reading::NoData,
        Cell::Number(r) if r.is_finite() => Reading::Value(r.max(0.0)),
        Cell::Number(_) => Reading::NotANumber,
    }
}

fn errors(cell: Cell, requests: Requests, errors_are: ErrorsAre) -> Reading {
    match (cell, requests, errors_are) {
        (Cell::Failed, ..) => Reading::Unasked,
        (Cell::Undefined, ..) => Reading::NoData,
        (_, Requests::None, _) => Reading::NoTraffic,
        // A counter nobody has incremented does not exist: none failed.
        (Cell::Absent, Requests::Some(_), ErrorsAre::Rate) => Reading::Value(0.0),
        (Cell::Absent, _, ErrorsAre::Share) => Reading::NoData,
        (Cell::Number(bad), Requests::Some(all), ErrorsAre::Rate) => part(bad / all),
        (Cell::Number(share), _, ErrorsAre::Share) => part(share),
        (_, Requests::Unknown(word), ErrorsAre::Rate) => word,
    }
}

/// Counters of one moment may differ a little, so a share can come out just above one.
fn part(share: f64) -> Reading {
    if share.is_finite() { Reading::Value(share.clamp(0.0, 1.0)) } else { Reading::NotANumber }
}

fn quantile(cell: Cell, requests: Requests, scale: f64) -> Reading {
    match (cell, requests) {
        (Cell::Failed, _) => Reading::Unasked,
        (Cell::Undefined, _) => Reading::NoData,
        (_, Requests::None) => Reading::NoTraffic,
        (Cell::Absent, _) => Reading::NoData,
        (Cell::Number(v), _) if v.is_finite() => Reading::Value(v * scale),
        (Cell::Number(_), _) => Reading::NotANumber,
    }
}

/// The new side's part of all requests, where both sides were measured and anybody came.
fn share(new: Reading, old: Reading) -> Option<f64> {
    let (new, old) = (new.value()?, old.value()?);
    (new + old > 0.0).then(|| new / (new + old))
}

/// Where labels lead, built once per refresh.
struct Index<'a> {
    attach: &'a Attach,
    targets: &'a [Target],
    /// By namespace and Service, Ingress, hash or pod prefix.
    keys: HashMap<(&'a str, String), Vec<(usize, Side)>>,
}

impl<'a> Index<'a> {
    fn new(attach: &'a Attach, targets: &'a [Target]) -> Self {
        let mut keys: HashMap<_, Vec<_>> = HashMap::new();
        for (i, target) in targets.iter().enumerate() {
            let namespace = match attach {
                Attach::Hash { namespace, .. } | Attach::Pod { namespace, .. } if namespace.is_empty() => "",
                _ => &*target.namespace,
            };
            for (key, side) in target.keys(attach) {
                keys.entry((namespace, key)).or_default().push((i, side));
            }
        }
        Self { attach, targets, keys }
    }

    /// The rollouts and sides that a row of an answer belongs to; several if they share a Service.
    fn places(&self, labels: &Labels) -> Vec<(usize, Side)> {
        let label = |name: &String| labels.get(name).map_or("", String::as_str);
        let namespace = |names: &[String]| names.iter().map(label).find(|v| !v.is_empty()).unwrap_or_default().to_owned();
        match self.attach {
            Attach::Service { namespace: n, service, .. } if n.is_empty() => self.only(label(service)),
            Attach::Service { namespace: n, service, workload } => {
                let mut found = self.look(&namespace(n), label(service));
                found.extend(workload.iter().flat_map(|w| self.look(&namespace(n), &of_workload(label(w)))));
                found
            }
            Attach::Hash { namespace: n, hash: key } => self.look(&namespace(n), label(key)),
            Attach::Pod { namespace: n, pod } => {
                let prefix = label(pod).rsplit_once('-').map_or("", |(prefix, _)| prefix);
                self.look(&namespace(n), prefix)
            }
            Attach::Ingress { namespace: n, ingress, canary } => {
                let found = self.look(&namespace(n), label(ingress));
                found.into_iter().filter_map(|(i, _)| Some((i, self.targets[i].side_of(label(canary))?))).collect()
            }
            Attach::Side => match labels.get(SIDE_LABEL).map(String::as_str) {
                Some("new") => vec![(0, Side::New)],
                Some("old") => vec![(0, Side::Old)],
                _ => Vec::new(),
            },
            Attach::Whole if self.targets.first().is_some_and(|t| !t.in_flight) => vec![(0, Side::Old)],
            Attach::Whole => Vec::new(),
        }
    }

    /// A template that names the namespace itself needs no label for it.
    fn only(&self, key: &str) -> Vec<(usize, Side)> {
        self.targets.first().map_or_else(Vec::new, |t| self.look(&t.namespace, key))
    }

    fn look(&self, namespace: &str, key: &str) -> Vec<(usize, Side)> {
        self.keys.get(&(namespace, key.to_owned())).cloned().unwrap_or_default()
    }
}

/// A key that no Service can have.
fn of_workload(name: &str) -> String {
    format!("workload {name}")
}

impl Target {
    fn keys(&self, attach: &Attach) -> Vec<(String, Side)> {
        let own = |text: &Option<Text>, side| text.iter().map(move |t| (t.to_string(), side)).collect::<Vec<_>>();
        let both = |old, new| {
            let new = if self.in_flight { own(new, Side::New) } else { Vec::new() };
            [own(old, Side::Old), new].concat()
        };
        match attach {
            Attach::Service { workload: Some(_), .. } if self.by_workload() => match self.canary_workload == self.stable_workload {
                // Both versions in one workload, too, are a mixture.
                true if self.in_flight => Vec::new(),
                _ => {
                    both(&self.stable_workload, &self.canary_workload).into_iter().map(|(name, side)| (of_workload(&name), side)).collect()
                }
            },
            // One Service for both versions measures their mixture, which is neither side.
            Attach::Service { .. } if self.in_flight && self.one_service() => Vec::new(),
            Attach::Service { .. } => both(&self.stable_service, &self.canary_service),
            Attach::Ingress { .. } => self.ingresses.iter().map(|i| (i.to_string(), Side::Old)).collect(),
            Attach::Hash { .. } => both(&self.old_hash, &self.new_hash),
            Attach::Pod { .. } => {
                let prefix = |hash: &Option<Text>| hash.as_ref().map(|h| Text::clean(&format!("{}-{h}", self.name)));
                both(&prefix(&self.old_hash), &prefix(&self.new_hash))
            }
            Attach::Side | Attach::Whole => Vec::new(),
        }
    }

    /// Whether workloads tell its sides apart, not Services.
    pub fn by_workload(&self) -> bool {
        self.stable_workload.is_some() || self.canary_workload.is_some()
    }

    fn one_service(&self) -> bool {
        self.canary_service.is_none() || self.canary_service == self.stable_service
    }

    /// The side that ingress-nginx's `canary` label means: `NAMESPACE-SERVICE-PORT` of the
    /// alternative upstream, or nothing. Another release's upstream is nobody's side.
    fn side_of(&self, canary: &str) -> Option<Side> {
        if canary.is_empty() {
            return Some(Side::Old);
        }
        let ours = |service: &Text| {
            let rest = canary.strip_prefix(&*self.namespace).and_then(|r| r.strip_prefix('-'));
            let port = rest.and_then(|r| r.strip_prefix(&**service)).and_then(|r| r.strip_prefix('-'));
            port.is_some_and(|port| !port.is_empty())
        };
        let ours = self.canary_service.as_ref().is_none_or(ours);
        (self.in_flight && ours).then_some(Side::New)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A canary in flight: Services `NAME-stable` and `NAME-canary`, hashes `old1` and `new1`.
    pub(crate) fn target(namespace: &str, name: &str) -> Target {
        let id = Id {
            context: "test".into(),
            namespace: namespace.into(),
            kind: "Rollout".into(),
            name: name.into(),
            uid: format!("{namespace}-{name}").into(),
        };
        Target {
            id,
            namespace: namespace.into(),
            name: name.into(),
            stable_service: Some(format!("{name}-stable").into()),
            canary_service: Some(format!("{name}-canary").into()),
            stable_workload: None,
            canary_workload: None,
            ingresses: Vec::new(),
            new_hash: Some("new1".into()),
            old_hash: Some("old1".into()),
            in_flight: true,
        }
    }

    fn at(seconds: i64) -> Time {
        chrono::DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn row(labels: &[(&str, &str)], value: f64) -> Row {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Row { labels, points: vec![(at(100), value)], bounds: Vec::new() }
    }

    fn istio(service: &str, value: f64) -> Row {
        row(&[("destination_service_namespace", "shop"), ("destination_service_name", service)], value)
    }

    fn answer(rows: Vec<Row>) -> Option<Answer> {
        Some(Answer { rows, warnings: Vec::new() })
    }

    fn one(profile: &Profile, target: Target, answers: &[Answered]) -> RolloutMetrics {
        readings(profile, &[target], answers, at(100)).remove(0).1
    }

    #[test]
    fn every_kind_of_nothing_has_its_word() {
        use {Cell::*, Reading as R};
        let nan = Number(f64::NAN);
        for (rate, errors, p99, expect) in [
            // rate, errors, p99 → rate, errors, p99
            (Number(4.0), Number(1.0), Number(250.0), [R::Value(4.0), R::Value(0.25), R::Value(0.25)]),
            (Number(4.0), Absent, Absent, [R::Value(4.0), R::Value(0.0), R::NoData]),
            (Number(4.0), Number(4.1), nan, [R::Value(4.0), R::Value(1.0), R::NotANumber]),
            (Number(4.0), nan, Number(f64::INFINITY), [R::Value(4.0), R::NotANumber, R::NotANumber]),
            (Number(0.0), Absent, nan, [R::Value(0.0), R::NoTraffic, R::NoTraffic]),
            (Number(0.0), Number(0.0), Absent, [R::Value(0.0), R::NoTraffic, R::NoTraffic]),
            (Absent, Absent, Absent, [R::NoData, R::NoData, R::NoData]),
            (Absent, Absent, nan, [R::NoData, R::NoData, R::NotANumber]),
            (nan, Number(1.0), Number(250.0), [R::NotANumber, R::NotANumber, R::Value(0.25)]),
            (Failed, Number(1.0), Failed, [R::Unasked, R::Unasked, R::Unasked]),
            (Number(4.0), Failed, Failed, [R::Value(4.0), R::Unasked, R::Unasked]),
            (Number(4.0), Undefined, Undefined, [R::Value(4.0), R::NoData, R::NoData]),
        ] {
            let got = read(&[rate, errors, p99, p99, p99], ErrorsAre::Rate, 0.001);
            assert_eq!([got.rate, got.errors, got.p99], expect, "{rate:?} {errors:?} {p99:?}");
        }
        let shares = read(&[Number(4.0), Absent, Absent, Absent, Absent], ErrorsAre::Share, 1.0);
        assert_eq!(shares.errors, Reading::NoData, "an absent share is not known to be zero");
    }

    fn by_workload(workload: &str, value: f64) -> Row {
        let mut row = istio("cart", value);
        row.labels.insert("destination_workload".into(), workload.into());
        row
    }

    #[test]
    fn sides_that_share_a_service_are_told_apart_by_their_workloads() {
        let answers =
            [(Series::Rate, answer(vec![by_workload("cart-blue", 9.0), by_workload("cart-green", 1.0), by_workload("job", 5.0)]))];
        let blue_green = |in_flight: bool| Target {
            stable_service: Some("cart".into()),
            canary_service: None,
            stable_workload: Some("cart-blue".into()),
            canary_workload: Some("cart-green".into()),
            in_flight,
            ..target("shop", "cart")
        };
        let m = one(&Profile::Istio, blue_green(true), &answers);
        assert_eq!((m.old.rate, m.new.rate, m.measured_share), (Reading::Value(9.0), Reading::Value(1.0), Some(0.1)));
        let m = one(&Profile::Istio, blue_green(false), &answers);
        assert_eq!((m.old.rate, m.new.rate), (Reading::Value(9.0), Reading::Unasked));
        let asked = Profile::Istio.questions(super::super::profile::Scope::One(&blue_green(true)), std::time::Duration::from_secs(60));
        assert!(asked[0].promql.contains("destination_workload=~\"cart-blue|cart-green\""), "{}", asked[0].promql);
    }

    #[test]
    fn two_versions_in_one_workload_are_a_mixture_until_one_is_left() {
        let answers = [(Series::Rate, answer(vec![by_workload("cart", 9.0)]))];
        let rolling = |in_flight: bool| Target {
            stable_service: None,
            canary_service: None,
            stable_workload: Some("cart".into()),
            canary_workload: Some("cart".into()),
            in_flight,
            ..target("shop", "cart")
        };
        let m = one(&Profile::Istio, rolling(true), &answers);
        assert_eq!((m.old.rate, m.new.rate), (Reading::NoData, Reading::NoData));
        assert_eq!(one(&Profile::Istio, rolling(false), &answers).old.rate, Reading::Value(9.0));
    }

    #[test]
    fn istio_splits_by_service() {
        let answers = [
            (Series::Rate, answer(vec![istio("cart-stable", 9.0), istio("cart-canary", 1.0), istio("other", 5.0)])),
            (Series::Errors, answer(vec![istio("cart-canary", 0.5)])),
            (Series::P99, answer(vec![istio("cart-canary", 80.0)])),
        ];
        let m = one(&Profile::Istio, target("shop", "cart"), &answers);
        assert_eq!((m.new.errors, m.old.errors), (Reading::Value(0.5), Reading::Value(0.0)));
        assert_eq!((m.new.p99, m.old.p99), (Reading::Value(0.08), Reading::NoData));
        assert_eq!((m.measured_share, m.at), (Some(0.1), Some(at(100))));
    }

    #[test]
    fn a_native_histogram_shows_and_offers_its_bounds() {
        let mut slow = istio("cart-stable", 80.0);
        let of = |row: &Row| one(&Profile::Istio, target("shop", "cart"), &[(Series::P95, answer(vec![row.clone()]))]);
        assert!(!of(&slow).native);
        slow.labels.insert(NATIVE_LABEL.into(), "yes".into());
        assert!(of(&slow).native && of(&slow).old.p95 == Reading::Value(0.08));

        let shape = |service: &str, bounds: &[f64]| Row { bounds: bounds.to_vec(), ..istio(service, f64::NAN) };
        let found = answer(vec![shape("cart-stable", &[64.0, 128.0, 256.0]), shape("cart-canary", &[80.0]), shape("other", &[81.0])]);
        let t = target("shop", "cart");
        let bounds = shapes(&Profile::Mixed, std::slice::from_ref(&t), &found.unwrap()).remove(0);
        assert_eq!(Profile::Mixed.bound(&t, 0.08, &bounds), Some(64.0), "the old side's, not the nearest of anybody");
        assert_eq!(Profile::Mixed.bound(&t, 0.08, &[70.0, 64.0, 76.0]), Some(64.0), "powers of two first");
        assert_eq!(Profile::Mixed.bound(&t, 0.08, &[32.0, 76.0, 128.0, 250.0]), Some(76.0), "but none that is far away");
        assert_eq!(Profile::Mixed.bound(&t, 0.08, &[]), Some(100.0));
        assert_eq!(Profile::Mixed.bound(&t, 0.08, &[0.0, -1.0]), Some(100.0));
    }

    #[test]
    fn a_canary_side_exists_only_in_flight() {
        let answers = [(Series::Rate, answer(vec![istio("cart-stable", 9.0), istio("cart-canary", 1.0)]))];
        let mut t = target("shop", "cart");
        t.in_flight = false;
        let m = one(&Profile::Istio, t.clone(), &answers);
        assert_eq!((m.new.rate, m.old.rate, m.measured_share), (Reading::Unasked, Reading::Value(9.0), None));
        (t.in_flight, t.canary_service) = (true, None);
        let m = one(&Profile::Istio, t, &answers);
        assert_eq!((m.new.rate, m.old.rate), (Reading::NoData, Reading::NoData), "a mixture is neither side");
    }

    #[test]
    fn nginx_splits_by_its_canary_label() {
        let nginx = |ns: &str, exported: &str, ingress: &str, canary: &str, v| {
            row(&[("namespace", ns), ("exported_namespace", exported), ("ingress", ingress), ("canary", canary)], v)
        };
        let mut t = target("shop", "cart");
        t.ingresses = vec!["web".into(), "api".into()];
        let rates = answer(vec![
            nginx("shop", "", "web", "", 6.0),
            nginx("ingress-nginx", "shop", "api", "", 2.0),
            nginx("shop", "", "web", "shop-cart-canary-80", 2.0),
            nginx("shop", "", "web", "shop-cart-preview-80", 7.0),
            nginx("shop", "", "else", "", 99.0),
        ]);
        let slow = answer(vec![nginx("shop", "", "web", "", 0.1), nginx("shop", "", "api", "", 0.3)]);
        let m = one(&Profile::IngressNginx, t.clone(), &[(Series::Rate, rates.clone()), (Series::P95, slow)]);
        assert_eq!((m.old.rate, m.new.rate, m.measured_share), (Reading::Value(8.0), Reading::Value(2.0), Some(0.2)));
        assert_eq!(m.old.p95, Reading::Value(0.3), "the slower Ingress");
        t.in_flight = false;
        assert_eq!(one(&Profile::IngressNginx, t, &[(Series::Rate, rates)]).new.rate, Reading::Unasked);
    }

    fn custom(labels: super::super::profile::CustomLabels, rate: &str) -> Profile {
        let custom = super::super::profile::Custom { rate: Some(rate.into()), labels, ..Default::default() };
        custom.check().unwrap();
        Profile::Custom(Box::new(custom))
    }

    #[test]
    fn custom_profiles_split_by_hash_pod_or_query() {
        use super::super::profile::CustomLabels as L;
        let check = |profile: &Profile, rows| {
            let m = one(profile, target("shop", "cart"), &[(Series::Rate, answer(rows))]);
            assert_eq!((m.new.rate, m.old.rate), (Reading::Value(1.0), Reading::Value(3.0)), "{profile:?}");
        };
        let hash = custom(L { hash: Some("h".into()), ..L::default() }, "r");
        check(&hash, vec![row(&[("h", "new1")], 1.0), row(&[("h", "old1")], 3.0)]);
        let pod = custom(L { pod: Some("pod".into()), namespace: Some("ns".into()), ..L::default() }, "r");
        let pods = |pod, v| row(&[("ns", "shop"), ("pod", pod)], v);
        let old = [pods("cart-old1-abc", 1.0), pods("cart-old1-def", 2.0)].to_vec();
        check(&pod, [vec![pods("cart-new1-abc", 1.0), pods("cart-x-1", 9.0)], old].concat());
        let side = custom(L::default(), "r{h=\"{hash}\"}");
        check(&side, vec![row(&[(SIDE_LABEL, "new")], 1.0), row(&[(SIDE_LABEL, "old")], 3.0)]);
        let service = custom(L { service: Some("svc".into()), ..L::default() }, "r{ns=\"{namespace}\"}");
        check(&service, vec![row(&[("svc", "cart-canary")], 1.0), row(&[("svc", "cart-stable")], 3.0)]);
    }

    #[test]
    fn history_has_gaps_and_begins_with_the_release() {
        let line = |service: &str, points: &[(i64, f64)]| Row {
            points: points.iter().map(|(s, v)| (at(*s), *v)).collect(),
            ..istio(service, 0.0)
        };
        let rates = answer(vec![line("cart-stable", &[(0, 2.0), (10, 0.0), (30, 2.0)]), line("cart-canary", &[(0, 5.0), (20, 1.0)])]);
        let bad = answer(vec![line("cart-stable", &[(0, 1.0)])]);
        let grid: Vec<Time> = (0..4).map(|i| at(i * 10)).collect();
        let answers = [(Series::Rate, rates), (Series::Errors, bad), (Series::P99, None)];
        let h = history(&Profile::Istio, &target("shop", "cart"), &answers, &grid, Some(at(5)));
        let values = |side, series| h[&(side, series)].iter().map(|(_, v)| *v).collect::<Vec<_>>();
        assert_eq!(values(Side::Old, Series::Rate), [Some(2.0), Some(0.0), None, Some(2.0)]);
        assert_eq!(values(Side::Old, Series::Errors), [Some(0.5), None, None, Some(0.0)]);
        assert_eq!(values(Side::New, Series::Rate), [None, None, Some(1.0), None]);
        assert!(!h.contains_key(&(Side::Old, Series::P99)), "a failed question leaves no line");
    }
}
