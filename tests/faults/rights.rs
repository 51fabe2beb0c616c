//! Missing rights and missing kinds.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rolltop::{
    cluster::{ReadError, Scope},
    model::LinkState,
    msg::Body as Message,
    object::{Resource, kinds},
};
use serde_json::json;

use crate::server::*;

const ROLLOUTS: &str = "/apis/argoproj.io/v1alpha1/rollouts";

fn refused() -> axum::http::Response<axum::body::Body> {
    status(403, "rollouts.argoproj.io is forbidden: User \"jane\" cannot list resource \"rollouts\" at the cluster scope")
}

#[tokio::test]
async fn without_cluster_wide_rights_it_watches_the_namespaces_it_may() {
    let server = Server::start(|a, _| match &*a.path {
        ROLLOUTS => refused(),
        "/api/v1/namespaces" => {
            json(&json!({"metadata": {}, "items": (["a", "b", "c"].map(|n| json!({"metadata": {"name": n, "uid": n}})))}))
        }
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" => json(&json!({"status": {"allowed": true}})),
        p if p.contains("/namespaces/b/") => status(403, "rollouts.argoproj.io is forbidden: User \"jane\" cannot list"),
        _ => healthy(a),
    })
    .await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    let note = room.note().await;
    assert_eq!(note, "no right to list rollouts.argoproj.io in all namespaces: watching a, b, c");
    let mut scopes = [room.snapshot().await.0, room.snapshot().await.0];
    scopes.sort_unstable();
    assert_eq!(scopes, [0, 2], "the scope is the namespace's index");
    let link =
        room.find("whole link", |b| {
            if let Message::Link(_, l) = b { (l.is_live() && l.detail.contains("in b")).then(|| l.clone()) } else { None }
        })
        .await;
    assert!(link.detail.contains("only a, b, c") && link.detail.contains("no right to read rollouts.argoproj.io in b"), "{}", link.detail);
}

#[tokio::test]
async fn rights_are_asked_for_and_only_those_namespaces_watched() {
    let server = Server::start(|a, n| match &*a.path {
        ROLLOUTS => refused(),
        "/api/v1/namespaces" => {
            json(&json!({"metadata": {}, "items": [{"metadata": {"name": "a", "uid": "a"}}, {"metadata": {"name": "b", "uid": "b"}}]}))
        }
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" => json(&json!({"status": {"allowed": n == 0}})),
        _ => healthy(a),
    })
    .await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    let note = room.note().await;
    assert!(note.ends_with("watching a") || note.ends_with("watching b"), "{note}");
    room.live().await;
    assert_eq!(server.asked().iter().filter(|a| a.is_list() && a.path.contains("/namespaces/")).count(), 1);
}

/// Twenty kinds in fifty namespaces would otherwise be a thousand questions.
#[tokio::test]
async fn one_review_of_a_namespaces_rules_answers_for_all_kinds() {
    let rule = |resource: &str| json!({"verbs": ["list", "watch"], "apiGroups": ["argoproj.io"], "resources": [resource]});
    let server = Server::start(move |a, _| match &*a.path {
        ROLLOUTS | "/apis/argoproj.io/v1alpha1/analysisruns" => refused(),
        "/apis/argoproj.io/v1alpha1" => json(&json!({"resources": [{"name": "rollouts"}, {"name": "analysisruns"}]})),
        "/api/v1/namespaces" => {
            json(&json!({"metadata": {}, "items": [{"metadata": {"name": "a", "uid": "a"}}, {"metadata": {"name": "b", "uid": "b"}}]}))
        }
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews" => json(&json!({"status": {"resourceRules": [rule("rollouts")]}})),
        _ => healthy(a),
    })
    .await;
    let slow = rolltop::cluster::Pace { forbidden: Duration::from_secs(60), ..brisk() };
    let mut room = Room::of(reader(&server.url(), slow).await, vec![&kinds::ROLLOUT, &kinds::ANALYSIS_RUN], Scope::All);
    room.live().await;
    room.during(Duration::from_millis(300)).await;
    assert_eq!(server.count(|a| a.path.ends_with("selfsubjectrulesreviews")), 2, "one for each namespace");
    assert_eq!(server.count(|a| a.path.ends_with("selfsubjectaccessreviews")), 0);
    assert_eq!(server.count(|a| a.path == "/api/v1/namespaces"), 1);
    assert_eq!(server.count(|a| a.is_list() && a.path.contains("/namespaces/") && a.path.ends_with("/analysisruns")), 0);
}

#[tokio::test]
async fn without_a_list_of_namespaces_the_kubeconfigs_own_is_watched() {
    let server = Server::start(|a, _| match &*a.path {
        ROLLOUTS | "/api/v1/namespaces" => refused(),
        _ => healthy(a),
    })
    .await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    assert!(room.note().await.ends_with("watching shop"));
    room.live().await;
    assert!(server.asked().iter().any(|a| a.path == "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts"));
}

#[tokio::test]
async fn a_refusal_names_what_is_missing_and_a_nudge_asks_again() {
    let allowed = Arc::new(Mutex::new(false));
    let is = allowed.clone();
    let server = Server::start(move |a, _| if *is.lock().unwrap() { healthy(a) } else { refused() }).await;
    let slow = rolltop::cluster::Pace { forbidden: Duration::from_secs(60), ..brisk() };
    let reader = reader(&server.url(), slow).await;
    let mut room = Room::fleet(reader.clone(), Scope::Namespaces(vec!["shop".into()]));
    let link = room.link("forbidden", |s| matches!(s, LinkState::Forbidden { .. })).await;
    let LinkState::Forbidden { resource, namespace, role, .. } = link.state else { unreachable!() };
    assert_eq!((&*resource, namespace.as_deref()), ("rollouts.argoproj.io", Some("shop")));
    assert_eq!(role, "kubectl -n shop create rolebinding rolltop-viewer --clusterrole=rolltop-viewer --user=jane");
    let before = server.asked().len();
    room.during(Duration::from_millis(300)).await;
    assert_eq!(server.asked().len(), before, "it waits");
    *allowed.lock().unwrap() = true;
    reader.nudge();
    room.live().await;
}

#[tokio::test]
async fn the_refusals_of_a_restarted_server_pass_quickly_and_narrow_nothing() {
    // An API server that has not read its roles yet refuses everybody.
    let server = Server::start(|a, n| match n {
        0 if a.is_watch() && !a.is_streamed_list() => watch(vec![event("MODIFIED", &rollout("web", 11))], true),
        1..=3 if a.is_watch() && !a.is_streamed_list() => refused(),
        _ => healthy(a),
    })
    .await;
    let slow = rolltop::cluster::Pace { forbidden: Duration::from_secs(60), ..brisk() };
    let mut room = Room::fleet(reader(&server.url(), slow).await, Scope::All);
    room.live().await;
    room.link("forbidden", |s| matches!(s, LinkState::Forbidden { .. })).await;
    room.live().await;
    assert_eq!(server.count(|a| a.path.contains("namespaces")), 0, "it looked for a narrower scope");
}

#[tokio::test]
async fn a_kind_that_is_not_installed_is_waited_for_cheaply() {
    let installed = Arc::new(Mutex::new(false));
    let is = installed.clone();
    let server = Server::start(move |a, _| match &*a.path {
        "/apis/argoproj.io/v1alpha1" if *is.lock().unwrap() => {
            json(&json!({"kind": "APIResourceList", "resources": [{"name": "rollouts"}]}))
        }
        p if p.starts_with("/apis/argoproj.io") && !*is.lock().unwrap() => {
            axum::http::Response::builder().status(404).body("404 page not found\n".into()).unwrap()
        }
        _ => healthy(a),
    })
    .await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    let link = room.link("missing kind", |s| matches!(s, LinkState::CrdMissing { .. })).await;
    assert_eq!(link.state, LinkState::CrdMissing { kind: "Rollout".into() });
    room.during(Duration::from_millis(300)).await;
    assert!(server.count(|a| a.path == "/apis/argoproj.io/v1alpha1") >= 3, "it looks again");
    assert!(server.count(|a| a.path == ROLLOUTS) <= 2, "by discovery, not by listing");
    *installed.lock().unwrap() = true;
    assert_eq!(
        room.find("objects", |b| if let Message::Snapshot { objects, .. } = b {
            (!objects.is_empty()).then_some(objects.len())
        } else {
            None
        })
        .await,
        1
    );
    room.live().await;
}

#[tokio::test]
async fn kinds_that_are_not_installed_share_one_look() {
    let server = Server::start(|a, _| match &*a.path {
        "/apis" => json(&json!({"kind": "APIGroupList", "groups": [{"versions": [{"groupVersion": "apps/v1"}]}]})),
        p if p.starts_with("/apis/") && !p.starts_with("/apis/apps/") => {
            axum::http::Response::builder().status(404).body("404 page not found\n".into()).unwrap()
        }
        _ => healthy(a),
    })
    .await;
    let absent: Vec<&'static Resource> = vec![&kinds::ROLLOUT, &kinds::CANARY, &kinds::HTTP_ROUTE, &kinds::VIRTUAL_SERVICE];
    let mut room = Room::of(reader(&server.url(), brisk()).await, absent, Scope::All);
    room.link("missing kinds", |s| matches!(s, LinkState::CrdMissing { .. })).await;
    room.during(Duration::from_millis(600)).await;
    let looks = server.count(|a| a.path == "/apis");
    // Every 60 ms, by each of four.
    assert!((3..=15).contains(&looks), "{looks} looks");
    let documents = server.count(|a| a.path.starts_with("/apis/") && a.path.matches('/').count() == 3);
    assert_eq!(documents, 0, "the list of groups says it all");
}

#[tokio::test]
async fn a_kind_taken_away_empties_the_picture_but_an_odd_404_does_not() {
    let removed = Arc::new(Mutex::new(false));
    let is = removed.clone();
    let server = Server::start(move |a, n| match &*a.path {
        "/apis/argoproj.io/v1alpha1" if *is.lock().unwrap() => json(&json!({"resources": []})),
        "/apis/argoproj.io/v1alpha1" => json(&json!({"resources": [{"name": "rollouts"}]})),
        ROLLOUTS if *is.lock().unwrap() || (a.is_list() && n == 1) => status(404, "the server could not find the requested resource"),
        ROLLOUTS if a.is_watch() && !a.is_streamed_list() && n == 0 => watch(vec![event("ERROR", &gone())], true),
        _ => healthy(a),
    })
    .await;
    let reader = reader(&server.url(), brisk()).await;
    let mut room = Room::fleet(reader.clone(), Scope::All);
    assert_eq!(room.snapshot().await.1, ["web"]);
    room.link("missing kind", |s| matches!(s, LinkState::CrdMissing { .. })).await;
    assert_eq!(room.snapshot().await.1, ["web"], "no empty picture in between");
    room.live().await;
    *removed.lock().unwrap() = true;
    reader.nudge();
    assert!(room.snapshot().await.1.is_empty());
}

#[tokio::test]
async fn single_questions() {
    let server = Server::start(|a, _| match (&*a.path, a.method.as_str()) {
        ("/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/web", "GET") => json(&rollout("web", 5)),
        ("/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/gone", "GET") => status(404, "rollouts.argoproj.io \"gone\" not found"),
        ("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "POST") => json(&json!({"status": {"allowed": false, "reason": "no"}})),
        ("/apis/authentication.k8s.io/v1/selfsubjectreviews", "POST") => {
            json(&json!({"status": {"userInfo": {"username": "jane\u{1b}[2J", "groups": ["oncall"]}}}))
        }
        ("/version", "GET") => json(&json!({"gitVersion": "v1.33.2"})),
        _ => status(500, "unexpected"),
    })
    .await;
    let reader = reader(&server.url(), brisk()).await;
    assert_eq!(reader.get(&kinds::ROLLOUT, "shop", "web").await.unwrap().meta.resource_version, "5");
    assert!(matches!(reader.get(&kinds::ROLLOUT, "shop", "gone").await, Err(ReadError::Missing(_))));
    assert!(matches!(reader.get(&kinds::POD, "shop", "x").await.unwrap_err().state(), Some(LinkState::ServerError { code: 500 })));
    assert!(!reader.can_i("patch", &kinds::ROLLOUT, Some("status"), "shop", "web").await.unwrap());
    let identity = reader.identity().await.unwrap();
    assert!(!identity.user.contains('\u{1b}') && identity.groups[0] == "oncall");
    assert_eq!(reader.version().await.unwrap(), "v1.33.2");
}
