//! Flagger's load tester: the gates that its hooks ask at, and the load its tasks make.
//!
//! It answers hooks inside the simulation, and people over loopback or through the API server's proxy. As with the real
//! one a gate stays as it was left, and all hooks of a Canary but its rollback hook ask at the same one.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::world::World;
use crate::model::Time;

/// What a load test without words about it does, as `hey` has it.
const WORKERS: f64 = 50.0;
const REQUESTS: f64 = 200.0;
/// Without a limit, each worker asks about as often as a quick answer allows; and no more in all than this.
const EACH: f64 = 4.0;
const MOST: f64 = 200.0;
/// Larger requests are not for it.
const BODY_LIMIT: usize = 64 * 1024;

/// What it knows: gates by name, and what runs.
#[derive(Debug, Default)]
pub struct LoadTester {
    gates: BTreeMap<String, bool>,
    tests: Vec<Test>,
    /// Where it can be asked from outside the cluster: `http://127.0.0.1:1234`.
    pub address: String,
}

/// A load test that runs, or ran.
#[derive(Debug, Clone, PartialEq)]
struct Test {
    command: String,
    canary: String,
    /// `NAME.NAMESPACE` of the Service it calls.
    service: String,
    rps: f64,
    until: Time,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub code: u16,
    pub body: String,
}

impl Answer {
    fn new(code: u16, body: impl Into<String>) -> Self {
        Self { code, body: body.into() }
    }

    fn open(is_open: bool) -> Self {
        if is_open { Self::new(200, "Approved") } else { Self::new(403, "Forbidden") }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload {
    name: String,
    namespace: String,
    metadata: Option<BTreeMap<String, String>>,
}

impl LoadTester {
    /// Answers a request; how it was sent does not matter.
    pub fn answer(&mut self, path: &str, body: &[u8], now: Time) -> Answer {
        match path {
            "/healthz" | "/gate/approve" => return Answer::new(200, "OK"),
            "/gate/halt" => return Answer::new(403, "Forbidden"),
            "/metrics" => return Answer::new(200, ""),
            _ => (),
        }
        let Ok(payload) = serde_json::from_slice::<Payload>(body) else { return Answer::new(400, "") };
        let canary = format!("{}.{}", payload.name, payload.namespace);
        let (gate, verb) = match path.strip_prefix("/rollback/") {
            Some(verb) => (format!("rollback.{canary}"), Some(verb)),
            None => (canary, path.strip_prefix("/gate/")),
        };
        match verb {
            Some("check") => Answer::open(*self.gates.entry(gate).or_default()),
            Some(verb @ ("open" | "close")) => {
                self.gates.insert(gate, verb == "open");
                Answer::new(202, "")
            }
            _ => self.task(&gate, payload.metadata.unwrap_or_default(), now),
        }
    }

    /// Opens or closes a gate by its name, such as `cart.shop` or `rollback.cart.shop`.
    pub fn set(&mut self, gate: &str, is_open: bool) {
        self.gates.insert(gate.to_owned(), is_open);
    }

    fn task(&mut self, canary: &str, metadata: BTreeMap<String, String>, now: Time) -> Answer {
        if metadata.is_empty() {
            return Answer::new(400, "metadata not found in payload");
        }
        match metadata.get("type").map(String::as_str) {
            None | Some("cmd") => (),
            // It has no shell, and what would run in one succeeds.
            Some("bash" | "helm" | "helmv3" | "kubectl") => return Answer::new(200, ""),
            Some(other) => return Answer::new(400, format!("unknown task type {other}")),
        }
        let Some(command) = metadata.get("cmd") else { return Answer::new(400, "cmd not found in metadata") };
        self.tests.retain(|test| test.until > now);
        let is_running = self.tests.iter().any(|test| test.command == *command && test.canary == canary);
        let namespace = canary.rsplit_once('.').map_or("", |(_, namespace)| namespace);
        if let (false, Some((service, rps, lasts))) = (is_running, load(command, namespace)) {
            self.tests.push(Test { command: command.clone(), canary: canary.to_owned(), service, rps, until: now + lasts });
        }
        Answer::new(202, "")
    }

    /// Requests a second that tests send to a Service now.
    pub fn rps(&self, namespace: &str, service: &str, now: Time) -> f64 {
        let called = format!("{service}.{namespace}");
        self.tests.iter().filter(|test| test.until > now && test.service == called).map(|test| test.rps).sum()
    }

    /// Whether any load test runs.
    pub fn is_busy(&self, now: Time) -> bool {
        self.tests.iter().any(|test| test.until > now)
    }
}

/// What a command such as `hey -z 1m -q 10 -c 2 http://cart-canary.shop/` does: whom it calls, how often, how long.
/// A Service without a namespace is taken for one of the Canary's.
fn load(command: &str, namespace: &str) -> Option<(String, f64, Duration)> {
    let words: Vec<&str> = command.split_whitespace().collect();
    if words.first() != Some(&"hey") {
        return None;
    }
    let option = |name: &str| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1)).copied();
    let number = |name: &str| option(name).and_then(|text| text.parse::<f64>().ok()).filter(|number| number.is_finite() && *number > 0.0);
    let rps = (number("-c").unwrap_or(WORKERS) * number("-q").unwrap_or(EACH)).min(MOST);
    let lasts = match option("-z") {
        Some(text) => humantime::parse_duration(text).ok()?,
        None => Duration::from_secs_f64(number("-n").unwrap_or(REQUESTS) / rps),
    };
    let url = words.iter().find_map(|word| word.trim_matches(['"', '\'']).strip_prefix("http://"))?;
    let host = url.split(['/', ':']).next().unwrap_or_default();
    let mut parts = host.split('.');
    let (service, namespace) = (parts.next()?, parts.next().unwrap_or(namespace));
    Some((format!("{service}.{namespace}"), rps, lasts))
}

/// Its HTTP API. `world` is there once the cluster has begun.
pub fn router(world: Arc<OnceLock<Arc<World>>>) -> Router {
    Router::new().fallback(serve).with_state(world)
}

async fn serve(State(world): State<Arc<OnceLock<Arc<World>>>>, request: Request) -> Response {
    let Some(world) = world.get() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let answer = world.with(|sim| {
        let now = sim.now();
        sim.workloads.loadtester.answer(parts.uri.path(), &body, now)
    });
    answer.into_response()
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (code, Body::from(self.body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NG: &[u8] = br#"{"name":"ng","namespace":"shop"}"#;

    #[test]
    fn gates_answer_as_the_real_ones() {
        let mut tester = LoadTester::default();
        let mut ask = |path: &str, body: &[u8]| {
            let answer = tester.answer(path, body, Time::UNIX_EPOCH);
            (answer.code, answer.body)
        };
        let said = |code: u16, body: &str| (code, body.to_owned());
        assert_eq!(ask("/gate/check", NG), said(403, "Forbidden"));
        assert_eq!(ask("/gate/open", NG), said(202, ""));
        assert_eq!(ask("/gate/check", NG), said(200, "Approved"));
        assert_eq!(ask("/gate/check", NG), said(200, "Approved"), "a gate does not close by itself");
        assert_eq!(ask("/rollback/check", NG), said(403, "Forbidden"), "it has a key of its own");
        assert_eq!((ask("/rollback/open", NG), ask("/rollback/check", NG)), (said(202, ""), said(200, "Approved")));
        assert_eq!((ask("/gate/close", NG), ask("/gate/check", NG)), (said(202, ""), said(403, "Forbidden")));
        assert_eq!(ask("/gate/approve", b""), said(200, "OK"));
        assert_eq!(ask("/gate/halt", b""), said(403, "Forbidden"));
        // An empty body is refused, an empty object opens a gate without a name.
        assert_eq!((ask("/gate/open", b""), ask("/gate/open", b"{}")), (said(400, ""), said(202, "")));
        assert_eq!(ask("/healthz", b""), said(200, "OK"));
        assert_eq!(ask("/", NG), said(400, "metadata not found in payload"));
    }

    #[test]
    fn load_tests_call_a_service_for_a_while_and_not_twice() {
        let mut tester = LoadTester::default();
        let body = br#"{"name":"ng","namespace":"shop","metadata":{"cmd":"hey -z 1m -q 5 -c 2 http://ng-canary.shop:80/"}}"#;
        let at = |second: i64| Time::UNIX_EPOCH + chrono::TimeDelta::seconds(second);
        assert_eq!(tester.answer("/", body, at(0)).code, 202);
        assert_eq!(tester.answer("/", body, at(30)).code, 202);
        let rps = [59, 61].map(|second| tester.rps("shop", "ng-canary", at(second)));
        assert_eq!((rps, tester.rps("shop", "ng", at(1))), ([10.0, 0.0], 0.0));
        assert_eq!(load("wrk http://a.b/", "c"), None);
        assert_eq!(load("hey -n 100 -c 1 -q 10 http://a/", "b"), Some(("a.b".into(), 10.0, Duration::from_secs(10))));
    }
}
