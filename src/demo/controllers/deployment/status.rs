//! What a Deployment says of itself.

use super::*;

impl Pass<'_, '_> {
    /// Writes the status, and judges the progress of the rollout in hand.
    pub fn write_status(&mut self, new: usize) -> Outcome {
        self.write_status_of(Some(new))
    }

    /// The same where there may be no new ReplicaSet yet.
    pub fn write_status_of(&mut self, new: Option<usize>) -> Outcome {
        let mut status = self.count(new);
        match self.deployment.deadline {
            None => remove_condition(&mut status["conditions"], "Progressing"),
            Some(deadline) if !self.is_at_rest(&status) => self.judge(&mut status, new, deadline),
            Some(_) => (),
        }
        self.take_over_failures(&mut status, new);
        let is_done = self.is_done(&status);
        if status != self.deployment.object["status"] {
            self.deployment.object["status"] = status;
            self.store_status()?;
            // Only after this is written, what is left of earlier rollouts can go.
            if is_done && self.deployment.history.is_some_and(|limit| self.sets.len() > usize::try_from(limit + 1).unwrap_or_default()) {
                return Ok(Some(Duration::ZERO));
            }
        }
        Ok(self.deadline_check(is_done))
    }

    /// Writes the status without a judgement.
    pub fn write_plain_status(&mut self, new: Option<usize>) -> Outcome {
        let status = self.count(new);
        if status != self.deployment.object["status"] {
            self.deployment.object["status"] = status;
            self.store_status()?;
        }
        Ok(None)
    }

    fn count(&self, new: Option<usize>) -> Value {
        let sum = |field: &str| self.sets.iter().map(|set| set.status(field)).sum::<i64>();
        let asked: i64 = self.sets.iter().map(|set| set.replicas).sum();
        let available = sum("availableReplicas");
        let old = &self.deployment.object["status"];
        let mut status = json!({
            "observedGeneration": self.deployment.object["metadata"]["generation"],
            "terminatingReplicas": sum("terminatingReplicas"),
        });
        let counts = [
            ("replicas", sum("replicas")),
            ("updatedReplicas", new.map_or(0, |new| self.sets[new].status("replicas"))),
            ("readyReplicas", sum("readyReplicas")),
            ("availableReplicas", available),
            ("unavailableReplicas", (asked - available).max(0)),
        ];
        counts.into_iter().filter(|(_, count)| *count > 0).for_each(|(field, count)| status[field] = count.into());
        if !old["collisionCount"].is_null() {
            status["collisionCount"] = old["collisionCount"].clone();
        }
        status["conditions"] = if old["conditions"].is_array() { old["conditions"].clone() } else { json!([]) };
        let has_minimum = available >= self.deployment.replicas - self.deployment.unavailable;
        let availability = if has_minimum {
            json!({"status": "True", "reason": "MinimumReplicasAvailable", "message": "Deployment has minimum availability."})
        } else {
            json!({"status": "False", "reason": "MinimumReplicasUnavailable", "message": "Deployment does not have minimum availability."})
        };
        let mut availability = availability;
        availability["type"] = "Available".into();
        set_condition(&mut status["conditions"], availability, self.cx.now);
        status
    }

    /// Whether the last rollout is over and nothing else is afoot.
    fn is_at_rest(&self, status: &Value) -> bool {
        status["replicas"] == status["updatedReplicas"]
            && self.deployment.progressing().is_some_and(|progressing| progressing["reason"] == "NewReplicaSetAvailable")
    }

    fn judge(&self, status: &mut Value, new: Option<usize>, deadline: i64) {
        let subject = match new {
            Some(new) => format!("ReplicaSet \"{}\"", self.sets[new].name),
            None => format!("Deployment \"{}\"", self.deployment.name),
        };
        let progressing = |status: &str, reason: &str, what: &str| json!({"type": "Progressing", "status": status, "reason": reason, "message": format!("{subject} {what}.")});
        let conditions = &mut status["conditions"].take();
        if self.is_done(status) {
            set_condition(conditions, progressing("True", "NewReplicaSetAvailable", "has successfully progressed"), self.cx.now);
        } else if self.has_progressed(status) {
            self.note_progress(conditions, progressing("True", "ReplicaSetUpdated", "is progressing"));
        } else if self.is_late(conditions, deadline) {
            set_condition(conditions, progressing("False", "ProgressDeadlineExceeded", "has timed out progressing"), self.cx.now);
        }
        status["conditions"] = conditions.take();
    }

    fn is_done(&self, status: &Value) -> bool {
        let number = |field: &str| status[field].as_i64().unwrap_or_default();
        ["updatedReplicas", "replicas", "availableReplicas"].iter().all(|field| number(field) == self.deployment.replicas)
    }

    fn has_progressed(&self, status: &Value) -> bool {
        let number = |field: &str| status[field].as_i64().unwrap_or_default();
        let grown = |field: &str| number(field) > self.deployment.status(field);
        let old_pods = number("replicas") - number("updatedReplicas");
        let old_pods_before = self.deployment.status("replicas") - self.deployment.status("updatedReplicas");
        grown("updatedReplicas") || old_pods < old_pods_before || grown("readyReplicas") || grown("availableReplicas")
    }

    /// Each step forward moves `lastUpdateTime`, from which the deadline counts.
    fn note_progress(&self, conditions: &mut Value, mut new: Value) {
        let stamp: Value = stamp(self.cx.now).into();
        new["lastUpdateTime"] = stamp.clone();
        new["lastTransitionTime"] = stamp;
        if let Some(old) = self.deployment.progressing().filter(|old| old["status"] == "True") {
            new["lastTransitionTime"] = old["lastTransitionTime"].clone();
        }
        remove_condition(conditions, "Progressing");
        if let Some(conditions) = conditions.as_array_mut() {
            conditions.push(new);
        }
    }

    fn is_late(&self, conditions: &Value, deadline: i64) -> bool {
        let Some(progressing) = condition(conditions, "Progressing") else { return false };
        match progressing["reason"].as_str() {
            Some("NewReplicaSetAvailable") => false,
            Some("ProgressDeadlineExceeded") => true,
            _ => time(&progressing["lastUpdateTime"]).is_some_and(|last| last + chrono::TimeDelta::seconds(deadline) < self.cx.now),
        }
    }

    /// A ReplicaSet that cannot make its pods is its Deployment's failure; the new one's first.
    fn take_over_failures(&self, status: &mut Value, new: Option<usize>) {
        let failure = |set: &Set| condition(&set.object["status"]["conditions"], "ReplicaFailure").cloned();
        let failure = new.and_then(|new| failure(&self.sets[new])).or_else(|| self.sets.iter().find_map(failure));
        match failure {
            Some(failure) => drop(set_condition(&mut status["conditions"], failure, self.cx.now)),
            None => remove_condition(&mut status["conditions"], "ReplicaFailure"),
        }
    }

    /// When to see whether the deadline has passed.
    fn deadline_check(&self, is_done: bool) -> Option<Duration> {
        let progressing = self.deployment.progressing()?;
        let deadline = chrono::TimeDelta::seconds(self.deployment.deadline?);
        if is_done || progressing["reason"] == "ProgressDeadlineExceeded" {
            return None;
        }
        let left = between(self.cx.now, time(&progressing["lastUpdateTime"])? + deadline);
        Some(if left < Duration::from_secs(1) { left + RETRY } else { left + Duration::from_secs(1) })
    }
}
