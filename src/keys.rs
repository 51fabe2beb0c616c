//! Terminal events to the reducer's: the only place that knows both notations.

use crossterm::event::{Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEventKind};

use crate::state::{Event, Key};

/// What a terminal event means, if anything.
pub fn translate(input: Input) -> Option<Event> {
    match input {
        Input::Key(key) if key.kind == KeyEventKind::Press => name(&key).map(Event::Key),
        Input::Paste(text) => Some(Event::Paste(text)),
        Input::Resize(columns, rows) => Some(Event::Resize(columns, rows)),
        Input::Mouse(mouse) => match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) => Some(Event::Click { row: mouse.row }),
            MouseEventKind::ScrollDown => Some(Event::Scroll(3)),
            MouseEventKind::ScrollUp => Some(Event::Scroll(-3)),
            _ => None,
        },
        _ => None,
    }
}

fn name(key: &KeyEvent) -> Option<Key> {
    let bare = match key.code {
        KeyCode::Char(' ') => "space".into(),
        KeyCode::Char(c) => c.to_string(),
        KeyCode::F(n) => format!("f{n}"),
        code => named(code)?.to_owned(),
    };
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    let text = match key.code {
        KeyCode::Char(c) if !control && !alt => Some(c),
        _ => None,
    };
    let name = match (control, alt) {
        (true, _) => format!("ctrl-{}", bare.to_lowercase()),
        (_, true) => format!("alt-{bare}"),
        _ => bare,
    };
    Some(Key { name, text })
}

fn named(code: KeyCode) -> Option<&'static str> {
    Some(match code {
        KeyCode::Enter => "enter",
        KeyCode::Esc => "esc",
        KeyCode::Tab => "tab",
        KeyCode::BackTab => "backtab",
        KeyCode::Backspace => "backspace",
        KeyCode::Delete => "delete",
        KeyCode::Insert => "insert",
        KeyCode::Home => "home",
        KeyCode::End => "end",
        KeyCode::PageUp => "pageup",
        KeyCode::PageDown => "pagedown",
        KeyCode::Up => "up",
        KeyCode::Down => "down",
        KeyCode::Left => "left",
        KeyCode::Right => "right",
        _ => return None,
    })
}
