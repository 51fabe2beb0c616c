//! What time it is for this session: the wall clock's, unless the session supervises a world whose time runs
//! differently, such as a demo at ten times the speed.
//!
//! Views and the reducer get `now` as an argument; only the tasks that stamp what they send ask here.

use std::sync::OnceLock;

use chrono::Utc;

use crate::model::Time;

/// A clock that shows `start` now and runs `speed` times as fast as the wall's.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Time,
    began: std::time::Instant,
    speed: f64,
}

impl Clock {
    pub fn new(start: Time, speed: f64) -> Self {
        Self { start, began: std::time::Instant::now(), speed }
    }

    /// The wall clock, at another speed from now on.
    pub fn from_now(speed: f64) -> Self {
        Self::new(Utc::now(), speed)
    }

    pub fn now(&self) -> Time {
        let passed = self.began.elapsed().mul_f64(self.speed);
        self.start + chrono::TimeDelta::from_std(passed).unwrap_or_default()
    }

    pub fn speed(&self) -> f64 {
        self.speed
    }

    /// How long to wait until this clock shows `time`; zero when it has passed.
    pub fn until(&self, time: Time) -> std::time::Duration {
        (time - self.now()).to_std().unwrap_or_default().div_f64(self.speed)
    }
}

static SESSION: OnceLock<Clock> = OnceLock::new();

/// Makes the whole process live by this clock. Only the first call counts.
pub fn follow(clock: Clock) {
    let _ = SESSION.set(clock);
}

/// Sleeps until this clock has moved on by so much.
pub async fn sleep(span: std::time::Duration) {
    let speed = SESSION.get().map_or(1.0, Clock::speed);
    tokio::time::sleep(span.div_f64(speed)).await;
}

/// Now, by the session's clock.
pub fn now() -> Time {
    SESSION.get().map_or_else(Utc::now, Clock::now)
}
