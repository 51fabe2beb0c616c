//! The controllers of the embedded cluster. Each behaves as the real one of its name: the same objects in the same
//! order, the same conditions, reasons and messages, the same events.

use super::{sim::Controller, store::Store};
use crate::model::Time;

pub mod analysis;
pub mod argo;
pub mod daemon_set;
pub mod deployment;
pub mod disruption;
pub mod endpoints;
pub mod events;
pub mod experiment;
pub mod flagger;
pub mod garbage;
#[cfg(test)]
mod harness;
pub mod knative;
pub mod kruise;
pub mod kserve;
pub mod kubelet;
pub mod namespace;
pub mod objects;
pub mod orphans;
pub mod pods;
pub mod replica_set;
pub mod revisions;
pub mod stateful_set;

/// All controllers, to be given to [`Sim::new`](super::sim::Sim::new).
pub fn all() -> Vec<Box<dyn Controller>> {
    vec![
        Box::new(events::Expiry),
        Box::<deployment::Deployments>::default(),
        Box::<replica_set::ReplicaSets>::default(),
        Box::<stateful_set::StatefulSets>::default(),
        Box::<daemon_set::DaemonSets>::default(),
        Box::<kubelet::Kubelet>::default(),
        Box::<endpoints::Endpoints>::default(),
        Box::<argo::Rollouts>::default(),
        Box::<analysis::AnalysisRuns>::default(),
        Box::new(experiment::Experiments),
        Box::<flagger::Canaries>::default(),
        Box::<kruise::Rollouts>::default(),
        Box::<knative::Knative>::default(),
        Box::new(kserve::InferenceServices),
        Box::new(disruption::Disruptions),
        Box::new(garbage::Garbage),
        Box::new(namespace::Namespaces),
    ]
}

/// What a cluster has before anybody asks for anything: namespaces and nodes.
pub fn bootstrap(store: &mut Store, now: Time) {
    namespace::create_namespaces(store, now);
    kubelet::create_nodes(store, now);
}
