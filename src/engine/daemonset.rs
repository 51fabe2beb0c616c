//! DaemonSets: one pod on every node, replaced node by node by the controller every cluster has.
//!
//! There are no steps and no router: every node's users get what their node runs. The update strategy is all the
//! steering there is, and the way back is a roll in the other direction.
//!
//! The DaemonSet alone is enough for a line in the fleet; ControllerRevisions and pods, when at hand, say which version
//! is where.

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
            bare, containers, owner,
            revision::{self, Revision},
            rewrite::TEMPLATE,
            template,
        },
    },
    intent::{Intent, Verb},
    model::{EngineKind, Rollout, Strategy, Subject, Text, Time},
    object::{Object, Objects, Selection, kinds},
};
use facts::Facts;

/// The engine of `apps/v1` DaemonSets that nobody else drives.
#[derive(Debug, Clone, Copy, Default)]
pub struct DaemonSet;

pub static DAEMON_SET: DaemonSet = DaemonSet;

static DESCRIPTOR: Descriptor = Descriptor {
    kind: EngineKind::DaemonSet,
    is_controlled: false,
    roots: &[&kinds::DAEMON_SET],
    around: &[],
    details: &[&kinds::CONTROLLER_REVISION],
    verbs: &[Verb::Pause, Verb::Resume, Verb::Abort, Verb::Undo, Verb::Restart, Verb::SetImage],
    writes: &[Right::patch(&kinds::DAEMON_SET)],
    managers: &[Manager::Named("kube-controller-manager")],
};

impl Engine for DaemonSet {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    /// One that a controller owns is that controller's to show.
    fn parts(&self, root: &Object, _: &Objects) -> Option<Vec<Part>> {
        root.meta.owner.is_none().then(Vec::new)
    }

    fn selections(&self, root: &Object, _: &Objects) -> Vec<Selection> {
        root.read::<dto::DaemonSet>().map(|set| revision::selections(root, &set.spec.selector)).unwrap_or_default()
    }

    fn normalise(&self, context: &str, root: &Object, objects: &Objects) -> Rollout {
        match Facts::read(root, objects) {
            Ok(f) => model(context, &f),
            Err(error) => bare::unreadable(EngineKind::DaemonSet, context, root, &error),
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
        replicas: f.nodes(),
        tracks: tracks::tracks(f),
        wait: status::wait(f),
        next: status::next(f),
        way_back: status::way_back(f),
        notices: notices::notices(f),
        surge: (!f.on_delete()).then(|| f.surge()),
        owner: owner::owner(f.root, &f.set.metadata),
        detailed: !f.kept.is_empty(),
        // Its two versions are one workload to a mesh: they are told apart only by pod.
        subject: Subject {
            stable_workload: Some(f.root.meta.name.clone()),
            canary_workload: Some(f.root.meta.name.clone()),
            ..Subject::default()
        },
        ..bare::rollout(EngineKind::DaemonSet, context, f.root)
    }
}

/// The wanted template against that of the version before.
fn diff(f: &Facts<'_>) -> Vec<Change> {
    let new = f.root.value().pointer(TEMPLATE).cloned();
    template::between(f.previous().and_then(Revision::template), new)
}
