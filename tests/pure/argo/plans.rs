//! What is written: each plan accepted by the state it was made for, refused by the state after.

use rolltop::{
    engine::{Engine, Goal, Patch, Plan, Progress, argo::ARGO},
    intent::{Danger, Intent, Verb},
    model::{Severity, Text},
};
use serde_json::{Value, json};

use super::kit::{Scene, apply, changed, list, scene};

fn ops(plan: &Plan, write: usize) -> Vec<String> {
    let Patch::Json(ops) = &plan.writes[write].patch;
    ops.iter()
        .filter(|o| o["op"] != "test")
        .map(|o| format!("{} {} {}", o["op"].as_str().unwrap(), o["path"].as_str().unwrap(), o["value"]))
        .collect()
}

fn tests(plan: &Plan, write: usize) -> Vec<String> {
    let Patch::Json(ops) = &plan.writes[write].patch;
    ops.iter().filter(|o| o["op"] == "test").map(|o| o["path"].as_str().unwrap().to_owned()).collect()
}

fn undo(hash: &str) -> Intent {
    Intent::Undo { to: Some(Text::from(hash)) }
}

fn image(image: &str) -> Intent {
    Intent::SetImage { container: "app".into(), image: image.into() }
}

/// Scene, intent, and for each write where it goes and what it changes.
type Case = (&'static str, Intent, Vec<(Option<&'static str>, Vec<&'static str>)>);

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let st = Some("status");
    let end = "remove /status/pauseConditions null";
    vec![
        ("canary-router-paused-at-step", Intent::Promote, vec![(st, vec![end])]),
        ("canary-paused-at-step", Intent::Promote, vec![(st, vec![end])]),
        ("workloadref-canary-paused", Intent::Promote, vec![(st, vec![end])]),
        ("bluegreen-paused-pre-promotion", Intent::Promote, vec![(st, vec![end])]),
        ("bluegreen-paused-pre-promotion", Intent::Flip, vec![(st, vec![end])]),
        ("analysis-inconclusive", Intent::Promote, vec![(st, vec![end, "add /status/controllerPause false", "add /status/currentStepIndex 2"])]),
        ("canary-manually-paused", Intent::Promote, vec![(st, vec![end]), (None, vec!["add /spec/paused false"])]),
        ("canary-manually-paused", Intent::Resume, vec![(None, vec!["add /spec/paused false"])]),
        ("canary-deadline-exceeded", Intent::Promote, vec![(st, vec!["add /status/currentStepIndex 1"])]),
        ("analysis-running", Intent::Skip, vec![(st, vec!["add /status/currentStepIndex 2"])]),
        ("experiment-respawned-while-paused", Intent::Skip, vec![(st, vec![end, "add /status/currentStepIndex 2", "add /status/controllerPause false"])]),
        ("canary-router-paused-at-step", Intent::PromoteFull, vec![(st, vec!["add /status/promoteFull true"])]),
        ("canary-manually-paused", Intent::PromoteFull, vec![(st, vec!["add /status/promoteFull true"]), (None, vec!["add /spec/paused false"])]),
        ("canary-router-aborted", Intent::PromoteFull, vec![(st, vec!["add /status/promoteFull true"])]),
        ("canary-router-paused-at-step", Intent::Pause, vec![(None, vec!["add /spec/paused true"])]),
        ("canary-router-paused-at-step", Intent::Abort, vec![(st, vec!["add /status/abort true"])]),
        ("canary-manually-paused", Intent::Abort, vec![(st, vec!["add /status/abort true"]), (None, vec!["add /spec/paused false"])]),
        ("canary-promote-full-in-progress", Intent::Abort, vec![(st, vec!["add /status/promoteFull false", "add /status/abort true"])]),
        ("canary-aborted-not-executed-paused-scaling", Intent::Abort, vec![(None, vec!["add /spec/paused false"])]),
        ("bluegreen-post-promotion-analysis", Intent::Abort, vec![(st, vec!["add /status/abort true"])]),
        ("canary-router-aborted", Intent::Retry, vec![(st, vec!["add /status/abort false"])]),
        ("canary-healthy", Intent::Restart, vec![(None, vec!["add /spec/restartAt \"2026-11-21T03:40:00Z\""])]),
        ("canary-healthy", image("app:v9"), vec![(None, vec!["add /spec/template/spec/containers/0/image \"app:v9\""])]),
    ]
}

#[test]
fn every_write_is_exactly_this() {
    for (name, intent, wanted) in cases() {
        let plan = scene(name).plan(&intent).unwrap_or_else(|r| panic!("{name} {intent:?}: {r:?}"));
        let found: Vec<_> = (0..plan.writes.len()).map(|i| (plan.writes[i].subresource, ops(&plan, i))).collect();
        let wanted: Vec<_> = wanted.into_iter().map(|(sub, ops)| (sub, ops.into_iter().map(str::to_owned).collect::<Vec<_>>())).collect();
        assert_eq!(found, wanted, "{name} {intent:?}");
        assert!(plan.writes.iter().enumerate().all(|(i, _)| tests(&plan, i).contains(&"/metadata/uid".to_owned())), "{name} {intent:?}");
        assert!(
            !plan.sentence.is_empty() && !plan.only_if.is_empty() && !plan.changes.is_empty() && !plan.back.is_empty(),
            "{name} {intent:?}"
        );
    }
}

/// The state before takes it; the state it leads to refuses a second press, and so does another version.
#[test]
fn every_write_holds_once() {
    for (name, intent, _) in cases() {
        let items = list(name);
        let plan = scene(name).plan(&intent).unwrap();
        let after = apply(&items, &plan).unwrap_or_else(|e| panic!("{name} {intent:?}: {e}"));
        assert!(apply(&after, &plan).is_err(), "{name} {intent:?} can be sent twice");
        let mut other = items.clone();
        other.iter_mut().find(|i| i["kind"] == "Rollout").unwrap()["metadata"]["uid"] = "recreated".into();
        assert!(apply(&other, &plan).is_err(), "{name} {intent:?} hits a namesake");
    }
}

/// The pause ended by itself and the next one began: what the plain merge patch would now clear unseen.
#[test]
fn a_promote_never_ends_the_next_pause() {
    for (name, intent) in [
        ("canary-router-paused-at-step", Intent::Promote),
        ("bluegreen-paused-pre-promotion", Intent::Promote),
        ("analysis-inconclusive", Intent::Promote),
    ] {
        let plan = scene(name).plan(&intent).unwrap();
        let moved = |change: &dyn Fn(&mut Value)| {
            let mut items = list(name);
            change(items.iter_mut().find(|i| i["kind"] == "Rollout").unwrap());
            items
        };
        let later: [(&str, Vec<Value>); 5] = [
            ("another start", moved(&|r| r["status"]["pauseConditions"][0]["startTime"] = "2026-11-21T03:59:00Z".into())),
            ("another step", moved(&|r| r["status"]["currentStepIndex"] = 3.into())),
            ("another version", moved(&|r| r["status"]["currentPodHash"] = "ffff".into())),
            ("aborted meanwhile", moved(&|r| r["status"]["abort"] = true.into())),
            ("already over", moved(&|r| _ = r["status"].as_object_mut().unwrap().remove("pauseConditions"))),
        ];
        for (what, items) in later {
            assert!(apply(&items, &plan).is_err(), "{name}: {what} must refuse the write");
            // The same change without the `test` operations goes through: it is they who protect.
            let mut bare = plan.clone();
            for write in &mut bare.writes {
                let Patch::Json(ops) = &mut write.patch;
                ops.retain(|o| o["op"] != "test" && o["op"] != "remove");
                ops.push(json!({"op": "add", "path": "/status/pauseConditions", "value": null}));
            }
            assert!(apply(&items, &bare).is_ok(), "{name}: {what} would have been overwritten");
        }
    }
}

/// Second of three safety rules shown from the other side: without the hash, a full promotion read on one
/// version would ship the next.
#[test]
fn a_full_promotion_is_for_one_version() {
    let plan = scene("canary-router-paused-at-step").plan(&Intent::PromoteFull).unwrap();
    let mut items = list("canary-router-paused-at-step");
    items.iter_mut().find(|i| i["kind"] == "Rollout").unwrap()["status"]["currentPodHash"] = "next".into();
    assert!(apply(&items, &plan).is_err());
    let mut bare = plan.clone();
    let Patch::Json(ops) = &mut bare.writes[0].patch;
    ops.retain(|o| o["path"] != "/status/currentPodHash");
    assert!(apply(&items, &bare).is_ok());
}

/// Third: an abort read before a manual pause does not know that it needs to end it.
#[test]
fn an_abort_knows_whether_it_must_unpause() {
    let plan = scene("canary-router-paused-at-step").plan(&Intent::Abort).unwrap();
    let mut items = list("canary-router-paused-at-step");
    items.iter_mut().find(|i| i["kind"] == "Rollout").unwrap()["spec"]["paused"] = true.into();
    assert!(apply(&items, &plan).is_err(), "the abort would be written and never carried out");
    let mut bare = plan.clone();
    let Patch::Json(ops) = &mut bare.writes[0].patch;
    ops.retain(|o| o["path"] != "/spec/paused");
    assert!(apply(&items, &bare).is_ok());
}

#[test]
fn undo_puts_back_what_the_author_wrote() {
    let template = |items: &[Value]| items.iter().find(|i| i["kind"] == "Rollout").unwrap()["spec"]["template"].clone();
    for (name, intent, target) in [
        ("canary-router-paused-at-step", Intent::Undo { to: None }, "app:v1"),
        ("canary-router-promoted-scale-down-delay", Intent::Undo { to: None }, "app:v1"),
        ("bluegreen-abort-blocked-crashloop", undo("5b9b46c98d"), "app:v1"),
        ("bluegreen-post-promotion-analysis", Intent::Flip, "app:v1"),
    ] {
        let plan = scene(name).plan(&intent).unwrap();
        let after = apply(&list(name), &plan).unwrap();
        let written = template(&after);
        assert_eq!(written["spec"]["containers"][0]["image"], target, "{name}");
        assert!(written.pointer("/metadata/labels/rollouts-pod-template-hash").is_none(), "{name}: the hash label changes the hash");
        assert!(written.pointer("/metadata/labels/app").is_some(), "{name}");
    }
}

#[test]
fn undo_leaves_injected_metadata_out() {
    let mut items = list("canary-router-paused-at-step");
    let stable = items.iter_mut().find(|i| i["metadata"]["name"] == "x6-77848588d4").unwrap();
    stable["metadata"]["annotations"]["rollout.argoproj.io/ephemeral-metadata"] =
        json!(r#"{"labels":{"role":"stable"},"annotations":{"note":"x"}}"#);
    stable["spec"]["template"]["metadata"]["labels"]["role"] = "stable".into();
    stable["spec"]["template"]["metadata"]["annotations"] = json!({"note": "x"});
    let plan = Scene::of(&items).plan(&Intent::Undo { to: None }).unwrap();
    let after = apply(&items, &plan).unwrap();
    let rollout = after.iter().find(|i| i["kind"] == "Rollout").unwrap();
    assert_eq!(rollout["spec"]["template"]["metadata"], json!({"labels": {"app": "x6"}}));
}

#[test]
fn undo_of_a_paused_outage_also_ends_the_pause() {
    let plan = scene("bluegreen-aborted-while-manually-paused").plan(&Intent::Undo { to: None }).unwrap();
    let after = apply(&list("bluegreen-aborted-while-manually-paused"), &plan).unwrap();
    let rollout = after.iter().find(|i| i["kind"] == "Rollout").unwrap();
    assert_eq!(rollout["spec"]["paused"], false);
}

#[test]
fn a_workload_reference_is_written_at_its_workload() {
    let name = "workloadref-canary-paused";
    let plan = scene(name).plan(&Intent::Undo { to: None }).unwrap();
    assert_eq!((plan.writes[0].resource.kind, &*plan.writes[0].name), ("Deployment", "wd"));
    let after = apply(&list(name), &plan).unwrap();
    let deployment = after.iter().find(|i| i["kind"] == "Deployment").unwrap();
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "app:v1");
    let plan = scene(name).plan(&image("app:v9")).unwrap();
    assert_eq!(plan.writes[0].resource.kind, "Deployment");
    assert!(scene(name).alone().plan(&image("app:v9")).is_err(), "the workload is not at hand");
}

#[test]
fn a_pod_template_keeps_its_template_elsewhere() {
    let mut items = list("workloadref-canary-paused");
    for item in &mut items {
        if item["kind"] == "Rollout" {
            item["spec"]["workloadRef"]["kind"] = "PodTemplate".into();
        } else if item["kind"] == "Deployment" {
            item["kind"] = "PodTemplate".into();
            item["template"] = item["spec"]["template"].take();
            item["metadata"].as_object_mut().unwrap().remove("generation");
        }
    }
    let plan = Scene::of(&items).plan(&Intent::Undo { to: None }).unwrap();
    assert_eq!(plan.writes[0].resource.kind, "PodTemplate");
    assert!(ops(&plan, 0)[0].starts_with("add /template "));
    assert!(tests(&plan, 0).contains(&"/metadata/resourceVersion".to_owned()));
    assert!(apply(&items, &plan).is_ok());
}

#[test]
fn what_a_person_must_hear() {
    let loud = |name: &str, intent: Intent| {
        let plan = scene(name).plan(&intent).unwrap();
        plan.warnings.iter().map(|w| (w.severity, w.text.to_string())).collect::<Vec<_>>()
    };
    let has = |list: &[(Severity, String)], severity, words: &str| list.iter().any(|(s, t)| *s == severity && t.contains(words));
    assert!(has(&loud("canary-router-aborted", Intent::PromoteFull), Severity::Danger, "was aborted"));
    assert!(has(&loud("canary-router-paused-at-step", Intent::PromoteFull), Severity::Warning, "plain abort"));
    assert!(has(&loud("analysis-running", Intent::Skip), Severity::Warning, "counts as successful"));
    assert!(has(&loud("canary-deadline-exceeded", Intent::Promote), Severity::Danger, "no pod of the new version is ready"));
    assert!(has(&loud("analysis-inconclusive", Intent::Promote), Severity::Warning, "could not decide"));
    let one = changed("canary-healthy", |r| r["spec"]["replicas"] = 1.into()).plan(&Intent::Restart).unwrap();
    assert!(one.warnings.iter().any(|w| w.severity == Severity::Danger));
    let owned = |intent: Intent| {
        changed("canary-router-paused-at-step", |r| {
            r["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = "shop:argoproj.io/Rollout:shop/x6".into()
        })
        .plan(&intent)
        .unwrap()
        .warnings
    };
    assert!(owned(image("app:v9")).iter().any(|w| w.text.contains("Argo CD app \"shop\"") && w.severity == Severity::Warning));
    assert!(!owned(Intent::Abort).iter().any(|w| w.text.contains("Argo CD")), "Git holds no status");
}

#[test]
fn words_of_the_card() {
    let plan = scene("canary-router-paused-at-step").plan(&Intent::Promote).unwrap();
    assert_eq!(plan.sentence, "Ends the pause at step 2/4 and lets the controller go on: weight 50 %, then pause.");
    assert_eq!(
        plan.capacity.as_deref(),
        Some("1 ready new pod would take 50 % of all users (now 25 %); the controller first brings them to 2")
    );
    assert_eq!(plan.changes[0].from, "[CanaryPauseStep 03:16:05]");
    assert_eq!(plan.danger, Danger::Reversible);
    assert!(plan.back.contains("weight to 0"), "{}", plan.back);
    let plan = scene("bluegreen-promoted-scale-down-delay").plan(&Intent::Flip).unwrap();
    assert!(
        plan.sentence.starts_with("Flips back to revision 1 (app:v1)") && plan.sentence.contains("until 03:16:30"),
        "{}",
        plan.sentence
    );
    assert_eq!(plan.intent.verb(), Verb::Flip);
}

#[test]
fn set_image_refuses_nonsense() {
    let healthy = scene("canary-healthy");
    for (container, image, why) in [
        ("nope", "app:v9", "no container"),
        ("app", "app:v1", "already has"),
        ("app", "app v9", "no image name"),
        ("app", "", "no image name"),
    ] {
        let refusal = healthy.plan(&Intent::SetImage { container: container.into(), image: image.into() }).unwrap_err();
        assert!(refusal.reason.contains(why), "{}", refusal.reason);
    }
}

// ── the effect ──────────────────────────────────────────────────────────────────────────────────

fn progress(goal: &Goal, scene: &Scene) -> Progress {
    ARGO.progress(goal, &scene.model(), &scene.root)
}

#[test]
fn progress_follows_the_cluster_and_not_the_wish() {
    let paused = scene("canary-timed-pause-background-analysis");
    let goal = paused.plan(&Intent::Promote).unwrap().expect.goal;
    assert_eq!(progress(&goal, &paused), Progress::Nothing);
    assert_eq!(progress(&goal, &scene("canary-unpausing")), Progress::Observed, "recorded in the 10 ms after");
    let beyond = |r: &mut Value| {
        r["status"]["currentStepIndex"] = 2.into();
        r["status"]["controllerPause"] = Value::Null;
        r["status"]["pauseConditions"] = Value::Null;
    };
    assert_eq!(progress(&goal, &changed("canary-timed-pause-background-analysis", beyond)), Progress::Done);
    let other = changed("canary-timed-pause-background-analysis", |r| r["status"]["currentPodHash"] = "other".into());
    assert!(matches!(progress(&goal, &other), Progress::Diverted(_)), "another version landed");

    let goal = Goal::Aborted;
    assert_eq!(progress(&goal, &scene("canary-router-aborted")), Progress::Done);
    assert_eq!(progress(&goal, &scene("canary-aborted-not-executed-paused-scaling")), Progress::Observed, "says aborted, 25 % still on it");
    assert!(matches!(progress(&goal, &scene("bluegreen-abort-blocked-crashloop")), Progress::Diverted(_)));
    assert_eq!(progress(&goal, &scene("canary-promote-full-in-progress")), Progress::Nothing);
}

#[test]
fn a_retry_that_was_aborted_again_is_no_success() {
    let aborted = scene("canary-router-aborted");
    let goal = aborted.plan(&Intent::Retry).unwrap().expect.goal;
    assert_eq!(progress(&goal, &aborted), Progress::Nothing);
    let again = changed("canary-router-aborted", |r| r["status"]["abortedAt"] = "2026-11-21T03:50:00Z".into());
    assert!(matches!(progress(&goal, &again), Progress::Diverted(_)));
    assert_eq!(progress(&goal, &changed("canary-router-aborted", |r| r["status"]["abort"] = false.into())), Progress::Observed);
    assert_eq!(progress(&goal, &scene("canary-router-paused-at-step")), Progress::Done);
}

#[test]
fn an_undo_that_makes_a_new_version_is_told() {
    let goal = Goal::Template { hash: Some("aaa".into()), not: Some("54fdc7d5b5".into()) };
    let at = |hash: &'static str| changed("canary-router-paused-at-step", move |r| r["status"]["currentPodHash"] = hash.into());
    assert_eq!(progress(&goal, &at("54fdc7d5b5")), Progress::Nothing);
    assert_eq!(progress(&goal, &at("aaa")), Progress::Done);
    assert!(matches!(progress(&goal, &at("ccc")), Progress::Diverted(_)));
}

#[test]
fn differences_between_the_sides() {
    let scene = scene("canary-router-paused-at-step");
    let lines: Vec<String> =
        ARGO.diff(&scene.model(), &scene.root, &scene.objects).iter().map(|c| format!("{}: {} → {}", c.field, c.from, c.to)).collect();
    assert_eq!(lines, ["containers.app.image: app:v1 → app:v2"]);
    let found = ARGO.containers(&scene.model(), &scene.root, &scene.objects);
    assert_eq!(found, [("app".into(), "app:v2".into())]);
}
