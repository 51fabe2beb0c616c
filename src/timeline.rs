//! What happened, line by line.

use serde::Deserialize;

use crate::{
    model::{Text, Time},
    object::{Object, Objects, Resource, kinds},
};

/// Where an entry comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An Event object.
    Event,
    /// Seen by comparing two pictures: a weight or a phase changed.
    Seen,
    /// Something this person did here.
    You,
    /// Something the armed guard did or gave up.
    Guard,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub at: Time,
    pub origin: Origin,
    pub warning: bool,
    /// The object, when it is not the rollout itself.
    pub object: Option<Text>,
    pub reason: Text,
    pub message: Text,
    /// How often it was repeated.
    pub count: u32,
}

/// Kinds between a workload and its pods: an Event about one of them belongs to the workload's story.
static BETWEEN: [&Resource; 6] =
    [&kinds::REPLICA_SET, &kinds::POD, &kinds::ANALYSIS_RUN, &kinds::EXPERIMENT, &kinds::DEPLOYMENT, &kinds::ROLLOUT];

/// Longest chain of owners: pod, ReplicaSet, Experiment, Rollout.
const HOPS: usize = 4;

/// What the cluster tells when it folds repeats of one event; of no use to a reader.
const COMBINED: &str = "(combined from similar events): ";

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Event {
    involved_object: Involved,
    reason: Option<String>,
    message: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    count: Option<u32>,
    series: Option<Series>,
    last_timestamp: Option<Time>,
    event_time: Option<Time>,
    first_timestamp: Option<Time>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Involved {
    uid: Option<Text>,
    kind: Option<String>,
    name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Series {
    count: Option<u32>,
    last_observed_time: Option<Time>,
}

/// The Events about a workload and what it owns, oldest first, repeats of one moment folded.
/// Events live for about an hour and may be dropped by their sender: a missing one proves nothing.
pub fn from_events(root: &Object, objects: &Objects) -> Vec<Entry> {
    let mut entries: Vec<(String, Entry)> =
        objects.iter(&kinds::EVENT).filter_map(|o| Some((sequence(o), entry(root, objects, o)?))).collect();
    entries.sort_by(|(a, x), (b, y)| (x.at, a).cmp(&(y.at, b)));
    let mut entries: Vec<Entry> = entries.into_iter().map(|(_, entry)| entry).collect();
    entries.dedup_by(|later, first| {
        let same = Entry { count: first.count, ..later.clone() } == *first;
        if same {
            first.count = first.count.saturating_add(later.count);
        }
        same
    });
    entries
}

/// Times of events have whole seconds. Their senders name them by the nanosecond, in hexadecimal of equal
/// length, which tells the order within one.
fn sequence(event: &Object) -> String {
    event.meta.name.rsplit('.').next().unwrap_or_default().to_owned()
}

fn entry(root: &Object, objects: &Objects, object: &Object) -> Option<Entry> {
    let event: Event = object.read().ok()?;
    let uid = event.involved_object.uid.clone()?;
    if !belongs(root, objects, &uid) {
        return None;
    }
    let series = event.series.unwrap_or_default();
    // kubectl's rule for the time; creation as the last resort, as senders leave any of them out.
    let at = series.last_observed_time.or(event.last_timestamp).or(event.event_time).or(event.first_timestamp).or(object.meta.created)?;
    let Involved { kind, name, .. } = event.involved_object;
    let other = (uid != root.meta.uid).then(|| Text::from(format!("{} {}", kind.unwrap_or_default(), name.unwrap_or_default())));
    let message = event.message.unwrap_or_default();
    Some(Entry {
        at,
        origin: Origin::Event,
        warning: event.kind.as_deref() == Some("Warning"),
        object: other,
        reason: event.reason.unwrap_or_default().into(),
        message: message.strip_prefix(COMBINED).unwrap_or(&message).into(),
        count: series.count.or(event.count).unwrap_or(1).max(1),
    })
}

/// Whether the object of this uid is the root or descends from it.
fn belongs(root: &Object, objects: &Objects, uid: &Text) -> bool {
    let mut uid = uid.clone();
    for _ in 0..=HOPS {
        if uid == root.meta.uid {
            return true;
        }
        let known = BETWEEN.iter().find_map(|kind| objects.uid(kind, &uid));
        let Some(owner) = known.and_then(|o| o.meta.owner.as_ref()) else { return false };
        uid = owner.uid.clone();
    }
    false
}
