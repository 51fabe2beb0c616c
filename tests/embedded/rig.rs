//! The embedded cluster with the face of the rig: the suite cannot tell them apart.

// The suite uses a part of what is shared with the rig.
#![allow(dead_code, unused_imports)]

#[path = "../cluster/rig/api.rs"]
pub mod api;
#[path = "../cluster/rig/audit.rs"]
pub mod audit;
#[path = "../cluster/rig/fixtures.rs"]
pub mod fixtures;
#[path = "../cluster/rig/identity.rs"]
mod identity;
#[path = "../cluster/rig/manifests.rs"]
pub mod manifests;
#[path = "../cluster/rig/programs.rs"]
mod programs;
#[path = "../cluster/rig/prometheus.rs"]
mod prometheus;
#[path = "../cluster/rig/roles.rs"]
mod roles;
#[path = "../cluster/rig/term.rs"]
pub mod term;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use color_eyre::eyre::Result;
use rolltop::demo::{
    api::{
        crd,
        faults::{self, Effect, Fault},
    },
    scenario::{Kinds, Scenario},
    serve,
    sim::Sim,
    world::World,
};
use serde_json::Value;

pub use api::Api;
pub use audit::{Audit, Entries, Entry};
pub use fixtures::Fixtures;
pub use identity::Identity;
pub use manifests::{BlueGreen, Canary, Pods, Router};
pub use rolltop::demo::traffic::{Load, Profile};

use identity::Server;

static SHARED: tokio::sync::OnceCell<Rig> = tokio::sync::OnceCell::const_new();

const SEED: u64 = 7;

/// As the rig's Prometheus.
const SCRAPE: Duration = Duration::from_secs(1);

/// Nothing to choose: everything is there at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {}

/// What can be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    ApiServer,
    Prometheus,
}

impl From<Part> for faults::Part {
    fn from(part: Part) -> Self {
        match part {
            Part::ApiServer => Self::Api,
            Part::Prometheus => Self::Prometheus,
        }
    }
}

/// A running cluster. Dropping it ends it.
pub struct Rig {
    cluster: serve::Cluster,
    /// Ports close and open on it: a test's own runtime stands still while the test waits.
    runtime: Option<tokio::runtime::Runtime>,
    traffic: Traffic,
    namespaces: AtomicU32,
}

impl Rig {
    /// The cluster all tests of this process share, started by the first who asks. Never `None`: it needs nothing.
    pub async fn shared() -> Option<&'static Self> {
        Some(SHARED.get_or_init(|| async { Self::start(Options {}).await.expect("the embedded cluster did not start") }).await)
    }

    pub fn built() -> bool {
        true
    }

    /// Starts a cluster of one's own.
    pub async fn start(_: Options) -> Result<Self> {
        let options = serve::Options { scenario: empty(), speed: 1.0, seed: SEED, port: None, counted: None };
        let cluster = serve::Cluster::start(options)?;
        let world = cluster.world().clone();
        Identity::ALL.iter().for_each(|id| world.tokens.add(&id.token(), id.user(), id.groups()));
        world.audit.write_to(&cluster.folder().join("audit.log"), &[Identity::Controllers.user()])?;
        let runtime = Some(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?);
        let rig = Self { cluster, runtime, traffic: Traffic(world), namespaces: AtomicU32::new(0) };
        roles::apply_all(&rig.api(Identity::Admin), &roles::cluster_wide()).await?;
        rig.create_namespace(manifests::LOADTESTER.0).await;
        for object in manifests::loadtester(80) {
            rig.fixtures(manifests::LOADTESTER.0).apply(object).await;
        }
        rig.world().with(|sim| sim.every(SCRAPE, test_canaries));
        Ok(rig)
    }

    /// Flagger runs here from the start.
    pub async fn flagger(&self) -> bool {
        true
    }

    /// The controller of OpenKruise's Rollouts runs here from the start, and gets something to do with its kind.
    pub async fn kruise(&self) -> bool {
        self.world().with(|sim| crd::install_others(sim, &["rollouts.rollouts.kruise.io".into()], sim.now()));
        true
    }

    /// Serves the kinds of another project, as the rig does; those that it knows from the start stay as they are.
    pub async fn install(&self, name: &str) {
        let all: &[&str] = match name {
            "knative" => &["services", "configurations", "revisions", "routes"],
            "kserve" => &["inferenceservices"],
            _ => &[],
        };
        let group = if name == "knative" { "serving.knative.dev" } else { "serving.kserve.io" };
        let names: Vec<String> = all.iter().map(|plural| format!("{plural}.{group}")).collect();
        self.world().with(|sim| {
            let now = sim.now();
            crd::install_others(sim, &names, now);
        });
    }

    /// Knative and KServe, with their controllers.
    pub async fn knative(&self) -> bool {
        self.install("knative").await;
        self.install("kserve").await;
        true
    }

    fn world(&self) -> &World {
        self.cluster.world()
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
        let path = self.cluster.folder().join(identity.file(namespace));
        let text = identity::kubeconfig(Server { url: &self.server_url(), authority: None }, identity, namespace);
        std::fs::write(&path, text).expect("writing a kubeconfig");
        path
    }

    /// Folder of kubectl and its plugin for Argo Rollouts. `None`: the test is to be skipped.
    pub fn programs() -> Option<PathBuf> {
        programs::folder(["kubectl", "kubectl-argo-rollouts"]).inspect_err(|missing| programs::skip(missing)).ok()
    }

    /// A folder for programs that want one.
    pub fn home(&self) -> &std::path::Path {
        self.cluster.folder()
    }

    /// What kubectl is to be given: it shows no token where there is no TLS, so the address has it.
    pub fn client_kubeconfig(&self, identity: Identity, namespace: &str) -> PathBuf {
        let path = self.cluster.folder().join(format!("client-{}", identity.file(namespace)));
        let url = format!("{}/t/{}", self.server_url(), identity.token());
        let text = identity::kubeconfig(Server { url: &url, authority: None }, identity, namespace);
        std::fs::write(&path, text).expect("writing a kubeconfig");
        path
    }

    /// Raw JSON requests as this identity.
    pub fn api(&self, identity: Identity) -> Api {
        let config = identity::config(&self.server_url(), None, identity);
        Api::new(kube::Client::try_from(config).expect("a client from a good configuration"))
    }

    /// Address of the API server.
    pub fn server_url(&self) -> String {
        self.cluster.server.clone()
    }

    pub fn prometheus_url(&self) -> String {
        self.cluster.prometheus.clone()
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
        Audit::new(self.cluster.folder().join("audit.log"))
    }

    /// Connections stay open and nothing answers.
    pub fn freeze(&self, part: Part) {
        self.fail(part, Effect::Hang);
    }

    pub fn thaw(&self, part: Part) {
        self.set(part, Vec::new());
    }

    /// Connections break, new ones are refused.
    pub fn kill(&self, part: Part) {
        self.fail(part, Effect::Refuse);
    }

    /// Serves again on the old port, without memory of what changed before.
    pub async fn restart(&self, part: Part) -> Result<()> {
        self.set(part, Vec::new());
        if part == Part::ApiServer {
            faults::forget(self.world());
        }
        Ok(())
    }

    /// What goes wrong at the API server from now on.
    pub fn faults(&self, faults: Vec<Fault>) {
        self.set(Part::ApiServer, faults);
    }

    fn fail(&self, part: Part, effect: Effect) {
        self.set(part, vec![Fault::new(effect)]);
    }

    fn set(&self, part: Part, faults: Vec<Fault>) {
        let _runtime = self.runtime.as_ref().map(tokio::runtime::Runtime::enter);
        self.world().faults.set(part.into(), faults);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The traffic of all workloads, by "namespace/rollout". Without any setting each gets 40 requests per second, of
/// which 0.2 % fail.
pub struct Traffic(std::sync::Arc<World>);

impl Traffic {
    /// How the version with this image tag behaves from now on.
    pub fn set(&self, workload: &str, tag: &str, profile: Profile) {
        self.0.with(|sim| sim.workloads.set_profile(workload, tag, profile));
    }

    /// What arrives from now on.
    pub fn load(&self, workload: &str, load: Load) {
        self.0.with(|sim| sim.workloads.set_load(workload, load));
    }

    /// Requests per second, all else unchanged; 0 makes the workload idle.
    pub fn rps(&self, workload: &str, rps: f64) {
        self.0.with(|sim| {
            let load = Load { rps, ..sim.workloads.traffic.load(workload) };
            sim.workloads.set_load(workload, load);
        });
    }
}

/// As the rig's exporter has it: where no router sends users to a Canary's target, somebody tests it.
fn test_canaries(sim: &mut Sim) {
    const RPS: f64 = 4.0;
    let canaries = sim.store.list("canaries.flagger.app", None).map(|canary| canary.value());
    let unrouted: Vec<Value> = canaries.filter(|canary| canary["spec"]["provider"] == "kubernetes").collect();
    for canary in unrouted {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (namespace, target) = (text(&canary["metadata"]["namespace"]), text(&canary["spec"]["targetRef"]["name"]));
        sim.workloads.traffic.set_extra(&format!("{namespace}/{target}"), &format!("{target}-canary"), RPS);
    }
}

/// A cluster in which nothing lives yet.
fn empty() -> Scenario {
    Scenario {
        name: "suite".into(),
        title: String::new(),
        about: String::new(),
        hint: String::new(),
        prehistory: Duration::ZERO,
        scrape: SCRAPE,
        workloads: Vec::new(),
        templates: Vec::new(),
        script: Vec::new(),
        flags: Vec::new(),
        manifests: Vec::new(),
        nodes: 3,
        kinds: Kinds::With(Vec::new()),
        is_measured: true,
    }
}
