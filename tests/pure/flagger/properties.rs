//! No Canary makes the engine panic, and shares that are known sum to one.

use rolltop::intent::Verb;
use serde_json::{Value, json};

use super::{
    kit::{Scene, canary, list, names},
    plans::plain,
};

const PHASES: [&str; 12] = [
    "",
    "Initializing",
    "Initialized",
    "Waiting",
    "Progressing",
    "WaitingPromotion",
    "Promoting",
    "Finalising",
    "Succeeded",
    "Failed",
    "Terminating",
    "Nonsense",
];

fn odd_values() -> [Value; 9] {
    [json!(null), json!(-1), json!(i64::MAX), json!(i64::MIN), json!("7"), json!(2.5), json!([]), json!({}), json!("\u{1b}[2J")]
}

const PATHS: [&str; 11] = [
    "/status/iterations",
    "/status/canaryWeight",
    "/status/failedChecks",
    "/status/lastTransitionTime",
    "/spec/analysis/stepWeight",
    "/spec/analysis/maxWeight",
    "/spec/analysis/threshold",
    "/spec/analysis/interval",
    "/spec/analysis/iterations",
    "/spec/targetRef",
    "/spec/progressDeadlineSeconds",
];

fn check(items: &[Value], what: &str) {
    let whole = Scene::of(items);
    for s in [whole.alone(), whole] {
        let r = s.model();
        assert!(!r.tracks.is_empty() || r.phase == rolltop::model::Phase::Unknown, "{what}: no side at all");
        let applied: Vec<f64> = r.tracks.iter().filter_map(|t| t.traffic.applied).collect();
        assert!(r.tracks.len() < 2 || applied.is_empty() || (applied.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{what}: {applied:?}");
        for verb in Verb::ALL {
            _ = plain(verb).map(|intent| s.plan(&intent));
        }
    }
}

#[test]
fn every_phase_on_every_scene() {
    for name in names() {
        for phase in PHASES {
            let mut items = list(&name);
            canary(&mut items)["status"]["phase"] = phase.into();
            check(&items, &format!("{name} {phase}"));
        }
    }
}

#[test]
fn odd_values_anywhere() {
    for name in ["progressing-canary-nginx", "progressing-bluegreen", "failed-metric-threshold"] {
        for path in PATHS {
            for value in odd_values() {
                let mut items = list(name);
                let root = canary(&mut items);
                let (parent, key) = path.rsplit_once('/').unwrap();
                root.pointer_mut(parent).unwrap()[key] = value.clone();
                check(&items, &format!("{name} {path} {value}"));
            }
        }
    }
}
