//! A reading client refuses before any byte is sent; a proxy client knows one service.

use axum::http::Request;
use kube::client::Body;
use rolltop::cluster::Refused;

use crate::server::*;

fn request(method: &str, path: &str, upgrade: bool) -> Request<Body> {
    let mut builder = Request::builder().method(method).uri(path);
    if upgrade {
        builder = builder.header("upgrade", "websocket").header("connection", "upgrade");
    }
    builder.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_reader_cannot_write_and_nothing_is_sent() {
    let server = Server::start(|_, _| json(&serde_json::json!({}))).await;
    let connection = Kubeconfig::new(&server.url(), "", "").connect(brisk()).await;
    let client = connection.reader().client();
    for (method, path, upgrade) in [
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/b", false),
        ("DELETE", "/api/v1/namespaces/a/pods/b", false),
        ("PUT", "/api/v1/namespaces/a/pods/b/status", false),
        ("POST", "/api/v1/namespaces/a/pods/b/eviction", false),
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", false),
        ("GET", "/api/v1/namespaces/a/pods/b/exec?command=sh", true),
        ("GET", "/api/v1/namespaces/a/pods/b/exec?command=sh", false),
        ("GET", "/api/v1/namespaces/a/pods/b/portforward", false),
        ("GET", "/api/v1/namespaces/a/services/b/proxy/", false),
        ("GET", "/api/v1/namespaces/a/pods/b/%65xec", false),
        ("GET", "/api/v1/namespaces/a/pods/b/log", true),
    ] {
        let error = client.send(request(method, path, upgrade)).await.expect_err(path);
        let kube::Error::Service(inner) = &error else { panic!("{error:?}") };
        assert!(inner.downcast_ref::<Refused>().is_some(), "{method} {path}: {error:?}");
    }
    let pod = kube::Api::<k8s_openapi::api::core::v1::Pod>::namespaced(client.clone(), "a");
    assert!(pod.delete("b", &Default::default()).await.is_err());
    assert_eq!(server.asked().len(), 0, "{:?}", server.asked());
    for (method, path) in [("GET", "/api/v1/namespaces/proxy/pods"), ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")] {
        assert!(client.send(request(method, path, false)).await.is_ok(), "{method} {path}");
    }
    assert_eq!(server.asked().len(), 2, "what reads does pass");
}

#[tokio::test]
async fn a_proxy_client_reads_from_one_service() {
    let server = Server::start(|_, _| json(&serde_json::json!({"status": "success"}))).await;
    let reader = reader(&server.url(), brisk()).await;
    let client = reader.service_proxy("mon", "prom", 9090);
    for (method, path) in [
        ("GET", "/api/v1/namespaces/mon/services/other:9090/proxy/api/v1/query"),
        ("GET", "/api/v1/namespaces/mon/services/prom:9090/proxy/../../../pods"),
        ("POST", "/api/v1/namespaces/mon/services/prom:9090/proxy/api/v1/query"),
        ("GET", "/api/v1/pods"),
    ] {
        assert!(client.send(request(method, path, false)).await.is_err(), "{method} {path}");
    }
    assert_eq!(server.asked().len(), 0);
    assert!(client.send(request("GET", "/api/v1/namespaces/mon/services/prom:9090/proxy/api/v1/query?query=up", false)).await.is_ok());
    assert!(
        reader.client().send(request("GET", "/api/v1/namespaces/mon/services/prom:9090/proxy/", false)).await.is_err(),
        "the reader itself may not"
    );
}

#[tokio::test]
async fn a_write_is_sent_exactly_once() {
    let server = Server::start(|_, _| {
        let mut answer = status(503, "try again");
        answer.headers_mut().insert("retry-after", axum::http::HeaderValue::from_static("0"));
        answer
    })
    .await;
    let client = Kubeconfig::new(&server.url(), "", "").connect(brisk()).await.write_client().unwrap();
    let answer = client.send(request("PATCH", "/apis/apps/v1/namespaces/a/deployments/b", false)).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(server.asked().len(), 1);
}
