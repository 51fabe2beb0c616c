//! Whatever a cluster sends: no panic, shares that add up, the same answer twice, nothing that steers a terminal.

use proptest::prelude::*;
use rolltop::{
    intent::Intent,
    model::{Rollout, Track},
    timeline,
};
use serde_json::{Value, json};

use super::kit::{Scene, list, names};

/// Values nobody expects where they end up.
fn oddities() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(0),
        json!(i64::MAX),
        json!(1e300),
        json!(0.5),
        json!(""),
        json!("9999999999999999999"),
        json!("\u{1b}[2J\u{202e}evil\u{7}"),
        json!("3000000h"),
        json!("0001-01-01T00:00:00Z"),
        json!("+262142-12-31T23:59:59Z"),
        json!([]),
        json!({}),
        json!([null]),
        json!([{"setWeight": 999}, {"pause": {"duration": "1e400"}}]),
        json!({"nginx": {"stableIngress": ["a", 3]}, "maxTrafficWeight": -3}),
    ]
}

/// All paths of a document, leaves and branches.
fn paths(value: &Value, at: String, out: &mut Vec<String>) {
    let step = |key: &str| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| paths(v, step(k), out)),
        Value::Array(list) => list.iter().enumerate().for_each(|(i, v)| paths(v, step(&i.to_string()), out)),
        _ => {}
    }
    out.push(at);
}

pub fn mutate(items: &mut [Value], edits: &[(usize, usize, usize)]) {
    let odd = oddities();
    for (item, path, value) in edits {
        let index = item % items.len();
        let target = &mut items[index];
        let mut all = Vec::new();
        paths(target, String::new(), &mut all);
        let path = &all[path % all.len()];
        // Without a kind it would not be this object any more, without a uid no reader would take it.
        if !["", "/kind", "/metadata", "/metadata/uid"].contains(&&**path) {
            *target.pointer_mut(path).unwrap() = odd[value % odd.len()].clone();
        }
    }
}

fn intents() -> Vec<Intent> {
    vec![
        Intent::Promote,
        Intent::PromoteFull,
        Intent::Skip,
        Intent::Pause,
        Intent::Resume,
        Intent::Abort,
        Intent::Retry,
        Intent::Undo { to: None },
        Intent::Restart,
        Intent::SetImage { container: "app".into(), image: "x:1".into() },
        Intent::Flip,
    ]
}

fn add_up(ro: &Rollout) {
    let shares_of: [fn(&Track) -> Option<f64>; 3] = [|t| t.traffic.desired, |t| t.traffic.applied, |t| t.traffic.replica_share];
    for pick in shares_of {
        let shares: Vec<f64> = ro.tracks.iter().filter_map(pick).collect();
        assert!(shares.is_empty() || shares.len() == ro.tracks.len(), "{shares:?}");
        assert!(shares.iter().all(|s| (0.0..=1.0).contains(s)), "{shares:?}");
        if !shares.is_empty() {
            let sum: f64 = shares.iter().sum();
            assert!((sum - 1.0).abs() < 1e-9, "{sum} {:?}", ro.tracks);
        }
    }
}

fn harmless(what: &str) {
    // `{:?}` escapes a raw control character with one backslash; two are text that somebody escaped before.
    let what = what.replace("\\\\", "");
    assert!(!what.contains("\\u{1b}") && !what.contains("\\u{202e}") && !what.contains("\\u{7}"), "{what}");
}

fn hold(scene: &Scene) {
    let ro = scene.model();
    assert_eq!(ro, scene.model(), "the same objects give the same picture");
    add_up(&ro);
    harmless(&format!("{ro:?}"));
    for intent in intents() {
        match scene.plan(&intent) {
            Ok(plan) => harmless(&format!("{:?} {:?} {:?} {:?} {:?}", plan.sentence, plan.changes, plan.only_if, plan.warnings, plan.back)),
            Err(refusal) => harmless(&format!("{refusal:?}")),
        }
    }
    harmless(&format!("{:?}", timeline::from_events(&scene.root, &scene.objects)));
}

#[test]
fn recorded_scenes_hold() {
    for name in names() {
        let scene = Scene::of(&list(&name));
        hold(&scene);
        hold(&scene.alone());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mangled_scenes_hold(pick in 0usize..1000, edits in prop::collection::vec((0usize..1000, 0usize..100_000, 0usize..100), 1..6)) {
        let names = names();
        let mut items = list(&names[pick % names.len()]);
        mutate(&mut items, &edits);
        hold(&Scene::of(&items));
    }

    /// The Rollout gets most of the trouble: it is what the engine cannot do without.
    #[test]
    fn mangled_rollouts_hold(pick in 0usize..1000, edits in prop::collection::vec((0usize..100_000, 0usize..100), 1..10)) {
        let names = names();
        let mut items = list(&names[pick % names.len()]);
        let root = items.iter().position(|i| i["kind"] == "Rollout").unwrap();
        let edits: Vec<_> = edits.into_iter().map(|(p, v)| (root, p, v)).collect();
        mutate(&mut items, &edits);
        hold(&Scene::of(&items));
    }
}
