//! What a channel is sent: the events of one release, or of several where there were too many messages.

use serde::Serialize;

use crate::{
    model::{Text, Time},
    notify::event::{Event, Kind, Urgency},
};

/// Longest text of a message, in characters; every provider takes this much.
const LONGEST: usize = 2_000;
/// Events told one by one in a message; of more only the number is told.
const MOST: usize = 20;

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The same for every attempt to send it.
    pub id: String,
    /// Oldest first; at least one.
    pub events: Vec<Event>,
    /// Why it comes here: channels that could not tell it.
    pub instead: Vec<String>,
    /// An earlier attempt may have arrived after all.
    pub again: bool,
    /// Messages that this one stands for, when there were too many.
    pub folded: usize,
}

/// A field of a template, and what it is.
pub const FIELDS: &[(&str, &str)] = &[
    ("title", "one line: the rollout, and what happened"),
    ("text", "every event of the message, a line each"),
    ("event", "waits, abort-advised, aborted, …: the loudest of the message"),
    ("severity", "info, warning, critical or urgent"),
    ("rollout", "namespace/name"),
    ("context", "the kubeconfig context"),
    ("namespace", "of the rollout"),
    ("name", "of the rollout"),
    ("kind", "such as Rollout or Deployment"),
    ("release", "hash of the new version"),
    ("images", "of the new version"),
    ("phase", "healthy, progressing, waiting, …"),
    ("step", "such as 4/8"),
    ("verdict", "the verdict in one sentence"),
    ("time", "of the last event, UTC"),
    ("count", "number of events in the message"),
    ("id", "the same for every attempt to send the message"),
];

impl Message {
    /// The event that the message is about, before all others.
    pub fn main(&self) -> Option<&Event> {
        self.events.iter().max_by_key(|e| (e.urgency, e.at))
    }

    pub fn urgency(&self) -> Urgency {
        self.main().map_or(Urgency::Info, |e| e.urgency)
    }

    pub fn at(&self) -> Time {
        self.events.iter().map(|e| e.at).max().unwrap_or_default()
    }

    /// Whether several releases share it.
    fn is_digest(&self) -> bool {
        self.events.iter().any(|e| self.events.first().is_some_and(|first| first.id != e.id))
    }

    pub fn title(&self) -> String {
        let Some(main) = self.main() else { return String::new() };
        let place = if main.id.context.is_empty() { String::new() } else { format!(" · {}", main.id.context) };
        let loud = if main.urgency == Urgency::Urgent { "URGENT: " } else { "" };
        if self.is_digest() {
            let mut ids: Vec<_> = self.events.iter().map(|e| &e.id).collect();
            ids.sort();
            ids.dedup();
            return format!("{loud}{} and {} more{place}", main.title(), ids.len() - 1);
        }
        format!("{loud}{}{place}", main.title())
    }

    /// Every event, and what is to be known about the message itself.
    pub fn lines(&self) -> Vec<String> {
        let many = self.is_digest();
        let mut lines: Vec<String> = self
            .events
            .iter()
            .take(MOST)
            .map(|e| {
                let who = if many && e.kind != Kind::Test { format!("{} ", e.id.path()) } else { String::new() };
                format!("{} {who}{}", e.at.format("%H:%M:%SZ"), e.text)
            })
            .collect();
        if self.events.len() > MOST {
            lines.push(format!("… and {} more", self.events.len() - MOST));
        }
        if self.folded > 1 {
            lines.push(format!("{} messages in one: more than this channel is to be sent", self.folded));
        }
        lines.extend(self.instead.iter().map(|why| format!("told here because {why}")));
        if self.again {
            lines.push("you may have had this before: an earlier attempt got no clear answer".to_owned());
        }
        lines
    }

    pub fn text(&self) -> String {
        shorten(&self.lines().join("\n"), LONGEST)
    }

    /// What a field of a template stands for here.
    pub fn field(&self, name: &str) -> Option<String> {
        let main = self.main()?;
        Some(match name {
            "title" => self.title(),
            "text" => self.text(),
            "event" => main.kind.row().name.to_owned(),
            "severity" => self.urgency().name().to_owned(),
            "rollout" => main.id.path(),
            "context" => main.id.context.to_string(),
            "namespace" => main.id.namespace.to_string(),
            "name" => main.id.name.to_string(),
            "kind" => main.id.kind.to_string(),
            "release" => main.release.to_string(),
            "images" => main.images.iter().map(|i| &**i).collect::<Vec<_>>().join(", "),
            "phase" => main.phase.to_string(),
            "step" => main.step.to_string(),
            "verdict" => main.verdict.to_string(),
            "time" => self.at().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            "count" => self.events.len().to_string(),
            "id" => self.id.clone(),
            _ => return None,
        })
    }

    /// A template with its fields filled in, each made harmless for its format.
    pub fn fill(&self, template: &str, harmless: impl Fn(&str) -> String) -> String {
        pieces(template)
            .into_iter()
            .map(|piece| match piece {
                Piece::Plain(text) => text.to_owned(),
                Piece::Field(name) => harmless(&self.field(name).unwrap_or_default()),
            })
            .collect()
    }

    /// The facts, for who reads them by machine.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            id: &self.id,
            title: self.title(),
            text: self.text(),
            severity: self.urgency(),
            time: self.at(),
            events: &self.events,
            instead_of: &self.instead,
            maybe_repeated: self.again,
        }
    }
}

/// A message as the generic webhook sends it; the names are stable.
#[derive(Debug, Serialize)]
pub struct Facts<'a> {
    id: &'a str,
    title: String,
    text: String,
    severity: Urgency,
    time: Time,
    events: &'a [Event],
    instead_of: &'a [String],
    maybe_repeated: bool,
}

/// Cut to so many characters.
pub fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most.saturating_sub(1)) {
        Some((at, _)) if text.chars().count() > most => format!("{}…", &text[..at]),
        _ => text.to_owned(),
    }
}

/// A part of a template.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Plain(&'a str),
    Field(&'a str),
}

/// A field is a word in braces; any other brace is what it is, as JSON is full of them.
fn pieces(template: &str) -> Vec<Piece<'_>> {
    let (mut found, mut rest) = (Vec::new(), template);
    while let Some(open) = rest.find('{') {
        let inside = &rest[open + 1..];
        let word = inside.find(|c: char| !c.is_ascii_lowercase() && c != '-').map(|end| &inside[..end]);
        match word.filter(|word| !word.is_empty() && inside[word.len()..].starts_with('}')) {
            Some(word) => {
                found.push(Piece::Plain(&rest[..open]));
                found.push(Piece::Field(word));
                rest = &inside[word.len() + 1..];
            }
            None => {
                found.push(Piece::Plain(&rest[..=open]));
                rest = inside;
            }
        }
    }
    found.push(Piece::Plain(rest));
    found
}

/// The first field of a template that there is not.
pub fn unknown_field(template: &str) -> Option<&str> {
    pieces(template).into_iter().find_map(|piece| match piece {
        Piece::Field(name) if FIELDS.iter().all(|(known, _)| *known != name) => Some(name),
        _ => None,
    })
}

/// A value inside the quotes of a JSON text.
pub fn in_json(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"')).unwrap_or_default().to_owned()
}

/// A value in HTML, as Telegram takes it.
pub fn in_html(value: &str) -> String {
    value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A value in Slack's markup: its three control characters, and an invisible stop before what would format.
pub fn in_slack(value: &str) -> String {
    let mut out = String::new();
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '*' | '_' | '~' | '`' => out.extend(['\u{200b}', c, '\u{200b}']),
            c => out.push(c),
        }
    }
    out
}

/// A value in Markdown, as Teams takes it.
pub fn in_markdown(value: &str) -> String {
    let mut out = String::new();
    for c in value.chars() {
        if "\\`*_{}[]()<>#+-!|~".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A line of a message of our own about nothing but the channel.
pub fn test(context: &str, now: Time) -> Message {
    let id = crate::model::Id { context: context.into(), namespace: "".into(), kind: "".into(), name: "".into(), uid: "test".into() };
    let event = Event {
        at: now,
        kind: Kind::Test,
        urgency: Urgency::Info,
        id,
        release: Text::default(),
        text: "this is a test of `rolltop notify test`: nothing happened".into(),
        mark: now.timestamp_millis().to_string().into(),
        phase: Text::default(),
        step: Text::default(),
        verdict: Text::default(),
        images: Vec::new(),
        labels: Default::default(),
    };
    Message { id: format!("test-{}", now.timestamp_millis()), events: vec![event], instead: Vec::new(), again: false, folded: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_text_with_words_in_braces() {
        assert_eq!(
            pieces(r#"{"a": "{title}", "b": {}}"#),
            [Piece::Plain(r#"{"#), Piece::Plain(r#""a": ""#), Piece::Field("title"), Piece::Plain(r#"", "b": {"#), Piece::Plain("}}")]
        );
        assert_eq!(unknown_field("{title} {nmae}"), Some("nmae"));
        let message = test("prod", Time::default());
        assert!(FIELDS.iter().all(|(name, _)| message.field(name).is_some()), "every documented field has a value");
    }

    #[test]
    fn shortening_counts_characters() {
        assert_eq!(shorten("äöü", 3), "äöü");
        assert_eq!(shorten("äöüß", 3), "äö…");
    }
}
