//! One route with everything of it that is at hand, and the questions every part of the engine asks.

use std::collections::BTreeSet;

use super::{
    dto::Marked,
    newer::{self, Because},
    sides::{self, Side},
    stepper::{self, ANNOTATION, Mark, Standing},
};
use crate::{
    engine::workload::dto::Metadata,
    object::{Object, Objects},
    settings::Stage,
    traffic::{FORMS, Form, Route, Rule, Target},
};

/// Two sides, and what is known of them together.
#[derive(Debug)]
pub struct Pair<'a> {
    pub new: Side<'a>,
    pub old: Side<'a>,
    pub because: Because,
    /// One Service selects pods of both.
    pub overlap: bool,
}

/// What the weighted rules divide requests between.
#[derive(Debug)]
pub enum Shape<'a> {
    Pair(Box<Pair<'a>>),
    /// More than two, or rules that divide between others: all of them, and why no two are the sides of a release.
    Crowd(Vec<Side<'a>>, String),
}

#[derive(Debug)]
pub struct Facts<'a> {
    pub root: &'a Object,
    pub objects: &'a Objects,
    pub metadata: Metadata,
    pub form: &'static Form,
    pub route: Route<'a>,
    pub rules: Vec<Rule>,
    pub shape: Shape<'a>,
    pub standing: Standing,
}

impl<'a> Facts<'a> {
    /// # Errors
    /// Why nothing is divided here.
    pub fn read(root: &'a Object, objects: &'a Objects) -> Result<Self, String> {
        let route = Route::of(root, objects);
        let found = FORMS.iter().filter(|form| form.kind == root.resource).find_map(|form| {
            let rules = form.rules(&route);
            let divides = weighted(&rules).next().is_some();
            divides.then_some((*form, rules))
        });
        let (form, rules) = found.ok_or("it divides requests between no two backends")?;
        let metadata = root.read::<Marked>()?.metadata;
        let text = route.annotation(ANNOTATION).map(str::to_owned);
        let shape = shape(&rules, &metadata, text.as_deref(), root, objects);
        let mut facts = Self { root, objects, metadata, form, route, rules, shape, standing: Standing::Nothing };
        if let Some(pair) = facts.pair() {
            facts.standing = stepper::standing(text.as_deref(), pair.new.name(), facts.percent_of(pair.new.name()));
        }
        Ok(facts)
    }

    pub fn pair(&self) -> Option<&Pair<'a>> {
        match &self.shape {
            Shape::Pair(pair) => Some(pair),
            Shape::Crowd(..) => None,
        }
    }

    /// All backends of weighted rules; the new side first.
    pub fn sides(&self) -> impl Iterator<Item = &Side<'a>> {
        let (pair, crowd) = match &self.shape {
            Shape::Pair(pair) => (Some([&pair.new, &pair.old]), None),
            Shape::Crowd(all, _) => (None, Some(all)),
        };
        pair.into_iter().flatten().chain(crowd.into_iter().flatten())
    }

    /// Rules that divide ordinary requests.
    pub fn weighted(&self) -> impl Iterator<Item = &Rule> {
        weighted(&self.rules)
    }

    /// Rules for chosen requests, which no weight is about.
    pub fn chosen(&self) -> impl Iterator<Item = &Rule> {
        let divides: BTreeSet<*const Rule> = self.weighted().map(std::ptr::from_ref).collect();
        self.rules.iter().filter(move |r| r.audience.is_some() && !divides.contains(&std::ptr::from_ref(*r)))
    }

    /// A side's part of the requests. Of rules that disagree the largest: who may still be there.
    pub fn share(&self, target: &Target) -> Option<f64> {
        self.weighted().filter_map(|rule| rule.share(target)).reduce(f64::max)
    }

    /// What is left by the largest share of the new side: the two add up to 1.
    pub fn new_share(&self) -> Option<f64> {
        self.share(&self.pair()?.new.target)
    }

    /// Whether the rules do not divide alike.
    pub fn uneven(&self) -> bool {
        let Some(pair) = self.pair() else { return false };
        let shares: Vec<Option<f64>> = self.weighted().map(|rule| rule.share(&pair.new.target)).collect();
        shares.windows(2).any(|w| w[0] != w[1])
    }

    /// A side's whole percentage; none when the rules disagree, or it is none.
    pub fn percent_of(&self, name: &str) -> Option<u8> {
        let side = self.sides().find(|s| s.name() == name)?;
        let share = self.share(&side.target).filter(|_| !self.uneven())?;
        whole(share)
    }

    /// The new side's percentage from which the next phase is found.
    pub fn percent(&self) -> u8 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        self.new_share().map_or(0, |s| (s * 100.0).floor().clamp(0.0, 100.0) as u8)
    }

    pub fn mark(&self) -> Option<&Mark> {
        self.standing.good()
    }

    pub fn stages(&self) -> &'a [Stage] {
        self.objects.conventions().phases(&self.root.meta.namespace, &self.root.meta.name)
    }

    /// Both sides hold the same images: there is nothing to release.
    pub fn alike(&self) -> bool {
        self.pair().is_some_and(|p| p.new.is_seen() && p.old.is_seen() && p.new.images() == p.old.images())
    }

    /// The new side holds another version, has pods, and no users.
    pub fn ready_to_begin(&self) -> bool {
        self.pair().is_some_and(|p| self.new_share() == Some(0.0) && p.new.wanted() > 0 && !self.alike())
    }

    /// Two versions are in play.
    pub fn in_flight(&self) -> bool {
        let divided = self.new_share().is_some_and(|s| s > 0.0 && s < 1.0);
        self.pair().is_some() && (divided || self.uneven() || self.ready_to_begin())
    }

    /// Taken back, and nobody has been sent there since.
    pub fn aborted(&self) -> bool {
        self.mark().is_some_and(|m| m.aborted) && self.ready_to_begin()
    }

    /// Other routes that lead to the same Services.
    pub fn siblings(&self) -> impl Iterator<Item = &'a Object> {
        let wanted: BTreeSet<Target> = self.sides().map(|s| s.target.clone()).collect();
        let objects = self.objects;
        let all =
            FORMS.iter().flat_map(move |form| objects.within(form.kind, &self.root.meta.namespace).map(move |route| (*form, &**route)));
        let rest = all.filter(|(_, route)| route.meta.uid != self.root.meta.uid);
        let alike = rest.filter(move |(form, route)| {
            wanted.iter().all(|t| route.text().contains(t.service.as_str())) && divides(form, route, objects) == Some(wanted.clone())
        });
        alike.map(|(_, route)| route)
    }
}

/// What a route's weighted rules divide between.
fn divides(form: &Form, route: &Object, objects: &Objects) -> Option<BTreeSet<Target>> {
    let rules = form.rules(&Route::of(route, objects));
    let targets: BTreeSet<Target> = weighted(&rules).flat_map(|r| r.backends.iter().map(|b| b.target.clone())).collect();
    (!targets.is_empty()).then_some(targets)
}

/// Rules with more than one backend; those for chosen requests only where there are no others.
fn weighted(rules: &[Rule]) -> impl Iterator<Item = &Rule> {
    let divides = |r: &&Rule| r.backends.len() > 1;
    let common = rules.iter().filter(divides).any(|r| r.audience.is_none());
    rules.iter().filter(divides).filter(move |r| r.audience.is_none() == common)
}

/// Percent, where it is a whole number.
pub fn whole(share: f64) -> Option<u8> {
    let percent = (share * 100.0).round();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    ((share * 100.0 - percent).abs() < 0.01 && (0.0..=100.0).contains(&percent)).then_some(percent as u8)
}

fn shape<'a>(rules: &[Rule], metadata: &Metadata, mark: Option<&str>, root: &Object, objects: &'a Objects) -> Shape<'a> {
    let side = |target: &Target| Side::read(target, &root.meta.namespace, objects);
    let all: Vec<Target> = weighted(rules).flat_map(|r| &r.backends).map(|b| b.target.clone()).collect();
    let distinct: Vec<Target> = all.iter().enumerate().filter(|(i, t)| !all[..*i].contains(t)).map(|(_, t)| t.clone()).collect();
    let named = all.iter().all(|t| !t.service.is_empty());
    let two_each = named && weighted(rules).all(|r| r.backends.len() == 2 && r.backends[0].target != r.backends[1].target);
    let ([first, second], true) = (distinct.as_slice(), two_each) else {
        return Shape::Crowd(distinct.iter().map(side).collect(), crowd(rules));
    };
    let (mut a, mut b) = (side(first), side(second));
    let overlap = sides::part(&mut a, &mut b);
    let share = |side: &Side<'_>| weighted(rules).filter_map(|r| r.share(&side.target)).reduce(f64::max).unwrap_or(0.0);
    let mark = mark.and_then(|text| serde_json::from_str::<Mark>(text).ok());
    let (second_is_new, because) = newer::second(&a, &b, metadata, mark.as_ref(), [share(&a), share(&b)]);
    let (new, old) = if second_is_new { (b, a) } else { (a, b) };
    Shape::Pair(Box::new(Pair { new, old, because, overlap }))
}

/// Why the rules have no two sides.
fn crowd(rules: &[Rule]) -> String {
    if let Some(rule) = weighted(rules).find(|r| r.backends.iter().any(|b| b.target.service.is_empty())) {
        return format!("{} has a backend without a name", rule.name);
    }
    let names = |r: &Rule| r.backends.iter().map(|b| b.target.name()).collect::<Vec<_>>().join(", ");
    match weighted(rules).find(|r| r.backends.len() != 2) {
        Some(rule) => format!("{} divides between {} backends ({})", rule.name, rule.backends.len(), names(rule)),
        None => {
            let each: Vec<String> = weighted(rules).map(|r| format!("{} between {}", r.name, names(r))).collect();
            format!("its rules divide differently: {}", each.join("; "))
        }
    }
}
