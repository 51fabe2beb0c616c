//! What a route divides between whom, and how other weights are written into it.

use serde_json::Value;

use super::{lists::Lists, share};
use crate::object::{Object, Objects, Resource};

/// A kind of route that carries weights.
#[derive(Debug)]
pub struct Form {
    /// The name on screen.
    pub router: &'static str,
    pub kind: &'static Resource,
    pub weights: Weights,
    /// What the router says against this route, in words.
    pub complaints: fn(&Value) -> Vec<String>,
    /// Whether the router has yet to read the newest spec, where it tells.
    pub unread: fn(&Value) -> bool,
}

/// What to write so that a target gets so many percent in each of these rules, or why that cannot be.
pub type Puts = fn(&Route<'_>, &[&Rule], &Target, u8) -> Result<Vec<Put>, String>;

/// Where the weights stand.
#[derive(Debug)]
pub enum Weights {
    /// In lists of backends: data alone.
    Listed(Lists),
    /// Anywhere else.
    Own { rules: fn(&Route<'_>) -> Vec<Rule>, puts: Puts },
}

/// One object of such a kind, read once.
#[derive(Debug)]
pub struct Route<'a> {
    pub object: &'a Object,
    pub read: Value,
    pub objects: &'a Objects,
}

impl<'a> Route<'a> {
    pub fn of(object: &'a Object, objects: &'a Objects) -> Self {
        Self { object, read: object.value(), objects }
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.read.pointer("/metadata/annotations")?.get(key)?.as_str()
    }
}

/// One rule: these requests go to these backends.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Where it stands, or its own name.
    pub name: String,
    /// Who it is for, when not for everybody: `header x-canary: always`. Never part of the split.
    pub audience: Option<String>,
    pub backends: Vec<Backend>,
    /// Pointers to what must still be as it was read for other weights to mean what they say.
    pub guard: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    pub target: Target,
    /// What it counts for beside the others of the rule.
    pub weight: f64,
    /// Pointer to the weight.
    pub at: String,
}

/// What a backend leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Target {
    pub service: String,
    /// Istio: some of its pods, named in a DestinationRule.
    pub subset: Option<String>,
    /// Outside the route's namespace, or no Service at all: what stands behind it is not looked at.
    pub elsewhere: Option<String>,
}

impl Target {
    pub fn service(name: &str) -> Self {
        Self { service: name.into(), ..Self::default() }
    }

    /// What people call it: `web`, or `web/v2` for a subset.
    pub fn name(&self) -> String {
        self.subset.as_ref().map_or_else(|| self.service.clone(), |subset| format!("{}/{subset}", self.service))
    }
}

impl Rule {
    /// The part of its requests that this target gets; none when no weight is above 0.
    pub fn share(&self, target: &Target) -> Option<f64> {
        let all: f64 = self.sum();
        share(self.backends.iter().filter(|b| b.target == *target).map(|b| b.weight).sum(), all)
    }

    pub fn sum(&self) -> f64 {
        self.backends.iter().map(|b| b.weight).sum()
    }
}

/// One member to set.
#[derive(Debug, Clone, PartialEq)]
pub struct Put {
    pub path: String,
    pub value: Value,
}

impl Form {
    pub fn rules(&self, route: &Route<'_>) -> Vec<Rule> {
        match &self.weights {
            Weights::Listed(lists) => lists.rules(route),
            Weights::Own { rules, .. } => rules(route),
        }
    }

    /// What to write so that this target gets so many percent in each of these rules, and the other backend the rest.
    ///
    /// # Errors
    /// Why that share cannot be written, in words.
    pub fn puts(&self, route: &Route<'_>, rules: &[&Rule], target: &Target, percent: u8) -> Result<Vec<Put>, String> {
        match &self.weights {
            Weights::Listed(_) => Ok(rules.iter().flat_map(|rule| even(rule, target, percent)).collect()),
            Weights::Own { puts, .. } => puts(route, rules, target, percent),
        }
    }
}

/// Weights that add up to 100, whatever they added up to before: Istio before 1.15 takes no other.
fn even<'r>(rule: &'r Rule, target: &'r Target, percent: u8) -> impl Iterator<Item = Put> + 'r {
    let weight = move |b: &Backend| Value::from(if b.target == *target { percent } else { 100 - percent.min(100) });
    rule.backends.iter().map(move |b| Put { path: b.at.clone(), value: weight(b) })
}

/// For routers that say nothing about their routes.
pub fn no_complaints(_: &Value) -> Vec<String> {
    Vec::new()
}

pub fn never_unread(_: &Value) -> bool {
    false
}

/// A key as a step of a JSON pointer.
pub fn step(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
