//! What rolltop costs: `cargo bench --bench rolltop` drives the released binary in a pseudo-terminal against the rig's
//! API server and prints a table. Nothing here fails on a time; README.md says what each figure is.

// Failing at once with a clear text is what a harness is for.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../cluster/rig.rs"]
mod cluster;

#[path = "fleet.rs"]
mod fleet;
#[path = "glass.rs"]
mod glass;
#[path = "process.rs"]
mod process;
#[path = "prometheus.rs"]
mod prometheus;
#[path = "raw.rs"]
mod raw;
#[path = "table.rs"]
mod table;

use std::{
    io::Write,
    time::{Duration, Instant},
};

use cluster::{Identity, Options, Rig};
use fleet::{Fleet, MARKED, Which};
use glass::App;
use prometheus::Fake;
use table::{Goal, Row, Table, quantile};

const ROLLOUTS: usize = 1_000;
const PODS: usize = 10_000;
const DEPLOYMENTS: usize = 5_000;
/// A namespace with a single rollout, for what must not depend on how many there are.
const ALONE: &str = "alone";
/// A namespace in which nothing moves.
const QUIET: &str = "quiet";

fn main() {
    // `cargo test --benches` builds this too and must not wait for it.
    if !std::env::args().any(|a| a == "--bench") || !Rig::built() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let table = runtime.block_on(measure(&wanted));
    say(&table.to_string());
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

async fn measure(wanted: &[String]) -> Table {
    let want = |part: &str| wanted.is_empty() || wanted.iter().any(|w| part.contains(w.as_str()));
    let began = Instant::now();
    let rig = Rig::start(Options::api_only()).await.expect("the rig");
    let fleet = Fleet::new(&rig);
    let bytes = fleet.fill(ROLLOUTS, PODS, ALONE, QUIET).await;
    say(&format!("{ROLLOUTS} rollouts of {bytes} bytes each and {PODS} pods are there after {:.0} s", began.elapsed().as_secs_f64()));
    let mut table = Table::default();
    if want("latency") {
        latency(&rig, &fleet, &mut table).await;
    }
    if want("start") {
        start(&rig, &mut table).await;
    }
    if want("idle") {
        idle(&rig, &mut table).await;
    }
    if want("busy") {
        busy(&rig, &fleet, &mut table).await;
    }
    if want("queries") {
        queries(&rig, &mut table).await;
    }
    // The last: it stays.
    if want("crowd") {
        crowd(&rig, &fleet, &mut table).await;
    }
    table
}

/// A change on the API server, on the wire of a raw watch and on the glass.
async fn latency(rig: &Rig, fleet: &Fleet, table: &mut Table) {
    const CHANGES: usize = 200;
    let watch = raw::Watch::open(rig).await;
    let glass = App::new(rig, Identity::Viewer).args(&["watch", "-A"]).start();
    glass.until(|screen| screen.contains(MARKED)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut behind = Vec::new();
    let mut whole = Vec::new();
    for n in 0..CHANGES {
        // Changes that meet a drawing screen at every moment of its pace, but never one another.
        tokio::time::sleep(Duration::from_millis(250 + fastrand::u64(..150))).await;
        let step = if n % 2 == 0 { 2 } else { 0 };
        let mark = format!("{}/4", step + 1);
        let from = glass.mark();
        let sent = Instant::now();
        let version = fleet.step(MARKED, step).await;
        let shown = glass.shown_since(from, |row| row.contains(MARKED) && row.contains(&mark)).await;
        let heard = watch.heard(&version).await;
        behind.push(millis(shown) - millis(heard));
        whole.push(shown.duration_since(sent).as_secs_f64() * 1e3);
    }
    table.add(Row::new("change → glass behind a raw watch, median", "ms", quantile(&mut behind, 0.5), Goal::AtMost(2.0)).peer(2.5));
    table.add(Row::new("change → glass behind a raw watch, p95", "ms", quantile(&mut behind, 0.95), Goal::AtMost(4.0)).peer(3.9));
    table.add(Row::new("the same from the request on, median", "ms", quantile(&mut whole, 0.5), Goal::None));
}

/// Milliseconds on a scale common to all moments of this run.
fn millis(at: Instant) -> f64 {
    static ZERO: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let zero = *ZERO.get_or_init(Instant::now);
    match at.checked_duration_since(zero) {
        Some(after) => after.as_secs_f64() * 1e3,
        None => -(zero.duration_since(at).as_secs_f64() * 1e3),
    }
}

/// From nothing to the first picture of the whole fleet, in turns with a bare LIST over a new connection.
async fn start(rig: &Rig, table: &mut Table) {
    const TURNS: usize = 9;
    let (mut lists, mut pictures, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..=TURNS {
        let list = raw::list(rig).await.as_secs_f64() * 1e3;
        let began = Instant::now();
        let glass = App::new(rig, Identity::Viewer).args(&["watch", "-A"]).start();
        let shown = glass.shown_since(0, |row| row.contains(MARKED)).await;
        let picture = shown.duration_since(began).as_secs_f64() * 1e3;
        glass.quit().await;
        // The first turn warms the API server's caches and the file system's.
        if turn > 0 {
            lists.push(list);
            pictures.push(picture);
            ratios.push(picture / list);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    table.add(Row::new("start → first picture, median", "ms", quantile(&mut pictures, 0.5), Goal::None));
    table.add(Row::new("raw LIST over a new connection, median", "ms", quantile(&mut lists, 0.5), Goal::None));
    table.add(Row::new("start → first picture / raw LIST, median", "×", quantile(&mut ratios, 0.5), Goal::AtMost(1.3)).peer(1.6));
}

/// A minute in which nothing happens, with the whole fleet and with a quiet namespace.
async fn idle(rig: &Rig, table: &mut Table) {
    const WHILE: Duration = Duration::from_secs(60);
    let fleet = App::new(rig, Identity::Viewer).args(&["watch", "-A"]).start();
    let quiet = App::new(rig, Identity::Oncall).args(&["watch", "-n", QUIET]).start();
    fleet.until(|screen| screen.contains(MARKED)).await;
    fleet.press("s");
    quiet.until(|screen| screen.contains("steady")).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let audit = rig.audit();
    let asked = audit.mark();
    let (before, quiet_from) = (fleet.process().cpu(), quiet.mark());
    let fleet_from = fleet.mark();
    tokio::time::sleep(WHILE).await;
    let cpu = (fleet.process().cpu() - before).as_secs_f64() / WHILE.as_secs_f64() * 100.0;
    let requests = audit.since(asked).by(Identity::Viewer.user());
    table.add(Row::new("resident memory, fleet of 1 000 open", "MiB", fleet.process().resident_mib(), Goal::AtMost(40.0)).peer(71.0));
    table.add(Row::new("CPU idle, fleet of 1 000 open", "% of a core", cpu, Goal::AtMost(0.05)));
    let writes = quiet.writes_since(quiet_from);
    // The clock in the header ticks once a minute; whatever else is written is written for nothing.
    let ticks = writes.len().min(1);
    table.add(Row::new("bytes in a quiet minute less the clock's tick", "bytes", sum(&writes[ticks..]), Goal::AtMost(0.0)));
    table.add(Row::new("bytes of that tick", "bytes", sum(&writes[..ticks]), Goal::None));
    let mut writes = fleet.writes_since(fleet_from);
    table.add(Row::new("writes a minute while waits grow older", "", writes.len() as f64, Goal::None));
    writes.sort_unstable();
    table.add(Row::new("bytes of such a write, median", "bytes", writes.get(writes.len() / 2).map_or(0.0, |n| *n as f64), Goal::None));
    table.add(Row::new("API requests in an idle minute", "", requests.len() as f64, Goal::AtMost(4.0)));
    for entry in requests.iter() {
        say(&format!("  idle request: {} {}", entry.verb, entry.uri));
    }
    fleet.quit().await;
    quiet.quit().await;
}

fn sum(writes: &[usize]) -> f64 {
    writes.iter().sum::<usize>() as f64
}

/// A hundred changes a second: all over the fleet, where most are out of sight, and among the rows that show.
async fn busy(rig: &Rig, fleet: &Fleet, table: &mut Table) {
    const WHILE: Duration = Duration::from_secs(20);
    let glass = App::new(rig, Identity::Viewer).args(&["watch", "-A"]).start();
    glass.until(|screen| screen.contains(MARKED)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    for (which, words) in [(Which::Any, "all over"), (Which::Moving, "of what is in sight")] {
        let (before, from, began) = (glass.process().cpu(), glass.mark(), Instant::now());
        let changes = fleet.change(100, WHILE, which).await;
        let took = began.elapsed().as_secs_f64();
        let cpu = (glass.process().cpu() - before).as_secs_f64() / took * 100.0;
        let writes = glass.writes_since(from);
        let rate = changes as f64 / took;
        say(&format!("{rate:.0} changes a second {words}, for {took:.0} s"));
        let goal = if which == Which::Any { Goal::AtMost(1.5) } else { Goal::None };
        // Where the API server did not keep up with the wish, per what it did.
        let row = Row::new(&format!("CPU at 100 changes/s {words}"), "% of a core", cpu * 100.0 / rate, goal);
        table.add(if which == Which::Any { row.peer(1.7) } else { row });
        table.add(Row::new("pictures a second meanwhile", "", writes.len() as f64 / took, Goal::None));
        table.add(Row::new("bytes a second meanwhile", "bytes", sum(&writes) / took, Goal::None));
    }
    table.add(Row::new("resident memory after that", "MiB", glass.process().resident_mib(), Goal::AtMost(40.0)));
    glass.quit().await;
}

/// The same fleet among thousands of Deployments, as clusters are: what all engines together cost.
async fn crowd(rig: &Rig, fleet: &Fleet, table: &mut Table) {
    const WHILE: Duration = Duration::from_secs(60);
    let began = Instant::now();
    fleet.crowd(DEPLOYMENTS).await;
    say(&format!("{DEPLOYMENTS} Deployments more after {:.0} s", began.elapsed().as_secs_f64()));
    let audit = rig.audit();
    let (started, asked) = (Instant::now(), audit.mark());
    let glass = App::new(rig, Identity::Viewer).args(&["watch", "-A"]).start();
    glass.until(|screen| screen.contains(MARKED)).await;
    table.add(Row::new("start → first picture among 5 000 Deployments", "ms", started.elapsed().as_secs_f64() * 1e3, Goal::None));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let opening = audit.since(asked).by(Identity::Viewer.user());
    let lists = opening.iter().filter(|e| e.verb == "list").count();
    table.add(Row::new("LISTs until then, pages counted", "", lists as f64, Goal::None));
    let asked = audit.mark();
    let cpu = glass.process().cpu();
    tokio::time::sleep(WHILE).await;
    let idle = audit.since(asked).by(Identity::Viewer.user());
    let lists = idle.iter().filter(|e| e.verb == "list").count();
    table.add(Row::new("resident memory among 5 000 Deployments", "MiB", glass.process().resident_mib(), Goal::AtMost(60.0)));
    let cpu = (glass.process().cpu() - cpu).as_secs_f64() / WHILE.as_secs_f64() * 100.0;
    table.add(Row::new("CPU idle among them", "% of a core", cpu, Goal::AtMost(0.05)));
    table.add(Row::new("LISTs in an idle minute among them", "", lists as f64, Goal::AtMost(0.0)));
    table.add(Row::new("API requests in that minute", "", idle.len() as f64, Goal::None));
    glass.quit().await;
}

/// What Prometheus is asked, at one rollout and at all.
async fn queries(rig: &Rig, table: &mut Table) {
    const REFRESHES: usize = 20;
    let mut grown = (0.0, 0.0);
    for (scope, words) in [(vec!["watch", "-n", ALONE], "1 rollout"), (vec!["watch", "-A"], "1 000 rollouts")] {
        let fake = Fake::start().await;
        let glass = App::new(rig, Identity::Viewer).args(&scope).prometheus(&fake.url()).start();
        glass.until(|screen| screen.contains("r0")).await;
        fake.refreshes(3).await;
        let before = glass.process().resident_mib();
        let per_refresh = fake.refreshes(REFRESHES).await;
        grown = (glass.process().resident_mib(), before);
        let most = per_refresh.iter().copied().max().unwrap_or_default();
        table.add(Row::new(&format!("Prometheus queries per refresh at {words}, most"), "", most as f64, Goal::AtMost(6.0)));
        glass.quit().await;
    }
    let growth = (grown.0 - grown.1) * 1024.0 / REFRESHES as f64;
    table.add(Row::new("resident memory with readings of 1 000 rollouts", "MiB", grown.0, Goal::AtMost(40.0)));
    table.add(Row::new("its growth with each refresh at first", "KiB", growth, Goal::None));
}
