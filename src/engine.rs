//! The seam between what drives a release and everything else.
//!
//! An engine is synchronous and does no I/O: objects in, model out; model and intent in, plan out.
//! One root object makes one rollout (a Rollout, a Canary, a Service…), so a change costs one
//! normalisation, not a fleet of them.

pub mod argo;
pub mod bluegreen;
pub mod daemonset;
pub mod deployment;
pub mod flag;
pub mod flagger;
pub mod gitops;
pub mod knative;
pub mod kruise;
pub mod kserve;
pub mod law;
pub mod plan;
pub mod ratio;
pub mod rights;
pub mod split;
pub mod statefulset;
pub mod survey;
pub mod workload;

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    intent::{Intent, Verb},
    model::{EngineKind, Rollout, Text, Time, Writer},
    object::{Object, Objects, Resource, Selection},
};

pub use rights::Right;
pub use survey::Part;

pub use plan::{Call, Change, Expectation, Goal, Patch, Plan, Probe, Progress, Refusal, Write};

/// How a controller signs what it writes, in `managedFields`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// Part of its name that no person's tool has, on whatever object.
    Named(&'static str),
    /// A name any program may have. It is the controller's only on the objects of its own engine, and only where it writes
    /// nothing but the status and finalizers ([`Writer::books`]).
    Books(&'static str),
    /// Whoever writes nothing but the status and finalizers: on objects whose status steers nothing, such as routes, which
    /// each gateway's controller signs in its own name.
    Status,
}

/// Whether a controller has written this to a rollout of that engine. Whoever else did is a person, or acts for one.
pub fn is_controller(kind: EngineKind, writer: &Writer) -> bool {
    // kubectl's plugin has the name of its controller in its own, and a person behind it.
    if writer.manager.starts_with("kubectl") {
        return false;
    }
    let signs = |manager: &Manager, own: bool| match manager {
        Manager::Named(name) => writer.manager.contains(name),
        Manager::Books(name) => own && writer.books && *writer.manager == **name,
        Manager::Status => own && writer.books,
    };
    ENGINES.iter().any(|e| e.descriptor().managers.iter().any(|manager| signs(manager, e.kind() == kind)))
}

/// What an engine is, whatever the cluster holds.
#[derive(Debug)]
pub struct Descriptor {
    pub kind: EngineKind,
    /// Whether the cluster has a controller of this engine's own. Where it has none, an object whose parts belong to
    /// another rollout is no rollout.
    pub is_controlled: bool,
    /// The kinds of object that can stand for one rollout; watched over the whole fleet.
    pub roots: &'static [&'static Resource],
    /// Other kinds to watch over the whole fleet: they say what is a rollout, or how one stands.
    pub around: &'static [&'static Resource],
    /// Further kinds that [`Engine::selections`] may name, besides those that every engine watches.
    pub details: &'static [&'static Resource],
    /// What it can be asked for in some state; help and keys leave the rest out.
    pub verbs: &'static [Verb],
    /// What its plans may write.
    pub writes: &'static [Right],
    /// What its controllers are called where they write.
    pub managers: &'static [Manager],
}

pub trait Engine: Sync {
    fn descriptor(&self) -> &'static Descriptor;

    fn kind(&self) -> EngineKind {
        self.descriptor().kind
    }

    /// Whether an object of a root's kind is a rollout of this engine, seen together with the others of the fleet, and
    /// which of those are a part of it and no rollouts themselves.
    fn parts(&self, _root: &Object, _objects: &Objects) -> Option<Vec<Part>> {
        Some(Vec::new())
    }

    /// What else to watch while a rollout is open.
    fn selections(&self, root: &Object, objects: &Objects) -> Vec<Selection>;

    /// Objects to model. Never fails: an object that cannot be understood is a rollout in phase unknown.
    fn normalise(&self, context: &str, root: &Object, objects: &Objects) -> Rollout;

    /// The exact writes that would carry an intent out, or why not.
    ///
    /// # Errors
    /// A [`Refusal`] when the intent makes no sense in this state, with what to do instead.
    fn plan(&self, rollout: &Rollout, root: &Object, objects: &Objects, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
        if root.meta.uid != *rollout.id.uid {
            return Err(Refusal::because("this is another object of the same name").instead("look at it first", None));
        }
        self.draw_up(rollout, root, objects, intent, now)
    }

    /// [`plan`](Self::plan) on the rollout's own root.
    ///
    /// # Errors
    /// As there.
    fn draw_up(&self, rollout: &Rollout, root: &Object, objects: &Objects, intent: &Intent, now: Time) -> Result<Plan, Refusal>;

    /// Whom to ask how they are while the card of this intent is read.
    fn probes(&self, _rollout: &Rollout, _root: &Object, _objects: &Objects, _intent: &Intent) -> Vec<Probe> {
        Vec::new()
    }

    /// How far a plan's effect can be seen in the cluster's own words.
    fn progress(&self, goal: &Goal, rollout: &Rollout, root: &Object, objects: &Objects) -> Progress;

    /// Containers and images of the desired template, for the set-image prompt and the diff.
    fn containers(&self, rollout: &Rollout, root: &Object, objects: &Objects) -> Vec<(Text, Text)>;

    /// Versions that an undo can go back to: what to call them, and their hash. The stable one first; none where nobody keeps any.
    fn revisions(&self, _rollout: &Rollout, _root: &Object, _objects: &Objects) -> Vec<(Text, Text)> {
        Vec::new()
    }

    /// What differs between the old side's pod template and the new one's, one line each.
    fn diff(&self, rollout: &Rollout, root: &Object, objects: &Objects) -> Vec<Change>;
}

/// Every engine rolltop knows, those with a controller of their own first: what one claims is no rollout for the next.
/// One is added by its file and a line here.
pub static ENGINES: &[&dyn Engine] = &[
    &argo::ARGO,
    &flagger::FLAGGER,
    &kruise::KRUISE,
    &knative::KNATIVE,
    &kserve::KSERVE,
    &split::SPLIT,
    &bluegreen::BLUE_GREEN,
    &ratio::RATIO,
    &statefulset::STATEFUL_SET,
    &daemonset::DAEMON_SET,
    &deployment::DEPLOYMENT,
];

/// Kinds that are watched over the whole fleet, those of the first engines first.
pub fn fleet_kinds() -> Vec<&'static Resource> {
    let mut seen = BTreeSet::new();
    watched().filter(|kind| seen.insert(*kind)).collect()
}

/// Whether objects of this kind are there for all rollouts, not for the open one alone.
pub fn is_fleet_kind(resource: &Resource) -> bool {
    watched().any(|kind| kind == resource)
}

/// With repetitions: engines share kinds.
fn watched() -> impl Iterator<Item = &'static Resource> {
    ENGINES.iter().flat_map(|e| e.descriptor().roots.iter().chain(e.descriptor().around).copied())
}

/// The object that a rollout of this engine stands on, while it is there.
pub fn root<'a>(engine: &dyn Engine, objects: &'a Objects, uid: &str) -> Option<&'a Arc<Object>> {
    engine.descriptor().roots.iter().find_map(|kind| objects.uid(kind, uid))
}

/// The engine of a rollout.
pub fn of(kind: EngineKind) -> Option<&'static dyn Engine> {
    ENGINES.iter().copied().find(|e| e.kind() == kind)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{ENGINES, workload::bare};
    use crate::{cluster::decode, intent::Intent, object::Objects};

    #[test]
    fn no_engine_plans_on_another_object_of_the_same_name() {
        for engine in ENGINES {
            for kind in engine.descriptor().roots {
                let read = |uid: &str| {
                    let json = format!(r#"{{"metadata": {{"namespace": "shop", "name": "web", "uid": "{uid}"}}}}"#);
                    decode::object(kind, json.as_bytes()).unwrap()
                };
                let seen = bare::rollout(engine.kind(), "test", &read("old"));
                let refused = engine.plan(&seen, &read("new"), &Objects::default(), &Intent::Abort, crate::clock::now()).unwrap_err();
                assert_eq!(refused.reason, "this is another object of the same name", "{:?}", engine.kind());
            }
        }
    }
}
