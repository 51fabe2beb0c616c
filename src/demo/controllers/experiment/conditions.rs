//! Conditions of an Experiment, and what makes its spec unusable.

use chrono::SubsecRound;
use serde_json::{Value, json};

use super::{Experiment, status::Status};
use crate::{
    demo::controllers::{
        analysis::{is_final, list},
        objects::{condition, remove_condition, set_condition},
    },
    model::Time,
};

/// The condition that says what is wrong with the spec. `None`: nothing.
pub fn invalid(experiment: &Experiment) -> Option<Value> {
    let mut names: Vec<&str> = Vec::new();
    for (index, template) in list(&experiment.object["spec"]["templates"]).iter().enumerate() {
        let name = template["name"].as_str().unwrap_or_default();
        let selector = &template["selector"];
        let wrong = if selector.is_null() {
            format!("Rollout has missing field '.Spec.Templates[{index}].Selector'")
        } else if is_everything(selector) {
            format!("This experiment is selecting all pods at index {index}. A non-empty selector is required.")
        } else if template["minReadySeconds"].as_i64().unwrap_or_default() > experiment.progress_deadline() {
            format!("MinReadySeconds cannot be longer than ProgressDeadlineSeconds. Check template index {index}")
        } else if name.is_empty() {
            format!("Experiment {} has empty template name at index {index}", experiment.name())
        } else if names.contains(&name) {
            format!("Experiment {} has repeated template name '{name}' in templates", experiment.name())
        } else {
            names.push(name);
            continue;
        };
        return Some(json!({"type": INVALID, "status": "True", "reason": INVALID, "message": wrong}));
    }
    None
}

pub const INVALID: &str = "InvalidSpec";

fn is_everything(selector: &Value) -> bool {
    let empty = |field: &Value| field.is_null() || field.as_object().is_some_and(serde_json::Map::is_empty) || field == &json!([]);
    empty(&selector["matchLabels"]) && empty(&selector["matchExpressions"])
}

/// Brings the conditions of `new` up to date; `experiment` is as it was before the pass.
pub fn update(experiment: &Experiment, new: &mut Status, now: Time) {
    remove_condition(&mut new.conditions, INVALID);
    let now = now.trunc_subsecs(0);
    let name = experiment.name();
    let progressing =
        |status: &str, reason: &str, message: String| json!({"type": PROGRESSING, "status": status, "reason": reason, "message": message});
    if new.phase == "Successful" {
        let message = format!("Experiment \"{name}\" has successfully ran and completed.");
        set_condition(&mut new.conditions, progressing("False", "ExperimentCompleted", message), now);
    } else if has_moved(&experiment.status, new) {
        let mut condition = progressing("True", "ReplicaSetUpdated", format!("Experiment \"{name}\" is progressing."));
        restate(&experiment.status, new, &mut condition, now);
    } else if experiment.status.available_at.is_some() && !experiment.has_passed(now) {
        let message = format!("Experiment \"{name}\" is running.");
        set_condition(&mut new.conditions, progressing("True", "NewReplicaSetAvailable", message), now);
    }
}

const PROGRESSING: &str = "Progressing";

/// Progress is said again each time, with the moment it was.
fn restate(before: &Status, new: &mut Status, said: &mut Value, now: Time) {
    let current = condition(&before.conditions, PROGRESSING).cloned();
    if current.is_some() {
        remove_condition(&mut new.conditions, PROGRESSING);
    }
    set_condition(&mut new.conditions, said.take(), now);
    if let Some(current) = current.filter(|current| current["status"] == "True")
        && let Some(stated) = new.conditions.as_array_mut().and_then(|all| all.last_mut())
    {
        stated["lastTransitionTime"] = current["lastTransitionTime"].clone();
    }
}

fn has_moved(before: &Status, new: &Status) -> bool {
    let moved = |old: &super::status::Template| new.template(&old.name).is_some_and(|new| new.counts != old.counts);
    before.template_statuses.len() < new.template_statuses.len() || before.template_statuses.iter().any(moved)
}

/// Whether an experiment with this status has ended.
pub fn has_finished(status: &Status) -> bool {
    is_final(&status.phase)
}
