//! Feature flags' servers as they are: four kinds with the answers they document, and everything that goes wrong between.
//!
//! All goes the whole way: settings, plan, card, consent, writer, journal. Only the cluster is none.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use rolltop::{
    act::Writer,
    config::{Config, Sources},
    engine::flag::{self, Reading},
    guard::{self, Grant},
    journal::Journal,
    msg::{Body, Check, Findings, Outcome},
    object::kinds,
    state::Card,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::server::{Kubeconfig, Server, brisk, reader, status};

const TOKEN: &str = "hunter2-secret";

/// A request as the flag's server saw it.
#[derive(Debug, Clone)]
struct Seen {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Value,
}

/// A server with one flag. Answers are made of what is asked and whether the flag is on.
#[derive(Clone, Default)]
struct Flag(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    off: bool,
    seen: Vec<Seen>,
}

type Answer = fn(&Flag, &Seen) -> Option<Response>;

impl Flag {
    async fn serve(answer: Answer) -> (Self, String) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (flag, listener) = (Self::default(), tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap());
        let (this, address) = (flag.clone(), listener.local_addr().unwrap());
        let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let this = this.clone();
            async move {
                let seen = Seen { method, uri, headers, body: serde_json::from_slice(&body).unwrap_or_default() };
                this.0.lock().unwrap().seen.push(seen.clone());
                match answer(&this, &seen) {
                    Some(response) => response,
                    // Takes it and never answers.
                    None => std::future::pending().await,
                }
            }
        };
        tokio::spawn(axum::serve(listener, Router::new().fallback(handler)).into_future());
        (flag, format!("http://{address}"))
    }

    fn is_off(&self) -> bool {
        self.0.lock().unwrap().off
    }

    fn turn_off(&self) {
        self.0.lock().unwrap().off = true;
    }

    /// Requests that would change something.
    fn writes(&self) -> Vec<Seen> {
        self.0.lock().unwrap().seen.iter().filter(|s| is_write(s)).cloned().collect()
    }

    fn reads(&self) -> usize {
        self.0.lock().unwrap().seen.iter().filter(|s| !is_write(s)).count()
    }
}

fn is_write(seen: &Seen) -> bool {
    seen.method != Method::GET && !seen.uri.path().starts_with("/ofrep/")
}

fn answered(code: u16, body: &Value) -> Option<Response> {
    Some((StatusCode::from_u16(code).unwrap(), [("content-type", "application/json")], body.to_string()).into_response())
}

/// The settings of a plain switch at this server.
fn plain(url: &str, more: &str) -> String {
    format!(
        "[[flags]]\nname = \"new-checkout\"\nrollouts = \"*\"\ntimeout = \"700ms\"\n\
         headers = {{ Authorization = {{ command = [\"echo\", \"{TOKEN}\"], prefix = \"Bearer \" }} }}\n{more}\n\
         [flags.off]\nmethod = \"PUT\"\nurl = \"{url}/v1/flags/new-checkout\"\nbody = '{{\"enabled\": false, \"by\": \"{{namespace}}/{{name}}\"}}'\n\
         [flags.read]\nurl = \"{url}/v1/flags/new-checkout\"\npointer = \"/enabled\"\noff = false\n"
    )
}

fn switch(flag: &Flag, seen: &Seen) -> Option<Response> {
    if is_write(seen) {
        flag.turn_off();
    }
    answered(200, &json!({"name": "new-checkout", "enabled": !flag.is_off()}))
}

/// A writer on a cluster that refuses everything: nothing of a flag may depend on it, nor be sent there.
struct Desk {
    writer: Writer,
    messages: mpsc::Receiver<rolltop::msg::Msg>,
    cluster: Server,
    journal: PathBuf,
    _folder: tempfile::TempDir,
}

impl Desk {
    async fn new() -> Self {
        let cluster = Server::start(|_, _| status(403, "no")).await;
        let client = Kubeconfig::new(&cluster.url(), "", "").connect(brisk()).await.write_client().unwrap();
        let reader = reader(&cluster.url(), brisk()).await;
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal.jsonl");
        let (tx, messages) = mpsc::channel(64);
        let writer = Writer::new(client, reader, Journal::open(&journal).unwrap(), "test".into(), tx);
        Self { writer, messages, cluster, journal, _folder: folder }
    }

    fn card(settings: &str) -> Card {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, settings).unwrap();
        let config = Config::load(&Sources { file: Some(path), named: true, ..Sources::default() }, |_| None).unwrap();
        let flags = config.settings("test", "", |_| None).flags;
        let text = r#"{"metadata": {"namespace": "shop", "name": "checkout", "uid": "u1"}}"#;
        let root = rolltop::cluster::decode::object(&kinds::ROLLOUT, text.as_bytes()).unwrap();
        let rollout = rolltop::engine::workload::bare::rollout(rolltop::model::EngineKind::Argo, "test", &root);
        let name = flags[0].name.clone();
        let plan = flag::plan(&flags, &rollout, &name, "ABORT advised").unwrap();
        Card { plan: Some(plan.clone()), ..Card::asking(1, plan.intent, plan.target, rolltop::clock::now()) }
    }

    async fn next(&mut self) -> Body {
        tokio::time::timeout(Duration::from_secs(10), self.messages.recv()).await.expect("a message in time").unwrap().body
    }

    /// What the card learns before it can be answered.
    async fn rehearsed(&mut self, card: &Card) -> (Reading, Findings) {
        self.writer.rehearse(1, card.plan.clone().unwrap(), &kinds::ROLLOUT, Vec::new());
        let Body::FlagRead { reading, .. } = self.next().await else { panic!("the flag's word comes first") };
        let Body::Rehearsed { findings, .. } = self.next().await else { panic!() };
        (reading, *findings)
    }

    /// Consent, and what came of it; `blindly` with an override.
    async fn carried_out(&mut self, mut card: Card, blindly: bool) -> Outcome {
        card.dry_run = Check::Yes;
        card.rights = Check::Yes;
        card.overridden = blindly;
        card.ready_at = Some(rolltop::clock::now() - chrono::TimeDelta::seconds(5));
        let approved = guard::approve(&card, &Grant::from_writer(&self.writer), rolltop::clock::now()).unwrap();
        self.writer.carry_out(1, approved);
        loop {
            match self.next().await {
                Body::Acted { outcome: Outcome::Sent, .. } => {}
                Body::Acted { outcome, .. } => return outcome,
                other => panic!("{other:?}"),
            }
        }
    }

    async fn reading(&mut self) -> Reading {
        match self.next().await {
            Body::FlagRead { reading, .. } => reading,
            other => panic!("{other:?}"),
        }
    }

    fn journal(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.journal).unwrap();
        assert!(!text.contains(TOKEN), "{text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The whole way against one kind of server: on, switched off by exactly this request, read back as off.
async fn goes_off(answer: Answer, settings: impl Fn(&str) -> String) -> Seen {
    let (flag, url) = Flag::serve(answer).await;
    let mut desk = Desk::new().await;
    let card = Desk::card(&settings(&url));
    let (reading, findings) = desk.rehearsed(&card).await;
    assert!(matches!(reading, Reading::On(_)), "{reading:?}");
    assert_eq!((findings.dry_run, findings.rights), (Check::Yes, Check::Yes));
    assert!(flag.writes().is_empty(), "a rehearsal changes nothing");
    assert_eq!(desk.carried_out(card.clone(), false).await, Outcome::Accepted { generation: 0 });
    assert!(matches!(desk.reading().await, Reading::Off(_)));
    assert!(flag.is_off());
    let (reading, findings) = desk.rehearsed(&card).await;
    assert!(matches!(reading, Reading::Off(_)) && matches!(findings.dry_run, Check::No(_)));
    let said = desk.carried_out(card, false).await;
    assert!(matches!(&said, Outcome::Conflict { said, .. } if said.contains("off already")), "{said:?}");
    let writes = flag.writes();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert!(desk.cluster.asked().iter().all(|asked| !format!("{asked:?}").contains(TOKEN)), "the cluster is told nothing");
    desk.journal();
    writes[0].clone()
}

#[tokio::test]
async fn a_plain_switch() {
    let seen = goes_off(switch, |url| plain(url, "")).await;
    assert_eq!(seen.body, json!({"enabled": false, "by": "shop/checkout"}));
    assert_eq!(seen.headers["authorization"], format!("Bearer {TOKEN}"));
    assert_eq!(seen.headers["content-type"], "application/json");
}

/// The same over TLS, a connection for each request.
fn encrypted(folder: &std::path::Path) -> (String, Arc<Mutex<Vec<String>>>) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use std::io::{Read, Write};
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let (config, listener) = (Arc::new(config), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&seen);
    std::thread::spawn(move || {
        let mut off = false;
        for stream in listener.incoming().flatten() {
            let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(config.clone()).unwrap(), stream);
            let mut request = Vec::new();
            let mut chunk = [0; 4096];
            // Every body here ends with a brace, every head with an empty line.
            while !(request.ends_with(b"}") || (request.starts_with(b"GET") && request.ends_with(b"\r\n\r\n"))) {
                match stream.read(&mut chunk) {
                    Ok(n) if n > 0 => request.extend_from_slice(&chunk[..n]),
                    _ => break,
                }
            }
            if request.is_empty() {
                continue;
            }
            let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
            off |= line.starts_with("PUT");
            log.lock().unwrap().push(line);
            let body = json!({"enabled": !off}).to_string();
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (url, seen)
}

#[tokio::test]
async fn whom_nobody_trusts_is_told_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (url, seen) = encrypted(folder.path());
    let mut desk = Desk::new().await;
    let stranger = Desk::card(&plain(&url, ""));
    let (reading, _) = desk.rehearsed(&stranger).await;
    assert!(matches!(&reading, Reading::Unknown(why) if why.contains("could not be sent")), "{reading:?}");
    let outcome = desk.carried_out(stranger, true).await;
    assert!(matches!(&outcome, Outcome::NotSent { said } if said.contains("could not be sent")), "{outcome:?}");
    assert!(seen.lock().unwrap().is_empty(), "the token stays here");
    let missing = Desk::card(&plain(&url, "ca-file = \"/nowhere/ca.pem\""));
    assert!(matches!(desk.carried_out(missing, true).await, Outcome::NotSent { said } if said.contains("/nowhere/ca.pem")));

    let trusted = format!("ca-file = {:?}", folder.path().join("ca.pem").display().to_string());
    assert_eq!(desk.carried_out(Desk::card(&plain(&url, &trusted)), false).await, Outcome::Accepted { generation: 0 });
    assert!(matches!(desk.reading().await, Reading::Off(_)));
    let writes = seen.lock().unwrap().iter().filter(|line| line.starts_with("PUT")).count();
    assert_eq!(writes, 1);
}

#[tokio::test]
async fn unleash() {
    fn answer(flag: &Flag, seen: &Seen) -> Option<Response> {
        const AT: &str = "/api/admin/projects/shop/features/new-checkout/environments/production";
        if seen.headers.get("authorization").is_none_or(|v| v != TOKEN) {
            return answered(401, &json!({"name": "AuthenticationRequired", "message": "You must log in to use Unleash."}));
        }
        match (seen.method.as_str(), seen.uri.path()) {
            ("POST", path) if path == format!("{AT}/off") => {
                flag.turn_off();
                answered(200, &Value::Null)
            }
            ("GET", AT) => answered(
                200,
                &json!({"environment": "production", "type": "production", "enabled": !flag.is_off(), "strategies": [], "defaultStrategy": null}),
            ),
            _ => answered(404, &json!({"name": "NotFoundError", "message": "The path you were looking for is not available."})),
        }
    }
    let at = "api/admin/projects/shop/features/new-checkout/environments/production";
    let seen = goes_off(answer, |url| {
        format!(
            "[[flags]]\nname = \"new-checkout\"\nrollouts = \"*\"\nheaders = {{ Authorization = {{ command = [\"echo\", \"{TOKEN}\"] }} }}\n\
             [flags.off]\nurl = \"{url}/{at}/off\"\nexpect = {{ status = [200] }}\n[flags.read]\nurl = \"{url}/{at}\"\npointer = \"/enabled\"\noff = false\n"
        )
    })
    .await;
    assert_eq!((seen.method.as_str(), seen.body), ("POST", Value::Null));
}

#[tokio::test]
async fn launch_darkly() {
    fn answer(flag: &Flag, seen: &Seen) -> Option<Response> {
        let patched = seen.method == Method::PATCH;
        if patched && seen.headers["content-type"] != "application/json; domain-model=launchdarkly.semanticpatch" {
            return answered(400, &json!({"code": "invalid_request", "message": "Invalid patch"}));
        }
        if patched && seen.body["instructions"][0]["kind"] == "turnFlagOff" && seen.body["environmentKey"] == "production" {
            flag.turn_off();
        }
        answered(
            200,
            &json!({"key": "new-search", "kind": "boolean", "_version": 2, "environments": {"production": {"on": !flag.is_off(), "archived": false, "_environmentName": "Production"}}}),
        )
    }
    let seen = goes_off(answer, |url| {
        format!(
            "[[flags]]\nname = \"new-search\"\nrollouts = \"*\"\nheaders = {{ Authorization = {{ command = [\"echo\", \"{TOKEN}\"] }} }}\n\
             [flags.off]\nmethod = \"PATCH\"\nurl = \"{url}/api/v2/flags/shop/new-search\"\n\
             headers = {{ Content-Type = \"application/json; domain-model=launchdarkly.semanticpatch\" }}\n\
             body = '{{\"environmentKey\": \"production\", \"instructions\": [{{\"kind\": \"turnFlagOff\"}}], \"comment\": \"{{reason}}\"}}'\n\
             expect = {{ pointer = \"/environments/production/on\", value = false }}\n\
             [flags.read]\nurl = \"{url}/api/v2/flags/shop/new-search?env=production\"\npointer = \"/environments/production/on\"\noff = false\n"
        )
    })
    .await;
    assert_eq!(seen.body["comment"], "ABORT advised");
}

/// flagd takes no writes: its source does, and flagd itself is asked what users get (OFREP).
#[tokio::test]
async fn flagd_behind_its_source() {
    fn answer(flag: &Flag, seen: &Seen) -> Option<Response> {
        match (seen.method.as_str(), seen.uri.path()) {
            ("PUT", "/flags/new-basket/defaultVariant") if seen.body["defaultVariant"] == "off" => {
                flag.turn_off();
                Some(StatusCode::NO_CONTENT.into_response())
            }
            ("POST", "/ofrep/v1/evaluate/flags/new-basket") if seen.body["context"].is_object() => {
                let variant = if flag.is_off() { "off" } else { "on" };
                answered(
                    200,
                    &json!({"key": "new-basket", "reason": "STATIC", "variant": variant, "value": !flag.is_off(), "metadata": {}}),
                )
            }
            _ => answered(404, &json!({"key": "new-basket", "errorCode": "FLAG_NOT_FOUND", "errorDetails": "flag not found"})),
        }
    }
    goes_off(answer, |url| {
        format!(
            "[[flags]]\nname = \"new-basket\"\nrollouts = \"*\"\n[flags.off]\nmethod = \"PUT\"\nurl = \"{url}/flags/new-basket/defaultVariant\"\n\
             body = '{{\"defaultVariant\": \"off\"}}'\n[flags.read]\nmethod = \"POST\"\nurl = \"{url}/ofrep/v1/evaluate/flags/new-basket\"\n\
             body = '{{\"context\": {{}}}}'\npointer = \"/value\"\noff = false\n"
        )
    })
    .await;
}

/// The request is answered as said; reads answer as they should. One request, whatever the answer.
async fn refused_with(answer: Answer) -> (Outcome, Flag, Desk) {
    let (flag, url) = Flag::serve(answer).await;
    let mut desk = Desk::new().await;
    let outcome = desk.carried_out(Desk::card(&plain(&url, "")), false).await;
    (outcome, flag, desk)
}

macro_rules! on_write {
    ($write:expr) => {
        |flag, seen| if is_write(seen) { $write } else { switch(flag, seen) }
    };
}

#[tokio::test]
async fn a_clear_no_is_a_no_and_quotes_no_secret() {
    let cases: [(u16, Answer); 5] = [
        (400, on_write!(answered(400, &json!({"message": "Invalid patch"})))),
        (401, on_write!(answered(401, &json!({"message": format!("token {TOKEN} is unknown")})))),
        (403, on_write!(answered(403, &json!({"message": "You need permission=UPDATE_FEATURE_ENVIRONMENT"})))),
        (404, on_write!(answered(404, &json!({"message": "no such flag"})))),
        (429, on_write!(Some((StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], "slow down").into_response()))),
    ];
    for (code, answer) in cases {
        let (outcome, flag, desk) = refused_with(answer).await;
        let Outcome::Refused { said, done: 0 } = &outcome else { panic!("{code}: {outcome:?}") };
        assert!(said.starts_with(&code.to_string()) && !said.contains(TOKEN), "{said}");
        assert!(code != 429 || said.contains("again in 7 s"), "{said}");
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert_eq!((flag.writes().len(), flag.reads()), (1, 1), "{code}: nothing is sent twice, nothing to be waited for");
        desk.journal();
    }
    let (outcome, ..) = refused_with(on_write!(answered(409, &json!({"message": "change request needed"})))).await;
    assert!(matches!(outcome, Outcome::Conflict { .. }), "{outcome:?}");
    let (outcome, flag, _) =
        refused_with(on_write!(Some((StatusCode::FOUND, [("location", "https://sso.example/login")]).into_response()))).await;
    assert!(matches!(&outcome, Outcome::Refused { said, .. } if said.contains("sso.example")), "{outcome:?}");
    assert_eq!(flag.writes().len(), 1, "a redirect is not followed: a token must not travel");
}

#[tokio::test]
async fn an_unclear_answer_is_unknown_and_the_flag_tells() {
    let cases: [(&str, Answer); 6] = [
        ("500", |flag, seen| if is_write(seen) { answered(500, &json!({})) } else { switch(flag, seen) }),
        ("502", |flag, seen| {
            if is_write(seen) {
                flag.turn_off();
                return Some((StatusCode::BAD_GATEWAY, "<html>bad gateway</html>").into_response());
            }
            switch(flag, seen)
        }),
        ("no answer within 700ms", |flag, seen| {
            if is_write(seen) {
                flag.turn_off();
                return None;
            }
            switch(flag, seen)
        }),
        ("no answer within 700ms", |flag, seen| if is_write(seen) { None } else { switch(flag, seen) }),
        ("408", |flag, seen| if is_write(seen) { answered(408, &json!({})) } else { switch(flag, seen) }),
        ("504", |flag, seen| if is_write(seen) { answered(504, &json!({})) } else { switch(flag, seen) }),
    ];
    for (says, answer) in cases {
        let (outcome, flag, mut desk) = refused_with(answer).await;
        let Outcome::Unknown { said, done: 0 } = &outcome else { panic!("{says}: {outcome:?}") };
        assert!(said.contains(says) && !said.contains('<'), "{said}");
        let off = flag.is_off();
        for _ in 0..if off { 1 } else { 3 } {
            let reading = desk.reading().await;
            assert_eq!(matches!(reading, Reading::Off(_)), off, "{says}: {reading:?}");
        }
        assert_eq!(flag.writes().len(), 1, "{says}: nothing is sent twice");
    }
}

#[tokio::test]
async fn a_yes_that_does_not_say_what_was_expected_is_unknown() {
    let (_, url) =
        Flag::serve(|flag, seen| if is_write(seen) { answered(202, &json!({"queued": true})) } else { switch(flag, seen) }).await;
    for expect in ["expect = { status = [200, 204] }", "expect = { pointer = \"/enabled\", value = false }"] {
        let settings = plain(&url, "").replace("[flags.read]", &format!("{expect}\n[flags.read]"));
        let mut desk = Desk::new().await;
        let outcome = desk.carried_out(Desk::card(&settings), false).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{expect}: {outcome:?}");
        assert!(matches!(desk.reading().await, Reading::On(_)));
    }
}

/// The condition of the card is asked for again, as late as can be.
#[tokio::test]
async fn a_flag_that_cannot_be_read_is_left_alone_unless_a_person_says_otherwise() {
    let cases: [(&str, Answer); 5] = [
        ("401", |flag, seen| if is_write(seen) { switch(flag, seen) } else { answered(401, &json!({"message": format!("not {TOKEN}")})) }),
        ("is no JSON", |flag, seen| if is_write(seen) { switch(flag, seen) } else { Some("<html>hello</html>".into_response()) }),
        ("the answer has no /enabled", |flag, seen| if is_write(seen) { switch(flag, seen) } else { answered(200, &json!({"on": true})) }),
        ("no answer within", |flag, seen| if is_write(seen) { switch(flag, seen) } else { None }),
        ("too long", |flag, seen| if is_write(seen) { switch(flag, seen) } else { Some(vec![b' '; 2 << 20].into_response()) }),
    ];
    for (says, answer) in cases {
        let (flag, url) = Flag::serve(answer).await;
        let mut desk = Desk::new().await;
        let card = Desk::card(&plain(&url, ""));
        let (reading, findings) = desk.rehearsed(&card).await;
        assert!(matches!(&reading, Reading::Unknown(why) if why.contains(says) && !why.contains(TOKEN)), "{says}: {reading:?}");
        assert!(matches!(findings.dry_run, Check::Unknown(_)), "{says}");
        let outcome = desk.carried_out(card.clone(), false).await;
        assert!(matches!(&outcome, Outcome::NotSent { said } if said.contains("could not be read")), "{says}: {outcome:?}");
        assert_eq!(flag.writes().len(), 0, "{says}");
        assert_eq!(desk.carried_out(card, true).await, Outcome::Accepted { generation: 0 });
        assert_eq!(flag.writes().len(), 1, "{says}");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_was_not_sent() {
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let mut desk = Desk::new().await;
    let outcome = desk.carried_out(Desk::card(&plain(&nobody, "")), true).await;
    assert!(matches!(&outcome, Outcome::NotSent { said } if said.contains("could not be sent")), "{outcome:?}");
    let (flag, url) = Flag::serve(switch).await;
    for (secret, says) in [("{ env = \"ROLLTOP_TEST_NO_SUCH\" }", "$ROLLTOP_TEST_NO_SUCH"), ("{ command = [\"false\"] }", "`false`")] {
        let settings = plain(&url, "").replace(&format!("{{ command = [\"echo\", \"{TOKEN}\"], prefix = \"Bearer \" }}"), secret);
        let outcome = desk.carried_out(Desk::card(&settings), true).await;
        assert!(matches!(&outcome, Outcome::NotSent { said } if said.contains(says)), "{outcome:?}");
    }
    assert!(flag.writes().is_empty() && flag.reads() == 0);
}

/// What a plan writes besides comes first: here a cluster that takes nothing.
#[tokio::test]
async fn a_write_before_it_that_is_refused_lets_nothing_out() {
    let (flag, url) = Flag::serve(switch).await;
    let mut desk = Desk::new().await;
    let mut card = Desk::card(&plain(&url, ""));
    let lease = rolltop::engine::Write {
        resource: &kinds::DEPLOYMENT,
        namespace: "shop".into(),
        name: "checkout".into(),
        subresource: None,
        patch: rolltop::engine::Patch::Json(vec![json!({"op": "test", "path": "/spec/replicas", "value": 3})]),
        call: None,
        create: None,
    };
    card.plan.as_mut().unwrap().writes = vec![lease];
    let (_, findings) = desk.rehearsed(&card).await;
    assert_ne!((findings.rights, findings.dry_run), (Check::Yes, Check::Yes));
    let outcome = desk.carried_out(card, true).await;
    assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
    assert!(flag.writes().is_empty());
}

/// An address that is a secret nobody has checked before it is read.
#[tokio::test]
async fn a_secret_address_is_held_to_the_same_rules_and_never_told() {
    let (flag, url) = Flag::serve(switch).await;
    let settings = |address: &str| {
        plain(&url, "").replacen(
            &format!("url = \"{url}/v1/flags/new-checkout\""),
            &format!("url = {{ command = [\"echo\", \"{address}\"] }}"),
            1,
        )
    };
    let mut desk = Desk::new().await;
    let card = Desk::card(&settings(&format!("{url}/hook/{TOKEN}")));
    assert_eq!(card.plan.as_ref().unwrap().sentence, "Switches flag new-checkout off at the address in `echo`");
    assert_eq!(desk.carried_out(card, false).await, Outcome::Accepted { generation: 0 });
    assert_eq!(flag.writes()[0].uri.path(), format!("/hook/{TOKEN}"));
    assert!(matches!(desk.reading().await, Reading::Off(_)));
    for address in ["http://flags.example/off", "file:///etc/passwd", "hunter2"] {
        let outcome = desk.carried_out(Desk::card(&settings(address)), true).await;
        assert!(matches!(&outcome, Outcome::NotSent { said } if !said.contains(address)), "{address}: {outcome:?}");
    }
    assert_eq!(flag.writes().len(), 1);
    desk.journal();
}

#[tokio::test]
async fn the_journal_has_it_before_it_leaves_and_after() {
    let (_flag, url) = Flag::serve(switch).await;
    let mut desk = Desk::new().await;
    desk.carried_out(Desk::card(&plain(&url, "")), false).await;
    let lines = desk.journal();
    let [attempt, outcome] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((attempt["event"].as_str(), outcome["event"].as_str()), (Some("attempt"), Some("outcome")));
    assert_eq!(attempt["intent"], json!({"kill": {"flag": "new-checkout"}}));
    let request = &attempt["request"];
    assert_eq!(request["method"], "PUT");
    assert_eq!(request["url"], format!("{url}/v1/flags/new-checkout"));
    assert_eq!(request["headers"], json!(["Authorization"]));
    assert_eq!(request["body"], json!({"by": "shop/checkout", "enabled": false}).to_string());
    assert_eq!(outcome["outcome"], "accepted");
}
