//! Every sign on the screen that is not ASCII, with what stands for it where the locale is not UTF-8.
//!
//! Views draw the left column. In ASCII mode a last pass over the picture puts the right one in its place,
//! so that nothing can be forgotten, whatever a cluster says. All are one column wide.

pub const FULL: &str = "▓";
pub const EMPTY: &str = "░";
pub const DONE: &str = "✔";
pub const FAILED: &str = "✖";
pub const HERE: &str = "▶";
pub const MOVING: &str = "▸";
pub const PAUSED: &str = "‖";
pub const TIMED: &str = "◷";
pub const ALERT: &str = "!";
pub const STUCK: &str = "■";
pub const UNKNOWN: &str = "?";
pub const READY: &str = "●";
pub const STARTING: &str = "○";
pub const ENDING: &str = "◌";
pub const DOT: &str = "·";
pub const ARROW: &str = "→";
pub const DASH: &str = "—";
pub const RULE: &str = "─";
pub const DASHED: &str = "┄";
pub const ELLIPSIS: &str = "…";
pub const SPARK: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Left: drawn. Right: drawn in ASCII mode.
const ASCII: &[(&str, &str)] = &[
    (FULL, "#"),
    (EMPTY, "."),
    (DONE, "+"),
    (FAILED, "x"),
    (HERE, ">"),
    (MOVING, ">"),
    (PAUSED, "="),
    (TIMED, ":"),
    (STUCK, "#"),
    (READY, "o"),
    (STARTING, "."),
    (ENDING, ","),
    (DOT, "|"),
    (ARROW, ">"),
    (DASH, "-"),
    (RULE, "-"),
    (DASHED, "-"),
    (ELLIPSIS, "~"),
    ("▁", "_"),
    ("▂", "."),
    ("▃", "-"),
    ("▄", "="),
    ("▅", "+"),
    ("▆", "*"),
    ("▇", "%"),
    ("█", "#"),
    ("│", "|"),
    ("┌", "+"),
    ("┐", "+"),
    ("└", "+"),
    ("┘", "+"),
    ("├", "+"),
    ("┤", "|"),
    ("┬", "+"),
    ("┴", "+"),
    ("═", "="),
    ("║", "|"),
    ("╔", "+"),
    ("╗", "+"),
    ("╚", "+"),
    ("╝", "+"),
    ("≈", "~"),
    ("≥", ">"),
    ("≤", "<"),
    ("×", "x"),
    ("–", "-"),
    ("↑", "^"),
    ("↓", "v"),
    ("⏎", "^"),
    ("␣", "_"),
    ("’", "'"),
    ("“", "\""),
    ("”", "\""),
];

/// What a cell shows in ASCII mode.
pub fn ascii(symbol: &str) -> &str {
    match symbol {
        plain if plain.is_ascii() => plain,
        other => ASCII.iter().find(|(drawn, _)| *drawn == other).map_or("?", |(_, plain)| plain),
    }
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;

    #[test]
    fn every_sign_is_one_column_and_has_one_ascii_stand_in() {
        for (drawn, plain) in ASCII {
            assert_eq!(drawn.width(), 1, "{drawn}");
            assert!(plain.is_ascii() && plain.len() == 1, "{drawn} becomes {plain}");
        }
    }

    #[test]
    fn what_has_no_stand_in_is_a_question_mark() {
        assert_eq!(ascii("ü"), "?");
        assert_eq!(ascii("a"), "a");
    }
}
