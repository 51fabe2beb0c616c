//! Canaries: every action where a person could take it.

use std::time::Duration;

use rolltop::intent::Intent;
use serde_json::{Value, json};

use super::*;
use crate::{
    cluster::{Canary, Pods},
    plugin::Command::*,
    script::{Act::*, REST, Until::*},
};

const PAUSED: &str = "/spec/paused";

fn two_pauses() -> Value {
    json!([{"setWeight": 25}, {"pause": {}}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}])
}

fn timed() -> Value {
    json!([{"setWeight": 25}, {"pause": {"duration": 2}}, {"setWeight": 60}, {"pause": {"duration": "3s"}}])
}

fn at_first_pause() -> Play {
    canary(nginx()).update()
}

fn resume() -> Act {
    Spec(json!({"spec": {"paused": false}}))
}

pub fn promote_nginx() -> Play {
    at_first_pause().when(PausedAt(1), Plugin(Promote)).when(PausedAt(3), Plugin(Promote)).when(Phase("Healthy"), [])
}

pub fn promote_istio() -> Play {
    let play = canary(Canary { strategy: brief(), ..Canary::istio() }).update();
    play.when(PausedAt(1), Plugin(Promote)).when(PausedAt(3), Plugin(Promote)).when(Phase("Healthy"), [])
}

pub fn promote_basic() -> Play {
    let play = canary(Canary::default()).update();
    play.when(PausedAt(1), Plugin(Promote)).when(PausedAt(3), Plugin(Promote)).when(Phase("Healthy"), [])
}

pub fn promote_by_rolltop() -> Play {
    at_first_pause().when(PausedAt(1), Rolltop(Intent::Promote)).when(PausedAt(3), Rolltop(Intent::Promote)).when(Phase("Healthy"), [])
}

pub fn without_steps_nginx() -> Play {
    canary(nginx().steps(json!(null))).update().when(Phase("Healthy"), [])
}

pub fn without_steps_basic() -> Play {
    canary(Canary::default().steps(json!(null))).update().when(Phase("Healthy"), [])
}

pub fn timed_pauses_need_nobody() -> Play {
    canary(nginx().steps(timed())).update().when(Phase("Healthy"), [])
}

pub fn promote_ends_a_timed_pause_early() -> Play {
    let steps = json!([{"setWeight": 25}, {"pause": {"duration": "10m"}}, {"setWeight": 50}, {"pause": {}}]);
    canary(nginx().steps(steps)).update().when(PausedAt(1), Plugin(Promote)).when(PausedAt(3), [])
}

pub fn two_people_promote_one_pause() -> Play {
    canary(nginx().steps(two_pauses())).update().rest([Plugin(Promote), Plugin(Promote)])
}

pub fn two_people_promote_by_rolltop() -> Play {
    canary(nginx().steps(two_pauses())).update().rest([Rolltop(Intent::Promote), Rolltop(Intent::Promote)])
}

/// The second press finds the pause cleared and moves the index before the controller has seen the first.
pub fn second_press_before_the_first_was_seen() -> Play {
    let second = Status(json!({"status": {"pauseConditions": null, "currentStepIndex": 2}}));
    canary(nginx().steps(two_pauses())).update().rest([Plugin(Promote), second])
}

pub fn promote_full_from_a_pause() -> Play {
    at_first_pause().when(PausedAt(1), Plugin(PromoteFull)).when(Phase("Healthy"), [])
}

pub fn promote_full_basic() -> Play {
    canary(Canary::default()).update().when(PausedAt(1), Plugin(PromoteFull)).when(Phase("Healthy"), [])
}

pub fn promote_full_swallows_a_plain_abort() -> Play {
    let stop = Status(json!({"status": {"promoteFull": false, "abort": true}}));
    let never = release("v2", Pods::Never);
    canary(nginx()).when(Phase("Healthy"), []).rest([never]).rest([Plugin(PromoteFull)]).rest([Plugin(Abort)]).rest([stop])
}

pub fn promote_full_on_healthy_is_nothing() -> Play {
    canary(nginx()).when(Phase("Healthy"), []).rest([Status(json!({"status": {"promoteFull": true}}))])
}

pub fn skip_the_pause() -> Play {
    at_first_pause().rest([Plugin(SkipCurrentStep)])
}

pub fn skip_all_steps() -> Play {
    at_first_pause().rest([Plugin(SkipAllSteps)]).when(Phase("Healthy"), [])
}

pub fn promote_skips_a_running_step() -> Play {
    canary(nginx()).when(Phase("Healthy"), []).rest([release("v2", Pods::Never)]).rest([Plugin(Promote)]).rest([Plugin(Promote)])
}

pub fn abort_at_a_pause_then_retry() -> Play {
    at_first_pause().rest([Plugin(Abort)]).rest([Plugin(Retry)]).when(PausedAt(1), Plugin(Promote)).when(PausedAt(3), [])
}

pub fn abort_basic_then_retry() -> Play {
    let play = canary(Canary::default()).update().rest([Plugin(Promote)]);
    play.when(PausedAt(3), []).rest([Plugin(Abort)]).rest([Plugin(Retry)]).when(PausedAt(1), [])
}

pub fn abort_istio() -> Play {
    canary(Canary { strategy: brief(), ..Canary::istio() }).update().rest([Plugin(Promote)]).when(PausedAt(3), []).rest([Plugin(Abort)])
}

pub fn abort_by_rolltop() -> Play {
    at_first_pause().rest([Rolltop(Intent::Abort)]).rest([Rolltop(Intent::Retry)]).when(PausedAt(1), [])
}

pub fn abort_before_the_pods_are_there() -> Play {
    canary(nginx()).when(Phase("Healthy"), []).rest([release("v2", Pods::Never)]).rest([Plugin(Abort)])
}

pub fn abort_on_healthy_is_nothing() -> Play {
    canary(nginx()).when(Phase("Healthy"), []).rest([Plugin(Abort)])
}

pub fn abort_with_nobody_to_scale_down() -> Play {
    nginx_with(&json!({"abortScaleDownDelaySeconds": 0}), two_pauses()).update().rest([Plugin(Abort)])
}

pub fn promote_on_aborted_is_undone() -> Play {
    at_first_pause().rest([Plugin(Abort)]).rest([Plugin(Promote)])
}

pub fn promote_full_ships_an_aborted_version() -> Play {
    at_first_pause().rest([Plugin(Abort)]).rest([Plugin(PromoteFull)]).when(Phase("Healthy"), [])
}

pub fn undo_an_aborted_version() -> Play {
    at_first_pause().rest([Plugin(Abort)]).rest([Plugin(Undo)]).when(Phase("Healthy"), [])
}

pub fn undo_in_mid_update() -> Play {
    at_first_pause().rest([Plugin(Promote)]).when(PausedAt(3), []).rest([Plugin(Undo)]).when(Phase("Healthy"), [])
}

pub fn undo_basic_in_mid_update() -> Play {
    canary(Canary::default()).update().when(PausedAt(1), []).rest([Plugin(Undo)]).when(Phase("Healthy"), [])
}

pub fn undo_after_the_release_runs_all_steps() -> Play {
    at_first_pause().rest([Plugin(PromoteFull)]).when(Phase("Healthy"), []).rest([Plugin(Undo)]).when(PausedAt(1), [])
}

pub fn undo_to_a_revision() -> Play {
    at_first_pause().rest([Plugin(PromoteFull)]).rest([Act::release("v3")]).rest([Plugin(UndoTo(1))]).when(PausedAt(1), [])
}

pub fn two_bad_revisions_then_undo() -> Play {
    let play = at_first_pause().rest([Plugin(Abort)]).rest([Act::release("v3")]).when(PausedAt(1), []).rest([Plugin(Abort)]);
    play.rest([Plugin(Undo)]).when(PausedAt(1), []).rest([Rolltop(Intent::Undo { to: None })]).when(Phase("Healthy"), [])
}

pub fn release_over_an_aborted_version() -> Play {
    at_first_pause().rest([Plugin(Abort)]).rest([Act::release("v3")]).when(PausedAt(1), Plugin(PromoteFull)).when(Phase("Healthy"), [])
}

pub fn release_over_a_paused_version() -> Play {
    at_first_pause().rest([Act::release("v3")]).when(PausedAt(1), [])
}

pub fn quick_redeploys() -> Play {
    let soon = Duration::from_millis(1_200);
    at_first_pause().after(Now, soon, Act::release("v3")).after(Now, soon, Act::release("v4")).when(PausedAt(1), [])
}

pub fn changed_steps_start_again() -> Play {
    let steps = json!([{"setWeight": 10}, {"pause": {}}]);
    let patch = Spec(json!({"spec": {"strategy": {"canary": {"steps": steps}}}}));
    at_first_pause().rest([Plugin(Promote)]).when(PausedAt(3), []).rest([patch]).when(PausedAt(1), [])
}

pub fn rollback_window_skips_steps() -> Play {
    let options =
        Canary { spec: json!({"rollbackWindow": {"revisions": 2}}), strategy: json!({"scaleDownDelaySeconds": 30}), ..Canary::nginx() };
    canary(options).update().rest([Plugin(PromoteFull)]).when(Phase("Healthy"), []).rest([Plugin(Undo)]).when(Phase("Healthy"), [])
}

pub fn pause_and_resume_at_a_pause_step() -> Play {
    at_first_pause().rest([Plugin(Pause)]).rest([resume()])
}

pub fn pause_and_resume_by_rolltop() -> Play {
    at_first_pause().rest([Rolltop(Intent::Pause)]).rest([Rolltop(Intent::Resume)])
}

/// Two writes: between them the controller may find itself paused by hand at a step without its pause, and take it again.
pub fn promote_while_manually_paused() -> Play {
    at_first_pause().rest([Plugin(Pause)]).rest([Plugin(Promote)])
}

pub fn a_timed_pause_elapses_under_a_manual_one() -> Play {
    let play = canary(nginx().steps(timed())).update().when(PausedAt(1), Plugin(Pause));
    play.after(Message("manually paused"), Duration::from_secs(3), resume()).when(Phase("Healthy"), [])
}

pub fn pause_while_a_step_runs() -> Play {
    let play = canary(nginx()).when(Phase("Healthy"), []).rest([release("v2", Pods::Slow), Plugin(Pause)]);
    play.after(Message("manually paused"), Duration::from_secs(4), resume()).when(PausedAt(1), [])
}

pub fn pause_on_healthy_then_release() -> Play {
    let play = canary(nginx()).when(Phase("Healthy"), []).rest([Plugin(Pause)]).rest([Act::release("v2")]);
    play.rest([resume()]).when(PausedAt(1), [])
}

pub fn abort_while_manually_paused() -> Play {
    at_first_pause().rest([Plugin(Pause)]).rest([Plugin(Abort)]).rest([resume()])
}

pub fn abort_by_rolltop_while_manually_paused() -> Play {
    at_first_pause().rest([Plugin(Pause)]).rest([Rolltop(Intent::Abort)])
}

pub fn promote_full_while_manually_paused() -> Play {
    at_first_pause().rest([Plugin(Pause)]).rest([Plugin(PromoteFull)]).when(Phase("Healthy"), [])
}

pub fn scale_at_a_pause() -> Play {
    at_first_pause().rest([Scale(8)]).rest([Scale(2)]).rest([Plugin(Promote)]).when(PausedAt(3), [])
}

pub fn scale_basic_at_a_pause() -> Play {
    canary(Canary::default()).update().when(PausedAt(1), []).rest([Scale(8)]).rest([Scale(2)])
}

pub fn scale_on_healthy() -> Play {
    canary(nginx()).when(Phase("Healthy"), []).rest([Scale(6)]).rest([Scale(1)]).rest([Scale(0)])
}

/// Nothing reacts any more, an abort only in words, until somebody resumes.
pub fn scale_while_manually_paused_then_abort() -> Play {
    at_first_pause().rest([Plugin(Pause)]).rest([Scale(6)]).rest([Plugin(Abort)]).rest([resume()])
}

pub fn restart_on_healthy() -> Play {
    canary(nginx()).when(Phase("Healthy"), []).rest([Plugin(Restart)]).when(Phase("Healthy"), [])
}

pub fn restart_at_a_pause() -> Play {
    at_first_pause().rest([Plugin(Restart)])
}

pub fn set_canary_scale() -> Play {
    let steps = json!([{"setCanaryScale": {"replicas": 3}}, {"setWeight": 20}, {"pause": {}}, {"setCanaryScale": {"matchTrafficWeight": true}}, {"pause": {}},
        {"setCanaryScale": {"weight": 50}}, {"pause": {}}]);
    let play = canary(nginx().steps(steps)).update().when(PausedAt(2), []).rest([Plugin(Promote)]).when(PausedAt(4), []);
    play.rest([Plugin(Promote)]).when(PausedAt(6), []).rest([Plugin(Promote)]).when(Phase("Healthy"), [])
}

fn dynamic() -> Play {
    let strategy = json!({"dynamicStableScale": true, "scaleDownDelaySeconds": null, "abortScaleDownDelaySeconds": null});
    nginx_with(&strategy, json!([{"setWeight": 25}, {"pause": {}}, {"setWeight": 75}, {"pause": {}}]))
}

pub fn dynamic_stable_scale() -> Play {
    let play = dynamic().update();
    play.when(PausedAt(1), []).rest([Plugin(Promote)]).when(PausedAt(3), []).rest([Plugin(Promote)]).when(Phase("Healthy"), [])
}

pub fn dynamic_stable_scale_aborted() -> Play {
    let play = dynamic().update();
    play.when(PausedAt(1), []).rest([Plugin(Promote)]).when(PausedAt(3), []).rest([Plugin(Abort)])
}

pub fn dynamic_stable_scale_with_a_deadline_is_invalid() -> Play {
    nginx_with(&json!({"dynamicStableScale": true}), two_pauses())
}

pub fn ephemeral_metadata() -> Play {
    let metadata = json!({"canaryMetadata": {"labels": {"role": "canary"}}, "stableMetadata": {"labels": {"role": "stable"}}});
    nginx_with(&metadata, json!([{"setWeight": 25}, {"pause": {}}]))
        .update()
        .when(PausedAt(1), [])
        .rest([Plugin(Promote)])
        .when(Phase("Healthy"), [])
}

pub fn weights_out_of_hundred_and_all_at_once() -> Play {
    let steps = json!([{"setWeight": 100}, {"pause": {}}, {"setWeight": 0}, {"pause": {}}]);
    canary(nginx().steps(steps))
        .update()
        .when(PausedAt(1), [])
        .rest([Plugin(Promote)])
        .when(PausedAt(3), [])
        .rest([Plugin(Promote)])
        .when(Phase("Healthy"), [])
}

pub fn created_paused() -> Play {
    let options = Canary { spec: json!({"paused": true}), ..nginx() };
    canary(options).when(REST, resume()).when(Field(PAUSED, json!(false)), []).when(Phase("Healthy"), [])
}
