//! Rollouts whose template is a Deployment's.

use serde_json::{Value, json};

use super::*;
use crate::{
    cluster::{Canary, Pods},
    plugin::Command::*,
    script::{Act::*, Until::*},
};

fn referring(scale_down: &Value) -> Play {
    let mut deployment = manifests::object("apps/v1", "Deployment", APP);
    deployment["spec"] =
        json!({"replicas": 2, "selector": {"matchLabels": {"app": APP}}, "template": manifests::pod_template(APP, "v1", Pods::Fast)});
    let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": APP, "scaleDown": scale_down});
    let options = Canary { spec: json!({"workloadRef": reference, "template": null, "selector": null}), ..nginx() };
    canary(options).with(vec![deployment])
}

pub fn workload_ref_promote() -> Play {
    referring(&json!(null)).update().when(PausedAt(1), []).rest([Plugin(PromoteFull)]).when(Phase("Healthy"), [])
}

pub fn workload_ref_abort_and_undo() -> Play {
    referring(&json!(null)).update().when(PausedAt(1), []).rest([Plugin(Abort)]).rest([Plugin(Undo)]).when(Phase("Healthy"), [])
}

pub fn workload_ref_scales_down_on_success() -> Play {
    referring(&json!("onsuccess")).when(Phase("Healthy"), [])
}

pub fn workload_ref_scales_down_progressively() -> Play {
    referring(&json!("progressively")).when(Phase("Healthy"), [])
}

pub fn workload_ref_missing() -> Play {
    let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "nobody"});
    canary(Canary { spec: json!({"workloadRef": reference, "template": null, "selector": null}), ..nginx() })
}
