//! Blue-green by Service selector: two Deployments, and one label in a selector that decides who serves.
//!
//! ```text
//!  Service, Deployments ─▶ detect (Pair) ─▶ version (which is new) ─▶ Facts ─┬▶ picture ─▶ Rollout
//!                                                                           └▶ plan ─▶ Plan | Refusal
//! ```
//! No controller stands behind it: nothing moves unless somebody flips. The side that users have left is kept for ten
//! minutes, or as long as the Service's `rolltop.dev/soak` says, before it may go without a second thought.

pub mod detect;
pub mod dto;
pub mod facts;
mod health;
pub mod idle;
pub mod picture;
pub mod plan;
pub mod version;

use crate::{
    engine::{
        Change, Descriptor, Engine, Goal, Manager, Part, Plan, Probe, Progress, Refusal, Right,
        workload::{autoscaler, bare, owner, template},
    },
    intent::{Intent, Verb},
    model::{EngineKind, Notice, Rollout, Severity, Strategy, Subject, Text, Time},
    object::{Object, Objects, Selection, kinds},
};
use facts::Facts;

/// The engine of Services that decide between two Deployments.
#[derive(Debug, Clone, Copy, Default)]
pub struct BlueGreen;

pub static BLUE_GREEN: BlueGreen = BlueGreen;

static DESCRIPTOR: Descriptor = Descriptor {
    kind: EngineKind::BlueGreen,
    is_controlled: false,
    roots: &[&kinds::SERVICE],
    around: &[&kinds::DEPLOYMENT],
    details: &[&kinds::AUTOSCALER],
    verbs: &[Verb::Flip, Verb::Promote, Verb::Abort, Verb::ScaleDown, Verb::Scale, Verb::SetImage, Verb::Restart],
    writes: &[Right::patch(&kinds::SERVICE), Right::patch(&kinds::DEPLOYMENT), Right::ask(&kinds::POD)],
    managers: &[Manager::Named("kube-controller-manager")],
};

impl Engine for BlueGreen {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn parts(&self, root: &Object, objects: &Objects) -> Option<Vec<Part>> {
        let pair = detect::decides(root, objects)?;
        let part = |side: &detect::Side<'_>| Part { resource: &kinds::DEPLOYMENT, name: side.name().clone() };
        Some(vec![part(&pair.live), part(&pair.idle)])
    }

    fn selections(&self, root: &Object, objects: &Objects) -> Vec<Selection> {
        Facts::read(root, objects).map(|f| selections(&f)).unwrap_or_default()
    }

    fn normalise(&self, context: &str, root: &Object, objects: &Objects) -> Rollout {
        match Facts::read(root, objects) {
            Ok(f) => model(context, &f),
            Err(error) => unreadable(context, root, &error),
        }
    }

    fn draw_up(&self, rollout: &Rollout, root: &Object, objects: &Objects, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
        let f = Facts::read(root, objects).map_err(Refusal::because)?;
        plan::plan(&f, rollout, intent, now)
    }

    fn probes(&self, _: &Rollout, root: &Object, objects: &Objects, intent: &Intent) -> Vec<Probe> {
        let sends_users = matches!(intent, Intent::Flip | Intent::Promote | Intent::Abort);
        let facts = Facts::read(root, objects).ok().filter(|_| sends_users);
        facts.map(|f| health::probes(&f)).unwrap_or_default()
    }

    fn progress(&self, goal: &Goal, _: &Rollout, root: &Object, objects: &Objects) -> Progress {
        Facts::read(root, objects).map_or(Progress::Nothing, |f| progress(&f, goal))
    }

    /// Those of the side without users: that is where a new version goes.
    fn containers(&self, _: &Rollout, root: &Object, objects: &Objects) -> Vec<(Text, Text)> {
        Facts::read(root, objects).map(|f| plan::containers(f.idle())).unwrap_or_default()
    }

    fn diff(&self, _: &Rollout, root: &Object, objects: &Objects) -> Vec<Change> {
        Facts::read(root, objects).map(|f| diff(&f)).unwrap_or_default()
    }
}

fn model(context: &str, f: &Facts<'_>) -> Rollout {
    let (phase, words) = picture::phase(f);
    let tracks = picture::tracks(f);
    Rollout {
        strategy: Strategy::BlueGreen,
        router: Some("service".into()),
        phase,
        phase_detail: words.into(),
        started: if f.in_flight() { version::rolled_out(f.idle()) } else { None },
        // A flip asks nothing of the controller of Deployments: it must not wait for one that looks away.
        unobserved: false,
        replicas: f.live().wanted(),
        detailed: tracks.iter().any(|t| !t.pods.is_empty()),
        tracks,
        steps: picture::steps(f),
        wait: picture::wait(f, phase),
        next: picture::next(f),
        way_back: picture::way_back(f),
        notices: picture::notices(f),
        owner: owner::owner(f.root, &f.pair.service.metadata),
        subject: subject(f),
        ..bare::rollout(EngineKind::BlueGreen, context, f.root)
    }
}

/// Both sides answer for one Service: their Deployments tell them apart.
fn subject(f: &Facts<'_>) -> Subject {
    Subject {
        stable_service: Some(f.root.meta.name.clone()),
        stable_workload: Some(f.live().name().clone()),
        canary_workload: Some(f.idle().name().clone()),
        ..Subject::default()
    }
}

/// A Service that has just lost a side is still a line on the screen until the next survey.
fn unreadable(context: &str, root: &Object, error: &str) -> Rollout {
    Rollout {
        strategy: Strategy::BlueGreen,
        phase_detail: error.into(),
        notices: vec![Notice { severity: Severity::Warning, text: error.into() }],
        ..bare::rollout(EngineKind::BlueGreen, context, root)
    }
}

/// ReplicaSets and pods of both sides, by what their labels have in common.
fn selections(f: &Facts<'_>) -> Vec<Selection> {
    let selector = &f.pair.service.spec.selector.0;
    let mut terms: Vec<String> = selector.iter().filter(|(k, _)| **k != f.pair.key).map(|(k, v)| format!("{k}={v}")).collect();
    terms.push(format!("{} in ({},{})", f.pair.key, f.live().value, f.idle().value));
    let labels = terms.join(",");
    let both = [&kinds::REPLICA_SET, &kinds::POD].map(|kind| Selection::labelled(kind, &*f.root.meta.namespace, &labels));
    both.into_iter().chain([Selection::events(f.root), autoscaler::selection(f.root)]).collect()
}

fn progress(f: &Facts<'_>, goal: &Goal) -> Progress {
    match goal {
        Goal::Active { hash, from } => match () {
            () if **hash == *f.live().value && f.live().ready() > 0 => Progress::Done,
            () if **hash == *f.live().value => Progress::Observed,
            () if **from == *f.live().value => Progress::Nothing,
            () => Progress::Diverted(format!("users were sent to {} meanwhile", f.live().value).into()),
        },
        Goal::Empty { side } if **side == *f.live().value => Progress::Diverted(format!("users were sent to {side} meanwhile").into()),
        Goal::Empty { .. } => match (f.idle().wanted(), f.idle().existing()) {
            (0, 0) => Progress::Done,
            (0, _) => Progress::Observed,
            _ => Progress::Nothing,
        },
        Goal::Template { not: Some(before), .. } => match (*before == f.idle().template(), f.idle().unobserved()) {
            (true, _) => Progress::Nothing,
            (false, unseen) => {
                if unseen {
                    Progress::Observed
                } else {
                    Progress::Done
                }
            }
        },
        Goal::Scaled { name, from, to } => f.named(name).map_or(Progress::Nothing, |side| scaled(side, *from, *to)),
        _ => Progress::Nothing,
    }
}

fn scaled(side: &detect::Side<'_>, from: u32, to: u32) -> Progress {
    match side.wanted() {
        wanted if wanted == from => Progress::Nothing,
        wanted if wanted != to => Progress::Diverted(format!("an autoscaler or somebody else wants {wanted} pods by now").into()),
        _ if side.existing() == to && side.ready() == to => Progress::Done,
        _ => Progress::Observed,
    }
}

/// What users have against what stands beside it, in the order of a release.
fn diff(f: &Facts<'_>) -> Vec<Change> {
    let (old, new) = if f.old_is_idle() { (f.idle(), f.live()) } else { (f.live(), f.idle()) };
    let of = |side: &detect::Side<'_>| side.object.value().pointer("/spec/template").cloned().unwrap_or_default();
    template::differences(&of(old), &of(new))
}
