//! What a container writes: a start, requests while it is ready, and its end.

use chrono::{SecondsFormat, TimeDelta};

use crate::model::Time;

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub at: Time,
    pub text: String,
}

/// How a container came to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    pub at: Time,
    pub code: i64,
    pub out_of_memory: bool,
}

/// How a version answers requests. Shares lie in `0.0..=1.0`.
#[derive(Debug, Clone, PartialEq)]
pub struct Manners {
    pub errors: f64,
    pub missing: f64,
    pub mean_ms: f64,
    /// Requests that are written down; real services sample, too.
    pub per_second: f64,
}

impl Default for Manners {
    fn default() -> Self {
        Self { errors: 0.002, missing: 0.0, mean_ms: 25.0, per_second: 1.0 }
    }
}

/// One life of a container, from its start to its end or to now.
#[derive(Debug, Clone)]
pub struct Run {
    /// The same for the same run: everything random is drawn from it.
    pub identity: String,
    pub tag: String,
    pub begun: Time,
    /// When requests began to arrive, if they did.
    pub ready: Option<Time>,
    pub manners: Manners,
    pub end: Option<End>,
}

const PATHS: [&str; 6] = ["/", "/api/items", "/api/cart", "/api/checkout", "/api/session", "/static/app.js"];

/// Why requests fail in a version.
const FAULTS: [&str; 4] = [
    "upstream payments: connection reset by peer",
    "nil pointer dereference in cart.Total",
    "database: too many connections",
    "context deadline exceeded waiting for inventory",
];

/// Why a version does not start.
const CRASHES: [&str; 3] = [
    "cannot read configuration: key \"payments.url\" is missing",
    "migration 0042 failed: column \"currency\" already exists",
    "listen tcp :8080: bind: permission denied",
];

impl Run {
    /// Lines written from one moment until before another.
    pub fn lines(&self, from: Time, until: Time) -> Vec<Line> {
        let first = from.max(self.begun).timestamp();
        let seconds = first..=until.timestamp();
        seconds.flat_map(|second| self.second(second)).filter(|line| (from..until).contains(&line.at)).collect()
    }

    /// The last lines of a stretch.
    pub fn last(&self, count: usize, from: Time, until: Time) -> Vec<Line> {
        let mut newest_first = Vec::new();
        let (first, mut second) = (from.max(self.begun).timestamp(), until.timestamp());
        while newest_first.len() < count && second >= first {
            let lines = self.second(second).into_iter().filter(|line| (from..until).contains(&line.at));
            newest_first.extend(lines.rev());
            second -= 1;
        }
        newest_first.truncate(count);
        newest_first.reverse();
        newest_first
    }

    /// All lines of one second, in order.
    fn second(&self, second: i64) -> Vec<Line> {
        let mut lines: Vec<Line> = self.start().into_iter().chain(self.requests(second)).chain(self.last_words()).collect();
        lines.retain(|line| line.at.timestamp() == second && line.at >= self.begun);
        if let Some(end) = &self.end {
            lines.retain(|line| line.at < end.at);
        }
        lines.sort_by_key(|line| line.at);
        lines
    }

    fn line(&self, at: Time, level: &str, text: &str) -> Line {
        Line { at, text: format!("{} {level:<5} {text}", at.to_rfc3339_opts(SecondsFormat::Millis, true)) }
    }

    fn start(&self) -> Vec<Line> {
        let at = |millis| self.begun + TimeDelta::milliseconds(millis);
        vec![
            self.line(at(2), "INFO", &format!("starting version={} pid=1", self.tag)),
            self.line(at(41), "INFO", "configuration read from /etc/app/config.yaml"),
            self.line(at(118), "INFO", "listening on :8080"),
        ]
    }

    fn requests(&self, second: i64) -> Vec<Line> {
        let Some(ready) = self.ready else { return Vec::new() };
        let mut rng = fastrand::Rng::with_seed(hash(&self.identity) ^ hash(&second.to_string()));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
        let count = (self.manners.per_second + rng.f64()) as usize;
        let request = |rng: &mut fastrand::Rng| {
            let at = Time::from_timestamp(second, rng.u32(0..1_000) * 1_000_000)?;
            Some((at, self.request(at, rng)))
        };
        let lines = (0..count).filter_map(|_| request(&mut rng));
        lines.filter(|(at, _)| *at >= ready).map(|(_, line)| line).collect()
    }

    fn request(&self, at: Time, rng: &mut fastrand::Rng) -> Line {
        let path = PATHS[rng.usize(..PATHS.len())];
        let method = if path == "/api/checkout" { "POST" } else { "GET" };
        // Exponential, which is near enough to what response times look like.
        let millis = (-self.manners.mean_ms * (1.0 - rng.f64()).ln()).max(0.5);
        let luck = rng.f64();
        if luck < self.manners.errors {
            let fault = FAULTS[choice(&self.tag, FAULTS.len())];
            return self.line(at, "ERROR", &format!("{method} {path} 500 {millis:.0}ms {fault}"));
        }
        let code = if luck < self.manners.errors + self.manners.missing { 404 } else { 200 };
        self.line(at, "INFO", &format!("{method} {path} {code} {millis:.0}ms"))
    }

    fn last_words(&self) -> Vec<Line> {
        let Some(end) = &self.end else { return Vec::new() };
        let before = |millis| end.at - TimeDelta::milliseconds(millis);
        if end.out_of_memory {
            let heap = |millis, percent| self.line(before(millis), "WARN", &format!("heap at {percent} % of the limit"));
            return vec![heap(2_300, 83), heap(1_200, 92), heap(3, 99)];
        }
        if end.code == 0 {
            return vec![self.line(before(20), "INFO", "shutting down")];
        }
        let crash = CRASHES[choice(&self.tag, CRASHES.len())];
        vec![self.line(before(12), "FATAL", crash), self.line(before(3), "FATAL", &format!("exit status {}", end.code))]
    }
}

/// The same for the same version.
fn choice(tag: &str, of: usize) -> usize {
    usize::try_from(hash(tag) % of as u64).unwrap_or_default()
}

fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(seconds: f64) -> Time {
        Time::UNIX_EPOCH + std::time::Duration::from_secs_f64(seconds)
    }

    fn run(errors: f64) -> Run {
        let manners = Manners { errors, ..Manners::default() };
        Run { identity: "a".into(), tag: "v2".into(), begun: at(100.5), ready: Some(at(105.0)), manners, end: None }
    }

    #[test]
    fn any_stretch_is_part_of_the_whole() {
        let run = run(0.1);
        let whole = run.lines(at(0.0), at(200.3));
        assert!(whole[0].text.contains("starting version=v2") && whole[2].text.ends_with("listening on :8080"));
        assert!(whole.is_sorted_by_key(|line| line.at));
        let halves = [run.lines(at(0.0), at(150.7)), run.lines(at(150.7), at(200.3))].concat();
        assert_eq!(whole, halves);
        assert_eq!(run.last(10, at(0.0), at(200.3)), whole[whole.len() - 10..]);
        assert_eq!(run.last(9_999, at(0.0), at(200.3)), whole);
    }

    #[test]
    fn errors_and_silence_follow_the_version() {
        let share = |errors| {
            let lines = run(errors).lines(at(110.0), at(1_110.0));
            let failed = lines.iter().filter(|line| line.text.contains(" ERROR ") && line.text.contains(" 500 ")).count();
            failed as f64 / lines.len() as f64
        };
        assert!((0.06..0.14).contains(&share(0.1)), "{}", share(0.1));
        assert!(share(0.0) == 0.0);
        let silent = Run { ready: None, ..run(0.0) };
        assert_eq!(silent.lines(at(0.0), at(500.0)).len(), 3);
    }

    #[test]
    fn a_run_ends_as_its_container_did() {
        let ended = |code, out_of_memory| {
            let end = End { at: at(110.0), code, out_of_memory };
            Run { end: Some(end), ready: None, ..run(0.0) }.lines(at(0.0), at(500.0)).last().unwrap().text.clone()
        };
        assert!(ended(1, false).ends_with("FATAL exit status 1"));
        assert!(ended(137, true).ends_with("heap at 99 % of the limit"));
        assert!(ended(0, false).ends_with("shutting down"));
    }
}
