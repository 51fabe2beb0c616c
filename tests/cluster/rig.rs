//! The rig: a real control plane on loopback, for tests that must not believe in mocks.
//!
//! etcd, kube-apiserver, controller-manager and scheduler as released; kwok in place of kubelets; the Argo Rollouts
//! controller; Prometheus scraping an exporter that plays the traffic. Pods run nothing: kwok writes their status, the
//! exporter counts the requests they would have got. Everything else is what users have.
//!
//! `tests/cluster/build` provides the programs. Tests that only use a cluster share one ([`Rig::shared`]) and take a
//! namespace each; tests that stop or starve a component start their own ([`Rig::start`]).

// Two crates include this tree and each uses a part of it.
#![allow(dead_code, unused_imports)]
// Failing at once with a clear text is what a test harness is for.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "rig/api.rs"]
pub mod api;
#[path = "rig/audit.rs"]
pub mod audit;
#[path = "rig/bootstrap.rs"]
mod bootstrap;
#[path = "rig/canaries.rs"]
mod canaries;
#[path = "rig/exporter.rs"]
pub mod exporter;
#[path = "rig/fixtures.rs"]
pub mod fixtures;
#[path = "rig/identity.rs"]
mod identity;
#[path = "rig/layout.rs"]
mod layout;
#[path = "rig/manifests.rs"]
pub mod manifests;
#[path = "rig/network.rs"]
mod network;
#[path = "rig/observe.rs"]
mod observe;
#[path = "rig/parts.rs"]
mod parts;
#[path = "rig/pki.rs"]
mod pki;
#[path = "rig/process.rs"]
mod process;
#[path = "rig/programs.rs"]
mod programs;
#[path = "rig/prometheus.rs"]
mod prometheus;
#[path = "rig/roles.rs"]
mod roles;
#[path = "rig/term.rs"]
pub mod term;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use color_eyre::eyre::{Result, WrapErr, bail, eyre};
use serde_json::{Value, json};

pub use api::Api;
pub use audit::{Audit, Entries, Entry};
pub use exporter::Traffic;
pub use fixtures::Fixtures;
pub use identity::Identity;
pub use manifests::{BlueGreen, Canary, Pods, Router};
pub use parts::Part;
pub use rolltop::demo::traffic::{Load, Profile};

use layout::Layout;
use process::Processes;

static SHARED: tokio::sync::OnceCell<Option<Rig>> = tokio::sync::OnceCell::const_new();

const READY: Duration = Duration::from_secs(60);

/// Which parts to start besides etcd and the API server.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// controller-manager, scheduler, kwok with three nodes.
    pub workloads: bool,
    /// The Argo Rollouts controller; its CRDs are there anyway.
    pub argo: bool,
    /// Prometheus, and the exporter behind it.
    pub prometheus: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { workloads: true, argo: true, prometheus: true }
    }
}

impl Options {
    /// Only an API server with the CRDs: objects stay as they are written.
    pub fn api_only() -> Self {
        Self { workloads: false, argo: false, prometheus: false }
    }

    fn parts(self) -> impl Iterator<Item = Part> {
        let workloads = [Part::ControllerManager, Part::Scheduler, Part::Kwok];
        workloads.into_iter().filter(move |_| self.workloads).chain(self.argo.then_some(Part::Argo))
    }
}

/// A running cluster. Dropping it ends all of its processes and deletes its files.
pub struct Rig {
    layout: Layout,
    ca: Vec<u8>,
    traffic: Traffic,
    exporter: Option<exporter::Server>,
    network: Option<network::Network>,
    flagger: tokio::sync::OnceCell<()>,
    kruise: tokio::sync::OnceCell<()>,
    processes: Mutex<Processes>,
    namespaces: AtomicU32,
}

impl Rig {
    /// The rig all tests of this process share, started by the first who asks. `None`: the programs are not built and
    /// the test is to be skipped; under `CI=true` that is a failure instead.
    pub async fn shared() -> Option<&'static Self> {
        SHARED.get_or_init(Self::start_or_skip).await.as_ref()
    }

    async fn start_or_skip() -> Option<Self> {
        if !Self::built() {
            return None;
        }
        Some(Self::start(Options::default()).await.expect("the rig did not start"))
    }

    /// Whether `start` can work here; says so loudly when not. For tests that start their own.
    pub fn built() -> bool {
        layout::built().inspect_err(|missing| programs::skip(missing)).is_ok()
    }

    /// Folder of kubectl and its plugin for Argo Rollouts. `None`: the test is to be skipped.
    pub fn programs() -> Option<PathBuf> {
        programs::folder(["kubectl", "kubectl-argo-rollouts"]).inspect_err(|missing| programs::skip(missing)).ok()
    }

    /// A folder for programs that want one.
    pub fn home(&self) -> &std::path::Path {
        &self.layout.dir
    }

    /// What kubectl is to be given; see [`Rig::kubeconfig`].
    pub fn client_kubeconfig(&self, identity: Identity, namespace: &str) -> PathBuf {
        self.kubeconfig(identity, namespace)
    }

    /// Starts a cluster of one's own.
    pub async fn start(options: Options) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let layout = Layout::new().map_err(|missing| eyre!("{missing}; run tests/cluster/build"))?;
        let ca = pki::write(&layout)?;
        layout.write_configs()?;
        let processes = Mutex::new(Processes::new(&layout)?);
        let mut rig = Self {
            layout,
            ca,
            traffic: Traffic::new(),
            exporter: None,
            network: None,
            flagger: tokio::sync::OnceCell::new(),
            kruise: tokio::sync::OnceCell::new(),
            processes,
            namespaces: AtomicU32::new(0),
        };
        rig.start_parts(options).await?;
        Ok(rig)
    }

    async fn start_parts(&mut self, options: Options) -> Result<()> {
        if options.prometheus {
            self.exporter = Some(exporter::Server::start(self.traffic.clone(), self.exporter_config())?);
            self.spawn(Part::Prometheus)?;
        }
        self.network =
            Some(network::Network::start(self.layout.ports.network, &self.layout.network(), self.config(Identity::Controllers))?);
        self.spawn(Part::Etcd)?;
        self.wait_listening(Part::Etcd, self.layout.ports.etcd).await?;
        self.spawn(Part::ApiServer)?;
        self.wait_ready().await?;
        let api = self.api(Identity::Admin);
        bootstrap::run(&api, &self.layout).await.wrap_err("filling the empty cluster")?;
        options.parts().try_for_each(|part| self.spawn(part))?;
        if options.argo {
            self.wait_http(Part::Argo, &format!("http://127.0.0.1:{}/healthz", self.layout.ports.argo_health)).await?;
        }
        if options.prometheus {
            self.wait_http(Part::Prometheus, &format!("{}/-/ready", self.prometheus_url())).await?;
        }
        Ok(())
    }

    /// Starts Flagger and its load tester unless they run, and says whether there is one: `false` means to skip the test.
    /// A Canary says its provider, or is of `kubernetes`; its checks ask the rig's Prometheus. The gates are at
    /// [`manifests::GATE`], and the API server leads there too.
    pub async fn flagger(&self) -> bool {
        self.flagger.get_or_try_init(|| self.start_flagger()).await.expect("Flagger did not start");
        true
    }

    async fn start_flagger(&self) -> Result<()> {
        self.spawn(Part::Loadtester)?;
        self.wait_http(Part::Loadtester, &format!("http://127.0.0.1:{}/healthz", self.layout.ports.loadtester)).await?;
        self.create_namespace(manifests::LOADTESTER.0).await;
        let fixtures = self.fixtures(manifests::LOADTESTER.0);
        for object in manifests::loadtester(self.layout.ports.loadtester) {
            fixtures.apply(object).await;
        }
        self.spawn(Part::Flagger)?;
        self.wait_http(Part::Flagger, &format!("http://127.0.0.1:{}/healthz", self.layout.ports.flagger)).await?;
        // Until the Service has an endpoint.
        let check = fixtures.gate_path("check");
        self.wait(Part::Loadtester, || {
            let (fixtures, check) = (&fixtures, &check);
            async move {
                let answer = fixtures.api().post(check, &json!({"name": "none", "namespace": "none"})).await;
                matches!(answer, Err(kube::Error::Api(status)) if status.code == 403 && !status.message.contains("cannot"))
            }
        })
        .await
    }

    /// Starts the controller of OpenKruise's Rollouts unless it runs, with its kinds and webhooks, and says whether there is
    /// one: `false` means to skip the test.
    pub async fn kruise(&self) -> bool {
        self.kruise.get_or_try_init(|| self.start_kruise()).await.expect("OpenKruise's controller did not start");
        true
    }

    async fn start_kruise(&self) -> Result<()> {
        self.install("kruise").await;
        let webhooks = std::fs::read_to_string(self.layout.kruise().join("webhooks.yaml"))?;
        bootstrap::webhooks(&self.api(Identity::Admin), &webhooks).await?;
        // Ready is who has told the API server where its webhooks are, and answers there.
        self.spawn(Part::Kruise)?;
        self.wait_http(Part::Kruise, &format!("http://127.0.0.1:{}/readyz", self.layout.ports.kruise_health)).await
    }

    /// Installs the kinds of another project; `tests/cluster/crds` lists the names.
    pub async fn install(&self, name: &str) {
        let file = self.layout.more_crds(name);
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}; run tests/cluster/build", file.display()));
        bootstrap::install(&self.api(Identity::Admin), &text).await.unwrap_or_else(|error| panic!("installing {name}: {error}"));
    }

    /// The kinds of Knative and KServe; nobody acts on them here.
    pub async fn knative(&self) -> bool {
        self.install("knative").await;
        self.install("kserve").await;
        false
    }

    fn exporter_config(&self) -> exporter::Config {
        exporter::Config { port: self.layout.ports.exporter, kube: self.config(Identity::Controllers) }
    }

    /// A fresh namespace in which `Identity::Namespaced` has an on-call's rights.
    pub async fn namespace(&self, prefix: &str) -> String {
        let name = format!("{prefix}-{}", self.namespaces.fetch_add(1, Ordering::Relaxed) + 1);
        self.create_namespace(&name).await;
        name
    }

    /// The same with a name of one's choice.
    pub async fn create_namespace(&self, name: &str) {
        roles::namespace(&self.api(Identity::Admin), name).await.expect("creating a namespace");
    }

    /// Manifests and waiting, as admin, in one namespace.
    pub fn fixtures(&self, namespace: &str) -> Fixtures {
        Fixtures::new(self.api(Identity::Admin), namespace, &self.prometheus_url())
    }

    /// A kubeconfig file of this identity whose current namespace is `namespace`.
    pub fn kubeconfig(&self, identity: Identity, namespace: &str) -> PathBuf {
        let path = self.layout.file("kubeconfigs").join(identity.file(namespace));
        std::fs::write(&path, self.layout.kubeconfig(identity, namespace)).expect("writing a kubeconfig");
        path
    }

    /// A new client; it belongs to the runtime that calls this.
    pub fn client(&self, identity: Identity) -> kube::Client {
        kube::Client::try_from(self.config(identity)).expect("a client from a good configuration")
    }

    /// Raw JSON requests as this identity.
    pub fn api(&self, identity: Identity) -> Api {
        Api::new(self.client(identity))
    }

    fn config(&self, identity: Identity) -> kube::Config {
        identity::config(&self.server_url(), Some(&self.ca), identity)
    }

    /// Address of the API server.
    pub fn server_url(&self) -> String {
        self.layout.server_url()
    }

    pub fn prometheus_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.layout.ports.prometheus)
    }

    /// Result vector of an instant query.
    pub async fn query(&self, promql: &str) -> Result<Vec<Value>> {
        prometheus::query(&self.prometheus_url(), promql).await
    }

    /// How versions behave and how much they get to do.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Everything the API server was asked.
    pub fn audit(&self) -> Audit {
        Audit::new(self.layout.audit_log())
    }

    /// Stops the part where it stands: connections stay open and nothing answers.
    pub fn freeze(&self, part: Part) {
        let processes = self.processes.lock().unwrap();
        processes.freeze(part).expect("freezing");
    }

    pub fn thaw(&self, part: Part) {
        let processes = self.processes.lock().unwrap();
        processes.thaw(part).expect("thawing");
    }

    /// Ends the part without warning: connections break, new ones are refused.
    pub fn kill(&self, part: Part) {
        self.processes.lock().unwrap().kill(part);
    }

    /// Starts the part (again) on its old port. etcd, the API server and Prometheus are ready when this returns.
    pub async fn restart(&self, part: Part) -> Result<()> {
        self.kill(part);
        self.spawn(part)?;
        match part {
            Part::Etcd => self.wait_listening(part, self.layout.ports.etcd).await,
            Part::ApiServer => self.wait_ready().await,
            Part::Prometheus => self.wait_http(part, &format!("{}/-/ready", self.prometheus_url())).await,
            _ => Ok(()),
        }
    }

    /// Makes etcd forget all revisions before the present one. The API server still knows some of them from its cache;
    /// after its restart, reading or watching from one is 410 Gone.
    pub async fn compact(&self) -> Result<()> {
        let now = self.etcd("maintenance/status", json!({})).await?;
        let revision = &now["header"]["revision"];
        self.etcd("kv/compaction", json!({"revision": revision, "physical": true})).await?;
        Ok(())
    }

    async fn etcd(&self, call: &str, body: Value) -> Result<Value> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://127.0.0.1:{}/v3/{call}", self.layout.ports.etcd);
        Ok(http.post(url).json(&body).send().await?.error_for_status()?.json().await?)
    }

    /// What the part has written so far.
    pub fn log(&self, part: Part) -> String {
        std::fs::read_to_string(self.layout.log(part)).unwrap_or_default()
    }

    /// Process ids of all running parts.
    pub fn pids(&self) -> Vec<u32> {
        self.processes.lock().unwrap().pids()
    }

    fn spawn(&self, part: Part) -> Result<()> {
        self.processes.lock().unwrap().spawn(part, &self.layout)
    }

    async fn wait_listening(&self, part: Part, port: u16) -> Result<()> {
        self.wait(part, || async move { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() }).await
    }

    async fn wait_ready(&self) -> Result<()> {
        let api = self.api(Identity::Admin);
        self.wait(Part::ApiServer, || async { api.text("/readyz").await.is_ok() }).await
    }

    async fn wait_http(&self, part: Part, url: &str) -> Result<()> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        self.wait(part, || async { http.get(url).send().await.is_ok_and(|answer| answer.status().is_success()) }).await
    }

    /// Asks `ready` until it is true, the part has ended or patience has.
    async fn wait<F: Future<Output = bool>>(&self, part: Part, ready: impl Fn() -> F) -> Result<()> {
        let begin = Instant::now();
        loop {
            if tokio::time::timeout(Duration::from_secs(5), ready()).await.unwrap_or(false) {
                return Ok(());
            }
            let ended = !self.processes.lock().unwrap().running(part);
            if ended || begin.elapsed() > READY {
                bail!("{part:?} {}:\n{}", if ended { "ended" } else { "is not ready" }, tail(&self.log(part)));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The last lines of a log.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
#[path = "rig/tests.rs"]
mod tests;
