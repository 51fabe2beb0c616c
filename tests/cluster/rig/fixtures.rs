//! Manifests and waiting: what tests put into their namespace.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::{Api, collection};
use super::manifests::{self, BlueGreen, Canary, FlaggerCanary, KruiseRollout, Pods};

const ARGO: &str = "argoproj.io/v1alpha1";
const FLAGGER: &str = "flagger.app/v1beta1";
const KRUISE: &str = "rollouts.kruise.io/v1beta1";

/// Some ticks, on a machine that has others to serve.
const CANARY_PATIENCE: Duration = Duration::from_secs(180);

/// One namespace, as admin. All methods panic when the API server refuses: the test is then broken.
#[derive(Clone)]
pub struct Fixtures {
    api: Api,
    namespace: String,
    prometheus: String,
}

impl Fixtures {
    pub fn new(api: Api, namespace: &str, prometheus: &str) -> Self {
        Self { api, namespace: namespace.into(), prometheus: prometheus.into() }
    }

    pub fn api(&self) -> &Api {
        &self.api
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Applies any object, in this namespace unless it names one.
    pub async fn apply(&self, mut object: Value) -> Value {
        if object["metadata"]["namespace"].is_null() {
            object["metadata"]["namespace"] = self.namespace.clone().into();
        }
        self.api.apply(&object).await.unwrap_or_else(|error| panic!("{error}\n{object:#}"))
    }

    /// A canary Rollout and what it refers to.
    pub async fn canary(&self, name: &str, options: Canary) {
        self.apply_all(options.objects(name)).await;
    }

    /// A blue-green Rollout and its Services, promoted by hand.
    pub async fn blue_green(&self, name: &str, options: BlueGreen) {
        self.apply_all(options.objects(name)).await;
    }

    /// A Service on port 80 for the pods of `app`.
    pub async fn service(&self, name: &str, app: &str) {
        self.apply(manifests::service(name, app)).await;
    }

    /// An AnalysisTemplate with one metric from the rig's Prometheus; see [`manifests::analysis_template`].
    pub async fn prometheus_template(&self, name: &str, query: &str, metric: &Value) {
        self.apply(manifests::analysis_template(name, &self.prometheus, query, metric)).await;
    }

    async fn apply_all(&self, objects: Vec<Value>) {
        for object in objects {
            self.apply(object).await;
        }
    }

    /// Begins a release of the version `tag` with ordinary pods.
    pub async fn set_image(&self, name: &str, tag: &str) {
        self.release(name, tag, Pods::Fast).await;
    }

    /// Begins a release of the version `tag` whose pods fare like this.
    pub async fn release(&self, name: &str, tag: &str, pods: Pods) {
        self.patch_rollout(name, &manifests::release(tag, pods)).await;
    }

    /// Merge patch of a Rollout.
    pub async fn patch_rollout(&self, name: &str, patch: &Value) -> Value {
        self.api.merge(&self.path(ARGO, "rollouts", name), patch).await.expect("patching a rollout")
    }

    /// Merge patch of a Rollout's status.
    pub async fn patch_status(&self, name: &str, patch: &Value) -> Value {
        let path = format!("{}/status", self.path(ARGO, "rollouts", name));
        self.api.merge(&path, patch).await.expect("patching a rollout's status")
    }

    pub async fn rollout(&self, name: &str) -> Value {
        self.get(ARGO, "rollouts", name).await
    }

    pub async fn status(&self, name: &str) -> Value {
        self.rollout(name).await["status"].take()
    }

    /// One object of this namespace; null when there is none.
    pub async fn get(&self, api_version: &str, plural: &str, name: &str) -> Value {
        self.api.get(&self.path(api_version, plural, name)).await.unwrap_or_default()
    }

    /// All objects of a kind in this namespace.
    pub async fn list(&self, api_version: &str, plural: &str) -> Vec<Value> {
        let path = collection(api_version, Some(&self.namespace), plural);
        self.api.list(&path).await.expect("listing")
    }

    /// ReplicaSets of a Rollout.
    pub async fn replica_sets(&self, name: &str) -> Vec<Value> {
        self.owned(self.list("apps/v1", "replicasets").await, name)
    }

    /// AnalysisRuns of a Rollout.
    pub async fn analysis_runs(&self, name: &str) -> Vec<Value> {
        self.owned(self.list(ARGO, "analysisruns").await, name)
    }

    fn owned(&self, mut objects: Vec<Value>, owner: &str) -> Vec<Value> {
        objects.retain(|object| object["metadata"]["ownerReferences"][0]["name"] == owner);
        objects
    }

    /// Pods of an app.
    pub async fn pods(&self, app: &str) -> Vec<Value> {
        let path = collection("v1", Some(&self.namespace), "pods");
        self.api.list(&format!("{path}?labelSelector=app%3D{app}")).await.expect("listing pods")
    }

    /// The version a Service sends to, when its selector names one.
    pub async fn selected_hash(&self, service: &str) -> Option<String> {
        let service = self.get("v1", "services", service).await;
        service["spec"]["selector"]["rollouts-pod-template-hash"].as_str().map(String::from)
    }

    /// Weight on the canary Ingress the controller made for a Rollout routed by nginx.
    pub async fn ingress_weight(&self, name: &str) -> Option<u32> {
        let ingress = self.get("networking.k8s.io/v1", "ingresses", &format!("{name}-{name}-canary")).await;
        ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"].as_str()?.parse().ok()
    }

    /// A Canary of Flagger's, the Deployment it releases and what else it refers to.
    pub async fn flagger_canary(&self, name: &str, options: FlaggerCanary) {
        self.apply_all(options.objects(name)).await;
    }

    /// Begins a release of the version `tag` of a Deployment.
    pub async fn release_deployment(&self, name: &str, tag: &str, pods: Pods) {
        let path = self.path("apps/v1", "deployments", name);
        self.api.merge(&path, &manifests::release(tag, pods)).await.expect("patching a deployment");
    }

    pub async fn canary_object(&self, name: &str) -> Value {
        self.get(FLAGGER, "canaries", name).await
    }

    pub async fn patch_canary(&self, name: &str, patch: &Value) -> Value {
        self.api.merge(&self.path(FLAGGER, "canaries", name), patch).await.expect("patching a canary")
    }

    /// Waits until the Canary is as wished; returns it. A tick takes ten seconds.
    pub async fn wait_canary(&self, name: &str, wish: impl Fn(&Value) -> bool) -> Value {
        self.wait_until(FLAGGER, "canaries", name, wish).await
    }

    async fn wait_until(&self, api_version: &str, plural: &str, name: &str, wish: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let object = self.get(api_version, plural, name).await;
            if wish(&object) {
                return object;
            }
            assert!(begin.elapsed() < CANARY_PATIENCE, "{name} is not as wished after {CANARY_PATIENCE:?}:\n{:#}", object["status"]);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub async fn wait_canary_phase(&self, name: &str, phase: &str) -> Value {
        self.wait_canary(name, |canary| canary["status"]["phase"] == phase).await
    }

    /// A Rollout of OpenKruise's, at rest, the workload it releases and what else it refers to.
    pub async fn kruise(&self, name: &str, options: KruiseRollout) {
        self.apply_all(options.objects(name)).await;
        self.wait_kruise(name, |ro| ro["status"]["phase"] == "Healthy" && ro["status"]["currentStepState"] == "Completed").await;
    }

    pub async fn kruise_object(&self, name: &str) -> Value {
        self.get(KRUISE, "rollouts", name).await
    }

    /// Merge patch of the Rollout, or of its `/status`.
    pub async fn patch_kruise(&self, name: &str, part: &str, patch: &Value) {
        self.api.merge(&format!("{}{part}", self.path(KRUISE, "rollouts", name)), patch).await.expect("patching a rollout of kruise's");
    }

    /// Waits until the Rollout of OpenKruise's is as wished; returns it.
    pub async fn wait_kruise(&self, name: &str, wish: impl Fn(&Value) -> bool) -> Value {
        self.wait_until(KRUISE, "rollouts", name, wish).await
    }

    /// `open` or `close`: the gate of a Canary at the load tester.
    pub async fn gate(&self, name: &str, what: &str) {
        let whose = json!({"name": name, "namespace": self.namespace});
        self.api.post(&self.gate_path(what), &whose).await.expect("asking the load tester");
    }

    /// Whether the gate is open.
    pub async fn gate_is_open(&self, name: &str) -> bool {
        let whose = json!({"name": name, "namespace": self.namespace});
        self.api.post(&self.gate_path("check"), &whose).await.is_ok()
    }

    pub fn gate_path(&self, what: &str) -> String {
        let (namespace, name) = manifests::LOADTESTER;
        format!("/api/v1/namespaces/{namespace}/services/http:{name}:80/proxy/gate/{what}")
    }

    /// Waits until the Rollout is as wished; returns it. Panics with its status after `timeout`.
    pub async fn wait_for(&self, name: &str, wish: impl Fn(&Value) -> bool, timeout: Duration) -> Value {
        let begin = Instant::now();
        loop {
            let rollout = self.rollout(name).await;
            if wish(&rollout) {
                return rollout;
            }
            assert!(begin.elapsed() < timeout, "{name} is not as wished after {timeout:?}:\n{:#}", rollout["status"]);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits for a phase of a Rollout that has seen its newest spec: "Healthy", "Paused", "Degraded", "Progressing".
    pub async fn wait_phase(&self, name: &str, phase: &str) -> Value {
        self.wait_for(name, |rollout| observed(rollout) && rollout["status"]["phase"] == phase, Duration::from_secs(60)).await
    }

    fn path(&self, api_version: &str, plural: &str, name: &str) -> String {
        format!("{}/{name}", collection(api_version, Some(&self.namespace), plural))
    }
}

/// Whether the controller has seen the newest spec.
pub fn observed(rollout: &Value) -> bool {
    let seen = rollout["status"]["observedGeneration"].as_str().and_then(|text| text.parse().ok());
    seen.is_some() && seen == rollout["metadata"]["generation"].as_u64()
}
