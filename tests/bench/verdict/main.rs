//! How often each way of judging cries wolf, and how soon it finds what is worse: `cargo bench --bench verdict` plays
//! labelled releases of half an hour from fixed seeds and writes the table into README.md beside this file.

// Failing at once with a clear text is what a harness is for.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "armed.rs"]
mod armed;
#[path = "cells.rs"]
mod cells;
#[path = "contest.rs"]
mod contest;
#[path = "embedded.rs"]
mod embedded;
#[path = "../../pure/verdict/release.rs"]
#[allow(dead_code)]
mod release;
#[path = "../../pure/sample.rs"]
#[allow(dead_code)]
mod sample;

use std::{fmt::Write as _, io::Write as _, time::Instant};

use cells::{CELLS, Cell};
use contest::{Contest, JUDGES, Outcome, WarmUp};

const RUNS: u64 = 1_000;
const BEGIN: &str = "<!-- table: written by `cargo bench --bench verdict` -->\n";
const ARMED: &str = "<!-- armed: written by `cargo bench --bench verdict -- armed` -->\n";
const EMBEDDED: &str = "<!-- embedded: written by `cargo bench --bench verdict -- embedded` -->\n";
const GUARDS: &str = "<!-- guards: written by `cargo bench --bench verdict -- guards` -->\n";
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/verdict/README.md");
const END: &str = "<!-- /table -->";

fn main() {
    // `cargo test --benches` builds this too and must not wait for it.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    if std::env::args().any(|a| a == "armed") {
        return keep(ARMED, &armed::table());
    }
    if std::env::args().any(|a| a == "embedded") {
        return keep(EMBEDDED, &embedded::watched(simulated));
    }
    if std::env::args().any(|a| a == "guards") {
        return keep(GUARDS, &embedded::guarded(simulated));
    }
    let began = Instant::now();
    let said = |cell: &Cell| drop(writeln!(std::io::stderr(), "{:>4.0} s  {}", began.elapsed().as_secs_f64(), cell.name));
    let results: Vec<(&Cell, Vec<Outcome>)> =
        CELLS.iter().inspect(|cell| said(cell)).map(|cell| (cell, played(cell, WarmUp::Usual))).collect();
    let table = table(&results) + &warm_ups();
    let took = began.elapsed().as_secs_f64();
    let _ = writeln!(std::io::stdout(), "{} releases in {took:.0} s", RUNS as usize * CELLS.len());
    keep(BEGIN, &table);
    keep(ARMED, &armed::table());
}

/// Prints a table and writes it to its place.
fn keep(begin: &str, table: &str) {
    let _ = writeln!(std::io::stdout(), "{table}");
    let readme = std::fs::read_to_string(README).unwrap();
    let [head, _, tail] = around(&readme, begin);
    std::fs::write(README, format!("{head}{begin}{table}{END}{tail}")).unwrap();
}

/// What is before a table, the table, and what is after it.
fn around<'a>(readme: &'a str, begin: &str) -> [&'a str; 3] {
    let (head, rest) = readme.split_once(begin).expect("the place of the table");
    let (table, tail) = rest.split_once(END).expect("the end of the table");
    [head, table, tail]
}

/// What the simulation last found of the test for releases of this name.
fn simulated(name: &str) -> String {
    let readme = std::fs::read_to_string(README).unwrap();
    let [_, table, _] = around(&readme, BEGIN);
    let row = table.lines().find_map(|line| line.strip_prefix("| ")?.strip_prefix(name)?.strip_prefix(" | "));
    row.and_then(|row| row.split(" |").next()).expect("a row of this name").to_owned()
}

/// All runs of a cell, on two threads.
fn played(cell: &Cell, warm_up: WarmUp) -> Vec<Outcome> {
    let half = |from: u64| move || (from..RUNS).step_by(2).flat_map(|seed| Contest::new().play(cell, seed, warm_up)).collect::<Vec<_>>();
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

/// What a warm-up saves, and what it costs: the test alone, under each way to leave out the first seconds.
fn warm_ups() -> String {
    const WAYS: [(&str, WarmUp); 5] = [
        ("none", WarmUp::Slowness(0)),
        ("30 s, slowness", WarmUp::Slowness(30)),
        ("60 s, slowness", WarmUp::Slowness(60)),
        ("30 s, failures too", WarmUp::All(30)),
        ("60 s, failures too", WarmUp::All(60)),
    ];
    let cells = |worse| CELLS.iter().filter(move |c| c.worse == worse && (worse || c.name.starts_with("cold start")));
    let chosen = cells(false).chain(cells(true).filter(|c| WARM.contains(&c.name)));
    let heads: String = WAYS.iter().map(|(way, _)| format!(" {way} |")).collect();
    let rule = "---|".repeat(WAYS.len() + 1);
    let mut out = format!(
        "\n**What a warm-up changes: the test, called worse, per cent; median seconds; median requests.**\n\n| release |{heads}\n|{rule}\n"
    );
    for cell in chosen {
        let row: String = WAYS.iter().map(|(_, way)| format!(" {} |", found(of(&played(cell, *way), JUDGES[0])))).collect();
        let _ = writeln!(out, "| {} |{row}", cell.name);
    }
    out
}

/// Worse releases that a warm-up could hide.
const WARM: [&str; 5] = ["2× of 1 %", "5× of 1 %", "20× of 0.2 %", "1.5× the latency", "2× the latency"];

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
