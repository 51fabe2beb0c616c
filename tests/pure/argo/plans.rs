//! What is written: each plan accepted by the state it was made for, refused by the state after.

use rolltop::{
    engine::{Engine, Goal, Patch, Plan, Progress, argo::ARGO, gitops},
    intent::{Danger, Intent, Verb},
    model::{Severity, Text},
};
use serde_json::{Value, json};

use super::kit::{Scene, apply, changed, list, now, scene};

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
    assert!(has(&loud("canary-deadline-exceeded", Intent::Promote), Severity::Danger, "0 of 1 new pod is ready: Unschedulable"));
    assert!(has(&loud("analysis-inconclusive", Intent::Promote), Severity::Warning, "could not decide"));
    let one = changed("canary-healthy", |r| r["spec"]["replicas"] = 1.into()).plan(&Intent::Restart).unwrap();
    assert!(one.warnings.iter().any(|w| w.severity == Severity::Danger));
}

#[test]
fn what_git_holds_is_taken_back_and_status_it_never_holds() {
    let owned = |intent: Intent| {
        let scene = changed("canary-router-paused-at-step", |r| {
            r["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = "shop:argoproj.io/Rollout:shop/x6".into()
        });
        gitops::warning(&scene.plan(&intent).unwrap(), &scene.model(), &scene.objects, now())
    };
    assert!(owned(image("app:v9")).is_some_and(|w| w.text.contains("Argo CD app \"shop\"") && w.severity == Severity::Warning));
    assert_eq!(owned(Intent::Abort), None, "Git holds no status");
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

#[test]
fn an_image_name_is_read_as_a_registry_reads_it() {
    let healthy = scene("canary-healthy");
    let told = |name: &str| healthy.plan(&image(name)).map(drop).map_err(|r| r.reason.to_string());
    let digest = "0123456789abcdef".repeat(4);
    for good in [
        "app".to_owned(),
        "app:v2".into(),
        "app:_V2.0-rc_1".into(),
        "team/app__x/a--b.c:v2".into(),
        "registry.example.test/app:v2".into(),
        "Registry.example.test:5000/team/app:v2".into(),
        "localhost/app".into(),
        "localhost:5000/app:v2".into(),
        "[fd00::1]:5000/app".into(),
        format!("app@sha256:{digest}"),
        format!("registry.example.test:5000/app:v2@sha256:{digest}"),
        format!("app:{}", "t".repeat(128)),
    ] {
        assert_eq!(told(&good), Ok(()), "{good}");
    }
    for (bad, why) in [
        ("app:v1registry.example.test/app:v2".to_owned(), "no port number"),
        ("app:v1:v2".into(), "two colons in its last part"),
        ("team/app:v1:v2".into(), "two colons in its last part"),
        ("app:".into(), "its tag is empty"),
        ("app:-v2".into(), "is no tag"),
        ("app:v2+1".into(), "is no tag"),
        (format!("app:{}", "t".repeat(129)), "more than 128"),
        ("App:v2".into(), "upper-case"),
        ("team/App".into(), "upper-case"),
        ("team//app".into(), "is empty"),
        ("/app".into(), "is empty"),
        ("app/".into(), "is empty"),
        ("app_:v2".into(), "separator"),
        ("a..b".into(), "separator"),
        ("a___b".into(), "separator"),
        ("a$b".into(), "'$' in it"),
        ("-x.test/app".into(), "no registry name"),
        ("[fd00::1/app".into(), "closing bracket"),
        ("https://registry.example.test/app".into(), "no port number"),
        ("app@sha256:12".into(), "sha256 has 64"),
        ("app@".into(), "no digest"),
        (format!("app@sha256:{digest}@sha256:{digest}"), "no digest"),
        (format!("a{}", "/a".repeat(130)), "at most 255"),
        ("app:v2 ".into(), "space"),
    ] {
        let reason = told(&bad).expect_err(&bad);
        assert!(reason.contains("no image name") && reason.contains(why), "{bad}: {reason}");
    }
}

/// What is said of a promotion is no answer to somebody who wants another image.
#[test]
fn no_set_image_is_refused_in_the_words_of_a_promotion() {
    for name in super::kit::names() {
        if let Err(refusal) = scene(&name).plan(&image("app:v9")) {
            assert!(!refusal.reason.contains("promoting") && !refusal.reason.contains("promote"), "{name}: {refusal:?}");
        }
    }
    let plan = scene("experiment-respawned-while-paused").plan(&image("app:v9")).unwrap();
    assert_eq!(ops(&plan, 0), ["add /spec/template/spec/containers/0/image \"app:v9\""], "a new template ends the experiments");
}

/// With the creation time of the ReplicaSet that has this image replaced.
fn created(name: &str, image: &str, at: &str) -> Scene {
    let mut items = list(name);
    let set = items.iter_mut().find(|i| i["kind"] == "ReplicaSet" && i["spec"]["template"]["spec"]["containers"][0]["image"] == image);
    set.unwrap()["metadata"]["creationTimestamp"] = at.into();
    Scene::of(&items)
}

/// The controller takes a version for a rollback only when it was created before the stable one, by whole seconds.
#[test]
fn a_flip_back_promises_only_what_the_controller_does() {
    let name = "bluegreen-promoted-scale-down-delay";
    let plan = scene(name).plan(&Intent::Flip).unwrap();
    assert!(plan.sentence.contains("switched at once"), "{}", plan.sentence);
    for at in ["2026-11-21T03:16:08Z", "2026-11-21T03:16:09Z"] {
        let plan = created(name, "app:v1", at).plan(&Intent::Flip).unwrap();
        assert!(!plan.sentence.contains("at once") && plan.sentence.contains("press f once more"), "{}", plan.sentence);
        assert!(plan.warnings.iter().any(|w| w.severity == Severity::Warning && w.text.contains("no rollback")));
    }
    let mut items = list(name);
    for item in &mut items {
        match item["kind"].as_str() {
            Some("Rollout") => item["spec"]["strategy"]["blueGreen"]["autoPromotionEnabled"] = Value::Null,
            Some("ReplicaSet") => item["metadata"]["creationTimestamp"] = "2026-11-21T03:16:08Z".into(),
            _ => {}
        }
    }
    let plan = Scene::of(&items).plan(&Intent::Flip).unwrap();
    assert!(plan.sentence.contains("switched at once"), "nothing pauses here: {}", plan.sentence);
    for item in items.iter_mut().filter(|i| i["kind"] == "Rollout") {
        item["spec"]["strategy"]["blueGreen"]["autoPromotionSeconds"] = 60.into();
    }
    let plan = Scene::of(&items).plan(&Intent::Flip).unwrap();
    assert!(plan.sentence.contains("will pause 1m before the switch") && plan.expect.within.as_secs() == 90, "{}", plan.sentence);
    // To the stable version it goes at once whatever the times say.
    let plan = created("bluegreen-post-promotion-analysis", "app:v1", "2026-11-21T09:00:00Z").plan(&Intent::Flip).unwrap();
    assert!(plan.sentence.contains("switched at once"), "{}", plan.sentence);
}

#[test]
fn after_a_switch_the_way_back_is_a_flip() {
    for intent in [Intent::Promote, Intent::Flip, Intent::PromoteFull] {
        let plan = scene("bluegreen-paused-pre-promotion").plan(&intent).unwrap();
        assert_eq!(plan.back, "flip back (f) while the old pods live, about 8 s; afterwards undo", "{intent:?}");
        let usual =
            changed("bluegreen-paused-pre-promotion", |r| r["spec"]["strategy"]["blueGreen"]["scaleDownDelaySeconds"] = Value::Null);
        assert!(usual.plan(&intent).unwrap().back.contains("about 30 s"), "{intent:?}");
    }
    assert!(scene("canary-router-paused-at-step").plan(&Intent::Promote).unwrap().back.starts_with("abort"));
}

#[test]
fn nobody_is_sent_to_pods_that_fail_without_an_override() {
    let danger = |scene: &Scene, intent: Intent| {
        let warnings = scene.plan(&intent).unwrap().warnings;
        warnings.into_iter().find(|w| w.severity == Severity::Danger && w.text.contains("new pod")).map(|w| w.text.to_string())
    };
    let failing = scene("bluegreen-post-cutover-crashloop");
    assert_eq!(danger(&failing, Intent::PromoteFull).as_deref(), Some("0 of 3 new pods are ready: CrashLoopBackOff"));
    assert_eq!(danger(&failing, Intent::Flip), None, "the way back never needs one");
    assert!(danger(&scene("canary-deadline-exceeded"), Intent::Skip).is_some());
    assert!(danger(&scene("canary-deadline-exceeded").alone(), Intent::Skip).is_some(), "the fleet sees the counts");
    // Counts look fine, one pod does not.
    let mut items = list("canary-router-paused-at-step");
    let set = items.iter().find(|i| i["metadata"]["name"] == "x6-54fdc7d5b5").unwrap()["metadata"].clone();
    items.push(json!({
        "kind": "Pod",
        "metadata": {
            "name": "x6-new", "namespace": set["namespace"], "uid": "pod",
            "ownerReferences": [{"kind": "ReplicaSet", "name": set["name"], "uid": set["uid"], "controller": true}],
        },
        "status": {
            "phase": "Pending",
            "containerStatuses": [{"name": "app", "ready": false, "state": {"waiting": {"reason": "ImagePullBackOff"}}}],
        },
    }));
    let one_fails = Scene::of(&items);
    for intent in [Intent::Promote, Intent::PromoteFull] {
        assert_eq!(danger(&one_fails, intent.clone()).as_deref(), Some("1 of 1 new pod is ready: ImagePullBackOff"));
        assert_eq!(danger(&scene("canary-router-paused-at-step"), intent), None);
    }
}

#[test]
fn a_basic_canary_says_how_many_pods() {
    let capacity = |intent: Intent| scene("canary-paused-at-step").plan(&intent).unwrap().capacity.unwrap_or_default().to_string();
    assert_eq!(capacity(Intent::Promote), "1 ready new pod (now 25 % of all users); the controller brings them to about 2 of 4: 50 %");
    assert!(capacity(Intent::PromoteFull).ends_with("about 4 of 4: 100 %"));
    assert_eq!(capacity(Intent::Abort), "3 ready old pods of 4 (now 75 % of all users); the rest comes as the new pods go");
}

// ── the effect ──────────────────────────────────────────────────────────────────────────────────

fn progress(goal: &Goal, scene: &Scene) -> Progress {
    ARGO.progress(goal, &scene.model(), &scene.root, &scene.objects)
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

/// The flip back of a finished blue-green, as its objects change.
#[test]
fn a_flip_back_is_lost_only_to_a_third_version() {
    let name = "bluegreen-promoted-scale-down-delay";
    let goal = scene(name).plan(&Intent::Flip).unwrap().expect.goal;
    let (old, was) = ("6bc4774dd6", "6d8c97df9f");
    assert_eq!(goal, Goal::Active { hash: old.into(), from: was.into() });
    assert_eq!(progress(&goal, &scene(name)), Progress::Nothing, "nothing has happened yet");
    assert_eq!(progress(&goal, &changed(name, |r| r["metadata"]["generation"] = 99.into())), Progress::Observed);
    let at = |hash: &'static str, pauses: Value| {
        changed(name, move |r| {
            r["status"]["currentPodHash"] = hash.into();
            r["status"]["pauseConditions"] = pauses;
            r["status"]["phase"] = "Progressing".into();
        })
    };
    let pause = json!([{"reason": "BlueGreenPause", "startTime": "2026-11-21T03:16:25Z"}]);
    assert_eq!(progress(&goal, &at(old, json!([]))), Progress::Nothing, "pods first, or the selector in a moment");
    assert_eq!(
        progress(&goal, &at(old, pause.clone())),
        Progress::Diverted("the controller paused before the switch: press f once more".into())
    );
    assert!(matches!(progress(&goal, &at("third", json!([]))), Progress::Diverted(w) if w.contains("another version")));
    let done = changed(name, |r| r["status"]["blueGreen"]["activeSelector"] = old.into());
    assert_eq!(progress(&goal, &done), Progress::Done);
    // A flip that ends the pause is made while that pause is there.
    let forward = scene("bluegreen-paused-pre-promotion");
    let goal = forward.plan(&Intent::Flip).unwrap().expect.goal;
    assert_eq!(progress(&goal, &forward), Progress::Nothing);
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
