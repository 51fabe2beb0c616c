//! From a kubeconfig, or from inside a cluster, to something that can connect.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::Uri;
use k8s_openapi::ByteString;
use kube::{
    Config,
    config::{AuthInfo, Cluster, Kubeconfig},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{Pace, Reader, gate, plugin, proxy, wire::Wire};
use crate::model::{Text, Time};

/// What to connect to.
#[derive(Debug, Clone)]
pub struct Options {
    /// A file instead of `$KUBECONFIG` and `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// A context instead of the file's current one.
    pub context: Option<String>,
    /// How long one answer, or a credential plugin, may take.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { kubeconfig: None, context: None, timeout: Duration::from_secs(10) }
    }
}

/// Why there is nothing to connect with. Each says where the fault is and what helps.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    #[error("no kubeconfig: {looked} does not exist, and this is no pod of a cluster. Name one with --kubeconfig or $KUBECONFIG")]
    NoKubeconfig { looked: String },
    #[error("the kubeconfig {path} cannot be read: {error}")]
    Unreadable { path: String, error: String },
    #[error("the kubeconfig {path} is not valid: {error}")]
    Invalid { path: String, error: String },
    #[error("the kubeconfig names no current context. Choose one with --context: {}", list(contexts))]
    NoCurrentContext { contexts: Vec<String> },
    #[error("there is no context {asked:?} in the kubeconfig. There are: {}", list(contexts))]
    UnknownContext { asked: String, contexts: Vec<String> },
    #[error(
        "context {context:?} names the cluster {cluster:?}, which the kubeconfig does not have. Add it under `clusters`, or choose another --context"
    )]
    UnknownCluster { context: String, cluster: String },
    #[error("the server of cluster {cluster:?} is {server:?}, which is no http(s) address. Correct `server` in the kubeconfig")]
    BadServer { cluster: String, server: String },
    #[error(
        "the certificate authority of cluster {cluster:?} cannot be used: {error}. Correct `certificate-authority(-data)` in the kubeconfig"
    )]
    BadAuthority { cluster: String, error: String },
    #[error("{setting}={value:?} is no address of an http, https or socks5 proxy. Correct or unset it")]
    BadProxy { setting: String, value: String },
    #[error("the credential plugin `{command}` cannot be started: {error}. {hint}")]
    PluginMissing { command: Text, error: String, hint: Text },
    #[error("the credential plugin failed ({status}){}. Run it by hand: {command}", words(said))]
    PluginFailed { command: Text, status: String, said: Text },
    #[error("the credential plugin gave no answer within {}{}. It may want to ask you something; run it by hand: {command}", humantime::format_duration(*after), words(said))]
    PluginTimedOut { command: Text, after: Duration, said: Text },
    #[error("the credential plugin answers something unexpected: {said}. Run it by hand: {command}")]
    PluginGarbled { command: Text, said: Text },
    #[error("the credentials of {user:?} cannot be used: {error}. Correct `users` in the kubeconfig")]
    BadCredentials { user: String, error: String },
    #[error("context {context:?} now leads to {now} instead of {before}: start rolltop again to follow it")]
    Moved { context: String, before: String, now: String },
    #[error(
        "the files of this pod's service account cannot be used: {error}. Mount them (automountServiceAccountToken), or use --kubeconfig"
    )]
    InCluster { error: String },
}

fn list(contexts: &[String]) -> String {
    if contexts.is_empty() { "none".into() } else { contexts.join(", ") }
}

fn words(said: &Text) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// How to connect, and as whom. No request has been sent yet.
#[derive(Debug, Clone)]
pub struct Connection {
    wire: Wire,
    target: Target,
    pace: Pace,
}

impl Connection {
    /// Reads the kubeconfig and makes a client. Runs the credential plugin, if there is one.
    ///
    /// # Errors
    /// A [`ConnectError`] that names place and fix.
    pub async fn load(options: Options) -> Result<Self, ConnectError> {
        let pace = Pace { answer: options.timeout, ..Pace::default() };
        Self::load_paced(options, pace).await
    }

    /// As [`Self::load`], at another pace; for tests.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn load_paced(options: Options, pace: Pace) -> Result<Self, ConnectError> {
        let mut recipe = Recipe { options, pinned: None, remembered: Arc::default() };
        let built = recipe.build().await?;
        let target = built.target.clone();
        recipe.pinned = Some(target.clone());
        Ok(Self { wire: Wire::new(recipe, built, pace.clone()), target, pace })
    }

    /// The kubeconfig context, or `in-cluster`.
    pub fn context(&self) -> &str {
        &self.target.context
    }

    /// The context's namespace, else `default`.
    pub fn default_namespace(&self) -> &str {
        &self.target.namespace
    }

    /// Address of the API server.
    pub fn server(&self) -> &str {
        &self.target.server
    }

    /// The client that can only read.
    pub fn reader(&self) -> Reader {
        Reader::new(self.wire.clone(), self.pace.clone(), self.target.clone())
    }

    /// A client that can write, for the act room. Everything is sent once; refused credentials are renewed,
    /// but only for the next request. The head of an answer must come within [`Pace::answer`] or 30 s,
    /// whichever is longer; else it fails with [`NoAnswer`](super::NoAnswer) and the outcome is unknown.
    /// [`kube::Error::Auth`] means that nothing was sent.
    ///
    /// # Errors
    /// None at present; credentials were resolved when the connection was loaded.
    pub fn write_client(&self) -> Result<kube::Client, ConnectError> {
        let patience = self.pace.answer.max(Duration::from_secs(30));
        Ok(gate::client(self.wire.clone(), gate::Gate::Open(patience), self.default_namespace()))
    }
}

/// Where a connection leads. It never changes: a kubeconfig edited meanwhile may renew credentials, not
/// move a running session to another cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub context: String,
    pub namespace: String,
    pub server: String,
    /// The command that renews the credentials.
    pub login: Text,
}

/// How to make a client again when credentials have changed.
#[derive(Debug, Clone)]
pub struct Recipe {
    options: Options,
    pinned: Option<Target>,
    /// The kubeconfig as last read, for when it is gone later (`--kubeconfig <(…)`) or half written.
    remembered: Arc<Mutex<Option<Kubeconfig>>>,
}

/// A client just made.
pub struct Built {
    pub client: kube::Client,
    pub expires: Option<Time>,
    pub target: Target,
}

impl Recipe {
    /// Reads everything anew and makes a client.
    ///
    /// # Errors
    /// A [`ConnectError`]; also when the context now leads elsewhere.
    pub async fn build(&self) -> Result<Built, ConnectError> {
        let (config, target, expires) = match self.read()? {
            Some(file) => self.of_file(file).await?,
            None => self.in_cluster()?,
        };
        if let Some(before) = self.pinned.as_ref().filter(|p| p.server != target.server) {
            return Err(ConnectError::Moved { context: target.context, before: before.server.clone(), now: target.server });
        }
        let user = target.context.clone();
        // Legacy providers may run a command, and files are read: not on the runtime's threads.
        let made = tokio::task::spawn_blocking(move || kube::Client::try_from(config));
        let bad = |error: String| ConnectError::BadCredentials { user, error };
        let client = match tokio::time::timeout(self.options.timeout, made).await {
            Ok(Ok(Ok(client))) => client,
            Ok(Ok(Err(error))) => return Err(bad(error.to_string())),
            Ok(Err(error)) => return Err(bad(error.to_string())),
            Err(_) => return Err(bad(format!("not ready within {}", humantime::format_duration(self.options.timeout)))),
        };
        Ok(Built { client, expires, target })
    }

    fn read(&self) -> Result<Option<Kubeconfig>, ConnectError> {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        match (kubeconfig(self.options.kubeconfig.as_deref()), &*remembered) {
            (Ok(Some(file)), _) => Ok(Some(remembered.insert(file).clone())),
            (Ok(None) | Err(_), Some(file)) => Ok(Some(file.clone())),
            (otherwise, None) => otherwise,
        }
    }

    async fn of_file(&self, file: Kubeconfig) -> Result<(Config, Target, Option<Time>), ConnectError> {
        let wanted = self.pinned.as_ref().map(|p| &p.context).or(self.options.context.as_ref());
        let (context, namespace, cluster_name, cluster, mut user) = select(file, wanted)?;
        let server = cluster.server.clone().unwrap_or_default();
        let address: Uri = server
            .parse()
            .ok()
            .filter(is_http)
            .ok_or_else(|| ConnectError::BadServer { cluster: cluster_name.clone(), server: server.clone() })?;
        let login = user.exec.as_ref().map_or_else(|| Text::from(format!("kubectl --context {context} auth whoami")), plugin::login);
        trim_token_file(&mut user).map_err(|error| ConnectError::BadCredentials { user: context.clone(), error })?;
        let expires = plugin::resolve(&mut user, &cluster, self.options.timeout).await?;
        let mut config = Config::new(address.clone());
        config.default_namespace = namespace.clone();
        config.root_cert = authority(&cluster).map_err(|error| ConnectError::BadAuthority { cluster: cluster_name, error })?;
        config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or_default();
        config.tls_server_name = cluster.tls_server_name.clone();
        config.disable_compression = cluster.disable_compression.unwrap_or_default();
        config.proxy_url = proxy_for(&address, cluster.proxy_url.as_deref())?;
        config.auth_info = user;
        self.tune(&mut config);
        Ok((config, Target { context, namespace, server, login }, expires))
    }

    fn in_cluster(&self) -> Result<(Config, Target, Option<Time>), ConnectError> {
        if let Some(asked) = &self.options.context {
            return Err(ConnectError::UnknownContext { asked: asked.clone(), contexts: Vec::new() });
        }
        let mut config = Config::incluster().map_err(|e| ConnectError::InCluster { error: e.to_string() })?;
        config.proxy_url = proxy_for(&config.cluster_url, None)?;
        self.tune(&mut config);
        let server = config.cluster_url.to_string();
        let namespace = config.default_namespace.clone();
        let login = "kubectl auth whoami".into();
        Ok((config, Target { context: "in-cluster".into(), namespace, server, login }, None))
    }

    fn tune(&self, config: &mut Config) {
        // We pace ourselves: kube's own retries are silent, apply to writes, and last for minutes.
        config.default_retry = false;
        config.connect_timeout = Some(self.options.timeout);
        config.write_timeout = Some(self.options.timeout.max(Duration::from_secs(30)));
        // A read time-out would cut quiet watches; each request has its own.
        config.read_timeout = None;
    }
}

fn is_http(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
}

fn proxy_for(server: &Uri, configured: Option<&str>) -> Result<Option<Uri>, ConnectError> {
    proxy::decide(server, configured, |name| std::env::var(name).ok()).map_err(|(setting, value)| ConnectError::BadProxy { setting, value })
}

/// The merged kubeconfig, or `None` when there is none but we run inside a cluster.
fn kubeconfig(named: Option<&Path>) -> Result<Option<Kubeconfig>, ConnectError> {
    let from_env = || std::env::var_os("KUBECONFIG").filter(|v| !v.is_empty());
    let paths: Vec<PathBuf> = match (named, from_env()) {
        (Some(path), _) if path.exists() => vec![path.to_owned()],
        (Some(path), _) => split(path.as_os_str()),
        (None, Some(list)) => split(&list),
        (None, None) => std::env::home_dir().map(|home| home.join(".kube/config")).into_iter().collect(),
    };
    // As kubectl: missing files of a list are skipped, unless all are.
    let present: Vec<&PathBuf> = paths.iter().filter(|p| p.exists()).collect();
    if present.is_empty() {
        let inside = named.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        let looked = paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ");
        return if inside { Ok(None) } else { Err(ConnectError::NoKubeconfig { looked }) };
    }
    let mut merged = Kubeconfig::default();
    for path in present {
        merged = merged.merge(read(path)?).map_err(|e| ConnectError::Invalid { path: path.display().to_string(), error: e.to_string() })?;
    }
    Ok(Some(merged))
}

fn split(list: &std::ffi::OsStr) -> Vec<PathBuf> {
    std::env::split_paths(list).filter(|p| !p.as_os_str().is_empty()).collect()
}

fn read(path: &Path) -> Result<Kubeconfig, ConnectError> {
    use kube::config::KubeconfigError as E;
    let place = path.display().to_string();
    Kubeconfig::read_from(path).map_err(|error| match error {
        E::ReadConfig(error, _) => ConnectError::Unreadable { path: place, error: error.to_string() },
        E::Parse(error) => ConnectError::Invalid { path: place, error: Text::from(error.to_string()).to_string() },
        error => ConnectError::Invalid { path: place, error: error.to_string() },
    })
}

type Selected = (String, String, String, Cluster, AuthInfo);

fn select(file: Kubeconfig, wanted: Option<&String>) -> Result<Selected, ConnectError> {
    let contexts = || file.contexts.iter().map(|c| c.name.clone()).collect();
    let Some(name) = wanted.or(file.current_context.as_ref()).filter(|n| !n.is_empty()).cloned() else {
        return Err(ConnectError::NoCurrentContext { contexts: contexts() });
    };
    let context = file.contexts.iter().find(|c| c.name == name).and_then(|c| c.context.clone());
    let Some(context) = context else { return Err(ConnectError::UnknownContext { asked: name, contexts: contexts() }) };
    let cluster = file.clusters.iter().find(|c| c.name == context.cluster).and_then(|c| c.cluster.clone());
    let cluster = cluster.ok_or_else(|| ConnectError::UnknownCluster { context: name.clone(), cluster: context.cluster.clone() })?;
    // A missing user is no fault: kubectl then connects as nobody in particular.
    let user =
        context.user.as_ref().and_then(|wanted| file.auth_infos.iter().find(|u| u.name == *wanted)).and_then(|u| u.auth_info.clone());
    let namespace = context.namespace.filter(|n| !n.is_empty()).unwrap_or_else(|| "default".into());
    Ok((name, namespace, context.cluster, cluster, user.unwrap_or_default()))
}

/// A token file that ends in a line break is read here: kube would put the break into the header and fail.
/// Other token files are left to kube, which reads them anew every minute.
fn trim_token_file(user: &mut AuthInfo) -> Result<(), String> {
    let Some(path) = user.token_file.clone().filter(|_| user.token.is_none()) else { return Ok(()) };
    let token = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    if token.trim() != token {
        user.token = Some(token.trim().into());
        user.token_file = None;
    }
    Ok(())
}

/// Certificates of the cluster's authority, in DER; `None` leaves the choice to the system.
fn authority(cluster: &Cluster) -> Result<Option<Vec<Vec<u8>>>, String> {
    let data = cluster.certificate_authority_data.as_deref().filter(|d| !d.is_empty());
    let pem = match (data, cluster.certificate_authority.as_deref().filter(|f| !f.is_empty())) {
        (Some(data), _) => serde_json::from_value::<ByteString>(data.trim().into()).map_err(|_| "it is not base64".to_owned())?.0,
        (None, Some(file)) => fs::read(file).map_err(|e| format!("{file}: {e}"))?,
        (None, None) => return Ok(None),
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|e| e.to_string())?;
    if certificates.is_empty() {
        return Err("there is no certificate in it".into());
    }
    Ok(Some(certificates.into_iter().map(|c| c.to_vec()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(yaml: &str) -> Kubeconfig {
        Kubeconfig::from_yaml(yaml).unwrap()
    }

    const TWO: &str = r#"
apiVersion: v1
kind: Config
current-context: prod
contexts:
- {name: prod, context: {cluster: a, user: u, namespace: shop}}
- {name: dev, context: {cluster: gone, user: u}}
clusters:
- {name: a, cluster: {server: "https://a:6443"}}
users: []
"#;

    #[test]
    fn contexts_are_named_when_the_choice_fails() {
        let (name, namespace, ..) = select(file(TWO), None).unwrap();
        assert_eq!((&*name, &*namespace), ("prod", "shop"));
        let error = select(file(TWO), Some(&"prd".into())).unwrap_err().to_string();
        assert!(error.contains("\"prd\"") && error.contains("prod, dev"), "{error}");
        let error = select(file(TWO), Some(&"dev".into())).unwrap_err().to_string();
        assert!(error.contains("\"gone\""), "{error}");
        let error = select(file(&TWO.replace("current-context: prod", "current-context: ''")), None).unwrap_err();
        assert!(matches!(&error, ConnectError::NoCurrentContext { contexts } if contexts.len() == 2), "{error}");
    }

    #[test]
    fn an_authority_is_read_or_refused_with_the_reason() {
        let with = |data: &str| authority(&Cluster { certificate_authority_data: Some(data.into()), ..Cluster::default() });
        assert_eq!(with("%%%"), Err("it is not base64".into()));
        assert_eq!(with("aGVsbG8="), Err("there is no certificate in it".into()));
        assert_eq!(authority(&Cluster::default()), Ok(None));
        let missing = Cluster { certificate_authority: Some("/nowhere/ca.crt".into()), ..Cluster::default() };
        assert!(authority(&missing).unwrap_err().starts_with("/nowhere/ca.crt: "));
    }
}
