//! Feature flags as a way out: which belong to a rollout, the request that switches one off, and how that is seen. Pure.
//!
//! A flag lives outside the cluster, so nothing of it is in an object: what it reads now is asked over HTTP, when the card is
//! read, again right before the request, and after it until it reads off.

use std::{fmt, path::PathBuf, time::Duration};

use reqwest::Url;
use serde::Serialize;
use serde_json::Value;

use crate::{
    engine::{Change, Expectation, Goal, Plan, Refusal},
    intent::{Danger, Intent},
    model::{EngineKind, Notice, Rollout, Severity, Text},
    secret::Secret,
    settings::wildcard,
    web,
};

/// How soon a flag that was switched off should read so.
pub const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// What can be put into a URL or a body: the whole list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Namespace,
    Name,
    /// Of the new side.
    Image,
    /// The image's tag, else the new side's hash.
    Version,
    /// The verdict's words.
    Reason,
}

impl Field {
    pub const ALL: [(&'static str, Self); 5] = [
        ("namespace", Self::Namespace),
        ("name", Self::Name),
        ("image", Self::Image),
        ("version", Self::Version),
        ("reason", Self::Reason),
    ];
}

/// Text with fields in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Field(Field),
}

impl Template {
    /// Reads `{name}` as a field; a brace that does not look like one is itself.
    ///
    /// # Errors
    /// Which field is unknown, and those that are known.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find('{') {
            let (before, tail) = rest.split_at(at);
            literal.push_str(before);
            let word = tail[1..].split_once('}').map(|(word, _)| word);
            match word.filter(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphabetic() || c == '-' || c == '_')) {
                Some(word) => {
                    let field = Field::ALL.iter().find(|(name, _)| *name == word).map(|(_, field)| *field).ok_or_else(|| {
                        let known: Vec<String> = Field::ALL.iter().map(|(name, _)| format!("{{{name}}}")).collect();
                        format!("unknown field '{{{word}}}'; known here: {}", known.join(", "))
                    })?;
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                    parts.push(Part::Field(field));
                    rest = &tail[word.len() + 2..];
                }
                None => {
                    literal.push('{');
                    rest = &tail[1..];
                }
            }
        }
        literal.push_str(rest);
        parts.push(Part::Literal(literal));
        Ok(Self(parts))
    }

    pub fn is_plain(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Literal(_)))
    }

    fn fill(&self, value: impl Fn(Field) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Literal(text) => text.clone(),
            Part::Field(field) => value(*field),
        };
        self.0.iter().map(part).collect()
    }

    fn fields(&self) -> impl Iterator<Item = Field> + '_ {
        self.0.iter().filter_map(|part| match part {
            Part::Field(field) => Some(*field),
            Part::Literal(_) => None,
        })
    }
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Address {
    Template(Template),
    /// The whole address is a secret, as with webhooks.
    Secret(Secret),
}

/// What a header says.
#[derive(Clone, PartialEq)]
pub enum Header {
    Plain(String),
    Secret(Secret),
}

impl fmt::Debug for Header {
    /// Somebody may have put a token where a secret's source should be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// A request as it is written in the settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub method: &'static str,
    pub url: Address,
    pub headers: Vec<(String, Header)>,
    /// JSON; fields stand in its texts.
    pub body: Option<Value>,
}

/// What counts as the answer of a server that has done it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expect {
    /// Any 2xx where there is none.
    pub status: Vec<u16>,
    pub answer: Option<(String, Value)>,
}

/// One flag of the settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Flag {
    pub name: Text,
    /// Patterns of `namespace/name`.
    pub rollouts: Vec<String>,
    pub engine: Option<EngineKind>,
    pub off: Request,
    pub expect: Expect,
    pub read: Request,
    /// JSON pointer into the answer of `read`, and what stands there when the flag is off.
    pub pointer: String,
    pub off_value: Value,
    /// The way back.
    pub on: Option<Request>,
    /// Plain HTTP may leave this machine.
    pub insecure: bool,
    /// Whose certificates to trust, instead of the system's authorities.
    pub ca_file: Option<PathBuf>,
    pub timeout: Duration,
}

impl Flag {
    fn belongs_to(&self, rollout: &Rollout) -> bool {
        let path = rollout.id.path();
        self.engine.is_none_or(|engine| engine == rollout.engine) && self.rollouts.iter().any(|pattern| wildcard(pattern, &path))
    }
}

/// The flags of a rollout, in the order of the settings.
pub fn of<'a>(flags: &'a [Flag], rollout: &'a Rollout) -> impl Iterator<Item = &'a Flag> {
    flags.iter().filter(|flag| flag.belongs_to(rollout))
}

/// Where a request goes, with its fields filled in.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    Known(Url),
    Secret(Secret),
}

impl Target {
    pub fn host(&self) -> String {
        match self {
            Self::Known(url) => host(url),
            Self::Secret(secret) => format!("the address in {}", secret.words()),
        }
    }

    /// As it may be written down.
    pub fn words(&self) -> String {
        match self {
            Self::Known(url) => url.to_string(),
            Self::Secret(secret) => format!("({})", secret.words()),
        }
    }
}

fn host(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}

/// A request with its fields filled in; secrets are still where they are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    pub method: &'static str,
    pub target: Target,
    pub headers: Vec<(String, Header)>,
    pub body: Option<String>,
}

/// All it takes to switch one flag off and to see that.
#[derive(Debug, Clone, PartialEq)]
pub struct Switch {
    pub flag: Text,
    pub off: Prepared,
    pub expect: Expect,
    pub read: Prepared,
    pub pointer: String,
    pub off_value: Value,
    pub insecure: bool,
    pub ca_file: Option<PathBuf>,
    pub timeout: Duration,
}

/// What a flag reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    On(Text),
    Off(Text),
    /// It could not be asked, or the answer says nothing about it.
    Unknown(Text),
}

impl Reading {
    /// The value alone.
    pub fn value(&self) -> Text {
        match self {
            Self::On(value) | Self::Off(value) => value.clone(),
            Self::Unknown(_) => "?".into(),
        }
    }
}

impl Switch {
    /// What an answer to `read` says. A value that is not there is neither on nor off.
    pub fn reading(&self, answer: &Value) -> Reading {
        match answer.pointer(&self.pointer) {
            None => Reading::Unknown(format!("the answer has no {}", self.pointer).into()),
            Some(value) if *value == self.off_value => Reading::Off(shown(value)),
            Some(value) => Reading::On(shown(value)),
        }
    }
}

fn shown(value: &Value) -> Text {
    match value {
        Value::String(text) => text.as_str().into(),
        other => Text::clean(&other.to_string()),
    }
}

/// Whether a request may go there at all.
///
/// # Errors
/// What is wrong with the address, and what to write instead.
pub fn allowed(url: &Url, insecure: bool) -> Result<(), String> {
    match url.scheme() {
        "https" => {}
        "http" if insecure || web::stays_here(url) => {}
        "http" => return Err("plain http leaves this machine: write https, or insecure = true if the way is safe".into()),
        other => return Err(format!("'{other}' is no scheme for this: write https")),
    }
    match () {
        () if url.host_str().is_none_or(str::is_empty) => Err("the address has no host".into()),
        () if !url.username().is_empty() || url.password().is_some() => {
            Err("a login does not belong into an address: write an Authorization header with a secret".into())
        }
        () if url.fragment().is_some() => Err("'#' and what follows never reaches a server: leave it out".into()),
        () => Ok(()),
    }
}

/// An address as a URL. Fields may stand in a path or a query only, and what they hold cannot become more than that.
///
/// # Errors
/// What is wrong with it.
pub fn address(template: &Template, value: impl Fn(Field) -> String) -> Result<Url, String> {
    let plain = |text: &str| Url::parse(text).map_err(|error| format!("this is no address: {error}"));
    let text = template.fill(|field| encoded(&value(field)));
    let url = plain(&text)?;
    // The same with values that cannot steer: who differs from that in structure does not go out.
    let tame = plain(&template.fill(|_| "x".into()))?;
    if let Some(Part::Literal(head)) = template.0.first()
        && !template.is_plain()
        && head.split_once("://").is_none_or(|(_, rest)| !rest.contains(['/', '?']))
    {
        return Err("a field can stand in the path or the query, not in what is before".into());
    }
    // `..` as a whole segment leaves none behind, so it cannot be told from the result alone.
    let climbs = |part: &str| matches!(&*part.to_ascii_lowercase().replace("%2e", "."), "." | "..");
    if shape(&url) != shape(&tame) || text.split(['/', '?']).any(climbs) {
        return Err("a value would change the path of the address".into());
    }
    Ok(url)
}

fn shape(url: &Url) -> (String, usize, usize) {
    (url.origin().ascii_serialization(), url.path().split('/').count(), url.query().map_or(0, |query| query.split('&').count() + 1))
}

/// Everything but letters, digits and `-_.~` as `%XX`.
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

/// Texts inside a body with their fields filled in: a value stays a text, whatever it holds.
///
/// # Errors
/// Which field is unknown.
pub fn filled(body: &Value, value: &impl Fn(Field) -> String) -> Result<Value, String> {
    Ok(match body {
        Value::String(text) => Value::String(Template::parse(text)?.fill(value)),
        Value::Array(items) => Value::Array(items.iter().map(|item| filled(item, value)).collect::<Result<_, _>>()?),
        Value::Object(members) => {
            let mut out = serde_json::Map::new();
            for (name, inner) in members {
                if !Template::parse(name)?.is_plain() {
                    return Err(format!("'{name}': a field can stand in a value, not in a name"));
                }
                out.insert(name.clone(), filled(inner, value)?);
            }
            Value::Object(out)
        }
        other => other.clone(),
    })
}

/// What the fields hold for this rollout.
fn value_of(field: Field, rollout: &Rollout, reason: &str) -> String {
    let side = rollout.new_side().or_else(|| rollout.tracks.first());
    let image = side.and_then(|side| side.images.first()).map_or("", Text::as_str);
    match field {
        Field::Namespace => rollout.id.namespace.to_string(),
        Field::Name => rollout.id.name.to_string(),
        Field::Image => image.to_owned(),
        Field::Version => tag(image).or_else(|| side.map(|side| side.hash.as_str())).unwrap_or_default().to_owned(),
        Field::Reason => reason.to_owned(),
    }
}

/// `v2` of `registry:5000/shop/app:v2@sha256:…`.
fn tag(image: &str) -> Option<&str> {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    name.rsplit_once('/').map_or(name, |(_, last)| last).split_once(':').map(|(_, tag)| tag)
}

fn prepared(request: &Request, insecure: bool, rollout: &Rollout, reason: &str) -> Result<Prepared, Refusal> {
    let refused = |why: String| Refusal::because(why).instead("change [[flags]] in the settings", None);
    let value = |field: Field| value_of(field, rollout, reason);
    let target = match &request.url {
        Address::Secret(secret) => Target::Secret(secret.clone()),
        Address::Template(template) => {
            let names = |field: Field| Field::ALL.iter().find(|(_, f)| *f == field).map_or("", |(name, _)| name);
            if let Some(missing) = template.fields().find(|field| value(*field).is_empty()) {
                return Err(refused(format!("the flag's address needs the {}, and this rollout has none", names(missing))));
            }
            let url = address(template, value).and_then(|url| allowed(&url, insecure).map(|()| url));
            Target::Known(url.map_err(refused)?)
        }
    };
    let body = request.body.as_ref().map(|body| filled(body, &value).map(|body| body.to_string())).transpose().map_err(refused)?;
    Ok(Prepared { method: request.method, target, headers: request.headers.clone(), body })
}

/// The plan to switch one flag off.
///
/// # Errors
/// When no such flag belongs to this rollout, or a request cannot be made of what it is.
pub fn plan(flags: &[Flag], rollout: &Rollout, name: &str, reason: &str) -> Result<Plan, Refusal> {
    let mut own = of(flags, rollout).peekable();
    if own.peek().is_none() {
        return Err(Refusal::because("no flag in config belongs to this rollout: see [[flags]]"));
    }
    let flag = own.find(|flag| *flag.name == *name).ok_or_else(|| {
        Refusal::because(format!("no flag {name} in config belongs to this rollout")).instead("press the key again to choose one", None)
    })?;
    let prepared = |request: &Request| prepared(request, flag.insecure, rollout, reason);
    let (off, read) = (prepared(&flag.off)?, prepared(&flag.read)?);
    let (danger, back) = match &flag.on {
        Some(on) => (Danger::Reversible, way_back(&prepared(on)?)),
        None => (Danger::Grave, "none in the settings: switch it on where flags are kept".into()),
    };
    let sentence = format!("Switches flag {} off at {}", flag.name, off.target.host());
    let note = |text: String| Notice { severity: Severity::Warning, text: text.into() };
    Ok(Plan {
        intent: Intent::Kill { flag: flag.name.clone() },
        target: rollout.id.clone(),
        danger,
        sentence: sentence.into(),
        writes: Vec::new(),
        switch: Some(Box::new(Switch {
            flag: flag.name.clone(),
            off,
            expect: flag.expect.clone(),
            read,
            pointer: flag.pointer.clone(),
            off_value: flag.off_value.clone(),
            insecure: flag.insecure,
            ca_file: flag.ca_file.clone(),
            timeout: flag.timeout,
        })),
        changes: vec![Change { field: format!("flag {}", flag.name).into(), from: "?".into(), to: shown(&flag.off_value) }],
        only_if: vec![format!("flag {} still reads on right before", flag.name).into()],
        expect: Expectation { goal: Goal::FlagOff, what: "off (read back)".into(), within: SEEN_WITHIN },
        back,
        warnings: vec![note(traffic(rollout)), note("everybody who meets this flag gets its off side, in other places too".into())],
        capacity: None,
    })
}

fn way_back(on: &Prepared) -> Text {
    format!("[flags.on] has it: {} to {}; rolltop never sends that", on.method, on.target.host()).into()
}

/// A flag is no abort.
fn traffic(rollout: &Rollout) -> String {
    let share = rollout.new_side().filter(|_| rollout.in_flight()).and_then(|side| side.traffic.applied);
    match share {
        Some(share) => format!("it moves no traffic: the release goes on, with {:.0} % of the users on the new version", share * 100.0),
        None if rollout.in_flight() => "it moves no traffic: the release goes on".into(),
        None => "it moves no traffic and starts no release".into(),
    }
}
