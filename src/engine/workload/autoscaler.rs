//! Autoscalers: who else sets the number of pods of a workload.

use super::dto::{Condition, Int, dto};
use crate::{
    model::Text,
    object::{Object, Objects, Selection, kinds},
};

dto! {
    Hpa { metadata: super::dto::Metadata, spec: Spec, status: Status, }
    Spec { scale_target_ref: Target, min_replicas: Option<Int>, max_replicas: Int, }
    Target { api_version: String, kind: String, name: String, }
    Status { conditions: Vec<Condition>, }
}

/// KEDA makes an ordinary autoscaler and marks it.
const KEDA: &str = "scaledobject.keda.sh/name";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Autoscaler {
    /// What people know it by: `HPA web`, `KEDA web`.
    pub called: Text,
    pub min: u32,
    pub max: u32,
}

impl Autoscaler {
    /// Where it would take a number of pods that somebody else has set.
    pub fn nearest(&self, replicas: u32) -> u32 {
        replicas.clamp(self.min, self.max.max(self.min))
    }

    pub fn range(&self) -> String {
        format!("{} ({} to {} pods)", self.called, self.min, self.max)
    }
}

/// All autoscalers of the root's namespace: what one is for stands inside it, where no selector reaches.
pub fn selection(root: &Object) -> Selection {
    Selection::all(&kinds::AUTOSCALER, &*root.meta.namespace)
}

/// The autoscaler of a workload in words. Known while its rollout is open.
pub fn of_root(objects: &Objects, root: &Object) -> Option<String> {
    find(objects, root).map(|auto| auto.range())
}

/// The autoscaler of a workload, if there is one at hand.
pub fn find(objects: &Objects, workload: &Object) -> Option<Autoscaler> {
    let mut all = objects.within(&kinds::AUTOSCALER, &workload.meta.namespace).filter_map(|o| o.read::<Hpa>().ok());
    let found = all.find(|hpa| aims_at(&hpa.spec.scale_target_ref, workload))?;
    let keda = found.metadata.label(KEDA);
    let called = if keda.is_empty() { format!("HPA {}", found.metadata.name) } else { format!("KEDA {keda}") };
    Some(Autoscaler { called: called.into(), min: found.spec.min_replicas.map_or(1, Int::count), max: found.spec.max_replicas.count() })
}

/// Versions of a group name the same object.
fn aims_at(target: &Target, workload: &Object) -> bool {
    let group = target.api_version.split_once('/').map_or("", |(group, _)| group);
    target.kind == workload.resource.kind && target.name == *workload.meta.name && group == workload.resource.group
}
