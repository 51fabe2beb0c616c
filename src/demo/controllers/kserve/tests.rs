//! A model from its first revision through a canary and back, in virtual time.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::{super::harness::*, DEPLOYMENTS, INFERENCE_SERVICES, condition, knative};
use crate::demo::{api::crd, sim::Sim};

fn predictor(tag: &str) -> Value {
    json!({"minReplicas": 1, "containers": [{"name": "kserve-container", "image": format!("model:{tag}")}]})
}

fn with_model(annotations: Value) -> Sim {
    let mut sim = sim();
    let now = sim.now();
    let knative = ["services", "configurations", "routes", "revisions"].map(|plural| format!("{plural}.serving.knative.dev"));
    crd::install_others(&mut sim, &knative, now);
    crd::install_others(&mut sim, &[INFERENCE_SERVICES.to_owned()], now);
    let metadata = json!({"name": "fraud", "namespace": "shop", "annotations": annotations});
    create(&mut sim, INFERENCE_SERVICES, json!({"metadata": metadata, "spec": {"predictor": predictor("v1")}}));
    run(&mut sim, 6.0);
    sim
}

fn change(sim: &mut Sim, predictor: &Value) {
    patch(sim, INFERENCE_SERVICES, "fraud", &json!({"spec": {"predictor": predictor}}));
    run(sim, 6.0);
}

fn component(sim: &Sim) -> Value {
    get(sim, INFERENCE_SERVICES, "fraud")["status"]["components"]["predictor"].clone()
}

/// Created, ready, last with all users, the one before: the ends of their names.
fn revisions(sim: &Sim) -> [String; 4] {
    let component = component(sim);
    ["latestCreatedRevision", "latestReadyRevision", "latestRolledoutRevision", "previousRolledoutRevision"]
        .map(|field| component[field].as_str().unwrap_or("-").rsplit('-').next().unwrap().trim_start_matches('0').to_owned())
}

fn shares(sim: &Sim) -> Vec<(String, i64)> {
    let component = component(sim);
    let all = component["traffic"].as_array().unwrap();
    all.iter().map(|t| (t["revisionName"].as_str().unwrap().to_owned(), t["percent"].as_i64().unwrap())).collect()
}

fn is(sim: &Sim, kind: &str) -> Value {
    condition(&get(sim, INFERENCE_SERVICES, "fraud")["status"]["conditions"], kind).map_or(Value::Null, |found| found["status"].clone())
}

fn share(name: &str, percent: i64) -> (String, i64) {
    (format!("fraud-predictor-{name}"), percent)
}

/// v2 with ten percent, v1 with the rest.
fn canary(sim: &mut Sim) {
    let mut new = predictor("v2");
    new["canaryTrafficPercent"] = 10.into();
    change(sim, &new);
}

#[test]
fn a_first_revision_gets_everybody_whatever_share_is_asked_for() {
    let sim = with_model(json!({}));
    assert_eq!(revisions(&sim), ["1", "1", "1", ""]);
    assert_eq!(shares(&sim), [share("00001", 100)]);
    for kind in ["Ready", "PredictorReady", "IngressReady", "RoutesReady", "LatestDeploymentReady"] {
        assert_eq!(is(&sim, kind), "True", "{kind}: {:#}", get(&sim, INFERENCE_SERVICES, "fraud"));
    }
    let status = &get(&sim, INFERENCE_SERVICES, "fraud")["status"];
    assert_eq!((&status["modelStatus"]["transitionStatus"], &status["deploymentMode"]), (&json!("UpToDate"), &json!("Serverless")));
    assert_eq!(get(&sim, knative::SERVICES, "fraud-predictor")["metadata"]["ownerReferences"][0]["kind"], "InferenceService");
}

#[test]
fn a_canary_is_divided_promoted_and_taken_back() {
    let mut sim = with_model(json!({}));
    canary(&mut sim);
    assert_eq!((revisions(&sim), shares(&sim)), (["2", "2", "1", ""].map(str::to_owned), vec![share("00002", 10), share("00001", 90)]));
    change(&mut sim, &json!({"canaryTrafficPercent": 0}));
    assert_eq!(shares(&sim), [share("00002", 0), share("00001", 100)]);
    change(&mut sim, &json!({"canaryTrafficPercent": null}));
    assert_eq!((revisions(&sim), shares(&sim)), (["2", "2", "2", "1"].map(str::to_owned), vec![share("00002", 100)]));
    assert_eq!(is(&sim, "Ready"), "True");
    // After that, a lower share is a way back.
    change(&mut sim, &json!({"canaryTrafficPercent": 0}));
    assert_eq!((revisions(&sim), shares(&sim)), (["2", "2", "1", "1"].map(str::to_owned), vec![share("00002", 0), share("00001", 100)]));
}

#[test]
fn a_model_that_does_not_load_takes_no_users() {
    let mut sim = with_model(json!({}));
    let mut new = predictor("v2");
    new["canaryTrafficPercent"] = 10.into();
    new["labels"] = json!({"rolltop.dev/pod": "crash-loop"});
    change(&mut sim, &new);
    run(&mut sim, 30.0);
    let status = get(&sim, INFERENCE_SERVICES, "fraud")["status"].clone();
    assert_eq!(status["modelStatus"]["transitionStatus"], "BlockedByFailedLoad", "{status:#}");
    assert_eq!(status["modelStatus"]["lastFailureInfo"]["reason"], "ModelLoadFailed");
    assert_eq!((revisions(&sim), is(&sim, "Ready")), (["2", "1", "1", ""].map(str::to_owned), json!("False")));
    assert!(shares(&sim).iter().all(|(name, _)| *name == share("00001", 0).0), "{:?}", shares(&sim));
}

#[test]
fn a_plain_deployment_serves_where_knative_is_not_asked_for() {
    let mut sim = with_model(json!({"serving.kserve.io/deploymentMode": "RawDeployment"}));
    assert_eq!((is(&sim, "Ready"), list(&sim, knative::SERVICES).len()), (json!("True"), 0));
    canary(&mut sim);
    let deployment = get(&sim, DEPLOYMENTS, "fraud-predictor");
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "model:v2");
    assert_eq!(get(&sim, INFERENCE_SERVICES, "fraud")["status"]["deploymentMode"], "RawDeployment");
}

#[test]
fn a_stopped_one_runs_nothing_and_comes_back() {
    let mut sim = with_model(json!({}));
    patch(&mut sim, INFERENCE_SERVICES, "fraud", &json!({"metadata": {"annotations": {"serving.kserve.io/stop": "true"}}}));
    run(&mut sim, 60.0);
    assert_eq!((is(&sim, "Stopped"), is(&sim, "Ready"), list(&sim, "pods").len()), (json!("True"), json!("False"), 0));
    patch(&mut sim, INFERENCE_SERVICES, "fraud", &json!({"metadata": {"annotations": {"serving.kserve.io/stop": "false"}}}));
    run(&mut sim, 10.0);
    assert_eq!((is(&sim, "Stopped"), is(&sim, "Ready")), (json!("False"), json!("True")));
}
