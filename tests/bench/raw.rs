//! What the same news costs without rolltop: a bare LIST and a bare watch.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;

use crate::cluster::{Identity, Rig};

const ROLLOUTS: &str = "/apis/argoproj.io/v1alpha1/rollouts";

/// Time from nothing to the last byte of the list: a new client, its connection, one unpaged LIST.
pub async fn list(rig: &Rig) -> Duration {
    let began = Instant::now();
    let answer = rig.client(Identity::Viewer).send(get(ROLLOUTS)).await.unwrap();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(bytes.ends_with(b"}\n"), "a list");
    began.elapsed()
}

fn get(path: &str) -> http::Request<Body> {
    http::Request::get(path).header("accept", "application/json").body(Body::empty()).unwrap()
}

/// A watch of all rollouts that notes when each version arrived.
pub struct Watch {
    heard: Arc<Mutex<HashMap<String, Instant>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Watch {
    pub async fn open(rig: &Rig) -> Self {
        let now: Value = rig.api(Identity::Viewer).get(&format!("{ROLLOUTS}?limit=1")).await.unwrap();
        let version = now["metadata"]["resourceVersion"].as_str().unwrap();
        let path = format!("{ROLLOUTS}?watch=1&resourceVersion={version}");
        let mut body = rig.client(Identity::Viewer).send(get(&path)).await.unwrap().into_body();
        let heard = Arc::new(Mutex::new(HashMap::new()));
        let theirs = heard.clone();
        let task = tokio::spawn(async move {
            let mut rest = Vec::new();
            while let Some(Ok(frame)) = body.frame().await {
                let at = Instant::now();
                rest.extend_from_slice(frame.data_ref().map_or(&[], |d| d));
                while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    let event: Value = serde_json::from_slice(&line).unwrap();
                    let version = event["object"]["metadata"]["resourceVersion"].as_str().unwrap_or_default();
                    theirs.lock().unwrap().insert(version.to_owned(), at);
                }
            }
        });
        Self { heard, task }
    }

    pub async fn heard(&self, version: &str) -> Instant {
        loop {
            if let Some(at) = self.heard.lock().unwrap().get(version) {
                return *at;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
