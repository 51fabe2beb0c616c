//! The engine of two Deployments behind one Service.

// Helpers outside a `#[test]` may fail loudly too.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use rolltop::{
    cluster::decode,
    engine::{ENGINES, Engine, Patch, Plan, Progress, Refusal, ratio::RATIO, survey},
    intent::{Intent, Verb},
    model::{EngineKind, Notice, Phase, Role, Rollout, Severity},
    object::{Object, Objects, Resource, kinds},
};
use serde_json::{Value, json};

static KINDS: [&Resource; 4] = [&kinds::SERVICE, &kinds::DEPLOYMENT, &kinds::AUTOSCALER, &kinds::POD];

#[derive(Debug, Clone)]
struct Scene(Vec<Value>);

/// Service `web` in front of `web-stable` with v1 and `web-canary` with v2.
fn scene(stable: u32, canary: u32) -> Scene {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/split/workloads.json");
    let list: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let items = list["items"].as_array().unwrap().iter().filter(|i| i["kind"] == "Deployment" || i["metadata"]["name"] == "web");
    Scene(items.cloned().collect()).pods("web-stable", stable, stable).pods("web-canary", canary, canary)
}

impl Scene {
    fn with(mut self, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        change(self.0.iter_mut().find(|i| i["metadata"]["name"] == name).unwrap());
        self
    }

    fn pods(self, name: &str, wanted: u32, ready: u32) -> Self {
        self.with(name, |d| {
            d["spec"]["replicas"] = wanted.into();
            for count in ["replicas", "updatedReplicas"] {
                d["status"][count] = wanted.into();
            }
            d["status"]["readyReplicas"] = ready.into();
            d["status"]["availableReplicas"] = ready.into();
        })
    }

    fn image(self, name: &str, image: &str) -> Self {
        self.with(name, |d| d["spec"]["template"]["spec"]["containers"][0]["image"] = image.into())
    }

    fn plus(mut self, item: Value) -> Self {
        self.0.push(item);
        self
    }

    fn objects(&self) -> Objects {
        let mut objects = Objects::default();
        for item in &self.0 {
            let kind = KINDS.iter().find(|k| item["kind"] == k.kind).unwrap();
            objects.put(decode::object(kind, item.to_string().as_bytes()).unwrap());
        }
        objects
    }

    fn root(&self) -> Object {
        (**self.objects().named(&kinds::SERVICE, "shop", "web").unwrap()).clone()
    }

    fn model(&self) -> Rollout {
        RATIO.normalise("test", &self.root(), &self.objects())
    }

    fn plan_at(&self, intent: &Intent, now: &str) -> Result<Plan, Refusal> {
        RATIO.plan(&self.model(), &self.root(), &self.objects(), intent, now.parse().unwrap())
    }

    fn plan(&self, intent: &Intent) -> Result<Plan, Refusal> {
        self.plan_at(intent, "2026-11-21T05:00:00Z")
    }

    fn refused(&self, intent: &Intent) -> (String, Option<Verb>) {
        let refusal = self.plan(intent).unwrap_err();
        (refusal.reason.to_string(), refusal.try_verb)
    }

    fn is_rollout(&self) -> bool {
        RATIO.parts(&self.root(), &self.objects()).is_some()
    }

    fn progress(&self, plan: &Plan) -> Progress {
        RATIO.progress(&plan.expect.goal, &self.model(), &self.root(), &self.objects())
    }

    /// After the writes; pods follow at once.
    fn apply(&self, plan: &Plan) -> Result<Self, String> {
        let mut after = self.clone();
        for write in &plan.writes {
            let Patch::Json(ops) = &write.patch;
            let target =
                after.0.iter_mut().find(|i| i["kind"] == write.resource.kind && i["metadata"]["name"] == write.name.as_str()).unwrap();
            // A server lets `test null` pass where nothing is.
            let absent =
                |op: &&Value| op["op"] == "test" && op["value"].is_null() && target.pointer(op["path"].as_str().unwrap()).is_none();
            let ops: Vec<&Value> = ops.iter().filter(|op| !absent(op)).collect();
            let patch: json_patch::Patch = serde_json::from_value(json!(ops)).unwrap();
            json_patch::patch(target, &patch).map_err(|e| e.to_string())?;
        }
        let counts = |scene: &Self, name: &str| {
            scene.0.iter().find(|i| i["metadata"]["name"] == name).unwrap()["spec"]["replicas"].as_u64().unwrap()
        };
        let (stable, canary) = (counts(&after, "web-stable"), counts(&after, "web-canary"));
        let small = |n: u64| u32::try_from(n).unwrap();
        Ok(after.pods("web-stable", small(stable), small(stable)).pods("web-canary", small(canary), small(canary)))
    }

    fn counts(&self) -> (u32, u32) {
        let tracks = self.model().tracks;
        (tracks[1].desired, tracks[0].desired)
    }
}

fn weight(percent: u8) -> Intent {
    Intent::SetWeight { percent }
}

fn said(notices: &[Notice], severity: Severity) -> Vec<String> {
    notices.iter().filter(|n| n.severity == severity).map(|n| n.text.to_string()).collect()
}

#[test]
fn shares_are_parts_of_the_ready_pods() {
    let model = scene(3, 1).model();
    assert_eq!((model.engine, model.phase, model.in_flight()), (EngineKind::Ratio, Phase::Waiting, true));
    let sides: Vec<_> = model.tracks.iter().map(|t| (t.role(), t.traffic.desired, t.traffic.applied, t.traffic.replica_share)).collect();
    assert_eq!(sides, [(Role::Canary, Some(0.25), Some(0.25), Some(0.25)), (Role::Stable, Some(0.75), Some(0.75), Some(0.75))]);
    let notes = said(&model.notices, Severity::Note);
    assert!(notes.contains(&"with 4 pods these shares can be had: 0, 25, 50, 75, 100 %".to_owned()), "{notes:?}");
    let starting = scene(3, 0).pods("web-canary", 1, 0).model();
    assert_eq!(
        (starting.phase, starting.tracks[0].traffic.applied, starting.tracks[0].traffic.desired),
        (Phase::Progressing, Some(0.0), Some(0.25))
    );
    for (scene, phase) in [
        (scene(4, 0), Phase::Healthy),
        (scene(0, 4), Phase::Healthy),
        (scene(0, 0), Phase::Healthy),
        (scene(3, 1).pods("web-stable", 3, 0).pods("web-canary", 1, 0), Phase::Failing),
        (scene(2, 2).image("web-canary", "registry.example/web:v1"), Phase::Healthy),
    ] {
        assert_eq!(scene.model().phase, phase, "{:?}", scene.counts());
    }
}

#[test]
fn only_two_versions_of_one_program_are_a_pair() {
    assert!(scene(3, 1).is_rollout());
    let kinds = survey::survey(ENGINES, "shop", &scene(3, 1).objects()).rollouts.into_values().collect::<Vec<_>>();
    assert_eq!(kinds, [EngineKind::Ratio], "one row, no Deployment beside it");
    let mut third = scene(3, 1).0[1].clone();
    third["metadata"]["name"] = "web-third".into();
    third["metadata"]["uid"] = "third".into();
    let owner = json!([{"apiVersion": "x/v1", "kind": "Canary", "name": "web", "uid": "u", "controller": true}]);
    for (why, none) in [
        ("three", scene(3, 1).plus(third)),
        ("another program", scene(3, 1).image("web-canary", "registry.example/worker:v2")),
        ("one is owned", scene(3, 1).with("web-canary", |d| d["metadata"]["ownerReferences"] = owner.clone())),
        ("the Service is owned", scene(3, 1).with("web", |s| s["metadata"]["ownerReferences"] = owner.clone())),
        ("the selector tells them apart", scene(3, 1).with("web", |s| s["spec"]["selector"]["track"] = "stable".into())),
        ("nothing is selected", scene(3, 1).with("web", |s| s["spec"]["selector"] = json!({}))),
        ("told so", scene(3, 1).with("web", |s| s["metadata"]["labels"] = json!({"rolltop.dev/ratio": "off"}))),
    ] {
        assert!(!none.is_rollout(), "{why}");
    }
}

#[test]
fn the_exact_writes_more_first_then_fewer() {
    let plan = scene(3, 1).plan(&weight(50)).unwrap();
    let uid = |n: u8| format!("0c1f8a10-0000-4000-8000-0000000000{n:02}");
    let mark = r#"{"phase":3,"since":"2026-11-21T05:00:00Z","weight":50,"by":"rolltop","new":"web-canary"}"#;
    let counted = |n: u8, track: &str, version: &str, from: u32, to: u32| {
        json!([
            {"op": "test", "path": "/metadata/uid", "value": uid(n)},
            {"op": "test", "path": "/spec/template/metadata/labels", "value": {"app": "web", "track": track, "version": version}},
            {"op": "test", "path": "/spec/replicas", "value": from},
            {"op": "add", "path": "/spec/replicas", "value": to},
        ])
    };
    let service = json!([
        {"op": "test", "path": "/metadata/uid", "value": uid(3)},
        {"op": "test", "path": "/spec/selector", "value": {"app": "web"}},
        {"op": "test", "path": "/metadata/annotations", "value": null},
        {"op": "add", "path": "/metadata/annotations", "value": {"rolltop/phase": mark}},
    ]);
    let wanted = [("web", service), ("web-canary", counted(12, "canary", "v2", 1, 2)), ("web-stable", counted(11, "stable", "v1", 3, 2))];
    let found: Vec<_> = plan.writes.iter().map(|w| (w.name.as_str(), serde_json::to_value(&w.patch).unwrap()["json"].clone())).collect();
    assert_eq!(found, wanted);
    let back: Vec<String> = scene(2, 2).plan(&Intent::Abort).unwrap().writes.iter().map(|w| w.name.to_string()).collect();
    assert_eq!(back, ["web", "web-stable", "web-canary"], "the way back, too");
}

#[test]
fn every_action_takes_effect_once() {
    for (intent, counts) in
        [(weight(50), (2, 2)), (weight(70), (1, 3)), (Intent::Abort, (4, 0)), (Intent::Promote, (2, 2)), (Intent::PromoteFull, (0, 4))]
    {
        let before = scene(3, 1);
        let plan = before.plan(&intent).unwrap_or_else(|r| panic!("{intent:?}: {r:?}"));
        assert_eq!(before.progress(&plan), Progress::Nothing);
        let after = before.apply(&plan).unwrap();
        assert_eq!((after.counts(), after.progress(&plan)), (counts, Progress::Done), "{intent:?}");
        assert!(after.apply(&plan).is_err(), "{intent:?} can be sent twice");
    }
    let plan = scene(3, 1).plan(&weight(70)).unwrap();
    assert_eq!(
        &*plan.sentence,
        "Makes 3 of 4 pods web-canary (web:v2) and 1 web-stable (web:v1), the nearest to 70 %: more first, then fewer."
    );
    assert_eq!(plan.capacity.as_deref(), Some("with 4 pods these shares can be had: 0, 25, 50, 75, 100 %"));
    let half = scene(3, 1).pods("web-canary", 3, 1).pods("web-stable", 1, 1);
    assert_eq!(half.progress(&plan), Progress::Observed, "wanted, not there");
    assert!(matches!(scene(1, 4).progress(&plan), Progress::Diverted(_)));
}

#[test]
fn whoever_was_faster_wins() {
    let plan = scene(3, 1).plan(&weight(50)).unwrap();
    for (what, changed) in [
        ("the selector", scene(3, 1).with("web", |s| s["spec"]["selector"]["track"] = "stable".into())),
        ("the phase", scene(3, 1).with("web", |s| s["metadata"]["annotations"] = json!({"rolltop/phase": "{}"}))),
        ("one count", scene(3, 2)),
        ("the other", scene(4, 1)),
        ("whose pods they are", scene(3, 1).with("web-canary", |d| d["spec"]["template"]["metadata"]["labels"]["app"] = "other".into())),
    ] {
        assert!(changed.apply(&plan).is_err(), "{what}");
    }
}

#[test]
fn who_fights_and_who_is_left() {
    let warned = |scene: &Scene, intent: Intent, severity| said(&scene.plan(&intent).unwrap().warnings, severity);
    let gap = |left: u32, all: u32| format!("until new pods are ready, {left} of {all} serve: fewer end before more have started");
    assert_eq!(warned(&scene(3, 1), weight(50), Severity::Warning), [gap(3, 4)]);
    assert_eq!(warned(&scene(3, 1), Intent::PromoteFull, Severity::Danger), [gap(1, 4)]);
    assert_eq!(warned(&scene(3, 2).pods("web-canary", 2, 1), weight(60), Severity::Danger), ["only 1 of 2 pods of web-canary are ready"]);
    let hpa = json!({"kind": "HorizontalPodAutoscaler", "metadata": {"namespace": "shop", "name": "web", "uid": "hpa"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web-stable"}, "minReplicas": 3, "maxReplicas": 9}});
    let scaled = scene(3, 1).plus(hpa);
    let words = "HPA web (3 to 9 pods) sets the pods of web-stable: it makes them 3 or what it thinks right";
    assert!(warned(&scaled, weight(50), Severity::Warning).contains(&words.to_owned()));
    assert_eq!(
        said(&scaled.model().notices, Severity::Warning),
        ["HPA web (3 to 9 pods) sets the number of pods of web-stable: it moves the share"]
    );
    let sticky = scene(3, 1).with("web", |s| s["spec"]["sessionAffinity"] = "ClientIP".into());
    assert_eq!(
        said(&sticky.model().notices, Severity::Warning),
        ["clients stay with one pod: the share of requests is not that of the pods"]
    );
}

#[test]
fn refusals() {
    let image = Intent::SetImage { container: "web".into(), image: "web:v3".into() };
    for (scene, intent, reason, better) in [
        (scene(3, 1), weight(20), "1 of 4 pods are of web-canary already, and that is nearest to 20 %", None),
        (scene(0, 0), weight(20), "both sides are scaled to 0", None),
        (scene(4, 0), Intent::PromoteFull, "no ready pod would be left until new ones have started", Some(Verb::SetWeight)),
        (scene(4, 0), Intent::Abort, "0 of 4 pods are of web-canary already, and that is nearest to 0 %", None),
        (scene(0, 4), Intent::Promote, "no phase goes further than 4 of 4 pods", Some(Verb::SetWeight)),
        (
            scene(3, 1).image("web-canary", "registry.example/web:v1"),
            Intent::Promote,
            "both sides hold web:v1: nothing is being released",
            Some(Verb::SetWeight),
        ),
        (scene(4, 0), Intent::Pause, "no phase is in progress", Some(Verb::Promote)),
        (scene(3, 1), Intent::Resume, "it is not paused", Some(Verb::Promote)),
        (scene(3, 1), Intent::Retry, "nothing was begun that could begin again", Some(Verb::Promote)),
        (scene(3, 1), Intent::Skip, "there are no steps to skip", Some(Verb::SetWeight)),
        (scene(3, 1), Intent::Flip, "the Service selects both sides", Some(Verb::PromoteFull)),
        (scene(3, 1), Intent::Undo { to: None }, "a Service has no earlier versions", Some(Verb::Abort)),
        (scene(3, 1), Intent::Restart, "this is done on the Deployment of the side that is meant", None),
        (scene(3, 1), image, "this is done on the Deployment of the side that is meant", None),
        (
            scene(3, 1).with("web", |s| s["metadata"]["deletionTimestamp"] = "2026-11-21T05:00:00Z".into()),
            weight(50),
            "the Service is being deleted",
            None,
        ),
    ] {
        assert_eq!(scene.refused(&intent), (reason.to_owned(), better), "{intent:?}");
    }
}

#[test]
fn phases_that_change_no_count_are_passed_over() {
    // Of four pods 5 % and 25 % are both one.
    let five = scene(4, 1).plan(&Intent::Promote).unwrap();
    assert_eq!(scene(4, 1).apply(&five).unwrap().counts(), (2, 3), "of five 20 % is the nearest to 25 %, and there already");
    let first = scene(4, 0).apply(&scene(4, 0).plan(&Intent::Promote).unwrap()).unwrap();
    assert_eq!((first.counts(), first.model().next.at), ((3, 1), Some("2026-11-21T05:05:00Z".parse().unwrap())));
    let early = first.plan_at(&Intent::Promote, "2026-11-21T05:04:00Z").unwrap();
    assert_eq!(said(&early.warnings, Severity::Danger), ["this phase should stand for 1m more"]);
    let second = first.apply(&first.plan_at(&Intent::Promote, "2026-11-21T05:06:00Z").unwrap()).unwrap();
    assert_eq!(second.counts(), (2, 2));
    let paused = second.apply(&second.plan_at(&Intent::Pause, "2026-11-21T05:07:00Z").unwrap()).unwrap();
    assert_eq!((paused.model().phase, paused.refused(&Intent::Promote).1), (Phase::Paused, Some(Verb::Resume)));
    let resumed = paused.apply(&paused.plan_at(&Intent::Resume, "2026-11-21T05:17:00Z").unwrap()).unwrap();
    assert_eq!(resumed.model().next.at, Some("2026-11-21T05:26:00Z".parse().unwrap()));
    let by_hand = resumed.pods("web-canary", 6, 6).model();
    assert_eq!(said(&by_hand.notices, Severity::Warning), ["50 % of web-canary was asked for, somebody has changed the counts since"]);
    let back = second.apply(&second.plan(&Intent::Abort).unwrap()).unwrap();
    assert_eq!((back.counts(), back.model().phase), ((4, 0), Phase::Aborted));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_counts_and_marks(stable in 0u32..50, canary in 0u32..50, ready in (0u32..60, 0u32..60), percent in 0u8..=100, mark in ".{0,40}") {
        let scene = scene(0, 0).pods("web-stable", stable, ready.0).pods("web-canary", canary, ready.1)
            .with("web", |s| s["metadata"]["annotations"] = json!({"rolltop/phase": mark}));
        let model = scene.model();
        prop_assert_eq!(model.tracks.len(), 2);
        let shares: Vec<f64> = model.tracks.iter().filter_map(|t| t.traffic.applied).collect();
        let nobody = model.tracks.iter().all(|t| t.ready == 0);
        prop_assert!(nobody && shares.is_empty() || (shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
        if let Ok(plan) = scene.plan(&weight(percent)) {
            let after = scene.apply(&plan).unwrap();
            let (old, new) = after.counts();
            prop_assert_eq!(old + new, stable + canary, "no pod more or less");
            let nearest = (f64::from(new) / f64::from(old + new) * 100.0 - f64::from(percent)).abs();
            prop_assert!(nearest <= 100.0 / f64::from(old + new), "{new} of {} for {percent} %", old + new);
        }
    }
}
