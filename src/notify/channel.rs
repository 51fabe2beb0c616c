//! A channel: where to, how, and what of all that happens.

pub mod email;
pub mod pagerduty;
pub mod slack;
pub mod teams;
pub mod telegram;
pub mod terminal;
pub mod webhook;

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;

use crate::{
    notify::{
        event::{Event, Kind, Urgency},
        message::Message,
    },
    secret::Secret,
    settings::wildcard,
    verdict::rules::Label,
};

/// One channel of the settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    pub name: String,
    pub way: Way,
    pub events: Vec<Kind>,
    /// Nothing quieter than this.
    pub least: Urgency,
    /// Patterns of `namespace/name`; none is all.
    pub only: Vec<String>,
    /// Labels that the rollout must have.
    pub labels: Vec<Label>,
    /// Told only what others could not, and what is urgent.
    pub backup: bool,
    pub template: Option<String>,
    /// Messages that may be sent within a time.
    pub rate: (u32, Duration),
    /// Events of one release within this time are one message.
    pub group: Duration,
    /// Authority to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// How a channel is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum Way {
    Slack { url: Secret },
    Teams { url: Secret },
    Telegram { token: Secret, chat: String, api: String },
    PagerDuty { key: Secret, url: String },
    Email(email::Email),
    Webhook { url: Address, secret: Secret, headers: Vec<(String, Secret)> },
    Terminal(terminal::How),
}

/// An address that may be written down, or one that is a secret itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Address {
    Plain(String),
    Secret(Secret),
}

impl Way {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Slack { .. } => "slack",
            Self::Teams { .. } => "teams",
            Self::Telegram { .. } => "telegram",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Email(_) => "email",
            Self::Webhook { .. } => "webhook",
            Self::Terminal(_) => "terminal",
        }
    }

    /// Where its secrets come from.
    pub fn secrets(&self) -> Vec<&Secret> {
        match self {
            Self::Slack { url } | Self::Teams { url } => vec![url],
            Self::Telegram { token, .. } => vec![token],
            Self::PagerDuty { key, .. } => vec![key],
            Self::Email(email) => email.password.iter().collect(),
            Self::Webhook { url, secret, headers } => {
                let url = if let Address::Secret(url) = url { Some(url) } else { None };
                url.into_iter().chain([secret]).chain(headers.iter().map(|(_, value)| value)).collect()
            }
            Self::Terminal(_) => Vec::new(),
        }
    }

    /// Where to, as far as that is no secret.
    pub fn place(&self) -> String {
        match self {
            Self::Slack { url } | Self::Teams { url } => format!("address from {}", url.words()),
            Self::Telegram { chat, token, .. } => format!("chat {chat}, token from {}", token.words()),
            Self::PagerDuty { url, key } => format!("{url}, key from {}", key.words()),
            Self::Email(email) => email.place(),
            Self::Webhook { url: Address::Plain(url), secret, .. } => format!("{url}, signed with {}", secret.words()),
            Self::Webhook { url: Address::Secret(url), secret, .. } => {
                format!("address from {}, signed with {}", url.words(), secret.words())
            }
            Self::Terminal(how) => how.name().to_owned(),
        }
    }
}

impl Channel {
    /// `team (slack)`.
    pub fn label(&self) -> String {
        format!("{} ({})", self.name, self.way.kind())
    }

    pub fn is_terminal(&self) -> bool {
        matches!(self.way, Way::Terminal(_))
    }

    /// Whether an event is for this channel by itself.
    pub fn wants(&self, event: &Event) -> bool {
        let asked = !self.backup && event.urgency >= self.least && self.events.contains(&event.kind);
        self.covers(event) && (event.urgency == Urgency::Urgent || asked || self.closes(event.kind))
    }

    /// An incident that nobody closes is worse than none; closing one that is not open does nothing.
    fn closes(&self, kind: Kind) -> bool {
        matches!(self.way, Way::PagerDuty { .. }) && pagerduty::only_closes(kind)
    }

    /// Whether a rollout is among those this channel is about.
    pub fn covers(&self, event: &Event) -> bool {
        let path = event.id.path();
        (self.only.is_empty() || self.only.iter().any(|pattern| wildcard(pattern, &path)))
            && self.labels.iter().all(|label| label.fits(&event.labels))
    }

    /// What it keeps on disk is found under this name.
    pub fn folder(&self) -> String {
        let safe: String = self.name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        let whole = format!("{:?}", (&self.name, &self.way));
        format!("{safe}-{}", super::short_hash(&whole))
    }
}

/// What is sent over HTTP.
#[derive(Debug)]
pub struct Request {
    pub url: SecretString,
    pub headers: Vec<(String, SecretString)>,
    pub body: Vec<u8>,
    /// Holds a secret, and must not go in the clear.
    pub secret: bool,
}

impl Request {
    pub fn json(url: SecretString, body: &serde_json::Value) -> Self {
        Self { url, headers: Vec::new(), body: body.to_string().into_bytes(), secret: true }
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was taken; what the server said.
    Taken(String),
    /// Not now: worth another attempt, not before a time the server named.
    Later { why: String, after: Option<Duration> },
    /// Not like this: another attempt would fare the same.
    Refused(String),
}

/// The requests of a message, for channels over HTTP; `secrets` in the order of [`Way::secrets`].
pub fn requests(channel: &Channel, message: &Message, secrets: &[SecretString], now: crate::model::Time) -> Vec<Request> {
    let secret = |i: usize| secrets.get(i).cloned().unwrap_or_default();
    let template = channel.template.as_deref();
    match &channel.way {
        Way::Slack { .. } => vec![Request::json(secret(0), &slack::payload(message, template))],
        Way::Teams { .. } => vec![Request::json(secret(0), &teams::payload(message, template))],
        Way::Telegram { chat, api, .. } => {
            vec![Request::json(telegram::address(api, &secret(0)), &telegram::payload(message, chat, template))]
        }
        Way::PagerDuty { url, .. } => {
            let all = pagerduty::payloads(message, &secret(0), template);
            all.iter().map(|body| Request::json(url.clone().into(), body)).collect()
        }
        Way::Webhook { url: way_url, headers, .. } => {
            let mut secrets = secrets.iter().cloned();
            let url = match way_url {
                Address::Plain(url) => url.clone().into(),
                Address::Secret(_) => secrets.next().unwrap_or_default(),
            };
            let key = secrets.next().unwrap_or_default();
            let names = headers.iter().map(|(name, _)| name.clone());
            // A signature tells nobody the key.
            let secret = !headers.is_empty() || matches!(way_url, Address::Secret(_));
            vec![Request { secret, ..webhook::request(message, url, &key, names.zip(secrets).collect(), template, now) }]
        }
        Way::Email(_) | Way::Terminal(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
