//! Settings from defaults, files, environment and flags; every mistake at once, each value with its origin.

pub mod fields;
pub mod flags;
pub mod keys;
pub mod layer;
pub mod notify;
pub mod rules;
pub mod sampler;
pub mod secret;
pub mod stepper;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    engine::flag::Flag,
    guard::{
        arming::LONGEST,
        promotion::{self, Policy},
    },
    intent::Command,
    notify::channel::Channel,
    secret::Secret,
    settings::{Colours, Conventions, Freshness, Look, Settings, Zone, wildcard},
};

use crate::verdict::rules::Rule;
use fields::{FIELDS, Kind};
use layer::{Entry, Layer, Mistake, Origin, Value};

/// The administrator's file: read first, and its `[safety]` section cannot be loosened.
pub const CEILING: &str = "/etc/rolltop/config.toml";

/// All settings, merged.
#[derive(Debug, Clone)]
pub struct Config {
    values: Layer,
    pub keys: BTreeMap<String, Command>,
    pub conventions: Arc<Conventions>,
    pub rules: Arc<Vec<Rule>>,
    /// Whom to tell.
    pub channels: Arc<Vec<Channel>>,
}

/// Every mistake found, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.0 {
            writeln!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// What is read, in order.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub ceiling: Option<PathBuf>,
    pub file: Option<PathBuf>,
    /// The file was named by hand: it must exist.
    pub named: bool,
    /// Settings of one command, over those of the file.
    pub policy: Option<PathBuf>,
    pub flags: Vec<(&'static str, &'static str, String)>,
}

impl Config {
    /// Reads and merges all sources.
    ///
    /// # Errors
    /// All mistakes of all sources, each with its place.
    pub fn load(sources: &Sources, environment: impl Fn(&str) -> Option<String>) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let ceiling = sources.ceiling.as_deref().map(|p| read(p, false, &mut mistakes)).unwrap_or_default();
        let file = sources.file.as_deref().map(|p| read(p, sources.named, &mut mistakes)).unwrap_or_default();
        let policy = sources.policy.as_deref().map(|p| read(p, true, &mut mistakes)).unwrap_or_default();
        mistakes.extend(policy.iter().filter(|(path, _)| !is_of_a_policy(path)).map(|(path, (_, origin))| Mistake {
            origin: origin.clone(),
            text: format!("'{path}' is no part of a policy: only [verdict] and [[rules]] are"),
        }));
        let environment = layer::from_environment(environment, &mut mistakes);
        let flags = from_flags(&sources.flags, &mut mistakes);
        let mut values = layer::defaults();
        for layer in [ceiling.clone(), file, policy, environment, flags] {
            stack(&mut values, layer);
        }
        cap(&mut values, &ceiling);
        mistakes.extend(armed_for(&values));
        notify::add_up(&mut values, &ceiling);
        let keys = keys::bind(&entries(&values, "keys"), &mut mistakes);
        let conventions = Arc::new(stepper::conventions(&values, &mut mistakes));
        let rules = Arc::new(rules::rules(&values, &rules::Own::of(&values), &mut mistakes));
        let channels = Arc::new(notify::channels(&values, &mut mistakes));
        if mistakes.is_empty() {
            return Ok(Self { values, keys, conventions, rules, channels });
        }
        mistakes.sort_by_key(|m| match &m.origin {
            Origin::File(file, line) => (0, file.clone(), *line),
            Origin::Variable(name) => (1, name.clone(), 0),
            Origin::Default | Origin::Flag(_) => (2, String::new(), 0),
        });
        Err(Mistakes(mistakes))
    }

    /// The settings of a session on a cluster that is not the configured one: how it looks and logs, and what may not be
    /// written to, stays; so does a namespace named by a flag. All else is the default, and then what `values` say.
    ///
    /// # Errors
    /// A value that is none.
    pub fn elsewhere(&self, who: &'static str, values: Vec<(&'static str, String)>) -> Result<Self, Mistakes> {
        let stays = |path: &str, origin: &Origin| {
            let own = ["display.", "log.", "keys", "verdict.", "rules"].iter().any(|section| path.starts_with(section));
            let scope = ["cluster.namespace", "cluster.all-namespaces"].contains(&path) && matches!(origin, Origin::Flag(_));
            own || scope || ["safety.read-only", "safety.protected-contexts"].contains(&path)
        };
        let kept = self.values.iter().filter(|(path, (_, origin))| stays(path, origin)).map(|(path, value)| (*path, value.clone()));
        let mut merged = layer::defaults();
        merged.extend(kept);
        let mut mistakes = Vec::new();
        let values: Vec<_> = values.into_iter().map(|(path, value)| (path, who, value)).collect();
        merged.extend(from_flags(&values, &mut mistakes));
        let conventions = Arc::new(stepper::conventions(&merged, &mut mistakes));
        // Rules were checked against the configured Prometheus, whatever is asked in its place.
        let rules = Arc::new(rules::rules(&merged, &rules::Own::of(&self.values), &mut mistakes));
        if mistakes.is_empty() {
            // What happens there is nobody's business here.
            return Ok(Self { values: merged, keys: self.keys.clone(), conventions, rules, channels: Arc::default() });
        }
        Err(Mistakes(mistakes))
    }

    /// The feature flags, as the last file that has any has them.
    fn flags(&self) -> Arc<Vec<Flag>> {
        match self.values.get("flags") {
            Some((Value::Flags(flags), _)) => flags.clone(),
            _ => Arc::default(),
        }
    }

    pub fn text(&self, path: &str) -> Option<&str> {
        match self.values.get(path) {
            Some((Value::Text(text), _)) => Some(text),
            _ => None,
        }
    }

    /// A path, with `~/` expanded.
    pub fn path(&self, path: &str) -> Option<PathBuf> {
        let text = self.text(path)?;
        match text.strip_prefix("~/") {
            Some(rest) => std::env::home_dir().map(|home| home.join(rest)),
            None => Some(text.into()),
        }
    }

    pub fn flag(&self, path: &str) -> bool {
        matches!(self.values.get(path), Some((Value::Bool(true), _)))
    }

    pub fn duration(&self, path: &str) -> Duration {
        match self.values.get(path) {
            Some((Value::Duration(d), _)) => *d,
            _ => Duration::default(),
        }
    }

    pub fn list(&self, path: &str) -> &[String] {
        match self.values.get(path) {
            Some((Value::List(list), _)) => list,
            _ => &[],
        }
    }

    /// Whether a flag of the command line says it.
    pub fn is_flag(&self, path: &str) -> bool {
        matches!(self.values.get(path), Some((_, Origin::Flag(_))))
    }

    /// Names and texts of a table.
    pub fn table(&self, path: &str) -> BTreeMap<String, Vec<String>> {
        entries(&self.values, path).into_iter().map(|(name, entry)| (name, entry.texts)).collect()
    }

    /// Names and secrets of a table.
    pub fn secrets(&self, path: &str) -> Vec<(String, Secret)> {
        entries(&self.values, path).into_iter().filter_map(|(name, entry)| Some((name, entry.secret?))).collect()
    }

    /// A mistake in a value that only its user could find, with the value's place.
    pub fn mistake(&self, path: &str, text: String) -> Mistake {
        let origin = self.values.get(path).map_or(Origin::Default, |(_, origin)| origin.clone());
        Mistake { origin, text }
    }

    /// Whether actions in this context ask for the rollout's name.
    /// A context can be renamed by its user; the server's address counts as well.
    pub fn protects(&self, context: &str, server: &str) -> bool {
        let names = [context, server.trim_end_matches('/')];
        self.list("safety.protected-contexts").iter().any(|pattern| names.iter().any(|name| wildcard(pattern, name)))
    }

    /// What reducer and views need.
    pub fn settings(&self, context: &str, server: &str, environment: impl Fn(&str) -> Option<String>) -> Settings {
        Settings {
            look: Look {
                theme: self.text("display.theme").unwrap_or("default").to_owned(),
                colours: colours(self.text("display.colours").unwrap_or("auto"), &environment),
                ascii: ascii(self.text("display.ascii").unwrap_or("auto"), &environment),
                zone: if self.text("display.time") == Some("utc") { Zone::Utc } else { Zone::Local },
            },
            fresh: Freshness { kubernetes: self.duration("freshness.kubernetes"), prometheus: self.duration("freshness.prometheus") },
            protected: self.protects(context, server),
            mouse: self.flag("display.mouse"),
            prometheus: self.text("prometheus.url").is_some_and(|url| !url.is_empty()),
            conventions: self.conventions.clone(),
            rules: self.rules.clone(),
            rules_alone: !self.flag("verdict.test"),
            arming: self.flag("safety.arming"),
            armed_for: self.duration("safety.armed-for"),
            promote: None,
            warm_up: self.duration("verdict.warm-up"),
            flags: self.flags(),
        }
    }

    /// Whether, and when, an armed guard may promote by one step. Only the command that is told so asks: no screen does.
    pub fn promotion(&self) -> Option<Policy> {
        let words = self.text("verdict.promote").is_some_and(|words| words == promotion::WORDS);
        words.then(|| Policy { after: self.duration("verdict.promote-after") })
    }

    /// Every setting with its value and origin, one line each; secrets stay out.
    pub fn effective(&self) -> String {
        FIELDS
            .iter()
            .map(|field| match self.values.get(field.path) {
                Some((_, origin)) if field.secret => format!("{} = (hidden)  # {origin}\n", field.path),
                Some((Value::Text(url), origin)) if url.contains("://") && url.contains('@') => {
                    format!("{} = (hidden: it holds a login)  # {origin}\n", field.path)
                }
                Some((value, origin)) => format!("{} = {}  # {origin}\n", field.path, show(value)),
                None => format!("# {} is not set\n", field.path),
            })
            .collect()
    }
}

/// Lays one source over those before it. Rules add up by their names, all else is replaced.
fn stack(values: &mut Layer, mut layer: Layer) {
    if let (Some((Value::Rules(below), _)), Some((Value::Rules(above), _))) = (values.get("rules"), layer.get_mut("rules")) {
        *above = rules::over(below, std::mem::take(above));
    }
    values.extend(layer);
}

/// Who judges a release must not choose the cluster it is judged in.
fn is_of_a_policy(path: &str) -> bool {
    path == "rules" || path.starts_with("verdict.")
}

/// The guard is armed by the minute, and not for longer than a shift can watch it.
fn armed_for(values: &Layer) -> Option<Mistake> {
    const PATH: &str = "safety.armed-for";
    let (Value::Duration(time), origin) = values.get(PATH)? else { return None };
    let fits = time.subsec_nanos() == 0 && time.as_secs().is_multiple_of(60) && !time.is_zero() && *time <= LONGEST;
    let (told, most) = (humantime::format_duration(*time), humantime::format_duration(LONGEST));
    let text = format!("{PATH} = '{told}' is not a whole number of minutes from 1m to {most}");
    (!fits).then(|| Mistake { origin: origin.clone(), text })
}

fn read(path: &Path, must_exist: bool, mistakes: &mut Vec<Mistake>) -> Layer {
    match std::fs::read_to_string(path) {
        Ok(text) => layer::from_toml(path, &text, mistakes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => Layer::new(),
        Err(error) => {
            mistakes.push(Mistake { origin: Origin::File(path.display().to_string(), 1), text: format!("cannot be read: {error}") });
            Layer::new()
        }
    }
}

fn from_flags(flags: &[(&'static str, &'static str, String)], mistakes: &mut Vec<Mistake>) -> Layer {
    let mut layer = Layer::new();
    for (path, flag, text) in flags {
        let Some(field) = fields::find(path) else { continue };
        if field.kind == Kind::Flags {
            layer.extend(layer::from_toml(Path::new(flag), text, mistakes));
            continue;
        }
        match layer::parse(field, text) {
            Ok(value) => drop(layer.insert(field.path, (value, Origin::Flag(flag)))),
            Err(text) => mistakes.push(Mistake { origin: Origin::Flag(flag), text }),
        }
    }
    layer
}

/// Puts back what the administrator demands: read-only stays on, protected contexts add up, what promotes by itself may only be
/// slower or not at all.
fn cap(values: &mut Layer, ceiling: &Layer) {
    if let Some((Value::Bool(false), origin)) = ceiling.get("safety.arming") {
        values.insert("safety.arming", (Value::Bool(false), origin.clone()));
    }
    if let Some((Value::Text(words), origin)) = ceiling.get("verdict.promote")
        && words == "never"
    {
        values.insert("verdict.promote", (Value::Text(words.clone()), origin.clone()));
    }
    if let (Some((Value::Duration(least), origin)), Some((Value::Duration(own), _))) =
        (ceiling.get("verdict.promote-after"), values.get("verdict.promote-after"))
        && own < least
    {
        values.insert("verdict.promote-after", (Value::Duration(*least), origin.clone()));
    }
    if let Some((Value::Bool(true), origin)) = ceiling.get("safety.read-only") {
        values.insert("safety.read-only", (Value::Bool(true), origin.clone()));
    }
    if let Some((Value::List(demanded), origin)) = ceiling.get("safety.protected-contexts") {
        let mut all = demanded.clone();
        if let Some((Value::List(own), _)) = values.get("safety.protected-contexts") {
            all.extend(own.iter().filter(|c| !demanded.contains(c)).cloned());
        }
        values.insert("safety.protected-contexts", (Value::List(all), origin.clone()));
    }
    if let Some(journal) = ceiling.get("safety.journal") {
        values.insert("safety.journal", journal.clone());
    }
}

fn entries(values: &Layer, path: &str) -> BTreeMap<String, Entry> {
    match values.get(path) {
        Some((Value::Table(table), _)) => table.clone(),
        _ => BTreeMap::new(),
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Bool(b) => b.to_string(),
        Value::Duration(d) => format!("\"{}\"", humantime::format_duration(*d)),
        Value::List(list) => format!("{list:?}"),
        Value::Table(table) => format!("{:?}", table.iter().map(|(name, entry)| (name, &entry.texts)).collect::<BTreeMap<_, _>>()),
        Value::Rules(rules) => format!("{} of them", rules.len()),
        Value::Channels(channels) => notify::show(channels),
        Value::Flags(flags) => format!("{} of them", flags.len()),
    }
}

fn colours(wanted: &str, environment: &impl Fn(&str) -> Option<String>) -> Colours {
    match wanted {
        "none" => Colours::None,
        "16" => Colours::Sixteen,
        "true" => Colours::True,
        _ if environment("NO_COLOR").is_some_and(|v| !v.is_empty()) => Colours::None,
        _ if environment("TERM").is_some_and(|t| t == "dumb") => Colours::None,
        _ if environment("COLORTERM").is_some_and(|v| v == "truecolor" || v == "24bit") => Colours::True,
        _ => Colours::Sixteen,
    }
}

fn ascii(wanted: &str, environment: &impl Fn(&str) -> Option<String>) -> bool {
    match wanted {
        "yes" => true,
        "no" => false,
        _ => {
            let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(|v| environment(v)).find(|v| !v.is_empty());
            // No locale at all is how containers and cron look: they pass UTF-8 through.
            locale.is_some_and(|l| !l.to_uppercase().replace('-', "").contains("UTF8"))
        }
    }
}

/// Checks that every field of kind choice has its default among the choices; used by tests.
pub fn defaults_are_valid() -> bool {
    FIELDS.iter().all(|f| !matches!(f.kind, Kind::Choice(_)) || layer::parse(f, f.default.trim_matches('"')).is_ok())
}
