//! Keys to commands, commands to changes.

use super::{Effect, Key, Overlay, Pane, Screen, State, WINDOWS, action, available, ingest, view};
use crate::{
    engine::{self, gitops},
    intent::{COMMANDS, Command, Verb, palette_rows},
    model::{Text, Time},
};

/// `selected` of a typed prompt whose text nobody has touched yet.
pub const FILLED_IN: usize = 1;

pub fn key(state: &mut State, key: &Key, now: Time, effects: &mut Vec<Effect>) {
    if key.name == "ctrl-c" || key.name == "ctrl-z" || key.name == "ctrl-l" {
        return lookup(state, key, now, effects);
    }
    if state.card.as_ref().is_some_and(super::Card::asks) {
        return action::key(state, &key.name, key.text, now, effects);
    }
    match state.view.overlay.take() {
        Some(overlay) => return overlay_key(state, overlay, key, now, effects),
        None if state.view.filtering => return filter_key(state, key),
        None => {}
    }
    lookup(state, key, now, effects);
}

fn lookup(state: &mut State, key: &Key, now: Time, effects: &mut Vec<Effect>) {
    let Some(command) = state.keys.get(&key.name).copied() else { return };
    // The windows are of the charts beside a fleet as well.
    let anywhere = matches!(command, Command::WindowShorter | Command::WindowLonger);
    match available::place(state, command) {
        Err(why) if state.view.screen == Screen::Fleet && !anywhere => state.note = Some((now, why)),
        _ => run(state, command, now, effects),
    }
}

/// Text fields take a paste, whole and on one line; nothing else does.
pub fn paste(state: &mut State, text: &str) {
    let clean = Text::clean(text);
    match &mut state.view.overlay {
        Some(Overlay::Palette { input, .. }) => input.push_str(&clean),
        Some(Overlay::Prompt(prompt)) if prompt.choices.is_empty() => {
            if std::mem::take(&mut prompt.selected) == FILLED_IN {
                prompt.input.clear();
            }
            prompt.input.push_str(&clean);
        }
        None if state.view.filtering && state.card.is_none() => {
            state.view.filter_text().push_str(&clean);
            state.view.scroll = 0;
            state.unsorted = true;
        }
        _ => {}
    }
}

/// Selects the clicked row of the fleet.
pub fn click(state: &mut State, row: u16) {
    let free = state.card.is_none() && state.view.overlay.is_none() && state.view.screen == Screen::Fleet;
    let first = crate::ui::first_fleet_row(state);
    if let Some(line) = usize::from(row).checked_sub(usize::from(first)).filter(|_| free) {
        select(state, state.view.offset + line);
    }
}

pub fn scroll(state: &mut State, lines: i8) {
    if state.card.is_some() {
        return;
    }
    let by = usize::from(lines.unsigned_abs());
    move_by(state, by, lines > 0);
}

/// The dispatcher: what each command changes.
pub fn run(state: &mut State, command: Command, now: Time, effects: &mut Vec<Effect>) {
    let page = crate::ui::fleet_rows(state).max(1);
    match command {
        Command::Down => move_by(state, 1, true),
        Command::Up => move_by(state, 1, false),
        Command::PageDown => move_by(state, page, true),
        Command::PageUp => move_by(state, page, false),
        Command::Top => move_by(state, usize::MAX / 2, false),
        Command::Bottom => move_by(state, usize::MAX / 2, true),
        Command::Open => open_selected(state, now, effects),
        Command::Back => back(state, now, effects),
        Command::NextPane => next_pane(state, 1),
        Command::PreviousPane => next_pane(state, Pane::ORDER.len() - 1),
        Command::Zoom(n) => zoom(state, Pane::number(n), effects),
        Command::Timeline => zoom(state, Some(Pane::Timeline), effects),
        Command::Rules => zoom(state, Some(Pane::Rules), effects),
        Command::Logs => zoom(state, Some(Pane::Logs), effects),
        Command::Diff => diff(state, effects),
        Command::Filter => filter(state),
        Command::FindNext => move_by(state, 1, true),
        Command::FindPrevious => move_by(state, 1, false),
        Command::Steady => {
            state.view.steady = !state.view.steady;
            state.unsorted = true;
        }
        Command::Palette => state.view.overlay = Some(Overlay::Palette { input: String::new(), selected: 0 }),
        Command::Help => state.view.overlay = Some(Overlay::Help { scroll: 0 }),
        Command::WindowShorter => window(state, false, effects),
        Command::WindowLonger => window(state, true, effects),
        Command::Freeze => freeze(state, now),
        Command::Copy => copy(state, now, effects),
        Command::Act(verb) => action::begin(state, verb, now, effects),
        Command::PauseOrResume => {
            let verb = state.subject().map_or(Verb::Pause, |known| available::pause_or_resume(state, known, now));
            action::begin(state, verb, now, effects);
        }
        Command::ArmOrDisarm => {
            let verb = state.subject().map_or(Verb::Arm, |known| available::arm_or_disarm(state, known));
            action::begin(state, verb, now, effects);
        }
        Command::Redraw => effects.push(Effect::Redraw),
        // It acts only while this runs.
        Command::Suspend if !state.arms.is_empty() => {
            state.note = Some((now, "the guard is armed: disarm it first, or quit with q".into()))
        }
        Command::Suspend => effects.push(Effect::Suspend),
        Command::Quit => quit(state, effects),
    }
}

fn quit(state: &mut State, effects: &mut Vec<Effect>) {
    let flying = state.card.as_ref().is_some_and(super::Card::in_flight) || !state.arms.is_empty();
    match (flying, &state.view.overlay) {
        (true, None) => state.view.overlay = Some(Overlay::QuitAnyway),
        _ => effects.push(Effect::Quit),
    }
}

fn select(state: &mut State, row: usize) {
    let row = row.min(state.order.len().saturating_sub(1));
    state.view.selected = row;
    state.view.selected_uid = state.order.get(row).cloned();
}

fn move_by(state: &mut State, by: usize, down: bool) {
    // Where the row went, the one below has come up into its place.
    let by = if down && state.view.screen == Screen::Fleet && state.lost_selection() { by - 1 } else { by };
    // Logs are read from their end.
    let onward = down != state.view.reads_logs();
    let step = |from: usize| if onward { from.saturating_add(by) } else { from.saturating_sub(by) };
    match state.view.screen {
        Screen::Fleet => select(state, step(state.view.selected)),
        Screen::Rollout(_) => state.view.scroll = step(state.view.scroll).min(crate::ui::scroll_limit(state)),
    }
}

fn open_selected(state: &mut State, now: Time, effects: &mut Vec<Effect>) {
    if state.view.screen != Screen::Fleet {
        return;
    }
    match state.subject().map(|known| Text::from(&*known.rollout.id.uid)) {
        Some(uid) => open(state, &uid, now, effects),
        None => state.note = Some((now, nobody(state))),
    }
}

/// Why the keys have nobody to act on.
pub fn nobody(state: &State) -> Text {
    match state.lost_selection() {
        true => "the selected rollout is gone, nothing was done: choose a row first".into(),
        false => "no rollout is selected".into(),
    }
}

/// Opens a rollout's screen and begins to watch what belongs to it.
pub fn open(state: &mut State, uid: &str, now: Time, effects: &mut Vec<Effect>) {
    let Some(engine) = state.rollouts.get(uid).and_then(|k| engine::of(k.rollout.engine)) else { return };
    let Some(root) = engine::root(engine, &state.objects, uid) else { return };
    state.epoch += 1;
    state.pod_logs = Default::default();
    state.view.log_filter.clear();
    let owner = state.rollouts.get(uid).and_then(|known| known.rollout.owner.as_ref());
    let selections = engine.selections(root, &state.objects).into_iter().chain(owner.map(gitops::selections).unwrap_or_default()).collect();
    effects.push(Effect::Watch { epoch: state.epoch, selections });
    state.view.screen = Screen::Rollout(uid.into());
    state.view.selected_uid = Some(uid.into());
    state.unsorted = true;
    state.view.pane = None;
    state.view.zoom = None;
    state.view.scroll = 0;
    state.view.pending = None;
    state.note = None;
    ingest::recall(state, uid);
    effects.push(Effect::Focus);
    ingest::remodel(state, engine, uid, now, effects);
}

/// One level up: card, frozen picture, zoom, filter, screen; the hint last.
fn back(state: &mut State, now: Time, effects: &mut Vec<Effect>) {
    if let Some(card) = state.card.as_mut().filter(|c| c.in_flight() && !c.folded) {
        card.folded = true;
    } else if state.card.as_ref().is_some_and(|c| !c.in_flight()) {
        if let Some(card) = state.card.take() {
            action::retire(state, &card, now);
        }
    } else if state.frozen.is_some() {
        thaw(state);
    } else if state.view.reads_logs() && !state.view.log_filter.is_empty() {
        state.view.log_filter.clear();
        state.view.scroll = 0;
    } else if state.view.zoom.is_some() {
        state.view.zoom = None;
        state.view.scroll = 0;
    } else if matches!(state.view.screen, Screen::Rollout(_)) {
        close(state, effects);
    } else if !state.view.filter.is_empty() {
        state.view.filter.text.clear();
        state.unsorted = true;
    } else {
        state.hint = None;
    }
}

fn close(state: &mut State, effects: &mut Vec<Effect>) {
    let Screen::Rollout(uid) = std::mem::take(&mut state.view.screen) else { return };
    state.epoch += 1;
    state.pod_logs = Default::default();
    state.view.log_filter.clear();
    effects.push(Effect::Unwatch);
    effects.push(Effect::Focus);
    ingest::forget_detail(state);
    ingest::put_away(state, &uid);
    state.view.pending = None;
    state.note = None;
    if state.rollouts.get(&uid).is_some_and(|k| k.deleted.is_some()) {
        state.rollouts.remove(&uid);
    } else if let Some(engine) = state.rollouts.get(&uid).and_then(|k| engine::of(k.rollout.engine)) {
        ingest::remodel(state, engine, &uid, Time::default(), effects);
    }
    state.links.entry(crate::model::Source::Detail).state = Default::default();
    state.links.entry(crate::model::Source::Events).state = Default::default();
    state.unsorted = true;
}

fn next_pane(state: &mut State, by: usize) {
    let at = state.view.pane.and_then(|p| Pane::ORDER.iter().position(|o| *o == p));
    let next = at.map_or(if by == 1 { 0 } else { by }, |i| (i + by) % Pane::ORDER.len());
    state.view.pane = Pane::ORDER.get(next).copied();
    state.view.scroll = 0;
    if state.view.zoom.is_some() {
        state.view.zoom = state.view.pane;
    }
}

fn zoom(state: &mut State, pane: Option<Pane>, effects: &mut Vec<Effect>) {
    if !matches!(state.view.screen, Screen::Rollout(_)) {
        return;
    }
    state.view.zoom = if state.view.zoom == pane { None } else { pane };
    state.view.pane = pane.or(state.view.pane);
    state.view.scroll = 0;
    effects.push(Effect::Focus);
}

fn diff(state: &mut State, effects: &mut Vec<Effect>) {
    let made = state.open().and_then(|known| {
        let engine = engine::of(known.rollout.engine)?;
        let root = engine::root(engine, &state.objects, &known.rollout.id.uid)?;
        Some(engine.diff(&known.rollout, root, &state.objects))
    });
    if let Some(made) = made {
        state.view.diff = made;
        zoom(state, Some(Pane::Diff), effects);
    }
}

fn filter(state: &mut State) {
    if state.view.screen == Screen::Fleet || state.view.reads_logs() {
        state.view.filtering = true;
    }
}

fn filter_key(state: &mut State, key: &Key) {
    match key.name.as_str() {
        "enter" => {
            state.view.filtering = false;
            keep_selected(state);
        }
        "esc" => {
            // The row that was found stays selected when the others come back.
            keep_selected(state);
            state.view.filtering = false;
            state.view.filter_text().clear();
        }
        "down" => move_by(state, 1, true),
        "up" => move_by(state, 1, false),
        _ => {
            edit(state.view.filter_text(), key);
            if state.view.reads_logs() {
                state.view.scroll = 0;
            }
        }
    }
    state.unsorted = true;
}

fn keep_selected(state: &mut State) {
    if state.view.screen == Screen::Fleet {
        select(state, state.view.selected);
    }
}

/// One-line editing: what is typed, backspace, ctrl-w, ctrl-u.
fn edit(text: &mut String, key: &Key) {
    match (key.name.as_str(), key.text) {
        ("backspace", _) => {
            text.pop();
        }
        ("ctrl-u", _) => text.clear(),
        ("ctrl-w", _) => {
            let kept = text.trim_end().rfind(' ').map_or(0, |i| i + 1);
            text.truncate(kept);
        }
        (_, Some(c)) if !c.is_control() => text.push(c),
        _ => {}
    }
}

fn window(state: &mut State, longer: bool, effects: &mut Vec<Effect>) {
    let last = WINDOWS.len() - 1;
    state.view.window = if longer { (state.view.window + 1).min(last) } else { state.view.window.saturating_sub(1) };
    effects.push(Effect::Focus);
}

fn freeze(state: &mut State, now: Time) {
    if state.frozen.is_some() {
        return thaw(state);
    }
    let mut picture = state.clone();
    picture.frozen = None;
    state.frozen = Some(Box::new(picture));
    state.frozen_at = Some(now);
}

fn thaw(state: &mut State) {
    state.frozen = None;
    state.frozen_at = None;
}

fn copy(state: &mut State, now: Time, effects: &mut Vec<Effect>) {
    if let Some(path) = state.subject().map(|k| k.rollout.id.path()) {
        state.note = Some((now, format!("copied: {path}").into()));
        effects.push(Effect::Copy(path.into()));
    }
}

fn overlay_key(state: &mut State, overlay: Overlay, key: &Key, now: Time, effects: &mut Vec<Effect>) {
    if key.name == "esc" {
        return;
    }
    match overlay {
        Overlay::Help { scroll } => help_key(state, scroll, key),
        Overlay::Palette { input, selected } => palette_key(state, input, selected, key, now, effects),
        Overlay::Prompt(prompt) => prompt_key(state, prompt, key, now, effects),
        Overlay::QuitAnyway => match key.name.as_str() {
            "y" => effects.push(Effect::Quit),
            "n" | "q" => {}
            _ => state.view.overlay = Some(Overlay::QuitAnyway),
        },
    }
}

fn help_key(state: &mut State, scroll: usize, key: &Key) {
    let scroll = match key.name.as_str() {
        "j" | "down" => scroll + 1,
        "k" | "up" => scroll.saturating_sub(1),
        "pagedown" | "ctrl-d" | "space" => scroll + 10,
        "pageup" | "ctrl-u" => scroll.saturating_sub(10),
        "g" | "home" => 0,
        "G" | "end" => COMMANDS.len(),
        "?" | "q" => return,
        _ => scroll,
    };
    state.view.overlay = Some(Overlay::Help { scroll: scroll.min(COMMANDS.len()) });
}

fn palette_key(state: &mut State, mut input: String, selected: usize, key: &Key, now: Time, effects: &mut Vec<Effect>) {
    let rows = palette_rows(&input);
    let mut selected = selected;
    match key.name.as_str() {
        "enter" => {
            if let Some(row) = rows.get(selected) {
                match available::availability(state, row.command, now) {
                    Ok(()) => run(state, row.command, now, effects),
                    Err(why) => state.note = Some((now, format!("{}: {why}", row.name).into())),
                }
            }
            return;
        }
        "down" | "tab" => selected = (selected + 1).min(rows.len().saturating_sub(1)),
        "up" => selected = selected.saturating_sub(1),
        _ => {
            edit(&mut input, key);
            selected = 0;
        }
    }
    state.view.overlay = Some(Overlay::Palette { input, selected });
}

fn prompt_key(state: &mut State, mut prompt: view::Prompt, key: &Key, now: Time, effects: &mut Vec<Effect>) {
    let choosing = !prompt.choices.is_empty();
    match key.name.as_str() {
        "enter" => return action::answered(state, prompt, now, effects),
        "down" if choosing => prompt.selected = (prompt.selected + 1).min(prompt.choices.len() - 1),
        "up" if choosing => prompt.selected = prompt.selected.saturating_sub(1),
        "j" if choosing => prompt.selected = (prompt.selected + 1).min(prompt.choices.len() - 1),
        "k" if choosing => prompt.selected = prompt.selected.saturating_sub(1),
        _ if !choosing => {
            // As in a browser's address bar: what is typed replaces what was filled in, an editing key keeps it.
            if std::mem::take(&mut prompt.selected) == FILLED_IN && key.text.is_some() {
                prompt.input.clear();
            }
            edit(&mut prompt.input, key);
        }
        _ => {}
    }
    state.view.overlay = Some(Overlay::Prompt(prompt));
}
