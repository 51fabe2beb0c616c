//! The only room that can write: dry run, conditional write, no retry.
//!
//! A [`Writer`] is built from a connection by the interactive session alone. The result of an action is
//! not shown from here: the cluster's watches do that, or the card says that they have not.

mod flag;
mod health;
mod lease;

use std::{sync::Arc, time::Duration};

use http::{Request, header::CONTENT_TYPE};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{
    cluster::Reader,
    engine::{Call, Patch, Plan, Probe, Write},
    guard::Approved,
    intent::Intent,
    journal::{self, Event, Journal, Record},
    model::{Id, Text},
    msg::{Body, Check, Findings, Msg, Outcome},
    object::Resource,
};

/// How long a write may take before its outcome counts as unknown.
const PATIENCE: Duration = Duration::from_secs(15);
/// Shows in `managedFields`, so that people and we see who moved a rollout.
const MANAGER: &str = "rolltop";

/// The hands of an interactive session.
#[derive(Clone)]
pub struct Writer {
    client: kube::Client,
    reader: Reader,
    journal: Journal,
    context: Arc<str>,
    identity: Arc<std::sync::Mutex<Option<Text>>>,
    tx: mpsc::Sender<Msg>,
    /// What the guard's leases of this session name as their holder.
    holder: Text,
    held: lease::Held,
    /// Held by every plan that is being carried out.
    flying: Arc<()>,
}

impl Writer {
    pub fn new(client: kube::Client, reader: Reader, journal: Journal, context: Arc<str>, tx: mpsc::Sender<Msg>) -> Self {
        let holder = format!("{}/{}", host(), journal.session).into();
        let (identity, held, flying) = Default::default();
        Self { client, reader, journal, context, identity, tx, holder, held, flying }
    }

    /// Who the journal names from now on.
    pub fn known_as(&self, user: Text) {
        if let Ok(mut identity) = self.identity.lock() {
            *identity = Some(user);
        }
    }

    pub fn record(&self, card: Option<u64>, rollout: Option<Id>, event: Event) -> Record {
        Record {
            at: crate::clock::now(),
            session: self.journal.session.clone(),
            context: self.context.clone(),
            identity: self.identity.lock().ok().and_then(|i| i.clone()),
            card,
            rollout,
            event,
        }
    }

    pub fn holder(&self) -> Text {
        self.holder.clone()
    }

    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Asks the server what it would say: rights, the object as it is now, the same patches as a dry run, and the pods that
    /// users would be sent to.
    pub fn rehearse(&self, card: u64, plan: Plan, root: &'static Resource, probes: Vec<Probe>) {
        let this = Self { flying: Arc::default(), ..self.clone() };
        tokio::spawn(async move {
            let findings = Box::new(this.findings(card, plan, root, &probes).await);
            let _ = this.tx.send(Msg::now(Body::Rehearsed { card, findings })).await;
        });
    }

    async fn findings(&self, card: u64, plan: Plan, root: &'static Resource, probes: &[Probe]) -> Findings {
        let server = async {
            if let Some(switch) = &plan.switch {
                let reading = flag::read(switch).await;
                let check = flag::check(&reading);
                let _ = self.tx.send(Msg::now(Body::FlagRead { card, reading })).await;
                if plan.writes.is_empty() || check != Check::Yes {
                    return (Check::Yes, check);
                }
            }
            // Without the right a dry run would only be one more refusal in the audit log.
            match self.rights(&plan.writes).await {
                no @ Check::No(_) => (no, Check::Unknown("not asked: the right is missing".into())),
                rights => (rights, self.dry_run(&plan).await),
            }
        };
        let root = self.reader.get(root, &plan.target.namespace, &plan.target.name);
        let (object, (rights, dry_run), health) = tokio::join!(root, server, health::ask(&self.client, probes));
        Findings { root: object.ok(), dry_run, rights, health, plan }
    }

    async fn rights(&self, writes: &[Write]) -> Check {
        for write in writes {
            match self.reader.can_i(write.verb(), write.resource, write.subresource, &write.namespace, &write.name).await {
                Ok(true) => {}
                Ok(false) => {
                    let sub = write.subresource.map(|s| format!("/{s}")).unwrap_or_default();
                    return Check::No(format!("{} {}{sub} in {}", write.verb(), write.resource.qualified(), write.namespace).into());
                }
                Err(error) => return Check::Unknown(error.to_string().into()),
            }
        }
        Check::Yes
    }

    /// Each write is rehearsed alone: a later one must hold on the object as it is now as well.
    async fn dry_run(&self, plan: &Plan) -> Check {
        for write in &plan.writes {
            match self.send(&plan.target, write, true).await {
                Ok(_) => {}
                Err(Failure { kind: Kind::Unknown | Kind::Unreachable, said }) => return Check::Unknown(said),
                Err(Failure { said, .. }) => return Check::No(said),
            }
        }
        Check::Yes
    }

    /// Carries an approved plan out: journal first, then each write once.
    pub fn carry_out(&self, card: u64, approved: Approved<Plan>) {
        let flying = self.flying.clone();
        let this = Self { flying: Arc::default(), ..self.clone() };
        tokio::spawn(async move {
            let _flying = flying;
            let plan = approved.plan().clone();
            let attempt = Event::Attempt {
                intent: plan.intent.clone(),
                sentence: plan.sentence.clone(),
                writes: journal::writes(&plan),
                request: plan.switch.as_ref().map(|switch| journal::request(&switch.off)),
                overridden: approved.overridden().cloned(),
                armed_by: approved.armed().map(|arming| arming.by.clone()),
            };
            let record = this.record(Some(card), Some(plan.target.clone()), attempt);
            let journal = this.journal.clone();
            let committed = tokio::task::spawn_blocking(move || journal.commit(&record)).await;
            let mut switched = None;
            let outcome = match committed {
                Ok(Ok(())) => {
                    this.report(card, Outcome::Sent).await;
                    // What is written first, such as a lease that is spent, must have been taken.
                    match (this.write_all(&plan).await, &plan.switch) {
                        (Outcome::Accepted { .. }, Some(switch)) => {
                            switched.insert(flag::switch_off(switch, approved.overridden().is_some()).await).outcome.clone()
                        }
                        (outcome, _) => outcome,
                    }
                }
                Ok(Err(error)) => Outcome::NotSent { said: format!("the journal cannot be written: {error}").into() },
                Err(error) => Outcome::NotSent { said: error.to_string().into() },
            };
            let Plan { intent, target, .. } = plan;
            let (name, said, writes_done) = (outcome.name().into(), outcome.said(), outcome.done());
            let event = Event::Outcome { intent: intent.clone(), outcome: name, said, writes_done };
            let record = this.record(Some(card), Some(target.clone()), event);
            if let Err(error) = this.journal.note(&record) {
                tracing::error!(%error, "the outcome could not be journaled");
            }
            // Before the reducer knows: what it decides next must find the lease held.
            if matches!(outcome, Outcome::Accepted { .. }) {
                this.leased(&intent, &target);
            }
            this.report(card, outcome).await;
            if let (Some(switched), Some(switch)) = (switched, plan.switch) {
                drop(_flying);
                let tell = |reading| async { this.tx.send(Msg::now(Body::FlagRead { card, reading })).await.is_ok() };
                switched.follow(&switch, tell).await;
            }
        });
    }

    /// Waits until every write that has begun is answered, but no longer than this.
    pub async fn settle(&self, patience: Duration) {
        let deadline = tokio::time::Instant::now() + patience;
        while Arc::strong_count(&self.flying) > 1 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn leased(&self, intent: &Intent, target: &Id) {
        match intent {
            Intent::Arm { .. } => self.hold(target),
            Intent::Disarm => self.forget(target),
            _ => {}
        }
    }

    async fn report(&self, card: u64, outcome: Outcome) {
        let _ = self.tx.send(Msg::now(Body::Acted { card, outcome })).await;
    }

    async fn write_all(&self, plan: &Plan) -> Outcome {
        let mut generation = 0;
        for (done, write) in plan.writes.iter().enumerate() {
            match self.send(&plan.target, write, false).await {
                Ok(answer) => generation = answer.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(generation),
                Err(Failure { kind, said }) => return kind.outcome(said, done),
            }
        }
        Outcome::Accepted { generation }
    }

    async fn send(&self, target: &Id, write: &Write, dry: bool) -> Result<Value, Failure> {
        let Some(call) = &write.call else {
            let request = if let Some(object) = &write.create { create(write, object, dry)? } else { patch(write, dry)? };
            return self.answer(self.client.request::<Value>(request)).await;
        };
        // No server holds a condition for a call, so they are asked one by one, as late as can be.
        self.still_so(target, write, call).await?;
        self.still_open_to(write, call).await?;
        if dry {
            return Ok(Value::Null);
        }
        self.answer(self.client.request_text(post(write, &call.path, call)?)).await.map(|_| Value::Null)
    }

    /// The conditions of a call against the rollout's object as it is now.
    async fn still_so(&self, target: &Id, write: &Write, call: &Call) -> Result<(), Failure> {
        let refused = |kind, said: String| Failure { kind, said: said.into() };
        let now = tokio::time::timeout(PATIENCE, self.reader.get(call.root, &target.namespace, &target.name)).await;
        let now = now.map_err(|_| refused(Kind::Unreachable, silence()))?.map_err(|e| refused(Kind::Unreachable, e.to_string()))?.value();
        match unmet(&write.patch, &now) {
            None => Ok(()),
            Some(path) => Err(refused(Kind::Conflict, format!("{path} is no longer as it was read"))),
        }
    }

    async fn still_open_to(&self, write: &Write, call: &Call) -> Result<(), Failure> {
        match self.answer(self.client.request_text(post(write, &call.check, call)?)).await {
            Ok(_) => {
                Err(Failure { kind: Kind::Conflict, said: format!("{}: there is nothing to do, it is open already", call.check).into() })
            }
            Err(Failure { kind: Kind::Answered(403), .. }) => Ok(()),
            Err(Failure { kind: Kind::Answered(..500), said }) => Err(Failure { kind: Kind::Refused, said }),
            // A question that got lost changed nothing.
            Err(Failure { kind: Kind::Answered(_) | Kind::Unknown, said }) => Err(Failure { kind: Kind::Unreachable, said }),
            Err(other) => Err(other),
        }
    }

    async fn answer<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
        match tokio::time::timeout(PATIENCE, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(classify(&error)),
            Err(_) => Err(Failure { kind: Kind::Unknown, said: silence().into() }),
        }
    }
}

fn silence() -> String {
    format!("no answer within {} s", PATIENCE.as_secs())
}

/// Path of the first condition that does not hold. As the API server, `null` passes for an absent member.
fn unmet(conditions: &Patch, now: &Value) -> Option<String> {
    let Patch::Json(operations) = conditions;
    let differs = |op: &&Value| {
        let path = op.get("path").and_then(Value::as_str).unwrap_or_default();
        op.get("value").unwrap_or(&Value::Null) != now.pointer(path).unwrap_or(&Value::Null)
    };
    operations.iter().find(differs).map(|op| op.get("path").and_then(Value::as_str).unwrap_or_default().to_owned())
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn address(write: &Write) -> String {
    let sub = write.subresource.map(|s| format!("/{s}")).unwrap_or_default();
    format!("{}/{}{sub}", collection(write), write.name)
}

fn collection(write: &Write) -> String {
    let resource = write.resource;
    let base = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    format!("{base}/namespaces/{}/{}", write.namespace, resource.plural)
}

fn create(write: &Write, object: &Value, dry: bool) -> Result<Request<Vec<u8>>, Failure> {
    let uri = format!("{}?{}", collection(write), parameters(dry));
    built(Request::post(uri).header(CONTENT_TYPE, "application/json"), object)
}

fn parameters(dry: bool) -> String {
    format!("fieldManager={MANAGER}{}", if dry { "&dryRun=All" } else { "" })
}

fn patch(write: &Write, dry: bool) -> Result<Request<Vec<u8>>, Failure> {
    let Patch::Json(operations) = &write.patch;
    let uri = format!("{}?{}", address(write), parameters(dry));
    built(Request::patch(uri).header(CONTENT_TYPE, "application/json-patch+json"), operations)
}

fn post(write: &Write, path: &str, call: &Call) -> Result<Request<Vec<u8>>, Failure> {
    built(Request::post(format!("{}/{path}", address(write))).header(CONTENT_TYPE, "application/json"), &call.body)
}

fn built(request: http::request::Builder, body: &impl serde::Serialize) -> Result<Request<Vec<u8>>, Failure> {
    let refused = |said: String| Failure { kind: Kind::Refused, said: said.into() };
    let body = serde_json::to_vec(body).map_err(|e| refused(e.to_string()))?;
    request.body(body).map_err(|e| refused(e.to_string()))
}

/// Why a write has no good answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Conflict,
    Refused,
    Unknown,
    Unreachable,
    /// The status of a Service's own answer, through the API server.
    Answered(u16),
}

impl Kind {
    fn outcome(self, said: Text, done: usize) -> Outcome {
        match self {
            Self::Conflict => Outcome::Conflict { said, done },
            Self::Unreachable if done == 0 => Outcome::NotSent { said },
            Self::Refused | Self::Unreachable => Outcome::Refused { said, done },
            Self::Unknown | Self::Answered(500..) => Outcome::Unknown { said, done },
            Self::Answered(_) => Outcome::Refused { said, done },
        }
    }
}

struct Failure {
    kind: Kind,
    said: Text,
}

/// 409 is a stale version. 422 is a failed `test` or a value the schema does not take; either way nothing
/// was stored. Any 5xx, and a connection lost after the request left, may hide a success.
fn classify(error: &kube::Error) -> Failure {
    let (kind, said) = match error {
        kube::Error::Api(status) if !is_api_servers(status) => {
            (Kind::Answered(status.code), format!("{}: {}", status.code, status.message).into())
        }
        kube::Error::Api(status) => (kind_of(status.code), Text::from(&status.message)),
        kube::Error::Auth(e) => (Kind::Unreachable, Text::from(e.to_string())),
        other if never_left(other) => {
            (Kind::Unreachable, Text::from(format!("the API server cannot be reached ({})", crate::web::cause(other))))
        }
        other => (Kind::Unknown, Text::from(other.to_string())),
    };
    Failure { kind, said }
}

/// Whether these are the API server's words, not those of what it leads to: it always gives a reason of its own, kube makes
/// one up for others.
fn is_api_servers(status: &kube::core::Status) -> bool {
    status.reason != "Failed to parse error data"
}

fn kind_of(code: u16) -> Kind {
    match code {
        409 | 422 => Kind::Conflict,
        408 | 500..=599 => Kind::Unknown,
        _ => Kind::Refused,
    }
}

/// Whether the connection could not even be made.
fn never_left(error: &kube::Error) -> bool {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(e) = source {
        if e.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        source = e.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_never_left_was_refused_by_nobody() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let Failure { kind, said } = classify(&kube::Error::Service(Box::new(refused)));
        assert_eq!(&*said, "the API server cannot be reached (connection refused)");
        assert!(matches!(kind.outcome(said.clone(), 0), Outcome::NotSent { .. }));
        assert!(matches!(kind.outcome(said, 1), Outcome::Refused { done: 1, .. }), "a part of it was taken");
        let lost = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let Failure { kind, said } = classify(&kube::Error::Service(Box::new(lost)));
        assert!(matches!(kind.outcome(said, 0), Outcome::Unknown { .. }), "that may have been taken");
    }

    #[test]
    fn a_call_is_held_to_its_conditions_as_a_patch_would_be() {
        let test = |path: &str, value: Value| json!({"op": "test", "path": path, "value": value});
        let conditions = Patch::Json(vec![
            test("/metadata/uid", "u1".into()),
            test("/status/phase", "Waiting".into()),
            // Absent when it was read.
            test("/spec/suspend", Value::Null),
        ]);
        let now = json!({"metadata": {"uid": "u1"}, "spec": {}, "status": {"phase": "Waiting"}});
        assert_eq!(unmet(&conditions, &now), None);
        for (path, value) in [("/metadata/uid", json!("u2")), ("/status/phase", json!("Failed")), ("/spec/suspend", json!(true))] {
            let mut moved = now.clone();
            let (parent, key) = path.rsplit_once('/').unwrap();
            moved.pointer_mut(parent).unwrap()[key] = value;
            assert_eq!(unmet(&conditions, &moved).as_deref(), Some(path));
        }
        assert_eq!(unmet(&conditions, &json!({})).as_deref(), Some("/metadata/uid"));
    }

    #[test]
    fn what_a_service_says_is_not_what_the_api_server_says() {
        let of = |reason: &str| {
            let status = kube::core::Status::failure("Forbidden", reason).with_code(403);
            classify(&kube::Error::Api(Box::new(status))).kind
        };
        assert_eq!(of("Failed to parse error data"), Kind::Answered(403), "the gate is closed");
        assert_eq!(of("Forbidden"), Kind::Refused, "the right is missing");
    }

    #[test]
    fn only_a_clear_no_counts_as_no() {
        for (code, kind) in [
            (409, Kind::Conflict),
            (422, Kind::Conflict),
            (403, Kind::Refused),
            (429, Kind::Refused),
            (500, Kind::Unknown),
            (503, Kind::Unknown),
            (504, Kind::Unknown),
        ] {
            assert_eq!(kind_of(code), kind, "{code}");
        }
    }
}
