//! A bad night for an armed guard: an API server that says 504.

use rolltop::demo::api::faults::{Effect, Fault};
use serde_json::json;

use crate::{
    cluster::{Options, Rig},
    suite::armed::{Guard, lease, regress, waiting_canary, word},
};

fn on_rollouts(effect: Effect) -> Fault {
    Fault { verbs: vec!["patch".into()], kinds: vec!["rollouts".into()], ..Fault::new(effect) }
}

/// Nobody knows what a 504 did. It is not sent again; what the watch shows is what counts, and here it shows nothing.
#[tokio::test]
async fn an_abort_without_an_answer_is_unknown_and_never_sent_again() {
    let rig = Rig::start(Options::default()).await.unwrap();
    rig.create_namespace("shop").await;
    let fx = waiting_canary(&rig, "shop").await;
    let mut guard = Guard::start(&rig, "shop", &[]);
    guard.says("armed: the guard may abort");
    let mark = rig.audit().mark();
    rig.faults(vec![on_rollouts(Effect::Status { code: 504, retry_after: None })]);
    regress(&rig, "shop");
    assert_eq!(guard.end(), Some(17), "{}", guard.said());
    assert!(guard.said().contains("THE ABORT DID NOT WORK, act yourself"), "{}", guard.said());
    assert_ne!(fx.rollout("checkout").await["status"]["abort"], json!(true));
    assert_eq!(word(&lease(&fx).await), "spent", "another guard must not try it, either");
    let sent = rig.audit().since(mark).by("oncall").only(|e| e.verb == "patch" && !e.is_dry_run()).resource("rollouts");
    assert!(sent.len() <= 1, "{:?}", sent.iter().collect::<Vec<_>>());
}
