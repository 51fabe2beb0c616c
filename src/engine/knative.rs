//! Knative Services: every change is a revision, and the route says how many users each revision gets.
//!
//! The live shares stand in the status; what is asked for stands in `spec.traffic`, by name or as "the latest". While
//! it says "the latest", a new revision has all users as soon as it is ready; by name, it waits for a person.
//!
//! What it does is read from Knative Serving 0.47, and seen of its controllers.

pub mod dto;
pub mod facts;
pub mod law;
pub mod picture;
pub mod plan;
pub mod status;

use crate::{
    engine::{
        Change, Descriptor, Engine, Goal, Manager, Part, Plan, Progress, Refusal, Right,
        workload::{bare, containers, owner},
    },
    intent::{Intent, Verb},
    model::{EngineKind, Role, Rollout, Strategy, Subject, Text, Time, Track},
    object::{Object, Objects, Resource, Selection, kinds},
};
use facts::Facts;

/// Kubernetes' own kind is called the same, in the core group.
pub static SERVICE: Resource = Resource::new("serving.knative.dev", "v1", "Service", "services");
pub static REVISION: Resource = Resource::new("serving.knative.dev", "v1", "Revision", "revisions");

/// The engine of Knative Services that no other system makes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Knative;

pub static KNATIVE: Knative = Knative;

static DESCRIPTOR: Descriptor = Descriptor {
    kind: EngineKind::Knative,
    is_controlled: true,
    roots: &[&SERVICE],
    around: &[&kinds::DEPLOYMENT],
    details: &[&REVISION],
    verbs: &[Verb::Promote, Verb::PromoteFull, Verb::SetWeight, Verb::Abort, Verb::Undo, Verb::Pause, Verb::Resume, Verb::SetImage],
    writes: &[Right::patch(&SERVICE)],
    // Its image calls the program `controller`.
    managers: &[Manager::Named("knative"), Manager::Books("controller")],
};

impl Engine for Knative {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    /// One that KServe makes is KServe's to steer. The Deployments it makes itself tell how many pods are ready.
    fn parts(&self, root: &Object, objects: &Objects) -> Option<Vec<Part>> {
        let read = || Facts::read(root, objects).map(|f| f.named().into_iter().map(part).collect()).unwrap_or_default();
        root.meta.owner.is_none().then(read)
    }

    fn selections(&self, root: &Object, _: &Objects) -> Vec<Selection> {
        let of = |kind| Selection::labelled(kind, &*root.meta.namespace, facts::label(root));
        vec![of(&REVISION), of(&kinds::REPLICA_SET), of(&kinds::POD), Selection::events(root)]
    }

    fn normalise(&self, context: &str, root: &Object, objects: &Objects) -> Rollout {
        match Facts::read(root, objects) {
            Ok(f) => model(context, &f),
            Err(error) => bare::unreadable(EngineKind::Knative, context, root, &error),
        }
    }

    fn draw_up(&self, rollout: &Rollout, root: &Object, objects: &Objects, intent: &Intent, _: Time) -> Result<Plan, Refusal> {
        let f = Facts::read(root, objects).map_err(Refusal::misread)?;
        plan::plan(&f, rollout, intent)
    }

    fn progress(&self, goal: &Goal, _: &Rollout, root: &Object, objects: &Objects) -> Progress {
        Facts::read(root, objects).map_or(Progress::Nothing, |f| progress(&f, goal))
    }

    fn containers(&self, _: &Rollout, root: &Object, _: &Objects) -> Vec<(Text, Text)> {
        root.value().pointer("/spec/template").map(containers::all).unwrap_or_default()
    }

    fn revisions(&self, _: &Rollout, root: &Object, objects: &Objects) -> Vec<(Text, Text)> {
        Facts::read(root, objects).map(|f| revisions(&f)).unwrap_or_default()
    }

    /// Revisions are not kept as templates: their images are all there is to compare.
    fn diff(&self, _: &Rollout, root: &Object, objects: &Objects) -> Vec<Change> {
        Facts::read(root, objects).map(|f| diff(&f)).unwrap_or_default()
    }
}

/// The Deployment of a revision.
pub fn part(revision: &str) -> Part {
    Part { resource: &kinds::DEPLOYMENT, name: facts::deployment_name(revision).into() }
}

fn model(context: &str, f: &Facts<'_>) -> Rollout {
    let tracks = picture::tracks(f);
    let subject = subject(&tracks);
    let counted = !tracks.is_empty() && tracks.iter().all(|t| f.is_counted(&t.hash));
    Rollout {
        strategy: Strategy::Canary,
        router: Some("knative".into()),
        phase: status::phase(f),
        phase_detail: status::detail(f),
        started: f.revision(f.created()).and_then(|r| r.created),
        unobserved: !f.observed(),
        replicas: tracks.iter().map(|t| t.desired).fold(0, u32::saturating_add),
        tracks,
        wait: status::wait(f),
        next: status::next(f),
        way_back: status::way_back(f),
        notices: picture::notices(f),
        owner: owner::owner(f.root, &f.svc.metadata),
        detailed: !f.revisions.is_empty(),
        counted,
        subject,
        ..bare::rollout(EngineKind::Knative, context, f.root)
    }
}

/// A mesh sees the Deployment of each revision.
pub fn subject(tracks: &[Track]) -> Subject {
    let of = |track: Option<&Track>| track.map(|t| Text::from(format!("{}-deployment", t.hash)));
    let new = tracks.iter().find(|t| t.is_new);
    let old = tracks.iter().find(|t| t.roles.contains(&Role::Stable));
    Subject { stable_workload: of(old), canary_workload: of(new), ..Subject::default() }
}

/// Done is what the route does, not what was asked of it.
fn progress(f: &Facts<'_>, goal: &Goal) -> Progress {
    let seen = |after: i64| f.root.meta.generation > after && f.observed();
    match goal {
        Goal::Seen { after } | Goal::Rolled { after } if f.root.meta.generation <= *after => Progress::Nothing,
        Goal::Seen { after } if seen(*after) => Progress::Done,
        Goal::Rolled { after } if seen(*after) => match status::situation(f) {
            status::Situation::Shifting => Progress::Observed,
            status::Situation::Broken => Progress::Diverted("the route cannot do it".into()),
            _ => Progress::Done,
        },
        Goal::Seen { .. } | Goal::Rolled { .. } => Progress::Observed,
        _ => Progress::Nothing,
    }
}

/// What an undo can go back to, those with users first, then the newest.
fn revisions(f: &Facts<'_>) -> Vec<(Text, Text)> {
    let mut all: Vec<&facts::Revision> = f.revisions.iter().filter(|r| f.share(&r.name) < 100).collect();
    all.sort_by_key(|r| (r.name == f.latest(), std::cmp::Reverse(f.share(&r.name))));
    let called = |r: &facts::Revision| {
        let short: Vec<&str> = r.images.iter().map(|i| i.rsplit('/').next().unwrap_or("")).collect();
        let ready = if r.ready == "True" { "ready" } else { "not ready" };
        format!("{} · {} % · {ready} · {}", r.name, f.share(&r.name), short.join(", "))
    };
    all.into_iter().map(|r| (called(r).into(), Text::from(&r.name))).collect()
}

fn diff(f: &Facts<'_>) -> Vec<Change> {
    let old = f.old().and_then(|name| f.revision(&name).map(|r| r.images.join(", ")));
    let new = f.revision(f.created()).map(|r| r.images.join(", "));
    let both = old.zip(new).filter(|(old, new)| old != new);
    both.map(|(from, to)| vec![Change { field: "images".into(), from: from.into(), to: to.into() }]).unwrap_or_default()
}
