//! Credentials that end, and plugins that hang, fail or want to talk.

use std::{
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use rolltop::{
    cluster::{ConnectError, Connection, Options, Scope},
    model::LinkState,
};

use crate::server::*;

/// A healthy server that wants this token, read anew for each request.
async fn wants(token: std::path::PathBuf) -> Server {
    Server::start(move |a, _| {
        let expected = format!("Bearer {}", std::fs::read_to_string(&token).unwrap());
        if a.headers.get("authorization").is_some_and(|h| h.as_bytes() == expected.as_bytes()) {
            healthy(a)
        } else {
            status(401, "Unauthorized")
        }
    })
    .await
}

#[tokio::test]
async fn a_refused_token_is_reported_and_a_renewed_file_picked_up() {
    let folder = tempfile::tempdir().unwrap();
    let (mine, theirs) = (folder.path().join("mine"), folder.path().join("theirs"));
    // A line break at the end, as editors leave it.
    std::fs::write(&mine, "old\n").unwrap();
    std::fs::write(&theirs, "new").unwrap();
    let server = wants(theirs).await;
    let user = format!("tokenFile: \"{}\"", mine.display());
    let connection = Kubeconfig::new(&server.url(), "", &user).connect(brisk()).await;
    let mut room = Room::fleet(connection.reader(), Scope::All);
    let link = room.link("expired", |s| matches!(s, LinkState::Expired { .. })).await;
    assert_eq!(link.state, LinkState::Expired { hint: "kubectl --context test auth whoami".into() });
    std::fs::write(&mine, "new\n").unwrap();
    room.live().await;
}

#[tokio::test]
async fn a_token_that_changes_under_way_is_renewed_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "one").unwrap();
    let server = wants(token.clone()).await;
    let user = format!("tokenFile: \"{}\"", token.display());
    let connection = Kubeconfig::new(&server.url(), "", &user).connect(brisk()).await;
    let reader = connection.reader();
    assert!(reader.version().await.is_ok());
    std::fs::write(&token, "two").unwrap();
    assert!(reader.version().await.is_ok(), "asked a second time with the new token");
    let tokens: Vec<_> = server.asked().iter().map(|a| a.headers["authorization"].to_str().unwrap().to_owned()).collect();
    assert_eq!(tokens, ["Bearer one", "Bearer one", "Bearer two"]);
}

/// A kubeconfig whose user is a script, run by its path.
fn plugin(server: &str, script: &str) -> Kubeconfig {
    let config =
        Kubeconfig::new(server, "", "exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, args: [\"get token\"]}");
    let path = config.folder().join("plugin");
    std::fs::write(&path, format!("#!/bin/sh\ncd \"$(dirname \"$0\")\"\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    config
}

async fn load(config: &Kubeconfig, patience: u64) -> Result<Connection, ConnectError> {
    Connection::load_paced(Options { timeout: Duration::from_millis(patience), ..config.options() }, brisk()).await
}

#[tokio::test]
async fn a_plugin_runs_once_and_does_not_stall_the_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "t0ken").unwrap();
    let server = wants(token).await;
    let config = plugin(&server.url(), r#"echo x >> runs; sleep 0.3; echo '{"kind":"ExecCredential","status":{"token":"t0ken"}}'"#);
    let mut ticks = 0;
    let mut ticker = tokio::time::interval(Duration::from_millis(10));
    let loading = load(&config, 5_000);
    tokio::pin!(loading);
    let connection = loop {
        tokio::select! {
            done = &mut loading => break done.unwrap(),
            _ = ticker.tick() => ticks += 1,
        }
    };
    assert!(ticks >= 15, "the runtime stood still: {ticks} ticks in 0.3 s");
    assert!(connection.reader().version().await.is_ok());
    assert_eq!(std::fs::read_to_string(config.folder().join("runs")).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn many_refused_at_once_run_the_plugin_once() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "one").unwrap();
    let server = wants(token.clone()).await;
    let script = format!(r#"echo x >> runs; sleep 0.1; printf '{{"status":{{"token":"%s"}}}}' "$(cat {})""#, token.display());
    let config = plugin(&server.url(), &script);
    let reader = load(&config, 5_000).await.unwrap().reader();
    reader.version().await.unwrap();
    std::fs::write(&token, "two").unwrap();
    let asked = futures::future::join_all((0..8).map(|_| reader.version())).await;
    assert!(asked.iter().all(Result::is_ok), "{asked:?}");
    assert_eq!(std::fs::read_to_string(config.folder().join("runs")).unwrap().lines().count(), 2);
}

#[tokio::test]
async fn a_plugin_that_hangs_is_killed_with_its_children() {
    let config =
        plugin("http://127.0.0.1:1", "echo 'Open https://login.example and enter 1234' >&2\n(sleep 1; touch survivor) &\nsleep 60");
    let began = Instant::now();
    let error = load(&config, 300).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let said = error.to_string();
    assert!(matches!(error, ConnectError::PluginTimedOut { .. }), "{error:?}");
    assert!(said.contains("Open https://login.example and enter 1234") && said.contains("plugin 'get token'"), "{said}");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(!config.folder().join("survivor").exists(), "a child lived on");
}

#[tokio::test]
async fn a_plugin_that_fails_is_quoted_without_its_escapes() {
    let config = plugin("http://127.0.0.1:1", r"printf '\033[2JToken has expired: run aws sso login\n' >&2; exit 3");
    let error = load(&config, 2_000).await.unwrap_err().to_string();
    assert!(error.contains("Token has expired: run aws sso login") && error.contains("exit status: 3"), "{error}");
    assert!(!error.contains('\u{1b}'), "{error:?}");
}

#[tokio::test]
async fn a_plugin_that_wants_to_talk_gets_nobody() {
    let script =
        r#"echo "$KUBERNETES_EXEC_INFO" > info; if read -r line; then echo "got $line" >&2; else echo 'no terminal' >&2; fi; exit 1"#;
    let config = plugin("http://127.0.0.1:1", script);
    let error = load(&config, 2_000).await.unwrap_err().to_string();
    assert!(error.contains("no terminal"), "{error}");
    let info: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(config.folder().join("info")).unwrap()).unwrap();
    assert_eq!(info["spec"]["interactive"], false);
}

#[tokio::test]
async fn a_missing_or_babbling_plugin_is_named() {
    let config = Kubeconfig::new(
        "http://127.0.0.1:1",
        "",
        "exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-plugin, installHint: \"brew install it\"}",
    );
    let error = load(&config, 2_000).await.unwrap_err().to_string();
    assert!(error.contains("no-such-plugin") && error.contains("brew install it"), "{error}");
    let config = plugin("http://127.0.0.1:1", "echo hello");
    assert!(matches!(load(&config, 2_000).await.unwrap_err(), ConnectError::PluginGarbled { .. }));
}

#[tokio::test]
async fn a_plugin_may_give_a_certificate() {
    let server = Server::start(|a, _| healthy(a)).await;
    let made = rcgen::generate_simple_self_signed(vec!["jane".into()]).unwrap();
    let answer =
        serde_json::json!({"status": {"clientCertificateData": made.cert.pem(), "clientKeyData": made.signing_key.serialize_pem()}});
    let config = plugin(&server.url(), "cat answer");
    std::fs::write(config.folder().join("answer"), answer.to_string()).unwrap();
    let connection = load(&config, 2_000).await.unwrap();
    assert!(connection.reader().version().await.is_ok());
    std::fs::write(config.folder().join("answer"), answer.to_string().replace("PRIVATE KEY", "POTATO")).unwrap();
    assert!(matches!(load(&config, 2_000).await, Err(ConnectError::BadCredentials { .. })), "the key is really used");
}

#[tokio::test]
async fn a_credential_that_ends_is_renewed_before_it_is_refused() {
    let server = Server::start(|a, _| healthy(a)).await;
    let soon = (chrono::Utc::now() + chrono::Duration::seconds(30)).to_rfc3339();
    let script = format!(
        r#"echo x >> runs; n=$(wc -l < runs); [ "$n" -gt 1 ] && end=2099-01-01T00:00:00Z || end={soon}; echo "{{\"status\":{{\"token\":\"t$((n))\",\"expirationTimestamp\":\"$end\"}}}}""#
    );
    let config = plugin(&server.url(), &script);
    let reader = load(&config, 2_000).await.unwrap().reader();
    for _ in 0..3 {
        reader.version().await.unwrap();
    }
    let tokens: Vec<_> = server.asked().iter().map(|a| a.headers["authorization"].to_str().unwrap().to_owned()).collect();
    assert_eq!(tokens, ["Bearer t2"; 3], "within a minute of its end it is made anew, once");
}
