//! The words of rolltop, without one Kubernetes type.
//!
//! An engine turns a cluster's objects into these; everything right of it
//! (verdict, views, reports) knows nothing else. All text is [`Text`]: cleaned
//! on arrival, so nothing in a model can move a cursor.

pub mod analysis;
pub mod evidence;
pub mod link;
pub mod log;
pub mod metrics;
pub mod phase;
pub mod step;
pub mod text;
pub mod track;

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use analysis::{Analysis, AnalysisKind, AnalysisMetric, AnalysisPhase, Experiment, Measurement, Threshold};
pub use evidence::{Evidence, Source};
pub use link::{Link, LinkState, Links};
pub use phase::{Phase, Wait, WaitFor};
pub use step::{Step, StepKind, Steps};
pub use text::Text;
pub use track::{Pod, PodHealth, Role, Track, Traffic};

/// A moment, always UTC; the views convert to the reader's zone.
pub type Time = DateTime<Utc>;

/// A moment as Kubernetes writes it, RFC 3339; text that is none counts as absent.
pub fn moment(text: &str) -> Option<Time> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

/// Who a rollout is. The uid keeps a recreated namesake apart from the one that was open.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Id {
    /// Kubeconfig context the object was read from.
    pub context: Arc<str>,
    pub namespace: Arc<str>,
    /// Kubernetes kind of the root object, such as `Rollout`.
    pub kind: Arc<str>,
    pub name: Arc<str>,
    pub uid: Arc<str>,
}

impl Id {
    /// `namespace/name`, as people type it.
    pub fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether `NAME` or `NAMESPACE/NAME` means this one.
    pub fn is_called(&self, name: &str) -> bool {
        *self.name == *name || self.path() == name
    }
}

/// What drives a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    Argo,
    Flagger,
    Deployment,
    StatefulSet,
    DaemonSet,
    BlueGreen,
    Split,
    Ratio,
    Kruise,
    Knative,
    KServe,
}

impl EngineKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Argo => "argo",
            Self::Flagger => "flagger",
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
            Self::BlueGreen => "bluegreen",
            Self::Split => "split",
            Self::Ratio => "ratio",
            Self::Kruise => "kruise",
            Self::Knative => "knative",
            Self::KServe => "kserve",
        }
    }

    /// As its users call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Argo => "Argo Rollouts",
            Self::Flagger => "Flagger",
            Self::Deployment => "Deployments",
            Self::StatefulSet => "StatefulSets",
            Self::DaemonSet => "DaemonSets",
            Self::BlueGreen => "Blue-green by a Service",
            Self::Split => "Weights on a route",
            Self::Ratio => "Two Deployments behind a Service",
            Self::Kruise => "OpenKruise Rollouts",
            Self::Knative => "Knative Serving",
            Self::KServe => "KServe",
        }
    }
}

/// How the new version takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    Canary,
    BlueGreen,
    /// Users are told apart by header or cookie, not by chance.
    AbTest,
    Rolling,
    Unknown,
}

impl Strategy {
    pub fn name(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::BlueGreen => "blue-green",
            Self::AbTest => "a/b test",
            Self::Rolling => "rolling",
            Self::Unknown => "unknown strategy",
        }
    }
}

/// What happens next if nobody does anything.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Next {
    /// When, if a clock decides; `None` when a condition or a person does.
    pub at: Option<Time>,
    /// One phrase without the time: `set weight 50 %, then pause 10m`.
    pub what: Text,
}

/// The fast way back to the old version, and how long it stays fast.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WayBack {
    /// The command that takes it, `None` when there is nothing to go back from.
    pub action: Option<crate::intent::Verb>,
    /// How long it takes, seconds, when that can be known.
    pub seconds: Option<u32>,
    /// The moment from which it is no longer fast.
    pub until: Option<Time>,
    /// One phrase: `abort: weight to 0, ≈ 3 s`.
    pub what: Text,
}

/// How loud a [`Notice`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Note,
    Warning,
    Danger,
}

/// Something about this rollout that a person should know before touching it.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    pub severity: Severity,
    pub text: Text,
}

/// The GitOps tool that owns the object and would revert a hand-made change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Owner {
    /// `argocd`, `flux-kustomize` or `flux-helm`.
    pub kind: &'static str,
    pub name: Text,
    /// Where its own object is, when the mark says so.
    #[serde(skip)]
    pub namespace: Option<Text>,
}

/// One entry of `managedFields`, reduced to who and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Writer {
    pub manager: Text,
    pub at: Option<Time>,
    pub subresource: Option<Text>,
    /// It holds nothing but the status and finalizers.
    pub books: bool,
}

/// What a metrics source needs to find the requests of a rollout.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Subject {
    pub stable_service: Option<Text>,
    pub canary_service: Option<Text>,
    /// Workloads that are a side each, where the Service does not tell the sides apart; the same twice when one holds both.
    pub stable_workload: Option<Text>,
    pub canary_workload: Option<Text>,
    /// Ingresses whose requests are split, for ingress-nginx.
    pub ingresses: Vec<Text>,
}

/// How many pods a rolling update moves at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surge {
    /// Pods it may have beyond those wanted.
    pub more: u32,
    /// Pods it may lack.
    pub fewer: u32,
    pub of: u32,
}

/// One supervised release of one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    pub id: Id,
    pub engine: EngineKind,
    pub strategy: Strategy,
    /// What splits the traffic (`istio`, `nginx`, …); `None` when replica counts do.
    pub router: Option<Text>,
    pub phase: Phase,
    /// The engine's own words: `Paused: CanaryPauseStep`.
    pub phase_detail: Text,
    /// When the update in progress (or the last one) began.
    pub started: Option<Time>,
    pub generation: i64,
    /// Set while the controller has not yet seen the newest spec.
    pub unobserved: bool,
    /// Replicas the whole workload is meant to have.
    pub replicas: u32,
    /// Where replica counts split the traffic; `None` where something else does, or all pods go at once.
    pub surge: Option<Surge>,
    pub tracks: Vec<Track>,
    pub steps: Steps,
    pub wait: Option<Wait>,
    pub next: Next,
    pub way_back: WayBack,
    pub analyses: Vec<Analysis>,
    pub experiments: Vec<Experiment>,
    pub notices: Vec<Notice>,
    pub owner: Option<Owner>,
    pub writers: Vec<Writer>,
    pub subject: Subject,
    /// Labels of the root object; only read where a guard rule asks for them.
    pub labels: BTreeMap<Text, Text>,
    /// Whether pods, replica sets and analyses of this rollout are being watched.
    pub detailed: bool,
    /// Whether its pods are counted even while it is not: then none is a number.
    pub counted: bool,
}

impl Rollout {
    pub fn track(&self, role: Role) -> Option<&Track> {
        self.tracks.iter().find(|t| t.is(role))
    }

    /// The side being released: canary, preview, or a blue-green's new active before it is stable.
    pub fn new_side(&self) -> Option<&Track> {
        self.tracks.iter().find(|t| t.is_new)
    }

    /// The side users fall back to.
    pub fn old_side(&self) -> Option<&Track> {
        self.track(Role::Stable).filter(|t| !t.is_new).or_else(|| self.tracks.iter().find(|t| !t.is_new))
    }

    /// Whether two versions are in play.
    pub fn in_flight(&self) -> bool {
        self.new_side().is_some()
    }

    /// Ready and wanted pods over all tracks that should run.
    pub fn ready(&self) -> (u32, u32) {
        self.tracks.iter().fold((0, 0), |(r, d), t| (r + t.ready, d + t.desired))
    }

    /// Ready and wanted pods of the side to watch: the new one while something moves. `None` where only an open rollout
    /// knows its pods.
    pub fn ready_to_watch(&self) -> Option<(u32, u32)> {
        let counts = self.new_side().map_or_else(|| self.ready(), |t| (t.ready, t.desired));
        (self.detailed || self.counted || counts != (0, 0)).then_some(counts)
    }

    /// Whether this side has no pods because nobody asks it anything: that is rest, not trouble.
    pub fn is_scaled_to_zero(&self, track: &Track) -> bool {
        let by_requests = matches!(self.engine, EngineKind::Knative | EngineKind::KServe);
        (self.detailed || self.counted) && track.desired == 0 && track.current == 0 && (by_requests || self.replicas == 0)
    }

    /// The loudest notice.
    pub fn alarm(&self) -> Option<&Notice> {
        self.notices.iter().max_by_key(|n| n.severity)
    }
}
