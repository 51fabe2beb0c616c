//! Colours by meaning. No meaning is told by a hue alone: a sign, a word or a weight goes with each.

use ratatui::style::{Color, Modifier, Style};

use crate::settings::{Colours, Look};

/// The styles of one session, by what they mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ink {
    pub plain: Style,
    pub dim: Style,
    pub strong: Style,
    pub good: Style,
    pub warn: Style,
    pub bad: Style,
    /// The version being released.
    pub new: Style,
    /// The version users fall back to.
    pub old: Style,
    pub key: Style,
    pub border: Style,
    /// Border of the pane that takes the keys.
    pub focus: Style,
    /// Selection: reverse video, which every terminal and `NO_COLOR` keep.
    pub select: Style,
    /// A line nobody may overlook.
    pub loud: Style,
}

/// Hues of one theme; 16-colour name and true colour of each.
struct Hues {
    name: &'static str,
    good: (Color, Color),
    warn: (Color, Color),
    bad: (Color, Color),
    new: (Color, Color),
    key: (Color, Color),
    /// Bold instead of colour alone, no faint text.
    heavy: bool,
}

/// Blue, orange and vermillion after Okabe and Ito: told apart with any colour vision.
const THEMES: &[Hues] = &[
    Hues {
        name: "default",
        good: (Color::Cyan, Color::Rgb(86, 180, 233)),
        warn: (Color::Yellow, Color::Rgb(230, 159, 0)),
        bad: (Color::LightRed, Color::Rgb(235, 110, 30)),
        new: (Color::LightMagenta, Color::Rgb(204, 121, 167)),
        key: (Color::Cyan, Color::Rgb(86, 180, 233)),
        heavy: false,
    },
    Hues {
        name: "high-contrast",
        good: (Color::LightCyan, Color::Rgb(0, 255, 255)),
        warn: (Color::LightYellow, Color::Rgb(255, 215, 0)),
        bad: (Color::LightRed, Color::Rgb(255, 120, 80)),
        new: (Color::LightMagenta, Color::Rgb(255, 150, 255)),
        key: (Color::LightCyan, Color::Rgb(0, 255, 255)),
        heavy: true,
    },
];

/// Names that `theme` in the config may have.
pub const NAMES: [&str; 3] = ["default", "high-contrast", "mono"];

impl Ink {
    pub fn new(look: &Look) -> Self {
        let hues = THEMES.iter().find(|t| t.name == look.theme).or(THEMES.first());
        match (look.colours, hues) {
            (Colours::None, _) | (_, None) => Self::mono(),
            _ if look.theme == "mono" => Self::mono(),
            (depth, Some(hues)) => Self::coloured(hues, depth == Colours::True),
        }
    }

    fn mono() -> Self {
        let plain = Style::new();
        let bold = plain.add_modifier(Modifier::BOLD);
        let dim = plain.add_modifier(Modifier::DIM);
        Self {
            plain,
            dim,
            strong: bold,
            good: plain,
            warn: bold,
            bad: bold,
            new: bold,
            old: plain,
            key: bold,
            border: dim,
            focus: bold,
            select: plain.add_modifier(Modifier::REVERSED),
            loud: bold.add_modifier(Modifier::REVERSED),
        }
    }

    fn coloured(hues: &Hues, full: bool) -> Self {
        let mono = Self::mono();
        let weight = if hues.heavy { Modifier::BOLD } else { Modifier::empty() };
        let paint = |(sixteen, rgb): (Color, Color)| Style::new().fg(if full { rgb } else { sixteen }).add_modifier(weight);
        let quiet = if hues.heavy { Style::new() } else { mono.dim };
        Self {
            dim: quiet,
            border: quiet,
            good: paint(hues.good),
            warn: paint(hues.warn),
            bad: paint(hues.bad).add_modifier(Modifier::BOLD),
            new: paint(hues.new).add_modifier(Modifier::BOLD),
            key: paint(hues.key),
            focus: paint(hues.key).add_modifier(Modifier::BOLD),
            loud: paint(hues.bad).add_modifier(Modifier::BOLD | Modifier::REVERSED),
            ..mono
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_theme_and_every_theme_has_a_name() {
        assert!(THEMES.iter().map(|t| t.name).chain(["mono"]).eq(NAMES));
    }

    #[test]
    fn selection_and_alarm_are_reverse_video_in_every_theme() {
        for theme in NAMES {
            for colours in [Colours::None, Colours::Sixteen, Colours::True] {
                let ink = Ink::new(&Look { theme: theme.into(), colours, ..Look::default() });
                assert!(ink.select.add_modifier.contains(Modifier::REVERSED) && ink.loud.add_modifier.contains(Modifier::REVERSED));
            }
        }
    }
}
