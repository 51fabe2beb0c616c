//! `rolltop demo` as a newcomer meets it: the built program, a terminal, and nothing else on the machine.

// A test that cannot go on should say where.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "cluster/rig/term.rs"]
#[allow(dead_code)]
mod term;

use std::{
    io::{BufRead, BufReader},
    process::{Command, Output, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use term::{Program, Term};

/// Debug builds start slowly, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(40);

/// A program with a home and a place for temporary files of its own.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn screen(&self, args: &[&str], size: (u16, u16)) -> Term {
        let program = Program::new(env!("CARGO_BIN_EXE_rolltop")).args(args.to_vec()).size(size.0, size.1);
        program.env("HOME", self.0.path()).env("TMPDIR", self.0.path()).start().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolltop"));
        command.args(args).env_clear().env("HOME", self.0.path()).env("TMPDIR", self.0.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What demos have left where temporary files go.
    fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        entries.filter(|name| name.starts_with("rolltop-demo")).collect()
    }
}

#[track_caller]
fn shows(term: &Term, words: &[&str]) -> String {
    let seen = term.wait_for(|screen| words.iter().all(|word| screen.contains(word)), PATIENCE);
    seen.unwrap_or_else(|screen| panic!("never showed {words:?}:\n{screen}"))
}

/// Reads the card, says yes, and waits for the effect.
#[track_caller]
fn confirm(term: &Term) {
    shows(term, &["accepted", "esc cancel"]);
    let begin = std::time::Instant::now();
    while term.screen().contains("esc cancel") {
        assert!(begin.elapsed() < PATIENCE, "the card takes no yes:\n{}", term.screen());
        // The card counts a key only once it could have been read.
        std::thread::sleep(Duration::from_millis(700));
        term.send("y");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// The failures of a canary stop when its flag is switched off, without an abort.
#[test]
fn a_flag_is_switched_off_and_the_failures_stop() {
    let place = Place::new();
    let mut term = place.screen(&["demo", "flag", "--speed", "5"], (120, 40));
    // The hint names the rollout before its row is there to be opened.
    shows(&term, &["switches new-checkout off", "argo"]);
    term.send("\r");
    shows(&term, &["Traffic", "WAITING", "ABORT advised"]);
    term.send("K");
    shows(&term, &["Switches flag new-checkout off at 127.0.0.1", "it is on", "ABORT advised", "esc cancel"]);
    let begin = std::time::Instant::now();
    while term.screen().contains("esc cancel") {
        assert!(begin.elapsed() < PATIENCE, "the card takes no yes:\n{}", term.screen());
        std::thread::sleep(Duration::from_millis(1_900));
        term.send("y");
        std::thread::sleep(Duration::from_millis(300));
    }
    shows(&term, &["off (read back)"]);
    // The release stands where it stood, and what the canary fails now is what the old side fails.
    // The timeline still tells what was advised.
    let calm = |screen: &str| screen.contains("WAITING") && !screen.contains("│ ABORT advised");
    let seen = term.wait_for(calm, Duration::from_secs(120));
    assert!(seen.is_ok(), "{}", seen.unwrap_err());
    term.send("q");
    assert_eq!(term.exit_code(PATIENCE), Some(0));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_newcomer_promotes_one_canary_and_aborts_another() {
    let place = Place::new();
    let mut term = place.screen(&["demo"], (120, 40));
    shows(&term, &["shop/checkout", "pay/payments", "try:"]);
    // It begins as the screen opens, and waits for a person at 25 %.
    term.send("/checkout\r");
    // What arrives in one burst is a paste, and its Enter opens nothing.
    shows(&term, &["1 shown"]);
    term.send("\r");
    shows(&term, &["Traffic", "WAITING"]);
    term.send("p");
    confirm(&term);
    shows(&term, &["50%"]);
    assert!(!term.screen().contains("try:"), "the hint has done its work:\n{}", term.screen());

    // Out of the tracker, out of the rollout, out of the filter.
    for _ in 0..3 {
        term.send("\x1b");
        std::thread::sleep(Duration::from_millis(500));
    }
    shows(&term, &["pay/payments"]);
    term.send("/payments\r");
    shows(&term, &["/payments", "1 shown"]);
    term.send("\r");
    shows(&term, &["Traffic", "payments"]);
    term.send("a");
    confirm(&term);
    shows(&term, &["ABORTED"]);

    term.send("q");
    assert_eq!(term.exit_code(PATIENCE), Some(0));
    assert_eq!(place.left(), [""; 0], "files were left behind");
}

#[test]
fn a_watch_of_the_demo_cannot_write() {
    let place = Place::new();
    let term = place.screen(&["demo", "--watch"], (80, 24));
    shows(&term, &["shop/checkout"]);
    assert!(!term.screen().contains(" p promote"), "{}", term.screen());
    term.send("p");
    shows(&term, &["watch"]);
    assert!(!term.screen().contains("esc cancel"), "{}", term.screen());
}

#[test]
fn serving_prints_two_addresses_that_work_and_ctrl_c_leaves_nothing() {
    let place = Place::new();
    let mut child = place.command(&["demo", "--serve"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap()).lines().take(2).map(Result::unwrap).collect();
    let kubeconfig = lines[0].strip_prefix("KUBECONFIG=").unwrap();
    let prometheus = lines[1].strip_prefix("PROMETHEUS_URL=").unwrap();
    let status = place.run(&["--kubeconfig", kubeconfig, "--prometheus", prometheus, "status", "-A"]);
    assert!(text(&status.stdout).contains("checkout"), "{status:?}");
    assert!(status.stderr.is_empty(), "{}", text(&status.stderr));

    let pid = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(place.left(), [""; 0], "files were left behind");
}

#[test]
fn a_closed_terminal_leaves_nothing_either() {
    let place = Place::new();
    let mut term = place.screen(&["demo"], (80, 24));
    shows(&term, &["shop/checkout"]);
    assert_eq!(place.left().len(), 1);
    term.hup();
    assert!(term.wait_exit(Duration::from_secs(5)).is_some());
    assert_eq!(place.left(), [""; 0], "files were left behind");
}

#[test]
fn a_port_in_use_is_avoided_with_a_word() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut child = place.command(&["demo", "--serve", "--port", &port]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("KUBECONFIG="), "{line}");
    let mut said = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("in use") && said.contains("http://127.0.0.1:"), "{said}");
    rustix::process::kill_process(rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap(), Signal::TERM).unwrap();
    child.wait().unwrap();
}

#[test]
fn a_bad_scenario_is_told_whole_with_its_lines() {
    let place = Place::new();
    let file = place.0.path().join("mine.toml");
    std::fs::write(
        &file,
        "version = 1\ntitle = \"x\"\nabout = \"y\"\n\n[[workload]]\nname = \"shop/a\"\nkind = \"canari\"\nreplicaz = 3\n",
    )
    .unwrap();
    let out = place.run(&["demo", file.to_str().unwrap(), "--serve"]);
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    for words in ["mine.toml:7", "canary", "mine.toml:8", "replicas"] {
        assert!(said.contains(words), "{words} is missing in:\n{said}");
    }
    let unknown = place.run(&["demo", "chekout", "--serve"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("checkout"), "{}", text(&unknown.stderr));
}

#[test]
fn without_a_terminal_there_is_a_list_and_a_usage_error() {
    let place = Place::new();
    let list = place.run(&["demo", "--list"]);
    for scenario in ["checkout", "regression", "hostile", "fleet", "drill"] {
        assert!(text(&list.stdout).contains(scenario), "{}", text(&list.stdout));
    }
    let screen = place.run(&["demo"]);
    assert_eq!(screen.status.code(), Some(2));
    assert!(text(&screen.stderr).contains("terminal"), "{}", text(&screen.stderr));
}

impl Place {
    fn settings(&self, text: &str) {
        let folder = self.0.path().join(".config/rolltop");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.toml"), text).unwrap();
    }
}

const MISTAKE: &str = "[display]\ntheme = \"loud\"\n";

#[test]
fn a_mistake_in_the_settings_does_not_stop_whoever_wants_to_mend_it() {
    let place = Place::new();
    place.settings(MISTAKE);
    let example = place.run(&["config", "--example"]);
    assert!(example.status.success() && example.stderr.is_empty(), "{}", text(&example.stderr));
    assert_eq!(text(&example.stdout), include_str!("../config.example.toml"));
    for words in [&["config"][..], &["status"], &["notify"]] {
        let out = place.run(words);
        assert_eq!(out.status.code(), Some(2), "{words:?}");
        assert!(text(&out.stderr).contains("config.toml:2: display.theme"), "{words:?}: {}", text(&out.stderr));
    }
    assert!(place.run(&["demo", "--list"]).status.success());
}

#[test]
fn a_demo_does_without_settings_that_have_mistakes_and_says_so() {
    let place = Place::new();
    place.settings(MISTAKE);
    let screen = place.screen(&["demo"], (110, 30));
    shows(&screen, &["checkout", "your settings have mistakes"]);
    let mut serving = place.command(&["demo", "--serve"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(serving.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("KUBECONFIG="), "{first}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&serving), Signal::INT).unwrap();
    let out = serving.wait_with_output().unwrap();
    let said = text(&out.stderr);
    assert!(said.contains("this demo runs without your settings") && said.contains("config.toml:2: display.theme"), "{said}");

    // A file named for it, and a flag, are no accident.
    let named = place.0.path().join("mine.toml");
    std::fs::write(&named, MISTAKE).unwrap();
    let named = named.display().to_string();
    for words in [&["demo", "--serve", "--config", &named][..], &["demo", "--serve", "--theme", "loud"]] {
        let out = place.run(words);
        assert_eq!(out.status.code(), Some(2), "{words:?}: {}", text(&out.stderr));
    }
}

#[test]
fn a_channel_says_which_secret_it_lacks() {
    let place = Place::new();
    let channel = |name: &str, secret: &str| format!("[[notify]]\nname = \"{name}\"\nkind = \"slack\"\nurl = {{ {secret} }}\n");
    let there = place.0.path().join("there");
    std::fs::write(&there, "https://hooks.example.test/services/hunter2\n").unwrap();
    let all = [
        channel("by-variable", "env = \"ROLLTOP_TEST_URL\""),
        channel("by-file", &format!("file = \"{}/gone\"", place.0.path().display())),
        channel("by-command", "command = [\"sh\", \"-c\", \"echo hunter2 >&2; exit 3\"]"),
        channel("there", &format!("file = \"{}\"", there.display())),
    ];
    place.settings(&all.concat());
    let out = place.run(&["notify"]);
    let said = text(&out.stdout).to_owned();
    assert!(out.status.success(), "{said}{}", text(&out.stderr));
    let lacks: Vec<&str> = said.lines().filter(|line| line.trim_start().starts_with("lacks")).collect();
    assert_eq!(lacks.len(), 3, "{said}");
    assert!(lacks[0].contains("$ROLLTOP_TEST_URL: is not set"), "{said}");
    assert!(lacks[1].contains("/gone: ") && lacks[2].contains("`sh`: ended with"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn a_time_that_is_none_is_told_with_what_to_write() {
    let place = Place::new();
    for words in [&["guard", "shop/web", "--for", "1.5"][..], &["wait", "shop/web", "--timeout", "1.5"]] {
        let out = place.run(words);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains(words[2]) && said.contains("1.5") && said.contains("write a time with its unit, such as 90s, 30m"), "{said}");
    }
}
