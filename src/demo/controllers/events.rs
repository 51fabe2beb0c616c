//! Events as client-go's recorder writes them: repeats are counted, similar ones are combined, floods are dropped.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::objects::{between, hash, parse_time};
use crate::{
    demo::{
        registry::{self, Write, stamp, stamp_micro},
        sim::{Controller, Cx},
        store::{Change, Key, Store},
    },
    model::Time,
};

/// How long an API server keeps an event after its last occurrence.
pub const KEPT: Duration = Duration::from_secs(3_600);

/// From this number of different messages with one reason about one object on, they are combined.
const SIMILAR: usize = 10;
/// Similar events that are further apart than this are told one by one again.
const SIMILAR_WITHIN: Duration = Duration::from_secs(600);
/// Events about one object that pass at once, and how long it takes until one more does.
const BURST: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(300);
/// Above this size the memory of the recorder is searched for what is too old to matter.
const MEMORY: usize = 4_096;

/// Who reports, and about which part of the object.
#[derive(Debug, Clone, Copy, Default)]
pub struct Source<'a> {
    pub component: &'a str,
    /// The node, where it matters.
    pub host: &'a str,
    /// Such as `spec.containers{app}`; empty for the whole object.
    pub field: &'a str,
}

/// Reports something about an object, as the controller that looks after its kind. `kind` is `Normal` or `Warning`.
pub fn record(cx: &mut Cx<'_>, about: &Value, kind: &str, reason: &str, message: &str) {
    let component = reporter(about["kind"].as_str().unwrap_or_default());
    record_by(cx, Source { component, ..Source::default() }, about, kind, reason, message);
}

/// Who reports on a kind.
fn reporter(kind: &str) -> &'static str {
    match kind {
        "ReplicaSet" => "replicaset-controller",
        "Deployment" => "deployment-controller",
        "StatefulSet" => "statefulset-controller",
        "DaemonSet" => "daemonset-controller",
        "Rollout" | "AnalysisRun" | "Experiment" => "rollouts-controller",
        "Pod" => "kubelet",
        "Node" => "node-controller",
        _ => "controllermanager",
    }
}

/// Reports something as whoever `source` says.
pub fn record_by(cx: &mut Cx<'_>, source: Source<'_>, about: &Value, kind: &str, reason: &str, message: &str) {
    if is_forgotten_anyway(cx) {
        return;
    }
    let object = about["metadata"]["uid"].as_str().unwrap_or_default();
    let recorder = &mut cx.workloads.events;
    let group = [source.component, source.host, object, kind, reason];
    let (message, key) = if recorder.is_similar(hash(&group), hash(&[message]), cx.now) {
        (format!("(combined from similar events): {message}"), hash(&group))
    } else {
        (message.to_owned(), hash(&[&group[..], &[source.field, message]].concat()))
    };
    let name = about["metadata"]["name"].as_str().unwrap_or_default();
    let seen = recorder.observe(key, name, cx.now);
    if !recorder.allows(hash(&group[..4]), cx.now) {
        return;
    }
    let namespace = home(about);
    if seen.count > 1 && repeat(cx, &Key::new("events", namespace, &seen.name), &message, seen.count) {
        return;
    }
    let event = json!({
        "metadata": {"name": seen.name, "namespace": namespace},
        "involvedObject": reference(about, source.field),
        "reason": reason, "message": message, "type": kind, "count": seen.count,
        "source": origin(source),
        "firstTimestamp": stamp(seen.first), "lastTimestamp": stamp(cx.now),
        "reportingComponent": source.component, "reportingInstance": source.host,
    });
    store(cx, namespace, event);
}

/// Reports something as the scheduler does, which writes events of the newer kind: not counted, with an action.
pub fn record_scheduling(cx: &mut Cx<'_>, pod: &Value, kind: &str, reason: &str, action: &str, message: &str) {
    if is_forgotten_anyway(cx) {
        return;
    }
    let name = cx.workloads.events.name(pod["metadata"]["name"].as_str().unwrap_or_default(), cx.now);
    let namespace = home(pod);
    let event = json!({
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": reference(pod, ""),
        "reason": reason, "message": message, "type": kind, "action": action, "source": {},
        "eventTime": stamp_micro(cx.now),
        "reportingComponent": SCHEDULER, "reportingInstance": format!("{SCHEDULER}-control-plane"),
    });
    store(cx, namespace, event);
}

const SCHEDULER: &str = "default-scheduler";

/// Nobody can ever read an event that will be gone before the first reader comes.
fn is_forgotten_anyway(cx: &Cx<'_>) -> bool {
    cx.workloads.is_prehistory(cx.now + KEPT)
}

fn store(cx: &mut Cx<'_>, namespace: &str, event: Value) {
    // What is refused here (a name too long) is lost with the real recorder as well.
    let _ = registry::create(cx.store, "events", namespace, event, Write::new(cx.now, ""));
}

/// Counts an event that is there. False: it is gone.
fn repeat(cx: &mut Cx<'_>, key: &Key, message: &str, count: u64) -> bool {
    let Some(mut event) = cx.store.get(key).map(|event| event.value()) else { return false };
    event["count"] = count.into();
    event["lastTimestamp"] = stamp(cx.now).into();
    event["message"] = message.into();
    registry::update(cx.store, "events", event, Write::new(cx.now, "")).is_ok()
}

/// Events about objects without a namespace live in `default`.
fn home(about: &Value) -> &str {
    about["metadata"]["namespace"].as_str().filter(|namespace| !namespace.is_empty()).unwrap_or("default")
}

fn reference(about: &Value, field: &str) -> Value {
    let metadata = &about["metadata"];
    let mut reference = json!({
        "kind": about["kind"], "apiVersion": about["apiVersion"], "name": metadata["name"],
        "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"],
    });
    if metadata["namespace"].is_string() {
        reference["namespace"] = metadata["namespace"].clone();
    }
    if !field.is_empty() {
        reference["fieldPath"] = field.into();
    }
    reference
}

fn origin(source: Source<'_>) -> Value {
    if source.host.is_empty() {
        json!({"component": source.component})
    } else {
        json!({"component": source.component, "host": source.host})
    }
}

/// What was said lately, which decides what is combined, counted or dropped.
#[derive(Debug, Default)]
pub struct Recorder {
    similar: HashMap<u64, Similar>,
    seen: HashMap<u64, Seen>,
    tokens: HashMap<u64, Tokens>,
    /// Number in the newest name. Names carry the time, and several events share a moment.
    latest: i64,
}

#[derive(Debug)]
struct Similar {
    messages: VecDeque<u64>,
    last: Time,
}

#[derive(Debug, Clone)]
struct Seen {
    name: Box<str>,
    first: Time,
    last: Time,
    count: u64,
}

#[derive(Debug)]
struct Tokens {
    left: f64,
    at: Time,
}

impl Recorder {
    /// Whether this message is one of too many with the same reason about the same object.
    fn is_similar(&mut self, group: u64, message: u64, now: Time) -> bool {
        shrink(&mut self.similar, |similar| between(similar.last, now) > SIMILAR_WITHIN);
        let similar = self.similar.entry(group).or_insert_with(|| Similar { messages: VecDeque::new(), last: now });
        if between(similar.last, now) > SIMILAR_WITHIN {
            similar.messages.clear();
        }
        similar.last = now;
        if !similar.messages.contains(&message) {
            similar.messages.push_back(message);
        }
        if similar.messages.len() < SIMILAR {
            return false;
        }
        similar.messages.pop_front();
        true
    }

    fn observe(&mut self, key: u64, object: &str, now: Time) -> Seen {
        shrink(&mut self.seen, |seen| between(seen.last, now) > KEPT);
        if let Some(seen) = self.seen.get_mut(&key) {
            seen.count += 1;
            seen.last = now;
            return seen.clone();
        }
        let seen = Seen { name: self.name(object, now).into(), first: now, last: now, count: 1 };
        self.seen.insert(key, seen.clone());
        seen
    }

    fn allows(&mut self, source: u64, now: Time) -> bool {
        shrink(&mut self.tokens, |tokens| tokens.after(now) >= BURST);
        let tokens = self.tokens.entry(source).or_insert(Tokens { left: BURST, at: now });
        *tokens = Tokens { left: tokens.after(now), at: now };
        let allows = tokens.left >= 1.0;
        if allows {
            tokens.left -= 1.0;
        }
        allows
    }

    /// `<object>.<time in hex>`.
    fn name(&mut self, object: &str, now: Time) -> String {
        let nanos = now.timestamp_nanos_opt().unwrap_or_default();
        self.latest = nanos.max(self.latest + 1);
        format!("{object}.{:x}", self.latest)
    }
}

impl Tokens {
    fn after(&self, now: Time) -> f64 {
        (self.left + between(self.at, now).as_secs_f64() / REFILL.as_secs_f64()).min(BURST)
    }
}

/// Forgets what is over, whenever the map has doubled: the cost stays small per entry.
fn shrink<T>(map: &mut HashMap<u64, T>, is_over: impl Fn(&T) -> bool) {
    if map.len() >= MEMORY && map.len() == map.capacity() {
        map.retain(|_, entry| !is_over(entry));
    }
}

/// Deletes events that are [`KEPT`] no longer.
pub struct Expiry;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Times<'a> {
    last_timestamp: Option<&'a str>,
    event_time: Option<&'a str>,
}

impl Controller for Expiry {
    fn name(&self) -> &'static str {
        "kube-apiserver"
    }

    fn wakes(&self, change: &Change, _: &Store, wake: &mut Vec<Key>) {
        if let (None, Some(event)) = (&change.before, &change.after)
            && event.key.kind.starts_with("events")
        {
            wake.push(event.key.clone());
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        let event = cx.store.get(key)?;
        let times: Times<'_> = serde_json::from_slice(&event.json).ok()?;
        let last = times.last_timestamp.or(times.event_time).and_then(parse_time).unwrap_or(cx.now);
        let left = between(cx.now, last + KEPT);
        if left.is_zero() {
            cx.store.remove(key);
            return None;
        }
        Some(left)
    }
}
