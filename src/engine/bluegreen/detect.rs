//! Which Services decide between two Deployments, and by which label.
//!
//! A Service counts when one key of its selector is all that keeps a second Deployment out, and when that key (`color`)
//! or its value (`blue`) says that sides are meant. Any other key must be named on the Service, as `web` and `worker` of
//! one application look just the same: label or annotation `rolltop.dev/blue-green: <key>`, or `off` for never.

use std::collections::BTreeSet;

use super::dto::{Deployment, Service};
use crate::{
    engine::workload::{dto::Words, template::HASH_LABELS},
    object::{Object, Objects, kinds},
};

/// Names the deciding key, or says `off`.
pub const MARK: &str = "rolltop.dev/blue-green";
const NEVER: &str = "off";

/// How long the side users have left is to be kept, such as `10m`.
pub const SOAK: &str = "rolltop.dev/soak";

/// Keys that people use for nothing but sides and versions.
const KEYS: [&str; 12] = [
    "color",
    "colour",
    "slot",
    "side",
    "bluegreen",
    "blue-green",
    "deployment-color",
    "environment-color",
    "active-color",
    "version",
    "app.kubernetes.io/version",
    "app.kubernetes.io/color",
];

/// In the name of a Service that only ever shows the side without users.
const ASIDE: [&str; 7] = ["preview", "idle", "staging", "standby", "inactive", "test", "canary"];

/// One Deployment and the value that sends users there.
#[derive(Debug, Clone)]
pub struct Side<'a> {
    pub object: &'a Object,
    pub dto: Deployment,
    pub value: String,
}

/// A Service and the two Deployments it decides between.
#[derive(Debug, Clone)]
pub struct Pair<'a> {
    pub service: Service,
    pub key: String,
    pub live: Side<'a>,
    pub idle: Side<'a>,
}

/// The pair, if this Service is the one to flip: of several that could be, one stands for the release.
pub fn decides<'a>(root: &Object, objects: &'a Objects) -> Option<Pair<'a>> {
    let pair = pair(root, objects)?;
    let rivals = siblings(root, &pair, objects).map(|(object, rival)| rank(object, &rival)).min();
    let own = rank(root, &pair);
    let is_first = rivals.is_none_or(|rival| own < rival);
    (is_first && (own.0 == 0 || !is_aside(root, &pair))).then_some(pair)
}

/// Other Services that decide between the same two Deployments.
pub fn siblings<'a>(root: &Object, pair: &Pair<'_>, objects: &'a Objects) -> impl Iterator<Item = (&'a Object, Pair<'a>)> {
    let both = uids(pair);
    let uid = root.meta.uid.clone();
    let services = objects.within(&kinds::SERVICE, &root.meta.namespace).filter(move |s| s.meta.uid != uid);
    services.filter_map(|s| Some((&**s, self::pair(s, objects)?))).filter(move |(_, other)| uids(other) == both)
}

fn uids(pair: &Pair<'_>) -> BTreeSet<String> {
    [&pair.live, &pair.idle].iter().map(|side| side.object.meta.uid.to_string()).collect()
}

/// Smaller is more likely the one that users come through.
fn rank(object: &Object, pair: &Pair<'_>) -> (u8, Option<crate::model::Time>, String) {
    let class = match (mark(&pair.service).is_some(), is_aside(object, pair)) {
        (true, _) => 0,
        (_, false) => 1,
        _ => 2,
    };
    (class, object.meta.created, object.meta.name.to_string())
}

/// Named after one side, or as a preview: nobody flips it.
pub fn is_aside(object: &Object, pair: &Pair<'_>) -> bool {
    let mut words = object.meta.name.split(['-', '.', '_']);
    words.any(|w| ASIDE.contains(&w) || w == pair.live.value || w == pair.idle.value)
}

fn mark(service: &Service) -> Option<&str> {
    told(service, MARK)
}

/// What a label or an annotation says, if it says anything.
pub fn told<'s>(service: &'s Service, key: &str) -> Option<&'s str> {
    let found = [service.metadata.label(key), service.metadata.annotation(key)];
    found.into_iter().find(|m| !m.is_empty())
}

/// The two Deployments this Service decides between, whatever other Services there are.
pub fn pair<'a>(root: &Object, objects: &'a Objects) -> Option<Pair<'a>> {
    let service: Service = root.read().ok()?;
    let keys = candidates(root, &service);
    if keys.is_empty() {
        return None;
    }
    let selector = service.spec.selector.clone();
    let mut found = keys.iter().filter_map(|key| split(root, &selector, key, objects).map(|sides| (key.clone(), sides)));
    let (key, (live, idle)) = found.next()?;
    // Two keys that could decide: nobody knows which one is meant.
    if found.next().is_some() {
        return None;
    }
    let marked = mark(&service).is_some();
    (marked || is_alike(&live, &idle)).then_some(Pair { service, key, live, idle })
}

/// Keys of the selector that may decide, from the Service alone: most Services end here without a look at a Deployment.
fn candidates(root: &Object, service: &Service) -> Vec<String> {
    let spec = &service.spec;
    if root.meta.owner.is_some() || spec.kind == "ExternalName" || spec.cluster_ip == "None" {
        return Vec::new();
    }
    match mark(service) {
        Some(NEVER) => Vec::new(),
        Some(key) => spec.selector.0.contains_key(key).then(|| key.to_owned()).into_iter().collect(),
        // Without another key every Deployment of the namespace would be a side.
        None if spec.selector.0.len() < 2 => Vec::new(),
        None => spec.selector.0.iter().filter(|(key, value)| is_slot(key, value)).map(|(key, _)| key.clone()).collect(),
    }
}

fn is_slot(key: &str, value: &str) -> bool {
    !HASH_LABELS.contains(&key) && (KEYS.contains(&key) || matches!(value, "blue" | "green"))
}

/// The one Deployment behind the selector and the one that this key alone keeps out; none when there are more.
fn split<'a>(root: &Object, selector: &Words, key: &str, objects: &'a Objects) -> Option<(Side<'a>, Side<'a>)> {
    let here = selector.get(key);
    let rest: Vec<(&String, &String)> = selector.0.iter().filter(|(k, _)| *k != key).collect();
    let (mut live, mut idle) = (Vec::new(), Vec::new());
    for object in objects.within(&kinds::DEPLOYMENT, &root.meta.namespace) {
        // Text first: reading each Deployment of a large namespace once per Service would take long.
        if !rest.iter().all(|(_, value)| object.pods_may_say(value)) {
            continue;
        }
        let Ok(dto) = object.read::<Deployment>() else { continue };
        let labels = &dto.spec.template.metadata.labels;
        let value = labels.get(key).to_owned();
        if value.is_empty() || !rest.iter().all(|(k, v)| labels.get(k) == v.as_str()) {
            continue;
        }
        let list = if value == here { &mut live } else { &mut idle };
        list.push(Side { object, dto, value });
    }
    let owned = |side: &Side<'_>| side.object.meta.owner.is_some();
    let (live, idle) = (only(live)?, only(idle)?);
    (!owned(&live) && !owned(&idle)).then_some((live, idle))
}

fn only<T>(list: Vec<T>) -> Option<T> {
    let mut list = list.into_iter();
    list.next().filter(|_| list.next().is_none())
}

/// Two versions of one thing: the same containers from the same repositories, or one name but for the side.
fn is_alike(a: &Side<'_>, b: &Side<'_>) -> bool {
    let containers = |side: &Side<'_>| -> BTreeSet<(String, String)> {
        let all = side.dto.spec.template.spec.containers.iter();
        all.map(|c| (c.name.clone(), super::version::repository(&c.image).to_owned())).collect()
    };
    let bare = |side: &Side<'_>| -> Vec<String> {
        side.object.meta.name.split(['-', '.', '_']).filter(|w| *w != side.value).map(str::to_owned).collect()
    };
    containers(a) == containers(b) || bare(a) == bare(b)
}
