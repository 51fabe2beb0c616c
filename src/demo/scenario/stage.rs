//! Puts a scenario into a simulation and lets its past happen, so that what opens is a cluster people have lived in.
//!
//! The past is not made up object by object: the same controllers play the same releases, days ago. Only traffic is
//! spared them: it begins with the prehistory.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::Value;

use super::{
    Kind, Kinds, Scenario, Verb, Version, Workload,
    acts::{DEPLOYMENTS, Hand, REPLICA_SETS, ROLLOUTS},
    manifests,
};
use crate::{
    demo::{
        api::{crd, rights},
        controllers,
        refusal::Refusal,
        registry::{self, Write},
        sim::Sim,
        store::Key,
        traffic::Load,
        workloads::Workloads,
    },
    model::Time,
};

/// The cluster is older than its oldest release.
const BEFORE: Duration = Duration::from_secs(3_600);

/// From a new template to the moment the controller has seen it.
const SEEN: TimeDelta = TimeDelta::seconds(1);

/// Field manager of what `kubectl apply` writes.
const APPLIED: &str = "kubectl-client-side-apply";

/// When the simulation of a scenario must begin.
pub fn beginning(scenario: &Scenario, opening: Time) -> Time {
    let ages = scenario.workloads.iter().flat_map(|workload| &workload.history).map(|past| past.age);
    let oldest = ages.max().unwrap_or_default().max(scenario.prehistory);
    opening - span(oldest + BEFORE)
}

/// Fills an empty simulation that stands at its [`beginning`], and runs it to the opening.
/// `prometheus` is the address that analyses will name.
pub fn stage(sim: &mut Sim, scenario: &Scenario, opening: Time, prometheus: &str) {
    let now = sim.now();
    prepare(sim, scenario);
    sim.workloads.open_at(opening);
    controllers::bootstrap(&mut sim.store, now);
    controllers::kubelet::add_nodes(&mut sim.store, usize::try_from(scenario.nodes).unwrap_or_default(), now);
    if let Kinds::With(others) = &scenario.kinds {
        crd::install(sim, now);
        crd::install_others(sim, others, now);
    }
    rights::install(sim, now);
    manifests::namespaces(scenario).iter().for_each(|name| controllers::namespace::create_namespace(&mut sim.store, name, now));
    manifests::templates(scenario, prometheus).iter().for_each(|object| create(sim, object, APPLIED));
    for deed in past(scenario, opening) {
        sim.run_until(deed.at);
        play(sim, &deed);
    }
    let prehistory = opening - span(scenario.prehistory);
    sim.run_until(prehistory.max(now));
    scenario.manifests.iter().for_each(|object| create(sim, object, APPLIED));
    scenario.workloads.iter().for_each(|workload| sim.workloads.set_load(&workload.path(), workload.load));
    sim.run_until(opening);
    // Nobody can ask for what was before anybody looked.
    sim.store.compact();
}

/// Behaviour of all versions; nobody calls yet.
fn prepare(sim: &mut Sim, scenario: &Scenario) {
    for workload in &scenario.workloads {
        let path = workload.path();
        sim.workloads.set_load(&path, Load { rps: 0.0, ..workload.load });
        workload.versions.iter().for_each(|(tag, version)| behave(&mut sim.workloads, &path, tag, version));
    }
}

/// A version behaves like this from now on.
pub fn behave(workloads: &mut Workloads, workload: &str, tag: &str, version: &Version) {
    workloads.set_profile(workload, tag, version.profile);
    // Where two Deployments stand for a workload, their pods fare alike.
    for end in ["", "-blue", "-green", "-canary"] {
        workloads.set_pods(&format!("{workload}{end}"), tag, version.pods);
    }
    workloads.set_gauges(workload, tag, version.gauges.clone());
}

/// Something that was done to a workload.
struct Deed<'a> {
    at: Time,
    workload: &'a Workload,
    what: What<'a>,
}

enum What<'a> {
    Create,
    /// The first release after the creation numbers the revision before it.
    Release {
        tag: &'a str,
        first: bool,
    },
    /// Whoever promoted it then is not of interest now: straight through.
    Promote,
}

/// All that was done, in its order.
fn past(scenario: &Scenario, opening: Time) -> Vec<Deed<'_>> {
    let mut deeds = Vec::new();
    for workload in &scenario.workloads {
        for (number, past) in workload.history.iter().enumerate() {
            let at = opening - span(past.age);
            let deed = |after, what| Deed { at: at + after, workload, what };
            if number == 0 {
                deeds.push(deed(TimeDelta::zero(), What::Create));
                continue;
            }
            deeds.push(deed(TimeDelta::zero(), What::Release { tag: &past.version, first: number == 1 }));
            if workload.kind.is_rollout() {
                deeds.push(deed(SEEN, What::Promote));
            }
        }
    }
    deeds.sort_by_key(|deed| deed.at);
    deeds
}

fn play(sim: &mut Sim, deed: &Deed<'_>) {
    let workload = deed.workload;
    let by = manifests::applied_by(workload);
    let path = workload.path();
    match deed.what {
        What::Create => manifests::workload(workload).iter().for_each(|object| create(sim, object, by)),
        What::Release { tag, first } => {
            if first {
                renumber(sim, workload);
            }
            released(&mut hand(sim, by), workload, tag);
        }
        What::Promote => told(hand(sim, "ci").act(&path, Verb::PromoteFull)),
    }
}

/// A release of the past, all the way.
fn released(hand: &mut Hand<'_>, workload: &Workload, tag: &str) {
    let path = workload.path();
    let image = |_: &str| workload.image_of(tag);
    match workload.kind {
        Kind::Service => {
            let Some(idle) = hand.idle(&path) else { return };
            told(hand.release(&idle, image, workload.replicas));
            told(hand.act(&path, Verb::Flip));
            // Nobody needs the old side any more.
            let idle = hand.idle(&path).unwrap_or_default();
            told(hand.change(&idle, |spec| spec["replicas"] = 0.into()));
        }
        Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::Split => told(hand.release(&path, image, workload.replicas)),
        Kind::Canary | Kind::BlueGreen | Kind::Manifest => told(hand.set_image(&path, image)),
    }
}

/// Gives the first revision its number: the controllers count on from there.
fn renumber(sim: &mut Sim, workload: &Workload) {
    let (kind, annotation) = match workload.kind {
        Kind::Canary | Kind::BlueGreen => (ROLLOUTS, "rollout.argoproj.io/revision"),
        Kind::Deployment => (DEPLOYMENTS, "deployment.kubernetes.io/revision"),
        _ => return,
    };
    if workload.revision <= 1 {
        return;
    }
    let key = Key::new(kind, &workload.namespace, &workload.name);
    let Some(uid) = sim.store.get(&key).map(|rollout| rollout.uid.clone()) else { return };
    let sets: Vec<Key> = sim.store.owned(REPLICA_SETS, &uid).map(|set| set.key.clone()).collect();
    for key in sets.iter().chain([&key]) {
        change(sim, key, "rollouts-controller", |object| {
            object["metadata"]["annotations"][annotation] = workload.revision.to_string().into()
        });
    }
}

fn change(sim: &mut Sim, key: &Key, by: &str, edit: impl FnOnce(&mut Value)) {
    let Some(mut object) = sim.store.get(key).map(|object| object.value()) else { return };
    edit(&mut object);
    let write = Write::new(sim.now(), by);
    told(registry::update(&mut sim.store, &key.kind, object, write).map(drop));
}

fn create(sim: &mut Sim, object: &Value, by: &str) {
    told(hand(sim, by).create(object));
}

fn hand<'a>(sim: &'a mut Sim, by: &'a str) -> Hand<'a> {
    let now = sim.now();
    Hand { store: &mut sim.store, now, by }
}

/// A scenario may well hold what an API server refuses.
fn told(result: Result<(), Refusal>) {
    if let Err(refusal) = result {
        tracing::warn!(%refusal.message, "refused while the scenario was put up");
    }
}

fn span(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or_default()
}
