//! Weights on a route with no controller behind it: two backends of a rule, and a person who moves the weights.
//!
//! ```text
//!  route ─▶ traffic::Form (rules, backends, weights) ─┐
//!  Services, DestinationRules, workloads ─▶ sides ────┴▶ Facts ─┬▶ picture, notices ─▶ Rollout
//!                        which side is new ─▶ newer ────────────┴▶ plan ─▶ Plan | Refusal
//! ```
//! The phases of a release come from the settings and its place among them from an annotation on the route
//! ([`stepper`]): another person, or another rolltop, goes on where the last one stood. Nothing moves by itself.

pub mod claims;
pub mod dto;
pub mod facts;
pub mod newer;
pub mod notices;
pub mod picture;
pub mod plan;
pub mod sides;
pub mod stepper;

use crate::{
    engine::{
        Change, Descriptor, Engine, Goal, Manager, Part, Plan, Progress, Refusal, Right,
        workload::{bare, containers, owner, template},
    },
    intent::{Intent, Verb},
    model::{EngineKind, Rollout, Strategy, Subject, Text, Time},
    object::{Object, Objects, Selection, kinds},
    traffic::ingress_nginx,
};
use facts::{Facts, Shape};
use sides::Side;

/// The engine of routes whose weights nobody but people move.
#[derive(Debug, Clone, Copy, Default)]
pub struct Split;

pub static SPLIT: Split = Split;

static DESCRIPTOR: Descriptor = Descriptor {
    kind: EngineKind::Split,
    is_controlled: false,
    roots: &[
        &kinds::HTTP_ROUTE,
        &kinds::GRPC_ROUTE,
        &kinds::VIRTUAL_SERVICE,
        &kinds::INGRESS,
        &kinds::TRAEFIK_SERVICE,
        &kinds::INGRESS_ROUTE,
        &kinds::TRAFFIC_SPLIT,
        &kinds::HTTP_PROXY,
    ],
    around: &[&kinds::SERVICE, &kinds::DEPLOYMENT, &kinds::STATEFUL_SET, &kinds::DESTINATION_RULE],
    details: &[],
    verbs: &[Verb::Promote, Verb::PromoteFull, Verb::SetWeight, Verb::Abort, Verb::Pause, Verb::Resume],
    writes: &[
        Right::patch(&kinds::HTTP_ROUTE),
        Right::patch(&kinds::GRPC_ROUTE),
        Right::patch(&kinds::VIRTUAL_SERVICE),
        Right::patch(&kinds::INGRESS),
        Right::patch(&kinds::TRAEFIK_SERVICE),
        Right::patch(&kinds::INGRESS_ROUTE),
        Right::patch(&kinds::TRAFFIC_SPLIT),
        Right::patch(&kinds::HTTP_PROXY),
    ],
    managers: &[Manager::Status],
};

impl Engine for Split {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn parts(&self, root: &Object, objects: &Objects) -> Option<Vec<Part>> {
        let f = Facts::read(root, objects).ok()?;
        // Of a controller's release the route may come into sight before what drives it does.
        let is_ours = f.sides().any(Side::is_seen) && claims::claim(&f, claims::Where::Namespace).is_none();
        is_ours.then(|| parts(&f))
    }

    fn selections(&self, root: &Object, objects: &Objects) -> Vec<Selection> {
        Facts::read(root, objects).map(|f| selections(&f)).unwrap_or_default()
    }

    fn normalise(&self, context: &str, root: &Object, objects: &Objects) -> Rollout {
        match Facts::read(root, objects) {
            Ok(f) => model(context, &f),
            Err(error) => bare::unreadable(EngineKind::Split, context, root, &error),
        }
    }

    fn draw_up(&self, rollout: &Rollout, root: &Object, objects: &Objects, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
        let f = Facts::read(root, objects).map_err(Refusal::because)?;
        plan::plan(&f, rollout, intent, now)
    }

    fn progress(&self, goal: &Goal, _: &Rollout, root: &Object, objects: &Objects) -> Progress {
        Facts::read(root, objects).map_or(Progress::Nothing, |f| progress(&f, goal))
    }

    /// Those of the new side.
    fn containers(&self, _: &Rollout, root: &Object, objects: &Objects) -> Vec<(Text, Text)> {
        let f = Facts::read(root, objects).ok();
        f.as_ref().and_then(|f| f.pair()?.new.template()).map(|t| containers::all(&t)).unwrap_or_default()
    }

    fn diff(&self, _: &Rollout, root: &Object, objects: &Objects) -> Vec<Change> {
        let Ok(f) = Facts::read(root, objects) else { return Vec::new() };
        f.pair().map(|p| template::between(p.old.template(), p.new.template())).unwrap_or_default()
    }
}

/// The Services, what stands behind them, and every other object that says where their requests go: one release, one row.
fn parts(f: &Facts<'_>) -> Vec<Part> {
    let part = |resource, name: Text| Part { resource, name };
    let mut parts = Vec::new();
    for side in f.sides() {
        parts.extend(side.service.as_ref().map(|(object, _)| part(&kinds::SERVICE, object.meta.name.clone())));
        parts.extend(side.rule.map(|object| part(&kinds::DESTINATION_RULE, object.meta.name.clone())));
        parts.extend(side.workloads.iter().map(|w| part(w.object().resource, w.object().meta.name.clone())));
    }
    parts.extend(f.siblings().map(|route| part(route.resource, route.meta.name.clone())));
    if f.form.router == ingress_nginx::FORM.router {
        parts.extend(ingress_nginx::mains(&f.route).into_iter().map(|name| part(&kinds::INGRESS, name)));
    }
    parts
}

fn model(context: &str, f: &Facts<'_>) -> Rollout {
    let (phase, detail) = picture::phase(f);
    let tracks = picture::tracks(f);
    Rollout {
        strategy: Strategy::Canary,
        router: Some(f.form.router.into()),
        phase,
        phase_detail: detail.into(),
        started: f.mark().and_then(|m| m.since).filter(|_| f.in_flight()),
        unobserved: (f.form.unread)(&f.route.read),
        replicas: f.sides().map(Side::wanted).sum(),
        detailed: tracks.iter().any(|t| !t.pods.is_empty()),
        tracks,
        steps: picture::steps(f),
        wait: picture::wait(f, phase),
        next: picture::next(f),
        way_back: picture::way_back(f),
        notices: notices::notices(f),
        owner: owner::owner(f.root, &f.metadata),
        subject: subject(f),
        ..bare::rollout(EngineKind::Split, context, f.root)
    }
}

fn subject(f: &Facts<'_>) -> Subject {
    let Shape::Pair(pair) = &f.shape else { return Subject::default() };
    let name = |side: &Side<'_>| Some(Text::from(&side.target.service)).filter(|_| side.target.elsewhere.is_none());
    // Subsets of one host.
    let one_service = pair.old.target.service == pair.new.target.service;
    let workload = |side: &Side<'_>| side.workloads.first().filter(|_| one_service).map(|w| w.object().meta.name.clone());
    let by_nginx = f.form.router == ingress_nginx::FORM.router;
    Subject {
        stable_service: name(&pair.old),
        canary_service: name(&pair.new),
        stable_workload: workload(&pair.old),
        canary_workload: workload(&pair.new),
        ingresses: if by_nginx { ingress_nginx::mains(&f.route) } else { Vec::new() },
    }
}

/// ReplicaSets and pods of each side, by what its Service selects.
fn selections(f: &Facts<'_>) -> Vec<Selection> {
    let by_labels =
        |labels: String| [&kinds::REPLICA_SET, &kinds::POD].map(|kind| Selection::labelled(kind, &*f.root.meta.namespace, labels.as_str()));
    let mut labels: Vec<String> = f.sides().filter_map(Side::label_selector).collect();
    labels.sort();
    labels.dedup();
    labels.into_iter().flat_map(by_labels).chain([Selection::events(f.root)]).collect()
}

fn progress(f: &Facts<'_>, goal: &Goal) -> Progress {
    match goal {
        Goal::Share { side, percent, from } => {
            let now = f.percent_of(side);
            match now {
                Some(now) if now == *percent => Progress::Done,
                now if now == *from => Progress::Nothing,
                Some(now) => Progress::Diverted(format!("somebody set {side} to {now} % meanwhile").into()),
                None => Progress::Diverted("its rules do not agree on a weight any more".into()),
            }
        }
        Goal::Paused if f.mark().is_some_and(|m| m.paused.is_some()) => Progress::Done,
        Goal::Resumed if f.mark().is_some_and(|m| m.paused.is_none()) => Progress::Done,
        _ => Progress::Nothing,
    }
}
