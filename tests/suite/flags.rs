//! Feature flags: switched off from a rollout's screen, at a server of their own, with the cluster left as it is.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    cluster::Rig,
    suite::{
        app::{App, Start},
        armed::{self, Guard, waiting_canary},
    },
};

const TOKEN: &str = "hunter2-token";

/// How a flag's server takes a request to switch one off.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
enum Manner {
    #[default]
    Honest,
    /// Does it, and says 504.
    Hidden,
    /// Says yes and does nothing.
    Lazy,
}

/// Flags by path, on a thread of its own: what drives the terminal blocks.
#[derive(Clone, Default)]
struct Flags(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    manner: Manner,
    off: Vec<String>,
    asked: Vec<(Method, String)>,
}

impl Flags {
    fn serve(manner: Manner) -> (Self, String) {
        let flags = Self::default();
        flags.0.lock().unwrap().manner = manner;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (this, url) = (flags.clone(), format!("http://{}", listener.local_addr().unwrap()));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let answer = move |method: Method, uri: Uri| {
                let response = this.answer(&method, uri.path());
                async { response }
            };
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, Router::new().fallback(answer)).await.unwrap();
            });
        });
        (flags, url)
    }

    fn answer(&self, method: &Method, path: &str) -> Response {
        let mut inner = self.0.lock().unwrap();
        inner.asked.push((method.clone(), path.to_owned()));
        if method == Method::PUT {
            if inner.manner != Manner::Lazy {
                inner.off.push(path.to_owned());
            }
            if inner.manner == Manner::Hidden {
                return StatusCode::GATEWAY_TIMEOUT.into_response();
            }
        }
        json!({"enabled": !inner.off.iter().any(|off| off == path)}).to_string().into_response()
    }

    fn switched(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.iter().filter(|(method, _)| method == Method::PUT).map(|(_, path)| path.clone()).collect()
    }

    fn reads(&self) -> usize {
        self.0.lock().unwrap().asked.iter().filter(|(method, _)| method == Method::GET).count()
    }
}

/// Settings with these flags for all of a namespace.
fn settings(url: &str, ns: &str, names: &[&str]) -> tempfile::TempDir {
    let one = |name: &&str| {
        let request = format!("url = \"{url}/{name}\"");
        format!(
            "[[flags]]\nname = \"{name}\"\nrollouts = \"{ns}/*\"\nheaders = {{ Authorization = {{ env = \"FLAGS_TOKEN\" }} }}\n\
             off = {{ method = \"PUT\", {request}, body = '{{\"enabled\": false, \"why\": \"{{name}} {{version}}\"}}' }}\n\
             read = {{ {request}, pointer = \"/enabled\", off = false }}\non = {{ method = \"PUT\", {request} }}\n"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.toml"), names.iter().map(one).collect::<String>()).unwrap();
    folder
}

fn opened(rig: &Rig, ns: &str, folder: &tempfile::TempDir) -> App {
    let path = folder.path().join("config.toml");
    let mut start = Start::new(rig, ns).args(["--config", path.to_str().unwrap(), "-n", ns, "checkout"]);
    start.env.push(("FLAGS_TOKEN", TOKEN.into()));
    let app = start.run();
    app.shows(&["Traffic", "Steps", "25"]);
    app
}

#[tokio::test]
async fn a_flag_is_switched_off_once_and_the_release_goes_on() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("flag").await;
    waiting_canary(rig, &ns).await;
    let (flags, url) = Flags::serve(Manner::Honest);
    let app = opened(rig, &ns, &settings(&url, &ns, &["new-checkout"]));
    let mark = rig.audit().mark();
    app.press("K");
    let card = app.shows(&["Kill a flag of", "Switches flag new-checkout off at 127.0.0.1", "it is on", "y to kill a flag"]);
    for words in
        ["flag new-checkout", "true", "false", "only if", "still reads on", "moves no traffic", "back", "[flags.on] has it: PUT to"]
    {
        assert!(card.contains(words), "{words}\n{card}");
    }
    assert!(flags.switched().is_empty() && flags.reads() > 0, "it was read, and no more");
    app.confirm();
    app.shows(&["off (read back)", "Done"]);
    app.done();
    assert_eq!(flags.switched(), ["/new-checkout"]);
    assert!(rig.audit().since(mark).namespace(&ns).by("oncall").writes().is_empty(), "the cluster is left as it is");
    let rollout = rig.fixtures(&ns).wait_phase("checkout", "Paused").await;
    assert_eq!(rollout["status"]["currentStepIndex"], 1);
    let journal = app.journal();
    let kinds: Vec<&str> = journal.iter().filter_map(|l| l["event"].as_str()).collect();
    assert_eq!(kinds, ["session-started", "card-opened", "attempt", "outcome", "effect"], "{journal:?}");
    assert_eq!(journal[2]["request"]["headers"], json!(["Authorization"]));
    assert_eq!(journal[2]["request"]["body"], json!({"enabled": false, "why": "checkout v2"}).to_string());
    assert!(!Value::from(journal).to_string().contains(TOKEN));
    // It is off: there is nothing to do any more.
    app.press("K");
    app.shows(&["no: it is off already", "not possible"]);
    app.press("y");
    app.escape();
    assert_eq!(flags.switched().len(), 1);
}

#[tokio::test]
async fn of_several_flags_one_is_chosen_and_a_lost_answer_is_found_out() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("flag-lost").await;
    waiting_canary(rig, &ns).await;
    let (flags, url) = Flags::serve(Manner::Hidden);
    let app = opened(rig, &ns, &settings(&url, &ns, &["new-checkout", "new-mail"]));
    app.press("K");
    app.shows(&["Switch off which feature flag?", "new-checkout", "new-mail"]);
    app.press("j\r");
    app.shows(&["Switches flag new-mail off", "it is on"]);
    app.confirm();
    app.shows(&["Done: off (read back)"]);
    assert_eq!(flags.switched(), ["/new-mail"], "a 504 is no reason to send it again");
    let outcomes = app.journaled("outcome");
    assert_eq!((outcomes.len(), &outcomes[0]["outcome"]), (1, &json!("unknown")), "{outcomes:?}");
    assert_eq!(app.journaled("effect")[0]["seen"], "done");
}

#[tokio::test]
async fn accepted_without_effect_says_so() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("flag-lazy").await;
    waiting_canary(rig, &ns).await;
    let (flags, url) = Flags::serve(Manner::Lazy);
    let app = opened(rig, &ns, &settings(&url, &ns, &["new-checkout"]));
    app.press("K");
    app.shows(&["it is on"]);
    app.confirm();
    app.shows(&["the flag still reads true"]);
    let late = app.term.wait_for(|screen| screen.contains("the flag has not read off"), Duration::from_secs(50));
    assert!(late.is_ok(), "{late:?}");
    assert_eq!(flags.switched().len(), 1);
    assert!(flags.reads() > 10, "it is looked at all the time");
}

#[tokio::test]
async fn a_watch_session_neither_switches_nor_asks() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("flag-watch").await;
    waiting_canary(rig, &ns).await;
    let (flags, url) = Flags::serve(Manner::Honest);
    let folder = settings(&url, &ns, &["new-checkout"]);
    let path = folder.path().join("config.toml");
    for args in [
        ["--config", path.to_str().unwrap(), "watch", "-n", &ns, "checkout"],
        ["--config", path.to_str().unwrap(), "--read-only", "-n", &ns, "checkout"],
    ] {
        let app = Start::new(rig, &ns).args(args).run();
        app.shows(&["WATCH", "Traffic", "25"]);
        app.press("K");
        app.shows(&["this is a watch session"]);
        for keys in ["y", "o", "y", "\x1b[200~y\x1b[201~", "Ky", ":kill-flag\r"] {
            app.press(keys);
            std::thread::sleep(Duration::from_millis(150));
        }
    }
    assert!(flags.0.lock().unwrap().asked.is_empty());
}

#[tokio::test]
async fn without_a_flag_of_its_own_the_key_says_where_one_would_be() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("flag-none").await;
    waiting_canary(rig, &ns).await;
    let app = opened(rig, &ns, &settings("https://flags.internal", "elsewhere", &["new-checkout"]));
    app.press("K");
    app.shows(&["no flag in config belongs to this rollout: see [[flags]]"]);
}

/// Agreed to beforehand, a flag is switched off as an abort would be: once, and the release goes on.
#[tokio::test]
async fn an_armed_guard_may_switch_it_off_instead() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("killed").await;
    let fx = waiting_canary(rig, &ns).await;
    let (flags, url) = Flags::serve(Manner::Honest);
    let config = settings(&url, &ns, &["new-checkout"]);
    let path = config.path().join("config.toml");
    let env = [("ROLLTOP_CONFIG", path.to_str().unwrap()), ("FLAGS_TOKEN", TOKEN)];
    let mark = rig.audit().mark();

    let unknown = Guard::told(rig, &ns, &["--kill-flag", "nobody"], &env);
    unknown.says("not armed yet: the flag nobody could not be switched off");
    drop(unknown);

    let mut guard = Guard::told(rig, &ns, &["--kill-flag", "new-checkout"], &env);
    guard.says("armed: the guard may switch the flag new-checkout off once");
    armed::regress(rig, &ns);
    assert_eq!(guard.end(), Some(12), "{}", guard.said());
    assert!(guard.said().contains("guard: the guard has switched the flag new-checkout off"), "{}", guard.said());
    assert_eq!(flags.switched().len(), 1);
    assert_eq!(armed::word(&armed::lease(&fx).await), "spent");
    assert_ne!(fx.rollout("checkout").await["status"]["abort"], json!(true));
    assert!(rig.audit().since(mark).namespace(&ns).by("oncall").writes().resource("rollouts").is_empty());
}
