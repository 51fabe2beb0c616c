//! Ephemeral metadata: labels and annotations that pods wear while their version is the canary, the preview or the
//! stable one.

use serde_json::json;

use super::{
    names,
    pass::{Outcome, Pass},
    spec::PodMetadata,
    template,
};

impl Pass<'_, '_> {
    /// What pods of the new and of the stable version wear.
    pub fn clothes(&self) -> (Option<&PodMetadata>, Option<&PodMetadata>) {
        match (self.spec.blue_green(), self.spec.canary()) {
            (Some(blue_green), _) => (blue_green.preview_metadata.as_ref(), blue_green.active_metadata.as_ref()),
            (_, Some(canary)) => (canary.canary_metadata.as_ref(), canary.stable_metadata.as_ref()),
            _ => (None, None),
        }
    }

    /// Dresses pods for the role of their version.
    pub fn dress_pods(&mut self) -> Outcome {
        let (new, stable) = self.clothes();
        if new.is_none() && stable.is_none() {
            return Ok(());
        }
        let (new, stable) = (new.cloned(), stable.cloned());
        let is_done = self.status.stable_rs.is_empty() || self.status.stable_rs == Self::hash_of(self.new_set());
        for index in 0..self.sets.len() {
            let wanted = match Some(index) {
                at if at == self.new && is_done => &stable,
                at if at == self.new => &new,
                at if at == self.stable => &stable,
                _ => &None,
            };
            self.dress_set(index, wanted.as_ref())?;
        }
        Ok(())
    }

    /// First the version, so that new pods are right, then the pods it has.
    fn dress_set(&mut self, index: usize, wanted: Option<&PodMetadata>) -> Outcome {
        let (name, uid) = (self.sets[index].name().to_owned(), self.sets[index].metadata.uid.clone());
        let before = serde_json::from_str(self.sets[index].metadata.annotation(names::EPHEMERAL_METADATA)).ok();
        let Some(mut object) = self.cx.get(names::REPLICA_SETS, &self.meta.namespace, &name) else { return Ok(()) };
        if template::dress(&mut object["spec"]["template"]["metadata"], before.as_ref(), wanted) {
            let note = wanted.map(|wanted| json!(wanted).to_string());
            object["metadata"]["annotations"][names::EPHEMERAL_METADATA] = json!(note);
            if note.is_none()
                && let Some(annotations) = object["metadata"]["annotations"].as_object_mut()
            {
                annotations.remove(names::EPHEMERAL_METADATA);
            }
            self.sets[index] = serde_json::from_value(self.cx.update(names::REPLICA_SETS, object)?).unwrap_or_default();
        }
        if self.sets[index].spec.replicas == 0 {
            return Ok(());
        }
        for mut pod in self.cx.owned(names::PODS, &uid) {
            if template::dress(&mut pod["metadata"], before.as_ref(), wanted) {
                self.cx.update(names::PODS, pod)?;
            }
        }
        Ok(())
    }
}
