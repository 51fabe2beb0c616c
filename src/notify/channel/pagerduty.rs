//! PagerDuty's Events API v2: incidents that close themselves.
//!
//! A release has at most three incidents: one while it waits for a human, one about how it fares, and one when a roll-back did
//! not help or could not be done. The last is its own, as an incident that somebody took on calls nobody again.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::notify::{
    event::{Event, Kind, Topic, Urgency},
    message::{Message, shorten},
};

pub const URL: &str = "https://events.pagerduty.com/v2/enqueue";

const SUMMARY: usize = 1_024;

/// What becomes of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Trigger,
    Acknowledge,
    Resolve,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Acknowledge => "acknowledge",
            Self::Resolve => "resolve",
        }
    }
}

const INCIDENTS: [&str; 3] = ["wait", "release", "roll-back"];

/// What an event does to each of them.
fn actions(kind: Kind) -> [Option<Action>; 3] {
    use Action::{Acknowledge, Resolve, Trigger};
    match kind {
        Kind::Waits => [Some(Trigger), None, None],
        Kind::GoesOn => [Some(Resolve), None, None],
        Kind::AbortAdvised | Kind::HoldAdvised | Kind::Failed | Kind::Test => [None, Some(Trigger), None],
        Kind::GoAdvised => [None, Some(Resolve), None],
        Kind::Acted | Kind::GuardActed => [Some(Acknowledge), Some(Acknowledge), None],
        Kind::Aborted => [Some(Resolve), Some(Resolve), None],
        Kind::NotRecovered | Kind::AbortFailed => [None, None, Some(Trigger)],
        Kind::Recovered | Kind::Completed => [Some(Resolve), Some(Resolve), Some(Resolve)],
        Kind::Armed | Kind::Disarmed | Kind::GuardPromoted => [None, None, None],
    }
}

/// Whether an event opens nothing and ends something.
pub fn only_closes(kind: Kind) -> bool {
    let actions = actions(kind);
    actions.contains(&Some(Action::Resolve)) && !actions.contains(&Some(Action::Trigger))
}

/// One event for each incident that the message changes: the last word counts.
pub fn payloads(message: &Message, key: &SecretString, template: Option<&str>) -> Vec<Value> {
    let mut last: BTreeMap<String, (Action, &Event)> = BTreeMap::new();
    for event in &message.events {
        for (action, incident) in actions(event.kind).into_iter().zip(INCIDENTS) {
            let Some(action) = action else { continue };
            last.insert(dedup_key(event, incident), (action, event));
        }
    }
    last.into_iter().map(|(dedup, (action, event))| payload(message, key, template, &dedup, action, event)).collect()
}

/// The same for all that is about one release, whoever sends it.
fn dedup_key(event: &Event, incident: &str) -> String {
    if event.kind.row().topic == Topic::Test {
        return format!("rolltop-{}", event.mark);
    }
    let whole = format!("{} {} {}", event.id.context, event.id.uid, event.release);
    format!("rolltop-{}-{incident}", crate::notify::long_hash(&whole))
}

fn payload(message: &Message, key: &SecretString, template: Option<&str>, dedup: &str, action: Action, event: &Event) -> Value {
    let mut body = json!({"routing_key": key.expose_secret(), "event_action": action.name(), "dedup_key": dedup});
    if action != Action::Trigger {
        return body;
    }
    let summary = match template {
        Some(template) => message.fill(template, str::to_owned),
        None => format!("{}: {}", event.title(), event.text),
    };
    let severity = match event.urgency {
        Urgency::Info => "info",
        Urgency::Warning => "warning",
        Urgency::Critical | Urgency::Urgent => "critical",
    };
    let place = format!("{} {}", event.id.context, if event.id.name.is_empty() { String::new() } else { event.id.path() });
    // PagerDuty refuses an event that comes from nowhere.
    let source = if place.trim().is_empty() { "rolltop" } else { place.trim() };
    body["client"] = "rolltop".into();
    body["payload"] = json!({
        "summary": shorten(&summary, SUMMARY),
        "source": source,
        "severity": severity,
        "timestamp": event.at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        "component": &*event.id.name,
        "group": &*event.id.namespace,
        "class": event.kind.row().name,
        "custom_details": {
            "text": message.text(), "phase": event.phase, "step": event.step, "verdict": event.verdict,
            "images": event.images, "release": event.release,
        },
    });
    body
}
