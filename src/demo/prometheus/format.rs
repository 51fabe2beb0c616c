//! Numbers and times as Go programs write them.

/// Without an exponent, as the values of `count_values` are written.
pub fn decimal(value: f64) -> String {
    special(value).unwrap_or_else(|| plain(value))
}

/// As sample values are written in the API's answers: with an exponent where it is very large or very small.
pub fn sample(value: f64) -> String {
    let usual = value == 0.0 || (1e-6..1e21).contains(&value.abs());
    special(value).unwrap_or_else(|| if usual { plain(value) } else { exponential(value) })
}

/// As `%g` has it, for messages.
pub fn general(value: f64) -> String {
    let usual = value == 0.0 || (1e-4..1e6).contains(&value.abs());
    special(value).unwrap_or_else(|| if usual { plain(value) } else { exponential(value) })
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

/// The shortest digits that mean this value and the exponent of the first, as `1.25e-7`. Where two are equally near, Go
/// takes the even one, and Rust only if asked for a number of digits.
fn shortest(value: f64) -> String {
    let short = format!("{value:e}");
    let digits = short.split(['.', 'e']).nth(1).filter(|_| short.contains('.')).map_or(0, str::len);
    let even = format!("{value:.digits$e}");
    if even.parse() == Ok(value) { even } else { short }
}

fn plain(value: f64) -> String {
    let short = value.to_string();
    // Only as many digits as can be halfway between two shorter numbers are worth a second look.
    if short.len() < 15 {
        return short;
    }
    let text = shortest(value);
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    match usize::try_from(exponent) {
        Err(_) => format!("{sign}0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1)),
        Ok(whole) if whole + 1 >= digits.len() => format!("{sign}{digits}{}", "0".repeat(whole + 1 - digits.len())),
        Ok(whole) => format!("{sign}{}.{}", &digits[..=whole], &digits[whole + 1..]),
    }
}

/// Two digits of exponent at least, and its sign.
fn exponential(value: f64) -> String {
    let text = shortest(value);
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

    // The digits beyond a double's are what this is about.
    #[allow(clippy::excessive_precision)]
    #[test]
    fn of_equally_near_digits_the_even_ones_are_taken() {
        let values = [1_923_520_322_579.656_25, 632_222_222_222_222.25, -632_222_222_222_222.25, 2_f64.powi(70), 1e20];
        let texts = ["1923520322579.6562", "632222222222222.2", "-632222222222222.2", "1180591620717411300000", "100000000000000000000"];
        assert_eq!(values.map(decimal), texts);
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..10_000 {
            let value = f64::from_bits(rng.u64(..));
            assert!(
                value.is_nan() || [decimal(value), sample(value), general(value)].iter().all(|text| text.parse() == Ok(value)),
                "{value:e}"
            );
        }
        let small = [0.000_123_456_789_012_345_6, 0.5, -0.25, 12.5].map(decimal);
        assert_eq!(small, ["0.0001234567890123456", "0.5", "-0.25", "12.5"]);
    }

    #[test]
    fn times_have_no_idle_zeros() {
        let times = [1_700_000_000_000, 1_700_000_000_050, -1_500, 1_700_000_000_100].map(timestamp);
        assert_eq!(times, ["1700000000", "1700000000.050", "-1.500", "1700000000.100"]);
    }
}
