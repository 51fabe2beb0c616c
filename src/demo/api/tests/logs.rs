//! Logs, and the way through the API server to the embedded Prometheus.

use axum::{Router, routing};

use super::*;

/// A pod that runs since the first second of the minute.
fn running(state: Value) -> Value {
    let mut pod = pod("a", "web", "Running");
    let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-21T00:00:05Z"});
    pod["status"]["conditions"] = json!([ready]);
    pod["status"]["containerStatuses"] = json!([{"name": "app", "state": state, "lastState": {}}]);
    pod
}

async fn log(world: &Arc<World>, query: &str) -> Heard {
    get(world, &format!("/api/v1/namespaces/shop/pods/a/log?{query}")).await
}

#[tokio::test]
async fn a_running_container() {
    let world = world();
    put(&world, "pods", "shop", "a", running(json!({"running": {"startedAt": "2026-11-21T00:00:01Z"}})));
    let whole = log(&world, "").await;
    assert_eq!((whole.code, &whole.headers[header::CONTENT_TYPE]), (200, &"text/plain".parse().unwrap()));
    let lines: Vec<&str> = whole.text.lines().collect();
    assert!(lines[0].starts_with("2026-11-21T00:00:01.002Z INFO  starting version=v2"), "{}", lines[0]);
    assert!(lines.len() > 20);
    assert_eq!(log(&world, "tailLines=3").await.text.lines().collect::<Vec<_>>(), lines[lines.len() - 3..]);
    assert_eq!(log(&world, "tailLines=0").await.text, "");
    let late = log(&world, "sinceSeconds=10").await.text;
    assert!(whole.text.ends_with(&late) && late.lines().all(|line| line > "2026-11-21T00:00:50"));
    assert_eq!(log(&world, "sinceTime=2026-11-21T00:00:50Z").await.text, late);
    assert!(log(&world, "timestamps=true&tailLines=1").await.text.split(' ').next().unwrap().ends_with("000000Z"));
    assert_eq!(log(&world, "limitBytes=10").await.text, whole.text[..10]);
}

#[tokio::test]
async fn crashes_are_shown_in_both_lives() {
    let world = world();
    let mut pod = running(json!({"waiting": {"reason": "CrashLoopBackOff"}}));
    let terminated = json!({"exitCode": 1, "reason": "Error", "startedAt": "2026-11-21T00:00:10Z", "finishedAt": "2026-11-21T00:00:12Z"});
    pod["status"]["containerStatuses"][0]["lastState"] = json!({"terminated": terminated});
    pod["status"]["conditions"] = json!([]);
    put(&world, "pods", "shop", "a", pod);
    let heard = log(&world, "").await;
    assert!(heard.text.ends_with("FATAL exit status 1\n"), "{}", heard.text);
    assert_eq!(log(&world, "previous=true").await.text, heard.text);
    assert_eq!(log(&world, "follow=true").await.text, heard.text);
}

#[tokio::test]
async fn refusals_have_the_real_words() {
    let world = world();
    let invalid = "PodLogOptions \"a\" is invalid: ";
    let waiting = |reason: &str| running(json!({"waiting": {"reason": reason}}));
    let started = json!({"running": {"startedAt": "2026-11-21T00:00:01Z"}});
    let mut two = running(started.clone());
    two["spec"]["containers"] = json!([{"name": "app"}, {"name": "proxy"}]);
    for (pod, query, code, message) in [
        (waiting("ContainerCreating"), "", 400, "container \"app\" in pod \"a\" is waiting to start: ContainerCreating".to_owned()),
        (
            waiting("ImagePullBackOff"),
            "",
            400,
            "container \"app\" in pod \"a\" is waiting to start: trying and failing to pull image".into(),
        ),
        (running(started.clone()), "previous=1", 400, "previous terminated container \"app\" in pod \"a\" not found".into()),
        (running(started.clone()), "container=x", 400, "container x is not valid for pod a".into()),
        (two, "", 400, "a container name must be specified for pod a, choose one of: [app proxy]".into()),
        (
            running(started.clone()),
            "tailLines=-1",
            422,
            format!("{invalid}tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ),
        (running(started.clone()), "sinceSeconds=0", 422, format!("{invalid}sinceSeconds: Invalid value: 0: must be greater than 0")),
        (running(started), "tailLines=x", 400, "strconv.ParseInt: parsing \"x\": invalid syntax".into()),
    ] {
        put(&world, "pods", "shop", "a", pod);
        let heard = log(&world, query).await;
        assert_eq!((heard.code, heard.message()), (code, message));
    }
    assert_eq!(get(&world, "/api/v1/namespaces/shop/pods/nope/log").await.message(), "pods \"nope\" not found");
    let mut pending = pod("a", "web", "Pending");
    pending["spec"]["nodeName"] = Value::Null;
    put(&world, "pods", "shop", "a", pending);
    let heard = log(&world, "").await;
    assert_eq!((heard.code, heard.text.as_str()), (204, ""));
}

#[tokio::test]
async fn following_ends_with_the_container() {
    let mut sim = Sim::new(now(), 1, Vec::new(), Box::new(Mute));
    sim.store.add_kind(rollouts());
    // Fast enough to see a minute of it.
    let world = World::new(sim, Clock::new(now(), 60.0));
    world.tokens.add("admin", "admin", &[MASTERS]);
    put(&world, "pods", "shop", "a", running(json!({"running": {"startedAt": "2026-11-21T00:00:01Z"}})));
    let mut stream = Stream::open(&world, "/api/v1/namespaces/shop/pods/a/log?follow=true&tailLines=2", "*/*").await;
    let mut read = String::new();
    while read.lines().count() < 10 {
        read += std::str::from_utf8(&stream.body.next().await.unwrap().unwrap()).unwrap();
    }
    assert!(read.lines().skip(2).all(|line| line > "2026-11-21T00:01:00"), "{read}");
    remove(&world, "pods", "shop", "a");
    while let Some(piece) = stream.body.next().await {
        read += std::str::from_utf8(&piece.unwrap()).unwrap();
    }
    assert!(read.lines().collect::<Vec<_>>().is_sorted());
}

#[tokio::test]
async fn prometheus_can_be_reached_through_the_server() {
    let world = world();
    let path = "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/query?query=up%2B1";
    let heard = get(&world, path).await;
    assert_eq!((heard.code, heard.message().as_str()), (503, "no endpoints available for service \"prometheus:9090\""));
    let echo = |request: axum::extract::Request| async move { format!("{} {}", request.method(), request.uri()) };
    assert!(world.prometheus.set(Router::new().fallback(routing::any(echo))).is_ok());
    assert_eq!(get(&world, path).await.text, "GET /api/v1/query?query=up%2B1");
    assert_eq!(
        send(&world, request("POST", &path.replace("prometheus:", "http:prometheus:"), "*/*")).await.text,
        "POST /api/v1/query?query=up%2B1"
    );
    assert_eq!(get(&world, "/api/v1/namespaces/monitoring/pods/prometheus-0/proxy/").await.text, "GET /?");
    assert_eq!(get(&world, &path.replace("prometheus:", "other:")).await.code, 503);
}
