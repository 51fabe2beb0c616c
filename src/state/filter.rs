//! The fleet's filter: words, and `ns:` `engine:` `phase:` `owner:` terms; `!` inverts one.

use crate::model::{Phase, Rollout, Text, WaitFor};

/// What the header counts a rollout as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Waiting,
    Failing,
    Moving,
    /// Held by somebody: it moves when somebody lets it.
    Paused,
    Steady,
}

impl Group {
    pub fn of(rollout: &Rollout) -> Self {
        let by_itself = || rollout.wait.as_ref().is_some_and(|wait| wait.who != WaitFor::Human);
        match rollout.phase {
            Phase::Waiting => Self::Waiting,
            Phase::Failing | Phase::Stuck | Phase::Aborted | Phase::Unknown => Self::Failing,
            Phase::Paused if !by_itself() => Self::Paused,
            Phase::Paused | Phase::Progressing => Self::Moving,
            Phase::Healthy => Self::Steady,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Failing => "failing",
            Self::Moving => "moving",
            Self::Paused => "paused",
            Self::Steady => "steady",
        }
    }
}

/// All that `phase:` takes: phases, and the header's words for several of them.
const PHASES: [&str; 10] = ["waiting", "failing", "aborted", "stuck", "unknown", "moving", "progressing", "paused", "steady", "healthy"];

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    pub text: String,
}

impl Filter {
    pub fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Whether every term matches.
    pub fn matches(&self, rollout: &Rollout, haystack: &str) -> bool {
        self.text.split_whitespace().all(|term| match term.strip_prefix('!') {
            Some(term) if !term.is_empty() => !holds(term, rollout, haystack),
            _ => holds(term, rollout, haystack),
        })
    }

    /// What is wrong with terms that can match nothing.
    pub fn mistakes(&self) -> Vec<String> {
        let terms = self.text.split_whitespace().filter_map(|t| t.trim_start_matches('!').split_once(':'));
        let mistake = |(name, wanted): (&str, &str)| match name {
            "phase" if !PHASES.iter().any(|phase| phase.contains(&wanted.to_lowercase())) => {
                Some(format!("{wanted}: is no phase; there are {}", PHASES.join(", ")))
            }
            "ns" | "engine" | "phase" | "owner" | "image" => None,
            _ => Some(format!("{name}: is no field")),
        };
        terms.filter_map(mistake).collect()
    }
}

fn holds(term: &str, rollout: &Rollout, haystack: &str) -> bool {
    let (field, wanted) = term.split_once(':').unwrap_or(("", term));
    let wanted = wanted.to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&wanted);
    match field {
        "" => haystack.contains(&wanted),
        "ns" => has(&rollout.id.namespace),
        "engine" => has(rollout.engine.name()),
        "phase" => has(rollout.phase.name()) || has(Group::of(rollout).name()),
        "owner" => rollout.owner.as_ref().is_some_and(|o| has(o.kind) || has(&o.name)),
        "image" => rollout.tracks.iter().flat_map(|t| &t.images).any(|i| has(i)),
        _ => haystack.contains(&term.to_lowercase()),
    }
}

/// What free words are looked for in, made once per change.
pub fn haystack(rollout: &Rollout) -> Box<str> {
    let mut text = format!(
        "{}/{} {} {} {}",
        rollout.id.namespace,
        rollout.id.name,
        rollout.engine.name(),
        rollout.strategy.name(),
        rollout.phase.name()
    );
    for image in rollout.tracks.iter().flat_map(|t| &t.images) {
        text.push(' ');
        text.push_str(Text::as_str(image));
    }
    text.to_lowercase().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_has_its_word_and_no_other_is_taken() {
        let mistakes = |text: &str| Filter { text: text.into() }.mistakes();
        let phases = [
            Phase::Healthy,
            Phase::Progressing,
            Phase::Waiting,
            Phase::Paused,
            Phase::Failing,
            Phase::Aborted,
            Phase::Stuck,
            Phase::Unknown,
        ];
        let groups = [Group::Waiting, Group::Failing, Group::Moving, Group::Paused, Group::Steady];
        for word in phases.map(Phase::name).into_iter().chain(groups.map(Group::name)) {
            assert!(PHASES.contains(&word) && mistakes(&format!("phase:{word}")).is_empty(), "{word}");
        }
        assert!(mistakes("phase: phase:fail !phase:Healthy checkout").is_empty(), "half a word is one on its way");
        assert!(mistakes("!phase:foo")[0].starts_with("foo: is no phase; there are waiting, failing"));
        assert_eq!(mistakes("bogus:x"), ["bogus: is no field"]);
    }
}
