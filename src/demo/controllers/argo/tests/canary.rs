//! Canaries, with a router and without.

use serde_json::json;

use super::play::*;

#[test]
fn a_first_version_is_stable_at_once() {
    let mut play = Play::empty();
    play.create(
        "rollouts.argoproj.io",
        json!({
            "metadata": {"name": "x", "namespace": "shop"},
            "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template("v1"), "strategy": {"canary": {"steps": steps()}}},
        }),
    );
    play.wait(3.0);
    let expected = [
        "- unobserved",
        "Progressing more replicas need to be updated @0",
        "Progressing more replicas need to be updated @4",
        "Progressing updated replicas are still becoming available @4",
        "Healthy @4",
    ];
    assert_eq!(play.seen(), expected);
    let status = play.status();
    let read = |field: &str| status[field].to_string();
    assert_eq!((read("replicas"), read("HPAReplicas"), read("selector")), ("1".into(), "1".into(), "\"app=x\"".into()));
    assert_eq!(status["stableRS"], status["currentPodHash"]);
    // The controller wrote what Go cannot leave out, and the size.
    let rollout = play.rollout();
    assert_eq!((&rollout["metadata"]["generation"], &status["observedGeneration"]), (&json!(3), &json!("3")));
    assert_eq!((&rollout["spec"]["replicas"], &rollout["spec"]["template"]["spec"]["containers"][0]["resources"]), (&json!(1), &json!({})));
    let conditions: Vec<&str> = status["conditions"].as_array().unwrap().iter().map(|c| c["type"].as_str().unwrap()).collect();
    assert_eq!(conditions, ["Completed", "Healthy", "Progressing", "Available"]);
}
