//! The terminal this screen is on: a bell, or a notification of the desktop it is shown on.

use crate::notify::message::Message;

/// How a terminal is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Bell,
    /// iTerm2, kitty, WezTerm, Windows Terminal, ghostty.
    Osc9,
    /// urxvt, foot, ghostty, WezTerm, VTE.
    Osc777,
}

pub const HOWS: [(&str, How); 3] = [("bell", How::Bell), ("osc9", How::Osc9), ("osc777", How::Osc777)];

impl How {
    pub fn name(self) -> &'static str {
        HOWS.iter().find(|(_, how)| *how == self).map_or("", |(name, _)| name)
    }

    /// The bytes for the terminal. Names from a cluster hold no control characters; what ends a field is taken out.
    pub fn bytes(self, message: &Message) -> String {
        let clean = |text: &str| -> String { text.chars().filter(|c| !c.is_control()).collect() };
        match self {
            Self::Bell => "\x07".into(),
            // A semicolon would begin another field, and some of these draw progress bars.
            Self::Osc9 => format!("\x1b]9;{}\x07", clean(&message.title()).replace(';', ",")),
            Self::Osc777 => {
                let text = message.events.last().map(|e| e.text.to_string()).unwrap_or_default();
                format!("\x1b]777;notify;{};{}\x07", clean(&message.title()).replace(';', ","), clean(&text))
            }
        }
    }
}
