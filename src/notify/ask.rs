//! `rolltop notify`: whom it tells, how each channel fares, and a test message.

use std::path::Path;

use super::{
    channel::{Answer, Channel, Way},
    event::Urgency,
    message,
    outbox::Outbox,
    post,
};
use crate::model::Time;

/// Every channel, what it is told, and how it fares.
pub async fn list(channels: &[Channel], state_dir: Option<&Path>) -> String {
    if channels.is_empty() {
        return "nobody is told anything: write [[notify]] into the settings (rolltop config --example)\n".into();
    }
    let outbox = state_dir.map(|dir| dir.join("notify")).filter(|dir| dir.is_dir()).and_then(|dir| Outbox::open(&dir).ok());
    let mut out = String::new();
    for channel in channels {
        out.push_str(&describe(channel, outbox.as_ref()));
        for secret in channel.way.secrets() {
            if let Err(why) = secret.get().await {
                out.push_str(&format!("  lacks {why}\n"));
            }
        }
    }
    out
}

fn describe(channel: &Channel, outbox: Option<&Outbox>) -> String {
    let events: Vec<&str> = channel.events.iter().map(|kind| kind.row().name).collect();
    let mut told = if channel.backup { "what others could not be told".to_owned() } else { events.join(", ") };
    if channel.least > Urgency::Info && !channel.backup {
        told.push_str(&format!("; from {} on", channel.least.name()));
    }
    if !channel.only.is_empty() {
        told.push_str(&format!("; only {}", channel.only.join(", ")));
    }
    for label in &channel.labels {
        let is = if label.holds { "with" } else { "without" };
        let value = label.value.as_ref().map(|value| format!("={value}")).unwrap_or_default();
        told.push_str(&format!("; {is} {}{value}", label.key));
    }
    let mut out = format!("{}\n  to    {}\n  told  {told}\n", channel.label(), channel.way.place());
    if let Some(outbox) = outbox.filter(|_| !channel.is_terminal()) {
        match outbox.count(channel) {
            0 => {}
            n => out.push_str(&format!("  waits {n} to be sent by the next session\n")),
        }
        if let Some(trouble) = outbox.trouble(channel) {
            out.push_str(&format!("  since {} {}\n", trouble.at.format("%Y-%m-%d %H:%M:%SZ"), trouble.text));
        }
    }
    out
}

/// How a test message fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tested {
    /// It was taken; what the server said.
    Taken(String),
    /// For the terminal that asks.
    Ring(String),
    /// A secret is not there.
    NoSecret(String),
    Unreachable(String),
    Refused(String),
}

/// Sends one marked message, past the outbox.
pub async fn test(channel: &Channel, context: &str, now: Time) -> Tested {
    let message = message::test(context, now);
    if let Way::Terminal(how) = channel.way {
        return Tested::Ring(how.bytes(&message));
    }
    for secret in channel.way.secrets() {
        if let Err(why) = secret.get().await {
            return Tested::NoSecret(why.to_string());
        }
    }
    match post::post(channel, &message, now).await {
        Answer::Taken(said) => Tested::Taken(said),
        Answer::Later { why, .. } => Tested::Unreachable(why),
        Answer::Refused(why) => Tested::Refused(why),
    }
}
