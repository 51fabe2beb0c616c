//! Who is a rollout in a namespace, and what belongs to whom: one workload is shown once.
//!
//! A Deployment may be a release of its own, or a part of one: the target of a Canary, one side of a blue-green, the
//! template of an Argo Rollout. The engines are asked in the order of their table, those with a controller first; what
//! one of them claims is no rollout for those behind it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Engine;
use crate::{
    model::{EngineKind, Text},
    object::{Object, Objects, Resource},
};

/// An object that is a part of a rollout, in the namespace of its root.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Part {
    pub resource: &'static Resource,
    pub name: Text,
}

/// One namespace.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Survey {
    /// Root objects by uid, and what drives them.
    pub rollouts: BTreeMap<Text, EngineKind>,
    /// The uid of the root each part belongs to.
    parts: HashMap<Part, Text>,
}

impl Survey {
    /// Uid of the rollout this object is a part of.
    pub fn owner(&self, object: &Object) -> Option<&Text> {
        self.parts.get(&Part { resource: object.resource, name: object.meta.name.clone() })
    }

    /// The rollout that an object is or is a part of, and what drives it.
    pub fn root_of(&self, object: &Object) -> Option<(Text, EngineKind)> {
        let uid = if self.rollouts.contains_key(&object.meta.uid) { &object.meta.uid } else { self.owner(object)? };
        Some((uid.clone(), *self.rollouts.get(uid)?))
    }

    /// Rollouts that were none before, were driven by something else, or had other parts.
    pub fn changed_since(&self, before: &Self) -> Vec<(Text, EngineKind)> {
        let mut changed: BTreeSet<Text> =
            self.rollouts.iter().filter(|(uid, kind)| before.rollouts.get(*uid) != Some(*kind)).map(|(uid, _)| uid.clone()).collect();
        let differs = |(part, root): &(&Part, &Text), other: &Self| other.parts.get(*part) != Some(*root);
        changed.extend(self.parts.iter().filter(|entry| differs(entry, before)).map(|(_, root)| root.clone()));
        changed.extend(before.parts.iter().filter(|entry| differs(entry, self)).map(|(_, root)| root.clone()));
        changed.into_iter().filter_map(|uid| Some((uid.clone(), *self.rollouts.get(&uid)?))).collect()
    }
}

/// Asks all engines about all objects of a namespace.
pub fn survey(engines: &[&'static dyn Engine], namespace: &str, objects: &Objects) -> Survey {
    let mut survey = Survey::default();
    for engine in engines {
        for root in engine.descriptor().roots.iter().flat_map(|kind| objects.within(kind, namespace)) {
            if survey.rollouts.contains_key(&root.meta.uid) || survey.owner(root).is_some() {
                continue;
            }
            let Some(parts) = engine.parts(root, objects) else { continue };
            if !engine.descriptor().is_controlled && parts.iter().any(|part| survey.parts.contains_key(part)) {
                continue;
            }
            survey.rollouts.insert(root.meta.uid.clone(), engine.kind());
            parts.into_iter().for_each(|part| _ = survey.parts.entry(part).or_insert_with(|| root.meta.uid.clone()));
        }
    }
    survey
}

/// What the survey reads of an object: while it is the same, the survey is.
///
/// Status changes a hundred times while a release moves; who belongs to whom does not.
pub fn is_reshaped(before: &Object, after: &Object) -> bool {
    // Kinds without a generation, such as Services, change rarely.
    after.meta.generation == 0
        || before.meta.generation != after.meta.generation
        || before.meta.owner != after.meta.owner
        || !before.is_marked_as(after)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        cluster::decode,
        engine::{ENGINES, argo::ARGO},
        object::kinds,
    };

    fn object(resource: &'static Resource, json: &Value) -> Object {
        decode::object(resource, json.to_string().as_bytes()).unwrap()
    }

    fn rollout(name: &str, more: &Value) -> Object {
        let metadata = json!({"namespace": "shop", "name": name, "uid": format!("uid of {name}"), "generation": 1});
        object(&kinds::ROLLOUT, &json!({"metadata": metadata, "spec": more}))
    }

    fn deployment(name: &str) -> Object {
        object(
            &kinds::DEPLOYMENT,
            &json!({"metadata": {"namespace": "shop", "name": name, "uid": format!("deployment {name}"), "generation": 1}}),
        )
    }

    #[test]
    fn a_deployment_that_a_rollout_takes_its_template_from_belongs_to_it() {
        let mut objects = Objects::default();
        objects.put(rollout("web", &json!({"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}})));
        let of_namespace = survey(ENGINES, "shop", &objects);
        assert_eq!(of_namespace.rollouts.into_iter().collect::<Vec<_>>(), [("uid of web".into(), EngineKind::Argo)]);
        let found = survey(&[&ARGO], "shop", &objects);
        assert_eq!(found.owner(&deployment("api")).map(|uid| &**uid), Some("uid of web"));
        assert_eq!(found.owner(&deployment("other")), None);
        assert!(survey(ENGINES, "elsewhere", &objects).rollouts.is_empty());
    }

    #[test]
    fn what_changed_is_who_came_and_whose_parts_are_others() {
        let mut objects = Objects::default();
        objects.put(rollout("plain", &json!({})));
        let nobody = Survey::default();
        let alone = survey(&[&ARGO], "shop", &objects);
        assert_eq!(alone.changed_since(&nobody), [("uid of plain".into(), EngineKind::Argo)]);
        assert!(alone.changed_since(&alone).is_empty());
        objects.put(rollout("web", &json!({"workloadRef": {"kind": "Deployment", "name": "api"}})));
        let both = survey(&[&ARGO], "shop", &objects);
        assert_eq!(both.changed_since(&alone), [("uid of web".into(), EngineKind::Argo)]);
        objects.put(rollout("web", &json!({"workloadRef": {"kind": "Deployment", "name": "other"}})));
        assert_eq!(survey(&[&ARGO], "shop", &objects).changed_since(&both), [("uid of web".into(), EngineKind::Argo)]);
    }

    #[test]
    fn status_alone_reshapes_nothing() {
        let with = |generation: i64, labels: &Value, status: i64| {
            let metadata = json!({"namespace": "shop", "name": "web", "uid": "u", "generation": generation, "labels": labels});
            object(&kinds::ROLLOUT, &json!({"metadata": metadata, "status": {"replicas": status}}))
        };
        let before = with(1, &json!({"a": "b"}), 1);
        assert!(!is_reshaped(&before, &with(1, &json!({"a": "b"}), 2)));
        assert!(is_reshaped(&before, &with(2, &json!({"a": "b"}), 1)));
        assert!(is_reshaped(&before, &with(1, &json!({"a": "c"}), 1)));
        assert!(is_reshaped(&with(0, &json!({}), 1), &with(0, &json!({}), 1)), "nothing tells");
    }
}
