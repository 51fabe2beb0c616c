//! Who may ask the API server, by static bearer tokens.

use std::fs;
use std::path::PathBuf;

use color_eyre::eyre::Result;
use serde_json::json;

use super::layout::Layout;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// May do everything; sets tests up.
    Admin,
    /// What the rig's own components use. May do everything; its reading is not audited.
    Controllers,
    /// Reads everything rolltop shows, cluster-wide.
    Viewer,
    /// Viewer who also steers rollouts, cluster-wide.
    Oncall,
    /// On-call's rights, but only in namespaces made by `Rig::namespace`.
    Namespaced,
    /// Known, with no rights but to ask about them.
    Nobody,
}

impl Identity {
    const ALL: [Self; 6] = [Self::Admin, Self::Controllers, Self::Viewer, Self::Oncall, Self::Namespaced, Self::Nobody];

    /// Name of the user in bindings and in the audit log.
    pub fn user(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Controllers => "rig:controllers",
            Self::Viewer => "viewer",
            Self::Oncall => "oncall",
            Self::Namespaced => "namespaced",
            Self::Nobody => "nobody",
        }
    }

    fn token(self) -> String {
        format!("{}-token", self.user().replace(':', "-"))
    }

    fn group(self) -> &'static str {
        match self {
            Self::Admin | Self::Controllers => "system:masters",
            _ => "",
        }
    }
}

/// The API server's token file, and the kubeconfig of its components.
pub fn write_tokens(layout: &Layout) -> Result<()> {
    let lines = Identity::ALL.iter().map(|id| format!("{},{},{},{}\n", id.token(), id.user(), id.user(), id.group()));
    fs::write(layout.file("tokens.csv"), lines.collect::<String>())?;
    fs::write(layout.file("controllers.kubeconfig"), kubeconfig(layout, Identity::Controllers, "default"))?;
    Ok(())
}

pub fn write_kubeconfig(layout: &Layout, identity: Identity, namespace: &str) -> Result<PathBuf> {
    let path = layout.file("kubeconfigs").join(format!("{}-{namespace}.yaml", identity.token()));
    fs::write(&path, kubeconfig(layout, identity, namespace))?;
    Ok(path)
}

fn kubeconfig(layout: &Layout, identity: Identity, namespace: &str) -> String {
    let user = identity.user();
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "rig", "cluster": {
            "server": layout.server_url(),
            "certificate-authority": layout.file("ca.crt"),
        }}],
        "users": [{"name": user, "user": {"token": identity.token()}}],
        "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": user, "namespace": namespace}}],
        "current-context": "rig",
    });
    // JSON is YAML.
    format!("{config:#}\n")
}

pub fn config(layout: &Layout, ca: &[u8], identity: Identity) -> kube::Config {
    let mut config = kube::Config::new(layout.server_url().parse().expect("a loopback address"));
    config.root_cert = Some(vec![ca.to_vec()]);
    config.auth_info.token = Some(identity.token().into());
    config
}
