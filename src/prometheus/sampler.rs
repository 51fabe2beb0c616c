//! The task that asks at regular times and tells the reducer what it learned.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use futures::{
    FutureExt,
    future::{BoxFuture, Fuse, join_all},
};
use tokio::sync::{mpsc, watch};

use super::{
    Client, Fault, Settings, Target,
    answer::Answer,
    counting::Counting,
    mapping::{Answered, history, readings},
    profile::{Profile, Question, Scope},
};
use crate::{
    model::{
        Id, Link, LinkState, Source, Text, Time,
        metrics::{Points, RolloutMetrics, Series},
    },
    msg::{Body, Msg},
};

/// A focus that changes faster than this is somebody scrolling.
const SETTLE: Duration = Duration::from_millis(150);
/// Back-off after failures.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The rollout's own queries that are asked, each of which costs one.
const OWN_QUERIES: usize = 16;
/// Prometheus refuses ranges of more than 11 000 points; nobody's screen has that many columns.
const MOST_POINTS: u32 = 2_000;

/// The open rollout, whose past is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Focus {
    pub id: Id,
    /// Span of the chart, ending now. One that grows as time passes ("since the start") is the same
    /// chart: what it grows by is drawn from the readings.
    pub window: Duration,
    /// Points wanted over the span; the step is at least a second.
    pub points: u32,
    /// When the new side came into being; its line begins there.
    pub new_since: Option<Time>,
    /// The rollout's own analysis queries, resolved: name and PromQL.
    pub own: Vec<(Text, Text)>,
}

/// Asks until nobody listens to `tx` any more.
///
/// Every [`Settings::interval`], aligned to the clock, one refresh: at most five queries for all
/// targets, one that counts requests where a release is in flight, and one for each own series of the focus. When releases with
/// native histograms begin, one more asks for the bounds of their buckets. A refresh
/// that still runs when the next is due is not overtaken. Without targets nothing is queried; only
/// the server's health is looked at.
///
/// Sends [`Body::Link`] whenever the state of the connection or its last sign of life changes,
/// [`Body::Metrics`] once per refresh with every target, and [`Body::Backfill`] when the focus or
/// its release changes: history, own series and the beginning of the range, no readings.
///
/// In the readings, [`Reading::Unasked`](crate::model::metrics::Reading::Unasked) marks a series
/// whose question failed while others were answered; the link's detail says why.
pub async fn run(
    client: Client,
    settings: Settings,
    targets: watch::Receiver<Arc<Vec<Target>>>,
    focus: watch::Receiver<Option<Focus>>,
    tx: mpsc::Sender<Msg>,
) {
    let mut sampler = Sampler::new(client, settings, tx);
    let mut inputs = Inputs { targets, focus };
    sampler.begin().await;
    while sampler.turn(&mut inputs).await.is_some() {}
}

struct Inputs {
    targets: watch::Receiver<Arc<Vec<Target>>>,
    focus: watch::Receiver<Option<Focus>>,
}

impl Inputs {
    fn targets(&mut self) -> Arc<Vec<Target>> {
        self.targets.borrow_and_update().clone()
    }

    fn focus(&mut self) -> Option<Focus> {
        self.focus.borrow_and_update().clone()
    }

    /// A sender that is gone will not change anything: wait for ever instead of spinning.
    async fn changed(&mut self) {
        let Self { targets, focus } = self;
        let targets = async {
            if targets.changed().await.is_err() {
                pending().await
            }
        };
        let focus = async {
            if focus.changed().await.is_err() {
                pending().await
            }
        };
        tokio::select! { () = targets => {}, () = focus => {} }
    }
}

/// What a refresh brought.
struct Refreshed {
    metrics: Vec<(Id, RolloutMetrics)>,
    notes: Vec<Text>,
    took: Duration,
}

/// What a chart's past brought: nothing, and why, or the past and what is missing of it.
struct Filled {
    wanted: Wanted,
    past: Result<RolloutMetrics, Fault>,
    notes: Vec<Text>,
}

/// The chart that is wanted. It changes with the focus and with the release in it.
#[derive(Debug, Clone, PartialEq)]
struct Wanted {
    focus: Focus,
    target: Target,
}

impl Wanted {
    /// Whether this is that chart, `passed` later.
    fn is(&self, that: &Self, passed: Duration) -> bool {
        let grown = self.focus.window.checked_sub(that.focus.window);
        let same_span = grown.is_some_and(|grown| grown <= passed + SETTLE);
        let respan = |w: &Self| Self { focus: Focus { window: Duration::ZERO, ..w.focus.clone() }, ..w.clone() };
        same_span && respan(self) == respan(that)
    }
}

type Running<T> = Fuse<BoxFuture<'static, T>>;

struct Sampler {
    client: Client,
    settings: Settings,
    tx: mpsc::Sender<Msg>,
    link: Link,
    profile: Profile,
    /// Failures in a row.
    failures: u32,
    /// When the next refresh is due.
    due: tokio::time::Instant,
    refresh: Running<Result<Refreshed, Fault>>,
    fill: Running<Filled>,
    /// The chart asked for or filled, and when.
    filled: Option<(Wanted, Instant)>,
    /// The chart that failed, how often, and when it may be asked for again.
    unfilled: Option<(Wanted, u32, Instant)>,
    /// The last refresh had nothing to ask about.
    idle: bool,
    chart_note: Option<Text>,
    counting: Arc<Mutex<Counting>>,
}

impl Sampler {
    fn new(client: Client, settings: Settings, tx: mpsc::Sender<Msg>) -> Self {
        Self {
            profile: Profile::of(&settings.profile),
            client,
            settings,
            tx,
            link: Link::default(),
            failures: 0,
            due: tokio::time::Instant::now(),
            refresh: Fuse::terminated(),
            fill: Fuse::terminated(),
            filled: None,
            unfilled: None,
            idle: true,
            chart_note: None,
            counting: Arc::default(),
        }
    }

    async fn begin(&mut self) {
        self.link.state = LinkState::Connecting;
        self.link.since = Some(crate::clock::now());
        self.send(Body::Link(Source::Prometheus, self.link.clone())).await;
    }

    /// Waits for one thing to happen and deals with it; `None` when nobody listens.
    async fn turn(&mut self, inputs: &mut Inputs) -> Option<()> {
        use futures::future::FusedFuture;
        let busy = !self.refresh.is_terminated();
        tokio::select! {
            biased;
            () = self.tx.closed() => return None,
            result = &mut self.refresh, if busy => self.refreshed(result, inputs).await,
            filled = &mut self.fill, if !self.fill.is_terminated() => self.filled(filled).await,
            () = inputs.changed() => self.changed(inputs, busy),
            () = tokio::time::sleep_until(self.due), if !busy => self.start(inputs),
        }
        Some(())
    }

    /// The first targets do not wait for the clock; a server that just failed is left alone.
    fn changed(&mut self, inputs: &mut Inputs, busy: bool) {
        let targets = inputs.targets();
        if self.idle && !targets.is_empty() && !busy && self.failures == 0 {
            self.due = tokio::time::Instant::now();
        }
        if self.failures == 0 {
            self.want_fill(inputs);
        }
    }

    fn start(&mut self, inputs: &mut Inputs) {
        let (targets, focus) = (inputs.targets(), inputs.focus());
        self.idle = targets.is_empty();
        let work = Refresh {
            client: self.client.clone(),
            window: self.settings.window,
            interval: self.settings.interval,
            counting: self.counting.clone(),
            profile: self.profile.clone(),
            at: server_now(&self.client),
            own: focus.and_then(|f| targets.iter().find(|t| t.id == f.id).map(|t| (t.clone(), f))),
            targets,
        };
        self.refresh = work.run().boxed().fuse();
    }

    async fn refreshed(&mut self, result: Result<Refreshed, Fault>, inputs: &mut Inputs) {
        match result {
            Ok(refreshed) => {
                if std::mem::take(&mut self.failures) > 0 {
                    // The chart has a hole where nobody answered; ask for its past again.
                    self.filled = None;
                }
                self.due = next_aligned(self.settings.interval);
                self.live(&refreshed).await;
                if !refreshed.metrics.is_empty() {
                    self.send(Body::Metrics(refreshed.metrics)).await;
                }
                self.want_fill(inputs);
                // Targets that came while an idle refresh ran.
                if self.idle && !inputs.targets().is_empty() {
                    self.due = tokio::time::Instant::now();
                }
            }
            Err(fault) => self.failed(&fault).await,
        }
    }

    async fn live(&mut self, refreshed: &Refreshed) {
        let now = crate::clock::now();
        if self.link.state != LinkState::Live {
            self.link.since = Some(now);
        }
        let mut notes = refreshed.notes.clone();
        notes.extend(self.chart_note.clone().filter(|note| !refreshed.notes.contains(note)));
        if refreshed.took * 2 > self.settings.interval.min(self.settings.timeout) {
            notes.insert(0, Text::clean(&format!("slow: {:.1} s", refreshed.took.as_secs_f64())));
        }
        let skew = self.client.skew().num_seconds();
        if skew != 0 {
            notes.push(Text::clean(&format!("its clock differs by {skew:+} s")));
        }
        self.link = Link {
            state: LinkState::Live,
            since: self.link.since,
            heard: Some(now),
            retry_at: None,
            detail: Text::clean(&notes.iter().map(Text::as_str).collect::<Vec<_>>().join("; ")),
            synced: if refreshed.metrics.is_empty() { self.link.synced } else { Some(now) },
        };
        self.send(Body::Link(Source::Prometheus, self.link.clone())).await;
    }

    async fn failed(&mut self, fault: &Fault) {
        self.failures = self.failures.saturating_add(1);
        let wait = back_off(self.failures, fault.after(), fastrand::f64());
        self.due = tokio::time::Instant::now() + wait;
        let now = crate::clock::now();
        let state = fault.state();
        if self.link.state != state {
            self.link.since = Some(now);
        }
        self.link.state = state;
        self.link.retry_at = Some(now + TimeDelta::from_std(wait).unwrap_or_default());
        self.link.detail = Text::clean(&fault.to_string());
        tracing::debug!(failures = self.failures, %fault, "prometheus refresh failed");
        self.send(Body::Link(Source::Prometheus, self.link.clone())).await;
    }

    /// Asks for the past of the focus, unless it is there or on its way.
    fn want_fill(&mut self, inputs: &mut Inputs) {
        let wanted = inputs.focus().and_then(|focus| {
            let target = inputs.targets().iter().find(|t| t.id == focus.id).cloned()?;
            Some(Wanted { focus, target })
        });
        let Some(wanted) = wanted else {
            (self.fill, self.filled, self.chart_note) = (Fuse::terminated(), None, None);
            return;
        };
        let now = Instant::now();
        let there = self.filled.as_ref().is_some_and(|(that, at)| wanted.is(that, now - *at));
        let wait = self.unfilled.as_ref().is_some_and(|(failed, _, until)| now < *until && wanted.is(failed, LONGEST_WAIT));
        if there || wait {
            return;
        }
        self.filled = Some((wanted.clone(), now));
        let work = fill(self.client.clone(), self.profile.clone(), self.settings.window, wanted);
        self.fill = work.boxed().fuse();
    }

    async fn filled(&mut self, filled: Filled) {
        let Filled { wanted, past, mut notes } = filled;
        match past {
            Ok(past) => {
                self.unfilled = None;
                self.send(Body::Backfill(wanted.focus.id, Box::new(past))).await;
            }
            Err(fault) => {
                self.filled = None;
                let times = self.unfilled.take().filter(|(failed, ..)| wanted.is(failed, LONGEST_WAIT * 2)).map_or(1, |(_, n, _)| n + 1);
                let until = Instant::now() + back_off(times, fault.after(), fastrand::f64());
                self.unfilled = Some((wanted, times, until));
                notes = vec![Text::clean(&format!("chart: {fault}"))];
            }
        }
        // Told with the next refresh: it is about the chart, not about the connection.
        self.chart_note = notes.into_iter().next();
    }

    async fn send(&mut self, body: Body) {
        // A closed channel ends the task at the next turn.
        let _ = self.tx.send(Msg::now(body)).await;
    }
}

/// One round of questions, with everything it needs, so that it can run beside the loop.
struct Refresh {
    client: Client,
    window: Duration,
    interval: Duration,
    counting: Arc<Mutex<Counting>>,
    profile: Profile,
    at: Time,
    targets: Arc<Vec<Target>>,
    own: Option<(Target, Focus)>,
}

impl Refresh {
    async fn run(self) -> Result<Refreshed, Fault> {
        let begun = Instant::now();
        let mut notes = Vec::new();
        if self.targets.is_empty() {
            self.client.probe().await?;
            return Ok(Refreshed { metrics: Vec::new(), notes, took: begun.elapsed() });
        }
        let mut metrics = self.ask(&self.profile, &mut notes).await?;
        self.count(&mut metrics, &mut notes).await;
        self.ask_own(&mut metrics, &mut notes).await;
        Ok(Refreshed { metrics, notes, took: begun.elapsed() })
    }

    async fn ask(&self, profile: &Profile, notes: &mut Vec<Text>) -> Result<Vec<(Id, RolloutMetrics)>, Fault> {
        let one: Vec<Target> = self.own.iter().map(|(target, _)| target.clone()).collect();
        let targets = if profile.serves_fleet() { &self.targets[..] } else { &one[..] };
        let scope = match targets {
            [] => {
                // A profile that is only asked about the open rollout, and none is open.
                self.client.probe().await?;
                return Ok(Vec::new());
            }
            [target] if !profile.serves_fleet() => Scope::One(target),
            targets => Scope::Fleet(targets),
        };
        let questions = profile.questions(scope, self.window);
        let ask = |q: &Question| {
            let (client, promql, series, at) = (self.client.clone(), q.promql.clone(), q.series, self.at);
            async move { (series, client.query(&promql, at).await) }
        };
        let answers = sift(join_all(questions.iter().map(ask)).await, series_name, notes)?;
        if answers.iter().all(|(_, a)| a.as_ref().is_some_and(|a| a.rows.is_empty())) {
            notes.push(format!("no series of {} found", profile.name()).into());
        }
        Ok(readings(profile, targets, &answers, self.at))
    }

    /// Requests for the verdict. Without them it says that it knows nothing newer.
    async fn count(&self, metrics: &mut [(Id, RolloutMetrics)], notes: &mut Vec<Text>) {
        let counting = || self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Profile::Custom(_) = self.profile {
            return counting().from_rates(&self.targets, metrics, self.window);
        }
        let Some(mut ask) = counting().next(&self.profile, &self.targets, metrics, self.at, self.interval) else { return };
        match ask.run(&self.client, &self.profile, metrics).await {
            Ok(()) => counting().done(&ask),
            Err(fault) => notes.push(Text::clean(&format!("counting: {fault}"))),
        }
    }

    /// Own series of the open rollout: one point each. Their failures are only noted.
    async fn ask_own(&self, metrics: &mut Vec<(Id, RolloutMetrics)>, notes: &mut Vec<Text>) {
        let Some((target, focus)) = &self.own else { return };
        let queries = own_queries(&self.profile, target, focus, self.window);
        if queries.is_empty() {
            return;
        }
        let answers = join_all(queries.iter().map(|(_, promql)| self.client.query(promql, self.at))).await;
        let mut own = BTreeMap::new();
        for ((name, _), answer) in queries.into_iter().zip(answers) {
            match answer {
                Ok(answer) => {
                    let value = answer.first().filter(|v| v.is_finite());
                    own.insert(name, Points::from([(self.at, value)]));
                }
                Err(fault) => notes.push(Text::clean(&format!("{name}: {fault}"))),
            }
        }
        match metrics.iter_mut().find(|(id, _)| *id == target.id) {
            Some((_, of)) => of.own = own,
            None => metrics.push((target.id.clone(), RolloutMetrics { at: Some(self.at), own, ..Default::default() })),
        }
    }
}

/// Fails if nothing at all was answered; otherwise notes what was not.
fn sift<K>(
    answers: Vec<(K, Result<Answer, Fault>)>,
    name: impl Fn(&K) -> String,
    notes: &mut Vec<Text>,
) -> Result<Vec<(K, Option<Answer>)>, Fault> {
    if answers.iter().all(|(_, a)| a.is_err())
        && let Some((_, Err(fault))) = answers.iter().find(|(_, a)| a.is_err())
    {
        return Err(fault.clone());
    }
    let mut warnings = BTreeSet::new();
    let kept = answers.into_iter().map(|(key, answer)| match answer {
        Ok(answer) => {
            warnings.extend(answer.warnings.iter().cloned());
            (key, Some(answer))
        }
        Err(fault) => {
            notes.push(Text::clean(&format!("{}: {fault}", name(&key))));
            (key, None)
        }
    });
    let kept = kept.collect();
    notes.extend(warnings.into_iter().take(2).map(|w| Text::clean(&format!("warning: {w}"))));
    Ok(kept)
}

fn series_name(series: &Series) -> String {
    format!("{series:?}").to_lowercase()
}

/// The rollout's own analysis queries first, then the profile's.
fn own_queries(profile: &Profile, target: &Target, focus: &Focus, window: Duration) -> Vec<(Text, String)> {
    let analysis = focus.own.iter().map(|(name, query)| (name.clone(), query.to_string()));
    let custom = profile.own(target, window).into_iter().map(|(name, query)| (Text::clean(&name), query));
    analysis.chain(custom).take(OWN_QUERIES).collect()
}

/// The chart's past: one range query per series of the profile and per own query.
async fn fill(client: Client, profile: Profile, window: Duration, wanted: Wanted) -> Filled {
    tokio::time::sleep(SETTLE).await;
    let mut notes = Vec::new();
    let past = past(&client, &profile, window, &wanted, &mut notes).await;
    Filled { wanted, past, notes }
}

async fn past(
    client: &Client,
    profile: &Profile,
    window: Duration,
    wanted: &Wanted,
    notes: &mut Vec<Text>,
) -> Result<RolloutMetrics, Fault> {
    let Wanted { focus, target } = wanted;
    let (grid, step) = grid(server_now(client), focus.window, focus.points);
    let (Some(from), Some(to)) = (grid.first().copied(), grid.last().copied()) else {
        return Ok(RolloutMetrics::default());
    };
    let questions = profile.questions(Scope::One(target), window);
    let own = own_queries(profile, target, focus, window);
    let ask = |q: Question| async move { (q.series, client.query_range(&q.promql, from, to, step).await) };
    let ask_own = |(name, promql): (Text, String)| async move { (name, client.query_range(&promql, from, to, step).await) };
    let (series, own) = tokio::join!(join_all(questions.into_iter().map(ask)), join_all(own.into_iter().map(ask_own)));
    let answers: Vec<Answered> = sift(series, series_name, notes)?;
    let own = sift(own, Text::to_string, notes).unwrap_or_else(|fault| {
        notes.push(Text::clean(&fault.to_string()));
        Vec::new()
    });
    Ok(RolloutMetrics {
        history: history(profile, target, &answers, &grid, focus.new_since),
        own: own.into_iter().filter_map(|(name, answer)| Some((name, line(&answer?, &grid)))).collect(),
        filled_from: Some(from),
        ..RolloutMetrics::default()
    })
}

/// The first series of an own query over the grid.
fn line(answer: &Answer, grid: &[Time]) -> Points {
    let points: BTreeMap<Time, f64> = answer.rows.first().map(|r| r.points.iter().copied().collect()).unwrap_or_default();
    grid.iter().map(|at| (*at, points.get(at).copied().filter(|v| v.is_finite()))).collect()
}

/// Times of a chart's points: multiples of a step of whole seconds, so that two fills agree.
fn grid(end: Time, span: Duration, points: u32) -> (Vec<Time>, Duration) {
    let points = i64::from(points.clamp(2, MOST_POINTS));
    let span = i64::try_from(span.as_secs()).unwrap_or(i64::MAX).clamp(1, 366 * 86_400);
    let step = ((span + points - 1) / points).max(1);
    let last = end.timestamp().div_euclid(step) * step;
    let times = (0..=span / step).rev().filter_map(|i| Time::from_timestamp(last - i * step, 0)).collect();
    (times, Duration::from_secs(step.unsigned_abs()))
}

/// Now by the server's clock, as far as its answers tell; whole milliseconds, as its times are.
fn server_now(client: &Client) -> Time {
    let now = crate::clock::now() + client.skew();
    Time::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now)
}

/// The next multiple of the interval on the wall clock.
fn next_aligned(interval: Duration) -> tokio::time::Instant {
    let every = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
    let rest = every - crate::clock::now().timestamp_millis().rem_euclid(every);
    tokio::time::Instant::now() + Duration::from_millis(rest.unsigned_abs())
}

/// Doubles up to a minute, ± 20 % so that many do not return at once; the server's own wish is a
/// lower bound.
fn back_off(failures: u32, asked: Option<Duration>, luck: f64) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_WAIT);
    doubled.mul_f64(0.8 + 0.4 * luck.clamp(0.0, 1.0)).max(asked.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_obey() {
        let wait = |n, luck| back_off(n, None, luck).as_secs_f64();
        assert_eq!((wait(1, 0.5), wait(2, 0.5), wait(3, 0.5)), (2.0, 4.0, 8.0));
        assert!(wait(u32::MAX, 1.0) <= 72.0 && wait(u32::MAX, 0.0) >= 48.0);
        assert_eq!(back_off(1, Some(Duration::from_secs(90)), 0.0).as_secs(), 90);
    }

    #[test]
    fn grids_are_aligned_and_bounded() {
        let end = Time::from_timestamp_millis(1_700_000_007_300).unwrap();
        let (times, step) = grid(end, Duration::from_secs(3600), 120);
        assert_eq!((times.len(), step.as_secs()), (121, 30));
        assert!(times.iter().all(|t| t.timestamp() % 30 == 0) && *times.last().unwrap() <= end);
        assert_eq!(grid(end, Duration::ZERO, 0).1.as_secs(), 1);
        assert!(grid(end, Duration::from_secs(1 << 40), u32::MAX).0.len() <= MOST_POINTS as usize + 1);
    }

    #[test]
    fn one_answer_keeps_the_refresh_alive() {
        let mut notes = Vec::new();
        let bad = || Err(Fault::Refused);
        let answers = vec![(Series::P99, bad()), (Series::Rate, bad())];
        assert_eq!(sift(answers, series_name, &mut notes), Err(Fault::Refused));
        let answers = vec![(Series::P99, bad()), (Series::Rate, Ok(Answer::default()))];
        let kept = sift(answers, series_name, &mut notes).unwrap();
        assert!(kept[0].1.is_none() && kept[1].1.is_some() && notes[0].contains("p99"));
        assert!(sift(Vec::new(), series_name, &mut notes).unwrap().is_empty());
    }
}
