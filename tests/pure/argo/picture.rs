//! Every recorded scene, and what a person must read from it.

use rolltop::{
    engine::argo::{
        facts::Facts,
        status::{Situation as S, situation},
    },
    intent::Verb,
    model::{Phase as P, Role, Severity, WaitFor as W},
    timeline,
};

use super::kit::{changed, names, scene};

/// A new version seconds after one of days ago: until the controller says something of it, its words are of the other.
#[test]
fn a_release_waits_since_it_began() {
    let scene = changed("canary-timed-pause-background-analysis", |root| {
        root["status"]["pauseConditions"] = serde_json::Value::Null;
        root["status"]["controllerPause"] = false.into();
        root["status"]["phase"] = "Progressing".into();
        root["status"]["currentStepIndex"] = 0.into();
        let write = serde_json::json!({"manager": "kubectl", "operation": "Update", "time": "2030-01-01T00:00:00Z", "fieldsV1": {}});
        root["metadata"]["managedFields"] = serde_json::json!([write]);
        for condition in root["status"]["conditions"].as_array_mut().unwrap() {
            condition["lastTransitionTime"] = "2020-01-01T00:00:00Z".into();
        }
    });
    for ro in [scene.model(), scene.alone().model()] {
        let wait = ro.wait.expect("it waits for its pods");
        assert_eq!(wait.who, W::Pods);
        let since = wait.since.expect("since when");
        assert!(since > scene.root.meta.created.unwrap(), "{since}");
    }
}

/// Scene; phase; situation; who is waited for; part of "next"; the way back; applied share of the new side in
/// per cent with its source (replica share where nobody routes); part of each danger notice.
type Case = (&'static str, P, S, Option<W>, &'static str, Option<Verb>, (i32, &'static str), &'static [&'static str]);

const CASES: &[Case] = &[
    ("analysis-failed", P::Aborted, S::Aborted, Some(W::Human), "retries or undoes", None, (0, ""), &[]),
    (
        "analysis-inconclusive",
        P::Waiting,
        S::InconclusiveStep,
        Some(W::Human),
        "someone promotes; then weight 50 %",
        Some(Verb::Abort),
        (25, ""),
        &[],
    ),
    (
        "analysis-running",
        P::Progressing,
        S::RunningStep,
        Some(W::Analysis),
        "if the analysis succeeds pause",
        Some(Verb::Abort),
        (25, ""),
        &[],
    ),
    (
        "bluegreen-abort-blocked-crashloop",
        P::Failing,
        S::AbortBlocked,
        Some(W::Human),
        "outage: the active pods are removed",
        Some(Verb::Undo),
        (100, "service"),
        &["no endpoints", "will not go back"],
    ),
    ("bluegreen-aborted-after-cutover", P::Aborted, S::Aborted, Some(W::Human), "aborted pods are removed", None, (0, "service"), &[]),
    ("bluegreen-aborted-before-cutover", P::Aborted, S::Aborted, Some(W::Human), "aborted pods are removed", None, (0, "service"), &[]),
    (
        "bluegreen-aborted-outage-active-scaled-to-zero",
        P::Failing,
        S::AbortBlocked,
        Some(W::Human),
        "undoes to stable",
        Some(Verb::Undo),
        (100, "service"),
        &["scaled to 0", "will not go back"],
    ),
    (
        "bluegreen-aborted-while-manually-paused",
        P::Failing,
        S::AbortBlocked,
        Some(W::Human),
        "undoes to stable",
        Some(Verb::Undo),
        (100, "service"),
        &["scaled to 0", "will not go back"],
    ),
    (
        "bluegreen-paused-pre-promotion",
        P::Waiting,
        S::PauseBlueGreen,
        Some(W::Human),
        "someone promotes; then all users switch",
        Some(Verb::Abort),
        (0, "service"),
        &[],
    ),
    (
        "bluegreen-post-cutover-crashloop",
        P::Failing,
        S::AfterCutover,
        Some(W::Pods),
        "gives up unless 3 more pods get ready",
        Some(Verb::Undo),
        (100, "service"),
        &["none of its pods is ready"],
    ),
    (
        "bluegreen-post-promotion-analysis",
        P::Progressing,
        S::AfterCutover,
        Some(W::Analysis),
        "if post-promotion analysis succeeds",
        Some(Verb::Abort),
        (100, "service"),
        &[],
    ),
    ("bluegreen-promoted-scale-down-delay", P::Healthy, S::Idle, None, "old pods are removed", Some(Verb::Flip), (-1, ""), &[]),
    ("canary-aborted", P::Aborted, S::Aborted, Some(W::Human), "retries or undoes", None, (0, ""), &[]),
    (
        "canary-aborted-not-executed-paused-scaling",
        P::Failing,
        S::AbortFrozen,
        Some(W::Human),
        "the abort waits for a resume",
        Some(Verb::Abort),
        (25, "nginx"),
        &["25 % of the users are still", "nothing reacts"],
    ),
    ("canary-analysis-step-resumed", P::Progressing, S::RunningStep, Some(W::Analysis), "weight 75 %", Some(Verb::Abort), (50, ""), &[]),
    ("canary-deadline-exceeded", P::Failing, S::DeadlineExceeded, Some(W::Human), "someone acts", Some(Verb::Abort), (0, ""), &[]),
    ("canary-healthy", P::Healthy, S::Idle, None, "nothing", None, (-1, ""), &[]),
    (
        "canary-manual-pause-pending-scale-analysis-failed",
        P::Paused,
        S::ManualPause,
        Some(W::Human),
        "someone resumes",
        Some(Verb::Abort),
        (25, "nginx"),
        &["nothing reacts", "failed, and the paused rollout does not react"],
    ),
    (
        "canary-manually-paused",
        P::Paused,
        S::ManualPause,
        Some(W::Human),
        "the pause below waits on",
        Some(Verb::Abort),
        (25, "controller"),
        &[],
    ),
    ("canary-paused-at-step", P::Waiting, S::PauseStep, Some(W::Human), "then weight 50 %, then pause", Some(Verb::Abort), (25, ""), &[]),
    ("canary-promote-full-in-progress", P::Progressing, S::PromotingFull, Some(W::Pods), "gives up", Some(Verb::Abort), (0, ""), &[]),
    ("canary-router-aborted", P::Aborted, S::Aborted, Some(W::Human), "aborted pods are removed", None, (0, "nginx"), &[]),
    (
        "canary-router-aborted-service-flapping",
        P::Aborted,
        S::Aborted,
        Some(W::Human),
        "aborted pods are removed",
        None,
        (0, "controller"),
        &[],
    ),
    (
        "canary-router-paused-at-step",
        P::Waiting,
        S::PauseStep,
        Some(W::Human),
        "then weight 50 %, then pause",
        Some(Verb::Abort),
        (25, "nginx"),
        &[],
    ),
    ("canary-router-promoted-scale-down-delay", P::Healthy, S::Idle, None, "old pods are removed", Some(Verb::Undo), (-1, ""), &[]),
    (
        "canary-timed-pause-background-analysis",
        P::Paused,
        S::PauseStep,
        Some(W::Timer),
        "weight 50 %, then pause",
        Some(Verb::Abort),
        (25, "nginx"),
        &[],
    ),
    ("canary-unpausing", P::Progressing, S::Unpausing, Some(W::Controller), "controller acts", None, (25, "controller"), &[]),
    (
        "experiment-inconclusive",
        P::Waiting,
        S::InconclusiveExperiment,
        Some(W::Human),
        "starts experiments",
        Some(Verb::Abort),
        (25, ""),
        &["keeps creating Experiments"],
    ),
    (
        "experiment-respawned-while-paused",
        P::Waiting,
        S::InconclusiveExperiment,
        Some(W::Human),
        "starts experiments",
        Some(Verb::Abort),
        (25, ""),
        &["keeps creating Experiments"],
    ),
    (
        "experiment-running",
        P::Progressing,
        S::RunningStep,
        Some(W::Experiment),
        "if the experiment succeeds weight 50 %",
        Some(Verb::Abort),
        (25, ""),
        &[],
    ),
    ("invalid-spec", P::Failing, S::Invalid, Some(W::Human), "corrects the spec", Some(Verb::Undo), (-1, ""), &[]),
    (
        "workloadref-canary-paused",
        P::Waiting,
        S::PauseStep,
        Some(W::Human),
        "all users on the new version",
        Some(Verb::Abort),
        (50, ""),
        &[],
    ),
];

#[test]
fn every_recorded_scene() {
    assert_eq!(CASES.iter().map(|c| c.0).collect::<Vec<_>>(), names(), "one row per fixture");
    for (name, phase, here, waits, next, back, (share, by), dangers) in CASES {
        let scene = scene(name);
        let facts = Facts::read(&scene.root, &scene.objects).unwrap();
        let ro = scene.model();
        assert_eq!(ro.phase, *phase, "{name}: {}", ro.phase_detail);
        assert_eq!(situation(&facts), *here, "{name}");
        assert_eq!(ro.wait.as_ref().map(|w| w.who), *waits, "{name}");
        assert!(ro.next.what.contains(next), "{name}: next is {:?}", ro.next.what);
        assert_eq!(ro.way_back.action, *back, "{name}: {}", ro.way_back.what);
        let new = ro.new_side();
        let shown = new.and_then(|t| t.traffic.applied.or(t.traffic.replica_share));
        assert_eq!(shown.map_or(-1, |s| (s * 100.0).round() as i32), *share, "{name}");
        assert_eq!(new.map_or("", |t| &*t.traffic.applied_by), *by, "{name}");
        let found: Vec<&str> = ro.notices.iter().filter(|n| n.severity == Severity::Danger).map(|n| &*n.text).collect();
        assert_eq!(found.len(), dangers.len(), "{name}: {found:?}");
        for danger in *dangers {
            assert!(found.iter().any(|f| f.contains(danger)), "{name}: no {danger:?} in {found:?}");
        }
    }
}

/// The fleet has the Rollout alone; it may know less, but never calls a scene calmer than the detail does.
#[test]
fn the_fleet_sees_the_same_phase() {
    for (name, phase, ..) in CASES {
        let fleet = scene(name).alone().model();
        assert_eq!(fleet.phase, *phase, "{name}");
        assert!(!fleet.detailed);
    }
}

#[test]
fn counts_of_the_fleet_match_the_replica_sets() {
    for name in [
        "canary-paused-at-step",
        "canary-router-paused-at-step",
        "bluegreen-paused-pre-promotion",
        "canary-deadline-exceeded",
        "canary-promote-full-in-progress",
        "bluegreen-post-cutover-crashloop",
        "workloadref-canary-paused",
    ] {
        let counts = |ro: rolltop::model::Rollout| {
            ro.tracks.iter().map(|t| (t.hash.clone(), t.roles.clone(), t.current, t.ready)).collect::<Vec<_>>()
        };
        assert_eq!(counts(scene(name).alone().model()), counts(scene(name).model()), "{name}");
    }
}

#[test]
fn a_timer_has_its_end() {
    let ro = scene("canary-timed-pause-background-analysis").model();
    let end = Some("2026-11-21T03:45:30Z".parse().unwrap());
    assert_eq!((ro.next.at, ro.wait.unwrap().until), (end, end));
}

#[test]
fn a_finished_router_canary_is_not_at_zero() {
    let ro = scene("canary-router-promoted-scale-down-delay").model();
    let stable = ro.track(Role::Stable).unwrap();
    assert_eq!((stable.traffic.applied, stable.traffic.desired), (Some(1.0), Some(1.0)));
    assert!(!ro.in_flight() && ro.steps.done());
    let old = ro.track(Role::Old).unwrap();
    assert_eq!((old.traffic.applied, old.scale_down_at), (Some(0.0), Some("2026-11-21T03:16:35Z".parse().unwrap())));
}

#[test]
fn a_scaled_down_side_has_no_countdown() {
    let ro = scene("bluegreen-aborted-outage-active-scaled-to-zero").model();
    assert!(ro.tracks.iter().all(|t| t.scale_down_at.is_none()));
}

#[test]
fn blue_green_roles_before_and_after_the_switch() {
    let roles = |name: &str| scene(name).model().tracks.iter().map(|t| (t.is_new, t.roles.clone())).collect::<Vec<_>>();
    assert_eq!(roles("bluegreen-paused-pre-promotion"), [(true, vec![Role::Preview]), (false, vec![Role::Active, Role::Stable])]);
    assert_eq!(roles("bluegreen-post-promotion-analysis"), [(true, vec![Role::Active]), (false, vec![Role::Stable])]);
}

#[test]
fn steps_have_names_and_a_place() {
    let ro = scene("experiment-running").model();
    let labels: Vec<&str> = ro.steps.items.iter().map(|s| &*s.label).collect();
    assert_eq!(labels, ["weight 25 %", "experiment c, s", "weight 50 %", "pause"]);
    assert_eq!(ro.steps.current, Some(1));
    let ro = scene("bluegreen-post-promotion-analysis").model();
    let labels: Vec<&str> = ro.steps.items.iter().map(|s| &*s.label).collect();
    assert_eq!(labels, ["preview up", "flip the active Service", "post-promotion analysis long", "scale down old after 8s"]);
    assert_eq!(ro.steps.now().unwrap().label, "post-promotion analysis long");
    assert!(ro.steps.now().unwrap().started.is_some());
}

#[test]
fn an_analysis_tells_its_limit_line_and_query() {
    let ro = scene("analysis-failed").model();
    let metric = &ro.analyses[0].metrics[0];
    assert!(ro.analyses[0].current, "it is the cause of this abort, though the status has dropped its name");
    assert_eq!((metric.failed, metric.failure_limit, metric.count), (2, Some(1), Some(4)));
    assert_eq!(metric.query.as_deref(), Some("sum(rate(x{service=\"web\"}[1m]))"));
    assert_eq!(metric.threshold.as_ref().map(|t| (&*t.op, t.limit)), Some((">=", 0.95)));
    assert_eq!(metric.measurements[0].number(), Some(0.1));
}

#[test]
fn secret_arguments_stay_secret() {
    let mut items = super::kit::list("analysis-failed");
    let run = items.iter_mut().find(|i| i["kind"] == "AnalysisRun").unwrap();
    run["spec"]["args"] = serde_json::json!([{"name": "svc", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
    let ro = super::kit::Scene::of(&items).model();
    assert_eq!(ro.analyses[0].metrics[0].query, None);
    assert!(!format!("{ro:?}").contains("service=\\\"web"), "the resolved query holds the secret");
}

#[test]
fn pods_in_trouble_say_why() {
    let ro = scene("canary-deadline-exceeded").model();
    let pod = &ro.new_side().unwrap().pods[0];
    assert_eq!(pod.status, "Pending");
    assert!(pod.trouble.as_ref().unwrap().starts_with("Unschedulable: 0/3 nodes"), "{:?}", pod.trouble);
    let ro = scene("bluegreen-post-cutover-crashloop").model();
    let pod = &ro.new_side().unwrap().pods[0];
    assert_eq!(pod.status, "CrashLoopBackOff", "{pod:?}");
    assert!(pod.trouble.as_ref().unwrap().starts_with("CrashLoopBackOff"), "{:?}", pod.trouble);
}

#[test]
fn replica_sets_of_a_workload_are_not_sides() {
    let scene = scene("workloadref-canary-paused");
    let ro = scene.model();
    assert_eq!(ro.tracks.len(), 2);
    assert_eq!(ro.new_side().unwrap().images, ["app:v2"]);
}

#[test]
fn images_without_replica_sets_come_from_the_wanted_template_only() {
    let ro = scene("canary-router-paused-at-step").alone().model();
    assert_eq!(ro.new_side().unwrap().images, ["app:v2"]);
    assert!(ro.old_side().unwrap().images.is_empty(), "nobody said what the stable side runs");
}

#[test]
fn a_spec_nobody_has_seen_is_progress_not_health() {
    let ro = changed("canary-healthy", |r| r["metadata"]["generation"] = 3.into()).model();
    assert_eq!((ro.phase, ro.unobserved), (P::Progressing, true));
    let ro = changed("workloadref-canary-paused", |r| r["metadata"]["annotations"]["rollout.argoproj.io/workload-generation"] = "3".into())
        .model();
    assert!(ro.unobserved && ro.phase_detail.contains("reference workload"));
    // Older controllers stored something else there; that must not freeze the picture.
    let ro = changed("canary-healthy", |r| r["status"]["observedGeneration"] = "6d8c9".into()).model();
    assert_eq!((ro.phase, ro.unobserved), (P::Healthy, false));
}

#[test]
fn a_wrong_type_is_a_line_with_its_reason() {
    let ro = changed("canary-healthy", |r| r["spec"]["replicas"] = "many".into()).model();
    assert_eq!(ro.phase, P::Unknown);
    assert!(ro.phase_detail.contains("spec.replicas"), "{}", ro.phase_detail);
    let ro = changed("canary-healthy", |r| {
        r["spec"]["replicas"] = "4".into();
        r["status"]["conditions"] = serde_json::Value::Null;
        r["status"]["observedGeneration"] = 2.into();
    })
    .model();
    assert_eq!((ro.phase, ro.replicas), (P::Healthy, 4), "numbers as text, nulls and whole numbers are fine");
}

#[test]
fn owners_are_believed_only_about_themselves() {
    let owner = |key: &str, at: &str, value: &str| {
        changed("canary-healthy", |r| r["metadata"][at] = serde_json::json!({key: value}))
            .model()
            .owner
            .map(|o| (o.kind, o.name.to_string()))
    };
    let id = "argocd.argoproj.io/tracking-id";
    assert_eq!(owner(id, "annotations", "shop:argoproj.io/Rollout:shop/web"), Some(("argocd", "shop".into())));
    assert_eq!(owner(id, "annotations", "shop:argoproj.io/Rollout:shop/other"), None, "a copied annotation");
    assert_eq!(owner("app.kubernetes.io/instance", "labels", "web"), None, "Helm sets it too");
    assert_eq!(owner("kustomize.toolkit.fluxcd.io/name", "labels", "apps"), Some(("flux-kustomize", "apps".into())));
}

#[test]
fn the_timeline_is_in_order_and_about_this_rollout() {
    let scene = scene("canary-aborted");
    let entries = timeline::from_events(&scene.root, &scene.objects);
    assert!(entries.len() > 10 && entries.windows(2).all(|w| w[0].at <= w[1].at));
    assert!(entries.iter().any(|e| e.reason == "RolloutAborted" && e.warning && e.object.is_none()));
    assert!(entries.iter().any(|e| e.object.as_deref().is_some_and(|o| o.starts_with("ReplicaSet dp5-"))));
}

#[test]
fn selections_name_what_is_needed() {
    use rolltop::engine::{Engine, argo::ARGO};
    let of = |name: &str| {
        let scene = scene(name);
        ARGO.selections(&scene.root, &scene.objects)
            .into_iter()
            .map(|s| format!("{} {} {}", s.resource.kind, s.labels.unwrap_or_default(), s.fields.unwrap_or_default()))
            .collect::<Vec<_>>()
    };
    let router = of("canary-router-paused-at-step");
    assert!(router.contains(&"ReplicaSet app=x6,rollouts-pod-template-hash ".to_owned()), "{router:#?}");
    assert!(router.contains(&"Ingress  metadata.name=x6-x6-canary".to_owned()), "{router:#?}");
    assert!(of("workloadref-canary-paused").contains(&"Deployment  metadata.name=wd".to_owned()));
    assert!(of("bluegreen-paused-pre-promotion").contains(&"Service  metadata.name=g1-a".to_owned()));
}

fn without_image(name: &str, reason: &str, message: &str) -> super::kit::Scene {
    let mut items = super::kit::list(name);
    for pod in items.iter_mut().filter(|i| i["kind"] == "Pod") {
        for container in pod["status"]["containerStatuses"].as_array_mut().into_iter().flatten().filter(|c| c["ready"] != true) {
            container["state"] = serde_json::json!({"waiting": {"reason": reason, "message": message}});
            container["lastState"] = serde_json::json!({});
        }
    }
    super::kit::Scene::of(&items)
}

#[test]
fn pods_that_cannot_start_are_named_long_before_the_deadline() {
    let warned = |ro: &rolltop::model::Rollout| {
        ro.notices.iter().find(|n| n.text.contains("cannot start")).map(|n| (n.severity, n.text.to_string()))
    };
    for reason in ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CrashLoopBackOff", "CreateContainerConfigError"] {
        let ro = without_image("bluegreen-post-cutover-crashloop", reason, "no such thing").model();
        let (severity, text) = warned(&ro).unwrap();
        assert_eq!(severity, Severity::Warning);
        assert!(text.starts_with(&format!("new pods cannot start: {reason}: no such thing (pod ")), "{text}");
        assert_eq!(&*ro.wait.unwrap().reason, format!("0 of 3 new pods ready: {reason}"));
        assert_eq!(ro.phase, P::Failing, "users are on them");
    }
    let waiting = without_image("bluegreen-post-cutover-crashloop", "ContainerCreating", "");
    assert_eq!(warned(&waiting.model()), None, "a pod that is still being made is no trouble");
    let ro = scene("canary-deadline-exceeded").model();
    assert!(warned(&ro).unwrap().1.starts_with("new pods cannot start: Unschedulable: 0/3 nodes"));
    assert_eq!(ro.wait.unwrap().reason, "gave up waiting for pods: Unschedulable");
    let early = |r: &mut serde_json::Value| {
        r["status"]["phase"] = "Progressing".into();
        r["status"]["message"] = "more replicas need to be updated".into();
    };
    let ro = changed("canary-deadline-exceeded", early).model();
    assert_eq!((ro.phase, warned(&ro).is_some()), (P::Progressing, true), "the phase stays the controller's word");
    assert_eq!(warned(&scene("canary-healthy").model()), None);
}

/// Both share one line of 80 columns; there "nothing until someone promotes; then" is cut to two words.
#[test]
fn what_comes_next_and_the_way_back_are_short() {
    let mut long = Vec::new();
    for name in names() {
        let ro = scene(&name).model();
        let limit = if ro.next.what.contains("then ") { 66 } else { 45 };
        long.extend([(ro.next.what, limit), (ro.way_back.what, 45)].into_iter().filter(|(t, n)| t.chars().count() > *n));
    }
    assert!(long.is_empty(), "{long:#?}");
}
