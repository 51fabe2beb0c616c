//! The client that can only read, and the single questions asked with it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{
    Request, Response, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE},
};
use http_body_util::BodyExt;
use kube::client::Body;
use serde::Deserialize;
use serde_json::json;
use tokio::{sync::watch, time::Instant};

use super::{
    Pace,
    connect::Target,
    decode, discovery,
    gate::{self, Gate},
    path::OneService,
    rights,
    trouble::{Ask, Trouble},
    wire::Wire,
};
use crate::{
    model::{LinkState, Text},
    msg::Identity,
    object::{Object, Resource, kinds},
};

/// Largest answer to a single question, and largest line of a watch, bytes. etcd holds no object above 1.5 MiB.
pub(super) const LARGEST: usize = 64 * 1024 * 1024;

/// Why something could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    #[error("there is no {0}")]
    Missing(Text),
    #[error("{}", sentence(.0))]
    Failed(Trouble),
    #[error("the answer cannot be understood: {0}")]
    Undecodable(String),
}

impl ReadError {
    /// The state of the link this error means, where it means one.
    pub fn state(&self) -> Option<&LinkState> {
        if let Self::Failed(trouble) = self { Some(&trouble.state) } else { None }
    }
}

fn sentence(trouble: &Trouble) -> String {
    match &trouble.state {
        LinkState::Expired { hint } => format!("the credentials were refused ({}); run: {hint}", trouble.detail),
        state => state.withheld().unwrap_or_else(|| trouble.detail.to_string()),
    }
}

/// Reads from one cluster, and can do nothing else. Clones share everything.
#[derive(Clone)]
pub struct Reader(Arc<Inner>);

struct Inner {
    wire: Wire,
    client: kube::Client,
    pace: Pace,
    target: Target,
    nudges: watch::Sender<u64>,
    /// Whether the server may know streamed lists. Once it did not, it is not asked again.
    streaming: AtomicBool,
    /// When any stream last heard the server.
    heard: Mutex<Option<Instant>>,
    /// Held while asking. When the last question failed, and how.
    probing: tokio::sync::Mutex<Option<(Instant, Trouble)>>,
    /// Held while asking, so that whoever asks meanwhile shares the answer.
    catalogue: tokio::sync::Mutex<discovery::Catalogue>,
    rights: tokio::sync::Mutex<rights::Asked>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("server", &self.0.target.server).finish_non_exhaustive()
    }
}

impl Reader {
    pub(super) fn new(wire: Wire, pace: Pace, target: Target) -> Self {
        let client = gate::client(wire.clone(), Gate::ReadOnly, &target.namespace);
        Self(Arc::new(Inner {
            wire,
            client,
            pace,
            target,
            nudges: watch::Sender::new(0),
            streaming: AtomicBool::new(true),
            heard: Mutex::default(),
            probing: tokio::sync::Mutex::default(),
            catalogue: tokio::sync::Mutex::default(),
            rights: tokio::sync::Mutex::default(),
        }))
    }

    /// kube's client behind the read-only gate, for what has no method here.
    pub fn client(&self) -> kube::Client {
        self.0.client.clone()
    }

    /// A client that can only GET below `/api/v1/namespaces/{namespace}/services/[scheme:]{service}:{port}/proxy/`.
    /// Requests carry that whole path.
    pub fn service_proxy(&self, namespace: &str, service: &str, port: impl fmt::Display) -> kube::Client {
        let one = OneService { namespace: namespace.into(), service: service.into(), port: port.to_string() };
        gate::client(self.0.wire.clone(), Gate::Service(one), namespace)
    }

    /// Wakes everything that waits for its next attempt, and makes open watches reconnect.
    pub fn nudge(&self) {
        self.0.nudges.send_modify(|n| *n = n.wrapping_add(1));
    }

    pub fn default_namespace(&self) -> &str {
        &self.0.target.namespace
    }

    /// The object as it is now.
    ///
    /// # Errors
    /// [`ReadError::Missing`] if there is none of this name.
    pub async fn get(&self, resource: &'static Resource, namespace: &str, name: &str) -> Result<Object, ReadError> {
        let path = format!("{}/{}", collection(resource, Some(namespace).filter(|n| !n.is_empty())), segment(name));
        let ask = self.ask("get", Some(resource), Some(namespace));
        match self.fetch(Request::get(path).body(Body::empty()), &ask).await {
            Ok(bytes) => decode::object(resource, &bytes).map_err(|e| ReadError::Undecodable(e.to_string())),
            Err(t) if matches!(t.state, LinkState::CrdMissing { .. }) => {
                Err(ReadError::Missing(format!("{} {namespace}/{name}", resource.kind).into()))
            }
            Err(trouble) => Err(ReadError::Failed(trouble)),
        }
    }

    /// Who the server takes us for (`SelfSubjectReview`, Kubernetes 1.28 and later).
    ///
    /// # Errors
    /// [`ReadError::Missing`] if the server has no such review.
    pub async fn identity(&self) -> Result<Identity, ReadError> {
        #[derive(Deserialize)]
        struct Review {
            status: Status,
        }
        #[derive(Deserialize)]
        struct Status {
            #[serde(rename = "userInfo")]
            user: User,
        }
        #[derive(Deserialize)]
        struct User {
            username: Text,
            #[serde(default)]
            groups: Vec<Text>,
        }
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let review: Review = self.review("/apis/authentication.k8s.io/v1/selfsubjectreviews", &body).await?;
        Ok(Identity { user: review.status.user.username, groups: review.status.user.groups })
    }

    /// Whether we have a right (`SelfSubjectAccessReview`). An empty namespace means all of them, an empty
    /// name any object.
    ///
    /// # Errors
    /// When the question could not be asked; then the right is unknown.
    pub async fn can_i(
        &self,
        verb: &str,
        resource: &Resource,
        subresource: Option<&str>,
        namespace: &str,
        name: &str,
    ) -> Result<bool, ReadError> {
        #[derive(Deserialize)]
        struct Review {
            status: Status,
        }
        #[derive(Deserialize)]
        struct Status {
            #[serde(default)]
            allowed: bool,
        }
        let attributes = json!({
            "verb": verb, "group": resource.group, "version": resource.version, "resource": resource.plural,
            "subresource": subresource.unwrap_or_default(), "namespace": namespace, "name": name,
        });
        let body =
            json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}});
        let review: Review = self.review("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &body).await?;
        Ok(review.status.allowed)
    }

    /// The server's version, such as `v1.33.2`.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn version(&self) -> Result<Text, ReadError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            git_version: Text,
        }
        let ask = self.ask("get", None, None);
        let bytes = self.fetch(Request::get("/version").body(Body::empty()), &ask).await.map_err(ReadError::Failed)?;
        let version: Version = serde_json::from_slice(&bytes).map_err(|e| ReadError::Undecodable(e.to_string()))?;
        Ok(version.git_version)
    }

    pub(super) fn rights(&self) -> &tokio::sync::Mutex<rights::Asked> {
        &self.0.rights
    }

    pub(super) async fn review<T: for<'de> Deserialize<'de>>(&self, path: &str, body: &serde_json::Value) -> Result<T, ReadError> {
        let request = Request::post(path).header(CONTENT_TYPE, "application/json").body(Body::from(body.to_string().into_bytes()));
        let ask = self.ask("create", None, None);
        let bytes = self.fetch(request, &ask).await.map_err(|t| match t.state {
            LinkState::CrdMissing { .. } => ReadError::Missing(path.rsplit('/').next().unwrap_or_default().into()),
            _ => ReadError::Failed(t),
        })?;
        serde_json::from_slice(&bytes).map_err(|e| ReadError::Undecodable(e.to_string()))
    }

    pub(super) fn pace(&self) -> &Pace {
        &self.0.pace
    }

    pub(super) fn nudges(&self) -> watch::Receiver<u64> {
        self.0.nudges.subscribe()
    }

    pub(super) fn streams(&self) -> bool {
        self.0.streaming.load(Ordering::Relaxed)
    }

    pub(super) fn stop_streaming(&self) {
        self.0.streaming.store(false, Ordering::Relaxed);
    }

    pub(super) fn ask<'a>(&'a self, verb: &'a str, resource: Option<&'static Resource>, namespace: Option<&'a str>) -> Ask<'a> {
        Ask { verb, resource, namespace: namespace.filter(|n| !n.is_empty()), login: &self.0.target.login }
    }

    /// Some byte of the server arrived.
    pub(super) fn touch(&self) {
        *self.0.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether the server is there: by what was just heard, or by what another source just asked, else by
    /// asking for its version. Any answer of its own will do, even a refusal.
    pub(super) async fn alive(&self) -> Result<(), Trouble> {
        let mut failed = self.0.probing.lock().await;
        let heard = *self.0.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.is_some_and(|at| at.elapsed() < self.0.pace.probe_every) {
            return Ok(());
        }
        if let Some((at, trouble)) = &*failed
            && at.elapsed() < self.0.pace.probe_answer / 2
        {
            return Err(trouble.clone());
        }
        let asked = self.probe().await;
        *failed = asked.as_ref().err().map(|trouble| (Instant::now(), trouble.clone()));
        asked
    }

    async fn probe(&self) -> Result<(), Trouble> {
        let patience = self.0.pace.probe_answer;
        let request = Request::get("/version").body(Body::empty()).map_err(|e| Trouble::new(LinkState::Garbage, e.to_string()))?;
        let answer = tokio::time::timeout(patience, self.0.client.send(request)).await;
        let answer = answer.map_err(|_| Trouble::late("answer", patience))?.map_err(|e| Trouble::of_error(&e, &self.0.target.login))?;
        if answer.status().is_server_error() {
            return Err(Trouble::of_answer(answer.status(), answer.headers(), b"", &self.ask("get", None, None)));
        }
        self.touch();
        Ok(())
    }

    /// Opens an answer: its head came in time and says 2xx.
    pub(super) async fn open(&self, path: &str, ask: &Ask<'_>) -> Result<Response<Body>, Trouble> {
        // What streams must not be compressed: from Kubernetes 1.37 each event of a watch is a gzip member of its own,
        // and the decoder in kube's stack reads only the first.
        let streams = path.contains("watch=1") || path.contains("follow=true");
        let accepted = if path.contains("/log?") { "*/*" } else { "application/json" };
        let mut request = Request::get(path).header(ACCEPT, accepted);
        if streams {
            request = request.header(ACCEPT_ENCODING, "identity");
        }
        self.answer(request.body(Body::empty()), ask).await
    }

    async fn answer(&self, request: http::Result<Request<Body>>, ask: &Ask<'_>) -> Result<Response<Body>, Trouble> {
        let request = request.map_err(|e| Trouble::new(LinkState::Garbage, e.to_string()))?;
        let patience = self.0.pace.answer;
        let answer = tokio::time::timeout(patience, self.0.client.send(request)).await;
        let answer = answer.map_err(|_| Trouble::late("answer", patience))?.map_err(|e| Trouble::of_error(&e, ask.login))?;
        self.touch();
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (head, body) = answer.into_parts();
        let body = self.collect(body, ask).await.unwrap_or_default();
        Err(Trouble::of_answer(head.status, &head.headers, &body, ask))
    }

    async fn fetch(&self, request: http::Result<Request<Body>>, ask: &Ask<'_>) -> Result<Vec<u8>, Trouble> {
        let answer = self.answer(request, ask).await?;
        self.collect(answer.into_body(), ask).await
    }

    /// The whole body, as long as it keeps coming.
    pub(super) async fn collect(&self, mut body: Body, ask: &Ask<'_>) -> Result<Vec<u8>, Trouble> {
        let patience = self.0.pace.answer;
        let mut bytes = Vec::new();
        loop {
            let frame = tokio::time::timeout(patience, body.frame()).await.map_err(|_| Trouble::late("further data", patience))?;
            let Some(frame) = frame else { return Ok(bytes) };
            let frame = frame.map_err(|e| Trouble::of_error(&e, ask.login))?;
            if let Some(data) = frame.data_ref() {
                self.touch();
                bytes.extend_from_slice(data);
            }
            if bytes.len() > LARGEST {
                return Err(Trouble::new(LinkState::Garbage, "an answer without end"));
            }
        }
    }

    /// Whether a kind is served, by the list of groups and the discovery document of its own. Both are shared: most clusters
    /// lack most kinds, and each of those asks again and again.
    pub(super) async fn serves(&self, resource: &'static Resource) -> Result<bool, Trouble> {
        let mut catalogue = self.0.catalogue.lock().await;
        catalogue.forget_older_than(self.0.pace.missing.mul_f64(0.8));
        if !resource.group.is_empty() {
            if catalogue.groups.is_none() {
                let ask = self.ask("get", None, None);
                let answer = self.fetch(Request::get("/apis").header(ACCEPT, "application/json").body(Body::empty()), &ask).await;
                // Withheld or odd: then the group's own document must do.
                let groups = answer.ok().and_then(|bytes| discovery::groups(&bytes));
                catalogue.groups = Some((Instant::now(), groups));
            }
            let groups = catalogue.groups.as_ref().and_then(|(_, groups)| groups.as_ref());
            if groups.is_some_and(|groups| !groups.contains(&resource.api_version())) {
                return Ok(false);
            }
        }
        let path = root(resource);
        if let Some((_, kinds)) = catalogue.kinds.get(&path) {
            return Ok(kinds.contains(resource.plural));
        }
        let ask = self.ask("get", Some(resource), None);
        match self.fetch(Request::get(&path).header(ACCEPT, "application/json").body(Body::empty()), &ask).await {
            Ok(bytes) => {
                let kinds = discovery::kinds(&bytes);
                let served = kinds.contains(resource.plural);
                catalogue.kinds.insert(path, (Instant::now(), kinds));
                Ok(served)
            }
            Err(t) if matches!(t.state, LinkState::CrdMissing { .. }) => Ok(false),
            // Discovery may be withheld where the kind itself is not.
            Err(t) if matches!(t.state, LinkState::Forbidden { .. }) => Ok(true),
            Err(t) => Err(t),
        }
    }

    /// Names of all namespaces.
    pub(super) async fn namespaces(&self) -> Result<Vec<String>, Trouble> {
        let ask = self.ask("list", Some(&kinds::NAMESPACE), None);
        let mut names = Vec::new();
        let mut next = String::new();
        loop {
            let path = format!(
                "/api/v1/namespaces?limit=500{}",
                if next.is_empty() { String::new() } else { format!("&continue={}", query(&next)) }
            );
            let bytes = self.fetch(Request::get(path).body(Body::empty()), &ask).await?;
            let page = decode::page(&bytes)
                .map_err(|e| Trouble::of_answer(StatusCode::OK, &http::HeaderMap::new(), e.to_string().as_bytes(), &ask))?;
            names.extend(
                page.items.iter().filter_map(|raw| decode::raw_object(&kinds::NAMESPACE, raw).ok()).map(|o| o.meta.name.to_string()),
            );
            if page.next.is_empty() {
                return Ok(names);
            }
            next = page.next;
        }
    }
}

fn root(resource: &Resource) -> String {
    if resource.group.is_empty() { format!("/api/{}", resource.version) } else { format!("/apis/{}/{}", resource.group, resource.version) }
}

/// Path of a collection, in one namespace or all.
pub(super) fn collection(resource: &Resource, namespace: Option<&str>) -> String {
    match namespace {
        Some(ns) => format!("{}/namespaces/{}/{}", root(resource), segment(ns), resource.plural),
        None => format!("{}/{}", root(resource), resource.plural),
    }
}

pub(super) fn segment(text: &str) -> String {
    escape(text, b"-._~:")
}

pub(super) fn query(text: &str) -> String {
    escape(text, b"-._~")
}

fn escape(text: &str, plain: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(collection(&kinds::POD, None), "/api/v1/pods");
        assert_eq!(collection(&kinds::ROLLOUT, Some("a")), "/apis/argoproj.io/v1alpha1/namespaces/a/rollouts");
        assert_eq!(
            collection(&kinds::POD, Some("a/../b")),
            "/api/v1/namespaces/a%2F..%2Fb/pods",
            "refused by the gate, not misread by the server"
        );
        assert_eq!(query("a in (b,c),d=e"), "a%20in%20%28b%2Cc%29%2Cd%3De");
    }
}
