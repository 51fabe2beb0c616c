//! ReplicaSets: as many pods as they ask for, and a status that says how these fare.

use std::{cmp::Ordering, collections::HashMap, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    events,
    objects::{Labels, all_equal, between, condition, controller_of, owner_by_name, remove_condition, selects},
    orphans::{self, Orphans},
    pods::Pod,
};
use crate::{
    demo::{
        refusal::Refusal,
        registry::{self, Write, controlled_by, stamp},
        sim::{Controller, Cx},
        store::{Change, Key, Store, Stored},
    },
    model::Time,
};

const REPLICA_SETS: &str = "replicasets.apps";

/// Pods made or removed in one pass at most.
const BURST: i64 = 500;
/// After a refused write.
const RETRY: Duration = Duration::from_secs(5);

/// The ReplicaSet controller.
#[derive(Default)]
pub struct ReplicaSets {
    orphans: Orphans,
    /// First and last revision written in this pass that are no news.
    own: (u64, u64),
}

impl Controller for ReplicaSets {
    fn name(&self) -> &'static str {
        "kube-controller-manager"
    }

    fn wakes(&self, change: &Change, store: &Store, wake: &mut Vec<Key>) {
        let Some(object) = change.object() else { return };
        match &*object.key.kind {
            _ if (self.own.0..=self.own.1).contains(&change.revision) => (),
            REPLICA_SETS => wake.push(object.key.clone()),
            "pods" => {
                self.orphans.note(change);
                let (before, after) = (change.before.as_deref(), change.after.as_deref());
                let both = [before, after.filter(|after| before.is_none_or(|before| before.owner != after.owner))];
                wake.extend(both.into_iter().flatten().filter_map(|pod| owner_by_name(store, pod, REPLICA_SETS)));
                if after.is_some_and(|pod| pod.owner.is_none()) {
                    wake.extend(store.list(REPLICA_SETS, Some(&object.key.namespace)).map(|set| set.key.clone()));
                }
            }
            _ => (),
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        let set = Set::read(cx.store.get(key)?)?;
        self.orphans.adopt(cx, "pods", &set.object);
        let owned = release(cx, &set);
        let active: Vec<&Member> = owned.iter().filter(|member| member.pod.is_active()).collect();
        let missing = set.replicas - i64::try_from(active.len()).unwrap_or_default();
        let before = cx.store.revision();
        let managed = if set.deleting { Ok(()) } else { manage(cx, &set, &active, missing) };
        // The status tells of what was found. Where nobody sees it, what becomes of the pods is soon enough.
        let is_unseen = missing > 0 && managed.is_ok() && cx.workloads.is_prehistory(cx.now);
        let is_told = !is_unseen && write_status(cx, &set, &owned, missing, &managed);
        let last = cx.store.revision();
        self.own = match (is_unseen, is_told) {
            (true, _) => (before + 1, last),
            (false, true) => (last, last),
            (false, false) => (1, 0),
        };
        if managed.is_err() {
            return Some(RETRY);
        }
        if missing.abs() > BURST {
            return Some(Duration::ZERO);
        }
        next_availability(&set, &active, cx.now)
    }
}

/// A ReplicaSet in hand.
struct Set {
    object: Value,
    uid: Box<str>,
    replicas: i64,
    min_ready: i64,
    deleting: bool,
}

impl Set {
    fn read(stored: &Stored) -> Option<Self> {
        let object = stored.value();
        let spec = &object["spec"];
        Some(Self {
            uid: stored.uid.clone(),
            // Absent means one.
            replicas: spec["replicas"].as_i64().unwrap_or(1),
            min_ready: spec["minReadySeconds"].as_i64().unwrap_or_default(),
            deleting: !object["metadata"]["deletionTimestamp"].is_null(),
            object,
        })
    }

    fn selects(&self, labels: &impl Labels) -> bool {
        selects(&self.object["spec"]["selector"], labels)
    }
}

/// One of its pods.
struct Member {
    key: Key,
    pod: Pod,
    fully_labeled: bool,
}

/// Its pods, without those that no longer match: these are let go.
fn release(cx: &mut Cx<'_>, set: &Set) -> Vec<Member> {
    let wanted = set.object["spec"]["template"]["metadata"]["labels"].as_object();
    let owned: Vec<_> = cx.store.owned("pods", &set.uid).cloned().collect();
    let (mine, strangers): (Vec<_>, Vec<_>) = owned.into_iter().partition(|pod| set.selects(&**pod));
    for stranger in strangers {
        orphans::release(cx, "pods", stranger.value(), &set.uid);
    }
    let member = |stored: &Arc<Stored>| {
        let fully_labeled = wanted.is_none_or(|wanted| all_equal(wanted, &**stored));
        Some(Member { key: stored.key.clone(), pod: Pod::read(stored)?, fully_labeled })
    };
    mine.iter().filter_map(member).collect()
}

/// Makes or removes pods.
fn manage(cx: &mut Cx<'_>, set: &Set, active: &[&Member], missing: i64) -> Result<(), Refusal> {
    if missing > 0 {
        return (0..missing.min(BURST)).try_for_each(|_| create_pod(cx, set));
    }
    let surplus = usize::try_from((-missing).min(BURST)).unwrap_or_default();
    let mut candidates = active.to_vec();
    if surplus > 0 && surplus < candidates.len() {
        let crowd = crowd(cx.store, set);
        candidates.sort_by(|a, b| first_to_go(&a.pod, &b.pod, &crowd, cx.now));
    }
    candidates.iter().take(surplus).try_for_each(|member| delete_pod(cx, set, &member.key))
}

fn create_pod(cx: &mut Cx<'_>, set: &Set) -> Result<(), Refusal> {
    let pod = new_pod(&set.object);
    let namespace = set.object["metadata"]["namespace"].as_str().unwrap_or_default();
    match registry::create(cx.store, "pods", namespace, pod, Write::new(cx.now, "")) {
        Ok(pod) => {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            events::record(cx, &set.object, "Normal", "SuccessfulCreate", &format!("Created pod: {name}"));
            Ok(())
        }
        Err(refusal) => {
            events::record(cx, &set.object, "Warning", "FailedCreate", &format!("Error creating: {}", refusal.message));
            Err(refusal)
        }
    }
}

fn delete_pod(cx: &mut Cx<'_>, set: &Set, key: &Key) -> Result<(), Refusal> {
    match cx.delete(key) {
        Ok(_) => {
            events::record(cx, &set.object, "Normal", "SuccessfulDelete", &format!("Deleted pod: {}", key.name));
            Ok(())
        }
        Err(refusal) if refusal.code == 404 => Ok(()),
        Err(refusal) => {
            events::record(cx, &set.object, "Warning", "FailedDelete", &format!("Error deleting: {}", refusal.message));
            Err(refusal)
        }
    }
}

/// A pod as the template of its owner describes it.
pub fn new_pod(owner: &Value) -> Value {
    let template = &owner["spec"]["template"];
    let mut metadata = json!({
        "generateName": format!("{}-", owner["metadata"]["name"].as_str().unwrap_or_default()),
        "ownerReferences": [controlled_by(owner)],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if !template["metadata"][field].is_null() {
            metadata[field] = template["metadata"][field].clone();
        }
    }
    let spec = &template["spec"];
    json!({"metadata": metadata, "spec": spec, "status": {"phase": "Pending", "qosClass": quality_of_service(spec)}})
}

/// `qosClass`: how the kubelet treats the pod when memory is short.
fn quality_of_service(spec: &Value) -> &'static str {
    let containers = || spec["containers"].as_array().into_iter().flatten();
    let amount = |container: &Value, which: &str, what: &str| container["resources"][which][what].clone();
    let asks = |container: &Value| {
        ["requests", "limits"].iter().any(|which| ["cpu", "memory"].iter().any(|what| !amount(container, which, what).is_null()))
    };
    let is_fixed = |container: &Value| {
        ["cpu", "memory"].iter().all(|what| {
            let (limit, request) = (amount(container, "limits", what), amount(container, "requests", what));
            !limit.is_null() && (request.is_null() || request == limit)
        })
    };
    match () {
        () if !containers().any(asks) => "BestEffort",
        () if containers().all(is_fixed) => "Guaranteed",
        () => "Burstable",
    }
}

/// How many pods of the same owner are on each node: all revisions count.
fn crowd(store: &Store, set: &Set) -> HashMap<Box<str>, usize> {
    let owner = controller_of(&set.object).and_then(|owner| owner["uid"].as_str());
    let sets: Vec<&str> = match owner {
        Some(owner) => store.owned(REPLICA_SETS, owner).map(|set| &*set.uid).collect(),
        None => vec![&set.uid],
    };
    let mut crowd = HashMap::new();
    let pods = sets.into_iter().flat_map(|set| store.owned("pods", set)).filter_map(|pod| Pod::read(pod));
    pods.filter(Pod::is_active).for_each(|pod| *crowd.entry(pod.node).or_default() += 1);
    crowd
}

/// Which of two pods is removed first. All that the real ranking knows, in its order.
fn first_to_go(a: &Pod, b: &Pod, crowd: &HashMap<Box<str>, usize>, now: Time) -> Ordering {
    let near = |pod: &Pod| crowd.get(&pod.node).copied().unwrap_or_default();
    let unassigned_first = (!a.node.is_empty()).cmp(&!b.node.is_empty());
    unassigned_first
        .then(a.phase.cmp(&b.phase))
        .then(a.is_ready().cmp(&b.is_ready()))
        .then(a.deletion_cost.cmp(&b.deletion_cost))
        .then(near(b).cmp(&near(a)))
        .then_with(|| younger_first(a.ready_since.zip(b.ready_since), a, b, now))
        .then(b.restarts.cmp(&a.restarts))
        .then_with(|| younger_first(Some((a.created, b.created)), a, b, now))
}

/// Younger first, but ages of the same magnitude are told apart by uid: so scaling down does not always hit the newest.
fn younger_first(times: Option<(Time, Time)>, a: &Pod, b: &Pod, now: Time) -> Ordering {
    match times {
        Some((first, second)) if first != second => magnitude(first, now).cmp(&magnitude(second, now)).then_with(|| a.uid.cmp(&b.uid)),
        _ => Ordering::Equal,
    }
}

/// The power of two of an age in nanoseconds.
fn magnitude(time: Time, now: Time) -> i64 {
    u64::try_from(between(time, now).as_nanos()).ok().and_then(u64::checked_ilog2).map_or(-1, i64::from)
}

/// Returns whether there was anything to write.
fn write_status(cx: &mut Cx<'_>, set: &Set, owned: &[Member], missing: i64, managed: &Result<(), Refusal>) -> bool {
    let count = |is: &dyn Fn(&Member) -> bool| owned.iter().filter(|member| is(member)).count();
    let active = |member: &Member| member.pod.is_active();
    let old = &set.object["status"];
    let mut status = json!({
        "replicas": count(&active),
        "terminatingReplicas": count(&|member| member.pod.deleting && !member.pod.is_over()),
        "observedGeneration": set.object["metadata"]["generation"],
    });
    let counts = [
        ("fullyLabeledReplicas", count(&|member| active(member) && member.fully_labeled)),
        ("readyReplicas", count(&|member| active(member) && member.pod.is_ready())),
        ("availableReplicas", count(&|member| active(member) && member.pod.is_available(set.min_ready, cx.now))),
    ];
    counts.into_iter().filter(|(_, count)| *count > 0).for_each(|(field, count)| status[field] = count.into());
    let conditions = conditions(&old["conditions"], missing, managed, cx.now);
    if !conditions.is_null() {
        status["conditions"] = conditions;
    }
    if status == *old {
        return false;
    }
    let mut object = set.object.clone();
    object["status"] = status;
    cx.update_status(REPLICA_SETS, object).is_ok()
}

fn conditions(old: &Value, missing: i64, managed: &Result<(), Refusal>, now: Time) -> Value {
    let mut conditions = old.clone();
    match managed {
        Err(refusal) if condition(old, "ReplicaFailure").is_none() => {
            let reason = if missing > 0 { "FailedCreate" } else { "FailedDelete" };
            let failure = json!({
                "type": "ReplicaFailure", "status": "True", "reason": reason, "message": refusal.message,
                "lastTransitionTime": stamp(now),
            });
            let mut list = old.as_array().cloned().unwrap_or_default();
            list.push(failure);
            conditions = list.into();
        }
        Err(_) => (),
        Ok(()) => remove_condition(&mut conditions, "ReplicaFailure"),
    }
    if conditions.as_array().is_some_and(Vec::is_empty) { Value::Null } else { conditions }
}

/// When the next ready pod has been ready long enough.
fn next_availability(set: &Set, active: &[&Member], now: Time) -> Option<Duration> {
    let min_ready = Duration::from_secs(u64::try_from(set.min_ready).unwrap_or_default());
    let waiting = active.iter().filter(|member| !member.pod.is_available(set.min_ready, now));
    waiting.filter_map(|member| member.pod.ready_since).map(|since| between(now, since + min_ready)).min()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{super::harness::*, *};

    fn status(sim: &crate::demo::sim::Sim) -> Value {
        get(sim, REPLICA_SETS, "web")["status"].clone()
    }

    #[test]
    fn it_has_the_pods_it_asks_for_and_tells_how_they_fare() {
        let mut sim = sim();
        create(&mut sim, REPLICA_SETS, replica_set("web", 3));
        run(&mut sim, 0.1);
        assert_eq!(status(&sim), json!({"replicas": 3, "fullyLabeledReplicas": 3, "terminatingReplicas": 0, "observedGeneration": 1}));
        run(&mut sim, 2.0);
        assert_eq!((&status(&sim)["readyReplicas"], &status(&sim)["availableReplicas"]), (&json!(3), &json!(3)));
        patch(&mut sim, REPLICA_SETS, "web", &json!({"spec": {"replicas": 1}}));
        run(&mut sim, 2.0);
        assert_eq!((pods(&sim).len(), &status(&sim)["replicas"], &status(&sim)["observedGeneration"]), (1, &json!(1), &json!(2)));
        let told: Vec<String> = events(&sim, "web").iter().map(|event| event.split(": ").take(2).collect::<Vec<_>>().join(": ")).collect();
        assert_eq!(told, [vec!["SuccessfulCreate: Created pod"; 3], vec!["SuccessfulDelete: Deleted pod"; 2]].concat());
    }

    #[test]
    fn pods_count_as_available_after_min_ready_seconds() {
        let mut sim = sim();
        let mut set = replica_set("web", 2);
        set["spec"]["minReadySeconds"] = 5.into();
        create(&mut sim, REPLICA_SETS, set);
        run(&mut sim, 3.0);
        assert_eq!((&status(&sim)["readyReplicas"], &status(&sim)["availableReplicas"]), (&json!(2), &Value::Null));
        run(&mut sim, 4.0);
        assert_eq!(status(&sim)["availableReplicas"], 2);
    }

    #[test]
    fn it_adopts_what_matches_and_lets_go_what_does_not() {
        let mut sim = sim();
        let orphan = json!({"metadata": {"name": "lone", "namespace": "shop", "labels": {"app": "web"}}, "spec": {"containers": []}});
        create(&mut sim, "pods", orphan);
        create(&mut sim, REPLICA_SETS, replica_set("web", 2));
        run(&mut sim, 2.0);
        assert_eq!(pods(&sim).len(), 2);
        assert_eq!(controller_of(&get(&sim, "pods", "lone")).unwrap()["name"], "web");
        patch(&mut sim, "pods", "lone", &json!({"metadata": {"labels": {"app": "other"}}}));
        run(&mut sim, 2.0);
        assert!(controller_of(&get(&sim, "pods", "lone")).is_none());
        assert_eq!(pods(&sim).len(), 3);
    }

    #[test]
    fn lost_and_ended_pods_are_replaced() {
        let mut sim = sim();
        create(&mut sim, REPLICA_SETS, replica_set("web", 2));
        run(&mut sim, 2.0);
        let names: Vec<String> = pods(&sim).iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().into()).collect();
        sim.store.remove(&Key::new("pods", "shop", &names[0]));
        let mut ended = get(&sim, "pods", &names[1]);
        ended["status"]["phase"] = "Failed".into();
        sim.store.put(Key::new("pods", "shop", &names[1]), ended);
        run(&mut sim, 2.0);
        assert_eq!((pods(&sim).len(), &status(&sim)["readyReplicas"]), (3, &json!(2)));
    }

    #[test]
    fn the_least_useful_pods_go_first() {
        let now = epoch();
        let ago = |seconds: i64| now - chrono::TimeDelta::seconds(seconds);
        let ready = Pod {
            name: "".into(),
            uid: "m".into(),
            created: ago(1_000),
            deleting: false,
            deletion_cost: 0,
            node: "n1".into(),
            phase: super::super::pods::Phase::Running,
            ready_since: Some(ago(900)),
            restarts: 0,
            ip: "".into(),
        };
        let named = |name: &str, pod: Pod| Pod { name: name.into(), ..pod };
        let crowd: HashMap<Box<str>, usize> = [("n1".into(), 1), ("n2".into(), 3)].into();
        let mut pods = [
            named("ready", ready.clone()),
            named("restarted", Pod { restarts: 2, ..ready.clone() }),
            named("younger", Pod { ready_since: Some(ago(10)), ..ready.clone() }),
            named("crowded", Pod { node: "n2".into(), ..ready.clone() }),
            named("cheap", Pod { deletion_cost: -1, ..ready.clone() }),
            named("unready", Pod { ready_since: None, ..ready.clone() }),
            named("pending", Pod { phase: super::super::pods::Phase::Pending, ready_since: None, ..ready.clone() }),
            named("homeless", Pod { node: "".into(), ..ready.clone() }),
        ];
        pods.sort_by(|a, b| first_to_go(a, b, &crowd, now));
        let order: Vec<&str> = pods.iter().map(|pod| &*pod.name).collect();
        assert_eq!(order, ["homeless", "pending", "unready", "cheap", "crowded", "younger", "restarted", "ready"]);
    }

    #[test]
    fn more_pods_than_one_pass_makes_come_up_in_prehistory_too() {
        for opening in [0, 7_200] {
            let mut sim = sim();
            sim.workloads.open_at(epoch() + Duration::from_secs(opening));
            create(&mut sim, REPLICA_SETS, replica_set("web", 1_200));
            run(&mut sim, 5.0);
            assert_eq!(status(&sim)["readyReplicas"], 1_200);
        }
    }
}
