//! `[[notify]]`: whom to tell what, as it is written. Secrets are named here and never written down.

use std::{collections::BTreeMap, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    layer::{Layer, Mistake, Origin, Value},
    secret::{self, FORM, expanded},
};
use crate::notify::{
    channel::{
        Address, Channel, Way,
        email::{Email, SAFETIES, Safety},
        pagerduty, telegram,
        terminal::{HOWS, How},
    },
    event::{KINDS, Kind, URGENCIES, Urgency},
    message::{self, FIELDS},
};
use crate::{
    secret::Secret,
    settings::{NAMING, names_rollouts},
    verdict::rules::Label,
    web,
};

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Raw {
    Text(String),
    List(Vec<String>),
    Secret(Secret),
    /// Named as a mistake already.
    Broken,
    /// Names, each with a secret.
    Table(Written),
    Bool(bool),
}

/// One channel as it was written: values by setting, each with its place.
pub type Written = BTreeMap<String, (Raw, Origin)>;

/// Reads `[[notify]]` as far as TOML goes.
pub fn read(value: &Spanned<DeValue<'_>>, origin: &impl Fn(usize) -> Origin, mistakes: &mut Vec<Mistake>) -> Vec<(Written, Origin)> {
    let wrong = |at: usize| Mistake { origin: origin(at), text: "notify must be written as [[notify]], a table each".into() };
    let Some(all) = value.get_ref().as_array() else {
        mistakes.push(wrong(value.span().start));
        return Vec::new();
    };
    let mut found = Vec::new();
    for one in all {
        match one.get_ref().as_table() {
            Some(table) => found.push((written("notify", table, origin, mistakes), origin(one.span().start))),
            None => mistakes.push(wrong(one.span().start)),
        }
    }
    found
}

fn written(path: &str, table: &DeTable<'_>, origin: &impl Fn(usize) -> Origin, mistakes: &mut Vec<Mistake>) -> Written {
    let mut out = Written::new();
    for (key, value) in table {
        let at = origin(value.span().start);
        let name = key.get_ref().to_string();
        let raw = match value.get_ref() {
            DeValue::String(text) => Some(Raw::Text(text.to_string())),
            DeValue::Integer(n) => Some(Raw::Text(n.as_str().to_owned())),
            DeValue::Boolean(on) => Some(Raw::Bool(*on)),
            DeValue::Array(items) => items.iter().map(|i| i.get_ref().as_str().map(str::to_owned)).collect::<Option<_>>().map(Raw::List),
            DeValue::Table(inner) if name == "headers" && path == "notify" => {
                Some(Raw::Table(written(&format!("{path}.{name}"), inner, origin, mistakes)))
            }
            DeValue::Table(_) => match secret::read(value) {
                Ok(secret) => Some(Raw::Secret(secret)),
                Err((at, why)) => {
                    mistakes.push(Mistake { origin: origin(at), text: format!("{path}.{name}: {why}") });
                    Some(Raw::Broken)
                }
            },
            _ => None,
        };
        match raw {
            Some(raw) => drop(out.insert(name, (raw, at))),
            None => mistakes.push(Mistake { origin: at, text: format!("{path}.{name} must be a text, a list of texts, or a table") }),
        }
    }
    out
}

/// The channels of a session, every mistake with its place.
pub fn channels(values: &Layer, mistakes: &mut Vec<Mistake>) -> Vec<Channel> {
    let Some((Value::Channels(all), _)) = values.get("notify") else { return Vec::new() };
    let mut channels: Vec<Channel> = Vec::new();
    for (written, origin) in all {
        let mut reader = Reader { written: written.clone(), origin, mistakes: Vec::new() };
        let channel = reader.channel();
        if let Some(channel) = channel.filter(|_| reader.mistakes.is_empty()) {
            if channels.iter().any(|other| other.name == channel.name) {
                reader.wrong("name", format!("there are two channels named '{}': give each a name of its own", channel.name));
            } else {
                channels.push(channel);
            }
        }
        mistakes.extend(reader.mistakes);
    }
    channels
}

/// Takes the settings of one channel out one by one; what is left is unknown.
struct Reader<'a> {
    written: Written,
    origin: &'a Origin,
    mistakes: Vec<Mistake>,
}

/// Settings of every kind of channel.
const COMMON: [&str; 11] = ["name", "kind", "events", "severity", "only", "labels", "backup", "template", "rate", "group", "ca-file"];

/// Kinds of channels with the settings of their own.
const WAYS: [(&str, &[&str]); 7] = [
    ("slack", &["url"]),
    ("telegram", &["token", "chat", "api"]),
    ("pagerduty", &["key", "url"]),
    ("email", &["server", "tls", "user", "password", "from", "to"]),
    ("webhook", &["url", "secret", "headers"]),
    ("teams", &["url"]),
    ("terminal", &["how"]),
];

impl Reader<'_> {
    fn wrong(&mut self, key: &str, text: impl Into<String>) {
        let origin = self.written.get(key).map_or_else(|| self.origin.clone(), |(_, at)| at.clone());
        self.mistakes.push(Mistake { origin, text: text.into() });
    }

    fn channel(&mut self) -> Option<Channel> {
        let kinds: Vec<&str> = WAYS.iter().map(|(kind, _)| *kind).collect();
        let kind = self.needed("kind", &format!("one of {}", kinds.join(", ")))?;
        let Some((_, own)) = WAYS.iter().find(|(known, _)| *known == kind) else {
            self.wrong("kind", format!("notify.kind = '{kind}' is not one of {}", kinds.join(", ")));
            return None;
        };
        let unknown: Vec<String> =
            self.written.keys().filter(|k| !COMMON.contains(&k.as_str()) && !own.contains(&k.as_str())).cloned().collect();
        for key in unknown {
            let known: Vec<&str> = COMMON.iter().chain(own.iter()).copied().collect();
            self.wrong(&key, format!("unknown setting 'notify.{key}' of kind {kind}; known here: {}", known.join(", ")));
        }
        let name = self.text("name").unwrap_or_else(|| kind.clone());
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c)) {
            self.wrong("name", format!("notify.name = '{name}': write letters, digits, - _ and ."));
        }
        let (events, only, labels) = (self.events(), self.only(), self.labels());
        let least = self.word("severity", &URGENCIES).unwrap_or(Urgency::Info);
        let (rate, group) = (self.rate(), self.duration("group").unwrap_or(Duration::from_secs(5)));
        let (backup, template) = (self.flag("backup"), self.template(&kind));
        let ca_file = self.text("ca-file").map(|path| expanded(&path));
        let way = self.way(&kind)?;
        Some(Channel { name, way, events, least, only, labels, backup, template, rate, group, ca_file })
    }

    fn way(&mut self, kind: &str) -> Option<Way> {
        match kind {
            "slack" => Some(Way::Slack { url: self.secret("url")? }),
            "teams" => Some(Way::Teams { url: self.secret("url")? }),
            "telegram" => {
                let token = self.secret("token");
                let chat = self.needed("chat", "the chat's number, or @name of a channel");
                let api = self.address("api", telegram::API);
                Some(Way::Telegram { token: token?, chat: chat?, api: api? })
            }
            "pagerduty" => {
                let key = self.secret("key");
                let url = self.address("url", pagerduty::URL);
                Some(Way::PagerDuty { key: key?, url: url? })
            }
            "email" => self.email().map(Way::Email),
            "webhook" => {
                let url = match self.written.get("url") {
                    Some((Raw::Secret(_) | Raw::Broken, _)) => self.secret("url").map(Address::Secret),
                    _ => self.needed("url", "an address, or where it comes from: { env = \"…\" }").and_then(|_| {
                        let url = self.address("url", "")?;
                        if url.contains(['?', '@']) {
                            self.wrong("url", format!("notify.url may hold a secret (a login, or what comes after ?): write {FORM}"));
                            return None;
                        }
                        Some(Address::Plain(url))
                    }),
                };
                let secret = self.secret("secret");
                let headers = self.headers();
                Some(Way::Webhook { url: url?, secret: secret?, headers })
            }
            _ => Some(Way::Terminal(self.word("how", &HOWS).unwrap_or(How::Bell))),
        }
    }

    fn email(&mut self) -> Option<Email> {
        let safety = self.word("tls", &SAFETIES).unwrap_or(Safety::StartTls);
        let user = self.text("user");
        let password = if self.written.contains_key("password") { self.secret("password") } else { None };
        if user.is_some() != self.written.contains_key("password") {
            self.wrong("user", "notify.user and notify.password go together");
        }
        let from = self.needed("from", "the sender's address");
        let from = from.and_then(|from| self.mailbox("from", &from));
        let to = self.list("to").unwrap_or_default();
        if to.is_empty() {
            self.wrong("to", "a channel of kind email needs notify.to: the addresses to write to");
        }
        let to: Vec<_> = to.iter().filter_map(|to| self.mailbox("to", to)).collect();
        let server = self.needed("server", "the mail server, such as \"smtp.example.com:587\"")?;
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() => (host.trim_matches(['[', ']']).to_owned(), port.parse().ok()),
            _ => (server.clone(), Some(if safety == Safety::Tls { 465 } else { 587 })),
        };
        let Some(port) = port else {
            self.wrong("server", format!("notify.server = '{server}': write host:port, such as \"smtp.example.com:587\""));
            return None;
        };
        if safety == Safety::None && user.is_some() && !web::is_local(&host) {
            self.wrong("tls", "notify.tls = 'none' would send the password in the clear: write \"starttls\" or \"tls\"");
        }
        Some(Email { host, port, safety, user, password, from: from?, to })
    }

    fn mailbox(&mut self, key: &str, text: &str) -> Option<lettre::message::Mailbox> {
        let read = text.parse().ok();
        if read.is_none() {
            self.wrong(key, format!("notify.{key} = '{text}' is no mail address"));
        }
        read
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.written.get(key) {
            Some((Raw::Text(text), _)) => Some(text.clone()),
            Some(_) => {
                self.wrong(key, format!("notify.{key} must be a text in quotes"));
                None
            }
            None => None,
        }
    }

    fn needed(&mut self, key: &str, what: &str) -> Option<String> {
        if !self.written.contains_key(key) {
            self.wrong(key, format!("a channel needs notify.{key}: {what}"));
            return None;
        }
        self.text(key)
    }

    fn list(&mut self, key: &str) -> Option<Vec<String>> {
        match self.written.get(key) {
            Some((Raw::List(list), _)) => Some(list.clone()),
            Some((Raw::Text(text), _)) => Some(vec![text.clone()]),
            Some(_) => {
                self.wrong(key, format!("notify.{key} must be a list of texts"));
                None
            }
            None => None,
        }
    }

    fn flag(&mut self, key: &str) -> bool {
        match self.written.get(key) {
            Some((Raw::Bool(on), _)) => *on,
            Some(_) => {
                self.wrong(key, format!("notify.{key} must be true or false"));
                false
            }
            None => false,
        }
    }

    fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(key, format!("notify.{key} = '{text}' is not one of {}", known.join(", ")));
        }
        found
    }

    fn duration(&mut self, key: &str) -> Option<Duration> {
        let text = self.text(key)?;
        let read = humantime::parse_duration(&text).ok();
        if read.is_none() {
            self.wrong(key, format!("notify.{key} = '{text}' is not a duration such as \"5s\" or \"2m\""));
        }
        read
    }

    /// `6 per 1m`.
    fn rate(&mut self) -> (u32, Duration) {
        const USUAL: (u32, Duration) = (6, Duration::from_secs(60));
        let Some(text) = self.text("rate") else { return USUAL };
        let read = text.split_once(" per ").and_then(|(n, time)| {
            let time = humantime::parse_duration(time.trim()).ok().filter(|t| !t.is_zero())?;
            Some((n.trim().parse().ok().filter(|n| *n > 0)?, time))
        });
        read.unwrap_or_else(|| {
            self.wrong("rate", format!("notify.rate = '{text}': write messages per time, such as \"6 per 1m\""));
            USUAL
        })
    }

    fn events(&mut self) -> Vec<Kind> {
        let Some(names) = self.list("events") else { return KINDS.iter().filter(|row| row.usual).map(|row| row.kind).collect() };
        let mut found = Vec::new();
        for name in &names {
            match Kind::named(name) {
                Some(kind) => found.push(kind),
                None if name == "all" => found.extend(KINDS.iter().map(|row| row.kind)),
                None => {
                    let known: Vec<&str> = KINDS.iter().filter(|row| row.kind != Kind::Test).map(|row| row.name).chain(["all"]).collect();
                    self.wrong("events", format!("notify.events: '{name}' is not one of {}", known.join(", ")));
                }
            }
        }
        found
    }

    fn only(&mut self) -> Vec<String> {
        let only = self.list("only").unwrap_or_default();
        if !only.iter().all(|pattern| names_rollouts(pattern)) {
            self.wrong("only", format!("notify.only: {NAMING}, such as \"shop/*\""));
        }
        only
    }

    fn labels(&mut self) -> Vec<Label> {
        let Some(text) = self.text("labels") else { return Vec::new() };
        super::rules::labels(&text).unwrap_or_else(|why| {
            self.wrong("labels", format!("notify.labels = '{text}': {why}"));
            Vec::new()
        })
    }

    fn headers(&mut self) -> Vec<(String, Secret)> {
        let Some((Raw::Table(table), _)) = self.written.get("headers").cloned() else {
            if self.written.contains_key("headers") {
                self.wrong("headers", "notify.headers must be a table: { X-Token = { env = \"…\" } }");
            }
            return Vec::new();
        };
        let mut found = Vec::new();
        for (name, (raw, at)) in table {
            match secret(&raw) {
                _ if raw == Raw::Broken => {}
                _ if http::HeaderName::try_from(&name).is_err() => {
                    self.mistakes.push(Mistake { origin: at, text: format!("notify.headers: '{name}' is no name of a header") });
                }
                Ok(secret) => found.push((name, secret)),
                Err(why) => self.mistakes.push(Mistake { origin: at, text: format!("notify.headers.{name} {why}") }),
            }
        }
        found
    }

    /// An address without a secret.
    fn address(&mut self, key: &str, usual: &str) -> Option<String> {
        if !self.written.contains_key(key) {
            return Some(usual.to_owned());
        }
        let text = self.text(key)?;
        let fits = reqwest::Url::parse(&text).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        if !fits {
            self.wrong(key, format!("notify.{key} is no address: write one that begins with https://"));
        }
        fits.then_some(text)
    }

    fn secret(&mut self, key: &str) -> Option<Secret> {
        match self.written.get(key).map(|(raw, _)| secret(raw)) {
            Some(_) if matches!(self.written.get(key), Some((Raw::Broken, _))) => None,
            None => {
                self.wrong(key, format!("a channel of this kind needs notify.{key}: write {FORM}"));
                None
            }
            Some(Ok(secret)) => Some(secret),
            Some(Err(why)) => {
                self.wrong(key, format!("notify.{key} {why}"));
                None
            }
        }
    }

    fn template(&mut self, kind: &str) -> Option<String> {
        let template = self.text("template")?;
        if let Some(field) = message::unknown_field(&template) {
            let known: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
            self.wrong("template", format!("notify.template: there is no field {{{field}}}; there are {}", known.join(", ")));
        }
        if kind == "terminal" {
            self.wrong("template", "a terminal shows the title: it takes no template");
        }
        let filled = message::test("", crate::model::Time::default()).fill(&template, message::in_json);
        if kind == "webhook"
            && let Err(error) = serde_json::from_str::<serde_json::Value>(&filled)
        {
            self.wrong(
                "template",
                format!("notify.template is no JSON once its fields are filled in: {error}; fields stand inside quotes"),
            );
        }
        Some(template)
    }
}

/// The text itself is refused, and not repeated.
fn secret(raw: &Raw) -> Result<Secret, String> {
    match raw {
        Raw::Secret(secret) => Ok(secret.clone()),
        _ => Err(format!("is a secret and must not stand in a file of settings: write {FORM}")),
    }
}

/// What the administrator wants told stays, and comes first; one's own are added.
pub fn add_up(values: &mut Layer, ceiling: &Layer) {
    let Some((Value::Channels(demanded), origin)) = ceiling.get("notify") else { return };
    let mut all = demanded.clone();
    if let Some((Value::Channels(own), _)) = values.get("notify") {
        all.extend(own.iter().filter(|one| !demanded.contains(one)).cloned());
    }
    values.insert("notify", (Value::Channels(all), origin.clone()));
}

/// One line of `rolltop config`: names, kinds and where secrets come from.
pub fn show(all: &[(Written, Origin)]) -> String {
    let text = |written: &Written, key: &str| match written.get(key) {
        Some((Raw::Text(text), _)) => text.clone(),
        _ => String::new(),
    };
    let shown: Vec<String> = all
        .iter()
        .map(|(written, _)| {
            let kind = text(written, "kind");
            let name = text(written, "name");
            let sources: Vec<String> = written
                .iter()
                .filter_map(|(key, (raw, _))| Some((key, secret(raw).ok()?)))
                .map(|(key, secret)| format!("{key} from {}", secret.words()))
                .collect();
            let name = if name.is_empty() { kind.clone() } else { format!("{name} ({kind})") };
            if sources.is_empty() { name } else { format!("{name}: {}", sources.join(", ")) }
        })
        .collect();
    format!("[{}]", shown.join("; "))
}

/// `[[notify]]` of the example file: every kind, with every setting there is.
pub const EXAMPLE: &str = r##"# Slack: an incoming webhook. Its address is a secret: secrets come from the environment, a file or a command.
[[notify]]
name = "team"
kind = "slack"
url = { env = "SLACK_WEBHOOK_URL" }
# Of every kind of channel: what is told (or ["all"]); without it waits, abort-advised, guard-acted, guard-promoted, aborted, failed,
# completed, recovered, not-recovered, abort-failed. There are also goes-on, hold-advised, go-advised, armed, disarmed, acted.
events = ["waits", "abort-advised", "aborted", "failed", "completed"]
# nothing quieter than info (the default), warning, critical or urgent
severity = "info"
# namespace/name, * as wildcard; labels of the rollout's own object
only = ["shop/*", "pay/*"]
labels = "team=shop, tier!=batch"
# events of one release within this time are one message
group = "5s"
# no more messages than this; what is beyond is folded into one
rate = "6 per 1m"
# the text, with {title} {text} {event} {severity} {rollout} {context} {namespace} {name} {kind} {release} {images} {phase}
# {step} {verdict} {time} {count} {id}
template = "*{title}*\n{text}"
# authority to trust instead of the system's, PEM
# ca-file = "/etc/ssl/corp-ca.pem"

# Telegram: a bot, and the chat it is in
[[notify]]
name = "phone"
kind = "telegram"
token = { file = "~/.config/rolltop/telegram-token" }
chat = "-1001234567890"
# api = "https://api.telegram.org"

# PagerDuty: the integration key of a service, Events API v2
[[notify]]
name = "pager"
kind = "pagerduty"
key = { command = ["pass", "show", "pagerduty/rolltop"] }
severity = "critical"
# of the EU: "https://events.eu.pagerduty.com/v2/enqueue"
url = "https://events.pagerduty.com/v2/enqueue"

# Mail: starttls (the default, port 587), tls (port 465) or none
[[notify]]
name = "mail"
kind = "email"
server = "smtp.example.com:587"
tls = "starttls"
user = "rolltop"
password = { env = "SMTP_PASSWORD" }
from = "rolltop <rolltop@example.com>"
to = ["on-call@example.com"]
# told only what the others could not, and what is urgent
backup = true

# Any receiver: signed as standardwebhooks.com has it
[[notify]]
name = "bot"
kind = "webhook"
url = "https://bots.example.com/rolltop"
secret = { env = "ROLLTOP_WEBHOOK_SECRET" }
headers = { Authorization = { env = "BOT_AUTHORIZATION" } }
template = '{"text": "{title}", "rollout": "{rollout}", "severity": "{severity}"}'

# Microsoft Teams: the address of a workflow "when a Teams webhook request is received"
[[notify]]
name = "teams"
kind = "teams"
url = { env = "TEAMS_WORKFLOW_URL" }

# This terminal: bell (the default), osc9 or osc777 for a notification of the desktop
[[notify]]
name = "here"
kind = "terminal"
how = "bell""##;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let sources = Sources { file: Some(path), named: true, ..Sources::default() };
        Config::load(&sources, |_| None).map_err(|m| m.to_string())
    }

    #[test]
    fn the_example_says_every_setting_of_every_kind() {
        let whole = EXAMPLE.replace("\n# api", "\napi").replace("\n# ca-file", "\nca-file");
        let config = load(&whole).unwrap();
        assert_eq!(config.channels.len(), WAYS.len());
        for (kind, own) in WAYS {
            assert!(config.channels.iter().any(|c| c.way.kind() == kind), "{kind}");
            let part = whole.split("[[notify]]").find(|part| part.contains(&format!("kind = \"{kind}\""))).unwrap();
            assert!(own.iter().all(|key| part.lines().any(|line| line.starts_with(&format!("{key} = ")))), "{kind}: {own:?}");
        }
        assert!(COMMON.iter().all(|key| whole.lines().any(|line| line.starts_with(&format!("{key} = ")))));
        let named = |word: &str| whole.split(|c: char| !c.is_ascii_lowercase() && c != '-').any(|w| w == word);
        assert!(KINDS.iter().filter(|row| row.kind != Kind::Test).all(|row| named(row.name)), "every event is named");
        assert!(FIELDS.iter().all(|(name, _)| whole.contains(&format!("{{{name}}}"))), "every field of a template is named");
    }

    #[test]
    fn a_secret_written_down_is_refused_with_its_line_and_not_repeated() {
        let all = [
            ("slack", "url = \"https://hooks.slack.com/services/hunter2\"", "notify.url is a secret"),
            ("teams", "url = \"https://hunter2\"", "notify.url is a secret"),
            ("telegram", "chat = \"1\"\ntoken = \"hunter2\"", "notify.token is a secret"),
            ("pagerduty", "key = \"hunter2\"", "notify.key is a secret"),
            ("webhook", "secret = { env = \"S\" }\nurl = \"https://a.b/c?token=hunter2\"", "may hold a secret"),
            ("webhook", "secret = { env = \"S\" }\nurl = \"https://u:hunter2@a.b/\"", "may hold a secret"),
            ("webhook", "secret = { env = \"S\" }\nurl = \"https://a.b/\"\nheaders = { X = \"hunter2\" }", "notify.headers.X is a secret"),
        ];
        for (kind, text, says) in all {
            let said = load(&format!("[[notify]]\nkind = \"{kind}\"\n{text}\n")).unwrap_err();
            let line = 2 + text.lines().count();
            assert!(said.contains(&format!("config.toml:{line}: ")) && said.contains(says), "{kind}: {said}");
            assert!(said.contains("{ env = ") && !said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn every_mistake_is_named_with_its_line() {
        let text = "[[notify]]\nkind = \"slak\"\n[[notify]]\nname = \"a b\"\nkind = \"slack\"\nurl = { vault = \"x\" }\nevents = [\"waits\", \"wait\"]\n\
                    severity = \"loud\"\nonly = \"shop\"\nlabels = \"a b\"\nrate = \"lots\"\ngroup = \"soon\"\ntemplate = \"{nmae}\"\nchat = \"1\"\n\
                    [[notify]]\nkind = \"email\"\nserver = \"smtp.example.com:x\"\nfrom = \"nobody\"\n[[notify]]\nkind = \"webhook\"\nurl = \"bots\"\n\
                    secret = { env = \"S\" }\ntemplate = '{\"a\": {text}}'\n[[notify]]\nurl = \"x\"\n";
        let said = load(text).unwrap_err();
        for (line, words) in [
            (2, "'slak' is not one of slack, telegram, pagerduty, email, webhook, teams, terminal"),
            (4, "write letters, digits"),
            (6, "unknown setting 'vault'"),
            (7, "'wait' is not one of waits, goes-on"),
            (8, "'loud' is not one of info, warning, critical, urgent"),
            (9, "write namespace/name"),
            (10, "write labels as kubectl takes them"),
            (11, "such as \"6 per 1m\""),
            (12, "is not a duration"),
            (13, "there is no field {nmae}; there are title, text"),
            (14, "unknown setting 'notify.chat' of kind slack"),
            (17, "write host:port"),
            (18, "'nobody' is no mail address"),
            (15, "needs notify.to"),
            (21, "is no address"),
            (23, "is no JSON once its fields are filled in"),
            (24, "a channel needs notify.kind"),
        ] {
            assert!(said.lines().any(|l| l.contains(&format!("config.toml:{line}:")) && l.contains(words)), "line {line}: {words}\n{said}");
        }
        assert_eq!(said.matches("config.toml:6:").count(), 1, "a broken secret is one mistake\n{said}");
        assert!(load("[[notify]]\nkind = \"terminal\"\n[[notify]]\nkind = \"terminal\"\n").unwrap_err().contains("two channels named"));
        assert!(load("notify = 3\n").unwrap_err().contains("[[notify]]"));
    }

    #[test]
    fn a_password_is_not_sent_in_the_clear() {
        let mail = |server: &str| {
            load(&format!(
                "[[notify]]\nkind = \"email\"\nserver = \"{server}\"\ntls = \"none\"\nuser = \"u\"\npassword = {{ env = \"P\" }}\nfrom = \"a@b.c\"\nto = \"d@e.f\"\n"
            ))
        };
        assert!(mail("smtp.example.com:25").unwrap_err().contains("in the clear"));
        assert!(mail("127.0.0.1:25").is_ok() && mail("[::1]:25").is_ok());
    }

    #[test]
    fn dumps_name_the_source_and_never_the_secret() {
        let config = load(EXAMPLE).unwrap();
        let shown = config.effective();
        let line = shown.lines().find(|l| l.starts_with("notify = ")).unwrap();
        assert!(
            line.contains("team (slack): url from $SLACK_WEBHOOK_URL") && line.contains("pager (pagerduty): key from `pass`"),
            "{line}"
        );
        assert!(!line.contains("pagerduty/rolltop"), "arguments of a command stay out: {line}");
    }

    #[test]
    fn none_tells_nobody_but_what_the_administrator_wants_told_stays() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let own = "[[notify]]\nname = \"mine\"\nkind = \"terminal\"\n";
        let names = |sources: &Sources, variable: Option<&'static str>| -> Vec<String> {
            let config = Config::load(sources, |name| variable.filter(|_| name == "ROLLTOP_NOTIFY").map(str::to_owned)).unwrap();
            config.channels.iter().map(|c| c.name.clone()).collect()
        };
        let mut sources = Sources { file: write("own", own), named: true, ..Sources::default() };
        assert_eq!(names(&sources, None), ["mine"]);
        assert!(names(&sources, Some("none")).is_empty());
        sources.ceiling =
            write("ceiling", "[[notify]]\nname = \"audit\"\nkind = \"webhook\"\nurl = \"https://a.b\"\nsecret = { env = \"S\" }\n");
        assert_eq!(names(&sources, None), ["audit", "mine"]);
        assert_eq!(names(&sources, Some("none")), ["audit"]);
        sources.flags = vec![("notify", "--no-notify", "none".into())];
        assert_eq!(names(&sources, None), ["audit"]);
        // A demo's releases are nobody's business.
        let config = Config::load(&sources, |_| None).unwrap();
        assert!(config.elsewhere("demo", Vec::new()).unwrap().channels.is_empty());
    }
}
