//! Switching a feature flag off over HTTP: read back, one request, read back again. Nothing is ever sent twice.

use std::{path::PathBuf, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use reqwest::{Url, redirect, retry};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::{
    engine::flag::{Expect, Header, Prepared, Reading, SEEN_WITHIN, Switch, Target, allowed},
    model::Text,
    msg::{Check, Outcome},
    secret::{Secret, hide},
    web,
};

/// Between two looks while the flag should turn off, and later, when hardly anybody waits for it any more.
const SOON: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(5);
/// How long it is looked for at all.
const UNTIL: Duration = Duration::from_secs(300);

/// Longest answer that is read.
const LONGEST: usize = 1 << 20;
/// Longest part of an answer that is told.
const TOLD: usize = 160;

/// A request with everything in it, secrets too. It lives as long as one action.
struct Ready {
    method: &'static str,
    url: Url,
    headers: HeaderMap,
    body: Option<String>,
    timeout: Duration,
    ca_file: Option<PathBuf>,
    /// What must not be told, should an answer quote it.
    hidden: Vec<SecretString>,
}

/// Why there is no answer.
enum Fault {
    /// Nothing has left this machine.
    NotSent(Text),
    /// It may have been taken.
    Lost(Text),
}

impl Fault {
    fn said(self) -> Text {
        match self {
            Self::NotSent(said) | Self::Lost(said) => said,
        }
    }
}

struct Answer {
    status: StatusCode,
    location: Option<String>,
    after: Option<String>,
    body: Vec<u8>,
}

/// What the flag reads now.
pub async fn read(switch: &Switch) -> Reading {
    match ready(&switch.read, switch, &mut Vec::new()).await {
        Ok(request) => look(&request, switch).await,
        Err(said) => Reading::Unknown(said),
    }
}

/// A reading as the card's check: only a flag that is on can be switched off.
pub fn check(reading: &Reading) -> Check {
    match reading {
        Reading::On(_) => Check::Yes,
        Reading::Off(_) => Check::No("it is off already".into()),
        Reading::Unknown(why) => Check::Unknown(why.clone()),
    }
}

/// What came of an action, and what to look at from then on.
pub struct Switched {
    pub outcome: Outcome,
    follow: Option<Ready>,
}

/// Switches it off: once, and only while it still reads on. `blindly` where a person has overridden that this cannot be read.
pub async fn switch_off(switch: &Switch, blindly: bool) -> Switched {
    let mut known = Vec::new();
    let over = |outcome| Switched { outcome, follow: None };
    let requests = match ready(&switch.off, switch, &mut known).await {
        Ok(off) => ready(&switch.read, switch, &mut known).await.map(|read| (off, read)),
        Err(said) => Err(said),
    };
    let (off, read) = match requests {
        Ok(requests) => requests,
        Err(said) => return over(Outcome::NotSent { said }),
    };
    match look(&read, switch).await {
        Reading::On(_) => {}
        Reading::Off(value) => return over(Outcome::Conflict { said: format!("it is off already, it reads {value}").into(), done: 0 }),
        Reading::Unknown(_) if blindly => {}
        Reading::Unknown(why) => return over(Outcome::NotSent { said: format!("whether it is still on could not be read: {why}").into() }),
    }
    let outcome = match send(&off).await {
        Ok(answer) => judged(&answer, &switch.expect, &off),
        Err(Fault::NotSent(said)) => Outcome::NotSent { said },
        Err(Fault::Lost(said)) => Outcome::Unknown { said, done: 0 },
    };
    let may_be = matches!(outcome, Outcome::Accepted { .. } | Outcome::Unknown { .. });
    Switched { outcome, follow: may_be.then_some(read) }
}

impl Switched {
    /// Reads the flag back until it is off, or nobody listens.
    pub async fn follow<F: Future<Output = bool>>(self, switch: &Switch, tell: impl Fn(Reading) -> F) {
        let Some(read) = self.follow else { return };
        let began = tokio::time::Instant::now();
        while began.elapsed() < UNTIL {
            let reading = look(&read, switch).await;
            let is_off = matches!(reading, Reading::Off(_));
            if !tell(reading).await || is_off {
                return;
            }
            tokio::time::sleep(if began.elapsed() < SEEN_WITHIN { SOON } else { LATER }).await;
        }
    }
}

async fn look(request: &Ready, switch: &Switch) -> Reading {
    let answer = match send(request).await {
        Ok(answer) if answer.status.is_success() => answer,
        Ok(answer) => return Reading::Unknown(told(&answer, request)),
        Err(fault) => return Reading::Unknown(fault.said()),
    };
    match serde_json::from_slice::<Value>(&answer.body) {
        Ok(value) => switch.reading(&value),
        Err(_) => Reading::Unknown("the answer is no JSON".into()),
    }
}

/// What the server's answer means. Whatever is not a clear yes or a clear no is unknown; the flag itself tells then.
fn judged(answer: &Answer, expect: &Expect, request: &Ready) -> Outcome {
    let said = told(answer, request);
    let unknown = |said: Text| Outcome::Unknown { said, done: 0 };
    let code = answer.status.as_u16();
    match code {
        200..300 if !expect.status.is_empty() && !expect.status.contains(&code) => unknown(format!("unexpected answer: {said}").into()),
        200..300 if !agrees(&answer.body, expect) => unknown("the answer does not say that it was done".into()),
        200..300 => Outcome::Accepted { generation: 0 },
        408 | 500.. => unknown(said),
        409 | 412 => Outcome::Conflict { said, done: 0 },
        _ => Outcome::Refused { said, done: 0 },
    }
}

fn agrees(body: &[u8], expect: &Expect) -> bool {
    let Some((pointer, wanted)) = &expect.answer else { return true };
    serde_json::from_slice::<Value>(body).is_ok_and(|answer| answer.pointer(pointer) == Some(wanted))
}

/// An answer in words, without what is secret.
fn told(answer: &Answer, request: &Ready) -> Text {
    let status = answer.status;
    let reason = status.canonical_reason().unwrap_or("?");
    let mut text = format!("{} {reason}", status.as_u16());
    if let Some(location) = &answer.location {
        let to = request.url.join(location).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        return format!("{text}: it sends us to {to} (a login page?)").into();
    }
    if let Some(after) = &answer.after {
        text.push_str(&format!(", to be asked again in {after} s"));
    }
    let body = String::from_utf8_lossy(&answer.body);
    let body = body.trim();
    // A page for browsers says nothing here.
    if !body.is_empty() && !body.starts_with('<') {
        let body = hide(body, &request.hidden);
        text.push_str(&format!(": {}", body.chars().take(TOLD).collect::<String>()));
    }
    Text::clean(&text)
}

/// Fetches the secrets and checks the address once more: one that is secret nobody has seen so far. `known` are those fetched
/// already: a command is not run twice for one action.
async fn ready(prepared: &Prepared, switch: &Switch, known: &mut Vec<(Secret, SecretString)>) -> Result<Ready, Text> {
    let url = match &prepared.target {
        Target::Known(url) => url.clone(),
        Target::Secret(secret) => {
            let text = fetched(secret, known).await?;
            Url::parse(text.expose_secret()).map_err(|_| format!("{}: is no address", secret.words()))?
        }
    };
    allowed(&url, switch.insecure)?;
    let mut headers = HeaderMap::new();
    for (name, value) in &prepared.headers {
        let value = match value {
            Header::Plain(text) => HeaderValue::from_str(text),
            Header::Secret(secret) => HeaderValue::from_str(fetched(secret, known).await?.expose_secret()),
        };
        let mut value = value.map_err(|_| format!("header {name}: its value cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("header {name}: this is no name"))?, value);
    }
    if prepared.body.is_some() {
        headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    }
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("application/json"));
    let plain = prepared.headers.iter().filter_map(|(_, value)| match value {
        Header::Plain(text) => Some(SecretString::from(text.as_str())),
        Header::Secret(_) => None,
    });
    let bare = |(secret, whole): &(Secret, SecretString)| {
        [whole.clone(), whole.expose_secret().strip_prefix(&secret.prefix).unwrap_or_default().into()]
    };
    let hidden = known.iter().flat_map(bare).chain(plain).collect();
    Ok(Ready {
        method: prepared.method,
        url,
        headers,
        body: prepared.body.clone(),
        timeout: switch.timeout,
        ca_file: switch.ca_file.clone(),
        hidden,
    })
}

async fn fetched(secret: &Secret, known: &mut Vec<(Secret, SecretString)>) -> Result<SecretString, Text> {
    if let Some((_, value)) = known.iter().find(|(other, _)| other == secret) {
        return Ok(value.clone());
    }
    let value = secret.get().await?;
    known.push((secret.clone(), value.clone()));
    Ok(value)
}

/// One request on a connection of its own: none that a server may have closed, none that would be used for a second try.
async fn send(request: &Ready) -> Result<Answer, Fault> {
    let mut builder = reqwest::Client::builder()
        .user_agent(web::AGENT)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .pool_max_idle_per_host(0)
        .timeout(request.timeout);
    if web::stays_here(&request.url) {
        builder = builder.no_proxy();
    }
    let not_sent = |said: String| Fault::NotSent(said.into());
    if let Some(file) = &request.ca_file {
        let no = |why: String| not_sent(format!("ca-file {}: {why}", file.display()));
        let pem = tokio::fs::read(file).await.map_err(|error| no(error.to_string()))?;
        let trusted = web::authorities(&pem).ok_or_else(|| no("holds no certificate".into()))?;
        builder = builder.tls_certs_only(trusted);
    }
    let client = builder.build().map_err(|error| not_sent(error.to_string()))?;
    let method = reqwest::Method::from_bytes(request.method.as_bytes()).map_err(|error| not_sent(error.to_string()))?;
    let mut sending = client.request(method, request.url.clone()).headers(request.headers.clone());
    if let Some(body) = &request.body {
        sending = sending.body(body.clone());
    }
    let lost = |error: reqwest::Error| match () {
        () if error.is_timeout() && !error.is_connect() => {
            Fault::Lost(format!("no answer within {}", humantime::format_duration(request.timeout)).into())
        }
        () if error.is_connect() || error.is_builder() => Fault::NotSent(format!("could not be sent: {}", web::cause(&error)).into()),
        () => Fault::Lost(web::cause(&error).into()),
    };
    let mut response = sending.send().await.map_err(lost)?;
    let text = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let after = text(header::RETRY_AFTER).filter(|after| after.parse::<u32>().is_ok());
    let location = text(header::LOCATION).filter(|_| response.status().is_redirection());
    let mut answer = Answer { status: response.status(), location, after, body: Vec::new() };
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if answer.body.len() + chunk.len() > LONGEST {
            return Err(Fault::Lost("the answer is too long".into()));
        }
        answer.body.extend_from_slice(&chunk);
    }
    Ok(answer)
}
