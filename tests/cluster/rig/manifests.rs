//! Objects tests are made of, as plain JSON without a namespace.

use serde_json::{Value, json};

const ARGO: &str = "argoproj.io/v1alpha1";
const FLAGGER: &str = "flagger.app/v1beta1";
const KRUISE: &str = "rollouts.kruise.io/v1beta1";

/// Namespace and name of the load tester's Service, as Flagger's documentation has them.
pub const LOADTESTER: (&str, &str) = ("test", "flagger-loadtester");

/// Where a hook asks whether its gate is open.
pub const GATE: &str = "http://flagger-loadtester.test/gate/check";

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
    /// Value of the label that asks for it; null removes it.
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

/// Who carries a canary's weight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Router {
    /// Nobody: by the number of pods, behind one Service `NAME`.
    #[default]
    None,
    /// ingress-nginx: Services `NAME` and `NAME-canary`, stable Ingress `NAME`.
    Nginx,
    /// Istio: VirtualService `NAME`, which splits on the Services `NAME` and `NAME-canary`.
    Istio,
}

/// A canary Rollout.
#[derive(Debug, Clone)]
pub struct Canary {
    pub replicas: u32,
    pub tag: String,
    pub steps: Value,
    pub pods: Pods,
    pub router: Router,
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
            router: Router::None,
            strategy: json!({}),
            spec: json!({}),
        }
    }
}

impl Canary {
    /// One routed by ingress-nginx.
    pub fn nginx() -> Self {
        Self { router: Router::Nginx, ..Self::default() }
    }

    /// One routed by Istio.
    pub fn istio() -> Self {
        Self { router: Router::Istio, ..Self::default() }
    }

    pub fn steps(self, steps: Value) -> Self {
        Self { steps, ..self }
    }

    /// The Rollout, and before it what it refers to.
    pub fn objects(&self, name: &str) -> Vec<Value> {
        let mut objects = vec![service(name, name)];
        let mut strategy = json!({"steps": self.steps});
        if self.router != Router::None {
            objects.push(service(&format!("{name}-canary"), name));
            strategy["stableService"] = name.into();
            strategy["canaryService"] = format!("{name}-canary").into();
        }
        match self.router {
            Router::None => {}
            Router::Nginx => {
                objects.push(ingress(name));
                strategy["trafficRouting"] = json!({"nginx": {"stableIngress": name}});
            }
            Router::Istio => {
                objects.push(virtual_service(name));
                strategy["trafficRouting"] = json!({"istio": {"virtualService": {"name": name, "routes": ["primary"]}}});
            }
        }
        json_patch::merge(&mut strategy, &self.strategy);
        let mut spec = spec(name, self.replicas, &self.tag, self.pods);
        spec["strategy"] = json!({"canary": strategy});
        json_patch::merge(&mut spec, &self.spec);
        objects.push(rollout(name, spec));
        objects
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

impl BlueGreen {
    /// The Rollout, and before it the Services `NAME` (active) and `NAME-preview`.
    pub fn objects(&self, name: &str) -> Vec<Value> {
        let preview = format!("{name}-preview");
        let mut strategy = json!({"activeService": name, "previewService": preview, "autoPromotionEnabled": false});
        json_patch::merge(&mut strategy, &self.strategy);
        let mut spec = spec(name, self.replicas, &self.tag, self.pods);
        spec["strategy"] = json!({"blueGreen": strategy});
        json_patch::merge(&mut spec, &self.spec);
        vec![service(name, name), service(&preview, name), rollout(name, spec)]
    }
}

/// A Deployment and the Canary that releases it.
#[derive(Debug, Clone)]
pub struct FlaggerCanary {
    /// `kubernetes`, `nginx` (with an Ingress `NAME`) or `gatewayapi:v1`.
    pub provider: &'static str,
    pub replicas: u32,
    pub tag: String,
    /// Types of the hooks that ask the load tester's gate.
    pub gates: Vec<&'static str>,
    /// Merged into `spec.analysis`.
    pub analysis: Value,
    /// Merged into `spec`.
    pub spec: Value,
}

impl FlaggerCanary {
    /// Two iterations, then all users at once. Nothing is measured: no user is on the new version.
    pub fn blue_green() -> Self {
        let analysis = json!({"iterations": 2, "metrics": []});
        Self { provider: "kubernetes", replicas: 2, tag: "v1".into(), gates: Vec::new(), analysis, spec: json!({}) }
    }

    /// Weights 20 and 40 on an ingress-nginx.
    pub fn nginx() -> Self {
        // A busy machine loses a scrape now and then.
        let metrics = json!([{"name": "request-success-rate", "interval": "10s", "thresholdRange": {"min": 99}}]);
        let analysis = json!({"stepWeight": 20, "maxWeight": 40, "threshold": 5, "metrics": metrics});
        Self { provider: "nginx", analysis, ..Self::blue_green() }
    }

    /// The same weights on an HTTPRoute.
    pub fn gateway() -> Self {
        Self { provider: "gatewayapi:v1", ..Self::nginx() }
    }

    pub fn gates<const N: usize>(self, gates: [&'static str; N]) -> Self {
        Self { gates: gates.into(), ..self }
    }

    pub fn analysis(mut self, more: &Value) -> Self {
        json_patch::merge(&mut self.analysis, more);
        self
    }

    /// The Canary, and before it what it refers to.
    pub fn objects(&self, name: &str) -> Vec<Value> {
        let mut deployment = object("apps/v1", "Deployment", name);
        deployment["spec"] = spec(name, self.replicas, &self.tag, Pods::Fast);
        let mut canary = object(FLAGGER, "Canary", name);
        let hook = |kind: &&str| json!({"name": kind, "type": kind, "url": GATE, "timeout": "2s"});
        let mut analysis = json!({
            "interval": "10s",
            "threshold": 2,
            "webhooks": self.gates.iter().map(hook).collect::<Vec<_>>(),
        });
        json_patch::merge(&mut analysis, &self.analysis);
        canary["spec"] = json!({
            "provider": self.provider,
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "progressDeadlineSeconds": 120,
            "service": {"port": 80, "targetPort": 8080},
            "analysis": analysis,
        });
        let mut objects = vec![deployment];
        match self.provider {
            "nginx" => {
                canary["spec"]["ingressRef"] = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": name});
                objects.push(ingress(name));
            }
            "gatewayapi:v1" => {
                canary["spec"]["service"]["hosts"] = json!([format!("{name}.example.test")]);
                canary["spec"]["service"]["gatewayRefs"] = json!([{"name": "gateway", "namespace": "test"}]);
            }
            _ => {}
        }
        json_patch::merge(&mut canary["spec"], &self.spec);
        objects.push(canary);
        objects
    }
}

/// A workload and the Rollout of OpenKruise's that releases it in steps.
#[derive(Debug, Clone)]
pub struct KruiseRollout {
    /// `Deployment` or `StatefulSet`.
    pub kind: &'static str,
    pub replicas: u32,
    /// `canary` or `blueGreen`.
    pub strategy: &'static str,
    pub steps: Value,
    /// Whether an ingress-nginx carries the weight; else nobody does.
    pub routed: bool,
    /// Merged into `spec.strategy.canary` or `.blueGreen`.
    pub plan: Value,
}

impl KruiseRollout {
    /// New pods in a Deployment beside the old ones, users by weight; every step waits.
    pub fn canary() -> Self {
        let steps = json!([{"traffic": "20%", "replicas": 1, "pause": {}}, {"traffic": "40%", "replicas": 2, "pause": {}},
            {"traffic": "60%", "replicas": 3, "pause": {}}, {"traffic": "100%", "replicas": "100%", "pause": {}}]);
        let plan = json!({"enableExtraWorkloadForCanary": true});
        Self { kind: "Deployment", replicas: 4, strategy: "canary", steps, routed: true, plan }
    }

    /// New pods in place of old ones, batch by batch, without a router.
    pub fn batches() -> Self {
        let steps =
            json!([{"replicas": 1, "pause": {}}, {"replicas": "50%", "pause": {"duration": 3600}}, {"replicas": "100%", "pause": {}}]);
        Self { steps, routed: false, plan: json!({}), ..Self::canary() }
    }

    /// All new pods first, users after.
    pub fn blue_green() -> Self {
        let steps = json!([{"replicas": "100%", "traffic": "0%", "pause": {}}, {"replicas": "100%", "traffic": "100%", "pause": {}}]);
        Self { strategy: "blueGreen", replicas: 2, steps, plan: json!({}), ..Self::canary() }
    }

    /// The Rollout, and before it what it refers to.
    pub fn objects(&self, name: &str) -> Vec<Value> {
        let mut workload = object("apps/v1", self.kind, name);
        workload["spec"] = spec(name, self.replicas, "v1", Pods::Fast);
        if self.kind == "StatefulSet" {
            workload["spec"]["serviceName"] = name.into();
        }
        let mut plan = json!({"steps": self.steps});
        let mut objects = vec![service(name, name), workload];
        if self.routed {
            plan["trafficRoutings"] = json!([{"service": name, "gracePeriodSeconds": 1, "ingress": {"classType": "nginx", "name": name}}]);
            objects.push(ingress(name));
        }
        json_patch::merge(&mut plan, &self.plan);
        let mut rollout = object(KRUISE, "Rollout", name);
        rollout["spec"] = json!({
            "workloadRef": {"apiVersion": "apps/v1", "kind": self.kind, "name": name},
            "strategy": {self.strategy: plan},
        });
        objects.push(rollout);
        objects
    }
}

/// A pod that a load tester on this port of loopback plays, and its Service.
pub fn loadtester(port: u16) -> [Value; 2] {
    let name = LOADTESTER.1;
    let mut pod = object("v1", "Pod", name);
    let template = pod_template(name, "latest", Pods::Fast);
    pod["metadata"]["labels"] = template["metadata"]["labels"].clone();
    pod["spec"] = template["spec"].clone();
    let mut service = service(name, name);
    service["spec"]["ports"] = json!([{"name": "http", "port": 80, "targetPort": port}]);
    [pod, service]
}

/// The object's identity; all else is added by whoever needs it.
pub fn object(api_version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}})
}

/// An AnalysisTemplate with one metric from the Prometheus at `address`. `metric` is merged into that metric
/// (`interval`, `count`, `successCondition`, `failureLimit`, ...).
pub fn analysis_template(name: &str, address: &str, query: &str, metric: &Value) -> Value {
    let provider = json!({"prometheus": {"address": address, "query": query}});
    let mut merged = json!({"name": name, "provider": provider});
    json_patch::merge(&mut merged, metric);
    let mut template = object(ARGO, "AnalysisTemplate", name);
    template["spec"] = json!({"metrics": [merged]});
    template
}

/// A Service on port 80 for the pods of `app`.
pub fn service(name: &str, app: &str) -> Value {
    let mut service = object("v1", "Service", name);
    service["spec"] = json!({"selector": {"app": app}, "ports": [{"port": 80, "targetPort": 8080}]});
    service
}

/// A pod template of `app` in the version `tag`; labels that are null are left out.
pub fn pod_template(app: &str, tag: &str, pods: Pods) -> Value {
    let mut labels = json!({});
    json_patch::merge(&mut labels, &json!({"app": app, "version": tag, "rolltop.dev/pod": pods.label()}));
    // The fake nodes carry taints.
    json!({"metadata": {"labels": labels}, "spec": {"tolerations": [{"operator": "Exists"}], "containers": [container(tag)]}})
}

/// Merge patch that releases the version `tag`, of a Rollout or a Deployment.
pub fn release(tag: &str, pods: Pods) -> Value {
    let labels = json!({"version": tag, "rolltop.dev/pod": pods.label()});
    json!({"spec": {"template": {"metadata": {"labels": labels}, "spec": {"containers": [container(tag)]}}}})
}

fn ingress(name: &str) -> Value {
    let mut ingress = object("networking.k8s.io/v1", "Ingress", name);
    let backend = json!({"service": {"name": name, "port": {"number": 80}}});
    ingress["spec"] = json!({"ingressClassName": "nginx", "rules": [{
        "host": format!("{name}.example.test"),
        "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
    }]});
    ingress
}

fn virtual_service(name: &str) -> Value {
    let mut service = object("networking.istio.io/v1", "VirtualService", name);
    service["spec"] = json!({"hosts": [name], "http": [{"name": "primary", "route": [
        {"destination": {"host": name}, "weight": 100},
        {"destination": {"host": format!("{name}-canary")}, "weight": 0},
    ]}]});
    service
}

fn rollout(name: &str, spec: Value) -> Value {
    let mut rollout = object(ARGO, "Rollout", name);
    rollout["spec"] = spec;
    rollout
}

fn spec(name: &str, replicas: u32, tag: &str, pods: Pods) -> Value {
    json!({
        "replicas": replicas,
        "revisionHistoryLimit": 5,
        "selector": {"matchLabels": {"app": name}},
        "template": pod_template(name, tag, pods),
    })
}

fn container(tag: &str) -> Value {
    json!({"name": "app", "image": format!("{IMAGE}:{tag}"), "ports": [{"containerPort": 8080}]})
}
