//! Two sequences side by side, with the first difference marked.

use std::fmt::Write;

use crate::{
    golden::{Golden, Pattern, common, delta},
    project::{State, Track, is_list},
};

const WIDTH: usize = 86;

/// Whether the tracks are one way to play what was recorded; else a report.
pub fn compare(golden: &Golden, tracks: &[Track]) -> Result<(), String> {
    let mut report = String::new();
    let nothing = Vec::new();
    for pattern in &golden.patterns {
        let states = tracks.iter().find(|track| track.name == pattern.name).map_or(&nothing, |track| &track.states);
        if !fits(pattern, states) {
            report += &side_by_side(pattern, states);
        }
    }
    for track in tracks.iter().filter(|track| golden.pattern(&track.name).is_none()) {
        let empty = Pattern { name: track.name.clone(), items: Vec::new() };
        report += &side_by_side(&empty, &track.states);
    }
    if report.is_empty() { Ok(()) } else { Err(report) }
}

/// Events of an object are dropped by the client that sends them after the first two dozen, and nobody should miss them.
const EVENTS_SENT: usize = 24;

fn fits(pattern: &Pattern, states: &[State]) -> bool {
    let cut = pattern.name.starts_with("events") && pattern.items.len() >= EVENTS_SENT;
    pattern.fits(states) || cut && (EVENTS_SENT..states.len()).any(|sent| pattern.fits(&states[..sent]))
}

fn side_by_side(pattern: &Pattern, states: &[State]) -> String {
    let mut report = format!("\n[{}]\n{:WIDTH$} │ {}\n", pattern.name, "  recorded (? may be missing)", "  played");
    let left = renderings(pattern, pattern.items.iter().map(|item| (&item.state, item.optional)));
    let right = renderings(pattern, states.iter().map(|state| (state, false)));
    let pairs = common(&pattern.items, states, |item, state| item.state == *state);
    let (mut i, mut j) = (0, 0);
    let mut marked = false;
    for (to_i, to_j) in pairs.into_iter().chain([(left.len(), right.len())]) {
        let differs = to_j > j || pattern.items[i..to_i].iter().any(|item| !item.optional);
        if differs && !marked {
            marked = true;
            report += ">>> first difference\n";
        }
        columns(&mut report, &left[i..to_i].concat(), &right[j..to_j].concat());
        if to_i < left.len() && to_j < right.len() {
            columns(&mut report, &left[to_i], &right[to_j]);
        }
        (i, j) = (to_i + 1, to_j + 1);
        if i > left.len() || j > right.len() {
            break;
        }
    }
    report
}

fn renderings<'a>(pattern: &Pattern, states: impl Iterator<Item = (&'a State, bool)>) -> Vec<Vec<String>> {
    let mut before = State::default();
    let mut all = Vec::new();
    for (state, optional) in states {
        let sign = if optional { "?" } else { "-" };
        let mut lines: Vec<String> = delta(&before, state).iter().flat_map(|line| fold(line)).collect();
        if lines.is_empty() {
            lines.push("  (as before)".into());
        }
        lines[0].replace_range(0..1, sign);
        all.push(lines);
        before = if is_list(&pattern.name) { State::default() } else { state.clone() };
    }
    all
}

/// Long lines go on below, indented.
fn fold(line: &str) -> Vec<String> {
    let chars: Vec<char> = line.chars().collect();
    let pieces = chars.chunks(WIDTH - 4).enumerate();
    pieces.map(|(n, piece)| format!("{}{}", if n == 0 { "  " } else { "    " }, piece.iter().collect::<String>())).collect()
}

fn columns(report: &mut String, left: &[String], right: &[String]) {
    for row in 0..left.len().max(right.len()) {
        let cell = |side: &[String]| side.get(row).cloned().unwrap_or_default();
        let line = format!("{:WIDTH$} │ {}", cell(left), cell(right));
        writeln!(report, "{}", line.trim_end()).unwrap();
    }
}
