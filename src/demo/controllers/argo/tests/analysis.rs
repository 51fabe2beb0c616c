//! Analyses and Experiments that rollouts ask for.

use serde_json::{Value, json};

use super::play::*;

fn analysis_step(template: &str) -> Value {
    json!([{"setWeight": 25}, {"analysis": {"templates": [{"templateName": template}]}}, {"setWeight": 50}, {"pause": {}}])
}

/// A canary without a router and with templates to choose from, its second version begun.
fn begun(canary: Value) -> Play {
    let mut play = Play::empty_with_templates();
    play.create("rollouts.argoproj.io", rollout(json!({ "canary": canary })));
    play.wait(3.0);
    play.seen();
    play.image("v2").wait(2.0);
    play
}

fn run(play: &Play, suffix: &str) -> Value {
    play.get("analysisruns.argoproj.io", &format!("x-{}-2{suffix}", play.hash("v2")))
}

#[test]
fn a_step_waits_for_its_run() {
    let play = begun(json!({"steps": analysis_step("good")}));
    assert_eq!((play.phase().as_str(), play.status()["currentStepIndex"].as_i64()), ("Paused CanaryPauseStep", Some(3)));
    let run = run(&play, "-1");
    let labels = json!({"app": "x", "rollout-type": "Step", "step-index": "1", "rollouts-pod-template-hash": play.hash("v2")});
    assert_eq!((&run["metadata"]["labels"], &run["status"]["phase"]), (&labels, &json!("Successful")));
    assert_eq!(run["metadata"]["annotations"], json!({"rollout.argoproj.io/revision": "2"}));
    assert!(play.status()["canary"]["currentStepAnalysisRunStatus"].is_null());
    let reasons = play.reasons();
    assert!(reasons.contains(&"AnalysisRunSuccessful".into()), "{reasons:?}");
}

#[test]
fn a_failed_step_aborts_and_a_retry_measures_again() {
    let mut play = begun(json!({"steps": analysis_step("bad")}));
    let why = "Step-based analysis phase error/failed: Metric \"m\" assessed Failed due to failed (1) > failureLimit (0)";
    assert_eq!(play.phase(), format!("Degraded RolloutAborted: Rollout aborted update to revision 2: {why}"));
    assert_eq!((play.size("v1"), play.size("v2")), (4, 0));
    play.retry().wait(3.0);
    assert_eq!(run(&play, "-1.1")["status"]["phase"], "Failed");
    assert!(play.phase().starts_with("Degraded RolloutAborted"));
}

#[test]
fn an_inconclusive_step_asks_a_person() {
    let mut play = begun(json!({"steps": analysis_step("vague")}));
    assert_eq!((play.phase().as_str(), &play.status()["controllerPause"]), ("Paused InconclusiveAnalysisRun", &json!(true)));
    assert_eq!(play.status()["canary"]["currentStepAnalysisRunStatus"]["status"], "Inconclusive");
    // Without an answer for the step it is measured again.
    play.promote().wait(2.0);
    assert_eq!((play.phase().as_str(), &run(&play, "-1.1")["status"]["phase"]), ("Paused InconclusiveAnalysisRun", &json!("Inconclusive")));
    play.patch_status(json!({"pauseConditions": null, "controllerPause": false, "currentStepIndex": 2})).wait(2.0);
    assert_eq!((play.phase().as_str(), play.status()["currentStepIndex"].as_i64()), ("Paused CanaryPauseStep", Some(3)));
}

#[test]
fn a_step_skipped_or_aborted_ends_its_run() {
    let mut play = begun(json!({"steps": analysis_step("slow")}));
    assert_eq!(play.status()["canary"]["currentStepAnalysisRunStatus"]["status"], "Running");
    play.patch_status(json!({"pauseConditions": null, "currentStepIndex": 2})).wait(2.0);
    let ended = run(&play, "-1");
    assert_eq!((&ended["spec"]["terminate"], &ended["status"]["message"]), (&json!(true), &json!("Run Terminated")));
    assert_eq!(play.phase(), "Paused CanaryPauseStep");
    let mut play = begun(json!({"steps": analysis_step("slow")}));
    play.abort().wait(1.0);
    assert_eq!(run(&play, "-1")["spec"]["terminate"], true);
    assert!(play.status()["canary"]["currentStepAnalysisRunStatus"].is_null());
}

#[test]
fn a_background_run_begins_at_its_step_and_ends_with_the_update() {
    let analysis = json!({"templates": [{"templateName": "endless"}], "startingStep": 2});
    let mut play = begun(json!({"steps": steps(), "analysis": analysis}));
    assert_eq!(run(&play, ""), Value::Null);
    play.promote().wait(2.0);
    assert_eq!(play.status()["canary"]["currentBackgroundAnalysisRunStatus"]["status"], "Running");
    assert_eq!(run(&play, "")["metadata"]["labels"]["rollout-type"], "Background");
    play.promote().wait(3.0);
    assert_eq!((play.phase().as_str(), &run(&play, "")["status"]["phase"]), ("Healthy", &json!("Successful")));
    assert!(play.status()["canary"]["currentBackgroundAnalysisRunStatus"].is_null());
}

#[test]
fn a_background_run_that_fails_aborts_even_at_a_pause() {
    let late = json!({"templates": [{"templateName": "late-bad"}]});
    let mut play = begun(json!({"steps": steps(), "analysis": late}));
    assert_eq!(play.phase(), "Paused CanaryPauseStep");
    play.wait(10.0);
    let why = "Background analysis phase error/failed: Metric \"m\" assessed Failed due to failed (1) > failureLimit (0)";
    assert_eq!(play.phase(), format!("Degraded RolloutAborted: Rollout aborted update to revision 2: {why}"));
}

#[test]
fn nobody_reacts_to_a_failed_run_while_a_new_size_waits_for_a_manual_pause() {
    let mut play = begun(json!({"steps": steps(), "analysis": {"templates": [{"templateName": "late-bad"}]}}));
    play.pause(true).wait(1.0).patch(json!({"spec": {"replicas": 6}})).wait(10.0);
    assert_eq!(run(&play, "")["status"]["phase"], "Failed");
    let status = play.status();
    assert_eq!(
        (play.phase().as_str(), &status["canary"]["currentBackgroundAnalysisRunStatus"]["status"]),
        ("Paused manually paused", &json!("Running"))
    );
    play.pause(false).wait(2.0);
    assert!(play.phase().starts_with("Degraded RolloutAborted"), "{}", play.phase());
}

#[test]
fn a_run_knows_the_versions() {
    let args = json!([
        {"name": "new", "valueFrom": {"podTemplateHashValue": "Latest"}},
        {"name": "old", "valueFrom": {"podTemplateHashValue": "Stable"}},
        {"name": "app", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "plain", "value": "1"},
    ]);
    let steps = json!([{"setWeight": 25}, {"analysis": {"templates": [{"templateName": "args"}], "args": args}}, {"pause": {}}]);
    let play = begun(json!({ "steps": steps }));
    let given = run(&play, "-1")["spec"]["args"].clone();
    let pair = |name: &str, value: &str| json!({"name": name, "value": value});
    assert_eq!(given, json!([pair("new", &play.hash("v2")), pair("old", &play.hash("v1")), pair("app", "x"), pair("plain", "1")]));
}

#[test]
fn a_template_that_is_missing_or_endless_makes_the_spec_invalid() {
    let field = "spec.strategy.canary.steps[1].analysis.templates";
    let invalid = |why: &str| format!("Degraded InvalidSpec: The Rollout \"x\" is invalid: {field}: Invalid value: {why}");
    let mut play = Play::empty_with_templates();
    play.create("rollouts.argoproj.io", rollout(json!({"canary": {"steps": analysis_step("none")}})));
    play.wait(2.0);
    assert_eq!(play.phase(), invalid("\"none\": AnalysisTemplate 'none' not found"));
    play.patch(json!({"spec": {"strategy": {"canary": {"steps": analysis_step("endless")}}}})).wait(12.0);
    let why = "\"endless\": AnalysisTemplate endless has metric m which runs indefinitely. Invalid value for count: <nil>";
    assert_eq!(play.phase(), invalid(why));
}

#[test]
fn before_the_switch_a_bad_preview_is_never_active() {
    let mut play = Play::empty_with_templates();
    ["x-a", "x-p"].iter().for_each(|name| drop(play.create("services", service(name))));
    let settings = json!({
        "activeService": "x-a", "previewService": "x-p", "abortScaleDownDelaySeconds": 5,
        "prePromotionAnalysis": {"templates": [{"templateName": "bad"}]},
    });
    play.create("rollouts.argoproj.io", rollout(json!({ "blueGreen": settings })));
    play.wait(3.0).image("v2").wait(2.0);
    let why = "Blue/green pre-promotion analysis phase error/failed: Metric \"m\" assessed Failed due to failed (1) > failureLimit (0)";
    assert_eq!(play.phase(), format!("Degraded RolloutAborted: Rollout aborted update to revision 2: {why}"));
    assert_eq!((play.behind("x-a").as_str(), play.behind("x-p").as_str()), ("v1", "v2"));
    // Unlike a canary's, the run stays in the status.
    assert_eq!(play.status()["blueGreen"]["prePromotionAnalysisRunStatus"]["status"], "Failed");
    play.wait(8.0).retry().wait(3.0);
    assert_eq!(run(&play, "-pre.1")["status"]["phase"], "Failed");
}

#[test]
fn only_a_few_finished_runs_are_kept() {
    let mut play = begun(json!({"steps": analysis_step("bad")}));
    for _ in 0..8 {
        play.retry().wait(3.0);
    }
    assert_eq!(play.runs().len(), 5);
}

fn experiment_step() -> Value {
    let templates = json!([
        {"name": "base", "specRef": "stable", "replicas": 1},
        {"name": "new", "specRef": "canary", "metadata": {"labels": {"role": "trial"}}},
    ]);
    json!([{"setWeight": 25}, {"experiment": {"templates": templates, "duration": "5s"}}, {"pause": {}}])
}

#[test]
fn an_experiment_runs_both_versions() {
    let mut play = Play::empty_with_templates();
    play.create("rollouts.argoproj.io", rollout(json!({"canary": {"steps": experiment_step()}})));
    play.wait(3.0).image("v2").wait(0.6);
    let name = format!("x-{}-2-1", play.hash("v2"));
    assert_eq!(play.status()["canary"]["currentExperiment"], name);
    let experiment = play.get("experiments.argoproj.io", &name);
    let images: Vec<&Value> =
        experiment["spec"]["templates"].as_array().unwrap().iter().map(|t| &t["template"]["spec"]["containers"][0]["image"]).collect();
    assert_eq!(images, ["app:v1", "app:v2"]);
    assert_eq!(experiment["spec"]["templates"][1]["selector"]["matchLabels"]["role"], "trial");
    assert_eq!(experiment["spec"]["duration"], "5s");
    assert!(play.events().contains(&format!("ExperimentCreated: Created Experiment '{name}'")));
    play.abort().wait(1.0);
    assert_eq!(play.get("experiments.argoproj.io", &name)["spec"]["terminate"], true);
    assert!(play.status()["canary"]["currentExperiment"].is_null());
}
