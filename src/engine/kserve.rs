//! KServe InferenceServices: a model server whose revisions Knative makes, and one number for the share of the new one.
//!
//! The number stands in the spec, the revisions and their live shares in the status. Without Knative under it, a new
//! version rolls like any Deployment, and there is nothing to steer.
//!
//! What it does is read from KServe 0.15.2 (`v1beta1`).

pub mod dto;
pub mod facts;
pub mod law;
pub mod picture;
pub mod plan;
pub mod status;

use crate::{
    engine::{
        Change, Descriptor, Engine, Goal, Manager, Part, Plan, Progress, Refusal, Right,
        knative::{self, REVISION, SERVICE},
        workload::{bare, owner},
    },
    intent::{Intent, Verb},
    model::{EngineKind, Rollout, Strategy, Subject, Text, Time},
    object::{Object, Objects, Resource, Selection, kinds},
};
use facts::Facts;

pub static INFERENCE_SERVICE: Resource = Resource::new("serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices");

/// The engine of KServe's InferenceServices.
#[derive(Debug, Clone, Copy, Default)]
pub struct KServe;

pub static KSERVE: KServe = KServe;

/// On everything under one.
const LABEL: &str = "serving.kserve.io/inferenceservice";

static DESCRIPTOR: Descriptor = Descriptor {
    kind: EngineKind::KServe,
    is_controlled: true,
    roots: &[&INFERENCE_SERVICE],
    around: &[&kinds::DEPLOYMENT],
    details: &[&REVISION],
    verbs: &[Verb::Promote, Verb::PromoteFull, Verb::SetWeight, Verb::Abort, Verb::Undo],
    writes: &[Right::patch(&INFERENCE_SERVICE)],
    // Its image calls the program `manager`.
    managers: &[Manager::Named("kserve"), Manager::Books("manager")],
};

impl Engine for KServe {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    /// The Knative Services under it, which have it as their owner too, and the Deployments that tell how many pods are ready.
    fn parts(&self, root: &Object, objects: &Objects) -> Option<Vec<Part>> {
        let component = |name: &str| Part { resource: &SERVICE, name: format!("{}-{name}", root.meta.name).into() };
        let mut parts: Vec<Part> = ["predictor", "transformer", "explainer"].map(component).into();
        if let Ok(f) = Facts::read(root, objects) {
            parts.push(Part { resource: &kinds::DEPLOYMENT, name: f.deployment_name().into() });
            parts.extend(f.named().into_iter().map(knative::part));
        }
        Some(parts)
    }

    fn selections(&self, root: &Object, _: &Objects) -> Vec<Selection> {
        let own = |kind| Selection::labelled(kind, &*root.meta.namespace, format!("{LABEL}={}", root.meta.name));
        // Without Knative there are no revisions, perhaps not even the kind.
        let revisions = Selection { optional: true, ..own(&REVISION) };
        vec![revisions, own(&kinds::REPLICA_SET), own(&kinds::POD), Selection::events(root)]
    }

    fn normalise(&self, context: &str, root: &Object, objects: &Objects) -> Rollout {
        match Facts::read(root, objects) {
            Ok(f) => model(context, &f),
            Err(error) => bare::unreadable(EngineKind::KServe, context, root, &error),
        }
    }

    fn draw_up(&self, rollout: &Rollout, root: &Object, objects: &Objects, intent: &Intent, _: Time) -> Result<Plan, Refusal> {
        let f = Facts::read(root, objects).map_err(Refusal::misread)?;
        plan::plan(&f, rollout, intent)
    }

    fn progress(&self, goal: &Goal, _: &Rollout, root: &Object, objects: &Objects) -> Progress {
        Facts::read(root, objects).map_or(Progress::Nothing, |f| progress(&f, goal))
    }

    /// A model is more than an image: there is nothing to set here.
    fn containers(&self, _: &Rollout, _: &Object, _: &Objects) -> Vec<(Text, Text)> {
        Vec::new()
    }

    fn revisions(&self, _: &Rollout, root: &Object, objects: &Objects) -> Vec<(Text, Text)> {
        let of = |f: &Facts<'_>| vec![(format!("{} · the revision before", f.previous()).into(), Text::from(f.previous()))];
        Facts::read(root, objects).ok().filter(|f| !f.previous().is_empty()).map(|f| of(&f)).unwrap_or_default()
    }

    fn diff(&self, _: &Rollout, _: &Object, _: &Objects) -> Vec<Change> {
        Vec::new()
    }
}

fn model(context: &str, f: &Facts<'_>) -> Rollout {
    let tracks = picture::tracks(f);
    let subject = match f.splits() {
        true => knative::subject(&tracks),
        false => Subject { stable_workload: tracks.first().map(|t| t.hash.clone()), ..Subject::default() },
    };
    let counted = match f.splits() {
        true => !tracks.is_empty() && tracks.iter().all(|t| f.is_counted(&t.hash)),
        false => !tracks.is_empty(),
    };
    let detailed = if f.splits() { f.revision(f.ready()).is_some() } else { tracks.iter().any(|t| !t.pods.is_empty()) };
    Rollout {
        strategy: if f.splits() { Strategy::Canary } else { Strategy::Rolling },
        router: f.splits().then(|| "knative".into()),
        phase: status::phase(f),
        phase_detail: status::detail(f),
        started: f.revision(f.created()).and_then(|r| r.created),
        replicas: tracks.iter().map(|t| t.desired).fold(0, u32::saturating_add),
        tracks,
        wait: status::wait(f),
        next: status::next(f),
        way_back: status::way_back(f),
        notices: picture::notices(f),
        owner: owner::owner(f.root, &f.isvc.metadata),
        detailed,
        counted,
        subject,
        ..bare::rollout(EngineKind::KServe, context, f.root)
    }
}

/// Done is what the route does. `REVISION`, all users; `REVISION 25`, that share of them.
fn progress(f: &Facts<'_>, goal: &Goal) -> Progress {
    let Goal::Active { hash, .. } = goal else { return Progress::Nothing };
    let (revision, wanted) = hash.split_once(' ').map_or((&**hash, 100), |(name, share)| (name, share.parse().unwrap_or(100)));
    if status::situation(f) == status::Situation::Failed {
        return Progress::Diverted("the model cannot be loaded".into());
    }
    match f.share(revision) == wanted {
        true => Progress::Done,
        false => Progress::Nothing,
    }
}
