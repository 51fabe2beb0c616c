//! Credential plugins (`exec` in a kubeconfig), run by us: once, with a deadline, away from the terminal.
//!
//! kube would run the plugin three times per client, without a time-out, and let it read our keys and
//! write on our screen. Here it gets no stdin, its stderr is kept for the error, it is told that nobody
//! is there to answer (`interactive: false`), and it is killed with its children when the time is over.

use std::{process::Stdio, time::Duration};

use k8s_openapi::ByteString;
use kube::config::{AuthInfo, Cluster, ExecConfig};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, process::Command};

use super::connect::ConnectError;
use crate::model::{Text, Time, moment};

/// Most that is kept of what a plugin writes, bytes.
const LIMIT: u64 = 256 * 1024;

/// Runs the plugin of `user`, if it has one, and puts what it gives in its place. Returns when that expires.
///
/// # Errors
/// The plugin's own words, with the command to run by hand.
pub async fn resolve(user: &mut AuthInfo, cluster: &Cluster, patience: Duration) -> Result<Option<Time>, ConnectError> {
    // A token written down wins over the plugin, as in client-go's order of kube.
    if user.token.is_some() || user.token_file.is_some() {
        user.exec = None;
        return Ok(None);
    }
    let Some(exec) = user.exec.take() else { return Ok(None) };
    let credential = run(&exec, cluster, patience).await?;
    let garbled = |error: &str| ConnectError::PluginGarbled { command: command_line(&exec), said: error.into() };
    let status = credential.status.ok_or_else(|| garbled("no `status` in its answer"))?;
    match (status.client_certificate_data, status.client_key_data, status.token) {
        (Some(certificate), Some(key), token) => {
            user.client_certificate_data = Some(base64(certificate.into_bytes()));
            user.client_key_data = Some(base64(key.into_bytes()).into());
            user.token = token.map(Into::into);
        }
        (_, _, Some(token)) => user.token = Some(token.into()),
        _ => return Err(garbled("neither a token nor a certificate in its answer")),
    }
    Ok(status.expiration_timestamp.and_then(|t| moment(&t)))
}

/// The plugin's command as it would be typed.
pub fn command_line(exec: &ExecConfig) -> Text {
    let words = exec.command.iter().chain(exec.args.iter().flatten());
    let quoted = words.map(|w| {
        if !w.is_empty() && w.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:@,+".contains(c)) {
            w.clone()
        } else {
            format!("'{}'", w.replace('\'', r"'\''"))
        }
    });
    Text::from(quoted.collect::<Vec<_>>().join(" "))
}

/// The command that renews a login, for plugins that are known; else the plugin's own.
pub fn login(exec: &ExecConfig) -> Text {
    let name = exec.command.as_deref().unwrap_or_default().rsplit(['/', '\\']).next().unwrap_or_default();
    let env = |wanted: &str| exec.env.iter().flatten().find(|e| e.get("name").is_some_and(|n| n == wanted)).and_then(|e| e.get("value"));
    let args: Vec<&str> = exec.args.iter().flatten().map(String::as_str).collect();
    let profile = args
        .iter()
        .position(|a| *a == "--profile")
        .and_then(|i| args.get(i + 1))
        .map(|p| (*p).to_owned())
        .or_else(|| env("AWS_PROFILE").cloned());
    match name {
        "aws" | "aws-iam-authenticator" => {
            profile.map_or_else(|| "aws sso login".into(), |p| format!("aws sso login --profile {p}").into())
        }
        "gke-gcloud-auth-plugin" | "gcloud" => "gcloud auth login".into(),
        "kubelogin" if args.contains(&"--server-id") => "az login".into(),
        "tsh" => "tsh login".into(),
        "doctl" => "doctl auth init".into(),
        _ => command_line(exec),
    }
}

#[derive(Deserialize)]
struct Credential {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    expiration_timestamp: Option<String>,
}

async fn run(exec: &ExecConfig, cluster: &Cluster, patience: Duration) -> Result<Credential, ConnectError> {
    let command = command_line(exec);
    let missing = |error: std::io::Error| ConnectError::PluginMissing {
        command: command.clone(),
        error: error.to_string(),
        hint: exec.install_hint.as_deref().unwrap_or("install it, or correct `users[].user.exec.command` in the kubeconfig").into(),
    };
    let mut child = prepare(exec, cluster).spawn().map_err(missing)?;
    let group = child.id();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        let read_out = async {
            if let Some(pipe) = stdout {
                let _ = pipe.take(LIMIT).read_to_end(&mut out).await;
            }
        };
        let read_err = async {
            if let Some(pipe) = stderr {
                let _ = pipe.take(LIMIT).read_to_end(&mut err).await;
            }
        };
        tokio::join!(read_out, read_err, child.wait()).2
    };
    let ended = tokio::time::timeout(patience, work).await;
    let said = Text::from(String::from_utf8_lossy(&err).trim());
    match ended {
        Err(_) => {
            kill_all(group);
            Err(ConnectError::PluginTimedOut { command, after: patience, said })
        }
        Ok(Err(error)) => Err(missing(error)),
        Ok(Ok(status)) if !status.success() => Err(ConnectError::PluginFailed { command, status: status.to_string(), said }),
        // Not serde's own words: they may quote what the plugin printed, which is a credential.
        Ok(Ok(_)) => serde_json::from_slice(&out).map_err(|e| {
            let place = format!("no ExecCredential at line {} column {}", e.line(), e.column());
            ConnectError::PluginGarbled { command, said: format!("{place} {said}").into() }
        }),
    }
}

fn prepare(exec: &ExecConfig, cluster: &Cluster) -> Command {
    let mut command = Command::new(exec.command.as_deref().unwrap_or_default());
    command.args(exec.args.iter().flatten());
    for entry in exec.env.iter().flatten() {
        if let (Some(name), Some(value)) = (entry.get("name"), entry.get("value")) {
            command.env(name, value);
        }
    }
    command.env("KUBERNETES_EXEC_INFO", exec_info(exec, cluster).to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // A group of its own: not in the foreground, so it cannot read the terminal behind our back either.
    #[cfg(unix)]
    command.process_group(0);
    command
}

fn exec_info(exec: &ExecConfig, cluster: &Cluster) -> Value {
    let mut spec = json!({"interactive": false});
    if exec.provide_cluster_info {
        spec["cluster"] = json!({
            "server": cluster.server,
            "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify.unwrap_or_default(),
            "certificate-authority-data": cluster.certificate_authority_data,
            "proxy-url": cluster.proxy_url,
            "tls-server-name": cluster.tls_server_name,
            "config": cluster.extensions.iter().flatten().find(|e| e.name == "client.authentication.k8s.io/exec").map(|e| &e.extension),
        });
    }
    json!({"apiVersion": exec.api_version, "kind": "ExecCredential", "spec": spec})
}

#[cfg(unix)]
fn kill_all(group: Option<u32>) {
    if let Some(pid) = group.and_then(|p| i32::try_from(p).ok()).and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

#[cfg(not(unix))]
fn kill_all(_group: Option<u32>) {}

/// Base64, the way a kubeconfig holds binary data.
fn base64(bytes: Vec<u8>) -> String {
    match serde_json::to_value(ByteString(bytes)) {
        Ok(Value::String(text)) => text,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(command: &str, args: &[&str]) -> ExecConfig {
        ExecConfig { command: Some(command.into()), args: Some(args.iter().map(|a| (*a).to_owned()).collect()), ..ExecConfig::default() }
    }

    #[test]
    fn the_hint_is_the_login_people_know() {
        for (command, args, hint) in [
            ("aws", &["eks", "get-token", "--profile", "prod"][..], "aws sso login --profile prod"),
            ("/usr/local/bin/aws", &["eks"][..], "aws sso login"),
            ("gke-gcloud-auth-plugin", &[][..], "gcloud auth login"),
            ("kubelogin", &["get-token", "--server-id", "x"][..], "az login"),
            ("kubelogin", &["get-token", "--oidc-issuer-url=x y"][..], "kubelogin get-token '--oidc-issuer-url=x y'"),
        ] {
            assert_eq!(login(&exec(command, args)), hint);
        }
    }
}
