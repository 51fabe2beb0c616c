//! A model of the requests a workload receives, and of how its versions answer them.
//!
//! The model knows nothing of Kubernetes and reads no clock. Its owner describes who receives which share
//! ([`Model::route`]), how much arrives ([`Load`]) and how each image tag behaves ([`Profile`]), then lets time pass
//! ([`Model::advance`]) and reads counters that only grow ([`Model::counters`]), as a metrics endpoint would show them.
//! The same seed and the same calls give the same counters.
//!
//! Units: rates are requests per second, latencies milliseconds, shares and weights plain numbers (a share lies in
//! `0.0..=1.0`, weights are relative to each other).
//!
//! Requests arrive as a Poisson process. A Poisson stream split at random is again Poisson streams, therefore each
//! (track, status code, latency bucket) draws its own count and the cost of a step does not depend on the rate.

use std::collections::BTreeMap;
use std::time::Duration;

/// Upper bounds of the latency buckets in milliseconds, as Istio's proxies use them. The last bucket is open.
pub const BOUNDS_MS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// Upper bounds in seconds, as ingress-nginx uses them. Each is also one of [`BOUNDS_MS`].
pub const BOUNDS_S: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Longest step in which rates count as constant; longer ones are cut.
const STEP: Duration = Duration::from_secs(1);

/// The z value of the 99th percentile of a normal distribution.
const Z99: f64 = 2.326_347_87;

/// Part of a pod's capacity below which load does not change latency.
const COMFORT: f64 = 0.7;

/// Answer of a proxy that finds no pod, in milliseconds.
const REFUSED: Latency = Latency { median: 1.0, p99: 4.0 };

/// What a track is to its workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Stable,
    Canary,
}

/// Which counters a request belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId {
    pub role: Role,
    /// Pod template hash, or whatever tells two versions apart.
    pub hash: String,
    /// Service the request was sent to.
    pub service: String,
    /// Image tag; picks the [`Profile`].
    pub tag: String,
}

/// One receiver of a workload's requests, at this moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    pub id: TrackId,
    /// Relative to the other tracks of the workload.
    pub weight: f64,
    pub ready_pods: u32,
}

/// Log-normal response time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    pub median: f64,
    pub p99: f64,
}

impl Latency {
    /// Share of requests answered within `bound` milliseconds.
    fn within(self, bound: f64) -> f64 {
        let sigma = ((self.p99 / self.median).ln() / Z99).max(1e-6);
        normal_cdf((bound / self.median).ln() / sigma)
    }

    fn slower(self, factor: f64) -> Self {
        Self { median: self.median * factor, p99: self.p99 * factor }
    }
}

/// Cold caches after a pod's start: answers are `slower` times slower, fading to normal within `lasts`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StartUp {
    pub lasts: Duration,
    pub slower: f64,
}

/// How one version behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// Share answered with 500.
    pub errors: f64,
    /// Share answered with 404.
    pub not_found: f64,
    pub latency: Latency,
    /// Requests per second one pod can answer. Close to it answers become slow, beyond it the excess gets 503.
    pub capacity: f64,
    pub start_up: Option<StartUp>,
    /// How often whoever got a 500 tries the same again at once, in vain; [`Profile::errors`] counts these requests too.
    pub retries: u32,
    /// On average after so long what counts its requests starts anew, from zero.
    pub recounts: Option<Duration>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            errors: 0.002,
            not_found: 0.0,
            latency: Latency { median: 20.0, p99: 90.0 },
            capacity: 100.0,
            start_up: None,
            retries: 0,
            recounts: None,
        }
    }
}

impl Profile {
    /// A version with this share of errors, otherwise ordinary.
    pub fn failing(errors: f64) -> Self {
        Self { errors, ..Self::default() }
    }

    /// A version with these response times in milliseconds, otherwise ordinary.
    pub fn slow(median: f64, p99: f64) -> Self {
        Self { latency: Latency { median, p99 }, ..Self::default() }
    }
}

/// Random bursts: on average one each `every`, `times` the usual rate while it `lasts`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bursts {
    pub every: Duration,
    pub lasts: Duration,
    pub times: f64,
}

/// A wave upon the rate: `rps * (1 ± swing)`, starting at the mean and rising.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Day {
    pub period: Duration,
    pub swing: f64,
}

/// What arrives at a workload in all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    pub rps: f64,
    /// Slow wander of the rate, as a share of it (standard deviation). Arrivals are random even at 0.
    pub noise: f64,
    pub bursts: Option<Bursts>,
    pub day: Option<Day>,
    /// Share of the scrapes that fail; the requests themselves come all the same.
    pub unscraped: f64,
}

impl Default for Load {
    fn default() -> Self {
        Self { rps: 40.0, noise: 0.0, bursts: None, day: None, unscraped: 0.0 }
    }
}

/// Requests of one track with one status code, by latency.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// One count per bound of [`BOUNDS_MS`] and one for the open bucket; not cumulative.
    counts: [u64; BOUNDS_MS.len() + 1],
    sum_ms: f64,
}

impl Histogram {
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn sum_ms(&self) -> f64 {
        self.sum_ms
    }

    /// Requests that took at most `bound` milliseconds; `bound` should be one of [`BOUNDS_MS`].
    pub fn at_most(&self, bound: f64) -> u64 {
        BOUNDS_MS.iter().zip(&self.counts).filter(|(upper, _)| **upper <= bound).map(|(_, n)| n).sum()
    }

    /// Adds the counts of `other`, for owners that show several tracks as one series.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.sum_ms += other.sum_ms;
    }

    fn add(&mut self, bucket: usize, requests: u64) {
        self.counts[bucket] += requests;
        self.sum_ms += requests as f64 * typical(bucket);
    }
}

/// A track's requests since the model began, by HTTP status code.
pub type Counters = BTreeMap<u16, Histogram>;

/// All requests of `counters` whose code has this first digit.
pub fn of_class(counters: &Counters, digit: u16) -> u64 {
    counters.iter().filter(|(code, _)| **code / 100 == digit).map(|(_, histogram)| histogram.count()).sum()
}

/// All workloads and their clock.
#[derive(Debug, Clone)]
pub struct Model {
    rng: fastrand::Rng,
    now: Duration,
    workloads: BTreeMap<String, Workload>,
}

#[derive(Debug, Clone, Default)]
struct Workload {
    load: Load,
    profiles: BTreeMap<String, Profile>,
    tracks: Vec<Track>,
    /// When a version's pods first were ready; forgotten when none is left.
    ready_since: BTreeMap<String, Duration>,
    counters: BTreeMap<TrackId, Counters>,
    /// When a version, by image tag, last was sent requests.
    asked: BTreeMap<String, Duration>,
    /// Requests a second that come to a Service beside those of users.
    extra: BTreeMap<String, f64>,
    /// The wander of the rate, in standard deviations.
    wander: f64,
    burst_until: Duration,
}

impl Model {
    pub fn new(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), now: Duration::ZERO, workloads: BTreeMap::new() }
    }

    /// Time passed since the model began.
    pub fn now(&self) -> Duration {
        self.now
    }

    pub fn set_load(&mut self, workload: &str, load: Load) {
        self.workload(workload).load = load;
    }

    pub fn load(&self, workload: &str) -> Load {
        self.workloads.get(workload).map(|w| w.load).unwrap_or_default()
    }

    /// How the version with this image tag behaves from now on.
    pub fn set_profile(&mut self, workload: &str, tag: &str, profile: Profile) {
        self.workload(workload).profiles.insert(tag.to_owned(), profile);
    }

    /// Who receives requests from now on. Counters of tracks no longer named stay as they are.
    pub fn route(&mut self, workload: &str, tracks: Vec<Track>) {
        let now = self.now;
        let workload = self.workload(workload);
        workload.ready_since.retain(|hash, _| tracks.iter().any(|t| t.id.hash == *hash && t.ready_pods > 0));
        for track in tracks.iter().filter(|t| t.ready_pods > 0) {
            workload.ready_since.entry(track.id.hash.clone()).or_insert(now);
        }
        workload.tracks = tracks;
    }

    /// So many requests a second come to this Service beside those of users, from somebody's load test. Its tracks share
    /// them by their pods.
    pub fn set_extra(&mut self, workload: &str, service: &str, rps: f64) {
        let extra = &mut self.workload(workload).extra;
        if rps > 0.0 {
            extra.insert(service.to_owned(), rps);
        } else {
            extra.remove(service);
        }
    }

    /// What counts this version's requests starts anew, from zero, as the proxies of pods do that restart.
    pub fn recount(&mut self, workload: &str, tag: &str) {
        self.workload(workload).recount(tag);
    }

    /// Forgets a workload and its counters.
    pub fn remove(&mut self, workload: &str) {
        self.workloads.remove(workload);
    }

    /// Forgets versions that were sent nothing for `idle`, all tracks of an image tag at once: where several are shown
    /// as one series, it ends instead of falling.
    pub fn forget(&mut self, workload: &str, idle: Duration) {
        let now = self.now;
        let Some(workload) = self.workloads.get_mut(workload) else { return };
        workload.asked.retain(|_, last| now.saturating_sub(*last) < idle);
        workload.counters.retain(|id, _| workload.asked.contains_key(&id.tag));
    }

    /// Lets `dt` pass.
    pub fn advance(&mut self, dt: Duration) {
        let mut left = dt;
        while !left.is_zero() {
            let step = left.min(STEP);
            self.now += step;
            for workload in self.workloads.values_mut() {
                workload.step(self.now, step, &mut self.rng);
            }
            left -= step;
        }
    }

    pub fn workloads(&self) -> impl Iterator<Item = &str> {
        self.workloads.keys().map(String::as_str)
    }

    /// All tracks that ever got a request.
    pub fn counters(&self, workload: &str) -> impl Iterator<Item = (&TrackId, &Counters)> {
        self.workloads.get(workload).into_iter().flat_map(|w| &w.counters)
    }

    fn workload(&mut self, name: &str) -> &mut Workload {
        self.workloads.entry(name.to_owned()).or_default()
    }
}

impl Workload {
    fn recount(&mut self, tag: &str) {
        self.counters.retain(|id, _| id.tag != tag);
    }

    fn step(&mut self, now: Duration, dt: Duration, rng: &mut fastrand::Rng) {
        let mut restarts = |profile: &Profile| profile.recounts.is_some_and(|mean| rng.f64() < dt.as_secs_f64() / mean.as_secs_f64());
        let restarted: Vec<String> = self.profiles.iter().filter(|(_, profile)| restarts(profile)).map(|(tag, _)| tag.clone()).collect();
        restarted.iter().for_each(|tag| self.recount(tag));
        let rate = self.rate(now, dt, rng);
        let weights: f64 = self.tracks.iter().map(|t| t.weight).sum();
        if (rate <= 0.0 || weights <= 0.0) && self.extra.is_empty() {
            return;
        }
        for index in 0..self.tracks.len() {
            let track = self.tracks[index].clone();
            let rate = if weights > 0.0 { rate * track.weight / weights } else { 0.0 } + self.extra_of(&track);
            if rate > 0.0 {
                match self.asked.get_mut(&track.id.tag) {
                    Some(last) => *last = now,
                    None => drop(self.asked.insert(track.id.tag.clone(), now)),
                }
                let answers = self.answers(&track, rate, now);
                let counters = self.counters.entry(track.id).or_default();
                answers.iter().for_each(|answer| answer.draw(rate * dt.as_secs_f64(), counters, rng));
            }
        }
    }

    /// What comes to a track beside users.
    fn extra_of(&self, track: &Track) -> f64 {
        let Some(extra) = self.extra.get(&track.id.service) else { return 0.0 };
        let all: u32 = self.tracks.iter().filter(|other| other.id.service == track.id.service).map(|other| other.ready_pods).sum();
        extra * f64::from(track.ready_pods) / f64::from(all.max(1))
    }

    fn rate(&mut self, now: Duration, dt: Duration, rng: &mut fastrand::Rng) -> f64 {
        // Mean-reverting walk with a memory of about half a minute.
        let memory = (-dt.as_secs_f64() / 30.0).exp();
        self.wander = self.wander * memory + normal(rng) * (1.0 - memory * memory).sqrt();
        let noise = 1.0 + self.load.noise * self.wander;
        let day =
            self.load.day.map_or(1.0, |day| 1.0 + day.swing * (now.as_secs_f64() / day.period.as_secs_f64() * std::f64::consts::TAU).sin());
        (self.load.rps * noise * day * self.burst(now, dt, rng)).max(0.0)
    }

    fn burst(&mut self, now: Duration, dt: Duration, rng: &mut fastrand::Rng) -> f64 {
        let Some(bursts) = self.load.bursts else {
            return 1.0;
        };
        if now >= self.burst_until && rng.f64() < dt.as_secs_f64() / bursts.every.as_secs_f64() {
            self.burst_until = now + bursts.lasts;
        }
        if now < self.burst_until { bursts.times } else { 1.0 }
    }

    fn answers(&self, track: &Track, rate: f64, now: Duration) -> Vec<Answer> {
        if track.ready_pods == 0 {
            return vec![Answer { code: 503, share: 1.0, latency: REFUSED, times: 1 }];
        }
        let profile = self.profiles.get(&track.id.tag).copied().unwrap_or_default();
        let usage = rate / (profile.capacity * f64::from(track.ready_pods));
        let dropped = if usage > 1.0 { 1.0 - 1.0 / usage } else { 0.0 };
        let cold = self.ready_since.get(&track.id.hash).map_or(1.0, |since| cold(profile.start_up, now - *since));
        let latency = profile.latency.slower(cold * congestion(usage));
        let failed = profile.errors.clamp(0.0, 1.0);
        let missed = profile.not_found.clamp(0.0, 1.0 - failed);
        let kept = 1.0 - dropped;
        vec![
            Answer { code: 200, share: kept * (1.0 - failed - missed), latency, times: 1 },
            Answer { code: 404, share: kept * missed, latency, times: 1 },
            Answer { code: 500, share: kept * failed, latency, times: 1 + u64::from(profile.retries) },
            Answer { code: 503, share: dropped, latency, times: 1 },
        ]
    }
}

/// One way a track answers, and how often.
struct Answer {
    code: u16,
    share: f64,
    latency: Latency,
    /// So many requests come together.
    times: u64,
}

impl Answer {
    /// Counts the answers to `expected` requests of the whole track.
    fn draw(&self, expected: f64, counters: &mut Counters, rng: &mut fastrand::Rng) {
        if self.share <= 0.0 {
            return;
        }
        let mut below = 0.0;
        for bucket in 0..=BOUNDS_MS.len() {
            let upper = BOUNDS_MS.get(bucket).map_or(1.0, |bound| self.latency.within(*bound));
            let requests = self.times * poisson(expected * self.share * (upper - below) / self.times as f64, rng);
            below = upper;
            if requests > 0 {
                counters.entry(self.code).or_default().add(bucket, requests);
            }
        }
    }
}

/// How much slower pods answer at this part of their capacity: not at all at first, eightfold at the limit.
fn congestion(usage: f64) -> f64 {
    let strain = ((usage - COMFORT) / (1.0 - COMFORT)).clamp(0.0, 1.0);
    1.0 + 7.0 * strain * strain
}

fn cold(start_up: Option<StartUp>, age: Duration) -> f64 {
    match start_up {
        Some(s) if age < s.lasts => 1.0 + (s.slower - 1.0) * (1.0 - age.as_secs_f64() / s.lasts.as_secs_f64()),
        _ => 1.0,
    }
}

/// A latency inside the bucket, for the sum.
fn typical(bucket: usize) -> f64 {
    let lower = if bucket == 0 { 0.25 } else { BOUNDS_MS[bucket - 1] };
    let upper = BOUNDS_MS.get(bucket).copied().unwrap_or(lower * 2.0);
    (lower * upper).sqrt()
}

fn poisson(mean: f64, rng: &mut fastrand::Rng) -> u64 {
    if mean <= 0.0 {
        return 0;
    }
    if mean > 50.0 {
        return (mean + mean.sqrt() * normal(rng)).round().max(0.0) as u64;
    }
    // Knuth: count the uniform factors until their product falls below e^-mean.
    let limit = (-mean).exp();
    let mut product = rng.f64();
    let mut count = 0;
    while product > limit {
        product *= rng.f64();
        count += 1;
    }
    count
}

/// Standard normal, by Box and Muller.
fn normal(rng: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

/// Abramowitz and Stegun 7.1.26, exact to 1.5e-7.
fn normal_cdf(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let poly = t * (0.254_829_592 + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let erf = 1.0 - poly * (-x * x).exp();
    if z < 0.0 { 0.5 * (1.0 - erf) } else { 0.5 * (1.0 + erf) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "shop/cart";

    fn track(role: Role, tag: &str, weight: f64, ready_pods: u32) -> Track {
        let id = TrackId { role, hash: format!("hash-{tag}"), service: "cart".into(), tag: tag.into() };
        Track { id, weight, ready_pods }
    }

    fn split(stable: f64, canary: f64) -> Vec<Track> {
        vec![track(Role::Stable, "v1", stable, 3), track(Role::Canary, "v2", canary, 1)]
    }

    fn totals(model: &Model) -> BTreeMap<String, u64> {
        model.counters(SHOP).map(|(id, c)| (id.tag.clone(), c.values().map(Histogram::count).sum())).collect()
    }

    fn ran(set_up: impl FnOnce(&mut Model), seconds: u64) -> Model {
        let mut model = Model::new(7);
        model.route(SHOP, split(75.0, 25.0));
        set_up(&mut model);
        model.advance(Duration::from_secs(seconds));
        model
    }

    fn share(model: &Model, tag: &str, pick: impl Fn(&Counters) -> u64) -> f64 {
        let (_, counters) = model.counters(SHOP).find(|(id, _)| id.tag == tag).unwrap();
        pick(counters) as f64 / counters.values().map(Histogram::count).sum::<u64>() as f64
    }

    fn within(model: &Model, tag: &str, bound: f64) -> f64 {
        share(model, tag, |c| c.values().map(|h| h.at_most(bound)).sum())
    }

    #[test]
    fn the_split_follows_the_weights_and_the_rate_is_kept() {
        let totals = totals(&ran(|_| (), 1_000));
        let (stable, canary) = (totals["v1"] as f64, totals["v2"] as f64);
        assert!((stable + canary - 40_000.0).abs() < 1_000.0, "{totals:?}");
        assert!((canary / (stable + canary) - 0.25).abs() < 0.01, "{totals:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_counters() {
        let noisy = |m: &mut Model| m.set_load(SHOP, Load { noise: 0.3, ..Load::default() });
        let (one, two) = (ran(noisy, 60), ran(noisy, 60));
        assert_eq!(one.counters(SHOP).collect::<Vec<_>>(), two.counters(SHOP).collect::<Vec<_>>());
    }

    #[test]
    fn counters_never_shrink_and_outlive_their_route() {
        let mut model = ran(|_| (), 10);
        let before = totals(&model);
        model.route(SHOP, vec![track(Role::Stable, "v1", 1.0, 3)]);
        model.advance(Duration::from_secs(10));
        let after = totals(&model);
        assert_eq!(before["v2"], after["v2"]);
        assert!(after["v1"] > before["v1"]);
    }

    #[test]
    fn versions_without_requests_are_forgotten_with_all_their_tracks() {
        let idle = Duration::from_secs(60);
        let mut model = ran(|_| (), 10);
        model.route(SHOP, vec![track(Role::Stable, "v2", 1.0, 3)]);
        model.advance(idle - Duration::from_secs(1));
        model.forget(SHOP, idle);
        assert_eq!(model.counters(SHOP).count(), 3);
        model.advance(Duration::from_secs(2));
        model.forget(SHOP, idle);
        // The canary's counters stay as long as its version serves as the stable one.
        let left: Vec<_> = model.counters(SHOP).map(|(id, _)| (id.role, id.tag.as_str())).collect();
        assert_eq!(left, [(Role::Stable, "v2"), (Role::Canary, "v2")]);
    }

    #[test]
    fn errors_follow_the_profile_of_the_tag() {
        let model = ran(|m| m.set_profile(SHOP, "v2", Profile { not_found: 0.1, ..Profile::failing(0.3) }), 1_000);
        assert!((share(&model, "v2", |c| of_class(c, 5)) - 0.3).abs() < 0.02);
        assert!((share(&model, "v2", |c| of_class(c, 4)) - 0.1).abs() < 0.02);
        assert!(share(&model, "v1", |c| of_class(c, 5)) < 0.01);
    }

    #[test]
    fn latency_follows_median_and_p99() {
        let model = ran(|m| m.set_profile(SHOP, "v1", Profile::slow(100.0, 1_000.0)), 1_000);
        assert!((within(&model, "v1", 100.0) - 0.5).abs() < 0.02);
        assert!((within(&model, "v1", 1_000.0) - 0.99).abs() < 0.005);
    }

    #[test]
    fn too_few_pods_make_it_slow_then_refuse_the_excess() {
        let limit = |capacity| move |m: &mut Model| m.set_profile(SHOP, "v1", Profile { capacity, ..Profile::default() });
        let (calm, busy, over) = (ran(limit(100.0), 300), ran(limit(10.5), 300), ran(limit(5.0), 300));
        assert!(within(&calm, "v1", 50.0) > 0.85 && within(&busy, "v1", 50.0) < 0.4);
        assert!(share(&busy, "v1", |c| of_class(c, 5)) < 0.01);
        assert!((share(&over, "v1", |c| of_class(c, 5)) - 0.5).abs() < 0.03);
    }

    #[test]
    fn no_ready_pod_means_unavailable() {
        let model = ran(|m| m.route(SHOP, vec![track(Role::Stable, "v1", 1.0, 0)]), 10);
        assert_eq!(share(&model, "v1", |c| c.get(&503).map_or(0, Histogram::count)), 1.0);
    }

    #[test]
    fn a_fresh_pod_is_slow_until_it_is_warm() {
        let start_up = Some(StartUp { lasts: Duration::from_secs(30), slower: 20.0 });
        let mut model = ran(|m| m.set_profile(SHOP, "v1", Profile { start_up, ..Profile::default() }), 10);
        let cold = within(&model, "v1", 100.0);
        model.advance(Duration::from_secs(600));
        assert!(cold < 0.3 && within(&model, "v1", 100.0) > 0.9);
    }

    #[test]
    fn bursts_and_the_day_move_the_rate() {
        let bursts = Bursts { every: Duration::from_secs(10), lasts: Duration::from_secs(10), times: 5.0 };
        let burst = ran(|m| m.set_load(SHOP, Load { bursts: Some(bursts), ..Load::default() }), 600);
        assert!(totals(&burst).values().sum::<u64>() > 40_000);
        let day = Day { period: Duration::from_secs(200), swing: 0.5 };
        let morning = ran(|m| m.set_load(SHOP, Load { day: Some(day), ..Load::default() }), 100);
        assert!(totals(&morning).values().sum::<u64>() > 4_900);
    }

    #[test]
    fn who_tries_again_fails_in_groups_and_as_often() {
        let model = ran(|m| m.set_profile(SHOP, "v2", Profile { retries: 2, ..Profile::failing(0.3) }), 1_000);
        assert!((share(&model, "v2", |c| of_class(c, 5)) - 0.3).abs() < 0.03);
        let (_, counters) = model.counters(SHOP).find(|(id, _)| id.tag == "v2").unwrap();
        assert!(counters[&500].counts.iter().all(|n| n % 3 == 0) && counters[&200].counts.iter().any(|n| n % 3 != 0));
    }

    #[test]
    fn counters_of_pods_that_restart_begin_at_zero() {
        let model = ran(|m| m.set_profile(SHOP, "v2", Profile { recounts: Some(Duration::from_secs(100)), ..Profile::default() }), 1_000);
        let all = totals(&model);
        assert!(all["v1"] > 29_000 && all["v2"] < 5_000, "{all:?}");
    }

    #[test]
    fn a_load_test_comes_beside_users_and_changes_nothing_for_them() {
        let seconds = Duration::from_secs(100);
        let count = |model: &Model, service: &str| -> u64 {
            let tracks = model.counters("a").filter(|(id, _)| id.service == service);
            tracks.flat_map(|(_, counters)| counters.values()).map(Histogram::count).sum()
        };
        let mut model = Model::new(3);
        model.set_load("a", Load { rps: 20.0, ..Load::default() });
        let to = |service: &str, weight: f64| {
            let mut track = track(Role::Canary, "v1", weight, 2);
            track.id.service = service.into();
            track
        };
        model.route("a", vec![to("s", 1.0), to("c", 0.0)]);
        model.set_extra("a", "c", 10.0);
        model.advance(seconds);
        let (users, test) = (count(&model, "s"), count(&model, "c"));
        assert!((1_800..2_200).contains(&users) && (900..1_100).contains(&test), "{users} {test}");
        model.set_extra("a", "c", 0.0);
        model.advance(seconds);
        assert_eq!(count(&model, "c"), test);
    }

    #[test]
    fn nothing_arrives_without_rate_weight_or_time() {
        let idle = ran(|m| m.set_load(SHOP, Load { rps: 0.0, ..Load::default() }), 60);
        let unrouted = ran(|m| m.route(SHOP, split(0.0, 0.0)), 60);
        assert!(totals(&idle).is_empty() && totals(&unrouted).is_empty() && totals(&ran(|_| (), 0)).is_empty());
    }

    #[test]
    fn the_bounds_in_seconds_are_bounds_in_milliseconds() {
        assert!(BOUNDS_S.iter().all(|s| BOUNDS_MS.iter().any(|ms| (ms - s * 1e3).abs() < 1e-9)));
    }

    #[test]
    fn merging_adds_up() {
        let model = ran(|_| (), 60);
        let mut all = Histogram::default();
        model.counters(SHOP).flat_map(|(_, c)| c.values()).for_each(|h| all.merge(h));
        assert_eq!(all.count(), totals(&model).values().sum::<u64>());
        assert_eq!(all.at_most(f64::INFINITY), all.count() - all.counts[BOUNDS_MS.len()]);
    }
}
