//! The kubeconfig that leads to an embedded cluster, for rolltop itself, for kubectl and for whoever else joins.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// What a kubeconfig with one context says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubeconfig {
    /// `http://127.0.0.1:6443`.
    pub server: String,
    /// Of characters that need no escape in a path.
    pub token: String,
    /// Where commands go that name no namespace.
    pub namespace: String,
    /// Name of the context, the cluster and the user.
    pub context: String,
}

impl Kubeconfig {
    /// The file as YAML. The token is there twice, as clients differ in whether they send one without TLS.
    pub fn text(&self) -> String {
        let server = format!("{}/t/{}", self.server, self.token);
        let [server, token, namespace, context] = [&server, &self.token, &self.namespace, &self.context].map(|text| quoted(text));
        format!(
            "apiVersion: v1\n\
             kind: Config\n\
             clusters:\n\
             - name: {context}\n  cluster:\n    server: {server}\n\
             users:\n\
             - name: {context}\n  user:\n    token: {token}\n\
             contexts:\n\
             - name: {context}\n  context:\n    cluster: {context}\n    user: {context}\n    namespace: {namespace}\n\
             current-context: {context}\n"
        )
    }

    /// Writes the file so that only its owner can read it, whatever was there before.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        // A file that exists would keep its mode.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)?.write_all(self.text().as_bytes())
    }
}

/// JSON strings are YAML strings.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn config() -> Kubeconfig {
        let [server, token, namespace, context] = ["http://127.0.0.1:1", "abc", "shop", "de: \"mo\""].map(String::from);
        Kubeconfig { server, token, namespace, context }
    }

    #[test]
    fn clients_read_what_was_meant() {
        let read: kube::config::Kubeconfig = serde_saphyr::from_str(&config().text()).unwrap();
        assert_eq!(read.current_context.as_deref(), Some("de: \"mo\""));
        assert_eq!(read.contexts[0].context.as_ref().unwrap().namespace.as_deref(), Some("shop"));
        assert_eq!(read.clusters[0].cluster.as_ref().unwrap().server.as_deref(), Some("http://127.0.0.1:1/t/abc"));
        let token = read.auth_infos[0].auth_info.as_ref().unwrap().token.as_ref().unwrap();
        assert_eq!(secrecy::ExposeSecret::expose_secret(token), "abc");
    }

    #[test]
    fn nobody_else_can_read_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("config");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        config().write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), config().text());
    }
}
