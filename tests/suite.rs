//! What people do with rolltop, from key to cluster and back: the real binary in a pseudo-terminal.
//!
//! The same tests run against real components (`tests/rig.rs`) and against the embedded cluster (`tests/embedded.rs`).
//! Each of the two brings its own `crate::cluster`.

#[path = "suite/app.rs"]
pub mod app;
#[path = "suite/armed.rs"]
pub mod armed;
#[path = "suite/blue_green.rs"]
mod blue_green;
#[path = "suite/canary.rs"]
mod canary;
#[path = "suite/clients.rs"]
pub mod clients;
#[path = "suite/daemonset.rs"]
mod daemonset;
#[path = "suite/deployment.rs"]
mod deployment;
#[path = "suite/flagger.rs"]
mod flagger;
#[path = "suite/flags.rs"]
mod flags;
#[path = "suite/guard.rs"]
mod guard;
#[path = "suite/hostile.rs"]
mod hostile;
#[path = "suite/knative.rs"]
mod knative;
#[path = "suite/kruise.rs"]
mod kruise;
#[path = "suite/kserve.rs"]
mod kserve;
#[path = "suite/metrics.rs"]
mod metrics;
#[path = "suite/notify.rs"]
mod notify;
#[path = "suite/outages.rs"]
mod outages;
#[path = "suite/quiet.rs"]
mod quiet;
#[path = "suite/races.rs"]
mod races;
#[path = "suite/rights.rs"]
mod rights;
#[path = "suite/selftest.rs"]
mod selftest;
#[path = "suite/service_blue_green.rs"]
mod service_blue_green;
#[path = "suite/split.rs"]
pub mod split;
#[path = "suite/statefulset.rs"]
mod statefulset;
#[path = "suite/status.rs"]
mod status;
#[path = "suite/traps.rs"]
mod traps;
#[path = "suite/watch_mode.rs"]
mod watch_mode;
#[path = "suite/workloads.rs"]
pub mod workloads;
