//! Who may ask the API server, by static bearer tokens.

use std::path::Path;

use serde_json::json;

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
    pub const ALL: [Self; 6] = [Self::Admin, Self::Controllers, Self::Viewer, Self::Oncall, Self::Namespaced, Self::Nobody];

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

    pub fn token(self) -> String {
        format!("{}-token", self.user().replace(':', "-"))
    }

    pub fn groups(self) -> &'static [&'static str] {
        match self {
            Self::Admin | Self::Controllers => &["system:masters"],
            _ => &[],
        }
    }

    /// Name of its kubeconfig file for a namespace.
    pub fn file(self, namespace: &str) -> String {
        format!("{}-{namespace}.yaml", self.token())
    }
}

/// Where the API server is, and the certificate to know it by, if it has one.
#[derive(Debug, Clone, Copy)]
pub struct Server<'a> {
    pub url: &'a str,
    pub authority: Option<&'a Path>,
}

/// Text of a kubeconfig file.
pub fn kubeconfig(server: Server<'_>, identity: Identity, namespace: &str) -> String {
    let user = identity.user();
    let mut cluster = json!({"server": server.url});
    if let Some(authority) = server.authority {
        cluster["certificate-authority"] = json!(authority);
    }
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "rig", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": identity.token()}}],
        "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": user, "namespace": namespace}}],
        "current-context": "rig",
    });
    // JSON is YAML.
    format!("{config:#}\n")
}

/// The same for a client of one's own. `authority` is a certificate in DER.
pub fn config(url: &str, authority: Option<&[u8]>, identity: Identity) -> kube::Config {
    let mut config = kube::Config::new(url.parse().expect("a loopback address"));
    config.root_cert = authority.map(|der| vec![der.to_vec()]);
    config.auth_info.token = Some(identity.token().into());
    config
}
