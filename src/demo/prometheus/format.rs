//! Numbers and times as Go programs write them.

/// Without an exponent, as the values of `count_values` are written.
pub fn decimal(value: f64) -> String {
    special(value).unwrap_or_else(|| value.to_string())
}

/// As sample values are written in the API's answers: with an exponent where it is very large or very small.
pub fn sample(value: f64) -> String {
    let plain = value == 0.0 || (1e-6..1e21).contains(&value.abs());
    special(value).unwrap_or_else(|| if plain { value.to_string() } else { exponential(value) })
}

/// As `%g` has it, for messages.
pub fn general(value: f64) -> String {
    let plain = value == 0.0 || (1e-4..1e6).contains(&value.abs());
    special(value).unwrap_or_else(|| if plain { value.to_string() } else { exponential(value) })
}

fn special(value: f64) -> Option<String> {
    if value.is_nan() {
        Some("NaN".into())
    } else if value.is_infinite() {
        Some(if value > 0.0 { "+Inf" } else { "-Inf" }.into())
    } else {
        None
    }
}

/// Two digits of exponent at least, and its sign.
fn exponential(value: f64) -> String {
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// Milliseconds as seconds with as many decimals as needed.
pub fn timestamp(millis: i64) -> String {
    let sign = if millis < 0 { "-" } else { "" };
    let (seconds, rest) = (millis.unsigned_abs() / 1_000, millis.unsigned_abs() % 1_000);
    if rest == 0 { format!("{sign}{seconds}") } else { format!("{sign}{seconds}.{rest:03}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_like_gos() {
        let values = [0.0, -0.0, 1.5, 1e-6, 9.99e-7, 1e20, 1e21, -1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        let samples = values.map(sample);
        assert_eq!(samples, ["0", "-0", "1.5", "0.000001", "9.99e-07", "100000000000000000000", "1e+21", "-1e+300", "NaN", "+Inf", "-Inf"]);
        assert_eq!([1e-5, 1e-4, 2.0, 1e6, 123_456.5].map(general), ["1e-05", "0.0001", "2", "1e+06", "123456.5"]);
        assert_eq!([1e22, f64::INFINITY].map(decimal), ["10000000000000000000000", "+Inf"]);
    }

    #[test]
    fn times_have_no_idle_zeros() {
        let times = [1_700_000_000_000, 1_700_000_000_050, -1_500, 1_700_000_000_100].map(timestamp);
        assert_eq!(times, ["1700000000", "1700000000.050", "-1.500", "1700000000.100"]);
    }
}
