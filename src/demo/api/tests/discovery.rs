//! What is served.

use super::*;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

#[tokio::test]
async fn health_and_version_need_no_token() {
    let world = world();
    for path in ["/healthz", "/livez", "/readyz", "/livez/ping"] {
        let heard = send(&world, Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!((heard.code, heard.text.as_str()), (200, "ok"), "{path}");
    }
    let version = get(&world, "/version").await.json();
    assert_eq!([&version["major"], &version["minor"], &version["gitVersion"]], ["1", "35", "v1.35.4"]);
}

/// Who has no token sees nothing else, and who has a wrong one nothing at all.
#[tokio::test]
async fn strangers_learn_nothing() {
    let world = world();
    for path in ["/api", "/apis/apps/v1", "/openapi/v3", "/nosuch", "/"] {
        let heard = send(&world, Request::get(path).body(Body::empty()).unwrap()).await;
        let message = format!("forbidden: User \"system:anonymous\" cannot get path \"{path}\"");
        assert_eq!((heard.code, heard.message()), (403, message));
    }
    for path in ["/api/v1/pods", "/api/v1/nosuch", "/apis/no.such/v1/namespaces/shop/foos/x"] {
        let heard = send(&world, Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!((heard.code, heard.json()["reason"].as_str().unwrap()), (403, "Forbidden"), "{path}");
    }
    // A token may come by the path, where clients do not send it otherwise.
    let by_path = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let heard = send(&world, by_path("/t/admin/api/v1/namespaces/shop/pods?limit=1")).await;
    assert_eq!((heard.code, heard.names()), (200, vec!["a".to_owned()]));
    assert_eq!(send(&world, by_path("/t/admin")).await.json()["paths"][0], "/api");
    assert_eq!(send(&world, by_path("/t/guessed/api")).await.code, 401);
    let stranger = Request::get("/api/v1/pods").header(header::AUTHORIZATION, "Bearer guessed").body(Body::empty()).unwrap();
    assert_eq!(send(&world, stranger).await.code, 401);
}

#[tokio::test]
async fn the_old_style() {
    let world = world();
    assert_eq!(get(&world, "/api").await.json()["versions"], json!(["v1"]));
    let groups = get(&world, "/apis").await.json();
    let names: Vec<&str> = groups["groups"].as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap()).collect();
    assert_eq!((names[0], names[1], *names.last().unwrap()), ("apps", "events.k8s.io", "argoproj.io"));
    let group = get(&world, "/apis/autoscaling").await.json();
    assert_eq!(group["preferredVersion"], json!({"groupVersion": "autoscaling/v2", "version": "v2"}));
    let list = get(&world, "/apis/argoproj.io/v1alpha1").await.json();
    let names: Vec<&str> = list["resources"].as_array().unwrap().iter().map(|kind| kind["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["rollouts", "rollouts/scale", "rollouts/status"]);
    assert_eq!(list["resources"][0]["shortNames"], json!(["ro"]));
    let scale = json!({
        "name": "rollouts/scale", "singularName": "", "namespaced": true, "group": "autoscaling", "version": "v1", "kind": "Scale",
        "verbs": ["get", "patch", "update"],
    });
    assert_eq!(list["resources"][1], scale);
}

#[tokio::test]
async fn all_at_once_and_again_only_if_it_changed() {
    let world = world();
    let heard = get_as(&world, "/apis", AGGREGATED).await;
    assert_eq!(heard.headers[header::CONTENT_TYPE], "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    let list = heard.json();
    let argo = list["items"].as_array().unwrap().last().unwrap();
    assert_eq!((&argo["metadata"]["name"], &argo["versions"][0]["freshness"]), (&json!("argoproj.io"), &json!("Current")));
    let rollouts = &argo["versions"][0]["resources"][0];
    let response = json!({"group": "argoproj.io", "version": "v1alpha1", "kind": "Rollout"});
    assert_eq!((&rollouts["responseKind"], &rollouts["scope"]), (&response, &json!("Namespaced")));
    assert_eq!(rollouts["subresources"][0]["responseKind"], json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}));
    let core = get_as(&world, "/api", AGGREGATED).await.json();
    assert_eq!((core["items"].as_array().unwrap().len(), &core["items"][0]["metadata"]), (1, &json!({})));
    let again = |tag: &axum::http::HeaderValue| {
        let mut again = request("GET", "/apis", AGGREGATED);
        again.headers_mut().insert(header::IF_NONE_MATCH, tag.clone());
        again
    };
    let tag = &heard.headers[header::ETAG];
    assert_eq!(send(&world, again(tag)).await.code, 304);
    world.with(|sim| sim.store.remove_kind("rollouts.argoproj.io"));
    let heard = send(&world, again(tag)).await;
    assert_eq!(heard.code, 200);
    assert!(!heard.text.contains("argoproj.io"));
    assert_eq!(get(&world, "/apis/argoproj.io").await.code, 404);
}

/// What `kubectl apply` looks for: whether a patch can be validated by the server.
#[tokio::test]
async fn openapi_tells_how_to_patch() {
    let world = world();
    let index = get(&world, "/openapi/v3").await.json();
    for (root, kind, item, strategic) in [
        ("api/v1", json!({"group": "", "version": "v1", "kind": "Pod"}), "namespaces/{namespace}/pods/{name}", true),
        (
            "apis/argoproj.io/v1alpha1",
            json!({"group": "argoproj.io", "version": "v1alpha1", "kind": "Rollout"}),
            "namespaces/{namespace}/rollouts/{name}",
            false,
        ),
    ] {
        let url = index["paths"][root]["serverRelativeURL"].as_str().unwrap();
        let document = get(&world, url).await.json();
        let patch = &document["paths"][format!("/{root}/{item}")]["patch"];
        assert_eq!(patch["x-kubernetes-group-version-kind"], kind);
        assert!(patch["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "fieldValidation" && p["in"] == "query"));
        assert_eq!(patch["requestBody"]["content"]["application/strategic-merge-patch+json"].is_object(), strategic);
    }
    let document = get(&world, "/openapi/v3/apis/argoproj.io/v1alpha1").await.json();
    let schema = &document["components"]["schemas"]["io.argoproj.v1alpha1.Rollout"];
    assert_eq!(schema["x-kubernetes-group-version-kind"][0]["kind"], "Rollout");
    assert_eq!(get(&world, "/openapi/v3/apis/no.such/v1").await.code, 404);
    assert_eq!(get_as(&world, "/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf").await.code, 406);
    assert_eq!(get(&world, "/openapi/v2").await.json()["swagger"], "2.0");
}
