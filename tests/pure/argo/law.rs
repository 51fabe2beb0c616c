//! The table of actions, row by row and verb by verb.
//!
//! `WANTED` is written from the law itself, not from the code: one letter per verb in the order of `VERBS`.
//! `+` is allowed, anything else a refusal; the letter names the verb the refusal points at (`.` none).

use rolltop::{
    engine::argo::{
        facts::Facts,
        law::LAW,
        status::{Situation as S, situation},
    },
    intent::{Intent, Verb},
    model::Text,
};
use serde_json::{Value, json};

use super::kit::{Scene, changed, list, scene};

/// promote, Full, skip, pause, resume, abort, retry, undo, restart, image, flip.
const VERBS: [(Verb, char); 11] = [
    (Verb::Promote, 'p'),
    (Verb::PromoteFull, 'F'),
    (Verb::Skip, 's'),
    (Verb::Pause, 'z'),
    (Verb::Resume, 'e'),
    (Verb::Abort, 'a'),
    (Verb::Retry, 'r'),
    (Verb::Undo, 'u'),
    (Verb::Restart, 'R'),
    (Verb::SetImage, 'i'),
    (Verb::Flip, 'f'),
];

fn intent(verb: Verb) -> Intent {
    match verb {
        Verb::Promote => Intent::Promote,
        Verb::PromoteFull => Intent::PromoteFull,
        Verb::Skip => Intent::Skip,
        Verb::Pause => Intent::Pause,
        Verb::Resume => Intent::Resume,
        Verb::Abort => Intent::Abort,
        Verb::Retry => Intent::Retry,
        Verb::Undo => Intent::Undo { to: None },
        Verb::Restart => Intent::Restart,
        Verb::SetImage => Intent::SetImage { container: "app".into(), image: "app:v9".into() },
        Verb::Flip => Intent::Flip,
        Verb::ScaleDown => Intent::ScaleDown,
        Verb::SetWeight => Intent::SetWeight { percent: 50 },
        Verb::Scale => Intent::Scale { replicas: 3 },
        Verb::KillFlag => Intent::Kill { flag: "new-checkout".into() },
        Verb::Arm => Intent::Arm { minutes: 30, flag: None },
        Verb::Disarm => Intent::Disarm,
    }
}

/// What belongs to other engines is refused whatever the state, with a reason of its own where nothing else is the matter.
#[test]
fn no_state_lets_the_verbs_of_other_engines_through() {
    for verb in [Verb::ScaleDown, Verb::SetWeight, Verb::Scale, Verb::KillFlag, Verb::Arm, Verb::Disarm] {
        assert!(scene("canary-paused-at-step").plan(&intent(verb)).is_err(), "{verb:?}");
        assert!(LAW.iter().all(|row| !row.allow.contains(&verb)), "{verb:?}");
    }
    let weight = scene("canary-paused-at-step").plan(&intent(Verb::SetWeight)).unwrap_err();
    assert!(weight.reason.contains("steps"), "{}", weight.reason);
}

fn row(scene: &Scene) -> String {
    VERBS
        .iter()
        .map(|(verb, _)| match scene.plan(&intent(*verb)) {
            Ok(_) => '+',
            Err(refusal) => refusal.try_verb.map_or('.', |v| VERBS.iter().find(|(w, _)| *w == v).unwrap().1),
        })
        .collect()
}

fn with(name: &'static str, change: impl FnOnce(&mut Value)) -> Scene {
    changed(name, change)
}

/// A pause before the switch in a canary's clothes: background analysis could not decide.
fn background() -> Scene {
    with("canary-timed-pause-background-analysis", |r| {
        r["status"]["pauseConditions"] = json!([{"reason": "InconclusiveAnalysisRun", "startTime": "2026-11-21T03:35:30Z"}]);
    })
}

fn blue_green_inconclusive() -> Scene {
    with("bluegreen-paused-pre-promotion", |r| r["status"]["pauseConditions"][0]["reason"] = "InconclusiveAnalysisRun".into())
}

fn deleting() -> Scene {
    with("canary-healthy", |r| r["metadata"]["deletionTimestamp"] = "2026-11-21T03:40:00Z".into())
}

fn without_steps() -> Scene {
    with("analysis-running", |r| {
        r["spec"]["strategy"]["canary"]["steps"] = Value::Null;
        r["status"]["currentStepIndex"] = Value::Null;
    })
}

/// The recorded scenes of experiment and analysis steps have no ReplicaSets, so their undo is "not loaded yet".
#[test]
fn every_row_of_the_law() {
    #[rustfmt::skip]
    let table: Vec<(S, Scene, &str)> = vec![
        //                                                                                    pFszearuRif
        (S::Deleting,               deleting(),                                              "..........."),
        (S::Unobserved,             with("canary-router-paused-at-step", |r| r["metadata"]["generation"] = 5.into()), "..........."),
        (S::Unpausing,              scene("canary-unpausing"),                               "..........."),
        (S::Invalid,                scene("invalid-spec"),                                   "uuuuuuu.u+u"),
        (S::AbortPending,           with("canary-router-paused-at-step", |r| r["status"]["abort"] = true.into()), "..........."),
        (S::RetryPending,           with("canary-router-aborted", |r| r["status"]["abort"] = false.into()), "..........."),
        (S::Aborted,                scene("canary-router-aborted"),                          "r+rr.u++r+."),
        (S::Aborted,                scene("bluegreen-aborted-before-cutover"),               "r+rr.u++r+r"),
        (S::AbortBlocked,           scene("bluegreen-abort-blocked-crashloop"),              "uuuuuuu+uuu"),
        (S::AbortBlocked,           scene("bluegreen-aborted-outage-active-scaled-to-zero"), "uuuuuuu+uuu"),
        (S::AbortBlocked,           scene("bluegreen-aborted-while-manually-paused"),        "uuuuuuu+uuu"),
        (S::AbortFrozen,            scene("canary-aborted-not-executed-paused-scaling"),     "aaaa++a+aaa"),
        (S::FirstDeploy,            with("canary-healthy", |r| r["status"]["stableRS"] = "".into()), "...+.....+."),
        (S::Idle,                   scene("canary-router-promoted-scale-down-delay"),        ".......+++."),
        (S::Idle,                   scene("bluegreen-promoted-scale-down-delay"),            ".......++++"),
        (S::IdlePaused,             with("canary-router-promoted-scale-down-delay", |r| r["spec"]["paused"] = true.into()), "...e+..+++."),
        (S::PromotingFull,          scene("canary-promote-full-in-progress"),                "aaaaa+a+aaa"),
        (S::ManualPause,            scene("canary-manually-paused"),                         "++ee++.+++."),
        (S::InconclusiveExperiment, scene("experiment-respawned-while-paused"),              "ss+ss+s+s+s"),
        (S::InconclusiveStep,       scene("analysis-inconclusive"),                          "+pppp+..p+."),
        (S::InconclusiveBackground, background(),                                            "+pppp+.+p+."),
        (S::InconclusiveBlueGreen,  blue_green_inconclusive(),                               "+pppp+.+p++"),
        (S::PauseStep,              scene("canary-router-paused-at-step"),                   "++p+p+.+++."),
        (S::PauseStep,              scene("workloadref-canary-paused"),                      "++p+p+.+++."),
        (S::PauseBlueGreen,         scene("bluegreen-paused-pre-promotion"),                 "++p+p+.++++"),
        (S::DeadlineExceeded,       scene("canary-deadline-exceeded"),                       "+++ap+.+a+."),
        (S::AfterCutover,           scene("bluegreen-post-promotion-analysis"),              ".+.+.+.++++"),
        (S::AfterCutover,           scene("bluegreen-post-cutover-crashloop"),               ".+.+.u.++++"),
        (S::RunningStep,            scene("experiment-running"),                             "s+++.+.+++."),
        (S::Finishing,              with("experiment-running", |r| r["status"]["currentStepIndex"] = 4.into()), ".+.+.+.+++."),
        (S::Running,                without_steps(),                                         ".+.+.+..++."),
    ];
    let seen: Vec<S> = table.iter().map(|(s, ..)| *s).collect();
    for row in LAW {
        assert!(seen.contains(&row.when), "{:?} is in no test", row.when);
    }
    let mut wrong = Vec::new();
    for (here, scene, wanted) in table {
        let facts = Facts::read(&scene.root, &scene.objects).unwrap();
        let what = format!("{here:?} {}", scene.root.meta.name);
        assert_eq!(situation(&facts), here, "{what}");
        let found = row(&scene);
        if found != wanted {
            wrong.push(format!("{what}: wanted {wanted} found {found}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A table that allowed everything would pass half of the test above; this shows which rows protect.
#[test]
fn the_dangerous_cells_are_refusals() {
    let refused: [(&str, Verb, &str); 8] = [
        ("canary-router-aborted", Verb::Promote, "promotes nothing"),
        ("canary-unpausing", Verb::Promote, "would skip a step"),
        ("analysis-running", Verb::Promote, "would skip the step"),
        ("experiment-respawned-while-paused", Verb::Promote, "next experiment"),
        ("bluegreen-post-cutover-crashloop", Verb::Abort, "outage"),
        ("bluegreen-abort-blocked-crashloop", Verb::Retry, "broken version"),
        ("canary-router-promoted-scale-down-delay", Verb::Abort, "nothing is in flight"),
        ("canary-router-promoted-scale-down-delay", Verb::PromoteFull, "would be lost"),
    ];
    for (name, verb, why) in refused {
        let refusal = scene(name).plan(&intent(verb)).unwrap_err();
        assert!(refusal.reason.contains(why), "{name} {verb:?}: {}", refusal.reason);
        assert!(refusal.instead.is_some(), "{name} {verb:?} leaves the reader alone");
    }
}

#[test]
fn after_the_switch_a_manual_pause_makes_abort_a_trap() {
    let paused = with("bluegreen-post-promotion-analysis", |r| r["spec"]["paused"] = true.into());
    let refusal = paused.plan(&Intent::Abort).unwrap_err();
    assert_eq!(refusal.try_verb, Some(Verb::Undo), "{refusal:?}");
    let before = with("bluegreen-paused-pre-promotion", |r| r["spec"]["paused"] = true.into());
    assert_eq!(before.plan(&Intent::Abort).unwrap().writes.len(), 2, "before the switch it is safe: abort, then unpause");
}

#[test]
fn a_retry_that_the_failed_run_would_abort_again_is_refused() {
    let failed =
        with("bluegreen-aborted-after-cutover", |r| r["status"]["blueGreen"]["postPromotionAnalysisRunStatus"]["status"] = "Failed".into());
    assert_eq!(failed.plan(&Intent::Retry).unwrap_err().try_verb, Some(Verb::Undo));
    assert!(scene("bluegreen-aborted-after-cutover").plan(&Intent::Retry).is_ok(), "a terminated run does not count");
}

#[test]
fn undo_says_why_it_cannot() {
    let to = |hash: &str| Intent::Undo { to: Some(Text::from(hash)) };
    let paused = scene("canary-router-paused-at-step");
    assert!(paused.plan(&to("54fdc7d5b5")).unwrap_err().reason.contains("wanted version already"));
    assert!(paused.plan(&to("nope")).unwrap_err().reason.contains("is gone"));
    assert!(paused.alone().plan(&to("77848588d4")).unwrap_err().reason.contains("not loaded yet"));
    assert!(scene("canary-healthy").plan(&Intent::Undo { to: None }).unwrap_err().reason.contains("no earlier version"));
}

#[test]
fn another_object_of_the_same_name_is_never_written() {
    let looked_at = scene("canary-router-paused-at-step").model();
    let mut items = list("canary-router-paused-at-step");
    items.iter_mut().find(|i| i["kind"] == "Rollout").unwrap()["metadata"]["uid"] = "other".into();
    let now = Scene::of(&items);
    use rolltop::engine::{Engine, argo::ARGO};
    assert!(ARGO.plan(&looked_at, &now.root, &now.objects, &Intent::Promote, super::kit::now()).is_err());
}
