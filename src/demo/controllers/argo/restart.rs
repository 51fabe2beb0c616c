//! Restarting pods: those made before the asked moment are evicted, few enough at a time.

use std::time::Duration;

use serde_json::Value;

use super::{
    MANAGER, names,
    pass::{Outcome, Pass},
    replica_set, replicas,
    spec::Meta,
};
use crate::{
    demo::{controllers::disruption::evict, registry::Write},
    model::Time,
};

/// How long until the next look at pods that could not go yet.
const AGAIN: Duration = Duration::from_secs(30);

impl Pass<'_, '_> {
    /// How many pods were evicted.
    pub fn restart_pods(&mut self) -> Outcome<usize> {
        let Some(at) = self.spec.restart_at else { return Ok(0) };
        if at >= self.cx.now {
            self.look_again_at(at);
            return Ok(0);
        }
        if self.status.restarted_at == Some(at) {
            return Ok(0);
        }
        let pods = self.pods_by_priority();
        let all = self.spec.replicas().max(replica_set::wanted(&self.sets));
        let available = pods.iter().filter(|pod| self.is_available(pod)).count() as i64;
        let mut room = available - (all - replicas::max_unavailable(&self.spec).max(1));
        let (mut old, mut evicted) = (0, 0);
        for pod in &pods {
            let meta: Meta = serde_json::from_value(pod["metadata"].clone()).unwrap_or_default();
            if meta.creation_timestamp.is_some_and(|created| created >= at) {
                continue;
            }
            old += 1;
            if room <= 0 || meta.deletion_timestamp.is_some() {
                continue;
            }
            let write = Write::new(self.cx.now, MANAGER);
            match evict(self.cx.store, &self.key_of(names::PODS, &meta.name), write) {
                // A budget forbids it now.
                Err(refusal) if refusal.code == 429 => {}
                outcome => {
                    outcome?;
                    room -= 1;
                    evicted += 1;
                }
            }
        }
        if old > evicted {
            self.look_again(AGAIN);
        } else {
            self.draft.restarted_at = Some(at);
        }
        Ok(evicted)
    }

    /// Pods of the stable version, of the new one, of older ones.
    fn pods_by_priority(&self) -> Vec<Value> {
        let mut order: Vec<usize> = (0..self.sets.len()).collect();
        let rank = |index: usize| match Some(index) {
            index if index == self.stable => 0,
            index if index == self.new => 1,
            _ => 2,
        };
        order.sort_by_key(|index| (rank(*index), self.sets[*index].metadata.creation_timestamp));
        order.into_iter().flat_map(|index| self.cx.owned(names::PODS, &self.sets[index].metadata.uid)).collect()
    }

    fn is_available(&self, pod: &Value) -> bool {
        let is_ready = |condition: &&Value| condition["type"] == "Ready" && condition["status"] == "True";
        let ready = pod["status"]["conditions"].as_array().into_iter().flatten().find(is_ready);
        let since: Option<Time> = ready.and_then(|ready| ready["lastTransitionTime"].as_str()?.parse().ok());
        let minimum = chrono::Duration::seconds(self.spec.min_ready_seconds);
        pod["metadata"]["deletionTimestamp"].is_null() && since.is_some_and(|since| since + minimum <= self.cx.now)
    }
}
