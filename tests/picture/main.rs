//! Makes the README's pictures from the real screen: `cargo run --release --example picture`.
//!
//! Starts the built program's demo in a pseudo-terminal, presses keys, and writes what a terminal would show as SVG
//! into `assets`. Text stays text: it can be searched, scales, and is a few kilobytes.

// A picture that cannot be made should say where.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{path::Path, time::Duration};

#[allow(dead_code)]
#[path = "../cluster/rig/term.rs"]
mod term;

mod svg;

use term::{Program, Term};

/// Time to get the first picture on the screen, slow machines included.
const PATIENCE: Duration = Duration::from_secs(60);

/// One picture: how to get there from the shell.
struct Picture {
    file: &'static str,
    size: (u16, u16),
    args: &'static [&'static str],
    /// Keys to press, each after these words are on the screen.
    way: &'static [(&'static [&'static str], &'static str)],
    /// What must be on the screen before the picture is taken.
    shows: &'static [&'static str],
}

const PICTURES: &[Picture] = &[
    Picture { file: "fleet.svg", size: (110, 24), args: &["demo"], way: &[], shows: &["checkout", "WAIT"] },
    Picture {
        file: "rollout.svg",
        size: (110, 38),
        args: &["demo"],
        way: &[(&["checkout"], "/checkout\r"), (&["1 shown"], "\r")],
        shows: &["Traffic", "Error rate", "Steps"],
    },
    Picture {
        file: "card.svg",
        size: (110, 38),
        args: &["demo"],
        way: &[(&["checkout"], "/checkout\r"), (&["1 shown"], "\r"), (&["WAITING"], "p")],
        shows: &["accepted", "esc cancel"],
    },
];

fn main() {
    let program = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("rolltop");
    assert!(program.exists(), "build it first: cargo build --release");
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    for picture in PICTURES {
        let svg = take(picture, &program);
        std::fs::write(assets.join(picture.file), svg).unwrap();
    }
}

fn take(picture: &Picture, program: &Path) -> String {
    let (columns, rows) = picture.size;
    let home = std::env::temp_dir();
    let start = Program::new(program).size(columns, rows).env("HOME", &home).env("COLORTERM", "truecolor").args(picture.args.to_vec());
    let term = start.start().unwrap();
    for (words, keys) in picture.way {
        wait(&term, words);
        term.send(keys);
    }
    wait(&term, picture.shows);
    // Charts want a few samples.
    std::thread::sleep(Duration::from_secs(12));
    term.look(svg::of)
}

fn wait(term: &Term, words: &[&str]) {
    let seen = term.wait_for(|screen| words.iter().all(|word| screen.contains(word)), PATIENCE);
    seen.unwrap_or_else(|screen| panic!("never showed {words:?}:\n{screen}"));
    std::thread::sleep(Duration::from_secs(1));
}
