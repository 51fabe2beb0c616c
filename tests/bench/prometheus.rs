//! A Prometheus that counts what it is asked. It has series of ingress-nginx for the rollouts that move.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Form, Router, extract::State, response::Json, routing::any};
use serde_json::{Value, json};

/// Queries by the time they ask about: those of one refresh ask about one.
type Asked = Arc<Mutex<BTreeMap<String, usize>>>;

pub struct Fake {
    asked: Asked,
    port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl Fake {
    pub async fn start() -> Self {
        let asked = Asked::default();
        let routes = Router::new()
            .route("/api/v1/query", any(query))
            .route("/api/v1/status/buildinfo", any(|| async { Json(json!({"status": "success", "data": {"version": "3.5.0"}})) }))
            .route("/-/healthy", any(|| async { "ok" }))
            .with_state(asked.clone());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { asked, port, task }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits for so many further refreshes and says how many queries each had.
    pub async fn refreshes(&self, n: usize) -> Vec<usize> {
        let seen = self.asked.lock().unwrap().len();
        // One more: it is complete when the next has begun.
        while self.asked.lock().unwrap().len() < seen + n + 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.asked.lock().unwrap().values().skip(seen).take(n).copied().collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn query(State(asked): State<Asked>, Form(form): Form<BTreeMap<String, String>>) -> Json<Value> {
    let (query, time) = (form.get("query").cloned().unwrap_or_default(), form.get("time").cloned().unwrap_or_default());
    *asked.lock().unwrap().entry(time).or_default() += 1;
    let rows: Vec<Value> = if query.contains("__name__") {
        let name = "nginx_ingress_controller_requests";
        vec![json!({"metric": {"__name__": name}, "value": [0, "1"]})]
    } else {
        (0..1_000).step_by(20).flat_map(|n| ["", "x"].map(|canary| row(n, canary))).collect()
    };
    Json(json!({"status": "success", "data": {"resultType": "vector", "result": rows}}))
}

fn row(n: usize, canary: &str) -> Value {
    let metric = json!({
        "exported_namespace": format!("team-{:02}", n % 20), "ingress": format!("r{n:04}"),
        "canary": if canary.is_empty() { String::new() } else { format!("team-r{n:04}-canary") },
    });
    json!({"metric": metric, "value": [0, format!("{}", 10 + n % 7)]})
}
