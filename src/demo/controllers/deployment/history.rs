//! The ReplicaSet of the wanted template, and those of earlier ones: revisions, annotations, cleaning up.

use super::*;

pub const REVISION: &str = "deployment.kubernetes.io/revision";
pub const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub const MAXIMUM: &str = "deployment.kubernetes.io/max-replicas";
const PAST_REVISIONS: &str = "deployment.kubernetes.io/revision-history";

/// Annotations of a Deployment that its ReplicaSets do not get.
const OWN: &[&str] =
    &["kubectl.kubernetes.io/last-applied-configuration", REVISION, PAST_REVISIONS, DESIRED, MAXIMUM, "deprecated.deployment.rollback.to"];

impl Pass<'_, '_> {
    /// Finds the ReplicaSet of the wanted template and brings revisions and annotations up to date.
    pub fn sync_new(&mut self) -> Result<Option<usize>, Refusal> {
        let Some(new) = self.find_new() else { return Ok(None) };
        let revision = self.next_revision(Some(new));
        let mut object = self.sets[new].object.clone();
        let is_outdated = object["spec"]["minReadySeconds"].as_i64().unwrap_or_default() != self.deployment.min_ready;
        if annotate(&mut object, &self.deployment, revision) || is_outdated {
            if is_outdated {
                object["spec"]["minReadySeconds"] = self.deployment.min_ready.into();
            }
            self.sets[new] = Set::new(self.cx.update(REPLICA_SETS, object)?);
            return Ok(Some(new));
        }
        let revision = self.sets[new].annotation(REVISION).unwrap_or_default().to_owned();
        let found = format!("Found new replica set \"{}\"", self.sets[new].name);
        let is_first = self.deployment.progressing().is_none();
        self.note_revision(&revision, is_first.then_some(("FoundNewReplicaSet", &found)))?;
        Ok(Some(new))
    }

    /// The ReplicaSet of the wanted template, made if it is not there.
    pub fn ensure_new(&mut self, new: Option<usize>) -> Result<usize, Refusal> {
        match new {
            Some(new) => Ok(new),
            None => self.create_new(),
        }
    }

    fn create_new(&mut self) -> Result<usize, Refusal> {
        let revision = self.next_revision(None);
        let wanted = if self.deployment.is_rolling { self.room(0).max(0) } else { self.deployment.replicas };
        let mut object = new_set(&self.deployment, wanted);
        annotate(&mut object, &self.deployment, revision);
        mark_size(&mut object, &self.deployment);
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let created = match self.cx.create(REPLICA_SETS, object) {
            Ok(created) => Set::new(created),
            Err(refusal) => {
                let message = format!("Failed to create new replica set \"{name}\": {}", refusal.message);
                if self.deployment.deadline.is_some() {
                    self.progress("False", "ReplicaSetCreateError", &message)?;
                }
                events::record(self.cx, &self.deployment.object, "Warning", "ReplicaSetCreateError", &message);
                return Err(refusal);
            }
        };
        if wanted > 0 {
            let message = format!("Scaled up replica set {name} from 0 to {wanted}");
            events::record(self.cx, &self.deployment.object, "Normal", "ScalingReplicaSet", &message);
        }
        if self.cx.workloads.is_prehistory(self.cx.now) {
            // The next pass is soon enough when it has pods.
            self.own.push(self.cx.store.revision());
        }
        self.sets.push(created);
        let made = format!("Created new replica set \"{name}\"");
        self.note_revision(&revision.to_string(), Some(("NewReplicaSetCreated", &made)))?;
        Ok(self.sets.len() - 1)
    }

    /// One more than the highest of the others.
    fn next_revision(&self, new: Option<usize>) -> i64 {
        self.old(new).iter().filter_map(|set| set.count(REVISION)).max().unwrap_or_default() + 1
    }

    /// Writes the revision, and with it that (reason and message) there is progress.
    fn note_revision(&mut self, revision: &str, progress: Option<(&str, &str)>) -> Result<(), Refusal> {
        let annotations = &mut self.deployment.object["metadata"]["annotations"];
        let is_news = annotations[REVISION] != revision;
        annotations[REVISION] = revision.into();
        let progress = progress.filter(|_| self.deployment.deadline.is_some());
        let has_progressed = progress.is_some_and(|(reason, message)| self.set_progress("True", reason, message));
        if is_news {
            self.store_whole();
        } else if has_progressed {
            self.store_status()?;
        }
        Ok(())
    }

    /// Deletes the oldest ReplicaSets beyond what is to be kept.
    pub fn clean_up(&mut self, new: impl Into<Option<usize>>) -> Result<(), Refusal> {
        let Some(limit) = self.deployment.history else { return Ok(()) };
        let mut old = self.old(new.into());
        old.retain(|set| set.object["metadata"]["deletionTimestamp"].is_null());
        old.sort_by_key(|set| (set.count(REVISION).unwrap_or_default(), set.created, set.name.clone()));
        let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or_default());
        let is_idle = |set: &&&Set| {
            set.status("replicas") == 0
                && set.replicas == 0
                && set.status("observedGeneration") >= set.object["metadata"]["generation"].as_i64().unwrap_or_default()
        };
        let gone: Vec<Key> = old.iter().take(surplus).filter(is_idle).map(|set| key_of(REPLICA_SETS, &set.object)).collect();
        gone.iter().try_for_each(|key| self.cx.delete(key).map(drop))
    }
}

pub fn new_set(deployment: &Deployment, replicas: i64) -> Value {
    let spec = &deployment.object["spec"];
    let mut template = spec["template"].clone();
    let hash = pod_template_hash(&template);
    template["metadata"]["labels"][HASH_LABEL] = hash.as_str().into();
    let mut selector = spec["selector"].clone();
    selector["matchLabels"][HASH_LABEL] = hash.as_str().into();
    let mut set = json!({
        "metadata": {
            "name": format!("{}-{hash}", deployment.name),
            "namespace": deployment.object["metadata"]["namespace"],
            "labels": template["metadata"]["labels"],
            "ownerReferences": [controlled_by(&deployment.object)],
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    });
    if deployment.min_ready > 0 {
        set["spec"]["minReadySeconds"] = deployment.min_ready.into();
    }
    set
}

/// Gives a ReplicaSet the annotations of its Deployment and its revision. Returns whether anything changed.
fn annotate(set: &mut Value, deployment: &Deployment, revision: i64) -> bool {
    let before = set["metadata"]["annotations"].clone();
    let annotations = &mut set["metadata"]["annotations"];
    for (name, value) in deployment.object["metadata"]["annotations"].as_object().into_iter().flatten() {
        if !OWN.contains(&name.as_str()) {
            annotations[name] = value.clone();
        }
    }
    let had = annotations[REVISION].as_str().map(str::to_owned);
    let number = had.as_deref().map_or(Some(0), |had| had.parse::<i64>().ok());
    if number.is_some_and(|number| number < revision) {
        annotations[REVISION] = revision.to_string().into();
        if let Some(had) = had {
            let past = annotations[PAST_REVISIONS].as_str().filter(|past| !past.is_empty());
            annotations[PAST_REVISIONS] = past.map_or(had.clone(), |past| format!("{past},{had}")).into();
        }
    }
    before != *annotations
}

/// Notes on a ReplicaSet how many pods its Deployment asks for. Returns whether that is news.
pub fn mark_size(set: &mut Value, deployment: &Deployment) -> bool {
    let annotations = &mut set["metadata"]["annotations"];
    let mut put = |name: &str, count: i64| {
        let count = count.to_string();
        let is_news = annotations[name] != count.as_str();
        annotations[name] = count.into();
        is_news
    };
    let (desired, maximum) = (put(DESIRED, deployment.replicas), put(MAXIMUM, deployment.max_pods()));
    desired || maximum
}
