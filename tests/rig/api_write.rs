//! The embedded API server and the real one are asked the same and must answer the same: codes, objects, who owns which
//! field, and every word of a refusal.
//!
//! `requests.jsonl` has one request a line: `do` (method), `at` (path), `send` (body) or `text` (body as it is), `as` (media
//! type, JSON by default), `by` (identity, admin by default), `headers`. A request with `from` and `with` sends what it
//! reads there, changed by that merge patch. `is` says what it is about. All happen one after the other in an empty cluster.

use std::{fmt::Write as _, sync::Arc};

use fastrand::Rng;

use http::{Method, Request};
use http_body_util::BodyExt;
use kube::client::Body;
use rolltop::{
    clock::Clock,
    demo::{
        api::{self, crd, rights, server::Server},
        controllers,
        sim::{Metrics, Samples, Sim},
        world::World,
    },
    model::Time,
};
use serde_json::{Value, json};

use crate::cluster::{Identity, Options, Rig};

const IDENTITIES: [(&str, Identity); 4] =
    [("admin", Identity::Admin), ("viewer", Identity::Viewer), ("oncall", Identity::Oncall), ("nobody", Identity::Nobody)];

/// Differences there are, by what the request is about, and why they stay.
const KNOWN: &[(&str, &str)] = &[
    ("dep smp type", "the real message is about a converter of Go and names no field"),
    ("pod env", "the real message ends with a difference of Go structures"),
    ("pod nodeName", "the real message ends with a difference of Go structures"),
    ("generateName", "names are made of random letters"),
    ("a rule of Istio", "the real definition has rules of its own, which are told not to have been looked at"),
    ("a new event", "events of both groups are kept under the names of the old, and so are the owners of their fields"),
    ("del rv", "the message shows a resourceVersion"),
    ("unknown merge strict", "the message shows the whole document, with members in the order of Go"),
];

#[tokio::test]
async fn the_embedded_api_server_answers_as_the_real_one() {
    let Some(mut both) = Both::start().await else { return };
    for line in include_str!("requests.jsonl").lines() {
        both.ask(&serde_json::from_str(line).unwrap()).await;
    }
    // Whatever is tried next depends on what there is; the seed makes it the same play again.
    let mut rng = Rng::with_seed(7);
    for object in ["deployments/d", "rollouts/x"] {
        for _ in 0..150 {
            both.ask(&random_write(&mut rng, object)).await;
        }
    }
    both.agree();
}

/// Some write to one of two objects by one of three managers: applied, merged, or merged strategically.
fn random_write(rng: &mut Rng, object: &str) -> Value {
    let custom = object.starts_with("rollouts");
    let (group, kind) = if custom { ("argoproj.io/v1alpha1", "Rollout") } else { ("apps/v1", "Deployment") };
    let media_types: &[&str] = if custom { &["apply", "apply", "merge"] } else { &["apply", "apply", "merge", "smp"] };
    let media_type = media_types[rng.usize(..media_types.len())];
    let applies = media_type == "apply";
    let mut sent = random_object(rng, applies, custom);
    if applies {
        sent["apiVersion"] = group.into();
        sent["kind"] = kind.into();
    }
    let manager = ["one", "two", "three"][rng.usize(..3)];
    let force = if applies && rng.bool() { "&force=true" } else { "" };
    let path = format!("/apis/{group}/namespaces/write/{object}?fieldManager={manager}{force}");
    json!({"is": "random", "do": "PATCH", "at": path, "as": media_type, "send": sent})
}

fn random_object(rng: &mut Rng, applies: bool, custom: bool) -> Value {
    let mut containers = Vec::new();
    for name in ["a", "b", "c"] {
        if rng.u8(..3) == 0 {
            let mut container = json!({"name": name, "image": format!("i:{}", rng.u8(..3))});
            if rng.bool() {
                let variables = ["A", "B", "C"].into_iter().filter(|_| rng.bool()).collect::<Vec<_>>();
                container["env"] = variables.iter().map(|name| json!({"name": name, "value": rng.u8(..2).to_string()})).collect();
            }
            if rng.bool() {
                container["ports"] = json!([{"containerPort": 80 + u16::from(rng.u8(..2))}]);
            }
            containers.push(container);
        }
    }
    rng.shuffle(&mut containers);
    let mut object = json!({"metadata": {"labels": {}}, "spec": {}});
    for label in ["x", "y"] {
        match rng.u8(..4) {
            0 => object["metadata"]["labels"][label] = rng.u8(..2).to_string().into(),
            1 if !applies => object["metadata"]["labels"][label] = Value::Null,
            _ => (),
        }
    }
    if rng.bool() {
        object["metadata"]["finalizers"] = ["e/a", "e/b"].into_iter().filter(|_| rng.bool()).collect();
    }
    if rng.bool() {
        object["spec"]["replicas"] = rng.u8(..3).into();
    }
    if rng.bool() {
        object["spec"]["minReadySeconds"] = rng.u8(..2).into();
    }
    if !containers.is_empty() {
        object["spec"]["template"]["spec"]["containers"] = containers.into();
    }
    if rng.u8(..3) == 0 {
        object["spec"]["strategy"] = match (custom, rng.bool()) {
            (true, true) => json!({"canary": {"steps": [{"setWeight": rng.u8(..100)}]}}),
            (true, false) => json!({"canary": {"maxSurge": rng.u8(..3), "canaryService": "c"}}),
            (false, true) => json!({"rollingUpdate": {"maxSurge": 1 + rng.u8(..3)}}),
            (false, false) => json!({"type": "RollingUpdate"}),
        };
    }
    object
}

/// The real server and the embedded one, asked in step.
struct Both {
    real: Clients,
    demo: Clients,
    count: usize,
    differences: String,
    _rig: Rig,
    _embedded: Embedded,
}

impl Both {
    async fn start() -> Option<Self> {
        if !Rig::built() {
            return None;
        }
        let rig = Rig::start(Options::api_only()).await.unwrap();
        // The requests bring roles of their own.
        let admin = rig.api(Identity::Admin);
        for (kind, name) in [
            ("roles", "rolltop-viewer"),
            ("roles", "rolltop-oncall"),
            ("rolebindings", "rolltop-viewer"),
            ("rolebindings", "rolltop-oncall"),
        ] {
            admin.delete(&format!("/apis/rbac.authorization.k8s.io/v1/cluster{kind}/{name}")).await.unwrap();
        }
        let embedded = Embedded::start().await;
        Some(Self {
            real: IDENTITIES.map(|(name, identity)| (name, rig.client(identity))),
            demo: IDENTITIES.map(|(name, _)| (name, embedded.client(name))),
            count: 0,
            differences: String::new(),
            _rig: rig,
            _embedded: embedded,
        })
    }

    async fn ask(&mut self, request: &Value) {
        let (expected, got) = (ask(&self.real, request).await, ask(&self.demo, request).await);
        let about = request["is"].as_str().unwrap_or_default();
        self.count += 1;
        if expected != got && !KNOWN.iter().any(|(known, _)| *known == about) {
            let sent = if about == "random" { request["send"].to_string() } else { String::new() };
            let _ = writeln!(self.differences, "{about}: {} {} {sent}\n  real: {expected}\n  demo: {got}", request["do"], request["at"]);
        }
    }

    fn agree(&self) {
        assert!(self.count > 600, "only {} requests", self.count);
        assert!(self.differences.is_empty(), "of {} requests these were answered otherwise:\n{}", self.count, self.differences);
    }
}

struct NoMetrics;

impl Metrics for NoMetrics {
    fn query(&self, _: &str, _: &str, _: Time) -> Result<Samples, String> {
        Ok(Samples::Vector(Vec::new()))
    }
}

/// An embedded API server without controllers, like the rig's.
struct Embedded {
    server: Server,
    _world: Arc<World>,
}

impl Embedded {
    async fn start() -> Self {
        let now: Time = chrono::Utc::now();
        let mut sim = Sim::new(now, 1, Vec::new(), Box::new(NoMetrics));
        controllers::namespace::create_namespaces(&mut sim.store, now);
        crd::install(&mut sim, now);
        rights::install(&mut sim, now);
        let world = World::new(sim, Clock::new(now, 1.0));
        for (name, _) in IDENTITIES {
            world.tokens.add(name, name, if name == "admin" { &["system:masters"] } else { &[] });
        }
        let server = Server::start(api::router(world.clone()), None).await.unwrap();
        Self { server, _world: world }
    }

    fn client(&self, token: &str) -> kube::Client {
        let mut config = kube::Config::new(self.server.url().parse().unwrap());
        config.auth_info.token = Some(token.to_owned().into());
        config.proxy_url = None;
        kube::Client::try_from(config).unwrap()
    }
}

type Clients = [(&'static str, kube::Client); 4];

/// The answer in one line that two servers can agree on.
async fn ask(clients: &Clients, request: &Value) -> String {
    let by = request["by"].as_str().unwrap_or("admin");
    let client = &clients.iter().find(|(name, _)| *name == by).unwrap().1;
    let body = match (request.get("from"), request.get("send"), request.get("text")) {
        (Some(from), ..) => {
            let (_, mut object) = send(client, "GET", from.as_str().unwrap(), "", &Value::Null, String::new()).await;
            json_patch::merge(&mut object, &request["with"]);
            object.to_string()
        }
        (_, Some(sent), _) => sent.to_string(),
        (.., Some(text)) => text.as_str().unwrap().to_owned(),
        _ => String::new(),
    };
    let media_type = match request["as"].as_str().unwrap_or_default() {
        "" if body.is_empty() && request["do"] != "POST" => String::new(),
        "" => "application/json".into(),
        "apply" => "application/apply-patch+yaml".into(),
        "json" | "merge" => format!("application/{}-patch+json", request["as"].as_str().unwrap()),
        "smp" => "application/strategic-merge-patch+json".into(),
        other => other.into(),
    };
    let (code, answer) =
        send(client, request["do"].as_str().unwrap(), request["at"].as_str().unwrap(), &media_type, &request["headers"], body).await;
    format!("{code} {}", comparable(answer))
}

async fn send(client: &kube::Client, method: &str, path: &str, media_type: &str, headers: &Value, body: String) -> (u16, Value) {
    let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path).header("user-agent", "probe/1.0");
    if !media_type.is_empty() {
        request = request.header("content-type", media_type);
    }
    for (name, value) in headers.as_object().into_iter().flatten() {
        request = request.header(name, value.as_str().unwrap());
    }
    let answer = client.send(request.body(Body::from(body.into_bytes())).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let value = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
    (parts.status.as_u16(), value)
}

/// Without what must differ: identities, moments, addresses, and the order in which problems are found.
fn comparable(mut answer: Value) -> Value {
    if answer["kind"].as_str().is_some_and(|kind| kind.ends_with("Review")) {
        // Who asked is of no interest in a question that is not kept; and rules come in any order.
        answer["metadata"] = Value::Null;
        sort(&mut answer["status"]["resourceRules"]);
        sort(&mut answer["status"]["nonResourceRules"]);
        answer["status"]["userInfo"]["groups"] = Value::Null;
    }
    // Who came first within a second is of no interest.
    sort(&mut answer["metadata"]["managedFields"]);
    if answer["kind"] == "Status" {
        sort(&mut answer["details"]["causes"]);
        let several = answer["details"]["causes"].as_array().is_some_and(|causes| causes.len() > 1);
        let shows_document = answer["message"].as_str().is_some_and(|message| message.contains("patch: Invalid value: \"{"));
        if several || shows_document {
            answer["message"] = Value::Null;
        }
        if shows_document {
            answer["details"] = Value::Null;
        }
    }
    blur(&mut answer);
    answer
}

fn sort(list: &mut Value) {
    if let Some(items) = list.as_array_mut() {
        items.sort_by_key(Value::to_string);
    }
}

fn blur(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // Members that are null and members that are not there are the same to whoever reads.
            fields.retain(|_, value| !value.is_null());
            for (key, value) in fields {
                match key.as_str() {
                    "uid" | "resourceVersion" | "creationTimestamp" | "deletionTimestamp" | "time" | "clusterIP" | "clusterIPs"
                    | "nodePort"
                        if *value != "" =>
                    {
                        *value = "~".into();
                    }
                    "continue" => *value = Value::Null,
                    _ => blur(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(blur),
        Value::String(text) => *text = blurred(text),
        _ => (),
    }
}

/// A text without uids, moments and generated names.
fn blurred(text: &str) -> String {
    let is_uid = |word: &str| word.len() == 36 && word.matches('-').count() == 4;
    let is_moment = |word: &str| word.len() == 20 && word.ends_with('Z') && word.contains('T');
    let words = text.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || ['-', ':', '_'].contains(&c)));
    words
        .map(|word| {
            let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            let made = bare.starts_with("A_") && bare.len() == 7;
            if is_uid(bare) || is_moment(bare) || made { format!("~{}", &word[bare.len()..]) } else { word.to_owned() }
        })
        .collect()
}
