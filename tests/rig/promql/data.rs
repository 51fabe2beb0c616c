//! What both are asked about: traffic as the exporter shows it, and series with all the oddities there are.

use std::{collections::BTreeMap, time::Duration};

use rolltop::demo::{
    exposition::{Exposition, Gauge, Target},
    prometheus::{STALE, Sample, labels::Labels},
    routes::{Proxy, Route},
    traffic::{Latency, Load, Model, Profile, Role, Track, TrackId},
};

/// Samples by moment, in milliseconds since 1970.
pub type Moments = BTreeMap<i64, Vec<Sample>>;

const SCRAPE: i64 = 15_000;
/// Less than an hour, or a real Prometheus refuses what is written late.
pub const SCRAPES: i64 = 180;

pub fn sample(name: &str, labels: &[(&str, &str)], value: f64) -> Sample {
    Sample { labels: Labels::from_pairs([("__name__", name)].into_iter().chain(labels.iter().copied())), value }
}

/// All samples up to `now`.
pub fn all(now: i64) -> Moments {
    let mut moments = Moments::new();
    traffic(now, &mut moments);
    odd(now, &mut moments);
    moments
}

/// Two workloads behind ingress-nginx, two in a mesh, each with a canary that is better or worse.
pub fn traffic(now: i64, moments: &mut Moments) {
    let mut model = Model::new(3);
    let routes: Vec<Route> = ["cart", "checkout", "search", "mail"].iter().enumerate().map(|(i, name)| route(i, name)).collect();
    for (index, route) in routes.iter().enumerate() {
        let workload = route.workload();
        model.set_load(&workload, Load { rps: [40.0, 8.0, 120.0, 0.05][index], noise: 0.1, ..Load::default() });
        let bad = Profile { errors: 0.05 * index as f64, latency: Latency { median: 120.0, p99: 900.0 }, ..Profile::default() };
        model.set_profile(&workload, "v2", bad);
    }
    let target = Target { job: "traffic".into(), instance: "127.0.0.1:9".into() };
    for scrape in 0..SCRAPES {
        for route in &routes {
            // The canary of the first begins late, that of the second ends early.
            let mut tracks = route.tracks.clone();
            let began = route.rollout != "cart" || scrape > 60;
            let going = route.rollout != "checkout" || scrape < 120;
            tracks.retain(|track| track.id.role == Role::Stable || (began && going));
            model.route(&route.workload(), tracks);
        }
        model.advance(Duration::from_secs(15));
        let mut shown = Exposition::of(&model, &routes);
        for (version, value) in [("blue", 0.91), ("green", 0.87)] {
            let labels = vec![("version".into(), version.into()), ("namespace".into(), "shop".into())];
            let value = ((value + (scrape % 7) as f64 / 100.0) * 1e3_f64).round() / 1e3;
            shown.gauge(&Gauge { name: "llm_quality_score".into(), labels, value });
        }
        moments.entry(now - (SCRAPES - 1 - scrape) * SCRAPE).or_default().extend(shown.samples(&target));
    }
}

pub fn route(index: usize, name: &str) -> Route {
    let proxy = match index {
        0 | 1 => Proxy::Nginx { ingress: format!("{name}-web"), service: name.to_owned() },
        _ => Proxy::Mesh,
    };
    let track = |role, tag: &str, weight| {
        let service = if role == Role::Canary { format!("{name}-canary") } else { name.to_owned() };
        let id = TrackId { role, hash: format!("{name}{tag}"), service, tag: tag.to_owned() };
        Track { id, weight, ready_pods: 2 }
    };
    let tracks = vec![track(Role::Stable, "v1", 0.8), track(Role::Canary, "v2", 0.2)];
    let namespace = if index == 3 { "web" } else { "shop" };
    Route { namespace: namespace.into(), rollout: name.to_owned(), proxy, tracks }
}

/// Names, label pairs and the value at each step, or none.
type Odd = (&'static str, &'static [(&'static str, &'static str)], fn(i64) -> Option<f64>);

const ODD: &[Odd] = &[
    ("odd_total", &[("case", "steady"), ("zone", "a")], |i| Some((i * 10) as f64)),
    ("odd_total", &[("case", "reset"), ("zone", "a")], |i| Some((i % 37 * 4) as f64)),
    ("odd_total", &[("case", "resets"), ("zone", "b")], |i| Some(((i * 7919) % 11) as f64)),
    ("odd_total", &[("case", "fraction"), ("zone", "b")], |i| Some(i as f64 * 0.1)),
    ("odd_total", &[("case", "huge"), ("zone", "c")], |i| Some(i as f64 * 1e16)),
    ("odd_total", &[("case", "constant"), ("zone", "c")], |_| Some(42.0)),
    ("odd_total", &[("case", "late"), ("zone", "d")], |i| (i > 170).then_some(i as f64)),
    ("odd_total", &[("case", "early"), ("zone", "d")], |i| (i < 40).then_some(i as f64)),
    ("odd_total", &[("case", "gaps"), ("zone", "e")], |i| (i % 9 != 0 && i % 50 > 12).then_some((i * 3) as f64)),
    ("odd_total", &[("case", "ends"), ("zone", "e")], |i| match i {
        100 | 150 => Some(STALE),
        101..=110 | 151.. => None,
        _ => Some(i as f64),
    }),
    ("odd_total", &[("case", "once"), ("zone", "f")], |i| (i == 175).then_some(7.0)),
    ("odd_total", &[("case", "twice"), ("zone", "f")], |i| (i == 172 || i == 176).then_some(i as f64)),
    ("odd_value", &[("case", "wave")], |i| Some((i as f64 / 9.0).sin() * 100.0)),
    ("odd_value", &[("case", "negative")], |i| Some(-1.5 - (i % 5) as f64)),
    ("odd_value", &[("case", "nan")], |i| Some(if i % 4 == 0 { f64::NAN } else { i as f64 })),
    ("odd_value", &[("case", "allnan")], |_| Some(f64::NAN)),
    ("odd_value", &[("case", "inf")], |i| Some(if i % 6 == 0 { f64::INFINITY } else { 1.0 })),
    ("odd_value", &[("case", "infs")], |i| Some(if i % 2 == 0 { f64::INFINITY } else { f64::NEG_INFINITY })),
    ("odd_value", &[("case", "zero")], |i| Some(if i % 2 == 0 { 0.0 } else { -0.0 })),
    ("odd_value", &[("case", "tiny")], |i| Some(1e-300 * (i % 3) as f64)),
    ("odd_value", &[("case", "large")], |i| Some(1e300 * (1 + i % 3) as f64)),
    ("odd_value", &[("case", "max")], |_| Some(f64::MAX)),
    ("odd_value", &[("case", "time")], |i| Some(1_700_000_000.0 + (i * 86_400 * 17) as f64)),
    ("left", &[("a", "1"), ("b", "1"), ("l", "x")], |i| Some(1.0 + i as f64)),
    ("left", &[("a", "1"), ("b", "2"), ("l", "y")], |i| Some(200.0 - i as f64)),
    ("left", &[("a", "2"), ("b", "1"), ("l", "z")], |i| Some((i % 13) as f64)),
    ("left", &[("a", "3")], |i| (i > 90).then_some(5.0)),
    ("right", &[("a", "1"), ("r", "p")], |i| Some(100.0 - i as f64 / 2.0)),
    ("right", &[("a", "2"), ("r", "q")], |i| (i % 3 != 0).then_some(6.0)),
    ("right", &[("a", "4"), ("r", "q")], |_| Some(8.0)),
    ("twin", &[("a", "1"), ("b", "1"), ("l", "x")], |i| Some(i as f64)),
    ("twin", &[("a", "1"), ("b", "2"), ("l", "y")], |i| Some(i as f64 * 2.0)),
    ("twin", &[("a", "5")], |_| Some(1.0)),
    ("double", &[("a", "1"), ("side", "m")], |_| Some(1.0)),
    ("double", &[("a", "1"), ("side", "n")], |_| Some(2.0)),
    ("build_info", &[("a", "1"), ("version", "v1"), ("empty", "")], |i| (i < 120).then_some(1.0)),
    ("build_info", &[("a", "1"), ("version", "v2")], |i| (i >= 120).then_some(1.0)),
    ("build_info", &[("a", "2"), ("version", "v1")], |_| Some(1.0)),
    ("strange", &[("text", "a\"b\\c\nd"), ("ünï", "cödé 🦀")], |i| Some(i as f64)),
    ("strange", &[("text", "path/to.file-1"), ("dotted.name", "x")], |i| Some(i as f64)),
    ("strange", &[("text", ""), ("Upper", "case")], |i| Some(i as f64)),
    ("dotted.metric", &[("x", "1")], |i| Some(i as f64)),
    ("broken_bucket", &[("kind", "noinf"), ("le", "1")], |i| Some(i as f64)),
    ("broken_bucket", &[("kind", "noinf"), ("le", "2")], |i| Some(i as f64 * 2.0)),
    ("broken_bucket", &[("kind", "falls"), ("le", "0.1")], |i| Some(i as f64 * 10.0)),
    ("broken_bucket", &[("kind", "falls"), ("le", "1")], |i| Some(i as f64 * 4.0)),
    ("broken_bucket", &[("kind", "falls"), ("le", "5")], |i| Some(i as f64 * 16.0)),
    ("broken_bucket", &[("kind", "falls"), ("le", "+Inf")], |i| Some(i as f64 * 16.0)),
    ("broken_bucket", &[("kind", "below"), ("le", "-1")], |i| Some(i as f64)),
    ("broken_bucket", &[("kind", "below"), ("le", "0")], |i| Some(i as f64 * 3.0)),
    ("broken_bucket", &[("kind", "below"), ("le", "Inf")], |i| Some(i as f64 * 4.0)),
    ("broken_bucket", &[("kind", "same"), ("le", "0.5")], |i| Some(i as f64)),
    ("broken_bucket", &[("kind", "same"), ("le", "0.50")], |i| Some(i as f64 * 2.0)),
    ("broken_bucket", &[("kind", "same"), ("le", "+Inf")], |i| Some(i as f64 * 5.0)),
    ("broken_bucket", &[("kind", "words"), ("le", "many")], |i| Some(i as f64)),
    ("broken_bucket", &[("kind", "none")], |i| Some(i as f64)),
    ("broken_bucket", &[("kind", "one"), ("le", "+Inf")], |i| Some(i as f64)),
    ("broken_bucket", &[("kind", "zero"), ("le", "1")], |_| Some(0.0)),
    ("broken_bucket", &[("kind", "zero"), ("le", "+Inf")], |_| Some(0.0)),
    ("other_bucket", &[("kind", "zero"), ("le", "+Inf")], |_| Some(1.0)),
    ("other_bucket", &[("kind", "zero"), ("le", "1")], |_| Some(1.0)),
];

fn odd(now: i64, moments: &mut Moments) {
    for i in 0..SCRAPES {
        let at = now - (SCRAPES - 1 - i) * SCRAPE;
        let present = ODD.iter().filter_map(|(name, labels, value)| Some(sample(name, labels, value(i)?)));
        moments.entry(at).or_default().extend(present);
    }
    // One series that is scraped out of step with all others, at times of its own.
    let mut rng = fastrand::Rng::with_seed(5);
    let (mut at, mut value) = (now - (SCRAPES - 1) * SCRAPE, 0.0);
    while at < now {
        value += rng.f64() * 10.0;
        moments.entry(at).or_default().push(sample("irregular_total", &[("case", "irregular")], value));
        at += rng.i64(900..47_000);
    }
}
