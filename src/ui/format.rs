//! Numbers, times and names as people read them.

use std::time::Duration;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::glyphs::ELLIPSIS;

/// A small share such as an error rate: `0%` is exactly zero, `<0.1%` is not.
pub fn ratio(x: f64) -> String {
    let p = x * 100.0;
    match p {
        _ if !p.is_finite() => "NaN".into(),
        _ if p <= 0.0 => "0%".into(),
        _ if p < 0.1 => "<0.1%".into(),
        _ if p < 9.95 => format!("{p:.1}%"),
        _ if (99.5..100.0).contains(&p) => ">99%".into(),
        _ => format!("{p:.0}%"),
    }
}

/// A share of traffic: `25%`, `12.5%`.
pub fn share(x: f64) -> String {
    let p = x * 100.0;
    match p {
        _ if !p.is_finite() => "NaN".into(),
        _ if (p - p.round()).abs() < 0.05 => format!("{p:.0}%"),
        _ => format!("{p:.1}%"),
    }
}

/// Seconds as a latency: `840ms`, `1.2s`.
pub fn latency(seconds: f64) -> String {
    let ms = seconds * 1000.0;
    match ms {
        _ if !ms.is_finite() => "NaN".into(),
        _ if ms <= 0.0 => "0ms".into(),
        _ if ms < 1.0 => "<1ms".into(),
        _ if ms < 999.5 => format!("{ms:.0}ms"),
        _ if ms < 9_950.0 => format!("{:.1}s", seconds),
        _ if ms < 119_500.0 => format!("{seconds:.0}s"),
        _ => format!("{:.0}m", seconds / 60.0),
    }
}

/// A number of anything: `1.2`, `38`, `1.2k`.
pub fn number(x: f64) -> String {
    match x.abs() {
        a if !a.is_finite() => "NaN".into(),
        0.0 => "0".into(),
        a if a < 0.1 => format!("{x:.2}"),
        a if a < 9.95 => format!("{x:.1}"),
        a if a < 999.5 => format!("{x:.0}"),
        a if a < 9_950.0 => format!("{:.1}k", x / 1e3),
        a if a < 999_500.0 => format!("{:.0}k", x / 1e3),
        a if a < 1e15 => format!("{:.1}M", x / 1e6),
        _ => format!("{x:.0e}"),
    }
}

/// Requests a second.
pub fn rate(x: f64) -> String {
    format!("{}/s", number(x))
}

/// A length of time in at most two units: `42s`, `4m12s`, `2h05m`, `3d4h`.
pub fn duration(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 if s.is_multiple_of(60) => format!("{}m", s / 60),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        3600..86_400 if (s / 60).is_multiple_of(60) => format!("{}h", s / 3600),
        3600..86_400 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        _ if (s / 3600).is_multiple_of(24) => format!("{}d", s / 86_400),
        _ => format!("{}d{}h", s / 86_400, s / 3600 % 24),
    }
}

/// A length of time in its largest unit: `2h` of `2h05m`.
pub fn short(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m", s / 60),
        3600..86_400 => format!("{}h", s / 3600),
        _ => format!("{}d", s / 86_400),
    }
}

/// Minutes and seconds on a stopwatch: `1:48`.
pub fn stopwatch(d: Duration) -> String {
    format!("{}:{:02}", d.as_secs() / 60, d.as_secs() % 60)
}

/// `1 pod`, `2 pods`.
pub fn plural(n: usize, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}

/// The image less registry and path: `api:v2.9.0`. A digest is cut to twelve digits.
pub fn image(full: &str) -> String {
    let name = full.rsplit('/').next().unwrap_or(full);
    match name.split_once("@sha256:") {
        Some((head, digest)) => format!("{head}@{}", digest.chars().take(12).collect::<String>()),
        None => name.into(),
    }
}

/// Cuts a text at the end, by columns.
pub fn end(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.into();
    }
    let Some(room) = width.checked_sub(1) else { return String::new() };
    take(text.graphemes(true), room).concat() + ELLIPSIS
}

/// Cuts a name in its middle, by columns: its end tells one pod from another.
pub fn middle(name: &str, width: usize) -> String {
    if name.width() <= width {
        return name.into();
    }
    let Some(room) = width.checked_sub(1) else { return String::new() };
    let mut tail = take(name.graphemes(true).rev(), room / 2);
    tail.reverse();
    let left = room - tail.iter().map(|g| g.width()).sum::<usize>();
    take(name.graphemes(true), left).concat() + ELLIPSIS + &tail.concat()
}

fn take<'a>(graphemes: impl Iterator<Item = &'a str>, width: usize) -> Vec<&'a str> {
    let mut used = 0;
    graphemes
        .take_while(|g| {
            used += g.width();
            used <= width
        })
        .collect()
}

/// Breaks a text at spaces into lines of at most this many columns.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    if width == 0 {
        return lines;
    }
    for word in whole_numbers(text, width) {
        let Some(line) = lines.last_mut() else { break };
        let used = line.width();
        if used > 0 && used + 1 + word.width() > width {
            lines.push(end(&word, width));
        } else {
            if used > 0 {
                line.push(' ');
            }
            line.push_str(&end(&word, width));
        }
    }
    lines
}

/// The words of a text; `1 204`, `4.1 %`, `240 : 1` and `3 min` are one each, unless no line could hold it.
fn whole_numbers(text: &str, width: usize) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match words.last_mut() {
            Some(last) if belong(last, word) && last.width() + 1 + word.width() <= width => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

fn belong(before: &str, word: &str) -> bool {
    const UNITS: [&str; 6] = ["%", "s", "ms", "min", "h", ":"];
    let bare = word.trim_end_matches([',', ';', '.', ')', ':']);
    let bare = if bare.is_empty() { word } else { bare };
    let digits = bare.bytes().take_while(u8::is_ascii_digit).count();
    match before.as_bytes().last() {
        Some(b'0'..=b'9') => (digits == 3 && digits == bare.len()) || UNITS.contains(&bare),
        Some(b':') => before.ends_with(" :") && digits > 0,
        _ => matches!(before, "≈" | "↑" | "↓"),
    }
}

/// The same in at most so many lines; where more were needed, the last ends in an ellipsis.
pub fn wrap_in(text: &str, width: usize, rows: usize) -> Vec<String> {
    let mut lines = wrap(text, width);
    if lines.len() > rows {
        let rest = lines.split_off(rows.saturating_sub(1)).join(" ");
        if rows > 0 {
            lines.push(end(&rest, width));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_nearly_zero_differ() {
        let words = [
            (0.0, "0%"),
            (0.0004, "<0.1%"),
            (0.002, "0.2%"),
            (0.041, "4.1%"),
            (0.25, "25%"),
            (0.9999, ">99%"),
            (1.0, "100%"),
            (f64::NAN, "NaN"),
        ];
        for (x, said) in words {
            assert_eq!(ratio(x), said);
        }
    }

    #[test]
    fn numbers_do_not_break() {
        let text = "canary fails 4.1 % of 1 204 372 requests (3.9 %), odds 240 : 1; ≈ 3 min more, 12 of 400 pods in 2 of 3 steps";
        for width in 12..60 {
            let lines = wrap(text, width);
            for whole in ["4.1 %", "1 204 372", "(3.9 %),", "240 : 1;", "≈ 3 min"] {
                assert!(lines.iter().any(|l| l.contains(whole)), "{whole} at {width}: {lines:#?}");
            }
            assert_eq!(lines.join(" "), text);
        }
        // What fits on no line breaks all the same.
        assert_eq!(wrap("1 204 372", 5), ["1 204", "372"]);
        assert_eq!(wrap("12 of 4 pods", 5), ["12 of", "4", "pods"]);
    }

    #[test]
    fn latencies_choose_their_unit() {
        for (x, said) in [(0.0002, "<1ms"), (0.84, "840ms"), (1.24, "1.2s"), (12.4, "12s"), (180.0, "3m")] {
            assert_eq!(latency(x), said);
        }
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (s, said) in [(0, "0s"), (59, "59s"), (252, "4m12s"), (600, "10m"), (7200, "2h"), (7500, "2h05m"), (273_600, "3d4h")] {
            assert_eq!(duration(Duration::from_secs(s)), said);
        }
    }

    #[test]
    fn names_are_cut_by_columns_and_keep_both_ends() {
        assert_eq!(middle("checkout-6f9d8c-x2x9k", 12), "checko…x2x9k");
        assert_eq!(middle("short", 12), "short");
        assert_eq!(middle("漢字漢字漢字", 7).width(), 7);
        for width in 0..12 {
            assert!(middle("漢字ab漢字", width).width() <= width);
            assert!(end("漢字ab漢字", width).width() <= width);
        }
    }

    #[test]
    fn images_lose_their_registry() {
        assert_eq!(image("registry.example/team/api:v2"), "api:v2");
        assert_eq!(image("r/api@sha256:0123456789abcdef"), "api@0123456789ab");
    }
}
