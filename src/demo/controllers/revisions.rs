//! ControllerRevisions: what StatefulSets and DaemonSets remember of their templates.

use serde_json::{Value, json};

use super::objects::{pod_template_hash, same};
use crate::demo::{
    refusal::Refusal,
    registry::controlled_by,
    sim::Cx,
    store::{Key, Store, Stored},
};

pub const REVISIONS: &str = "controllerrevisions.apps";

/// Names are cut to leave room for the hash.
const LONGEST: usize = 223;

/// One remembered template.
#[derive(Debug, Clone)]
pub struct Revision {
    pub key: Key,
    pub object: Value,
    /// The higher, the later it was wanted.
    pub number: i64,
}

impl Revision {
    fn new(stored: &Stored) -> Self {
        let object = stored.value();
        Self { key: stored.key.clone(), number: object["revision"].as_i64().unwrap_or_default(), object }
    }

    pub fn name(&self) -> &str {
        &self.key.name
    }

    pub fn label(&self, name: &str) -> &str {
        self.object["metadata"]["labels"][name].as_str().unwrap_or_default()
    }

    /// Whether `owner` asks for what this one remembers.
    pub fn is_of(&self, owner: &Value) -> bool {
        same(&self.object["data"], &data(owner))
    }

    /// `owner` as it would be with this template.
    pub fn applied(&self, owner: &Value) -> Value {
        let mut object = owner.clone();
        object["spec"]["template"] = self.object["data"]["spec"]["template"].clone();
        if let Some(template) = object["spec"]["template"].as_object_mut() {
            template.remove("$patch");
        }
        object
    }
}

/// Those of an owner (a uid), lowest number first.
pub fn of(store: &Store, owner: &str) -> Vec<Revision> {
    let mut all: Vec<Revision> = store.owned(REVISIONS, owner).map(|stored| Revision::new(stored)).collect();
    all.sort_by(|a, b| {
        let age = |revision: &Revision| revision.object["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
        a.number.cmp(&b.number).then_with(|| age(a).cmp(&age(b))).then_with(|| a.name().cmp(b.name()))
    });
    all
}

/// A strategic merge patch that brings the template of `owner` back.
fn data(owner: &Value) -> Value {
    let mut template = owner["spec"]["template"].clone();
    template["$patch"] = "replace".into();
    json!({"spec": {"template": template}})
}

/// Remembers the template of `owner`. `hash_label` gets the hash; a name that another template has counts as a collision.
pub fn create(cx: &mut Cx<'_>, owner: &Value, hash_label: &str, number: i64, collisions: &mut i64) -> Result<Revision, Refusal> {
    let metadata = &owner["metadata"];
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    let prefix: String = metadata["name"].as_str().unwrap_or_default().chars().take(LONGEST).collect();
    loop {
        let data = data(owner);
        let hash = pod_template_hash(&if *collisions == 0 { data.clone() } else { json!([data, collisions]) });
        let key = Key::new(REVISIONS, namespace, &format!("{prefix}-{hash}"));
        let mut labels = owner["spec"]["template"]["metadata"]["labels"].clone();
        labels[hash_label] = hash.into();
        let mut revision = json!({
            "metadata": {"name": &*key.name, "namespace": namespace, "labels": labels, "ownerReferences": [controlled_by(owner)]},
            "data": data, "revision": number,
        });
        if !metadata["annotations"].is_null() {
            revision["metadata"]["annotations"] = metadata["annotations"].clone();
        }
        match cx.create(REVISIONS, revision) {
            Ok(object) => return Ok(Revision { key, object, number }),
            Err(refusal) if refusal.code == 409 => match cx.store.get(&key).map(|found| Revision::new(found)) {
                Some(found) if found.is_of(owner) => return Ok(found),
                _ => *collisions += 1,
            },
            Err(refusal) => return Err(refusal),
        }
    }
}

/// Gives a revision another number: it is wanted again.
pub fn renumber(cx: &mut Cx<'_>, revision: &Revision, number: i64) -> Result<Revision, Refusal> {
    let object = cx.patch(&revision.key, &json!({"revision": number}))?;
    Ok(Revision { key: revision.key.clone(), object, number })
}
