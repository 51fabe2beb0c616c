//! Weights in lists of backends, as most routers keep them: what differs is where the lists stand and what an absent
//! weight means.

use serde_json::Value;

use super::{
    form::{Backend, Route, Rule, Target},
    number, text,
};

#[derive(Debug)]
pub struct Lists {
    pub places: &'static [Place],
    /// The key of a rule's list of backends.
    pub backends: &'static str,
    pub absent: Absent,
    pub target: fn(&Value, namespace: &str) -> Target,
    /// Who a rule is for, when not for everybody.
    pub audience: fn(&Value) -> Option<String>,
    /// Backends that get copies and no users.
    pub mirrors: fn(&Value) -> bool,
}

/// Where rules stand.
#[derive(Debug)]
pub enum Place {
    /// A list of them.
    Each(&'static str),
    /// One.
    One(&'static str),
}

/// What a weight counts for that nobody wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    One,
    Zero,
    /// All absent: even parts; some absent: nothing.
    EvenIfAll,
}

impl Lists {
    pub fn rules(&self, route: &Route<'_>) -> Vec<Rule> {
        let namespace = &*route.object.meta.namespace;
        self.places.iter().flat_map(|place| place.rules(&route.read)).map(|(path, rule)| self.rule(&path, rule, namespace)).collect()
    }

    fn rule(&self, path: &str, rule: &Value, namespace: &str) -> Rule {
        let list = format!("{path}/{}", self.backends);
        let backends: Vec<(usize, &Value)> = super::items(rule, self.backends).enumerate().filter(|(_, b)| !(self.mirrors)(b)).collect();
        let weights = self.weights(&backends);
        let backend = |((i, b), weight): ((usize, &Value), f64)| Backend {
            target: (self.target)(b, namespace),
            weight,
            at: format!("{list}/{i}/weight"),
        };
        Rule {
            name: text(rule, "name").map_or_else(|| spoken(path), str::to_owned),
            audience: (self.audience)(rule),
            backends: backends.iter().copied().zip(weights).map(backend).collect(),
            guard: vec![list.clone()],
        }
    }

    fn weights(&self, backends: &[(usize, &Value)]) -> Vec<f64> {
        let written: Vec<Option<f64>> =
            backends.iter().map(|(_, b)| b.get("weight").filter(|w| !w.is_null()).map(|w| number(w).unwrap_or(0.0).max(0.0))).collect();
        let absent = match self.absent {
            Absent::One => 1.0,
            Absent::Zero => 0.0,
            Absent::EvenIfAll => f64::from(u8::from(written.iter().all(Option::is_none))),
        };
        written.into_iter().map(|w| w.unwrap_or(absent)).collect()
    }
}

impl Place {
    fn rules<'v>(&self, read: &'v Value) -> Vec<(String, &'v Value)> {
        match self {
            Self::One(path) => read.pointer(path).map(|rule| ((*path).to_owned(), rule)).into_iter().collect(),
            Self::Each(path) => {
                let list = read.pointer(path).and_then(Value::as_array).into_iter().flatten();
                list.enumerate().map(|(i, rule)| (format!("{path}/{i}"), rule)).collect()
            }
        }
    }
}

/// `/spec/rules/0` as people write it.
fn spoken(path: &str) -> String {
    let path = path.trim_start_matches("/spec").trim_start_matches('/');
    match path.rsplit_once('/') {
        Some((list, index)) => format!("{list}[{index}]"),
        None if path.is_empty() => "spec".into(),
        None => path.into(),
    }
}

/// A Service by its name, unless another kind or namespace is given.
pub fn service(backend: &Value, namespace: &str) -> Target {
    let kind = text(backend, "kind").filter(|kind| *kind != "Service");
    let other = text(backend, "namespace").filter(|ns| *ns != namespace);
    let elsewhere = kind.map(str::to_owned).or_else(|| other.map(|ns| format!("namespace {ns}")));
    Target { service: text(backend, "name").unwrap_or("").into(), subset: None, elsewhere }
}

pub fn everybody(_: &Value) -> Option<String> {
    None
}

pub fn no_mirror(_: &Value) -> bool {
    false
}
