//! Guard rules as they are written: `[[rules]]` in a file, and the presets people know by name.

use std::{collections::BTreeMap, time::Duration};

use super::layer::{Layer, Mistake, Origin, Value};
use crate::{
    model::metrics::Series,
    settings::{NAMING, names_rollouts},
    verdict::rules::{Effect, Label, Level, Limit, Metric, Operator, Rule},
};

/// One rule as it was written: words by setting, each with its place.
pub type Written = BTreeMap<String, (String, Origin)>;

/// A preset: what it is called, whose it is, and its rules in the words of a file.
#[derive(Debug)]
pub struct Preset {
    pub name: &'static str,
    pub about: &'static str,
    rules: &'static [&'static [(&'static str, &'static str)]],
}

pub const PRESETS: &[Preset] = &[
    Preset {
        name: "relative",
        about: "twice the old side's errors abort, one and a half times its latency is noted",
        rules: &[
            &[("when", "errors > 2x stable"), ("severity", "critical"), ("effect", "abort")],
            &[("when", "p95 > 1.5x stable"), ("severity", "warning"), ("effect", "note")],
        ],
    },
    Preset {
        name: "baseline",
        about: "three times the errors or twice the latency from before the release, or too few ready pods",
        rules: &[
            &[("when", "errors > 3x start"), ("severity", "critical"), ("effect", "abort")],
            &[("when", "p95 > 2x start"), ("severity", "critical"), ("effect", "abort")],
            &[("when", "ready < 80 %"), ("for", "2m"), ("severity", "critical"), ("effect", "abort")],
        ],
    },
    Preset {
        name: "absolute",
        about: "one per cent of errors or two seconds, once 500 requests were seen",
        rules: &[
            &[("when", "errors >= 1 %"), ("requests", "500"), ("severity", "critical"), ("effect", "abort")],
            &[("when", "p50 >= 2 s"), ("requests", "500"), ("severity", "critical"), ("effect", "abort")],
        ],
    },
    Preset {
        name: "slo",
        about: "95 % of the requests must succeed",
        rules: &[&[("when", "errors > 5 %"), ("severity", "critical"), ("effect", "abort")]],
    },
    Preset {
        name: "alerts",
        about: "limits that must be broken for some minutes; only critical ones abort",
        rules: &[
            &[("when", "errors > 5 %"), ("for", "5m"), ("severity", "critical"), ("effect", "abort")],
            &[("when", "p95 > 2 s"), ("for", "5m"), ("severity", "warning"), ("effect", "hold")],
        ],
    },
    Preset {
        name: "flagger",
        about: "a check a minute; five failed checks in all abort",
        rules: &[
            &[("when", "errors > 1 %"), ("every", "1m"), ("times", "5"), ("severity", "critical"), ("effect", "abort")],
            &[("when", "p99 > 500 ms"), ("every", "1m"), ("times", "5"), ("severity", "critical"), ("effect", "abort")],
        ],
    },
    Preset {
        name: "argo",
        about: "a measurement a minute; the first that fails aborts, the first that is inconclusive holds, as do five without a value",
        rules: &[&[
            ("when", "errors > 5 %"),
            ("passes", "errors <= 5 %"),
            ("every", "1m"),
            ("inconclusive-limit", "0"),
            ("consecutive-error-limit", "4"),
            ("severity", "critical"),
            ("effect", "abort"),
        ]],
    },
    Preset {
        name: "kayenta",
        about: "Mann and Whitney's test on the readings of both sides",
        rules: &[
            &[("when", "errors unlike stable"), ("every", "5m"), ("severity", "critical"), ("effect", "abort")],
            &[("when", "p95 unlike stable"), ("every", "5m"), ("severity", "warning"), ("effect", "hold")],
        ],
    },
];

/// The rules of a preset.
pub fn preset(name: &str) -> Option<Vec<Rule>> {
    let preset = PRESETS.iter().find(|p| p.name == name)?;
    let written =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), ((*v).to_owned(), Origin::Default))).collect::<Written>();
    let named = |rule: Rule| Rule { name: format!("{}: {}", preset.name, rule.name), ..rule };
    Some(preset.rules.iter().filter_map(|pairs| rule(&written(pairs), &Origin::Default, &Own::default()).ok()).map(named).collect())
}

/// The rules of a layer over those below it: one of the same name takes the place of the other, all else adds up, so that a
/// policy for one release cannot drop the others by being silent about them.
pub fn over(below: &[(Written, Origin)], above: Vec<(Written, Origin)>) -> Vec<(Written, Origin)> {
    let mut all: Vec<_> = below.iter().filter(|(rule, _)| !above.iter().any(|(other, _)| called(other) == called(rule))).cloned().collect();
    all.extend(above);
    all
}

/// What a rule is known by: its name, else what it says.
fn called(rule: &Written) -> String {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let of = |key: &str| rule.get(key).map(|(text, _)| words(text));
    of("name").or_else(|| of("when")).or_else(|| of("preset").map(|name| format!("preset {name}"))).unwrap_or_default()
}

/// All rules of a session: presets first, then the file's own. Every mistake with its place and the way out. `series` are those
/// of the settings that `values` come from.
pub fn rules(values: &Layer, series: &Own, mistakes: &mut Vec<Mistake>) -> Vec<Rule> {
    let mut found = Vec::new();
    if let Some((Value::List(names), origin)) = values.get("verdict.presets") {
        for name in names {
            match preset(name) {
                Some(rules) => found.extend(rules),
                None => mistakes.push(Mistake { origin: origin.clone(), text: unknown_preset(name) }),
            }
        }
    }
    if let Some((Value::Rules(all), _)) = values.get("rules") {
        for (written, origin) in all {
            if let Some((name, at)) = written.get("preset") {
                match preset(name) {
                    Some(rules) if written.len() == 1 => found.extend(rules),
                    Some(_) => mistakes.push(Mistake {
                        origin: at.clone(),
                        text: "preset stands alone; write other settings as a rule of their own".into(),
                    }),
                    None => mistakes.push(Mistake { origin: at.clone(), text: unknown_preset(name) }),
                }
                continue;
            }
            match rule(written, origin, series) {
                Ok(rule) => found.push(rule),
                Err(wrong) => mistakes.extend(wrong),
            }
        }
    }
    found
}

fn unknown_preset(name: &str) -> String {
    let known: Vec<&str> = PRESETS.iter().map(|p| p.name).collect();
    format!("'{name}' is no preset of rules; there are {}", known.join(", "))
}

/// The series of `[prometheus.custom]`, and whether they are asked for.
#[derive(Debug, Default)]
pub struct Own {
    names: Vec<String>,
    asked: bool,
}

impl Own {
    pub fn of(values: &Layer) -> Self {
        let names = match values.get("prometheus.custom") {
            Some((Value::Table(table), _)) => super::sampler::own_names(table),
            _ => Vec::new(),
        };
        let asked = matches!(values.get("prometheus.profile"), Some((Value::Text(profile), _)) if profile == "custom");
        Self { names, asked }
    }

    /// Why a rule can never see this metric: a word that nobody measures would trip nothing, ever.
    fn problem(&self, metric: &str) -> Option<String> {
        let known = METRICS.iter().any(|(name, _)| *name == metric) || metric == "ready" || metric.starts_with(ANALYSIS);
        match self.names.iter().any(|name| name == metric) {
            _ if known => None,
            true if self.asked => None,
            true => Some(format!("'{metric}' is asked for with [prometheus] profile = \"custom\" only")),
            false => {
                let own: String = self.names.iter().map(|name| format!("{name}, ")).collect();
                Some(format!(
                    "'{metric}' is no metric; there are errors, p50, p95, p99, rate, ready, {own}{ANALYSIS}NAME for one of the rollout's \
                     own analysis, and any series you add to [prometheus.custom]"
                ))
            }
        }
    }
}

/// Before the name of a metric of the rollout's own analysis.
const ANALYSIS: &str = "analysis.";

/// Reads one setting of a rule into it; what is wrong, with the way out.
type Read = fn(&mut Rule, &str) -> Result<(), String>;

const SETTINGS: &[(&str, Read)] = &[
    ("when", |rule, text| {
        (rule.metric, rule.operator, rule.limit) = condition(text)?;
        Ok(())
    }),
    ("name", |rule, text| put(&mut rule.name, Ok(crate::model::Text::clean(text).to_string()))),
    ("for", |rule, text| put(&mut rule.lasting, duration(text))),
    ("every", |rule, text| put(&mut rule.every, duration(text))),
    ("requests", |rule, text| {
        put(&mut rule.requests, number(text).filter(|n| *n >= 0.0).ok_or("write a number of requests, such as 500".into()))
    }),
    ("times", |rule, text| {
        let times = text.parse().ok().filter(|n| *n >= 1);
        put(&mut rule.times, times.ok_or("write how many checks may fail, such as 5".into()))
    }),
    ("passes", |rule, text| {
        let (_, operator, limit) = condition(text)?;
        rule.passes = Some((operator, limit));
        Ok(())
    }),
    ("inconclusive-limit", |rule, text| put(&mut rule.inconclusive, accepted(text))),
    ("consecutive-error-limit", |rule, text| put(&mut rule.errors, accepted(text))),
    ("severity", |rule, text| put(&mut rule.level, word(text, &LEVELS))),
    ("effect", |rule, text| put(&mut rule.effect, word(text, &EFFECTS))),
    ("only", |rule, text| {
        rule.only = text.split(',').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect();
        let fits = rule.only.iter().all(|pattern| names_rollouts(pattern));
        if fits { Ok(()) } else { Err(format!("{NAMING}, such as \"shop/*\"")) }
    }),
    ("hours", |rule, text| put(&mut rule.hours, hours(text).map(Some).ok_or("write two times of the day, such as \"08:00-18:00\"".into()))),
    ("days", |rule, text| put(&mut rule.days, days(text).ok_or("write days such as \"mon-fri\" or \"sat, sun\"".into()))),
    ("zone", |rule, text| {
        put(&mut rule.zone, text.parse().map_err(|_| "write a time zone by its IANA name, such as \"Europe/Berlin\" or \"UTC\"".into()))
    }),
    ("labels", |rule, text| put(&mut rule.labels, labels(text))),
];

const LEVELS: [(&str, Level); 3] = [("info", Level::Info), ("warning", Level::Warning), ("critical", Level::Critical)];
const EFFECTS: [(&str, Effect); 3] = [("note", Effect::Note), ("hold", Effect::Hold), ("abort", Effect::Abort)];

fn accepted(text: &str) -> Result<Option<u32>, String> {
    text.parse().map(Some).map_err(|_| "write how many are accepted, such as 0 or 4".into())
}

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

/// A rule of its words.
///
/// # Errors
/// Every mistake in it.
fn rule(written: &Written, origin: &Origin, series: &Own) -> Result<Rule, Vec<Mistake>> {
    let mut rule = Rule {
        name: String::new(),
        metric: Metric::Of(Series::Errors),
        operator: Operator::Above,
        limit: Limit::Number(0.0),
        lasting: Duration::ZERO,
        requests: 0.0,
        every: Duration::ZERO,
        times: 1,
        passes: None,
        inconclusive: None,
        errors: None,
        level: Level::Warning,
        effect: Effect::Note,
        only: Vec::new(),
        hours: None,
        days: [false; 7],
        zone: chrono_tz::UTC,
        labels: Vec::new(),
    };
    let mut mistakes = Vec::new();
    for (key, (text, at)) in written {
        let never =
            if key == "when" && odd_operator(text).is_none() { split(text).and_then(|(metric, ..)| series.problem(metric)) } else { None };
        let problem = match SETTINGS.iter().find(|(name, _)| name == key) {
            Some(_) if never.is_some() => never.map(|why| format!("rules.{key} = '{text}': {why}")),
            Some((_, read)) => read(&mut rule, text).err().map(|fix| format!("rules.{key} = '{text}': {fix}")),
            None => {
                let known: Vec<&str> = SETTINGS.iter().map(|(name, _)| *name).chain(["preset"]).collect();
                Some(format!("unknown setting 'rules.{key}'; known here: {}", known.join(", ")))
            }
        };
        mistakes.extend(problem.map(|text| Mistake { origin: at.clone(), text }));
    }
    mistakes.extend(at_odds(written));
    match written.get("when") {
        None => {
            mistakes.push(Mistake { origin: origin.clone(), text: "a rule needs `when`, such as when = \"errors > 3x stable\"".into() })
        }
        Some((when, _)) if rule.name.is_empty() => rule.name = when.split_whitespace().collect::<Vec<_>>().join(" "),
        Some(_) => {}
    }
    if mistakes.is_empty() { Ok(rule) } else { Err(mistakes) }
}

/// Settings that make no sense without, or beside, each other.
fn at_odds(written: &Written) -> Option<Mistake> {
    let get = |key: &str| written.get(key);
    let (origin, text) = match (get("times"), get("every"), get("for")) {
        (Some((_, at)), None, _) => (at, "rules.times counts failed checks: it needs `every`, such as every = \"1m\""),
        (_, Some(_), Some((_, at))) => (at, "rules.for asks for no break and rules.every for single checks: write one of them"),
        _ => return limits_at_odds(written),
    };
    Some(Mistake { origin: origin.clone(), text: text.into() })
}

/// What Argo Rollouts counts beside failures needs single checks, and two conditions on one metric.
fn limits_at_odds(written: &Written) -> Option<Mistake> {
    let get = |key: &str| written.get(key);
    let metric = |key: &str| get(key).and_then(|(text, _)| split(text)).map(|(metric, ..)| metric);
    let of_checks = ["passes", "inconclusive-limit", "consecutive-error-limit"].into_iter().find_map(|key| Some((key, get(key)?)));
    let (at, text) = match (get("every"), of_checks, get("inconclusive-limit"), get("passes")) {
        (None, Some((key, (_, at))), ..) => (at, format!("rules.{key} is about single checks: it needs `every`, such as every = \"1m\"")),
        (_, _, Some((_, at)), None) => {
            (at, "rules.inconclusive-limit needs `passes`: what neither fails nor passes is inconclusive".to_owned())
        }
        (_, _, _, Some((_, at))) if metric("passes") != metric("when") => {
            (at, "rules.passes must be about the metric of `when`".to_owned())
        }
        _ => return None,
    };
    Some(Mistake { origin: at.clone(), text })
}

const METRICS: &[(&str, Series)] =
    &[("errors", Series::Errors), ("p50", Series::P50), ("p95", Series::P95), ("p99", Series::P99), ("rate", Series::Rate)];

/// `errors > 3x stable`, `p99 >= 2 s`, `ready < 80 %`, `queue-depth > 100`, `errors unlike stable`.
fn condition(text: &str) -> Result<(Metric, Operator, Limit), String> {
    const FORM: &str = "write METRIC OPERATOR LIMIT, such as \"errors > 3x stable\", \"p99 > 2 s\" or \"ready < 80 %\"";
    if let Some(sign) = odd_operator(text) {
        return Err(format!("'{sign}' is no operator; there are >, >=, <, <= and unlike"));
    }
    let (metric, operator, limit) = split(text).ok_or(FORM)?;
    let metric = match METRICS.iter().find(|(name, _)| *name == metric) {
        Some((_, series)) => Metric::Of(*series),
        None if metric == "ready" => Metric::Ready,
        None => Metric::Own(metric.strip_prefix(ANALYSIS).unwrap_or(metric).to_owned()),
    };
    let limit = self::limit(&metric, operator, limit)?;
    Ok((metric, operator, limit))
}

/// Signs where the operator stands, that are none.
fn odd_operator(text: &str) -> Option<String> {
    let is_sign = |c: char| "<>=!~".contains(c);
    let sign: String = text.chars().skip_while(|c| !is_sign(*c)).take_while(|c| is_sign(*c)).collect();
    (!sign.is_empty() && ![">", ">=", "<", "<="].contains(&sign.as_str())).then_some(sign)
}

/// Metric, operator and limit, none of them empty.
fn split(text: &str) -> Option<(&str, Operator, &str)> {
    const SIGNS: [(&str, Operator); 5] = [
        (">=", Operator::AtLeast),
        ("<=", Operator::AtMost),
        (">", Operator::Above),
        ("<", Operator::Below),
        (" unlike ", Operator::Unlike),
    ];
    let (metric, operator, limit) = SIGNS.iter().find_map(|(sign, op)| text.split_once(sign).map(|(m, l)| (m.trim(), *op, l.trim())))?;
    (!metric.is_empty() && !limit.is_empty()).then_some((metric, operator, limit))
}

fn limit(metric: &Metric, operator: Operator, text: &str) -> Result<Limit, String> {
    if operator == Operator::Unlike {
        let fits = text == "stable" && matches!(metric, Metric::Of(_));
        return if fits { Ok(Limit::Stable(1.0)) } else { Err("only errors, p50, p95, p99 and rate can be `unlike stable`".into()) };
    }
    let (head, side) = match text.rsplit_once(char::is_whitespace) {
        Some((head, side @ ("stable" | "start"))) => (head.trim(), Some(side)),
        _ if text == "stable" || text == "start" => ("1x", Some(text)),
        _ => (text, None),
    };
    if let Some(times) = head.strip_suffix(['x', '×']) {
        let times = number(times).filter(|n| *n > 0.0).ok_or("write how many times as much, such as \"3x stable\"")?;
        return match side {
            Some("stable") if matches!(metric, Metric::Own(_)) => {
                Err("a custom series has no stable side; compare with \"start\" or a number".into())
            }
            Some("stable") => Ok(Limit::Stable(times)),
            Some(_) if *metric == Metric::Ready => Err("ready pods are compared with a share, such as \"80 %\", or with stable".into()),
            Some(_) => Ok(Limit::Start(times)),
            None => Err("3x of what? write \"3x stable\" or \"3x start\"".into()),
        };
    }
    if side.is_some() {
        return Err("write how many times as much, such as \"3x stable\"".into());
    }
    quantity(metric, head).map(Limit::Number)
}

/// A number with the unit its metric has.
fn quantity(metric: &Metric, text: &str) -> Result<f64, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '+')).unwrap_or(text.len());
    let (value, unit) = (number(&text[..unit_at]).ok_or("the limit must begin with a number")?, text[unit_at..].trim());
    let wrong = |fix: &str| Err(format!("{unit:?} is no unit here: {fix}"));
    match metric {
        Metric::Of(Series::Errors) | Metric::Ready => match unit {
            "%" => share(value / 100.0),
            "" => share(value),
            _ => wrong("write a share, such as \"5 %\""),
        },
        Metric::Of(Series::Rate) => {
            if ["/s", "rps", ""].contains(&unit) {
                Ok(value)
            } else {
                wrong("write requests a second, such as \"10/s\"")
            }
        }
        Metric::Of(_) => match unit {
            "s" => Ok(value),
            "ms" => Ok(value / 1000.0),
            "" => Err("a latency needs a unit: write \"2 s\" or \"250 ms\"".into()),
            _ => wrong("write \"2 s\" or \"250 ms\""),
        },
        Metric::Own(_) => {
            if unit.is_empty() {
                Ok(value)
            } else {
                wrong("a custom series is compared in its own unit, without one")
            }
        }
    }
}

fn share(value: f64) -> Result<f64, String> {
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("a share lies between 0 % and 100 %".into()) }
}

fn number(text: &str) -> Option<f64> {
    text.trim().replace('_', "").parse().ok().filter(|n: &f64| n.is_finite())
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "write a duration, such as \"90s\" or \"5m\"".into())
}

fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let known = || words.iter().map(|(w, _)| *w).collect::<Vec<_>>().join(", ");
    words.iter().find(|(w, _)| *w == text).map(|(_, value)| *value).ok_or_else(|| format!("write one of {}", known()))
}

/// `team=pay, tier!=batch, !legacy`, as kubectl writes them.
pub fn labels(text: &str) -> Result<Vec<Label>, String> {
    let word = |t: &str| {
        let t = t.trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        (!t.is_empty() && t.chars().all(fits)).then(|| t.to_owned())
    };
    let one = |part: &str| match part.split_once("!=").map(|pair| (pair, false)).or_else(|| Some((part.split_once('=')?, true))) {
        Some(((key, value), equal)) => {
            let value = value.strip_prefix('=').unwrap_or(value);
            let value = if value.trim().is_empty() { String::new() } else { word(value)? };
            Some(Label { key: word(key)?, value: Some(value), holds: equal })
        }
        None => {
            let (key, holds) = part.trim().strip_prefix('!').map_or((part, true), |key| (key, false));
            Some(Label { key: word(key)?, value: None, holds })
        }
    };
    let all = text.split(',').map(one).collect::<Option<_>>();
    all.ok_or("write labels as kubectl takes them, such as \"team=pay, tier!=batch\"".into())
}

/// `08:00-18:00` in minutes.
fn hours(text: &str) -> Option<(u32, u32)> {
    let minute = |t: &str| {
        let (h, m) = t.trim().split_once(':')?;
        let (h, m): (u32, u32) = (h.parse().ok()?, m.parse().ok()?);
        (h < 24 && m < 60 || (h, m) == (24, 0)).then_some(h * 60 + m)
    };
    let (from, to) = text.split_once('-')?;
    Some((minute(from)?, minute(to)?)).filter(|(from, to)| from != to)
}

/// `mon-fri`, `sat, sun`.
fn days(text: &str) -> Option<[bool; 7]> {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let day = |t: &str| DAYS.iter().position(|d| *d == t.trim().to_lowercase());
    let mut set = [false; 7];
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (day(from)?, day(to)?);
        let length = (to + 7 - from) % 7;
        (0..=length).for_each(|i| set[(from + i) % 7] = true);
    }
    Some(set)
}
