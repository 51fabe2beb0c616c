//! Analyses and experiments an engine runs by itself.

use super::{Text, Time};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnalysisKind {
    Step,
    Background,
    PrePromotion,
    PostPromotion,
    Experiment,
    Other,
}

impl AnalysisKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Background => "background",
            Self::PrePromotion => "pre-promotion",
            Self::PostPromotion => "post-promotion",
            Self::Experiment => "experiment",
            Self::Other => "other",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnalysisPhase {
    Pending,
    Running,
    Successful,
    Failed,
    Error,
    Inconclusive,
}

impl AnalysisPhase {
    /// Reads the engine's word; anything unknown counts as pending.
    pub fn parse(word: &str) -> Self {
        match word {
            "Running" => Self::Running,
            "Successful" => Self::Successful,
            "Failed" => Self::Failed,
            "Error" => Self::Error,
            "Inconclusive" => Self::Inconclusive,
            _ => Self::Pending,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Successful => "successful",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Inconclusive => "inconclusive",
        }
    }

    pub fn ended(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    pub name: Text,
    pub kind: AnalysisKind,
    pub phase: AnalysisPhase,
    pub message: Text,
    pub started: Option<Time>,
    pub ended: Option<Time>,
    /// Belongs to the update in progress, as opposed to history.
    pub current: bool,
    pub metrics: Vec<AnalysisMetric>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AnalysisMetric {
    pub name: Text,
    /// `prometheus`, `web`, `job`, …
    pub provider: Text,
    pub phase: AnalysisPhase,
    pub message: Text,
    pub successful: u32,
    pub failed: u32,
    pub inconclusive: u32,
    pub error: u32,
    /// Measurements wanted; `None` is endless.
    pub count: Option<u32>,
    /// `None` is unlimited.
    pub failure_limit: Option<u32>,
    pub dry_run: bool,
    /// The condition as written: `result[0] >= 0.95`.
    pub condition: Text,
    /// The condition as a line on a chart, when it has such a simple form.
    pub threshold: Option<Threshold>,
    /// PromQL with its arguments filled in.
    pub query: Option<Text>,
    pub measurements: Vec<Measurement>,
}

/// `value OP limit` is what the author wants to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    pub op: Text,
    pub limit: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    pub at: Option<Time>,
    pub phase: AnalysisPhase,
    /// As the engine stored it: `[0.98]`.
    pub value: Text,
    pub message: Text,
}

impl Measurement {
    /// The value as a number, when it is one, or a list of one.
    pub fn number(&self) -> Option<f64> {
        self.value.trim_matches(['[', ']', ' ']).parse().ok()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    pub name: Text,
    pub phase: AnalysisPhase,
    pub message: Text,
    /// Name, ready and wanted pods of each template.
    pub templates: Vec<(Text, u32, u32)>,
    pub current: bool,
}
