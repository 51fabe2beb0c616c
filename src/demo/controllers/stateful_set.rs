//! StatefulSets: pods with names of their own, made and replaced in order, by the real controller's rules.
//!
//! There are no volumes here, so claims are neither made nor looked for.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    events,
    objects::{between, owner_by_name, selects},
    orphans::{self, Orphans},
    pods::{Phase, Pod},
    replica_set::new_pod,
    revisions::{self, Revision},
};
use crate::{
    demo::{
        refusal::Refusal,
        registry::{self, Write},
        sim::{Controller, Cx},
        store::{Change, Key, Store, Stored},
    },
    model::Time,
};

#[cfg(test)]
mod tests;

const STATEFUL_SETS: &str = "statefulsets.apps";
const NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
const INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";
/// On pods: the full name of their revision.
const REVISION_LABEL: &str = "controller-revision-hash";
/// On revisions: the hash alone.
const HASH_LABEL: &str = "controller.kubernetes.io/hash";

/// After a refused write.
const RETRY: Duration = Duration::from_secs(5);

/// The StatefulSet controller.
#[derive(Default)]
pub struct StatefulSets {
    orphans: Orphans,
}

impl Controller for StatefulSets {
    fn name(&self) -> &'static str {
        "kube-controller-manager"
    }

    fn wakes(&self, change: &Change, store: &Store, wake: &mut Vec<Key>) {
        let Some(object) = change.object() else { return };
        match &*object.key.kind {
            STATEFUL_SETS => wake.push(object.key.clone()),
            "pods" => {
                self.orphans.note(change);
                let both = [change.before.as_deref(), change.after.as_deref()];
                wake.extend(both.into_iter().flatten().filter_map(|pod| owner_by_name(store, pod, STATEFUL_SETS)));
                // Only a pod with the right name is ever adopted.
                if change.after.as_deref().is_some_and(|pod| pod.owner.is_none())
                    && let Some((set, _)) = parent(&object.key.name)
                {
                    wake.extend(Some(Key::new(STATEFUL_SETS, &object.key.namespace, set)).filter(|set| store.get(set).is_some()));
                }
            }
            _ => (),
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        let set = Set::read(cx.store.get(key)?);
        self.orphans.adopt_named(cx, "pods", &set.object, |pod| parent(pod).is_some_and(|(name, _)| name == &*key.name));
        let members = release(cx, &set);
        let again = next_availability(&set, &members, cx.now);
        let mut pass = Pass { cx, set, members };
        if pass.run().is_err() { Some(RETRY) } else { again }
    }
}

/// A StatefulSet in hand.
struct Set {
    object: Value,
    uid: Box<str>,
    name: String,
    replicas: i64,
    /// Ordinal of the first pod.
    start: i64,
    min_ready: i64,
    history: i64,
    /// One pod after the other, each waiting for those before it.
    is_ordered: bool,
    is_rolling: bool,
    /// Pods below this index stay at the current revision.
    partition: Option<i64>,
}

impl Set {
    fn read(stored: &Stored) -> Self {
        let object = stored.value();
        let spec = &object["spec"];
        let number = |value: &Value, usual: i64| value.as_i64().unwrap_or(usual);
        let rolling = &spec["updateStrategy"]["rollingUpdate"];
        Self {
            uid: stored.uid.clone(),
            name: stored.key.name.to_string(),
            replicas: number(&spec["replicas"], 1),
            start: number(&spec["ordinals"]["start"], 0),
            min_ready: number(&spec["minReadySeconds"], 0),
            history: number(&spec["revisionHistoryLimit"], 10),
            is_ordered: spec["podManagementPolicy"] != "Parallel",
            is_rolling: spec["updateStrategy"]["type"] != "OnDelete",
            partition: rolling.is_object().then(|| number(&rolling["partition"], 0)),
            object,
        }
    }

    fn status(&self, field: &str) -> i64 {
        self.object["status"][field].as_i64().unwrap_or_default()
    }

    /// Whether a new pod with this ordinal is still made from the current revision. As in the real one, a partition
    /// holds even where the strategy is another.
    fn is_held_back(&self, ordinal: i64) -> bool {
        match self.partition {
            Some(partition) => ordinal < self.start + partition,
            None => self.is_rolling && ordinal < self.start + self.status("currentReplicas"),
        }
    }
}

/// One of its pods.
struct Member {
    key: Key,
    pod: Pod,
    ordinal: i64,
    revision: String,
    /// Its labels tell its name.
    is_marked: bool,
}

impl Member {
    fn is_running_and_ready(&self) -> bool {
        self.pod.phase == Phase::Running && self.pod.is_ready()
    }
}

/// The name of a StatefulSet and the ordinal, from a pod's name.
fn parent(pod: &str) -> Option<(&str, i64)> {
    let (name, ordinal) = pod.rsplit_once('-')?;
    Some((name, ordinal.parse::<u32>().ok().map(i64::from)?))
}

/// Its pods, without those that no longer match: these are let go.
fn release(cx: &mut Cx<'_>, set: &Set) -> Vec<Member> {
    let owned: Vec<_> = cx.store.owned("pods", &set.uid).cloned().collect();
    let (mine, strangers): (Vec<_>, Vec<_>) = owned.into_iter().partition(|pod| selects(&set.object["spec"]["selector"], &**pod));
    for stranger in strangers {
        orphans::release(cx, "pods", stranger.value(), &set.uid);
    }
    let member = |stored: &std::sync::Arc<Stored>| {
        let (name, ordinal) = parent(&stored.key.name)?;
        Some(Member {
            key: stored.key.clone(),
            pod: Pod::read(stored).filter(|_| name == set.name)?,
            ordinal,
            revision: stored.label(REVISION_LABEL).unwrap_or_default().to_owned(),
            is_marked: stored.label(NAME_LABEL) == Some(&*stored.key.name),
        })
    };
    mine.iter().filter_map(member).collect()
}

/// When the next ready pod has been ready long enough.
fn next_availability(set: &Set, members: &[Member], now: Time) -> Option<Duration> {
    let min_ready = Duration::from_secs(u64::try_from(set.min_ready).unwrap_or_default());
    let waiting = members.iter().filter(|member| !member.pod.is_available(set.min_ready, now));
    waiting.filter_map(|member| member.pod.ready_since).map(|since| between(now, since + min_ready)).min()
}

/// One pass over one StatefulSet. `members` stay as they were found: the status tells of what was seen.
struct Pass<'a, 'b> {
    cx: &'a mut Cx<'b>,
    set: Set,
    members: Vec<Member>,
}

/// Whether the pass is to end here: something has to happen first.
type Halt = Result<bool, Refusal>;

impl Pass<'_, '_> {
    fn run(&mut self) -> Result<(), Refusal> {
        let known = revisions::of(self.cx.store, &self.set.uid);
        let mut collisions = self.set.status("collisionCount");
        let update = self.update_revision(&known, &mut collisions)?;
        let current = self.set.object["status"]["currentRevision"].as_str();
        let current = known.iter().find(|revision| Some(revision.name()) == current).unwrap_or(&update).clone();
        let mut counts = Counts::of(&self.members, self.set.min_ready, self.cx.now, &current, &update);
        let moved =
            if self.set.object["metadata"]["deletionTimestamp"].is_null() { self.advance(&current, &update, &mut counts) } else { Ok(()) };
        self.write_status(counts, &current, &update, collisions)?;
        self.truncate(&known, [&current, &update])?;
        moved
    }

    /// The revision of the wanted template: the newest, an older one that is wanted again, or a new one.
    fn update_revision(&mut self, known: &[Revision], collisions: &mut i64) -> Result<Revision, Refusal> {
        let next = known.last().map_or(1, |last| last.number + 1);
        let equal = known.iter().rfind(|revision| revision.is_of(&self.set.object));
        match (equal, known.last()) {
            (Some(_), Some(last)) if last.is_of(&self.set.object) => Ok(last.clone()),
            (Some(equal), _) => revisions::renumber(self.cx, equal, next),
            (None, _) => revisions::create(self.cx, &self.set.object, HASH_LABEL, next, collisions),
        }
    }

    /// Brings the pods nearer to what is wanted, as far as this pass may.
    fn advance(&mut self, current: &Revision, update: &Revision, counts: &mut Counts) -> Result<(), Refusal> {
        let span = self.set.start..self.set.start + self.set.replicas;
        let replicas: Vec<Option<usize>> =
            span.clone().map(|ordinal| self.members.iter().position(|member| member.ordinal == ordinal)).collect();
        let mut condemned: Vec<usize> = (0..self.members.len()).filter(|index| !span.contains(&self.members[*index].ordinal)).collect();
        condemned.sort_by_key(|index| std::cmp::Reverse(self.members[*index].ordinal));
        for (ordinal, replica) in span.zip(&replicas) {
            if self.keep(ordinal, *replica, current, update)? && self.set.is_ordered {
                return Ok(());
            }
        }
        let unhealthy = self.first_unavailable(&replicas, &condemned);
        for index in condemned {
            if self.condemn(index, unhealthy)? && self.set.is_ordered {
                return Ok(());
            }
        }
        if self.set.is_rolling { self.replace(&replicas, update, counts) } else { Ok(()) }
    }

    /// Makes the pod of this ordinal, or lets it be if it is as it should be.
    fn keep(&mut self, ordinal: i64, replica: Option<usize>, current: &Revision, update: &Revision) -> Halt {
        let Some(index) = replica else {
            self.create(ordinal, if self.set.is_held_back(ordinal) { current } else { update })?;
            return Ok(true);
        };
        let member = &self.members[index];
        if member.pod.is_over() {
            if !member.pod.deleting {
                self.delete(index)?;
            }
            return Ok(true);
        }
        let is_up = !member.pod.deleting && member.is_running_and_ready() && member.pod.is_available(self.set.min_ready, self.cx.now);
        if self.set.is_ordered && !is_up {
            return Ok(true);
        }
        if !member.is_marked {
            let (key, name) = (member.key.clone(), member.key.name.to_string());
            self.cx.patch(&key, &json!({"metadata": {"labels": {NAME_LABEL: name, INDEX_LABEL: ordinal.to_string()}}}))?;
            events::record(self.cx, &self.set.object, "Normal", "SuccessfulUpdate", &said("Update", &name, &self.set.name));
        }
        Ok(false)
    }

    fn is_unavailable(&self, index: usize) -> bool {
        let pod = &self.members[index].pod;
        pod.deleting || !pod.is_available(self.set.min_ready, self.cx.now)
    }

    /// Lowest replica that is not available, else the lowest condemned one. A replica without a pod is none of them, but
    /// nothing after it is the first.
    fn first_unavailable(&self, replicas: &[Option<usize>], condemned: &[usize]) -> Option<usize> {
        match replicas.iter().find(|replica| replica.is_none_or(|index| self.is_unavailable(index))) {
            Some(found) => *found,
            None => condemned.iter().rev().copied().find(|index| self.is_unavailable(*index)),
        }
    }

    /// Ends a pod that is one too many.
    fn condemn(&mut self, index: usize, unhealthy: Option<usize>) -> Halt {
        let member = &self.members[index];
        if member.pod.deleting {
            return Ok(true);
        }
        let is_up = member.is_running_and_ready() && member.pod.is_available(self.set.min_ready, self.cx.now);
        if self.set.is_ordered && !is_up && unhealthy != Some(index) {
            return Ok(true);
        }
        self.delete(index)?;
        Ok(true)
    }

    /// Ends the last pod that has another template, once all after it are available.
    fn replace(&mut self, replicas: &[Option<usize>], update: &Revision, counts: &mut Counts) -> Result<(), Refusal> {
        let least = usize::try_from(self.set.partition.unwrap_or_default()).unwrap_or_default();
        for replica in replicas.iter().skip(least).rev() {
            let Some(index) = *replica else { return Ok(()) };
            let member = &self.members[index];
            if member.revision != update.name() && !member.pod.deleting {
                self.delete(index)?;
                counts.current -= 1;
                return Ok(());
            }
            if self.is_unavailable(index) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn create(&mut self, ordinal: i64, revision: &Revision) -> Result<(), Refusal> {
        let name = format!("{}-{ordinal}", self.set.name);
        let mut pod = new_pod(&revision.applied(&self.set.object));
        pod["metadata"]["name"] = name.as_str().into();
        let labels = &mut pod["metadata"]["labels"];
        labels[NAME_LABEL] = name.as_str().into();
        labels[INDEX_LABEL] = ordinal.to_string().into();
        labels[REVISION_LABEL] = revision.name().into();
        pod["spec"]["hostname"] = name.as_str().into();
        pod["spec"]["subdomain"] = self.set.object["spec"]["serviceName"].clone();
        let namespace = self.set.object["metadata"]["namespace"].as_str().unwrap_or_default();
        let done = registry::create(self.cx.store, "pods", namespace, pod, Write::new(self.cx.now, "")).map(drop);
        self.tell("Create", &name, done)
    }

    fn delete(&mut self, index: usize) -> Result<(), Refusal> {
        let key = self.members[index].key.clone();
        let done = self.cx.delete(&key).map(drop);
        self.tell("Delete", &key.name, done)
    }

    fn tell(&mut self, verb: &str, pod: &str, done: Result<(), Refusal>) -> Result<(), Refusal> {
        let set = &self.set;
        match &done {
            Ok(()) => events::record(self.cx, &set.object, "Normal", &format!("Successful{verb}"), &said(verb, pod, &set.name)),
            Err(refusal) => {
                let message = format!("{verb} Pod {pod} in StatefulSet {} failed error: {}", set.name, refusal.message);
                events::record(self.cx, &set.object, "Warning", &format!("Failed{verb}"), &message);
            }
        }
        done
    }

    fn write_status(&mut self, mut counts: Counts, current: &Revision, update: &Revision, collisions: i64) -> Result<(), Refusal> {
        let mut current = current.name();
        if self.set.is_rolling && [counts.updated, counts.ready, counts.replicas].iter().all(|count| *count == self.set.replicas) {
            // All are there: the update is over.
            (counts.current, current) = (counts.updated, update.name());
        }
        let status = counts.status(&self.set.object, current, update.name(), collisions);
        if status == self.set.object["status"] {
            return Ok(());
        }
        let mut object = self.set.object.clone();
        object["status"] = status;
        object["metadata"]["resourceVersion"].take();
        self.cx.update_status(STATEFUL_SETS, object).map(drop)
    }

    /// Forgets the oldest revisions that no pod has and nobody wants.
    fn truncate(&mut self, known: &[Revision], live: [&Revision; 2]) -> Result<(), Refusal> {
        let Ok(limit) = usize::try_from(self.set.history) else { return Ok(()) };
        let is_live = |revision: &&Revision| {
            live.iter().any(|live| live.key == revision.key) || self.members.iter().any(|member| member.revision == revision.name())
        };
        let past: Vec<&Revision> = known.iter().filter(|revision| !is_live(revision)).collect();
        let surplus = past.len().saturating_sub(limit);
        past.into_iter().take(surplus).try_for_each(|revision| self.cx.delete(&revision.key).map(drop))
    }
}

fn said(verb: &str, pod: &str, set: &str) -> String {
    format!("{verb} Pod {pod} in StatefulSet {set} successful")
}

/// What a status counts.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    replicas: i64,
    ready: i64,
    available: i64,
    current: i64,
    updated: i64,
}

impl Counts {
    fn of(members: &[Member], min_ready: i64, now: Time, current: &Revision, update: &Revision) -> Self {
        let mut counts = Self::default();
        for member in members {
            let is = i64::from;
            counts.replicas += 1;
            let ready = member.is_running_and_ready();
            counts.ready += is(ready);
            counts.available += is(ready && member.pod.is_available(min_ready, now));
            counts.current += is(!member.pod.deleting && member.revision == current.name());
            counts.updated += is(!member.pod.deleting && member.revision == update.name());
        }
        counts
    }

    /// Some fields are left out where they are zero, as in the real one.
    fn status(self, set: &Value, current: &str, update: &str, collisions: i64) -> Value {
        let mut status = json!({
            "observedGeneration": set["metadata"]["generation"], "replicas": self.replicas, "availableReplicas": self.available,
            "currentRevision": current, "updateRevision": update, "collisionCount": collisions,
        });
        let counts = [("readyReplicas", self.ready), ("currentReplicas", self.current), ("updatedReplicas", self.updated)];
        counts.into_iter().filter(|(_, count)| *count != 0).for_each(|(field, count)| status[field] = count.into());
        status
    }
}
