//! Terminal manners: whatever ends or stops rolltop leaves a sane terminal and no spinning process.
//! The cluster is an address where nobody listens: the screen must work all the same.

// A test that cannot go on should say where.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "cluster/rig/term.rs"]
#[allow(dead_code)]
mod term;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use term::{Program, Term};

const PATIENCE: Duration = Duration::from_secs(15);

struct Started {
    term: Term,
    _home: tempfile::TempDir,
}

fn kubeconfig(home: &std::path::Path) -> std::path::PathBuf {
    let path = home.join("kubeconfig");
    let text = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "dead", "contexts": [{"name": "dead", "context": {"cluster": "dead", "user": "dead"}}],
        "clusters": [{"name": "dead", "cluster": {"server": "http://127.0.0.1:9"}}], "users": [{"name": "dead", "user": {"token": "x"}}]}"#;
    std::fs::write(&path, text).unwrap();
    path
}

fn start_with(prepare: impl FnOnce(Program) -> Program) -> Started {
    let home = tempfile::tempdir().unwrap();
    let program =
        Program::new(env!("CARGO_BIN_EXE_rolltop")).size(80, 24).env("HOME", home.path()).env("KUBECONFIG", kubeconfig(home.path()));
    let started = Started { term: prepare(program).start().unwrap(), _home: home };
    started.term.wait_for(|s| s.contains("nobody listens"), PATIENCE).unwrap_or_else(|s| panic!("{s}"));
    started
}

fn start() -> Started {
    start_with(|p| p)
}

#[test]
fn the_terminal_is_never_asked_anything() {
    let app = start();
    app.term.resize(100, 30);
    app.term.send("\x0c");
    std::thread::sleep(Duration::from_millis(300));
    let raw = app.term.raw();
    // Cursor position, device attributes, colours, modes: an answer may come late, or to a shell.
    for question in [&b"\x1b[6n"[..], b"\x1b[c", b"\x1b[0c", b"\x1b]10;?", b"\x1b]11;?", b"$p"] {
        assert!(!raw.windows(question.len()).any(|w| w == question), "{:?} was asked", String::from_utf8_lossy(question));
    }
}

/// The bytes that give a terminal back: main screen, visible cursor, no paste mode.
fn restored(term: &Term) -> bool {
    let all_given_back = || {
        let raw = term.raw();
        let last = |sequence: &[u8]| raw.windows(sequence.len()).rposition(|w| w == sequence);
        last(b"\x1b[?1049l") > last(b"\x1b[?1049h")
            && last(b"\x1b[?25h") > last(b"\x1b[?25l")
            && last(b"\x1b[?2004l") > last(b"\x1b[?2004h")
    };
    // The process may be gone before its last bytes have been read here.
    let until = Instant::now() + Duration::from_secs(2);
    while !all_given_back() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    all_given_back()
}

#[test]
fn a_dead_server_is_a_state_not_an_end() {
    let mut app = start();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(app.term.exit_code(Duration::from_millis(10)), None);
    app.term.send("q");
    assert_eq!(app.term.exit_code(PATIENCE), Some(0));
    assert!(restored(&app.term));
}

#[test]
fn sigterm_sigint_and_sighup_end_it_within_a_second_and_give_the_terminal_back() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 143), (Signal::HUP, 129)] {
        let mut app = start();
        app.term.signal(signal);
        assert_eq!(app.term.exit_code(Duration::from_secs(1)), Some(code), "{signal:?}");
        assert!(restored(&app.term), "{signal:?}");
    }
}

#[test]
fn ctrl_z_gives_the_terminal_back_and_fg_takes_it_again() {
    let mut app = start();
    app.term.send("\x1a");
    let until = std::time::Instant::now() + PATIENCE;
    while !restored(&app.term) {
        assert!(std::time::Instant::now() < until, "the terminal was not given back");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(200));
    let before = app.term.bytes_written();
    app.term.signal(Signal::CONT);
    app.term.wait_for(|s| s.contains("nobody listens"), PATIENCE).unwrap();
    assert!(app.term.bytes_written() > before + 200, "the whole picture is drawn anew");
    app.term.send("q");
    assert_eq!(app.term.exit_code(PATIENCE), Some(0));
}

/// A terminal that vanishes while SIGHUP is ignored (nohup, a dead ssh) must not leave a process behind.
#[test]
fn a_vanished_terminal_ends_it_even_when_sighup_is_ignored() {
    let home = tempfile::tempdir().unwrap();
    let note = home.path().join("pid");
    let inner = format!("trap '' HUP; echo $$ > {}; exec {}", note.display(), env!("CARGO_BIN_EXE_rolltop"));
    // A terminal inside the terminal, whose owner can be killed: that is what a dropped ssh looks like.
    let term = Program::new("/usr/bin/script")
        .args(["-qfc", &inner, "/dev/null"])
        .env("HOME", home.path())
        .env("KUBECONFIG", kubeconfig(home.path()));
    let term = term.env("SHELL", "/bin/bash").start().unwrap();
    term.wait_for(|s| s.contains("nobody listens"), PATIENCE).unwrap_or_else(|s| panic!("{s}"));
    let pid: u32 = std::fs::read_to_string(note).unwrap().trim().parse().unwrap();
    assert!(alive(pid));
    term.signal(Signal::KILL);
    let until = std::time::Instant::now() + Duration::from_secs(3);
    while alive(pid) {
        assert!(std::time::Instant::now() < until, "process {pid} outlives its terminal");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A zombie that nobody has waited for yet has ended.
fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|s| !s.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let home = tempfile::tempdir().unwrap();
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_rolltop"))
        .env_clear()
        .env("HOME", home.path())
        .env("KUBECONFIG", kubeconfig(home.path()))
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("rolltop status"));
}

#[test]
fn every_size_shows_something_and_none_ends_it() {
    let mut app = start();
    for (columns, rows) in [(200, 50), (120, 40), (80, 24), (40, 12), (30, 5), (20, 1), (1, 1), (80, 24)] {
        app.term.resize(columns, rows);
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(app.term.exit_code(Duration::from_millis(5)), None, "{columns}x{rows}");
    }
    app.term.wait_for(|s| s.contains("nobody listens"), PATIENCE).unwrap();
}

#[test]
fn no_color_and_ascii_are_honoured() {
    let app = start_with(|p| p.env("NO_COLOR", "1").arg("--ascii"));
    let raw = String::from_utf8_lossy(&app.term.raw()).into_owned();
    assert!(raw.is_ascii(), "{raw:?}");
    let colours = raw
        .split("\x1b[")
        .filter_map(|s| s.split_once('m'))
        .map(|(codes, _)| codes)
        .filter(|c| c.chars().all(|c| c.is_ascii_digit() || c == ';'));
    for codes in colours {
        // 39 and 49 put back the default, which is no colour.
        let colour = codes.split(';').filter_map(|c| c.parse::<u32>().ok()).any(|c| matches!(c, 30..=38 | 40..=48 | 90..=107));
        assert!(!colour, "a colour was sent: {codes}");
    }
}

#[test]
fn a_wrong_context_names_the_right_ones() {
    let home = tempfile::tempdir().unwrap();
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_rolltop"))
        .args(["--context", "prod", "status"])
        .env_clear()
        .env("HOME", home.path())
        .env("KUBECONFIG", kubeconfig(home.path()))
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(3));
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("prod") && said.contains("dead"), "{said}");
}
