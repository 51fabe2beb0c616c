//! What is written: accepted by the state it was made for, refused by the state after.

use rolltop::{
    engine::{Engine, Goal, Patch, Plan, Progress, deployment::DEPLOYMENT},
    intent::{Intent, Verb},
    model::Severity,
};
use serde_json::{Value, json};

use super::kit::{Scene, apply, changed, list, root};

fn ops(plan: &Plan) -> Vec<String> {
    let Patch::Json(ops) = &plan.writes[0].patch;
    let changes = ops.iter().filter(|o| o["op"] != "test");
    changes.map(|o| format!("{} {}", o["op"].as_str().unwrap(), o["path"].as_str().unwrap())).collect()
}

fn image(image: &str) -> Intent {
    Intent::SetImage { container: "app".into(), image: image.into() }
}

fn cases() -> Vec<(&'static str, Intent, Vec<&'static str>)> {
    let template = "add /spec/template";
    vec![
        ("progressing", Intent::Pause, vec!["add /spec/paused"]),
        ("paused-mid-roll", Intent::Resume, vec!["remove /spec/paused"]),
        ("progressing", Intent::Abort, vec![template]),
        ("deadline-exceeded", Intent::Abort, vec![template]),
        ("paused-mid-roll", Intent::Abort, vec![template, "remove /spec/paused"]),
        ("pods-failing", Intent::Undo { to: None }, vec![template]),
        ("pods-failing", Intent::Undo { to: Some("57b58b5565".into()) }, vec![template]),
        ("pods-failing", Intent::Restart, vec!["add /spec/template/metadata/annotations"]),
        ("progressing", image("app:v9"), vec!["add /spec/template/spec/containers/0/image"]),
    ]
}

#[test]
fn every_write_is_exactly_this_and_holds_once() {
    for (name, intent, wanted) in cases() {
        let items = list(name);
        let plan = Scene::of(&items).plan(&intent).unwrap_or_else(|r| panic!("{name} {intent:?}: {r:?}"));
        assert_eq!(plan.writes.len(), 1);
        assert_eq!(ops(&plan), wanted, "{name} {intent:?}");
        assert!(!plan.changes.is_empty() && !plan.back.is_empty() && !plan.only_if.is_empty());
        let after = apply(&items, &plan).unwrap_or_else(|e| panic!("{name} {intent:?}: {e}"));
        assert!(apply(&after, &plan).is_err(), "{name} {intent:?} can be sent twice");
        for path in ["uid", "generation"] {
            let mut other = items.clone();
            root(&mut other)["metadata"][path] = if path == "uid" { json!("recreated") } else { json!(99) };
            assert!(apply(&other, &plan).is_err(), "{name} {intent:?} ignores another {path}");
        }
        let scene = Scene::of(&after);
        let progress = DEPLOYMENT.progress(&plan.expect.goal, &scene.model(), &scene.root, &scene.objects);
        assert_eq!(progress, Progress::Observed, "{name} {intent:?}: written is not done");
    }
}

/// The template that comes back is the one the ReplicaSet was made of, without the controller's label.
#[test]
fn undo_finds_the_old_replica_set_again() {
    let items = list("progressing");
    let plan = Scene::of(&items).plan(&Intent::Undo { to: None }).unwrap();
    let mut after = apply(&items, &plan).unwrap();
    let template = root(&mut after)["spec"]["template"].clone();
    assert!(template["metadata"]["labels"].get("pod-template-hash").is_none());
    assert_eq!(template["spec"]["containers"][0]["image"], "app:v1");
    let generation = root(&mut after)["metadata"]["generation"].clone();
    root(&mut after)["status"]["observedGeneration"] = generation;
    assert_eq!(Scene::of(&after).model().new_side().map(|t| t.hash.to_string()).as_deref(), Some("d6485b74f"));
}

#[test]
fn an_abort_is_done_when_the_roll_back_is() {
    let mut items = list("progressing");
    let generation = root(&mut items)["metadata"]["generation"].as_i64().unwrap();
    let goal = Scene::of(&items).plan(&Intent::Abort).unwrap().expect.goal;
    assert_eq!(goal, Goal::Rolled { after: generation });
    let at = |status: Value, reason: &str| {
        let scene = Scene::of(&changed("progressing", |d| {
            d["metadata"]["generation"] = (generation + 1).into();
            d["status"] = status;
            d["status"]["observedGeneration"] = (generation + 1).into();
            d["status"]["conditions"] = json!([{"type": "Progressing", "status": "False", "reason": reason}]);
        }));
        DEPLOYMENT.progress(&goal, &scene.model(), &scene.root, &scene.objects)
    };
    let partly = json!({"replicas": 5, "updatedReplicas": 3, "availableReplicas": 3});
    assert_eq!(at(partly.clone(), "ReplicaSetUpdated"), Progress::Observed);
    assert!(matches!(at(partly, "ProgressDeadlineExceeded"), Progress::Diverted(_)));
    assert_eq!(at(json!({"replicas": 4, "updatedReplicas": 4, "availableReplicas": 4}), "NewReplicaSetAvailable"), Progress::Done);
}

#[test]
fn refusals_name_what_to_do_instead() {
    let cases = [
        ("paused-mid-roll", Intent::Promote, Some(Verb::Resume)),
        ("paused-mid-roll", Intent::Restart, Some(Verb::Resume)),
        ("paused-mid-roll", Intent::Pause, Some(Verb::Resume)),
        ("paused-mid-roll", Intent::Flip, Some(Verb::Undo)),
        ("progressing", Intent::Skip, Some(Verb::Pause)),
        ("progressing", Intent::Resume, None),
        ("deadline-exceeded", Intent::Promote, Some(Verb::Abort)),
        ("pods-failing", Intent::Abort, Some(Verb::Undo)),
        ("pods-failing", Intent::PromoteFull, None),
        ("pods-failing", image("app:v2"), None),
        ("pods-failing", image("not an image"), None),
        ("pods-failing", Intent::Undo { to: Some("75578ddcb8".into()) }, None),
    ];
    for (name, intent, better) in cases {
        let refusal = Scene::of(&list(name)).plan(&intent).expect_err(name);
        assert_eq!(refusal.try_verb, better, "{name} {intent:?}: {refusal:?}");
        assert!(refusal.instead.is_some(), "{name} {intent:?}");
    }
    let unloaded = Scene::alone(&list("progressing")).plan(&Intent::Undo { to: None }).unwrap_err();
    assert!(unloaded.reason.contains("not loaded"));
}

#[test]
fn an_outage_must_be_confirmed() {
    let recreate = Scene::of(&changed("pods-failing", |d| d["spec"]["strategy"] = json!({"type": "Recreate"})));
    let loudest = |intent| recreate.plan(&intent).unwrap().warnings.first().map(|n| n.severity);
    assert_eq!(loudest(Intent::Restart), Some(Severity::Danger));
    assert_eq!(loudest(image("app:v9")), Some(Severity::Danger));
    assert_eq!(loudest(Intent::Undo { to: None }), Some(Severity::Warning), "the way back is never held up");
}

#[test]
fn revisions_show_their_change_cause() {
    let mut items = list("pods-failing");
    let old = items.iter_mut().find(|i| i["metadata"]["name"] == "d5-57b58b5565").unwrap();
    old["metadata"]["annotations"]["kubernetes.io/change-cause"] = "first release".into();
    let scene = Scene::of(&items);
    let revisions = DEPLOYMENT.revisions(&scene.model(), &scene.root, &scene.objects);
    assert_eq!(revisions.len(), 1);
    assert_eq!((&*revisions[0].0, &*revisions[0].1), ("revision 1 · kept · app:v1 · 57b58b5565 · first release", "57b58b5565"));
    let plan = scene.plan(&Intent::Undo { to: None }).unwrap();
    assert_eq!(ops(&plan), ["add /spec/template", "add /metadata/annotations/kubernetes.io~1change-cause"]);
    assert!(apply(&items, &plan).is_ok());
}
