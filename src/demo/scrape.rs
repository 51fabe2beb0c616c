//! Traffic and Prometheus inside the simulation: one more controller lets requests flow along the routes that the
//! cluster's objects describe, and scrapes their counters.
//!
//! Nothing flows before traffic begins: days of history cost no requests.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::TimeDelta;
use serde_json::Value;

use super::{
    exposition::{Exposition, Gauge, Target},
    prometheus::{self, Sample, Tsdb},
    routes::{Objects, Proxy, Route, Routes, canaries, plain},
    sim::{Controller, Cx, Metrics, Samples},
    store::{Change, Key, Store},
    workloads::Workloads,
};
use crate::model::Time;

const CANARIES: &str = "canaries.flagger.app";
const DEPLOYMENTS: &str = "deployments.apps";
const HTTP_ROUTES: &str = "httproutes.gateway.networking.k8s.io";
const ROLLOUTS: &str = "rollouts.argoproj.io";
const REPLICA_SETS: &str = "replicasets.apps";
const SERVICES: &str = "services";
const INGRESSES: &str = "ingresses.networking.k8s.io";
const VIRTUAL_SERVICES: &str = "virtualservices.networking.istio.io";

/// Kind of the keys of entries; the store has none such.
const ENTRY: &str = "entry";

/// Routes follow the objects this often.
const TICK: Duration = Duration::from_secs(1);

/// The same while nobody looks.
const COARSE_TICK: Duration = Duration::from_secs(5);

/// Between two scrapes, in scenarios.
pub const SCRAPE: Duration = Duration::from_secs(5);

/// The same while nobody looks: four in the shortest window anybody asks for.
const COARSE_SCRAPE: TimeDelta = TimeDelta::seconds(15);

/// Samples are kept this long.
pub const RETENTION: Duration = Duration::from_secs(2 * 3_600);

/// A version's proxies go with its pods, and what they counted with them. Nothing on a screen looks back so far, nor does a
/// drill last so long.
const FORGOTTEN: Duration = Duration::from_secs(30 * 60);

/// Lets requests flow, and scrapes.
pub struct Scraper {
    tsdb: Arc<Tsdb>,
    target: Target,
    /// When traffic begins.
    begins: Time,
    /// From when on somebody looks.
    opening: Time,
    /// Between two scrapes from then on.
    every: TimeDelta,
    routes: Routes,
    /// The same of Flagger's Canaries.
    canaries: Routes,
    /// By which name the traffic model knows a Canary's target.
    targets: HashMap<Key, String>,
    /// Whether a load test ran at the last tick.
    tested: bool,
    /// Names users come to that were no Rollouts when they first came.
    entries: BTreeSet<Key>,
    /// How many names were looked at.
    known: usize,
    /// Rollouts and entries that had a ready pod once.
    up: HashSet<Key>,
    /// Rollouts that mention an object: it changes, their routes change.
    mentioned: HashMap<Key, BTreeSet<Key>>,
    /// Rollouts, Canaries and entries whose routes must be read again.
    dirty: Mutex<BTreeSet<Key>>,
    /// The traffic model's zero.
    since: Option<Time>,
    scraped: Option<Time>,
    begun: bool,
}

impl Scraper {
    pub fn new(tsdb: Arc<Tsdb>, begins: Time, opening: Time, every: Duration) -> Self {
        let target = Target { job: "mesh".into(), instance: "rolltop-demo".into() };
        Self {
            tsdb,
            target,
            begins,
            opening,
            every: TimeDelta::from_std(every).unwrap_or_default(),
            routes: Routes::default(),
            canaries: Routes::default(),
            targets: HashMap::new(),
            tested: false,
            entries: BTreeSet::new(),
            known: 0,
            up: HashSet::new(),
            mentioned: HashMap::new(),
            dirty: Mutex::default(),
            since: None,
            scraped: None,
            begun: false,
        }
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Duration {
        let since = *self.since.get_or_insert(cx.now);
        // Requests until now went the old way.
        let passed = (cx.now - since).to_std().unwrap_or_default();
        let model = &mut cx.workloads.traffic;
        model.advance(passed.saturating_sub(model.now()));
        self.learn(cx);
        let dirty = std::mem::take(&mut *self.dirty.lock().unwrap_or_else(PoisonError::into_inner));
        for key in &dirty {
            match &*key.kind {
                CANARIES => self.reroute_canary(cx, key),
                ENTRY => self.reroute_entry(cx, key),
                _ => self.reroute(cx, key),
            }
        }
        self.test(cx);
        let (tick, every) = if cx.now < self.opening { (COARSE_TICK, COARSE_SCRAPE) } else { (TICK, self.every) };
        if self.scraped.is_none_or(|last| last + every <= cx.now) {
            self.scraped = Some(cx.now);
            self.forget(cx.workloads);
            self.scrape(cx);
        }
        tick
    }

    /// Who has requests and is no Rollout gets them by way of a route or a Service.
    fn learn(&mut self, cx: &Cx<'_>) {
        let count = cx.workloads.traffic.workloads().count();
        if std::mem::replace(&mut self.known, count) == count {
            return;
        }
        let mut dirty = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
        for (namespace, name) in cx.workloads.traffic.workloads().filter_map(|path| path.split_once('/')) {
            let entry = Key::new(ENTRY, namespace, name);
            if cx.store.get(&Key::new(ROLLOUTS, namespace, name)).is_none() && self.entries.insert(entry.clone()) {
                dirty.insert(entry);
            }
        }
    }

    fn reroute(&mut self, cx: &mut Cx<'_>, key: &Key) {
        let Some(rollout) = cx.store.get(key).map(|object| object.value()) else {
            // Of other owners' ReplicaSets, or gone.
            if self.up.remove(key) {
                let workload = format!("{}/{}", key.namespace, key.name);
                self.routes.remove(&workload);
                self.known = 0;
                cx.workloads.traffic.remove(&workload);
            }
            return;
        };
        let around = Around::read(cx.store, &rollout, &key.namespace);
        for mentioned in around.mentions {
            self.mentioned.entry(mentioned).or_default().insert(key.clone());
        }
        let objects = Objects {
            rollouts: std::slice::from_ref(&rollout),
            replica_sets: &around.replica_sets,
            services: &around.services,
            ingresses: &around.ingresses,
            virtual_services: &around.virtual_services,
        };
        objects.routes().into_iter().for_each(|route| self.take(cx, key, route));
    }

    fn reroute_entry(&mut self, cx: &mut Cx<'_>, key: &Key) {
        let workload = format!("{}/{}", key.namespace, key.name);
        let is_rollout = cx.store.get(&Key { kind: ROLLOUTS.into(), ..key.clone() }).is_some();
        if is_rollout || self.targets.values().any(|target| *target == workload) {
            return;
        }
        match plain::route(&Near { store: cx.store, namespace: &key.namespace }, &key.namespace, &key.name) {
            Some(route) => self.take(cx, key, route),
            None => cx.workloads.traffic.route(&workload, Vec::new()),
        }
    }

    /// Nobody calls what was never up.
    fn take(&mut self, cx: &mut Cx<'_>, key: &Key, route: Route) {
        if route.has_pods() || self.up.contains(key) {
            self.up.insert(key.clone());
            cx.workloads.traffic.route(&route.workload(), route.tracks.clone());
            self.routes.set(route);
        }
    }

    fn reroute_canary(&mut self, cx: &mut Cx<'_>, key: &Key) {
        let canary = cx.store.get(key).map(|object| object.value());
        let mut around = InNamespace { store: cx.store, namespace: &key.namespace, mentions: Vec::new() };
        let route = canary.and_then(|canary| canaries::route(&canary, &mut around));
        for mentioned in around.mentions {
            self.mentioned.entry(mentioned).or_default().insert(key.clone());
        }
        let workload = route.as_ref().map(Route::workload);
        if let Some(gone) = self.targets.get(key).filter(|before| Some(*before) != workload.as_ref()) {
            self.canaries.remove(gone);
            cx.workloads.traffic.remove(gone);
            self.targets.remove(key);
        }
        let Some(route) = route.filter(|route| route.has_pods() || self.targets.contains_key(key)) else { return };
        // It was an entry until now.
        self.routes.remove(&route.workload());
        self.targets.insert(key.clone(), route.workload());
        cx.workloads.traffic.route(&route.workload(), route.tracks.clone());
        self.canaries.set(route);
    }

    /// Load tests call Services, whoever else does.
    fn test(&mut self, cx: &mut Cx<'_>) {
        let is_busy = cx.workloads.loadtester.is_busy(cx.now);
        if !std::mem::replace(&mut self.tested, is_busy) && !is_busy {
            return;
        }
        for route in self.canaries.iter() {
            let services: BTreeSet<&String> = route.tracks.iter().map(|track| &track.id.service).collect();
            for service in services {
                let rps = cx.workloads.loadtester.rps(&route.namespace, service, cx.now);
                cx.workloads.traffic.set_extra(&route.workload(), service, rps);
            }
        }
    }

    /// Not behind ingress-nginx: one controller counts all versions there, and outlives them.
    fn forget(&self, workloads: &mut Workloads) {
        for route in self.routes.iter().chain(self.canaries.iter()).filter(|route| route.proxy == Proxy::Mesh) {
            workloads.traffic.forget(&route.workload(), FORGOTTEN);
        }
    }

    fn scrape(&self, cx: &mut Cx<'_>) {
        let mut answers = |route: &&Route| {
            let unscraped = cx.workloads.traffic.load(&route.workload()).unscraped;
            unscraped <= 0.0 || cx.rng.f64() >= unscraped
        };
        let routes: Vec<&Route> = self.routes.iter().filter(&mut answers).collect();
        let canaries: Vec<&Route> = self.canaries.iter().filter(&mut answers).collect();
        let mut shown = Exposition::of(&cx.workloads.traffic, routes.iter().copied());
        canaries.iter().for_each(|route| shown.add_canary(&cx.workloads.traffic, route));
        for route in routes.into_iter().chain(canaries) {
            gauges(cx.workloads, route, cx.rng).iter().for_each(|gauge| shown.gauge(gauge));
        }
        shown.kinds().for_each(|(family, kind)| self.tsdb.describe(family, kind));
        self.tsdb.scrape(cx.now, shown.samples(&self.target));
    }
}

impl Controller for Scraper {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    fn wakes(&self, change: &Change, _: &Store, wake: &mut Vec<Key>) {
        if !self.begun {
            wake.push(Key::new("scrape", "", ""));
        }
        let Some(object) = change.object() else { return };
        let mut dirty = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.entries.is_empty() && plain::KINDS.contains(&&*object.key.kind) {
            dirty.extend(self.entries.iter().filter(|entry| entry.namespace == object.key.namespace).cloned());
        }
        match &*object.key.kind {
            ROLLOUTS | CANARIES => drop(dirty.insert(object.key.clone())),
            // Named after its Rollout, with the hash at the end.
            REPLICA_SETS if object.owner.is_some() => {
                if let Some((rollout, _)) = object.key.name.rsplit_once('-') {
                    dirty.insert(Key::new(ROLLOUTS, &object.key.namespace, rollout));
                }
            }
            SERVICES | INGRESSES | VIRTUAL_SERVICES | HTTP_ROUTES | DEPLOYMENTS => {
                dirty.extend(self.mentioned.get(&object.key).into_iter().flatten().cloned())
            }
            _ => {}
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, _: &Key) -> Option<Duration> {
        self.begun = true;
        match (self.begins - cx.now).to_std() {
            Ok(wait) if !wait.is_zero() => Some(wait),
            _ => Some(self.tick(cx)),
        }
    }
}

/// A namespace in the store.
struct Near<'a> {
    store: &'a Store,
    namespace: &'a str,
}

impl plain::Namespace for Near<'_> {
    fn get(&self, kind: &str, name: &str) -> Option<Value> {
        self.store.get(&Key::new(kind, self.namespace, name)).map(|object| object.value())
    }

    fn list(&self, kind: &str) -> Vec<Value> {
        self.store.list(kind, Some(self.namespace)).map(|object| object.value()).collect()
    }
}

/// The objects around a Canary, with a note of each that was looked for.
struct InNamespace<'a> {
    store: &'a Store,
    namespace: &'a str,
    mentions: Vec<Key>,
}

impl canaries::Cluster for InNamespace<'_> {
    fn get(&mut self, kind: &str, name: &str) -> Option<Value> {
        let key = Key::new(kind, self.namespace, name);
        let found = self.store.get(&key).map(|object| object.value());
        self.mentions.push(key);
        found
    }

    fn replica_sets(&mut self, owner: &str) -> Vec<Value> {
        self.store.owned(REPLICA_SETS, owner).map(|set| set.value()).collect()
    }
}

/// What a Rollout's requests pass on their way.
#[derive(Default)]
struct Around {
    replica_sets: Vec<Value>,
    services: Vec<Value>,
    ingresses: Vec<Value>,
    virtual_services: Vec<Value>,
    mentions: Vec<Key>,
}

impl Around {
    fn read(store: &Store, rollout: &Value, namespace: &str) -> Self {
        let name = |value: &Value| value.as_str().filter(|name| !name.is_empty()).map(str::to_owned);
        let (canary, blue_green) = (&rollout["spec"]["strategy"]["canary"], &rollout["spec"]["strategy"]["blueGreen"]);
        let routing = &canary["trafficRouting"];
        let stable_ingress = name(&routing["nginx"]["stableIngress"]).or_else(|| name(&routing["nginx"]["stableIngresses"][0]));
        let own = rollout["metadata"]["name"].as_str().unwrap_or_default();
        let generated = stable_ingress.as_ref().map(|ingress| format!("{own}-{ingress}-canary"));
        let istio = &routing["istio"];
        let virtual_service = name(&istio["virtualService"]["name"]).or_else(|| name(&istio["virtualServices"][0]["name"]));
        let services = [&canary["stableService"], &canary["canaryService"], &blue_green["activeService"], &blue_green["previewService"]];
        // A basic canary names no Service: the one of its own name is what people use.
        let services = services.into_iter().filter_map(name).chain([own.to_owned()]);
        let uid = rollout["metadata"]["uid"].as_str().unwrap_or_default();
        let mut around = Self { replica_sets: store.owned(REPLICA_SETS, uid).map(|set| set.value()).collect(), ..Self::default() };
        let mut find = |kind: &str, name: &str| {
            let key = Key::new(kind, namespace, name.rsplit('/').next().unwrap_or_default());
            let found = store.get(&key).map(|object| object.value());
            around.mentions.push(key);
            found
        };
        let services: Vec<Value> = services.filter_map(|name| find(SERVICES, &name)).collect();
        let ingresses: Vec<Value> = stable_ingress.into_iter().chain(generated).filter_map(|name| find(INGRESSES, &name)).collect();
        let virtual_services: Vec<Value> = virtual_service.into_iter().filter_map(|name| find(VIRTUAL_SERVICES, &name)).collect();
        Self { services, ingresses, virtual_services, ..around }
    }
}

/// The numbers of its own that each version of a workload reports.
fn gauges(workloads: &Workloads, route: &Route, rng: &mut fastrand::Rng) -> Vec<Gauge> {
    let workload = route.workload();
    let rps = workloads.traffic.load(&workload).rps;
    let weights: f64 = route.tracks.iter().map(|track| track.weight).sum();
    let mut shown = Vec::new();
    for track in route.tracks.iter().filter(|track| track.ready_pods > 0) {
        let share = if weights > 0.0 { track.weight / weights } else { 0.0 };
        let per_pod = rps * share / f64::from(track.ready_pods);
        for gauge in workloads.gauges(&workload, &track.id.tag) {
            // Three uniform numbers are near enough to a bell.
            let noise = (rng.f64() + rng.f64() + rng.f64() - 1.5) * 2.0 * gauge.noise;
            let value = gauge.value + gauge.per_request * per_pod + noise;
            let labels = [
                ("namespace", route.namespace.clone()),
                ("rollout", route.rollout.clone()),
                ("rollouts_pod_template_hash", track.id.hash.clone()),
                ("version", track.id.tag.clone()),
            ];
            let labels = labels.map(|(name, value)| (name.to_owned(), value)).into();
            shown.push(Gauge { name: gauge.name.clone(), labels, value: (value.max(0.0) * 1e4).round() / 1e4 });
        }
    }
    shown
}

/// The metrics server of analyses, at its address.
pub struct Database {
    pub tsdb: Arc<Tsdb>,
    /// `http://127.0.0.1:1234`.
    pub url: String,
}

impl Metrics for Database {
    fn query(&self, address: &str, query: &str, at: Time) -> Result<Samples, String> {
        if !address.is_empty() && address.trim_end_matches('/') != self.url {
            return Err(format!("Post \"{}/api/v1/query\": dial tcp: lookup failed: no such host", address.trim_end_matches('/')));
        }
        let values = |samples: Vec<Sample>| samples.into_iter().map(|sample| sample.value).collect();
        match self.tsdb.instant(query, at) {
            Ok(prometheus::Value::Scalar(value)) => Ok(Samples::Scalar(value)),
            Ok(prometheus::Value::Vector(samples)) => Ok(Samples::Vector(values(samples))),
            Ok(_) => Err("Prometheus metric type not supported".into()),
            Err(prometheus::Error::BadData(text)) => Err(format!("bad_data: {text}")),
            Err(error) => Err(format!("execution: {error}")),
        }
    }
}
