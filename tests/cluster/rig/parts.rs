//! The programs of the rig and their command lines.

use std::process::Command;

use super::layout::Layout;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Etcd,
    ApiServer,
    ControllerManager,
    Scheduler,
    Kwok,
    Argo,
    Flagger,
    /// Flagger's load tester, which keeps its gates.
    Loadtester,
    /// The controller of OpenKruise's Rollouts, which is its own admission webhook.
    Kruise,
    Prometheus,
}

impl Part {
    pub const ALL: [Self; 10] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kwok,
        Self::Argo,
        Self::Flagger,
        Self::Loadtester,
        Self::Kruise,
        Self::Prometheus,
    ];

    pub fn program(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kwok => "kwok",
            Self::Argo => "rollouts-controller",
            Self::Flagger => "flagger",
            Self::Loadtester => "loadtester",
            Self::Kruise => "kruise-rollouts",
            Self::Prometheus => "prometheus",
        }
    }

    pub fn command(self, layout: &Layout) -> Command {
        let mut command = Command::new(layout.bin.join(self.program()));
        // Relative file names below; and no proxy of the surroundings between the parts.
        command.current_dir(&layout.dir).env_clear().env("HOME", &layout.dir).args(self.arguments(layout));
        if self == Self::Flagger {
            // Its hooks name Services; no host here knows them. What is on loopback it reaches without.
            command.env("HTTP_PROXY", format!("http://127.0.0.1:{}", layout.ports.network));
        }
        if self == Self::Kruise {
            // With a host it registers its webhooks by address, and keeps their certificate in files.
            command.current_dir(layout.kruise()).env("WEBHOOK_HOST", "127.0.0.1");
            command.env("WEBHOOK_PORT", layout.ports.kruise_webhooks.to_string());
            command.env("WEBHOOK_CERT_DIR", layout.file("kruise-certs"));
        }
        command
    }

    fn arguments(self, layout: &Layout) -> Vec<String> {
        match self {
            Self::Etcd => etcd(layout),
            Self::ApiServer => api_server(layout),
            Self::ControllerManager => controller_manager(),
            Self::Scheduler => as_controller(&["--leader-elect=false", "--secure-port=0"]),
            Self::Kwok => kwok(),
            Self::Argo => argo(layout),
            Self::Flagger => flagger(layout),
            Self::Loadtester => vec![format!("-port={}", layout.ports.loadtester)],
            Self::Kruise => kruise(layout),
            Self::Prometheus => prometheus(layout),
        }
    }
}

fn etcd(layout: &Layout) -> Vec<String> {
    let (client, peer) = (layout.ports.etcd, layout.ports.etcd_peer);
    vec![
        "--data-dir=etcd".into(),
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
        format!("--listen-client-urls=http://127.0.0.1:{client}"),
        format!("--advertise-client-urls=http://127.0.0.1:{client}"),
        format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
        format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
        format!("--initial-cluster=default=http://127.0.0.1:{peer}"),
    ]
}

fn api_server(layout: &Layout) -> Vec<String> {
    let mut arguments =
        vec![format!("--etcd-servers=http://127.0.0.1:{}", layout.ports.etcd), format!("--secure-port={}", layout.ports.api_server)];
    let fixed = [
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        "--tls-cert-file=api.crt",
        "--tls-private-key-file=api.key",
        "--client-ca-file=ca.crt",
        "--token-auth-file=tokens.csv",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://rig",
        "--service-account-key-file=sa.pub",
        "--service-account-signing-key-file=sa.key",
        "--service-cluster-ip-range=10.96.0.0/16",
        // Pods would wait for service accounts, nodes would keep a taint that nothing here removes.
        "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
        "--audit-policy-file=audit.yaml",
        "--audit-log-path=audit.log",
        // The way to pods.
        "--egress-selector-config-file=egress.yaml",
    ];
    arguments.extend(fixed.map(String::from));
    arguments
}

fn controller_manager() -> Vec<String> {
    as_controller(&[
        "--leader-elect=false",
        "--secure-port=0",
        "--use-service-account-credentials=false",
        "--service-account-private-key-file=sa.key",
        "--root-ca-file=ca.crt",
        "--controllers=deployment,replicaset,statefulset,daemonset,endpointslice,endpoint,namespace,garbagecollector,\
         job,disruption,horizontalpodautoscaling",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
    ])
}

fn kwok() -> Vec<String> {
    as_controller(&["--manage-all-nodes=true", "--node-lease-duration-seconds=0", "--config=stages.yaml"])
}

fn argo(layout: &Layout) -> Vec<String> {
    let mut arguments = as_controller(&["--leader-elect=false", "--qps=500", "--burst=1000"]);
    arguments.push(format!("--metricsport={}", layout.ports.argo_metrics));
    arguments.push(format!("--healthzPort={}", layout.ports.argo_health));
    arguments
}

/// A Canary that names no provider is of `kubernetes`: blue-green without a router.
fn flagger(layout: &Layout) -> Vec<String> {
    let mut arguments = as_controller(&["-mesh-provider=kubernetes", "-log-level=info", "-control-loop-interval=2s"]);
    arguments.push(format!("-metrics-server=http://127.0.0.1:{}", layout.ports.prometheus));
    arguments.push(format!("-port={}", layout.ports.flagger));
    arguments
}

fn kruise(layout: &Layout) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", layout.file("controllers.kubeconfig").display()),
        format!("--health-probe-bind-address=127.0.0.1:{}", layout.ports.kruise_health),
        // As its manifests have it: batches of a Deployment are nobody's without.
        "--feature-gates=AdvancedDeployment=true".into(),
    ]
}

fn prometheus(layout: &Layout) -> Vec<String> {
    vec![
        "--config.file=prometheus.yaml".into(),
        "--storage.tsdb.path=prometheus".into(),
        "--log.level=warn".into(),
        format!("--web.listen-address=127.0.0.1:{}", layout.ports.prometheus),
    ]
}

fn as_controller(more: &[&str]) -> Vec<String> {
    std::iter::once("--kubeconfig=controllers.kubeconfig").chain(more.iter().copied()).map(String::from).collect()
}
