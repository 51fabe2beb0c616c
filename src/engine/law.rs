//! Which action makes sense when, as a table: the shape that engines share. What is not allowed is refused with a reason and
//! the better command.

use super::Refusal;
use crate::intent::Verb;

/// Why not, what instead in words, and the verb that does it.
pub type No = (&'static str, &'static str, Option<Verb>);

/// One state of a release.
pub struct Row<S: 'static> {
    pub when: S,
    pub allow: &'static [Verb],
    /// What is said about every other verb,
    no: No,
    /// but about these.
    but: &'static [(Verb, No)],
}

pub const fn row<S: Copy>(when: S, allow: &'static [Verb], no: No, but: &'static [(Verb, No)]) -> Row<S> {
    Row { when, allow, no, but }
}

/// All states, and what none of them allows.
pub struct Law<S: 'static> {
    pub rows: &'static [Row<S>],
    pub never: &'static [(Verb, No)],
}

impl<S: Copy + PartialEq> Law<S> {
    /// `possible` says whether a verb that the state allows can be done with what is at hand; `instead` stands where the table
    /// has no words.
    ///
    /// # Errors
    /// Why the verb makes no sense here.
    pub fn check(
        &self,
        here: S,
        verb: Verb,
        possible: impl Fn(Verb) -> bool,
        instead: impl FnOnce() -> Option<String>,
    ) -> Result<S, Refusal> {
        let Some(row) = self.rows.iter().find(|row| row.when == here) else {
            return Err(Refusal::because("nothing is known of this state"));
        };
        if row.allow.contains(&verb) {
            return Ok(here);
        }
        // Where nothing at all can be done, that is the reason.
        let never = self.never.iter().filter(|_| !row.allow.is_empty());
        let (reason, words, better) = row.but.iter().chain(never).find(|(v, _)| *v == verb).map_or(row.no, |(_, no)| *no);
        let words = Some(words.to_owned()).filter(|words| !words.is_empty()).or_else(instead).unwrap_or_default();
        // Never the way that is closed as well.
        Err(Refusal::because(reason).instead(words, better.filter(|v| row.allow.contains(v) && possible(*v))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Engine, argo, daemonset, deployment, knative, kruise, kserve, statefulset};
    use super::{Law, Verb};

    fn allowed<S: Copy + PartialEq>(law: &Law<S>) -> Vec<Verb> {
        law.rows.iter().flat_map(|row| row.allow.iter().copied()).collect()
    }

    #[test]
    fn engines_offer_just_what_some_state_allows() {
        let argo_allows = argo::law::LAW.iter().flat_map(|row| row.allow.iter().copied()).collect();
        let laws: [(&dyn Engine, Vec<Verb>); 7] = [
            (&argo::ARGO, argo_allows),
            (&deployment::DEPLOYMENT, allowed(&deployment::law::LAW)),
            (&statefulset::STATEFUL_SET, allowed(&statefulset::law::LAW)),
            (&daemonset::DAEMON_SET, allowed(&daemonset::law::LAW)),
            (&kruise::KRUISE, allowed(&kruise::law::LAW)),
            (&knative::KNATIVE, allowed(&knative::law::LAW)),
            (&kserve::KSERVE, allowed(&kserve::law::LAW)),
        ];
        for (engine, allows) in laws {
            for verb in Verb::ALL {
                assert_eq!(engine.descriptor().verbs.contains(&verb), allows.contains(&verb), "{:?} {verb:?}", engine.kind());
            }
        }
    }
}
