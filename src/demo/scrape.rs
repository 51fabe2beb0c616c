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
    routes::{Objects, Proxy, Route, Routes},
    sim::{Controller, Cx, Metrics, Samples},
    store::{Change, Key, Store},
    workloads::Workloads,
};
use crate::model::Time;

const ROLLOUTS: &str = "rollouts.argoproj.io";
const REPLICA_SETS: &str = "replicasets.apps";
const SERVICES: &str = "services";
const INGRESSES: &str = "ingresses.networking.k8s.io";
const VIRTUAL_SERVICES: &str = "virtualservices.networking.istio.io";

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
    /// Rollouts that had a ready pod once.
    up: HashSet<Key>,
    /// Rollouts that mention an object: it changes, their routes change.
    mentioned: HashMap<Key, BTreeSet<Key>>,
    /// Rollouts whose routes must be read again.
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
        let dirty = std::mem::take(&mut *self.dirty.lock().unwrap_or_else(PoisonError::into_inner));
        dirty.iter().for_each(|key| self.reroute(cx, key));
        let (tick, every) = if cx.now < self.opening { (COARSE_TICK, COARSE_SCRAPE) } else { (TICK, self.every) };
        if self.scraped.is_none_or(|last| last + every <= cx.now) {
            self.scraped = Some(cx.now);
            self.forget(cx.workloads);
            self.scrape(cx);
        }
        tick
    }

    fn reroute(&mut self, cx: &mut Cx<'_>, key: &Key) {
        let Some(rollout) = cx.store.get(key).map(|object| object.value()) else {
            let workload = format!("{}/{}", key.namespace, key.name);
            self.routes.remove(&workload);
            self.up.remove(key);
            cx.workloads.traffic.remove(&workload);
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
        for route in objects.routes() {
            // Nobody calls what was never up.
            if route.has_pods() || self.up.contains(key) {
                self.up.insert(key.clone());
                cx.workloads.traffic.route(&route.workload(), route.tracks.clone());
                self.routes.set(route);
            }
        }
    }

    /// Not behind ingress-nginx: one controller counts all versions there, and outlives them.
    fn forget(&self, workloads: &mut Workloads) {
        for route in self.routes.iter().filter(|route| route.proxy == Proxy::Mesh) {
            workloads.traffic.forget(&route.workload(), FORGOTTEN);
        }
    }

    fn scrape(&self, cx: &mut Cx<'_>) {
        let mut shown = Exposition::of(&cx.workloads.traffic, self.routes.iter());
        for route in self.routes.iter() {
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
        match &*object.key.kind {
            ROLLOUTS => drop(dirty.insert(object.key.clone())),
            // Named after its Rollout, with the hash at the end.
            REPLICA_SETS if object.owner.is_some() => {
                if let Some((rollout, _)) = object.key.name.rsplit_once('-') {
                    dirty.insert(Key::new(ROLLOUTS, &object.key.namespace, rollout));
                }
            }
            SERVICES | INGRESSES | VIRTUAL_SERVICES => dirty.extend(self.mentioned.get(&object.key).into_iter().flatten().cloned()),
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
