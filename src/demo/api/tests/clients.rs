//! A client library as everybody uses it, over loopback.

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config,
    api::{ListParams, LogParams, WatchEvent, WatchParams},
    config::KubeConfigOptions,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};

use super::*;
use crate::demo::{api::server::Server, kubeconfig::Kubeconfig};

/// A client that has nothing but the kubeconfig.
async fn serve(world: &Arc<World>) -> (Server, Client) {
    let server = Server::start(api::router(world.clone()), None).await.unwrap();
    let [token, namespace, context] = ["admin", "shop", "demo"].map(String::from);
    let text = Kubeconfig { server: server.url(), token, namespace, context }.text();
    let read = serde_saphyr::from_str(&text).unwrap();
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
    (server, Client::try_from(config).unwrap())
}

fn short(event: WatchEvent<Pod>) -> String {
    let object = |kind: &str, pod: &Pod| format!("{kind} {}", pod.metadata.name.as_deref().unwrap_or("-"));
    match &event {
        WatchEvent::Added(pod) => object("added", pod),
        WatchEvent::Modified(pod) => object("modified", pod),
        WatchEvent::Deleted(pod) => object("deleted", pod),
        WatchEvent::Bookmark(mark) => format!("bookmark {:?}", mark.metadata.annotations.keys().collect::<Vec<_>>()),
        WatchEvent::Error(status) => format!("error {}", status.code),
    }
}

#[tokio::test]
async fn kube_reads_lists_and_watches() {
    let world = world();
    let (_server, client) = serve(&world).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "shop");
    let listed = pods.list(&ListParams::default().labels("app=web").limit(1)).await.unwrap();
    assert_eq!((listed.items.len(), listed.metadata.continue_.is_some()), (1, true));
    let mut watch = pods.watch(&WatchParams::default().initial_events(), "0").await.unwrap().boxed();
    for expected in ["added a", "added b", "added c", "bookmark [\"k8s.io/initial-events-end\"]"] {
        assert_eq!(short(watch.try_next().await.unwrap().unwrap()), expected);
    }
    put(&world, "pods", "shop", "a", pod("a", "web", "Failed"));
    remove(&world, "pods", "shop", "a");
    assert_eq!(short(watch.try_next().await.unwrap().unwrap()), "modified a");
    assert_eq!(short(watch.try_next().await.unwrap().unwrap()), "deleted a");
    let error = pods.get("nope").await.unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.code == 404 && status.reason == "NotFound"));
    let error = pods.logs("b", &LogParams::default()).await.unwrap_err();
    assert!(error.to_string().contains("is not available"), "{error}");
}

#[tokio::test]
async fn kube_discovers_kinds_and_reads_their_metadata() {
    let world = world();
    let (_server, client) = serve(&world).await;
    assert_eq!(client.apiserver_version().await.unwrap().git_version, "v1.35.4");
    let resources = client.list_api_group_resources("argoproj.io/v1alpha1").await.unwrap();
    assert_eq!(resources.resources[0].name, "rollouts");
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("argoproj.io", "v1", "Rollout"), "rollouts");
    let rollouts: Api<DynamicObject> = Api::all_with(client, &resource);
    let listed = rollouts.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(listed.items[0].metadata.name.as_deref(), Some("web"));
    assert_eq!(rollouts.list(&ListParams::default()).await.unwrap().items[0].data["spec"]["replicas"], 4);
}

/// A server that goes away cuts its watches and refuses connections until it is back.
#[tokio::test]
async fn kube_survives_a_restart() {
    let world = world();
    let (server, client) = serve(&world).await;
    let pods: Api<Pod> = Api::namespaced(client, "shop");
    let mut watch = pods.watch(&WatchParams::default(), "6").await.unwrap().boxed();
    server.close().await;
    assert!(!matches!(watch.try_next().await, Ok(Some(_))));
    assert!(pods.list(&ListParams::default()).await.is_err());
    server.open().await.unwrap();
    assert_eq!(pods.list(&ListParams::default()).await.unwrap().items.len(), 3);
}

/// Hundreds of watches of one kind, all told of one change.
#[tokio::test]
async fn many_watch_at_once() {
    let world = world();
    let mut watches = Vec::new();
    for _ in 0..300 {
        watches.push(Stream::open(&world, "/api/v1/pods?watch=1&resourceVersion=6", "*/*").await);
    }
    put(&world, "pods", "shop", "a", pod("a", "web", "Failed"));
    for watch in &mut watches {
        assert_eq!(watch.said().await, "MODIFIED a 7");
    }
}
