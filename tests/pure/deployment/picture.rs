//! What a person must read from each recorded scene.

use rolltop::{
    engine::{Engine, deployment::DEPLOYMENT},
    intent::{Intent, Verb},
    model::{Phase as P, Role, Strategy, Surge, WaitFor as W},
};
use serde_json::json;

use super::kit::{NAMES, Scene, changed, list};

/// Scene; phase; who is waited for; part of the detail; the way back; share of the new side by ready pods; part of a notice.
type Case = (&'static str, P, Option<W>, &'static str, Option<Verb>, Option<f64>, &'static str);

const CASES: &[Case] = &[
    ("progressing", P::Progressing, Some(W::Pods), "2 of 4 pods are new, 3 old", Some(Verb::Abort), Some(0.4), ""),
    ("paused-mid-roll", P::Paused, Some(W::Human), "paused: 2 of 4", Some(Verb::Abort), Some(0.4), "2 new and 3 old pods serve"),
    ("deadline-exceeded", P::Failing, Some(W::Human), "no progress for 4 s", Some(Verb::Abort), Some(0.0), "Unschedulable"),
    ("pods-failing", P::Healthy, None, "rolled out", Some(Verb::Undo), None, "4 pods of the wanted version failed"),
];

#[test]
fn every_scene_reads_like_this() {
    for (name, phase, wait, detail, back, share, notice) in CASES {
        let ro = Scene::of(&list(name)).model();
        assert_eq!((ro.phase, ro.strategy), (*phase, Strategy::Rolling), "{name}");
        assert_eq!(ro.wait.as_ref().map(|w| w.who), *wait, "{name}");
        assert!(ro.phase_detail.contains(detail), "{name}: {}", ro.phase_detail);
        assert_eq!(ro.way_back.action, *back, "{name}");
        assert_eq!(ro.new_side().and_then(|t| t.traffic.replica_share), *share, "{name}");
        assert!(notice.is_empty() || ro.notices.iter().any(|n| n.text.contains(notice)), "{name}: {:?}", ro.notices);
        assert_eq!(ro.surge.map(|s| s.of), Some(ro.replicas), "{name}");
        assert!(ro.steps.items.is_empty() && ro.detailed, "{name}");
    }
}

#[test]
fn numbers_at_once_are_the_controllers() {
    assert_eq!(Scene::of(&list("progressing")).model().surge, Some(Surge { more: 1, fewer: 1, of: 4 }));
}

/// Without ReplicaSets the phase is the same, and the shares add up.
#[test]
fn the_fleet_says_the_same() {
    for name in NAMES {
        let items = list(name);
        let (near, far) = (Scene::of(&items).model(), Scene::alone(&items).model());
        assert_eq!((near.phase, &near.phase_detail), (far.phase, &far.phase_detail), "{name}");
        assert_eq!(near.in_flight(), far.in_flight(), "{name}");
        assert_eq!(near.ready().1, far.ready().1, "{name}");
        for ro in [near, far] {
            let sum: f64 = ro.tracks.iter().filter_map(|t| t.traffic.replica_share).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{name}: {:?}", ro.tracks);
        }
    }
}

#[test]
fn sides_are_replica_sets() {
    let ro = Scene::of(&list("progressing")).model();
    let (new, old) = (ro.new_side().unwrap(), ro.old_side().unwrap());
    assert_eq!((&*new.hash, new.desired, new.ready, new.available, new.revision.as_deref()), ("696884665b", 2, 2, 0, Some("2")));
    assert_eq!(new.role(), Role::New);
    assert_eq!((&*old.hash, old.ready, old.role(), &*old.images[0]), ("d6485b74f", 3, Role::Stable, "app:v1"));
}

/// A completed roll reads NewReplicaSetAvailable right after a patch as well: the generation tells.
#[test]
fn a_patch_that_was_not_seen_is_not_healthy() {
    let items = changed("pods-failing", |d| d["metadata"]["generation"] = 9.into());
    let far = Scene::alone(&items).model();
    assert!(far.unobserved && far.phase == P::Progressing, "{far:?}");
    // With its ReplicaSet at hand the wanted template is known to be that of the pods: some other field was changed.
    let near = Scene::of(&items).model();
    assert!(!near.unobserved && near.phase == P::Progressing, "{near:?}");
}

#[test]
fn changes_made_while_paused_wait() {
    let items = changed("pods-failing", |d| {
        d["spec"]["paused"] = true.into();
        d["spec"]["template"]["spec"]["containers"][0]["image"] = "app:v3".into();
        d["status"].as_object_mut().unwrap().remove("updatedReplicas");
    });
    let ro = Scene::of(&items).model();
    assert_eq!(ro.phase, P::Paused);
    assert!(ro.notices.iter().any(|n| n.text.contains("changes waiting")), "{:?}", ro.notices);
    assert_eq!((ro.way_back.action, &*ro.way_back.what), (Some(Verb::Abort), "abort: drops the changes that wait"));
    let plan = Scene::of(&items).plan(&Intent::Abort).unwrap();
    assert!(plan.sentence.starts_with("Drops the changes that wait: revision 2 (app:v2)"), "{}", plan.sentence);
    assert!(ro.new_side().is_none(), "no pod has the waiting change: {:?}", ro.tracks);
}

/// A quota or an admission rule: neither the controller nor time will move it.
#[test]
fn forbidden_pods_are_stuck() {
    let message = "pods \"web\" is forbidden: exceeded quota: pods";
    let failure = json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message});
    let ro = Scene::of(&changed("progressing", |d| d["status"]["conditions"].as_array_mut().unwrap().push(failure))).model();
    assert_eq!((ro.phase, ro.wait.as_ref().map(|w| w.who)), (P::Stuck, Some(W::Human)));
    assert!(ro.notices.iter().any(|n| n.text.contains("exceeded quota")), "{:?}", ro.notices);
}

/// Two bad versions in a row: users fall back to the one that serves them.
#[test]
fn the_way_back_skips_what_never_served() {
    let mut items = list("progressing");
    let mut broken = items.iter().find(|i| i["kind"] == "ReplicaSet" && i["status"]["readyReplicas"] == 3).unwrap().clone();
    broken["metadata"]["uid"] = "broken".into();
    broken["metadata"]["name"] = "broken".into();
    broken["metadata"]["labels"]["pod-template-hash"] = "bad".into();
    broken["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "9".into();
    broken["spec"]["template"]["spec"]["containers"][0]["image"] = "app:bad".into();
    broken["status"] = json!({"replicas": 1});
    items.push(broken);
    let ro = Scene::of(&items).model();
    assert!(ro.way_back.what.starts_with("abort: undo to revision 1"), "{}", ro.way_back.what);
    let roles: Vec<(Role, &str)> = ro.tracks.iter().map(|t| (t.role(), &*t.images[0])).collect();
    assert_eq!(roles, [(Role::New, "app:v2"), (Role::Stable, "app:v1"), (Role::Old, "app:bad")]);
}

#[test]
fn recreate_says_downtime() {
    let ro = Scene::of(&changed("progressing", |d| d["spec"]["strategy"] = json!({"type": "Recreate"}))).model();
    assert!(ro.notices.iter().any(|n| n.text.contains("users get nothing")), "{:?}", ro.notices);
}

#[test]
fn what_a_controller_owns_is_no_rollout() {
    let free = Scene::of(&list("progressing"));
    assert!(DEPLOYMENT.parts(&free.root, &free.objects).is_some());
    let owner = json!([{"kind": "Canary", "name": "d1", "uid": "c", "controller": true}]);
    let owned = Scene::of(&changed("progressing", |d| d["metadata"]["ownerReferences"] = owner));
    assert!(DEPLOYMENT.parts(&owned.root, &owned.objects).is_none());
}
