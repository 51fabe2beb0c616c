//! Any JSON in any place: a model all the same, with every side in it, and shares that add up or are named.

use proptest::prelude::*;
use rolltop::{
    engine::{Engine, split::SPLIT},
    intent::Intent,
    model::Phase,
};
use serde_json::{Value, json};

use super::kit::{ROUTES, Scene, at, scene, weight};

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![Just(-1i64), Just(0), Just(1), Just(50), Just(100), Just(i64::MAX), any::<i64>()].prop_map(Value::from),
        prop_oneof![Just(0.5), Just(-2.25), Just(33.5), Just(1e6)].prop_map(|f: f64| json!(f)),
        prop_oneof![Just("true"), Just("web-canary"), Just("web-stable"), Just("100"), Just("900m"), Just("{\"weight\":300}"), Just("")]
            .prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let key = prop_oneof![
            Just("name"),
            Just("weight"),
            Just("host"),
            Just("backendRefs"),
            Just("route"),
            Just("services"),
            Just("rolltop/phase")
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..4).prop_map(|m| m
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

/// Pointers to every member of a value.
fn places(value: &Value, path: &str, out: &mut Vec<String>) {
    let mut go = |key: String, v: &Value| {
        let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
        places(v, &path, out);
        out.push(path);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(k, v)| go(k.clone(), v)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| go(i.to_string(), v)),
        _ => {}
    }
}

/// A recorded scene with some members of some objects replaced.
fn broken() -> impl Strategy<Value = Scene> {
    (0..ROUTES.len(), prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), anything()), 1..4)).prop_map(
        |(route, hits)| {
            let mut scene = scene(ROUTES[route].0);
            for (item, place, value) in hits {
                let count = scene.items.len();
                // The route more often than what stands behind it.
                let item = &mut scene.items[item.index(count * 2) % count.min(if place.index(2) == 0 { 2 } else { count })];
                let mut all = Vec::new();
                places(item, "", &mut all);
                all.retain(|p| {
                    !["/kind", "/metadata", "/metadata/name", "/metadata/namespace", "/metadata/uid", "/metadata/annotations"]
                        .contains(&p.as_str())
                });
                let path = all[place.index(all.len())].clone();
                *item.pointer_mut(&path).unwrap() = value;
            }
            scene
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_panics_and_no_side_is_lost(scene in broken()) {
        let (root, objects) = (scene.root(), scene.objects());
        let model = SPLIT.normalise("test", &root, &objects);
        let is_rollout = SPLIT.parts(&root, &objects).is_some();
        SPLIT.selections(&root, &objects);
        prop_assert!(!is_rollout || model.tracks.len() >= 2 || model.phase == Phase::Unknown, "{model:?}");
        let shares: Vec<f64> = model.tracks.iter().filter_map(|t| t.traffic.applied).collect();
        prop_assert!(shares.iter().all(|s| (0.0..=1.0).contains(s)), "{shares:?}");
        let whole = shares.len() == model.tracks.len() && (shares.iter().sum::<f64>() - 1.0).abs() < 1e-9;
        let named = model.phase == Phase::Unknown || model.notices.iter().any(|n| n.text.contains("all weights are 0"));
        prop_assert!(whole || named, "{shares:?} {:?}", model.notices);
        for intent in [weight(0), weight(50), Intent::Promote, Intent::PromoteFull, Intent::Abort, Intent::Pause, Intent::Resume] {
            let Ok(plan) = SPLIT.plan(&model, &root, &objects, &intent, at("2026-11-21T05:00:00Z")) else { continue };
            prop_assert_eq!(plan.writes.len(), 1);
            // What can be planned can be written, and only once.
            let after = scene.apply(&plan);
            prop_assert!(after.is_ok(), "{intent:?} {:?}", plan.writes);
            prop_assert!(after.unwrap().apply(&plan).is_err(), "{intent:?} twice");
        }
    }
}
