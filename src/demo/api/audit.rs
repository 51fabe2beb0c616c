//! Who asked what: an audit log in the form of the real API server's, and the last writes kept at hand.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write as _},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::Call;
use crate::{demo::world::World, model::Time};

/// Writes kept at hand; older ones are forgotten.
const TAIL: usize = 1_000;
/// Bodies larger than this are not kept.
const BODY: usize = 4_096;

/// A write somebody asked for, whether or not it was allowed.
#[derive(Debug, Clone)]
pub struct Entry {
    pub at: Time,
    pub user: String,
    pub verb: &'static str,
    /// `rollouts.argoproj.io`.
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub subresource: String,
    /// HTTP status of the answer.
    pub code: u16,
    pub dry_run: bool,
    /// What was sent; empty if it was large.
    pub body: Bytes,
    pub user_agent: String,
}

/// The log of a world.
#[derive(Default)]
pub struct Audit {
    file: Mutex<Option<Log>>,
    tail: Mutex<VecDeque<Entry>>,
}

struct Log {
    file: File,
    /// Their reading is not logged.
    quiet: Vec<String>,
    count: u64,
}

impl Audit {
    /// Writes every request to this file from now on, one JSON object a line, as the real API server does at level
    /// `Metadata`. Reading by the users in `quiet` is left out.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn write_to(&self, path: &Path, quiet: &[&str]) -> io::Result<()> {
        let file = File::options().create(true).append(true).open(path)?;
        *lock(&self.file) = Some(Log { file, quiet: quiet.iter().map(|user| (*user).to_owned()).collect(), count: 0 });
        Ok(())
    }

    /// The writes since a moment, oldest first.
    pub fn writes_since(&self, since: Time) -> Vec<Entry> {
        lock(&self.tail).iter().filter(|entry| entry.at >= since).cloned().collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes a request and its answer; a watch when it begins.
pub fn record(world: &World, call: &Call, code: u16) {
    let at = world.clock.now();
    let target = &call.target;
    if !["get", "list", "watch"].contains(&call.verb) {
        let entry = Entry {
            at,
            user: call.user.name.clone(),
            verb: call.verb,
            kind: target.kind.id(),
            namespace: target.namespace.clone().unwrap_or_default(),
            name: target.name.clone().unwrap_or_default(),
            subresource: subresource(call).to_owned(),
            code,
            dry_run: call.is_dry_run(),
            body: if call.body.len() > BODY { Bytes::new() } else { call.body.clone() },
            user_agent: call.user_agent.clone(),
        };
        let mut tail = lock(&world.audit.tail);
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(entry);
    }
    if let Some(log) = lock(&world.audit.file).as_mut() {
        log.write(at, call, code);
    }
}

impl Log {
    fn write(&mut self, at: Time, call: &Call, code: u16) {
        let reads = ["get", "list", "watch"].contains(&call.verb);
        if reads && self.quiet.contains(&call.user.name) {
            return;
        }
        self.count += 1;
        let stage = if call.verb == "watch" && code == 200 { "ResponseStarted" } else { "ResponseComplete" };
        let event = event(at, call, code, stage, self.count);
        // A log that cannot be written is no reason to stop serving.
        let _ = writeln!(self.file, "{event}");
    }
}

/// What follows `proxy` is the path of another server.
fn subresource(call: &Call) -> &str {
    call.target.subresource.split('/').next().unwrap_or_default()
}

fn event(at: Time, call: &Call, code: u16, stage: &str, count: u64) -> Value {
    let target = &call.target;
    let stamp = at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let mut object = json!({"resource": target.kind.plural, "apiVersion": target.version});
    let parts = [
        ("namespace", target.namespace.as_deref().unwrap_or_default()),
        ("name", target.name.as_deref().unwrap_or_default()),
        ("apiGroup", target.kind.group.as_str()),
        ("subresource", subresource(call)),
    ];
    parts.iter().filter(|(_, text)| !text.is_empty()).for_each(|(field, text)| object[*field] = (*text).into());
    json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": format!("00000000-0000-4000-8000-{count:012x}"),
        "stage": stage, "requestURI": call.uri, "verb": call.verb,
        "user": {"username": call.user.name, "uid": call.user.name, "groups": call.user.groups},
        "sourceIPs": ["127.0.0.1"], "userAgent": call.user_agent, "objectRef": object,
        "responseStatus": {"metadata": {}, "code": code},
        "requestReceivedTimestamp": stamp, "stageTimestamp": stamp,
        "annotations": {
            "authorization.k8s.io/decision": if code == 403 { "forbid" } else { "allow" }, "authorization.k8s.io/reason": "",
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use axum::http::Method;

    use super::*;
    use crate::demo::{
        api::{Target, User},
        kinds,
        registry::fixtures,
    };

    fn call(verb: &'static str, user: &str, uri: &str) -> Call {
        let kind = kinds::built_in().into_iter().find(|kind| kind.id() == "deployments.apps").unwrap();
        let target = Target {
            kind: Arc::new(kind),
            version: "v1".into(),
            namespace: Some("shop".into()),
            name: Some("web".into()),
            subresource: "scale".into(),
        };
        Call {
            method: Method::PATCH,
            verb,
            uri: uri.into(),
            user: User { name: user.into(), groups: Vec::new() },
            target,
            query: uri
                .split_once('?')
                .into_iter()
                .filter_map(|(_, query)| query.split_once('='))
                .map(|(k, v)| (k.into(), v.into()))
                .collect(),
            accept: String::new(),
            content_type: String::new(),
            user_agent: "tester/1".into(),
            body: Bytes::from_static(b"{}"),
        }
    }

    #[test]
    fn the_log_is_that_of_the_real_server_and_writes_are_kept_at_hand() {
        let start = fixtures::now();
        let world = fixtures::world(fixtures::sim());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        world.audit.write_to(&path, &["rig:controllers"]).unwrap();
        record(&world, &call("patch", "oncall", "/x?dryRun=All"), 200);
        record(&world, &call("watch", "viewer", "/x"), 200);
        record(&world, &call("watch", "viewer", "/x"), 403);
        record(&world, &call("get", "rig:controllers", "/x"), 200);
        let log = std::fs::read_to_string(&path).unwrap();
        let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let stages: Vec<&str> = events.iter().map(|event| event["stage"].as_str().unwrap()).collect();
        assert_eq!(stages, ["ResponseComplete", "ResponseStarted", "ResponseComplete"]);
        let first = &events[0];
        assert_eq!(
            (&first["user"]["username"], &first["verb"], &first["responseStatus"]["code"]),
            (&json!("oncall"), &json!("patch"), &json!(200))
        );
        let object = json!({
            "resource": "deployments", "apiGroup": "apps", "apiVersion": "v1", "namespace": "shop", "name": "web", "subresource": "scale",
        });
        assert_eq!((&first["objectRef"], &first["kind"]), (&object, &json!("Event")));
        let writes = world.audit.writes_since(start);
        assert_eq!(writes.len(), 1);
        assert!(writes[0].dry_run && writes[0].kind == "deployments.apps" && *writes[0].body == *b"{}");
    }
}
