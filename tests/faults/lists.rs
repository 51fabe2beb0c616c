//! Lists that fail, throttle, never end, or hold something odd.

use std::time::Duration;

use axum::http::HeaderValue;
use rolltop::{cluster::Scope, model::LinkState, msg::Body as Message};
use serde_json::json;

use crate::server::*;

#[tokio::test]
async fn a_failing_list_says_so_and_recovers() {
    let server = Server::start(|a, n| if a.is_list() && n < 3 { status(500, "etcdserver: no leader") } else { healthy(a) }).await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    let link = room.link("server error", |s| *s == LinkState::ServerError { code: 500 }).await;
    assert_eq!(link.detail, "etcdserver: no leader");
    assert!(link.retry_at.is_some() && link.synced.is_none());
    assert_eq!(room.snapshot().await.1, ["web"]);
    room.live().await;
    assert_eq!(server.count(Asked::is_list), 4, "each attempt asks once");
}

#[tokio::test]
async fn throttling_is_shown_and_the_wait_honoured() {
    let server = Server::start(|a, n| {
        if !a.is_list() || n > 0 {
            return healthy(a);
        }
        let mut answer = status(429, "too many requests");
        answer.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
        answer
    })
    .await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    let link = room.link("throttled", |s| *s == LinkState::Throttled).await;
    let wait = link.retry_at.unwrap() - link.since.unwrap();
    assert!(wait.num_milliseconds() >= 990, "{wait:?}");
    room.snapshot().await;
    let asked: Vec<_> = server.asked().into_iter().filter(Asked::is_list).collect();
    assert!(asked[1].at - asked[0].at >= Duration::from_millis(990), "{:?}", asked[1].at - asked[0].at);
}

#[tokio::test]
async fn a_server_that_takes_connections_and_never_answers_is_timed_out() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            held.push(socket);
        }
    });
    let mut room = Room::fleet(reader(&format!("http://{address}"), brisk()).await, Scope::All);
    let link = room.link("timed out", |s| *s == LinkState::TimedOut).await;
    assert!(link.detail.contains("no answer within 400ms"), "{}", link.detail);
}

#[tokio::test]
async fn a_web_page_instead_of_a_list_is_garbage() {
    let server = Server::start(|_, _| html()).await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    let link = room.link("garbage", |s| *s == LinkState::Garbage).await;
    assert!(link.detail.contains("Sign in to the Wi-Fi"), "{}", link.detail);
}

#[tokio::test]
async fn an_odd_object_in_a_list_does_not_hide_the_others() {
    let odd = [
        rollout("a", 1),
        json!(7),
        json!({"metadata": {"name": "nameless-uid", "namespace": "shop"}}),
        json!({"metadata": {"uid": "u", "name": "shapeless"}, "spec": "?", "status": []}),
        rollout("z", 1),
    ];
    let server = Server::start(move |a, _| if a.is_list() { list(10, &odd) } else { healthy(a) }).await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    assert_eq!(room.snapshot().await.1, ["a", "shapeless", "z"]);
    assert!(room.note().await.contains("2 objects cannot be read; the first: not an object"));
    assert!(room.live().await.detail.contains("2 objects cannot be read"));
}

#[tokio::test]
async fn long_lists_come_in_pages_and_an_expired_page_starts_over() {
    let server = Server::start(|a, _| match a.query.get("continue").map(String::as_str) {
        _ if !a.is_list() => healthy(a),
        None => json(&json!({"metadata": {"resourceVersion": "10", "continue": "page two/+"}, "items": [rollout("a", 1)]})),
        Some(_) => list(10, &[rollout("b", 1)]),
    })
    .await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    assert_eq!(room.snapshot().await.1, ["a", "b"]);
    let pages: Vec<_> = server.asked().into_iter().filter(Asked::is_list).collect();
    assert_eq!((pages[0].query["limit"].as_str(), pages[1].query["continue"].as_str()), ("500", "page%20two%2F%2B"));

    let server = Server::start(|a, n| match a.query.contains_key("continue") {
        _ if !a.is_list() => healthy(a),
        true if n < 2 => status(410, "the provided continue parameter is too old"),
        true => list(10, &[rollout("b", 1)]),
        false => json(&json!({"metadata": {"resourceVersion": "10", "continue": "x"}, "items": [rollout("a", 1)]})),
    })
    .await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    assert_eq!(room.snapshot().await.1, ["a", "b"]);
}

#[tokio::test]
async fn a_server_with_streamed_lists_needs_one_request() {
    let server = Server::start(|a, _| match a {
        a if a.is_streamed_list() => watch(
            vec![
                event("ADDED", &rollout("a", 1)),
                event("ADDED", &rollout("b", 2)),
                bookmark(10, true),
                event("MODIFIED", &rollout("a", 11)),
            ],
            false,
        ),
        a => healthy(a),
    })
    .await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    assert_eq!(room.snapshot().await.1, ["a", "b"]);
    assert_eq!(room.applied().await.meta.resource_version, "11", "the same stream goes on");
    assert_eq!(server.count(|a| !a.is_probe()), 1);
}

#[tokio::test]
async fn without_streamed_lists_it_pages_for_ever_after() {
    let server =
        Server::start(|a, n| if a.is_watch() && !a.is_streamed_list() && n == 0 { status(410, "expired") } else { healthy(a) }).await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    room.snapshot().await;
    room.snapshot().await;
    assert_eq!((server.count(Asked::is_streamed_list), server.count(Asked::is_list)), (1, 2), "asked once, never again");
}

#[tokio::test]
async fn a_streamed_list_without_end_falls_back_to_pages() {
    // What a proxy or an old server does: takes the parameter, sends what there is, and never the bookmark.
    let server =
        Server::start(|a, _| if a.is_streamed_list() { watch(vec![event("ADDED", &rollout("half", 1))], false) } else { healthy(a) }).await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    assert_eq!(room.snapshot().await.1, ["web"]);
    room.live().await;
    assert!(room.during(Duration::from_millis(100)).await.iter().all(|m| !matches!(&m.body, Message::Snapshot { .. })));
}
