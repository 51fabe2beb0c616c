//! How many pods each ReplicaSet of a Deployment gets.

use super::*;

impl Pass<'_, '_> {
    /// Asks a ReplicaSet for so many pods. Returns whether that is a change.
    pub fn resize(&mut self, index: usize, replicas: i64) -> Result<bool, Refusal> {
        let before = self.sets[index].replicas;
        if before == replicas { Ok(false) } else { self.put_size(index, before, replicas) }
    }

    /// The same, where this pass may have asked before, and brings up to date what the ReplicaSet knows of the
    /// Deployment's size.
    fn put_size(&mut self, index: usize, before: i64, replicas: i64) -> Result<bool, Refusal> {
        let mut object = self.sets[index].object.clone();
        object["spec"]["replicas"] = replicas.into();
        let is_news = history::mark_size(&mut object, &self.deployment);
        if !is_news && before == replicas {
            return Ok(false);
        }
        object["metadata"]["resourceVersion"].take();
        self.cx.update(REPLICA_SETS, object)?;
        if before != replicas {
            let (name, way) = (&self.sets[index].name, if before < replicas { "up" } else { "down" });
            let message = format!("Scaled {way} replica set {name} from {before} to {replicas}");
            events::record(self.cx, &self.deployment.object, "Normal", "ScalingReplicaSet", &message);
        }
        Ok(before != replicas)
    }

    /// How many pods the new ReplicaSet should ask for, having `present`.
    pub fn room(&self, present: i64) -> i64 {
        let total: i64 = self.sets.iter().map(|set| set.replicas).sum();
        let free = self.deployment.max_pods() - total;
        if free <= 0 { present } else { present + free.min(self.deployment.replicas - present) }
    }

    /// Scales the new ReplicaSet up as far as the surge allows. Returns whether it did.
    pub fn grow_new(&mut self, new: usize) -> Result<bool, Refusal> {
        let present = self.sets[new].replicas;
        let wanted = if present > self.deployment.replicas { self.deployment.replicas } else { self.room(present) };
        self.resize(new, wanted)
    }

    /// Scales old ReplicaSets down as far as availability allows. Returns whether it did.
    pub fn shrink_old(&mut self, new: usize) -> Result<bool, Refusal> {
        let total: i64 = self.sets.iter().map(|set| set.replicas).sum();
        let minimum = self.deployment.replicas - self.deployment.unavailable;
        let waiting = self.sets[new].replicas - self.sets[new].status("availableReplicas");
        let mut old: Vec<usize> = (0..self.sets.len()).filter(|index| *index != new && self.sets[*index].replicas > 0).collect();
        old.sort_by(|a, b| self.sets[*a].age_order().cmp(&self.sets[*b].age_order()));
        if old.is_empty() || total - minimum - waiting <= 0 {
            return Ok(false);
        }
        let mut sizes: Vec<i64> = self.sets.iter().map(|set| set.replicas).collect();
        let Some(cleaned) = self.drop_unhealthy(&old, &mut sizes, total - minimum - waiting)? else { return Ok(false) };
        let available: i64 = self.sets.iter().map(|set| set.status("availableReplicas")).sum();
        let dropped = self.drop_available(&old, &mut sizes, available - minimum)?;
        Ok(cleaned + dropped > 0)
    }

    /// Pods that are not available can go without anybody missing them. `None`: a ReplicaSet counts more available pods
    /// than it asks for, so what it says is out of date and nothing can be concluded.
    fn drop_unhealthy(&mut self, old: &[usize], sizes: &mut [i64], limit: i64) -> Result<Option<i64>, Refusal> {
        let mut dropped = 0;
        for &index in old {
            if dropped >= limit {
                break;
            }
            match sizes[index] - self.sets[index].status("availableReplicas") {
                0 => (),
                ..0 => return Ok(None),
                unhealthy => dropped += self.shrink(index, sizes, unhealthy.min(limit - dropped))?,
            }
        }
        Ok(Some(dropped))
    }

    fn drop_available(&mut self, old: &[usize], sizes: &mut [i64], limit: i64) -> Result<i64, Refusal> {
        let mut dropped = 0;
        for &index in old {
            let count = sizes[index].min(limit - dropped);
            if count > 0 {
                dropped += self.shrink(index, sizes, count)?;
            }
        }
        Ok(dropped)
    }

    fn shrink(&mut self, index: usize, sizes: &mut [i64], count: i64) -> Result<i64, Refusal> {
        self.put_size(index, sizes[index], sizes[index] - count)?;
        sizes[index] -= count;
        Ok(count)
    }

    /// What a change of `replicas`, or a pause, calls for: no ReplicaSet is favoured, and nothing rolls on.
    pub fn scale(&mut self, new: Option<usize>) -> Outcome {
        self.spread(new)?;
        if self.deployment.is_paused {
            self.clean_up(new)?;
        }
        self.write_plain_status(new)
    }

    fn spread(&mut self, new: Option<usize>) -> Result<(), Refusal> {
        let active: Vec<usize> = (0..self.sets.len()).filter(|index| self.sets[*index].replicas > 0).collect();
        // One is at work, or none: it gets all.
        let only = match active[..] {
            [] => new.or(self.sets.len().checked_sub(1)),
            [one] => Some(one),
            _ => None,
        };
        if let Some(only) = only {
            return self.resize(only, self.deployment.replicas).map(drop);
        }
        if active.is_empty() {
            return Ok(());
        }
        if new.is_some_and(|new| self.is_saturated(new)) {
            return active.into_iter().filter(|index| Some(*index) != new).try_for_each(|index| self.resize(index, 0).map(drop));
        }
        if self.deployment.is_rolling { self.share_out(active) } else { Ok(()) }
    }

    /// Whether the new ReplicaSet has all pods, and all are available.
    fn is_saturated(&self, new: usize) -> bool {
        let (set, wanted) = (&self.sets[new], self.deployment.replicas);
        set.replicas == wanted && set.count(history::DESIRED) == Some(wanted) && set.status("availableReplicas") == wanted
    }

    /// Distributes a difference over all active ReplicaSets in proportion to their size.
    fn share_out(&mut self, mut active: Vec<usize>) -> Result<(), Refusal> {
        let allowed = if self.deployment.replicas > 0 { self.deployment.max_pods() } else { 0 };
        let to_add = allowed - active.iter().map(|index| self.sets[*index].replicas).sum::<i64>();
        active.sort_by_key(|index| {
            let set = &self.sets[*index];
            let age = if to_add > 0 { -set.created.timestamp() } else { set.created.timestamp() };
            (Reverse(set.replicas), age, set.name.clone())
        });
        let mut added = 0;
        let mut sizes = Vec::new();
        for &index in &active {
            let share = self.share(&self.sets[index], to_add, added);
            sizes.push(self.sets[index].replicas + share);
            added += share;
        }
        // What rounding left over goes to the largest.
        sizes[0] = (sizes[0] + to_add - added).max(0);
        active.into_iter().zip(sizes).try_for_each(|(index, size)| self.put_size(index, self.sets[index].replicas, size).map(drop))
    }

    fn share(&self, set: &Set, to_add: i64, added: i64) -> i64 {
        if to_add == added {
            return 0;
        }
        let fraction = self.fraction(set);
        if to_add > 0 { fraction.min(to_add - added) } else { fraction.max(to_add - added) }
    }

    fn fraction(&self, set: &Set) -> i64 {
        if self.deployment.replicas == 0 {
            return -set.replicas;
        }
        let before = set.count(history::MAXIMUM).filter(|before| *before > 0).unwrap_or_else(|| self.deployment.status("replicas"));
        if before == 0 {
            return 0;
        }
        (2 * set.replicas * self.deployment.max_pods() + before).div_euclid(2 * before) - set.replicas
    }
}
