//! Where the rig's programs, files and ports are.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use color_eyre::eyre::{Result, eyre};

use super::identity::{self, Identity, Server};
use super::parts::Part;
use super::programs;

const AUDIT_POLICY: &str = r#"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: ["system:apiserver"]}
# The controllers' and the exporter's own reading would drown the rest.
- {level: None, users: ["rig:controllers"], verbs: [get, list, watch]}
- {level: Metadata}
"#;

/// Folder of the programs, or what is missing.
pub fn built() -> Result<PathBuf, String> {
    let share = programs::home().join("share");
    if let Some(missing) = ["crds", "stages"].into_iter().find(|name| !share.join(name).exists()) {
        return Err(format!("target/rig/share has no {missing}"));
    }
    programs::folder(Part::ALL.iter().map(|part| part.program()))
}

pub struct Ports {
    pub etcd: u16,
    pub etcd_peer: u16,
    pub api_server: u16,
    pub argo_metrics: u16,
    pub argo_health: u16,
    pub flagger: u16,
    pub loadtester: u16,
    pub kruise_health: u16,
    pub kruise_webhooks: u16,
    pub network: u16,
    pub prometheus: u16,
    pub exporter: u16,
}

impl Ports {
    fn free() -> Result<Self> {
        // All are held until the last is found, or one would be found twice.
        let mut held = Vec::new();
        let mut next = || free_port(&mut held);
        Ok(Self {
            etcd: next()?,
            etcd_peer: next()?,
            api_server: next()?,
            argo_metrics: next()?,
            argo_health: next()?,
            flagger: next()?,
            loadtester: next()?,
            kruise_health: next()?,
            kruise_webhooks: next()?,
            network: next()?,
            prometheus: next()?,
            exporter: next()?,
        })
    }
}

/// A port below the range the system hands out by itself, so that nobody takes it while its owner restarts.
fn free_port(held: &mut Vec<TcpListener>) -> Result<u16> {
    for _ in 0..1_000 {
        let port = fastrand::u16(20_000..32_000);
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            held.push(listener);
            return Ok(port);
        }
    }
    Err(eyre!("no free port"))
}

pub struct Layout {
    pub bin: PathBuf,
    pub dir: PathBuf,
    pub ports: Ports,
}

impl Layout {
    pub fn new() -> Result<Self> {
        let bin = built().map_err(|missing| eyre!(missing))?;
        // The keeper deletes it: it outlives this process whatever becomes of that.
        let dir = tempfile::Builder::new().prefix("rolltop-rig-").tempdir()?.keep();
        fs::create_dir_all(dir.join("kubeconfigs"))?;
        Ok(Self { bin, dir, ports: Ports::free()? })
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn log(&self, part: Part) -> PathBuf {
        self.dir.join(format!("{}.log", part.program()))
    }

    pub fn audit_log(&self) -> PathBuf {
        self.file("audit.log")
    }

    pub fn server_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api_server)
    }

    pub fn crds(&self) -> Result<Vec<PathBuf>> {
        yaml_files(&programs::home().join("share/crds"))
    }

    /// Socket of the cluster's network, for the API server.
    pub fn network(&self) -> PathBuf {
        self.file("network.sock")
    }

    /// The kinds of another project; see `tests/cluster/crds`.
    pub fn more_crds(&self, name: &str) -> PathBuf {
        programs::home().join("share/crds/more").join(format!("{name}.yaml"))
    }

    /// What the OpenKruise controller reads from where it starts, and its webhooks.
    pub fn kruise(&self) -> PathBuf {
        programs::home().join("share/kruise")
    }

    /// Text of a kubeconfig file.
    pub fn kubeconfig(&self, identity: Identity, namespace: &str) -> String {
        let (url, authority) = (self.server_url(), self.file("ca.crt"));
        identity::kubeconfig(Server { url: &url, authority: Some(&authority) }, identity, namespace)
    }

    pub fn write_configs(&self) -> Result<()> {
        let token = |id: &Identity| format!("{},{},{},{}\n", id.token(), id.user(), id.user(), id.groups().join(","));
        fs::write(self.file("tokens.csv"), Identity::ALL.iter().map(token).collect::<String>())?;
        fs::write(self.file("controllers.kubeconfig"), self.kubeconfig(Identity::Controllers, "default"))?;
        fs::write(self.file("audit.yaml"), AUDIT_POLICY)?;
        fs::write(self.file("egress.yaml"), egress_config(&self.network()))?;
        fs::write(self.file("prometheus.yaml"), prometheus_config(self.ports.exporter))?;
        fs::write(self.file("stages.yaml"), stages()?)?;
        Ok(())
    }
}

/// kwok takes one file of stages, and then no other than those.
fn stages() -> Result<String> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/stages");
    let mut all = String::new();
    for file in yaml_files(&programs::home().join("share/stages"))?.into_iter().chain(yaml_files(&own)?) {
        all += "---\n";
        all += &fs::read_to_string(file)?;
        all += "\n";
    }
    Ok(all)
}

/// With an address in place of a socket this API server falls over.
fn egress_config(network: &Path) -> String {
    format!(
        "apiVersion: apiserver.k8s.io/v1beta1\n\
         kind: EgressSelectorConfiguration\n\
         egressSelections:\n\
         - name: cluster\n  connection: {{proxyProtocol: HTTPConnect, transport: {{uds: {{udsName: \"{}\"}}}}}}\n",
        network.display()
    )
}

fn prometheus_config(exporter: u16) -> String {
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 900ms}}\n\
         scrape_configs:\n\
         - job_name: traffic\n  static_configs: [{{targets: [\"127.0.0.1:{exporter}\"]}}]\n"
    )
}

fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    Ok(files)
}
