//! One attempt to send one message: the only room that talks to a provider.

use std::time::Duration;

use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};

use super::{
    channel::{Answer, Channel, Request, Way, email, requests},
    message::{Message, shorten},
};
use crate::{
    model::{Text, Time},
    secret::{Source, hide},
    web,
};

const PATIENCE: Duration = Duration::from_secs(15);
/// So much of an answer is read, and shown.
const READ: usize = 16 * 1_024;
const SHOWN: usize = 160;

/// Sends a message once.
pub async fn post(channel: &Channel, message: &Message, now: Time) -> Answer {
    let mut secrets = Vec::new();
    for secret in channel.way.secrets() {
        match secret.get().await {
            Ok(found) => secrets.push(found),
            // No variable appears in a process that runs.
            Err(why) if matches!(secret.source, Source::Env(_)) => return Answer::Refused(why.to_string()),
            // It may be there again soon: a file that is being replaced, a locked password store.
            Err(why) => return Answer::Later { why: why.to_string(), after: None },
        }
    }
    let answer = match &channel.way {
        Way::Email(email) => email::send(email, channel, message, secrets.first().cloned()).await,
        Way::Terminal(_) => Answer::Refused("the terminal is rung by the screen itself".into()),
        _ => over_http(channel, requests(channel, message, &secrets, now)).await,
    };
    clean(answer, &secrets)
}

/// No secret, no control character, and no more than a line.
fn clean(answer: Answer, secrets: &[SecretString]) -> Answer {
    let clean = |text: String| shorten(&Text::clean(&hide(&text, secrets)), SHOWN);
    match answer {
        Answer::Taken(said) => Answer::Taken(clean(said)),
        Answer::Later { why, after } => Answer::Later { why: clean(why), after },
        Answer::Refused(why) => Answer::Refused(clean(why)),
    }
}

async fn over_http(channel: &Channel, requests: Vec<Request>) -> Answer {
    let client = match client(channel) {
        Ok(client) => client,
        Err(why) => return Answer::Refused(why),
    };
    let mut last = Answer::Taken("nothing to be sent".into());
    for request in requests {
        last = send(&client, request).await;
        if !matches!(last, Answer::Taken(_)) {
            break;
        }
    }
    last
}

fn client(channel: &Channel) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .user_agent(web::AGENT)
        // An address that is a secret must not travel on.
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE);
    if let Some(path) = &channel.ca_file {
        let pem = std::fs::read(path).map_err(|e| format!("ca-file {}: {}", path.display(), e.kind()))?;
        let none = || format!("ca-file {} holds no certificate", path.display());
        builder = builder.tls_certs_only(web::authorities(&pem).ok_or_else(none)?);
    }
    builder.build().map_err(|e| format!("TLS cannot be set up: {}", web::cause(&e.without_url())))
}

/// Only where nobody can listen may a secret go in the clear.
fn is_safe(url: &reqwest::Url) -> bool {
    url.scheme() == "https" || url.scheme() == "http" && web::stays_here(url)
}

async fn send(client: &reqwest::Client, request: Request) -> Answer {
    // A parser's error would quote what it could not read.
    let Ok(url) = reqwest::Url::parse(request.url.expose_secret()) else { return Answer::Refused("its address is no URL".into()) };
    if request.secret && !is_safe(&url) {
        return Answer::Refused("its address must begin with https://, as it carries a secret".into());
    }
    let mut post = client.post(url).header("content-type", "application/json").body(request.body);
    for (name, value) in &request.headers {
        let Ok(mut value) = http::HeaderValue::from_str(value.expose_secret()) else {
            return Answer::Refused(format!("the header {name} cannot be sent as it is"));
        };
        value.set_sensitive(true);
        post = post.header(name, value);
    }
    match post.send().await {
        Ok(response) => read(response).await,
        Err(error) => {
            let error = error.without_url();
            let why = if error.is_timeout() { "no answer in time".to_owned() } else { web::cause(&error) };
            Answer::Later { why, after: None }
        }
    }
}

async fn read(mut response: reqwest::Response) -> Answer {
    let (code, asked) = (response.status(), response.headers().get("retry-after").and_then(|v| v.to_str().ok()).map(str::to_owned));
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(READ - body.len())]);
        if body.len() >= READ {
            break;
        }
    }
    let after = asked.as_deref().and_then(|text| seconds(text, chrono::Utc::now()));
    judge(code, after, &String::from_utf8_lossy(&body))
}

/// What an answer means.
fn judge(code: StatusCode, after: Option<Duration>, body: &str) -> Answer {
    let json: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let said = words(&json).unwrap_or_else(|| body.trim().to_owned());
    let named = match code.canonical_reason() {
        Some(reason) => format!("{} {}", code.as_u16(), reason.to_lowercase()),
        None => code.as_u16().to_string(),
    };
    let whole = if said.is_empty() { named } else { format!("{named}: {said}") };
    if code.is_success() {
        return Answer::Taken(whole);
    }
    if code == StatusCode::TOO_MANY_REQUESTS || code == StatusCode::REQUEST_TIMEOUT || code.is_server_error() {
        // Telegram says it in the body.
        let told = json.pointer("/parameters/retry_after").and_then(serde_json::Value::as_u64).map(Duration::from_secs);
        return Answer::Later { why: whole, after: told.or(after) };
    }
    Answer::Refused(whole)
}

/// What the providers' answers say in words.
fn words(json: &serde_json::Value) -> Option<String> {
    let text = |pointer: &str| json.pointer(pointer).and_then(|v| v.as_str()).map(str::to_owned);
    let found = text("/description").or_else(|| text("/error/message")).or_else(|| text("/message")).or_else(|| text("/error"))?;
    let errors: Vec<&str> = json["errors"].as_array().into_iter().flatten().filter_map(|e| e.as_str()).collect();
    Some(if errors.is_empty() { found } else { format!("{found}: {}", errors.join(", ")) })
}

/// `Retry-After`: seconds, or a date.
fn seconds(text: &str, now: Time) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = chrono::DateTime::parse_from_rfc2822(text.trim()).ok()?;
    (at.to_utc() - now).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_put_off_or_final() {
        let judged = |code: u16, body: &str| judge(StatusCode::from_u16(code).unwrap(), Some(Duration::from_secs(7)), body);
        assert_eq!(judged(200, "ok"), Answer::Taken("200 ok: ok".into()));
        assert_eq!(
            judged(202, r#"{"status":"success","message":"Event processed","dedup_key":"x"}"#),
            Answer::Taken("202 accepted: Event processed".into())
        );
        assert_eq!(judged(429, ""), Answer::Later { why: "429 too many requests".into(), after: Some(Duration::from_secs(7)) });
        let telegram = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 30","parameters":{"retry_after":30}}"#;
        let Answer::Later { after, .. } = judged(429, telegram) else { panic!() };
        assert_eq!(after, Some(Duration::from_secs(30)));
        assert!(matches!(judged(503, ""), Answer::Later { .. }));
        for code in [301, 400, 401, 403, 404, 410, 413] {
            assert!(matches!(judged(code, "channel_is_archived"), Answer::Refused(why) if why.contains("channel_is_archived")), "{code}");
        }
        let pagerduty =
            r#"{"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect"]}"#;
        assert_eq!(
            judged(400, pagerduty),
            Answer::Refused("400 bad request: Event object is invalid: Length of 'routing_key' is incorrect".into())
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2026-11-21T10:00:00Z".parse().unwrap();
        assert_eq!(seconds("120", now), Some(Duration::from_secs(120)));
        assert_eq!(seconds("Sat, 21 Nov 2026 10:01:00 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(seconds("soon", now), None);
    }

    #[test]
    fn a_secret_goes_in_the_clear_only_at_home() {
        for (url, fits) in [("https://a.b/c", true), ("http://127.0.0.1:1/", true), ("http://[::1]:1/", true), ("http://a.b/c", false)] {
            assert_eq!(is_safe(&reqwest::Url::parse(url).unwrap()), fits, "{url}");
        }
    }
}
