//! Blue-green: before, at and after the cutover.

use std::time::Duration;

use rolltop::intent::Intent;
use serde_json::{Value, json};

use super::*;
use crate::{
    cluster::Pods,
    plugin::Command::*,
    script::{Act::*, REST, Until::*},
};

const WAITS: crate::script::Until = PausedFor("BlueGreenPause");

fn waiting() -> Play {
    blue_green(&json!({})).update().when(WAITS, [])
}

fn automatic(more: &Value) -> Play {
    let mut strategy = json!({"autoPromotionEnabled": true});
    json_patch::merge(&mut strategy, more);
    blue_green(&strategy)
}

fn pre(name: &str) -> Value {
    json!({"prePromotionAnalysis": templates(name)})
}

fn post(name: &str) -> Value {
    json!({"autoPromotionEnabled": true, "scaleDownDelaySeconds": 20, "postPromotionAnalysis": templates(name)})
}

fn resume() -> Act {
    Spec(json!({"spec": {"paused": false}}))
}

pub fn bg_promote() -> Play {
    waiting().rest([Plugin(Promote)]).when(Phase("Healthy"), [])
}

pub fn bg_flip_by_rolltop() -> Play {
    waiting().rest([Rolltop(Intent::Flip)]).when(Phase("Healthy"), [])
}

pub fn bg_two_people_promote() -> Play {
    waiting().rest([Plugin(Promote), Plugin(Promote)]).when(Phase("Healthy"), [])
}

pub fn bg_automatic() -> Play {
    automatic(&json!({})).update().when(Phase("Healthy"), [])
}

pub fn bg_automatic_after_seconds() -> Play {
    automatic(&json!({"autoPromotionSeconds": 3})).update().when(Phase("Healthy"), [])
}

pub fn bg_without_preview_service() -> Play {
    blue_green(&json!({"previewService": null})).update().when(WAITS, []).rest([Plugin(Promote)]).when(Phase("Healthy"), [])
}

pub fn bg_small_preview() -> Play {
    blue_green(&json!({"previewReplicaCount": 1})).update().when(WAITS, []).rest([Plugin(Promote)]).when(Phase("Healthy"), [])
}

pub fn bg_promote_full() -> Play {
    waiting().rest([Plugin(PromoteFull)]).when(Phase("Healthy"), [])
}

pub fn bg_skip_is_removed() -> Play {
    waiting().rest([Status(json!({"status": {"currentStepIndex": 1}}))])
}

pub fn bg_abort_before_the_cutover_then_retry() -> Play {
    waiting().rest([Plugin(Abort)]).rest([Plugin(Retry)]).when(WAITS, [])
}

pub fn bg_abort_by_rolltop() -> Play {
    waiting().rest([Rolltop(Intent::Abort)])
}

pub fn bg_abort_while_pods_start() -> Play {
    blue_green(&json!({})).when(Phase("Healthy"), []).rest([release("v2", Pods::Never)]).rest([Plugin(Abort)])
}

pub fn bg_abort_on_healthy_is_nothing() -> Play {
    blue_green(&json!({})).when(Phase("Healthy"), []).rest([Plugin(Abort)])
}

pub fn bg_undo_before_the_cutover() -> Play {
    waiting().rest([Plugin(Undo)]).when(Phase("Healthy"), [])
}

pub fn bg_undo_an_aborted_version() -> Play {
    waiting().rest([Plugin(Abort)]).rest([Plugin(Undo)]).when(Phase("Healthy"), [])
}

/// The old pods are still there: no pause.
pub fn bg_undo_soon_after_the_cutover() -> Play {
    let play = blue_green(&json!({"scaleDownDelaySeconds": 30})).update().when(WAITS, []).rest([Plugin(Promote)]);
    play.when(Phase("Healthy"), []).rest([Plugin(Undo)]).when(Phase("Healthy"), [])
}

pub fn bg_undo_when_the_old_pods_are_gone() -> Play {
    waiting().rest([Plugin(Promote)]).after(Phase("Healthy"), Duration::from_secs(5), []).rest([Plugin(Undo)]).when(WAITS, [])
}

pub fn bg_release_over_a_waiting_version() -> Play {
    waiting().rest([Act::release("v3")]).when(WAITS, [])
}

pub fn bg_quick_redeploys() -> Play {
    let soon = Duration::from_millis(1_200);
    blue_green(&json!({})).update().after(Now, soon, Act::release("v3")).after(Now, soon, Act::release("v4")).when(WAITS, [])
}

pub fn bg_pause_and_resume() -> Play {
    waiting().rest([Plugin(Pause)]).rest([resume()])
}

pub fn bg_promote_while_manually_paused() -> Play {
    waiting().rest([Plugin(Pause)]).rest([Plugin(Promote)])
}

pub fn bg_old_promote_full_while_manually_paused() -> Play {
    waiting().rest([Plugin(Pause)]).rest([Status(json!({"status": {"promoteFull": true}}))]).rest([resume()]).when(Phase("Healthy"), [])
}

pub fn bg_abort_while_manually_paused() -> Play {
    waiting().rest([Plugin(Pause)]).rest([Plugin(Abort)]).rest([resume()])
}

pub fn bg_scale_while_waiting() -> Play {
    waiting().rest([Scale(5)]).rest([Scale(2)]).rest([Plugin(Promote)]).when(Phase("Healthy"), [])
}

pub fn bg_scale_while_manually_paused() -> Play {
    waiting().rest([Plugin(Pause)]).rest([Scale(5)]).rest([resume()])
}

pub fn bg_restart() -> Play {
    blue_green(&json!({})).when(Phase("Healthy"), []).rest([Plugin(Restart)]).when(Phase("Healthy"), [])
}

pub fn bg_pre_analysis_good() -> Play {
    automatic(&pre("good")).with(vec![good("good")]).update().when(Phase("Healthy"), [])
}

pub fn bg_pre_analysis_good_then_by_hand() -> Play {
    blue_green(&pre("good")).with(vec![good("good")]).update().when(WAITS, []).rest([Plugin(Promote)]).when(Phase("Healthy"), [])
}

pub fn bg_pre_analysis_bad_then_retry() -> Play {
    automatic(&pre("bad")).with(vec![bad("bad")]).update().when(Phase("Degraded"), []).rest([Plugin(Retry)]).when(REST, [])
}

pub fn bg_pre_analysis_vague() -> Play {
    automatic(&pre("vague")).with(vec![vague("vague")]).update().when(PausedFor("InconclusiveAnalysisRun"), []).rest([Plugin(Promote)])
}

pub fn bg_pre_analysis_skipped_by_full_promotion() -> Play {
    automatic(&pre("long")).with(vec![long("long")]).update().rest([Plugin(PromoteFull)]).when(Phase("Healthy"), [])
}

pub fn bg_post_analysis_good() -> Play {
    blue_green(&post("good")).with(vec![good("good")]).update().when(Phase("Healthy"), [])
}

pub fn bg_post_analysis_bad() -> Play {
    blue_green(&post("souring")).with(vec![souring("souring")]).update().when(Phase("Degraded"), [])
}

pub fn bg_post_analysis_bad_then_retry() -> Play {
    blue_green(&post("souring")).with(vec![souring("souring")]).update().when(Phase("Degraded"), []).rest([Plugin(Retry)])
}

pub fn bg_post_analysis_vague() -> Play {
    blue_green(&post("vague")).with(vec![vague("vague")]).update().when(PausedFor("InconclusiveAnalysisRun"), []).rest([Plugin(Promote)])
}

pub fn bg_abort_after_the_cutover() -> Play {
    blue_green(&post("long")).with(vec![long("long")]).update().rest([Plugin(Abort)])
}

pub fn bg_abort_after_the_cutover_then_retry() -> Play {
    blue_green(&post("long")).with(vec![long("long")]).update().rest([Plugin(Abort)]).rest([Plugin(Retry)])
}

/// The switch back is refused and the broken version then loses its pods; only an undo helps.
pub fn bg_abort_after_the_cutover_with_broken_pods() -> Play {
    let play = blue_green(&post("long")).with(vec![long("long")]).update();
    play.rest([BreakPods("currentPodHash")])
        .rest([Plugin(Abort)])
        .after(REST, Duration::from_secs(3), [])
        .rest([Plugin(Undo)])
        .when(Phase("Healthy"), [])
}

pub fn bg_undo_after_the_cutover() -> Play {
    blue_green(&post("long")).with(vec![long("long")]).update().rest([Plugin(Undo)]).when(Phase("Healthy"), [])
}
