//! What the real components showed, in a form that tells what always happens from what may.
//!
//! A play is performed several times. A state that every run showed must be shown; one that only some runs showed is
//! optional (`?`), because those runs were real, too. [`REASONS`] says why a state may be missing: a variation it does
//! not explain is refused when recording, so that nothing becomes optional unseen.

use std::{collections::BTreeSet, fmt::Write, fs, path::PathBuf};

use crate::project::{self, State, Track, is_list};

/// The states of one track over all runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    pub name: String,
    pub items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub state: State,
    pub optional: bool,
}

/// All patterns of a play.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Golden {
    /// The script, for readers; lines.
    pub script: String,
    pub patterns: Vec<Pattern>,
}

impl Golden {
    /// What fits everything this did, and these runs.
    pub fn merge(mut self, runs: &[Vec<Track>]) -> Self {
        for run in runs {
            let first = self.patterns.is_empty();
            for track in run {
                if self.pattern(&track.name).is_none() {
                    self.patterns.push(Pattern { name: track.name.clone(), items: Vec::new() });
                }
            }
            let states = |name: &str| run.iter().find(|track| track.name == name).map_or(&[][..], |track| &track.states);
            let merged = self.patterns.into_iter().map(|pattern| {
                let states = states(&pattern.name);
                if first { pattern.first(states) } else { pattern.merge(states) }
            });
            self.patterns = merged.collect();
        }
        self.patterns.sort_by_key(|pattern| project::order(&pattern.name));
        self
    }

    /// Whether these tracks vary from what is known only as [`REASONS`] explain, and end as they should.
    pub fn explains(&self, tracks: &[Track]) -> bool {
        let states = |name: &str| tracks.iter().find(|track| track.name == name).map_or(&[][..], |track| &track.states);
        let ends = |pattern: &Pattern| is_list(&pattern.name) || pattern.may_end(states(&pattern.name).last());
        let known = tracks.iter().all(|track| self.pattern(&track.name).is_some());
        known && self.patterns.iter().all(ends) && !format(&self.clone().merge(&[tracks.to_vec()])).contains(UNEXPLAINED)
    }

    pub fn pattern(&self, name: &str) -> Option<&Pattern> {
        self.patterns.iter().find(|pattern| pattern.name == name)
    }
}

impl Pattern {
    fn first(mut self, states: &[State]) -> Self {
        self.items = states.iter().map(|state| Item { state: state.clone(), optional: false }).collect();
        self
    }

    /// The pattern that fits everything it did, and these states.
    pub fn merge(self, states: &[State]) -> Self {
        let pairs = common(&self.items, states, |item, state| item.state == *state);
        let mut items = Vec::new();
        let (mut left, mut right) = (0, 0);
        let ends = (self.items.len(), states.len());
        for (to_left, to_right) in pairs.into_iter().chain([ends]) {
            items.extend(self.items[left..to_left].iter().map(|item| Item { optional: true, ..item.clone() }));
            items.extend(states[right..to_right].iter().map(|state| Item { state: state.clone(), optional: true }));
            if (to_left, to_right) != ends {
                items.push(self.items[to_left].clone());
            }
            (left, right) = (to_left + 1, to_right + 1);
        }
        Self { items, ..self }
    }

    /// Whether these states are one way to go through the pattern.
    pub fn fits(&self, states: &[State]) -> bool {
        // All places of the pattern that the states so far can lead to.
        let mut places = BTreeSet::from([0]);
        for state in states {
            let reachable: BTreeSet<usize> = places.iter().flat_map(|place| self.reachable(*place)).collect();
            places =
                reachable.into_iter().filter(|at| self.items.get(*at).is_some_and(|item| item.state == *state)).map(|at| at + 1).collect();
        }
        places.iter().any(|place| self.items[*place..].iter().all(|item| item.optional))
    }

    /// Whether this can be the last state: the last that must be shown, or an optional one behind it.
    fn may_end(&self, state: Option<&State>) -> bool {
        let last = self.items.iter().rposition(|item| !item.optional);
        let mut ends = self.items[last.unwrap_or(0)..].iter();
        state.map_or(last.is_none(), |state| ends.any(|item| item.state == *state))
    }

    /// Places from which an item may come next: this one and those behind optional ones.
    fn reachable(&self, place: usize) -> impl Iterator<Item = usize> + '_ {
        let skipped = self.items[place..].iter().take_while(|item| item.optional).count();
        place..=place + skipped
    }
}

/// Why something a real run showed was missing in another: tracks by the beginning of their names, the fields in which
/// such a state differs from the one before or after it (none: whatever they are), and the reason.
const REASONS: &[(&[&str], &[&str], &str)] = &[
    (&["rollout in motion"], &[], PODS),
    (&["replicaset", "deployment", "rest of pods"], &["replicas", "deadline"], PODS),
    (&["rollout"], &["message", "Available", "Healthy", "Progressing", "weights", "restart", "phase"], PODS),
    (&["rollout"], &["Progressing", "revision", "unobserved"], BEHIND),
    (
        &["rollout"],
        &["unobserved", "paused", "controllerPause", "waits", "Paused", "Progressing", "Available", "message", "phase"],
        TOGETHER,
    ),
    (
        &["rollout"],
        &["stable", "Completed", "promoteFull", "backgroundRun", "stepRun", "experiment", "Progressing", "restart", "message"],
        TOGETHER,
    ),
    (&["rest of rollout"], &["Progressing"], "the controller turns this condition to and fro without end"),
    (&["service", "rest of service"], &["selects", "managedBy"], FLAPS),
    (&["events"], &[], WORKERS),
    (&["experiment", "rest of experiment", "analysisrun", "rest of analysisrun", "answers"], &[], BEHIND),
];

const PODS: &str = "how many pods are ready when the controller looks";
const TOGETHER: &str = "writes close together are seen by one pass or by two";
const BEHIND: &str = "a controller whose cache is behind does it again";
const FLAPS: &str = "the selector flaps until the deadline";
const WORKERS: &str = "events of several workers come in any order, and repeated ones may be dropped";

/// Stands in a file that must not be kept as it is.
const UNEXPLAINED: &str = "nobody knows why";

/// Why the item may be missing. `None`: nobody has explained that yet.
fn reason(pattern: &Pattern, index: usize) -> Option<&'static str> {
    let items = &pattern.items;
    let differs = |other: usize| {
        let names = |state: &State| state.0.iter().map(|(name, value)| (name.clone(), value.clone())).collect::<BTreeSet<_>>();
        let (here, there) = (names(&items[index].state), names(&items.get(other)?.state));
        Some(here.symmetric_difference(&there).map(|(name, _)| name.clone()).collect::<BTreeSet<String>>())
    };
    let neighbours = [index.checked_sub(1), index.checked_sub(2), Some(index + 1), Some(index + 2)];
    let differences: Vec<_> = neighbours.into_iter().flatten().filter_map(differs).collect();
    let of_track = REASONS.iter().filter(|(tracks, ..)| tracks.iter().any(|track| pattern.name.starts_with(track)));
    let mut fitting = of_track.filter(|(_, fields, _)| {
        fields.is_empty() || differences.iter().any(|changed| changed.iter().all(|name| fields.contains(&name.as_str())))
    });
    fitting.next().map(|(.., reason)| *reason)
}

/// Indices of a longest common subsequence.
pub fn common<A, B>(left: &[A], right: &[B], same: impl Fn(&A, &B) -> bool) -> Vec<(usize, usize)> {
    let mut best = vec![vec![0_usize; right.len() + 1]; left.len() + 1];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            best[i][j] = if same(&left[i], &right[j]) { best[i + 1][j + 1] + 1 } else { best[i + 1][j].max(best[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < left.len() && j < right.len() {
        if same(&left[i], &right[j]) {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if best[i + 1][j] >= best[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

/// What changed from one state to the next, one line a field; a field alone was taken away.
pub fn delta(before: &State, after: &State) -> Vec<String> {
    let mut names: Vec<&String> = before.0.keys().chain(after.0.keys().filter(|name| !before.0.contains_key(*name))).collect();
    names.sort_by_key(|name| (rank(name), name.as_str()));
    let changed = names.into_iter().filter(|name| before.0.get(*name) != after.0.get(*name));
    changed.map(|name| after.0.get(name).map_or_else(|| name.clone(), |value| format!("{name}: {value}"))).collect()
}

fn rank(field: &str) -> usize {
    let first = [
        "act",
        "type",
        "reason",
        "kind",
        "phase",
        "message",
        "unobserved",
        "step",
        "waits",
        "controllerPause",
        "abort",
        "abortedAt",
        "weights",
        "current",
        "stable",
        "active",
        "preview",
    ];
    first.iter().position(|name| *name == field).unwrap_or(first.len())
}

fn file(play: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/plays/golden").join(format!("{play}.txt"))
}

pub fn read(play: &str) -> Result<Golden, String> {
    let path = file(play);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}; tests/plays/record makes it", path.display()))?;
    parse(&text).map_err(|line| format!("{}:{line}: not understood", path.display()))
}

/// What is known of a play already, as long as its script is the same.
pub fn known(play: &str, script: &str) -> Golden {
    read(play).ok().filter(|golden| golden.script == script).unwrap_or_else(|| Golden { script: script.into(), patterns: Vec::new() })
}

/// The error says which variations nobody has explained.
pub fn write(play: &str, golden: &Golden) -> Result<(), String> {
    let text = format(golden);
    fs::write(file(play), &text).unwrap();
    if text.contains(UNEXPLAINED) { Err(format!("{play}: search its file for {UNEXPLAINED:?}")) } else { Ok(()) }
}

/// Whether a file is as it would be written, with a reason for every variation.
pub fn check(play: &str) -> Result<(), String> {
    let text = fs::read_to_string(file(play)).map_err(|error| format!("{play}: {error}"))?;
    if std::env::var("RECORD_PLAYS").is_ok() {
        return write(play, &read(play)?);
    }
    match (text == format(&read(play)?), text.contains(UNEXPLAINED)) {
        (true, false) => Ok(()),
        (_, true) => Err(format!("{play}: search its file for {UNEXPLAINED:?}")),
        (false, _) => Err(format!("{play}: its file was not written by tests/plays/record")),
    }
}

pub fn format(golden: &Golden) -> String {
    let mut text = String::new();
    golden.script.lines().for_each(|line| writeln!(text, "# {line}").unwrap());
    for pattern in &golden.patterns {
        writeln!(text, "\n[{}]", pattern.name).unwrap();
        let mut before = State::default();
        for (index, item) in pattern.items.iter().enumerate() {
            match item.optional.then(|| reason(pattern, index).unwrap_or(UNEXPLAINED)) {
                Some(reason) => writeln!(text, "? {reason}").unwrap(),
                None => writeln!(text, "-").unwrap(),
            }
            delta(&before, &item.state).iter().for_each(|line| writeln!(text, "  {line}").unwrap());
            before = if is_list(&pattern.name) { State::default() } else { item.state.clone() };
        }
    }
    text
}

/// The error is the number of the line that is wrong.
pub fn parse(text: &str) -> Result<Golden, usize> {
    let mut golden = Golden::default();
    for (number, line) in text.lines().enumerate() {
        parse_line(&mut golden, line).ok_or(number + 1)?;
    }
    Ok(golden)
}

fn parse_line(golden: &mut Golden, line: &str) -> Option<()> {
    if let Some(script) = line.strip_prefix('#') {
        golden.script += script.strip_prefix(' ').unwrap_or(script);
        golden.script += "\n";
    } else if let Some(name) = line.strip_prefix('[') {
        golden.patterns.push(Pattern { name: name.strip_suffix(']')?.into(), items: Vec::new() });
    } else if let Some(change) = line.strip_prefix("  ") {
        let fields = &mut golden.patterns.last_mut()?.items.last_mut()?.state.0;
        match change.split_once(": ") {
            Some((name, value)) => drop(fields.insert(name.into(), value.into())),
            None => drop(fields.remove(change)),
        }
    } else if line == "-" || line.starts_with('?') {
        let pattern = golden.patterns.last_mut()?;
        let before = pattern.items.last().filter(|_| !is_list(&pattern.name));
        let state = before.map_or_else(State::default, |item| item.state.clone());
        pattern.items.push(Item { state, optional: line.starts_with('?') });
    } else if !line.is_empty() {
        return None;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn states(names: &str) -> Vec<State> {
        names.chars().map(|name| State(BTreeMap::from([("is".to_owned(), name.to_string())]))).collect()
    }

    fn pattern(runs: &[&str]) -> Pattern {
        let runs: Vec<_> = runs.iter().map(|run| vec![Track { name: "t".into(), states: states(run) }]).collect();
        Golden::default().merge(&runs).patterns.remove(0)
    }

    #[test]
    fn what_some_runs_showed_is_optional_and_the_rest_is_not() {
        let pattern = pattern(&["abcd", "acd", "abxd"]);
        for good in ["abcd", "acd", "abxd", "ad"] {
            assert!(pattern.fits(&states(good)), "{good}");
        }
        for bad in ["abc", "bcd", "abcde", "abbd", ""] {
            assert!(!pattern.fits(&states(bad)), "{bad}");
        }
    }

    #[test]
    fn only_explained_variations_with_the_right_end_are_explained() {
        let counted = |name: char| State(BTreeMap::from([("replicas".to_owned(), name.to_string())]));
        let sized = |name: &str, counts: &str| vec![Track { name: name.into(), states: counts.chars().map(counted).collect() }];
        let golden = Golden::default().merge(&[sized("replicaset a", "1234")]);
        assert!(golden.explains(&sized("replicaset a", "134")), "how many pods were ready when somebody looked");
        assert!(!golden.explains(&sized("replicaset a", "123")), "another end");
        assert!(!golden.explains(&sized("replicaset b", "1234")), "another object");
        let golden = Golden::default().merge(&[sized("service", "1234")]);
        assert!(!golden.explains(&sized("service", "134")), "no reason for it");
    }

    #[test]
    fn a_golden_file_says_what_it_was_made_of() {
        let mut odd = states("ab");
        odd[1].0.insert("message".into(), "with: colon".into());
        odd.push(State::default());
        let runs =
            [vec![Track { name: "rollout".into(), states: odd }, Track { name: "events of x".into(), states: states("aab") }], Vec::new()];
        let golden = Golden { script: "one\ntwo\n".into(), patterns: Vec::new() }.merge(&runs);
        assert_eq!(parse(&format(&golden)), Ok(golden));
    }
}
