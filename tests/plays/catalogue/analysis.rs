//! Analyses beside and within a canary's steps.

use serde_json::{Value, json};

use super::*;
use crate::{
    plugin::Command::*,
    script::{Act::*, Until::*},
};

fn step(name: &str) -> Value {
    json!([{"setWeight": 25}, {"analysis": templates(name)}, {"setWeight": 50}, {"pause": {}}])
}

fn with_step(template: Value) -> Play {
    let name = template["metadata"]["name"].as_str().unwrap().to_owned();
    canary(nginx().steps(step(&name))).with(vec![template]).update()
}

fn with_background(template: Value) -> Play {
    let name = template["metadata"]["name"].as_str().unwrap().to_owned();
    let steps = json!([{"setWeight": 25}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]);
    nginx_with(&json!({"analysis": templates(&name)}), steps).with(vec![template]).update()
}

pub fn step_succeeds() -> Play {
    with_step(good("good")).when(PausedAt(3), [])
}

pub fn step_measures_thrice() -> Play {
    with_step(template("thrice", &json!({"interval": "1s", "count": 3, "successCondition": "result[0] > 0"}))).when(PausedAt(3), [])
}

pub fn step_fails() -> Play {
    with_step(bad("bad")).when(Phase("Degraded"), [])
}

pub fn step_fails_again_after_retry() -> Play {
    with_step(bad("bad")).when(Phase("Degraded"), []).rest([Plugin(Retry)])
}

pub fn step_is_inconclusive_then_accepted() -> Play {
    with_step(vague("vague")).when(PausedFor("InconclusiveAnalysisRun"), []).rest([Plugin(Promote)]).when(PausedAt(3), [])
}

pub fn step_is_inconclusive_then_measured_again() -> Play {
    let again = Status(json!({"status": {"pauseConditions": null}}));
    with_step(vague("vague")).when(PausedFor("InconclusiveAnalysisRun"), []).rest([again]).when(PausedFor("InconclusiveAnalysisRun"), [])
}

pub fn step_is_inconclusive_then_aborted() -> Play {
    with_step(vague("vague")).when(PausedFor("InconclusiveAnalysisRun"), []).rest([Plugin(Abort)])
}

pub fn step_errs() -> Play {
    let mut broken =
        template("broken", &json!({"interval": "1s", "count": 3, "consecutiveErrorLimit": 1, "successCondition": "result[0] > 0"}));
    broken["spec"]["metrics"][0]["provider"]["prometheus"]["query"] = "rate(".into();
    with_step(broken).when(Phase("Degraded"), [])
}

pub fn step_condition_errs() -> Play {
    with_step(template("odd", &json!({"interval": "1s", "count": 3, "consecutiveErrorLimit": 1, "successCondition": "result.nothing > 0"})))
        .when(Phase("Degraded"), [])
}

pub fn step_that_never_ends_is_invalid() -> Play {
    canary(nginx().steps(step("endless"))).with(vec![template("endless", &json!({"interval": "1s", "successCondition": "result[0] > 0"}))])
}

pub fn step_without_its_template() -> Play {
    canary(nginx().steps(step("missing")))
}

pub fn step_skipped_by_promote() -> Play {
    with_step(long("long")).when(Message("more"), []).rest([Plugin(Promote)]).when(PausedAt(3), [])
}

pub fn step_terminated_by_hand() -> Play {
    with_step(long("long")).rest([Plugin(TerminateAnalysisRun)]).when(PausedAt(3), [])
}

pub fn step_aborted_while_it_measures() -> Play {
    with_step(long("long")).rest([Plugin(Abort)])
}

pub fn step_replaced_by_a_new_version() -> Play {
    with_step(long("long")).rest([Act::release("v3")])
}

pub fn step_kept_over_pause_and_resume() -> Play {
    with_step(long("long")).rest([Plugin(Pause)]).rest([Spec(json!({"spec": {"paused": false}}))])
}

pub fn step_with_arguments() -> Play {
    let mut template = good("args");
    template["spec"]["args"] = json!([{"name": "hash"}, {"name": "fixed", "value": "x"}]);
    let analysis =
        json!({"templates": [{"templateName": "args"}], "args": [{"name": "hash", "valueFrom": {"podTemplateHashValue": "Latest"}}]});
    canary(nginx().steps(json!([{"setWeight": 25}, {"analysis": analysis}, {"pause": {}}])))
        .with(vec![template])
        .update()
        .when(PausedAt(2), [])
}

pub fn step_dry_run_does_not_count() -> Play {
    let analysis = json!({"templates": [{"templateName": "bad"}], "dryRun": [{"metricName": "bad"}]});
    canary(nginx().steps(json!([{"setWeight": 25}, {"analysis": analysis}, {"pause": {}}])))
        .with(vec![bad("bad")])
        .update()
        .when(PausedAt(2), [])
}

pub fn two_metrics_one_bad() -> Play {
    let mut template = good("two");
    let mut second = template["spec"]["metrics"][0].clone();
    second["name"] = "worse".into();
    second["successCondition"] = "result[0] > 2".into();
    template["spec"]["metrics"].as_array_mut().unwrap().push(second);
    with_step(template).when(Phase("Degraded"), [])
}

pub fn failures_within_the_limit() -> Play {
    with_step(template("lenient", &json!({"interval": "1s", "count": 2, "failureLimit": 2, "successCondition": "result[0] > 2"})))
        .when(PausedAt(3), [])
}

pub fn background_succeeds_while_waiting() -> Play {
    with_background(good("good"))
        .when(PausedAt(1), [])
        .rest([Plugin(Promote)])
        .when(PausedAt(3), [])
        .rest([Plugin(Promote)])
        .when(Phase("Healthy"), [])
}

pub fn background_runs_to_the_end() -> Play {
    with_background(long("long")).when(PausedAt(1), []).rest([Plugin(PromoteFull)]).when(Phase("Healthy"), [])
}

pub fn background_fails_while_waiting() -> Play {
    with_background(souring("souring")).when(Phase("Degraded"), []).rest([Plugin(Undo)]).when(Phase("Healthy"), [])
}

pub fn background_is_inconclusive() -> Play {
    let play = with_background(vague("vague")).when(PausedFor("InconclusiveAnalysisRun"), []);
    play.rest([Plugin(Promote)]).when(PausedFor("InconclusiveAnalysisRun"), []).rest([Plugin(Abort)])
}

pub fn background_fails_under_a_manual_pause() -> Play {
    with_background(souring("souring")).when(PausedAt(1), Plugin(Pause)).when(Phase("Degraded"), [])
}

pub fn background_starts_at_its_step() -> Play {
    let steps = json!([{"setWeight": 25}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]);
    let analysis = json!({"templates": [{"templateName": "long"}], "startingStep": 2});
    let play = nginx_with(&json!({"analysis": analysis}), steps).with(vec![long("long")]).update();
    play.when(PausedAt(1), []).rest([Plugin(Promote)]).when(PausedAt(3), []).rest([Plugin(Abort)])
}
