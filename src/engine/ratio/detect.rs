//! Which Services stand in front of two versions at once.
//!
//! Exactly two Deployments must fit the selector and run the same program: `web` and `worker` of one application may
//! share a label, too. Label or annotation `rolltop.dev/ratio: off` on the Service keeps it out.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    engine::{
        bluegreen::{dto::Service, version},
        split::{
            newer::{self, Because},
            sides::Side,
            stepper::{self, ANNOTATION, Mark, Standing},
        },
        workload::dto::Metadata,
    },
    object::{Object, Objects, kinds},
    settings::Stage,
};

use super::counts;

/// Says `off`.
pub const MARK: &str = "rolltop.dev/ratio";

/// The two Deployments behind a Service.
#[derive(Debug)]
pub struct Pair<'a> {
    pub metadata: Metadata,
    pub selector: BTreeMap<String, String>,
    pub new: Side<'a>,
    pub old: Side<'a>,
    pub because: Because,
    pub standing: Standing,
    /// Requests of one client stay with one pod.
    pub sticky: bool,
}

impl<'a> Pair<'a> {
    pub fn sides(&self) -> [&Side<'a>; 2] {
        [&self.new, &self.old]
    }

    /// Pods of both.
    pub fn wanted(&self) -> u32 {
        self.new.wanted().saturating_add(self.old.wanted())
    }

    pub fn ready(&self) -> u32 {
        self.new.ready().saturating_add(self.old.ready())
    }

    /// The new side's part of the ready pods.
    pub fn share(&self) -> Option<f64> {
        let all = self.ready();
        (all > 0).then(|| f64::from(self.new.ready()) / f64::from(all))
    }

    /// The new side's part of the wanted pods, percent.
    pub fn percent(&self) -> u8 {
        counts::percent(self.new.wanted(), self.wanted())
    }

    pub fn mark(&self) -> Option<&Mark> {
        self.standing.good()
    }

    pub fn alike(&self) -> bool {
        self.new.images() == self.old.images()
    }

    /// Both have pods.
    pub fn in_flight(&self) -> bool {
        self.new.wanted() > 0 && self.old.wanted() > 0
    }

    pub fn aborted(&self) -> bool {
        self.mark().is_some_and(|m| m.aborted) && self.new.wanted() == 0
    }
}

/// Phases of this release.
pub fn stages<'o>(root: &Object, objects: &'o Objects) -> &'o [Stage] {
    objects.conventions().phases(&root.meta.namespace, &root.meta.name)
}

/// The pair behind a Service, unless its selector tells versions apart or nothing says that they are versions.
pub fn pair<'a>(root: &Object, objects: &'a Objects) -> Option<Pair<'a>> {
    let service: Service = root.read().ok()?;
    let spec = &service.spec;
    let told = [service.metadata.label(MARK), service.metadata.annotation(MARK)];
    let out = root.meta.owner.is_some() || spec.kind == "ExternalName" || spec.selector.0.is_empty() || told.contains(&"off");
    if out {
        return None;
    }
    let selector = spec.selector.0.clone();
    let mut sides = Side::alone(&selector, &root.meta.namespace, objects).into_iter();
    let (a, b) = (sides.next()?, sides.next()?);
    if sides.next().is_some() || [&a, &b].iter().any(|s| is_owned(s)) || !is_alike(&a, &b) {
        return None;
    }
    let text = service.metadata.annotation(ANNOTATION);
    let mark: Option<Mark> = serde_json::from_str(text).ok();
    let wanted = a.wanted().saturating_add(b.wanted());
    let share = |side: &Side<'_>| if wanted == 0 { 0.0 } else { f64::from(side.wanted()) / f64::from(wanted) };
    let shares = [share(&a), share(&b)];
    // A mark holds the share that was asked for, of which the counts are the nearest.
    let fits = |m: &Mark| [&a, &b].iter().any(|s| s.name() == m.new && s.wanted() == counts::nearest(m.weight, wanted));
    let under_way = mark.clone().filter(|m| (1..100).contains(&m.weight) && fits(m)).map(|m| m.new);
    let (second, because) = match under_way {
        Some(new) => (new == b.name(), Because::Phase),
        None => newer::second(&a, &b, &service.metadata, None, shares),
    };
    let (new, old) = if second { (b, a) } else { (a, b) };
    let standing = standing(text, mark, &new, wanted);
    Some(Pair { metadata: service.metadata, selector, new, old, because, standing, sticky: sticky(root) })
}

fn standing(text: &str, mark: Option<Mark>, new: &Side<'_>, pods: u32) -> Standing {
    match mark {
        None if text.is_empty() => Standing::Nothing,
        None => Standing::Unreadable,
        Some(mark) => {
            let fits = counts::nearest(mark.weight, pods) == new.wanted();
            stepper::standing(Some(text), new.name(), fits.then_some(mark.weight))
        }
    }
}

fn sticky(root: &Object) -> bool {
    root.value().pointer("/spec/sessionAffinity").is_some_and(|a| a == "ClientIP")
}

fn is_owned(side: &Side<'_>) -> bool {
    side.workloads.iter().any(|w| w.object().meta.owner.is_some())
}

/// The same containers from the same repositories.
fn is_alike(a: &Side<'_>, b: &Side<'_>) -> bool {
    let program = |side: &Side<'_>| -> BTreeSet<(String, String)> {
        let all = side.workloads.iter().flat_map(|w| &w.0.dto.spec.template.spec.containers);
        all.map(|c| (c.name.clone(), version::repository(&c.image).to_owned())).collect()
    };
    program(a) == program(b)
}

/// Other Services in front of the same two.
pub fn siblings<'a>(root: &Object, pair: &Pair<'_>, objects: &'a Objects) -> impl Iterator<Item = &'a Object> {
    let names = |pair: &Pair<'_>| -> BTreeSet<String> { pair.sides().iter().map(|s| s.name().to_owned()).collect() };
    let (own, uid) = (names(pair), root.meta.uid.clone());
    let others = objects.within(&kinds::SERVICE, &root.meta.namespace).filter(move |s| s.meta.uid != uid);
    others.filter(move |s| self::pair(s, objects).is_some_and(|p| names(&p) == own)).map(|s| &**s)
}
