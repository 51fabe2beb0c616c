//! Pieces of text that `kubectl` prints: durations, selectors, lists cut short.

use chrono::DateTime;
use serde_json::Value;

use crate::model::Time;

pub fn parse_time(text: &str) -> Option<Time> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
}

/// The moment in a field, if there is one.
pub fn time(field: &Value) -> Option<Time> {
    field.as_str().and_then(parse_time)
}

/// How long ago that was, in two units at most.
pub fn since(then: Option<Time>, now: Time) -> String {
    then.map_or("<unknown>".into(), |then| human((now - then).as_seconds_f64()))
}

/// A duration in seconds as `kubectl` writes ages: `95s`, `3m5s`, `2h10m`, `3d`.
pub fn human(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds are shown")]
    let seconds = seconds as i64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let pair = |large: i64, unit: char, small: i64, part: char| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{part}") }
    };
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => pair(minutes, 'm', seconds % 60, 's'),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => pair(hours, 'h', minutes % 60, 'm'),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => pair(days, 'd', hours % 24, 'h'),
        _ if days < 730 => format!("{days}d"),
        _ if days < 8 * 365 => pair(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

/// `a=1,b=2`; `<none>` for no labels.
pub fn labels(map: &Value) -> String {
    let pairs: Vec<String> = pairs(map).map(|(name, value)| format!("{name}={value}")).collect();
    none_if_empty(pairs.join(","))
}

fn pairs(map: &Value) -> impl Iterator<Item = (&str, &str)> {
    map.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
}

/// A label selector with both its halves, sorted by key.
pub fn selector(selector: &Value) -> String {
    let mut terms: Vec<(&str, String)> = pairs(&selector["matchLabels"]).map(|(name, value)| (name, format!("{name}={value}"))).collect();
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let mut values: Vec<&str> = expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        terms.push((
            key,
            match expression["operator"].as_str().unwrap_or_default() {
                "In" => format!("{key} in ({values})"),
                "NotIn" => format!("{key} notin ({values})"),
                "DoesNotExist" => format!("!{key}"),
                _ => key.to_owned(),
            },
        ));
    }
    terms.sort_by_key(|(key, _)| *key);
    terms.into_iter().map(|(_, term)| term).collect::<Vec<_>>().join(",")
}

pub fn none_if_empty(text: String) -> String {
    if text.is_empty() { "<none>".into() } else { text }
}

/// The first of many, and how many more there are.
pub fn cut(all: &[String], most: usize, separator: &str) -> String {
    let shown = all[..all.len().min(most)].join(separator);
    if all.len() > most { format!("{shown} + {} more...", all.len() - most) } else { shown }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_at_their_edges() {
        let minute = 60.0;
        let (hour, day) = (60.0 * minute, 1440.0 * minute);
        for (seconds, text) in [
            (-5.0, "<invalid>"),
            (-1.0, "0s"),
            (0.9, "0s"),
            (119.0, "119s"),
            (2.0 * minute, "2m"),
            (2.0 * minute + 5.0, "2m5s"),
            (10.0 * minute + 5.0, "10m"),
            (179.0 * minute, "179m"),
            (3.0 * hour, "3h"),
            (3.0 * hour + 6.0 * minute, "3h6m"),
            (8.0 * hour + 6.0 * minute, "8h"),
            (47.0 * hour, "47h"),
            (2.0 * day, "2d"),
            (2.0 * day + hour, "2d1h"),
            (8.0 * day + hour, "8d"),
            (730.0 * day, "2y"),
            (731.0 * day, "2y1d"),
            (8.0 * 365.0 * day, "8y"),
        ] {
            assert_eq!(human(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn selectors_and_labels() {
        assert_eq!(labels(&json!({"b": "2", "a": "1"})), "a=1,b=2");
        assert_eq!(labels(&Value::Null), "<none>");
        let expression = |key: &str, operator: &str, values: &[&str]| json!({"key": key, "operator": operator, "values": values});
        let both = json!({"matchLabels": {"m": "1"}, "matchExpressions": [
            expression("z", "In", &["b", "a"]), expression("b", "NotIn", &["x"]), expression("c", "Exists", &[]), expression("d", "DoesNotExist", &[]),
        ]});
        assert_eq!(selector(&both), "b notin (x),c,!d,m=1,z in (a,b)");
        let list: Vec<String> = ["a", "b", "c", "d"].map(String::from).into();
        assert_eq!([cut(&list, 3, ","), cut(&list, 4, ",")], ["a,b,c + 1 more...", "a,b,c,d"]);
    }
}
