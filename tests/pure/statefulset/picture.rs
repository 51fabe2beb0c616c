//! What a person must read from each scene.

use rolltop::{
    intent::Verb,
    model::{Phase as P, Role, Strategy, WaitFor as W},
};
use serde_json::json;

use super::scenes::{ENGINE, NAMES, NEW, OLD, autoscaler, items, pod, scene, set_partition, with};
use crate::kit::{Scene, never_panics, reads_like, shares_add_up};

/// Scene; phase; who is waited for; part of the detail; the way back; what happens next; part of a notice.
type Case = (&'static str, P, Option<W>, &'static str, Option<Verb>, &'static str, &'static str);

const DELETE: &str = "kubectl -n shop delete pod s1-2";

const CASES: &[Case] = &[
    (
        "partitioned",
        P::Waiting,
        Some(W::Human),
        "partition 2: 1 of 3",
        Some(Verb::Abort),
        "promotes: next is s1-1",
        "2 pods stay on the old version",
    ),
    ("broken", P::Failing, Some(W::Human), "1 of 3 pods are new: pod s1-2 Unschedulable", Some(Verb::Abort), "nothing rolls back", DELETE),
    ("blocked", P::Stuck, Some(W::Human), "blocked by pod s1-2: Unschedulable", None, DELETE, "no change of the template helps until"),
    ("fix-blocked", P::Stuck, Some(W::Human), "blocked by pod s1-2", None, DELETE, "that pod included"),
    ("rolling", P::Progressing, Some(W::Pods), "1 of 3 pods are new", Some(Verb::Abort), "next lower pod", "up to 1 pod of 3 away"),
    ("step", P::Progressing, Some(W::Pods), "1 of 2 pods are new (partition 1)", Some(Verb::Abort), "down to s1-1", "1 pod stay"),
    (
        "by-hand",
        P::Waiting,
        Some(W::Human),
        "OnDelete: 1 of 3 pods are new",
        Some(Verb::Abort),
        "kubectl -n shop delete pod s1-1",
        "when someone deletes it",
    ),
    ("complete", P::Healthy, None, "rolled out", Some(Verb::Undo), "nothing", ""),
    ("held-idle", P::Healthy, None, "rolled out", Some(Verb::Undo), "nothing", "next version reaches no pod until someone promotes"),
    ("short", P::Progressing, Some(W::Pods), "2 of 3 pods ready", Some(Verb::Undo), "come back", ""),
    ("unobserved", P::Progressing, Some(W::Controller), "to be observed", None, "newest change", ""),
    ("deleting", P::Progressing, Some(W::Controller), "being deleted", None, "removed", ""),
];

#[test]
fn every_scene_reads_like_this() {
    for (name, phase, wait, detail, back, next, notice) in CASES {
        let ro = scene(name).model();
        reads_like(name, &ro, (*phase, *wait, detail, *back, next));
        assert_eq!(ro.strategy, Strategy::Rolling, "{name}");
        assert!(notice.is_empty() || ro.notices.iter().any(|n| n.text.contains(notice)), "{name}: {:#?}", ro.notices);
        assert!(ro.detailed, "{name}");
        shares_add_up(&ro);
    }
    assert_eq!(CASES.iter().map(|c| c.0).collect::<Vec<_>>(), NAMES);
}

/// A fleet knows no pods: it cannot tell what blocks, but never calls it well, and the shares are the same.
#[test]
fn the_fleet_says_the_same_where_counts_can() {
    for name in NAMES {
        let (near, far) = (scene(name).model(), Scene::alone(ENGINE, &items(name)).model());
        assert_eq!(near.phase == P::Healthy, far.phase == P::Healthy, "{name}: {} / {}", near.phase_detail, far.phase_detail);
        if !["broken", "blocked", "fix-blocked"].contains(&name) {
            assert_eq!((near.phase, &near.phase_detail), (far.phase, &far.phase_detail), "{name}");
        }
        assert_eq!((near.in_flight(), near.ready().1), (far.in_flight(), far.ready().1), "{name}");
        assert!(!far.detailed);
        shares_add_up(&far);
    }
}

#[test]
fn sides_are_revisions() {
    let ro = scene("partitioned").model();
    let (new, old) = (ro.new_side().unwrap(), ro.old_side().unwrap());
    assert_eq!((&*new.hash, new.desired, new.ready, new.role(), &*new.images[0]), (NEW, 1, 1, Role::New, "app:v2"));
    assert_eq!((&*old.hash, old.desired, old.ready, old.role(), &*old.images[0]), (OLD, 2, 2, Role::Stable, "app:v1"));
    assert_eq!(new.pods.len() + old.pods.len(), 3);
    let blocked = scene("blocked").model();
    assert!(blocked.new_side().is_none(), "the broken version is not being released any more");
    let left = blocked.track(Role::Old).unwrap();
    assert_eq!((&*left.hash, left.current, left.ready), ("s1-b854bf6c8", 1, 0));
}

#[test]
fn steps_are_pods_from_the_highest_down() {
    let ro = scene("partitioned").model();
    let labels: Vec<&str> = ro.steps.items.iter().map(|s| &*s.label).collect();
    assert_eq!((labels, ro.steps.current), (vec!["s1-2", "s1-1", "s1-0"], Some(0)), "it stands at the step that is done");
    assert_eq!(scene("rolling").model().steps.current, Some(1), "it is at the step in progress");
    assert_eq!(scene("complete").model().steps.items.len(), 0);
    let many = Scene::of(
        ENGINE,
        &with(items("partitioned"), |s| {
            s["spec"]["replicas"] = 25.into();
            s["spec"]["ordinals"] = json!({"start": 5});
            set_partition(s, 22);
        }),
    );
    let steps = many.model().steps;
    let labels: Vec<&str> = steps.items.iter().map(|s| &*s.label).collect();
    assert_eq!((labels.len(), labels[0], labels[8]), (9, "s1-29, s1-28, s1-27", "s1-5"), "{labels:?}");
}

/// A partition above the number of pods lets none through; the server takes it.
#[test]
fn a_partition_beyond_the_pods_is_no_overflow() {
    let ro = Scene::of(
        ENGINE,
        &with(items("partitioned"), |s| {
            set_partition(s, 99);
            s["status"]["updatedReplicas"] = 0.into();
        }),
    )
    .model();
    assert_eq!((ro.phase, ro.steps.current), (P::Waiting, None), "{}", ro.phase_detail);
    assert!(ro.phase_detail.contains("0 of 3"), "{}", ro.phase_detail);
}

#[test]
fn what_goes_parallel_is_not_blocked() {
    let parallel = |name| Scene::of(ENGINE, &with(items(name), |s| s["spec"]["podManagementPolicy"] = "Parallel".into())).model();
    assert_eq!(parallel("blocked").phase, P::Progressing);
    let broken = parallel("broken");
    assert!(broken.notices.iter().all(|n| !n.text.contains("delete pod")), "{:#?}", broken.notices);
}

/// One that is just going makes room by itself.
#[test]
fn a_pod_that_is_going_blocks_nothing() {
    let mut all = items("blocked");
    pod(&mut all, "s1-2")["metadata"]["deletionTimestamp"] = "2026-11-21T03:23:31Z".into();
    assert_ne!(Scene::of(ENGINE, &all).model().phase, P::Stuck);
}

#[test]
fn an_autoscaler_is_named() {
    let mut all = items("partitioned");
    all.push(autoscaler());
    let ro = Scene::of(ENGINE, &all).model();
    assert!(ro.notices.iter().any(|n| n.text.contains("HPA by-load (2 to 9 pods)")), "{:#?}", ro.notices);
}

#[test]
fn what_a_controller_owns_is_no_rollout() {
    let free = scene("partitioned");
    assert!(ENGINE.parts(&free.root, &free.objects).is_some());
    let owner = json!([{"kind": "Kafka", "name": "k", "uid": "k", "controller": true}]);
    let owned = Scene::of(ENGINE, &with(items("partitioned"), |s| s["metadata"]["ownerReferences"] = owner));
    assert!(ENGINE.parts(&owned.root, &owned.objects).is_none());
}

#[test]
fn no_object_is_too_odd() {
    for name in ["partitioned", "blocked"] {
        never_panics(ENGINE, &items(name));
    }
}
