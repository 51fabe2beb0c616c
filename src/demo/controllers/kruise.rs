//! The controller of OpenKruise Rollouts 0.6: canaries in a Deployment of their own, batches within one, and blue-green.
//!
//! [`webhook`] stops a Deployment that a Rollout is for the moment its template changes. A [`pass`] then goes through the
//! steps of the Rollout: [`batch`] gets the pods of a step ready, [`route`] sends users there, and the step ends by its
//! clock or when somebody writes `StepReady` into its status. What a [`workload`] is called is worked out anew each time.
//!
//! Not as the real one: only Deployments are workloads, and only an ingress-nginx is a route; there are no BatchReleases,
//! so that a canary's Deployment belongs to the Rollout, and what they do takes as long as theirs but in one piece;
//! a changed plan is neither refused nor looked for; a Rollout that is deleted leaves its workload as it is.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use self::{
    names::{DEPLOYMENTS, ROLLOUTS},
    pass::Pass,
    spec::Spec,
};
use crate::{
    demo::{
        sim::{Controller, Cx},
        store::{Change, Key, Store},
    },
    model::Time,
};

mod batch;
mod names;
mod pass;
mod route;
mod spec;
mod status;
#[cfg(test)]
mod tests;
pub mod webhook;
mod workload;

/// The Rollout controller.
#[derive(Default)]
pub struct Rollouts {
    /// Rollouts by their workloads, and the other way round.
    targets: HashMap<Key, BTreeSet<Key>>,
    known: HashMap<Key, Key>,
    /// Until when the routers of a Rollout may need to take over what has changed.
    graces: HashMap<Key, Time>,
}

impl Controller for Rollouts {
    fn name(&self) -> &'static str {
        "kruise-rollout"
    }

    fn wakes(&self, change: &Change, _: &Store, wake: &mut Vec<Key>) {
        let Some(object) = change.object() else { return };
        match &*object.key.kind {
            ROLLOUTS => wake.push(object.key.clone()),
            DEPLOYMENTS => {
                wake.extend(self.targets.get(&object.key).into_iter().flatten().cloned());
                if let Some(of) = object.label(names::CANARY_OF) {
                    let stable = Key::new(DEPLOYMENTS, &object.key.namespace, of);
                    wake.extend(self.targets.get(&stable).into_iter().flatten().cloned());
                }
            }
            _ => (),
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        let found = cx.store.get(key).map(|stored| stored.value());
        let spec = found.as_ref().and_then(Spec::read);
        let target = spec.as_ref().map(|spec| Key::new(DEPLOYMENTS, &key.namespace, &spec.workload_ref.name));
        self.meet(key, target);
        let (rollout, spec) = (found?, spec?);
        Pass::new(cx, key, rollout, spec, &mut self.graces).run()
    }
}

impl Rollouts {
    /// Notes whose workload is whose.
    fn meet(&mut self, key: &Key, target: Option<Key>) {
        if self.known.get(key) == target.as_ref() {
            return;
        }
        if let Some(before) = self.known.remove(key)
            && let Some(rollouts) = self.targets.get_mut(&before)
        {
            rollouts.remove(key);
        }
        let Some(target) = target else {
            self.graces.remove(key);
            return;
        };
        self.targets.entry(target.clone()).or_default().insert(key.clone());
        self.known.insert(key.clone(), target);
    }
}
