//! Routes: targets become Revisions with shares, and an ingress does it a moment later.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    CONFIGURATIONS, Conditions, GRADUAL, OF_CONFIGURATION, OF_ROUTE, OF_SERVICE, PLAIN_SERVICES, REVISIONS, ROUTED_BY, ROUTED_SINCE,
    ROUTES, ROUTING, condition, is_ready, name, namespace, owner, write_status,
};
use crate::{
    demo::{
        controllers::objects::{between, key_of},
        registry::stamp,
        scenario::units,
        sim::Cx,
        store::Key,
    },
    model::Time,
};

const ASSIGNED: &str = "AllTrafficAssigned";
const CERTIFIED: &str = "CertificateProvisioned";
const INGRESS: &str = "IngressReady";
const DOMAIN: &str = "example.com";

/// An ingress takes about as long.
const PROGRAMMING: Duration = Duration::from_millis(400);

/// Of a gradual move every so often.
const STEP: Duration = Duration::from_secs(2);

/// What an ingress was told last, and since when.
#[derive(Debug, Default)]
pub struct Ingress {
    told: Value,
    since: Time,
    moves: Option<Move>,
    /// What the latest revision was when all was done.
    latest: String,
}

/// Users on their way from one latest revision to the next.
#[derive(Debug)]
struct Move {
    from: String,
    to: String,
    began: Time,
}

pub fn reconcile(cx: &mut Cx<'_>, route: Value, ingress: &mut Ingress) -> Option<Duration> {
    let mut conditions = Conditions::read(&route, &[ASSIGNED, CERTIFIED, INGRESS], cx.now);
    let host = format!("{}.{}.{DOMAIN}", name(&route), namespace(&route));
    let mut status = json!({
        "observedGeneration": route["metadata"]["generation"], "url": format!("http://{host}"),
        "address": {"url": format!("http://{}.{}.svc.cluster.local", name(&route), namespace(&route))},
        "traffic": route["status"]["traffic"],
    });
    if route["metadata"]["generation"] != route["status"]["observedGeneration"] {
        not_configured(&mut conditions);
    }
    let mut again = None;
    match resolve(cx, &route) {
        Err(bad) => conditions.mark(ASSIGNED, bad.status, bad.reason, &bad.message),
        Ok(mut traffic) => {
            conditions.yes(ASSIGNED);
            conditions.mark(CERTIFIED, "True", "TLSNotEnabled", "external-domain-tls is not enabled");
            placeholder(cx, &route);
            again = ingress.moved(cx.now, &route, &mut traffic);
            let moves = again.is_some();
            let wait = ingress.program(cx.now, &traffic);
            match (moves, wait) {
                (_, Some(_)) => not_configured(&mut conditions),
                (true, None) => {
                    conditions.unknown(INGRESS, "RolloutInProgress", "A gradual rollout of the latest revision(s) is in progress.")
                }
                (false, None) => conditions.yes(INGRESS),
            }
            again = again.into_iter().chain(wait).min();
            status["traffic"] = traffic.into();
        }
    }
    mark(cx, &route, &status["traffic"]);
    status["conditions"] = conditions.list();
    write_status(cx, ROUTES, route, status);
    again
}

fn not_configured(conditions: &mut Conditions) {
    conditions.unknown(INGRESS, "IngressNotConfigured", "Ingress has not yet been reconciled.");
}

/// A target that cannot be routed to: then nothing of the Route is done.
struct Bad {
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Bad {
    fn new(fails: bool, reason: &'static str, message: String) -> Self {
        Self { status: if fails { "False" } else { "Unknown" }, reason, message }
    }
}

/// The targets by the names of Revisions. Of several that cannot be, one that failed is told.
fn resolve(cx: &Cx<'_>, route: &Value) -> Result<Vec<Value>, Bad> {
    let mut all: Vec<Value> = Vec::new();
    let mut worst: Option<Bad> = None;
    for target in route["spec"]["traffic"].as_array().into_iter().flatten() {
        match revision(cx, namespace(route), target) {
            Ok(found) => add(&mut all, status_of(route, target, &found)),
            Err(bad) if worst.is_none() || bad.status == "False" => worst = Some(bad),
            Err(_) => (),
        }
    }
    worst.map_or(Ok(all), Err)
}

fn revision(cx: &Cx<'_>, namespace: &str, target: &Value) -> Result<String, Bad> {
    const MISSING: &str = "RevisionMissing";
    let named = |field: &str| target[field].as_str().filter(|name| !name.is_empty());
    let configured = named("configurationName").filter(|_| named("revisionName").is_none());
    let wanted = match configured {
        None => named("revisionName").unwrap_or_default().to_owned(),
        Some(name) => {
            let missing = || Bad::new(true, "ConfigurationMissing", format!("Configuration {name:?} referenced in traffic not found."));
            let config = cx.get(CONFIGURATIONS, namespace, name).ok_or_else(missing)?;
            let fails = condition(&config, "Ready")["status"] == "False";
            let told = match fails {
                true => format!("Configuration {name:?} does not have any ready Revision."),
                false => format!("Configuration {name:?} is waiting for a Revision to become ready."),
            };
            config["status"]["latestReadyRevisionName"].as_str().ok_or_else(|| Bad::new(fails, MISSING, told))?.to_owned()
        }
    };
    let missing = || Bad::new(true, MISSING, format!("Revision {wanted:?} referenced in traffic not found."));
    let found = cx.get(REVISIONS, namespace, &wanted).ok_or_else(missing)?;
    if is_ready(&found) {
        return Ok(wanted);
    }
    Err(match condition(&found, "Ready")["status"] == "False" {
        true => Bad::new(true, MISSING, format!("Revision {wanted:?} failed to become ready.")),
        false => Bad::new(false, MISSING, format!("Revision {wanted:?} is not yet ready.")),
    })
}

fn status_of(route: &Value, target: &Value, revision: &str) -> Value {
    let mut status = json!({
        "revisionName": revision, "percent": target["percent"].as_i64().unwrap_or_default(),
        "latestRevision": target["revisionName"].as_str().is_none_or(str::is_empty),
    });
    if let Some(tag) = target["tag"].as_str().filter(|tag| !tag.is_empty()) {
        status["tag"] = tag.into();
        status["url"] = format!("http://{tag}-{}.{}.{DOMAIN}", name(route), namespace(route)).into();
    }
    status
}

/// The same target twice is one.
fn add(all: &mut Vec<Value>, target: Value) {
    let is_same = |other: &&mut Value| ["tag", "revisionName", "latestRevision"].iter().all(|field| other[*field] == target[*field]);
    match all.iter_mut().find(is_same) {
        Some(other) => other["percent"] = (percent(other) + percent(&target)).into(),
        None => all.push(target),
    }
}

fn percent(target: &Value) -> i64 {
    target["percent"].as_i64().unwrap_or_default()
}

impl Ingress {
    /// How much longer it takes until this is done.
    fn program(&mut self, now: Time, traffic: &[Value]) -> Option<Duration> {
        let wanted: Value = traffic.into();
        if self.told != wanted {
            (self.told, self.since) = (wanted, now);
        }
        let done = self.since + PROGRAMMING;
        (now < done).then(|| between(now, done))
    }

    /// Where the annotation says so, users follow the latest revision step by step; when the next step is due.
    fn moved(&mut self, now: Time, route: &Value, traffic: &mut Vec<Value>) -> Option<Duration> {
        let lasts = route["metadata"]["annotations"][GRADUAL].as_str().and_then(units::duration).filter(|lasts| !lasts.is_zero());
        let is_latest = |target: &Value| target["latestRevision"] == true && percent(target) > 0 && target["tag"].is_null();
        let at = traffic.iter().position(is_latest);
        let latest = at.and_then(|at| traffic[at]["revisionName"].as_str()).unwrap_or_default().to_owned();
        let before = std::mem::replace(&mut self.latest, latest.clone());
        if !before.is_empty() && !latest.is_empty() && before != latest {
            self.moves = Some(Move { from: before, to: latest.clone(), began: now });
        }
        let (Some(at), Some(lasts), Some(moves)) = (at, lasts, self.moves.as_ref().filter(|moves| moves.to == latest)) else {
            self.moves = None;
            return None;
        };
        let passed = between(moves.began, now);
        if passed >= lasts {
            self.moves = None;
            return None;
        }
        let whole = percent(&traffic[at]);
        #[expect(clippy::cast_possible_truncation, reason = "a part of a hundred")]
        let share = ((passed.as_secs_f64() / lasts.as_secs_f64() * whole as f64) as i64).clamp(1.min(whole), whole);
        let mut old = traffic[at].clone();
        old["revisionName"] = moves.from.as_str().into();
        old["percent"] = (whole - share).into();
        traffic[at]["percent"] = share.into();
        traffic.insert(at, old);
        Some(STEP.min(lasts.saturating_sub(passed)))
    }
}

/// The name inside the cluster, which leads to the ingress.
fn placeholder(cx: &mut Cx<'_>, route: &Value) {
    let service = json!({
        "metadata": {
            "name": name(route), "namespace": namespace(route), "ownerReferences": [owner(route)],
            "labels": {OF_ROUTE: name(route), OF_SERVICE: route["metadata"]["labels"][OF_SERVICE]},
        },
        "spec": {
            "type": "ExternalName", "externalName": "kourier-internal.kourier-system.svc.cluster.local", "sessionAffinity": "None",
            "ports": [{"name": "http2", "port": 80, "protocol": "TCP", "targetPort": 80}],
        },
    });
    if cx.store.get(&key_of(PLAIN_SERVICES, &service)).is_none() {
        let _ = cx.create(PLAIN_SERVICES, service);
    }
}

/// Revisions know whether a Route leads to them.
fn mark(cx: &mut Cx<'_>, route: &Value, traffic: &Value) {
    let own = route["metadata"]["labels"][OF_SERVICE].as_str().unwrap_or(name(route));
    let revisions: Vec<(Key, bool, String)> = cx
        .store
        .list(REVISIONS, Some(namespace(route)))
        .filter(|revision| revision.label(OF_CONFIGURATION) == Some(own))
        .map(|revision| {
            let is_named = traffic.as_array().into_iter().flatten().any(|target| target["revisionName"] == *revision.key.name);
            (revision.key.clone(), is_named, revision.label(ROUTING).unwrap_or_default().to_owned())
        })
        .collect();
    for (key, is_named, before) in revisions {
        let state = if is_named { "active" } else { "reserve" };
        let is_new = before == "active" && !is_named && cx.store.get(&key).is_some_and(|found| !super::is_ready(&found.value()));
        // One that is still starting is kept as it was made.
        if before == state || is_new {
            continue;
        }
        let by: Value = if is_named { name(route).into() } else { Value::Null };
        let change = json!({"metadata": {"labels": {ROUTING: state}, "annotations": {ROUTED_BY: by, ROUTED_SINCE: stamp(cx.now)}}});
        let _ = cx.patch(&key, &change);
    }
}
