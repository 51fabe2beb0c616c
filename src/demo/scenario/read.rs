//! Reads TOML by the tables of [`format`](super::format), collecting every mistake with its line.

use std::{collections::BTreeMap, time::Duration};

use chrono::TimeDelta;
use serde_json::Value as Json;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    format::{Key, Kind, Section},
    units,
};
use crate::{
    config::layer::{Mistake, Origin},
    demo::{
        traffic::{Bursts, Day, Latency, StartUp},
        workloads::Fate,
    },
};

/// A checked value.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    Text(String),
    Moment(TimeDelta),
    Duration(Duration),
    Number(f64),
    Latency(Latency),
    ColdStart(StartUp),
    Bursts(Bursts),
    Day(Day),
    Fate(Fate, Option<Duration>),
    Texts(Vec<(String, usize)>),
    Object(Json),
    Objects(Vec<(Json, usize)>),
    Tables(Vec<Row<'a>>),
    Named(Vec<(String, Row<'a>)>),
}

/// The values of one table, each with its line.
#[derive(Debug, Clone, Default)]
pub struct Row<'a> {
    pub line: usize,
    values: BTreeMap<&'static str, (Value<'a>, usize)>,
    raw: BTreeMap<&'static str, &'a Spanned<DeValue<'a>>>,
}

macro_rules! getter {
    ($name:ident, $variant:ident, $type:ty) => {
        pub fn $name(&self, key: &str) -> Option<$type> {
            match self.values.get(key) {
                Some((Value::$variant(value), _)) => Some(value.clone()),
                _ => None,
            }
        }
    };
}

impl<'a> Row<'a> {
    getter!(text, Text, String);
    getter!(moment, Moment, TimeDelta);
    getter!(duration, Duration, Duration);
    getter!(number, Number, f64);
    getter!(latency, Latency, Latency);
    getter!(cold_start, ColdStart, StartUp);
    getter!(bursts, Bursts, Bursts);
    getter!(day, Day, Day);
    getter!(object, Object, Json);

    pub fn count(&self, key: &str) -> Option<u32> {
        // Checked to be whole and in range.
        self.number(key).map(|n| n as u32)
    }

    pub fn fate(&self, key: &str) -> Option<(Fate, Option<Duration>)> {
        match self.values.get(key) {
            Some((Value::Fate(fate, after), _)) => Some((*fate, *after)),
            _ => None,
        }
    }

    /// A list with the line of each item.
    pub fn texts(&self, key: &str) -> &[(String, usize)] {
        match self.values.get(key) {
            Some((Value::Texts(list), _)) => list,
            _ => &[],
        }
    }

    pub fn objects(&self, key: &str) -> &[(Json, usize)] {
        match self.values.get(key) {
            Some((Value::Objects(list), _)) => list,
            _ => &[],
        }
    }

    pub fn tables(&self, key: &str) -> &[Row<'a>] {
        match self.values.get(key) {
            Some((Value::Tables(list), _)) => list,
            _ => &[],
        }
    }

    pub fn named(&self, key: &str) -> &[(String, Row<'a>)] {
        match self.values.get(key) {
            Some((Value::Named(list), _)) => list,
            _ => &[],
        }
    }

    /// Whether the file has this key, right or wrong.
    pub fn has(&self, key: &str) -> bool {
        self.raw.contains_key(key)
    }

    /// The line of a key, else that of the table.
    pub fn line_of(&self, key: &str) -> usize {
        self.values.get(key).map_or(self.line, |(_, line)| *line)
    }

    /// A value as it stands in the file, to be read by another section.
    pub fn raw(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.raw.get(key).copied()
    }
}

/// Where mistakes are gathered.
pub struct Reader {
    file: String,
    /// Offsets at which lines begin.
    lines: Vec<usize>,
    pub mistakes: Vec<Mistake>,
}

impl Reader {
    pub fn new(file: &str, text: &str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file: file.into(), lines, mistakes: Vec::new() }
    }

    pub fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|begin| *begin <= at)
    }

    pub fn wrong(&mut self, line: usize, text: impl Into<String>) {
        let mistake = Mistake { origin: Origin::File(self.file.clone(), line), text: text.into() };
        // Counted workloads and repeated looks find the same mistake more than once.
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    /// Reads one table by its section.
    pub fn row<'a>(&mut self, section: &'static Section, table: &'a DeTable<'a>, line: usize) -> Row<'a> {
        let mut row = Row { line, ..Row::default() };
        for (name, value) in table {
            match section.keys.iter().find(|key| key.name == name.get_ref()) {
                Some(key) => self.field(section, key, value, &mut row),
                None => self.unknown(section, name.get_ref(), name.span().start),
            }
        }
        for key in section.keys.iter().filter(|key| key.must && !row.has(key.name)) {
            self.wrong(line, format!("{}: '{}' is missing; it is {}", section.title, key.name, key.expects()));
        }
        row
    }

    fn field<'a>(&mut self, section: &'static Section, key: &'static Key, value: &'a Spanned<DeValue<'a>>, row: &mut Row<'a>) {
        let line = self.line(value.span().start);
        row.raw.insert(key.name, value);
        match self.value(key, value, line) {
            Some(checked) => drop(row.values.insert(key.name, (checked, line))),
            None => self.wrong(line, format!("{}: {} = {} is not {}", section.title, key.name, shown(value.get_ref()), key.expects())),
        }
    }

    fn unknown(&mut self, section: &Section, name: &str, at: usize) {
        let names = || section.keys.iter().map(|key| key.name);
        let hint = match units::nearest(name, names()) {
            Some(near) => format!("did you mean '{near}'? "),
            None => String::new(),
        };
        let line = self.line(at);
        self.wrong(line, format!("{}: unknown key '{name}'; {hint}known here: {}", section.title, names().collect::<Vec<_>>().join(", ")));
    }

    /// The value as the key wants it.
    fn value<'a>(&mut self, key: &Key, value: &'a Spanned<DeValue<'a>>, line: usize) -> Option<Value<'a>> {
        let inner = value.get_ref();
        let text = inner.as_str();
        Some(match key.kind {
            Kind::Text => Value::Text(text?.to_owned()),
            Kind::Workload => Value::Text(text.filter(|t| split(t).is_some())?.to_owned()),
            Kind::Moment => Value::Moment(units::moment(text?)?),
            Kind::Duration => Value::Duration(units::duration(text?)?),
            Kind::Share => Value::Number(units::share(text?)?),
            Kind::Number => Value::Number(number(inner).filter(|n| n.is_finite())?),
            Kind::Count => Value::Number(number(inner).filter(|n| n.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(n))?),
            Kind::Latency => Value::Latency(units::latency(text?)?),
            Kind::ColdStart => Value::ColdStart(units::cold_start(text?)?),
            Kind::Bursts => {
                let (times, lasts, every) = units::bursts(text?)?;
                Value::Bursts(Bursts { every, lasts, times })
            }
            Kind::Day => {
                let (swing, period) = units::day(text?)?;
                Value::Day(Day { period, swing })
            }
            Kind::Fate => {
                let (fate, after) = units::fate(text?)?;
                Value::Fate(fate, after)
            }
            Kind::Choice(words) => Value::Text(text.filter(|t| words.contains(t))?.to_owned()),
            Kind::Texts => Value::Texts(self.texts(inner, line)?),
            Kind::Object => Value::Object(inner.as_table().map(|_| json(inner))?),
            Kind::Objects => Value::Objects(self.objects(inner)?),
            Kind::Table(section) => Value::Tables(vec![self.row(section, inner.as_table()?, line)]),
            Kind::Tables(section) => Value::Tables(self.tables(section, inner)?),
            Kind::Named(section) => Value::Named(self.named(section, inner)?),
        })
    }

    fn texts(&self, value: &DeValue<'_>, line: usize) -> Option<Vec<(String, usize)>> {
        match value {
            DeValue::String(text) => Some(vec![(text.to_string(), line)]),
            DeValue::Array(items) => {
                items.iter().map(|item| Some((item.get_ref().as_str()?.to_owned(), self.line(item.span().start)))).collect()
            }
            _ => None,
        }
    }

    fn objects(&self, value: &DeValue<'_>) -> Option<Vec<(Json, usize)>> {
        let items = value.as_array()?.iter();
        items.map(|item| item.get_ref().as_table().map(|_| (json(item.get_ref()), self.line(item.span().start)))).collect()
    }

    fn tables<'a>(&mut self, section: &'static Section, value: &'a DeValue<'a>) -> Option<Vec<Row<'a>>> {
        let items: Vec<_> =
            value.as_array()?.iter().map(|item| Some((item.get_ref().as_table()?, item.span().start))).collect::<Option<_>>()?;
        Some(items.into_iter().map(|(table, at)| self.row(section, table, self.line(at))).collect())
    }

    fn named<'a>(&mut self, section: &'static Section, value: &'a DeValue<'a>) -> Option<Vec<(String, Row<'a>)>> {
        let items: Vec<_> = value.as_table()?.iter().map(|(name, item)| Some((name, item.get_ref().as_table()?))).collect::<Option<_>>()?;
        Some(
            items
                .into_iter()
                .map(|(name, table)| (name.get_ref().to_string(), self.row(section, table, self.line(name.span().start))))
                .collect(),
        )
    }
}

/// Namespace and name.
pub fn split(path: &str) -> Option<(&str, &str)> {
    let (namespace, name) = path.split_once('/')?;
    [namespace, name].iter().all(|part| is_name(part)).then_some((namespace, name))
}

/// Whether Kubernetes takes it as a name: an RFC 1123 label.
pub fn is_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.len() <= 63 && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok().map(|n| n as f64),
        DeValue::Float(n) => n.as_str().parse().ok(),
        _ => None,
    }
}

/// A value as it would be in YAML.
pub fn json(value: &DeValue<'_>) -> Json {
    match value {
        DeValue::String(text) => text.to_string().into(),
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).map(Into::into).unwrap_or_default(),
        DeValue::Float(n) => n.as_str().parse::<f64>().map(Into::into).unwrap_or_default(),
        DeValue::Boolean(b) => (*b).into(),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref()))).collect(),
    }
}

/// A value for an error text, cut where it grows long.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Table(_) => "a table".into(),
        DeValue::Array(_) => "a list".into(),
        other => json(other).to_string().chars().take(60).collect(),
    }
}
