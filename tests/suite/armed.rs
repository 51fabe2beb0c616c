//! The armed guard against a cluster: it aborts once, with one hand, and only while it sees.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    cluster::{Canary, Identity, Options, Part, Profile, Rig, fixtures::Fixtures},
    suite::app::{PATIENCE, Start},
};

const GROUP: &str = "coordination.k8s.io/v1";

/// `rolltop guard --execute`, running.
pub struct Guard {
    child: Child,
    said: Arc<Mutex<String>>,
    home: tempfile::TempDir,
}

impl Guard {
    pub fn start(rig: &Rig, ns: &str, env: &[(&str, &str)]) -> Self {
        Self::told(rig, ns, &[], env)
    }

    /// With more on its command line.
    pub fn told(rig: &Rig, ns: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_rolltop"))
            .args(["guard", &format!("{ns}/checkout"), "--execute", "--for", "4m"])
            .args(args)
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .env("KUBECONFIG", rig.kubeconfig(Identity::Oncall, ns))
            .env("ROLLTOP_PROMETHEUS_URL", rig.prometheus_url())
            .env("ROLLTOP_PROMETHEUS_WINDOW", "5s")
            .env("ROLLTOP_PROMETHEUS_INTERVAL", "1s")
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let pipes: [Box<dyn Read + Send>; 2] = [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for pipe in pipes {
            let said = said.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let mut said = said.lock().unwrap();
                    said.push_str(&line);
                    said.push('\n');
                }
            });
        }
        Self { child, said, home }
    }

    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it has said this.
    #[track_caller]
    pub fn says(&self, words: &str) -> String {
        let until = Instant::now() + Duration::from_secs(90);
        while !self.said().contains(words) {
            assert!(Instant::now() < until, "never said {words:?}:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
        self.said()
    }

    /// Its exit code, when it ends by itself.
    #[track_caller]
    pub fn end(&mut self) -> Option<i32> {
        let until = Instant::now() + Duration::from_secs(90);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                std::thread::sleep(Duration::from_millis(100));
                return status.code();
            }
            assert!(Instant::now() < until, "does not end:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    fn journal(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.home.path().join(".local/state/rolltop/journal.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The journal's events, with what each is about.
    fn story(&self) -> Vec<String> {
        let word = |line: &Value| match (&line["intent"], &line["outcome"], &line["seen"]) {
            (Value::String(intent), Value::Null, Value::Null) => format!("{} {intent}", line["event"].as_str().unwrap()),
            (Value::String(intent), Value::String(outcome), _) => format!("outcome {intent} {outcome}"),
            (Value::String(intent), _, Value::String(seen)) => format!("effect {intent} {seen}"),
            _ => line["event"].as_str().unwrap().to_owned(),
        };
        self.journal().iter().map(word).collect()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A canary with users that waits at its first pause.
pub async fn waiting_canary(rig: &Rig, ns: &str) -> Fixtures {
    let fx = rig.fixtures(ns);
    fx.canary("checkout", Canary::nginx()).await;
    fx.wait_phase("checkout", "Healthy").await;
    rig.traffic().rps(&format!("{ns}/checkout"), 200.0);
    fx.set_image("checkout", "v2").await;
    fx.wait_phase("checkout", "Paused").await;
    fx
}

pub fn regress(rig: &Rig, ns: &str) {
    rig.traffic().set(&format!("{ns}/checkout"), "v2", Profile::failing(0.3));
}

pub async fn lease(fx: &Fixtures) -> Value {
    fx.get(GROUP, "leases", "rolltop-guard-rollout-checkout").await
}

pub fn word(lease: &Value) -> &str {
    lease["metadata"]["labels"]["rolltop.dev/guard"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_regression_is_aborted_once_recovers_and_the_journal_tells_all_of_it() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("armed").await;
    let fx = waiting_canary(rig, &ns).await;
    let mark = rig.audit().mark();
    let mut guard = Guard::start(rig, &ns, &[]);
    guard.says("armed: the guard may abort");
    let held = lease(&fx).await;
    assert_eq!((word(&held), held["metadata"]["annotations"]["rolltop.dev/by"].as_str()), ("armed", Some("oncall")), "{held}");
    assert_eq!(held["metadata"]["ownerReferences"][0]["name"], "checkout");

    regress(rig, &ns);
    assert_eq!(guard.end(), Some(12), "{}", guard.said());
    let said = guard.said();
    assert!(said.contains("ABORT advised: canary fails") && said.contains("guard: the guard has aborted it"), "{said}");
    assert!(said.contains("roll-back: recovered after"), "{said}");
    // It is said last, but by another pipe.
    assert!(said.contains("this guard has aborted the release"), "{said}");
    assert_eq!(fx.rollout("checkout").await["status"]["abort"], json!(true));
    assert_eq!(word(&lease(&fx).await), "spent");

    let writes = rig.audit().since(mark).namespace(&ns).by("oncall").writes();
    assert_eq!(writes.resource("rollouts").len(), 1, "{said}");
    let story = guard.story();
    let told = [
        "armed",
        "guard-acts",
        "card-opened abort",
        "attempt abort",
        "outcome abort accepted",
        "effect abort done",
        "disarmed",
        "recovered",
    ];
    let mut at = 0;
    for event in told {
        at += story[at..].iter().position(|e| e == event).unwrap_or_else(|| panic!("no {event} in order: {story:#?}"));
    }
    let attempt = guard.journal().into_iter().find(|l| l["event"] == "attempt" && l["intent"] == "abort").unwrap();
    assert_eq!(attempt["armed_by"], "oncall");
}

#[tokio::test]
async fn of_two_guards_one_is_armed_and_one_acts() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("both").await;
    let fx = waiting_canary(rig, &ns).await;
    let mark = rig.audit().mark();
    let mut guards = [Guard::start(rig, &ns, &[]), Guard::start(rig, &ns, &[])];
    let until = Instant::now() + Duration::from_secs(60);
    let armed = |g: &Guard| g.said().contains("armed: the guard may abort");
    let refused = |g: &Guard| g.said().contains("it is armed already, by oncall") || g.said().contains("cannot be armed");
    while !(guards.iter().any(armed) && guards.iter().any(refused)) {
        assert!(Instant::now() < until, "{}\n---\n{}", guards[0].said(), guards[1].said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(guards.iter().filter(|g| armed(g)).count(), 1);
    regress(rig, &ns);
    let codes = guards.each_mut().map(|guard| guard.end());
    assert!(codes.iter().all(|code| matches!(code, Some(12 | 15))), "{codes:?}");
    let writes = rig.audit().since(mark).namespace(&ns).by("oncall").writes();
    assert_eq!(writes.resource("rollouts").len(), 1);
    assert_eq!(fx.rollout("checkout").await["status"]["abort"], json!(true));
}

#[tokio::test]
async fn without_prometheus_it_is_blind_gives_its_leave_back_and_does_nothing() {
    if !Rig::built() {
        return;
    }
    let rig = Rig::start(Options::default()).await.unwrap();
    rig.create_namespace("shop").await;
    let fx = waiting_canary(&rig, "shop").await;
    let guard = Guard::start(&rig, "shop", &[("ROLLTOP_FRESHNESS_PROMETHEUS", "6s")]);
    guard.says("armed: the guard may abort");
    let mark = rig.audit().mark();
    rig.kill(Part::Prometheus);
    regress(&rig, "shop");
    let said = guard.says("disarmed: ");
    assert!(
        said.contains("disarmed: Prometheus does not answer") || said.contains("disarmed: the readings of this rollout are stale"),
        "{said}"
    );
    rig.restart(Part::Prometheus).await.unwrap();
    // It sees again, and says so; but its leave was given back.
    guard.says("ABORT advised");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let writes = rig.audit().since(mark).by("oncall").writes();
    assert_eq!(writes.resource("rollouts").len(), 0);
    assert_ne!(fx.rollout("checkout").await["status"]["abort"], json!(true));
    assert_eq!(word(&lease(&fx).await), "disarmed");
}

#[tokio::test]
async fn it_yields_to_a_person_and_leaves_the_cluster_as_it_is_when_asked_to_end() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("yields").await;
    let fx = waiting_canary(rig, &ns).await;
    let mut guard = Guard::start(rig, &ns, &[]);
    guard.says("armed: the guard may abort");
    fx.patch_status("checkout", &json!({"status": {"pauseConditions": null}})).await;
    guard.says("disarmed: somebody else acted on it");
    assert_eq!(word(&lease(&fx).await), "disarmed");
    guard.terminate();
    assert_eq!(guard.end(), Some(143));

    let mut guard = Guard::start(rig, &ns, &[]);
    guard.says("armed: the guard may abort");
    let before = fx.rollout("checkout").await["metadata"]["resourceVersion"].clone();
    guard.terminate();
    assert_eq!(guard.end(), Some(143));
    assert!(guard.said().contains("asked to end: disarmed, the cluster is left as it is"), "{}", guard.said());
    assert_eq!(word(&lease(&fx).await), "disarmed");
    assert_eq!(fx.rollout("checkout").await["metadata"]["resourceVersion"], before);
}

#[tokio::test]
async fn a_person_arms_it_at_the_screen_others_see_it_and_it_acts() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("bystander").await;
    let fx = waiting_canary(rig, &ns).await;
    let app = Start::new(rig, &ns).measured().args(["-n", &ns, "checkout"]).run();
    let other = Start::new(rig, &ns).who(Identity::Viewer).measured().args(["watch", "-n", &ns]).run();
    app.shows(&["Verdict", "canary fails"]);
    app.press("A");
    app.shows(&["for how many minutes?", "30"]);
    app.press("\r");
    app.shows(&["Arm the guard of", "once, without asking"]);
    app.confirm();
    let until = app.shows(&["ARMED", "ARMED until"]);
    assert!(until.contains(&format!("{ns}/checkout until")), "{until}");
    let seen = other.shows(&["ARMED", "by oncall"]);
    assert!(seen.contains("WATCH"), "{seen}");

    // The same key takes it back.
    app.done();
    app.press("A");
    app.shows(&["Disarm the guard of"]);
    app.confirm();
    app.loses(&["ARMED"]);
    other.loses(&["ARMED"]);
    app.done();
    assert_eq!(word(&lease(&fx).await), "disarmed");

    app.press("A");
    app.shows(&["for how many minutes?"]);
    app.press("\r");
    app.shows(&["Arm the guard of"]);
    app.confirm();
    other.shows(&["ARMED"]);
    app.done();
    regress(rig, &ns);
    fx.wait_for("checkout", |r| r["status"]["abort"] == json!(true), PATIENCE * 2).await;
    app.loses(&["ARMED"]);
    other.loses(&["ARMED"]);
    app.press("t");
    app.shows(&["guard: the guard has aborted it"]);
    app.shows(&["recovered after"]);
    assert_eq!(app.journaled("guard-acts").len(), 1);
}

/// For the rest of that time nobody would pull the brake: better said before it begins.
#[tokio::test]
async fn nobody_is_let_believe_that_it_stays_armed_for_longer_than_it_may() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("long").await;
    let home = tempfile::tempdir().unwrap();
    let guard = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolltop"));
        command.args(["guard", &format!("{ns}/checkout"), "--for", "5h"]).args(args).env_clear().env("HOME", home.path());
        command.env("KUBECONFIG", rig.kubeconfig(Identity::Oncall, &ns)).output().unwrap()
    };
    let refused = guard(&["--execute"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("--for 5h: with --execute it is 4h at most"), "{said}");
    // Whoever only looks may look for as long as they like.
    let said = String::from_utf8_lossy(&guard(&[]).stderr).into_owned();
    assert!(said.contains("no rollout"), "{said}");
}

/// What a pipeline writes down for its releases.
fn policy(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.toml");
    std::fs::write(&path, text).unwrap();
    (dir, path.to_str().unwrap().to_owned())
}

const PROMOTE: &str = "[verdict]\npromote = \"when as good as the old side\"\npromote-after = \"4s\"\n";

fn strong(errors: f64) -> Profile {
    Profile { capacity: 5_000.0, ..Profile::failing(errors) }
}

/// So many users that a few seconds of them are evidence.
async fn busy_canary(rig: &Rig, ns: &str) -> Fixtures {
    let fx = waiting_canary(rig, ns).await;
    let checkout = format!("{ns}/checkout");
    ["v1", "v2"].into_iter().for_each(|version| rig.traffic().set(&checkout, version, strong(0.002)));
    rig.traffic().rps(&checkout, 4000.0);
    fx
}

fn step(rollout: &Value) -> Option<i64> {
    rollout["status"]["currentStepIndex"].as_i64()
}

#[tokio::test]
async fn by_policy_a_healthy_release_goes_to_its_end_one_step_and_one_lease_at_a_time() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("onwards").await;
    let fx = busy_canary(rig, &ns).await;
    let mark = rig.audit().mark();
    let (_dir, path) = policy(PROMOTE);
    let mut guard = Guard::told(rig, &ns, &["--policy", &path], &[]);
    guard.says("once, or promote it by one step");
    guard.says("guard: the guard has promoted step 2/4: as good as before");
    guard.says("armed again: the guard may abort version");
    assert_eq!(guard.end(), Some(0), "{}", guard.said());
    let said = guard.said();
    assert!(said.contains("guard: the guard has promoted step 4/4: as good as before"), "{said}");
    assert!(said.contains("rolltop: the release is done"), "{said}");
    fx.wait_phase("checkout", "Healthy").await;
    assert_eq!(word(&lease(&fx).await), "spent");

    // One write for each pause, and never the whole way at once.
    let writes = rig.audit().since(mark).namespace(&ns).by("oncall").writes();
    assert_eq!(writes.resource("rollouts").len(), 2, "{said}");
    let one = ["armed", "guard-promotes", "attempt promote", "outcome promote accepted", "effect promote done", "disarmed"];
    let story = guard.story();
    let mut at = 0;
    for event in one.iter().chain(&one) {
        at += story[at..].iter().position(|e| e == event).unwrap_or_else(|| panic!("no {event} in order: {story:#?}"));
    }
    let attempts: Vec<Value> = guard.journal().into_iter().filter(|l| l["event"] == "attempt" && l["intent"] == "promote").collect();
    assert_eq!((attempts.len(), attempts[0]["armed_by"].as_str()), (2, Some("oncall")));
}

#[tokio::test]
async fn without_the_policy_it_stays_at_the_pause_and_with_it_a_regression_is_aborted_and_never_promoted() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("stays").await;
    let fx = busy_canary(rig, &ns).await;
    let mark = rig.audit().mark();
    let guard = Guard::start(rig, &ns, &[]);
    guard.says("GO: as good as before");
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(rig.audit().since(mark).namespace(&ns).by("oncall").writes().resource("rollouts").len(), 0);
    assert_eq!(step(&fx.rollout("checkout").await), Some(1), "{}", guard.said());
    drop(guard);

    let worse = rig.namespace("worse").await;
    let fx = busy_canary(rig, &worse).await;
    rig.traffic().set(&format!("{worse}/checkout"), "v2", strong(0.3));
    let (_dir, path) = policy(PROMOTE);
    let mut guard = Guard::told(rig, &worse, &["--policy", &path], &[]);
    assert_eq!(guard.end(), Some(12), "{}", guard.said());
    let rollout = fx.rollout("checkout").await;
    assert_eq!(rollout["status"]["abort"], json!(true));
    assert!(!guard.story().iter().any(|event| event.contains("promote")), "{:#?}", guard.story());
}

/// Each may promote, and they take turns: no pause is ended twice, and none is passed over.
#[tokio::test]
async fn two_guards_with_the_policy_never_promote_twice() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("turns").await;
    let fx = busy_canary(rig, &ns).await;
    let mark = rig.audit().mark();
    let (_dir, path) = policy(PROMOTE);
    let mut guards = [(), ()].map(|()| Guard::told(rig, &ns, &["--policy", &path], &[]));
    let codes = guards.each_mut().map(|guard| guard.end());
    let said = guards.each_ref().map(|guard| guard.said());
    assert!(codes.iter().all(|code| matches!(code, Some(0 | 15))), "{codes:?} {said:#?}");
    fx.wait_phase("checkout", "Healthy").await;
    let promoted = guards.iter().flat_map(|guard| guard.story()).filter(|event| event == "outcome promote accepted").count();
    let writes = rig.audit().since(mark).namespace(&ns).by("oncall").writes();
    assert_eq!((promoted, writes.resource("rollouts").len()), (2, 2), "{said:#?}");
}
