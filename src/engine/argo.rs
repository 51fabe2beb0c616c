//! Argo Rollouts: canary and blue-green releases driven by a controller that obeys fields.
//!
//! ```text
//!  objects ─▶ facts (dto) ─▶ status (Situation) ─┬▶ tracks, steps, analyses, notices, next ─▶ Rollout
//!                                                └▶ law (Situation × Verb) ─▶ plan ─▶ Plan | Refusal
//! ```
//! The Rollout alone is enough for a line in the fleet; ReplicaSets, pods, runs, Services and routing
//! objects, when at hand, sharpen every number.

pub mod analysis;
pub mod dto;

pub mod facts;

pub mod law;
pub mod next;
pub mod notices;

pub mod plan;

pub mod progress;
pub mod selections;
pub mod status;
pub mod steps;
pub mod template;
pub mod tracks;

use crate::{
    engine::{
        Change, Descriptor, Engine, Goal, Manager, Part, Plan, Progress, Refusal, Right,
        workload::{bare, owner},
    },
    intent::{Intent, Verb},
    model::{EngineKind, Rollout, Strategy, Subject, Text, Time},
    object::{Object, Objects, Selection, kinds},
    traffic::ingress_nginx,
};
use facts::Facts;

/// The engine of `argoproj.io/v1alpha1` Rollouts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Argo;

pub static ARGO: Argo = Argo;

static DESCRIPTOR: Descriptor = Descriptor {
    kind: EngineKind::Argo,
    is_controlled: true,
    roots: &[&kinds::ROLLOUT],
    around: &[],
    details: &[
        &kinds::ANALYSIS_RUN,
        &kinds::EXPERIMENT,
        &kinds::DEPLOYMENT,
        &kinds::POD_TEMPLATE,
        &kinds::INGRESS,
        &kinds::VIRTUAL_SERVICE,
        &kinds::HTTP_ROUTE,
    ],
    verbs: &[
        Verb::Promote,
        Verb::PromoteFull,
        Verb::Skip,
        Verb::Pause,
        Verb::Resume,
        Verb::Abort,
        Verb::Retry,
        Verb::Undo,
        Verb::Restart,
        Verb::SetImage,
        Verb::Flip,
    ],
    writes: &[Right::patch(&kinds::ROLLOUT), Right::patch_status(&kinds::ROLLOUT), Right::patch(&kinds::DEPLOYMENT)],
    managers: &[Manager::Named("rollouts-controller"), Manager::Named("argo-rollouts")],
};

impl Engine for Argo {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn parts(&self, root: &Object, _: &Objects) -> Option<Vec<Part>> {
        let nothing = Objects::default();
        Some(Facts::read(root, &nothing).map(|f| selections::parts(&f)).unwrap_or_default())
    }

    fn selections(&self, root: &Object, _: &Objects) -> Vec<Selection> {
        let nothing = Objects::default();
        Facts::read(root, &nothing).map(|f| selections::selections(&f)).unwrap_or_default()
    }

    fn normalise(&self, context: &str, root: &Object, objects: &Objects) -> Rollout {
        match Facts::read(root, objects) {
            Ok(f) => model(context, &f),
            Err(error) => bare::unreadable(EngineKind::Argo, context, root, &error),
        }
    }

    fn draw_up(&self, rollout: &Rollout, root: &Object, objects: &Objects, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
        let f = Facts::read(root, objects).map_err(Refusal::misread)?;
        plan::plan(&f, rollout, intent, now)
    }

    fn progress(&self, goal: &Goal, _: &Rollout, root: &Object, _: &Objects) -> Progress {
        let nothing = Objects::default();
        Facts::read(root, &nothing).map_or(Progress::Nothing, |f| progress::progress(&f, goal))
    }

    fn containers(&self, _: &Rollout, root: &Object, objects: &Objects) -> Vec<(Text, Text)> {
        Facts::read(root, objects).map(|f| plan::containers(&f)).unwrap_or_default()
    }

    fn revisions(&self, _: &Rollout, root: &Object, objects: &Objects) -> Vec<(Text, Text)> {
        Facts::read(root, objects).map(|f| template::revisions(&f)).unwrap_or_default()
    }

    fn diff(&self, _: &Rollout, root: &Object, objects: &Objects) -> Vec<Change> {
        Facts::read(root, objects).map(|f| diff(&f)).unwrap_or_default()
    }
}

fn model(context: &str, f: &Facts<'_>) -> Rollout {
    let word = status::word(f);
    Rollout {
        strategy: strategy(f),
        router: f.router().map(Text::from),
        phase: status::phase(f),
        phase_detail: word.detail(),
        started: started(f),
        unobserved: word.unobserved,
        replicas: f.replicas(),
        tracks: tracks::tracks(f),
        steps: steps::steps(f),
        wait: next::wait(f),
        next: next::next(f),
        way_back: next::way_back(f),
        analyses: analysis::analyses(f),
        experiments: analysis::experiments(f),
        notices: notices::notices(f),
        owner: owner::owner(f.root, &f.ro.metadata),
        subject: subject(f),
        detailed: tracks::detailed(f),
        ..bare::rollout(EngineKind::Argo, context, f.root)
    }
}

fn strategy(f: &Facts<'_>) -> Strategy {
    match (f.is_blue_green(), f.canary()) {
        (true, _) => Strategy::BlueGreen,
        (_, Some(_)) => Strategy::Canary,
        _ => Strategy::Unknown,
    }
}

/// A reused ReplicaSet is older than the update that brought it back; then its creation says nothing.
fn started(f: &Facts<'_>) -> Option<Time> {
    let set = f.set(f.current())?;
    let reused = !set.dto.metadata.annotation("rollout.argoproj.io/revision-history").is_empty();
    set.object.meta.created.filter(|_| !reused)
}

fn subject(f: &Facts<'_>) -> Subject {
    let text = |name: String| (!name.is_empty()).then(|| Text::from(name));
    if let Some(b) = f.blue_green() {
        return Subject {
            stable_service: text(b.active_service.clone()),
            canary_service: text(b.preview_service.clone()),
            ..Subject::default()
        };
    }
    let (canary, stable) = f.services();
    let nginx = f.canary().and_then(|c| c.traffic_routing.as_ref()?.get("nginx"));
    Subject {
        stable_service: text(stable),
        canary_service: text(canary),
        ingresses: nginx.map(ingress_nginx::stable_ingresses).unwrap_or_default().into_iter().map(Text::from).collect(),
        ..Subject::default()
    }
}

/// The wanted template against the stable one; with nothing in flight against the revision before.
/// ReplicaSets carry the API server's defaults and a Rollout does not, so like is compared with like.
fn diff(f: &Facts<'_>) -> Vec<Change> {
    let old = if f.in_flight() { f.set(f.stable()) } else { f.sets.iter().find(|s| s.hash != f.current()) };
    let seen = f.set(f.current()).filter(|_| !status::word(f).unobserved);
    let new = seen.and_then(template::original).or_else(|| f.wanted_template());
    crate::engine::workload::template::between(old.and_then(template::original), new)
}
