//! What is written: accepted by the state it was made for, refused by the state after.

use rolltop::{
    engine::Progress,
    intent::{Intent, Verb as V},
    model::Severity,
};
use serde_json::json;

use super::scenes::{ENGINE, NAMES, NEW, OLD, items, scene, with};
use crate::kit::{Scene, allows, apply, holds_once, ops};

const TYPE: &str = "add /spec/updateStrategy/type ";

fn image(image: &str) -> Intent {
    Intent::SetImage { container: "app".into(), image: image.into() }
}

#[test]
fn every_write_is_exactly_this_and_holds_once() {
    let template = "add /spec/template {".to_owned();
    let cases = [
        ("frozen", Intent::Resume, format!("{TYPE}\"RollingUpdate\"")),
        ("rolling", Intent::Pause, format!("{TYPE}\"OnDelete\"")),
        ("broken", Intent::Pause, format!("{TYPE}\"OnDelete\"")),
        ("complete", Intent::Pause, format!("{TYPE}\"OnDelete\"")),
        ("idle-frozen", Intent::Resume, format!("{TYPE}\"RollingUpdate\"")),
        ("frozen", Intent::Abort, template.clone()),
        ("rolling", Intent::Abort, template.clone()),
        ("complete", Intent::Undo { to: None }, template.clone()),
        ("complete", Intent::Undo { to: Some(OLD.into()) }, template),
        ("complete", Intent::Restart, "add /spec/template/metadata/annotations {\"kubectl.kubernetes.io/restartedAt\":".into()),
        ("rolling", image("app:v9"), "add /spec/template/spec/containers/0/image \"app:v9\"".into()),
    ];
    for (name, intent, wanted) in cases {
        let (plan, after) = holds_once(ENGINE, &items(name), &intent);
        let ops = ops(&plan);
        assert!(ops.len() == 1 && ops[0].starts_with(&wanted), "{name} {intent:?}: {ops:?}");
        assert_eq!(Scene::of(ENGINE, &after).progress(&plan), Progress::Observed, "{name} {intent:?}: written is not done");
        let other = with(items(name), |d| d["spec"]["updateStrategy"]["type"] = "SomethingElse".into());
        assert!(apply(ENGINE, &other, &plan).is_err(), "{name} {intent:?} ignores another strategy");
    }
}

#[test]
fn undo_finds_the_old_revision_again() {
    let (_, mut after) = holds_once(ENGINE, &items("rolling"), &Intent::Abort);
    let set = after.iter_mut().find(|i| i["kind"] == "DaemonSet").unwrap();
    assert_eq!(set["spec"]["template"]["spec"]["containers"][0]["image"], "app:v1");
    set["status"]["observedGeneration"] = set["metadata"]["generation"].clone();
    set["status"]["updatedNumberScheduled"] = 2.into();
    let ro = Scene::of(ENGINE, &after).model();
    assert_eq!(ro.new_side().map(|t| &*t.hash), Some(OLD), "the old version is what it wants now");
}

#[test]
fn an_abort_is_done_when_every_node_is_back() {
    let plan = scene("rolling").plan(&Intent::Abort).unwrap();
    let at = |name: &str, change: fn(&mut serde_json::Value)| {
        let all = with(items(name), |d| {
            d["metadata"]["generation"] = 4.into();
            d["status"]["observedGeneration"] = 4.into();
            change(d);
        });
        Scene::of(ENGINE, &all).progress(&plan)
    };
    assert_eq!(at("rolling", |_| {}), Progress::Observed);
    assert_eq!(at("short", |_| {}), Progress::Observed);
    assert_eq!(at("complete", |_| {}), Progress::Done);
    assert!(matches!(at("broken", |_| {}), Progress::Diverted(_)));
    assert!(matches!(at("frozen", |_| {}), Progress::Diverted(_)));
    assert_eq!(at("complete", |d| d["metadata"]["generation"] = 3.into()), Progress::Nothing, "that was before the write");
}

#[test]
fn what_is_allowed_when() {
    let cases: [(&str, &[V]); 8] = [
        ("frozen", &[V::Resume, V::Abort, V::Undo, V::SetImage]),
        ("rolling", &[V::Pause, V::Abort, V::Undo, V::Restart, V::SetImage]),
        ("broken", &[V::Pause, V::Abort, V::Undo, V::Restart, V::SetImage]),
        ("complete", &[V::Pause, V::Undo, V::Restart, V::SetImage]),
        ("idle-frozen", &[V::Resume, V::Undo, V::SetImage]),
        ("short", &[V::Pause, V::Undo, V::Restart, V::SetImage]),
        ("unobserved", &[]),
        ("deleting", &[]),
    ];
    allows(scene, &NAMES, &cases);
}

#[test]
fn refusals_say_what_to_type() {
    for intent in [Intent::Promote, Intent::PromoteFull, Intent::Restart] {
        let refusal = scene("frozen").plan(&intent).unwrap_err();
        assert_eq!(refusal.instead.as_deref(), Some("kubectl -n shop delete pod ds-5kn8d"), "{intent:?}");
        assert_eq!(refusal.try_verb, Some(V::Resume), "{intent:?}");
    }
    assert!(scene("rolling").plan(&Intent::Scale { replicas: 2 }).unwrap_err().reason.contains("one pod on every node"));
    let unloaded = Scene::alone(ENGINE, &items("rolling")).plan(&Intent::Abort).unwrap_err();
    assert!(unloaded.reason.contains("not loaded"), "{unloaded:?}");
    for wrong in [Intent::Undo { to: Some(NEW.into()) }, image("app:v2"), image("not an image")] {
        assert!(scene("complete").plan(&wrong).unwrap_err().instead.is_some(), "{wrong:?}");
    }
}

#[test]
fn an_outage_must_be_confirmed() {
    let all_away =
        Scene::of(ENGINE, &with(items("complete"), |d| d["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = json!("100%")));
    let loudest = |intent| all_away.plan(&intent).unwrap().warnings.first().map(|n| n.severity);
    assert_eq!(loudest(Intent::Restart), Some(Severity::Danger));
    assert_eq!(loudest(image("app:v9")), Some(Severity::Danger));
    assert_eq!(loudest(Intent::Undo { to: None }), Some(Severity::Warning), "the way back is never held up");
    assert!(scene("complete").plan(&Intent::Restart).unwrap().warnings.is_empty());
}
