//! StatefulSets: pods replaced one by one from the highest ordinal down, by the controller every cluster has.
//!
//! The partition is all the steering there is: pods from it up get the wanted version, those below keep theirs. So the
//! steps are pods, and promote, set weight, pause and resume are that one number. The way back is a roll as well.
//!
//! The StatefulSet alone is enough for a line in the fleet; ControllerRevisions and pods, when at hand, say which pod
//! holds it up.

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
        workload::{
            autoscaler, bare, containers, owner,
            revision::{self, Revision},
            rewrite::TEMPLATE,
            template,
        },
    },
    intent::{Intent, Verb},
    model::{EngineKind, Rollout, Strategy, Subject, Surge, Text, Time},
    object::{Object, Objects, Selection, kinds},
};
use facts::Facts;

/// The engine of `apps/v1` StatefulSets that nobody else drives.
#[derive(Debug, Clone, Copy, Default)]
pub struct StatefulSet;

pub static STATEFUL_SET: StatefulSet = StatefulSet;

static DESCRIPTOR: Descriptor = Descriptor {
    kind: EngineKind::StatefulSet,
    is_controlled: false,
    roots: &[&kinds::STATEFUL_SET],
    around: &[],
    details: &[&kinds::CONTROLLER_REVISION, &kinds::AUTOSCALER],
    verbs: &[
        Verb::Promote,
        Verb::PromoteFull,
        Verb::SetWeight,
        Verb::Pause,
        Verb::Resume,
        Verb::Abort,
        Verb::Undo,
        Verb::Restart,
        Verb::SetImage,
        Verb::Scale,
    ],
    writes: &[Right::patch(&kinds::STATEFUL_SET)],
    managers: &[Manager::Named("kube-controller-manager")],
};

impl Engine for StatefulSet {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    /// One that a controller owns is that controller's to show.
    fn parts(&self, root: &Object, _: &Objects) -> Option<Vec<Part>> {
        root.meta.owner.is_none().then(Vec::new)
    }

    fn selections(&self, root: &Object, _: &Objects) -> Vec<Selection> {
        let Ok(set) = root.read::<dto::StatefulSet>() else { return Vec::new() };
        revision::selections(root, &set.spec.selector).into_iter().chain([autoscaler::selection(root)]).collect()
    }

    fn normalise(&self, context: &str, root: &Object, objects: &Objects) -> Rollout {
        match Facts::read(root, objects) {
            Ok(f) => model(context, &f),
            Err(error) => bare::unreadable(EngineKind::StatefulSet, context, root, &error),
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
        root.value().pointer(TEMPLATE).map(containers::all).unwrap_or_default()
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
        unobserved: !f.observed(),
        replicas: f.replicas(),
        tracks: tracks::tracks(f),
        steps: tracks::steps(f),
        wait: status::wait(f),
        next: status::next(f),
        way_back: status::way_back(f),
        notices: notices::notices(f),
        surge: (!f.on_delete()).then(|| Surge { more: 0, fewer: f.away(), of: f.replicas() }),
        owner: owner::owner(f.root, &f.set.metadata),
        detailed: !f.kept.is_empty(),
        // Its two versions are one workload to a mesh: they are told apart only by pod.
        subject: Subject {
            stable_workload: Some(f.root.meta.name.clone()),
            canary_workload: Some(f.root.meta.name.clone()),
            ..Subject::default()
        },
        ..bare::rollout(EngineKind::StatefulSet, context, f.root)
    }
}

/// The wanted template against that of the version before.
fn diff(f: &Facts<'_>) -> Vec<Change> {
    let new = f.root.value().pointer(TEMPLATE).cloned();
    template::between(f.previous().and_then(Revision::template), new)
}
