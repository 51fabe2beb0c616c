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
use crate::clock::Clock;

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

    /// Moves the simulation on, for as long as it is polled.
    pub async fn drive(self: Arc<Self>) {
        loop {
            let next = self.with(|sim| sim.next());
            let pause = next.map_or(IDLE, |next| self.clock.until(next));
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
