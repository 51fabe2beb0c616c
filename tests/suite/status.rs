//! `status` and `watch --json`: the contract machines rely on.

use serde_json::{Value, json};

use crate::{
    cluster::{Canary, Identity, Rig},
    suite::app::headless,
};

#[tokio::test]
async fn the_exit_code_and_the_json_tell_the_state() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("status").await;
    let fx = rig.fixtures(&ns);
    fx.canary("checkout", Canary::nginx()).await;
    fx.wait_phase("checkout", "Healthy").await;
    let run = |args: &[&str]| headless(rig, Identity::Viewer, &ns, args);
    let path = format!("{ns}/checkout");
    assert_eq!(run(&["status", &path]).status.code(), Some(0));

    fx.set_image("checkout", "v2").await;
    fx.wait_phase("checkout", "Paused").await;
    let out = run(&["status", "--json", &path]);
    assert_eq!(out.status.code(), Some(11), "{}", String::from_utf8_lossy(&out.stderr));
    let all: Value = serde_json::from_slice(&out.stdout).unwrap();
    let one = &all[0];
    assert_eq!((&one["phase"], &one["engine"], &one["kind"]), (&json!("waiting"), &json!("argo"), &json!("Rollout")));
    assert_eq!((&one["step"]["index"], &one["step"]["of"]), (&json!(2), &json!(4)));
    assert_eq!(one["wait"]["for"], "human");
    assert_eq!(one["verdict"]["is"], "none");
    assert_eq!(one["way_back"]["action"], "abort");
    let tracks = one["tracks"].as_array().unwrap();
    let canary = tracks.iter().find(|t| t["role"] == "canary").unwrap();
    assert_eq!((&canary["traffic"]["desired"], &canary["traffic"]["applied"]), (&json!(0.25), &json!(0.25)));
    assert_eq!(canary["ready"], 1);

    let line = String::from_utf8(run(&["status", "--line", &path]).stdout).unwrap();
    assert_eq!(line.trim(), format!("{ns}/checkout waiting 25%"));
    let table = String::from_utf8(run(&["status", "-n", &ns]).stdout).unwrap();
    assert!(table.contains("ROLLOUT") && table.contains("waiting"), "{table}");

    fx.patch_status("checkout", &json!({"status": {"abort": true}})).await;
    fx.wait_phase("checkout", "Degraded").await;
    assert_eq!(run(&["status", &path]).status.code(), Some(12));
    assert_eq!(run(&["status", &format!("{ns}/missing")]).status.code(), Some(13));
    assert_eq!(run(&["status", "--nonsense"]).status.code(), Some(2));
}

/// A typo must not pass the gate of a pipeline; who may not ask for namespaces cannot be told.
#[tokio::test]
async fn a_namespace_that_does_not_exist_is_no_healthy_one() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("empty").await;
    let run = |who, args: &[&str]| {
        let out = headless(rig, who, &ns, args);
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let (code, said) = run(Identity::Viewer, &["status", "-n", "nope"]);
    assert!(code == Some(13) && said.contains("there is no namespace nope"), "{code:?} {said}");
    let (code, said) = run(Identity::Viewer, &["status", "nope/checkout"]);
    assert!(code == Some(13) && said.contains("there is no namespace nope"), "{code:?} {said}");
    let (code, said) = run(Identity::Viewer, &["status", "-n", &ns]);
    assert!(code == Some(0) && said.contains(&format!("no rollouts in {ns}")), "{code:?} {said}");
    let (code, said) = run(Identity::Viewer, &["status", "journal"]);
    assert!(code == Some(13) && said.contains("or -A") && said.contains("no command 'journal'"), "{code:?} {said}");
}

#[tokio::test]
async fn a_cluster_that_cannot_be_reached_is_exit_3() {
    let Some(rig) = Rig::shared().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubeconfig");
    let config = std::fs::read_to_string(rig.kubeconfig(Identity::Viewer, "default")).unwrap();
    std::fs::write(&path, config.replace(&rig.server_url(), "https://127.0.0.1:9")).unwrap();
    let out = headless(rig, Identity::Viewer, "default", &["--kubeconfig", path.to_str().unwrap(), "status"]);
    assert_eq!(out.status.code(), Some(3), "{}", String::from_utf8_lossy(&out.stderr));
}
