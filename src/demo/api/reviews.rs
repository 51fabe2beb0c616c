//! Questions about one's rights and self.

use serde_json::{Value, json};

use super::{
    Answer, Call, User,
    rights::{self, Wish},
    write,
};
use crate::{
    demo::{
        kinds,
        refusal::{Problem, Refusal},
        registry::stamp,
        world::World,
    },
    model::Time,
};

/// Answers a review; which one, the kind of the call's target says.
pub fn answer(world: &World, call: &Call) -> Answer {
    let target = &call.target;
    let mut review = write::body(call);
    if !review.is_object() {
        review = json!({});
    }
    let answered = match target.kind.kind.as_str() {
        "SelfSubjectReview" => Ok(json!({"userInfo": {"username": call.user.name, "uid": call.user.name, "groups": call.user.groups}})),
        "SelfSubjectRulesReview" => rules(world, call, &review),
        "SelfSubjectAccessReview" => access(world, &call.user, &review),
        _ => subject(&review).and_then(|subject| access(world, &subject, &review)),
    };
    match answered {
        Ok(status) => Answer::Json(201, answered_review(call, review, status, world.clock.now())),
        Err(refusal) => refusal.into(),
    }
}

fn answered_review(call: &Call, review: Value, status: Value, now: Time) -> Value {
    let kind = &call.target.kind;
    let mut answer = json!({
        "kind": kind.kind, "apiVersion": kinds::api_version(&kind.group, &call.target.version), "metadata": {}, "status": status,
    });
    match kind.kind.as_str() {
        "SelfSubjectReview" => answer["metadata"]["creationTimestamp"] = stamp(now).into(),
        "SelfSubjectRulesReview" => answer["spec"] = json!({}),
        _ => answer["spec"] = review["spec"].clone(),
    }
    answer
}

fn invalid(field: &str, value: Value, detail: &str) -> Refusal {
    Refusal::invalid_options("", "authorization.k8s.io", "", &[Problem::invalid(field, &value, detail)])
}

fn subject(review: &Value) -> Result<User, Refusal> {
    let spec = &review["spec"];
    let groups: Vec<String> = spec["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let name = spec["user"].as_str().unwrap_or_default().to_owned();
    if name.is_empty() && groups.is_empty() {
        return Err(invalid("spec.user", json!(""), "at least one of user or group must be specified"));
    }
    Ok(User { name, groups })
}

fn access(world: &World, user: &User, review: &Value) -> Result<Value, Refusal> {
    let spec = &review["spec"];
    let (resource, other) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let text = |value: &'_ Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    if resource.is_null() == other.is_null() {
        return Err(if resource.is_null() {
            invalid("spec.resourceAttributes", Value::Null, "exactly one of nonResourceAttributes or resourceAttributes must be specified")
        } else {
            let shown = json!({"Path": other["path"], "Verb": other["verb"]});
            invalid("spec.nonResourceAttributes", shown, "cannot be specified in combination with resourceAttributes")
        });
    }
    let of = if resource.is_null() { other } else { resource };
    let (verb, group, plural) = (text(of, "verb"), text(of, "group"), text(of, "resource"));
    let (subresource, name, namespace, path) = (text(of, "subresource"), text(of, "name"), text(of, "namespace"), text(of, "path"));
    let wish = Wish {
        verb: &verb,
        group: &group,
        resource: &plural,
        subresource: &subresource,
        name: &name,
        namespace: Some(namespace.as_str()).filter(|namespace| !namespace.is_empty()),
        path: &path,
    };
    let verdict = world.look(|sim| rights::judge(&sim.store, user, &wish));
    let mut status = json!({"allowed": verdict.allowed});
    if !verdict.reason.is_empty() {
        status["reason"] = verdict.reason.into();
    }
    Ok(status)
}

fn rules(world: &World, call: &Call, review: &Value) -> Result<Value, Refusal> {
    let namespace = review["spec"]["namespace"].as_str().filter(|namespace| !namespace.is_empty());
    let namespace = namespace.ok_or_else(|| Refusal::bad_request("no namespace on request"))?;
    let (resources, others) = world.look(|sim| rights::all_rules(&sim.store, &call.user, namespace));
    Ok(json!({"resourceRules": resources, "nonResourceRules": others, "incomplete": false}))
}
