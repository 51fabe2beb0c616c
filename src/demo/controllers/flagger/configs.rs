//! ConfigMaps and Secrets of the target's pods: a change of one is a release, and the primary has its own copies.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    names::{CONFIG_MAPS, SECRETS},
    tick::Tick,
};
use crate::demo::controllers::objects::hash;

const DISABLED: &str = "flagger.app/config-tracking";

/// Types of Secrets that are followed; those for registries are not.
const FOLLOWED: [&str; 4] = ["Opaque", "kubernetes.io/basic-auth", "kubernetes.io/ssh-auth", "kubernetes.io/tls"];

/// `configmap` or `secret`, and the kind of the object.
type Type = (&'static str, &'static str);
const MAP: Type = ("configmap", CONFIG_MAPS);
const SECRET: Type = ("secret", SECRETS);

/// Where a volume or a projected source names one: type, field, and the name within it.
const VOLUMES: [(Type, &str, &str); 2] = [(MAP, "configMap", "name"), (SECRET, "secret", "secretName")];
const SOURCES: [(Type, &str, &str); 2] = [(MAP, "configMap", "name"), (SECRET, "secret", "name")];
const VARIABLES: [(Type, &str, &str); 2] = [(MAP, "configMapKeyRef", "name"), (SECRET, "secretKeyRef", "name")];
const ALL_OF: [(Type, &str, &str); 2] = [(MAP, "configMapRef", "name"), (SECRET, "secretRef", "name")];

/// Shows every reference of a pod spec: its type, the field that holds the name, and whether the object must be there.
fn each(spec: &mut Value, containers: &[&str], see: &mut impl FnMut(Type, &mut Value, bool)) {
    for volume in list(spec, "/volumes") {
        look(volume, &VOLUMES, see);
        list(volume, "/projected/sources").for_each(|source| look(source, &SOURCES, see));
    }
    for containers in containers {
        for container in list(spec, containers) {
            list(container, "/env").filter_map(|variable| variable.get_mut("valueFrom")).for_each(|from| look(from, &VARIABLES, see));
            list(container, "/envFrom").for_each(|from| look(from, &ALL_OF, see));
        }
    }
}

/// Indexing what may be changed would leave nulls behind.
fn list<'a>(value: &'a mut Value, path: &str) -> impl Iterator<Item = &'a mut Value> {
    value.pointer_mut(path).and_then(Value::as_array_mut).into_iter().flatten()
}

fn look(at: &mut Value, places: &[(Type, &str, &str)], see: &mut impl FnMut(Type, &mut Value, bool)) {
    for (of, field, name) in places {
        if let Some(reference) = at.get_mut(*field).filter(|reference| reference[*name].is_string()) {
            let is_needed = reference["optional"] != true;
            see(*of, &mut reference[*name], is_needed);
        }
    }
}

impl Tick<'_, '_> {
    /// Those that are followed, by `type/name`, with a checksum of what is in them.
    fn configs(&self, target: &Value) -> Result<BTreeMap<String, (Type, String, String)>, String> {
        let mut found = BTreeMap::new();
        each(&mut target["spec"]["template"]["spec"].clone(), &["/containers", "/initContainers"], &mut |of, name, needed| {
            found.insert((of, name.as_str().unwrap_or_default().to_owned()), needed);
        });
        let mut followed = BTreeMap::new();
        for ((of, name), needed) in found {
            let Some(object) = self.cx.get(of.1, &self.key.namespace, &name) else {
                if needed {
                    let about = format!("{} {name}.{} get query error", of.0, self.key.namespace);
                    return Err(format!("GetTargetConfigs failed: {about}: {about}: {} {name:?} not found", of.1));
                }
                continue;
            };
            let is_off = object["metadata"]["annotations"][DISABLED].as_str().is_some_and(|value| value.starts_with("disable"));
            let is_ours = of == MAP || FOLLOWED.iter().any(|kind| object["type"] == *kind);
            if !is_off && is_ours {
                followed.insert(format!("{}/{name}", of.0), (of, name, format!("{:016x}", hash(&[&object["data"].to_string()]))));
            }
        }
        Ok(followed)
    }

    /// As the status keeps them.
    pub fn tracked_configs(&self) -> Result<BTreeMap<String, String>, String> {
        let configs = self.configs(&self.target()?).map_err(|why| format!("GetConfigRefs failed: {why}"))?;
        Ok(configs.into_iter().map(|(name, (.., checksum))| (name, checksum)).collect())
    }

    pub fn have_configs_changed(&self) -> Result<bool, String> {
        let now = self.tracked_configs()?;
        Ok(self.status.tracked_configs.as_ref().map_or(!now.is_empty(), |before| *before != now))
    }

    /// The primary's copies.
    pub fn create_primary_configs(&mut self, target: &Value) -> Result<(), String> {
        for (of, name, _) in self.configs(target)?.into_values() {
            let Some(object) = self.cx.get(of.1, &self.key.namespace, &name) else { continue };
            let copy = format!("{name}-primary");
            let mut wanted = json!({
                "metadata": {"name": copy, "namespace": *self.key.namespace, "ownerReferences": [self.owner()]}, "data": object["data"],
            });
            if of == SECRET {
                wanted["type"] = object["type"].clone();
            }
            let (verb, done) = match self.cx.get(of.1, &self.key.namespace, &copy) {
                Some(_) => ("updating", self.cx.update(of.1, wanted)),
                None => ("creating", self.cx.create(of.1, wanted)),
            };
            done.map_err(|refusal| {
                format!("CreatePrimaryConfigs failed: {verb} {} {copy}.{} failed: {}", of.0, self.key.namespace, refusal.message)
            })?;
        }
        Ok(())
    }

    /// The primary's pods read the copies. As with the real one, init containers go on reading the originals.
    pub fn use_primary_configs(&self, target: &Value, spec: &mut Value) {
        let followed = self.configs(target).unwrap_or_default();
        each(spec, &["/containers"], &mut |of, name, _| {
            let text = name.as_str().unwrap_or_default();
            if followed.contains_key(&format!("{}/{text}", of.0)) {
                *name = format!("{text}-primary").into();
            }
        });
    }
}
