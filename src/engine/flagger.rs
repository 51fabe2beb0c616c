//! Flagger: a Canary promotes a Deployment onto a generated copy of it, the primary, tick by tick.
//!
//! ```text
//!  objects ─▶ facts (dto) ─┬▶ picture, notices ─▶ Rollout
//!                          └▶ plan (gates)     ─▶ Plan | Refusal
//! ```
//! The target the team edits is the canary; the primary serves. Weights are read from the routing object: the
//! status is reset while the route still sends users to the canary.

pub mod dto;
pub mod facts;
pub mod gates;
pub mod notices;
pub mod picture;
pub mod plan;
pub mod progress;
pub mod selections;

use serde_json::Value;

use crate::{
    engine::{
        Change, Descriptor, Engine, Goal, Manager, Part, Plan, Progress, Refusal, Right, knative,
        workload::{bare, owner, template},
    },
    intent::{Intent, Verb},
    model::{EngineKind, Rollout, Subject, Text, Time},
    object::{Object, Objects, Selection, kinds},
};
use facts::{Facts, Workload};

/// The engine of `flagger.app/v1beta1` Canaries.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flagger;

pub static FLAGGER: Flagger = Flagger;

static DESCRIPTOR: Descriptor = Descriptor {
    kind: EngineKind::Flagger,
    is_controlled: true,
    roots: &[&kinds::CANARY],
    around: &[],
    details: &[&kinds::DEPLOYMENT, &kinds::INGRESS, &kinds::VIRTUAL_SERVICE, &kinds::HTTP_ROUTE],
    verbs: &[Verb::Promote, Verb::PromoteFull, Verb::Pause, Verb::Resume, Verb::Abort, Verb::Retry, Verb::SetImage],
    writes: &[
        Right::patch(&kinds::CANARY),
        Right::patch_status(&kinds::CANARY),
        Right::patch(&kinds::DEPLOYMENT),
        // Gates.
        Right { resource: &kinds::SERVICE, subresource: Some("proxy"), verb: "create" },
    ],
    managers: &[Manager::Named("flagger")],
};

impl Engine for Flagger {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn parts(&self, root: &Object, _: &Objects) -> Option<Vec<Part>> {
        let nothing = Objects::default();
        Some(Facts::read(root, &nothing).map(|f| parts(&f)).unwrap_or_default())
    }

    fn selections(&self, root: &Object, objects: &Objects) -> Vec<Selection> {
        Facts::read(root, objects).map(|f| selections::selections(&f)).unwrap_or_default()
    }

    fn normalise(&self, context: &str, root: &Object, objects: &Objects) -> Rollout {
        match Facts::read(root, objects) {
            Ok(f) => model(context, &f),
            Err(error) => bare::unreadable(EngineKind::Flagger, context, root, &error),
        }
    }

    fn draw_up(&self, rollout: &Rollout, root: &Object, objects: &Objects, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
        let f = Facts::read(root, objects).map_err(Refusal::misread)?;
        plan::plan(&f, rollout, intent, now)
    }

    fn progress(&self, goal: &Goal, _: &Rollout, root: &Object, objects: &Objects) -> Progress {
        Facts::read(root, objects).map_or(Progress::Nothing, |f| progress::progress(&f, goal))
    }

    fn containers(&self, _: &Rollout, root: &Object, objects: &Objects) -> Vec<(Text, Text)> {
        let Ok(f) = Facts::read(root, objects) else { return Vec::new() };
        let Some(target) = &f.target else { return Vec::new() };
        let spec = &target.dto.spec.template.spec;
        spec.containers.iter().chain(&spec.init_containers).map(|c| ((&c.name).into(), (&c.image).into())).collect()
    }

    fn diff(&self, _: &Rollout, root: &Object, objects: &Objects) -> Vec<Change> {
        let Ok(f) = Facts::read(root, objects) else { return Vec::new() };
        template::between(f.primary.as_ref().and_then(written), f.target.as_ref().and_then(written))
    }
}

/// What Flagger adds to the primary's template, and the label it renames.
const GENERATED: [&str; 2] = ["/metadata/annotations/flagger-id", "/metadata/labels"];

/// A template as its author wrote it, as far as the two sides can be compared.
fn written(workload: &Workload<'_>) -> Option<Value> {
    let mut template = workload.object.value().pointer("/spec/template")?.clone();
    for path in GENERATED {
        let (parent, key) = path.rsplit_once('/')?;
        if let Some(parent) = template.pointer_mut(parent).and_then(Value::as_object_mut) {
            parent.remove(key);
        }
    }
    Some(template)
}

/// Everything Flagger generates for a Canary, and the workload it is about: one rollout, not four.
fn parts(f: &Facts<'_>) -> Vec<Part> {
    let part = |resource, name: &str| Part { resource, name: name.into() };
    let [apex, primary, canary] = f.services();
    let target = f.target_name();
    if target.is_empty() {
        return Vec::new();
    }
    let mut parts = Vec::new();
    if f.is_deployment() {
        parts.extend([part(&kinds::DEPLOYMENT, target), part(&kinds::DEPLOYMENT, &format!("{target}-primary"))]);
    }
    if f.ca.spec.target_ref.kind == knative::SERVICE.kind && f.ca.spec.target_ref.api_version.starts_with(knative::SERVICE.group) {
        parts.push(part(&knative::SERVICE, target));
    }
    parts.extend([&apex, &primary, &canary].map(|name| part(&kinds::SERVICE, name)));
    parts.extend([part(&kinds::VIRTUAL_SERVICE, &apex), part(&kinds::HTTP_ROUTE, &apex)]);
    if let Some(ingress) = &f.ca.spec.ingress_ref {
        parts.extend([part(&kinds::INGRESS, &ingress.name), part(&kinds::INGRESS, &format!("{}-canary", ingress.name))]);
    }
    parts
}

fn model(context: &str, f: &Facts<'_>) -> Rollout {
    Rollout {
        strategy: f.strategy(),
        // Without a word in the Canary the controller's own default holds, which cannot be read here.
        router: Some(f.provider().unwrap_or("flagger")).filter(|p| *p != "kubernetes").map(Text::from),
        phase: picture::phase(f),
        phase_detail: picture::detail(f),
        started: f.condition().and_then(|c| c.last_transition_time.0).filter(|_| f.in_flight()),
        replicas: f.primary.as_ref().or(f.target.as_ref()).map_or(0, Workload::wanted),
        tracks: picture::tracks(f),
        steps: picture::steps(f),
        wait: picture::wait(f),
        next: picture::next(f),
        way_back: picture::way_back(f),
        analyses: picture::analyses(f),
        notices: notices::notices(f),
        owner: owner::owner(f.root, &f.ca.metadata),
        subject: subject(f),
        detailed: f.target.is_some() && f.primary.is_some(),
        // Flagger writes no observed generation: nothing is unobserved.
        ..bare::rollout(EngineKind::Flagger, context, f.root)
    }
}

fn subject(f: &Facts<'_>) -> Subject {
    let [_, primary, canary] = f.services();
    let text = |name: String| (!f.target_name().is_empty()).then(|| Text::from(name));
    Subject {
        stable_service: text(primary),
        canary_service: text(canary),
        // Where no mesh knows these Services, the workloads behind them are known all the same.
        stable_workload: text(format!("{}-primary", f.target_name())),
        canary_workload: text(f.target_name().to_owned()),
        ingresses: f.ca.spec.ingress_ref.iter().map(|i| Text::from(&i.name)).collect(),
    }
}
