//! The bottom line: keys that do something here, or what was just said.

use std::time::Duration;

use super::{Ctx, card, line, line::Writer};
use crate::{
    engine::{self, flag},
    intent::{Command, Place, Verb, describe, shown},
    model::{Phase, Rollout, StepKind, Strategy, WaitFor},
    state::{Known, Mode, Screen, available::OFFERED},
};

/// How long a note stays.
const NOTE: Duration = Duration::from_secs(10);

/// Whether a key is worth its place for this rollout; `?` and `:` say why others are off.
type When = fn(&Rollout) -> bool;

/// Keys of the bottom line in the order in which they are given room.
const KEYS: &[(Command, &str, When)] = &[
    (Command::Open, "open", |_| true),
    (Command::Act(Verb::Promote), "promote", waits_for_promotion),
    (Command::Act(Verb::PromoteFull), "all the way", moves),
    (Command::PauseOrResume, "pause", moves),
    (Command::Act(Verb::Abort), "abort", moves),
    (Command::Act(Verb::KillFlag), "kill flag", moves),
    (Command::Act(Verb::Flip), "flip", |r| r.strategy == Strategy::BlueGreen),
    (Command::Act(Verb::SetWeight), "weight", Rollout::in_flight),
    (Command::Act(Verb::ScaleDown), "scale down old", |r| r.strategy == Strategy::BlueGreen && !r.in_flight()),
    (Command::Act(Verb::Retry), "retry", |r| r.phase == Phase::Aborted),
    (Command::Act(Verb::Undo), "undo", |_| true),
    (Command::Back, "back", |_| true),
    (Command::Filter, "filter", |_| true),
    (Command::Help, "help", |_| true),
    (Command::Quit, "quit", |_| true),
    (Command::Palette, "command", |_| true),
    (Command::Logs, "logs", |_| true),
    (Command::Diff, "diff", |_| true),
    (Command::Timeline, "timeline", |_| true),
    (Command::NextPane, "pane", |_| true),
    (Command::Freeze, "freeze", |_| true),
    (Command::Steady, "steady", |_| true),
];

/// Places on the line: acts first, then moving about, the way out at the end.
const ORDER: &[Command] = &[Command::Filter, Command::Palette, Command::Help, Command::Back, Command::Quit];

fn moves(r: &Rollout) -> bool {
    r.in_flight() && r.phase != Phase::Aborted
}

/// Whether a pause stands in the way that a promotion would end.
fn waits_for_promotion(r: &Rollout) -> bool {
    moves(r) && r.wait.as_ref().is_some_and(|w| matches!(w.who, WaitFor::Human | WaitFor::Timer))
}

pub fn line(ctx: &Ctx<'_>, width: usize) -> line::Words {
    if let Some(said) = card::folded(ctx) {
        return line::fit(said, width);
    }
    if let Some((_, text)) = ctx.note.filter(|(at, _)| !ctx.live.older(*at, NOTE)) {
        return line::fit(line::words(format!(" {text}"), ctx.ink.strong), width);
    }
    let mut chosen: Vec<(Command, line::Words)> = Vec::new();
    let mut left = width.saturating_sub(1);
    for (command, label, when) in KEYS {
        let fits_here = here(ctx, *command)
            && ctx.subject().map_or(!acts(*command), |k| {
                when(&k.rollout) && can(ctx, &k.rollout, *command) && offered(k, *command) && !(acts(*command) && k.deleted.is_some())
            });
        let Some(item) = sign(ctx, *command).filter(|_| fits_here).map(|key| item(ctx, &key, &label_of(ctx, *command, label))) else {
            continue;
        };
        if item.width() + 2 <= left {
            left -= item.width() + 2;
            chosen.push((*command, item));
        }
    }
    chosen.sort_by_key(|(command, _)| ORDER.iter().position(|o| o == command).map_or(0, |i| i + 1));
    chosen.into_iter().fold(Writer::new(), |out, (_, item)| out.put(" ", ctx.ink.plain).append(item).put(" ", ctx.ink.plain)).line()
}

fn item(ctx: &Ctx<'_>, key: &str, label: &str) -> line::Words {
    Writer::new().put(key, ctx.ink.key).put(format!(" {label}"), ctx.ink.plain).line()
}

/// Whether what drives it can do such a thing at all, or the settings have a flag for it.
fn can(ctx: &Ctx<'_>, rollout: &Rollout, command: Command) -> bool {
    let can = |verb: Verb| engine::of(rollout.engine).is_some_and(|engine| engine.descriptor().verbs.contains(&verb));
    match command {
        Command::Act(Verb::KillFlag) => flag::of(&ctx.state.settings.flags, rollout).next().is_some(),
        Command::Act(verb) => can(verb),
        Command::PauseOrResume => can(Verb::Pause) || can(Verb::Resume),
        _ => true,
    }
}

/// Whether it would not be refused, as far as that was asked.
fn offered(known: &Known, command: Command) -> bool {
    let can = |verb: Verb| !OFFERED.contains(&verb) || known.offers.as_ref().is_none_or(|offers| offers.contains(&verb));
    match command {
        Command::Act(verb) => can(verb),
        Command::PauseOrResume => can(Verb::Pause) || can(Verb::Resume),
        _ => true,
    }
}

fn acts(command: Command) -> bool {
    matches!(command, Command::Act(_) | Command::PauseOrResume)
}

fn here(ctx: &Ctx<'_>, command: Command) -> bool {
    let open = matches!(ctx.view.screen, Screen::Rollout(_));
    let place = match describe(command).map(|r| r.place) {
        Some(Place::Fleet) => !open,
        Some(Place::Rollout) => open,
        Some(Place::Anywhere) => true,
        None => false,
    };
    let can = !acts(command) || (ctx.state.mode == Mode::Interactive && !ctx.frozen());
    // Esc has nowhere to go from a fleet without a filter, nor Enter from an empty one.
    let leads_somewhere = match command {
        Command::Back => open || !ctx.view.filter.is_empty(),
        Command::Open => ctx.selected().is_some(),
        Command::Filter => !open || ctx.view.reads_logs(),
        _ => true,
    };
    place && can && leads_somewhere
}

/// Promote says what it would lead to, where the steps tell.
fn label_of(ctx: &Ctx<'_>, command: Command, label: &str) -> String {
    let next = ctx.open().filter(|_| command == Command::Act(Verb::Promote)).and_then(|k| next_weight(&k.rollout));
    match next {
        Some(weight) => format!("{label} → {}", super::format::share(weight)),
        None => label.into(),
    }
}

/// The weight of the next step that sets one.
pub fn next_weight(rollout: &Rollout) -> Option<f64> {
    let from = rollout.steps.current?;
    rollout.steps.items.get(from + 1..)?.iter().find_map(|s| match s.kind {
        StepKind::SetWeight(w) => Some(w),
        _ => None,
    })
}

/// The key of a command as configured; nothing when it has none.
fn bound(ctx: &Ctx<'_>, command: Command) -> Option<String> {
    let defaults = describe(command)?.keys;
    let default = defaults.iter().find(|key| ctx.state.keys.get(**key) == Some(&command));
    match default {
        Some(key) => Some((*key).to_owned()),
        None => ctx.state.keys.iter().find(|(_, c)| **c == command).map(|(key, _)| key.clone()),
    }
}

/// The key as help writes it.
pub fn key_of(ctx: &Ctx<'_>, command: Command) -> Option<String> {
    bound(ctx, command).map(|key| shown(&key))
}

/// All keys of a command, the default first.
pub fn keys_of(ctx: &Ctx<'_>, command: Command) -> String {
    let mut keys: Vec<&str> = ctx.state.keys.iter().filter(|(_, c)| **c == command).map(|(key, _)| key.as_str()).collect();
    let defaults = describe(command).map_or(&[][..], |r| r.keys);
    keys.sort_by_key(|key| defaults.iter().position(|d| d == key).unwrap_or(usize::MAX));
    keys.into_iter().map(shown).collect::<Vec<_>>().join(" ")
}

/// The key in the short sign of the bottom line.
fn sign(ctx: &Ctx<'_>, command: Command) -> Option<String> {
    let key = bound(ctx, command)?;
    Some(match key.as_str() {
        "enter" if !ctx.state.settings.look.ascii => "⏎".into(),
        "space" if !ctx.state.settings.look.ascii => "␣".into(),
        key => shown(key),
    })
}
