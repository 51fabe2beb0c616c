//! The real components: one rig for all plays, a namespace for each, one recorder that watches every kind.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::{StreamExt, future::try_join_all};
use kube::core::WatchEvent;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{Body, KINDS, Refused, Request, Stage, version_of};
use crate::{
    cluster::{Api, Identity, Rig, api::collection},
    record::{Log, Seen},
    script::APP,
};

type News = (Instant, Seen);

/// Where the recorder sends what happens in a namespace.
type Routes = Arc<Mutex<HashMap<String, mpsc::UnboundedSender<News>>>>;

pub struct Theatre<'a> {
    rig: &'a Rig,
    api: Api,
    routes: Routes,
    watches: Vec<tokio::task::JoinHandle<()>>,
}

impl<'a> Theatre<'a> {
    /// Everything that happens from now on is recorded.
    pub async fn open(rig: &'a Rig) -> Self {
        let api = rig.api(Identity::Controllers);
        let routes = Routes::default();
        let recorded = KINDS.iter().filter(|(.., recorded)| *recorded);
        let watches = recorded.map(|(kind, version, ..)| watch(api.clone(), kind, version, routes.clone()));
        let watches = try_join_all(watches).await.expect("watching the cluster");
        Self { rig, api, routes, watches }
    }

    /// A stage of one's own.
    pub async fn stage(&self, name: &str) -> RigStage {
        let namespace = self.rig.namespace(&name.replace('_', "-")).await;
        let (tx, news) = mpsc::unbounded_channel();
        self.routes.lock().unwrap().insert(namespace.clone(), tx);
        RigStage {
            api: self.api.clone(),
            namespace,
            begin: Instant::now(),
            news,
            log: Log::default(),
            prometheus: self.rig.prometheus_url(),
        }
    }
}

impl Drop for Theatre<'_> {
    fn drop(&mut self) {
        self.watches.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn watch(api: Api, kind: &'static str, version: &str, routes: Routes) -> Result<tokio::task::JoinHandle<()>, kube::Error> {
    let plural = kind.split('.').next().unwrap_or_default();
    let mut events = Box::pin(api.watch(&collection(version, None, plural)).await?);
    Ok(tokio::spawn(async move {
        while let Some(event) = events.next().await {
            let (object, deleted) = match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => (object, false),
                Ok(WatchEvent::Deleted(object)) => (object, true),
                Ok(_) => continue,
                Err(error) => panic!("the watch of {kind} broke: {error}"),
            };
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
            let revision = object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
            let seen = Seen { kind, revision, at: Duration::ZERO, deleted, object };
            if let Some(stage) = routes.lock().unwrap().get(&namespace) {
                let _ = stage.send((Instant::now(), seen));
            }
        }
    }))
}

pub struct RigStage {
    api: Api,
    namespace: String,
    begin: Instant,
    news: mpsc::UnboundedReceiver<News>,
    log: Log,
    prometheus: String,
}

impl RigStage {
    fn path(&self, kind: &str) -> String {
        collection(version_of(kind), Some(&self.namespace), kind.split('.').next().unwrap_or_default())
    }

    fn note(&mut self, (when, seen): News) {
        self.log.seen.push(Seen { at: when.saturating_duration_since(self.begin), ..seen });
    }
}

impl Stage for RigStage {
    async fn send(&mut self, request: &Request) -> Result<Value, Refused> {
        let collection = self.path(request.kind);
        let sub = request.subresource.map(|sub| format!("/{sub}")).unwrap_or_default();
        let path = format!("{collection}/{}{sub}", request.name);
        let answer = match &request.body {
            Body::Create(object) => self.api.create(&collection, object).await,
            Body::Merge(patch) => self.api.merge(&path, patch).await,
            Body::Json(patch) => self.api.json_patch(&path, patch).await,
            Body::Delete => self.api.delete(&path).await.map(|()| Value::Null),
        };
        answer.map_err(|error| match error {
            kube::Error::Api(status) => Refused { code: status.code, message: status.message.clone() },
            other => panic!("{request:?}: {other}"),
        })
    }

    async fn list(&mut self, kind: &str) -> Vec<Value> {
        let (_, version, name, _) = KINDS.iter().find(|(id, ..)| *id == kind).expect("a kind of plays");
        let mut all = self.api.list(&self.path(kind)).await.expect("listing");
        for object in &mut all {
            object["apiVersion"] = (*version).into();
            object["kind"] = (*name).into();
        }
        all
    }

    async fn advance(&mut self, most: Duration) {
        if let Ok(Some(news)) = tokio::time::timeout(most, self.news.recv()).await {
            self.note(news);
        }
        while let Ok(news) = self.news.try_recv() {
            self.note(news);
        }
    }

    async fn close(self) {
        // Some plays leave a controller that writes without end.
        let _ = self.api.delete(&format!("{}/{APP}", self.path("rollouts.argoproj.io"))).await;
    }

    fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    fn reaction(&self) -> Duration {
        Duration::ZERO
    }

    fn clock(&self) -> String {
        chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    }

    fn log(&self) -> &Log {
        &self.log
    }

    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn prometheus(&self) -> String {
        self.prometheus.clone()
    }
}
