//! One source of settings: a file, the environment, or the flags.

use std::{collections::BTreeMap, fmt, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    fields::{FIELDS, Field, Kind, find},
    secret,
};
use crate::secret::Secret;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// File and line.
    File(String, usize),
    Variable(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(file, line) => write!(f, "{file}:{line}"),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A checked value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Bool(bool),
    Duration(std::time::Duration),
    List(Vec<String>),
    Table(BTreeMap<String, Entry>),
    /// Rules as they were written, each with its place.
    Rules(Vec<(super::rules::Written, Origin)>),
    Flags(std::sync::Arc<Vec<crate::engine::flag::Flag>>),
    /// Channels as they were written, each with its place.
    Channels(Vec<(super::notify::Written, Origin)>),
}

/// What one name of a table stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// None where a secret stands.
    pub texts: Vec<String>,
    pub secret: Option<Secret>,
    pub origin: Origin,
}

/// A mistake, with its place and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub origin: Origin,
    pub text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.text)
    }
}

/// Values by path, each with its origin.
pub type Layer = BTreeMap<&'static str, (Value, Origin)>;

/// Checks one value given as text (environment, flags, defaults).
///
/// # Errors
/// What it should have been.
pub fn parse(field: &Field, text: &str) -> Result<Value, String> {
    let wrong = || format!("{} = '{text}' is not {}", field.path, field.expects());
    match field.kind {
        Kind::Text | Kind::Path => Ok(Value::Text(text.to_owned())),
        Kind::Bool => match text {
            "true" | "1" | "yes" => Ok(Value::Bool(true)),
            "false" | "0" | "no" => Ok(Value::Bool(false)),
            _ => Err(wrong()),
        },
        Kind::Duration => humantime::parse_duration(text).map(Value::Duration).map_err(|_| wrong()),
        Kind::Choice(choices) if choices.contains(&text) => Ok(Value::Text(text.to_owned())),
        Kind::Choice(_) => Err(wrong()),
        Kind::List => Ok(Value::List(text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect())),
        Kind::Channels if text == "none" => Ok(Value::Channels(Vec::new())),
        Kind::Table | Kind::Rules | Kind::Flags | Kind::Channels => Err(format!("{} can only be set in a file", field.path)),
    }
}

/// Reads a file's text, collecting every mistake.
pub fn from_toml(file: &Path, text: &str, mistakes: &mut Vec<Mistake>) -> Layer {
    let name = file.display().to_string();
    let (table, errors) = DeTable::parse_recoverable(text);
    let line = |at: usize| text.get(..at).unwrap_or(text).matches('\n').count() + 1;
    for error in errors {
        let at = error.span().map_or(1, |s| line(s.start));
        mistakes.push(Mistake { origin: Origin::File(name.clone(), at), text: error.message().to_owned() });
    }
    let mut reader = Reader { name, line: &line, mistakes, layer: Layer::new() };
    reader.table("", table.get_ref());
    reader.layer
}

struct Reader<'a> {
    name: String,
    line: &'a dyn Fn(usize) -> usize,
    mistakes: &'a mut Vec<Mistake>,
    layer: Layer,
}

impl Reader<'_> {
    fn origin(&self, at: usize) -> Origin {
        Origin::File(self.name.clone(), (self.line)(at))
    }

    fn wrong(&mut self, at: usize, text: String) {
        let origin = self.origin(at);
        self.mistakes.push(Mistake { origin, text });
    }

    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
            match (find(&path), value.get_ref()) {
                (Some(field), _) => self.field(field, value),
                (None, DeValue::Table(inner)) if is_section(&path) => self.table(&path, inner),
                (None, _) => self.unknown(key.span().start, prefix, &path),
            }
        }
    }

    fn unknown(&mut self, at: usize, prefix: &str, path: &str) {
        let mut known: Vec<&str> = FIELDS.iter().filter(|f| f.section() == prefix || f.path == prefix).map(Field::name).collect();
        if known.is_empty() {
            known = super::fields::SECTIONS.iter().map(|(s, _)| *s).collect();
        }
        self.wrong(at, format!("unknown setting '{path}'; known here: {}", known.join(", ")));
    }

    /// Words by setting, each with its place; numbers are taken as they are written.
    fn rules(&mut self, field: &'static Field, value: &Spanned<DeValue<'_>>) {
        let at = value.span().start;
        let tables: Option<Vec<_>> = value
            .get_ref()
            .as_array()
            .map(|all| all.iter().map(|one| one.get_ref().as_table().map(|t| (one.span().start, t))).collect::<Option<_>>())
            .unwrap_or_default();
        let Some(tables) = tables else { return self.wrong(at, format!("{} must be {}", field.path, field.expects())) };
        let mut rules = Vec::new();
        for (at, table) in tables {
            let mut written = super::rules::Written::new();
            for (key, value) in table {
                let text = match value.get_ref() {
                    DeValue::Integer(n) => Some(n.as_str().to_owned()),
                    DeValue::Float(n) => Some(n.as_str().to_owned()),
                    other => texts(other).map(|all| all.join(", ")),
                };
                let at = value.span().start;
                match text {
                    Some(text) => drop(written.insert(key.get_ref().to_string(), (text, self.origin(at)))),
                    None => self.wrong(at, format!("{}.{} must be a text or a number", field.path, key.get_ref())),
                }
            }
            rules.push((written, self.origin(at)));
        }
        let origin = self.origin(at);
        self.layer.insert(field.path, (Value::Rules(rules), origin));
    }

    fn flags(&mut self, field: &'static Field, value: &Spanned<DeValue<'_>>) {
        let mut wrong = Vec::new();
        let flags = super::flags::flags(value, &mut wrong);
        wrong.into_iter().for_each(|(at, text)| self.wrong(at, text));
        let origin = self.origin(value.span().start);
        self.layer.insert(field.path, (Value::Flags(flags.into()), origin));
    }

    fn channels(&mut self, field: &'static Field, value: &Spanned<DeValue<'_>>) {
        let mut wrong = Vec::new();
        let channels = super::notify::read(value, &|at| self.origin(at), &mut wrong);
        self.mistakes.append(&mut wrong);
        let origin = self.origin(value.span().start);
        self.layer.insert(field.path, (Value::Channels(channels), origin));
    }

    fn field(&mut self, field: &'static Field, value: &Spanned<DeValue<'_>>) {
        let at = value.span().start;
        match field.kind {
            Kind::Rules => return self.rules(field, value),
            Kind::Flags => return self.flags(field, value),
            Kind::Channels => return self.channels(field, value),
            Kind::Table => return self.entries(field, value),
            _ => {}
        }
        match convert(field, value.get_ref()) {
            Ok(checked) => {
                let origin = self.origin(at);
                self.layer.insert(field.path, (checked, origin));
            }
            Err(text) => self.wrong(at, text),
        }
    }
}

impl Reader<'_> {
    /// Names and what they stand for, each with its place.
    fn entries(&mut self, field: &'static Field, value: &Spanned<DeValue<'_>>) {
        let at = value.span().start;
        let Some(table) = value.get_ref().as_table() else {
            return self.wrong(at, format!("{} must be {}", field.path, field.expects()));
        };
        let mut out = BTreeMap::new();
        for (key, value) in table {
            let (name, at) = (key.get_ref().to_string(), key.span().start);
            match entry(field, &name, value) {
                Ok((texts, secret)) => drop(out.insert(name, Entry { texts, secret, origin: self.origin(at) })),
                Err((at, text)) => self.wrong(at, text),
            }
        }
        // An empty table says nothing.
        if !out.is_empty() {
            let origin = self.origin(at);
            self.layer.insert(field.path, (Value::Table(out), origin));
        }
    }
}

/// One entry of a table; of a table with secrets those that are one by their name must not stand there in clear.
fn entry(field: &Field, name: &str, value: &Spanned<DeValue<'_>>) -> Result<(Vec<String>, Option<Secret>), (usize, String)> {
    let at = value.span().start;
    match texts(value.get_ref()) {
        Some(_) if field.secret && secret::is_one(name) => {
            Err((at, format!("{}.{name} is a secret by its name: write where it is kept, {}", field.path, secret::FORM)))
        }
        Some(texts) => Ok((texts, None)),
        None if field.secret => secret::read(value)
            .map(|secret| (Vec::new(), Some(secret)))
            .map_err(|(at, fix)| (at, format!("{}.{name} must be a text, a list of texts, or a secret: {fix}", field.path))),
        None => Err((at, format!("{}.{name} must be a text or a list of texts", field.path))),
    }
}

fn is_section(path: &str) -> bool {
    super::fields::SECTIONS.iter().any(|(s, _)| *s == path)
}

fn convert(field: &Field, value: &DeValue<'_>) -> Result<Value, String> {
    match (field.kind, value) {
        (Kind::Bool, DeValue::Boolean(b)) => Ok(Value::Bool(*b)),
        (Kind::Bool, _) => Err(format!("{} must be {}", field.path, field.expects())),
        (Kind::List, DeValue::Array(_)) => {
            texts(value).map(Value::List).ok_or_else(|| format!("{} must be {}", field.path, field.expects()))
        }
        (Kind::List | Kind::Table | Kind::Rules | Kind::Flags | Kind::Channels, _) => {
            Err(format!("{} must be {}", field.path, field.expects()))
        }
        (_, DeValue::String(text)) => parse(field, text),
        _ => Err(format!("{} must be {}", field.path, field.expects())),
    }
}

fn texts(value: &DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::String(s) => Some(vec![s.to_string()]),
        DeValue::Array(items) => items.iter().map(|i| i.get_ref().as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// Reads `ROLLTOP_*` variables.
pub fn from_environment(lookup: impl Fn(&str) -> Option<String>, mistakes: &mut Vec<Mistake>) -> Layer {
    let mut layer = Layer::new();
    for field in FIELDS {
        let name = field.variable();
        let Some(text) = lookup(&name) else { continue };
        match parse(field, &text) {
            Ok(value) => drop(layer.insert(field.path, (value, Origin::Variable(name)))),
            Err(text) => mistakes.push(Mistake { origin: Origin::Variable(name), text }),
        }
    }
    layer
}

/// The built-in values.
pub fn defaults() -> Layer {
    let mut layer = Layer::new();
    let mut mistakes = Vec::new();
    let text: String = FIELDS.iter().filter(|f| !f.default.is_empty()).map(|f| format!("{} = {}\n", f.path, f.default)).collect();
    for (path, (value, _)) in from_toml(Path::new("defaults"), &text, &mut mistakes) {
        layer.insert(path, (value, Origin::Default));
    }
    debug_assert!(mistakes.is_empty(), "{mistakes:?}");
    layer
}
