//! DaemonSets: one pod on each node that takes it, by the real controller's rules.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    events,
    objects::{between, owner_by_name, scaled, selects},
    orphans::{self, Orphans},
    pods::{Phase, Pod},
    replica_set::new_pod,
    revisions::{self, REVISIONS, Revision},
};
use crate::demo::{
    refusal::Refusal,
    registry::{self, Write},
    sim::{Controller, Cx},
    store::{Change, Key, Store, Stored},
};

mod nodes;
#[cfg(test)]
mod tests;

pub use nodes::pinned;
use nodes::{Node, tolerate_trouble};

const DAEMON_SETS: &str = "daemonsets.apps";
/// On pods and revisions: the hash of the template.
const HASH_LABEL: &str = "controller-revision-hash";
const GENERATION_LABEL: &str = "pod-template-generation";
const GENERATION: &str = "deprecated.daemonset.template.generation";

/// Pods made or removed in one pass at most.
const BURST: usize = 250;
/// After a refused write.
const RETRY: Duration = Duration::from_secs(5);

/// The DaemonSet controller.
#[derive(Default)]
pub struct DaemonSets {
    orphans: Orphans,
}

impl Controller for DaemonSets {
    fn name(&self) -> &'static str {
        "kube-controller-manager"
    }

    fn wakes(&self, change: &Change, store: &Store, wake: &mut Vec<Key>) {
        let Some(object) = change.object() else { return };
        match &*object.key.kind {
            DAEMON_SETS => wake.push(object.key.clone()),
            "pods" => {
                self.orphans.note(change);
                let both = [change.before.as_deref(), change.after.as_deref()];
                wake.extend(both.into_iter().flatten().filter_map(|pod| owner_by_name(store, pod, DAEMON_SETS)));
                if change.after.as_deref().is_some_and(|pod| pod.owner.is_none()) {
                    wake.extend(store.list(DAEMON_SETS, Some(&object.key.namespace)).map(|set| set.key.clone()));
                }
            }
            // Somebody has removed what this controller remembers.
            REVISIONS if change.after.is_none() => wake.extend(owner_by_name(store, object, DAEMON_SETS)),
            "nodes" => wake.extend(store.list(DAEMON_SETS, None).map(|set| set.key.clone())),
            _ => (),
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        let set = Set::read(cx.store.get(key)?);
        if !set.object["metadata"]["deletionTimestamp"].is_null() {
            return None;
        }
        self.orphans.adopt(cx, "pods", &set.object);
        let nodes: Vec<Node> = nodes::all(cx.store);
        let pods = release(cx, &set);
        let mut pass = Pass { cx, set, nodes, pods };
        pass.run().unwrap_or(Some(RETRY))
    }
}

/// A DaemonSet in hand.
struct Set {
    object: Value,
    uid: Box<str>,
    min_ready: i64,
    history: i64,
    is_rolling: bool,
    /// Counted by the API server.
    generation: String,
}

impl Set {
    fn read(stored: &Stored) -> Self {
        let object = stored.value();
        let spec = &object["spec"];
        Self {
            uid: stored.uid.clone(),
            min_ready: spec["minReadySeconds"].as_i64().unwrap_or_default(),
            history: spec["revisionHistoryLimit"].as_i64().unwrap_or(10),
            is_rolling: spec["updateStrategy"]["type"] != "OnDelete",
            generation: object["metadata"]["annotations"][GENERATION].as_str().unwrap_or_default().to_owned(),
            object,
        }
    }

    /// A limit of the rolling update among so many nodes; any other strategy has none.
    fn limit(&self, field: &str, usual: i64, nodes: i64) -> i64 {
        let value = &self.object["spec"]["updateStrategy"]["rollingUpdate"][field];
        match (self.is_rolling, value.is_null()) {
            (false, _) => 0,
            (true, true) => usual,
            (true, false) => scaled(value, nodes, true).unwrap_or_default(),
        }
    }

    fn allows_surge(&self) -> bool {
        self.limit("maxSurge", 0, 1) > 0
    }
}

/// One of its pods.
struct Member {
    key: Key,
    pod: Pod,
    hash: String,
    generation: String,
}

impl Member {
    fn is_updated(&self, set: &Set, hash: &str) -> bool {
        self.hash == hash || (!set.generation.is_empty() && self.generation == set.generation)
    }

    /// Scheduled first, then the oldest.
    fn age_order(&self) -> impl Ord + '_ {
        (self.pod.node.is_empty(), self.pod.created, &*self.pod.name)
    }
}

/// Its pods by the node they are on or meant for, oldest first, without those that no longer match: these are let go.
fn release(cx: &mut Cx<'_>, set: &Set) -> BTreeMap<String, Vec<Member>> {
    let owned: Vec<Arc<Stored>> = cx.store.owned("pods", &set.uid).cloned().collect();
    let (mine, strangers): (Vec<_>, Vec<_>) = owned.into_iter().partition(|pod| selects(&set.object["spec"]["selector"], &**pod));
    for stranger in strangers {
        orphans::release(cx, "pods", stranger.value(), &set.uid);
    }
    let mut pods: BTreeMap<String, Vec<Member>> = BTreeMap::new();
    for stored in mine {
        // What has ended and is on its way out makes room at once.
        let Some(pod) = Pod::read(&stored).filter(|pod| !(pod.deleting && pod.is_over())) else { continue };
        let node = if pod.node.is_empty() { pinned(&stored.value()).unwrap_or_default() } else { pod.node.to_string() };
        let label = |name: &str| stored.label(name).unwrap_or_default().to_owned();
        let member = Member { key: stored.key.clone(), pod, hash: label(HASH_LABEL), generation: label(GENERATION_LABEL) };
        pods.entry(node).or_default().push(member);
    }
    pods.values_mut().for_each(|pods| pods.sort_by(|a, b| a.age_order().cmp(&b.age_order())));
    pods
}

/// One pass over one DaemonSet. `pods` stay as they were found: the status tells of what was seen.
struct Pass<'a, 'b> {
    cx: &'a mut Cx<'b>,
    set: Set,
    nodes: Vec<Node>,
    pods: BTreeMap<String, Vec<Member>>,
}

/// What a pass is going to do.
#[derive(Default)]
struct Moves {
    /// Nodes that get a pod.
    create: Vec<String>,
    delete: Vec<Key>,
}

/// The pods of a node while templates change: at most one of each.
struct Pair<'a> {
    new: Option<&'a Member>,
    old: Option<&'a Member>,
}

impl Pass<'_, '_> {
    fn run(&mut self) -> Result<Option<Duration>, Refusal> {
        let (revision, old) = self.history()?;
        let hash = revision.label(HASH_LABEL).to_owned();
        let moves = self.needed(&hash);
        // One thing after the other: what rolls on is decided when the pods of this pass are seen.
        let is_settled = moves.create.is_empty() && moves.delete.is_empty();
        let mut done = self.carry_out(moves, &hash);
        if is_settled && self.set.is_rolling {
            let moves = self.rolling(&hash);
            done = done.and_then(|()| self.carry_out(moves, &hash));
        }
        let cleaned = self.clean_up(old);
        self.write_status(&hash)?;
        done.and(cleaned)?;
        Ok(self.next_availability())
    }

    /// The revision of the wanted template, made or renumbered if need be, and all others.
    fn history(&mut self) -> Result<(Revision, Vec<Revision>), Refusal> {
        let (mut same, old): (Vec<_>, Vec<_>) =
            revisions::of(self.cx.store, &self.set.uid).into_iter().partition(|revision| revision.is_of(&self.set.object));
        let next = old.last().map_or(0, |last| last.number) + 1;
        let revision = match same.pop() {
            Some(current) if current.number < next => revisions::renumber(self.cx, &current, next)?,
            Some(current) => current,
            None => {
                let mut collisions = self.set.object["status"]["collisionCount"].as_i64().unwrap_or_default();
                revisions::create(self.cx, &self.set.object, HASH_LABEL, next, &mut collisions)?
            }
        };
        Ok((revision, old))
    }

    fn is_available(&self, member: &Member) -> bool {
        member.pod.is_available(self.set.min_ready, self.cx.now)
    }

    /// Nodes that lack their pod, and pods that are too many or ended.
    fn needed(&mut self, hash: &str) -> Moves {
        let mut moves = Moves::default();
        let mut told = Vec::new();
        for node in &self.nodes {
            let (should_run, may_stay) = node.takes(&self.set.object["spec"]["template"]["spec"]);
            let pods = self.pods.get(&node.name);
            match pods {
                None if should_run => moves.create.push(node.name.clone()),
                None => (),
                Some(pods) if !may_stay => moves.delete.extend(pods.iter().filter(|member| !member.pod.deleting).map(|m| m.key.clone())),
                Some(pods) => {
                    let present = pods.iter().filter(|member| !member.pod.deleting);
                    let (over, running): (Vec<_>, Vec<_>) = present.partition(|member| member.pod.is_over());
                    told.extend(over.iter().map(|member| (member.key.clone(), member.pod.phase, node.name.clone())));
                    moves.delete.extend(over.iter().map(|member| member.key.clone()));
                    if running.is_empty() && should_run && self.set.allows_surge() {
                        moves.create.push(node.name.clone());
                    }
                    moves.delete.extend(self.excess(&running, hash));
                }
            }
        }
        let orphaned = self.pods.iter().filter(|(name, _)| !self.nodes.iter().any(|node| node.name == **name)).flat_map(|(_, pods)| pods);
        moves.delete.extend(orphaned.filter(|member| member.pod.node.is_empty()).map(|member| member.key.clone()));
        told.into_iter().for_each(|(key, phase, node)| self.tell_end(&key, phase, &node));
        moves
    }

    /// Of several pods on one node, those that have to go.
    fn excess(&self, running: &[&Member], hash: &str) -> Vec<Key> {
        if !self.set.allows_surge() {
            return running.iter().skip(1).map(|member| member.key.clone()).collect();
        }
        let is_new = |member: &&&Member| member.hash == hash;
        let (new, old) = (running.iter().find(is_new), running.iter().find(|member| !is_new(member)));
        let kept = |member: &&&Member| [new, old].into_iter().flatten().any(|kept| kept.key == member.key);
        let mut excess: Vec<Key> = running.iter().filter(|member| !kept(member)).map(|member| member.key.clone()).collect();
        if let (Some(new), Some(old)) = (new, old)
            && (!old.pod.is_ready() || self.is_available(new))
        {
            excess.push(old.key.clone());
        }
        excess
    }

    fn tell_end(&mut self, key: &Key, phase: Phase, node: &str) {
        let (kind, reason, how, what) = match phase {
            Phase::Failed => ("Warning", "FailedDaemonPod", "failed", "kill"),
            _ => ("Normal", "SucceededDaemonPod", "succeeded", "delete"),
        };
        let message = format!("Found {how} daemon pod {}/{} on node {node}, will try to {what} it", key.namespace, key.name);
        events::record(self.cx, &self.set.object, kind, reason, &message);
    }

    /// The pods of a node that are not on their way out. `None`: more than one of a sort.
    fn pair<'p>(&self, pods: &'p [Member], hash: &str) -> Option<Pair<'p>> {
        let mut pair = Pair { new: None, old: None };
        for member in pods.iter().filter(|member| !member.pod.deleting) {
            let slot = if member.is_updated(&self.set, hash) { &mut pair.new } else { &mut pair.old };
            if slot.replace(member).is_some() {
                return None;
            }
        }
        Some(pair)
    }

    /// Nodes that ought to have a pod.
    fn desired(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.takes(&self.set.object["spec"]["template"]["spec"]).0)
    }

    /// The next pods to replace, within the limits of the strategy.
    fn rolling(&self, hash: &str) -> Moves {
        let nodes = i64::try_from(self.desired().count()).unwrap_or_default();
        let (surge, unavailable) = (self.set.limit("maxSurge", 0, nodes), self.set.limit("maxUnavailable", 1, nodes));
        if surge > 0 { self.surging(hash, surge) } else { self.replacing(hash, unavailable.max(1)) }
    }

    /// Names of all nodes that have or ought to have a pod, with their pods.
    fn places(&self) -> impl Iterator<Item = (&str, &[Member])> {
        let bare = self.desired().filter(|node| !self.pods.contains_key(&node.name)).map(|node| (node.name.as_str(), &[][..]));
        self.pods.iter().map(|(name, pods)| (name.as_str(), pods.as_slice())).chain(bare)
    }

    /// Old pods go first, new ones come to where they were.
    fn replacing(&self, hash: &str, limit: i64) -> Moves {
        let (mut missing, mut broken, mut candidates) = (0, Vec::new(), Vec::new());
        for (_, pods) in self.places() {
            match self.pair(pods, hash) {
                Some(Pair { new: Some(new), old: None }) => missing += i64::from(!self.is_available(new)),
                Some(Pair { new: None, old: Some(old) }) if !self.is_available(old) => {
                    broken.push(old.key.clone());
                    missing += 1;
                }
                Some(Pair { new: None, old: Some(old) }) => candidates.push(old.key.clone()),
                _ => missing += 1,
            }
        }
        let room = usize::try_from(limit - missing).unwrap_or_default();
        Moves { create: Vec::new(), delete: broken.into_iter().chain(candidates.into_iter().take(room)).collect() }
    }

    /// New pods come beside the old ones, which go when the new are available.
    fn surging(&self, hash: &str, limit: i64) -> Moves {
        let mut moves = Moves::default();
        let (mut surging, mut candidates) = (0, Vec::new());
        for (node, pods) in self.places() {
            match self.pair(pods, hash) {
                None => surging += 1,
                Some(Pair { new: None, old: Some(old) }) if self.is_available(old) => candidates.push(node.to_owned()),
                Some(Pair { new: None, old: Some(_) }) => moves.create.push(node.to_owned()),
                Some(Pair { new: Some(new), old: Some(_) }) if !self.is_available(new) => surging += 1,
                Some(Pair { new: Some(_), old: Some(old) }) => moves.delete.push(old.key.clone()),
                Some(Pair { old: None, .. }) => (),
            }
        }
        let room = usize::try_from(limit - surging).unwrap_or_default();
        moves.create.extend(candidates.into_iter().take(room));
        moves
    }

    fn carry_out(&mut self, moves: Moves, hash: &str) -> Result<(), Refusal> {
        for node in moves.create.iter().take(BURST) {
            self.create(node, hash)?;
        }
        moves.delete.iter().take(BURST).try_for_each(|key| self.delete(key))
    }

    fn create(&mut self, node: &str, hash: &str) -> Result<(), Refusal> {
        let mut pod = new_pod(&self.set.object);
        let labels = &mut pod["metadata"]["labels"];
        labels[HASH_LABEL] = hash.into();
        if !self.set.generation.is_empty() {
            labels[GENERATION_LABEL] = self.set.generation.as_str().into();
        }
        nodes::pin(&mut pod["spec"], node);
        tolerate_trouble(&mut pod["spec"]);
        let namespace = self.set.object["metadata"]["namespace"].as_str().unwrap_or_default();
        match registry::create(self.cx.store, "pods", namespace, pod, Write::new(self.cx.now, "")) {
            Ok(pod) => {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                events::record(self.cx, &self.set.object, "Normal", "SuccessfulCreate", &format!("Created pod: {name}"));
                Ok(())
            }
            Err(refusal) => {
                events::record(self.cx, &self.set.object, "Warning", "FailedCreate", &format!("Error creating: {}", refusal.message));
                Err(refusal)
            }
        }
    }

    fn delete(&mut self, key: &Key) -> Result<(), Refusal> {
        match self.cx.delete(key) {
            Err(refusal) if refusal.code != 404 => {
                events::record(self.cx, &self.set.object, "Warning", "FailedDelete", &format!("Error deleting: {}", refusal.message));
                Err(refusal)
            }
            _ => {
                events::record(self.cx, &self.set.object, "Normal", "SuccessfulDelete", &format!("Deleted pod: {}", key.name));
                Ok(())
            }
        }
    }

    /// Forgets the oldest revisions that no pod has.
    fn clean_up(&mut self, old: Vec<Revision>) -> Result<(), Refusal> {
        let Ok(limit) = usize::try_from(self.set.history) else { return Ok(()) };
        let surplus = old.len().saturating_sub(limit);
        let is_live = |revision: &Revision| self.pods.values().flatten().any(|member| member.hash == revision.label(HASH_LABEL));
        let past: Vec<Revision> = old.into_iter().filter(|revision| !is_live(revision)).take(surplus).collect();
        past.iter().try_for_each(|revision| self.cx.delete(&revision.key).map(drop))
    }

    fn write_status(&mut self, hash: &str) -> Result<(), Refusal> {
        let status = self.status(hash);
        if status == self.set.object["status"] {
            return Ok(());
        }
        let mut object = self.set.object.clone();
        object["status"] = status;
        object["metadata"]["resourceVersion"].take();
        self.cx.update_status(DAEMON_SETS, object).map(drop)
    }

    /// Counts nodes, each by its oldest pod.
    fn status(&self, hash: &str) -> Value {
        let (mut desired, mut current, mut misplaced, mut ready, mut updated, mut available) = (0, 0, 0, 0, 0, 0);
        for node in &self.nodes {
            let first = self.pods.get(&node.name).and_then(|pods| pods.first());
            if !node.takes(&self.set.object["spec"]["template"]["spec"]).0 {
                misplaced += i64::from(first.is_some());
                continue;
            }
            desired += 1;
            let Some(member) = first else { continue };
            current += 1;
            ready += i64::from(member.pod.is_ready());
            available += i64::from(self.is_available(member));
            updated += i64::from(member.is_updated(&self.set, hash));
        }
        let mut status = json!({
            "currentNumberScheduled": current, "numberMisscheduled": misplaced, "desiredNumberScheduled": desired, "numberReady": ready,
            "observedGeneration": self.set.object["metadata"]["generation"],
        });
        let counts = [("updatedNumberScheduled", updated), ("numberAvailable", available), ("numberUnavailable", desired - available)];
        counts.into_iter().filter(|(_, count)| *count != 0).for_each(|(field, count)| status[field] = count.into());
        if !self.set.object["status"]["collisionCount"].is_null() {
            status["collisionCount"] = self.set.object["status"]["collisionCount"].clone();
        }
        status
    }

    /// When the next ready pod has been ready long enough.
    fn next_availability(&self) -> Option<Duration> {
        let min_ready = Duration::from_secs(u64::try_from(self.set.min_ready).unwrap_or_default());
        let waiting = self.pods.values().flatten().filter(|member| !self.is_available(member));
        waiting.filter_map(|member| member.pod.ready_since).map(|since| between(self.cx.now, since + min_ready)).min()
    }
}
