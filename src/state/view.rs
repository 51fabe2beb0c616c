//! Where the reader is: screen, selection, panes, overlays.

use std::time::Duration;

use super::Filter;
use crate::model::Text;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Screen {
    #[default]
    Fleet,
    /// The open rollout's uid.
    Rollout(Text),
}

/// Panes of the rollout screen; the number is the key that zooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pane {
    Traffic,
    Steps,
    Pods,
    Errors,
    Latency,
    Verdict,
    Analysis,
    Timeline,
    Rate,
    Diff,
    Rules,
    Logs,
}

impl Pane {
    pub const ORDER: [Self; 9] =
        [Self::Traffic, Self::Steps, Self::Pods, Self::Errors, Self::Latency, Self::Verdict, Self::Analysis, Self::Timeline, Self::Rate];

    pub fn number(n: u8) -> Option<Self> {
        Self::ORDER.get(usize::from(n).checked_sub(1)?).copied()
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Traffic => "Traffic",
            Self::Steps => "Steps",
            Self::Pods => "Pods",
            Self::Errors => "Error rate",
            Self::Latency => "Latency",
            Self::Verdict => "Verdict",
            Self::Analysis => "Analysis",
            Self::Timeline => "Timeline",
            Self::Rate => "Request rate",
            Self::Diff => "Diff old → new",
            Self::Rules => "Rules",
            Self::Logs => "Logs",
        }
    }
}

/// What lies over the screen and takes the keys.
#[derive(Debug, Clone, PartialEq)]
pub enum Overlay {
    Help {
        scroll: usize,
    },
    Palette {
        input: String,
        selected: usize,
    },
    Prompt(Prompt),
    /// Asked only while an action is in flight, or the guard is armed.
    QuitAnyway,
}

/// A question with a typed or chosen answer, before a card can be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    pub kind: PromptKind,
    pub input: String,
    pub selected: usize,
    /// What can be chosen: shown text and value.
    pub choices: Vec<(Text, Text)>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum PromptKind {
    /// Which revision to go back to; values are hashes.
    Undo,
    /// Which container; values are container names.
    Container,
    /// Which image for this container: typed.
    Image { container: Text },
    /// Which share for the new side, percent: typed.
    Weight,
    /// How many pods: typed.
    Replicas,
    /// What the guard may do once it is armed; values are names of flags, or nothing for the abort.
    Deed,
    /// For how many minutes it may: typed.
    Minutes { flag: Option<Text> },
    /// Which feature flag; values are names.
    Flag,
}

/// Time windows of the charts. The last is "since the rollout started".
pub const WINDOWS: [Option<Duration>; 6] = [
    Some(Duration::from_secs(300)),
    Some(Duration::from_secs(900)),
    Some(Duration::from_secs(3600)),
    Some(Duration::from_secs(3 * 3600)),
    Some(Duration::from_secs(6 * 3600)),
    None,
];

#[derive(Debug, Clone, PartialEq, Default)]
pub struct View {
    pub screen: Screen,
    /// Row of the fleet.
    pub selected: usize,
    /// The rollout of that row: the selection stays on it when rows move. `None` until a person has moved it, or acted.
    pub selected_uid: Option<Text>,
    /// First row drawn; the view keeps the selection inside.
    pub offset: usize,
    pub filter: Filter,
    /// Typing goes into the filter of what is shown: the fleet, or the logs.
    pub filtering: bool,
    /// Words that lines of the logs must hold.
    pub log_filter: String,
    /// Show rollouts that stand still.
    pub steady: bool,
    pub pane: Option<Pane>,
    /// One pane on the whole screen.
    pub zoom: Option<Pane>,
    /// Lines scrolled in the focused or zoomed pane; in the logs, how far back from the newest.
    pub scroll: usize,
    /// Index into [`WINDOWS`].
    pub window: usize,
    pub overlay: Option<Overlay>,
    /// Last known size, columns and rows.
    pub size: (u16, u16),
    /// The rollout a prompt asks about, by uid.
    pub asked_about: Option<Text>,
    /// A verb that waits for the open rollout's details.
    pub pending: Option<crate::intent::Verb>,
    /// What differs between the two sides, made when the pane is opened.
    pub diff: Vec<crate::engine::Change>,
}

impl View {
    /// The filter of what is shown.
    pub fn filter_text(&mut self) -> &mut String {
        if self.reads_logs() { &mut self.log_filter } else { &mut self.filter.text }
    }

    pub fn reads_logs(&self) -> bool {
        self.zoom == Some(Pane::Logs) && self.screen != Screen::Fleet
    }
}
