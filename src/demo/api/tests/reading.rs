//! Getting and listing.

use super::*;
use crate::demo::store::Store;

#[tokio::test]
async fn an_object_is_answered_as_it_is_kept() {
    let world = world();
    let heard = get(&world, "/api/v1/namespaces/shop/pods/a").await;
    assert_eq!((heard.code, &heard.headers[header::CONTENT_TYPE]), (200, &"application/json".parse().unwrap()));
    assert_eq!(heard.json(), world.look(|sim| sim.store.get(&Key::new("pods", "shop", "a")).unwrap().value()));
    assert_eq!(heard.headers[header::DATE], "Sat, 21 Nov 2026 00:01:00 GMT");
    assert_eq!(get(&world, "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/web/status").await.json()["kind"], "Rollout");
}

#[tokio::test]
async fn a_kind_can_be_read_in_each_of_its_versions() {
    let world = world();
    for version in ["v1alpha1", "v1"] {
        let api_version = format!("argoproj.io/{version}");
        let object = get(&world, &format!("/apis/{api_version}/namespaces/shop/rollouts/web")).await.json();
        assert_eq!((&object["apiVersion"], &object["spec"]["replicas"]), (&json!(api_version), &json!(4)));
        let list = get(&world, &format!("/apis/{api_version}/rollouts")).await.json();
        assert_eq!([&list["apiVersion"], &list["items"][0]["apiVersion"]], [&json!(api_version); 2]);
    }
}

#[tokio::test]
async fn refusals_have_the_real_words() {
    let world = world();
    let shop = "/api/v1/namespaces/shop/pods";
    let invalid = "ListOptions.meta.k8s.io \"\" is invalid: ";
    for (path, code, reason, message) in [
        (format!("{shop}/nope"), 404, "NotFound", "pods \"nope\" not found".to_owned()),
        (
            "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/nope".into(),
            404,
            "NotFound",
            "rollouts.argoproj.io \"nope\" not found".into(),
        ),
        (
            "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/web/foo".into(),
            404,
            "NotFound",
            "rollouts.argoproj.io \"web\" not found".into(),
        ),
        (format!("{shop}/a/foo"), 404, "NotFound", "the server could not find the requested resource".into()),
        ("/api/v1/nosuch".into(), 404, "NotFound", "the server could not find the requested resource".into()),
        ("/api/v1/namespaces/shop/nodes".into(), 404, "NotFound", "the server could not find the requested resource".into()),
        (format!("{shop}?fieldSelector=spec.x%3Dy"), 400, "BadRequest", "field label not supported: spec.x".into()),
        (
            format!("{shop}?labelSelector=a%3D%3D%3Db"),
            400,
            "BadRequest",
            "unable to parse requirement: found '=', expected: identifier".into(),
        ),
        (format!("{shop}?limit=x"), 400, "BadRequest", "strconv.ParseInt: parsing \"x\": invalid syntax".into()),
        (
            format!("{shop}?resourceVersion=abc"),
            400,
            "BadRequest",
            "invalid resource version: resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax".into(),
        ),
        (
            format!("{shop}?resourceVersionMatch=Exact"),
            422,
            "Invalid",
            format!("{invalid}resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ),
        (
            format!("{shop}?resourceVersion=1&resourceVersionMatch=Foo"),
            422,
            "Invalid",
            format!("{invalid}resourceVersionMatch: Unsupported value: \"Foo\": supported values: \"Exact\", \"NotOlderThan\", \"\""),
        ),
        (
            format!("{shop}?sendInitialEvents=true"),
            422,
            "Invalid",
            format!("{invalid}sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
        ),
        (format!("{shop}?resourceVersion=99999999"), 504, "Timeout", "Timeout: Too large resource version: 99999999, current: 6".into()),
        (
            format!("{shop}?watch=1&resourceVersion=1&resourceVersionMatch=NotOlderThan"),
            422,
            "Invalid",
            format!(
                "{invalid}resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            ),
        ),
    ] {
        let heard = get(&world, &path).await;
        assert_eq!((heard.code, heard.json()["reason"].as_str().unwrap(), heard.message()), (code, reason, message), "{path}");
        assert_eq!(heard.json()["code"], code, "{path}");
    }
    for path in ["/nosuch", "/apis/no.such", "/apis/no.such/v1/foos", "/apis/argoproj.io/v1alpha1/foos"] {
        let heard = get(&world, path).await;
        assert_eq!((heard.code, heard.text.as_str()), (404, "404 page not found\n"), "{path}");
    }
}

#[tokio::test]
async fn methods_that_make_no_sense_are_not_allowed() {
    let world = world();
    let rollouts = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts";
    for (method, path) in [
        ("PUT", "/api/v1/namespaces/shop/pods"),
        ("PATCH", "/api/v1/namespaces/shop/pods"),
        ("POST", "/api/v1/pods"),
        ("DELETE", "/api/v1/pods"),
        ("POST", "/api/v1/namespaces/shop/pods/a"),
        ("DELETE", "/api/v1/namespaces"),
        ("GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
        ("DELETE", &format!("{rollouts}/web/status")),
        ("POST", &format!("{rollouts}/web/scale")),
    ] {
        let heard = send(&world, request(method, path, "*/*")).await;
        assert_eq!((heard.code, heard.json()["reason"].as_str().unwrap()), (405, "MethodNotAllowed"), "{method} {path}");
    }
}

#[tokio::test]
async fn selectors_narrow_lists_down() {
    let world = world();
    put(&world, "pods", "shop", "d", pod("d", "web", "Failed"));
    for (query, names) in [
        ("", vec!["a", "b", "c", "d"]),
        ("labelSelector=app%3Dweb", vec!["a", "b", "d"]),
        ("labelSelector=app+in+(db,x),!gone", vec!["c"]),
        ("labelSelector=app%21%3Dweb", vec!["c"]),
        ("fieldSelector=status.phase%3DRunning", vec!["a", "b", "c"]),
        ("fieldSelector=status.phase%21%3DRunning&labelSelector=app", vec!["d"]),
        ("fieldSelector=metadata.name%3Db", vec!["b"]),
        ("fieldSelector=metadata.namespace%3Dpay", vec![]),
    ] {
        assert_eq!(get(&world, &format!("/api/v1/namespaces/shop/pods?{query}")).await.names(), names, "{query}");
    }
    assert_eq!(get(&world, "/api/v1/pods?labelSelector=app+notin+(web)").await.names(), ["ledger", "c"]);
}

/// What lists of built-in kinds leave out of their items, and lists of others do not.
#[tokio::test]
async fn lists_say_what_they_are() {
    let world = world();
    let pods = get(&world, "/api/v1/namespaces/shop/pods").await.json();
    assert_eq!([&pods["kind"], &pods["apiVersion"], &pods["metadata"]["resourceVersion"]], ["PodList", "v1", "6"]);
    assert_eq!((&pods["items"][0]["kind"], &pods["items"][0]["apiVersion"]), (&Value::Null, &Value::Null));
    let rollouts = get(&world, "/apis/argoproj.io/v1alpha1/rollouts").await.json();
    assert_eq!([&rollouts["kind"], &rollouts["items"][0]["kind"]], ["RolloutList", "Rollout"]);
    let none = get(&world, "/api/v1/namespaces/nope/pods").await.json();
    assert_eq!(none["items"], json!([]));
}

#[tokio::test]
async fn pages_show_one_moment_whatever_happens_meanwhile() {
    let world = world();
    let first = get(&world, "/api/v1/pods?limit=2").await;
    assert_eq!(first.names(), ["ledger", "a"]);
    let metadata = first.json()["metadata"].clone();
    assert_eq!((&metadata["remainingItemCount"], &metadata["resourceVersion"]), (&json!(2), &json!("6")));
    remove(&world, "pods", "shop", "b");
    put(&world, "pods", "shop", "aa", pod("aa", "new", "Running"));
    put(&world, "pods", "shop", "c", pod("c", "changed", "Running"));
    let token = metadata["continue"].as_str().unwrap();
    let second = get(&world, &format!("/api/v1/pods?limit=2&continue={token}")).await;
    assert_eq!(second.names(), ["b", "c"]);
    let list = second.json();
    assert_eq!(list["items"][1]["metadata"]["labels"]["app"], "db");
    assert_eq!(list["metadata"], json!({"resourceVersion": "6"}));
    let exact = get(&world, "/api/v1/namespaces/shop/pods?resourceVersion=6&resourceVersionMatch=Exact").await;
    assert_eq!(exact.names(), ["a", "b", "c"]);
    assert_eq!(get(&world, "/api/v1/namespaces/shop/pods?resourceVersion=6").await.names(), ["a", "aa", "c"]);
}

#[tokio::test]
async fn a_list_that_took_too_long_can_be_ended_inconsistently() {
    let world = world();
    let token = get(&world, "/api/v1/pods?limit=2").await.json()["metadata"]["continue"].as_str().unwrap().to_owned();
    put(&world, "pods", "shop", "bb", pod("bb", "web", "Running"));
    world.with(|sim| Store::compact(&mut sim.store));
    let heard = get(&world, &format!("/api/v1/pods?limit=2&continue={token}")).await;
    assert_eq!((heard.code, heard.json()["reason"].as_str().unwrap()), (410, "Expired"));
    assert!(heard.message().starts_with("The provided continue parameter is too old to display a consistent list result."));
    let token = heard.json()["metadata"]["continue"].as_str().unwrap().to_owned();
    assert_eq!(get(&world, &format!("/api/v1/pods?continue={token}")).await.names(), ["b", "bb", "c"]);
    let heard = get(&world, "/api/v1/pods?resourceVersion=2&resourceVersionMatch=Exact").await;
    assert_eq!((heard.code, heard.message().as_str()), (410, "The resourceVersion for the provided list is too old."));
    let heard = get(&world, "/api/v1/pods?continue=abc").await;
    assert_eq!((heard.code, heard.message().as_str()), (400, "invalid continue token: continue key is not valid"));
    let heard = get(&world, &format!("/api/v1/pods?resourceVersion=5&continue={token}")).await;
    assert_eq!(heard.message(), "specifying resource version is not allowed when using continue");
}

#[tokio::test]
async fn metadata_alone() {
    let world = world();
    let list = get_as(&world, "/api/v1/namespaces/shop/pods?limit=1", PARTIAL_LIST).await.json();
    assert_eq!([&list["kind"], &list["apiVersion"]], ["PartialObjectMetadataList", "meta.k8s.io/v1"]);
    let item = &list["items"][0];
    assert_eq!([&item["kind"], &item["metadata"]["name"]], ["PartialObjectMetadata", "a"]);
    assert_eq!(item["spec"], Value::Null);
    let object = get_as(&world, "/api/v1/namespaces/shop/pods/a", PARTIAL).await.json();
    assert_eq!((&object["kind"], &object["status"]), (&json!("PartialObjectMetadata"), &Value::Null));
    let heard = get_as(&world, "/api/v1/namespaces/shop/pods/a", PARTIAL_LIST).await;
    let message = "you requested PartialObjectMetadataList, but the requested object is not a list (*core.Pod)";
    assert_eq!((heard.code, heard.message().as_str()), (406, message));
    assert_eq!(get_as(&world, "/api/v1/namespaces/shop/pods", "application/vnd.kubernetes.protobuf").await.code, 406);
}

#[tokio::test]
async fn tables() {
    let world = world();
    let table = get_as(&world, "/api/v1/namespaces/shop/pods?limit=1", TABLE).await.json();
    assert_eq!([&table["kind"], &table["apiVersion"], &table["metadata"]["resourceVersion"]], ["Table", "meta.k8s.io/v1", "6"]);
    assert_eq!(table["metadata"]["remainingItemCount"], 2);
    let columns: Vec<&str> = table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(columns, ["Name", "Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node", "Readiness Gates"]);
    let row = &table["rows"][0];
    assert_eq!(row["cells"], json!(["a", "0/1", "Running", "0", "60s", "<none>", "n1", "<none>", "<none>"]));
    assert_eq!([&row["object"]["kind"], &row["object"]["metadata"]["name"]], ["PartialObjectMetadata", "a"]);
    let whole = get_as(&world, "/api/v1/namespaces/shop/pods/a?includeObject=Object", TABLE).await.json();
    assert_eq!((&whole["rows"][0]["object"]["kind"], &whole["metadata"]["resourceVersion"]), (&json!("Pod"), &json!("3")));
    let bare = get_as(&world, "/api/v1/namespaces/shop/pods?includeObject=None", TABLE).await.json();
    assert_eq!(bare["rows"][0]["object"], Value::Null);
    let rollouts = get_as(&world, "/apis/argoproj.io/v1alpha1/rollouts", TABLE).await.json();
    assert_eq!(rollouts["rows"][0]["cells"], json!(["web", 4]));
    put(&world, "pods", "shop", "a", pod("a", "web", "Succeeded"));
    let done = get_as(&world, "/api/v1/namespaces/shop/pods/a", TABLE).await.json();
    assert_eq!(done["rows"][0]["conditions"][0]["type"], "Completed");
    let heard = get_as(&world, "/api/v1/pods?includeObject=foo", TABLE).await;
    let message =
        "Unable to convert to Table as requested: includeObject: Invalid value: \"foo\": must be 'Metadata', 'Object', 'None', or empty";
    assert_eq!((heard.code, heard.message().as_str()), (400, message));
}

#[tokio::test]
async fn events_are_the_same_in_both_of_their_groups() {
    let world = world();
    let about = json!({"kind": "Pod", "name": "a", "namespace": "shop"});
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "involvedObject": about, "message": "m", "reason": "Started", "count": 2,
        "reportingComponent": "kubelet", "reportingInstance": "", "metadata": {},
    });
    put(&world, "events", "shop", "e", event);
    let path = "/apis/events.k8s.io/v1/namespaces/shop/events";
    let new = get(&world, &format!("{path}/e")).await.json();
    assert_eq!((&new["apiVersion"], &new["regarding"], &new["note"]), (&json!("events.k8s.io/v1"), &about, &json!("m")));
    assert_eq!((&new["deprecatedCount"], &new["reportingController"]), (&json!(2), &json!("kubelet")));
    assert!(new["involvedObject"].is_null() && new["reportingInstance"].is_null());
    assert_eq!(get(&world, &format!("{path}?fieldSelector=regarding.name%3Da")).await.names(), ["e"]);
    assert!(get(&world, &format!("{path}?fieldSelector=regarding.name%3Db")).await.names().is_empty());
    let old = "/api/v1/namespaces/shop/events?fieldSelector=involvedObject.name%3Da,reason%3DStarted,source%3Dkubelet";
    assert_eq!(get(&world, old).await.names(), ["e"]);
    let heard = get(&world, &format!("{path}/nope")).await;
    assert_eq!(heard.message(), "events.events.k8s.io \"nope\" not found");
}

/// Lists leave in pieces; together they must be one list.
#[tokio::test]
async fn large_lists_are_whole() {
    let world = world();
    let padding = "x".repeat(1_000);
    for number in 0..300 {
        let mut object = pod("", "many", "Running");
        object["metadata"]["annotations"] = json!({"padding": padding});
        put(&world, "pods", "many", &format!("p{number:03}"), object);
    }
    let heard = get(&world, "/api/v1/namespaces/many/pods").await;
    assert!(heard.text.len() > 300_000 && !heard.headers.contains_key(header::CONTENT_LENGTH));
    let names = heard.names();
    assert_eq!((names.len(), names[0].as_str(), names[299].as_str()), (300, "p000", "p299"));
    assert_eq!(get_as(&world, "/api/v1/namespaces/many/pods", TABLE).await.json()["rows"].as_array().unwrap().len(), 300);
}
