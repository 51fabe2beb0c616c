//! Asking Prometheus, directly or through the API server's service proxy.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::{
    Fault,
    answer::{self, Answer},
    settings::{Address, Problem, ServicePath, Settings},
};
use crate::{
    model::{Text, Time},
    web,
};

/// Redirects followed within one server.
const HOPS: usize = 3;
/// How long a secret header is used before it is read again: it may take a program to tell it, and there are queries each second.
const RENEWED: Duration = Duration::from_secs(30);
/// A clock difference below this is network time and the whole seconds of `Date`.
const SKEW_SEEN: i64 = 5_000;
/// Longest wait a server can impose.
const LONGEST_WAIT: u64 = 300;

/// A Prometheus. Cheap to clone; clones share connections and counters.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    way: Way,
    settings: Settings,
    headers: HeaderMap,
    /// Headers whose values are kept elsewhere, as they were read last.
    fetched: tokio::sync::Mutex<Option<(tokio::time::Instant, HeaderMap)>>,
    /// The server once answered 405 to a POST.
    get_only: AtomicBool,
    queries: AtomicU64,
    requests: AtomicU64,
    /// Their clock minus ours, milliseconds.
    skew: AtomicI64,
}

enum Way {
    Http { client: reqwest::Client, base: Url },
    Proxy { cluster: kube::Client, path: ServicePath },
}

/// What was asked since the client was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Instant and range queries.
    pub queries: u64,
    /// Requests on the wire, with probes, redirects and second tries.
    pub requests: u64,
}

/// A status, the headers that matter, and a body within the limit.
struct Reply {
    code: StatusCode,
    after: Option<Duration>,
    location: Option<String>,
    body: Vec<u8>,
}

type Params<'a> = Vec<(&'static str, std::borrow::Cow<'a, str>)>;

impl Client {
    /// Reads certificates and checks the settings; does not connect yet. A rustls crypto provider
    /// must be installed. `cluster` carries `k8s:` addresses; a client that can only read is enough,
    /// and it should not retry on its own, or a refusal looks like a slow server.
    ///
    /// # Errors
    /// A [`Problem`] naming the field that cannot work.
    pub fn new(settings: &Settings, cluster: Option<kube::Client>) -> Result<Self, Problem> {
        settings.check()?;
        let way = match &settings.url {
            Address::Http(base) => Way::Http { client: http_client(settings)?, base: base.clone() },
            Address::Proxy(path) => Way::Proxy {
                cluster: cluster
                    .ok_or_else(|| Problem::new("url", "k8s: needs a cluster", "choose a context, or give an http(s) address"))?,
                path: path.clone(),
            },
        };
        Ok(Self(Arc::new(Inner {
            way,
            headers: headers(&settings.headers)?,
            fetched: tokio::sync::Mutex::default(),
            settings: settings.clone(),
            get_only: AtomicBool::new(false),
            queries: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            skew: AtomicI64::new(0),
        })))
    }

    /// Evaluates a query at one moment.
    ///
    /// # Errors
    /// A [`Fault`]; [`Fault::Query`] if only the query is at fault.
    pub async fn query(&self, promql: &str, at: Time) -> Result<Answer, Fault> {
        let timeout = self.server_timeout();
        let params = vec![("query", promql.into()), ("time", stamp(at).into()), ("timeout", timeout.into())];
        self.ask("api/v1/query", params).await
    }

    /// Evaluates a query at `from`, `from + step`, … up to `to`.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub async fn query_range(&self, promql: &str, from: Time, to: Time, step: Duration) -> Result<Answer, Fault> {
        let params = vec![
            ("query", promql.into()),
            ("start", stamp(from).into()),
            ("end", stamp(to).into()),
            ("step", format!("{}", step.as_secs_f64()).into()),
            ("timeout", self.server_timeout().into()),
        ];
        self.ask("api/v1/query_range", params).await
    }

    /// Whether a Prometheus answers, without a query: its version if it tells one.
    ///
    /// # Errors
    /// A [`Fault`] of the connection.
    pub async fn probe(&self) -> Result<Option<Text>, Fault> {
        let reply = self.in_time(self.get("api/v1/status/buildinfo", &Params::new())).await?;
        if reply.code.is_success() {
            return version(&reply.body);
        }
        if reply.code != StatusCode::NOT_FOUND {
            return Err(self.refusal(&reply));
        }
        // Older and compatible servers have no build info, but tell their health.
        let reply = self.in_time(self.get("-/healthy", &Params::new())).await?;
        if reply.code.is_success() { Ok(None) } else { Err(self.refusal(&reply)) }
    }

    pub fn stats(&self) -> Stats {
        Stats { queries: self.0.queries.load(Relaxed), requests: self.0.requests.load(Relaxed) }
    }

    /// Their clock minus ours; zero where the difference is too small to tell.
    pub fn skew(&self) -> TimeDelta {
        TimeDelta::milliseconds(self.0.skew.load(Relaxed))
    }

    /// A little less than ours, so that the server says why before we hang up.
    fn server_timeout(&self) -> String {
        format!("{}ms", self.0.settings.timeout.as_millis() * 9 / 10)
    }

    async fn ask(&self, path: &str, params: Params<'_>) -> Result<Answer, Fault> {
        self.0.queries.fetch_add(1, Relaxed);
        let reply = self.in_time(self.send_query(path, &params)).await?;
        if reply.code.is_success() { answer::read(&reply.body) } else { Err(self.refusal(&reply)) }
    }

    async fn in_time(&self, work: impl Future<Output = Result<Reply, Fault>>) -> Result<Reply, Fault> {
        let limit = self.0.settings.timeout;
        tokio::time::timeout(limit, work).await.unwrap_or(Err(Fault::TimedOut(limit)))
    }

    /// POST, because a query may be longer than an address is allowed to be; GET where POST is not
    /// (a read-only gateway, the service proxy whose right `get` we have).
    async fn send_query(&self, path: &str, params: &Params<'_>) -> Result<Reply, Fault> {
        let post = matches!(self.0.way, Way::Http { .. }) && !self.0.get_only.load(Relaxed);
        if !post {
            return self.get(path, params).await;
        }
        let reply = self.http(path, params, true).await?;
        if reply.code == StatusCode::METHOD_NOT_ALLOWED {
            self.0.get_only.store(true, Relaxed);
            return self.get(path, params).await;
        }
        Ok(reply)
    }

    async fn get(&self, path: &str, params: &Params<'_>) -> Result<Reply, Fault> {
        match &self.0.way {
            Way::Http { .. } => self.http(path, params, false).await,
            Way::Proxy { cluster, path: service } => self.proxied(cluster, service, path, params).await,
        }
    }

    /// Sends to the configured server, following redirects only within it: a login must not travel.
    async fn http(&self, path: &str, params: &Params<'_>, post: bool) -> Result<Reply, Fault> {
        let Way::Http { client, base } = &self.0.way else { return Err(Fault::Refused) };
        let mut url = base.join(path).map_err(|e| Fault::NoRoute(Text::clean(&e.to_string())))?;
        let form = encoded(params);
        for _ in 0..=HOPS {
            let request = if post {
                let kind = "application/x-www-form-urlencoded";
                client.post(url.clone()).header(header::CONTENT_TYPE, kind).body(form.clone())
            } else {
                url.set_query(Some(&form).filter(|f| !f.is_empty()).map(String::as_str));
                client.get(url.clone())
            };
            let reply = self.exchange(self.with_login(request).await?).await?;
            match reply.location.as_deref().filter(|_| reply.code.is_redirection()) {
                Some(location) => url = next_hop(&url, location)?,
                None => return Ok(reply),
            }
        }
        Err(Fault::Garbage("it redirects in a circle".into()))
    }

    async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Reply, Fault> {
        self.0.requests.fetch_add(1, Relaxed);
        let fault = |e: reqwest::Error| Fault::of_transport(&e.without_url(), self.0.settings.timeout);
        let mut response = request.headers(self.headers().await?).send().await.map_err(fault)?;
        let mut reply = self.reply(response.status(), response.headers());
        while let Some(chunk) = response.chunk().await.map_err(fault)? {
            self.append(&mut reply.body, &chunk)?;
        }
        Ok(reply)
    }

    async fn proxied(&self, cluster: &kube::Client, service: &ServicePath, path: &str, params: &Params<'_>) -> Result<Reply, Fault> {
        self.0.requests.fetch_add(1, Relaxed);
        let query = encoded(params);
        let mark = if query.is_empty() { "" } else { "?" };
        let mut request = http::Request::get(format!("{}/{path}{mark}{query}", service.base()))
            .body(kube::client::Body::empty())
            .map_err(|e| Fault::NoRoute(Text::clean(&e.to_string())))?;
        request.headers_mut().extend(self.headers().await?);
        let response = cluster.send(request).await.map_err(|e| self.cluster_fault(&e))?;
        let mut reply = self.reply(response.status(), response.headers());
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| self.cluster_fault(&e))?;
            if let Some(chunk) = frame.data_ref() {
                self.append(&mut reply.body, chunk)?;
            }
        }
        Ok(reply)
    }

    fn cluster_fault(&self, error: &kube::Error) -> Fault {
        match error {
            kube::Error::Auth(_) => Fault::Unauthorized { hint: "the login to the cluster".into() },
            other => Fault::of_transport(other, self.0.settings.timeout),
        }
    }

    /// Starts a reply from its head, and looks at the server's clock in passing.
    fn reply(&self, code: StatusCode, headers: &HeaderMap) -> Reply {
        let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
        if let Some(date) = text(header::DATE).and_then(|d| DateTime::parse_from_rfc2822(d).ok()) {
            let skew = (date.with_timezone(&Utc) - crate::clock::now()).num_milliseconds();
            self.0.skew.store(if skew.abs() < SKEW_SEEN { 0 } else { skew }, Relaxed);
        }
        Reply {
            code,
            after: text(header::RETRY_AFTER).and_then(|s| s.parse::<u64>().ok()).map(|s| Duration::from_secs(s.min(LONGEST_WAIT))),
            location: text(header::LOCATION).map(str::to_owned),
            body: Vec::new(),
        }
    }

    fn append(&self, body: &mut Vec<u8>, chunk: &[u8]) -> Result<(), Fault> {
        let limit = self.0.settings.body_limit;
        if body.len() + chunk.len() > limit {
            return Err(Fault::TooLarge { limit });
        }
        body.extend_from_slice(chunk);
        Ok(())
    }

    /// The headers of the settings, secret ones as they are now.
    async fn headers(&self) -> Result<HeaderMap, Fault> {
        let mut all = self.0.headers.clone();
        if self.0.settings.secret_headers.is_empty() {
            return Ok(all);
        }
        let mut fetched = self.0.fetched.lock().await;
        fetched.take_if(|(at, _)| at.elapsed() >= RENEWED);
        if fetched.is_none() {
            let mut map = HeaderMap::new();
            for (name, secret) in &self.0.settings.secret_headers {
                let hint = |why: &str| Fault::Unauthorized { hint: Text::clean(&format!("headers.{name}: {why}")) };
                let value = secret.get().await.map_err(|why| hint(&why))?;
                let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| hint("is no header name"))?;
                map.append(key, sensitive(&value).ok_or_else(|| hint("holds characters that cannot be in a header"))?);
            }
            *fetched = Some((tokio::time::Instant::now(), map));
        }
        all.extend(fetched.iter().flat_map(|(_, map)| map.clone()));
        Ok(all)
    }

    async fn with_login(&self, request: reqwest::RequestBuilder) -> Result<reqwest::RequestBuilder, Fault> {
        let s = &self.0.settings;
        if let Some(file) = &s.bearer_token_file {
            let token = secret("bearer-token-file", file).await?;
            let value = SecretString::from(format!("Bearer {}", token.expose_secret()));
            let value = sensitive(&value)
                .ok_or_else(|| Fault::Unauthorized { hint: "bearer-token-file holds characters that cannot be in a token".into() })?;
            return Ok(request.header(header::AUTHORIZATION, value));
        }
        if let (Some(user), Some(file)) = (&s.basic_user, &s.basic_password_file) {
            let password = secret("password-file", file).await?;
            return Ok(request.basic_auth(user, Some(password.expose_secret())));
        }
        Ok(request)
    }

    fn refusal(&self, reply: &Reply) -> Fault {
        let code = reply.code.as_u16();
        if let Way::Proxy { path, .. } = &self.0.way
            && let Some(fault) = answer::refused_by_api(code, &reply.body, &path.namespace, reply.after)
        {
            return fault;
        }
        answer::refused(code, &reply.body, reply.after, self.0.settings.login())
    }
}

impl Settings {
    /// What to renew when the login is refused.
    fn login(&self) -> &'static str {
        if self.bearer_token_file.is_some() {
            "renew the token in bearer-token-file"
        } else if self.basic_user.is_some() {
            "check username and password-file"
        } else if self.client_certificate_file.is_some() {
            "renew cert-file"
        } else {
            "it wants a login: set bearer-token-file, username or cert-file"
        }
    }
}

fn http_client(s: &Settings) -> Result<reqwest::Client, Problem> {
    let mut builder = reqwest::Client::builder()
        .user_agent(web::AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(s.timeout)
        .pool_idle_timeout(Duration::from_secs(90))
        .pool_max_idle_per_host(6);
    if let Some(file) = &s.ca_file {
        let fix = "give a PEM file with `BEGIN CERTIFICATE`";
        let trusted = web::authorities(&read("ca-file", file)?).ok_or_else(|| Problem::new("ca-file", "holds no certificate", fix))?;
        builder = builder.tls_certs_only(trusted);
    }
    if let (Some(certificate), Some(key)) = (&s.client_certificate_file, &s.client_key_file) {
        let mut pem = read("cert-file", certificate)?;
        pem.push(b'\n');
        pem.extend(read("key-file", key)?);
        let identity = reqwest::Identity::from_pem(&pem).map_err(|_| {
            let fix = "give PEM files: `BEGIN CERTIFICATE` and an unencrypted `BEGIN PRIVATE KEY`";
            Problem::new("cert-file", "certificate or key cannot be read", fix)
        })?;
        builder = builder.identity(identity);
    }
    builder.tls_danger_accept_invalid_certs(s.insecure).build().map_err(|e| {
        let field = if s.client_certificate_file.is_some() { "cert-file" } else { "ca-file" };
        let fix = "check that certificate and key belong together, or give ca-file if this machine has no authorities";
        Problem::new(field, format!("TLS cannot be set up: {}", Text::clean(&web::cause(&e))), fix)
    })
}

fn read(field: &'static str, file: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(file).map_err(|e| Problem::new(field, format!("{}: {e}", file.display()), "check the path and its permissions"))
}

/// A secret from its file, as it is now. What the file holds never gets into the error.
async fn secret(field: &str, file: &Path) -> Result<SecretString, Fault> {
    let hint = |e: String| Fault::Unauthorized { hint: Text::clean(&format!("{field} {}: {e}", file.display())) };
    let text = tokio::fs::read_to_string(file).await.map_err(|e| hint(e.to_string()))?;
    match text.trim() {
        "" => Err(hint("the file is empty".into())),
        text => Ok(text.to_owned().into()),
    }
}

fn headers(given: &[(String, SecretString)]) -> Result<HeaderMap, Problem> {
    let mut map = HeaderMap::new();
    for (name, value) in given {
        let bad = || Problem::new("headers", format!("`{name}` cannot be sent"), "use printable ASCII in name and value");
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        map.append(key, sensitive(value).ok_or_else(bad)?);
    }
    Ok(map)
}

/// A header value that prints as `Sensitive`.
fn sensitive(value: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value.expose_secret()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Form encoding, the same for a body and for an address.
fn encoded(params: &Params<'_>) -> String {
    // `Url` brings the only encoder in the tree; the address around it is thrown away.
    let Ok(mut url) = Url::parse("http://x/") else { return String::new() };
    if !params.is_empty() {
        url.query_pairs_mut().extend_pairs(params);
    }
    url.query().unwrap_or_default().to_owned()
}

fn next_hop(from: &Url, location: &str) -> Result<Url, Fault> {
    let elsewhere = |to: &str| {
        let to = Text::clean(to);
        let fix = "give a login, or that address as url";
        Fault::Garbage(Text::clean(&format!("it redirects to {to} (a login page?): {fix}")))
    };
    let to = from.join(location).map_err(|_| elsewhere("an unreadable address"))?;
    let same = to.scheme() == from.scheme() && to.port_or_known_default() == from.port_or_known_default();
    let safer = from.scheme() == "http" && to.scheme() == "https";
    if to.host_str() == from.host_str() && (same || safer) {
        return Ok(to);
    }
    Err(elsewhere(to.host_str().unwrap_or("another place")))
}

fn version(body: &[u8]) -> Result<Option<Text>, Fault> {
    #[derive(serde::Deserialize)]
    struct Info {
        data: Data,
    }
    #[derive(serde::Deserialize)]
    struct Data {
        #[serde(default)]
        version: String,
    }
    let info: Info = serde_json::from_slice(body)
        .map_err(|e| Fault::Garbage(Text::clean(&format!("no build info of a Prometheus ({e}): is this its address?"))))?;
    Ok(Some(info.data.version).filter(|v| !v.is_empty()).map(Text::from))
}

/// Seconds with milliseconds, as the API reads times.
fn stamp(at: Time) -> String {
    format!("{}.{:03}", at.timestamp(), at.timestamp_subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_on_the_server() {
        let from = Url::parse("http://prom.example:9090/x").unwrap();
        for (to, fine) in [
            ("/y", true),
            ("http://prom.example:9090/y", true),
            ("https://prom.example/y", true),
            ("http://prom.example:81/y", false),
            ("http://sso.example:9090/y", false),
            ("//sso.example/y", false),
        ] {
            assert_eq!(next_hop(&from, to).is_ok(), fine, "{to}");
        }
        let secure = Url::parse("https://prom.example/x").unwrap();
        assert!(next_hop(&secure, "http://prom.example/x").is_err(), "never back to plain text");
    }

    #[test]
    fn forms_are_encoded() {
        assert_eq!(encoded(&vec![("query", "a{b=~\"c+d\"}".into())]), "query=a%7Bb%3D%7E%22c%2Bd%22%7D");
        assert_eq!(encoded(&Params::new()), "");
    }

    #[test]
    fn times_keep_their_milliseconds() {
        assert_eq!(stamp(DateTime::from_timestamp_millis(1_700_000_000_005).unwrap()), "1700000000.005");
    }
}
