//! Whatever a cluster sends: no panic, no version lost, shares that add up, the same answer twice.

use proptest::prelude::*;
use rolltop::{
    intent::{Intent, Verb},
    model::Phase,
};

use super::kit::{NAMES, Scene, list};
use crate::argo::properties::mutate;

/// Everything that can be asked for.
pub fn intents() -> Vec<Intent> {
    Verb::ALL.into_iter().map(intent).collect()
}

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
        Verb::SetWeight => Intent::SetWeight { percent: 10 },
        Verb::Scale => Intent::Scale { replicas: 3 },
        Verb::KillFlag => Intent::Kill { flag: "new-checkout".into() },
        Verb::Arm => Intent::Arm { minutes: 30, flag: None },
        Verb::Disarm => Intent::Disarm,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn odd_values_anywhere(name in 0..NAMES.len(), edits in prop::collection::vec((0usize..1000, 0usize..100_000, 0usize..100), 0..6)) {
        let mut items = list(NAMES[name]);
        mutate(&mut items, &edits);
        // Without an owner it is no part of it, without a uid no object.
        if items.iter().all(|i| i["kind"] != "Deployment") {
            return Ok(());
        }
        for scene in [Scene::of(&items), Scene::alone(&items)] {
            let model = scene.model();
            prop_assert_eq!(&model, &scene.model());
            prop_assert!(!model.tracks.is_empty() || model.phase == Phase::Unknown);
            let known: Vec<f64> = model.tracks.iter().filter_map(|t| t.traffic.replica_share).collect();
            prop_assert!(known.is_empty() || (known.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{:?}", known);
            prop_assert!(model.tracks.iter().filter(|t| t.is_new).count() < 2);
            for intent in intents() {
                if let Ok(plan) = scene.plan(&intent) {
                    prop_assert!(!plan.writes.is_empty() && !plan.only_if.is_empty(), "{:?}", intent);
                }
            }
        }
    }
}
