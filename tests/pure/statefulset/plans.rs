//! What is written: accepted by the state it was made for, refused by the state after.

use rolltop::{
    engine::{Goal, Progress},
    intent::{Intent, Verb as V},
    model::Severity,
};
use serde_json::json;

use super::scenes::{ENGINE, NAMES, NEW, OLD, autoscaler, items, scene, set_partition, with};
use crate::kit::{Scene, allows, holds_once, ops};

const PARTITION: &str = "/spec/updateStrategy/rollingUpdate/partition";

fn image(image: &str) -> Intent {
    Intent::SetImage { container: "app".into(), image: image.into() }
}

fn weight(percent: u8) -> Intent {
    Intent::SetWeight { percent }
}

fn undo(to: &str) -> Intent {
    Intent::Undo { to: Some(to.into()) }
}

#[test]
fn every_write_of_the_partition_is_exactly_this_and_holds_once() {
    let cases = [
        ("partitioned", Intent::Promote, 1),
        ("partitioned", Intent::PromoteFull, 0),
        ("partitioned", Intent::Resume, 0),
        ("partitioned", weight(67), 1),
        ("partitioned", weight(100), 0),
        ("step", Intent::PromoteFull, 0),
        ("rolling", Intent::Pause, 2),
        ("rolling", weight(67), 1),
        ("complete", Intent::Pause, 3),
        ("held-idle", Intent::Resume, 0),
    ];
    for (name, intent, partition) in cases {
        let (plan, after) = holds_once(ENGINE, &items(name), &intent);
        assert_eq!(ops(&plan), [format!("add {PARTITION} {partition}")], "{name} {intent:?}");
        assert_eq!(Scene::of(ENGINE, &after).progress(&plan), Progress::Observed, "{name} {intent:?}: written is not done");
    }
}

#[test]
fn every_other_write_is_exactly_this_and_holds_once() {
    let template = "add /spec/template ";
    let cases = [
        ("partitioned", Intent::Abort, vec![template]),
        ("broken", Intent::Abort, vec![template]),
        ("by-hand", Intent::Abort, vec![template]),
        ("complete", undo(OLD), vec![template]),
        ("complete", Intent::Undo { to: None }, vec![template]),
        ("blocked", undo(OLD), vec![template]),
        ("complete", Intent::Restart, vec!["add /spec/template/metadata/annotations {\"kubectl.kubernetes.io/restartedAt\":\""]),
        ("partitioned", image("app:v9"), vec!["add /spec/template/spec/containers/0/image \"app:v9\""]),
        ("complete", Intent::Scale { replicas: 5 }, vec!["add /spec/replicas 5"]),
        ("blocked", Intent::Scale { replicas: 2 }, vec!["add /spec/replicas 2"]),
    ];
    for (name, intent, wanted) in cases {
        let (plan, after) = holds_once(ENGINE, &items(name), &intent);
        let ops = ops(&plan);
        assert!(ops.len() == wanted.len() && ops.iter().zip(&wanted).all(|(o, w)| o.starts_with(w)), "{name} {intent:?}: {ops:?}");
        assert_eq!(Scene::of(ENGINE, &after).progress(&plan), Progress::Observed, "{name} {intent:?}: written is not done");
    }
}

/// The update revision is the controller's mark of a release: the same spec with another mark is another release.
#[test]
fn a_write_is_for_the_release_that_was_looked_at() {
    let (plan, _) = holds_once(ENGINE, &items("partitioned"), &Intent::Promote);
    let other = with(items("partitioned"), |s| s["status"]["updateRevision"] = "s1-other".into());
    assert!(crate::kit::apply(ENGINE, &other, &plan).is_err());
}

#[test]
fn undo_puts_back_what_the_revision_holds() {
    let (_, after) = holds_once(ENGINE, &items("partitioned"), &Intent::Abort);
    let set = after.iter().find(|i| i["kind"] == "StatefulSet").unwrap();
    assert_eq!(set["spec"]["template"]["spec"]["containers"][0]["image"], "app:v1");
    assert!(set["spec"]["template"].get("$patch").is_none(), "that is a word of the patch, not of the template");
    assert_eq!(set["spec"]["updateStrategy"]["rollingUpdate"]["partition"], 2, "its only new pod is above the partition");
}

/// A pause below pods that are updated already: only pods from the partition up are brought back.
#[test]
fn an_abort_reaches_every_new_pod() {
    let raised = with(items("partitioned"), |s| set_partition(s, 3));
    let (plan, after) = holds_once(ENGINE, &raised, &Intent::Abort);
    let set = after.iter().find(|i| i["kind"] == "StatefulSet").unwrap();
    assert_eq!(set["spec"]["updateStrategy"]["rollingUpdate"]["partition"], 2);
    assert!(plan.changes.iter().any(|c| &*c.field == "partition"), "and says so: {:?}", plan.changes);
}

#[test]
fn an_undo_keeps_the_change_cause_of_its_revision() {
    let cause = "kubernetes.io/change-cause";
    let mut all = with(items("complete"), |s| s["metadata"]["annotations"] = json!({ cause: "second" }));
    all.iter_mut().find(|i| i["metadata"]["name"] == OLD).unwrap()["metadata"]["annotations"] = json!({ cause: "first" });
    let scene = Scene::of(ENGINE, &all);
    assert_eq!(scene.revisions(), [(format!("revision 1 · kept · app:v1 · {OLD} · first"), OLD.to_owned())]);
    let (_, after) = holds_once(ENGINE, &all, &Intent::Undo { to: None });
    assert_eq!(after.iter().find(|i| i["kind"] == "StatefulSet").unwrap()["metadata"]["annotations"][cause], "first");
}

#[test]
fn a_promotion_is_done_when_its_pods_are_ready() {
    let plan = scene("partitioned").plan(&Intent::Promote).unwrap();
    assert_eq!(plan.expect.goal, Goal::Rolled { after: 4 });
    let at = |updated: u32, ready: u32| {
        let all = with(items("step"), |s| {
            s["metadata"]["generation"] = 5.into();
            s["status"] = json!({"observedGeneration": 5, "replicas": 3, "readyReplicas": ready, "updatedReplicas": updated,
                "currentRevision": OLD, "updateRevision": NEW});
        });
        Scene::of(ENGINE, &all).progress(&plan)
    };
    assert_eq!([at(1, 3), at(2, 2), at(2, 3)], [Progress::Observed, Progress::Observed, Progress::Done]);
    let stuck = with(items("broken"), |s| s["metadata"]["generation"] = 6.into());
    assert!(matches!(Scene::of(ENGINE, &stuck).progress(&plan), Progress::Diverted(_)));
    let abort = scene("broken").plan(&Intent::Abort).unwrap();
    match Scene::of(ENGINE, &items("blocked")).progress(&abort) {
        Progress::Diverted(why) => assert!(why.contains("kubectl -n shop delete pod s1-2"), "{why}"),
        other => panic!("an abort that is held up is not {other:?}"),
    }
}

#[test]
fn what_is_allowed_when() {
    let cases: [(&str, &[V]); 12] = [
        ("partitioned", &[V::Promote, V::PromoteFull, V::Resume, V::Abort, V::Undo, V::SetImage, V::SetWeight, V::Scale]),
        ("broken", &[V::Abort, V::Undo, V::SetImage, V::Scale]),
        ("blocked", &[V::Undo, V::SetImage, V::Scale]),
        ("fix-blocked", &[V::Undo, V::SetImage, V::Scale]),
        // No partition holds it, so 100 % is what it does anyway; less can still be asked for.
        ("rolling", &[V::Pause, V::Abort, V::Undo, V::SetImage, V::Scale]),
        ("step", &[V::PromoteFull, V::Pause, V::Abort, V::Undo, V::SetImage, V::SetWeight, V::Scale]),
        ("by-hand", &[V::Abort, V::Undo, V::SetImage, V::Scale]),
        ("complete", &[V::Pause, V::Undo, V::Restart, V::SetImage, V::Scale]),
        ("held-idle", &[V::Resume, V::Undo, V::SetImage, V::Scale]),
        ("short", &[V::Pause, V::Undo, V::Restart, V::SetImage, V::Scale]),
        ("unobserved", &[]),
        ("deleting", &[]),
    ];
    allows(scene, &NAMES, &cases);
}

#[test]
fn refusals_say_what_to_type() {
    let by_hand = scene("by-hand");
    for intent in [Intent::Promote, Intent::PromoteFull, Intent::Restart, weight(100)] {
        let refusal = by_hand.plan(&intent).unwrap_err();
        assert_eq!(refusal.instead.as_deref(), Some("kubectl -n shop delete pod s1-1"), "{intent:?}");
    }
    for intent in [Intent::Promote, Intent::Abort, Intent::Restart] {
        let refusal = scene("blocked").plan(&intent).unwrap_err();
        assert_eq!(refusal.instead.as_deref(), Some("kubectl -n shop delete pod s1-2"), "{intent:?}");
    }
    let unloaded = Scene::alone(ENGINE, &items("partitioned")).plan(&Intent::Abort).unwrap_err();
    assert!(unloaded.reason.contains("not loaded"), "{unloaded:?}");
    for wrong in [undo(NEW), undo("s1-gone"), image("app:v2"), image("not an image"), Intent::Scale { replicas: 3 }] {
        assert!(scene("complete").plan(&wrong).unwrap_err().instead.is_some(), "{wrong:?}");
    }
}

/// Three pods cannot be split in halves, and a partition takes nothing back.
#[test]
fn weights_are_those_that_pods_can_make() {
    let held = scene("partitioned");
    let refusal = held.plan(&weight(50)).unwrap_err();
    assert_eq!(refusal.instead.as_deref(), Some("with 3 pods: 0 %, 33 %, 67 %, 100 %"));
    assert_eq!(held.plan(&weight(0)).unwrap_err().try_verb, Some(V::Abort));
    assert!(held.plan(&weight(33)).is_err(), "that is what it has");
    let many = |percent| {
        let all = with(items("partitioned"), |s| {
            s["spec"]["replicas"] = 250.into();
            s["status"]["replicas"] = 250.into();
            s["status"]["readyReplicas"] = 250.into();
            set_partition(s, 249);
        });
        Scene::of(ENGINE, &all).plan(&weight(percent)).map(|p| ops(&p))
    };
    assert_eq!(many(37).unwrap(), [format!("add {PARTITION} 157")]);
}

#[test]
fn warnings_fit_the_deed() {
    let single = |name: &str| {
        Scene::of(
            ENGINE,
            &with(items(name), |s| {
                s["spec"]["replicas"] = 1.into();
                s["status"]["replicas"] = 1.into();
                s["status"]["updatedReplicas"] = 1.into();
            }),
        )
    };
    let loudest = |intent| single("complete").plan(&intent).unwrap().warnings.first().map(|n| n.severity);
    assert_eq!(loudest(Intent::Restart), Some(Severity::Danger));
    assert_eq!(loudest(image("app:v9")), Some(Severity::Danger));
    assert_eq!(loudest(Intent::Undo { to: None }), Some(Severity::Warning), "the way back is never held up");
    let says = |name: &str, intent: Intent, words: &str| {
        let plan = scene(name).plan(&intent).unwrap();
        assert!(plan.warnings.iter().any(|n| n.text.contains(words)), "{name} {intent:?}: {:?}", plan.warnings);
    };
    says("broken", Intent::Abort, "until the broken pod is deleted as well: kubectl -n shop delete pod s1-2");
    says("blocked", undo(OLD), "until the broken pod is deleted as well");
    says("blocked", image("app:v9"), "until the broken pod is deleted as well");
    says("rolling", Intent::Pause, "stops further pods only");
    says("partitioned", Intent::Scale { replicas: 2 }, "pods with the new version go first");
    says("complete", Intent::Scale { replicas: 0 }, "users get nothing");
}

#[test]
fn an_autoscaler_is_named_before_the_write() {
    let mut all = items("complete");
    all.push(autoscaler());
    let plan = Scene::of(ENGINE, &all).plan(&Intent::Scale { replicas: 4 }).unwrap();
    assert!(plan.warnings.iter().any(|n| n.text.contains("HPA by-load (2 to 9 pods) sets this number")), "{:?}", plan.warnings);
}

#[test]
fn another_object_of_the_name_is_not_touched() {
    let here = scene("partitioned");
    let mut other = here.model();
    other.id.uid = "another".into();
    let intent = Intent::Promote;
    let plan = ENGINE.plan(&other, &here.root, &here.objects, &intent, crate::argo::kit::now());
    assert!(plan.is_err());
}
