//! How often and how patiently: every time-out and every wait of this room in one place.

use std::{ops::RangeInclusive, time::Duration};

/// All durations of the reading room. Tests shrink them; nobody else should need to.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Shortest wait before a reconnection.
    pub first: Duration,
    /// Longest wait before a reconnection.
    pub cap: Duration,
    /// A connection that stood this long starts again from the shortest wait.
    pub calm: Duration,
    /// How long after a reconnection without data it counts as live again.
    pub trust: Duration,
    /// Time-out for the head of an answer, and between two pieces of a list.
    pub answer: Duration,
    /// Silence after which the server is asked whether it is there.
    pub probe_every: Duration,
    /// Time-out of that question.
    pub probe_answer: Duration,
    /// Silence after which a watch is opened anew. Bookmarks come about once a minute.
    pub silence: Duration,
    /// Successive updates of one object closer than this are merged.
    pub coalesce: Duration,
    /// Shortest time between two messages that say no more than "heard".
    pub heard_every: Duration,
    /// Wait after a refusal for lack of rights.
    pub forbidden: Duration,
    /// Time between two looks whether a missing kind has been installed.
    pub missing: Duration,
    /// Silence within a streamed list after which streaming counts as unsupported.
    pub stream_idle: Duration,
    /// Time for a streamed list as a whole, after which streaming counts as unsupported.
    pub stream_total: Duration,
    /// Shortest time between two attempts to renew credentials.
    pub renew: Duration,
    /// Longest wait a server may ask for with `Retry-After`.
    pub patience: Duration,
    /// `timeoutSeconds` of a watch, seconds; random, so that streams do not all end together.
    pub session: RangeInclusive<u32>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            cap: Duration::from_secs(30),
            calm: Duration::from_secs(30),
            trust: Duration::from_secs(1),
            answer: Duration::from_secs(10),
            probe_every: Duration::from_secs(15),
            probe_answer: Duration::from_secs(3),
            silence: Duration::from_secs(100),
            coalesce: Duration::from_millis(50),
            heard_every: Duration::from_secs(1),
            forbidden: Duration::from_secs(30),
            missing: Duration::from_secs(15),
            stream_idle: Duration::from_secs(3),
            stream_total: Duration::from_secs(30),
            renew: Duration::from_secs(5),
            patience: Duration::from_secs(120),
            session: 240..=300,
        }
    }
}

/// Waits between attempts: doubling, jittered, capped, and slow to forget.
///
/// The one gate of every reconnection. A server that closes each watch at once, answers each with one
/// event, or expires each resource version, meets growing waits, because only a connection that stood
/// counts as a success.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    calm: Duration,
    level: u32,
    last: Duration,
}

impl Backoff {
    pub fn new(pace: &Pace) -> Self {
        Self { first: pace.first, cap: pace.cap, calm: pace.calm, level: 0, last: Duration::ZERO }
    }

    /// The next wait, between the shortest and the longest; `jitter` within 0..1 chooses among its upper half.
    pub fn next(&mut self, jitter: f64) -> Duration {
        let full = self.first.saturating_mul(2).saturating_mul(1_u32.checked_shl(self.level).unwrap_or(u32::MAX)).min(self.cap);
        self.level = (self.level + 1).min(30);
        let half = full / 2;
        self.last = (half + half.mul_f64(jitter.clamp(0.0, 1.0))).clamp(self.first.min(self.cap), self.cap);
        self.last
    }

    /// Tells how the attempt went. It starts over after calm, or when data came over a connection that
    /// outlived the wait before it: one event and a hang-up are not enough.
    pub fn settle(&mut self, stood: Duration, data: bool) {
        let earned = data && self.level > 0 && stood >= self.last.saturating_mul(2);
        if stood >= self.calm || earned {
            self.level = 0;
            self.last = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_are_bounded_and_never_shrink_while_it_fails(jitters in proptest::collection::vec(0.0..1.0_f64, 1..60)) {
            let pace = Pace::default();
            let mut backoff = Backoff::new(&pace);
            let mut total = Duration::ZERO;
            for (n, jitter) in jitters.iter().enumerate() {
                let wait = backoff.next(*jitter);
                backoff.settle(Duration::ZERO, true);
                prop_assert!(wait >= pace.first && wait <= pace.cap, "{wait:?}");
                total += wait;
                // The sum of the smallest possible waits: 100 ms, 200 ms, 400 ms, …
                let least = (0..=n).map(|i| (pace.first * 2_u32.pow((i as u32).min(10))).min(pace.cap / 2)).sum::<Duration>();
                prop_assert!(total + Duration::from_millis(1) >= least, "{total:?} after {n} attempts");
            }
        }

        #[test]
        fn jitter_spreads_clients(a in 0.0..0.4_f64, b in 0.6..1.0_f64, level in 1..20_usize) {
            let mut one = Backoff::new(&Pace::default());
            let mut other = one.clone();
            for _ in 0..level {
                one.next(0.5);
                other.next(0.5);
            }
            prop_assert!(one.next(a) < other.next(b));
        }

        #[test]
        fn it_starts_over_only_after_calm_or_earned_data(level in 3..20_usize, stood in 0..60_000_u64, data: bool) {
            let pace = Pace::default();
            let mut backoff = Backoff::new(&pace);
            let mut last = Duration::ZERO;
            for _ in 0..level {
                last = backoff.next(0.5);
            }
            let stood = Duration::from_millis(stood);
            backoff.settle(stood, data);
            let over = backoff.next(0.0) == pace.first;
            prop_assert_eq!(over, stood >= pace.calm || (data && stood >= last * 2));
        }
    }
}
