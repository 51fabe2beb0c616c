//! Which of two sides is the new one, and how that is known.
//!
//! What a side is called for (`canary`, `stable`) comes before times: a restart of the stable side makes its pods the
//! youngest, and must not turn an abort around.

use std::cmp::Ordering;

use super::{sides::Side, stepper::Mark};
use crate::engine::{
    bluegreen::version::{self, Because as Age},
    workload::dto::Metadata,
};

/// Names the new side on the route, by its Service or subset.
pub const MARK: &str = "rolltop.dev/new";

/// What decided, in the order of trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    Marked,
    /// A release is under way, and the route says of what.
    Phase,
    Tag,
    Role,
    Age(Age),
    Word,
    Weight,
    Order,
}

impl Because {
    pub fn words(self) -> &'static str {
        match self {
            Self::Marked => "the route names it",
            Self::Phase => "the release under way is its",
            Self::Tag => Age::Tag.words(),
            Self::Role => "of its name",
            Self::Age(age) => age.words(),
            Self::Word => "of the order of their names",
            Self::Weight => "it has the smaller weight",
            Self::Order => "it stands last in the route",
        }
    }
}

const NEW: [&str; 8] = ["canary", "new", "next", "candidate", "preview", "beta", "experiment", "experimental"];
const OLD: [&str; 9] = ["stable", "primary", "old", "baseline", "base", "current", "main", "prod", "production"];

/// Times closer than this tell nothing: both sides were brought out together.
const TOGETHER: chrono::Duration = chrono::Duration::seconds(60);

/// Whether the second of two is the new one. `shares` are their parts of the requests, as far as known.
pub fn second(a: &Side<'_>, b: &Side<'_>, metadata: &Metadata, mark: Option<&Mark>, shares: [f64; 2]) -> (bool, Because) {
    let is = |name: &str, side: &Side<'_>| side.name() == name || side.target.service == name && side.target.subset.is_none();
    let named = |name: &str| (is(name, a) != is(name, b)).then(|| is(name, b));
    let told = [metadata.label(MARK), metadata.annotation(MARK)].into_iter().find(|m| !m.is_empty());
    let under_way = mark.filter(|m| (1..100).contains(&m.weight)).and_then(|m| Some((named(&m.new)?, m.weight)));
    let under_way = under_way.filter(|(second, weight)| (shares[usize::from(*second)] * 100.0 - f64::from(*weight)).abs() < 0.5);
    let age = age(a, b);
    let rows = [
        (told.and_then(named), Because::Marked),
        (under_way.map(|(second, _)| second), Because::Phase),
        (age.filter(|(_, why)| *why == Age::Tag).map(|(second, _)| second), Because::Tag),
        (role(a.name(), b.name()), Because::Role),
        (age.map(|(second, _)| second), Because::Age(age.map_or(Age::Created, |(_, why)| why))),
        (word(a.name(), b.name()), Because::Word),
        (less(shares[1], shares[0]), Because::Weight),
    ];
    rows.into_iter().find_map(|(second, why)| Some((second?, why))).unwrap_or((true, Because::Order))
}

/// Whether the second workload's version is the newer one; none when both hold the same images.
fn age(a: &Side<'_>, b: &Side<'_>) -> Option<(bool, Age)> {
    let ([a], [b]) = (a.workloads.as_slice(), b.workloads.as_slice()) else { return None };
    let (order, why) = version::compare(&b.0, &a.0)?;
    let times = match why {
        Age::RolledOut => version::rolled_out(&a.0).zip(version::rolled_out(&b.0)),
        Age::Created => a.object().meta.created.zip(b.object().meta.created),
        Age::Tag => return Some((order == Ordering::Greater, why)),
        // Revisions count changes of one Deployment; of two they tell nothing.
        Age::Revision => None,
    };
    times.filter(|(a, b)| (*a - *b).abs() >= TOGETHER).map(|_| (order == Ordering::Greater, why))
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(['-', '.', '_', '/'])
}

fn role(a: &str, b: &str) -> Option<bool> {
    let has = |list: &[&str], name: &str| words(name).any(|w| list.contains(&w.to_lowercase().as_str()));
    let new = [has(&NEW, a), has(&NEW, b)];
    let old = [has(&OLD, a), has(&OLD, b)];
    if new[0] != new[1] {
        return Some(new[1]);
    }
    (old[0] != old[1]).then_some(old[0])
}

/// `green` after `blue`, `v2` after `v1`, `b` after `a`: the first word that differs.
fn word(a: &str, b: &str) -> Option<bool> {
    let number = |w: &str| w.trim_start_matches(['v', 'V']).parse::<u64>().ok();
    let (a, b) = words(a).zip(words(b)).find(|(a, b)| a != b)?;
    match (number(a), number(b)) {
        (Some(a), Some(b)) => Some(b > a),
        _ if [a, b] == ["blue", "green"] || [a, b] == ["a", "b"] => Some(true),
        _ if [a, b] == ["green", "blue"] || [a, b] == ["b", "a"] => Some(false),
        _ => None,
    }
}

fn less(b: f64, a: f64) -> Option<bool> {
    ((a - b).abs() > f64::EPSILON).then_some(b < a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_a_side_is_for() {
        let second = role;
        assert_eq!(second("web", "web-canary"), Some(true));
        assert_eq!(second("web-canary", "web"), Some(false));
        assert_eq!(second("web-stable", "web"), Some(true));
        assert_eq!(second("web-primary", "web-next"), Some(true));
        assert_eq!(second("web-a", "web-b"), None);
        assert_eq!(second("stable-diffusion-stable", "stable-diffusion-canary"), Some(true));
    }

    #[test]
    fn the_first_word_that_differs_orders_them() {
        assert_eq!(word("web-v9", "web-v10"), Some(true));
        assert_eq!(word("web-green", "web-blue"), Some(false));
        assert_eq!(word("v2", "v1"), Some(false));
        assert_eq!(word("web-red", "web-blue"), None);
        assert_eq!(word("web", "web"), None);
    }
}
