//! Whatever a cluster sends: no panic, two sides or none, users on one of them.

use proptest::prelude::*;
use rolltop::model::Phase;
use serde_json::Value;

use super::kit::{Scene, flipped, waiting};
use crate::{argo::properties::mutate, deployment::properties::intents};

fn named(items: &[Value]) -> bool {
    items.iter().any(|i| i["kind"] == "Service" && i["metadata"]["name"] == "app" && i["metadata"]["namespace"] == "shop")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn odd_values_anywhere(after in any::<bool>(), edits in prop::collection::vec((0usize..1000, 0usize..100_000, 0usize..100), 0..6)) {
        let Scene { mut items } = if after { flipped() } else { waiting() };
        mutate(&mut items, &edits);
        let scene = Scene { items };
        // Without a name or a uid it is not this object any more.
        if !named(&scene.items) || scene.items.iter().any(|i| i["metadata"]["uid"].as_str().is_none_or(str::is_empty)) {
            return Ok(());
        }
        let model = scene.model();
        prop_assert_eq!(&model, &scene.model());
        prop_assert!(model.tracks.len() == 2 || model.tracks.is_empty() && model.phase == Phase::Unknown);
        let shares: Vec<f64> = model.tracks.iter().filter_map(|t| t.traffic.applied).collect();
        prop_assert!(shares.is_empty() || shares.contains(&1.0) && shares.contains(&0.0), "{:?}", shares);
        for intent in intents() {
            if let Ok(plan) = scene.plan(&intent) {
                prop_assert!(!plan.only_if.is_empty() && plan.writes.iter().all(|w| w.namespace == "shop"), "{:?}", intent);
            }
        }
    }
}
