//! A sample of the same releases, end to end: an embedded cluster plays them as real canaries of Argo Rollouts, its Prometheus
//! scrapes their counters, and rolltop judges what it reads there, over loopback HTTP. `cargo bench --bench verdict -- embedded`
//! does this for half an hour of quick time, as `rolltop watch --json` would print it; `-- guards` for five minutes at the speed
//! of life, with a `rolltop guard` for each release.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::TimeDelta;
use rolltop::{
    clock,
    cluster::{Connection, Options as Reach},
    config::{Config, Sources, sampler},
    demo::{
        scenario::Scenario,
        serve::{Cluster, Options},
        sim::Sim,
        traffic::{Counters, Histogram, Latency, Load, Model, Profile},
    },
    hands::NoHands,
    headless::{
        self, Form,
        watchman::{End, Goal, Watchman},
    },
    model::Time,
    session::{self, Session},
    state::{Mode, State},
};
use serde_json::Value;

use crate::{
    armed::FAILS_AT_FIRST,
    cells::{CELLS, Cell, Moment, SLOW},
    contest::{MEDIAN, SPREAD},
    release::{TICK, TICKS},
};

/// What is played of the releases.
#[derive(Clone, Copy)]
struct Play {
    /// Times as fast as life. All clocks run so, rolltop's too: there, too, is a refresh for each scrape.
    speed: f64,
    /// Releases of each kind that is not worse, and of each that is.
    healthy: usize,
    worse: usize,
    /// Seconds before the new side comes, beside what the cluster was played before it opened.
    before: i64,
    /// Seconds of each release.
    lasts: f64,
}

const WATCHED: Play = Play { speed: 5.0, healthy: 5, worse: 2, before: 310, lasts: TICKS as f64 * TICK };
const GUARDED: Play = Play { speed: 1.0, healthy: 3, worse: 3, before: 60, lasts: 300.0 };
/// Worse ones that five minutes are enough for.
const QUICK: [&str; 5] = ["5× of 1 %", "20× of 0.2 %", "one bad pod in five (10 %)", "1.5× the latency", "2× the latency"];
/// Pods are not what is short here.
const CAPACITY: f64 = 1e6;
const OLD: &str = "v1";
const NEW: &str = "v2";

/// One release, and what came of it.
struct Release {
    cell: &'static Cell,
    rng: fastrand::Rng,
    /// First request of the new side.
    began: Option<Time>,
    /// The tick that is played.
    tick: Option<usize>,
    /// When an abort was first advised: seconds since it began, requests of the new side.
    called: Option<(f64, u64)>,
}

/// By `namespace/name`.
type Releases = Arc<Mutex<HashMap<String, Release>>>;

/// A session that looks at all of them, as `rolltop watch --json` does; `simulated` is what the simulation's tables say of a kind.
pub fn watched(simulated: impl Fn(&str) -> String) -> String {
    let (cluster, releases) = begun(WATCHED, |_| true);
    clock::follow(cluster.clock());
    let late = runtime().block_on(watch(&cluster, &releases));
    let Play { speed, .. } = WATCHED;
    let releases = releases.lock().unwrap();
    let title = format!(
        "{} releases of half an hour, all at once, at {speed:.0} times the speed of life, scraped every 5 s; the oldest readings that \
         were judged by were {late:.0} s old",
        releases.len()
    );
    shown(&title, &releases, simulated)
}

/// A `rolltop guard` for each of them.
pub fn guarded(simulated: impl Fn(&str) -> String) -> String {
    let (cluster, releases) = begun(GUARDED, |cell| !cell.worse || QUICK.contains(&cell.name));
    let blind = runtime().block_on(async {
        clock::sleep((cluster.opening + TimeDelta::seconds(GUARDED.before) - clock::now()).to_std().unwrap_or_default()).await;
        let paths: Vec<String> = releases.lock().unwrap().keys().cloned().collect();
        let ends = futures::future::join_all(paths.iter().map(|path| guard(&cluster, &releases, path))).await;
        ends.into_iter().filter(|sees| !sees).count()
    });
    let releases = releases.lock().unwrap();
    let title = format!(
        "{} releases of five minutes with a `rolltop guard` each, at the speed of life, scraped every 5 s; {blind} could not see to the end",
        releases.len()
    );
    shown(&title, &releases, simulated)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn begun(play: Play, is: impl Fn(&Cell) -> bool) -> (Cluster, Releases) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let releases: Releases = Arc::new(Mutex::new(releases(play, is)));
    let text = scenario(play, &releases.lock().unwrap());
    let scenario = Scenario::parse("verdict", "verdict.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let cluster = Cluster::start(Options { scenario, speed: play.speed, seed: 1, port: None, counted: None }).unwrap();
    let played = releases.clone();
    cluster.world().with(|sim| sim.every(Duration::from_secs(1), move |sim| turn(sim, &mut played.lock().unwrap())));
    (cluster, releases)
}

fn releases(play: Play, is: impl Fn(&Cell) -> bool) -> HashMap<String, Release> {
    let of = |(kind, cell): (usize, &'static Cell)| {
        let all = if cell.worse { play.worse } else { play.healthy };
        (0..all).map(move |n| {
            let rng = fastrand::Rng::with_seed((kind * 100 + n) as u64);
            (format!("kind-{kind}/r{n}"), Release { cell, rng, began: None, tick: None, called: None })
        })
    };
    CELLS.iter().enumerate().filter(|(_, cell)| is(cell)).flat_map(of).collect()
}

/// The file that `rolltop demo` would be given.
fn scenario(play: Play, releases: &HashMap<String, Release>) -> String {
    let mut text =
        "version = 1\ntitle = \"Judged\"\nabout = \"releases of which is known what they are\"\nprehistory = \"5m\"\n".to_owned();
    for (path, Release { cell, rng, .. }) in releases {
        let moment = (cell.moment)(0, &mut rng.clone());
        let (errors, latency) = (moment.fails[1] * 100.0, latency(moment.slow[1]));
        let _ = writeln!(
            text,
            "[[workload]]\nname = \"{path}\"\nkind = \"canary\"\nrouter = \"istio\"\nreplicas = 2\nhistory = [\"{OLD} 1d ago\"]\n\
             steps = [{{ setWeight = 10 }}, {{ pause = {{ duration = \"2h\" }} }}]\ntraffic = {{ rps = {} }}\n\
             [workload.versions.{OLD}]\nerrors = \"{errors} %\"\nlatency = \"{:.0}ms/{:.0}ms\"\ncapacity = {CAPACITY}\n\
             [[script]]\nat = \"{}s\"\nrelease = \"{path}\"\nversion = \"{NEW}\"",
            cell.rate, latency.median, latency.p99, play.before
        );
    }
    text
}

/// Lets all versions behave as their releases' kind has it at this moment.
fn turn(sim: &mut Sim, releases: &mut HashMap<String, Release>) {
    let now = sim.now();
    let model = &mut sim.workloads.traffic;
    for (path, release) in releases {
        if release.began.is_none() && requests(model, path) > 0 {
            release.began = Some(now);
        }
        let tick = release.began.map_or(0, |began| ((now - began).as_seconds_f64() / TICK) as usize);
        if release.tick.replace(tick) == Some(tick) && release.began.is_some() {
            continue;
        }
        let moment = (release.cell.moment)(tick, &mut release.rng);
        behave(model, path, release.cell, &moment);
    }
}

fn behave(model: &mut Model, path: &str, cell: &Cell, moment: &Moment) {
    for (side, tag) in [NEW, OLD].into_iter().enumerate() {
        let latency = latency(moment.slow[side]);
        let retries = cell.clump as u32 - 1;
        model.set_profile(path, tag, Profile { errors: moment.fails[side], latency, capacity: CAPACITY, retries, ..Profile::default() });
        if moment.counted[side] < 1.0 {
            model.recount(path, tag);
        }
    }
    let unscraped = if moment.gap { 1.0 } else { 0.0 };
    model.set_load(path, Load { unscraped, ..model.load(path) });
}

/// Of a side of which this share is slower than the old side's p95.
fn latency(slow: f64) -> Latency {
    // There are these kinds; cells.rs has their shares from the same distribution.
    let times = match slow {
        _ if slow <= SLOW => 1.0,
        _ if slow < 0.2 => 1.5,
        _ => 2.0,
    };
    let median = MEDIAN * 1e3 * times;
    Latency { median, p99: median * (SPREAD * 2.326).exp() }
}

/// Of the new side.
fn requests(model: &Model, path: &str) -> u64 {
    let all = |counters: &Counters| counters.values().map(Histogram::count).sum::<u64>();
    model.counters(path).filter(|(id, _)| id.tag == NEW).map(|(_, counters)| all(counters)).sum()
}

/// A session of rolltop on this cluster that only reads, of all it has or of one release.
async fn reader(cluster: &Cluster, one: Option<&str>) -> (State, Session) {
    let config = Config::load(&Sources::default(), |_| None).unwrap().elsewhere("embedded", cluster.settings()).unwrap();
    let reach = Reach {
        kubeconfig: config.path("cluster.kubeconfig"),
        context: config.text("cluster.context").map(str::to_owned),
        timeout: config.duration("cluster.timeout"),
    };
    let connection = Connection::load(reach).await.unwrap();
    let wanted = session::wanted(&config, connection.default_namespace(), one);
    let settings = config.settings(connection.context(), connection.server(), |_| None);
    let state = session::state(Mode::Watch, &connection, &wanted, settings, config.keys.clone());
    (state, Session::start(&connection, &wanted, sampler::settings(&config).unwrap()))
}

/// `rolltop guard` from the moment the pipeline has released it; whether it could see to the end.
async fn guard(cluster: &Cluster, releases: &Releases, path: &str) -> bool {
    let (mut state, mut session) = reader(cluster, Some(path)).await;
    let look = headless::look(&mut state, &mut session, Some(path), Duration::from_secs(20)).await;
    assert_eq!(look, headless::Look::Known);
    let watchman = Watchman::new(Goal::Guard, Duration::from_secs_f64(GUARDED.lasts), clock::now());
    let end = headless::attend(&mut state, &mut session, &NoHands, (path, watchman, None), Form::Line, io::sink()).await.unwrap();
    match end {
        End::Advised => called(cluster, releases, path, &state.get(&state.named(path).unwrap()).unwrap().verdict.because),
        // At its end it had heard nothing for too long, as on a machine that has too much to do.
        End::Blind => return false,
        end => assert_eq!(end, End::TimedOut, "{path}"),
    }
    true
}

/// An abort is advised, and was not before.
fn called(cluster: &Cluster, releases: &Releases, path: &str, because: &str) {
    // Not with the releases in hand: whoever plays them has the simulation first.
    let seen = cluster.world().look(|sim| requests(&sim.workloads.traffic, path));
    let mut releases = releases.lock().unwrap();
    let Some((release, began)) = releases.get_mut(path).and_then(|release| release.began.map(|began| (release, began))) else { return };
    let seconds = (clock::now() - began).as_seconds_f64();
    let _ = writeln!(io::stderr(), "{path} {}: {seconds:.0} s, {seen} requests: {because}", release.cell.name);
    release.called.get_or_insert((seconds, seen));
}

/// Looks on until the last release is half an hour old. The oldest readings that were judged by, in seconds.
async fn watch(cluster: &Cluster, releases: &Releases) -> f64 {
    let (mut state, mut session) = reader(cluster, None).await;
    let mut late = 0.0;
    let lines = Lines { cluster, releases, rest: Vec::new(), late: &mut late };
    let end = async {
        let is_over = |release: &Release| release.began.is_some_and(|began| (clock::now() - began).as_seconds_f64() > WATCHED.lasts);
        while !releases.lock().unwrap().values().all(is_over) {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::select! {
        ended = headless::stream(&mut state, &mut session, None, lines, |_| ()) => panic!("the stream ended: {ended:?}"),
        () = end => (),
    }
    late
}

/// Who reads what `watch --json` prints.
struct Lines<'a> {
    cluster: &'a Cluster,
    releases: &'a Releases,
    rest: Vec<u8>,
    late: &'a mut f64,
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.read(&serde_json::from_slice(&line)?);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines<'_> {
    fn read(&mut self, line: &Value) {
        let path = format!("{}/{}", line["namespace"].as_str().unwrap(), line["name"].as_str().unwrap());
        let is_new = self.releases.lock().unwrap().get(&path).is_some_and(|release| release.began.is_some() && release.called.is_none());
        *self.late = self.late.max(line["evidence"]["prometheus_age_seconds"].as_f64().unwrap_or_default());
        if is_new && line["verdict"]["is"] == "abort" {
            called(self.cluster, self.releases, &path, line["verdict"]["because"].as_str().unwrap_or_default());
        }
    }
}

/// What was found of each kind, beside what the simulation found; `simulated` is a row's second cell in the simulation's tables.
fn shown(title: &str, releases: &HashMap<String, Release>, simulated: impl Fn(&str) -> String) -> String {
    let mut out = format!("**{title}.**\n\n| release | called worse | median seconds; requests | simulated |\n|---|---|---|---|\n");
    for cell in CELLS {
        let (all, called) = of(releases, |c| c.name == cell.name);
        if all == 0 {
            continue;
        }
        // Per cent, and of worse ones also seconds and requests.
        let simulated = simulated(cell.name).replace('*', "");
        let simulated = simulated.split_once(';').map_or(format!("{simulated} %"), |(percent, rest)| format!("{percent} %;{rest}"));
        let worse = if cell.worse { "worse: " } else { "" };
        let _ = writeln!(out, "| {worse}{} | {} of {all} | {} | {simulated} |", cell.name, called.len(), median(&called));
    }
    let mut total = |what: &str, is: fn(&Cell) -> bool| {
        let (all, called) = of(releases, is);
        let _ = writeln!(out, "| **{what}** | **{} of {all}** | | |", called.len());
    };
    total("not worse, but for the one that really fails at first", |c| !c.worse && !c.name.starts_with(FAILS_AT_FIRST));
    total("worse", |c| c.worse);
    out
}

/// How many releases there are of these kinds, and those that were called worse: after so many seconds and requests.
fn of(releases: &HashMap<String, Release>, is: impl Fn(&Cell) -> bool) -> (usize, Vec<(f64, u64)>) {
    let chosen = || releases.values().filter(|release| is(release.cell));
    (chosen().count(), chosen().filter_map(|release| release.called).collect())
}

fn median(called: &[(f64, u64)]) -> String {
    let mut called = called.to_vec();
    called.sort_by(|a, b| a.0.total_cmp(&b.0));
    called.get(called.len() / 2).map(|(seconds, requests)| format!("{seconds:.0} s; {requests}")).unwrap_or_default()
}
