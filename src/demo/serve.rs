//! Starts everything of an embedded cluster, and leaves nothing behind.
//!
//! The cluster lives on a thread of its own with a runtime of its own: whoever supervises it is not disturbed, and talks
//! to it as to any other cluster, through its two addresses and a kubeconfig.

mod folder;
mod person;

use std::{
    hash::BuildHasher,
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::HeaderValue,
    middleware::{self, Next},
    response::Response,
};
use chrono::{SubsecRound, Utc};
use tokio::sync::oneshot;

use super::{
    api::{
        faults::{self, Effect, Fault, Part},
        router,
        server::Server,
    },
    controllers, flags,
    kubeconfig::Kubeconfig,
    ledger::{Clerk, Ledger},
    loadtester,
    prometheus::{self, Tsdb},
    scenario::{
        Scenario, Server as Target,
        script::{Script, Switch},
        stage,
    },
    scrape::{Database, RETENTION, Scraper},
    sim::{Controller, Sim},
    world::World,
};
use crate::{clock::Clock, model::Time};
use folder::Folder;

/// Name of the context, and who one is in it.
pub const CONTEXT: &str = "demo";
pub use person::NAME as PERSON;

/// How late a slow server answers, in milliseconds.
const SLOW: u64 = 4_000;

/// As in a session's defaults.
const FRESH: Duration = Duration::from_secs(30);

/// Prometheus scrapes every five seconds of its own time; asking more often shows nothing new.
const REFRESH: Duration = Duration::from_secs(5);

/// The shortest that a session takes.
const LEAST_REFRESH: Duration = Duration::from_secs(1);

/// What is to be played, and how.
#[derive(Debug, Clone)]
pub struct Options {
    pub scenario: Scenario,
    /// How many times as fast as life.
    pub speed: f64,
    pub seed: u64,
    /// Of the API server; another one is taken if somebody else has it.
    pub port: Option<u16>,
    /// A workload whose requests are to be counted.
    pub counted: Option<String>,
}

/// A running embedded cluster. Dropping it ends its servers and deletes its files.
pub struct Cluster {
    world: Arc<World>,
    /// The counts of [`Options::counted`].
    pub ledger: Option<Arc<Ledger>>,
    /// Address of the API server.
    pub server: String,
    /// Address of Prometheus; empty: there is none.
    pub prometheus: String,
    /// Address of Flagger's load tester, where its gates open.
    pub loadtester: String,
    pub kubeconfig: PathBuf,
    /// Feature flags as settings have them; empty: there are none.
    pub flags: String,
    /// When the screen opened, by the cluster's clock.
    pub opening: Time,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    // Last: the files go when nobody serves any more.
    folder: Folder,
}

impl Cluster {
    /// Returns when the cluster can be asked.
    ///
    /// # Errors
    /// When there is no place for its files, no port, or no thread.
    pub fn start(options: Options) -> io::Result<Self> {
        let folder = Folder::new()?;
        let (ready, is_ready) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("demo".into()).spawn(move || {
            runtime.block_on(run(options, &ready, stopped));
            // A query may still be at work on a thread of its own.
            runtime.shutdown_background();
        })?;
        let begun = is_ready.recv().map_err(|_| io::Error::other("the embedded cluster did not start"))??;
        let Begun { world, ledger, server, prometheus, loadtester, flags, opening, kubeconfig } = begun;
        let path = folder.path().join("kubeconfig");
        kubeconfig.write(&path)?;
        let (stop, thread) = (Some(stop), Some(thread));
        Ok(Self { world, ledger, server, prometheus, loadtester, flags, kubeconfig: path, opening, stop, thread, folder })
    }

    /// What an ordinary session on this cluster is told.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let path = |path: &Path| path.display().to_string();
        let own = [
            ("cluster.kubeconfig", path(&self.kubeconfig)),
            ("cluster.context", CONTEXT.into()),
            ("safety.journal", path(&self.folder.path().join("journal.jsonl"))),
        ];
        let measured = (!self.prometheus.is_empty()).then(|| ("prometheus.url", self.prometheus.clone()));
        let flags = (!self.flags.is_empty()).then(|| ("flags", self.flags.clone()));
        own.into_iter().chain(measured).chain(flags).chain(pace(self.clock().speed())).collect()
    }

    /// Runs as fast as the cluster's own.
    pub fn clock(&self) -> Clock {
        self.world.clock
    }

    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Where this demo's files are, for as long as it lasts.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the wall clock measures, scaled to a cluster's time: nothing must look stale that is not.
fn pace(speed: f64) -> [(&'static str, String); 3] {
    let text = |duration: Duration| format!("{}ms", duration.as_millis());
    let fresh = text(FRESH.mul_f64(speed.max(1.0)));
    let refresh = text(REFRESH.div_f64(speed).clamp(LEAST_REFRESH, REFRESH));
    [("prometheus.interval", refresh), ("freshness.kubernetes", fresh.clone()), ("freshness.prometheus", fresh)]
}

/// What whoever started it must know.
struct Begun {
    world: Arc<World>,
    ledger: Option<Arc<Ledger>>,
    server: String,
    prometheus: String,
    loadtester: String,
    flags: String,
    opening: Time,
    kubeconfig: Kubeconfig,
}

async fn run(options: Options, ready: &mpsc::Sender<io::Result<Begun>>, stopped: oneshot::Receiver<()>) {
    match begin(options).await {
        Ok((begun, _servers)) => {
            let world = begun.world.clone();
            let _ = ready.send(Ok(begun));
            tokio::select! {
                _ = stopped => {}
                () = world.drive() => {}
            }
        }
        Err(error) => drop(ready.send(Err(error))),
    }
}

async fn begin(options: Options) -> io::Result<(Begun, Vec<Arc<Server>>)> {
    let Options { scenario, speed, seed, port, counted } = options;
    let tsdb = Arc::new(Tsdb::new(RETENTION));
    let clock: Arc<OnceLock<Clock>> = Arc::default();
    let door = Arc::default();
    let metrics = metrics(tsdb.clone(), clock.clone()).layer(middleware::from_fn_with_state(Arc::clone(&door), guarded));
    let prometheus = match scenario.is_measured {
        true => Some(Arc::new(Server::start(metrics.clone(), None).await?)),
        false => None,
    };
    let address = prometheus.as_ref().map(|server| server.url()).unwrap_or_default();
    let tester = Arc::new(Server::start(loadtester::router(Arc::clone(&door)), None).await?);
    let switches = match scenario.flags.is_empty() {
        true => None,
        false => Some(Arc::new(Server::start(flags::router(scenario.flags.clone(), Arc::clone(&door)), None).await?)),
    };
    let flags = switches.as_ref().map(|server| flags::settings(&scenario.flags, &server.url())).unwrap_or_default();
    let opening = Utc::now().trunc_subsecs(0);
    let switch = Switch::default();
    let ledger = counted.map(|workload| Ledger::new(&workload, opening));
    let play = Play { scenario: &scenario, opening, seed, ledger: ledger.clone() };
    let mut sim = simulate(&play, &address, tsdb, switch.clone());
    sim.workloads.loadtester.address = tester.url();
    let clock = *clock.get_or_init(|| Clock::new(opening, speed));
    let world = World::new(sim, clock);
    if let Some(prometheus) = &prometheus {
        let _ = world.prometheus.set(metrics);
        world.faults.serve(Part::Prometheus, prometheus.clone());
    }
    let _ = door.set(world.clone());
    let token = token();
    world.tokens.add(&token, person::NAME, &[person::GROUP]);
    let api = Arc::new(Server::start(router::router(world.clone()), port).await?);
    world.faults.serve(Part::Api, api.clone());
    let _ = switch.set(faults(world.clone()));
    let kubeconfig = Kubeconfig { server: api.url(), token, namespace: "default".into(), context: CONTEXT.into() };
    let (server, loadtester) = (api.url(), tester.url());
    let begun = Begun { ledger, server, prometheus: address, loadtester, flags, opening, kubeconfig, world };
    Ok((begun, prometheus.into_iter().chain(switches).chain([api, tester]).collect()))
}

/// Carries out the faults of a script. It is called with the simulation in hand, therefore everything happens a moment
/// later and outside.
fn faults(world: Arc<World>) -> Box<dyn Fn(Target, &'static str, bool) + Send + Sync> {
    let runtime = tokio::runtime::Handle::current();
    Box::new(move |target, how, on| {
        let world = world.clone();
        drop(runtime.spawn(async move {
            let part = if target == Target::Api { Part::Api } else { Part::Prometheus };
            world.faults.set(part, effect(how).filter(|_| on).map(Fault::new).into_iter().collect());
            if how == "restart" && !on && part == Part::Api {
                // Whoever comes back finds a server without memory.
                faults::forget(&world);
            }
        }));
    })
}

/// The words of scenario files.
fn effect(how: &str) -> Option<Effect> {
    Some(match how {
        "hang" => Effect::Hang,
        "drop" => Effect::Drop,
        "refuse" | "restart" => Effect::Refuse,
        "slow" => Effect::Slow { millis: SLOW },
        "gone" => Effect::Gone,
        code => Effect::Status { code: code.parse().ok()?, retry_after: None },
    })
}

/// What determines a play: all else follows from it.
pub struct Play<'a> {
    pub scenario: &'a Scenario,
    pub opening: Time,
    pub seed: u64,
    pub ledger: Option<Arc<Ledger>>,
}

/// The cluster of a scenario at its opening, without servers. `prometheus` is the address analyses are told.
pub fn simulate(play: &Play<'_>, prometheus: &str, tsdb: Arc<Tsdb>, switch: Switch) -> Sim {
    let Play { scenario, opening, seed, ledger } = play;
    let (opening, seed) = (*opening, *seed);
    let begins = opening - chrono::TimeDelta::from_std(scenario.prehistory).unwrap_or_default();
    let mut all: Vec<Box<dyn Controller>> = controllers::all();
    all.push(Box::new(Scraper::new(tsdb.clone(), begins, opening, scenario.scrape)));
    all.push(Box::new(Script::new(scenario, opening, switch)));
    if let Some(ledger) = ledger {
        all.push(Box::new(Clerk(ledger.clone())));
    }
    let database = Database { tsdb, url: prometheus.to_owned() };
    let mut sim = Sim::new(stage::beginning(scenario, opening), seed, all, Box::new(database));
    person::install(&mut sim);
    stage::stage(&mut sim, scenario, opening, prometheus);
    sim
}

/// Prometheus' API, with the cluster's time in its answers: clients measure from it how far their clock is off.
fn metrics(tsdb: Arc<Tsdb>, clock: Arc<OnceLock<Clock>>) -> axum::Router {
    let now = {
        let clock = clock.clone();
        Arc::new(move || clock.get().map_or_else(Utc::now, Clock::now))
    };
    prometheus::router(tsdb, now).layer(middleware::map_response_with_state(clock, date))
}

/// Lets requests to Prometheus through the faults of a scenario.
async fn guarded(State(world): State<Arc<OnceLock<Arc<World>>>>, request: Request, next: Next) -> Response {
    match world.get() {
        Some(world) => faults::intercept_prometheus(State(world.clone()), request, next).await,
        None => next.run(request).await,
    }
}

/// Nobody guesses it: its bits are the system's.
fn token() -> String {
    let part = |n: u64| format!("{:016x}", std::hash::RandomState::new().hash_one(n));
    part(1) + &part(2)
}

async fn date(State(clock): State<Arc<OnceLock<Clock>>>, mut response: Response) -> Response {
    let now = clock.get().map_or_else(Utc::now, Clock::now);
    if let Ok(text) = HeaderValue::from_str(&now.format("%a, %d %b %Y %H:%M:%S GMT").to_string()) {
        response.headers_mut().insert(axum::http::header::DATE, text);
    }
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::{Config, Sources, sampler};

    #[test]
    fn at_any_speed_the_settings_are_valid_and_fresh_means_the_same() {
        let plain = Config::load(&Sources::default(), |_| None).unwrap();
        for speed in [0.1, 0.5, 1.0, 3.0, 60.0, 1_000.0] {
            let address = [("prometheus.url", "http://127.0.0.1:1".to_owned())];
            let config = plain.elsewhere("demo", address.into_iter().chain(pace(speed)).collect()).unwrap();
            let sampler = sampler::settings(&config).unwrap().unwrap();
            assert!(sampler.interval <= REFRESH);
            // In real time it is stale after thirty seconds at least.
            assert!(config.duration("freshness.kubernetes").div_f64(speed) >= FRESH);
        }
        let unchanged: Vec<_> = pace(1.0).map(|(path, _)| plain.duration(path)).into();
        let config = plain.elsewhere("demo", pace(1.0).into()).unwrap();
        assert_eq!(pace(1.0).map(|(path, _)| config.duration(path)).to_vec(), unchanged, "at the speed of life nothing is special");
    }

    fn started(name: &str, port: Option<u16>) -> Cluster {
        let scenario = Scenario::load(name).unwrap_or_else(|error| panic!("{error}"));
        Cluster::start(Options { scenario, speed: 1.0, seed: 1, port, counted: None }).unwrap()
    }

    #[tokio::test]
    async fn it_serves_whoever_has_the_kubeconfig_and_leaves_nothing_behind() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cluster = started("good", None);
        let path = cluster.kubeconfig.clone();
        let read = kube::config::Kubeconfig::read_from(&path).unwrap();
        assert_eq!(read.current_context.as_deref(), Some(CONTEXT));
        let config = kube::Config::from_custom_kubeconfig(read, &Default::default()).await.unwrap();
        let client = kube::Client::try_from(config).unwrap();
        let ask = |path: &str| client.request::<serde_json::Value>(http::Request::get(path).body(Vec::new()).unwrap());
        let list = ask("/apis/argoproj.io/v1alpha1/rollouts").await.unwrap();
        assert_eq!(list["items"].as_array().unwrap().len(), 1);
        // On call is not admin.
        assert!(ask("/api/v1/secrets").await.is_err());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let stranger = http.get(format!("{}/apis/argoproj.io/v1alpha1/rollouts", cluster.server)).send().await.unwrap();
        assert!([401, 403].contains(&stranger.status().as_u16()));
        let up: serde_json::Value =
            http.get(format!("{}/api/v1/query?query=up", cluster.prometheus)).send().await.unwrap().json().await.unwrap();
        assert_eq!(up["data"]["result"][0]["value"][1], "1");
        let server = cluster.server.clone();
        tokio::task::spawn_blocking(move || drop(cluster)).await.unwrap();
        assert!(!path.exists() && !path.parent().unwrap().exists());
        assert!(http.get(server).send().await.is_err());
    }

    #[test]
    fn a_port_in_use_is_avoided() {
        let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(!started("good", Some(port)).server.ends_with(&format!(":{port}")));
        drop(taken);
        assert!(started("good", Some(port)).server.ends_with(&format!(":{port}")));
    }
}
