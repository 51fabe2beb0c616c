//! Scenarios: what lives in an embedded cluster, how it behaves, and what happens in it.
//!
//! A scenario is a TOML file ([`format`] is its table). [`read`] and [`build`] make a [`Scenario`] of it and find every
//! mistake; [`manifests`] knows its objects; [`stage`] puts them into a simulation and lets their past happen;
//! [`script`] makes happen what the file says.

pub mod acts;
pub mod build;
pub mod format;
pub mod manifests;
pub mod names;
pub mod read;
pub mod script;
pub mod stage;
pub mod units;

use std::{collections::BTreeMap, path::Path, time::Duration};

use chrono::TimeDelta;
use serde_json::Value;

use super::{
    traffic::{Load, Profile},
    workloads::{Gauge, Pods},
};
use crate::config::Mistakes;

/// What a workload is driven by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Canary,
    BlueGreen,
    Deployment,
    StatefulSet,
    DaemonSet,
    /// Two Deployments, and a Service whose selector picks one.
    Service,
    /// Two Deployments, and a route that splits the traffic between them.
    Split,
    /// Its objects are given as manifests.
    Manifest,
}

impl Kind {
    /// Whether Argo Rollouts drives it.
    pub fn is_rollout(self) -> bool {
        matches!(self, Self::Canary | Self::BlueGreen)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Router {
    None,
    Istio,
    Nginx,
    /// Istio's, with one Service and the subsets of a DestinationRule.
    Subsets,
    /// A HTTPRoute of the Gateway API.
    Gateway,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    ArgoCd,
    Flux,
}

/// How a version behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    pub profile: Profile,
    pub pods: Pods,
    pub gauges: Vec<Gauge>,
}

/// A release that was, before anybody looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    pub version: String,
    /// Before the opening of the screen.
    pub age: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    pub namespace: String,
    pub name: String,
    pub kind: Kind,
    pub router: Router,
    pub replicas: u32,
    /// Without its tag.
    pub image: String,
    pub owner: Option<Owner>,
    /// A list in Argo's own words.
    pub steps: Value,
    /// Merged into the spec.
    pub spec: Value,
    pub annotations: Value,
    /// Number of the first revision.
    pub revision: u32,
    /// Oldest first; empty only for manifests.
    pub history: Vec<Past>,
    pub load: Load,
    pub versions: BTreeMap<String, Version>,
    /// Made by `count`: fair game for acts on any workload.
    pub counted: bool,
}

impl Workload {
    /// `namespace/name`, as the traffic model knows it.
    pub fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// With how many pods a release begins on a side that has none.
    pub fn first_pods(&self) -> u32 {
        match (self.kind, self.router) {
            // Each of them gets users at once.
            (Kind::Split, Router::None) => 1,
            (Kind::Split, _) => (self.replicas / 2).max(1),
            _ => self.replicas,
        }
    }

    /// The image of a version.
    pub fn image_of(&self, tag: &str) -> String {
        format!("{}:{tag}", self.image)
    }
}

/// An AnalysisTemplate without its namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    pub name: String,
    pub args: Vec<String>,
    pub metrics: Vec<Value>,
}

/// What a condition of the script waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    /// For a human.
    Waits,
    /// For a timer, too.
    Pauses,
    Moves,
    Steady,
    Fails,
    Aborted,
    /// From this step on, counted from 1.
    AtStep(u32),
    /// From this weight of the new side on, in percent.
    AtWeight(u32),
}

/// When something happens.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    At(TimeDelta),
    Once { workload: String, is: Is, after: Duration },
}

/// What somebody does to a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Promote,
    PromoteFull,
    Abort,
    Retry,
    Pause,
    Resume,
    Restart,
    Undo,
    Flip,
}

/// Which server misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    Api,
    Prometheus,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// The versions take turns. The workload may be `*`.
    Release {
        workload: String,
        versions: Vec<String>,
    },
    SetImage {
        workload: String,
        image: String,
    },
    Do {
        workload: String,
        verb: Verb,
    },
    Scale {
        workload: String,
        replicas: u32,
    },
    Weigh {
        workload: String,
        percent: u32,
    },
    Behave {
        workload: String,
        tag: String,
        version: Box<Version>,
    },
    Traffic {
        workload: String,
        load: Load,
    },
    Create(Value),
    /// Kind's id, namespace, name.
    Delete {
        kind: String,
        namespace: String,
        name: String,
    },
    Install(String),
    Remove(String),
    /// `how` is one of [`format::FAULTS`].
    Fault {
        server: Server,
        how: &'static str,
        lasts: Duration,
    },
    Note {
        workload: String,
        text: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub when: When,
    pub every: Option<Duration>,
    pub by: String,
    pub act: Act,
}

/// A feature flag that decides how a version behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Flag {
    pub name: String,
    pub workload: String,
    /// Image tag.
    pub version: String,
    pub on: Version,
    pub off: Version,
}

/// A whole scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The file's name without its ending.
    pub name: String,
    pub title: String,
    pub about: String,
    pub hint: String,
    pub prehistory: Duration,
    /// Between two scrapes while somebody looks.
    pub scrape: Duration,
    pub workloads: Vec<Workload>,
    pub templates: Vec<Template>,
    pub script: Vec<Event>,
    pub flags: Vec<Flag>,
    pub manifests: Vec<Value>,
    pub nodes: u32,
    pub kinds: Kinds,
    /// Whether the cluster has a Prometheus.
    pub is_measured: bool,
}

/// Which CustomResourceDefinitions there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kinds {
    None,
    /// Those that the embedded cluster comes with, and these.
    With(Vec<String>),
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        /// Scenarios that come with the program, by name; the first is the default.
        pub const SHIPPED: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../assets/demo/", $name, ".toml")))),*];
    };
}

shipped![
    "checkout",
    "good",
    "regression",
    "flag",
    "slow",
    "quiet",
    "sick-stable",
    "cold-start",
    "crashloop",
    "bluegreen",
    "undo",
    "deployment",
    "service",
    "split",
    "statefulset",
    "flagger",
    "kruise",
    "newcomer",
    "fleet",
    "outage",
    "hostile",
    "llm",
    "knative",
    "kserve",
];

/// Why there is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum NoScenario {
    #[error("the scenario has mistakes:\n{0}")]
    Mistakes(Mistakes),
    #[error("{0}: {1}")]
    Unreadable(String, std::io::Error),
    #[error("{0}")]
    Unknown(String),
}

impl Scenario {
    /// A shipped scenario by its name, or one from a file. What has a `/` or ends in `.toml` is a file.
    ///
    /// # Errors
    /// When there is none of that name, the file cannot be read, or it has mistakes: then all of them.
    pub fn load(wanted: &str) -> Result<Self, NoScenario> {
        if let Some((name, text)) = SHIPPED.iter().find(|(name, _)| *name == wanted) {
            return Self::parse(name, &format!("{name}.toml"), text).map_err(NoScenario::Mistakes);
        }
        let path = Path::new(wanted);
        if !(wanted.contains('/') || wanted.ends_with(".toml")) {
            return Err(NoScenario::Unknown(unknown(wanted)));
        }
        let text = std::fs::read_to_string(path).map_err(|error| NoScenario::Unreadable(wanted.into(), error))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::parse(&name, wanted, &text).map_err(NoScenario::Mistakes)
    }

    /// Reads a scenario from a file's text.
    ///
    /// # Errors
    /// All mistakes, each with file and line.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Self, Mistakes> {
        build::scenario(name, file, text)
    }

    pub fn workload(&self, path: &str) -> Option<&Workload> {
        self.workloads.iter().find(|workload| workload.path() == path)
    }
}

fn unknown(wanted: &str) -> String {
    let names = || SHIPPED.iter().map(|(name, _)| *name);
    let near = units::nearest(wanted, names()).map(|near| format!("did you mean '{near}'? ")).unwrap_or_default();
    format!("no scenario '{wanted}'; {near}there are: {}; a file of your own is named with a path", names().collect::<Vec<_>>().join(", "))
}

/// The table of `demo --list`: name and what it shows. The second part of each line is the file's own word.
pub fn list() -> String {
    let about = |(name, text): &(&str, &str)| {
        let scenario = Scenario::parse(name, name, text).ok();
        format!("{name:<12}{}\n", scenario.map(|scenario| scenario.about).unwrap_or_default())
    };
    SHIPPED.iter().map(about).collect::<String>() + &format!("{:<12}{}\n", "drill", crate::demo::drill::ABOUT)
}
