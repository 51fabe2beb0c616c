//! Telling people: real HTTP and SMTP on loopback, servers that say no, later, or nothing, and processes that are killed in between.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Response, Uri},
};
use rolltop::{
    config::{Config, Sources},
    model::{Id, Text},
    msg::{Body as Message, Msg},
    notify::{
        channel::{Answer, Channel, webhook},
        event::{Event, Kind},
        message,
        outbox::Outbox,
        post::post,
        sender::{Sender, Times},
    },
};
use serde_json::Value;
use tokio::sync::mpsc;

#[path = "notify/command.rs"]
mod command;
#[path = "notify/smtp.rs"]
mod smtp;

const PATIENCE: Duration = Duration::from_secs(10);
const SECRET: &str = "hunter2-T0-B0-XyZ";

/// A request as a provider saw it.
#[derive(Debug, Clone)]
struct Seen {
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
    at: Instant,
}

impl Seen {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

/// A provider that answers by script: with what `answer` says to the n-th request, or never.
struct Provider {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Provider {
    async fn start(answer: impl Fn(usize) -> Option<(u16, &'static str, Option<&'static str>)> + Clone + Send + Sync + 'static) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = seen.clone();
        let app = Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let (log, answer) = (log.clone(), answer.clone());
            async move {
                let n = {
                    let mut log = log.lock().unwrap();
                    log.push(Seen { path: uri.path().into(), headers, body: body.to_vec(), at: Instant::now() });
                    log.len() - 1
                };
                let Some((code, said, after)) = answer(n) else { return std::future::pending().await };
                let mut response = Response::builder().status(code);
                if let Some(after) = after {
                    response = response.header("retry-after", after);
                }
                response.body(Body::from(said)).unwrap()
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, seen }
    }

    async fn always(code: u16, said: &'static str) -> Self {
        Self::start(move |_| Some((code, said, None))).await
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    async fn requests(&self, wanted: usize) -> Vec<Seen> {
        let until = Instant::now() + PATIENCE;
        while self.seen().len() < wanted {
            assert!(Instant::now() < until, "{} of {wanted} requests came", self.seen().len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.seen()
    }
}

/// Settings as people write them, with a secret in a file.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file with a secret, as the settings name it.
    fn secret(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        format!("{{ file = {:?} }}", self.path(name).display().to_string())
    }

    fn settings(&self, text: &str) -> PathBuf {
        let path = self.path("config.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    fn channels(&self, text: &str) -> Vec<Channel> {
        let sources = Sources { file: Some(self.settings(text)), named: true, ..Sources::default() };
        let config = Config::load(&sources, |_| None).unwrap_or_else(|m| panic!("{m}"));
        config.channels.to_vec()
    }

    fn webhook(&self, name: &str, provider: &Provider, more: &str) -> String {
        let secret = self.secret(&format!("{name}-key"), SECRET);
        format!(
            "[[notify]]\nname = \"{name}\"\nkind = \"webhook\"\nurl = \"{}/{name}\"\nsecret = {secret}\ngroup = \"100ms\"\n{more}\n",
            provider.url
        )
    }

    fn slack(&self, provider: &Provider) -> String {
        let url = self.secret("slack", &format!("{}/services/{SECRET}", provider.url));
        format!("[[notify]]\nname = \"team\"\nkind = \"slack\"\nurl = {url}\ngroup = \"100ms\"\n")
    }

    fn outbox(&self) -> Outbox {
        Outbox::open(&self.path("state")).unwrap()
    }

    fn sender(&self, channels: &[Channel]) -> (Sender, mpsc::Receiver<Msg>) {
        let (tx, rx) = mpsc::channel(64);
        let times = Times { look: Duration::from_millis(50), patience: Duration::from_secs(3) };
        (Sender::start(channels.to_vec(), self.outbox(), times, Some(tx)), rx)
    }
}

fn event(name: &str, kind: Kind) -> Event {
    Event {
        at: chrono::Utc::now(),
        kind,
        urgency: kind.row().urgency,
        id: Id { context: "prod-eu".into(), namespace: "shop".into(), kind: "Rollout".into(), name: name.into(), uid: name.into() },
        release: "6f9".into(),
        text: "waits for a human: pause step".into(),
        mark: Text::default(),
        phase: "waiting".into(),
        step: "4/8".into(),
        verdict: "not judged".into(),
        images: vec!["api:v2".into()],
        labels: Default::default(),
    }
}

/// What the screen is told about who could not be told.
async fn untold(rx: &mut mpsc::Receiver<Msg>, wanted: impl Fn(&Option<Text>) -> bool) -> Option<Text> {
    let mut seen = Vec::new();
    let search = async {
        while let Some(msg) = rx.recv().await {
            let Message::Untold(text) = msg.body else { continue };
            if wanted(&text) {
                return Some(text);
            }
            seen.push(text);
        }
        None
    };
    let found = tokio::time::timeout(PATIENCE, search).await.ok().flatten();
    found.unwrap_or_else(|| panic!("the screen was not told; instead: {seen:?}"))
}

fn fits(schema: &str, value: &Value) {
    let path = format!("{}/tests/fixtures/notify/{schema}.schema.json", env!("CARGO_MANIFEST_DIR"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{value:#}");
}

#[tokio::test]
async fn every_provider_gets_what_it_documents_at_its_address() {
    let desk = Desk::new();
    let provider = Provider::always(200, r#"{"ok": true}"#).await;
    let url = &provider.url;
    let all = [
        ("slack", format!("url = {}", desk.secret("slack", &format!("{url}/services/{SECRET}"))), format!("/services/{SECRET}")),
        ("teams", format!("url = {}", desk.secret("teams", &format!("{url}/workflows/{SECRET}"))), format!("/workflows/{SECRET}")),
        (
            "telegram",
            format!("token = {}\nchat = \"-100\"\napi = \"{url}\"", desk.secret("telegram", SECRET)),
            format!("/bot{SECRET}/sendMessage"),
        ),
        (
            "pagerduty",
            format!("key = {{ command = [\"echo\", \"0123456789abcdef0123456789abcdef\"] }}\nurl = \"{url}/v2/enqueue\""),
            "/v2/enqueue".to_owned(),
        ),
        (
            "webhook",
            format!(
                "url = \"{url}/hook\"\nsecret = {}\nheaders = {{ X-Tenant = {} }}",
                desk.secret("key", SECRET),
                desk.secret("t", "shop")
            ),
            "/hook".to_owned(),
        ),
    ];
    for (i, (kind, settings, path)) in all.iter().enumerate() {
        let channels = desk.channels(&format!("[[notify]]\nkind = \"{kind}\"\n{settings}\n"));
        let message = rolltop::notify::message::Message {
            events: vec![event("checkout", Kind::AbortAdvised)],
            ..message::test("", chrono::Utc::now())
        };
        assert_eq!(post(&channels[0], &message, chrono::Utc::now()).await, Answer::Taken("200 ok: {\"ok\": true}".into()), "{kind}");
        let seen = provider.seen();
        assert_eq!((seen.len(), &seen[i].path), (i + 1, path));
        assert_eq!(seen[i].header("content-type"), "application/json");
        fits(kind, &seen[i].json());
    }
    let hook = provider.seen().pop().unwrap();
    let signature = webhook::sign(&SECRET.to_owned().into(), hook.header("webhook-id"), hook.header("webhook-timestamp"), &hook.body);
    assert_eq!((hook.header("webhook-signature"), hook.header("x-tenant")), (signature.as_str(), "shop"));
}

#[tokio::test]
async fn a_release_that_does_several_things_at_once_is_one_message() {
    let desk = Desk::new();
    let provider = Provider::always(200, "ok").await;
    let channels = desk.channels(&desk.webhook("a", &provider, ""));
    let (sender, _rx) = desk.sender(&channels);
    sender.note(vec![event("checkout", Kind::Waits).into(), event("cart", Kind::Waits).into()]);
    sender.note(vec![event("checkout", Kind::AbortAdvised).into()]);
    sender.note(vec![event("checkout", Kind::Waits).into()]);
    provider.requests(2).await;
    sender.close(PATIENCE).await;
    let counts: Vec<usize> = provider.seen().iter().map(|s| s.json()["events"].as_array().unwrap().len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 3, "the second wait is the first one: {counts:?}");
    assert_eq!(counts.len(), 2, "{counts:?}");
    assert_eq!(desk.outbox().count(&channels[0]), 0);
}

#[tokio::test]
async fn too_many_requests_is_taken_at_its_word() {
    let desk = Desk::new();
    let provider = Provider::start(|n| Some(if n == 0 { (429, "rate_limited", Some("2")) } else { (200, "ok", None) })).await;
    let channels = desk.channels(&desk.webhook("a", &provider, ""));
    let (sender, mut rx) = desk.sender(&channels);
    sender.note(vec![event("checkout", Kind::Waits).into()]);
    let said = untold(&mut rx, Option::is_some).await.unwrap();
    assert!(said.contains("a (webhook): 429 too many requests") && said.contains("tried again"), "{said}");
    let seen = provider.requests(2).await;
    assert!(seen[1].at - seen[0].at >= Duration::from_secs(2), "{:?}", seen[1].at - seen[0].at);
    assert_eq!(seen[0].header("webhook-id"), seen[1].header("webhook-id"), "the same message");
    assert_eq!(seen[1].json()["maybe_repeated"], false, "an answer came: it did not arrive");
    assert_eq!(untold(&mut rx, Option::is_none).await, None, "and the screen says that all is well again");
    sender.close(PATIENCE).await;
    assert_eq!(provider.seen().len(), 2);
}

#[tokio::test]
async fn what_is_refused_is_not_tried_again_but_said_and_told_to_the_next() {
    for (code, said) in [(400, "invalid_payload"), (401, ""), (403, "action_prohibited"), (404, "no_service"), (410, "channel_is_archived")]
    {
        let desk = Desk::new();
        let (slack, other) = (Provider::always(code, said).await, Provider::always(200, "ok").await);
        // The next in order is a backup: it is told nothing by itself.
        let channels = desk.channels(&format!("{}{}", desk.slack(&slack), desk.webhook("pager", &other, "backup = true")));
        let (sender, mut rx) = desk.sender(&channels);
        sender.note(vec![event("checkout", Kind::Waits).into()]);
        let text = untold(&mut rx, Option::is_some).await.unwrap();
        assert!(
            text.starts_with(&format!("team (slack): {code} ")) && text.contains(said) && text.contains("pager told instead"),
            "{text}"
        );
        let told = other.requests(1).await[0].json();
        assert!(told["instead_of"][0].as_str().unwrap().starts_with(&format!("team (slack): {code}")), "{told}");
        assert!(told["text"].as_str().unwrap().contains("told here because team (slack)"), "{told}");
        sender.close(PATIENCE).await;
        assert_eq!((slack.seen().len(), other.seen().len()), (1, 1), "{code}");
        assert!(desk.outbox().trouble(&channels[0]).unwrap().text.contains(said), "written down for `rolltop notify`");
        assert_eq!(desk.outbox().count(&channels[0]), 0);
    }
}

#[tokio::test]
async fn a_channel_that_stays_silent_is_not_waited_for() {
    let desk = Desk::new();
    let other = Provider::always(200, "ok").await;
    let dead = Provider { url: "http://127.0.0.1:9".into(), seen: Arc::default() };
    let channels = desk.channels(&format!("{}{}", desk.slack(&dead), desk.webhook("pager", &other, "backup = true")));
    let (sender, mut rx) = desk.sender(&channels);
    sender.note(vec![event("checkout", Kind::Waits).into()]);
    let first = untold(&mut rx, Option::is_some).await.unwrap();
    assert!(first.contains("refused") && !first.contains("instead"), "not at once: {first}");
    other.requests(1).await;
    untold(&mut rx, |t| t.as_ref().is_some_and(|t| t.contains("pager told instead"))).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(other.seen().len(), 1, "once");
    assert_eq!(desk.outbox().count(&channels[0]), 1, "and the first one still gets it when it is back");
    sender.close(PATIENCE).await;
}

#[tokio::test]
async fn nothing_of_a_secret_is_in_what_is_said_about_a_failure() {
    let desk = Desk::new();
    // A server that quotes what it was asked, one that nobody reaches, one that is no address.
    let quoting = Provider::always(404, "no such path: /services/hunter2-T0-B0-XyZ").await;
    for url in [
        format!("{}/services/{SECRET}", quoting.url),
        format!("http://127.0.0.1:9/{SECRET}"),
        format!("not an address {SECRET}"),
        format!("http://example.com/{SECRET}"),
    ] {
        let url = desk.secret("url", &url);
        let channels = desk.channels(&format!("[[notify]]\nkind = \"slack\"\nurl = {url}\n"));
        let answer = post(&channels[0], &message::test("", chrono::Utc::now()), chrono::Utc::now()).await;
        assert!(!matches!(answer, Answer::Taken(_)) && !format!("{answer:?}").contains("hunter2"), "{answer:?}");
    }
}

/// An address that is a secret, and what is sent there, must not travel on.
#[tokio::test]
async fn a_redirection_is_not_followed() {
    let desk = Desk::new();
    let elsewhere = Provider::always(200, "ok").await;
    let to = format!("{}/elsewhere", elsewhere.url);
    let app = Router::new().fallback(move || {
        let to = to.clone();
        async move { Response::builder().status(307).header("location", to).body(Body::empty()).unwrap() }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = desk.secret("url", &format!("http://{}/{SECRET}", listener.local_addr().unwrap()));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let channels = desk.channels(&format!("[[notify]]\nkind = \"teams\"\nurl = {url}\n"));
    let answer = post(&channels[0], &message::test("", chrono::Utc::now()), chrono::Utc::now()).await;
    assert_eq!(answer, Answer::Refused("307 temporary redirect".into()));
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn what_could_not_be_sent_is_sent_by_the_next_session_once() {
    let desk = Desk::new();
    let provider = Provider::start(|n| Some(if n == 0 { (503, "", None) } else { (200, "ok", None) })).await;
    let channels = desk.channels(&desk.webhook("a", &provider, ""));
    let (sender, _rx) = desk.sender(&channels);
    sender.note(vec![event("checkout", Kind::Waits).into()]);
    provider.requests(1).await;
    sender.close(PATIENCE).await;
    assert_eq!((provider.seen().len(), desk.outbox().count(&channels[0])), (1, 1));
    let (sender, _rx) = desk.sender(&channels);
    let seen = provider.requests(2).await;
    // The same look at the same release again: a restart tells nothing anew.
    sender.note(vec![event("checkout", Kind::Waits).into()]);
    sender.close(PATIENCE).await;
    assert_eq!(provider.seen().len(), 2);
    assert_eq!(seen[0].header("webhook-id"), seen[1].header("webhook-id"));
}

#[tokio::test]
async fn of_two_sessions_one_sends() {
    let desk = Desk::new();
    let provider = Provider::always(200, "ok").await;
    let channels = desk.channels(&desk.webhook("a", &provider, ""));
    let ((first, _a), (second, _b)) = (desk.sender(&channels), desk.sender(&channels));
    for name in ["a", "b", "c"] {
        first.note(vec![event(name, Kind::Waits).into()]);
        second.note(vec![event(name, Kind::Waits).into()]);
        // What only the second one sees is sent by the first one, too.
        second.note(vec![event(&format!("{name}2"), Kind::Waits).into()]);
    }
    provider.requests(6).await;
    first.close(PATIENCE).await;
    second.close(PATIENCE).await;
    let mut names: Vec<String> = provider.seen().iter().map(|s| s.json()["events"][0]["id"]["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["a", "a2", "b", "b2", "c", "c2"]);
}

#[tokio::test]
async fn beyond_its_rate_a_channel_gets_one_message_for_all() {
    let desk = Desk::new();
    let provider = Provider::always(200, "ok").await;
    let channels = desk.channels(&desk.webhook("a", &provider, "rate = \"2 per 4s\""));
    let (sender, _rx) = desk.sender(&channels);
    sender.note((0..20).map(|i| event(&format!("r{i}"), Kind::Waits).into()).collect());
    let seen = provider.requests(3).await;
    sender.close(PATIENCE).await;
    let events: Vec<usize> = seen.iter().map(|s| s.json()["events"].as_array().unwrap().len()).collect();
    assert_eq!(events, [1, 1, 18]);
    assert!(seen[2].json()["text"].as_str().unwrap().contains("18 messages in one"));
}

/// The part of the tests below that is killed: it puts or sends, in a process of its own.
#[tokio::test]
async fn a_process_that_is_killed() {
    let (Some(folder), Some(part)) = (std::env::var_os("ROLLTOP_KILL_FOLDER"), std::env::var_os("ROLLTOP_KILL_PART")) else { return };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = Path::new(&folder);
    let sources = Sources { file: Some(folder.join("config.toml")), named: true, ..Sources::default() };
    let channels = Config::load(&sources, |_| None).unwrap().channels.to_vec();
    let outbox = Outbox::open(&folder.join("state")).unwrap();
    if part == "put" {
        let _held = outbox.lock(&channels[0]).unwrap();
        outbox.note(&[event("checkout", Kind::Waits).into()], &channels, chrono::Utc::now()).unwrap();
        std::process::abort();
    }
    let sender = Sender::start(channels, outbox, Times::default(), None);
    sender.note(vec![event("checkout", Kind::Waits).into()]);
    std::future::pending::<()>().await;
}

fn victim(desk: &Desk, part: &str) -> std::process::Child {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "notify::a_process_that_is_killed"])
        .env("ROLLTOP_KILL_FOLDER", desk.folder.path())
        .env("ROLLTOP_KILL_PART", part)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn killed_between_writing_and_sending_it_is_sent_once() {
    let desk = Desk::new();
    let provider = Provider::always(200, "ok").await;
    let channels = desk.channels(&desk.webhook("a", &provider, ""));
    let mut killed = victim(&desk, "put");
    assert!(!killed.wait().unwrap().success());
    assert_eq!((provider.seen().len(), desk.outbox().count(&channels[0])), (0, 1));
    let (sender, _rx) = desk.sender(&channels);
    sender.note(vec![event("checkout", Kind::Waits).into()]);
    let seen = provider.requests(1).await;
    sender.close(PATIENCE).await;
    assert_eq!(provider.seen().len(), 1);
    assert_eq!(seen[0].json()["maybe_repeated"], false, "it was not even begun");
}

/// Nobody can know whether it arrived: it comes again, under the same id, and says so.
#[tokio::test]
async fn killed_between_sending_and_the_answer_it_is_sent_again_and_says_so() {
    let desk = Desk::new();
    let provider = Provider::start(|n| (n > 0).then_some((200, "ok", None))).await;
    let channels = desk.channels(&desk.webhook("a", &provider, ""));
    let mut killed = victim(&desk, "send");
    provider.requests(1).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    let (sender, _rx) = desk.sender(&channels);
    let seen = provider.requests(2).await;
    sender.close(PATIENCE).await;
    assert_eq!(provider.seen().len(), 2);
    assert_eq!(seen[0].header("webhook-id"), seen[1].header("webhook-id"));
    assert_eq!((seen[0].json()["maybe_repeated"].clone(), seen[1].json()["maybe_repeated"].clone()), (false.into(), true.into()));
}
