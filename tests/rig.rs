//! The real binary in a pseudo-terminal against real components: etcd, kube-apiserver, Argo Rollouts, Prometheus.
//!
//! Build them once with `tests/cluster/build`. One rig serves the whole run, a namespace each test; a test that
//! breaks a component starts its own.

// A test that cannot go on should say where.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "cluster/rig.rs"]
mod cluster;

#[path = "rig/app.rs"]
mod app;
#[path = "rig/blue_green.rs"]
mod blue_green;
#[path = "rig/canary.rs"]
mod canary;
#[path = "rig/hostile.rs"]
mod hostile;
#[path = "rig/metrics.rs"]
mod metrics;
#[path = "rig/outages.rs"]
mod outages;
#[path = "rig/quiet.rs"]
mod quiet;
#[path = "rig/races.rs"]
mod races;
#[path = "rig/rights.rs"]
mod rights;
#[path = "rig/selftest.rs"]
mod selftest;
#[path = "rig/status.rs"]
mod status;
#[path = "rig/traps.rs"]
mod traps;
#[path = "rig/watch_mode.rs"]
mod watch_mode;
