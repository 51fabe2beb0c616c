//! Plain Deployments: rolling updates by the controller every cluster has.
//!
//! There are no steps and no router: pods are replaced one after the other, and who gets the new version follows from
//! how many of them are ready. The way back is a roll in the other direction.
//!
//! The Deployment alone is enough for a line in the fleet; ReplicaSets and pods, when at hand, sharpen every number.

pub mod dto;
pub mod facts;
pub mod law;
pub mod notices;
pub mod plan;
pub mod progress;
pub mod status;
pub mod tracks;

use crate::{
    engine::{
        Change, Descriptor, Engine, Goal, Manager, Part, Plan, Progress, Refusal, Right,
        workload::{autoscaler, bare, containers, owner, selector, template},
    },
    intent::{Intent, Verb},
    model::{EngineKind, Rollout, Strategy, Subject, Text, Time},
    object::{Object, Objects, Selection, kinds},
};
use facts::{Facts, HASH_LABEL};

/// The engine of `apps/v1` Deployments that nobody else drives.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deployment;

pub static DEPLOYMENT: Deployment = Deployment;

static DESCRIPTOR: Descriptor = Descriptor {
    kind: EngineKind::Deployment,
    is_controlled: false,
    roots: &[&kinds::DEPLOYMENT],
    around: &[],
    details: &[&kinds::AUTOSCALER],
    verbs: &[Verb::Pause, Verb::Resume, Verb::Abort, Verb::Undo, Verb::Restart, Verb::SetImage, Verb::Scale],
    writes: &[Right::patch(&kinds::DEPLOYMENT)],
    managers: &[Manager::Named("kube-controller-manager")],
};

impl Engine for Deployment {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    /// One that a controller owns is that controller's to show.
    fn parts(&self, root: &Object, _: &Objects) -> Option<Vec<Part>> {
        root.meta.owner.is_none().then(Vec::new)
    }

    fn selections(&self, root: &Object, _: &Objects) -> Vec<Selection> {
        let nothing = Objects::default();
        Facts::read(root, &nothing).map(|f| selections(&f)).unwrap_or_default()
    }

    fn normalise(&self, context: &str, root: &Object, objects: &Objects) -> Rollout {
        match Facts::read(root, objects) {
            Ok(f) => model(context, &f),
            Err(error) => bare::unreadable(EngineKind::Deployment, context, root, &error),
        }
    }

    fn draw_up(&self, rollout: &Rollout, root: &Object, objects: &Objects, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
        let f = Facts::read(root, objects).map_err(Refusal::misread)?;
        plan::plan(&f, rollout, intent, now)
    }

    fn progress(&self, goal: &Goal, _: &Rollout, root: &Object, objects: &Objects) -> Progress {
        Facts::read(root, objects).map_or(Progress::Nothing, |f| progress::progress(&f, goal))
    }

    fn containers(&self, _: &Rollout, root: &Object, _: &Objects) -> Vec<(Text, Text)> {
        root.value().pointer("/spec/template").map(containers::all).unwrap_or_default()
    }

    fn revisions(&self, _: &Rollout, root: &Object, objects: &Objects) -> Vec<(Text, Text)> {
        Facts::read(root, objects).map(|f| tracks::revisions(&f)).unwrap_or_default()
    }

    fn diff(&self, _: &Rollout, root: &Object, objects: &Objects) -> Vec<Change> {
        Facts::read(root, objects).map(|f| diff(&f)).unwrap_or_default()
    }
}

fn model(context: &str, f: &Facts<'_>) -> Rollout {
    Rollout {
        strategy: Strategy::Rolling,
        phase: status::phase(f),
        phase_detail: status::detail(f),
        started: tracks::started(f),
        unobserved: !f.recognised(),
        replicas: f.replicas(),
        tracks: tracks::tracks(f),
        wait: status::wait(f),
        next: status::next(f),
        way_back: status::way_back(f),
        notices: notices::notices(f),
        surge: (!f.recreates()).then(|| f.surge()),
        owner: owner::owner(f.root, &f.dep.metadata),
        detailed: !f.sets.is_empty(),
        // Its two versions are one workload to a mesh: they are told apart only by pod.
        subject: Subject {
            stable_workload: Some(f.root.meta.name.clone()),
            canary_workload: Some(f.root.meta.name.clone()),
            ..Subject::default()
        },
        ..bare::rollout(EngineKind::Deployment, context, f.root)
    }
}

fn selections(f: &Facts<'_>) -> Vec<Selection> {
    let mut terms = selector::terms(&f.dep.spec.selector);
    terms.push(HASH_LABEL.into());
    let by_labels = |kind| Selection::labelled(kind, &*f.root.meta.namespace, terms.join(","));
    vec![by_labels(&kinds::REPLICA_SET), by_labels(&kinds::POD), autoscaler::selection(f.root), Selection::events(f.root)]
}

/// The wanted template against that of the version before.
fn diff(f: &Facts<'_>) -> Vec<Change> {
    let new = f.root.value().pointer("/spec/template").cloned();
    template::between(f.previous().and_then(facts::Set::template), new)
}
