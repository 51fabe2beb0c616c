//! `guard` and `wait`: one release watched for a pipeline, and what the exit code says.

use serde_json::json;

use crate::{
    cluster::{Canary, Identity, Profile, Rig},
    suite::{app::headless, armed::waiting_canary},
};

/// Runs beside the test; its exit code and what it said.
fn guard(rig: &'static Rig, ns: &str, args: &[&str]) -> tokio::task::JoinHandle<(Option<i32>, String)> {
    run(rig, ns, "guard", args)
}

fn run(rig: &'static Rig, ns: &str, command: &str, args: &[&str]) -> tokio::task::JoinHandle<(Option<i32>, String)> {
    let ns = ns.to_owned();
    let args: Vec<String> = [command, &format!("{ns}/checkout")].into_iter().chain(args.iter().copied()).map(str::to_owned).collect();
    tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let out = headless(rig, Identity::Viewer, &ns, &args);
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr))
    })
}

/// A canary with users that waits at its first pause.

#[tokio::test]
async fn a_canary_that_fails_ends_it_with_the_advice_and_nothing_is_written() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("guarded").await;
    let fx = rig.fixtures(&ns);
    waiting_canary(rig, &ns).await;
    rig.traffic().set(&format!("{ns}/checkout"), "v2", Profile::failing(0.3));
    let (code, said) = guard(rig, &ns, &["--for", "90s"]).await.unwrap();
    assert_eq!(code, Some(12), "{said}");
    assert!(said.contains("waiting step 2/4 25 %") && said.contains("ABORT advised: canary fails"), "{said}");
    assert!(said.trim_end().ends_with("an abort is advised; nothing was written"), "{said}");
    let rollout = fx.wait_phase("checkout", "Paused").await;
    assert_ne!(rollout["status"]["abort"], json!(true));
}

#[tokio::test]
async fn a_release_that_goes_through_is_0_and_one_that_is_aborted_12() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("guided").await;
    let fx = rig.fixtures(&ns);
    fx.canary("checkout", Canary::nginx()).await;
    fx.wait_phase("checkout", "Healthy").await;
    fx.set_image("checkout", "v2").await;
    let (code, said) = run(rig, &ns, "wait", &["--for", "paused", "--timeout", "60s"]).await.unwrap();
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(rig, &ns, "wait", &["--timeout", "3s"]).await.unwrap();
    assert_eq!(code, Some(14), "{said}");
    let (code, said) = guard(rig, &ns, &["--for", "3s"]).await.unwrap();
    assert_eq!(code, Some(14), "{said}");

    let through = guard(rig, &ns, &[]);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    fx.patch_status("checkout", &json!({"status": {"promoteFull": true}})).await;
    let (code, said) = through.await.unwrap();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.trim_end().ends_with("the release is done"), "{said}");

    fx.set_image("checkout", "v3").await;
    fx.wait_phase("checkout", "Paused").await;
    let stopped = guard(rig, &ns, &["--json"]);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    fx.patch_status("checkout", &json!({"status": {"abort": true}})).await;
    let (code, said) = stopped.await.unwrap();
    assert_eq!(code, Some(12), "{said}");
    let last = said.lines().rev().find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    assert_eq!(last.unwrap()["phase"], "aborted", "{said}");

    // It failed before: that is told at once, and is the finding though there is no minute for a new release to begin.
    for (command, args) in [("wait", ["--timeout", "2s"]), ("guard", ["--for", "2s"])] {
        let (code, said) = run(rig, &ns, command, &args).await.unwrap();
        assert_eq!(code, Some(12), "{said}");
        assert!(said.contains("it is aborted already: waiting until"), "{said}");
    }
}

/// A policy is settings over those of the file: rules that are broken end it as the test does.
#[tokio::test]
async fn a_policy_of_its_own_is_kept_to() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("policy").await;
    waiting_canary(rig, &ns).await;
    let dir = tempfile::tempdir().unwrap();
    let policy = |text: &str| {
        let path = dir.path().join("policy.toml");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let odd = policy("[verdict]\ntest = false\n[[rules]]\nwhen = \"rate > many\"\n");
    let (code, said) = guard(rig, &ns, &["--policy", &odd]).await.unwrap();
    assert!(code == Some(2) && said.contains("policy.toml:4"), "{code:?} {said}");

    let kept = policy("[verdict]\ntest = false\n[[rules]]\nname = \"nobody at all\"\nwhen = \"rate > 1\"\neffect = \"abort\"\n");
    let (code, said) = guard(rig, &ns, &["--policy", &kept, "--for", "60s"]).await.unwrap();
    assert!(code == Some(12) && said.contains("nobody at all"), "{code:?} {said}");
}
