//! Makes the README's pictures from the real screen: `cargo run --release --example picture`.
//!
//! Starts the built program's demo in a pseudo-terminal, presses keys, and writes what a terminal would show as SVG
//! into `assets`. Text stays text: it can be searched, scales, and is a few kilobytes.

// A picture that cannot be made should say where.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

#[allow(dead_code)]
#[path = "../cluster/rig/term.rs"]
mod term;

mod svg;

use term::{Program, Term};

/// Time to get the first picture on the screen, slow machines included.
const PATIENCE: Duration = Duration::from_secs(60);

/// Life takes its time to show something: the demo runs this many times as fast.
const SPEED: &str = "3";

/// One picture: how to get there from the shell.
struct Picture {
    file: &'static str,
    size: (u16, u16),
    /// Keys to press, each after these words are on the screen.
    way: &'static [(&'static [&'static str], &'static str)],
    /// What must be on the screen …
    shows: &'static [&'static str],
    /// … for so long before the picture is taken: charts want a few samples.
    settles: Duration,
}

/// Hides the first-run hint.
const ESC: &str = "\x1b";

const PICTURES: &[Picture] = &[
    // Until the one that goes bad has gone bad.
    Picture {
        file: "fleet.svg",
        size: (120, 30),
        way: &[(&["try:"], ESC), (&["pay/payments"], "j")],
        shows: &["shop/checkout", "25%", "VERDICT"],
        settles: Duration::from_secs(65),
    },
    Picture {
        file: "rollout.svg",
        size: (120, 40),
        way: &[(&["try:", "checkout"], ESC), (&["checkout"], "/checkout\r"), (&["1 shown"], "\r")],
        shows: &["WAITING", "Traffic", "Error rate", "Steps"],
        settles: Duration::from_secs(40),
    },
    Picture {
        file: "card.svg",
        size: (120, 40),
        way: &[(&["try:", "checkout"], ESC), (&["checkout"], "/checkout\r"), (&["1 shown"], "\r"), (&["WAITING", "canary 0."], "p")],
        shows: &["accepted", "esc cancel"],
        settles: Duration::from_secs(2),
    },
];

fn main() {
    let program = program();
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    for picture in PICTURES {
        let svg = take(picture, &program);
        std::fs::write(assets.join(picture.file), svg).unwrap();
    }
}

/// The released binary, whichever way this program was built.
fn program() -> PathBuf {
    let program = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("release/rolltop");
    assert!(program.exists(), "build it first: cargo build --release");
    program
}

fn take(picture: &Picture, program: &Path) -> String {
    let (columns, rows) = picture.size;
    let home = std::env::temp_dir();
    let args = vec!["demo", "--speed", SPEED];
    let start = Program::new(program).size(columns, rows).env("HOME", &home).env("COLORTERM", "truecolor").args(args);
    let term = start.start().unwrap();
    for (words, keys) in picture.way {
        wait(&term, words);
        term.send(keys);
    }
    wait(&term, picture.shows);
    std::thread::sleep(picture.settles);
    term.look(svg::of)
}

fn wait(term: &Term, words: &[&str]) {
    let seen = term.wait_for(|screen| words.iter().all(|word| screen.contains(word)), PATIENCE);
    seen.unwrap_or_else(|screen| panic!("never showed {words:?}:\n{screen}"));
    std::thread::sleep(Duration::from_secs(1));
}
