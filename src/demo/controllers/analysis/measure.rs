//! From what a metrics server answers to the phase of a measurement.

use super::expr::{Measured, holds};
use crate::demo::sim::Samples;

/// Successful, Failed or Inconclusive by a metric's conditions. The error is the message of a measurement in `Error`.
pub fn judge(success: &str, failure: &str, result: &Measured) -> Result<&'static str, String> {
    let condition = |name: &str, condition: &str| {
        let asked = !condition.is_empty();
        asked.then(|| holds(condition, result).map_err(|why| unjudged(name, condition, &why, result))).transpose()
    };
    let success = condition("successCondition", success)?;
    let failure = condition("failureCondition", failure)?;
    Ok(match (success, failure) {
        (_, Some(true)) | (Some(false), None) => "Failed",
        (Some(false), Some(false)) => "Inconclusive",
        _ => "Successful",
    })
}

fn unjudged(name: &str, condition: &str, why: &str, result: &Measured) -> String {
    let nothing = matches!(result, Measured::List(list) if list.is_empty());
    let why = if nothing { "metric result is nil or empty: no data returned from the metric provider" } else { why };
    format!("could not evaluate {name} \"{condition}\": {why}")
}

/// The result as a measurement's `value` shows it.
pub fn shown(result: &Measured) -> String {
    match result {
        Measured::Number(value) => number(*value),
        Measured::List(values) => format!("[{}]", values.iter().copied().map(number).collect::<Vec<_>>().join(",")),
    }
}

fn number(value: f64) -> String {
    match value {
        v if v.is_nan() => "NaN".into(),
        v if v.is_infinite() => if v > 0.0 { "+Inf" } else { "-Inf" }.into(),
        v => v.to_string(),
    }
}

pub fn measured(samples: Samples) -> Measured {
    match samples {
        Samples::Scalar(value) => Measured::Number(value),
        Samples::Vector(values) => Measured::List(values),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// Results, conditions and outcomes as recorded from Argo Rollouts 1.10.1 with expr-lang 1.17.7.
    const RECORDED: &str = include_str!("expr/recorded.tsv");

    fn result(text: &str) -> Measured {
        let number = |text: &str| text.parse::<f64>().unwrap();
        match text.strip_prefix('[') {
            Some(list) => Measured::List(list.trim_end_matches(']').split_whitespace().map(number).collect()),
            None => Measured::Number(number(text)),
        }
    }

    #[test]
    fn conditions_hold_and_fail_in_the_words_of_the_real_ones() {
        let mut rows = 0;
        for row in RECORDED.lines() {
            let [measured, condition, expected] = *row.split('\t').collect::<Vec<_>>() else { panic!("{row}") };
            let outcome = judge(condition, "", &result(measured));
            let prefix = format!("could not evaluate successCondition \"{condition}\": ");
            let outcome = outcome.map_or_else(|message| message.strip_prefix(&prefix).unwrap().to_owned(), str::to_owned);
            assert_eq!(outcome, expected, "{condition} of {measured}");
            rows += 1;
        }
        assert!(rows > 500);
    }

    #[test]
    fn both_conditions_together_leave_room_for_doubt() {
        let judged = |success, failure, value| judge(success, failure, &Measured::List(vec![value]));
        assert_eq!(judged("result[0] > 0.9", "result[0] < 0.5", 0.95), Ok("Successful"));
        assert_eq!(judged("result[0] > 0.9", "result[0] < 0.5", 0.7), Ok("Inconclusive"));
        assert_eq!(judged("result[0] > 0.9", "result[0] < 0.5", 0.1), Ok("Failed"));
        assert_eq!(judged("", "result[0] < 0.5", 0.7), Ok("Successful"));
        assert_eq!(judged("", "result[0] < 0.5", 0.1), Ok("Failed"));
        assert_eq!(judged("result[0] > 0.9", "", 0.7), Ok("Failed"));
        assert_eq!(judged("", "", 0.7), Ok("Successful"));
        assert_eq!(judged("result[0] > 0", "result[0] > 0", 1.0), Ok("Failed"));
        assert_eq!(judged("result[0] > 0", "foo", 1.0).unwrap_err(), "could not evaluate failureCondition \"foo\": unknown name foo");
    }

    #[test]
    fn results_are_shown_as_prometheus_writes_numbers() {
        let shown = |values: &[f64]| shown(&Measured::List(values.to_vec()));
        assert_eq!(shown(&[0.1, 1.0, 1e21, 1e-7]), "[0.1,1,1000000000000000000000,0.0000001]");
        assert_eq!(shown(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]), "[NaN,+Inf,-Inf]");
        assert_eq!(shown(&[]), "[]");
        assert_eq!(super::shown(&Measured::Number(0.5)), "0.5");
    }
}
