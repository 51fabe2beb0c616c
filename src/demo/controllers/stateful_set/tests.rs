//! StatefulSets in virtual time, by their rules and by what the real controller was seen to leave behind.
#![allow(clippy::unwrap_used)]

use super::{super::harness::*, *};
use crate::demo::{
    sim::Sim,
    workloads::{FATE_LABEL, Fate, Pods},
};

/// Objects as the real controller (Kubernetes 1.35.4) left them: three pods, partition 2, second template.
const PARTITIONED: &str = include_str!("../../../../tests/fixtures/statefulset/partitioned.json");
/// The same with a third template whose pods no node takes.
const STUCK: &str = include_str!("../../../../tests/fixtures/statefulset/stuck-broken-template.json");

fn stateful_set(replicas: u32) -> Value {
    let mut set = replica_set("db", replicas);
    set["spec"]["serviceName"] = "db".into();
    set
}

fn made(edit: impl FnOnce(&mut Value)) -> Sim {
    let mut sim = sim();
    let mut set = stateful_set(3);
    edit(&mut set["spec"]);
    create(&mut sim, STATEFUL_SETS, set);
    run(&mut sim, 10.0);
    sim
}

fn status(sim: &Sim) -> Value {
    get(sim, STATEFUL_SETS, "db")["status"].clone()
}

fn set_image(sim: &mut Sim, tag: &str) {
    patch(sim, STATEFUL_SETS, "db", &json!({"spec": {"template": pod_template("db", tag)}}));
}

fn set_partition(sim: &mut Sim, partition: i64) {
    patch(sim, STATEFUL_SETS, "db", &json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": partition}}}}));
}

fn delete(sim: &mut Sim, pod: &str) {
    let key = Key::new("pods", "shop", pod);
    let write = Write::new(sim.now(), "test");
    registry::delete(&mut sim.store, &key, write).unwrap();
}

/// Name and image tag of each pod, in the order of names.
fn tags(sim: &Sim) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let tag = |pod: &Value| text(&pod["spec"]["containers"][0]["image"]).replace("app:", "");
    let mut tags: Vec<_> = pods(sim).iter().map(|pod| (text(&pod["metadata"]["name"]), tag(pod))).collect();
    tags.sort();
    tags
}

fn images(sim: &Sim) -> String {
    tags(sim).into_iter().map(|(_, tag)| tag).collect::<Vec<_>>().join(" ")
}

/// Number and name of each revision.
fn history(sim: &Sim) -> Vec<(i64, String)> {
    let mut all: Vec<_> = list(sim, revisions::REVISIONS)
        .iter()
        .map(|revision| (revision["revision"].as_i64().unwrap(), revision["metadata"]["name"].as_str().unwrap().to_owned()))
        .collect();
    all.sort();
    all
}

/// A recorded list with names as they are here: revisions by their number.
fn recorded(text: &str) -> (Value, Vec<Value>, Vec<Value>) {
    let mut list: Value = serde_json::from_str(text).unwrap();
    let items: Vec<Value> = list["items"].as_array_mut().unwrap().drain(..).collect();
    let of = |kind: &str| items.iter().filter(|item| item["kind"] == kind).cloned().collect::<Vec<_>>();
    (of("StatefulSet").remove(0)["status"].clone(), of("ControllerRevision"), of("Pod"))
}

/// A status with revisions by their number.
fn plain(mut status: Value, revisions: &[(i64, String)]) -> Value {
    status.as_object_mut().unwrap().remove("observedGeneration");
    for field in ["currentRevision", "updateRevision"] {
        let number = revisions.iter().find(|(_, name)| status[field] == **name).map(|(number, _)| *number);
        status[field] = number.into();
    }
    status
}

fn numbers(revisions: &[Value]) -> Vec<(i64, String)> {
    revisions.iter().map(|r| (r["revision"].as_i64().unwrap(), r["metadata"]["name"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn pods_come_one_after_the_other_and_are_counted() {
    let mut sim = sim();
    create(&mut sim, STATEFUL_SETS, stateful_set(3));
    let mut seen = Vec::new();
    for _ in 0..100 {
        run(&mut sim, 0.05);
        let ready = pods(&sim).iter().filter(|pod| pod["status"]["conditions"].to_string().contains("ContainersReady")).count();
        assert!(pods(&sim).len() <= ready + 1, "a pod came before the one before it was ready");
        seen.push(pods(&sim).len());
        seen.dedup();
    }
    assert_eq!(seen, [1, 2, 3]);
    let name = history(&sim)[0].1.clone();
    let wanted = json!({
        "observedGeneration": 1, "replicas": 3, "readyReplicas": 3, "availableReplicas": 3, "currentReplicas": 3, "updatedReplicas": 3,
        "currentRevision": name, "updateRevision": name, "collisionCount": 0,
    });
    assert_eq!(status(&sim), wanted);
    let pod = get(&sim, "pods", "db-1");
    assert_eq!((&pod["spec"]["hostname"], &pod["spec"]["subdomain"]), (&json!("db-1"), &json!("db")));
    assert_eq!(pod["metadata"]["labels"][REVISION_LABEL], *name);
    assert_eq!(events(&sim, "db")[0], "SuccessfulCreate: Create Pod db-0 in StatefulSet db successful");
}

#[test]
fn an_update_goes_from_the_last_pod_to_the_first() {
    let mut sim = made(|_| ());
    set_image(&mut sim, "v2");
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..200 {
        run(&mut sim, 0.05);
        if pods(&sim).len() == 3 && seen.last() != Some(&images(&sim)) {
            seen.push(images(&sim));
        }
        let done = status(&sim)["currentRevision"] == status(&sim)["updateRevision"];
        assert_eq!(done, status(&sim)["updatedReplicas"] == 3 && status(&sim)["readyReplicas"] == 3, "{}", status(&sim));
    }
    assert_eq!(seen, ["v1 v1 v1", "v1 v1 v2", "v1 v2 v2", "v2 v2 v2"]);
    assert_eq!(history(&sim).len(), 2);
}

#[test]
fn a_partition_holds_the_lower_pods_back_as_the_real_one_does() {
    let mut sim = made(|spec| spec["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}));
    set_image(&mut sim, "v2");
    run(&mut sim, 10.0);
    let (real, revisions, real_pods) = recorded(PARTITIONED);
    assert_eq!(plain(status(&sim), &history(&sim)), plain(real, &numbers(&revisions)));
    // The recorded pods, by which revision they have and what else is theirs alone.
    for real in real_pods {
        let name = real["metadata"]["name"].as_str().unwrap().replace("s1", "db");
        let own = get(&sim, "pods", &name);
        let number = |pod: &Value, known: &[(i64, String)]| {
            known.iter().find(|(_, name)| pod["metadata"]["labels"][REVISION_LABEL] == **name).map(|(number, _)| *number)
        };
        assert_eq!(number(&own, &history(&sim)), number(&real, &numbers(&revisions)), "{name}");
        let labels = |pod: &Value| pod["metadata"]["labels"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(labels(&own), labels(&real));
        assert_eq!(own["metadata"]["generateName"], "db-");
    }
    let own = list(&sim, revisions::REVISIONS);
    for (own, real) in own.iter().zip(&revisions) {
        let fields = |revision: &Value| revision["data"]["spec"]["template"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(fields(own), fields(real));
        assert!(own["metadata"]["labels"][HASH_LABEL].is_string());
    }
    // Even one that is made anew.
    delete(&mut sim, "db-0");
    run(&mut sim, 5.0);
    assert_eq!(images(&sim), "v1 v1 v2");
    set_partition(&mut sim, 1);
    run(&mut sim, 5.0);
    assert_eq!(images(&sim), "v1 v2 v2");
    set_partition(&mut sim, 5);
    run(&mut sim, 5.0);
    assert_eq!(images(&sim), "v1 v2 v2", "beyond the last pod nothing moves, not even back");
    set_partition(&mut sim, 0);
    run(&mut sim, 5.0);
    assert_eq!((images(&sim).as_str(), status(&sim)["currentRevision"] == status(&sim)["updateRevision"]), ("v2 v2 v2", true));
}

#[test]
fn a_broken_template_blocks_its_own_repair_until_the_broken_pod_goes() {
    let mut sim = made(|_| ());
    set_image(&mut sim, "v2");
    run(&mut sim, 10.0);
    let mut broken = pod_template("db", "v3");
    broken["metadata"]["labels"][FATE_LABEL] = "unschedulable".into();
    patch(&mut sim, STATEFUL_SETS, "db", &json!({"spec": {"template": broken}}));
    run(&mut sim, 10.0);
    let (real, revisions, _) = recorded(STUCK);
    assert_eq!(plain(status(&sim), &history(&sim)), plain(real, &numbers(&revisions)));
    let repaired = json!({"spec": {"template": {"metadata": {"labels": {FATE_LABEL: null}}, "spec": pod_template("db", "v2")["spec"]}}});
    patch(&mut sim, STATEFUL_SETS, "db", &repaired);
    run(&mut sim, 60.0);
    assert_eq!(images(&sim), "v2 v2 v3");
    let told = status(&sim);
    assert_eq!((told["currentRevision"] == told["updateRevision"], &told["updatedReplicas"]), (true, &json!(2)));
    delete(&mut sim, "db-2");
    run(&mut sim, 5.0);
    assert_eq!((images(&sim).as_str(), &status(&sim)["readyReplicas"]), ("v2 v2 v2", &json!(3)));
}

#[test]
fn on_delete_replaces_only_what_is_deleted() {
    let mut sim = made(|spec| spec["updateStrategy"] = json!({"type": "OnDelete"}));
    set_image(&mut sim, "v2");
    run(&mut sim, 20.0);
    assert_eq!(images(&sim), "v1 v1 v1");
    delete(&mut sim, "db-1");
    run(&mut sim, 5.0);
    assert_eq!(images(&sim), "v1 v2 v1");
    assert_eq!((&status(&sim)["updatedReplicas"], &status(&sim)["currentReplicas"]), (&json!(1), &json!(2)));
    for pod in ["db-0", "db-2"] {
        delete(&mut sim, pod);
        run(&mut sim, 5.0);
    }
    let told = status(&sim);
    // Nobody declares it done.
    assert_eq!((images(&sim).as_str(), told["currentRevision"] == told["updateRevision"]), ("v2 v2 v2", false));
    assert_eq!((&told["updatedReplicas"], &told["currentReplicas"]), (&json!(3), &Value::Null));
}

#[test]
fn scaling_keeps_the_order_and_parallel_does_not() {
    let mut sim = made(|spec| spec["ordinals"] = json!({"start": 5}));
    let names = |sim: &Sim| tags(sim).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(&sim), ["db-5", "db-6", "db-7"]);
    patch(&mut sim, STATEFUL_SETS, "db", &json!({"spec": {"replicas": 1}}));
    run(&mut sim, 0.3);
    assert_eq!(names(&sim), ["db-5", "db-6", "db-7"]);
    assert!(!get(&sim, "pods", "db-7")["metadata"]["deletionTimestamp"].is_null());
    assert!(get(&sim, "pods", "db-6")["metadata"]["deletionTimestamp"].is_null());
    run(&mut sim, 3.0);
    assert_eq!(names(&sim), ["db-5"]);

    let mut sim = super::super::harness::sim();
    let mut set = stateful_set(3);
    set["spec"]["podManagementPolicy"] = "Parallel".into();
    create(&mut sim, STATEFUL_SETS, set);
    run(&mut sim, 0.1);
    assert_eq!(pods(&sim).len(), 3);
    // Updates still come one after the other.
    run(&mut sim, 3.0);
    set_image(&mut sim, "v2");
    run(&mut sim, 0.5);
    let leaving = pods(&sim).iter().filter(|pod| !pod["metadata"]["deletionTimestamp"].is_null()).count();
    assert_eq!(leaving, 1);
}

#[test]
fn a_pod_that_never_gets_ready_stops_the_update() {
    let mut sim = made(|_| ());
    sim.workloads.set_pods("shop/db", "v2", Pods { fate: Fate::CrashLoop, ..Pods::default() });
    set_image(&mut sim, "v2");
    run(&mut sim, 120.0);
    assert_eq!((images(&sim).as_str(), &status(&sim)["readyReplicas"]), ("v1 v1 v2", &json!(2)));
}

#[test]
fn min_ready_seconds_slow_it_down() {
    let mut sim = sim();
    let mut set = stateful_set(3);
    set["spec"]["minReadySeconds"] = 5.into();
    create(&mut sim, STATEFUL_SETS, set);
    run(&mut sim, 4.0);
    for wanted in [1, 2] {
        assert_eq!(pods(&sim).len(), wanted);
        run(&mut sim, 5.0);
    }
    assert_eq!((&status(&sim)["readyReplicas"], &status(&sim)["availableReplicas"]), (&json!(3), &json!(2)));
    run(&mut sim, 5.0);
    assert_eq!(status(&sim)["availableReplicas"], 3);
}

#[test]
fn a_template_that_returns_gets_a_new_number_and_old_ones_are_forgotten() {
    let mut sim = made(|spec| spec["revisionHistoryLimit"] = 1.into());
    patch(&mut sim, STATEFUL_SETS, "db", &json!({"metadata": {"annotations": {"kubernetes.io/change-cause": "second"}}}));
    set_image(&mut sim, "v2");
    run(&mut sim, 10.0);
    let first = history(&sim)[0].1.clone();
    let cause =
        |sim: &Sim, name: &str| get(sim, revisions::REVISIONS, name)["metadata"]["annotations"]["kubernetes.io/change-cause"].clone();
    assert_eq!((cause(&sim, &first), cause(&sim, &history(&sim)[1].1)), (Value::Null, json!("second")));
    set_image(&mut sim, "v1");
    run(&mut sim, 10.0);
    assert_eq!((history(&sim).iter().map(|(number, _)| *number).collect::<Vec<_>>(), &history(&sim)[1].1), (vec![2, 3], &first));
    for tag in ["v3", "v4"] {
        set_image(&mut sim, tag);
        run(&mut sim, 10.0);
    }
    assert_eq!(history(&sim).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [4, 5]);
}

#[test]
fn a_pod_of_the_right_name_is_adopted_and_one_of_another_is_not() {
    let mut sim = sim();
    for name in ["db-0", "lone"] {
        let pod = json!({"metadata": {"name": name, "namespace": "shop", "labels": {"app": "db"}}, "spec": {"containers": []}});
        create(&mut sim, "pods", pod);
    }
    create(&mut sim, STATEFUL_SETS, stateful_set(1));
    run(&mut sim, 3.0);
    let owner = |name: &str| get(&sim, "pods", name)["metadata"]["ownerReferences"][0]["name"].clone();
    assert_eq!((owner("db-0"), owner("lone")), (json!("db"), Value::Null));
    let key = Key::new(STATEFUL_SETS, "shop", "db");
    let write = Write::new(sim.now(), "test");
    registry::delete(&mut sim.store, &key, write).unwrap();
    run(&mut sim, 3.0);
    assert_eq!((tags_of(&sim), history(&sim).len()), (vec!["lone".to_owned()], 0));
}

fn tags_of(sim: &Sim) -> Vec<String> {
    pods(sim).iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}
