//! How the versions in an embedded cluster behave: their pods, and their answers to requests.

use std::{collections::BTreeMap, time::Duration};

use super::{
    controllers::events::Recorder,
    loadtester::LoadTester,
    traffic::{Load, Model, Profile},
};
use crate::model::Time;

/// What becomes of a pod after its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fate {
    #[default]
    Ready,
    /// Running, never ready.
    Never,
    /// Exits with an error again and again.
    CrashLoop,
    /// Its image cannot be pulled.
    ImagePull,
    /// Ready, then killed for its memory, again and again.
    OutOfMemory,
    /// No node has room for it.
    Unschedulable,
}

/// Label by which a pod (or its template) asks for a fate, whatever its image says: `slow`, `never`, `crash-loop`,
/// `image-pull`, `oom`, `unschedulable`.
pub const FATE_LABEL: &str = "rolltop.dev/pod";

/// How the pods of a version fare.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pods {
    /// From scheduled to ready.
    pub start_up: Duration,
    /// Each pod takes up to this much longer.
    pub spread: Duration,
    pub fate: Fate,
    /// For fates that take a while: how long a pod runs before it happens.
    pub after: Duration,
}

impl Default for Pods {
    fn default() -> Self {
        let (start_up, spread) = (Duration::from_millis(400), Duration::from_millis(200));
        Self { start_up, spread, fate: Fate::Ready, after: Duration::from_secs(1) }
    }
}

/// A number of its own that a version reports, such as a quality score.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauge {
    /// Metric name.
    pub name: String,
    pub value: f64,
    /// Standard deviation around it.
    pub noise: f64,
    /// How much it grows with the load, per request a second and pod.
    pub per_request: f64,
}

/// All workloads by `namespace/name`; the traffic is the model's.
pub struct Workloads {
    pub traffic: Model,
    /// What the controllers said lately; they share this room as nothing else outlives a pass.
    pub events: Recorder,
    /// Flagger's, which people and its controller both talk to.
    pub loadtester: LoadTester,
    pods: BTreeMap<(String, String), Pods>,
    /// Grows with each change of `pods`.
    revision: u64,
    gauges: BTreeMap<(String, String), Vec<Gauge>>,
    opening: Option<Time>,
}

impl Workloads {
    pub fn new(seed: u64) -> Self {
        Self {
            traffic: Model::new(seed),
            events: Recorder::default(),
            loadtester: LoadTester::default(),
            pods: BTreeMap::new(),
            revision: 0,
            gauges: BTreeMap::new(),
            opening: None,
        }
    }

    /// The first moment at which anybody looks. What happens before is prehistory: controllers may take short cuts to
    /// the same outcome, and events that would be gone by then are never written.
    pub fn open_at(&mut self, opening: Time) {
        self.opening = Some(opening);
    }

    pub fn opening(&self) -> Option<Time> {
        self.opening
    }

    /// Whether nobody looks yet at that moment.
    pub fn is_prehistory(&self, at: Time) -> bool {
        self.opening.is_some_and(|opening| at < opening)
    }

    /// How pods of the version with this image tag fare from now on, those that run already included.
    pub fn set_pods(&mut self, workload: &str, tag: &str, pods: Pods) {
        self.pods.insert((workload.into(), tag.into()), pods);
        self.revision += 1;
    }

    /// Tells whether [`Workloads::set_pods`] was called since.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How the pods of an image fare in the namespace and app they belong to.
    pub fn pods(&self, workload: &str, tag: &str) -> Pods {
        self.pods.get(&(workload.into(), tag.into())).copied().unwrap_or_default()
    }

    pub fn set_profile(&mut self, workload: &str, tag: &str, profile: Profile) {
        self.traffic.set_profile(workload, tag, profile);
    }

    pub fn set_load(&mut self, workload: &str, load: Load) {
        self.traffic.set_load(workload, load);
    }

    pub fn set_gauges(&mut self, workload: &str, tag: &str, gauges: Vec<Gauge>) {
        self.gauges.insert((workload.into(), tag.into()), gauges);
    }

    pub fn gauges(&self, workload: &str, tag: &str) -> &[Gauge] {
        self.gauges.get(&(workload.into(), tag.into())).map_or(&[], Vec::as_slice)
    }
}
