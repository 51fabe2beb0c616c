//! Two Deployments behind one Service: the share of a version is its part of the ready pods.
//!
//! ```text
//!  Service, Deployments ─▶ detect (Pair) ─▶ picture ─▶ Rollout
//!                                        └▶ plan (counts) ─▶ Plan | Refusal
//! ```
//! Which shares there are follows from the number of pods: of four a quarter is the least. Balancing goes by connection,
//! so the share of requests is about that of the pods and no more.

pub mod counts;
pub mod detect;
pub mod picture;
pub mod plan;

use crate::{
    engine::{
        Change, Descriptor, Engine, Goal, Manager, Part, Plan, Progress, Refusal, Right,
        workload::{autoscaler, bare, containers, owner, template},
    },
    intent::{Intent, Verb},
    model::{EngineKind, Rollout, Strategy, Subject, Text, Time},
    object::{Object, Objects, Selection, kinds},
};
use detect::Pair;

/// The engine of Services in front of two Deployments at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ratio;

pub static RATIO: Ratio = Ratio;

static DESCRIPTOR: Descriptor = Descriptor {
    kind: EngineKind::Ratio,
    is_controlled: false,
    roots: &[&kinds::SERVICE],
    around: &[&kinds::DEPLOYMENT],
    details: &[&kinds::AUTOSCALER],
    verbs: &[Verb::Promote, Verb::PromoteFull, Verb::SetWeight, Verb::Abort, Verb::Pause, Verb::Resume],
    writes: &[Right::patch(&kinds::SERVICE), Right::patch(&kinds::DEPLOYMENT)],
    managers: &[Manager::Named("kube-controller-manager")],
};

impl Engine for Ratio {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    /// Both Deployments, and other Services in front of the same two.
    fn parts(&self, root: &Object, objects: &Objects) -> Option<Vec<Part>> {
        let pair = detect::pair(root, objects)?;
        let part = |object: &Object| Part { resource: object.resource, name: object.meta.name.clone() };
        let sides = pair.sides().into_iter().flat_map(|side| side.workloads.iter().map(|w| part(w.object())));
        Some(sides.chain(detect::siblings(root, &pair, objects).map(part)).collect())
    }

    fn selections(&self, root: &Object, objects: &Objects) -> Vec<Selection> {
        detect::pair(root, objects).map(|pair| selections(root, &pair)).unwrap_or_default()
    }

    fn normalise(&self, context: &str, root: &Object, objects: &Objects) -> Rollout {
        match detect::pair(root, objects) {
            Some(pair) => model(context, root, objects, &pair),
            None => bare::unreadable(EngineKind::Ratio, context, root, NO_PAIR),
        }
    }

    fn draw_up(&self, rollout: &Rollout, root: &Object, objects: &Objects, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
        let pair = detect::pair(root, objects).ok_or_else(|| Refusal::because(NO_PAIR))?;
        plan::plan(&plan::Ask { root, objects, pair: &pair, rollout, intent, now })
    }

    fn progress(&self, goal: &Goal, _: &Rollout, root: &Object, objects: &Objects) -> Progress {
        detect::pair(root, objects).map_or(Progress::Nothing, |pair| progress(&pair, goal))
    }

    /// Those of the new side.
    fn containers(&self, _: &Rollout, root: &Object, objects: &Objects) -> Vec<(Text, Text)> {
        let new = detect::pair(root, objects).and_then(|pair| pair.new.template());
        new.map(|t| containers::all(&t)).unwrap_or_default()
    }

    fn diff(&self, _: &Rollout, root: &Object, objects: &Objects) -> Vec<Change> {
        let pair = detect::pair(root, objects);
        pair.map(|p| template::between(p.old.template(), p.new.template())).unwrap_or_default()
    }
}

const NO_PAIR: &str = "it does not stand in front of two Deployments";

fn model(context: &str, root: &Object, objects: &Objects, pair: &Pair<'_>) -> Rollout {
    let (phase, detail) = picture::phase(pair);
    let tracks = picture::tracks(pair, objects);
    let stages = detect::stages(root, objects);
    Rollout {
        strategy: Strategy::Canary,
        phase,
        phase_detail: detail.into(),
        started: pair.mark().and_then(|m| m.since).filter(|_| pair.in_flight()),
        unobserved: pair.sides().into_iter().any(|s| s.workloads.iter().any(|w| w.0.unobserved())),
        replicas: pair.wanted(),
        detailed: tracks.iter().any(|t| !t.pods.is_empty()),
        tracks,
        steps: picture::steps(pair, stages),
        wait: picture::wait(pair, phase),
        next: picture::next(pair, stages),
        way_back: picture::way_back(pair),
        notices: picture::notices(root, objects, pair),
        owner: owner::owner(root, &pair.metadata),
        subject: subject(root, pair),
        ..bare::rollout(EngineKind::Ratio, context, root)
    }
}

/// One Service for both: only the workloads tell their requests apart.
fn subject(root: &Object, pair: &Pair<'_>) -> Subject {
    Subject {
        stable_service: Some(root.meta.name.clone()),
        stable_workload: Some(pair.old.name().into()),
        canary_workload: Some(pair.new.name().into()),
        ..Subject::default()
    }
}

fn selections(root: &Object, pair: &Pair<'_>) -> Vec<Selection> {
    let labels: Vec<String> = pair.selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let both = [&kinds::REPLICA_SET, &kinds::POD].map(|kind| Selection::labelled(kind, &*root.meta.namespace, labels.join(",")));
    both.into_iter().chain([Selection::events(root), autoscaler::selection(root)]).collect()
}

/// Done when the pods are there: wanting them moves nobody.
fn progress(pair: &Pair<'_>, goal: &Goal) -> Progress {
    match goal {
        Goal::Scaled { name, from, to } if **name == *pair.new.name() => match pair.new.wanted() {
            wanted if wanted == *to && pair.new.ready() == *to && pair.old.existing() == pair.old.wanted() => Progress::Done,
            wanted if wanted == *to => Progress::Observed,
            wanted if wanted == *from => Progress::Nothing,
            wanted => Progress::Diverted(format!("somebody scaled {name} to {wanted} meanwhile").into()),
        },
        Goal::Paused if pair.mark().is_some_and(|m| m.paused.is_some()) => Progress::Done,
        Goal::Resumed if pair.mark().is_some_and(|m| m.paused.is_none()) => Progress::Done,
        _ => Progress::Nothing,
    }
}
