//! DaemonSets in virtual time, by their rules and by what the real controller was seen to leave behind.
#![allow(clippy::unwrap_used)]

use super::{super::harness::*, *};
use crate::demo::{
    sim::Sim,
    workloads::{Fate, Pods},
};

/// Objects as the real controller (Kubernetes 1.35.4) left them: an update frozen by OnDelete after one of three nodes.
const FROZEN: &str = include_str!("../../../../tests/fixtures/daemonset/frozen-ondelete-mid-roll.json");

fn daemon_set() -> Value {
    let mut set = replica_set("agent", 1);
    set["spec"].as_object_mut().unwrap().remove("replicas");
    set
}

fn made(edit: impl FnOnce(&mut Value)) -> Sim {
    let mut sim = sim();
    let mut set = daemon_set();
    edit(&mut set["spec"]);
    create(&mut sim, DAEMON_SETS, set);
    run(&mut sim, 10.0);
    sim
}

fn status(sim: &Sim) -> Value {
    get(sim, DAEMON_SETS, "agent")["status"].clone()
}

fn set_image(sim: &mut Sim, tag: &str) {
    patch(sim, DAEMON_SETS, "agent", &json!({"spec": {"template": pod_template("agent", tag)}}));
}

/// Tags by node of the pods that stay.
fn tags(sim: &Sim) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let staying = pods(sim).into_iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    let tag = |pod: Value| format!("{} {}", text(&pod["spec"]["nodeName"]), text(&pod["spec"]["containers"][0]["image"]));
    let mut tags: Vec<String> = staying.map(tag).collect();
    tags.sort();
    tags
}

fn updated(sim: &Sim) -> usize {
    tags(sim).iter().filter(|tag| tag.ends_with(":v2")).count()
}

fn numbers(sim: &Sim) -> Vec<i64> {
    let mut all: Vec<i64> = list(sim, REVISIONS).iter().map(|revision| revision["revision"].as_i64().unwrap()).collect();
    all.sort_unstable();
    all
}

#[test]
fn each_node_has_its_pod() {
    let sim = made(|_| ());
    assert_eq!(tags(&sim), ["node-1 app:v1", "node-2 app:v1", "node-3 app:v1"]);
    let wanted = json!({
        "currentNumberScheduled": 3, "desiredNumberScheduled": 3, "numberAvailable": 3, "numberMisscheduled": 0, "numberReady": 3,
        "observedGeneration": 1, "updatedNumberScheduled": 3,
    });
    assert_eq!(status(&sim), wanted);
    let told = events(&sim, "agent");
    assert!(told.len() == 3 && told.iter().all(|event| event.starts_with("SuccessfulCreate: Created pod: agent-")), "{told:?}");
}

#[test]
fn an_update_frozen_by_on_delete_looks_as_recorded() {
    let mut sim = made(|spec| spec["minReadySeconds"] = 2.into());
    set_image(&mut sim, "v2");
    while updated(&sim) == 0 {
        run(&mut sim, 0.1);
    }
    patch(&mut sim, DAEMON_SETS, "agent", &json!({"spec": {"updateStrategy": {"type": "OnDelete"}}}));
    run(&mut sim, 20.0);
    let items: Value = serde_json::from_str(FROZEN).unwrap();
    let of = |kind: &str| items["items"].as_array().unwrap().iter().filter(|item| item["kind"] == kind).cloned().collect::<Vec<_>>();
    let real = of("DaemonSet").remove(0);
    let own = get(&sim, DAEMON_SETS, "agent");
    assert_eq!(own["status"], real["status"]);
    assert_eq!(own["metadata"]["annotations"], real["metadata"]["annotations"]);
    assert_eq!(own["spec"]["updateStrategy"], real["spec"]["updateStrategy"], "the limits outlive the strategy");
    let labels = |objects: &[Value]| {
        let names = |object: &Value| object["metadata"]["labels"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        objects.iter().map(names).collect::<Vec<_>>()
    };
    assert_eq!(labels(&pods(&sim)), labels(&of("Pod")));
    assert_eq!(labels(&list(&sim, REVISIONS)), labels(&of("ControllerRevision")));
    let notes = |objects: &[Value]| {
        let mut notes: Vec<_> =
            objects.iter().map(|revision| (revision["revision"].as_i64(), revision["metadata"]["annotations"].clone())).collect();
        notes.sort_by_key(|(number, _)| *number);
        notes
    };
    assert_eq!(notes(&list(&sim, REVISIONS)), notes(&of("ControllerRevision")));
    let generations = |objects: &[Value]| {
        let mut all: Vec<_> = objects.iter().map(|pod| pod["metadata"]["labels"][GENERATION_LABEL].to_string()).collect();
        all.sort();
        all
    };
    assert_eq!(generations(&pods(&sim)), generations(&of("Pod")));
    let affinity = |pods: &[Value]| {
        let mut all: Vec<_> = pods.iter().map(|pod| pod["spec"]["affinity"].to_string()).collect();
        all.sort();
        all
    };
    assert_eq!(affinity(&pods(&sim)), affinity(&of("Pod")));
    let tolerations = |pod: &Value, skip: usize| pod["spec"]["tolerations"].as_array().unwrap()[skip..].to_vec();
    assert_eq!(tolerations(&pods(&sim)[0], 0), tolerations(&of("Pod")[0], 1));
    // And it goes on where it was stopped.
    patch(&mut sim, DAEMON_SETS, "agent", &json!({"spec": {"updateStrategy": {"type": "RollingUpdate"}}}));
    run(&mut sim, 20.0);
    assert_eq!((updated(&sim), &status(&sim)["updatedNumberScheduled"]), (3, &json!(3)));
}

#[test]
fn no_more_nodes_are_without_than_the_strategy_allows() {
    for (limit, wanted) in [(json!(1), 2), (json!(2), 1), (json!("50%"), 1)] {
        let mut sim = made(|spec| spec["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": limit}}));
        set_image(&mut sim, "v2");
        let mut least = 3;
        for _ in 0..100 {
            run(&mut sim, 0.1);
            least = least.min(status(&sim)["numberAvailable"].as_i64().unwrap_or_default());
        }
        assert_eq!((least, updated(&sim)), (wanted, 3), "{limit}");
    }
}

#[test]
fn a_surge_keeps_every_node_served() {
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}});
    let mut sim = made(|spec| spec["updateStrategy"] = rolling);
    set_image(&mut sim, "v2");
    let mut most = 0;
    for _ in 0..100 {
        run(&mut sim, 0.1);
        most = most.max(tags(&sim).len());
        assert_eq!(status(&sim)["numberReady"], 3);
    }
    assert_eq!((most, updated(&sim), tags(&sim).len()), (4, 3, 3));
}

#[test]
fn a_bad_version_stops_at_the_first_node_and_a_return_mends_it() {
    let mut sim = made(|_| ());
    sim.workloads.set_pods("shop/agent", "v2", Pods { fate: Fate::CrashLoop, ..Pods::default() });
    set_image(&mut sim, "v2");
    run(&mut sim, 60.0);
    assert_eq!((updated(&sim), &status(&sim)["numberUnavailable"]), (1, &json!(1)));
    set_image(&mut sim, "v1");
    run(&mut sim, 20.0);
    assert_eq!((updated(&sim), &status(&sim)["numberAvailable"], numbers(&sim)), (0, &json!(3), vec![2, 3]));
    assert_eq!(get(&sim, DAEMON_SETS, "agent")["metadata"]["annotations"][GENERATION], "3");
}

#[test]
fn nodes_come_and_go_and_taints_count() {
    let mut sim = made(|_| ());
    let mut node = sim.store.get(&Key::new("nodes", "", "node-1")).unwrap().value();
    node["metadata"]["name"] = "node-4".into();
    node["metadata"]["resourceVersion"].take();
    let write = Write::new(sim.now(), "test");
    registry::create(&mut sim.store, "nodes", "", node, write).unwrap();
    run(&mut sim, 3.0);
    assert_eq!((tags(&sim).len(), &status(&sim)["numberAvailable"]), (4, &json!(4)));
    let taint = |effect: &str| json!({"spec": {"taints": [{"key": "gpu", "value": "yes", "effect": effect}]}});
    let edit = |sim: &mut Sim, patch: &Value| {
        let mut node = sim.store.get(&Key::new("nodes", "", "node-4")).unwrap().value();
        json_patch::merge(&mut node, patch);
        sim.store.put(Key::new("nodes", "", "node-4"), node);
        run(sim, 3.0);
    };
    edit(&mut sim, &taint("NoSchedule"));
    assert_eq!((tags(&sim).len(), &status(&sim)["numberMisscheduled"], &status(&sim)["desiredNumberScheduled"]), (4, &json!(1), &json!(3)));
    edit(&mut sim, &taint("NoExecute"));
    assert_eq!((tags(&sim).len(), &status(&sim)["numberMisscheduled"]), (3, &json!(0)));
    let tolerations = json!([{"key": "gpu", "operator": "Equal", "value": "yes"}]);
    patch(&mut sim, DAEMON_SETS, "agent", &json!({"spec": {"template": {"spec": {"tolerations": tolerations}}}}));
    run(&mut sim, 15.0);
    assert_eq!(tags(&sim).len(), 4);
    patch(&mut sim, DAEMON_SETS, "agent", &json!({"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": "node-2"}}}}}));
    run(&mut sim, 15.0);
    assert_eq!(tags(&sim), ["node-2 app:v1"]);
}

#[test]
fn what_it_remembers_is_bounded_and_comes_back_when_removed() {
    let mut sim = made(|spec| spec["revisionHistoryLimit"] = 1.into());
    for tag in ["v2", "v3", "v4"] {
        set_image(&mut sim, tag);
        run(&mut sim, 15.0);
    }
    assert_eq!(numbers(&sim), [3, 4]);
    let newest = list(&sim, REVISIONS).into_iter().find(|revision| revision["revision"] == 4).unwrap();
    let key = Key::new(REVISIONS, "shop", newest["metadata"]["name"].as_str().unwrap());
    let write = Write::new(sim.now(), "test");
    registry::delete(&mut sim.store, &key, write).unwrap();
    run(&mut sim, 1.0);
    assert_eq!(numbers(&sim), [3, 4]);
}
