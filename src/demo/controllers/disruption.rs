//! PodDisruptionBudgets: how many pods may be evicted at the moment, and the evictions themselves.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    objects::{between, controller_of, scaled, selects, time},
    pods::{Phase, Pod},
};
use crate::{
    demo::{
        refusal::Refusal,
        registry::{self, Write, stamp},
        sim::{Controller, Cx},
        store::{Change, Key, Store, Stored},
    },
    model::Time,
};

const BUDGETS: &str = "poddisruptionbudgets.policy";

/// An evicted pod that is still there after this is counted again.
const DOUBT: Duration = Duration::from_secs(120);

/// The disruption controller.
pub struct Disruptions;

impl Controller for Disruptions {
    fn name(&self) -> &'static str {
        "kube-controller-manager"
    }

    fn wakes(&self, change: &Change, store: &Store, wake: &mut Vec<Key>) {
        let Some(object) = change.object() else { return };
        match &*object.key.kind {
            BUDGETS => wake.push(object.key.clone()),
            // There are few budgets, and fewer in one namespace.
            "pods" | "replicasets.apps" | "deployments.apps" | "rollouts.argoproj.io" => {
                wake.extend(store.list(BUDGETS, Some(&object.key.namespace)).map(|budget| budget.key.clone()));
            }
            _ => (),
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        let mut budget = cx.store.get(key)?.value();
        let pods = selected(cx.store, &budget);
        let disrupted = still_disrupted(&budget, &pods, cx.now);
        let count = Count::of(cx.store, &budget, &pods, &disrupted);
        let again = disrupted.values().map(|since| between(cx.now, *since + DOUBT)).min();
        let status = count.status(&budget, &disrupted, cx.now);
        if status != budget["status"] {
            budget["status"] = status;
            let _ = cx.update_status(BUDGETS, budget);
        }
        again
    }
}

/// Pods that a budget covers.
fn selected(store: &Store, budget: &Value) -> Vec<Arc<Stored>> {
    let namespace = budget["metadata"]["namespace"].as_str();
    // An empty selector covers all pods here, an absent one none.
    let selector = &budget["spec"]["selector"];
    let all = selector.is_object() && super::objects::same(selector, &Value::Null);
    store.list("pods", namespace).filter(|pod| all || selects(selector, &***pod)).cloned().collect()
}

/// Evictions that have not been seen to happen yet.
fn still_disrupted(budget: &Value, pods: &[Arc<Stored>], now: Time) -> HashMap<String, Time> {
    let noted = budget["status"]["disruptedPods"].as_object().into_iter().flatten();
    let noted = noted.filter_map(|(name, since)| Some((name.clone(), time(since)?)));
    noted.filter(|(name, since)| *since + DOUBT > now && pods.iter().any(|pod| *pod.key.name == **name)).collect()
}

struct Count {
    expected: i64,
    desired: i64,
    healthy: i64,
}

impl Count {
    fn of(store: &Store, budget: &Value, pods: &[Arc<Stored>], disrupted: &HashMap<String, Time>) -> Self {
        let spec = &budget["spec"];
        let (expected, desired) = if !spec["maxUnavailable"].is_null() {
            let expected = expected(store, pods);
            (expected, (expected - scaled(&spec["maxUnavailable"], expected, true).unwrap_or_default()).max(0))
        } else if spec["minAvailable"].is_string() {
            let expected = expected(store, pods);
            (expected, scaled(&spec["minAvailable"], expected, true).unwrap_or_default())
        } else {
            (i64::try_from(pods.len()).unwrap_or_default(), spec["minAvailable"].as_i64().unwrap_or_default())
        };
        let is_healthy = |pod: &Pod| pod.is_ready() && !pod.deleting && !disrupted.contains_key(&*pod.name);
        let healthy = pods.iter().filter_map(|pod| Pod::read(pod)).filter(is_healthy).count();
        Self { expected, desired, healthy: i64::try_from(healthy).unwrap_or_default() }
    }

    fn allowed(&self) -> i64 {
        if self.expected > 0 { (self.healthy - self.desired).max(0) } else { 0 }
    }

    fn status(&self, budget: &Value, disrupted: &HashMap<String, Time>, now: Time) -> Value {
        let allowed = self.allowed();
        let generation = &budget["metadata"]["generation"];
        let mut status = json!({
            "currentHealthy": self.healthy, "desiredHealthy": self.desired, "expectedPods": self.expected,
            "disruptionsAllowed": allowed, "observedGeneration": generation,
            "conditions": [verdict(budget, allowed, now)],
        });
        if !disrupted.is_empty() {
            status["disruptedPods"] = disrupted.iter().map(|(name, since)| (name.clone(), Value::from(stamp(*since)))).collect();
        }
        status
    }
}

fn verdict(budget: &Value, allowed: i64, now: Time) -> Value {
    let (status, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let old = &budget["status"]["conditions"][0];
    let since = if old["status"] == status { old["lastTransitionTime"].clone() } else { stamp(now).into() };
    json!({
        "type": "DisruptionAllowed", "status": status, "reason": reason, "message": "",
        "lastTransitionTime": since, "observedGeneration": budget["metadata"]["generation"],
    })
}

/// How many pods the owners of these pods ask for in all.
fn expected(store: &Store, pods: &[Arc<Stored>]) -> i64 {
    let mut owners: HashMap<Box<str>, i64> = HashMap::new();
    for pod in pods {
        let Some(owner) = pod.owner.clone().filter(|owner| !owners.contains_key(owner)) else { continue };
        let Some(set) = super::objects::owner_by_name(store, pod, "replicasets.apps").and_then(|key| store.get(&key)) else { continue };
        let (top, replicas) = scale_of(store, set);
        owners.insert(owner, 0);
        owners.insert(top, replicas);
    }
    owners.values().sum()
}

/// The uid and the size of what a ReplicaSet belongs to.
fn scale_of(store: &Store, set: &Stored) -> (Box<str>, i64) {
    let value = set.value();
    let above = controller_of(&value).and_then(|owner| {
        let kind = if owner["kind"] == "Rollout" { "rollouts.argoproj.io" } else { "deployments.apps" };
        store.get(&Key { kind: kind.into(), namespace: set.key.namespace.clone(), name: owner["name"].as_str()?.into() })
    });
    let replicas = |object: &Value| object["spec"]["replicas"].as_i64().unwrap_or(1);
    above.map_or_else(|| (set.uid.clone(), replicas(&value)), |above| (above.uid.clone(), replicas(&above.value())))
}

/// Evicts a pod: deletes it if its budget allows. What `POST …/pods/NAME/eviction` does.
pub fn evict(store: &mut Store, key: &Key, write: Write<'_>) -> Result<(), Refusal> {
    let stored = store.get(key).cloned().ok_or_else(|| Refusal::not_found(&key.kind, &key.name))?;
    let Some(pod) = Pod::read(&stored) else { return Err(Refusal::not_found(&key.kind, &key.name)) };
    // These disrupt nobody any more.
    if pod.deleting || pod.is_over() || pod.phase == Phase::Pending {
        return condemn(store, key, write);
    }
    let budgets: Vec<Value> = store.list(BUDGETS, Some(&key.namespace)).map(|budget| budget.value()).collect();
    let mut covering = budgets.into_iter().filter(|budget| selected(store, budget).iter().any(|pod| pod.key == *key));
    let budget = covering.next();
    if covering.next().is_some() {
        let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        return Err(Refusal::new(500, "", message));
    }
    drop(covering);
    if let Some(budget) = budget {
        spend(store, budget, &pod, write)?;
    }
    condemn(store, key, write)
}

/// Takes one eviction off a budget, or refuses it.
fn spend(store: &mut Store, mut budget: Value, pod: &Pod, write: Write<'_>) -> Result<(), Refusal> {
    let name = budget["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let number = |field: &str| budget["status"][field].as_i64().unwrap_or_default();
    let (healthy, desired, allowed) = (number("currentHealthy"), number("desiredHealthy"), number("disruptionsAllowed"));
    let is_spared = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow" || (healthy >= desired && desired > 0);
    if !pod.is_ready() && is_spared {
        return Ok(());
    }
    if number("observedGeneration") < budget["metadata"]["generation"].as_i64().unwrap_or_default() {
        return Err(too_many(10, &format!("The disruption budget {name} is still being processed by the server.")));
    }
    if allowed == 0 {
        let why = if healthy <= desired {
            format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently")
        } else {
            format!("The disruption budget {name} does not allow evicting pods currently")
        };
        return Err(too_many(0, &why));
    }
    budget["status"]["disruptionsAllowed"] = (allowed - 1).into();
    budget["status"]["disruptedPods"][&*pod.name] = stamp(write.now).into();
    registry::update(store, BUDGETS, budget, write.status()).map(drop)
}

fn too_many(seconds: u32, why: &str) -> Refusal {
    let mut refusal = Refusal::new(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.");
    refusal.details = json!({"causes": [{"reason": "DisruptionBudget", "message": why}]});
    if seconds > 0 {
        refusal.details["retryAfterSeconds"] = seconds.into();
    }
    refusal
}

/// Notes on the pod why it goes, and deletes it.
fn condemn(store: &mut Store, key: &Key, write: Write<'_>) -> Result<(), Refusal> {
    if let Some(mut pod) = store.get(key).map(|pod| pod.value()).filter(|_| !write.dry_run) {
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
            "lastTransitionTime": stamp(write.now),
        });
        if let Some(conditions) = pod["status"]["conditions"].as_array_mut() {
            conditions.push(condition);
        }
        registry::update(store, &key.kind, pod, write.status())?;
    }
    registry::delete(store, key, write).map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{super::harness::*, *};
    use crate::demo::sim::Sim;

    fn made(spec: Value) -> Sim {
        let mut sim = sim();
        create(&mut sim, "deployments.apps", deployment("web", 4));
        let mut budget = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec});
        budget["spec"]["selector"] = json!({"matchLabels": {"app": "web"}});
        create(&mut sim, BUDGETS, budget);
        run(&mut sim, 3.0);
        sim
    }

    fn try_evict(sim: &mut Sim) -> Result<(), Refusal> {
        let is_staying = |pod: &&Arc<Stored>| Pod::read(pod).is_some_and(|pod| pod.is_active());
        let key = sim.store.list("pods", Some("shop")).find(is_staying).unwrap().key.clone();
        let write = Write::new(sim.now(), "test");
        evict(&mut sim.store, &key, write)
    }

    #[test]
    fn a_budget_says_how_many_may_go() {
        for (spec, desired) in [(json!({"minAvailable": 3}), 3), (json!({"maxUnavailable": "25%"}), 3), (json!({"minAvailable": "50%"}), 2)]
        {
            let status = get(&made(spec), BUDGETS, "web")["status"].clone();
            let of = |field: &str| status[field].as_i64().unwrap();
            assert_eq!(
                (of("expectedPods"), of("currentHealthy"), of("desiredHealthy"), of("disruptionsAllowed")),
                (4, 4, desired, 4 - desired)
            );
            assert_eq!(
                (&status["conditions"][0]["status"], &status["conditions"][0]["reason"]),
                (&json!("True"), &json!("SufficientPods"))
            );
        }
    }

    #[test]
    fn evictions_stop_where_the_budget_ends_and_go_on_when_it_is_filled_again() {
        let mut sim = made(json!({"minAvailable": 3}));
        try_evict(&mut sim).unwrap();
        let refusal = try_evict(&mut sim).unwrap_err();
        assert_eq!((refusal.code, refusal.reason), (429, "TooManyRequests"));
        assert_eq!(refusal.message, "Cannot evict pod as it would violate the pod's disruption budget.");
        run(&mut sim, 0.05);
        let refusal = try_evict(&mut sim).unwrap_err();
        assert_eq!(refusal.details["causes"][0]["message"], "The disruption budget web needs 3 healthy pods and has 3 currently");
        run(&mut sim, 3.0);
        try_evict(&mut sim).unwrap();
    }

    #[test]
    fn without_a_budget_or_in_a_dry_run() {
        let mut sim = made(json!({"minAvailable": 3}));
        let key = sim.store.list("pods", Some("shop")).next().unwrap().key.clone();
        let dry = Write { dry_run: true, ..Write::new(sim.now(), "test") };
        evict(&mut sim.store, &key, dry).unwrap();
        assert!(sim.store.get(&key).is_some());
        sim.store.remove(&Key::new(BUDGETS, "shop", "web"));
        (0..4).for_each(|_| try_evict(&mut sim).unwrap());
        assert_eq!(pods(&sim).iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).count(), 0);
    }
}
