//! Faults on request: an API server and a Prometheus that misbehave as the real ones do on bad nights.
//!
//! They are set by [`Faults::set`], or by `PUT /demo/faults` with a token of the masters:
//!
//! ```json
//! {
//!   "api": [{"fault": "status", "code": 503, "share": 0.3, "verbs": ["list"], "kinds": ["pods"]}, {"fault": "slow", "millis": 800}],
//!   "prometheus": [{"fault": "hang", "seconds": 20}],
//!   "epoch": true
//! }
//! ```
//!
//! Each request replaces all faults; `{}` ends them. `fault` is one of
//! - `hang`: nothing is answered, watches fall silent, connections stay;
//! - `drop`: connections break, open ones at once and new ones when they ask;
//! - `refuse`: nobody listens on the port;
//! - `status`: answers `code` (with `retry_after` seconds, if given);
//! - `slow`: answers come `millis` late;
//! - `gone`: watches end, and starting one from a resourceVersion is 410.
//!
//! `share` is how many of the requests it strikes (1 means all), `verbs` and `kinds` (plurals) which of them, and after
//! `seconds` of real time it is over. `epoch` is no fault but an event: all history is forgotten and all watches end.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use axum::body::HttpBody;
use axum::{
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::{StreamExt, future, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use super::{
    server::{Connection, Server},
    tokens,
};
use crate::demo::{refusal::Refusal, world::World};

/// Which server misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Api,
    Prometheus,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum Effect {
    Hang,
    Drop,
    Refuse,
    Status {
        code: u16,
        /// Seconds.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    Slow {
        millis: u64,
    },
    Gone,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    #[serde(flatten)]
    pub effect: Effect,
    /// Of the requests that it is about.
    #[serde(default = "all")]
    pub share: f64,
    /// Empty: all.
    #[serde(default)]
    pub verbs: Vec<String>,
    /// Plurals; empty: all.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Of real time, until it is over; `None`: until it is replaced.
    #[serde(default)]
    pub seconds: Option<f64>,
}

fn all() -> f64 {
    1.0
}

impl Fault {
    /// Strikes every request until it is replaced.
    pub fn new(effect: Effect) -> Self {
        Self { effect, share: 1.0, verbs: Vec::new(), kinds: Vec::new(), seconds: None }
    }
}

/// All that is wrong now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    #[serde(default)]
    pub api: Vec<Fault>,
    #[serde(default)]
    pub prometheus: Vec<Fault>,
    #[serde(default)]
    pub epoch: bool,
}

/// The faults of a world.
#[derive(Default)]
pub struct Faults {
    api: Arc<Trouble>,
    prometheus: Arc<Trouble>,
}

/// The faults of one server.
#[derive(Default)]
struct Trouble {
    active: Mutex<Vec<(Fault, Option<Instant>)>>,
    /// Tells whoever waits or streams that something has changed.
    news: watch::Sender<News>,
    server: OnceLock<Arc<Server>>,
    dice: Mutex<Option<fastrand::Rng>>,
}

/// What streams must know.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct News {
    /// Connections break when this grows.
    breaks: u64,
    /// Watches end when this grows.
    ends: u64,
}

impl Faults {
    /// Puts these faults in the place of all others of a server. To be called within a tokio runtime.
    pub fn set(&self, part: Part, faults: Vec<Fault>) {
        self.trouble(part).set(faults);
    }

    /// The server whose port [`Effect::Refuse`] closes.
    pub fn serve(&self, part: Part, server: Arc<Server>) {
        let _ = self.trouble(part).server.set(server);
    }

    /// What is wrong now.
    pub fn plan(&self) -> Plan {
        let faults = |trouble: &Trouble| trouble.current().into_iter().map(|(fault, _)| fault).collect();
        Plan { api: faults(&self.api), prometheus: faults(&self.prometheus), epoch: false }
    }

    fn trouble(&self, part: Part) -> &Arc<Trouble> {
        match part {
            Part::Api => &self.api,
            Part::Prometheus => &self.prometheus,
        }
    }
}

/// Forgets all history, as a restart after a compaction does: watches end, and none can start before now.
pub fn forget(world: &World) {
    world.with(|sim| sim.store.compact());
    world.faults.api.news.send_modify(|news| news.ends += 1);
}

impl Trouble {
    fn set(self: &Arc<Self>, faults: Vec<Fault>) {
        let now = Instant::now();
        let has = |effect: &Effect| faults.iter().any(|fault| fault.effect == *effect);
        let (breaks, ends, refuses) = (has(&Effect::Drop), has(&Effect::Gone), has(&Effect::Refuse));
        let until = |fault: &Fault| fault.seconds.map(|seconds| now + Duration::from_secs_f64(seconds.max(0.0)));
        *lock(&self.active) = faults.into_iter().map(|fault| (fault.clone(), until(&fault))).collect();
        self.news.send_modify(|news| {
            news.breaks += u64::from(breaks);
            news.ends += u64::from(ends);
        });
        if let Some(server) = self.server.get().filter(|_| refuses) {
            tokio::spawn(refuse(self.clone(), server.clone()));
        }
    }

    fn current(&self) -> Vec<(Fault, Option<Instant>)> {
        let now = Instant::now();
        lock(&self.active).iter().filter(|(_, until)| until.is_none_or(|until| until > now)).cloned().collect()
    }

    /// What strikes a request, by the dice.
    fn strikes(&self, asked: &Asked) -> Vec<Effect> {
        let current = self.current();
        if current.is_empty() {
            return Vec::new();
        }
        let mut dice = lock(&self.dice);
        let dice = dice.get_or_insert_with(|| fastrand::Rng::with_seed(1));
        current.into_iter().filter(|(fault, _)| asked.is_meant(fault) && dice.f64() < fault.share).map(|(fault, _)| fault.effect).collect()
    }

    /// Waits as long as answers to this hang.
    async fn flow(&self, asked: &Asked) {
        let mut news = self.news.subscribe();
        loop {
            let hangs = self.current().into_iter().find(|(fault, _)| fault.effect == Effect::Hang && asked.is_meant(fault));
            let Some((_, until)) = hangs else { return };
            tokio::select! {
                _ = news.changed() => (),
                () = over(until) => (),
            }
        }
    }
}

async fn over(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => future::pending().await,
    }
}

/// Keeps the port closed for as long as it is to be.
async fn refuse(trouble: Arc<Trouble>, server: Arc<Server>) {
    let mut news = trouble.news.subscribe();
    server.close().await;
    loop {
        let refused = trouble.current().into_iter().find(|(fault, _)| fault.effect == Effect::Refuse);
        let Some((_, until)) = refused else { break };
        tokio::select! {
            _ = news.changed() => (),
            () = over(until) => (),
        }
    }
    while server.open().await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a request is about, as far as faults care.
#[derive(Debug, Clone, Default, PartialEq)]
struct Asked {
    verb: &'static str,
    kind: String,
    /// Wants to go on where it once was.
    resumes: bool,
}

impl Asked {
    fn new(request: &Request) -> Self {
        let path: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
        let rest = match path.as_slice() {
            ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
            _ => &[],
        };
        let rest = match rest {
            ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
            rest => rest,
        };
        let query = request.uri().query().unwrap_or_default();
        let asks =
            |name: &str| query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value);
        let watches = asks("watch").is_some_and(|value| ["1", "true"].contains(&value));
        let verb = match (request.method().as_str(), rest.len() > 1) {
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "delete",
            ("DELETE", false) => "deletecollection",
            _ if watches => "watch",
            (_, true) => "get",
            (_, false) => "list",
        };
        let resumes = asks("resourceVersion").is_some_and(|version| !["", "0"].contains(&version)) || asks("continue").is_some();
        Self { verb, kind: rest.first().map(|kind| (*kind).to_owned()).unwrap_or_default(), resumes }
    }

    fn is_meant(&self, fault: &Fault) -> bool {
        let among = |list: &[String], name: &str| list.is_empty() || list.iter().any(|entry| entry == name);
        among(&fault.verbs, self.verb) && among(&fault.kinds, &self.kind)
    }
}

/// May delay a request to the API server, never answer it, drop its connection or answer otherwise.
pub async fn intercept(State(world): State<Arc<World>>, request: Request, next: Next) -> Response {
    if request.uri().path() == "/demo/faults" {
        return control(&world, request).await;
    }
    strike(&world.faults.api, request, next, refused_by_api).await
}

/// The same for requests to Prometheus.
pub async fn intercept_prometheus(State(world): State<Arc<World>>, request: Request, next: Next) -> Response {
    strike(&world.faults.prometheus, request, next, refused_by_prometheus).await
}

async fn strike(trouble: &Arc<Trouble>, request: Request, next: Next, refused: fn(u16, Option<u32>) -> Response) -> Response {
    let asked = Asked::new(&request);
    for effect in trouble.strikes(&asked) {
        match effect {
            Effect::Hang => trouble.flow(&asked).await,
            Effect::Slow { millis } => tokio::time::sleep(Duration::from_millis(millis)).await,
            Effect::Status { code, retry_after } => return refused(code, retry_after),
            Effect::Drop => {
                if let Some(ConnectInfo(connection)) = request.extensions().get::<ConnectInfo<Connection>>() {
                    connection.cut();
                }
                return Body::from_stream(stream::once(future::ready(Err::<bytes::Bytes, _>(broken())))).into_response();
            }
            Effect::Gone if asked.resumes && asked.verb == "watch" => return gone_event(),
            Effect::Gone if asked.resumes && asked.verb == "list" => return respond(&gone()),
            Effect::Gone | Effect::Refuse => (),
        }
    }
    let response = next.run(request).await;
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| held(trouble.clone(), asked, body))
}

fn broken() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

/// A stream that shares the fate of its server.
fn held(trouble: Arc<Trouble>, asked: Asked, body: Body) -> Body {
    let news = trouble.news.subscribe();
    let begun = *news.borrow();
    let stream = body.into_data_stream().map(|item| item.map_err(io::Error::other)).boxed();
    Body::from_stream(stream::unfold(Some((stream, news, trouble, asked)), move |state| async move {
        let (mut stream, mut news, trouble, asked) = state?;
        loop {
            tokio::select! {
                biased;
                changed = news.changed() => {
                    let now = *news.borrow_and_update();
                    if now.breaks != begun.breaks {
                        return Some((Err(broken()), None));
                    }
                    if changed.is_err() || (now.ends != begun.ends && asked.verb == "watch") {
                        return None;
                    }
                }
                item = stream.next() => {
                    let item = item?;
                    trouble.flow(&asked).await;
                    return Some((item, Some((stream, news, trouble, asked))));
                }
            }
        }
    }))
}

fn gone() -> Refusal {
    Refusal::new(410, "Expired", "The resourceVersion for the provided watch is too old.")
}

fn gone_event() -> Response {
    let event = json!({"type": "ERROR", "object": gone().status()});
    ([(header::CONTENT_TYPE, "application/json")], format!("{event}\n")).into_response()
}

fn respond(refusal: &Refusal) -> Response {
    let code = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (code, [(header::CONTENT_TYPE, "application/json")], format!("{}\n", refusal.status())).into_response()
}

fn with_retry(mut response: Response, retry_after: Option<u32>) -> Response {
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn refused_by_api(code: u16, retry_after: Option<u32>) -> Response {
    let (reason, message) = match code {
        401 => ("Unauthorized", "Unauthorized"),
        403 => ("Forbidden", "forbidden: the request is not allowed now"),
        410 => ("Expired", "The provided continue parameter is too old to display a consistent list result."),
        429 => ("TooManyRequests", "Too many requests, please try again later."),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
        504 => ("Timeout", "Timeout: request did not complete within the allotted timeout"),
        _ => ("InternalError", "Internal error occurred: etcdserver: request timed out"),
    };
    let mut refusal = Refusal::new(code, reason, message);
    if let Some(seconds) = retry_after {
        refusal.details = json!({"retryAfterSeconds": seconds});
    }
    with_retry(respond(&refusal), retry_after)
}

fn refused_by_prometheus(code: u16, retry_after: Option<u32>) -> Response {
    let kind = match code {
        503 => "timeout",
        422 => "execution",
        _ => "internal",
    };
    let body = json!({"status": "error", "errorType": kind, "error": "the server cannot answer now"});
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    with_retry((code, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response(), retry_after)
}

/// `GET /demo/faults` shows, `PUT` sets.
async fn control(world: &World, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match tokens::user(world, &parts.headers) {
        Ok(user) if user.groups.iter().any(|group| group == tokens::MASTERS) => (),
        Ok(user) => {
            let message = format!("forbidden: User {:?} cannot {} path \"/demo/faults\"", user.name, parts.method.as_str().to_lowercase());
            return respond(&Refusal { details: json!({}), ..Refusal::new(403, "Forbidden", message) });
        }
        Err(refusal) => return respond(&refusal),
    }
    if parts.method == Method::PUT {
        let body = to_bytes(body, 1 << 20).await.unwrap_or_default();
        match serde_json::from_slice::<Plan>(&body) {
            Ok(plan) => carry_out(world, plan),
            Err(error) => return respond(&Refusal::bad_request(format!("the plan of faults cannot be read: {error}"))),
        }
    }
    let plan: Value = serde_json::to_value(world.faults.plan()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], format!("{plan}\n")).into_response()
}

fn carry_out(world: &World, plan: Plan) {
    if plan.epoch {
        forget(world);
    }
    world.faults.set(Part::Api, plan.api);
    world.faults.set(Part::Prometheus, plan.prometheus);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::{Router, middleware, routing};
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::demo::registry::fixtures;

    /// A server that answers everything at once, but a watch with a line every 10 ms.
    async fn serve() -> (Arc<World>, Arc<Server>) {
        let world = fixtures::world(fixtures::sim());
        world.tokens.add("admin", "admin", &[tokens::MASTERS]);
        world.tokens.add("viewer", "viewer", &[]);
        let answer = |request: Request| async move {
            let ticks = stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(10)).await;
                Some((Ok::<_, io::Error>(Bytes::from_static(b"{}\n")), ()))
            });
            if request.uri().query().is_some_and(|query| query.contains("watch=1")) { Body::from_stream(ticks) } else { Body::from("ok") }
        };
        let router = Router::new().fallback(routing::any(answer)).layer(middleware::from_fn_with_state(world.clone(), intercept));
        let server = Arc::new(Server::start(router, None).await.unwrap());
        world.faults.serve(Part::Api, server.clone());
        (world, server)
    }

    fn client() -> reqwest::Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().no_proxy().timeout(Duration::from_millis(400)).build().unwrap()
    }

    async fn get(server: &Server, path: &str) -> Result<u16, reqwest::Error> {
        client().get(format!("{}{path}", server.url())).send().await.map(|answer| answer.status().as_u16())
    }

    const PODS: &str = "/api/v1/namespaces/shop/pods";

    #[tokio::test]
    async fn some_requests_fail_and_others_do_not() {
        let (world, server) = serve().await;
        let fault = Fault {
            verbs: vec!["list".into()],
            kinds: vec!["pods".into()],
            ..Fault::new(Effect::Status { code: 429, retry_after: Some(3) })
        };
        world.faults.set(Part::Api, vec![fault]);
        let answer = client().get(format!("{}{PODS}", server.url())).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (429, "3"));
        assert_eq!(get(&server, &format!("{PODS}/x")).await.unwrap(), 200);
        assert_eq!(get(&server, "/api/v1/services").await.unwrap(), 200);
        world.faults.set(Part::Api, vec![Fault { share: 0.5, ..Fault::new(Effect::Status { code: 503, retry_after: None }) }]);
        let mut failed = 0;
        for _ in 0..40 {
            failed += usize::from(get(&server, PODS).await.unwrap() == 503);
        }
        assert!((8..=32).contains(&failed), "{failed}");
    }

    #[tokio::test]
    async fn hanging_answers_and_streams_go_on_when_it_is_over() {
        let (world, server) = serve().await;
        let mut watch = client().get(format!("{}{PODS}?watch=1", server.url())).send().await.unwrap();
        assert!(watch.chunk().await.unwrap().is_some());
        world.faults.set(Part::Api, vec![Fault { seconds: Some(0.2), ..Fault::new(Effect::Hang) }]);
        let begun = Instant::now();
        assert_eq!(get(&server, PODS).await.unwrap(), 200);
        assert!(begun.elapsed() >= Duration::from_millis(190));
        world.faults.set(Part::Api, vec![Fault::new(Effect::Hang)]);
        assert!(get(&server, PODS).await.unwrap_err().is_timeout());
        world.faults.set(Part::Api, Vec::new());
        assert_eq!(get(&server, PODS).await.unwrap(), 200);
    }

    #[tokio::test]
    async fn connections_break_and_ports_close() {
        let (world, server) = serve().await;
        let mut watch = client().get(format!("{}{PODS}?watch=1", server.url())).send().await.unwrap();
        assert!(watch.chunk().await.unwrap().is_some());
        world.faults.set(Part::Api, vec![Fault::new(Effect::Drop)]);
        while watch.chunk().await.is_ok_and(|chunk| chunk.is_some()) {}
        assert!(!get(&server, PODS).await.unwrap_err().is_timeout());
        world.faults.set(Part::Api, vec![Fault { seconds: Some(0.3), ..Fault::new(Effect::Refuse) }]);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(get(&server, PODS).await.unwrap_err().is_connect());
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(get(&server, PODS).await.unwrap(), 200);
    }

    #[tokio::test]
    async fn watches_end_and_cannot_resume() {
        let (world, server) = serve().await;
        let mut watch = client().get(format!("{}{PODS}?watch=1", server.url())).send().await.unwrap();
        world.faults.set(Part::Api, vec![Fault::new(Effect::Gone)]);
        while watch.chunk().await.unwrap().is_some() {}
        let resumed = client().get(format!("{}{PODS}?watch=1&resourceVersion=5", server.url())).send().await.unwrap();
        let event: Value = serde_json::from_str(&resumed.text().await.unwrap()).unwrap();
        assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
        let mut fresh = client().get(format!("{}{PODS}?watch=1", server.url())).send().await.unwrap();
        assert!(fresh.chunk().await.unwrap().is_some());
        forget(&world);
        while fresh.chunk().await.unwrap().is_some() {}
    }

    #[tokio::test]
    async fn masters_control_them_over_http() {
        let (world, server) = serve().await;
        let put = |token: &'static str, body: &'static str| {
            client().put(format!("{}/demo/faults", server.url())).bearer_auth(token).body(body).send()
        };
        let plan = r#"{"api": [{"fault": "status", "code": 500}], "prometheus": [{"fault": "slow", "millis": 5, "share": 0.5}]}"#;
        assert_eq!(put("viewer", plan).await.unwrap().status().as_u16(), 403);
        assert_eq!(put("admin", r#"{"api": [{"fault": "odd"}]}"#).await.unwrap().status().as_u16(), 400);
        assert_eq!(put("admin", plan).await.unwrap().status().as_u16(), 200);
        assert_eq!(world.faults.plan().prometheus[0].effect, Effect::Slow { millis: 5 });
        assert_eq!(get(&server, PODS).await.unwrap(), 500);
        assert_eq!(put("admin", "{}").await.unwrap().status().as_u16(), 200);
        assert_eq!(get(&server, PODS).await.unwrap(), 200);
    }

    #[test]
    fn requests_are_told_apart() {
        let asked = |method: &str, uri: &str| Asked::new(&Request::builder().method(method).uri(uri).body(Body::empty()).unwrap());
        let is = |verb, kind: &str, resumes| Asked { verb, kind: kind.into(), resumes };
        assert_eq!(
            asked("GET", "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts?watch=1&resourceVersion=7"),
            is("watch", "rollouts", true)
        );
        assert_eq!(asked("GET", "/api/v1/namespaces"), is("list", "namespaces", false));
        assert_eq!(asked("GET", "/api/v1/namespaces/shop"), is("get", "namespaces", false));
        assert_eq!(asked("PATCH", "/apis/apps/v1/namespaces/shop/deployments/web/scale"), is("patch", "deployments", false));
        assert_eq!(asked("GET", "/version"), is("list", "", false));
    }
}
