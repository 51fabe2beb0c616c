//! The writes, what they are bound to, and what is refused.

use rolltop::{
    engine::{Patch, Plan, Progress},
    intent::{Intent, Verb},
    model::Severity,
};
use serde_json::{Value, json};

use super::kit::{Scene, flipped, scene, waiting};

fn ops(plan: &Plan) -> Vec<(String, Vec<Value>)> {
    plan.writes
        .iter()
        .map(|w| {
            let Patch::Json(ops) = &w.patch;
            (w.name.to_string(), ops.clone())
        })
        .collect()
}

fn dangers(scene: &Scene, intent: &Intent) -> Vec<String> {
    let plan = scene.plan(intent).unwrap();
    plan.warnings.iter().filter(|n| n.severity == Severity::Danger).map(|n| n.text.to_string()).collect()
}

const SERVICE: &str = "094d86d1-719a-4593-8ee8-2e7d82371949";
const BLUE: &str = "d0cfb37a-7664-4666-9436-83081c400594";

fn flip(from: &str, to: &str) -> Vec<(String, Vec<Value>)> {
    let ops = vec![
        json!({"op": "test", "path": "/metadata/uid", "value": SERVICE}),
        json!({"op": "test", "path": "/spec/selector", "value": {"app": "app", "color": from}}),
        json!({"op": "test", "path": "/spec/selector/color", "value": from}),
        json!({"op": "add", "path": "/spec/selector/color", "value": to}),
    ];
    vec![("app".into(), ops)]
}

#[test]
fn a_flip_is_one_conditional_write_in_both_directions() {
    let (there, back) = (waiting().plan(&Intent::Flip).unwrap(), flipped().plan(&Intent::Flip).unwrap());
    assert_eq!(ops(&there), flip("blue", "green"));
    assert_eq!(ops(&back), flip("green", "blue"));
    assert!(there.warnings.is_empty() && back.warnings.is_empty(), "{:?} {:?}", there.warnings, back.warnings);
    let after = waiting().apply(&there).unwrap();
    // The recorded object after a real flip, less what the server counts.
    assert_eq!(after.root().value()["spec"], scene("after-flip").root().value()["spec"]);
    assert!(after.apply(&there).is_err(), "the second press finds another selector");
    assert_eq!(waiting().progress(&there), Progress::Nothing);
    assert_eq!(after.progress(&there), Progress::Done);
}

#[test]
fn a_flip_is_lost_to_whoever_was_faster() {
    let plan = waiting().plan(&Intent::Flip).unwrap();
    for changed in [
        waiting().with("app", |s| s["metadata"]["uid"] = "another".into()),
        waiting().with("app", |s| s["spec"]["selector"]["color"] = "green".into()),
        waiting().with("app", |s| s["spec"]["selector"]["tier"] = "front".into()),
    ] {
        assert!(changed.apply(&plan).is_err());
    }
}

#[test]
fn keys_with_slashes_are_escaped() {
    let text = serde_json::to_string(&waiting().items).unwrap().replace("\"color\":", "\"app.kubernetes.io/version\":");
    let scene = Scene { items: serde_json::from_str(&text).unwrap() };
    let after = scene.apply(&scene.plan(&Intent::Flip).unwrap()).unwrap();
    assert_eq!(after.root().value()["spec"]["selector"], json!({"app": "app", "app.kubernetes.io/version": "green"}));
}

#[test]
fn nobody_is_sent_to_nothing() {
    for (scene, reason) in [
        (waiting().pods("app-green", 0, 0), "green is scaled to 0: users would get nothing"),
        (waiting().pods("app-green", 2, 0), "none of green's 2 pods is ready: users would get nothing"),
        (flipped().pods("app-blue", 0, 0), "blue is scaled to 0: users would get nothing"),
        (
            waiting().with("app-green", |d| d["metadata"]["deletionTimestamp"] = "2026-11-21T04:00:00Z".into()),
            "Deployment app-green is being deleted",
        ),
        (waiting().with("app", |s| s["metadata"]["deletionTimestamp"] = "2026-11-21T04:00:00Z".into()), "the Service is being deleted"),
    ] {
        assert_eq!(scene.plan(&Intent::Flip).map(|p| p.sentence).unwrap_err().reason.to_string(), reason);
    }
}

#[test]
fn what_needs_an_override() {
    let flip = Intent::Flip;
    assert_eq!(dangers(&waiting().pods("app-green", 2, 1), &flip).len(), 2, "not ready, and smaller");
    assert_eq!(dangers(&waiting().pods("app-green", 1, 1), &flip), ["green is smaller than blue: 1 ready pod for the load of 2"]);
    let rolling = waiting().with("app-green", |d| d["metadata"]["generation"] = 2.into());
    assert_eq!(dangers(&rolling, &flip), ["green is still rolling out: its pods are not all of its newest template"]);
    let portless = waiting().with("app-green", |d| d["spec"]["template"]["spec"]["containers"][0]["ports"][0]["name"] = "web".into());
    assert_eq!(dangers(&portless, &flip), ["green has no port named http: the Service would have no endpoints"]);
    assert!(dangers(&waiting().pods("app-blue", 2, 0), &flip).is_empty(), "out of an outage nothing stands in the way");
}

#[test]
fn promote_goes_forward_and_abort_goes_back() {
    assert_eq!(ops(&waiting().plan(&Intent::Promote).unwrap()), flip("blue", "green"));
    assert_eq!(ops(&flipped().plan(&Intent::Abort).unwrap()), flip("green", "blue"));
    assert_eq!(flipped().plan(&Intent::Promote).unwrap_err().try_verb, Some(Verb::Flip));
    assert_eq!(waiting().plan(&Intent::Abort).unwrap_err().try_verb, Some(Verb::ScaleDown));
    for intent in [
        Intent::Pause,
        Intent::Resume,
        Intent::Skip,
        Intent::PromoteFull,
        Intent::Retry,
        Intent::Undo { to: None },
        Intent::SetWeight { percent: 10 },
    ] {
        assert!(waiting().plan(&intent).is_err(), "{intent:?}");
    }
}

#[test]
fn only_the_side_without_users_is_scaled_down() {
    let plan = flipped().plan(&Intent::ScaleDown).unwrap();
    let tests_only = vec![
        json!({"op": "test", "path": "/metadata/uid", "value": SERVICE}),
        json!({"op": "test", "path": "/spec/selector", "value": {"app": "app", "color": "green"}}),
    ];
    let empty = vec![
        json!({"op": "test", "path": "/metadata/uid", "value": BLUE}),
        json!({"op": "test", "path": "/spec/template/metadata/labels", "value": {"app": "app", "color": "blue"}}),
        json!({"op": "test", "path": "/spec/replicas", "value": 2}),
        json!({"op": "add", "path": "/spec/replicas", "value": 0}),
    ];
    assert_eq!(ops(&plan), [("app".to_owned(), tests_only), ("app-blue".to_owned(), empty)]);
    assert!(waiting().apply(&plan).is_err(), "users were sent back to blue meanwhile: it keeps its pods");
    assert!(flipped().pods("app-blue", 3, 3).apply(&plan).is_err());
    let after = flipped().apply(&plan).unwrap();
    assert_eq!(flipped().progress(&plan), Progress::Nothing);
    assert_eq!(after.progress(&plan), Progress::Observed);
    assert_eq!(after.pods("app-blue", 0, 0).progress(&plan), Progress::Done);
    assert!(matches!(waiting().progress(&plan), Progress::Diverted(_)));
}

#[test]
fn the_last_way_out_is_not_scaled_down() {
    let outage = flipped().pods("app-green", 2, 0).plan(&Intent::ScaleDown).unwrap_err();
    assert_eq!(
        (outage.reason.to_string().as_str(), outage.try_verb),
        ("green has no ready pod: blue is the only way back", Some(Verb::Flip))
    );
    assert!(flipped().pods("app-blue", 0, 0).plan(&Intent::ScaleDown).is_err());
    let internal = flipped().service("app-internal", json!({"app": "app", "color": "blue"}));
    assert_eq!(internal.plan(&Intent::ScaleDown).unwrap_err().reason.to_string(), "Service app-internal still sends users to blue");
    assert_eq!(dangers(&flipped().pods("app-green", 2, 1), &Intent::ScaleDown).len(), 1);
    let unused = waiting().plan(&Intent::ScaleDown).unwrap();
    assert!(unused.warnings.iter().any(|n| n.text.contains("which users have not had yet")));
}

fn image(image: &str) -> Intent {
    Intent::SetImage { container: "app".into(), image: image.into() }
}

/// Another image, a restart and more pods are for the side without users, and only while it has none.
#[test]
fn the_side_without_users_is_filled_restarted_and_sized() {
    for (intent, changed) in [
        (image("app:v3"), "/spec/template/spec/containers/0/image"),
        (Intent::Restart, "/spec/template/metadata/annotations"),
        (Intent::Scale { replicas: 5 }, "/spec/replicas"),
    ] {
        let scene = waiting();
        let plan = scene.plan(&intent).unwrap_or_else(|r| panic!("{intent:?}: {r:?}"));
        let written: Vec<String> = ops(&plan).into_iter().map(|(name, _)| name).collect();
        assert_eq!(written, ["app", "app-green"], "{intent:?}");
        let tests_only = ops(&plan)[0].1.iter().all(|op| op["op"] == "test");
        let changes: Vec<Value> = ops(&plan)[1].1.iter().filter(|op| op["op"] != "test").map(|op| op["path"].clone()).collect();
        assert!(tests_only && changes == [changed], "{intent:?}: {changes:?}");
        assert!(flipped().apply(&plan).is_err(), "{intent:?}: users are there by now");
        let elsewhere = |change: fn(&mut Value)| waiting().with("app-green", change).apply(&plan).is_err();
        assert!(elsewhere(|d| d["metadata"]["uid"] = "another".into()), "{intent:?}");
        assert!(elsewhere(|d| d["spec"]["template"]["metadata"]["labels"]["color"] = "red".into()), "{intent:?}");
        let scales = intent == Intent::Scale { replicas: 5 };
        assert_eq!(elsewhere(|d| d["spec"]["replicas"] = 3.into()), scales, "{intent:?}: its size is an autoscaler's to change");
        let after = scene.apply(&plan).unwrap();
        assert!(after.apply(&plan).is_err(), "{intent:?} can be sent twice");
        assert_eq!(scene.progress(&plan), Progress::Nothing);
        assert_ne!(after.progress(&plan), Progress::Nothing);
    }
    let grown = waiting().plan(&Intent::Scale { replicas: 5 }).unwrap();
    assert_eq!(waiting().pods("app-green", 5, 4).progress(&grown), Progress::Observed);
    assert_eq!(waiting().pods("app-green", 5, 5).progress(&grown), Progress::Done);
    assert!(matches!(waiting().pods("app-green", 3, 3).progress(&grown), Progress::Diverted(_)));
    assert_eq!(waiting().plan(&Intent::Scale { replicas: 0 }).unwrap_err().try_verb, Some(Verb::ScaleDown));
    for none in [image("app:v2"), image("no image"), Intent::Scale { replicas: 2 }] {
        assert!(waiting().plan(&none).is_err(), "{none:?}");
    }
    assert!(waiting().pods("app-green", 0, 0).plan(&Intent::Restart).is_err());
    let empty = waiting().pods("app-green", 0, 0).plan(&image("app:v3")).unwrap();
    assert!(empty.warnings.iter().any(|n| n.text.contains("has no pods")), "{:?}", empty.warnings);
}

#[test]
fn another_image_than_expected_needs_an_override() {
    let foreign = waiting().image("app-green", "r.example/billing:v2");
    assert_eq!(dangers(&foreign, &Intent::Flip), ["green holds billing:v2, which is no version of what blue holds: app:v1"]);
    assert!(dangers(&waiting().image("app-green", "app@sha256:aa"), &Intent::Flip).is_empty());
    // One that came while the card was read is another plan: the card says so and asks again.
    let (before, after) = (waiting().plan(&Intent::Flip).unwrap(), waiting().image("app-green", "app:v3").plan(&Intent::Flip).unwrap());
    assert_ne!(before.sentence, after.sentence);
}

/// When the flip was, only the Service's last writer tells.
fn flipped_at(time: &str) -> Scene {
    let field = json!([{"manager": "rolltop", "operation": "Update", "apiVersion": "v1", "time": time, "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:selector": {}}}}]);
    flipped().with("app", |s| s["metadata"]["managedFields"] = field)
}

#[test]
fn the_old_side_is_kept_until_the_new_one_has_soaked() {
    let told = |scene: &Scene| dangers(scene, &Intent::ScaleDown);
    let early = flipped_at("2026-11-21T04:56:00Z");
    assert_eq!(told(&early), ["users are on green for less than 10m: 6m are left in which blue can be flipped back to"]);
    assert_eq!(early.model().next.at.map(|t| t.to_rfc3339()).as_deref(), Some("2026-11-21T05:06:00+00:00"));
    assert!(told(&flipped_at("2026-11-21T04:49:59Z")).is_empty());
    let soak = |text: &'static str| early.clone().with("app", |s| s["metadata"]["annotations"] = json!({"rolltop.dev/soak": text}));
    assert!(told(&soak("3m")).is_empty());
    assert_eq!(told(&soak("1h")), ["users are on green for less than 1h: 56m are left in which blue can be flipped back to"]);
    assert_eq!(told(&soak("a while")).len(), 1, "what cannot be read is the default");
    assert!(early.plan(&Intent::Flip).unwrap().warnings.is_empty(), "the way back is never held up");
    let unused = waiting().with("app", |s| s["metadata"]["managedFields"] = early.items[0]["metadata"]["managedFields"].clone());
    assert!(told(&unused).is_empty(), "users have not been there: nothing soaks");
}

fn autoscaler(of: &str, min: u32, max: u32) -> Value {
    json!({"kind": "HorizontalPodAutoscaler", "metadata": {"namespace": "shop", "name": format!("{of}-hpa"), "uid": format!("hpa of {of}")},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": of}, "minReplicas": min, "maxReplicas": max}})
}

#[test]
fn autoscalers_of_the_sides_are_named() {
    let small = waiting().plus(autoscaler("app-green", 1, 1));
    assert_eq!(dangers(&small, &Intent::Flip), ["HPA app-green-hpa (1 to 1 pods) lets green grow to fewer pods than blue has ready: 2"]);
    let fits = waiting().plus(autoscaler("app-green", 1, 9));
    assert!(dangers(&fits, &Intent::Flip).is_empty());
    let words = |intent| fits.plan(&intent).unwrap().warnings.iter().map(|n| n.text.to_string()).collect::<Vec<_>>();
    assert_eq!(
        words(Intent::Scale { replicas: 4 }),
        ["HPA app-green-hpa (1 to 9 pods) sets the number of pods: without users it shrinks green again"]
    );
    assert_eq!(words(Intent::Scale { replicas: 12 }), ["HPA app-green-hpa (1 to 9 pods) sets the number of pods: it takes this back to 9"]);
    let old = flipped().plus(autoscaler("app-blue", 1, 9)).plan(&Intent::ScaleDown).unwrap();
    assert!(old.warnings.iter().any(|n| n.text.contains("switched off for as long as there are no pods")), "{:?}", old.warnings);
    assert!(fits.model().notices.iter().any(|n| n.text.contains("sets the number of pods of green")));
}
