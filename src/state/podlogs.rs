//! What the pods of the open rollout write, while somebody looks.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
};

use super::{Pane, Screen, State};
use crate::{
    cluster::WantedLog,
    model::{
        Pod, Rollout, Text, Track,
        log::{Container, Following, Line, News},
    },
    object::kinds,
};

/// Lines that are kept.
const KEPT: usize = 2_000;
/// Pods that are followed: of the new version, and of the old one to compare with.
const NEW: usize = 4;
const OLD: usize = 2;
/// The container that kubectl takes where none is named.
const DEFAULT: &str = "kubectl.kubernetes.io/default-container";

#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodLogs {
    /// Oldest first.
    pub lines: VecDeque<Line>,
    /// By pod.
    pub following: BTreeMap<Text, Following>,
    /// Lines that came faster than anybody reads.
    pub skipped: u64,
}

impl PodLogs {
    /// Lines that hold every word of a filter and none after a `!`; newest first.
    pub fn matching<'a>(&'a self, filter: &str) -> impl Iterator<Item = &'a Line> + use<'a> {
        let words = Words::of(filter);
        self.lines.iter().rev().filter(move |line| words.fit(line))
    }

    /// Takes news in; how many lines of it a reader with this filter sees.
    fn take(&mut self, news: News, filter: &str) -> usize {
        let words = Words::of(filter);
        let added = news.lines.iter().filter(|line| words.fit(line)).count();
        self.skipped += news.skipped;
        if let Some(following) = news.following {
            self.following.insert(news.pod, following);
        }
        for mut line in news.lines {
            // Of several pods, in the order of their clocks; one without a time comes with the newest.
            line.at = line.at.or_else(|| self.lines.back().and_then(|newest| newest.at));
            let later = |known: &Line| known.at > line.at;
            let at = self.lines.len() - self.lines.iter().rev().take_while(|known| later(known)).count();
            self.lines.insert(at, line);
        }
        let surplus = self.lines.len().saturating_sub(KEPT);
        self.lines.drain(..surplus);
        added
    }
}

/// A filter, taken apart once for many lines.
struct Words(Vec<(bool, String)>);

impl Words {
    fn of(filter: &str) -> Self {
        let word = |word: &str| match word.strip_prefix('!').filter(|rest| !rest.is_empty()) {
            Some(rest) => (false, rest.to_lowercase()),
            None => (true, word.to_lowercase()),
        };
        Self(filter.split_whitespace().map(word).collect())
    }

    fn fit(&self, line: &Line) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let text = format!("{} {}", line.pod, line.text).to_lowercase();
        self.0.iter().all(|(wanted, word)| text.contains(word.as_str()) == *wanted)
    }
}

/// A log has news.
pub fn heard(state: &mut State, news: News) {
    let added = state.pod_logs.take(news, &state.view.log_filter);
    // Whoever has scrolled back stays where they are.
    if state.view.zoom == Some(Pane::Logs) && state.view.scroll > 0 {
        state.view.scroll = (state.view.scroll + added).min(state.pod_logs.lines.len().saturating_sub(1));
    }
}

/// Which pods of a side are followed: those in trouble first, then the youngest.
pub fn chosen(rollout: &Rollout) -> Vec<(&Track, &Pod)> {
    let (new, old) = (rollout.new_side(), rollout.old_side());
    match new.filter(|_| rollout.in_flight() || old.is_none()) {
        Some(_) => of(new, NEW).into_iter().chain(of(old, OLD)).collect(),
        None => of(old, NEW),
    }
}

fn of(side: Option<&Track>, most: usize) -> Vec<(&Track, &Pod)> {
    let mut pods: Vec<_> = side.into_iter().flat_map(|track| track.pods.iter().map(move |pod| (track, pod))).collect();
    pods.sort_by_key(|(_, pod)| (Reverse(pod.health), Reverse(pod.created), pod.name.clone()));
    pods.truncate(most);
    pods
}

/// What to follow now: nothing, unless the pane is open.
pub fn wanted(state: &State) -> Vec<WantedLog> {
    let (Some(known), Some(Pane::Logs), Screen::Rollout(_)) = (state.open(), state.view.zoom, &state.view.screen) else {
        return Vec::new();
    };
    let id = &known.rollout.id;
    let of = |pod: &Pod| {
        let name = main_container(state, &id.namespace, &pod.name)?;
        let container = Container { namespace: (&*id.namespace).into(), pod: pod.name.clone(), name };
        Some(WantedLog { container, restarted: pod.restarts > 0 })
    };
    chosen(&known.rollout).into_iter().filter_map(|(_, pod)| of(pod)).collect()
}

fn main_container(state: &State, namespace: &str, pod: &str) -> Option<Text> {
    let value = state.objects.named(&kinds::POD, namespace, pod)?.value();
    let chosen = value["metadata"]["annotations"][DEFAULT].as_str();
    chosen.or(value["spec"]["containers"][0]["name"].as_str()).map(Text::clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pod: &str, second: i64, text: &str) -> Line {
        Line { at: chrono::DateTime::from_timestamp(1_700_000_000 + second, 0), pod: pod.into(), text: text.into(), before: false }
    }

    fn news(lines: Vec<Line>) -> News {
        News { pod: "a".into(), lines, skipped: 0, following: None }
    }

    fn texts(logs: &PodLogs, filter: &str) -> Vec<String> {
        logs.matching(filter).map(|line| line.text.to_string()).collect()
    }

    #[test]
    fn lines_of_several_pods_stand_in_the_order_of_time() {
        let mut logs = PodLogs::default();
        logs.take(news(vec![line("a", 1, "one"), line("a", 4, "four")]), "");
        logs.take(news(vec![line("b", 2, "two"), line("b", 4, "four, too"), Line { at: None, ..line("b", 0, "no time") }]), "");
        logs.take(news(vec![line("a", 3, "three")]), "");
        assert_eq!(texts(&logs, ""), ["no time", "four, too", "four", "three", "two", "one"]);
    }

    #[test]
    fn the_oldest_go_first() {
        let mut logs = PodLogs::default();
        for second in 0..3_000 {
            logs.take(news(vec![line("a", second, &format!("line {second}"))]), "");
        }
        assert_eq!((logs.lines.len(), &*logs.lines[0].text), (KEPT, "line 1000"));
    }

    #[test]
    fn a_filter_wants_every_word_and_takes_pods_for_words() {
        let mut logs = PodLogs::default();
        let lines = vec![line("web-1", 1, "GET / 200"), line("web-1", 2, "GET /cart 500 ERROR"), line("web-2", 3, "ERROR 500")];
        assert_eq!(logs.take(news(lines), "error"), 2, "those that a reader with this filter sees");
        for (filter, found) in [("", 3), ("error", 2), ("500 GET", 1), ("!error", 1), ("error !web-2", 1), ("web-2", 1), ("!", 0)] {
            assert_eq!(texts(&logs, filter).len(), found, "{filter}");
        }
    }
}
