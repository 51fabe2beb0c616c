//! OpenKruise Rollouts: batches and weights over an existing workload, by a controller of their own.
//!
//! The Rollout stands beside its Deployment or StatefulSet, which is a part of it here, and has the steps; the workload
//! has the template. So a release begins and is taken back on the workload, and is promoted on the Rollout's status.
//!
//! What it does and how it is approved is as OpenKruise Rollouts 0.6.1 (`v1beta1`) does it: its source read, its work recorded.

pub mod dto;
pub mod facts;
pub mod law;
pub mod picture;
pub mod plan;
pub mod progress;
pub mod status;

use crate::{
    engine::{
        Change, Descriptor, Engine, Goal, Manager, Part, Plan, Progress, Refusal, Right,
        workload::{bare, containers, owner, rewrite::TEMPLATE, selector, template},
    },
    intent::{Intent, Verb},
    model::{EngineKind, Rollout, Strategy, Text, Time},
    object::{Object, Objects, Resource, Selection, kinds},
};
use facts::Facts;

/// Argo's kind is called the same, in another group.
pub static ROLLOUT: Resource = Resource::new("rollouts.kruise.io", "v1beta1", "Rollout", "rollouts");

/// The engine of OpenKruise's Rollouts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kruise;

pub static KRUISE: Kruise = Kruise;

static DESCRIPTOR: Descriptor = Descriptor {
    kind: EngineKind::Kruise,
    is_controlled: true,
    roots: &[&ROLLOUT],
    around: &[&kinds::DEPLOYMENT, &kinds::STATEFUL_SET],
    details: &[],
    verbs: &[Verb::Promote, Verb::PromoteFull, Verb::Skip, Verb::Pause, Verb::Resume, Verb::Abort, Verb::SetImage],
    writes: &[Right::patch(&ROLLOUT), Right::patch_status(&ROLLOUT), Right::patch(&kinds::DEPLOYMENT), Right::patch(&kinds::STATEFUL_SET)],
    // Its image calls the program `manager`.
    managers: &[Manager::Named("kruise-rollout"), Manager::Books("manager")],
};

impl Engine for Kruise {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    /// Its workload. The Deployment it makes for a canary has an owner, and is nobody's rollout for that.
    fn parts(&self, root: &Object, _: &Objects) -> Option<Vec<Part>> {
        let reference = root.read::<dto::Rollout>().map(|ro| ro.spec.workload_ref).unwrap_or_default();
        let part = facts::kind_of(&reference).map(|resource| Part { resource, name: reference.name.as_str().into() });
        Some(part.into_iter().collect())
    }

    fn selections(&self, root: &Object, objects: &Objects) -> Vec<Selection> {
        Facts::read(root, objects).map(|f| selections(&f)).unwrap_or_default()
    }

    fn normalise(&self, context: &str, root: &Object, objects: &Objects) -> Rollout {
        match Facts::read(root, objects) {
            Ok(f) => model(context, &f),
            Err(error) => bare::unreadable(EngineKind::Kruise, context, root, &error),
        }
    }

    fn draw_up(&self, rollout: &Rollout, root: &Object, objects: &Objects, intent: &Intent, _: Time) -> Result<Plan, Refusal> {
        let f = Facts::read(root, objects).map_err(Refusal::misread)?;
        plan::plan(&f, rollout, intent)
    }

    fn progress(&self, goal: &Goal, _: &Rollout, root: &Object, objects: &Objects) -> Progress {
        Facts::read(root, objects).map_or(Progress::Nothing, |f| progress::progress(&f, goal))
    }

    fn containers(&self, _: &Rollout, root: &Object, objects: &Objects) -> Vec<(Text, Text)> {
        let of = |f: &Facts<'_>| f.workload.as_ref()?.0.value().pointer(TEMPLATE).map(containers::all);
        Facts::read(root, objects).ok().and_then(|f| of(&f)).unwrap_or_default()
    }

    fn diff(&self, _: &Rollout, root: &Object, objects: &Objects) -> Vec<Change> {
        Facts::read(root, objects).map(|f| diff(&f)).unwrap_or_default()
    }
}

fn model(context: &str, f: &Facts<'_>) -> Rollout {
    Rollout {
        strategy: if f.is_blue_green() { Strategy::BlueGreen } else { Strategy::Canary },
        router: picture::router(f),
        phase: status::phase(f),
        phase_detail: status::detail(f),
        unobserved: !f.observed(),
        replicas: f.replicas(),
        tracks: picture::tracks(f),
        steps: picture::steps(f),
        wait: status::wait(f),
        next: status::next(f),
        way_back: status::way_back(f),
        notices: picture::notices(f),
        owner: owner::owner(f.root, &f.ro.metadata),
        subject: picture::subject(f),
        detailed: f.is_detailed(),
        ..bare::rollout(EngineKind::Kruise, context, f.root)
    }
}

/// Asked once, when it is opened: with a workload that is read a moment later, all there is must do. Owners sort it out.
fn selections(f: &Facts<'_>) -> Vec<Selection> {
    let namespace = &*f.root.meta.namespace;
    let labels = f.workload.as_ref().map(|(_, w)| selector::terms(&w.spec.selector).join(","));
    let of = |kind| match &labels {
        Some(labels) => Selection::labelled(kind, namespace, labels),
        None => Selection { optional: false, ..Selection::all(kind, namespace) },
    };
    vec![Selection::events(f.root), of(&kinds::REPLICA_SET), of(&kinds::POD)]
}

/// The wanted template against the stable one's.
fn diff(f: &Facts<'_>) -> Vec<Change> {
    let new = f.workload.as_ref().and_then(|(o, _)| o.value().pointer(TEMPLATE).cloned());
    template::between(f.set(f.stable()).and_then(facts::Set::template), new)
}
