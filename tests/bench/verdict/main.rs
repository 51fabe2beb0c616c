//! How often each way of judging cries wolf, and how soon it finds what is worse: `cargo bench --bench verdict` plays
//! labelled releases of half an hour from fixed seeds and writes the table into README.md beside this file.

// Failing at once with a clear text is what a harness is for.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "cells.rs"]
mod cells;
#[path = "contest.rs"]
mod contest;
#[path = "../../pure/verdict/release.rs"]
#[allow(dead_code)]
mod release;
#[path = "../../pure/sample.rs"]
#[allow(dead_code)]
mod sample;

use std::{fmt::Write as _, io::Write as _, time::Instant};

use cells::{CELLS, Cell};
use contest::{Contest, JUDGES, Outcome};

const RUNS: u64 = 1_000;
const BEGIN: &str = "<!-- table: written by `cargo bench --bench verdict` -->\n";
const END: &str = "<!-- /table -->";

fn main() {
    // `cargo test --benches` builds this too and must not wait for it.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let began = Instant::now();
    let said = |cell: &Cell| drop(writeln!(std::io::stderr(), "{:>4.0} s  {}", began.elapsed().as_secs_f64(), cell.name));
    let results: Vec<(&Cell, Vec<Outcome>)> = CELLS.iter().inspect(|cell| said(cell)).map(|cell| (cell, played(cell))).collect();
    let table = table(&results);
    let took = began.elapsed().as_secs_f64();
    let _ = writeln!(std::io::stdout(), "{table}\n{} releases in {took:.0} s", RUNS as usize * CELLS.len());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/verdict/README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (head, rest) = readme.split_once(BEGIN).expect("the place of the table");
    let (_, tail) = rest.split_once(END).expect("the end of the table");
    std::fs::write(path, format!("{head}{BEGIN}{table}{END}{tail}")).unwrap();
}

/// All runs of a cell, on two threads.
fn played(cell: &Cell) -> Vec<Outcome> {
    let half = |from: u64| move || (from..RUNS).step_by(2).flat_map(|seed| Contest::new().play(cell, seed)).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let threads = [scope.spawn(half(0)), scope.spawn(half(1))];
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    })
}

fn table(results: &[(&Cell, Vec<Outcome>)]) -> String {
    let mut out = String::new();
    let heads = || JUDGES.iter().map(|j| format!(" {j} |")).collect::<String>();
    let rule = || "---|".repeat(JUDGES.len() + 1);
    let _ =
        writeln!(out, "**Not worse: releases that were called worse, per cent (lower is better).**\n\n| release |{}\n|{}", heads(), rule());
    for (cell, outcomes) in results.iter().filter(|(cell, _)| !cell.worse) {
        let _ = writeln!(out, "| {} |{}", cell.name, JUDGES.iter().map(|j| format!(" {} |", share(of(outcomes, j)))).collect::<String>());
    }
    let _ = writeln!(
        out,
        "\n**Worse: releases in which it was found, per cent; median seconds; median requests of the new side until then.**\n\n| release |{}\n|{}",
        heads(),
        rule()
    );
    for (cell, outcomes) in results.iter().filter(|(cell, _)| cell.worse) {
        let _ = writeln!(out, "| {} |{}", cell.name, JUDGES.iter().map(|j| format!(" {} |", found(of(outcomes, j)))).collect::<String>());
    }
    out
}

fn of<'a>(outcomes: &'a [Outcome], judge: &str) -> Vec<&'a Outcome> {
    outcomes.iter().filter(|o| o.judge == judge && o.called.is_some()).collect()
}

fn share(called: Vec<&Outcome>) -> String {
    let percent = called.len() as f64 / RUNS as f64 * 100.0;
    if percent > 1.0 { format!("**{percent:.1}**") } else { format!("{percent:.1}") }
}

fn found(called: Vec<&Outcome>) -> String {
    let mut at: Vec<(f64, f64)> = called.iter().filter_map(|o| o.called).collect();
    at.sort_by(|a, b| a.0.total_cmp(&b.0));
    let percent = at.len() as f64 / RUNS as f64 * 100.0;
    match at.get(at.len() / 2) {
        Some((seconds, requests)) => format!("{percent:.0}; {seconds:.0} s; {requests:.0}"),
        None => "0".into(),
    }
}
