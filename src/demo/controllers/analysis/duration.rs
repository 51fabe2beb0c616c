//! Durations as Go writes them: `90s`, `1h30m`, `1.5h`.

use chrono::TimeDelta;

const UNITS: &[(&str, f64)] = &[("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3_600e9)];

/// Reads a duration; the error is Go's.
pub fn parse_duration(text: &str) -> Result<TimeDelta, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(TimeDelta::zero());
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanos = 0.0;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len()));
        let value: f64 = number.parse().map_err(|_| invalid())?;
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len()));
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let known =
            UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| format!("time: unknown unit {unit:?} in duration {text:?}"))?;
        nanos += value * known.1;
        rest = after;
    }
    // 2^63: what Go's durations cannot hold.
    if nanos >= 9_223_372_036_854_775_808.0 {
        return Err(invalid());
    }
    Ok(TimeDelta::nanoseconds((if negative { -nanos } else { nanos }) as i64))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn durations_are_read_and_refused_as_in_go() {
        let seconds = |text: &str| parse_duration(text).map(|delta| delta.num_milliseconds() as f64 / 1e3);
        let good = [
            ("0", 0.0),
            ("5s", 5.0),
            ("1h30m", 5_400.0),
            ("1.5h", 5_400.0),
            ("-2m", -120.0),
            ("+1s500ms", 1.5),
            (".5s", 0.5),
            ("1m0s", 60.0),
        ];
        good.iter().for_each(|(text, expected)| assert_eq!(seconds(text).unwrap(), *expected, "{text}"));
        assert_eq!(parse_duration("").unwrap_err(), "time: invalid duration \"\"");
        assert_eq!(parse_duration("x").unwrap_err(), "time: invalid duration \"x\"");
        assert_eq!(parse_duration("5").unwrap_err(), "time: missing unit in duration \"5\"");
        assert_eq!(parse_duration("5d").unwrap_err(), "time: unknown unit \"d\" in duration \"5d\"");
        assert_eq!(parse_duration("{{args.i}}").unwrap_err(), "time: invalid duration \"{{args.i}}\"");
        assert!(parse_duration("9999999h").is_err());
    }
}
