//! Configurations: each new template becomes a Revision that never changes.

use serde_json::{Value, json};

use super::{
    CONFIGURATIONS, Conditions, OF_CONFIGURATION, OF_CONFIGURATION_UID, OF_GENERATION, OF_SERVICE, OF_SERVICE_UID, REVISIONS, ROUTED_BY,
    ROUTED_SINCE, ROUTING, condition, is_ready, name, namespace, owner, write_status,
};
use crate::demo::{
    controllers::{
        events::{self, Source},
        objects::{controller_of, same},
    },
    registry::stamp,
    sim::Cx,
};

const READY: &str = "Ready";

pub fn reconcile(cx: &mut Cx<'_>, config: Value) {
    let mut conditions = Conditions::read(&config, &[READY], cx.now);
    let mut status = json!({
        "observedGeneration": config["metadata"]["generation"], "latestReadyRevisionName": config["status"]["latestReadyRevisionName"],
        "latestCreatedRevisionName": config["status"]["latestCreatedRevisionName"],
    });
    match newest(cx, &config) {
        Ok(revision) => follow(cx, &config, &revision, &mut status, &mut conditions),
        Err(why) => conditions.no(READY, "RevisionFailed", &format!("Revision creation failed with message: {why}.")),
    }
    status["conditions"] = conditions.list();
    write_status(cx, CONFIGURATIONS, config, status);
}

/// The name that the template asks for, where another Revision has it.
pub fn taken_name(cx: &Cx<'_>, config: &Value) -> Option<String> {
    let wanted = config["spec"]["template"]["metadata"]["name"].as_str()?;
    let found = cx.get(REVISIONS, namespace(config), wanted)?;
    let is_ours = controller_of(&found).is_some_and(|owner| owner["uid"] == config["metadata"]["uid"]);
    let is_this = generation(&found) == config["metadata"]["generation"].as_i64();
    let is_equal = same(&found["spec"], &config["spec"]["template"]["spec"]);
    (!is_ours || !is_this && !is_equal).then(|| wanted.to_owned())
}

fn generation(revision: &Value) -> Option<i64> {
    revision["metadata"]["labels"][OF_GENERATION].as_str()?.parse().ok()
}

/// The Revision of the present template, made if there is none.
fn newest(cx: &mut Cx<'_>, config: &Value) -> Result<Value, String> {
    if let Some(taken) = taken_name(cx, config) {
        return Err(format!("revisions.serving.knative.dev {taken:?} already exists"));
    }
    let named = config["spec"]["template"]["metadata"]["name"].as_str();
    if let Some(found) = named.and_then(|named| cx.get(REVISIONS, namespace(config), named)) {
        return Ok(found);
    }
    let of_this = of(cx, config).into_iter().find(|revision| generation(revision) == config["metadata"]["generation"].as_i64());
    if let Some(found) = of_this.filter(|_| named.is_none()) {
        return Ok(found);
    }
    let made = cx.create(REVISIONS, revision_of(cx, config)).map_err(|refusal| refusal.message)?;
    tell(cx, config, "Normal", "Created", &format!("Created Revision {:?}", name(&made)));
    Ok(made)
}

/// Its Revisions, newest first.
fn of(cx: &Cx<'_>, config: &Value) -> Vec<Value> {
    let mut all = cx.owned(REVISIONS, config["metadata"]["uid"].as_str().unwrap_or_default());
    all.sort_by_key(|revision| std::cmp::Reverse(generation(revision)));
    all
}

fn follow(cx: &mut Cx<'_>, config: &Value, newest: &Value, status: &mut Value, conditions: &mut Conditions) {
    let created = name(newest);
    status["latestCreatedRevisionName"] = created.into();
    if status["latestReadyRevisionName"] != created {
        conditions.unknown(READY, "", "");
    }
    let ready = condition(newest, READY);
    if ready["status"] == "False" {
        let why = ready["message"].as_str().unwrap_or_default();
        let is_news = condition(config, READY)["status"] != "False";
        conditions.no(READY, "RevisionFailed", &format!("Revision {created:?} failed with message: {why}."));
        if is_news {
            let (reason, which) = match status["latestReadyRevisionName"] == created {
                true => ("LatestReadyFailed", "ready"),
                false => ("LatestCreatedFailed", "created"),
            };
            tell(cx, config, "Warning", reason, &format!("Latest {which} revision {created:?} has failed"));
        }
    }
    // Of those since the last one that was ready.
    let since = cx.get(REVISIONS, namespace(config), status["latestReadyRevisionName"].as_str().unwrap_or_default());
    let since = since.as_ref().and_then(generation);
    let Some(found) = of(cx, config).into_iter().find(|revision| is_ready(revision) && generation(revision) >= since) else { return };
    if status["latestReadyRevisionName"] != name(&found) {
        status["latestReadyRevisionName"] = name(&found).into();
        tell(cx, config, "Normal", "LatestReadyUpdate", &format!("LatestReadyRevisionName updated to {:?}", name(&found)));
    }
    if name(&found) == created {
        conditions.yes(READY);
    }
}

fn revision_of(cx: &Cx<'_>, config: &Value) -> Value {
    let template = &config["spec"]["template"];
    let about = &config["metadata"];
    let usual = format!("{}-{:05}", name(config), about["generation"].as_i64().unwrap_or_default());
    let mut metadata = template["metadata"].clone();
    let more = json!({
        "name": template["metadata"]["name"].as_str().unwrap_or(&usual), "namespace": about["namespace"], "ownerReferences": [owner(config)],
        "labels": {
            OF_CONFIGURATION: about["name"], OF_CONFIGURATION_UID: about["uid"], OF_SERVICE: about["labels"][OF_SERVICE],
            OF_SERVICE_UID: about["labels"][OF_SERVICE_UID], ROUTING: "active",
            OF_GENERATION: about["generation"].as_i64().unwrap_or_default().to_string(),
        },
        "annotations": {ROUTED_BY: about["annotations"][ROUTED_BY], ROUTED_SINCE: stamp(cx.now)},
    });
    json_patch::merge(&mut metadata, &more);
    json!({"metadata": metadata, "spec": template["spec"]})
}

fn tell(cx: &mut Cx<'_>, about: &Value, kind: &str, reason: &str, message: &str) {
    let source = Source { component: "configuration-controller", ..Source::default() };
    events::record_by(cx, source, about, kind, reason, message);
}
