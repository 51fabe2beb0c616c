//! ControllerRevisions: the kept versions of a StatefulSet or a DaemonSet, and which pod runs which.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{
    dto::{self, Int, Metadata, Template, dto},
    edit::Edit,
    pods,
    rewrite::{TEMPLATE, escaped},
    selector,
};
use crate::{
    engine::Refusal,
    model::{Pod, Text},
    object::{Object, Objects, Selection, kinds},
};

/// On every pod, and on a DaemonSet's revisions; a StatefulSet's pods carry the whole name of their revision in it.
pub const HASH_LABEL: &str = "controller-revision-hash";
pub const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

dto! {
    Kept { metadata: Metadata, data: Data, revision: Int, }
    Data { spec: DataSpec, }
    DataSpec { template: Template, }
}

/// A version that can be gone back to.
#[derive(Debug)]
pub struct Revision<'a> {
    pub object: &'a Object,
    /// Undo renumbers: it orders versions and names none for long.
    pub number: i64,
    /// What the pods of this version carry in [`HASH_LABEL`].
    pub hash: String,
    pub change_cause: String,
    template: Template,
}

/// What to watch while a workload that keeps its versions this way is open.
pub fn selections(root: &Object, selector: &dto::Selector) -> Vec<Selection> {
    let terms = selector::terms(selector);
    let by_labels = |kind, terms: &[&str]| Selection::labelled(kind, &*root.meta.namespace, terms.join(","));
    let own: Vec<&str> = terms.iter().map(String::as_str).collect();
    let of_pods: Vec<&str> = own.iter().copied().chain([HASH_LABEL]).collect();
    vec![by_labels(&kinds::CONTROLLER_REVISION, &own), by_labels(&kinds::POD, &of_pods), Selection::events(root)]
}

impl Revision<'_> {
    /// Its pod template as the workload had it. What is kept is a patch that says so of itself.
    pub fn template(&self) -> Option<Value> {
        let mut template = self.object.value().pointer("/data/spec/template")?.clone();
        template.as_object_mut()?.remove("$patch");
        Some(template)
    }

    pub fn images(&self) -> Vec<Text> {
        self.template.spec.containers.iter().map(|c| Text::from(&c.image)).collect()
    }

    /// `app:v1, proxy:v7`.
    pub fn all_images(&self) -> String {
        let all: Vec<&str> = self.template.spec.containers.iter().map(|c| c.image.as_str()).collect();
        all.join(", ")
    }

    /// One line of the list to choose from.
    pub fn called(&self, state: &str) -> Text {
        let short: Vec<&str> = self.template.spec.containers.iter().map(|c| c.image.rsplit('/').next().unwrap_or("")).collect();
        let cause = if self.change_cause.is_empty() { String::new() } else { format!(" · {}", self.change_cause) };
        format!("revision {} · {state} · {} · {}{cause}", self.number, short.join(", "), self.hash).into()
    }
}

/// Those an object owns, newest first.
pub fn kept<'a>(objects: &'a Objects, owner: &str) -> Vec<Revision<'a>> {
    let owned = objects.iter(&kinds::CONTROLLER_REVISION).filter(|o| o.meta.owner.as_ref().is_some_and(|r| r.uid == *owner));
    let mut kept: Vec<Revision<'a>> = owned.filter_map(|o| read(o)).collect();
    kept.sort_by(|a, b| b.number.cmp(&a.number).then_with(|| a.hash.cmp(&b.hash)));
    kept
}

fn read(object: &Object) -> Option<Revision<'_>> {
    let kept: Kept = object.read().ok()?;
    let label = kept.metadata.label(HASH_LABEL);
    let hash = if label.is_empty() { object.meta.name.to_string() } else { label.to_owned() };
    let change_cause = kept.metadata.annotation(CHANGE_CAUSE).to_owned();
    Some(Revision { object, number: kept.revision.0, hash, change_cause, template: kept.data.spec.template })
}

/// A pod and the version it runs.
#[derive(Debug, Clone)]
pub struct Versioned {
    pub hash: String,
    pub pod: Pod,
}

/// Pods an object owns, those in trouble first.
pub fn pods(objects: &Objects, owner: &str) -> Vec<Versioned> {
    let hash = |o: &Object| Some((o.meta.name.clone(), o.read::<dto::Pod>().ok()?.metadata.label(HASH_LABEL).to_owned()));
    let mut hashes: HashMap<Text, String> = objects.owned_by(&kinds::POD, owner).filter_map(|o| hash(o)).collect();
    let all = pods::pods(objects, owner).into_iter();
    all.map(|pod| Versioned { hash: hashes.remove(&pod.name).unwrap_or_default(), pod }).collect()
}

/// The template of an earlier version, of which a revision is kept.
///
/// # Errors
/// A revision that holds no template.
pub fn put_back<'a>(edit: Edit<'a>, root: &Object, to: &Revision<'_>) -> Result<Edit<'a>, Refusal> {
    let template = to.template().ok_or_else(|| Refusal::because("the revision has no template to go back to"))?;
    Ok(restore(edit, root, template, &to.change_cause))
}

/// An earlier version's template and its change cause: that of another change must not stay there.
pub fn restore<'a>(edit: Edit<'a>, root: &Object, template: Value, cause: &str) -> Edit<'a> {
    let edit = edit.set(TEMPLATE, template);
    let read = root.value();
    let annotations = read.pointer("/metadata/annotations").and_then(Value::as_object);
    let was = annotations.and_then(|all| all.get(CHANGE_CAUSE)).and_then(Value::as_str).unwrap_or("");
    if cause == was {
        return edit;
    }
    let path = format!("/metadata/annotations/{}", escaped(CHANGE_CAUSE));
    match (cause, annotations.is_some()) {
        ("", _) => edit.same(&path).remove_if_there(&path),
        (cause, true) => edit.same(&path).set(&path, cause.into()),
        (cause, false) => edit.same("/metadata/annotations").set("/metadata/annotations", json!({ CHANGE_CAUSE: cause })),
    }
}
