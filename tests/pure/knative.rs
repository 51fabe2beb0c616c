//! The Knative engine against Services as Knative Serving writes them.

// Helpers outside a `#[test]` may fail loudly too.
#![allow(clippy::unwrap_used)]

use rolltop::{
    engine::{Engine, Progress, knative::KNATIVE},
    intent::{Intent, Verb as V},
    model::{Phase as P, Role, Severity, WaitFor as W},
};
use serde_json::{Value, json};

use crate::kit::{Picture, Scene, allows, apply, changed, holds_once, list, never_panics, object, ops, reads_like};

const ENGINE: &dyn Engine = &KNATIVE;

const NAMES: [&str; 11] =
    ["split", "pinned", "follows", "by-name", "starting", "failed", "shifting", "programming", "broken", "unobserved", "deleting"];

fn with(items: Vec<Value>, change: impl FnOnce(&mut Value)) -> Vec<Value> {
    changed(ENGINE, items, change)
}

fn by_name(name: &str, percent: u32) -> Value {
    json!({"revisionName": name, "latestRevision": false, "percent": percent})
}

/// What is asked for is what the route does, unless `live` says otherwise.
fn service(traffic: &[Value], live: &[(&str, u32)], created: &str) -> Vec<Value> {
    let live: Vec<Value> =
        live.iter().map(|(name, percent)| json!({"revisionName": name, "percent": percent, "latestRevision": false})).collect();
    let template = json!({"metadata": {}, "spec": {"containers": [{"name": "app", "image": "app:v2"}]}});
    let metadata = json!({"namespace": "shop", "name": "web", "uid": "k1", "generation": 4});
    let status = json!({
        "observedGeneration": 4, "latestReadyRevisionName": "web-2", "latestCreatedRevisionName": created, "traffic": live,
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "ConfigurationsReady", "status": "True"}, {"type": "RoutesReady", "status": "True"}],
    });
    vec![json!({"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": metadata,
        "spec": {"template": template, "traffic": traffic}, "status": status})]
}

fn revision(name: &str, image: &str, at: u32, ready: &str) -> Value {
    json!({"apiVersion": "serving.knative.dev/v1", "kind": "Revision",
        "metadata": {"namespace": "shop", "name": name, "uid": format!("uid {name}"), "generation": 1,
            "creationTimestamp": format!("2026-11-21T03:0{at}:00Z"), "labels": {"serving.knative.dev/service": "web"}},
        "spec": {"containers": [{"name": "app", "image": image}]},
        "status": {"conditions": [{"type": "Ready", "status": ready, "message": "container exited"}]}})
}

fn is(root: &mut Value, kind: &str, status: &str) {
    let all = root["status"]["conditions"].as_array_mut().unwrap();
    let c = all.iter_mut().find(|c| c["type"] == kind).unwrap();
    c["status"] = status.into();
    c["message"] = "it went wrong".into();
}

fn fails(root: &mut Value, kind: &str) {
    is(root, kind, "False");
}

fn items(name: &str) -> Vec<Value> {
    let latest = json!({"latestRevision": true, "percent": 100});
    let mut all = match name {
        "split" => service(&[by_name("web-1", 80), by_name("web-2", 20)], &[("web-1", 80), ("web-2", 20)], "web-2"),
        "pinned" => service(&[by_name("web-1", 100)], &[("web-1", 100)], "web-2"),
        "follows" => service(&[latest], &[("web-2", 100)], "web-2"),
        "by-name" => service(&[by_name("web-2", 100)], &[("web-2", 100)], "web-2"),
        "starting" => service(&[latest], &[("web-2", 100)], "web-3"),
        "failed" => with(service(&[latest], &[("web-2", 100)], "web-3"), |s| fails(s, "ConfigurationsReady")),
        "shifting" => service(&[by_name("web-1", 80), by_name("web-2", 20)], &[("web-1", 100)], "web-2"),
        "programming" => with(items("split"), |s| is(s, "RoutesReady", "Unknown")),
        "broken" => with(service(&[by_name("web-1", 80), by_name("web-2", 20)], &[("web-1", 100)], "web-2"), |s| fails(s, "RoutesReady")),
        "unobserved" => with(items("split"), |s| s["metadata"]["generation"] = 5.into()),
        "deleting" => with(items("split"), |s| s["metadata"]["deletionTimestamp"] = "2026-11-21T03:22:31Z".into()),
        _ => unreachable!("no scene {name}"),
    };
    all.truncate(1);
    all.extend([revision("web-1", "app:v1", 1, "True"), revision("web-2", "app:v2", 2, "True")]);
    all
}

/// Revisions are of a kind only this engine knows.
fn scene_of(all: &[Value]) -> Scene {
    let mut scene = Scene::of(ENGINE, &all[..1]);
    all[1..].iter().for_each(|r| scene.objects.put(object(&rolltop::engine::knative::REVISION, r)));
    scene
}

fn scene(name: &str) -> Scene {
    scene_of(&items(name))
}

/// Scene; phase; who is waited for; part of the detail; the way back; what happens next; the new side's share.
type Case = (&'static str, P, Option<W>, &'static str, Option<V>, &'static str, Option<f64>);

const CASES: &[Case] = &[
    ("split", P::Waiting, Some(W::Human), "20 % of the users are on web-2", Some(V::Abort), "until someone sets a weight", Some(0.2)),
    ("pinned", P::Paused, Some(W::Human), "web-2 has no users", None, "until someone", Some(0.0)),
    ("follows", P::Healthy, None, "all users are on web-2", Some(V::Undo), "gets all users when it is ready", None),
    ("by-name", P::Healthy, None, "all users are on web-2", Some(V::Undo), "gets no users until", None),
    ("starting", P::Progressing, Some(W::Pods), "web-3 is starting", None, "all users go to the new revision", Some(0.0)),
    ("failed", P::Failing, Some(W::Human), "web-3 does not get ready", None, "users stay where they are", Some(0.0)),
    ("shifting", P::Progressing, Some(W::Controller), "being moved", Some(V::Abort), "follows what is asked", Some(0.0)),
    // The status has the shares before the ingress has them.
    ("programming", P::Progressing, Some(W::Controller), "being moved", Some(V::Abort), "follows what is asked", Some(0.2)),
    ("broken", P::Failing, Some(W::Human), "route is not ready", Some(V::Abort), "keeps trying", Some(0.0)),
    ("unobserved", P::Progressing, Some(W::Controller), "to be observed", None, "newest change", Some(0.2)),
    ("deleting", P::Progressing, Some(W::Controller), "being deleted", None, "removed", Some(0.2)),
];

#[test]
fn every_scene_reads_like_this() {
    for (name, phase, wait, detail, back, next, share) in CASES {
        let ro = scene(name).model();
        reads_like(name, &ro, (*phase, *wait, detail, *back, next));
        assert_eq!(ro.new_side().and_then(|t| t.traffic.applied), *share, "{name}");
        let sum: f64 = ro.tracks.iter().filter_map(|t| t.traffic.applied).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{name}: {:?}", ro.tracks);
        assert!(ro.detailed && ro.track(Role::Stable).is_some(), "{name}");
    }
    assert_eq!(CASES.iter().map(|c| c.0).collect::<Vec<_>>(), NAMES);
}

#[test]
fn every_write_is_the_whole_list_and_holds_once() {
    let all_to = |name: &str| format!("[{}]", by_name(name, 100));
    let cases = [
        ("split", Intent::Promote, all_to("web-2")),
        ("split", Intent::PromoteFull, all_to("web-2")),
        ("split", Intent::SetWeight { percent: 50 }, format!("[{},{}]", by_name("web-2", 50), by_name("web-1", 50))),
        ("pinned", Intent::SetWeight { percent: 5 }, format!("[{},{}]", by_name("web-2", 5), by_name("web-1", 95))),
        ("split", Intent::Abort, all_to("web-1")),
        ("shifting", Intent::Abort, all_to("web-1")),
        ("follows", Intent::Pause, all_to("web-2")),
        ("by-name", Intent::Resume, r#"[{"latestRevision":true,"percent":100}]"#.into()),
    ];
    for (name, intent, list) in cases {
        let (plan, after) = holds_once(ENGINE, &items(name)[..1], &intent);
        assert_eq!(ops(&plan), [format!("add /spec/traffic {list}")], "{name} {intent:?}");
        let sum: i64 = after[0]["spec"]["traffic"].as_array().unwrap().iter().filter_map(|t| t["percent"].as_i64()).sum();
        assert_eq!(sum, 100, "{name} {intent:?}");
        assert_eq!(scene_of(&after).progress(&plan), Progress::Observed, "{name} {intent:?}: written is not done");
    }
    let undo = scene("follows").plan(&Intent::Undo { to: Some("web-1".into()) }).unwrap();
    assert_eq!(ops(&undo), [format!("add /spec/traffic {}", all_to("web-1"))]);
    let (plan, _) = holds_once(ENGINE, &items("split")[..1], &Intent::Promote);
    let newer = with(items("split"), |s| s["status"]["latestReadyRevisionName"] = "web-9".into());
    assert!(apply(ENGINE, &newer, &plan).is_err(), "another revision is the latest");
}

/// A tag is an address: it survives every move, and carries a share where it names the revision.
#[test]
fn tags_stay() {
    let tagged = with(items("split"), |s| {
        s["spec"]["traffic"] = json!([
            {"tag": "prod", "revisionName": "web-1", "percent": 80},
            {"revisionName": "web-2", "percent": 20},
            {"tag": "next", "latestRevision": true, "percent": 0},
        ]);
    });
    let (_, after) = holds_once(ENGINE, &tagged[..1], &Intent::SetWeight { percent: 30 });
    assert_eq!(
        after[0]["spec"]["traffic"],
        json!([
            {"tag": "prod", "revisionName": "web-1", "latestRevision": false, "percent": 70},
            {"tag": "next", "latestRevision": true, "percent": 0},
            by_name("web-2", 30),
        ])
    );
}

/// With a revision's own name in the template Knative would refuse another image.
#[test]
fn a_new_image_is_a_new_revision() {
    let (plan, after) = holds_once(ENGINE, &items("follows")[..1], &Intent::SetImage { container: "app".into(), image: "app:v3".into() });
    assert_eq!(ops(&plan), ["add /spec/template/spec/containers/0/image \"app:v3\""]);
    assert!(plan.sentence.contains("gets all users as soon as it is ready"), "{}", plan.sentence);
    assert!(apply(ENGINE, &after, &plan).is_err());
    let named = with(items("by-name"), |s| s["spec"]["template"]["metadata"]["name"] = "web-2".into());
    let (plan, _) = holds_once(ENGINE, &named[..1], &Intent::SetImage { container: "app".into(), image: "app:v3".into() });
    assert_eq!(ops(&plan).len(), 2, "{:?}", ops(&plan));
    assert!(plan.sentence.contains("gets no users until someone promotes"), "{}", plan.sentence);
}

#[test]
fn what_is_allowed_when() {
    let cases: [(&str, &[V]); 11] = [
        ("split", &[V::Promote, V::PromoteFull, V::Abort, V::Undo, V::SetImage, V::SetWeight]),
        ("pinned", &[V::Promote, V::PromoteFull, V::SetImage, V::SetWeight]),
        ("follows", &[V::Pause, V::Undo, V::SetImage]),
        ("by-name", &[V::Resume, V::Undo, V::SetImage]),
        ("starting", &[V::Pause, V::Undo, V::SetImage]),
        ("failed", &[V::Pause, V::Undo, V::SetImage]),
        ("shifting", &[V::Abort, V::SetImage]),
        ("programming", &[V::Abort, V::Undo, V::SetImage]),
        ("broken", &[V::Abort, V::SetImage]),
        ("unobserved", &[]),
        ("deleting", &[]),
    ];
    allows(scene, &NAMES, &cases);
}

#[test]
fn a_route_that_did_it_is_done_and_one_that_cannot_is_not() {
    let plan = scene("split").plan(&Intent::Promote).unwrap();
    let at = |live: &[(&str, u32)], broken: bool| {
        let mut all = service(&[by_name("web-2", 100)], live, "web-2");
        all = with(all, |s| {
            s["metadata"]["generation"] = 5.into();
            s["status"]["observedGeneration"] = 5.into();
            if broken {
                fails(s, "RoutesReady");
            }
        });
        Scene::of(ENGINE, &all).progress(&plan)
    };
    assert_eq!(at(&[("web-1", 80), ("web-2", 20)], false), Progress::Observed);
    assert_eq!(at(&[("web-2", 100)], false), Progress::Done);
    assert!(matches!(at(&[("web-1", 100)], true), Progress::Diverted(_)));
    assert_eq!(scene("split").progress(&plan), Progress::Nothing);
}

#[test]
fn no_pods_because_nobody_asks_is_no_trouble() {
    let resting = scene("follows").model();
    assert!(resting.is_scaled_to_zero(&resting.tracks[0]) && resting.detailed, "{:?}", resting.tracks);
}

#[test]
fn what_is_wrong_is_told() {
    let says = |all: &[Value], words: &str| {
        let notices = scene_of(all).model().notices;
        assert!(notices.iter().any(|n| n.text.contains(words)), "{notices:?}");
    };
    says(&items("failed"), "users never met it: it went wrong");
    says(&items("broken"), "the route is not ready: it went wrong");
    says(&items("by-name"), "pinned by name");
    says(&with(items("split"), |s| s["spec"]["traffic"][0]["percent"] = 70.into()), "add up to 90 %");
    let mut sick = items("follows");
    sick[1] = revision("web-1", "app:v1", 1, "False");
    let plan = scene_of(&sick).plan(&Intent::Undo { to: Some("web-1".into()) }).unwrap();
    assert_eq!(plan.warnings.first().map(|n| n.severity), Some(Severity::Danger), "an unready revision must be confirmed");
}

/// Knative does nothing of a list in which one revision, if only under a tag, is not ready: an abort must not stop at that.
#[test]
fn an_abort_takes_the_tags_with_it_that_would_hold_users_where_they_are() {
    let mut sick = items("split");
    sick[2] = revision("web-2", "app:v2", 2, "False");
    let tagged = |all: Vec<Value>| {
        with(all, |s| {
            let tags = [
                json!({"tag": "next", "latestRevision": true, "percent": 0}),
                json!({"tag": "old", "revisionName": "web-1", "percent": 0}),
            ];
            s["spec"]["traffic"].as_array_mut().unwrap().extend(tags);
        })
    };
    assert!(scene_of(&sick).plan(&Intent::Abort).unwrap().warnings.is_empty(), "the list names it no more");
    let plan = scene_of(&tagged(sick.clone())).plan(&Intent::Abort).unwrap();
    let old = json!({"tag": "old", "revisionName": "web-1", "latestRevision": false, "percent": 100});
    assert_eq!(ops(&plan), [format!("add /spec/traffic [{old}]")]);
    assert!(plan.changes.iter().any(|c| c.field.contains("tag next") && c.to.contains("removed")), "{:?}", plan.changes);
    assert!(plan.warnings.iter().any(|w| w.severity == Severity::Warning && w.text.contains("web-2 is not ready")), "{:?}", plan.warnings);
    // The fleet knows no revisions, and what the Service says of its latest.
    let far = with(tagged(sick.clone())[..1].to_vec(), |s| fails(s, "ConfigurationsReady"));
    assert_eq!(ops(&scene_of(&far).plan(&Intent::Abort).unwrap()), ops(&plan));
    // Who asks for a share keeps the addresses, and is told.
    let weight = scene_of(&tagged(sick)).plan(&Intent::SetWeight { percent: 50 }).unwrap();
    assert!(weight.warnings.iter().any(|w| w.severity == Severity::Danger && w.text.contains("no user is moved")), "{:?}", weight.warnings);
    assert!(ops(&scene_of(&tagged(items("split"))).plan(&Intent::Abort).unwrap())[0].contains("next"), "one that is ready stays");
}

/// As Knative Serving 0.47's own controllers left it, users on their way.
#[test]
fn what_was_recorded_reads_like_this() {
    type Told = (&'static str, Picture<'static>, &'static [(&'static str, f64)]);
    const SCENES: [Told; 5] = [
        ("failed", (P::Failing, Some(W::Human), "web-00003 does not get ready", None, "users stay"), &[("web-00001", 1.0)]),
        (
            "programming",
            (P::Progressing, Some(W::Controller), "being moved", Some(V::Abort), "follows"),
            &[("web-00001", 0.8), ("web-00004", 0.2)],
        ),
        (
            "split",
            (P::Waiting, Some(W::Human), "20 % of the users", Some(V::Abort), "until someone"),
            &[("web-00001", 0.8), ("web-00004", 0.2)],
        ),
        ("gradual", (P::Progressing, Some(W::Controller), "being moved", Some(V::Abort), "follows"), &[]),
        ("aborted", (P::Paused, Some(W::Human), "web-00005 has no users", None, "until someone"), &[("web-00004", 1.0)]),
    ];
    for (name, picture, shares) in SCENES {
        let all = list(&format!("knative/{name}"));
        let (revisions, others): (Vec<Value>, Vec<Value>) = all.into_iter().partition(|item| item["kind"] == "Revision");
        let mut scene = Scene::of(ENGINE, &others);
        revisions.iter().for_each(|r| scene.objects.put(object(&rolltop::engine::knative::REVISION, r)));
        let ro = scene.model();
        reads_like(name, &ro, picture);
        for (revision, share) in shares {
            let track = ro.tracks.iter().find(|t| *t.hash == **revision).unwrap_or_else(|| panic!("{name}: no {revision}"));
            assert_eq!((track.traffic.applied, track.ready > 0), (Some(*share), true), "{name}: {revision}");
        }
        let live: f64 = ro.tracks.iter().filter_map(|t| t.traffic.applied).sum();
        assert!((live - 1.0).abs() < 1e-9, "{name}: {:?}", ro.tracks);
    }
}

/// With a mesh every revision is a Deployment of its own.
#[test]
fn the_sides_are_found_in_a_mesh() {
    let of = |name: &str| {
        let subject = scene(name).model().subject;
        (subject.stable_workload.map(|w| w.to_string()), subject.canary_workload.map(|w| w.to_string()))
    };
    assert_eq!(of("split"), (Some("web-1-deployment".into()), Some("web-2-deployment".into())));
    assert_eq!(of("follows"), (Some("web-2-deployment".into()), None));
}

#[test]
fn what_kserve_makes_is_kserves() {
    let owner = json!([{"kind": "InferenceService", "name": "m", "uid": "m", "controller": true}]);
    let owned = Scene::of(ENGINE, &with(items("split")[..1].to_vec(), |s| s["metadata"]["ownerReferences"] = owner));
    assert!(ENGINE.parts(&owned.root, &owned.objects).is_none());
    assert!(ENGINE.parts(&scene("split").root, &scene("split").objects).is_some());
}

#[test]
fn no_object_is_too_odd() {
    never_panics(ENGINE, &items("split"));
    never_panics(ENGINE, &items("failed"));
}

/// A Deployment as the fleet's list has it.
fn deployment(revision: &str, replicas: u32, ready: u32) -> Value {
    let metadata = json!({"namespace": "shop", "name": format!("{revision}-deployment"), "uid": format!("uid {revision}"),
        "labels": {"serving.knative.dev/revision": revision}});
    let spec = json!({"replicas": replicas, "template": {"spec": {"containers": []}}});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec,
        "status": {"replicas": replicas, "readyReplicas": ready}})
}

#[test]
fn ready_pods_are_counted_without_opening_it() {
    let closed = |name: &str, more: &[Value]| Scene::of(ENGINE, &[&items(name)[..1], more].concat());
    let ready = |name: &str, more: &[Value]| closed(name, more).model().ready_to_watch();
    let both = [deployment("web-1", 4, 4), deployment("web-2", 2, 1)];
    assert_eq!((ready("split", &[]), ready("split", &both), ready("pinned", &both)), (None, Some((1, 2)), Some((1, 2))));
    assert_eq!(ready("follows", &both), Some((1, 2)));
    let resting = closed("follows", &[deployment("web-2", 0, 0)]).model();
    assert!(resting.is_scaled_to_zero(&resting.tracks[0]) && !resting.detailed);
    let scene = closed("split", &both);
    let parts: Vec<_> = ENGINE.parts(&scene.root, &scene.objects).unwrap().into_iter().map(|p| p.name.to_string()).collect();
    assert_eq!(parts, ["web-1-deployment", "web-2-deployment"]);
    // The open one counts by its replica sets, which are of the same moment as its pods.
    let mut set = deployment("web-2", 3, 3);
    set["kind"] = "ReplicaSet".into();
    let opened = closed("split", &[both.to_vec(), vec![set]].concat());
    assert_eq!(opened.model().ready_to_watch(), Some((3, 3)));
}
