//! Watches.

use super::*;

const PODS: &str = "/api/v1/namespaces/shop/pods";

#[tokio::test]
async fn from_a_revision_on() {
    let world = world();
    let mut stream = Stream::open(&world, &format!("{PODS}?watch=true&resourceVersion=3"), "*/*").await;
    assert_eq!([stream.said().await, stream.said().await], ["ADDED b 4", "ADDED c 5"]);
    assert!(stream.is_quiet().await);
    put(&world, "pods", "shop", "b", pod("b", "web", "Failed"));
    assert_eq!(stream.said().await, "MODIFIED b 7");
    // Another namespace is none of its business.
    put(&world, "pods", "pay", "x", pod("x", "web", "Failed"));
    remove(&world, "pods", "shop", "b");
    let event = stream.next().await.unwrap();
    // What is gone carries the revision at which it went.
    assert_eq!((&event["type"], &event["object"]["metadata"]["resourceVersion"]), (&json!("DELETED"), &json!("9")));
    assert_eq!((&event["object"]["kind"], &event["object"]["status"]["phase"]), (&json!("Pod"), &json!("Failed")));
    assert!(stream.is_quiet().await);
}

#[tokio::test]
async fn what_there_is_comes_first() {
    let world = world();
    for query in ["", "&resourceVersion=0", "&allowWatchBookmarks=true"] {
        let mut stream = Stream::open(&world, &format!("{PODS}?watch=1{query}"), "*/*").await;
        assert_eq!([stream.said().await, stream.said().await, stream.said().await], ["ADDED a 3", "ADDED b 4", "ADDED c 5"]);
        assert!(stream.is_quiet().await, "{query}");
    }
    let nothing = "&sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
    let mut stream = Stream::open(&world, &format!("{PODS}?watch=1{nothing}"), "*/*").await;
    assert!(stream.is_quiet().await);
}

#[tokio::test]
async fn a_bookmark_ends_the_initial_events() {
    let world = world();
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut stream = Stream::open(&world, &format!("{PODS}?{query}&labelSelector=app%3Dweb"), "*/*").await;
    assert_eq!([stream.said().await, stream.said().await], ["ADDED a 3", "ADDED b 4"]);
    let bookmark = stream.next().await.unwrap();
    let end = json!({"resourceVersion": "6", "annotations": {"k8s.io/initial-events-end": "true"}});
    assert_eq!(bookmark, json!({"type": "BOOKMARK", "object": {"kind": "Pod", "apiVersion": "v1", "metadata": end}}));
    // Also where there is nothing to begin with.
    let mut stream = Stream::open(&world, &format!("/apis/apps/v1/deployments?{query}"), "*/*").await;
    assert_eq!(stream.said().await, "BOOKMARK - 6");
    let heard = get(&world, &format!("{PODS}?{query}&resourceVersion=999")).await;
    assert_eq!((heard.code, heard.message().as_str()), (504, "Timeout: Too large resource version: 999, current: 6"));
}

/// Objects that begin or cease to match appear and go.
#[tokio::test]
async fn selectors_make_objects_come_and_go() {
    let world = world();
    let mut labels = Stream::open(&world, &format!("{PODS}?watch=1&resourceVersion=6&labelSelector=app%3Dnew"), "*/*").await;
    let mut phases = Stream::open(&world, &format!("{PODS}?watch=1&resourceVersion=6&fieldSelector=status.phase%3DRunning"), "*/*").await;
    put(&world, "pods", "shop", "a", pod("a", "new", "Running"));
    put(&world, "pods", "shop", "a", pod("a", "new", "Failed"));
    put(&world, "pods", "shop", "a", pod("a", "old", "Running"));
    assert_eq!([labels.said().await, labels.said().await], ["ADDED a 7", "MODIFIED a 8"]);
    let gone = labels.next().await.unwrap();
    // The last state the client has asked for, as of now.
    assert_eq!((&gone["type"], &gone["object"]["metadata"]["labels"]["app"]), (&json!("DELETED"), &json!("new")));
    assert_eq!(gone["object"]["metadata"]["resourceVersion"], "9");
    assert_eq!([phases.said().await, phases.said().await, phases.said().await], ["MODIFIED a 7", "DELETED a 8", "ADDED a 9"]);
}

#[tokio::test]
async fn missed_changes_end_a_watch() {
    let world = world();
    world.with(|sim| sim.store.compact());
    let mut stream = Stream::open(&world, &format!("{PODS}?watch=1&resourceVersion=2"), TABLE).await;
    let event = stream.next().await.unwrap();
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "too old resource version: 2 (6)",
        "reason": "Expired", "code": 410,
    });
    assert_eq!(event, json!({"type": "ERROR", "object": status}));
    assert_eq!(stream.next().await, None);
}

/// A client that does not read costs nothing and is told when it has missed something.
#[tokio::test]
async fn slow_readers_have_to_begin_again() {
    let world = world();
    let mut stream = Stream::open(&world, &format!("{PODS}?watch=1&resourceVersion=6"), "*/*").await;
    for _ in 0..2_100 {
        put(&world, "pods", "shop", "a", pod("a", "web", "Running"));
    }
    let event = stream.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(event["object"]["message"], format!("too old resource version: 6 ({})", 6 + 100));
}

#[tokio::test]
async fn bursts_arrive_completely_and_in_order() {
    let world = world();
    let mut stream = Stream::open(&world, &format!("{PODS}?watch=1&resourceVersion=6"), "*/*").await;
    for _ in 0..1_000 {
        put(&world, "pods", "shop", "a", pod("a", "web", "Running"));
    }
    for revision in 7..1_007 {
        assert_eq!(stream.said().await, format!("MODIFIED a {revision}"));
    }
}

#[tokio::test]
async fn a_watch_ends_with_its_time_or_its_kind() {
    let world = world();
    let mut timed = Stream::open(&world, &format!("{PODS}?watch=1&resourceVersion=6&timeoutSeconds=1"), "*/*").await;
    assert_eq!(timed.said().await, "end");
    let mut stream = Stream::open(&world, "/apis/argoproj.io/v1alpha1/rollouts?watch=1", "*/*").await;
    assert_eq!(stream.said().await, "ADDED web 6");
    world.with(|sim| {
        sim.store.remove_kind("rollouts.argoproj.io");
        // The next kind of this name is another one.
        sim.store.add_kind(rollouts());
    });
    assert_eq!(stream.said().await, "end");
}

#[tokio::test]
async fn in_every_form() {
    let world = world();
    let mut stream = Stream::open(&world, &format!("{PODS}?watch=1"), TABLE).await;
    let (first, second) = (stream.next().await.unwrap(), stream.next().await.unwrap());
    assert_eq!((&first["type"], &first["object"]["kind"]), (&json!("ADDED"), &json!("Table")));
    assert_eq!(first["object"]["columnDefinitions"].as_array().unwrap().len(), 9);
    // Columns are named once.
    assert_eq!(second["object"]["columnDefinitions"], Value::Null);
    assert_eq!(second["object"]["rows"][0]["cells"][0], "b");
    let mut stream = Stream::open(&world, &format!("{PODS}?watch=1"), PARTIAL).await;
    let event = stream.next().await.unwrap();
    assert_eq!((&event["object"]["kind"], &event["object"]["spec"]), (&json!("PartialObjectMetadata"), &Value::Null));
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&fieldSelector=metadata.name%3Dx";
    let mut stream = Stream::open(&world, &format!("{PODS}?{query}"), TABLE).await;
    let bookmark = stream.next().await.unwrap();
    let row = &bookmark["object"]["rows"][0];
    assert_eq!(row["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(row["cells"].as_array().unwrap().len(), 9);
}

/// The old style names what is watched by its path.
#[tokio::test]
async fn by_path() {
    let world = world();
    let mut stream = Stream::open(&world, "/api/v1/watch/namespaces/shop/pods/b?timeoutSeconds=1", "*/*").await;
    assert_eq!([stream.said().await, stream.said().await], ["ADDED b 4", "end"]);
    assert_eq!(get(&world, &format!("{PODS}/b?watch=1")).await.json()["kind"], "Pod");
}
