//! Blue-green rollouts.

use serde_json::json;

use super::play::*;

#[test]
fn a_first_version_is_active_at_once() {
    let play = Play::blue_green(json!({}), json!({}));
    assert_eq!((play.phase(), play.behind("x-a"), play.behind("x-p")), ("Healthy".into(), "v1".into(), "v1".into()));
    let service = play.get("services", "x-a");
    assert_eq!(service["metadata"]["annotations"]["argo-rollouts.argoproj.io/managed-by-rollouts"], "x");
    assert_eq!(play.status()["selector"], format!("app=x,rollouts-pod-template-hash={}", play.hash("v1")));
}
