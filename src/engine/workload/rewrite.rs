//! Changes of a pod template that stands in a workload's spec: restart, another image.

use serde_json::{Value, json};

use super::{containers, edit::Edit, image};
use crate::{engine::Refusal, model::Time, object::Object};

/// The annotation kubectl writes; another key would be another tool's restart.
pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
pub const TEMPLATE: &str = "/spec/template";

/// A key as a part of a JSON pointer.
pub fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Marks the template, so that every pod is replaced by one like it; the time as it is written.
pub fn restart<'a>(edit: Edit<'a>, root: &Object, now: Time) -> (Edit<'a>, String) {
    let at = now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    (annotate(edit, &format!("{TEMPLATE}/metadata"), RESTARTED_AT, &at, &root.value()), at)
}

/// Sets an annotation, also where there are none yet: the server refuses a path whose parent is absent.
fn annotate<'a>(edit: Edit<'a>, metadata: &str, key: &str, value: &str, read: &Value) -> Edit<'a> {
    let all = format!("{metadata}/annotations");
    if read.pointer(&all).is_some_and(Value::is_object) {
        let path = format!("{all}/{}", escaped(key));
        return edit.same(&path).set(&path, value.into());
    }
    if read.pointer(metadata).is_some_and(Value::is_object) {
        return edit.same(&all).set(&all, json!({ key: value }));
    }
    edit.same(metadata).set(metadata, json!({"annotations": { key: value }}))
}

/// Another image for one container; the edit and the image it has.
///
/// # Errors
/// What is wrong with the image, or that there is no such container, or that it has that image.
pub fn image<'a>(edit: Edit<'a>, root: &Object, template: &str, container: &str, image: &str) -> Result<(Edit<'a>, String), Refusal> {
    if let Err(wrong) = image::check(image) {
        let sample = "such as registry.example:5000/team/app:v2";
        return Err(Refusal::because(format!("{image:?} is no image name: {wrong}")).instead(sample, None));
    }
    let read = root.value();
    let (at, old) = containers::find(&read, template, container).ok_or_else(|| no_container(&read, template, container))?;
    if old == image {
        let already = format!("container {container} already has image {image}");
        return Err(Refusal::because(already).instead("name another tag or digest", None));
    }
    let path = format!("{at}/image");
    Ok((edit.same(&format!("{at}/name")).same(&path).set(&path, image.into()), old))
}

fn no_container(read: &Value, template: &str, name: &str) -> Refusal {
    let known = read.pointer(template).map(containers::all).unwrap_or_default();
    let known: Vec<String> = known.into_iter().map(|(n, _)| n.to_string()).collect();
    Refusal::because(format!("there is no container {name}")).instead(format!("containers: {}", known.join(", ")), None)
}
