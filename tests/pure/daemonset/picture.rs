//! What a person must read from each scene.

use rolltop::{
    intent::Verb,
    model::{Phase as P, Role, Strategy, WaitFor as W},
};
use serde_json::json;

use super::scenes::{ENGINE, NAMES, NEW, OLD, items, scene, with};
use crate::kit::{Scene, never_panics, reads_like, shares_add_up};

/// Scene; phase; who is waited for; part of the detail; the way back; what happens next; part of a notice.
type Case = (&'static str, P, Option<W>, &'static str, Option<Verb>, &'static str, &'static str);

const CASES: &[Case] = &[
    (
        "frozen",
        P::Paused,
        Some(W::Human),
        "OnDelete: 1 of 3 nodes",
        Some(Verb::Abort),
        "kubectl -n shop delete pod ds-5kn8d",
        "OnDelete holds it",
    ),
    ("rolling", P::Progressing, Some(W::Pods), "1 of 3 nodes", Some(Verb::Abort), "next node", ""),
    (
        "broken",
        P::Failing,
        Some(W::Human),
        "pod ds-wlccq ImagePullBackOff",
        Some(Verb::Abort),
        "nothing rolls back",
        "cannot start: ImagePullBackOff",
    ),
    ("complete", P::Healthy, None, "rolled out", Some(Verb::Undo), "nothing", ""),
    ("idle-frozen", P::Healthy, None, "rolled out", Some(Verb::Undo), "nothing", "only when someone deletes its pod"),
    ("short", P::Progressing, Some(W::Pods), "2 of 3 pods available", Some(Verb::Undo), "come back", ""),
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
        assert!(ro.detailed && ro.steps.items.is_empty(), "{name}");
        shares_add_up(&ro);
    }
    assert_eq!(CASES.iter().map(|c| c.0).collect::<Vec<_>>(), NAMES);
}

/// A fleet knows no pods: only what fails is not told.
#[test]
fn the_fleet_says_the_same_where_counts_can() {
    for name in NAMES {
        let (near, far) = (scene(name).model(), Scene::alone(ENGINE, &items(name)).model());
        if name != "broken" {
            assert_eq!((near.phase, &near.phase_detail), (far.phase, &far.phase_detail), "{name}");
        }
        assert_eq!((near.in_flight(), near.ready()), (far.in_flight(), far.ready()), "{name}");
        assert!(!far.detailed);
        shares_add_up(&far);
    }
}

#[test]
fn sides_are_revisions() {
    let ro = scene("frozen").model();
    let (new, old) = (ro.new_side().unwrap(), ro.old_side().unwrap());
    assert_eq!((&*new.hash, new.desired, new.ready, new.role(), &*new.images[0]), (NEW, 1, 1, Role::New, "app:v2"));
    assert_eq!((&*old.hash, old.desired, old.ready, old.role(), &*old.images[0]), (OLD, 2, 2, Role::Stable, "app:v1"));
    assert!(old.pods.iter().all(|p| p.node.is_some()), "which node has it is the point");
}

#[test]
fn numbers_at_once_are_the_controllers() {
    let surge = |rolling| {
        let all = with(items("rolling"), |d| d["spec"]["updateStrategy"]["rollingUpdate"] = rolling);
        Scene::of(ENGINE, &all).model().surge.map(|s| (s.more, s.fewer, s.of))
    };
    assert_eq!(surge(json!({"maxUnavailable": "34%", "maxSurge": 0})), Some((0, 2, 3)), "percentages are rounded up");
    assert_eq!(surge(json!({"maxUnavailable": 0, "maxSurge": 0})), Some((0, 1, 3)), "never nothing at all");
    assert_eq!(surge(json!({"maxUnavailable": 0, "maxSurge": 2})), Some((2, 0, 3)));
}

#[test]
fn what_a_controller_owns_is_no_rollout() {
    let free = scene("frozen");
    assert!(ENGINE.parts(&free.root, &free.objects).is_some());
    let owner = json!([{"kind": "Agent", "name": "k", "uid": "k", "controller": true}]);
    let owned = Scene::of(ENGINE, &with(items("frozen"), |d| d["metadata"]["ownerReferences"] = owner));
    assert!(ENGINE.parts(&owned.root, &owned.objects).is_none());
}

#[test]
fn no_object_is_too_odd() {
    never_panics(ENGINE, &items("rolling"));
}
