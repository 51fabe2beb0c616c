//! What the evidence says about the new version, in one sentence.
//!
//! Until the sequential test of the judgement room stands, a verdict only says what was measured:
//! it never advises, and `none` is not `go`.

use serde::Serialize;

use crate::model::{
    Rollout, Text,
    metrics::{Reading, RolloutMetrics},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    Go,
    Hold,
    Abort,
    NotEnoughData,
    #[default]
    None,
}

impl Advice {
    pub fn words(self) -> &'static str {
        match self {
            Self::Go => "GO",
            Self::Hold => "HOLD advised",
            Self::Abort => "ABORT advised",
            Self::NotEnoughData => "not enough data",
            Self::None => "not judged",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Verdict {
    pub is: Advice,
    pub because: Text,
}

/// Compares the two sides in words.
pub fn judge(rollout: &Rollout, metrics: Option<&RolloutMetrics>) -> Verdict {
    if let Some(failed) = rollout.analyses.iter().find(|a| a.current && a.phase == crate::model::AnalysisPhase::Failed) {
        return Verdict {
            is: Advice::Abort,
            because: Text::from(format!("its own {} analysis failed: {}", failed.kind.name(), failed.message)),
        };
    }
    let Some(metrics) = metrics.filter(|_| rollout.in_flight()) else {
        return Verdict::default();
    };
    let because = match (metrics.new.errors, metrics.old.errors) {
        (Reading::Value(new), Reading::Value(old)) => {
            format!("new side fails {:.1} % of requests, old side {:.1} %", new * 100.0, old * 100.0)
        }
        (Reading::Value(new), other) => format!("new side fails {:.1} % of requests, old side: {}", new * 100.0, other.word()),
        (other, _) => format!("new side: {}", other.word()),
    };
    Verdict { is: Advice::None, because: because.into() }
}
