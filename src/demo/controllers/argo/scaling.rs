//! Giving versions their pods, and taking them away when nothing refers to them any more.

use std::time::Duration;

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::{
    istio, names,
    pass::{Outcome, Pass},
    replica_set::{self, ReplicaSet},
    replicas,
    status::Pause,
};

impl Pass<'_, '_> {
    /// Whether the rollout's size was changed since its versions were last scaled. Only versions with pods count.
    pub fn is_scaling(&self) -> bool {
        let replicas = self.spec.replicas();
        let is_behind = |set: &ReplicaSet| set.spec.replicas > 0 && set.desired_replicas().is_some_and(|desired| desired != replicas);
        self.new_set().into_iter().chain(self.stable_set()).any(is_behind)
    }

    /// All a pass does while the size is being changed: numbers of pods, and nothing of steps, weights or analyses.
    pub fn scale_only(&mut self) -> Outcome {
        self.sync_revision()?;
        let mut status = self.status.clone();
        let mut counted: Vec<ReplicaSet> = self.sets.clone();
        if self.spec.blue_green().is_some() {
            self.blue_green_sets()?;
            counted = self.set_of(&status.blue_green.active_selector).map_or(counted, |active| vec![active.clone()]);
        } else {
            self.canary_sets()?;
        }
        status.hpa_replicas = replica_set::existing(&counted);
        status.available_replicas = replica_set::available(&counted);
        self.persist(status)
    }

    /// Scales a version, of which this pass goes on to think as it was. Whether its number of pods changed.
    pub fn scale(&mut self, set: &ReplicaSet, count: i64) -> Outcome<bool> {
        Ok(self.scaled(set, count)?.is_some_and(|scaled| scaled.spec.replicas != set.spec.replicas))
    }

    /// The version as it is afterwards, if there was anything to change.
    fn scaled(&mut self, set: &ReplicaSet, count: i64) -> Outcome<Option<ReplicaSet>> {
        let (before, replicas) = (set.spec.replicas, self.spec.replicas());
        if before == count && !set.needs_annotations(replicas) {
            return Ok(None);
        }
        let mut annotations = json!({names::DESIRED_REPLICAS: replicas.to_string()});
        if count == 0 && !self.keeps_pods_after_abort() {
            annotations[names::SCALE_DOWN_DEADLINE] = Value::Null;
        }
        let patch = json!({"metadata": {"annotations": annotations}, "spec": {"replicas": count}});
        let scaled = self.write_set(set.name().to_owned(), &patch)?;
        if before != count {
            let way = if before < count { "up" } else { "down" };
            let revision = scaled.metadata.revision();
            let message = format!("Scaled {way} ReplicaSet {} (revision {revision}) from {before} to {count}", scaled.name());
            self.event("ScalingReplicaSet", &message);
        }
        Ok(Some(scaled))
    }

    /// Whether the aborted version keeps its pods until a deadline. Not without a router, where its pods would go on
    /// serving.
    pub fn keeps_pods_after_abort(&self) -> bool {
        let is_routed = self.spec.blue_green().is_some() || self.spec.router().is_some();
        let is_said = self.spec.canary().is_some_and(|canary| canary.abort_scale_down_delay_seconds.is_some());
        self.is_aborted()
            && self.stable.is_some()
            && is_routed
            && self.spec.abort_scale_down_delay().is_some()
            && (!self.spec.is_dynamic() || is_said)
    }

    /// The new and the stable version are in use again: they do not go down at their old deadline.
    pub fn remove_deadlines(&mut self) -> Outcome {
        let new = self.new.filter(|_| !self.keeps_pods_after_abort());
        let stable = self.stable.filter(|stable| Some(*stable) != new);
        for index in new.into_iter().chain(stable) {
            self.remove_deadline(index)?;
        }
        Ok(())
    }

    fn remove_deadline(&mut self, index: usize) -> Outcome {
        if self.sets[index].has_deadline() {
            self.write_set(self.sets[index].name().to_owned(), &deadline(Value::Null))?;
            self.sets[index].metadata.annotations.remove(names::SCALE_DOWN_DEADLINE);
        }
        Ok(())
    }

    /// Says when a version is to lose its pods; at once means no deadline at all.
    fn add_deadline(&mut self, set: &ReplicaSet, delay: Duration) -> Outcome {
        if !delay.is_zero() {
            let then = (self.cx.now + delay).to_rfc3339_opts(SecondsFormat::Secs, true);
            self.write_set(set.name().to_owned(), &deadline(then.into()))?;
        } else if set.has_deadline() {
            self.write_set(set.name().to_owned(), &deadline(Value::Null))?;
        }
        Ok(())
    }

    /// Scales the new version. Whether its number of pods changed.
    pub fn scale_new(&mut self) -> Outcome<bool> {
        let Some(index) = self.new else { return Ok(false) };
        let mut count = self.count(|counting| counting.new_pods(self.draft.canary.weights.as_ref()));
        if self.keeps_pods_after_abort() {
            match self.sets[index].deadline() {
                Some(deadline) if deadline > self.cx.now => {
                    self.look_again_at(deadline);
                    self.sync_size(index)?;
                    return Ok(false);
                }
                Some(_) => count = 0,
                // A deadline nobody can read is none to wait for.
                None if self.sets[index].has_deadline() => {}
                None => return self.begin_deadline(index).map(|()| false),
            }
        }
        let has_scaled = self.scale(&self.sets[index].clone(), count)?;
        self.scale_workload_progressively(index, count);
        Ok(has_scaled)
    }

    /// The aborted version gets its deadline once the stable one can serve everything.
    fn begin_deadline(&mut self, index: usize) -> Outcome {
        self.sync_size(index)?;
        let is_ready = self.stable_set().is_some_and(|stable| stable.available() >= self.spec.replicas());
        match self.spec.abort_scale_down_delay() {
            Some(delay) if is_ready => self.add_deadline(&self.sets[index].clone(), delay),
            _ => Ok(()),
        }
    }

    /// Tells a version the rollout's size without scaling it.
    fn sync_size(&mut self, index: usize) -> Outcome {
        let set = self.sets[index].clone();
        if set.needs_annotations(self.spec.replicas())
            && let Some(scaled) = self.scaled(&set, set.spec.replicas)?
        {
            self.sets[index] = scaled;
        }
        Ok(())
    }

    /// Scales down versions that are neither new nor stable. Whether any number of pods changed.
    pub fn scale_others(&mut self) -> Outcome<bool> {
        let active: Vec<ReplicaSet> = self.others().into_iter().filter(|set| set.spec.replicas > 0).cloned().collect();
        match (active.is_empty(), self.spec.blue_green().is_some()) {
            (true, _) => Ok(false),
            (_, true) => self.scale_others_blue_green(active),
            (_, false) => self.scale_others_canary(active),
        }
    }

    fn scale_others_canary(&mut self, mut sets: Vec<ReplicaSet>) -> Outcome<bool> {
        sets.sort_by_key(|set| set.metadata.creation_timestamp);
        let mut total = 0;
        // Pods that are not available can go at once.
        for set in &mut sets {
            if set.available() < set.spec.replicas {
                total += set.spec.replicas - set.available();
                *set = self.scaled(set, set.available())?.unwrap_or_else(|| set.clone());
            }
        }
        let least = self.spec.replicas() - replicas::max_unavailable(&self.spec);
        let mut room = replica_set::available(&self.sets) - least;
        if room <= 0 {
            return Ok(false);
        }
        let is_routed = self.spec.router().is_some();
        let mut waiting = 0;
        for set in Self::by_revision(sets) {
            if is_routed && self.is_referenced(set.hash()) {
                continue;
            }
            if room <= 0 {
                break;
            }
            let keeps = match set.spec.replicas {
                0 => continue,
                now if !is_routed => (now - room).max(0),
                // Whoever changes their mind in the middle of an update leaves a version behind that no traffic goes to.
                _ if !self.status.is_fully_promoted() && !set.has_deadline() => 0,
                _ if self.spec.is_dynamic() => 0,
                now => self.kept_until_deadline(&set, &mut waiting, now)?,
            };
            if keeps != set.spec.replicas {
                self.scale(&set, keeps)?;
                room -= set.spec.replicas - keeps;
                total += set.spec.replicas - keeps;
            }
        }
        Ok(total > 0)
    }

    fn scale_others_blue_green(&mut self, sets: Vec<ReplicaSet>) -> Outcome<bool> {
        if self.status.paused_for(&Pause::ANALYSIS).is_some() || self.waits_for_post_promotion() {
            return Ok(false);
        }
        let mut has_scaled = false;
        let mut waiting = 0;
        for set in Self::by_revision(sets) {
            if self.is_referenced(set.hash()) {
                continue;
            }
            let keeps = self.kept_until_deadline(&set, &mut waiting, self.spec.replicas())?;
            if keeps != set.spec.replicas {
                self.scale(&set, keeps)?;
                has_scaled = true;
            }
        }
        Ok(has_scaled)
    }

    /// Pods an old version keeps: `all` until its deadline, none afterwards. It gets a deadline if it has none, and none
    /// if too many versions are `waiting` already.
    fn kept_until_deadline(&mut self, set: &ReplicaSet, waiting: &mut usize, all: i64) -> Outcome<i64> {
        let limit = self.spec.scale_down_revision_limit();
        if !set.has_deadline() {
            if *waiting >= limit {
                return Ok(0);
            }
            *waiting += 1;
            let delay = self.spec.scale_down_delay();
            self.add_deadline(set, delay)?;
            self.look_again(delay);
            return Ok(set.spec.replicas);
        }
        *waiting += 1;
        match set.deadline().filter(|deadline| *waiting <= limit && *deadline > self.cx.now) {
            Some(deadline) => {
                self.look_again_at(deadline);
                Ok(all)
            }
            None => Ok(0),
        }
    }

    /// Whether a status field, a Service or an Istio subset still points to this version.
    fn is_referenced(&self, hash: &str) -> bool {
        if hash.is_empty() {
            return false;
        }
        let status = &self.status;
        let mut known =
            vec![&status.stable_rs, &status.current_pod_hash, &status.blue_green.active_selector, &status.blue_green.preview_selector];
        if let Some(weights) = &status.canary.weights {
            known.extend([&weights.canary.pod_template_hash, &weights.stable.pod_template_hash]);
        }
        let services = self.spec.services();
        let main = services.iter().filter(|(field, _)| !field.contains("pingPong"));
        known.into_iter().any(|known| known == hash)
            || main.into_iter().any(|(_, name)| self.service(name).is_some_and(|service| service.hash() == hash))
            || istio::refers_to(self, hash)
    }
}

fn deadline(value: Value) -> Value {
    json!({"metadata": {"annotations": {names::SCALE_DOWN_DEADLINE: value}}})
}
