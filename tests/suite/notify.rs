//! Who is not looking is told: from a release in a cluster to the message at a provider.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, http::Uri};
use serde_json::Value;

use crate::{
    cluster::{Identity, Profile, Rig},
    suite::{
        app::{App, PATIENCE, Start},
        armed::waiting_canary,
    },
};

/// A provider: what it was sent, by path; one that begins with `/gone` is no more.
#[derive(Clone, Default)]
struct Provider {
    url: String,
    sent: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Provider {
    async fn start() -> Self {
        let sent: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let log = sent.clone();
        let app = Router::new().fallback(move |uri: Uri, body: Bytes| {
            let log = log.clone();
            async move {
                log.lock().unwrap().push((uri.path().into(), serde_json::from_slice(&body).unwrap_or_default()));
                match uri.path().starts_with("/gone") {
                    true => (axum::http::StatusCode::GONE, "channel_is_archived"),
                    false => (axum::http::StatusCode::OK, "ok"),
                }
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, sent }
    }

    /// Titles of what came to a path.
    fn titles(&self, path: &str) -> Vec<String> {
        let sent = self.sent.lock().unwrap();
        sent.iter().filter(|(to, _)| to == path).map(|(_, body)| body["text"].as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn gets(&self, path: &str, words: &[&str]) {
        // Evidence takes its time, and more of it on a busy machine.
        let until = Instant::now() + 3 * PATIENCE;
        loop {
            let titles = self.titles(path);
            if words.iter().all(|word| titles.iter().any(|title| title.contains(word))) {
                return;
            }
            assert!(Instant::now() < until, "never got {words:?}; it got {titles:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Settings and state of one person, which outlive a session.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.toml"), settings).unwrap();
        Self { folder }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    fn env(&self, provider: &Provider) -> Vec<(&'static str, String)> {
        vec![
            ("ROLLTOP_CONFIG", self.config().display().to_string()),
            ("XDG_STATE_HOME", self.folder.path().join("state").display().to_string()),
            // The verdict counts requests from one scrape to the next.
            ("ROLLTOP_PROMETHEUS_INTERVAL", "5s".into()),
            ("TEAM", format!("{}/team", provider.url)),
            ("GONE", format!("{}/gone", provider.url)),
        ]
    }

    fn session(&self, rig: &Rig, ns: &str, provider: &Provider) -> App {
        let mut start = Start::new(rig, ns).measured();
        start.env = self.env(provider);
        let app = start.run();
        app.shows(&["checkout"]);
        app
    }
}

const TEAM: &str = "[[notify]]\nname = \"team\"\nkind = \"slack\"\nurl = { env = \"TEAM\" }\nevents = [\"all\"]\ngroup = \"300ms\"\nrate = \"60 per 1m\"\n";

/// How many messages of each beginning: those about a verdict depend on how the numbers fall.
fn count(titles: &[String], word: &str) -> usize {
    titles.iter().filter(|title| title.contains(word)).count()
}

// The provider answers while a test waits for the screen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_regression_reaches_the_team_once_whatever_restarts_meanwhile() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("told").await;
    let provider = Provider::start().await;
    let desk = Desk::new(TEAM);
    waiting_canary(rig, &ns).await;
    let mut app = desk.session(rig, &ns, &provider);
    provider.gets("/team", &["checkout waits for a human"]).await;
    rig.traffic().set(&format!("{ns}/checkout"), "v2", Profile::failing(0.3));
    provider.gets("/team", &["checkout ABORT advised"]).await;

    // Quit and started again, twice at once: it looks at the same release, and tells nothing anew.
    app.press("q");
    assert_eq!(app.term.exit_code(PATIENCE), Some(0));
    let app = desk.session(rig, &ns, &provider);
    let other = desk.session(rig, &ns, &provider);
    app.shows(&["ABORT advised"]);
    other.shows(&["ABORT advised"]);
    app.press("\r");
    app.shows(&["Steps"]);
    app.press("a");
    app.shows(&["Abort"]);
    app.confirm();
    provider.gets("/team", &["checkout aborted"]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let titles = provider.titles("/team");
    for word in ["waits for a human", "ABORT advised", "aborted"] {
        assert_eq!(count(&titles, word), 1, "{word}: {titles:#?}");
    }
    assert!(titles.iter().all(|title| title.contains("shop") || title.contains(&ns)), "{titles:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_be_told_is_on_the_screen_and_the_next_is_told() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("untold").await;
    let provider = Provider::start().await;
    let gone = "[[notify]]\nname = \"old\"\nkind = \"slack\"\nurl = { env = \"GONE\" }\n";
    let desk = Desk::new(&format!("{gone}{}backup = true\n", TEAM));
    waiting_canary(rig, &ns).await;
    let app = desk.session(rig, &ns, &provider);
    let screen = app.shows(&["NOT TOLD old (slack): 410 gone: channel_is_archived; team told instead"]);
    assert!(!screen.contains(&provider.url), "an address is a secret:\n{screen}");
    provider.gets("/team", &["checkout waits for a human"]).await;
    assert_eq!((provider.titles("/gone").len(), provider.titles("/team").len()), (1, 1));
}

/// A pipeline's guard ends the moment it has a finding: it stays until that is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_tells_its_finding_before_it_ends() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("guardtells").await;
    let provider = Provider::start().await;
    let desk = Desk::new(TEAM);
    waiting_canary(rig, &ns).await;
    rig.traffic().set(&format!("{ns}/checkout"), "v2", Profile::failing(0.3));
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rolltop"));
        command.args(arguments).env_clear().env("HOME", desk.folder.path());
        command.env("KUBECONFIG", rig.kubeconfig(Identity::Viewer, &ns)).env("ROLLTOP_PROMETHEUS_URL", rig.prometheus_url());
        command.env("ROLLTOP_PROMETHEUS_WINDOW", "5s").envs(desk.env(&provider));
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    let path = format!("{ns}/checkout");
    let quiet = run(&["--no-notify", "guard", &path, "--for", "90s"]).await.unwrap();
    assert_eq!(quiet.status.code(), Some(12), "{}", String::from_utf8_lossy(&quiet.stderr));
    let asked = run(&["status", &path]).await.unwrap();
    assert_eq!(asked.status.code(), Some(11), "{}", String::from_utf8_lossy(&asked.stderr));
    assert!(provider.titles("/team").is_empty(), "neither --no-notify nor status tells anybody");
    let output = run(&["guard", &path, "--for", "90s"]).await.unwrap();
    assert_eq!(output.status.code(), Some(12), "{}", String::from_utf8_lossy(&output.stderr));
    let titles = provider.titles("/team");
    assert!(count(&titles, "ABORT advised") == 1, "{titles:#?}");
}

/// From the regression to the recovery, without a person: who is told has the whole story, each part once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_armed_guard_tells_the_whole_story() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("armedtells").await;
    let provider = Provider::start().await;
    let desk = Desk::new(TEAM);
    waiting_canary(rig, &ns).await;
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rolltop"));
    command.args(["guard", &format!("{ns}/checkout"), "--execute", "--for", "4m"]).env_clear().env("HOME", desk.folder.path());
    command.env("KUBECONFIG", rig.kubeconfig(Identity::Oncall, &ns)).env("ROLLTOP_PROMETHEUS_URL", rig.prometheus_url());
    command.env("ROLLTOP_PROMETHEUS_WINDOW", "5s").envs(desk.env(&provider));
    let guard = tokio::task::spawn_blocking(move || command.output().unwrap());
    provider.gets("/team", &["the guard is armed"]).await;
    rig.traffic().set(&format!("{ns}/checkout"), "v2", Profile::failing(0.3));
    let output = guard.await.unwrap();
    let titles = provider.titles("/team");
    let sent = provider
        .sent
        .lock()
        .unwrap()
        .iter()
        .map(|(_, body)| body["blocks"][1]["text"]["text"].as_str().unwrap().to_owned() + "\n")
        .collect::<String>();
    for words in
        ["waits for a human", "lets the guard abort it once", "ABORT advised: ", "the guard aborts it: ", "aborted: ", "recovered "]
    {
        assert_eq!(sent.matches(words).count(), 1, "{words}: {titles:#?}\n{}", String::from_utf8_lossy(&output.stdout));
    }
}
