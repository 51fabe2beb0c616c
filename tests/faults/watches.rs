//! Watches that close, expire, freeze, babble or flap.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rolltop::{
    cluster::{Pace, Scope, watch_detail},
    model::{LinkState, Source},
    msg::Body as Message,
    object::{Selection, kinds},
};
use serde_json::json;
use tokio::sync::mpsc;

use crate::server::*;

/// Four seconds at life's own pace against a server that ends every watch in the given way.
async fn requests_in_four_seconds(lines: impl Fn(usize) -> Vec<String> + Send + Sync + 'static) -> (usize, usize) {
    let server = Server::start(move |a, n| if a.is_watch() && !a.is_streamed_list() { watch(lines(n), true) } else { healthy(a) }).await;
    let mut room = Room::fleet(reader(&server.url(), Pace::default()).await, Scope::All);
    room.during(Duration::from_secs(4)).await;
    (server.asked().len(), server.count(Asked::is_list))
}

#[tokio::test]
async fn a_watch_closed_at_once_is_not_reopened_in_a_loop() {
    let (requests, lists) = requests_in_four_seconds(|_| vec![]).await;
    println!("closed at once: {requests} requests in 4 s, {lists} of them lists");
    assert!((4..=20).contains(&requests), "{requests} requests");
    assert_eq!(lists, 1, "a clean end is no reason to list again");
}

#[tokio::test]
async fn one_event_and_a_hang_up_is_not_a_success() {
    let (requests, _) = requests_in_four_seconds(|n| vec![event("MODIFIED", &rollout("web", 20 + n as u32))]).await;
    println!("one event, then closed: {requests} requests in 4 s");
    assert!((4..=20).contains(&requests), "{requests} requests");
}

#[tokio::test]
async fn versions_that_always_expire_do_not_make_it_list_without_end() {
    let (requests, lists) = requests_in_four_seconds(|_| vec![event("ERROR", &gone())]).await;
    println!("410 in each watch: {requests} requests in 4 s, {lists} of them lists");
    assert!((4..=20).contains(&requests), "{requests} requests");
    assert!(lists >= 3, "each 410 is followed by a list, {lists} were");
}

#[tokio::test]
async fn a_watch_goes_on_where_it_ended() {
    let server = Server::start(|a, n| match n {
        0 if a.is_watch() && !a.is_streamed_list() => watch(vec![event("MODIFIED", &rollout("web", 11)), bookmark(12, false)], true),
        _ => healthy(a),
    })
    .await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    assert_eq!(room.snapshot().await, (0, vec!["web".to_owned()]));
    assert_eq!(room.applied().await.meta.resource_version, "11");
    room.during(Duration::from_millis(150)).await;
    let versions: Vec<_> =
        server.asked().iter().filter(|a| a.is_watch() && !a.is_streamed_list()).map(|a| a.query["resourceVersion"].clone()).collect();
    assert_eq!(versions, ["10", "12"], "from the list, then from the bookmark");
}

#[tokio::test]
async fn http_410_lists_again() {
    let server = Server::start(|a, n| match a {
        a if a.is_watch() && !a.is_streamed_list() && n == 0 => status(410, "too old resource version"),
        a if a.is_list() => list(10 + n as u32, &[rollout(if n == 0 { "old" } else { "new" }, 1)]),
        a => healthy(a),
    })
    .await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    assert_eq!(room.snapshot().await.1, ["old"]);
    assert_eq!(room.snapshot().await.1, ["new"]);
    room.live().await;
}

#[tokio::test]
async fn an_error_event_410_lists_again() {
    let server = Server::start(|a, n| match a {
        a if a.is_watch() && !a.is_streamed_list() && n == 0 => watch(vec![event("ERROR", &gone())], false),
        a if a.is_list() => list(10, &[rollout(if n == 0 { "old" } else { "new" }, 1)]),
        a => healthy(a),
    })
    .await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    assert_eq!(room.snapshot().await.1, ["old"]);
    assert_eq!(room.snapshot().await.1, ["new"]);
}

#[tokio::test]
async fn a_frozen_server_is_noticed_and_so_is_its_thaw() {
    // The watch stays open and says nothing; whether questions are answered is up to the test.
    let frozen = Arc::new(Mutex::new(false));
    let is = frozen.clone();
    let server = Server::start(move |a, _| if *is.lock().unwrap() { never() } else { healthy(a) }).await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    room.live().await;
    // It is live from the list on; the freeze is to come over an open watch.
    while server.count(|a| a.is_watch() && !a.is_streamed_list()) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    *frozen.lock().unwrap() = true;
    let link = room.link("timed out", |s| *s == LinkState::TimedOut).await;
    assert!(link.synced.is_some() && link.heard <= link.since, "it says since when, and when it was last whole: {link:?}");
    assert!(link.retry_at.is_some());
    assert!(server.asked().iter().rev().find(|a| !a.is_watch()).unwrap().is_probe(), "a question found it out");
    let watches = server.count(|a| a.is_watch());
    *frozen.lock().unwrap() = false;
    room.live().await;
    room.during(Duration::from_millis(200)).await;
    assert_eq!(server.count(|a| a.is_watch()), watches + 1, "the watch may have died unnoticed: it is opened anew");
}

#[tokio::test]
async fn a_quiet_fleet_costs_one_watch_and_a_rare_question() {
    let server = Server::start(|a, _| healthy(a)).await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    room.live().await;
    let before = server.asked().len();
    let msgs = room.during(Duration::from_millis(1_300)).await;
    let asked = server.asked().split_off(before);
    println!("idle for 1.3 s at probe_every=250 ms: {} requests, {} messages", asked.len(), msgs.len());
    let probes = asked.iter().filter(|a| a.is_probe()).count();
    let watches = asked.iter().filter(|a| a.is_watch()).count();
    assert!((3..=5).contains(&probes) && watches <= 1 && asked.len() == probes + watches, "{asked:?}");
    assert!(
        msgs.len() <= probes + 1,
        "one message per answer heard, no chatter: {:?}",
        msgs.iter().map(|m| brief(&m.body)).collect::<Vec<_>>()
    );
    let heard: Vec<_> = msgs.iter().filter_map(|m| if let Message::Link(_, l) = &m.body { l.heard } else { None }).collect();
    assert!(heard.windows(2).all(|w| w[0] < w[1]), "each says something newer");
}

#[tokio::test]
async fn a_flapping_object_is_merged_and_its_last_state_arrives() {
    let (tx, rx) = mpsc::unbounded_channel();
    let feed = Mutex::new(Some(rx));
    let server = Server::start(move |a, _| match a {
        a if a.is_watch() && !a.is_streamed_list() => feed.lock().unwrap().take().map_or_else(|| watch(vec![], false), fed),
        a => healthy(a),
    })
    .await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    room.live().await;
    for n in 0..110 {
        tx.send(event("MODIFIED", &rollout("web", 100 + n))).unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut versions = Vec::new();
    while versions.last() != Some(&"209".to_owned()) {
        versions.push(room.applied().await.meta.resource_version.to_string());
    }
    println!("110 updates in about 0.6 s: {} messages", versions.len());
    assert_eq!(versions[0], "100", "the first passes at once");
    assert!(versions.len() <= 20, "{versions:?}");
}

#[tokio::test]
async fn a_deletion_overtakes_held_updates() {
    let lines = vec![event("ADDED", &rollout("b", 11)), event("MODIFIED", &rollout("b", 12)), event("DELETED", &rollout("b", 13))];
    let server =
        Server::start(move |a, _| if a.is_watch() && !a.is_streamed_list() { watch(lines.clone(), false) } else { healthy(a) }).await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    room.live().await;
    let said: Vec<String> =
        room.during(Duration::from_millis(200)).await.iter().map(|m| brief(&m.body)).filter(|b| !b.starts_with("link")).collect();
    assert_eq!(said, ["applied b 11", "deleted uid-b"]);
}

#[tokio::test]
async fn an_event_cut_in_the_middle_is_not_an_object() {
    let server = Server::start(|a, n| match n {
        0 if a.is_watch() && !a.is_streamed_list() => {
            watch(vec![event("MODIFIED", &rollout("web", 11)), r#"{"type":"MODIFIED","object":{"metadata":{"#.into()], true)
        }
        _ => healthy(a),
    })
    .await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    assert_eq!(room.applied().await.meta.resource_version, "11");
    let said = room.during(Duration::from_millis(300)).await;
    assert!(
        !said.iter().any(|m| matches!(&m.body, Message::Link(_, l) if l.state != LinkState::Live)),
        "taken up again within moments, so no news"
    );
    assert_eq!(server.asked().iter().rfind(|a| a.is_watch()).unwrap().query["resourceVersion"], "11");
}

#[tokio::test]
async fn a_web_page_instead_of_events_is_garbage() {
    let server = Server::start(|a, _| if a.is_watch() && !a.is_streamed_list() { html() } else { healthy(a) }).await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    let link = room.link("garbage", |s| *s == LinkState::Garbage).await;
    assert!(link.detail.contains("Sign in to the Wi-Fi"), "{}", link.detail);
}

#[tokio::test]
async fn an_object_without_identity_does_not_stop_the_others() {
    let lines = vec![
        event("ADDED", &json!({"metadata": {"name": "odd", "namespace": "shop", "resourceVersion": "11"}, "spec": 5})),
        event("ADDED", &rollout("good", 12)),
    ];
    let server =
        Server::start(move |a, n| if a.is_watch() && !a.is_streamed_list() && n == 0 { watch(lines.clone(), false) } else { healthy(a) })
            .await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    assert!(room.note().await.contains("shop/odd has no uid"));
    assert_eq!(name(&room.applied().await), "good");
    assert!(room.live().await.detail.contains("1 object cannot be read"));
}

#[tokio::test]
async fn nobody_listening_ends_it() {
    let server = Server::start(|a, _| healthy(a)).await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    room.live().await;
    room.rx.close();
    tokio::time::timeout(Duration::from_secs(5), &mut room.task).await.expect("the fleet ends with its listener").unwrap();
}

#[tokio::test]
async fn details_are_watched_by_selection_and_end_when_dropped() {
    let server = Server::start(|a, _| match &*a.path {
        "/api/v1/namespaces/shop/pods" if a.is_watch() && !a.is_streamed_list() => watch(vec![], false),
        "/api/v1/namespaces/shop/events" if a.is_watch() && !a.is_streamed_list() => watch(vec![], false),
        "/apis/argoproj.io/v1alpha1/namespaces/shop/experiments" | "/apis/argoproj.io/v1alpha1" => {
            status(404, "the server could not find the requested resource")
        }
        "/apis/networking.k8s.io/v1/namespaces/shop/ingresses" => status(403, "ingresses is forbidden: User \"eve\" cannot list"),
        _ => healthy(a),
    })
    .await;
    let reader = reader(&server.url(), brisk()).await;
    let select =
        |resource, optional| Selection { resource, namespace: "shop".into(), labels: Some("app=web".into()), fields: None, optional };
    let mut selections =
        vec![select(&kinds::POD, false), select(&kinds::EXPERIMENT, true), select(&kinds::INGRESS, true), select(&kinds::EVENT, false)];
    selections[3].fields = Some("involvedObject.uid=1".into());
    let (tx, rx) = mpsc::channel(1_000);
    let detail = watch_detail(&reader, 7, selections, tx);
    let mut room = Room { rx, task: tokio::spawn(async {}) };
    let msgs = room.during(Duration::from_millis(500)).await;
    assert!(msgs.iter().all(|m| m.epoch == 7));
    let last = |source| {
        msgs.iter().rev().find_map(|m| if let Message::Link(s, l) = &m.body { (*s == source).then_some(l.clone()) } else { None }).unwrap()
    };
    let link = last(Source::Detail);
    assert_eq!(link.state, LinkState::Live);
    assert!(
        link.detail.contains("no experiments.argoproj.io") && link.detail.contains("no right to read ingresses.networking.k8s.io"),
        "{}",
        link.detail
    );
    assert_eq!(last(Source::Events).state, LinkState::Live);
    let scopes: Vec<_> = msgs
        .iter()
        .filter_map(|m| {
            if let Message::Snapshot { resource, scope, objects, .. } = &m.body {
                Some((resource.kind, *scope, objects.len()))
            } else {
                None
            }
        })
        .collect();
    assert!(scopes.contains(&("Pod", 0, 1)) && scopes.contains(&("Event", 3, 1)), "{scopes:?}");
    let events = server.asked().into_iter().find(|a| a.path.ends_with("/events")).unwrap();
    assert_eq!((&*events.query["labelSelector"], &*events.query["fieldSelector"]), ("app%3Dweb", "involvedObject.uid%3D1"));
    drop(detail);
    room.during(Duration::from_millis(50)).await;
    let before = server.asked().len();
    assert!(tokio::time::timeout(PATIENCE, room.rx.recv()).await.expect("all senders are gone").is_none());
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(server.asked().len(), before, "no request after the end");
}
