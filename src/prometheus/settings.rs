//! Where Prometheus is and how it wants to be asked.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use reqwest::Url;
use secrecy::SecretString;

use super::profile::Custom;
use crate::secret::Secret;

/// Everything the configuration can say about Prometheus.
///
/// `Debug` shows no secret: header values are [`SecretString`], passwords and tokens stay in
/// their files, and an [`Address`] cannot hold one.
#[derive(Debug, Clone)]
pub struct Settings {
    pub url: Address,
    /// Longest time one query may take, connecting included.
    pub timeout: Duration,
    /// Time between two refreshes.
    pub interval: Duration,
    /// How far back rates look; at least four scrape intervals, or rates come and go.
    pub window: Duration,
    /// Read again for every request, so a rotated token is used at once.
    pub bearer_token_file: Option<PathBuf>,
    pub basic_user: Option<String>,
    /// Read again for every request.
    pub basic_password_file: Option<PathBuf>,
    /// PEM; with `client_key_file`.
    pub client_certificate_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    /// PEM; replaces the system's certificate authorities.
    pub ca_file: Option<PathBuf>,
    /// Accept any certificate.
    pub insecure: bool,
    /// Such as `X-Scope-OrgID`.
    pub headers: Vec<(String, SecretString)>,
    /// Such as `X-Api-Key`.
    pub secret_headers: Vec<(String, Secret)>,
    pub profile: ProfileChoice,
    /// Largest answer read, bytes after decompression.
    pub body_limit: usize,
}

impl Settings {
    /// Defaults for everything but the address.
    pub fn new(url: Address) -> Self {
        Self {
            url,
            timeout: Duration::from_secs(10),
            interval: Duration::from_secs(15),
            window: Duration::from_secs(120),
            bearer_token_file: None,
            basic_user: None,
            basic_password_file: None,
            client_certificate_file: None,
            client_key_file: None,
            ca_file: None,
            insecure: false,
            headers: Vec::new(),
            secret_headers: Vec::new(),
            profile: ProfileChoice::Auto,
            body_limit: 16 << 20,
        }
    }

    /// Finds what cannot work before anything is sent.
    ///
    /// # Errors
    /// The first [`Problem`], naming the field and the way out.
    pub fn check(&self) -> Result<(), Problem> {
        self.check_times()?;
        self.check_login()?;
        self.check_tls()?;
        self.check_headers()?;
        match &self.profile {
            ProfileChoice::Custom(custom) => custom.check(),
            _ => Ok(()),
        }
    }

    fn check_times(&self) -> Result<(), Problem> {
        let least = [
            ("timeout", self.timeout, Duration::from_millis(100)),
            ("interval", self.interval, Duration::from_secs(1)),
            ("window", self.window, Duration::from_secs(1)),
        ];
        match least.into_iter().find(|(_, value, least)| value < least) {
            Some((field, value, least)) => Err(Problem::new(
                field,
                format!("{} is too short", humantime::format_duration(value)),
                format!("give at least {}", humantime::format_duration(least)),
            )),
            None => Ok(()),
        }
    }

    fn check_login(&self) -> Result<(), Problem> {
        let basic = self.basic_user.is_some() || self.basic_password_file.is_some();
        if self.bearer_token_file.is_some() && basic {
            return Err(Problem::new("bearer-token-file", "is given together with username", "keep one of the two"));
        }
        if self.basic_user.is_some() != self.basic_password_file.is_some() {
            return Err(Problem::new("username", "needs password-file and the other way round", "give both"));
        }
        let login = basic || self.bearer_token_file.is_some() || self.client_certificate_file.is_some();
        if login && matches!(self.url, Address::Proxy(_)) {
            let fix = "remove it: the API server puts its own login in its place (it needs the right `get services/proxy`)";
            return Err(Problem::new("url", "k8s: addresses cannot carry a login to Prometheus", fix));
        }
        Ok(())
    }

    fn check_tls(&self) -> Result<(), Problem> {
        if self.client_certificate_file.is_some() != self.client_key_file.is_some() {
            return Err(Problem::new("cert-file", "needs key-file and the other way round", "give both"));
        }
        if self.insecure && self.ca_file.is_some() {
            return Err(Problem::new("insecure", "makes ca-file meaningless", "keep one of the two"));
        }
        Ok(())
    }

    fn check_headers(&self) -> Result<(), Problem> {
        let login = self.bearer_token_file.is_some() || self.basic_user.is_some();
        let secret = self.secret_headers.iter().map(|(name, _)| name);
        for name in self.headers.iter().map(|(name, _)| name).chain(secret) {
            if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                return Err(Problem::new("headers", format!("`{name}` is no header name"), "use letters, digits and `-`"));
            }
            if login && name.eq_ignore_ascii_case("authorization") {
                let problem = "Authorization is given beside a token or password";
                return Err(Problem::new("headers", problem, "keep one of the two"));
            }
        }
        Ok(())
    }
}

/// Which questions are asked.
#[derive(Debug, Clone, Default)]
pub enum ProfileChoice {
    /// Look which router's series are there.
    #[default]
    Auto,
    Istio,
    IngressNginx,
    Custom(Box<Custom>),
}

impl FromStr for ProfileChoice {
    type Err = Problem;

    /// Reads the words `auto`, `istio` and `ingress-nginx`; a custom profile is not a word.
    fn from_str(word: &str) -> Result<Self, Problem> {
        match word {
            "auto" => Ok(Self::Auto),
            "istio" => Ok(Self::Istio),
            "ingress-nginx" => Ok(Self::IngressNginx),
            other => Err(Problem::new("profile", format!("`{other}` is unknown"), "use auto, istio, ingress-nginx or custom")),
        }
    }
}

/// Where Prometheus listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Without user, query or fragment; the path prefix ends in `/`.
    Http(Url),
    /// Through the API server.
    Proxy(ServicePath),
}

/// A Service reached through the API server's service proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePath {
    pub namespace: String,
    /// `http` or `https`, as the Service speaks it.
    pub scheme: &'static str,
    pub service: String,
    /// Number or name.
    pub port: String,
    /// Empty, or beginning with `/` and not ending in it.
    pub prefix: String,
}

impl ServicePath {
    /// Path below the API server, without the Prometheus API's own part.
    pub fn base(&self) -> String {
        let scheme = if self.scheme == "https" { "https:" } else { "" };
        let Self { namespace, service, port, prefix, .. } = self;
        format!("/api/v1/namespaces/{namespace}/services/{scheme}{service}:{port}/proxy{prefix}")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => f.write_str(url.as_str().trim_end_matches('/')),
            Self::Proxy(p) => {
                let scheme = if p.scheme == "https" { "https:" } else { "" };
                write!(f, "k8s:{}/{scheme}{}:{}{}", p.namespace, p.service, p.port, p.prefix)
            }
        }
    }
}

const GRAMMAR: &str = "write https://host[:port][/prefix] or k8s:namespace/service:port[/prefix]";

impl FromStr for Address {
    type Err = Problem;

    fn from_str(raw: &str) -> Result<Self, Problem> {
        match raw.strip_prefix("k8s:") {
            Some(path) => service_path(path).map(Self::Proxy),
            None => http_url(raw).map(Self::Http),
        }
    }
}

/// The errors do not repeat the address: it may hold a password typed into it.
fn http_url(raw: &str) -> Result<Url, Problem> {
    let mut url = Url::parse(raw).map_err(|e| Problem::new("url", format!("cannot be read: {e}"), GRAMMAR))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Problem::new("url", "is neither http nor https", GRAMMAR));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Problem::new("url", "holds a user or a password", "move them to username and password-file"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Problem::new("url", "ends in `?…` or `#…`", "give the address only; secrets go to headers or files"));
    }
    let path = format!("{}/", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

fn service_path(raw: &str) -> Result<ServicePath, Problem> {
    let bad = |what: &str| Problem::new("url", format!("k8s: {what}"), GRAMMAR);
    let (namespace, rest) = raw.split_once('/').ok_or_else(|| bad("has no service"))?;
    let (place, prefix) = rest.split_once('/').map_or((rest, ""), |(place, prefix)| (place, prefix));
    let (scheme, place) = match place.split_once(':') {
        Some(("https", rest)) if rest.contains(':') => ("https", rest),
        Some(("http", rest)) if rest.contains(':') => ("http", rest),
        _ => ("http", place),
    };
    let (service, port) = place.split_once(':').ok_or_else(|| bad("has no port"))?;
    if ![namespace, service, port].into_iter().all(dns_word) {
        return Err(bad("may hold only lower case letters, digits, `-` and `.` in its names"));
    }
    let prefix = prefix.trim_matches('/');
    if !prefix.chars().all(|c| c.is_ascii_alphanumeric() || "-._~/".contains(c)) || prefix.contains("..") {
        return Err(bad("has a prefix with characters that do not belong in a path"));
    }
    let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
    Ok(ServicePath { namespace: namespace.into(), scheme, service: service.into(), port: port.into(), prefix })
}

fn dns_word(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.')
}

/// A setting that cannot work, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}; {fix}")]
pub struct Problem {
    /// The name below `[prometheus]`.
    pub field: &'static str,
    pub problem: String,
    pub fix: String,
}

impl Problem {
    pub(crate) fn new(field: &'static str, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { field, problem: problem.into(), fix: fix.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Settings {
        Settings::new(url.parse().unwrap())
    }

    #[test]
    fn addresses_are_read() {
        for (raw, shown) in [
            ("http://localhost:9090", "http://localhost:9090"),
            ("https://mimir.example/prometheus/", "https://mimir.example/prometheus"),
            ("k8s:monitoring/prometheus-operated:9090", "k8s:monitoring/prometheus-operated:9090"),
            ("k8s:m/https:thanos:web/a/b/", "k8s:m/https:thanos:web/a/b"),
        ] {
            assert_eq!(raw.parse::<Address>().unwrap().to_string(), shown);
        }
        let Address::Proxy(path) = "k8s:m/https:thanos:web/a".parse().unwrap() else { panic!() };
        assert_eq!(path.base(), "/api/v1/namespaces/m/services/https:thanos:web/proxy/a");
    }

    #[test]
    fn bad_addresses_are_named_without_being_repeated() {
        for raw in [
            "http://me:hunter2@host",
            "http://host/?token=hunter2",
            "ftp://hunter2",
            "hunter2",
            "k8s:hunter2",
            "k8s:m/hunter2",
            "k8s:m/s:90/../../hunter2",
            "k8s:M/hunter2:1",
            "k8s:m/hunter2:1/%2e",
        ] {
            let problem = raw.parse::<Address>().unwrap_err();
            assert_eq!(problem.field, "url");
            assert!(!problem.to_string().contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn contradictions_are_found() {
        let mut s = settings("http://h");
        s.check().unwrap();
        s.basic_user = Some("u".into());
        assert_eq!(s.check().unwrap_err().field, "username");
        s.basic_password_file = Some("p".into());
        s.check().unwrap();
        s.headers = vec![("Authorization".into(), "x".into())];
        assert_eq!(s.check().unwrap_err().field, "headers");
        s.headers.clear();
        s.bearer_token_file = Some("t".into());
        assert_eq!(s.check().unwrap_err().field, "bearer-token-file");

        let mut s = settings("k8s:a/b:1");
        s.check().unwrap();
        s.bearer_token_file = Some("t".into());
        assert_eq!(s.check().unwrap_err().field, "url");

        let mut s = settings("https://h");
        s.client_key_file = Some("k".into());
        assert_eq!(s.check().unwrap_err().field, "cert-file");
        s.client_key_file = None;
        (s.insecure, s.ca_file) = (true, Some("c".into()));
        assert_eq!(s.check().unwrap_err().field, "insecure");
        s.insecure = false;
        s.interval = Duration::ZERO;
        assert_eq!(s.check().unwrap_err().field, "interval");
    }

    #[test]
    fn debug_shows_no_header_value() {
        let mut s = settings("http://h");
        s.headers.push(("X-Key".into(), "hunter2".into()));
        assert!(!format!("{s:?}").contains("hunter2"));
    }
}
