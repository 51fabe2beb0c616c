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
        ("progressing", Intent::Scale { replicas: 6 }, vec!["add /spec/replicas"]),
    ]
}

/// What somebody else changes meanwhile; whether the write is lost by it.
type Moved = (&'static str, bool, fn(&mut Value));

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
        let scales = intent.verb() == Verb::Scale;
        let moved: [Moved; 5] = [
            ("uid", true, |d| d["metadata"]["uid"] = json!("recreated")),
            ("template", !scales, |d| d["spec"]["template"]["metadata"]["labels"]["more"] = json!("x")),
            ("pause", !scales, |d| d["spec"]["paused"] = json!(!d["spec"]["paused"].as_bool().unwrap_or(false))),
            ("revision", !scales, |d| d["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("99")),
            ("replicas", scales, |d| (d["spec"]["replicas"], d["metadata"]["generation"]) = (json!(7), json!(99))),
        ];
        for (what, matters, change) in moved {
            let mut other = items.clone();
            change(root(&mut other));
            assert_eq!(apply(&other, &plan).is_err(), matters, "{name} {intent:?}: another {what}");
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
    let items = list("progressing");
    let plan = Scene::of(&items).plan(&Intent::Abort).unwrap();
    let goal = plan.expect.goal.clone();
    assert!(matches!(goal, Goal::Stable(_)), "{goal:?}");
    let sent = apply(&items, &plan).unwrap();
    let at = |status: Value, reason: &str| {
        let mut after = sent.clone();
        let d = root(&mut after);
        d["status"] = status;
        d["status"]["observedGeneration"] = d["metadata"]["generation"].clone();
        d["status"]["conditions"] = json!([{"type": "Progressing", "status": "False", "reason": reason}]);
        let scene = Scene::of(&after);
        DEPLOYMENT.progress(&goal, &scene.model(), &scene.root, &scene.objects)
    };
    let before = Scene::of(&items);
    assert_eq!(DEPLOYMENT.progress(&goal, &before.model(), &before.root, &before.objects), Progress::Nothing);
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
        ("pods-failing", Intent::Scale { replicas: 2 }, None),
        ("pods-failing", Intent::ScaleDown, Some(Verb::Scale)),
        ("progressing", Intent::SetWeight { percent: 10 }, Some(Verb::Pause)),
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

/// The plan's words hold while pods come and go: only then a person can read the card to its end.
#[test]
fn a_card_stands_still_while_pods_come_up() {
    for intent in [Intent::Pause, Intent::Abort, Intent::Restart, Intent::Undo { to: None }, image("app:v9")] {
        let plan = |updated: u32, replicas: u32| {
            let scene = Scene::of(&changed("progressing", |d| {
                d["status"]["updatedReplicas"] = updated.into();
                d["metadata"]["generation"] = 9.into();
                d["spec"]["replicas"] = replicas.into();
            }));
            scene.plan(&intent).unwrap()
        };
        let (a, b) = (plan(2, 4), plan(3, 6));
        assert_eq!(
            (&a.sentence, &a.only_if, &a.expect.goal, &a.writes),
            (&b.sentence, &b.only_if, &b.expect.goal, &b.writes),
            "{intent:?}"
        );
    }
}

#[test]
fn the_spec_may_be_newer_than_the_controllers_look_but_not_the_template() {
    let newer = |change: fn(&mut Value)| {
        Scene::of(&changed("progressing", |d| {
            d["metadata"]["generation"] = 9.into();
            change(d);
        }))
    };
    assert!(newer(|d| d["spec"]["replicas"] = 6.into()).plan(&Intent::Pause).is_ok());
    let another = newer(|d| d["spec"]["template"]["metadata"]["labels"]["more"] = "x".into());
    assert!(another.model().unobserved);
    assert_eq!(another.plan(&Intent::Pause).unwrap_err().reason.to_string(), "the controller has not seen the newest change");
    assert_eq!(another.plan(&Intent::Abort).unwrap_err().try_verb, Some(Verb::Undo));
    assert!(another.plan(&Intent::Undo { to: None }).is_ok(), "the way back is never held up");
}

#[test]
fn scaling_says_who_else_scales_and_what_is_left() {
    let mut items = list("pods-failing");
    let words = |items: &[Value], replicas| {
        let plan = Scene::of(items).plan(&Intent::Scale { replicas }).unwrap();
        plan.warnings.iter().map(|n| format!("{:?} {}", n.severity, n.text)).collect::<Vec<_>>()
    };
    assert_eq!(words(&items, 0), ["Danger no pod is left: users get nothing"]);
    assert!(words(&items, 6).is_empty());
    let name = root(&mut items)["metadata"]["name"].clone();
    let namespace = root(&mut items)["metadata"]["namespace"].clone();
    let target = |kind: &str| json!({"apiVersion": "apps/v1", "kind": kind, "name": name});
    let hpa = |kind: &str| {
        json!({"kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": namespace, "uid": "hpa"},
            "spec": {"scaleTargetRef": target(kind), "minReplicas": 2, "maxReplicas": 5}})
    };
    items.push(hpa("StatefulSet"));
    assert!(words(&items, 6).is_empty(), "that of another kind");
    *items.last_mut().unwrap() = hpa("Deployment");
    assert_eq!(words(&items, 6), ["Warning HPA web (2 to 5 pods) sets the number of pods: it takes this back to 5"]);
    assert_eq!(words(&items, 3), ["Warning HPA web (2 to 5 pods) sets the number of pods: it may change this again at any time"]);
    let notices = Scene::of(&items).model().notices;
    assert!(notices.iter().any(|n| n.text.starts_with("HPA web (2 to 5 pods)")), "{notices:?}");
    items.last_mut().unwrap()["metadata"]["labels"] = json!({"scaledobject.keda.sh/name": "queue"});
    assert!(words(&items, 0).contains(&"Warning KEDA queue is switched off for as long as there are no pods".to_owned()));
}

#[test]
fn scaling_is_done_when_the_pods_are_there() {
    let items = list("pods-failing");
    let plan = Scene::of(&items).plan(&Intent::Scale { replicas: 6 }).unwrap();
    let at = |replicas: u32, available: u32| {
        let mut after = apply(&items, &plan).unwrap();
        let d = root(&mut after);
        d["spec"]["replicas"] = replicas.into();
        d["status"] = json!({"observedGeneration": d["metadata"]["generation"], "replicas": replicas, "availableReplicas": available});
        let scene = Scene::of(&after);
        DEPLOYMENT.progress(&plan.expect.goal, &scene.model(), &scene.root, &scene.objects)
    };
    assert_eq!(at(2, 2), Progress::Nothing);
    assert_eq!(at(6, 5), Progress::Observed);
    assert_eq!(at(6, 6), Progress::Done);
    assert!(matches!(at(5, 5), Progress::Diverted(_)));
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
