//! `rolltop notify` as people type it.

use std::process::{Command, Output};

use super::{Desk, Provider, SECRET};

async fn rolltop(desk: &Desk, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolltop"));
    command.args(words).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", desk.folder.path());
    command.env("XDG_STATE_HOME", desk.path("xdg")).env("ROLLTOP_CONFIG", desk.path("config.toml")).env("ROLLTOP_LOG_LEVEL", "debug");
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn a_test_message_says_what_the_server_answered_and_ends_with_its_code() {
    let desk = Desk::new();
    let dead = Provider { url: "http://127.0.0.1:9".into(), seen: Default::default() };
    for (provider, code, words) in [
        (Provider::always(200, "ok").await, 0, "team (slack) took it: 200 ok: ok"),
        (dead, 3, "team (slack): "),
        (Provider::always(429, "rate_limited").await, 3, "429 too many requests: rate_limited"),
        (Provider::always(410, "channel_is_archived").await, 4, "team (slack): 410 gone: channel_is_archived"),
        (Provider::always(404, "no_service").await, 4, "404 not found: no_service"),
    ] {
        desk.settings(&desk.slack(&provider));
        let output = rolltop(&desk, &["notify", "test", "team"]).await;
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words) && !said.contains(SECRET), "{said}");
        if let Some(seen) = provider.seen().first() {
            assert!(seen.json()["text"].as_str().unwrap().contains("test message of rolltop"), "marked as a test");
        }
    }
    let unknown = rolltop(&desk, &["notify", "test", "nobody"]).await;
    assert_eq!(unknown.status.code(), Some(2));
    assert!(said(&unknown).contains("there are team"), "{}", said(&unknown));
    std::fs::remove_file(desk.path("slack")).unwrap();
    let no_secret = rolltop(&desk, &["notify", "test", "team"]).await;
    assert_eq!(no_secret.status.code(), Some(2), "{}", said(&no_secret));
}

#[tokio::test]
async fn lists_dumps_and_logs_hold_no_secret() {
    let desk = Desk::new();
    let provider = Provider::always(410, "/services/hunter2-T0-B0-XyZ is gone").await;
    let text = format!("{}{}", desk.slack(&provider), desk.webhook("bot", &provider, "only = [\"shop/*\"]\nseverity = \"critical\""));
    desk.settings(&text);
    let listed = said(&rolltop(&desk, &["notify"]).await);
    for words in ["team (slack)", "address from ", "bot (webhook)", "; from critical on; only shop/*", "abort-advised"] {
        assert!(listed.contains(words), "{words}\n{listed}");
    }
    let mut all = listed;
    for words in [&["notify", "test", "team"][..], &["notify", "test", "bot"], &["config"]] {
        all.push_str(&said(&rolltop(&desk, words).await));
    }
    let logs = std::fs::read_dir(desk.path("xdg/rolltop")).unwrap().flatten();
    let logs: Vec<String> = logs.filter_map(|f| std::fs::read_to_string(f.path()).ok()).collect();
    assert!(!logs.is_empty());
    all.push_str(&logs.concat());
    assert!(all.contains("410 gone") && !all.contains("hunter2"), "{all}");
}

#[tokio::test]
async fn a_secret_in_the_settings_ends_it_before_anything_else() {
    let desk = Desk::new();
    desk.settings(&format!("[[notify]]\nkind = \"slack\"\nurl = \"https://hooks.slack.com/services/{SECRET}\"\n"));
    let output = rolltop(&desk, &["notify"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("config.toml:3: notify.url is a secret") && !said(&output).contains(SECRET), "{}", said(&output));
}
