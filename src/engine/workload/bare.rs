//! What every rollout says before its engine has said anything.

use crate::{
    model::{EngineKind, Id, Next, Notice, Phase, Rollout, Severity, Steps, Strategy, Subject, Text, WayBack},
    object::Object,
};

pub fn id(context: &str, root: &Object) -> Id {
    Id {
        context: context.into(),
        namespace: root.meta.namespace.as_str().into(),
        kind: root.resource.kind.into(),
        name: root.meta.name.as_str().into(),
        uid: root.meta.uid.as_str().into(),
    }
}

/// A rollout of which nothing is known yet.
pub fn rollout(engine: EngineKind, context: &str, root: &Object) -> Rollout {
    Rollout {
        id: id(context, root),
        engine,
        strategy: Strategy::Unknown,
        router: None,
        phase: Phase::Unknown,
        phase_detail: Text::default(),
        started: None,
        generation: root.meta.generation,
        unobserved: false,
        replicas: 0,
        surge: None,
        tracks: Vec::new(),
        steps: Steps::default(),
        wait: None,
        next: Next::default(),
        way_back: WayBack::default(),
        analyses: Vec::new(),
        experiments: Vec::new(),
        notices: Vec::new(),
        owner: None,
        writers: root.meta.writers.clone(),
        subject: Subject::default(),
        labels: Default::default(),
        detailed: false,
        counted: false,
    }
}

/// An object whose JSON does not fit is still a line on the screen, with the reason on it.
pub fn unreadable(engine: EngineKind, context: &str, root: &Object, error: &str) -> Rollout {
    let detail: Text = format!("cannot be read: {error}").into();
    Rollout {
        phase_detail: detail.clone(),
        notices: vec![Notice { severity: Severity::Warning, text: detail }],
        ..rollout(engine, context, root)
    }
}
