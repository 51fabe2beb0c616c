//! The one table of commands: what can be asked for, by which key, how dangerous it is.
//!
//! Keymap, help, palette and the README's key table are all read from [`COMMANDS`].

use serde::{Deserialize, Serialize};

use crate::model::Text;

/// What a person can ask a cluster to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    Promote,
    PromoteFull,
    Skip,
    Pause,
    Resume,
    Abort,
    Retry,
    Undo,
    Restart,
    SetImage,
    Flip,
    ScaleDown,
    SetWeight,
    Scale,
    Arm,
    Disarm,
    KillFlag,
}

impl Verb {
    pub const ALL: [Self; 17] = [
        Self::Promote,
        Self::PromoteFull,
        Self::Skip,
        Self::Pause,
        Self::Resume,
        Self::Abort,
        Self::Retry,
        Self::Undo,
        Self::Restart,
        Self::SetImage,
        Self::Flip,
        Self::ScaleDown,
        Self::SetWeight,
        Self::Scale,
        Self::Arm,
        Self::Disarm,
        Self::KillFlag,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::PromoteFull => "promote-full",
            Self::Skip => "skip",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Abort => "abort",
            Self::Retry => "retry",
            Self::Undo => "undo",
            Self::Restart => "restart",
            Self::SetImage => "set-image",
            Self::Flip => "flip",
            Self::ScaleDown => "scale-down",
            Self::SetWeight => "set-weight",
            Self::Scale => "scale",
            Self::Arm => "arm",
            Self::Disarm => "disarm",
            Self::KillFlag => "kill-flag",
        }
    }

    /// Whether it takes users away from what fails: nothing that is stale, or takes time, may stand in its way.
    pub fn is_way_out(self) -> bool {
        matches!(self, Self::Abort | Self::KillFlag)
    }

    /// Whether more users may meet the new version: such a step needs fresh evidence.
    /// The way back never does; for a weight it depends on the number.
    pub fn moves_forward(self) -> bool {
        matches!(
            self,
            Self::Promote | Self::PromoteFull | Self::Skip | Self::Resume | Self::Retry | Self::SetImage | Self::Flip | Self::SetWeight
        )
    }
}

/// What a person asks of one rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    Promote,
    PromoteFull,
    Skip,
    Pause,
    Resume,
    Abort,
    Retry,
    /// To the pod template with this hash; `None` is the stable one.
    Undo {
        to: Option<Text>,
    },
    Restart,
    SetImage {
        container: Text,
        image: Text,
    },
    Flip,
    /// The side without users to no pods.
    ScaleDown,
    /// The new side's share of the users, 0 to 100.
    SetWeight {
        percent: u8,
    },
    /// The whole workload to this many pods.
    Scale {
        replicas: u32,
    },
    /// The guard may act on this release once by itself, within so many minutes: abort it, or switch this flag off.
    Arm {
        minutes: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        flag: Option<Text>,
    },
    /// It may no longer.
    Disarm,
    /// A feature flag of the settings is switched off.
    Kill {
        flag: Text,
    },
}

impl Intent {
    pub fn verb(&self) -> Verb {
        match self {
            Self::Promote => Verb::Promote,
            Self::PromoteFull => Verb::PromoteFull,
            Self::Skip => Verb::Skip,
            Self::Pause => Verb::Pause,
            Self::Resume => Verb::Resume,
            Self::Abort => Verb::Abort,
            Self::Retry => Verb::Retry,
            Self::Undo { .. } => Verb::Undo,
            Self::Restart => Verb::Restart,
            Self::SetImage { .. } => Verb::SetImage,
            Self::Flip => Verb::Flip,
            Self::ScaleDown => Verb::ScaleDown,
            Self::SetWeight { .. } => Verb::SetWeight,
            Self::Scale { .. } => Verb::Scale,
            Self::Arm { .. } => Verb::Arm,
            Self::Disarm => Verb::Disarm,
            Self::Kill { .. } => Verb::KillFlag,
        }
    }
}

/// Everything a key or the palette can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    Down,
    Up,
    PageDown,
    PageUp,
    Top,
    Bottom,
    Open,
    Back,
    NextPane,
    PreviousPane,
    Zoom(u8),
    Filter,
    FindNext,
    FindPrevious,
    Palette,
    Help,
    WindowShorter,
    WindowLonger,
    Freeze,
    Copy,
    Diff,
    Timeline,
    Rules,
    Logs,
    Steady,
    Act(Verb),
    PauseOrResume,
    ArmOrDisarm,
    Redraw,
    Suspend,
    Quit,
}

/// How much a command can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Danger {
    /// Touches this screen only.
    None,
    /// Changes the cluster, and can be taken back.
    Reversible,
    /// Changes what users get, at once or without a quick way back.
    Grave,
}

/// Where a command makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Anywhere,
    Fleet,
    Rollout,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub command: Command,
    /// Name in the palette and in `[keys]` of the config.
    pub name: &'static str,
    /// Default keys, in the notation of the config: `ctrl-d`, `space`, `G`.
    pub keys: &'static [&'static str],
    pub help: &'static str,
    pub danger: Danger,
    pub place: Place,
}

const fn row(command: Command, name: &'static str, keys: &'static [&'static str], help: &'static str, place: Place) -> Row {
    Row { command, name, keys, help, danger: Danger::None, place }
}

const fn act(verb: Verb, name: &'static str, keys: &'static [&'static str], help: &'static str, danger: Danger) -> Row {
    Row { command: Command::Act(verb), name, keys, help, danger, place: Place::Anywhere }
}

use Danger::{Grave, Reversible};
use Place::{Anywhere, Fleet, Rollout};

pub const COMMANDS: &[Row] = &[
    row(Command::Down, "down", &["j", "down"], "next row, or scroll the pane", Anywhere),
    row(Command::Up, "up", &["k", "up"], "previous row", Anywhere),
    row(Command::PageDown, "page-down", &["pagedown", "ctrl-d"], "a page down", Anywhere),
    row(Command::PageUp, "page-up", &["pageup", "ctrl-u"], "a page up", Anywhere),
    row(Command::Top, "top", &["g", "home"], "first row", Anywhere),
    row(Command::Bottom, "bottom", &["G", "end"], "last row", Anywhere),
    row(Command::Open, "open", &["enter"], "open the selected rollout", Fleet),
    row(Command::Back, "back", &["esc"], "back, or cancel", Anywhere),
    row(Command::NextPane, "next-pane", &["tab"], "next pane", Rollout),
    row(Command::PreviousPane, "previous-pane", &["backtab"], "previous pane", Rollout),
    row(Command::Zoom(1), "zoom-traffic", &["1"], "traffic on the whole screen", Rollout),
    row(Command::Zoom(2), "zoom-steps", &["2"], "steps on the whole screen", Rollout),
    row(Command::Zoom(3), "zoom-pods", &["3"], "pods on the whole screen", Rollout),
    row(Command::Zoom(4), "zoom-errors", &["4"], "error rate on the whole screen", Rollout),
    row(Command::Zoom(5), "zoom-latency", &["5"], "latency on the whole screen", Rollout),
    row(Command::Zoom(6), "zoom-verdict", &["6"], "verdict on the whole screen", Rollout),
    row(Command::Zoom(7), "zoom-analysis", &["7"], "analysis on the whole screen", Rollout),
    row(Command::Timeline, "timeline", &["t", "8"], "timeline on the whole screen", Rollout),
    row(Command::Rules, "rules", &["v"], "guard rules: value, limit, for how long, and what would happen", Rollout),
    row(Command::Logs, "logs", &["l"], "what the pods of both sides write, as they write it", Rollout),
    row(Command::Zoom(9), "zoom-rate", &["9"], "request rate on the whole screen", Rollout),
    row(Command::Filter, "filter", &["/"], "filter: words, ns: engine: phase: owner:; in the logs: words, !word", Anywhere),
    row(Command::FindNext, "find-next", &["n"], "next match", Fleet),
    row(Command::FindPrevious, "find-previous", &["N"], "previous match", Fleet),
    row(Command::Steady, "steady", &["s"], "show or fold rollouts that stand still", Fleet),
    row(Command::Palette, "palette", &[":"], "every command by name, with why it is off", Anywhere),
    row(Command::Help, "help", &["?"], "the keys that work here", Anywhere),
    row(Command::WindowShorter, "window-shorter", &["["], "shorter time window", Rollout),
    row(Command::WindowLonger, "window-longer", &["]"], "longer time window", Rollout),
    row(Command::Freeze, "freeze", &["z"], "freeze the picture, or let it run again", Anywhere),
    row(Command::Diff, "diff", &["d"], "what differs between the old and the new version", Rollout),
    row(Command::Copy, "copy", &["c"], "copy what is selected (OSC 52)", Anywhere),
    act(Verb::Promote, "promote", &["p"], "promote one step, or end the pause", Reversible),
    act(Verb::PromoteFull, "promote-full", &["P"], "promote all the way: skips steps and analysis", Grave),
    act(Verb::Skip, "skip", &[], "skip the step in progress", Grave),
    row_act(Command::PauseOrResume, "pause", &["space"], "pause, or resume a manual pause", Reversible),
    act(Verb::Abort, "abort", &["a"], "abort: all traffic back to the old version", Reversible),
    row_act(
        Command::ArmOrDisarm,
        "arm",
        &["A"],
        "let the guard abort this release, or switch a flag of it off, once by itself, for a limited time; or no longer",
        Reversible,
    ),
    act(Verb::KillFlag, "kill-flag", &["K"], "switch a feature flag of this rollout off ([[flags]] in the settings)", Reversible),
    act(Verb::Flip, "flip", &["f"], "flip blue-green, or flip back while the old pods live", Grave),
    act(Verb::ScaleDown, "scale-down", &["x"], "scale down the old side of a blue-green: users have left it", Grave),
    act(Verb::SetWeight, "set-weight", &["w"], "set the new side's share of the users, where no controller sets it", Grave),
    act(Verb::Scale, "scale", &[], "scale the workload to a number of pods", Grave),
    act(Verb::Retry, "retry", &["r"], "retry an aborted rollout from its first step", Reversible),
    act(Verb::Undo, "undo", &["u"], "undo: back to the stable version's template", Reversible),
    act(Verb::Restart, "restart", &["R"], "restart all pods, a few at a time", Grave),
    act(Verb::SetImage, "set-image", &["i"], "set a container's image: begins a new rollout", Grave),
    row(Command::Redraw, "redraw", &["ctrl-l"], "draw the whole screen anew", Anywhere),
    row(Command::Suspend, "suspend", &["ctrl-z"], "put rolltop in the background", Anywhere),
    row(Command::Quit, "quit", &["q", "ctrl-c"], "quit", Anywhere),
];

const fn row_act(command: Command, name: &'static str, keys: &'static [&'static str], help: &'static str, danger: Danger) -> Row {
    Row { command, name, keys, help, danger, place: Place::Anywhere }
}

/// The row of a command.
pub fn describe(command: Command) -> Option<&'static Row> {
    COMMANDS.iter().find(|r| r.command == command)
}

/// Rows of the palette for what was typed so far.
pub fn palette_rows(input: &str) -> Vec<&'static Row> {
    let words: Vec<String> = input.to_lowercase().split_whitespace().map(str::to_owned).collect();
    let hit = |row: &Row, word: &String| row.name.contains(word.as_str()) || row.help.to_lowercase().contains(word.as_str());
    let mut rows: Vec<&Row> = COMMANDS.iter().filter(|row| words.iter().all(|w| hit(row, w))).collect();
    let first = words.first().cloned().unwrap_or_default();
    // `scale` means scale, not scale-down.
    rows.sort_by_key(|row| (row.name != first, !row.name.starts_with(&first)));
    rows
}

/// A key as people read it.
pub fn shown(key: &str) -> String {
    match key {
        "space" => "Space".into(),
        "enter" => "Enter".into(),
        "esc" => "Esc".into(),
        "tab" => "Tab".into(),
        "backtab" => "Shift-Tab".into(),
        "down" => "↓".into(),
        "up" => "↑".into(),
        "pagedown" => "PgDn".into(),
        "pageup" => "PgUp".into(),
        "home" => "Home".into(),
        "end" => "End".into(),
        key => key.strip_prefix("ctrl-").map_or_else(|| key.into(), |c| format!("Ctrl-{}", c.to_uppercase())),
    }
}

/// The README's key table.
pub fn markdown() -> String {
    let mut out = String::from("| key | command | does |\n|---|---|---|\n");
    for row in COMMANDS {
        let keys: Vec<String> = row.keys.iter().map(|k| format!("`{}`", shown(k))).collect();
        let keys = if keys.is_empty() { "palette".into() } else { keys.join(" ") };
        out.push_str(&format!("| {keys} | {} | {} |\n", row.name, row.help));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_key_and_no_name_stands_twice() {
        let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for row in COMMANDS {
            assert!(names.insert(row.name), "{} is listed twice", row.name);
            for key in row.keys {
                assert!(keys.insert(key), "key {key} is bound twice");
            }
        }
    }

    #[test]
    fn every_verb_can_be_reached() {
        for verb in Verb::ALL {
            let by_toggle = matches!(verb, Verb::Pause | Verb::Resume | Verb::Arm | Verb::Disarm);
            assert!(by_toggle || describe(Command::Act(verb)).is_some(), "{verb:?} has no row");
        }
    }

    #[test]
    fn no_key_that_starts_an_action_also_confirms_it() {
        for row in COMMANDS.iter().filter(|r| r.danger > Danger::None) {
            for key in row.keys {
                assert!(!["y", "o", "enter"].contains(key), "{} starts with a confirming key", row.name);
            }
        }
    }
}
