//! A pretend API server that answers by script and remembers what it was asked, and the other end of it.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, Response, StatusCode},
};
use futures::{StreamExt, stream};
use rolltop::{
    cluster::{self, Connection, Options, Pace, Reader, Scope},
    model::{Link, LinkState, Source},
    msg::{Body as Message, Msg},
    object::{Object, Resource, kinds},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle, time::Instant};

/// Longest any test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// One request as the server saw it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub headers: HeaderMap,
    pub at: Instant,
}

impl Asked {
    pub fn is_watch(&self) -> bool {
        self.query.contains_key("watch")
    }

    pub fn is_streamed_list(&self) -> bool {
        self.query.contains_key("sendInitialEvents")
    }

    /// A list of the collection, by pages.
    pub fn is_list(&self) -> bool {
        self.query.contains_key("limit")
    }

    pub fn is_probe(&self) -> bool {
        self.path == "/version"
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers each request with `answer(request, how many of its sort came before)`.
    pub async fn start(answer: impl Fn(&Asked, usize) -> Response<Body> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, answer)
    }

    pub fn on(listener: TcpListener, answer: impl Fn(&Asked, usize) -> Response<Body> + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let log = asked.clone();
        let answer = Arc::new(answer);
        let router = axum::Router::new().fallback(move |request: Request<Body>| {
            let (log, answer) = (log.clone(), answer.clone());
            async move {
                let asked = describe(&request);
                let sort = |a: &Asked| (a.path.clone(), a.is_watch(), a.is_streamed_list());
                let before = {
                    let mut log = log.lock().unwrap();
                    let before = log.iter().filter(|a| sort(a) == sort(&asked)).count();
                    log.push(asked.clone());
                    before
                };
                let answer = answer(&asked, before);
                if answer.extensions().get::<Never>().is_some() {
                    std::future::pending::<()>().await;
                }
                answer
            }
        });
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { address, asked, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn count(&self, wanted: impl Fn(&Asked) -> bool) -> usize {
        self.asked().iter().filter(|a| wanted(a)).count()
    }
}

fn describe(request: &Request<Body>) -> Asked {
    let pairs = request.uri().query().unwrap_or_default().split('&').filter(|p| !p.is_empty());
    let query = pairs.map(|p| p.split_once('=').unwrap_or((p, ""))).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    Asked {
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        query,
        headers: request.headers().clone(),
        at: Instant::now(),
    }
}

// ---- answers

#[derive(Clone)]
struct Never;

/// No answer, not even its head, for as long as the client waits.
pub fn never() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    answer.extensions_mut().insert(Never);
    answer
}

pub fn json(value: &Value) -> Response<Body> {
    Response::builder().header("content-type", "application/json").body(Body::from(value.to_string())).unwrap()
}

pub fn status(code: u16, message: &str) -> Response<Body> {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code});
    let mut answer = json(&body);
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    answer
}

pub fn html() -> Response<Body> {
    Response::builder()
        .header("content-type", "text/html")
        .body(Body::from("<!doctype html><html><title>Sign in to the Wi-Fi</title></html>\n"))
        .unwrap()
}

/// A server without streamed lists.
pub fn no_streams() -> Response<Body> {
    status(422, "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled")
}

pub fn rollout(name: &str, version: u32) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": version.to_string()},
        "spec": {"replicas": 1},
    })
}

pub fn list(version: u32, items: &[Value]) -> Response<Body> {
    json(&json!({"kind": "RolloutList", "metadata": {"resourceVersion": version.to_string()}, "items": items}))
}

pub fn event(kind: &str, object: &Value) -> String {
    json!({"type": kind, "object": object}).to_string() + "\n"
}

pub fn bookmark(version: u32, ends: bool) -> String {
    let annotations = if ends { json!({"k8s.io/initial-events-end": "true"}) } else { json!({}) };
    event("BOOKMARK", &json!({"metadata": {"resourceVersion": version.to_string(), "annotations": annotations}}))
}

pub fn gone() -> Value {
    json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})
}

/// A watch that says these lines and then ends, or stays open.
pub fn watch(lines: Vec<String>, ends: bool) -> Response<Body> {
    let said = stream::iter(lines.into_iter().map(Ok::<_, Infallible>));
    let body = if ends { Body::from_stream(said) } else { Body::from_stream(said.chain(stream::pending())) };
    Response::builder().header("content-type", "application/json").body(body).unwrap()
}

/// A watch fed from a test.
pub fn fed(lines: mpsc::UnboundedReceiver<String>) -> Response<Body> {
    let body = stream::unfold(lines, |mut lines| async move { lines.recv().await.map(|line| (Ok::<_, Infallible>(line), lines)) });
    Response::builder().body(Body::from_stream(body)).unwrap()
}

/// What a healthy server without streamed lists says when nothing happens.
pub fn healthy(asked: &Asked) -> Response<Body> {
    match asked {
        a if a.is_probe() => json(&json!({"gitVersion": "v1.33.0"})),
        a if a.is_streamed_list() => no_streams(),
        a if a.is_watch() => watch(vec![], false),
        a if a.path == "/apis" => json(&json!({"groups": [{"versions": [{"groupVersion": "argoproj.io/v1alpha1"}]}]})),
        a if a.path == "/apis/argoproj.io/v1alpha1" => json(&json!({"resources": [{"name": "rollouts"}]})),
        _ => list(10, &[rollout("web", 1)]),
    }
}

// ---- the other end

/// Everything ten to a hundred times quicker than life.
pub fn brisk() -> Pace {
    let ms = Duration::from_millis;
    Pace {
        first: ms(20),
        cap: ms(400),
        calm: ms(3_000),
        trust: ms(100),
        answer: ms(400),
        probe_every: ms(250),
        probe_answer: ms(150),
        silence: ms(5_000),
        coalesce: ms(50),
        heard_every: ms(40),
        forbidden: ms(150),
        missing: ms(60),
        stream_idle: ms(120),
        stream_total: ms(600),
        renew: ms(30),
        patience: ms(5_000),
        session: 240..=300,
    }
}

pub struct Kubeconfig {
    folder: tempfile::TempDir,
}

impl Kubeconfig {
    pub fn new(server: &str, cluster: &str, user: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let yaml = format!(
            r#"
apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: c, user: u, namespace: shop}}}}, {{name: other, context: {{cluster: c, user: u}}}}]
clusters: [{{name: c, cluster: {{server: "{server}"{cluster}}}}}]
users: [{{name: u, user: {{{user}}}}}]
"#
        );
        std::fs::write(folder.path().join("config"), yaml).unwrap();
        Self { folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn options(&self) -> Options {
        Options { kubeconfig: Some(self.path()), context: None, timeout: Duration::from_secs(2) }
    }

    pub async fn connect(&self, pace: Pace) -> Connection {
        Connection::load_paced(self.options(), pace).await.unwrap()
    }
}

pub async fn reader(server: &str, pace: Pace) -> Reader {
    Kubeconfig::new(server, "", "").connect(pace).await.reader()
}

/// What arrives at the reducer's door.
pub struct Room {
    pub rx: mpsc::Receiver<Msg>,
    pub task: JoinHandle<()>,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Room {
    pub fn fleet(reader: Reader, scope: Scope) -> Self {
        Self::of(reader, vec![&kinds::ROLLOUT], scope)
    }

    pub fn of(reader: Reader, roots: Vec<&'static Resource>, scope: Scope) -> Self {
        let (tx, rx) = mpsc::channel(1_000);
        Self { rx, task: tokio::spawn(cluster::watch_fleet(reader, roots, scope, tx)) }
    }

    /// Waits for the first message that `wanted` makes something of.
    pub async fn find<T>(&mut self, what: &str, mut wanted: impl FnMut(&Message) -> Option<T>) -> T {
        let mut seen = Vec::new();
        let search = async {
            while let Some(msg) = self.rx.recv().await {
                if let Some(found) = wanted(&msg.body) {
                    return Some(found);
                }
                seen.push(brief(&msg.body));
            }
            None
        };
        let found = tokio::time::timeout(PATIENCE, search).await;
        found.ok().flatten().unwrap_or_else(|| panic!("no {what}; instead: {seen:#?}"))
    }

    pub async fn link(&mut self, what: &str, wanted: impl Fn(&LinkState) -> bool) -> Link {
        self.find(what, |body| match body {
            Message::Link(Source::Fleet | Source::Detail, link) if wanted(&link.state) => Some(link.clone()),
            _ => None,
        })
        .await
    }

    pub async fn live(&mut self) -> Link {
        self.link("live link", |s| *s == LinkState::Live).await
    }

    pub async fn snapshot(&mut self) -> (u32, Vec<String>) {
        self.find("snapshot", |body| match body {
            Message::Snapshot { scope, objects, .. } => Some((*scope, objects.iter().map(name).collect())),
            _ => None,
        })
        .await
    }

    pub async fn applied(&mut self) -> Object {
        self.find("applied", |body| if let Message::Applied { object, .. } = body { Some((**object).clone()) } else { None }).await
    }

    pub async fn note(&mut self) -> String {
        self.find("note", |body| if let Message::Note(text) = body { Some(text.to_string()) } else { None }).await
    }

    /// Everything that arrives within a time.
    pub async fn during(&mut self, time: Duration) -> Vec<Msg> {
        let mut all = Vec::new();
        let until = Instant::now() + time;
        while let Ok(Some(msg)) = tokio::time::timeout_at(until, self.rx.recv()).await {
            all.push(msg);
        }
        all
    }
}

pub fn name(object: &Object) -> String {
    object.meta.name.to_string()
}

pub fn brief(body: &Message) -> String {
    match body {
        Message::Link(source, link) => format!("link {source:?} {:?} {}", link.state, link.detail),
        Message::Snapshot { scope, objects, .. } => format!("snapshot {scope} {:?}", objects.iter().map(name).collect::<Vec<_>>()),
        Message::Applied { object, .. } => format!("applied {} {}", object.meta.name, object.meta.resource_version),
        Message::Deleted { uid, .. } => format!("deleted {uid}"),
        Message::Note(text) => format!("note {text}"),
        other => format!("{other:?}"),
    }
}
