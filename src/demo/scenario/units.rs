//! Values as people write them: `4m`, `2 %`, `20ms/90ms`, `crash-loop after 20s`.

use std::time::Duration;

use chrono::TimeDelta;

use crate::demo::{
    traffic::{Latency, StartUp},
    workloads::Fate,
};

/// Words for what becomes of a pod; the first is the ordinary one.
pub const FATES: &[(&str, Fate)] = &[
    ("ready", Fate::Ready),
    ("never-ready", Fate::Never),
    ("crash-loop", Fate::CrashLoop),
    ("image-pull", Fate::ImagePull),
    ("out-of-memory", Fate::OutOfMemory),
    ("unschedulable", Fate::Unschedulable),
];

/// `90s`, `4m`, `1h 30m`, `3d`.
pub fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text.trim()).ok()
}

/// A moment relative to the opening of the screen: `20s` after it, `-6m` before it.
pub fn moment(text: &str) -> Option<TimeDelta> {
    let text = text.trim();
    let (sign, rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    Some(TimeDelta::from_std(duration(rest)?).ok()? * sign)
}

/// `2 %` as 0.02.
pub fn share(text: &str) -> Option<f64> {
    let number = text.trim().strip_suffix('%')?.trim().parse::<f64>().ok()?;
    (0.0..=100.0).contains(&number).then_some(number / 100.0)
}

/// Median and 99th percentile: `20ms/90ms`.
pub fn latency(text: &str) -> Option<Latency> {
    let (median, p99) = text.split_once('/')?;
    let ms = |text: &str| duration(text).map(|d| d.as_secs_f64() * 1e3);
    let (median, p99) = (ms(median)?, ms(p99)?);
    (median > 0.0 && p99 > median).then_some(Latency { median, p99 })
}

/// How much slower at first, and for how long: `20x for 30s`.
pub fn cold_start(text: &str) -> Option<StartUp> {
    let (slower, lasts) = factor_for(text)?;
    Some(StartUp { lasts, slower })
}

/// `3x for 20s`, a factor above 1 and how long it holds.
pub fn factor_for(text: &str) -> Option<(f64, Duration)> {
    let (factor, lasts) = text.split_once(" for ")?;
    let factor = factor.trim().strip_suffix('x')?.parse::<f64>().ok().filter(|f| *f > 1.0 && f.is_finite())?;
    Some((factor, duration(lasts)?))
}

/// `3x for 20s every 5m`.
pub fn bursts(text: &str) -> Option<(f64, Duration, Duration)> {
    let (burst, every) = text.split_once(" every ")?;
    let (times, lasts) = factor_for(burst)?;
    Some((times, lasts, duration(every).filter(|e| !e.is_zero())?))
}

/// `30 % over 20m`.
pub fn day(text: &str) -> Option<(f64, Duration)> {
    let (swing, period) = text.split_once(" over ")?;
    Some((share(swing)?, duration(period).filter(|p| !p.is_zero())?))
}

/// `crash-loop`, `out-of-memory after 40s`.
pub fn fate(text: &str) -> Option<(Fate, Option<Duration>)> {
    let (word, after) = match text.split_once(" after ") {
        Some((word, after)) => (word, Some(duration(after)?)),
        None => (text, None),
    };
    let (_, fate) = FATES.iter().find(|(known, _)| *known == word.trim())?;
    Some((*fate, after))
}

/// The choice that was most likely meant.
pub fn nearest<'a>(word: &str, choices: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let measured = choices.into_iter().map(|choice| (distance(word, choice), choice));
    let (distance, choice) = measured.min_by_key(|(distance, _)| *distance)?;
    (distance <= choice.chars().count().max(word.chars().count()) / 2).then_some(choice)
}

/// Levenshtein's: inserted, removed and replaced characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_people_write_is_understood() {
        assert_eq!(moment("-6m").unwrap(), TimeDelta::minutes(-6));
        assert_eq!(moment("1h 30m").unwrap(), TimeDelta::minutes(90));
        assert_eq!((share("2 %"), share("0.5%"), share("100 %")), (Some(0.02), Some(0.005), Some(1.0)));
        assert_eq!(latency("20ms/1s 500ms").map(|l| (l.median, l.p99)), Some((20.0, 1_500.0)));
        assert_eq!(cold_start("20x for 30s").unwrap(), StartUp { lasts: Duration::from_secs(30), slower: 20.0 });
        assert_eq!(bursts("3x for 20s every 5m").unwrap(), (3.0, Duration::from_secs(20), Duration::from_secs(300)));
        assert_eq!(day("30 % over 20m").unwrap(), (0.3, Duration::from_secs(1_200)));
        assert_eq!(fate("crash-loop after 20s").unwrap(), (Fate::CrashLoop, Some(Duration::from_secs(20))));
    }

    #[test]
    fn what_makes_no_sense_is_not() {
        assert!(["", "5", "soon", "-"].iter().all(|text| moment(text).is_none()));
        assert!(["2", "101 %", "-1 %", "%"].iter().all(|text| share(text).is_none()));
        assert!(["20ms", "90ms/20ms", "0s/1s", "20/90"].iter().all(|text| latency(text).is_none()));
        assert!(["0x for 1s", "20 for 30s", "x for 1s"].iter().all(|text| cold_start(text).is_none()));
        assert!(["explodes", "ready after", "crash-loop after soon"].iter().all(|text| fate(text).is_none()));
    }

    #[test]
    fn a_slip_finds_what_was_meant_and_a_stranger_nothing() {
        assert_eq!(nearest("replica", ["router", "replicas", "release"]), Some("replicas"));
        assert_eq!(nearest("zzz", ["router", "replicas"]), None);
    }
}
