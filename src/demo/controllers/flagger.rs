//! Flagger 1.43: canaries, blue-green and A/B tests of Deployments, with the writes and events of the real controller in
//! its order.
//!
//! Each Canary is looked at once per interval of its own ([`tick`]), and only then: what changes in between waits. A tick
//! first puts right what is generated: [`services`], the [`target`]'s primary with its [`configs`], the object that
//! splits the users ([`router`]: [`nginx`], [`gateway`], [`istio`], or none). Then one thing happens, by the phase in the
//! [`status`], after [`hooks`] and [`checks`] were asked.
//!
//! Not as the real one: hashes and checksums have other values; of providers only kubernetes, nginx, gatewayapi and istio
//! are served, without mirroring and session affinity; only Deployments are targets, without autoscalers; of hooks only
//! those at the load tester can be reached, and alerts and events go nowhere; of metrics only Prometheus is asked; while
//! nobody looks, Canaries at rest are not looked at either.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use serde_json::{Value, json};

use self::{
    names::{CANARIES, DEPLOYMENTS, FINALIZER},
    spec::Spec,
    tick::Tick,
};
use super::objects::between;
use crate::{
    demo::{
        sim::{Controller, Cx},
        store::{Change, Key, Store},
    },
    model::Time,
};

mod checks;
mod configs;
mod finalizer;
mod gateway;
pub mod hooks;
mod istio;
pub mod names;
mod nginx;
mod router;
mod services;
pub mod spec;
mod status;
mod target;
#[cfg(test)]
mod tests;
mod tick;

/// The list of Canaries is gone through this often: then jobs begin, and take over another interval.
const LOOP: Duration = Duration::from_secs(10);

const MANAGER: &str = "flagger";

/// The Flagger controller.
#[derive(Default)]
pub struct Canaries {
    jobs: HashMap<Key, Job>,
    /// Canaries by their targets.
    targets: HashMap<Key, BTreeSet<Key>>,
}

/// The clock of one Canary.
struct Job {
    uid: Box<str>,
    target: Key,
    interval: Duration,
    next: Time,
    /// Looked at no more until something changes, as nobody sees it.
    sleeps: bool,
}

impl Controller for Canaries {
    fn name(&self) -> &'static str {
        MANAGER
    }

    fn wakes(&self, change: &Change, _: &Store, wake: &mut Vec<Key>) {
        let Some(object) = change.object() else { return };
        match &*object.key.kind {
            CANARIES => wake.push(object.key.clone()),
            DEPLOYMENTS => wake.extend(self.targets.get(&object.key).into_iter().flatten().cloned()),
            _ => (),
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        let Some(stored) = cx.store.get(key).cloned() else {
            self.forget(key);
            return None;
        };
        let tick = Tick::new(cx, &stored)?;
        let (spec, status, interval) = (tick.spec.clone(), tick.status.clone(), tick.analysis.interval());
        let object = stored.value();
        if !object["metadata"]["deletionTimestamp"].is_null() {
            finalizer::finalize(cx, &stored);
            return None;
        }
        self.meet(cx, &stored.uid, key, &spec, &object);
        if status.conditions.is_empty() {
            // Whatever is refused is tried again after the next change.
            let _ = status::set_initializing(cx, key, &spec);
        }
        let now = cx.now;
        let job = self.jobs.get_mut(key)?;
        if job.interval != interval {
            (job.interval, job.next) = (interval, next_loop(now));
        }
        if job.sleeps {
            (job.sleeps, job.next) = (false, after(job.next, job.interval, now));
        }
        if now < job.next {
            return Some(between(now, job.next));
        }
        job.next = after(job.next, job.interval, now);
        let revision = stored.revision;
        Tick::new(cx, cx.store.get(key).cloned().as_ref()?)?.run();
        let is_calm = cx.store.get(key).is_some_and(|left| left.revision == revision) && !status.phase.is_busy();
        job.sleeps = is_calm && !status.phase.is_new() && !spec.suspend && cx.workloads.is_prehistory(now);
        if job.sleeps {
            return cx.workloads.opening().map(|opening| between(now, opening));
        }
        Some(between(now, job.next))
    }
}

/// The next moment at which the list is gone through.
fn next_loop(now: Time) -> Time {
    let step = i64::try_from(LOOP.as_millis()).unwrap_or(i64::MAX);
    let rest = now.timestamp_millis().rem_euclid(step);
    now + Duration::from_millis(u64::try_from(step - rest).unwrap_or_default())
}

/// The first beat of a clock after a moment.
fn after(beat: Time, interval: Duration, now: Time) -> Time {
    let missed = between(beat, now).as_nanos() / interval.as_nanos().max(1);
    let beats = if now < beat { 0 } else { u32::try_from(missed + 1).unwrap_or(u32::MAX) };
    beat + interval * beats
}

impl Canaries {
    /// Notes a Canary that is news, or has another target.
    fn meet(&mut self, cx: &mut Cx<'_>, uid: &str, key: &Key, spec: &Spec, object: &Value) {
        let target = Key::new(DEPLOYMENTS, &key.namespace, &spec.target_ref.name);
        if self.jobs.get(key).is_some_and(|job| *job.uid != *uid || job.target != target) {
            self.forget(key);
        }
        if !self.jobs.contains_key(key) {
            let job = Job { uid: uid.into(), target: target.clone(), interval: Duration::ZERO, next: cx.now, sleeps: false };
            self.jobs.insert(key.clone(), job);
            self.targets.entry(target).or_default().insert(key.clone());
        }
        let finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        let has = finalizers.iter().any(|finalizer| finalizer == FINALIZER);
        let wanted: Vec<Value> = match (spec.revert_on_deletion, has) {
            (true, false) => finalizers.into_iter().chain([FINALIZER.into()]).collect(),
            (false, true) => finalizers.into_iter().filter(|finalizer| finalizer != FINALIZER).collect(),
            _ => return,
        };
        let _ = cx.patch(key, &json!({"metadata": {"finalizers": wanted}}));
    }

    fn forget(&mut self, key: &Key) {
        let Some(job) = self.jobs.remove(key) else { return };
        if let Some(canaries) = self.targets.get_mut(&job.target) {
            canaries.remove(key);
            if canaries.is_empty() {
                self.targets.remove(&job.target);
            }
        }
    }
}
