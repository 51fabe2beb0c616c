//! A plan in the making: what a verb has to say for itself; the rest of a [`Plan`] follows from the object and its owner.

use std::time::Duration;

use super::{bare, containers, rewrite::TEMPLATE};
use crate::{
    engine::{Change, Expectation, Goal, Plan, Write},
    intent::{Command, Danger, Intent, describe},
    model::{Notice, Rollout, Severity, Text},
    object::Object,
};

/// Until an effect the controller shows in its next pass must be seen.
const SOON: Duration = Duration::from_secs(30);

pub struct Draft {
    sentence: Text,
    writes: Vec<Write>,
    changes: Vec<Change>,
    goal: Goal,
    what: Text,
    within: Duration,
    back: Text,
    warnings: Vec<Notice>,
    capacity: Option<Text>,
    only_if: Option<Text>,
}

impl Draft {
    pub fn new(sentence: impl Into<Text>, write: Write, goal: Goal, what: impl Into<Text>, back: impl Into<Text>) -> Self {
        let (sentence, what, back) = (sentence.into(), what.into(), back.into());
        let writes = vec![write];
        Self { sentence, writes, changes: Vec::new(), goal, what, within: SOON, back, warnings: Vec::new(), capacity: None, only_if: None }
    }

    /// One more write, after the first.
    pub fn then(mut self, write: Option<Write>) -> Self {
        self.writes.extend(write);
        self
    }

    pub fn change(mut self, field: &str, from: impl Into<Text>, to: impl Into<Text>) -> Self {
        self.changes.push(Change { field: field.into(), from: from.into(), to: to.into() });
        self
    }

    pub fn warn(mut self, severity: Severity, when: bool, text: impl Into<Text>) -> Self {
        if when {
            self.warnings.push(Notice { severity, text: text.into() });
        }
        self
    }

    /// Another effect to look for than the one it began with.
    pub fn goal(mut self, goal: Goal, what: impl Into<Text>) -> Self {
        (self.goal, self.what) = (goal, what.into());
        self
    }

    /// Until pods are replaced, which takes as long as they take to start.
    pub fn pods(mut self, replaced: u32) -> Self {
        self.within = Duration::from_secs(u64::from(replaced).saturating_mul(120).clamp(60, 3_600));
        self
    }

    /// Until its effect must be seen.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// The conditions inside the write, where they are not the whole spec.
    pub fn only_if(mut self, words: impl Into<Text>) -> Self {
        self.only_if = Some(words.into());
        self
    }

    pub fn capacity(mut self, words: impl Into<Text>) -> Self {
        self.capacity = Some(words.into());
        self
    }

    pub fn finish(self, rollout: &Rollout, root: &Object, intent: &Intent) -> Plan {
        let mut warnings = self.warnings;
        warnings.sort_by_key(|n| std::cmp::Reverse(n.severity));
        Plan {
            intent: intent.clone(),
            target: bare::id(&rollout.id.context, root),
            danger: describe(Command::Act(intent.verb())).map_or(Danger::Reversible, |row| row.danger),
            sentence: self.sentence,
            writes: self.writes,
            switch: None,
            changes: self.changes,
            only_if: vec![self.only_if.unwrap_or_else(|| format!("nobody changed {} {} since", root.resource.kind, root.meta.name).into())],
            expect: Expectation { goal: self.goal, what: self.what, within: self.within },
            back: self.back,
            warnings,
            capacity: self.capacity,
        }
    }
}

/// `1 pod`, `2 pods`.
pub fn pods(n: u32) -> String {
    if n == 1 { "1 pod".into() } else { format!("{n} pods") }
}

/// The images the template has now, in one line.
pub fn images(root: &Object) -> String {
    let all = root.value().pointer(TEMPLATE).map(containers::all).unwrap_or_default();
    all.into_iter().map(|(_, image)| image.to_string()).collect::<Vec<_>>().join(", ")
}

/// A share of the users in a sentence: `25 %`, `0.5 %`. Cells of a table have no room for the space.
pub fn percent(share: f64) -> String {
    let rounded = (share * 1000.0).round() / 10.0;
    format!("{rounded} %")
}
