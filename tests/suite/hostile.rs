//! Text from a cluster is untrusted: no escape sequence of it reaches the terminal.

use serde_json::json;

use crate::{
    cluster::{Canary, Rig},
    suite::app::Start,
};

#[tokio::test]
async fn escape_sequences_in_events_and_messages_stay_out() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("hostile").await;
    let fx = rig.fixtures(&ns);
    fx.canary("checkout", Canary::nginx()).await;
    fx.wait_phase("checkout", "Healthy").await;
    fx.set_image("checkout", "v2").await;
    let rollout = fx.wait_phase("checkout", "Paused").await;
    let evil = "evil\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}]52;c;b3duZWQ=\u{7}\u{9b}31m\u{202e}";
    let involved = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "checkout", "namespace": ns, "uid": rollout["metadata"]["uid"]});
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "checkout.evil"}, "involvedObject": involved, "reason": "Evil", "message": "tame",
        "type": "Warning", "firstTimestamp": "2099-01-01T00:00:00Z", "lastTimestamp": "2099-01-01T00:00:00Z", "count": 1});
    fx.apply(event).await;
    // YAML, which `apply` speaks, refuses control characters; JSON carries them.
    let path = format!("/api/v1/namespaces/{ns}/events/checkout.evil");
    fx.api().merge(&path, &json!({"message": evil, "source": {"component": evil}})).await.unwrap();
    fx.patch_status("checkout", &json!({"status": {"message": evil}})).await;
    fx.patch_rollout(
        "checkout",
        &json!({"metadata": {"annotations": {"kubernetes.io/change-cause": evil, "argocd.argoproj.io/tracking-id": evil}}}),
    )
    .await;

    let app = Start::new(rig, &ns).size(200, 50).args(["-n", &ns, "checkout"]).run();
    app.shows(&["Timeline", "evil"]);
    app.press("t");
    app.shows(&["evil"]);
    let raw = app.term.raw();
    for sequence in [&b"]0;"[..], b"]52;", b"\x1b[2Jevil", b"\xc2\x9b", "\u{202e}".as_bytes()] {
        let found = raw.windows(sequence.len()).any(|w| w == sequence) && sequence != b"]0;" && sequence != b"]52;";
        assert!(!found, "{:?} reached the terminal", String::from_utf8_lossy(sequence));
    }
    // Operating system commands begin with ESC ]: not one may be there.
    assert!(!raw.windows(2).any(|w| w == b"\x1b]"), "an OSC reached the terminal");
    assert!(!raw.contains(&7), "a bell reached the terminal");
}
