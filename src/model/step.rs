//! The plan of a release, one line a step.

use std::time::Duration;

use super::{Text, Time};

/// What a step does. Weights are shares of all traffic, 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    SetWeight(f64),
    /// `None` waits for a human.
    Pause(Option<Duration>),
    SetCanaryScale,
    Analysis,
    Experiment,
    HeaderRoute,
    MirrorRoute,
    Plugin,
    /// Blue-green: bring up the preview.
    Preview,
    /// Blue-green: switch users over.
    Flip,
    /// Blue-green: remove the old side.
    ScaleDownOld,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub kind: StepKind,
    /// `weight 25 %`, `pause 10m`, `plugin argoproj/x`.
    pub label: Text,
    /// When it began, if known.
    pub started: Option<Time>,
    pub ended: Option<Time>,
}

/// Steps in order, with "you are here".
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Steps {
    pub items: Vec<Step>,
    /// Index of the step in progress, 0-based; equals `items.len()` when all are done,
    /// `None` when the engine has no steps or has not started.
    pub current: Option<usize>,
}

impl Steps {
    pub fn now(&self) -> Option<&Step> {
        self.items.get(self.current?)
    }

    pub fn done(&self) -> bool {
        self.current.is_some_and(|i| i >= self.items.len())
    }
}
