//! Pods that do not come, deadlines, broken specs.

use serde_json::json;

use super::*;
use crate::{
    cluster::{Canary, Pods},
    plugin::Command::*,
    script::{Act::*, Until::*},
};

fn hurried(more: &Value) -> Canary {
    let mut spec = json!({"progressDeadlineSeconds": 4});
    json_patch::merge(&mut spec, more);
    Canary { spec, ..nginx() }
}

pub fn deadline_exceeded_then_abort() -> Play {
    canary(hurried(&json!({})))
        .when(Phase("Healthy"), [])
        .rest([release("v2", Pods::Never)])
        .when(Phase("Degraded"), [])
        .rest([Plugin(Abort)])
}

pub fn deadline_exceeded_then_skip() -> Play {
    canary(hurried(&json!({})))
        .when(Phase("Healthy"), [])
        .rest([release("v2", Pods::Never)])
        .when(Phase("Degraded"), [])
        .rest([Plugin(Promote)])
}

pub fn deadline_exceeded_then_undo() -> Play {
    canary(hurried(&json!({})))
        .when(Phase("Healthy"), [])
        .rest([release("v2", Pods::Never)])
        .when(Phase("Degraded"), [])
        .rest([Plugin(Undo)])
        .when(Phase("Healthy"), [])
}

pub fn deadline_aborts() -> Play {
    let canary = canary(hurried(&json!({"progressDeadlineAbort": true}))).when(Phase("Healthy"), []);
    canary.rest([release("v2", Pods::Never)]).when(Field("/status/abort", json!(true)), [])
}

pub fn deadline_exceeded_on_the_first_deploy() -> Play {
    let options = Canary { pods: Pods::Never, ..hurried(&json!({})) };
    canary(options).when(Phase("Degraded"), []).rest([Act::release("v2")])
}

pub fn crash_loop_basic() -> Play {
    let options = Canary { spec: json!({"progressDeadlineSeconds": 4}), ..Canary::default() };
    canary(options).when(Phase("Healthy"), []).rest([release("v2", Pods::CrashLoop)]).when(Phase("Degraded"), []).rest([Plugin(Abort)])
}

pub fn crash_loop_nginx() -> Play {
    canary(hurried(&json!({})))
        .when(Phase("Healthy"), [])
        .rest([release("v2", Pods::CrashLoop)])
        .when(Phase("Degraded"), [])
        .rest([Plugin(Abort)])
}

pub fn image_pull_then_fixed() -> Play {
    canary(nginx()).when(Phase("Healthy"), []).rest([release("v2", Pods::ImagePull)]).rest([Act::release("v3")]).when(PausedAt(1), [])
}

pub fn slow_pods() -> Play {
    canary(nginx()).when(Phase("Healthy"), []).rest([release("v2", Pods::Slow)]).when(PausedAt(1), [])
}

pub fn bg_crash_loop_before_the_cutover() -> Play {
    let options = BlueGreen { spec: json!({"progressDeadlineSeconds": 4}), strategy: brief(), ..BlueGreen::default() };
    Play::new(options.objects(APP))
        .when(Phase("Healthy"), [])
        .rest([release("v2", Pods::CrashLoop)])
        .when(Phase("Degraded"), [])
        .rest([Plugin(Abort)])
}

pub fn canary_pods_lost_at_a_pause() -> Play {
    canary(nginx()).update().when(PausedAt(1), []).rest([DeletePods("currentPodHash", 1)]).rest([Plugin(Promote)]).when(PausedAt(3), [])
}

pub fn stable_pods_lost_at_a_pause() -> Play {
    canary(nginx()).update().when(PausedAt(1), []).rest([DeletePods("stableRS", 2)])
}

pub fn pods_lost_on_healthy() -> Play {
    canary(nginx()).when(Phase("Healthy"), []).rest([DeletePods("stableRS", 4)])
}

pub fn pods_unready_on_healthy() -> Play {
    canary(nginx()).when(Phase("Healthy"), []).rest([BreakPods("stableRS")])
}

pub fn service_missing_then_there() -> Play {
    let mut objects = nginx().objects(APP);
    let service = objects.remove(1);
    Play::new(objects).rest([Create(service)]).when(Phase("Healthy"), [])
}

pub fn ingress_missing_then_there() -> Play {
    let mut objects = nginx().objects(APP);
    let ingress = objects.remove(2);
    Play::new(objects).rest([Create(ingress)]).when(Phase("Healthy"), [])
}

pub fn invalid_spec_then_fixed() -> Play {
    let fixed = Spec(json!({"spec": {"strategy": {"canary": {"steps": [{"setWeight": 20}, {"pause": {}}]}}}}));
    canary(nginx().steps(json!([{"setWeight": 120}, {"pause": {}}]))).rest([fixed]).when(Phase("Healthy"), [])
}

pub fn both_strategies_is_invalid() -> Play {
    let both = Spec(json!({"spec": {"strategy": {"blueGreen": {"activeService": "app"}}}}));
    canary(nginx())
        .when(Phase("Healthy"), [])
        .rest([both])
        .rest([Spec(json!({"spec": {"strategy": {"blueGreen": null}}}))])
        .when(Phase("Healthy"), [])
}
