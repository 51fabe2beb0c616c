//! Deployments in virtual time, by their rules and by what the real controller was seen to do.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::{super::harness::*, *};
use crate::demo::sim::Sim;

fn made(replicas: u32) -> Sim {
    let mut sim = sim();
    create(&mut sim, DEPLOYMENTS, deployment("web", replicas));
    run(&mut sim, 3.0);
    sim
}

fn web(sim: &Sim) -> Value {
    get(sim, DEPLOYMENTS, "web")
}

fn reason(sim: &Sim, kind: &str) -> String {
    condition(&web(sim)["status"]["conditions"], kind)
        .map(|c| format!("{} {}", c["status"].as_str().unwrap(), c["reason"].as_str().unwrap()))
        .unwrap_or_default()
}

fn counts(sim: &Sim) -> [i64; 5] {
    ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas"]
        .map(|field| web(sim)["status"][field].as_i64().unwrap_or_default())
}

/// Replicas asked for, by revision.
fn sizes(sim: &Sim) -> Vec<(i64, i64)> {
    let sets = list(sim, REPLICA_SETS).into_iter().map(Set::new);
    let mut sizes: Vec<_> = sets.map(|set| (set.count(history::REVISION).unwrap(), set.replicas)).collect();
    sizes.sort_unstable();
    sizes
}

fn set_image(sim: &mut Sim, tag: &str) {
    patch(sim, DEPLOYMENTS, "web", &json!({"spec": {"template": pod_template("web", tag)}}));
}

fn set_fate(sim: &mut Sim, tag: &str, fate: crate::demo::workloads::Fate) {
    let pods = crate::demo::workloads::Pods { fate, ..Default::default() };
    sim.workloads.set_pods("shop/web", tag, pods);
}

#[test]
fn a_new_deployment_gets_available() {
    let sim = made(3);
    assert_eq!(counts(&sim), [3, 3, 3, 3, 0]);
    assert_eq!(
        (reason(&sim, "Available"), reason(&sim, "Progressing")),
        ("True MinimumReplicasAvailable".into(), "True NewReplicaSetAvailable".into())
    );
    assert_eq!(
        (&web(&sim)["metadata"]["annotations"][history::REVISION], &web(&sim)["status"]["observedGeneration"]),
        (&json!("1"), &json!(1))
    );
    let set = Set::new(list(&sim, REPLICA_SETS).remove(0));
    assert_eq!(set.name, format!("web-{}", set.object["metadata"]["labels"][HASH_LABEL].as_str().unwrap()));
    assert_eq!(events(&sim, "web"), [format!("ScalingReplicaSet: Scaled up replica set {} from 0 to 3", set.name)]);
}

#[test]
fn an_update_rolls_within_its_fences() {
    let mut sim = made(10);
    set_image(&mut sim, "v2");
    let mut extremes = (i64::MAX, 0);
    for _ in 0..300 {
        run(&mut sim, 0.02);
        let pods: Vec<Pod> = sim.store.list("pods", Some("shop")).filter_map(|pod| Pod::read(pod)).filter(Pod::is_active).collect();
        let ready = i64::try_from(pods.iter().filter(|pod| pod.is_ready()).count()).unwrap();
        extremes = (extremes.0.min(ready), extremes.1.max(i64::try_from(pods.len()).unwrap()));
    }
    assert_eq!(extremes, (8, 13));
    assert_eq!((sizes(&sim), counts(&sim)), (vec![(1, 0), (2, 10)], [10, 10, 10, 10, 0]));
    assert_eq!(reason(&sim, "Progressing"), "True NewReplicaSetAvailable");
}

#[test]
fn a_pause_in_mid_roll_freezes_it_and_scaling_keeps_the_proportions() {
    let mut sim = made(10);
    set_fate(&mut sim, "v2", crate::demo::workloads::Fate::Never);
    set_image(&mut sim, "v2");
    run(&mut sim, 3.0);
    assert_eq!(sizes(&sim), [(1, 8), (2, 5)]);
    patch(&mut sim, DEPLOYMENTS, "web", &json!({"spec": {"paused": true}}));
    run(&mut sim, 1.0);
    assert_eq!(reason(&sim, "Progressing"), "Unknown DeploymentPaused");
    patch(&mut sim, DEPLOYMENTS, "web", &json!({"spec": {"replicas": 15}}));
    run(&mut sim, 1.0);
    // 19 pods at most instead of 13: five of them are new, eight old.
    assert_eq!(sizes(&sim), [(1, 12), (2, 7)]);
    patch(&mut sim, DEPLOYMENTS, "web", &json!({"spec": {"paused": null}}));
    run(&mut sim, 0.5);
    assert_eq!(reason(&sim, "Progressing"), "Unknown DeploymentResumed");
}

#[test]
fn a_version_that_never_gets_ready_misses_its_deadline_and_an_undo_mends_it() {
    let mut sim = sim();
    let mut object = deployment("web", 4);
    object["spec"]["progressDeadlineSeconds"] = 20.into();
    create(&mut sim, DEPLOYMENTS, object);
    run(&mut sim, 3.0);
    set_fate(&mut sim, "v2", crate::demo::workloads::Fate::CrashLoop);
    set_image(&mut sim, "v2");
    run(&mut sim, 18.0);
    assert_eq!(reason(&sim, "Progressing"), "True ReplicaSetUpdated");
    run(&mut sim, 6.0);
    assert_eq!(
        (reason(&sim, "Progressing"), reason(&sim, "Available")),
        ("False ProgressDeadlineExceeded".into(), "True MinimumReplicasAvailable".into())
    );
    assert_eq!(counts(&sim), [5, 2, 3, 3, 2]);
    set_image(&mut sim, "v1");
    run(&mut sim, 3.0);
    assert_eq!((sizes(&sim), reason(&sim, "Progressing")), (vec![(2, 0), (3, 4)], "True NewReplicaSetAvailable".into()));
    let back = list(&sim, REPLICA_SETS).into_iter().map(Set::new).find(|set| set.replicas == 4).unwrap();
    assert_eq!(back.annotation("deployment.kubernetes.io/revision-history"), Some("1"));
}

#[test]
fn each_revision_keeps_the_cause_it_was_made_for() {
    let mut sim = sim();
    let mut object = deployment("web", 2);
    let annotations = json!({"kubernetes.io/change-cause": "first", "kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "a"});
    object["metadata"]["annotations"] = annotations;
    create(&mut sim, DEPLOYMENTS, object);
    run(&mut sim, 3.0);
    patch(
        &mut sim,
        DEPLOYMENTS,
        "web",
        &json!({"metadata": {"annotations": {"kubernetes.io/change-cause": "second"}}, "spec": {"template": pod_template("web", "v2")}}),
    );
    run(&mut sim, 5.0);
    let causes = |sim: &Sim| -> Vec<(i64, String)> {
        let sets = list(sim, REPLICA_SETS).into_iter().map(Set::new);
        let mut causes: Vec<_> = sets
            .map(|set| {
                assert_eq!((set.annotation("team"), set.annotation("kubectl.kubernetes.io/last-applied-configuration")), (Some("a"), None));
                (set.count(history::REVISION).unwrap(), set.annotation("kubernetes.io/change-cause").unwrap().to_owned())
            })
            .collect();
        causes.sort();
        causes
    };
    assert_eq!(causes(&sim), [(1, "first".into()), (2, "second".into())]);
    // An undo that leaves the annotation alone relabels the old revision, as the real one does.
    set_image(&mut sim, "v1");
    run(&mut sim, 5.0);
    assert_eq!(causes(&sim), [(2, "second".into()), (3, "second".into())]);
}

#[test]
fn recreate_never_runs_two_versions() {
    let mut sim = sim();
    let mut object = deployment("web", 3);
    object["spec"]["strategy"] = json!({"type": "Recreate"});
    create(&mut sim, DEPLOYMENTS, object);
    run(&mut sim, 3.0);
    set_image(&mut sim, "v2");
    for _ in 0..150 {
        run(&mut sim, 0.02);
        let images: std::collections::BTreeSet<String> =
            pods(&sim).iter().map(|pod| pod["spec"]["containers"][0]["image"].to_string()).collect();
        assert!(images.len() < 2);
    }
    assert_eq!((sizes(&sim), counts(&sim)), (vec![(1, 0), (2, 3)], [3, 3, 3, 3, 0]));
}

#[test]
fn scaling_a_resting_deployment_is_no_rollout() {
    let mut sim = made(2);
    for (replicas, expected) in [(5, 5), (0, 0), (3, 3)] {
        patch(&mut sim, DEPLOYMENTS, "web", &json!({"spec": {"replicas": replicas}}));
        run(&mut sim, 3.0);
        assert_eq!((sizes(&sim), counts(&sim)[3]), (vec![(1, expected)], expected));
        assert_eq!(reason(&sim, "Progressing"), "True NewReplicaSetAvailable");
    }
}

#[test]
fn old_revisions_are_kept_up_to_the_limit() {
    let mut sim = sim();
    let mut object = deployment("web", 1);
    object["spec"]["revisionHistoryLimit"] = 2.into();
    create(&mut sim, DEPLOYMENTS, object);
    for tag in ["v2", "v3", "v4", "v5"] {
        run(&mut sim, 3.0);
        set_image(&mut sim, tag);
    }
    run(&mut sim, 3.0);
    assert_eq!(sizes(&sim), [(3, 0), (4, 0), (5, 1)]);
}

#[test]
fn it_takes_over_a_replica_set_of_its_own_kind() {
    let mut sim = made(2);
    let set = list(&sim, REPLICA_SETS).remove(0);
    sim.store.remove(&Key::new(DEPLOYMENTS, "shop", "web"));
    let key = key_of(REPLICA_SETS, &set);
    let mut orphan = sim.store.get(&key).map_or(set, |set| set.value());
    orphan["metadata"]["ownerReferences"].take();
    sim.store.put(key.clone(), orphan);
    create(&mut sim, DEPLOYMENTS, deployment("web", 2));
    run(&mut sim, 1.0);
    assert_eq!((list(&sim, REPLICA_SETS).len(), pods(&sim).len()), (1, 2));
    assert_eq!(sim.store.get(&key).unwrap().owner.as_deref(), web(&sim)["metadata"]["uid"].as_str());
}

/// Plays as the real controller (Kubernetes 1.35.4) went through them, with pods of a fake kubelet. ReplicaSets are
/// `#1`, `#2`, ... in the order of their creation.
const RECORDED: &str = include_str!("recorded.json");

/// What is seen of one play.
#[derive(Default)]
struct Seen {
    names: Vec<String>,
    progress: Vec<Value>,
    sizes: BTreeMap<String, Vec<Value>>,
}

impl Seen {
    /// The text with ReplicaSets by their number.
    fn plain(&self, text: &str) -> String {
        self.names.iter().enumerate().fold(text.to_owned(), |text, (index, name)| text.replace(name, &format!("#{}", index + 1)))
    }

    fn number(&mut self, name: &str) -> String {
        if !self.names.iter().any(|known| known == name) {
            self.names.push(name.into());
        }
        self.plain(name)
    }

    fn note(&mut self, change: &Change) {
        let object = change.object().unwrap();
        let value = object.value();
        if *object.key.kind == *REPLICA_SETS {
            let number = self.number(&object.key.name);
            let size = if change.after.is_some() { value["spec"]["replicas"].clone() } else { "gone".into() };
            let sizes = self.sizes.entry(number).or_default();
            sizes.push(size);
            sizes.dedup();
        } else if let Some(progressing) = condition(&value["status"]["conditions"], "Progressing") {
            // How many steps a rollout is seen to take is a matter of how quick pods are.
            if ["ReplicaSetUpdated", "NewReplicaSetCreated"].iter().all(|reason| progressing["reason"] != *reason) {
                self.progress.push(self.words(progressing));
                self.progress.dedup();
            }
        }
    }

    fn words(&self, condition: &Value) -> Value {
        json!([condition["status"], condition["reason"], self.plain(condition["message"].as_str().unwrap())])
    }

    /// How things stand.
    fn mark(&self, sim: &Sim) -> Value {
        let object = web(sim);
        let mut status = object["status"].clone();
        let conditions = status["conditions"].take();
        status.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let conditions: BTreeMap<&str, Value> =
            conditions.as_array().unwrap().iter().map(|c| (c["type"].as_str().unwrap(), self.words(c))).collect();
        let mut sets = json!({});
        for set in list(sim, REPLICA_SETS) {
            let annotations = set["metadata"]["annotations"].as_object().unwrap().iter();
            let annotations: BTreeMap<&str, &Value> = annotations.map(|(name, value)| (name.rsplit_once('/').unwrap().1, value)).collect();
            let number = self.plain(set["metadata"]["name"].as_str().unwrap());
            sets[number] = json!({"replicas": set["spec"]["replicas"], "annotations": annotations, "status": set["status"]});
        }
        json!({
            "status": status, "conditions": conditions, "sets": sets,
            "generation": object["metadata"]["generation"], "revision": object["metadata"]["annotations"][history::REVISION],
        })
    }
}

/// Does one act; `wait` is done by the caller.
fn act(sim: &mut Sim, act: &Value) {
    let write = crate::demo::registry::Write::new(sim.now(), "test");
    let mut object = web(sim);
    if act["create"].is_object() {
        let mut object = act["create"].clone();
        object["metadata"]["namespace"] = "shop".into();
        create(sim, DEPLOYMENTS, object);
        return;
    } else if act["template"].is_object() {
        object["spec"]["template"] = act["template"].clone();
    } else {
        json_patch::merge(&mut object, &act["patch"]);
    }
    crate::demo::registry::update(&mut sim.store, DEPLOYMENTS, object, write).unwrap();
}

#[test]
fn it_goes_through_the_same_states_as_the_real_one() {
    let plays: Value = serde_json::from_str(RECORDED).unwrap();
    for (name, play) in plays.as_object().unwrap() {
        let (mut sim, mut seen, mut marks) = (sim(), Seen::default(), Vec::new());
        let mut last = sim.store.revision();
        for step in play["acts"].as_array().unwrap() {
            let Some(seconds) = step["wait"].as_u64() else {
                act(&mut sim, step);
                continue;
            };
            for _ in 0..seconds * 10 {
                run(&mut sim, 0.1);
                let kinds = [DEPLOYMENTS, REPLICA_SETS].into_iter();
                let mut changes: Vec<Change> = kinds.flat_map(|kind| sim.store.changes_after(kind, last).unwrap().cloned()).collect();
                changes.sort_by_key(|change| change.revision);
                changes
                    .iter()
                    .filter(|change| *change.object().unwrap().key.kind == *REPLICA_SETS)
                    .for_each(|change| drop(seen.number(&change.object().unwrap().key.name)));
                changes.iter().for_each(|change| seen.note(change));
                last = sim.store.revision();
            }
            marks.push(seen.mark(&sim));
        }
        for (index, mark) in play["marks"].as_array().unwrap().iter().enumerate() {
            assert_eq!(marks[index], *mark, "{name}, after wait {index}");
        }
        assert_eq!(json!(seen.progress), play["progress"], "{name}");
        assert_eq!(json!(seen.sizes), play["sizes"], "{name}");
        let said: Vec<String> = events(&sim, "web").iter().map(|event| seen.plain(event.split_once(": ").unwrap().1)).collect();
        assert_eq!(json!(said), play["events"], "{name}");
    }
}
