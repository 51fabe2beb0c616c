//! The embedded cluster as its servers see it: the simulation behind a lock, the clock it follows, and who moves it on.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    api::{audit::Audit, faults::Faults, tokens::Tokens},
    sim::Sim,
};
use crate::{clock::Clock, model::Time};

/// Without work to wait for, the driver looks again after this long.
const IDLE: Duration = Duration::from_secs(60);

/// One embedded cluster that is being served.
pub struct World {
    sim: Mutex<Sim>,
    pub clock: Clock,
    /// Who may come in.
    pub tokens: Tokens,
    pub faults: Faults,
    pub audit: Audit,
    /// The embedded Prometheus, for requests through the API server's proxy.
    pub prometheus: OnceLock<axum::Router>,
    nudge: Notify,
}

impl World {
    /// `clock` must not be behind `sim`; what is due until then happens at the first look.
    pub fn new(sim: Sim, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            sim: Mutex::new(sim),
            clock,
            tokens: Tokens::default(),
            faults: Faults::default(),
            audit: Audit::default(),
            prometheus: OnceLock::new(),
            nudge: Notify::new(),
        })
    }

    /// Lets everything happen that is due, then looks or acts. Do not hold what it returns for long: it is a copy.
    pub fn with<T>(&self, act: impl FnOnce(&mut Sim) -> T) -> T {
        let mut sim = self.lock();
        sim.run_until(self.clock.now());
        let before = sim.next();
        let answer = act(&mut sim);
        if sim.next() != before {
            self.nudge.notify_one();
        }
        answer
    }

    /// Looks without letting time pass. For those who were told of a change and only want to read it.
    pub fn look<T>(&self, look: impl FnOnce(&Sim) -> T) -> T {
        look(&self.lock())
    }

    /// How long to wait in real time until the cluster's clock shows this; a while where it stands still.
    pub fn until(&self, moment: Time) -> Duration {
        if self.clock.speed() > 0.0 { self.clock.until(moment).min(IDLE) } else { IDLE }
    }

    /// Moves the simulation on, for as long as it is polled.
    pub async fn drive(self: Arc<Self>) {
        loop {
            let pause = self.with(|sim| sim.next()).map_or(IDLE, |next| self.until(next));
            tokio::select! {
                () = tokio::time::sleep(pause) => (),
                () = self.nudge.notified() => (),
            }
        }
    }

    /// A panic under the lock leaves a world that is at worst odd; every other request would fail for it.
    fn lock(&self) -> MutexGuard<'_, Sim> {
        self.sim.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::demo::sim::{Metrics, Samples};

    struct Mute;

    impl Metrics for Mute {
        fn query(&self, _: &str, _: &str, _: Time) -> Result<Samples, String> {
            Ok(Samples::Vector(Vec::new()))
        }
    }

    fn world(speed: f64) -> Arc<World> {
        let start = Time::UNIX_EPOCH;
        World::new(Sim::new(start, 1, Vec::new(), Box::new(Mute)), Clock::new(start, speed))
    }

    #[tokio::test]
    async fn the_driver_keeps_up_with_the_clock_and_with_new_work() {
        let world = world(100.0);
        let driver = tokio::spawn(world.clone().drive());
        let beats = Arc::new(AtomicU64::new(0));
        let count = beats.clone();
        // The driver sleeps by now, and nothing was due for a minute.
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.with(|sim| {
            sim.every(Duration::from_secs(1), move |_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        let beats = beats.load(Ordering::Relaxed);
        // It need not have been asked for anything.
        assert!((10..=60).contains(&beats), "{beats}");
        driver.abort();
    }

    #[test]
    fn whoever_looks_sees_the_present() {
        let world = world(1_000.0);
        std::thread::sleep(Duration::from_millis(5));
        let seen = world.with(|sim| sim.now());
        assert!(seen >= Time::UNIX_EPOCH + Duration::from_secs(5));
        assert_eq!(world.look(Sim::now), seen);
    }
}
