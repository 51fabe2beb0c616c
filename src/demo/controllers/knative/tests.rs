//! Services from their first revision to a split, a failure and back, in virtual time.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::{super::harness::*, DEPLOYMENTS, PLAIN_SERVICES, REVISIONS, ROUTES, SERVICES, condition};
use crate::demo::{api::crd, sim::Sim, store::Key};

fn template(tag: &str) -> Value {
    json!({"metadata": {"annotations": {"autoscaling.knative.dev/min-scale": "2"}}, "spec": {"containers": [{"name": "app", "image": format!("app:{tag}")}]}})
}

fn with_kinds() -> Sim {
    let mut sim = sim();
    let now = sim.now();
    let names = ["services", "configurations", "routes", "revisions"].map(|plural| format!("{plural}.serving.knative.dev"));
    crd::install_others(&mut sim, &names, now);
    sim
}

/// `web` with v1, and some moments on.
fn with_service(annotations: Value) -> Sim {
    let mut sim = with_kinds();
    let metadata = json!({"name": "web", "namespace": "shop", "annotations": annotations});
    create(&mut sim, SERVICES, json!({"metadata": metadata, "spec": {"template": template("v1")}}));
    run(&mut sim, 5.0);
    sim
}

fn service(sim: &Sim) -> Value {
    get(sim, SERVICES, "web")
}

fn traffic(sim: &Sim) -> Vec<(String, i64)> {
    let service = service(sim);
    let all = service["status"]["traffic"].as_array().unwrap();
    all.iter().map(|t| (t["revisionName"].as_str().unwrap().to_owned(), t["percent"].as_i64().unwrap())).collect()
}

fn is(sim: &Sim, kind: &str, name: &str, condition_type: &str) -> String {
    condition(&get(sim, kind, name), condition_type)["status"].as_str().unwrap_or_default().to_owned()
}

fn replicas(sim: &Sim, revision: &str) -> Value {
    get(sim, DEPLOYMENTS, &format!("{revision}-deployment"))["spec"]["replicas"].clone()
}

fn by_name(name: &str, percent: u32) -> Value {
    json!({"revisionName": name, "latestRevision": false, "percent": percent})
}

fn send(sim: &mut Sim, targets: Value) {
    patch(sim, SERVICES, "web", &json!({"spec": {"traffic": targets}}));
}

fn split(sim: &mut Sim) {
    send(sim, json!([by_name("web-00001", 100)]));
    run(sim, 3.0);
    patch(sim, SERVICES, "web", &json!({"spec": {"template": template("v2")}}));
    run(sim, 5.0);
    send(sim, json!([by_name("web-00001", 80), by_name("web-00002", 20)]));
    run(sim, 3.0);
}

#[test]
fn a_service_makes_all_there_is_of_it() {
    let sim = with_service(json!({}));
    let made = service(&sim);
    let status = &made["status"];
    assert_eq!(
        (status["latestCreatedRevisionName"].clone(), status["latestReadyRevisionName"].clone()),
        (json!("web-00001"), json!("web-00001"))
    );
    assert_eq!(status["observedGeneration"], made["metadata"]["generation"]);
    assert_eq!(traffic(&sim), [("web-00001".to_owned(), 100)]);
    for kind in ["Ready", "ConfigurationsReady", "RoutesReady"] {
        assert_eq!(is(&sim, SERVICES, "web", kind), "True", "{made:#}");
    }
    let labels = &get(&sim, REVISIONS, "web-00001")["metadata"]["labels"];
    assert_eq!(labels["serving.knative.dev/service"], "web");
    assert_eq!((pods(&sim).len(), replicas(&sim, "web-00001")), (2, json!(2)));
    assert_eq!(get(&sim, PLAIN_SERVICES, "web")["spec"]["type"], "ExternalName");
    let slices = list(&sim, "endpointslices.discovery.k8s.io");
    let mine = slices.iter().find(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == "web-00001-private").unwrap();
    assert_eq!(mine["endpoints"].as_array().unwrap().len(), 2);
    assert!(events(&sim, "web").iter().any(|event| event.contains("Created Revision \"web-00001\"")), "{:?}", events(&sim, "web"));
}

#[test]
fn the_latest_revision_gets_everybody_once_it_is_ready() {
    let mut sim = with_service(json!({}));
    patch(&mut sim, SERVICES, "web", &json!({"spec": {"template": template("v2")}}));
    run(&mut sim, 0.1);
    assert_eq!(traffic(&sim), [("web-00001".to_owned(), 100)]);
    assert_eq!(is(&sim, SERVICES, "web", "ConfigurationsReady"), "Unknown");
    assert_eq!(service(&sim)["status"]["latestCreatedRevisionName"], "web-00002");
    run(&mut sim, 5.0);
    assert_eq!(traffic(&sim), [("web-00002".to_owned(), 100)]);
    assert_eq!(replicas(&sim, "web-00001"), 2);
    run(&mut sim, 100.0);
    assert_eq!(replicas(&sim, "web-00001"), 0, "nobody calls it");
    assert_eq!((is(&sim, REVISIONS, "web-00001", "Ready"), is(&sim, REVISIONS, "web-00001", "Active")), ("True".into(), "False".into()));
    assert_eq!(get(&sim, REVISIONS, "web-00001")["metadata"]["labels"]["serving.knative.dev/routingState"], "reserve");
}

#[test]
fn users_are_divided_as_asked_and_the_status_says_when() {
    let mut sim = with_service(json!({}));
    split(&mut sim);
    assert_eq!(traffic(&sim), [("web-00001".to_owned(), 80), ("web-00002".to_owned(), 20)]);
    assert_eq!(is(&sim, SERVICES, "web", "Ready"), "True");
    send(&mut sim, json!([by_name("web-00002", 100)]));
    run(&mut sim, 0.1);
    assert_eq!((is(&sim, SERVICES, "web", "RoutesReady"), is(&sim, ROUTES, "web", "IngressReady")), ("Unknown".into(), "Unknown".into()));
    run(&mut sim, 1.0);
    assert_eq!((is(&sim, SERVICES, "web", "RoutesReady"), is(&sim, ROUTES, "web", "IngressReady")), ("True".into(), "True".into()));
    // Changed shares alone are no new revision.
    assert_eq!(list(&sim, REVISIONS).len(), 2);
}

#[test]
fn a_target_that_is_not_ready_moves_nobody() {
    let mut sim = with_service(json!({}));
    split(&mut sim);
    send(&mut sim, json!([by_name("web-00002", 50), by_name("web-00009", 50)]));
    run(&mut sim, 3.0);
    assert_eq!(traffic(&sim), [("web-00001".to_owned(), 80), ("web-00002".to_owned(), 20)], "as before");
    let routed = condition(&service(&sim), "RoutesReady").clone();
    assert_eq!((routed["status"].clone(), routed["reason"].clone()), (json!("False"), json!("RevisionMissing")));
    assert_eq!(routed["message"], "Revision \"web-00009\" referenced in traffic not found.");
}

#[test]
fn a_revision_that_fails_leaves_users_where_they_are() {
    let mut sim = with_service(json!({}));
    let mut broken = template("v2");
    broken["metadata"]["labels"] = json!({"rolltop.dev/pod": "crash-loop"});
    patch(&mut sim, SERVICES, "web", &json!({"spec": {"template": broken}}));
    run(&mut sim, 30.0);
    let made = service(&sim);
    let configured = condition(&made, "ConfigurationsReady");
    assert_eq!((configured["status"].clone(), configured["reason"].clone()), (json!("False"), json!("RevisionFailed")), "{made:#}");
    assert_eq!((&made["status"]["latestReadyRevisionName"], traffic(&sim)), (&json!("web-00001"), vec![("web-00001".to_owned(), 100)]));
    assert_eq!(is(&sim, SERVICES, "web", "RoutesReady"), "True");
    assert_eq!(is(&sim, REVISIONS, "web-00002", "ContainerHealthy"), "False");
}

#[test]
fn tags_have_addresses_of_their_own() {
    let mut sim = with_service(json!({}));
    split(&mut sim);
    let tagged = json!({"revisionName": "web-00001", "latestRevision": false, "percent": 0, "tag": "before"});
    send(&mut sim, json!([by_name("web-00002", 100), tagged]));
    run(&mut sim, 100.0);
    let made = service(&sim);
    assert_eq!(made["status"]["traffic"][1]["url"], "http://before-web.shop.example.com");
    assert_eq!(is(&sim, SERVICES, "web", "Ready"), "True");
    assert_eq!(replicas(&sim, "web-00001"), 2, "somebody may call it");
}

#[test]
fn users_move_step_by_step_where_the_annotation_says_so() {
    let mut sim = with_service(json!({"serving.knative.dev/rollout-duration": "60s"}));
    patch(&mut sim, SERVICES, "web", &json!({"spec": {"template": template("v2")}}));
    run(&mut sim, 33.0);
    let on_the_way = traffic(&sim);
    assert!(on_the_way.len() == 2 && (40..=60).contains(&on_the_way[1].1), "{on_the_way:?}");
    assert_eq!(condition(&get(&sim, ROUTES, "web"), "IngressReady")["reason"], "RolloutInProgress");
    run(&mut sim, 40.0);
    assert_eq!(traffic(&sim), [("web-00002".to_owned(), 100)]);
    assert_eq!(is(&sim, SERVICES, "web", "Ready"), "True");
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let mut sim = with_service(json!({}));
    let mut named = template("v2");
    named["metadata"]["name"] = "web-00001".into();
    patch(&mut sim, SERVICES, "web", &json!({"spec": {"template": named}}));
    run(&mut sim, 5.0);
    let made = service(&sim);
    assert_eq!(condition(&made, "RoutesReady")["reason"], "RevisionNameTaken", "{made:#}");
    assert_eq!(list(&sim, REVISIONS).len(), 1);
}

#[test]
fn all_of_it_goes_with_the_service() {
    let mut sim = with_service(json!({}));
    let key = Key::new(SERVICES, "shop", "web");
    let write = crate::demo::registry::Write::new(sim.now(), "test");
    crate::demo::registry::delete(&mut sim.store, &key, write).unwrap();
    run(&mut sim, 60.0);
    for kind in [REVISIONS, ROUTES, DEPLOYMENTS, PLAIN_SERVICES, "pods"] {
        assert_eq!(list(&sim, kind), [] as [Value; 0], "{kind}");
    }
}
