//! What went wrong, in the few words of [`LinkState`]: one table for every way an answer can fail.

use std::{error::Error, io, time::Duration};

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use serde::Deserialize;

use crate::{
    model::{LinkState, Text},
    object::Resource,
};

/// A failure of a connection or of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Trouble {
    pub state: LinkState,
    /// The error as it was given, cleaned.
    pub detail: Text,
    /// How long the server asks us to stay away.
    pub retry_after: Option<Duration>,
    /// The resource version is too old: list again.
    pub gone: bool,
}

/// What was asked, for the words of a refusal.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub verb: &'a str,
    pub resource: Option<&'static Resource>,
    pub namespace: Option<&'a str>,
    /// The command that renews the credentials.
    pub login: &'a str,
}

impl Trouble {
    pub(super) fn new(state: LinkState, detail: impl AsRef<str>) -> Self {
        Self { state, detail: Text::clean(detail.as_ref()), retry_after: None, gone: false }
    }

    pub(super) fn late(what: &str, after: Duration) -> Self {
        Self::new(LinkState::TimedOut, format!("no {what} within {}", humantime::format_duration(after)))
    }

    /// Reads an answer that is not the one hoped for.
    pub(super) fn of_answer(code: StatusCode, headers: &HeaderMap, body: &[u8], ask: &Ask<'_>) -> Self {
        let status = Status::read(body);
        let web_page = status.is_none() && body.trim_ascii_start().starts_with(b"<");
        let said = status.map_or_else(|| first_words(body), |s| s.message);
        let mut trouble = Self::new(state_of(code, web_page, &said, ask), said);
        if trouble.state == LinkState::Garbage {
            trouble.detail = Text::clean(&format!("{code}, which is not an answer of a Kubernetes API server: {}", trouble.detail));
        }
        if trouble.detail.is_empty() {
            trouble.detail = Text::clean(&code.to_string());
        }
        trouble.gone = code == StatusCode::GONE;
        trouble.retry_after = retry_after(headers);
        trouble
    }

    /// Reads the `Status` of an ERROR event of a watch.
    pub(super) fn of_event(body: &[u8], ask: &Ask<'_>) -> Self {
        let code = Status::read(body).map_or(0, |s| s.code);
        let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::of_answer(code, &HeaderMap::new(), body, ask)
    }

    /// Reads an error of the transport by its chain of causes.
    pub(super) fn of_error(error: &kube::Error, login: &str) -> Self {
        if let kube::Error::Auth(e) = error {
            // `AuthExec` carries our own sentence.
            let said = if let kube::client::AuthError::AuthExec(said) = e { said.clone() } else { e.to_string() };
            return Self::new(LinkState::Expired { hint: login.into() }, said);
        }
        let chain = chain(error);
        let state = chain.iter().rev().find_map(|e| state_of_cause(*e)).unwrap_or(LinkState::Cut);
        Self::new(state, deepest(&chain))
    }
}

/// The fields of `metav1.Status` that matter.
#[derive(Deserialize)]
struct Status {
    kind: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    code: u16,
}

impl Status {
    fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|s: &Self| s.kind == "Status")
    }
}

fn state_of(code: StatusCode, web_page: bool, said: &str, ask: &Ask<'_>) -> LinkState {
    match code.as_u16() {
        401 => LinkState::Expired { hint: ask.login.into() },
        200..=399 => LinkState::Garbage,
        403 | 404 | 405 | 400 if web_page => LinkState::Garbage,
        403 => forbidden(said, ask),
        404 => LinkState::CrdMissing { kind: ask.resource.map(|r| r.kind).unwrap_or_default().into() },
        407 => LinkState::NoRoute,
        429 => LinkState::Throttled,
        408 => LinkState::TimedOut,
        code => LinkState::ServerError { code },
    }
}

fn forbidden(said: &str, ask: &Ask<'_>) -> LinkState {
    LinkState::Forbidden {
        verb: ask.verb.into(),
        resource: ask.resource.map(Resource::qualified).unwrap_or_default().into(),
        namespace: ask.namespace.map(Text::from),
        role: role(said, ask.namespace).into(),
    }
}

/// The command an administrator can run. The user's name comes from the refusal itself, and only into the
/// command when it is harmless there.
fn role(said: &str, namespace: Option<&str>) -> String {
    let user = said.split_once("User \"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default();
    let harmless = !user.is_empty() && user.chars().all(|c| c.is_ascii_alphanumeric() || "@.:_-/".contains(c));
    let who = match user.strip_prefix("system:serviceaccount:") {
        Some(account) if harmless => format!("--serviceaccount={account}"),
        _ if harmless => format!("--user={user}"),
        _ => "--user=YOU".into(),
    };
    match namespace {
        Some(ns) => format!("kubectl -n {ns} create rolebinding rolltop-viewer --clusterrole=rolltop-viewer {who}"),
        None => format!("kubectl create clusterrolebinding rolltop-viewer --clusterrole=rolltop-viewer {who}"),
    }
}

fn first_words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(400)]);
    text.split_whitespace().take(20).collect::<Vec<_>>().join(" ")
}

/// `Retry-After` in seconds; the form with a date is not used by API servers.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// All causes, outermost first. An `io::Error` hides the error it wraps from `source`.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut all = vec![error];
    let mut at = error;
    while all.len() < 20 {
        let inner = at.downcast_ref::<io::Error>().and_then(io::Error::get_ref).map(|e| e as &(dyn Error + 'static));
        let Some(next) = inner.or_else(|| at.source()) else { break };
        all.push(next);
        at = next;
    }
    all
}

fn deepest(chain: &[&(dyn Error + 'static)]) -> String {
    let mut words: Vec<String> = chain.iter().rev().take(2).map(ToString::to_string).collect();
    words.reverse();
    if words.len() == 2 && words[0].contains(&words[1]) {
        words.pop();
    }
    words.join(": ")
}

fn state_of_cause(error: &(dyn Error + 'static)) -> Option<LinkState> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(state_of_tls(tls));
    }
    let of_io = error.downcast_ref::<io::Error>().and_then(|io| state_of_io(io.kind()));
    of_io.or_else(|| state_of_words(&error.to_string()))
}

fn state_of_tls(error: &rustls::Error) -> LinkState {
    use rustls::Error as Tls;
    match error {
        Tls::InvalidMessage(_) => LinkState::Garbage,
        Tls::AlertReceived(_) | Tls::InvalidCertificate(_) | Tls::NoCertificatesPresented | Tls::InvalidCertRevocationList(_) => {
            LinkState::BadCertificate
        }
        _ => LinkState::Cut,
    }
}

fn state_of_io(kind: io::ErrorKind) -> Option<LinkState> {
    use io::ErrorKind as K;
    Some(match kind {
        K::ConnectionRefused => LinkState::Refused,
        K::TimedOut => LinkState::TimedOut,
        K::HostUnreachable | K::NetworkUnreachable | K::NetworkDown | K::AddrNotAvailable => LinkState::NoRoute,
        K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof | K::NotConnected => LinkState::Cut,
        _ => return None,
    })
}

/// Errors of hyper and its connectors have no public kind; their words are pinned by the fault tests.
fn state_of_words(words: &str) -> Option<LinkState> {
    let has = |needles: &[&str]| needles.iter().any(|n| words.contains(n));
    if has(&["dns error", "failed to lookup address", "tunnel error", "SOCKS error"]) {
        Some(LinkState::NoRoute)
    } else if has(&["invalid HTTP", "message head is too large", "invalid content-length", "corrupt deflate", "Invalid gzip"]) {
        Some(LinkState::Garbage)
    } else if has(&["connection closed before message completed", "connection was not ready", "error reading a body", "channel closed"]) {
        Some(LinkState::Cut)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::kinds;

    const ASK: Ask<'_> = Ask { verb: "list", resource: Some(&kinds::ROLLOUT), namespace: Some("shop"), login: "oc login" };

    fn of(code: u16, body: &str) -> Trouble {
        Trouble::of_answer(StatusCode::from_u16(code).unwrap(), &HeaderMap::new(), body.as_bytes(), &ASK)
    }

    #[test]
    fn answers() {
        let status = r#"{"kind":"Status","message":"says so","code":500}"#;
        let page = "<html><body>Sign in";
        let missing = LinkState::CrdMissing { kind: "Rollout".into() };
        let expired = LinkState::Expired { hint: "oc login".into() };
        for (code, body, state) in [
            (200, page, LinkState::Garbage),
            (302, "", LinkState::Garbage),
            (401, status, expired.clone()),
            (401, page, expired),
            (403, page, LinkState::Garbage),
            (404, status, missing.clone()),
            (404, "404 page not found", missing),
            (404, page, LinkState::Garbage),
            (407, "", LinkState::NoRoute),
            (408, "", LinkState::TimedOut),
            (422, status, LinkState::ServerError { code: 422 }),
            (429, status, LinkState::Throttled),
            (500, status, LinkState::ServerError { code: 500 }),
            (502, page, LinkState::ServerError { code: 502 }),
            (503, "", LinkState::ServerError { code: 503 }),
        ] {
            assert_eq!(of(code, body).state, state, "{code} {body}");
        }
        assert_eq!(of(500, status).detail, "says so");
        assert!(of(410, status).gone && !of(500, status).gone);
        assert_eq!(of(503, "").detail, "503 Service Unavailable", "there is always something to show");
    }

    #[test]
    fn a_refusal_names_what_to_ask_for() {
        let said = |user: &str| {
            format!(r#"{{"kind":"Status","message":"rollouts.argoproj.io is forbidden: User \"{user}\" cannot list resource"}}"#)
        };
        let LinkState::Forbidden { verb, resource, namespace, role } = of(403, &said("jane@corp")).state else { panic!() };
        assert_eq!((&*verb, &*resource, namespace.as_deref()), ("list", "rollouts.argoproj.io", Some("shop")));
        assert_eq!(role, "kubectl -n shop create rolebinding rolltop-viewer --clusterrole=rolltop-viewer --user=jane@corp");
        let wide = Ask { namespace: None, ..ASK };
        let LinkState::Forbidden { role, .. } = forbidden("User \"system:serviceaccount:ci:bot\" cannot", &wide) else { panic!() };
        assert!(role.ends_with("create clusterrolebinding rolltop-viewer --clusterrole=rolltop-viewer --serviceaccount=ci:bot"), "{role}");
        let LinkState::Forbidden { role, .. } = forbidden("services \"web\" is forbidden: User \"bob\" cannot get", &wide) else {
            panic!()
        };
        assert!(role.ends_with("--user=bob"), "the first quoted name may be the object's: {role}");
        let LinkState::Forbidden { role, .. } = of(403, &said("x; rm -rf ~")).state else { panic!() };
        assert!(role.ends_with("--user=YOU"), "{role}");
    }

    #[test]
    fn throttling_says_how_long() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        let trouble = Trouble::of_answer(StatusCode::TOO_MANY_REQUESTS, &headers, b"slow down", &ASK);
        assert_eq!((trouble.state, trouble.retry_after), (LinkState::Throttled, Some(Duration::from_secs(7))));
        headers.insert(RETRY_AFTER, "Wed, 21 Oct 2026 07:28:00 GMT".parse().unwrap());
        assert_eq!(retry_after(&headers), None);
    }

    #[test]
    fn transport() {
        use io::ErrorKind as K;
        let wrap = |e: Box<dyn Error + Send + Sync>| Trouble::of_error(&kube::Error::Service(e), "").state;
        let io = |kind: K| wrap(Box::new(io::Error::from(kind)));
        for (kind, state) in [
            (K::ConnectionRefused, LinkState::Refused),
            (K::TimedOut, LinkState::TimedOut),
            (K::NetworkUnreachable, LinkState::NoRoute),
            (K::ConnectionReset, LinkState::Cut),
            (K::UnexpectedEof, LinkState::Cut),
            (K::Other, LinkState::Cut),
        ] {
            assert_eq!(io(kind), state, "{kind:?}");
        }
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert_eq!(wrap(Box::new(io::Error::other(tls))), LinkState::BadCertificate, "an io::Error hides its cause from source()");
        assert_eq!(
            wrap(Box::new(io::Error::other(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)))),
            LinkState::Garbage
        );
        let words = |text: &str| wrap(text.into());
        assert_eq!(words("dns error: failed to lookup address information"), LinkState::NoRoute);
        assert_eq!(words("tunnel error: unsuccessful"), LinkState::NoRoute);
        assert_eq!(words("invalid HTTP version parsed"), LinkState::Garbage);
        assert_eq!(words("connection closed before message completed"), LinkState::Cut);
        let auth = kube::Error::Auth(kube::client::AuthError::AuthExec("no".into()));
        assert_eq!(Trouble::of_error(&auth, "aws sso login").state, LinkState::Expired { hint: "aws sso login".into() });
    }
}
