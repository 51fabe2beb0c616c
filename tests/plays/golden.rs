//! What the real components showed, in a form that tells what always happens from what may.
//!
//! A play is performed several times. A state that every run showed must be shown; one that only some runs showed is
//! optional (`?`), because those runs were real, too. [`REASONS`] says why a state may be missing: a variation it does
//! not explain is refused when recording, so that nothing becomes optional unseen.

use std::{collections::BTreeSet, fmt::Write, fs, path::PathBuf};

use crate::project::{State, Track, is_list};

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
    pub fn of(script: String, runs: &[Vec<Track>]) -> Self {
        let mut golden = Self { script, patterns: Vec::new() };
        let mut names: Vec<&str> = Vec::new();
        for track in runs.iter().flatten() {
            if !names.contains(&track.name.as_str()) {
                names.push(&track.name);
            }
        }
        golden.patterns = names.into_iter().map(|name| Pattern::of(name, runs)).collect();
        golden
    }

    pub fn pattern(&self, name: &str) -> Option<&Pattern> {
        self.patterns.iter().find(|pattern| pattern.name == name)
    }
}

impl Pattern {
    fn of(name: &str, runs: &[Vec<Track>]) -> Self {
        let states = |run: &Vec<Track>| run.iter().find(|track| track.name == name).map(|track| track.states.clone()).unwrap_or_default();
        let mut all = runs.iter().map(states);
        let first = all.next().unwrap_or_default();
        let items = first.into_iter().map(|state| Item { state, optional: false }).collect();
        all.fold(Self { name: name.into(), items }, |pattern, states| pattern.merge(&states))
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

    /// Places from which an item may come next: this one and those behind optional ones.
    fn reachable(&self, place: usize) -> impl Iterator<Item = usize> + '_ {
        let skipped = self.items[place..].iter().take_while(|item| item.optional).count();
        place..=place + skipped
    }
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

pub fn write(play: &str, golden: &Golden) {
    fs::write(file(play), format(golden)).unwrap();
}

pub fn format(golden: &Golden) -> String {
    let mut text = String::new();
    golden.script.lines().for_each(|line| writeln!(text, "# {line}").unwrap());
    for pattern in &golden.patterns {
        writeln!(text, "\n[{}]", pattern.name).unwrap();
        let mut before = State::default();
        for item in &pattern.items {
            writeln!(text, "{}", if item.optional { "?" } else { "-" }).unwrap();
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
    } else if line == "-" || line == "?" {
        let pattern = golden.patterns.last_mut()?;
        let before = pattern.items.last().filter(|_| !is_list(&pattern.name));
        let state = before.map_or_else(State::default, |item| item.state.clone());
        pattern.items.push(Item { state, optional: line == "?" });
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
        Pattern::of("t", &runs)
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
    fn a_golden_file_says_what_it_was_made_of() {
        let mut odd = states("ab");
        odd[1].0.insert("message".into(), "with: colon".into());
        odd.push(State::default());
        let runs =
            [vec![Track { name: "rollout".into(), states: odd }, Track { name: "events of x".into(), states: states("aab") }], Vec::new()];
        let golden = Golden::of("one\ntwo\n".into(), &runs);
        assert_eq!(parse(&format(&golden)), Ok(golden));
    }
}
