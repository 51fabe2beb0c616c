//! What the tests of this room say again and again.

use std::time::Duration;

use super::{
    channel::{Channel, Way},
    event::{Event, KINDS, Kind, Urgency},
};
use crate::{
    model::{Id, Text},
    secret::{Secret, Source},
};

pub fn event(kind: Kind, text: &str) -> Event {
    Event {
        at: "2026-11-21T13:59:10Z".parse().unwrap(),
        kind,
        urgency: kind.row().urgency,
        id: id("checkout"),
        release: "6f9".into(),
        text: text.into(),
        mark: Text::default(),
        phase: "waiting".into(),
        step: "4/8".into(),
        verdict: text.into(),
        images: vec!["api:v2.9.0".into()],
        labels: Default::default(),
    }
}

pub fn id(name: &str) -> Id {
    Id { context: "prod-eu".into(), namespace: "shop".into(), kind: "Rollout".into(), name: name.into(), uid: name.into() }
}

/// One that is told everything.
pub fn channel(name: &str, way: Way) -> Channel {
    Channel {
        name: name.into(),
        way,
        events: KINDS.iter().map(|row| row.kind).collect(),
        least: Urgency::Info,
        only: Vec::new(),
        labels: Vec::new(),
        backup: false,
        template: None,
        rate: (6, Duration::from_secs(60)),
        group: Duration::from_secs(5),
        ca_file: None,
    }
}

pub fn secret(variable: &str) -> Secret {
    Secret { source: Source::Env(variable.into()), prefix: String::new() }
}
