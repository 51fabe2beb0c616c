//! Which shares so many pods can have.

/// Pods of the new side nearest to a share. A share between none and all is neither none nor all, where there is a choice.
pub fn nearest(percent: u8, pods: u32) -> u32 {
    let pods64 = u64::from(pods);
    let count = (u64::from(percent.min(100)) * pods64 + 50) / 100;
    let (least, most) = match percent {
        0 | 100 => (0, pods64),
        _ if pods < 2 => (0, pods64),
        _ => (1, pods64 - 1),
    };
    u32::try_from(count.clamp(least, most)).unwrap_or(pods)
}

/// The share that a count is, rounded down: what comes next must be more than this.
pub fn percent(count: u32, pods: u32) -> u8 {
    let percent = if pods == 0 { 0 } else { u64::from(count) * 100 / u64::from(pods) };
    u8::try_from(percent).unwrap_or(100)
}

/// `0, 25, 50, 75, 100 %`; of many pods only the least one.
pub fn reachable(pods: u32) -> String {
    match pods {
        0 => "none without pods".into(),
        1..=8 => {
            let all: Vec<String> = (0..=pods).map(|count| rounded(count, pods)).collect();
            format!("{} %", all.join(", "))
        }
        _ => format!("multiples of {} %", rounded(1, pods)),
    }
}

/// `33`, or `0.5` where less than one.
fn rounded(count: u32, pods: u32) -> String {
    let percent = f64::from(count) * 100.0 / f64::from(pods);
    if percent > 0.0 && percent < 1.0 { format!("{percent:.1}") } else { format!("{percent:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_count_and_never_all_or_none_by_rounding() {
        let of = |percent, pods| nearest(percent, pods);
        assert_eq!([of(0, 4), of(5, 4), of(25, 4), of(37, 4), of(38, 4), of(99, 4), of(100, 4)], [0, 1, 1, 1, 2, 3, 4]);
        assert_eq!([of(50, 1), of(49, 1), of(50, 0), of(100, u32::MAX)], [1, 0, 0, u32::MAX]);
    }

    #[test]
    fn what_can_be_reached_is_said() {
        assert_eq!(reachable(3), "0, 33, 67, 100 %");
        assert_eq!(reachable(20), "multiples of 5 %");
        assert_eq!(reachable(200), "multiples of 0.5 %");
        assert_eq!([percent(1, 3), percent(0, 0), percent(7, 7)], [33, 0, 100]);
    }
}
