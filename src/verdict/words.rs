//! Shares, counts and odds as an engineer says them.

/// `4.1 %`; exactly zero is `0 %`.
pub fn percent(share: f64) -> String {
    let p = share * 100.0;
    match p {
        _ if !p.is_finite() => "? %".into(),
        _ if p <= 0.0 => "0 %".into(),
        _ if p < 0.0095 => "<0.01 %".into(),
        _ if p < 0.095 => format!("{p:.2} %"),
        _ if p < 9.95 => format!("{p:.1} %"),
        _ => format!("{p:.0} %"),
    }
}

/// `1 204`.
pub fn count(n: f64) -> String {
    let digits = format!("{:.0}", n.max(0.0));
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// `240 : 1`, `1 : 12`.
pub fn odds(x: f64) -> String {
    let two = |x: f64| {
        let unit = 10_f64.powf(x.log10().floor() - 1.0).max(1.0);
        count((x / unit).round() * unit)
    };
    match x {
        _ if x.is_nan() => "?".into(),
        _ if x >= 1e6 => "over a million : 1".into(),
        _ if x >= 1.0 => format!("{} : 1", two(x)),
        _ if x > 1e-6 => format!("1 : {}", two(x.recip())),
        _ => "1 : over a million".into(),
    }
}

/// Seconds as a rough length of time: `40 s`, `3 min`, `2 h`.
pub fn about(seconds: f64) -> String {
    match seconds {
        s if s < 55.0 => format!("{:.0} s", (s / 10.0).ceil().max(1.0) * 10.0),
        s if s < 5_400.0 => format!("{:.0} min", (s / 60.0).ceil()),
        s if s < 172_800.0 => format!("{:.0} h", (s / 3600.0).ceil()),
        _ => "days".into(),
    }
}

/// How long something has been so, never more than it has: `40 s`, `3 min`, `2 h`.
pub fn so_long(seconds: f64) -> String {
    match seconds.max(0.0) {
        s if s < 120.0 => format!("{:.0} s", s.floor()),
        s if s < 7_200.0 => format!("{:.0} min", (s / 60.0).floor()),
        s => format!("{:.0} h", (s / 3600.0).floor()),
    }
}

/// A length of time taken as a latency: `250 ms`, `1.5 s`.
pub fn latency(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1e3) } else { format!("{} s", (seconds * 100.0).round() / 100.0) }
}

/// `20×`; nothing where the old side has none.
pub fn times(new: f64, old: f64) -> Option<String> {
    let ratio = new / old;
    (old > 0.0 && ratio.is_finite()).then(|| if ratio < 9.95 { format!("{ratio:.1}×") } else { format!("{ratio:.0}×") })
}
