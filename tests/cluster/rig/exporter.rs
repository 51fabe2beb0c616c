//! Plays the traffic: watches who gets which share, lets the model run in real time and exposes its counters.

use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use color_eyre::eyre::Result;
use rolltop::demo::exposition::Exposition;
use rolltop::demo::routes::Routes;
use rolltop::demo::traffic::{Load, Model, Profile};
use tokio::sync::oneshot;

use super::api::Api;
use super::canaries;
use super::observe::Snapshot;

const POLL: Duration = Duration::from_millis(300);
const SEED: u64 = 7;

/// The traffic of all workloads, by "namespace/rollout", or "namespace/target" of a Canary. Without any setting each gets 40 requests per second, of
/// which 0.2 % fail.
#[derive(Clone)]
pub struct Traffic(Arc<Mutex<State>>);

struct State {
    model: Model,
    routes: Routes,
    canaries: Routes,
    advanced: Instant,
}

impl Traffic {
    pub fn new() -> Self {
        let state = State { model: Model::new(SEED), routes: Routes::default(), canaries: Routes::default(), advanced: Instant::now() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// How the version with this image tag behaves from now on.
    pub fn set(&self, workload: &str, tag: &str, profile: Profile) {
        self.now().model.set_profile(workload, tag, profile);
    }

    /// What arrives from now on.
    pub fn load(&self, workload: &str, load: Load) {
        self.now().model.set_load(workload, load);
    }

    /// Requests per second, all else unchanged; 0 makes the workload idle.
    pub fn rps(&self, workload: &str, rps: f64) {
        let mut state = self.now();
        let load = Load { rps, ..state.model.load(workload) };
        state.model.set_load(workload, load);
    }

    /// The text Prometheus gets.
    pub fn metrics(&self) -> String {
        let state = self.now();
        let mut shown = Exposition::of(&state.model, state.routes.iter());
        state.canaries.iter().for_each(|route| shown.add_canary(&state.model, route));
        shown.text()
    }

    fn observe(&self, snapshot: &Snapshot) {
        let mut state = self.now();
        let State { model, routes, canaries, .. } = &mut *state;
        routes.update(snapshot.routes()).iter().for_each(|gone| model.remove(gone));
        canaries.update(canaries::routes(snapshot)).iter().for_each(|gone| model.remove(gone));
        routes.iter().chain(canaries.iter()).for_each(|route| model.route(&route.workload(), route.tracks.clone()));
    }

    /// The state after all the time that has passed.
    fn now(&self) -> MutexGuard<'_, State> {
        let mut state = self.0.lock().unwrap();
        let passed = state.advanced.elapsed();
        state.advanced += passed;
        state.model.advance(passed);
        state
    }
}

pub struct Config {
    pub port: u16,
    pub kube: kube::Config,
}

/// The exporter on a thread of its own: it must outlive the runtime of the test that happened to start it.
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(traffic: Traffic, config: Config) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", config.port))?;
        listener.set_nonblocking(true)?;
        let thread = std::thread::Builder::new().name("exporter".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => (),
                    () = serve(listener, traffic.clone()) => (),
                    () = follow(config.kube, traffic) => (),
                }
            });
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: std::net::TcpListener, traffic: Traffic) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener that does not block");
    let app = Router::new().route("/metrics", get(move || async move { traffic.metrics() }));
    let _ = axum::serve(listener, app).await;
}

async fn follow(config: kube::Config, traffic: Traffic) {
    let api = Api::new(kube::Client::try_from(config).expect("a client from a good configuration"));
    loop {
        // While the API server is away the last known routes go on, as in real proxies.
        if let Ok(Ok(snapshot)) = tokio::time::timeout(Duration::from_secs(2), Snapshot::read(&api)).await {
            traffic.observe(&snapshot);
        }
        tokio::time::sleep(POLL).await;
    }
}
