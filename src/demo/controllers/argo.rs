//! Argo Rollouts 1.10: canary and blue-green, with the updates of the real controller in its order.
//!
//! One pass over one rollout ([`pass`]) reads the rollout, its versions ([`versions`]), runs and Experiments, and stops
//! at the first thing that changes the rollout itself: a spec that cannot be acted on ([`validation`]), a new version,
//! conditions that pauses and aborts left behind. Only then it works, by its strategy ([`canary`], [`blue_green`]), with
//! [`scaling`], [`services`], [`traffic`] and the analyses as tools, and ends with one status ([`ending`]). So an action
//! of a person shows as two updates or more, as with the real controller.
//!
//! Pure rooms: what is asked ([`spec`]), what is told ([`status`], [`conditions`]), numbers of pods ([`replicas`]),
//! pauses ([`pause`]), pod templates ([`template`]).
//!
//! Not as the real one: hashes have other values; rollouts that keep themselves busy slow down after a while
//! ([`RESTLESS`]); step plugins are refused; of routers other than ingress-nginx, Istio, Traefik and the
//! Gateway API plugin only the weights in the status exist.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};

use self::{
    pass::{Memory, Outcome, Pass, Rollout, Trouble, read},
    spec::Spec,
};
use super::events;
use crate::{
    demo::{
        sim::{Controller, Cx},
        store::{Change, Key, Store, Stored},
    },
    model::Time,
};

mod analysis;
mod blue_green;
mod canary;
mod conditions;
mod ending;
mod experiment;
mod istio;
mod metadata;
mod names;
mod nginx;
mod pass;
mod pause;
mod replica_set;
mod replicas;
mod restart;
mod scaling;
mod services;
mod spec;
mod status;
mod template;
#[cfg(test)]
mod tests;
mod traffic;
mod validation;
mod versions;
mod workload;

/// A missing workload is looked for again after this long.
const WORKLOAD_AGAIN: Duration = Duration::from_secs(20);
/// After trouble, a spec that cannot be acted on included, the next try comes after this long, and twice as long each
/// time, up to the second figure. Until then changes do not count.
const RETRY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(10));
/// A rollout can keep itself busy: an aborted one with its Services, one that waits for an inconclusive analysis with its
/// conditions. The real controller spins; this one does for so many passes without a break, and then slows down.
const RESTLESS: u32 = 100;
/// The first pause between passes of a restless rollout. It doubles after every [`PATIENCE`] passes, up to 2⁸ times.
const BREATHER: Duration = Duration::from_millis(200);
const PATIENCE: u32 = 50;
/// A break after which a rollout is no longer restless.
const CALM: Duration = Duration::from_secs(2);
/// A timer fires just after its moment, as moments "after" which something happens have to be over.
const LATE: Duration = Duration::from_millis(1);

/// Who writes, in `managedFields`.
const MANAGER: &str = "rollouts-controller";

/// The Rollouts controller.
#[derive(Default)]
pub struct Rollouts {
    known: HashMap<Key, Known>,
    /// Rollouts by uid, for their versions, runs and Experiments.
    owners: HashMap<Box<str>, Key>,
    /// Rollouts by what they refer to: Services, Ingresses, routes, workloads.
    referring: HashMap<Key, BTreeSet<Key>>,
}

/// What is remembered of one rollout.
#[derive(Default)]
struct Known {
    uid: Box<str>,
    generation: i64,
    refers_to: BTreeSet<Key>,
    /// The earliest timer that has not fired. Later ones are forgotten: every pass asks again.
    timer: Option<Time>,
    failures: u32,
    /// Passes without a break, when the last one was, and what revision of the rollout it left.
    passes: u32,
    last: Time,
    left: u64,
    memory: Memory,
}

impl Known {
    /// How long the next pass has to wait, if it has to.
    fn must_wait(&mut self, revision: u64, now: Time) -> Option<Duration> {
        self.timer = self.timer.filter(|timer| *timer > now);
        let retry = self.timer.filter(|_| self.failures > 0);
        let then = retry.unwrap_or_else(|| self.not_before(revision, now));
        (then > now).then(|| (then - now).to_std().unwrap_or_default())
    }

    /// When a rollout that does not come to rest may be looked at again. What others write to it is not kept waiting.
    fn not_before(&mut self, revision: u64, now: Time) -> Time {
        let pause = |passes: u32| match passes.checked_sub(RESTLESS) {
            Some(excess) => BREATHER * 2_u32.pow((excess / PATIENCE).min(8)),
            None => Duration::ZERO,
        };
        if self.left != revision || now > self.last + pause(self.passes) + CALM {
            self.passes = 0;
        }
        self.last + pause(self.passes)
    }

    /// When to look again after a pass that ended so and asked for that.
    fn look_again(&mut self, outcome: &Outcome, asked: Option<Duration>, now: Time) -> Option<Duration> {
        let is_trouble = match outcome {
            Ok(()) | Err(Trouble::NoWorkload(_)) => false,
            // What is not there does not come by asking again, but by a change.
            Err(Trouble::Refused(refusal)) => refusal.code != 404,
            Err(_) => true,
        };
        self.failures = if is_trouble { self.failures + 1 } else { 0 };
        let again = match outcome {
            Err(Trouble::NoWorkload(_)) => Some(WORKLOAD_AGAIN),
            Err(_) if is_trouble => Some(RETRY.1.min(RETRY.0 * 2_u32.pow(self.failures.min(16)))),
            _ => asked,
        };
        let then = again.map(|again| now + again + LATE);
        self.timer = [self.timer, then].into_iter().flatten().min();
        self.timer.and_then(|timer| (timer - now).to_std().ok())
    }
}

impl Controller for Rollouts {
    fn name(&self) -> &'static str {
        MANAGER
    }

    fn wakes(&self, change: &Change, _: &Store, wake: &mut Vec<Key>) {
        let Some(object) = change.object() else { return };
        match &*object.key.kind {
            names::ROLLOUTS => wake.push(object.key.clone()),
            // Measurements come and go, only phases count.
            names::ANALYSIS_RUNS if phase(&change.before) == phase(&change.after) => {}
            names::REPLICA_SETS | names::EXPERIMENTS | names::ANALYSIS_RUNS | names::INGRESSES => {
                wake.extend(self.owner_of(object).cloned())
            }
            _ => {}
        }
        // Services that point to no version are nobody's yet.
        if &*object.key.kind != names::SERVICES || points_to_a_version(object) {
            wake.extend(self.referring.get(&object.key).into_iter().flatten().cloned());
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        let Some(stored) = cx.store.get(key).cloned() else {
            self.forget(cx, key);
            return None;
        };
        let rollout: Rollout = read(&stored)?;
        if rollout.metadata.deletion_timestamp.is_some() {
            return None;
        }
        self.meet(cx, &stored, &rollout);
        let now = cx.now;
        let known = self.known.get_mut(key)?;
        if let Some(wait) = known.must_wait(stored.revision, now) {
            return Some(wait);
        }
        (known.passes, known.last) = (known.passes + 1, now);
        let mut pass = Pass::new(cx, &mut known.memory, key, rollout, stored.revision);
        let outcome = pass.run();
        if let Err(Trouble::Invalid(why) | Trouble::NoWorkload(why)) = &outcome {
            let _ = pass.declare_invalid(why);
        }
        let asked = pass.again;
        known.left = cx.store.get(key).map_or(0, |stored| stored.revision);
        known.look_again(&outcome, asked, now)
    }
}

impl Rollouts {
    fn owner_of(&self, object: &Stored) -> Option<&Key> {
        self.owners.get(object.owner.as_deref()?)
    }

    /// Notes who the rollout is and what it refers to, if that is news.
    fn meet(&mut self, cx: &mut Cx<'_>, stored: &Stored, rollout: &Rollout) {
        let key = &stored.key;
        if self.known.get(key).is_some_and(|known| known.uid != stored.uid) {
            self.drop_references(key);
            self.known.remove(key);
        }
        let is_new = !self.known.contains_key(key);
        let known = self.known.entry(key.clone()).or_default();
        if is_new {
            known.uid = stored.uid.clone();
            self.owners.insert(stored.uid.clone(), key.clone());
            let message = format!("Rollout resource added to informer: {}/{}", key.namespace, key.name);
            events::record(cx, &about(key, &stored.uid), "Normal", "RolloutAddedToInformer", &message);
        }
        if is_new || known.generation != rollout.metadata.generation {
            known.generation = rollout.metadata.generation;
            self.refer(cx, key, references(key, &rollout.spec));
        }
    }

    fn refer(&mut self, cx: &mut Cx<'_>, key: &Key, next: BTreeSet<Key>) {
        let Some(known) = self.known.get_mut(key) else { return };
        let before = std::mem::replace(&mut known.refers_to, next.clone());
        for gone in before.difference(&next) {
            self.stop_referring(key, gone);
            release(cx, key, gone);
        }
        for new in next.difference(&before) {
            self.referring.entry(new.clone()).or_default().insert(key.clone());
        }
    }

    fn stop_referring(&mut self, key: &Key, to: &Key) {
        if let Some(rollouts) = self.referring.get_mut(to) {
            rollouts.remove(key);
            if rollouts.is_empty() {
                self.referring.remove(to);
            }
        }
    }

    fn drop_references(&mut self, key: &Key) -> BTreeSet<Key> {
        let Some(known) = self.known.get_mut(key) else { return BTreeSet::new() };
        self.owners.remove(&known.uid);
        let references = std::mem::take(&mut known.refers_to);
        references.iter().for_each(|to| self.stop_referring(key, to));
        references
    }

    /// The rollout is gone: its Services are free.
    fn forget(&mut self, cx: &mut Cx<'_>, key: &Key) {
        let references = self.drop_references(key);
        let Some(known) = self.known.remove(key) else { return };
        let message = format!("Rollout {}/{} is deleted.", key.name, key.namespace);
        events::record(cx, &about(key, &known.uid), "Normal", "RolloutDeleted", &message);
        references.iter().for_each(|to| release(cx, key, to));
    }
}

fn about(key: &Key, uid: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": *key.name, "namespace": *key.namespace, "uid": uid},
    })
}

/// What changes of other objects make the controller look at a rollout.
fn references(key: &Key, spec: &Spec) -> BTreeSet<Key> {
    let mut all: BTreeSet<Key> = BTreeSet::new();
    let mut add = |kind: &str, namespace: &str, name: &str| all.extend([Key::new(kind, namespace, name)]);
    spec.services().into_iter().for_each(|(_, name)| add(names::SERVICES, &key.namespace, name));
    if let (Some(kind), Some(workload)) = (spec.workload_kind(), &spec.workload_ref) {
        add(kind, &key.namespace, &workload.name);
    }
    let Some(routing) = spec.router() else { return all };
    if let Some(nginx) = &routing.nginx {
        nginx.ingresses().iter().for_each(|name| add(names::INGRESSES, &key.namespace, name));
    }
    if let Some(istio) = &routing.istio {
        for service in istio.all() {
            let (namespace, name) = service.place(&key.namespace);
            add(names::VIRTUAL_SERVICES, namespace, name);
        }
        istio.destination_rule.iter().for_each(|rule| add(names::DESTINATION_RULES, &key.namespace, &rule.name));
    }
    all
}

/// Takes the marks of a rollout off a Service it no longer refers to.
fn release(cx: &mut Cx<'_>, rollout: &Key, to: &Key) {
    if &*to.kind != names::SERVICES {
        return;
    }
    let Some(service) = cx.store.get(to).and_then(|stored| read::<services::Service>(stored)) else { return };
    if service.metadata.annotation(names::MANAGED_BY) == &*rollout.name {
        let patch = json!({
            "metadata": {"annotations": {names::MANAGED_BY: null}},
            "spec": {"selector": {names::HASH: null}},
        });
        let _ = cx.patch(to, &patch);
    }
}

/// Without reading all of the object.
fn points_to_a_version(service: &Stored) -> bool {
    let needle = names::HASH.as_bytes();
    service.json.windows(needle.len()).any(|window| window == needle)
}

fn phase(run: &Option<Arc<Stored>>) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Run {
        status: analysis::Verdict,
    }
    run.as_ref().and_then(|run| read::<Run>(run)).map(|run| run.status.phase).unwrap_or_default()
}
