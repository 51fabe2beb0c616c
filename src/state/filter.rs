//! The fleet's filter: words, and `ns:` `engine:` `phase:` `owner:` terms; `!` inverts one.

use crate::model::{Rollout, Text};

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

    /// Terms with a name before the colon that is none of ours.
    pub fn unknown_terms(&self) -> Vec<&str> {
        self.text
            .split_whitespace()
            .filter_map(|t| t.trim_start_matches('!').split_once(':'))
            .map(|(name, _)| name)
            .filter(|name| !["ns", "engine", "phase", "owner", "image"].contains(name))
            .collect()
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
        "phase" => has(rollout.phase.name()),
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
