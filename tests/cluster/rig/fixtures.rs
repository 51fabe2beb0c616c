//! Manifests and waiting: what tests put into their namespace.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::{Api, collection};
use super::object;

const ARGO: &str = "argoproj.io/v1alpha1";
const IMAGE: &str = "registry.example.test/app";

/// How pods of a version fare; see `tests/cluster/stages`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pods {
    /// Ready at once.
    #[default]
    Fast,
    /// Ready after some seconds.
    Slow,
    /// Running, never ready.
    Never,
    CrashLoop,
    ImagePull,
    /// Ready, killed for its memory again and again.
    Oom,
}

impl Pods {
    /// Value of the label the stages select by; null removes it.
    fn label(self) -> Value {
        match self {
            Self::Fast => Value::Null,
            Self::Slow => "slow".into(),
            Self::Never => "never".into(),
            Self::CrashLoop => "crash-loop".into(),
            Self::ImagePull => "image-pull".into(),
            Self::Oom => "oom".into(),
        }
    }
}

/// A canary Rollout.
#[derive(Debug, Clone)]
pub struct Canary {
    pub replicas: u32,
    pub tag: String,
    pub steps: Value,
    pub pods: Pods,
    /// Route by ingress-nginx: stable Ingress and two Services are made as well.
    pub nginx: bool,
    /// Merged into `spec.strategy.canary`.
    pub strategy: Value,
    /// Merged into `spec`.
    pub spec: Value,
}

impl Default for Canary {
    fn default() -> Self {
        Self {
            replicas: 4,
            tag: "v1".into(),
            steps: json!([{"setWeight": 25}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]),
            pods: Pods::Fast,
            nginx: false,
            strategy: json!({}),
            spec: json!({}),
        }
    }
}

impl Canary {
    /// One routed by ingress-nginx.
    pub fn nginx() -> Self {
        Self { nginx: true, ..Self::default() }
    }

    pub fn steps(self, steps: Value) -> Self {
        Self { steps, ..self }
    }
}

/// A blue-green Rollout that waits for its promotion.
#[derive(Debug, Clone)]
pub struct BlueGreen {
    pub replicas: u32,
    pub tag: String,
    pub pods: Pods,
    /// Merged into `spec.strategy.blueGreen`.
    pub strategy: Value,
    /// Merged into `spec`.
    pub spec: Value,
}

impl Default for BlueGreen {
    fn default() -> Self {
        Self { replicas: 3, tag: "v1".into(), pods: Pods::Fast, strategy: json!({}), spec: json!({}) }
    }
}

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

    /// A canary Rollout: with `nginx` also Services `NAME`, `NAME-canary` and Ingress `NAME`, else Service `NAME`.
    pub async fn canary(&self, name: &str, options: Canary) {
        let mut strategy = json!({"steps": options.steps});
        self.service(name, name).await;
        if options.nginx {
            self.service(&format!("{name}-canary"), name).await;
            self.ingress(name).await;
            let nginx = json!({"nginx": {"stableIngress": name}});
            json_patch::merge(&mut strategy, &routed(name, &nginx));
        }
        self.canary_rollout(name, &options, strategy).await;
    }

    /// A canary Rollout routed by the VirtualService `NAME`, which splits on the Services `NAME` and `NAME-canary`.
    pub async fn canary_istio(&self, name: &str, options: Canary) {
        let other = format!("{name}-canary");
        self.service(name, name).await;
        self.service(&other, name).await;
        let mut service = object("networking.istio.io/v1", "VirtualService", name);
        service["spec"] = json!({"hosts": [name], "http": [{"name": "primary", "route": [
            {"destination": {"host": name}, "weight": 100},
            {"destination": {"host": other}, "weight": 0},
        ]}]});
        self.apply(service).await;
        let istio = json!({"istio": {"virtualService": {"name": name, "routes": ["primary"]}}});
        let mut strategy = json!({"steps": options.steps});
        json_patch::merge(&mut strategy, &routed(name, &istio));
        self.canary_rollout(name, &options, strategy).await;
    }

    async fn canary_rollout(&self, name: &str, options: &Canary, mut strategy: Value) {
        json_patch::merge(&mut strategy, &options.strategy);
        let mut spec = spec(name, options.replicas, &options.tag, options.pods);
        spec["strategy"] = json!({"canary": strategy});
        json_patch::merge(&mut spec, &options.spec);
        self.rollout_of(name, spec).await;
    }

    /// A blue-green Rollout with the Services `NAME` (active) and `NAME-preview`, promoted by hand.
    pub async fn blue_green(&self, name: &str, options: BlueGreen) {
        let preview = format!("{name}-preview");
        self.service(name, name).await;
        self.service(&preview, name).await;
        let mut strategy = json!({"activeService": name, "previewService": preview, "autoPromotionEnabled": false});
        json_patch::merge(&mut strategy, &options.strategy);
        let mut spec = spec(name, options.replicas, &options.tag, options.pods);
        spec["strategy"] = json!({"blueGreen": strategy});
        json_patch::merge(&mut spec, &options.spec);
        self.rollout_of(name, spec).await;
    }

    async fn rollout_of(&self, name: &str, spec: Value) {
        let mut rollout = object(ARGO, "Rollout", name);
        rollout["spec"] = spec;
        self.apply(rollout).await;
    }

    /// A Service on port 80 for the pods of `app`.
    pub async fn service(&self, name: &str, app: &str) {
        let mut service = object("v1", "Service", name);
        service["spec"] = json!({"selector": {"app": app}, "ports": [{"port": 80, "targetPort": 8080}]});
        self.apply(service).await;
    }

    async fn ingress(&self, name: &str) {
        let mut ingress = object("networking.k8s.io/v1", "Ingress", name);
        let backend = json!({"service": {"name": name, "port": {"number": 80}}});
        ingress["spec"] = json!({"ingressClassName": "nginx", "rules": [{
            "host": format!("{name}.example.test"),
            "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
        }]});
        self.apply(ingress).await;
    }

    /// An AnalysisTemplate with one metric from the rig's Prometheus. `metric` is merged into that metric
    /// (`interval`, `count`, `successCondition`, `failureLimit`, ...).
    pub async fn prometheus_template(&self, name: &str, query: &str, metric: &Value) {
        let provider = json!({"prometheus": {"address": self.prometheus, "query": query}});
        let mut merged = json!({"name": name, "provider": provider});
        json_patch::merge(&mut merged, metric);
        let mut template = object(ARGO, "AnalysisTemplate", name);
        template["spec"] = json!({"metrics": [merged]});
        self.apply(template).await;
    }

    /// Begins a release of the version `tag` with ordinary pods.
    pub async fn set_image(&self, name: &str, tag: &str) {
        self.release(name, tag, Pods::Fast).await;
    }

    /// Begins a release of the version `tag` whose pods fare like this.
    pub async fn release(&self, name: &str, tag: &str, pods: Pods) {
        let template = json!({
            "metadata": {"labels": {"version": tag, "rig.rolltop.dev/pod": pods.label()}},
            "spec": {"containers": [container(tag)]},
        });
        self.patch_rollout(name, &json!({"spec": {"template": template}})).await;
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

fn routed(name: &str, routing: &Value) -> Value {
    json!({"stableService": name, "canaryService": format!("{name}-canary"), "trafficRouting": routing})
}

fn spec(name: &str, replicas: u32, tag: &str, pods: Pods) -> Value {
    let mut labels = json!({});
    json_patch::merge(&mut labels, &json!({"app": name, "version": tag, "rig.rolltop.dev/pod": pods.label()}));
    json!({
        "replicas": replicas,
        "revisionHistoryLimit": 5,
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": labels},
            // The fake nodes carry taints.
            "spec": {"tolerations": [{"operator": "Exists"}], "containers": [container(tag)]},
        },
    })
}

fn container(tag: &str) -> Value {
    json!({"name": "app", "image": format!("{IMAGE}:{tag}"), "ports": [{"containerPort": 8080}]})
}
